"""What happens by itself, in one table: what, how often, in which process, and what a missed turn costs.

The loops run their own lines of it (`Turns`); what a line does stands in the room whose matter it is. docs/operate.md shows
the table, and a test holds the two together. A line may be run twice, or late: each finds for itself what is due.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

import psycopg

from annul import logs, metrics
from annul.errors import AnnulError, SourceDown
from annul.keys import Keys
from annul.registry.accounts import accounts, counts, pulse
from annul.registry.answering.walk import alarms
from annul.registry.citizen import drafts, provisional
from annul.registry.conduct import abuse, cases, columns, findings
from annul.registry.counter.departures import tell_due
from annul.registry.desk.names import NameIndex
from annul.registry.desk.recalls import Recalls
from annul.registry.editions.index import INDEX_FILE
from annul.registry.linkage.credentials import Credentials
from annul.registry.linkage.watch import Watch
from annul.registry.notices import outbox
from annul.registry.notices.outbox import Outbox
from annul.registry.people.register import People
from annul.registry.people.vault import Vault
from annul.registry.writing import issuing, pen, segments, uploads
from annul.registry.writing.ground import Ground
from annul.registry.writing.register import Register
from annul.registry.writing.store import Connections, Lasting, connect, writing
from annul.settings import Settings
from annul.times import SECOND_US, Clock, now_us

Role = Literal["follower", "notices", "sealer"]

Work = Callable[[Ground, Settings], Awaitable[int]]

SECOND: Final = 1.0
MINUTE: Final = 60.0
HOUR: Final = 3600.0
ERRANDS_S: Final = 1.0
"""Pause between two looks at the timetable of a process whose lines have a thread of their own."""


@dataclass(frozen=True, slots=True)
class Line:
    """Describe one thing that happens by itself.

    Args:
        what: what happens, in words.
        role: the process that does it.
        every_s: seconds between two turns.
        missed: what a missed turn costs.
        run: does what is due and returns how much that was.
        due: SQL that tells whether anything is due, with `%(now)s`; "" runs the line each time.
    """

    what: str
    role: Role
    every_s: float
    missed: str
    run: Work
    due: str = ""


def _print_editions(db: psycopg.Connection[Any], at_us: int, settings: Settings) -> int:
    """Print a segment of each scheme that has an edition; where none was published nothing is loaded."""
    if not (settings.home.published / INDEX_FILE).exists():
        return 0
    from annul.registry.editions.changes import print_due

    return print_due(db, settings.home, lambda: at_us)


def _take_pulse(db: psycopg.Connection[Any], at_us: int, settings: Settings) -> int:
    metrics.INDEX_LAG_SECONDS.set(accounts.lag_us(db, settings.home.checks, at_us) / SECOND_US)
    return pulse.take(db, at_us)


async def _lapse(ground: Ground, settings: Settings) -> int:
    return await Register(ground, provisional_us=settings.provisional_us).lapse_due()


async def _carry_out_deaths(ground: Ground, settings: Settings) -> int:
    register = Register(ground, provisional_us=settings.provisional_us)
    return await People(ground, register, Vault(ground.home)).carry_out_due()


async def _recall(ground: Ground, settings: Settings) -> int:
    return await Recalls(ground, disclosure_days=settings.disclosure_delay_days).step()


async def _forget_uploads(ground: Ground, _settings: Settings) -> int:
    return uploads.forget(ground.home, ground.now_us())


async def _find_by_name(ground: Ground, _settings: Settings) -> int:
    return await NameIndex(ground, Vault(ground.home)).catch_up(steps_max=1)


async def _enter_alarms(ground: Ground, _settings: Settings) -> int:
    """Enter in the log which parties were slowed or stopped because they walk through numbers."""
    done = 0
    for path, alarm in alarms(ground.home):
        async with writing(ground.connections, ground.now_us()) as write:
            why = f"{alarm.party} was {alarm.pace}: {alarm.why}"
            write.note("annul", why, b"a party walked through numbers", happened_at_us=alarm.at_us)
        path.unlink(missing_ok=True)  # a crash before this enters it twice, which is better than not at all
        done += 1
    return done


async def _count_undelivered(ground: Ground, _settings: Settings) -> int:
    for state, count in (await Outbox(ground.connections).undelivered(ground.now_us())).items():
        metrics.NOTICES_UNDELIVERED.labels(state).set(count)
    return 0


def _asks(work: Callable[[Connections, int], Awaitable[int]]) -> Work:
    """Make a line's work of what needs the database and the time."""
    return lambda ground, _settings: work(ground.connections, ground.now_us())


