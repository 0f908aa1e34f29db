"""What a person is shown of the own documents: their state, who asked, who tried."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from annul.records.entry import Entry
from annul.records.status import DEAD_MASK, State, state_of
from annul.registry.writing.documents import Row
from annul.times import DAY_S, LONG_TERM_DAY, rfc3339

_REPORTED: Final = State.reported_lost.bit | State.reported_stolen.bit


class Unlocked(msgspec.Struct, frozen=True, kw_only=True):
    """A lock that is open for one purpose until a time."""

    purpose: str
    until_us: int


class OwnDocument(msgspec.Struct, frozen=True, kw_only=True):
    """One of a person's own documents.

    Args:
        id: of its row.
        kind: resident, P, ID, internal …
        state: worst standing fact, today's expiry included.
        since_us: when its present state began (`writing.present`); 0 when nothing was ever recorded.
        ends_with: last signs of its number, "" when the register does not know it.
        report: reference of the report in force, and until when it is provisional.
        may: what its holder may do: report, confirm, withdraw, lock, unlock, unlock_for, dispute.
    """

    id: int
    kind: str
    coverage: str
    state: str
    facts: list[str]
    disputed: bool
    since_us: int
    valid_from_day: int | None
    valid_until_day: int | None
    ends_with: str
    report: str
    lapses_at_us: int | None
    unlocked: list[Unlocked]
    may: list[str]


class CheckSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A check of one's own document, as its holder may see it: which organisation, not which clerk.

    `held_until_us`: until when it was held back by law, None when it was not.
    """

    check: str
    checked_at_us: int
    document: int
    party: str
    purpose: str
    channel: str
    outcome: str
    status: str
    held_until_us: int | None


class AttemptSeen(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt to use a dead card, and what its holder said: nothing yet, me, or not_me.

    `refused` is false for a use between the loss and its late report.
    """

    id: str
    document: int
    checked_at_us: int
    party: str
    purpose: str
    channel: str
    said: str
    refused: bool


def date_of(day: int | None) -> str | None:
    """Write a day; "long-term" for a document without end, None for a day that is not known."""
    if day is None or not 0 < day < LONG_TERM_DAY:
        return "long-term" if day == LONG_TERM_DAY else None
    return datetime.fromtimestamp(day * DAY_S, UTC).date().isoformat()


def line_of(entry: Entry, reference: str) -> dict[str, Any]:
    """Return a line of a document's history, with what its entry refers to."""
    return {
        "event": entry.reason.value if entry.reason else entry.kind.value,
        "recorded_at": rfc3339(entry.recorded_at_us),
        "happened_at": rfc3339(entry.happened_at_us),
        "author": entry.author,
        "proof": entry.proof.value if entry.proof else None,
        "evidence": reference,
        "state": state_of(entry.standing).name,
        "disputed": entry.disputed,
    }


def timed(line: dict[str, Any]) -> dict[str, Any]:
    """Return a line with its times written out."""
    return {
        name.removesuffix("_us"): (rfc3339(value) if value else None) if name.endswith("_us") else value
        for name, value in line.items()
    }


def acts_of(row: Row, standing: int, provisional: bool) -> list[str]:
    """Return what a holder may do with a document against which this stands, bulk events included."""
    dead = bool(standing & DEAD_MASK)
    may = []
    if provisional:
        may += ["confirm", "withdraw"]
    elif not dead and not standing & (_REPORTED | State.found_held.bit):
        may.append("report")
    if not dead and not standing & (_REPORTED | State.suspended.bit | State.found_held.bit):
        may += ["unlock", "unlock_for"] if standing & State.owner_locked.bit else ["lock"]
    if standing & ~State.current.bit & ~State.owner_locked.bit and not row.disputed:
        may.append("dispute")
    return may
