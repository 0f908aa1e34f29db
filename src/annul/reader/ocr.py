"""Text in photos: bounded image decoding, text lines, and the recogniser's own probabilities.

The network and its weights are rapidocr's (in its wheel, nothing is fetched). Its angle classifier stays off: it turns
machine-readable zones upside down. For zones the plain text is not enough: `emissions` gives what the network saw at
each place, so that the zone's grammar can decide (`zone_photo`).
"""

from __future__ import annotations

import hashlib
import io
import os
import struct
import threading
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from annul.errors import Corrupt, MissingPackage, TooLarge
from annul.likeness.pictures import FORMS, PHONE_MEND, WORDS, foreign_form, reduced
from annul.reader.faults import Unreadable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

IMAGE_MAX_BYTES = 25 * 1024 * 1024
IMAGE_MAX_PIXELS = 60_000_000
"""Phones take up to 50 megapixels; decoded this is 180 MB, and it is scaled down at once."""
IMAGE_MIN_SIDE = 120
WORK_MAX_SIDE = 1600
"""Longest side in pixels that text is looked for in: a zone of 44 characters then has about 30 pixels each."""
FILLERS = "<«‹＜〈《≪くく＜﹤≤く"
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ<"
WEIGHTS: Final = {
    "models/PP-OCRv6_det_small.onnx": "090f04abcd9d9a7498bc4ebf677e4cb9bdce1fe4197ddb7e529f1ef44e1ff94f",
    "models/PP-OCRv6_rec_small.onnx": "6f327246b50388f3c176ae304bd95767ea6dc0c9ae92153ef8cbe210b3c14884",
}
"""Files of rapidocr 3.10 that are loaded -> their SHA-256."""
_FLOOR = 1e-5
"""Least probability of any character at any place: no network is surer than that."""


@dataclass(frozen=True, slots=True, repr=False)
class TextLine:
    """One line of text in an image.

    Attributes:
        corners: 4 x 2 pixel coordinates: top left, top right, bottom right, bottom left.
        text: as recognised, or "".
    """

    corners: NDArray[np.float64]
    text: str


def decode_image(data: bytes) -> NDArray[np.uint8]:
    """Decode a photo into rows x columns x (blue, green, red), turned upright as its camera noted.

    Size is read from the header before anything is decoded.

    Raises:
        TooLarge: more bytes or pixels than the limits. Unreadable: no image, or too small to hold text.
    """
    import numpy as np

    try:
        from PIL import Image
    except ImportError as error:
        raise _missing() from error
    if len(data) > IMAGE_MAX_BYTES:
        raise TooLarge(f"The photo is larger than {IMAGE_MAX_BYTES >> 20} MiB.", where="/photo", mend="Send a smaller one.")
    if name := foreign_form(data):
        raise Unreadable(f"The photo is {name}, not an image of the formats {WORDS}.", where="/photo", mend=PHONE_MEND)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of bombs and bad EXIF: both are dealt with here
            with Image.open(io.BytesIO(data), formats=FORMS) as image:
                width, height = image.size
                if width * height > IMAGE_MAX_PIXELS:
                    raise _too_many_pixels()
                if min(width, height) < IMAGE_MIN_SIDE:
                    raise Unreadable("The photo is too small to hold text.", where="/photo", mend="Take a larger one.")
                upright = reduced(image, 2 * WORK_MAX_SIDE)
    except Image.DecompressionBombError as error:
        raise _too_many_pixels() from error
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, KeyError, struct.error) as error:
        raise Unreadable("The photo cannot be decoded.", where="/photo", mend=f"Send a file of the forms {WORDS}.") from error
    return np.ascontiguousarray(upright[:, :, ::-1])


def _too_many_pixels() -> TooLarge:
    return TooLarge(
        f"The photo has more than {IMAGE_MAX_PIXELS // 10**6} megapixels.",
        where="/photo",
        mend="Take it with a lower resolution.",
    )


def _missing() -> MissingPackage:
    return MissingPackage(
        "Reading photos needs the packages rapidocr, onnxruntime, opencv-python-headless and pillow.",
        mend="pip install 'annul[reader]'",
    )


def _require_pinned(package: Path) -> None:
    """Refuse weights that are not the ones this annul was measured with.

    Raises:
        Corrupt: a file is missing or another one.
    """
    for name, digest in WEIGHTS.items():
        try:
            with (package / name).open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            found = ""
        if found != digest:
            raise Corrupt("The weights are not the pinned file.", where=name, mend="Install the pinned version again.")


