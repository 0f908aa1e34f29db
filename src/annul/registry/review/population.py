"""Open the whole register once, in two processes, as columns: what the rules across records and the linkage need.

Details exist here in clear, in memory, for the time of a run; nothing of it is written to disk. All processes read one
snapshot of the database, so that a change during the run cannot look like a contradiction.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from multiprocessing.connection import Connection as Pipe
from multiprocessing.connection import wait
from typing import Any, Final

import psycopg
import pyarrow as pa
from psycopg.rows import TupleRow

from annul.errors import Corrupt
from annul.home import Home
from annul.records.names import normal_forms
from annul.records.person import Person
from annul.registry.people.rows import READ_ROWS, PersonRow, read_all
from annul.registry.people.vault import Vault
from annul.registry.review.facts import FACTS_BYTES, facts_of
from annul.registry.review.rules import faults, normal, region_of, whole_number
from annul.registry.review.spelling import Spelt, address_of, folded, numbers_of, papers_of, reach_of, spell
from annul.registry.writing.store import connect

PROCESSES: Final = 2

Database = psycopg.Connection[TupleRow]
Progress = Callable[[int], None]

_TEXTS: Final = (
    "number", "whole", "main", *Spelt._fields, "sex", "birth", "death", "place", "region", "mother", "father", "phone", "address",
    "origin",
)  # fmt: skip
_LISTS: Final = ("forms", "reach", "papers")
SCHEMA: Final = pa.schema(
    [("id", pa.int64()), ("facts", pa.binary(FACTS_BYTES)), ("dead", pa.bool_())]
    + [(name, pa.string()) for name in _TEXTS]
    + [(name, pa.list_(pa.string())) for name in _LISTS]
)
"""Columns of the population; texts are empty where the record says nothing. `whole` is the number as it is compared, `forms` are
all normal forms of all names, `reach` telephones and e-mail addresses, `phone` the first of them, `papers` what stands for documents;
the parts of the name: `Spelt`."""


@dataclass(frozen=True, slots=True)
class Population:
    """Hold what one run works on.

    Args:
        persons: one row a record, see SCHEMA.
        broken: ids of records that contradict themselves, with the rules.
    """

    persons: pa.Table
    broken: list[tuple[int, list[str]]]


def read_population(
    db: Database,
    conninfo: str,
    home: Home,
    realm: int,
    key: bytes,
    today: date,
    progress: Progress,
    *,
    processes: int = PROCESSES,
) -> Population:
    """Open every record in force and return the population as of one snapshot.

    Args:
        db: connection inside a REPEATABLE READ transaction, whose snapshot is read.
        key: see `facts_key`.
        progress: called with the records read since its last call.

    Raises:
        Corrupt: a record does not open, or a reading process ended.
    """
    row = db.execute("SELECT coalesce(max(id), 0) FROM person_record WHERE realm = %s", (realm,)).fetchone()
    assert row is not None
    last = int(row[0])
    found = db.execute("SELECT pg_export_snapshot()").fetchone()
    assert found is not None
    snapshot = str(found[0])
    if processes == 1 or last < 4 * READ_ROWS:
        pieces = list(_read(db, Vault(home), realm, key, today, None))
        for table, _ in pieces:
            progress(len(table))
    else:
        step = -(-last // processes)
        ranges = [(low, min(low + step, last)) for low in range(0, last, step)]
        pieces = _read_in_processes(conninfo, home, realm, key, today, snapshot, ranges, progress)
    tables = [table for table, _ in pieces]
    persons = pa.concat_tables(tables) if tables else SCHEMA.empty_table()
    return Population(persons.sort_by("id"), [each for _, broken in pieces for each in broken])


Piece = tuple[pa.Table, list[tuple[int, list[str]]]]


def _read_in_processes(
    conninfo: str, home: Home, realm: int, key: bytes, today: date, snapshot: str, ranges: Sequence[tuple[int, int]],
    progress: Progress,
) -> list[Piece]:  # fmt: skip
    context = multiprocessing.get_context("spawn")
    pipes: list[Pipe] = []
    readers = []
    for span in ranges:
        ours, theirs = context.Pipe(duplex=False)
        reader = context.Process(target=_reader, args=(theirs, conninfo, home, realm, key, today, snapshot, span), daemon=True)
        reader.start()
        theirs.close()
        pipes.append(ours)
        readers.append(reader)
    pieces: list[Piece] = []
    try:
        while pipes:
            for pipe in list(wait(pipes)):
                assert isinstance(pipe, Pipe)
                try:
                    said: Any = pipe.recv()
                except EOFError:
                    raise Corrupt("A process that read the register of persons ended before it was done.") from None
                if said is None:
                    pipes.remove(pipe)
                elif isinstance(said, BaseException):
                    raise said
                else:
                    raw, broken = said
                    table = pa.ipc.open_stream(raw).read_all()
                    pieces.append((table, broken))
                    progress(len(table))
    finally:
        for reader in readers:
            reader.terminate()
            reader.join()
    return pieces


def _reader(
    pipe: Pipe, conninfo: str, home: Home, realm: int, key: bytes, today: date, snapshot: str, span: tuple[int, int]
) -> None:
    """Read one span of ids in a process of its own and send it in pieces; errors are sent too."""
    try:
        with connect(conninfo) as db, db.transaction():
            db.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            db.execute(f"SET TRANSACTION SNAPSHOT '{snapshot}'")
            for table, broken in _read(db, Vault(home), realm, key, today, span):
                sink = pa.BufferOutputStream()
                with pa.ipc.new_stream(sink, SCHEMA) as writer:
                    writer.write_table(table)
                pipe.send((sink.getvalue().to_pybytes(), broken))
        pipe.send(None)
    except Exception as error:  # noqa: BLE001 - it goes to the parent, which raises it
        pipe.send(error)


def _read(db: Database, vault: Vault, realm: int, key: bytes, today: date, span: tuple[int, int] | None) -> Iterator[Piece]:
    with fewer_collections():
        for batch in read_all(db, vault, realm, span=span):
            yield _columns(batch, key, today)


def _columns(batch: Sequence[tuple[PersonRow, Person]], key: bytes, today: date) -> Piece:
    broken = []
    lines: list[tuple[Any, ...]] = []
    for row, person in batch:
        own = faults(person, today)
        if own:
            broken.append((row.id, own))
        lines.append((row.id, facts_of(person, key), person.status == "deceased", *_texts(person), *_lists(person)))
    columns: list[Any] = list(zip(*lines, strict=True)) if lines else [()] * len(SCHEMA)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=SCHEMA), broken


def _texts(person: Person) -> tuple[str, ...]:
    """Return the columns of _TEXTS."""
    number, whole = numbers_of(person)
    read = normal_forms(person.names[0].text)
    main = read[0] if read else ""
    return (
        number,
        whole,
        main,
        *spell(person, main),
        person.sex,
        person.birth_date,
        person.death_date,
        person.place if person.place.isdigit() else folded(person.place),
        region_of(person),
        whole_number(normal(person.mother)) if person.mother else "",
        whole_number(normal(person.father)) if person.father else "",
        next(iter(reach_of(person)), ""),
        address_of(person),
        person.origin,
    )


def _lists(person: Person) -> tuple[list[str], ...]:
    """Return the columns of _LISTS."""
    forms = dict.fromkeys(form for name in person.names for form in normal_forms(name.text))
    return list(forms), reach_of(person), papers_of(person)


@contextlib.contextmanager
def fewer_collections() -> Iterator[None]:
    """Look for cycles less often while millions of short-lived objects without any come and go."""
    before = gc.get_threshold()
    gc.set_threshold(500_000, 50, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)
