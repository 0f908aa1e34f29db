"""The key file and the rotation of document keys."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path

import pytest

from annul import keys as key_file
from annul.errors import BadInput, Conflict, Corrupt, NotFound, UnsafeSettings, VerificationFailed
from annul.listings import Listings, unpack
from annul.proof.checkpoint import Signer, Verifier
from annul.proof.window import NO_STATEMENT, WindowSigner, verify_window
from annul.records.document import block, number_block
from annul.records.status import State
from annul.registry.loops import rotation
from tests.registry.world import ISSUER, POLICE, START_US, STRONG, World, card, passport
from tests.registry.writing.test_bulk import FIRST, bulk_of, listed, russian, stage

RECEIPTS = Path(__file__).parents[1] / "vectors" / "golden" / "receipt.json"


def test_keys_come_back_as_they_were_made(tmp_path: Path) -> None:
    """Create, load: equal; mode 0600; the public file holds three verifier keys and no secret."""
    made = key_file.create(tmp_path)
    assert key_file.load(tmp_path) == made
    assert tmp_path.secret_keys.stat().st_mode & 0o777 == 0o600
    lines = tmp_path.public_keys.read_text().splitlines()
    assert [Verifier.parse(line).name for line in lines] == [
        "annul/receipts",
        f"{made.origin}/register",
        f"{made.origin}/checks",
    ]
    assert made.receipts.hex() not in repr(made)
    with pytest.raises(Conflict):
        key_file.create(tmp_path)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_file_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    """Group or world readable: annul does not start on it."""
    key_file.create(tmp_path)
    tmp_path.secret_keys.chmod(mode)
    with pytest.raises(UnsafeSettings):
        key_file.load(tmp_path)


def test_every_file_of_secrets_is_held_private(tmp_path: Path) -> None:
    """The key set of persons lies beside the key file: annul does not start when others may read it."""
    key_file.create(tmp_path)
    beside = tmp_path / "keys" / "people.json"
    beside.write_text("{}")
    beside.chmod(0o644)
    with pytest.raises(UnsafeSettings) as refused:
        key_file.load(tmp_path)
    assert refused.value.where == "keys/people.json"


def test_a_flipped_bit_is_detected_and_the_spoiled_secret_named(tmp_path: Path) -> None:
    """Every secret in turn: the error names it and shows none of it."""
    key_file.create(tmp_path)
    path = tmp_path.secret_keys
    whole = json.loads(path.read_text())
    for name, text in whole["secrets"].items():
        raw = bytearray(base64.b64decode(text))
        raw[5] ^= 0x10
        spoiled = {**whole, "secrets": {**whole["secrets"], name: base64.b64encode(raw).decode()}}
        path.write_text(json.dumps(spoiled))
        with pytest.raises(Corrupt) as refused:
            key_file.load(tmp_path)
        assert name in str(refused.value)
        assert text not in str(refused.value)


def test_every_flipped_bit_of_the_file_is_noticed(tmp_path: Path) -> None:
    """No single-bit change of any byte loads as other keys than were written."""
    made = key_file.create(tmp_path)
    path = tmp_path.secret_keys
    raw = path.read_bytes()
    for at in range(0, len(raw), 3):
        path.write_bytes(raw[:at] + bytes([raw[at] ^ 1 << at % 7]) + raw[at + 1 :])
        try:
            assert key_file.load(tmp_path) == made
        except (Corrupt, NotFound, key_file.UnknownVersion):
            continue


def test_a_missing_file_names_the_next_step(tmp_path: Path) -> None:
    """Nothing is made silently by loading."""
    with pytest.raises(NotFound, match="annul setup"):
        key_file.load(tmp_path)


def test_after_a_rotation_every_document_is_found_under_its_new_key(world: World) -> None:
    """Table, rows, numbers, persons and history follow; the old keys find nothing."""

    async def before() -> None:
        await world.register.issue(ISSUER, card(), happened_at_us=START_US)
        await world.register.report(POLICE, passport(), "lost", happened_at_us=START_US, proof=STRONG)

    asyncio.run(before())
    world.follow()
    old = world.keys.documents("live")
    with pytest.raises(Conflict, match="running"):
        rotation.rotate(world.conninfo, world.home, world.clock)
    world.close()
    told: list[tuple[int, int]] = []
    keys = rotation.rotate(world.conninfo, world.home, world.clock, progress=lambda *at: told.append(at))
    assert (keys.epoch, key_file.load(world.home), told) == (2, keys, [(2, 2)])
    again = World(world.conninfo, world.home)
    again.clock.us = world.clock.us
    assert again.follow() == 3
    listings, new = Listings(world.home / "listings"), keys.documents("live")
    blocks = block(card()) + number_block(card()) + block(passport())
    assert [unpack(value).state for value in listings.lookup(new.blind(blocks))] == [
        State.current,
        State.current,
        State.reported_lost,
    ]
    assert not listings.lookup(old.blind(blocks)).any()

    async def after() -> None:
        assert len(await again.register.history(POLICE, passport(), case="c")) == 1
        told = await again.register.death(ISSUER, card().number, happened_at_us=START_US)
        assert told.documents == 1

    asyncio.run(after())
    again.close()


def test_a_rotation_cut_off_before_the_key_file_is_finished_by_the_next_start(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transaction is in, the pending secrets are not yet current: `settle` makes them so, and no key is lost."""
    asyncio.run(world.register.report(POLICE, passport(), "lost", happened_at_us=START_US, proof=STRONG))
    save, count = key_file.save, 0

    def cut(home: Path, keys: key_file.Keys) -> None:
        nonlocal count
        count += 1
        if count == 2:
            raise KeyboardInterrupt
        save(home, keys)

    monkeypatch.setattr(key_file, "save", cut)
    with pytest.raises(KeyboardInterrupt):
        rotation.rotate(world.conninfo, world.home, world.clock)
    monkeypatch.undo()
    assert key_file.load(world.home).epoch == 1
    with pytest.raises(UnsafeSettings):
        world.follow()
    assert rotation.settle(world.conninfo, world.home).epoch == 2
    again = World(world.conninfo, world.home)
    again.follow()
    key = again.keys.documents("live").blind(block(passport()))
    assert unpack(Listings(world.home / "listings").lookup(key)[0]).state is State.reported_lost
    again.close()


