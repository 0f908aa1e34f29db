"""Two persons are two credentials: what one who holds a single key tries, and who is let through."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import psycopg
import pytest

from annul.errors import Forbidden
from annul.records.status import State
from annul.registry.writing import second
from annul.registry.writing.act import Act
from annul.registry.writing.bulk import Bulk, BulkView
from annul.registry.writing.second import TERM_US, WINDOW_US, Hand, note_made
from annul.registry.writing.store import Fresh, Write, writing
from tests.registry.world import START_US, World
from tests.registry.writing.test_bulk import listed

KEY, OTHER_KEY, PASSKEY, OTHER_PASSKEY = "0" * 16, "1" * 16, "k_" + "0" * 24, "k_" + "1" * 24
LIN, MA = "registry/12", "registry/902"


def written(world: World, work: Callable[[Write], Coroutine[Any, Any, Any]]) -> Any:
    """Run something in one write of the register."""

    async def go() -> Any:
        async with writing(Fresh(world.conninfo), world.clock()) as write:
            return await work(write)

    return asyncio.run(go())


def made(world: World, name: str, by: str, credential: str) -> None:
    """Note that somebody made an officer or a credential, as the rooms do."""
    written(world, lambda write: note_made(write, Act(by, credential=credential), name))


def holds(world: World, first: tuple[str, str], author: str, credential: str) -> bool:
    """Tell whether this is a second person."""
    act = Act(author, credential=credential)
    try:
        written(world, lambda write: second.require_second(write, act, Hand(*first)))
    except Forbidden:
        return False
    return True


@pytest.mark.parametrize(
    ("first", "author", "credential"),
    [
        ((LIN, KEY), LIN, OTHER_KEY),
        ((LIN, KEY), "registry", OTHER_KEY),
        (("registry", KEY), LIN, OTHER_KEY),
        ((LIN, KEY), MA, KEY),
        (("registry", KEY), "registry-2", KEY),
        ((LIN, PASSKEY), MA, PASSKEY),
        ((LIN, KEY), MA, ""),
        ((LIN, ""), MA, KEY),
        (("operator", ""), "operator-2", ""),
    ],
)
def test_one_person_is_no_two(world: World, first: tuple[str, str], author: str, credential: str) -> None:
    """One name, an officer and her party, one credential under two names, and nobody's hand."""
    assert not holds(world, first, author, credential)


def test_two_persons_with_credentials_of_their_own_are_two(world: World) -> None:
    """Two officers by passkeys, by keys of their own, or of two parties."""
    assert holds(world, (LIN, PASSKEY), MA, OTHER_PASSKEY)
    assert holds(world, (LIN, KEY), MA, OTHER_KEY)
    assert holds(world, ("registry", KEY), "registry-2", OTHER_KEY)


@pytest.mark.parametrize("name", [MA, OTHER_PASSKEY])
@pytest.mark.parametrize("maker", [(LIN, "another way in"), ("registry", KEY)])
def test_whoever_makes_an_officer_or_her_credential_is_neither_first_nor_second_with_her(
    world: World, name: str, maker: tuple[str, str]
) -> None:
    """By name or by credential, in both orders, until the term is over."""
    made(world, name, *maker)
    assert not holds(world, (LIN, KEY), MA, OTHER_PASSKEY)
    assert not holds(world, (MA, OTHER_PASSKEY), LIN, KEY)
    assert holds(world, ("registry-2", "2" * 16), MA, OTHER_PASSKEY)  # a third person may
    world.clock.us += TERM_US
    assert holds(world, (LIN, KEY), MA, OTHER_PASSKEY)


def test_two_passkeys_made_with_one_key_are_one_person_for_the_term(world: World) -> None:
    """The party's key signs anybody in who has no passkey yet; a key of her own makes her a person at once."""
    made(world, PASSKEY, LIN, KEY)
    made(world, OTHER_PASSKEY, MA, KEY)
    assert not holds(world, (LIN, PASSKEY), MA, OTHER_PASSKEY)
    third = "k_" + "2" * 24
    made(world, third, "registry/7", OTHER_KEY)
    assert holds(world, (LIN, PASSKEY), "registry/7", third)
    world.clock.us += TERM_US
    assert holds(world, (LIN, PASSKEY), MA, OTHER_PASSKEY)


def test_many_small_lists_of_one_officer_are_a_large_one(world: World, tmp_path: Path) -> None:
    """The list that crosses the limit needs another person, whoever of the party stages it; a day later they begin anew."""
    bulk, lin, ma = Bulk(world.ground, limit=100), Act(LIN, credential=PASSKEY), Act(MA, credential=OTHER_PASSKEY)
    other = Act("registry-2/1", credential="2" * 16)
    beginnings = iter(range(0, 10_000, 100))

    async def stage(act: Act, count: int) -> BulkView:
        first = next(beginnings)
        file = listed(tmp_path / f"{first}.csv", first, first + count)
        return await bulk.stage(act, file, format="russian", state=State.revoked, happened_at_us=START_US)

    async def go() -> None:
        one = await stage(lin, 60)
        assert not one.two_officers
        await bulk.confirm(lin, one.id)
        crossing = await stage(lin, 41)
        assert crossing.two_officers
        for same in (lin, Act("registry", credential=KEY)):
            with pytest.raises(Forbidden):
                await bulk.confirm(same, crossing.id)
        colleague = await stage(ma, 41)  # her party has used up what one may bring in
        with pytest.raises(Forbidden):
            await bulk.confirm(ma, colleague.id)
        elsewhere = await stage(Act("registry-2", credential=PASSKEY), 41)  # another name, the same credential
        with pytest.raises(Forbidden):
            await bulk.confirm(Act("registry-2", credential=PASSKEY), elsewhere.id)
        free = await stage(other, 60)
        assert (await bulk.confirm(other, free.id)).state == "in_force"
        assert (await bulk.confirm(ma, crossing.id)).state == "in_force"  # a second person
        small = await stage(lin, 40)  # what two persons brought in does not count
        assert (await bulk.confirm(lin, small.id)).state == "in_force"
        world.clock.us += WINDOW_US
        assert (await bulk.confirm(ma, colleague.id)).state == "in_force"

    asyncio.run(go())


def test_how_an_author_signed_in_stays_with_what_she_staged(world: World, tmp_path: Path) -> None:
    """The row names the credential; it is in no log and no answer."""
    bulk = Bulk(world.ground)
    file = listed(tmp_path / "l.csv", 0, 3)
    lin = Act(LIN, credential=PASSKEY)
    view = asyncio.run(bulk.stage(lin, file, format="russian", state=State.revoked, happened_at_us=START_US))
    asyncio.run(bulk.confirm(lin, view.id))
    with psycopg.connect(world.conninfo) as db:
        assert db.execute("SELECT staged_with, confirmed_with, by_two FROM bulk").fetchall() == [(PASSKEY, PASSKEY, False)]
        assert all(PASSKEY.encode() not in bytes(row[0]) for row in db.execute("SELECT entry FROM register_log"))
