"""Play the lives of a batch through: the standing of each document after each event, a whole batch at a time.

This is `annul.records.status` on arrays; a test holds the two to the same results.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from annul.demo.country import Batch, Events, Happening
from annul.records.status import SEVERITY, TERMINAL_MASK, State
from annul.times import LONG_TERM_DAY

Standings = npt.NDArray[np.uint32]

_STRONG_PROOF: Final = 2  # online_strong, as a place in PROOFS
_ADDS: Final = np.zeros(len(Happening), np.uint32)
_CLEARS: Final = np.zeros(len(Happening), np.uint32)
for _what, _state in (
    (Happening.issue, State.current),
    (Happening.report_lost, State.reported_lost),
    (Happening.report_stolen, State.reported_stolen),
    (Happening.confirm_lost, State.reported_lost),
    (Happening.confirm_stolen, State.reported_stolen),
    (Happening.replace, State.superseded),
    (Happening.cancel_death, State.cancelled),
    (Happening.revoke_fraud, State.revoked),
    (Happening.compromise, State.compromised),
    (Happening.owner_lock, State.owner_locked),
    (Happening.blank_stolen, State.blank_stolen),
):
    _ADDS[_what] = _state.bit
for _what in (Happening.confirm_lost, Happening.confirm_stolen, Happening.lapse):
    _CLEARS[_what] = State.suspended.bit
_CLEARS[Happening.lift] = State.reported_lost.bit | State.suspended.bit


def standings(events: Events, count: int) -> tuple[Standings, Standings]:
    """Return the standing after each event, shape (e,), and the last one of each document, shape (count,)."""
    after = np.zeros(len(events), np.uint32)
    last = np.zeros(count, np.uint32)
    first = np.searchsorted(events.row, np.arange(count))
    length = np.diff(np.append(first, len(events)))
    for turn in range(int(length.max(initial=0))):
        rows = np.flatnonzero(length > turn)
        place = first[rows] + turn
        last[rows] = after[place] = _next(last[rows], events.what[place], events.proof[place])
    return after, last


def _next(before: Standings, what: npt.NDArray[np.uint8], proof: npt.NDArray[np.uint8]) -> Standings:
    adds = _ADDS[what]
    weak = ((what == Happening.report_lost) | (what == Happening.report_stolen)) & (proof < _STRONG_PROOF)
    adds = np.where(weak, np.uint32(State.suspended.bit), adds)
    handed_in = what == Happening.surrender
    dead = before & np.uint32(TERMINAL_MASK) != 0
    adds = np.where(handed_in & dead, np.uint32(State.destroyed.bit), adds)
    adds = np.where(handed_in & ~dead, np.uint32(State.found_held.bit), adds)
    after: Standings = (before | adds) & ~_CLEARS[what]
    return after


def states(batch: Batch, last: Standings, day: int) -> npt.NDArray[np.uint8]:
    """Return the number of the `State` each document is in on a day, expiry included: shape (n,)."""
    over = (batch.valid_until_day > 0) & (batch.valid_until_day < LONG_TERM_DAY) & (batch.valid_until_day < day)
    standing = last | np.where(over, np.uint32(State.expired.bit), np.uint32(0))
    found = np.zeros(len(batch), np.uint8)
    for state in SEVERITY:
        found[standing & np.uint32(state.bit) != 0] = state.value
    return found
