"""ISO/IEC 19794-2 records: written conformant, read strictly."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.likeness.people import minutiae_of, record_of

from annul.errors import BadInput, TooLarge, UnknownVersion
from annul.likeness import template


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 399), st.integers(0, 299), st.integers(0, 255), st.integers(1, 100), st.integers(0, 2)),
        max_size=255,
    ),
    st.integers(0, 10),
    st.integers(0, 15),
    st.integers(0, 100),
    st.sampled_from(["", "LEADER"]),
)
def test_a_record_reads_back_as_written(
    points: list[tuple[int, int, int, int, int]], position: int, impression: int, quality: int, extractor: str
) -> None:
    """Encode, decode: the same view, up to the order of equally reliable minutiae."""
    minutiae = np.array([(x, y, a * 2 * np.pi / 256, q / 100) for x, y, a, q, _ in points]).reshape(-1, 4)
    kinds = np.array([k for *_, k in points], dtype=np.uint8)
    view = template.View(position, impression, quality, minutiae, kinds, extractor)
    found = template.decode(template.encode([view], (400, 300)))[0]
    order = np.argsort(-minutiae[:, 3], kind="stable")
    assert (found.position, found.impression, found.quality, found.extractor) == (position, impression, quality, extractor)
    np.testing.assert_allclose(found.minutiae, minutiae[order], atol=1e-9)
    np.testing.assert_array_equal(found.kinds, kinds[order])


def test_the_header_is_that_of_the_standard() -> None:
    """Field by field after ISO/IEC 19794-2:2005, 7.3: 24 bytes, 500 dpi as 197 pixels a centimetre."""
    record = record_of(minutiae_of(1))
    head = struct.unpack(">4s4sIHHHHHBB", record[:24])
    assert head == (b"FMR\0", b" 20\0", len(record), 0, 400, 400, 197, 197, 1, 0)
    position, _, quality, count = record[24:28]
    assert (position, quality) == (1, 60)
    assert count > 40


def test_a_record_of_half_resolution_is_brought_to_500_dpi() -> None:
    """Coordinates are scaled by the record's own resolution."""
    record = bytearray(record_of(minutiae_of(1), extractor=""))
    before = template.decode(bytes(record))[0].minutiae[:, 0]
    struct.pack_into(">HH", record, 18, 98, 98)
    np.testing.assert_allclose(template.decode(bytes(record))[0].minutiae[:, 0], before * 197 / 98)


def test_every_cut_of_a_record_is_refused() -> None:
    """Truncated anywhere: BadInput, never half a template."""
    record = record_of(minutiae_of(1))
    for end in range(len(record)):
        with pytest.raises(BadInput):
            template.decode(record[:end])
        fixed = bytearray(record[:end])
        if end >= 12:
            struct.pack_into(">I", fixed, 8, end)
            with pytest.raises(BadInput):
                template.decode(bytes(fixed))


def test_records_with_thousands_of_minutiae_are_refused_before_they_are_read() -> None:
    """Size and number of views are bounded."""
    with pytest.raises(TooLarge):
        template.decode(b"FMR\0 20\0" + bytes(70_000))
    many = bytearray(record_of(minutiae_of(1)))
    many[22] = 200
    with pytest.raises(TooLarge):
        template.decode(bytes(many))


def test_a_record_that_is_not_as_its_version_says_is_not_read_by_guess() -> None:
    """2005's layout under 2011's version, and versions of the future."""
    for version in (b"030\0", b"040\0"):
        with pytest.raises(UnknownVersion):
            template.decode(record_of(minutiae_of(1)).replace(b" 20\0", version))


POINTS = [(1, 100, 50, 64, 80), (2, 10, 299, 128, 40), (0, 399, 0, 0, 0)]
"""Kind, column, line, direction in 1/256 of a turn, quality."""


def rows(step: int, size: int) -> bytes:
    """Write `POINTS` with angles in so many 1/256 turns a unit (ANSI: 2 degrees), of 5 or 6 bytes."""
    packed = b""
    for kind, column, line, angle, quality in POINTS:
        value = angle if step == 256 else round(angle * 180 / 256)
        packed += struct.pack(">HHBB", kind << 14 | column, line, value, quality)[:size]
    return packed


