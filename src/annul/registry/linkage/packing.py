"""The bytes of both kinds of status list. They differ in bit order and compression; one function each.

    Token Status List        entry 0 in the lowest bits of byte 0; zlib (DEFLATE with RFC 1950 header and trailer)
    Bitstring Status List    entry 0 is the highest bit of byte 0; GZIP, base64url without padding, multibase prefix "u"

Lists are padded with VALID up to a whole byte; a Bitstring list has at least 131,072 entries.

Source: draft-ietf-oauth-status-list (21), sections 4.1 and 4.2; W3C Bitstring Status List v1.0 (May 2025), 3.1 to 3.3.
"""

from __future__ import annotations

import base64
import gzip
import zlib
from typing import Any, Final

import numpy as np

from annul.errors import BadInput

BITSTRING_ENTRIES_MIN: Final = 131_072
LEVEL: Final = 9
"""As the draft's own vectors are made."""

States = Any
"""An array of unsigned bytes, an entry each."""


def packed(states: States, bits: int) -> bytes:
    """Return the bytes of a Token Status List.

    Args:
        states: an entry each, below 2^bits.
        bits: 1, 2, 4 or 8.
    Raises:
        BadInput: another number of bits, or a state that does not fit.
    """
    if bits not in (1, 2, 4, 8):
        raise BadInput("An entry has 1, 2, 4 or 8 bits.", where="bits")
    entries = np.asarray(states, np.uint8)
    if entries.size and int(entries.max()) >> bits:
        raise BadInput("A state does not fit into an entry's bits.", where="states")
    if bits == 1:
        return np.packbits(entries, bitorder="little").tobytes()
    per = 8 // bits
    entries = np.pad(entries, (0, -len(entries) % per)).reshape(-1, per)
    made = np.zeros(len(entries), np.uint8)
    for place in range(per):
        made |= entries[:, place] << np.uint8(place * bits)
    return made.tobytes()


def squeezed(raw: bytes) -> bytes:
    """Compress the bytes of a Token Status List."""
    return zlib.compress(raw, LEVEL)


def text_of(raw: bytes) -> str:
    """Return bytes as base64url without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def encoded_list(flags: States) -> str:
    """Return the encodedList of a Bitstring Status List.

    Args:
        flags: an entry each, 0 or 1.
    """
    entries = np.asarray(flags, np.uint8)
    entries = np.pad(entries, (0, max(0, BITSTRING_ENTRIES_MIN - len(entries))))
    return "u" + text_of(gzip.compress(np.packbits(entries, bitorder="big").tobytes(), LEVEL, mtime=0))
