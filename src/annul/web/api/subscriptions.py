"""Serve relying parties' files: blind, subscribe, hear what became of documents, acknowledge; state a suspicion."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from annul.records.document import DocumentFields, parse_document
from annul.records.references import Reference, Tag
from annul.registry.linkage.book import BLIND_MAX, PAGE_MAX, TOKENS_MAX, Told
from annul.times import rfc3339
from annul.web.api.terms import DOCUMENT_PROBLEMS, Body, Moment, happened_us, moment_or_none
from annul.web.door.call import Call, Reply, Route, get, post, tagged
from annul.web.door.who import CHECK_ID, DECIDERS, POLICE, RELYING, SUPERVISOR

if TYPE_CHECKING:
    from annul.web.door.office import Office

Number = Annotated[int, Meta(ge=0, le=2**62)]
CLOUD_EVENTS: Final = "application/cloudevents-batch+json"


class ParametersShown(msgspec.Struct):
    """What a party needs to blind: epoch, public key, and the secrets of carried keys (base64), oldest first.

    Args:
        epoch: epoch of the keys of tokens; another one asks for new tokens.
        public_key: public key that the proof of an evaluation is checked with, base64.
        carried: secrets of the carried keys, base64, oldest first.
    """

    epoch: int
    public_key: bytes
    carried: list[bytes]


class BlindedPoints(Body):
    """Blinded elements of ristretto255, 32 bytes each, base64.

    Args:
        points: the places.
    """

    points: Annotated[list[bytes], Meta(min_length=1, max_length=BLIND_MAX)]


class PointsEvaluated(msgspec.Struct):
    """Evaluated elements in their order, one proof (RFC 9497, DLEQ, 64 bytes) for all of them, and the epoch.

    Args:
        epoch: epoch of the keys of tokens; another one asks for new tokens.
        elements: the evaluated elements in their order, base64.
        proof: on what proof.
    """

    epoch: int
    elements: list[bytes]
    proof: bytes


class Tokens(Body):
    """Tokens of documents on file, 32 bytes each, base64; `end`: they are on file no more.

    Args:
        tokens: tokens of documents on file, 32 bytes each, base64.
        epoch: epoch of the keys of tokens; another one asks for new tokens.
        end: true: they are on file no more.
    """

    tokens: Annotated[list[bytes], Meta(min_length=1, max_length=TOKENS_MAX)]
    epoch: Annotated[int, Meta(ge=1)]
    end: bool = False


class TokensKept(msgspec.Struct):
    """How many tokens the caller has now, and how many events registering them made: documents that are dead already.

    Args:
        tokens: how many tokens the party has now.
        events: what happened to the record, oldest first.
    """

    tokens: int
    events: int


class SubscriptionEvent(msgspec.Struct):
    """What became of a document on file; `act_by` is the end of the time the caller has.

    Args:
        number: number of the document; needed unless `mrz` is given.
        token: the key, shown this once.
        position: position in the register log; 0-based and dense.
        status: status of the document at the event.
        told_at: when the party was told (RFC 3339, UTC); null before.
        act_by: until when the party is to act (RFC 3339, UTC).
        acknowledged_at: when the party said it knows; null before.
    """

    number: int
    token: bytes
    position: int
    status: Literal["usable_again", "reported", "not_in_force", "ask_online"]
    told_at: str
    act_by: str
    acknowledged_at: str | None


class EventsShown(msgspec.Struct):
    """The caller's events behind a number, oldest first; `cursor` is the `after` of the next call.

    Args:
        events: what happened to the record, oldest first.
        cursor: give it for the next page; "" after the last.
    """

    events: list[SubscriptionEvent]
    cursor: int


class After(msgspec.Struct, forbid_unknown_fields=True):
    """Query: behind a number or position, at most `limit`.

    Args:
        after: where to go on: what the last page or answer said.
        limit: most rows of the page.
    """

    after: Number = 0
    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX)] = 1_000


class Acted(Body):
    """The caller acted on its events up to this number.

    Args:
        up_to: number of the last event that was acted on.
    """

    up_to: Annotated[int, Meta(ge=1, le=2**62)]


class EventsAcknowledged(msgspec.Struct):
    """How many events were open.

    Args:
        acknowledged: how many events were open.
    """

    acknowledged: int


class ChangeShown(msgspec.Struct):
    """What became of a document, under its token.

    Args:
        token: the key, shown this once.
        position: position in the register log; 0-based and dense.
        status: what became of the document, as a status code.
    """

    token: bytes
    position: int
    status: Literal["usable_again", "reported", "not_in_force", "ask_online"]


class ChangesShown(msgspec.Struct):
    """Changes behind a position, and the position up to which these are all: the `after` of the next call.

    Args:
        epoch: epoch of the keys of tokens; another one asks for new tokens.
        changes: every change of the version in force, newest first.
        cursor: give it for the next page; "" after the last.
    """

    epoch: int
    changes: list[ChangeShown]
    cursor: int


class StandingShown(msgspec.Struct):
    """How a party stands: documents on file, events it has not acknowledged, and those whose time is over.

    Args:
        party: id of the organisation.
        tokens: how many documents the party has on file.
        open: events that it has not acknowledged.
        overdue: its time is over.
    """

    party: str
    tokens: int
    open: int
    overdue: int


class StandingsShown(msgspec.Struct):
    """Every party with documents on file.

    Args:
        parties: the parties with documents on file.
    """

    parties: list[StandingShown]


class NewMisuse(Body):
    """What the caller suspects. It names the document, or its own check; nothing follows by itself.

    Args:
        kind: what kind it is.
        document: the document.
        check: id of the check.
        happened_at: when it happened, not when it was recorded (RFC 3339 with zone); left out: now.
        branch: branch of the relying party, in its own words; at most 64 characters.
        evidence: reference of the evidence or the decision, not the evidence itself; at most 200 characters.
    """

    kind: Literal["used_by_another", "forged", "account_opened", "pledged", "other"]
    document: DocumentFields | None = None
    check: Annotated[str, Meta(pattern=f"^{CHECK_ID}$")] | None = None
    happened_at: Moment | None = None
    branch: Tag = ""
    evidence: Reference = ""


class MisuseStated(msgspec.Struct):
    """A statement: its id, and its position in the register log.

    Args:
        misuse: id of the statement of misuse.
        position: position in the register log; 0-based and dense.
    """

    misuse: str
    position: int


class StatementShown(msgspec.Struct):
    """What a party stated.

    Args:
        misuse: id of the statement of misuse.
        party: id of the organisation.
        kind: what kind it is.
        document: the document.
        check: id of the check.
        branch: branch of the relying party, in its own words; at most 64 characters.
        evidence: reference of the evidence or the decision, not the evidence itself; at most 200 characters.
        happened_at: when it happened, not when it was recorded (RFC 3339 with zone); left out: now.
        recorded_at: when it was recorded (RFC 3339, UTC).
    """

    misuse: str
    party: str
    kind: str
    document: int | None
    check: str
    branch: str
    evidence: str
    happened_at: str
    recorded_at: str


class StatementsShown(msgspec.Struct):
    """Statements that no case has yet, oldest first.

    Args:
        statements: the statements, oldest first.
    """

    statements: list[StatementShown]


async def parameters(office: Office, call: Call) -> ParametersShown:
    """Tell what blinding needs."""
    found = office.subscriptions.parameters(call.principal.realm)
    return ParametersShown(found.epoch, found.public_key, list(found.carried))


async def blind(office: Office, call: Call) -> PointsEvaluated:
    """Evaluate blinded points."""
    made = await office.subscriptions.blind(call.principal.id, call.principal.realm, call.body.points)
    return PointsEvaluated(made.epoch, made.elements, made.proof)


async def subscribe(office: Office, call: Call) -> TokensKept:
    """Register tokens, or end them."""
    who, body = call.principal, call.body
    if body.end:
        return TokensKept(await office.subscriptions.end(who.id, who.realm, body.tokens), 0)
    return TokensKept(*await office.subscriptions.subscribe(who.id, who.realm, body.tokens, body.epoch))


async def events(office: Office, call: Call) -> EventsShown | Reply:
    """List events, or answer them as CloudEvents."""
    who, query = call.principal, call.query
    found = await office.subscriptions.events(who.id, who.realm, query.after, query.limit)
    if CLOUD_EVENTS in call.request.headers.get("accept", ""):
        source = f"{office.settings.base_url}/v1/subscriptions"
        return Reply(msgspec.json.encode([cloud_event(one, who.id, source) for one in found]), CLOUD_EVENTS)
    return EventsShown([_event(one) for one in found], found[-1].number if found else query.after)


def _event(one: Told) -> SubscriptionEvent:
    return SubscriptionEvent(
        one.number,
        one.token,
        one.position,
        one.kind,  # type: ignore[arg-type]
        rfc3339(one.told_at_us),
        rfc3339(one.act_by_us),
        moment_or_none(one.acknowledged_at_us),
    )


def cloud_event(one: Told, party: str, source: str) -> dict[str, Any]:
    """Return an event as a CloudEvent (1.0, JSON format); `source` and `id` together are its own for ever."""
    return {
        "specversion": "1.0",
        "id": f"{party}/{one.number}",
        "source": source,
        "type": "annul.subscription.v1",
        "time": rfc3339(one.told_at_us),
        "datacontenttype": "application/json",
        "data": {
            "number": one.number,
            "token": base64.b64encode(one.token).decode(),
            "status": one.kind,
            "position": one.position,
            "act_by": rfc3339(one.act_by_us),
        },
    }


async def acknowledge(office: Office, call: Call) -> EventsAcknowledged:
    """Take the caller's word that it acted."""
    who = call.principal
    return EventsAcknowledged(await office.subscriptions.acknowledge(who.id, who.realm, call.body.up_to))


