"""The register's rules, each as one story on a real database."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import psycopg
import pytest

from annul.errors import (
    AmbiguousDocument,
    BadInput,
    Conflict,
    Corrupt,
    Forbidden,
    IdempotencyMismatch,
    NotFound,
    NotYetEffective,
    SourceDown,
    TransitionRefused,
    UnsafeSettings,
)
from annul.listings import Listings, unpack
from annul.records.codes import Coverage, Purpose
from annul.records.document import block, number_block, unlock_key
from annul.records.entry import EntryKind, decode
from annul.records.status import Event, Proof, State
from annul.registry.parties.parties import Parties
from annul.registry.writing.act import Act, Idempotency
from annul.registry.writing.ground import Ground
from annul.registry.writing.personal import Reporter
from annul.registry.writing.register import Recorded, Register
from annul.registry.writing.store import Fresh, open_pool
from tests.registry.world import DAY_US, HOUR_US, ISSUER, POLICE, START_US, STRONG, WEAK, World, card, passport
from tests.world import said

T = TypeVar("T")


def run(story: Callable[[], Awaitable[T]]) -> T:
    """Run one story."""

    async def told() -> T:
        return await story()

    return asyncio.run(told())


def entries(world: World) -> list[tuple[int, object]]:
    """Return all entries by position."""
    with psycopg.connect(world.conninfo) as db:
        return list(enumerate(said(db), 1))


def test_a_report_gives_one_entry_and_one_state(world: World) -> None:
    """A strong report on a listing-only document lists it at the first position."""

    async def story() -> None:
        recorded = await world.register.report(POLICE, passport(), "lost", happened_at_us=START_US, proof=STRONG)
        assert (recorded.position, recorded.state, recorded.changed) == (1, "reported_lost", True)
        found = await world.register.status_at(POLICE, passport(), START_US + HOUR_US, START_US + HOUR_US, case="c")
        assert found.state == "reported_lost"

    run(story)
    (_, entry), _note = entries(world)
    assert entry.reason is Event.report_lost
    assert entry.document_key == world.keys.documents("live").blind(block(passport()))


def test_positions_are_dense_under_concurrent_writers(world: World) -> None:
    """Forty writers at once leave positions 1 to 40 and times that never run back."""

    async def story() -> None:
        pool = await open_pool(world.conninfo, size_max=8)
        register = Register(Ground(pool, world.keys, world.home, world.clock))
        await asyncio.gather(
            *(
                register.report(POLICE, passport(f"L{n:07d}"), "stolen", happened_at_us=START_US, proof=STRONG)
                for n in range(40)
            )
        )
        await pool.close()

    run(story)
    told = entries(world)
    assert [position for position, _ in told] == list(range(1, 41))
    times = [entry.recorded_at_us for _, entry in told]
    assert times == sorted(times)


def test_a_second_report_on_a_dead_document_is_recorded_without_effect(world: World) -> None:
    """The second report has an entry and an id of its own and changes nothing."""

    async def story() -> None:
        first = await world.register.report(POLICE, passport(), "lost", happened_at_us=START_US, proof=STRONG)
        second = await world.register.report(POLICE, passport(), "lost", happened_at_us=START_US, proof=STRONG)
        assert not second.changed
        assert second.position == first.position + 1
        assert second.id != first.id

    run(story)


def test_a_destroyed_document_takes_reports_without_effect(world: World) -> None:
    """A terminal state never revives, whatever is reported."""

    async def story() -> None:
        await world.register.change(POLICE, passport(), Event.destroy, happened_at_us=START_US)
        told = await world.register.report(POLICE, passport(), "stolen", happened_at_us=START_US, proof=STRONG)
        assert (told.state, told.changed) == ("destroyed", False)
        with pytest.raises(TransitionRefused):
            await world.register.lift(POLICE, passport(), happened_at_us=START_US, proof=STRONG)

    run(story)


def test_a_weak_report_suspends_and_lapses_after_72_hours(world: World) -> None:
    """Nobody confirms: the follower's errand brings the document back, and not a moment earlier."""

    async def story() -> None:
        told = await world.register.report(POLICE, passport(), "lost", happened_at_us=START_US, proof=WEAK)
        assert told.state == "suspended"
        assert told.lapses_at_us is not None
        world.clock.us = told.lapses_at_us - 10_000
        assert await world.register.lapse_due() == 0
        world.clock.us = told.lapses_at_us
        assert await world.register.lapse_due() == 1
        (view,) = await world.register.reports(POLICE, passport())
        assert view.state == "lapsed"
        found = await world.register.status_at(POLICE, passport(), world.clock(), world.clock(), case="c")
        assert found.state == "current"

    run(story)


