"""What bulk events say about single documents: look-ups in the sealed segments the register has in force.

The check path maps the same files. Here they are opened one by one, from the register's own list of bulk events, so
that a decision about one document never depends on how far the follower is.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from annul.errors import Corrupt
from annul.home import Home
from annul.listings.segment import Segment
from annul.listings.values import unpack
from annul.registry.writing.store import Connection, Connections, reading

ORPHAN_AGE_S: Final = 24 * 3600.0
"""Age after which a segment that no event names counts as left over; a list is staged within minutes."""


@dataclass(frozen=True, slots=True)
class Listed:
    """Say what one bulk event lists a document as: `bit` of its state, and the times of the event."""

    bulk_id: str
    bit: int
    happened_at_us: int
    confirmed_at_us: int
    undone_at_us: int | None


class Segments:
    """Open the segments of bulk events and look single documents up.

    Args:
        home: data folder; the files lie in `<home>/listings/segments`.
    """

    def __init__(self, home: Home) -> None:
        self.folder = home.segments
        self._open: dict[tuple[str, str], Segment] = {}

    def segment(self, file: str, sha256: str) -> Segment:
        """Return a segment, opened once; Corrupt when it is missing or another than the register knows."""
        segment = self._open.get((file, sha256))
        if segment is None:
            path = self.folder / file
            if not path.exists():
                raise Corrupt("The segment of a bulk event is missing.", where=file, mend="Restore it from the backup.")
            segment = Segment(path)
            if segment.sha256 != sha256:
                raise Corrupt(
                    "The segment of a bulk event is not the one that was confirmed.",
                    where=file,
                    mend="Restore it from the backup.",
                )
            self._open[file, sha256] = segment
        return segment

    def bits(self, file: str, sha256: str, keys: Sequence[bytes]) -> list[int]:
        """Return the standing each key has in one segment; 0 for those that are not in it."""
        if not keys:
            return []
        states = (unpack(value).state for value in self.segment(file, sha256).lookup(b"".join(keys)))
        return [0 if state is None else state.bit for state in states]

    async def listed(self, db: Connection, realm: int, key: bytes, *, undone: bool = False) -> list[Listed]:
        """Return what the bulk events in force (with `undone`: also those undone since) say about a document."""
        rows = await (
            await db.execute(
                "SELECT id, file, sha256, happened_at_us, confirmed_at_us, undone_at_us FROM bulk "
                "WHERE realm = %s AND (state = 'in_force' OR (%s AND state = 'undone')) ORDER BY position",
                (realm, undone),
            )
        ).fetchall()
        found = []
        for bulk_id, file, sha256, happened, confirmed, undone_at in rows:
            (bit,) = self.bits(file, bytes(sha256).hex(), [key])
            if bit:
                found.append(Listed(bulk_id, bit, happened, confirmed, undone_at))
        return found


async def sweep(connections: Connections, home: Home) -> int:
    """Remove segments that no bulk event names: of imports cut off before their event, of epochs gone by; return how many."""
    async with reading(connections) as db:
        rows = await (await db.execute("SELECT file FROM bulk WHERE state <> 'discarded'")).fetchall()
    named = {file for (file,) in rows}
    left = [path for path in home.segments.glob("*.seg") if path.name not in named]
    old = [path for path in left if time.time() - path.stat().st_mtime > ORPHAN_AGE_S]
    for path in old:
        path.unlink(missing_ok=True)
    return len(old)
