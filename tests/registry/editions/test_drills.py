"""Broken transfers, damaged devices, stolen editions, rotated keys."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path

import msgspec
import pytest

from annul.edge.edge import Edge
from annul.edge.edition import Verdict
from annul.edge.store import Store
from annul.edge.sync import Folder, sync
from annul.errors import AnnulError, Conflict, Corrupt, SourceDown, VerificationFailed
from annul.records.carried import EditionKey, carried_secrets
from annul.records.document import DocumentKeys, block
from annul.records.status import State, mask
from annul.registry.loops.rotation import rotate
from tests.registry.editions.house import CARDS, TODAY, House, card, state_of


def truth(number: int) -> bool:
    """Tell whether a card is listed."""
    return state_of(number) != mask(State.current)


def right(edge: Edge, *, extra: frozenset[int] = frozenset()) -> bool:
    """Tell whether a device answers as the register does."""
    return all(
        (edge.check(card(number)).finding.verdict is Verdict.LISTED) == (truth(number) or number in extra)
        for number in range(0, CARDS, 17)
    )


class Broken(Folder):
    """A source that breaks off, cuts short and flips bits at random."""

    def __init__(self, path: Path, seed: int) -> None:
        super().__init__(path)
        self.chance = random.Random(seed)

    def fetch(self, name: str, first: int, end: int) -> bytes:
        """See `Source.fetch`."""
        raw = super().fetch(name, first, end)
        what = self.chance.random()
        if what < 0.15:
            raise SourceDown("The line broke.", where=name)
        if what < 0.25:
            return raw[: self.chance.randrange(len(raw) + 1)]
        if what < 0.4 and raw:
            place = self.chance.randrange(len(raw))
            return raw[:place] + bytes([raw[place] ^ 1 << self.chance.randrange(8)]) + raw[place + 1 :]
        return raw


def test_five_hundred_broken_transfers_leave_the_old_state_or_the_new_one(house: House) -> None:
    """Whatever arrives, a device answers as before or as after, and in the end as after; every refusal is an error of ours."""
    store = house.device()
    house.print()
    house.sync(store)
    reported: set[int] = set()
    caught_up = 0
    for turn in range(500):
        if turn % 50 == 0:
            number = next(each for each in range(CARDS) if not truth(each) and each not in reported)
            house.report(card(number))
            reported.add(number)
            if turn % 100:
                house.print()
            else:
                house.supplement()
        try:
            sync(store, Broken(house.press.published, turn), house.world.clock)
            caught_up += 1
        except AnnulError:
            pass
        if turn % 25 == 0:
            edge = house.edge(store)
            for number in (0, *reported):
                assert edge.check(card(number)).finding.verdict in (Verdict.LISTED, Verdict.NOT_LISTED, Verdict.STALE)
            assert edge.check(card(0)).finding.verdict is Verdict.LISTED
    house.sync(store)
    assert 0 < caught_up < 500
    assert right(house.edge(store), extra=frozenset(reported))


def test_damage_on_the_device_is_named_and_mended_by_the_next_sync(house: House) -> None:
    """A flipped bit in any file: an error that names it, never another answer; fetching again repairs."""
    store = house.device()
    edition = house.print()
    house.sync(store)
    folder = store.folder(edition)
    chance = random.Random(3)
    for name in ("manifest", "digests.bin", "edition.bin", "grant"):
        whole = (folder / name).read_bytes()
        for _ in range(12):
            raw = bytearray(whole)
            raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
            (folder / name).write_bytes(raw)
            said = None
            with contextlib.suppress(VerificationFailed, Corrupt):
                said = house.edge(store).check(card(5)).finding.verdict
            assert said in (None, Verdict.LISTED if truth(5) else Verdict.NOT_LISTED)
        (folder / name).unlink()
        with pytest.raises(Corrupt):
            house.edge(store).check(card(5))
        (folder / name).write_bytes(whole)
    (folder / "edition.bin").unlink()
    house.report(card(1))
    house.print()
    house.sync(store)
    assert right(house.edge(store), extra=frozenset({1}))


def test_an_old_mirror_cannot_take_a_device_back(house: House, tmp_path: Path) -> None:
    """A copy of what was published before: the heartbeat is a replay, nothing is used."""
    import shutil

    store = house.device()
    house.print()
    house.beat()
    shutil.copytree(house.press.published, tmp_path / "old")
    house.report(card(1))
    house.print()
    new = house.sync(store).editions["cn-resident"]
    with pytest.raises(VerificationFailed, match="replay"):
        sync(store, Folder(tmp_path / "old"), house.world.clock)
    assert store.current() == {"cn-resident": new}


def test_another_devices_grant_opens_nothing(house: House) -> None:
    """Grants are sealed to one device, and bound to the edition's signed keys."""
    first, second = house.device("first"), house.device("second")
    edition = house.print()
    house.sync(first)
    house.sync(second)
    (first.folder(edition) / "grant").write_bytes((second.folder(edition) / "grant").read_bytes())
    with pytest.raises(VerificationFailed) as caught:
        house.edge(first).check(card(1))
    assert caught.value.step == 9


