"""Answer supervisors about parties: their agreements, their keys, suspended and restored."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from msgspec import Meta

from annul.errors import BadInput, NotYetEffective
from annul.records.references import Tag
from annul.registry.parties.parties import Agreement, KeyUse, Party, RealmName, Role
from annul.times import rfc3339
from annul.web.api.terms import Body, Moment, act_of, moment, moment_or_none, settled
from annul.web.door.call import Call, Route, get, post, tagged, write
from annul.web.door.who import ANY, KEY_ID, PARTY_ID, SUPERVISOR

if TYPE_CHECKING:
    from annul.web.door.office import Office


class NewParty(Body):
    """A new relying party, issuer, police desk or supervisor. Only those with an agreement may ask checks.

    Args:
        id: its id.
        name: its name.
        role: what the party is: relying party, issuer, police or supervisor.
        organisation: the organisation that the party belongs to; "" for itself.
        agreement: what the party may ask; null: no checks.
    """

    id: Annotated[str, Meta(pattern=f"^{PARTY_ID}$")]
    name: Annotated[str, Meta(min_length=1, max_length=200)]
    role: Role
    organisation: Annotated[str, Meta(max_length=200)] = ""
    agreement: Agreement | None = None


class NewKey(Body):
    """A new API key; `test` keys never touch live data, `counter` keys may ask checks at a counter and nothing else.

    Args:
        realm: `live` or `test`; test credentials never touch live data.
        label: a name for people.
        expires_at: when it ends (RFC 3339, UTC); null: never.
        use: `all`, or `counter`: checks at a counter and nothing else.
    """

    realm: RealmName = "live"
    label: Tag = ""
    expires_at: Moment | None = None
    use: KeyUse = "all"


class ClientKeys(Body):
    """The public keys (JWK) of a party's OAuth client; an empty list closes it.

    Args:
        keys: public keys as JWK (RFC 7517).
        realm: `live` or `test`; test credentials never touch live data.
    """

    keys: Annotated[list[dict[str, Any]], Meta(max_length=5)]
    realm: RealmName = "live"


class NewAgreement(Body):
    """What a party may ask from now on; null ends its right to ask checks.

    Args:
        agreement: what the party may ask; null: no checks.
    """

    agreement: Agreement | None


class KeyIssued(msgspec.Struct):
    """A new API key; `token` is shown this once.

    Args:
        id: its id.
        token: the key, shown this once.
        position: position in the register log; 0-based and dense.
    """

    id: str
    token: str
    position: int


class ClientKeysShown(msgspec.Struct):
    """The public keys (JWK) of a party's OAuth client.

    Args:
        keys: the keys, each with its name (`kid`).
        realm: what its tokens are for: `live` or `test`.
    """

    keys: list[dict[str, Any]]
    realm: RealmName


class ClientKeyAdded(Body):
    """One public key more; the others go on counting.

    Args:
        key: the key, as JWK.
    """

    key: dict[str, Any]


class PartyChanged(msgspec.Struct):
    """A change of parties was recorded; it counts from this position on.

    Args:
        position: position in the register log; 0-based and dense.
    """

    position: int


class KeyShown(msgspec.Struct):
    """An API key without its secret.

    Args:
        id: its id.
        realm: `live` or `test`; test credentials never touch live data.
        label: a name for people.
        created_at: when it was made (RFC 3339, UTC).
        expires_at: when it ends (RFC 3339, UTC); null: never.
        revoked_at: when it was revoked (RFC 3339, UTC); null while it counts.
        use: `all`, or `counter`: checks at a counter and nothing else.
    """

    id: str
    realm: str
    label: str
    created_at: str
    expires_at: str | None
    revoked_at: str | None
    use: KeyUse = "all"


class PartyShown(msgspec.Struct):
    """A party with its keys, without secrets.

    Args:
        id: its id.
        name: its name.
        role: what the party is: relying party, issuer, police or supervisor.
        organisation: the organisation that the party belongs to; "" for itself.
        agreement: what the party may ask; null: no checks.
        active: false while the party is suspended.
        keys: its API keys, without secrets.
        client_keys: how many public keys its OAuth client has.
    """

    id: str
    name: str
    role: Role
    organisation: str
    agreement: Agreement | None
    active: bool
    keys: list[KeyShown]
    client_keys: int


class PartiesShown(msgspec.Struct):
    """All parties, by id.

    Args:
        parties: the parties, by id.
    """

    parties: list[PartyShown]


async def parties(office: Office, _call: Call) -> PartiesShown:
    """List all parties with their keys."""
    return PartiesShown([_party(party) for party in await office.parties.list()])


def _party(party: Party) -> PartyShown:
    keys = [
        KeyShown(
            key.id,
            key.realm,
            key.label,
            rfc3339(key.created_at_us),
            moment_or_none(key.expires_at_us),
            moment_or_none(key.revoked_at_us),
            key.use,
        )
        for key in party.keys
    ]
    return PartyShown(
        party.id, party.name, party.role, party.organisation, party.agreement, party.active, keys, party.client_keys
    )


async def create_party(office: Office, call: Call) -> PartyChanged:
    """Record a new party."""
    body: NewParty = call.body
    changed = await office.parties.create(
        act_of(call), body.id, body.name, body.role, organisation=body.organisation, agreement=body.agreement
    )
    await settled(office, changed.position, "The party is recorded")
    return PartyChanged(changed.position)


async def issue_key(office: Office, call: Call) -> KeyIssued:
    """Issue an API key; its token is told this once, so it leaves even when a worker does not know it yet."""
    body: NewKey = call.body
    until = moment(body.expires_at, "/expires_at") if body.expires_at else 0
    if until and until <= office.now_us():
        raise BadInput("The key would have expired already.", where="/expires_at", mend="Give a time to come.")
    issued = await office.parties.issue_key(
        act_of(call), call.path["id"], realm=body.realm, label=body.label, expires_at_us=until, use=body.use
    )
    with contextlib.suppress(NotYetEffective):
        await settled(office, issued.position, "The key is recorded")
    return KeyIssued(issued.id, issued.token, issued.position)


async def revoke_key(office: Office, call: Call) -> PartyChanged:
    """Revoke an API key for ever; acknowledged only when no worker takes it any more."""
    changed = await office.parties.revoke_key(act_of(call), call.path["key"])
    await settled(office, changed.position, "The key is revoked")
    return PartyChanged(changed.position)


async def suspend_party(office: Office, call: Call) -> PartyChanged:
    """Suspend a party; acknowledged only when no worker takes a key of it any more."""
    return await _set_active(office, call, False, "The party is suspended")


async def restore_party(office: Office, call: Call) -> PartyChanged:
    """Let a suspended party in again; acknowledged when every worker knows it."""
    return await _set_active(office, call, True, "The party is restored")


async def _set_active(office: Office, call: Call, active: bool, what: str) -> PartyChanged:
    changed = await office.parties.set_active(act_of(call), call.path["id"], active)
    await settled(office, changed.position, what)
    return PartyChanged(changed.position)


async def agreement(office: Office, call: Call) -> PartyChanged:
    """Replace a party's agreement; acknowledged when every worker knows it."""
    changed = await office.parties.set_agreement(act_of(call), call.path["id"], call.body.agreement)
    await settled(office, changed.position, "The agreement is recorded")
    return PartyChanged(changed.position)


