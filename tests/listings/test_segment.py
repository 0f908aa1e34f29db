"""Sealed segments: what a list says is found; the worst counts; damage and full disks are named."""

from __future__ import annotations

import resource
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annul.errors import Conflict, Corrupt, StorageFailed, UnknownVersion
from annul.listings import Batch, Listings, ListingsWriter, build, pack, pack_many, unpack
from annul.listings.segment import LOAD, Segment, rekey
from annul.listings.values import COMPROMISED, DISPUTED, MANY, NUMBER, OVERRIDES_BULK, WHOLE_LIFE, severity_table
from annul.records.document import DocumentKeys
from annul.records.status import SEVERITY, State
from tests.listings.test_table import BOOT_A, flip, full, keys, scrub_all

STATES = st.sampled_from(list(State))


def worst(left: int, right: int) -> int:
    """Combine two values of one document, written plainly."""
    if not left or not right:
        return left or right
    first, second = unpack(left), unpack(right)
    assert first.state is not None
    assert second.state is not None
    if SEVERITY.index(second.state) > SEVERITY.index(first.state):
        first, second = second, first
    assert first.state is not None
    return pack(first.state, first.expiry_day or second.expiry_day, first.flags | second.flags)


values = st.builds(pack, STATES, st.sampled_from([0, 0, 5, 65535]), st.sampled_from([0, WHOLE_LIFE, DISPUTED]))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.tuples(st.integers(0, 300), values), max_size=200), max_size=6), st.booleans())
def test_segment_equals_a_dict_the_worst_value_wins(batches: list[list[tuple[int, int]]], narrow: bool) -> None:
    """Any batches with duplicates, spilled often or never, give what a dict with `worst` gives."""
    model: dict[int, int] = {}
    for batch in batches:
        for number, value in batch:
            model[number] = worst(model.get(number, 0), value)
    made = (Batch(b"".join(keys(n, n + 1) for n, _ in batch), np.array([v for _, v in batch], np.uint64)) for batch in batches)
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "s.seg"
        info = build(made, path, memory_bytes=1 if narrow else 1 << 20)
        segment = Segment(path)
        assert info.count == len(model) == segment.count
        assert segment.lookup(keys(0, 400)).tolist() == [model.get(n, 0) for n in range(400)]
        segment.verify(0, segment.block_count)
        segment.check_sums()
        segment.check_digest()
        assert [p.name for p in Path(name).iterdir()] == ["s.seg"], "no work files are left"


def test_a_segment_takes_at_most_24_bytes_an_entry_also_of_a_list_full_of_duplicates(tmp_path: Path) -> None:
    """A list that says everything ten times is written without its gaps; order of batches changes nothing."""
    batches = [Batch(keys(0, 20_000), pack(State.revoked))] * 10
    info = build(batches, tmp_path / "a.seg", memory_bytes=1 << 20)
    assert info.count == 20_000
    assert info.byte_count <= 24 * info.count + 3 * 65_536
    assert (Segment(info.path).lookup(keys(0, 20_000)) == pack(State.revoked)).all()
    halves = [Batch(keys(10_000, 20_000), pack(State.revoked)), Batch(keys(0, 10_000), pack(State.revoked))]
    once = build(halves, tmp_path / "b.seg")
    assert once.sha256 == info.sha256
    assert LOAD == 0.85


def test_one_document_of_a_number_gives_its_state_several_give_many(tmp_path: Path) -> None:
    """Listing the same document twice does not make its number ambiguous; two documents do."""
    stolen, lost = pack(State.reported_stolen, 9), pack(State.reported_lost)
    batches = [
        Batch(keys(0, 3), np.array([lost, lost, lost], np.uint64), keys(100, 101) + keys(101, 102) * 2),
        Batch(keys(0, 1), stolen, keys(100, 101)),
    ]
    build(batches, tmp_path / "s.seg", memory_bytes=1)
    single, several = (unpack(v) for v in Segment(tmp_path / "s.seg").lookup(keys(100, 102)))
    assert (single.state, single.expiry_day, single.flags) == (State.reported_stolen, 9, NUMBER)
    assert several.many
    assert several.flags == NUMBER


def activated(folder: Path, writer: ListingsWriter, name: str, batch: Batch) -> None:
    """Build a segment and put it in force."""
    build([batch], folder / f"{name}-made.seg")
    writer.activate_segment(name, folder / f"{name}-made.seg")


