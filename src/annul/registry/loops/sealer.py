"""Seal both logs: what was written becomes tiles under a signed checkpoint, at least every second.

The register log is read by dense position from the database, the check log from the workers' files; one entry of the check
log is one signed window statement with its signature. While merging, each statement's chain and signature are verified.

Crash at any line: a checkpoint says how much of a log is sealed, and the tiles behind it decide what was merged. Which window
of each worker comes next is kept in `<home>/log/checks.cursor`; it is written before the checkpoint and may be lost: it is
then worked out again from the sealed entries. The database may be down: the check log is sealed all the same.

What is found corrupt (a window, the register, the listings, which are read through in the background all the time) is said in
the log, in the metric `annul_corrupt` and in `<home>/run/corrupt.json`, which `/readyz` and `annul doctor` show.

    run(settings, stop)                    the process
    for part in verify_logs(home, …): …    re-read everything
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import psycopg

from annul import durable, logs, metrics
from annul import keys as key_file
from annul.errors import AnnulError, BadInput, Corrupt, NotFound, SourceDown, StorageFailed, VerificationFailed
from annul.home import Home
from annul.listings.listings import Listings
from annul.proof.checkpoint import Checkpoint, Signer, Verifier, open_checkpoint, sign_checkpoint
from annul.proof.tiles import CHECKPOINT, TileReader, TileWriter, folder_reader, verify_tree
from annul.proof.window import (
    RECEIPTS_NAME,
    SIGNED_PREFIX,
    STATEMENT_BYTES,
    Statement,
    parse_statement,
    statement_hash,
    verify_window,
)
from annul.records.entry import decode
from annul.registry.accounts.accounts import Indexer
from annul.registry.answering.checklog import NO_WINDOW, WindowRecord, durable_windows, read_windows, worker_folder, workers
from annul.registry.counter.departures import settle_shown
from annul.registry.loops.timetable import errands
from annul.registry.writing import store
from annul.settings import Settings
from annul.witness.asking import rounds

STEP_S: Final = 0.25
"""Pause between two steps: a window or an entry is sealed within half a second."""
DATABASE_PAUSE_S: Final = 1.0
"""Pause before the database is tried again."""
SCRUBS_A_STEP: Final = 3
SCRUB_S: Final = 0.01
"""About twelve slices of 10 ms a second (4 MiB each at least): 12 % of one core at most."""
ENTRIES_MAX: Final = 8_192
"""Entries appended to a log in one step: 32 bundles."""
LOGS: Final = ("register", "checks")

_log = logs.get("sealer")


def log_folder(home: Home, log: str) -> Path:
    """Return the folder of a sealed log, "register" or "checks"."""
    if log not in LOGS:
        raise NotFound(f"There is no log of this name; there are {' and '.join(LOGS)}.")
    return home.log(log)


class _Log:
    """One sealed log: tiles and the signed checkpoint."""

    def __init__(self, home: Home, name: str, signer: Signer) -> None:
        folder = log_folder(home, name)
        durable.folder(folder)
        self.name = name
        self.signer = signer
        self.tiles = TileWriter(folder)

    def append(self, entries: Sequence[bytes]) -> None:
        """Append entries; on failure the writer is opened again, so that the next step starts from what is durable."""
        try:
            self.tiles.append(entries)
        except StorageFailed:
            self.tiles = TileWriter(self.tiles.folder)
            raise

    def checkpoint(self) -> None:
        """Sign what was appended."""
        note = sign_checkpoint(self.signer.name, self.tiles.size, self.tiles.root(), self.signer)
        self.tiles.write_checkpoint(note)
        metrics.SEALED.labels(self.name).set(self.tiles.size)


# -- the register log --------------------------------------------------------------------------------------------------------


class RegisterSealer:
    """Seal the register log: position n is entry n - 1."""

    def __init__(self, home: Home, signer: Signer) -> None:
        self._sealed = _Log(home, "register", signer)

    def step(self, db: psycopg.Connection[Any], *, fresh: bool = False) -> int:
        """Seal what was recorded since the last step, at most ENTRIES_MAX entries; return how many.

        Args:
            db: connection in autocommit mode.
            fresh: sign a checkpoint even when nothing was added.

        Raises:
            Corrupt: a position is missing, or the register is behind what was sealed (it was rolled back).
        """
        size = self._sealed.tiles.size
        rows = db.execute(
            "SELECT position, entry FROM register_log WHERE position > %s ORDER BY position LIMIT %s",
            (size, ENTRIES_MAX),
        ).fetchall()
        if not rows:
            require_not_rolled_back(db, size)
        for place, (position, _) in enumerate(rows, size + 1):
            if position != place:
                raise Corrupt("A position of the register log is missing.", where=f"register_log, position {place}")
        if rows:
            self._sealed.append([bytes(entry) for _, entry in rows])
        if rows or fresh:
            self._sealed.checkpoint()
        return len(rows)


def require_not_rolled_back(db: psycopg.Connection[Any], sealed: int) -> None:
    """Compare the register's last position with the number of sealed entries.

    Raises:
        Corrupt: entries that were sealed are no longer in the register: an old copy of the database was put in place.
    """
    found = db.execute("SELECT next_position - 1 FROM log_head").fetchone()
    last = 0 if found is None else int(found[0])
    if last < sealed:
        raise Corrupt(
            f"The register ends at position {last}, but {sealed} entries were sealed: it was rolled back.",
            where="log_head",
            mend="Restore the newest copy of the database; do not write to this one.",
        )


# -- the check log -----------------------------------------------------------------------------------------------------------


class _Place(msgspec.Struct, array_like=True):
    """Where a worker's next window begins, and what it must continue."""

    window: int = 0
    previous: bytes = NO_WINDOW
    file: str = ""
    offset: int = 0


