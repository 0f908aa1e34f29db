"""The counter policy on a page: what is in force, the draft in words, what last month would have looked like, the release."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from annul.errors import AnnulError, NotFound
from annul.records.codes import (
    Advice,
    BindingCode,
    Channel,
    FreshnessCode,
    IdentityCode,
    Outcome,
    Purpose,
    StatusCode,
)
from annul.records.policy import AXES, FOLLOW_UP_DAYS_MAX, Policy, UrgentNeed, differences, floor_of
from annul.records.references import Words
from annul.records.verdict import Verdict
from annul.registry.parties.policies import TRIAL_DAYS_MAX, PolicyBook, PolicyVersion, Shift, Trial
from annul.web.counter.counter import frame, spoken
from annul.web.counter.decisions import act_of
from annul.web.counter.words import AXIS_WORDS, CODE_WORDS, STEP_WORDS
from annul.web.door import pages
from annul.web.door.forms import Form
from annul.web.door.pages import moment
from annul.web.door.words import CHANNELS, PURPOSES, WORDS, _

if TYPE_CHECKING:
    from collections.abc import Callable

    from annul.web.door.call import Call, Reply
    from annul.web.door.office import Office

CODES: Final[dict[str, Any]] = {
    "status": StatusCode,
    "identity": IdentityCode,
    "binding": BindingCode,
    "freshness": FreshnessCode,
}
CHOICES: Final = (Outcome.PASS, Outcome.REFER, Outcome.STOP)
_SEVERITY: Final = {outcome: place for place, outcome in enumerate(CHOICES)}


class Act(msgspec.Struct, forbid_unknown_fields=True):
    """A button about one version; `revision` is that of the draft the page showed."""

    version: int
    revision: int = 0
    reason: Words = ""


class TwoPersons(msgspec.Struct, forbid_unknown_fields=True):
    """Whether a second person must release."""

    wanted: str = ""


class TrialQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which version is tried, on how many days."""

    version: int = 0
    days: int = TRIAL_DAYS_MAX


# -- pages -------------------------------------------------------------------------------------------------------------------


async def overview(office: Office, call: Call) -> Reply:
    """Show the policy in force, the draft if there is one, and the history."""
    return await _overview(office, call, Form({}))


async def _overview(office: Office, call: Call, form: Form, *, status: int = 200) -> Reply:
    translate = pages.translator(call)
    book = await office.policies.book(call.principal.id)
    draft = book.draft
    changes = [
        {"version": each.version, "was": each.was, "at": moment(each.changed_at_us), "by": each.changed_by, "why": each.reason}
        for each in book.changes
    ]
    return pages.page(
        call,
        "counter/policy.html",
        status=status,
        form=form,
        **frame(call),
        book=book,
        draft=draft,
        changes=changes,
        tables=_tables(book.current.policy, translate),
        need=_need_words(book.current.policy, translate),
        diff=_diff(book.current, draft, translate) if draft else [],
    )


async def edit(office: Office, call: Call) -> Reply:
    """Show the table of codes and outcomes to edit: the draft, or the policy in force to begin one."""
    book = await office.policies.book(call.principal.id)
    begun = book.draft or book.current
    values = _typed(begun.policy) | {
        "revision": str(begun.revision if book.draft else 0),
        "note": begun.note if book.draft else "",
    }
    return _editor(call, book, Form({**values, **call.kept}))


def _editor(call: Call, book: PolicyBook, form: Form, *, status: int = 200) -> Reply:
    translate = pages.translator(call)
    axes = [
        (
            axis,
            translate(AXIS_WORDS[axis]),
            [
                {
                    "code": code.value,
                    "words": translate(CODE_WORDS[code.value]),
                    "cells": _cells(axis, code.value, translate),
                }
                for code in CODES[axis]
            ],
        )
        for axis in AXES
    ]
    return pages.page(
        call,
        "counter/policy_edit.html",
        status=status,
        form=form,
        **frame(call),
        book=book,
        axes=axes,
        steps=[(step.value, translate(STEP_WORDS[step.value])) for step in Advice if step is not Advice.A7],
        purposes=[(each.value, translate(PURPOSES[each.value])) for each in Purpose],
        needs=[(code, translate(CODE_WORDS[code])) for code in ("S10", "I20")],
        days_max=FOLLOW_UP_DAYS_MAX,
    )


def _cells(axis: str, code: str, translate: Callable[[str], str]) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """Return (field, channel in words, choices) for both channels of a code."""
    return [
        (f"{axis}-{code}-{channel.value}", translate(CHANNELS[channel.value]), _choices(axis, code, channel, translate))
        for channel in Channel
    ]


def _choices(axis: str, code: str, channel: Channel, translate: Callable[[str], str]) -> list[tuple[str, str]]:
    floor = floor_of(axis, code, channel)
    return [(each.value, translate(WORDS[each.value])) for each in CHOICES if _SEVERITY[each] >= _SEVERITY[floor]]


