"""The way to the database: slow questions hold up no report, and none lasts for ever."""

from __future__ import annotations

import ast
import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

import annul
from annul.errors import SourceDown
from annul.registry.accounts import accounts, counts
from annul.registry.writing import store
from annul.registry.writing.store import Fresh, Lasting, connect, open_pool, reading, writing
from annul.times import DAY_US
from tests.registry.world import START_US


def test_a_write_has_connections_of_its_own(database: str) -> None:
    """Every connection for reading waits for something slow, and others for them: a write goes through at once."""

    async def go() -> None:
        pool = await open_pool(database, size_max=2)
        held = asyncio.Event()
        let = asyncio.Event()
        busy = 0

        async def slow() -> None:
            nonlocal busy
            async with reading(pool) as db:
                await db.execute("SELECT 1")
                busy += 1
                if busy == 2:
                    held.set()
                await let.wait()

        readers = [asyncio.ensure_future(slow()) for _ in range(6)]
        await held.wait()
        async with writing(pool, START_US) as write:
            write.note("annul", "a word", b"nothing", happened_at_us=START_US)
        assert not any(reader.done() for reader in readers)
        let.set()
        await asyncio.gather(*readers)
        await pool.close()

    asyncio.run(go())


def test_a_question_that_takes_too_long_is_ended(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its asker hears that the source is down; the connection is good for the next one."""
    monkeypatch.setattr(store, "READ_TIMEOUT_S", 1)

    async def go() -> None:
        pool = await open_pool(database, size_max=1)
        begun = time.monotonic()
        with pytest.raises(SourceDown):
            async with reading(pool) as db:
                await db.execute("SELECT pg_sleep(60)")
        assert time.monotonic() - begun < 50
        async with reading(pool) as db:
            assert await (await db.execute("SELECT 1")).fetchone() == (1,)
        await pool.close()

    asyncio.run(go())


SOURCE = Path(annul.__file__).parent


def openings() -> Iterator[tuple[str, ast.Call]]:
    """Yield every call in the source that opens a connection by the driver."""
    for path in sorted(set(SOURCE.rglob("*.py")) - set((SOURCE / "bench").rglob("*.py"))):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name):
                text = ast.unparse(node.func)
                if text in ("psycopg.connect", "psycopg.AsyncConnection.connect", "AsyncConnectionPool"):
                    yield f"{path.relative_to(SOURCE)}:{node.lineno}", node


def test_no_connection_is_opened_without_limits_of_time() -> None:
    """Wherever in the tree: what waits without end holds others up who know nothing of it."""
    found = dict(openings())
    assert len(found) >= 6
    for place, call in found.items():
        said = {word.arg for word in call.keywords}
        assert "options" in said or any("options(" in ast.unparse(word.value) for word in call.keywords), place


def test_every_session_limits_its_statements_and_its_waits(database: str) -> None:
    """Pools, loops and commands: each has a limit for a statement and one for a lock."""
    asked = "SELECT name, setting::bigint FROM pg_settings WHERE name IN ('statement_timeout', 'lock_timeout')"

    async def go() -> None:
        pool = await open_pool(database)
        for source in (pool, pool.writes, Lasting(database), Fresh(database)):
            async with source.connection() as db:
                limits = dict(await (await db.execute(asked)).fetchall())
                assert 0 < limits["lock_timeout"] < limits["statement_timeout"], source
        await pool.close()

    asyncio.run(go())
    for patient in (False, True):
        with connect(database, patient=patient) as db:
            limits = dict(db.execute(asked).fetchall())
            assert 0 < limits["lock_timeout"] < limits["statement_timeout"]


def test_a_lasting_connection_is_opened_again_when_it_broke(database: str) -> None:
    """Who had it hears of the break; the next one has a new connection."""

    async def go() -> None:
        lasting = Lasting(database)
        with pytest.raises(psycopg.OperationalError):
            async with lasting.connection() as db:
                await db.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        async with lasting.connection() as db:
            assert await (await db.execute("SELECT 1")).fetchone() == (1,)
            await db.close()

    asyncio.run(go())


@pytest.mark.parametrize("realm", [0, 1])
def test_a_list_of_a_party_reads_its_own_realm_alone(database: str, realm: int) -> None:
    """A test key's list of checks goes by an index that begins with the realm, whatever the party asked live."""
    with psycopg.connect(database, autocommit=True) as db:
        accounts.make_months(db, START_US)
        db.execute("SET enable_seqscan = off")
        rows = db.execute(
            "EXPLAIN SELECT * FROM check_index WHERE party = 'bank' AND realm = %s ORDER BY checked_at_us DESC, worker DESC, "
            "window_no DESC, leaf_index DESC LIMIT 3",
            (realm,),
        ).fetchall()
        made = db.execute("SELECT indexdef FROM pg_indexes WHERE indexname = 'check_index_party'").fetchone()
    assert made is not None
    assert "(realm, party, checked_at_us" in made[0]
    plan = "\n".join(line for (line,) in rows)
    assert "Filter:" not in plan
    assert "Sort" not in plan


def test_terminals_that_ask_no_more_are_forgotten(database: str) -> None:
    """After ninety days; one that asked since stays."""
    now = START_US + 400 * DAY_US
    with psycopg.connect(database, autocommit=True) as db:
        for terminal, days in (("old", 91), ("new", 89)):
            db.execute(
                "INSERT INTO verifier (realm, party, branch, terminal, seen_at_us, freshness, position) "
                "VALUES (0, 'bank', '', %s, %s, 0, 1)",
                (terminal, now - days * DAY_US),
            )
        assert counts.forget(db, now) == 1
        assert db.execute("SELECT terminal FROM verifier").fetchall() == [("new",)]
