"""Show a supervisor how the register is: five numbers with target and sparkline, plots with their tables, lists behind them.

Without a script the page shows the state of its loading; with one it follows server-sent events. Each event carries the five
numbers as HTML made by the same template, so that there is one way to say a number.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, Final

import msgspec
from markupsafe import Markup

from annul.errors import AnnulError
from annul.records.codes import FreshnessCode, Outcome
from annul.registry.accounts.oversight import Health, Vital
from annul.times import DAY_US
from annul.web.desk.words import PROOFS
from annul.web.door import pages, plots
from annul.web.door.call import Call, Reply
from annul.web.door.clock import local, zone_name
from annul.web.door.names import names_of
from annul.web.door.words import WORDS, _

if TYPE_CHECKING:
    from annul.web.door.office import Office

PEAK_PER_SECOND: Final = 2_000
"""Checks a second to be ready for. Source: docs, planning size of a nation."""
REFUSED_S: Final = 1.0
"""Seconds within which 99 of 100 reports are refused everywhere."""
LIVE_EVERY_S: Final = 5.0
LIVE_FOR_S: Final = 600.0
"""A stream ends after ten minutes; the browser comes back by itself, and its session is asked again."""

SHARES: Final = (0.5, 0.9, 0.99, 0.999)
AGES: Final = ((1, _("1 day")), (7, _("1 week")), (30, _("30 days")), (10**6, _("older")))
"""Classes of age in days, each up to its limit."""
ROOMS: Final = (
    ("/oversight", _("Health")),
    ("/oversight/parties", _("Who checks")),
    ("/oversight/verifiers", _("Verifiers")),
    ("/oversight/disputes", _("Disputes")),
    ("/oversight/lapsed", _("Lapsed")),
    ("/oversight/notices", _("Notices")),
    ("/desk", _("Desk")),
)

NOTICE_KINDS: Final = {
    "reported": _("Loss or theft reported"),
    "suspended": _("Stopped for now"),
    "confirmed": _("Report confirmed"),
    "lapsed": _("Provisional report lapsed"),
    "withdrawn": _("Provisional report withdrawn"),
    "lifted": _("Report lifted"),
    "replaced": _("Replaced by a new document"),
    "revoked": _("Revoked"),
    "cancelled": _("Cancelled"),
    "compromised": _("Data known to others"),
    "found": _("Reported found"),
    "found_card_held": _("Found card held"),
    "found_card_handed_out": _("Found card given back"),
    "found_card_destroyed": _("Found card destroyed"),
    "returned": _("Given back to its holder"),
    "destroyed": _("Destroyed"),
    "locked": _("Locked by its holder"),
    "unlocked": _("Unlocked by its holder"),
    "unlocked_for": _("Unlocked for one purpose"),
    "dispute_opened": _("Dispute opened"),
    "dispute_received": _("Dispute received"),
    "dispute_decided": _("Dispute decided"),
    "dispute_closed": _("Dispute closed"),
    "corrected": _("Listing corrected"),
    "searched": _("Search by an officer"),
    "attempt": _("Stopped document tried"),
    "used_before_report": _("Used before the report"),
    "death_reported": _("Death reported"),
    "contacts_changed": _("Contact details changed"),
    "record_corrected": _("Register of persons corrected"),
    "recall": _("Answer recalled"),
    "attempt_not_mine": _("Use denied by the holder"),
    "follow_up_due": _("Follow-up overdue"),
    "misuse_decided": _("Misuse of a document established"),
    "misuse_upheld": _("Appeal about misuse not granted"),
    "misuse_ended": _("Entry about misuse ended"),
    "finding": _("Business without its check found"),
    "finding_decided": _("Finding decided"),
}
"""Kind of a notice -> its words; a test holds it to the kinds of the outbox."""
NOTICE_CHANNELS: Final = {"email": _("e-mail"), "sms": _("short message"), "webhook": _("call to the party's system")}

Translate = Callable[[str], str]


class VerifierQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Query of the list of verifiers: `stale` shows those alone whose newest answer was not live."""

    stale: str = ""


def _page(call: Call, template: str, **values: Any) -> Reply:
    translate = pages.translator(call)
    rooms_shown = [(href, translate(words)) for href, words in ROOMS]
    return pages.page(call, f"oversight/{template}", home="/oversight", rooms_shown=rooms_shown, **values)


