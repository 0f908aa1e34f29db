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
import hashlib
import struct
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from annul.errors import VerificationFailed
from annul.proof.checkpoint import KEY_ID_BYTES, SIGNATURE_BYTES, Signer, Verifier
from annul.proof.merkle import HASH_BYTES, leaf_hash, verify_inclusion, window
from annul.proof.merkle import root as root_of
from annul.records.codes import (
    BindingCode,
    Channel,
    Coded,
    Coverage,
    ErrorCode,
    FreshnessCode,
    IdentityCode,
    Outcome,
    Purpose,
    StatusCode,
    advice_of_mask,
)

LEAF_VERSION = 1
STATEMENT_VERSION = 1
RECEIPT_VERSION = 1
RECEIPTS_NAME = "annul/receipts"
"""Name of the signing key unless another is given."""
FLAG_TEST_REALM = 1
PARTY_BYTES = 24
SALT_BYTES = 16
PATH_MAX = 32
"""Hashes in a path: a window counts its leaves in 32 bits."""
NO_STATEMENT = bytes(HASH_BYTES)
"""`previous` of the first window of a worker."""
SIGNED_PREFIX = b"annul window v1\n"

_LEAF = struct.Struct(">BBQQQ24sBBBBBBBBBBHH32s32s")
_STATEMENT = struct.Struct(">BHQIQ32s32s")
LEAF_BYTES = _LEAF.size
STATEMENT_BYTES = _STATEMENT.size
_BINARY = struct.Struct(f">B{KEY_ID_BYTES}sI{LEAF_BYTES}s{STATEMENT_BYTES}s{SIGNATURE_BYTES}sB")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIME_MAX_US = 253_402_300_799_999_999
"""The last microsecond of the year 9999."""


class Leaf(NamedTuple):
    """One answer as it stands in the log. Codes are octets of `annul.records.codes`; 0 where an axis is empty.

    Attributes:
        flags: bit 0: test realm.
        checked_at_us, as_of_us: time of the check, and of the register state it stands on (microseconds, UTC).
        position: position of the register log the answer stands on.
        party: name of the relying party, ASCII, padded with zero bytes to 24.
        scheme: number of the document's scheme; 0 when it was not known.
        advice: 16-bit mask.
        document, context: the two commitments, 32 bytes each.
    """

    flags: int
    checked_at_us: int
    position: int
    as_of_us: int
    party: bytes
    purpose: int
    channel: int
    scheme: int
    outcome: int
    status: int
    identity: int
    binding: int
    freshness: int
    error: int
    coverage: int
    advice: int
    policy_version: int
    document: bytes
    context: bytes


def pack_leaf(leaf: Leaf) -> bytes:
    """Return the leaf's LEAF_BYTES bytes. struct.error when a field is outside its range."""
    return _LEAF.pack(LEAF_VERSION, *leaf)


def parse_leaf(data: bytes) -> Leaf:
    """Read a leaf's fields; its codes are not looked at.

    Raises:
        VerificationFailed: step 6, wrong length, unknown version, or a party name that is none.
    """
    if len(data) != LEAF_BYTES:
        raise VerificationFailed(f"A leaf has {LEAF_BYTES} bytes.", step=6, where="leaf")
    version, *fields = _LEAF.unpack(data)
    if version != LEAF_VERSION:
        raise VerificationFailed(f"The leaf has version {version}.", step=6, where="leaf", mend="Use a newer annul.")
    return Leaf._make(fields)


def party_bytes(name: str) -> bytes:
    """Return a relying party's name as it stands in a leaf. ValueError when it is not 1 to 24 printable ASCII bytes."""
    encoded = name.encode("ascii")
    if not 1 <= len(encoded) <= PARTY_BYTES or not all(33 <= byte < 127 for byte in encoded):
        raise ValueError("a party's name has 1 to 24 printable ASCII characters")
    return encoded.ljust(PARTY_BYTES, b"\0")


def document_commitment(salt: bytes, identity: bytes) -> bytes:
    """Return SHA-256("annul document v1" | 0 | salt | canonical identity). The salt has 16 random bytes."""
    return hashlib.sha256(b"annul document v1\0" + salt + identity).digest()


def context_commitment(salt: bytes, branch: str, terminal: str, clerk: str, reference: str, holder_name: str = "") -> bytes:
    """Return SHA-256("annul context v1" | 0 | salt | the five texts in UTF-8, each with its length in front as u16)."""
    parts = [b"annul context v1\0", salt]
    for text in (branch, terminal, clerk, reference, holder_name):
        encoded = text.encode()
        parts.append(len(encoded).to_bytes(2, "big"))
        parts.append(encoded)
    return hashlib.sha256(b"".join(parts)).digest()


