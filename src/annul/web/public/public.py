"""Show what everybody may see: the first page, a receipt's proof, yearly figures, health, and what a problem means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from markupsafe import Markup

from annul import __version__
from annul.errors import AnnulError, BadInput, NotFound, VerificationFailed
from annul.proof import receipt as receipts
from annul.web.api import operation
from annul.web.api.receipts import verified
from annul.web.door import pages, plots, words
from annul.web.door.call import Call, Reply
from annul.web.door.forms import Form
from annul.web.door.names import organisation
from annul.web.door.problem import PROBLEMS
from annul.web.door.session import SIGN_IN
from annul.web.door.words import _

if TYPE_CHECKING:
    from annul.web.door.office import Office

RECEIPT_BYTES_MAX: Final = 16 * 1024
"""Longest receipt that is read; a receipt of a window of 65,536 leaves has under 2 KiB."""


async def sign_out(_office: Office, call: Call) -> Reply:
    """End the session of this browser, and every copy of its cookie; if asked, those of every other device too."""
    kind = call.seat.session.kind if call.seat.session is not None else ""
    await call.seat.leave(everywhere=call.body.get("everywhere") == "yes")
    return pages.to({"clerk": SIGN_IN["clerk"], "officer": SIGN_IN["officer"]}.get(kind, "/"))


async def robots(_office: Office, _call: Call) -> Reply:
    """Tell search engines which pages are for them: those for everybody."""
    closed = "".join(f"Disallow: {path}\n" for path in ("/my", "/desk", "/counter", "/oversight", "/undo/", "/report/", "/v1/"))
    return Reply(f"User-agent: *\n{closed}".encode(), "text/plain; charset=utf-8")


async def start(office: Office, call: Call) -> Reply:
    """Show the first page: one sentence and three doors."""
    return pages.page(call, "public/start.html", hours=office.settings.provisional_hours, telephone=office.settings.telephone)


async def safety(_office: Office, call: Call) -> Reply:
    """Say how a card and its number are kept safe, what a check may ask, and what to do when a copy was misused."""
    return pages.page(call, "public/safety.html")


async def figures(office: Office, call: Call) -> Reply:
    """Show the yearly counts: checks, hits, wrong answers, reports, disputes."""
    translate = pages.translator(call)
    made_at_us, years = await office.oversight.years()
    labels = [str(year.year) for year in years]
    year_word = translate(_("Year"))
    reports = [sum(year.reports.values()) for year in years]
    drawn = [
        plots.columns(
            translate(_("Reports of lost, stolen and found documents")),
            labels,
            reports,
            name=translate(_("Reports (lost, stolen, found)")),
            first_column=year_word,
        ),
        plots.columns(
            translate(_("Checks")), labels, [year.checks for year in years], name=translate(_("Checks")), first_column=year_word
        ),
    ]
    rows = [
        [
            str(year.year),
            pages.count(year.checks),
            pages.count(year.stops),
            _share(year.stops, year.checks),
            pages.count(year.recalled),
            _share(year.recalled, year.stops),
            pages.count(year.unanswered),
        ]
        for year in reversed(years)
    ]
    settled = [
        [
            str(year.year),
            pages.count(sum(year.reports.values())),
            pages.count(year.found),
            pages.count(year.disputes),
            pages.count(year.corrected),
            _share(year.corrected, year.disputes),
        ]
        for year in reversed(years)
    ]
    return pages.page(
        call,
        "public/figures.html",
        made_at_us=made_at_us,
        drawn=drawn,
        rows=rows,
        settled=settled,
        listed=office.listings.position,
    )


def _share(part: int, whole: int) -> str:
    """Say a share as people compare it: in per cent, or 1 in so many when it is small."""
    if not whole:
        return "–"
    if not part:
        return "0 %"
    share = part / whole
    return f"{100 * share:.2g} %" if share >= 0.001 else f"1 : {round(1 / share):,}".replace(",", "\u202f")


async def status(office: Office, call: Call) -> Reply:
    """Show whether checks are answered now, how current the answers are, and what is sealed."""
    now = office.now_us()
    state = await operation.readyz(office, call)
    ready = (
        state if isinstance(state, operation.Readiness) else msgspec.json.decode(bytes(state.body), type=operation.Readiness)
    )
    health = await office.oversight.health() if ready.ready else None
    return pages.page(
        call,
        "public/status.html",
        ready=ready,
        days=_ninety(await office.oversight.days(), pages.translator(call)) if ready.ready else None,
        now_us=now,
        health=health,
        as_of_us=office.listings.as_of_us,
        age_s=max(0.0, (now - office.listings.as_of_us) / 1e6),
        live_ms=office.settings.freshness_live_ms,
        version=__version__,
    )


def _ninety(days: list[tuple[int, int, int]], translate: Any) -> plots.Figure:
    """Draw the share of checks that got an answer, day by day; a day without checks breaks the line."""
    shares = [None if not checks else 100 * (checks - unanswered) / checks for _day, checks, unanswered in days]
    series = [plots.Series(translate(_("Answered, in per cent")), shares, plots.OUTCOME_SHADES["PASS"])]
    labels = [pages.day(day)[5:] for day, _checks, _unanswered in days]
    return plots.lines(
        translate(_("Share of checks answered, last 90 days")), labels, series, unit="%", first_column=translate(_("Day"))
    )


async def problem(_office: Office, call: Call) -> Reply:
    """Explain one kind of problem to a developer who followed its `type`."""
    kind = PROBLEMS.get(call.path["code"])
    if kind is None:
        raise NotFound("There is no such problem.")
    translate = pages.words(call.request).gettext
    return pages.page(
        call,
        "problem.html",
        title=translate(kind.title),
        detail="",
        mend=translate(kind.mend) if kind.mend else "",
        code=call.path["code"],
        error=kind.error or "",
        http=kind.status,
    )


async def receipt_page(_office: Office, call: Call) -> Reply:
    """Show the box for a receipt."""
    return pages.page(call, "public/receipt.html", proved=False, failed=False, step=0)


class ReceiptForm(msgspec.Struct, forbid_unknown_fields=True):
    """Form of the receipt page."""

    receipt: str


async def receipt_answer(office: Office, call: Call) -> Reply:
    """Show whether a pasted receipt is proved; the seal appears only then."""
    text = call.body.receipt.strip()
    translate = pages.words(call.request).gettext
    try:
        pasted = _pasted(text)
        says = verified(office, pasted)
    except AnnulError as error:
        step = error.step if isinstance(error, VerificationFailed) else 0
        form = Form({"receipt": text})
        form.refuse("receipt", translate(_("This receipt is not proved.")) + " " + translate(error.message))
        return pages.page(call, "public/receipt.html", status=422, form=form, proved=False, failed=True, step=step)
    details = [(name.replace("_", " "), ", ".join(value) if isinstance(value, list) else value) for name, value in says.items()]
    shown: dict[str, Any] = {"outcome": says["outcome"], "facts": _facts(office, says, translate), "every": details}
    own: dict[str, Any] = {"receipt": msgspec.json.encode(pasted).decode(), "keys": "\n".join(office.keys.public_lines())}
    return pages.page(call, "public/receipt.html", proved=True, failed=False, step=0, **shown, **own)


async def receipt_verifier(office: Office, call: Call) -> Reply:
    """Hand out the verifier as one page to keep: it checks receipts without a network, and shows the keys it trusts."""
    code = Markup(pages.static_text("verify.mjs"))  # noqa: S704 - our own file; a test holds that it ends no script
    headers = {"content-disposition": 'attachment; filename="annul-verifier.html"'}
    lines = "\n".join(office.keys.public_lines())
    return pages.page(call, "public/verifier.html", headers=headers, code=code, keys=lines)


def _facts(office: Office, says: dict[str, Any], translate: Any) -> list[tuple[str, str]]:
    """Say the main facts of a verified receipt in the words of the screens."""
    codes = " ".join(says[axis] for axis in ("status", "identity", "binding", "freshness") if says[axis])
    shown = {
        "answer": f"{translate(words.WORDS[says['outcome']])} ({codes})",
        "reason": translate(words.CLASSES.get(says["status_class"], "")),
        "checked_at": says["checked_at"].replace("T", " ").replace("Z", " UTC"),
        "party": organisation(office, says["party"]),
        "purpose": f"{translate(words.PURPOSES[says['purpose']])}, {translate(words.CHANNELS[says['channel']])}",
        "next": " ".join(words.next_steps(says["advice"], says["scheme"], translate)),
        "as_of": says["as_of"].replace("T", " ").replace("Z", " UTC") + f" (#{says['position']})",
        "check": says["check"],
    }
    return [(translate(words.FACTS[name]), text) for name, text in shown.items() if text]


def _pasted(text: str) -> dict[str, Any]:
    """Read a receipt: its JSON, a whole answer that holds one, or the compact text of a QR code with or without its address."""
    if receipts.COMPACT_PREFIX in text:
        return receipts.to_json(receipts.from_compact(text))
    try:
        read = msgspec.json.decode(text.encode(), type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeError):
        raise BadInput("This is not a receipt: it is not one JSON object, from the first brace to the last.") from None
    inner = read.get("receipt")
    return inner if isinstance(inner, dict) else read
