"""Made-up minutiae and prints, and the faces that packages ship, for the tests of this room."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from annul.bench import faces as bench_faces
from annul.likeness import calibration, template


def minutiae_of(seed: int, count: int = 45, size: float = 300.0) -> NDArray[np.float64]:
    """Draw a finger: `count` minutiae with a smooth flow of directions, inside a disc."""
    rng = np.random.default_rng(seed)
    radius, bearing = np.sqrt(rng.uniform(0, 1, count)) * size / 2, rng.uniform(0, 2 * np.pi, count)
    x, y = size / 2 + radius * np.cos(bearing), size / 2 + radius * np.sin(bearing)
    flow = rng.uniform(0, np.pi) + 0.004 * (x - size / 2) * rng.normal() + 0.004 * (y - size / 2) * rng.normal()
    direction = (flow + np.pi * rng.integers(0, 2, count) + rng.normal(0, 0.1, count)) % (2 * np.pi)
    return np.stack([x, y, direction, rng.uniform(0.5, 1, count)], axis=1)


def pressed_again(minutiae: NDArray[np.float64], seed: int, turn: float = 0.3) -> NDArray[np.float64]:
    """Press the same finger again: moved, turned, a little distorted, a fifth of the minutiae lost, some new ones."""
    rng = np.random.default_rng(seed)
    kept = minutiae[rng.uniform(size=len(minutiae)) > 0.2].copy()
    centre = kept[:, :2].mean(0)
    cos, sin = np.cos(turn), np.sin(turn)
    kept[:, :2] = (kept[:, :2] - centre) @ np.array([[cos, -sin], [sin, cos]]).T + centre + np.array([15, -9])
    kept[:, :2] += rng.normal(0, 1.5, (len(kept), 2))
    kept[:, 2] = (kept[:, 2] + turn + rng.normal(0, 0.06, len(kept))) % (2 * np.pi)
    false = np.column_stack([rng.uniform(60, 240, (4, 2)), rng.uniform(0, 6.28, 4), rng.uniform(0.3, 0.5, 4)])
    return np.concatenate([kept, false])


def record_of(minutiae: NDArray[np.float64], *, extractor: str = "LEADER", size: tuple[int, int] = (400, 400)) -> bytes:
    """Pack minutiae as an ISO/IEC 19794-2 record."""
    inside = minutiae[(minutiae[:, :2] >= 0).all(1) & (minutiae[:, 0] < size[0]) & (minutiae[:, 1] < size[1])]
    view = template.View(1, 0, 60, inside, np.ones(len(inside), np.uint8), extractor)
    return template.encode([view], size)


def print_image(seed: int, size: int = 320) -> NDArray[np.uint8]:
    """Draw a print: ridges grown from noise by filters that follow a loop-like flow (reaction of oriented filters)."""
    import cv2

    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:size, 0:size].astype(np.float64)
    core_x, core_y = size * rng.uniform(0.4, 0.6), size * rng.uniform(0.35, 0.5)
    delta_x, delta_y = size * rng.uniform(0.2, 0.8), size * rng.uniform(0.85, 1.0)
    flow = 0.5 * (np.arctan2(y - core_y, x - core_x) - np.arctan2(y - delta_y, x - delta_x)) + rng.uniform(-0.3, 0.3)
    image = rng.normal(0, 1, (size, size))
    kernels = [cv2.getGaborKernel((25, 25), 4.0, np.pi * k / 16 + np.pi / 2, 9.0, 0.9, 0) for k in range(16)]
    kernels = [k - k.mean() for k in kernels]
    choice = np.round((flow % np.pi) / (np.pi / 16)).astype(int) % 16
    for _ in range(8):
        filtered = np.stack([cv2.filter2D(image, cv2.CV_64F, k) for k in kernels])
        image = np.tanh(np.take_along_axis(filtered, choice[None], 0)[0] / 6)
    mask = ((x - size / 2) / (size * 0.42)) ** 2 + ((y - size / 2) / (size * 0.48)) ** 2 < 1
    return np.where(mask, 128 - 100 * image, 250).clip(0, 255).astype(np.uint8)


def shifted(image: NDArray[np.uint8], turn_degrees: float = 8.0) -> NDArray[np.uint8]:
    """Press the drawn print again: turned, moved and with noise."""
    import cv2

    height, width = image.shape
    motion = cv2.getRotationMatrix2D((width / 2, height / 2), turn_degrees, 1.0) + np.array([[0, 0, 7], [0, 0, -5]])
    moved = cv2.warpAffine(image, motion, (width, height), borderValue=250).astype(np.float64)
    return (moved + np.random.default_rng(0).normal(0, 8, moved.shape)).clip(0, 255).astype(np.uint8)


def packed(pixels: NDArray[np.uint8], form: str = "PNG") -> bytes:
    """Write pixels as an image file in memory."""
    buffer = io.BytesIO()
    if form == "WSQ":
        import wsq  # noqa: F401  registers the format
    Pillow.fromarray(pixels).save(buffer, form)
    return buffer.getvalue()


def orl(subject: int, number: int) -> bytes:
    """Return one ORL face (subject 1..40, number 1..10) as a sample."""
    path: Path = bench_faces.orl_files()[0][1].parent.parent / f"s{subject}" / f"{number}.pgm"
    return bench_faces.as_sample(path)


def tails(scores: dict[str, NDArray[np.float64]], trait: str, gates: dict[str, float]) -> calibration.Calibration:
    """Make a calibration from given impostor scores."""
    return calibration.Calibration(
        version=calibration.VERSION,
        trait=trait,  # type: ignore[arg-type]
        name="of-a-test",
        made_on="2026-01-01",
        algorithms={},
        sets=(calibration.MeasuredSet("made up", 2, 4, 2, len(next(iter(scores.values())))),),
        tails={kind: calibration.fit(values, of_people(len(values))) for kind, values in scores.items()},
        gates=gates,
    )


def of_people(count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give `count` comparisons to the 780 pairs of forty people, one after another."""
    first, second = np.triu_indices(40, 1)
    turn = np.arange(count) % len(first)
    return first[turn], second[turn]


def spelled(sample: bytes, step: int = 8) -> Iterator[bytes]:
    """Yield pieces of twelve bytes of a sample as text or file could hold them: raw, hex, base64, escaped, as letters."""
    for at in range(0, len(sample) - 12, step):
        piece = sample[at : at + 12]
        if len(set(piece)) > 4:  # else it is in many files
            yield piece
            yield piece.hex().encode()
            yield base64.b64encode(piece)
            yield repr(piece)[2:-1].encode()
            yield piece.decode("latin-1").encode()