class _Cursor(msgspec.Struct):
    version: int
    size: int
    places: dict[str, _Place]


class CheckSealer:
    """Merge the windows of all workers into one sealed log.

    Args:
        home: data folder.
        signer: signs the checkpoints.
        receipts: verifies the windows.
    """

    def __init__(self, home: Home, signer: Signer, receipts: Sequence[Verifier]) -> None:
        self._checks = home.checks
        self._file = home.sealed_cursor
        self._sealed = _Log(home, "checks", signer)
        self._receipts = receipts
        self._broken: dict[int, Corrupt] = {}
        self._behind = False  # the cursor could not be written the last time
        self._places = self._load()

    def step(self, *, fresh: bool = False) -> int:
        """Merge what is durable since the last step, at most ENTRIES_MAX windows; return how many.

        Raises:
            Corrupt: a window is damaged, missing or not the next one; the other workers were merged before. A worker that
                was found broken is not read again by this process.
        """
        entries: list[bytes] = []
        places = dict(self._places)
        found: Corrupt | None = None
        for worker in workers(self._checks):
            if worker in self._broken:
                continue
            place = places.get(worker, _Place())
            try:
                for record in self._following(worker, place, ENTRIES_MAX - len(entries)):
                    entries.append(record.statement + record.signature)
                    place = _Place(record.stated.window + 1, statement_hash(record.statement), record.file.name, record.end)
            except Corrupt as error:
                found = self._broken[worker] = error
            places[worker] = place
        if entries:
            self._sealed.append(entries)
            self._places = places
            self._save()
        if entries or fresh:
            self._sealed.checkpoint()
        if found is not None:
            raise found
        return len(entries)

    def _following(self, worker: int, place: _Place, count_max: int) -> Iterator[WindowRecord]:
        if count_max <= 0:
            return
        previous = place.previous
        folder = worker_folder(self._checks, worker)
        if durable_windows(folder) < place.window:
            raise Corrupt(
                f"Windows that were sealed are no longer in the check log (it ends before window {place.window}).",
                where=f"checks/{folder.name}",
                mend="Restore the folder from a copy.",
            )
        windows = read_windows(folder, start=place.window, file=place.file, offset=place.offset)
        for count, record in enumerate(windows, 1):
            require_window(record, worker, previous, self._receipts)
            previous = statement_hash(record.statement)
            yield record
            if count == count_max:
                return

    def _load(self) -> dict[int, _Place]:
        """Read the cursor, and go on from the sealed entries it does not know."""
        size, places = 0, dict[int, _Place]()
        with contextlib.suppress(FileNotFoundError, msgspec.MsgspecError):
            kept = msgspec.msgpack.decode(self._file.read_bytes(), type=_Cursor)
            if kept.version == 1 and kept.size <= self._sealed.tiles.size:
                size, places = kept.size, {int(worker): place for worker, place in kept.places.items()}
        reader = TileReader(folder_reader(self._sealed.tiles.folder), self._sealed.tiles.size)
        for entry in reader.entries(size):
            statement = entry[:STATEMENT_BYTES]
            stated = parse_statement(statement)
            places[stated.worker] = _Place(stated.window + 1, statement_hash(statement))
        return places

    def _save(self) -> None:
        kept = _Cursor(1, self._sealed.tiles.size, {str(worker): place for worker, place in self._places.items()})
        failed = False
        try:
            durable.replace_lossy(self._file, msgspec.msgpack.encode(kept))
        except StorageFailed as error:  # the entries are sealed all the same; a start finds the place by them
            failed = True
            if not self._behind:
                _log.error("the place in the check log could not be noted", code=error.code, where=error.where)
        self._behind = failed


