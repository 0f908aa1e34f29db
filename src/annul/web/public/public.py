"""What everybody may see: the first page, keys, a receipt's proof, health, counts, and what a problem means."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any, Final

import msgspec

from annul import __version__, metrics
from annul.errors import AnnulError, BadInput, Forbidden, NotFound, VerificationFailed
from annul.home import Home
from annul.proof import receipt as receipts
from annul.proof.checkpoint import Verifier
from annul.records.policy import DEFAULT_POLICY
from annul.web.door import pages, plots, words
from annul.web.door.call import Call, Reply
from annul.web.door.forms import Form
from annul.web.door.problem import PROBLEMS
from annul.web.door.words import _

if TYPE_CHECKING:
    from annul.web.door.office import Office

RECEIPT_BYTES_MAX: Final = 16 * 1024
"""Longest receipt that is read; a receipt of a window of 65,536 leaves has under 2 KiB."""


class PublicKey(msgspec.Struct):
    """One public key: `vkey` is the C2SP verifier key (name+id+base64)."""

    name: str
    use: str
    vkey: str


class PublicKeys(msgspec.Struct):
    """All public keys of this register; receipts and logs verify with these alone."""

    keys: list[PublicKey]


class ReceiptQuestion(msgspec.Struct, forbid_unknown_fields=True):
    """A receipt to verify, as it stood in the answer."""

    receipt: dict[str, Any]


class Proved(msgspec.Struct):
    """A receipt that holds: every step of the recipe passed, and `says` is what it proves, in words."""

    proved: bool
    says: dict[str, Any]


class Alive(msgspec.Struct):
    """The process answers."""

    alive: bool
    version: str


class Readiness(msgspec.Struct):
    """Whether checks can be answered.

    Args:
        ready: checks are answered; without the database they go on from the table, and say so in their freshness.
        missing: what keeps checks from being answered, each with its next step.
        warnings: what is wrong while checks go on.
        position: register position the table has applied.
    """

    ready: bool
    missing: list[str]
    warnings: list[str]
    position: int


_USES: Final = {"annul/receipts": "receipts", "annul/register": "register log", "annul/checks": "check log"}


async def start(office: Office, call: Call) -> Reply:
    """Show the first page: one sentence and three doors."""
    return pages.page(call, "public/start.html", hours=office.settings.provisional_hours)


async def figures(office: Office, call: Call) -> Reply:
    """Show the yearly counts: checks, hits, wrong answers, reports, disputes."""
    translate = pages.translator(call)
    made_at_us, years = await office.oversight.years()
    labels = [str(year.year) for year in years]
    year_word = translate(_("Year"))
    reports = [sum(year.reports.values()) for year in years]
    drawn = [
        plots.columns(
            translate(_("Reports of lost, stolen and found documents")), labels, reports, name=translate(_("Reports")),
            first_column=year_word,
        ),
        plots.columns(
            translate(_("Checks")), labels, [year.checks for year in years], name=translate(_("Checks")), first_column=year_word
        ),
    ]  # fmt: skip
    rows = [
        [
            str(year.year), pages.count(year.checks), pages.count(year.stops), _share(year.stops, year.checks),
            pages.count(year.recalled), _share(year.recalled, year.stops), pages.count(year.unanswered),
        ]
        for year in reversed(years)
    ]  # fmt: skip
    settled = [
        [
            str(year.year), pages.count(sum(year.reports.values())), pages.count(year.found), pages.count(year.disputes),
            pages.count(year.corrected), _share(year.corrected, year.disputes),
        ]
        for year in reversed(years)
    ]  # fmt: skip
    return pages.page(
        call, "public/figures.html", made_at_us=made_at_us, drawn=drawn, rows=rows, settled=settled,
        listed=office.listings.position,
    )  # fmt: skip


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
    state = await readyz(office, call)
    ready = state if isinstance(state, Readiness) else msgspec.json.decode(bytes(state.body), type=Readiness)
    health = await office.oversight.health() if ready.ready else None
    return pages.page(
        call, "public/status.html", ready=ready, now_us=now, health=health, as_of_us=office.listings.as_of_us,
        age_s=max(0.0, (now - office.listings.as_of_us) / 1e6), live_ms=office.settings.freshness_live_ms, version=__version__,
    )  # fmt: skip


async def problem(_office: Office, call: Call) -> Reply:
    """Explain one kind of problem to a developer who followed its `type`."""
    kind = PROBLEMS.get(call.path["code"])
    if kind is None:
        raise NotFound("There is no such problem.")
    translate = pages.words(call.request).gettext
    return pages.page(
        call, "problem.html", title=translate(kind.title), detail="", mend=translate(kind.mend) if kind.mend else "",
        code=call.path["code"], error=kind.error or "", http=kind.status,
    )  # fmt: skip


async def keys(office: Office, _call: Call) -> PublicKeys:
    """Answer the public keys."""
    lines = office.keys.public_lines()
    named = [(line.partition("+")[0], line) for line in lines]
    return PublicKeys([PublicKey(name, _USES.get(name, name), line) for name, line in named])


def _verify(office: Office, receipt: dict[str, Any]) -> dict[str, Any]:
    """Run the numbered recipe over a receipt and say what it proves.

    Raises:
        VerificationFailed: with the failing step.
    """
    verifier = Verifier.parse(office.keys.receipt_signer().vkey)
    receipts.verify(receipt, verifier)
    return receipts.explain(receipt)


async def verify_receipt(office: Office, call: Call) -> Proved:
    """Verify a receipt with the register's public key alone."""
    return Proved(True, _verify(office, call.body.receipt))


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
        says = _verify(office, pasted)
    except AnnulError as error:
        step = error.step if isinstance(error, VerificationFailed) else 0
        form = Form({"receipt": text})
        form.refuse("receipt", translate(_("This receipt is not proved.")) + " " + translate(error.message))
        return pages.page(call, "public/receipt.html", status=422, form=form, proved=False, failed=True, step=step)
    details = [(name.replace("_", " "), ", ".join(value) if isinstance(value, list) else value) for name, value in says.items()]
    return pages.page(
        call, "public/receipt.html", proved=True, failed=False, step=0, outcome=says["outcome"],
        facts=_facts(says, translate), every=details,
    )  # fmt: skip


