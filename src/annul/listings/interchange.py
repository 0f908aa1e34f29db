"""Read lists in annul's interchange format: CSV, NDJSON or Parquet, one document a line.

Columns (members), all text, empty or absent when not given: scheme, issuer, kind, series, number, valid_from, valid_until
(YYYY-MM-DD, or `long-term`), state (a word of records.status.State, or a status code such as I20; `status` is accepted as
its name; empty or `current` lists nothing), reason (a word of records.status.Event), happened_at (RFC 3339).
A CSV file is UTF-8 with a header line, its columns separated by comma, semicolon, tab or bar; a record does not go over the end
of a line. What a file is, and how it is packed, is told by its first bytes. A column of a type that loses something is refused.
Source: docs/formats/listings.md.
"""

from __future__ import annotations

import csv
import datetime
import io
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from annul.errors import AnnulError, BadInput, TooLarge
from annul.listings.bulk import Chunk, Part, Reader
from annul.listings.columns import column_text, read_header, require_columns, rounded, split_line
from annul.listings.packing import head_of, unpacked
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
DAYS = frozenset({"valid_from", "valid_until"})
MOMENTS = frozenset({"happened_at"})
HEAD_BYTES = 64
"""Bytes that tell what a list is."""
_STATES: dict[str, State] = {"": State.current} | {code_of(s): s for s in State} | {s.name: s for s in State}


def interchange_list(path: Path, flags: Flags | None = None, *, leave_out: Collection[str] = ()) -> Reader:
    """Return a reader of a list, told by its first bytes: Parquet, NDJSON or CSV; text may be packed.

    Args:
        path: the file.
        flags: flags by coverage name; documents that are `current` are kept only where it gives WHOLE_LIFE.
        leave_out: columns or members, in lower case, that are no list's and may be passed over.

    Raises:
        BadInput: it cannot be read or unpacked.
    """
    head = head_of(path, HEAD_BYTES)
    if head.startswith(b"PAR1"):
        return lambda place, _lines: _parquet_chunks(path, place, flags, leave_out)
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        return lambda place, lines: _text_chunks(path, place, lines, _json_rows(leave_out), flags)
    return lambda place, lines: _text_chunks(path, place, lines, _csv_rows(path, leave_out), flags)


Rows = Callable[[list[bytes], int], Iterable[Row | str | None]]
"""Make of lines (and the number of the first) rows, causes of bad lines, or None for a line without a document."""


def _text_chunks(path: Path, place: int, lines: int, rows: Rows, flags: Flags | None) -> Iterator[Chunk]:
    with unpacked(path, place) as opened:
        file = io.BufferedReader(opened.file, PIECE_BYTES)  # type: ignore[type-var]
        while texts := file.readlines(PIECE_BYTES):
            place += sum(map(len, texts))
            yield _chunk(rows(texts, lines + 1), place, lines, opened.done() if opened.packing else place, flags)
            lines += len(texts)


def _csv_rows(path: Path, leave_out: Collection[str]) -> Rows:
    """Read the header, then return what makes rows of lines."""
    first, _, rest = head_of(path, 2 * LINE_BYTES_MAX).partition(b"\n")
    header = read_header(first, rest.partition(b"\n")[0], COLUMNS, path.name)
    _check_columns(header.names, f"{path.name}, line {header.lines}, separator {header.word}", leave_out)
    names, separator, lines_before = header.names, header.separator, header.lines
    taken = [place for place, name in enumerate(names) if name not in leave_out]
    kept = [names[place] for place in taken]

    def rows(texts: list[bytes], first: int) -> Iterator[Row | str | None]:
        for number, raw in enumerate(texts, first):
            if number <= lines_before:
                yield None
                continue
            if len(raw) > LINE_BYTES_MAX:
                yield "the line is too long"
                continue
            try:
                text = raw.decode().rstrip("\r\n")
                fields = split_line(text, separator)
            except (UnicodeDecodeError, csv.Error):
                yield "the line is not CSV in UTF-8"
                continue
            if not text.strip():
                yield "the line is empty"
            elif len(fields) != len(names):
                yield f"the line has another number of columns than the header (separator {header.word})"
            elif len(taken) == len(names):
                yield Row(**dict(zip(names, fields, strict=True)))
            else:
                yield Row(**dict(zip(kept, [fields[place] for place in taken], strict=True)))

    return rows


