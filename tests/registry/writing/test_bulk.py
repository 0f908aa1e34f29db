"""Bulk events: two officers, dry run, one entry in, one entry out."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psycopg
import pytest

from annul.errors import BadInput, Conflict, Corrupt, Forbidden, NotFound, TransitionRefused
from annul.listings import Listings, unpack
from annul.records.document import Document, DocumentFields, block, parse_document
from annul.records.entry import EntryKind
from annul.records.status import Event, State
from annul.registry.loops.rotation import rotate
from annul.registry.writing.act import Act
from annul.registry.writing.bulk import Bulk, BulkView
from tests.registry.world import ISSUER, POLICE, START_US, STRONG, World
from tests.world import said

FIRST, SECOND = Act("officer-1", credential="key-1"), Act("officer-2", credential="key-2")


def russian(line: int) -> Document:
    """Return the passport on a line of the list."""
    return parse_document(DocumentFields(scheme="ru-internal", series="4509", number=f"{line:06d}"))


def listed(path: Path, first: int, last: int) -> Path:
    """Write a list of passports, with one malformed line."""
    path.write_text("PASSP_SERIES,PASSP_NUMBER\n" + "".join(f"4509,{n:06d}\n" for n in range(first, last)) + "45o9,1\n")
    return path


def bulk_of(world: World, limit: int = 1000) -> Bulk:
    """Return the bulk desk of a register."""
    return Bulk(world.ground, limit=limit)


async def stage(world: World, path: Path, *, limit: int = 1000, state: State = State.revoked) -> tuple[Bulk, BulkView]:
    """Stage a list."""
    bulk = bulk_of(world, limit)
    staged = await bulk.stage(FIRST, path, format="russian", state=state, happened_at_us=START_US, memory_bytes=1 << 22)
    return bulk, staged


def state_in_table(world: World, document: Document) -> State | None:
    """Ask the table as a check would."""
    value = Listings(world.home / "listings").lookup(world.keys.documents("live").blind(block(document)))[0]
    return unpack(value).state


def test_a_list_is_one_entry_and_undone_by_one(world: World, tmp_path: Path) -> None:
    """Staged: nothing is listed. Confirmed: everything is. Undone: nothing again."""

    async def go() -> BulkView:
        _, staged = await stage(world, listed(tmp_path / "l.csv", 0, 500))
        assert (staged.state, staged.document_count, staged.two_officers, staged.lines) == ("staged", 500, False, 502)
        assert sum(cause.count for cause in staged.bad.values()) == 1
        assert staged.samples
        return staged

    staged = asyncio.run(go())
    world.follow()
    assert state_in_table(world, russian(7)) is None
    confirmed = asyncio.run(bulk_of(world).confirm(FIRST, staged.id))
    assert confirmed.position == 1
    world.follow()
    assert state_in_table(world, russian(7)) is State.revoked
    undone = asyncio.run(bulk_of(world).undo(FIRST, staged.id))
    assert (undone.state, undone.undone_position) == ("undone", 2)
    world.follow()
    assert state_in_table(world, russian(7)) is None
    with pytest.raises(Conflict):
        asyncio.run(bulk_of(world).undo(FIRST, staged.id))


def test_above_the_limit_one_officer_is_not_enough(world: World, tmp_path: Path) -> None:
    """The officer who staged may not confirm; a second one may, once."""

    async def go() -> None:
        bulk, staged = await stage(world, listed(tmp_path / "l.csv", 0, 60), limit=50)
        assert staged.two_officers
        with pytest.raises(Forbidden):
            await bulk.confirm(FIRST, staged.id)
        assert (await bulk.confirm(SECOND, staged.id)).confirmed_by == "officer-2"
        with pytest.raises(Conflict):
            await bulk.confirm(SECOND, staged.id)

    asyncio.run(go())


def test_the_dry_run_tells_how_many_good_documents_would_die(world: World, tmp_path: Path) -> None:
    """Hits on current documents are the sign of a wrong list."""

    async def go() -> None:
        for n in range(3):
            await world.register.issue(ISSUER, russian(n), happened_at_us=START_US)
        await world.register.report(POLICE, russian(2), "lost", happened_at_us=START_US, proof=STRONG)
        _, staged = await stage(world, listed(tmp_path / "l.csv", 1, 40))
        assert staged.hits == {"current": 1, "reported_lost": 1}

    asyncio.run(go())


def test_a_listed_document_is_decided_singly_from_what_the_list_says(world: World, tmp_path: Path) -> None:
    """A correction of one document silences the list for it alone."""

    async def go() -> None:
        bulk, staged = await stage(world, listed(tmp_path / "l.csv", 0, 40), state=State.reported_lost)
        await bulk.confirm(FIRST, staged.id)
        told = await world.register.correct(POLICE, russian(3), State.reported_lost, happened_at_us=START_US)
        assert told.state == "current"
        with pytest.raises(NotFound):
            await world.register.correct(POLICE, russian(99), State.reported_lost, happened_at_us=START_US)

    asyncio.run(go())
    world.follow()
    assert state_in_table(world, russian(3)) is State.current
    assert state_in_table(world, russian(4)) is State.reported_lost


def test_undoing_a_list_leaves_what_stands_for_another_reason(world: World, tmp_path: Path) -> None:
    """A passport on a wrong list that was also reported stolen stays stolen; one only disputed is free again."""

    async def go() -> str:
        bulk, staged = await stage(world, listed(tmp_path / "l.csv", 0, 40))
        await bulk.confirm(FIRST, staged.id)
        await world.register.report(POLICE, russian(1), "stolen", happened_at_us=START_US, proof=STRONG)
        await world.register.change(POLICE, russian(2), Event.dispute_open, happened_at_us=START_US)
        await world.register.change(ISSUER, russian(3), Event.revoke_fraud, happened_at_us=START_US)
        with pytest.raises(TransitionRefused):
            await world.register.change(POLICE, russian(4), Event.owner_lock, happened_at_us=START_US)
        await bulk.undo(FIRST, staged.id)
        now = world.clock()
        states = [(await world.register.status_at(POLICE, russian(n), now, now, case="c")).state for n in range(1, 6)]
        assert states == ["reported_stolen", "current", "revoked", "current", "current"]
        return staged.id

    asyncio.run(go())
    world.follow()
    assert [state_in_table(world, russian(n)) for n in (1, 3, 5)] == [State.reported_stolen, State.revoked, None]
    assert state_in_table(world, russian(2)) is State.current


def test_a_later_list_reaches_documents_that_override_an_earlier_one(world: World, tmp_path: Path) -> None:
    """Corrected under the first list, named by the second: listed again; the first one's undo leaves it so."""

    async def go() -> None:
        bulk, one = await stage(world, listed(tmp_path / "a.csv", 0, 40), state=State.reported_lost)
        await bulk.confirm(FIRST, one.id)
        await world.register.correct(POLICE, russian(3), State.reported_lost, happened_at_us=START_US)
        _, two = await stage(world, listed(tmp_path / "b.csv", 3, 9), state=State.cancelled)
        await bulk_of(world).confirm(FIRST, two.id)
        await bulk.undo(FIRST, one.id)

    asyncio.run(go())
    world.follow()
    assert state_in_table(world, russian(3)) is State.cancelled
    assert state_in_table(world, russian(30)) is None


