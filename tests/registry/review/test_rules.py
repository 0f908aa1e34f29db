"""What one record contradicts by itself, and what only looks like it."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annul.demo.names import chinese_names
from annul.records.person import Name, Person
from annul.registry.review.evidence import FIELDS
from annul.registry.review.rules import RULES, faults, is_damaged
from tests.registry.review.clinic import number

TODAY = date(2026, 6, 1)
GOOD = number("110105", "19491231", 1)


def record(**more: str) -> Person:
    """Make a record in order, but for what is given."""
    said = {"personal_number": GOOD, "birth_date": "1949-12-31", "sex": "M", "place": "110105"} | more
    name = said.pop("name", "王小明")
    return Person(names=[Name(name)], **said)  # type: ignore[arg-type]


def test_a_record_in_order_breaks_no_rule() -> None:
    """Number, birth date, sex and place that agree; also where little is recorded, and for other kinds of number."""
    assert faults(record(), TODAY) == []
    assert faults(record(birth_date="", sex="", place=""), TODAY) == []
    assert faults(record(personal_number="UTO000000000012", place=""), TODAY) == []
    assert (
        faults(record(personal_number=number("810000", "19900101", 12), birth_date="1990-01-01", sex="F", place=""), TODAY)
        == []
    )


@pytest.mark.parametrize(
    ("rule", "changed"),
    [
        ("check-character", {"personal_number": GOOD[:17] + ("0" if GOOD[17] != "0" else "1")}),
        ("birth-date", {"birth_date": "1949-12-30"}),
        ("sex", {"sex": "F"}),
        ("number-date", {"personal_number": number("110105", "19490230", 1)}),
        ("number-form", {"personal_number": "11010519491231O02X"}),
        ("division-unknown", {"personal_number": number("199999", "19491231", 1)}),
        ("division-unknown", {"place": "199999"}),
        ("division-abolished", {"personal_number": number("110201", "19491231", 1)}),
        ("division-abolished", {"place": "110103"}),
        ("dates-impossible", {"death_date": "1940-01-01", "status": "deceased"}),
        ("dates-impossible", {"death_date": "2020-01-01"}),
        ("dates-impossible", {"birth_date": "2027-01-01"}),
        ("dates-impossible", {"birth_date": "1890-01-01"}),
        ("encoding-damage", {"name": "鏉庨浄"}),
        ("encoding-damage", {"name": "ÀîÀ×"}),
        ("encoding-damage", {"origin": "birth register ?? 4"}),
    ],
)
def test_each_contradiction_is_found_by_its_rule(rule: str, changed: dict[str, str]) -> None:
    """One field changed so that it contradicts: the rule of that contradiction, whatever else it brings with it."""
    assert rule in faults(record(**changed), TODAY)


def test_numbers_of_other_countries_are_not_held_against_chinese_codes() -> None:
    """Six digits are a code beside a citizen number only: an Indian place, a foreigner's passport in a Chinese district."""
    assert faults(record(personal_number="234123412346", place="560001"), TODAY) == []
    assert faults(record(personal_number="E12345678", place="110105"), TODAY) == []
    assert faults(record(personal_number="110105491231O02", place="110105"), TODAY) == ["number-form"]


def test_fifteen_digits_are_held_against_the_record() -> None:
    """Date and sex of the older number, also without a place; its century is not told by it."""
    old = GOOD[:6] + GOOD[8:17]
    assert faults(record(personal_number=old, place=""), TODAY) == []
    assert faults(record(personal_number=old, place="", sex="F"), TODAY) == ["sex"]
    assert faults(record(personal_number=old, birth_date="1949-12-30"), TODAY) == ["birth-date"]
    assert faults(record(personal_number="110105201231001", birth_date="1920-12-31", place=""), TODAY) == []


def test_a_code_abolished_during_a_life_stays_good() -> None:
    """A number keeps the code of its time: Chongwen was abolished in 2010, who was born in 1949 may still have it."""
    assert faults(record(personal_number=number("110103", "19491231", 1)), TODAY) == []
    assert faults(record(personal_number=number("110103", "20120101", 1), birth_date="2012-01-01"), TODAY) == [
        "division-abolished"
    ]


@pytest.mark.parametrize(
    "name",
    ["Müller-Lüdenscheidt", "José Ñandú", "Þórður Ægisson", "Éléonore Lefèvre", "Ğüneş", "欧阳娜娜", "買買提·吐爾遜", "Иванов"],
)
def test_names_with_marks_are_not_damaged(name: str) -> None:
    """Accents, rare letters, other scripts: only what a wrong encoding makes is damage."""
    assert not is_damaged(name)


@pytest.mark.parametrize("hurt", ["王\u200b明", "王\ue816明", "王\x07明", "王\ufffd明", "Ã©lodie", "&#29579;", "Èâàíîâ"])
def test_signs_of_a_wrong_encoding_are_damage(hurt: str) -> None:
    """Invisible, private, control and replacement characters, entities, and texts that read better in another encoding."""
    assert is_damaged(hurt)


@settings(max_examples=200, deadline=None)
@given(draw=st.integers(0, 2**63), man=st.booleans())
def test_no_drawn_name_looks_damaged_and_each_is_when_read_wrongly(draw: int, man: bool) -> None:
    """Names of the demo country pass; the same read as Latin-1, or with a private character, do not."""
    import numpy as np

    ((han, latin),) = chinese_names(np.array([draw], np.uint64), np.array([man]))
    assert not is_damaged(han)
    assert not is_damaged(latin)
    assert is_damaged(han.encode().decode("latin-1"))
    assert is_damaged(han + "\ue816")


def test_every_rule_says_what_contradicts_and_where() -> None:
    """The rules of RULES and of FIELDS are the same, and each has a sentence and a score."""
    assert set(FIELDS) == set(RULES)
    assert all(rule.says.endswith(".") and 0 < rule.score <= 1 for rule in RULES.values())