def _facts(says: dict[str, Any], translate: Any) -> list[tuple[str, str]]:
    """Say the main facts of a verified receipt in the words of the screens."""
    codes = " ".join(says[axis] for axis in ("status", "identity", "binding", "freshness") if says[axis])
    shown = {
        "answer": f"{translate(words.WORDS[says['outcome']])} ({codes})",
        "reason": translate(words.CLASSES.get(says["status_class"], "")),
        "checked_at": says["checked_at"].replace("T", " ").replace("Z", " UTC"),
        "party": says["party"],
        "purpose": f"{translate(words.PURPOSES[says['purpose']])}, {translate(words.CHANNELS[says['channel']])}",
        "next": " ".join(translate(words.NEXT[step]) for step in says["advice"]),
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


async def healthz(_office: Office, _call: Call) -> Alive:
    """Say that the process answers."""
    return Alive(True, __version__)


async def readyz(office: Office, _call: Call) -> Any:
    """Say whether checks can be answered, and what is missing if not."""
    listings = office.listings
    listings.refresh()
    missing, warnings = [], []
    age_ms = (office.now_us() - listings.as_of_us) // 1000
    behind = f"follower: the table is {age_ms / 1000:.0f} s behind the register; see `annul doctor`"
    if age_ms > DEFAULT_POLICY.copy_age_max_s * 1000:
        missing.append(behind)
    elif age_ms > office.settings.freshness_live_ms:
        warnings.append(behind)
    for part, fault in _faults(office.settings.home).items():
        (missing if part == "listings" else warnings).append(f"{part}: {fault.get('message')} ({fault.get('where')})")
    if office.checks is None:
        missing.append("check path: this process does not answer checks")
    state = Readiness(not missing, missing, warnings, listings.position)
    if missing:
        return Reply(msgspec.json.encode(state), "application/json", 503, {"retry-after": "1"})
    return state


def _faults(home: Home) -> dict[str, dict[str, str]]:
    """Return what the sealer found damaged, by part; it writes the file when there is something to say."""
    try:
        found: dict[str, dict[str, str]] = msgspec.json.decode(home.corrupt.read_bytes())
    except (OSError, msgspec.DecodeError):
        return {}
    return found


async def exposition(office: Office, call: Call) -> Reply:
    """Answer the counts in the Prometheus text format, to this machine or to all as the operator chose."""
    if not office.settings.metrics_public and not _from_here(call):
        mend = "The operator sets ANNUL_METRICS_PUBLIC=true to change that."
        raise Forbidden("Counts are shown to this machine only.", mend=mend)
    metrics.POSITION.set(office.listings.position)
    metrics.TABLE_AGE_SECONDS.set(max(0.0, (office.now_us() - office.listings.as_of_us) / 1e6))
    return Reply(metrics.exposition(), "text/plain; version=0.0.4; charset=utf-8")


def _from_here(call: Call) -> bool:
    """Tell whether the caller is this machine itself, and not a proxy on it that passes somebody else on."""
    client = call.request.client
    if client is None or "x-forwarded-for" in call.request.headers or "forwarded" in call.request.headers:
        return False
    try:
        return ipaddress.ip_address(client.host).is_loopback
    except ValueError:
        return False
