"""Register entries: one canonical form, strict reading."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annul.errors import AnnulError, BadInput, Corrupt, UnknownVersion
from annul.records.codes import Purpose, Realm
from annul.records.entry import (
    AUTHOR_MAX,
    BODY_MAX,
    EVIDENCE_MAX,
    BulkBody,
    Entry,
    EntryKind,
    RotationBody,
    UnlockBody,
    decode,
    encode,
)
from annul.records.status import STANDING_MASK, Event, Proof, State, mask

said = st.tuples(st.text(max_size=64), st.just(b"")) | st.tuples(st.just(""), st.binary(min_size=32, max_size=32))
PLAIN = Entry(kind=EntryKind.document, recorded_at_us=1, happened_at_us=0, author="a")
keys = st.just(b"") | st.binary(min_size=16, max_size=16)
entries = said.flatmap(
    lambda refers: st.builds(
        Entry,
        kind=st.sampled_from(EntryKind),
        realm=st.sampled_from(Realm),
        recorded_at_us=st.integers(0, 2**60),
        happened_at_us=st.integers(-(2**60), 2**60),
        author=st.text(min_size=1, max_size=16),
        reason=st.none() | st.sampled_from(Event),
        proof=st.none() | st.sampled_from(Proof),
        evidence=st.just(refers[0]),
        commitment=st.just(refers[1]),
        document_key=keys,
        number_key=keys,
        key_epoch=st.integers(0, 65535),
        standing=st.integers(0, STANDING_MASK),
        disputed=st.booleans(),
        overrides_bulk=st.booleans(),
        valid_until_day=st.integers(0, 65535),
        number_count=st.integers(0, 2**32 - 1),
        number_whole_life=st.booleans(),
        detail_hash=st.binary(min_size=32, max_size=32),
        body=st.binary(max_size=200),
    )
)


@given(entries)
def test_an_entry_comes_back_as_it_was_written(entry: Entry) -> None:
    """decode(encode(x)) = x, byte for byte again."""
    data = encode(entry)
    assert decode(data) == entry
    assert encode(decode(data)) == data
    assert data[0] == (2 if entry.commitment else 1)


@given(entries, st.data())
def test_cut_or_prolonged_bytes_are_refused(entry: Entry, data: st.DataObject) -> None:
    """Every prefix and every byte behind the end."""
    whole = encode(entry)
    cut = data.draw(st.integers(0, len(whole) - 1))
    for wrong in (whole[:cut], whole + b"\0"):
        with pytest.raises(Corrupt):
            decode(wrong)


@given(entries, st.data())
def test_a_flipped_bit_is_refused_or_reads_as_another_entry(entry: Entry, data: st.DataObject) -> None:
    """Never the same entry from different bytes: the form is canonical."""
    whole = bytearray(encode(entry))
    at = data.draw(st.integers(0, len(whole) * 8 - 1))
    whole[at // 8] ^= 1 << at % 8
    try:
        other = decode(bytes(whole))
    except (Corrupt, UnknownVersion):
        return
    assert other != entry
    assert encode(other) == bytes(whole)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """Garbage ends in a named error."""
    for raw in (data, b"\x01" + data):
        try:
            decode(raw)
        except (Corrupt, UnknownVersion):
            continue


def test_an_entry_commits_or_speaks_in_plain_and_never_both() -> None:
    """Version 2 refers by a commitment alone; one without it is of version 1, so that there is one form for each."""
    with pytest.raises(BadInput):
        encode(dataclasses.replace(PLAIN, evidence="case 17", commitment=bytes(32)))
    with pytest.raises(Corrupt) as caught:
        decode(b"\x02" + encode(PLAIN)[1:])
    assert caught.value.where == "commitment"


def test_a_later_version_is_refused_by_name() -> None:
    """An old program does not guess."""
    with pytest.raises(UnknownVersion, match="version 3"):
        decode(b"\x03" + encode(PLAIN)[1:])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("author", ""),
        ("author", "é" * AUTHOR_MAX),
        ("evidence", "x" * (EVIDENCE_MAX + 1)),
        ("commitment", b"31 bytes are too few for a hash"),
        ("document_key", b"15 bytes long.."),
        ("number_key", b"x"),
        ("key_epoch", 65536),
        ("standing", 1 << 13),
        ("standing", -1),
        ("valid_until_day", 65536),
        ("number_count", -1),
        ("detail_hash", b""),
        ("body", bytes(BODY_MAX + 1)),
        ("recorded_at_us", -1),
    ],
)
def test_fields_outside_their_range_are_not_written(field: str, value: Any) -> None:
    """Refused before the log sees them; the error names the field."""
    with pytest.raises(BadInput) as caught:
        encode(dataclasses.replace(PLAIN, **{field: value}))
    assert caught.value.where == field


def test_the_longest_entry_fits_a_bundle() -> None:
    """tlog-tiles gives an entry 65,535 bytes."""
    longest = dataclasses.replace(
        PLAIN,
        author="x" * AUTHOR_MAX,
        evidence="x" * EVIDENCE_MAX,
        document_key=bytes(16),
        number_key=bytes(16),
        body=bytes(BODY_MAX),
    )
    assert len(encode(longest)) <= 65535


def test_bodies_come_back_and_refuse_what_they_are_not() -> None:
    """Bulk, unlock and rotation, each with its own version."""
    bulk = BulkBody(bytes(16), bytes(32), 132_000_000, mask(State.cancelled, State.superseded))
    unlock, rotation = UnlockBody(Purpose.medical, 2**50), RotationBody(1, 2)
    assert BulkBody.decode(bulk.encode()) == bulk
    assert UnlockBody.decode(unlock.encode()) == unlock
    assert RotationBody.decode(rotation.encode()) == rotation
    for body in (bulk, unlock, rotation):
        data = body.encode()
        for wrong in (data[:-1], data + b"\0", b"\x02" + data[1:]):
            with pytest.raises(AnnulError):
                type(body).decode(wrong)
    with pytest.raises(Corrupt):
        UnlockBody.decode(unlock.encode()[:1] + b"\xff" + unlock.encode()[2:])
    with pytest.raises(BadInput):
        BulkBody(b"short", bytes(32), 1, 0).encode()
