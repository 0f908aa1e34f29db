"""Answer windows in machine code: the same bytes as `windows.Answerer`, with a fifth of the processor's time.

Python does what it is quick at (blinding, look-up, signature: one call for all) and what comes up once a day (what
a fact means, as `windows` says it); kernels do what comes up with each question.

What must never happen here: a meaning of its own.
"""

from __future__ import annotations

import ctypes
import zlib
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np

from annul.listings import native
from annul.listings.table import address_of
from annul.proof.window import SIGNED_PREFIX, STATEMENT_BYTES
from annul.records.codes import FreshnessCode, StatusCode
from annul.registry.answering import frame as f
from annul.registry.answering.answers import FULL, NUMBER_ONLY, Manner, Told, unlocked
from annul.registry.answering.checklog import SIGNATURE_BYTES
from annul.registry.answering.questions import Asked
from annul.registry.answering.windows import Answerer, Closed, Place
from annul.times import DAY_US

KERNELS: Final = "annul.registry.answering.window_kernels"
_BUILT_ON: Final = ("annul.listings.sha256", "annul.registry.answering.frame")
MEMO_SLOTS: Final = 1 << 17
"""Facts remembered at a time: half as many as there are slots (5 MiB, taken from the system as they are used)."""
TOLDS_MAX: Final = 1 << 15
"""Ready answers known by number; beyond it they are numbered anew. A window has at most a sixteenth as many."""
MANNERS_MAX: Final = 1 << 15
BODY_BYTES_MAX: Final = 2048
"""Bytes of a body beside the texts that are ready made: ID, leaf, index, path and salt take less than 1,000."""
_FREE: Final = 256
"""Bytes of room behind everything that is hashed or read by words."""

_LIVE: Final = FreshnessCode.F0.octet


def answerer_here() -> type[Answerer]:
    """Return the answerer for this processor: machine code where it has SHA instructions, else the plain form."""
    return MachineAnswerer if native.has_sha256() else Answerer


def warm() -> None:
    """Compile the kernels if no cache has them yet, so that the first start is as quick as any other."""
    if native.has_sha256():
        native.load(KERNELS, *_BUILT_ON)


