"""Who may use annul: principals, their agreements and credentials, and what each kind of document is covered by.

Every change is an entry of the register log. Workers do not ask the database: they load a snapshot which the follower
publishes beside the listings (`principals`), and take it up at the position of the change.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import psycopg

from annul.errors import BadInput, Conflict, Forbidden, NotAuthorised, NotFound
from annul.records.codes import Channel, Coverage, Purpose
from annul.records.entry import Entry, EntryKind
from annul.records.references import TAG_MAX, require_reference
from annul.records.shown import require_shown
from annul.registry.answering.principals import (
    REALM_NAMES,
    ROLES,
    SNAPSHOT_VERSION,
    Agreement,
    Capture,
    Jwks,
    KeyRow,
    KeyUse,
    PartyRow,
    Principal,
    Principals,
    Published,
    RealmName,
    Role,
    Snapshot,
    SnapshotRows,
    load_snapshot,
)
from annul.registry.parties.client_keys import checked, name_of
from annul.registry.writing.act import Act
from annul.registry.writing.pen import remember, replay
from annul.registry.writing.second import note_made
from annul.registry.writing.store import REALM_CODES, Connections, Write, reading, writing
from annul.times import HOUR_US, MINUTE_US, Clock

__all__ = [
    "ROLES",
    "Agreement",
    "Capture",
    "Changed",
    "IssuedKey",
    "Jwks",
    "KeyInfo",
    "KeyUse",
    "Parties",
    "Party",
    "Principal",
    "Principals",
    "Published",
    "RealmName",
    "Role",
    "Snapshot",
    "load_snapshot",
    "read_snapshot",
]

ID_FORM = re.compile(r"[a-z0-9][a-z0-9-]{0,23}")
"""A principal's id: it stands in receipts as 24 bytes of ASCII."""

KEY_ID_BYTES = 8
KEY_SECRET_BYTES = 32
CLIENT_KEYS_MAX = 5
"""Keys of one client: enough to change them without a gap."""

ASSERTION_LIFETIME_MAX_US = HOUR_US + MINUTE_US
"""An hour, and what clocks may differ."""
"""Longest life of a client assertion. Source: RFC 7523, section 3 item 4 leaves the limit to the server."""


class Party(msgspec.Struct, frozen=True):
    """Describe a principal to a supervisor, without secrets."""

    id: str
    name: str
    role: Role
    organisation: str
    agreement: Agreement | None
    active: bool
    keys: list[KeyInfo]
    client_keys: int
    position: int


class KeyInfo(msgspec.Struct, frozen=True):
    """Describe an API key without its secret; `revoked_at_us` is None while it works."""

    id: str
    realm: RealmName
    label: str
    created_at_us: int
    expires_at_us: int
    revoked_at_us: int | None
    use: KeyUse = "all"


class IssuedKey(msgspec.Struct, frozen=True):
    """Hand out a new API key; `token` is shown this once and stored nowhere."""

    id: str
    token: str
    position: int


class Changed(msgspec.Struct, frozen=True):
    """Say at which position a change of parties or coverage was recorded.

    Args:
        position: of its entry.
        waits: it was only asked for; nothing changes until another person asks for the same.
    """

    position: int
    waits: bool = False


class Waiting(str):
    """What the entry says of a change that was asked for and waits for another person."""

    __slots__ = ()


