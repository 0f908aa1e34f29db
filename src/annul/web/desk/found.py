"""The found-card desk: take in, match, hand over, hand out, destroy; the chain of custody of every card."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from msgspec import Meta

from annul.errors import AnnulError, BadInput
from annul.records.document import parse_document
from annul.records.references import Reference
from annul.records.schemes import kind_of
from annul.records.status import Proof
from annul.registry.desk.found import KEPT, CardState, Finder, FoundCard, FoundShown
from annul.web.counter.reading import CheckForm, fields_of
from annul.web.desk.frame import DAYS, act_for, card_of, happened, issued_by, options, show
from annul.web.desk.searching import one_of
from annul.web.desk.words import CARD_STATES, KEEPERS, PROOFS, REPORT_STATES
from annul.web.door import pages
from annul.web.door.call import Call, Reply
from annul.web.door.forms import Form
from annul.web.door.names import Named, names_of
from annul.web.door.words import EVENTS, KINDS, STATES, _

if TYPE_CHECKING:
    from annul.registry.writing.documents import Known
    from annul.web.door.office import Office

Short = Annotated[str, Meta(max_length=200)]
PRESENT: Final = ("in_person_fingerprint", "in_person")


class CardQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Query of the list."""

    state: Short = "held"


class Chosen(msgspec.Struct, forbid_unknown_fields=True):
    """Query of the page that takes a card in: a document of a search, or none."""

    search: Short = ""
    place: Short = ""


class Accept(msgspec.Struct, forbid_unknown_fields=True, rename=lambda name: name.replace("happened_", "happened-")):
    """Form that takes a card in."""

    search: Short = ""
    place: Short = ""
    number: Annotated[str, Meta(max_length=400)] = ""
    valid_from: Short = ""
    kind: Short = ""
    issuer: Short = ""
    point: Reference = ""
    shelf: Reference = ""
    happened_year: Short = ""
    happened_month: Short = ""
    happened_day: Short = ""
    time: Short = ""
    which: Short = ""
    finder: Short = ""
    contact: Short = ""
    where: Short = ""


class Step(msgspec.Struct, forbid_unknown_fields=True):
    """Form of a step of a found card."""

    given_by: Reference = ""
    taken_by: Reference = ""
    place: Reference = ""
    party: Short = ""
    proof: Short = ""
    evidence: Reference = ""


def _card(call: Call, card: FoundCard) -> dict[str, Any]:
    translate = pages.translator(call)
    kind = kind_of(card.coverage, card.kind)
    issuer = issued_by(card.coverage)
    return {
        "shape": kind.shape,
        "kind": translate(kind.words) + (f" · {issuer}" if issuer else ""),
        "number": "",
        "state": card.status,
        "since": translate(_("taken in %s")) % pages.moment(card.accepted_at_us),
        "note": translate(_("valid from %s")) % pages.day(card.valid_from_day) if card.valid_from_day else "",
        "href": f"/desk/found/{card.id}",
        "action": translate(_("Open this card")),
        "id": card.id,
        "shelf": card.shelf,
        "keeper": translate(KEEPERS.get(card.keeper, card.keeper)),
        "matches": card.matches,
        "broken": card.broken,
    }


async def listed(office: Office, call: Call) -> Reply:
    """List found cards of one state."""
    act = act_for(call)
    state: CardState = call.query.state if call.query.state in CARD_STATES else "held"
    cards = await office.found.list(act, state)
    counts = await office.found.counts(act)
    tabs = [(each, words, counts.get(each, 0)) for each, words in options(call, CARD_STATES)]
    return show(call, "desk/found.html", cards=[_card(call, card) for card in cards], tabs_of=tabs, state=state)


async def accept_page(office: Office, call: Call) -> Reply:
    """Show the form that takes a card in."""
    typed = call.kept or {"search": call.query.search, "place": call.query.place, "point": call.principal.name}
    return await _accept(office, call, Form(typed))


async def _accept(office: Office, call: Call, form: Form, status: int = 200) -> Reply:
    translate = pages.translator(call)
    kinds = [(value, translate(text)) for value, text in KINDS]
    chosen = None
    if form["search"] and str(form["place"]).isdigit():
        found = one_of(await office.searches.view(act_for(call), form["search"]), int(form["place"]))
        chosen = card_of(call, found)
    return show(call, "desk/found_accept.html", status=status, form=form, kinds=kinds, chosen=chosen, days=options(call, DAYS))


