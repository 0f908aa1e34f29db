"""The clerk's page: one box, one answer, large, in colour and word and icon, with the next step. It works without a script.

The clerk signs in with the organisation's key once a day; the cookie then names the key by its id, and every check carries
branch, terminal and staff number. The answer comes from the same ask path as the API's. The number is in the body of the form
only; it is not kept, and not shown again after an answer.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec
from litestar import Request

from annul.errors import AnnulError, BadInput, NotAuthorised, SourceDown
from annul.records.check import Answer, Question, sentence
from annul.records.codes import Outcome, Purpose
from annul.records.document import DocumentFields
from annul.registry.parties import Principal
from annul.web import pages
from annul.web.auth import LAST_MAX, Session, Sessions, signed_in
from annul.web.call import Call, Reply
from annul.web.problem import problem_of
from annul.web.words import CLASSES, KINDS, NEXT, PURPOSES, WORDS, _

if TYPE_CHECKING:
    from annul.web.office import Office


class SignIn(msgspec.Struct, forbid_unknown_fields=True):
    """Form of the sign-in page."""

    csrf: str
    key: str
    clerk: str
    branch: str = ""
    terminal: str = ""


class CheckForm(msgspec.Struct, forbid_unknown_fields=True):
    """Form of the counter page."""

    csrf: str
    number: str = ""
    valid_from: str = ""
    valid_until: str = ""
    kind: str = ""
    issuer: str = ""
    mrz: str = ""
    purpose: str = ""
    reference: str = ""


class SignOut(msgspec.Struct, forbid_unknown_fields=True):
    """Form of the sign-out button."""

    csrf: str


EMPTY: Final = {name: "" for name in CheckForm.__struct_fields__ if name != "csrf"}


def fields_of(form: CheckForm) -> DocumentFields:
    """Turn what the clerk typed into the fields of a document; the kind is told by the number where it can be.

    Raises:
        BadInput: nothing was typed, or the kind cannot be told; `where` is the form's field.
    """
    mrz = [line.strip().replace(" ", "") for line in form.mrz.upper().splitlines() if line.strip()]
    if mrz:
        return DocumentFields("icao-9303", mrz=mrz)
    number = form.number.strip()
    if not number:
        raise BadInput(_("Type the number of the document."), where="number")
    if "<" in number:
        raise BadInput(_("Type the lines at the foot of the document into their own box."), where="mrz")
    valid_from, valid_until = form.valid_from.strip() or None, form.valid_until.strip() or None
    kind = form.kind or _kind_of(re.sub(r"[\s-]", "", number))
    if kind == "cn-resident":
        return DocumentFields("cn-resident", number, valid_from=valid_from, valid_until=valid_until)
    if kind == "ru-internal":
        digits = re.sub(r"\D", "", number)
        return DocumentFields("ru-internal", digits[4:], series=digits[:4])
    if kind in ("icao-9303/P", "icao-9303/ID"):
        if not form.issuer.strip():
            raise BadInput(_("Say who issued the document: three letters."), where="issuer")
        return DocumentFields("icao-9303", number, issuer=form.issuer.strip().upper(), kind=kind.rpartition("/")[2])
    raise BadInput(_("Choose the kind of document."), where="kind")


def _kind_of(number: str) -> str:
    if re.fullmatch(r"\d{14,19}[Xx]?", number):
        return "cn-resident"
    return "ru-internal" if re.fullmatch(r"\d{9,11}", number) else ""


def shown(answer: Answer, now_us: int, translate: Any) -> dict[str, object]:
    """Say an answer in the clerk's words: outcome, one sentence, next steps, and the small print for the telephone."""
    age_s = max(0.0, now_us / 1e6 - datetime.fromisoformat(answer.freshness.as_of).timestamp())
    live = translate(_("live, %.1f s old")) if answer.freshness.code == "F0" else translate(_("copy, %.0f s old"))
    as_of = answer.freshness.as_of.replace("T", " ").replace("Z", " UTC")
    small = [translate(_("as of %s")) % as_of, live % age_s]
    if answer.status.class_ in CLASSES:
        small.insert(0, translate(CLASSES[answer.status.class_]))
    codes = " ".join(code for code in (answer.status.code, answer.freshness.code) if code)
    small.append(translate(_("for the telephone: %s")) % codes)
    return {
        "outcome": answer.outcome,
        "word": translate(WORDS[answer.outcome]),
        "means": translate(answer.detail),
        "next": [translate(NEXT[step]) for step in answer.advice],
        "small": small,
        "check": "-".join(answer.check[at : at + 4] for at in range(0, min(len(answer.check), 16), 4)).upper(),
        "receipt": msgspec.json.encode(answer.receipt).decode() if answer.receipt else "",
    }


def no_answer(error: str, translate: Any) -> dict[str, object]:
    """Say that there is no answer, which is never a yes."""
    return {
        "outcome": Outcome.NO_ANSWER.value,
        "word": translate(WORDS["NO_ANSWER"]),
        "means": translate(sentence(f"NO_ANSWER.{error}")),
        "next": [translate(NEXT["A1"])],
        "small": [translate(_("for the telephone: %s")) % error],
        "check": "",
        "receipt": "",
    }


async def counter(office: Office, call: Call) -> Reply:
    """Show the empty counter, or the way to sign in."""
    sessions = Sessions(office)
    session = sessions.read(call.request)
    principal = signed_in(office, session)
    if session is None or principal is None:
        return _to("/counter/sign-in")
    return _counter(call.request, session, principal)


