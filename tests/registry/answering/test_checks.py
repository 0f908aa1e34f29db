"""From a question to an accounted, signed answer: every code, every refusal, and nobody answered without an account."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from annul import durable
from annul.errors import (
    AnnulError,
    BadInput,
    Forbidden,
    OverQuota,
    PurposeNotAllowed,
    SourceDown,
    StorageFailed,
    TimedOut,
    TooLarge,
)
from annul.home import Home
from annul.listings import pack, pack_many, pack_unlock
from annul.listings.values import COMPROMISED, DISPUTED, NUMBER, WHOLE_LIFE
from annul.proof.leaf import Leaf, context_commitment, document_commitment, pack_context, pack_leaf, pack_text, party_bytes
from annul.proof.receipt import verify, verify_document
from annul.proof.words import explain
from annul.records.check import Answer, Question
from annul.records.codes import Channel, FreshnessCode, Outcome, Purpose, StatusCode
from annul.records.document import block, canonical, number_block, unlock_key
from annul.records.references import holds_number
from annul.records.schemes.cn_resident import check_character
from annul.records.shown import is_shown
from annul.registry.answering.checklog import read_windows, worker_folder
from annul.registry.answering.checks import BATCH_MAX, Checks
from annul.registry.answering.walk import Walker, raise_alarm
from annul.registry.parties.parties import Principal
from tests.registry.answering.desk import LIVE, NOW_US, TEST, Desk, DocumentFields, State, card, parsed, principal, question
from tests.registry.answering.test_checklog import Failing

TODAY = NOW_US // 86_400_000_000
RU = DocumentFields(scheme="ru-internal", series="4509", number="123456")
PASSPORT = DocumentFields(scheme="icao-9303", issuer="UTO", kind="P", number="L898902C3")


def world(tmp_path: Path, story: Callable[[Desk], Awaitable[None]]) -> None:
    """Run a story in a fresh small world; everything the world answered must verify."""

    async def run() -> None:
        desk = Desk(tmp_path)
        try:
            await asyncio.wait_for(story(desk), 30)
        finally:
            await desk.close()

    asyncio.run(run())


async def status(desk: Desk, asked: Question | None = None, checks: Checks | None = None) -> str:
    """Ask, verify the receipt against the answer, and return the status code."""
    answer = (await (checks or desk.open[-1][0]).ask(desk.bank, asked or question())).answer
    said = explain(verify(answer.receipt, desk.verifier))
    assert said["status"] == answer.status.code
    assert said["outcome"] == answer.outcome
    assert said["check"] == answer.check
    assert said["advice"] == answer.advice
    return str(answer.status.code)


CODES = {
    State.current: "V00",
    State.compromised: "V01",
    State.owner_locked: "S13",
    State.suspended: "S12",
    State.reported_lost: "S10",
    State.reported_stolen: "S11",
    State.superseded: "I20",
    State.expired: "I21",
    State.cancelled: "I22",
    State.revoked: "I23",
    State.blank_stolen: "I24",
    State.destroyed: "I25",
    State.found_held: "I25",
}


def test_every_state_has_its_code(tmp_path: Path) -> None:
    """Each state in the table is answered with the code of the domain's table, with a receipt that says the same."""

    async def story(desk: Desk) -> None:
        desk.checks()
        for state, code in CODES.items():
            desk.put(parsed(), pack(state, 0, WHOLE_LIFE))
            assert await status(desk) == code, state

    world(tmp_path, story)


def test_what_is_not_listed_is_answered_by_coverage(tmp_path: Path) -> None:
    """Nothing found: no listing where listings are all the register takes, else not covered; never a pass."""

    async def story(desk: Desk) -> None:
        checks = desk.checks()
        for fields, code, coverage in (
            (RU, "V00", "listing_only"),
            (PASSPORT, "U30", "whole_life"),
            (card(), "U30", "whole_life"),
        ):
            answer = (await checks.ask(desk.bank, question(fields))).answer
            assert (answer.status.code, answer.status.coverage) == (code, coverage)
        generic = DocumentFields(scheme="generic", issuer="Nowhere", kind="pass", number="A1")
        answer = (await checks.ask(desk.bank, question(generic))).answer
        assert (answer.status.code, answer.status.coverage, answer.outcome) == ("U30", "none", "REFER")

    world(tmp_path, story)


