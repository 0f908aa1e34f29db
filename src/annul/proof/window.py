"""Windows of answers: a tree over their leaves, and one signed statement that holds its root.

One Ed25519 signature covers all answers of a few milliseconds. Layout of the statement: docs/formats/receipt.md.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from annul.errors import VerificationFailed
from annul.proof.checkpoint import Signer, Verifier
from annul.proof.leaf import TIME_MAX_US
from annul.proof.merkle import HASH_BYTES, leaf_hash, window
from annul.proof.merkle import root as root_of

STATEMENT_VERSION: Final = 1
RECEIPTS_NAME: Final = "annul/receipts"
"""Name of the signing key unless another is given."""
NO_STATEMENT: Final = bytes(HASH_BYTES)
"""`previous` of the first window of a worker."""
SIGNED_PREFIX: Final = b"annul window v1\n"

_STATEMENT: Final = struct.Struct(">BHQIQ32s32s")
STATEMENT_BYTES: Final = _STATEMENT.size


class Statement(msgspec.Struct, frozen=True):
    """What is signed of a window: who closed it, which one, how many answers, when, what came before, and the root."""

    worker: int
    window: int
    count: int
    closed_at_us: int
    previous: bytes
    root: bytes


def pack_statement(worker: int, window: int, count: int, closed_at_us: int, previous: bytes, root: bytes) -> bytes:
    """Return a statement's STATEMENT_BYTES bytes; fields as in `Statement`. struct.error when one is outside its range."""
    return _STATEMENT.pack(STATEMENT_VERSION, worker, window, count, closed_at_us, previous, root)


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
    if statement.closed_at_us > TIME_MAX_US:
        raise VerificationFailed("The statement has a time outside the calendar.", step=4, where="statement")
    return statement


def statement_hash(data: bytes) -> bytes:
    """Return SHA-256 of a statement's bytes: the link the next statement of the worker carries."""
    return hashlib.sha256(data).digest()


class SignedWindow(NamedTuple):
    """A closed window: everything its receipts are made of, but the leaves."""

    statement: bytes
    signature: bytes
    root: bytes
    leaf_hashes: list[bytes]
    paths: list[bytes]
    key: str

    @property
    def statement_hash(self) -> bytes:
        """SHA-256 of the statement: `previous` of the next window."""
        return statement_hash(self.statement)


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
        statement = pack_statement(worker, window_number, len(hashes), closed_at_us, previous, root)
        return SignedWindow(statement, self.signer.sign(SIGNED_PREFIX + statement), root, hashes, paths, self.key)


def verify_window(
    statement: bytes, signature: bytes, leaves: Sequence[bytes], verifier: Verifier | Sequence[Verifier]
) -> Statement:
    """Verify a whole window as it stands in the check log: signature, count and root over all leaves.

    Raises:
        VerificationFailed: steps 3, 4 and 5 as for a receipt.
    """
    trusted = (verifier,) if isinstance(verifier, Verifier) else verifier
    fitting = [key for key in trusted if key.verify(SIGNED_PREFIX + statement, signature)]
    if not fitting:
        raise VerificationFailed("The signature does not fit the statement.", step=3, where="signature")
    parsed = parse_statement(statement)
    if not any(key.in_use(parsed.closed_at_us) for key in fitting):
        raise VerificationFailed("The key was not in use when the window was closed.", step=4, where="key")
    if parsed.count != len(leaves):
        raise VerificationFailed("The window has another number of answers than signed.", step=4, where="count")
    if root_of([leaf_hash(leaf) for leaf in leaves]) != parsed.root:
        raise VerificationFailed("The answers are not those that were signed.", step=5, where="root")
    return parsed
