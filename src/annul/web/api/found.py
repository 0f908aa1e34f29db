"""Answer programs of desks and relying parties: found cards, disputes, searches, officers, recalls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, cast

from msgspec import Meta, Struct

from annul.errors import BadInput
from annul.records.document import DocumentFields, parse_document
from annul.records.status import Proof
from annul.registry.desk.disputes import By, DisputeGround, DisputeView, NoteKind
from annul.registry.desk.found import CardState, Finder, FoundCard, HandInPoint
from annul.registry.desk.recalls import PAGE_MAX, RecallView
from annul.registry.desk.searches import ByDocument, ByName, ByNumber, DelayGround, SearchShown
from annul.registry.parties.officers import Officer, may_manage
from annul.times import rfc3339
from annul.web.api.reports import act_of
from annul.web.api.terms import Body, Case, Evidence, Moment, moment, moment_or_none
from annul.web.door.call import Call, Route

if TYPE_CHECKING:
    from annul.web.door.office import Office

DESKS: Final = frozenset({"issuer", "police", "supervisor"})
HANDS: Final = frozenset({"issuer", "police"})
DECIDERS: Final = frozenset({"issuer", "supervisor"})
RAISERS: Final = DESKS | {"relying_party"}
RELYING: Final = frozenset({"relying_party"})
MANAGERS: Final = frozenset({"issuer", "police", "supervisor", "relying_party"})

CARD_ID: Final = "f_[0-9a-f]{24}"
DISPUTE_ID: Final = "x_[0-9a-f]{24}"
RECALL_ID: Final = "rc_[0-9a-f]{24}"
PARTY_ID: Final = "[a-z0-9][a-z0-9-]{0,23}"
STAFF: Final = "[A-Za-z0-9][A-Za-z0-9.-]{0,31}"
DOCUMENT: Final = ("malformed-number", "ambiguous-document")
WRITE: Final = ("conflict", "transition-refused", "not-yet-effective", "not-found")

Place = Annotated[str, Meta(min_length=1, max_length=120)]
Reason = Annotated[str, Meta(min_length=1, max_length=500)]
PresentProof = Literal["in_person", "in_person_fingerprint"]

# -- found cards -------------------------------------------------------------------------------------------------------------


class FoundCardTaken(Body):
    """A finder handed a card in. It is refused everywhere; held, or to be destroyed when it was replaced.

    Args:
        point: where it was handed in; `shelf`: where it lies.
        finder: who found it, if she wants to say; kept encrypted.
    """

    document: DocumentFields
    point: Place
    shelf: Annotated[str, Meta(max_length=120)] = ""
    found_at: Moment | None = None
    finder: Finder | None = None
    evidence: Evidence = ""


class HandOver(Body):
    """A card went from one keeper to another. If `given_by` had it not by the chain, the chain has a gap from then on."""

    given_by: Place
    taken_by: Place
    place: Annotated[str, Meta(max_length=120)] = ""
    handed_at: Moment | None = None


class HandOut(Body):
    """The holder came in person, proved who she is, and got the card back."""

    proof: PresentProof
    evidence: Annotated[str, Meta(min_length=1, max_length=200)]


class Destruction(Body):
    """The card was destroyed by hand, by this record."""

    evidence: Annotated[str, Meta(min_length=1, max_length=200)]


class CustodyStep(Struct):
    """One line of a chain of custody; `gap`: who gave it was not who had it."""

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
    found_at: str
    accepted_at: str
    accepted_by: str
    ended_at: str | None
    custody: list[CustodyStep]
    reports: list[str]


class FoundCards(Struct):
    """Found cards of the realm."""

    cards: list[FoundCardShown]


class Points(Struct):
    """Where found cards are handed in."""

    points: list[HandInPoint]


class PointGiven(Body):
    """A place of the caller's where found cards are handed in; one of the same id is changed."""

    id: Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9-]{0,39}$")]
    name: Place
    address: Annotated[str, Meta(min_length=1, max_length=200)]
    hours: Annotated[str, Meta(max_length=120)] = ""


class FoundQuery(Struct, forbid_unknown_fields=True):
    """Query of a list of found cards."""

    state: Literal["held", "to_destroy", "handed_out", "destroyed"] = "held"


