"""The table of names: keyed tags of numbers and names beside the listings, which the check path looks into.

Two kinds of slot lie in `<home>/people`, in the same form of table as the listings: for each number of a person "this number
is known" (with the flag "a portrait is on record"), and for each number and normal form of a name "these belong together".
The follower is the one writer. What it holds can be made anew from the register's rows at any time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import psycopg
from psycopg.rows import TupleRow

from annul import logs
from annul.errors import Corrupt
from annul.home import Home
from annul.listings import ListingsWriter
from annul.records.entry import Entry, EntryKind
from annul.records.person import PersonBody
from annul.registry.people import KNOWN, NAME, PHOTO
from annul.registry.people.rows import IN_FORCE

CHUNK: Final = 20_000
"""Rows of an import taken up in one turn of the follower: some 50 ms, so that no report has to wait behind an import."""

Words = npt.NDArray[np.uint64]
Database = psycopg.Connection[TupleRow]

_log = logs.get("follower")


class NameTable:
    """Keep the table of names equal to the register of persons; for the follower alone.

    Args:
        home: data folder.
    """

    def __init__(self, home: Home) -> None:
        self._folder = home.people
        self._writer: ListingsWriter | None = None
        self._taken: dict[str, int] = {}

    def open(self, db: Database, position: int, as_of_us: int) -> None:
        """Open the table; make it anew when it is missing, not to be trusted, or behind the listings.

        Args:
            position: position the listings have applied; the table of names is never behind them.
        """
        if self._writer is None:
            try:
                self._writer = ListingsWriter(self._folder)
            except Corrupt as error:
                _log.warning("the table of names is rebuilt", code=error.code, where=error.where)
                self.rebuild(db, as_of_us)
                return
        if self._writer.position < position:
            self.rebuild(db, as_of_us)

    def rebuild(self, db: Database, as_of_us: int) -> None:
        """Make the table anew from the register's rows, as of one snapshot of the database."""
        self.close()
        with db.transaction():
            db.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            head = db.execute("SELECT next_position - 1 FROM log_head").fetchone()
            assert head is not None
            self._writer = ListingsWriter.rebuild(self._folder, _all_slots(db), position=head[0], as_of_us=as_of_us)

    def apply(self, db: Database, entries: list[tuple[int, Entry]], as_of_us: int) -> None:
        """Take entries up; call it before the listings say that they have them."""
        assert self._writer is not None
        changed = [PersonBody.decode(entry.body).person for _, entry in entries if entry.kind is EntryKind.person]
        if any(entry.kind is EntryKind.rotation for _, entry in entries):
            self.rebuild(db, as_of_us)
        elif changed:
            self._refresh(db, changed)
        self._writer.set_applied(max(entries[-1][0], self._writer.position), as_of_us)

    def take_imports(self, db: Database) -> int:
        """Take a part of an import up, or take one back; return the rows done. Call it again while there are any."""
        found = db.execute(
            "SELECT id, state, first_id, last_id FROM person_import WHERE NOT applied AND state IN ('in_force', 'undone') "
            "ORDER BY position LIMIT 1"
        ).fetchone()
        if found is None:
            return 0
        import_id, state, first, last = found
        after = self._taken.get(import_id, first - 1)
        rows = db.execute(
            "SELECT id, realm, person_key, holder_keys, name_tags, photo FROM person_record "
            "WHERE id > %s AND id <= %s AND import_id = %s ORDER BY id LIMIT %s",
            (after, last, import_id, CHUNK),
        ).fetchall()
        if not rows:
            db.execute("UPDATE person_import SET applied = true WHERE id = %s", (import_id,))
            self._taken.pop(import_id, None)
            return 1
        if state == "in_force":
            self._put([row[3:] for row in rows])
        else:
            self._take_back(db, rows)
        self._taken[import_id] = rows[-1][0]
        return len(rows)

    def close(self) -> None:
        """Close the table; it survives a restart of the machine."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _refresh(self, db: Database, ids: list[int]) -> None:
        """Make the slots of these persons, and of others with their numbers, what the rows say now."""
        gone = db.execute(
            "SELECT v.holder_keys, v.name_tags, false, v.person_key, r.realm FROM person_version v "
            "JOIN person_record r ON r.id = v.person_id WHERE v.person_id = ANY(%s)",
            (ids,),
        ).fetchall()
        gone += db.execute(
            "SELECT holder_keys, name_tags, false, person_key, realm FROM person_record WHERE id = ANY(%s)", (ids,)
        ).fetchall()
        self._put([row[:3] for row in gone], clear=True)
        self._put_living(db, {(row[4], row[3]) for row in gone})
        # Of those erased nothing is needed any more; a crash before this line repeats all of it.
        erased = "SELECT id FROM person_record WHERE id = ANY(%s) AND wrapped_key IS NULL"
        db.execute(f"UPDATE person_version SET holder_keys = '', name_tags = '' WHERE person_id IN ({erased})", (ids,))
        db.execute(f"UPDATE person_record SET holder_keys = '', name_tags = '' WHERE id IN ({erased})", (ids,))

    def _take_back(self, db: Database, rows: list[tuple[Any, ...]]) -> None:
        self._put([row[3:] for row in rows], clear=True)
        db.execute("DELETE FROM person_record WHERE id = ANY(%s)", ([row[0] for row in rows],))
        self._put_living(db, {(row[1], row[2]) for row in rows})

    def _put_living(self, db: Database, numbers: set[tuple[int, bytes]]) -> None:
        """Put what every living record with one of these numbers says: a number may have several."""
        for realm in {realm for realm, _ in numbers}:
            keys = [key for of, key in numbers if of == realm]
            rows = db.execute(
                "SELECT holder_keys, name_tags, photo FROM person_record "
                f"WHERE realm = %s AND person_key = ANY(%s) AND wrapped_key IS NOT NULL AND {IN_FORCE}",
                (realm, keys),
            ).fetchall()
            self._put(rows)

    def _put(self, rows: list[tuple[Any, ...]], *, clear: bool = False) -> None:
        assert self._writer is not None
        if rows:
            keys, values = _slots(rows)
            self._writer.put(keys, np.zeros_like(values) if clear else values)


def _slots(rows: list[tuple[Any, ...]]) -> tuple[bytes, Words]:
    """Return the slots of rows (holder_keys, name_tags, photo)."""
    holders = b"".join(row[0] for row in rows)
    names = b"".join(row[1] for row in rows)
    counts = np.fromiter((len(row[0]) // 16 for row in rows), np.int64, len(rows))
    photos = np.fromiter((row[2] for row in rows), np.uint64, len(rows))
    known = np.repeat(photos * np.uint64(PHOTO) + np.uint64(KNOWN), counts)
    return holders + names, np.concatenate((known, np.full(len(names) // 16, NAME, np.uint64)))


def _all_slots(db: Database) -> Iterator[tuple[bytes, Words]]:
    """Yield the slots of every person in force, in batches; call it inside one snapshot of the database."""
    with db.cursor(name="all_names") as cursor:
        cursor.itersize = CHUNK
        cursor.execute(f"SELECT holder_keys, name_tags, photo FROM person_record WHERE wrapped_key IS NOT NULL AND {IN_FORCE}")
        while rows := cursor.fetchmany(CHUNK):
            yield _slots(rows)
