"""A month changes while somebody reads the index in a long transaction: indexing goes on, and nothing waits for the reader."""

from __future__ import annotations

import psycopg

from annul.registry.accounts import accounts
from annul.registry.accounts.accounts import Indexer, lag_us
from annul.registry.writing.store import connect
from annul.times import DAY_US
from tests.registry.answering.desk import Desk, question
from tests.registry.world import START_US, World


def test_a_month_changes_with_a_reader_open(world: World) -> None:
    """The reader began before the change and stays: months were made ahead, and one that was not is made beside it."""
    with psycopg.connect(world.conninfo) as reader, connect(world.conninfo) as db:
        accounts.make_months(db, START_US)
        reader.execute("SELECT 1 FROM check_index LIMIT 1")  # ACCESS SHARE until the reader ends
        later = START_US + 31 * accounts.MONTHS_AHEAD * DAY_US
        assert accounts.make_months(db, later) > 0
        made = db.execute("SELECT count(*) FROM pg_inherits WHERE inhparent = 'check_index'::regclass").fetchone()
        assert made is not None
        assert made[0] >= 2 * accounts.MONTHS_AHEAD
        assert reader.info.transaction_status.name == "INTRANS"


def test_the_index_says_how_far_it_is_behind(world: World) -> None:
    """Answered and not indexed: the age of the oldest such check; none: zero."""
    import asyncio

    async def ask() -> None:
        desk = Desk(world.home)
        checks = desk.checks()
        await checks.ask(desk.bank, question())
        await desk.close()

    asyncio.run(ask())
    with connect(world.conninfo) as db:
        now_us = next(iter(accounts.read_windows(world.home / "checks" / "00"))).stated.closed_at_us + 5_000_000
        assert lag_us(db, world.home / "checks", now_us) == 5_000_000
        indexer = Indexer(world.home / "checks")
        assert indexer.step(db) == 1
        assert lag_us(db, world.home / "checks", now_us) == 0
        assert indexer.step(db) == 0