class Statement(msgspec.Struct, frozen=True):
    """What is signed of a window: who closed it, which one, how many answers, when, what came before, and the root."""

    worker: int
    window: int
    count: int
    closed_at_us: int
    previous: bytes
    root: bytes


def pack_statement(statement: Statement) -> bytes:
    """Return the statement's STATEMENT_BYTES bytes."""
    return _STATEMENT.pack(STATEMENT_VERSION, *msgspec.structs.astuple(statement))


def parse_statement(data: bytes) -> Statement:
    """Read a statement.

    Raises:
        VerificationFailed: step 4, wrong length, unknown version, an impossible count or time.
    """
    if len(data) != STATEMENT_BYTES:
        raise VerificationFailed(f"A statement has {STATEMENT_BYTES} bytes.", step=4, where="statement")
    version, *fields = _STATEMENT.unpack(data)
    if version != STATEMENT_VERSION:
        raise VerificationFailed(f"The statement has version {version}.", step=4, where="statement", mend="Use a newer annul.")
    statement = Statement(*fields)
    if statement.count < 1:
        raise VerificationFailed("The statement covers no answer.", step=4, where="statement")
    if statement.closed_at_us > _TIME_MAX_US:
        raise VerificationFailed("The statement has a time outside the calendar.", step=4, where="statement")
    return statement


def statement_hash(data: bytes) -> bytes:
    """Return SHA-256 of a statement's bytes: the link the next statement of the worker carries."""
    return hashlib.sha256(data).digest()


class SignedWindow(NamedTuple):
    """A closed window: everything its receipts are made of."""

    statement: bytes
    signature: bytes
    root: bytes
    leaf_hashes: list[bytes]
    paths: list[bytes]
    key: str

    @property
    def statement_hash(self) -> bytes:
        """SHA-256 of the statement: `previous` of the next window."""
        return hashlib.sha256(self.statement).digest()

    def receipt(self, leaves: Sequence[bytes], index: int) -> dict[str, Any]:
        """Return the JSON form of one receipt."""
        return receipt_json(leaves[index], index, self.paths[index], self.statement, self.signature, self.key)


class WindowSigner:
    """Close windows of answers.

    Args:
        secret: Ed25519 seed of 32 bytes, or a signer.
        name: name of the key.
    """

    def __init__(self, secret: bytes | Signer, name: str = RECEIPTS_NAME) -> None:
        self.signer = secret if isinstance(secret, Signer) else Signer(name, secret)
        self.key = self.signer.key_id.hex()
        self.verifier = self.signer.verifier

    def close(
        self, leaves: Sequence[bytes], worker: int, window_number: int, previous: bytes, closed_at_us: int
    ) -> SignedWindow:
        """Hash the leaves into a tree and sign its root.

        Args:
            leaves: at least one, LEAF_BYTES each.
            worker, window_number: who closes, and its dense number of windows.
            previous: hash of the worker's previous statement; NO_STATEMENT for its first.
            closed_at_us: microseconds, UTC.
        """
        sha256 = hashlib.sha256
        hashes = [sha256(b"\0" + leaf).digest() for leaf in leaves]
        root, paths = window(hashes)
        statement = _STATEMENT.pack(STATEMENT_VERSION, worker, window_number, len(hashes), closed_at_us, previous, root)
        return SignedWindow(statement, self.signer.sign(SIGNED_PREFIX + statement), root, hashes, paths, self.key)


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


def check_id(leaf: bytes) -> str:
    """Return the ID of the check a leaf records: the first 16 bytes of its hash in hexadecimal."""
    return leaf_hash(leaf)[:16].hex()


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


def to_json(receipt: Receipt) -> dict[str, Any]:
    """Return the JSON form of a receipt."""
    return receipt_json(receipt.leaf, receipt.index, receipt.path, receipt.statement, receipt.signature, receipt.key.hex())


class _Json(msgspec.Struct, forbid_unknown_fields=True):
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
            fields = msgspec.json.decode(data, type=_Json)
        else:
            fields = msgspec.convert(dict(data), type=_Json)
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
    if parts.index >= statement.count:
        raise VerificationFailed("The window has no answer with this index.", step=4, where="index")
    # 5 inclusion
    path = [parts.path[at : at + HASH_BYTES] for at in range(0, len(parts.path), HASH_BYTES)]
    if not verify_inclusion(statement.root, statement.count, parts.index, leaf_hash(parts.leaf), path):
        raise VerificationFailed("The answer is not in the window that was signed.", step=5, where="path")
    # 6 leaf
    leaf = parse_leaf(parts.leaf)
    _words(leaf)
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


