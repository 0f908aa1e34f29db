"""Ask the register: the one path from a question to an accounted, signed answer. It needs no database.

Questions that wait form a window. A window is answered as one: one blinding of all identities, one look-up, one Merkle tree,
one signature, one write barrier. It closes when the previous one is durable, after `window_ms_max` at the latest; the next one
fills meanwhile. No answer leaves before its window is durable: when writing fails, nobody of the window is answered.

    checks = Checks(listings, {"live": ..., "test": ...}, CheckLog(home / "checks", 0), signer, quota)
    answered = await checks.ask(principal, question)
    answered.body      # JSON bytes, as they leave
    answered.answer    # records.check.Answer

What must never happen here: an answer without its durable account, an answer from the other realm, an error that turns
into PASS, a document number in a log line or an error text.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import queue
import struct
import threading
import traceback
from binascii import b2a_base64, hexlify
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import msgspec

from annul import logs, metrics
from annul.errors import (
    AnnulError,
    Corrupt,
    Forbidden,
    MalformedNumber,
    PurposeNotAllowed,
    SourceDown,
    StorageFailed,
    TimedOut,
    TooLarge,
)
from annul.listings.listings import Listings
from annul.listings.values import CODE_MASK, UNLOCK
from annul.proof.receipt import SignedWindow, WindowSigner
from annul.records.check import DECISIONS, Answer, Decisions, Holder, Question, channel_of, purpose_of
from annul.records.codes import BindingCode, Coverage, FreshnessCode, IdentityCode, StatusCode
from annul.records.document import (
    SCHEMES,
    Document,
    DocumentFields,
    DocumentKeys,
    block,
    canonical,
    number_block,
    parse_document,
    scheme_code,
    unlock_key,
)
from annul.records.names import name_block, normal_forms
from annul.registry.answers import (
    FULL,
    NUMBER_ONLY,
    PLAIN,
    Desk,
    Judge,
    Told,
    Verdict,
    error_code,
    no_answer,
    nothing_found,
    rfc3339,
    unlocked,
)
from annul.registry.checklog import PRIVATE_FIXED, SHORT, CheckLog, encode_window, pack_context
from annul.registry.parties import Principal
from annul.registry.people.tags import PHOTO
from annul.registry.quota import Allowance, Quota
from annul.registry.walk import Walker

BATCH_MAX: Final = 10_000
"""Checks in one batch. Source: the API contract."""
WINDOW_LEAVES_MAX: Final = 2_048
"""Leaves of one window: 11 hashes of path, and about 15 ms of one core to answer."""
WINDOWS_IN_FLIGHT_MAX: Final = 4
"""Windows that wait for the disk at once; beyond it questions wait in the next one."""
PENDING_MAX: Final = 100_000
"""Questions that may wait; beyond it they are refused at once instead of timing out."""
POSITION_WAIT_MAX_S: Final = 2.0
"""Longest wait for `min_position`: the follower applies an entry within milliseconds, more means that it is down."""
PARSE_CHUNK: Final = 128
"""Checks of a batch that are read before others have a turn (about 2 ms)."""
CALLERS_MAX: Final = 20_000
"""Remembered callers; beyond it they are forgotten (a credential change makes a new principal)."""
BEGINNINGS_MAX: Final = 4_096
"""Remembered beginnings of identities (scheme, issuer, kind): there are some hundred in the world."""
TELL_EVERY_S: Final = 1.0
"""Pause between two tellings of the counts to the metrics."""
AHEAD_MAX: Final = 1 << 62
"""Positions beyond this cannot come from a register."""


_log = logs.get("checks")
_sha256 = hashlib.sha256
_private = PRIVATE_FIXED.pack
_TIMES: Final = struct.Struct(">QQQ")
_LIVE_LEAF: Final = b"\x01\x00"
_TEST_LEAF: Final = b"\x01\x01"
_DOCUMENT: Final = b"annul document v1\0"
_CONTEXT: Final = b"annul context v1\0"
_NO_KEY: Final = bytes(16)
_MALFORMED: Final = Verdict(StatusCode.U33, Coverage.none)
_M0, _M1, _M2, _M3 = (code.octet for code in (IdentityCode.M0, IdentityCode.M1, IdentityCode.M2, IdentityCode.M3))
_M9: Final = bytes((IdentityCode.M9.octet,))
_CITIZEN: Final = SCHEMES["cn-resident"].code
_NO_NAME: Final = "\0"
"""Stands for a name that cannot be compared; no name on record has this form, and looking it up costs the same."""


def _name_blocks(number: bytes, holder: Holder) -> bytes:
    """Return the blocks of a number with each normal form of a name."""
    return b"".join([name_block(number, form) for form in normal_forms(holder.name) or (_NO_NAME,)])


def malformed_identity(fields: DocumentFields) -> bytes:
    """Return what a receipt commits to when the number cannot be one of its scheme: the fields as they were given."""
    return b"malformed\0" + msgspec.json.encode(fields, order="deterministic")


def _no_agreement() -> Forbidden:
    return Forbidden("This credential has no agreement for checks.", mend="Use a relying party's credential.")


class Answered(msgspec.Struct, frozen=True, gc=False):
    """One answer as it leaves: JSON bytes that decode to `Answer`."""

    body: bytes

    @property
    def answer(self) -> Answer:
        """Return the answer's members."""
        return msgspec.json.decode(self.body, type=Answer)


