"""Make the feed's frames of what the table has applied, and a heartbeat each second; in a thread beside the follower.

Nothing here is waited for by anybody: a frame that fails is made later, from the register. As long as no edition is published
there is no feed, and nothing of this is loaded.
"""

from __future__ import annotations

import base64
import os
import threading
import time
from typing import Any, Final

import msgspec
import psycopg

from annul import durable, logs
from annul.edge.trust import CHANGE, Frame, Manifest, Told
from annul.errors import AnnulError, Conflict
from annul.home import Home
from annul.keys import Keys
from annul.proof.checkpoint import sign_note
from annul.registry.editions.feed import Applied, FeedFiles, lines_in
from annul.registry.editions.index import INDEX_FILE
from annul.registry.editions.press import Press, line
from annul.registry.editions.universe import changed_since, snapshot
from annul.registry.writing.store import connect
from annul.times import Clock

FILE_BYTES_MAX: Final = 1 << 20
"""A file that is larger is left, and the next one begun."""
FILES_MAX: Final = 64
"""Files that are kept: 64 MiB, some hundred thousand frames; who was away longer begins with an edition or supplement."""
ENTRIES_MAX: Final = 800
"""Entries of one frame, and so its changes: 12 characters each, within the longest note."""
BEAT_S: Final = 1.0
"""Pause between two heartbeats."""
AGAIN_S: Final = 1.0
"""Pause after a fault."""


class Feeder:
    """Make frames of what the table has applied, and a heartbeat each second.

    Args:
        conninfo: the register's database; the feeder has a connection of its own.
        home: data folder.
        keys: the key file.
        now_us: clock, microseconds since the epoch.
    """

    def __init__(self, conninfo: str, home: Home, keys: Keys, now_us: Clock) -> None:
        self._conninfo, self._home, self._now_us = conninfo, home, now_us
        self._press = Press(home, keys, now_us)
        self._files = FeedFiles(home.feed)
        self._position = -1  # not known yet
        self._file: Any = None
        self._followed: tuple[int, dict[str, Manifest]] = (0, {})
        self._beaten = 0.0
        self._log = logs.get("follower")

    def run(self, stop: threading.Event, applied: Applied) -> None:
        """Make frames until `stop` is set; what fails is said and tried again."""
        while not stop.is_set():
            try:
                with connect(self._conninfo) as db:
                    while not stop.is_set():
                        self.turn(db, applied.position)
                        applied.wait(BEAT_S / 4)
            except (AnnulError, psycopg.Error, OSError) as error:
                self._log.warning("the feed waits", error=type(error).__name__)
                self.close()
                stop.wait(AGAIN_S)
        self.close()

    def turn(self, db: psycopg.Connection[Any], applied: int) -> int:
        """Make the frames that are due, and a heartbeat when its time has come; return how many frames.

        Args:
            db: connection in autocommit mode.
            applied: position of the table; below zero as long as nobody knows.
        """
        made = 0
        if applied >= 0 and self._file is None:
            self._open(applied)
        while self._file is not None and self._position < applied:
            self._append(self._frame(db, min(self._position + ENTRIES_MAX, applied)))
            made += 1
        now = time.monotonic()
        if now - self._beaten >= BEAT_S and (self._home.published / INDEX_FILE).exists():
            self._press.beat(db)
            self._beaten = now
        return made

    def close(self) -> None:
        """Leave the file; the next turn opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    # -- one frame ---------------------------------------------------------------------------------------------------------

    def _frame(self, db: psycopg.Connection[Any], until: int) -> Told:
        changes = {
            edition: told
            for edition, manifest in self._editions().items()
            if (told := self._changes(db, manifest, until)) is not None
        }
        frame = Frame(since=self._position, position=until, at_us=self._now_us(), changes=changes)
        return Told(frame.since, frame.position, sign_note(line(frame), self._press.signer).decode())

    def _changes(self, db: psycopg.Connection[Any], manifest: Manifest, until: int) -> str | None:
        """Return an edition's changes; None when it cannot be told of them: a list came, or its keys are of another epoch."""
        if manifest.key_epoch != self._press.keys.epoch or self._now_us() > manifest.expires_at_us:
            return None
        try:
            with snapshot(db):
                found = changed_since(db, self._home, manifest.scheme, self._position, until)
        except Conflict:
            return None
        points = self._press.pointing(manifest.edition, manifest.key_epoch)(b"".join(each.sealed_key for each in found))
        packed = b"".join(CHANGE.pack(int(point), each.code + 1) for point, each in zip(points, found, strict=True))
        return base64.b64encode(packed).decode()

    def _editions(self) -> dict[str, Manifest]:
        """Return the newest edition of each scheme; looked up again when the index is another."""
        try:
            stamp = (self._home.published / INDEX_FILE).stat().st_mtime_ns
        except FileNotFoundError:
            return {}
        if stamp != self._followed[0]:
            newest: dict[str, Manifest] = {}
            for entry in self._press.index().editions:
                if entry.scheme not in newest:
                    newest[entry.scheme] = self._press.show(entry.edition)
            self._followed = (stamp, {manifest.edition: manifest for manifest in newest.values()})
        return self._followed[1]

    # -- files -------------------------------------------------------------------------------------------------------------

    def _open(self, position: int) -> None:
        """Go on where the files end; begin at a position when there are none, or when they are of another register."""
        durable.folder(self._files.folder)
        reached = self._files.newest()
        begins = self._files.begins()
        if not begins or reached > position:
            for since in begins:
                self._files.file(since).unlink(missing_ok=True)
            begins, reached = [position], position
        path = self._files.file(begins[-1])
        with durable.telling(path):
            self._file = path.open("ab")
            whole = sum(len(each) for each in lines_in(path.read_bytes()))
            self._file.truncate(whole)
        self._position = reached

    def _append(self, told: Told) -> None:
        """Write one frame; readers look at the file itself. Nothing is synced: the register has it all."""
        with durable.telling(self._files.folder):
            if os.fstat(self._file.fileno()).st_size > FILE_BYTES_MAX:
                self._file.close()
                self._file = self._files.file(told.since).open("ab")
                for since in self._files.begins()[:-FILES_MAX]:
                    self._files.file(since).unlink(missing_ok=True)
            self._file.write(msgspec.json.encode(told) + b"\n")
            self._file.flush()
        self._position = told.position