def test_the_worst_of_table_and_segments_counts_and_an_override_silences_segments(tmp_path: Path) -> None:
    """Severity, joined flags, kept expiry day; OVERRIDES_BULK lets the table's own entry speak alone."""
    with ListingsWriter(tmp_path) as writer:
        reader = Listings(tmp_path)
        activated(tmp_path, writer, "bulk-1", Batch(keys(0, 10), pack(State.revoked)))
        activated(tmp_path, writer, "bulk-2", Batch(keys(5, 15), pack(State.reported_stolen, 3)))
        writer.put(keys(0, 1), full(1, pack(State.current, 77, WHOLE_LIFE)))
        writer.put(keys(1, 2), full(1, pack(State.reported_lost, 0, DISPUTED)))
        writer.put(keys(2, 3), full(1, pack(State.current, 0, OVERRIDES_BULK)))
        writer.put(keys(12, 13), full(1, pack(State.compromised)))
        found = [unpack(v) for v in reader.lookup(keys(0, 16))]
        assert found[0][:3] == (State.revoked, 77, WHOLE_LIFE)
        assert found[1][:3] == (State.reported_lost, 0, DISPUTED)
        assert found[2][:3] == (State.current, 0, OVERRIDES_BULK)
        assert [f.state for f in found[3:12]] == [State.revoked] * 2 + [State.reported_stolen] * 7
        assert found[12][:3] == (State.reported_stolen, 3, COMPROMISED)
        assert found[15].state is None
        scrub_all(reader)


@settings(max_examples=30, deadline=None)
@given(*[st.dictionaries(st.integers(0, 60), values, max_size=40) for _ in range(3)])
def test_look_ups_equal_the_worst_of_all_lists(table: dict[int, int], one: dict[int, int], two: dict[int, int]) -> None:
    """Random table and two random segments against a plain combination."""
    with tempfile.TemporaryDirectory() as name, ListingsWriter(Path(name)) as writer:
        for segment, held in (("one", one), ("two", two)):
            batch = Batch(b"".join(keys(n, n + 1) for n in held), np.array(list(held.values()), np.uint64))
            activated(Path(name), writer, segment, batch)
        for n, value in table.items():
            writer.put(keys(n, n + 1), full(1, value))
        expected = [worst(worst(table.get(n, 0), one.get(n, 0)), two.get(n, 0)) for n in range(61)]
        assert Listings(Path(name)).lookup(keys(0, 61)).tolist() == expected


def test_a_number_known_to_two_lists_cannot_be_told(tmp_path: Path) -> None:
    """Table and segment each know one document of a number: it may be two documents, so nobody can tell."""
    with ListingsWriter(tmp_path) as writer:
        activated(tmp_path, writer, "bulk-1", Batch(keys(0, 2), pack(State.revoked), keys(50, 52)))
        writer.put(keys(50, 51), full(1, pack(State.revoked, 0, NUMBER | WHOLE_LIFE)))
        writer.put(keys(52, 53), full(1, pack_many()))
        first, second, third = (unpack(v) for v in Listings(tmp_path).lookup(keys(50, 53)))
        assert first.many
        assert first.flags == NUMBER | WHOLE_LIFE
        assert (second.state, second.many) == (State.revoked, False)
        assert third.many


def test_segments_come_and_go_without_reopening_and_survive_it(tmp_path: Path) -> None:
    """Activation and undo are one step each, idempotent, and durable."""
    with ListingsWriter(tmp_path) as writer:
        reader = Listings(tmp_path)
        activated(tmp_path, writer, "bulk-1", Batch(keys(0, 10), pack(State.revoked)))
        home = tmp_path / "segments" / "bulk-1.seg"
        generation = reader.generation
        writer.activate_segment("bulk-1", tmp_path / "bulk-1-made.seg")
        writer.activate_segment("bulk-1", home)
        assert reader.generation == generation
        assert reader.lookup(keys(0, 10)).all()
        assert [s.id for s in reader.segments()] == ["bulk-1"]
    with ListingsWriter(tmp_path) as writer:
        reader = Listings(tmp_path)
        assert reader.lookup(keys(0, 10)).all()
        writer.drop_segment("bulk-1")
        writer.drop_segment("bulk-1")
        assert not reader.lookup(keys(0, 10)).any()
        writer.activate_segment("bulk-1", home)
        assert reader.lookup(keys(0, 10)).all()
        build([Batch(keys(0, 3), 9)], tmp_path / "other.seg")
        home.unlink()
        with pytest.raises(Conflict):
            writer.activate_segment("bulk-1", tmp_path / "other.seg")


