"""Drawn families: the same from the same seed, possible in every particular, and every planted error written down."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from itertools import pairwise

import pytest

from annul.demo.families import WEIGHTS, Families
from annul.records.person import Person
from annul.records.schemes.cn_resident import check_character
from annul.registry.review.rules import faults, is_damaged

TODAY = date(2026, 6, 1)
COUNT = 6_000


def drawn(seed: int, share: float, count: int = COUNT) -> tuple[Families, list[Person]]:
    """Draw families and return them with their people."""
    families = Families(seed, TODAY, error_share=share)
    return families, list(families.persons(count))


@pytest.fixture(scope="module")
def sound() -> tuple[Families, list[Person]]:
    """Families without a planted error."""
    return drawn(3, 0.0)


@pytest.fixture(scope="module")
def flawed() -> tuple[Families, list[Person]]:
    """Families with many planted errors."""
    return drawn(4, 0.6)


def born(person: Person) -> date:
    """Return a birth date."""
    return date.fromisoformat(person.birth_date)


def test_the_same_seed_draws_the_same_people_and_the_same_errors() -> None:
    """Twice the same; another seed, or another day, draws others."""
    (one, people), (two, again) = (drawn(7, 0.3, 400) for _ in range(2))
    assert people == again
    assert (one.planted, one.cards) == (two.planted, two.cards)
    assert drawn(8, 0.3, 400)[1] != people
    later = Families(7, TODAY + timedelta(900), error_share=0.3)
    assert list(later.persons(400)) != people


def test_about_as_many_as_asked_for_and_whole_families_only(sound: tuple[Families, list[Person]]) -> None:
    """No family is cut: at most one more than was asked for."""
    assert COUNT <= len(sound[1]) < COUNT + 10


def test_without_planted_errors_no_record_contradicts_itself(sound: tuple[Families, list[Person]]) -> None:
    """No rule of the clean-up finds anything in a single record; every number is of one person."""
    families, people = sound
    assert families.planted.errors == {}
    assert [person for person in people if faults(person, TODAY)] == []
    assert max(Counter(person.personal_number for person in people).values()) == 1
    assert max(Counter(person.origin for person in people).values()) == 1


def test_numbers_say_birth_date_and_sex_and_have_their_check_character(sound: tuple[Families, list[Person]]) -> None:
    """Digits 7 to 14 are the birth date, the seventeenth is odd for men; the place is the number's division."""
    for person in sound[1]:
        number = person.personal_number
        assert number[6:14] == person.birth_date.replace("-", "")
        assert (int(number[16]) % 2 == 1) == (person.sex == "M")
        assert number[17] == check_character(number[:17])
        assert number[:6] == person.place


def test_parents_are_older_than_their_children_and_alive_when_they_must_be(sound: tuple[Families, list[Person]]) -> None:
    """A mother is 14 to 50 years older and lives at the birth; a father is older and dies at most 300 days before it."""
    people = {person.personal_number: person for person in sound[1]}
    pairs = 0
    for child in people.values():
        mother, father = people.get(child.mother), people.get(child.father)
        if mother is not None:
            pairs += 1
            assert mother.sex == "F"
            assert 14 * 365 < (born(child) - born(mother)).days < 50 * 366
            assert not mother.death_date or mother.death_date >= child.birth_date
        if father is not None:
            assert father.sex == "M"
            assert (born(child) - born(father)).days > 14 * 365
            assert not father.death_date or born(child) - date.fromisoformat(father.death_date) < timedelta(300)
            assert child.names[0].text[0] == father.names[0].text[0]  # his surname
    assert pairs > COUNT / 4


def test_brothers_and_sisters_are_twins_or_most_of_a_year_apart(sound: tuple[Families, list[Person]]) -> None:
    """Children of one mother are born on one day or at least 280 days apart, and no two alive have one name."""
    children: dict[str, list[Person]] = {}
    for person in sound[1]:
        children.setdefault(person.mother, []).append(person)
    children.pop("", None)
    for several in children.values():
        days = sorted(born(each) for each in several)
        gaps = [(after - before).days for before, after in pairwise(days)]
        assert all(gap == 0 or gap >= 280 for gap in gaps), gaps
        living = [each.names[1].text for each in several if each.status == "living"]
        assert len(set(living)) == len(living)