def _card(card: FoundCard, custody: list[CustodyStep] | None = None, reports: list[str] | None = None) -> FoundCardShown:
    return FoundCardShown(
        card=card.id, state=card.state, coverage=card.coverage, kind=card.kind, status=card.status,
        works_again=card.works_again, broken=card.broken, point=card.point, shelf=card.shelf, keeper=card.keeper,
        found_at=rfc3339(card.found_at_us), accepted_at=rfc3339(card.accepted_at_us), accepted_by=card.accepted_by,
        ended_at=moment_or_none(card.ended_at_us), custody=custody or [], reports=reports or [],
    )  # fmt: skip


async def _one_card(office: Office, call: Call, card_id: str) -> FoundCardShown:
    shown = await office.found.view(act_of(call), card_id)
    custody = [
        CustodyStep(
            step.given_by, step.taken_by, step.place, rfc3339(step.handed_at_us), rfc3339(step.recorded_at_us), step.author,
            step.gap, step.position,
        )
        for step in shown.custody
    ]  # fmt: skip
    return _card(shown.card, custody, [match.report for match in shown.reports])


async def take_card(office: Office, call: Call) -> FoundCardShown:
    """Take a found card in."""
    body: FoundCardTaken = call.body
    at = office.now_us() if body.found_at is None else moment(body.found_at, "/found_at")
    done = await office.found.accept(
        act_of(call), parse_document(body.document), point=body.point, shelf=body.shelf, found_at_us=at, finder=body.finder,
        evidence=body.evidence,
    )  # fmt: skip
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
        act_of(call), call.path["card"], given_by=body.given_by, taken_by=body.taken_by, place=body.place, handed_at_us=at
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


# -- disputes ----------------------------------------------------------------------------------------------------------------


class DisputeRaised(Body):
    """Say that a listing is wrong. Checks answer U34 until it is decided, unless a relying party raised it.

    Args:
        by: for whom: the holder, or the caller itself.
        case: reference of the file.
        statement: what the holder says; kept encrypted, erasable.
    """

    document: DocumentFields
    ground: DisputeGround
    case: Case
    by: Literal["holder", "self"] = "holder"
    statement: Annotated[str, Meta(max_length=4_000)] = ""


class DisputeNote(Body):
    """A note of the file, kept encrypted."""

    kind: NoteKind
    text: Annotated[str, Meta(min_length=1, max_length=4_000)]


class DisputeDecided(Body):
    """The decision: corrected (the listing was never true), upheld, refused (not examined) or withdrawn."""

    decision: Literal["corrected", "upheld", "refused", "withdrawn"]
    reason: Reason
    evidence: Evidence = ""


class RecallReach(Struct):
    """How far a correction has reached: organisations and answers that are recalled, organisations that said they know."""

    parties: int
    checks: int
    acknowledged: int
    settled: bool


class DisputeFile(Struct):
    """A dispute, without what was said; `reach` once it ended with a correction."""

    dispute: str
    state: str
    fact: str
    status: str
    ground: str
    case: str
    raised_by: str
    party: str
    marked: bool
    opened_at: str
    due_at: str
    overdue: bool
    reason: str
    decided_by: str | None
    decided_at: str | None
    position: int | None
    reach: RecallReach | None = None


class DisputeFiles(Struct):
    """Disputes, the most urgent first."""

    disputes: list[DisputeFile]


class DisputeQuery(Struct, forbid_unknown_fields=True):
    """Query of a list of disputes."""

    state: Literal["open", "corrected", "upheld", "refused", "withdrawn"] = "open"
    overdue: bool = False


def _file(view: DisputeView) -> DisputeFile:
    return DisputeFile(
        dispute=view.id, state=view.state, fact=view.fact, status=view.status, ground=view.ground, case=view.case,
        raised_by=view.raised_by, party=view.party, marked=view.marked, opened_at=rfc3339(view.opened_at_us),
        due_at=rfc3339(view.due_at_us), overdue=view.overdue, reason=view.reason, decided_by=view.decided_by,
        decided_at=moment_or_none(view.decided_at_us), position=view.decided_position,
    )  # fmt: skip


def _own(call: Call) -> str | None:
    """Return the party whose disputes alone the caller may see; None for desks, which see all."""
    return call.principal.id if call.principal.role == "relying_party" else None


async def _one_file(office: Office, call: Call, dispute: str) -> DisputeFile:
    shown = await office.disputes.view(act_of(call), dispute, party=_own(call))
    file = _file(shown.dispute)
    if file.state == "corrected":
        count = await office.recalls.count(correction=file.position)
        file.reach = RecallReach(count.parties, count.checks, count.acknowledged, count.settled)
    return file


