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
import time
from pathlib import Path
from typing import Final

import psycopg
from psycopg.rows import TupleRow

from annul import logs
from annul.errors import AnnulError, Corrupt, SourceDown, UnsafeSettings
from annul.home import Home
from annul.listings import Listings, ListingsWriter
from annul.records.codes import Coverage
from annul.records.entry import BulkBody, Entry, EntryKind, decode
from annul.registry import keys as key_file
from annul.registry.answering import standing
from annul.registry.answering.walk import alarms
from annul.registry.keys import Keys
from annul.registry.parties import parties
from annul.registry.people.register import People
from annul.registry.people.tags import NameTable
from annul.registry.people.vault import Vault
from annul.registry.postgres import Embedded, run_folder
from annul.registry.writing.effect import FOLLOWER_SOCKET
from annul.registry.writing.ground import Ground
from annul.registry.writing.pen import KEPT_S
from annul.registry.writing.register import Register
from annul.registry.writing.slots import all_slots, packed, slots_of
from annul.registry.writing.store import Fresh, connect, writing
from annul.settings import Settings
from annul.times import SECOND_US, Clock

WAIT_S: Final = 0.05
"""Longest wait between two turns, and so the age of a live answer."""
ENTRIES_MAX: Final = 5_000
"""Entries of one turn."""
LAPSE_EVERY_S: Final = 1.0
CLEAN_EVERY_S: Final = 3600.0
RECONNECT_MAX_S: Final = 2.0
ORPHAN_AGE_S: Final = 24 * 3600.0
"""Age after which a segment that no event names counts as left over; a list is staged within minutes."""

_RESTORE: Final = "Restore the file from the newest backup, or import the list again."
_FIRST_KINDS = {EntryKind.bulk, EntryKind.bulk_undo, EntryKind.party, EntryKind.coverage, EntryKind.rotation}


def run(settings: Settings, stop: threading.Event) -> None:
    """Follow the register until `stop` is set.

    Raises:
        Corrupt, UnsafeSettings: the register is not the one the table or the sealed log was made from.
    """
    conninfo = settings.database_url or Embedded(settings.home).conninfo
    keys = key_file.load(settings.home)
    follower = Follower(
        conninfo, settings.home, keys, lambda: time.time_ns() // 1000, provisional_us=settings.provisional_hours * 3_600_000_000
    )
    follower.run(stop)