def _check_columns(names: list[str], where: str, leave_out: Collection[str] = ()) -> None:
    shown = tuple(name for name in COLUMNS if name != "status")
    state = "status" if "status" in names and "state" not in names else "state"
    require_columns(names, (*shown, "status"), ("scheme", "number", state), where, left_out=leave_out)


_decoder = msgspec.json.Decoder(Row)


_MEMBER = re.compile(r"[a-z][a-z_]{0,39}")
_WRONG = re.compile(r"Expected `(?P<wanted>[^`]+)`, got `(?P<got>\w+)`(?: - at `\$\.(?P<member>\w+)`)?")
_UNKNOWN = re.compile(r"unknown field `(?P<member>[^`]*)`")


def _json_rows(leave_out: Collection[str]) -> Rows:
    """Return what makes rows of lines of JSON."""
    decode = _decoder.decode

    def rows(texts: list[bytes], _first: int) -> Iterator[Row | str | None]:
        for raw in texts:
            if len(raw) > LINE_BYTES_MAX:
                yield "the line is too long"
            elif not raw.strip():
                yield "the line is empty"
            else:
                try:
                    yield _without(raw, leave_out) if leave_out else decode(raw)
                except msgspec.ValidationError as error:
                    yield _member_cause(str(error))
                except (msgspec.DecodeError, UnicodeDecodeError):
                    yield "the line is not JSON"

    return rows


def _without(raw: bytes, leave_out: Collection[str]) -> Row:
    members = msgspec.json.decode(raw, type=dict[str, Any])
    return msgspec.convert({name: value for name, value in members.items() if name not in leave_out}, Row)


def _member_cause(message: str) -> str:
    """Say which member is wrong and how; a name that is no plain word is not repeated, nor is any value."""
    if (unknown := _UNKNOWN.search(message)) and _MEMBER.fullmatch(unknown["member"]):
        return f"a list has no member {unknown['member']}"
    if (wrong := _WRONG.search(message)) and wrong["member"] in COLUMNS:
        return f"{wrong['member']}: This is {wrong['got']}, not text; a number loses its leading zeros"
    return "the line is not a JSON object with the members of a list"


def _parquet_chunks(path: Path, place: int, flags: Flags | None, leave_out: Collection[str]) -> Iterator[Chunk]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except (OSError, pa.ArrowException) as error:
        raise BadInput("This is not a Parquet file.", where=path.name, mend="Write it again.") from error
    with file:
        _check_columns([name.lower() for name in file.schema_arrow.names], path.name, leave_out)
        names = [name for name in file.schema_arrow.names if name.lower() not in leave_out]
        _refuse_types(file.schema_arrow, names, path.name)
        total, size, start = file.metadata.num_rows, path.stat().st_size, 0
        require_footer(file.metadata, size, path.name)
        for group in range(file.num_row_groups):
            count = file.metadata.row_group(group).num_rows
            if start + count > place:
                done = start
                batches = file.iter_batches(PARQUET_ROWS, row_groups=[group], columns=names, use_threads=False)
                while True:
                    try:
                        batch = next(batches, None)
                        if batch is None:
                            break
                        batch = batch.slice(max(0, place - done))  # what an interrupted import has
                        skipped = min(PARQUET_ROWS, max(0, place - done))
                        part = {n.lower(): _column(n.lower(), batch.column(n), path.name) for n in names}
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


def _column(name: str, column: Any, where: str) -> list[Text]:
    return column_text(name, column, where, days=DAYS, moments=MOMENTS)


def _refuse_types(schema: Any, names: list[str], where: str) -> None:
    """Refuse a type that loses something before a row is read: an empty column of each type says it."""
    import pyarrow as pa

    for name in names:
        _column(name.lower(), pa.array([], schema.field(name).type), where)


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
    for name, text in (("number", row.number), ("series", row.series)):
        if text and rounded(text):
            raise BadInput("A program has taken this for a quantity and rounded it.", where=f"/{name}")
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
