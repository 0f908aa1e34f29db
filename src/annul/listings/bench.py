"""Measure the table: look-ups, memory, import, restart. Figures for `annul bench`; nothing here is asserted."""

from __future__ import annotations

import bz2
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from annul.listings.bulk import import_list
from annul.listings.listings import Listings
from annul.listings.russian_list import made_list, russian_list
from annul.listings.segment import Batch, build
from annul.listings.values import pack
from annul.listings.writer import ListingsWriter
from annul.records.document import DocumentKeys
from annul.records.status import State

BATCH_KEYS = 1_000_000
WINDOW_KEYS = 64
PART_KEYS = 1 << 20


class LookupFigures(NamedTuple):
    """Say how fast look-ups are, on one core.

    Attributes:
        table_entries, segment_entries: entries looked through.
        hits_per_s, misses_per_s: keys a second in batches of a million, all listed (half in the table, half in the
            segment), and none listed.
        window_us: one call with 64 keys, microseconds.
        single_us: one call with one key, microseconds.
        puts_per_s: entries written a second, growth included.
        table_bytes_per_entry, segment_bytes_per_entry: file bytes for a listed document.
    """

    table_entries: int
    segment_entries: int
    hits_per_s: float
    misses_per_s: float
    window_us: float
    single_us: float
    puts_per_s: float
    table_bytes_per_entry: float
    segment_bytes_per_entry: float


class ImportFigures(NamedTuple):
    """Say how an import went.

    Attributes:
        lines, listed, bad: lines of the list, distinct passports listed, malformed lines.
        seconds: from the file to the segment in force.
        resident_bytes: the most memory the importing process ever held.
        segment_bytes: size of the segment.
        restart_s: a new process from its start to its first answer.
        restart_cpu_s: processor time of that (the difference is waiting, also for a busy machine).
    """

    lines: int
    listed: int
    bad: int
    seconds: float
    resident_bytes: int
    segment_bytes: int
    restart_s: float
    restart_cpu_s: float


def _keys(seed: int, count: int) -> Iterator[bytes]:
    generator = np.random.default_rng(seed)
    for first in range(0, count, PART_KEYS):
        yield generator.bytes(16 * min(PART_KEYS, count - first))


def _time_calls(listings: Listings, keys: bytes, calls: int, step: int) -> float:
    """Return the best of five mean times of a call, in seconds of this thread's core (others may use the machine)."""
    pieces = [keys[i * step * 16 : (i + 1) * step * 16] for i in range(calls)]

    def runs() -> Iterator[float]:
        for _ in range(5):
            start = time.thread_time()
            for piece in pieces:
                listings.lookup(piece)
            yield (time.thread_time() - start) / calls

    return min(runs())


def measure_lookups(folder: Path, *, table_entries: int = 5_000_000, segment_entries: int = 20_000_000) -> LookupFigures:
    """Fill a table and a segment in an empty folder and measure look-ups over both."""
    value = pack(State.reported_lost)
    with ListingsWriter(folder) as writer:
        start = time.thread_time()
        for part in _keys(1, table_entries):
            writer.put(part, np.full(len(part) // 16, value, np.uint64))
        puts = table_entries / (time.thread_time() - start)
        build((Batch(part, value) for part in _keys(2, segment_entries)), folder / "bench.seg")
        writer.activate_segment("bench", folder / "bench.seg")
    listings = Listings(folder)
    half = BATCH_KEYS // 2
    listed = b"".join([_first(1, min(half, table_entries)), _first(2, min(half, segment_entries))])
    order = np.random.default_rng(3).permutation(len(listed) // 16)
    hits = np.frombuffer(listed, "V16")[order].tobytes()
    misses = os.urandom(16 * BATCH_KEYS)
    sizes = listings.sizes()
    return LookupFigures(
        table_entries,
        segment_entries,
        len(hits) / 16 / _time_calls(listings, hits, 1, len(hits) // 16),
        BATCH_KEYS / _time_calls(listings, misses, 1, BATCH_KEYS),
        _time_calls(listings, misses, 2_000, WINDOW_KEYS) * 1e6,
        _time_calls(listings, hits, 20_000, 1) * 1e6,
        puts,
        sizes["table_bytes"] / max(1, sizes["table_used"]),
        sizes["segment_bytes"] / max(1, sizes["segment_entries"]),
    )


def _first(seed: int, count: int) -> bytes:
    return b"".join(_keys(seed, count))[: count * 16]


_IMPORT = """
import sys
from pathlib import Path
from annul.listings.bench import import_in_this_process
import_in_this_process(Path(sys.argv[1]), Path(sys.argv[2]))
"""
_RESTART = """
import sys
from pathlib import Path
from annul.listings import Listings
listings = Listings(Path(sys.argv[1]))
listings.lookup(bytes(16))
"""


class _Imported(msgspec.Struct):
    lines: int
    listed: int
    bad: int
    seconds: float
    resident_bytes: int
    segment_bytes: int


def measure_import(folder: Path, *, lines: int = 10_000_000, packed: bool = False) -> ImportFigures:
    """Make a list of so many lines, import it in a process of its own, and start a reader of the result.

    Args:
        folder: empty folder with room for 12 bytes a line (the list) and 35 (the import).
        packed: give the import the list as `.bz2`.
    """
    source = folder / ("list.csv.bz2" if packed else "list.csv")
    compressor = bz2.BZ2Compressor() if packed else None
    with source.open("wb") as file:
        for piece in made_list(lines):
            file.write(compressor.compress(piece) if compressor else piece)
        if compressor:
            file.write(compressor.flush())
    done = subprocess.run([sys.executable, "-c", _IMPORT, str(source), str(folder)], stdout=subprocess.PIPE, check=True)
    found = msgspec.json.decode(done.stdout, type=_Imported)
    source.unlink()

    restarts = [_restart(folder) for _ in range(3)]
    return ImportFigures(
        found.lines,
        found.listed,
        found.bad,
        found.seconds,
        found.resident_bytes,
        found.segment_bytes,
        min(wall for wall, _ in restarts),
        min(cpu for _, cpu in restarts),
    )


def _restart(folder: Path) -> tuple[float, float]:
    """Start a reader in a new process until its first answer; seconds by the clock and of the processor."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-c", _RESTART, str(folder)], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter() - start, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def import_in_this_process(source: Path, folder: Path) -> None:
    """Import a list, put it in force, ask it once, and write the figures as JSON to standard output."""
    start = time.perf_counter()
    target = folder / "bench.seg"
    report = import_list(
        russian_list(source, pack(State.revoked)),
        target,
        blind=DocumentKeys([bytes(range(32))]).blind,
        source="bench",
        total_bytes=source.stat().st_size,
    )
    with ListingsWriter(folder) as writer:
        writer.activate_segment("bench", target)
        Listings(folder).lookup(bytes(16))
        seconds = time.perf_counter() - start
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    found = _Imported(report.lines, report.listed, report.bad_count, seconds, resident, report.byte_count)
    sys.stdout.buffer.write(msgspec.json.encode(found))
