"""Compare shares fairly: control limits that are as wide as a count is small, wider still where places differ anyway.

A branch that checks 9 of 10 is not worse than one that checks 960 of 1,000: chance alone does that. So each share is laid
beside the limits within which chance keeps it (95 % and 99.8 %), by its own number of events; and where all places vary more
than chance says (over-dispersion), the limits are widened by as much. Nobody is ranked.

Source: D. J. Spiegelhalter, Funnel plots for comparing institutional performance, Statistics in Medicine 24 (2005), 1185-1202:
exact limits of a proportion (A.1.1), multiplicative over-dispersion from winsorised z-scores (2.4.1; 10 % at each end).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Final

import msgspec
import numpy as np

EXACT_MAX: Final = 20_000
"""Events up to which limits are exact; above, the normal law differs by less than a thousandth of a share."""
INNER: Final = 0.025
"""Tail beyond the inner limits, on each side: 95 % lie between them."""
OUTER: Final = 0.001
"""Tail beyond the outer limits, on each side: 99.8 % lie between them."""
WINSORISED: Final = 0.1
"""Share of z-scores at each end that count as the last one inside."""
PLACES_MIN: Final = 10
"""Fewer places tell nothing of how places differ; no over-dispersion is taken from them."""


class Limits(msgspec.Struct, frozen=True):
    """Limits of a share for a number of events, 0 to 1: outer and inner below, inner and outer above."""

    low_outer: float
    low: float
    high: float
    high_outer: float


class Funnel(msgspec.Struct, frozen=True):
    """What places are compared with.

    Args:
        target: the share of all events together.
        dispersion: variance of places over that of chance, at least 1.
    """

    target: float
    dispersion: float

    def limits(self, count: int) -> Limits:
        """Return the limits for a number of events, at least 1."""
        inner, outer = (_exact(count, self.target, tail) for tail in (INNER, OUTER))
        wide = math.sqrt(self.dispersion)

        def widened(limit: float) -> float:
            return min(1.0, max(0.0, self.target + (limit - self.target) * wide))

        return Limits(widened(outer[0]), widened(inner[0]), widened(inner[1]), widened(outer[1]))

    def z(self, good: int, count: int) -> float:
        """Return how many standard deviations a share lies from the target, over-dispersion counted."""
        spread = math.sqrt(self.target * (1 - self.target) / count * self.dispersion)
        return (good / count - self.target) / spread if spread else 0.0


def funnel(good: Sequence[int], count: Sequence[int]) -> Funnel:
    """Return what places are compared with.

    Args:
        good: covered events of each place.
        count: all events of each place, at least 1.
    """
    total = sum(count)
    target = sum(good) / total if total else 1.0
    plain = Funnel(target, 1.0)
    if len(count) < PLACES_MIN or not 0 < target < 1:
        return plain
    scores = np.sort(np.array([plain.z(one, of) for one, of in zip(good, count, strict=True)]))
    cut = int(len(scores) * WINSORISED)
    scores = np.clip(scores, scores[cut], scores[-1 - cut])
    dispersion = float((scores**2).mean())
    # as Spiegelhalter: only when it is beyond what chance makes of so many places
    noticed = 1 + 2 * math.sqrt(2 / len(scores))
    return Funnel(target, dispersion if dispersion > noticed else 1.0)


def _exact(count: int, share: float, tail: float) -> tuple[float, float]:
    """Return the shares below and above which chance puts `tail` each; between whole counts interpolated (A.1.1)."""
    if not 0 < share < 1:
        return share, share
    if count > EXACT_MAX:
        reach = NormalDist().inv_cdf(1 - tail) * math.sqrt(share * (1 - share) / count)
        return max(0.0, share - reach), min(1.0, share + reach)
    whole = np.arange(count + 1)
    logs = _log_choose(count) + whole * math.log(share) + (count - whole) * math.log1p(-share)
    below = np.cumsum(np.exp(logs))
    return _quantile(below, tail, count), _quantile(below, 1 - tail, count)


def _quantile(below: np.ndarray[tuple[int], np.dtype[np.float64]], wanted: float, count: int) -> float:
    place = min(int(np.searchsorted(below, wanted)), count)
    before = float(below[place - 1]) if place else 0.0
    step = float(below[place]) - before
    part = (float(below[place]) - wanted) / step if step > 0 else 0.0
    return min(1.0, max(0.0, (place - min(max(part, 0.0), 1.0)) / count))


def _log_choose(count: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return the logarithms of the binomial coefficients of `count`."""
    logs = np.concatenate(([0.0], np.cumsum(np.log(np.arange(1, count + 1)))))
    made: np.ndarray[tuple[int], np.dtype[np.float64]] = logs[-1] - logs - logs[::-1]
    return made
