"""Who asked and who tried, messages, contacts, and everything that is held about a person."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

import msgspec

from annul.errors import AnnulError, NotFound
from annul.languages import LANGUAGES
from annul.records.person import Contact
from annul.records.schemes import kind_of
from annul.registry.citizen.citizens import CHECKS_MAX
from annul.registry.notices.delivery import masked
from annul.registry.notices.sources import HOLDER
from annul.web.citizen.own import act_of_holder, proof_of
from annul.web.citizen.words import SAID, TRAITS, clock, isolated
from annul.web.door import pages, plots, typeset
from annul.web.door.call import Call, Reply
from annul.web.door.clock import time_of_day, today
from annul.web.door.forms import Form
from annul.web.door.names import NOBODY, names_of
from annul.web.door.who import ATTEMPT_ID
from annul.web.door.words import CHANNELS, EVENTS, PURPOSES, STATES, WORDS, _

if TYPE_CHECKING:
    from annul.registry.notices.outbox import Message
    from annul.web.door.office import Office

_EMAIL: Final = re.compile(r"[^@\s]{1,64}@[^@\s]{1,190}\.[^@\s.]{2,}")
AUTHORS: Final = NOBODY | {HOLDER: _("you")}
_ACTORS: Final = ("author", "party")
"""Members of what is held that say who acted."""
_PHONE: Final = re.compile(r"\+?[0-9 ()/-]{5,30}")


class SaidForm(msgspec.Struct, forbid_unknown_fields=True):
    """An attempt, and what its holder says."""

    attempt: str = ""
    said: str = ""


class ContactsForm(msgspec.Struct, forbid_unknown_fields=True):
    """How a person is told of things, and in which language."""

    email: str = ""
    phone: str = ""
    language: str = ""


class Older(msgspec.Struct):
    """Query of the list of checks: those before a time."""

    before: int = 0


async def checks(office: Office, call: Call) -> Reply:
    """Show who checked one's documents, day by day, and which offices looked them up."""
    person = call.session.person
    translate = pages.translator(call)
    names = await _names(office, person, translate)
    seen = await office.citizens.checks(person, before_us=max(0, call.query.before))
    days = [
        (isolated(day), [_check(line, names, translate) for line in lines])
        for day, lines in groupby(seen, key=lambda line: clock(line.checked_at_us)[1:11])
    ]
    month = await _month(office, person, translate) if not call.query.before else None
    searches = await office.searches.seen_by_holder(person, await office.citizens.own_ids(person), office.now_us())
    return pages.page(
        call,
        "citizen/checks.html",
        days=days,
        month=month,
        older=f"/my/checks?before={seen[-1].checked_at_us}" if len(seen) == 100 else "",
        newer="/my/checks" if call.query.before else "",
        delay_days=office.settings.disclosure_delay_days,
        searches=[
            (clock(one.searched_at_us), one.party_name, one.case, clock(one.delayed_until_us) if one.delayed_until_us else "–")
            for one in searches
        ],
    )


MONTH_DAYS: Final = 30
PAGES_MAX: Final = 10
"""Pages of checks that the picture of a month counts at most: a thousand checks."""


async def _month(office: Office, person: int, translate: Any) -> plots.Figure:
    """Draw how often one's documents were checked on each of the last 30 days."""
    last = today(office.now_us())
    counts = {last - timedelta(days=back): 0 for back in reversed(range(MONTH_DAYS))}
    before = 0
    for _page in range(PAGES_MAX):
        seen = await office.citizens.checks(person, before_us=before)
        for line in seen:
            if (day := today(line.checked_at_us)) in counts:
                counts[day] += 1
        if len(seen) < CHECKS_MAX or today(seen[-1].checked_at_us) not in counts:
            break
        before = seen[-1].checked_at_us
    series = [plots.Series(translate(_("Checks")), list(counts.values()))]
    title = translate(_("Checks of my documents in the last 30 days"))
    return plots.lines(title, [f"{day:%m-%d}" for day in counts], series, first_column=translate(_("Day")))