def test_the_number_without_its_card(tmp_path: Path) -> None:
    """A number alone is told only when it has exactly one document of a whole life; wrong dates are their own answer."""

    async def story(desk: Desk) -> None:
        desk.checks()
        whole = pack(State.current, 0, WHOLE_LIFE)
        assert await status(desk, question(card(None))) == "U30"
        desk.put(parsed(), whole, number=pack(State.current, 0, WHOLE_LIFE | NUMBER))
        assert await status(desk, question(card(None))) == "V00"
        assert await status(desk, question(card("2017-10-06"))) == "U32"
        desk.put(parsed(), whole, number=pack(State.reported_lost, 0, NUMBER))
        assert await status(desk, question(card(None))) == "U31"
        assert await status(desk, question(card("2017-10-06"))) == "U30"
        desk.put(parsed(), whole, number=pack_many(WHOLE_LIFE))
        assert await status(desk, question(card(None))) == "U31"
        assert await status(desk, question(card("2017-10-06"))) == "U32"

    world(tmp_path, story)


def test_dates_count(tmp_path: Path) -> None:
    """A document past its last day is expired unless something worse stands; an end that is not its own fits no document."""

    async def story(desk: Desk) -> None:
        desk.checks()
        for day, code in ((TODAY - 1, "I21"), (TODAY, "V00"), (65535, "V00"), (0, "V00")):
            desk.put(parsed(), pack(State.current, day, WHOLE_LIFE))
            assert await status(desk) == code
        for state, code in ((State.compromised, "I21"), (State.owner_locked, "S13"), (State.reported_stolen, "S11")):
            desk.put(parsed(), pack(state, TODAY - 1, WHOLE_LIFE))
            assert await status(desk) == code
        until = parsed(card(valid_until="2036-10-06")).valid_until_day or 0
        desk.put(parsed(), pack(State.current, until, WHOLE_LIFE))
        assert await status(desk, question(card(valid_until="2036-10-06"))) == "V00"
        assert await status(desk, question(card(valid_until="2037-10-06"))) == "U32"
        desk.put(parsed(), pack(State.reported_lost, until, WHOLE_LIFE))
        assert await status(desk, question(card(valid_until="2037-10-06"))) == "S10"

    world(tmp_path, story)


def test_the_day_changes_under_a_running_worker(tmp_path: Path) -> None:
    """What is remembered of yesterday does not count today."""

    async def story(desk: Desk) -> None:
        desk.checks()
        desk.put(parsed(), pack(State.current, TODAY, WHOLE_LIFE))
        assert await status(desk) == "V00"
        desk.now += 86_400_000_000
        assert await status(desk) == "I21"

    world(tmp_path, story)


def test_a_disputed_listing_refers(tmp_path: Path) -> None:
    """A dispute is told as such whatever state stands."""

    async def story(desk: Desk) -> None:
        desk.checks()
        desk.put(parsed(), pack(State.reported_lost, 0, WHOLE_LIFE | DISPUTED))
        assert await status(desk) == "U34"

    world(tmp_path, story)


def test_an_owner_opens_the_lock_for_one_purpose_and_a_time(tmp_path: Path) -> None:
    """The unlock counts for its purpose until its minute; a leak under the lock is still told."""

    async def story(desk: Desk) -> None:
        desk.checks()
        desk.put(parsed(), pack(State.owner_locked, 0, WHOLE_LIFE))
        key = unlock_key(LIVE.blind(block(parsed())), Purpose.account_opening.octet)
        minute = NOW_US // 60_000_000
        desk.write(key, pack_unlock(minute + 10))
        assert await status(desk) == "V00"
        assert await status(desk, question(purpose="credit")) == "S13"
        desk.put(parsed(), pack(State.owner_locked, 0, WHOLE_LIFE | COMPROMISED))
        assert await status(desk) == "V01"
        desk.put(parsed(), pack(State.owner_locked, TODAY - 1, WHOLE_LIFE))
        assert await status(desk) == "I21"
        desk.put(parsed(), pack(State.owner_locked, 0, WHOLE_LIFE))
        desk.now = (minute + 10) * 60_000_000
        assert await status(desk) == "S13"

    world(tmp_path, story)


def test_a_malformed_number_is_an_answer(tmp_path: Path) -> None:
    """A wrong check digit is answered U33 with a receipt, and is not indexed under any document."""

    async def story(desk: Desk) -> None:
        desk.checks()
        assert await status(desk, question(card(number="110105194912310021"))) == "U33"
        record = next(read_windows(worker_folder(desk.home / "checks", 0)))
        assert record.privates[0].document_key == bytes(16)
        assert record.privates[0].number_key == b""

    world(tmp_path, story)


