"""Lists that come in through a browser: what unpacks to anything is refused, and a list can be thrown away while it is read."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from pathlib import Path

import msgspec
import pytest

from annul.errors import BadInput, Conflict, NotFound
from annul.home import Home
from annul.listings.russian_list import made_list
from annul.registry.writing.act import Act
from annul.registry.writing.origin import LINES
from annul.registry.writing.uploads import KEPT_S, Uploads, UploadView, forget
from tests.listings.test_apart import bomb
from tests.registry.world import World
from tests.registry.writing.test_bulk import bulk_of
from tests.waiting import WAIT_S

OFFICER = Act("officer-1")


def sent(uploads: Uploads, name: str, content: bytes) -> str:
    """Send a list in; return its id."""
    upload = uploads.open(OFFICER, name=name)
    upload.write(content)
    upload.close()
    uploads.complete(OFFICER, upload.id, format="russian", state="revoked", evidence="decree", show_lines=True)
    return upload.id


async def ended(uploads: Uploads, upload_id: str) -> UploadView:
    """Wait until a list is staged or refused."""
    deadline = time.monotonic() + WAIT_S
    while (view := uploads.view(OFFICER, upload_id)).phase in ("receiving", "reading"):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    return view


async def sent_and_read(uploads: Uploads, content: bytes) -> UploadView:
    """Send a list in and have it staged or refused."""
    upload_id = sent(uploads, "list.csv", content)
    uploads.begin(OFFICER, upload_id)
    view = await ended(uploads, upload_id)
    await asyncio.gather(*uploads._tasks)
    return view


def test_an_error_in_a_field_costs_nobody_the_file(world: World) -> None:
    """The file is parked until its form is right; then it is read, and nobody completes it a second time."""

    async def go() -> None:
        uploads, bulk = Uploads(world.ground, bulk_of(world)), bulk_of(world)
        upload = uploads.open(OFFICER, name="C:\\lists\\decree 12.csv")
        upload.write(b"".join(made_list(20)))
        upload.close()
        for wrong in ({"format": ""}, {"format": "russian", "state": "current"}):
            with pytest.raises(BadInput):
                uploads.complete(OFFICER, upload.id, **({"state": "", "evidence": "decree"} | wrong))
            assert uploads.view(OFFICER, upload.id).phase == "parked"
        uploads.complete(OFFICER, upload.id, format="russian", state="revoked", evidence="decree", show_lines=True)
        with pytest.raises(Conflict):
            uploads.complete(OFFICER, upload.id, format="russian", state="revoked", evidence="decree")
        uploads.begin(OFFICER, upload.id)
        staged = await bulk.view(OFFICER, (await ended(uploads, upload.id)).bulk)
        assert staged.origin.name == "decree 12.csv"
        await asyncio.gather(*uploads._tasks)

    asyncio.run(go())


def test_the_second_officer_reads_what_the_first_one_lets_through(world: World) -> None:
    """Name and digest of the file, its first lines in clear: sealed in the database, and erased with the decision."""

    async def go() -> None:
        content = b"".join(made_list(40))
        uploads, bulk = Uploads(world.ground, bulk_of(world)), bulk_of(world)
        first, again = [await sent_and_read(uploads, content) for _turn in range(2)]
        view = await bulk.view(OFFICER, first.bulk)
        assert view.origin.sha256 == hashlib.sha256(content).hexdigest()
        lines = content.decode().splitlines()[:LINES]
        assert await bulk.lines(OFFICER, first.bulk) == lines
        assert lines[1] not in msgspec.json.encode(view).decode()
        assert await bulk.same_file(OFFICER, first.bulk) == []
        assert again.bulk == ""
        assert first.bulk in again.error + again.mend
        await bulk.discard(OFFICER, first.bulk)
        assert await bulk.lines(OFFICER, first.bulk) == []

    asyncio.run(go())


def test_a_bomb_is_refused_with_a_sentence(world: World, tmp_path: Path) -> None:
    """A thousand million lines in some hundred kilobytes: refused at once, and nothing of it is kept."""

    async def go() -> None:
        uploads = Uploads(world.ground, bulk_of(world))
        upload_id = sent(uploads, "list.csv.bz2", bomb(tmp_path / "bomb.bz2").read_bytes())
        uploads.begin(OFFICER, upload_id)
        view = await ended(uploads, upload_id)
        assert (view.phase, view.error) == ("refused", "The list unpacks to far more than its size.")
        assert view.mend
        await asyncio.gather(*uploads._tasks)
        assert [path.suffix for path in world.home.uploads.iterdir()] == [".json"]

    asyncio.run(go())


def test_a_list_can_be_thrown_away_while_it_is_read(world: World) -> None:
    """From any worker: the reading ends within two seconds, no file of it is left, and nothing is staged."""

    async def go() -> None:
        uploads, other = Uploads(world.ground, bulk_of(world)), Uploads(world.ground, bulk_of(world))
        upload_id = sent(uploads, "list.csv", b"".join(made_list(5_000_000)))
        uploads.begin(OFFICER, upload_id)
        while not uploads.view(OFFICER, upload_id).lines:
            await asyncio.sleep(0.01)
        other.discard(OFFICER, upload_id)
        with pytest.raises(NotFound):
            uploads.view(OFFICER, upload_id)
        await asyncio.wait_for(asyncio.gather(*uploads._tasks), WAIT_S)
        assert list(world.home.uploads.iterdir()) == []
        assert await bulk_of(world).list(OFFICER) == []

    asyncio.run(go())


def test_what_was_refused_or_left_behind_goes_by_the_timetable(world: World) -> None:
    """Nobody has to upload again: jobs, lists, and what their reading spilled are gone a day later; younger ones stay."""
    uploads = Uploads(world.ground, bulk_of(world))
    old = sent(uploads, "old.csv", b"x")
    (world.home.uploads / f"{old}.spill").write_bytes(b"")
    young = sent(uploads, "young.csv", b"x")
    now_us = time.time_ns() // 1000
    for path in world.home.uploads.glob(f"{old}.*"):
        os.utime(path, (now_us / 1e6 - KEPT_S - 1,) * 2)
    assert forget(world.home, now_us) == 3
    assert {path.name.partition(".")[0] for path in world.home.uploads.iterdir()} == {young}
    assert forget(Home(world.home / "elsewhere"), now_us) == 0
