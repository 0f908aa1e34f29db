"""The benchmark's own arithmetic, on made-up scores, and its packaged results."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from annul.bench import faces as bench_faces
from annul.bench import prints as bench_prints
from annul.bench import rates
from annul.errors import NotFound
from annul.likeness import calibration, face, finger


def made_up(separation: float, seed: int = 0) -> bench_prints._Scores:
    """Ten subjects of eight samples with exponential impostor scores and genuine scores `separation` higher."""
    rng = np.random.default_rng(seed)
    subjects = np.repeat(np.arange(10), 8)
    same = subjects[:, None] == subjects[None]
    return bench_prints._Scores("made up", subjects, rng.exponential(0.3, same.shape) + separation * same, 0)


def test_all_pairs_are_counted_once() -> None:
    """The whole-set figure has 280 genuine pairs; both halves together report 280 genuine and 1,280 impostor pairs."""
    row = bench_prints._row(made_up(5.0), "m")
    assert row.fnmr_whole.trials == 280
    assert (row.fnmr.trials, row.fmr.trials) == (280, 1280)
    assert (row.fnmr.errors, row.fmr.value) == (0, pytest.approx(0, abs=0.005))


def test_scores_that_tell_nothing_give_an_fnmr_near_one() -> None:
    """Without separation hardly anything matches: the bench does not flatter."""
    row = bench_prints._row(made_up(0.0), "m")
    assert row.fnmr.value > 0.95
    assert row.fmr.value < 0.01


def test_two_impressions_are_tried_in_every_pairing() -> None:
    """Eighty live samples, 21 pairs of the own other impressions, 28 of each other finger's."""
    row = bench_prints._row_of_two(made_up(2.0), "m")
    assert row.fnmr_whole.trials == 80 * 21
    assert row.fnmr.trials == 80 * 21
    assert row.fmr.trials == 80 * 4 * 28
    assert row.fmr.value < 0.005
    assert row.fnmr.value <= bench_prints._row(made_up(2.0), "m").fnmr.value


def test_pairs_with_an_unusable_sample_count_as_misses() -> None:
    """A quality limit cannot improve a figure by leaving samples out."""
    scores = made_up(5.0)
    scores.matrix[0, :] = scores.matrix[:, 0] = -1.0
    assert bench_prints._row(scores, "m").fnmr.errors == 7


def test_folders_without_samples_are_named() -> None:
    """The error says what was looked for."""
    nowhere = Path(__file__).parent
    with pytest.raises(NotFound, match="FINGER_IMPRESSION"):
        bench_prints.print_sets(nowhere)
    with pytest.raises(NotFound, match="SUBJECT_NUMBER"):
        bench_faces.colour_files(nowhere)


def test_a_report_is_json_and_plain_text() -> None:
    """Figures, counts and intervals are in both."""
    report = rates.Report((bench_prints._row(made_up(5.0), "m"),), (rates.Timing("t", 3, 1.0, 2.0),), ("note",), ())
    text = rates.render(report)
    assert "(0/280)" in text
    assert "note" in text
    assert msgspec.json.decode(msgspec.json.encode(report))["rows"][0]["fnmr"]["trials"] == 280


def test_the_packaged_calibrations_belong_to_the_installed_versions() -> None:
    """A new weight file, runtime or matcher needs a new calibration: this test fails until it is made."""
    assert calibration.packaged("face").algorithms == face.algorithms()
    assert calibration.packaged("finger").algorithms == finger.algorithms()
