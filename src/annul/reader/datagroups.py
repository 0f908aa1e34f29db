"""What stands in a data group: DG1 the zone, DG2 the portrait.

Source: ICAO Doc 9303-10 (8th edition) section 4.7; ISO/IEC 19794-5:2005 section 5 and 39794-5:2019 for the face record.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from annul.reader import tlv
from annul.reader.faults import CardMalformed
from annul.records.mrz import cut_lines

PORTRAIT_MAX_BYTES = 512 * 1024
"""Largest image taken from a chip; chips hold 12 to 40 kB."""
_FORMATS = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "image/jp2"),
    (b"\xff\x4f\xff\x51", "image/j2c"),
)


@dataclass(frozen=True, slots=True, repr=False)
class Portrait:
    """The holder's image as it was stored; lives in memory only.

    Attributes:
        media_type: image/jpeg, image/jp2 or image/j2c (bare JPEG 2000 code stream).
        data: the encoded image.
    """

    media_type: str
    data: bytes


def zone_of_dg1(data: bytes) -> list[str]:
    """Return the lines of the zone in DG1.

    Raises:
        CardMalformed: not a DG1, or its zone has no known length.
    """
    zone = tlv.find(data, 0x61, 0x5F1F)
    try:
        text = zone.decode("ascii")
    except UnicodeDecodeError:
        raise CardMalformed("the zone in DG1 is not of plain letters", where="DG1") from None
    lines = cut_lines(text)
    if not lines:
        raise CardMalformed("the zone in DG1 has no known length", where="DG1")
    return lines


def portrait_of_dg2(data: bytes, *, remarks: list[str] | None = None) -> Portrait:
    """Return the first facial image in DG2.

    Both record formats are read: ISO/IEC 19794-5:2005 by its lengths, ISO/IEC 39794-5 by its tags.

    Args:
        data: DG2 with its outer tag.
        remarks: gets `portrait_length` when the record's own length is off but that of the image's block fits.
    Raises:
        CardMalformed: lengths that contradict each other, or no image of a known format.
    """
    template = tlv.find(data, 0x75, 0x7F61)
    for item in tlv.children(template):
        if item.tag == 0x7F60:
            for block in tlv.children(item.value):
                if block.tag == 0x5F2E:
                    return _face_record(block.value, [] if remarks is None else remarks)
                if block.tag == 0x7F2E:
                    return _tagged_face(block.value)
    raise CardMalformed("DG2 holds no facial image", where="DG2")


def _face_record(record: bytes, remarks: list[str]) -> Portrait:
    try:
        magic, version, length, count = struct.unpack_from(">4s4sIH", record)
        if magic != b"FAC\0" or version != b"010\0" or count < 1:
            raise CardMalformed("the face record's header contradicts itself", where="DG2")
        block, points = struct.unpack_from(">IH", record, 14)
    except struct.error:
        raise CardMalformed("the face record is cut short", where="DG2") from None
    start, end = 14 + 20 + 8 * points + 12, 14 + block
    if length != len(record):
        remarks.append("portrait_length")
    if not start < end <= len(record):
        raise CardMalformed("the face record's lengths contradict each other", where="DG2")
    return _image(record[start:end])


def _tagged_face(record: bytes) -> Portrait:
    """Find the image octets of an ISO/IEC 39794-5 block: the longest primitive value that is an image."""
    found: list[bytes] = []
    stack: list[tuple[bytes, int]] = [(record, 0)]
    while stack:
        data, depth = stack.pop()
        for item in tlv.children(data):
            constructed = item.tag >> (8 * ((item.tag.bit_length() + 7) // 8 - 1) if item.tag else 0) & 0x20
            if constructed and depth < 12:
                stack.append((item.value, depth + 1))
            elif any(item.value.startswith(magic) for magic, _ in _FORMATS):
                found.append(item.value)
    if not found:
        raise CardMalformed("the face record holds no image of a known format", where="DG2")
    return _image(max(found, key=len))


def _image(data: bytes) -> Portrait:
    if len(data) > PORTRAIT_MAX_BYTES:
        raise CardMalformed("its portrait is larger than any chip's", where="DG2")
    for magic, media_type in _FORMATS:
        if data.startswith(magic):
            return Portrait(media_type, data)
    raise CardMalformed("its portrait is neither JPEG nor JPEG 2000", where="DG2")
