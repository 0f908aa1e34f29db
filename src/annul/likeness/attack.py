"""Presentation attacks: an interface for detectors, and the random-action challenge as a nuisance barrier.

No detector comes with the program: of the models found in packages none turned away a plain photo of a photo. So a match counts
only under the clerk's eyes (`comparison.CapturePolicy`). The challenge makes a printed or shown photo troublesome to use; it
does not stop a prepared attacker with a video or a mask, and nothing of the kind is claimed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, Protocol, runtime_checkable

import msgspec
import numpy as np
from numpy.typing import NDArray

from annul.errors import BadInput
from annul.likeness.comparison import CHALLENGE, Finding, Trait
from annul.likeness.samples import Image

Action = Literal["turn-left", "turn-right", "come-closer", "move-back"]
SENTENCES: Final[dict[Action, str]] = {
    "turn-left": "Turn the head to your left.",
    "turn-right": "Turn the head to your right.",
    "come-closer": "Come closer to the camera.",
    "move-back": "Move back from the camera.",
}
"""What to tell the bearer."""
ACTIONS: Final[tuple[Action, ...]] = ("turn-left", "turn-right", "come-closer", "move-back")
STEPS: Final = 4
"""Actions of one challenge; the two turns are always among them."""
TURN_MIN: Final = 0.35
"""Change of the nose's place between the eyes (face.FaceQuality.yaw) that counts as a turn."""
CLOSER_MIN: Final = 1.25
"""Growth of the distance between the eyes that counts as closer; its inverse as farther."""
DEPTH_MIN: Final = 0.05
"""Least departure of the five landmarks from one plane during a turn, in eye distances; a flat photo stays below it unless it
is bent or held very close."""

Landmarks = NDArray[np.float64]


@runtime_checkable
class Detector(Protocol):
    """A presentation-attack detector (ISO/IEC 30107-3) that a relying party supplies."""

    name: str
    version: str

    def examine(self, trait: Trait, frames: Sequence[Image]) -> Finding:
        """Judge the frames of one capture, oldest first. `Finding.error_rates` must state measured APCER and BPCER and the
        set they were measured on, or say that none were."""
        ...


def examine(detectors: Sequence[Detector], trait: Trait, frames: Sequence[Image]) -> tuple[Finding, ...]:
    """Ask every detector; one that raises stops the comparison (no answer is not an all-clear)."""
    return tuple(detector.examine(trait, frames) for detector in detectors)


class Challenge(msgspec.Struct, frozen=True):
    """The actions asked for, in order. Made new for every capture and used once."""

    actions: tuple[Action, ...]


def challenge(random_bytes: bytes) -> Challenge:
    """Draw a challenge of `STEPS` actions from at least 16 secret random bytes.

    Raises:
        BadInput: too few bytes.
    """
    if len(random_bytes) < 16:
        raise BadInput("A challenge needs 16 random bytes.", where="/challenge")
    drawn = int.from_bytes(random_bytes, "big")
    pool: list[Action] = ["turn-left", "turn-right"]
    for _ in range(STEPS - 2):
        drawn, pick = divmod(drawn, len(ACTIONS))
        pool.append(ACTIONS[pick])
    actions: list[Action] = []
    while pool:
        drawn, pick = divmod(drawn, len(pool))
        actions.append(pool.pop(pick))
    return Challenge(tuple(actions))


def answer(asked: Challenge, frames: Sequence[Landmarks | None]) -> Finding:
    """Judge the answer to a challenge from landmarks only; no image is needed.

    Args:
        asked: the challenge.
        frames: `face.Face.place` (5, 2) in pixels of the full picture: first looking straight, then one frame an action; None
            where no single face was found.

    Returns:
        A finding that is not decisive; `attack` is True if an action was not carried out or the face stayed flat while
        turning. `score` is the share of actions carried out.

    Raises:
        BadInput: not one frame more than actions, or landmarks of another shape.
    """
    if len(frames) != len(asked.actions) + 1 or any(f is not None and f.shape != (5, 2) for f in frames):
        raise BadInput("A challenge is answered by one straight frame and one frame an action.", where="/challenge/frames")
    straight = frames[0]
    done = [
        straight is not None and frame is not None and _done(action, straight, frame)
        for action, frame in zip(asked.actions, frames[1:], strict=True)
    ]
    share = sum(done) / len(done)
    return Finding(CHALLENGE, "2", share < 1.0, share, STATED_RATES, decisive=False)


STATED_RATES: Final = (
    "Nuisance barrier. Measured on simulated flat photos only (see docs/likeness.md); error rates on live bearers, videos and "
    "masks were not measured."
)


def _yaw(landmarks: Landmarks) -> float:
    between = landmarks[1] - landmarks[0]
    return float(2 * ((landmarks[2] - landmarks[0]) @ between) / max(float(between @ between), 1e-9) - 1)


def _eyes_apart(landmarks: Landmarks) -> float:
    """Distance of the eyes' middle from the mouth's middle: unlike the eyes' own distance it does not shrink in a turn."""
    return float(np.linalg.norm(landmarks[:2].mean(0) - landmarks[3:].mean(0)))


def depth(straight: Landmarks, turned: Landmarks) -> float:
    """Return how far five landmarks depart from one affine plane between two frames, in eye distances.

    A flat photo, however shifted, turned, tilted or sized, maps by an affine map (seen from afar) and gives about 0. In a
    turning head the nose stands out from the plane of eyes and mouth.
    """
    known = np.column_stack([straight, np.ones(5)])
    mapping = np.linalg.lstsq(known, turned, rcond=None)[0]
    rest = turned - known @ mapping
    return float(np.sqrt((rest**2).sum()) / max(_eyes_apart(straight), 1e-9))


def _done(action: Action, straight: Landmarks, frame: Landmarks) -> bool:
    turn = _yaw(frame) - _yaw(straight)
    if action in ("turn-left", "turn-right"):
        # To the bearer's left the nose moves to the picture's right (unmirrored): yaw grows.
        wanted = turn >= TURN_MIN if action == "turn-left" else turn <= -TURN_MIN
        return wanted and depth(straight, frame) >= DEPTH_MIN
    grown = _eyes_apart(frame) / max(_eyes_apart(straight), 1e-9)
    return abs(turn) < TURN_MIN and (grown >= CLOSER_MIN if action == "come-closer" else grown <= 1 / CLOSER_MIN)
