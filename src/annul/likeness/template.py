"""Finger minutiae records, ISO/IEC 19794-2:2005, read strictly and written so that others can read them.

Coordinates inside the program are pixels at 500 dpi, y upwards; a record has pixels from the top left at its own resolution.
Directions need no turning: the record's angle runs counter-clockwise from x, along the ridge away from its end, as ours does.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from annul.errors import BadInput, TooLarge, UnknownVersion

MAGIC: Final = b"FMR\x00"
VERSION: Final = b" 20\x00"
RECORD_BYTES_MAX: Final = 65_535
"""Bytes of one record; a full view of 255 minutiae has 1,536."""
VIEWS_MAX: Final = 16
"""Views of one record: ten fingers, or one finger several times."""
MINUTIAE_MAX: Final = 255
"""Minutiae of one view: the count has one byte."""
EXTRACTOR_BLOCK: Final = 0x0A11
"""Extended data of this program (vendor range 0x0100-0xFFFF): name of the extractor, ASCII."""
PIXELS_PER_CM: Final = 197
"""500 dpi, the resolution records are written at."""

_HEAD = struct.Struct(">4s4sIHHHHHBB")
_VIEW = struct.Struct(">BBBB")
_MINUTIA = struct.Struct(">HHBB")


@dataclass(frozen=True, slots=True)
class View:
    """One impression of one finger.

    position: finger code 0 (unknown) to 10 (left little); impression: view number 0..15; quality 0..100;
    minutiae: float64 (n, 4) as in `minutiae`; kinds: uint8 (n,), 1 ending, 2 bifurcation, 0 other; extractor: "" if foreign.
    """

    position: int
    impression: int
    quality: int
    minutiae: NDArray[np.float64]
    kinds: NDArray[np.uint8]
    extractor: str = ""


def encode(views: list[View], size: tuple[int, int]) -> bytes:
    """Write views of one capture size (width, height in pixels at 500 dpi) as one record.

    Raises:
        BadInput: no view, too many views, or a size that the format cannot hold.
    """
    width, height = size
    if not 1 <= len(views) <= VIEWS_MAX or not (0 < width < 0x4000 and 0 < height < 0x4000):
        raise BadInput("A minutiae record needs 1 to 16 views of at most 16,383 pixels a side.", where="/finger")
    body = b""
    for view in views:
        order = np.argsort(-view.minutiae[:, 3], kind="stable")[:MINUTIAE_MAX]
        body += _VIEW.pack(view.position, (view.impression & 15) << 4, max(0, min(100, view.quality)), len(order))
        for k in order:
            x, y, direction, reliability = view.minutiae[k]
            column = int(min(max(round(x), 0), width - 1))
            row = int(min(max(round(height - 1 - y), 0), height - 1))
            angle = round(direction * 256 / (2 * np.pi)) % 256
            body += _MINUTIA.pack(
                (int(view.kinds[k]) & 3) << 14 | column, row, angle, max(1, min(100, round(reliability * 100)))
            )
        name = view.extractor.encode("ascii")
        block = struct.pack(">HH", EXTRACTOR_BLOCK, 4 + len(name)) + name if name else b""
        body += struct.pack(">H", len(block)) + block
    total = _HEAD.size + len(body)
    if total > RECORD_BYTES_MAX:
        raise BadInput("The minutiae record would be larger than the limit.", where="/finger", mend="Write fewer views.")
    return _HEAD.pack(MAGIC, VERSION, total, 0, width, height, PIXELS_PER_CM, PIXELS_PER_CM, len(views), 0) + body


def decode(record: bytes, *, where: str = "/finger") -> list[View]:
    """Read all views of a record; coordinates are brought to 500 dpi, y upwards.

    Raises:
        TooLarge: the record or its number of views is over the limit.
        UnknownVersion: not the 2005 version (the 2011 version has another layout).
        BadInput: cut short, longer than it says, or a minutia outside the image.
    """
    if len(record) > RECORD_BYTES_MAX:
        raise TooLarge(f"The minutiae record is larger than {RECORD_BYTES_MAX:,} bytes.", where=where)
    if len(record) < _HEAD.size or record[:4] != MAGIC:
        raise BadInput(
            "The template is not an ISO/IEC 19794-2 minutiae record.", where=where, mend="Send a record or an image."
        )
    _, version, length, _, width, height, per_cm_x, per_cm_y, count, _ = _HEAD.unpack_from(record)
    if version != VERSION:
        raise UnknownVersion("The minutiae record is not of the 2005 version (' 20').", where=where, mend="Export it as 2005.")
    if length != len(record):
        raise BadInput("The minutiae record is not as long as its header says.", where=where, mend="Send the whole record.")
    if count > VIEWS_MAX:
        raise TooLarge(f"The minutiae record has more than {VIEWS_MAX} views.", where=where)
    if count == 0 or not (0 < width < 0x4000 and 0 < height < 0x4000) or not (50 <= per_cm_x <= 500 and 50 <= per_cm_y <= 500):
        raise BadInput("The minutiae record's header has no view, no size or no usable resolution.", where=where)
    scale = (PIXELS_PER_CM / per_cm_x, PIXELS_PER_CM / per_cm_y)
    views: list[View] = []
    at = _HEAD.size
    try:
        for _ in range(count):
            view, at = _decode_view(record, at, (width, height), scale, where)
            views.append(view)
    except (struct.error, IndexError):
        raise BadInput("The minutiae record is cut short.", where=where, mend="Send the whole record.") from None
    if at != len(record):
        raise BadInput("The minutiae record has bytes after its last view.", where=where)
    return views


def _decode_view(record: bytes, at: int, size: tuple[int, int], scale: tuple[float, float], where: str) -> tuple[View, int]:
    position, number, quality, n = _VIEW.unpack_from(record, at)
    at += _VIEW.size
    end = at + n * _MINUTIA.size
    if end > len(record):
        raise IndexError
    rows = np.frombuffer(record[at:end], dtype=np.dtype([("x", ">u2"), ("y", ">u2"), ("angle", "u1"), ("quality", "u1")]))
    columns, lines = (rows["x"] & 0x3FFF).astype(np.float64), (rows["y"] & 0x3FFF).astype(np.float64)
    if n and (columns.max() >= size[0] or lines.max() >= size[1]):
        raise BadInput("A minutia of the record lies outside its image.", where=where)
    reliability = np.where(rows["quality"] == 0, 50, np.minimum(rows["quality"], 100)) / 100.0
    direction = rows["angle"].astype(np.float64) * (2 * np.pi / 256)
    minutiae = np.stack([columns * scale[0], (size[1] - 1 - lines) * scale[1], direction, reliability], axis=1)
    kinds = (rows["x"] >> 14).astype(np.uint8)
    (extended,) = struct.unpack_from(">H", record, end)
    at = end + 2
    if at + extended > len(record):
        raise IndexError
    extractor = _extractor(record[at : at + extended])
    return View(min(position, 10), number >> 4, min(quality, 100), minutiae, kinds, extractor), at + extended


def _extractor(extended: bytes) -> str:
    at = 0
    while at + 4 <= len(extended):
        kind, length = struct.unpack_from(">HH", extended, at)
        if length < 4 or at + length > len(extended):
            break
        if kind == EXTRACTOR_BLOCK:
            return extended[at + 4 : at + length].decode("ascii", "replace")[:32]
        at += length
    return ""
