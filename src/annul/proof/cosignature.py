"""Cosignatures: what a witness says of a checkpoint, namely that it saw this log only grow up to it.

A cosignature is one more signature line of the note. There are two kinds: Ed25519 (0x04) signs the time and the text of the
checkpoint; ML-DSA-44 (0x06, safe against quantum computers) signs names, time, size and root. Both carry the time in front.

Source: https://c2sp.org/tlog-cosignature, FIPS 204. ML-DSA is OpenSSL's, by cryptography.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey

from annul.errors import BadInput, VerificationFailed
from annul.proof.checkpoint import KEY_ID_BYTES, Checkpoint, Signer, Verifier, parse_checkpoint, split_note

ED25519: Final = 0x04
ML_DSA_44: Final = 0x06
KEY_BYTES: Final = {ED25519: 32, ML_DSA_44: 1312}
TIME_MAX_S: Final = (1 << 63) - 1
_SIGNATURE_BYTES: Final = {ED25519: 64, ML_DSA_44: 2420}
_NAME: Final = re.compile(r"[^\s+]{1,255}")


class WitnessKey:
    """The named public key of a witness.

    Args:
        name: name of the witness, without blanks and plus signs, at most 255 bytes.
        kind: ED25519 or ML_DSA_44.
        public_key: 32 or 1312 bytes.

    Raises:
        BadInput: it is none.
    """

    def __init__(self, name: str, kind: int, public_key: bytes) -> None:
        known = KEY_BYTES.get(kind) == len(public_key)
        if not known or not _NAME.fullmatch(name) or len(name.encode()) > 255:
            raise BadInput("This is not the name and the key of a witness.", where="key")
        self.name = name
        self.kind = kind
        self.public_key = public_key
        self._blob = bytes((kind,)) + public_key
        self.key_id = hashlib.sha256(name.encode() + b"\n" + self._blob).digest()[:KEY_ID_BYTES]

    @classmethod
    def parse(cls, vkey: str) -> WitnessKey:
        """Read a C2SP verifier key of kind 0x04 or 0x06.

        Raises:
            BadInput: it is none, or its hash does not fit.
        """
        name, _, rest = vkey.strip().partition("+")
        hashed, _, encoded = rest.partition("+")
        mend = "Give the whole line that the witness shows."
        try:
            blob = base64.b64decode(encoded, validate=True)
        except binascii.Error as error:
            raise BadInput("The verifier key is not of the form name+hash+base64.", where="key", mend=mend) from error
        if not blob or base64.b64encode(blob).decode() != encoded:
            raise BadInput("The verifier key is not of the form name+hash+base64.", where="key", mend=mend)
        key = cls(name, blob[0], blob[1:])
        if key.key_id.hex() != hashed:
            raise BadInput("The verifier key's hash does not fit its name and key.", where="key", mend=mend)
        return key

    @property
    def vkey(self) -> str:
        """The key as a C2SP verifier key."""
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(self._blob).decode()}"

    def verify(self, text: bytes, signature: bytes) -> int:
        """Verify a cosignature of a checkpoint and return its time (seconds, POSIX).

        Args:
            text: text of the note.
            signature: time and signature, without the key ID.

        Raises:
            VerificationFailed: step 2, it is not this witness's.
        """
        at_s = int.from_bytes(signature[:8], "big")
        wrong = VerificationFailed("A signature of the note is wrong.", step=2, where=self.name)
        if len(signature) != 8 + _SIGNATURE_BYTES[self.kind] or at_s > TIME_MAX_S:
            raise wrong
        message = _message(self.kind, self.name, text, at_s)
        if self.kind == ED25519:
            if not Verifier(self.name, self.public_key).verify(message, signature[8:]):
                raise wrong
            return at_s
        try:
            MLDSA44PublicKey.from_public_bytes(self.public_key).verify(signature[8:], message)
        except InvalidSignature:
            raise wrong from None
        return at_s


def _message(kind: int, name: str, text: bytes, at_s: int) -> bytes:
    if kind == ED25519:
        return b"cosignature/v1\ntime %d\n" % at_s + text
    checkpoint = parse_checkpoint(text)
    origin, cosigner = checkpoint.origin.encode(), name.encode()
    if len(origin) > 255:
        raise VerificationFailed("The origin is too long for a cosignature.", step=4, where="origin")
    return b"".join(
        (
            b"subtree/v1\n\0",
            bytes((len(cosigner),)),
            cosigner,
            at_s.to_bytes(8, "big"),
            bytes((len(origin),)),
            origin,
            bytes(8),
            checkpoint.size.to_bytes(8, "big"),
            checkpoint.root,
        )
    )


class Cosigner:
    """The two keys of one witness.

    Args:
        name: name of the witness.
        ed25519: seed of 32 bytes; no other witness and no log may have it.
        ml_dsa: seed of 32 bytes.
    """

    def __init__(self, name: str, ed25519: bytes, ml_dsa: bytes) -> None:
        self.name = name
        self._ed25519 = Signer(name, ed25519)
        self._ml_dsa = MLDSA44PrivateKey.from_seed_bytes(ml_dsa)
        self.keys = (
            WitnessKey(name, ED25519, self._ed25519.verifier.public_key),
            WitnessKey(name, ML_DSA_44, self._ml_dsa.public_key().public_bytes_raw()),
        )

    def cosign(self, text: bytes, at_s: int) -> bytes:
        """Return the signature lines of both keys over a checkpoint's text at a time (seconds, POSIX)."""
        ed25519, ml_dsa = self.keys
        signed = (
            (ed25519, self._ed25519.sign(_message(ED25519, self.name, text, at_s))),
            (ml_dsa, self._ml_dsa.sign(_message(ML_DSA_44, self.name, text, at_s))),
        )
        time = at_s.to_bytes(8, "big")
        lines = (f"— {self.name} {base64.b64encode(key.key_id + time + made).decode()}\n" for key, made in signed)
        return "".join(lines).encode()


