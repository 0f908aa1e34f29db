"""The clerk's screen: one box, one answer, large, in colour and word and icon, with the next step. It works without a script.

The clerk signs in with the organisation's key once a day; the cookie then names the key by its id, and every check carries
branch, terminal and staff number. The answer comes from the same ask path as the API's. The number is in the body of the form
only; it is not kept, and not shown again after an answer: what a next step needs of it goes with the page, sealed.
"""

from __future__ import annotations

import contextlib
import hmac
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec

from annul.errors import AnnulError, BadInput, Forbidden, NotAuthorised, SourceDown
from annul.proof.receipt import from_compact, to_compact, to_json
from annul.proof.words import explain
from annul.records.check import Answer, Holder, Question, sentence, sentence_key
from annul.records.codes import BindingCode, FreshnessCode, IdentityCode, Outcome, Purpose, StatusCode
from annul.records.policy import DEFAULT_POLICY
from annul.records.references import REFERENCE, TAG_MAX, require_reference
from annul.registry.counter.departures import REASONS
from annul.web.counter import reading, sealing
from annul.web.counter.reading import EMPTY, CheckForm, fields_of
from annul.web.counter.words import REASON_WORDS
from annul.web.door import pages
from annul.web.door.call import Call, Reply
from annul.web.door.clock import local, moment
from annul.web.door.forms import Form
from annul.web.door.problem import problem_of
from annul.web.door.session import LAST_MAX
from annul.web.door.words import CLASSES, KINDS, PURPOSES, WORDS, _, next_steps

if TYPE_CHECKING:
    from annul.registry.parties.parties import Principal
    from annul.web.door.office import Office

READ_AGAIN: Final = {
    StatusCode.U31.value: _("Read the date again from which the card is valid, and type it here."),
    StatusCode.U32.value: _("Compare number and dates with the document, and mend them here."),
    StatusCode.U33.value: _("Read the number again, and mend it here."),
}
"""Answers that may come from a slip of the finger: what was typed stays, and this is the first next step."""

CONNECT: Final = "http://127.0.0.1:*"
"""Where the counter's page may fetch from besides the register: the station beside the browser."""
PHOTO_BYTES_MAX: Final = 16 << 20

__all__ = ["CheckForm", "SignIn", "answer_page", "check", "counter", "fields_of", "photo", "sign_in", "sign_in_page"]


Told = Annotated[str, msgspec.Meta(extra=REFERENCE)]
"""A reference whose length is told beside its field."""


class SignIn(msgspec.Struct, forbid_unknown_fields=True):
    """Form of the sign-in page."""

    key: str
    clerk: Told
    branch: Told = ""
    terminal: Told = ""


# -- answers in words --------------------------------------------------------------------------------------------------------


def shown(answer: Answer, now_us: int, translate: Any) -> dict[str, Any]:
    """Say an answer in the clerk's words: outcome, one sentence, next steps, and the small print for the telephone."""
    age_s = max(0.0, now_us / 1e6 - datetime.fromisoformat(answer.freshness.as_of).timestamp())
    live = translate(_("live, %.1f s old")) if answer.freshness.code == "F0" else translate(_("copy, %.0f s old"))
    codes = [answer.status.code, answer.identity.code, answer.binding.code, answer.freshness.code]
    return _told(
        answer.outcome,
        answer.detail,
        answer.advice,
        answer.status.class_,
        codes,
        answer.freshness.as_of,
        live % age_s,
        answer.check,
        to_compact(answer.receipt) if answer.receipt else "",
        translate,
    )


def shown_again(receipt: str, translate: Any) -> dict[str, Any]:
    """Say an answer again from its receipt (compact text), as `shown` did.

    Raises:
        VerificationFailed: this is no receipt.
    """
    says = explain(from_compact(receipt))
    outcome, status = Outcome[says["outcome"]], StatusCode[says["status"]]
    identity, binding = IdentityCode[says["identity"]], BindingCode[says["binding"]]
    codes = [says["status"], says["identity"], says["binding"], says["freshness"]]
    freshness = FreshnessCode[says["freshness"]]
    detail = sentence(sentence_key(outcome, status, identity=identity, binding=binding, freshness=freshness))
    asked = translate(_("asked at %s")) % _utc(says["checked_at"])
    return _told(
        outcome.value,
        detail,
        says["advice"],
        says["status_class"],
        codes,
        says["as_of"],
        asked,
        says["check"],
        receipt,
        translate,
    )


def _told(
    outcome: str,
    detail: str,
    advice: list[str],
    status_class: str | None,
    codes: list[str | None],
    as_of: str,
    age: str,
    check: str,
    receipt: str,
    translate: Any,
) -> dict[str, Any]:
    small = [translate(_("as of %s")) % _utc(as_of), age]
    if status_class in CLASSES:
        small.insert(0, translate(CLASSES[status_class]))
    asked = {"M9", "B9"}  # not asked, not done: nothing to say on the telephone
    small.append(translate(_("for the telephone: %s")) % " ".join(code for code in codes if code and code not in asked))
    return {
        "outcome": outcome,
        "word": translate(WORDS[outcome]),
        "means": translate(detail),
        "next": next_steps(advice, explain(from_compact(receipt))["scheme"] if receipt else None, translate),
        "small": small,
        "advice": list(advice),
        "check": spoken(check),
        "receipt": receipt,
    }


