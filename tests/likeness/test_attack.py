"""The challenge as a nuisance barrier, and detectors as an interface."""

from __future__ import annotations

import os
from collections import Counter

import numpy as np
import pytest

from annul.bench import faces as bench_faces
from annul.errors import BadInput
from annul.likeness import attack

FRONT = np.array([[-30.0, 0, 0], [30, 0, 0], [0, 35, 28], [-22, 65, 4], [22, 65, 4]])
"""Eyes, nose tip, mouth corners of a head, x right, y down, z towards the camera (pixels)."""


def head(yaw_degrees: float = 0.0, size: float = 1.0) -> np.ndarray:
    """See a solid head: turned about the vertical axis, from far away."""
    turn = np.radians(yaw_degrees)
    x = FRONT[:, 0] * np.cos(turn) + FRONT[:, 2] * np.sin(turn)
    return np.column_stack([x, FRONT[:, 1]]) * size + 200


ANSWERS = {"turn-left": head(25), "turn-right": head(-25), "come-closer": head(0, 1.5), "move-back": head(0, 0.6)}


def test_a_head_that_does_what_is_asked_passes() -> None:
    """Turning 25 degrees and moving as asked answers every challenge."""
    for seed in range(30):
        asked = attack.challenge(seed.to_bytes(16, "big"))
        finding = attack.answer(asked, [head(), *(ANSWERS[action] for action in asked.actions)])
        assert not finding.attack, asked


def test_a_still_photo_fails_every_challenge() -> None:
    """The same frame again and again carries out nothing."""
    for seed in range(30):
        asked = attack.challenge(seed.to_bytes(16, "big"))
        assert attack.answer(asked, [head()] * (len(asked.actions) + 1)).attack


def test_a_moved_flat_photo_rarely_passes() -> None:
    """A photo turned and moved as asked stays flat: fewer than 1 in 50 simulated attempts pass."""
    rng = np.random.default_rng(0)
    passed = 0
    for _ in range(300):
        asked = attack.challenge(rng.bytes(16))
        frames = [head(), *(bench_faces.flat_photo(head(), action, rng) for action in asked.actions)]
        passed += not attack.answer(asked, frames).attack
    assert passed <= 6


def test_a_turned_head_in_the_wrong_direction_fails() -> None:
    """Frames recorded for another challenge do not answer this one."""
    asked = attack.Challenge(("turn-left", "turn-right", "come-closer", "move-back"))
    mirrored = {**ANSWERS, "turn-left": head(-25), "turn-right": head(25)}
    finding = attack.answer(asked, [head(), *(mirrored[action] for action in asked.actions)])
    assert finding.attack
    assert finding.score == 0.5


def test_challenges_differ_and_always_hold_both_turns() -> None:
    """Orders are drawn from the random bytes; a recorded answer seldom fits the next challenge."""
    drawn = [attack.challenge(os.urandom(16)) for _ in range(300)]
    assert all({"turn-left", "turn-right"} <= set(c.actions) for c in drawn)
    assert Counter(c.actions for c in drawn).most_common(1)[0][1] < 30


def test_the_error_rates_are_stated_honestly() -> None:
    """The finding says what was measured and what was not."""
    asked = attack.challenge(bytes(16))
    text = attack.answer(asked, [head()] * (len(asked.actions) + 1)).error_rates
    assert "not measured" in text


def test_a_wrong_number_of_frames_or_landmarks_is_refused() -> None:
    """Bad input is an error, not an answer."""
    asked = attack.challenge(bytes(16))
    with pytest.raises(BadInput):
        attack.answer(asked, [head()])
    with pytest.raises(BadInput):
        attack.answer(asked, [np.zeros((4, 2))] * (len(asked.actions) + 1))
    with pytest.raises(BadInput):
        attack.challenge(b"short")
