"""Answer programs of desks: corrections of listings that were never true, proposed by one officer and confirmed by another.

A correction is a dispute that an officer raises (`annul.registry.desk.disputes`), so it has a file, a term, and recalls for
everybody who was told the listing. Until it is confirmed checks go on refusing: what one officer proposed marks nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct

from annul.errors import Conflict
from annul.records.document import DocumentFields, parse_document
from annul.records.references import Reference
from annul.records.status import State
from annul.registry.desk.disputes import DisputeGround, DisputeView
from annul.times import rfc3339
from annul.web.api.terms import DOCUMENT_PROBLEMS, Body, Case, Reason, act_of, moment_or_none
from annul.web.door.call import Call, Route, get, tagged, write
from annul.web.door.who import DECIDERS, DESKS, DISPUTE_ID

if TYPE_CHECKING:
    from annul.web.door.office import Office

if TYPE_CHECKING:
    FactName = str
else:  # the closed list of states, as the decoder and the description of the API need it
    FactName = Literal[tuple(state.name for state in State if state is not State.current)]
_STATES: Final = {"open": "proposed", "corrected": "confirmed"}


class CorrectionWanted(Body):
    """Propose to take a listing away because it was never true; another officer confirms.

    Args:
        fact: the one listing that was wrong; others stay.
        reason: why, without personal data.
        case: reference of the file.
        marked: checks answer "disputed" (U34) until it is decided; otherwise they go on refusing.
        document: the document as printed: scheme, number and what else its scheme asks.
        ground: ground of the objection.
    """

    document: DocumentFields
    fact: FactName
    reason: Reason
    case: Case
    ground: DisputeGround = "other"
    marked: bool = False


class CorrectionDecided(Body):
    """Confirm or refuse a proposed correction, with the reason and the reference of the evidence.

    Args:
        reason: why, in words.
        evidence: reference of the evidence or the decision, not the evidence itself; at most 200 characters.
    """

    reason: Reason
    evidence: Reference = ""


class CorrectionShown(Struct):
    """A correction: proposed, confirmed, refused (or upheld, withdrawn: decided at a desk).

    Args:
        status: the document's state now.
        position: position of the correction in the register log, once it is decided.
        effective_after_ms: milliseconds from the commit until the check path answered accordingly, in the answer to `confirm`.
        correction: id of the correction.
        state: its present state.
        fact: the listing in question, as a state.
        case: reference of the case for which this is done; it is on record with the look-up.
        reason: why, in words.
        marked: checks answer U34 until it is decided.
        proposed_by: who proposed it; null when nobody has.
        proposed_at: when it was proposed (RFC 3339, UTC).
        decided_by: who decided it; null before.
        decided_at: when it was decided (RFC 3339, UTC); null before.
    """

    correction: str
    state: str
    fact: str
    status: str
    case: str
    reason: str
    marked: bool
    proposed_by: str | None
    proposed_at: str
    decided_by: str | None
    decided_at: str | None
    position: int | None
    effective_after_ms: float = 0.0


def _shown(view: DisputeView, effective_after_us: int = 0) -> CorrectionShown:
    return CorrectionShown(
        correction=view.id,
        state=_STATES.get(view.state, view.state),
        fact=view.fact,
        status=view.status,
        case=view.case,
        reason=view.reason,
        marked=view.marked,
        proposed_by=view.proposed_by,
        proposed_at=rfc3339(view.opened_at_us),
        decided_by=view.decided_by,
        decided_at=moment_or_none(view.decided_at_us),
        position=view.decided_position,
        effective_after_ms=effective_after_us / 1000,
    )


async def propose(office: Office, call: Call) -> CorrectionShown:
    """Open the file of a correction and propose it. A crash between the two: the same Idempotency-Key goes on."""
    body: CorrectionWanted = call.body
    act = act_of(call)
    opened = await office.disputes.open(
        act,
        parse_document(body.document),
        by="officer",
        ground=body.ground,
        case=body.case,
        fact=State[body.fact],
        marked=body.marked,
    )
    view = (await office.disputes.view(act, opened.id)).dispute
    if view.proposed_by is None and view.state == "open":
        await office.disputes.propose(act, opened.id, reason=body.reason)
        view = (await office.disputes.view(act, opened.id)).dispute
    return _shown(view, opened.effective_after_us)


async def correction(office: Office, call: Call) -> CorrectionShown:
    """Answer a correction's state."""
    return _shown((await office.disputes.view(act_of(call), call.path["id"])).dispute)


async def confirm(office: Office, call: Call) -> CorrectionShown:
    """Confirm a correction that another officer proposed: the listing goes, and what was answered with it is recalled."""
    act, correction_id = act_of(call), call.path["id"]
    body: CorrectionDecided = call.body
    view = (await office.disputes.view(act, correction_id)).dispute
    if view.proposed_by is None:
        raise Conflict("Nobody has proposed this correction yet.", mend="Propose it; another officer confirms.")
    recorded = await office.disputes.decide(act, correction_id, "corrected", reason=body.reason, evidence=body.evidence)
    return _shown((await office.disputes.view(act, correction_id)).dispute, recorded.effective_after_us)


async def refuse(office: Office, call: Call) -> CorrectionShown:
    """Refuse a correction: the listing stands."""
    act, correction_id = act_of(call), call.path["id"]
    body: CorrectionDecided = call.body
    recorded = await office.disputes.decide(act, correction_id, "refused", reason=body.reason, evidence=body.evidence)
    return _shown((await office.disputes.view(act, correction_id)).dispute, recorded.effective_after_us)


ROUTES: Final[tuple[Route, ...]] = tagged(
    "documents",
    write(
        "/v1/corrections",
        DESKS,
        propose,
        "Propose to correct a listing that was never true",
        body=CorrectionWanted,
        returns=CorrectionShown,
        status=201,
        problems=DOCUMENT_PROBLEMS,
    ),
    get(
        "/v1/corrections/{id}", DESKS, correction, "Look a correction up", returns=CorrectionShown, patterns={"id": DISPUTE_ID}
    ),
    write(
        "/v1/corrections/{id}/confirm",
        DECIDERS,
        confirm,
        "Confirm a correction, as the second officer",
        body=CorrectionDecided,
        returns=CorrectionShown,
        patterns={"id": DISPUTE_ID},
        problems=("forbidden",),
    ),
    write(
        "/v1/corrections/{id}/refuse",
        DECIDERS,
        refuse,
        "Refuse a correction: the listing stands",
        body=CorrectionDecided,
        returns=CorrectionShown,
        patterns={"id": DISPUTE_ID},
    ),
)
