"""Wait for what other threads and processes do: by looking, never for a time, and long enough for a machine that is busy."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

WAIT_S = 90.0
"""Longest wait for a state that comes in milliseconds on a quiet machine: who waits longer has met a mistake."""

PAUSE_S = 0.02

Found = TypeVar("Found")


def until(look: Callable[[], Found], what: str = "it", *, pause_s: float = PAUSE_S) -> Found:
    """Look until something is found that is true, and return it; AssertionError when it does not come."""
    deadline = time.monotonic() + WAIT_S
    while not (found := look()):
        assert time.monotonic() < deadline, f"{what} did not come within {WAIT_S:.0f} s"
        time.sleep(pause_s)
    return found
