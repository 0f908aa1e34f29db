"""Days of the Chinese calendar: which day is meant when a birthday was written down by the other calendar.

Source: `borax`, which carries the lunar years 1900 to 2100 (Hong Kong Observatory).
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import cache
from typing import Final

FIRST_YEAR: Final = 1900


@cache
def meant_by() -> dict[str, tuple[str, ...]]:
    """Return what a date means when it is read as year, month and day of the Chinese calendar: one day, or two where the month
    was doubled by a leap month. Dates as YYYY-MM-DD, from 1900 to 2099; the 31st is no day of that calendar."""
    from borax.calendars.lunardate import LCalendars, LunarDate

    found: dict[str, list[str]] = {}
    for year in range(FIRST_YEAR, 2100):
        for month, days, leap in LCalendars.iter_year_month(year):
            first: date = LunarDate(year, month, 1, leap).to_solar_date()
            for day in range(days):
                found.setdefault(f"{year}-{month:02d}-{day + 1:02d}", []).append((first + timedelta(day)).isoformat())
    return {read: tuple(days) for read, days in found.items()}


def is_other_calendar(one: str, other: str) -> bool:
    """Tell whether two dates are one day, written by the two calendars."""
    table = meant_by()
    return other in table.get(one, ()) or one in table.get(other, ())
