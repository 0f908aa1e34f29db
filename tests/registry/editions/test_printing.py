"""From the register to a device and back: what an edition says is what the register says."""

from __future__ import annotations

import msgspec
import pytest

from annul.edge.edition import Verdict
from annul.edge.store import Store
from annul.edge.trust import Freshness
from annul.errors import Conflict, Corrupt, NotFound, VerificationFailed
from annul.records.document import Document
from annul.records.status import State, mask
from annul.registry.loops.timetable import _print_editions
from annul.settings import Settings
from tests.registry.editions.house import CARDS, TODAY, House, card, state_of
from tests.registry.world import DAY_US, HOUR_US


def said(house: House, store: Store, number: int) -> tuple[str, str]:
    """Return verdict and class of a card."""
    finding = house.edge(store).check(card(number)).finding
    return finding.verdict.value, finding.class_


def test_every_card_gets_the_answer_of_the_register(house: House) -> None:
    """Reported, superseded, nothing: exact for every card issued, with the class of the listing."""
    store = house.device()
    house.print()
    house.sync(store)
    edge = house.edge(store)
    wanted = {
        mask(State.current): ("NOT_LISTED", ""),
        mask(State.current, State.reported_lost): ("LISTED", "reported"),
        mask(State.current, State.superseded): ("LISTED", "not_in_force"),
    }
    for number in range(CARDS):
        answer = edge.check(card(number))
        assert (answer.finding.verdict.value, answer.finding.class_) == wanted[state_of(number)], number
        assert answer.freshness is Freshness.fresh


def test_what_was_issued_later_or_never_is_not_covered(house: House) -> None:
    """By its issue date, or because no card of its quarter was ever issued, before any stage is asked."""
    store = house.device()
    house.print()
    house.sync(store)
    edge = house.edge(store)
    for number in range(200):
        later = edge.check(card(number, issued=TODAY + number % 3)).finding
        assert (later.verdict, later.why) == (Verdict.NOT_COVERED, "issued-later")
        never = edge.check(card(number, issued=TODAY - 12_000 + number)).finding
        assert (never.verdict, never.why) == (Verdict.NOT_COVERED, "unknown-cohort")
    passport = edge.check(replaced_scheme(card(1)))
    assert passport.finding.verdict is Verdict.NOT_COVERED


def replaced_scheme(document: Document) -> Document:
    """Return a document of a scheme no edition is held of."""
    return msgspec.structs.replace(document, scheme="ru-internal", issuer="RU", kind="internal", number="4509123456")


def test_supplements_bring_reports_lifts_and_late_issues(house: House) -> None:
    """Additions, removals and cards recorded late, by few bytes; the device catches up from any state."""
    early, late = house.device("early"), house.device("late")
    house.print()
    house.sync(early)
    house.sync(late)
    dead = next(number for number in range(CARDS) if state_of(number) == mask(State.current))
    house.report(card(dead))
    house.issue(card(CARDS + 5, issued=TODAY - 20))  # told late: within the days the edition covers, not among its cards
    made = house.supplement()
    assert made.changes == 2
    assert said(house, early, dead) == ("NOT_LISTED", "")  # fresh as of a minute ago, and says so
    fetched = house.sync(early).fetched_bytes
    assert fetched < 4_000
    assert said(house, early, dead) == ("LISTED", "reported")
    new = house.edge(early).check(card(CARDS + 5, issued=TODAY - 20)).finding
    assert new.verdict is Verdict.NOT_LISTED
    another = next(number for number in range(dead + 1, CARDS) if state_of(number) == mask(State.current))
    house.report(card(another), "stolen")
    house.supplement()
    house.sync(late)  # two supplements behind: fetches one
    assert said(house, late, dead) == ("LISTED", "reported")
    assert said(house, late, another) == ("LISTED", "reported")


def test_segments_follow_one_another_and_are_gathered(house: House) -> None:
    """Minute by minute; a device takes the ones it lacks, or one that says it all; a missing one stops it, and is noticed."""
    steady, away = house.device("steady"), house.device("away")
    house.print()
    house.sync(steady)
    house.sync(away)
    free = [number for number in range(CARDS) if state_of(number) == mask(State.current)]
    reported = []
    for number in free[:3]:
        house.report(card(number))
        reported.append(number)
        assert house.supplement(segment=True).changes == 1
        house.sync(steady)
        assert [said(house, steady, each)[0] for each in reported] == ["LISTED"] * len(reported)
    assert house.supplement(segment=True) is None
    edition = house.press.index().editions[0]
    assert [each.since for each in edition.supplements] == [
        edition.position,
        *(each.position for each in edition.supplements[:2]),
    ]
    held = house.edge(steady).schemes()["cn-resident"]
    assert (len(held.supplements), held.position) == (3, edition.supplements[-1].position)
    middle = edition.supplements[1]
    (steady.folder(edition.edition) / f"supplement-{middle.since}-{middle.position}.manifest").unlink()
    broken = house.edge(steady)
    assert broken.schemes()["cn-resident"].position == middle.since
    house.world.clock.us += HOUR_US
    house.beat()
    house.sync(steady)
    assert house.edge(steady).schemes()["cn-resident"].position == edition.supplements[-1].position
    house.report(card(free[3]))
    assert house.supplement().changes == 4
    assert len(house.press.index().editions[0].supplements) == 1
    house.sync(away)
    house.sync(steady)
    for store in (away, steady):
        assert [said(house, store, each)[0] for each in free[:5]] == ["LISTED"] * 4 + ["NOT_LISTED"]
        assert len(house.edge(store).schemes()["cn-resident"].supplements) == 1


