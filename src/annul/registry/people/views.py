"""What the register of persons tells of a person: to an officer who named a case, and after a change."""

from __future__ import annotations

import msgspec

from annul.records.person import Person
from annul.registry.writing.pen import Done


class PersonRecorded(Done, frozen=True, kw_only=True):
    """Say what was recorded about a person.

    Args:
        person: id of the record.
        documents: how many documents it changed.
        death: id of a reported death that waits, and `due_at_us`, when it is carried out.
    """

    person: int
    documents: int = 0
    death: str = ""
    due_at_us: int | None = None


class PersonView(msgspec.Struct, frozen=True, kw_only=True):
    """Show a person to an officer who named a case.

    Args:
        id: its id.
        person: the person's details.
        photo: a portrait is on record.
        imported: the record came in with a list.
        position: position in the register log; 0-based and dense.
    """

    id: int
    person: Person
    photo: bool
    imported: bool
    position: int | None


class CivilLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a person's past, without details."""

    position: int
    event: str
    happened_at_us: int
    recorded_at_us: int
    author: str
    evidence: str


class PendingDeath(msgspec.Struct, frozen=True, kw_only=True):
    """A death that was told: pending until it is due, appealed against, or carried out."""

    id: str
    person: int
    state: str
    happened_at_us: int
    reported_at_us: int
    due_at_us: int
    author: str
    evidence: str
    decided_by: str | None
    grounds: str
