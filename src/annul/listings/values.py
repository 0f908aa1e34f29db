"""Pack and unpack what a slot says about a document: 40 bits.

Bits 0-7 code (state number + 1, or MANY, or UNLOCK), bits 8-23 last day of validity (days since the epoch, 0 not
given, 65535 long-term), bits 24-31 flags, bits 32-39 reserved (0). An UNLOCK value holds in bits 8-39 the minute
(since the epoch) until which the holder has opened the lock for one purpose.
A value of 0 says that nothing is listed.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from annul.records.status import SEVERITY, State

MANY = 240
"""Code of a number that several documents have: which one is meant cannot be told (U31)."""
UNLOCK = 241
"""Code of a timed unlock of one document for one purpose."""

WHOLE_LIFE = 1 << 0
"""The issuer provides whole lives: a document that is not here does not exist."""
OVERRIDES_BULK = 1 << 1
"""The document's own entry is stronger than any bulk segment (a wrong listing undone for this document)."""
NUMBER = 1 << 2
"""The slot is of a number without its discriminator."""
DISPUTED = 1 << 3
"""The status is disputed (U34)."""
COMPROMISED = 1 << 4
"""Among the standing facts is a data leak, whatever the worst state is."""

FLAGS_SHIFT = 24
CODE_MASK = 0xFF
VALUE_BITS = 40


class Value(NamedTuple):
    """Hold an unpacked value.

    Attributes:
        state: the worst standing fact; None for no entry, MANY and UNLOCK.
        expiry_day: last day of validity, days since the epoch; 0 not given, 65535 long-term.
        flags: WHOLE_LIFE | OVERRIDES_BULK | NUMBER | DISPUTED | COMPROMISED.
        many: several documents have this number.
        unlock_until_minute: minutes since the epoch; 0 when this is no unlock.
    """

    state: State | None
    expiry_day: int
    flags: int
    many: bool
    unlock_until_minute: int


def pack(state: State, expiry_day: int = 0, flags: int = 0) -> int:
    """Pack a document's state; `expiry_day` 0..65535, `flags` as above (COMPROMISED goes with that state)."""
    if state is State.compromised:
        flags |= COMPROMISED
    return (int(state) + 1) | (expiry_day & 0xFFFF) << 8 | (flags & 0xFF) << FLAGS_SHIFT


def pack_many(flags: int = 0) -> int:
    """Pack a number that several documents have."""
    return MANY | ((flags | NUMBER) & 0xFF) << FLAGS_SHIFT


def pack_unlock(until_minute: int) -> int:
    """Pack a timed unlock; minutes since the epoch, 0..2**32-1."""
    return UNLOCK | (until_minute & 0xFFFFFFFF) << 8


def unpack(value: int) -> Value:
    """Unpack the 40 bits of a slot (0: nothing listed)."""
    value = int(value)
    code = value & CODE_MASK
    if code == UNLOCK:
        return Value(None, 0, 0, False, value >> 8 & 0xFFFFFFFF)
    state = State(code - 1) if 0 < code < MANY else None
    return Value(state, value >> 8 & 0xFFFF, value >> FLAGS_SHIFT & 0xFF, code == MANY, 0)


@cache
def severity_table() -> bytes:
    """Rank every code, 256 bytes: the greater rank wins when two lists know the same document."""
    ranks = bytearray(256)
    for rank, state in enumerate(SEVERITY, 1):
        ranks[int(state) + 1] = rank
    ranks[MANY] = 254
    ranks[UNLOCK] = 255
    return bytes(ranks)
