"""Search for a case, see all the holder's documents, choose the right one and read its life."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Final, cast

import msgspec
from msgspec import Meta

from annul.errors import AnnulError, BadInput, NotFound
from annul.records.document import DocumentFields, parse_document
from annul.records.references import Reference
from annul.records.schemes import kind_of, printed
from annul.records.status import DEAD, State
from annul.registry.desk.searches import (
    ByChosen,
    ByDocument,
    ByName,
    ByNumber,
    DelayGround,
    DocumentFound,
    Question,
    SearchShown,
)
from annul.times import SECOND_US
from annul.web.counter.reading import CheckForm, fields_of, read_photo, typed_from
from annul.web.desk.frame import act_for, cards_of, options, show, timeline_of
from annul.web.desk.words import DELAY_GROUNDS, REPORT_STATES, SEARCH_PURPOSES
from annul.web.door import pages
from annul.web.door.call import Call, Reply
from annul.web.door.forms import Form
from annul.web.door.names import names_of
from annul.web.door.words import KINDS, PURPOSES, _

if TYPE_CHECKING:
    from annul.web.door.office import Office

Short = Annotated[str, Meta(max_length=200)]
TYPED: Final = 0
"""Place of the document that was typed and that the register has no row of."""


class Search(msgspec.Struct, forbid_unknown_fields=True):
    """Form of the desk: the case, and whom or what to look for."""

    case: Reference = ""
    purpose: Short = ""
    number: Annotated[str, Meta(max_length=400)] = ""
    valid_from: Short = ""
    kind: Short = ""
    issuer: Short = ""
    mrz: Annotated[str, Meta(max_length=400)] = ""
    name: Short = ""
    birth_date: Short = ""
    delay_days: Short = ""
    delay_ground: Short = ""
    next_case: Short = ""


def question_of(form: Search) -> Question:
    """Turn what was typed into a question: a name with a date, a document, or a personal number.

    Raises:
        BadInput: nothing was typed, or it cannot be told what it is.
    """
    if form.name.strip() or form.birth_date.strip():
        return ByName(form.name, form.birth_date)
    bare = re.sub(r"[\s-]", "", form.number)
    if not bare and not form.mrz.strip():
        raise BadInput(_("Type a number, the lines at the foot of the document, or a name."), where="number")
    if form.kind == "person" or (not form.kind and not form.mrz.strip() and re.fullmatch(r"[A-Z]{3}\d{9,15}", bare.upper())):
        return ByNumber(bare.upper())
    typed = CheckForm(number=form.number, valid_from=form.valid_from, kind=form.kind, issuer=form.issuer, mrz=form.mrz)
    fields = fields_of(typed)
    parse_document(fields)
    return ByDocument(fields)


async def start(office: Office, call: Call) -> Reply:
    """Show the desk: the case, the search, what waits."""
    session = call.session
    typed = call.kept or {"case": session.case, "purpose": session.case_purpose or "report"}
    return await _start(office, call, Form(typed))


async def _start(office: Office, call: Call, form: Form, status: int = 200, *, compare: bool = False) -> Reply:
    translate, act = pages.translator(call), act_for(call)
    role = call.principal.role
    mine = set(call.officer.duties) if call.officer else set()
    waits: list[tuple[str, str, int]] = []
    if "found" in mine and role in ("police", "issuer"):
        counts = await office.found.counts(act)
        waits.append(("/desk/found", translate(_("Found cards held")), counts.get("held", 0)))
        waits.append(("/desk/found?state=to_destroy", translate(_("Found cards to destroy")), counts.get("to_destroy", 0)))
    if "disputes" in mine:
        ages = await office.disputes.ages(act.realm)
        waits.append(("/desk/disputes", translate(_("Open disputes")), sum(ages.values())))
        if role != "police":
            proposed = sum(view.proposed_by is not None for view in await office.disputes.list(act.realm))
            waits.append(("/desk/disputes?show=proposed", translate(_("Corrections for a second officer")), proposed))
        waits.append(("/desk/disputes?show=overdue", translate(_("Disputes over their term")), ages["overdue"]))
    kinds = [(value, translate(text)) for value, text in KINDS]
    kinds.insert(1, ("person", translate(_("A person, by the personal number"))))
    more = any(form[name] for name in ("kind", "issuer", "mrz", "valid_from")) or {"issuer", "mrz", "kind"} & set(form.errors)
    return show(
        call,
        "desk/start.html",
        status=status,
        form=form,
        purposes=options(call, SEARCH_PURPOSES),
        kinds=kinds,
        grounds=[("", translate(_("Choose"))), *options(call, DELAY_GROUNDS)],
        police=role == "police",
        waits=waits,
        recent=await office.searches.of_officer(act) if "desk" in mine else [],
        may_search="desk" in mine,
        purpose_words=SEARCH_PURPOSES,
        more=bool(more),
        delayed=bool(form["delay_days"] or form["delay_ground"]),
        named=bool(form["name"] or form["birth_date"]),
        compare=compare,
    )


async def search(office: Office, call: Call) -> Reply:
    """Search, on record; keep the case for the next search."""
    body: Search = call.body
    translate = pages.translator(call)
    form = Form.sent(body)
    if body.next_case:
        call.seat.change(case="", case_purpose="")
        return pages.to("/desk")
    now = office.now_us()
    if not body.case.strip():
        form.refuse("case", translate(_("A search needs the reference of its case.")))
        return await _start(office, call, form, 400)
    try:
        until = _delay_until(body.delay_days, now)
        found = await office.searches.look(
            act_for(call),
            question_of(body),
            case=body.case,
            purpose=body.purpose,
            delayed_until_us=until,
            delay_ground=cast("DelayGround", body.delay_ground if until else ""),
            police=call.principal.role == "police",
        )
    except AnnulError as error:
        fields = {"valid_from": "valid_from", "delayed_until": "delay_days", "document": "number"}
        return await _start(office, call, form.refused(error, translate, fields), 400)
    call.seat.change(case=body.case.strip(), case_purpose=body.purpose)
    return pages.to(f"/desk/searches/{found}")


class Photo(msgspec.Struct, forbid_unknown_fields=True):
    """Form with a photograph of a document."""

    photo: bytes = b""


async def photo_page(_office: Office, call: Call) -> Reply:
    """Ask for a photograph of a document."""
    return show(call, "desk/photo.html", form=Form())


async def photo(office: Office, call: Call) -> Reply:
    """Read a photograph into the search form. It is a typing aid, which the officer compares; the picture is not kept."""
    form = Form({"photo": ""})
    try:
        if not call.body.photo:
            raise BadInput(_("Choose a photograph."), where="photo")
        read = typed_from(await read_photo(call.body.photo, ""))
    except AnnulError as error:
        return show(call, "desk/photo.html", status=400, form=form.refused(error, pages.translator(call), {"": "photo"}))
    typed = {name: read[name] for name in ("number", "valid_from", "mrz")}
    case = {"case": call.session.case, "purpose": call.session.case_purpose or "report"}
    return await _start(office, call, Form(case | typed), compare=True)


def _delay_until(days: str, now_us: int) -> int | None:
    if not days.strip():
        return None
    if not days.strip().isdigit() or not 1 <= int(days) <= 180:
        raise BadInput(_("Give the days as a number from 1 to 180."), where="delay_days")
    until = datetime.fromtimestamp(now_us / 1e6, UTC) + timedelta(days=int(days))
    return int(until.timestamp()) * SECOND_US


class Attempt(msgspec.Struct, forbid_unknown_fields=True):
    """Form that opens the document of a denied attempt, for the case."""

    attempt: Short = ""
    case: Reference = ""


async def attempts(office: Office, call: Call) -> Reply:
    """List uses of dead documents that their holders deny."""
    return await _attempts(office, call, Form(call.kept or {"case": call.session.case}))


async def _attempts(office: Office, call: Call, form: Form, status: int = 200) -> Reply:
    denied = await office.citizens.denied(realm=call.session.realm)
    return show(call, "desk/attempts.html", status=status, form=form, denied=denied, purposes=PURPOSES)


async def open_attempt(office: Office, call: Call) -> Reply:
    """Search the document of a denied attempt, on record, for a case."""
    body: Attempt = call.body
    form = Form.sent(body)
    denied = await office.citizens.denied(realm=call.session.realm)
    chosen = next((each for each in denied if str(each["id"]) == body.attempt), None)
    try:
        if chosen is None:
            raise BadInput(_("Choose an attempt of the list."))
        found = await office.searches.look(
            act_for(call), ByChosen(chosen["document_id"]), case=body.case, purpose="investigation", police=True
        )
    except AnnulError as error:
        return await _attempts(office, call, form.refused(error, pages.translator(call)), 400)
    call.seat.change(case=body.case.strip(), case_purpose="investigation")
    return pages.to(f"/desk/searches/{found}")


async def result(office: Office, call: Call) -> Reply:
    """Show what a search found: the persons, and all their documents as cards."""
    shown = await office.searches.view(act_for(call), call.path["search"])
    only = shown.documents[0] if len(shown.documents) == 1 and not shown.persons else None
    if only is not None:
        return pages.to(f"/desk/searches/{shown.id}/{only.place}")
    return show(
        call,
        "desk/result.html",
        shown=shown,
        cards=cards_of(call, shown),
        purpose_words=SEARCH_PURPOSES,
        unknown=_unknown_card(call, shown),
        asked=[each for each in shown.documents if each.asked],
    )


def _unknown_card(call: Call, shown: SearchShown) -> dict[str, object] | None:
    """Return a typed document that the register has no row of, as a card to be reported."""
    if shown.unknown is None:
        return None
    translate = pages.translator(call)
    document = parse_document(shown.unknown)
    kind = kind_of(document.coverage_name, document.kind)
    return {
        "shape": kind.shape,
        "kind": translate(kind.words),
        "number": printed(document.number, document.scheme),
        "state": "current",
        "disputed": False,
        "since": "",
        "note": translate(_("The register has no entry about it.")),
        "href": f"/desk/searches/{shown.id}/{TYPED}/report",
        "action": translate(_("Report this document")),
        "asked": True,
        "here": False,
    }


async def document(office: Office, call: Call) -> Reply:
    """Show one document: all the holder's documents beside it, its timeline, and what can be done."""
    act, place = act_for(call), int(call.path["place"])
    shown = await office.searches.view(act, call.path["search"])
    found = one_of(shown, place)
    known = await office.searches.chosen(act, shown.id, place)
    lines = await office.searches.timeline(act, known)
    reports = await office.searches.reports(act, known)
    disputes = (await office.disputes.of_documents([known.id])).get(known.id, [])
    named = await names_of(office, (line.author for line in lines), pages.translator(call))
    card = (await office.found.of_documents([known.id])).get(known.id)
    return show(
        call,
        "desk/document.html",
        shown=shown,
        found=found,
        cards=cards_of(call, shown, chosen=place),
        timeline_lines=timeline_of(call, lines, named),
        reports=reports,
        report_states=REPORT_STATES,
        disputes=disputes,
        found_card=card,
        acts=acts_of(found, call, provisional=any(each.state == "provisional" for each in reports)),
        base=f"/desk/searches/{shown.id}/{place}",
        since=found.since_us,
    )


