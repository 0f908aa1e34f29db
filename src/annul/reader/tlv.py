"""Tag-length-value data as cards send it: bounded reading, minimal writing.

Tags are integers as printed (`0x5F1F`), lengths are definite; `definite` brings the other form of BER to this one. A length
that claims more than is there, or more than `VALUE_MAX_BYTES`, is refused before anything is copied.

Source: ISO/IEC 8825-1 (BER), ISO/IEC 7816-4 section 5.2.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from annul.reader.faults import CardMalformed

VALUE_MAX_BYTES = 1 << 20
"""One mebibyte: far above any data group (a portrait is about 20 kB), far below what hurts."""

DEPTH_MAX = 32
"""Levels of nesting that `definite` follows; a certificate has about 10."""


class Tlv(NamedTuple):
    """One data object: its tag, its value, and the offset behind it."""

    tag: int
    value: bytes
    end: int


def head(data: bytes, offset: int = 0, *, value_max_bytes: int = VALUE_MAX_BYTES) -> tuple[int, int, int]:
    """Read tag and length only.

    Args:
        data: the bytes.
        offset: where the object begins.
        value_max_bytes: the longest value that is believed.
    Returns:
        (tag, length of the value, offset of the value). The value itself need not be there yet.
    Raises:
        CardMalformed: cut short, tag of more than 3 bytes, indefinite or over-long length.
    """
    try:
        tag = data[offset]
        offset += 1
        if tag & 0x1F == 0x1F:
            for _ in range(2):
                byte = data[offset]
                offset += 1
                tag = tag << 8 | byte
                if byte < 0x80:
                    break
            else:
                raise CardMalformed("a tag is longer than three bytes")
        length = data[offset]
        offset += 1
        if length == 0x80 or length > 0x84:
            raise CardMalformed("a length is not in definite form")
        if length > 0x80:
            count = length & 0x7F
            if offset + count > len(data):
                raise CardMalformed("a data object is cut short")
            length = int.from_bytes(data[offset : offset + count], "big")
            offset += count
    except IndexError:
        raise CardMalformed("a data object is cut short") from None
    if length > value_max_bytes:
        raise CardMalformed("a length is larger than any data object of an identity document")
    return tag, length, offset


def read(data: bytes, offset: int = 0) -> Tlv:
    """Read the data object at `offset`.

    Raises:
        CardMalformed: see `head`; also when the value reaches beyond the data.
    """
    tag, length, start = head(data, offset)
    if start + length > len(data):
        raise CardMalformed("a data object claims to be longer than the data it stands in")
    return Tlv(tag, data[start : start + length], start + length)


def children(data: bytes) -> Iterator[Tlv]:
    """Yield the data objects that stand one behind the other in `data`."""
    offset = 0
    while offset < len(data):
        item = read(data, offset)
        yield item
        offset = item.end


def find(data: bytes, *path: int) -> bytes:
    """Walk down `path` (one tag per level) and return the value at its end.

    Raises:
        CardMalformed: a tag of the path is missing, or the data is malformed on the way.
    """
    for tag in path:
        for item in children(data):
            if item.tag == tag:
                data = item.value
                break
        else:
            raise CardMalformed(f"data object {tag:X} is missing")
    return data


def write(tag: int, value: bytes) -> bytes:
    """Write one data object with the shortest length form."""
    name = tag.to_bytes((tag.bit_length() + 7) // 8 or 1, "big")
    count = len(value)
    if count < 0x80:
        return name + bytes([count]) + value
    size = count.to_bytes((count.bit_length() + 7) // 8, "big")
    return name + bytes([0x80 | len(size)]) + size + value


def definite(data: bytes, *, value_max_bytes: int = VALUE_MAX_BYTES) -> bytes:
    """Rewrite the data object at the start of `data` with definite lengths and strings in one piece.

    What is in definite form already is copied byte for byte, so that what was signed stays what was signed; bytes behind the
    object are dropped.

    Raises:
        CardMalformed: cut short, or nested deeper than `DEPTH_MAX`.
    Source: ISO/IEC 8825-1 section 8.1.3.6 (indefinite form), 8.7.3 (octet strings in pieces).
    """
    return _definite(data, 0, DEPTH_MAX, value_max_bytes)[0]


def _definite(data: bytes, offset: int, depth: int, value_max_bytes: int) -> tuple[bytes, int]:
    if depth == 0:
        raise CardMalformed("data objects are nested too deeply")
    start, indefinite = offset, False
    try:
        first = data[offset]
        tag_end = offset + 1
        if first & 0x1F == 0x1F:
            while data[tag_end] & 0x80:
                tag_end += 1
            tag_end += 1
        indefinite = data[tag_end] == 0x80
    except IndexError:
        raise CardMalformed("a data object is cut short") from None
    if indefinite:
        if not first & 0x20:
            raise CardMalformed("a value without end is not constructed")
        at, ends = tag_end + 1, len(data)
    else:
        _, length, at = head(data, offset, value_max_bytes=value_max_bytes)
        ends = at + length
        if ends > len(data):
            raise CardMalformed("a data object claims to be longer than the data it stands in")
        if not first & 0x20:
            return data[start:ends], ends
    parts, changed = [], indefinite or first == 0x24
    while at < ends and not (indefinite and data[at : at + 2] == b"\0\0"):
        part, behind = _definite(data, at, depth - 1, value_max_bytes)
        changed = changed or part != data[at:behind]
        parts.append(part)
        at = behind
    if indefinite:
        if data[at : at + 2] != b"\0\0":
            raise CardMalformed("a value without end does not end")
        ends = at + 2
    if not changed:
        return data[start:ends], ends
    if first == 0x24:
        return write(0x04, b"".join(part[head(part, value_max_bytes=value_max_bytes)[2] :] for part in parts)), ends
    return write(int.from_bytes(data[start:tag_end], "big"), b"".join(parts)), ends
