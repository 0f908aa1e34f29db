"""Count time: one unit (microseconds since the epoch, UTC), its multiples, its text, and the clock.

Durations that end in `_us` are microseconds, `_s` seconds. Days are whole days since 1970-01-01.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

Clock = Callable[[], int]
"""Tells the time in microseconds since the epoch, UTC."""

SECOND_US: Final = 1_000_000
MINUTE_US: Final = 60 * SECOND_US
HOUR_US: Final = 60 * MINUTE_US
DAY_US: Final = 24 * HOUR_US
DAY_S: Final = 86_400

LONG_TERM_DAY: Final = 65_535
"""Day on which a document without end ends: 2149-06-06, the last that 16 bits hold. Source: docs/formats/document-key.md."""


def now_us() -> int:
    """Return the time in microseconds since the epoch, UTC."""
    return time.time_ns() // 1000


def rfc3339(at_us: int) -> str:
    """Return a time as RFC 3339 in UTC, cut to milliseconds."""
    at_s, ms = divmod(at_us // 1000, 1000)
    return f"{_second(at_s)}.{ms:03d}Z"


@lru_cache(maxsize=64)
def _second(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%S")
