"""Control limits: as wide as chance, wider where places differ anyway, and nobody below them by chance alone."""

from __future__ import annotations

import math

import numpy as np
import pytest

from annul.registry.conduct.funnel import EXACT_MAX, Funnel, funnel


@pytest.mark.parametrize("count", [1, 7, 40, 300, 5_000, EXACT_MAX, EXACT_MAX + 1, 10**7])
def test_limits_enclose_the_target_and_narrow_with_the_count(count: int) -> None:
    """The outer ones outside of the inner ones, all of them shares."""
    made = Funnel(0.9, 1.0).limits(count)
    assert 0 <= made.low_outer <= made.low <= 0.9 <= made.high <= made.high_outer <= 1
    wider = Funnel(0.9, 4.0).limits(count)
    assert wider.low <= made.low
    assert wider.high >= made.high


def test_exact_limits_hold_what_they_say() -> None:
    """By the binomial law itself, 2.5 and 0.1 of a hundred lie below; the normal law takes over without a step."""
    made = Funnel(0.9, 1.0).limits(200)

    def below(limit: float) -> float:
        return sum(math.comb(200, hits) * 0.9**hits * 0.1 ** (200 - hits) for hits in range(math.ceil(limit * 200)))

    assert below(made.low) <= 0.025 + 1e-9
    assert below(made.low + 1 / 200) >= 0.025 - 1e-9
    assert below(made.low_outer) <= 0.001 + 1e-9
    exact, normal = Funnel(0.9, 1.0).limits(EXACT_MAX), Funnel(0.9, 1.0).limits(EXACT_MAX + 1)
    assert exact.low == pytest.approx(normal.low, abs=1e-3)


def test_places_that_differ_by_chance_are_not_found_and_over_dispersion_is_noticed() -> None:
    """Chance alone: no widening and few outside; places that vary: wider limits, so that again few lie outside."""
    random = np.random.default_rng(1)
    count = random.integers(20, 2_000, 400)
    for spread in (0.0, 0.03):
        shares = np.clip(0.9 + spread * random.standard_normal(400), 0.01, 0.99)
        good = random.binomial(count, shares)
        made = funnel(good.tolist(), count.tolist())
        assert (made.dispersion > 1) == (spread > 0)
        outside = _outside(made, good.tolist(), count.tolist())
        assert outside <= (12 if spread else 4)
        assert _outside(Funnel(made.target, 1.0), good.tolist(), count.tolist()) >= (60 if spread else 0)


def _outside(made: Funnel, good: list[int], count: list[int]) -> int:
    """Count places beyond the outer limits."""
    limits = [made.limits(of) for of in count]
    shares = [hits / of for hits, of in zip(good, count, strict=True)]
    return sum(not each.low_outer <= share <= each.high_outer for each, share in zip(limits, shares, strict=True))


def test_few_places_and_a_perfect_share_are_no_fault() -> None:
    """Nothing to compare, everything covered, nothing covered: limits without a division by zero."""
    assert funnel([], []) == Funnel(1.0, 1.0)
    assert funnel([5, 9], [5, 9]).limits(3).low == 1.0
    assert funnel([0] * 20, [4] * 20).limits(3).high == 0.0
    assert Funnel(1.0, 1.0).z(3, 4) == 0.0
