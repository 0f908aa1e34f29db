"""Answer programs about disputes with a file: raised, marked, heard, decided.

A desk that only marks a document, without a file of its own, uses POST /v1/disputes (`annul.web.api.documents`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

from msgspec import Meta, Struct

from annul.records.document import DocumentFields, parse_document
from annul.records.references import Reference
from annul.registry.desk.disputes import By, DisputeGround, DisputeView, NoteKind
from annul.times import rfc3339
from annul.web.api.terms import DOCUMENT_PROBLEMS, Body, Case, Reason, act_of, moment_or_none
from annul.web.door.call import Call, Route, get, tagged, write
from annul.web.door.who import ANY, DECIDERS, DESKS, DISPUTE_ID

if TYPE_CHECKING:
    from annul.web.door.office import Office


class DisputeRaised(Body):
    """Say that a listing is wrong. Checks answer U34 until it is decided, unless a relying party raised it.

    Args:
        by: for whom: the holder, or the caller itself.
        case: reference of the file.
        statement: what the holder says; kept encrypted, erasable.
        document: the document as printed: scheme, number and what else its scheme asks.
        ground: ground of the objection.
    """

    document: DocumentFields
    ground: DisputeGround
    case: Case
    by: Literal["holder", "self"] = "holder"
    statement: Annotated[str, Meta(max_length=4_000)] = ""


class DisputeNote(Body):
    """A note of the file, kept encrypted.

    Args:
        kind: what kind it is.
        text: the text.
    """

    kind: NoteKind
    text: Annotated[str, Meta(min_length=1, max_length=4_000)]


class DisputeDecided(Body):
    """The decision: corrected (the listing was never true), upheld, refused (not examined) or withdrawn.

    Args:
        decision: what was decided.
        reason: why, in words.
        evidence: reference of the evidence or the decision, not the evidence itself; at most 200 characters.
    """

    decision: Literal["corrected", "upheld", "refused", "withdrawn"]
    reason: Reason
    evidence: Reference = ""


class RecallReach(Struct):
    """How far a correction has reached: organisations and answers that are recalled, organisations that said they know.

    Args:
        parties: organisations whose answers are recalled.
        checks: answers that are recalled.
        acknowledged: organisations that said they know.
        settled: every organisation has said that it knows.
    """

    parties: int
    checks: int
    acknowledged: int
    settled: bool


class DisputeFile(Struct):
    """A dispute, without what was said; `reach` once it ended with a correction.

    Args:
        proposed_by: who proposed the correction that waits for another officer; null when none waits.
        dispute: id of the dispute.
        state: its present state.
        fact: the listing in question, as a state.
        status: the document's state now.
        ground: ground of the objection.
        case: reference of the case for which this is done; it is on record with the look-up.
        raised_by: who raised it.
        party: id of the organisation.
        marked: checks answer U34 until it is decided.
        opened_at: when it was opened (RFC 3339, UTC).
        due_at: when it is due (RFC 3339, UTC).
        overdue: its time is over.
        reason: why, in words.
        decided_by: who decided it; null before.
        decided_at: when it was decided (RFC 3339, UTC); null before.
        position: position in the register log; 0-based and dense.
        reach: how far the correction has reached; null before it ended with one.
    """

    dispute: str
    state: str
    fact: str
    status: str
    ground: str
    case: str
    raised_by: str
    party: str
    marked: bool
    opened_at: str
    due_at: str
    overdue: bool
    reason: str
    decided_by: str | None
    decided_at: str | None
    position: int | None
    reach: RecallReach | None = None
    proposed_by: str | None = None


class DisputeFiles(Struct):
    """Disputes, the most urgent first.

    Args:
        disputes: the disputes, the most urgent first.
    """

    disputes: list[DisputeFile]


class DisputeQuery(Struct, forbid_unknown_fields=True):
    """Query of a list of disputes.

    Args:
        state: its present state.
        overdue: its time is over.
    """

    state: Literal["open", "corrected", "upheld", "refused", "withdrawn"] = "open"
    overdue: bool = False


def _file(view: DisputeView) -> DisputeFile:
    return DisputeFile(
        dispute=view.id,
        state=view.state,
        fact=view.fact,
        status=view.status,
        ground=view.ground,
        case=view.case,
        raised_by=view.raised_by,
        party=view.party,
        marked=view.marked,
        proposed_by=view.proposed_by,
        opened_at=rfc3339(view.opened_at_us),
        due_at=rfc3339(view.due_at_us),
        overdue=view.overdue,
        reason=view.reason,
        decided_by=view.decided_by,
        decided_at=moment_or_none(view.decided_at_us),
        position=view.decided_position,
    )


def _own(call: Call) -> str | None:
    """Return the party whose disputes alone the caller may see; None for desks, which see all."""
    return call.principal.id if call.principal.role == "relying_party" else None


async def _one_file(office: Office, call: Call, dispute: str) -> DisputeFile:
    shown = await office.disputes.view(act_of(call), dispute, party=_own(call))
    file = _file(shown.dispute)
    if file.state == "corrected":
        count = await office.recalls.count(correction=file.position)
        file.reach = RecallReach(count.parties, count.checks, count.acknowledged, count.settled)
    return file


async def raise_dispute(office: Office, call: Call) -> DisputeFile:
    """Open a dispute."""
    body: DisputeRaised = call.body
    mine: By = "relying_party" if call.principal.role == "relying_party" else "officer"
    done = await office.disputes.open(
        act_of(call),
        parse_document(body.document),
        by="holder" if body.by == "holder" and mine == "officer" else mine,
        ground=body.ground,
        case=body.case,
        statement=body.statement,
    )
    return await _one_file(office, call, done.id)


async def files(office: Office, call: Call) -> DisputeFiles:
    """List disputes: all for desks, its own for a relying party."""
    query: DisputeQuery = call.query
    found = await office.disputes.list(call.principal.realm, state=query.state, overdue=query.overdue, party=_own(call))
    return DisputeFiles([_file(view) for view in found])


async def file(office: Office, call: Call) -> DisputeFile:
    """Answer one dispute."""
    return await _one_file(office, call, call.path["dispute"])


async def mark(office: Office, call: Call) -> DisputeFile:
    """Mark the document of a relying party's dispute."""
    await office.disputes.mark(act_of(call), call.path["dispute"])
    return await _one_file(office, call, call.path["dispute"])


