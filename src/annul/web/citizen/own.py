"""One's own documents: their state and what may be done; report, confirm, undo, lock, unlock for one purpose, dispute."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

import msgspec

from annul import metrics
from annul.errors import AnnulError, BadInput, Forbidden
from annul.records.check import purpose_of
from annul.records.status import Proof
from annul.registry.citizen.views import OwnDocument
from annul.registry.notices.sources import HOLDER
from annul.registry.writing.act import Act, Idempotency
from annul.registry.writing.documents import Known
from annul.web.citizen.report import check_points, chosen_day, sealed
from annul.web.citizen.words import DAYS, GROUNDS, PROVES, card, clock
from annul.web.door import pages
from annul.web.door.call import Call, Reply
from annul.web.door.clock import begin_of, today
from annul.web.door.forms import Form
from annul.web.door.telling import told
from annul.web.door.words import PURPOSES, _

if TYPE_CHECKING:
    from annul.web.door.office import Office

MINUTES: Final = (
    ("10", _("10 minutes")),
    ("30", _("30 minutes")),
    ("60", _("1 hour")),
    ("240", _("4 hours")),
    ("1440", _("24 hours")),
)
STATEMENT_MAX: Final = 2000


class ReportForm(msgspec.Struct, forbid_unknown_fields=True):
    """What happened to a document of one's own, and when."""

    what: str = ""
    day: str = ""
    when: str = ""


class Sure(msgspec.Struct, forbid_unknown_fields=True):
    """A page that asks once: the button alone."""


class UnlockForm(msgspec.Struct, forbid_unknown_fields=True):
    """Unlock altogether, or for one purpose and some minutes."""

    how: str = ""
    purpose: str = ""
    minutes: str = "30"


class DisputeForm(msgspec.Struct, forbid_unknown_fields=True):
    """Why an entry is wrong."""

    ground: str = ""
    statement: str = ""


def act_of_holder(call: Call) -> Act:
    """Return the act of a signed-in holder; a form's token makes a second click the same act."""
    idempotency = None
    if call.idempotency_key:
        principal = f"(citizen {call.session.person})"
        address = call.request.url.path.encode()
        idempotency = Idempotency.of(
            principal, call.idempotency_key, address, msgspec.json.encode(call.body, order="deterministic")
        )
    return Act(HOLDER, idempotency=idempotency)


def proof_of(call: Call) -> Proof:
    """Return how surely the holder has proved who it is; a weak login only suspends (rule 5)."""
    return Proof.online_strong if call.session.strength == "strong" else Proof.online


async def overview(office: Office, call: Call) -> Reply:
    """Show one's own documents and what waits for an answer."""
    person = call.session.person
    translate = pages.translator(call)
    owned = await office.citizens.documents(person)
    open_attempts = [seen for seen in await office.citizens.attempts(person) if not seen.said]
    record = await office.citizens.person(person)
    return pages.page(
        call,
        "citizen/overview.html",
        cards=[_card(own, translate) for own in owned],
        attempts=len(open_attempts),
        name=record.names[0].text,
        weak=call.session.strength != "strong",
    )


async def one(office: Office, call: Call) -> Reply:
    """Show one document: what its state means, what may be done, what happened, disputes about it, where it is kept."""
    own = await _own(office, call)
    translate = pages.translator(call)
    found = (await office.found.of_documents([own.id])).get(own.id)
    disputes = (await office.disputes.of_documents([own.id])).get(own.id, [])
    unlocked = [
        translate(_("Open for %(purpose)s until %(until)s"))
        % {"purpose": translate(PURPOSES[one.purpose]), "until": clock(one.until_us)}
        for one in own.unlocked
    ]
    return pages.page(
        call,
        "citizen/document.html",
        card=_card(own, translate),
        own=own,
        means=translate(PROVES[own.state]),
        unlocked=unlocked,
        lapses_at=clock(own.lapses_at_us) if own.lapses_at_us else "",
        found=found,
        disputes=[_dispute(one) for one in disputes],
        points=await office.found.points() if found is not None else [],
        strong=call.session.strength == "strong",
    )


def _card(own: OwnDocument, translate: Any) -> dict[str, Any]:
    return card(own, translate) | {"href": f"/my/documents/{own.id}", "action": translate(_("Look at it"))}


def _dispute(view: Any) -> dict[str, Any]:
    return {
        "id": view.id,
        "state": view.state,
        "opened_at": clock(view.opened_at_us),
        "due_at": clock(view.due_at_us),
        "reason": view.reason,
        "decided_at": clock(view.decided_at_us) if view.decided_at_us else "",
    }