class Cosigned(NamedTuple):
    """A verified cosignature: by whom, and when (seconds, POSIX)."""

    name: str
    kind: int
    at_s: int


def cosignatures(note: bytes, witnesses: Sequence[WitnessKey]) -> list[Cosigned]:
    """Return the cosignatures of known witnesses on a note; those of others are passed over.

    Raises:
        VerificationFailed: step 1, this is no note; step 2, a cosignature of a known witness is wrong.
    """
    text, signatures = split_note(note)
    known = {(key.name, key.key_id): key for key in witnesses}
    found = []
    for name, blob in signatures:
        key = known.get((name, blob[:KEY_ID_BYTES]))
        if key is not None:
            found.append(Cosigned(name, key.kind, key.verify(text, blob[KEY_ID_BYTES:])))
    return found


def known_lines(answer: bytes, note: bytes, witnesses: Sequence[WitnessKey]) -> bytes:
    """Return the lines of a witness's answer that are good cosignatures of a note by known keys; others are left out.

    Raises:
        VerificationFailed: there is none.
    """
    text, _ = split_note(note)
    known = {(key.name, key.key_id): key for key in witnesses}
    kept = []
    for line in answer.splitlines(keepends=True):
        try:
            (name, blob), *_ = split_note(text + b"\n" + line)[1]
            key = known.get((name, blob[:KEY_ID_BYTES]))
            if key is not None:
                key.verify(text, blob[KEY_ID_BYTES:])
                kept.append(line)
        except VerificationFailed:
            continue
    if not kept:
        raise VerificationFailed("The answer holds no cosignature of this witness.", step=3, where="witness")
    return b"".join(kept)


__all__ = ["ED25519", "ML_DSA_44", "Checkpoint", "Cosigned", "Cosigner", "WitnessKey", "cosignatures", "known_lines"]
