"""Keys that verifiers carry: how an edge without a connection names a document.

The register stores document keys, made with secrets that never leave it. An edge cannot be given those: whoever stole it and
a copy of the database could try numbers. So a document has a second key, made from the same block with other secrets:

    carried key = F_c(block), layered over epochs as document keys are    the edge computes it, the register stores no such key
    sealed key  = AES-256(W, carried key)                                 the register stores it; W never leaves the register
    point       = first 8 bytes of F_E(carried key)                       what an edition is made of; each edition has an E

All secrets follow from the document secrets by HMAC-SHA-256, one way. Who has an edge's secrets and a copy of the database
cannot join them, because W is missing. Who has an edition's file and not its E has noise. Source: docs/formats/edition.md,
decision 0015.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from annul.records.document import BLOCK_BYTES, SECRET_BYTES, DocumentKeys

POINT_BYTES: Final = 8
"""Two of 1.4 billion documents share a point of 64 bits with a probability of 5 %: then the builder takes another E."""


def derive(secret: bytes, what: str) -> bytes:
    """Return 32 bytes that follow one way from a secret: HMAC-SHA-256(secret, "annul " | what | " v1")."""
    return hmac.digest(secret, f"annul {what} v1".encode(), hashlib.sha256)


def carried_secrets(document_secrets: Sequence[bytes]) -> tuple[bytes, ...]:
    """Return the secrets edges are given, one per epoch, oldest first.

    Args:
        document_secrets: the realm's document secrets, 32 bytes each.
    """
    return tuple(derive(secret, "carried") for secret in document_secrets)


class SealedKeys:
    """Make and open the form in which the register stores carried keys.

    Args:
        document_secrets: the realm's document secrets, one per epoch, oldest first.
    """

    def __init__(self, document_secrets: Sequence[bytes]) -> None:
        self._carried = DocumentKeys(carried_secrets(document_secrets))
        cipher = Cipher(algorithms.AES(derive(document_secrets[-1], "carried seal")), modes.ECB())  # noqa: S305 - one block each
        self._seal = cipher.encryptor().update
        self._open = cipher.decryptor().update

    def seal(self, blocks: bytes) -> bytes:
        """Return the sealed keys of n blocks of 16 bytes, in the same order."""
        return self._seal(self._carried.blind(blocks))

    def seal_carried(self, carried: bytes) -> bytes:
        """Return the sealed keys of n carried keys of 16 bytes."""
        return self._seal(carried)

    def opened(self, sealed: bytes) -> bytes:
        """Return the carried keys of n sealed keys of 16 bytes."""
        if len(sealed) % BLOCK_BYTES:
            raise ValueError("sealed keys come in multiples of 16 bytes")
        return self._open(sealed)

    def resealed(self, older: SealedKeys, sealed: bytes, from_epoch: int) -> bytes:
        """Return sealed keys of an older epoch as sealed keys of this one; rotation needs no number."""
        return self._seal(self._carried.advance(older.opened(sealed), from_epoch))


class EditionKey:
    """Turn carried keys into an edition's points: the first 8 bytes of AES-256(E, key) XOR key.

    Args:
        secret: E, 32 bytes, new with each edition.
    Raises:
        ValueError: another length.
    """

    def __init__(self, secret: bytes) -> None:
        if len(secret) != SECRET_BYTES:
            raise ValueError(f"an edition's key has {SECRET_BYTES} bytes")
        self._blind = DocumentKeys([secret]).blind

    def points(self, carried: bytes) -> bytes:
        """Return F_E of n carried keys, 16 bytes each, of which the first 8 are the point (little-endian)."""
        return self._blind(carried)

    def point(self, carried: bytes) -> int:
        """Return the point of one carried key, 0 to 2^64 - 1."""
        return int.from_bytes(self._blind(carried)[:POINT_BYTES], "little")
