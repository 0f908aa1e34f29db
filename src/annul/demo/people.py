"""Put the demo country's persons into the register of persons, with drawn portraits of a few.

Every name is made up, every portrait is a drawing (`portraits`).
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import Any, Final

import numpy as np

from annul.demo.country import KINDS, SCHEME_NAMES, Batch, Country, Persons, SchemeNo
from annul.demo.families import Families
from annul.demo.portraits import DISTINCT, portrait
from annul.extras import missing
from annul.home import Home
from annul.keys import Keys
from annul.records.document import DocumentFields
from annul.records.person import Name, Person
from annul.registry.people.enrolment import Consent, Enrolments, Face
from annul.registry.people.imports import PersonImports
from annul.registry.people.reading import BATCH, Line, read_one
from annul.registry.people.register import People
from annul.registry.people.vault import Vault
from annul.registry.review.run import run
from annul.registry.writing.act import Act
from annul.registry.writing.ground import Ground
from annul.registry.writing.register import Register
from annul.registry.writing.store import Fresh
from annul.times import Clock

FLAWED: Final = 300
"""Persons of an old register with errors, which the clean-up finds."""
FLAWED_SHARE: Final = 0.2
PORTRAITS: Final = len(DISTINCT) - 1
"""Residents who get a portrait; the last face is somebody's who has two entries."""
_EPOCH: Final = date(1970, 1, 1)


def load_people(
    conninfo: str,
    keys: Keys,
    home: Home,
    now_us: Clock,
    country: Country,
    holders: int,
    progress: Callable[[int], None] = lambda _count: None,
    *,
    credentials: dict[str, dict[str, str]],
) -> dict[str, Any]:
    """Import the persons of the country as one event and enrol a few portraits.

    Args:
        progress: called with the number of persons read since the last call.
        credentials: of demo.json: the issuer stages, the second officer confirms, each with a key of her own.

    Returns:
        Someone to try: {"document": fields, "name": main name, "latin_name": the same in Latin letters}.
    """
    vault, ground = Vault(home), Ground(Fresh(conninfo), keys, home, now_us)
    issuer, second = _act(credentials["issuer"]), _act(credentials["second_officer"])
    imports = PersonImports(ground, conninfo, vault)
    made = imports.stage_lines(issuer, _lines(country, holders, progress), evidence="stock of the demo country")
    tried = _living(country, holders)

    async def finish() -> None:
        await imports.confirm(second, made.id, evidence="stock of the demo country")
        people = People(ground, Register(ground), vault)
        enrolments = Enrolments(ground, people, vault)
        faces = [(person.personal_number, portrait(seed)) for person, seed in zip(tried, DISTINCT, strict=False)]
        lines, twice = _flawed(country)
        flawed = imports.stage_lines(issuer, [lines], evidence="old register of one district", shared_numbers=True)
        await imports.confirm(second, flawed.id, evidence="old register of one district")
        faces += [(number, portrait(DISTINCT[-1], light=light)) for number, light in zip(twice, (1.0, 0.85), strict=False)]
        for number, image in faces:
            consent = Consent("law", "demo: enrolment with the card", "face")
            await enrolments.enrol(issuer, number, consent, face=Face(image, "image/jpeg", 80))

    asyncio.run(finish())
    try:
        run(conninfo, home, keys, issuer, now_us, processes=1)
    except ModuleNotFoundError as error:
        if (lacking := missing(error)) is None:
            raise
        print(f"Left out: {lacking}", file=sys.stderr)
    if not tried:
        return {}
    return {
        "document": {"scheme": "cn-resident", "number": tried[0].personal_number},
        "name": tried[0].names[0].text,
        "latin_name": tried[0].names[1].text,
    }


def _act(credential: dict[str, str]) -> Act:
    return Act(credential["id"], credential=credential["key"].split("_")[1])  # live_ID_SECRET


def _flawed(country: Country) -> tuple[list[Line], list[str]]:
    """Return a part of an old register with planted errors, so that the desk of the clean-up has work, and the two numbers of
    somebody who is in it twice."""
    families = Families(country.seed, _EPOCH + timedelta(country.as_of_day), error_share=FLAWED_SHARE)
    persons = list(families.persons(FLAWED))
    held = Counter(person.personal_number for person in persons)
    for entry in families.planted.errors.get("same-person", ()):
        numbers = [
            person.personal_number for person in persons if not {person.origin, person.personal_number}.isdisjoint(entry)
        ]
        if len(numbers) == 2 and all(held[number] == 1 for number in numbers):
            break
    else:
        numbers = []
    return [(place, read_one(person)) for place, person in enumerate(persons, 1)], numbers


def persons_of(persons: Persons, batch: Batch, as_of_day: int) -> Iterator[Person]:
    """Yield the persons of one part of the country as the register keeps them."""
    first = persons.holder[0] if len(persons) else 0
    named: dict[int, list[DocumentFields]] = {}
    for place in np.flatnonzero((batch.scheme == SchemeNo.ICAO_9303) & (batch.holder >= 0)).tolist():
        fields = DocumentFields(
            scheme=SCHEME_NAMES[SchemeNo.ICAO_9303],
            issuer="UTO",
            kind=KINDS[batch.kind[place]],
            number=batch.number[place].decode(),
        )
        named.setdefault(int(batch.holder[place] - first), []).append(fields)
    columns = zip(
        persons.names(),
        persons.personal_number.tolist(),
        persons.holder.tolist(),
        persons.man.tolist(),
        persons.birth_day.tolist(),
        persons.death_day.tolist(),
        strict=True,
    )
    for place, ((main, latin), number, holder, man, born, died) in enumerate(columns):
        dead = died < as_of_day
        yield Person(
            personal_number=number.decode() or f"UTO{holder:012d}",
            names=[Name(main), Name(latin, "latin")] if main != latin else [Name(main)],
            sex="M" if man else "F",
            birth_date=(_EPOCH + timedelta(born)).isoformat(),
            death_date=(_EPOCH + timedelta(died)).isoformat() if dead else "",
            place=number[:6].decode(),
            status="deceased" if dead else "living",
            documents=named.get(place, [])[-20:],
            origin=f"birth register {holder:09d}",
        )


def _lines(country: Country, holders: int, progress: Callable[[int], None]) -> Iterator[list[Line]]:
    lines: list[Line] = []
    number = 0
    for persons, batch in country.holders(holders):
        for person in persons_of(persons, batch, country.as_of_day):
            number += 1
            lines.append((number, read_one(person)))
            if len(lines) == BATCH:
                yield lines
                progress(len(lines))
                lines = []
    yield lines
    progress(len(lines))


def _living(country: Country, holders: int) -> list[Person]:
    """Return the first living residents."""
    persons, batch = next(iter(country.holders(holders)))
    found = (person for person in persons_of(persons, batch, country.as_of_day) if person.status == "living")
    return [person for person in found if person.place][:PORTRAITS]