def test_a_second_weak_report_keeps_the_document_suspended_until_it_lapses_too(world: World) -> None:
    """Reports of two people lapse one by one; the document is free when the last one has."""

    async def story() -> None:
        first = await world.register.report(POLICE, passport(), "lost", happened_at_us=START_US, proof=WEAK)
        world.clock.us += DAY_US
        second = await world.register.report(POLICE, passport(), "lost", happened_at_us=START_US, proof=WEAK)
        assert first.lapses_at_us
        assert second.lapses_at_us
        world.clock.us = first.lapses_at_us
        await world.register.lapse_due()
        assert (await world.register.status_at(POLICE, passport(), world.clock(), world.clock(), case="c")).state == "suspended"
        world.clock.us = second.lapses_at_us
        await world.register.lapse_due()
        assert (await world.register.status_at(POLICE, passport(), world.clock(), world.clock(), case="c")).state == "current"

    run(story)


def test_a_confirmed_report_does_not_lapse(world: World) -> None:
    """Confirming by strong proof makes the suspension a loss; weak proof may not confirm."""

    async def story() -> None:
        told = await world.register.report(POLICE, passport(), "stolen", happened_at_us=START_US, proof=WEAK)
        with pytest.raises(TransitionRefused):
            await world.register.confirm(POLICE, told.id, proof=WEAK)
        confirmed = await world.register.confirm(POLICE, told.id, proof=STRONG)
        assert confirmed.state == "reported_stolen"
        world.clock.us += 4 * DAY_US
        assert await world.register.lapse_due() == 0
        with pytest.raises(Conflict):
            await world.register.withdraw(POLICE, told.id, proof=STRONG)

    run(story)


def test_one_step_withdraws_a_provisional_report(world: World) -> None:
    """The holder undoes a malicious phone report; history keeps it."""

    async def story() -> None:
        told = await world.register.report(POLICE, passport(), "lost", happened_at_us=START_US, proof=WEAK)
        assert (await world.register.withdraw(POLICE, told.id, proof=Proof.online)).state == "current"
        assert (await world.register.view(told.id, "live")).state == "withdrawn"
        assert len(await world.register.history(POLICE, passport(), case="c")) == 2

    run(story)


def test_a_lost_document_is_lifted_only_in_person_and_stays_in_history(world: World) -> None:
    """Rule 6: found again, custody never broken, no replacement."""

    async def story() -> None:
        told = await world.register.report(POLICE, passport(), "lost", happened_at_us=START_US, proof=STRONG)
        with pytest.raises(TransitionRefused) as refused:
            await world.register.lift(POLICE, passport(), happened_at_us=START_US, proof=Proof.online_strong)
        assert refused.value.extra["rule"] == 6
        lifted = await world.register.report(POLICE, passport(), "found", happened_at_us=START_US, proof=STRONG, by_holder=True)
        assert lifted.state == "current"
        assert (await world.register.view(told.id, "live")).state == "lifted"

    run(story)


