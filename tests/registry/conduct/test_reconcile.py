"""Business beside checks, in a register: what is found, what is refused, what a receipt clears, and who decides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest

from annul.errors import BadInput, Conflict, Forbidden, NotFound, VerificationFailed
from annul.registry.conduct import columns
from annul.registry.conduct.findings import Defence, close_due
from annul.registry.writing.act import Act, Idempotency
from annul.registry.writing.store import Fresh
from annul.times import DAY_US, rfc3339
from tests.registry.answering.desk import card, parsed, question
from tests.registry.conduct.watch import DUTY, SECOND, SUPERVISOR, Watch
from tests.registry.counter.test_departures import NEW

BANK = Act("bank", credential="key-bank-live")


@pytest.fixture
def watch(tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch) -> Watch:
    """A bank with one duty."""
    return Watch(tmp_path, database, monkeypatch)


def counts(found: Any) -> dict[str, int]:
    """Return the kinds that occurred."""
    return {kind: count for kind in ("covered", "late", "unchecked", "departed", "forged") if (count := getattr(found, kind))}


def test_every_kind_is_found_and_nothing_is_found_twice(watch: Watch) -> None:
    """Covered, late, unchecked, departed, forged; another run has nothing to do."""
    new = parsed(NEW)
    covered = watch.ask(watch.bank, question(NEW))[0]
    watch.send(watch.event(document=watch.key(new)), watch.event(document=watch.key(new), check=covered.check))
    late = watch.event(document=watch.key(new), happened_at=rfc3339(watch.now + 26 * 3600 * 1_000_000))
    watch.now += 27 * 3600 * 1_000_000
    watch.ask(watch.bank, question(NEW))
    watch.send(late)
    watch.now += 2 * DAY_US
    watch.send(watch.event(), watch.event(document=watch.key(new), check="ab" * 16))
    watch.ask(watch.bank, question(card()))
    watch.send(watch.event(branch="0007"))
    found = watch.reconcile()
    assert counts(found) == {"covered": 2, "late": 2, "departed": 1, "forged": 1}
    assert found.events == 6
    assert counts(watch.reconcile()) == {}
    listed = watch.run(watch.findings.list("live", party="bank"))
    assert {(one.branch, one.kind, one.event_count, one.state) for one in listed} == {
        ("0421", "late", 2, "noticed"),
        ("0007", "departed", 1, "noticed"),
        ("0421", "forged", 1, "noticed"),
    }
    with psycopg.connect(watch.database) as db:
        told = db.execute("SELECT kind, party FROM notice ORDER BY key").fetchall()
    assert told == [("finding", "bank")]


def test_a_check_of_another_card_of_the_holder_covers_nothing(watch: Watch) -> None:
    """The document counts, not the number; a check that gave the number alone asked for all cards of it."""
    watch.ask(watch.bank, question(NEW))
    watch.send(watch.event())
    assert counts(watch.reconcile()) == {"unchecked": 1}
    watch.ask(watch.bank, question(card(valid_from=None)))
    watch.send(watch.event())
    assert counts(watch.reconcile()) == {"covered": 1}


def test_an_urgent_need_is_no_departure(watch: Watch) -> None:
    """The exception of the policy itself was recorded with the check: nothing is wrong."""
    from annul.records.check import Holder

    answer = watch.ask(watch.bank, question(card(), holder=Holder(name="王明")), lost=None)[0]
    stopped = watch.ask(watch.bank, question(card()))[0]
    assert (answer.outcome, stopped.outcome) != ("STOP", "PASS")
    with psycopg.connect(watch.database, autocommit=True) as db:
        db.execute(
            "INSERT INTO departure (id, party, realm, check_id, checked_at_us, outcome, answered_status, purpose, channel, "
            "policy_version, decision, reason, words, branch, terminal, clerk, decided_at_us, position) VALUES ('j_1', "
            "'bank', 0, %(id)s, 0, 3, 17, 1, 1, 1, 'proceeded', 'urgent-need', 'x', "
            "'', '', '', 0, 1)",
            {"id": bytes.fromhex(stopped.check)},
        )
        db.execute(
            "INSERT INTO urgent_need (id, departure_id, party, realm, check_id, document_key, reference, opened_at_us, "
            "due_at_us, state) VALUES ('u_1', 'j_1', 'bank', 0, %s, %s, '', 0, 1, 'open')",
            (bytes.fromhex(stopped.check), bytes(16)),
        )
    watch.send(watch.event())
    assert counts(watch.reconcile()) == {"covered": 1}


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"happened_at": "2999-01-01T00:00:00Z"}, "line 2: happened_at"),
        ({"happened_at": "2020-01-01T00:00:00Z"}, "line 2: happened_at"),
        ({"business": "hotel"}, "line 2: business"),
        ({"document": "x" * 58}, "line 2: document"),
        ({"reference": "r1"}, "line 2: reference"),
        ({"reference": "11010519491231002X"}, "line 2: reference"),
        ({"check": "zz"}, "line 2: check"),
        ({"more": 1}, "line 2: more"),
        ({"branch": "\u202eevil"}, "line 2: branch"),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_taken_in(watch: Watch, change: dict[str, Any], where: str) -> None:
    """In the future, long ago, no duty, no key, twice, a number for a reference: line and member are told."""
    with pytest.raises(BadInput) as refused:
        watch.send(watch.event(), watch.event(**change))
    assert (refused.value.where or "").startswith(where)
    assert "110105" not in str(refused.value)
    with psycopg.connect(watch.database) as db:
        assert db.execute("SELECT count(*) FROM business_event").fetchone() == (0,)


def test_events_out_of_order_twice_and_of_a_settled_time_are_refused(watch: Watch) -> None:
    """Within a file times go up; what was sent is sent once; what is settled stays as it is."""
    first, second = watch.event(), watch.event()
    with pytest.raises(BadInput, match="before the line above"):
        watch.send(second, first)
    watch.send(first, second)
    with pytest.raises(Conflict, match="sent before"):
        watch.send(second)
    watch.reconcile()
    late = dict(watch.event(), happened_at=second["happened_at"])
    with pytest.raises(Conflict, match="settled"):
        watch.send(late)


def test_a_key_of_another_party_fits_nobody_else(watch: Watch) -> None:
    """Two parties cannot compare their customers, nor send each other's documents."""
    watch.run(watch.duties.put(SUPERVISOR, "hotel", [DUTY]))
    theirs = watch.key(party="hotel")
    assert theirs != watch.key()
    with pytest.raises(BadInput, match="not made for you"):
        watch.send(watch.event(document=theirs))
    watch.send(watch.event(document=theirs), party="hotel")


