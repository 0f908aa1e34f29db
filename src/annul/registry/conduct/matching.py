"""Lay business events beside checks: pure, in arrays, one probe of a table for each check.

Events are few (they fit into memory), checks are many (they stream past, in any order). Events are grouped by party and anchor,
the key by which a check of their document is found: the number key, or the document key where the scheme has none. For each
check the group is looked up, and every event of it takes note of the check if it counts: of the last one at or before the
business within its term, and of the first one after it. So 10 million events beside 100 million checks are 100 million probes.

Rules of a tie: of two checks in one microsecond the one with the worse outcome counts.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit, uint64

Words = npt.NDArray[np.uint64]
Times = npt.NDArray[np.int64]

COVERED, LATE, UNCHECKED, DEPARTED, FORGED = range(5)
KINDS: Final = ("covered", "late", "unchecked", "departed", "forged")
"""What becomes of an event, by number."""
STOP: Final = 3
"""Octet of the outcome STOP; NO_ANSWER is the next one."""
ANY_BINDING: Final = 255
_NEVER: Final = np.int64(np.iinfo(np.int64).min)
_LATER: Final = np.int64(np.iinfo(np.int64).max)


class EventColumns(NamedTuple):
    """Events in columns, one row an event.

    Args:
        party: number of the party, int32.
        document, number: keys as two words each, shape (n, 2); zeros where there is none.
        shown: id of the check the party names, two words; zeros where it names none.
        at, before, late: microseconds: of the business, and how far a check may lie before and after it.
        purposes: bit of each purpose that counts, by its octet; all ones: any.
        binding: octet a check's binding must be, ANY_BINDING: any.
    """

    party: npt.NDArray[np.int32]
    document: Words
    number: Words
    shown: Words
    at: Times
    before: Times
    late: Times
    purposes: Words
    binding: npt.NDArray[np.uint8]

    def taken(self, order: npt.NDArray[np.intp]) -> EventColumns:
        """Return the events in another order."""
        parts: list[Any] = [column[order] for column in self]
        return EventColumns(*parts)


class CheckColumns(NamedTuple):
    """Checks in columns, one row a check; keys and ids as in `EventColumns`, of the same key epoch."""

    party: npt.NDArray[np.int32]
    document: Words
    number: Words
    check: Words
    at: Times
    outcome: npt.NDArray[np.uint8]
    purpose: npt.NDArray[np.uint8]
    binding: npt.NDArray[np.uint8]


class Found(NamedTuple):
    """What was found of each event, in the order of the events.

    Args:
        kind: COVERED … FORGED.
        check: id of the check it rests on, two words; zeros when there is none.
        checked_at: its time, 0 when there is none.
    """

    kind: npt.NDArray[np.uint8]
    check: Words
    checked_at: Times


class Matcher:
    """Hold events while checks stream past.

    Args:
        events: all of a run; about 200 bytes of memory an event.
    """

    def __init__(self, events: EventColumns) -> None:
        count = len(events.at)
        anchor = np.where((events.number != 0).any(axis=1, keepdims=True), events.number, events.document)
        hashed = _hashes(events.party, anchor)
        order = np.argsort(hashed, kind="stable")
        if _mixed(hashed[order], events.party[order], anchor[order]):  # two groups of one hash: they must not lie mixed
            order = np.lexsort((anchor[:, 1], anchor[:, 0], events.party, hashed))
        self._order = order
        self._events = events.taken(order)
        told = self._events
        self._shown = told.party, told.document, told.shown, told.at, told.before, told.late, told.purposes, told.binding
        self._anchor = np.ascontiguousarray(anchor[order])
        self._starts, self._shift = _table(hashed[order], self._events.party, self._anchor)
        self._best_at = np.full(count, _NEVER, np.int64)
        self._best = np.zeros((count, 2), np.uint64)
        self._outcome = np.zeros(count, np.uint8)
        self._after_at = np.full(count, _LATER, np.int64)
        self._after = np.zeros((count, 2), np.uint64)
        self._genuine = np.zeros(count, np.uint8)

    def take(self, checks: CheckColumns) -> None:
        """Let checks pass; in any order, any number of times, each check once."""
        if len(self._best_at) and len(checks.at):
            own: Any = [np.require(column, requirements=("C", "W")) for column in checks]  # one form of arrays: one compilation
            rest: Any = (
                self._anchor,
                self._starts,
                self._shift,
                self._best_at,
                self._best,
                self._outcome,
                self._after_at,
                self._after,
                self._genuine,
            )
            _pass(*own, *self._shown, *rest)  # type: ignore[call-arg]

    def found(self) -> Found:
        """Return what was found so far."""
        covered = self._best_at != _NEVER
        after = ~covered & (self._after_at != _LATER)
        kind = np.full(len(covered), UNCHECKED, np.uint8)
        kind[after] = LATE
        kind[covered] = COVERED
        kind[covered & (self._outcome == STOP)] = DEPARTED
        kind[self._events.shown.any(axis=1) & (self._genuine == 0)] = FORGED
        check = np.where(covered[:, None], self._best, np.where(after[:, None], self._after, np.uint64(0)))
        at = np.where(covered, self._best_at, np.where(after, self._after_at, 0))
        made = Found(np.empty_like(kind), np.empty_like(check), np.empty_like(at))
        made.kind[self._order], made.check[self._order], made.checked_at[self._order] = kind, check, at
        return made


def _hashes(party: npt.NDArray[np.int32], anchor: Words) -> Words:
    made: Words = np.empty(len(party), np.uint64)
    _hash_all(party, anchor, made)
    return made


def _mixed(hashed: Words, party: npt.NDArray[np.int32], anchor: Words) -> bool:
    """Tell whether neighbours of one hash are of different groups."""
    other = (anchor[1:] != anchor[:-1]).any(axis=1) | (party[1:] != party[:-1])
    return bool((other & (hashed[1:] == hashed[:-1])).any())


def _table(hashed: Words, party: npt.NDArray[np.int32], anchor: Words) -> tuple[npt.NDArray[np.int32], Any]:
    """Return an open table: place of a hash -> number of a group's first event plus one; and the shift from hash to place."""
    bits = max(4, int(np.ceil(np.log2(max(len(hashed), 1) * 2))))
    starts = np.zeros(1 << bits, np.int32)
    shift = np.uint64(64 - bits)
    _lay(hashed, party, anchor, starts, shift)
    return starts, shift


