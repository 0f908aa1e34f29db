"""Times in the person's zone, and one reader of the days people type."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annul.errors import BadInput, UnsafeSettings
from annul.settings import load
from annul.web.door import clock

AT_US = int(datetime(2026, 11, 29, 18, 3, 22, 18_000, tzinfo=UTC).timestamp() * 1e6)


@pytest.fixture(autouse=True)
def _zone() -> Iterator[None]:
    yield
    clock.with_zone("UTC")


def test_utc_is_said_once() -> None:
    """Without a zone of its own a register speaks UTC, and says so."""
    assert clock.moment(AT_US) == "2026-11-29 18:03:22 UTC"
    assert clock.moment(AT_US, milliseconds=True) == "2026-11-29 18:03:22.018 UTC"
    assert clock.moment(AT_US, seconds=False) == "2026-11-29 18:03 UTC"
    assert clock.moment(None) == "–"


def test_local_time_stands_first_and_utc_beside() -> None:
    """It is the next day already in Shanghai: UTC's day is named too."""
    clock.with_zone("Asia/Shanghai")
    assert clock.moment(AT_US) == "2026-11-30 02:03:22 Asia/Shanghai (2026-11-29 18:03:22 UTC)"
    assert clock.moment(AT_US + 12 * 3_600_000_000) == "2026-11-30 14:03:22 Asia/Shanghai (06:03:22 UTC)"
    assert clock.time_of_day(AT_US) == "02:03:22 Asia/Shanghai"


@pytest.mark.parametrize(
    "typed",
    [
        "2026-11-29",
        "2026.11.29",
        "2026/11/29",
        "20261129",
        "2026年11月29日",
        "2026 年 11 月 29 日",
        "29.11.2026",
        "29/11/2026",
        " 2026-11-29 ",
        "today",
        "Today",
        "今天",
        "اليوم",
    ],
)
def test_a_day_is_read_however_it_is_written(typed: str) -> None:
    """As on the card, as in a letter, or by its word."""
    assert clock.day_of(typed, AT_US) == date(2026, 11, 29)


@pytest.mark.parametrize("typed", ["yesterday", "昨天", "أمس", "28.11.2026"])
def test_yesterday_is_the_day_before(typed: str) -> None:
    """In the person's zone."""
    assert clock.day_of(typed, AT_US) == date(2026, 11, 28)


def test_today_is_the_persons_day() -> None:
    """Two in the morning in Shanghai: it is the thirtieth there, and that is no future."""
    clock.with_zone("Asia/Shanghai")
    assert clock.day_of("today", AT_US) == clock.day_of("2026-11-30", AT_US) == date(2026, 11, 30)
    assert clock.begin_of(date(2026, 11, 30)) == int(datetime(2026, 11, 29, 16, tzinfo=UTC).timestamp() * 1e6)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("2026-11-30", clock.FUTURE),
        ("30.11.2026", clock.FUTURE),
        ("2026-02-30", clock.NOT_A_DAY),
        ("", clock.NOT_A_DAY),
        ("last week", clock.NOT_A_DAY),
        ("2026-11", clock.NOT_A_DAY),
        ("11.29.2026", clock.NOT_A_DAY),
    ],
)
def test_what_is_no_day_or_still_to_come_is_refused_beside_the_field(typed: str, said: str) -> None:
    """A loss lies in the past."""
    with pytest.raises(BadInput) as refused:
        clock.day_of(typed, AT_US)
    assert (refused.value.message, refused.value.where) == (said, "when")


@given(day=st.dates(date(1970, 1, 2), date(2026, 11, 29)))
def test_every_day_is_read_back_in_every_form(day: date) -> None:
    """A round trip over all days that have been."""
    forms = (f"{day:%Y.%m.%d}", f"{day.year}年{day.month}月{day.day}日", f"{day.day}.{day.month}.{day.year}")
    assert {clock.day_of(form, AT_US) for form in forms} == {day}


def test_a_zone_that_is_none_is_refused_at_the_start() -> None:
    """With the name of the setting."""
    assert load({"ANNUL_TIME_ZONE": "Asia/Shanghai"}).time_zone == "Asia/Shanghai"
    for name in ("Mars/Olympus", "../etc/passwd", ""):
        with pytest.raises(UnsafeSettings, match="time_zone"):
            load({"ANNUL_TIME_ZONE": name})
