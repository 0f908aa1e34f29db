"""A clock that once ran ahead is not believed for ever: nothing is written behind an entry of the future."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from annul.errors import SourceDown
from annul.records.entry import decode
from annul.registry.loops.rotation import rotate
from annul.registry.writing.store import AHEAD_MAX_US, believe_clock
from annul.times import DAY_US, HOUR_US
from tests.registry.world import ISSUER, POLICE, START_US, WEAK, World, card


def report(world: World) -> None:
    """Report the card by phone: weak proof lapses by itself."""
    asyncio.run(world.register.report(POLICE, card(), "lost", happened_at_us=world.clock.us, proof=WEAK))


def lapses(world: World) -> list[int]:
    """Return when reports lapse."""
    with psycopg.connect(world.conninfo) as db:
        return [at for (at,) in db.execute("SELECT lapses_at_us FROM report ORDER BY position").fetchall()]


def test_nothing_is_written_behind_an_entry_of_the_future(world: World) -> None:
    """One start five months ahead: then reports and rotation are refused, with the day and the way out; nothing changed."""
    world.clock.us = START_US + 150 * DAY_US
    asyncio.run(world.register.issue(ISSUER, card(), happened_at_us=START_US))
    world.clock.us = START_US
    with pytest.raises(SourceDown, match=r"still to come.*believe-clock"):
        report(world)
    with pytest.raises(SourceDown, match="believe-clock"):
        rotate(world.conninfo, world.home, world.clock)
    assert lapses(world) == []


def test_a_small_step_back_is_no_matter_and_terms_count_from_the_clock(world: World) -> None:
    """Within a minute entries keep their order; what ends after three days ends three days from now, not from the head."""
    world.clock.us = START_US + AHEAD_MAX_US
    asyncio.run(world.register.issue(ISSUER, card(), happened_at_us=START_US))
    world.clock.us = START_US + 10_000
    report(world)
    (at,) = lapses(world)
    assert at - START_US < 72 * HOUR_US + AHEAD_MAX_US // 2
    with psycopg.connect(world.conninfo) as db:
        entries = [decode(bytes(raw)) for (raw,) in db.execute("SELECT entry FROM register_log ORDER BY position").fetchall()]
    assert entries[1].recorded_at_us >= entries[0].recorded_at_us


def test_an_operator_says_that_the_clock_is_right_now(world: World) -> None:
    """The entries stay, the next one says that times go back; then reports go on and lapse when they should."""
    world.clock.us = START_US + 150 * DAY_US
    asyncio.run(world.register.issue(ISSUER, card(), happened_at_us=START_US))
    world.clock.us = START_US + DAY_US
    assert believe_clock(world.conninfo, world.clock.us) // 86_400 in (148, 149)
    assert believe_clock(world.conninfo, world.clock.us) == 0
    report(world)
    (at,) = lapses(world)
    assert START_US + DAY_US + 72 * HOUR_US <= at < START_US + DAY_US + 73 * HOUR_US
    assert world.follow() == 3