class Follower:
    """Keep the listings of one home equal to its register.

    Args:
        conninfo: the register's database.
        home: data folder.
        keys: the key file.
        now_us: clock, microseconds since the epoch.
    """

    def __init__(
        self, conninfo: str, home: Home, keys: Keys, now_us: Clock, *, provisional_us: int = 72 * 3_600_000_000
    ) -> None:
        self._conninfo, self._home, self._keys, self._now_us = conninfo, home, keys, now_us
        self._folder = home.listings
        self._provisional_us = provisional_us
        self._db: psycopg.Connection[TupleRow] | None = None
        self._writer: ListingsWriter | None = None
        self._names = NameTable(home)
        self._parties_position = 0
        self._lapse_at = self._clean_at = 0.0
        self._log = logs.get("follower")

    @property
    def position(self) -> int:
        """Position the table has applied."""
        return self._writer.position if self._writer else 0

    def run(self, stop: threading.Event) -> None:
        """Follow until `stop` is set; survive restarts of the database."""
        path = run_folder(self._home) / FOLLOWER_SOCKET
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bell, asyncio.Runner() as runner:
            bell.bind(str(path))
            bell.settimeout(WAIT_S)
            pause = WAIT_S
            try:
                while not stop.is_set():
                    try:
                        if self._db is None:
                            self.open()
                        self.turn()
                        self._errands(runner)
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
        self._db = connect(self._conninfo)
        head = self._db.execute("SELECT next_position - 1, key_epoch FROM log_head").fetchone()
        if head is None:
            raise Corrupt("the register log has no head", where="log_head")
        length, epoch = head
        self._keys.hold_epoch(epoch)
        self._hold_sealed(length)
        if self._writer is None:
            self._take_over()
        assert self._writer is not None
        if self._writer.key_epoch != epoch:  # the keys were rotated since
            self._rebuild()
        if self._writer.position > length:
            raise Corrupt(
                f"the register has {length} entries, but the listings have applied {self._writer.position}",
                where="register_log",
                mend="The database was set back: restore the newest backup; never go on from an older one.",
            )
        self._names.open(self._db, self._writer.position, self._now_us())
        self._publish(length)

    def turn(self) -> int:
        """Apply what is new, then say that nothing is waiting; return how many entries were applied."""
        assert self._db is not None
        assert self._writer is not None
        applied = 0
        while True:
            as_of_us = self._now_us()
            rows = self._db.execute(
                "SELECT position, entry FROM register_log WHERE position > %s ORDER BY position LIMIT %s",
                (self._writer.position, ENTRIES_MAX),
            ).fetchall()
            if not rows:
                self._writer.heartbeat(as_of_us)
                standing.caught_up(self._home)
                return applied
            self._apply([(position, decode(bytes(entry))) for position, entry in rows], as_of_us)
            applied += len(rows)

    def close(self) -> None:
        """Close table and connection; the table survives a restart of the machine."""
        self._disconnect()
        self._names.close()
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _apply(self, entries: list[tuple[int, Entry]], as_of_us: int) -> None:
        """Put entries into the table in order; bulk, party and coverage entries act between the slots around them."""
        writer = self._writer
        assert writer is not None
        assert self._db is not None
        self._names.apply(self._db, entries, as_of_us)  # before the listings say that they have these entries
        expected = writer.position + 1
        slots: list[tuple[bytes, int]] = []
        for position, entry in entries:
            if position != expected:
                raise Corrupt(
                    f"the register log has no entry {expected}", where="register_log", mend="Restore the newest backup."
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
        writer.set_applied(expected - 1, as_of_us)

    def _special(self, position: int, entry: Entry) -> None:
        assert self._db is not None
        assert self._writer is not None
        if entry.kind in (EntryKind.bulk, EntryKind.bulk_undo):
            bulk_id = BulkBody.decode(entry.body).event_id.hex()
            row = self._db.execute("SELECT file FROM bulk WHERE id = %s", (bulk_id,)).fetchone()
            if row is None:
                raise Corrupt(
                    "the register log names a bulk event that the register does not have", where=f"position {position}"
                )
            segment_id = Path(row[0]).stem
            in_force = self._in_force()
            if segment_id in in_force:
                self._activate(segment_id, *in_force[segment_id])
            else:  # undone, perhaps by an entry that follows
                self._writer.drop_segment(segment_id)
        elif entry.kind is EntryKind.party:
            if position > self._parties_position:  # else the snapshot in force was read after it
                self._writer.set_parties(parties.read_snapshot(self._db, position), position)
                self._parties_position = position
        else:
            self._writer.set_coverage(self._coverage())

    def _take_over(self) -> None:
        """Open the listings; make them from the register's rows when there are none, or none that can be trusted."""
        try:
            Listings(self._folder)
            self._writer = ListingsWriter(self._folder)
        except (SourceDown, Corrupt) as error:
            tell = self._log.warning if isinstance(error, Corrupt) else self._log.info  # a new home has none: nothing is wrong
            tell("the listings are made from the register", code=error.code, where=error.where)
            self._rebuild()

    def _in_force(self) -> dict[str, tuple[Path, str]]:
        """Return the segments in force: id -> (file, digest). The id is the file's name, which a rotation changes."""
        assert self._db is not None
        rows = self._db.execute("SELECT file, sha256 FROM bulk WHERE state = 'in_force' ORDER BY position").fetchall()
        return {Path(file).stem: (self._home.segments / file, bytes(sha256).hex()) for file, sha256 in rows}

    def _activate(self, segment_id: str, path: Path, sha256: str) -> None:
        assert self._writer is not None
        if self._writer.activate_segment(segment_id, path).sha256 != sha256:
            self._writer.drop_segment(segment_id)
            raise Corrupt("the segment of a bulk event is not the one that was confirmed", where=path.name, mend=_RESTORE)

    def _publish(self, length: int) -> None:
        """Make segments, coverage and parties what the register says; a crash between entry and file is mended here."""
        assert self._db is not None
        assert self._writer is not None
        in_force = self._in_force()
        for segment in self._writer.segments:
            if segment.id not in in_force:
                self._writer.drop_segment(segment.id)
        for segment_id, (path, sha256) in in_force.items():
            self._activate(segment_id, path, sha256)
        self._writer.set_coverage(self._coverage())
        if length:
            self._writer.set_parties(parties.read_snapshot(self._db, length), length)
        self._parties_position = length

    def _coverage(self) -> dict[str, Coverage]:
        assert self._db is not None
        return {name: Coverage[extent] for name, extent in self._db.execute("SELECT name, extent FROM coverage").fetchall()}

    def _rebuild(self) -> None:
        """Make the table anew from the register's rows, as of one snapshot of the database."""
        assert self._db is not None
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        as_of_us = self._now_us()
        with self._db.transaction():
            self._db.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            head = self._db.execute("SELECT next_position - 1 FROM log_head").fetchone()
            assert head is not None
            self._writer = ListingsWriter.rebuild(
                self._folder,
                all_slots(self._db, as_of_us),
                position=head[0],
                as_of_us=as_of_us,
                segments={segment_id: path for segment_id, (path, _) in self._in_force().items()},
                coverage=self._coverage(),
                key_epoch=self._keys.epoch,
            )
        self._publish(head[0])

    def _hold_sealed(self, length: int) -> None:
        """Refuse a register that is shorter than what was sealed of it."""
        sealed = standing.sealed_size(self._home, self._keys)
        if sealed > length:
            raise UnsafeSettings(
                f"the register has {length} entries, but {sealed} are sealed",
                where=standing.CHECKPOINT,
                mend="The database was set back: restore the newest backup; never go on from an older one.",
            )

    def _errands(self, runner: asyncio.Runner) -> None:
        """Let provisional reports lapse and forget old idempotency keys, now and then."""
        assert self._db is not None
        self._names.take_imports(self._db)
        now = time.monotonic()
        if now >= self._lapse_at:
            self._lapse_at = now + LAPSE_EVERY_S
            self._carry_out_due(runner)
            runner.run(self._enter_alarms())
        if now >= self._clean_at:
            self._clean_at = now + CLEAN_EVERY_S
            self._db.execute("DELETE FROM idempotency WHERE created_at_us < %s", (self._now_us() - KEPT_S * SECOND_US,))
            self._sweep()
            self._db.execute("DELETE FROM unlock WHERE until_us < %s", (self._now_us(),))

    def _carry_out_due(self, runner: asyncio.Runner) -> None:
        """Let provisional reports lapse, and cancel the documents of deaths whose delay is over."""
        assert self._db is not None
        due = self._db.execute(
            "SELECT EXISTS (SELECT 1 FROM report WHERE state = 'provisional' AND lapses_at_us <= %(now)s), "
            "EXISTS (SELECT 1 FROM pending_death WHERE state = 'pending' AND due_at_us <= %(now)s)",
            {"now": self._now_us()},
        ).fetchone()
        if due is None or not any(due):
            return
        ground = Ground(Fresh(self._conninfo), self._keys, self._home, self._now_us)
        register = Register(ground, provisional_us=self._provisional_us)
        people = People(ground, register, Vault(self._home))
        for is_due, carry_out, what in (
            (due[0], register.lapse_due, "provisional reports lapsed"),
            (due[1], people.carry_out_due, "deaths were carried out"),
        ):
            try:
                if is_due:
                    self._log.info(what, count=runner.run(carry_out()))
            except AnnulError as error:
                self._log.error("what is due could not be carried out", code=error.code, where=error.where)

    async def _enter_alarms(self) -> None:
        """Enter in the log which parties were slowed or stopped because they walk through numbers."""
        for path, alarm in alarms(self._home):
            async with writing(Fresh(self._conninfo), self._now_us()) as write:
                why = f"{alarm.party} was {alarm.pace}: {alarm.why}"
                write.note("annul", why, b"a party walked through numbers", happened_at_us=alarm.at_us)
            path.unlink(missing_ok=True)  # a crash before this enters it twice, which is better than not at all

    def _sweep(self) -> None:
        """Remove segments that no bulk event names: of imports cut off before their event, of epochs gone by."""
        assert self._db is not None
        named = {file for (file,) in self._db.execute("SELECT file FROM bulk WHERE state <> 'discarded'").fetchall()}
        for path in self._home.segments.glob("*.seg"):
            if path.name not in named and time.time() - path.stat().st_mtime > ORPHAN_AGE_S:
                path.unlink(missing_ok=True)

    def _disconnect(self) -> None:
        if self._db is not None:
            with contextlib.suppress(psycopg.Error):
                self._db.close()
            self._db = None


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
