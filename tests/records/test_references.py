"""References: honest file numbers pass, numbers of documents and persons do not, in whatever writing they come."""

from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annul.errors import BadInput
from annul.records.check import Question
from annul.records.mrz import check_digit
from annul.records.references import (
    Given,
    Reference,
    Tag,
    Words,
    holds_number,
    require_marked,
    require_reason,
    require_reference,
    without_numbers,
)
from annul.records.schemes.cn_resident import check_character

CITIZEN = "11010519491231002X"
ZONES = ("L898902C36UTO7408122F1204159ZE184226B<<<<<10", "I<UTOD231458907<<<<<<<<<<<<<<<", "7408122F1204159UTO<<<<<<<<<<<6")
HONEST = (
    "case 17",
    "K-2026-117",
    "AZ 110 Js 12345/26",
    "2026-11/4711-0003",
    "20261130192647123456",  # a time and a counter
    "4006381333931",  # a barcode
    "DE89 3704 0044 0532 0130 00",  # an account
    "9f1c2b34-5d6e-4f70-8192-a3b4c5d6e7f8",
    "f_0123456789abcdef01234567",
    "110105194912310021",  # one digit other than a number's
    "卷宗 17 号",
    "第二支行・三號",
    "ملف ۱۷",
)


@pytest.mark.parametrize("text", HONEST)
def test_file_numbers_pass_as_they_are(text: str) -> None:
    """Also long ones: only what checks out by a scheme's own rule is a number."""
    assert require_reference(f" {text} ", "/case") == text
    assert without_numbers(text) == text


def written(number: str) -> list[str]:
    """Return ways in which people write one number into a text."""
    full = "".join(chr(ord(sign) + 0xFEE0) for sign in number)
    arabic = "".join(chr(0x0660 + int(sign)) if sign.isdigit() else sign for sign in number)
    grouped = f"{number[:6]} {number[6:14]} {number[14:]}"
    return [
        number,
        number.lower(),
        grouped,
        grouped.replace(" ", "-"),
        " ".join(number),
        full,
        arabic,
        f"case {number}",
        f"{number}b",
        f"no.{number}/2026",
        "\u200b".join(number),
    ]


@pytest.mark.parametrize("text", written(CITIZEN))
def test_a_citizen_number_is_found_however_it_is_written(text: str) -> None:
    """With blanks, dashes, full-width or Arabic digits, inside other signs; the error says where, and repeats nothing."""
    assert holds_number(text)
    assert not holds_number(without_numbers(text))
    with pytest.raises(BadInput) as refused:
        require_reason(text.replace("\u200b", ""), "/reason")
    assert refused.value.where == "/reason"
    assert "1949" not in str(refused.value)


@pytest.mark.parametrize("text", [*ZONES, *(f"scan: {zone} end" for zone in ZONES), "110105491231002"])
def test_lines_of_zones_and_old_numbers_are_found(text: str) -> None:
    """By the check digits of a zone; by division and date of birth of a number of fifteen digits."""
    assert holds_number(text)
    with pytest.raises(BadInput):
        require_reference(text, "/evidence")


@given(st.integers(0, 10**6), st.integers(0, 999), st.text("ABC xyz-/.", max_size=8))
def test_every_number_of_a_person_is_found(days: int, order: int, around: str) -> None:
    """Any birth date and order, whatever stands around."""
    import datetime

    born = datetime.date(1930, 1, 1) + datetime.timedelta(days=days % 34_000)
    body = f"330106{born:%Y%m%d}{order:03d}"
    assert holds_number(f"{around}{body}{check_character(body)}{around}")


def test_random_digits_hardly_ever_check_out() -> None:
    """Of ten thousand honest file numbers of twenty digits, at most a few look like a number of a person."""
    drawn = random.Random(11)
    refused = sum(holds_number("".join(drawn.choices("0123456789", k=20))) for _ in range(10_000))
    assert refused <= 5


@given(st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789<", min_size=9, max_size=9))
def test_a_passport_number_with_its_zone_is_found(number: str) -> None:
    """Nine signs of any kind: the zone around it guards it."""
    assert holds_number(f"{number}{check_digit(number)}UTO7408122F1204159")


@pytest.mark.parametrize("text", ["a\nb", "a\u202eb", "a\u200bb", "a\ufeff", "\x1b[31m", "a\u2028b", "a" + "\u0301" * 7])
def test_signs_that_hide_or_turn_others_are_refused(text: str) -> None:
    """One line, and nothing in it that is not seen."""
    with pytest.raises(BadInput):
        require_reference(text, "/shelf")


def test_a_reason_may_have_several_lines() -> None:
    """Words are words: line breaks pass, marks that turn the direction do not."""
    assert require_reason("first\nsecond", "/reason") == "first\nsecond"
    with pytest.raises(BadInput):
        require_reason("first\n\u202esecond", "/reason")


class Inner(msgspec.Struct):
    """A part of a body."""

    shelf: Reference = ""


class Outer(msgspec.Struct):
    """A body with references of every form."""

    case: Given
    words: Words = ""
    clerk: Tag | None = None
    parts: list[Inner] = []
    free: str = ""


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (Outer("x", words=CITIZEN), "/words"),
        (Outer("x", clerk=CITIZEN), "/clerk"),
        (Outer("x", parts=[Inner(), Inner(CITIZEN)]), "/parts/1/shelf"),
        (Outer(f"case {CITIZEN}"), "/case"),
    ],
)
def test_every_marked_member_of_a_body_is_held(body: Outer, where: str) -> None:
    """At whatever depth; what is not marked is not looked at."""
    with pytest.raises(BadInput) as refused:
        require_marked(body)
    assert refused.value.where == where
    require_marked(Outer("x", free=CITIZEN))


@pytest.mark.parametrize("tag", ["branch", "terminal", "clerk", "reference"])
def test_a_check_refuses_a_number_in_its_own_references(tag: str) -> None:
    """They stand in the check log and its index: no number comes there."""
    text = f'{{"document": {{"scheme": "generic"}}, "purpose": "x", "channel": "remote", "{tag}": "no {CITIZEN}"}}'
    with pytest.raises(BadInput) as refused:
        msgspec.json.decode(text, type=Question)
    assert refused.value.where == f"/{tag}"