def require_window(record: WindowRecord, worker: int, previous: bytes, receipts: Sequence[Verifier]) -> Statement:
    """Hold that a window is of this worker, continues the previous one, and was signed.

    Raises:
        Corrupt: naming file and offset.
    """
    stated = record.stated
    if stated.worker != worker:
        raise Corrupt("A window is of another worker.", where=record.place)
    if stated.previous != previous:
        raise Corrupt(f"Window {stated.window} does not continue the window before it.", where=record.place)
    if not any(key.verify(SIGNED_PREFIX + record.statement, record.signature) for key in receipts):
        raise Corrupt(f"The signature of window {stated.window} does not hold.", where=record.place)
    return stated


# -- the process -------------------------------------------------------------------------------------------------------------


def run(settings: Settings, stop: threading.Event, *, step_s: float = STEP_S) -> None:
    """Seal both logs and index the accounts until `stop` is set; everything durable is sealed before returning.

    Raises:
        Corrupt: the sealed logs themselves are damaged.
    """
    keys = key_file.load(settings.home)
    checks = CheckSealer(settings.home, keys.check_signer(), keys.receipt_verifiers())
    register = RegisterSealer(settings.home, keys.register_signer())
    indexer = Indexer(settings.home.checks, settle_shown)
    database = _Database(settings.database_url)
    faults = Faults(settings.home)
    scrubber = Scrubber(settings.home)
    fresh = {"register": True, "checks": True}
    threading.Thread(target=rounds, args=(settings.home, stop, settings.outgoing), name="witnesses", daemon=True).start()
    errands("sealer", settings, keys, stop)

    def attempt(name: str, work: Callable[[], int]) -> int:
        """Run one part; what is wrong with it is said once and does not stop the others."""
        try:
            done = work()
        except AnnulError as error:
            faults.found(name, error)
            return 0
        fresh[name] = False
        faults.reached(name)
        return done

    while True:
        stopping = stop.is_set()
        done = attempt("checks", lambda: checks.step(fresh=fresh["checks"]))
        done += attempt("register", lambda: database.use(lambda db: register.step(db, fresh=fresh["register"])))
        done += attempt("accounts", lambda: database.use(indexer.step))
        if stopping and not done:
            database.close()
            return
        for _ in range(0 if done else SCRUBS_A_STEP):
            stop.wait(step_s / SCRUBS_A_STEP)
            if attempt("listings", scrubber.step):
                faults.mended("listings")


class Scrubber:
    """Read through everything look-ups read, a slice at a time, again and again."""

    def __init__(self, home: Home) -> None:
        self._folder = home.listings
        self._listings: Listings | None = None

    def step(self) -> int:
        """Verify the next slice (about SCRUB_S); returns 1 when everything was read once and is sound, else 0.

        Raises:
            Corrupt: `where` names file and block.
        """
        try:
            if self._listings is None:
                self._listings = Listings(self._folder)
            return int(self._listings.scrub(SCRUB_S).done)
        except SourceDown:  # the follower has not made them yet
            return 0
        except Corrupt:
            self._listings = None
            raise