class TextReader:
    """Find and recognise text. One instance is enough; it may be used from several threads.

    Args:
        threads: threads of the network.
    """

    def __init__(self, *, threads: int = 1) -> None:
        self._threads = threads
        self._lock = threading.Lock()
        self._engine: Any = None
        self._columns: Any = None

    def _ready(self) -> Any:
        with self._lock:
            if self._engine is None:
                # onnxruntime reports its use to its maker unless told not to before it is loaded.
                os.environ["ORT_DISABLE_TELEMETRY"] = "1"
                try:
                    import rapidocr
                    from rapidocr import RapidOCR
                except ImportError as error:
                    raise _missing() from error
                _require_pinned(Path(rapidocr.__file__).parent)
                self._engine = RapidOCR(
                    params={
                        "Global.log_level": "critical",
                        "Global.use_cls": False,
                        "EngineConfig.onnxruntime.intra_op_num_threads": self._threads,
                        "EngineConfig.onnxruntime.inter_op_num_threads": 1,
                    }
                )
            return self._engine

    def lines(self, image: NDArray[np.uint8], *, recognise: bool = True) -> list[TextLine]:
        """Return the lines of text, top to bottom.

        Args:
            image: rows x columns x 3; scaled to `WORK_MAX_SIDE` for finding lines, corners are those of the image given.
            recognise: read the text too; otherwise only find where lines are (a third of the time).
        """
        import cv2
        import numpy as np

        engine = self._ready()
        factor = min(1.0, WORK_MAX_SIDE / max(image.shape[:2]))
        work = image if factor == 1.0 else cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        with self._lock:
            found = engine(work, use_det=True, use_cls=False, use_rec=recognise)
        boxes = getattr(found, "boxes", None)
        if boxes is None:
            return []
        texts = found.txts if recognise and found.txts else [""] * len(boxes)
        lines = [TextLine(np.asarray(box, np.float64) / factor, text) for box, text in zip(boxes, texts, strict=True)]
        return sorted(lines, key=lambda line: float(line.corners[:, 1].mean()))

    def emissions(self, strips: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float64]]:
        """Return what the network sees in each strip.

        Args:
            strips: images of one line each, 48 pixels high, any width.
        Returns:
            For each strip places x 38 probabilities: the 37 characters of a zone (in the order of
            `annul.records.mrz.ALPHABET`), then "nothing". Look-alikes of the filler count as fillers, small letters as
            capitals; every value is at least 1e-5 before each row is made to sum to 1.
        """
        import numpy as np

        recogniser = self._ready()._load_rec_model()
        if self._columns is None:
            self._columns = _columns(recogniser.postprocess_op.character)
        indices, targets = self._columns
        out = []
        for strip in strips:
            batch = (strip.astype(np.float32).transpose(2, 0, 1) / 127.5 - 1.0)[None]
            with self._lock:
                seen = np.asarray(recogniser.session(batch), np.float64).reshape(-1, len(recogniser.postprocess_op.character))
            merged = np.zeros((seen.shape[0], 38))
            np.add.at(merged.T, targets, seen[:, indices].T)
            merged += _FLOOR
            out.append(merged / merged.sum(1, keepdims=True))
        return out


def ways_up(lines: Sequence[TextLine]) -> tuple[int, ...]:
    """Return by how many quarters to turn an image so that its lines may be upright: most likely first.

    Nothing for an image without text.
    """
    if not lines:
        return ()
    upright = sum(_extent(line.corners[:, 0]) - _extent(line.corners[:, 1]) for line in lines)
    return (0, 2) if upright >= 0 else (1, 3)


def _extent(values: NDArray[np.float64]) -> float:
    return float(values.max() - values.min())


def _columns(characters: Sequence[str]) -> tuple[Any, Any]:
    """Map the network's alphabet to the zone's: (columns taken, columns they are added to)."""
    import numpy as np

    indices, targets = [0], [37]
    for index, character in enumerate(characters):
        target = -1
        if character in FILLERS:
            target = 36
        elif len(character) == 1 and character.isascii() and character.isalnum():
            target = _ALPHABET.index(character.upper())
        if target >= 0:
            indices.append(index)
            targets.append(target)
    return np.asarray(indices), np.asarray(targets)
