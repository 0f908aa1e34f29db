"""Fingerprint 1:1: a live scan against enrolled impressions of the holder.

`extract` turns an image into an ISO/IEC 19794-2 record; `compare` takes images or records on either side. Minutiae come from
the LEADER network inside the afis package (run by onnxruntime on one core), the comparison is `minutiae`, quality is NIST's
NFIQ 2. Records of other makers are compared too, with a threshold measured for that kind of pair.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from annul.errors import BadInput, TooLarge
from annul.likeness import minutiae, template
from annul.likeness.attack import Detector, examine
from annul.likeness.calibration import Calibration, packaged
from annul.likeness.comparison import CapturePolicy, Comparison, Result, settle
from annul.likeness.engines import library, version, weights
from annul.likeness.fusion import fuse
from annul.likeness.ridges import is_print
from annul.likeness.samples import Image, Pixels, decode_finger

EXTRACTOR: Final = "LEADER"
DPI: Final = 500.0
ENROLLED_MAX: Final = 24
"""Enrolled views of one person: ten fingers, two impressions each, and some."""
LIVE_MAX: Final = 2
"""Live views of one comparison: one finger, seen twice at most."""
REGION_MAX: Final = (640, 832)
"""Width and height in pixels at 500 dpi of the part that is looked at: a whole fingertip is 1.25 by 1.6 inch."""
RIDGED_MIN: Final = 16
"""Blocks of 0.8 mm with ridges below which the network is not asked: a square of 3 mm is no print."""
RELIABILITY_MIN: Final = 0.3
"""Network output below which a point is no minutia."""
DECISIVE_MINUTIAE: Final = 20
DECISIVE_MM2: Final = 60.0
"""Minutiae of a print, and square millimetres that they span, below which it may have too little in common with another
impression of the same finger to be called unlike it."""
SECOND_LOOK_MAX: Final = 0.8
"""Score of `minutiae.second_look` from which two prints are not called unlike; 95 % of impostors stay below 0.7."""
_BLOCK: Final = 16
_MULTIPLE: Final = 32

OWN: Final = "own"
FOREIGN: Final = "foreign"


class FingerQuality(msgspec.Struct, frozen=True):
    """How usable a print is: number of minutiae, their mean reliability 0..1, foreground in square millimetres, NFIQ 2 score
    0..100 (-1 if it could not be computed, None if it was not asked for)."""

    minutiae: int
    reliability: float
    area_mm2: float
    nfiq2: int | None = None

    def as_floats(self) -> dict[str, float]:
        """Return the values by name, for a comparison's quality."""
        values = {"minutiae": float(self.minutiae), "reliability": self.reliability, "area_mm2": self.area_mm2}
        return values if self.nfiq2 is None else {**values, "nfiq2": float(self.nfiq2)}


@dataclass(frozen=True, slots=True)
class Template:
    """A print to enrol: `record` is ISO/IEC 19794-2:2005 bytes, about 400 bytes, no image."""

    record: bytes
    quality: FingerQuality


def extract(image: bytes, *, position: int = 0, impression: int = 0, dpi: float | None = None, rate: bool = True) -> Template:
    """Make a template from a fingerprint image (PNG, TIFF, BMP, JPEG 2000, WSQ).

    Args:
        image: the file's bytes.
        position: finger code, 0 unknown, 1 right thumb … 10 left little finger.
        impression: number of the impression, 0..15.
        dpi: resolution if the file does not state it; 500 is taken if neither says.
        rate: compute NFIQ 2 too (some 100 ms); for enrolment.

    Raises:
        BadInput, TooLarge: see `samples.decode_finger`; or position or impression out of range.
        MissingPackage: a library is not installed.
    """
    if not (0 <= position <= 10 and 0 <= impression <= 15):
        raise BadInput("The finger position is 0 to 10, the impression 0 to 15.", where="/finger")
    pixels = _at_500_dpi(decode_finger(image), dpi)
    view, quality = _view(pixels, position, impression)
    if rate:
        quality = msgspec.structs.replace(quality, nfiq2=_nfiq2(pixels))
    height, width = pixels.shape
    return Template(template.encode([view], (width, height)), quality)


