"""Open the whole register once, in two processes, as columns: what the rules across records and the linkage need.

Details exist here in clear, in memory, for the time of a run; nothing of it is written to disk. All processes read one
snapshot of the database, so that a change during the run cannot look like a contradiction.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import multiprocessing
import os
import resource
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from multiprocessing.connection import Connection as Pipe
from multiprocessing.connection import wait
from pathlib import Path
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
    "number",
    "whole",
    "main",
    *Spelt._fields,
    "sex",
    "birth",
    "death",
    "place",
    "region",
    "mother",
    "father",
    "phone",
    "address",
    "origin",
)
_LISTS: Final = ("forms", "reach", "papers")
SCHEMA: Final = pa.schema(
    [("id", pa.int64()), ("facts", pa.binary(FACTS_BYTES)), ("dead", pa.bool_())]
    + [(name, pa.string()) for name in _TEXTS]
    + [(name, pa.list_(pa.string())) for name in _LISTS]
)
"""Columns of the population; texts are empty where the record says nothing. `whole` is the number as it is compared, `forms`
all normal forms of all names, `reach` telephones and e-mail addresses, `phone` the first of them, `papers` what stands for
documents; the parts of the name: `Spelt`."""


ABOUT: Final = ("id", "facts", "region")
"""Columns that are kept beside the DuckDB table: what a suspicion's row needs."""
MEMORY_LEAST: Final = 512 * 1024**2
MEMORY_SHARE: Final = 0.5
"""Of what the machine, the limits of the process and the pages of others leave."""
THREADS: Final = 2


@dataclass(frozen=True, slots=True)
class Population:
    """Hold what one run works on.

    Args:
        held: DuckDB connection, in memory, with the table `person`: one row a record, see SCHEMA.
        about: for each record the columns of ABOUT, by id.
        broken: ids of records that contradict themselves, with the rules.
    """

    held: Any
    about: pa.Table
    broken: list[tuple[int, list[str]]]

    def __len__(self) -> int:
        return len(self.about)

    def fingerprint(self, key: bytes) -> str:
        """Return a keyed hash of all that was read: the same population gives the same slices and links."""
        told = self.held.execute("SELECT count(*), bit_xor(hash(p)), sum(hash(p)::hugeint) FROM person p").fetchall()
        return hashlib.blake2b(repr(told).encode(), key=key[:32], digest_size=16).hexdigest()


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
    held = open_engine()
    held.register("piece", SCHEMA.empty_table())
    held.execute("CREATE TABLE person AS SELECT * FROM piece")
    if processes == 1 or last < 4 * READ_ROWS:
        pieces: Iterator[Piece] = _read(db, Vault(home), realm, key, today, None)
    else:
        step = -(-last // processes)
        ranges = [(low, min(low + step, last)) for low in range(0, last, step)]
        pieces = _read_in_processes(conninfo, home, realm, key, today, snapshot, ranges)
    about, broken = [SCHEMA.empty_table().select(ABOUT)], []
    for table, own in pieces:  # each piece is held once: a nation's columns twice would be its memory twice
        held.register("piece", table)
        held.execute("INSERT INTO person SELECT * FROM piece")
        about.append(table.select(ABOUT))
        broken += own
        progress(len(table))
    held.unregister("piece")
    return Population(held, pa.concat_tables(about).combine_chunks().sort_by("id"), broken)


def open_engine() -> Any:
    """Return a DuckDB connection in memory, which writes nothing to disk and takes a share of the memory there is."""
    import duckdb

    memory = max(MEMORY_LEAST, int(memory_left() * MEMORY_SHARE))
    held = duckdb.connect(
        config={
            "memory_limit": f"{memory // 1024**2}MiB",
            "threads": THREADS,
            "temp_directory": "",
            "preserve_insertion_order": False,
        }
    )
    held.execute("SET enable_progress_bar = false")
    return held


def memory_left() -> int:
    """Return the bytes that this process may still take: of the machine, its control group and its own limits."""
    left = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
        left.append(next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")))
    with contextlib.suppress(OSError, ValueError):
        group = Path("/sys/fs/cgroup")
        left.append(int((group / "memory.max").read_text("ascii")) - int((group / "memory.current").read_text("ascii")))
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY:
        with contextlib.suppress(OSError, ValueError):
            taken = int(Path("/proc/self/statm").read_text("ascii").split()[0]) * os.sysconf("SC_PAGE_SIZE")
            left.append(limit - taken)
    return max(0, min(left))


Piece = tuple[pa.Table, list[tuple[int, list[str]]]]


def _read_in_processes(
    conninfo: str, home: Home, realm: int, key: bytes, today: date, snapshot: str, ranges: Sequence[tuple[int, int]]
) -> Iterator[Piece]:
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
                    yield table, broken
    finally:
        for reader in readers:
            reader.terminate()
            reader.join()


def _reader(
    pipe: Pipe, conninfo: str, home: Home, realm: int, key: bytes, today: date, snapshot: str, span: tuple[int, int]
) -> None:
    """Read one span of ids in a process of its own and send it in pieces; errors are sent too."""
    try:
        with connect(conninfo, patient=True) as db, db.transaction():
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
            yield columns(batch, key, today)


def columns(batch: Sequence[tuple[PersonRow, Person]], key: bytes, today: date) -> Piece:
    """Return opened records as columns (SCHEMA), and the ids of those that contradict themselves with the rules."""
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
