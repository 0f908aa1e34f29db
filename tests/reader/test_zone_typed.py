"""Zones as a keyboard or swipe reader sends them: the specimens of Doc 9303, and what typing does to them.

Source of the specimens: ICAO Doc 9303-4, -5, -6 and -7 (8th edition), the appendices with worked zones of Utopia.
"""

from __future__ import annotations

import datetime
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annul.bench.reading import random_zone
from annul.reader.reading import Assurance, Means, of_zone
from annul.records.mrz import ALPHABET, TD1, TD2, TD3, Form, ZoneMalformed, check_digit, read_typed

TODAY = datetime.date(2026, 6, 1)
AT = datetime.datetime(2026, 6, 1, 12, tzinfo=datetime.UTC)
PASSPORT = "P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\nL898902C36UTO7408122F1204159ZE184226B<<<<<10"
CARD_1 = "I<UTOD231458907<<<<<<<<<<<<<<<\n7408122F1204159UTO<<<<<<<<<<<6\nERIKSSON<<ANNA<MARIA<<<<<<<<<<"
CARD_2 = "I<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<\nD231458907UTO7408122F1204159<<<<<<<6"
VISA_A = "V<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\nL8988901C4XXX4009078F96121096ZE184226B<<<<<<"
VISA_B = "V<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<\nL8988901C4XXX4009078F9612109<<<<<<<<"


@pytest.mark.parametrize(
    ("text", "layout", "number"),
    [
        (PASSPORT, "TD3", "L898902C3"),
        (CARD_1, "TD1", "D23145890"),
        (CARD_2, "TD2", "D23145890"),
        (VISA_A, "MRV-A", "L8988901C"),
        (VISA_B, "MRV-B", "L8988901C"),
    ],
)
def test_the_specimens_are_read(text: str, layout: str, number: str) -> None:
    """Form, number, names; visas are known as such."""
    zone = read_typed(text, TODAY)
    assert (zone.layout, zone.number, zone.name) == (layout, number, "ERIKSSON, ANNA MARIA")
    assert zone.is_visa == layout.startswith("MRV")


@pytest.mark.parametrize("text", [PASSPORT, CARD_1, CARD_2])
def test_blanks_small_letters_and_missing_breaks_do_not_matter(text: str) -> None:
    """As people and keyboard wedges type."""
    lines = read_typed(text, TODAY).lines
    assert read_typed(text.replace("\n", ""), TODAY).lines == lines
    assert read_typed("  " + text.lower().replace("<<", "< <").replace("\n", "\r\n\n"), TODAY).lines == lines


def test_a_long_card_number_goes_on_in_the_optional_data() -> None:
    """Doc 9303-5, note j: the check digit is at the end of the longer number."""
    number = "D23145890734"
    first = "I<UTO" + number[:9] + "<" + number[9:] + check_digit(number)
    first = first.ljust(30, "<")
    second = "7408122F3204153UTO<<<<<<<<<<<"
    second += check_digit(first[5:30] + second[0:7] + second[8:15] + second[18:29])
    zone = read_typed("\n".join([first, second, "ERIKSSON<<ANNA<MARIA<<<<<<<<<<"]), TODAY)
    assert zone.number == number
    assert zone.number_field == number


@given(st.integers(0, 10**6), st.sampled_from([TD1, TD2, TD3]), st.data())
def test_a_typing_error_in_a_checked_field_is_found(seed: int, layout: Form, data: st.DataObject) -> None:
    """One character wrong in number or dates, unless its value differs by a multiple of 10."""
    lines = random_zone(random.Random(seed), layout)
    span = data.draw(st.sampled_from([layout.number, layout.birth, layout.expiry]))
    column = data.draw(st.integers(span.start, span.end - 1))
    old = lines[span.line][column]
    new = data.draw(st.sampled_from(ALPHABET))
    if (ALPHABET.index(old) % 36 - ALPHABET.index(new) % 36) % 10 == 0:
        return
    line = lines[span.line]
    lines[span.line] = line[:column] + new + line[column + 1 :]
    with pytest.raises(ZoneMalformed) as caught:
        read_typed("\n".join(lines), TODAY)
    assert line[span.start : span.end] not in str(caught.value)


def test_a_reading_of_a_zone_fills_a_check_and_proves_nothing() -> None:
    """Document, holder, notes."""
    reading = of_zone(read_typed(PASSPORT, TODAY), Means.ZONE_TYPED, AT)
    assert reading.assurance is Assurance.TYPING_AID
    assert reading.document.scheme == "icao-9303"
    assert reading.document.mrz == PASSPORT.split("\n")
    assert (reading.holder.birth_date, reading.holder.sex, reading.valid_until) == ("1974-08-12", "F", "2012-04-15")
    assert reading.notes == ("expired",)
