"""Parties: credentials are hashed, shown once, found without I/O, and every change is in the log."""

from __future__ import annotations

import asyncio
import hashlib

import psycopg
import pytest

from annul.errors import BadInput, Conflict, NotAuthorised, NotFound, UnknownVersion
from annul.records.entry import EntryKind, decode
from annul.registry.parties import parties as room
from annul.registry.parties.parties import Agreement, Parties, load_snapshot, read_snapshot
from annul.registry.writing.act import Act, Idempotency
from annul.registry.writing.store import Fresh
from tests.registry.world import World

OPERATOR = Act("operator")
BANK = Agreement(
    frozenset({"credit", "account-opening"}), frozenset({"in_person"}), per_second=50, per_day=1000, reasons_allowed=True
)


class Board:
    """A place where snapshots are published by hand; what the listings offer."""

    def __init__(self, conninfo: str) -> None:
        self.conninfo = conninfo
        self.parties_generation = 0
        self.raw = b""

    def publish(self) -> None:
        """Publish what the database says now."""
        with psycopg.connect(self.conninfo) as db:
            self.parties_generation += 1
            self.raw = read_snapshot(db, self.parties_generation)

    def parties(self) -> tuple[int, bytes]:
        """Return generation and bytes."""
        return self.parties_generation, self.raw


@pytest.fixture
def board(world: World) -> Board:
    """An empty board."""
    return Board(world.conninfo)


@pytest.fixture
def parties(world: World, board: Board) -> Parties:
    """The parties of an empty register."""
    return Parties(Fresh(world.conninfo), board, world.clock)


def test_a_key_is_shown_once_and_stored_hashed(world: World, parties: Parties, board: Board) -> None:
    """The token opens; the database holds its SHA-256; the realm goes with the key."""

    async def go() -> tuple[str, str]:
        await parties.create(OPERATOR, "first-bank", "First Bank", "relying_party", organisation="Bank AG", agreement=BANK)
        live = await parties.issue_key(OPERATOR, "first-bank", label="branch")
        test = await parties.issue_key(OPERATOR, "first-bank", realm="test")
        return live.token, test.token

    live, test = asyncio.run(go())
    with pytest.raises(NotAuthorised):
        parties.principal(live)
    board.publish()
    principal = parties.principal(live)
    assert (principal.id, principal.role, principal.realm, principal.agreement) == ("first-bank", "relying_party", "live", BANK)
    assert parties.principal(test).realm == "test"
    assert live.startswith("live_")
    assert test.startswith("test_")
    assert parties.principal_of_key(principal.key_id) == principal
    with psycopg.connect(world.conninfo) as db:
        dump = repr([db.execute(f"SELECT t::text FROM {table} t").fetchall() for table in ("api_key", "register_log")])
    assert live.split("_")[2] not in dump
    assert hashlib.sha256(live.encode()).hexdigest() in dump
    with pytest.raises(NotAuthorised):
        parties.principal(live[:-1])
    with pytest.raises(NotAuthorised):
        parties.principal("")


def test_revoked_expired_and_suspended_credentials_open_nothing(world: World, parties: Parties, board: Board) -> None:
    """Each way of ending a credential ends it at the next snapshot, expiry at once."""

    async def go() -> list[room.IssuedKey]:
        await parties.create(OPERATOR, "first-bank", "First Bank", "relying_party")
        return [await parties.issue_key(OPERATOR, "first-bank", expires_at_us=end) for end in (0, world.clock.us + 10_000_000)]

    lasting, short = asyncio.run(go())
    board.publish()
    assert parties.principal(short.token)
    world.clock.us += 20_000_000
    with pytest.raises(NotAuthorised):
        parties.principal(short.token)
    asyncio.run(parties.set_active(OPERATOR, "first-bank", False))
    board.publish()
    with pytest.raises(NotAuthorised):
        parties.principal(lasting.token)
    asyncio.run(parties.set_active(OPERATOR, "first-bank", True))
    board.publish()
    assert parties.principal(lasting.token)
    asyncio.run(parties.revoke_key(OPERATOR, lasting.id))
    board.publish()
    with pytest.raises(NotAuthorised):
        parties.principal_of_key(lasting.id)
    with pytest.raises(NotFound):
        asyncio.run(parties.revoke_key(OPERATOR, lasting.id))
    (party,) = asyncio.run(parties.list())
    assert [key.revoked_at_us is None for key in party.keys] == [False, True]