@njit(inline="always")
def _hash(party: Any, low: Any, high: Any) -> Any:
    x = low ^ (high * uint64(0x9E3779B97F4A7C15)) ^ (uint64(party + 1) * uint64(0xD6E8FEB86659FD93))
    x = (x ^ (x >> uint64(30))) * uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> uint64(27))) * uint64(0x94D049BB133111EB)
    return x ^ (x >> uint64(31))


@njit(cache=True, nogil=True)
def _hash_all(party: Any, anchor: Any, made: Any) -> None:
    for row in range(len(party)):
        made[row] = _hash(party[row], anchor[row, 0], anchor[row, 1])


@njit(cache=True, nogil=True)
def _lay(hashed: Any, party: Any, anchor: Any, starts: Any, shift: Any) -> None:
    mask = uint64(len(starts) - 1)
    for row in range(len(hashed)):
        same = row > 0 and party[row] == party[row - 1]
        if same and anchor[row, 0] == anchor[row - 1, 0] and anchor[row, 1] == anchor[row - 1, 1]:
            continue
        place = hashed[row] >> shift
        while starts[place]:
            place = (place + uint64(1)) & mask
        starts[place] = row + 1


@njit(cache=True, nogil=True)
def _pass(
    party: Any,
    document: Any,
    number: Any,
    check: Any,
    at: Any,
    outcome: Any,
    purpose: Any,
    binding: Any,
    e_party: Any,
    e_document: Any,
    e_shown: Any,
    e_at: Any,
    e_before: Any,
    e_late: Any,
    e_purposes: Any,
    e_binding: Any,
    anchor: Any,
    starts: Any,
    shift: Any,
    best_at: Any,
    best: Any,
    best_outcome: Any,
    after_at: Any,
    after: Any,
    genuine: Any,
) -> None:
    mask = uint64(len(starts) - 1)
    last = len(e_at)
    for row in range(len(at)):
        by_number = number[row, 0] != 0 or number[row, 1] != 0
        low = number[row, 0] if by_number else document[row, 0]
        high = number[row, 1] if by_number else document[row, 1]
        hashed = _hash(party[row], low, high)
        place = hashed >> shift
        event = -1
        while starts[place]:
            start = starts[place] - 1
            if anchor[start, 0] == low and anchor[start, 1] == high and e_party[start] == party[row]:
                event = start
                break
            place = (place + uint64(1)) & mask
        whole = document[row, 0] != 0 or document[row, 1] != 0
        while 0 <= event < last and anchor[event, 0] == low and anchor[event, 1] == high and e_party[event] == party[row]:
            told = e_document[event, 0] != 0 or e_document[event, 1] != 0
            same = e_document[event, 0] == document[row, 0] and e_document[event, 1] == document[row, 1]
            if same or not told or not whole:
                if e_shown[event, 0] == check[row, 0] and e_shown[event, 1] == check[row, 1]:
                    genuine[event] = 1
                counts = outcome[row] <= STOP and (e_purposes[event] >> uint64(purpose[row])) & uint64(1) != 0
                counts = counts and (e_binding[event] == ANY_BINDING or e_binding[event] == binding[row])
                since = at[row] - e_at[event]
                if counts and -e_before[event] <= since <= 0:
                    worse = at[row] == best_at[event] and outcome[row] > best_outcome[event]
                    if at[row] > best_at[event] or worse:
                        best_at[event], best_outcome[event] = at[row], outcome[row]
                        best[event, 0], best[event, 1] = check[row, 0], check[row, 1]
                elif counts and 0 < since <= e_late[event] and at[row] < after_at[event]:
                    after_at[event] = at[row]
                    after[event, 0], after[event, 1] = check[row, 0], check[row, 1]
            event += 1
