"""What a clerk does about an answer: depart from it, serve an urgent need, hand over the receipt; and what became of these."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Any, Final

import msgspec

from annul.errors import AnnulError
from annul.proof.receipt import from_compact, verify
from annul.proof.words import explain
from annul.records.references import Reference, Words
from annul.registry.counter.departures import At, Confirmed, day_of
from annul.registry.writing.act import Act, Idempotency
from annul.web.counter import paper
from annul.web.counter.counter import answer_page, frame, receipt_of, shown_again, spoken
from annul.web.counter.words import DECISIONS, NEED_WORDS, REASON_WORDS
from annul.web.door import pages
from annul.web.door.forms import Form
from annul.web.door.names import organisation
from annul.web.door.pages import moment
from annul.web.door.words import CHANNELS, FACTS, PURPOSES, _

if TYPE_CHECKING:
    from collections.abc import Callable

    from annul.web.door.call import Call, Reply
    from annul.web.door.office import Office

LIST_MAX: Final = 200


class ReceiptForm(msgspec.Struct, forbid_unknown_fields=True):
    """A receipt in compact text, as every form about an answer carries it."""

    receipt: str


class DepartureForm(msgspec.Struct, forbid_unknown_fields=True):
    """Form of a departure."""

    receipt: str
    decision: str
    reason: str = ""
    words: Words = ""
    sealed: str = ""


class NeedForm(msgspec.Struct, forbid_unknown_fields=True):
    """Form of an urgent need."""

    receipt: str
    match: str = ""
    genuine: str = ""
    unexpired: str = ""
    need: str = ""
    customer: Reference = ""
    sealed: str = ""


class ShownForm(msgspec.Struct, forbid_unknown_fields=True):
    """Settle a follow-up with the answer that is on the screen."""

    receipt: str
    follow_up: str


class NeedsQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which follow-ups are listed."""

    state: str = "waiting"


def act_of(call: Call) -> Act:
    """Return who acts: the officer, or the party's key; the Idempotency-Key is the form's token with a digest of what was sent.

    A second click changes nothing; the back button with other values is a new request, which the room judges by its own rules.
    """
    who = call.principal
    author = call.officer.id if call.officer is not None else who.id
    idempotency = None
    if call.idempotency_key:
        body = msgspec.json.encode(call.body, order="deterministic")
        key = f"{call.idempotency_key}-{hashlib.sha256(body).hexdigest()[:16]}"
        idempotency = Idempotency.of(who.id, key, call.request.url.path.encode(), body)
    return Act(author, who.realm, idempotency, call.session.key_id)


def _at(call: Call) -> At:
    session = call.session
    return At(session.branch, session.terminal, session.clerk)


_FIELDS: Final = {
    "name_and_number_match": "match",
    "genuine": "genuine",
    "unexpired": "unexpired",
    "words": "words",
    "reason": "reason",
    "reference": "customer",
}


async def depart(office: Office, call: Call) -> Reply:
    """Record a decision that is not the one advised, with its reason."""
    form: DepartureForm = call.body
    translate = pages.translator(call)
    told = shown_again(form.receipt, translate)
    typed = Form.sent(form)
    if not form.reason:
        typed.refuse("reason", translate(_("Choose the reason.")))
        return await answer_page(office, call, told, sealed=form.sealed, form=typed, acted="departure", status=400)
    try:
        await office.departures.depart(
            act_of(call),
            call.principal,
            receipt_of(form.receipt),
            _at(call),
            decision=form.decision,  # type: ignore[arg-type]
            reason=form.reason,  # type: ignore[arg-type]
            words=form.words,
        )
    except AnnulError as error:
        typed.refused(error, translate, _FIELDS)
        return await answer_page(office, call, told, sealed=form.sealed, form=typed, acted="departure", status=400)
    decision = translate(DECISIONS[form.decision])
    flash = translate(_("Recorded: you %(decision)s. The reason stands with the check.")) % {"decision": decision}
    return pages.to("/counter", flash=flash, call=call)


async def serve(office: Office, call: Call) -> Reply:
    """Record an urgent need, and say by when the new card is to be shown."""
    form: NeedForm = call.body
    translate = pages.translator(call)
    told = shown_again(form.receipt, translate)
    confirmed = Confirmed(
        name_and_number_match=form.match == "yes", genuine=form.genuine == "yes", unexpired=form.unexpired == "yes"
    )
    try:
        made = await office.departures.serve_urgent_need(
            act_of(call),
            call.principal,
            receipt_of(form.receipt),
            _at(call),
            confirmed,
            words=form.need,
            reference=form.customer,
        )
    except AnnulError as error:
        typed = Form.sent(form).refused(error, translate, _FIELDS | {"words": "need"})
        return await answer_page(office, call, told, sealed=form.sealed, form=typed, acted="urgent", status=400)
    day = day_of(made.due_at_us or 0)
    flash = translate(_("Recorded. Go on. The new card must be shown by %(day)s; until then it is on the list of follow-ups."))
    return pages.to("/counter", flash=flash % {"day": day}, call=call)


