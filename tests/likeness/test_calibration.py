"""Thresholds come from measured scores."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.likeness.people import tails

from annul.errors import BadInput, UnknownVersion
from annul.likeness import calibration


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["exponential", "normal", "gumbel", "uniform"]))
def test_the_threshold_keeps_its_rate_on_the_scores_it_was_fitted_to(seed: int, law: str) -> None:
    """At every counted rate at most that share of the impostors passes, whatever the law; between them, at most the next."""
    scores = getattr(np.random.default_rng(seed), law)(size=2000)
    tail = calibration.fit(scores)
    for rate in calibration.MEASURED_RATES:
        if rate * len(scores) >= 1:
            assert (scores >= tail.threshold(rate)).mean() <= rate
    for rate in (0.07, 0.04, 0.02, 0.005, 0.002):
        assert (scores >= tail.threshold(rate)).mean() <= min(r for r in calibration.MEASURED_RATES if r >= rate)


def test_few_subjects_make_a_cautious_threshold() -> None:
    """Two fingers that are alike by chance raise many scores at once: the bound over subjects lies above the plain fit."""
    rng = np.random.default_rng(0)
    first, second = (part.ravel() for part in np.meshgrid(np.arange(40), np.arange(40)))
    kept = first // 8 < second // 8
    subjects = (first[kept] // 8, second[kept] // 8)
    scores = rng.exponential(0.3, kept.sum()) + 0.5 * ((subjects[0] == 1) & (subjects[1] == 3))
    plain, cautious = calibration.fit(scores), calibration.fit(scores, subjects)
    assert cautious.threshold(1e-3) > 1.1 * plain.threshold(1e-3)


def test_a_lower_rate_has_a_higher_threshold() -> None:
    """Thresholds rise as the rate falls, also where it is fitted."""
    tail = calibration.fit(np.random.default_rng(0).exponential(size=5000))
    thresholds = [tail.threshold(rate) for rate in (1e-1, 1e-2, 1e-3, 5e-4, 1e-4, 3e-5)]
    assert thresholds == sorted(thresholds)
    assert tail.rate(tail.threshold(1e-4)) == pytest.approx(1e-4, rel=0.01)


@pytest.mark.parametrize("fmr", [0.0, -1.0, 1e-9, 0.2, 1.0, float("nan")])
def test_a_rate_the_measurement_cannot_support_is_refused(fmr: float) -> None:
    """Nobody gets a claim of one in a million from a thousand comparisons."""
    tail = calibration.fit(np.random.default_rng(0).exponential(size=1000))
    with pytest.raises(BadInput, match="supports"):
        tail.threshold(fmr)


def test_too_few_comparisons_make_no_calibration() -> None:
    """A tail needs data."""
    with pytest.raises(BadInput, match="too few"):
        calibration.fit(np.arange(100.0))


def test_a_file_reads_back_and_is_named_by_its_hash() -> None:
    """Dump, parse: the same calibration and digest; any change is another digest."""
    made = tails({"own": np.random.default_rng(0).exponential(size=1000)}, "finger", {"minutiae_min": 6.0})
    again = calibration.parse(calibration.dump(made))
    assert again == made
    assert again.digest() == made.digest()
    assert msgspec.structs.replace(made, doubt=9.0).digest() != made.digest()


def test_unknown_versions_and_damaged_files_are_refused() -> None:
    """A calibration decides: nothing is guessed."""
    made = tails({"own": np.random.default_rng(0).exponential(size=1000)}, "finger", {})
    with pytest.raises(UnknownVersion):
        calibration.parse(calibration.dump(msgspec.structs.replace(made, version=2)))
    for damaged in (b"", b"{}", calibration.dump(made)[:-20], calibration.dump(made).replace(b'"tails"', b'"tales"')):
        with pytest.raises(BadInput):
            calibration.parse(damaged)
    with pytest.raises(BadInput, match="kind"):
        made.tail("none")
    with pytest.raises(BadInput, match="quality limit"):
        made.gate("none")


@pytest.mark.parametrize("trait", ["face", "finger"])
def test_the_packaged_calibrations_support_a_rate_of_one_in_a_thousand(trait: str) -> None:
    """What comes with the package is measured, names its sets, and can be used as it is."""
    packaged = calibration.packaged(trait)  # type: ignore[arg-type]
    assert packaged.trait == trait
    assert sum(s.impostor for s in packaged.sets) >= 8_000
    assert all(np.isfinite(tail.threshold(1e-3)) for tail in packaged.tails.values())


@pytest.mark.parametrize(
    ("errors", "trials", "low", "high"),
    [(0, 10, 0.0, 0.3085), (5, 10, 0.1871, 0.8129), (10, 10, 0.6915, 1.0), (1, 280, 0.0001, 0.0197)],
)
def test_intervals_are_those_of_clopper_and_pearson(errors: int, trials: int, low: float, high: float) -> None:
    """Against published table values."""
    assert calibration.interval(errors, trials) == pytest.approx((low, high), abs=2e-4)
