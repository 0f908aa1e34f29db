"""What a device answered offline is asked again; wrong answers come back to it."""

from __future__ import annotations

import asyncio
import json

import pytest

from annul.edge.edition import Verdict
from annul.edge.journal import Journal
from annul.edge.store import Store
from annul.errors import BadInput, NotAuthorised, VerificationFailed
from annul.records.status import State, mask
from annul.registry.editions.journals import Journals, Taken
from annul.registry.writing.store import Fresh
from tests.registry.editions.house import CARDS, House, card, state_of


def answer(house: House, store: Store, number: int, reference: str = "") -> Verdict:
    """Ask a device and account for it, as the command does."""
    told = house.edge(store).check(card(number))
    Journal(store).append(told, card(number), house.world.clock(), reference=reference)
    return told.finding.verdict


def take(house: House, edge: str, note: bytes, raw: bytes) -> Taken:
    """Hand a window to the register."""
    journals = Journals(Fresh(house.world.conninfo), house.world.keys, house.world.clock)
    return asyncio.run(journals.take(edge, note, raw))


def free_cards() -> list[int]:
    """Return cards without a listing."""
    return [number for number in range(CARDS) if state_of(number) == mask(State.current)]


def ready(house: House, name: str = "edge-1") -> Store:
    """Return a device that is up to date."""
    store = house.device(name)
    if not house.press.index().editions:
        house.print()
    house.sync(store)
    return store


def window(house: House, store: Store) -> tuple[bytes, bytes]:
    """Close the open window of a device."""
    closed = Journal(store).close_window(house.world.clock())
    assert closed is not None
    return closed


def test_answers_that_were_right_pass_and_wrong_ones_are_recalled(house: House) -> None:
    """Reported before the device answered from its older copy: wrong. Reported later: told too, not wrong."""
    store = ready(house)
    before, after, same = free_cards()[:3]
    house.report(card(before))
    assert answer(house, store, before, "K-1") is Verdict.NOT_LISTED  # the copy is some seconds old, and fresh
    answer(house, store, after, "K-2")
    answer(house, store, same)
    answer(house, store, next(number for number in range(CARDS) if state_of(number) != mask(State.current)))
    house.report(card(after))
    taken = take(house, "edge-1", *window(house, store))
    assert (taken.next, taken.rechecked) == (5, 4)
    told = [(each.number, each.now, each.wrong, each.reference) for each in taken.differing]
    assert told == [(1, "listed", True, "K-1"), (2, "listed", False, "K-2")]
    with house.database() as db:
        noted = db.execute(
            "SELECT count(*) FROM entry_reference WHERE position(%s IN text) > 0", ("journal of edge-1",)
        ).fetchone()
    assert noted == (1,)


def test_a_window_that_comes_twice_is_taken_once(house: House) -> None:
    """The answer was lost on the way: sent again it is answered alike; then the next one follows."""
    store = ready(house)
    answer(house, store, 1)
    first = window(house, store)
    assert take(house, "edge-1", *first) == take(house, "edge-1", *first)
    answer(house, store, 2)
    answer(house, store, 3)
    assert take(house, "edge-1", *window(house, store)).next == 4
    with pytest.raises(VerificationFailed):
        take(house, "edge-1", *first)


def test_attacks_on_a_journal_are_refused_and_change_nothing(house: House) -> None:
    """Another's journal, a line taken out, changed or put in, a window left out, a device that was withdrawn."""
    store, other = ready(house), ready(house, "edge-2")
    for number in range(4):
        answer(house, store, number)
    note, raw = window(house, store)
    with pytest.raises(VerificationFailed) as caught:
        take(house, "edge-2", note, raw)
    assert caught.value.step == 3
    lines = raw.splitlines(keepends=True)
    for changed in (lines[1:], lines[:-1], [*lines, lines[0]], lines[::-1]):
        with pytest.raises(VerificationFailed) as caught:
            take(house, "edge-1", note, b"".join(changed))
        assert caught.value.step == 5
    with pytest.raises(VerificationFailed):
        take(house, "edge-1", note, raw.replace(b"NOT_LISTED", b"LISTED"))
    answer(house, store, 5)
    second = window(house, store)
    with pytest.raises(VerificationFailed) as caught:
        take(house, "edge-1", *second)
    assert caught.value.step == 4
    with pytest.raises(NotAuthorised):
        take(house, "nobody", note, raw)
    with pytest.raises(BadInput):
        take(house, "edge-1", note, b"\n" * 2000)
    assert take(house, "edge-1", note, raw).next == 5
    answer(house, other, 1)
    with house.database() as db:
        house.press.withdraw(db, "edge-2")
    with pytest.raises(NotAuthorised):
        take(house, "edge-2", *window(house, other))


def test_the_journal_names_nobody_and_survives_a_torn_line(house: House) -> None:
    """No number in it, nor a key the device could compare; a line cut by a crash is dropped, since nobody saw its answer."""
    store = ready(house)
    answer(house, store, 7)
    file = store.place / "journal" / "lines"
    text = file.read_text()
    held = house.edge(store).schemes()["cn-resident"]
    assert card(7).number not in text
    assert held.pointer.carried(card(7)).hex() not in text
    file.write_bytes(file.read_bytes() + b'{"number":2,"at_')
    answer(house, store, 8)
    assert [json.loads(line)["number"] for line in file.read_text().splitlines()] == [1, 2]
    assert take(house, "edge-1", *window(house, store)).next == 3
    assert Journal(store).close_window(house.world.clock()) is None
