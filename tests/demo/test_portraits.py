"""Drawn portraits: a face network tells the distinct ones apart, and knows the same one again."""

from itertools import combinations

import pytest

from annul.demo.portraits import DISTINCT, portrait
from annul.registry.review.faces import ALIKE_MIN

pytest.importorskip("cv2")

MARGIN = 0.05
"""How far from the limit the portraits stay: other versions of the network's arithmetic differ by less."""


def test_distinct_portraits_are_no_suspicion_and_a_second_photograph_is_one() -> None:
    """No two of the demo's faces look alike to the clean-up, and each looks like itself in another light."""
    from annul.likeness.face import describe

    vectors = [describe(portrait(seed)) for seed in DISTINCT]
    again = describe(portrait(DISTINCT[-1], light=0.85))
    assert again is not None
    faces = [vector for vector in vectors if vector is not None]
    assert len(faces) == len(DISTINCT)
    assert max(float(one @ other) for one, other in combinations(faces, 2)) < ALIKE_MIN - MARGIN
    assert float(faces[-1] @ again) > ALIKE_MIN + MARGIN
