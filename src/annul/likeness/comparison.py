"""What a comparison says, how several are joined, and how often one may try.

A comparison never says who the bearer is: it says whether two samples are alike enough at a stated false match rate. Its
result maps to the axis `binding` (B0..B3). Whatever is in doubt is for the clerk, not a mismatch.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final, Literal

import msgspec

from annul.errors import OverQuota

Trait = Literal["face", "finger"]
CHALLENGE: Final = "random-action"
"""Name of the challenge among detectors."""


class Result(StrEnum):
    """Outcome of a comparison."""

    MATCH = "match"
    NO_MATCH = "no_match"
    ATTACK = "attack"
    NO_USABLE_TRAIT = "no_usable_trait"


BINDING: Final[dict[Result, str]] = {
    Result.MATCH: "B0",
    Result.NO_MATCH: "B1",
    Result.ATTACK: "B2",
    Result.NO_USABLE_TRAIT: "B3",
}
"""Result -> code of the axis binding."""

REASONS: Final[dict[str, str]] = {
    "alike": "The samples are alike at the stated rate.",
    "not-alike": "The samples are not alike.",
    "doubtful": "The score is between match and mismatch. Take the sample again, or compare another trait.",
    "presentation-attack": (
        "This may be a photo, a screen or a mask, not the person. "
        "Look at the person in front of you; do not rely on this sample."
    ),
    "not-supervised": "Nobody confirmed that the capture was watched. Watch the capture and confirm it.",
    "no-face": "No face was found. Let the bearer face the camera, in even light.",
    "several-faces": "More than one face is in the picture. Take it again with the bearer alone.",
    "face-too-small": "The face is too small. Let the bearer come closer.",
    "blurred": "The picture is blurred. Hold still and take it again.",
    "too-dark": "The face is too dark. Add light from the front.",
    "too-bright": "The face is too bright. Take away glaring light.",
    "low-contrast": "The face has too little contrast. Change the light and take it again.",
    "turned-away": "The face is turned away. Let the bearer look straight into the camera.",
    "reference-unusable": "The stored portrait or print is too poor to compare with. Use another trait.",
    "few-minutiae": "The print shows too little. Wipe finger and scanner, press flat, take it again, or use another finger.",
    "no-reference": "The register has nothing to compare with. Use the portrait on the chip, or ask for a second document.",
    "challenge-failed": "The actions were not carried out as asked, or by somebody else. Ask the bearer to do them again.",
    "challenge-missing": "The actions before the camera are asked for. Begin a challenge and carry it out.",
    "exempt": "The person has no usable print. Compare the face. Do not treat the person worse because of this.",
    "chip-not-believed": "The portrait comes from a chip that did not prove to be genuine. Ask for a second document.",
    "traits-disagree": "One trait matches and another does not. The clerk looks, asks and decides.",
}
"""Reason code -> one sentence for the clerk with the next step."""


class Finding(msgspec.Struct, frozen=True):
    """What one detector of presentation attacks said. `error_rates` states what was measured, or that nothing was.

    decisive: an attack that it finds is an attack. A barrier whose error rates on live bearers are not known is not: what it
    finds takes a match back, but accuses nobody.
    """

    detector: str
    version: str
    attack: bool
    score: float
    error_rates: str
    decisive: bool = True


class Comparison(msgspec.Struct, frozen=True):
    """One 1:1 comparison of a live sample with what is stored.

    reasons: codes of `REASONS`, at least one; score, threshold: of the deciding stage, None if no score was reached;
    claimed_fmr: stated false match rate of a match, over all enrolled samples together; scores: every score made;
    quality: "live" and "reference" -> measured values; algorithms: part -> version; calibration: name and SHA-256;
    findings: what detectors said, empty if none was asked; supervised: the clerk confirmed to have watched the capture.
    """

    trait: Trait
    result: Result
    reasons: tuple[str, ...]
    score: float | None
    threshold: float | None
    claimed_fmr: float | None
    decided_by: str
    scores: dict[str, float]
    quality: dict[str, dict[str, float]]
    algorithms: dict[str, str]
    calibration: str
    findings: tuple[Finding, ...] = ()
    supervised: bool = False

    @property
    def binding(self) -> str:
        """Code of the axis binding: B0 matches, B1 does not match, B2 attack, B3 no usable trait."""
        return BINDING[self.result]

    @property
    def sentences(self) -> tuple[str, ...]:
        """Sentences for the clerk, one a reason."""
        return tuple(REASONS[reason] for reason in self.reasons)


class CapturePolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a relying party demands of a capture.

    No packaged attack detector is good enough to rely on, so by default a match counts only if the clerk confirms to have
    watched the capture. challenge_required: and only if the bearer carried out a challenge (`attack.challenge`) before the
    camera; it concerns the face alone.
    """

    version: int = 1
    supervision_required: bool = True
    challenge_required: bool = False


