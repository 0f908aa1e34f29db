"""Draw portraits for the demo and for tests: nobody's face, and not made from one.

Drawn faces of one pattern look like one person to a network that was taught photographs. So these differ in what it looks at
(proportions, hair, glasses, beard), and `DISTINCT` names some that it tells apart as well as photographs of strangers.
"""

from __future__ import annotations

import io
from typing import Any, Final

import numpy as np

DISTINCT: Final = (53, 72, 239, 7, 149, 158, 125)
"""Seeds of portraits any two of which are less alike than strangers' may be to count as suspected (a test holds it)."""
WIDTH: Final = 360
HEIGHT: Final = 480
_FINER: Final = 2
_HAIR: Final = ((24, 20, 18), (52, 34, 24), (96, 62, 38), (150, 112, 70), (128, 126, 124), (206, 204, 200))
_DARK_SKIN: Final = np.array((82, 52, 38))
_LIGHT_SKIN: Final = np.array((246, 214, 190))
_INK: Final = (38, 30, 28)


def portrait(seed: int, *, light: float = 1.0) -> bytes:
    """Draw a head and shoulders, marked as a specimen; JPEG, 360 by 480 pixels.

    Args:
        seed: the same seed is the same face.
        light: brightness; another photograph of the same person has another.
    """
    from PIL import Image, ImageDraw, ImageEnhance, ImageFont

    rng = np.random.default_rng(seed)
    picture = Image.new("RGB", (WIDTH * _FINER, HEIGHT * _FINER), _colour(rng.integers(185, 235, 3)))
    _head(ImageDraw.Draw(picture), rng)
    picture = ImageEnhance.Brightness(picture.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)).enhance(light)
    font = ImageFont.load_default(32)
    ImageDraw.Draw(picture).text((WIDTH // 2, HEIGHT - 24), "SPECIMEN", font=font, fill=(255, 255, 255), anchor="mm")
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=85)
    return out.getvalue()


def _colour(values: Any) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in values)
    return red, green, blue


def _head(draw: Any, rng: np.random.Generator) -> None:
    """Draw from back to front; all lengths in pixels of the finished picture."""

    def length(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    def oval(x: float, y: float, across: float, down: float, fill: Any = None, **more: Any) -> None:
        draw.ellipse([side * _FINER for side in (x - across, y - down, x + across, y + down)], fill=fill, **more)

    def block(left: float, top: float, right: float, low: float, round: float, fill: Any) -> None:
        draw.rounded_rectangle([side * _FINER for side in (left, top, right, low)], round * _FINER, fill=fill)

    tone = length(0, 1)
    skin = _colour(_DARK_SKIN * (1 - tone) + _LIGHT_SKIN * tone)
    shade = _colour(np.array(skin) * 0.78)
    hair, style = _HAIR[rng.integers(len(_HAIR))], length(0, 1)
    middle, top, chin, half = WIDTH / 2, length(85, 120), length(315, 355), length(62, 92)
    eyes, apart, nose = length(195, 225), length(0.36, 0.52) * half, length(255, 282)
    across, down = length(9, 18), length(4, 10)
    mouth, lips = nose + length(18, 34), _colour(np.array(skin) * (0.72, 0.5, 0.5))

    oval(middle, 520, 140, 150, _colour(rng.integers(20, 150, 3)))
    neck = length(0.45, 0.65) * half
    block(middle - neck, 290, middle + neck, 400, 0, shade)
    if style < 0.4:
        block(middle - half - 18, top - 15, middle + half + 18, chin + length(0, 70), 50, hair)
    elif style < 0.85:
        oval(middle, (top + chin) / 2 - 45, half + 10, (chin - top) / 2 - 15, hair)
    for side in (-1, 1):
        oval(middle + side * half, 220, 12, 25, shade)
    oval(middle, (top + chin) / 2, half, (chin - top) / 2, skin)
    jaw = length(0, 0.85) * half
    oval(middle, (250 + chin) / 2, jaw, (chin - 250) / 2, skin)
    thick, rise, above = length(2, 9), length(-7, 7), length(17, 34)
    iris = _colour(rng.integers(20, 110, 3))
    glasses, frame = length(0, 1) < 0.4, length(2, 5)
    for side in (-1, 1):
        x = middle + side * apart
        oval(x, eyes, across, down, (245, 245, 245), outline=_INK, width=2 * _FINER)
        oval(x, eyes, min(across, down) * 0.9, min(across, down) * 0.9, iris)
        brow = (x - side * across * 1.4, eyes - above + rise, x + side * across * 1.5, eyes - above)
        draw.line([part * _FINER for part in brow], fill=hair if style < 0.85 else _INK, width=int(thick * _FINER))
        if glasses:
            oval(x, eyes, across * 1.7, across * 1.4, outline=_INK, width=int(frame * _FINER))
    if glasses:
        across_nose = (middle - apart + across * 0.8, eyes - across, middle + apart - across * 0.8, eyes - across)
        draw.line([part * _FINER for part in across_nose], fill=_INK, width=int(frame * _FINER))
    wide, bearded, moustached = length(9, 24), length(0, 1) < 0.35, length(0, 1) < 0.25
    bridge = ((middle - 3, eyes), (middle + 3, eyes), (middle + wide, nose), (middle - wide, nose))
    draw.polygon([(x * _FINER, y * _FINER) for x, y in bridge], fill=shade)
    if bearded:
        box = [side * _FINER for side in (middle - half * 0.9, nose - 20, middle + half * 0.9, chin + 8)]
        draw.chord(box, 10, 170, fill=hair)
    if moustached:
        oval(middle, (nose + mouth) / 2 + 2, wide * 1.9, (mouth - nose) / 2, hair)
    broad, full = length(18, 42), length(4, 13)
    oval(middle, mouth, broad, full, lips)
    block(middle - broad, mouth - 1, middle + broad, mouth + 1, 0, _INK)
    fringe = length(90, 145)
    if style < 0.85 and length(0, 1) < 0.6:
        box = [side * _FINER for side in (middle - half, top - 10, middle + half, top + fringe)]
        draw.chord(box, 180, 360, fill=hair)
