"""The follower: one process, one synchronous loop, that keeps the listings table equal to the register.

Each turn: wait for a datagram (at most 50 ms), read the entries behind the table's position, put them into the table, say
how far and as of when. When the database is away nothing is said, so the answers' freshness tells the truth. A crash
anywhere is mended by the next start: entries are applied again, which changes nothing.

What must never happen here: a position said before its entries are in the table; a table that goes on from a register
that is shorter than what it has applied.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg.rows import TupleRow

from annul import keys as key_file
from annul import logs
from annul.errors import Corrupt, SourceDown, UnsafeSettings
from annul.home import Home
from annul.keys import Keys
from annul.listings import Listings, ListingsWriter
from annul.records.codes import Coverage
from annul.records.entry import BulkBody, Entry, EntryKind, decode
from annul.registry.answering import standing
from annul.registry.editions.feed import Applied
from annul.registry.editions.index import INDEX_FILE
from annul.registry.loops.timetable import Turns
from annul.registry.parties import parties
from annul.registry.people.tags import NameTable
from annul.registry.postgres import Embedded, run_folder
from annul.registry.writing.effect import FOLLOWER_SOCKET
from annul.registry.writing.ground import Ground
from annul.registry.writing.slots import all_slots, packed, slots_of
from annul.registry.writing.store import Fresh, connect
from annul.settings import Settings
from annul.times import Clock, now_us

WAIT_S: Final = 0.05
"""Longest wait between two turns, and so the age of a live answer."""
ENTRIES_MAX: Final = 5_000
"""Entries of one turn."""
RECONNECT_MAX_S: Final = 2.0
EDITION_POLL_S: Final = 1.0
"""Pause between two looks whether an edition was published, before there is any."""

Database = psycopg.Connection[TupleRow]

_RESTORE: Final = "Restore the file from the newest backup, or import the list again."
_FIRST_KINDS = {EntryKind.bulk, EntryKind.bulk_undo, EntryKind.party, EntryKind.coverage, EntryKind.rotation}


def run(settings: Settings, stop: threading.Event) -> None:
    """Follow the register until `stop` is set.

    Raises:
        Corrupt, UnsafeSettings: the register is not the one the table or the sealed log was made from.
    """
    conninfo = settings.database_url or Embedded(settings.home).conninfo
    keys = key_file.load(settings.home)
    Follower(conninfo, settings.home, keys, now_us, settings=settings).run(stop)


class Follower:
    """Keep the listings of one home equal to its register.

    Args:
        conninfo: the register's database.
        home: data folder.
        keys: the key file.
        now_us: clock, microseconds since the epoch.
        settings: as loaded; the defaults when not given.
    """

    def __init__(self, conninfo: str, home: Home, keys: Keys, now_us: Clock, *, settings: Settings | None = None) -> None:
        self._conninfo, self._home, self._keys, self._now_us = conninfo, home, keys, now_us
        self._names = NameTable(home)
        self._writer: ListingsWriter | None = None
        self._following: Following | None = None
        self._turns = Turns("follower", settings or Settings(home=home))
        self._ground = Ground(Fresh(conninfo), keys, home, now_us)
        self._applied = Applied()
        self._log = logs.get("follower")

    @property
    def following(self) -> Following:
        """Return what follows now.

        Raises:
            AssertionError: nothing does: `open` was not called, or the database went away since.
        """
        if self._following is None:
            raise AssertionError("the follower is not connected")
        return self._following

    @property
    def position(self) -> int:
        """Position the table has applied."""
        return self.following.writer.position

    def run(self, stop: threading.Event) -> None:
        """Follow until `stop` is set; survive restarts of the database."""
        path = run_folder(self._home) / FOLLOWER_SOCKET
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bell, asyncio.Runner() as runner:
            bell.bind(str(path))
            threading.Thread(target=self._feed, args=(stop,), name="feed", daemon=True).start()
            bell.settimeout(WAIT_S)
            pause = WAIT_S
            try:
                while not stop.is_set():
                    try:
                        if self._following is None:
                            self.open()
                        self.turn()
                        self._applied.tell(self.position)
                        self.errands(runner)
                        pause = WAIT_S
                    except (psycopg.OperationalError, psycopg.InterfaceError, SourceDown) as error:
                        self._log.warning("the database is away", error=type(error).__name__)
                        self._disconnect()
                        pause = min(pause * 2, RECONNECT_MAX_S)
                        stop.wait(pause)
                        continue
                    _wait(bell)
            finally:
                self.close()
                path.unlink(missing_ok=True)

    def open(self) -> None:
        """Connect, make sure that the register is the right one, and bring the listings to a state to go on from.

        Raises:
            SourceDown: the database cannot be reached.
            Corrupt: the register is shorter than what the table applied.
            UnsafeSettings: it is shorter than its sealed checkpoint, or its document keys are of another epoch.
        """
        db = connect(self._conninfo)
        try:
            following = Following(db, self._home, self._keys, self._names, self._now_us, self._writer)
        except BaseException:
            db.close()
            raise
        self._following, self._writer = following, following.writer
        following.begin()

    def turn(self) -> int:
        """Apply what is new, then say that nothing is waiting; return how many entries were applied."""
        return self.following.turn()

    def errands(self, runner: asyncio.Runner) -> None:
        """Take imports of persons into the table of names, and run what the timetable has for the follower."""
        db = self.following.db
        self._names.take_imports(db)

        def is_due(asked: str, values: dict[str, Any]) -> bool:
            row = db.execute(asked, values).fetchone()
            return row is not None and bool(row[0])

        runner.run(self._turns.run(self._ground, is_due))

    def close(self) -> None:
        """Close table and connection; the table survives a restart of the machine."""
        if self._following is not None:
            self._following.settle()
        self._disconnect()
        self._names.close()
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _feed(self, stop: threading.Event) -> None:
        """Make the feed's frames, once there are editions; nothing of it is loaded before."""
        while not (self._home.published / INDEX_FILE).exists():
            if stop.wait(EDITION_POLL_S):
                return
        from annul.registry.editions.feeder import Feeder

        Feeder(self._conninfo, self._home, self._keys, self._now_us).run(stop, self._applied)

    def _disconnect(self) -> None:
        if self._following is not None:
            self._writer = self._following.writer  # a rebuild may have made another
            with contextlib.suppress(psycopg.Error):
                self._following.db.close()
            self._following = None


