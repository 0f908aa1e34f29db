"""Finger minutiae records: ISO/IEC 19794-2:2005 is written so that others can read it; that of 2011 and ANSI INCITS 378-2004
are read too, strictly, told apart by their headers.

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
VERSION_2011: Final = b"030\x00"
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
_SIZES = struct.Struct(">HHHHBB")
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

    Three kinds of records bear the same magic and are told apart by their headers: ISO/IEC 19794-2 of 2005 and of 2011, and
    ANSI INCITS 378-2004.

    Raises:
        TooLarge: the record or its number of views is over the limit.
        UnknownVersion: another version, or not laid out as its version says.
        BadInput: cut short, longer than it says, or a minutia outside the image.
    """
    if len(record) > RECORD_BYTES_MAX:
        raise TooLarge(f"The minutiae record is larger than {RECORD_BYTES_MAX:,} bytes.", where=where)
    if card_format(record):
        raise BadInput(
            "The template is in the form of a card (7F 2E or 7F 60), which says neither its size nor its finger.",
            where=where,
            mend="Export it as a record of ISO/IEC 19794-2:2005.",
        )
    if len(record) < _HEAD.size or record[:4] != MAGIC:
        raise BadInput(
            "The template is not an ISO/IEC 19794-2 minutiae record.", where=where, mend="Send a record or an image."
        )
    try:
        if record[4:8] == VERSION_2011:
            return _decode_2011(record, where)
        if record[4:8] != VERSION:
            raise UnknownVersion(
                "The minutiae record is neither of the 2005 nor of the 2011 version.", where=where, mend="Export it as 2005."
            )
        return _decode_2005(record, where)
    except (struct.error, IndexError):
        raise BadInput("The minutiae record is cut short.", where=where, mend="Send the whole record.") from None


def card_format(record: bytes) -> bool:
    """Tell a biometric data template of a card, which has minutiae without a header (ISO/IEC 19794-2 section 8)."""
    return record[:2] in (b"\x7f\x2e", b"\x7f\x60")


def _decode_2005(record: bytes, where: str) -> list[View]:
    """Read ISO/IEC 19794-2:2005, or ANSI INCITS 378-2004: of the same magic and version, but a length of two bytes (or of six,
    the first two of them zero), an owner and type of the software after it, and angles in steps of 2 degrees."""
    step, at = 2 * np.pi / 256, 8
    if record[8:10] != b"\0\0":
        step, at, length = np.radians(2.0), 10, int.from_bytes(record[8:10], "big")
    elif int.from_bytes(record[8:12], "big") != len(record) == int.from_bytes(record[10:14], "big"):
        step, at, length = np.radians(2.0), 14, len(record)
    else:
        at, length = 12, int.from_bytes(record[8:12], "big")
    if length != len(record):
        raise BadInput("The minutiae record is not as long as its header says.", where=where, mend="Send the whole record.")
    at += 2 if step == 2 * np.pi / 256 else 6  # the equipment; before it, in ANSI's, owner and type of the software
    width, height, per_cm_x, per_cm_y, count, _ = _SIZES.unpack_from(record, at)
    at += _SIZES.size
    _check_head(count, (width, height), (per_cm_x, per_cm_y), where)
    scale = (PIXELS_PER_CM / per_cm_x, PIXELS_PER_CM / per_cm_y)
    views: list[View] = []
    for _ in range(count):
        position, number, quality, n = _VIEW.unpack_from(record, at)
        at += _VIEW.size
        form = _Form((width, height), scale, step, _MINUTIA.size)
        minutiae, kinds, at = _points(record, at, n, form, where)
        extractor, at = _extended(record, at)
        views.append(View(min(position, 10), number >> 4, min(quality, 100), minutiae, kinds, extractor))
    if at != len(record):
        raise BadInput("The minutiae record has bytes after its last view.", where=where)
    return views


