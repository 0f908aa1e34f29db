"""The country's persons in the register of persons: as they were drawn, once, with somebody to try."""

from __future__ import annotations

import time
from datetime import date, timedelta
from typing import Any

import pytest

from annul import keys as key_file
from annul.demo.country import BATCH_PERSONS, Country, SchemeNo
from annul.demo.people import FLAWED, PORTRAITS, load_people, persons_of
from annul.demo.portraits import DISTINCT
from annul.demo.seeding import load_country
from annul.home import Home
from annul.registry.writing.store import connect

HOLDERS = 120
TODAY = time.time_ns() // 86_400_000_000_000


def test_persons_are_entered_as_they_were_drawn() -> None:
    """Number, sex, dates, status, place, names in both scripts, and the passports and cards of UTO they hold."""
    country = Country(7, 20_780)
    persons, batch = country.part(0, 2_000)
    entered = list(persons_of(persons, batch, country.as_of_day))
    assert len(entered) == len(persons)
    assert len({person.personal_number for person in entered}) == len(entered)
    for place, person in enumerate(entered):
        resident = bool(persons.resident[place])
        assert person.personal_number.startswith("UTO") != resident
        assert len(person.names) == (2 if resident else 1)
        assert person.birth_date == (date(1970, 1, 1) + timedelta(int(persons.birth_day[place]))).isoformat()
        assert (person.sex == "M") == bool(persons.man[place])
        dead = int(persons.death_day[place]) < country.as_of_day
        assert (person.status == "deceased", bool(person.death_date)) == (dead, dead)
        assert person.place == (person.personal_number[:6] if resident else "")
        assert not (resident and person.documents)
    held = [(person.origin, document.number) for person in entered for document in person.documents]
    named = (batch.scheme == SchemeNo.ICAO_9303) & (batch.holder >= 0)
    assert sorted(str(number) for _, number in held) == sorted(number.decode() for number in batch.number[named].tolist())


def test_origins_are_of_one_entry_each_through_all_parts() -> None:
    """The event behind an entry is its own: the clean-up of a sound country finds none twice."""
    country = Country(7, 20_780)
    origins = [person.origin for part in (0, 1) for person in persons_of(*country.part(part, 300), country.as_of_day)]
    assert len(set(origins)) == len(origins)
    assert origins[300] == f"birth register {BATCH_PERSONS:09d}"


KEYS = {
    name: {"id": name.replace("_", "-"), "key": f"live_{name.replace('_', '-')}_0"} for name in ("issuer", "second_officer")
}


@pytest.fixture(scope="module")
def loaded(make_database: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any], list[int]]:
    """A register with a small country and its persons: its database, whom to try, and what the progress was told."""
    pytest.importorskip("cv2")
    conninfo, home = make_database(), Home(tmp_path_factory.mktemp("people"))
    keys, country = key_file.create(home), Country(5, TODAY)
    load_country(conninfo, keys, country, HOLDERS)
    told: list[int] = []
    tried = load_people(conninfo, keys, home, lambda: time.time_ns() // 1000, country, HOLDERS, told.append, credentials=KEYS)
    return conninfo, tried, told


def count(conninfo: str, what: str) -> int:
    """Count rows."""
    with connect(conninfo) as db:
        found = db.execute(f"SELECT count(*) FROM {what}").fetchone()
        assert found is not None
        return int(found[0])


def test_everybody_is_in_force_and_nobody_is_readable_in_the_database(loaded: tuple[str, dict[str, Any], list[int]]) -> None:
    """All persons of the country and of the old district; the name of whom to try stands in no column."""
    conninfo, tried, told = loaded
    assert sum(told) == HOLDERS
    # Some of the flawed are in it twice; names with signs that are not shown are refused, as of any old register.
    assert HOLDERS + FLAWED - 10 <= count(conninfo, "person_record") <= HOLDERS + FLAWED + 20
    with connect(conninfo) as db:
        rows = db.execute("SELECT p::text FROM person_version p").fetchall()
    assert not any(tried["name"] in row[0] or tried["document"]["number"] in row[0] for row in rows)


def test_a_few_have_portraits_and_somebody_has_two(loaded: tuple[str, dict[str, Any], list[int]]) -> None:
    """One face for each of the first residents, and the last one twice: somebody who is in the old register twice."""
    conninfo, _, _ = loaded
    assert count(conninfo, "enrolment") == PORTRAITS + 2
    assert len(DISTINCT) == PORTRAITS + 1


def test_the_clean_up_has_work_of_every_cause(loaded: tuple[str, dict[str, Any], list[int]]) -> None:
    """Wrong, duplicate and false entries are suspected before anybody opens the desk."""
    conninfo, _, _ = loaded
    with connect(conninfo) as db:
        causes = {row[0] for row in db.execute("SELECT DISTINCT cause FROM suspicion").fetchall()}
    assert causes == {"wrong", "duplicate", "false"}


def test_whom_to_try_is_a_living_resident_of_this_country(loaded: tuple[str, dict[str, Any], list[int]]) -> None:
    """The first one; both names are hers."""
    _, tried, _ = loaded
    country = Country(5, TODAY)
    persons, batch = country.part(0, HOLDERS)
    first = next(
        person for person in persons_of(persons, batch, country.as_of_day) if person.status == "living" and person.place
    )
    assert tried["document"] == {"scheme": "cn-resident", "number": first.personal_number}
    assert [tried["name"], tried["latin_name"]] == [name.text for name in first.names]
