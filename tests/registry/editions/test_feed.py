"""The feed: every position once, whatever breaks; and who is how far."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from annul.edge.edition import Verdict
from annul.edge.store import Store
from annul.edge.trust import Acknowledgement, Frame, Told, open_frame
from annul.errors import BadInput, Gone, NotAuthorised, VerificationFailed
from annul.proof.checkpoint import sign_note
from annul.records.status import State, mask
from annul.registry.editions import feeder as feeding
from annul.registry.editions.feed import FeedFiles, frames_in
from annul.registry.editions.feeder import Feeder
from annul.registry.editions.tail import Tail, event_of
from annul.registry.editions.verifiers import Verifiers, counted, percentile_ms
from annul.registry.writing.store import Fresh
from tests.registry.editions.house import CARDS, TODAY, House, card, state_of


def living(count: int) -> list[int]:
    """Return numbers of cards of which nothing is listed."""
    return [number for number in range(CARDS) if state_of(number) == mask(State.current)][:count]


def frames(house: House, feeder: Feeder) -> list[Told]:
    """Bring the feed up to the register, and return all its frames."""
    with house.database() as db:
        row = db.execute("SELECT next_position - 1 FROM log_head").fetchone()
        assert row is not None
        feeder.turn(db, row[0])
    files = FeedFiles(house.world.home.feed)
    return list(frames_in(b"".join(files.read(files.begins()[0], 1 << 30))))


def fed(house: House) -> Feeder:
    """Return a feeder of a house, as a start of the follower makes it."""
    return Feeder(house.world.conninfo, house.world.home, house.world.keys, house.world.clock)


def taken(house: House, store: Store, told: Told) -> Frame:
    """Verify a frame as a device does, and keep it."""
    frame = open_frame(told.note.encode(), store.trust(), house.world.clock())
    store.keep(store.current()["cn-resident"], told)
    return frame


def test_a_device_that_follows_refuses_what_was_reported(house: House) -> None:
    """A report, its lift and a late issue reach the device by frames; a restart of the device reads them again."""
    store = house.device()
    house.print()
    house.sync(store)
    feeder = fed(house)
    frames(house, feeder)
    dead, _ = living(2)
    edge = house.edge(store)
    house.report(card(dead))
    house.issue(card(CARDS + 7, issued=TODAY - 20))
    (told,) = frames(house, feeder)
    assert edge.check(card(dead)).finding.verdict is Verdict.NOT_LISTED
    assert edge.take(taken(house, store, told)) == 1
    assert edge.check(card(dead)).finding[:2] == (Verdict.LISTED, "reported")
    assert edge.check(card(CARDS + 7, issued=TODAY - 20)).finding.verdict is Verdict.NOT_LISTED
    assert house.edge(store).check(card(dead)).finding.verdict is Verdict.LISTED  # from the folder alone
    assert edge.take(open_frame(told.note.encode(), store.trust(), house.world.clock())) == 0  # a second time changes nothing
    house.supplement()
    house.sync(store)
    edition = store.current()["cn-resident"]
    assert store.frames(edition, 0) == []  # the supplement tells it again
    assert house.edge(store).check(card(dead)).finding.verdict is Verdict.LISTED


def test_a_gap_is_not_passed_over(house: House) -> None:
    """A frame that begins behind what the device holds is not taken, and leaves its position."""
    store = house.device()
    house.print()
    house.sync(store)
    feeder = fed(house)
    frames(house, feeder)
    first, second = living(2)
    house.report(card(first))
    frames(house, feeder)
    house.report(card(second))
    _, later = frames(house, feeder)
    edge = house.edge(store)
    before = edge.schemes()["cn-resident"].position
    assert edge.take(open_frame(later.note.encode(), store.trust(), house.world.clock())) == 0
    assert edge.schemes()["cn-resident"].position == before
    assert edge.check(card(second)).finding.verdict is Verdict.NOT_LISTED


def test_every_position_is_told_once_whatever_breaks(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Torn lines, restarts and new files: the frames lead from the first position to the last without gap or overlap."""
    monkeypatch.setattr(feeding, "FILE_BYTES_MAX", 1_500)
    monkeypatch.setattr(feeding, "ENTRIES_MAX", 2)
    house.print()
    files = FeedFiles(house.world.home.feed)
    frames(house, fed(house))
    for turn, number in enumerate(living(12)):
        house.report(card(number))
        feeder = fed(house)
        frames(house, feeder)
        feeder.close()
        if turn % 3 == 0:
            with files.file(files.begins()[-1]).open("ab") as file:
                file.write(b'{"since":99,"posi')  # the machine went down in the middle of a line
    told = frames(house, fed(house))
    assert len(files.begins()) > 2
    assert [one.since for one in told[1:]] == [one.position for one in told[:-1]]
    assert told[-1].position == files.newest() > told[0].since == files.begins()[0]
    middle = told[len(told) // 2].position
    assert [msgspec.json.decode(raw, type=Told).since for raw in files.read(middle, 1)] == [middle]


def test_what_is_kept_no_longer_is_gone(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """410 with the way to begin anew; a position of the future is no position; a feed of another register begins anew."""
    monkeypatch.setattr(feeding, "FILE_BYTES_MAX", 10)
    monkeypatch.setattr(feeding, "FILES_MAX", 2)
    house.print()
    feeder = fed(house)
    first = frames(house, feeder)
    for number in living(4):
        house.report(card(number))
        frames(house, feeder)
    files = FeedFiles(house.world.home.feed)
    with pytest.raises(Gone) as gone:
        files.require(files.begins()[0] - 1)
    assert gone.value.extra["snapshot"] == "/v1/editions"
    assert not first
    files.require(files.newest())
    with pytest.raises(BadInput):
        files.require(files.newest() + 1)
    with house.database() as db:
        fed(house).turn(db, 1)
    assert files.begins() == [1]


def test_an_edition_the_feed_cannot_tell_of_is_not_named(house: House) -> None:
    """After a change of coverage the frame passes the edition over, so no device takes it for complete."""
    from annul.records.codes import Coverage
    from annul.registry.parties.parties import Parties
    from annul.registry.writing.act import Act
    from tests.registry.editions.house import _Unpublished

    store = house.device()
    house.print()
    house.sync(store)
    feeder = fed(house)
    frames(house, feeder)
    parties = Parties(Fresh(house.world.conninfo), _Unpublished(), house.world.clock)  # type: ignore[arg-type]
    asyncio.run(parties.set_coverage(Act("setup"), "icao-9303", Coverage.listing_only))
    (told,) = frames(house, feeder)
    frame = open_frame(told.note.encode(), store.trust(), house.world.clock())
    assert frame.changes == {}
    assert house.edge(store).take(frame) == 0


def test_many_readers_share_one_encoding_and_miss_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who listens from a position gets each frame once, in order; who does not listen is let go and finds all in the files."""
    monkeypatch.setattr("annul.registry.editions.tail.RING_MAX", 8)
    house.print()
    feeder = fed(house)
    frames(house, feeder)
    numbers = living(30)
    begin = FeedFiles(house.world.home.feed).newest()

    async def read(tail: Tail, after: int, until: int, seen: list[int]) -> None:
        events = await tail.stream(after)
        async for part in events:
            seen += [int(line[4:]) for line in part.split(b"\n") if line.startswith(b"id: ")]
            if seen and seen[-1] >= until:
                break
        await events.aclose()  # type: ignore[attr-defined]

    async def run() -> list[list[int]]:
        tail = Tail(house.world.home)
        slow = await tail.stream(begin)
        await anext(slow)
        seen: list[list[int]] = [[] for _ in range(20)]
        tasks = [asyncio.create_task(read(tail, begin, begin + len(numbers), each)) for each in seen]
        for turn, number in enumerate(numbers):
            await asyncio.to_thread(house.report, card(number))
            await asyncio.to_thread(frames, house, feeder)
            if turn == 0:
                await anext(slow)  # and from now on it takes nothing
        await asyncio.gather(*tasks)
        late = [part async for part in slow]
        assert late == []
        tail.close()
        return seen

    told = [one.position for one in frames(house, feeder)]
    seen = asyncio.run(run())
    told = [one.position for one in frames(house, feeder)][len(told) :]
    assert all(each == told for each in seen)


def test_an_event_is_one_line_of_the_feed() -> None:
    """As the standard has it: id, name, data, an empty line."""
    assert event_of(b'{"a":1}\n', 7) == b'id: 7\nevent: frame\ndata: {"a":1}\n\n'


def said(house: House, store: Store, position: int, at_us: int | None = None, name: str = "") -> bytes:
    """Return what a device acknowledges."""
    device = store.device()
    made = Acknowledgement(edge=name or device.name, position=position, at_us=at_us or house.world.clock())
    return sign_note(msgspec.json.encode(made, order="sorted") + b"\n", device.signer)


def test_a_device_is_heard_once_in_order_and_by_its_own_key(house: House) -> None:
    """Replays, steps back, another's name or key, another time and a future position are refused, and change nothing."""
    store, other = house.device(), house.device("edge-2")
    verifiers = Verifiers(Fresh(house.world.conninfo), house.world.clock)
    house.report(card(living(1)[0]))
    with house.database() as db:
        head = db.execute("SELECT next_position - 1 FROM log_head").fetchone()[0]  # type: ignore[index]
    note = said(house, store, head - 1)
    assert asyncio.run(verifiers.hear("edge-1", note)).position == head - 1
    attacks = [
        ("edge-1", note, VerificationFailed),
        ("edge-1", said(house, store, head - 2), VerificationFailed),
        ("edge-1", said(house, other, head), VerificationFailed),
        ("edge-2", said(house, other, head, name="edge-1"), VerificationFailed),
        ("edge-1", said(house, store, head, house.world.clock() - 10**9), VerificationFailed),
        ("edge-1", said(house, store, head + 9), BadInput),
        ("edge-3", said(house, store, head), NotAuthorised),
    ]
    for name, sent, error in attacks:
        with pytest.raises(error):
            asyncio.run(verifiers.hear(name, sent))
    before = asyncio.run(verifiers.refusing(head))
    assert (before.devices, before.connected, before.refusing, before.since_us) == (2, 1, 0, None)
    asyncio.run(verifiers.hear("edge-1", said(house, store, head)))
    after = asyncio.run(verifiers.refusing(head))
    assert (after.devices, after.connected, after.refusing) == (2, 1, 1)
    assert after.since_us is not None
    first, second = asyncio.run(verifiers.devices())
    assert (first.name, first.heard_at_us, second.position, second.behind) == ("edge-2", None, head, 0)
    assert second.connected
    assert second.p99_ms is not None


def test_delays_are_counted_by_powers_of_two() -> None:
    """The percentile is the upper edge of its count; without any there is none."""
    counts: list[int] = []
    for delay_us in [900] * 98 + [40_000, 3_600_000_000]:
        counts = counted(counts, delay_us)
    assert percentile_ms(counts, 0.5) == 1.0
    assert percentile_ms(counts, 0.99) == 64.0
    assert percentile_ms(counts, 1.0) == float(1 << 22)
    assert percentile_ms([], 0.5) is None
