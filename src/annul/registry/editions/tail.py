"""Tell the feed to many readers: one look at the files, one encoding, and no queue for anybody.

    async for part in tail.stream(after):      # server-sent events

A worker has one `Tail`. While somebody listens it looks at the newest file of the feed each few milliseconds; what is new is
encoded once and kept in a ring that all readers share. A reader has nothing but a place in the ring. Who falls out of it is
let go, and comes back with the id of its last event; then the files answer.

Source: WHATWG HTML, 9.2 Server-sent events.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec

from annul.errors import OverQuota
from annul.home import Home
from annul.registry.editions.feed import FeedFiles, frames_in, lines_in
from annul.registry.editions.index import HEARTBEAT_FILE

LOOK_S: Final = 0.003
"""Pause between two looks at the newest file, as long as anybody listens."""
RING_MAX: Final = 2_048
"""Events all readers share; who is farther behind is let go. At some 500 bytes an event, a MiB a worker."""
READERS_MAX: Final = 2_000
"""Readers of one worker. Each has a connection, and 64 KiB of what it has not taken yet."""
PART_BYTES: Final = 256 * 1024
"""Bytes read from files for one reader at a time."""
_BEGIN: Final = b"retry: 1000\n\n"


def event_of(raw: bytes, position: int) -> bytes:
    """Return a line of the feed as an event."""
    return b"id: %d\nevent: frame\ndata: %b\n\n" % (position, raw.rstrip(b"\n"))


def beat_of(note: bytes) -> bytes:
    """Return a heartbeat as an event without an id: it is the same wherever a reader stands."""
    return b"event: heartbeat\n" + b"".join(b"data: %b\n" % each for each in note.split(b"\n")) + b"\n"


class Tail:
    """Follow the feed for the readers of one worker.

    Args:
        home: data folder.
    """

    def __init__(self, home: Home) -> None:
        self.files = FeedFiles(home.feed)
        self._heartbeat: Path = home.published / HEARTBEAT_FILE
        self._ring: deque[bytes] = deque(maxlen=RING_MAX)
        self._count = 0  # events that were ever put into the ring
        self._position = 0
        self._file = 0  # begin of the file looked at
        self._offset = 0
        self._stamp = 0
        self._news: asyncio.Future[None] | None = None
        self._looking: asyncio.Task[None] | None = None
        self._readers = 0
        self._closed = False

    @property
    def readers(self) -> int:
        """How many listen now."""
        return self._readers

    def close(self) -> None:
        """Let all readers go: the worker stops."""
        self._closed = True
        self._tell()

    async def stream(self, after: int | None) -> AsyncIterator[bytes]:
        """Return the events behind a position, and then those to come; from now on when no position is named.

        Raises:
            Gone, BadInput: see `FeedFiles.require`.
            OverQuota: too many listen.
        """
        if self._readers >= READERS_MAX:
            raise OverQuota("Too many listen here.", mend="Ask again shortly, or read GET /v1/feed/{from}.")
        if after is not None:
            await asyncio.to_thread(self.files.require, after)
        return self._events(after)

    async def _events(self, after: int | None) -> AsyncIterator[bytes]:
        self._readers += 1
        try:
            if self._looking is None or self._looking.done():
                await self._begin()
            yield _BEGIN + self._beat()
            reached = self._position if after is None else after
            while reached != self._position and not self._closed:
                if reached > self._position:  # the files were read beyond the last look
                    self._take()
                    await asyncio.sleep(0 if reached <= self._position else LOOK_S)
                    continue
                raws = await asyncio.to_thread(self.files.read, reached, PART_BYTES)
                told = list(frames_in(b"".join(raws)))
                if not told:
                    return
                yield b"".join(event_of(raw, each.position) for raw, each in zip(raws, told, strict=True))
                reached = told[-1].position
            place = self._count  # nothing was awaited since the look above: what the ring gets is behind `reached`
            while not self._closed:
                missed = self._count - place
                if missed > len(self._ring):
                    return
                if missed:
                    place = self._count
                    yield b"".join(islice(self._ring, len(self._ring) - missed, None))
                else:
                    await self._wait()
        finally:
            self._readers -= 1

    async def _wait(self) -> None:
        if self._news is None or self._news.done():
            self._news = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._news)

    def _tell(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    async def _begin(self) -> None:
        self._looking = asyncio.create_task(self._look())
        self._ring.clear()
        self._beaten()
        self._jump()

    def _jump(self) -> None:
        """Stand at the end of the newest file."""
        begins = self.files.begins()
        self._file = begins[-1] if begins else -1
        self._offset, self._position = 0, max(self._file, 0)
        if begins:
            self._take(tell=False)

    async def _look(self) -> None:
        while self._readers and not self._closed:
            try:
                if self._file < 0:
                    self._jump()
                else:
                    self._take()
                if self._beaten():
                    self._put(self._beat())
            except (OSError, msgspec.MsgspecError):  # the file is being replaced, or damaged: all begin anew from the files
                self._file = -1
                self._count += RING_MAX + 1
                self._tell()
            await asyncio.sleep(LOOK_S)

    def _take(self, *, tell: bool = True) -> None:
        """Take what the newest file has more than before; go on to the file that follows it."""
        try:
            with self.files.file(self._file).open("rb", buffering=0) as file:
                file.seek(self._offset)
                raw = file.read()
        except FileNotFoundError:  # thrown away: the register is another one
            self._file = -1
            return
        for each, told in zip(lines_in(raw), frames_in(raw), strict=True):
            self._offset += len(each)
            self._position = told.position
            if tell:
                self._put(event_of(each, told.position))
        if not raw and self._position != self._file and self.files.file(self._position).exists():
            self._file, self._offset = self._position, 0

    def _beaten(self) -> bool:
        """Tell whether the heartbeat is another than at the last look."""
        try:
            stamp = self._heartbeat.stat().st_mtime_ns
        except FileNotFoundError:
            return False
        before, self._stamp = self._stamp, stamp
        return stamp != before

    def _beat(self) -> bytes:
        try:
            return beat_of(self._heartbeat.read_bytes())
        except OSError:
            return b""

    def _put(self, event: bytes) -> None:
        self._ring.append(event)
        self._count += 1
        self._tell()