class Parties(Principals):
    """Look up credentials without I/O, and change them in the register.

    Args:
        connections: the register's database; needed for changes and `use_assertion` only.
        published: where the follower publishes snapshots.
        now_us: clock, microseconds since the epoch.
    """

    def __init__(self, connections: Connections, published: Published, now_us: Clock) -> None:
        super().__init__(published, now_us)
        self._connections = connections

    async def use_assertion(self, client_id: str, jti: str, expires_at_us: int) -> None:
        """Note that a client assertion was used, for all workers.

        Raises:
            NotAuthorised: it was used before, or lives too long.
        """
        now = self._now_us()
        if not jti or len(jti) > 255 or expires_at_us > now + ASSERTION_LIFETIME_MAX_US:
            raise NotAuthorised(
                "The client assertion has no usable jti, or lives longer than an hour.", where="client_assertion"
            )
        async with reading(self._connections) as db:
            await db.execute("DELETE FROM used_assertion WHERE expires_at_us < %s", (now,))
            used = await db.execute(
                "INSERT INTO used_assertion (client_id, jti, expires_at_us) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                (client_id, jti, expires_at_us),
            )
            if used.rowcount != 1:
                raise NotAuthorised("The client assertion was used before.", where="client_assertion", mend="Make a new one.")

    async def list(self) -> Sequence[Party]:
        """Return all principals with their keys, by id."""
        async with reading(self._connections) as db:
            keys: dict[str, list[KeyInfo]] = {}
            for row in await (
                await db.execute(
                    "SELECT principal_id, id, realm, label, created_at_us, expires_at_us, revoked_at_us, use FROM api_key "
                    "ORDER BY created_at_us, id"
                )
            ).fetchall():
                keys.setdefault(row[0], []).append(KeyInfo(row[1], REALM_NAMES[row[2]], *row[3:]))
            rows = await (
                await db.execute(
                    "SELECT id, name, role, organisation, agreement, active, jwks, position FROM principal ORDER BY id"
                )
            ).fetchall()
        return [
            Party(
                id,
                name,
                role,
                organisation,
                _agreement(agreement),
                active,
                keys.get(id, []),
                len(msgspec.json.decode(jwks)),
                position,
            )
            for id, name, role, organisation, agreement, active, jwks, position in rows
        ]

    async def key_of(self, bearer: str, realm: RealmName) -> tuple[str, str]:
        """Return the party and the id of a full key, asked of the database itself: commands on the machine have no snapshot.

        Raises:
            NotAuthorised: it is unknown, revoked, expired, for counters, of the other realm, or its party is suspended.
        """
        async with reading(self._connections) as db:
            row = await (
                await db.execute(
                    "SELECT principal_id, k.id FROM api_key k JOIN principal p ON p.id = principal_id WHERE token_hash = %s "
                    "AND realm = %s AND use = 'all' AND active AND revoked_at_us IS NULL "
                    "AND (expires_at_us = 0 OR expires_at_us > %s)",
                    (hashlib.sha256(bearer.encode()).digest(), REALM_CODES[realm], self._now_us()),
                )
            ).fetchone()
        if row is None:
            raise NotAuthorised("The credential is unknown, revoked or expired.")
        return row[0], row[1]

    async def create(
        self, act: Act, id: str, name: str, role: Role, *, organisation: str = "", agreement: Agreement | None = None
    ) -> Changed:
        """Record a principal. Only those with an agreement may ask checks.

        Raises:
            BadInput: the id, name, role or agreement is not of its form.
            Conflict: the id is taken.
        """
        if not ID_FORM.fullmatch(id):
            raise BadInput("An id is 1 to 24 of a-z, 0-9 and -, and does not start with -.", where="/id")
        if not 1 <= len(name) <= 200 or len(organisation) > 200:
            raise BadInput("A name has 1 to 200 characters.", where="/name")
        require_shown(name, "/name")
        require_shown(organisation, "/organisation")
        if role not in ROLES:
            raise BadInput(f"The role is one of {', '.join(ROLES)}.", where="/role")
        _require_agreement(agreement)

        async def change(write: Write) -> str:
            made = await write.run(
                "INSERT INTO principal (id, name, role, organisation, agreement, position) VALUES (%s, %s, %s, %s, %s, %s) "
                "ON CONFLICT DO NOTHING",
                id,
                name,
                role,
                organisation,
                agreement and msgspec.json.encode(agreement),
                write.position + 1,
            )
            if made != 1:
                raise Conflict("There is a principal with this id already.", where="/id")
            return f"create {id}"

        return await self.change(act, change)

    async def set_agreement(self, act: Act, id: str, agreement: Agreement | None) -> Changed:
        """Replace the agreement of a principal; None ends its right to ask checks."""
        _require_agreement(agreement)

        async def change(write: Write) -> str:
            await _touch(
                write,
                "UPDATE principal SET agreement = %s, position = %s WHERE id = %s",
                agreement and msgspec.json.encode(agreement),
                write.position + 1,
                id,
            )
            return f"agreement {id}"

        return await self.change(act, change)

    async def set_active(self, act: Act, id: str, active: bool) -> Changed:
        """Suspend or restore a principal with all its credentials and officers.

        Raises:
            Forbidden: a principal would suspend itself; nobody might be left to restore it.
        """
        if act.author == id and not active:
            raise Forbidden("A party cannot suspend itself.", where="/id", mend="Another supervisor can.")

        async def change(write: Write) -> str:
            await _touch(write, "UPDATE principal SET active = %s, position = %s WHERE id = %s", active, write.position + 1, id)
            return f"{'restore' if active else 'suspend'} {id}"

        return await self.change(act, change)

    async def set_client_keys(self, act: Act, id: str, jwks: Jwks, *, realm: RealmName = "live") -> Changed:
        """Replace the public keys of a principal's OAuth client; an empty list closes it.

        Raises:
            BadInput: too many keys, two of one name, or one that cannot sign; see `client_keys.checked`.
        """
        kept = _named([checked(jwk, f"/keys/{place}") for place, jwk in enumerate(jwks)], "/keys")

        async def change(write: Write) -> str:
            await self._put_client_keys(write, act, id, kept, realm)
            return f"client-keys {id}"

        return await self.change(act, change)

    async def add_client_key(self, act: Act, id: str, jwk: dict[str, Any]) -> Changed:
        """Add one public key to those of a principal's OAuth client; the others go on counting.

        Raises:
            BadInput: it cannot sign, its name is there already, or there are too many. NotFound: no such principal.
        """
        new = checked(jwk, "/key")

        async def change(write: Write) -> str:
            held, realm = await _held_client_keys(write, id)
            await self._put_client_keys(write, act, id, _named([*held, new], "/key/kid"), realm)
            return f"client-key-added {id}"

        return await self.change(act, change)

    async def remove_client_key(self, act: Act, id: str, kid: str) -> Changed:
        """Remove one public key of a principal's OAuth client by its name.

        Raises:
            NotFound: no such principal, or no key of this name.
        """

        async def change(write: Write) -> str:
            held, realm = await _held_client_keys(write, id)
            left = [jwk for jwk in held if name_of(jwk) != kid]
            if len(left) == len(held):
                raise NotFound("There is no such client key.", mend="Read the party's client keys for their names.")
            await self._put_client_keys(write, act, id, left, realm)
            return f"client-key-removed {id}"

        return await self.change(act, change)

    async def client_keys_of(self, id: str) -> tuple[Jwks, RealmName]:
        """Return the public keys of a principal's OAuth client, each with its name, and the realm of its tokens.

        Raises:
            NotFound: there is no such principal.
        """
        async with reading(self._connections) as db:
            row = await (await db.execute("SELECT jwks, client_realm FROM principal WHERE id = %s", (id,))).fetchone()
        if row is None:
            raise NotFound("There is no such party.")
        held = msgspec.json.decode(row[0], type=Jwks) if row[0] else []
        return [{**jwk, "kid": name_of(jwk)} for jwk in held], REALM_NAMES[row[1]]

    async def _put_client_keys(self, write: Write, act: Act, id: str, jwks: Jwks, realm: RealmName) -> None:
        await _touch(
            write,
            "UPDATE principal SET jwks = %s, client_realm = %s, position = %s WHERE id = %s",
            msgspec.json.encode(jwks),
            REALM_CODES[realm],
            write.position + 1,
            id,
        )
        await note_made(write, act, f"client-{id}")

    async def issue_key(
        self,
        act: Act,
        principal_id: str,
        *,
        realm: RealmName = "live",
        label: str = "",
        expires_at_us: int = 0,
        use: KeyUse = "all",
    ) -> IssuedKey:
        """Make an API key `live_<id>_<secret>` or `test_<id>_<secret>`; only its SHA-256 is stored.

        An Idempotency-Key is not taken: the token cannot be told twice.

        Raises:
            BadInput: a key for counters is asked for a party that is no relying party: it has no counters.
        """
        label = require_reference(label, "/label", most=TAG_MAX)
        key_id, secret = secrets.token_hex(KEY_ID_BYTES), secrets.token_hex(KEY_SECRET_BYTES)
        token = f"{realm}_{key_id}_{secret}"

        async def change(write: Write) -> str:
            await _touch(write, "UPDATE principal SET position = %s WHERE id = %s", write.position + 1, principal_id)
            await _require_counters(write, principal_id, use)
            await write.run(
                "INSERT INTO api_key (id, principal_id, realm, label, token_hash, created_at_us, expires_at_us, use) "
                "VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
                key_id,
                principal_id,
                REALM_CODES[realm],
                label,
                hashlib.sha256(token.encode()).digest(),
                write.recorded_at_us,
                expires_at_us,
                use,
            )
            await note_made(write, act, key_id)
            return f"key-issued {principal_id} {key_id}"

        changed = await self.change(replace(act, idempotency=None), change)
        return IssuedKey(key_id, token, changed.position)

    async def revoke_key(self, act: Act, key_id: str) -> Changed:
        """Revoke an API key for ever; NotFound when there is none that works."""

        async def change(write: Write) -> str:
            await _touch(
                write,
                "UPDATE api_key SET revoked_at_us = %s WHERE id = %s AND revoked_at_us IS NULL",
                write.recorded_at_us,
                key_id,
            )
            return f"key-revoked {key_id}"

        return await self.change(act, change)

    async def set_coverage(self, act: Act, name: str, extent: Coverage) -> Changed:
        """Declare what the register knows of a kind of document (a coverage name such as `icao-9303/UTO/P`).

        Args:
            extent: whole lives, listings only, or none (the declaration is withdrawn).
        """
        if not 1 <= len(name) <= 120:
            raise BadInput("A coverage name has 1 to 120 characters.", where="/name")
        async with writing(self._connections, self._now_us()) as write:
            known = await replay(write, act, Changed)
            if known is not None:
                return known
            if extent is Coverage.none:
                await write.run("DELETE FROM coverage WHERE name = %s", name)
            else:
                await write.run(
                    "INSERT INTO coverage (name, extent, position) VALUES (%s, %s, %s) ON CONFLICT (name) "
                    "DO UPDATE SET extent = excluded.extent, position = excluded.position",
                    name,
                    extent.value,
                    write.position + 1,
                )
            position = write.append(
                Entry(
                    kind=EntryKind.coverage,
                    realm=act.code,
                    recorded_at_us=write.recorded_at_us,
                    happened_at_us=write.recorded_at_us,
                    author=act.author,
                    evidence="",
                    body=bytes([extent.octet]) + name.encode(),
                )
            )
            await remember(write, act, Changed(position))
        return Changed(position)

    async def change(self, act: Act, change: Callable[[Write], Awaitable[str]]) -> Changed:
        """Change parties and record that as one entry with the digest of the new snapshot.

        Args:
            act: who changes; a repetition of its Idempotency-Key changes nothing.
            change: makes the change inside the transaction and returns what the entry says of it, `Waiting` if nothing changed.
        """
        async with writing(self._connections, self._now_us()) as write:
            known = await replay(write, act, Changed)
            if known is not None:
                return known
            evidence = await change(write)
            rows = await write.all(_PRINCIPALS), await write.all(_KEYS)
            digest = hashlib.sha256(_encode(write.position + 1, *rows)).digest()
            position = write.append(
                Entry(
                    kind=EntryKind.party,
                    realm=act.code,
                    recorded_at_us=write.recorded_at_us,
                    happened_at_us=write.recorded_at_us,
                    author=act.author,
                    evidence=evidence,
                    body=digest,
                )
            )
            made = Changed(position, isinstance(evidence, Waiting))
            await remember(write, act, made)
        return made