async def raise_dispute(office: Office, call: Call) -> DisputeFile:
    """Open a dispute."""
    body: DisputeRaised = call.body
    mine: By = "relying_party" if call.principal.role == "relying_party" else "officer"
    done = await office.disputes.open(
        act_of(call), parse_document(body.document), by="holder" if body.by == "holder" and mine == "officer" else mine,
        ground=body.ground, case=body.case, statement=body.statement,
    )  # fmt: skip
    return await _one_file(office, call, done.id)


async def files(office: Office, call: Call) -> DisputeFiles:
    """List disputes: all for desks, its own for a relying party."""
    query: DisputeQuery = call.query
    found = await office.disputes.list(call.principal.realm, state=query.state, overdue=query.overdue, party=_own(call))
    return DisputeFiles([_file(view) for view in found])


async def file(office: Office, call: Call) -> DisputeFile:
    """Answer one dispute."""
    return await _one_file(office, call, call.path["dispute"])


async def mark(office: Office, call: Call) -> DisputeFile:
    """Mark the document of a relying party's dispute."""
    await office.disputes.mark(act_of(call), call.path["dispute"])
    return await _one_file(office, call, call.path["dispute"])


async def add_note(office: Office, call: Call) -> DisputeFile:
    """Add a note to the file."""
    await office.disputes.add_note(act_of(call), call.path["dispute"], call.body.kind, call.body.text)
    return await _one_file(office, call, call.path["dispute"])


async def decide(office: Office, call: Call) -> DisputeFile:
    """Decide a dispute."""
    body: DisputeDecided = call.body
    await office.disputes.decide(act_of(call), call.path["dispute"], body.decision, reason=body.reason, evidence=body.evidence)
    return await _one_file(office, call, call.path["dispute"])


# -- searches ----------------------------------------------------------------------------------------------------------------


class SearchWanted(Body):
    """Search for a person or a document, for a case. The search is on record before it is answered, and its holder sees it.

    Args:
        document, personal_number, name with birth_date: exactly one of these.
        delayed_until: the holder sees it only then; police alone, at most 180 days, with a ground.
    """

    case: Case
    purpose: Literal["report", "found_card", "dispute", "investigation", "correspondence", "supervision"]
    document: DocumentFields | None = None
    personal_number: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    name: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    birth_date: Annotated[str, Meta(min_length=10, max_length=10)] | None = None
    delayed_until: Moment | None = None
    delay_ground: DelayGround = ""


class DocumentSeen(Struct):
    """One document of a search: kind and state; the number where the register of persons tells it."""

    coverage: str
    kind: str
    number: str
    state: str
    disputed: bool
    since: str | None


class PersonSeen(Struct):
    """One person of a search."""

    person: int
    names: list[str]
    birth_date: str
    personal_number: str
    status: str


class SearchAnswer(Struct):
    """What a search found."""

    search: str
    searched_at: str
    persons: list[PersonSeen]
    documents: list[DocumentSeen]


class SearchLineShown(Struct):
    """A search in a list: who, when, for what case; nothing of what was found but how much."""

    search: str
    officer: str
    searched_at: str
    case: str
    purpose: str
    kind: str
    found: int
    delayed_until: str | None


class SearchList(Struct):
    """Searches, newest first."""

    searches: list[SearchLineShown]


class SearchQuery(Struct, forbid_unknown_fields=True):
    """Query of the list of searches: of one case, or all."""

    case: Annotated[str, Meta(max_length=64)] = ""


async def search(office: Office, call: Call) -> SearchAnswer:
    """Search."""
    body: SearchWanted = call.body
    given = [body.document is not None, body.personal_number is not None, body.name is not None]
    if sum(given) != 1:
        raise BadInput(
            "A search asks for one thing.", where="/", mend="Give document, personal_number, or name with birth_date."
        )
    question: Any
    if body.document is not None:
        parse_document(body.document)
        question = ByDocument(body.document)
    else:
        question = ByNumber(body.personal_number) if body.personal_number else ByName(body.name or "", body.birth_date or "")
    act = act_of(call)
    found = await office.searches.look(
        act, question, case=body.case, purpose=body.purpose, delay_ground=body.delay_ground,
        delayed_until_us=None if body.delayed_until is None else moment(body.delayed_until, "/delayed_until"),
        police=call.principal.role == "police",
    )  # fmt: skip
    return _answer(await office.searches.view(act, found))


