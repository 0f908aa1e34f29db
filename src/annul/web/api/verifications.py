"""Answer POST /v1/verifications: the check of a document and the comparison of its bearer in one answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from msgspec import Meta

from annul.errors import SourceDown
from annul.likeness.attack import SENTENCES, STEPS
from annul.likeness.comparison import REASONS, Comparison
from annul.likeness.evidence import Chip, DeviceClass
from annul.likeness.process import FacePair, FingerSet
from annul.records.check import Answer, BindingPart, Question
from annul.records.document import DocumentFields
from annul.registry.counter.verification import Samples
from annul.times import rfc3339
from annul.web.api.terms import Body
from annul.web.door.call import Call, Reply, Route, post, tagged
from annul.web.door.who import COUNTERS, RELYING

if TYPE_CHECKING:
    from annul.web.door.office import Office

VERIFICATION_BYTES_MAX: Final = 12 << 20
"""Largest body: two photos of 4 MB in base64 and a few prints."""
ENROLLED_MAX: Final = 24
"""Enrolled prints of one person."""
Word = Annotated[str, Meta(max_length=32, pattern="^[a-z_]*$")]


class FaceGiven(Body):
    """A photo of the bearer and the portrait of the holder, base64: JPEG, PNG, WebP, JPEG 2000, TIFF or BMP.

    Without `reference` the portrait on record is compared with, if the agreement allows it; it stays in the register.
    `frames`: photos that answer a challenge, one an action, in its order; `live` looks straight.

    Args:
        live: liveness findings of the capture, as the device gives them.
        reference: the caller's own reference; at most 64 characters.
        frames: photos of the bearer, JPEG or PNG in base64, in the order they were taken.
    """

    live: bytes
    reference: bytes = b""
    frames: Annotated[list[bytes], Meta(max_length=STEPS)] = msgspec.field(default_factory=list)


class FingerprintGiven(Body):
    """A scan of the bearer's finger and the holder's enrolled prints, base64: PNG, TIFF, BMP, JPEG 2000, WSQ, or
    ISO/IEC 19794-2. Without `enrolled` the prints on record are compared with, if the agreement allows it.

    Args:
        live: liveness findings of the capture, as the device gives them.
        enrolled: template read from the chip, base64; "": the enrolled one is taken.
    """

    live: bytes
    enrolled: Annotated[list[bytes], Meta(max_length=ENROLLED_MAX)] = msgspec.field(default_factory=list)


class PassiveGiven(Body):
    """Findings of passive authentication, as a reading has them.

    Args:
        verdict: result in a word.
        failures: what did not hold, in words.
        groups: data groups of the chip and whether their hashes agree.
        signer: who signed the chip's data.
        signer_country: country of the signer, two letters.
        remarks: remarks that change nothing.
    """

    verdict: Word
    failures: Annotated[list[Word], Meta(max_length=16)] = msgspec.field(default_factory=list)
    groups: Annotated[dict[Annotated[str, Meta(max_length=3)], bool], Meta(max_length=20)] = msgspec.field(default_factory=dict)
    signer: Annotated[str, Meta(max_length=64)] = ""
    signer_country: Annotated[str, Meta(max_length=3, pattern="^[A-Za-z]*$")] = ""
    remarks: Annotated[list[Word], Meta(max_length=16)] = msgspec.field(default_factory=list)


class ChipGiven(Body):
    """What the chip proved: the member `chip` of a reading, as `annul station` gives it.

    Args:
        genuine: the chip's data are signed by the issuing state.
        unaltered: the chip's data are as they were signed.
        same_chip: the chip is the one whose data are signed, and no copy.
        passive: findings of passive authentication; null when it was not made.
        access: how access to the chip was gained: PACE, BAC, or none.
        chip_authentication: result of chip authentication.
        active_authentication: result of active authentication: the chip holds its own private key.
        access_list: result of the terminal's own access list, as the reading gives it.
        print_agrees: printed and stored data agree; null when it was not compared.
    """

    genuine: bool
    unaltered: bool
    same_chip: bool
    passive: PassiveGiven | None = None
    access: Annotated[str, Meta(max_length=16)] = ""
    chip_authentication: Word = ""
    active_authentication: Word = ""
    access_list: Word = ""
    print_agrees: bool | None = None


class VerificationQuestion(Body):
    """A check, and samples to compare: at least one of `face` and `fingerprint`.

    `supervised`: the clerk watched the capture; without it no comparison is a match. `fingerprint_exempt`: the person has no
    usable print; the face alone counts. `chip`: what the chip that gave the reference proved; from one that is not genuine,
    or that differs from the print, no comparison is a match. `challenge`: token of the challenge that `face.frames` answer.
    What the agreement's capture policy demands (which traits, a challenge, supervision) is held to.

    Args:
        check: the check to make with the comparison.
        face: photos of the bearer; null for none.
        fingerprint: the bearer's fingerprint; null for none.
        fingerprint_exempt: the bearer has no usable finger.
        chip: what the chip proved; null when it was not read.
        supervised: a person watched the capture.
        device: what the samples were taken with.
        challenge: id of the challenge that the photos answer; "" for none.
    """

    check: Question
    face: FaceGiven | None = None
    fingerprint: FingerprintGiven | None = None
    fingerprint_exempt: bool = False
    chip: ChipGiven | None = None
    supervised: bool = False
    device: DeviceClass = "unknown"
    challenge: Annotated[str, Meta(max_length=100, pattern="^[A-Za-z0-9_=-]*$")] = ""


class ChallengeWanted(Body):
    """A document whose bearer shall carry out a challenge.

    Args:
        document: the document as printed: scheme, number and what else its scheme asks.
    """

    document: DocumentFields


class ChallengeGiven(msgspec.Struct):
    """Actions to carry out before the camera, in order, with what to tell the bearer; `challenge` is shown with the photos
    once, before `expires_at`.

    Args:
        challenge: id of the challenge, shown once with the photos.
        actions: what the bearer is to do before the camera, in this order.
        steps: what to tell people, one sentence a step.
        expires_at: until when the challenge can be answered (RFC 3339, UTC).
    """

    challenge: str
    actions: list[str]
    steps: list[str]
    expires_at: str


class Compared(msgspec.Struct):
    """One comparison. Score and threshold are of the stage that decided; null when no score was reached.

    Args:
        result: what the comparison found.
        reasons: reasons, as words of a closed list.
        steps: what to tell people, one sentence a step.
        score: score of the comparison; null when none was reached.
        threshold: score from which it is a match; null when none was reached.
        claimed_fmr: false match rate that the threshold is set for (0 to 1).
        decided_by: stage of the comparison that decided.
        quality: quality of the samples, by name.
        algorithms: name and version of what compared.
        calibration: calibration by which score and error rate belong together.
    """

    result: str
    reasons: list[str]
    steps: list[str]
    score: float | None
    threshold: float | None
    claimed_fmr: float | None
    decided_by: str
    quality: dict[str, dict[str, float]]
    algorithms: dict[str, str]
    calibration: str


class BindingFound(BindingPart, kw_only=True):
    """Binding axis with what it stands on; `steps` says the reasons in sentences for the clerk.

    Args:
        result: what the comparison found.
        reasons: reasons, as words of a closed list.
        steps: what to tell people, one sentence a step.
        supervised: a person watched the capture.
        face: comparison of the face; null when none was made.
        fingerprint: comparison of the fingerprint; null when none was made.
    """

    result: str
    reasons: list[str]
    steps: list[str]
    supervised: bool
    face: Compared | None = None
    fingerprint: Compared | None = None


class EvidenceGiven(msgspec.Struct):
    """The signed record of the comparison, bound to this check: `statement` and `signature` in base64, by `key` (the key of
    receipts). `openings` open its commitments to the samples: keep them apart from the record.

    Args:
        version: version of this form.
        statement: the signed statement of the comparison, base64.
        signature: signature over the statement, base64.
        key: verifier key that the evidence is signed with.
        openings: what opens the commitments of the evidence.
    """

    version: int
    statement: bytes
    signature: bytes
    key: str
    openings: dict[str, dict[str, str]]


class Verification(Answer, kw_only=True):
    """The answer of the check, its binding axis in full, and the evidence.

    Args:
        binding: is the bearer the holder, with what the finding stands on.
        evidence: signed evidence of the comparison, without the samples.
    """

    binding: BindingFound
    evidence: EvidenceGiven


async def verify(office: Office, call: Call) -> Reply:
    """Compare the bearer with the holder and ask the check."""
    if office.verifications is None or office.checks is None:
        raise SourceDown("This process answers no checks.")
    body: VerificationQuestion = call.body
    samples = Samples(
        face=FacePair(body.face.live, body.face.reference, body.face.frames) if body.face else None,
        finger=FingerSet(body.fingerprint.live, body.fingerprint.enrolled) if body.fingerprint else None,
        finger_exempt=body.fingerprint_exempt,
        chip=chip_of(body.chip),
        supervised=body.supervised,
        device=body.device,
        challenge=body.challenge,
    )
    found = await office.verifications.verify(call.principal, body.check, samples)
    by_trait = {each.trait: _compared(each) for each in found.comparisons}
    binding = BindingFound(
        code=found.answer.binding.code,
        result=found.result.value,
        reasons=list(found.reasons),
        steps=[REASONS[each] for each in found.reasons],
        supervised=body.supervised,
        face=by_trait.get("face"),
        fingerprint=by_trait.get("finger"),
    )
    openings = {"fingerprint" if trait == "finger" else trait: salts for trait, salts in found.openings.items()}
    signed = EvidenceGiven(1, found.evidence.statement, found.evidence.signature, found.key, openings)
    members: dict[str, Any] = {name: getattr(found.answer, name) for name in found.answer.__struct_fields__}
    answer = Verification(**(members | {"binding": binding, "evidence": signed}))
    allowance = office.checks.allowance(call.principal)
    headers = {"ratelimit-policy": allowance.policy.decode(), "ratelimit": allowance.remaining().decode()}
    return Reply(msgspec.json.encode(answer), "application/json", headers=headers)


async def challenge(office: Office, call: Call) -> ChallengeGiven:
    """Draw a challenge for the bearer of a document."""
    if office.verifications is None:
        raise SourceDown("This process answers no checks.")
    made = office.verifications.challenge(call.principal, call.body.document)
    steps = [SENTENCES[action] for action in made.actions]
    return ChallengeGiven(made.token, list(made.actions), steps, rfc3339(made.expires_at_us))


def chip_of(given: ChipGiven | None) -> Chip | None:
    """Return what the evidence holds of a chip; a print that differs from the chip is as good as an altered one."""
    if given is None:
        return None
    passive = given.passive
    unaltered = given.unaltered and given.print_agrees is not False
    return Chip(
        given.genuine, unaltered, given.same_chip, passive.verdict if passive else "", passive.signer_country if passive else ""
    )


def _compared(found: Comparison) -> Compared:
    return Compared(
        found.result.value,
        list(found.reasons),
        list(found.sentences),
        found.score,
        found.threshold,
        found.claimed_fmr,
        found.decided_by,
        found.quality,
        found.algorithms,
        found.calibration,
    )


ROUTES: Final[tuple[Route, ...]] = tagged(
    "checks",
    post(
        "/v1/verifications",
        RELYING,
        verify,
        "Check a document and compare its bearer with the holder",
        body=VerificationQuestion,
        returns=Verification,
        body_bytes_max=VERIFICATION_BYTES_MAX,
        problems=("purpose-not-allowed", "over-quota", "storage-failed", "missing-package", "unknown-version"),
        use=COUNTERS,
    ),
    post(
        "/v1/verifications/challenges",
        RELYING,
        challenge,
        "Draw actions for the bearer to carry out before the camera",
        body=ChallengeWanted,
        returns=ChallengeGiven,
        use=COUNTERS,
    ),
)