class _Batch:
    """Collect the answers of one batch."""

    __slots__ = ("bodies", "future", "left")

    def __init__(self, count: int, future: asyncio.Future[Any]) -> None:
        self.bodies: list[bytes] = [b""] * count
        self.left = count
        self.future = future

    def put(self, index: int, body: bytes) -> None:
        self.bodies[index] = body
        self.left -= 1
        if not self.left and not self.future.done():
            self.future.set_result(self.bodies)


class _Asked(NamedTuple):
    """One admitted question, read and packed, waiting for its window."""

    sink: asyncio.Future[Any] | _Batch
    place: int  # in the batch; -1 for a single check
    desk: Desk
    test: bool
    blocks: bytes  # document block and/or number block: 0, 16 or 32 bytes
    naming: int
    until_day: int
    scheme: int
    document: Document | None  # None: the number was malformed
    identity: bytes  # what the receipt commits to
    context: bytes  # branch, terminal, clerk, reference as the private record keeps them
    holder: bytes
    names: bytes  # blocks of number and name, one for each normal form; empty: the identity is not asked
    binding: BindingCode


class _Caller:
    """What is known of one principal: its allowance and its desks."""

    __slots__ = ("allowance", "desks", "principal", "test", "walker")

    def __init__(self, principal: Principal, allowance: Allowance, walker: Walker | None) -> None:
        self.walker = walker
        self.principal = principal
        self.allowance = allowance
        self.test = principal.realm == "test"
        self.desks: dict[tuple[str, str, bool], Desk] = {}


