"""The line of questions before the next window: who may still join it, and who goes first.

Overload is refused, not queued: by the age of what waits, because a count of questions says nothing about time. Single checks,
with a person at a counter behind each, go before batches; a batch goes in slices, as much as a window has room; while somebody
reports, windows are short, so that a report is not behind thousands of checks in the same loop. What is refused says when to
ask again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from annul.errors import SourceDown
from annul.registry.answering.questions import Asked

WINDOW_LEAVES_MAX: Final = 2_048
"""Leaves of one window: 11 hashes of path, and about 15 ms of one core to answer."""
LEAVES_BESIDE_A_REPORT: Final = 256
"""Leaves of a window while a report is under way: about 2 ms, after which its loop has a turn."""
BATCH_AGE_MAX_US: Final = 250_000
"""Batches are refused when the oldest question waits as long, in microseconds."""
SINGLE_AGE_MAX_US: Final = 500_000
"""Single checks are refused when the oldest of them waits as long: a clerk who asks again waits less than in a longer line."""
SINGLES_MAX: Final = 10_000
"""Single checks that wait at once, whatever their age; each has a connection."""


class Single:
    """Wait for one answer."""

    __slots__ = ("future",)

    def __init__(self, future: asyncio.Future[bytes]) -> None:
        self.future = future

    def tell(self, _place: int, body: bytes) -> None:
        """Hand over the answer."""
        if not self.future.done():
            self.future.set_result(body)

    def fail(self, error: Exception) -> None:
        """Hand over why there is none."""
        if not self.future.done():
            self.future.set_exception(error)


class Batch:
    """Collect the answers of one batch, and hold those of its questions that wait.

    Args:
        count: questions of the batch.
        future: gets the answers in the order of the questions.
        now_us: when it came.
    """

    __slots__ = ("asked", "bodies", "future", "left", "since_us", "taken", "whole")

    def __init__(self, count: int, future: asyncio.Future[list[bytes]], now_us: int) -> None:
        self.bodies: list[bytes] = [b""] * count
        self.left = count
        self.future = future
        self.since_us = now_us
        self.asked: list[Asked] = []
        self.taken = 0
        self.whole = False  # all of its questions were read

    def add(self, asked: Asked, now_us: int) -> None:
        """Put a question into the line."""
        if self.taken == len(self.asked):
            self.since_us = now_us
        self.asked.append(asked)

    def tell(self, place: int, body: bytes) -> None:
        """Take an answer; the last one ends the batch."""
        self.bodies[place] = body
        self.left -= 1
        if not self.left and not self.future.done():
            self.future.set_result(self.bodies)

    def fail(self, error: Exception) -> None:
        """End the batch without answers; what still waits of it is dropped."""
        if not self.future.done():
            self.future.set_exception(error)


class Line:
    """Hold the questions of one worker that wait for a window.

    Attributes:
        reports: how many reports are under way in this worker.
    """

    def __init__(self) -> None:
        self._singles: list[Asked] = []
        self._batches: deque[Batch] = deque()
        self._since_us = 0  # of the oldest single
        self.reports = 0

    def __bool__(self) -> bool:
        return bool(self._singles) or any(batch.taken < len(batch.asked) for batch in self._batches)

    def oldest_us(self) -> int | None:
        """Return when the oldest waiting question came, None when none waits."""
        since = [batch.since_us for batch in self._batches if batch.taken < len(batch.asked)]
        if self._singles:
            since.append(self._since_us)
        return min(since, default=None)

    def join(self, asked: Asked, now_us: int) -> None:
        """Put a single question at the end of the line."""
        if not self._singles:
            self._since_us = now_us
        self._singles.append(asked)

    def require_room(self, now_us: int) -> None:
        """Refuse a single question when those before it wait too long already.

        Raises:
            SourceDown: they do.
        """
        if self._singles and (now_us - self._since_us > SINGLE_AGE_MAX_US or len(self._singles) >= SINGLES_MAX):
            raise busy()

    def admit_batch(self, batch: Batch, closed_us: int | None) -> None:
        """Let a batch into the line, before its questions are read.

        Args:
            closed_us: when the oldest question came whose window is closed and not durable yet.

        Raises:
            SourceDown: the oldest question waits too long already.
        """
        since = [at for at in (self.oldest_us(), closed_us) if at is not None]
        if since and batch.since_us - min(since) > BATCH_AGE_MAX_US:
            raise busy()
        self._batches.append(batch)

    def take(self) -> tuple[list[Asked], int]:
        """Take the questions of the next window out of the line; return them, and when the oldest of them came."""
        room = LEAVES_BESIDE_A_REPORT if self.reports else WINDOW_LEAVES_MAX
        since = self.oldest_us() or 0
        asked, self._singles = self._singles[:room], self._singles[room:]
        room -= len(asked)
        for batch in list(self._batches):
            if batch.future.done():  # it failed in an earlier window
                self._batches.remove(batch)
                continue
            if room > 0:
                some = batch.asked[batch.taken : batch.taken + room]
                batch.taken += len(some)
                room -= len(some)
                asked += some
            if batch.whole and batch.taken == len(batch.asked):
                self._batches.remove(batch)
        return asked, since


def busy() -> SourceDown:
    """Return the error for who comes when too many wait."""
    return SourceDown("This worker has more checks than it can answer now.", mend="Ask again in a moment.", retry_after_s=1)