def one_of(shown: SearchShown, place: int) -> DocumentFound:
    """Return the document at a place of a search; NotFound when there is none."""
    for found in shown.documents:
        if found.place == place:
            return found
    raise NotFound(_("There is no such document in this search."))


def acts_of(found: DocumentFound, call: Call, *, provisional: bool) -> list[tuple[str, str, str]]:
    """Return what may be done with a document in its state: (act, words, kind of button); the first is the primary one."""
    translate, role = pages.translator(call), call.principal.role
    duties = set(call.officer.duties) if call.officer else set()
    dead = State[found.state] in DEAD
    acts: list[tuple[str, str]] = []
    if role in ("police", "issuer") and found.state != "destroyed":
        if provisional:
            acts += [("confirm", _("Confirm the report")), ("withdraw", _("Withdraw the provisional report"))]
        if found.state not in ("reported_lost", "reported_stolen", "suspended"):
            acts.append(("report", _("Report lost or stolen")))
        elif found.state == "reported_lost":
            acts += [("lift", _("Lift the report")), ("report", _("Report again"))]
        elif not provisional or found.state == "reported_stolen":
            acts.append(("report", _("Report again")))
        if "found" in duties and found.state != "found_held":
            acts.append(("found", _("Take it in as a found card")))
    if role == "issuer" and not dead:
        acts += [("replace", _("Record its replacement")), ("cancel", _("Cancel it")), ("revoke", _("Revoke it"))]
    if "disputes" in duties and found.state not in ("current", "expired") and not found.disputed:
        acts.append(("dispute", _("Open a dispute")))
    if "disputes" in duties and found.facts and not found.disputed:
        acts.append(("correct", _("Correct a listing that was never true")))
    if role == "police":
        acts.append(("hold", _("Do not tell the holder yet")))
    return [(act, translate(words), "" if at == 0 else "secondary") for at, (act, words) in enumerate(acts)]


def typed_fields(shown: SearchShown) -> DocumentFields:
    """Return the document that was typed and that the register has no row of; NotFound when it has one by now."""
    if shown.unknown is None:
        raise NotFound(_("The register knows this document by now."), mend=_("Search again and choose it."))
    return shown.unknown
