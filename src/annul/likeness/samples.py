"""Samples of a bearer: bytes in, bounded pixels out, nothing kept.

A sample is an image file or a template that somebody else made: it may be hostile. The header is read before anything is
allocated, the formats are a short list, and every limit is a named constant. Errors never hold a byte of the sample.
"""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from annul.errors import BadInput, TooLarge
from annul.likeness.engines import library
from annul.likeness.pictures import FORMS, LOSSY, WORDS, reduced, refuse_foreign

Pixels = NDArray[np.uint8]

SAMPLE_BYTES_MAX: Final = 16 * 1024 * 1024
"""Bytes of one sample; a 24-megapixel JPEG photo is about 10 MB."""
FACE_PIXELS_MAX: Final = 25_000_000
"""Pixels of one face photo: 24 megapixels is what usual phone cameras give."""
FINGER_PIXELS_MAX: Final = 2_000_000
"""Pixels of one fingerprint image: a whole fingertip at 1,000 dpi has about 2 million."""
SIDE_MIN: Final = 48
"""Pixels of the shorter side below which no trait can be in the image."""
FACE_SIDE_MAX: Final = 2048
"""Pixels of the longer side a face photo is reduced to after decoding."""
WSQ_MAGIC: Final = b"\xff\xa0"
DPI_RANGE: Final = (250.0, 1200.0)
"""Resolutions that are believed when a file states them; scanners' software often writes 1, 72 or 96 without meaning it."""
CHILD_SECONDS: Final = 5
CHILD_MEMORY_BYTES: Final = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Image:
    """Decoded pixels, uint8, shape (height, width) for grey or (height, width, 3) for RGB; `dpi` is None when not stated."""

    pixels: Pixels
    dpi: float | None


def decode_face(sample: bytes, *, where: str = "/face") -> Image:
    """Decode a face photo (`pictures.FORMS`) to RGB, upright, at most `FACE_SIDE_MAX` on its longer side.

    Args:
        sample: the file's bytes.
        where: JSON pointer for errors.

    Raises:
        TooLarge: more bytes or pixels than allowed.
        BadInput: not an image of these formats, truncated, or smaller than `SIDE_MIN`.
    """
    picture = _open(sample, FACE_PIXELS_MAX, where)
    return Image(_guarded(lambda: reduced(picture, FACE_SIDE_MAX), where), None)


def decode_finger(sample: bytes, *, where: str = "/finger") -> Image:
    """Decode a fingerprint image (PNG, TIFF, BMP, JPEG 2000, WSQ) to 8-bit grey.

    Args:
        sample: the file's bytes.
        where: JSON pointer for errors.

    Raises:
        TooLarge: more bytes or pixels than allowed.
        BadInput: not an image of these formats, truncated, not 8 bits a sample, or smaller than `SIDE_MIN`.
    """
    if sample[:2] == WSQ_MAGIC:
        return _decode_wsq(sample, where)
    picture = _open(sample, FINGER_PIXELS_MAX, where)
    if picture.format in LOSSY:
        raise BadInput(
            f"The fingerprint image is a {picture.format} file, whose compression changes ridges.",
            where=where,
            mend="Send PNG, TIFF, BMP, JPEG 2000 or WSQ, as the scanner gave it.",
        )
    if picture.mode.startswith(("I", "F")):
        raise BadInput("The fingerprint image has more than 8 bits a sample.", where=where, mend="Send 8-bit grey.")
    stated = picture.info.get("dpi")

    def read() -> Pixels:
        return np.asarray(picture.convert("L"), dtype=np.uint8)

    return Image(_guarded(read, where), _believed_dpi(stated[0] if isinstance(stated, tuple) and stated else None))


def _believed_dpi(stated: Any) -> float | None:
    try:
        dpi = float(stated)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return dpi if DPI_RANGE[0] <= dpi <= DPI_RANGE[1] else None


def _check_size(width: int, height: int, pixels_max: int, where: str) -> None:
    if width * height > pixels_max:
        raise TooLarge(
            f"The image has {width} x {height} pixels; at most {pixels_max:,} pixels are taken.",
            where=where,
            mend="Reduce the image before sending it.",
        )
    if min(width, height) < SIDE_MIN:
        raise BadInput(
            f"The image has {width} x {height} pixels; at least {SIDE_MIN} on each side are needed.",
            where=where,
            mend="Take the sample again.",
        )


