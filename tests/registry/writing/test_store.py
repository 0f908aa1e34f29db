"""The way to the database: slow questions hold up no report, and none lasts for ever."""

from __future__ import annotations

import asyncio
import time

import psycopg
import pytest

from annul.errors import SourceDown
from annul.registry.accounts import counts
from annul.registry.writing import store
from annul.registry.writing.store import open_pool, reading, writing
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
