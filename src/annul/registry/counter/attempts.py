"""Count failed comparisons of a document, over all workers of a machine and over their restarts.

One memory-mapped file with a slot for each document somebody failed at. Every step happens under the file's lock, so two
workers never both see the last attempt free. What a crash leaves: an attempt that was begun stays counted; a machine that loses
its power may lose the last counts. Subjects are keyed hashes: the file tells nobody which document it counts.

Layout v1 (little-endian): header `annulatt`, version u64, slots u64, spare; slot = subject 16 bytes, failed u64, first and last
attempt in milliseconds since the epoch u64.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from annul import durable
from annul.errors import UnknownVersion
from annul.likeness.comparison import FORGET_S, Attempts, Result, begin, end

VERSION: Final = 1
SLOTS: Final = 1 << 17
"""Subjects one machine counts at once; the file takes 5 MB. A thousand failures an hour make 24,000 a day."""
SUBJECT_BYTES: Final = 16
WAYS: Final = 16
"""Slots a subject may lie in; when all are taken the one whose last attempt is longest ago gives way, those that failed once
first."""

_MAGIC: Final = b"annulatt"
_HEADER: Final = struct.Struct("<8sQQQ")
_SLOT: Final = struct.Struct("<16sQQQ")
_FREE: Final = bytes(SUBJECT_BYTES)


class AttemptFile:
    """Open the shared counters of a machine; every worker opens them for itself.

    Args:
        file: the counter file; created when missing.

    Raises:
        UnknownVersion: the file is of another layout.
        StorageFailed: there is no room for it.
    """

    def __init__(self, file: Path) -> None:
        durable.folder(file.parent)
        self._fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        size = _HEADER.size + SLOTS * _SLOT.size
        with self._locked():
            new = os.fstat(self._fd).st_size < size
            durable.reserve(self._fd, size, file)
            if new:
                os.pwrite(self._fd, _HEADER.pack(_MAGIC, VERSION, SLOTS, 0), 0)
            self._map = mmap.mmap(self._fd, size)
            magic, version, slots, _ = _HEADER.unpack_from(self._map)
            if (magic, version, slots) != (_MAGIC, VERSION, SLOTS):
                self.close()
                raise UnknownVersion("The attempt counters are of another version.", where=file.name, mend="Delete the file.")

    def begin(self, subject: bytes, now_s: float) -> None:
        """Count an attempt before it is made; see `annul.likeness.comparison.begin`.

        Args:
            subject: `SUBJECT_BYTES` bytes that stand for the document.
            now_s: seconds since the epoch.

        Raises:
            OverQuota: too many failed; there is a pause.
        """
        with self._locked():
            at, found = self._find(subject, now_s)
            self._write(at, subject, begin(found, now_s))

    def end(self, subject: bytes, result: Result, now_s: float) -> None:
        """Take the result of an attempt into account; one that came to no result is `NO_USABLE_TRAIT`."""
        with self._locked():
            at, found = self._find(subject, now_s)
            self._write(at, subject, end(found, result))

    def spend(self, token: bytes, now_s: float) -> bool:
        """Return True the first time a one-time token of `SUBJECT_BYTES` bytes is shown, False from then on."""
        with self._locked():
            at, found = self._find(token, now_s)
            self._write(at, token, Attempts(1, now_s, now_s))
        return not found.failed

    def close(self) -> None:
        """Let go of the file."""
        self._map.close()
        os.close(self._fd)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # closed meanwhile: the lock went with it
                fcntl.flock(self._fd, fcntl.LOCK_UN)

    def _find(self, subject: bytes, now_s: float) -> tuple[int, Attempts]:
        """Return the place of the subject, or of the slot that it gets, and its state."""
        home = int.from_bytes(subject[:8], "little") % SLOTS
        worst: tuple[bool, int, int] | None = None
        forgotten = int((now_s - FORGET_S) * 1000)
        for way in range(WAYS):
            at = _HEADER.size + (home + way) % SLOTS * _SLOT.size
            name, failed, first_ms, last_ms = _SLOT.unpack_from(self._map, at)
            if name == subject:
                return at, Attempts(failed, first_ms / 1000, last_ms / 1000)
            free = name == _FREE or failed == 0 or last_ms < forgotten
            rank = (not free and failed > 1, 0 if free else last_ms, at)
            if worst is None or rank < worst:
                worst = rank
        assert worst is not None
        return worst[2], Attempts()

    def _write(self, at: int, subject: bytes, state: Attempts) -> None:
        _SLOT.pack_into(
            self._map, at, subject if state.failed else _FREE, state.failed, int(state.first_s * 1000), int(state.last_s * 1000)
        )