@pytest.mark.parametrize(("age_us", "code"), [(0, "F0"), (1_999_999, "F0"), (2_000_001, "F1"), (86_400_000_001, "F2")])
def test_freshness_follows_the_age_of_the_table(tmp_path: Path, age_us: int, code: str) -> None:
    """Live within two seconds, a copy within the policy's limit, older than that: refer."""

    async def story(desk: Desk) -> None:
        checks = desk.checks()
        desk.put(parsed(RU), 0)
        desk.now += age_us
        answer = (await checks.ask(desk.bank, question(RU))).answer
        assert (answer.freshness.code, answer.freshness.position) == (code, 7)
        assert answer.outcome == ("REFER" if code == "F2" else "PASS")

    world(tmp_path, story)


def test_withheld_reasons_are_in_the_private_record_alone(tmp_path: Path) -> None:
    """Without the right to reasons, answer and leaf say the class; the exact code stays in the account."""

    async def story(desk: Desk) -> None:
        checks = desk.checks()
        desk.put(parsed(), pack(State.reported_stolen, 0, WHOLE_LIFE))
        answer = (await checks.ask(principal("hotel", reasons=False), question())).answer
        assert (answer.status.code, answer.status.class_, answer.outcome) == ("S00", "reported", "STOP")
        assert explain(verify(answer.receipt, desk.verifier))["status"] == "S00"
        record = next(read_windows(worker_folder(desk.home / "checks", 0)))
        assert StatusCode.of_octet(record.privates[0].status) is StatusCode.S11

    world(tmp_path, story)


def test_the_test_realm_never_touches_live_data(tmp_path: Path) -> None:
    """A test credential sees test documents only, a live one live ones, also within one window."""

    async def story(desk: Desk) -> None:
        checks = desk.checks()
        whole = pack(State.current, 0, WHOLE_LIFE)
        desk.put(parsed(), pack(State.reported_lost, 0, WHOLE_LIFE), number=whole)
        desk.put(parsed(), whole, keys=TEST, number=whole)
        tester = principal("bank", realm="test")
        answers = await asyncio.gather(*[checks.ask(who, question()) for who in (tester, desk.bank, tester, desk.bank)])
        told = [answer.answer for answer in answers]
        assert [answer.status.code for answer in told] == ["V00", "S10", "V00", "S10"]
        assert [explain(verify(answer.receipt, desk.verifier))["realm"] for answer in told] == ["test", "live"] * 2

    world(tmp_path, story)


def test_the_receipt_opens_to_the_document_and_the_context(tmp_path: Path) -> None:
    """The salt beside the receipt opens both commitments; the leaf is exactly what `pack_leaf` writes."""

    async def story(desk: Desk) -> None:
        checks = desk.checks()
        desk.put(parsed(), pack(State.reported_lost, 0, WHOLE_LIFE))
        asked = question(branch="支行 1", terminal="t", clerk="c", reference="r", holder={"name": "王 明"})
        asked = msgspec.json.decode(msgspec.json.encode(asked), type=Question)
        answer = (await checks.ask(desk.bank, asked)).answer
        salt = bytes.fromhex(answer.opening)
        verified = verify(answer.receipt, desk.verifier)
        verify_document(verified, salt, canonical(parsed()))
        texts = pack_context("支行 1", "t", "c", "r") + pack_text("王 明")
        leaf = Leaf(
            0,
            desk.now,
            7,
            NOW_US,
            party_bytes("bank"),
            Purpose.account_opening.octet,
            Channel.in_person.octet,
            1,
            Outcome.STOP.octet,
            StatusCode.S10.octet,
            9,
            9,
            FreshnessCode.F0.octet,
            0,
            2,
            verified.leaf.advice,
            1,
            document_commitment(salt, canonical(parsed())),
            context_commitment(salt, texts),
        )
        assert pack_leaf(leaf) == verified.receipt.leaf

    world(tmp_path, story)


