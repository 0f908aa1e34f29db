"""Serve digital credentials: attach them to documents, state them, and publish the lists that tell of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec
from msgspec import Meta

from annul.records.document import DocumentFields, parse_document
from annul.registry.linkage.credentials import Attached
from annul.registry.linkage.press import MEDIA
from annul.registry.linkage.rules import DEFAULT, INVALID, SUSPENDED, VALID
from annul.registry.linkage.signing import TTL_S
from annul.web.api.terms import DOCUMENT_PROBLEMS, Body
from annul.web.door.call import Call, Reply, Route, get, post, tagged
from annul.web.door.who import CREDENTIAL_ID, ISSUER

if TYPE_CHECKING:
    from annul.web.door.office import Office

LIST_ID: Final = "[1-9][0-9]{0,9}(?:-revocation|-suspension)?"
StateName = Literal["valid", "invalid", "suspended"]
_STATES: Final[dict[str, int]] = {"valid": VALID, "invalid": INVALID, "suspended": SUSPENDED}
_NAMES: Final = {code: name for name, code in _STATES.items()}


class NewCredential(Body):
    """A digital credential of a document, and what becomes of it when something becomes of the document.

    Args:
        document: the document.
        rule: rule that met.
    """

    document: DocumentFields
    rule: Literal["suspended-when-reported", "dies-when-reported", "survives-replacement"] = DEFAULT


class CredentialShown(msgspec.Struct):
    """A credential: where its status stands. `index` is handed out at random.

    Args:
        credential: id of the credential.
        uri: address of the status list that its status stands in.
        index: place of the entry in the log, from 0.
        rule: rule that met.
        state: its present state.
    """

    credential: str
    uri: str
    index: int
    rule: str
    state: StateName


class CredentialsShown(msgspec.Struct):
    """Credentials of a document.

    Args:
        credentials: the credentials of the document.
    """

    credentials: list[CredentialShown]


class OfDocument(Body):
    """A document.

    Args:
        document: the document.
    """

    document: DocumentFields


class CredentialState(Body):
    """What the issuer knows of the credential itself; `invalid` is for ever.

    Args:
        state: its present state.
    """

    state: StateName


class ListsShown(msgspec.Struct):
    """Addresses of all status lists. Source: draft-ietf-oauth-status-list, 9.3.

    Args:
        status_lists: addresses of all status lists.
    """

    status_lists: list[str]


class KeysShown(msgspec.Struct):
    """Keys of lists (RFC 7517).

    Args:
        keys: the public keys, as JWK (RFC 7517).
    """

    keys: list[dict[str, str]]


class At(msgspec.Struct, forbid_unknown_fields=True):
    """Query: as it was at this time, in seconds since 1970-01-01 UTC.

    Args:
        time: the time asked about, in seconds since 1970-01-01 UTC.
    """

    time: Annotated[int, Meta(ge=0, le=1 << 40)] | None = None


def _shown(office: Office, made: Attached) -> CredentialShown:
    return CredentialShown(made.id, office.lists.uri(made.list_id), made.place, made.rule, _NAMES[made.told])  # type: ignore[arg-type]


async def attach(office: Office, call: Call) -> CredentialShown:
    """Attach a credential."""
    who, body = call.principal, call.body
    return _shown(office, await office.credentials.attach(who.id, who.realm, parse_document(body.document), body.rule))


async def of_document(office: Office, call: Call) -> CredentialsShown:
    """List a document's credentials."""
    found = await office.credentials.of_document(call.principal.realm, parse_document(call.body.document))
    return CredentialsShown([_shown(office, one) for one in found])


async def state(office: Office, call: Call) -> CredentialShown:
    """State a credential."""
    who = call.principal
    return _shown(office, await office.credentials.state(who.id, who.realm, call.path["credential"], _STATES[call.body.state]))


async def lists(office: Office, _call: Call) -> ListsShown:
    """List the lists."""
    return ListsShown(await office.lists.uris())


async def keys(office: Office, _call: Call) -> KeysShown:
    """Read the keys of lists."""
    return KeysShown([office.lists.signer.jwk])


async def one(office: Office, call: Call) -> Reply:
    """Give a list out in the form that was asked for."""
    accepted = call.request.headers.get("accept", "")
    media = next((media for media in MEDIA if media in accepted), MEDIA[0])
    at_s = call.query.time
    body = await office.lists.give(call.path["id"], media, at_s)
    kept = "no-store" if at_s is not None else f"public, max-age={TTL_S}"
    return Reply(body, media, headers={"cache-control": kept, "vary": "accept", "access-control-allow-origin": "*"})


ROUTES: Final[tuple[Route, ...]] = tagged(
    "status lists",
    post(
        "/v1/credentials",
        ISSUER,
        attach,
        "Attach a digital credential to a document: it gets a place in a status list",
        body=NewCredential,
        returns=CredentialShown,
        status=201,
        problems=(*DOCUMENT_PROBLEMS, "not-found", "conflict"),
    ),
    post(
        "/v1/credentials/of",
        ISSUER,
        of_document,
        "List the digital credentials of a document",
        body=OfDocument,
        returns=CredentialsShown,
        problems=(*DOCUMENT_PROBLEMS, "not-found"),
    ),
    post(
        "/v1/credentials/{credential}",
        ISSUER,
        state,
        "Say of a digital credential itself: valid, suspended, or invalid for ever",
        body=CredentialState,
        returns=CredentialShown,
        patterns={"credential": CREDENTIAL_ID},
        problems=("not-found", "conflict"),
    ),
    get("/v1/statuslists", "public", lists, "List the addresses of all status lists", returns=ListsShown),
    get("/v1/statuslists/keys", "public", keys, "Read the keys that sign status lists (JWK set)", returns=KeysShown),
    get(
        "/v1/statuslists/{id}",
        "public",
        one,
        "Read a status list: Token Status List (JWT, CWT) or Bitstring Status List, by Accept",
        query=At,
        media=MEDIA[0],
        patterns={"id": LIST_ID},
        problems=("not-found", "bad-input"),
    ),
)