def _over(work: Callable[[psycopg.Connection[Any], int, Settings], int]) -> Work:
    """Make a line's work of what runs over a connection that waits: for the process whose turns have a thread of their own."""

    async def run(ground: Ground, settings: Settings) -> int:
        with connect(settings.database_url) as db:
            return work(db, ground.now_us(), settings)

    return run


TABLE: Final = (
    Line(
        "provisional reports that nobody confirmed lapse",
        "follower",
        SECOND,
        "the document stays suspended so much longer",
        _lapse,
        "SELECT EXISTS (SELECT 1 FROM report WHERE state = 'provisional' AND lapses_at_us <= %(now)s)",
    ),
    Line(
        "deaths whose delay is over cancel the person's documents",
        "follower",
        SECOND,
        "the documents go on counting so much longer",
        _carry_out_deaths,
        "SELECT EXISTS (SELECT 1 FROM pending_death WHERE state = 'pending' AND due_at_us <= %(now)s)",
    ),
    Line(
        "alarms of the check path are entered in the log",
        "follower",
        SECOND,
        "the alarm waits as a file in run/alarms",
        _enter_alarms,
    ),
    Line(
        "answers kept for Idempotency-Keys are forgotten after a week",
        "follower",
        HOUR,
        "rows stay longer",
        _asks(pen.forget_answers),
    ),
    Line("unlocks that are over are forgotten", "follower", HOUR, "rows stay longer", _asks(issuing.forget_unlocks)),
    Line(
        "files of lists that no event names are removed after a day",
        "follower",
        HOUR,
        "disk stays taken",
        lambda ground, _settings: segments.sweep(ground.connections, ground.home),
    ),
    Line(
        "lists that came through a browser are destroyed after a day",
        "follower",
        HOUR,
        "a list that was refused, or whose reading ended with its process, stays so much longer",
        _forget_uploads,
    ),
    Line(
        "answers that turned out wrong are recalled",
        "notices",
        SECOND,
        "who was told hears of it so much later",
        _recall,
    ),
    Line(
        "findings that were upheld and not appealed in their term become final",
        "notices",
        MINUTE,
        "they can still be appealed for so much longer",
        _asks(findings.close_due),
        findings.CLOSE_DUE,
    ),
    Line(
        "entries of the impostor list take effect and end, appeals nobody heard end in the person's favour",
        "notices",
        MINUTE,
        "all three so much later",
        _asks(cases.carry_out_due),
        cases.CASES_DUE,
    ),
    Line(
        "those who owe a follow-up are told",
        "notices",
        SECOND,
        "the reminder comes later",
        _asks(tell_due),
    ),
    Line(
        "new persons are put where searches by name find them",
        "notices",
        SECOND,
        "a search does not find them yet",
        _find_by_name,
    ),
    Line(
        "who has a document on file is told what became of it",
        "notices",
        SECOND,
        "the relying party hears of it so much later",
        lambda ground, _settings: Watch(ground).step(),
    ),
    Line(
        "digital credentials follow their documents",
        "notices",
        SECOND,
        "status lists say so much longer what was true before",
        lambda ground, _settings: Credentials(ground).follow(),
    ),
    Line(
        "relying parties that have not acknowledged in time are told again, once a day",
        "notices",
        HOUR,
        "the reminder comes later",
        lambda ground, _settings: Watch(ground).remind(),
    ),
    Line(
        "notices that are undelivered are counted",
        "notices",
        5 * SECOND,
        "the metric is older",
        _count_undelivered,
    ),
    Line(
        "attempts, notices and the checks of recalls are forgotten after ten years",
        "notices",
        HOUR,
        "it stays known longer than promised who was told",
        _asks(outbox.forget),
    ),
    Line("drafts of reports are forgotten after two hours", "notices", HOUR, "rows stay longer", _asks(drafts.forget)),
    Line(
        "counts against guessing are forgotten after two days",
        "notices",
        HOUR,
        "rows stay longer",
        _asks(provisional.forget_tallies),
    ),
    Line(
        "the register's health is sampled, samples are kept for two days",
        "sealer",
        pulse.STEP_S,
        "a gap in the plots of oversight",
        _over(_take_pulse),
    ),
    Line(
        "yearly figures are counted anew",
        "sealer",
        pulse.FIGURES_S,
        "the page shows older figures, and from when",
        _over(lambda db, at_us, _settings: pulse.count_years(db, at_us)),
    ),
    Line(
        "counts by minute are forgotten after a week, counts for trials after a month, terminals after 90 days",
        "sealer",
        pulse.FIGURES_S,
        "rows stay longer",
        _over(lambda db, at_us, _settings: counts.forget(db, at_us)),
    ),
    Line(
        "months of the index of checks are made ahead",
        "sealer",
        HOUR,
        "none for two months; then the indexer makes its month itself",
        _over(lambda db, at_us, _settings: accounts.make_months(db, at_us)),
    ),
    Line(
        "months of the index of checks go after `check_log_days`",
        "sealer",
        HOUR,
        "who asked what stays known longer than promised",
        _over(lambda db, at_us, settings: accounts.forget_months(db, at_us, days=settings.check_log_days)),
    ),
    Line(
        "look-ups of the day before are looked over for what is no business",
        "sealer",
        HOUR,
        "the alarm comes later",
        _over(lambda db, now_us, settings: abuse.look_over(db, settings.home, now_us)),
    ),
    Line(
        "checks by columns go with the months they were made from",
        "sealer",
        HOUR,
        "copies of who asked what stay longer than promised",
        _over(lambda _db, now_us, settings: columns.forget(settings.home, now_us, days=settings.check_log_days)),
    ),
    Line(
        "what changed since the newest edition is printed, with a heartbeat",
        "sealer",
        MINUTE,
        "devices without a network become stale after five minutes",
        _over(_print_editions),
    ),
)
"""All of it, by process."""


