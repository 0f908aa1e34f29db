"""Keep checks by columns: one Parquet file a day and realm, made from the index, for what reads a hundred million of them.

A file is a copy: it may be lost, and is made again. It is used only when it holds as many checks as the index counted for its
day; checks that are indexed late (the database was down) change that count, and the file is made anew. It goes with the month
of the index it was made from.

What must never happen here: a file that outlives the index; a day that is read although checks of it are missing in its file.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq

from annul import durable
from annul.errors import Corrupt
from annul.home import Home
from annul.registry.answering.checklog import read_windows, worker_folder, workers
from annul.registry.conduct.matching import CheckColumns
from annul.times import DAY_US

FORM: Final = b"annul checks v1"
"""Version of the files, in their metadata: a file of another version is made anew."""
ROWS_AT_ONCE: Final = 1 << 20
"""Checks in one row group: some 70 MB in memory."""
_EPOCH: Final = date(1970, 1, 1)
_KEY: Final = pa.binary(16)
SCHEMA: Final = pa.schema(
    [
        ("party", pa.string()),
        ("branch", pa.binary(8)),
        ("clerk", pa.binary(8)),
        ("document", _KEY),
        ("number", _KEY),
        ("epoch", pa.int16()),
        ("check", _KEY),
        ("at_us", pa.int64()),
        ("outcome", pa.uint8()),
        ("status", pa.uint8()),
        ("purpose", pa.uint8()),
        ("channel", pa.uint8()),
        ("binding", pa.uint8()),
        ("identity", pa.uint8()),
        ("referenced", pa.uint8()),
    ],
    metadata={b"form": FORM},
)
_PARTY_CHARS: Final = 24
_ZEROS: Final = r"'\x00000000000000000000000000000000'::bytea"
_LAID: Final = f"""
COPY (SELECT rpad(party, {_PARTY_CHARS}), substring(sha256(convert_to(branch, 'UTF8')) FOR 8),
    substring(sha256(convert_to(clerk, 'UTF8')) FOR 8), document_key,
    CASE WHEN length(number_key) = 16 THEN number_key ELSE {_ZEROS} END, key_epoch, check_id, checked_at_us, outcome, status,
    purpose, channel, binding, identity, (CASE WHEN reference = '' THEN 0 ELSE 1 END)::int2
FROM check_index WHERE realm = {{realm}} AND checked_at_us >= {{first}} AND checked_at_us < {{last}}
ORDER BY party, checked_at_us, worker, window_no, leaf_index) TO STDOUT (FORMAT BINARY)
"""
"""A day, every field of a fixed width: so its rows are one array, and nobody looks at single ones."""
_HEAD_BYTES: Final = 19
_TAIL_BYTES: Final = 2


def _row_form() -> np.dtype[Any]:
    """Return the form of a row of COPY BINARY: a count of fields, then each with its length. Source: PostgreSQL, COPY."""
    kinds = {"string": f"S{_PARTY_CHARS}", "int64": ">i8", "int16": ">i2", "uint8": ">i2"}
    parts: list[tuple[str, str]] = [("fields", ">i2")]
    for place, column in enumerate(SCHEMA):
        kind = str(column.type)
        width = kind.partition("[")[2].rstrip("]")
        parts += [(f"length{place}", ">i4"), (column.name, f"V{width}" if width else kinds[kind])]
    return np.dtype(parts)


def file_of(home: Home, realm: int, day: int) -> Path:
    """Return where the checks of a day (since 1970) are kept by columns."""
    return home.conduct / f"{REALMS[realm]}-{_EPOCH + timedelta(days=day)}.parquet"


def lay(db: psycopg.Connection[Any], home: Home, realm: int, day: int) -> Path | None:
    """Return the file of a day, made anew when the index counts other than it holds; None when the day has no checks.

    Args:
        db: connection in autocommit mode.

    Raises:
        StorageFailed: it cannot be written.
    """
    row = db.execute("SELECT coalesce(sum(count), 0)::bigint FROM checks_by_day WHERE realm = %s AND day = %s", (realm, day))
    count = (row.fetchone() or (0,))[0]
    path = file_of(home, realm, day)
    if count == 0:
        path.unlink(missing_ok=True)
        return None
    if _holds(path) != count:
        _make(db, path, realm, day)
    return path


def behind(db: psycopg.Connection[Any], checks: Path, until_us: int) -> int | None:
    """Return a worker with a window of before `until_us` in its check log that is not in the index; None: there is none."""
    for worker in workers(checks):
        row = db.execute("SELECT next_window, file, file_offset FROM check_cursor WHERE worker = %s", (worker,)).fetchone()
        start, file, offset = row or (0, "", 0)
        window = next(iter(read_windows(worker_folder(checks, worker), start=start, file=file, offset=offset)), None)
        if window is not None and window.stated.closed_at_us < until_us:
            return worker
    return None


def _holds(path: Path) -> int:
    try:
        told = pq.read_metadata(path)
    except (OSError, pa.ArrowInvalid):
        return -1
    return told.num_rows if (told.metadata or {}).get(b"form") == FORM else -1


def _make(db: psycopg.Connection[Any], path: Path, realm: int, day: int) -> None:
    """Write a day beside its place and rename it: a crash leaves the old copy or the new one, a power cut may cost it."""
    durable.folder(path.parent)
    laid = _LAID.format(realm=int(realm), first=int(day) * DAY_US, last=(int(day) + 1) * DAY_US)
    aside = path.with_name(f"{path.name}.{os.getpid()}.new")
    with durable.telling(path):
        try:
            aside.touch(mode=durable.PRIVATE)
            with (
                db.cursor() as cursor,
                cursor.copy(laid.encode()) as copy,
                pq.ParquetWriter(aside, SCHEMA, compression="NONE", use_dictionary=["party"], write_page_checksum=True) as into,
            ):
                for part in _parts(copy):
                    into.write_table(part, row_group_size=ROWS_AT_ONCE)
            durable.move(aside, path)
        finally:
            aside.unlink(missing_ok=True)


def _parts(copy: Iterable[Any]) -> Iterator[pa.Table]:
    """Yield what COPY sends as tables, some ROWS_AT_ONCE rows each."""
    form = _row_form()
    waiting, size, head = bytearray(), form.itemsize * ROWS_AT_ONCE, _HEAD_BYTES
    for chunk in copy:
        waiting += chunk
        if head and len(waiting) >= head:
            del waiting[:head]
            head = 0
        if len(waiting) > size + _TAIL_BYTES:
            yield _table(np.frombuffer(bytes(waiting[:size]), form))
            del waiting[:size]
    rows = (len(waiting) - _TAIL_BYTES) // form.itemsize
    if rows > 0:
        yield _table(np.frombuffer(bytes(waiting[: rows * form.itemsize]), form))


def _table(rows: npt.NDArray[Any]) -> pa.Table:
    """Return rows as a table.

    Raises:
        Corrupt: the database sent rows of another form.
    """
    if (rows["fields"] != len(SCHEMA)).any():
        raise Corrupt("The index of checks has rows of another form.", where="check_index")
    made = []
    for column in SCHEMA:
        values = rows[column.name]
        width = str(column.type).partition("[")[2].rstrip("]")
        if width:
            made.append(pa.FixedSizeBinaryArray.from_buffers(column.type, len(rows), [None, pa.py_buffer(values.tobytes())]))
        elif column.name == "party":
            made.append(_names(values))
        else:
            made.append(pa.array(values.astype(column.type.to_pandas_dtype()), column.type))
    return pa.Table.from_arrays(made, schema=SCHEMA)


def _names(values: npt.NDArray[Any]) -> pa.Array:
    """Return ids of parties; they are few and stand together, since rows come by party."""
    starts = np.flatnonzero(np.append(True, values[1:] != values[:-1])) if len(values) else np.zeros(0, np.int64)
    names = pa.array([value.decode("ascii").rstrip() for value in values[starts].tolist()], pa.string())
    return names.take(pa.array(np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(values))))))


def read(path: Path, parties: dict[str, int], keys: Keys, realm: int) -> Iterator[CheckColumns]:
    """Yield a file's checks, part by part, with keys of the present epoch.

    Args:
        parties: id -> number of the parties that are wanted; row groups without any of them are passed over.

    Raises:
        Corrupt: the file is damaged; it may be deleted and is made again.
    """
    first, last = (min(parties), max(parties)) if parties else ("", "")
    wanted = ["party", "document", "number", "epoch", "check", "at_us", "outcome", "purpose", "binding"]
    try:
        file = pq.ParquetFile(path, memory_map=True, page_checksum_verification=True)
        for group in range(file.num_row_groups):
            told = file.metadata.row_group(group).column(0).statistics
            if told is not None and told.has_min_max and (told.max < first or told.min > last):
                continue
            table = file.read_row_group(group, columns=wanted, use_threads=False).combine_chunks()
            if table.num_rows:
                yield _columns(table, parties, keys, realm)
    except (OSError, pa.ArrowInvalid) as damaged:
        raise Corrupt(
            "Checks by columns cannot be read.", where=path.name, mend="Delete the file: it is made again."
        ) from damaged


def _columns(table: pa.Table, parties: dict[str, int], keys: Keys, realm: int) -> CheckColumns:
    coded = table.column("party").combine_chunks().dictionary_encode()
    numbers = np.array([parties.get(name, -1) for name in coded.dictionary.to_pylist()], np.int32)
    party = numbers[coded.indices.to_numpy(zero_copy_only=False)]
    epoch = table.column("epoch").to_numpy()
    document, number = words(table.column("document")), words(table.column("number"))
    for older in np.unique(epoch[epoch != keys.epoch]).tolist():
        rows = epoch == older
        document[rows], number[rows] = (advanced(each[rows], keys, realm, older) for each in (document, number))
    small = {name: table.column(name).to_numpy() for name in ("outcome", "purpose", "binding")}
    return CheckColumns(party, document, number, words(table.column("check")), table.column("at_us").to_numpy(), **small)


def words(column: pa.ChunkedArray) -> npt.NDArray[np.uint64]:
    """Return keys of 16 bytes as two words each."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    raw = np.frombuffer(array.buffers()[1], np.uint64, 2 * len(array), 16 * array.offset)
    return raw.reshape(-1, 2).copy()


def eights(column: pa.ChunkedArray) -> npt.NDArray[np.uint64]:
    """Return values of 8 bytes as one word each."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return np.frombuffer(array.buffers()[1], np.uint64, len(array), 8 * array.offset).copy()


def advanced(keys: npt.NDArray[np.uint64], secrets: Keys, realm: int, epoch: int) -> npt.NDArray[np.uint64]:
    """Return keys of an older epoch as keys of the present one; zeros, which are no key, stay."""
    made = np.frombuffer(secrets.documents(REALMS[realm]).advance(keys.tobytes(), epoch), np.uint64).reshape(-1, 2).copy()
    made[~keys.any(axis=1)] = 0
    return made


def forget(home: Home, now_us: int, *, days: int) -> int:
    """Remove the files of days whose month of the index is dropped; return how many.

    Args:
        days: how long the index is kept (`check_log_days`).
    """
    removed = 0
    for path in home.conduct.glob("*.parquet"):
        try:
            day = date.fromisoformat(path.stem.partition("-")[2])
        except ValueError:
            continue
        ended = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
        if (datetime.fromtimestamp(now_us / 1e6, UTC).date() - ended).days >= days:
            path.unlink(missing_ok=True)
            removed += 1
    return removed
