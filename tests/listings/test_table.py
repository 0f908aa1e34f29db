"""The live table: what is put is found, by every process, whatever happens to the writer."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annul.errors import Conflict, Corrupt, SourceDown, StorageFailed
from annul.listings import Batch, Listings, ListingsWriter, build, pack, unpack
from annul.listings.control import CONTROL_FILE
from annul.listings.table import BLOCK_SLOTS, PAGE, Table
from annul.records.codes import Coverage
from annul.records.status import State
from tests.waiting import WAIT_S

KEYS = np.random.default_rng(7).bytes(16 * 20_000)
BOOT_A, BOOT_B = bytes(15) + b"a", bytes(15) + b"b"
LOST = pack(State.reported_lost)


def keys(first: int, last: int) -> bytes:
    """Give keys first..last-1 of a fixed stock."""
    return KEYS[first * 16 : last * 16]


def full(count: int, value: int) -> np.ndarray:
    """Give the same value `count` times."""
    return np.full(count, value, np.uint64)


def scrub_all(listings: Listings) -> None:
    """Verify everything once."""
    while not listings.scrub(0.01).done:
        pass


steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 14_000), st.integers(1, 6_000), st.integers(0, 2**39 - 1)),
        st.tuples(st.just("reopen")),
        st.tuples(st.just("die")),
    ),
    max_size=8,
)


@settings(max_examples=30, deadline=None)
@given(steps)
def test_table_equals_a_dict_under_puts_growth_and_reopening(plan: list[tuple]) -> None:
    """Random puts, deletions, growth, clean and unclean reopening: every look-up equals that of a dict."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        writer = ListingsWriter(folder)
        reader = Listings(folder)
        model = np.zeros(20_000, np.uint64)
        for step in plan:
            if step[0] == "put":
                _, first, count, value = step
                values = full(count, value) ^ (np.arange(count, dtype=np.uint64) & np.uint64(3))
                writer.put(keys(first, first + count), values)
                model[first : first + count] = values
            else:
                if step[0] == "reopen":
                    writer.close()
                else:
                    os.close(writer._lock)  # a killed process leaves its mapped pages and no lock
                writer = ListingsWriter(folder)
            assert np.array_equal(reader.lookup(KEYS), model)
            scrub_all(reader)
        assert np.array_equal(Listings(folder).lookup(KEYS), model)
        assert not reader.lookup(os.urandom(1600)).any()
        writer.close()


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.binary(min_size=16, max_size=16), st.integers(1, 2**39 - 1), max_size=60))
def test_keys_of_any_form_are_told_apart_by_88_bits(model: dict[bytes, int]) -> None:
    """Keys with zero words, equal homes and long runs are found like any other."""
    model = {key[:11] + bytes(5): value for key, value in model.items()}
    with tempfile.TemporaryDirectory() as name, ListingsWriter(Path(name)) as writer:
        for key, value in model.items():
            writer.put(key, np.array([value], np.uint64))
        found = Listings(Path(name)).lookup(b"".join(model))
        assert found.tolist() == list(model.values())


@pytest.mark.parametrize("home", [0, 2**64 - 1], ids=["at the first line", "at the last line, round the end"])
def test_crowded_keys_are_found_and_strangers_among_them_are_not(tmp_path: Path, home: int) -> None:
    """Thousands of keys with one home make a run longer than a look-up keeps pending; answers stay exact."""
    numbers = np.zeros((9_000, 2), np.uint64)
    numbers[:, 0] = home
    numbers[:, 1] = np.arange(1, 9_001)
    listed = numbers[numbers[:, 1] % 3 != 0]
    values = listed[:, 1] % np.uint64(12) + np.uint64(1)
    with ListingsWriter(tmp_path) as writer:
        writer.put(listed[::2].tobytes(), values[::2])
        build([Batch(listed[1::2].tobytes(), values[1::2])], tmp_path / "crowd.seg")
        writer.activate_segment("crowd", tmp_path / "crowd.seg")
    expected = np.where(numbers[:, 1] % 3 != 0, numbers[:, 1] % np.uint64(12) + np.uint64(1), 0)
    reader = Listings(tmp_path)
    assert np.array_equal(reader.lookup(numbers.tobytes()), expected)
    order = np.random.default_rng(1).permutation(len(numbers))
    mixed = KEYS[: 16 * 64] + numbers[order].tobytes() + KEYS[16 * 64 : 16 * 99]
    assert np.array_equal(reader.lookup(mixed)[64:-35], expected[order])
    assert all(int(reader.lookup(numbers[i : i + 1].tobytes())[0]) == expected[i] for i in range(0, 9_000, 701))


