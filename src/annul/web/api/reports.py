"""Answer programs of desks about reports: lost, stolen, found; confirmed, lifted, withdrawn; who reported.

Each handler parses what the wire gave into terms of the register, calls one function of it, and puts the result into the words
of the wire.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec
from msgspec import Meta

from annul import metrics
from annul.errors import Forbidden
from annul.records.document import DocumentFields, parse_document
from annul.records.references import Given, Reference
from annul.registry.writing.personal import Reporter
from annul.registry.writing.register import Recorded
from annul.times import rfc3339
from annul.web.api.terms import (
    DOCUMENT_PROBLEMS,
    PROOFS,
    Body,
    Case,
    Moment,
    ProofName,
    act_of,
    happened_us,
    moment,
    moment_or_none,
)
from annul.web.door.call import Call, Route, get, post, tagged, write
from annul.web.door.who import DECIDERS, DESKS, HANDS, REPORT_ID

if TYPE_CHECKING:
    from annul.web.door.office import Office


class ReporterGiven(Body):
    """Who reports. Name and contact are encrypted under a key of their own and can be erased; they are never logged.

    Args:
        role: who reports: holder, relative, finder, officer or another.
        name: name of who reports.
        contact: how to reach the person, as it was told.
    """

    role: Literal["holder", "relative", "finder", "officer", "other"] | None = None
    name: Annotated[str, Meta(max_length=200)] = ""
    contact: Annotated[str, Meta(max_length=200)] = ""


class Report(Body):
    """A report: a document was lost, stolen or found. Weak proof (phone, online) suspends only.

    `found` by the holder (`reporter.role`) lifts an earlier report; found by anybody else, the document is held.

    Args:
        document: the document as printed: scheme, number and what else its scheme asks.
        kind: the document was `lost`, `stolen` or `found`.
        proof: on what proof.
        happened_at: when it happened, not when it was recorded (RFC 3339 with zone); left out: now.
        reporter: who reports.
        evidence: reference of the evidence or the decision, not the evidence itself; at most 200 characters.
    """

    document: DocumentFields
    kind: Literal["lost", "stolen", "found"]
    proof: ProofName
    happened_at: Moment | None = None
    reporter: ReporterGiven | None = None
    evidence: Reference = ""


class ReportAccepted(msgspec.Struct):
    """The register refuses the document from now on: the table was asked before this was sent.

    Args:
        report: id of the report; "" for a report that a document was found again.
        state: the document's state.
        position: position in the register log; a check with this `min_position` sees the report.
        refused_after_ms: milliseconds from the commit until the check path refused.
        lapses_at: when a provisional report lapses by itself.
        changed: false when the report was recorded without changing the document's state.
        stopped_since: since when the document was stopped already; null when this report stopped it.
    """

    report: str
    state: str
    position: int
    refused_after_ms: float
    lapses_at: str | None = None
    changed: bool = True
    stopped_since: str | None = None


class ReporterQuestion(Body):
    """Who made this report? The look-up itself is accounted for, with its case.

    Args:
        case: reference of the case for which this is done; it is on record with the look-up.
    """

    case: Case


class ReporterShown(msgspec.Struct):
    """Who made a report, as it was told.

    Args:
        report: id of the report.
        name: name of who reported.
        contact: how to reach the person, as it was told.
    """

    report: str
    name: str
    contact: str


class Confirm(Body):
    """Confirm a provisional report on strong proof.

    Args:
        proof: on what proof.
        happened_at: when it happened, not when it was recorded (RFC 3339 with zone); left out: now.
        evidence: reference of the evidence or the decision, not the evidence itself; at most 200 characters.
    """

    proof: ProofName
    happened_at: Moment | None = None
    evidence: Reference = ""


class Withdraw(Body):
    """Withdraw a provisional report.

    Args:
        proof: on what proof.
        evidence: reference of the evidence or the decision, not the evidence itself; at most 200 characters.
    """

    proof: ProofName
    evidence: Reference = ""


class Lift(Body):
    """Lift a report: the holder has the document again. `custody_broken`: somebody else had it meanwhile.

    Args:
        proof: on what proof.
        happened_at: when it happened, not when it was recorded (RFC 3339 with zone); left out: now.
        custody_broken: somebody else had the document meanwhile.
        evidence: reference of the evidence or the decision, not the evidence itself; at most 200 characters.
    """

    proof: ProofName
    happened_at: Moment | None = None
    custody_broken: bool = False
    evidence: Reference = ""


class EraseReporter(Body):
    """Erase the personal details of who made a report, with the reference of the decision.

    Args:
        evidence: reference of the evidence or the decision, not the evidence itself; at most 200 characters.
    """

    evidence: Given


class ReportState(msgspec.Struct):
    """One report, without personal details.

    Args:
        report: id of the report.
        kind: the document was lost, stolen or found.
        state: its present state.
        proof: on what proof.
        author: who recorded it: an organisation, or an officer of one.
        evidence: reference of the evidence or the decision, not the evidence itself; at most 200 characters.
        happened_at: when it happened, not when it was recorded (RFC 3339, UTC).
        recorded_at: when it was recorded (RFC 3339, UTC).
        position: position in the register log; 0-based and dense.
        lapses_at: when a provisional report lapses by itself (RFC 3339, UTC); null for others.
    """

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


def _accepted(recorded: Recorded) -> ReportAccepted:
    return ReportAccepted(
        report=recorded.id,
        state=recorded.state,
        position=recorded.position,
        refused_after_ms=recorded.effective_after_us / 1000,
        lapses_at=moment_or_none(recorded.lapses_at_us),
        changed=recorded.changed,
        stopped_since=moment_or_none(recorded.stopped_since_us),
    )


async def report(office: Office, call: Call) -> ReportAccepted:
    """Record a report; acknowledged only when the check path refuses the document."""
    body: Report = call.body
    given = body.reporter
    named = given is not None and (given.name or given.contact)
    recorded = await office.register.report(
        act_of(call),
        parse_document(body.document),
        body.kind,
        happened_at_us=happened_us(office, body.happened_at),
        proof=PROOFS[body.proof],
        evidence=body.evidence,
        by_holder=given is not None and given.role == "holder",
        reporter=Reporter(given.name, given.contact) if given is not None and named else None,
    )
    if not recorded.replayed:
        metrics.REPORTS.labels(body.kind).inc()
        metrics.REFUSED_AFTER_SECONDS.observe(recorded.effective_after_us / 1e6)
    return _accepted(recorded)


async def report_state(office: Office, call: Call) -> ReportState:
    """Answer the state of a report."""
    view = await office.register.view(call.path["id"], call.principal.realm)
    return ReportState(
        report=view.id,
        kind=view.event,
        state=view.state,  # type: ignore[arg-type]
        proof=view.proof,
        author=view.author,
        evidence=view.evidence,
        happened_at=rfc3339(view.happened_at_us),
        recorded_at=rfc3339(view.recorded_at_us),
        position=view.position,
        lapses_at=moment_or_none(view.lapses_at_us),
    )


async def confirm(office: Office, call: Call) -> ReportAccepted:
    """Confirm a provisional report."""
    body: Confirm = call.body
    happened = None if body.happened_at is None else moment(body.happened_at, "/happened_at")
    recorded = await office.register.confirm(
        act_of(call), call.path["id"], proof=PROOFS[body.proof], happened_at_us=happened, evidence=body.evidence
    )
    return _accepted(recorded)


async def withdraw(office: Office, call: Call) -> ReportAccepted:
    """Withdraw a provisional report."""
    body: Withdraw = call.body
    recorded = await office.register.withdraw(act_of(call), call.path["id"], proof=PROOFS[body.proof], evidence=body.evidence)
    return _accepted(recorded)


async def lift(office: Office, call: Call) -> ReportAccepted:
    """Lift a report: the holder has the document again."""
    body: Lift = call.body
    recorded = await office.register.lift_report(
        act_of(call),
        call.path["id"],
        happened_at_us=happened_us(office, body.happened_at),
        proof=PROOFS[body.proof],
        evidence=body.evidence,
        custody_broken=body.custody_broken,
    )
    return _accepted(recorded)


async def reporter(office: Office, call: Call) -> ReporterShown:
    """Tell who reported: to the desk that took the report, and to the supervisor."""
    act, report_id = act_of(call), call.path["id"]
    view = await office.register.view(report_id, act.realm)
    if call.principal.role != "supervisor" and view.author.partition("/")[0] != call.principal.id:
        raise Forbidden("Another desk took this report.", mend="Ask that desk, or the supervisor.")
    found = await office.register.reporter(act, report_id, case=call.body.case)
    return ReporterShown(report_id, found.name, found.contact)


async def erase(office: Office, call: Call) -> ReportAccepted:
    """Destroy the key of a reporter's details; the log stays verifiable."""
    act = act_of(call)
    await office.register.view(call.path["id"], act.realm)  # a report of the other realm is not there
    return _accepted(await office.register.erase(act, call.path["id"], evidence=call.body.evidence))


