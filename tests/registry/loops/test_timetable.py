"""What happens by itself: every line does what it says, late or twice, and one that fails stops no other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from annul.errors import Conflict, SourceDown
from annul.registry.accounts import accounts
from annul.registry.loops import timetable
from annul.registry.loops.timetable import TABLE, Line, Turns
from annul.registry.writing.ground import Ground
from annul.settings import Settings
from annul.times import DAY_US
from tests.registry.world import World

OPERATE = Path(__file__).parents[3] / "docs" / "operate.md"


@pytest.fixture
def world(make_database: Callable[[], str], tmp_path: Any) -> World:
    """A register with nothing in it."""
    return World(make_database(), tmp_path)


def months(conninfo: str) -> list[str]:
    """Return the months of the index of checks."""
    with psycopg.connect(conninfo) as db:
        rows = db.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'check_index'::regclass ORDER BY 1"
        )
        return [name for (name,) in rows.fetchall()]


def at(year: int, month: int) -> int:
    """Return the first moment of a month."""
    return accounts._start_us((year, month))


def test_the_manual_shows_every_line() -> None:
    """docs/operate.md tells what happens by itself, how often, in which process, and what a missed turn costs."""
    page = OPERATE.read_text(encoding="utf-8")
    for line in TABLE:
        assert f"| {line.what} | {line.role} | {line.every_s:g} s | {line.missed} |" in page, line.what


@pytest.mark.parametrize("line", TABLE, ids=lambda line: line.what)
def test_a_line_that_has_nothing_to_do_does_nothing_twice(line: Line, world: World) -> None:
    """Each line runs on an empty register, and again; its look for what is due is SQL that holds."""
    settings = Settings(home=world.home, database_url=world.conninfo)
    if line.due:
        with psycopg.connect(world.conninfo) as db:
            assert db.execute(line.due, {"now": world.clock()}).fetchone() == (False,)
    for _ in range(2):
        assert asyncio.run(line.run(world.ground, settings)) >= 0


def test_months_are_made_ahead_and_go_after_their_time(world: World) -> None:
    """Two months ahead; a month goes when its last day is older than `check_log_days`, not a day sooner."""
    with psycopg.connect(world.conninfo, autocommit=True) as db:
        before = set(months(world.conninfo))
        assert accounts.make_months(db, at(2031, 12)) == 3
        assert accounts.make_months(db, at(2031, 12)) == 0
        assert set(months(world.conninfo)) - before == {
            "check_index_y2031m12",
            "check_index_y2032m01",
            "check_index_y2032m02",
        }
        settings = Settings(home=world.home, check_log_days=31)
        last_moment = at(2032, 1) + settings.check_log_days * DAY_US
        accounts.forget_months(db, last_moment - 1, days=settings.check_log_days)
        assert "check_index_y2031m12" in months(world.conninfo)
        assert accounts.forget_months(db, last_moment, days=settings.check_log_days) == 1
        assert "check_index_y2031m12" not in months(world.conninfo)
        assert "check_index_y2032m01" in months(world.conninfo)


def test_a_month_is_made_though_somebody_reads_and_goes_when_nobody_does(world: World) -> None:
    """A long reader of the index keeps no month from being made; dropping gives up after half a second, till a later turn."""
    with psycopg.connect(world.conninfo) as reader, psycopg.connect(world.conninfo, autocommit=True) as db:
        accounts.make_months(db, at(2031, 1))
        reader.execute("SELECT count(*) FROM check_index")
        assert accounts.make_months(db, at(2031, 5)) == 3
        assert accounts.forget_months(db, at(2040, 1), days=31) == 0
        reader.rollback()
        assert accounts.forget_months(db, at(2040, 1), days=31) >= 6
        assert months(world.conninfo) == []


def _line(name: str, work: Any, **more: Any) -> Line:
    return Line(name, "follower", more.pop("every_s", 0.0), "", work, **more)


def test_a_line_that_fails_stops_no_other(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal is said and the next line runs; a database that is away ends the turn, and the line runs at the next one."""
    ran: list[str] = []

    async def refused(_ground: Ground, _settings: Settings) -> int:
        raise Conflict("No.")

    async def counted(_ground: Ground, _settings: Settings) -> int:
        ran.append("second")
        return 1

    async def away(_ground: Ground, _settings: Settings) -> int:
        ran.append("away")
        raise SourceDown("The database is away.")

    monkeypatch.setattr(
        timetable, "TABLE", (_line("first", refused), _line("second", counted), _line("third", away, every_s=9.0))
    )
    turns = Turns("follower", Settings(home=world.home))
    for _ in range(2):
        with pytest.raises(SourceDown):
            asyncio.run(turns.run(world.ground))
    assert ran == ["second", "away", "second", "away"]


def test_a_line_waits_its_time_and_is_not_run_when_nothing_is_due(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """An hourly line runs once of two turns; one that is not due is asked, not run."""
    ran: list[str] = []

    async def hourly(_ground: Ground, _settings: Settings) -> int:
        ran.append("hourly")
        return 0

    async def due(_ground: Ground, _settings: Settings) -> int:
        ran.append("due")
        return 0

    monkeypatch.setattr(timetable, "TABLE", (_line("hourly", hourly, every_s=3600.0), _line("due", due, due="SELECT false")))
    turns = Turns("follower", Settings(home=world.home))
    asked: list[str] = []

    def is_due(query: str, _values: dict[str, Any]) -> bool:
        asked.append(query)
        return False

    for _ in range(2):
        asyncio.run(turns.run(world.ground, is_due))
    assert ran == ["hourly"]
    assert asked == ["SELECT false"] * 2


def test_every_setting_is_read_somewhere() -> None:
    """A setting that nothing reads is a promise without code."""
    root = Path(timetable.__file__).parents[2]
    code = "\n".join(path.read_text(encoding="utf-8") for path in root.rglob("*.py") if path.name != "settings.py")
    code += (root / "settings.py").read_text(encoding="utf-8").partition("    @property")[2]
    unread = [name for name in Settings.__struct_fields__ if f".{name}" not in code]
    assert unread == []