def test_nobody_dies_before_birth_or_after_today(sound: tuple[Families, list[Person]]) -> None:
    """Who has a date of death is deceased, and nobody else; nothing lies in the future."""
    for person in sound[1]:
        assert (person.status == "deceased") == bool(person.death_date)
        assert person.birth_date < TODAY.isoformat()
        assert not person.death_date or person.birth_date <= person.death_date < TODAY.isoformat()
    assert 0.02 < sum(bool(person.death_date) for person in sound[1]) / COUNT < 0.4


def test_a_card_is_of_somebody_grown_and_only_the_living_have_one_in_force(sound: tuple[Families, list[Person]]) -> None:
    """Issued from 16 on, to one person each, within the register's days; long-term for the old."""
    families, people = sound
    known = {person.personal_number: person for person in people}
    assert max(Counter(card.number for card in families.cards).values()) == 1
    for card in families.cards:
        holder = known[card.number]
        since = date(1970, 1, 1) + timedelta(card.since)
        assert (since - born(holder)).days >= 16 * 365
        assert card.since < card.until
        assert card.current == (holder.status == "living")
        assert (card.until == 65535) == ((TODAY - born(holder)).days > 46 * 365.2425)


def test_hard_cases_are_there_and_are_no_errors(sound: tuple[Families, list[Person]]) -> None:
    """Twins, namesakes, remarriages: written down as hard, by entries that exist."""
    families, people = sound
    origins = {person.origin for person in people}
    assert {"twins", "remarriage", "namesakes"} <= set(families.planted.hard)
    for entries in families.planted.hard.values():
        assert {entry for pair in entries for entry in pair} <= origins
    twins = {person.origin: person for person in people}
    assert all(twins[one].birth_date == twins[two].birth_date for one, two in families.planted.hard["twins"])


def test_every_kind_of_error_is_planted_and_names_entries_that_exist(flawed: tuple[Families, list[Person]]) -> None:
    """Each kind in WEIGHTS comes up, and what is written down can be found: by origin, or by number where there is none."""
    families, people = flawed
    assert set(families.planted.errors) == set(WEIGHTS)
    named = {person.origin for person in people} | {person.personal_number for person in people}
    for rule, cases in families.planted.errors.items():
        assert all(entry in named for case in cases for entry in case), rule
        assert all(len(case) in (1, 2) for case in cases)


@pytest.mark.parametrize(
    "rule",
    ["check-character", "birth-date", "sex", "number-date", "number-form", "division-unknown", "dates-impossible"],
)
def test_an_error_of_one_record_is_an_error_there(rule: str, flawed: tuple[Families, list[Person]]) -> None:
    """The rule of that name finds it in the very entry that was noted."""
    families, people = flawed
    entries = {person.origin: person for person in people}
    for (origin,) in families.planted.errors[rule]:
        assert rule in faults(entries[origin], TODAY), entries[origin]


def test_a_shared_number_is_of_two_people_and_a_person_twice_has_two_numbers(flawed: tuple[Families, list[Person]]) -> None:
    """The two kinds that look alike are opposite: two names under one number, one person under two."""
    families, people = flawed
    entries = {person.origin: person for person in people}
    for one, two in families.planted.errors["shared-number"]:
        assert entries[one].personal_number == entries[two].personal_number
        assert entries[one].names[0] != entries[two].names[0]
    for one, two in families.planted.errors["same-person"]:
        assert entries[one].personal_number != entries[two].personal_number


def test_a_damaged_name_is_seen_as_damaged(flawed: tuple[Families, list[Person]]) -> None:
    """Wrong code pages, invisible signs, private characters."""
    families, people = flawed
    entries = {person.origin: person for person in people}
    hurt = [entries[origin].names[0].text for (origin,) in families.planted.errors["encoding-damage"]]
    assert all(is_damaged(name) for name in hurt)
    assert len({tuple(sorted({ord(sign) >> 12 for sign in name})) for name in hurt}) > 1  # of more than one kind
