"""What an officer does with the document she chose. Each act asks once, says what cannot be undone, shows what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from msgspec import Meta

from annul import metrics
from annul.errors import AnnulError, BadInput, Forbidden, NotFound
from annul.likeness.comparison import Result
from annul.records.document import Document, DocumentFields, parse_document
from annul.records.references import Reference, Words
from annul.records.scheme import Scheme, plain
from annul.records.schemes import SCHEMES, kind_of, printed
from annul.records.status import Event, Proof, State
from annul.registry.desk.searches import DocumentFound, SearchShown
from annul.registry.writing.act import Act
from annul.registry.writing.documents import Known
from annul.registry.writing.personal import Reporter
from annul.registry.writing.register import Recorded
from annul.times import DAY_US
from annul.web.desk.frame import DAYS, act_for, card_of, cards_of, happened, options, show
from annul.web.desk.searching import TYPED, one_of, typed_fields
from annul.web.desk.words import CANCELS, GROUNDS, PROOFS, REVOKES
from annul.web.door import pages
from annul.web.door.call import Call, Reply
from annul.web.door.clock import zone_name
from annul.web.door.forms import Form
from annul.web.door.telling import told
from annul.web.door.words import STATES, _

if TYPE_CHECKING:
    from annul.web.door.office import Office

Short = Annotated[str, Meta(max_length=200)]

CANCEL_EVENTS: Final = {"nationality": Event.cancel_nationality, "data": Event.cancel_data}
PROVEN: Final = ("report", "confirm", "withdraw", "lift")
"""Acts that rest on a proof of who speaks."""
BY_FINGER: Final = "in_person_fingerprint"
HOLD_DAYS_MAX: Final = 366
FINGER_BYTES_MAX: Final = 4 * 1024 * 1024
REVOKE_EVENTS: Final = {"error": Event.revoke_error, "fraud": Event.revoke_fraud, "misuse": Event.revoke_misuse}


class ActForm(msgspec.Struct, forbid_unknown_fields=True, rename=lambda name: name.replace("happened_", "happened-")):
    """Form of every act; each uses some of the fields."""

    kind: Short = ""
    proof: Short = ""
    reason: Short = ""
    happened_year: Short = ""
    happened_month: Short = ""
    happened_day: Short = ""
    time: Short = ""
    which: Short = ""
    evidence: Reference = ""
    reporter: Short = ""
    contact: Short = ""
    custody_broken: Short = ""
    days: Short = ""
    ground: Short = ""
    statement: Annotated[str, Meta(max_length=4_000)] = ""
    fact: Short = ""
    grounds: Words = ""
    marked: Short = ""
    number: Short = ""
    valid_from: Short = ""
    valid_until: Short = ""
    finger: bytes = b""
    sure: Short = ""


@dataclass(frozen=True, slots=True)
class ActPage:
    """Describe one act: heading, what happens, what cannot be undone, button; who may do it."""

    heading: str
    lead: str
    final: str
    button: str
    warning: bool
    roles: tuple[str, ...]
    done: str


ACTS: Final = {
    "report": ActPage(
        _("Report this document lost or stolen"),
        _("From the moment you send this, every check point refuses it."),
        _("A report of theft is never lifted; one of loss only in person, and only if nobody else had the card."),
        _("Continue"),
        False,
        ("police", "issuer"),
        _("Report recorded"),
    ),
    "confirm": ActPage(
        _("Confirm the provisional report"),
        _("The report then stands until it is lifted; it does not lapse any more."),
        "",
        _("Confirm the report"),
        False,
        ("police", "issuer"),
        _("Confirmed"),
    ),
    "withdraw": ActPage(
        _("Withdraw the provisional report"),
        _("The document can be used again, unless something else stands against it."),
        "",
        _("Withdraw the report"),
        False,
        ("police", "issuer"),
        _("Withdrawn"),
    ),
    "lift": ActPage(
        _("Lift the report: the holder has it again"),
        _("Only if the card was never in the hands of others and no new one was issued. The report stays in its history."),
        "",
        _("Lift the report"),
        False,
        ("police", "issuer"),
        _("Lifted"),
    ),
    "replace": ActPage(
        _("Record the document that replaces it"),
        _("The new document can be used; this one is replaced in the same step."),
        _("A replaced document can never be used again."),
        _("Record the replacement"),
        True,
        ("issuer",),
        _("Replaced"),
    ),
    "cancel": ActPage(
        _("Cancel this document"),
        _("Every check point refuses it from then on."),
        _("A cancelled document can never be used again. Only a dispute can correct a mistake."),
        _("Cancel the document"),
        True,
        ("issuer",),
        _("Cancelled"),
    ),
    "revoke": ActPage(
        _("Revoke this document"),
        _("Every check point refuses it from then on."),
        _("A revoked document can never be used again. Only a dispute can correct a mistake."),
        _("Revoke the document"),
        True,
        ("issuer",),
        _("Revoked"),
    ),
    "dispute": ActPage(
        _("Open a dispute about this document"),
        _("Checks answer that its status is disputed until the dispute is decided. Its clock runs from now."),
        "",
        _("Open the dispute"),
        False,
        ("police", "issuer", "supervisor"),
        _("Disputed"),
    ),
    "correct": ActPage(
        _("Correct a listing that was never true"),
        _("You propose it; another officer, of the issuer or the supervisor, confirms. Until then nothing changes."),
        "",
        _("Propose the correction"),
        False,
        ("police", "issuer", "supervisor"),
        _("Proposed"),
    ),
    "hold": ActPage(
        _("Do not tell the holder yet"),
        _("What the holder would be told of attempts and searches with this document waits until the day you give."),
        _("The delay ends by itself. It is on record with your case."),
        _("Hold it back"),
        False,
        ("police",),
        _("Held back"),
    ),
}


async def ask(office: Office, call: Call) -> Reply:
    """Show the one question before an act."""
    session = call.session
    typed = call.kept or {"evidence": session.case}  # kind and proof are for the officer to say
    return await _ask(office, call, Form(typed), first=True)


async def _ask(office: Office, call: Call, form: Form, status: int = 200, *, first: bool = False) -> Reply:
    name, place = call.path["act"], int(call.path["place"])
    page = _page_of(call, name)
    shown = await office.searches.view(act_for(call), call.path["search"])
    fields = typed_fields(shown) if place == TYPED else None
    found = None if fields is not None else one_of(shown, place)
    facts = _facts(call, found)
    if first and len(facts) == 1:
        form.values.setdefault("fact", facts[0][0])
    others = [card for card in cards_of(call, shown, chosen=place) if not card["here"]]
    new = found is not None and _scheme_of(found).bears_personal_number
    return show(
        call,
        "desk/act.html",
        status=status,
        form=form,
        name=name,
        act_page=page,
        looked=name in LOOKED,
        shown=shown,
        cards=others,
        fields=fields,
        card=card_of(call, found) if found is not None else None,
        typed=_typed_words(fields),
        resident=new,
        facts=facts,
        zone=zone_name(),
        days=options(call, DAYS),
        may_finger=found is not None and found.person is not None,
        proofs=options(call, PROOFS),
        grounds=options(call, GROUNDS),
        cancels=options(call, CANCELS),
        revokes=options(call, REVOKES),
        back_to=f"/desk/searches/{shown.id}" + ("" if place == TYPED else f"/{place}"),
    )


def _facts(call: Call, found: DocumentFound | None) -> list[tuple[str, str, str]]:
    """Return the listings that could be corrected, worst first, each with the state the document would be in."""
    translate, facts = pages.translator(call), found.facts if found is not None else []
    then = translate(_("afterwards: %s"))
    rest = {fact: next((other for other in facts if other != fact), "current") for fact in facts}
    return [(fact, translate(STATES[fact]), then % translate(STATES[rest[fact]])) for fact in facts]


def _scheme_of(found: DocumentFound) -> Scheme:
    return SCHEMES[found.coverage.partition("/")[0]]


def _typed_words(fields: DocumentFields | None) -> str:
    if fields is None:
        return ""
    document = parse_document(fields)
    return printed(document.number, document.scheme)


def _page_of(call: Call, name: str) -> ActPage:
    page = ACTS.get(name)
    if page is None:
        raise NotFound("There is no such thing here.")
    if call.principal.role not in page.roles:
        raise Forbidden("This page is not for your role.", mend="Go back, or sign in as somebody whose duty it is.")
    if name in ("dispute", "correct") and call.officer is not None and "disputes" not in call.officer.duties:
        raise Forbidden("This page is not for your role.", mend="Go back, or sign in as somebody whose duty it is.")
    return page


async def do(office: Office, call: Call) -> Reply:
    """Carry an act out, once; show what came of it."""
    body: ActForm = call.body
    translate, act = pages.translator(call), act_for(call)
    name, place = call.path["act"], int(call.path["place"])
    page = _page_of(call, name)
    form = Form({name: text for name, text in msgspec.to_builtins(body).items() if name != "finger"} | {"finger": ""})
    try:
        shown = await office.searches.view(act, call.path["search"])
        document: Document | Known
        if place == TYPED:
            if name != "report":
                raise NotFound("There is no such thing here.")
            document = parse_document(typed_fields(shown))
        else:
            document = await office.searches.chosen(act, shown.id, place)
        if name in LOOKED and body.sure != "yes":
            return _look(office, call, shown, form)
        recorded = await _carry_out(office, call, act, name, document, shown, form)
    except NotFound:
        raise
    except AnnulError as error:
        return await _ask(office, call, form.refused(error, translate), 400)
    if name == "correct":
        flash = _("Proposed. Another officer decides; until then nothing changes.")
        return pages.to(f"/desk/disputes/{recorded.id}", flash=translate(flash), call=call)
    if name == "report" and not recorded.replayed:
        metrics.REPORTS.labels(body.kind).inc()
        metrics.REFUSED_AFTER_SECONDS.observe(recorded.effective_after_us / 1e6)
    at_us = await office.searches.recorded_at(recorded.position)
    said = None
    if name in ("report", "confirm", "withdraw"):
        said = told(await office.register.effect(recorded.id, act.realm), translate, pages.moment)
    return show(
        call,
        "desk/done.html",
        name=name,
        act_page=page,
        recorded=recorded,
        state=STATES.get(recorded.state, ""),
        stopped=recorded.state not in ("current", ""),
        told=said,
        at_us=at_us,
        stopped_at=pages.moment(at_us),
        refused_at=pages.moment(at_us + recorded.effective_after_us, milliseconds=True),
        search=shown.id,
        place=place,
    )


def _look(office: Office, call: Call, shown: SearchShown, form: Form) -> Reply:
    """Show an act once more before it is done: which document, what happens to it, on what proof. Nothing is recorded yet.

    Raises:
        BadInput: a field that the act needs is missing, or is none.
    """
    body: ActForm = call.body
    name, translate, place = call.path["act"], pages.translator(call), int(call.path["place"])
    _require_fields(name, body)
    at_us = happened(form, office.now_us())
    fields = typed_fields(shown) if place == TYPED else None
    found = None if fields is not None else one_of(shown, place)
    if fields is not None:
        document = parse_document(fields)
        kind = kind_of(document.coverage_name, document.kind)
    else:
        assert found is not None
        kind = kind_of(found.coverage, found.kind)
    strong = name == "report" and _proof(body).is_strong
    deed = _DEEDS[body.kind if strong else "weak"] if name == "report" else ACTS[name].button
    return show(
        call,
        "desk/look.html",
        form=form,
        act_page=ACTS[name],
        shown=shown,
        card=card_of(call, found) if found is not None else None,
        typed=_typed_words(fields),
        facts_told=_told(call, name, body, pages.moment(at_us) if _dated(form) else translate(_("now"))),
        kept=[(field, text) for field, text in form.values.items() if field not in ("finger", "sure") and text],
        finger=name in PROVEN and body.proof == BY_FINGER,
        deed=translate(_DEED) % {"deed": translate(deed), "document": translate(kind.words)},
        final=translate(final) if (final := _final(name, body, strong)) else "",
        back_to=call.request.url.path,
    )


def _final(name: str, body: ActForm, strong: bool) -> str:
    """Return what cannot be undone about an act, "" when it can."""
    if name == "report":
        return FINAL[body.kind] if strong else ""
    return ACTS[name].final


def _dated(form: Form) -> bool:
    return bool(form["happened-day"] or form["which"] in ("today", "yesterday"))


def _require_fields(name: str, body: ActForm) -> None:
    """Refuse what an act cannot do without, before anybody looks at it once more."""
    if name == "report" and body.kind not in ("lost", "stolen"):
        raise BadInput(_("Say whether it was lost or stolen."), where="kind")
    if name in PROVEN:
        _proof(body)
    events = {"cancel": CANCEL_EVENTS, "revoke": REVOKE_EVENTS}.get(name)
    if events is not None and body.reason not in events:
        raise BadInput(_("Choose the reason."), where="reason")


def _told(call: Call, name: str, body: ActForm, at: str) -> list[tuple[str, str]]:
    """Return what was filled in, as names and values."""
    translate = pages.translator(call)
    told: list[tuple[str, str]] = []
    if name == "report":
        told.append((translate(_("What happened?")), translate(_("Lost") if body.kind == "lost" else _("Stolen"))))
    if name in PROVEN:
        words = PROOFS[body.proof]
        told.append((translate(_("How do you know who is speaking?")), translate(words[0])))
        if name == "report":
            told.append((translate(_("What it does")), translate(words[1])))
    if name in ("cancel", "revoke"):
        told.append((translate(_("Why?")), translate((CANCELS | REVOKES)[body.reason])))
    if name == "lift":
        held = _("yes") if body.custody_broken == "yes" else _("no")
        told.append((translate(_("Somebody else had the card meanwhile")), translate(held)))
    if name == "replace":
        told += [
            (translate(_("Number of the new document")), body.number.strip() or translate(_("the same personal number"))),
            (translate(_("Valid from")), body.valid_from.strip() or "–"),
            (translate(_("Valid until")), body.valid_until.strip() or "–"),
        ]
    if name not in ("confirm", "withdraw"):
        told.append((translate(_("When did it happen?")), at))
    if name != "report":
        told.append((translate(_("What it does")), translate(ACTS[name].lead)))
    told += [(translate(_("Who reports it")), body.reporter.strip())] if body.reporter.strip() else []
    return told


LOOKED: Final = ("report", "confirm", "withdraw", "lift", "replace", "cancel", "revoke")
"""Acts that are looked at once more before they are done; the others change no state by themselves."""
_DEED: Final = "%(deed)s (%(document)s)"
_DEEDS: Final = {
    "lost": _("Report lost: stop this document"),
    "stolen": _("Report stolen: stop this document for good"),
    "weak": _("Stop this document until the report is confirmed"),
}
"""What the button says that makes a report."""
FINAL: Final = {
    "lost": _("A report of loss is lifted only in person, and only if nobody else had the document."),
    "stolen": _("A report of theft is never lifted."),
}


async def _carry_out(
    office: Office, call: Call, act: Act, name: str, document: Document | Known, shown: SearchShown, form: Form
) -> Recorded:
    """Call the one function of the register that an act is.

    Raises:
        BadInput: a field is missing; whatever the register refuses.
    """
    body: ActForm = call.body
    register, evidence = office.register, body.evidence.strip() or shown.case
    at_us = happened(form, office.now_us())
    if name in PROVEN and body.proof == BY_FINGER:
        await _require_finger(office, act, shown, int(call.path["place"]), body.finger)
    if name == "report":
        if body.kind not in ("lost", "stolen"):
            raise BadInput(_("Say whether it was lost or stolen."), where="kind")
        reporter = Reporter(body.reporter.strip(), body.contact.strip())
        return await register.report(
            act,
            document,
            body.kind,  # type: ignore[arg-type]
            happened_at_us=at_us,
            proof=_proof(body),
            evidence=evidence,
            reporter=reporter if reporter.name or reporter.contact else None,
        )
    assert isinstance(document, Known)
    if name in ("confirm", "withdraw"):
        reports = await office.searches.reports(act, document)
        waiting = [each for each in reports if each.state == "provisional"]
        if not waiting and not act.idempotency:
            raise BadInput(_("No provisional report waits any more."))
        report = (waiting or reports)[-1]
        if name == "withdraw":
            return await register.withdraw(act, report.id, proof=_proof(body), evidence=evidence)
        return await register.confirm(act, report.id, proof=_proof(body), evidence=evidence)
    if name == "lift":
        return await register.lift(
            act,
            document,
            happened_at_us=at_us,
            proof=_proof(body),
            evidence=evidence,
            custody_broken=body.custody_broken == "yes",
        )
    if name == "replace":
        return await _replace(office, act, document, shown, int(call.path["place"]), body, at_us, evidence)
    if name == "hold":
        return await _hold_back(office, act, document, body, evidence)
    if name == "correct":
        return await _propose(office, act, document, body, evidence)
    if name == "dispute":
        return await office.disputes.open(
            act,
            document,
            by="holder" if body.kind == "holder" else "officer",
            ground=body.ground,  # type: ignore[arg-type]
            case=evidence,
            statement=body.statement,
        )
    events: dict[str, Any] = CANCEL_EVENTS if name == "cancel" else REVOKE_EVENTS
    if body.reason not in events:
        raise BadInput(_("Choose the reason."), where="reason")
    return await register.change(act, document, events[body.reason], happened_at_us=at_us, evidence=evidence)


async def _propose(office: Office, act: Act, document: Known, body: ActForm, case: str) -> Recorded:
    """Open the file of a correction and propose it; a repetition after a crash between the two goes on."""
    if body.fact not in STATES or body.fact == "current":
        raise BadInput(_("Choose the listing that was never true."), where="fact")
    if body.ground not in GROUNDS:
        raise BadInput(_("Choose the ground."), where="ground")
    if not body.grounds.strip():
        raise BadInput(_("Say why it was never true."), where="grounds")
    opened = await office.disputes.open(
        act,
        document,
        by="officer",
        ground=body.ground,  # type: ignore[arg-type]
        case=case,
        fact=State[body.fact],
        marked=body.marked == "yes",
    )
    view = (await office.disputes.view(act, opened.id)).dispute
    if view.proposed_by is None and view.state == "open":
        await office.disputes.propose(act, opened.id, reason=body.grounds.strip())
    return opened


async def _require_finger(office: Office, act: Act, shown: SearchShown, place: int, live: bytes) -> None:
    """Hold that the finger taken now is the holder's, where fingers of the holder are enrolled. Nothing of it is kept.

    Raises:
        BadInput: none is enrolled, none was taken, or it does not match.
    """
    none = BadInput(
        _("No fingerprint of this holder is enrolled."), where="proof", mend=_("Check the identity in another way.")
    )
    found = None if place == TYPED else one_of(shown, place)
    holder = next((each.person for each in shown.persons if found is not None and each.place == found.person), None)
    if found is None or holder is None or not found.number or office.verifications is None:
        raise none
    document = parse_document(_scheme_of(found).fields_of_row(found.coverage, found.kind, found.number))
    recorded = await office.enrolments.for_comparison(act, document, holder.names[0].text, face=False, fingers=True)
    if not recorded.templates:
        raise none
    if not live:
        raise BadInput(_("Take the fingerprint now."), where="finger")
    result, _reasons = await office.verifications.at_desk(live, list(recorded.templates))
    if result is not Result.MATCH:
        raise BadInput(
            _("The fingerprint does not match what is enrolled."), where="finger", mend=_("Take it again, or another finger.")
        )


def _proof(body: ActForm) -> Proof:
    if body.proof not in PROOFS:
        raise BadInput(_("Choose the proof."), where="proof")
    return Proof[body.proof]


async def _hold_back(office: Office, act: Act, document: Known, body: ActForm, case: str) -> Recorded:
    if not body.days.strip().isdigit() or not 1 <= int(body.days) <= HOLD_DAYS_MAX:
        raise BadInput(_("Give the days as a number from 1 to 366."), where="days")
    until_us = office.now_us() + int(body.days) * DAY_US
    held = await office.citizens.hold(act, document, case=case, until_us=until_us)
    return Recorded(position=await office.searches.last_position(), state="", id=held, changed=True)


async def _replace(
    office: Office, act: Act, old: Known, shown: SearchShown, place: int, body: ActForm, at_us: int, evidence: str
) -> Recorded:
    found = one_of(shown, place)
    scheme = _scheme_of(found)
    number = plain(body.number, "/document/number") or (found.number if scheme.bears_personal_number else "")
    if not number:
        raise BadInput(_("Type the number of the new document."), where="number")
    if not body.valid_from.strip() and scheme.discriminated:
        raise BadInput(_("Type from when the new document is valid."), where="valid_from")
    fields = scheme.fields_of_row(found.coverage, found.kind, number)
    fields.valid_from, fields.valid_until = body.valid_from.strip() or None, body.valid_until.strip() or None
    new = parse_document(fields)
    person = next((each.person.personal_number for each in shown.persons if each.place == found.person), None)
    return await office.register.replace(act, old, new, happened_at_us=at_us, person_number=person, evidence=evidence)