async def accept(office: Office, call: Call) -> Reply:
    """Take a card in; it is refused everywhere from then on."""
    body: Accept = call.body
    act, translate = act_for(call), pages.translator(call)
    form = Form(msgspec.to_builtins(body))
    try:
        document: Any | Known
        if body.search and body.place.isdigit():
            document = await office.searches.chosen(act, body.search, int(body.place))
        else:
            typed = CheckForm(number=body.number, valid_from=body.valid_from, kind=body.kind, issuer=body.issuer)
            document = parse_document(fields_of(typed))
        recorded = await office.found.accept(
            act,
            document,
            point=body.point,
            shelf=body.shelf,
            found_at_us=happened(form, office.now_us()),
            finder=Finder(body.finder.strip(), body.contact.strip(), body.where.strip()),
            evidence=call.session.case,
        )
    except AnnulError as error:
        fields = {"document": "number", "found_at": "happened"}
        return await _accept(office, call, form.refused(error, translate, fields), 400)
    told = (
        _("Taken in. It was replaced or can no longer be used: destroy it.")
        if recorded.state == "destroyed"
        else _("Taken in. It is refused everywhere, and its holder is told where it is.")
    )
    return pages.to(f"/desk/found/{recorded.id}", flash=translate(told), call=call)


async def one(office: Office, call: Call) -> Reply:
    """Show a found card: its state, its matches, in whose hands it was."""
    return await _one(office, call, Form(call.kept))


async def _one(office: Office, call: Call, form: Form, status: int = 200, *, template: str = "desk/found_card.html") -> Reply:
    act = act_for(call)
    shown = await office.found.view(act, call.path["card"])
    authors = [shown.card.accepted_by, shown.card.ended_by, *(step.author for step in shown.custody)]
    named = await names_of(office, authors, pages.translator(call))
    finder = await office.found.finder(act, call.path["card"]) if shown.has_finder and shown.card.state in KEPT else None
    return show(
        call,
        template,
        status=status,
        form=form,
        shown=shown,
        finder=finder,
        card=_card(call, shown.card),
        card_states=CARD_STATES,
        chain=_chain(call, shown, named),
        named=named,
        event_words=EVENTS,
        report_states=REPORT_STATES,
        proofs=[line[:2] for line in options(call, PROOFS) if line[0] in PRESENT],
        status_words=STATES,
        kept=shown.card.state in KEPT,
    )


def _chain(call: Call, shown: FoundShown, named: Named) -> list[dict[str, Any]]:
    """Return the chain of custody for the block `timeline`, newest first."""
    translate = pages.translator(call)

    def kept_by(keeper: str) -> str:
        return translate(KEEPERS.get(keeper, keeper))

    return [
        {
            "title": translate(_("%(given)s → %(taken)s")) % {"given": kept_by(step.given_by), "taken": kept_by(step.taken_by)},
            "happened": pages.moment(step.handed_at_us),
            "recorded": pages.moment(step.recorded_at_us),
            "by": named(step.author),
            "text": translate(_("Gap: who gave it was not who had it.")) if step.gap else step.place,
            "tone": "STOP" if step.gap else "",
        }
        for step in reversed(shown.custody)
    ]


async def step_page(office: Office, call: Call) -> Reply:
    """Ask before a step: hand over, hand out, destroy."""
    shown = await office.found.view(act_for(call), call.path["card"])
    typed = call.kept or {"given_by": shown.card.keeper, "proof": "in_person"}
    return await _one(office, call, Form(typed), template=f"desk/found_{call.path['step'].replace('-', '_')}.html")


async def step(office: Office, call: Call) -> Reply:
    """Carry a step out, once."""
    body: Step = call.body
    act, translate, name, card = act_for(call), pages.translator(call), call.path["step"], call.path["card"]
    form = Form.sent(body)
    try:
        if name == "hand-over":
            await office.found.hand_over(
                act,
                card,
                given_by=body.given_by,
                taken_by=body.taken_by,
                place=body.place,
                handed_at_us=office.now_us(),
                party=body.party.strip(),
            )
            told = _("The card is with somebody else now.")
        elif name == "hand-out":
            if body.proof not in PRESENT:
                raise BadInput(_("The holder comes in person and proves who it is."), where="proof")
            if not body.evidence.strip():
                raise BadInput(_("Say what proved the identity."), where="evidence")
            done = await office.found.hand_out(act, card, proof=Proof[body.proof], evidence=body.evidence.strip())
            told = (
                _("Returned. It can be used again.")
                if done.state == "current"
                else _("Returned. It can never be used again: a new one is needed.")
            )
        else:
            await office.found.destroy(act, card, evidence=body.evidence.strip())
            told = _("Destroyed, and on record.")
    except AnnulError as error:
        return await _one(
            office, call, form.refused(error, translate), 400, template=f"desk/found_{name.replace('-', '_')}.html"
        )
    return pages.to(f"/desk/found/{card}", flash=translate(told), call=call)
