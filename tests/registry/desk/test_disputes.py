"""Disputes: marked while they are open, decided with a reason before their clock runs out, and by two where it matters."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import psycopg
import pytest

from annul.errors import BadInput, Conflict, Forbidden, NotFound, TransitionRefused
from annul.records.entry import EntryKind, decode
from annul.records.status import Event
from annul.registry.desk.disputes import TERM_US, Disputes
from annul.registry.writing.act import Act, Idempotency
from annul.registry.writing.register import Recorded
from tests.registry.world import DAY_US, ISSUER, POLICE, START_US, STRONG, World, card, passport

CLERK, CHIEF = Act("registry-1/01", credential="k_1"), Act("registry-1/02", credential="k_2")
BANK = Act("bank")


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine."""
    return asyncio.run(work)


@pytest.fixture
def disputes(world: World) -> Disputes:
    """Disputes in a register with one lost card."""
    run(world.register.issue(ISSUER, card(), happened_at_us=START_US))
    run(world.register.report(POLICE, card(), "lost", happened_at_us=START_US, proof=STRONG))
    return Disputes(world.ground, world.register)


def open_one(disputes: Disputes, act: Act = CLERK, document: Any = None, **more: Any) -> Any:
    """Open the usual dispute."""
    told = {"by": "holder", "ground": "not_lost", "case": "file 9", "statement": "The card never left my pocket."} | more
    return run(disputes.open(act, document or card(), **told))


def disputed(world: World, document: Any = None) -> bool:
    """Tell whether the newest entry of a document marks it."""
    return bool(run(world.register.history(POLICE, document or card(), case="test"))[-1].disputed)


def correct(disputes: Disputes, dispute: str) -> Recorded:
    """Correct a listing as two officers do."""
    run(disputes.propose(CLERK, dispute, reason="reported by a neighbour"))
    done: Recorded = run(disputes.decide(CHIEF, dispute, "corrected", reason="reported by a neighbour"))
    return done


def test_a_dispute_marks_the_document_until_it_is_decided(world: World, disputes: Disputes) -> None:
    """Open: U34; upheld: the mark goes, the listing stays, the reason is on record."""
    opened = open_one(disputes)
    assert disputed(world)
    view = run(disputes.view(CLERK, opened.id)).dispute
    assert (view.fact, view.state, view.marked, view.due_at_us - view.opened_at_us) == ("reported_lost", "open", True, TERM_US)
    done = run(disputes.decide(CLERK, opened.id, "upheld", reason="the holder signed the report"))
    assert (done.state, disputed(world)) == ("reported_lost", False)
    shown = run(disputes.view(CLERK, opened.id)).dispute
    assert (shown.state, shown.reason, shown.decided_by) == ("upheld", "the holder signed the report", CLERK.author)
    with pytest.raises(Conflict):
        run(disputes.decide(CLERK, opened.id, "corrected", reason="second thoughts"))


def test_a_correction_takes_the_listing_away_as_never_true(world: World, disputes: Disputes) -> None:
    """Corrected: the document is in force, in one transaction with the decision."""
    opened = open_one(disputes)
    done = correct(disputes, opened.id)
    assert (done.state, disputed(world)) == ("current", False)
    with psycopg.connect(world.conninfo) as db:
        row = db.execute("SELECT entry FROM register_log WHERE position = %s", (done.position,)).fetchone()
    assert row is not None
    assert decode(bytes(row[0])).reason is Event.correct
    assert run(disputes.view(CLERK, opened.id)).dispute.decided_position == done.position


def test_every_fact_is_corrected_by_two_officers(world: World, disputes: Disputes) -> None:
    """One proposes, another decides; the same person, her party's key, her own passkey and nobody's hand are no second."""
    run(world.register.change(ISSUER, card(), Event.revoke_error, happened_at_us=START_US))
    opened = open_one(disputes, fact=None)
    view = run(disputes.view(CLERK, opened.id)).dispute
    assert (view.fact, view.two_officers) == ("reported_lost", True)
    correct(disputes, opened.id)
    second = open_one(disputes)
    assert run(disputes.view(CLERK, second.id)).dispute.two_officers
    with pytest.raises(Forbidden):
        run(disputes.decide(CHIEF, second.id, "corrected", reason="revoked by mistake"))
    run(disputes.propose(CLERK, second.id, reason="revoked by mistake"))
    for same in (CLERK, Act("registry-1", credential="key-9"), Act(CHIEF.author), Act(CHIEF.author, credential="k_1")):
        with pytest.raises(Forbidden):
            run(disputes.decide(same, second.id, "corrected", reason="revoked by mistake"))
    assert run(disputes.decide(CHIEF, second.id, "corrected", reason="revoked by mistake")).state == "current"
    decided = run(disputes.view(CLERK, second.id)).dispute
    assert (decided.decided_by, decided.second_officer) == (CHIEF.author, CLERK.author)


