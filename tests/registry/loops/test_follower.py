"""The follower: the table equals the register, through crashes, restarts and roll-backs."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import threading
import time
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from annul.errors import AnnulError, Corrupt, UnsafeSettings
from annul.home import Home
from annul.listings import Listings
from annul.proof.checkpoint import sign_checkpoint
from annul.records.codes import Coverage
from annul.records.document import block, number_block
from annul.records.status import Event
from annul.registry.loops.follower import Follower
from annul.registry.parties.parties import Agreement, Parties
from annul.registry.postgres import Embedded
from annul.registry.writing.act import Act, Idempotency
from annul.registry.writing.ground import Ground
from annul.registry.writing.register import Register
from annul.registry.writing.store import Fresh, connect, migrate, open_pool
from annul.times import now_us
from tests.registry.world import ISSUER, POLICE, START_US, STRONG, WEAK, World, card, passport
from tests.waiting import WAIT_S, until

CARDS = [card(f"{year}-10-06", f"{year + 10}-10-06") for year in (1996, 2006, 2016)]
PASSPORTS = [passport(f"P{n:08d}") for n in range(3)]
DOCUMENTS = [*CARDS, *PASSPORTS]


def wait_for(listings_folder: Path, position: int) -> Listings:
    """Return the listings once they have applied a position."""

    def there() -> Listings | None:
        try:
            listings = Listings(listings_folder)
        except AnnulError:
            return None
        return listings if listings.position >= position else None

    found = until(there, f"position {position}")
    assert found is not None
    return found


def table(world: World) -> list[int]:
    """Return what the table holds of all documents and the cards' number."""
    keys = world.keys.documents("live")
    blocks = b"".join(block(document) for document in DOCUMENTS) + number_block(CARDS[0])
    return Listings(world.home / "listings").lookup(keys.blind(blocks)).tolist()


KINDS = ["issue", "lost", "stolen", "weak", "found", "lock", "unlock"]
KINDS += ["revoke_fraud", "dispute_open", "surrender", "compromise", "death"]
ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(KINDS),
        st.integers(0, len(DOCUMENTS) - 1),
    ),
    min_size=1,
    max_size=14,
)


async def act_on(world: World, action: str, number: int) -> None:
    """Try one change; rules may refuse it."""
    document, register = DOCUMENTS[number], world.register
    try:
        if action == "issue":
            await register.issue(ISSUER, document, happened_at_us=START_US)
        elif action in ("lost", "stolen", "found"):
            await register.report(
                POLICE,
                document,
                action,
                happened_at_us=START_US,
                proof=STRONG,  # type: ignore[arg-type]
                by_holder=number % 2 == 0,
            )
        elif action == "weak":
            await register.report(POLICE, document, "lost", happened_at_us=START_US, proof=WEAK)
        elif action == "death":
            await register.death(ISSUER, CARDS[0].number, happened_at_us=START_US)
        else:
            event = {"lock": "owner_lock", "unlock": "owner_unlock"}.get(action, action)
            await register.change(ISSUER, document, Event[event], happened_at_us=START_US)
    except AnnulError:
        pass


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(actions=ACTIONS)
@example(actions=[("issue", 0), ("lost", 1), ("stolen", 1)])
def test_following_and_rebuilding_give_the_same_table(make_database, tmp_path_factory, actions) -> None:  # type: ignore[no-untyped-def]
    """Entry by entry or from all rows at once: the table is the same after any history, whether cards were issued or not."""
    world = World(make_database(), Home(tmp_path_factory.mktemp("home")))
    world.follow()

    async def go() -> None:
        for action, number in actions:
            await act_on(world, action, number)

    asyncio.run(go())
    world.follow()
    followed = table(world)
    world.close()
    shutil.rmtree(world.home / "listings")
    world.follow()
    assert table(world) == followed
    world.close()


def test_a_killed_follower_goes_on_where_it_was(world: World) -> None:
    """Entries that were put but not yet said are put again, which changes nothing."""

    async def report(n: int) -> None:
        await world.register.report(POLICE, PASSPORTS[n], "lost", happened_at_us=START_US, proof=STRONG)

    asyncio.run(report(0))
    world.follow()
    world.follower.following.writer.close()  # as a kill leaves it: no errand was finished
    world.follower._writer = world.follower._following = None
    world.follower._names.close()
    world._follower = None
    asyncio.run(report(1))
    assert world.follow() == 2
    assert all(table(world)[3:5])


