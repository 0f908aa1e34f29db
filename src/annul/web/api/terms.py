"""Hold what the topics of the API share: bodies that refuse unknown fields, times, pages of lists, who acts.

Decoding is strict: an unknown field, a wrong type or a value off a closed list is refused with a JSON pointer. Times are
RFC 3339 with a zone; document numbers stand in bodies only. A write has left this room only when the listings table answers
accordingly; if that takes too long, the register raises NotYetEffective, and the same request with the same Idempotency-Key may
be sent again. What is shown of a thing ends in Shown; what an act did ends in a participle (KeyIssued, PolicyChanged).
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self

import msgspec
from msgspec import Meta

from annul.errors import BadInput, NotYetEffective
from annul.records.references import Tag, Words
from annul.records.status import Proof
from annul.registry.writing.act import Act, Idempotency
from annul.times import SECOND_US, rfc3339

if TYPE_CHECKING:
    from annul.web.door.call import Call
    from annul.web.door.office import Office

PAGE_MAX: Final = 500
"""Most rows of one page."""

YEAR_MIN: Final = 1900
"""Earliest year of a time that is taken; earlier ones are typing errors."""

DOCUMENT_PROBLEMS: Final = ("malformed-number", "ambiguous-document")
"""What a route that reads a document can answer besides."""

Moment = Annotated[datetime, Meta(tz=True)]
Case = Annotated[Tag, Meta(min_length=1)]
Reason = Annotated[Words, Meta(min_length=1)]
Cursor = Annotated[str, Meta(max_length=400)]
Limit = Annotated[int, Meta(ge=1, le=PAGE_MAX)]
ProofName = Literal["phone", "online", "online_strong", "in_person", "in_person_fingerprint"]
PROOFS: Final = {proof.value: proof for proof in Proof}


class Body(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A body: unknown fields are refused."""


class Page(msgspec.Struct, forbid_unknown_fields=True):
    """Query of a list: start behind `cursor` (from the last page), at most `limit` rows.

    Args:
        cursor: give it for the next page; "" after the last.
        limit: most rows of the page.
    """

    cursor: Cursor = ""
    limit: Limit = 100


class Staged(msgspec.Struct, kw_only=True):
    """A list that is one event: staged, confirmed (by another officer when it is large), taken back.

    Args:
        two_officers: somebody else than `staged_by` must confirm.
        id: its id.
        state: its present state.
        evidence: reference of the evidence or the decision, not the evidence itself; at most 200 characters.
        staged_by: who brought the list in.
        staged_at: when the list was read (RFC 3339, UTC).
        confirmed_by: who confirmed it; null before.
        position: position in the register log; 0-based and dense.
        undone_by: who took it back; null while it stands.
        undone_position: position of the entry that took it back; null while it stands.
    """

    id: str
    state: Literal["loading", "staged", "in_force", "discarded", "undone"]
    two_officers: bool
    evidence: str
    staged_by: str
    staged_at: str
    confirmed_by: str | None
    position: int | None
    undone_by: str | None
    undone_position: int | None

    @classmethod
    def of(cls, view: Any, **times: Any) -> Self:
        """Return an event as it is sent: its members under their own names, `staged_at`, and other times as given."""
        members = {name: getattr(view, name) for name in cls.__struct_fields__ if not name.endswith("_at")}
        return cls(**members, staged_at=rfc3339(view.staged_at_us), **times)


def moment(at: datetime, where: str) -> int:
    """Return a time of the wire as microseconds since the epoch.

    Raises:
        BadInput: it is before 1900; `where` names the field.
    """
    if at.year < YEAR_MIN:
        raise BadInput("The time is too long ago.", where=where, mend="Give the year with four digits.")
    return int(at.timestamp()) * SECOND_US + at.microsecond


def moment_or_none(at_us: int | None) -> str | None:
    """Return a time for the wire, None when there is none (None or 0)."""
    return rfc3339(at_us) if at_us else None


def happened_us(office: Office, at: datetime | None) -> int:
    """Return when something happened, in microseconds since the epoch: now, when the caller does not say."""
    return office.now_us() if at is None else moment(at, "/happened_at")


def act_of(call: Call) -> Act:
    """Return who acts, in which realm, under which Idempotency-Key; the key covers address and body."""
    who = call.principal
    idempotency = None
    if call.idempotency_key:
        address = call.request.url.path.encode()
        body = msgspec.json.encode(call.body, order="deterministic")
        idempotency = Idempotency.of(who.id, call.idempotency_key, address, body)
    return Act(who.id, who.realm, idempotency, who.key_id)


async def settled(office: Office, position: int, what: str) -> None:
    """Wait until the workers of this machine have taken up a change of parties.

    Raises:
        NotYetEffective: they have not in time.
    """
    if not await office.listings.reached(position, office.settings.acknowledge_ms_max / 1000):
        raise NotYetEffective(f"{what}, but not every worker knows it yet.", position=position)
