"""Say how long work is going: a bar with rate and time left on a terminal, a plain line now and then elsewhere.

Everything goes to standard error, so that results on standard output stay clean.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from annul.errors import BadInput

LINE_EVERY_S: Final = 5.0
"""Pause between plain lines of one job."""

Advance = Callable[[int], None]


@contextlib.contextmanager
def progress(what: str, total: int | None, unit: str) -> Iterator[Advance]:
    """Show one job; the block gets a function that takes what was done since its last call.

    Args:
        what: the job, as a phrase ("Loading documents").
        total: units altogether; None when nobody knows.
        unit: what is counted ("documents", "bytes").
    """
    if sys.stderr.isatty():
        with _bar(what, total, unit) as advance:
            yield advance
        return
    started = said = time.monotonic()
    done = 0

    def advance_plainly(count: int) -> None:
        nonlocal done, said
        done += count
        now = time.monotonic()
        if now - said >= LINE_EVERY_S:
            said = now
            print(_line(what, done, total, unit, now - started), file=sys.stderr, flush=True)

    print(f"{what} …", file=sys.stderr, flush=True)
    yield advance_plainly
    took = time.monotonic() - started
    print(f"{what}: {done:,} {unit} in {took:.1f} s", file=sys.stderr, flush=True)


@contextlib.contextmanager
def reading(file: Path) -> Iterator[Advance]:
    """Show how much of a file is read; the block gets a function that takes the bytes since its last call.

    Raises:
        BadInput: there is no such file.
    """
    try:
        size = file.stat().st_size
    except OSError as error:
        raise BadInput(f"The file cannot be read: {error.strerror}.", where=str(file)) from None
    with progress(f"Reading {file.name}", size, "bytes") as advance:
        yield advance


def _line(what: str, done: int, total: int | None, unit: str, took_s: float) -> str:
    rate = done / took_s
    if not total:
        return f"{what}: {done:,} {unit}, {rate:,.0f}/s"
    left = (total - done) / rate if rate else 0.0
    return f"{what}: {done:,} of {total:,} {unit} ({done / total:.0%}), {rate:,.0f}/s, {left:.0f} s left"


@contextlib.contextmanager
def _bar(what: str, total: int | None, unit: str) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Rate(ProgressColumn):
        """How many a second."""

        def render(self, task: Task) -> Text:
            """Return the rate as text."""
            speed = task.finished_speed or task.speed
            return Text("" if speed is None else f"{speed:,.0f} {unit}/s", style="dim")

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), Rate(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=total)
        yield lambda count: bar.advance(task, count)
        if total is None or not bar.tasks[0].finished:
            bar.update(task, total=bar.tasks[0].completed or 1, completed=bar.tasks[0].completed or 1)
