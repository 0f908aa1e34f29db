"""Count what each party asks, over all workers of a machine, against the quota of its agreement.

The counts live in one memory-mapped file: a row per party, in it a cell per worker. A worker writes only its own cell and
sums the others, so no lock and no torn update is possible. Workers see each other's counts once per window of answers: the
quota may be exceeded by what the other workers admit within one window, never by more.

Layout v1 (little-endian u64): header `annulqta`, version, workers, rows; row = party (24 bytes, NUL padded), 8 bytes spare,
then per worker: second, checks in it, day, checks in it.
"""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
import struct
from pathlib import Path
from typing import Final

from annul import durable
from annul.errors import OverQuota, UnknownVersion
from annul.times import DAY_S, SECOND_US

VERSION: Final = 1
ROWS: Final = 16_384
"""Parties one machine can count; the file is sparse, an unused row costs nothing."""
WORKERS_MAX: Final = 64
PARTY_BYTES: Final = 24

_MAGIC: Final = b"annulqta"
_HEADER: Final = struct.Struct("<8sQQQ")
_HEADER_BYTES: Final = 64
_ROW_BYTES: Final = 32 + WORKERS_MAX * 32


class Allowance:
    """Hold one party's limits and what this worker and the others have admitted; `take` is the whole hot path."""

    __slots__ = (
        "_base",
        "_cells",
        "_day",
        "_day_others",
        "_day_own",
        "_dirty",
        "_is_dirty",
        "_others",
        "_own",
        "_second",
        "_worker",
        "per_day",
        "per_second",
        "policy",
    )

    def __init__(self, cells: memoryview, base: int, worker: int, dirty: list[Allowance]) -> None:
        self._cells = cells
        self._base = base
        self._worker = worker
        self._dirty = dirty
        self._is_dirty = False
        self._second = self._own = self._others = 0
        self._day = self._day_own = self._day_others = 0
        self.per_second = self.per_day = 0
        self.policy = b""

    def limit(self, per_second: int, per_day: int) -> None:
        """Set the limits (checks a second, checks a UTC day); a changed agreement applies from the next check."""
        self.per_second = per_second
        self.per_day = per_day
        self.policy = b'"second";q=%d;w=1, "day";q=%d;w=%d' % (per_second, per_day, DAY_S)

    def take(self, wanted: int, now_us: int) -> int:
        """Admit up to `wanted` checks at `now_us` and return how many were admitted (0..wanted)."""
        second = now_us // SECOND_US
        if second != self._second:
            self._roll(second)
        left = self._left()
        if left * 2 <= self.per_second or left < wanted:  # it gets narrow: look at what the others admitted meanwhile
            self._read_others()
            left = self._left()
        granted = wanted if left >= wanted else max(0, left)
        if not self._is_dirty:
            self._is_dirty = True
            self._dirty.append(self)
        self._own += granted
        self._day_own += granted
        return granted

    def refusal(self, now_us: int) -> OverQuota:
        """Return the error for a check that was not admitted, with the seconds to wait."""
        second = now_us // SECOND_US
        if self._day_own + self._day_others >= self.per_day:
            return OverQuota("The quota of the day is used up.", retry_after_s=DAY_S - second % DAY_S)
        return OverQuota("The quota of this second is used up.", retry_after_s=1)

    def remaining(self) -> bytes:
        """Return the value of the `RateLimit` header field, as of the last check that was admitted or refused.

        Source: draft-ietf-httpapi-ratelimit-headers-10, sections 3 and 4.
        """
        left = self.per_second - self._own - self._others
        day = self.per_day - self._day_own - self._day_others
        return b'"second";r=%d;t=1, "day";r=%d;t=%d' % (
            left if left > 0 else 0,
            day if day > 0 else 0,
            DAY_S - self._second % DAY_S,
        )

    def publish(self) -> None:
        """Write this worker's counts where the others see them, and read theirs."""
        cells, at = self._cells, self._base + 4 * self._worker
        cells[at + 1] = self._own
        cells[at] = self._second
        cells[at + 3] = self._day_own
        cells[at + 2] = self._day
        self._is_dirty = False
        self._read_others()

    def _left(self) -> int:
        left = self.per_second - self._own - self._others
        day = self.per_day - self._day_own - self._day_others
        return left if left < day else day

    def _roll(self, second: int) -> None:
        """Begin a new second (and perhaps day), from this worker's own cell if it was restarted within it."""
        cells, at = self._cells, self._base + 4 * self._worker
        day = second // DAY_S
        if self._second == 0:
            self._own = cells[at + 1] if cells[at] == second else 0
            self._day_own = cells[at + 3] if cells[at + 2] == day else 0
        else:
            self._own = 0
            if day != self._day:
                self._day_own = 0
        self._second, self._day = second, day
        self._read_others()

    def _read_others(self) -> None:
        cells, base, own = self._cells, self._base, self._worker
        others = day_others = 0
        for worker in range(int(cells[3])):
            if worker != own:
                at = base + 4 * worker
                if cells[at] == self._second:
                    others += cells[at + 1]
                if cells[at + 2] == self._day:
                    day_others += cells[at + 3]
        self._others, self._day_others = others, day_others