def test_a_found_document_is_held_and_returned_but_its_loss_stays(world: World) -> None:
    """Rule 7: handed in by a finder it is held; weak proof only suspends; returned, a lost one stays dead (rule 6)."""

    async def story() -> None:
        weak = await world.register.report(POLICE, passport("FOUND0001"), "found", happened_at_us=START_US, proof=WEAK)
        assert weak.state == "suspended"
        held = await world.register.confirm(POLICE, weak.id, proof=STRONG)
        assert held.state == "found_held"
        back = await world.register.change(POLICE, passport("FOUND0001"), Event.return_to_holder, happened_at_us=START_US)
        assert back.state == "current"
        await world.register.report(POLICE, passport(), "lost", happened_at_us=START_US, proof=STRONG)
        found = await world.register.report(POLICE, passport(), "found", happened_at_us=START_US, proof=STRONG)
        assert found.state == "reported_lost"
        await world.register.change(POLICE, passport(), Event.return_to_holder, happened_at_us=START_US, proof=STRONG)
        with pytest.raises(TransitionRefused):
            await world.register.lift(POLICE, passport(), happened_at_us=START_US, proof=STRONG)

    run(story)


def test_a_found_document_that_was_replaced_is_destroyed(world: World) -> None:
    """Rule 7: a card already replaced is destroyed and logged; a finder who only calls changes nothing."""

    async def story() -> None:
        await world.register.issue(ISSUER, passport(), happened_at_us=START_US)
        await world.register.replace(ISSUER, passport(), passport("NEW000001"), happened_at_us=START_US)
        called = await world.register.report(POLICE, passport(), "found", happened_at_us=START_US, proof=WEAK)
        assert (called.state, called.changed) == ("superseded", False)
        found = await world.register.report(POLICE, passport(), "found", happened_at_us=START_US, proof=STRONG)
        assert found.changed
        standing = await world.register.status_at(POLICE, passport(), world.clock(), world.clock(), case="c")
        assert "destroyed" in standing.facts

    run(story)


@pytest.mark.parametrize("how", ["stolen", "handed", "replaced"])
def test_a_broken_custody_or_a_replacement_keeps_the_document_dead(world: World, how: str) -> None:
    """Stolen, handed to others, or replaced: the report is not lifted."""

    async def story() -> None:
        kind = "stolen" if how == "stolen" else "lost"
        await world.register.issue(ISSUER, passport(), happened_at_us=START_US - DAY_US)
        told = await world.register.report(POLICE, passport(), kind, happened_at_us=START_US, proof=STRONG)
        if how == "replaced":
            await world.register.replace(ISSUER, passport(), passport("NEW000001"), happened_at_us=START_US)
        with pytest.raises(TransitionRefused):
            await world.register.lift_report(
                POLICE, told.id, happened_at_us=START_US, proof=STRONG, custody_broken=how == "handed"
            )

    run(story)


def test_the_issue_of_the_next_card_supersedes_the_one_before(world: World) -> None:
    """Rule 2: both entries in one transaction; an issue that is told late is born superseded."""
    old, new, oldest = card("2006-10-06", "2016-10-06"), card("2016-10-06"), card("1999-01-01", "2006-10-06")

    async def story() -> None:
        await world.register.issue(ISSUER, old, happened_at_us=START_US - DAY_US)
        told = await world.register.issue(ISSUER, new, happened_at_us=START_US)
        assert (told.documents, told.state, told.position) == (2, "current", 3)
        now = world.clock()
        assert (await world.register.status_at(POLICE, old, now, now, case="c")).facts == ["superseded", "expired", "current"]
        late = await world.register.issue(ISSUER, oldest, happened_at_us=START_US)
        assert late.state == "superseded"
        with pytest.raises(TransitionRefused):
            await world.register.issue(ISSUER, new, happened_at_us=START_US)

    run(story)


def test_death_reaches_all_documents_of_the_person_and_no_other(world: World) -> None:
    """Rule 3: card and passport die together; a stranger's passport lives; nothing is issued to the dead."""
    person = card().number

    async def story() -> None:
        await world.register.issue(ISSUER, card(), happened_at_us=START_US)
        await world.register.issue(ISSUER, passport(), happened_at_us=START_US, person_number=person)
        await world.register.issue(ISSUER, passport("OTHER0001"), happened_at_us=START_US, person_number="99")
        told = await world.register.death(ISSUER, person, happened_at_us=START_US)
        assert told.documents == 2
        now = world.clock()
        states = [
            (await world.register.status_at(POLICE, document, now, now, case="c")).state
            for document in (card(), passport(), passport("OTHER0001"))
        ]
        assert states == ["cancelled", "cancelled", "current"]
        with pytest.raises(TransitionRefused):
            await world.register.issue(ISSUER, passport("NEW000001"), happened_at_us=START_US, person_number=person)
        with pytest.raises(NotFound):
            await world.register.death(ISSUER, "12345", happened_at_us=START_US)

    run(story)