def spoken(check: str) -> str:
    """Return the beginning of a check's id in groups of four, as it is read out on the telephone."""
    return "-".join(check[at : at + 4] for at in range(0, min(len(check), 16), 4)).upper()


def no_answer(error: str, translate: Any) -> dict[str, Any]:
    """Say that there is no answer, which is never a yes."""
    small = translate(_("for the telephone: %s")) % error
    told = _told(Outcome.NO_ANSWER.value, sentence(f"NO_ANSWER.{error}"), ["A1"], None, [], "", "", "", "", translate)
    return told | {"small": [small]}


def _utc(at: str) -> str:
    return moment(round(datetime.fromisoformat(at).timestamp() * 1e6)) if at else ""


# -- the screen --------------------------------------------------------------------------------------------------------------


async def counter(office: Office, call: Call) -> Reply:
    """Show the empty counter."""
    kept = {name: call.kept[name] for name in EMPTY if name in call.kept}
    return await screen(office, call, Form({**EMPTY, **kept}))


async def check(office: Office, call: Call) -> Reply:
    """Ask about the document typed into the form, and show the answer above an empty form."""
    form: CheckForm = call.body
    translate = pages.translator(call)
    try:
        question = question_of(call, form)
        answer = await ask(office, call.principal, question)
    except BadInput as error:
        return await screen(office, call, Form.sent(form).refused(error, translate, {"mrz": "mrz"}), status=400)
    except AnnulError as error:
        told = no_answer(str(problem_of(error).members.get("error", "E90")), translate)
        remember(office, call, told, form.purpose)
        return await screen(office, call, Form(EMPTY), answer=told)
    told = shown(answer, office.now_us(), translate)
    remember(office, call, told, question.purpose)
    sealed = sealing.seal_question(office, call.session, question)
    typed = None
    if answer.status.code in READ_AGAIN:
        told["next"].insert(0, translate(READ_AGAIN[answer.status.code]))
        typed = Form.sent(form)
    return await answer_page(office, call, told, sealed=sealed, answer=answer, typed=typed)


def remember(office: Office, call: Call, told: dict[str, Any], purpose: str) -> None:
    """Note time and outcome of a check in the session, nothing of the document."""
    at = f"{local(office.now_us()):%H:%M:%S}"
    last = [(at, str(told["outcome"])), *call.session.last][:LAST_MAX]
    call.seat.change(purpose=purpose or call.session.purpose, last=last)


def question_of(call: Call, form: CheckForm, **more: Any) -> Question:
    """Make the question of a form; the limits of the wire hold here too.

    Raises:
        BadInput: the form names no document, or a field is too long.
    """
    session, allowed = call.session, purposes_of(call.principal)
    purpose = form.purpose or session.purpose or (allowed[0] if allowed else "")
    agreement = call.principal.agreement
    name = " ".join(form.name.split()) if agreement is not None and agreement.identity_allowed else ""
    question = Question(
        document=fields_of(form),
        purpose=purpose,
        channel="in_person",
        branch=session.branch,
        terminal=session.terminal,
        clerk=session.clerk,
        reference=form.reference.strip(),
        urgent=form.urgent == "yes",
        holder=Holder(name) if name else None,
        **more,
    )
    return msgspec.convert(msgspec.to_builtins(question), Question)


async def ask(office: Office, principal: Principal, question: Question) -> Answer:
    """Ask on the path of every check."""
    if office.checks is None:
        raise SourceDown("This process has no check path.")
    return (await office.checks.ask(principal, question)).answer


def purposes_of(principal: Principal) -> list[str]:
    """Return the purposes the agreement allows, in the order of the list."""
    agreement = principal.agreement
    return [item.value for item in Purpose if agreement is not None and item.value in agreement.purposes]


async def answer_page(
    office: Office,
    call: Call,
    told: dict[str, Any],
    *,
    sealed: str = "",
    answer: Answer | None = None,
    form: Form | None = None,
    acted: str = "",
    typed: Form | None = None,
    status: int = 200,
) -> Reply:
    """Show an answer with what can be done about it, above the form for the next document.

    Args:
        told: as `shown` or `shown_again` gives it.
        sealed: the sealed question, for the comparison of bearer and holder.
        answer: the answer just given; follow-ups that concern it are looked up.
        form: a form of an act (departure, urgent need) that came back with errors.
        acted: name of that act.
        typed: what stays in the form of the next question; empty otherwise.
    """
    follow_ups: dict[str, Any] = {"closed": [], "overdue": []}
    if answer is not None and answer.receipt:
        with contextlib.suppress(AnnulError):  # the database is away: checks go on, the sealer settles when it is back
            follow_ups = await office.departures.concerning(call.principal, answer.receipt)
    translate = pages.translator(call)
    decision = "refused" if told["outcome"] == "PASS" else "proceeded"
    reasons = [(code, translate(REASON_WORDS[code])) for code in REASONS[decision]]
    return await screen(
        office,
        call,
        typed or Form(EMPTY),
        answer=told,
        kept=typed is not None,
        act=form or Form({}),
        acted=acted,
        decision=decision,
        reasons=reasons,
        sealed=sealed,
        closed=follow_ups["closed"],
        overdue=follow_ups["overdue"],
        status=status,
    )