async def client_keys(office: Office, call: Call) -> PartyChanged:
    """Replace the public keys of a party's OAuth client; acknowledged when every worker knows them."""
    body: ClientKeys = call.body
    changed = await office.parties.set_client_keys(act_of(call), call.path["id"], body.keys, realm=body.realm)
    await settled(office, changed.position, "The keys are recorded")
    return PartyChanged(changed.position)


async def own_client_keys(office: Office, call: Call) -> ClientKeysShown:
    """Read the public keys of the caller's own OAuth client."""
    return ClientKeysShown(*await office.parties.client_keys_of(call.principal.id))


async def shown_client_keys(office: Office, call: Call) -> ClientKeysShown:
    """Read the public keys of a party's OAuth client."""
    return ClientKeysShown(*await office.parties.client_keys_of(call.path["id"]))


async def add_client_key(office: Office, call: Call) -> PartyChanged:
    """Add one public key to an OAuth client; acknowledged when every worker knows it."""
    changed = await office.parties.add_client_key(act_of(call), call.path["id"], call.body.key)
    await settled(office, changed.position, "The key is recorded")
    return PartyChanged(changed.position)


async def remove_client_key(office: Office, call: Call) -> PartyChanged:
    """Remove one public key of an OAuth client; acknowledged when no worker takes it any more."""
    changed = await office.parties.remove_client_key(act_of(call), call.path["id"], call.path["kid"])
    await settled(office, changed.position, "The key is removed")
    return PartyChanged(changed.position)


