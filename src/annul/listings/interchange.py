"""Read lists in annul's interchange format: CSV, NDJSON or Parquet, one document a line.

Columns (members), all text, empty or absent when not given: scheme, issuer, kind, series, number, valid_from, valid_until
(YYYY-MM-DD, or `long-term`), state (a word of records.status.State, or a status code such as I20; `status` is accepted as
its name; empty or `current` lists nothing), reason (a word of records.status.Event), happened_at (RFC 3339).
A CSV file is UTF-8 with a header line; a record does not go over the end of a line.
Source: docs/formats/listings.md.
"""

from __future__ import annotations

import csv
import datetime
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from annul.errors import AnnulError, BadInput, TooLarge
from annul.listings.bulk import Chunk, Part, Reader
from annul.listings.values import WHOLE_LIFE, pack
from annul.records.document import Document, DocumentFields, block, number_block, parse_document
from annul.records.status import Event, State, code_of

LINE_BYTES_MAX = 1 << 16
PIECE_BYTES = 1 << 20
PARQUET_ROWS = 1 << 14
BOMB = "The list unpacks to far more than its size."
RATIO_MAX = 200
"""Bytes that may come out of a packed byte; numbers of documents do not repeat."""
SLACK_BYTES = 1 << 20
"""A small list may be packed as well as it likes."""
ROW_BYTES_MIN = 16
"""What a row takes at least once it is unpacked."""

Flags = Callable[[str], int]
"""Give the flags of a kind of document by its coverage name (WHOLE_LIFE where the issuer provides whole lives)."""

Text = str | None


class Row(msgspec.Struct, forbid_unknown_fields=True):
    """Hold one line of a list."""

    scheme: Text = None
    issuer: Text = None
    kind: Text = None
    series: Text = None
    number: Text = None
    valid_from: Text = None
    valid_until: Text = None
    state: Text = None
    status: Text = None
    reason: Text = None
    happened_at: Text = None


COLUMNS = tuple(Row.__struct_fields__)
_STATES: dict[str, State] = {"": State.current} | {code_of(s): s for s in State} | {s.name: s for s in State}


def interchange_list(path: Path, flags: Flags | None = None) -> Reader:
    """Return a reader of a list by the ending of its name: .csv, .ndjson (.jsonl), .parquet.

    Args:
        path: the file.
        flags: flags by coverage name; documents that are `current` are kept only where it gives WHOLE_LIFE.

    Raises:
        BadInput: the ending is another one.
    """
    ending = path.suffix.lower()
    if ending == ".csv":
        return lambda place, lines: _text_chunks(path, place, lines, _csv_rows(path), flags)
    if ending in (".ndjson", ".jsonl"):
        return lambda place, lines: _text_chunks(path, place, lines, _json_rows, flags)
    if ending == ".parquet":
        return lambda place, _lines: _parquet_chunks(path, place, flags)
    raise BadInput("The list's format cannot be told by its name.", where=path.name, mend="Name it .csv, .ndjson or .parquet.")


Rows = Callable[[list[bytes], int], Iterable[Row | str | None]]
"""Make of lines (and the number of the first) rows, causes of bad lines, or None for a line without a document."""


def _text_chunks(path: Path, place: int, lines: int, rows: Rows, flags: Flags | None) -> Iterator[Chunk]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise BadInput(f"The list cannot be read: {error.strerror}.", where=path.name, mend="Name a file.") from error
    with file:
        file.seek(place)
        while texts := file.readlines(PIECE_BYTES):
            place += sum(map(len, texts))
            yield _chunk(rows(texts, lines + 1), place, lines, place, flags)
            lines += len(texts)


def _csv_rows(path: Path) -> Rows:
    """Read the header, then return what makes rows of lines."""
    try:
        with path.open("rb") as file:
            head = file.readline(LINE_BYTES_MAX).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput("The header line cannot be read.", where=f"{path.name}, line 1", mend="Save it as UTF-8.") from error
    names = [name.strip().lower() for name in next(csv.reader([head]), [])]
    _check_columns(names, f"{path.name}, line 1")

    def rows(texts: list[bytes], first: int) -> Iterator[Row | str | None]:
        for number, raw in enumerate(texts, first):
            if number == 1:
                yield None
                continue
            if len(raw) > LINE_BYTES_MAX:
                yield "the line is too long"
                continue
            try:
                text = raw.decode().rstrip("\r\n")
                fields = next(csv.reader([text], strict=True)) if '"' in text else text.split(",")
            except (UnicodeDecodeError, csv.Error):
                yield "the line is not CSV in UTF-8"
                continue
            if not text.strip():
                yield "the line is empty"
            elif len(fields) != len(names):
                yield "the line has another number of columns than the header"
            else:
                yield Row(**dict(zip(names, fields, strict=True)))

    return rows


def _check_columns(names: list[str], where: str) -> None:
    known = set(names) <= set(COLUMNS) and len(set(names)) == len(names)
    if not known or not {"scheme", "number"} <= set(names) or not {"state", "status"} & set(names):
        raise BadInput(
            "The columns are not those of a list.",
            where=where,
            mend=f"Use {', '.join(c for c in COLUMNS if c != 'status')}; scheme, number and state are needed.",
        )


_decoder = msgspec.json.Decoder(Row)