def test_a_relying_party_cannot_weaken_a_listing(world: World, disputes: Disputes) -> None:
    """Its dispute is on file but not marked; an officer marks it when she takes it up."""
    opened = open_one(disputes, BANK, by="relying_party", ground="wrong_data", statement="")
    assert not disputed(world)
    assert not run(disputes.view(CLERK, opened.id)).dispute.marked
    with pytest.raises(NotFound):
        run(disputes.view(BANK, opened.id, party="other-bank"))
    run(disputes.mark(CLERK, opened.id))
    assert disputed(world)
    run(disputes.decide(CLERK, opened.id, "refused", reason="not the holder"))
    assert not disputed(world)
    third = open_one(disputes, BANK, by="relying_party", ground="wrong_data", statement="")
    run(disputes.decide(CLERK, third.id, "refused", reason="decided before"))
    assert run(disputes.view(CLERK, third.id)).dispute.state == "refused"


def test_the_clock_runs(world: World, disputes: Disputes) -> None:
    """The most urgent first; past its term a dispute is overdue, and stays open."""
    first = open_one(disputes)
    run(world.register.issue(ISSUER, passport(), happened_at_us=START_US))
    run(world.register.report(POLICE, passport(), "stolen", happened_at_us=START_US, proof=STRONG))
    world.clock.us += 20 * DAY_US
    second = open_one(disputes, document=passport())
    assert [each.id for each in run(disputes.list("live"))] == [first.id, second.id]
    assert run(disputes.ages("live")) == {"fresh": 1, "due": 1, "overdue": 0}
    world.clock.us += 11 * DAY_US
    assert [(each.id, each.overdue) for each in run(disputes.list("live", overdue=True))] == [(first.id, True)]
    assert run(disputes.ages("live")) == {"fresh": 1, "due": 0, "overdue": 1}
    assert run(disputes.ages("test")) == {"fresh": 0, "due": 0, "overdue": 0}


def test_what_was_said_is_sealed_and_erasable(world: World, disputes: Disputes) -> None:
    """Statement and hearing notes are readable to the desk alone; erased they are gone, and the log says so."""
    opened = open_one(disputes)
    run(disputes.add_note(CLERK, opened.id, "hearing", "She showed the card."))
    run(disputes.add_note(CLERK, opened.id, "remark", "Compared with the file."))
    shown = run(disputes.view(CLERK, opened.id))
    assert (shown.statement, [note.text for note in shown.notes]) == (
        "The card never left my pocket.",
        ["She showed the card.", "Compared with the file."],
    )
    with psycopg.connect(world.conninfo) as db:
        stored = b"".join(bytes(row[0]) for row in db.execute("SELECT ciphertext FROM sealed_detail"))
    assert b"pocket" not in stored
    with pytest.raises(Conflict):
        run(disputes.erase(CLERK, opened.id, evidence="request 5"))
    run(disputes.decide(CLERK, opened.id, "upheld", reason="signed report"))
    assert run(disputes.erase(CLERK, opened.id, evidence="request 5")) == 3
    shown = run(disputes.view(CLERK, opened.id))
    assert (shown.statement, [note.text for note in shown.notes]) == (None, [None, None])
    with psycopg.connect(world.conninfo) as db:
        kinds = [decode(bytes(row[0])).kind for row in db.execute("SELECT entry FROM register_log ORDER BY position")]
    assert kinds.count(EntryKind.erasure) == 3


def test_a_repeated_request_decides_once(world: World, disputes: Disputes) -> None:
    """Opened and decided twice with one key: the stored answers come back, one dispute, one decision."""
    act = Act(CLERK.author, "live", Idempotency.of(CLERK.author, "form-1", b"open"))
    first, again = open_one(disputes, act), open_one(disputes, act)
    assert (again.id, again.replayed) == (first.id, True)
    run(disputes.propose(CLERK, first.id, reason="mistake"))
    decide = Act(CHIEF.author, "live", Idempotency.of(CHIEF.author, "form-2", b"decide"), CHIEF.credential)
    done = [run(disputes.decide(decide, first.id, "corrected", reason="mistake")) for _ in range(2)]
    assert (done[0].position, done[1].replayed) == (done[1].position, True)


def test_what_cannot_be_disputed_is_refused(world: World, disputes: Disputes) -> None:
    """Nothing listed, a second dispute, another realm, no case, an unknown ground."""
    run(world.register.issue(ISSUER, passport(), happened_at_us=START_US))
    with pytest.raises(TransitionRefused):
        open_one(disputes, document=passport())
    opened = open_one(disputes)
    with pytest.raises(Conflict):
        open_one(disputes)
    with pytest.raises(NotFound):
        run(disputes.view(Act(CLERK.author, "test"), opened.id))
    for more in ({"case": " "}, {"ground": "envy"}, {"statement": "x" * 4001}):
        with pytest.raises(BadInput):
            open_one(disputes, **more)
    with pytest.raises(BadInput):
        run(disputes.decide(CLERK, opened.id, "upheld", reason=" "))
