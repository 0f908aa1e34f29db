"""The leaf: one answer as it stands in the log and in its receipt, 128 bytes. This file alone knows their layout.

`pack_leaf` writes a leaf field by field: it is the specification. Checks write thousands a second by `write_leaves`, which
puts each together from its beginning (the same for a window), a middle (the same for all answers with one set of codes;
`pack_middle` makes it once) and the two commitments. A property test holds the two ways to the same bytes.

To add a field: a new version here, docs/formats/receipt.md, new vectors. Layout: docs/formats/receipt.md.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from annul.errors import VerificationFailed
from annul.proof.merkle import leaf_hash
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

LEAF_VERSION: Final = 1
FLAG_TEST_REALM: Final = 1
PARTY_BYTES: Final = 24
SALT_BYTES: Final = 16
TIME_MAX_US: Final = 253_402_300_799_999_999
"""The last microsecond of the year 9999."""

_HEAD: Final = "BB"
_TIMES: Final = "QQQ"
_MIDDLE: Final = f"{PARTY_BYTES}sBBBBBBBBBBHH"
_LEAF: Final = struct.Struct(f">{_HEAD}{_TIMES}{_MIDDLE}32s32s")
_LIVE: Final = struct.pack(">" + _HEAD, LEAF_VERSION, 0)
_TEST: Final = struct.pack(">" + _HEAD, LEAF_VERSION, FLAG_TEST_REALM)
_pack_times: Final = struct.Struct(">" + _TIMES).pack
_pack_middle: Final = struct.Struct(">" + _MIDDLE).pack
LEAF_BYTES: Final = _LEAF.size

_DOCUMENT: Final = b"annul document v1\0"
_CONTEXT: Final = b"annul context v1\0"
_sha256 = hashlib.sha256


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


# -- writing -----------------------------------------------------------------------------------------------------------------


def pack_leaf(leaf: Leaf) -> bytes:
    """Return the leaf's LEAF_BYTES bytes. struct.error when a field is outside its range."""
    return _LEAF.pack(LEAF_VERSION, *leaf)


def pack_middle(party: str, codes: tuple[int, ...], advice: int, policy_version: int) -> bytes:
    """Return what is the same in every leaf with these codes: the part from the party to the policy version.

    Args:
        party: name of the relying party, see `party_bytes`.
        codes: ten octets: purpose, channel, scheme, outcome, status, identity, binding, freshness, error, coverage.
        advice: 16-bit mask.
        policy_version: 0..65535.

    Raises:
        ValueError: the name is none. struct.error: another number of codes, or one outside its range.
    """
    return _pack_middle(party_bytes(party), *codes, advice, policy_version)


Row = tuple[bool, bytes, bytes, bytes, bytes]
"""What one answer adds to its window's leaves, in this order:

- whether it is of the test realm;
- its middle, of `pack_middle`;
- its salt, SALT_BYTES random bytes of this check alone;
- the document: `annul.records.document.canonical`;
- the five texts of the context, each packed by `pack_text`, put together."""


def write_leaves(checked_at_us: int, position: int, as_of_us: int, answered: Iterable[Row]) -> list[bytes]:
    """Return the leaves of a window.

    Args:
        checked_at_us: time of the window's checks (microseconds, UTC).
        position, as_of_us: the register state they stand on.
        answered: what each answer adds, as `Row` says.
    """
    times = _pack_times(checked_at_us, position, as_of_us)
    live, test = _LIVE + times, _TEST + times
    return [
        (test if of_test else live) + middle + document_commitment(salt, identity) + context_commitment(salt, texts)
        for of_test, middle, salt, identity, texts in answered
    ]


def party_bytes(name: str) -> bytes:
    """Return a relying party's name as it stands in a leaf. ValueError when it is not 1 to 24 printable ASCII bytes."""
    encoded = name.encode("ascii")
    if not 1 <= len(encoded) <= PARTY_BYTES or not all(33 <= byte < 127 for byte in encoded):
        raise ValueError("a party's name has 1 to 24 printable ASCII characters")
    return encoded.ljust(PARTY_BYTES, b"\0")


SHORT: Final = [length.to_bytes(2, "big") for length in range(1024)]
"""u16 lengths ready made; texts of a question are at most 800 bytes long."""


def pack_text(text: str) -> bytes:
    """Return a text in UTF-8 behind its u16 length. IndexError when it has more than 1,023 bytes."""
    encoded = text.encode()
    return SHORT[len(encoded)] + encoded


def pack_context(branch: str, terminal: str, clerk: str, reference: str) -> bytes:
    """Return the four texts a party gives, each packed by `pack_text`. Written out: it runs once per check."""
    b, t, c, r = branch.encode(), terminal.encode(), clerk.encode(), reference.encode()
    return b"".join((SHORT[len(b)], b, SHORT[len(t)], t, SHORT[len(c)], c, SHORT[len(r)], r))


def document_commitment(salt: bytes, identity: bytes) -> bytes:
    """Return SHA-256("annul document v1" | 0 | salt | canonical identity). The salt has 16 random bytes."""
    return _sha256(_DOCUMENT + salt + identity).digest()


def context_commitment(salt: bytes, texts: bytes) -> bytes:
    """Return SHA-256("annul context v1" | 0 | salt | branch, terminal, clerk, reference, holder's name).

    Args:
        salt: 16 random bytes.
        texts: the five texts, each packed by `pack_text`, put together.
    """
    return _sha256(_CONTEXT + salt + texts).digest()


# -- reading -----------------------------------------------------------------------------------------------------------------


def check_id(leaf: bytes) -> str:
    """Return the ID of the check a leaf records: the first 16 bytes of its hash in hexadecimal."""
    return leaf_hash(leaf)[:16].hex()


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
CODES: Final[dict[str, dict[int, str | None]]] = {
    axis: ({0: None} if may_be_empty else {}) | {member.octet: member.value for member in codes}
    for axis, codes, may_be_empty in _AXES
}
"""What each number of an axis stands for."""


def names_of(leaf: Leaf) -> dict[str, Any]:
    """Return the names of a leaf's codes by axis, and its `advice` as a list; None where an axis is empty.

    Raises:
        VerificationFailed: step 6, a field means nothing; `where` names it.
    """
    names: dict[str, Any] = {}
    for axis, meaning in CODES.items():
        octet = getattr(leaf, axis)
        if octet not in meaning:
            raise VerificationFailed("The leaf has a code without meaning.", step=6, where=axis, mend="Use a newer annul.")
        names[axis] = meaning[octet]
    try:
        names["advice"] = [step.value for step in advice_of_mask(leaf.advice)]
        party = leaf.party.rstrip(b"\0").decode("ascii")
    except ValueError as error:
        raise VerificationFailed("The leaf has a code without meaning.", step=6, where="advice or party") from error
    if leaf.flags & ~FLAG_TEST_REALM or not party or not all("!" <= character <= "~" for character in party):
        raise VerificationFailed("The leaf has a code without meaning.", step=6, where="flags or party")
    if max(leaf.checked_at_us, leaf.as_of_us) > TIME_MAX_US:
        raise VerificationFailed("The leaf has a time outside the calendar.", step=6, where="checked_at")
    return names