def test_memory_is_at_most_24_bytes_a_listed_document(tmp_path: Path) -> None:
    """At every size above the smallest table, file bytes per slot in use stay within the limit (pages apart)."""
    with ListingsWriter(tmp_path) as writer:
        for n in range(4_000, 20_001, 500):
            writer.put(keys(0, n), full(n, LOST))
            size = Listings(tmp_path).sizes()["table_bytes"]
            assert size - 2 * PAGE <= 24 * n


def test_an_emptied_entry_is_not_listed_and_can_come_back(tmp_path: Path) -> None:
    """Putting 0 takes an entry away; putting another value brings it back; counts stay right."""
    with ListingsWriter(tmp_path) as writer:
        reader = Listings(tmp_path)
        writer.put(keys(0, 10), full(10, LOST))
        writer.put(keys(3, 4), full(1, 0))
        writer.put(keys(11, 12), full(1, 0))
        assert reader.lookup(keys(0, 12)).tolist() == [LOST] * 3 + [0] + [LOST] * 6 + [0] * 2
        writer.put(keys(3, 4), full(1, 9))
        assert reader.lookup(keys(3, 4)).tolist() == [9]
        assert writer.used == 10


def test_wrong_sizes_are_refused(tmp_path: Path) -> None:
    """Keys and values must go together."""
    with ListingsWriter(tmp_path) as writer, pytest.raises(ValueError, match="16 bytes"):
        writer.put(keys(0, 2), full(1, LOST))
    assert len(Listings(tmp_path).lookup(b"")) == 0


READER = """
import sys
from pathlib import Path
from annul.listings import Listings
folder, keys = Path(sys.argv[1]), Path(sys.argv[2]).read_bytes()
listings = Listings(folder)
print("ready", flush=True)
rounds = last = 0
while last < 40:
    position = listings.position
    seen = listings.lookup(keys) >> 8 & 0xFFFF
    assert seen.min() >= position, (seen.min(), position)
    assert seen.min() >= last, "older than seen before"
    last, rounds = int(seen.min()), rounds + 1
print(rounds, listings.generation)
"""


def test_readers_in_other_processes_never_see_less_than_was_acknowledged(tmp_path: Path) -> None:
    """While the writer updates and grows, a reader sees for every key a version at least as new as the position."""
    stock = tmp_path / "stock"
    stock.write_bytes(keys(0, 2_000))
    with ListingsWriter(tmp_path) as writer:
        writer.put(keys(0, 2_000), full(2_000, pack(State.current, 1)))
        writer.set_applied(1, 1)
        reader = subprocess.Popen([sys.executable, "-c", READER, str(tmp_path), str(stock)], stdout=subprocess.PIPE, text=True)
        assert reader.stdout is not None
        assert reader.stdout.readline() == "ready\n"
        for version in range(2, 41):
            writer.put(keys(0, 2_000), full(2_000, pack(State.current, version)))
            writer.put(keys(2_000 + version * 400, 2_400 + version * 400), full(400, LOST))
            writer.set_applied(version, version)
        out, _ = reader.communicate(timeout=WAIT_S)
        assert reader.returncode == 0
        rounds, generation = map(int, out.split())
        assert rounds >= 1
        assert generation > 3, "the table grew meanwhile"


WRITER = """
import sys
from pathlib import Path
import numpy as np
from annul.listings import ListingsWriter
folder, keys = Path(sys.argv[1]), Path(sys.argv[2]).read_bytes()
writer = ListingsWriter(folder)
version = writer.position
print("ready", flush=True)
while True:
    version += 1
    n = min(2000 + version * 3, len(keys) // 16)
    writer.put(keys[: n * 16], np.full(n, version, np.uint64))
    writer.set_applied(version, version)
"""


