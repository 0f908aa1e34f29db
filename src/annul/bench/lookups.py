"""Measure the table: look-ups and memory. Figures for `annul bench`; nothing here is asserted."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from annul.listings.listings import Listings
from annul.listings.segment import Batch, build
from annul.listings.values import pack
from annul.listings.writer import ListingsWriter
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