def _check(line: Any, names: dict[int, str], translate: Any) -> dict[str, str]:
    return {
        "time": isolated(time_of_day(line.checked_at_us)),
        "party": line.party,
        "document": names.get(line.document, translate(_("number alone"))),
        "purpose": translate(PURPOSES[line.purpose]),
        "channel": translate(CHANNELS[line.channel]),
        "outcome": line.outcome,
        "word": translate(WORDS[line.outcome]),
        "held": translate(_("held back until %s")) % clock(line.held_until_us) if line.held_until_us else "",
    }


async def _names(office: Office, person: int, translate: Any) -> dict[int, str]:
    return {own.id: translate(kind_of(own.coverage, own.kind).words) for own in await office.citizens.documents(person)}


async def attempts(office: Office, call: Call) -> Reply:
    """Show where a dead card was tried; those without an answer first."""
    return await _attempts(office, call, Form())


async def say(office: Office, call: Call) -> Reply:
    """Take the holder's answer about an attempt."""
    translate = pages.translator(call)
    said = call.body.said
    if not re.fullmatch(ATTEMPT_ID, call.body.attempt) or said not in ("me", "not_me"):
        return await _attempts(office, call, _refused(translate(_("Choose one of the two buttons."))), status=400)
    try:
        await office.citizens.say(act_of_holder(call), call.session.person, call.body.attempt, said)
    except AnnulError as error:
        return await _attempts(office, call, Form().refused(error, translate), status=400)
    flash = _("Thank you. The police desk and the organisation are told.") if said == "not_me" else _("Thank you. It is noted.")
    return pages.to("/my/attempts", flash=translate(flash), call=call)


async def _attempts(office: Office, call: Call, form: Form, *, status: int = 200) -> Reply:
    translate = pages.translator(call)
    person = call.session.person
    names = await _names(office, person, translate)
    shown = [
        {
            "id": one.id,
            "at": clock(one.checked_at_us),
            "party": one.party,
            "document": names.get(one.document, ""),
            "purpose": translate(PURPOSES[one.purpose]),
            "channel": translate(CHANNELS[one.channel]),
            "said": one.said,
            "said_words": translate(SAID[one.said]) if one.said else "",
            "refused": one.refused,
        }
        for one in await office.citizens.attempts(person)
    ]
    return pages.page(
        call,
        "citizen/attempts.html",
        form=form,
        status=status,
        waiting=[one for one in shown if not one["said"]],
        answered=[one for one in shown if one["said"]],
    )


def _refused(text: str) -> Form:
    form = Form()
    form.refuse("", text)
    return form


async def messages(office: Office, call: Call) -> Reply:
    """Show what one was told, newest first, in the language of the page."""
    found, shown = await _messages(office, call)
    await office.outbox.mark_read([one.id for one in found], office.now_us())
    return pages.page(call, "citizen/messages.html", messages=shown)


async def _messages(office: Office, call: Call) -> tuple[list[Message], list[dict[str, Any]]]:
    """Return the newest messages, and how they read in the language of the page."""
    person, language = call.session.person, pages.language_of(call.request)
    found = await office.outbox.messages(person, await office.citizens.own_ids(person), office.now_us(), realm=0)
    shown = []
    for one in found:
        text = await office.delivery.read(one.kind, one.values, one.document_id, language)
        shown.append({"at": clock(one.created_at_us), "title": text.title, "body": text.body.split("\n"), "new": not one.read})
    return found, shown


async def contacts_page(office: Office, call: Call) -> Reply:
    """Show how one is told of things."""
    person = await office.citizens.person(call.session.person)
    known = {one.kind: one.value for one in reversed(person.contacts)}
    language = await office.citizens.language(call.session.person) or office.settings.notices_language
    values = {"email": known.get("email", ""), "phone": known.get("phone", ""), "language": language} | call.kept
    return await _contacts(office, call, Form(values))