class _Room:
    """Memory with a known address that grows; what was in it is lost then."""

    __slots__ = ("_bytes", "address", "size", "view", "words")

    def __init__(self, size: int) -> None:
        self.size = 0
        self.grow(size)

    def grow(self, size: int) -> bool:
        """See that there are so many bytes; whether it had to be made anew."""
        if size <= self.size:
            return False
        self.size = -(-max(size, self.size * 3 // 2) // f.WORD) * f.WORD
        self._bytes = np.zeros(self.size, np.uint8)
        self.address = address_of(self._bytes)
        self.view = self._bytes.data
        self.words = self.view.cast("Q")
        return True


class _Known(NamedTuple):
    """A ready answer that has a number. Holding it keeps what its row points to."""

    manner: Manner
    told: Told


class MachineAnswerer(Answerer):
    """Answer the windows of one worker in machine code; arguments as `Answerer`. For processors with SHA instructions."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        kernels = native.load(KERNELS, *_BUILT_ON)
        self._decide, self._remember = kernels.at_once("decide", 1), kernels.at_once("remember")
        self._seal, self._write = kernels.at_once("seal", 1, 2, 3), kernels.at_once("bodies", 1, 2)
        self._tally = kernels.at_once("tally")
        self._frame = _Room(f.FRAME_WORDS * f.WORD)
        self._memo = _Room(MEMO_SLOTS * f.MEMO_BYTES)
        self._tolds = _Room(TOLDS_MAX * f.TOLD_BYTES)
        self._fresh = _Room(MANNERS_MAX)
        self._sized = {
            place: _Room(1) for place in (f.VALUES, f.MISSING, f.ROWS, f.USED, f.RECORD, f.HASHES, f.ROOM, f.ENDS, f.OUT)
        }
        words = self._frame.words
        words[f.MEMO], words[f.MEMO_MASK], words[f.TOLDS] = self._memo.address, MEMO_SLOTS - 1, self._tolds.address
        words[f.FRESH] = self._fresh.address
        self._numbers: dict[int, int] = {}  # by the id of a manner; `_manners` keeps it from being another's
        self._manners: list[Manner] = []
        self._known: list[_Known] = []
        self._told_numbers: dict[int, int] = {}
        self._told_bytes_max = 0
        self._most = (0, 0, 0)
        self._remembered = 0
        self._generation = 0
        self._valid: tuple[int, int] | None = None
        self._aged = False

    def answer(self, asked: list[Asked], now_us: int, place: Place) -> Closed:
        """Answer a window at `now_us`: look up, decide, pack, sign."""
        listings, words = self._listings, self._frame.words
        listings.refresh()
        as_of_us = listings.as_of_us  # in this order: the look-up sees at least this position, which is as of then
        position = listings.position
        self._begin(len(asked), now_us, now_us - as_of_us)
        keys, test_at = self._blind(asked)
        identities = self._identities(asked, keys, test_at)
        questions = self._pack(asked, identities)
        count, salts = len(asked), self._salts(16 * len(asked))
        self._make_room(count, len(questions), len(keys))
        if keys:
            listings.lookup_into(keys, words[f.VALUES])
        words[f.COUNT], words[f.TEST_SLOT] = count, test_at >> 4
        words[f.CHECKED_AT], words[f.POSITION], words[f.AS_OF] = now_us, position, as_of_us
        words[f.EPOCH_LIVE], words[f.EPOCH_TEST] = self._keys["live"].epoch, self._keys["test"].epoch
        words[f.WORKER], words[f.WINDOW] = place.worker, place.number
        lost = self._decide(self._frame.address, questions)
        for index in self._sized[f.MISSING].words[:lost].tolist():
            self._work_out(index, asked[index], identities[index], keys, now_us, now_us - as_of_us)
        size = self._seal(self._frame.address, keys, salts, place.previous)
        made = self._sized[f.RECORD].view
        statement = bytes(made[f.STATEMENT_AT : f.STATEMENT_AT + STATEMENT_BYTES])
        signature = self._signer.signer.sign(SIGNED_PREFIX + statement)
        made[f.SIGNATURE_AT : f.SIGNATURE_AT + SIGNATURE_BYTES] = signature
        made[size : size + 4] = zlib.crc32(made[:size]).to_bytes(4, "big")
        record = bytes(made[: size + 4])

        def finish() -> tuple[list[bytes], Mapping[str, int]]:
            outcomes = self._count(now_us)
            return self._bodies_of(count, self._shape(position, as_of_us, statement, signature), salts), outcomes

        return Closed(statement, record, position, finish, lambda: self._told(count))

    def _begin(self, count: int, now_us: int, age_us: int) -> None:
        """Forget what counts no longer: verdicts of another day or coverage, numbers of manners that have become too many."""
        valid = now_us // DAY_US, self._listings.generation
        if len(self._known) + count > TOLDS_MAX or len(self._manners) + count > MANNERS_MAX:
            self._numbers, self._manners, self._known, self._told_numbers = {}, [], [], {}
            self._valid = None
        if valid != self._valid or self._remembered + count > MEMO_SLOTS // 2:
            self._valid, self._remembered = valid, 0
            self._generation = self._generation % 0xFFFFFFFF + 1
            self._frame.words[f.GENERATION] = self._generation
        self._judge.day(now_us)
        if age_us > self._live_us or self._aged:
            self._aged = age_us > self._live_us
            self._fresh.view[: len(self._manners)] = bytes(self._freshness(each, age_us).octet for each in self._manners)
        self._age_us = age_us

    def _make_room(self, count: int, question_bytes: int, key_bytes: int) -> None:
        if count <= self._most[0] and question_bytes <= self._most[1] and key_bytes <= self._most[2]:
            return
        count, question_bytes, key_bytes = self._most = (
            max(count, self._most[0]),
            max(question_bytes, self._most[1]),
            max(key_bytes, self._most[2]),
        )
        half = question_bytes + _FREE
        texts = self._told_bytes_max + BODY_BYTES_MAX
        for place, size in (
            (f.VALUES, key_bytes // 2),
            (f.MISSING, count * f.WORD),
            (f.ROWS, count * f.ROW_BYTES),
            (f.USED, count * 2 * f.WORD),
            (f.RECORD, f.LEAVES_AT + count * (f.LEAF + f.PRIVATE) + question_bytes + _FREE),
            (f.HASHES, (2 * count + 16) * 32),
            (f.ROOM, 2 * half),
            (f.ENDS, count * f.WORD),
            (f.OUT, count * texts),
        ):
            room = self._sized[place]
            room.grow(size)
            self._frame.words[place] = room.address
        self._frame.words[f.ROOM_HALF] = half

    def _pack(self, asked: list[Asked], identities: Any) -> bytes:
        """Put the questions into the form that kernels read."""
        numbers, head = self._numbers, f.HEAD.pack
        parts: list[bytes] = []
        add = parts.append
        for each, identified in zip(asked, identities, strict=True):
            _, _, manner, test, blocks, naming, until, scheme, document, identity, context, holder, _, binding, kind, form = (
                each
            )
            if document is None:
                naming = f.FORM_UNKNOWN if form else f.MALFORMED
            number = numbers.get(id(manner), -1)
            if number < 0:
                number = self._number(manner)
            lengths = len(identity), len(context), len(holder)
            add(head(number, until, kind, naming, test, scheme, identified, binding.octet, len(blocks) >> 4, 0, *lengths))
            add(identity)
            add(context)
            add(holder)
        return b"".join(parts)

    def _number(self, manner: Manner) -> int:
        number = self._numbers[id(manner)] = len(self._manners)
        self._manners.append(manner)
        self._fresh.view[number] = self._freshness(manner, self._age_us).octet
        return number

    def _work_out(self, index: int, each: Asked, identified: int, keys: bytes, now_us: int, age_us: int) -> None:
        """Say what nobody has asked for yet today, as `Answerer.answer` does, and remember it."""
        row = self._sized[f.ROWS].address + index * f.ROW_BYTES
        slot = ctypes.c_uint64.from_address(row + f.ROW_SLOT).value
        values = self._sized[f.VALUES].words
        value = number = 0
        if each.naming == NUMBER_ONLY:
            number = values[slot]
        elif each.blocks:
            value = values[slot]
            number = values[slot + 1] if each.naming == FULL else 0
        verdict, lasting = self._verdict(each, value, number), True
        if verdict.status is StatusCode.S13 and value:
            lasting = False  # its owner may open the lock, for a while: asked each time
            if self._is_open(keys[slot * 16 : slot * 16 + 16], each.manner.purpose.octet, now_us):
                verdict = self._judge.seen(unlocked(value), number, each.naming, each.until_day) or verdict
        told = each.manner.telling(verdict, self._freshness(each.manner, age_us), each.scheme, identified, each.binding)
        known = self._told_numbers.get(id(told), -1)
        if known < 0:
            known = self._enter(each.manner, told)
        ctypes.c_uint64.from_address(row + f.ROW_TOLD).value = known
        if lasting:
            self._frame.words[f.PLACE], self._frame.words[f.TOLD] = index, known
            self._remembered += self._remember(self._frame.address)

    def _enter(self, manner: Manner, told: Told) -> int:
        """Give a ready answer a number and a row."""
        number = self._told_numbers[id(told)] = len(self._known)
        self._known.append(_Known(manner, told))
        at = number * f.TOLD_BYTES
        self._tolds.view[at : at + f.MIDDLE_BYTES] = told.leaf
        words, at = self._tolds.words, at // f.WORD
        words[at + f.TOLD_HEAD // f.WORD], words[at + f.TOLD_HEAD_BYTES // f.WORD] = _address(told.head), len(told.head)
        words[at + f.TOLD_TAIL // f.WORD], words[at + f.TOLD_TAIL_BYTES // f.WORD] = _address(told.tail), len(told.tail)
        words[at + f.TOLD_STATUS // f.WORD], words[at + f.TOLD_COUNT // f.WORD] = told.status, 0
        self._told_bytes_max = max(self._told_bytes_max, len(told.head) + len(told.tail))
        return number

    def _told(self, count: int) -> list[Told]:
        numbers = self._sized[f.ROWS].words[f.ROW_TOLD // f.WORD : count * f.ROW_BYTES // f.WORD : f.ROW_BYTES // f.WORD]
        return [self._known[number].told for number in numbers.tolist()]

    def _count(self, now_us: int) -> Mapping[str, int]:
        """Count the answers by outcome, and look for parties that walk through numbers."""
        different = self._tally(self._frame.address)
        used = self._sized[f.USED].words[: 2 * different].tolist()
        told = [(*self._known[number], count) for number, count in zip(used[::2], used[1::2], strict=True)]
        self._settle(told, now_us)
        outcomes: Counter[str] = Counter()
        for _, each, count in told:
            outcomes[each.outcome] += count
        return outcomes

    def _bodies_of(self, count: int, shape: bytes, salts: bytes) -> list[bytes]:
        words, out = self._frame.words, self._sized[f.OUT]
        parts = shape.replace(b"%d", b"%b").split(b"%b")
        _, stood, _, *rest = parts
        texts = b"".join(parts)
        for place, part in enumerate((stood, *rest), f.TEXT_1):
            words[place] = len(part)
        if out.grow(count * (self._told_bytes_max + len(texts) + BODY_BYTES_MAX)):
            words[f.OUT] = out.address
        written = bytes(out.view[: self._write(self._frame.address, texts, salts)])
        ends = [0, *self._sized[f.ENDS].words[:count].tolist()]
        return [written[begin:end] for begin, end in pairwise(ends)]


def _address(raw: bytes) -> int:
    """Return where the bytes of an object lie; it must be held as long as the address is used."""
    return ctypes.cast(ctypes.c_char_p(raw), ctypes.c_void_p).value or 0
