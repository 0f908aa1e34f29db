"""Is the bearer the holder? One verification: comparison in a process apart, then the check with its result, then the evidence.

The comparison comes first, because its result is an axis of the answer and of the receipt. It is admitted and paid from the
quota before anything is decoded, and counted by terminal and document: five mismatches bring a pause.

What must never happen here: a sample in a log, a file or the database; a match against a portrait from a chip that is not
believed; evidence that names another check.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec

from annul.errors import BadInput, MalformedNumber
from annul.likeness import evidence
from annul.likeness.comparison import BINDING, AttemptCounter, Comparison, Result, join
from annul.likeness.process import Comparer, Done, FacePair, FingerSet, Task
from annul.records.codes import BindingCode
from annul.records.document import canonical, parse_document
from annul.registry.checks import malformed_identity

if TYPE_CHECKING:
    from annul.proof.checkpoint import Signer
    from annul.records.check import Answer, Question
    from annul.registry.checks import Checks
    from annul.registry.parties import Principal

_SUBJECT: Final = b"annul attempts v1\0"


class Samples(msgspec.Struct, frozen=True):
    """What was captured of the bearer, and what it is compared with.

    supervised: the clerk watched the capture; device: class of the capturing device; chip: where the reference came from;
    finger_exempt: the person has no usable print.
    """

    face: FacePair | None
    finger: FingerSet | None
    finger_exempt: bool
    chip: evidence.Chip | None
    supervised: bool
    device: evidence.DeviceClass


class Verified(msgspec.Struct, frozen=True):
    """One verification: the answer, what was compared, the signed evidence and the salts that open its commitments."""

    answer: Answer
    result: Result
    reasons: tuple[str, ...]
    comparisons: tuple[Comparison, ...]
    evidence: evidence.Signed
    key: str
    openings: dict[str, dict[str, str]]


class Verifications:
    """Verify bearers in one worker process.

    Args:
        checks: the ask path.
        signer: signs evidence; the key of receipts, under the prefix of `evidence`.
        now_us: microseconds since the epoch.
        comparer: the process that compares.
    """

    def __init__(self, checks: Checks, signer: Signer, now_us: Callable[[], int], *, comparer: Comparer | None = None) -> None:
        self._checks = checks
        self._signer = signer
        self._now_us = now_us
        self._comparer = comparer or Comparer()
        self._attempts = AttemptCounter()
        self._secret = os.urandom(32)

    async def verify(self, principal: Principal, question: Question, samples: Samples) -> Verified:
        """Compare, ask, and make the evidence.

        Raises:
            BadInput, TooLarge, UnknownVersion: a sample is not of its form; `where` names it. Nothing was asked.
            OverQuota: the quota is used up, or too many comparisons failed for this document at this terminal.
            MissingPackage: the comparison is not installed here. TimedOut, SourceDown: it gave no result.
            Forbidden, PurposeNotAllowed, StorageFailed: as `Checks.ask`.
        """
        if samples.face is None and samples.finger is None:
            raise BadInput("There is nothing to compare.", where="/face", mend="Send `face`, `fingerprint` or both.")
        self._checks.admit(principal, question)
        subject = self._subject(principal, question)
        task = Task(samples.face, samples.finger, samples.finger_exempt, samples.supervised)
        async with self._comparer.turn():  # one at a time, so that no attempt slips past the counter
            self._attempts.admit(subject, self._now_us() / 1e6)
            done = await self._comparer.compare(task)
            compared_at_us = self._now_us()
            result, reasons = _believed(*join(done.comparisons), samples.chip)
            self._attempts.record(subject, result, compared_at_us / 1e6)
        binding = BindingCode[BINDING[result]]
        answer = (await self._checks.ask(principal, question, binding=binding, admitted=True)).answer
        signed = self._evidence(done, answer, samples, compared_at_us)
        return Verified(answer, result, reasons, done.comparisons, signed, self._signer.key_id.hex(), done.openings)

    def _subject(self, principal: Principal, question: Question) -> bytes:
        """Return an opaque name for this document at this terminal; it means nothing outside of this process."""
        try:
            document = canonical(parse_document(question.document))
        except MalformedNumber:
            document = malformed_identity(question.document)
        desk = msgspec.json.encode((principal.realm, principal.id, question.branch, question.terminal))
        return hmac.digest(self._secret, _SUBJECT + hashlib.sha256(desk).digest() + document, "sha256")

    def _evidence(self, done: Done, answer: Answer, samples: Samples, compared_at_us: int) -> evidence.Signed:
        return evidence.record(
            done.lines, check=answer.check, compared_at_us=compared_at_us, device_class=samples.device, sign=self._signer.sign,
            binding=answer.binding.code, chip=samples.chip,
        )  # fmt: skip

    async def close(self) -> None:
        """End the comparing process."""
        await self._comparer.close()


def _believed(result: Result, reasons: tuple[str, ...], chip: evidence.Chip | None) -> tuple[Result, tuple[str, ...]]:
    """Take back a match against a reference whose chip proved nothing."""
    if result is Result.MATCH and chip is not None and not (chip.genuine and chip.unaltered):
        return Result.NO_USABLE_TRAIT, ("chip-not-believed",)
    return result, reasons