@dataclass(slots=True)
class _Window:
    """One closed window on its way to the disk."""

    number: int
    record: bytes
    signed: SignedWindow
    asked: list[_Asked]
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
        now_us: Callable[[], int],
        people: Listings | None = None,
        alarm: Callable[[Walker, int], None] | None = None,
        decisions: Decisions = DECISIONS,
        live_ms: int = 2_000,
        window_ms_max: int = 5,
    ) -> None:
        self._listings = listings
        self._keys = keys
        self._log = log
        self._signer = signer
        self._quota = quota
        self._people = people
        self._alarm = alarm
        self._walkers: dict[str, Walker] = {}
        self._now_us = now_us
        self._decisions = decisions
        self._live_us = live_ms * 1000
        self._window_s = window_ms_max / 1000
        self._judge = Judge()
        self._beginnings: dict[tuple[str, str, str], bytes] = {}
        self._callers: dict[int, _Caller] = {}
        self._pending: list[_Asked] = []
        self._in_flight: deque[_Window] = deque()
        self._closing_soon = False
        self._timer: asyncio.TimerHandle | None = None
        self._next = log.next_window
        self._previous = log.previous
        self._opened_us = 0
        self._tally: Counter[str] = Counter()
        self._took: list[float] = []
        self._telling: asyncio.TimerHandle | None = None
        self._stopping = False
        self._idle: asyncio.Future[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[_Window | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write, name="check-log", daemon=True)
        self._writer.start()

    # -- questions in --------------------------------------------------------------------------------------------------------

    def allowance(self, principal: Principal) -> Allowance:
        """Return the quota counters of a principal, for the rate-limit header fields.

        Raises:
            Forbidden: this principal has no agreement.
        """
        return self._caller(principal).allowance

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
        caller = self._caller(principal)
        sink = self._loop.create_future()
        asked = self._read(caller, question, sink, -1, binding)
        now_us = self._now_us()
        walker = caller.walker
        if walker is not None and walker.pace:
            await asyncio.sleep(walker.hold(now_us))
        if not admitted and not caller.allowance.take(1, now_us):
            raise caller.allowance.refusal(now_us)
        if question.min_position and question.min_position > self._listings.position:
            await self._reach(question.min_position)
        self._enqueue(asked)
        return Answered(await sink)

    def admit(self, principal: Principal, question: Question) -> None:
        """Refuse what `ask` would refuse, and take the question from the quota, before costly work that precedes `ask`.

        Raises:
            Forbidden, PurposeNotAllowed, BadInput, OverQuota: as `ask`.
        """
        caller = self._caller(principal)
        if (question.purpose, question.channel, question.urgent) not in caller.desks:
            self._desk(caller, question)
        now_us = self._now_us()
        if not caller.allowance.take(1, now_us):
            raise caller.allowance.refusal(now_us)

    async def ask_many(self, principal: Principal, questions: Sequence[Question | AnnulError]) -> list[Answered]:
        """Answer up to 10,000 questions, each as `ask` would; what `ask` raises becomes a NO_ANSWER in its place.

        Args:
            principal: who asks.
            questions: the questions; an error stands for one that could not be read.

        Raises:
            TooLarge: more than BATCH_MAX questions.
            Forbidden: this principal has no agreement.
            StorageFailed, SourceDown: the answers could not be accounted for; none of them leaves.
        """
        if len(questions) > BATCH_MAX:
            raise TooLarge(f"A batch has at most {BATCH_MAX} checks.", where="/checks", mend="Send several batches.")
        caller = self._caller(principal)
        if not questions:
            return []
        batch = _Batch(len(questions), self._loop.create_future())
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
        for index, question in enumerate(questions):
            if index % PARSE_CHUNK == PARSE_CHUNK - 1:
                await asyncio.sleep(0)
            try:
                if isinstance(question, AnnulError):
                    raise question
                asked = self._read(caller, question, batch, index)
                if late is not None and question.min_position > reached:
                    raise late
                now_us = self._now_us()
                if caller.walker is not None and caller.walker.pace:
                    await asyncio.sleep(caller.walker.hold(now_us))
                if not caller.allowance.take(1, now_us):
                    raise caller.allowance.refusal(now_us)
                self._enqueue(asked)
            except AnnulError as error:
                metrics.REFUSED.labels(error_code(error).value).inc()
                listings = self._listings
                batch.put(index, no_answer(error, self._decisions, listings.position, listings.as_of_us))
        return [Answered(body) for body in await batch.future]

    def _caller(self, principal: Principal) -> _Caller:
        found = self._callers.get(id(principal))
        if found is not None and found.principal is principal:
            return found
        agreement = principal.agreement
        if agreement is None:
            raise Forbidden("This credential has no agreement for checks.", mend="Use a relying party's credential.")
        if len(self._callers) >= CALLERS_MAX:
            self._callers.clear()
        allowance = self._quota.allowance(principal.id, agreement.per_second, agreement.per_day)
        walker = None
        if self._alarm is not None and principal.realm == "live":
            walker = self._walkers.setdefault(principal.id, Walker(principal.id, agreement.per_day))
        found = self._callers[id(principal)] = _Caller(principal, allowance, walker)
        return found

    def _desk(self, caller: _Caller, question: Question) -> Desk:
        """Check that the agreement allows this purpose and channel, and remember the desk."""
        purpose, channel = purpose_of(question.purpose), channel_of(question.channel)
        principal = caller.principal
        agreement = principal.agreement
        if agreement is None:
            raise _no_agreement()
        if purpose.value not in agreement.purposes:
            raise PurposeNotAllowed("The agreement does not cover this purpose.", where="/purpose")
        if channel.value not in agreement.channels:
            raise PurposeNotAllowed("The agreement does not cover this channel.", where="/channel")
        desk = Desk(
            principal.id, agreement.reasons_allowed, purpose, channel, question.urgent, self._decisions,
            identity=agreement.identity_allowed and self._people is not None, walker=caller.walker,
        )  # fmt: skip
        caller.desks[question.purpose, question.channel, question.urgent] = desk
        return desk

    def _read(
        self,
        caller: _Caller,
        question: Question,
        sink: asyncio.Future[Any] | _Batch,
        index: int,
        binding: BindingCode = BindingCode.B9,
    ) -> _Asked:
        """Read a question into blocks and commitments; no look-up yet."""
        desk = caller.desks.get((question.purpose, question.channel, question.urgent)) or self._desk(caller, question)
        holder = question.holder
        context = pack_context(question.branch, question.terminal, question.clerk, question.reference)
        name = b"" if holder is None else holder.name.encode()
        fields = question.document
        try:
            document = parse_document(fields)
        except MalformedNumber:
            identity, scheme_number = malformed_identity(fields), scheme_code(fields.scheme)
            return _Asked(
                sink, index, desk, caller.test, b"", PLAIN, 0, scheme_number, None, identity, context, name, b"", binding
            )
        scheme = SCHEMES[document.scheme]
        start = document.valid_from_day
        if not scheme.discriminated:
            blocks, naming, start = block(document), PLAIN, None
        elif start is not None:
            blocks, naming = block(document) + number_block(document), FULL
        else:
            blocks, naming = number_block(document), NUMBER_ONLY
        if caller.walker is not None and scheme.code == _CITIZEN:
            caller.walker.asked(document.number, self._now_us())
        names = b"" if holder is None or not desk.identity else _name_blocks(blocks[-16:], holder)
        return _Asked(
            sink, index, desk, caller.test, blocks, naming, document.valid_until_day or 0, scheme.code,
            document, self._identity(document, start), context, name, names, binding,
        )  # fmt: skip

    def _identity(self, document: Document, start: int | None) -> bytes:
        """Return `canonical(document)`, from its remembered beginning (scheme, issuer, kind)."""
        kind = document.scheme, document.issuer, document.kind
        beginning = self._beginnings.get(kind)
        if beginning is None:
            if len(self._beginnings) >= BEGINNINGS_MAX:
                self._beginnings.clear()
            rest = len(document.number.encode()) + 4 + (0 if start is None else len(str(start)))
            beginning = self._beginnings[kind] = canonical(document)[:-rest]
        number = document.number.encode()
        day = b"" if start is None else b"%d" % start
        return b"".join((beginning, SHORT[len(number)], number, SHORT[len(day)], day))

    async def _reach(self, position: int) -> None:
        if position > AHEAD_MAX or not await self._listings.reached(position, POSITION_WAIT_MAX_S):
            raise TimedOut(
                "The table did not reach min_position in time.",
                where="/min_position",
                mend="Ask again; if it stays, min_position is not of this register or the follower is down.",
            )

    # -- windows out ---------------------------------------------------------------------------------------------------------

    def _enqueue(self, asked: _Asked) -> None:
        pending = self._pending
        if self._stopping or len(pending) >= PENDING_MAX:
            raise SourceDown("This worker takes no more checks now.", retry_after_s=1)
        pending.append(asked)
        if len(pending) == 1:
            self._opened_us = self._now_us()
            if not self._in_flight:
                if not self._closing_soon:
                    self._closing_soon = True
                    self._loop.call_soon(self._close_soon)
            elif self._timer is None:
                self._timer = self._loop.call_later(self._window_s, self._close_late)

    def _close_soon(self) -> None:
        """Close the window that nothing has to wait for (the questions of this turn of the loop are in it)."""
        self._closing_soon = False
        if not self._in_flight:
            self._close_window()

    def _close_late(self) -> None:
        """Close a window whose time is up although the previous one is not durable yet."""
        self._timer = None
        self._close_window()

    def _close_window(self) -> None:
        if not self._pending or len(self._in_flight) >= WINDOWS_IN_FLIGHT_MAX:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        asked, self._pending = self._pending, []
        if len(asked) > WINDOW_LEAVES_MAX:
            asked, self._pending = asked[:WINDOW_LEAVES_MAX], asked[WINDOW_LEAVES_MAX:]
        try:
            window, finish = self._answer(asked)
        except Exception as error:  # noqa: BLE001 - whatever failed, these questions must hear of it
            if not isinstance(error, AnnulError):
                frames = traceback.extract_tb(error.__traceback__)
                stack = " > ".join(f"{frame.name}:{frame.lineno}" for frame in frames)
                _log.error("window failed", error=type(error).__name__, stack=stack)
                error = SourceDown("The window could not be answered.")
            self._fail(asked, error)
            return
        self._in_flight.append(window)
        self._next = window.number + 1
        self._previous = window.signed.statement_hash
        self._queue.put(window)
        window.bodies = finish()  # while the disk works

    def _answer(self, asked: list[_Asked]) -> tuple[_Window, Callable[[], list[bytes]]]:
        """Answer a window: look up, decide, pack, sign. Returns it with a function that makes the bodies of the answers."""
        now_us = self._now_us()
        listings = self._listings
        listings.refresh()
        as_of_us = listings.as_of_us  # in this order: the look-up sees at least this position, which is as of then
        position = listings.position
        freshness = self._freshness(now_us - as_of_us)
        fresh = freshness.octet
        keys, values, test_at = self._look_up(asked)
        identities = self._identities(asked, keys, test_at)
        memory = self._judge.day(now_us)
        salts = os.urandom(16 * len(asked))
        times = _TIMES.pack(now_us, position, as_of_us)
        starts = (_LIVE_LEAF + times, _TEST_LEAF + times)
        epochs = (self._keys["live"].epoch, self._keys["test"].epoch)
        uncovered: dict[tuple[str, str, str], Verdict] = {}
        leaves: list[bytes] = []
        privates: list[bytes] = []
        tellings: list[Told] = []
        ats = [0, test_at]
        salt_at = 0
        for each, identified in zip(asked, identities, strict=True):
            _, _, desk, test, blocks, naming, until_day, scheme, document, identity, context, holder, _, binding = each
            at = ats[test]
            ats[test] = at + len(blocks)
            slot = at >> 4
            key = number_key = _NO_KEY
            value = number = 0
            if naming == NUMBER_ONLY:
                number_key, number = keys[at : at + 16], values[slot]
            elif blocks:
                key, value = keys[at : at + 16], values[slot]
                if naming == FULL:
                    number_key, number = keys[at + 16 : at + 32], values[slot + 1]
            fact = value, number, naming, until_day
            found = memory[fact] if fact in memory else self._judge.look(*fact)
            if document is None:
                verdict = _MALFORMED
            elif found is None:
                kind = document.scheme, document.issuer, document.kind
                if kind not in uncovered:
                    uncovered[kind] = nothing_found(listings.coverage(document.coverage_name))
                verdict = uncovered[kind]
            elif found.status is StatusCode.S13 and value and self._is_open(key, desk.purpose.octet, now_us):
                verdict = self._judge.look(unlocked(value), number, naming, until_day) or found
            else:
                verdict = found
            told = desk.told.get(verdict.key | fresh | scheme << 16 | identified << 24 | binding.octet << 32) or desk.tell(
                verdict, freshness, scheme, identified, binding
            )
            salt = salts[salt_at : salt_at + 16]
            salt_at += 16
            leaves.append(
                starts[test]
                + told.leaf
                + _sha256(_DOCUMENT + salt + identity).digest()
                + _sha256(_CONTEXT + salt + context + SHORT[len(holder)] + holder).digest()
            )
            privates.append(_private(key, number_key, salt, epochs[test], told.status) + context)
            tellings.append(told)
        signed = self._signer.close(leaves, self._log.worker, self._next, self._previous, now_us)
        record = encode_window(signed.statement, signed.signature, b"".join(leaves), b"".join(privates))
        window = _Window(self._next, record, signed, asked, opened_us=self._opened_us)
        stood = b'%d,"as_of":"%b"}' % (position, rfc3339(as_of_us).encode())
        self._quota.publish()

        def finish() -> list[bytes]:
            window.tally = Counter(told.outcome for told in tellings)
            if self._alarm is not None:
                self._settle(asked, tellings, now_us)
            return self._bodies(signed, leaves, tellings, salts, stood)

        return window, finish

    def _settle(self, asked: list[_Asked], tellings: list[Told], now_us: int) -> None:
        """Count answers and misses of each party, and raise the alarm about those that walk through numbers."""
        walkers = set()
        for each, told in zip(asked, tellings, strict=True):
            walker = each.desk.walker
            if walker is not None:
                walker.seen += 1
                walker.missed += told.miss
                walkers.add(walker)
        for walker in walkers:
            if walker.settle(now_us) and self._alarm is not None:
                metrics.WALKERS.labels(walker.pace.name).inc()
                _log.warning("a party walks through numbers", party=walker.party, code=walker.pace.name)
                self._alarm(walker, now_us)

    @staticmethod
    def _bodies(signed: SignedWindow, leaves: list[bytes], tellings: list[Told], salts: bytes, stood: bytes) -> list[bytes]:
        """Assemble the JSON of each answer; its parts decode to `Answer` (a property test holds it)."""
        ending = b'","statement":"%b","signature":"%b","key":"%b"},"opening":"' % (
            b2a_base64(signed.statement, newline=False),
            b2a_base64(signed.signature, newline=False),
            signed.key.encode(),
        )
        bodies: list[bytes] = []
        for index, (told, leaf, leaf_hash, path) in enumerate(
            zip(tellings, leaves, signed.leaf_hashes, signed.paths, strict=True)
        ):
            bodies.append(
                b'%b%b%b%b","receipt":{"version":1,"leaf":"%b","index":%d,"path":"%b%b%b","error":{"code":"E00"}}'
                % (
                    told.head,
                    stood,
                    told.tail,
                    hexlify(leaf_hash[:16]),
                    b2a_base64(leaf, newline=False),
                    index,
                    b2a_base64(path, newline=False),
                    ending,
                    hexlify(salts[index * 16 : index * 16 + 16]),
                )
            )
        return bodies

    def _look_up(self, asked: list[_Asked]) -> tuple[bytes, list[int], int]:
        """Blind all blocks and look all keys up at once; the keys of the test realm follow those of the live one."""
        keys = self._keys["live"].blind(b"".join([each.blocks for each in asked if not each.test]))
        test_at = len(keys)
        if any(each.test for each in asked):
            keys += self._keys["test"].blind(b"".join([each.blocks for each in asked if each.test]))
        values: list[int] = self._listings.lookup(keys).tolist() if keys else []
        return keys, values, test_at

    def _identities(self, asked: list[_Asked], keys: bytes, test_at: int) -> Sequence[int]:
        """Return the identity code (its octet) of each question: one look-up of all numbers and names into the table of names.

        A question without a name, or of a party without the right, takes no part in it.
        """
        people = self._people
        places = [place for place, each in enumerate(asked) if each.names]
        codes = bytearray(_M9 * len(asked))
        if people is None or not places:
            return codes
        names = self._keys["live"].blind(b"".join([asked[place].names for place in places if not asked[place].test]))
        name_ats = [0, len(names)]
        names += self._keys["test"].blind(b"".join([asked[place].names for place in places if asked[place].test]))
        ats, holders, at_of = [0, test_at], [], iter(places)
        following = next(at_of)
        for place, each in enumerate(asked):
            end = ats[each.test] = ats[each.test] + len(each.blocks)
            if place == following:  # the number is the last of a question's blocks
                holders.append(keys[end - 16 : end])
                following = next(at_of, -1)
        try:
            found: list[int] = people.lookup(b"".join(holders) + names).tolist()
        except (Corrupt, SourceDown):  # the table is being made anew: no answer is invented, the document's status stands
            return codes
        count = len(places)
        for slot, place in enumerate(places):
            each = asked[place]
            at = name_ats[each.test]
            name_ats[each.test] = end = at + len(each.names)
            belongs = any(found[count + (at >> 4) : count + (end >> 4)])
            known = found[slot]
            codes[place] = (_M0 if known & PHOTO else _M1) if known and belongs else _M2 if known else _M3
        return codes

    def _freshness(self, age_us: int) -> FreshnessCode:
        if age_us <= self._live_us:
            return FreshnessCode.F0
        within = age_us <= self._decisions.policy.copy_age_max_s * 1_000_000
        return FreshnessCode.F1 if within else FreshnessCode.F2

    def _is_open(self, document_key: bytes, purpose: int, now_us: int) -> bool:
        """Tell whether the owner has opened the lock for this purpose and the time is not over."""
        value = int(self._listings.lookup(unlock_key(document_key, purpose))[0])
        return value & CODE_MASK == UNLOCK and now_us < (value >> 8 & 0xFFFFFFFF) * 60_000_000

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
                self._log.append([each.record for each in windows], windows[-1].signed.statement)
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
                for asked, body in zip(window.asked, window.bodies, strict=True):
                    sink = asked.sink
                    if isinstance(sink, _Batch):
                        sink.put(asked.place, body)
                    elif not sink.done():
                        sink.set_result(body)
                self._tally.update(window.tally)
                self._took.append((self._now_us() - window.opened_us) / 1e6)
            if self._telling is None:
                self._telling = self._loop.call_later(TELL_EVERY_S, self._tell_metrics)
        if self._pending and (error is None or not self._in_flight):
            self._close_window()
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

    def _fail(self, asked: list[_Asked], error: AnnulError) -> None:
        for each in asked:
            future = each.sink.future if isinstance(each.sink, _Batch) else each.sink
            if not future.done():
                future.set_exception(error)

    async def close(self) -> None:
        """Answer what was accepted, then stop; nothing is taken any more."""
        self._stopping = True
        if self._pending or self._in_flight:
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
