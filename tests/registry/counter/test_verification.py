"""The axis binding in answers, and what a verification costs, counts and refuses."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from annul.errors import AnnulError, OverQuota, PurposeNotAllowed
from annul.likeness.comparison import ATTEMPTS_MAX
from annul.likeness.process import FingerSet
from annul.listings import pack
from annul.proof.checkpoint import Signer
from annul.proof.receipt import verify
from annul.proof.words import explain
from annul.records.check import DECISIONS, Answer
from annul.records.codes import BindingCode, Channel, FreshnessCode, IdentityCode, Purpose, StatusCode
from annul.registry.counter.attempts import AttemptFile
from annul.registry.counter.verification import Samples, Verifications
from tests.likeness.people import minutiae_of, record_of
from tests.registry.answering.desk import LIVE, SECRET, TEST, Desk, DocumentFields, State, parsed, principal, question
from tests.registry.answering.test_checks import world

FREE = DocumentFields(scheme="ru-internal", series="4509", number="123456")
LOST = DocumentFields(scheme="ru-internal", series="4509", number="123457")
FINGER, OTHER = record_of(minutiae_of(11)), record_of(minutiae_of(12))


def samples(live: bytes) -> Samples:
    return Samples(None, FingerSet(live, [FINGER]), False, None, True, "counter-scanner")


def verifications(desk: Desk) -> Verifications:
    attempts = AttemptFile(desk.home / "attempts")
    documents = {"live": LIVE, "test": TEST}
    signer = Signer("annul/receipts", SECRET)
    return Verifications(desk.checks(), signer, lambda: desk.now, documents=documents, attempts=attempts, secret=SECRET)


def test_every_binding_decides_beside_every_status_in_one_window(tmp_path: Path) -> None:
    """Questions of one window with different bindings: each gets its own code, outcome and advice."""

    async def story(desk: Desk) -> None:
        desk.put(parsed(LOST), pack(State.reported_lost))
        checks = desk.checks()
        cases = [
            (fields, channel, code) for fields in (FREE, LOST) for channel in ("in_person", "remote") for code in BindingCode
        ]
        waiting = [
            checks.ask(desk.bank, question(fields, channel=channel), binding=code) for fields, channel, code in cases * 2
        ]
        answers: list[Answer] = [each.answer for each in await asyncio.gather(*waiting)]
        for (fields, channel, code), answer in zip(cases * 2, answers, strict=True):
            said = explain(verify(answer.receipt, desk.verifier))
            decision = DECISIONS.look(
                StatusCode.S10 if fields is LOST else StatusCode.V00,
                IdentityCode.M9,
                code,
                FreshnessCode.F0,
                Channel(channel),
                purpose=Purpose.account_opening,
            )
            assert answer.binding.code == said["binding"] == code.value
            assert (answer.outcome, answer.advice) == (decision.outcome.value, list(decision.names))
            assert (said["outcome"], said["advice"]) == (answer.outcome, answer.advice)
            if fields is FREE:
                assert ("bearer" in answer.detail) == (code in (BindingCode.B1, BindingCode.B2, BindingCode.B3))

    world(tmp_path, story)


def test_a_verification_costs_one_check_and_is_paid_before_it_is_compared(tmp_path: Path) -> None:
    """With one check a day left the first goes through; the second is refused without a process having been started anew."""

    async def story(desk: Desk) -> None:
        desk.bank = principal("bank", per_day=1)
        room = verifications(desk)
        try:
            found = await room.verify(desk.bank, question(FREE), samples(FINGER))
            assert found.answer.binding.code == "B0"
            await room.close()
            with pytest.raises(OverQuota):
                await room.verify(desk.bank, question(FREE), samples(FINGER))
            assert room._comparer._process is None
        finally:
            await room.close()

    world(tmp_path, story)


def test_a_purpose_outside_of_the_agreement_starts_no_comparison(tmp_path: Path) -> None:
    """Refused as a plain check is, and nothing was decoded."""

    async def story(desk: Desk) -> None:
        room = verifications(desk)
        with pytest.raises(PurposeNotAllowed):
            await room.verify(desk.bank, question(FREE, purpose="travel"), samples(b"rubbish"))
        assert room._comparer._process is None

    world(tmp_path, story)


def test_attempts_sent_at_once_do_not_slip_past_the_counter(tmp_path: Path) -> None:
    """Eight mismatches together: five are compared, three are refused. A quarter of an hour later it goes on."""

    async def story(desk: Desk) -> None:
        room = verifications(desk)
        try:
            sent = [room.verify(desk.bank, question(FREE, terminal="3"), samples(OTHER)) for _ in range(8)]
            done = await asyncio.gather(*sent, return_exceptions=True)
            codes = [each.answer.binding.code for each in done if not isinstance(each, BaseException)]
            assert codes == ["B1"] * ATTEMPTS_MAX
            assert all(isinstance(each, OverQuota) for each in done[ATTEMPTS_MAX:])
            with pytest.raises(OverQuota):  # at whatever terminal
                await room.verify(desk.bank, question(FREE, terminal="4"), samples(FINGER))
            desk.now += 901_000_000
            again = await room.verify(desk.bank, question(FREE, terminal="3"), samples(FINGER))
            assert again.answer.binding.code == "B0"
        finally:
            await room.close()

    world(tmp_path, story)


def test_samples_that_cannot_be_read_do_not_count_as_attempts(tmp_path: Path) -> None:
    """Ten damaged records are ten errors and no pause."""

    async def story(desk: Desk) -> None:
        room = verifications(desk)
        try:
            for _ in range(2 * ATTEMPTS_MAX):
                with pytest.raises(AnnulError) as refused:
                    await room.verify(desk.bank, question(FREE), samples(FINGER[:40]))
                assert not isinstance(refused.value, OverQuota)
            assert (await room.verify(desk.bank, question(FREE), samples(FINGER))).answer.binding.code == "B0"
        finally:
            await room.close()

    world(tmp_path, story)
