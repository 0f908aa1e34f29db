"""Enumeration by a party with a good key: detected, slowed, stopped, reported; honest traffic untouched."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import numpy as np
import psycopg
import pytest

from annul.demo import numbers
from annul.errors import OverQuota
from annul.records.check import Holder
from annul.records.document import DocumentFields
from annul.records.entry import EntryKind
from annul.registry.answering import walk
from annul.registry.answering.checks import SLOWED_BATCH_MAX
from annul.registry.answering.walk import (
    AGREED_PER_DAY,
    MISSES_STOP,
    NAMES_SLOW,
    NAMES_STOP,
    NEIGHBOURHOODS_MAX,
    NEIGHBOURS_SCALE_MAX,
    NEIGHBOURS_SLOW,
    NEIGHBOURS_STOP,
    Pace,
    Walker,
    alarms,
    raise_alarm,
)
from tests.registry.answering.desk import NOW_US, Desk, NameDesk, principal, question
from tests.registry.world import World
from tests.world import said

SECOND_US = 1_000_000
HOUR_US = 3600 * SECOND_US


def street(count: int) -> list[str]:
    """Return good numbers of one place and day, one after the other."""
    orders = np.arange(1, count + 1)
    made = numbers.personal_numbers(np.full(count, 110105), np.full(count, 8_000), orders)
    return [number.decode() for number in made]


def town(count: int) -> list[str]:
    """Return good numbers spread as a branch's customers are: ten places, sixty years."""
    rng = np.random.default_rng(7)
    places = rng.choice(np.array([110105, 110106, 110108, 440524, 310101]), count)
    made = numbers.personal_numbers(places, rng.integers(-3_000, 12_000, count), rng.integers(1, 400, count))
    return [number.decode() for number in made]


def test_who_walks_along_a_street_is_slowed_and_then_stopped() -> None:
    """Whether the numbers exist or not: it is the pattern that tells."""
    walker = Walker("bank")
    paces = []
    for place, number in enumerate(street(NEIGHBOURS_STOP), start=1):
        walker.asked(number, NOW_US)
        paces.append((place, walker.pace))
    assert paces[NEIGHBOURS_SLOW - 2][1] is Pace.free
    assert paces[NEIGHBOURS_SLOW - 1][1] is Pace.slowed
    assert paces[-1][1] is Pace.stopped
    with pytest.raises(OverQuota):
        walker.hold(NOW_US)
    assert walker.settle(NOW_US)
    assert not walker.settle(NOW_US)  # the supervisor is told once


def test_the_same_customers_again_and_again_are_no_walk() -> None:
    """Few numbers, many questions."""
    walker = Walker("bank")
    for number in street(NEIGHBOURS_SLOW - 1) * 500:
        walker.asked(number, NOW_US)
    assert walker.pace is Pace.free


def test_a_branch_of_honest_desks_is_never_slowed() -> None:
    """Twenty thousand customers in a day, one in fifty mistyped."""
    walker = Walker("bank")
    random.seed(3)
    for place, number in enumerate(town(20_000)):
        now = NOW_US + place * SECOND_US
        walker.asked(number, now)
        walker.seen += 1
        walker.missed += random.random() < 0.02
        walker.settle(now)
    assert walker.pace is Pace.free


def test_who_guesses_is_stopped_by_misses() -> None:
    """Scattered guesses: nine of ten unknown."""
    walker = Walker("bank")
    for place in range(400):
        walker.seen += 1
        walker.missed += place % 10 > 0
        walker.settle(NOW_US + place * SECOND_US)
    assert (walker.pace, walker.why) == (Pace.stopped, "misses")


def test_misses_are_forgotten_with_time() -> None:
    """A bad morning a week is no walk."""
    walker = Walker("hotel")
    for week in range(20):
        walker.seen += 30
        walker.missed += 30
        walker.settle(NOW_US + week * 7 * 24 * HOUR_US)
    assert walker.pace is Pace.free


def test_a_pace_ends_by_itself() -> None:
    """After an hour the party begins anew."""
    walker = Walker("bank")
    for number in street(NEIGHBOURS_STOP):
        walker.asked(number, NOW_US)
    assert walker.hold(NOW_US + HOUR_US) == 0.0
    assert walker.pace is Pace.free


