"""The words of the API: one struct for every body, query and answer that is not a check.

Decoding is strict: an unknown field, a wrong type or a value off a closed list is refused with a JSON pointer. Times are
RFC 3339 with a zone; document numbers stand in bodies only.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal, Self

import msgspec
from msgspec import Meta

from annul.errors import BadInput
from annul.records.check import Answer, Question
from annul.records.document import DocumentFields
from annul.registry.answering.checks import BATCH_MAX
from annul.registry.parties.parties import Agreement, KeyUse, RealmName, Role
from annul.times import SECOND_US, rfc3339

__all__ = ["Agreement", "DocumentFields", "RealmName", "Role", "moment", "moment_or_none", "rfc3339"]

PAGE_MAX: Final = 500
"""Most rows of one page."""

YEAR_MIN: Final = 1900
"""Earliest year of a time that is taken; earlier ones are typing errors."""

Moment = Annotated[datetime, Meta(tz=True)]
Evidence = Annotated[str, Meta(max_length=200)]
Case = Annotated[str, Meta(min_length=1, max_length=64)]
Cursor = Annotated[str, Meta(max_length=400)]
Limit = Annotated[int, Meta(ge=1, le=PAGE_MAX)]
ProofName = Literal["phone", "online", "online_strong", "in_person", "in_person_fingerprint"]


class Body(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A body: unknown fields are refused."""


class Questions(Body):
    """Up to 10,000 checks in one request; the answers come in the same order."""

    checks: Annotated[list[Question], Meta(max_length=BATCH_MAX)]


class Answers(msgspec.Struct):
    """Answers of a batch, in the order of its checks; one that could not be answered is a NO_ANSWER in its place."""

    answers: list[Answer]


class ReporterGiven(Body):
    """Who reports. Name and contact are encrypted under a key of their own and can be erased; they are never logged."""

    role: Literal["holder", "relative", "finder", "officer", "other"] | None = None
    name: Annotated[str, Meta(max_length=200)] = ""
    contact: Annotated[str, Meta(max_length=200)] = ""


class Report(Body):
    """A report: a document was lost, stolen or found. Weak proof (phone, online) suspends only.

    `found` by the holder (`reporter.role`) lifts an earlier report; found by anybody else, the document is held.
    """

    document: DocumentFields
    kind: Literal["lost", "stolen", "found"]
    proof: ProofName
    happened_at: Moment | None = None
    reporter: ReporterGiven | None = None
    evidence: Evidence = ""


class ReportAccepted(msgspec.Struct):
    """The register refuses the document from now on: the table was asked before this was sent.

    Args:
        report: id of the report; "" for a report that a document was found again.
        state: the document's state.
        position: position in the register log; a check with this `min_position` sees the report.
        refused_after_ms: milliseconds from the commit until the check path refused.
        lapses_at: when a provisional report lapses by itself.
    """

    report: str
    state: str
    position: int
    refused_after_ms: float
    lapses_at: str | None = None


class ReporterQuestion(Body):
    """Who made this report? The look-up itself is accounted for, with its case."""

    case: Case


class ReporterShown(msgspec.Struct):
    """Who made a report, as it was told."""

    report: str
    name: str
    contact: str


class Confirm(Body):
    """Confirm a provisional report on strong proof."""

    proof: ProofName
    happened_at: Moment | None = None
    evidence: Evidence = ""


class Withdraw(Body):
    """Withdraw a provisional report."""

    proof: ProofName
    evidence: Evidence = ""


class Lift(Body):
    """Lift a report: the holder has the document again. `custody_broken`: somebody else had it meanwhile."""

    proof: ProofName
    happened_at: Moment | None = None
    custody_broken: bool = False
    evidence: Evidence = ""


class EraseReporter(Body):
    """Erase the personal details of who made a report, with the reference of the decision."""

    evidence: Annotated[str, Meta(min_length=1, max_length=200)]


class ReportState(msgspec.Struct):
    """One report, without personal details."""

    report: str
    kind: str
    state: Literal["provisional", "in_force", "recorded", "lapsed", "withdrawn", "lifted"]
    proof: str
    author: str
    evidence: str
    happened_at: str
    recorded_at: str
    position: int
    lapses_at: str | None


class Feed(Body, kw_only=True, tag_field="event"):
    """One event of the issuer's feed."""

    document: DocumentFields
    happened_at: Moment | None = None
    evidence: Evidence = ""


class Issue(Feed, tag="issue"):
    """A document was issued. Documents named in `replaces` are superseded in the same transaction."""

    person_number: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    replaces: Annotated[list[DocumentFields], Meta(max_length=20)] = []


class Replace(Feed, tag="replace"):
    """`document` was issued in place of `replaces`."""

    replaces: DocumentFields
    person_number: Annotated[str, Meta(min_length=1, max_length=64)] | None = None


class Cancel(Feed, tag="cancel"):
    """The document was cancelled; a death is told at /v1/persons/death."""

    reason: Literal["nationality", "data"]


