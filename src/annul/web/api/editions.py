"""Give out published editions: static, signed files, in ranges. Everybody may have them; admitted devices can read them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from annul.errors import NotFound
from annul.registry.editions.index import HEARTBEAT_FILE, INDEX_FILE, Index
from annul.registry.editions.journals import Journals, Taken
from annul.web.door.call import Call, Reply, Route

if TYPE_CHECKING:
    from annul.web.door.office import Office

EDITION_ID: Final = "[0-9a-f]{32}"
FILE: Final = (
    r"edition\.bin|digests\.bin|grant-[A-Za-z0-9][A-Za-z0-9.-]{0,63}"
    r"|supplement-[0-9]{1,19}-[0-9]{1,19}\.(?:bin|digests|manifest)"
)
PART_BYTES: Final = 256 * 1024
"""Bytes read from the disk and sent at one time."""
FOR_EVER: Final = "public, max-age=31536000, immutable"
"""A published file never changes; grants are added and taken away."""
SOON: Final = "public, max-age=1"
BYTES: Final = "application/octet-stream"
TEXT: Final = "text/plain; charset=utf-8"
_RANGE: Final = re.compile(r"bytes=([0-9]{1,19})-([0-9]{0,19})")


async def index(office: Office, _call: Call) -> Index:
    """List what is published, newest first."""
    raw = await asyncio.to_thread(_whole, office.settings.home.published / INDEX_FILE)
    return Index() if raw is None else msgspec.json.decode(raw, type=Index)


async def heartbeat(office: Office, _call: Call) -> Reply:
    """Read the newest heartbeat: where the register log stood when, and which editions are the newest."""
    return await _small(office.settings.home.published / HEARTBEAT_FILE)


async def manifest(office: Office, call: Call) -> Reply:
    """Read the signed manifest of an edition."""
    return await _small(office.settings.home.published / call.path["id"] / "manifest")


async def file(office: Office, call: Call) -> Reply:
    """Read a file of an edition, or a range of it (RFC 9110, 14): one range of bytes; others are answered by the whole file."""
    name = call.path["file"]
    path = office.settings.home.published / call.path["id"] / name
    try:
        size = (await asyncio.to_thread(path.stat)).st_size
    except OSError:
        raise NotFound("There is no such file of editions.") from None
    headers = {"accept-ranges": "bytes", "cache-control": SOON if name.startswith("grant-") else FOR_EVER}
    asked = _RANGE.fullmatch(call.request.headers.get("range", ""))
    if asked is None:
        return Reply(_parts(path, 0, size), BYTES, headers=headers | {"content-length": str(size)})
    first, last = int(asked[1]), min(int(asked[2] or size - 1), size - 1)
    if first > last:
        return Reply(b"", BYTES, 416, {"content-range": f"bytes */{size}"})
    told = {"content-range": f"bytes {first}-{last}/{size}", "content-length": str(last + 1 - first)}
    return Reply(_parts(path, first, last + 1), BYTES, 206, headers | told)


class JournalWindow(msgspec.Struct, forbid_unknown_fields=True):
    """A window of an edge's journal: its name, the signed window, and the lines it signs.

    Args:
        edge: name of the device that answered offline.
        window: the signed window.
        lines: the lines that the window signs.
    """

    edge: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    window: Annotated[str, msgspec.Meta(max_length=16_384)]
    lines: Annotated[str, msgspec.Meta(max_length=1_000_000)]


async def journal(office: Office, call: Call) -> Taken:
    """Take a window of what a device answered offline; tell it which answers differ from the register's."""
    body: JournalWindow = call.body
    journals = Journals(office.pool, office.keys, office.now_us)
    return await journals.take(body.edge, body.window.encode(), body.lines.encode())


async def _parts(path: Path, first: int, end: int) -> AsyncIterator[bytes]:
    """Yield a range of a file, part by part, read beside the event loop."""
    opened = await asyncio.to_thread(path.open, "rb")
    try:
        await asyncio.to_thread(opened.seek, first)
        while first < end:
            part = await asyncio.to_thread(opened.read, min(PART_BYTES, end - first))
            if not part:
                return
            first += len(part)
            yield part
    finally:
        opened.close()


async def _small(path: Path) -> Reply:
    raw = await asyncio.to_thread(_whole, path)
    if raw is None:
        raise NotFound("There is no such file of editions.", mend="An edition is published by: annul edition publish")
    return Reply(raw, TEXT, headers={"cache-control": SOON})


def _whole(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


ROUTES: Final[tuple[Route, ...]] = (
    Route(
        method="GET",
        path="/v1/editions",
        who="public",
        handler=index,
        summary="List the editions that are published",
        returns=Index,
        tag="editions",
    ),
    Route(
        method="GET",
        path="/v1/editions/{id}/manifest",
        who="public",
        handler=manifest,
        summary="Read the signed manifest of an edition",
        media=TEXT,
        patterns={"id": EDITION_ID},
        problems=("not-found",),
        tag="editions",
    ),
    Route(
        method="GET",
        path="/v1/editions/{id}/{file}",
        who="public",
        handler=file,
        summary="Read a file of an edition, whole or a range of it",
        media=BYTES,
        patterns={"id": EDITION_ID, "file": FILE},
        problems=("not-found",),
        ranges=True,
        tag="editions",
    ),
    Route(
        method="POST",
        path="/v1/editions/journals",
        who="public",
        handler=journal,
        summary="Account for what a device answered offline; the device's signature admits it",
        body=JournalWindow,
        returns=Taken,
        body_bytes_max=2 * 1024 * 1024,
        problems=("not-authorised", "verification-failed", "bad-input"),
        tag="editions",
    ),
    Route(
        method="GET",
        path="/v1/feed/heartbeat",
        who="public",
        handler=heartbeat,
        summary="Read the signed heartbeat: where the register stands",
        media=TEXT,
        problems=("not-found",),
        tag="editions",
    ),
)