async def overview(office: Office, call: Call) -> Reply:
    """Show the five numbers, outcomes over a day, percentiles and the disputes by age."""
    translate = pages.translator(call)
    health = await office.oversight.health()
    minutes = await office.oversight.outcomes()
    labels = [f"{local(minute.at_us):%H:%M}" for minute in minutes]
    series = [
        plots.Series(
            translate(WORDS[outcome.value]),
            [minute.counts.get(outcome.octet, 0) for minute in minutes],
            plots.OUTCOME_SHADES[outcome.value],
        )
        for outcome in Outcome
    ]
    outcomes = plots.lines(
        translate(_("Checks by outcome, every half hour of the last day (%(zone)s)")) % {"zone": zone_name()},
        labels,
        series,
        first_column=translate(_("Half hour from")),
    )
    counted = await office.oversight.disputes_by_age([limit for limit, _words in AGES[:-1]])
    by_age = plots.columns(
        translate(_("Open disputes by age")),
        [translate(words) for _limit, words in AGES],
        counted,
        name=translate(_("Disputes")),
        first_column=translate(_("Age")),
    )
    behind_s = max(0.0, (office.now_us() - office.listings.as_of_us) / 1e6)
    found = await office.oversight.percentiles(SHARES)
    percentiles = [[f"{100 * share:g} %", _seconds(value)] for share, value in found.items()]
    return _page(
        call,
        "overview.html",
        numbers=numbers(health, translate),
        at_us=health.at_us,
        outcomes=outcomes,
        by_age=by_age,
        percentiles=percentiles,
        age=f"{behind_s:.1f} s",
        position=office.listings.position,
    )


def numbers(health: Health, translate: Translate) -> list[dict[str, Any]]:
    """Say the five numbers that matter: value, words, target, sparkline, and the list behind each."""

    def said(name: str, vital: Vital, value: str, words: str, target: str, limit: float, **more: Any) -> dict[str, Any]:
        wrong = vital.value is not None and vital.value > limit
        return {
            "name": name,
            "value": value,
            "words": translate(words),
            "target": translate(target),
            "tone": "REFER" if wrong else "PASS" if vital.value is not None else "NO_ANSWER",
            "spark": plots.spark(translate(words), vital.past, target=_near(limit, vital)) if vital.past else "",
            **more,
        }

    rate, slow = health.checks_per_second, health.refused_p99_s
    return [
        said(
            "rate",
            rate,
            "–" if rate.value is None else f"{rate.value:,.1f}",
            _("checks a second"),
            _("ready for 2,000"),
            PEAK_PER_SECOND,
            href="/oversight/parties",
            action=translate(_("Who checks")),
        ),
        said(
            "refused",
            slow,
            _seconds(slow.value),
            _("from report to refusal, 99 of 100"),
            _("target: within 1 s"),
            REFUSED_S,
            href="/oversight#percentiles",
            action=translate(_("All percentiles")),
        ),
        said(
            "stale",
            health.stale,
            _whole(health.stale),
            _("stale verifiers"),
            _("target: 0"),
            0,
            href="/oversight/verifiers?stale=yes",
            action=translate(_("Which ones")),
        ),
        said(
            "overdue",
            health.overdue,
            _whole(health.overdue),
            _("disputes over their term"),
            _("target: 0"),
            0,
            href="/oversight/disputes",
            action=translate(_("Open disputes")),
        ),
        said(
            "undelivered",
            health.undelivered,
            _whole(health.undelivered),
            _("notices undelivered"),
            _("target: 0"),
            0,
            href="/oversight/notices",
            action=translate(_("Which ones")),
        ),
    ]


def _near(limit: float, vital: Vital) -> float | None:
    """Return a target that can be drawn without pressing the line flat."""
    most = max((value for value in vital.past if value is not None), default=0.0)
    return limit if 0 < limit <= 4 * most else None


def _whole(vital: Vital) -> str:
    return "–" if vital.value is None else f"{vital.value:.0f}"