class Turns:
    """Run the lines of one process when their time has come; a line that fails is said and does not stop the others.

    Args:
        role: whose lines.
        settings: as loaded.
    """

    def __init__(self, role: Role, settings: Settings) -> None:
        self._lines = [line for line in TABLE if line.role == role]
        self._at = [0.0] * len(self._lines)
        self._settings = settings
        self._log = logs.get(role)

    async def run(self, ground: Ground, is_due: Callable[[str, dict[str, Any]], bool] | None = None) -> int:
        """Run what is due; return how much was done.

        Args:
            ground: what the lines stand on.
            is_due: asks a line's `due` over a connection that is open anyway; without it every line looks for itself.

        Raises:
            SourceDown: the database is away; the line is run again at the next turn.
        """
        done = 0
        for number, line in enumerate(self._lines):
            begun = time.monotonic()
            if begun < self._at[number]:
                continue
            if line.due and is_due is not None and not is_due(line.due, {"now": ground.now_us()}):
                self._at[number] = begun + line.every_s
                continue
            try:
                count = await line.run(ground, self._settings)
            except SourceDown:
                raise
            except AnnulError as error:
                self._log.error("what is due could not be done", code=error.code, where=error.where, what=line.what)
            except (psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable) as error:  # the others have their turn
                self._log.error("what is due took too long", error=type(error).__name__, what=line.what)
            else:
                done += count
                if count and line.due:
                    self._log.info("done by itself", what=line.what, count=count)
            # A line that takes long does not fill the loop: it waits at least as many times its own length.
            self._at[number] = begun + max(line.every_s, PAUSES * (time.monotonic() - begun))
        return done


PAUSES: Final = 20
"""A line's pause is at least so many times what it took."""


def errands(role: Role, settings: Settings, keys: Keys, stop: threading.Event, *, clock: Clock = now_us) -> threading.Thread:
    """Run the lines of a process in a thread of its own until `stop` is set: they hold up nothing else of it.

    The thread has connections of its own and does not keep the process from ending: every line can be broken off anywhere.
    """
    thread = threading.Thread(target=_run_errands, args=(role, settings, keys, stop, clock), name="errands", daemon=True)
    thread.start()
    return thread


def _run_errands(role: Role, settings: Settings, keys: Keys, stop: threading.Event, clock: Clock) -> None:
    log = logs.get(role)
    turns = Turns(role, settings)
    ground = Ground(Lasting(settings.database_url), keys, settings.home, clock)
    with asyncio.Runner() as runner:
        while not stop.wait(ERRANDS_S):
            try:
                runner.run(turns.run(ground))
            except (psycopg.Error, SourceDown) as error:
                log.warning("the database is away", error=type(error).__name__)
            except OSError as error:  # this thread must not end: nobody would start it again
                log.error("what is due could not be done", error=type(error).__name__)