def settle(comparison: Comparison, policy: CapturePolicy) -> Comparison:
    """Apply the policy: attacks found win over scores; a match that lacks what is demanded is no usable trait."""
    if any(finding.attack and finding.decisive for finding in comparison.findings):
        return msgspec.structs.replace(comparison, result=Result.ATTACK, reasons=("presentation-attack",))
    if comparison.result is not Result.MATCH:
        return comparison
    challenges = [finding for finding in comparison.findings if finding.detector == CHALLENGE]
    lacking = [
        reason
        for reason, lacks in (
            ("challenge-failed", any(finding.attack for finding in comparison.findings)),
            ("challenge-missing", policy.challenge_required and comparison.trait == "face" and not challenges),
            ("not-supervised", policy.supervision_required and not comparison.supervised),
        )
        if lacks
    ]
    if lacking:
        return msgspec.structs.replace(comparison, result=Result.NO_USABLE_TRAIT, reasons=tuple(lacking))
    return comparison


def unreferenced(trait: Trait, *, supervised: bool = False) -> Comparison:
    """Stand in for a trait that nothing is on record of: no score, and no effect on a match of the other."""
    return Comparison(
        trait, Result.NO_USABLE_TRAIT, ("no-reference",), None, None, None, "no-reference", {}, {}, {}, "", (), supervised
    )


def exempt(trait: Trait, *, supervised: bool = False) -> Comparison:
    """Stand in for a trait the person does not have (no usable prints): no score, and no effect on a match of the other."""
    return Comparison(trait, Result.NO_USABLE_TRAIT, ("exempt",), None, None, None, "exemption", {}, {}, {}, "", (), supervised)


def join(comparisons: Sequence[Comparison]) -> tuple[Result, tuple[str, ...]]:
    """Join the traits of one verification to one result and its reasons.

    An attack wins. Traits that could not be used count for nothing: a face match alone is a match, so a person without usable
    prints is no worse off. A match beside a mismatch is neither: the clerk decides.
    """
    results = {c.result for c in comparisons}
    if Result.ATTACK in results:
        return Result.ATTACK, _reasons(comparisons, Result.ATTACK)
    if results >= {Result.MATCH, Result.NO_MATCH}:
        return Result.NO_USABLE_TRAIT, ("traits-disagree",)
    for result in (Result.MATCH, Result.NO_MATCH):
        if result in results:
            return result, _reasons(comparisons, result)
    return Result.NO_USABLE_TRAIT, _reasons(comparisons, Result.NO_USABLE_TRAIT)


def _reasons(comparisons: Sequence[Comparison], result: Result) -> tuple[str, ...]:
    return tuple(dict.fromkeys(reason for c in comparisons if c.result is result for reason in c.reasons))


class Attempts(msgspec.Struct, frozen=True):
    """Attempts on one document that were begun and not forgiven: how many, when the first and the last began (seconds)."""

    failed: int = 0
    first_s: float = 0.0
    last_s: float = 0.0


ATTEMPTS_MAX: Final = 5
"""Failed comparisons before a pause. Source: issue 3 (5, then a pause)."""
PAUSE_S: Final = 900.0
"""Length of the pause; the clerk can go on with another document or the supervisor."""
FORGET_S: Final = 86_400.0
"""After a day without a pause failed attempts are forgotten."""


def begin(attempts: Attempts, now_s: float) -> Attempts:
    """Return the state when an attempt begins: it counts as failed until `end` says otherwise.

    So two attempts at the same time, in two processes, both count, and one that is broken off does too.

    Raises:
        OverQuota: there is a pause; `retry_after_s` says how long.
    """
    since_s = now_s - attempts.last_s
    if attempts.failed >= ATTEMPTS_MAX and since_s < PAUSE_S:
        wait_s = min(PAUSE_S, PAUSE_S - since_s)
        raise OverQuota(
            f"Too many comparisons failed for this document; there is a pause of {wait_s:.0f} seconds.",
            where="/document",
            mend="Wait, or let the supervisor decide.",
            retry_after_s=wait_s,
        )
    fresh = attempts.failed == 0 or attempts.failed >= ATTEMPTS_MAX or now_s - attempts.first_s >= FORGET_S
    return Attempts(1, now_s, now_s) if fresh else Attempts(attempts.failed + 1, attempts.first_s, now_s)


def end(attempts: Attempts, result: Result) -> Attempts:
    """Return the state after a comparison: a match clears, a mismatch or attack stays counted, an unusable sample does not."""
    if result is Result.MATCH:
        return Attempts()
    if result is Result.NO_USABLE_TRAIT:
        return Attempts(max(0, attempts.failed - 1), attempts.first_s, attempts.last_s)
    return attempts
