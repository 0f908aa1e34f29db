"""Drawn portraits: a face network tells the distinct ones apart, and knows the same one again."""

import io
from itertools import combinations

import numpy as np
import pytest
from PIL import Image

from annul.demo.portraits import DISTINCT, HEIGHT, WIDTH, portrait
from annul.registry.review.faces import ALIKE_MIN

MARGIN = 0.05
"""How far from the limit the portraits stay: other versions of the network's arithmetic differ by less."""


def test_distinct_portraits_are_no_suspicion_and_a_second_photograph_is_one() -> None:
    """No two of the demo's faces look alike to the clean-up, and each looks like itself in another light."""
    pytest.importorskip("cv2")
    from annul.likeness.face import describe

    vectors = [describe(portrait(seed)) for seed in DISTINCT]
    again = describe(portrait(DISTINCT[-1], light=0.85))
    assert again is not None
    faces = [vector for vector in vectors if vector is not None]
    assert len(faces) == len(DISTINCT)
    assert max(float(one @ other) for one, other in combinations(faces, 2)) < ALIKE_MIN - MARGIN
    assert float(faces[-1] @ again) > ALIKE_MIN + MARGIN


def pixels(image: bytes) -> np.ndarray:
    """Return a JPEG's pixels, shape (height, width, 3)."""
    return np.asarray(Image.open(io.BytesIO(image)).convert("RGB"), np.int16)


def test_a_portrait_is_a_function_of_its_seed() -> None:
    """The same bytes for the same seed, another picture for another; a JPEG of a stated size, small enough to enrol."""
    one, again, other = portrait(53), portrait(53), portrait(54)
    assert one == again != other
    assert one.startswith(b"\xff\xd8")
    assert pixels(one).shape == (HEIGHT, WIDTH, 3)
    assert len(one) < 60_000


def test_light_changes_the_picture_and_not_the_drawing() -> None:
    """A darker photograph is darker everywhere it was not black; the mark of a specimen stands on both."""
    bright, dark = pixels(portrait(72)), pixels(portrait(72, light=0.7))
    assert (dark.mean(), dark.mean() < bright.mean() * 0.8) == (pytest.approx(bright.mean() * 0.7, rel=0.1), True)
    for picture in (bright, dark):
        mark = picture[HEIGHT - 44 : HEIGHT - 4, WIDTH // 2 - 90 : WIDTH // 2 + 90]
        assert (mark.min(axis=2) > 235).sum() > 500  # white letters across the foot