numbers = st.text("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=1, max_size=20)
documents = st.one_of(
    st.builds(
        DocumentFields,
        scheme=st.just("generic"),
        issuer=st.sampled_from(["ABC", "OFFICE-1"]),
        kind=st.just("PASS"),
        number=numbers,
    ),
    st.builds(
        DocumentFields,
        scheme=st.just("ru-internal"),
        series=st.from_regex(r"\A[0-9]{4}\Z"),
        number=st.from_regex(r"\A[0-9]{6}\Z"),
    ),
    st.builds(card, st.sampled_from([None, "2016-10-06", "2020-01-01"]), st.sampled_from([None, "long-term"])),
)
tags = st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=64).filter(
    lambda text: is_shown(text) and not holds_number(text)
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(documents, tags, tags, st.sampled_from(["in_person", "remote"])), min_size=1, max_size=40))
def test_assembled_bytes_are_the_documented_answer(tmp_path_factory: pytest.TempPathFactory, asks: list[Any]) -> None:
    """For any questions: the bytes decode to Answer and encode back to themselves, the receipt verifies and opens."""

    async def story(desk: Desk) -> None:
        checks = desk.checks()
        questions = [
            question(fields, channel=channel, clerk=clerk, reference=reference) for fields, clerk, reference, channel in asks
        ]
        for asked, answered in zip(questions, await checks.ask_many(desk.bank, questions), strict=True):
            answer = msgspec.json.decode(answered.body, type=Answer, strict=True)
            assert msgspec.json.encode(answer) == answered.body
            verified = verify(answer.receipt, desk.verifier)
            verify_document(verified, bytes.fromhex(answer.opening), canonical(parsed(asked.document)))

    world(Home(tmp_path_factory.mktemp("answers")), story)


def told(answer: Answer) -> Answer:
    """Leave out what differs between two askings: check id, receipt, opening."""
    answer.check, answer.receipt, answer.opening = "", {}, ""
    return answer


def test_a_batch_equals_the_map_of_single_checks(tmp_path: Path) -> None:
    """Every item of a batch is answered as if asked alone; what a single check refuses is NO_ANSWER in its place."""

    async def story(desk: Desk) -> None:
        checks = desk.checks()
        desk.put(parsed(), pack(State.reported_lost, 0, WHOLE_LIFE), number=pack_many(WHOLE_LIFE))
        desk.put(parsed(RU), pack(State.revoked, 0, 0))
        asks: list[Question | AnnulError] = [
            question(),
            question(RU, channel="remote"),
            question(card("2019-01-01")),
            question(purpose="travel"),
            question(purpose="no such thing"),
            question(DocumentFields(scheme="none")),
            BadInput("It is no question.", where="/checks/6"),
            question(card(number="1")),
            question(min_position=1 << 63),
            question(PASSPORT),
        ] * 30
        batch = [answered.answer for answered in await checks.ask_many(desk.bank, asks)]
        for asked, answer in zip(asks[:10], batch, strict=False):
            refused = ""
            try:
                if isinstance(asked, AnnulError):
                    raise asked
                alone = (await checks.ask(desk.bank, asked)).answer
            except AnnulError as error:
                refused = {PurposeNotAllowed: "E93", BadInput: "E94", TimedOut: "E95"}[type(error)]
            if refused:
                assert (answer.outcome, answer.error.code) == ("NO_ANSWER", refused)
                assert answer.status.code is None
                assert answer.receipt == {}
            else:
                verify(answer.receipt, desk.verifier)
                assert told(answer) == told(alone)

    world(tmp_path, story)


def test_a_batch_has_a_limit(tmp_path: Path) -> None:
    """10,000 checks are answered, each with its own receipt; one more is refused as a whole."""

    async def story(desk: Desk) -> None:
        checks = desk.checks()
        asks: list[Question | AnnulError] = [question(RU)] * BATCH_MAX
        fast = principal("fast", per_second=100_000)
        answers = await checks.ask_many(fast, asks)
        assert len({answered.body for answered in answers}) == BATCH_MAX
        with pytest.raises(TooLarge):
            await checks.ask_many(fast, [*asks, question()])
        assert await checks.ask_many(fast, []) == []

    world(tmp_path, story)


def test_quota_is_shared_by_workers_and_renewed(tmp_path: Path) -> None:
    """What one worker admits counts for the other; the next second begins anew; the day has a limit of its own."""

    async def story(desk: Desk) -> None:
        first, second = desk.checks(0), desk.checks(1)
        party = principal("small", per_second=3, per_day=5)
        await first.ask(party, question())
        await second.ask(party, question())
        await first.ask(party, question())
        for checks in (first, second):
            with pytest.raises(OverQuota) as caught:
                await checks.ask(party, question())
            assert caught.value.extra["retry_after_s"] == 1
        desk.now += 1_000_000
        await second.ask(party, question())
        await first.ask(party, question())
        with pytest.raises(OverQuota) as caught:
            await second.ask(party, question())
        wait = caught.value.extra["retry_after_s"]
        assert isinstance(wait, int)
        assert wait > 1
        desk.now += wait * 1_000_000
        answers = await second.ask_many(party, [question()] * 5)
        assert [answer.answer.error.code for answer in answers] == ["E00"] * 3 + ["E91"] * 2

    world(tmp_path, story)


