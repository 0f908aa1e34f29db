"""Say times in the person's own zone, and read the days people type: one writer and one reader for all rooms.

    with_zone("Asia/Shanghai")                                # once a request
    moment(at_us)                    # 2026-11-30 21:33:28 Asia/Shanghai (13:33:28 UTC)
    day_of("2026年11月29日", now_us)  # 2026-11-29; also 2026.11.29, 29.11.2026, today, yesterday

The law, receipts and programs keep UTC.
"""

from __future__ import annotations

import re
from contextvars import ContextVar
from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from annul.errors import BadInput
from annul.times import SECOND_US
from annul.web.door.words import _

UTC_NAME: Final = "UTC"
_zone: ContextVar[str] = ContextVar("zone", default=UTC_NAME)

NOT_A_DAY: Final = _("This is no day. Type it as on the calendar: 2026-11-23, 2026.11.23 or 23.11.2026.")
FUTURE: Final = _("This day lies in the future. Give the day when it happened.")
_YEAR_FIRST: Final = re.compile(r"(\d{4})(?:[-./年\s]+)(\d{1,2})(?:[-./月\s]+)(\d{1,2})\s*日?")
_DAY_FIRST: Final = re.compile(r"(\d{1,2})[-./\s]+(\d{1,2})[-./\s]+(\d{4})")
_TOGETHER: Final = re.compile(r"(\d{4})(\d\d)(\d\d)")
_WORDS: Final = {
    "today": 0,
    "now": 0,
    "今天": 0,
    "今日": 0,
    "اليوم": 0,
    "yesterday": 1,
    "昨天": 1,
    "昨日": 1,
    "أمس": 1,
}
"""A day in a word -> days ago."""


def with_zone(name: str) -> None:
    """Use a zone (IANA name) for what is said and read from here on in this request."""
    _zone.set(name)


def local(at_us: int) -> datetime:
    """Return a time (microseconds, UTC) in the person's zone."""
    return datetime.fromtimestamp(at_us / 1e6, ZoneInfo(_zone.get()))


def moment(at_us: int | None, *, seconds: bool = True, milliseconds: bool = False) -> str:
    """Say a time with its zone, local time first and UTC beside: `2026-11-23 22:03:22 Asia/Shanghai (14:03:22 UTC)`."""
    if at_us is None:
        return "–"
    here, there = local(at_us), datetime.fromtimestamp(at_us / 1e6, UTC)
    said = f"{here:%Y-%m-%d} {_of_day(here, seconds=seconds, milliseconds=milliseconds)} {_zone.get()}"
    if _zone.get() == UTC_NAME:
        return said
    beside = _of_day(there, seconds=seconds, milliseconds=milliseconds)
    other = f"{there:%Y-%m-%d} {beside}" if there.date() != here.date() else beside
    return f"{said} ({other} UTC)"


def time_of_day(at_us: int) -> str:
    """Say a time of day with its zone, where the day stands beside it: `22:03:22 Asia/Shanghai`."""
    return f"{local(at_us):%H:%M:%S} {_zone.get()}"


def zone_name() -> str:
    """Return the zone's name."""
    return _zone.get()


def _of_day(at: datetime, *, seconds: bool, milliseconds: bool) -> str:
    if milliseconds:
        return f"{at:%H:%M:%S}.{at.microsecond // 1000:03d}"
    return f"{at:%H:%M:%S}" if seconds else f"{at:%H:%M}"


def today(now_us: int) -> date:
    """Return the day it is in the person's zone."""
    return local(now_us).date()


def day_of(text: str, now_us: int, *, where: str = "when") -> date:
    """Read a day that has been, however people write it.

    Args:
        text: 2026-11-29, 2026.11.29, 2026/11/29, 20261129, 2026年11月29日, 29.11.2026, today, yesterday, and their words in
            Chinese and Arabic. Of two small numbers the day comes first.
        where: the field, for the error.

    Raises:
        BadInput: it is no day, or one in the future.
    """
    word = " ".join(text.split()).lower()
    if word in _WORDS:
        return today(now_us) - timedelta(days=_WORDS[word])
    if found := _YEAR_FIRST.fullmatch(word) or _TOGETHER.fullmatch(word):
        parts = found.groups()
    elif found := _DAY_FIRST.fullmatch(word):
        parts = found.groups()[::-1]
    else:
        raise BadInput(NOT_A_DAY, where=where)
    try:
        day = date(*map(int, parts))
    except ValueError:
        raise BadInput(NOT_A_DAY, where=where) from None
    if day > today(now_us):
        raise BadInput(FUTURE, where=where)
    return day


def begin_of(day: date, clock: str = "00:00") -> int:
    """Return when a day of the person's zone begins, or a time of it (HH:MM), in microseconds since the epoch.

    Raises:
        ValueError: `clock` is no time of day.
    """
    at = datetime.fromisoformat(f"{day.isoformat()}T{clock}").replace(tzinfo=ZoneInfo(_zone.get()))
    return int(at.timestamp()) * SECOND_US
