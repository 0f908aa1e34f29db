"""Tag-length-value data as cards send it: bounded reading, minimal writing.

Tags are integers as printed (`0x5F1F`), lengths are definite. A length that claims more than is there, or more than
`VALUE_MAX_BYTES`, is refused before anything is copied.

Source: ISO/IEC 8825-1 (BER), ISO/IEC 7816-4 section 5.2.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from annul.reader.faults import CardMalformed

VALUE_MAX_BYTES = 1 << 20
"""One mebibyte: far above any data group (a portrait is about 20 kB), far below what hurts."""


class Tlv(NamedTuple):
    """One data object: its tag, its value, and the offset behind it."""

    tag: int
    value: bytes
    end: int


def head(data: bytes, offset: int = 0) -> tuple[int, int, int]:
    """Read tag and length only.

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
    if length > VALUE_MAX_BYTES:
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