def _not_now(call: Call, own: OwnDocument) -> Reply:
    """Go back to the document: its state changed since the link was shown, or somebody typed the address."""
    return pages.to(
        f"/my/documents/{own.id}", flash=pages.translator(call)(_("This cannot be done with this document now.")), call=call
    )


async def _own(office: Office, call: Call) -> OwnDocument:
    return await office.citizens.document(call.session.person, int(call.path["id"]))


# -- report ------------------------------------------------------------------------------------------------------------------


async def report_page(office: Office, call: Call) -> Reply:
    """Ask what happened to a document."""
    own = await _own(office, call)
    return _report(office, call, own, Form(call.kept)) if "report" in own.may else _not_now(call, own)


async def report(office: Office, call: Call) -> Reply:
    """Report one's own document; on a strong login it stands until a desk lifts it."""
    own = await _own(office, call)
    form = Form.sent(call.body)
    translate = pages.translator(call)
    if call.body.what not in ("lost", "stolen"):
        form.refuse("what", translate(_("Choose what happened.")))
    happened = office.now_us()
    try:
        happened = begin_of(chosen_day(call.body.day, call.body.when, office.now_us()))
    except BadInput as error:
        form.refused(error, translate)
    if form.errors:
        return _report(office, call, own, form, status=400)
    try:
        recorded = await office.citizens.report(
            act_of_holder(call),
            call.session.person,
            own.id,
            call.body.what,
            happened_at_us=min(happened, office.now_us()),
            proof=proof_of(call),
        )
    except AnnulError as error:
        return _report(office, call, own, form.refused(error, translate), status=400)
    refused_at = office.now_us()
    if not recorded.replayed:
        metrics.REPORTS.labels(call.body.what).inc()
        metrics.REFUSED_AFTER_SECONDS.observe(recorded.effective_after_us / 1e6)
    view = await office.register.view(recorded.id, "live")
    kept = {
        "report": recorded.id,
        "recorded_at_us": view.recorded_at_us,
        "refused_at_us": refused_at,
        "points": check_points(office),
        "lapses_at_us": recorded.lapses_at_us,
    }
    address = f"/my/documents/{own.id}/reported"
    await office.sessions.keep(
        call.session.id, address, f"citizen:{call.session.person}", msgspec.json.encode(kept), office.now_us()
    )
    return pages.to(address)


def _report(office: Office, call: Call, own: OwnDocument, form: Form, *, status: int = 200) -> Reply:
    return pages.page(
        call,
        "citizen/report_own.html",
        form=form,
        status=status,
        card=_card(own, pages.translator(call)),
        own=own,
        today=today(office.now_us()).isoformat(),
        days=[(value, pages.translator(call)(text)) for value, text in DAYS],
        strong=call.session.strength == "strong",
        hours=office.settings.provisional_hours,
    )


async def reported(office: Office, call: Call) -> Reply:
    """Show the seal after a report."""
    address = f"/my/documents/{call.path['id']}/reported"
    kept = await office.sessions.kept(call.session.id, address, f"citizen:{call.session.person}", office.now_us())
    if kept is None:
        return pages.to(f"/my/documents/{call.path['id']}")
    return pages.page(
        call,
        "citizen/report/done.html",
        **await sealed(office, call, msgspec.json.decode(kept)),
        undo="",
        own=int(call.path["id"]),
    )


# -- acts that ask once ------------------------------------------------------------------------------------------------------


async def sure_page(office: Office, call: Call) -> Reply:
    """Ask once before a document is locked, its report confirmed or undone; say what cannot be undone."""
    own = await _own(office, call)
    what = call.request.url.path.rpartition("/")[2]
    if {"undo": "withdraw"}.get(what, what) not in own.may:
        return _not_now(call, own)
    return _sure(call, own, what, Form())


async def sure(office: Office, call: Call) -> Reply:
    """Lock, confirm or undo."""
    own = await _own(office, call)
    what = call.request.url.path.rpartition("/")[2]
    translate = pages.translator(call)
    act, person, proof = act_of_holder(call), call.session.person, proof_of(call)
    try:
        if what == "lock":
            await office.citizens.lock(act, person, own.id, proof=proof, locked=True)
            flash = _("It is locked. Nobody may rely on it until you unlock it.")
        elif what == "confirm":
            _require_strong(call)
            await office.citizens.confirm(act, person, own.id, proof=proof)
            flash = _("The report is confirmed.")
        else:
            ended = await office.citizens.withdraw(act, person, own.id, proof=proof)
            effect = await office.register.effect(ended.id, "live")
            said = told(effect, translate, clock)
            return pages.to(f"/my/documents/{own.id}", flash=" ".join([said.title + ".", *said.lines]), call=call)
    except AnnulError as error:
        return _sure(call, own, what, Form().refused(error, translate), status=400)
    return pages.to(f"/my/documents/{own.id}", flash=translate(flash), call=call)