def test_what_a_list_said_when(world: World, tmp_path: Path) -> None:
    """The bitemporal answer knows lists too: before the confirmation nothing was known, after the undo it was never so."""

    async def go() -> None:
        bulk, staged = await stage(world, listed(tmp_path / "l.csv", 0, 9))
        before = world.clock()
        await bulk.confirm(FIRST, staged.id)
        during = world.clock()
        await bulk.undo(SECOND, staged.id)
        after = world.clock()

        async def state(at: int, known_at: int) -> str:
            return (await world.register.status_at(POLICE, russian(1), at, known_at, case="c")).state

        assert [
            await state(before, before),
            await state(before, during),
            await state(during, after),
            await state(after, after),
        ] == ["current", "revoked", "current", "current"]
        assert await state(during, during) == "revoked"
        lines = await world.register.history(POLICE, russian(1), case="c")
        assert [line.event for line in lines] == ["bulk_list", "bulk_undo"]

    asyncio.run(go())


def test_a_changed_segment_is_not_confirmed(world: World, tmp_path: Path) -> None:
    """One flipped bit between staging and confirming is named, and nothing is listed."""

    async def go() -> None:
        bulk, staged = await stage(world, listed(tmp_path / "l.csv", 0, 40))
        path = world.home / "listings" / "segments" / f"{staged.id}.seg"
        raw = bytearray(path.read_bytes())
        raw[4096 + 9] ^= 1
        path.write_bytes(raw)
        with pytest.raises(Corrupt):
            await bulk_of(world).confirm(FIRST, staged.id)
        assert (await bulk.view(FIRST, staged.id)).state == "staged"

    asyncio.run(go())