def _json_rows(texts: list[bytes], _first: int) -> Iterator[Row | str | None]:
    for raw in texts:
        if len(raw) > LINE_BYTES_MAX:
            yield "the line is too long"
        elif not raw.strip():
            yield "the line is empty"
        else:
            try:
                yield _decoder.decode(raw)
            except (msgspec.DecodeError, UnicodeDecodeError):
                yield "the line is not a JSON object with the members of a list"


def _parquet_chunks(path: Path, place: int, flags: Flags | None) -> Iterator[Chunk]:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except (OSError, pa.ArrowException) as error:
        raise BadInput("This is not a Parquet file.", where=path.name, mend="Write it again.") from error
    with file:
        names = file.schema_arrow.names
        _check_columns(names, path.name)
        total, size, start = file.metadata.num_rows, path.stat().st_size, 0
        require_footer(file.metadata, size, path.name)
        for group in range(file.num_row_groups):
            count = file.metadata.row_group(group).num_rows
            if start + count > place:
                done = start
                batches = file.iter_batches(PARQUET_ROWS, row_groups=[group], use_threads=False)
                while True:
                    try:
                        batch = next(batches, None)
                        if batch is None:
                            break
                        batch = batch.slice(max(0, place - done))  # what an interrupted import has
                        skipped = min(PARQUET_ROWS, max(0, place - done))
                        part = {n: pc.cast(batch.column(n), pa.string()).to_pylist() for n in names}
                    except (OSError, pa.ArrowException) as error:
                        raise BadInput(
                            "A row group cannot be read as text.",
                            where=f"{path.name}, row group {group}",
                            mend="Write it again.",
                        ) from error
                    rows = [Row(**dict(zip(part, row, strict=True))) for row in zip(*part.values(), strict=True)]
                    first, done = done + skipped, done + skipped + len(rows)
                    if rows:
                        yield _chunk(rows, done, first, size * done // max(1, total), flags)
            start += count


def require_footer(footer: Any, size: int, where: str) -> None:
    """Refuse, before anything of it is unpacked, a file that unpacks to far more than it is.

    Raises:
        TooLarge: by the sizes, or by the rows, that the footer tells.
    """
    sizes = sum(footer.row_group(group).total_byte_size for group in range(footer.num_row_groups))
    if max(sizes, footer.num_rows * ROW_BYTES_MIN) > SLACK_BYTES + RATIO_MAX * size:
        raise TooLarge(BOMB, where=where, mend="Send it less packed, or as plain CSV.")


class _Gathering:
    """Collect the documents of a chunk, apart for schemes with and without number slots."""

    def __init__(self) -> None:
        self.blocks, self.numbers, self.values = bytearray(), bytearray(), list[int]()

    def part(self) -> Part:
        return Part(bytes(self.blocks), np.array(self.values, np.uint64), bytes(self.numbers))


def _chunk(rows: Iterable[Row | str | None], place: int, lines: int, bytes_done: int, flags: Flags | None) -> Chunk:
    """Make a chunk of rows; `lines` were read before them."""
    plain, discriminated = _Gathering(), _Gathering()
    bad: list[tuple[str, int]] = []
    passed_over = 0
    for row in rows:
        lines += 1
        if row is None:
            continue
        if isinstance(row, str):
            bad.append((row, lines))
            continue
        try:
            document, value = _read(row, flags)
            if not value:
                passed_over += 1
                continue
            into = discriminated if document.discriminated else plain
            whole = block(document)
            if document.discriminated:
                into.numbers += number_block(document)
            into.blocks += whole
            into.values.append(value)
        except AnnulError as error:
            bad.append((_cause(error), lines))
    parts = tuple(g.part() for g in (plain, discriminated) if g.values)
    return Chunk(parts, place, lines, bytes_done, tuple(bad), passed_over)


def _cause(error: AnnulError) -> str:
    """Name a cause without the line's contents: the field and what is wrong with it."""
    field = (error.where or "").rsplit("/", 1)[-1]
    return f"{field}: {error.message.rstrip('.')}" if field else error.message.rstrip(".")


def _read(row: Row, flags: Flags | None) -> tuple[Document, int]:
    """Read a row: the document and its value (0: nothing to list)."""
    if not row.scheme:
        raise BadInput("The scheme is missing.", where="/scheme")
    document = parse_document(
        DocumentFields(
            scheme=row.scheme,
            number=row.number or None,
            issuer=row.issuer or None,
            kind=row.kind or None,
            series=row.series or None,
            valid_from=row.valid_from or None,
            valid_until=row.valid_until or None,
        )
    )
    state = _STATES.get((row.state or row.status or "").strip())
    if state is None:
        raise BadInput("The state is not known.", where="/state")
    if row.reason and row.reason not in _REASONS:
        raise BadInput("The reason is not known.", where="/reason")
    if row.happened_at:
        _check_time(row.happened_at)
    flag = flags(document.coverage_name) if flags is not None else 0
    if state is State.current and not flag & WHOLE_LIFE:
        return document, 0
    return document, _value(state, document.valid_until_day or 0, flag)


_REASONS = frozenset(Event)
_value = cache(pack)


def _check_time(text: str) -> None:
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise BadInput("This is not a time with its zone.", where="/happened_at", mend="Write 2026-01-31T12:00:00Z.")
