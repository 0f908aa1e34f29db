"""Disputes with their clock: the queue, the file, the decision; and how far a correction has reached."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from annul.errors import AnnulError, BadInput, Forbidden
from annul.records.references import Reference, Words
from annul.records.schemes import kind_of
from annul.registry.desk.disputes import DisputeView
from annul.registry.writing.act import same_person
from annul.times import DAY_US
from annul.web.desk.frame import act_for, issued_by, options, show, who
from annul.web.desk.words import DECISIONS, DISPUTE_STATES, GROUNDS, NOTE_KINDS, RAISED_BY
from annul.web.door import pages
from annul.web.door.call import Call, Reply
from annul.web.door.forms import Form
from annul.web.door.names import Named, names_of
from annul.web.door.words import STATES, _

if TYPE_CHECKING:
    from annul.web.door.office import Office

Short = Annotated[str, Meta(max_length=500)]


class DisputeQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Query of the list: open, overdue, or decided."""

    show: Short = "open"


class NoteForm(msgspec.Struct, forbid_unknown_fields=True):
    """Form of the file: a note, a mark, or the taking up of a relying party's dispute."""

    kind: Short = "hearing"
    text: Annotated[str, Meta(max_length=4_000)] = ""
    mark: Short = ""


class DecideForm(msgspec.Struct, forbid_unknown_fields=True):
    """Form of the decision."""

    decision: Short = ""
    reason: Words = ""
    evidence: Reference = ""