def compare(
    live: bytes,
    enrolled: Sequence[bytes],
    *,
    calibration: Calibration | None = None,
    fmr: float = 1e-3,
    detectors: Sequence[Detector] = (),
    supervised: bool = False,
    policy: CapturePolicy = CapturePolicy(),  # noqa: B008  frozen
) -> Comparison:
    """Compare one live print with all enrolled prints of the holder; the best one decides.

    Args:
        live: image or ISO/IEC 19794-2 record.
        enrolled: 1 to `ENROLLED_MAX` images or records, of one or several fingers and impressions.
        calibration: thresholds; the packaged ones if None.
        fmr: false match rate wanted for the whole comparison: with n enrolled views each gets fmr / n.
        detectors: presentation-attack detectors to ask; they need an image.
        supervised: the clerk confirms to have watched the capture.
        policy: what the relying party demands.

    Returns:
        Match at or above the threshold; doubtful (no usable trait) down to the threshold that `calibration.doubt` times the
        rate of the measured impostors reached; below no match, if both sides show enough for a match and a second look
        for twisted skin and any turn finds nothing alike either. Too few minutiae on either side is no usable trait.

    Raises:
        BadInput, TooLarge, UnknownVersion: a sample or template is not of its form, or the rate cannot be supported.
        MissingPackage: a library is not installed.
    """
    chosen = packaged("finger") if calibration is None else calibration
    if not enrolled:
        raise BadInput("There is no enrolled print to compare with.", where="/enrolled", mend="Compare the face.")
    if len(enrolled) > ENROLLED_MAX:
        raise TooLarge(f"At most {ENROLLED_MAX} enrolled prints are compared.", where="/enrolled")
    is_record = live[:4] == template.MAGIC or template.card_format(live)
    image = None if is_record else decode_finger(live, where="/live")
    if image is None and detectors:
        raise BadInput("Detectors of attacks need the image, not a template.", where="/live")
    findings = () if image is None else examine(detectors, "finger", (image,))
    scanned = None if image is None else _at_500_dpi(image, None)
    views = template.decode(live, where="/live") if scanned is None else [_view(scanned, 0, 0)[0]]
    if len(views) > LIVE_MAX:
        raise TooLarge(f"At most {LIVE_MAX} live views are compared.", where="/live")
    stored = [v for k, sample in enumerate(enrolled) for v in _views(sample, f"/enrolled/{k}")]
    if len(stored) > ENROLLED_MAX:
        raise TooLarge(f"At most {ENROLLED_MAX} enrolled views are compared.", where="/enrolled")
    least = int(chosen.gate("minutiae_min"))
    usable, shown = ([v for v in some if len(v.minutiae) >= least] for some in (stored, views))
    base = Comparison(
        trait="finger",
        result=Result.NO_USABLE_TRAIT,
        reasons=("few-minutiae",) if not shown else ("reference-unusable",),
        score=None,
        threshold=None,
        claimed_fmr=None,
        decided_by="quality",
        scores={},
        quality={"live": _quality_of(views), "reference": _quality_of(stored)},
        algorithms=algorithms(),
        calibration=f"{chosen.name} {chosen.digest()[:16]}",
        findings=findings,
        supervised=supervised,
    )
    if not (shown and usable):
        return settle(base, policy)
    found = _scored(base, shown, usable, chosen, fmr)
    if found.result is Result.NO_MATCH and (reason := _undecided(shown, usable, stored, scanned)):
        found = msgspec.structs.replace(found, result=Result.NO_USABLE_TRAIT, reasons=(reason,))
    return settle(found, policy)


def _undecided(
    shown: list[template.View], usable: list[template.View], stored: list[template.View], scanned: Pixels | None
) -> str:
    """Return why two prints that do not match must not be called unlike, or "".

    "Not alike" is said only where "alike" could have been said: both sides show enough of a finger, and not even a second look,
    for twisted skin and any turn, finds them alike. For each finger that is enrolled one impression must be good enough.
    """
    if scanned is not None and not is_print(scanned):
        return "few-minutiae"
    first = [minutiae.prepare(v.minutiae) for v in shown]
    second = [minutiae.prepare(v.minutiae) for v in usable]
    if not any(_decisive(each) for each in first):
        return "few-minutiae"
    decided = {v.position for v, each in zip(usable, second, strict=True) if _decisive(each)}
    if decided != {v.position for v in stored}:
        return "reference-unusable"
    return "doubtful" if any(not _unlike_twice(a, b) for a in first for b in second) else ""


