"""Documents and their keys: the only place where a number is blinded.

A document key is a keyed, irreversible form of the document's identity. Blocks (the identity packed into 16 bytes) exist
only for a moment in memory; keys are what is stored, logged and sent on.

Layout of a block: byte 0 is the tag (scheme code in bits 0-4, role in bits 5-6, 0x80 when the rest is a hash); bytes 1-15
are the identity packed by its scheme, or the first 15 bytes of SHA-256 of its canonical form when it does not fit.
Source: docs/formats/document-key.md.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from annul.errors import BadInput
from annul.records.scheme import SCHEME_OF_CODE, Document, DocumentFields, Scheme, plain
from annul.records.schemes import SCHEMES
from annul.records.schemes.cn_resident import CN_RESIDENT
from annul.times import DAY_S

__all__ = [
    "BLOCK_BYTES",
    "SCHEMES",
    "SCHEME_OF_CODE",
    "Document",
    "DocumentFields",
    "DocumentKeys",
    "Scheme",
    "block",
    "both_blocks",
    "canonical",
    "number_block",
    "parse_document",
    "person_block",
    "plain_person_block",
    "resident_block",
    "scheme_code",
    "today",
    "unlock_key",
]

BLOCK_BYTES = 16
SECRET_BYTES = 32
KEPT_BYTES = 11
"""Bytes of a key that the next epoch's key is made of: as many as a slot of the listings keeps. Two of 3 billion documents
meet in 88 bits with a probability of 1.5e-8."""
_REST = bytes(BLOCK_BYTES - KEPT_BYTES)
_ROLE_NUMBER = 0x20
_ROLE_PERSON = 0x40
_HASHED = 0x80
_TAGS = [bytes((tag,)) for tag in range(256)]
_PERSON = _TAGS[_ROLE_PERSON | _HASHED]
_RESIDENT = _TAGS[CN_RESIDENT.code | _ROLE_NUMBER]
_AHEAD_S = 14 * 3600
"""The date is up to 14 hours ahead of UTC somewhere (Kiribati): a child born there today is not born in the future."""


def parse_document(fields: DocumentFields, today_day: int | None = None) -> Document:
    """Bring a document's fields into normal form and check them.

    Args:
        fields: as they came over the wire.
        today_day: today as days since 1970-01-01; by default the latest date anywhere on Earth now.
    Raises:
        MalformedNumber: the number cannot be one of its scheme (answer U33). The text tells the user what to do.
        BadInput: the scheme is unknown, or a field is missing, superfluous or no date.
    """
    scheme = SCHEMES.get(fields.scheme)
    if scheme is None and not fields.scheme:
        raise BadInput("The scheme is missing.", where="/document/scheme", mend="Give scheme, or the zone alone as mrz.")
    if scheme is None:
        raise BadInput("The scheme is not known.", where="/document/scheme", mend=f"Use one of {', '.join(sorted(SCHEMES))}.")
    return scheme.parse(fields, today() if today_day is None else today_day)


def today() -> int:
    """Return the latest date anywhere on Earth now, as days since 1970-01-01."""
    return int(time.time() + _AHEAD_S) // DAY_S


def scheme_code(name: str) -> int:
    """Return the number of a scheme in receipts; 0 for a scheme that is not known."""
    scheme = SCHEMES.get(name)
    return 0 if scheme is None else scheme.code


def canonical(document: Document, *, discriminator: bool = True) -> bytes:
    """Return the canonical bytes of a document's identity: five fields, each with its length in front as u16.

    Scheme, issuer, kind, number, and the start of validity in decimal (empty when it is no part of the identity).
    """
    start = document.valid_from_day if discriminator and document.discriminated else None
    fields = (document.scheme, document.issuer, document.kind, document.number, "" if start is None else str(start))
    encoded = [field.encode() for field in fields]
    return b"".join(len(field).to_bytes(2, "big") + field for field in encoded)


def block(document: Document) -> bytes:
    """Return the 16 bytes of the whole identity; different documents have different blocks.

    Raises:
        BadInput: the scheme tells documents of one number apart by their start of validity, and it is not given.
    """
    scheme = SCHEMES[document.scheme]
    if document.valid_from_day is None and scheme.discriminated:
        raise BadInput(
            "The number alone does not say which document is meant.",
            where="/document/valid_from",
            mend="Give the start of validity printed on the document.",
        )
    return _block(scheme, document, 0, discriminator=True)


def number_block(document: Document) -> bytes:
    """Return the 16 bytes of the identity without the discriminator; never equal to the block of a document."""
    return _block(SCHEMES[document.scheme], document, _ROLE_NUMBER, discriminator=False)


def both_blocks(document: Document) -> bytes:
    """Return `block(document) + number_block(document)` of a discriminated document, in one go: it runs once per check.

    Raises:
        BadInput: as `block`.
    """
    scheme = SCHEMES[document.scheme]
    if document.valid_from_day is not None:
        whole = scheme.pack(document, discriminator=True)
        number = scheme.pack(document, discriminator=False)
        if whole is not None and number is not None:
            return b"".join((_TAGS[scheme.code], whole, _TAGS[scheme.code | _ROLE_NUMBER], number))
    return block(document) + number_block(document)


def person_block(personal_number: str) -> bytes:
    """Return the 16 bytes that stand for a person's number; never equal to the block of a document or its number."""
    return plain_person_block(plain(personal_number, "/personal_number"))


