"""The life of a case: a million random steps, and none of them makes an entry without everything that has to come before."""

from __future__ import annotations

import random

import pytest

from annul.errors import TransitionRefused
from annul.records.case import (
    APART,
    CASE_EVENTS,
    CASE_STATES,
    CLOSED,
    TIMED,
    TRANSITIONS,
    CaseEvent,
    CaseState,
    next_case_state,
)

STEPS = 1_000_000


def test_no_walk_of_a_million_steps_lists_anybody_unheard() -> None:
    """Events at random: whoever is listed was reported, investigated, proposed, signed, decided and told, in that order."""
    luck = random.Random(13)
    state: CaseState = "reported"
    past: list[CaseEvent] = []
    reached: set[CaseState] = set()
    for _ in range(STEPS):
        event = luck.choice(CASE_EVENTS)
        after = TRANSITIONS.get((state, event))
        if after is None:
            with_refusal = state
            try:
                next_case_state(state, event)
            except TransitionRefused:
                assert state == with_refusal
            else:
                raise AssertionError((state, event))
        else:
            state = next_case_state(state, event)
            past.append(event)
            reached.add(state)
            if state == "listed":
                assert past[:4] == ["take_up", "propose", "sign", "decide"]
                assert past[-1] in ("take_effect", "uphold")
                assert past[-1] != "uphold" or "appeal" in past
            if state in CLOSED:
                assert all((state, event) not in TRANSITIONS for event in CASE_EVENTS)
        if state in CLOSED or luck.random() < 0.0001:
            state, past = "reported", []
    assert reached == set(CASE_STATES) - {"reported"}


def test_every_deciding_step_names_the_hands_before_it() -> None:
    """Who reports, investigates and decides are apart, and an appeal's hand is new; what the clock does has no hand."""
    assert APART["decide"] == ("reported", "investigator", "first")
    for event in ("uphold", "overturn"):
        assert APART[event] == ("reported", "investigator", "first", "second")  # type: ignore[index]
    assert TIMED.isdisjoint(APART)


@pytest.mark.parametrize("state", sorted(CLOSED))
def test_what_is_closed_stays_closed(state: CaseState) -> None:
    """No event follows; the refusal names no person."""
    for event in CASE_EVENTS:
        with pytest.raises(TransitionRefused):
            next_case_state(state, event)