def unlike(a: minutiae.Prepared, b: minutiae.Prepared) -> bool:
    """Say whether two prints that score below doubt are called unlike (B1): both show enough, and twice nothing is alike."""
    return _decisive(a) and _decisive(b) and _unlike_twice(a, b)


def _unlike_twice(a: minutiae.Prepared, b: minutiae.Prepared) -> bool:
    return minutiae.second_look(a, b) < SECOND_LOOK_MAX


def _decisive(prepared: minutiae.Prepared) -> bool:
    return len(prepared.minutiae) >= DECISIVE_MINUTIAE and minutiae.extent(prepared) >= DECISIVE_MM2


def load() -> None:
    """Load library and weights now rather than at the first comparison.

    Raises:
        MissingPackage: the library is not installed. Corrupt: the weights are not the pinned ones.
    """
    _leader()


def similarity(a: Sequence[template.View], b: Sequence[template.View]) -> float:
    """Return the highest raw score between views of a and of b (see `minutiae.similarity`)."""
    first, second = [minutiae.prepare(v.minutiae) for v in a], [minutiae.prepare(v.minutiae) for v in b]
    return max((minutiae.similarity(x, y) for x in first for y in second), default=0.0)


def algorithms() -> dict[str, str]:
    """Return the versions of all parts a score depends on."""
    return {
        "extractor": f"{EXTRACTOR} afis {version('afis')}, fused",
        "runtime": f"onnxruntime {version('onnxruntime')}",
        "matcher": f"annul minutiae {minutiae.VERSION}",
        "quality": f"nbis-py {version('nbis-py')}",
    }


def _scored(
    base: Comparison, live: list[template.View], stored: list[template.View], calibration: Calibration, fmr: float
) -> Comparison:
    pairs = len(live) * len(stored)
    prepared = [minutiae.prepare(v.minutiae) for v in live]
    best: tuple[float, float, float, str] | None = None
    scores: dict[str, float] = {}
    for k, view in enumerate(stored):
        against = minutiae.prepare(view.minutiae)
        for j, shown in enumerate(live):
            kind = OWN if view.extractor == shown.extractor == EXTRACTOR else FOREIGN
            tail = calibration.tail(kind)
            score = minutiae.similarity(prepared[j], against)
            threshold = tail.threshold(fmr / pairs)
            scores[f"enrolled-{k + 1}" if len(live) == 1 else f"live-{j + 1}-enrolled-{k + 1}"] = score
            if best is None or score - threshold > best[0]:
                best = (score - threshold, score, tail.counted(fmr * calibration.doubt / pairs), kind)
    if best is None:
        return base
    margin, score, doubtful, kind = best
    if margin >= 0:
        result, reason = Result.MATCH, "alike"
    elif score >= doubtful:
        result, reason = Result.NO_USABLE_TRAIT, "doubtful"
    else:
        result, reason = Result.NO_MATCH, "not-alike"
    return msgspec.structs.replace(
        base,
        result=result,
        reasons=(reason,),
        score=score,
        threshold=score - margin,
        claimed_fmr=fmr,
        decided_by=f"minutiae-{kind}",
        scores=scores,
    )


def _views(sample: bytes, where: str) -> list[template.View]:
    if sample[:4] == template.MAGIC or template.card_format(sample):
        return template.decode(sample, where=where)
    return [_view(_at_500_dpi(decode_finger(sample, where=where), None), 0, 0)[0]]


def _quality_of(views: Sequence[template.View]) -> dict[str, float]:
    best = max(views, key=lambda v: len(v.minutiae))
    mean = float(best.minutiae[:, 3].mean()) if len(best.minutiae) else 0.0
    return {"minutiae": float(len(best.minutiae)), "reliability": mean, "views": float(len(views))}


def _at_500_dpi(image: Image, dpi: float | None) -> Pixels:
    resolution = dpi or image.dpi or DPI
    if abs(resolution - DPI) <= 0.03 * DPI:
        return image.pixels
    images = library("PIL.Image")
    height, width = image.pixels.shape
    size = (max(1, round(width * DPI / resolution)), max(1, round(height * DPI / resolution)))
    return np.asarray(images.fromarray(image.pixels).resize(size, images.Resampling.BICUBIC), dtype=np.uint8)


