"""Unlike is said only where alike could have been said: turned, twisted, partial and foreign things are doubt."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.likeness.people import minutiae_of, packed, pressed_again, print_image, record_of

from annul.likeness import finger, minutiae, ridges


def turned(points: NDArray[np.float64], angle: float) -> NDArray[np.float64]:
    """Turn a print about its middle, and move it into the picture again."""
    cos, sin = np.cos(angle), np.sin(angle)
    out = points.copy()
    centre = points[:, :2].mean(0)
    out[:, :2] = (points[:, :2] - centre) @ np.array([[cos, sin], [-sin, cos]]) + 200
    out[:, 2] = (points[:, 2] + angle) % (2 * np.pi)
    return out


def twisted(points: NDArray[np.float64], amount: float) -> NDArray[np.float64]:
    """Pull one end of the skin sideways by so many pixels, growing with the square of the way."""
    out = points.copy()
    way = (points[:, 1] - points[:, 1].min()) / np.ptp(points[:, 1])
    out[:, 0] += amount * way**2
    slope = amount * 2 * way / np.ptp(points[:, 1])
    out[:, 2] = np.arctan2(np.sin(points[:, 2]), np.cos(points[:, 2]) + slope * np.sin(points[:, 2])) % (2 * np.pi)
    out[:, 0] -= out[:, 0].min() - 10
    return out


def codes(live: NDArray[np.float64], stored: NDArray[np.float64], **options: str) -> tuple[str, tuple[str, ...]]:
    """Compare two sets of minutiae as records."""
    found = finger.compare(record_of(live, **options), [record_of(stored, **options)], supervised=True)
    return found.binding, found.reasons


@pytest.mark.parametrize("seed", range(1, 9))
@pytest.mark.parametrize("angle", [0.0, 90.0, 135.0, 180.0, -100.0])
def test_a_print_turned_any_way_is_never_called_unlike(seed: int, angle: float) -> None:
    """Sideways and upside down the right person is matched or doubted."""
    again = turned(pressed_again(minutiae_of(seed), 50 + seed), np.radians(angle))
    assert codes(again, minutiae_of(seed))[0] in ("B0", "B3")
    assert angle != 0 or codes(again, minutiae_of(seed))[0] == "B0"


@pytest.mark.parametrize("seed", range(1, 9))
@pytest.mark.parametrize("amount", [20.0, 40.0])
def test_twisted_skin_is_never_called_unlike(seed: int, amount: float) -> None:
    """One end of the print pulled by 1 and 2 mm."""
    again = twisted(pressed_again(minutiae_of(seed), 50 + seed), amount)
    assert codes(again, minutiae_of(seed))[0] in ("B0", "B3")


@pytest.mark.parametrize("kept", [6, 10, 15, 19])
def test_few_minutiae_are_never_called_unlike(kept: int) -> None:
    """On the live side the finger is asked for again, on the stored side another trait."""
    live, other = minutiae_of(1), minutiae_of(2)
    middle = np.argsort(np.hypot(*(live[:, :2] - 150).T))[:kept]
    assert codes(live[middle], other) == ("B3", ("few-minutiae",))
    assert codes(other, live[middle])[0] == "B3"


def test_a_corner_of_a_print_is_never_called_unlike() -> None:
    """Many minutiae on a few square millimetres may be another part of the same finger."""
    crowded = minutiae_of(3, 60, 90.0)
    assert minutiae.extent(minutiae.prepare(crowded)) < finger.DECISIVE_MM2
    assert codes(crowded, minutiae_of(4)) == ("B3", ("few-minutiae",))


def test_other_people_s_prints_are_still_called_unlike() -> None:
    """The doubt has an end: most impostors with good prints are B1, none is B0."""
    found = [codes(minutiae_of(a), minutiae_of(b))[0] for a in range(1, 9) for b in range(a + 1, 9)]
    assert "B0" not in found
    assert found.count("B1") >= 0.7 * len(found)


def test_one_weak_finger_among_the_enrolled_leaves_doubt() -> None:
    """The live finger may be just that one."""
    live, good, weak = record_of(minutiae_of(1)), record_of(minutiae_of(2)), record_of(minutiae_of(3)[:12])
    assert finger.compare(live, [good], supervised=True).binding == "B1"
    changed = bytearray(weak)
    changed[24] = 2
    assert finger.compare(live, [good, bytes(changed)], supervised=True).reasons == ("reference-unusable",)


def test_what_is_no_print_is_never_called_unlike() -> None:
    """Words, noise, and a print at half and double scale: asked for again."""
    import cv2

    page = np.full((400, 400), 255, np.uint8)
    for y in range(20, 400, 22):
        cv2.putText(page, "Some words of a printed page 12345", (5, y), cv2.FONT_HERSHEY_SIMPLEX, 0.55, 0, 1)
    drawn = print_image(1)
    noise = np.random.default_rng(1).integers(0, 255, (400, 400)).astype(np.uint8)
    wrong = [page, noise, cv2.resize(drawn, None, fx=2, fy=2), cv2.resize(drawn, None, fx=0.5, fy=0.5)]
    assert ridges.is_print(drawn)
    for picture in wrong:
        assert not ridges.is_print(picture)
        assert finger.compare(packed(picture), [record_of(minutiae_of(2))], supervised=True).binding == "B3"


@pytest.mark.parametrize("stretch", [0.8, 1.0, 1.25])
def test_the_distance_of_ridges_is_measured(stretch: float) -> None:
    """Drawn at 9 pixels."""
    import cv2

    picture = cv2.resize(print_image(2), None, fx=stretch, fy=stretch, interpolation=cv2.INTER_CUBIC)
    distance, share = ridges.period(picture)
    assert abs(distance - 9 * stretch) < 0.9
    assert share > 0.8


@pytest.mark.parametrize("shape", [(10, 10), (32, 31), (64, 64)])
def test_an_image_without_contrast_has_no_ridges(shape: tuple[int, int]) -> None:
    """Empty and tiny ones."""
    assert ridges.period(np.full(shape, 128, np.uint8)) == (0.0, 0.0)