def test_a_table_that_cannot_be_trusted_is_rebuilt(world: World) -> None:
    """A flipped bit in the control page or a lost table file: the rows are the truth."""
    asyncio.run(world.register.report(POLICE, PASSPORTS[0], "lost", happened_at_us=START_US, proof=STRONG))
    world.follow()
    before = table(world)
    world.close()
    for path in (world.home / "listings").glob("table-*.slots"):
        path.unlink()
    assert world.follow() == 1
    assert table(world) == before


def test_a_register_that_was_set_back_is_refused(world: World) -> None:
    """The database restored from an old copy is shorter than what the table applied: no freshness is claimed."""
    asyncio.run(world.register.report(POLICE, PASSPORTS[0], "lost", happened_at_us=START_US, proof=STRONG))
    world.follow()
    world.close()
    with psycopg.connect(world.conninfo, autocommit=True) as db:
        db.execute("ALTER TABLE register_log DISABLE TRIGGER ALL")
        db.execute("DELETE FROM register_log")
        db.execute("UPDATE log_head SET next_position = 1")
    with pytest.raises(UnsafeSettings, match="0 entries, but 1 were acknowledged"):
        world.follow()
    world.close()
    world.home.acknowledged.unlink()
    with pytest.raises(Corrupt, match="applied 1"):
        world.follow()


def test_a_register_behind_its_sealed_checkpoint_is_refused(world: World) -> None:
    """Listings deleted, database set back: the sealed log still knows how long the register was."""
    note = sign_checkpoint(world.keys.register_signer().name, 5, bytes(32), world.keys.register_signer())
    path = world.home.log("register") / "checkpoint"
    path.parent.mkdir(parents=True)
    path.write_bytes(note)
    with pytest.raises(UnsafeSettings, match="sealed"):
        world.follow()


def test_a_gap_in_the_log_stops_the_follower(world: World) -> None:
    """A missing entry is never stepped over."""
    for n in range(2):
        asyncio.run(world.register.report(POLICE, PASSPORTS[n], "lost", happened_at_us=START_US, proof=STRONG))
    world.follower.turn()
    asyncio.run(world.register.report(POLICE, PASSPORTS[2], "lost", happened_at_us=START_US, proof=STRONG))
    with psycopg.connect(world.conninfo, autocommit=True) as db:
        db.execute("ALTER TABLE register_log DISABLE TRIGGER ALL")
        db.execute("UPDATE register_log SET position = 4 WHERE position = 3")
    with pytest.raises(Corrupt, match="no entry 3"):
        world.follow()


def test_workers_learn_of_credentials_and_coverage_at_their_position(world: World) -> None:
    """Create, issue, revoke: the snapshot beside the listings says the same as the database."""
    world.follow()
    listings = Listings(world.home / "listings")
    parties = Parties(Fresh(world.conninfo), listings, world.clock)

    async def go() -> tuple[str, str]:
        await parties.create(ISSUER, "first-bank", "First Bank", "relying_party", agreement=Agreement(frozenset({"credit"})))
        key = await parties.issue_key(ISSUER, "first-bank")
        await parties.set_coverage(ISSUER, "cn-resident", Coverage.whole_life)
        return key.id, key.token

    key_id, token = asyncio.run(go())
    assert world.follow() == 3
    principal = parties.principal(token)
    assert (principal.id, principal.realm, principal.key_id) == ("first-bank", "live", key_id)
    assert listings.coverage("cn-resident") is Coverage.whole_life
    asyncio.run(parties.revoke_key(ISSUER, key_id))
    world.follow()
    with pytest.raises(AnnulError):
        parties.principal(token)
    world.close()
    world.follow()