def test_what_is_due_is_printed_by_itself(house: House) -> None:
    """Nothing while nothing is published; then a segment and a heartbeat a minute, and nothing twice."""
    settings = Settings(home=house.world.home)
    store = house.device()
    with house.database() as db:
        assert _print_editions(db, house.world.clock(), settings) == 0
        house.print()
        house.sync(store)
        house.report(card(0))
        house.world.clock.us += 60_000_000
        assert _print_editions(db, house.world.clock(), settings) == 1
        assert _print_editions(db, house.world.clock(), settings) == 0
    house.sync(store)
    edge = house.edge(store)
    assert edge.as_of_us(edge.schemes()["cn-resident"]) > house.world.clock.us - 1_000_000
    assert said(house, store, 0)[0] == "LISTED"


def test_a_supplement_of_many_changes_is_exact_over_the_whole_universe(house: House) -> None:
    """Coded in two stages: every card that changed is told, every other is as before."""
    store = house.device()
    house.print()
    house.sync(store)
    reported = [number for number in range(0, CARDS, 29) if state_of(number) == mask(State.current)]
    for number in reported:
        house.report(card(number))
    house.issue(card(CARDS + 7, issued=TODAY - 25))
    made = house.supplement(exact_from=10)
    assert made.changes == len(reported) + 1
    house.sync(store)
    edge = house.edge(store)
    for number in range(CARDS):
        listed = number in reported or state_of(number) != mask(State.current)
        assert (edge.check(card(number)).finding.verdict is Verdict.LISTED) == listed, number
    assert edge.check(card(CARDS + 7, issued=TODAY - 25)).finding.verdict is Verdict.NOT_LISTED


def test_a_state_that_is_not_fresh_never_says_not_listed(house: House) -> None:
    """Down the ladder: fresh, stale, stopped; a dead card stays dead, a card without listing becomes a question."""
    store = house.device()
    house.print()
    house.sync(store)
    free = next(number for number in range(CARDS) if state_of(number) == mask(State.current))
    dead = next(number for number in range(CARDS) if state_of(number) != mask(State.current))
    for ahead_us, rung in ((0, "fresh"), (HOUR_US, "stale"), (5 * HOUR_US, "stopped"), (20 * HOUR_US, "stopped")):
        house.world.clock.us += ahead_us
        answer = house.edge(store).check(card(free))
        assert answer.freshness.value == rung
        assert answer.finding.verdict is (Verdict.NOT_LISTED if rung == "fresh" else Verdict.STALE)
        assert house.edge(store).check(card(dead)).finding.verdict is Verdict.LISTED


def test_a_clock_that_is_set_back_or_ahead_a_day_gives_no_answer_but_refusals(house: House) -> None:
    """Back: tampered, nothing at all. Ahead: stopped. Never NOT_LISTED."""
    store = house.device()
    house.print()
    house.sync(store)
    free = next(number for number in range(CARDS) if state_of(number) == mask(State.current))
    house.world.clock.us -= DAY_US
    with pytest.raises(VerificationFailed, match="clock is behind"):
        house.edge(store).check(card(free))
    house.world.clock.us += 2 * DAY_US
    answer = house.edge(store).check(card(free))
    assert (answer.finding.verdict, answer.freshness) == (Verdict.STALE, Freshness.stopped)


def test_a_gap_leaves_the_state_where_it_was(house: House) -> None:
    """A heartbeat of a later position than the device has reached does not make it fresh."""
    store = house.device()
    house.print()
    house.sync(store)
    house.report(card(0))
    house.world.clock.us += HOUR_US
    house.beat()  # the register went on, no supplement was printed
    house.sync(store)
    free = next(number for number in range(1, CARDS) if state_of(number) == mask(State.current))
    answer = house.edge(store).check(card(free))
    assert (answer.finding.verdict, answer.freshness) == (Verdict.STALE, Freshness.stale)


def test_only_what_was_asked_again_and_not_touched_since_is_released(house: House) -> None:
    """A file that is changed between building and publishing is refused; so is one that another edition overtook."""
    with house.database() as db:
        first = house.press.build(db, "cn-resident").manifest
        second = house.press.build(db, "cn-resident").manifest
        file = house.world.home / "editions" / "built" / first.edition / "edition.bin"
        raw = bytearray(file.read_bytes())
        raw[len(raw) // 2] ^= 4
        file.write_bytes(raw)
        with pytest.raises(Corrupt, match="asked again"):
            house.press.publish(db, first.edition)
        house.press.publish(db, second.edition)
        raw[len(raw) // 2] ^= 4
        file.write_bytes(raw)
        with pytest.raises(Conflict, match="published since"):
            house.press.publish(db, first.edition)
        assert house.press.publish(db, second.edition) == second
        with pytest.raises(NotFound):
            house.press.publish(db, "0" * 32)
    assert [entry.edition for entry in house.press.index().editions] == [second.edition]


def test_a_device_that_is_not_admitted_cannot_read(house: House) -> None:
    """No grant, no answers; one that was withdrawn keeps what it has and gets nothing new."""
    store = house.device()
    house.print()
    house.sync(store)
    with house.database() as db:
        house.press.withdraw(db, "edge-1")
        with pytest.raises(NotFound):
            house.press.withdraw(db, "edge-1")
    house.report(card(1))
    house.print()
    with pytest.raises(NotFound, match="may not read"):
        house.sync(store)
    dead = next(number for number in range(CARDS) if state_of(number) != mask(State.current))
    assert said(house, store, dead)[0] == "LISTED"
