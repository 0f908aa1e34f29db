"""What an event does to one document's row: the rules of records.status, with single facts told apart from a list's."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from annul.records.status import Event, Proof, State, next_status
from annul.registry.writing.documents import Row

LISTING: Final = frozenset(
    {
        Event.cancel_nationality,
        Event.cancel_data,
        Event.revoke_error,
        Event.revoke_fraud,
        Event.revoke_misuse,
        Event.compromise,
        Event.blank_stolen,
        Event.surrender,
        Event.destroy,
        Event.owner_lock,
    }
)
"""Events that add a fact; on a document of a listing-only kind they make its first entry."""

CHANGES: Final = LISTING | {Event.return_to_holder, Event.owner_unlock, Event.dispute_open, Event.dispute_close}
"""Events that `Register.change` records."""

ADDING: Final = LISTING | {
    Event.report_lost,
    Event.report_stolen,
    Event.suspend,
    Event.issue,
    Event.supersede,
    Event.cancel_death,
}
"""Events that state a fact of their own."""


def step(row: Row, event: Event, *, proof: Proof | None = None, fact: State | None = None, second_officer: bool = False) -> Row:
    """Return the row after an event: rules judge everything that stands, bulk facts are told apart from single ones.

    A fact that a single event states as well no longer hangs on the bulk event, so that undoing that leaves it.
    """

    def after(standing: int) -> int:
        return next_status(
            standing,
            event,
            proof=proof or Proof.in_person,
            fact=fact,
            custody_broken=row.custody_broken,
            replaced=row.replaced_by is not None,
            second_officer=second_officer,
        )

    standing = after(row.standing)
    bulk = row.bulk_standing & standing
    if bulk and event in ADDING:
        own = after(row.standing & ~row.bulk_standing)
        standing, bulk = standing | own, bulk & ~own
    return replace(row, standing=standing, bulk_standing=bulk)


def takes_no_more(row: Row) -> bool:
    """Tell whether a report is recorded without effect: the document is destroyed."""
    return bool(row.standing & State.destroyed.bit)


def reported(row: Row, event: Event, proof: Proof) -> Row:
    """Return the row after a report; from a theft or a hand-in on others have had the document (rule 6)."""
    if event is not Event.report_found:
        after = step(row, event, proof=proof)
        return replace(after, custody_broken=row.custody_broken or event is Event.report_stolen)
    after = step(row, Event.surrender, proof=proof)
    if not proof.is_present:
        return after
    return replace(after, standing=after.standing & ~State.suspended.bit, custody_broken=True)


def is_strong(event: Event, proof: Proof) -> bool:
    """Tell whether a report stands until it is lifted; a found document must have been handed in (rules 5 and 7)."""
    return proof.is_present if event is Event.report_found else proof.is_strong
