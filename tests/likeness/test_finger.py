"""Fingerprints end to end, on drawn prints and made-up templates."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from tests.likeness.people import minutiae_of, packed, pressed_again, print_image, record_of, shifted

from annul.errors import BadInput, Corrupt, TooLarge
from annul.likeness import CapturePolicy, Finding, Result, finger, fusion, template
from annul.likeness.engines import library, weights
from annul.likeness.samples import Image


@cache
def drawn(seed: int) -> bytes:
    return packed(print_image(seed))


@cache
def enrolled(seed: int) -> finger.Template:
    return finger.extract(drawn(seed), position=2, impression=1)


def test_a_print_is_enrolled_as_a_small_record_without_the_image() -> None:
    """Extraction gives a record of the standard with position, impression, extractor and quality."""
    made = enrolled(1)
    (view,) = template.decode(made.record)
    assert (view.position, view.impression, view.extractor) == (2, 1, finger.EXTRACTOR)
    assert made.quality.minutiae == len(view.minutiae) >= 10
    assert made.quality.nfiq2 is not None
    assert -1 <= made.quality.nfiq2 <= 100
    assert len(made.record) < 2_000


def test_the_fused_network_finds_what_the_exported_one_finds() -> None:
    """The same map of minutiae but for the last digits, on a print of odd sides; other weights are refused."""
    runtime, model = library("onnxruntime"), weights("leader").read_bytes()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    pixels = print_image(3, 192)[:, :160].astype(np.float32)[None, ..., None]
    exported, fused = (
        runtime.InferenceSession(each, options, providers=["CPUExecutionProvider"]).run(None, {"input": pixels})[0]
        for each in (model, fusion.fuse(model))
    )
    sure = exported[..., 3] >= finger.RELIABILITY_MIN
    assert sure.sum() >= 3
    assert np.abs(exported[..., [0, 2, 3]] - fused[..., [0, 2, 3]]).max() < 5e-3
    apart = np.abs(exported[sure][:, 1] - fused[sure][:, 1])
    assert np.minimum(apart, 2 * np.pi - apart).max() < 1e-2
    for broken in (model[:-1], model[:1000], b"", model.replace(b"Reciprocal", b"Reciprokal")):
        with pytest.raises(Corrupt):
            fusion.fuse(broken)


def test_the_same_finger_matches_and_another_does_not() -> None:
    """Live WSQ scan against enrolled records: B0 for the holder, never B0 for somebody else."""
    live = packed(shifted(print_image(1)), "WSQ")
    own = finger.compare(live, [enrolled(2).record, enrolled(1).record], supervised=True)
    assert (own.binding, own.reasons) == ("B0", ("alike",))
    assert own.scores["enrolled-2"] == own.score
    other = finger.compare(live, [enrolled(2).record], supervised=True)
    assert other.result in (Result.NO_MATCH, Result.NO_USABLE_TRAIT)
    assert other.score is not None
    assert other.threshold is not None
    assert other.score < other.threshold


def test_every_enrolled_print_lets_the_threshold_rise() -> None:
    """The claimed rate holds for the whole comparison, so more enrolled prints mean a higher threshold each."""
    live = record_of(pressed_again(minutiae_of(1), 2))
    one = finger.compare(live, [record_of(minutiae_of(1))], supervised=True)
    many = finger.compare(live, [record_of(minutiae_of(k)) for k in range(1, 9)], supervised=True)
    assert one.result is many.result is Result.MATCH
    assert one.threshold is not None
    assert many.threshold is not None
    assert many.threshold > one.threshold
    assert many.claimed_fmr == one.claimed_fmr == 1e-3


def test_records_of_other_makers_are_judged_by_their_own_threshold() -> None:
    """Which calibration was used is told."""
    live = record_of(pressed_again(minutiae_of(1), 2))
    foreign = finger.compare(live, [record_of(minutiae_of(1), extractor="")], supervised=True)
    assert foreign.decided_by == "minutiae-foreign"
    assert foreign.result is Result.MATCH


@pytest.mark.parametrize("noise", [0, 40])
def test_a_scan_without_a_print_is_no_usable_trait(noise: int) -> None:
    """An empty platen or plain noise is B3 with a next step for the clerk, not a mismatch."""
    empty = (200 + np.random.default_rng(0).normal(0, noise, (300, 300))).clip(0, 255).astype(np.uint8)
    found = finger.compare(packed(empty), [record_of(minutiae_of(1))], supervised=True)
    assert found.result in ((Result.NO_USABLE_TRAIT,) if noise == 0 else (Result.NO_USABLE_TRAIT, Result.NO_MATCH))
    assert found.binding != "B0"


def test_an_enrolled_print_that_is_too_poor_is_said_so() -> None:
    """The bearer is not blamed for the register's record."""
    found = finger.compare(record_of(minutiae_of(1)), [record_of(minutiae_of(1)[:3])], supervised=True)
    assert (found.binding, found.reasons) == ("B3", ("reference-unusable",))


def test_bad_calls_are_refused() -> None:
    """No enrolled print, too many, a rate nobody measured, a detector without image."""
    live = record_of(minutiae_of(1))
    with pytest.raises(BadInput):
        finger.compare(live, [])
    with pytest.raises(TooLarge):
        finger.compare(live, [live] * 25)
    with pytest.raises(BadInput, match="rates"):
        finger.compare(live, [live], fmr=1e-9)
    with pytest.raises(BadInput, match="image"):
        finger.compare(live, [live], detectors=[Cautious()])
    with pytest.raises(BadInput, match="position"):
        finger.extract(drawn(1), position=11)


class Cautious:
    """A detector that takes every scan for a fake."""

    name, version = "cautious", "1"

    def examine(self, trait: str, frames: tuple[Image, ...]) -> Finding:
        assert trait == "finger"
        assert frames[0].pixels.ndim == 2
        return Finding(self.name, self.version, True, 1.0, "APCER 0 %, BPCER 100 % on anything")


def test_a_detector_that_finds_an_attack_decides() -> None:
    """B2, with the detector's own error rates in the result, even though the prints match."""
    found = finger.compare(drawn(1), [enrolled(1).record], detectors=[Cautious()], supervised=True)
    assert found.binding == "B2"
    assert "BPCER" in found.findings[0].error_rates


def test_an_unwatched_match_waits_for_the_clerk() -> None:
    """Default policy: B3 until the clerk confirms."""
    live, stored = record_of(pressed_again(minutiae_of(1), 2)), [record_of(minutiae_of(1))]
    assert finger.compare(live, stored).reasons == ("not-supervised",)
    assert finger.compare(live, stored, policy=CapturePolicy(supervision_required=False)).binding == "B0"


def test_a_huge_print_image_is_looked_at_in_part_only() -> None:
    """The part the network sees is bounded: the region never exceeds a fingertip."""
    left, top, width, height, _ = finger._region(np.random.default_rng(0).integers(0, 255, (1400, 1400), dtype=np.uint8))
    assert (width, height) == finger.REGION_MAX
    assert left >= 0
    assert top >= 0
