"""Is the bearer the holder? One verification: comparison in a process apart, then the check with its result, then the evidence.

The comparison comes first, because its result is an axis of the answer and of the receipt. It is admitted and paid from the
quota before anything is decoded, held to the capture policy of the agreement, and counted by party and document over all
workers (`registry.attempts`): five mismatches bring a pause. Where the agreement allows it, the portrait and prints to compare
with come from the register of persons; that they are used is an entry of the log, and nothing of them leaves.

What must never happen here: a sample in a log, a file or the database; a match against a portrait from a chip that is not
believed; evidence that names another check; a trait on record compared for a name that is not its holder's.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from annul.errors import BadInput, Forbidden, MalformedNumber
from annul.likeness import attack, evidence
from annul.likeness.comparison import BINDING, CapturePolicy, Comparison, Result, join
from annul.likeness.process import Comparer, Done, FacePair, FingerSet, Task
from annul.records.codes import BindingCode
from annul.records.document import Document, DocumentKeys, block, parse_document
from annul.registry.answering.checks import malformed_identity
from annul.registry.counter.attempts import SUBJECT_BYTES, AttemptFile
from annul.registry.parties.parties import Agreement
from annul.registry.writing.act import Act
from annul.times import SECOND_US, Clock

if TYPE_CHECKING:
    from annul.proof.checkpoint import Signer
    from annul.records.check import Answer, Question
    from annul.records.document import DocumentFields
    from annul.registry.answering.checks import Checks
    from annul.registry.parties.parties import Capture, Principal

CHALLENGE_S: Final = 120
"""Seconds in which a challenge can be answered: four actions take about twenty."""

_SUBJECT: Final = b"annul attempts v2\0"
_CHALLENGE: Final = b"annul challenge v1\0"
_TOKEN: Final = struct.Struct(">BQ16s32s")
_TOKEN_VERSION: Final = 1


class Samples(msgspec.Struct, frozen=True):
    """What was captured of the bearer, and what it is compared with.

    face, finger: a reference or list of enrolled prints that is empty is filled from the register of persons; supervised: the
    clerk watched the capture; device: class of the capturing device; chip: where the reference came from; finger_exempt: the
    person has no usable print; challenge: token of the challenge that `face.frames` answer, empty without one.
    """

    face: FacePair | None
    finger: FingerSet | None
    finger_exempt: bool
    chip: evidence.Chip | None
    supervised: bool
    device: evidence.DeviceClass
    challenge: str = ""


class Verified(msgspec.Struct, frozen=True):
    """One verification: the answer, what was compared, the signed evidence and the salts that open its commitments."""

    answer: Answer
    result: Result
    reasons: tuple[str, ...]
    comparisons: tuple[Comparison, ...]
    evidence: evidence.Signed
    key: str
    openings: dict[str, dict[str, str]]


class Challenged(msgspec.Struct, frozen=True):
    """A challenge for one document: its token, the actions in order, and when it can no longer be answered."""

    token: str
    actions: tuple[attack.Action, ...]
    expires_at_us: int


class OnRecord(Protocol):
    """Traits on record of one holder: `portrait` is empty and `templates` too where there are none; `position` is that of the
    entry that accounts for their use, None when nothing was used."""

    @property
    def portrait(self) -> bytes: ...
    @property
    def templates(self) -> list[bytes]: ...
    @property
    def position(self) -> int | None: ...


class Traits(Protocol):
    """Give traits on record towards a comparison: `annul.registry.people.enrolment.Enrolments`."""

    async def for_comparison(self, act: Act, document: Document, name: str, *, face: bool, fingers: bool) -> OnRecord: ...


class Verifications:
    """Verify bearers in one worker process.

    Args:
        checks: the ask path.
        signer: signs evidence; the key of receipts, under the prefix of `evidence`.
        documents: document keys of the realms; attempts are counted by them.
        attempts: the machine's counters.
        secret: key of challenges, the same in all workers.
        traits: what is on record of holders; None where there is no register of persons.
        now_us: microseconds since the epoch.
        comparer: the process that compares.
    """

    def __init__(
        self,
        checks: Checks,
        signer: Signer,
        now_us: Clock,
        *,
        documents: Mapping[str, DocumentKeys],
        attempts: AttemptFile,
        secret: bytes,
        traits: Traits | None = None,
        comparer: Comparer | None = None,
    ) -> None:
        self._checks, self._signer, self._now_us = checks, signer, now_us
        self._documents, self._attempts, self._traits = documents, attempts, traits
        self._secret = hmac.digest(secret, _CHALLENGE, "sha256")
        self._comparer = comparer or Comparer()

    async def verify(self, principal: Principal, question: Question, samples: Samples) -> Verified:
        """Compare, ask, and make the evidence.

        Raises:
            BadInput, TooLarge, UnknownVersion: a sample is not of its form, or the agreement demands more; `where` names it.
                Nothing was asked.
            OverQuota: the quota is used up, or too many comparisons failed for this document.
            MissingPackage: the comparison is not installed here. TimedOut, SourceDown: it gave no result.
            Forbidden, PurposeNotAllowed, StorageFailed: as `Checks.ask`; or traits on record are not part of the agreement.
        """
        capture = (principal.agreement or Agreement()).capture
        _require(capture, question, samples)
        self._checks.admit(principal, question)
        subject = self._subject(principal, question.document)
        actions = self._actions(samples.challenge, subject)
        self._attempts.begin(subject, self._now_us() / 1e6)
        result = Result.NO_USABLE_TRAIT
        try:
            samples, position = await self._referenced(principal, question, samples)
            policy = CapturePolicy(supervision_required=capture.supervised, challenge_required=capture.challenge)
            task = Task(samples.face, samples.finger, samples.finger_exempt, samples.supervised, policy, actions)
            async with self._comparer.turn():
                done = await self._comparer.compare(task)
            compared_at_us = self._now_us()
            result, reasons = _believed(*join(done.comparisons), samples.chip)
        finally:
            self._attempts.end(subject, result, self._now_us() / 1e6)
        binding = BindingCode[BINDING[result]]
        answer = (await self._checks.ask(principal, question, binding=binding, admitted=True)).answer
        signed = self._evidence(done, answer, samples, compared_at_us, position)
        return Verified(answer, result, reasons, done.comparisons, signed, self._signer.key_id.hex(), done.openings)

    async def at_desk(self, live: bytes, enrolled: list[bytes]) -> tuple[Result, tuple[str, ...]]:
        """Compare a finger taken at an officer's desk with a holder's enrolled ones; no check is asked, nothing is kept.

        Raises:
            BadInput, TooLarge, UnknownVersion: the scan is not of its form.
            MissingPackage: the comparison is not installed here. TimedOut, SourceDown: it gave no result.
        """
        task = Task(finger=FingerSet(live, enrolled), supervised=True)
        async with self._comparer.turn():
            done = await self._comparer.compare(task)
        return join(done.comparisons)

    def challenge(self, principal: Principal, document: DocumentFields) -> Challenged:
        """Draw a challenge for the bearer of a document; it can be answered once, by this party, for this document.

        Raises:
            Forbidden: this principal has no agreement.
        """
        self._checks.allowance(principal)
        self._comparer.warm()
        nonce = os.urandom(16)
        expires_at_us = self._now_us() + CHALLENGE_S * SECOND_US
        token = _TOKEN.pack(
            _TOKEN_VERSION, expires_at_us, nonce, self._seal(expires_at_us, nonce, self._subject(principal, document))
        )
        return Challenged(base64.urlsafe_b64encode(token).decode(), self._drawn(nonce), expires_at_us)

    def _actions(self, token: str, subject: bytes) -> tuple[attack.Action, ...]:
        """Return the actions of a challenge that is shown for the first time, in time, for the subject it was made for."""
        if not token:
            return ()
        try:
            version, expires_at_us, nonce, seal = _TOKEN.unpack(base64.b64decode(token, altchars=b"-_", validate=True))
        except (binascii.Error, ValueError, struct.error):
            raise _not_this_challenge() from None
        now_us = self._now_us()
        sealed = hmac.compare_digest(seal, self._seal(expires_at_us, nonce, subject))
        if version != _TOKEN_VERSION or not sealed or now_us > expires_at_us:
            raise _not_this_challenge()
        if not self._attempts.spend(hashlib.sha256(_CHALLENGE + nonce).digest()[:SUBJECT_BYTES], now_us / 1e6):
            raise _not_this_challenge()
        return self._drawn(nonce)

    def _seal(self, expires_at_us: int, nonce: bytes, subject: bytes) -> bytes:
        return hmac.digest(self._secret, struct.pack(">BQ", _TOKEN_VERSION, expires_at_us) + nonce + subject, "sha256")

    def _drawn(self, nonce: bytes) -> tuple[attack.Action, ...]:
        return attack.challenge(hmac.digest(self._secret, b"actions\0" + nonce, "sha256")).actions

    def _subject(self, principal: Principal, fields: DocumentFields) -> bytes:
        """Return what attempts are counted by: the party and the document's key; from it nobody can tell the document."""
        try:
            key = self._documents[principal.realm].blind(block(parse_document(fields)))
        except MalformedNumber:
            key = hmac.digest(self._secret, malformed_identity(fields), "sha256")
        whose = msgspec.json.encode((principal.realm, principal.id))
        return hashlib.sha256(_SUBJECT + hashlib.sha256(whose).digest() + key).digest()[:SUBJECT_BYTES]

    async def _referenced(self, principal: Principal, question: Question, samples: Samples) -> tuple[Samples, int | None]:
        """Fill in what the request leaves to the register of persons; says which entry accounts for it."""
        face = samples.face is not None and not samples.face.reference
        fingers = samples.finger is not None and not samples.finger.enrolled
        if not (face or fingers) or self._traits is None or question.holder is None:
            return samples, None
        try:
            document = parse_document(question.document)
        except MalformedNumber:
            return samples, None
        act = Act(principal.id, principal.realm)
        found = await self._traits.for_comparison(act, document, question.holder.name, face=face, fingers=fingers)
        if face and samples.face is not None and found.portrait:
            filled = msgspec.structs.replace(samples.face, reference=found.portrait)
            samples = msgspec.structs.replace(samples, face=filled)
        if fingers and samples.finger is not None and found.templates:
            filled_prints = msgspec.structs.replace(samples.finger, enrolled=found.templates)
            samples = msgspec.structs.replace(samples, finger=filled_prints)
        return samples, found.position

    def _evidence(
        self, done: Done, answer: Answer, samples: Samples, compared_at_us: int, position: int | None
    ) -> evidence.Signed:
        return evidence.record(
            done.lines,
            check=answer.check,
            compared_at_us=compared_at_us,
            device_class=samples.device,
            sign=self._signer.sign,
            binding=answer.binding.code,
            chip=samples.chip,
            register_position=position,
        )

    def warm(self) -> None:
        """Make ready to compare: a clerk is about to."""
        self._comparer.warm()

    async def close(self) -> None:
        """End the comparing process."""
        await self._comparer.close()