def _sure(call: Call, own: OwnDocument, what: str, form: Form, *, status: int = 200) -> Reply:
    return pages.page(
        call,
        "citizen/sure.html",
        form=form,
        status=status,
        what=what,
        own=own,
        card=_card(own, pages.translator(call)),
        lapses_at=clock(own.lapses_at_us) if own.lapses_at_us else "",
    )


def _require_strong(call: Call) -> None:
    if call.session.strength != "strong":
        raise Forbidden(
            _("This needs a login with your card or another strong one."), mend=_("Sign out and sign in again with it.")
        )


async def unlock_page(office: Office, call: Call) -> Reply:
    """Ask whether the lock opens altogether or for one purpose."""
    own = await _own(office, call)
    return _unlock(call, own, Form({"minutes": "30"} | call.kept)) if "unlock" in own.may else _not_now(call, own)


async def unlock(office: Office, call: Call) -> Reply:
    """Open the lock."""
    own = await _own(office, call)
    form = Form.sent(call.body)
    translate = pages.translator(call)
    act, person, proof = act_of_holder(call), call.session.person, proof_of(call)
    try:
        if call.body.how == "all":
            await office.citizens.lock(act, person, own.id, proof=proof, locked=False)
            flash = translate(_("It is unlocked and can be used again."))
        elif call.body.how == "purpose":
            if call.body.purpose not in PURPOSES:
                raise BadInput(_("Choose the purpose."), where="purpose")
            if call.body.minutes not in dict(MINUTES):
                raise BadInput(_("Choose for how long."), where="minutes")
            purpose = purpose_of(call.body.purpose)
            await office.citizens.unlock_for(act, person, own.id, purpose, int(call.body.minutes), proof=proof)
            flash = translate(_("It is open for this purpose and locks itself again."))
        else:
            raise BadInput(_("Choose how to unlock it."), where="how")
    except AnnulError as error:
        return _unlock(call, own, form.refused(error, translate), status=400)
    return pages.to(f"/my/documents/{own.id}", flash=flash, call=call)


def _unlock(call: Call, own: OwnDocument, form: Form, *, status: int = 200) -> Reply:
    translate = pages.translator(call)
    return pages.page(
        call,
        "citizen/unlock.html",
        form=form,
        status=status,
        own=own,
        card=_card(own, translate),
        purposes=[("", translate(_("Choose")))] + [(value, translate(text)) for value, text in PURPOSES.items()],
        minutes=[(value, translate(text)) for value, text in MINUTES],
    )


# -- dispute -----------------------------------------------------------------------------------------------------------------


async def dispute_page(office: Office, call: Call) -> Reply:
    """Ask why an entry is wrong."""
    own = await _own(office, call)
    return _dispute_form(office, call, own, Form(call.kept)) if "dispute" in own.may else _not_now(call, own)


async def dispute(office: Office, call: Call) -> Reply:
    """Open a dispute; it gets a reference and a term."""
    own = await _own(office, call)
    form = Form.sent(call.body)
    translate = pages.translator(call)
    if call.body.ground not in {value for value, _text in GROUNDS}:
        form.refuse("ground", translate(_("Choose what is wrong.")))
    if len(call.body.statement) > STATEMENT_MAX:
        form.refuse("statement", translate(_("Write at most 2,000 characters.")))
    if form.errors:
        return _dispute_form(office, call, own, form, status=400)
    case = "H-" + hashlib.sha256(f"{own.id} {call.idempotency_key}".encode()).hexdigest()[:12].upper()
    try:
        await office.disputes.open(
            act_of_holder(call), Known(own.id), by="holder", ground=call.body.ground, case=case, statement=call.body.statement
        )
    except AnnulError as error:
        return _dispute_form(office, call, own, form.refused(error, translate), status=400)
    flash = translate(_("Your dispute %s was received. You are told of every step.")) % case
    return pages.to(f"/my/documents/{own.id}", flash=flash, call=call)


def _dispute_form(office: Office, call: Call, own: OwnDocument, form: Form, *, status: int = 200) -> Reply:
    translate = pages.translator(call)
    return pages.page(
        call,
        "citizen/dispute.html",
        form=form,
        status=status,
        own=own,
        card=_card(own, translate),
        grounds=[(value, translate(text)) for value, text in GROUNDS],
        days=office.settings.dispute_term_days,
    )
