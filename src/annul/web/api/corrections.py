"""Answer programs of desks: corrections of listings that were never true, proposed by one officer and confirmed by another.

A correction is a dispute that an officer raises (`annul.registry.desk.disputes`), so it has a file, a term, and recalls for
everybody who was told the listing. Until it is confirmed checks go on refusing: one officer alone weakens nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from msgspec import Meta, Struct

from annul.errors import Conflict, Forbidden
from annul.records.document import DocumentFields, parse_document
from annul.records.status import State
from annul.registry.desk.disputes import DisputeGround, DisputeView
from annul.registry.writing.act import same_person
from annul.times import rfc3339
from annul.web.api.reports import act_of
from annul.web.api.terms import Body, Case, Evidence, moment_or_none
from annul.web.door.call import Call, Route

if TYPE_CHECKING:
    from annul.web.door.office import Office

DESKS: Final = frozenset({"issuer", "police", "supervisor"})
DECIDERS: Final = frozenset({"issuer", "supervisor"})
"""Who confirms or refuses: as with disputes, not a police desk."""
CORRECTION_ID: Final = "x_[0-9a-f]{24}"

if TYPE_CHECKING:
    FactName = str
else:  # the closed list of states, as the decoder and the description of the API need it
    FactName = Literal[tuple(state.name for state in State if state is not State.current)]
Reason = Annotated[str, Meta(min_length=1, max_length=500)]
_STATES: Final = {"open": "proposed", "corrected": "confirmed"}


class CorrectionWanted(Body):
    """Propose to take a listing away because it was never true; another officer confirms.

    Args:
        fact: the one listing that was wrong; others stay.
        reason: why, without personal data.
        case: reference of the file.
        marked: checks answer "disputed" (U34) until it is decided; otherwise they go on refusing.
    """

    document: DocumentFields
    fact: FactName
    reason: Reason
    case: Case
    ground: DisputeGround = "other"
    marked: bool = False


class CorrectionDecided(Body):
    """Confirm or refuse a proposed correction, with the reason and the reference of the evidence."""

    reason: Reason
    evidence: Evidence = ""


class CorrectionShown(Struct):
    """A correction: proposed, confirmed, refused (or upheld, withdrawn: decided at a desk).

    Args:
        status: the document's state now.
        position: position of the correction in the register log, once it is decided.
        effective_after_ms: milliseconds from the commit until the check path answered accordingly, in the answer to `confirm`.
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
        correction=view.id, state=_STATES.get(view.state, view.state), fact=view.fact, status=view.status, case=view.case,
        reason=view.reason, marked=view.marked, proposed_by=view.proposed_by, proposed_at=rfc3339(view.opened_at_us),
        decided_by=view.decided_by, decided_at=moment_or_none(view.decided_at_us), position=view.decided_position,
        effective_after_ms=effective_after_us / 1000,
    )  # fmt: skip


async def propose(office: Office, call: Call) -> CorrectionShown:
    """Open the file of a correction and propose it. A crash between the two: the same Idempotency-Key goes on."""
    body: CorrectionWanted = call.body
    act = act_of(call)
    opened = await office.disputes.open(
        act, parse_document(body.document), by="officer", ground=body.ground, case=body.case, fact=State[body.fact],
        marked=body.marked,
    )  # fmt: skip
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
    if same_person(view.proposed_by, act.author):
        raise Forbidden("A correction needs a second officer.", mend="Another officer than the one who proposed it confirms.")
    recorded = await office.disputes.decide(act, correction_id, "corrected", reason=body.reason, evidence=body.evidence)
    return _shown((await office.disputes.view(act, correction_id)).dispute, recorded.effective_after_us)


async def refuse(office: Office, call: Call) -> CorrectionShown:
    """Refuse a correction: the listing stands."""
    act, correction_id = act_of(call), call.path["id"]
    body: CorrectionDecided = call.body
    recorded = await office.disputes.decide(act, correction_id, "refused", reason=body.reason, evidence=body.evidence)
    return _shown((await office.disputes.view(act, correction_id)).dispute, recorded.effective_after_us)


_PROBLEMS: Final = ("conflict", "transition-refused", "not-yet-effective", "not-found")


def _write(path: str, who: frozenset[str], handler: Any, summary: str, body: type, **more: Any) -> Route:
    return Route(
        method="POST", path=path, who=who, handler=handler, summary=summary, body=body, returns=CorrectionShown, write=True,
        tag="documents", problems=(*_PROBLEMS, *more.pop("problems", ())), **more,
    )  # fmt: skip


ROUTES: Final[tuple[Route, ...]] = (
    _write(
        "/v1/corrections", DESKS, propose, "Propose to correct a listing that was never true", CorrectionWanted, status=201,
        problems=("malformed-number", "ambiguous-document"),
    ),
    Route(
        method="GET", path="/v1/corrections/{id}", who=DESKS, handler=correction, summary="Look a correction up",
        returns=CorrectionShown, patterns={"id": CORRECTION_ID}, tag="documents",
    ),
    _write(
        "/v1/corrections/{id}/confirm", DECIDERS, confirm, "Confirm a correction, as the second officer", CorrectionDecided,
        patterns={"id": CORRECTION_ID}, problems=("forbidden",),
    ),
    _write(
        "/v1/corrections/{id}/refuse", DECIDERS, refuse, "Refuse a correction: the listing stands", CorrectionDecided,
        patterns={"id": CORRECTION_ID},
    ),
)  # fmt: skip
