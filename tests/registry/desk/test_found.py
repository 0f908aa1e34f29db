"""Found cards: held for their holder or destroyed, with a chain of custody in which no gap is overlooked."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import psycopg
import pytest

from annul.errors import BadInput, Conflict, Forbidden, NotFound, TransitionRefused
from annul.records.status import Proof
from annul.registry.desk.found import Finder, FoundCards, HandInPoint
from annul.registry.writing.act import Act, Idempotency
from tests.registry.world import ISSUER, POLICE, START_US, STRONG, World, card, passport
from tests.world import said

OFFICER = Act("police-1/0417")


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine."""
    return asyncio.run(work)


@pytest.fixture
def found(world: World) -> FoundCards:
    """The found-card desk of a register with one card and one passport."""
    run(world.register.issue(ISSUER, card(), happened_at_us=START_US))
    run(world.register.issue(ISSUER, passport(), happened_at_us=START_US))
    return FoundCards(world.ground, world.register)


def accept(found: FoundCards, document: Any = None, **more: Any) -> Any:
    """Take the usual card in."""
    asked = {"point": "Market Square", "shelf": "B-12", "found_at_us": START_US} | more
    return run(found.accept(more.pop("act", OFFICER), document or card(), **{k: v for k, v in asked.items() if k != "act"}))


def test_a_card_nobody_missed_is_given_back_and_works_again(found: FoundCards) -> None:
    """Not reported, not replaced, custody whole: held, handed out on proof of identity, in force again."""
    taken = accept(found)
    shown = run(found.view(OFFICER, taken.id))
    assert (taken.state, shown.card.state, shown.card.keeper, shown.card.works_again) == (
        "found_held",
        "held",
        "Market Square",
        True,
    )
    with pytest.raises(TransitionRefused) as weak:
        run(found.hand_out(OFFICER, taken.id, proof=Proof.phone, evidence="call"))
    assert weak.value.extra["rule"] == 7
    given = run(found.hand_out(OFFICER, taken.id, proof=STRONG, evidence="passport seen"))
    assert given.state == "current"
    shown = run(found.view(OFFICER, taken.id))
    assert (shown.card.state, shown.card.ended_by) == ("handed_out", OFFICER.author)
    assert [(step.given_by, step.taken_by) for step in shown.custody] == [
        ("finder", "Market Square"),
        ("Market Square", "holder"),
    ]


def test_a_card_reported_lost_stays_dead_when_it_is_given_back(world: World, found: FoundCards) -> None:
    """A stranger had it: the report is matched, and never lifted (rule 6)."""
    reported = run(world.register.report(POLICE, card(), "lost", happened_at_us=START_US, proof=STRONG))
    taken = accept(found)
    shown = run(found.view(OFFICER, taken.id))
    assert [match.report for match in shown.reports] == [reported.id]
    assert not shown.card.works_again
    assert run(found.hand_out(OFFICER, taken.id, proof=STRONG, evidence="passport seen")).state == "reported_lost"
    with pytest.raises(TransitionRefused) as refused:
        run(world.register.lift(POLICE, card(), happened_at_us=START_US, proof=STRONG))
    assert refused.value.extra["rule"] == 6


def test_a_replaced_card_is_destroyed_and_logged(world: World, found: FoundCards) -> None:
    """It is dead in the register at once, cannot be given back, and its destruction by hand is an entry (rule 7)."""
    run(world.register.issue(ISSUER, card("2025-01-01", "2045-01-01"), happened_at_us=START_US))
    taken = accept(found)
    assert taken.state == "destroyed"
    assert run(found.view(OFFICER, taken.id)).card.state == "to_destroy"
    with pytest.raises(TransitionRefused):
        run(found.hand_out(OFFICER, taken.id, proof=STRONG, evidence="passport seen"))
    with pytest.raises(BadInput):
        run(found.destroy(OFFICER, taken.id, evidence=" "))
    gone = run(found.destroy(OFFICER, taken.id, evidence="minutes 12"))
    with psycopg.connect(world.conninfo) as db:
        entry = said(db)[gone.position - 1]
    assert (entry.reason, entry.author, entry.evidence) == ("destroy", OFFICER.author, "minutes 12")
    assert run(found.view(OFFICER, taken.id)).custody[-1].taken_by == "destroyed"
    with pytest.raises(Conflict):
        run(found.destroy(OFFICER, taken.id, evidence="minutes 12"))


def test_custody_is_a_chain_and_a_gap_ends_the_way_back(found: FoundCards) -> None:
    """Who gives must be who has it. A gap is recorded, never mended, and the card is only destroyed from then on."""
    taken = accept(found)
    run(found.hand_over(OFFICER, taken.id, given_by="Market Square", taken_by="Van 3", place="yard", handed_at_us=START_US))
    run(found.hand_over(OFFICER, taken.id, given_by="Van 3", taken_by="Store", place="", handed_at_us=START_US))
    assert not run(found.view(OFFICER, taken.id)).card.broken
    run(found.hand_over(OFFICER, taken.id, given_by="Van 9", taken_by="Store", place="", handed_at_us=START_US))
    run(found.hand_over(OFFICER, taken.id, given_by="Store", taken_by="Market Square", place="", handed_at_us=START_US))
    shown = run(found.view(OFFICER, taken.id))
    assert [step.gap for step in shown.custody] == [False, False, False, True, False]
    assert (shown.card.broken, shown.card.works_again) == (True, False)
    with pytest.raises(TransitionRefused, match="Nobody knows"):
        run(found.hand_out(OFFICER, taken.id, proof=STRONG, evidence="passport seen"))
    run(found.destroy(OFFICER, taken.id, evidence="minutes 13"))


