"""Answer programs about a document's life: the issuer's feed, deaths, disputes in one step, its past, who asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from annul.errors import BadInput, Forbidden, NotFound
from annul.records.check import purpose_of
from annul.records.document import DocumentFields, parse_document
from annul.records.references import Given, Reference
from annul.records.status import Event
from annul.registry.writing.act import Act
from annul.registry.writing.register import Recorded
from annul.times import rfc3339
from annul.web.api.checks import ChecksPage
from annul.web.api.terms import (
    DOCUMENT_PROBLEMS,
    PROOFS,
    Body,
    Case,
    Cursor,
    Limit,
    Moment,
    ProofName,
    act_of,
    happened_us,
    moment,
    moment_or_none,
)
from annul.web.door.call import Call, Route, post, tagged, write
from annul.web.door.who import DESKS, HANDS, ISSUER

if TYPE_CHECKING:
    from annul.web.door.office import Office


class Feed(Body, kw_only=True, tag_field="event"):
    """One event of the issuer's feed.

    Args:
        document: the document as printed: scheme, number and what else its scheme asks.
        happened_at: when it happened, not when it was recorded (RFC 3339 with zone); left out: now.
        evidence: reference of the evidence or the decision, not the evidence itself; at most 200 characters.
    """

    document: DocumentFields
    happened_at: Moment | None = None
    evidence: Reference = ""


class Issue(Feed, tag="issue"):
    """A document was issued. Documents named in `replaces` are superseded in the same transaction.

    Args:
        person_number: personal number of the holder; null when it is not known.
        replaces: documents that are superseded by it.
    """

    person_number: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    replaces: Annotated[list[DocumentFields], Meta(max_length=20)] = msgspec.field(default_factory=list)


class Replace(Feed, tag="replace"):
    """`document` was issued in place of `replaces`.

    Args:
        replaces: the document that is replaced.
        person_number: personal number of the holder; null when it is not known.
    """

    replaces: DocumentFields
    person_number: Annotated[str, Meta(min_length=1, max_length=64)] | None = None


class Cancel(Feed, tag="cancel"):
    """The document was cancelled; a death is told at /v1/persons/death.

    Args:
        reason: `data` (they changed) or `nationality` (it was lost).
    """

    reason: Literal["nationality", "data"]


class Revoke(Feed, tag="revoke"):
    """The document was revoked.

    Args:
        reason: `error`, `fraud` or `misuse`.
    """

    reason: Literal["error", "fraud", "misuse"]


class Compromise(Feed, tag="compromise"):
    """The document's data were exposed; the card is still in the holder's hand."""


class Surrender(Feed, tag="surrender"):
    """The document was handed in and is held."""


class Return(Feed, tag="return"):
    """A held document was given back to its holder, on proof of identity.

    Args:
        proof: on what proof.
    """

    proof: ProofName


class Destroy(Feed, tag="destroy"):
    """The document was destroyed."""


class BlankStolen(Feed, tag="blank_stolen"):
    """A blank with this number was stolen, or the number was never issued."""


class Lock(Feed, tag="lock"):
    """The holder locks the document.

    Args:
        proof: on what proof.
    """

    proof: ProofName


class Unlock(Feed, tag="unlock"):
    """The holder unlocks the document: for good, or for one purpose until a time.

    Args:
        proof: on what proof.
        purpose: why it is asked or done.
        until: until when it holds (RFC 3339 with zone).
    """

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
    """A person died: every document of the person is cancelled.

    Args:
        personal_number: personal number of the person, as the issuer gives it.
        happened_at: when it happened, not when it was recorded (RFC 3339 with zone).
        evidence: reference of the evidence or the decision, not the evidence itself; at most 200 characters.
    """

    personal_number: Annotated[str, Meta(min_length=1, max_length=64)]
    happened_at: Moment
    evidence: Reference = ""


class Dispute(Body):
    """Open or close a dispute about a document's status; while it is open, checks answer U34.

    Args:
        action: `open` or `close`.
        document: the document as printed: scheme, number and what else its scheme asks.
        evidence: reference of the evidence or the decision, not the evidence itself; at most 200 characters.
    """

    action: Literal["open", "close"]
    document: DocumentFields
    evidence: Given


class StatusQuestion(Body):
    """What was this document's status at `at`, as known at `known_at`? The look-up itself is accounted for.

    Args:
        document: the document as printed: scheme, number and what else its scheme asks.
        case: reference of the case for which this is done; it is on record with the look-up.
        at: the time to tell the state of; null: now.
        known_at: the state of knowledge asked about (RFC 3339, UTC).
    """

    document: DocumentFields
    case: Case
    at: Moment | None = None
    known_at: Moment | None = None


class ChecksQuestion(Body):
    """Who asked about this document? The look-up itself is accounted for.

    Args:
        document: the document as printed: scheme, number and what else its scheme asks.
        case: reference of the case for which this is done; it is on record with the look-up.
        cursor: give it for the next page; "" after the last.
        limit: most rows of the page.
    """

    document: DocumentFields
    case: Case
    cursor: Cursor = ""
    limit: Limit = 100


class Line(msgspec.Struct):
    """One entry about a document: when it was so, when it was known, who said so, and the state after it.

    Args:
        position: position in the register log; 0-based and dense.
        recorded_at: when it was recorded (RFC 3339, UTC).
        happened_at: when it happened, not when it was recorded (RFC 3339, UTC).
        author: who recorded it: an organisation, or an officer of one.
        event: what happened.
        proof: on what proof.
        evidence: reference of the evidence or the decision, not the evidence itself; at most 200 characters.
        state: its present state.
        disputed: the status is disputed (U34).
    """

    position: int
    recorded_at: str
    happened_at: str
    author: str
    event: str
    proof: str | None
    evidence: str
    state: str
    disputed: bool


class StatusAnswer(msgspec.Struct):
    """A document's state at a time as known at a time, and every entry about it that was known then.

    Args:
        facts: all standing facts, worst first; `state` is the first.
        position: position of the latest entry this rests on; 0 when a bulk event alone or nothing says it.
        known: something was recorded of it by then; otherwise `state` (current) says no more than that there was no listing.
        since: when this state was recorded to begin, neither the last entry nor when it happened; null where another state
            stood at `known_at`.
        state: the worst standing fact at that time.
        disputed: the status is disputed (U34).
        at: the time asked about (RFC 3339, UTC).
        known_at: the state of knowledge asked about (RFC 3339, UTC).
        history: every entry about the document known then, oldest first.
    """

    state: str
    facts: list[str]
    disputed: bool
    position: int
    known: bool
    since: str | None
    at: str
    known_at: str
    history: list[Line]


CANCELS: Final = {"nationality": Event.cancel_nationality, "data": Event.cancel_data}
REVOKES: Final = {"error": Event.revoke_error, "fraud": Event.revoke_fraud, "misuse": Event.revoke_misuse}
CHANGES: Final[dict[type, Event]] = {
    Compromise: Event.compromise,
    Surrender: Event.surrender,
    Return: Event.return_to_holder,
    Destroy: Event.destroy,
    BlankStolen: Event.blank_stolen,
    Lock: Event.owner_lock,
}
"""Events of the feed that change one document and nothing else."""
HANDED_IN: Final = (Surrender, Return, Destroy)
"""Events a police desk records too: found documents are handed in there. All others are the issuer's."""


