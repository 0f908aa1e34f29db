"""Answer programs of desks about searches for a case; the holder sees each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from msgspec import Meta, Struct

from annul.errors import BadInput
from annul.records.document import DocumentFields, parse_document
from annul.records.references import Tag
from annul.registry.desk.searches import ByDocument, ByName, ByNumber, DelayGround, SearchShown
from annul.times import rfc3339
from annul.web.api.terms import DOCUMENT_PROBLEMS, Body, Case, Moment, act_of, moment, moment_or_none
from annul.web.door.call import Call, Route, get, tagged, write
from annul.web.door.who import DESKS

if TYPE_CHECKING:
    from annul.web.door.office import Office


class SearchWanted(Body):
    """Search for a person or a document, for a case. The search is on record before it is answered, and its holder sees it.

    Args:
        document: the document to search for; exactly one of document, personal number, name with birth date is given.
        personal_number: the personal number to search for.
        delayed_until: the holder sees it only then; police alone, at most 180 days, with a ground.
        case: reference of the case for which this is done; it is on record with the look-up.
        purpose: why it is asked or done.
        name: the name to search for, with the birth date.
        birth_date: day of birth, YYYY-MM-DD; "" when it is not known.
        delay_ground: why the holder is told later; "" when she is told at once.
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
    """One document of a search: kind and state; the number where the register of persons tells it.

    Args:
        coverage: what the register covers of this kind of document.
        kind: what kind it is.
        number: number of the document; needed unless `mrz` is given.
        state: its present state.
        disputed: the status is disputed (U34).
        since: since when its present state stands (RFC 3339, UTC); null for none.
    """

    coverage: str
    kind: str
    number: str
    state: str
    disputed: bool
    since: str | None


class PersonSeen(Struct):
    """One person of a search.

    Args:
        person: id of the person's record.
        names: names of the person, the main one first.
        birth_date: day of birth, YYYY-MM-DD; "" when it is not known.
        personal_number: personal number of the person, as the issuer gives it.
        status: living, deceased or emigrated.
    """

    person: int
    names: list[str]
    birth_date: str
    personal_number: str
    status: str


class SearchAnswer(Struct):
    """What a search found.

    Args:
        search: id of the search.
        searched_at: when it was searched (RFC 3339, UTC).
        persons: the persons.
        documents: the documents.
    """

    search: str
    searched_at: str
    persons: list[PersonSeen]
    documents: list[DocumentSeen]


class SearchLineShown(Struct):
    """A search in a list: who, when, for what case; nothing of what was found but how much.

    Args:
        search: id of the search.
        officer: who searched.
        searched_at: when it was searched (RFC 3339, UTC).
        case: reference of the case for which this is done; it is on record with the look-up.
        purpose: why it is asked or done.
        kind: what kind it is.
        found: how much was found.
        delayed_until: until when the holder is not told of the search; null: told at once.
    """

    search: str
    officer: str
    searched_at: str
    case: str
    purpose: str
    kind: str
    found: int
    delayed_until: str | None


class SearchList(Struct):
    """Searches, newest first.

    Args:
        searches: the searches, newest first.
    """

    searches: list[SearchLineShown]


class SearchQuery(Struct, forbid_unknown_fields=True):
    """Query of the list of searches: of one case, or all.

    Args:
        case: reference of the case for which this is done; it is on record with the look-up.
    """

    case: Tag = ""


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
        act,
        question,
        case=body.case,
        purpose=body.purpose,
        delay_ground=body.delay_ground,
        delayed_until_us=None if body.delayed_until is None else moment(body.delayed_until, "/delayed_until"),
        police=call.principal.role == "police",
    )
    return _answer(await office.searches.view(act, found))


def _answer(shown: SearchShown) -> SearchAnswer:
    return SearchAnswer(
        search=shown.id,
        searched_at=rfc3339(shown.searched_at_us),
        persons=[
            PersonSeen(
                found.id,
                [name.text for name in found.person.names],
                found.person.birth_date,
                found.person.personal_number,
                found.person.status,
            )
            for found in shown.persons
        ],
        documents=[
            DocumentSeen(found.coverage, found.kind, found.number, found.state, found.disputed, moment_or_none(found.since_us))
            for found in shown.documents
        ],
    )


async def searches(office: Office, call: Call) -> SearchList:
    """List searches: of the own party, of all for a supervisor."""
    party = None if call.principal.role == "supervisor" else call.principal.id
    lines = await office.searches.of_party(party, call.principal.realm, case=call.query.case)
    return SearchList(
        [
            SearchLineShown(
                line.id,
                line.officer,
                rfc3339(line.searched_at_us),
                line.case,
                line.purpose,
                line.kind,
                line.found,
                moment_or_none(line.delayed_until_us),
            )
            for line in lines
        ]
    )


ROUTES: Final[tuple[Route, ...]] = tagged(
    "searches",
    write(
        "/v1/searches",
        DESKS,
        search,
        "Search a person or a document for a case; its holder sees the search",
        body=SearchWanted,
        returns=SearchAnswer,
        problems=(*DOCUMENT_PROBLEMS, "forbidden", "too-large"),
    ),
    get(
        "/v1/searches",
        DESKS,
        searches,
        "List searches: of the own party, all for a supervisor",
        returns=SearchList,
        query=SearchQuery,
    ),
)
