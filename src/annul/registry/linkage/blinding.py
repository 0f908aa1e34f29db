"""The oblivious function: points in, points and a proof out; and the same function of what the register knows itself.

Source: RFC 9497, VOPRF(ristretto255, SHA-512), DeriveKeyPair with the seed below and info `annul subscriptions v1`; the package
is `voprf`. It serialises a batch as the proof's 64 bytes, then 32 for each evaluated element.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from annul.errors import BadInput
from annul.keys import Keys
from annul.records.carried import derive

POINT_BYTES: Final = 32
PROOF_BYTES: Final = 64
TOKEN_BYTES: Final = 32
"""Of the 64 bytes of an output: two documents share a token with a chance of 2^-256."""
INFO: Final = b"annul subscriptions v1"


class Blinding:
    """Evaluate the function of one realm under the current keys.

    Args:
        keys: the key file; a rotation begins a new epoch, under which everything is registered anew.
        realm: "live" or "test".
    """

    def __init__(self, keys: Keys, realm: str) -> None:
        from voprf.ristretto import Evaluator  # machine code, which only this needs

        secrets = keys.live if realm == "live" else keys.test
        self.epoch = keys.epoch
        self._evaluator = Evaluator.from_seed(derive(secrets[-1], "subscriptions"), INFO)

    @property
    def public_key(self) -> bytes:
        """Public key against which proofs are verified, 32 bytes."""
        return bytes(self._evaluator.public_key.serialize())

    def evaluate(self, points: Sequence[bytes]) -> tuple[list[bytes], bytes]:
        """Return the evaluated points, in order, and one proof for all of them.

        Args:
            points: blinded elements of 32 bytes each; at least one.
        Raises:
            BadInput: one is no element of the group, or is its identity; `where` says which.
        """
        from voprf.ristretto import BlindedInput

        blinded = []
        for place, point in enumerate(points):
            try:
                blinded.append(BlindedInput.deserialize(point))
            except ValueError:
                raise BadInput(
                    "This is no blinded element.", where=f"/points/{place}", mend="Blind as RFC 9497 says, for ristretto255."
                ) from None
        raw = bytes(self._evaluator.evaluate_batch(blinded).serialize())
        elements = [raw[at : at + POINT_BYTES] for at in range(PROOF_BYTES, len(raw), POINT_BYTES)]
        return elements, raw[:PROOF_BYTES]

    def token(self, carried: bytes) -> bytes:
        """Return the token of a document by its carried key: what a party gets by blinding."""
        return bytes(self._evaluator.evaluate_known_input(carried)[:TOKEN_BYTES])