def _not_this_challenge() -> BadInput:
    return BadInput(
        "The challenge is not one for this document, was answered already, or is too old.",
        where="/challenge",
        mend="Begin a new challenge.",
    )


def _require(capture: Capture, question: Question, samples: Samples) -> None:
    """Refuse samples that are not what the agreement's capture policy demands."""
    face, finger = samples.face, samples.finger
    if face is None and finger is None:
        raise BadInput("There is nothing to compare.", where="/face", mend="Send `face`, `fingerprint` or both.")
    if capture.traits in ("face", "both") and face is None:
        raise BadInput("The agreement demands a comparison of faces.", where="/face", mend="Send `face`.")
    exempt = samples.finger_exempt and face is not None
    if capture.traits in ("finger", "both") and finger is None and not exempt:
        mend = "Send `fingerprint`, or `fingerprint_exempt` with a face if the person has no usable print."
        raise BadInput("The agreement demands a comparison of fingerprints.", where="/fingerprint", mend=mend)
    if capture.challenge and face is not None and not samples.challenge:
        mend = "Begin one with POST /v1/verifications/challenges."
        raise BadInput("The agreement demands a challenge with the face.", where="/challenge", mend=mend)
    if samples.challenge and (face is None or len(face.frames) != attack.STEPS):
        raise BadInput(f"A challenge is answered by {attack.STEPS} photos.", where="/face/frames", mend="Send one an action.")
    for given, where, mend in (
        (face is None or face.reference, "/face/reference", "Send the portrait of the chip."),
        (finger is None or finger.enrolled, "/fingerprint/enrolled", "Send enrolled prints, or compare the face."),
    ):
        if given:
            continue
        if not capture.enrolled:
            raise Forbidden("The agreement does not allow to compare with what is on record.", where=where, mend=mend)
        if question.holder is None or not question.holder.name:
            mend = "Send the name on the document too."
            raise BadInput("Traits on record are compared for a named holder only.", where="/check/holder", mend=mend)


def _believed(result: Result, reasons: tuple[str, ...], chip: evidence.Chip | None) -> tuple[Result, tuple[str, ...]]:
    """Take back a match against a reference whose chip proved nothing."""
    if result is Result.MATCH and chip is not None and not (chip.genuine and chip.unaltered):
        return Result.NO_USABLE_TRAIT, ("chip-not-believed",)
    return result, reasons