def _written(recorded: Recorded) -> Written:
    return Written(
        state=recorded.state,
        position=recorded.position,
        effective_after_ms=recorded.effective_after_us / 1000,
        changed=recorded.changed,
        documents=recorded.documents,
    )


# -- the issuer's feed ------------------------------------------------------------------------------------------------------


async def feed(office: Office, call: Call) -> Written:
    """Record one event of a document's life."""
    event: Any = call.body
    if call.principal.role != "issuer" and not isinstance(event, HANDED_IN):
        raise Forbidden("Only the issuer records this event.", mend="A police desk records surrender, return and destroy.")
    act = act_of(call)
    happened = happened_us(office, event.happened_at)
    document = parse_document(event.document)
    register = office.register
    if isinstance(event, Issue):
        recorded = await register.issue(
            act,
            document,
            happened_at_us=happened,
            person_number=event.person_number,
            replaces=[parse_document(old) for old in event.replaces],
            evidence=event.evidence,
        )
    elif isinstance(event, Replace):
        recorded = await register.replace(
            act,
            parse_document(event.replaces),
            document,
            happened_at_us=happened,
            person_number=event.person_number,
            evidence=event.evidence,
        )
    elif isinstance(event, Unlock) and (event.purpose is not None or event.until is not None):
        recorded = await _unlock_for(office, act, document, event)
    else:
        proof = PROOFS[event.proof] if hasattr(event, "proof") else None
        recorded = await register.change(
            act, document, _change_of(event), happened_at_us=happened, proof=proof, evidence=event.evidence
        )
    return _written(recorded)