class Quota:
    """Open the shared counters of a machine for one worker.

    Args:
        file: the counter file; created when missing.
        worker: this worker's number, 0..63; no two live processes may use the same.

    Raises:
        UnknownVersion: the file is of another layout.
    """

    def __init__(self, file: Path, worker: int) -> None:
        if not 0 <= worker < WORKERS_MAX:
            raise ValueError(f"worker must be 0..{WORKERS_MAX - 1}")
        durable.folder(file.parent)
        self._fd = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
        self._worker = worker
        size = _HEADER_BYTES + ROWS * _ROW_BYTES
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        try:
            new = os.fstat(self._fd).st_size < size
            durable.reserve(self._fd, size, file)
            if new:
                os.pwrite(self._fd, _HEADER.pack(_MAGIC, VERSION, ROWS, 0), 0)
            self._map = mmap.mmap(self._fd, size)
            magic, version, rows, seen = _HEADER.unpack_from(self._map)
            if (magic, version, rows) != (_MAGIC, VERSION, ROWS):
                raise UnknownVersion("The quota counters are of another version.", where=file.name, mend="Delete the file.")
            self._cells = memoryview(self._map).cast("Q")
            self._cells[3] = max(seen, worker + 1)
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)
        self._allowances: dict[str, Allowance] = {}
        self._dirty: list[Allowance] = []

    def allowance(self, party: str, per_second: int, per_day: int) -> Allowance:
        """Return the allowance of a party, with these limits.

        Raises:
            OverQuota: more parties than the file has rows.
        """
        found = self._allowances.get(party)
        if found is None:
            row = self._row(party.encode("ascii"))
            base = (_HEADER_BYTES + row * _ROW_BYTES + 32) // 8
            found = self._allowances[party] = Allowance(self._cells, base, self._worker, self._dirty)
        if found.per_second != per_second or found.per_day != per_day:
            found.limit(per_second, per_day)
        return found

    def publish(self) -> None:
        """Publish the counts of the parties that asked since the last time, and read those of the other workers."""
        for allowance in self._dirty:
            allowance.publish()
        self._dirty.clear()

    def close(self) -> None:
        """Publish and let go of the file."""
        self.publish()
        self._allowances.clear()
        self._cells.release()
        self._map.close()
        os.close(self._fd)

    def _row(self, party: bytes) -> int:
        """Find the party's row, or claim a free one under the file lock."""
        name = party.ljust(PARTY_BYTES, b"\0")
        home = int.from_bytes(hashlib.sha256(party).digest()[:8], "big") % ROWS
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        try:
            for step in range(ROWS):
                row = (home + step) % ROWS
                at = _HEADER_BYTES + row * _ROW_BYTES
                held = self._map[at : at + PARTY_BYTES]
                if held == name:
                    return row
                if held == bytes(PARTY_BYTES):
                    self._map[at : at + PARTY_BYTES] = name
                    return row
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)
        raise OverQuota("This machine counts no further party.", mend="The operator raises ROWS in quota.py.")
