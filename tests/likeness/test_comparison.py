"""Results, how they are joined, and attempts."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annul.errors import OverQuota
from annul.likeness import Attempts, CapturePolicy, Comparison, Finding, Result, exempt, join
from annul.likeness.comparison import (
    ATTEMPTS_MAX,
    BINDING,
    CHALLENGE,
    FORGET_S,
    PAUSE_S,
    REASONS,
    Trait,
    begin,
    end,
    settle,
    unreferenced,
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


def test_what_policy_demands_of_a_capture_is_held_to() -> None:
    """A match without the challenge that is demanded, or with one that failed, is no usable trait; a mismatch stays one."""
    wanted = CapturePolicy(challenge_required=True)
    assert settle(compared(Result.MATCH), wanted).reasons == ("challenge-missing",)
    assert settle(compared(Result.MATCH, "finger"), wanted).binding == "B0"
    assert settle(compared(Result.NO_MATCH), wanted).binding == "B1"
    done = Finding(CHALLENGE, "2", False, 1.0, "stated", decisive=False)
    assert settle(msgspec.structs.replace(compared(Result.MATCH), findings=(done,)), wanted).binding == "B0"
    failed = msgspec.structs.replace(done, attack=True)
    for policy in (wanted, CapturePolicy()):
        settled = settle(msgspec.structs.replace(compared(Result.MATCH), findings=(failed,)), policy)
        assert (settled.binding, settled.reasons) == ("B3", ("challenge-failed",))


def test_nothing_on_record_harms_no_match_of_the_other_trait() -> None:
    """Face match beside a print that is not on record is a match; alone it is no usable trait."""
    assert join([compared(Result.MATCH), unreferenced("finger")])[0] is Result.MATCH
    assert join([unreferenced("finger")]) == (Result.NO_USABLE_TRAIT, ("no-reference",))


def failed(state: Attempts, now_s: float) -> Attempts:
    return end(begin(state, now_s), Result.NO_MATCH)


def test_five_failed_attempts_bring_a_pause_and_the_pause_ends() -> None:
    """The sixth is refused and told how long; after the pause all five are back."""
    state = Attempts()
    for _ in range(ATTEMPTS_MAX):
        state = failed(state, 100.0)
    with pytest.raises(OverQuota) as refused:
        begin(state, 101.0)
    assert refused.value.extra["retry_after_s"] == PAUSE_S - 1
    assert begin(state, 100.0 + PAUSE_S).failed == 1


def test_a_match_clears_the_count_and_a_bad_picture_does_not_count() -> None:
    """Only mismatches and attacks count."""
    state = failed(Attempts(), 0.0)
    assert end(begin(state, 1.0), Result.NO_USABLE_TRAIT).failed == 1
    assert end(begin(state, 1.0), Result.ATTACK).failed == 2
    assert end(begin(state, 1.0), Result.MATCH) == Attempts()


def test_attempts_at_the_same_time_all_count() -> None:
    """Of six begun before any has ended, the last is refused."""
    state = Attempts()
    for _ in range(ATTEMPTS_MAX):
        state = begin(state, 7.0)
    with pytest.raises(OverQuota):
        begin(state, 7.0)
    assert begin(end(state, Result.NO_USABLE_TRAIT), 8.0).failed == ATTEMPTS_MAX


def test_old_failures_are_forgotten_after_a_day() -> None:
    """A miss a day never adds up to a pause."""
    state = Attempts()
    for day in range(20):
        state = failed(state, day * FORGET_S)
        assert state.failed == 1


@given(st.lists(st.sampled_from(list(Result)), max_size=40))
def test_a_pause_needs_five_failures_without_a_match_between(results: list[Result]) -> None:
    """The pure steps agree with counting by hand."""
    state, failures = Attempts(), 0
    for now, result in enumerate(results):
        if failures >= ATTEMPTS_MAX:
            with pytest.raises(OverQuota):
                begin(state, float(now))
            break
        state = end(begin(state, float(now)), result)
        failures = 0 if result is Result.MATCH else failures + (result in (Result.NO_MATCH, Result.ATTACK))
        assert state.failed == failures
