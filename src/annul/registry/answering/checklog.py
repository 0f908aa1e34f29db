"""Keep the account of every check: one append-only log per worker, whole windows, durable before any answer leaves.

A window record holds everything a window of answers is: the signed statement, the leaves the receipts open, and beside each
leaf a private record (keyed document, salt, who asked in the relying party) that no receipt shows. The worker is the only
writer of its log. Others read it up to the durable mark, which moves only after the write barrier.

    <home>/checks/<worker>/<first window>.log   records, one after the other
    <home>/checks/<worker>/durable              u64: number of the first window that is not known to be durable
    <home>/checks/<worker>/lock                 held by the living writer

What a crash leaves: in the middle of a record, a torn tail, which nobody was answered from; it is set aside in a `.torn`
file at the next opening. After the record and before the mark moves, a whole window nobody was answered from: it is kept
(an account without an answer does no harm; an answer without an account would).

Record v1, big-endian: length u32 of what follows | version u8 | statement | signature 64 | leaves | private length u32 |
private records | CRC-32 u32 of everything before it (length included).
Private record v1: document key 16 | number key 16 (zeros: none) | salt 16 | key epoch u16 | exact status u8 | spare u8 | then
branch, terminal, clerk, reference, each u16 length and UTF-8.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import re
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from annul import durable
from annul.errors import Conflict, Corrupt, StorageFailed
from annul.proof.leaf import LEAF_BYTES, parse_leaf
from annul.proof.window import STATEMENT_BYTES, Statement, parse_statement, statement_hash

VERSION: Final = 1
FILE_BYTES_MAX: Final = 64 << 20
"""A log file is closed before it would grow beyond this; the last one is read in full at every start (about 0.3 s)."""
SIGNATURE_BYTES: Final = 64
RECORD_BYTES_MAX: Final = 16 << 20
"""Largest record; 4,096 leaves with the longest context stay below half of it."""
PRIVATE_FIXED: Final = struct.Struct(">16s16s16sHBx")
"""Beginning of a private record: document key, number key, salt, key epoch, exact status. `proof.leaf.pack_context` makes
the rest."""
NO_WINDOW: Final = bytes(32)
"""Previous statement hash of the first window of a worker."""

_LENGTH: Final = struct.Struct(">I")
_HEAD_BYTES: Final = 4 + 1 + STATEMENT_BYTES + SIGNATURE_BYTES
_NUMBER: Final = struct.Struct(">I4xQ")
"""Length of a record and number of its window; between them the versions and the worker."""
_NAME: Final = re.compile(r"(\d{16})\.log\Z")


class LogFile(Protocol):
    """What the log needs of a file: each call may fail with OSError, and `write` may take less than it was given."""

    def write(self, data: bytes) -> int:
        """Append bytes; return, when they are on stable storage, how many were taken."""

    def sync(self) -> None:
        """Return when everything in the file, and its size, is on stable storage."""

    def truncate(self, size: int) -> None:
        """Cut the file to `size` bytes."""

    def close(self) -> None:
        """Let go of the file."""


class DiskFile:
    """Append to a file of the local disk; O_DSYNC makes write and barrier one call (one switch of threads less)."""

    def __init__(self, path: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_DSYNC
        self._fd = os.open(path, flags, 0o600)

    def write(self, data: bytes) -> int:
        """Append bytes; return, when they are on stable storage, how many were taken."""
        return os.write(self._fd, data)

    def sync(self) -> None:
        """Return when everything in the file, and its size, is on stable storage."""
        os.fsync(self._fd)

    def truncate(self, size: int) -> None:
        """Cut the file to `size` bytes."""
        os.ftruncate(self._fd, size)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)


@dataclass(frozen=True, slots=True)
class Private:
    """Hold what is kept beside a leaf and shown in no receipt.

    Args:
        document_key: 16 bytes, zeros when the number was malformed.
        number_key: 16 bytes, or empty when the scheme has no number apart from the document.
        salt: 16 bytes that open the receipt's commitments.
        key_epoch: epoch of both keys.
        status: exact status code (its stable number), also when the answer withheld it.
        branch, terminal, clerk, reference: as the relying party gave them.
    """

    document_key: bytes
    number_key: bytes
    salt: bytes
    key_epoch: int
    status: int
    branch: str = ""
    terminal: str = ""
    clerk: str = ""
    reference: str = ""


def _unpack_privates(raw: bytes, count: int) -> list[Private]:
    found: list[Private] = []
    at = 0
    for _ in range(count):
        document_key, number_key, salt, epoch, status = PRIVATE_FIXED.unpack_from(raw, at)
        at += PRIVATE_FIXED.size
        texts: list[str] = []
        for _ in range(4):
            end = at + 2 + int.from_bytes(raw[at : at + 2], "big")
            texts.append(raw[at + 2 : end].decode())
            at = end
        number_key = b"" if number_key == bytes(16) else number_key
        found.append(Private(document_key, number_key, salt, epoch, status, *texts))
    if at != len(raw):
        raise ValueError("private records of another length")
    return found


def encode_window(statement: bytes, signature: bytes, leaves: bytes, privates: bytes) -> bytes:
    """Return the record of a window.

    Args:
        statement: STATEMENT_BYTES.
        signature: 64 bytes.
        leaves: all leaves, one after the other (count x LEAF_BYTES).
        privates: all private records, one after the other, in the order of the leaves.
    """
    length = 1 + len(statement) + len(signature) + len(leaves) + 4 + len(privates) + 4
    parts = (
        _LENGTH.pack(length),
        b"\x01",
        statement,
        signature,
        leaves,
        _LENGTH.pack(len(privates)),
        privates,
    )
    body = b"".join(parts)
    return body + _LENGTH.pack(zlib.crc32(body))


@dataclass(frozen=True, slots=True)
class WindowRecord:
    """Hold one window read back from a log, and where it was found."""

    statement: bytes
    signature: bytes
    leaves: list[bytes]
    raw_privates: bytes
    file: Path
    offset: int
    end: int

    @property
    def stated(self) -> Statement:
        """Return the statement's fields."""
        return parse_statement(self.statement)

    @property
    def privates(self) -> list[Private]:
        """Return the private records, in the order of the leaves.

        Raises:
            Corrupt: they do not fit the leaves.
        """
        try:
            return _unpack_privates(self.raw_privates, len(self.leaves))
        except (ValueError, struct.error, IndexError):
            raise Corrupt("A window's private records do not fit its leaves.", where=self.place) from None

    @property
    def place(self) -> str:
        """Name the file and offset, for messages."""
        return f"checks/{self.file.parent.name}/{self.file.name} at byte {self.offset}"