def test_a_list_of_nothing_and_a_state_of_nothing_are_refused(world: World, tmp_path: Path) -> None:
    """No good line, no state, no file: nothing is staged."""

    async def go() -> None:
        empty = tmp_path / "e.csv"
        empty.write_text("PASSP_SERIES,PASSP_NUMBER\nx,y\n")
        with pytest.raises(BadInput):
            await stage(world, empty)
        with pytest.raises(BadInput):
            await stage(world, listed(tmp_path / "l.csv", 0, 4), state=State.current)
        with pytest.raises(BadInput):
            await stage(world, tmp_path / "none.csv")
        assert await bulk_of(world).list(FIRST) == []

    asyncio.run(go())


def test_a_discarded_list_cannot_come_into_force(world: World, tmp_path: Path) -> None:
    """Discarding removes the segment; other realms do not see the event."""

    async def go() -> None:
        bulk, staged = await stage(world, listed(tmp_path / "l.csv", 0, 4))
        with pytest.raises(NotFound):
            await bulk.view(Act("officer-1", realm="test"), staged.id)
        assert (await bulk.discard(FIRST, staged.id)).state == "discarded"
        with pytest.raises(Conflict):
            await bulk.confirm(FIRST, staged.id)

    asyncio.run(go())
    assert not list((world.home / "listings" / "segments").iterdir())


def test_the_follower_maps_exactly_the_segments_in_force(world: World, tmp_path: Path) -> None:
    """Whatever happened while it was away: at its start manifest and register agree."""

    async def go(path: Path, *, undo: bool) -> str:
        bulk, staged = await stage(world, path)
        await bulk.confirm(FIRST, staged.id)
        if undo:
            await bulk.undo(FIRST, staged.id)
        return staged.id

    kept = asyncio.run(go(listed(tmp_path / "a.csv", 0, 9), undo=False))
    world.follow()
    world.close()
    with psycopg.connect(world.conninfo, autocommit=True) as db:
        assert db.execute("SELECT count(*) FROM bulk WHERE state = 'in_force'").fetchone() == (1,)
    asyncio.run(go(listed(tmp_path / "b.csv", 10, 19), undo=True))
    asyncio.run(bulk_of(world).undo(FIRST, kept))
    last = asyncio.run(go(listed(tmp_path / "c.csv", 20, 29), undo=False))
    world.follow()
    assert [segment.id for segment in Listings(world.home / "listings").segments()] == [last]


@pytest.mark.parametrize(
    ("staging", "confirming", "another"),
    [
        ("registry", "registry/12", "registry-2"),
        ("registry/12", "registry", "registry/27"),
        ("registry/12", "registry/12", "registry-2/12"),
    ],
)
def test_a_party_and_its_officer_are_not_two_persons(
    staging: str, confirming: str, another: str, world: World, tmp_path: Path
) -> None:
    """Who has the party's key may be that very officer; another officer, or another party, is another person."""
    path = listed(tmp_path / "l.csv", 0, 60)

    async def go() -> None:
        bulk = bulk_of(world, 50)
        first, same, second = (Act(each, credential=f"key of {each}") for each in (staging, confirming, another))
        staged = await bulk.stage(first, path, format="russian", state=State.revoked, happened_at_us=START_US)
        with pytest.raises(Forbidden):
            await bulk.confirm(same, staged.id)
        assert (await bulk.view(first, staged.id)).state == "staged"
        assert (await bulk.confirm(second, staged.id)).state == "in_force"

    asyncio.run(go())


@pytest.mark.parametrize(("count", "two_officers"), [(1_000, False), (1_001, True)])
def test_a_thousand_documents_are_one_officers(count: int, two_officers: bool, world: World, tmp_path: Path) -> None:
    """Exactly: the thousand and first needs a second officer. Source: the domain, rule 11."""

    async def go() -> None:
        path = listed(tmp_path / "l.csv", 0, count)
        bulk = Bulk(world.ground)
        staged = await bulk.stage(FIRST, path, format="russian", state=State.revoked, happened_at_us=START_US)
        assert (staged.document_count, staged.two_officers) == (count, two_officers)
        if two_officers:
            with pytest.raises(Forbidden):
                await bulk.confirm(FIRST, staged.id)
        else:
            assert (await bulk.confirm(FIRST, staged.id)).state == "in_force"

    asyncio.run(go())


def test_a_staged_list_goes_through_a_rotation_of_the_keys(world: World, tmp_path: Path) -> None:
    """It is re-keyed with everything else: confirmed afterwards, it lists the documents it was staged with."""
    _, staged = asyncio.run(stage(world, listed(tmp_path / "l.csv", 0, 40)))
    world.close()
    world.keys = rotate(world.conninfo, world.home, world.clock)
    asyncio.run(bulk_of(world).confirm(SECOND, staged.id))
    world.follow()
    assert [state_in_table(world, russian(n)) for n in (7, 39, 40)] == [State.revoked, State.revoked, None]


