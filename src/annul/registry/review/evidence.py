"""Say in words what contradicts: for each rule the sentence, the fields it rests on, and what they say; made when an officer
looks, from the opened records, and never stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from annul.records.names import normal_forms
from annul.records.person import Person
from annul.registry.review.lunar import is_other_calendar
from annul.registry.review.rules import RULES, is_citizen_number, is_damaged, normal, whole_number
from annul.registry.review.spelling import paper_of

FIELDS: Final[dict[str, tuple[str, ...]]] = {
    "number-form": ("personal_number",),
    "number-date": ("personal_number",),
    "check-character": ("personal_number",),
    "birth-date": ("personal_number", "birth_date"),
    "sex": ("personal_number", "sex"),
    "division-unknown": ("personal_number", "place"),
    "division-abolished": ("personal_number", "place", "birth_date"),
    "dates-impossible": ("birth_date", "death_date", "status"),
    "document-dates": ("documents", "birth_date", "death_date"),
    "encoding-damage": ("names", "place", "origin"),
    "shared-number": ("personal_number",),
    "same-person": (),
    "same-face": ("photo",),
    "no-event": ("origin",),
    "event-twice": ("origin",),
    "dead-documents": ("status", "documents"),
    "mother-age": ("birth_date", "mother"),
    "father-age": ("birth_date", "father"),
    "mother-dead": ("birth_date", "death_date"),
    "father-dead": ("birth_date", "death_date"),
    "parent-sex": ("sex", "mother", "father"),
    "births-near": ("birth_date", "mother"),
    "parent-cycle": ("mother", "father"),
}
"""Fields of the records that each rule holds against each other."""


class Told(msgspec.Struct, frozen=True):
    """One thing that the evidence rests on: what it is, and what it says.

    Args:
        label: a name for people.
        value: what it says.
    """

    label: str
    value: str


class Evidence(msgspec.Struct, frozen=True):
    """What one rule found.

    Args:
        says: the contradiction in a sentence.
        fields: names of the fields that contradict.
        told: what they say, where it does not stand in the fields themselves.
        rule: rule that met.
    """

    rule: str
    says: str
    fields: list[str]
    told: list[Told]


def evidence_of(rules: Sequence[str], persons: Sequence[tuple[int, Person]], score: float) -> list[Evidence]:
    """Return the evidence of a suspicion's rules on its opened records."""
    found = []
    for rule in rules:
        fields, told = list(FIELDS[rule]), []
        if persons:
            told = _told(rule, persons[0][1])
        if rule == "same-person":
            fields = _equal(persons)
            told = [Told("Probability that it is one person", "> 99.9 %" if score > 0.999 else f"{score:.1%}")]
            told += _other_calendar(persons)
        elif rule == "shared-number":
            fields, told = _shared(persons)
        elif rule == "same-face":
            told = [Told("Likeness of the portraits (cosine)", f"{score:.2f}")]
        found.append(Evidence(rule, RULES[rule].says, fields, told))
    return found


def _other_calendar(persons: Sequence[tuple[int, Person]]) -> list[Told]:
    """Say that two birthdays are one day of two calendars."""
    births = [person.birth_date for _, person in persons]
    if len(births) != 2 or not is_other_calendar(*births):
        return []
    return [Told("One birthday in two calendars, the Chinese and the civil", " = ".join(sorted(births)))]


def _shared(persons: Sequence[tuple[int, Person]]) -> tuple[list[str], list[Told]]:
    """Return the fields and what they say where several records have one number: of the person, or of a document."""
    numbers = {whole_number(normal(person.personal_number)) for _, person in persons}
    written = sorted({normal(person.personal_number) for _, person in persons})
    if len(numbers) < 2:
        return ["personal_number"], [Told("One number of 15 and of 18 digits", " = ".join(written))] if len(written) > 1 else []
    held = [{paper_of(fields): fields for fields in person.documents} for _, person in persons]
    common = set.intersection(*map(set, held)) - {""}
    told = [
        Told("Document on several records", f"{held[0][paper].issuer or ''} {held[0][paper].number or ''}".strip())
        for paper in sorted(common)
    ]
    return ["documents"], told


def _told(rule: str, person: Person) -> list[Told]:
    number = whole_number(normal(person.personal_number))
    if is_citizen_number(number):
        if rule in ("birth-date", "number-date"):
            return [
                Told("Birth date by the number", f"{number[6:10]}-{number[10:12]}-{number[12:14]}"),
                Told("Birth date by the record", person.birth_date),
            ]
        if rule == "sex":
            return [Told("Sex by the number", "M" if number[16] in "13579" else "F"), Told("Sex by the record", person.sex)]
        if rule == "check-character":
            from annul.records.schemes.cn_resident import check_character

            return [
                Told("Check character by the digits", check_character(number[:17])),
                Told("Check character given", number[17]),
            ]
        if rule in ("division-unknown", "division-abolished"):
            return [Told("Division code in the number", number[:6]), Told("Place of registration", person.place)]
    if rule == "encoding-damage":
        hurt = [name.text for name in person.names if is_damaged(name.text)]
        hurt += [text for text in (person.place, person.origin) if is_damaged(text)]
        return [
            Told("Damaged text", text.encode("unicode_escape").decode() if not text.isprintable() else text) for text in hurt
        ]
    return []


def _equal(persons: Sequence[tuple[int, Person]]) -> list[str]:
    """Return the fields in which all records agree and say something."""
    people = [person for _, person in persons]
    if not people:
        return []
    fields = [
        name
        for name in ("sex", "birth_date", "death_date", "place", "mother", "father")
        if getattr(people[0], name) and len({getattr(person, name) for person in people}) == 1
    ]
    forms = [{form for name in person.names for form in normal_forms(name.text)} for person in people]
    if set.intersection(*forms):
        fields.insert(0, "names")
    return fields