def _answer(shown: SearchShown) -> SearchAnswer:
    return SearchAnswer(
        search=shown.id,
        searched_at=rfc3339(shown.searched_at_us),
        persons=[
            PersonSeen(
                found.id, [name.text for name in found.person.names], found.person.birth_date, found.person.personal_number,
                found.person.status,
            )
            for found in shown.persons
        ],
        documents=[
            DocumentSeen(
                found.coverage, found.kind, found.number, found.state, found.disputed, moment_or_none(found.since_us)
            )
            for found in shown.documents
        ],
    )  # fmt: skip


async def searches(office: Office, call: Call) -> SearchList:
    """List searches: of the own party, of all for a supervisor."""
    party = None if call.principal.role == "supervisor" else call.principal.id
    lines = await office.searches.of_party(party, call.principal.realm, case=call.query.case)
    return SearchList(
        [
            SearchLineShown(
                line.id, line.officer, rfc3339(line.searched_at_us), line.case, line.purpose, line.kind, line.found,
                moment_or_none(line.delayed_until_us),
            )
            for line in lines
        ]
    )  # fmt: skip


# -- officers ----------------------------------------------------------------------------------------------------------------

Duty = Literal["desk", "found", "disputes", "bulk", "review", "policy", "officers"]


class NewOfficer(Body):
    """A new officer. `party` is the caller's own, unless a supervisor says another."""

    staff: Annotated[str, Meta(min_length=1, max_length=32)]
    name: Annotated[str, Meta(min_length=1, max_length=120)]
    duties: list[Duty]
    party: Annotated[str, Meta(max_length=24)] = ""


class OfficerChanged(Body):
    """What changes about an officer; what is left out stays. Who is made inactive loses her sessions at once."""

    name: Annotated[str, Meta(min_length=1, max_length=120)] | None = None
    duties: list[Duty] | None = None
    active: bool | None = None


class OfficerList(Struct):
    """Officers of a party, or of all for a supervisor."""

    officers: list[Officer]


async def officers(office: Office, call: Call) -> OfficerList:
    """List officers."""
    return OfficerList(await office.officers.list(None if call.principal.role == "supervisor" else call.principal.id))


async def add_officer(office: Office, call: Call) -> Officer:
    """Record an officer."""
    body: NewOfficer = call.body
    party = body.party or call.principal.id
    may_manage(call.principal, party)
    done = await office.officers.add(act_of(call), party, body.staff, body.name, cast("list[str]", body.duties))
    return await office.officers.officer(done.id)


async def change_officer(office: Office, call: Call) -> Officer:
    """Change an officer."""
    body: OfficerChanged = call.body
    party, staff = call.path["party"], call.path["staff"]
    may_manage(call.principal, party)
    duties = None if body.duties is None else cast("list[str]", body.duties)
    done = await office.officers.change(act_of(call), f"{party}/{staff}", name=body.name, duties=duties, active=body.active)
    return await office.officers.officer(done.id)


# -- recalls -----------------------------------------------------------------------------------------------------------------


class RecallShown(Struct):
    """A recall: answers to this party that do not hold any more. Ask again about these customers.

    Args:
        cause: corrected (they rested on a listing which was never true), or reported_late (they told of no listing although the
            document was lost, replaced, cancelled or revoked already: it was recorded later).
        position: cursor of the list: give it as `after` to get what is newer.
        note: signed note (C2SP) by the register's key that names the checks.
    """

    recall: str
    cause: Literal["corrected", "reported_late"]
    position: int
    made_at: str
    check_count: int
    note: str
    acknowledged_at: str | None


class RecallList(Struct):
    """Recalls of the caller, oldest first; `cursor` is the `after` of the next page."""

    recalls: list[RecallShown]
    cursor: int


class RecallQuery(Struct, forbid_unknown_fields=True):
    """Query of the list of recalls: behind a position, at most `limit`; `open` leaves acknowledged ones out."""

    after: Annotated[int, Meta(ge=0, le=2**62)] = 0
    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX)] = 100
    open: bool = False


def _recall(view: RecallView) -> RecallShown:
    return RecallShown(
        view.id, view.cause, view.position, rfc3339(view.made_at_us), view.check_count, view.note,
        moment_or_none(view.acknowledged_at_us),
    )  # fmt: skip


async def recalls(office: Office, call: Call) -> RecallList:
    """List the caller's recalls."""
    query: RecallQuery = call.query
    who = call.principal
    found = await office.recalls.of_party(who.id, who.realm, after=query.after, limit=query.limit, open_only=query.open)
    return RecallList([_recall(view) for view in found], found[-1].position if found else query.after)


async def acknowledge(office: Office, call: Call) -> RecallShown:
    """Note that the caller knows of a recall."""
    return _recall(await office.recalls.acknowledge(act_of(call), call.principal.id, call.path["recall"]))


