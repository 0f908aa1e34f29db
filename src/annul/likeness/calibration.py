"""Which score means a match: calibration files, made by the bench from measured scores, chosen by a stated FMR.

A calibration holds, for each kind of comparison, what impostors scored: thresholds counted at round rates, and a law of the
far tail. Two fingers or faces that are alike by chance make many high scores at once, so what counts is how many pairs of
subjects were measured, not how many pairs of images. With many pairs of subjects an exponential is fitted to the highest
scores. With few the pair that is alike may not be among them: then a Gumbel law is fitted to the highest score of each pair of
subjects, and a rate is claimed as if all scores of such a pair were so high. Either law is taken at its upper 95 % confidence
limit, over subjects. Nothing here is a literal: a file without measured sets is refused.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from annul.errors import BadInput, UnknownVersion

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

VERSION: Final = 2
EXTRAPOLATION_MAX: Final = 10.0
"""How far below one false match in all comparisons a rate may still be stated."""
MEASURED_RATES: Final = (1e-1, 5e-2, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4)
PAIRS_PLENTY: Final = 150
"""Pairs of subjects from which the law of comparisons is used: a kind of pair that is one in fifty is then among them with a
probability of 95 % (ln 0.05 / ln 0.98)."""
BOUND: Final = 0.95
BOUND_Z: Final = 1.645
"""Confidence of the upper limit that thresholds are taken at, and its normal quantile."""
TAIL_SHARE: Final = 0.05
"""Share of the impostor scores, the highest, that the law of comparisons is fitted to, …"""
TAIL_COUNT: Final = (20, 200)
"""… but at least and at most so many scores: the far tail is what the threshold lies in."""
DRAWS: Final = 300
BOUND_AT: Final = 1e-3
"""Draws of subjects for the upper limit of the law of comparisons, and the rate at whose threshold they are ranked."""
COMPARISONS_MIN: Final = 200
PAIRS_MIN: Final = 6
"""Impostor comparisons, and pairs of subjects, below which nothing is fitted; four subjects make six pairs."""


class Tail(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Impostor scores of one kind of comparison.

    comparisons, pairs, subjects: how many were measured; law: "pairs", the highest score of a pair of subjects has a Gumbel law
    with location `start` and `scale` (`share` is 1), or "comparisons", P(score >= t) is share * exp(-(t - start) / scale) from
    `start` on; measured: (rate, threshold) pairs counted from all scores.
    """

    comparisons: int
    pairs: int
    subjects: int
    law: Literal["pairs", "comparisons"]
    start: float
    share: float
    scale: float
    measured: tuple[tuple[float, float], ...]

    def threshold(self, fmr: float) -> float:
        """Return the score at and above which a comparison is a match, for a false match rate 0 < `fmr` <= 0.1.

        Never below the threshold counted at the next higher round rate.

        Raises:
            BadInput: the rate is lower than the measured set can support, or out of range.

        Source: Gumbel, Statistics of Extremes (1958); variance of a quantile of the fitted law: Johnson, Kotz, Balakrishnan,
        Continuous Univariate Distributions 2 (1995), chapter 22.
        """
        least = 1 / (EXTRAPOLATION_MAX * self.comparisons)
        if not least <= fmr <= 0.1:
            raise BadInput(
                f"The calibration supports false match rates from {least:.1e} to 0.1.",
                where="/fmr",
                mend="State a rate in this range, or calibrate on more comparisons.",
            )
        if self.law == "pairs":
            reduced = -math.log(-math.log1p(-fmr))
            error = math.sqrt((1.109 + 0.514 * reduced + 0.608 * reduced**2) / self.subjects)
            fitted = self.start + self.scale * (reduced + BOUND_Z * error)
        elif fmr < self.share:
            fitted = self.start + self.scale * math.log(self.share / fmr)
        else:  # before the tail
            return self.counted(fmr)
        return max([fitted, *(t for rate, t in self.measured if rate >= fmr)])

    def counted(self, rate: float) -> float:
        """Return the threshold counted at the next lower round rate, or at the lowest: where doubt or refusal begins."""
        return min([t for known, t in self.measured if known <= rate], default=max(t for _, t in self.measured))


