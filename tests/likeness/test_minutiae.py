"""The comparison of minutia sets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.likeness.people import minutiae_of, pressed_again

from annul.likeness import minutiae


def score(a: np.ndarray, b: np.ndarray) -> float:
    return minutiae.similarity(minutiae.prepare(a), minutiae.prepare(b))


def test_the_same_finger_pressed_again_scores_above_every_other_finger() -> None:
    """Genuine scores lie clear of impostor scores on made-up fingers."""
    fingers = [minutiae_of(seed) for seed in range(6)]
    genuine = [score(f, pressed_again(f, 100 + k)) for k, f in enumerate(fingers)]
    impostor = [score(a, b) for k, a in enumerate(fingers) for b in fingers[k + 1 :]]
    assert min(genuine) > 2 * max(impostor)


def test_moving_and_turning_a_print_changes_its_score_little() -> None:
    """The score does not depend on where and how the finger was laid down."""
    finger = minutiae_of(1)
    straight, turned = score(finger, pressed_again(finger, 7, 0.0)), score(finger, pressed_again(finger, 7, 0.6))
    assert turned == pytest.approx(straight, rel=0.15)


def test_a_print_turned_upside_down_is_not_searched_for() -> None:
    """Rotations beyond 90 degrees are outside of what a counter's scanner sees."""
    finger = minutiae_of(1)
    assert score(finger, pressed_again(finger, 7, np.pi)) < 3


def test_the_order_of_the_two_prints_does_not_matter_much() -> None:
    """Live and enrolled may be swapped: the score stays within a few percent."""
    finger = minutiae_of(3)
    again = pressed_again(finger, 8)
    assert score(finger, again) == pytest.approx(score(again, finger), rel=0.05)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_prints_with_next_to_nothing_score_zero(count: int) -> None:
    """Too few minutiae give 0, not an error and not a match."""
    assert score(minutiae_of(1)[:count], minutiae_of(1)) == 0.0


def test_minutiae_on_one_line_score_zero() -> None:
    """Points without an area have no neighbourhood (attack on the hull)."""
    line = np.array([[k * 5.0, 50.0, 0.1, 0.9] for k in range(30)])
    assert score(line, line) == 0.0


def test_many_copies_of_one_minutia_match_nothing_of_a_finger() -> None:
    """A template stuffed with one point is no master key."""
    stuffed = np.tile(minutiae_of(1)[:1], (255, 1)) + np.random.default_rng(0).normal(0, 0.5, (255, 4)) * [1, 1, 0, 0]
    assert score(stuffed, minutiae_of(2)) < 3


def test_a_dense_grid_of_minutiae_is_no_master_key() -> None:
    """A template that has minutiae everywhere, in random directions, scores like an impostor."""
    rng = np.random.default_rng(0)
    grid = np.array([[x, y, rng.uniform(0, 6.28), 1.0] for x in range(0, 300, 18) for y in range(0, 300, 18)])[:255]
    assert max(score(grid, minutiae_of(seed)) for seed in range(4)) < 4


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 140), st.floats(1, 800))
def test_any_two_sets_give_a_finite_score(seed: int, count: int, size: float) -> None:
    """Whatever the minutiae, the score is a finite number from 0."""
    rng = np.random.default_rng(seed)
    a = np.column_stack([rng.uniform(0, size, (count, 2)), rng.uniform(0, 6.28, count), rng.uniform(0, 1, count)])
    value = score(a, minutiae_of(seed % 5))
    assert np.isfinite(value)
    assert value >= 0