class Revoke(Feed, tag="revoke"):
    """The document was revoked."""

    reason: Literal["error", "fraud", "misuse"]


class Compromise(Feed, tag="compromise"):
    """The document's data were exposed; the card is still in the holder's hand."""


class Surrender(Feed, tag="surrender"):
    """The document was handed in and is held."""


class Return(Feed, tag="return"):
    """A held document was given back to its holder, on proof of identity."""

    proof: ProofName


class Destroy(Feed, tag="destroy"):
    """The document was destroyed."""


class BlankStolen(Feed, tag="blank_stolen"):
    """A blank with this number was stolen, or the number was never issued."""


class Lock(Feed, tag="lock"):
    """The holder locks the document."""

    proof: ProofName


class Unlock(Feed, tag="unlock"):
    """The holder unlocks the document: for good, or for one purpose until a time."""

    proof: ProofName
    purpose: str | None = None
    until: Moment | None = None


FeedEvent = Issue | Replace | Cancel | Revoke | Compromise | Surrender | Return | Destroy | BlankStolen | Lock | Unlock


class Written(msgspec.Struct):
    """A change was recorded and the check path answers accordingly.

    Args:
        state: the document's state afterwards.
        position: position of the (last) entry in the register log.
        effective_after_ms: milliseconds from the commit until the check path answered accordingly.
        changed: False when the entry was recorded without changing the state.
        documents: how many documents were touched.
    """

    state: str
    position: int
    effective_after_ms: float
    changed: bool
    documents: int


class Death(Body):
    """A person died: every document of the person is cancelled."""

    personal_number: Annotated[str, Meta(min_length=1, max_length=64)]
    happened_at: Moment
    evidence: Evidence = ""


class Dispute(Body):
    """Open or close a dispute about a document's status; while it is open, checks answer U34."""

    action: Literal["open", "close"]
    document: DocumentFields
    evidence: Annotated[str, Meta(min_length=1, max_length=200)]


class StatusQuestion(Body):
    """What was this document's status at `at`, as known at `known_at`? The look-up itself is accounted for."""

    document: DocumentFields
    case: Case
    at: Moment | None = None
    known_at: Moment | None = None


class ChecksQuestion(Body):
    """Who asked about this document? The look-up itself is accounted for."""

    document: DocumentFields
    case: Case
    cursor: Cursor = ""
    limit: Limit = 100


class Page(msgspec.Struct, forbid_unknown_fields=True):
    """Query of a list: start behind `cursor` (from the last page), at most `limit` rows."""

    cursor: Cursor = ""
    limit: Limit = 100


class LeafQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Query of a proof of inclusion: which entry, from 0."""

    index: Annotated[int, Meta(ge=0, le=2**62)]


class BulkAct(Body):
    """Confirm or undo a bulk event, with the reference of the decision."""

    evidence: Annotated[str, Meta(min_length=1, max_length=200)]


class NewParty(Body):
    """A new relying party, issuer, police desk or supervisor. Only those with an agreement may ask checks."""

    id: Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9-]{0,23}$")]
    name: Annotated[str, Meta(min_length=1, max_length=200)]
    role: Role
    organisation: Annotated[str, Meta(max_length=200)] = ""
    agreement: Agreement | None = None


class NewKey(Body):
    """A new API key; `test` keys never touch live data, `counter` keys may ask checks at a counter and nothing else."""

    realm: RealmName = "live"
    label: Annotated[str, Meta(max_length=64)] = ""
    expires_at: Moment | None = None
    use: KeyUse = "all"


class ClientKeys(Body):
    """The public keys (JWK) of a party's OAuth client; an empty list closes it."""

    keys: Annotated[list[dict[str, Any]], Meta(max_length=5)]
    realm: RealmName = "live"


class NewAgreement(Body):
    """What a party may ask from now on; null ends its right to ask checks."""

    agreement: Agreement | None


class KeyIssued(msgspec.Struct):
    """A new API key; `token` is shown this once."""

    id: str
    token: str
    position: int


class PartyChanged(msgspec.Struct):
    """A change of parties was recorded; it counts from this position on."""

    position: int


class KeyShown(msgspec.Struct):
    """An API key without its secret."""

    id: str
    realm: str
    label: str
    created_at: str
    expires_at: str | None
    revoked_at: str | None
    use: KeyUse = "all"


class PartyShown(msgspec.Struct):
    """A party with its keys, without secrets."""

    id: str
    name: str
    role: Role
    organisation: str
    agreement: Agreement | None
    active: bool
    keys: list[KeyShown]
    client_keys: int


class PartiesShown(msgspec.Struct):
    """All parties, by id."""

    parties: list[PartyShown]


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


class Staged(msgspec.Struct, kw_only=True):
    """A list that is one event: staged, confirmed (by another officer when it is large), taken back.

    Args:
        two_officers: somebody else than `staged_by` must confirm.
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


class LanguageChoice(msgspec.Struct, forbid_unknown_fields=True):
    """Query of the language switch: which language, and the page to go back to."""

    to: str
    back: str = "/"
