"""Make `ocrb.npz`, the weights of `glyphs`: `python -m annul.bench.glyph_training OUT.npz`.

Pages are rendered and damaged as in `bench` (from seeds of their own); as the rendering knows where each line is, its
strips are cut with a random error like the text detector's, and every cell is shown with its true character to a
network of two hidden layers, trained by Adam in plain numpy. About two minutes on one core.
"""

from __future__ import annotations

import itertools
import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from annul.bench import reading
from annul.reader import glyphs, zone_photo
from annul.records.mrz import ALPHABET, TD1, TD2, TD3

if TYPE_CHECKING:
    from numpy.typing import NDArray

SEED = 9303
HIDDEN = (192, 96)


def collect(pages: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return cells (count x 560) and the index of each one's character."""
    import cv2

    rng = random.Random(seed)
    noise = np.random.default_rng(seed)
    cells: list[NDArray[np.float32]] = []
    labels: list[int] = []
    fonts = [font for font in reading.FONTS if font.is_file()]
    for page in range(pages):
        layout = (TD1, TD2, TD3)[page % 3]
        # Letters of all kinds everywhere: what stands in the field is of no matter here.
        lines = ["".join(rng.choice(ALPHABET + "0O0O1I5S8B2Z6G") for _ in range(layout.columns)) for _ in range(layout.lines)]
        if page % 3 == 0:
            lines = reading.random_zone(rng, layout)
        page_image = reading.render(lines, layout, rng, rng.choice(fonts))
        photo, matrix = reading.damage_with_matrix(page_image, rng.choice((0, 1, 1, 2, 2)), rng)
        image = np.asarray(cv2.imdecode(np.frombuffer(photo, np.uint8), cv2.IMREAD_COLOR), np.uint8)
        for row, line in enumerate(lines):
            corners = reading.row_corners(layout, row)
            size = corners[1, 0] - corners[0, 0]
            pitch = size / layout.columns
            corners = corners + noise.normal(0, 0.05, (4, 2)) * pitch
            corners[:, 1] += noise.normal(0, 0.04) * pitch
            corners[2:, 1] += noise.uniform(-0.1, 0.3) * pitch
            moved = cv2.perspectiveTransform(corners[None].astype(np.float64), matrix)[0]
            strip = zone_photo.grey_strip(image, moved)
            places = reading.cell_centres(layout, row)[None].astype(np.float64)
            places = cv2.perspectiveTransform(places, matrix)
            centres = zone_photo.to_strip(moved, places[0], strip.shape[1])
            pitch = (centres[-1] - centres[0]) / (len(centres) - 1)
            centres = centres + pitch * (noise.normal(0, 0.04) + noise.normal(0, 0.02, len(centres)).cumsum() * 0.1)
            found = glyphs.cut_cells(glyphs.ink_of(strip), centres)
            for index, character in enumerate(line):
                if character == "<" and rng.random() < 0.6:
                    continue
                cells.append(found[index].ravel())
                labels.append(ALPHABET.index(character))
    return np.asarray(cells, np.float32), np.asarray(labels)


def train(
    cells: NDArray[np.float32], labels: NDArray[np.int64], *, epochs: int = 14, seed: int = SEED
) -> dict[str, NDArray[np.float32]]:
    """Fit the network by Adam with label smoothing and return its weights."""
    rng = np.random.default_rng(seed)
    sizes = (cells.shape[1], *HIDDEN, len(ALPHABET))
    weights = [rng.normal(0, np.sqrt(2 / a), (a, b)).astype(np.float32) for a, b in itertools.pairwise(sizes)]
    biases = [np.zeros(b, np.float32) for b in sizes[1:]]
    parameters = [*weights, *biases]
    first = [np.zeros_like(item) for item in parameters]
    second = [np.zeros_like(item) for item in parameters]
    step, batch = 0, 256
    total = epochs * (len(cells) // batch)
    for _ in range(epochs):
        order = rng.permutation(len(cells))
        for start in range(0, len(cells) - batch + 1, batch):
            chosen = order[start : start + batch]
            layers = [cells[chosen] + rng.normal(0, 0.03, (batch, cells.shape[1])).astype(np.float32)]
            for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
                layers.append(np.maximum(layers[-1] @ weight + bias, 0))
            scores = layers[-1] @ weights[-1] + biases[-1]
            scores -= scores.max(1, keepdims=True)
            error = np.exp(scores)
            error /= error.sum(1, keepdims=True)
            error -= 0.02 / len(ALPHABET)
            error[np.arange(batch), labels[chosen]] -= 0.98
            error /= batch
            slopes: list[NDArray[np.float32]] = []
            bias_slopes: list[NDArray[np.float32]] = []
            for level in range(len(weights) - 1, -1, -1):
                slopes.insert(0, layers[level].T @ error)
                bias_slopes.insert(0, error.sum(0))
                if level:
                    error = (error @ weights[level].T) * (layers[level] > 0)
            step += 1
            rate = 1.5e-3 * (1 - step / (total + 1)) + 1e-5
            for index, slope in enumerate([*slopes, *bias_slopes]):
                first[index] += 0.1 * (slope - first[index])
                second[index] += 0.001 * (slope * slope - second[index])
                mean = first[index] / (1 - 0.9**step)
                parameters[index] -= rate * mean / (np.sqrt(second[index] / (1 - 0.999**step)) + 1e-8)
    names = ("w1", "w2", "w3", "b1", "b2", "b3")
    return dict(zip(names, parameters, strict=True))


def main(out: str, pages: int = 1000) -> None:
    """Collect, train, report the error on pages of another seed, and write the weights as half precision."""
    cells, labels = collect(pages, SEED)
    weights = train(cells, labels)
    halves: dict[str, Any] = {name: value.astype(np.float16) for name, value in weights.items()}
    np.savez_compressed(out, **halves)
    others, truth = collect(pages // 20, SEED + 1)
    hidden = others
    for level in "12":
        hidden = np.maximum(hidden @ weights["w" + level] + weights["b" + level], 0)
    scores = hidden @ weights["w3"] + weights["b3"]
    wrong = int((scores.argmax(1) != truth).sum())
    size = Path(out).stat().st_size
    print(f"cells {len(cells)}, other seed: {wrong} of {len(others)} wrong, {size} bytes")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1000)
