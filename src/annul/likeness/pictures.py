"""Pictures that people send: one list of forms for every room, bounded before they are decoded, grey of 16 bits scaled.

Faces, documents and prints come from phones, scanners and chips. What form a file has is told by its first bytes, not by its
name; a form that is not read is called by its name with what to do instead (phones send HEIC). A picture is brought down to
what a room works with before anything is made of it, so that 50 megapixels are held once, not five times.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from annul.errors import BadInput

FORMS: Final = ("JPEG", "PNG", "WEBP", "JPEG2000", "TIFF", "BMP")
"""Forms that are decoded, as Pillow names them. Source: issue 12 (one list for every room)."""
WORDS: Final = "JPEG, PNG, WebP, JPEG 2000, TIFF or BMP"
LOSSY: Final = ("JPEG", "WEBP")
"""Forms whose compression invents and loses ridges: a fingerprint is not taken in them."""
_BRANDS: Final = {
    b"heic": "HEIC", b"heix": "HEIC", b"heim": "HEIC", b"heis": "HEIC", b"hevc": "HEIC", b"hevx": "HEIC", b"mif1": "HEIC",
    b"msf1": "HEIC", b"avif": "AVIF", b"avis": "AVIF", b"crx ": "CR3 (raw)",
}  # fmt: skip
_MAGICS: Final = (
    (b"GIF8", "GIF"), (b"%PDF", "PDF"), (b"\xff\x0a", "JPEG XL"), (b"\x00\x00\x00\x0cJXL ", "JPEG XL"), (b"<svg", "SVG"),
    (b"II*\x00\x10\x00\x00\x00CR", "CR2 (raw)"), (b"8BPS", "Photoshop"), (b"PK\x03\x04", "ZIP"),
)  # fmt: skip
PHONE_MEND: Final = (
    'Set the camera to "most compatible" (iPhone: Settings, Camera, Formats; others: turn off HEIF), or send it as JPEG.'
)
"""What to do about a form that phones send and nobody else reads."""
_ORIENTATION: Final = 0x0112
_TURNS: Final = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}
"""EXIF's orientation -> Pillow's `Transpose`."""
_HALF: Final = 128
_PER_STEP: Final = 257
"""65,535 / 255: one step of 8 bits in steps of 16."""


def foreign_form(data: bytes) -> str:
    """Return the name of a form that is known by its first bytes but not read here, or ""."""
    if data[4:8] == b"ftyp":
        brands = (data[8:12], *(data[at : at + 4] for at in range(16, min(64, len(data)), 4)))
        return next((_BRANDS[brand] for brand in brands if brand in _BRANDS), "HEIF or a film")
    return next((name for magic, name in _MAGICS if data.startswith(magic)), "")


def refuse_foreign(data: bytes, where: str) -> None:
    """Raise BadInput that names the form and says what to do, if the file is of a form that is known but not read."""
    name = foreign_form(data)
    if not name:
        return
    raise BadInput(f"The sample is {name}, not an image of the formats {WORDS}.", where=where, mend=PHONE_MEND)


def reduced(picture: Any, side_max: int, *, grey: bool = False) -> NDArray[np.uint8]:
    """Decode an opened picture upright and at most `side_max` pixels on its longer side.

    The picture is brought down before it is turned and before its colours are converted, each of which makes a copy.

    Args:
        picture: an opened Pillow image; its size was checked by the caller.
        side_max: pixels.
        grey: return (height, width) instead of (height, width, 3) RGB.
    Raises:
        Whatever the decoder raises; ValueError for samples of a kind that is not read (floating point).
    """
    from PIL import Image

    mode = "L" if grey else "RGB"
    picture.draft(mode, (side_max, side_max))
    picture.load()
    orientation = picture.getexif().get(_ORIENTATION)
    small = eight_bits(picture) if picture.mode.startswith(("I", "F")) else picture
    if small.mode in ("P", "PA", "1"):
        small = small.convert(mode)
    if max(small.size) > side_max:
        small.thumbnail((side_max, side_max), Image.Resampling.LANCZOS, reducing_gap=2.0)
    turned = small.transpose(_TURNS[orientation]) if orientation in _TURNS else small
    return np.asarray(turned.convert(mode), dtype=np.uint8)


def eight_bits(picture: Any) -> Any:
    """Return a grey picture of 16 bits with 8: scaled, where Pillow's own conversion clamps (all above 255 becomes white).

    Raises:
        ValueError: its samples are neither 8 nor 16 bits.
    """
    from PIL import Image

    samples = np.asarray(picture)
    if picture.mode == "F" or (samples.size and (int(samples.min()) < 0 or int(samples.max()) > 0xFFFF)):
        raise ValueError("samples of more than 16 bits")
    # in rows: the whole in 32 bits would weigh four times the picture
    scaled = np.empty(samples.shape, np.uint8)
    for at in range(0, len(samples), 256):
        scaled[at : at + 256] = (samples[at : at + 256].astype(np.uint32) + _HALF) // _PER_STEP
    return Image.fromarray(scaled)