def test_what_the_agreement_does_not_cover_is_refused_and_leaves_no_account(tmp_path: Path) -> None:
    """Another purpose, another channel, no agreement: refused, nothing looked up, nothing written."""

    async def story(desk: Desk) -> None:
        checks = desk.checks()
        with pytest.raises(PurposeNotAllowed):
            await checks.ask(desk.bank, question(purpose="travel"))
        agreement = msgspec.structs.replace(desk.bank.agreement, channels=frozenset({"remote"}))
        with pytest.raises(PurposeNotAllowed):
            await checks.ask(msgspec.structs.replace(desk.bank, agreement=agreement), question())
        with pytest.raises(Forbidden):
            await checks.ask(Principal("police", "Police", "police", "live"), question())
        assert list(read_windows(worker_folder(desk.home / "checks", 0))) == []

    world(tmp_path, story)


def test_min_position_waits_for_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A question that names its own report waits until the table has it, and is told E95 when that does not happen."""
    monkeypatch.setattr("annul.registry.answering.checks.POSITION_WAIT_MAX_S", 0.05)

    async def story(desk: Desk) -> None:
        checks = desk.checks()
        waiting = asyncio.ensure_future(checks.ask(desk.bank, question(min_position=8)))
        await asyncio.sleep(0)
        assert not waiting.done()
        desk.put(parsed(), pack(State.reported_lost, 0, WHOLE_LIFE))
        desk.writer.set_applied(8, desk.now)
        answer = (await waiting).answer
        assert (answer.status.code, answer.freshness.position) == ("S10", 8)
        with pytest.raises(TimedOut):
            await checks.ask(desk.bank, question(min_position=9))

    world(tmp_path, story)


@pytest.mark.parametrize(
    "plan",
    [{"write": errno.ENOSPC}, {"write": "short"}, {"sync": errno.EIO}, {"sync": errno.EIO, "truncate": errno.EIO}],
    ids=["disk full", "short write", "barrier fails", "barrier and cut fail"],
)
def test_nobody_is_answered_when_the_account_cannot_be_kept(tmp_path: Path, plan: dict[str, int | str]) -> None:
    """Each failing step refuses every question of the window, singles and batches; afterwards answers go on, in a chain."""

    async def story(desk: Desk) -> None:
        steps: dict[str, int | str] = {}
        checks = desk.checks(open_file=lambda path: Failing(path, steps))
        await checks.ask(desk.bank, question())
        steps.update(plan)
        asks = [checks.ask(desk.bank, question()) for _ in range(20)]
        results = await asyncio.gather(*asks, checks.ask_many(desk.bank, [question()] * 300), return_exceptions=True)
        assert all(isinstance(result, StorageFailed) for result in results)
        steps.clear()
        answered = 0
        for _ in range(3):
            try:
                answer = (await checks.ask(desk.bank, question())).answer
            except StorageFailed:
                continue
            answered += 1
            verify(answer.receipt, desk.verifier)
        assert answered >= 2
        windows = list(read_windows(worker_folder(desk.home / "checks", 0)))
        assert [record.stated.window for record in windows] == list(range(len(windows)))

    world(tmp_path, story)


def test_every_answer_has_its_durable_leaf(tmp_path: Path) -> None:
    """What left is in the log: each receipt's leaf stands at its index of its window, and windows form a chain."""

    async def story(desk: Desk) -> None:
        checks = desk.checks()
        answers = [item.answer for item in await asyncio.gather(*[checks.ask(desk.bank, question(RU)) for _ in range(300)])]
        windows = {record.stated.window: record for record in read_windows(worker_folder(desk.home / "checks", 0))}
        for answer in answers:
            verified = verify(answer.receipt, desk.verifier)
            record = windows[verified.statement.window]
            assert record.leaves[verified.receipt.index] == verified.receipt.leaf
            assert record.statement == verified.receipt.statement
            assert record.privates[verified.receipt.index].salt.hex() == answer.opening
        assert sum(len(record.leaves) for record in windows.values()) == len(answers)

    world(tmp_path, story)