def _read(path: str, who: Any, handler: Any, summary: str, returns: Any, tag: str, **more: Any) -> Route:
    return Route(method="GET", path=path, who=who, handler=handler, summary=summary, returns=returns, tag=tag, **more)


def _write(path: str, who: Any, handler: Any, summary: str, body: Any, returns: Any, tag: str, **more: Any) -> Route:
    problems = (*WRITE, *more.pop("problems", ()))
    return Route(
        method="POST", path=path, who=who, handler=handler, summary=summary, body=body, returns=returns, tag=tag, write=True,
        problems=problems, **more,
    )  # fmt: skip


_CARD: Final = {"card": CARD_ID}
_DISPUTE: Final = {"dispute": DISPUTE_ID}

ROUTES: Final[tuple[Route, ...]] = (
    _read("/v1/found/points", "public", points, "List where found cards are handed in", Points, "found cards"),
    _write("/v1/found/points", HANDS, set_point, "Record a place where found cards are handed in", PointGiven, Points,
           "found cards", live=True),
    _read("/v1/found", HANDS, cards, "List found cards", FoundCards, "found cards", query=FoundQuery),
    _write("/v1/found", HANDS, take_card, "Take a found card in", FoundCardTaken, FoundCardShown, "found cards", status=201,
           problems=DOCUMENT),
    _read("/v1/found/{card}", HANDS, card, "Look a found card up, with its chain of custody", FoundCardShown, "found cards",
          patterns=_CARD, problems=("not-found",)),
    _write("/v1/found/{card}/hand-over", HANDS, hand_over, "Record that a found card went to another keeper", HandOver,
           FoundCardShown, "found cards", patterns=_CARD),
    _write("/v1/found/{card}/hand-out", HANDS, hand_out, "Give a found card back to its holder", HandOut, FoundCardShown,
           "found cards", patterns=_CARD),
    _write("/v1/found/{card}/destroy", HANDS, destroy, "Record that a found card was destroyed", Destruction, FoundCardShown,
           "found cards", patterns=_CARD),
    _read("/v1/disputes", RAISERS, files, "List disputes: desks all, a relying party its own", DisputeFiles, "disputes",
          query=DisputeQuery),
    _write("/v1/disputes/raise", RAISERS, raise_dispute, "Open the file of a dispute", DisputeRaised, DisputeFile, "disputes",
           status=201, problems=DOCUMENT),
    _read("/v1/disputes/{dispute}", RAISERS, file, "Look a dispute up, and how far its correction reached", DisputeFile,
          "disputes", patterns=_DISPUTE, problems=("not-found",)),
    _write("/v1/disputes/{dispute}/mark", DESKS, mark, "Mark the document of a relying party's dispute (U34)", None,
           DisputeFile, "disputes", patterns=_DISPUTE),
    _write("/v1/disputes/{dispute}/notes", DESKS, add_note, "Add a note of a hearing, encrypted", DisputeNote, DisputeFile,
           "disputes", patterns=_DISPUTE),
    _write("/v1/disputes/{dispute}/decide", DECIDERS, decide, "Decide a dispute", DisputeDecided, DisputeFile, "disputes",
           patterns=_DISPUTE, problems=("forbidden",)),
    _write("/v1/searches", DESKS, search, "Search a person or a document for a case; its holder sees the search", SearchWanted,
           SearchAnswer, "searches", problems=(*DOCUMENT, "forbidden", "too-large")),
    _read("/v1/searches", DESKS, searches, "List searches: of the own party, all for a supervisor", SearchList, "searches",
          query=SearchQuery),
    _read("/v1/officers", MANAGERS, officers, "List officers", OfficerList, "officers"),
    _write("/v1/officers", MANAGERS, add_officer, "Record an officer", NewOfficer, Officer, "officers", status=201,
           live=True),
    _write("/v1/officers/{party}/{staff}", MANAGERS, change_officer, "Change an officer, or take her access away",
           OfficerChanged, Officer, "officers", patterns={"party": PARTY_ID, "staff": STAFF}, live=True),
    _read("/v1/recalls", RELYING, recalls, "List answers to you that do not hold any more, by cursor", RecallList, "recalls",
          query=RecallQuery),
    _write("/v1/recalls/{recall}/acknowledge", RELYING, acknowledge, "Say that you know of a recall", None, RecallShown,
           "recalls", patterns={"recall": RECALL_ID}),
)  # fmt: skip
"""What programs of desks and relying parties may ask of this room."""
