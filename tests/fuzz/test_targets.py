"""The fuzz targets, on random bytes and on seeds that were mutated, cut, and spliced."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS, run, seeds


@pytest.mark.parametrize("name", sorted(TARGETS))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=300))
def test_random_bytes_never_break_a_decoder(name: str, data: bytes) -> None:
    """Anything at all: an answer or one of our errors."""
    run(name, data)


@pytest.mark.parametrize("name", sorted(TARGETS))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pick=st.integers(0, 10),
    edits=st.lists(st.tuples(st.integers(0, 2**20), st.binary(min_size=1, max_size=6)), max_size=6),
    cut=st.one_of(st.none(), st.integers(0, 2**20)),
)
def test_mutated_files_never_break_a_decoder(name: str, pick: int, edits: list[tuple[int, bytes]], cut: int | None) -> None:
    """Real files with changed bytes, cut anywhere."""
    known = seeds()[name]
    data = bytearray(known[pick % len(known)])
    for at, value in edits:
        start = at % len(data)
        data[start : start + len(value)] = value
    run(name, bytes(data[: cut % len(data)] if cut is not None else data))


def test_the_seeds_themselves_are_read() -> None:
    """The seeds are valid, so mutations start from inside the formats."""
    silent = {"chip", "bound-evidence"}  # a whole walk needs keys; the record of the seed belongs to another check
    for name, known in seeds().items():
        for data in known:
            if name not in silent:
                TARGETS[name](data)
    assert set(seeds()) == set(TARGETS)