async def save(office: Office, call: Call) -> Reply:
    """Save the draft."""
    translate = pages.translator(call)
    sent: dict[str, Any] = call.body
    form = Form(sent)
    book = await office.policies.book(call.principal.id)
    begun = book.draft or book.current
    try:
        policy = _policy_of(sent, begun.policy)
        revision = int(sent.get("revision") or 0)
        await office.policies.save(act_of(call), call.principal, policy, note=sent.get("note", ""), revision=revision)
    except (ValueError, KeyError):
        form.refuse("", translate(_("The form is damaged: a field is missing or is no number.")))
        return _editor(call, book, form, status=400)
    except AnnulError as error:
        form.refused(error, translate, {"name": "name", "note": "note", "follow_up_days": "need-days"})
        return _editor(call, book, form, status=409 if error.code == "conflict" else 400)
    return pages.to(
        "/counter/policy", flash=translate(_("The draft is saved. Nothing has changed at the counters.")), call=call
    )


async def discard(office: Office, call: Call) -> Reply:
    """Discard the draft."""
    return await _acted(
        office, call, office.policies.discard(act_of(call), call.principal, call.body.version), _("The draft is discarded.")
    )


async def release(office: Office, call: Call) -> Reply:
    """Put the draft in force."""
    form: Act = call.body
    work = office.policies.release(act_of(call), call.principal, form.version, revision=form.revision, reason=form.reason)
    return await _acted(office, call, work, _("Released. Every counter decides by the new version now."))


async def roll_back(office: Office, call: Call) -> Reply:
    """Put an older version in force again."""
    form: Act = call.body
    work = office.policies.roll_back(act_of(call), call.principal, form.version, reason=form.reason)
    return await _acted(office, call, work, _("The older version is in force again at every counter."))


async def two_persons(office: Office, call: Call) -> Reply:
    """Say whether a second person must release."""
    wanted = call.body.wanted == "yes"
    work = office.policies.want_two_persons(act_of(call), call.principal, wanted)
    return await _acted(
        office,
        call,
        work,
        _("From now on somebody other than the editor releases.") if wanted else _("One person may release now."),
    )


async def _acted(office: Office, call: Call, work: Any, done: str) -> Reply:
    translate = pages.translator(call)
    try:
        changed = await work
    except AnnulError as error:
        status = 409 if error.code == "conflict" else 400
        return await _overview(office, call, Form({"reason": ""}).refused(error, translate), status=status)
    if changed is not None and changed.waits:
        done = _("It is asked for. Nothing changes until a colleague with another key asks for the same within a day.")
    elif changed is not None and not await office.listings.reached(changed.position, office.settings.acknowledge_ms_max / 1000):
        done = _(
            "It is recorded, but not every counter works by it yet. It takes effect as soon as the register has caught up."
        )
    return pages.to("/counter/policy", flash=translate(done), call=call)


async def trial(office: Office, call: Call) -> Reply:
    """Show what last month would have looked like under a version."""
    translate = pages.translator(call)
    book = await office.policies.book(call.principal.id)
    version = call.query.version or (book.draft or book.current).version
    if version not in {each.version for each in book.versions}:
        raise NotFound("There is no such version.")
    days = min(max(call.query.days, 1), TRIAL_DAYS_MAX)
    found = await office.policies.try_on_past(call.principal, version, days=days)
    shifts = [
        {
            "old": each.old,
            "new": each.new,
            "count": each.count,
            "why": _why(each, translate),
            "steps": ", ".join(translate(STEP_WORDS[step]) for step in each.new_advice),
            "samples": [spoken(sample) for sample in each.samples],
        }
        for each in found.shifts
    ]
    return pages.page(
        call,
        "counter/policy_trial.html",
        **frame(call),
        book=book,
        trial=found,
        shifts=shifts,
        bars=_bars(found),
        days=days,
        since=moment(found.since_us, seconds=False),
        until=moment(found.until_us, seconds=False),
        version=version,
    )


def _why(shift: Shift, translate: Callable[[str], str]) -> str:
    """Return the codes that lead to a shift in words; what was not asked or not done is left out."""
    codes = [shift.status, *(code for code in (shift.identity, shift.binding) if code not in ("M9", "B9"))]
    return " · ".join([*(translate(CODE_WORDS[code]) for code in codes), translate(CHANNELS[shift.channel])])


def _bars(trial: Trial) -> list[dict[str, Any]]:
    """Return one bar for each outcome: how many checks had it, and would have it; widths in 0 to 100."""
    then = {each.value: sum(trial.outcomes.get(each.value, {}).values()) for each in CHOICES}
    now = {each.value: sum(row.get(each.value, 0) for row in trial.outcomes.values()) for each in CHOICES}
    largest = max([1, *then.values(), *now.values()])
    return [
        {
            "outcome": each.value,
            "then": then[each.value],
            "now": now[each.value],
            "then_width": round(100 * then[each.value] / largest, 1),
            "now_width": round(100 * now[each.value] / largest, 1),
        }
        for each in CHOICES
    ]


