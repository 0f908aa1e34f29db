"""Report a loss without signing in, one question a page: document, number, name, what and when, check the answers, done.

    /report -> /report/{draft}/document -> number -> name -> event -> answers -> done          7 pages

The answers wait in a sealed draft (registry.drafts) that the browser's cookie opens, so that the back button, a second tab or a
lost connection lose nothing. The draft's id is the report's idempotency key: sent twice, it is one report.
"""

from __future__ import annotations

import os
import re
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
from joserfc.util import urlsafe_b64decode, urlsafe_b64encode
from litestar import Request
from litestar.datastructures import Cookie
from markupsafe import Markup

from annul import metrics
from annul.errors import AnnulError, BadInput, NotFound
from annul.records.document import Document, DocumentFields, parse_document
from annul.records.scheme import Typed
from annul.records.schemes import printed, scheme_of
from annul.records.schemes.icao_9303 import ICAO_9303
from annul.registry.citizen.drafts import KEPT_US, SECRET_BYTES
from annul.registry.notices.sources import PUBLIC
from annul.registry.notices.texts import grouped
from annul.registry.writing.act import Act, Idempotency
from annul.times import SECOND_US
from annul.web.citizen.words import DAYS, EVENTS, KINDS, REPORT_STATES, clock, isolated
from annul.web.door import pages
from annul.web.door.call import Call, Reply
from annul.web.door.clock import begin_of, day_of, today
from annul.web.door.forms import Form
from annul.web.door.telling import told
from annul.web.door.words import _

if TYPE_CHECKING:
    from annul.web.door.office import Office

STEPS: Final = ("document", "number", "name", "event", "answers")
TEXT_MAX: Final = 200
FIELDS: Final = {"holder": "name"} | dict.fromkeys(("valid_from", "document", "series", "mrz"), "number")
"""Last part of an error's `where` -> field of the form, where the names differ."""
_FOLLOWING: Final = dict(pairwise(STEPS))


class Begin(msgspec.Struct, forbid_unknown_fields=True):
    """Form of the first page."""


class DocumentStep(msgspec.Struct, forbid_unknown_fields=True):
    """Which kind of document it is."""

    kind: str = ""


class NumberStep(msgspec.Struct, forbid_unknown_fields=True):
    """Its number; who issued it, for travel documents."""

    number: str = ""
    issuer: str = ""


class NameStep(msgspec.Struct, forbid_unknown_fields=True):
    """The holder's name."""

    name: str = ""


class EventStep(msgspec.Struct, forbid_unknown_fields=True):
    """What happened, and when."""

    what: str = ""
    day: str = ""
    when: str = ""


class AnswersStep(msgspec.Struct, forbid_unknown_fields=True):
    """How to reach who reports; may be empty."""

    contact: str = ""


class Reference(msgspec.Struct, forbid_unknown_fields=True):
    """A reference number."""

    reference: str = ""


class Undo(msgspec.Struct, forbid_unknown_fields=True):
    """Form of the page that undoes a report: the button alone."""


# -- the browser's secret ----------------------------------------------------------------------------------------------------


def _secret_of(request: Request[Any, Any, Any], name: str) -> bytes | None:
    try:
        secret = urlsafe_b64decode(request.cookies.get(name, "").encode())
    except ValueError:
        return None
    return secret if len(secret) == SECRET_BYTES else None


def _cookie_name(office: Office) -> str:
    return "__Host-annul-report" if office.settings.https else "annul-report"


def _cookie(office: Office, secret: bytes) -> Cookie:
    return Cookie(
        _cookie_name(office),
        value=urlsafe_b64encode(secret).decode(),
        path="/",
        max_age=KEPT_US // SECOND_US,
        httponly=True,
        samesite="lax",
        secure=office.settings.https,
    )


async def _answers(office: Office, call: Call) -> tuple[dict[str, Any], bytes]:
    secret = _secret_of(call.request, _cookie_name(office))
    if secret is None:
        mend = "Nothing was reported. Begin again, or go on in the browser where you began."
        raise NotFound("This report was begun in another browser.", mend=mend)
    return await office.drafts.answers(call.path["draft"], secret, office.now_us()), secret


# -- the pages ---------------------------------------------------------------------------------------------------------------


async def first(office: Office, call: Call) -> Reply:
    """Say what a report does, with and without login."""
    hours = office.settings.provisional_hours
    login, telephone = bool(office.settings.login_issuer), office.settings.telephone
    return pages.page(call, "citizen/report/first.html", hours=hours, login=login, telephone=telephone)


