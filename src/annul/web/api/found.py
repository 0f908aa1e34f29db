"""Answer programs of desks about found cards: taken in, handed over, given back, destroyed; where they are handed in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

from msgspec import Meta, Struct

from annul.records.document import DocumentFields, parse_document
from annul.records.references import REFERENCE, Given, Reference
from annul.records.status import Proof
from annul.registry.desk.found import CardState, Finder, FoundCard, HandInPoint
from annul.times import rfc3339
from annul.web.api.terms import DOCUMENT_PROBLEMS, Body, Moment, act_of, moment, moment_or_none
from annul.web.door.call import Call, Route, get, tagged, write
from annul.web.door.who import CARD_ID, HANDS

if TYPE_CHECKING:
    from annul.web.door.office import Office

Place = Annotated[str, Meta(min_length=1, max_length=120, extra=REFERENCE)]
PresentProof = Literal["in_person", "in_person_fingerprint"]


class FoundCardTaken(Body):
    """A finder handed a card in. It is refused everywhere; held, or to be destroyed when it was replaced.

    Args:
        point: where it was handed in; `shelf`: where it lies.
        finder: who found it, if she wants to say; kept encrypted.
        document: the document as printed: scheme, number and what else its scheme asks.
        shelf: where the card lies.
        found_at: when it was found (RFC 3339, UTC).
        evidence: reference of the evidence or the decision, not the evidence itself; at most 200 characters.
    """

    document: DocumentFields
    point: Place
    shelf: Annotated[str, Meta(max_length=120, extra=REFERENCE)] = ""
    found_at: Moment | None = None
    finder: Finder | None = None
    evidence: Reference = ""


class HandOver(Body):
    """A card went from one keeper to another. If `given_by` had it not by the chain, the chain has a gap from then on.

    Args:
        given_by: who gave the card.
        taken_by: who took the card.
        place: where it was; as people would write it.
        handed_at: when it changed hands (RFC 3339, UTC).
        party: the party at whose desk it lies from then on, when it is another one: only that one does something with it.
    """

    given_by: Place
    taken_by: Place
    place: Annotated[str, Meta(max_length=120, extra=REFERENCE)] = ""
    handed_at: Moment | None = None
    party: Annotated[str, Meta(max_length=24)] = ""


class HandOut(Body):
    """The holder came in person, proved who she is, and got the card back.

    Args:
        proof: on what proof.
        evidence: reference of the evidence or the decision, not the evidence itself; at most 200 characters.
    """

    proof: PresentProof
    evidence: Given


class Destruction(Body):
    """The card was destroyed by hand, by this record.

    Args:
        evidence: reference of the evidence or the decision, not the evidence itself; at most 200 characters.
    """

    evidence: Given


class CustodyStep(Struct):
    """One line of a chain of custody; `gap`: who gave it was not who had it.

    Args:
        given_by: who gave the card.
        taken_by: who took the card.
        place: where it was; as people would write it.
        handed_at: when it changed hands (RFC 3339, UTC).
        recorded_at: when it was recorded (RFC 3339, UTC).
        author: who recorded it: an organisation, or an officer of one.
        gap: who gave it was not who had it.
        position: position in the register log; 0-based and dense.
    """

    given_by: str
    taken_by: str
    place: str
    handed_at: str
    recorded_at: str
    author: str
    gap: bool
    position: int


class FoundCardShown(Struct):
    """A found card, its chain of custody and the reports it matches (empty in lists).

    Args:
        status: state of its document now; `works_again`: it would be in force after it was given back.
        broken: the chain has a gap, so it is not given back.
        keeper: who has it.
        kept_by: the party at whose desk that is, which alone does something with it.
        card: id of the found card.
        state: its present state.
        coverage: kind of document, as the register names it.
        kind: what kind it is.
        works_again: the report can be lifted: custody was never broken.
        point: place where the card was handed in.
        shelf: where the card lies.
        found_at: when it was found (RFC 3339, UTC).
        accepted_at: when the card was taken in (RFC 3339, UTC).
        accepted_by: who took the card in.
        ended_at: when the card left custody (RFC 3339, UTC); null before.
        custody: who had the card, from whom, when.
        reports: loss reports of this document.
    """

    card: str
    state: str
    coverage: str
    kind: str
    status: str
    works_again: bool
    broken: bool
    point: str
    shelf: str
    keeper: str
    kept_by: str
    found_at: str
    accepted_at: str
    accepted_by: str
    ended_at: str | None
    custody: list[CustodyStep]
    reports: list[str]


class FoundCards(Struct):
    """Found cards of the realm.

    Args:
        cards: the found cards, newest first.
    """

    cards: list[FoundCardShown]


class Points(Struct):
    """Where found cards are handed in.

    Args:
        points: the places.
    """

    points: list[HandInPoint]


class PointGiven(Body):
    """A place of the caller's where found cards are handed in; one of the same id is changed.

    Args:
        id: its id.
        name: its name.
        address: street and place, as people would write it.
        hours: opening hours, as people would write them.
    """

    id: Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9-]{0,39}$")]
    name: Place
    address: Annotated[str, Meta(min_length=1, max_length=200)]
    hours: Annotated[str, Meta(max_length=120)] = ""


class FoundQuery(Struct, forbid_unknown_fields=True):
    """Query of a list of found cards.

    Args:
        state: its present state.
    """

    state: Literal["held", "to_destroy", "handed_out", "destroyed"] = "held"


def _card(card: FoundCard, custody: list[CustodyStep] | None = None, reports: list[str] | None = None) -> FoundCardShown:
    return FoundCardShown(
        card=card.id,
        state=card.state,
        coverage=card.coverage,
        kind=card.kind,
        status=card.status,
        works_again=card.works_again,
        broken=card.broken,
        point=card.point,
        shelf=card.shelf,
        keeper=card.keeper,
        kept_by=card.kept_by,
        found_at=rfc3339(card.found_at_us),
        accepted_at=rfc3339(card.accepted_at_us),
        accepted_by=card.accepted_by,
        ended_at=moment_or_none(card.ended_at_us),
        custody=custody or [],
        reports=reports or [],
    )


async def _one_card(office: Office, call: Call, card_id: str) -> FoundCardShown:
    shown = await office.found.view(act_of(call), card_id)
    custody = [
        CustodyStep(
            step.given_by,
            step.taken_by,
            step.place,
            rfc3339(step.handed_at_us),
            rfc3339(step.recorded_at_us),
            step.author,
            step.gap,
            step.position,
        )
        for step in shown.custody
    ]
    return _card(shown.card, custody, [match.report for match in shown.reports])


async def take_card(office: Office, call: Call) -> FoundCardShown:
    """Take a found card in."""
    body: FoundCardTaken = call.body
    at = office.now_us() if body.found_at is None else moment(body.found_at, "/found_at")
    done = await office.found.accept(
        act_of(call),
        parse_document(body.document),
        point=body.point,
        shelf=body.shelf,
        found_at_us=at,
        finder=body.finder,
        evidence=body.evidence,
    )
    return await _one_card(office, call, done.id)


async def cards(office: Office, call: Call) -> FoundCards:
    """List found cards."""
    state: CardState = call.query.state
    return FoundCards([_card(card) for card in await office.found.list(act_of(call), state)])


async def card(office: Office, call: Call) -> FoundCardShown:
    """Answer one found card."""
    return await _one_card(office, call, call.path["card"])


async def hand_over(office: Office, call: Call) -> FoundCardShown:
    """Record a hand-over."""
    body: HandOver = call.body
    at = office.now_us() if body.handed_at is None else moment(body.handed_at, "/handed_at")
    await office.found.hand_over(
        act_of(call),
        call.path["card"],
        given_by=body.given_by,
        taken_by=body.taken_by,
        place=body.place,
        handed_at_us=at,
        party=body.party,
    )
    return await _one_card(office, call, call.path["card"])


async def hand_out(office: Office, call: Call) -> FoundCardShown:
    """Give a card back to its holder."""
    await office.found.hand_out(act_of(call), call.path["card"], proof=Proof[call.body.proof], evidence=call.body.evidence)
    return await _one_card(office, call, call.path["card"])


async def destroy(office: Office, call: Call) -> FoundCardShown:
    """Record that a card was destroyed."""
    await office.found.destroy(act_of(call), call.path["card"], evidence=call.body.evidence)
    return await _one_card(office, call, call.path["card"])


async def points(office: Office, _call: Call) -> Points:
    """List where found cards are handed in."""
    return Points(list(await office.found.points()))


async def set_point(office: Office, call: Call) -> Points:
    """Record a hand-in point."""
    body: PointGiven = call.body
    point = HandInPoint(id=body.id, party=call.principal.id, name=body.name, address=body.address, hours=body.hours)
    await office.found.set_point(act_of(call), point)
    return Points(list(await office.found.points()))


_CARD: Final = {"card": CARD_ID}


ROUTES: Final[tuple[Route, ...]] = tagged(
    "found cards",
    get("/v1/found/points", "public", points, "List where found cards are handed in", returns=Points),
    write(
        "/v1/found/points",
        HANDS,
        set_point,
        "Record a place where found cards are handed in",
        body=PointGiven,
        returns=Points,
        live=True,
    ),
    get("/v1/found", HANDS, cards, "List found cards", returns=FoundCards, query=FoundQuery),
    write(
        "/v1/found",
        HANDS,
        take_card,
        "Take a found card in",
        body=FoundCardTaken,
        returns=FoundCardShown,
        status=201,
        problems=DOCUMENT_PROBLEMS,
    ),
    get(
        "/v1/found/{card}",
        HANDS,
        card,
        "Look a found card up, with its chain of custody",
        returns=FoundCardShown,
        patterns=_CARD,
        problems=("not-found",),
    ),
    write(
        "/v1/found/{card}/hand-over",
        HANDS,
        hand_over,
        "Record that a found card went to another keeper",
        body=HandOver,
        returns=FoundCardShown,
        patterns=_CARD,
    ),
    write(
        "/v1/found/{card}/hand-out",
        HANDS,
        hand_out,
        "Give a found card back to its holder",
        body=HandOut,
        returns=FoundCardShown,
        patterns=_CARD,
    ),
    write(
        "/v1/found/{card}/destroy",
        HANDS,
        destroy,
        "Record that a found card was destroyed",
        body=Destruction,
        returns=FoundCardShown,
        patterns=_CARD,
    ),
)