class Faults:
    """Keep what is wrong where the operator looks: log, metric, `<home>/run/corrupt.json`.

    The file is a JSON object: part -> {"code", "where", "message"}; it is not there when nothing is corrupt. A fault of a log
    stands until the process starts again, one of the listings until they were read through without fault.
    """

    def __init__(self, home: Home) -> None:
        self._file = home.corrupt
        durable.folder(self._file.parent)
        self._told: dict[str, str] = {}
        self._corrupt: dict[str, dict[str, str]] = {}
        self._write()

    def found(self, part: str, error: AnnulError) -> None:
        """Say a fault, once."""
        fact = f"{error.code} {error.where}"
        if self._told.get(part) != fact:
            self._told[part] = fact
            _log.error("stopped at a fault", role=part, code=error.code, where=error.where)
        if isinstance(error, Corrupt) and part not in self._corrupt:
            self._corrupt[part] = {"code": error.code, "where": error.where or "", "message": error.message}
            self._write()

    def reached(self, part: str) -> None:
        """Note that a source is back: its next fault is said again."""
        if part in self._told and part not in self._corrupt:
            del self._told[part]

    def mended(self, part: str) -> None:
        """Note that a part was found sound."""
        if self._corrupt.pop(part, None) is not None:
            self._told.pop(part, None)
            self._write()

    def _write(self) -> None:
        metrics.CORRUPT.set(len(self._corrupt))
        try:
            if self._corrupt:
                durable.replace_lossy(self._file, msgspec.json.encode(self._corrupt))
            else:
                self._file.unlink(missing_ok=True)
        except (OSError, StorageFailed) as error:
            _log.error("the list of faults could not be written", error=type(error).__name__)


