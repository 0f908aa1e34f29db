"""When a worker may answer before the follower lives: only from a table that has everything that was acknowledged."""

from __future__ import annotations

import asyncio
import dataclasses
import shutil
from pathlib import Path

import pytest

from annul import keys as key_file
from annul.errors import Corrupt, SourceDown, UnsafeSettings
from annul.listings import Listings
from annul.proof.checkpoint import sign_checkpoint
from annul.records.document import block
from annul.registry.answering.standing import Anchor, acknowledged, mark_behind, owed, require_acknowledged, stands
from annul.registry.loops import rotation
from tests.registry.world import POLICE, START_US, STRONG, World, passport

LOST = passport("P00000001")


def sealed(world: World, size: int) -> None:
    """Leave a checkpoint of the register log, signed with the register's key."""
    path = world.home.log("register") / "checkpoint"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(sign_checkpoint(world.keys.register_signer().name, size, bytes(32), world.keys.register_signer()))


@pytest.fixture
def stopped(world: World) -> World:
    """Give a world whose follower caught up with one report and stopped."""
    asyncio.run(world.register.report(POLICE, LOST, "lost", happened_at_us=START_US, proof=STRONG))
    assert world.follow() == 1
    world.close()
    return world


def test_a_table_that_was_caught_up_answers_without_its_follower(stopped: World) -> None:
    """The usual start: everything acknowledged is in the table, sealed or not."""
    assert stands(stopped.home, stopped.keys)
    sealed(stopped, 1)
    assert stands(stopped.home, stopped.keys)


def test_nobody_answers_before_there_is_a_table(world: World) -> None:
    """The first start waits for the follower."""
    with pytest.raises(SourceDown):
        stands(world.home, world.keys)


def test_what_was_written_without_the_follower_is_waited_for(stopped: World) -> None:
    """A command writes to the register of a stopped annul: the note stays until the follower has caught up."""
    mark_behind(stopped.home)
    assert not stands(stopped.home, stopped.keys)
    stopped.follower.turn()
    assert not stopped.home.behind.exists()
    assert stands(stopped.home, stopped.keys)
    stopped.close()


def test_an_older_copy_of_the_table_is_behind_its_seal(stopped: World) -> None:
    """The listings were restored from a copy: the sealed log is longer, so nobody answers from them."""
    sealed(stopped, 2)
    assert not stands(stopped.home, stopped.keys)


def test_files_put_back_answer_nothing_from_before_what_was_acknowledged(stopped: World, tmp_path: Path) -> None:
    """The attack: listings and sealed log of an older stop, together. The anchor lies with the keys and did not come back."""
    sealed(stopped, 1)
    old = tmp_path / "old"
    for name in ("listings", "people", "log"):
        shutil.copytree(stopped.home / name, old / name)
    asyncio.run(stopped.register.report(POLICE, passport("P00000002"), "lost", happened_at_us=START_US, proof=STRONG))
    assert stopped.follow() == 2
    sealed(stopped, 2)
    stopped.close()
    assert stands(stopped.home, stopped.keys)
    for name in ("listings", "people", "log"):
        shutil.rmtree(stopped.home / name)
        shutil.copytree(old / name, stopped.home / name)
    assert not stands(stopped.home, stopped.keys)
    assert stopped.follow() == 2
    assert stands(stopped.home, stopped.keys)
    stopped.close()


def test_without_its_anchor_a_table_waits_for_the_follower_once(stopped: World) -> None:
    """Removed, or of an older annul: nobody answers from the files alone, and the next turn writes it."""
    stopped.home.acknowledged.unlink()
    assert not stands(stopped.home, stopped.keys)
    stopped.follow()
    assert stands(stopped.home, stopped.keys)
    stopped.close()


@pytest.mark.parametrize("place", range(0, 19))
def test_a_flipped_bit_of_the_anchor_is_noticed(stopped: World, place: int) -> None:
    """Never another position: it is damaged, whoever reads it says so, and the follower heals it."""
    raw = bytearray(stopped.home.acknowledged.read_bytes())
    raw[place % len(raw)] ^= 1 << place % 7
    stopped.home.acknowledged.write_bytes(raw)
    with pytest.raises(Corrupt):
        acknowledged(stopped.home)
    with pytest.raises(Corrupt):
        stands(stopped.home, stopped.keys)
    if not place:
        stopped.follow()
        assert stands(stopped.home, stopped.keys)
        stopped.close()


def test_a_register_that_lacks_what_was_acknowledged_is_refused(stopped: World) -> None:
    """Database, listings and seal put back together: the anchor remembers, and says how to go on."""
    Anchor(stopped.home).reach(7, sync=True)
    with pytest.raises(UnsafeSettings, match="7 were acknowledged"):
        stopped.follow()
    with pytest.raises(UnsafeSettings):
        require_acknowledged(stopped.home, 6)
    require_acknowledged(stopped.home, 7)


def test_a_restored_register_owes_what_it_can_have(stopped: World) -> None:
    """Answers stood on more than it has: it is owed what was acknowledged last, and all of it where nobody knows."""
    Anchor(stopped.home).reach(7, sync=True)
    assert owed(stopped.home, 6) == 6
    assert owed(stopped.home, 9) == 7
    stopped.home.acknowledged.write_bytes(b"nonsense")
    assert owed(stopped.home, 9) == 9
    stopped.home.acknowledged.unlink()
    assert owed(stopped.home, 9) == 9


def test_a_key_file_of_another_register_answers_nothing(stopped: World) -> None:
    """With other keys no document is found, which would read as no listing."""
    sealed(stopped, 1)
    other = dataclasses.replace(stopped.keys, register=bytes(range(32)))
    with pytest.raises(Corrupt, match="another key file"):
        stands(stopped.home, other)


def test_keys_of_another_epoch_than_the_tables_answer_nothing(stopped: World) -> None:
    """After a rotation, or with an old key file, the table is waited for; the follower makes it anew."""
    old = stopped.keys
    stopped.keys = rotation.rotate(stopped.conninfo, stopped.home, stopped.clock)
    assert stopped.keys.epoch == old.epoch + 1
    assert not stands(stopped.home, stopped.keys)
    stopped.follow()
    assert stands(stopped.home, stopped.keys)
    assert not stands(stopped.home, old)
    table = Listings(stopped.home / "listings")
    assert table.lookup(stopped.keys.documents("live").blind(block(LOST)))[0]
    stopped.close()


def test_a_rotation_under_way_is_waited_for(stopped: World) -> None:
    """Its secrets are in the key file; which epoch the register is of, only the register says."""
    pending = dataclasses.replace(stopped.keys, pending=(bytes(32), bytes(32)))
    key_file.save(stopped.home, pending)
    assert not stands(stopped.home, key_file.load(stopped.home))