async def contacts(office: Office, call: Call) -> Reply:
    """Change them; frozen while a document is suspended."""
    form = Form.sent(call.body)
    translate = pages.translator(call)
    email, phone = call.body.email.strip(), call.body.phone.strip()
    if email and not _EMAIL.fullmatch(email):
        form.refuse("email", translate(_("Type the address with its @, such as name@example.org.")))
    if phone and not _PHONE.fullmatch(phone):
        form.refuse("phone", translate(_("Type the number with its country, such as +86 10 5555 0100.")))
    if call.body.language not in LANGUAGES:
        form.refuse("language", translate(_("Choose one of the languages.")))
    if form.errors:
        return await _contacts(office, call, form, status=400)
    person = await office.citizens.person(call.session.person)
    others = [one for one in person.contacts if one.kind not in ("email", "phone")]
    wanted = [Contact("email", email)] * bool(email) + [Contact("phone", phone)] * bool(phone) + others
    try:
        if wanted != person.contacts:
            await office.citizens.set_contacts(act_of_holder(call), call.session.person, wanted, proof=proof_of(call))
        await office.citizens.set_language(call.session.person, call.body.language)
    except AnnulError as error:
        return await _contacts(office, call, form.refused(error, translate), status=400)
    return pages.to("/my/contacts", flash=translate(_("Your contacts are changed. The old ones are told as well.")), call=call)


async def _contacts(office: Office, call: Call, form: Form, *, status: int = 200) -> Reply:
    frozen = await office.citizens.contacts_frozen(call.session.person)
    languages = [(key, language.name) for key, language in LANGUAGES.items()]
    shown = {name: masked(str(form[name])) for name in ("email", "phone") if form[name]} if frozen else {}
    return pages.page(
        call, "citizen/contacts.html", form=form, status=status, frozen=frozen, languages_known=languages, shown=shown
    )


# -- everything held ---------------------------------------------------------------------------------------------------------


async def data(office: Office, call: Call) -> Reply:
    """Show what is held about a person, in short, and the way to all of it."""
    held = await _everything(office, call)
    held["checks"] = held["checks"][:CHECKS_MAX]
    _found, told = await _messages(office, call)
    return pages.page(call, "citizen/data.html", sections=_sections(held, told, pages.translator(call)))


async def data_json(office: Office, call: Call) -> Reply:
    """Give everything as JSON."""
    held = await _everything(office, call)
    headers = {"content-disposition": 'attachment; filename="annul-my-data.json"'}
    return Reply(msgspec.json.format(msgspec.json.encode(held), indent=1), "application/json", headers=headers)


async def data_pdf(office: Office, call: Call) -> Reply:
    """Give everything as a tagged PDF, to be read and printed."""
    held = await _everything(office, call)
    _found, told = await _messages(office, call)
    translate = pages.translator(call)
    language = LANGUAGES[pages.language_of(call.request)]
    content = {
        "title": translate(_("What annul holds about you")),
        "made": translate(_("Made at %s")) % _read(held["made_at"]),
        "lang": language.tag.partition("-")[0],
        "rtl": language.direction == "rtl",
        "sections": _sections(held, told, translate),
    }
    made = await asyncio.to_thread(typeset.pdf, "citizen/data.typ", {"content": msgspec.json.encode(content).decode()})
    return Reply(made, "application/pdf", headers={"content-disposition": 'attachment; filename="annul-my-data.pdf"'})


def _read(at: str | None) -> str:
    """Write a time of the download (RFC 3339) as pages do, in the register's zone with UTC beside."""
    return clock(round(datetime.fromisoformat(at).timestamp() * 1e6)) if at else "–"