def test_a_refused_hand_out_changes_nothing(world: World, found: FoundCards) -> None:
    """The document's move and the card's are one transaction."""
    taken = accept(found)
    run(found.hand_over(OFFICER, taken.id, given_by="nobody", taken_by="Store", place="", handed_at_us=START_US))
    with psycopg.connect(world.conninfo) as db:
        before = db.execute("SELECT next_position FROM log_head").fetchone()
    with pytest.raises(TransitionRefused):
        run(found.hand_out(OFFICER, taken.id, proof=STRONG, evidence="passport seen"))
    with psycopg.connect(world.conninfo) as db:
        assert db.execute("SELECT next_position FROM log_head").fetchone() == before
    assert run(found.view(OFFICER, taken.id)).card.status == "found_held"


def test_a_card_is_in_one_place(found: FoundCards) -> None:
    """Taken in twice: refused; the same form sent twice: one card; after it was given back it may be found again."""
    act = Act(OFFICER.author, "live", Idempotency.of(OFFICER.author, "form-1", b"accept"))
    first = accept(found, act=act)
    again = accept(found, act=act)
    assert (again.id, again.replayed) == (first.id, True)
    with pytest.raises(Conflict):
        accept(found)
    run(found.hand_out(OFFICER, first.id, proof=STRONG, evidence="passport seen"))
    assert accept(found).id != first.id
    assert run(found.counts(OFFICER)) == {"handed_out": 1, "held": 1}


def test_the_finder_is_sealed_and_can_be_erased(world: World, found: FoundCards) -> None:
    """Name and place lie unreadable; without them no finder is on record."""
    taken = accept(found, finder=Finder("Ana Found", "ana@example.org", "tram 9"))
    assert run(found.finder(OFFICER, taken.id)).place == "tram 9"
    with psycopg.connect(world.conninfo) as db:
        stored = b"".join(bytes(row[0]) for row in db.execute("SELECT ciphertext FROM sealed_detail"))
        assert b"tram 9" not in stored
        db.execute("UPDATE sealed_detail SET wrapped_key = NULL")
    with pytest.raises(NotFound):
        run(found.finder(OFFICER, taken.id))
    nameless = accept(found, passport(), finder=Finder())
    assert not run(found.view(OFFICER, nameless.id)).has_finder


def test_the_queue_shows_who_waits_longest_first(found: FoundCards) -> None:
    """Both realms apart; the card of each document is told to its holder's page."""
    first, second = accept(found), accept(found, passport())
    assert [each.id for each in run(found.list(OFFICER, "held"))] == [first.id, second.id]
    assert run(found.list(Act(OFFICER.author, "test"))) == []
    with pytest.raises(NotFound):
        run(found.view(Act(OFFICER.author, "test"), first.id))


def test_holders_are_told_where_their_card_is(world: World, found: FoundCards) -> None:
    """The notice is queued in the transaction of the acceptance: where, and under which reference; no number."""
    taken = accept(found)
    with psycopg.connect(world.conninfo) as db:
        rows = db.execute("SELECT * FROM notice").fetchall()
    assert any(taken.id in repr(row) for row in rows)


def test_hand_in_points_are_listed(world: World, found: FoundCards) -> None:
    """A point belongs to its party; another party cannot change it."""
    with psycopg.connect(world.conninfo) as db:
        for name in ("police-1", "police-2"):
            db.execute(
                "INSERT INTO principal (id, name, role, organisation, position) VALUES (%s, 'P', 'police', '', 1)", (name,)
            )
    run(found.set_point(OFFICER, HandInPoint(id="market", party="", name="Market Square", address="1 Square", hours="always")))
    run(found.set_point(Act("police-2"), HandInPoint(id="market", party="", name="Stolen", address="x", hours="")))
    assert [(each.party, each.name) for each in run(found.points())] == [("police-1", "Market Square")]


def test_nobody_ends_what_lies_at_another_desk(world: World, found: FoundCards) -> None:
    """Another party's key neither gives it out, nor destroys it, nor hands it on; after a hand-over by its keeper she does."""
    taken = accept(found)
    other = Act("registry-1")
    for step in (
        lambda: found.hand_out(other, taken.id, proof=STRONG, evidence="passport seen"),
        lambda: found.destroy(other, taken.id, evidence="minutes 12"),
        lambda: found.hand_over(
            other, taken.id, given_by="Market Square", taken_by="Us", place="", handed_at_us=START_US, party="registry-1"
        ),
    ):
        with pytest.raises(Forbidden, match="another party"):
            run(step())
    assert run(found.view(OFFICER, taken.id)).card.kept_by == "police-1"
    step_to = {"given_by": "Market Square", "taken_by": "Registry", "place": "", "handed_at_us": START_US}
    with pytest.raises(BadInput):
        run(found.hand_over(OFFICER, taken.id, **step_to, party="registry-1"))
    with psycopg.connect(world.conninfo) as db:
        db.execute("INSERT INTO principal (id, name, role, organisation, position) VALUES ('registry-1', 'R', 'issuer', '', 1)")
    run(found.hand_over(OFFICER, taken.id, **step_to, party="registry-1"))
    with pytest.raises(Forbidden):
        run(found.hand_out(OFFICER, taken.id, proof=STRONG, evidence="passport seen"))
    assert run(found.hand_out(other, taken.id, proof=STRONG, evidence="passport seen")).id == taken.id