def test_a_graceful_stop_answers_what_was_accepted(tmp_path: Path) -> None:
    """Questions in flight at the stop are answered; later ones are refused."""

    async def story(desk: Desk) -> None:
        checks = desk.checks()
        asks = [asyncio.ensure_future(checks.ask(desk.bank, question())) for _ in range(50)]
        await asyncio.sleep(0)
        await desk.close()
        assert [answered.answer.status.code for answered in await asyncio.gather(*asks)] == ["U30"] * 50
        with pytest.raises(AnnulError):
            await checks.ask(desk.bank, question())

    world(tmp_path, story)


def test_an_alarm_that_cannot_be_left_holds_up_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk under the alarms about a walker: the window it was found in is answered, and the next one too."""
    monkeypatch.setattr("annul.registry.answering.walk.SLOW_S", 0.0)

    async def story(desk: Desk) -> None:
        tried: list[str] = []
        home = Home(desk.home)

        def alarm(walker: Walker, now_us: int) -> None:
            tried.append(walker.party)
            raise_alarm(home, walker, now_us)

        durable.folder(home.run)
        home.alarms.write_bytes(b"")  # no folder can be made in its place
        checks = desk.checks(alarm=alarm)
        street = [f"11010519491231{n:03d}" for n in range(20)]
        asks = [question(card(number=body + check_character(body))) for body in street]
        answers = await checks.ask_many(desk.bank, asks)
        assert [answered.answer.error.code for answered in answers] == ["E00"] * 20
        assert tried
        assert (await checks.ask(principal("other"), question())).answer.error.code == "E00"

    world(tmp_path, story)


def test_a_fault_behind_the_barrier_is_said_and_ends_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the answers of a durable window cannot be made, those who asked hear it; the next window is answered."""
    monkeypatch.setattr("annul.registry.answering.walk.SLOW_S", 0.0)

    async def story(desk: Desk) -> None:
        def alarm(_walker: Walker, _now_us: int) -> None:
            raise RuntimeError("told to fail")

        checks = desk.checks(alarm=alarm)
        street = [f"11010519491231{n:03d}" for n in range(20)]
        asks = [question(card(number=body + check_character(body))) for body in street]
        with pytest.raises(SourceDown):
            await checks.ask_many(desk.bank, asks)
        assert (await checks.ask(principal("other"), question())).answer.error.code == "E00"

    world(tmp_path, story)


def test_a_window_that_fails_holds_up_none_behind_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More questions than one window holds, and the first window cannot be answered: the others are, and a stop ends."""
    monkeypatch.setattr("annul.registry.answering.line.WINDOW_LEAVES_MAX", 4)

    async def story(desk: Desk) -> None:
        checks = desk.checks()
        refresh, failures = desk.listings.refresh, [SourceDown("The table is being made anew.")]

        def failing() -> Any:
            if failures:
                raise failures.pop()
            return refresh()

        monkeypatch.setattr(desk.listings, "refresh", failing)
        asks = [asyncio.ensure_future(checks.ask(desk.bank, question(RU))) for _ in range(11)]
        results = await asyncio.gather(*asks, return_exceptions=True)
        assert [isinstance(result, SourceDown) for result in results] == [True] * 4 + [False] * 7
        failures.append(SourceDown("The table is being made anew."))
        last = asyncio.ensure_future(checks.ask(desk.bank, question(RU)))
        await asyncio.sleep(0)
        await desk.close()
        assert isinstance((await asyncio.gather(last, return_exceptions=True))[0], SourceDown)

    world(tmp_path, story)


def test_private_records_hold_the_keys_of_document_and_number(tmp_path: Path) -> None:
    """The account can be found by the document and by its number, and by nothing that reveals either."""

    async def story(desk: Desk) -> None:
        checks = desk.checks()
        await checks.ask_many(desk.bank, [question(), question(card(None)), question(RU)])
        privates = next(read_windows(worker_folder(desk.home / "checks", 0))).privates
        document, number = LIVE.blind(block(parsed())), LIVE.blind(number_block(parsed()))
        assert [(p.document_key, p.number_key) for p in privates] == [
            (document, number),
            (bytes(16), number),
            (LIVE.blind(block(parsed(RU))), b""),
        ]
        raw = b"".join(path.read_bytes() for path in (desk.home / "checks" / "00").glob("*.log"))
        assert card().number is not None
        assert card().number.encode() not in raw  # type: ignore[union-attr]

    world(tmp_path, story)