def verify_window(
    statement: bytes, signature: bytes, leaves: Sequence[bytes], verifier: Verifier | Sequence[Verifier]
) -> Statement:
    """Verify a whole window as it stands in the check log: signature, count and root over all leaves.

    Raises:
        VerificationFailed: steps 3, 4 and 5 as for a receipt.
    """
    trusted = (verifier,) if isinstance(verifier, Verifier) else verifier
    if not any(key.verify(SIGNED_PREFIX + statement, signature) for key in trusted):
        raise VerificationFailed("The signature does not fit the statement.", step=3, where="signature")
    parsed = parse_statement(statement)
    if parsed.count != len(leaves):
        raise VerificationFailed("The window has another number of answers than signed.", step=4, where="count")
    if root_of([leaf_hash(leaf) for leaf in leaves]) != parsed.root:
        raise VerificationFailed("The answers are not those that were signed.", step=5, where="root")
    return parsed


def explain(receipt: Receipt | Verified | Mapping[str, Any] | bytes | str) -> dict[str, Any]:
    """Say in words what a receipt states. It proves nothing: call `verify` first.

    Returns:
        names of the codes, times in RFC 3339; None where an axis is empty.
    Raises:
        VerificationFailed: steps 1, 4 or 6 when it cannot be read.
    """
    parts = receipt.receipt if isinstance(receipt, Verified) else read(receipt)
    leaf, statement = parse_leaf(parts.leaf), parse_statement(parts.statement)
    words = _words(leaf)
    return {
        "check": parts.check,
        "checked_at": _time(leaf.checked_at_us),
        "party": leaf.party.rstrip(b"\0").decode("ascii"),
        "realm": "test" if leaf.flags & FLAG_TEST_REALM else "live",
        **words,
        "position": leaf.position,
        "as_of": _time(leaf.as_of_us),
        "policy_version": leaf.policy_version,
        "worker": statement.worker,
        "window": statement.window,
        "index": parts.index,
        "answers_in_window": statement.count,
        "closed_at": _time(statement.closed_at_us),
        "key": parts.key.hex(),
    }


def _time(at_us: int) -> str:
    moment = _EPOCH + timedelta(microseconds=at_us)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


_AXES: tuple[tuple[str, type[Coded], bool], ...] = (
    ("purpose", Purpose, True),
    ("channel", Channel, True),
    ("outcome", Outcome, False),
    ("status", StatusCode, True),
    ("identity", IdentityCode, True),
    ("binding", BindingCode, True),
    ("freshness", FreshnessCode, True),
    ("error", ErrorCode, False),
    ("coverage", Coverage, False),
)
"""Axis, its codes, and whether 0 stands for "none"."""
_WORDS: dict[str, dict[int, str | None]] = {
    axis: ({0: None} if may_be_empty else {}) | {member.octet: member.value for member in codes}
    for axis, codes, may_be_empty in _AXES
}


def _words(leaf: Leaf) -> dict[str, Any]:
    """Return the words of a leaf's codes; VerificationFailed (step 6) names the field that means nothing."""
    from annul.records.schemes import name_of_code  # not above: verifying a receipt needs no rules of documents

    words: dict[str, Any] = {"scheme": name_of_code(leaf.scheme)}
    for axis, meaning in _WORDS.items():
        octet = getattr(leaf, axis)
        if octet not in meaning:
            raise VerificationFailed("The leaf has a code without meaning.", step=6, where=axis, mend="Use a newer annul.")
        words[axis] = meaning[octet]
    try:
        words["advice"] = [step.value for step in advice_of_mask(leaf.advice)]
        name = leaf.party.rstrip(b"\0").decode("ascii")
    except ValueError as error:
        raise VerificationFailed("The leaf has a code without meaning.", step=6, where="advice or party") from error
    if leaf.flags & ~FLAG_TEST_REALM or not name or not all("!" <= character <= "~" for character in name):
        raise VerificationFailed("The leaf has a code without meaning.", step=6, where="flags or party")
    if max(leaf.checked_at_us, leaf.as_of_us) > _TIME_MAX_US:
        raise VerificationFailed("The leaf has a time outside the calendar.", step=6, where="checked_at")
    status = words["status"]
    words["status_class"] = None if status is None else StatusCode.of_octet(leaf.status).status_class.value
    return words
