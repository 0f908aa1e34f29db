"""Events beside checks: every rule, and the whole against a plain reading of the rules, row by row."""

from __future__ import annotations

import numpy as np
import pytest

from annul.registry.conduct import matching
from annul.registry.conduct.matching import (
    ANY_BINDING,
    COVERED,
    DEPARTED,
    FORGED,
    LATE,
    STOP,
    UNCHECKED,
    CheckColumns,
    EventColumns,
    Matcher,
)

ANY = np.uint64(2**64 - 1)


def make(random: np.random.Generator, events: int, checks: int) -> tuple[EventColumns, CheckColumns]:
    """Few documents, few parties, few moments: everything meets everything, ties among it."""

    def keys(count: int, kinds: int) -> np.ndarray:
        return random.integers(0, kinds, (count, 1), dtype=np.uint64) * np.array([[1, 7]], np.uint64)

    told = EventColumns(
        party=random.integers(0, 3, events).astype(np.int32),
        document=keys(events, 4),
        number=keys(events, 3),
        shown=np.where(random.random((events, 1)) < 0.3, random.integers(1, checks + 9, (events, 1)), 0).astype(np.uint64)
        * np.array([[1, 3]], np.uint64),
        at=random.integers(0, 50, events),
        before=random.integers(1, 12, events),
        late=random.integers(0, 12, events),
        purposes=np.where(random.random(events) < 0.5, ANY, random.integers(1, 8, events).astype(np.uint64)),
        binding=np.where(random.random(events) < 0.7, ANY_BINDING, 1).astype(np.uint8),
    )
    seen = CheckColumns(
        party=random.integers(0, 3, checks).astype(np.int32),
        document=keys(checks, 4),
        number=keys(checks, 3),
        check=np.arange(1, checks + 1, dtype=np.uint64)[:, None] * np.array([[1, 3]], np.uint64),
        at=random.integers(0, 50, checks),
        outcome=random.integers(1, 5, checks).astype(np.uint8),
        purpose=random.integers(0, 4, checks).astype(np.uint8),
        binding=random.integers(1, 3, checks).astype(np.uint8),
    )
    return told, seen


def plainly(told: EventColumns, seen: CheckColumns, row: int) -> int:
    """Return what becomes of one event, by the words of the rules."""

    def anchor(columns: EventColumns | CheckColumns, place: int) -> tuple[int, ...]:
        number = tuple(columns.number[place])
        return number if any(number) else tuple(columns.document[place])

    best, outcome, after, genuine = None, 0, False, False
    for check in range(len(seen.at)):
        if seen.party[check] != told.party[row] or anchor(seen, check) != anchor(told, row):
            continue
        mine, theirs = tuple(told.document[row]), tuple(seen.document[check])
        if any(mine) and any(theirs) and mine != theirs:
            continue
        genuine = genuine or tuple(seen.check[check]) == tuple(told.shown[row])
        if seen.outcome[check] > STOP or not int(told.purposes[row]) >> int(seen.purpose[check]) & 1:
            continue
        if told.binding[row] not in (ANY_BINDING, seen.binding[check]):
            continue
        since = seen.at[check] - told.at[row]
        if -told.before[row] <= since <= 0:
            key = (seen.at[check], seen.outcome[check])
            if best is None or key > best:
                best, outcome = key, int(seen.outcome[check])
        elif 0 < since <= told.late[row]:
            after = True
    if any(told.shown[row]) and not genuine:
        return FORGED
    if best is not None:
        return DEPARTED if outcome == STOP else COVERED
    return LATE if after else UNCHECKED


@pytest.mark.parametrize("seed", range(6))
def test_every_event_is_judged_as_the_rules_say(seed: int) -> None:
    """Small worlds full of ties; checks come in pieces and in any order."""
    random = np.random.default_rng(seed)
    told, seen = make(random, 300, 400)
    matcher = Matcher(told)
    for part in np.array_split(random.permutation(len(seen.at)), 5):
        matcher.take(CheckColumns(*(np.ascontiguousarray(column[part]) for column in seen)))
    found = matcher.found()
    assert found.kind.tolist() == [plainly(told, seen, row) for row in range(300)]
    resting = found.kind == COVERED
    assert resting.any()
    assert (found.checked_at[resting] <= told.at[resting]).all()
    assert set(found.kind.tolist()) == {COVERED, LATE, UNCHECKED, DEPARTED, FORGED}


def test_groups_of_one_hash_do_not_lie_mixed(monkeypatch: pytest.MonkeyPatch) -> None:
    """All hashes equal: every group still lies in one piece, so that each is found by its first event."""
    told, _seen = make(np.random.default_rng(3), 120, 1)
    monkeypatch.setattr(matching, "_hashes", lambda party, _anchor: np.zeros(len(party), np.uint64))
    laid = Matcher(told)
    groups = [(party, *anchor) for party, anchor in zip(laid._events.party.tolist(), laid._anchor.tolist(), strict=True)]
    pieces = [group for place, group in enumerate(groups) if not place or group != groups[place - 1]]
    assert len(pieces) == len(set(groups)) > 5


def test_no_events_and_no_checks_are_no_fault() -> None:
    """Empty columns find nothing."""
    told, seen = make(np.random.default_rng(1), 0, 5)
    matcher = Matcher(told)
    matcher.take(seen)
    assert len(matcher.found().kind) == 0
    told, seen = make(np.random.default_rng(1), 5, 0)
    matcher = Matcher(told)
    matcher.take(seen)
    assert set(matcher.found().kind.tolist()) <= {UNCHECKED, FORGED}