def test_a_writer_killed_anywhere_leaves_a_table_that_the_next_one_takes_over(tmp_path: Path) -> None:
    """kill -9 while writing and growing: the position's entries are there, checksums hold, nothing is torn."""
    stock = tmp_path / "stock"
    stock.write_bytes(KEYS)
    for attempt in range(4):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), str(stock)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        process.stdout.readline()
        os.set_blocking(process.stdout.fileno(), False)
        time.sleep(0.03 + 0.041 * attempt)  # the moment of the kill, not a wait for something
        process.send_signal(signal.SIGKILL)
        process.wait()
        writer = ListingsWriter(tmp_path)
        position = writer.position
        reader = Listings(tmp_path)
        scrub_all(reader)
        n = min(2000 + position * 3, 20_000)
        assert position > 0
        found = reader.lookup(keys(0, n))
        assert set(found.tolist()) <= {position, position + 1}
        writer.put(keys(0, n), full(n, position))
        assert (reader.lookup(keys(0, n)) == position).all()
        writer.close()


@pytest.mark.parametrize("before", [0, LOST])
def test_a_change_interrupted_at_any_store_is_finished(tmp_path: Path, before: int) -> None:
    """Every prefix of the stores of one change, for a new key and a known one, becomes the finished change."""
    path = tmp_path / "t"
    table = Table.create(path, BLOCK_SLOTS, 1)
    if before:
        table.put(keys(0, 1), full(1, before))
    start = np.fromfile(path, "<u8")
    table.put(keys(0, 1), full(1, pack(State.revoked, 7)))
    end = np.fromfile(path, "<u8")
    changed = np.flatnonzero(start != end).tolist()
    redo = [w for w in changed if 9 <= w <= 13]
    rest = [w for w in changed if w not in redo and w >= PAGE // 8] + [w for w in changed if w == 4]
    state = start.copy()
    for word in redo:
        state[word] = end[word]
    state[9:14] = end[9:14]
    state[8] = 1
    rest.sort(key=lambda w: (w == 4, PAGE // 8 <= w < PAGE // 4, w))  # slot, checksum, count
    for done in range(len(rest) + 1):
        if done:
            state[rest[done - 1]] = end[rest[done - 1]]
        torn = tmp_path / f"torn-{done}"
        state.tofile(torn)
        mended = Table(torn, writable=True)
        assert mended.redo()
        assert not mended.redo()
        mended.verify(0, mended.block_count)
        assert np.array_equal(np.fromfile(torn, "<u8")[PAGE // 8 :], end[PAGE // 8 :])
        assert mended.used == 1


def test_after_a_restart_of_the_machine_an_open_table_is_refused_and_rebuilt(tmp_path: Path) -> None:
    """Nobody knows which pages reached the disk: writer and reader refuse it by name; a rebuilt one serves."""
    writer = ListingsWriter(tmp_path, boot=BOOT_A)
    writer.put(keys(0, 100), full(100, LOST))
    writer.set_applied(9, 9)
    writer.set_coverage({"generic/A/B": Coverage.whole_life})
    os.close(writer._lock)
    for attempt in (ListingsWriter, Listings):
        with pytest.raises(Corrupt, match="started again") as caught:
            attempt(tmp_path, boot=BOOT_B)
        assert caught.value.where == CONTROL_FILE
    batches = [(keys(i, i + 1_000), full(1_000, 5)) for i in range(0, 10_000, 1_000)]
    writer = ListingsWriter.rebuild(tmp_path, batches, position=12, as_of_us=34, boot=BOOT_B)
    reader = Listings(tmp_path, boot=BOOT_B)
    assert (reader.lookup(keys(0, 10_000)) == 5).all()
    assert (reader.position, reader.as_of_us) == (12, 34)
    assert reader.coverage("generic/A/B") is Coverage.whole_life
    writer.close()


def test_readers_see_nothing_of_a_rebuild_before_it_is_complete(tmp_path: Path) -> None:
    """While the new table is filled (and grows), and when that fails, a reader answers from the old one."""
    with ListingsWriter(tmp_path) as writer:
        writer.put(keys(0, 100), full(100, LOST))
        writer.set_applied(9, 90)
    reader = Listings(tmp_path)

    def batches(broken: bool) -> Iterator[tuple[bytes, np.ndarray]]:
        for first in range(0, 10_000, 1_000):
            yield keys(first, first + 1_000), full(1_000, 7)
            assert (reader.lookup(keys(0, 100)) == LOST).all()
            assert reader.position == 9
        if broken:
            raise StorageFailed("the register went away")

    with pytest.raises(StorageFailed):
        ListingsWriter.rebuild(tmp_path, batches(True), position=20, as_of_us=200)
    assert (Listings(tmp_path).lookup(keys(0, 100)) == LOST).all()
    with ListingsWriter.rebuild(tmp_path, batches(False), position=20, as_of_us=200):
        assert (reader.lookup(keys(0, 10_000)) == 7).all()
        assert (reader.position, reader.as_of_us) == (20, 200)
    assert len(list(tmp_path.glob("table-*"))) == 1


@pytest.mark.parametrize("damaged", ["control", "manifest.json", "table"])
def test_whatever_is_damaged_a_rebuild_mends_it_for_readers_that_are_up(tmp_path: Path, damaged: str) -> None:
    """Control page, manifest or table damaged: the writer refuses by name, a rebuild serves all readers again."""
    with ListingsWriter(tmp_path) as writer:
        writer.put(keys(0, 100), full(100, LOST))
    reader = Listings(tmp_path)
    path = next(tmp_path.glob(f"{damaged}*"))
    flip(path, 2)
    with pytest.raises(Corrupt):
        ListingsWriter(tmp_path)
    coverage = {"ru-internal": Coverage.listing_only}
    batches = [(keys(0, 50), full(50, 9))]
    with ListingsWriter.rebuild(tmp_path, batches, position=3, as_of_us=4, segments={}, coverage=coverage):
        for fresh in (reader, Listings(tmp_path)):
            assert fresh.lookup(keys(0, 60)).tolist() == [9] * 50 + [0] * 10
            assert fresh.coverage("ru-internal") is Coverage.listing_only


def test_a_cleanly_closed_table_survives_a_restart_of_the_machine(tmp_path: Path) -> None:
    """A clean close is durable and says so."""
    with ListingsWriter(tmp_path, boot=BOOT_A) as writer:
        writer.put(keys(0, 100), full(100, LOST))
        writer.set_applied(9, 9)
    assert (Listings(tmp_path, boot=BOOT_B).lookup(keys(0, 100)) == LOST).all()
    with ListingsWriter(tmp_path, boot=BOOT_B) as writer:
        assert writer.position == 9


def flip(path: Path, offset: int) -> None:
    """Flip one bit of a file, through the file system, as a bad disk would."""
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes((byte ^ 0x10,)))


def test_a_flipped_bit_is_found_and_named(tmp_path: Path) -> None:
    """In a slot: by scrub, and by the writer after a restart, with file and block. In a header: at once."""
    with ListingsWriter(tmp_path, boot=BOOT_A) as writer:
        writer.put(keys(0, 6_000), full(6_000, LOST))
    (path,) = tmp_path.glob("table-*.slots")
    reader = Listings(tmp_path, boot=BOOT_A)
    scrub_all(reader)
    size = path.stat().st_size
    flip(path, size - 5_000)
    with pytest.raises(Corrupt) as caught:
        scrub_all(reader)
    assert caught.value.where == f"{path.name}, block 1"
    with pytest.raises(Corrupt, match="block 1"):
        ListingsWriter(tmp_path, boot=BOOT_B)
    flip(path, size - 5_000)
    flip(path, 9)
    with pytest.raises(Corrupt, match="header"):
        Listings(tmp_path, boot=BOOT_A)
    flip(path, 9)
    flip(tmp_path / "manifest.json", 90)
    with pytest.raises(Corrupt, match=r"manifest\.json"):
        Listings(tmp_path, boot=BOOT_A)
    flip(tmp_path / "manifest.json", 90)
    flip(tmp_path / CONTROL_FILE, 2)
    with pytest.raises(Corrupt, match="control"):
        Listings(tmp_path, boot=BOOT_A)


def test_a_missing_table_file_is_named(tmp_path: Path) -> None:
    """Writer and reader say which file is gone."""
    ListingsWriter(tmp_path).close()
    (path,) = tmp_path.glob("table-*.slots")
    path.unlink()
    for attempt in (ListingsWriter, Listings):
        with pytest.raises(Corrupt, match=path.name):
            attempt(tmp_path)


def test_scrub_is_quiet_while_the_writer_writes(tmp_path: Path) -> None:
    """Verification beside a busy writer never cries wolf."""
    stock = tmp_path / "stock"
    stock.write_bytes(KEYS)
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), str(stock)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        process.stdout.readline()
        reader = Listings(tmp_path)
        for _ in range(15):
            scrub_all(reader)
    finally:
        process.kill()
        process.wait()


def test_there_is_one_writer(tmp_path: Path) -> None:
    """A second writer is refused and disturbs nothing."""
    with ListingsWriter(tmp_path), pytest.raises(Conflict, match="Another process"):
        ListingsWriter(tmp_path)
    ListingsWriter(tmp_path).close()


def test_a_reader_before_the_first_writer_is_told_what_to_do(tmp_path: Path) -> None:
    """No listings yet is no empty listings."""
    with pytest.raises(SourceDown, match="Start the follower"):
        Listings(tmp_path)


def test_growth_on_a_full_disk_is_refused_and_goes_on_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was put stays, the error is clear, and after making room the same put succeeds."""

    def full_disk(*_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with ListingsWriter(tmp_path) as writer:
        reader = Listings(tmp_path)
        writer.put(keys(0, 3_000), full(3_000, LOST))
        with monkeypatch.context() as patch:
            patch.setattr(os, "posix_fallocate", full_disk)
            with pytest.raises(StorageFailed, match="reserve"):
                writer.put(keys(0, 8_000), full(8_000, 7))
        assert (reader.lookup(keys(0, 3_000)) == 7).all()
        assert len(list(tmp_path.glob("table-*"))) == 1
        writer.put(keys(0, 8_000), full(8_000, 7))
        assert (reader.lookup(keys(0, 8_000)) == 7).all()


def test_positions_coverage_and_parties_reach_readers(tmp_path: Path) -> None:
    """Readers see positions, heartbeats, coverage and the parties' snapshot without reopening."""
    with ListingsWriter(tmp_path) as writer:
        reader = Listings(tmp_path)
        assert reader.parties() == (0, b"")
        writer.set_applied(5, 50)
        writer.heartbeat(60)
        assert (reader.position, reader.as_of_us) == (5, 60)
        with pytest.raises(Conflict):
            writer.set_applied(4, 70)
        before = reader.generation
        writer.set_coverage({"cn-resident": Coverage.whole_life, "ru-internal": Coverage.listing_only})
        assert reader.coverage("cn-resident") is Coverage.whole_life
        assert reader.coverage("generic/X/Y") is Coverage.none
        assert reader.generation > before
        writer.set_parties(b"first", 1)
        writer.set_parties(b"second", 3)
        writer.set_parties(b"second", 3)
        assert reader.parties() == (3, b"second")
        assert reader.parties_generation == 3
        with pytest.raises(Conflict):
            writer.set_parties(b"third", 2)
        flip(tmp_path / "parties-3.bin", 2)
        with pytest.raises(Corrupt, match="parties"):
            reader.parties()


def test_reached_waits_for_a_position_and_gives_up_in_time(tmp_path: Path) -> None:
    """A report is acknowledged when the table holds it."""

    async def story(writer: ListingsWriter, reader: Listings) -> None:
        assert not await reader.reached(1, 0.002)
        waiting = asyncio.create_task(reader.reached(1, WAIT_S))
        await asyncio.sleep(0)
        writer.set_applied(1, 1)
        assert await waiting

    with ListingsWriter(tmp_path) as writer:
        asyncio.run(story(writer, Listings(tmp_path)))


def test_unpack_says_what_pack_was_told() -> None:
    """State, day and flags come back; a compromised document always carries its flag."""
    value = unpack(pack(State.revoked, 65535, 3))
    assert (value.state, value.expiry_day, value.flags, value.many) == (State.revoked, 65535, 3, False)
    assert unpack(pack(State.compromised)).flags == 16
    assert unpack(0).state is None
