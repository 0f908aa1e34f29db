"""A second pair of eyes for zones: every character cell, judged by its shape in OCR-B alone.

The general network reads words and guesses O for 0 where the shapes would tell. Zones are printed in one typeface at
a fixed pitch, so each character can be cut out and shown to a small classifier that has seen nothing but OCR-B. Two
readers that err differently are worth more than one.

The weights (`ocrb.npz`, 0.2 MB) are made by `annul.bench.glyph_training` from rendered, damaged type; no document was used.

Source: ISO 1073-2 (OCR-B), Doc 9303-3 section 4.8 (pitch of 10 characters to the inch).
"""

from __future__ import annotations

import functools
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CELL_HEIGHT, CELL_WIDTH = 28, 20
INK_MIN = 0.35
"""Ink of the darkest twentieth of a cell below which nothing is printed in it; printed ones measured 0.62 and more."""
SETTLE_TRIES = 14
"""Alignments of a line that are looked at with the classifier; one takes about 2 ms."""
_SHIFTS = tuple(step * 0.07 for step in range(-8, 9))
_STRETCHES = tuple(step * 0.12 for step in range(-5, 6))
_BOWS = tuple(step * 0.1 for step in range(-5, 6))
STRIP_HEIGHT = 64
"""Height of the strips that cells are cut from, a quarter of the line's height above and below it included."""


def ink_of(strip: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return how much darker than its surroundings each pixel of a grey strip is; about 1 in strokes, 0 on paper."""
    import cv2
    import numpy as np

    grey = strip.astype(np.float32)
    paper = cv2.GaussianBlur(cv2.dilate(grey, np.ones((25, 25), np.uint8)), (0, 0), 12)
    ink = np.maximum(paper - grey, 0)
    # The blur of the dilation leaves a grey veil over noisy paper: take off what half of the pixels have.
    ink = np.maximum(ink - np.median(ink), 0)
    return np.asarray(ink / max(float(np.percentile(ink, 97)), 1.0), np.float32)


def extent(ink: NDArray[np.float32]) -> tuple[float, float]:
    """Return top and bottom of the characters in a strip, in pixels."""
    import numpy as np

    profile = np.convolve(np.minimum(ink, 1.2).mean(1), np.ones(3) / 3, "same")
    middle = slice(len(profile) // 5, -len(profile) // 5)
    level = 0.25 * float(profile[middle].max())
    rows = np.flatnonzero(profile >= level)
    if not len(rows):
        return 0.0, float(len(profile))
    # the run of rows around the middle, so that a neighbouring line or a frame is left out
    centre = len(profile) // 2
    top = bottom = int(rows[np.abs(rows - centre).argmin()])
    while top > 0 and profile[top - 1] >= level:
        top -= 1
    while bottom < len(profile) - 1 and profile[bottom + 1] >= level:
        bottom += 1
    return float(top), float(bottom + 1)


def settle(ink: NDArray[np.float32], centres: NDArray[np.float64]) -> NDArray[np.float64]:
    """Move a row of cell centres to where the characters are.

    The centres may be off by half a character, too narrow or wide, and bent (a page seen at an angle has a pitch that
    changes along the line). Of all such moves those are kept that leave least ink between the cells, and of these the
    one whose cells look most like characters.
    """
    import numpy as np

    count = len(centres)
    pitch = (centres[-1] - centres[0]) / (count - 1)
    top, bottom = (int(edge) for edge in extent(ink))
    profile = np.minimum(ink[top : max(bottom, top + 1)], 1.0).mean(0)
    profile = np.convolve(profile, np.ones(3) / 3, "same")
    share = np.arange(count) / (count - 1)
    moves = np.stack([axis.ravel() for axis in np.meshgrid(_SHIFTS, _STRETCHES, _BOWS, indexing="ij")], 1)
    basis = np.stack([np.ones(count), share - 0.5, 4 * share * (1 - share) - 0.5])
    rows = centres + pitch * (moves @ basis)
    edges = np.concatenate([rows - pitch / 2, rows[:, -1:] + pitch / 2], 1)
    costs = np.interp(edges, np.arange(len(profile)), profile).mean(1) + 0.01 * np.abs(moves).sum(1)
    best, answer = -np.inf, centres
    tried: list[NDArray[np.float64]] = []
    for index in np.argsort(costs):
        if any(float(np.abs(rows[index] - other).max()) < 0.12 * pitch for other in tried):
            continue
        tried.append(rows[index])
        sure = float(judge(cut_cells(ink, rows[index])).max(1).mean())
        if sure > best:
            best, answer = sure, rows[index]
        if len(tried) == SETTLE_TRIES:
            break
    return answer


def cut_cells(ink: NDArray[np.float32], centres: NDArray[np.float64]) -> NDArray[np.float32]:
    """Cut a strip into cells.

    Args:
        ink: as `ink_of` gives it.
        centres: middle of each character in pixels.
    Returns:
        count x 28 x 20, ink 0..1.5.
    """
    import cv2
    import numpy as np

    top, bottom = extent(ink)
    pitch = (centres[-1] - centres[0]) / (len(centres) - 1)
    rows = np.linspace(top - 0.12 * (bottom - top), bottom + 0.12 * (bottom - top), CELL_HEIGHT)
    across = np.linspace(-0.58 * pitch, 0.58 * pitch, CELL_WIDTH)
    smooth = cv2.GaussianBlur(ink, (0, 0), 0.6)
    cells = []
    for centre in centres:
        x, y = np.meshgrid(centre + across, rows)
        cells.append(cv2.remap(smooth, x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR))
    return np.minimum(np.stack(cells), 1.5)


def without_ink(cells: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Tell cells in which nothing is printed, as far as the picture shows: burnt out by light, or covered.

    Every place of a zone has ink, also a filler's.
    """
    import numpy as np

    middle = cells[:, 3:-3, 3:-3].reshape(len(cells), -1)
    return np.asarray(np.percentile(middle, 95, axis=1) < INK_MIN)


@functools.lru_cache(maxsize=1)
def _weights() -> tuple[NDArray[np.float32], ...]:
    import numpy as np

    with resources.files("annul.reader").joinpath("ocrb.npz").open("rb") as file, np.load(file) as stored:
        return tuple(stored[name].astype(np.float32) for name in ("w1", "b1", "w2", "b2", "w3", "b3"))


def judge(cells: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return count x 37 natural logarithms of each character's probability, in the order of `mrz.ALPHABET`."""
    import numpy as np

    w1, b1, w2, b2, w3, b3 = _weights()
    hidden = np.maximum(cells.reshape(len(cells), -1) @ w1 + b1, 0)
    hidden = np.maximum(hidden @ w2 + b2, 0)
    scores = (hidden @ w3 + b3).astype(np.float64)
    scores -= scores.max(1, keepdims=True)
    return np.asarray(scores - np.log(np.exp(scores).sum(1, keepdims=True)))
