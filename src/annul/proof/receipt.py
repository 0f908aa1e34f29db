"""Receipts: signed proof of who asked what, when, against which state of the register, and what the answer was.

Answers form windows. The leaves of a window (one per answer) are hashed into a Merkle tree, and one Ed25519 signature
covers the statement that holds its root. A receipt is the leaf, its inclusion path, the statement and the signature. It
never holds a document number: it commits to the document with a salted hash, which the salt (`opening`) opens.

`verify` is the recipe; its steps are the numbers that `VerificationFailed.step` carries:

1. form: known version, every part of the right size, no second spelling of the same bytes;
2. key: the key ID is that of a trusted key;
3. signature: the key signed this statement;
4. statement: known version, and the receipt's index is below its count;
5. inclusion: leaf hash and path lead to the root in the statement;
6. leaf: known version, every code has a meaning;
7. (`verify_document`, with the opening) the commitment is that of this document.

Layouts: docs/formats/receipt.md.
"""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from annul.errors import VerificationFailed
from annul.proof.checkpoint import KEY_ID_BYTES, SIGNATURE_BYTES, Verifier
from annul.proof.leaf import LEAF_BYTES, SALT_BYTES, Leaf, check_id, document_commitment, names_of, parse_leaf
from annul.proof.merkle import HASH_BYTES, leaf_hash, verify_inclusion
from annul.proof.window import SIGNED_PREFIX, STATEMENT_BYTES, SignedWindow, Statement, parse_statement

RECEIPT_VERSION: Final = 1
PATH_MAX: Final = 32
"""Hashes in a path: a window counts its leaves in 32 bits."""

_BINARY: Final = struct.Struct(f">B{KEY_ID_BYTES}sI{LEAF_BYTES}s{STATEMENT_BYTES}s{SIGNATURE_BYTES}sB")


class Receipt(msgspec.Struct, frozen=True):
    """The parts of a receipt in bytes."""

    leaf: bytes
    index: int
    path: bytes
    statement: bytes
    signature: bytes
    key: bytes

    @property
    def check(self) -> str:
        """ID of the check: the first 16 bytes of the leaf hash in hexadecimal."""
        return check_id(self.leaf)


def receipt_json(leaf: bytes, index: int, path: bytes, statement: bytes, signature: bytes, key: str) -> dict[str, Any]:
    """Return the JSON form of a receipt as a plain object; bytes are base64, the key ID is 8 hex digits."""
    text = binascii.b2a_base64
    return {
        "version": RECEIPT_VERSION,
        "leaf": text(leaf, newline=False).decode(),
        "index": index,
        "path": text(path, newline=False).decode(),
        "statement": text(statement, newline=False).decode(),
        "signature": text(signature, newline=False).decode(),
        "key": key,
    }


def receipt_of(signed: SignedWindow, leaves: Sequence[bytes], index: int) -> dict[str, Any]:
    """Return the JSON form of one receipt of a window, from the window and its leaves."""
    return receipt_json(leaves[index], index, signed.paths[index], signed.statement, signed.signature, signed.key)


_SHAPE: Final = (
    msgspec.json.encode(receipt_json(b"", 0, b"", b"", b"", ""))
    .replace(b'"leaf":"","index":0,"path":""', b'"leaf":"%%b","index":%%d,"path":"%%b"')
    .replace(b'"statement":"","signature":"","key":""', b'"statement":"%b","signature":"%b","key":"%b"')
)


def json_shape(statement: bytes, signature: bytes, key: str) -> bytes:
    """Return the JSON text of a window's receipts as a pattern for `%`: of leaf and path in base64, with the index between.

    It is `receipt_json` with three gaps; the rest is the same in all receipts of the window and holds no per cent sign.

    Args:
        statement, signature: of the window.
        key: ID of the signing key, in hexadecimal.
    """
    text = binascii.b2a_base64
    return _SHAPE % (text(statement, newline=False), text(signature, newline=False), key.encode())


def to_json(receipt: Receipt) -> dict[str, Any]:
    """Return the JSON form of a receipt."""
    return receipt_json(receipt.leaf, receipt.index, receipt.path, receipt.statement, receipt.signature, receipt.key.hex())