def _check_bytes(sample: bytes, where: str) -> None:
    if len(sample) > SAMPLE_BYTES_MAX:
        raise TooLarge(f"The sample is larger than {SAMPLE_BYTES_MAX:,} bytes.", where=where, mend="Compress the image.")
    if not sample:
        raise BadInput("The sample is empty.", where=where, mend="Take the sample again.")


def _open(sample: bytes, pixels_max: int, where: str) -> Any:
    _check_bytes(sample, where)
    refuse_foreign(sample, where)
    images = library("PIL.Image")

    def read() -> Any:
        return images.open(io.BytesIO(sample), formats=FORMS)

    picture = _guarded(read, where, f"The sample is not an image of the formats {WORDS}.")
    width, height = picture.size
    _check_size(width, height, pixels_max, where)
    return picture


def _guarded(read: Any, where: str, message: str = "The image is truncated or damaged.") -> Any:
    """Run a decoder; whatever it raises becomes one BadInput, or TooLarge for a bomb, without a trace of the sample."""
    damaged: BadInput | TooLarge
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return read()
    except library("PIL.Image").DecompressionBombError:
        damaged = TooLarge("The image unpacks to far more than is taken.", where=where, mend="Reduce it before sending it.")
    except Exception:  # noqa: BLE001  decoders raise anything on hostile bytes; the cause may quote them
        damaged = BadInput(message, where=where, mend="Take the sample again, or send it in another format.")
    raise damaged


# WSQ. The only decoder at hand is NIST's C code of 1998: of 6,000 mutated files 13 made it write outside its memory. So it
# runs in a child process that owns nothing, with limits on memory, time and files; the sample goes through pipes only.
_CHILD: Final = """
import resource, sys
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
resource.setrlimit(resource.RLIMIT_CPU, ({seconds}, {seconds}))
resource.setrlimit(resource.RLIMIT_AS, ({memory}, {memory}))
sys.path.insert(0, {folder!r})
import _wsq
pixels, width, height, ppi = _wsq.decompress(sys.stdin.buffer.read())
sys.stdout.buffer.write(b"%d %d %d\\n" % (width, height, ppi) + pixels)
"""


def _wsq_size(sample: bytes) -> tuple[int, int] | None:
    """Return (width, height) of the frame header, None if there is none. Source: CJIS WSQ specification 3.1, annex B."""
    at = 2
    for _ in range(64):
        if at + 4 > len(sample):
            return None
        marker, length = struct.unpack_from(">HH", sample, at)
        if marker == 0xFFA2:
            if at + 10 > len(sample):
                return None
            height, width = struct.unpack_from(">HH", sample, at + 6)
            return int(width), int(height)
        if not 0xFFA3 <= marker <= 0xFFA8 or length < 2:
            return None
        at += 2 + length
    return None


def _decode_wsq(sample: bytes, where: str) -> Image:
    _check_bytes(sample, where)
    damaged = BadInput("The WSQ file is truncated or damaged.", where=where, mend="Take the fingerprint again.")
    size = _wsq_size(sample)
    if size is None:
        raise damaged
    _check_size(size[0], size[1], FINGER_PIXELS_MAX, where)
    folder = str(Path(library("_wsq").__file__).parent)
    code = _CHILD.format(seconds=CHILD_SECONDS, memory=CHILD_MEMORY_BYTES, folder=folder)
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", code],
            input=sample,
            capture_output=True,
            timeout=2 * CHILD_SECONDS,
            check=False,
            env={},
            close_fds=True,
        )
    except (subprocess.TimeoutExpired, OSError):
        raise damaged from None
    head, _, body = done.stdout.partition(b"\n")
    if done.returncode != 0 or head.split()[:2] != [b"%d" % size[0], b"%d" % size[1]] or len(body) != size[0] * size[1]:
        raise damaged
    pixels = np.frombuffer(body, dtype=np.uint8).reshape(size[1], size[0])
    return Image(pixels, _believed_dpi(head.split()[2].decode("ascii", "replace")))
