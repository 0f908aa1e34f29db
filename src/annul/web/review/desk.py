"""The review desk: the queue, one suspicion with its evidence side by side, decisions and their second officer, figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import urlencode

import msgspec
from msgspec import Meta

from annul.errors import AnnulError
from annul.records.references import Words
from annul.records.schemes import printed
from annul.registry.review.corrections import Correction
from annul.registry.review.queue import ALLOWED, Decision
from annul.registry.review.rules import CAUSES as CAUSE_NAMES
from annul.registry.review.views import DecisionView, Looked, PersonSeen, Suspicion
from annul.registry.writing.act import same_person
from annul.web.desk.frame import act_for, options, show, who
from annul.web.door import pages, plots
from annul.web.door.call import Call, Reply
from annul.web.door.forms import Form
from annul.web.door.words import STATES as DOCUMENT_STATES
from annul.web.door.words import _
from annul.web.review.words import (
    CAUSE_HINTS,
    CAUSES,
    DECISION_STATES,
    DECISIONS,
    FIELDS,
    LIVES,
    RULES,
    RUN_STATES,
    SEXES,
    STATES,
    TOLD,
    provinces,
)

if TYPE_CHECKING:
    from annul.web.door.office import Office

Short = Annotated[str, Meta(max_length=400)]
ROWS: Final = 25
REGIONS_MAX: Final = 12
"""Provinces that a plot shows; the table below has all."""
CORRECTED: Final = (
    "personal_number",
    "name",
    "latin_name",
    "sex",
    "birth_date",
    "death_date",
    "place",
    "status",
    "mother",
    "father",
    "origin",
)
UNCHANGED: Final = "-"
"""Choice of sex and status that leaves them as they are."""


class Wanted(msgspec.Struct, forbid_unknown_fields=True):
    """Query of the queue."""

    cause: Short = ""
    rule: Short = ""
    region: Short = ""
    state: Short = "open"
    after: Short = ""


class DecideForm(msgspec.Struct, forbid_unknown_fields=True):
    """Form of a suspicion: a decision, or a second officer's word on one.

    Args:
        act: decide, confirm, refuse or undo; `on` names the decision of the last three.
    """

    act: Short = "decide"
    on: Short = ""
    decision: Short = ""
    person: Short = ""
    grounds: Words = ""
    cancel_documents: Short = ""
    personal_number: Short = ""
    name: Short = ""
    latin_name: Short = ""
    sex: Short = UNCHANGED
    birth_date: Short = ""
    death_date: Short = ""
    place: Short = ""
    status: Short = UNCHANGED
    mother: Short = ""
    father: Short = ""
    origin: Short = ""


def _line(call: Call, each: Suspicion) -> dict[str, Any]:
    translate = pages.translator(call)
    return {
        "id": each.id,
        "cause": each.cause,
        "cause_words": translate(CAUSES[each.cause]),
        "rules": [translate(RULES[rule][0]) for rule in each.rules],
        "score": f"{each.score:.0%}",
        "region": _region(each.region),
        "records": len(each.persons),
        "found": pages.moment(each.found_at_us, seconds=False),
        "state": each.state,
        "state_words": translate(STATES[each.state]),
    }


def _region(code: str) -> str:
    return f"{code} {provinces().get(code[:2], '')}".strip()


def _short(name: str) -> str:
    """Return the name of a province without what kind it is, for the axis of a plot."""
    for kind in ("维吾尔自治区", "回族自治区", "壮族自治区", "自治区", "特别行政区", "省", "市"):
        name = name.removesuffix(kind)
    return name


async def queue(office: Office, call: Call) -> Reply:
    """List suspicions, the surest first, by cause, region and state."""
    wanted: Wanted = call.query
    act = act_for(call)
    form = Form.sent(wanted)
    translate = pages.translator(call)
    lines: list[dict[str, Any]] = []
    total, after = 0, ""
    try:
        found = await office.review.queue(
            act,
            cause=wanted.cause,
            rule=wanted.rule,
            region=wanted.region.strip(),
            state=wanted.state,
            after=wanted.after,
            limit=ROWS,
        )
        lines, total, after = [_line(call, each) for each in found.suspicions], found.total, found.after
    except AnnulError as error:
        form.refused(error, translate)
    filters = {"cause": wanted.cause, "rule": wanted.rule, "region": wanted.region, "state": wanted.state}
    kept = {name: value for name, value in filters.items() if value}
    older = f"/desk/review?{urlencode(kept | {'after': after})}" if after else ""
    waiting = len(await office.review.waiting(act))
    runs = (await office.review.figures(act)).runs
    return show(
        call,
        "review/queue.html",
        form=form,
        status=400 if form.errors else 200,
        lines=lines,
        total=total,
        older=older,
        filtered=bool(kept.keys() - {"state"}),
        waiting=waiting,
        last_run=runs[0] if runs else None,
        newer=f"/desk/review?{urlencode(kept)}" if wanted.after else "",
        run_states=RUN_STATES,
        causes=[("", translate(_("All"))), *((cause, translate(CAUSES[cause])) for cause in CAUSE_NAMES)],
        states=[(state, translate(words)) for state, words in STATES.items()],
        rules=[("", translate(_("All"))), *((rule, translate(words[0])) for rule, words in RULES.items())],
    )


async def one(office: Office, call: Call) -> Reply:
    """Show a suspicion with its evidence side by side."""
    return await _shown(office, call, Form(call.kept or {"sex": UNCHANGED, "status": UNCHANGED}))


async def decide(office: Office, call: Call) -> Reply:
    """Decide a suspicion, or confirm, refuse or take back a decision on it."""
    body: DecideForm = call.body
    translate = pages.translator(call)
    form, act = Form.sent(body), act_for(call)
    try:
        if body.act in ("confirm", "refuse", "undo"):
            return await _second(office, call, body)
        if body.decision not in DECISIONS:
            form.refuse("decision", translate(_("Choose what you decide.")))
        if not body.grounds.strip():
            form.refuse("grounds", translate(_("Say why you decide so. Leave names and numbers out.")))
        if not form.errors:
            made = await office.review.decide(
                act,
                call.path["suspicion"],
                Decision[body.decision],
                grounds=body.grounds.strip(),
                person=int(body.person) if body.person.isdigit() else None,
                correction=_correction(body),
                cancel_documents=bool(body.cancel_documents),
            )
            said = (
                _("Proposed. It is carried out when a second officer confirms it.")
                if made.state == "waiting"
                else _("Decided.")
            )
            return pages.to("/desk/review", flash=translate(said), call=call)
    except AnnulError as error:
        form.refused(error, translate)
    return await _shown(office, call, form, status=400)


def _correction(body: DecideForm) -> Correction | None:
    """Return what the form says the record shall say; empty boxes leave it as it is, a dash takes a text away."""
    if body.decision != Decision.correct_entry.value:
        return None
    given: dict[str, Any] = {}
    for name in CORRECTED:
        value = getattr(body, name).strip()
        if name in ("sex", "status"):
            if value != UNCHANGED:
                given[name] = value
        elif value:
            given[name] = "" if value == UNCHANGED else value
    return msgspec.convert(given, Correction)


async def _second(office: Office, call: Call, body: DecideForm) -> Reply:
    translate, act = pages.translator(call), act_for(call)
    here = f"/desk/review/{call.path['suspicion']}"
    if body.act == "confirm":
        made = await office.review.confirm(act, body.on)
        said = translate(_("Confirmed and carried out. Documents changed: %s.")) % made.documents
    elif body.act == "refuse":
        await office.review.refuse(act, body.on, grounds=body.grounds.strip() or "-")
        said = translate(_("Refused. The suspicion is open again."))
    else:
        await office.review.undo(act, body.on, grounds=body.grounds.strip())
        said = translate(_("Taken back. The records say again what they said; documents stay as they are."))
    return pages.to(here, flash=said, call=call)


async def _shown(office: Office, call: Call, form: Form, *, status: int = 200) -> Reply:
    act = act_for(call)
    suspicion = call.path["suspicion"]
    looked = await office.review.view(act, suspicion, case=call.session.case or suspicion)
    translate = pages.translator(call)
    marked = {
        field: translate(_("agrees") if each.rule == "same-person" else _("evidence"))
        for each in looked.evidence
        for field in each.fields
    }
    proposal = next((each for each in looked.decisions if each.state == "waiting"), None)
    shall: list[tuple[str, str]] = []
    if proposal is not None and proposal.decision == Decision.correct_entry.value:
        said = msgspec.structs.asdict(await office.review.proposal(act, proposal.id))
        words = FIELDS | {"name": _("Name"), "latin_name": _("Name in Latin letters")}
        shall = [
            (translate(words[name]), value or translate(_("nothing"))) for name, value in said.items() if value is not None
        ]
    people = [(str(each.id), translate(_("Record %s")) % (place + 1)) for place, each in enumerate(looked.persons)]
    evidence = [
        {
            "title": translate(RULES[each.rule][0]),
            "says": translate(RULES[each.rule][1]),
            "told": [(translate(TOLD.get(told.label, told.label)), told.value) for told in each.told],
        }
        for each in looked.evidence
    ]
    allowed = [decision.value for decision in ALLOWED[looked.suspicion.cause]]
    return show(
        call,
        "review/suspicion.html",
        form=form,
        status=status,
        line=_line(call, looked.suspicion),
        looked=looked,
        evidence=evidence,
        rows=_side_by_side(call, looked, marked),
        people=people,
        shall=shall,
        choices=options(call, {name: DECISIONS[name] for name in allowed}),
        sexes=[(UNCHANGED, translate(_("as it is"))), *options(call, SEXES)],
        lives=[(UNCHANGED, translate(_("as it is"))), *options(call, LIVES)],
        past=[_past(call, each) for each in reversed(looked.decisions)],
        proposal=proposal,
        mine=proposal is not None and same_person(proposal.decided_by, who(call).id),
        several=len(looked.persons) > 1,
        may_correct=Decision.correct_entry.value in allowed,
    )


def _past(call: Call, each: DecisionView) -> dict[str, Any]:
    translate = pages.translator(call)
    return {
        "id": each.id,
        "title": translate(DECISIONS[each.decision][0]),
        "state": each.state,
        "state_words": translate(DECISION_STATES[each.state]),
        "grounds": each.grounds,
        "by": each.decided_by,
        "at": pages.moment(each.decided_at_us),
        "second": each.second_by,
        "documents": each.documents,
        "undone": each.undone_grounds,
        "cancels": each.cancels,
    }


def _side_by_side(call: Call, looked: Looked, marked: dict[str, str]) -> list[dict[str, Any]]:
    """Return the fields of the records as rows: one cell a record, and whether the evidence rests on the row."""
    translate = pages.translator(call)
    papers: dict[int, list[str]] = {}
    for each in looked.documents:
        since, until = pages.day(each.valid_from_day), pages.day(each.valid_until_day)
        until = translate(_("long-term")) if each.valid_until_day == 65535 else until
        papers.setdefault(each.person, []).append(f"{since} – {until}: {translate(DOCUMENT_STATES[each.state])}")

    def cells(field: str) -> list[Any]:
        return [_cell(call, field, each, papers.get(each.id, [])) for each in looked.persons]

    rows = []
    for field, words in FIELDS.items():
        found = cells(field)
        if any(found):
            rows.append({"name": translate(words), "cells": found, "marked": marked.get(field, ""), "photo": field == "photo"})
    return rows


def _cell(call: Call, field: str, each: PersonSeen, papers: list[str]) -> Any:
    translate, person = pages.translator(call), each.person
    if field == "names":
        return [name.text + ("" if name.kind == "main" else f" ({translate(NAME_KINDS[name.kind])})") for name in person.names]
    if field in ("personal_number", "mother", "father"):
        number = getattr(person, field)
        return [printed(number)] if number else []
    if field == "sex":
        return [translate(SEXES[person.sex])] if person.sex else []
    if field == "status":
        return [translate(LIVES[person.status])]
    if field == "documents":
        return papers
    if field == "photo":
        return ["yes"] if each.photo else []
    if field == "place":
        return [_region(person.place)] if person.place else []
    value = getattr(person, field)
    return [value] if value else []


NAME_KINDS: Final = {"latin": _("Latin letters"), "former": _("former name")}


async def portrait(office: Office, call: Call) -> Reply:
    """Show the portrait of one record of a suspicion, marked with the suspicion's id; accounted for."""
    suspicion = call.path["suspicion"]
    image = await office.review.portrait(act_for(call), suspicion, int(call.path["place"]), case=call.session.case or suspicion)
    return Reply(image, "image/jpeg", headers={"cache-control": "no-store", "content-disposition": "inline"})


