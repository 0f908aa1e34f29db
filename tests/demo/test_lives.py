"""States on a day: the calendar expires, the worst wins, and what is long-term goes on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from annul.demo.country import LONG_TERM_DAY, Batch, Country, Events, Happening, SchemeNo
from annul.demo.lives import standings, states
from annul.records.status import State

TODAY = 20_780
PHONE, IN_PERSON = 0, 3


def life(*what: Happening, until: int = TODAY + 100, proof: int = IN_PERSON) -> tuple[Batch, npt.NDArray[np.uint8]]:
    """Play one document's life; return its batch and the state today."""
    count = len(what)
    at = np.arange(count, dtype=np.int64) * 3_600_000_000
    events = Events(np.zeros(count, np.int64), np.array(what, np.uint8), at, at, np.full(count, proof, np.uint8))
    one = np.array([0], np.int64)
    batch = Batch(one.astype(np.uint8), one.astype(np.uint8), np.array([b"1"], "S18"), one, np.array([until]), one, events)
    _, last = standings(events, 1)
    return batch, states(batch, last, TODAY)


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ((Happening.issue,), State.current),
        ((Happening.issue, Happening.report_lost), State.reported_lost),
        ((Happening.issue, Happening.replace), State.superseded),
        ((Happening.issue, Happening.report_stolen, Happening.replace), State.reported_stolen),
        ((Happening.issue, Happening.report_lost, Happening.lift), State.current),
        ((Happening.issue, Happening.surrender), State.found_held),
        ((Happening.issue, Happening.cancel_death, Happening.surrender), State.destroyed),
        ((Happening.issue, Happening.compromise), State.compromised),
        ((Happening.issue, Happening.owner_lock), State.owner_locked),
        ((Happening.blank_stolen,), State.blank_stolen),
    ],
    ids=lambda value: "-".join(each.name for each in value) if isinstance(value, tuple) else value.name,
)
def test_a_life_ends_in_its_state(what: tuple[Happening, ...], expected: State) -> None:
    """What the register would hold after the same events, one at a time."""
    _, found = life(*what)
    assert State(found[0]) == expected


@pytest.mark.parametrize("report", [Happening.report_lost, Happening.report_stolen])
def test_a_weak_report_only_suspends_and_lapses(report: Happening) -> None:
    """By telephone it is provisional; three days later it is as if it had not been; on strong proof it stands."""
    assert State(life(Happening.issue, report, proof=PHONE)[1][0]) == State.suspended
    assert State(life(Happening.issue, report, Happening.lapse, proof=PHONE)[1][0]) == State.current
    assert State(life(Happening.issue, report)[1][0]).name.startswith("reported")


@pytest.mark.parametrize(
    ("until", "expected"),
    [
        (TODAY - 1, State.expired),
        (TODAY, State.current),
        (TODAY + 1, State.current),
        (LONG_TERM_DAY, State.current),
        (-1, State.current),
    ],
)
def test_the_last_day_still_counts(until: int, expected: State) -> None:
    """Expired from the day after it on; what is long-term, or says no end, never expires."""
    assert State(life(Happening.issue, until=until)[1][0]) == expected


def test_stolen_is_worse_than_expired() -> None:
    """Several states at once: the worst is shown."""
    assert State(life(Happening.issue, Happening.report_stolen, until=TODAY - 400)[1][0]) == State.reported_stolen


def test_a_country_has_documents_in_every_state_it_can_have() -> None:
    """Among a hundred thousand documents all but what needs a court or a shredder is seen, most of them in force."""
    seen = np.zeros(len(State), np.int64)
    for batch in Country(11, TODAY).documents(100_000):
        _, last = standings(batch.events, len(batch))
        seen += np.bincount(states(batch, last, TODAY)[batch.scheme != SchemeNo.RU_INTERNAL], minlength=len(State))
    found = {State(place) for place, count in enumerate(seen.tolist()) if count}
    assert found >= {
        State.current,
        State.reported_lost,
        State.reported_stolen,
        State.superseded,
        State.expired,
        State.cancelled,
        State.revoked,
        State.blank_stolen,
        State.compromised,
        State.owner_locked,
    }
    assert seen[State.current] > 0.7 * seen.sum()
