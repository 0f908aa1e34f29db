"""The account of every check: what is durable stays, what is torn is set aside, what is damaged is named."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annul.errors import Conflict, Corrupt, StorageFailed
from annul.proof.leaf import LEAF_BYTES, pack_context
from annul.proof.window import WindowSigner
from annul.registry.answering.checklog import (
    NO_WINDOW,
    PRIVATE_FIXED,
    CheckLog,
    DiskFile,
    Private,
    durable_windows,
    encode_window,
    log_files,
    read_windows,
    worker_folder,
)

SIGNER = WindowSigner(b"window signing secret of a test.")
LEAF = b"\x01" + bytes(LEAF_BYTES - 1)


def packed(record: Private) -> bytes:
    """Return a private record as the answerer writes it."""
    fixed = PRIVATE_FIXED.pack(record.document_key, record.number_key, record.salt, record.key_epoch, record.status)
    return fixed + pack_context(record.branch, record.terminal, record.clerk, record.reference)


def window(log: CheckLog, number: int, previous: bytes, *, leaves: int = 2) -> tuple[bytes, bytes, bytes]:
    """Make a window record: (record, statement, statement hash)."""
    rows = [LEAF[:-4] + index.to_bytes(4, "big") for index in range(leaves)]
    signed = SIGNER.close(rows, log.worker, number, previous, 1_000 + number)
    privates = b"".join(packed(Private(bytes(16), b"", bytes(16), 1, 17, "b", "t", "c", "r")) for _ in rows)
    return encode_window(signed.statement, signed.signature, b"".join(rows), privates), signed.statement, signed.statement_hash


def append(log: CheckLog, count: int = 1, **options: int) -> None:
    """Append windows one by one."""
    for _ in range(count):
        record, statement, _ = window(log, log.next_window, log.previous, **options)
        log.append([record], statement)


class Failing:
    """A disk file whose steps fail when told: the real interface, the real bytes."""

    def __init__(self, path: Path, plan: dict[str, int | str]) -> None:
        self._file = DiskFile(path)
        self._plan = plan

    def _maybe(self, step: str) -> None:
        if step in self._plan:
            code = self._plan[step]
            if isinstance(code, int):
                raise OSError(code, "told to fail")

    def write(self, data: bytes) -> int:
        """Write all, or a part before failing."""
        if self._plan.get("write") == "short":
            self._plan["write"] = errno.ENOSPC
            return self._file.write(data[: len(data) // 2])
        self._maybe("write")
        written = self._file.write(data)
        self._maybe("sync")  # the bytes are there, but the barrier said no
        return written

    def sync(self) -> None:
        """Sync, or fail after the bytes were written."""
        self._maybe("sync")
        self._file.sync()

    def truncate(self, size: int) -> None:
        """Cut, or fail."""
        self._maybe("truncate")
        self._file.truncate(size)

    def close(self) -> None:
        """Close."""
        self._file.close()


def test_windows_come_back_in_order_with_what_was_written(tmp_path: Path) -> None:
    """Ten windows are read back whole, chained, with their private records; the mark says that they are durable."""
    log = CheckLog(tmp_path, 3)
    append(log, 10)
    log.close()
    found = list(read_windows(worker_folder(tmp_path, 3)))
    assert [record.stated.window for record in found] == list(range(10))
    assert found[0].stated.previous == NO_WINDOW
    assert found[4].privates[1] == Private(bytes(16), b"", bytes(16), 1, 17, "b", "t", "c", "r")
    assert durable_windows(worker_folder(tmp_path, 3)) == 10


def test_the_next_start_continues_the_chain(tmp_path: Path) -> None:
    """A writer that opens the log again takes the next number and the hash of the last statement."""
    log = CheckLog(tmp_path, 0)
    append(log, 3)
    previous = log.previous
    log.close()
    log = CheckLog(tmp_path, 0)
    assert (log.next_window, log.previous) == (3, previous)
    append(log)
    log.close()
    assert len(list(read_windows(worker_folder(tmp_path, 0)))) == 4


def test_only_one_process_writes_a_log(tmp_path: Path) -> None:
    """A second writer of the same worker number is refused while the first lives."""
    log = CheckLog(tmp_path, 0)
    with pytest.raises(Conflict):
        CheckLog(tmp_path, 0)
    log.close()
    CheckLog(tmp_path, 0).close()


@pytest.mark.parametrize("kept", [1, 4, 60, 200])
def test_a_torn_tail_is_set_aside_and_the_log_goes_on(tmp_path: Path, kept: int) -> None:
    """A crash in the middle of a write leaves a part of a record: nothing durable is lost, the part is kept beside."""
    log = CheckLog(tmp_path, 0)
    append(log, 2)
    record, _, _ = window(log, 2, log.previous)
    log.close()
    file = log_files(worker_folder(tmp_path, 0))[-1]
    with file.open("ab") as stream:
        stream.write(record[:kept])
    log = CheckLog(tmp_path, 0)
    assert log.next_window == 2
    append(log)
    log.close()
    assert [r.stated.window for r in read_windows(worker_folder(tmp_path, 0))] == [0, 1, 2]
    assert [path.read_bytes() for path in worker_folder(tmp_path, 0).glob("*.torn")] == [record[:kept]]


def test_a_new_file_begins_when_the_old_one_is_full_and_any_window_is_found(tmp_path: Path) -> None:
    """Files are closed at their limit; reading from any window on finds the right file."""
    log = CheckLog(tmp_path, 0, file_bytes_max=2_000)
    append(log, 12)
    log.close()
    folder = worker_folder(tmp_path, 0)
    assert len(log_files(folder)) > 2
    for start in range(12):
        assert [r.stated.window for r in read_windows(folder, start=start)] == list(range(start, 12))
    CheckLog(tmp_path, 0).close()


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_flipped_bit_is_named(tmp_path: Path, which: int) -> None:
    """A changed byte anywhere in a durable record raises Corrupt with file and offset, in the last record too."""
    log = CheckLog(tmp_path, 0)
    append(log, 3)
    log.close()
    file = log_files(worker_folder(tmp_path, 0))[0]
    raw = bytearray(file.read_bytes())
    size = len(raw) // 3
    for at in range(which * size, (which + 1) * size, 23):
        raw[at] ^= 0x10
        file.write_bytes(raw)
        with pytest.raises(Corrupt) as caught:
            list(read_windows(worker_folder(tmp_path, 0)))
        assert file.name in str(caught.value.where)
        with pytest.raises(Corrupt):
            CheckLog(tmp_path, 0)
        raw[at] ^= 0x10


def test_a_log_that_lost_durable_windows_is_refused(tmp_path: Path) -> None:
    """When a file disappears, neither reader nor writer goes on as if nothing had been."""
    log = CheckLog(tmp_path, 0)
    append(log, 3)
    log.close()
    log_files(worker_folder(tmp_path, 0))[0].unlink()
    with pytest.raises(Corrupt):
        list(read_windows(worker_folder(tmp_path, 0)))
    with pytest.raises(Corrupt):
        CheckLog(tmp_path, 0)


@pytest.mark.parametrize(
    "plan",
    [
        {"write": errno.ENOSPC},
        {"write": "short"},
        {"write": errno.EIO, "truncate": errno.EIO},
        {"sync": errno.EIO},
        {"sync": errno.EIO, "truncate": errno.EIO},
    ],
    ids=["disk full", "short write", "write and cut fail", "barrier fails", "barrier and cut fail"],
)
def test_a_failing_step_leaves_a_log_that_goes_on(tmp_path: Path, plan: dict[str, int | str]) -> None:
    """Each failing step is told as StorageFailed; afterwards, and after a new start, every window follows the last."""
    steps: dict[str, int | str] = {}
    log = CheckLog(tmp_path, 0, open_file=lambda path: Failing(path, steps))
    append(log, 2)
    steps.update(plan)
    with pytest.raises(StorageFailed):
        append(log)
    assert durable_windows(worker_folder(tmp_path, 0)) == 2
    steps.clear()
    for _ in range(3):
        try:
            append(log)
        except StorageFailed:  # the number was taken by the window that was not answered: the caller takes the next
            continue
    count = log.next_window
    assert count >= 4
    log.close()
    found = list(read_windows(worker_folder(tmp_path, 0)))
    assert [record.stated.window for record in found] == list(range(count))
    log = CheckLog(tmp_path, 0)
    assert log.next_window == count
    log.close()


def test_a_file_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    """When the first file cannot be made (no space for an inode), nothing is in the log and the next attempt works."""
    broken = [True]

    def open_file(path: Path) -> DiskFile:
        if broken[0]:
            raise OSError(errno.ENOSPC, "no space")
        return DiskFile(path)

    log = CheckLog(tmp_path, 0, open_file=open_file)
    with pytest.raises(StorageFailed):
        append(log)
    broken[0] = False
    append(log)
    assert log.next_window == 1
    log.close()


texts = st.text(max_size=64)


@given(
    st.builds(
        Private,
        document_key=st.binary(min_size=16, max_size=16),
        number_key=st.one_of(st.just(b""), st.binary(min_size=16, max_size=16).filter(any)),
        salt=st.binary(min_size=16, max_size=16),
        key_epoch=st.integers(0, 65535),
        status=st.integers(0, 255),
        branch=texts,
        terminal=texts,
        clerk=texts,
        reference=texts,
    )
)
def test_private_records_come_back_as_they_were(record: Private) -> None:
    """Packing and reading a private record are inverse for every text and key."""
    from annul.registry.answering.checklog import _unpack_privates

    assert _unpack_privates(packed(record) * 2, 2) == [record, record]


def test_readers_stop_at_the_durable_mark(tmp_path: Path) -> None:
    """A record that is written but not yet durable is not shown: it may still be rolled back."""
    seen: list[int] = []
    folder = worker_folder(tmp_path, 0)

    class Watched(DiskFile):
        def write(self, data: bytes) -> int:
            written = super().write(data)
            seen.append(len(list(read_windows(folder))))
            return written

    opened: Callable[[Path], DiskFile] = Watched
    log = CheckLog(tmp_path, 0, open_file=opened)
    append(log, 3)
    log.close()
    assert seen == [0, 1, 2]