def test_lists_are_rekeyed_and_keep_refusing(world: World, tmp_path: Path) -> None:
    """In force, undone and staged lists all go on under the new keys; the log holds the new digests."""

    async def go() -> None:
        bulk, kept = await stage(world, listed(tmp_path / "a.csv", 0, 9))
        await bulk.confirm(FIRST, kept.id)
        _, undone = await stage(world, listed(tmp_path / "b.csv", 10, 19), state=State.cancelled)
        await bulk.confirm(FIRST, undone.id)
        during = world.clock()
        await bulk.undo(FIRST, undone.id)
        _, staged = await stage(world, listed(tmp_path / "c.csv", 20, 29))
        world.follow()
        world.close()
        keys = rotation.rotate(world.conninfo, world.home, world.clock)
        again = World(world.conninfo, world.home)
        again.clock.us = world.clock.us
        again.follow()
        listings, new = Listings(world.home / "listings"), keys.documents("live")

        def state(line: int) -> State | None:
            return unpack(listings.lookup(new.blind(block(russian(line))))[0]).state

        assert [state(line) for line in (3, 13, 23)] == [State.revoked, None, None]
        assert (await again.register.status_at(POLICE, russian(13), during, during, case="c")).state == "cancelled"
        await bulk_of(again).confirm(FIRST, staged.id)
        again.follow()
        assert state(23) is State.revoked
        corrected = await again.register.correct(
            POLICE, russian(3), State.revoked, happened_at_us=START_US, second_officer="o-2"
        )
        assert corrected.state == "current"
        again.follow()
        assert state(3) is State.current
        await bulk_of(again).undo(FIRST, kept.id)
        again.follow()
        assert state(4) is None
        again.close()

    asyncio.run(go())


def test_a_replaced_signing_key_has_an_end_and_its_receipts_stay_good(tmp_path: Path) -> None:
    """Windows of before and after verify with one file of keys; old secrets are nowhere; a key counts in its period."""
    made = key_file.create(tmp_path)
    leaves = [base64.b64decode(json.loads(RECEIPTS.read_text(encoding="utf-8"))["json"][0]["leaf"])]
    day_us = 86_400 * 10**6

    def window(keys: key_file.Keys, at_us: int) -> tuple[bytes, bytes]:
        signed = WindowSigner(keys.receipts).close(leaves, 0, 0, NO_STATEMENT, at_us)
        return signed.statement, signed.signature

    renewed = key_file.rotate_signing(tmp_path, made, START_US)
    again = key_file.rotate_signing(tmp_path, renewed, START_US + day_us)
    assert key_file.load(tmp_path) == again
    assert base64.b64encode(made.receipts)[:20] not in tmp_path.secret_keys.read_bytes()
    trusted = [Verifier.parse(line) for line in tmp_path.public_keys.read_text().splitlines()][:3]
    assert [(key.from_us, key.until_us) for key in trusted] == [
        (START_US + day_us, None),
        (START_US, START_US + day_us),
        (None, START_US),
    ]
    assert [key.line for key in trusted] == [key.line for key in again.receipt_verifiers()]
    for keys, at_us in ((made, START_US - day_us), (renewed, START_US + 5), (again, START_US + 2 * day_us)):
        statement, signature = window(keys, at_us)
        assert verify_window(statement, signature, leaves, trusted).closed_at_us == at_us
    for keys, at_us in ((made, START_US + day_us), (renewed, START_US - day_us), (again, START_US)):
        with pytest.raises(VerificationFailed) as refused:
            verify_window(*window(keys, at_us), leaves, trusted)
        assert refused.value.step == 4


def test_a_flipped_bit_of_a_period_is_noticed(tmp_path: Path) -> None:
    """The past of the signing key is under the checksum of the file, as everything else."""
    key_file.rotate_signing(tmp_path, key_file.create(tmp_path), START_US)
    whole = tmp_path.secret_keys.read_bytes()
    at = whole.index(b'"until_us"') + 12
    tmp_path.secret_keys.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    with pytest.raises(Corrupt):
        key_file.load(tmp_path)


@pytest.mark.parametrize(
    "words", ["from=yesterday", "until=2026-13-01T00:00:00Z", "from=2026-01-01T00:00:00Z from=2026-01-01T00:00:00Z", "since=1"]
)
def test_a_period_that_cannot_be_read_is_refused(words: str) -> None:
    """A key file is read strictly, also behind the key."""
    line = Signer("annul/receipts", bytes(32)).vkey
    assert Verifier.parse(f"{line} until=2026-01-01T00:00:00Z").line == f"{line} until=2026-01-01T00:00:00Z"
    with pytest.raises(BadInput):
        Verifier.parse(f"{line} {words}")
