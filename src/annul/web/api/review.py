"""Answer programs about the clean-up: queue, one suspicion, decisions, figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec
from msgspec import Meta

from annul.records.person import Person
from annul.records.references import WORDS
from annul.registry.review.corrections import Correction
from annul.registry.review.evidence import Evidence as Contradiction
from annul.registry.review.queue import Decision
from annul.registry.review.views import Decided, DecisionView, Figure, RunView, Suspicion
from annul.times import rfc3339
from annul.web.api.terms import Body, Case, act_of
from annul.web.door.call import Call, Route, get, post, tagged, write
from annul.web.door.pages import day
from annul.web.door.who import DECIDERS, DECISION_ID, ISSUER, SUSPICION_ID

if TYPE_CHECKING:
    from annul.web.door.office import Office

Grounds = Annotated[str, Meta(min_length=1, max_length=200, extra=WORDS)]
CauseName = Literal["", "wrong", "duplicate", "false"]
StateName = Literal["open", "proposed", "visit", "decided", "gone"]
DecisionName = Literal["same_person", "different_persons", "correct_entry", "needs_visit", "cancel_entry", "in_order"]


class Wanted(msgspec.Struct, forbid_unknown_fields=True):
    """Query of the queue; `region` is a division code or its first digits, `after` the last id of the page before.

    Args:
        cause: only suspicions of this cause; "" for all.
        rule: rule that met.
        region: region of the register.
        state: its present state.
        after: `after` of the page before; "" for the first.
        limit: most rows of the page.
    """

    cause: CauseName = ""
    rule: Annotated[str, Meta(max_length=30)] = ""
    region: Annotated[str, Meta(max_length=6)] = ""
    state: StateName = "open"
    after: Annotated[str, Meta(max_length=30)] = ""
    limit: Annotated[int, Meta(ge=1, le=500)] = 50


class SuspicionShown(msgspec.Struct):
    """One suspicion without details; times are RFC 3339.

    Args:
        id: its id.
        cause: what set the suspicion off.
        rules: rules that name it.
        persons: ids of the records.
        documents: the documents.
        score: how sure the rules are, 0 to 1.
        region: region of the register.
        state: its present state.
        found_at: when it was found (RFC 3339, UTC).
        earlier: id of an earlier suspicion about the same records; null for none.
    """

    id: str
    cause: str
    rules: list[str]
    persons: list[int]
    documents: list[int]
    score: float
    region: str
    state: str
    found_at: str
    earlier: str | None


class QueueShown(msgspec.Struct):
    """A page of the queue, the surest first; `after` asks for the next page.

    Args:
        suspicions: the suspicions, the surest first.
        total: suspicions in the queue.
        after: give it as `after` for the next page; "" after the last.
    """

    suspicions: list[SuspicionShown]
    total: int
    after: str


class Look(Body):
    """Open a suspicion, for a case; every record it names is accounted for.

    Args:
        case: reference of the case for which this is done; it is on record with the look-up.
    """

    case: Case


class RecordShown(msgspec.Struct):
    """One record of a suspicion; `ended` is merged or cancelled.

    Args:
        id: its id.
        person: the person's details.
        photo: a portrait is on record.
        ended: `merged` or `cancelled`; null while the record stands.
    """

    id: int
    person: Person
    photo: bool
    ended: str | None


class DocumentShown(msgspec.Struct):
    """A document of one of the records.

    Args:
        id: its id.
        person: id of the person's record.
        kind: what kind it is.
        valid_from: first day of validity, YYYY-MM-DD.
        valid_until: last day of validity, YYYY-MM-DD, or `long-term`.
        state: its present state.
    """

    id: int
    person: int
    kind: str
    valid_from: str
    valid_until: str
    state: str


class DecisionShown(msgspec.Struct):
    """One decision on a suspicion; see DecisionView.

    Args:
        id: its id.
        suspicion: id of the suspicion.
        decision: what was decided.
        grounds: why, in words.
        person: id of the person's record.
        cancels_documents: documents are cancelled with it.
        state: its present state.
        decided_by: who decided it; null before.
        decided_at: when it was decided (RFC 3339, UTC); null before.
        second_by: second officer; null before.
        documents: documents that the decision cancelled.
        undone_by: who took it back; null while it stands.
        undone_grounds: why it was taken back.
    """

    id: str
    suspicion: str
    decision: str
    grounds: str
    person: int | None
    cancels_documents: bool
    state: str
    decided_by: str
    decided_at: str
    second_by: str | None
    documents: int
    undone_by: str | None
    undone_grounds: str


class SuspicionOpened(msgspec.Struct):
    """What an officer sees of a suspicion.

    Args:
        suspicion: the suspicion.
        evidence: what the suspicion rests on.
        records: the records, side by side.
        documents: the documents.
        decisions: the decisions.
    """

    suspicion: SuspicionShown
    evidence: list[Contradiction]
    records: list[RecordShown]
    documents: list[DocumentShown]
    decisions: list[DecisionShown]


class Decide(Body, kw_only=True):
    """Decide a suspicion; merges, cancellations and what cancels documents wait for a second officer.

    Args:
        person: the record that is kept, corrected or cancelled; the first one when left out.
        correction: what the record shall say.
        cancel_documents: documents show what was wrong, and no longer count.
        decision: what was decided.
        grounds: why, in words.
    """

    decision: DecisionName
    grounds: Grounds
    person: Annotated[int, Meta(ge=1, le=2**62)] | None = None
    correction: Correction | None = None
    cancel_documents: bool = False


class Grounded(Body):
    """Say why.

    Args:
        grounds: why, in words.
    """

    grounds: Grounds


class SuspicionDecided(msgspec.Struct):
    """What became of a decision: waiting, in_force, refused or undone.

    Args:
        decision: id of the decision.
        suspicion: id of the suspicion.
        state: its present state.
        documents: documents whose state changed.
        effective_after_ms: milliseconds from the commit until checks answered by it.
    """

    decision: str
    suspicion: str
    state: str
    documents: int
    effective_after_ms: float


class DecisionList(msgspec.Struct):
    """Decisions that wait for a second officer, oldest first.

    Args:
        decisions: the decisions.
    """

    decisions: list[DecisionShown]


class FiguresShown(msgspec.Struct):
    """Counts by cause, province and state; by rule; by decision; the latest runs. Times of runs in microseconds.

    Args:
        by_region: suspicions by region of the register.
        by_rule: suspicions by the rule that named them.
        by_decision: suspicions by what was decided.
        runs: runs of the clean-up, newest first.
    """

    by_region: list[Figure]
    by_rule: dict[str, int]
    by_decision: dict[str, int]
    runs: list[RunView]


def shown(each: Suspicion) -> SuspicionShown:
    """Return a suspicion as it is sent."""
    return SuspicionShown(
        each.id,
        each.cause,
        each.rules,
        each.persons,
        each.documents,
        round(each.score, 4),
        each.region,
        each.state,
        rfc3339(each.found_at_us),
        each.earlier,
    )


def _decision(each: DecisionView) -> DecisionShown:
    return DecisionShown(
        each.id,
        each.suspicion,
        each.decision,
        each.grounds,
        each.person,
        each.cancels,
        each.state,
        each.decided_by,
        rfc3339(each.decided_at_us),
        each.second_by,
        each.documents,
        each.undone_by,
        each.undone_grounds,
    )


def _decided(made: Decided) -> SuspicionDecided:
    return SuspicionDecided(made.decision, made.suspicion, made.state, made.documents, made.effective_after_us / 1000)


async def queue(office: Office, call: Call) -> QueueShown:
    """Answer a page of the queue."""
    wanted: Wanted = call.query
    found = await office.review.queue(
        act_of(call),
        cause=wanted.cause,
        rule=wanted.rule,
        region=wanted.region,
        state=wanted.state,
        after=wanted.after,
        limit=wanted.limit,
    )
    return QueueShown([shown(each) for each in found.suspicions], found.total, found.after)


async def look(office: Office, call: Call) -> SuspicionOpened:
    """Open a suspicion; accounted for."""
    body: Look = call.body
    looked = await office.review.view(act_of(call), call.path["id"], case=body.case)
    return SuspicionOpened(
        shown(looked.suspicion),
        looked.evidence,
        [RecordShown(each.id, each.person, each.photo, each.ended) for each in looked.persons],
        [
            DocumentShown(each.id, each.person, each.kind, day(each.valid_from_day), day(each.valid_until_day), each.state)
            for each in looked.documents
        ],
        [_decision(each) for each in looked.decisions],
    )


async def decide(office: Office, call: Call) -> SuspicionDecided:
    """Decide a suspicion."""
    body: Decide = call.body
    return _decided(
        await office.review.decide(
            act_of(call),
            call.path["id"],
            Decision[body.decision],
            grounds=body.grounds,
            person=body.person,
            correction=body.correction,
            cancel_documents=body.cancel_documents,
        )
    )


async def waiting(office: Office, call: Call) -> DecisionList:
    """Answer the decisions that wait for a second officer."""
    return DecisionList([_decision(each) for each in await office.review.waiting(act_of(call))])


async def confirm(office: Office, call: Call) -> SuspicionDecided:
    """Carry a decision out, as the second officer."""
    return _decided(await office.review.confirm(act_of(call), call.path["decision"]))


async def refuse(office: Office, call: Call) -> SuspicionDecided:
    """Refuse a decision that waits."""
    return _decided(await office.review.refuse(act_of(call), call.path["decision"], grounds=call.body.grounds))


async def undo(office: Office, call: Call) -> SuspicionDecided:
    """Take a decision back."""
    return _decided(await office.review.undo(act_of(call), call.path["decision"], grounds=call.body.grounds))


async def figures(office: Office, call: Call) -> FiguresShown:
    """Answer the counts of the clean-up."""
    found = await office.review.figures(act_of(call))
    return FiguresShown(found.by_region, found.by_rule, found.by_decision, found.runs)


ROUTES: Final[tuple[Route, ...]] = tagged(
    "clean-up",
    get("/v1/review/suspicions", ISSUER, queue, "List suspicions, the surest first", returns=QueueShown, query=Wanted),
    post(
        "/v1/review/suspicions/{id}/look",
        ISSUER,
        look,
        "Open a suspicion with its records and evidence, for a case",
        body=Look,
        returns=SuspicionOpened,
        problems=("not-found",),
        patterns={"id": SUSPICION_ID},
    ),
    write(
        "/v1/review/suspicions/{id}/decide",
        ISSUER,
        decide,
        "Decide a suspicion",
        body=Decide,
        returns=SuspicionDecided,
        patterns={"id": SUSPICION_ID},
    ),
    get("/v1/review/decisions", DECIDERS, waiting, "List decisions that wait for a second officer", returns=DecisionList),
    write(
        "/v1/review/decisions/{decision}/confirm",
        DECIDERS,
        confirm,
        "Confirm a decision, as the second officer",
        returns=SuspicionDecided,
        patterns={"decision": DECISION_ID},
    ),
    write(
        "/v1/review/decisions/{decision}/refuse",
        DECIDERS,
        refuse,
        "Refuse a decision that waits",
        body=Grounded,
        returns=SuspicionDecided,
        patterns={"decision": DECISION_ID},
    ),
    write(
        "/v1/review/decisions/{decision}/undo",
        ISSUER,
        undo,
        "Take a decision back",
        body=Grounded,
        returns=SuspicionDecided,
        patterns={"decision": DECISION_ID},
    ),
    get("/v1/review/figures", DECIDERS, figures, "Count suspicions by cause and region", returns=FiguresShown),
)