class MeasuredSet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One set of samples the scores came from; counts only, never a sample."""

    name: str
    subjects: int
    samples: int
    genuine: int
    impostor: int


class Calibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One versioned calibration file.

    tails: kind of comparison -> impostor tail; gates: quality limit -> value; algorithms: part -> version the scores were
    made with; doubt: how many times the claimed FMR still counts as doubtful, not as a mismatch.
    """

    version: int
    trait: Literal["face", "finger"]
    name: str
    made_on: str
    algorithms: dict[str, str]
    sets: Annotated[tuple[MeasuredSet, ...], msgspec.Meta(min_length=1)]
    tails: dict[str, Tail]
    gates: dict[str, float]
    doubt: float = 10.0

    def digest(self) -> str:
        """Return the SHA-256 (hex) of the calibration's canonical JSON: names the exact file a result came from."""
        return hashlib.sha256(msgspec.json.encode(self, order="deterministic")).hexdigest()

    def gate(self, name: str) -> float:
        """Return the quality limit `name`. Raises BadInput if the file has none."""
        try:
            return self.gates[name]
        except KeyError:
            raise BadInput(
                f"The calibration has no quality limit {name}.", where="/calibration", mend="Make it anew."
            ) from None

    def tail(self, kind: str) -> Tail:
        """Return the impostor tail of one kind of comparison. Raises BadInput if the file has none."""
        try:
            return self.tails[kind]
        except KeyError:
            raise BadInput(
                f"The calibration has no scores of kind {kind}.", where="/calibration", mend="Make it anew."
            ) from None


def parse(data: bytes) -> Calibration:
    """Read a calibration file.

    Raises:
        UnknownVersion: made for another version of this format.
        BadInput: not a calibration file.
    """
    try:
        found = msgspec.json.decode(data, type=Calibration)
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as wrong:
        raise BadInput(f"The calibration file is not valid: {wrong}.", where="/calibration") from None
    if found.version != VERSION:
        raise UnknownVersion(f"The calibration file has version {found.version}, known is {VERSION}.", where="/calibration")
    return found


@lru_cache(maxsize=4)
def packaged(trait: Literal["face", "finger"]) -> Calibration:
    """Return the calibration that comes with the package."""
    return parse(resources.files("annul.likeness").joinpath("calibrations", f"{trait}.json").read_bytes())


def load(path: Path) -> Calibration:
    """Read a calibration of your own from `path`."""
    return parse(path.read_bytes())


def dump(calibration: Calibration) -> bytes:
    """Write a calibration as the bytes of its file (indented JSON, stable order)."""
    return msgspec.json.format(msgspec.json.encode(calibration, order="deterministic"), indent=1) + b"\n"


def fit(impostor: Sequence[float] | Floats, subjects: tuple[Ints, Ints]) -> Tail:
    """Fit the tail of measured impostor scores (any order).

    Args:
        impostor: one score a comparison.
        subjects: numbers of the two subjects of each comparison.

    Raises:
        BadInput: fewer than `COMPARISONS_MIN` scores or `PAIRS_MIN` pairs of subjects.
    """
    scores = np.asarray(impostor, dtype=np.float64)
    n = len(scores)
    known, places = np.unique(np.concatenate(subjects), return_inverse=True)
    low, high = np.minimum(places[:n], places[n:]), np.maximum(places[:n], places[n:])
    pairs, belongs = np.unique(low * len(known) + high, return_inverse=True)
    if n < COMPARISONS_MIN or len(pairs) < PAIRS_MIN:
        raise BadInput(
            f"{n} impostor comparisons of {len(pairs)} pairs of subjects are too few; at least {COMPARISONS_MIN} of "
            f"{PAIRS_MIN} pairs are needed.",
            where="/impostor",
        )
    descending = np.sort(scores)[::-1]
    measured = tuple((rate, counted_threshold(descending, rate)) for rate in MEASURED_RATES if rate * n >= 1)
    law: Literal["pairs", "comparisons"] = "comparisons" if len(pairs) >= PAIRS_PLENTY else "pairs"
    if law == "pairs":
        highest = np.full(len(pairs), -np.inf)
        np.maximum.at(highest, belongs, scores)
        share, (start, scale) = 1.0, _gumbel(highest)
    else:
        start = float(descending[min(max(int(n * TAIL_SHARE), TAIL_COUNT[0]), TAIL_COUNT[1])])
        share, scale = _bound(scores, start, places[:n], places[n:])
    return Tail(n, len(pairs), len(known), law, round(start, 6), round(share, 6), round(scale, 6), measured)


