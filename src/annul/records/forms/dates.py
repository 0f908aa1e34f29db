"""Dates of six digits: which century, which parts are unknown, and what means "without end".

Source: ICAO Doc 9303-3 (8th edition) section 4.8 (unknown parts are fillers); 9303-4 to -7 (date of expiry); zones of
documents in circulation (00 for unknown parts; 9999.., 990101 and 991231 for no end).
"""

from __future__ import annotations

import datetime
from functools import lru_cache
from typing import Final, NamedTuple

AGE_MAX_YEARS: Final = 115
"""A holder may be this old: a two-digit year then has two meanings, and both are told."""
ENDLESS: Final = frozenset({"999999", "990101", "991231", "000000"})
"""What stands for "no end" where the field must be of digits. 1999 is never meant: no document of then is in force."""
DATES_REMEMBERED: Final = 8_192


class Birth(NamedTuple):
    """A date of birth.

    Attributes:
        date: YYYY-MM-DD, or YYYY-MM, YYYY, --MM-DD as far as it is known; "" when nothing is.
        other: the same date a century earlier, when the holder may be that old; else "".
        remarks: `birth_century` when there are two, `birth_incomplete` when a part is unknown.
    """

    date: str
    other: str = ""
    remarks: tuple[str, ...] = ()


@lru_cache(maxsize=DATES_REMEMBERED)
def birth_of(field: str, today: datetime.date, century: int | None = None) -> Birth | None:
    """Read a date of birth YYMMDD; None when it can be none.

    Args:
        field: six characters; fillers or 00 where month or day is unknown, fillers where the year is.
        today: nobody is born after it.
        century: first year of the century (1900), where the form marks it.
    """
    year, month, day = field[:2], field[2:4], field[4:]
    if not field.strip("<"):
        return Birth("", remarks=("birth_incomplete",))
    month, day = ("" if part in ("<<", "00") else part for part in (month, day))
    if not all(part.isdigit() or not part for part in (month, day)) or (day and not month):
        return None
    if month and not 1 <= int(month) <= 12:
        return None
    if year == "<<":
        if day and _date(2000, month, day) is None:
            return None
        return Birth("-".join(("-", month, day)) if day else "", remarks=("birth_incomplete",))
    if not year.isdigit():
        return None
    remarks = () if day else ("birth_incomplete",)
    first = today.year // 100 * 100 if century is None else century
    fits = [
        text
        for shift in ((0, -100) if century is None else (0,))
        if (text := _past(first + shift + int(year), month, day, today))
    ]
    if not fits:
        return None
    if len(fits) > 1 and today.year - int(fits[1][:4]) <= AGE_MAX_YEARS:
        return Birth(fits[0], fits[1], (*remarks, "birth_century"))
    return Birth(fits[0], remarks=remarks)


def _past(year: int, month: str, day: str, today: datetime.date) -> str:
    """Return a date as text if it exists and is not in the future; "" otherwise."""
    if not month:
        return f"{year:04d}" if year <= today.year else ""
    if not day:
        return f"{year:04d}-{month}" if (year, int(month)) <= (today.year, today.month) else ""
    date = _date(year, month, day)
    return date.isoformat() if date is not None and date <= today else ""


@lru_cache(maxsize=DATES_REMEMBERED)
def expiry_of(field: str, today: datetime.date, century: int | None = None) -> str | None:
    """Read a date of expiry YYMMDD: YYYY-MM-DD, "long-term" for no end; None when it can be none."""
    if not field.strip("<") or field in ENDLESS or field.startswith("9999"):
        return "long-term"
    if not (field.isascii() and field.isdigit()):
        return None
    if century is None:
        current = today.year // 100 * 100
        year = min((current + shift + int(field[:2]) for shift in (-100, 0, 100)), key=lambda each: abs(each - today.year))
    else:
        year = century + int(field[:2])
    date = _date(year, field[2:4], field[4:])
    return None if date is None else date.isoformat()


def _date(year: int, month: str, day: str) -> datetime.date | None:
    try:
        return datetime.date(year, int(month), int(day))
    except ValueError:
        return None
