"""Speak as systems in service do, so that what was built for them docks: MOSIP's hotlist, DVS's four answers, a plain list.

Each is a thin face: it translates words, calls what every other door calls, and translates back (docs/peers.md has the tables).
Every look-up is a check like any other: within the agreement, accounted for, with a receipt. Errors keep their status; a system
that reads only its own words finds them in the body.

Source: mosip/hotlist-service (HotlistController, HotlistRequestResponseDTO, RequestWrapper); DVS Match result codes Y, N, D, S;
RFC 5280, 5.3.1 (reasons).
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from annul.errors import AnnulError, BadInput, Forbidden, MalformedNumber, NotAuthorised, PurposeNotAllowed, SourceDown
from annul.records.check import Answer, Holder, Question
from annul.records.codes import IdentityCode, Outcome, StatusCode
from annul.records.document import SCHEMES, Document, DocumentFields, parse_document
from annul.records.references import Tag
from annul.records.scheme import Typed
from annul.records.status import Proof
from annul.registry.writing.act import Act
from annul.times import rfc3339
from annul.web.api.terms import DOCUMENT_PROBLEMS, act_of, moment_or_none
from annul.web.door.call import WRITE_PROBLEMS, Call, Reply, Route, get, post, tagged
from annul.web.door.problem import problem_of
from annul.web.door.who import HANDS, RELYING

if TYPE_CHECKING:
    from annul.web.door.office import Office

Text = Annotated[str, Meta(max_length=100)]


# -- MOSIP -------------------------------------------------------------------------------------------------------------------


class HotlistEntry(msgspec.Struct, rename="camel"):
    """What a hotlist is asked about: `id` is the number, `idType` our scheme; `metadata` what the scheme needs besides.

    Members of metadata: `validFrom`, `issuer`, `kind`, `purpose`. With `expiryTimestamp` a block is provisional: it lapses by
    itself, at the time this register's own rule says, which is answered.

    Args:
        id: its id.
        id_type: scheme of the number.
        status: `BLOCKED` or `UNBLOCKED`.
        expiry_timestamp: when a provisional block lapses by itself.
        metadata: what the scheme needs besides the number.
    """

    id: Annotated[str, Meta(min_length=1, max_length=100)]
    id_type: Annotated[str, Meta(min_length=1, max_length=100)]
    status: Text | None = None
    expiry_timestamp: Text | None = None
    metadata: dict[Text, Text] | None = None


class HotlistRequest(msgspec.Struct):
    """MOSIP's RequestWrapper.

    Args:
        request: the entry asked about.
        id: its id.
        version: version, counted up.
        requesttime: when it was asked, as the peer writes it.
        metadata: what the peer sends besides.
    """

    request: HotlistEntry
    id: Text | None = None
    version: Text | None = None
    requesttime: Text | None = None
    metadata: Any = None


class HotlistTold(msgspec.Struct, rename="camel"):
    """The state of an entry.

    Args:
        id: its id.
        id_type: scheme of the number.
        status: `BLOCKED` or `UNBLOCKED`.
        expiry_timestamp: when a provisional block lapses by itself.
    """

    id: str
    id_type: str
    status: Literal["BLOCKED", "UNBLOCKED"]
    expiry_timestamp: str | None = None


class HotlistError(msgspec.Struct, rename="camel"):
    """MOSIP's ServiceError: our code and sentence.

    Args:
        error_code: our code of the error.
        message: our sentence of the error.
    """

    error_code: str
    message: str


class HotlistAnswer(msgspec.Struct):
    """MOSIP's ResponseWrapper.

    Args:
        id: its id.
        version: version, counted up.
        responsetime: when it was answered.
        response: the state of the entry; null beside errors.
        errors: what was wrong; empty or null when nothing was.
    """

    id: str
    version: str
    responsetime: str
    response: HotlistTold | None
    errors: list[HotlistError] | None


def _document(entry: HotlistEntry) -> Document:
    """Return the document an entry names.

    Raises:
        BadInput: there is no such type of id, or something its scheme needs is missing.
    """
    scheme = SCHEMES.get(entry.id_type)
    if scheme is None:
        raise BadInput("There is no such idType.", where="/request/idType", mend=f"Use one of {', '.join(sorted(SCHEMES))}.")
    more = entry.metadata or {}
    typed = Typed(entry.id, more.get("kind", ""), more.get("issuer", ""), more.get("validFrom", ""))
    return parse_document(scheme.fields_of_typed(typed))


async def _wrapped(office: Office, call: Call, told: Any) -> Reply:
    """Answer in MOSIP's wrapper; an error has its own status and our words in `errors`."""
    body: HotlistRequest = call.body
    status, response, errors = 200, None, None
    try:
        response = await told
    except AnnulError as error:
        made = problem_of(error)
        if isinstance(error, NotAuthorised | Forbidden):
            raise
        status, errors = made.status, [HotlistError(made.code, str(made.members["detail"]))]
    answer = HotlistAnswer(body.id or "", body.version or "v1", rfc3339(office.now_us()), response, errors)
    return Reply(msgspec.json.encode(answer), "application/json", status)


