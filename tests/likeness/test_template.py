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


def test_the_2011_version_is_named_as_unknown() -> None:
    """Another layout is not read by guess."""
    with pytest.raises(UnknownVersion):
        template.decode(record_of(minutiae_of(1)).replace(b" 20\0", b"030\0"))


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
