"""Read files of documents to be screened: CSV, NDJSON, Parquet or Arrow, a piece at a time, from any place on.

Columns (members), all text, empty or absent when not given: scheme, number, issuer, kind, series, valid_from, valid_until, and
name (of the holder), branch, terminal, clerk, reference. A CSV file is UTF-8 with a header line; a record does not go over the
end of a line. Source: docs/formats/screening.md.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from annul.errors import BadInput, TooLarge
from annul.listings.interchange import LINE_BYTES_MAX, require_footer
from annul.records.check import Question

PIECE_LINES: Final = 16_384
"""Lines read before their answers are made durable and written."""
DOCUMENT_COLUMNS: Final = ("scheme", "number", "issuer", "kind", "series", "valid_from", "valid_until")
CONTEXT_COLUMNS: Final = ("branch", "terminal", "clerk", "reference")
COLUMNS: Final = (*DOCUMENT_COLUMNS, "name", *CONTEXT_COLUMNS)

Fields = dict[str, str | None]


class FileLine(NamedTuple):
    """One line: its fields, or why it has none."""

    fields: Fields
    cause: str = ""


class Piece(NamedTuple):
    """Some lines, and where the next piece begins (bytes of a text, rows else); share: how much of the file is read, 0 to 1."""

    lines: list[FileLine]
    end: int
    share: float


def pieces(path: Path, place: int) -> Iterator[Piece]:
    """Read a file by the ending of its name (.csv, .ndjson, .jsonl, .parquet, .arrow, .feather) from a place on; 0: all of it.

    Raises:
        BadInput: the ending is another one, the columns are others, or the file is torn.
        TooLarge: a line is longer than LINE_BYTES_MAX, or the file unpacks to far more than it is.
    """
    ending = path.suffix.lower()
    read = _READERS.get(ending)
    if read is None:
        raise BadInput(
            "The format of the file cannot be told by its name.",
            where=path.name,
            mend="Name it .csv, .ndjson, .parquet or .arrow.",
        )
    try:
        if not path.is_file():
            raise BadInput("There is no such file.", where=path.name, mend="Name a file that can be read.")
        yield from read(path, place)
    except OSError as error:
        raise BadInput(f"The file cannot be read: {error.strerror}.", where=path.name, mend="Name another file.") from error


def question_of(fields: Fields, purpose: str, channel: str) -> Question:
    """Make the question of a line, under the rules of a single check's body.

    Raises:
        msgspec.ValidationError: a field is longer than a check's may be, or has control characters.
    """
    asked: dict[str, Any] = {"document": {name: fields[name] for name in DOCUMENT_COLUMNS if fields.get(name)}}
    asked |= {name: fields[name] for name in CONTEXT_COLUMNS if fields.get(name)}
    if fields.get("name"):
        asked["holder"] = {"name": fields["name"]}
    return msgspec.convert(asked | {"purpose": purpose, "channel": channel}, Question)


def _check_columns(names: list[str], where: str) -> None:
    if not set(names) <= set(COLUMNS) or len(set(names)) != len(names) or not {"scheme", "number"} <= set(names):
        raise BadInput(
            "The columns are not those of a file to be screened.",
            where=where,
            mend=f"Use {', '.join(COLUMNS)}; scheme and number are needed.",
        )


# -- texts -------------------------------------------------------------------------------------------------------------------


def _text_pieces(path: Path, place: int, read: Callable[[bytes], FileLine | None]) -> Iterator[Piece]:
    size = max(1, path.stat().st_size)
    with path.open("rb") as file:
        file.seek(place)
        while True:
            lines: list[FileLine] = []
            while len(lines) < PIECE_LINES and (raw := file.readline(LINE_BYTES_MAX + 1)):
                if len(raw) > LINE_BYTES_MAX:
                    raise TooLarge(
                        f"A line is longer than {LINE_BYTES_MAX // 1024} KiB.",
                        where=f"{path.name}, behind byte {place}",
                        mend="Write one document a line.",
                    )
                place += len(raw)
                line = read(raw)
                if line is not None:
                    lines.append(line)
            if not lines:
                return
            yield Piece(lines, place, place / size)


def _csv_pieces(path: Path, place: int) -> Iterator[Piece]:
    with path.open("rb") as file:
        raw = file.readline(LINE_BYTES_MAX)
    try:
        head = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput("The header line cannot be read.", where=f"{path.name}, line 1", mend="Save it as UTF-8.") from error
    names = [name.strip().lower() for name in next(csv.reader([head]), [])]
    _check_columns(names, f"{path.name}, line 1")

    def read(raw: bytes) -> FileLine | None:
        try:
            text = raw.decode().rstrip("\r\n")
            fields = next(csv.reader([text], strict=True)) if '"' in text else text.split(",")
        except (UnicodeDecodeError, csv.Error):
            return FileLine({}, "The line is not CSV in UTF-8.")
        if not text.strip():
            return FileLine({}, "The line is empty.")
        if len(fields) != len(names):
            return FileLine({}, "The line has another number of columns than the header.")
        return FileLine(dict(zip(names, fields, strict=True)))

    return _text_pieces(path, place or len(raw), read)


_decode: Final = msgspec.json.Decoder(dict[str, str | None]).decode


def _json_pieces(path: Path, place: int) -> Iterator[Piece]:
    def read(raw: bytes) -> FileLine | None:
        try:
            fields = _decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return FileLine({}, "The line is not a JSON object of texts.")
        if not set(fields) <= set(COLUMNS):
            return FileLine({}, "The line has a member that no file to be screened has.")
        return FileLine(fields)

    return _text_pieces(path, place, read)


# -- columns -----------------------------------------------------------------------------------------------------------------


def _parquet_pieces(path: Path, place: int) -> Iterator[Piece]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except pa.ArrowException as error:
        raise _torn("This is no whole Parquet file.", path) from error
    with file:
        _check_columns(file.schema_arrow.names, path.name)
        require_footer(file.metadata, path.stat().st_size, path.name)
        yield from _batch_pieces(path, place, file.metadata.num_rows, file.iter_batches(PIECE_LINES, use_threads=False))


def _arrow_pieces(path: Path, place: int) -> Iterator[Piece]:
    import pyarrow as pa

    with pa.memory_map(str(path)) as source:
        try:
            file = pa.ipc.open_file(source)
            count = sum(file.get_batch(number).num_rows for number in range(file.num_record_batches))
        except pa.ArrowException as error:
            raise _torn("This is no whole Arrow file.", path) from error
        _check_columns(file.schema.names, path.name)
        if count * len(COLUMNS) > path.stat().st_size * 8:  # a column without values takes a bit a row
            raise TooLarge("The file unpacks to far more than its size.", where=path.name, mend="Send it less packed.")
        batches = (file.get_batch(number) for number in range(file.num_record_batches))
        cut = (batch.slice(at, PIECE_LINES) for batch in batches for at in range(0, batch.num_rows, PIECE_LINES))
        yield from _batch_pieces(path, place, count, cut)


def _batch_pieces(path: Path, place: int, count: int, batches: Iterator[Any]) -> Iterator[Piece]:
    import pyarrow as pa
    import pyarrow.compute as pc

    at = 0
    while True:
        try:
            batch = next(batches, None)
            if batch is None:
                return
            skipped = min(batch.num_rows, max(0, place - at))
            names = batch.schema.names
            at += batch.num_rows
            columns = [pc.cast(batch.column(name).slice(skipped), pa.string()).to_pylist() for name in names]
        except (OSError, pa.ArrowException) as error:
            raise _torn("A part of the file cannot be read as text.", path) from error
        if batch.num_rows > skipped:
            lines = [FileLine(dict(zip(names, row, strict=True))) for row in zip(*columns, strict=True)]
            yield Piece(lines, at, at / max(1, count))


def _torn(message: str, path: Path) -> BadInput:
    return BadInput(message, where=path.name, mend="Write it again.")


_READERS: Final[dict[str, Callable[[Path, int], Iterator[Piece]]]] = {
    ".csv": _csv_pieces,
    ".ndjson": _json_pieces,
    ".jsonl": _json_pieces,
    ".parquet": _parquet_pieces,
    ".arrow": _arrow_pieces,
    ".feather": _arrow_pieces,
}
