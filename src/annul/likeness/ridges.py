"""Are these ridges of a finger, and at the scale they are said to be? A look at the image before minutiae are believed.

The ridges of an adult's finger are 0.35 to 0.6 mm apart: about 9 pixels at 500 dpi. A picture of something else has no such
period, and a scan at another resolution than stated has another one; of neither can it be said whose finger it is not.

Source: Maltoni, Maio, Jain, Prabhakar, Handbook of Fingerprint Recognition (3rd edition) section 3.3 (ridge frequency).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

PERIOD_PX: Final = (6.0, 12.5)
"""Distance of ridges in pixels at 500 dpi that is a finger's. Measured: 6.4 to 11.4 in 240 prints of three sensors."""
CLEAR_SHARE_MIN: Final = 0.15
"""Share of the blocks with contrast in which one period must stand out. Measured: at least 0.27 in the same prints."""
_BLOCK: Final = 32
_CONTRAST: Final = 8.0
_PEAK_MIN: Final = 0.22
"""Share of a block's energy at and beside its strongest wave from which a period stands out."""
_BLOCKS_MAX: Final = 400


def period(pixels: NDArray[np.uint8]) -> tuple[float, float]:
    """Measure the distance of ridges.

    Args:
        pixels: grey, (height, width), at 500 dpi.
    Returns:
        (median distance in pixels, 0 if there is none; share 0..1 of the blocks with contrast that have a clear one).
    """
    lines, columns = pixels.shape[0] // _BLOCK, pixels.shape[1] // _BLOCK
    if not lines or not columns:
        return 0.0, 0.0
    cut = pixels[: lines * _BLOCK, : columns * _BLOCK].reshape(lines, _BLOCK, columns, _BLOCK).swapaxes(1, 2)
    blocks = cut.reshape(-1, _BLOCK, _BLOCK).astype(np.float32)
    contrast = blocks.std(axis=(1, 2))
    order = np.argsort(-contrast)[:_BLOCKS_MAX]
    chosen = blocks[order[contrast[order] > max(_CONTRAST, 0.4 * float(np.percentile(contrast, 90)))]]
    if not len(chosen):
        return 0.0, 0.0
    window = np.hanning(_BLOCK)[:, None] * np.hanning(_BLOCK)[None]
    waves = np.abs(np.fft.rfft2((chosen - chosen.mean(axis=(1, 2), keepdims=True)) * window)) ** 2
    rows, half = np.fft.fftfreq(_BLOCK)[:, None], np.fft.rfftfreq(_BLOCK)[None]
    frequency = np.hypot(rows, half)
    waves[:, frequency < 1.5 / _BLOCK] = 0  # shading
    total = waves.sum(axis=(1, 2)) + 1e-9
    at = waves.reshape(len(waves), -1).argmax(axis=1)
    row, column = np.unravel_index(at, waves.shape[1:])
    near = (rows - rows[row].reshape(-1, 1, 1)) ** 2 + (half - half[0, column].reshape(-1, 1, 1)) ** 2 <= (1.6 / _BLOCK) ** 2
    clear = (waves * near).sum(axis=(1, 2)) / total >= _PEAK_MIN
    centre = (waves * near * frequency).sum(axis=(1, 2)) / np.maximum((waves * near).sum(axis=(1, 2)), 1e-9)
    if not clear.any():
        return 0.0, 0.0
    return float(np.median(1 / centre[clear])), float(clear.mean())


def is_print(pixels: NDArray[np.uint8]) -> bool:
    """Say whether an image at 500 dpi shows ridges at a finger's distance."""
    distance, share = period(pixels)
    return PERIOD_PX[0] <= distance <= PERIOD_PX[1] and share >= CLEAR_SHARE_MIN