async def block(office: Office, call: Call) -> Reply:
    """Block: report the document lost; provisionally when an expiry is given."""
    return await _wrapped(office, call, _block(office, act_of(call), call.body.request))


async def _block(office: Office, act: Act, entry: HotlistEntry) -> HotlistTold:
    proof = Proof.phone if entry.expiry_timestamp else Proof.in_person
    if entry.expiry_timestamp:
        _require_time(entry.expiry_timestamp)
    made = await office.register.report(
        act, _document(entry), "lost", happened_at_us=office.now_us(), proof=proof, evidence="hotlist block"
    )
    return HotlistTold(entry.id, entry.id_type, "BLOCKED", moment_or_none(made.lapses_at_us))


def _require_time(text: str) -> None:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        raise BadInput("The expiry is no time.", where="/request/expiryTimestamp", mend="Write YYYY-MM-DDThh:mm:ssZ.") from None


async def unblock(office: Office, call: Call) -> Reply:
    """Unblock: lift the report."""
    return await _wrapped(office, call, _unblock(office, act_of(call), call.body.request))


async def _unblock(office: Office, act: Act, entry: HotlistEntry) -> HotlistTold:
    await office.register.lift(
        act, _document(entry), happened_at_us=office.now_us(), proof=Proof.in_person, evidence="hotlist unblock"
    )
    return HotlistTold(entry.id, entry.id_type, "UNBLOCKED")


async def status(office: Office, call: Call) -> Reply:
    """Answer whether a document is blocked: a check like any other."""
    return await _wrapped(office, call, _status(office, call, call.body.request))


async def _status(office: Office, call: Call, entry: HotlistEntry) -> HotlistTold:
    agreement = call.principal.agreement
    allowed = sorted(agreement.purposes) if agreement is not None else []
    purpose = (entry.metadata or {}).get("purpose") or (allowed[0] if allowed else "")
    answer = await _asked(office, call, Question(_fields(_document(entry)), purpose, "in_person"))
    if answer.outcome == Outcome.NO_ANSWER or answer.status.code in _UNCLEAR:
        raise SourceDown(f"There is no answer that says blocked or not: {answer.status.code or answer.error.code}.")
    return HotlistTold(entry.id, entry.id_type, "UNBLOCKED" if answer.status.code == StatusCode.V00 else "BLOCKED")


def _fields(document: Document) -> DocumentFields:
    """Return the fields of a document that was read, as a check takes them."""
    made = SCHEMES[document.scheme].fields_of_row(document.coverage_name, document.kind, document.number)
    return msgspec.structs.replace(made, valid_from=_day(document.valid_from_day))


def _day(day: int | None) -> str | None:
    return None if day is None else rfc3339(day * 86_400_000_000)[:10]


async def _asked(office: Office, call: Call, question: Question) -> Answer:
    if office.checks is None:
        raise SourceDown("This process has no check path.")
    return (await office.checks.ask(call.principal, question)).answer


# -- DVS ---------------------------------------------------------------------------------------------------------------------


class DvsRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A question in the words of a check.

    Args:
        document: the document.
        purpose: why it is asked or done.
        channel: where the document is presented: `in_person` or `remote`.
        holder: the name that the bearer gives, to be compared with the register of persons.
        reference: the caller's own reference; at most 64 characters.
    """

    document: DocumentFields
    purpose: Text
    channel: Text = "in_person"
    holder: Holder | None = None
    reference: Tag = ""


class DvsAnswer(msgspec.Struct):
    """Y, N, D or S; the check's id, "" when there was none.

    Args:
        verificationResultCode: `Y`, `N`, `D` or `S`.
        activityId: id of the check; "" when there was none.
    """

    verificationResultCode: Literal["Y", "N", "D", "S"]  # noqa: N815 - the peer's own name
    activityId: str  # noqa: N815


_UNCLEAR: Final = frozenset({StatusCode.U30, StatusCode.U31, StatusCode.U33, StatusCode.U34})
_NOT_THE_HOLDER: Final = frozenset({IdentityCode.M2, IdentityCode.M3})


def dvs_code(answer: Answer) -> Literal["Y", "N", "D", "S"]:
    """Return what DVS would say: N when it must not be relied on or is not that person's, D when it cannot be told, else Y."""
    if answer.outcome == Outcome.NO_ANSWER or answer.status.code is None:
        return "S"
    if answer.status.code in _UNCLEAR:
        return "D"
    if answer.outcome == Outcome.STOP or answer.identity.code in _NOT_THE_HOLDER:
        return "N"
    return "Y" if answer.outcome == Outcome.PASS else "D"


async def dvs(office: Office, call: Call) -> DvsAnswer:
    """Answer as DVS does."""
    body: DvsRequest = call.body
    question = Question(body.document, body.purpose, body.channel, body.holder, reference=body.reference)
    try:
        answer = await _asked(office, call, question)
    except (Forbidden, PurposeNotAllowed):
        raise
    except (BadInput, MalformedNumber):
        return DvsAnswer("D", "")
    except AnnulError:
        return DvsAnswer("S", "")
    return DvsAnswer(dvs_code(answer), answer.check)


# -- a plain list ------------------------------------------------------------------------------------------------------------

REASONS: Final = {1: "keyCompromise", 2: "cessationOfOperation", 3: "certificateHold"}
"""What became of a document -> the reason that a revocation list would give: in other hands; no longer in force; ask."""


class CrlQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Behind which line to go on, and how many lines at most.

    Args:
        after: where to go on: what the last page or answer said.
        limit: most rows of the page.
    """

    after: Annotated[str, Meta(pattern="^([0-9a-f]{64})?$")] = ""
    limit: Annotated[int, Meta(ge=1, le=100_000)] = 10_000


async def crl(office: Office, call: Call) -> Reply:
    """Export what is listed, under tokens, a line each."""
    realm, query = call.principal.realm, call.query
    rows, position = await office.subscriptions.listed(realm, bytes.fromhex(query.after), query.limit)
    lines = [
        f"# annul revocation list v1; epoch {office.subscriptions.parameters(realm).epoch}; position {position}; "
        f"{rfc3339(office.now_us())}; {'more' if len(rows) == query.limit else 'end'}",
        *(f"{token.hex()} {rfc3339(at_us)} {REASONS[code]}" for token, code, at_us in rows),
    ]
    return Reply("".join(line + "\n" for line in lines).encode(), "text/plain; charset=utf-8")


_HOTLIST: Final[dict[str, Any]] = {"body": HotlistRequest, "returns": HotlistAnswer}

ROUTES: Final[tuple[Route, ...]] = tagged(
    "peers",
    post(
        "/v1/peers/mosip/block",
        HANDS,
        block,
        "Block, as MOSIP's hotlist does: a report",
        problems=(*WRITE_PROBLEMS, *DOCUMENT_PROBLEMS),
        **_HOTLIST,
    ),
    post(
        "/v1/peers/mosip/unblock",
        HANDS,
        unblock,
        "Unblock, as MOSIP's hotlist does: a report is lifted",
        problems=(*WRITE_PROBLEMS, *DOCUMENT_PROBLEMS),
        **_HOTLIST,
    ),
    post(
        "/v1/peers/mosip/status",
        RELYING,
        status,
        "Ask, as MOSIP's hotlist does: a check (the number stands in the body, never in the address)",
        problems=(*DOCUMENT_PROBLEMS, "source-down", "over-quota"),
        **_HOTLIST,
    ),
    post(
        "/v1/peers/dvs",
        RELYING,
        dvs,
        "Ask, answered as DVS does: Y, N, D or S",
        body=DvsRequest,
        returns=DvsAnswer,
        problems=("purpose-not-allowed",),
    ),
    get(
        "/v1/peers/crl",
        RELYING,
        crl,
        "Read what is listed as a plain list, under tokens, with reasons of RFC 5280",
        query=CrlQuery,
        media="text/plain; charset=utf-8",
    ),
)