def test_a_receipt_clears_its_event_and_no_other(watch: Watch) -> None:
    """What the party kept is its defence: the finding is cleared without anybody's decision, and the score follows."""
    answer = watch.ask(watch.bank, question(NEW))[0]
    other = watch.ask(watch.bank, question(card()))[0]
    foreign = watch.ask(watch.hotel, question(NEW))[0]
    with psycopg.connect(watch.database, autocommit=True) as db:
        db.execute("DELETE FROM check_index")  # as if the index had lost them
        db.execute("DELETE FROM checks_by_day")
    watch.send(watch.event(document=watch.key(parsed(NEW))), watch.event(document=watch.key(parsed(NEW)), branch="9"))
    assert counts(watch.reconcile()) == {"unchecked": 2}
    one = next(each for each in watch.run(watch.findings.list("live")) if each.branch == "0421")

    def say(receipt: Any, reference: str = "r1") -> Any:
        return watch.run(watch.findings.answer(BANK, "bank", one.id, words="", receipts=[Defence(reference, dict(receipt))]))

    with pytest.raises(Forbidden, match="another document"):
        say(other.receipt)
    with pytest.raises(Forbidden, match="not one of yours"):
        say(foreign.receipt)
    with pytest.raises(NotFound):
        say(answer.receipt, "r2")
    spoiled = dict(answer.receipt) | {"signature": "A" * 86}
    with pytest.raises((VerificationFailed, BadInput)):
        say(spoiled)
    assert say(answer.receipt).state == "cleared"
    with pytest.raises(NotFound):
        say(answer.receipt)
    card_ = watch.run(watch.scorecards.make("live", "branch", party="bank"))
    assert {(place.branch, place.covered, place.unchecked) for place in card_.places} == {("0421", 1, 0), ("9", 0, 1)}
    with pytest.raises(NotFound):
        watch.run(watch.findings.view("live", one.id, party="hotel"))
    _, events = watch.run(watch.findings.view("live", one.id, party="bank"))
    assert [(event.reference, event.cleared_by) for event in events] == [("r1", answer.check)]


