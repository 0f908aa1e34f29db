"""Windows answered in machine code are those of the plain form, byte for byte: records, statements, bodies, counts, alarms."""

from __future__ import annotations

import contextlib
import hashlib
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annul.errors import BadInput, TooLarge
from annul.listings import native, pack
from annul.listings.listings import Listings
from annul.listings.values import DISPUTED, NUMBER, WHOLE_LIFE, pack_unlock
from annul.records.check import DECISIONS, Holder
from annul.records.codes import BindingCode, Coverage, Purpose
from annul.records.document import DocumentFields, parse_document, unlock_key
from annul.records.schemes.cn_resident import check_character
from annul.records.status import State
from annul.registry.answering import machine
from annul.registry.answering.questions import Asked, Reader
from annul.registry.answering.quota import Quota
from annul.registry.answering.walk import Walker
from annul.registry.answering.windows import Answerer, Place
from annul.times import DAY_US
from tests.registry.answering import desk as d

pytestmark = pytest.mark.skipif(not native.has_sha256(), reason="this processor has no SHA instructions")

NUMBERS = [
    stem + check_character(stem)
    for stem in ("11010519491231002", "11010519491231005", "11010519491231007", "33010619900307123")
]
UNTIL = [None, "2036-10-06", "2030-10-06", "long-term"]


class Silent:
    """Nobody hears."""

    def tell(self, place: int, body: bytes) -> None:
        """Hear nothing."""

    def fail(self, error: Exception) -> None:
        """Hear nothing."""


class Pair:
    """The plain form and the machine over one small register, each with its own readers of the same questions."""

    def __init__(self, home: Path) -> None:
        self.desk = d.NameDesk(home)
        self.alarms: tuple[list[Any], list[Any]] = ([], [])
        desk, self.turn = self.desk, 0
        for place, state in enumerate(State):
            for keys in (d.LIVE, d.TEST):
                fields = d.card("2016-10-06", "2036-10-06", NUMBERS[place % len(NUMBERS)])
                listed = parse_document(DocumentFields("generic", f"X{place}", issuer="UTO", kind="ID"))
                desk.put(listed, pack(state, place % 3 * 20_000, WHOLE_LIFE), keys=keys)
                value = pack(state if place % 2 else State.current, 0, WHOLE_LIFE | (DISPUTED if place == 3 else 0))
                desk.put(d.parsed(fields), value, keys=keys, number=pack(State.current, 0, WHOLE_LIFE | NUMBER))
        desk.writer.set_coverage(
            {
                "cn-resident": Coverage.whole_life,
                "icao-9303/UTO/P": Coverage.listing_only,
                "generic/UTO/ID": Coverage.whole_life,
            }
        )
        desk.know(d.card(), "张伟", "Zhang Wei", photo=True)
        people = Listings(home / "people")
        self.answerers = [
            made(
                desk.listings,
                {"live": d.LIVE, "test": d.TEST},
                desk.signer,
                people=people,
                alarm=lambda walker, at, heard=heard: heard.append((walker.party, walker.pace, walker.why, at)),
                live_us=2_000_000,
                salts=self.salts,
            )
            for made, heard in zip((Answerer, machine.MachineAnswerer), self.alarms, strict=True)
        ]
        quota = Quota(home / "quota", 0)
        parties = [
            d.principal("bank"),
            d.principal("inn", reasons=False),
            d.principal("bank", realm="test"),
            d.principal("clinic", per_day=100),
        ]
        self.readers = [Reader(quota, DECISIONS, lambda: desk.now, named=True, watched=True) for _ in self.answerers]
        self.callers = [[reader.caller(each) for each in parties] for reader in self.readers]
        self.previous = bytes(32)

    def salts(self, count: int) -> bytes:
        """Return the same salts for both."""
        return hashlib.shake_256(b"%d" % self.turn).digest(count)

    def read(self, asked: list[tuple[int, Any, BindingCode]]) -> Iterator[list[Asked]]:
        """Read the questions once for each answerer."""
        for reader, callers in zip(self.readers, self.callers, strict=True):
            found = []
            for caller, question, binding in asked:
                with contextlib.suppress(BadInput, TooLarge):  # no question, then
                    found.append(reader.read(callers[caller], question, Silent(), -1, binding))
            yield found

    def same(self, asked: list[tuple[int, Any, BindingCode]]) -> list[bytes]:
        """Answer a window in both ways and hold that nothing differs; returns the bodies."""
        plain, pressed = self.read(asked)
        if not plain:
            return []
        self.turn += 1
        place = Place(3, self.turn, self.previous)
        closed = [one.answer(each, self.desk.now, place) for one, each in zip(self.answerers, (plain, pressed), strict=True)]
        assert closed[0].record == closed[1].record
        assert closed[0].statement == closed[1].statement
        assert closed[0].position == closed[1].position
        assert closed[0].told() == closed[1].told()
        (bodies, tally), (theirs, counted) = closed[0].finish(), closed[1].finish()
        assert bodies == theirs
        assert tally == counted
        assert self.alarms[0] == self.alarms[1]
        self.previous = closed[0].statement_hash
        return bodies