class ReceiptShown(msgspec.Struct, forbid_unknown_fields=True):
    """A receipt in its JSON form: what was asked, when, against which state of the register, and what was answered, signed.

    Args:
        version: version of this form: 1.
        leaf: the 128 bytes that say it, base64 (docs/formats/receipt.md).
        index: place of the leaf in its window, from 0.
        path: hashes from the leaf to the window's root, 32 bytes each put together, base64.
        statement: the signed statement of the window, 87 bytes, base64.
        signature: Ed25519 signature over the statement, 64 bytes, base64.
        key: id of the key that signed, 8 hexadecimal digits.

    Source: docs/formats/receipt.md, forms.
    """

    version: int
    leaf: str
    index: int
    path: str
    statement: str
    signature: str
    key: str


def from_json(data: Mapping[str, Any] | bytes | str) -> Receipt:
    """Read the JSON form of a receipt.

    Raises:
        VerificationFailed: step 1, wrong members, wrong base64, or a second spelling of the same bytes.
    """
    try:
        if isinstance(data, (bytes, str)):
            fields = msgspec.json.decode(data, type=ReceiptShown)
        else:
            fields = msgspec.convert(dict(data), type=ReceiptShown)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise VerificationFailed(
            "This is not a receipt: it lacks a member, or has one too many or of the wrong type.", step=1
        ) from error
    if fields.version != RECEIPT_VERSION:
        raise VerificationFailed(
            f"The receipt has version {fields.version}.", step=1, where="version", mend="Use a newer annul."
        )
    parts = [_unbase64(getattr(fields, name), name) for name in ("leaf", "path", "statement", "signature")]
    leaf, path, statement, signature = parts
    try:
        key = bytes.fromhex(fields.key)
    except ValueError:
        key = b""
    if key.hex() != fields.key:
        raise VerificationFailed("The key ID is not of 8 hexadecimal digits.", step=1, where="key")
    return _sized(Receipt(leaf, fields.index, path, statement, signature, key))


