"""The feed: what changed, frame by frame, from one position of the register log to the next, signed.

    <home>/editions/feed/<since>.jsonl       frames one a line (`annul.edge.trust.Told`), the first of them behind `since`

The follower's process makes frames in a thread of its own (`feeder`), as soon as the table has applied something. Workers read
the files (`FeedFiles`), and devices that were away ask for a range. A file behind which another was begun never changes again.

A crash leaves a torn last line, which is cut off, or loses frames that were told already; those are made again, perhaps with
other borders. Readers go by positions, so nothing is missed or doubled.

What must never happen here: a frame that passes over a position; a frame whose changes the table has not applied.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec

from annul.edge.trust import Told
from annul.errors import BadInput, Gone


class FeedFiles:
    """Read the files of the feed.

    Args:
        folder: where they lie (`Home.feed`).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def begins(self) -> list[int]:
        """Return the positions behind which files begin, oldest first."""
        try:
            return sorted(int(path.stem) for path in self.folder.glob("*.jsonl") if path.stem.isdigit())
        except OSError:
            return []

    def file(self, since: int) -> Path:
        """Return the file that begins behind a position."""
        return self.folder / f"{since:019d}.jsonl"

    def newest(self) -> int:
        """Return the position the feed has reached; 0 when there is none yet."""
        begins = self.begins()
        if not begins:
            return 0
        last = begins[-1]
        for told in frames_in(self._bytes(last)):
            last = told.position
        return last

    def require(self, after: int) -> None:
        """Refuse a position from which the feed cannot be told.

        Raises:
            Gone: its frames are kept no longer; `snapshot` says where to begin.
            BadInput: the register is not so far.
        """
        begins = self.begins()
        if begins and after < begins[0]:
            raise Gone(
                "The feed is not kept so far back.",
                where="Last-Event-ID",
                mend="Fetch the newest edition and its supplements, and go on from their position.",
                snapshot="/v1/editions",
                oldest=begins[0],
            )
        if after > self.newest():
            raise BadInput("The register has no such position yet.", where="Last-Event-ID")

    def read(self, after: int, limit: int) -> list[bytes]:
        """Return the lines of the frames that lead on from a position, some `limit` bytes at most, but at least one frame."""
        begins = [since for since in self.begins() if since <= after]
        following = [*begins[-1:], *(since for since in self.begins() if since > after)]
        lines: list[bytes] = []
        size = 0
        for since in following:
            for raw in lines_in(self._bytes(since)):
                if msgspec.json.decode(raw, type=Told).position <= after:
                    continue
                if lines and size + len(raw) > limit:
                    return lines
                lines.append(raw)
                size += len(raw)
        return lines

    def _bytes(self, since: int) -> bytes:
        try:
            return self.file(since).read_bytes()
        except FileNotFoundError:  # it went while we looked: the oldest go
            return b""


def lines_in(raw: bytes) -> Iterator[bytes]:
    """Yield the whole lines of a file of frames; a torn last one is not there yet."""
    for each in raw.splitlines(keepends=True):
        if each.endswith(b"\n"):
            yield each


def frames_in(raw: bytes) -> Iterator[Told]:
    """Yield the frames of a file."""
    for each in lines_in(raw):
        yield msgspec.json.decode(each, type=Told)


class Applied:
    """Hand the position the table has applied from the follower to its feed. To tell costs a microsecond and never fails."""

    def __init__(self) -> None:
        self.position = -1  # not known yet
        self._news = threading.Event()

    def tell(self, position: int) -> None:
        """Say how far the table is."""
        if position > self.position:
            self.position = position
            self._news.set()

    def wait(self, timeout_s: float) -> None:
        """Wait for news."""
        self._news.wait(timeout_s)
        self._news.clear()
