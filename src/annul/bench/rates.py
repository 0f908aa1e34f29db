"""What a measurement of comparisons tells: error rates with their intervals, times, and how they are printed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from annul.likeness import calibration
from annul.likeness.calibration import Calibration

Floats = NDArray[np.float64]


Flags = NDArray[np.bool_]


Say = Callable[[str], None]


FMR: Final = 1e-3


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


def begin() -> Took:
    return Took(time.perf_counter(), time.process_time())


def since(started: Took) -> Took:
    now = begin()
    return Took(now.clock_s - started.clock_s, now.processor_s - started.processor_s)


class Report(msgspec.Struct, frozen=True):
    """All that was measured, ready for JSON; `calibrations` holds what the same scores give as calibration files."""

    rows: tuple[Row, ...]
    timings: tuple[Timing, ...]
    notes: tuple[str, ...]
    calibrations: tuple[Calibration, ...]


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


def timing(what: str, took: Sequence[Took]) -> Timing:
    """Sum up what several runs of the same took."""
    if not took:
        return Timing(what, 0, 0.0, 0.0)
    clock, processor = ([getattr(each, name) for each in took] for name in ("clock_s", "processor_s"))
    found = [1e3 * float(np.percentile(each, share)) for each in (clock, processor) for share in (50, 95)]
    return Timing(what, len(took), *found)
