"""Follow the two sealed logs from outside: is an entry in a log, and did a log only grow since one last looked?

Everything is verified here, with the public keys alone; what a server says of itself is not believed. Recipe of a log, whose
steps `VerificationFailed.step` carries (docs/formats/tiles.md): 1 form of the note, 2 a wrong signature, 3 no signature of a
trusted key, 4 form of the checkpoint, 5 another log's checkpoint, 6 the path or the proof does not lead to the root, 7 too few
witnesses.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

from annul.errors import VerificationFailed
from annul.proof.checkpoint import Checkpoint, Verifier, open_checkpoint
from annul.proof.cosignature import WitnessKey, cosignatures
from annul.proof.merkle import verify_consistency, verify_inclusion


def open_sealed(note: bytes, keys: Sequence[Verifier], witnesses: Sequence[WitnessKey] = (), quorum: int = 0) -> Checkpoint:
    """Return the checkpoint of a log that one of the keys signed; the name of the key is the origin of the log.

    Args:
        note: the signed note.
        keys: trusted keys of this log.
        witnesses: trusted keys of witnesses.
        quorum: how many witnesses, by name, must have cosigned it.

    Raises:
        VerificationFailed: steps 1 to 5, and 7 when too few witnesses cosigned it.

    Source: C2SP tlog-checkpoint, tlog-cosignature.
    """
    checkpoint = open_checkpoint(note, keys)
    if checkpoint.origin not in {key.name for key in keys}:
        raise VerificationFailed("The checkpoint is of another log.", step=5, where=checkpoint.origin)
    names = {each.name for each in cosignatures(note, witnesses)}
    if len(names) < quorum:
        few = f"Only {len(names)} of {quorum} witnesses cosigned the checkpoint."
        raise VerificationFailed(few, step=7, where="witness")
    return checkpoint


def verify_entry(checkpoint: Checkpoint, index: int, leaf: str, path: Sequence[str]) -> None:
    """Verify that an entry is in the log of a checkpoint.

    Args:
        checkpoint: verified, of `open_sealed`.
        index: place of the entry, from 0.
        leaf: base64 of the entry's leaf hash.
        path: base64 of the hashes from the leaf's sibling upwards.

    Raises:
        VerificationFailed: step 6.

    Source: RFC 9162 section 2.1.3.2.
    """
    verify_inclusion(checkpoint.root, checkpoint.size, index, _hash(leaf), [_hash(step) for step in path])


def verify_grown(old: Checkpoint, new: Checkpoint, proof: Sequence[str]) -> None:
    """Verify that the log of the old checkpoint is a beginning of the log of the new one: nothing was changed or taken out.

    Args:
        old, new: verified, of `open_sealed`, of one log.
        proof: base64 of the hashes.

    Raises:
        VerificationFailed: step 5, they are of two logs; step 6, the log did not only grow.

    Source: RFC 9162 section 2.1.4.2.
    """
    if old.origin != new.origin:
        raise VerificationFailed("The two checkpoints are of two logs.", step=5, where=new.origin)
    keep = "Keep both checkpoints: together they are the evidence."
    if new.size < old.size:
        raise VerificationFailed("The log has become shorter: it was rolled back.", step=6, where="size", mend=keep)
    if new.size == old.size and new.root != old.root:
        raise VerificationFailed(
            "Two checkpoints of one size have two roots: the log was forked.", step=6, where="root", mend=keep
        )
    verify_consistency(old.root, old.size, new.root, new.size, [_hash(step) for step in proof])


def _hash(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise VerificationFailed("A hash of the proof is not in base64.", step=6, where="proof") from None