async def changes(office: Office, call: Call) -> ChangesShown:
    """List what became of documents."""
    realm, query = call.principal.realm, call.query
    found, cursor = await office.subscriptions.changes(realm, query.after, query.limit)
    shown = [ChangeShown(one.token, one.position, one.kind) for one in found]  # type: ignore[arg-type]
    return ChangesShown(office.subscriptions.parameters(realm).epoch, shown, cursor)


async def standing(office: Office, _call: Call) -> StandingsShown:
    """List how parties stand."""
    return StandingsShown(
        [StandingShown(one.party, one.tokens, one.open, one.overdue) for one in await office.subscriptions.standing()]
    )


async def misuse(office: Office, call: Call) -> MisuseStated:
    """Take what the caller suspects."""
    who, body = call.principal, call.body
    statement, position = await office.misuse.state(
        who.id,
        who.realm,
        body.kind,
        None if body.document is None else parse_document(body.document),
        check_id=body.check or "",
        branch=body.branch,
        evidence=body.evidence,
        happened_at_us=happened_us(office, body.happened_at),
    )
    return MisuseStated(statement, position)


async def statements(office: Office, call: Call) -> StatementsShown:
    """List statements that no case has."""
    return StatementsShown(
        [
            StatementShown(
                one.id,
                one.party,
                one.kind,
                one.document_id,
                one.check_id,
                one.branch,
                one.evidence,
                rfc3339(one.happened_at_us),
                rfc3339(one.recorded_at_us),
            )
            for one in await office.misuse.waiting(call.principal.realm)
        ]
    )


