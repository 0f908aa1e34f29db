"""Ask the register: the one path from a question to an accounted, signed answer. It needs no database.

`questions` reads them, `windows` answers them; here they are admitted, put together, and told when their account is durable.

Questions that wait form a window. A window is answered as one: one blinding of all identities, one look-up, one Merkle tree,
one signature, one write barrier. It closes when the previous one is durable, after `window_ms_max` at the latest; the next one
fills meanwhile. No answer leaves before its window is durable: when writing fails, nobody of the window is answered.

    checks = Checks(listings, {"live": ..., "test": ...}, CheckLog(home.checks, 0), signer, quota)
    answered = await checks.ask(principal, question)
    answered.body      # JSON bytes, as they leave
    answered.answer    # records.check.Answer

What must never happen here: an answer without its durable account, an answer from the other realm, an error that turns
into PASS, a document number in a log line or an error text.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import queue
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from annul import logs, metrics
from annul.errors import AnnulError, Corrupt, OverQuota, SourceDown, StorageFailed, TimedOut, TooLarge
from annul.listings.listings import Listings
from annul.proof.window import WindowSigner
from annul.records.check import DECISIONS, Answer, Decisions, Question
from annul.records.codes import BindingCode
from annul.records.document import DocumentKeys
from annul.registry.answering.answers import error_code, no_answer
from annul.registry.answering.checklog import CheckLog
from annul.registry.answering.line import Batch, Line, Single
from annul.registry.answering.machine import answerer_here
from annul.registry.answering.principals import Principal
from annul.registry.answering.questions import Asked, Caller, Reader, Sink, malformed_identity
from annul.registry.answering.quota import Allowance, Quota
from annul.registry.answering.walk import SLOW_S, Pace, Walker
from annul.registry.answering.windows import Closed, Place
from annul.times import Clock

__all__ = ["BATCH_MAX", "Answered", "Checks", "Sink", "malformed_identity"]

BATCH_MAX: Final = 10_000
"""Checks in one batch. Source: the API contract."""
WINDOWS_IN_FLIGHT_MAX: Final = 4
"""Windows that wait for the disk at once; beyond it questions wait in the next one."""
POSITION_WAIT_MAX_S: Final = 2.0
"""Longest wait for `min_position`: the follower applies an entry within milliseconds, more means that it is down."""
PARSE_CHUNK: Final = 128
"""Checks of a batch that are read before others have a turn (about 2 ms)."""
SURGE_MIN: Final = 1_000
"""Checks of a batch after which memory is given back to the machine: the bodies of a full one are 10 MB, some times over."""
SLOWED_BATCH_MAX: Final = 8
"""Checks of one batch that wait because their party is slowed (4 s); the others are refused at once, which costs us nothing."""
TELL_EVERY_S: Final = 1.0
"""Pause between two tellings of the counts to the metrics."""
AHEAD_MAX: Final = 1 << 62
"""Positions beyond this cannot come from a register."""


_log = logs.get("checks")


class Answered(msgspec.Struct, frozen=True, gc=False):
    """One answer as it leaves: JSON bytes that decode to `Answer`."""

    body: bytes

    @property
    def answer(self) -> Answer:
        """Return the answer's members."""
        return msgspec.json.decode(self.body, type=Answer)


@dataclass(slots=True)
class _Window:
    """One closed window on its way to the disk."""

    closed: Closed
    asked: list[Asked]
    opened_us: int
    bodies: list[bytes] = field(default_factory=list)
    tally: Mapping[str, int] = field(default_factory=dict)