def test_the_wrong_document_is_not_killed(world: World) -> None:
    """A number alone that several cards have is refused; candidates are told without numbers."""

    async def story() -> None:
        await world.register.issue(ISSUER, card("2006-10-06", "2016-10-06"), happened_at_us=START_US)
        one = await world.register.report(POLICE, card(None, None), "lost", happened_at_us=START_US, proof=STRONG)
        assert one.state == "reported_lost"
        await world.register.issue(ISSUER, card(), happened_at_us=START_US)
        with pytest.raises(AmbiguousDocument) as refused:
            await world.register.report(POLICE, card(None, None), "lost", happened_at_us=START_US, proof=STRONG)
        assert [candidate["valid_from"] for candidate in refused.value.extra["candidates"]] == ["2006-10-06", "2016-10-06"]
        assert card().number not in str(refused.value) + repr(refused.value.extra)

    run(story)
    assert len(entries(world)) == 4


def test_a_document_its_issuer_never_issued_is_not_listed_by_mistake(world: World) -> None:
    """Where whole lives are provided an unknown document is refused; a stolen blank is not."""

    async def story() -> None:
        parties = Parties(Fresh(world.conninfo), None, world.clock)  # type: ignore[arg-type]
        await parties.set_coverage(ISSUER, "icao-9303/UTO/P", Coverage.whole_life)
        with pytest.raises(NotFound):
            await world.register.report(POLICE, passport(), "lost", happened_at_us=START_US, proof=STRONG)
        blank = await world.register.change(ISSUER, passport(), Event.blank_stolen, happened_at_us=START_US)
        assert blank.state == "blank_stolen"
        with pytest.raises(TransitionRefused):
            await world.register.issue(ISSUER, passport(), happened_at_us=START_US)

    run(story)


def test_the_same_key_gives_the_same_answer_once(world: World) -> None:
    """Ten identical requests at once: one entry, ten equal answers; another body under the key is refused."""
    idempotency = Idempotency.of("police-1", "k-1", b"/v1/reports", b"{}")
    act = Act("police-1", idempotency=idempotency)

    async def story() -> list[Recorded]:
        pool = await open_pool(world.conninfo, size_max=5)
        register = Register(Ground(pool, world.keys, world.home, world.clock))
        told = await asyncio.gather(
            *(register.report(act, passport(), "lost", happened_at_us=START_US, proof=STRONG) for _ in range(10))
        )
        other = Act("police-1", idempotency=Idempotency.of("police-1", "k-1", b"/v1/reports", b"{ }"))
        with pytest.raises(IdempotencyMismatch):
            await register.report(other, passport(), "lost", happened_at_us=START_US, proof=STRONG)
        await pool.close()
        return list(told)

    told = run(story)
    assert len({(one.id, one.position) for one in told}) == 1
    assert sum(not one.replayed for one in told) == 1
    assert len(entries(world)) == 1


def test_a_key_of_the_test_realm_never_replays_a_live_answer(world: World) -> None:
    """The same key and body under a test credential is another request."""
    same = Idempotency.of("p", "k", b"x")

    async def story() -> None:
        live, test = [
            await world.register.report(
                Act("p", realm=realm, idempotency=same), passport(), "lost", happened_at_us=START_US, proof=STRONG
            )
            for realm in ("live", "test")
        ]
        assert (live.position, test.position, test.replayed) == (1, 2, False)

    run(story)


def test_a_refused_write_leaves_no_trace(world: World) -> None:
    """No entry, no row, no idempotency answer, no gap in the positions."""
    act = Act("p", idempotency=Idempotency.of("p", "k", b"x"))

    async def story() -> None:
        with pytest.raises(NotFound):
            await world.register.lift(act, passport(), happened_at_us=START_US, proof=STRONG)
        with pytest.raises(BadInput):
            await world.register.report(act, passport(), "lost", happened_at_us=START_US + DAY_US, proof=STRONG)
        told = await world.register.report(act, passport(), "lost", happened_at_us=START_US, proof=STRONG)
        assert told.position == 1

    run(story)


