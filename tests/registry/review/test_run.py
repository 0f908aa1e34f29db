"""A run over a register: every rule across records, what earlier runs knew, and that a run changes nothing."""

from __future__ import annotations

import asyncio
import re
from datetime import date, timedelta

import duckdb
import msgspec
import numpy as np
import pytest

from annul.demo.families import Families
from annul.errors import Conflict, StorageFailed
from annul.records.document import DocumentFields
from annul.records.person import CivilEvent
from annul.registry.people import rows
from annul.registry.review import linkage, population
from annul.registry.review import run as running
from annul.registry.review.families import Pointed, cycles
from annul.registry.review.queue import Decision
from annul.registry.review.rules import RULES
from annul.registry.writing.store import connect
from tests.registry.people.town import REGISTRAR, person
from tests.registry.review.clinic import Clinic, number
from tests.registry.world import DAY_US, START_US

NOW = date(1970, 1, 1) + timedelta(START_US // DAY_US)
M = number("110105", "19550501", 2)
F = number("110105", "19530303", 1)
CHILD = number("110105", "19800101", 1)


def rules_of(clinic: Clinic) -> list[str]:
    """Return the rules of the open queue."""
    return sorted(rule for each in clinic.open() for rule in each.rules)


def test_a_register_in_order_has_no_suspicions(clinic: Clinic) -> None:
    """A family, with twins who share everything but their names and numbers."""
    parents = {"mother": M, "father": F}
    clinic.enter(
        clinic.one(M, "李梅"),
        clinic.one(F, "王刚"),
        clinic.one(CHILD, "王明", **parents),
        clinic.one(number("110105", "19800101", 3), "王亮", **parents),
    )
    clinic.issue(CHILD, "2006-10-06")
    made = clinic.run()
    assert (made.persons, made.suspicions, clinic.open()) == (4, 0, [])


def test_each_impossible_family_is_found(clinic: Clinic) -> None:
    """Mother and father too young, too old, dead, of the wrong sex; births too near; a circle of ancestors."""
    old = number("110105", "19100101", 2)
    dead = number("110105", "19500101", 4)
    gone = number("110105", "19500101", 3)
    near = number("110105", "19800401", 1)
    clinic.enter(
        clinic.one(M, "李梅"),
        clinic.one(F, "王刚"),
        clinic.one(old, "周兰"),
        clinic.one(dead, "赵红", status="deceased", death_date="1975-01-01"),
        clinic.one(gone, "吴强", status="deceased", death_date="1978-01-01"),
        clinic.one(CHILD, "王明", mother=M, father=F),
        clinic.one(near, "王亮", mother=M, father=F),
        clinic.one(number("110105", "19810101", 1), "周一", mother=old),
        clinic.one(number("110105", "19620101", 3), "李三", mother=M),
        clinic.one(number("110105", "19600101", 3), "王三", father=F),
        clinic.one(number("110105", "19820101", 1), "赵四", mother=dead),
        clinic.one(number("110105", "19830101", 1), "吴五", father=gone),
        clinic.one(number("110105", "19900101", 1), "王六", mother=F),
        clinic.one(number("110105", "20000101", 2), "环", mother=number("110105", "20200101", 2)),
        clinic.one(number("110105", "20200101", 2), "圈", mother=number("110105", "20000101", 2)),
    )
    clinic.run()
    assert set(rules_of(clinic)) == {
        "mother-age",
        "father-age",
        "mother-dead",
        "father-dead",
        "parent-sex",
        "births-near",
        "parent-cycle",
    }


def test_a_wrong_sex_of_a_parent_is_one_suspicion(clinic: Clinic) -> None:
    """Where the mother's own number says that the record is wrong, her children bring none of their own."""
    clinic.enter(
        clinic.one(M, "李梅", sex="M"),
        clinic.one(CHILD, "王明", mother=M),
        clinic.one(number("110105", "19820101", 3), "王亮", mother=M),
    )
    clinic.run()
    assert rules_of(clinic) == ["sex"]


def test_numbers_events_and_documents_are_held_against_each_other(clinic: Clinic) -> None:
    """Two people with one number, one event behind two entries, none behind one, a dead man's card, a card before birth."""
    late = number("110105", "19900202", 1)
    dead = number("110105", "19400101", 1)
    ids = clinic.enter(
        clinic.one(M, "李梅"),
        clinic.one(M, "张兰"),
        clinic.one(F, "王刚", origin="register 77"),
        clinic.one(CHILD, "王明", origin="register 77"),
        clinic.one(late, "王伟", origin=""),
        clinic.one(dead, "钱老", status="deceased", death_date="2001-01-01"),
    )
    clinic.issue(dead, "2000-05-05")
    clinic.issue(late, "1995-05-05")
    with clinic.connect() as db:
        db.execute(
            "UPDATE document SET valid_from_day = 7000 WHERE valid_from_day = %s", ((date(1995, 5, 5) - date(1970, 1, 1)).days,)
        )
    clinic.run()
    found = {rule: each.persons for each in clinic.open() for rule in each.rules}
    assert found == {
        "shared-number": ids[:2],
        "event-twice": ids[2:4],
        "no-event": [ids[4]],
        "document-dates": [ids[4]],
        "dead-documents": [ids[5]],
    }


def test_one_person_with_two_numbers_is_linked_and_neighbours_are_not(clinic: Clinic) -> None:
    """A late registration under another name form and place; twins, a namesake with other parents, a name given again."""
    parents = {"mother": M, "father": F}
    second = number("440106", "19800101", 5)
    others = {"mother": number("110105", "19560505", 4), "father": number("110105", "19560505", 5)}
    town = [
        clinic.one(
            number("110105", f"19{50 + at % 40}0{1 + at % 9}1{at % 9}", 2 * at + 11),
            f"{'赵钱孙李周'[at % 5]}{chr(0x5C71 + at)}",
        )
        for at in range(400)
    ]
    ids = clinic.enter(
        clinic.one(CHILD, "张伟", latin="Zhang Wei", **parents),
        clinic.one(second, "張偉", latin="Zhang Wei", **parents),
        clinic.one(number("110105", "19800101", 7), "张华", **parents),
        clinic.one(number("110105", "19800101", 9), "张伟", **others),
        clinic.one(number("110105", "19770101", 9), "张勇", status="deceased", death_date="1979-01-01", **parents),
        clinic.one(number("110105", "19810501", 9), "张勇", **parents),
        *town,
    )
    clinic.run()
    linked = [each for each in clinic.open() if "same-person" in each.rules]
    assert [each.persons for each in linked] == [ids[:2]]
    assert linked[0].score > 0.9


def test_a_run_reads_and_changes_nothing(clinic: Clinic) -> None:
    """Persons, documents and the log are what they were; suspicions hold no name and no number."""
    clinic.enter(clinic.one(CHILD, "王明", sex="F"), clinic.one(M, "李梅", birth_date="1955-05-02"))
    clinic.issue(CHILD)
    tables = ("person_record", "person_version", "document", "register_log", "civil_event")
    with clinic.connect() as db:
        before = {
            table: db.execute(f"SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {table} t").fetchall()
            for table in tables
        }
        clinic.run()
        after = {
            table: db.execute(f"SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {table} t").fetchall()
            for table in tables
        }
        stored = str(db.execute("SELECT s::text FROM suspicion s").fetchall())
    assert before == after
    assert "王明" not in stored
    assert not re.search(r"\d{17}[\dX]", stored)


def test_what_was_decided_is_not_asked_again_until_the_facts_change(clinic: Clinic) -> None:
    """The same facts: known. Decided: quiet. Changed facts: asked anew, with what was decided before. In order: closed."""
    (person,) = clinic.enter(clinic.one(CHILD, "王明", sex="F"))
    assert (clinic.run().new, clinic.run().known) == (1, 1)
    (first,) = clinic.open()
    clinic.decide(first.id, Decision.in_order)
    assert (clinic.run().known, clinic.open()) == (1, [])

    def edit(place: str) -> None:
        asyncio.run(
            clinic.people.change(
                REGISTRAR,
                person,
                lambda known: msgspec.structs.replace(known, place=place),
                CivilEvent.details,
                happened_at_us=clinic.clock(),
            )
        )

    edit("110106")
    assert clinic.run().again == 1
    (second,) = clinic.open()
    assert (second.earlier, second.rules) == (first.id, ["sex"])
    asyncio.run(
        clinic.people.change(
            REGISTRAR,
            person,
            lambda known: msgspec.structs.replace(known, sex="M"),
            CivilEvent.details,
            happened_at_us=clinic.clock(),
        )
    )
    assert (clinic.run().closed, clinic.open()) == (1, [])


def test_two_runs_at_once_are_refused(clinic: Clinic) -> None:
    """The second says so; one that was killed is marked failed by the next."""
    clinic.enter(clinic.one(CHILD, "王明"))
    with connect(clinic.conninfo) as db:
        db.execute("SELECT pg_advisory_lock(%s, 0)", (running.RUN_LOCK,))
        with pytest.raises(Conflict, match="under way"):
            clinic.run()
    with clinic.connect() as db:
        db.execute(
            "INSERT INTO review_run (id, realm, state, started_by, started_at_us) VALUES ('v_dead', 0, 'running', 'x', 1)"
        )
        clinic.run()
        assert db.execute("SELECT state FROM review_run WHERE id = 'v_dead'").fetchone() == ("failed",)


def test_a_run_that_breaks_leaves_the_queue_as_it_was(clinic: Clinic) -> None:
    """A record that does not open ends the run, and nothing of it is stored."""
    clinic.enter(clinic.one(CHILD, "王明", sex="F"))
    clinic.run()
    with clinic.connect() as db:
        db.execute("UPDATE person_record SET ciphertext = ciphertext || '\\x00'")
        with pytest.raises(Exception, match="does not open"):
            clinic.run()
        assert db.execute("SELECT count(*) FROM suspicion").fetchone() == (1,)
        assert db.execute("SELECT state FROM review_run ORDER BY started_at_us DESC LIMIT 1").fetchone() == ("failed",)


def test_a_run_that_fails_later_keeps_what_it_found_and_the_next_goes_on(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory ends in the third slice: contradictions and links of two slices are in the queue; the next run does the rest."""
    people = list(Families(7, NOW, error_share=0.3).persons(500))
    clinic.enter(*people)
    monkeypatch.setattr(linkage, "SLICE_PERSONS", 120)
    done: list[int] = []
    links = linkage.Linkage.links

    def short(self: linkage.Linkage, part: int) -> list[Pointed]:
        if part == 2:
            raise duckdb.OutOfMemoryException("no more")
        done.append(part)
        return links(self, part)

    with monkeypatch.context() as patch:
        patch.setattr(linkage.Linkage, "links", short)
        with pytest.raises(StorageFailed, match="memory is not enough"):
            clinic.run()
    kept = {each.id for each in clinic.open(limit=500)}
    assert done == [0, 1]
    assert any("sex" in each.rules for each in clinic.open(limit=500))

    def counted(self: linkage.Linkage, part: int) -> list[Pointed]:
        done.append(part)
        return links(self, part)

    monkeypatch.setattr(linkage.Linkage, "links", counted)
    again = clinic.run()
    assert done == [0, 1, *range(2, -(-again.persons // 120))]
    assert again.closed == 0
    assert kept <= {each.id for each in clinic.open(limit=500)}
    done.clear()
    assert (clinic.run().new, done[0]) == (0, 0)


def test_one_document_on_two_persons_and_one_number_in_two_lengths(clinic: Clinic) -> None:
    """A passport that two records name; the 15 digits of before 1999 and the 18 that were made of them."""
    passport = DocumentFields(scheme="icao-9303", issuer="UTO", kind="P", number="L898902C3")
    old = number("110105", "19640202", 11)
    ids = clinic.enter(
        clinic.one(M, "李梅", documents=[passport]),
        clinic.one(F, "王刚", documents=[passport]),
        clinic.one(old, "陈伟"),
        person(old[:6] + old[8:17], "陈伟", birth_date="1964-02-02", sex="M", place="110105", origin="register 9"),
    )
    clinic.run()
    found = [each for each in clinic.open() if "shared-number" in each.rules]
    assert sorted(each.persons for each in found) == [ids[:2], ids[2:]]
    told = {tuple(sorted(each.persons)): clinic.look(each.id).evidence[0] for each in found}
    assert (told[tuple(ids[:2])].fields, told[tuple(ids[:2])].told[0].value) == (["documents"], "UTO L898902C3")
    assert told[tuple(ids[2:])].told[0].label == "One number of 15 and of 18 digits"


def test_two_processes_find_what_one_finds(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawn families with planted errors: the same subjects, whoever reads."""
    families = Families(5, NOW)
    clinic.enter(*families.persons(400))
    clinic.run(processes=1)
    monkeypatch.setattr(rows, "READ_ROWS", 50)
    monkeypatch.setattr(population, "READ_ROWS", 50)
    again = clinic.run(processes=2)
    assert (again.new, again.again, again.closed) == (0, 0, 0)
    assert again.known == again.suspicions > 0


def test_planted_errors_are_found_and_only_they(clinic: Clinic) -> None:
    """Every planted entry is pointed at by its rule, and a contradiction points at nothing but a planted error."""
    families = Families(9, NOW, error_share=0.2)
    people = list(families.persons(1200))
    ids = clinic.enter(*people)
    by_name: dict[str, set[int]] = {}
    for place, each in zip(ids, people, strict=True):
        for name in (each.origin, each.personal_number):
            if name:
                by_name.setdefault(name, set()).add(place)
    clinic.run()
    queue = clinic.open(limit=500)
    found: dict[str, set[int]] = {rule: set() for rule in RULES}
    for each in queue:
        for rule in each.rules:
            found[rule] |= set(each.persons)
    planted = families.planted.errors
    touched = {
        person for entries in planted.values() for entry in entries for name in entry for person in by_name.get(name, ())
    }
    of_cards = {"document-dates", "dead-documents"}  # no cards were issued here
    for rule, entries in planted.items():
        if RULES[rule].cause in ("wrong", "false") and rule not in of_cards:
            for entry in entries:
                assert any(by_name.get(name, set()) & found[rule] for name in entry), rule
    for each in queue:
        if each.rules[0] != "same-person":
            assert touched & set(each.persons), each.rules


def test_circles_of_a_graph_are_found_once_each() -> None:
    """Chains and forks are none; a loop, a pair and a circle of three are, each once."""
    edges = [(1, 2), (2, 3), (4, 3), (5, 6), (6, 5), (7, 8), (8, 9), (9, 7), (10, 7), (9, 11), (12, 12)]
    child, parent = (np.array(column, np.int64) for column in zip(*edges, strict=True))
    assert sorted(sorted(circle) for circle in cycles(child, parent)) == [[5, 6], [7, 8, 9], [12]]
