"""Numbers that pass every check of their scheme, a batch at a time, no two the same however many are drawn.

Uniqueness costs no memory: each number is a bijection of the person's (or document's) running index.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from math import gcd
from typing import Final

import numpy as np
import numpy.typing as npt

Int64s = npt.NDArray[np.int64]
Texts = npt.NDArray[np.bytes_]

ORDER_MAX: Final = 999
"""Sequence numbers 001-999 follow the birth date in a personal number. Source: GB 11643-1999 section 3.3."""
STRATA: Final = 512
"""Birth days are spread over this many residues, so that one division and sequence serves that many people."""
YOUNGER_SINCE_DAY: Final = 5113
"""1984-01-01: most division codes are in force since 1983, and a number must name a division of its birth year."""
_GB_11643_WEIGHTS: Final = np.array([7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2], np.int64)
_GB_11643_CHARACTERS: Final = np.frombuffer(b"10X98765432", np.uint8)
_UTO_NUMBERS: Final = 2_000_000_000
_UTO_LETTERS: Final = np.frombuffer(b"CFGHJKLMNPRTVWXYZBDE", np.uint8)
_RU_NOT_REGIONS: Final = frozenset({6, 9, 13, 16, 21, 23, 30, 31, 35, 39, 43, 48, 51, 55, 59, 62, 64, 72, 74, 76, 77, 87})
_RU_REGIONS: Final = np.array(sorted(set(range(1, 100)) - _RU_NOT_REGIONS), np.int64)
"""First two digits of a series: the region; some numbers were never given to one."""
_RU_YEARS: Final = 27  # 1997 (97) to 2023 (23)
_RU_SERIALS: Final = 999_999
_TIMES_MIXED: Final = 0x9E37_79B9_7F4A_7C15


def multiplier(modulus: int, salt: int) -> int:
    """Return a factor coprime to `modulus`, so that i -> i * factor mod modulus is a bijection."""
    factor = (_TIMES_MIXED ^ (salt * 0x2545_F491)) % modulus | 1
    while gcd(factor, modulus) != 1:
        factor += 2
    return factor % modulus


def spread(indices: Int64s, modulus: int, salt: int) -> Int64s:
    """Permute indices within [0, modulus): shape (n,), modulus below 2^31."""
    factor = multiplier(modulus, salt) % modulus
    low = (indices % modulus) * (factor & 0xFFFF) % modulus
    high = (indices % modulus) * (factor >> 16) % modulus * 0x10000 % modulus
    mixed: Int64s = (low + high + salt) % modulus
    return mixed


@cache
def divisions() -> tuple[Int64s, Int64s]:
    """Return division codes for people born before 1984, and for people born since.

    Source: the list of division codes of python-stdnum (`stdnum/cn/loc.dat`). Only codes whose name covers every birth
    year of the group are taken, so that the division check of any reader agrees.
    """
    always: list[int] = []
    since_1984: list[int] = []
    province = ""
    for line in resources.files("stdnum").joinpath("cn/loc.dat").read_text("utf-8").splitlines():
        if line.startswith("#") or not line.strip():
            continue
        code = line.split(maxsplit=1)[0]
        if not line.startswith(" "):
            province = code
            continue
        names = line.split('county="', 1)[1].rstrip('"').split(",")
        if code.endswith("00") or "市辖区" in names[-1] or names[-1].endswith("县级行政区划"):
            continue
        if not names[0].startswith("["):
            always.append(int(province + code))
        elif names[-1].startswith("[") and names[-1].split("]")[0][-1] == "-" and int(names[-1][1:5]) <= 1984:
            since_1984.append(int(province + code))
    return np.array(sorted(always), np.int64), np.array(sorted(always + since_1984), np.int64)


def personal_numbers(division: Int64s, birth_day: Int64s, order: Int64s) -> Texts:
    """Compose 18-character citizen numbers with their check character: shape (n,), dtype S18.

    Source: GB 11643-1999; ISO/IEC 7064 MOD 11-2.
    """
    date = day_digits(birth_day)
    value = (division * 100_000_000 + date) * 1000 + order
    digits = np.empty((len(value), 18), np.uint8)
    total = np.zeros(len(value), np.int64)
    for place in range(16, -1, -1):
        digit = value % 10
        value = value // 10
        digits[:, place] = digit + 48
        total += digit * _GB_11643_WEIGHTS[place]
    digits[:, 17] = _GB_11643_CHARACTERS[total % 11]
    return digits.view("S18").reshape(-1)


def utopian_numbers(indices: Int64s, salt: int) -> Texts:
    """Compose document numbers of UTO, a letter and eight digits: shape (n,), dtype S9; unique below 2 * 10^9."""
    value = spread(indices, _UTO_NUMBERS, salt)
    digits = np.empty((len(value), 9), np.uint8)
    for place in range(8, 0, -1):
        digits[:, place] = value % 10 + 48
        value = value // 10
    digits[:, 0] = _UTO_LETTERS[value]
    return digits.view("S9").reshape(-1)


def russian_numbers(indices: Int64s, salt: int) -> Texts:
    """Compose series and number of internal passports as ten digits: shape (n,), dtype S10.

    Unique below 2.0 * 10^9. The series is a region code and a year of printing, as on real ones.
    """
    capacity = len(_RU_REGIONS) * _RU_YEARS * _RU_SERIALS
    value = spread(indices, min(capacity, (1 << 31) - 1), salt)
    serial = value % _RU_SERIALS + 1
    year = (97 + value // _RU_SERIALS % _RU_YEARS) % 100
    region = _RU_REGIONS[value // (_RU_SERIALS * _RU_YEARS)]
    value = (region * 100 + year) * 1_000_000 + serial
    digits = np.empty((len(value), 10), np.uint8)
    for place in range(9, -1, -1):
        digits[:, place] = value % 10 + 48
        value = value // 10
    return digits.view("S10").reshape(-1)


def day_digits(days: Int64s) -> Int64s:
    """Turn days since the epoch into numbers YYYYMMDD: shape (n,)."""
    dates = days.astype("datetime64[D]")
    months = dates.astype("datetime64[M]")
    month_count = months.astype(np.int64)
    day_of_month = (dates - months.astype("datetime64[D]")).astype(np.int64) + 1
    digits: Int64s = (month_count // 12 + 1970) * 10_000 + (month_count % 12 + 1) * 100 + day_of_month
    return digits


def add_years(days: Int64s, years: Int64s) -> Int64s:
    """Move days by whole years; 29 February becomes 28 February where there is none: shape (n,)."""
    dates = days.astype("datetime64[D]")
    months = dates.astype("datetime64[M]")
    day_of_month = (dates - months.astype("datetime64[D]")).astype(np.int64)
    moved = (months.astype(np.int64) + 12 * years).astype("datetime64[M]")
    length = ((moved + 1).astype("datetime64[D]") - moved.astype("datetime64[D]")).astype(np.int64)
    result: Int64s = moved.astype("datetime64[D]").astype(np.int64) + np.minimum(day_of_month, length - 1)
    return result
