"""Read lists of persons: CSV, NDJSON or Parquet become persons, line by line; a bad line becomes its cause.

What separates the columns of a CSV, and how text is packed, is told by the file itself; a Parquet column of a type that loses
something (a number as integer) is refused by its name.
Columns and members: docs/formats/person-interchange.md. Nothing of a bad line is repeated anywhere, only its number.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from annul.errors import BadInput
from annul.listings.columns import column_text, read_header, require_columns
from annul.listings.interchange import require_footer
from annul.listings.packing import head_of, unpacked
from annul.records.document import DocumentFields
from annul.records.names import NAME_MAX
from annul.records.person import NUMBER_MAX, Blocks, Contact, Name, Person, blocks_of

Format = Literal["csv", "ndjson", "parquet"]
Read = tuple[Person, Blocks]
Line = tuple[int, Read | str]
"""Number of a line (of a row in Parquet), from 1, and the person in it with its blocks, or why there is none."""
Batches = Iterable[list[Line]]

LINE_BYTES_MAX: Final = 64 * 1024
BATCH: Final = 5_000
COLUMNS: Final = (
    "personal_number",
    "name",
    "latin_name",
    "former_names",
    "sex",
    "birth_date",
    "death_date",
    "place",
    "status",
    "documents",
    "phone",
    "email",
    "mother",
    "father",
    "origin",
)
NEEDED: Final = ("personal_number", "name")
DAYS: Final = frozenset({"birth_date", "death_date"})
FORMER_SEPARATOR: Final = "|"

_documents = msgspec.json.Decoder(list[DocumentFields]).decode
_person = msgspec.json.Decoder(Person).decode
_STATUSES: Final = {"": "living", "living": "living", "deceased": "deceased", "emigrated": "emigrated"}
_SEXES: Final = frozenset({"", "F", "M", "X"})


def format_of(file: Path) -> Format:
    """Tell the format by the file's first bytes, unpacked.

    Raises:
        BadInput: it cannot be read.
    """
    head = head_of(file, 64)
    if head.startswith(b"PAR1"):
        return "parquet"
    return "ndjson" if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{") else "csv"


def read_persons(file: Path, format: Format, progress: Callable[[int], None]) -> Iterator[list[Line]]:
    """Yield the lines of a list in batches.

    Args:
        progress: called with the bytes read since its last call.

    Raises:
        BadInput: the file cannot be read as a whole: no such file, no header, columns that are not known.
    """
    try:
        yield from {"csv": _csv, "ndjson": _ndjson, "parquet": _parquet}[format](file, progress)
    except OSError as error:
        raise BadInput(f"The list cannot be read: {error.strerror}.", where="list") from None


def read_one(person: Person) -> Read | str:
    """Return a person with its blocks, or why it cannot be entered."""
    blocks = blocks_of(person)
    return blocks if isinstance(blocks, str) else (person, blocks)


def _ndjson(file: Path, progress: Callable[[int], None]) -> Iterator[list[Line]]:
    lines: list[Line] = []
    size = number = 0
    with unpacked(file) as opened:
        source = io.BufferedReader(opened.file)  # type: ignore[type-var]
        while line := source.readline(LINE_BYTES_MAX + 1):
            number += 1
            size += len(line)
            if len(line) > LINE_BYTES_MAX:
                while not line.endswith(b"\n") and (line := source.readline(LINE_BYTES_MAX)):
                    size += len(line)
                lines.append((number, "line-too-long"))
            elif line.strip():
                try:
                    lines.append((number, read_one(_person(line))))
                except msgspec.ValidationError:
                    lines.append((number, "members"))
                except (msgspec.DecodeError, UnicodeDecodeError):
                    lines.append((number, "not-json"))
            if len(lines) >= BATCH:
                yield lines
                progress(size)
                lines, size = [], 0
    yield lines
    progress(size)


def _csv(file: Path, progress: Callable[[int], None]) -> Iterator[list[Line]]:
    lines: list[Line] = []
    size = file.stat().st_size
    done = 0
    with unpacked(file) as opened:
        plain = io.BufferedReader(opened.file)  # type: ignore[type-var]
        first = plain.readline(LINE_BYTES_MAX)
        second = plain.readline(LINE_BYTES_MAX) if first[:4].lower() == b"sep=" else b""
        header = read_header(first, second, COLUMNS, file.name)
        places = _places(header.names, f"line {header.lines}, separator {header.word}")
        # A byte that is no UTF-8 becomes U+FFFD, which no name and no number may hold: its line is refused, not the list.
        source = io.TextIOWrapper(plain, encoding="utf-8", errors="replace", newline="")
        rows = csv.reader(source, delimiter=header.separator, strict=True)
        pick = itemgetter(*places)
        width = len(header.names)
        while True:
            try:
                row = next(rows)
            except StopIteration:
                break
            except csv.Error:
                lines.append((rows.line_num + header.lines, "columns"))
                continue
            if len(row) == width:
                row.append("")  # stands for the columns that are not there
                lines.append((rows.line_num + header.lines, _of_columns(pick(row))))
            elif row:
                lines.append((rows.line_num + header.lines, "columns"))
            if len(lines) >= BATCH:
                yield lines
                at = opened.done()
                progress(at - done)
                lines, done = [], at
    yield lines
    progress(size - done)


def _parquet(file: Path, progress: Callable[[int], None]) -> Iterator[list[Line]]:
    # Imported here: only imports from Parquet need it.
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        source = pq.ParquetFile(file)
    except pa.ArrowException:
        raise BadInput("The list is not Parquet.", where="list") from None
    size = file.stat().st_size
    require_footer(source.metadata, size, file.name)
    names = [name.lower() for name in source.schema_arrow.names]
    places = _places(names, file.name)
    total = max(1, source.metadata.num_rows)
    number = 0
    for batch in source.iter_batches(BATCH, use_threads=False):
        columns = [
            column_text(names[at], batch.column(at), file.name, days=DAYS, moments=()) if at >= 0 else [""] * batch.num_rows
            for at in places
        ]
        lines: list[Line] = []
        for row in zip(*columns, strict=True):
            number += 1
            lines.append((number, _of_columns([value or "" for value in row])))
        yield lines
        progress(size * batch.num_rows // total)


def _places(header: list[str], where: str) -> list[int]:
    require_columns(header, COLUMNS, NEEDED, where)
    return [header.index(name) if name in header else -1 for name in COLUMNS]


def _of_columns(row: Sequence[str]) -> Read | str:
    """Return the person of a row (in the order of COLUMNS), or why there is none."""
    number, name, latin, former, sex, born, died, place, status, documents, phone, email, mother, father, origin = row
    if not number:
        return "number-missing"
    if not name:
        return "name-missing"
    if sex not in _SEXES:
        return "sex"
    if status not in _STATUSES:
        return "status"
    if len(number) > NUMBER_MAX or len(f"{name}{latin}{place}{origin}{phone}{email}{mother}{father}") > NAME_MAX:
        if len(name) > NAME_MAX or len(latin) > NAME_MAX:
            return "name-too-long"
        if len(number) > NUMBER_MAX or max(map(len, (place, origin, phone, email, mother, father))) > NAME_MAX:
            return "text-too-long"
    names = [Name(name)]
    if latin:
        names.append(Name(latin, "latin"))
    if former:
        names += [Name(text, "former") for text in former.split(FORMER_SEPARATOR)[:10] if text]
    try:
        named = _documents(documents) if documents else []
    except (msgspec.DecodeError, UnicodeEncodeError):
        return "document-unusable"
    contacts = [Contact("phone", phone)] if phone else []
    if email:
        contacts.append(Contact("email", email))
    life: Any = _STATUSES[status]
    return read_one(
        Person(
            personal_number=number,
            names=names,
            sex=sex,  # type: ignore[arg-type]
            birth_date=born,
            death_date=died,
            place=place,
            status=life,
            documents=named,
            contacts=contacts,
            mother=mother,
            father=father,
            origin=origin,
        )
    )