async def show_new(office: Office, call: Call) -> Reply:
    """Settle a follow-up with the document that was just checked."""
    form: ShownForm = call.body
    translate = pages.translator(call)
    try:
        await office.departures.show(call.principal, form.follow_up, receipt_of(form.receipt))
    except AnnulError as error:
        typed = Form.sent(form).refused(error, translate)
        return await answer_page(office, call, shown_again(form.receipt, translate), form=typed, acted="shown", status=400)
    return pages.to("/counter/follow-ups", flash=translate(_("The new card was shown. The follow-up is closed.")), call=call)


# -- lists -------------------------------------------------------------------------------------------------------------------


async def follow_ups(office: Office, call: Call) -> Reply:
    """List urgent needs until the new card is shown, those due first at the top."""
    translate = pages.translator(call)
    who = call.principal
    state = call.query.state if call.query.state in ("waiting", "overdue", "settled") else "waiting"
    needs = [
        each
        for each in await office.departures.needs(who, limit=LIST_MAX)
        if (each.state != "settled" if state == "waiting" else each.state == state)
    ]
    waiting, overdue = await office.departures.counts(who)
    rows = [
        {
            "id": each.id,
            "state": each.state,
            "word": translate(NEED_WORDS[each.state]),
            "due": day_of(each.due_at_us),
            "served": moment(each.opened_at_us, seconds=False),
            "reference": each.reference or each.check[:8].upper(),
            "words": each.words,
            "place": _place(each),
            "shown": moment(each.shown_at_us, seconds=False),
        }
        for each in needs
    ]
    return pages.page(call, "counter/follow_ups.html", **frame(call), rows=rows, state=state, waiting=waiting, overdue=overdue)


def _place(each: Any) -> str:
    return " · ".join(part for part in (each.branch, each.terminal, each.clerk) if part)


async def departures(office: Office, call: Call) -> Reply:
    """List departures of the whole organisation, for the branch manager."""
    translate = pages.translator(call)
    found = await office.departures.recorded(call.principal, limit=LIST_MAX)
    counted: dict[str, int] = {}
    for each in found:
        counted[each.reason] = counted.get(each.reason, 0) + 1
    rows = [
        {
            "at": moment(each.decided_at_us),
            "outcome": each.outcome,
            "decision": translate(DECISIONS[each.decision]),
            "reason": translate(REASON_WORDS[each.reason]),
            "words": each.words,
            "place": _place(each),
            "status": each.status,
            "check": spoken(each.check),
            "need": bool(each.need),
            "version": each.policy_version,
        }
        for each in found
    ]
    reasons = sorted(((translate(REASON_WORDS[code]), count) for code, count in counted.items()), key=lambda pair: -pair[1])
    return pages.page(call, "counter/departures.html", **frame(call), rows=rows, reasons=reasons)


# -- receipts on paper -------------------------------------------------------------------------------------------------------


async def receipt(office: Office, call: Call) -> Reply:
    """Show the receipt for printing, with a QR code that anybody verifies."""
    translate = pages.translator(call)
    text = call.body.receipt
    _require_signed(office, text)
    told = shown_again(text, translate)
    read = receipt_of(text)
    label = translate(_("QR code: the address that proves this receipt"))
    qr = paper.qr_inline(read, office.settings.base_url, label)
    address = f"{office.settings.base_url}{paper.VERIFY_PATH}"
    return pages.page(
        call,
        "counter/receipt.html",
        **frame(call),
        answer=told,
        facts=_facts(office, text, translate),
        qr=qr,
        address=address,
        receipt=text,
    )


async def receipt_pdf(office: Office, call: Call) -> Reply:
    """Answer the receipt as tagged PDF."""
    from annul.web.door.call import Reply as Answered

    translate = pages.translator(call)
    text = call.body.receipt
    _require_signed(office, text)
    told = shown_again(text, translate)
    words = {
        "title": translate(_("Receipt of a check")),
        "lang": pages.language_of(call.request),
        "outcome": told["outcome"],
        "word": told["word"],
        "means": told["means"],
        "next": told["next"],
        "facts": _facts(office, text, translate),
        "hint": translate(_("Anybody can verify this receipt: photograph the code.")),
        "alt": translate(_("QR code: the address that proves this receipt")),
        "foot": translate(_("A register of documents that are no longer accepted. No listing is no proof of validity.")),
    }
    made = await asyncio.to_thread(paper.pdf, receipt_of(text), office.settings.base_url, words)
    name = f'attachment; filename="receipt-{told["check"][:9]}.pdf"'
    return Answered(made, "application/pdf", headers={"content-disposition": name})


def _require_signed(office: Office, text: str) -> None:
    """Refuse a receipt that this register did not sign."""
    verify(from_compact(text), office.keys.receipt_verifiers())


def _facts(office: Office, text: str, translate: Callable[[str], str]) -> list[tuple[str, str]]:
    says = explain(from_compact(text))
    as_of = says["as_of"].replace("T", " ").replace("Z", " UTC")
    pairs = {
        "checked_at": says["checked_at"].replace("T", " ").replace("Z", " UTC"),
        "party": organisation(office, says["party"]),
        "purpose": f"{translate(PURPOSES[says['purpose']])}, {translate(CHANNELS[says['channel']])}",
        "as_of": f"{as_of} (#{says['position']})",
        "check": says["check"],
    }
    return [(translate(FACTS[name]), value) for name, value in pairs.items()]