def _change_of(event: Any) -> Event:
    if isinstance(event, Cancel):
        return CANCELS[event.reason]
    if isinstance(event, Revoke):
        return REVOKES[event.reason]
    return Event.owner_unlock if isinstance(event, Unlock) else CHANGES[type(event)]


async def _unlock_for(office: Office, act: Act, document: Any, event: Unlock) -> Recorded:
    if event.purpose is None or event.until is None:
        raise BadInput("A timed unlock has a purpose and an end.", where="/purpose", mend="Give both `purpose` and `until`.")
    purpose = purpose_of(event.purpose)
    until = moment(event.until, "/until")
    return await office.register.unlock_for(act, document, purpose, until, proof=PROOFS[event.proof], evidence=event.evidence)


async def death(office: Office, call: Call) -> Written:
    """Record a person's death; it fans out to all documents of the person."""
    body: Death = call.body
    happened = moment(body.happened_at, "/happened_at")
    return _written(
        await office.register.death(act_of(call), body.personal_number, happened_at_us=happened, evidence=body.evidence)
    )


async def dispute(office: Office, call: Call) -> Written:
    """Open or close a dispute about a document's status."""
    body: Dispute = call.body
    if body.action == "close" and call.principal.role == "police":
        raise Forbidden("A police desk opens disputes; it does not close them.", mend="The issuer or the supervisor closes it.")
    act, document = act_of(call), parse_document(body.document)
    if body.action == "open":
        recorded = await office.disputes.open(act, document, by="officer", ground="other", case=body.evidence)
    else:
        recorded = await office.disputes.close(act, document, evidence=body.evidence)
    return _written(recorded)


# -- a document's past ------------------------------------------------------------------------------------------------------


async def status(office: Office, call: Call) -> StatusAnswer:
    """Answer the bitemporal question; the look-up itself is entered in the register first."""
    body: StatusQuestion = call.body
    now = office.now_us()
    at = moment(body.at, "/at") if body.at else now
    known_at = moment(body.known_at, "/known_at") if body.known_at else now
    act, document = act_of(call), parse_document(body.document)
    found = await office.register.status_at(act, document, at, known_at, case=body.case)
    try:
        lines = await office.register.history(act, document, case=body.case)
    except NotFound:
        lines = []  # nothing was ever said of it: there was no listing
    shown = [
        Line(
            line.position,
            rfc3339(line.recorded_at_us),
            rfc3339(line.happened_at_us),
            line.author,
            line.event,
            line.proof,
            line.evidence,
            line.state,
            line.disputed,
        )
        for line in lines
        if line.recorded_at_us <= known_at
    ]
    return StatusAnswer(
        found.state,
        found.facts,
        found.disputed,
        found.position,
        found.known,
        moment_or_none(found.since_us),
        rfc3339(at),
        rfc3339(known_at),
        shown,
    )


async def checks_of_document(office: Office, call: Call) -> ChecksPage:
    """List the checks of a document; the look-up is entered in the register before it is answered."""
    body: ChecksQuestion = call.body
    rows, cursor = await office.accounts.checks_of_document(
        act_of(call), parse_document(body.document), case=body.case, after=body.cursor, limit=body.limit
    )
    return ChecksPage(list(rows), cursor)


ROUTES: Final[tuple[Route, ...]] = tagged(
    "documents",
    write(
        "/v1/documents",
        HANDS,
        feed,
        "Record an event of a document's life (issuer's feed)",
        body=FeedEvent,
        returns=Written,
        status=201,
        problems=(*DOCUMENT_PROBLEMS, "forbidden"),
    ),
    post(
        "/v1/documents/status",
        DESKS,
        status,
        "Ask what a document's status was at a time, as known at a time",
        body=StatusQuestion,
        returns=StatusAnswer,
        problems=(*DOCUMENT_PROBLEMS, "not-found"),
    ),
    post(
        "/v1/documents/checks",
        DESKS,
        checks_of_document,
        "Ask who asked about a document",
        body=ChecksQuestion,
        returns=ChecksPage,
        problems=(*DOCUMENT_PROBLEMS, "not-found"),
    ),
    write(
        "/v1/persons/death",
        ISSUER,
        death,
        "Record a death: all documents of the person are cancelled",
        body=Death,
        returns=Written,
        status=201,
    ),
    write(
        "/v1/disputes",
        DESKS,
        dispute,
        "Open or close a dispute about a status",
        body=Dispute,
        returns=Written,
        status=201,
        problems=DOCUMENT_PROBLEMS,
    ),
)