def test_a_text_the_database_cannot_hold_is_bad_input(world: World) -> None:
    """U+0000 in a reference is refused and leaves nothing."""

    async def story() -> None:
        with pytest.raises(BadInput):
            await world.register.report(POLICE, passport(), "lost", happened_at_us=START_US, proof=STRONG, evidence="a\0b")

    run(story)
    assert not entries(world)


def test_a_document_found_out_after_its_holders_death_is_cancelled(world: World) -> None:
    """Rule 3 reaches documents the register hears of later: reported or not, the dead holder's card is not in force."""

    async def story() -> None:
        await world.register.issue(ISSUER, card(), happened_at_us=START_US)
        await world.register.death(ISSUER, card().number, happened_at_us=START_US)
        told = await world.register.report(
            POLICE, card("2006-10-06", "2016-10-06"), "lost", happened_at_us=START_US, proof=STRONG
        )
        assert told.state == "reported_lost"
        found = await world.register.status_at(POLICE, card("2006-10-06"), world.clock(), world.clock(), case="c")
        assert "cancelled" in found.facts

    run(story)


def test_what_was_known_when(world: World) -> None:
    """A theft on day 1 told on day 3: on day 2 it was so, and was not known."""
    day1, day2 = START_US + DAY_US, START_US + 2 * DAY_US

    async def story() -> None:
        await world.register.issue(ISSUER, passport(), happened_at_us=START_US)
        world.clock.us = START_US + 3 * DAY_US
        await world.register.report(POLICE, passport(), "stolen", happened_at_us=day1, proof=STRONG)
        now = world.clock()

        async def state(at: int, known_at: int) -> str:
            return (await world.register.status_at(POLICE, passport(), at, known_at, case="c")).state

        assert await state(day2, now) == "reported_stolen"
        assert await state(day2, day2) == "current"
        assert await state(START_US + HOUR_US, now) == "current"
        assert await state(now, now) == "reported_stolen"

    run(story)


def test_a_lookup_of_history_is_itself_recorded(world: World) -> None:
    """Who looks is in the log before the answer leaves; no case, no look-up."""

    async def story() -> None:
        await world.register.report(POLICE, passport(), "lost", happened_at_us=START_US, proof=STRONG)
        await world.register.history(Act("officer-9"), passport(), case="case 17")
        with pytest.raises(BadInput):
            await world.register.history(Act("officer-9"), passport(), case="")

    run(story)
    entry = entries(world)[-1][1]
    assert (entry.kind, entry.author, entry.evidence) == (EntryKind.note, "officer-9", "case 17")


def test_personal_details_are_erased_and_the_log_stays(world: World) -> None:
    """The details are readable until erased, each look-up is entered first; the hash still fits the ciphertext afterwards."""
    reporter = Reporter(name="张伟", contact="zhang@example.org")

    async def story() -> str:
        told = await world.register.report(POLICE, passport(), "lost", happened_at_us=START_US, proof=STRONG, reporter=reporter)
        with pytest.raises(NotFound):
            await world.register.reporter(Act("police", "test"), told.id, case="K-7")
        with pytest.raises(BadInput):
            await world.register.reporter(POLICE, told.id, case="")
        assert await world.register.reporter(POLICE, told.id, case="K-7") == reporter
        await world.register.erase(POLICE, told.id)
        with pytest.raises(NotFound):
            await world.register.reporter(POLICE, told.id, case="K-7")
        with pytest.raises(NotFound):
            await world.register.erase(POLICE, told.id)
        return told.id

    run(story)
    with psycopg.connect(world.conninfo) as db:
        kept = bytes(db.execute("SELECT hash FROM sealed_detail WHERE wrapped_key IS NULL").fetchone()[0])  # type: ignore[index]
        everything = b"".join(bytes(row[0]) for row in db.execute("SELECT ciphertext FROM sealed_detail").fetchall())
    log = [entry for _, entry in entries(world)]
    assert [entry.detail_hash for entry in log] == [kept, kept, kept]
    assert (log[1].kind, log[1].author, log[1].evidence) == (EntryKind.note, POLICE.author, "K-7")
    assert "张伟".encode() not in everything