def test_a_list_of_an_older_epoch_than_the_keys_is_not_confirmed(world: World, tmp_path: Path) -> None:
    """One that no rotation re-keyed (put back from a copy, say) would name nobody: refused, nothing is entered."""
    path = listed(tmp_path / "l.csv", 0, 40)
    _, staged = asyncio.run(stage(world, path))
    world.close()
    world.keys = rotate(world.conninfo, world.home, world.clock)
    with psycopg.connect(world.conninfo) as db:
        db.execute("UPDATE bulk SET key_epoch = key_epoch - 1")
        before = db.execute("SELECT count(*) FROM register_log").fetchone()
    with pytest.raises(Conflict, match="older document keys"):
        asyncio.run(bulk_of(world).confirm(SECOND, staged.id))
    with psycopg.connect(world.conninfo) as db:
        assert db.execute("SELECT count(*) FROM register_log").fetchone() == before
    _, again = asyncio.run(stage(world, path))
    assert asyncio.run(bulk_of(world).confirm(FIRST, again.id)).state == "in_force"


def test_a_list_is_not_imported_twice_while_it_stands(world: World, tmp_path: Path) -> None:
    """The same documents with the same state: told by the event that they are, staged or in force; free again once undone."""
    path = listed(tmp_path / "l.csv", 0, 40)
    bulk, staged = asyncio.run(stage(world, path))
    with pytest.raises(Conflict, match=f"{staged.id} .* is staged"):
        asyncio.run(stage(world, path))
    asyncio.run(bulk.confirm(FIRST, staged.id))
    with pytest.raises(Conflict, match="40 documents and is in force"):
        asyncio.run(stage(world, listed(tmp_path / "same.csv", 0, 40)))
    _, other = asyncio.run(stage(world, path, state=State.reported_lost))
    assert other.state == "staged"
    asyncio.run(bulk.undo(FIRST, staged.id))
    assert asyncio.run(stage(world, path))[1].state == "staged"


def test_a_confirmation_and_an_undo_are_entries_of_their_own_kinds(world: World, tmp_path: Path) -> None:
    """`bulk` and `bulk_undo`, by whoever did it, about the same segment; a stage and a discard are no entries."""

    async def go() -> BulkView:
        bulk, staged = await stage(world, listed(tmp_path / "l.csv", 0, 40))
        await bulk.confirm(SECOND, staged.id, evidence="minutes 7")
        await bulk.undo(FIRST, staged.id, evidence="wrong list")
        _, dropped = await stage(world, listed(tmp_path / "m.csv", 50, 60))
        await bulk.discard(FIRST, dropped.id)
        return staged

    asyncio.run(go())
    with psycopg.connect(world.conninfo) as db:
        entries = said(db)
    told = [(entry.kind, entry.reason, entry.author, entry.evidence) for entry in entries]
    assert told == [
        (EntryKind.bulk, Event.bulk_list, "officer-2", "minutes 7"),
        (EntryKind.bulk_undo, Event.bulk_undo, "officer-1", "wrong list"),
    ]
    assert entries[0].body == entries[1].body


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_two_lists_undone_over_one_corrected_document_leave_its_own_report(
    order: tuple[int, int], world: World, tmp_path: Path
) -> None:
    """Listed twice, corrected, reported by itself: whichever list goes first, in the end the report alone stands."""

    async def go() -> None:
        made = []
        for name, last in (("a.csv", 40), ("b.csv", 41)):
            bulk, staged = await stage(world, listed(tmp_path / name, 0, last), state=State.reported_lost)
            await bulk.confirm(FIRST, staged.id)
            made.append(staged.id)
            if name == "a.csv":
                await world.register.correct(POLICE, russian(3), State.reported_lost, happened_at_us=START_US)
        await world.register.report(POLICE, russian(3), "lost", happened_at_us=START_US, proof=STRONG)
        await world.register.report(POLICE, russian(4), "stolen", happened_at_us=START_US, proof=STRONG)
        for place in order:
            await bulk.undo(FIRST, made[place])
            now = world.clock()
            states = [(await world.register.status_at(POLICE, russian(n), now, now, case="c")).state for n in (3, 4)]
            assert states == ["reported_lost", "reported_stolen"]

    asyncio.run(go())
    world.follow()
    assert [state_in_table(world, russian(n)) for n in (3, 4, 5)] == [State.reported_lost, State.reported_stolen, None]