ROUTES: Final[tuple[Route, ...]] = tagged(
    "reports",
    write(
        "/v1/reports",
        HANDS,
        report,
        "Report a document lost, stolen or found",
        body=Report,
        returns=ReportAccepted,
        status=201,
        problems=DOCUMENT_PROBLEMS,
    ),
    get("/v1/reports/{id}", DESKS, report_state, "Look a report up", returns=ReportState, patterns={"id": REPORT_ID}),
    write(
        "/v1/reports/{id}/confirm",
        HANDS,
        confirm,
        "Confirm a provisional report",
        body=Confirm,
        returns=ReportAccepted,
        patterns={"id": REPORT_ID},
    ),
    write(
        "/v1/reports/{id}/lift",
        HANDS,
        lift,
        "Lift a report: the holder has the document again",
        body=Lift,
        returns=ReportAccepted,
        patterns={"id": REPORT_ID},
    ),
    write(
        "/v1/reports/{id}/withdraw",
        HANDS,
        withdraw,
        "Withdraw a provisional report",
        body=Withdraw,
        returns=ReportAccepted,
        patterns={"id": REPORT_ID},
    ),
    write(
        "/v1/reports/{id}/erase",
        DECIDERS,
        erase,
        "Erase who reported: destroy the key of the personal details",
        body=EraseReporter,
        returns=ReportAccepted,
        patterns={"id": REPORT_ID},
    ),
    post(
        "/v1/reports/{id}/reporter",
        DESKS,
        reporter,
        "Read who reported, for a case; the look-up is entered in the log",
        body=ReporterQuestion,
        returns=ReporterShown,
        patterns={"id": REPORT_ID},
        problems=("not-found", "forbidden"),
    ),
)