def test_no_number_is_stored(world: World) -> None:
    """A dump of every table holds neither the card's number nor the passport's."""

    async def story() -> None:
        await world.register.issue(ISSUER, card(), happened_at_us=START_US)
        await world.register.report(POLICE, passport(), "lost", happened_at_us=START_US, proof=STRONG)

    run(story)
    with psycopg.connect(world.conninfo) as db:
        for table in ("register_log", "document", "report"):
            dump = repr(db.execute(f"SELECT t::text FROM {table} t").fetchall())
            for number in (card().number, passport().number):
                assert number not in dump
                assert number.encode().hex() not in dump


def test_the_log_is_append_only(world: World) -> None:
    """The database itself refuses to change or delete an entry."""
    run(lambda: world.register.report(POLICE, passport(), "lost", happened_at_us=START_US, proof=STRONG))
    with psycopg.connect(world.conninfo, autocommit=True) as db:
        for attack in ("DELETE FROM register_log", "UPDATE register_log SET entry = ''", "TRUNCATE register_log"):
            with pytest.raises(psycopg.errors.RaiseException):
                db.execute(attack)


def test_an_owner_lock_opens_for_one_purpose_until_a_time(world: World) -> None:
    """The timed unlock is a slot of its own; a new lock closes it."""
    keys = world.keys.documents("live")
    slot = unlock_key(keys.blind(block(card())), Purpose.credit.octet)

    async def story() -> None:
        await world.register.issue(ISSUER, card(), happened_at_us=START_US)
        with pytest.raises(TransitionRefused):
            await world.register.unlock_for(POLICE, card(), Purpose.credit, world.clock() + HOUR_US, proof=Proof.online_strong)
        await world.register.change(POLICE, card(), Event.owner_lock, happened_at_us=START_US, proof=Proof.online)
        told = await world.register.unlock_for(
            POLICE, card(), Purpose.credit, world.clock() + HOUR_US, proof=Proof.online_strong
        )
        assert told.state == "owner_locked"

    run(story)
    world.follow()
    listings = Listings(world.home / "listings")
    assert unpack(listings.lookup(slot)[0]).unlock_until_minute * 60_000_000 >= world.clock.us
    run(lambda: world.register.change(POLICE, card(), Event.owner_lock, happened_at_us=START_US, proof=Proof.online))
    world.follow()
    assert listings.lookup(slot)[0] == 0


def test_a_dispute_is_a_flag_beside_the_state(world: World) -> None:
    """Opening keeps the state; the table says disputed; a correction ends both."""

    async def story() -> None:
        await world.register.report(POLICE, passport(), "lost", happened_at_us=START_US, proof=STRONG)
        told = await world.register.change(POLICE, passport(), Event.dispute_open, happened_at_us=START_US)
        assert told.state == "reported_lost"
        found = await world.register.status_at(POLICE, passport(), world.clock(), world.clock(), case="c")
        assert found.disputed
        corrected = await world.register.correct(POLICE, passport(), State.reported_lost, happened_at_us=START_US)
        assert corrected.state == "current"
        found = await world.register.status_at(POLICE, passport(), world.clock(), world.clock(), case="c")
        assert not found.disputed

    run(story)


def test_a_terminal_error_is_corrected_by_two_officers(world: World) -> None:
    """One officer alone, or the same one twice, may not bring a revoked document back."""

    async def story() -> None:
        await world.register.change(ISSUER, passport(), Event.revoke_error, happened_at_us=START_US)
        with pytest.raises(TransitionRefused):
            await world.register.correct(ISSUER, passport(), State.revoked, happened_at_us=START_US)
        with pytest.raises(Forbidden):
            await world.register.correct(
                ISSUER, passport(), State.revoked, happened_at_us=START_US, second_officer=ISSUER.author
            )
        told = await world.register.correct(
            ISSUER, passport(), State.revoked, happened_at_us=START_US, second_officer="registry-2"
        )
        assert told.state == "current"

    run(story)