async def add_note(office: Office, call: Call) -> DisputeFile:
    """Add a note to the file."""
    await office.disputes.add_note(act_of(call), call.path["dispute"], call.body.kind, call.body.text)
    return await _one_file(office, call, call.path["dispute"])


async def decide(office: Office, call: Call) -> DisputeFile:
    """Decide a dispute. The first who decides "corrected" proposes it: the file stays open until another officer decides."""
    body: DisputeDecided = call.body
    act, dispute = act_of(call), call.path["dispute"]
    view = (await office.disputes.view(act, dispute)).dispute
    if body.decision == "corrected" and view.state == "open" and view.proposed_by is None:
        await office.disputes.propose(act, dispute, reason=body.reason)
    else:
        await office.disputes.decide(act, dispute, body.decision, reason=body.reason, evidence=body.evidence)
    return await _one_file(office, call, dispute)


_DISPUTE: Final = {"dispute": DISPUTE_ID}


ROUTES: Final[tuple[Route, ...]] = tagged(
    "disputes",
    get(
        "/v1/disputes",
        ANY,
        files,
        "List disputes: desks all, a relying party its own",
        returns=DisputeFiles,
        query=DisputeQuery,
    ),
    write(
        "/v1/disputes/raise",
        ANY,
        raise_dispute,
        "Open the file of a dispute",
        body=DisputeRaised,
        returns=DisputeFile,
        status=201,
        problems=DOCUMENT_PROBLEMS,
    ),
    get(
        "/v1/disputes/{dispute}",
        ANY,
        file,
        "Look a dispute up, and how far its correction reached",
        returns=DisputeFile,
        patterns=_DISPUTE,
        problems=("not-found",),
    ),
    write(
        "/v1/disputes/{dispute}/mark",
        DESKS,
        mark,
        "Mark the document of a relying party's dispute (U34)",
        returns=DisputeFile,
        patterns=_DISPUTE,
    ),
    write(
        "/v1/disputes/{dispute}/notes",
        DESKS,
        add_note,
        "Add a note of a hearing, encrypted",
        body=DisputeNote,
        returns=DisputeFile,
        patterns=_DISPUTE,
    ),
    write(
        "/v1/disputes/{dispute}/decide",
        DECIDERS,
        decide,
        "Decide a dispute",
        body=DisputeDecided,
        returns=DisputeFile,
        patterns=_DISPUTE,
        problems=("forbidden",),
    ),
)
