"""Read lists of persons: CSV, NDJSON or Parquet become persons, line by line; a bad line becomes its cause.

Columns and members: docs/formats/person-interchange.md. Nothing of a bad line is repeated anywhere, only its number.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from annul.errors import BadInput
from annul.listings.interchange import require_footer
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
NEEDED: Final = frozenset({"personal_number", "name"})
FORMER_SEPARATOR: Final = "|"

_documents = msgspec.json.Decoder(list[DocumentFields]).decode
_person = msgspec.json.Decoder(Person).decode
_STATUSES: Final = {"": "living", "living": "living", "deceased": "deceased", "emigrated": "emigrated"}
_SEXES: Final = frozenset({"", "F", "M", "X"})


def format_of(file: Path) -> Format:
    """Tell the format by the file's name.

    Raises:
        BadInput: it has none of the known endings.
    """
    known: dict[str, Format] = {".csv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson", ".parquet": "parquet"}
    found = known.get(file.suffix.lower())
    if found is None:
        raise BadInput("The format of the list is not known.", where=file.suffix, mend="Use .csv, .ndjson or .parquet.")
    return found


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
    with file.open("rb") as source:
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
    with file.open("rb") as raw:
        size = raw.seek(0, 2)
    done = 0
    # A byte that is no UTF-8 becomes U+FFFD, which no name and no number may hold: its line is refused, not the list.
    with file.open(encoding="utf-8-sig", errors="replace", newline="") as source:
        rows = csv.reader(source, strict=True)
        header = [name.strip().lower() for name in next(rows, [])]
        pick = itemgetter(*_places(header))
        width = len(header)
        while True:
            try:
                row = next(rows)
            except StopIteration:
                break
            except csv.Error:
                lines.append((rows.line_num, "columns"))
                continue
            if len(row) == width:
                row.append("")  # stands for the columns that are not there
                lines.append((rows.line_num, _of_columns(pick(row))))
            elif row:
                lines.append((rows.line_num, "columns"))
            if len(lines) >= BATCH:
                yield lines
                at = os.lseek(source.fileno(), 0, os.SEEK_CUR)
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
    places = _places([name.lower() for name in source.schema_arrow.names])
    total = max(1, source.metadata.num_rows)
    number = 0
    for batch in source.iter_batches(BATCH, use_threads=False):
        columns = [batch.column(at).to_pylist() if at >= 0 else [""] * batch.num_rows for at in places]
        lines: list[Line] = []
        for row in zip(*columns, strict=True):
            number += 1
            lines.append((number, _of_columns(["" if value is None else str(value) for value in row])))
        yield lines
        progress(size * batch.num_rows // total)


def _places(header: list[str]) -> list[int]:
    unknown = sorted(set(header) - set(COLUMNS))
    if unknown or not set(header) >= NEEDED or len(set(header)) != len(header):
        raise BadInput(
            "The columns of the list are not those of persons.",
            where="line 1",
            mend=f"Name personal_number and name, and of the others what there is: {', '.join(COLUMNS)}.",
        )
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