def _seconds(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s"


async def live(office: Office, call: Call) -> Reply:
    """Send the five numbers again and again, until the page is left."""
    return Reply(_events(office, call), "text/event-stream", headers={"cache-control": "no-store", "x-accel-buffering": "no"})


async def _events(office: Office, call: Call) -> AsyncIterator[bytes]:
    translate = pages.translator(call)
    for _turn in range(int(LIVE_FOR_S / LIVE_EVERY_S)):
        try:
            health = await office.oversight.health()
        except AnnulError:
            yield b"event: lost\ndata: \n\n"
        else:
            shown = pages.render(call.request, "oversight/numbers.html", numbers=numbers(health, translate), at_us=health.at_us)
            lines = bytes(shown.body).decode().splitlines()  # type: ignore[arg-type]
            yield ("".join(f"data: {line}\n" for line in lines) + "\n").encode()
        await asyncio.sleep(LIVE_EVERY_S)


async def verifiers(office: Office, call: Call) -> Reply:
    """List the terminals that asked within a day, and how fresh their newest answer was."""
    translate = pages.translator(call)
    stale = call.query.stale == "yes"
    fresh = {code.octet: code.value for code in FreshnessCode}
    said = {"F0": translate(_("live")), "F1": translate(_("copy within its age limit")), "F2": translate(_("older copy"))}
    rows = [
        [
            one.party,
            one.branch or "–",
            one.terminal or "–",
            pages.moment(one.seen_at_us),
            said.get(fresh.get(one.freshness, ""), "–"),
            pages.count(one.position),
        ]
        for one in await office.oversight.verifiers(stale=stale)
    ]
    devices = [
        [
            one.name,
            one.party,
            translate(_("follows live")) if one.connected else translate(_("away")),
            pages.moment(one.heard_at_us) if one.heard_at_us else translate(_("never")),
            pages.count(one.position),
            pages.count(one.behind),
            _seconds(one.p50_ms and one.p50_ms / 1000),
            _seconds(one.p99_ms and one.p99_ms / 1000),
        ]
        for one in await office.verifiers.devices()
    ]
    return _page(call, "verifiers.html", rows=rows, stale=stale, devices=devices)


async def disputes(office: Office, call: Call) -> Reply:
    """List the open disputes, the one due first at the top."""
    translate, now = pages.translator(call), office.now_us()
    may_open = call.officer is not None and "disputes" in call.officer.duties
    lines = [
        {
            "id": one.id,
            "party": one.party,
            "opened": pages.moment(one.opened_at_us, seconds=False),
            "due": pages.moment(one.due_at_us, seconds=False),
            "late": one.due_at_us < now,
            "marked": one.marked,
            "clock": (translate(_("overdue by %s days")) if one.due_at_us < now else translate(_("%s days left")))
            % (abs(one.due_at_us - now) // DAY_US),
        }
        for one in await office.oversight.disputes()
    ]
    return _page(call, "disputes.html", lines=lines, may_open=may_open)


async def lapsed(office: Office, call: Call) -> Reply:
    """List provisional reports that ended without a confirmation."""
    translate = pages.translator(call)
    found = await office.oversight.lapsed()
    named = await names_of(office, (one.author for one in found), translate)
    rows = [
        [
            one.id,
            named(one.author),
            translate(PROOFS[one.proof][0]) if one.proof in PROOFS else one.proof,
            pages.moment(one.recorded_at_us),
            pages.moment(one.lapsed_at_us),
        ]
        for one in found
    ]
    return _page(call, "lapsed.html", rows=rows)


async def notices(office: Office, call: Call) -> Reply:
    """List notices that reached nobody."""
    translate = pages.translator(call)
    said = {"dead": translate(_("given up")), "due": translate(_("late"))}
    rows = [
        [
            one.id,
            translate(NOTICE_KINDS.get(one.kind, one.kind)),
            translate(NOTICE_CHANNELS.get(one.channel, one.channel)),
            said.get(one.state, one.state),
            str(one.tries),
            pages.moment(one.due_at_us),
        ]
        for one in await office.oversight.undelivered()
    ]
    return _page(call, "notices.html", rows=rows)


def _tell(number: int, *, bad: bool | None = None) -> Markup:
    """Say a count; one that asks for something stands out, in words' weight as well as colour."""
    said = pages.count(number)
    wrong = number > 0 if bad is None else bad
    return Markup('<strong class="tone-STOP">{}</strong>').format(said) if wrong else said


async def parties(office: Office, call: Call) -> Reply:
    """Show how every relying party checks; those that check least first."""
    rows = [
        [
            card.name,
            _tell(card.checks, bad=not card.checks),
            str(card.days),
            pages.day(card.last_day) if card.last_day else "–",
            pages.count(card.stops),
            pages.count(card.unanswered),
            pages.count(card.departures),
            _tell(card.urgent_overdue),
            _tell(card.recalls_open),
            _tell(card.stale),
        ]
        for card in await office.oversight.scorecards()
    ]
    return _page(call, "parties.html", rows=rows)
