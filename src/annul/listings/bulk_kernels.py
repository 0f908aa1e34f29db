"""Write the inner loops for lists of invalid Russian passports: read their lines, and make lists for measuring.

Only `native.py` imports this file, and only when no cache holds its machine code.
"""

from __future__ import annotations

from typing import Any

from numba import int64, njit, uint64

from annul.listings.words import get_byte, put_byte, put_word

# Causes of bad lines, by their number; russian_list.py names them.
EMPTY = 1
NON_ASCII = 2
LETTERS = 3
OTHER = 4
NO_COMMA = 5
COMMAS = 6
SHORT = 7
LONG = 8

_DIGITS = uint64(10)


@njit(inline="always")
def _cause(other: Any, letters: Any, wild: Any, commas: Any, series: Any, number: Any) -> Any:
    """Name the first thing wrong with a line, 0 when it is good."""
    cause = 0
    if wild:
        cause = NON_ASCII
    elif letters:
        cause = LETTERS
    elif other:
        cause = OTHER
    elif commas == 0:
        cause = EMPTY if series == 0 else NO_COMMA
    elif commas > 1:
        cause = COMMAS
    elif series < 4 or number < 6:
        cause = SHORT
    elif series > 4 or number > 6:
        cause = LONG
    return cause


def read_lines(text: Any, size: Any, numbers: Any, bad: Any, state: Any) -> Any:
    """Read lines `4509,123456` that end within size bytes; the number of good ones.

    numbers: room for a word for every line; bad: room for two words (line from 0, cause) for every line; state: three
    words written: bytes read (up to the last line end), lines read, bad lines. Blanks, quotes and a carriage return are
    passed over.
    """
    good = int64(0)
    lines = int64(0)
    wrong = int64(0)
    start = int64(0)
    at = int64(0)
    while at < size:
        value = uint64(0)
        series = 0
        digits = 0
        commas = 0
        other = letters = wild = False
        ended = False
        while at < size:
            c = get_byte(text + at)
            at += 1
            d = c - uint64(48)
            if d < _DIGITS:
                if digits < 12:
                    value = value * _DIGITS + d
                digits += 1
            elif c == uint64(44):
                if commas == 0:
                    series = digits
                    digits = 0
                commas += 1
            elif c == uint64(10):
                ended = True
                break
            elif c == uint64(32) or c == uint64(13) or c == uint64(9) or c == uint64(34) or c == uint64(39):
                pass
            elif c >= uint64(128):
                wild = True
            elif uint64(97) <= (c | uint64(32)) <= uint64(122):
                letters = True
            else:
                other = True
        if not ended:
            break
        if commas == 0:
            series = digits
            digits = 0
        cause = _cause(other, letters, wild, commas, series, digits)
        if cause == 0:
            put_word(numbers + good * 8, value)
            good += 1
        else:
            put_word(bad + wrong * 16, uint64(lines))
            put_word(bad + wrong * 16 + 8, uint64(cause))
            wrong += 1
        lines += 1
        start = at
    put_word(state, uint64(start))
    put_word(state + 8, uint64(lines))
    put_word(state + 16, uint64(wrong))
    return good


@njit(inline="always")
def _mix(x: Any) -> Any:
    x = (x ^ (x >> uint64(30))) * uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> uint64(27))) * uint64(0x94D049BB133111EB)
    return x ^ (x >> uint64(31))


@njit(inline="always")
def _digits(out: Any, value: Any, count: Any) -> Any:
    for k in range(count):
        put_byte(out + count - 1 - k, uint64(48) + value % _DIGITS)
        value = value // _DIGITS
    return out + count


def make_lines(first: Any, n: Any, bad_every: Any, repeat_every: Any, out: Any) -> Any:
    """Make lines first..first+n-1 of the list for measuring; the bytes written (at most 16 a line).

    Every good line has another passport, but one in `repeat_every` says the one before again, and one in `bad_every` is
    malformed in one of eight ways.
    """
    to = out
    for i in range(first, first + n):
        which = i
        if i > 0 and i % repeat_every == 0:
            which = i - 1
        value = (uint64(which) * uint64(7654321123) + uint64(4509123456)) % uint64(10000000000)
        noise = _mix(uint64(i) + uint64(1))
        kind = int64(-1)
        if noise % uint64(bad_every) == uint64(0):
            kind = int64((noise >> uint64(40)) % uint64(8))
        series, number = value // uint64(1000000), value % uint64(1000000)
        if kind == 0:  # nothing
            to += 0
        elif kind == 1:  # a Cyrillic letter, two bytes in UTF-8
            put_byte(to, uint64(0xD0))
            put_byte(to + 1, uint64(0x9E))
            to = _digits(to + 2, series, 3)
        else:
            to = _digits(to, series, 3 if kind == 6 else 4)
        if kind == 2:  # a letter read for a digit
            put_byte(to - 1, uint64(79))
        if kind > 0 or kind == -1:
            if kind != 4:
                put_byte(to, uint64(44))
                to += 1
            if kind == 3:  # a sign that does not belong
                put_byte(to, uint64(35))
                to += 1
            to = _digits(to, number, 5 if kind == 5 else 6)
            if kind == 7:
                put_byte(to, uint64(48))
                to += 1
        put_byte(to, uint64(10))
        to += 1
    return int64(to - out)


EXPORTED = (read_lines, make_lines)
