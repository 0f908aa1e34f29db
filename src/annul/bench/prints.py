"""Measure fingerprints on sets of files `FINGER_IMPRESSION.tif` (FVC2002 set B), and calibrate on them.

Thresholds are fitted on one half of the subjects and reported on the other, both ways round, by the same rule that `compare`
uses; beside it stands the figure counted over all pairs. Because one halving of ten fingers proves little, prints are also
halved in all 252 ways, and tried with the thresholds of the other sets.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from annul.bench.rates import FMR, Flags, Floats, Rate, Row, Say, Timing, Took, begin, rate, since, timing
from annul.errors import NotFound
from annul.likeness import calibration, finger, minutiae, template
from annul.likeness.calibration import Calibration, MeasuredSet, Tail
from annul.likeness.engines import library
from annul.likeness.samples import decode_finger

ONE_IMPRESSION: Final = "annul, one impression"


MINUTIAE_LEAST: Final = 6
"""Quality limit written into the fingerprint calibration: fewer minutiae cannot reach the threshold."""


PEOPLE_OF_A_SET: Final = 1_000_000
"""Added to the subject numbers of each further set, so that people of different sets are different people."""


class _Scores(msgspec.Struct, frozen=True):
    """Scores of all pairs i < j of one set: `subjects` (n,), `matrix` (n, n) upper triangle used, -1 where unusable."""

    name: str
    subjects: Any
    matrix: Any
    unusable: int

    def pairs(self) -> tuple[Floats, Flags, NDArray[np.int64], NDArray[np.int64]]:
        first, second = np.triu_indices(len(self.subjects), 1)
        return self.matrix[first, second], self.subjects[first] == self.subjects[second], first, second


def halves(subjects: NDArray[np.int64]) -> tuple[Flags, Flags]:
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
    for fit_on, report_on in itertools.permutations(halves(scores.subjects)):
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
        started = begin()
        record = finger.extract(data, rate=False).record
        extract_s.append(since(started))
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
        started = begin()
        score = minutiae.similarity(own[i], own[j])
        match_s.append(since(started))
        if min(len(own[i].minutiae), len(own[j].minutiae)) >= MINUTIAE_LEAST:
            found["own"][i, j] = score
            found["unlike"][i, j] = score < doubtful and finger.unlike(own[i], own[j])
        found["foreign"][i, j] = minutiae.similarity(own[i], foreign[j])
        found["baseline"][i, j] = raw[i].compare(raw[j])
    return {**found, "unusable": unusable}, extract_s, match_s


def measure_fingers(
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