def test_every_change_is_an_entry_that_commits_to_the_snapshot(world: World, parties: Parties) -> None:
    """The body of the entry is the SHA-256 of the snapshot at its position."""
    asyncio.run(parties.create(OPERATOR, "police-desk", "Police", "police"))
    asyncio.run(parties.issue_key(OPERATOR, "police-desk"))
    with psycopg.connect(world.conninfo) as db:
        told = [decode(bytes(row[0])) for row in db.execute("SELECT entry FROM register_log ORDER BY position").fetchall()]
        snapshot = read_snapshot(db, 2)
    assert [entry.kind for entry in told] == [EntryKind.party] * 2
    assert told[1].body == hashlib.sha256(snapshot).digest()
    assert load_snapshot(snapshot).position == 2


def test_wrong_forms_are_refused_and_change_nothing(parties: Parties) -> None:
    """Ids that would not fit a receipt, unknown purposes, private keys, taken ids."""

    async def go() -> None:
        for bad in ("", "Bank", "a" * 25, "-x", "a b", "ä"):
            with pytest.raises(BadInput):
                await parties.create(OPERATOR, bad, "Name", "police")
        with pytest.raises(BadInput):
            await parties.create(OPERATOR, "x", "Name", "king")  # type: ignore[arg-type]
        with pytest.raises(BadInput):
            await parties.create(OPERATOR, "x", "Name", "relying_party", agreement=Agreement(frozenset({"curiosity"})))
        await parties.create(OPERATOR, "x", "Name", "police")
        with pytest.raises(Conflict):
            await parties.create(OPERATOR, "x", "Name", "police")
        with pytest.raises(BadInput):
            await parties.set_client_keys(OPERATOR, "x", [{"kty": "OKP", "crv": "Ed25519", "x": "…", "d": "secret"}])
        with pytest.raises(NotFound):
            await parties.issue_key(OPERATOR, "nobody")

    asyncio.run(go())
    with pytest.raises(UnknownVersion):
        load_snapshot(b"\x94\x63\x00\x90\x90")


def test_a_clients_keys_are_found_and_an_assertion_is_used_once(parties: Parties, board: Board) -> None:
    """The second use of one jti is refused, for all workers; too long lives are refused."""
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    now = parties._now_us()

    async def go() -> None:
        await parties.create(OPERATOR, "first-bank", "First Bank", "relying_party", agreement=BANK)
        await parties.set_client_keys(OPERATOR, "first-bank", [jwk], realm="test")
        await parties.use_assertion("first-bank", "jti-1", now + 60_000_000)
        with pytest.raises(NotAuthorised):
            await parties.use_assertion("first-bank", "jti-1", now + 60_000_000)
        await parties.use_assertion("other", "jti-1", now + 60_000_000)
        with pytest.raises(NotAuthorised):
            await parties.use_assertion("first-bank", "jti-2", now + 7200_000_000)

    asyncio.run(go())
    board.publish()
    assert parties.client_keys("first-bank") == [jwk | {"kid": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"}]
    assert parties.principal_of_client("first-bank").realm == "test"
    assert parties.client_keys("other") == []
    with pytest.raises(NotAuthorised):
        parties.principal_of_client("other")


def test_a_repeated_request_changes_nothing(parties: Parties) -> None:
    """Creating under one Idempotency-Key twice gives the same position."""
    act = Act("operator", idempotency=Idempotency.of("operator", "k", b"body"))

    async def go() -> None:
        one = await parties.create(act, "x", "Name", "police")
        assert await parties.create(act, "x", "Name", "police") == one

    asyncio.run(go())


@pytest.mark.parametrize("key", ["", "k" * 256])
def test_an_idempotency_key_has_a_length(key: str) -> None:
    """Empty and over-long keys are refused by name."""
    with pytest.raises(BadInput, match="Idempotency-Key"):
        Idempotency.of("p", key)