class TornError(Exception):
    """Say that the bytes at this place are no whole record."""


def decode_record(raw: bytes | memoryview, at: int, file: Path) -> WindowRecord:
    """Read the record at `at`.

    Raises:
        TornError: it is cut short, or its checksum does not hold.
    """
    if at + _HEAD_BYTES > len(raw):
        raise TornError
    end = at + 4 + _LENGTH.unpack_from(raw, at)[0]
    if end > len(raw) or end - at > RECORD_BYTES_MAX or end - at < _HEAD_BYTES + 8 or raw[at + 4] != VERSION:
        raise TornError
    if zlib.crc32(raw[at : end - 4]) != _LENGTH.unpack_from(raw, end - 4)[0]:
        raise TornError
    statement = bytes(raw[at + 5 : at + 5 + STATEMENT_BYTES])
    count = parse_statement(statement).count
    leaves_end = at + _HEAD_BYTES + count * LEAF_BYTES
    if leaves_end + 8 > end or leaves_end + 8 + _LENGTH.unpack_from(raw, leaves_end)[0] != end:
        raise TornError
    start = at + _HEAD_BYTES
    return WindowRecord(
        statement=statement,
        signature=bytes(raw[start - SIGNATURE_BYTES : start]),
        leaves=[bytes(raw[i : i + LEAF_BYTES]) for i in range(start, leaves_end, LEAF_BYTES)],
        raw_privates=bytes(raw[leaves_end + 4 : end - 4]),
        file=file,
        offset=at,
        end=end,
    )


def log_files(folder: Path) -> list[Path]:
    """Return the log files of one worker's folder, oldest first."""
    return sorted(path for path in folder.glob("*.log") if _NAME.match(path.name)) if folder.is_dir() else []


def workers(checks: Path) -> list[int]:
    """Return the numbers of all workers that have a log under `<home>/checks`, ascending."""
    if not checks.is_dir():
        return []
    return sorted(int(path.name) for path in checks.iterdir() if path.is_dir() and path.name.isdigit())


def worker_folder(checks: Path, worker: int) -> Path:
    """Return the folder of one worker's log."""
    return checks / f"{worker:02d}"


