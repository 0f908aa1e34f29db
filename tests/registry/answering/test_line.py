"""The line before the windows: refused by age, single checks first, short windows beside a report."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from annul.errors import SourceDown
from annul.registry.answering import line
from annul.registry.answering.line import (
    BATCH_AGE_MAX_US,
    LEAVES_BESIDE_A_REPORT,
    SINGLE_AGE_MAX_US,
    SINGLES_MAX,
    WINDOW_LEAVES_MAX,
    Batch,
    Line,
    Single,
)
from tests.registry.answering.desk import Desk, question
from tests.registry.answering.test_checks import world

START_US = 1_700_000_000_000_000


def batch(count: int, at_us: int = START_US) -> Batch:
    """Return a batch of questions that are numbers here; the line only counts them."""
    made = Batch(count, asyncio.get_running_loop().create_future(), at_us)
    for number in range(count):
        made.add(f"batch {number}", at_us)  # type: ignore[arg-type]
    made.whole = True
    return made


def join(waiting: Line, count: int, at_us: int = START_US) -> None:
    """Put single questions into a line."""
    for number in range(count):
        waiting.join(f"single {number}", at_us)  # type: ignore[arg-type]


def test_batches_are_refused_by_the_age_of_what_waits() -> None:
    """Not by a count: while the oldest question is young any batch may join; then it is told when to ask again."""

    async def go() -> None:
        waiting = Line()
        waiting.admit_batch(batch(9_000), None)
        waiting.admit_batch(batch(9_000, START_US + BATCH_AGE_MAX_US), None)
        with pytest.raises(SourceDown) as refused:
            waiting.admit_batch(batch(1, START_US + BATCH_AGE_MAX_US + 1), None)
        assert refused.value.extra["retry_after_s"] == 1
        with pytest.raises(SourceDown):  # a window that is closed and not durable yet is as old
            Line().admit_batch(batch(1, START_US + BATCH_AGE_MAX_US + 1), START_US)
        Line().admit_batch(batch(1, START_US + BATCH_AGE_MAX_US + 1), None)

    asyncio.run(go())


def test_single_checks_are_refused_later_and_by_their_own_age() -> None:
    """A batch that waits long keeps no clerk out."""

    async def go() -> None:
        waiting = Line()
        waiting.admit_batch(batch(9_000), None)
        waiting.require_room(START_US + 10 * SINGLE_AGE_MAX_US)
        join(waiting, 1, START_US)
        waiting.require_room(START_US + SINGLE_AGE_MAX_US)
        with pytest.raises(SourceDown):
            waiting.require_room(START_US + SINGLE_AGE_MAX_US + 1)
        join(waiting, SINGLES_MAX)
        with pytest.raises(SourceDown):
            waiting.require_room(START_US)

    asyncio.run(go())


def test_single_checks_go_before_batches_and_a_batch_goes_in_slices() -> None:
    """Whoever came first; every question is taken once, and the ages follow."""

    async def go() -> None:
        waiting = Line()
        large, small = batch(WINDOW_LEAVES_MAX, START_US), batch(5, START_US + 1)
        waiting.admit_batch(large, None)
        waiting.admit_batch(small, None)
        join(waiting, 10, START_US + 2)
        asked, since = waiting.take()
        assert asked[:10] == [f"single {number}" for number in range(10)]
        assert (len(asked), since) == (WINDOW_LEAVES_MAX, START_US)
        asked, since = waiting.take()
        assert (len(asked), since) == (15, START_US)
        assert not waiting
        assert waiting.oldest_us() is None
        assert waiting.take() == ([], 0)

    asyncio.run(go())


def test_windows_are_short_while_somebody_reports() -> None:
    """The report's loop has its turn after a few milliseconds."""

    async def go() -> None:
        waiting = Line()
        join(waiting, 1_000)
        waiting.reports = 1
        assert len(waiting.take()[0]) == LEAVES_BESIDE_A_REPORT
        waiting.reports = 0
        assert len(waiting.take()[0]) == 1_000 - LEAVES_BESIDE_A_REPORT

    asyncio.run(go())


def test_what_waits_of_a_batch_that_ended_is_dropped() -> None:
    """Its window failed, or its client went away: nobody would hear of the rest."""

    async def go() -> None:
        waiting = Line()
        ended = batch(WINDOW_LEAVES_MAX + 50)
        waiting.admit_batch(ended, None)
        waiting.take()
        ended.fail(SourceDown("told to fail"))
        join(waiting, 1)
        assert waiting.take()[0] == ["single 0"]
        assert not waiting
        assert isinstance(ended.future.exception(), SourceDown)

    asyncio.run(go())


def test_an_overloaded_worker_refuses_and_answers_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits too long keeps batches and then single checks out, at no cost of quota; when it is answered, all go on."""
    monkeypatch.setattr(line, "BATCH_AGE_MAX_US", -1)
    monkeypatch.setattr(line, "SINGLE_AGE_MAX_US", -1)

    async def story(desk: Desk) -> None:
        checks = desk.checks()
        first: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        assert checks.ask_soon(desk.bank, question(), Single(first))
        left = checks.allowance(desk.bank).remaining()
        late: Any
        for late in (checks.ask(desk.bank, question()), checks.ask_many(desk.bank, [question()] * 3)):
            with pytest.raises(SourceDown, match="more checks than it can answer"):
                await late
        assert checks.allowance(desk.bank).remaining() == left
        await first
        assert (await checks.ask(desk.bank, question())).answer.error.code == "E00"
        assert len(await checks.ask_many(desk.bank, [question()] * 3)) == 3

    world(tmp_path, story)