_PRINCIPALS = (
    "SELECT id, name, role, organisation, agreement, client_realm, jwks, policy FROM principal "
    "LEFT JOIN counter_policy ON party = id AND version = policy_version WHERE active ORDER BY id"
)
_KEYS = (
    "SELECT k.id, principal_id, realm, token_hash, expires_at_us, use FROM api_key k JOIN principal p ON p.id = principal_id "
    "WHERE active AND revoked_at_us IS NULL ORDER BY k.id"
)


def read_snapshot(db: psycopg.Connection[Any], position: int) -> bytes:
    """Return the snapshot bytes of the database's present state, marked with a position (for the follower)."""
    return _encode(position, db.execute(_PRINCIPALS).fetchall(), db.execute(_KEYS).fetchall())


def _encode(position: int, principals: Sequence[tuple[Any, ...]], keys: Sequence[tuple[Any, ...]]) -> bytes:
    parties = [
        PartyRow(id, name, role, organisation, _agreement(agreement), realm, msgspec.json.decode(jwks), policy or b"")
        for id, name, role, organisation, agreement, realm, jwks, policy in principals
    ]
    return msgspec.msgpack.encode(
        SnapshotRows(SNAPSHOT_VERSION, position, parties, [KeyRow(*row) for row in keys]), order="deterministic"
    )


