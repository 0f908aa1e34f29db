"""One pass over the register: read it in one snapshot, hold the rules against it, link, search faces, fill the queue.

A run changes no person and no document. What it finds is stored as it is found: the rules' contradictions first, then the links
of each slice, then the faces, each in a transaction of its own; a run that fails later has lost nothing, and the next one over
the same population goes on after the last slice. It meets what earlier runs found: the same suspicion on the same facts is not
asked again, decided or not; on other facts it is; one that is found no more is closed, by a run that came to its end.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final

import msgspec
import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from psycopg.rows import TupleRow

from annul.errors import Conflict, MissingPackage, StorageFailed
from annul.home import Home
from annul.keys import Keys
from annul.records.person import CivilEvent
from annul.records.status import DEAD_MASK
from annul.registry.people.rows import IN_FORCE
from annul.registry.people.vault import Vault
from annul.registry.review import faces, families, linkage
from annul.registry.review.facts import combine, facts_key
from annul.registry.review.families import Pointed
from annul.registry.review.population import ABOUT, PROCESSES, Population, read_population
from annul.registry.review.rules import LINKED, RULES
from annul.registry.review.views import RunView
from annul.registry.writing.act import Act
from annul.registry.writing.store import connect
from annul.times import LONG_TERM_DAY, Clock

Advance = Callable[[int], None]
Bar = Callable[[str, int | None, str], AbstractContextManager[Advance]]
"""Shows one stage: what is done, how many there are (None: nobody knows), of what."""
Database = psycopg.Connection[TupleRow]

RUN_LOCK: Final = 0x72657669
"""Advisory lock held during a run ("revi")."""
_ENTERED: Final = [CivilEvent.birth.octet, CivilEvent.immigration.octet, CivilEvent.details.octet]
_EPOCH: Final = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Found:
    """One suspicion on its way into the queue."""

    rules: tuple[str, ...]
    persons: tuple[int, ...]
    score: float
    documents: tuple[int, ...] = ()

    @property
    def subject(self) -> str:
        """What it is about: one of its kind for the same records at a time."""
        cause = RULES[self.rules[0]].cause
        kind = "record" if cause == "wrong" else self.rules[0]
        return f"{kind}:{','.join(map(str, sorted(self.persons)))}"


@contextmanager
def silent(_what: str, _total: int | None, _unit: str) -> Iterator[Advance]:
    """Show nothing."""
    yield lambda _count: None


def run(
    conninfo: str,
    home: Home,
    keys: Keys,
    act: Act,
    now_us: Clock,
    *,
    bar: Bar = silent,
    processes: int = PROCESSES,
) -> RunView:
    """Run the clean-up over the whole register of a realm, on the register's own machine.

    Raises:
        Conflict: a run is under way.
        Corrupt: a record does not open.
        StorageFailed: there is not memory enough; what was found before is stored.
    """
    run_id = "v_" + secrets.token_hex(12)
    vault = Vault(home)
    vault.warm()
    with connect(conninfo, patient=True) as db:
        held = db.execute("SELECT pg_try_advisory_lock(%s, %s)", (RUN_LOCK, act.realm_code)).fetchone()
        if held is None or not held[0]:
            raise Conflict("A run of the clean-up is under way.", mend="Wait for it to end; `annul review figures` shows runs.")
        started = now_us()
        db.execute(
            "UPDATE review_run SET state = 'failed', ended_at_us = %s WHERE realm = %s AND state = 'running'",
            (started, act.realm_code),
        )
        db.execute(
            "INSERT INTO review_run (id, realm, state, started_by, started_at_us) VALUES (%s, %s, 'running', %s, %s)",
            (run_id, act.realm_code, act.author, started),
        )
        try:
            return _run(db, conninfo, home, vault, keys, act, now_us, run_id, started, bar, processes)
        except BaseException:
            if not db.closed:
                db.execute("UPDATE review_run SET state = 'failed', ended_at_us = %s WHERE id = %s", (now_us(), run_id))
            raise


def _run(
    db: Database,
    conninfo: str,
    home: Home,
    vault: Vault,
    keys: Keys,
    act: Act,
    now_us: Clock,
    run_id: str,
    started: int,
    bar: Bar,
    processes: int,
) -> RunView:
    key = facts_key(keys.envelope)
    today = datetime.fromtimestamp(started / 1e6, UTC).date()
    took: dict[str, float] = {}
    with _timed(took, "read"), db.transaction():
        population, papers, entered = _read(db, conninfo, home, act.realm_code, key, today, bar, processes)
    filling = Filling(db, act.realm_code, run_id, started, population, key)
    with _timed(took, "rules"), bar("Holding records against each other", None, "suspicions") as advance:
        filling.add(examine(population, papers, entered, today, advance))
    with _timed(took, "link"):
        _link(db, filling, population, key, act, bar)
    population.held.close()
    with _timed(took, "faces"):
        alike, searched = _faces(db, vault, act.realm_code, bar)
        filling.add([_of(pointed) for pointed in alike])
    with _timed(took, "store"), db.transaction():
        closed = filling.close(searched or [])
    view = RunView(
        id=run_id,
        state="done",
        started_by=act.author,
        started_at_us=started,
        ended_at_us=now_us(),
        persons=len(population),
        suspicions=filling.found,
        rules=filling.rules,
        portraits=None if searched is None else len(searched),
        took_s=took,
        closed=closed,
        **filling.counts,
    )
    db.execute(
        "UPDATE review_run SET state = 'done', ended_at_us = %s, summary = %s WHERE id = %s",
        (view.ended_at_us, msgspec.json.encode(view), run_id),
    )
    return view


def _read(
    db: Database, conninfo: str, home: Home, realm: int, key: bytes, today: date, bar: Bar, processes: int
) -> tuple[Population, pa.Table, Any]:
    """Return persons, their documents, and the ids that a civil event entered, all of one snapshot."""
    db.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    db.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
    (total,) = db.execute(
        f"SELECT count(*) FROM person_record WHERE realm = %s AND wrapped_key IS NOT NULL AND {IN_FORCE}", (realm,)
    ).fetchone() or (0,)
    with bar("Reading persons", total, "persons") as advance:
        population = read_population(db, conninfo, home, realm, key, today, advance, processes=processes)
    with bar("Reading documents", None, "documents") as advance:
        papers = _papers(db, realm, advance)
    entered = np.array(
        [row[0] for row in db.execute("SELECT person_id FROM civil_event WHERE event = ANY(%s)", (_ENTERED,)).fetchall()],
        np.int64,
    )
    return population, papers, entered


def _link(db: Database, filling: Filling, population: Population, key: bytes, act: Act, bar: Bar) -> None:
    """Link slice by slice; what each brings is stored before the next begins.

    Raises:
        StorageFailed: there is not memory enough even for a small slice.
    """
    import duckdb

    try:
        engine = linkage.Linkage(population.held)
        sameness = population.fingerprint(key)
        engine.prepare()
        population.held.execute("DROP TABLE person")  # what is compared was made of it
        first, engine.slices = _gone_before(db, act.realm_code, filling.run_id, sameness, engine.slices)
        with bar("Linking records", engine.slices, "slices") as advance:
            _note(db, filling.run_id, Progress(sameness, engine.slices, first))
            advance(first)
            for part in range(first, engine.slices):
                links = [_of(pointed) for pointed in engine.links(part)]
                with db.transaction():
                    filling.add(links)
                    _note(db, filling.run_id, Progress(sameness, engine.slices, part + 1))
                advance(1)
    except (duckdb.OutOfMemoryException, MemoryError) as error:
        raise StorageFailed(
            f"The memory is not enough to link {len(population):,} records; what was found before is in the queue.",
            mend="Let other programs end or run it on a machine with more memory; the next run goes on where this one ended.",
        ) from error


class Progress(msgspec.Struct, frozen=True):
    """How far a run that is under way has come with linking: it stands in its row until its end.

    Args:
        sameness: keyed hash of the population.
    """

    sameness: str
    slices: int
    done: int


def _note(db: Database, run_id: str, progress: Progress) -> None:
    db.execute("UPDATE review_run SET summary = %s WHERE id = %s", (msgspec.json.encode(progress), run_id))


def _gone_before(db: Database, realm: int, run_id: str, sameness: str, slices: int) -> tuple[int, int]:
    """Return how many slices the last run did over the same population before it failed, and of how many.

    What those brought counts as seen by this run.
    """
    row = db.execute(
        "SELECT id, state, summary FROM review_run WHERE realm = %s AND id <> %s ORDER BY started_at_us DESC, id LIMIT 1",
        (realm, run_id),
    ).fetchone()
    if row is None or row[1] != "failed" or not row[2]:
        return 0, slices
    before = msgspec.json.decode(row[2], type=Progress)
    if before.sameness != sameness:
        return 0, slices
    db.execute(
        "UPDATE suspicion SET seen_run = %s WHERE realm = %s AND seen_run = %s AND 'same-person' = ANY(rules)",
        (run_id, realm, row[0]),
    )
    return before.done, before.slices


def examine(
    population: Population, papers: pa.Table, entered: Any, today: date, advance: Advance = lambda _count: None
) -> list[Found]:
    """Return what the rules point at.

    Args:
        papers: documents: person, document, since, until (days, null where not given), standing.
        entered: ids of records that a civil event entered.
    """
    held = population.held
    held.register("paper", papers)
    families.prepare(held)
    broken: dict[int, list[str]] = dict(population.broken)
    documents: dict[int, list[int]] = {}
    for person, named in held.execute(_OUTSIDE_LIFE).fetchall():
        broken.setdefault(person, []).append("document-dates")
        documents[person] = named
    found = [
        Found(tuple(rules), (person,), max(RULES[rule].score for rule in rules), tuple(documents.get(person, ())))
        for person, rules in broken.items()
    ]
    day = (today - _EPOCH).days
    for person, named in held.execute(_LIVING_DOCUMENTS.format(dead=DEAD_MASK, long=LONG_TERM_DAY, day=day)).fetchall():
        found.append(Found(("dead-documents",), (person,), RULES["dead-documents"].score, tuple(named)))
    advance(len(found))
    for points in (families.shared(held), families.without_event(held, entered), families.impossible(held)):
        more = [_of(pointed) for pointed in points]
        found += more
        advance(len(more))
    families.forget(held)
    held.unregister("paper")
    return found


_OUTSIDE_LIFE: Final = """
SELECT k.id, list(document ORDER BY document) FROM known k JOIN paper ON paper.person = k.id
WHERE (date '1970-01-01' + since < born) OR (date '1970-01-01' + since > died) OR (until < since) GROUP BY k.id
"""
_LIVING_DOCUMENTS: Final = """
SELECT person.id, list(document ORDER BY document) FROM person JOIN paper ON paper.person = person.id
WHERE dead AND standing & {dead} = 0 AND (until IS NULL OR until = {long} OR until >= {day}) GROUP BY person.id
"""


def _of(pointed: Pointed) -> Found:
    return Found((pointed.rule,), pointed.persons, RULES[pointed.rule].score if pointed.score is None else pointed.score)


def _papers(db: Database, realm: int, advance: Advance) -> pa.Table:
    """Return the documents of all persons in force."""
    columns: tuple[list[Any], ...] = ([], [], [], [], [])
    with db.cursor(name="papers", binary=True) as cursor:
        cursor.itersize = 20_000
        cursor.execute(
            "SELECT p.id, d.id, d.valid_from_day, d.valid_until_day, d.standing FROM document d "
            "JOIN person_record p ON p.realm = d.realm AND p.person_key = d.person_key "
            f"WHERE d.realm = %s AND p.wrapped_key IS NOT NULL AND {IN_FORCE}",
            (realm,),
        )
        while rows := cursor.fetchmany(20_000):
            for column, values in zip(columns, zip(*rows, strict=True), strict=True):
                column.extend(values)
            advance(len(rows))
    names = ("person", "document", "since", "until", "standing")
    kinds = (pa.int64(), pa.int64(), pa.int32(), pa.int32(), pa.int32())
    return pa.table({name: pa.array(column, kind) for name, column, kind in zip(names, columns, kinds, strict=True)})


def _faces(db: Database, vault: Vault, realm: int, bar: Bar) -> tuple[list[Pointed], list[str] | None]:
    """Search new portraits; the second member is None when the comparison of faces is not installed."""
    try:
        with bar("Describing portraits", None, "portraits") as advance:
            faces.make_vectors(db, vault, realm, advance)
    except MissingPackage:
        return [], None
    with bar("Searching faces", None, "portraits") as advance:
        return faces.search_new(db, vault, realm, advance)


@contextmanager
def _timed(took: dict[str, float], stage: str) -> Iterator[None]:
    begun = time.perf_counter()
    yield
    took[stage] = round(time.perf_counter() - begun, 3)


# -- the queue ---------------------------------------------------------------------------------------------------------------


class Filling:
    """Meet what is known with what one run finds, part by part.

    Args:
        run_id, now_us: the run, and when it began.
        key: see `facts_key`.
    """

    def __init__(self, db: Database, realm: int, run_id: str, now_us: int, population: Population, key: bytes) -> None:
        self._db = db
        self._about = population.about
        self._key = key
        self._values = {"realm": realm, "run": run_id, "now": now_us, "linked": list(LINKED - {"same-person"})}
        self.run_id = run_id
        self.found = 0
        self.rules: dict[str, int] = {}
        self.counts = {"new": 0, "again": 0, "known": 0}

    def add(self, found: list[Found]) -> None:
        """Store what was found, in one transaction; count what is new, asked again and known."""
        self.found += len(found)
        for each in found:
            for rule in each.rules:
                self.rules[rule] = self.rules.get(rule, 0) + 1
        if not found:
            return
        with self._db.transaction():
            self._stage(found)
            for name, statements in _MEET:
                self.counts[name] += self._count(statements)
            self._db.execute("DROP TABLE IF EXISTS found, changed")

    def close(self, searched: list[str]) -> int:
        """Close what is found no more, at the end of a whole run; returns how many.

        Args:
            searched: enrolments whose portraits this run searched.
        """
        closed = self._count(_CLOSE)
        self._db.execute("UPDATE face_vector SET searched = true WHERE enrolment_id = ANY(%s)", (searched,))
        return closed

    def _stage(self, found: list[Found]) -> None:
        named = pa.array(sorted({person for each in found for person in each.persons}), pa.int64())
        rows = self._about.filter(pc.is_in(self._about["id"], named))
        about = {
            person: (facts, region) for person, facts, region in zip(*(rows[name].to_pylist() for name in ABOUT), strict=True)
        }
        self._db.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        self._db.execute(
            "CREATE TEMP TABLE found (id text, cause text, rules text[], persons bigint[], subject text, documents bigint[], "
            "score real, region text, facts bytea) ON COMMIT DROP"
        )
        with self._db.cursor().copy("COPY found FROM STDIN") as copy:
            for each in found:
                if not all(person in about for person in each.persons):
                    continue  # a portrait of a record that came after the snapshot: the next run sees it
                facts = combine(each.rules, (about[person][0] for person in each.persons), each.documents, self._key)
                region = next((about[person][1] for person in each.persons if about[person][1]), "")
                copy.write_row(
                    (
                        "s_" + secrets.token_hex(12),
                        RULES[each.rules[0]].cause,
                        list(each.rules),
                        list(each.persons),
                        each.subject,
                        list(each.documents),
                        each.score,
                        region,
                        facts,
                    )
                )
        self._db.execute("DELETE FROM found a USING found b WHERE a.subject = b.subject AND a.id > b.id")
        self._db.execute("CREATE INDEX ON found (subject)")
        self._db.execute("ANALYZE found")

    def _count(self, statements: tuple[str, ...]) -> int:
        return [self._db.execute(statement, self._values).rowcount for statement in statements][-1]


_SAME: Final = "s.realm = %(realm)s AND s.subject = f.subject AND s.state <> 'gone'"
_MEET: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    (
        "again",  # what was decided, or proposed, on other facts
        (
            "UPDATE review_decision d SET state = 'refused', second_by = 'annul', second_at_us = %(now)s FROM suspicion s, "
            f"found f WHERE {_SAME} AND s.facts <> f.facts AND s.state = 'proposed' AND d.suspicion_id = s.id "
            "AND d.state = 'waiting'",
            "CREATE TEMP TABLE changed ON COMMIT DROP AS SELECT s.id, f.id AS fresh, f.subject FROM suspicion s JOIN found f "
            f"ON {_SAME} WHERE s.facts <> f.facts AND s.state IN ('decided', 'proposed', 'visit')",
            "UPDATE suspicion SET state = 'gone' WHERE id IN (SELECT id FROM changed)",
            "INSERT INTO suspicion (id, realm, cause, rules, persons, subject, documents, score, region, facts, state, "
            "found_run, seen_run, found_at_us, earlier) SELECT f.id, %(realm)s, f.cause, f.rules, f.persons, f.subject, "
            "f.documents, f.score, f.region, f.facts, 'open', %(run)s, %(run)s, %(now)s, c.id FROM found f "
            "JOIN changed c ON c.fresh = f.id",
        ),
    ),
    (
        "known",
        (
            "UPDATE suspicion s SET seen_run = %(run)s, rules = f.rules, documents = f.documents, score = f.score, "
            "region = f.region, facts = f.facts, persons = f.persons "
            f"FROM found f WHERE {_SAME} AND s.found_run <> %(run)s",
        ),
    ),
    (
        "new",
        (
            "INSERT INTO suspicion (id, realm, cause, rules, persons, subject, documents, score, region, facts, state, "
            "found_run, seen_run, found_at_us) SELECT id, %(realm)s, cause, rules, persons, subject, documents, score, region, "
            "facts, 'open', %(run)s, %(run)s, %(now)s FROM found f "
            f"WHERE NOT EXISTS (SELECT 1 FROM suspicion s WHERE {_SAME})",
        ),
    ),
)
_CLOSE: Final = (
    "UPDATE review_decision d SET state = 'refused', second_by = 'annul', second_at_us = %(now)s FROM suspicion s "
    "WHERE s.realm = %(realm)s AND s.state = 'proposed' AND s.seen_run <> %(run)s AND NOT s.rules && %(linked)s "
    "AND d.suspicion_id = s.id AND d.state = 'waiting'",
    "UPDATE suspicion s SET state = 'gone' WHERE realm = %(realm)s AND state IN ('open', 'proposed', 'visit') "
    "AND seen_run <> %(run)s AND (NOT rules && %(linked)s OR EXISTS (SELECT 1 FROM person_record p "
    "WHERE p.id = ANY(s.persons) AND (p.ended IS NOT NULL OR p.wrapped_key IS NULL)))",
)
"""Portraits are searched once: what was alike stays alike while both records are in force."""
