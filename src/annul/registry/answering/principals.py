"""Who asks: principals, their agreements and credentials as of the snapshot the follower publishes beside the listings.

Nothing here needs the database, so that a worker knows who asks while the database is down or not up yet.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Final, Literal, Protocol, get_args

import msgspec
from msgspec import Meta

from annul.errors import NotAuthorised, UnknownVersion
from annul.records.policy import Decisions, kept_policy
from annul.times import Clock

Role = Literal["relying_party", "issuer", "police", "supervisor"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)
RealmName = Literal["live", "test"]
KeyUse = Literal["all", "counter"]
"""What a key may be used for: everything its party may do, or checks at a counter alone."""
Jwks = list[dict[str, Any]]

SNAPSHOT_VERSION = 1

REALM_NAMES: tuple[RealmName, RealmName] = ("live", "test")


class Capture(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Say what a relying party's comparisons of bearer and holder must be like.

    Args:
        supervised: a match counts only if the clerk confirms to have watched the capture.
        traits: what must be compared: either trait, the face, a finger, or both. A person without usable prints is exempt
            from the finger if the face is compared.
        challenge: with the face comes a challenge, carried out before the camera.
        enrolled: what is on record of the holder may be compared with; it never leaves the register.
    """

    supervised: bool = True
    traits: Literal["any", "face", "finger", "both"] = "any"
    challenge: bool = False
    enrolled: bool = False