class Checks:
    """Answer checks in one worker process.

    Args:
        listings: the table; read only.
        keys: document keys of the realms "live" and "test".
        log: this worker's check log.
        signer: signs windows.
        quota: counters shared by the workers of this machine.
        people: the table of names; without it every identity is M9.
        alarm: called when a party that walks through numbers is slowed or stopped; None does not look for such.
        decisions: the counter policy, worked out.
        now_us: microseconds since the epoch.
        live_ms: milliseconds since the follower caught up within which an answer is F0.
        window_ms_max: milliseconds after which a window closes at the latest.

    Call inside a running event loop; `close` answers what was accepted and stops.
    """

    def __init__(
        self,
        listings: Listings,
        keys: Mapping[str, DocumentKeys],
        log: CheckLog,
        signer: WindowSigner,
        quota: Quota,
        *,
        now_us: Clock,
        people: Listings | None = None,
        alarm: Callable[[Walker, int], None] | None = None,
        decisions: Decisions = DECISIONS,
        live_ms: int = 2_000,
        window_ms_max: int = 5,
    ) -> None:
        self._listings = listings
        self._log = log
        self._quota = quota
        self._now_us = now_us
        self._decisions = decisions
        self._window_s = window_ms_max / 1000
        self._reader = Reader(quota, decisions, now_us, named=people is not None, watched=alarm is not None)
        self._answerer = answerer_here()(listings, keys, signer, people=people, alarm=alarm, live_us=live_ms * 1000)
        self._line = Line()
        self._surge = False  # memory was taken that is worth giving back
        self._in_flight: deque[_Window] = deque()
        self._closing_soon = False
        self._timer: asyncio.TimerHandle | None = None
        self._next = log.next_window
        self._previous = log.previous
        self._tally: Counter[str] = Counter()
        self._took: list[float] = []
        self._telling: asyncio.TimerHandle | None = None
        self._stopping = False
        self._idle: asyncio.Future[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[_Window | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write, name="check-log", daemon=True)
        self._writer.start()

    @property
    def worker(self) -> int:
        """Return the number of the worker whose log this writes."""
        return self._log.worker

    # -- questions in --------------------------------------------------------------------------------------------------------

    def allowance(self, principal: Principal) -> Allowance:
        """Return the quota counters of a principal, for the rate-limit header fields.

        Raises:
            Forbidden: this principal has no agreement.
        """
        return self._reader.caller(principal).allowance

    async def ask(
        self, principal: Principal, question: Question, *, binding: BindingCode = BindingCode.B9, admitted: bool = False
    ) -> Answered:
        """Answer one question; the answer is accounted for durably before this returns.

        Args:
            principal: who asks.
            question: what is asked.
            binding: what a comparison of bearer and holder found; B9 when none was made.
            admitted: `admit` has taken this question from the quota already.

        Raises:
            Forbidden, PurposeNotAllowed, OverQuota, BadInput, TimedOut, SourceDown, StorageFailed: there is no answer.
        """
        caller = self._reader.caller(principal)
        future: asyncio.Future[bytes] = self._loop.create_future()
        if question.min_position > self._listings.position:
            await self._reach(question.min_position)
        await self._pace(caller)
        self._admit(caller, question, Single(future), -1, binding, admitted=admitted)
        return Answered(await future)

    def ask_soon(self, principal: Principal, question: Question, sink: Sink) -> bool:
        """Ask as `ask` does, without a task and a future: `sink` hears of the answer.

        Returns:
            Whether the question was taken; one that has to wait (for `min_position`, for a slowed party) is not: `ask` it.

        Raises:
            Forbidden, PurposeNotAllowed, OverQuota, BadInput, SourceDown: as `ask`; the sink hears nothing.
        """
        caller = self._reader.caller(principal)
        if question.min_position > self._listings.position or (caller.walker is not None and caller.walker.pace):
            return False
        self._admit(caller, question, sink, -1)
        return True

    def admit(self, principal: Principal, question: Question) -> None:
        """Refuse what `ask` would refuse, and take the question from the quota, before costly work that precedes `ask`.

        Raises:
            Forbidden, PurposeNotAllowed, BadInput, OverQuota: as `ask`.
        """
        caller = self._reader.caller(principal)
        if (question.purpose, question.channel, question.urgent) not in caller.manners:
            self._reader.manner(caller, question)
        self._take(caller)

    async def ask_many(self, principal: Principal, questions: Sequence[Question | AnnulError]) -> list[Answered]:
        """Answer up to 10,000 questions, each as `ask` would; what `ask` raises becomes a NO_ANSWER in its place.

        Args:
            principal: who asks.
            questions: the questions; an error stands for one that could not be read.

        Raises:
            TooLarge: more than BATCH_MAX questions.
            Forbidden: this principal has no agreement.
            SourceDown: the questions before it wait too long already; or the answers could not be accounted for.
            StorageFailed: they could not be accounted for; none of them leaves.
            OverQuota: the party is slowed, and these are more than SLOWED_BATCH_MAX.
        """
        if len(questions) > BATCH_MAX:
            raise TooLarge(f"A batch has at most {BATCH_MAX} checks.", where="/checks", mend="Send several batches.")
        caller = self._reader.caller(principal)
        if not questions:
            return []
        slowed = caller.walker is not None and caller.walker.pace is Pace.slowed
        if slowed and len(questions) > SLOWED_BATCH_MAX and self._pause_s(caller):
            raise _slowed()
        batch = Batch(len(questions), self._loop.create_future(), self._now_us())
        self._line.admit_batch(batch, self._in_flight[0].opened_us if self._in_flight else None)
        self._surge = self._surge or len(questions) >= SURGE_MIN
        try:
            await self._fill(batch, caller, questions)
        except BaseException:
            batch.future.cancel()  # what waits of it is dropped
            raise
        batch.whole = True
        return [Answered(body) for body in await batch.future]

    async def _fill(self, batch: Batch, caller: Caller, questions: Sequence[Question | AnnulError]) -> None:
        """Read the questions of a batch; those that are refused are answered in their place."""
        ahead = max((question.min_position for question in questions if isinstance(question, Question)), default=0)
        late: TimedOut | None = None
        reached = self._listings.position
        if ahead > reached:
            try:
                await self._reach(ahead)
            except TimedOut as error:
                late, reached = error, self._listings.position
            else:
                reached = ahead
        waited = 0
        for index, question in enumerate(questions):
            if index % PARSE_CHUNK == PARSE_CHUNK - 1:
                await asyncio.sleep(0)
            try:
                if isinstance(question, AnnulError):
                    raise question
                if late is not None and question.min_position > reached:
                    raise late
                pause_s = self._pause_s(caller)
                if pause_s:
                    waited += 1
                    if waited > SLOWED_BATCH_MAX:
                        raise _slowed()
                    await asyncio.sleep(pause_s)
                self._admit(caller, question, batch, index)
            except AnnulError as error:
                metrics.REFUSED.labels(error_code(error).value).inc()
                listings = self._listings
                batch.tell(index, no_answer(error, self._decisions, listings.position, listings.as_of_us))

    # One order for every way to ask: position, pace, read, quota. What waits comes first, so that a question that is refused
    # for its time has cost no quota; the quota comes last, so that one that cannot be read has cost none either.

    def _pause_s(self, caller: Caller) -> float:
        """Return how long a check of a party that walks through numbers waits; it may be refused instead."""
        return caller.walker.hold(self._now_us()) if caller.walker is not None and caller.walker.pace else 0.0

    async def _pace(self, caller: Caller) -> None:
        """Make a party that walks through numbers wait, or refuse it."""
        if pause_s := self._pause_s(caller):
            await asyncio.sleep(pause_s)

    def _admit(
        self,
        caller: Caller,
        question: Question,
        sink: Sink,
        place: int,
        binding: BindingCode = BindingCode.B9,
        *,
        admitted: bool = False,
    ) -> None:
        """Read a question, take it from the quota, and put it into the window."""
        now_us = self._now_us()
        if self._stopping:
            raise SourceDown("This worker takes no more checks now.", retry_after_s=1)
        if not (admitted or isinstance(sink, Batch)):
            self._line.require_room(now_us)  # before anything: who is refused has cost no quota, and next to no time
        asked = self._reader.read(caller, question, sink, place, binding)
        if not admitted:
            self._take(caller)
        if isinstance(sink, Batch):
            sink.add(asked, now_us)
        else:
            self._line.join(asked, now_us)
        if not self._in_flight:
            self._close_next()
        elif self._timer is None:
            self._timer = self._loop.call_later(self._window_s, self._close_late)

    def _take(self, caller: Caller) -> None:
        now_us = self._now_us()
        if not caller.allowance.take(1, now_us):
            raise caller.allowance.refusal(now_us)

    async def _reach(self, position: int) -> None:
        if position > AHEAD_MAX or not await self._listings.reached(position, POSITION_WAIT_MAX_S):
            raise TimedOut(
                "The table did not reach min_position in time.",
                where="/min_position",
                mend="Ask again; if it stays, min_position is not of this register or the follower is down.",
            )

    @property
    def is_beside_a_report(self) -> bool:
        """Whether a report is under way in this worker."""
        return self._line.reports > 0

    @contextlib.contextmanager
    def beside_a_report(self) -> Iterator[None]:
        """Keep windows short while a report is under way in this worker."""
        self._line.reports += 1
        try:
            yield
        finally:
            self._line.reports -= 1

    # -- windows out ---------------------------------------------------------------------------------------------------------

    def _close_next(self) -> None:
        """Close the window that has nothing to wait for, after the questions that have already arrived."""
        if not self._closing_soon:
            self._closing_soon = True
            self._loop.call_soon(self._close_soon)

    def _close_soon(self) -> None:
        self._closing_soon = False
        self._close_window()

    def _close_late(self) -> None:
        """Close a window whose time is up although the previous one is not durable yet."""
        self._timer = None
        self._close_window()

    def _close_window(self) -> None:
        if not self._line or len(self._in_flight) >= WINDOWS_IN_FLIGHT_MAX:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        asked, opened_us = self._line.take()
        if not asked:  # it was of a batch that failed
            if not self._in_flight:
                self._go_on()
            return
        try:
            closed = self._answerer.answer(asked, self._now_us(), Place(self._log.worker, self._next, self._previous))
            self._quota.publish()
        except Exception as error:  # noqa: BLE001 - whatever failed, these questions must hear of it
            if not isinstance(error, AnnulError):
                _log.error("window failed", error=type(error).__name__, stack=logs.stack_of(error))
                error = SourceDown("The window could not be answered.")
            self._fail(asked, error)
            if not self._in_flight:
                self._go_on()
            return
        window = _Window(closed, asked, opened_us)
        self._in_flight.append(window)
        self._next += 1
        self._previous = closed.statement_hash
        self._queue.put(window)
        try:
            window.bodies, window.tally = closed.finish()  # while the disk works
        except Exception as failed:  # noqa: BLE001 - it is on its way to the disk; `_durable` tells those who asked
            _log.error("answers could not be written out", error=type(failed).__name__)

    def _write(self) -> None:
        """Make windows durable, in order (the writer thread)."""
        while True:
            window = self._queue.get()
            if window is None:
                return
            windows = [window]
            stop = False
            with contextlib.suppress(queue.Empty):
                while not stop:
                    following = self._queue.get_nowait()
                    stop = following is None
                    if following is not None:
                        windows.append(following)
            error: AnnulError | None = None
            try:
                self._log.append([each.closed.record for each in windows], windows[-1].closed.statement)
            except (StorageFailed, Corrupt) as failed:
                error = failed
            self._loop.call_soon_threadsafe(self._durable, windows, error)
            if stop:
                return

    def _durable(self, windows: list[_Window], error: AnnulError | None) -> None:
        """Let the answers of durable windows leave, and close the next window."""
        for _ in windows:
            self._in_flight.popleft()
        if error is not None:
            for window in windows:
                self._fail(window.asked, error)
            if not self._in_flight:
                self._next, self._previous = self._log.next_window, self._log.previous
        else:
            for window in windows:
                if not window.bodies:
                    self._fail(window.asked, SourceDown("The answers could not be written out."))
                for asked, body in zip(window.asked, window.bodies, strict=False):
                    try:
                        asked.sink.tell(asked.place, body)
                    except Exception as failed:  # noqa: BLE001 - the others of the window must hear all the same
                        _log.error("answer not handed over", error=type(failed).__name__)
                self._tally.update(window.tally)
                self._took.append((self._now_us() - window.opened_us) / 1e6)
            if self._telling is None:
                self._telling = self._loop.call_later(TELL_EVERY_S, self._tell_metrics)
        if error is None or not self._in_flight:
            self._go_on()

    def _go_on(self) -> None:
        """Close the next window, or say that nothing is left."""
        if self._line:
            self._close_next()
        elif self._idle is not None and not self._in_flight and not self._idle.done():
            self._idle.set_result(None)

    def _tell_metrics(self) -> None:
        """Give the counts of the last second to the metrics: their own locks and files cost more than a check."""
        self._telling = None
        tally, self._tally = self._tally, Counter()
        took, self._took = self._took, []
        for outcome, count in tally.items():
            metrics.CHECKS.labels(outcome).inc(count)
        for seconds in took:
            metrics.WINDOW_SECONDS.observe(seconds)
        metrics.WINDOWS.inc(len(took))
        if self._surge and not self._line:
            self._surge = False
            self._loop.run_in_executor(None, give_back_memory)

    def _fail(self, asked: list[Asked], error: AnnulError) -> None:
        for each in asked:
            each.sink.fail(error)

    async def close(self) -> None:
        """Answer what was accepted, then stop; nothing is taken any more."""
        self._stopping = True
        if self._line or self._in_flight:
            self._idle = self._loop.create_future()
            if not self._in_flight:
                self._close_window()
            await self._idle
        self._queue.put(None)
        await asyncio.to_thread(self._writer.join)
        if self._telling is not None:
            self._telling.cancel()
        self._tell_metrics()
        self._quota.publish()


def give_back_memory() -> None:
    """Give what the C library keeps of freed memory back to the machine, where it can (glibc); it takes some milliseconds."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _slowed() -> OverQuota:
    return OverQuota(
        "This party is slowed: many of its numbers look guessed.",
        retry_after_s=max(1, round(SLOWED_BATCH_MAX * SLOW_S)),
        mend=f"Send checks one by one, or at most {SLOWED_BATCH_MAX} in a batch.",
    )