def test_a_finding_is_heard_before_it_is_decided_and_appealed_to_another_person(watch: Watch) -> None:
    """No decision in the term of the answer; an appeal in its term; the appeal's decider is not the first one."""
    watch.send(watch.event())
    watch.reconcile()
    (one,) = watch.run(watch.findings.list("live"))
    with pytest.raises(Conflict, match="may still answer"):
        watch.run(watch.findings.decide(SUPERVISOR, one.id, "upheld", reason="no check"))
    repeated = Act("bank", credential="key-bank-live", idempotency=Idempotency.of("bank", "a", b"x"))
    moved = watch.run(watch.findings.answer(repeated, "bank", one.id, words="the line was down"))
    assert moved.state == "answered"
    assert watch.run(watch.findings.answer(repeated, "bank", one.id, words="the line was down")) == moved
    assert watch.run(watch.findings.decide(SUPERVISOR, one.id, "upheld", reason="no check")).state == "upheld"
    with pytest.raises(Conflict):
        watch.run(watch.findings.decide(SECOND, one.id, "dismissed", reason="no check"))
    with pytest.raises(NotFound):
        watch.run(watch.findings.appeal(Act("hotel"), "hotel", one.id, words="not ours"))
    watch.run(watch.findings.appeal(BANK, "bank", one.id, words="the line was down"))
    with pytest.raises(Forbidden):
        watch.run(watch.findings.decide(SUPERVISOR, one.id, "upheld", reason="no check"))
    assert watch.run(watch.findings.decide(SECOND, one.id, "dismissed", reason="the line was down")).state == "dismissed"


def test_terms_run_out(watch: Watch) -> None:
    """Who says nothing may be decided about; who does not appeal in time may no more; then it is final."""
    watch.send(watch.event())
    watch.reconcile()
    (one,) = watch.run(watch.findings.list("live"))
    watch.now += 31 * DAY_US
    with pytest.raises(Conflict, match="over"):
        watch.run(watch.findings.answer(BANK, "bank", one.id, words="too late"))
    watch.run(watch.findings.decide(SUPERVISOR, one.id, "upheld", reason="no check"))
    assert watch.run(close_due(Fresh(watch.database), watch.now)) == 0
    watch.now += 31 * DAY_US
    with pytest.raises(Conflict, match="over"):
        watch.run(watch.findings.appeal(BANK, "bank", one.id, words="too late"))
    assert watch.run(close_due(Fresh(watch.database), watch.now)) == 1
    (one,) = watch.run(watch.findings.list("live", state="final"))


def test_nobody_is_found_while_the_index_is_behind(watch: Watch) -> None:
    """A check that is in the log and not in the index may be the one that is missed."""
    watch.ask(watch.bank, question(NEW))
    with psycopg.connect(watch.database, autocommit=True) as db:
        db.execute("DELETE FROM check_cursor")
    watch.send(watch.event(document=watch.key(parsed(NEW))))
    with pytest.raises(Conflict, match="behind"):
        watch.reconcile()
    assert watch.run(watch.findings.list("live")) == []


def test_a_run_that_ended_early_leaves_nothing(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed before its last write: no finding, no count, and the next run finds the same."""
    watch.send(watch.event(), watch.event())

    async def die(*_arguments: object) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(type(watch.reconciler), "_finish", die)
        with pytest.raises(KeyboardInterrupt):
            watch.reconcile()
    assert watch.run(watch.findings.list("live")) == []
    assert watch.run(watch.scorecards.make("live", "organisation")).places == []
    assert counts(watch.reconcile(days=0)) == {"unchecked": 2}
    assert watch.run(watch.scorecards.make("live", "organisation")).places[0].unchecked == 2


def test_checks_by_columns_are_made_anew_when_the_index_counts_otherwise(watch: Watch) -> None:
    """A file is a copy: missing, damaged or behind, it is made again, and says what the index says."""
    watch.ask(watch.bank, question(NEW), question(card()))
    day = watch.now // DAY_US
    with psycopg.connect(watch.database, autocommit=True) as db:
        path = columns.lay(db, watch.ground.home, 0, day)
        assert path is not None

        def rows() -> int:
            return sum(len(part.at) for part in columns.read(path, {"bank": 0}, watch.keys, 0))

        assert rows() == 2
        (part,) = columns.read(path, {"bank": 0}, watch.keys, 0)
        assert part.party.tolist() == [0, 0]
        assert db.execute("SELECT document_key FROM check_index ORDER BY checked_at_us").fetchall() == [
            (part.document[row].tobytes(),) for row in range(2)
        ]
        before = path.stat().st_mtime_ns
        columns.lay(db, watch.ground.home, 0, day)
        assert path.stat().st_mtime_ns == before
        path.write_bytes(b"torn")
        columns.lay(db, watch.ground.home, 0, day)
        assert rows() == 2
    watch.ask(watch.bank, question(NEW))
    with psycopg.connect(watch.database, autocommit=True) as db:
        columns.lay(db, watch.ground.home, 0, day)
        assert rows() == 3
    assert path.stat().st_mode & 0o077 == 0
    assert columns.forget(watch.ground.home, watch.now, days=30) == 0
    assert columns.forget(watch.ground.home, watch.now + 90 * DAY_US, days=30) == 1