ROUTES: Final[tuple[Route, ...]] = tagged(
    "parties",
    get("/v1/parties", SUPERVISOR, parties, "List parties and their keys", returns=PartiesShown, live=True),
    write(
        "/v1/parties",
        SUPERVISOR,
        create_party,
        "Record a new party",
        body=NewParty,
        returns=PartyChanged,
        status=201,
        live=True,
    ),
    post(
        "/v1/parties/{id}/keys",
        SUPERVISOR,
        issue_key,
        "Issue an API key; its token is told once",
        body=NewKey,
        returns=KeyIssued,
        status=201,
        problems=("not-found",),
        patterns={"id": PARTY_ID},
        live=True,
    ),
    write(
        "/v1/parties/{id}/agreement",
        SUPERVISOR,
        agreement,
        "Replace what a party may ask, and what its comparisons must be like",
        body=NewAgreement,
        returns=PartyChanged,
        patterns={"id": PARTY_ID},
        live=True,
    ),
    write(
        "/v1/parties/{id}/client-keys",
        SUPERVISOR,
        client_keys,
        "Replace the public keys of a party's OAuth client",
        body=ClientKeys,
        returns=PartyChanged,
        patterns={"id": PARTY_ID},
        live=True,
    ),
    get(
        "/v1/client-keys",
        ANY,
        own_client_keys,
        "Read the public keys of your own OAuth client",
        returns=ClientKeysShown,
        live=True,
    ),
    get(
        "/v1/parties/{id}/client-keys",
        SUPERVISOR,
        shown_client_keys,
        "Read the public keys of a party's OAuth client",
        returns=ClientKeysShown,
        patterns={"id": PARTY_ID},
        problems=("not-found",),
        live=True,
    ),
    write(
        "/v1/parties/{id}/client-keys/add",
        SUPERVISOR,
        add_client_key,
        "Add one public key to a party's OAuth client",
        body=ClientKeyAdded,
        returns=PartyChanged,
        patterns={"id": PARTY_ID},
        live=True,
    ),
    write(
        "/v1/parties/{id}/client-keys/{kid}/remove",
        SUPERVISOR,
        remove_client_key,
        "Remove one public key of a party's OAuth client",
        returns=PartyChanged,
        patterns={"id": PARTY_ID, "kid": "[!-.0-~]{1,128}"},
        live=True,
    ),
    write(
        "/v1/parties/{id}/suspend",
        SUPERVISOR,
        suspend_party,
        "Suspend a party: all its keys and officers stop working until it is restored",
        returns=PartyChanged,
        patterns={"id": PARTY_ID},
        live=True,
    ),
    write(
        "/v1/parties/{id}/restore",
        SUPERVISOR,
        restore_party,
        "Let a suspended party in again, with the keys it had",
        returns=PartyChanged,
        patterns={"id": PARTY_ID},
        live=True,
    ),
    write(
        "/v1/keys/{key}/revoke",
        SUPERVISOR,
        revoke_key,
        "Revoke an API key for ever",
        returns=PartyChanged,
        patterns={"key": KEY_ID},
        live=True,
    ),
)
