"""A small register whose records are looked over: persons, documents, runs and decisions in one line each."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from annul.records.document import Document, DocumentFields, parse_document
from annul.records.person import CivilEvent, Person
from annul.registry.people.enrolment import Enrolments
from annul.registry.people.imports import PersonImports
from annul.registry.people.reading import read_one
from annul.registry.review.queue import Decision, Review
from annul.registry.review.run import run
from annul.registry.review.views import Decided, Looked, RunView, Suspicion
from tests.registry.people.town import REGISTRAR, SECOND, Town, person
from tests.registry.world import TODAY

MOTHER, FATHER = "110105195505010029", "110105195303030017"
ORIGIN = "birth register 1"


class Clinic(Town):
    """A town with a clean-up."""

    def __init__(self, conninfo: str, home: Path) -> None:
        super().__init__(conninfo, home)
        self._numbered = 0
        self.enrolments = Enrolments(self.ground, self.people, self.vault)
        self.review = Review(self.ground, self.register, self.people, self.enrolments, self.vault)

    def enter(self, *people: Person) -> list[int]:
        """Import persons as an old register has them, errors and all; return their ids."""
        imports = PersonImports(self.ground, self.conninfo, self.vault)
        made = imports.stage_lines(REGISTRAR, [[(at, read_one(each)) for at, each in enumerate(people)]], shared_numbers=True)
        assert made.report.bad == {}
        asyncio.run(imports.confirm(SECOND, made.id))
        with self.connect() as db:
            ((first, last),) = db.execute("SELECT first_id, last_id FROM person_import WHERE id = %s", (made.id,)).fetchall()
        return list(range(first, last + 1))

    def one(self, number: str, name: str, **more: Any) -> Person:
        """Make a person in order, born by what the number says, with a civil event behind it; `more` changes that."""
        self._numbered += 1
        said = {
            "birth_date": f"{number[6:10]}-{number[10:12]}-{number[12:14]}",
            "sex": "M" if number[16] in "13579" else "F",
            "place": number[:6],
            "origin": f"birth register {self._numbered}",
        }
        return person(number, name, **(said | more))

    def connect(self) -> Any:
        """Open the database."""
        from annul.registry.writing.store import connect

        return connect(self.conninfo)

    def run(self, *, processes: int = 1) -> RunView:
        """Run the clean-up."""
        return run(self.conninfo, self.home, self.keys, REGISTRAR, self.clock, processes=processes)

    def open(self, **wanted: Any) -> list[Suspicion]:
        """Return the queue."""
        return asyncio.run(self.review.queue(REGISTRAR, **wanted)).suspicions

    def look(self, suspicion: str) -> Looked:
        """Open a suspicion for a case."""
        return asyncio.run(self.review.view(REGISTRAR, suspicion, case="visit 1"))

    def decide(self, suspicion: str, decision: Decision, **more: Any) -> Decided:
        """Decide as the first officer."""
        return asyncio.run(self.review.decide(REGISTRAR, suspicion, decision, grounds="file 7", **more))

    def confirm(self, decided: Decided) -> Decided:
        """Confirm as the second officer."""
        return asyncio.run(self.review.confirm(SECOND, decided.decision))

    def undo(self, decided: Decided) -> Decided:
        """Take a decision back."""
        return asyncio.run(self.review.undo(REGISTRAR, decided.decision, grounds="a mistake"))

    def find(self, number: str) -> list[Person]:
        """Look a person up for a case."""
        return [view.person for view in asyncio.run(self.people.find(REGISTRAR, number, case="visit 2"))]

    def issue(self, number: str, start: str = "2016-10-06") -> Document:
        """Issue a resident card."""
        made = parse_document(
            DocumentFields(scheme="cn-resident", number=number, valid_from=start, valid_until="2036-10-06"), TODAY
        )
        asyncio.run(self.register.issue(REGISTRAR, made, happened_at_us=self.clock()))
        return made

    def events(self, person_id: int) -> list[str]:
        """Return what happened to a record."""
        with self.connect() as db:
            lines = db.execute("SELECT event FROM civil_event WHERE person_id = %s ORDER BY position", (person_id,)).fetchall()
        return [CivilEvent.of_octet(event).value for (event,) in lines]


def number(division: str, day: str, order: int) -> str:
    """Compose a citizen number with its check character."""
    from annul.records.schemes.cn_resident import check_character

    body = f"{division}{day}{order:03d}"
    return body + check_character(body)