def test_who_guesses_the_name_of_a_number_is_stopped() -> None:
    """A clerk tries a few spellings of many customers' names; a dozen names for one number are guesses, also among others."""
    clerk, thief = Walker("hotel"), Walker("thief")
    customers = town(2_000)
    for number in customers:
        for name in ("Li Lei", "LI LEI", "李雷", "李蕾") * 3:
            clerk.named(number, name, NOW_US)
    assert clerk.pace is Pace.free
    for place in range(NAMES_STOP):
        thief.named(customers[0], f"name {place}", NOW_US)
        for number in customers[1 : NEIGHBOURHOODS_MAX // 4]:
            thief.named(number, "Li Lei", NOW_US)
        assert thief.pace is (Pace.free if place + 1 < NAMES_SLOW else Pace.slowed if place + 1 < NAMES_STOP else Pace.stopped)
    assert thief.why == "names"


def test_a_party_that_agreed_on_much_cannot_walk_a_street_either() -> None:
    """A place has only so many births a day, however many checks were agreed on."""
    bank = Walker("bank", per_day=AGREED_PER_DAY * 1_000)
    for number in street(int(NEIGHBOURS_STOP * NEIGHBOURS_SCALE_MAX)):
        bank.asked(number, NOW_US)
    assert bank.pace is Pace.stopped


def test_documents_of_others_are_no_misses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hotel full of foreigners, whose passports this register does not cover, is never slowed; names that are wrong count."""
    monkeypatch.setattr(walk, "SLOW_S", 0.0)

    async def scene() -> None:
        desk = NameDesk(tmp_path)
        desk.know(_card(street(1)[0]), "王小明")
        raised: list[str] = []
        checks = desk.open_checks(alarm=lambda walker, _now: raised.append(walker.party))
        try:
            passports = [DocumentFields(scheme="icao-9303", issuer="XOM", kind="P", number=f"L{n:08d}") for n in range(400)]
            guests = [question(fields, holder=Holder("Anna Eriksson")) for fields in passports]
            hotel = principal("hotel", identity_allowed=True)
            answers = [each.answer for each in await checks.ask_many(hotel, guests)]
            assert {(each.status.code, each.identity.code) for each in answers} == {("U30", "M3")}
            assert not raised
            wrong = [question(_card(number), holder=Holder("李雷")) for number in town(400)]
            await checks.ask_many(principal("thief", identity_allowed=True), wrong)
            assert set(raised) == {"thief"}
        finally:
            await desk.close()

    asyncio.run(scene())


def test_the_sketch_is_bounded_and_holds_no_number() -> None:
    """However many neighbourhoods are asked about."""
    walker = Walker("bank")
    for number in town(30_000):
        walker.asked(number, NOW_US)
        walker.named(number, "Li Lei", NOW_US)
    assert max(len(walker._places), len(walker._names)) <= walk.NEIGHBOURHOODS_MAX
    assert all(isinstance(key, int) and all(isinstance(each, int) for each in kept) for key, kept in walker._places.items())


def test_the_check_path_stops_a_walk_and_serves_the_others(tmp_path: Path) -> None:
    """E91 for the walker, in single checks and batches; the bank beside it is served; the alarm names no number."""

    async def scene() -> None:
        desk = Desk(tmp_path)
        told: list[tuple[str, Pace]] = []

        def alarm(walker: Walker, now_us: int) -> None:
            told.append((walker.party, walker.pace))
            raise_alarm(tmp_path, walker, now_us)

        checks = desk.checks(alarm=alarm)
        thief = principal("thief")
        walk.SLOW_S, kept = 0.0, walk.SLOW_S  # type: ignore[misc]
        try:
            asked = [question(_card(number)) for number in street(NEIGHBOURS_STOP + 20)]
            answers = [each.answer for each in await checks.ask_many(thief, asked)]
            assert [each.error.code for each in answers[-20:]] == ["E91"] * 20
            with pytest.raises(OverQuota):
                await checks.ask(thief, asked[0])
            assert (await checks.ask(desk.bank, asked[0])).answer.error.code == "E00"
        finally:
            walk.SLOW_S = kept  # type: ignore[misc]
            await desk.close()
        assert told
        assert told[-1] == ("thief", Pace.stopped)

    asyncio.run(scene())
    waiting = list(alarms(tmp_path))
    assert {alarm.party for _, alarm in waiting} == {"thief"}
    assert not any(number.encode() in path.read_bytes() for path, _ in waiting for number in street(60))


def test_a_slowed_batch_is_refused_beyond_a_few_checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A penalty that costs the server half a second for each of ten thousand checks is none: the rest is refused at once."""
    monkeypatch.setattr(walk, "SLOW_S", 0.001)

    async def scene() -> None:
        desk = Desk(tmp_path)
        checks = desk.checks(alarm=lambda *_: None)
        thief = principal("thief")
        asked = [question(_card(number)) for number in street(NEIGHBOURS_STOP - 1)]
        answers = [each.answer.error.code for each in await checks.ask_many(thief, asked)]
        served = NEIGHBOURS_SLOW + SLOWED_BATCH_MAX
        assert answers == ["E00"] * served + ["E91"] * (len(asked) - served)
        with pytest.raises(OverQuota) as refused:
            await checks.ask_many(thief, asked[: SLOWED_BATCH_MAX + 1])
        assert refused.value.extra["retry_after_s"]
        few = await checks.ask_many(thief, asked[:SLOWED_BATCH_MAX])
        assert [each.answer.error.code for each in few] == ["E00"] * SLOWED_BATCH_MAX
        assert (await checks.ask(desk.bank, asked[0])).answer.error.code == "E00"
        await desk.close()

    asyncio.run(scene())


def _card(number: str) -> DocumentFields:
    return DocumentFields(scheme="cn-resident", number=number, valid_from="2016-10-06")


def test_the_supervisor_finds_it_in_the_log(world: World) -> None:
    """The follower enters what the workers left; a file that is none is removed."""
    walker = Walker("thief")
    for number in street(NEIGHBOURS_STOP):
        walker.asked(number, NOW_US)
    raise_alarm(world.home, walker, NOW_US)
    (world.home.alarms / "0.json").write_bytes(b"{")
    world.follow()
    with asyncio.Runner() as runner:
        world.follower.errands(runner)
    with psycopg.connect(world.conninfo) as db:
        (entry,) = said(db)
    assert (entry.kind, entry.author, entry.evidence) == (EntryKind.note, "annul", "thief was stopped: neighbours")
    assert not list(alarms(world.home))


def test_limits_grow_with_the_agreement() -> None:
    """A party that agreed on a hundred times as many checks is not slowed by what slows another."""
    small, large = Walker("hotel"), Walker("bank", per_day=AGREED_PER_DAY * 100)
    for walker in (small, large):
        walker.seen = walker.missed = int(MISSES_STOP)
        walker.settle(1)
    assert (small.pace, large.pace) == (Pace.stopped, Pace.free)


def test_a_street_is_seen_after_more_neighbourhoods_than_are_remembered() -> None:
    """4,097 honest neighbourhoods first: the oldest is forgotten, not the one under way."""
    walker = Walker("bank")
    made = numbers.personal_numbers(np.full(4_097, 310101), np.arange(4_097), np.full(4_097, 7))
    for number in made.tolist():
        walker.asked(number.decode(), NOW_US)
    assert (walker.pace, len(walker._places)) == (Pace.free, 4_096)
    for number in street(NEIGHBOURS_SLOW):
        walker.asked(number, NOW_US)
    assert (walker.pace, walker.why) == (Pace.slowed, "neighbours")


def test_a_neighbourhood_that_is_used_is_not_the_one_forgotten() -> None:
    """Slowly, among thousands of others: a street of which something is asked again and again is remembered."""
    walker = Walker("bank")
    walked = street(NEIGHBOURS_STOP)
    for number in walked[:NEIGHBOURS_SLOW]:
        walker.asked(number, NOW_US)
    made = numbers.personal_numbers(np.full(4_000, 310101), np.arange(4_000), np.full(4_000, 7))
    for place, number in enumerate(made.tolist()):
        walker.asked(number.decode(), NOW_US)
        if place % 100 == 0 and place < 2_800:
            walker.asked(walked[NEIGHBOURS_SLOW + place // 100], NOW_US)
    assert walker.pace is Pace.stopped


def test_answers_fade_as_misses_do() -> None:
    """A day of honest answers, a night, then 200 misses: stopped. Yesterday's answers are no alibi."""
    walker = Walker("bank")
    for place in range(20_000):
        walker.seen += 1
        walker.missed += place % 50 == 0
        walker.settle(NOW_US + place * 4 * SECOND_US)
    assert walker.pace is Pace.free
    night = NOW_US + 20_000 * 4 * SECOND_US + 8 * HOUR_US
    walker.seen = walker.missed = 200
    assert walker.settle(night)
    assert (walker.pace, walker.why) == (Pace.stopped, "misses")


@pytest.mark.parametrize(
    ("missed", "seen", "pace"),
    [
        (39, 39, Pace.free),
        (40, 40, Pace.slowed),
        (199, 199, Pace.slowed),
        (200, 200, Pace.stopped),
        (60, 201, Pace.free),
        (60, 200, Pace.slowed),
    ],
)
def test_misses_are_judged_by_number_and_share(missed: int, seen: int, pace: Pace) -> None:
    """40 slow, 200 stop, and only where three of ten answers are misses: as numbers."""
    walker = Walker("bank")
    walker.seen, walker.missed = seen, missed
    walker.settle(NOW_US)
    assert walker.pace is pace


def test_a_pace_lasts_an_hour_and_a_slowed_check_half_a_second() -> None:
    """To the microsecond."""
    walker = Walker("bank")
    for number in street(NEIGHBOURS_SLOW):
        walker.asked(number, NOW_US)
    assert (walker.pace, walk.SLOW_S) == (Pace.slowed, 0.5)
    assert walker.hold(NOW_US + 3_599_999_999) == 0.5
    assert walker.hold(NOW_US + 3_600_000_000) == 0.0