async def check(office: Office, call: Call) -> Reply:
    """Ask about the document typed into the form, and show the answer above an empty form."""
    sessions = Sessions(office)
    session = sessions.hold(sessions.read(call.request), call.body.csrf)
    principal = signed_in(office, session)
    if principal is None:
        return _to("/counter/sign-in")
    form: CheckForm = call.body
    allowed = _purposes(principal)
    purpose = form.purpose or session.purpose or (allowed[0] if allowed else "")
    translate = pages.words(call.request).gettext
    typed = {name: getattr(form, name) for name in EMPTY}
    try:
        answer = await _ask(office, principal, session, form, purpose)
        told = shown(answer, office.now_us(), translate)
    except BadInput as error:
        where = (error.where or "").rpartition("/")[2]
        text = translate(error.message) + (f" {translate(error.mend)}" if error.mend else "")
        return _counter(call.request, session, principal, form=typed, error=text, where=where, status=400)
    except AnnulError as error:
        told = no_answer(str(problem_of(error).members.get("error", "E90")), translate)
    at = datetime.fromtimestamp(office.now_us() / 1e6, UTC).strftime("%H:%M:%S")
    last = [(at, str(told["outcome"])), *session.last][:LAST_MAX]
    session = msgspec.structs.replace(session, purpose=purpose, last=last)
    reply = _counter(call.request, session, principal, answer=told)
    return Reply(reply.body, reply.media, reply.status, reply.headers, (sessions.cookie(session),))


async def _ask(office: Office, principal: Principal, session: Session, form: CheckForm, purpose: str) -> Answer:
    question = Question(
        document=fields_of(form), purpose=purpose, channel="in_person", branch=session.branch,
        terminal=session.terminal, clerk=session.clerk, reference=form.reference.strip(),
    )  # fmt: skip
    if office.checks is None:
        raise SourceDown("This process has no check path.")
    checked = msgspec.convert(msgspec.to_builtins(question), Question)  # the limits of the wire hold here too
    return (await office.checks.ask(principal, checked)).answer


def _purposes(principal: Principal) -> list[str]:
    agreement = principal.agreement
    return [item.value for item in Purpose if agreement is not None and item.value in agreement.purposes]


def _counter(
    request: Request[Any, Any, Any],
    session: Session,
    principal: Principal,
    *,
    answer: dict[str, object] | None = None,
    form: dict[str, str] | None = None,
    error: str = "",
    where: str = "",
    status: int = 200,
) -> Reply:
    translate = pages.words(request).gettext
    values: dict[str, object] = dict(form or EMPTY)
    values["purpose"] = values["purpose"] or session.purpose
    values["open"] = any((form or EMPTY)[name] for name in ("kind", "issuer", "mrz", "valid_until")) or where in (
        "kind", "issuer", "mrz", "valid_until", "purpose", "reference",
    )  # fmt: skip
    return pages.render(
        request, "counter.html", status=status, session=session, csrf=session.csrf, answer=answer, form=values, error=error,
        where=where, training=principal.realm == "test", home="/counter",
        kinds=[(value, translate(text)) for value, text in KINDS],
        purposes=[(value, translate(PURPOSES[value])) for value in _purposes(principal)],
        words={outcome: translate(word) for outcome, word in WORDS.items()},
    )  # fmt: skip


async def sign_in_page(office: Office, call: Call) -> Reply:
    """Show the sign-in form, in a session that names nobody yet."""
    sessions = Sessions(office)
    session = sessions.fresh()
    return _sign_in(sessions, session, call.request)


async def sign_in(office: Office, call: Call) -> Reply:
    """Sign a clerk in with the organisation's key; the session is a new one."""
    sessions = Sessions(office)
    held = sessions.hold(sessions.read(call.request), call.body.csrf)
    form: SignIn = call.body
    translate = pages.words(call.request).gettext
    try:
        principal = office.parties.principal(form.key.strip())
        if principal.agreement is None:
            raise NotAuthorised(_("This key has no agreement for checks."))
        if not form.clerk.strip() or max(map(len, (form.clerk, form.branch, form.terminal))) > 64:
            raise NotAuthorised(_("Type your staff number, at most 64 characters."))
    except NotAuthorised as error:
        known = error.message if error.mend is None else _("The key is not known here, or works no longer.")
        return _sign_in(sessions, held, call.request, error=translate(known), form=form)
    session = msgspec.structs.replace(
        sessions.fresh(), key_id=principal.key_id, branch=form.branch.strip(), terminal=form.terminal.strip(),
        clerk=form.clerk.strip(),
    )  # fmt: skip
    reply = _to("/counter")
    return Reply(reply.body, reply.media, reply.status, reply.headers, (sessions.cookie(session),))


async def sign_out(office: Office, call: Call) -> Reply:
    """End the session of this browser."""
    sessions = Sessions(office)
    sessions.hold(sessions.read(call.request), call.body.csrf)
    reply = _to("/counter/sign-in")
    return Reply(reply.body, reply.media, reply.status, reply.headers, (sessions.gone(),))


def _sign_in(
    sessions: Sessions, session: Session, request: Request[Any, Any, Any], *, error: str = "", form: SignIn | None = None
) -> Reply:
    typed = {name: getattr(form, name, "") for name in ("branch", "terminal", "clerk")}
    status = 400 if error else 200
    cookies = (sessions.cookie(session),)
    return pages.render(request, "sign_in.html", status=status, cookies=cookies, csrf=session.csrf, error=error, **typed)


def _to(address: str) -> Reply:
    """Send the browser on with GET. Source: RFC 9110 section 15.4.4."""
    return Reply(b"", pages.HTML, 303, {"location": address})
