"""What the clean-up tells: suspicions, decisions, runs, counts; without details, but for what an officer opened."""

from __future__ import annotations

import msgspec

from annul.records.person import Person
from annul.registry.review.evidence import Evidence


class RunView(msgspec.Struct, frozen=True, kw_only=True):
    """Say what a run did.

    Args:
        rules: how many suspicions name each rule; one may name several.
        new, again, known, closed: suspicions met for the first time; asked again because the facts changed; met before on the
            same facts; found no more.
        portraits: portraits searched for one face under two persons; None when the comparison is not installed.
        id: its id.
        state: its present state.
        started_by: who started it.
        started_at_us: start of the run, microseconds since 1970-01-01 UTC.
        ended_at_us: end of the run, microseconds since 1970-01-01 UTC; null while it runs.
        persons: persons looked over.
        suspicions: suspicions that the rules met.
        took_s: seconds by step.
    """

    id: str
    state: str
    started_by: str
    started_at_us: int
    ended_at_us: int | None = None
    persons: int = 0
    suspicions: int = 0
    new: int = 0
    again: int = 0
    known: int = 0
    closed: int = 0
    portraits: int | None = 0
    rules: dict[str, int] = {}
    took_s: dict[str, float] = {}


class Suspicion(msgspec.Struct, frozen=True, kw_only=True):
    """One suspicion without any details.

    Args:
        cause, rules: why; see `rules.RULES`.
        persons, documents: ids; the record to look at first in front.
        score: how sure, 0 to 1.
        region: division code, or "".
        state: open, proposed (waits for a second officer), visit, decided, gone (found no more, or asked anew).
        earlier: the suspicion that was decided before the facts changed.
    """

    id: str
    cause: str
    rules: list[str]
    persons: list[int]
    documents: list[int]
    score: float
    region: str
    state: str
    found_at_us: int
    earlier: str | None


class DecisionView(msgspec.Struct, frozen=True, kw_only=True):
    """One decision.

    Args:
        person: the record that is kept, corrected or cancelled.
        cancels: documents are cancelled with it.
        state: waiting (for a second officer), in_force, refused, undone.
        positions: entries of the register log that carried it out.
    """

    id: str
    suspicion: str
    decision: str
    grounds: str
    person: int | None
    cancels: bool
    state: str
    decided_by: str
    decided_at_us: int
    second_by: str | None
    second_at_us: int | None
    positions: list[int]
    documents: int
    undone_by: str | None
    undone_at_us: int | None
    undone_grounds: str


class PersonSeen(msgspec.Struct, frozen=True, kw_only=True):
    """One record of a suspicion, opened for an officer; `ended` says that it is merged or cancelled."""

    id: int
    person: Person
    photo: bool
    ended: str | None


class DocumentSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A document of one of the persons; days since the epoch."""

    id: int
    person: int
    kind: str
    valid_from_day: int | None
    valid_until_day: int | None
    state: str


class Looked(msgspec.Struct, frozen=True, kw_only=True):
    """What an officer sees of a suspicion."""

    suspicion: Suspicion
    persons: list[PersonSeen]
    documents: list[DocumentSeen]
    evidence: list[Evidence]
    decisions: list[DecisionView]


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the queue; `after` asks for the next one, "" when there is none."""

    suspicions: list[Suspicion]
    total: int
    after: str


class Figure(msgspec.Struct, frozen=True):
    """How many suspicions of a cause and region are in a state.

    Args:
        cause: cause of the suspicions counted.
        region: region of the register.
        state: its present state.
        count: how many.
    """

    cause: str
    region: str
    state: str
    count: int


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of the clean-up: by cause, region and state; by decision; the latest runs."""

    by_region: list[Figure]
    by_rule: dict[str, int]
    by_decision: dict[str, int]
    runs: list[RunView]


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """Say what became of a decision.

    Args:
        state: waiting when a second officer must confirm it, else in_force, refused or undone.
        documents: how many documents it changed.
    """

    decision: str
    suspicion: str
    state: str
    positions: list[int] = []
    documents: int = 0
    effective_after_us: int = 0
    replayed: bool = False
