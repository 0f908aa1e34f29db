"""Thresholds come from measured scores."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.likeness.people import of_people, tails

from annul.errors import BadInput, UnknownVersion
from annul.likeness import calibration


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["exponential", "normal", "gumbel", "uniform"]))
def test_the_threshold_keeps_its_rate_on_the_scores_it_was_fitted_to(seed: int, law: str) -> None:
    """At every counted rate at most that share of the impostors passes, whatever the law; between them, at most the next."""
    scores = getattr(np.random.default_rng(seed), law)(size=2000)
    tail = calibration.fit(scores, of_people(2000))
    for rate in calibration.MEASURED_RATES:
        if rate * len(scores) >= 1:
            assert (scores >= tail.threshold(rate)).mean() <= rate
            assert (scores >= tail.counted(rate)).mean() <= rate
    for rate in (0.07, 0.04, 0.02, 0.005, 0.002):
        assert (scores >= tail.threshold(rate)).mean() <= min(r for r in calibration.MEASURED_RATES if r >= rate)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.0, 0.6))
def test_the_claim_holds_for_other_people_when_some_are_alike(seed: int, spread: float) -> None:
    """Scores with a part that belongs to the pair of people: fitted on ten people, 40,000 comparisons of others keep the claim.

    The rate is looked at for each draw with room for chance; with the parts of real prints it is kept in nearly every one.
    """
    rng = np.random.default_rng(seed)

    def impostors(people: int) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
        first, second = (np.repeat(side, 64) for side in np.triu_indices(people, 1))
        alike = np.repeat(rng.normal(0, 0.3 * spread, people * (people - 1) // 2), 64)
        return rng.exponential(0.3, len(first)) + alike, (first, second)

    tail = calibration.fit(*impostors(10))
    scores, _ = impostors(36)
    assert (scores >= tail.threshold(1e-3)).mean() <= 2e-3


def test_few_subjects_make_a_cautious_threshold() -> None:
    """Two fingers that are alike raise the threshold, and so does every subject less."""
    rng = np.random.default_rng(0)
    first, second = (np.repeat(side, 64) for side in np.triu_indices(20, 1))
    scores = rng.exponential(0.3, len(first))
    plain = calibration.fit(scores, (first, second)).threshold(1e-3)
    alike = calibration.fit(scores + 1.0 * ((first == 1) & (second == 3)), (first, second)).threshold(1e-3)
    few = (first < 5) & (second < 5)
    assert alike > plain
    assert calibration.fit(scores[few], (first[few], second[few])).threshold(1e-3) > plain


def test_a_lower_rate_has_a_higher_threshold() -> None:
    """Thresholds rise as the rate falls, also beyond what was counted."""
    tail = calibration.fit(np.random.default_rng(0).exponential(size=5000), of_people(5000))
    thresholds = [tail.threshold(rate) for rate in (1e-1, 1e-2, 1e-3, 5e-4, 1e-4, 3e-5)]
    assert thresholds == sorted(thresholds)
    counted = [tail.counted(rate) for rate in (1e-1, 1e-2, 1e-3, 1e-6)]
    assert counted == sorted(counted)
    assert tail.counted(1e-3) <= tail.threshold(1e-3)


def test_a_gumbel_law_is_found_again() -> None:
    """With few pairs of people: location and scale of drawn maxima, to a few per cent; the claim is the law's at its limit."""
    first, second = np.triu_indices(17, 1)
    maxima = np.repeat(np.random.default_rng(1).gumbel(2.0, 0.5, len(first)), 4)
    tail = calibration.fit(maxima, (np.repeat(first, 4), np.repeat(second, 4)))
    assert (tail.law, tail.pairs, tail.subjects) == ("pairs", 136, 17)
    assert (tail.start, tail.scale) == (pytest.approx(2.0, rel=0.06), pytest.approx(0.5, rel=0.15))
    assert tail.threshold(1e-3) > 2.0 + 0.5 * 6.9


def test_many_pairs_of_people_allow_the_law_of_comparisons() -> None:
    """From 150 pairs on; its threshold lies near the true quantile, a little above."""
    first, second = (np.repeat(side, 50) for side in np.triu_indices(40, 1))
    scores = np.random.default_rng(0).exponential(0.3, len(first))
    tail = calibration.fit(scores, (first, second))
    assert tail.law == "comparisons"
    assert 1.0 <= tail.threshold(1e-3) / (0.3 * np.log(1000)) <= 1.2


@pytest.mark.parametrize("fmr", [0.0, -1.0, 1e-9, 0.2, 1.0, float("nan")])
def test_a_rate_the_measurement_cannot_support_is_refused(fmr: float) -> None:
    """Nobody gets a claim of one in a million from a thousand comparisons."""
    tail = calibration.fit(np.random.default_rng(0).exponential(size=1000), of_people(1000))
    with pytest.raises(BadInput, match="supports"):
        tail.threshold(fmr)


def test_too_few_comparisons_or_people_make_no_calibration() -> None:
    """A tail needs data, and more than a few people."""
    with pytest.raises(BadInput, match="too few"):
        calibration.fit(np.arange(100.0), of_people(100))
    with pytest.raises(BadInput, match="too few"):
        calibration.fit(np.arange(1000.0), (np.arange(1000) % 2, 2 + np.arange(1000) % 2))


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
        calibration.parse(calibration.dump(msgspec.structs.replace(made, version=1)))
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
