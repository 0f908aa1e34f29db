"""WHY IT CAN BE BELIEVED: trees, signed checkpoints, tiles, receipts. Bytes in, verdict out.

This room promises: what it verifies needs the public key and nothing else; verifying raises at the failing step of a
numbered recipe and never returns a doubtful yes. It keeps no secret but the signing key it is given, and reads and writes
files in `tiles.TileWriter` only.

    verifier = Verifier.parse(line_of_the_public_key_file)
    verified = verify(receipt_from_json(data), verifier)      # raises VerificationFailed(step=…)
    explain(verified)                                         # who asked what, when, and what the answer was
"""