def test_a_flipped_bit_in_a_segment_is_found_and_named(tmp_path: Path) -> None:
    """In a slot: by scrub with file and block, and by the digest. In header or checksums: named as well."""
    with ListingsWriter(tmp_path, boot=BOOT_A) as writer:
        activated(tmp_path, writer, "bulk-1", Batch(keys(0, 20_000), pack(State.revoked)))
    path = tmp_path / "segments" / "bulk-1.seg"
    offset = 4096 + 2 * 65_536 + 100
    flip(path, offset)
    with pytest.raises(Corrupt) as caught:
        scrub_all(Listings(tmp_path, boot=BOOT_A))
    assert caught.value.where == "bulk-1.seg, block 2"
    with pytest.raises(Corrupt, match="sealed"):
        Segment(path).check_digest()
    flip(path, offset)
    flip(path, path.stat().st_size - 3)
    with pytest.raises(Corrupt, match="checksums"):
        scrub_all(Listings(tmp_path, boot=BOOT_A))
    flip(path, path.stat().st_size - 3)
    flip(path, 20)
    with pytest.raises(Corrupt, match="header"):
        Listings(tmp_path, boot=BOOT_A)
    flip(path, 20)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 8)
    with pytest.raises(Corrupt, match="bytes instead of"):
        Listings(tmp_path, boot=BOOT_A)


def test_a_rebuild_never_leaves_out_a_damaged_segment(tmp_path: Path) -> None:
    """A bulk list that cannot be read is named; answering without it would be an invented answer."""
    with ListingsWriter(tmp_path) as writer:
        activated(tmp_path, writer, "bulk-1", Batch(keys(0, 10), pack(State.revoked)))
    home = tmp_path / "segments" / "bulk-1.seg"
    flip(home, 20)
    for segments in (None, {"bulk-1": home}):
        with pytest.raises(Corrupt, match=r"bulk-1\.seg"):
            ListingsWriter.rebuild(tmp_path, segments=segments)
    flip(home, 20)
    with ListingsWriter.rebuild(tmp_path, segments={"bulk-1": home}):
        assert Listings(tmp_path).lookup(keys(0, 10)).all()
    with ListingsWriter.rebuild(tmp_path, segments={}):
        assert not Listings(tmp_path).lookup(keys(0, 10)).any()


def test_an_unknown_version_is_refused(tmp_path: Path) -> None:
    """A segment of a later version is not read as if it were of this one."""
    build([Batch(keys(0, 3), 9)], tmp_path / "s.seg")
    with (tmp_path / "s.seg").open("r+b") as file:
        file.seek(7)
        file.write(b"\x02")
    with pytest.raises(UnknownVersion):
        Segment(tmp_path / "s.seg")


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Let the kernel refuse to make any file larger than this (short writes, then EFBIG)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("limit", [4_096, 70_001, 300_000, 390_001])
def test_a_full_disk_while_building_leaves_nothing_half_published(tmp_path: Path, limit: int) -> None:
    """The write that fails (spill or segment, after a short write) is a clear error; no segment appears."""
    with file_size_limit(limit), pytest.raises(StorageFailed, match=r"(?i)cannot write|no more bytes"):
        build([Batch(keys(0, 20_000), 9)], tmp_path / "s.seg", memory_bytes=1 << 20)
    assert list(tmp_path.iterdir()) == []


def test_a_segment_moves_to_the_next_key_epoch_without_any_number(tmp_path: Path) -> None:
    """Re-keyed slots are found under the advanced keys, values and number slots unchanged; old keys find nothing."""
    old = b"".join(keys(n, n + 1)[:11] + bytes(5) for n in range(500))
    build([Batch(keys(0, 500), pack(State.revoked, 9), keys(600, 1_100))], tmp_path / "a.seg", memory_bytes=1)
    advance = DocumentKeys([bytes(32), bytes(31) + b"x"])
    info = rekey(tmp_path / "a.seg", tmp_path / "b.seg", lambda part: advance.advance(part, 1), memory_bytes=1)
    segment = Segment(tmp_path / "b.seg")
    assert info.count == 1_000
    assert (segment.lookup(advance.advance(old, 1)) == pack(State.revoked, 9)).all()
    assert not segment.lookup(old).any()


def test_severity_ranks_follow_the_records() -> None:
    """The kernels' table of ranks is the order of records.status, MANY and UNLOCK above all."""
    table = severity_table()
    ranks = [table[int(state) + 1] for state in SEVERITY]
    assert ranks == sorted(set(ranks))
    assert table[0] == 0
    assert table[MANY] > ranks[-1]