class CheckLog:
    """Write one worker's log.

    Args:
        checks: `<home>/checks`.
        worker: this worker's number, 0..65535.
        open_file: how a log file is opened for appending.
        file_bytes_max: size at which the next file begins.

    Attributes:
        next_window: number of the next window.
        previous: SHA-256 of the last durable statement (zeros before the first).
        position: of the register log, on which the answers of the last window at its opening stood; 0 before the first.

    Raises:
        Conflict: another process writes this worker's log.
        Corrupt: the end of the log cannot be told from damage.
    """

    def __init__(
        self,
        checks: Path,
        worker: int,
        *,
        open_file: Callable[[Path], LogFile] = DiskFile,
        file_bytes_max: int = FILE_BYTES_MAX,
    ) -> None:
        self.folder = worker_folder(checks, worker)
        self.worker = worker
        durable.folder(self.folder)
        self._lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise Conflict("Another process writes this check log.", where=f"checks/{self.folder.name}") from None
        self._open_file = open_file
        self._file_bytes_max = file_bytes_max
        self._file: LogFile | None = None
        self._size = 0
        self._broken = False
        self.next_window = 0
        self.previous = NO_WINDOW
        self.position = 0
        self._mark = _Mark(self.folder / "durable")
        try:
            self._reopen()
        except BaseException:
            self.close()
            raise

    def append(self, records: Sequence[bytes], last_statement: bytes) -> None:
        """Write whole window records and return when they are durable.

        Args:
            records: encoded windows, in the order of their numbers, starting with `next_window`.
            last_statement: statement of the last of them.

        Raises:
            StorageFailed: nothing of them is in the log, or the log refuses everything until it is opened again by the
                next attempt. Nobody may be answered.
        """
        if self._broken:
            self._reopen()
        first = self.next_window
        stated = parse_statement(records[0][5 : 5 + STATEMENT_BYTES])
        if (stated.window, stated.previous) != (first, self.previous):
            raise StorageFailed("The window does not follow the last durable one.", where=f"checks/{self.folder.name}")
        data = records[0] if len(records) == 1 else b"".join(records)
        try:
            file = self._file
            if file is None or (self._size and self._size + len(data) > self._file_bytes_max):
                file = self._next_file(first)
            _write_all(file, data)
        except OSError as error:
            self._roll_back()
            raise StorageFailed(
                f"The check log could not be written: {error.strerror}.", where=f"checks/{self.folder.name}"
            ) from error
        self._size += len(data)
        self.next_window = first + len(records)
        self.previous = statement_hash(last_statement)
        self._mark.set(self.next_window)

    def close(self) -> None:
        """Let go of the files; the next writer may open the log."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self._mark.close()
        os.close(self._lock)

    def _next_file(self, first: int) -> LogFile:
        if self._file is not None:
            self._file.close()
            self._file = None
        self._size = 0
        file = self._file = self._open_file(self.folder / f"{first:016d}.log")
        durable.sync_folder(self.folder)
        return file

    def _roll_back(self) -> None:
        """Cut what a failed append may have left; when even that fails, refuse until the log is opened again."""
        try:
            if self._file is not None:
                self._file.truncate(self._size)
                self._file.sync()
            else:
                self._broken = True
        except OSError:
            self._broken = True

    def _reopen(self) -> None:
        """Find the end of the log, set a torn tail aside, make sure the rest is durable."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None
        self._broken = True
        files = log_files(self.folder)
        try:
            last, torn = _end_of_log(files)
            self.next_window = 0 if last is None else last.stated.window + 1
            self.previous = NO_WINDOW if last is None else statement_hash(last.statement)
            self.position = 0 if last is None else parse_leaf(last.leaves[-1]).position
            if self._mark.get() > self.next_window:
                raise Corrupt(
                    f"The check log can be read only to window {self.next_window} of {self._mark.get()} durable ones.",
                    where=f"checks/{self.folder.name}",
                    mend="Run `annul log verify`, then restore the folder from a copy.",
                )
            for file, size in torn:
                _set_aside(file, size)
            self._size = 0
            if last is not None:
                self._size = last.end
                self._file = self._open_file(last.file)
                self._file.sync()
            durable.sync_folder(self.folder)
        except OSError as error:
            raise StorageFailed(
                f"The check log could not be opened: {error.strerror}.", where=f"checks/{self.folder.name}"
            ) from error
        self._mark.set(self.next_window)
        self._broken = False


def _end_of_log(files: list[Path]) -> tuple[WindowRecord | None, list[tuple[Path, int]]]:
    """Return the last whole record and what lies torn behind it: (file, size of its whole records) each."""
    torn: list[tuple[Path, int]] = []
    for file in reversed(files):
        raw = file.read_bytes()
        last, at = None, 0
        with contextlib.suppress(TornError):
            while at < len(raw):
                last = decode_record(raw, at, file)
                at = last.end
        if at < len(raw) or last is None:
            torn.append((file, at))
        if last is not None:
            return last, torn
    return None, torn


def _write_all(file: LogFile, data: bytes) -> None:
    written = file.write(data)
    while written < len(data):
        more = file.write(data[written:])
        if more <= 0:
            raise OSError(5, "short write")
        written += more