def test_a_report_is_acknowledged_when_every_reader_refuses(world: World) -> None:
    """The running follower is woken by the write itself; provisional reports lapse by its errand."""
    stop = threading.Event()
    follower = Follower(world.conninfo, world.home, world.keys, lambda: time.time_ns() // 1000)
    thread = threading.Thread(target=follower.run, args=(stop,))
    thread.start()
    try:
        listings = wait_for(world.home / "listings", 0)
        readers = [Listings(world.home / "listings") for _ in range(3)]
        key = world.keys.documents("live").blind(block(PASSPORTS[0]))

        async def go() -> None:
            ground = Ground(Fresh(world.conninfo), world.keys, world.home, now_us, listings=listings)
            register = Register(ground, provisional_us=1)
            told = await register.report(POLICE, PASSPORTS[0], "lost", happened_at_us=START_US, proof=STRONG)
            assert all(reader.lookup(key)[0] for reader in readers)
            assert all(reader.position >= told.position for reader in readers)
            weak = await register.report(POLICE, PASSPORTS[1], "lost", happened_at_us=START_US, proof=WEAK)
            assert await listings.reached(weak.position + 1, WAIT_S)  # the lapse is an entry of its own
            assert (await register.view(weak.id, "live")).state == "lapsed"

        asyncio.run(go())
    finally:
        stop.set()
        thread.join(WAIT_S)
    assert not thread.is_alive()


def test_nothing_acknowledged_is_lost_when_the_database_is_killed(memory_folder: Path) -> None:
    """kill -9 of the server under load, three times: every acknowledged report is there, once, and the table has it."""
    home = memory_folder / "killed"
    with Embedded(home) as server:
        migrate(server.conninfo)
        world = World(server.conninfo, home)
        stop = threading.Event()
        follower = Follower(server.conninfo, home, world.keys, lambda: time.time_ns() // 1000)
        thread = threading.Thread(target=follower.run, args=(stop,))
        thread.start()
        acknowledged: dict[str, int] = {}

        async def reporter(register: Register, lane: int) -> None:
            for n in range(25):
                act = Act("police-1", idempotency=Idempotency.of("police-1", f"{lane}-{n}", b"x"))
                while True:
                    try:
                        told = await register.report(
                            act, passport(f"R{lane}{n:04d}"), "lost", happened_at_us=START_US, proof=STRONG
                        )
                    except AnnulError:
                        await asyncio.sleep(0.02)
                        continue
                    acknowledged[f"R{lane}{n:04d}"] = told.position
                    break

        async def go() -> None:
            pool = await open_pool(server.conninfo, size_max=4)
            register = Register(Ground(pool, world.keys, home, now_us, listings=wait_for(home / "listings", 0)))
            lanes = [asyncio.create_task(reporter(register, lane)) for lane in range(4)]
            chance = random.Random(7)
            for _ in range(3):
                await asyncio.sleep(0.05 + chance.random() * 0.1)
                if server.pid:
                    os.kill(server.pid, signal.SIGKILL)
            await asyncio.gather(*lanes)
            await pool.close()

        try:
            asyncio.run(go())
        finally:
            stop.set()
            thread.join(WAIT_S)
        assert sorted(acknowledged.values()) == list(range(1, 101))
        with connect(server.conninfo) as db:
            assert db.execute("SELECT count(*), max(position) FROM register_log").fetchone() == (100, 100)
            assert db.execute("SELECT count(*) FROM report").fetchone() == (100,)
        listings = Listings(home / "listings")
        keys = b"".join(block(passport(number)) for number in acknowledged)
        assert listings.lookup(world.keys.documents("live").blind(keys)).all()
        assert listings.position == 100
    assert server.restarts >= 1


def test_freshness_stops_while_the_database_is_away(memory_folder: Path) -> None:
    """No heartbeat without the register: `as_of` stands still, and goes on when the database is back."""
    home = memory_folder / "away"
    server = Embedded(home).start()
    stop = threading.Event()
    try:
        migrate(server.conninfo)
        world = World(server.conninfo, home)
        follower = Follower(server.conninfo, home, world.keys, lambda: time.time_ns() // 1000)
        thread = threading.Thread(target=follower.run, args=(stop,))
        thread.start()
        listings = wait_for(home / "listings", 0)
        server.stop()
        before = -1

        def stands() -> bool:
            nonlocal before
            was, before = before, listings.as_of_us
            return stop.wait(0.3) or was == listings.as_of_us

        until(stands, "the end of the heartbeat")
        stood = listings.as_of_us
        server.start()
        until(lambda: listings.as_of_us > stood, "the heartbeat")
    finally:
        stop.set()
        thread.join(WAIT_S)
        server.stop()