async def no_number(office: Office, call: Call) -> Reply:
    """Say how a document is stopped whose number nobody knows: after signing in, at a desk, by telephone."""
    return pages.page(
        call,
        "citizen/report/no_number.html",
        points=await office.found.points(),
        telephone=office.settings.telephone,
        login=bool(office.settings.login_issuer),
    )


async def begin(office: Office, call: Call) -> Reply:
    """Begin a report: nothing is recorded yet."""
    secret = _secret_of(call.request, _cookie_name(office)) or os.urandom(SECRET_BYTES)
    draft = await office.drafts.begin(secret, {}, office.now_us())
    reply = pages.to(f"/report/{draft}/document")
    return Reply(reply.body, reply.media, reply.status, reply.headers, (_cookie(office, secret),))


async def step(office: Office, call: Call) -> Reply:
    """Show one question, with what was answered before."""
    answers, _ = await _answers(office, call)
    name = call.request.url.path.rpartition("/")[2]
    if answers.get("report"):  # it is sent: nothing can be changed any more
        return pages.to(f"/report/{call.path['draft']}/done")
    missing = _missing(answers, name)
    if missing:
        return pages.to(f"/report/{call.path['draft']}/{missing}")
    refused = answers.get("refused") or {}
    if refused.get("step") != name:
        return _question(office, call, name, answers, Form(answers | call.kept))
    answers |= refused["given"]
    form = Form(answers | call.kept)
    error = BadInput(refused["message"], where=refused["where"] or None, mend=refused["mend"] or None)
    return _question(office, call, name, answers, form.refused(error, pages.translator(call), FIELDS))


async def answer(office: Office, call: Call) -> Reply:
    """Take one answer and go to the next question; the last one sends the report."""
    answers, secret = await _answers(office, call)
    name = call.request.url.path.rpartition("/")[2]
    draft = call.path["draft"]
    if answers.get("report"):
        return pages.to(f"/report/{draft}/done")
    given = {field: str(value).strip()[:TEXT_MAX] for field, value in msgspec.structs.asdict(call.body).items()}
    changed = answers | given
    try:
        _require(name, changed, office.now_us())
        if name == "number" and "<" in changed["number"]:  # a pasted zone says what kind of document it is of
            changed["kind"] = f"icao-9303/{document_of(changed).kind}"
        if name == "answers":
            changed |= await _send(office, call, changed)
    except AnnulError as error:  # it is kept and shown after a redirect: Back and reload ask nothing
        where = (error.where or "").rpartition("/")[2]
        refused = {"step": name, "given": given, "message": error.message, "mend": error.mend or "", "where": where}
        await office.drafts.keep(draft, secret, answers | {"refused": refused}, office.now_us())
        return pages.to(f"/report/{draft}/{name}")
    changed.pop("refused", None)
    await office.drafts.keep(draft, secret, changed, office.now_us())
    return pages.to(f"/report/{draft}/{'done' if name == 'answers' else _FOLLOWING[name]}")


def _question(office: Office, call: Call, name: str, answers: dict[str, Any], form: Form, *, status: int = 200) -> Reply:
    place = STEPS.index(name)
    translate = pages.translator(call)
    draft = call.path["draft"]
    shown: dict[str, Any] = {"at": place + 1, "of": len(STEPS), "draft": draft}
    shown["back_to"] = f"/report/{draft}/{STEPS[place - 1]}" if place else "/report"
    shown["kinds"] = [(value, translate(text), translate(hint)) for value, text, hint in KINDS]
    shown["kind"] = answers.get("kind", "")
    shown["today"] = today(office.now_us()).isoformat()
    shown["days"] = [(value, translate(text)) for value, text in DAYS]
    shown["hours"] = office.settings.provisional_hours
    if name == "answers":
        what = EVENTS[f"report_{answers['what']}"]
        change = translate(_("Change"))
        rows = (
            (_("Document"), translate(next(text for kind, text, _hint in KINDS if kind == answers["kind"])), "document"),
            (_("Number"), _number(answers), "number"),
            (_("Holder"), answers["name"], "name"),
            (_("What happened"), f"{translate(what)}, {answers['on']}", "event"),
        )
        shown["rows"] = [(translate(text), value, f"/report/{draft}/{field}", change) for text, value, field in rows]
    return pages.page(call, f"citizen/report/{name}.html", form=form, status=status, **shown)