async def _everything(office: Office, call: Call) -> dict[str, Any]:
    """Return everything held, with organisations by their names: whoever acted for one is no matter of this page."""
    held: dict[str, Any] = await office.citizens.everything(call.session.person)
    lines = list(_lines(held))
    ids = {line[name] for line in lines for name in _ACTORS if isinstance(line.get(name), str)} - set(NOBODY)
    named = await names_of(office, ids, pages.translator(call), officers=False)
    for line in lines:
        line |= {name: named(line[name]) for name in _ACTORS if line.get(name) in ids}
    return held


def _lines(held: Any) -> Iterator[dict[str, Any]]:
    """Yield every object of the download, whatever it stands in."""
    if isinstance(held, dict):
        yield held
    for value in held.values() if isinstance(held, dict) else held if isinstance(held, list) else ():
        yield from _lines(value)


def _sections(held: dict[str, Any], told: list[dict[str, Any]], translate: Any) -> list[dict[str, Any]]:
    """Return what is held as headed tables of texts; `told` are the messages as `_messages` gives them."""

    def table(title: str, head: tuple[str, ...], rows: list[list[str]]) -> dict[str, Any]:
        return {"title": translate(title), "head": [translate(text) for text in head], "rows": rows}

    def kind(one: dict[str, Any]) -> str:
        return str(translate(kind_of(one["register"], one["kind"]).words))

    person = held["person"]
    entry = [
        [translate(_("Name")), "; ".join(name["text"] for name in person["names"])],
        [translate(_("Personal number")), person["personal_number"]],
        [translate(_("Born")), person.get("birth_date") or "–"],
        [translate(_("Place")), person.get("place") or "–"],
        [translate(_("Contacts")), "; ".join(contact["value"] for contact in person.get("contacts", [])) or "–"],
    ]
    documents = [
        [kind(one), one["number"] or "–", translate(STATES[one["state"]]), one["valid_from"] or "–", one["valid_until"] or "–"]
        for one in held["documents"]
    ]
    history = sorted(
        [line["recorded_at"], kind(one), line["event"], line["author"], line["state"]]
        for one in held["documents"]
        for line in one["history"]
    )
    happened = [
        [_read(at), what, translate(EVENTS.get(event, event)), translate(AUTHORS.get(by, by)), translate(STATES[state])]
        for at, what, event, by, state in reversed(history)
    ]
    checks = [
        [_read(line["checked_at"]), line["party"], translate(PURPOSES[line["purpose"]]), translate(WORDS[line["outcome"]])]
        for line in held["checks"]
    ]
    traits = [
        [translate(TRAITS.get(line["trait"], line["trait"])), _read(line["enrolled_at"]), _read(line["ended_at"])]
        for line in held["traits"]
    ]
    return [
        table(_("Entry in the register of persons"), (_("Item"), _("Value")), entry),
        table(_("Documents"), (_("Kind"), _("Number"), _("State"), _("Valid from"), _("Valid until")), documents),
        table(_("What happened to them"), (_("Recorded"), _("Kind"), _("Event"), _("By"), _("State after")), happened),
        table(_("Checks"), (_("Time"), _("Organisation"), _("Purpose"), _("Answer")), checks),
        table(_("Portraits and fingerprints"), (_("Kind"), _("Enrolled"), _("Ended")), traits),
        table(_("Messages to you"), (_("Time"), _("Message")), [[one["at"], one["title"]] for one in told]),
    ]


# -- the demo ----------------------------------------------------------------------------------------------------------------


async def outbox(office: Office, call: Call) -> Reply:
    """Show what the demo would have sent; in every other register this page does not exist."""
    if not office.settings.demo:
        raise NotFound("There is no such thing here.")
    shown = [
        {
            "at": clock(due.created_at_us),
            "channel": due.channel,
            "to": address,
            "title": text.title,
            "language": due.language,
            "body": (text.sms if due.channel == "sms" else text.body).split("\n"),
            "state": state,
        }
        for due, state, address, text in await office.delivery.outbox()
    ]
    return pages.page(call, "citizen/outbox.html", messages=shown)
