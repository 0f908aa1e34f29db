"""Read from the register which documents an edition covers, and what the register says of each: one snapshot, one position.

What an edition says is what a check says of the same position: the standing facts of the row and of the bulk events in force.
Not part of it are dates that run out by themselves (the bearer's document shows them) and unlocks for a time (a locked
document is listed; offline nobody can open it).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
import psycopg

from annul.edge.edition import NO_QUARTER, cohort_name, quarter_of
from annul.errors import Conflict, NotFound
from annul.home import Home
from annul.records.carried import POINT_BYTES, EditionKey, SealedKeys
from annul.records.document import SCHEMES
from annul.records.entry import EntryKind, decode
from annul.registry.editions.build import Codes, Cohort, Words
from annul.registry.editions.saying import code_of_standing
from annul.registry.writing.segments import Segments
from annul.times import DAY_US

Pointing = Callable[[bytes], Words]

ROWS: Final = 50_000
"""Rows taken from the database at a time."""
POSITION_MAX: Final = (1 << 63) - 1
_COLUMNS: Final = "coverage, kind, valid_from_day, document_key, carried_key, standing, disputed, overrides_bulk"


@dataclass(frozen=True, slots=True)
class Universe:
    """What an edition is built from.

    Attributes:
        position, recorded_at_us: of the last entry of the register log it takes into account.
        last_day: last day of issue it covers; the day before that of the last entry, so that no issue of it is still to come.
        cohorts: documents by cohort.
        whole: the issuer provides whole lives, so what is not listed was looked at; else listings alone are known.
        left_out: documents recorded before there were carried keys; their cohorts are not covered.
    """

    scheme: str
    position: int
    recorded_at_us: int
    key_epoch: int
    last_day: int
    whole: bool
    cohorts: tuple[Cohort, ...]
    left_out: int


@contextmanager
def snapshot(db: psycopg.Connection[Any]) -> Iterator[tuple[int, int, int]]:
    """Hold one state of the register; yields position, time of recording and key epoch of its last entry."""
    with db.transaction():
        db.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        head = db.execute("SELECT next_position - 1, recorded_at_us, key_epoch FROM log_head").fetchone()
        assert head is not None
        yield int(head[0]), int(head[1]), int(head[2])


def read_universe(
    db: psycopg.Connection[Any], home: Home, scheme: str, point: Pointing, last_day: int | None = None
) -> Universe:
    """Read a scheme's documents of the live realm.

    Args:
        db: connection in autocommit mode.
        home: data folder, where the segments of bulk events lie.
        point: makes points of sealed keys, 16 bytes each, one after another.
        last_day: cover documents issued until this day; by default the day before that of the last entry.

    Raises:
        NotFound: the register covers nothing of this scheme.
        Conflict: without whole lives, lists in force cannot be carried: their documents are known by document key only.
    """
    if scheme not in SCHEMES:
        raise NotFound("There is no such scheme.", where="--scheme", mend=f"Use one of {', '.join(sorted(SCHEMES))}.")
    with snapshot(db) as (position, recorded_at_us, epoch):
        extents = dict(
            db.execute("SELECT name, extent FROM coverage WHERE name = %s OR name LIKE %s", (scheme, scheme + "/%")).fetchall()
        )
        if not extents:
            raise NotFound("The register covers no document of this scheme.", where=scheme)
        whole = sorted(name for name, extent in extents.items() if extent == "whole_life")
        bulks = db.execute("SELECT file, sha256 FROM bulk WHERE realm = 0 AND state = 'in_force' ORDER BY position").fetchall()
        if not whole and bulks:
            raise Conflict(
                "Lists in force name documents of this scheme by document keys, which verifiers cannot make.", where=scheme
            )
        until = recorded_at_us // DAY_US - 1 if last_day is None else last_day
        found = _Found(SCHEMES[scheme].discriminated, until, exact=bool(whole))
        segments = Segments(home)
        with db.cursor(name="universe") as cursor:
            cursor.itersize = ROWS
            cursor.execute(
                f"SELECT {_COLUMNS} FROM document WHERE realm = 0 AND coverage = ANY(%s)", (whole or sorted(extents),)
            )
            while rows := cursor.fetchmany(ROWS):
                listed = _listed(segments, bulks, [row[3] for row in rows])
                found.add(rows, listed, point)
        return Universe(
            scheme, position, recorded_at_us, epoch, found.last_day, bool(whole), tuple(found.cohorts()), found.left_out
        )


def _listed(segments: Segments, bulks: Sequence[tuple[Any, ...]], keys: list[bytes]) -> list[int]:
    """Return the facts that bulk events in force list documents with."""
    facts = [0] * len(keys)
    for file, sha256 in bulks:
        facts = [known | more for known, more in zip(facts, segments.bits(file, bytes(sha256).hex(), keys), strict=True)]
    return facts


@dataclass(slots=True)
class _Found:
    """Collect documents by cohort."""

    discriminated: bool
    last_day: int
    exact: bool
    left_out: int = 0
    points: dict[int, list[Words]] = field(default_factory=dict)
    codes: dict[int, list[Codes]] = field(default_factory=dict)
    blind: set[int] = field(default_factory=set)
    _names: dict[tuple[str, str, int | None], int] = field(default_factory=dict)

    def cohort(self, coverage: str, kind: str, day: int | None) -> int:
        """Return the id of a cohort, which the edition then covers."""
        quarter = NO_QUARTER if day is None or not self.discriminated else quarter_of(day)
        told = (coverage, kind, quarter)
        if told not in self._names:
            self._names[told] = made = cohort_name(coverage, kind) << 16 | quarter
            self.points.setdefault(made, [])
            self.codes.setdefault(made, [])
        return self._names[told]

    def add(self, rows: Sequence[tuple[Any, ...]], listed: Sequence[int], point: Pointing) -> None:
        """Add rows of the columns above."""
        ids, carried, codes = [], [], []
        for (coverage, kind, day, _, carried_key, standing, disputed, overrides), facts in zip(rows, listed, strict=True):
            if self.exact and day is not None and day > self.last_day:
                continue
            code = code_of_standing(standing if overrides else standing | facts, disputed=disputed)
            if not self.exact and not code:
                continue
            cohort = self.cohort(coverage, kind, day)
            if carried_key is None:
                self.blind.add(cohort)
                self.left_out += 1
                continue
            ids.append(cohort)
            carried.append(carried_key)
            codes.append(code)
        points = point(b"".join(carried))
        cohorts, said = np.array(ids, np.uint64), np.array(codes, np.uint8)
        for cohort in np.unique(cohorts):
            where = cohorts == cohort
            self.points[int(cohort)].append(points[where])
            self.codes[int(cohort)].append(said[where])

    def cohorts(self) -> Iterator[Cohort]:
        """Yield the cohorts of which every document is known by its carried key."""
        for cohort in sorted(self.points):
            if cohort not in self.blind:
                yield Cohort(cohort, _joined(self.points[cohort], np.uint64), _joined(self.codes[cohort], np.uint8))


def _joined(parts: list[Any], kind: Any) -> Any:
    return np.concatenate(parts) if parts else np.zeros(0, kind)


def points_of(sealed: SealedKeys, key: EditionKey, sealed_keys: bytes) -> Words:
    """Return the points of documents by their sealed keys of 16 bytes, one after another."""
    keys = key.points(sealed.opened(sealed_keys))
    points: Words = np.frombuffer(keys, np.uint64).reshape(-1, 16 // POINT_BYTES)[:, 0].copy()
    return points


class Change(NamedTuple):
    """One document with entries behind a position: what the register says of it now, and whether it is new since."""

    sealed_key: bytes
    code: int
    new: bool


def changed_since(db: psycopg.Connection[Any], home: Home, scheme: str, since: int, until: int = POSITION_MAX) -> list[Change]:
    """Return the documents of a scheme with entries behind a position, up to another. Called within a snapshot.

    Raises:
        Conflict: a list or a rotation of keys came since; then a new edition is due.
    """
    for (entry,) in db.execute(
        "SELECT entry FROM register_log WHERE position > %s AND position <= %s AND document_id IS NULL", (since, until)
    ).fetchall():
        if decode(bytes(entry)).kind in (EntryKind.bulk, EntryKind.bulk_undo, EntryKind.rotation, EntryKind.coverage):
            raise Conflict("A list, a coverage or new keys came since this edition.", mend="Build a new edition.")
    names = db.execute("SELECT name FROM coverage WHERE name = %s OR name LIKE %s", (scheme, scheme + "/%")).fetchall()
    rows = db.execute(
        f"SELECT {_COLUMNS}, NOT EXISTS (SELECT FROM register_log WHERE document_id = document.id AND position <= %s) "
        "FROM document WHERE realm = 0 AND coverage = ANY(%s) AND id IN "
        "(SELECT document_id FROM register_log WHERE position > %s AND position <= %s AND document_id IS NOT NULL)",
        (since, [name for (name,) in names], since, until),
    ).fetchall()
    bulks = db.execute("SELECT file, sha256 FROM bulk WHERE realm = 0 AND state = 'in_force' ORDER BY position").fetchall()
    listed = _listed(Segments(home), bulks, [row[3] for row in rows])
    return [
        Change(row[4], code_of_standing(row[5] if row[7] else row[5] | facts, disputed=row[6]), row[8])
        for row, facts in zip(rows, listed, strict=True)
        if row[4] is not None
    ]
