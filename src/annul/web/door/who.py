"""Say who may call, once for all rooms: the roles of programs and of people, and what the ids in addresses look like.

The lines of the route table name these sets and patterns; none is spelled out a second time.

    get("/v1/reports/{id}", DESKS, report_state, "Look a report up", patterns={"id": REPORT_ID})
"""

from __future__ import annotations

from typing import Final, Literal

from annul.registry.answering.principals import ROLES, KeyUse

Who = frozenset[str] | Literal["public"]
"""Roles that may call (of programs, or of people when the route is a page), or `public`: nobody is asked."""

# -- programs ----------------------------------------------------------------------------------------------------------------

ANY: Final = frozenset[str](ROLES)
"""Every program with a credential. It may ask checks if its agreement says so; without one the check path refuses (E92)."""
RELYING: Final = frozenset({"relying_party"})
POLICE: Final = frozenset({"police"})
ISSUER: Final = frozenset({"issuer"})
SUPERVISOR: Final = frozenset({"supervisor"})
HANDS: Final = POLICE | ISSUER
"""Desks that take documents in, give them back and report them."""
DESKS: Final = HANDS | SUPERVISOR
DECIDERS: Final = ISSUER | SUPERVISOR
"""Who decides, confirms as the second officer, and handles lists: not a police desk."""

# -- what a key is for -------------------------------------------------------------------------------------------------------

FULL: Final = frozenset[KeyUse]({"all"})
"""Keys for everything their party may do: what a line of the table takes when it does not say otherwise."""
COUNTERS: Final = frozenset[KeyUse]({"all", "counter"})
"""Keys of counters as well: the few addresses a terminal needs to check, compare, depart and serve an urgent need."""

# -- people ------------------------------------------------------------------------------------------------------------------

PAGE_ROLES: Final = ("clerk", "citizen", *(f"officer:{role}" for role in ROLES))
"""Who can be signed in to a page; `officer:police/found` are officers who have that duty (registry.parties.officers)."""


def officers(roles: frozenset[str], *, duty: str = "") -> frozenset[str]:
    """Return who of a page: officers of these roles, with a duty when one is named."""
    return frozenset(f"officer:{role}/{duty}" if duty else f"officer:{role}" for role in roles)


CLERK: Final = frozenset({"clerk"})
CITIZEN: Final = frozenset({"citizen"})
HEAD_OFFICE: Final = CLERK | officers(RELYING, duty="policy")
"""Pages of a relying party's head office: its officers, or a clerk who signed in; their lines take full keys alone."""

# -- ids in addresses: regular expressions of the whole parameter ------------------------------------------------------------

ALARM_ID: Final = "aa_[0-9a-f]{24}"
ATTEMPT_ID: Final = "a_[0-9a-f]{24}"
BULK_ID: Final = "[0-9a-f]{32}"
"""A list that is one event: a bulk event, or an import of persons."""
CASE_ID: Final = "ca_[0-9a-f]{24}"
CARD_ID: Final = "f_[0-9a-f]{24}"
CHECK_ID: Final = "[0-9a-f]{32}"
CREDENTIAL_ID: Final = "c_[0-9a-f]{24}"
"""A digital credential that follows a document."""
DEATH_ID: Final = "d_[0-9a-f]{24}"
DECISION_ID: Final = "j_[0-9a-f]{24}"
DISPUTE_ID: Final = "x_[0-9a-f]{24}"
"""A dispute, or a correction: that is a dispute an officer raised."""
DOCUMENT_ID: Final = "[1-9][0-9]{0,17}"
DRAFT_ID: Final = "f[0-9a-f]{20}"
FINDING_ID: Final = "cf_[0-9a-f]{24}"
HOLD_ID: Final = "h_[0-9a-f]{24}"
KEY_ID: Final = "[0-9a-f]{16}"
NEED_ID: Final = "u_[0-9a-f]{24}"
PARTY_ID: Final = "[a-z0-9][a-z0-9-]{0,23}"
PERSON_ID: Final = "[1-9][0-9]{0,17}"
RECALL_ID: Final = "rc_[0-9a-f]{24}"
REPORT_ID: Final = "r_[0-9a-f]{24}"
SEARCH_ID: Final = "s_[0-9a-f]{24}"
STAFF_ID: Final = "[A-Za-z0-9][A-Za-z0-9.-]{0,31}"
SUSPICION_ID: Final = "s_[0-9a-f]{24}"
UNDO_CODE: Final = REPORT_ID + "-[a-z2-7]{20}"
UPLOAD_ID: Final = "u_[0-9a-f]{24}"
WEBHOOK_ID: Final = "w_[0-9a-f]{24}"