def ansi_378(*, long_length: bool = False) -> bytes:
    """Write an ANSI INCITS 378-2004 record, field by field after its section 6."""
    body = struct.pack(">HHHHHHHBB", 0x0033, 0x0001, 0, 400, 300, 197, 197, 1, 0)
    body += bytes([7, 0, 66, len(POINTS)]) + rows(180, 6) + struct.pack(">H", 0)
    total = len(body) + (14 if long_length else 10)
    length = struct.pack(">HI", 0, total) if long_length else struct.pack(">H", total)
    return b"FMR\0 20\0" + length + body


def iso_2011(*, size: int = 6, certified: bool = False) -> bytes:
    """Write an ISO/IEC 19794-2:2011 record, field by field after its section 8."""
    view = bytes(9) + struct.pack(">BHH", 1, 0x0101, 0) + b"\x01" + struct.pack(">BHH", 66, 0x0033, 1)
    view += b"\x01" + struct.pack(">HB", 0x0033, 2) if certified else b""
    view += struct.pack(">BBHHBHHBB", 7, 3, 197, 197, 0, 400, 300, size << 4 | 1, len(POINTS))
    view += rows(256, size) + struct.pack(">H", 0)
    view = struct.pack(">I", len(view) + 4) + view
    return b"FMR\x00030\x00" + struct.pack(">IHB", 15 + len(view), 1, int(certified)) + view


@pytest.mark.parametrize(
    ("record", "impression", "reliability"),
    [
        (ansi_378(), 0, [0.8, 0.4, 0.5]),
        (ansi_378(long_length=True), 0, [0.8, 0.4, 0.5]),
        (iso_2011(), 3, [0.8, 0.4, 0.5]),
        (iso_2011(size=5), 3, [0.5, 0.5, 0.5]),
        (iso_2011(certified=True), 3, [0.8, 0.4, 0.5]),
    ],
    ids=["ansi", "ansi-long", "2011", "2011-five", "2011-certified"],
)
def test_records_of_one_magic_are_told_apart_by_their_headers(record: bytes, impression: int, reliability: list[float]) -> None:
    """ANSI 378 and ISO 2011 give what the same finger gives in a record of 2005."""
    (view,) = template.decode(record)
    assert (view.position, view.impression, view.quality) == (7, impression, 66)
    assert view.kinds.tolist() == [1, 2, 0]
    np.testing.assert_allclose(view.minutiae[:, 0], [100, 10, 399])
    np.testing.assert_allclose(view.minutiae[:, 1], [249, 0, 299])
    np.testing.assert_allclose(view.minutiae[:, 2], [np.pi / 2, np.pi, 0], atol=0.02)
    np.testing.assert_allclose(view.minutiae[:, 3], reliability)
    for end in range(1, len(record)):
        with pytest.raises(BadInput):
            template.decode(record[:end])


@pytest.mark.parametrize("start", [b"\x7f\x2e", b"\x7f\x60"])
def test_a_card_s_compact_form_is_called_that(start: bytes) -> None:
    """Three or five bytes a minutia, without size and finger."""
    with pytest.raises(BadInput, match="form of a card"):
        template.decode(start + b"\x0b\x81\x09" + bytes(9))


def test_a_minutia_outside_of_its_image_is_refused() -> None:
    """Coordinates are checked against the stated size."""
    record = bytearray(record_of(minutiae_of(1)))
    struct.pack_into(">H", record, 28, 0x4000 | 5000)
    with pytest.raises(BadInput, match="outside"):
        template.decode(bytes(record))


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 300), st.integers(0, 255))
def test_a_changed_byte_gives_a_record_or_a_clear_error(at: int, value: int) -> None:
    """One changed byte never raises anything but our errors."""
    record = bytearray(record_of(minutiae_of(1)))
    record[at % len(record)] = value
    try:
        views = template.decode(bytes(record))
    except BadInput:
        return
    assert np.isfinite(views[0].minutiae).all()