def test_the_test_realm_never_touches_live_documents(world: World) -> None:
    """A report under a test key leaves the live document as it is, and its keys differ."""
    test = Act("police-1", realm="test")

    async def story() -> None:
        await world.register.report(test, passport(), "lost", happened_at_us=START_US, proof=STRONG)
        now = world.clock()
        assert (await world.register.status_at(test, passport(), now, now, case="c")).state == "reported_lost"
        assert (await world.register.status_at(POLICE, passport(), now, now, case="c")).state == "current"
        (view,) = await world.register.reports(test, passport())
        with pytest.raises(NotFound):
            await world.register.view(view.id, "live")

    run(story)
    assert world.keys.documents("live").blind(block(passport())) != world.keys.documents("test").blind(block(passport()))


def test_a_database_that_is_down_is_said_plainly(world: World) -> None:
    """The error names no driver text, and nothing is written."""
    register = Register(Ground(Fresh("host=/nonexistent dbname=annul"), world.keys, world.home, world.clock))
    with pytest.raises(SourceDown):
        run(lambda: register.report(POLICE, passport(), "lost", happened_at_us=START_US, proof=STRONG))


def test_a_write_under_keys_of_another_epoch_is_refused(world: World) -> None:
    """A process that missed a rotation may not write keys nobody finds."""
    with psycopg.connect(world.conninfo, autocommit=True) as db:
        db.execute("UPDATE log_head SET key_epoch = 2")
    with pytest.raises(UnsafeSettings):
        run(lambda: world.register.report(POLICE, passport(), "lost", happened_at_us=START_US, proof=STRONG))


def test_an_unheard_report_is_recorded_and_says_that_it_is_not_yet_effective(world: World) -> None:
    """No follower runs: the write stands, the answer is an error, the same key asks again."""
    world.follow()
    listings = Listings(world.home / "listings")
    ground = Ground(Fresh(world.conninfo), world.keys, world.home, world.clock, listings=listings, acknowledge_s=0.01)
    register = Register(ground)
    act = Act("p", idempotency=Idempotency.of("p", "k", b"x"))

    def report() -> Recorded:
        return run(lambda: register.report(act, passport(), "lost", happened_at_us=START_US, proof=STRONG))

    with pytest.raises(NotYetEffective):
        report()
    world.follow()
    told = report()
    assert (told.replayed, told.position) == (True, 1)


def test_number_slots_tell_one_document_from_several(world: World) -> None:
    """With one card the number's slot has its state; with two nobody can tell."""
    keys = world.keys.documents("live")
    slot = keys.blind(number_block(card()))

    async def story(start: str, end: str) -> None:
        await world.register.issue(ISSUER, card(start, end), happened_at_us=START_US)

    run(lambda: story("2006-10-06", "2016-10-06"))
    world.follow()
    listings = Listings(world.home / "listings")
    assert unpack(listings.lookup(slot)[0]).state is State.current
    run(lambda: story("2016-10-06", "2036-10-06"))
    world.follow()
    assert unpack(listings.lookup(slot)[0]).many


@pytest.mark.parametrize(
    ("one", "two"),
    [((b"a", b"bc"), (b"ab", b"c")), ((b"abc", b""), (b"", b"abc")), ((b"abc",), (b"a", b"bc")), ((b"", b"x"), (b"x",))],
)
def test_route_and_body_do_not_run_into_each_other(one: tuple[bytes, ...], two: tuple[bytes, ...], world: World) -> None:
    """Route `a` with body `bc` is another request than `ab` with `c`: with one key the second is refused, not replayed."""
    first, second = (Idempotency.of("police-1", "k-1", *parts) for parts in (one, two))
    assert first.request_hash != second.request_hash
    assert first == Idempotency.of("police-1", "k-1", *one)

    async def report(idempotency: Idempotency) -> bool:
        act = Act("police-1", idempotency=idempotency)
        return (await world.register.report(act, passport(), "lost", happened_at_us=START_US, proof=STRONG)).replayed

    async def go() -> None:
        assert [await report(first), await report(first)] == [False, True]
        with pytest.raises(IdempotencyMismatch):
            await report(second)

    asyncio.run(go())