def _line(call: Call, view: DisputeView, now_us: int, named: Named) -> dict[str, Any]:
    translate = pages.translator(call)
    kind = kind_of(view.coverage, view.kind)
    issuer = issued_by(view.coverage)
    days = (view.due_at_us - now_us) // DAY_US
    if view.state != "open":
        clock, tone = translate(DISPUTE_STATES[view.state]), ""
    elif view.overdue:
        clock, tone = translate(_("overdue by %s days")) % ((now_us - view.due_at_us) // DAY_US), "STOP"
    else:
        half = 2 * now_us > view.opened_at_us + view.due_at_us
        clock, tone = translate(_("%s days left")) % days, "REFER" if half else "PASS"
    return {
        "id": view.id,
        "kind": translate(kind.words) + (f" · {issuer}" if issuer else ""),
        "shape": kind.shape,
        "clock": clock,
        "tone": tone,
        "case": view.case,
        "opened": pages.moment(view.opened_at_us),
        "due": pages.moment(view.due_at_us, seconds=False),
        "by": translate(RAISED_BY[view.raised_by]),
        "party": named(view.party),
        "proposed": view.state == "open" and view.proposed_by is not None,
        "fact": translate(STATES[view.fact]),
        "now": translate(STATES[view.status]),
        "after": translate(STATES[view.after]),
        "ground": translate(GROUNDS[view.ground]),
        "marked": view.marked,
    }


async def listed(office: Office, call: Call) -> Reply:
    """List disputes: the most urgent first."""
    realm, which = call.session.realm, call.query.show
    states = {
        "open": "open",
        "overdue": "open",
        "proposed": "open",
        "corrected": "corrected",
        "upheld": "upheld",
        "refused": "refused",
    }
    which = which if which in states else "open"
    found = await office.disputes.list(realm, state=states[which], overdue=which == "overdue")
    ages = await office.disputes.ages(realm)
    translate, now = pages.translator(call), office.now_us()
    if which == "proposed":
        found = [view for view in found if view.proposed_by is not None]
    tabs = [("open", translate(_("Open")), sum(ages.values())), ("overdue", translate(_("Over their term")), ages["overdue"])]
    tabs += [("proposed", translate(_("For a second officer")), -1)]
    tabs += [(state, translate(DISPUTE_STATES[state]).capitalize(), -1) for state in ("corrected", "upheld", "refused")]
    named = await names_of(office, (view.party for view in found), translate)
    lines = [_line(call, view, now, named) for view in found]
    return show(call, "desk/disputes.html", lines=lines, tabs_of=tabs, which=which)


async def one(office: Office, call: Call) -> Reply:
    """Show the file of a dispute."""
    return await _one(office, call, Form(call.kept or {"kind": "hearing"}))


async def _one(office: Office, call: Call, form: Form, status: int = 200, *, template: str = "desk/dispute.html") -> Reply:
    shown = await office.disputes.view(act_for(call), call.path["dispute"])
    view = shown.dispute
    reach = await office.recalls.count(correction=view.decided_position) if view.state == "corrected" else None
    authors = [view.party, view.proposed_by, view.decided_by, view.second_officer, *(each.author for each in shown.notes)]
    named = await names_of(office, authors, pages.translator(call))
    mine = who(call).id
    proposed_by_me = view.proposed_by is not None and same_person(view.proposed_by, mine)
    decisions = [line for line in options(call, DECISIONS) if line[0] != "corrected" or call.principal.role != "police"]
    return show(
        call,
        template,
        status=status,
        form=form,
        shown=shown,
        view=view,
        line=_line(call, view, office.now_us(), named),
        named=named,
        reach=reach,
        kinds=options(call, NOTE_KINDS),
        note_words=NOTE_KINDS,
        decisions=decisions,
        status_words=STATES,
        may_decide=call.principal.role in ("issuer", "supervisor"),
        proposed_by_me=proposed_by_me,
    )


async def note(office: Office, call: Call) -> Reply:
    """Add a note to the file, or take up a relying party's dispute by marking the document."""
    body: NoteForm = call.body
    act, translate = act_for(call), pages.translator(call)
    form = Form.sent(body)
    try:
        if body.mark:
            await office.disputes.mark(act, call.path["dispute"])
            told = _("Checks answer now that the status is disputed.")
        else:
            if body.kind not in NOTE_KINDS:
                raise BadInput(_("Choose what kind of note it is."), where="kind")
            await office.disputes.add_note(act, call.path["dispute"], body.kind, body.text)  # type: ignore[arg-type]
            told = _("The note is in the file.")
    except AnnulError as error:
        return await _one(office, call, form.refused(error, translate), 400)
    return pages.to(f"/desk/disputes/{call.path['dispute']}", flash=translate(told), call=call)


async def decide_page(office: Office, call: Call) -> Reply:
    """Ask for the decision."""
    return await _one(office, call, Form(call.kept), template="desk/decide.html")


async def decide(office: Office, call: Call) -> Reply:
    """Decide, or propose a correction that needs a second officer."""
    body: DecideForm = call.body
    act, translate, dispute = act_for(call), pages.translator(call), call.path["dispute"]
    form = Form.sent(body)
    try:
        if body.decision not in DECISIONS:
            raise BadInput(_("Choose the decision."), where="decision")
        view = (await office.disputes.view(act, dispute)).dispute
        if body.decision == "corrected" and view.proposed_by and same_person(view.proposed_by, who(call).id):
            raise Forbidden(_("You proposed the correction, so another officer decides."))
        if body.decision == "corrected" and view.state == "open" and view.two_officers and view.proposed_by is None:
            await office.disputes.propose(act, dispute, reason=body.reason)
            told = _("Proposed. Another officer decides; until then nothing changes.")
        else:
            await office.disputes.decide(act, dispute, body.decision, reason=body.reason, evidence=body.evidence.strip())  # type: ignore[arg-type]
            told = _("Decided. The holder is told.")
    except AnnulError as error:
        return await _one(office, call, form.refused(error, translate), 400, template="desk/decide.html")
    return pages.to(f"/desk/disputes/{dispute}", flash=translate(told), call=call)


async def recalls(office: Office, call: Call) -> Reply:
    """List recalled answers of all relying parties, the newest first."""
    found = await office.recalls.list(call.session.realm)
    named = await names_of(office, (each.party for each in found), pages.translator(call))
    waiting = sum(1 for each in found if each.acknowledged_at_us is None)
    return show(call, "desk/recalls.html", found=found, waiting=waiting, named=named)