def _number(answers: dict[str, Any]) -> Markup:
    """Return the number as it is printed, in the face and direction of numbers."""
    text = document_of(answers).number if "<" in answers["number"] else re.sub(r"[\s-]", "", answers["number"]).upper()
    return Markup('<span class="number" dir="ltr">{}</span>').format(printed(text, answers["kind"]))


def _missing(answers: dict[str, Any], name: str) -> str:
    """Return the first question before this one that has no answer yet."""
    for earlier in STEPS[: STEPS.index(name)]:
        field = {"document": "kind", "event": "what"}.get(earlier, earlier)
        if not answers.get(field):
            return earlier
    return ""


def _require(name: str, answers: dict[str, Any], now_us: int) -> None:
    """Refuse an answer that cannot be one, beside its field; a day is kept as it is read."""
    if name == "document" and answers["kind"] not in {kind for kind, _text, _hint in KINDS}:
        raise BadInput(_("Choose which document it is."), where="kind")
    if name == "number":
        document_of(answers)
    if name == "name" and not answers["name"]:
        raise BadInput(_("Type the holder's name, as on the document."), where="name")
    if name == "event":
        if answers["what"] not in ("lost", "stolen"):
            raise BadInput(_("Choose what happened."), where="what")
        answers["on"] = chosen_day(answers["day"], answers["when"], now_us).isoformat()


def chosen_day(day: str, when: str, now_us: int) -> date:
    """Return the day of two fields: a word of `DAYS`, and what was typed for another day; what was typed counts.

    Raises:
        BadInput: what was typed is no day, or one in the future.
    """
    return day_of(when if when.strip() or day not in ("today", "yesterday") else day, now_us)


def document_of(answers: dict[str, Any]) -> Document:
    """Read the document from the answers; spaces and a pasted zone are fine.

    Raises:
        BadInput, MalformedNumber: it cannot be one of this kind; `where` is the form's field.
    """
    typed, kind = str(answers.get("number", "")), str(answers.get("kind", ""))
    lines = [line.strip().replace(" ", "") for line in typed.upper().splitlines() if line.strip()]
    if "<" in typed:
        return parse_document(DocumentFields(ICAO_9303.name, mrz=lines))
    if not typed.strip():
        raise BadInput(_("Type the number of the document."), where="number")
    scheme = scheme_of(kind)
    if scheme is None:
        raise BadInput(_("Choose which document it is."), where="kind")
    return parse_document(scheme.fields_of_typed(Typed(typed, kind, str(answers.get("issuer", "")))))


async def _send(office: Office, call: Call, answers: dict[str, Any]) -> dict[str, Any]:
    """Send the report; return what its last page says. The clock is read when the check path refuses: that is measured."""
    now = office.now_us()
    happened = begin_of(day_of(answers["on"], now))
    wanted = msgspec.json.encode({name: answers.get(name) for name in ("kind", "number", "issuer", "name", "what", "on")})
    act = Act(PUBLIC, idempotency=Idempotency.of(PUBLIC, call.path["draft"], b"/report", wanted))
    recorded = await office.provisional.report(
        act,
        document_of(answers),
        answers["name"],
        answers["what"],
        happened_at_us=min(happened, now),
        address=caller(office, call.request),
        contact=answers.get("contact", ""),
    )
    refused_at = office.now_us()
    if not recorded.replayed:
        metrics.REPORTS.labels(answers["what"]).inc()
        metrics.REFUSED_AFTER_SECONDS.observe(recorded.effective_after_us / 1e6)
    view = await office.register.view(recorded.id, "live")
    return {
        "report": recorded.id,
        "recorded_at_us": view.recorded_at_us,
        "refused_at_us": refused_at,
        "points": check_points(office),
        "lapses_at_us": recorded.lapses_at_us,
        "number": "",
        "name": "",
    }


async def done(office: Office, call: Call) -> Reply:
    """Show the seal: since when the card is refused, until when it can be undone, and the reference."""
    answers, _ = await _answers(office, call)
    if not answers.get("report"):
        return pages.to(f"/report/{call.path['draft']}/document")
    shown = await sealed(office, call, answers)
    undo = office.undo.code(answers["report"]) if shown["told"].undoable else ""
    return pages.page(call, "citizen/report/done.html", **shown, undo=undo, qr=_code(f"{office.settings.base_url}/undo/{undo}"))