class _Database:
    """Hold one connection, and open it again after it broke, not more often than every DATABASE_PAUSE_S."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._db: psycopg.Connection[Any] | None = None
        self._not_before = 0.0

    def use(self, work: Callable[[psycopg.Connection[Any]], int]) -> int:
        """Run `work` with the connection.

        Raises:
            SourceDown: the database cannot be reached.
        """
        if self._db is None:
            if time.monotonic() < self._not_before:
                raise SourceDown("The register's database cannot be reached.")
            self._not_before = time.monotonic() + DATABASE_PAUSE_S
            self._db = store.connect(self._conninfo)
        try:
            return work(self._db)
        except psycopg.Error as error:
            self.close()
            raise store.down(error) from error

    def close(self) -> None:
        """Let go of the connection."""
        if self._db is not None:
            with contextlib.suppress(psycopg.Error):
                self._db.close()
            self._db = None


# -- verify ------------------------------------------------------------------------------------------------------------------


class Progress(NamedTuple):
    """Say how far `verify_logs` is: which part, how much of it is done, and how much there is (0: not known)."""

    part: str
    done: int
    total: int


def verify_logs(home: Home, verifiers: Sequence[Verifier], db: psycopg.Connection[Any] | None = None) -> Iterator[Progress]:
    """Re-read everything: checkpoints, tiles, entries, every window of every worker, and the register's rows.

    Args:
        home: data folder.
        verifiers: the public keys (of receipts, register log and check log).
        db: the register's database; None leaves the comparison of its rows out.

    Yields:
        progress, for a progress bar.

    Raises:
        Corrupt, NotFound: `where` names the file, and the place in it, that does not fit.
        VerificationFailed: a signature or a root does not hold.
    """
    sizes: dict[str, int] = {}
    for log in LOGS:
        checkpoint = _checkpoint(home, log, verifiers)
        sizes[log] = checkpoint.size
        read = folder_reader(log_folder(home, log))
        counted = 0

        def count(entries: int) -> None:
            nonlocal counted
            counted += entries

        yield Progress(f"{log} log", 0, checkpoint.size)
        try:
            verify_tree(read, checkpoint.size, checkpoint.root, count)
        except AnnulError as error:
            error.where = f"{log} log, {error.where}"  # both logs have files of these names
            raise
        yield Progress(f"{log} log", counted, checkpoint.size)
    yield from _verify_windows(home, sizes["checks"], verifiers)
    if db is not None:
        yield from _verify_register(home, sizes["register"], db)


def _verify_windows(home: Home, size: int, verifiers: Sequence[Verifier]) -> Iterator[Progress]:
    """Compare the workers' files with the sealed log, side by side; later windows must continue them.

    The sealed log has the windows of all workers, each worker's in order, so one window of each file is held at a time.
    """
    receipts = [verifier for verifier in verifiers if verifier.name == RECEIPTS_NAME] or [_key("receipts", verifiers)]
    files = {worker: _verified_windows(home, worker, receipts) for worker in workers(home.checks)}
    done = 0
    for entry in TileReader(folder_reader(log_folder(home, "checks")), size).entries():
        stated = parse_statement(entry[:STATEMENT_BYTES])
        record = next(files.get(stated.worker, iter(())), None)
        if record is None:
            folder = worker_folder(home.checks, stated.worker).name
            raise Corrupt(f"Window {stated.window} was sealed but is not in the check log.", where=f"checks/{folder}")
        if entry != record.statement + record.signature:
            raise Corrupt(f"Window {stated.window} is not the one that was sealed.", where=record.place)
        done += 1
        if done % 256 == 0:
            yield Progress("windows", done, size)
    for file in files.values():  # what was answered after the last checkpoint
        for _ in file:
            done += 1
            if done % 256 == 0:
                yield Progress("windows", done, size)
    yield Progress("windows", done, done)


def _verified_windows(home: Home, worker: int, receipts: Sequence[Verifier]) -> Iterator[WindowRecord]:
    """Read the windows of a worker; each must hold and continue the one before."""
    previous = NO_WINDOW
    for record in read_windows(worker_folder(home.checks, worker), durable_only=False):
        stated = require_window(record, worker, previous, receipts)
        previous = statement_hash(record.statement)
        try:
            verify_window(record.statement, record.signature, record.leaves, receipts)
        except VerificationFailed as error:
            raise Corrupt(f"Window {stated.window} does not hold: {error.message}.", where=record.place) from None
        _ = record.privates  # raises when they do not fit the leaves
        yield record


def _verify_register(home: Home, size: int, db: psycopg.Connection[Any]) -> Iterator[Progress]:
    """Compare the register's rows with the sealed entries; rows behind them must be dense and readable."""
    require_not_rolled_back(db, size)
    sealed = TileReader(folder_reader(log_folder(home, "register")), size).entries()
    place = 0
    with db.transaction(), db.cursor("verify_register") as rows:
        rows.itersize = ENTRIES_MAX
        rows.execute("SELECT position, entry FROM register_log ORDER BY position")
        for position, entry in rows:
            place += 1
            where = f"register_log, position {place}"
            if position != place:
                raise Corrupt("A position of the register log is missing.", where=where)
            if place <= size and next(sealed) != bytes(entry):
                raise Corrupt("The register's row is not the entry that was sealed.", where=where)
            decode(bytes(entry))
            if place % ENTRIES_MAX == 0:
                yield Progress("register rows", place, size)
    yield Progress("register rows", place, place)


def _checkpoint(home: Home, log: str, verifiers: Sequence[Verifier]) -> Checkpoint:
    try:
        note = folder_reader(log_folder(home, log))(CHECKPOINT)
    except NotFound:
        raise SourceDown(
            f"The {log} log has no checkpoint yet.", where=f"log/{log}", mend="Start annul; it seals within a second."
        ) from None
    key = _key(log, verifiers)
    return open_checkpoint(note, [key], key.name)


def _key(use: str, verifiers: Sequence[Verifier]) -> Verifier:
    for verifier in verifiers:
        if verifier.name.rpartition("/")[2] == use:
            return verifier
    raise BadInput(f"The public key for {use} was not given.", where="key", mend="Give the whole public key file.")
