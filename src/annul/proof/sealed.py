"""Find a window in the sealed log of checks: the way from a receipt to its place there.

An entry of that log is a signed statement. The windows of all workers are mixed, but each worker's stand in order, so a place
is found by halving: look for the worker's first statement behind the middle, and go on before or behind it.
"""

from __future__ import annotations

from typing import Final

from annul.errors import NotFound
from annul.proof.tiles import WIDTH, TileReader
from annul.proof.window import STATEMENT_BYTES, parse_statement

BUNDLES_MAX: Final = 512
"""Bundles read for one question (20 MB): a worker that was silent for long among busy ones costs more than a few dozen."""


def place_of(reader: TileReader, worker: int, window: int) -> int:
    """Return the index of a worker's window in the sealed log of checks.

    Raises:
        NotFound: it is not sealed, or so far from the worker's other windows that it is not found by reading BUNDLES_MAX.
    """
    low, high, left = 0, reader.size, [BUNDLES_MAX]
    while low < high:
        middle = (low + high) // 2
        index, found = _next_of(reader, worker, middle, high, left)
        if found == window:
            return index
        low, high = (index + 1, high) if -1 < found < window else (low, middle)
    raise NotFound("This window is not sealed.", mend="A new one is sealed within a second.")


def _next_of(reader: TileReader, worker: int, start: int, end: int, left: list[int]) -> tuple[int, int]:
    """Return index and window of a worker's first statement in a range; (-1, -1) when it has none. `left`: bundles to read."""
    for at in range(start // WIDTH, (end - 1) // WIDTH + 1):
        left[0] -= 1
        if left[0] < 0:
            raise NotFound("The window cannot be found quickly.", mend="Look through the entries of the log.")
        for index, entry in enumerate(reader.bundle(at), at * WIDTH):
            if start <= index < end:
                stated = parse_statement(entry[:STATEMENT_BYTES])
                if stated.worker == worker:
                    return index, stated.window
    return -1, -1