def test_what_a_stolen_edition_gives_away(house: House) -> None:
    """The attack of docs/privacy.md: the file alone is noise; a stolen device cannot list, nor read the database.

    1. Without E, points of known documents hit as often as random ones.
    2. With the device's keys, trying numbers gives hits among the never-issued, so that a hit tells next to nothing.
    3. The device's secrets and a copy of the database do not join: no stored key equals what the device computes.
    4. Keys of one edition do not fit the next.
    """
    store = house.device()
    edition = house.print()
    house.sync(store)
    held = house.edge(store).schemes()["cn-resident"]
    dead = [card(number) for number in range(CARDS) if truth(number)]
    foreign = EditionKey(bytes(32))
    carried = DocumentKeys(carried_secrets(house.world.keys.live))
    cohort_of = held.pointer.of
    noise = sum(
        held.edition.look(foreign.point(carried.blind(block(one))), cohort_of(one)[1], one.valid_from_day).verdict
        is Verdict.LISTED
        for one in dead
    )
    assert noise < len(dead) / 4
    never = [card(100_000 + number) for number in range(4_000)]
    false = sum(held.look(one).verdict is Verdict.LISTED for one in never)
    assert false > 20  # about as many as the share of those listed: a hit is no proof that such a card exists
    with house.database() as db:
        stored = {
            bytes(value)
            for row in db.execute("SELECT document_key, number_key, person_key, carried_key FROM document").fetchall()
            for value in row
            if value is not None
        }
    assert not stored & {held.pointer.carried(one) for one in dead}
    second = house.print()
    assert house.press.edition_key(edition, 1) != house.press.edition_key(second, 1)


def test_after_a_rotation_a_new_edition_is_due_and_right(house: House) -> None:
    """Sealed keys are renewed without a number; supplements of the older edition end."""
    store = house.device()
    house.print()
    house.sync(store)
    world = house.world
    house.report(card(2))
    world.keys = rotate(world.conninfo, world.home, world.clock)
    house.press.keys = world.keys
    with pytest.raises(Conflict, match="rotated"):
        house.supplement()
    house.print()
    house.sync(store)
    assert right(house.edge(store), extra=frozenset({2}))


def test_a_cohort_with_a_card_of_unknown_key_is_not_covered(house: House) -> None:
    """Recorded before there were carried keys: its quarter is left out whole, since any answer there would be a guess."""
    with house.database() as db:
        db.execute("UPDATE document SET carried_key = NULL WHERE id = 8")
        built = house.press.build(db, "cn-resident")
        house.press.publish(db)
    assert built.left_out == 1
    store = house.device()
    house.sync(store)
    finding = house.edge(store).check(card(7)).finding
    assert (finding.verdict, finding.why) == (Verdict.NOT_COVERED, "unknown-cohort")


def test_the_index_is_a_hint_that_cannot_lie(house: House) -> None:
    """An index that names another position, a foreign edition or a path is refused by what is signed, or by its form."""
    store = house.device()
    house.print()
    index = house.press.published / "index.json"
    good = msgspec.json.decode(index.read_bytes())
    for change in ({"edition": "../" + "0" * 29}, {"edition": "0" * 32}, {"scheme": "icao-9303"}):
        index.write_bytes(msgspec.json.encode({"editions": [good["editions"][0] | change]}))
        with pytest.raises(AnnulError):
            house.sync(store)
        assert store.current() == {}
    index.write_bytes(b"[")
    with pytest.raises(Corrupt):
        house.sync(store)


def test_a_card_issued_today_is_told_by_the_next_days_edition(house: House) -> None:
    """Not covered today; covered when the day is over and an edition was printed."""
    store = house.device()
    new = card(CARDS + 50, issued=TODAY)
    house.issue(new)
    house.print()
    house.sync(store)
    assert house.edge(store).check(new).finding.why == "issued-later"
    house.world.clock.us += 2 * 86_400_000_000
    house.report(card(3))
    house.print()
    house.sync(store)
    assert house.edge(store).check(new).finding.verdict is Verdict.NOT_LISTED


def test_devices_are_named_for_files() -> None:
    """A name that is a path, empty or too long makes no device."""
    for name in ("", "../x", "a/b", ".hidden", "x" * 65):
        with pytest.raises(AnnulError):
            Store(Path("/nonexistent")).create(name, "")