async def waiting(office: Office, call: Call) -> Reply:
    """List what waits for a second officer."""
    translate, act = pages.translator(call), act_for(call)
    lines = []
    for each in await office.review.waiting(act):
        about = await office.review.suspicion(act, each.suspicion)
        lines.append(
            _line(call, about)
            | {
                "decision": translate(DECISIONS[each.decision][0]),
                "by": each.decided_by,
                "at": pages.moment(each.decided_at_us),
                "grounds": each.grounds,
                "cancels": each.cancels,
                "mine": same_person(each.decided_by, who(call).id),
            }
        )
    return show(call, "review/waiting.html", lines=lines)


async def figures(office: Office, call: Call) -> Reply:
    """Show counts by cause and region, with plots and their tables."""
    found = await office.review.figures(act_for(call))
    translate = pages.translator(call)
    drawn = []
    for cause in CAUSE_NAMES:
        counts: dict[str, int] = {}
        for each in found.by_region:
            if each.cause == cause:
                counts[each.region] = counts.get(each.region, 0) + each.count
        top = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:REGIONS_MAX]
        drawn.append(
            plots.columns(
                f"{translate(CAUSES[cause])}: {translate(CAUSE_HINTS[cause])}",
                [_short(provinces().get(code, code)) or translate(_("not known")) for code, _count in top],
                [float(count) for _code, count in top],
                name=translate(_("Suspicions")),
                first_column=translate(_("Region")),
            )
        )
    table: dict[tuple[str, str], dict[str, int]] = {}
    for each in found.by_region:
        table.setdefault((each.region, each.cause), {})[each.state] = each.count
    states = ("open", "proposed", "visit", "decided")
    rows = [
        [_region(region) or translate(_("not known")), translate(CAUSES[cause]), *(counts.get(state, 0) for state in states)]
        for (region, cause), counts in sorted(table.items())
    ]
    return show(
        call,
        "review/figures.html",
        drawn=drawn,
        rows=rows,
        numeric=[(translate(STATES[state]), "number") for state in states],
        by_rule=[[translate(RULES[rule][0]), count] for rule, count in found.by_rule.items() if rule in RULES],
        by_decision=[[translate(DECISIONS[name][0]), count] for name, count in found.by_decision.items()],
        runs=[
            [
                pages.moment(run.started_at_us),
                *map(pages.count, (run.persons, run.new + run.again, run.known, run.closed)),
                "" if run.ended_at_us is None else f"{sum(run.took_s.values()):.1f} s",
                translate(RUN_STATES[run.state]),
            ]
            for run in found.runs
        ],
    )