def _bound(scores: Floats, start: float, first: Ints, second: Ints) -> tuple[float, float]:
    """Return share and scale of the draw of subjects, with replacement, whose threshold is at the upper limit."""
    count = int(max(first.max(), second.max())) + 1
    rng = np.random.default_rng(0)
    over, excess = scores > start, np.maximum(scores - start, 0)
    drawn: list[tuple[float, float, float]] = []
    for _ in range(DRAWS):
        times = rng.multinomial(count, np.full(count, 1 / count))
        weight = (times[first] * times[second]).astype(np.float64)
        above = float(weight @ over)
        if above > 0:
            share, scale = above / float(weight.sum()), max(float(weight @ excess) / above, 1e-6)
            drawn.append((scale * math.log(share / BOUND_AT), share, scale))
    drawn.sort()
    return drawn[min(len(drawn) - 1, int(BOUND * len(drawn)))][1:]


def _gumbel(highest: Floats) -> tuple[float, float]:
    """Return location and scale of the Gumbel law that fits best (maximum likelihood, by damped fixed-point steps)."""
    least = float(highest.min())
    above = highest - least
    scale = max(float(highest.std()) * math.sqrt(6) / math.pi, 1e-6)
    for _ in range(200):
        weight = np.exp(-above / scale)
        better = max(float(above.mean() - (above * weight).sum() / weight.sum()), 1e-6)
        if abs(better - scale) < 1e-9:
            break
        scale = (scale + better) / 2
    return least - scale * math.log(float(np.exp(-above / scale).mean())), scale


def counted_threshold(descending: Floats, rate: float) -> float:
    """Return the least threshold at which at most `rate` of the scores (sorted, highest first) are at or above it."""
    allowed = int(rate * len(descending))
    return float(np.nextafter(descending[allowed], np.inf)) if allowed < len(descending) else float(descending[-1])


def interval(errors: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the Clopper-Pearson interval of a rate; (0, 1) without trials.

    Trials of one subject are not independent, so the true interval is wider: state the number of subjects beside it.
    """
    if trials == 0:
        return 0.0, 1.0
    alpha = (1 - confidence) / 2

    def tail(p: float, least: int) -> float:
        """P(X >= least) for X ~ Binomial(trials, p)."""
        if least <= 0:
            return 1.0
        if p <= 0:
            return 0.0
        if p >= 1:
            return 1.0
        whole = math.lgamma(trials + 1)
        parts = (
            whole - math.lgamma(k + 1) - math.lgamma(trials - k + 1) + k * math.log(p) + (trials - k) * math.log1p(-p)
            for k in range(least)
        )
        return max(0.0, 1 - math.fsum(math.exp(part) for part in parts))

    def solve(least: int, wanted: float) -> float:
        low, high = 0.0, 1.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if tail(middle, least) < wanted else (low, middle)
        return (low + high) / 2

    lower = 0.0 if errors == 0 else solve(errors, alpha)
    upper = 1.0 if errors == trials else solve(errors + 1, 1 - alpha)
    return lower, upper
