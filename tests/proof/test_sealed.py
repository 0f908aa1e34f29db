"""The way from a receipt to its place in the sealed log, through windows of many workers in any mixture."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annul.errors import NotFound
from annul.proof import sealed
from annul.proof.sealed import place_of
from annul.proof.tiles import WIDTH, TileReader, pack_bundle, parse_path
from annul.proof.window import pack_statement


def log_of(workers: list[int]) -> tuple[TileReader, list[tuple[int, int]]]:
    """Return a log in which the workers' windows stand in this order, and (worker, window) of each entry."""
    counts: dict[int, int] = {}
    places = []
    for worker in workers:
        places.append((worker, counts.get(worker, 0)))
        counts[worker] = counts.get(worker, 0) + 1
    entries = [pack_statement(worker, window, 1, 0, bytes(32), bytes(32)) + bytes(64) for worker, window in places]

    def read(path: str) -> bytes:
        _, index, width = parse_path(path)
        return pack_bundle(entries[index * WIDTH : index * WIDTH + width])

    return TileReader(read, len(entries)), places


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 300)), min_size=1, max_size=12), st.data())
def test_every_window_is_found_at_its_place(runs: list[tuple[int, int]], data: st.DataObject) -> None:
    """Runs of any length, as a sealer leaves them that was behind; what is not there is not found."""
    reader, places = log_of([worker for worker, count in runs for _ in range(count)])
    for index in {0, len(places) - 1, *(data.draw(st.integers(0, len(places) - 1)) for _ in range(8))}:
        assert place_of(reader, *places[index]) == index
    for worker in range(6):
        with pytest.raises(NotFound):
            place_of(reader, worker, sum(each == worker for each, _ in places))


def test_a_worker_that_was_silent_for_long_is_not_looked_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A question reads a bounded number of bundles."""
    reader, _ = log_of([1] + [0] * 5_000 + [1])
    assert place_of(reader, 1, 0) == 0
    monkeypatch.setattr(sealed, "BUNDLES_MAX", 5)
    with pytest.raises(NotFound, match="quickly"):
        place_of(reader, 1, 0)