def _unbase64(text: str, where: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if base64.b64encode(data).decode() != text:
        raise VerificationFailed("A member is not in canonical base64.", step=1, where=where)
    return data


def to_binary(receipt: Receipt) -> bytes:
    """Return the binary form of a receipt."""
    return (
        _BINARY.pack(
            RECEIPT_VERSION,
            receipt.key,
            receipt.index,
            receipt.leaf,
            receipt.statement,
            receipt.signature,
            len(receipt.path) // HASH_BYTES,
        )
        + receipt.path
    )


def from_binary(data: bytes) -> Receipt:
    """Read the binary form of a receipt.

    Raises:
        VerificationFailed: step 1, unknown version or wrong length.
    """
    if not data or data[0] != RECEIPT_VERSION:
        raise VerificationFailed("This is not a receipt of a known version.", step=1, where="version")
    if len(data) < _BINARY.size:
        raise VerificationFailed("The receipt is cut short.", step=1)
    _, key, index, leaf, statement, signature, count = _BINARY.unpack_from(data)
    path = data[_BINARY.size :]
    if len(path) != count * HASH_BYTES:
        raise VerificationFailed("The path does not have the length it states.", step=1, where="path")
    return _sized(Receipt(leaf, index, path, statement, signature, key))


COMPACT_PREFIX = "R1."
"""Begins the compact text form: the binary form in base32 (RFC 4648, upper case, no padding), which QR codes hold densely."""


def to_compact(receipt: Receipt | Mapping[str, Any] | bytes | str) -> str:
    """Return the compact text form of a receipt: some 550 characters for a window of a few answers."""
    return COMPACT_PREFIX + base64.b32encode(to_binary(read(receipt))).decode().rstrip("=")


def from_compact(text: str) -> Receipt:
    """Read the compact text form; an address in front of it (all before the prefix) is left out.

    Raises:
        VerificationFailed: step 1.
    """
    _, prefix, body = text.strip().rpartition(COMPACT_PREFIX)
    try:
        data = base64.b32decode(body + "=" * (-len(body) % 8)) if prefix else b""
    except (binascii.Error, ValueError):
        data = b""
    if base64.b32encode(data).decode().rstrip("=") != body:
        raise VerificationFailed("This is not the compact text of a receipt.", step=1)
    return from_binary(data)


def _sized(receipt: Receipt) -> Receipt:
    for where, value, size in (
        ("leaf", receipt.leaf, LEAF_BYTES),
        ("statement", receipt.statement, STATEMENT_BYTES),
        ("signature", receipt.signature, SIGNATURE_BYTES),
        ("key", receipt.key, KEY_ID_BYTES),
    ):
        if len(value) != size:
            raise VerificationFailed(f"The {where} does not have {size} bytes.", step=1, where=where)
    if len(receipt.path) % HASH_BYTES or len(receipt.path) > PATH_MAX * HASH_BYTES:
        raise VerificationFailed(f"The path is not of 0 to {PATH_MAX} hashes.", step=1, where="path")
    if not 0 <= receipt.index < 1 << 32:
        raise VerificationFailed("The index is outside its range.", step=1, where="index")
    return receipt


def read(receipt: Receipt | Mapping[str, Any] | bytes | str) -> Receipt:
    """Read a receipt in any of its forms: parts, JSON object, JSON text, binary.

    Raises:
        VerificationFailed: step 1.
    """
    if isinstance(receipt, Receipt):
        return _sized(receipt)
    if isinstance(receipt, bytes) and receipt[:1] == bytes((RECEIPT_VERSION,)):
        return from_binary(receipt)
    return from_json(receipt)


class Verified(NamedTuple):
    """What a verified receipt proves."""

    receipt: Receipt
    leaf: Leaf
    statement: Statement
    verifier: Verifier


def verify(receipt: Receipt | Mapping[str, Any] | bytes | str, verifier: Verifier | Sequence[Verifier]) -> Verified:
    """Verify a receipt with the public key alone, by the steps in the module's head.

    Args:
        receipt: in any of its forms.
        verifier: the trusted key, or several of which one must fit.
    Raises:
        VerificationFailed: with the failing step.
    """
    # 1 form
    parts = read(receipt)
    # 2 key
    trusted = (verifier,) if isinstance(verifier, Verifier) else verifier
    key = next((one for one in trusted if one.key_id == parts.key), None)
    if key is None:
        raise VerificationFailed(
            "The receipt was signed with a key that is not trusted here.",
            step=2,
            where="key",
            mend="Give the public key file of the register that answered.",
        )
    # 3 signature
    if not key.verify(SIGNED_PREFIX + parts.statement, parts.signature):
        raise VerificationFailed("The signature does not fit the statement.", step=3, where="signature")
    # 4 statement
    statement = parse_statement(parts.statement)
    if not key.in_use(statement.closed_at_us):
        raise VerificationFailed(
            "The key was not in use when this receipt was made.",
            step=4,
            where="key",
            mend="Ask the register: a key that ended may be in somebody else's hands.",
        )
    if parts.index >= statement.count:
        raise VerificationFailed("The window has no answer with this index.", step=4, where="index")
    # 5 inclusion
    path = [parts.path[at : at + HASH_BYTES] for at in range(0, len(parts.path), HASH_BYTES)]
    try:
        verify_inclusion(statement.root, statement.count, parts.index, leaf_hash(parts.leaf), path)
    except VerificationFailed as error:
        raise VerificationFailed("The answer is not in the window that was signed.", step=5, where="path") from error
    # 6 leaf
    leaf = parse_leaf(parts.leaf)
    names_of(leaf)
    return Verified(parts, leaf, statement, key)


def verify_document(verified: Verified, salt: bytes, identity: bytes) -> None:
    """Check that a verified receipt is about this document.

    Args:
        salt: the opening that came with the answer, 16 bytes.
        identity: `annul.records.document.canonical` of the document.
    Raises:
        VerificationFailed: step 7, it is about another document, or the opening belongs to another receipt.
    """
    if len(salt) != SALT_BYTES or document_commitment(salt, identity) != verified.leaf.document:
        raise VerificationFailed("The receipt is not about this document.", step=7, where="document")