def _decode_2011(record: bytes, where: str) -> list[View]:
    """Read ISO/IEC 19794-2:2011, in which every view (representation) has a header with its own size and resolution."""
    length, count, certified = struct.unpack_from(">IHB", record, 8)
    if length != len(record) or certified > 1 or count == 0:
        raise UnknownVersion(
            "The minutiae record is not laid out as its version (2011) says.", where=where, mend="Export it anew."
        )
    if count > VIEWS_MAX:
        raise TooLarge(f"The minutiae record has more than {VIEWS_MAX} views.", where=where)
    views: list[View] = []
    at = 15
    for _ in range(count):
        start = at
        (own,) = struct.unpack_from(">I", record, at)
        at += 18  # length, time of capture, technology, vendor and type of the device
        blocks = record[at]
        quality = record[at + 1] if blocks else 0
        at += 1 + 5 * blocks
        if certified:
            at += 1 + 3 * record[at]
        position, number, per_cm_x, per_cm_y, _, width, height, form_bits, n = struct.unpack_from(">BBHHBHHBB", record, at)
        at += 13
        _check_head(1, (width, height), (per_cm_x, per_cm_y), where)
        size = form_bits >> 4
        if size not in (5, 6):
            raise BadInput("A minutia of the record has neither 5 nor 6 bytes.", where=where)
        scale = (PIXELS_PER_CM / per_cm_x, PIXELS_PER_CM / per_cm_y)
        form = _Form((width, height), scale, 2 * np.pi / 256, size)
        minutiae, kinds, at = _points(record, at, n, form, where)
        extractor, at = _extended(record, at)
        if at - start != own:
            raise BadInput("A view of the record is not as long as it says.", where=where)
        stated = quality if quality <= 100 else 0
        views.append(View(min(position, 10), number & 15, stated, minutiae, kinds, extractor))
    if at != len(record):
        raise BadInput("The minutiae record has bytes after its last view.", where=where)
    return views


def _check_head(count: int, size: tuple[int, int], per_cm: tuple[int, int], where: str) -> None:
    if count > VIEWS_MAX:
        raise TooLarge(f"The minutiae record has more than {VIEWS_MAX} views.", where=where)
    if count == 0 or not all(0 < side < 0x4000 for side in size) or not all(50 <= each <= 500 for each in per_cm):
        raise BadInput("The minutiae record's header has no view, no size or no usable resolution.", where=where)


@dataclass(frozen=True, slots=True)
class _Form:
    """How the minutiae of a view are written: image size, scale to 500 dpi, step of an angle (radians), bytes of each."""

    size: tuple[int, int]
    scale: tuple[float, float]
    step: float
    bytes_each: int


def _points(record: bytes, at: int, n: int, form: _Form, where: str) -> tuple[NDArray[np.float64], NDArray[np.uint8], int]:
    end = at + n * form.bytes_each
    if end > len(record):
        raise IndexError
    fields = [("x", ">u2"), ("y", ">u2"), ("angle", "u1"), ("quality", "u1")][: form.bytes_each - 2]
    rows = np.frombuffer(record[at:end], dtype=np.dtype(fields))
    columns, lines = (rows["x"] & 0x3FFF).astype(np.float64), (rows["y"] & 0x3FFF).astype(np.float64)
    if n and (columns.max() >= form.size[0] or lines.max() >= form.size[1]):
        raise BadInput("A minutia of the record lies outside its image.", where=where)
    quality = rows["quality"] if form.bytes_each == _MINUTIA.size else np.zeros(n, np.uint8)
    reliability = np.where((quality == 0) | (quality > 100), 50, quality) / 100.0
    direction = rows["angle"].astype(np.float64) * form.step
    top = form.size[1] - 1
    minutiae = np.stack([columns * form.scale[0], (top - lines) * form.scale[1], direction, reliability], axis=1)
    return minutiae, (rows["x"] >> 14).astype(np.uint8), end


def _extended(record: bytes, at: int) -> tuple[str, int]:
    """Read the extended data behind a view: the extractor's name, and the offset behind them."""
    (extended,) = struct.unpack_from(">H", record, at)
    at += 2
    if at + extended > len(record):
        raise IndexError
    return _extractor(record[at : at + extended]), at + extended


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
