"""Numbers a batch at a time: every reader's check digit holds, no two are the same, and no region is one that never was."""

from __future__ import annotations

import datetime
from math import gcd

import numpy as np
import pytest
import stdnum.cn.ric
from hypothesis import given, settings
from hypothesis import strategies as st

from annul.demo import numbers
from annul.records.schemes.cn_resident import check_character

EPOCH = datetime.date(1970, 1, 1)


def day(text: str) -> int:
    """Return a date as days since the epoch."""
    return (datetime.date.fromisoformat(text) - EPOCH).days


def test_the_specimen_of_the_standard_is_composed() -> None:
    """Division, birth date and order number of the standard's own example give its check character X. Source: GB 11643."""
    made = numbers.personal_numbers(np.array([110105]), np.array([day("1949-12-31")]), np.array([2]))
    assert made.tolist() == [b"11010519491231002X"]


@settings(max_examples=50, deadline=None)
@given(st.integers(day("1930-01-01"), day("2025-12-31")), st.integers(1, 999), st.integers(0, 1 << 20))
def test_every_personal_number_is_right_for_another_reader(born: int, order: int, place: int) -> None:
    """python-stdnum, which is not ours, finds check character, birth date and division right; ours finds the same character."""
    always, since_1984 = numbers.divisions()
    codes = since_1984 if born >= numbers.YOUNGER_SINCE_DAY else always
    (made,) = numbers.personal_numbers(codes[[place % len(codes)]], np.array([born]), np.array([order])).tolist()
    text = made.decode()
    assert stdnum.cn.ric.validate(text) == text
    assert stdnum.cn.ric.get_birth_date(text) == EPOCH + datetime.timedelta(born)
    assert check_character(text[:17]) == text[17]


def test_divisions_are_counties_of_every_birth_year() -> None:
    """No province, no prefecture; those in force since 1984 alone are given to nobody older."""
    always, since_1984 = numbers.divisions()
    assert set(always.tolist()) < set(since_1984.tolist())
    assert (since_1984 % 100 != 0).all()
    assert len(np.unique(since_1984)) == len(since_1984)
    assert 110101 in always.tolist()


def test_numbers_of_utopia_are_a_letter_and_eight_digits_and_never_the_same() -> None:
    """Another salt gives another order of the same numbers; Q is kept for the samples."""
    first, second = (numbers.utopian_numbers(np.arange(20_000), salt).tolist() for salt in (4, 5))
    assert len(set(first)) == len(first)
    assert first != second
    assert all(len(each) == 9 and each[1:].isdigit() and chr(each[0]).isupper() for each in first)
    assert not any(each.startswith(b"Q") for each in first)


def test_internal_passports_have_a_region_and_a_year_of_printing() -> None:
    """The first two digits are a region that was given, the next two a year from 1997 to 2023; no serial is 000000."""
    made = [each.decode() for each in numbers.russian_numbers(np.arange(30_000), 7).tolist()]
    assert len(set(made)) == len(made)
    years = {f"{year % 100:02}" for year in range(1997, 2024)}
    assert {each[2:4] for each in made} <= years
    assert not {int(each[:2]) for each in made} & {0, 6, 9, 13, 16, 21, 23}
    assert not any(each.endswith("000000") for each in made)


@pytest.mark.parametrize("modulus", [2, 999, 2_000_000_000, (1 << 31) - 1])
@pytest.mark.parametrize("salt", [0, 1, 0xFFFF])
def test_a_factor_shares_no_divisor_with_its_modulus(modulus: int, salt: int) -> None:
    """Otherwise two indices would get one number."""
    assert gcd(numbers.multiplier(modulus, salt), modulus) == 1


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(day("1900-01-01"), day("2100-12-31")), min_size=1, max_size=20))
def test_days_are_written_as_the_calendar_has_them(days: list[int]) -> None:
    """YYYYMMDD of each day, before the epoch too."""
    written = numbers.day_digits(np.array(days)).tolist()
    assert written == [int((EPOCH + datetime.timedelta(each)).strftime("%Y%m%d")) for each in days]