def test_the_log_holds_commitments_and_the_text_beside_it_can_be_erased(world: World) -> None:
    """The case stands nowhere in the log; erased, it stands nowhere at all, and the entry is the same bytes as before."""

    async def story() -> int:
        lost = {"happened_at_us": START_US, "proof": STRONG, "evidence": "K-2026/7"}
        done = await world.register.report(POLICE, passport(), "lost", **lost)  # type: ignore[arg-type]
        assert (await world.register.history(POLICE, passport(), case="c"))[0].evidence == "K-2026/7"
        return done.position

    def everywhere() -> tuple[bytes, str]:
        with psycopg.connect(world.conninfo) as db:
            row = db.execute("SELECT entry FROM register_log WHERE position = %s", (position,)).fetchone()
            assert row is not None
            texts = db.execute("SELECT text FROM entry_reference UNION ALL SELECT evidence FROM report")
            return bytes(row[0]), str(texts.fetchall())

    position = run(story)
    before, texts = everywhere()
    assert decode(before).commitment
    assert b"K-2026" not in before
    assert texts.count("K-2026/7") == 2

    async def erased() -> None:
        gone = await world.register.forget(Act("supervisor"), position, evidence="decision 9")
        assert entries(world)[gone.position - 1][1].kind is EntryKind.erasure
        assert (await world.register.history(POLICE, passport(), case="c"))[0].evidence == ""
        with pytest.raises(NotFound):
            await world.register.forget(Act("supervisor"), position, evidence="decision 9")
        with pytest.raises(NotFound):
            await world.register.forget(Act("supervisor"), 999, evidence="decision 9")
        with pytest.raises(NotFound):
            await world.register.forget(Act("supervisor", "test"), gone.position, evidence="decision 9")

    run(erased)
    after, texts = everywhere()
    assert after == before
    assert "K-2026/7" not in texts


def test_a_text_that_was_changed_beside_the_log_is_noticed(world: World) -> None:
    """The commitment holds the text: another text in its row is corrupt, not believed."""

    async def story() -> None:
        await world.register.report(POLICE, passport(), "lost", happened_at_us=START_US, proof=STRONG, evidence="K-2026/7")
        with psycopg.connect(world.conninfo) as db:
            db.execute("UPDATE entry_reference SET text = 'K-2026/8'")
        with pytest.raises(Corrupt):
            await world.register.history(POLICE, passport(), case="c")

    run(story)


@pytest.mark.parametrize("text", ["11010519491231002X", "no. 110105 19491231 002X", "a\nb", "a\u202eb"])
def test_a_number_gets_into_no_reference_by_any_way(world: World, text: str) -> None:
    """Refused before anything is written: as evidence, as case, as Idempotency-Key."""

    async def story() -> None:
        for call in (
            lambda: world.register.report(POLICE, passport(), "lost", happened_at_us=START_US, proof=STRONG, evidence=text),
            lambda: world.register.history(POLICE, passport(), case=text),
            lambda: world.register.reporter(POLICE, "r_1", case=text),
        ):
            with pytest.raises(BadInput) as refused:
                await call()
            assert "1949" not in str(refused.value)
        with pytest.raises(BadInput):
            Idempotency.of("p", text, b"")

    run(story)
    assert entries(world) == []


def test_an_idempotency_key_is_kept_as_a_digest(world: World) -> None:
    """It does its work, and stands nowhere."""

    async def story() -> None:
        act = Act("police-1", idempotency=Idempotency.of("police-1", "key-of-mine", b"x"))
        first = await world.register.report(act, passport(), "lost", happened_at_us=START_US, proof=STRONG)
        again = await world.register.report(act, passport(), "lost", happened_at_us=START_US, proof=STRONG)
        assert (again.replayed, again.id) == (True, first.id)

    run(story)
    with psycopg.connect(world.conninfo) as db:
        assert "key-of-mine" not in str(db.execute("SELECT * FROM idempotency").fetchall())