def _agreement(raw: bytes | None) -> Agreement | None:
    return None if raw is None else msgspec.json.decode(raw, type=Agreement)


def _require_agreement(agreement: Agreement | None) -> None:
    for member, allowed in (("purposes", Purpose), ("channels", Channel)):
        unknown = set(getattr(agreement, member, ())) - {code.value for code in allowed}
        if unknown:
            raise BadInput(
                f"The agreement names unknown {member}.",
                where=f"/agreement/{member}",
                mend=f"Use some of {', '.join(code.value for code in allowed)}.",
            )


async def _touch(write: Write, sql: str, *values: Any) -> None:
    if await write.run(sql, *values) != 1:
        raise NotFound("There is no such principal or key.")


async def _require_counters(write: Write, principal_id: str, use: KeyUse) -> None:
    if (
        use == "counter"
        and await write.one("SELECT 1 FROM principal WHERE id = %s AND role = 'relying_party'", principal_id) is None
    ):
        raise BadInput("Only relying parties have counters.", where="/use", mend="Issue a key for all that the party may do.")


async def _held_client_keys(write: Write, id: str) -> tuple[Jwks, RealmName]:
    row = await write.one("SELECT jwks, client_realm FROM principal WHERE id = %s FOR UPDATE", id)
    if row is None:
        raise NotFound("There is no such party.")
    return (msgspec.json.decode(row[0], type=Jwks) if row[0] else []), REALM_NAMES[row[1]]


def _named(jwks: Jwks, where: str) -> Jwks:
    """Refuse too many keys, and two of one name."""
    if len(jwks) > CLIENT_KEYS_MAX:
        raise BadInput(
            f"A client has at most {CLIENT_KEYS_MAX} keys.", where=where, mend="Remove one that is not used any more."
        )
    names = [name_of(jwk) for jwk in jwks]
    if len(set(names)) < len(names):
        raise BadInput("Two keys have one name.", where=where, mend="Give each a kid of its own.")
    return jwks