ROUTES: Final[tuple[Route, ...]] = tagged(
    "subscriptions",
    get("/v1/subscriptions/parameters", RELYING, parameters, "Read what blinding needs", returns=ParametersShown),
    post(
        "/v1/subscriptions/blind",
        RELYING,
        blind,
        "Evaluate blinded points (RFC 9497): the register does not learn which documents they are of",
        body=BlindedPoints,
        returns=PointsEvaluated,
        problems=("over-quota",),
    ),
    post(
        "/v1/subscriptions",
        RELYING,
        subscribe,
        "Register documents on file by their tokens, or end that",
        body=Tokens,
        returns=TokensKept,
        body_bytes_max=1 << 20,
        problems=("conflict",),
    ),
    get(
        "/v1/subscriptions/events",
        RELYING,
        events,
        "Read what became of documents on file (JSON, or a batch of CloudEvents 1.0)",
        query=After,
        returns=EventsShown,
    ),
    post(
        "/v1/subscriptions/acknowledgements",
        RELYING,
        acknowledge,
        "Say that you acted on events, up to a number",
        body=Acted,
        returns=EventsAcknowledged,
        problems=("not-found",),
    ),
    get(
        "/v1/subscriptions/changes",
        RELYING,
        changes,
        "Read what became of documents, under their tokens, to compare at home",
        query=After,
        returns=ChangesShown,
    ),
    get("/v1/subscriptions/standing", SUPERVISOR, standing, "List who acts on events in time", returns=StandingsShown),
    post(
        "/v1/misuse",
        RELYING,
        misuse,
        "State what you suspect: a statement for a case, no verdict",
        body=NewMisuse,
        returns=MisuseStated,
        status=201,
        problems=(*DOCUMENT_PROBLEMS, "not-found"),
    ),
    get("/v1/misuse", POLICE | DECIDERS, statements, "List statements that no case has yet", returns=StatementsShown),
)