def plain_person_block(number: str) -> bytes:
    """Return `person_block` of a number that `plain` was applied to."""
    return _PERSON + hashlib.sha256(b"annul person v1\0" + number.encode()).digest()[:15]


def resident_block(personal_number: str) -> bytes:
    """Return `number_block` of the resident cards that bear a personal number, in one go: it runs once per imported person.

    Raises:
        MalformedNumber: no card can bear it.
    """
    number, _ = CN_RESIDENT.read_number(personal_number, today())
    return _RESIDENT + CN_RESIDENT.pack_number(number)


def _block(scheme: Scheme, document: Document, role: int, *, discriminator: bool) -> bytes:
    packed = scheme.pack(document, discriminator=discriminator)
    if packed is None:
        role |= _HASHED
        packed = hashlib.sha256(b"annul identity v1\0" + canonical(document, discriminator=discriminator)).digest()[:15]
    return bytes((scheme.code | role,)) + packed


def unlock_key(document_key: bytes, purpose: int) -> bytes:
    """Return the key under which a timed unlock of an owner lock stands in the listings table, 16 bytes.

    Args:
        document_key: current key of the document, 16 bytes.
        purpose: number (octet) of the purpose the holder unlocked the document for.
    """
    return hashlib.sha256(b"annul unlock v1\0" + document_key + bytes((purpose,))).digest()[:BLOCK_BYTES]


_NUMPY_FROM_BYTES = 1 << 12
"""From this size on XOR by numpy is faster than by Python integers."""


class DocumentKeys:
    """Blind blocks to document keys under one realm's secrets.

    F(x) = AES-256_K(x) XOR x: one-way also for those who know the key. Keys of epoch 1 are F_1 of blocks; keys of every
    later epoch are F_e of the first 11 bytes of the key of the epoch before (and 5 zero bytes). So rotation re-keys what is
    stored without knowing any number, also in listings, whose slots keep 11 bytes of a key.

    Args:
        secrets: one secret of 32 bytes per epoch, oldest first; at least one.
    Raises:
        ValueError: no secret, a secret of another length, or the same secret twice.
    """

    seal: Callable[[bytes], bytes] | None = None
    """Makes of blocks what the register stores beside document keys (`annul.records.carried`); None where nothing is stored."""
    former: Callable[[bytes, bytes | None], bytes] | None = None
    """Makes of a document's block and its number's the keys of earlier epochs (`annul.records.former`); None: not kept."""

    def __init__(self, secrets: Sequence[bytes]) -> None:
        if not secrets or any(len(secret) != SECRET_BYTES for secret in secrets) or len(set(secrets)) != len(secrets):
            raise ValueError(f"document keys need one or more different secrets of {SECRET_BYTES} bytes")
        # ECB is the block permutation itself, which is what F is built on: every block is one independent input.
        self._update = [Cipher(algorithms.AES(secret), modes.ECB()).encryptor().update for secret in secrets]  # noqa: S305

    @property
    def epoch(self) -> int:
        """Current key epoch, from 1."""
        return len(self._update)

    def blind(self, blocks: bytes) -> bytes:
        """Return the current document keys of blocks.

        Args:
            blocks: n blocks of 16 bytes, one after another; n may be 0.
        Returns:
            n keys of 16 bytes in the same order.
        Raises:
            ValueError: not a multiple of 16 bytes.
        """
        return self.advance(blocks, 0)

    def advance(self, keys: bytes, from_epoch: int) -> bytes:
        """Return keys of an older epoch as keys of the current one.

        Args:
            keys: n keys of 16 bytes of epoch `from_epoch`.
            from_epoch: 0 (blocks) to the current epoch (nothing to do).
        Raises:
            ValueError: not a multiple of 16 bytes, or no such epoch.
        """
        size = len(keys)
        if size % BLOCK_BYTES or not 0 <= from_epoch <= len(self._update):
            raise ValueError("document keys come in multiples of 16 bytes, of an epoch that exists")
        for epoch, update in enumerate(self._update[from_epoch:], from_epoch):
            if epoch:
                keys = _kept(keys)
            if size < _NUMPY_FROM_BYTES:
                keys = (int.from_bytes(update(keys), "big") ^ int.from_bytes(keys, "big")).to_bytes(size, "big")
            else:
                keys = _xor(update(keys), keys)
        return keys


def _kept(keys: bytes) -> bytes:
    """Return keys with everything but their first KEPT_BYTES set to zero."""
    if len(keys) == BLOCK_BYTES:
        return keys[:KEPT_BYTES] + _REST
    # Imported here, not above: verifying one receipt should not wait for numpy.
    import numpy as np

    rows = np.frombuffer(keys, np.uint8).reshape(-1, BLOCK_BYTES).copy()
    rows[:, KEPT_BYTES:] = 0
    return rows.tobytes()


def _xor(left: bytes, right: bytes) -> bytes:
    # Imported here, not above: verifying one receipt should not wait for numpy.
    import numpy as np

    return (np.frombuffer(left, np.uint8) ^ np.frombuffer(right, np.uint8)).tobytes()