# -- a policy in words, and back from a form ---------------------------------------------------------------------------------


def _tables(policy: Policy, translate: Callable[[str], str]) -> list[dict[str, Any]]:
    return [
        {
            "words": translate(AXIS_WORDS[axis]),
            "rows": [
                {
                    "code": code.value,
                    "words": translate(CODE_WORDS[code.value]),
                    "cells": [(verdict.outcome(each).value, _steps(verdict.steps(each), translate)) for each in Channel],
                }
                for code, verdict in getattr(policy, axis).items()
            ],
        }
        for axis in AXES
    ]


def _steps(steps: tuple[Advice, ...], translate: Callable[[str], str]) -> str:
    return ", ".join(translate(STEP_WORDS[step.value]) for step in steps)


def _need_words(policy: Policy, translate: Callable[[str], str]) -> dict[str, Any]:
    need = policy.urgent_need
    return {
        "statuses": ", ".join(translate(CODE_WORDS[code.value]) for code in need.statuses),
        "purposes": ", ".join(translate(PURPOSES[purpose.value]) for purpose in need.purposes),
        "days": need.follow_up_days,
    }


def _diff(old: PolicyVersion, new: PolicyVersion, translate: Callable[[str], str]) -> list[tuple[str, str, str]]:
    """Return (what, before, after) in words for every member that differs."""
    return [
        (_where(each.where, translate), _value(each.old, translate), _value(each.new, translate))
        for each in differences(old.policy, new.policy)
    ]


def _where(where: str, translate: Callable[[str], str]) -> str:
    parts = where.strip("/").split("/")
    if parts[0] in AXES:
        member = {"in_person": CHANNELS["in_person"], "remote": CHANNELS["remote"]}.get(parts[2], _("next steps"))
        return f"{translate(CODE_WORDS[parts[1]])} ({parts[1]}), {translate(member)}"
    names = {
        "name": _("name"),
        "copy_age_max_s": _("oldest copy in seconds"),
        "statuses": _("urgent need: states"),
        "purposes": _("urgent need: purposes"),
        "follow_up_days": _("urgent need: days until the new card"),
        "channels": _("urgent need: channels"),
        "identities": _("urgent need: names"),
        "bindings": _("urgent need: bearers"),
    }
    return translate(names.get(parts[-1], parts[-1]))


def _value(value: Any, translate: Callable[[str], str]) -> str:
    words = WORDS | CODE_WORDS | STEP_WORDS | PURPOSES
    if isinstance(value, list | tuple):
        return ", ".join(_value(each, translate) for each in value) or "–"
    return translate(words[value]) if value in words else "–" if value is None else str(value)


def _typed(policy: Policy) -> dict[str, Any]:
    """Return a policy as the fields of the editor's form."""
    values: dict[str, Any] = {
        "name": policy.name,
        "copy-hours": str(policy.copy_age_max_s // 3600),
        "need-days": str(policy.urgent_need.follow_up_days),
    }
    for axis in AXES:
        for code, verdict in getattr(policy, axis).items():
            for channel in Channel:
                values[f"{axis}-{code.value}-{channel.value}"] = verdict.outcome(channel).value
            for step in verdict.advice:
                values[f"{axis}-{code.value}-{step.value}"] = "yes"
    for each in policy.urgent_need.statuses:
        values[f"need-{each.value}"] = "yes"
    for purpose in policy.urgent_need.purposes:
        values[f"need-{purpose.value}"] = "yes"
    return values


def _policy_of(sent: dict[str, Any], begun: Policy) -> Policy:
    """Return the policy of a sent form; what the form does not show stays as it was begun.

    Raises:
        KeyError, ValueError: a field is missing or not of its form.
    """
    tables: dict[str, Any] = {}
    for axis in AXES:
        table: dict[Any, Verdict] = {}
        for code in CODES[axis]:
            stem, old = f"{axis}-{code.value}", getattr(begun, axis)[code]
            advice = tuple(step for step in Advice if sent.get(f"{stem}-{step.value}") == "yes")
            table[code] = Verdict(
                in_person=Outcome[sent[f"{stem}-in_person"]],
                remote=Outcome[sent[f"{stem}-remote"]],
                advice=advice,
                advice_remote=old.advice_remote if advice == old.advice else None,
            )
        tables[axis] = table
    need: UrgentNeed = msgspec.structs.replace(
        begun.urgent_need,
        statuses=tuple(code for code in (StatusCode.S10, StatusCode.I20) if sent.get(f"need-{code.value}") == "yes"),
        purposes=tuple(purpose for purpose in Purpose if sent.get(f"need-{purpose.value}") == "yes"),
        follow_up_days=int(sent["need-days"]),
    )
    name = str(sent["name"]).strip()[:120] or begun.name
    return msgspec.structs.replace(begun, name=name, copy_age_max_s=int(sent["copy-hours"]) * 3600, urgent_need=need, **tables)
