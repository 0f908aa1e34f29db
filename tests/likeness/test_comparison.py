"""Results, how they are joined, and attempts."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annul.errors import OverQuota
from annul.likeness import AttemptCounter, CapturePolicy, Comparison, Finding, Result, exempt, join
from annul.likeness.comparison import (
    ATTEMPTS_MAX,
    BINDING,
    FORGET_S,
    PAUSE_S,
    REASONS,
    SUBJECTS_MAX,
    Attempts,
    Trait,
    after,
    settle,
)


def compared(result: Result, trait: Trait = "face", supervised: bool = True) -> Comparison:
    reason = {
        Result.MATCH: "alike",
        Result.NO_MATCH: "not-alike",
        Result.ATTACK: "presentation-attack",
        Result.NO_USABLE_TRAIT: "doubtful",
    }[result]
    return Comparison(trait, result, (reason,), 1.0, 0.5, 1e-3, "test", {}, {}, {}, "test", (), supervised)


def test_every_result_has_its_code_of_the_axis_binding() -> None:
    """B0 matches, B1 does not, B2 attack, B3 no usable trait."""
    assert [compared(r).binding for r in Result] == ["B0", "B1", "B2", "B3"]
    assert set(BINDING) == set(Result)


@pytest.mark.parametrize(
    ("face", "finger", "joined"),
    [
        (Result.MATCH, Result.MATCH, Result.MATCH),
        (Result.MATCH, Result.NO_USABLE_TRAIT, Result.MATCH),
        (Result.NO_USABLE_TRAIT, Result.MATCH, Result.MATCH),
        (Result.MATCH, Result.NO_MATCH, Result.NO_USABLE_TRAIT),
        (Result.NO_MATCH, Result.NO_USABLE_TRAIT, Result.NO_MATCH),
        (Result.NO_MATCH, Result.NO_MATCH, Result.NO_MATCH),
        (Result.ATTACK, Result.MATCH, Result.ATTACK),
        (Result.NO_USABLE_TRAIT, Result.NO_USABLE_TRAIT, Result.NO_USABLE_TRAIT),
    ],
)
def test_two_traits_are_joined_to_one_result(face: Result, finger: Result, joined: Result) -> None:
    """An attack wins, a contradiction is for the clerk, what could not be used counts for nothing."""
    result, reasons = join([compared(face), compared(finger, "finger")])
    assert result is joined
    assert reasons
    assert all(reason in REASONS for reason in reasons)


def test_a_person_without_usable_prints_is_no_worse_off() -> None:
    """Face match with exemption gives what face and finger match give."""
    with_prints = join([compared(Result.MATCH), compared(Result.MATCH, "finger")])
    assert join([compared(Result.MATCH), exempt("finger")]) == with_prints


def test_a_match_nobody_watched_does_not_count() -> None:
    """Supervised capture is demanded by default and can be waived by policy, never silently."""
    unwatched = compared(Result.MATCH, supervised=False)
    assert settle(unwatched, CapturePolicy()).reasons == ("not-supervised",)
    assert settle(unwatched, CapturePolicy()).binding == "B3"
    assert settle(unwatched, CapturePolicy(supervision_required=False)).binding == "B0"
    assert settle(compared(Result.NO_MATCH, supervised=False), CapturePolicy()).binding == "B1"


def test_an_attack_found_wins_over_a_match() -> None:
    """A detector's word turns a match into B2."""
    found = msgspec.structs.replace(compared(Result.MATCH), findings=(Finding("d", "1", True, 0.9, "none measured"),))
    assert settle(found, CapturePolicy()).binding == "B2"


def test_five_failed_attempts_bring_a_pause_and_the_pause_ends() -> None:
    """4, 3, 2, 1 left, then a pause that says how long; afterwards all attempts are back."""
    counter, key = AttemptCounter(), b"k"
    for left in range(ATTEMPTS_MAX, 0, -1):
        assert counter.admit(key, 100.0) == left
        counter.record(key, Result.NO_MATCH, 100.0)
    with pytest.raises(OverQuota) as refused:
        counter.admit(key, 101.0)
    assert refused.value.extra["retry_after_s"] == PAUSE_S - 1
    assert counter.admit(b"another", 101.0) == ATTEMPTS_MAX
    assert counter.admit(key, 100.0 + PAUSE_S) == ATTEMPTS_MAX


def test_a_match_clears_the_count_and_a_bad_picture_does_not_count() -> None:
    """Only mismatches and attacks count."""
    counter, key = AttemptCounter(), b"k"
    counter.record(key, Result.NO_MATCH, 0.0)
    counter.record(key, Result.NO_USABLE_TRAIT, 1.0)
    assert counter.admit(key, 2.0) == ATTEMPTS_MAX - 1
    counter.record(key, Result.MATCH, 3.0)
    assert counter.admit(key, 4.0) == ATTEMPTS_MAX


def test_old_failures_are_forgotten_after_a_day() -> None:
    """A miss a day never adds up to a pause."""
    state = Attempts()
    for day in range(20):
        state = after(state, Result.NO_MATCH, day * FORGET_S)
        assert state.failed == 1


def test_the_counter_is_bounded_and_keeps_pauses() -> None:
    """Flooding with other documents frees nobody from a pause."""
    counter, paused = AttemptCounter(), b"paused"
    for _ in range(ATTEMPTS_MAX):
        counter.record(paused, Result.ATTACK, 0.0)
    for k in range(SUBJECTS_MAX + 50):
        counter.record(k.to_bytes(4, "big"), Result.NO_MATCH, 1.0)
    assert len(counter._attempts) <= SUBJECTS_MAX
    with pytest.raises(OverQuota):
        counter.admit(paused, 2.0)


@given(st.lists(st.sampled_from(list(Result)), max_size=40))
def test_a_pause_needs_five_failures_without_a_match_between(results: list[Result]) -> None:
    """The pure step agrees with counting by hand."""
    state, failures = Attempts(), 0
    for now, result in enumerate(results):
        if state.paused_until_s > now:
            break
        state = after(state, result, float(now))
        failures = 0 if result is Result.MATCH else failures + (result in (Result.NO_MATCH, Result.ATTACK))
        assert (state.paused_until_s > now) == (failures >= ATTEMPTS_MAX)