TEXTS = st.text("abc 分行号12é🙂", max_size=12) | st.sampled_from(["", "分行 12", "x" * 64, "🙂" * 100])
FIELDS = st.one_of(
    st.builds(d.card, st.sampled_from(["2016-10-06", "2015-01-01", None]), st.sampled_from(UNTIL), st.sampled_from(NUMBERS)),
    st.builds(d.card, st.none(), st.none(), st.sampled_from(["", "1" * 90, "11010519491231002?"])),
    st.builds(DocumentFields, st.just("generic"), st.sampled_from([f"X{i}" for i in range(30)]), st.just("UTO"), st.just("ID")),
    st.builds(
        DocumentFields, st.just("icao-9303"), st.sampled_from(["L898902C3", "AB12"]), st.just("UTO"), st.sampled_from("PX")
    ),
)
QUESTIONS = st.builds(
    d.question,
    FIELDS,
    purpose=st.sampled_from(["account-opening", "credit", "medical"]),
    channel=st.sampled_from(["in_person", "remote"]),
    holder=st.none() | st.builds(Holder, st.sampled_from(["张伟", "zhang wei", "Li Na", "?"])),
    branch=TEXTS,
    terminal=TEXTS,
    clerk=TEXTS,
    reference=TEXTS,
    urgent=st.booleans(),
)
ASKED = st.tuples(st.integers(0, 3), QUESTIONS, st.sampled_from(list(BindingCode)))


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.lists(ASKED, min_size=1, max_size=40), st.sampled_from([0, 1, 3, 700, 90_000])), min_size=1, max_size=3
    )
)
def test_a_window_in_machine_code_is_the_plain_one(tmp_path_factory: pytest.TempPathFactory, windows: list[Any]) -> None:
    """Random windows of all realms, manners, names and kinds of document, at times when the table is fresh and old."""
    pair = Pair(tmp_path_factory.mktemp("pair"))
    for asked, later_s in windows:
        pair.desk.now += later_s * 1_000_000
        pair.same(asked)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 8, 9, 63, 64, 65, 127, 1000, 2048])
def test_every_shape_of_tree(tmp_path: Path, count: int) -> None:
    """A tree of any size, with texts of any length the door lets in; the same facts a second time are those remembered."""
    pair = Pair(tmp_path)
    drawn = random.Random(count)
    asked = [
        (
            drawn.randrange(4),
            d.question(
                d.card(number=drawn.choice(NUMBERS)), branch="b" * drawn.randrange(200), reference="r" * drawn.randrange(800)
            ),
            BindingCode.B9,
        )
        for _ in range(count)
    ]
    assert len(pair.same(asked)) == count
    assert len(pair.same(asked)) == count