@lru_cache(maxsize=1)
def _leader() -> Any:
    runtime = library("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors: it warns of constants that the fused nodes left without use
    return runtime.InferenceSession(fuse(weights("leader").read_bytes()), options, providers=["CPUExecutionProvider"])


def _view(pixels: Pixels, position: int, impression: int) -> tuple[template.View, FingerQuality]:
    left, top, width, height, blocks = _region(pixels)
    if blocks < RIDGED_MIN:
        return template.View(position, impression, 0, np.zeros((0, 4)), np.zeros(0, np.uint8), EXTRACTOR), FingerQuality(
            0, 0.0, 0.0
        )
    part = pixels[top : top + height, left : left + width].astype(np.float32)
    padded_shape = [-(-side // _MULTIPLE) * _MULTIPLE for side in part.shape]
    above, before = (padded_shape[0] - height) // 2, (padded_shape[1] - width) // 2
    padded = np.full(padded_shape, part[0, 0], np.float32)
    padded[above : above + height, before : before + width] = part
    output = _leader().run(None, {"input": padded[None, ..., None]})[0][0][above : above + height, before : before + width]
    # channels: heat, direction in radians, kind (>= 0.5 ending), reliability after suppression of neighbours
    rows, columns = np.nonzero(output[..., 3] >= RELIABILITY_MIN)
    found = output[rows, columns].astype(np.float64)
    points = np.stack(
        [columns + float(left), pixels.shape[0] - 1.0 - (rows + top), found[:, 1], np.minimum(found[:, 3], 1)], axis=1
    )
    order = np.argsort(-points[:, 3], kind="stable")[: template.MINUTIAE_MAX]
    kinds = np.where(found[order, 2] >= 0.5, 1, 2).astype(np.uint8)
    mean = float(points[order, 3].mean()) if len(order) else 0.0
    area = blocks * (_BLOCK / DPI * 25.4) ** 2
    quality = FingerQuality(len(order), round(mean, 4), round(area, 1))
    return template.View(position, impression, round(mean * 100), points[order], kinds, EXTRACTOR), quality


def _region(pixels: Pixels) -> tuple[int, int, int, int, int]:
    """Find the finger: (left, top, width, height) around blocks with ridges, and how many such blocks there are."""
    height, width = pixels.shape
    lines, columns = height // _BLOCK, width // _BLOCK
    blocks = pixels[: lines * _BLOCK, : columns * _BLOCK].reshape(lines, _BLOCK, columns, _BLOCK).astype(np.float32)
    contrast = blocks.std(axis=(1, 3))
    ridged = contrast > max(8.0, 0.3 * float(np.percentile(contrast, 90)))
    top, bottom = _span(ridged.sum(1), lines)
    left, right = _span(ridged.sum(0), columns)
    box = [left * _BLOCK, top * _BLOCK, min(width, right * _BLOCK), min(height, bottom * _BLOCK)]
    if right == columns:
        box[2] = width
    if bottom == lines:
        box[3] = height
    for low, high, most in ((0, 2, REGION_MAX[0]), (1, 3, REGION_MAX[1])):
        excess = box[high] - box[low] - most
        if excess > 0:
            box[low] += excess // 2
            box[high] = box[low] + most
    return box[0], box[1], box[2] - box[0], box[3] - box[1], int(ridged.sum())


def _span(counts: NDArray[np.int64], whole: int) -> tuple[int, int]:
    """Return first and last + 1 block line with at least two ridged blocks, one more on each side."""
    lines = np.nonzero(counts >= 2)[0]
    return (max(0, int(lines[0]) - 1), min(whole, int(lines[-1]) + 2)) if len(lines) else (0, whole)


@lru_cache(maxsize=1)
def _nbis() -> Any:
    nbis = library("nbis")
    settings = nbis.NbisExtractorSettings(
        min_quality=0.0, get_center=False, check_fingerprint=False, compute_nfiq2=True, ppi=None
    )
    return nbis.new_nbis_extractor(settings)


def _nfiq2(pixels: Pixels) -> int:
    """Return the NFIQ 2 score 0..100, -1 where NIST's code cannot compute one. Source: ISO/IEC 29794-4."""
    try:
        score = _nbis().extract_minutiae(as_png(pixels)).quality().score
    except library("nbis").NbisError:
        return -1
    return int(score) if math.isfinite(score) else -1


def as_png(pixels: Pixels) -> bytes:
    """Return grey pixels as a PNG of 500 dpi, in memory."""
    buffer = io.BytesIO()
    library("PIL.Image").fromarray(pixels).save(buffer, "PNG", dpi=(DPI, DPI), compress_level=1)
    return buffer.getvalue()
