"""Say which rooms somebody may enter: what the navigation shows, what duties are offered, one table for both.

A test holds each line to the route table, so that nobody is shown a door that does not open. The navigation is drawn from the
session, which notes role and duties whenever the gate has looked them up: it stays on pages that say no, and without database.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from annul.registry.answering.principals import ROLES
from annul.registry.parties.officers import DUTIES
from annul.web.door.session import Session
from annul.web.door.who import ANY, DECIDERS, DESKS, HANDS, ISSUER, POLICE, RELYING, SUPERVISOR
from annul.web.door.words import _


class Room(NamedTuple):
    """One room of officers: address, words, the duty it takes ("" for none), roles that may have it."""

    address: str
    words: str
    duty: str
    roles: frozenset[str]


OFFICES: Final = (
    Room("/desk", _("Search"), "", DESKS),
    Room("/desk/found", _("Found cards"), "found", HANDS),
    Room("/desk/attempts", _("Denied uses"), "desk", POLICE),
    Room("/desk/disputes", _("Disputes"), "disputes", DESKS),
    Room("/desk/recalls", _("Recalls"), "disputes", DESKS),
    Room("/desk/bulk", _("Lists"), "bulk", DECIDERS),
    Room("/desk/review", _("Clean-up"), "review", ISSUER),
    Room("/desk/review/figures", _("Clean-up"), "review", SUPERVISOR),
    Room("/counter/departures", _("Decisions against the advice"), "policy", RELYING),
    Room("/counter/file", _("Documents on file"), "policy", RELYING),
    Room("/counter/policy", _("Counter policy"), "policy", RELYING),
    Room("/desk/officers", _("Officers"), "officers", ANY),
    Room("/oversight", _("Oversight"), "", SUPERVISOR),
)
"""Rooms of officers."""
COUNTER: Final = (("/counter", _("Check")), ("/counter/follow-ups", _("Follow-ups")))
"""Rooms of every clerk; a key of the head office opens those of its officers too."""
MY: Final = (
    ("/my", _("My documents")),
    ("/my/checks", _("Who checked")),
    ("/my/attempts", _("Attempts")),
    ("/my/messages", _("Messages")),
    ("/my/contacts", _("Contacts")),
    ("/my/data", _("My data")),
)
"""Rooms of a holder."""


def rooms_of(session: Session | None, translate: Callable[[str], str]) -> list[tuple[str, str]]:
    """Return (address, words) of every room that somebody may enter; none for a visitor."""
    if session is None or session.kind == "visitor":
        return []
    if session.kind == "citizen":
        return [(address, translate(words)) for address, words in MY]
    first = [(address, translate(words)) for address, words in COUNTER] if session.kind == "clerk" else []
    held = {"", *session.duties}
    clerk = session.kind == "clerk"
    return first + [
        (room.address, translate(room.words))
        for room in OFFICES
        if session.role in room.roles and room.duty in held and (room.duty == "policy" or not clerk)
    ]


def duties_of(role: str) -> tuple[str, ...]:
    """Return the duties that open a room to officers of a role: what may be offered to them.

    Args:
        role: one of `ROLES`.
    """
    assert role in ROLES
    open_to = {room.duty for room in OFFICES if role in room.roles}
    return tuple(duty for duty in DUTIES if duty in open_to)