class Following:
    """Follow the register over one connection: it has the connection and the writer as long as it lives.

    Args:
        db: connection in autocommit mode.
        home: data folder.
        keys: the key file.
        names: the table of names, which follows along.
        now_us: clock, microseconds since the epoch.
        writer: of the listings, when an earlier connection opened them.

    Raises:
        Corrupt, UnsafeSettings: see `Follower.open`.
    """

    def __init__(
        self, db: Database, home: Home, keys: Keys, names: NameTable, now_us: Clock, writer: ListingsWriter | None
    ) -> None:
        self.db, self._home, self._keys, self._names, self._now_us = db, home, keys, names, now_us
        self._parties_position = 0
        self._log = logs.get("follower")
        head = db.execute("SELECT next_position - 1, key_epoch FROM log_head").fetchone()
        if head is None:
            raise Corrupt("The register log has no head.", where="log_head")
        self._length, self._epoch = head
        keys.require_epoch(self._epoch)
        self._require_sealed(self._length)
        standing.require_acknowledged(home, self._length)
        self._anchor = standing.Anchor(home)
        self.writer = writer or self._take_over()

    def begin(self) -> None:
        """Bring the listings to what the register says, whatever was missed.

        Raises:
            Corrupt: the register is shorter than what the table applied.
        """
        if self.writer.key_epoch != self._epoch:  # the keys were rotated since
            self._rebuild()
        if self.writer.position > self._length:
            raise Corrupt(
                f"The register has {self._length} entries, but the listings have applied {self.writer.position}.",
                where="register_log",
                mend="The database was set back: restore the newest backup; never go on from an older one.",
            )
        self._names.open(self.db, self.writer.position, self._now_us())
        self._publish(self._length)
        self._anchor.reach(self.writer.position)

    def turn(self) -> int:
        """Apply what is new, then say that nothing is waiting; return how many entries were applied."""
        applied = 0
        while True:
            as_of_us = self._now_us()
            rows = self.db.execute(
                "SELECT position, entry FROM register_log WHERE position > %s ORDER BY position LIMIT %s",
                (self.writer.position, ENTRIES_MAX),
            ).fetchall()
            if not rows:
                self.writer.heartbeat(as_of_us)
                standing.caught_up(self._home)
                return applied
            self._apply([(position, decode(bytes(entry))) for position, entry in rows], as_of_us)
            applied += len(rows)

    def _apply(self, entries: list[tuple[int, Entry]], as_of_us: int) -> None:
        """Put entries into the table in order; bulk, party and coverage entries act between the slots around them."""
        writer = self.writer
        self._names.apply(self.db, entries, as_of_us)  # before the listings say that they have these entries
        expected = writer.position + 1
        slots: list[tuple[bytes, int]] = []
        for position, entry in entries:
            if position != expected:
                raise Corrupt(
                    f"The register log has no entry {expected}.", where="register_log", mend="Restore the newest backup."
                )
            expected += 1
            if entry.kind in _FIRST_KINDS:
                if slots:
                    writer.put(*packed(slots))
                    slots = []
                if entry.kind is EntryKind.rotation:
                    self._rebuild()  # what follows in this turn is in the rows already
                    return
                self._special(position, entry)
            else:
                slots += slots_of(entry)
        if slots:
            writer.put(*packed(slots))
        self._anchor.reach(expected - 1)  # before anybody is told: it is never behind what was acknowledged
        writer.set_applied(expected - 1, as_of_us)

    def _special(self, position: int, entry: Entry) -> None:
        if entry.kind in (EntryKind.bulk, EntryKind.bulk_undo):
            bulk_id = BulkBody.decode(entry.body).event_id.hex()
            row = self.db.execute("SELECT file FROM bulk WHERE id = %s", (bulk_id,)).fetchone()
            if row is None:
                raise Corrupt(
                    "The register log names a bulk event that the register does not have.", where=f"position {position}"
                )
            segment_id = Path(row[0]).stem
            in_force = self._in_force()
            if segment_id in in_force:
                self._activate(segment_id, *in_force[segment_id])
            else:  # undone, perhaps by an entry that follows
                self.writer.drop_segment(segment_id)
        elif entry.kind is EntryKind.party:
            if position > self._parties_position:  # else the snapshot in force was read after it
                self.writer.set_parties(parties.read_snapshot(self.db, position), position)
                self._parties_position = position
        else:
            self.writer.set_coverage(self._coverage())

    def _take_over(self) -> ListingsWriter:
        """Open the listings; make them from the register's rows when there are none, or none that can be trusted."""
        try:
            Listings(self._home.listings)
            return ListingsWriter(self._home.listings)
        except (SourceDown, Corrupt) as error:
            tell = self._log.warning if isinstance(error, Corrupt) else self._log.info  # a new home has none: nothing is wrong
            tell("the listings are made from the register", code=error.code, where=error.where)
            return self._made_anew()

    def _in_force(self) -> dict[str, tuple[Path, str]]:
        """Return the segments in force: id -> (file, digest). The id is the file's name, which a rotation changes."""
        rows = self.db.execute("SELECT file, sha256 FROM bulk WHERE state = 'in_force' ORDER BY position").fetchall()
        return {Path(file).stem: (self._home.segments / file, bytes(sha256).hex()) for file, sha256 in rows}

    def _activate(self, segment_id: str, path: Path, sha256: str) -> None:
        if self.writer.activate_segment(segment_id, path).sha256 != sha256:
            self.writer.drop_segment(segment_id)
            raise Corrupt("The segment of a bulk event is not the one that was confirmed.", where=path.name, mend=_RESTORE)

    def _publish(self, length: int) -> None:
        """Make segments, coverage and parties what the register says; a crash between entry and file is mended here."""
        in_force = self._in_force()
        for segment in self.writer.segments:
            if segment.id not in in_force:
                self.writer.drop_segment(segment.id)
        for segment_id, (path, sha256) in in_force.items():
            self._activate(segment_id, path, sha256)
        self.writer.set_coverage(self._coverage())
        if length:
            self.writer.set_parties(parties.read_snapshot(self.db, length), length)
        self._parties_position = length

    def _coverage(self) -> dict[str, Coverage]:
        return {name: Coverage[extent] for name, extent in self.db.execute("SELECT name, extent FROM coverage").fetchall()}

    def _rebuild(self) -> None:
        """Make the table anew, and what is beside it."""
        self.writer.close()
        self.writer = self._made_anew()
        self._anchor.reach(self.writer.position)
        self._publish(self.writer.position)

    def settle(self) -> None:
        """Put on stable storage how far the table is: the next start of the machine answers from it."""
        self._anchor.reach(self.writer.position, sync=True)

    def _made_anew(self) -> ListingsWriter:
        """Make the table from the register's rows, as of one snapshot of the database."""
        as_of_us = self._now_us()
        with self.db.transaction():
            self.db.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            head = self.db.execute("SELECT next_position - 1 FROM log_head").fetchone()
            assert head is not None
            return ListingsWriter.rebuild(
                self._home.listings,
                all_slots(self.db, as_of_us),
                position=head[0],
                as_of_us=as_of_us,
                segments={segment_id: path for segment_id, (path, _) in self._in_force().items()},
                coverage=self._coverage(),
                key_epoch=self._keys.epoch,
            )

    def _require_sealed(self, length: int) -> None:
        """Refuse a register that is shorter than what was sealed of it."""
        sealed = standing.sealed_size(self._home, self._keys)
        if sealed > length:
            raise UnsafeSettings(
                f"The register has {length} entries, but {sealed} are sealed.",
                where=standing.CHECKPOINT,
                mend="The database was set back: restore the newest backup; never go on from an older one.",
            )


def _wait(bell: socket.socket) -> None:
    """Wait for a datagram or the time to be over, then take all that are there: one turn serves them all."""
    try:
        bell.recv(16)
        bell.setblocking(False)
        while True:
            bell.recv(16)
    except (BlockingIOError, TimeoutError):
        pass
    finally:
        bell.settimeout(WAIT_S)
