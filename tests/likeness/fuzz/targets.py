"""Fuzz targets: every decoder of the room that reads foreign bytes, each raising nothing but our errors.

The tests run them on hypothesis' bytes and on mutated seeds. With atheris installed they run coverage-guided:
`python -m tests.likeness.fuzz.targets NAME [libFuzzer options]`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np

from annul.errors import AnnulError
from annul.likeness import attack, calibration, evidence, minutiae, samples, template


def _face(data: bytes) -> None:
    image = samples.decode_face(data)
    assert image.pixels.ndim == 3
    assert max(image.pixels.shape[:2]) <= samples.FACE_SIDE_MAX


def _finger(data: bytes) -> None:
    image = samples.decode_finger(data)
    assert image.pixels.ndim == 2
    assert image.pixels.size <= samples.FINGER_PIXELS_MAX


def _template(data: bytes) -> None:
    for view in template.decode(data):
        assert np.isfinite(view.minutiae).all()
        assert np.isfinite(minutiae.similarity(minutiae.prepare(view.minutiae), minutiae.prepare(view.minutiae)))


def _calibration(data: bytes) -> None:
    calibration.parse(data).digest()


def _evidence(data: bytes) -> None:
    assert evidence.encode(evidence.decode(data)) == data


def _challenge(data: bytes) -> None:
    assert len(attack.challenge(data).actions) == attack.STEPS


TARGETS: dict[str, Callable[[bytes], None]] = {
    "face": _face,
    "finger": _finger,
    "template": _template,
    "calibration": _calibration,
    "evidence": _evidence,
    "challenge": _challenge,
}
"""Name -> function that reads foreign bytes."""


def run(name: str, data: bytes) -> None:
    """Give `data` to a target; our own errors are right answers, anything else is a finding."""
    try:
        TARGETS[name](data)
    except AnnulError:
        return


if __name__ == "__main__":
    import atheris

    chosen = sys.argv.pop(1)
    atheris.Setup(sys.argv, lambda data: run(chosen, data))
    atheris.Fuzz()