async def screen(office: Office, call: Call, form: Form, *, status: int = 200, **values: Any) -> Reply:
    """Render the counter: an answer if there is one, and the form."""
    translate = pages.translator(call)
    inner = ("kind", "issuer", "mrz", "valid_until", "purpose", "reference")
    form.values["purpose"] = form["purpose"] or call.session.purpose
    form.values["open"] = any(form[name] for name in inner[:4]) or bool(set(form.errors) & set(inner))
    agreement = call.principal.agreement
    policy = call.principal.decisions.policy if call.principal.decisions else DEFAULT_POLICY
    given: dict[str, Any] = {
        "answer": None,
        "kept": False,
        "act": Form({}),
        "acted": "",
        "decision": "",
        "reasons": [],
        "sealed": "",
        "closed": [],
        "overdue": [],
    } | values
    asks = given["answer"]["advice"] if given["answer"] else []
    return pages.page(
        call,
        "counter/counter.html",
        status=status,
        form=form,
        **frame(call),
        **given,
        kinds=[(value, translate(text)) for value, text in KINDS],
        purposes=[(value, translate(PURPOSES[value])) for value in purposes_of(call.principal)],
        names=bool(agreement and agreement.identity_allowed),
        days=policy.urgent_need.follow_up_days,
        policy=policy,
        compares=bool(given["sealed"]) and office.verifications is not None and bool({"A3", "A4", "A9"} & set(asks)),
        queue_key=sealing.queue_public_key(office),
        now_us=office.now_us(),
        headers=pages.CAMERA | {"content-security-policy": _policy()},
    )


def frame(call: Call) -> dict[str, Any]:
    """Return what the frame of every page of the counter shows."""
    return {
        "training": call.principal.realm == "test",
        "home": "/counter",
        "place": call.session,
    }


def _policy() -> str:
    return pages.POLICY.replace("connect-src 'self'", f"connect-src 'self' {CONNECT}") + "; worker-src 'self'"


def receipt_of(text: str) -> dict[str, Any]:
    """Read a receipt as the pages carry it; VerificationFailed when it is none."""
    return to_json(from_compact(text))


# -- photographs -------------------------------------------------------------------------------------------------------------


async def photo(office: Office, call: Call) -> Reply:
    """Read a photo of a document into the form. It is a typing aid: the clerk compares it and asks. The picture is not kept."""
    translate = pages.translator(call)
    form = Form(EMPTY)
    try:
        texts, files = await reading.read_form(call, PHOTO_BYTES_MAX)
        require_token(call, texts)
        if "photo" not in files:
            raise BadInput(_("Take or choose a picture first."), where="photo")
        found = await reading.read_photo(files["photo"], texts.get("of", ""))
        form = Form(reading.typed_from(found))
    except Forbidden:
        raise
    except AnnulError as error:
        form.refuse("photo", " ".join(translate(part) for part in (error.message, error.mend or "") if part))
        return await screen(office, call, form, status=413 if error.code == "too-large" else 400)
    return await screen(office, call, form, read=True)


def require_token(call: Call, texts: dict[str, str]) -> None:
    """Refuse a form with files that was not made by a page of this session."""
    if not hmac.compare_digest(call.session.csrf.encode(), texts.get("csrf", "").encode()):
        raise Forbidden("The form is not of this session.", mend="Open the page again and send the form once more.")


# -- signing in --------------------------------------------------------------------------------------------------------------


async def sign_in_page(_office: Office, call: Call) -> Reply:
    """Show the sign-in form, in a session that names nobody yet."""
    return pages.page(call, "counter/sign_in.html")


async def sign_in(office: Office, call: Call) -> Reply:
    """Sign a clerk in with the organisation's key; the session is a new one."""
    form: SignIn = call.body
    translate = pages.translator(call)
    typed = Form({"branch": form.branch, "terminal": form.terminal, "clerk": form.clerk, "key": ""})
    if not form.clerk.strip():
        typed.refuse("clerk", translate(_("Type your staff number, at most 64 characters.")))
    for name in ("branch", "terminal", "clerk"):
        try:
            require_reference(getattr(form, name), name, most=TAG_MAX)
        except BadInput as refused:
            typed.refused(refused, translate)
    try:
        principal = office.parties.principal(form.key.strip())
        if principal.agreement is None:
            typed.refuse("key", translate(_("This key has no agreement for checks.")))
    except NotAuthorised:
        typed.refuse("key", translate(_("The key is not known here, or works no longer.")))
    if typed.errors:
        return pages.page(call, "counter/sign_in.html", form=typed, status=400)
    address = await call.seat.enter(
        "clerk",
        key_id=principal.key_id,
        branch=form.branch.strip(),
        terminal=form.terminal.strip(),
        clerk=form.clerk.strip(),
        realm=principal.realm,
    )
    return pages.to(address)
