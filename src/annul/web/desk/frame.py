"""What every page of the desk shares: rooms an officer may enter, her case, the act she writes under, documents as cards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from annul.errors import BadInput
from annul.records.schemes import kind_of, printed
from annul.registry.desk.searches import DocumentFound, SearchShown
from annul.registry.writing.act import Act, Idempotency
from annul.web.door import pages
from annul.web.door.call import Call, Reply
from annul.web.door.clock import begin_of, day_of
from annul.web.door.forms import Form
from annul.web.door.words import EVENTS, _

if TYPE_CHECKING:
    from annul.registry.parties.officers import Officer
    from annul.registry.writing.history import Line
    from annul.web.door.names import Named


def show(call: Call, template: str, *, status: int = 200, form: Form | None = None, **values: Any) -> Reply:
    """Render a page of the desk with its rooms and its case."""
    training = call.officer is not None and call.session.realm == "test"
    return pages.page(call, template, status=status, form=form, home="/desk", training=training, **values)


def who(call: Call) -> Officer:
    """Return the officer of a page."""
    if call.officer is None:
        raise AssertionError("a page of the desk without its officer")
    return call.officer


def act_for(call: Call) -> Act:
    """Return who acts: the officer herself, in the realm she signed in to, under the form's token that may be used once."""
    mine = who(call).id
    idempotency = None
    if call.idempotency_key:
        body = msgspec.json.encode(call.body, order="deterministic")
        idempotency = Idempotency.of(mine, call.idempotency_key, call.request.url.path.encode(), body)
    return Act(mine, call.session.realm, idempotency, call.session.key_id)


def issued_by(coverage: str) -> str:
    """Return the issuer's code that a coverage name holds, "" when it holds none."""
    parts = coverage.split("/")
    return parts[1] if len(parts) > 2 else ""


def card_of(call: Call, found: DocumentFound, *, href: str = "", action: str = "", here: bool = False) -> dict[str, Any]:
    """Return a document as the small card of `document_card`."""
    translate = pages.translator(call)
    kind = kind_of(found.coverage, found.kind)
    issuer = issued_by(found.coverage)
    valid = f"{pages.day(found.valid_from_day)} – {_until(found.valid_until_day, translate)}" if found.valid_from_day else ""
    since = translate(_("since %s")) % pages.moment(found.since_us) if found.since_us else ""
    return {
        "shape": kind.shape,
        "kind": translate(kind.words) + (f" · {issuer}" if issuer else ""),
        "number": printed(found.number, found.coverage) if found.number else "",
        "state": found.state,
        "disputed": found.disputed,
        "since": since,
        "note": valid,
        "href": href,
        "action": action,
        "asked": found.asked,
        "here": here,
    }


def _until(day: int | None, translate: Callable[[str], str]) -> str:
    return translate(_("long-term")) if day == 65535 else pages.day(day)


def cards_of(call: Call, shown: SearchShown, *, chosen: int | None = None) -> list[dict[str, Any]]:
    """Return all documents of a search as cards, with the way to each."""
    choose = pages.translator(call)(_("Choose this document"))
    return [
        card_of(
            call,
            found,
            here=found.place == chosen,
            href="" if found.place == chosen else f"/desk/searches/{shown.id}/{found.place}",
            action=choose,
        )
        for found in shown.documents
    ]


def timeline_of(call: Call, lines: Sequence[Line], named: Named) -> list[dict[str, Any]]:
    """Return what happened to a document for the block `timeline`, newest first; `named` gives authors their names."""
    translate = pages.translator(call)
    told = []
    for line in reversed(lines):
        told.append(
            {
                "title": translate(EVENTS.get(line.event, line.event)),
                "happened": pages.moment(line.happened_at_us),
                "recorded": pages.moment(line.recorded_at_us),
                "by": named(line.author),
                "text": line.evidence,
                "tone": "STOP" if line.state != "current" else "PASS",
            }
        )
    return told


DAYS: Final = {"now": _("now"), "today": _("today, at the time below"), "yesterday": _("yesterday"), "other": _("another day")}
"""Field `which`: when something happened."""


def happened(form: Form, now_us: int) -> int:
    """Return the time of `which` (a word of `DAYS`), `happened-*` (another day) and `time` of the zone; now when all are empty.

    Raises:
        BadInput: day or time is none; `where` is the field.
    """
    day = form["which"] if form["which"] in ("today", "yesterday") else form.day("happened")
    if form["which"] == "other" and not day:
        raise BadInput("Give the day as well.", where="happened")
    clock = str(form["time"]).strip()
    if not day and not clock:
        return now_us
    if not day:
        raise BadInput("Give the day as well.", where="happened")
    try:
        at_us = begin_of(day_of(day, now_us, where="happened"), clock or "00:00")
    except ValueError:
        raise BadInput("This is no day and time.", where="happened", mend="Write the time as 14:05.") from None
    if at_us > now_us:
        raise BadInput("This lies in the future.", where="happened", mend="Give the time when it happened.")
    return at_us


def options(call: Call, words: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return (value, words) or (value, words, hint) for the macros of choices, translated."""
    translate = pages.translator(call)
    lines: list[tuple[str, ...]] = []
    for value, text in words.items():
        lines.append((value, *map(translate, text)) if isinstance(text, tuple) else (value, translate(text)))
    return lines