def test_what_is_remembered_is_of_its_day_and_its_table(tmp_path: Path) -> None:
    """A day later, after another coverage and after a new value the answer is the plain one's, not the one remembered."""
    pair = Pair(tmp_path)
    asked = [
        (0, d.question(DocumentFields("icao-9303", "ZZ1", issuer="UTO", kind="P")), BindingCode.B9),
        (0, d.question(), BindingCode.B9),
    ]
    first = pair.same(asked)
    assert b'"V00"' in first[0]
    pair.desk.writer.set_coverage({"icao-9303/UTO/P": Coverage.whole_life})
    assert b'"U30"' in pair.same(asked)[0]
    pair.desk.put(d.parsed(), pack(State.reported_lost, 0, WHOLE_LIFE))
    assert b'"S10"' in pair.same(asked)[1]
    pair.desk.put(d.parsed(), pack(State.current, d.NOW_US // DAY_US, WHOLE_LIFE))
    assert b'"V00"' in pair.same(asked)[1]
    pair.desk.now += DAY_US
    assert b'"I21"' in pair.same(asked)[1]


def test_a_lock_that_its_owner_opens_and_that_closes_again(tmp_path: Path) -> None:
    """An open lock counts for its purpose and its minutes alone, although everything else about it was remembered."""
    pair = Pair(tmp_path)
    desk = pair.desk
    fields = DocumentFields("generic", "LOCK", issuer="UTO", kind="ID")
    desk.put(d.parsed(fields), pack(State.owner_locked, 0, WHOLE_LIFE))
    asked = [(0, d.question(fields, purpose=purpose), BindingCode.B9) for purpose in ("credit", "medical")]
    assert [b'"S13"' in body for body in pair.same(asked)] == [True, True]
    key = d.LIVE.blind(d.block(d.parsed(fields)))
    desk.write(unlock_key(key, Purpose("credit").octet), pack_unlock(desk.now // 60_000_000 + 10))
    assert [b'"S13"' in body for body in pair.same(asked)] == [False, True]
    desk.now += 600_000_000
    assert [b'"S13"' in body for body in pair.same(asked)] == [True, True]


def test_who_walks_through_numbers_is_seen_in_the_same_window(tmp_path: Path) -> None:
    """Misses of a party are counted from what was told, and the alarm is the plain one's."""
    pair = Pair(tmp_path)
    for turn in range(6):
        pair.same(
            [
                (3, d.question(DocumentFields("generic", f"N{turn}-{i}", issuer="UTO", kind="ID")), BindingCode.B9)
                for i in range(40)
            ]
        )
    assert [pace.name for _, pace, _, _ in pair.alarms[1]] == ["slowed", "stopped"]


def test_more_ways_to_answer_than_there_are_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers of ready answers and of manners are given anew when there are too many; nothing is told to the wrong one."""
    monkeypatch.setattr(machine, "TOLDS_MAX", 24)
    monkeypatch.setattr(machine, "MANNERS_MAX", 24)
    monkeypatch.setattr(machine, "MEMO_SLOTS", 64)
    pair = Pair(tmp_path)
    for turn in range(40):
        asked = [
            (
                place % 4,
                d.question(DocumentFields("generic", f"X{turn + place}", issuer="UTO", kind="ID"), urgent=bool(turn & 1)),
                binding,
            )
            for place, binding in enumerate(list(BindingCode)[:4])
        ]
        pair.same(asked)


def test_a_closed_walker_is_not_confused_with_another(tmp_path: Path) -> None:
    """Each party has its own counts."""
    pair = Pair(tmp_path)
    pair.same([(0, d.question(), BindingCode.B9), (3, d.question(d.card("2015-01-01")), BindingCode.B9)])
    walkers = [caller.walker for caller in pair.callers[1]]
    assert [isinstance(each, Walker) for each in walkers] == [True, True, False, True]
    assert [each.seen for each in walkers if each is not None] == [0, 0, 0]