def _code(address: str) -> Markup:
    """Return an address as QR code, for a letter; its words stand beside it."""
    import segno

    drawn = segno.make(address, error="m", micro=False).svg_inline(scale=3, light="#fff", dark="#000", border=4, svgclass="qr")
    return Markup(drawn)  # noqa: S704 - drawn by segno from an address of ours


async def sealed(office: Office, call: Call, kept: dict[str, Any]) -> dict[str, Any]:
    """Return what the last page of a report says: what it changed, and what stands at this moment."""
    effect = await office.register.effect(kept["report"], "live")
    said = told(effect, pages.translator(call), clock)
    return {
        "told": said,
        "stolen": effect.report.event == "report_stolen",
        "refused_at": clock(kept["refused_at_us"], milliseconds=True),
        "points": kept["points"],
        "devices": await office.verifiers.refusing(effect.report.position),
        "lapses_at": clock(effect.report.lapses_at_us) if effect.report.lapses_at_us else "",
        "reference": isolated(grouped(kept["report"])),
        "hours": office.settings.provisional_hours,
        "address": office.settings.base_url,
    }


def check_points(office: Office) -> int:
    """Return how many check points share the table that refuses: the workers of this machine that run now."""
    try:
        state = msgspec.json.decode((Path(office.settings.home) / "run" / "annul.json").read_bytes())
        running = [pid for name, pid in state["roles"].items() if name.startswith("worker-") and Path(f"/proc/{pid}").exists()]
    except (OSError, msgspec.MsgspecError, KeyError, AttributeError):
        running = []
    return max(1, len(running))


def caller(office: Office, request: Request[Any, Any, Any]) -> str:
    """Return the address of who asks: the caller's own, or what the operator's proxies saw."""
    hops = office.settings.proxies
    if hops:
        seen = [part.strip() for part in request.headers.get("x-forwarded-for", "").split(",")]
        if len(seen) >= hops and seen[-hops]:
            return seen[-hops]
    return request.client.host if request.client is not None else ""


# -- afterwards --------------------------------------------------------------------------------------------------------------


async def undo_page(office: Office, call: Call) -> Reply:
    """Ask once whether a report shall be undone."""
    report = office.undo.report(call.path["code"])
    view = await office.register.view(report, "live")
    return pages.page(call, "citizen/report/undo.html", **await _state(office, call, view.id), path_code=call.path["code"])


async def undo(office: Office, call: Call) -> Reply:
    """Undo a provisional report in one step; a second click finds it undone."""
    report = office.undo.report(call.path["code"])
    view = await office.register.view(report, "live")
    if view.state == "provisional":
        await office.citizens.undo(Act(PUBLIC), report)
    return pages.to(f"/undo/{call.path['code']}")


async def state_page(_office: Office, call: Call) -> Reply:
    """Ask for a reference number."""
    return pages.page(call, "citizen/report/state.html", form=Form(call.kept))


async def state(office: Office, call: Call) -> Reply:
    """Say what became of a report; nothing of the document or of who reported it."""
    form = Form.sent(call.body)
    translate = pages.translator(call)
    typed = re.sub(r"[^0-9A-Za-z]", "", call.body.reference).lower().removeprefix("r")
    if not re.fullmatch(r"[0-9a-f]{24}", typed):
        form.refuse(
            "reference",
            translate(_("A reference begins with R and has six groups of four characters. Compare it with your message.")),
        )
        return pages.page(call, "citizen/report/state.html", form=form, status=400)
    try:
        view = await office.register.view(f"r_{typed}", "live")
    except NotFound:
        form.refuse("reference", translate(_("There is no report with this reference. Compare it with your message.")))
        return pages.page(call, "citizen/report/state.html", form=form, status=404)
    return pages.page(call, "citizen/report/state.html", form=Form(), **await _state(office, call, view.id))


async def _state(office: Office, call: Call, report: str) -> dict[str, Any]:
    translate = pages.translator(call)
    effect = await office.register.effect(report, "live")
    view = effect.report
    return {
        "told": told(effect, translate, clock),
        "still_stopped_by": len(effect.others),
        "reference": isolated(grouped(view.id)),
        "state": view.state,
        "state_words": translate(REPORT_STATES[view.state]),
        "what": translate(EVENTS[view.event]),
        "recorded_at": clock(view.recorded_at_us),
        "lapses_at": clock(view.lapses_at_us) if view.lapses_at_us else "",
    }


async def found(office: Office, call: Call) -> Reply:
    """Say what to do with a found card, and where it is handed in."""
    return pages.page(call, "citizen/found.html", points=await office.found.points(), hours=office.settings.provisional_hours)