class Agreement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Say what a relying party may ask.

    Args:
        purposes: allowed purposes (words of records.codes.Purpose).
        channels: allowed channels.
        per_second: checks a second; per_day: checks a day (UTC).
        reasons_allowed: exact status codes are told, not their class alone.
        identity_allowed: whether a name belongs to a number is told; otherwise the identity is always M9.
        photo_allowed: the portrait on record is given out for a check just made.
        capture: what comparisons of bearer and holder must be like.
        per_day: checks a day (UTC); 0: no limit.
    """

    purposes: frozenset[str] = frozenset()
    channels: frozenset[str] = frozenset({"in_person", "remote"})
    per_second: Annotated[int, Meta(ge=1, le=1_000_000)] = 1000
    per_day: Annotated[int, Meta(ge=1, le=10**12)] = 10_000_000
    reasons_allowed: bool = False
    identity_allowed: bool = False
    photo_allowed: bool = False
    capture: Capture = Capture()


class Principal(msgspec.Struct, frozen=True):
    """Say who a credential stands for; `key_id` names the credential, `expires_at_us` is 0 when it does not expire.

    `decisions` are those of the party's own counter policy; None where the register's default policy holds.
    """

    id: str
    name: str
    role: Role
    realm: RealmName
    agreement: Agreement | None = None
    key_id: str = ""
    organisation: str = ""
    expires_at_us: int = 0
    use: KeyUse = "all"
    decisions: Decisions | None = None


class PartyRow(msgspec.Struct, array_like=True):
    """One principal of a snapshot."""

    id: str
    name: str
    role: Role
    organisation: str
    agreement: Agreement | None
    client_realm: int
    jwks: list[dict[str, Any]]
    policy: bytes = b""  # JSON of its own counter policy in force


class KeyRow(msgspec.Struct, array_like=True):
    """One API key of a snapshot."""

    id: str
    principal_id: str
    realm: int
    token_hash: bytes
    expires_at_us: int
    use: KeyUse = "all"


class SnapshotRows(msgspec.Struct, array_like=True):
    """What is published, as MessagePack."""

    version: int
    position: int
    parties: list[PartyRow]
    keys: list[KeyRow]


class Snapshot:
    """Hold all credentials as of one position, for look-ups without I/O.

    Attributes:
        by_token: SHA-256 of an API key -> Principal; expiry is not looked at here.
        by_key: key id -> Principal.
        by_client: OAuth client id (the principal's id) -> Principal.
        by_party: id -> Principal without a credential.
        jwks: client id -> its public keys.
    """

    def __init__(self, raw: SnapshotRows) -> None:
        self.position = raw.position
        self.jwks = {party.id: party.jwks for party in raw.parties}
        decisions = {party.id: Decisions(kept_policy(party.policy)) for party in raw.parties if party.policy}
        self.by_client = {
            party.id: _principal(party, party.client_realm, f"client-{party.id}", 0, "all", decisions.get(party.id))
            for party in raw.parties
            if party.jwks
        }
        parties = {party.id: party for party in raw.parties}
        self.by_party = {party.id: _principal(party, 0, "", 0, "all", decisions.get(party.id)) for party in raw.parties}
        self.by_token: dict[bytes, Principal] = {}
        self.by_key: dict[str, Principal] = {}
        for key in raw.keys:
            party = parties[key.principal_id]
            principal = _principal(party, key.realm, key.id, key.expires_at_us, key.use, decisions.get(party.id))
            self.by_token[key.token_hash] = self.by_key[key.id] = principal
        self.by_key |= {principal.key_id: principal for principal in self.by_client.values()}


def load_snapshot(raw: bytes) -> Snapshot:
    """Read a snapshot; empty bytes are the snapshot of a register without principals.

    Raises:
        UnknownVersion: it was written by another version.
    """
    if not raw:
        return Snapshot(SnapshotRows(SNAPSHOT_VERSION, 0, [], []))
    if msgspec.msgpack.decode(raw, type=list[Any])[0] != SNAPSHOT_VERSION:
        raise UnknownVersion("The snapshot of the parties is of an unknown version.")
    return Snapshot(msgspec.msgpack.decode(raw, type=SnapshotRows))


class Published(Protocol):
    """Give the published snapshot: what annul.listings.Listings offers."""

    def parties(self) -> tuple[int, bytes]:
        """Return (generation, snapshot bytes)."""

    @property
    def parties_generation(self) -> int:
        """The generation alone: a cheap read."""


class Principals:
    """Look up credentials without I/O.

    Args:
        published: where the follower publishes snapshots.
        now_us: clock, microseconds since the epoch.
    """

    def __init__(self, published: Published, now_us: Clock) -> None:
        self._published = published
        self._now_us = now_us
        self._generation = -1
        self._loaded = load_snapshot(b"")

    @property
    def snapshot(self) -> Snapshot:
        """The newest published snapshot."""
        if self._published.parties_generation != self._generation:
            generation, raw = self._published.parties()
            self._loaded, self._generation = load_snapshot(raw), generation
        return self._loaded

    def principal(self, bearer: str) -> Principal:
        """Return who an API key stands for.

        Raises:
            NotAuthorised: it is unknown, revoked or expired; which of these is not told.
        """
        found = self.snapshot.by_token.get(hashlib.sha256(bearer.encode()).digest())
        return self._unexpired(found)

    def principal_of_key(self, key_id: str) -> Principal:
        """Return who a key's id stands for (sessions hold the id); NotAuthorised once it is revoked or expired."""
        return self._unexpired(self.snapshot.by_key.get(key_id))

    def principal_of_party(self, party: str) -> Principal:
        """Return a party that is active, in the live realm and without a credential (its officers come by passkey)."""
        return self._unexpired(self.snapshot.by_party.get(party))

    def principal_of_client(self, client_id: str) -> Principal:
        """Return the principal of an OAuth client that has keys; NotAuthorised when there is none."""
        return self._unexpired(self.snapshot.by_client.get(client_id))

    def client_keys(self, client_id: str) -> Jwks:
        """Return the public keys (JWK) of an OAuth client; empty when there is none."""
        return self.snapshot.jwks.get(client_id, [])

    def _unexpired(self, found: Principal | None) -> Principal:
        if found is None or (found.expires_at_us and found.expires_at_us <= self._now_us()):
            raise NotAuthorised("The credential is unknown, revoked or expired.", mend="Ask the operator for a new key.")
        return found


def _principal(
    party: PartyRow, realm: int, key_id: str, expires_at_us: int, use: KeyUse, decisions: Decisions | None
) -> Principal:
    return Principal(
        party.id,
        party.name,
        party.role,
        REALM_NAMES[realm],
        party.agreement,
        key_id,
        party.organisation,
        expires_at_us,
        use,
        decisions,
    )