def _set_aside(file: Path, size: int) -> None:
    """Move what lies behind `size` into a `.torn` file beside the log; an emptied file disappears."""
    raw = file.read_bytes()
    if size < len(raw):
        file.with_name(f"{file.stem}.{size}.torn").write_bytes(raw[size:])
    if size:
        os.truncate(file, size)
    else:
        file.unlink()


class _Mark:
    """Share the durable window count through eight mapped bytes (one aligned store, no torn value)."""

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if os.fstat(descriptor).st_size < 8:
            os.ftruncate(descriptor, 8)
        self._map = mmap.mmap(descriptor, 8)
        os.close(descriptor)
        self._cell = memoryview(self._map).cast("Q")

    def get(self) -> int:
        """Return the number of the first window that is not known to be durable."""
        return int(self._cell[0])

    def set(self, window: int) -> None:
        """Say that all windows before `window` are durable."""
        self._cell[0] = window

    def close(self) -> None:
        """Let go of the mapping."""
        self._cell.release()
        self._map.close()


def durable_windows(folder: Path) -> int:
    """Return how many windows of a worker's folder are known to be durable (0 when it has no mark)."""
    try:
        return int.from_bytes((folder / "durable").read_bytes()[:8], "little")
    except FileNotFoundError:
        return 0


def hop(raw: memoryview, at: int, window: int) -> int:
    """Return where the first record with a number of at least `window` begins, by lengths alone.

    Args:
        raw: bytes of a log file.
        at: where a record begins that is not behind it.
    """
    last = len(raw) - _HEAD_BYTES
    unpack = _NUMBER.unpack_from
    while at <= last:
        length, number = unpack(raw, at)
        if number >= window or length < _HEAD_BYTES:
            break
        at += 4 + length
    return at


@contextlib.contextmanager
def mapped(path: Path) -> Iterator[memoryview]:
    """Lend the bytes of a log file; none when it is empty."""
    with path.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        if size == 0:
            yield memoryview(b"")
            return
        raw = mmap.mmap(stream.fileno(), size, access=mmap.ACCESS_READ)
    with contextlib.closing(raw), memoryview(raw) as view:
        yield view


def read_windows(
    folder: Path, *, start: int = 0, file: str = "", offset: int = 0, durable_only: bool = True
) -> Iterator[WindowRecord]:
    """Read windows of one worker in order, each checked against its checksum and its number.

    Who says where the first one begins reads without a listing of the folder, however many files it has: a file has the name
    of its first window.

    Args:
        folder: the worker's folder.
        start: number of the first window wanted.
        file, offset: where that window begins, when known (file name and byte); found by reading otherwise.
        durable_only: stop at the durable mark; False reads every whole record, as after the machine was stopped.

    Raises:
        Corrupt: naming file and offset of a record that is damaged, missing or out of order.
    """
    end = durable_windows(folder) if durable_only else None
    if end is not None and start >= end:
        return
    wanted = start
    path: Path | None = folder / file if file and (folder / file).exists() else _file_of(folder, start)
    if path is None and end:
        raise Corrupt("The check log is missing.", where=f"checks/{folder.name}")
    while path is not None:
        with mapped(path) as view:
            at = hop(view, offset if path.name == file else 0, wanted)
            while at < len(view) and (end is None or wanted < end):
                try:
                    record = decode_record(view, at, path)
                except TornError:
                    if end is None and _following(path) is None and wanted >= durable_windows(folder):
                        break  # a torn tail: nobody was answered from it
                    raise Corrupt(
                        "A window record is damaged.", where=f"checks/{folder.name}/{path.name} at byte {at}"
                    ) from None
                stated = record.stated
                if stated.window > wanted:
                    raise Corrupt(f"Window {wanted} is missing.", where=record.place)
                at = record.end
                if stated.window == wanted:
                    wanted += 1
                    yield record
        if end is not None and wanted >= end:
            return
        following = folder / f"{wanted:016d}.log"
        path = following if following != path and following.exists() else _following(path)
    if end is not None and wanted < end:
        raise Corrupt(f"Window {wanted} is missing although it was durable.", where=f"checks/{folder.name}")


def _file_of(folder: Path, window: int) -> Path | None:
    """Return the file that a window is in if it is anywhere: the last one that does not begin behind it, else the first."""
    files = log_files(folder)
    behind = sum(int(path.stem) <= window for path in files)
    return files[max(0, behind - 1)] if files else None


def _following(path: Path) -> Path | None:
    """Return the file behind one, None when it is the last."""
    return next((other for other in log_files(path.parent) if other.name > path.name), None)
