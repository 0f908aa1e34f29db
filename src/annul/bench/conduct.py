"""`annul bench conduct [--events 1e5] [--accounts 1e6] [--json]`: reconciliation beside a plain SQL join; abuse of look-ups.

Everything is made up: random keys for documents. Business events stand in the embedded PostgreSQL, checks by columns in files,
as a night lays them (`laid_s` is that, for a tenth, from the index). What is planted: events without a check, late ones, ones
that depart from STOP, ones that name a check there never was; and for each a decoy that must not be found: a check of another
party, of another card of the same number, without an answer, a microsecond too early.

`seconds` is a whole run: events read, checks passed, verdicts and findings written. The peer is one SQL join over the same rows
in the same server, at a tenth of the size (`sql_s`); `vs_sql` compares events with checks a second, peer and annul at their own
size. Processor time is not used: both wait for the same disk.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq

from annul import keys as key_file
from annul.bench.abuse import measure_abuse
from annul.home import Home
from annul.registry.conduct import columns
from annul.registry.conduct.matching import DEPARTED, FORGED, LATE, UNCHECKED
from annul.registry.conduct.reconcile import Reconciler
from annul.registry.postgres import Embedded
from annul.registry.writing.ground import Ground
from annul.registry.writing.store import Fresh, connect, migrate
from annul.times import DAY_US, HOUR_US

DAYS: Final = 10
PARTIES: Final = 20
BRANCHES: Final = 50
PLANTED: Final = {UNCHECKED: 0.004, LATE: 0.003, DEPARTED: 0.002, FORGED: 0.001}
"""Share of the events of each kind that is planted."""
START_DAY: Final = 20_000
NOW_US: Final = (START_DAY + DAYS + 20) * DAY_US
PART: Final = 1 << 20
Words = npt.NDArray[np.uint64]


def main(arguments: list[str]) -> int:
    """Measure and print; returns 1 when a planted event was missed or a covered one found."""
    parser = argparse.ArgumentParser(prog="annul bench conduct", description=__doc__)
    parser.add_argument("--events", type=float, default=1e5, help="business events")
    parser.add_argument("--accounts", type=float, default=1e6, help="checks")
    parser.add_argument("--folder", type=Path, default=None, help="where the files are made (150 bytes a check)")
    parser.add_argument("--json", action="store_true", help="print one JSON value")
    told = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="annul-bench-", dir=told.folder) as folder:
        figures = measure(Home(folder), int(told.events), int(told.accounts))
    if told.json:
        print(msgspec.json.encode(figures).decode())
    else:
        for name, value in figures.items():
            print(f"  {name:24} {value:>16,.4g}")
    return 1 if figures["uncovered_found"] < 1 or figures["false_findings"] else 0


def measure(home: Home, events: int, accounts: int) -> dict[str, float]:
    """Make a country of checks and business, reconcile it, and let the peer do a tenth; returns figures by name."""
    keys = key_file.create(home)
    with Embedded(home) as server:
        migrate(server.conninfo)
        with connect(server.conninfo) as db:
            _parties(db)
            world = _World(np.random.default_rng(13), events, accounts)
            world.lay_events(db)
            world.lay_checks(db, home)
            db.execute("ANALYZE")
        ground = Ground(Fresh(server.conninfo), keys, home, lambda: NOW_US)
        _warm(server.conninfo)
        made = asyncio.run(Reconciler(ground, server.conninfo).run())
        figures: dict[str, float] = {
            "events": made.events,
            "accounts": made.accounts,
            "seconds": made.seconds,
            "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        }
        with connect(server.conninfo) as db:
            figures |= world.compared(db)
            figures |= _peer(db, world, home, figures)
    figures |= measure_abuse()
    return figures


def _warm(conninfo: str) -> None:
    """Compile the kernels before the clock runs, as a night that comes again finds them."""
    from annul.registry.conduct.matching import CheckColumns, EventColumns, Matcher

    with connect(conninfo) as db:
        db.execute("SELECT 1")
    one, pair = np.ones(1, np.int64), np.ones((1, 2), np.uint64)
    small, words = np.ones(1, np.uint8), np.ones(1, np.uint64)
    party = np.zeros(1, np.int32)
    Matcher(EventColumns(party, pair, pair, pair, one, one, one, words, small)).take(
        CheckColumns(party, pair, pair, pair, one, small, small, small)
    )


def _parties(db: psycopg.Connection[Any]) -> None:
    for number in range(PARTIES):
        name = f"bank-{number:02d}"
        db.execute(
            "INSERT INTO principal (id, name, role, organisation, position) VALUES (%s, %s, 'relying_party', '', 1)",
            (name, name),
        )
        db.execute(
            "INSERT INTO conduct_duty VALUES (%s, 'account-opening', 1, '{}', %s, %s, false, true, 'bench', 0, 1)",
            (name, DAY_US, 2 * DAY_US),
        )


class _World:
    """Events with what is planted in them, and the checks that make it so."""

    def __init__(self, random: np.random.Generator, events: int, accounts: int) -> None:
        self.random, self.events, self.accounts = random, events, accounts
        self.kind = np.zeros(events, np.uint8)
        order = random.permutation(events)
        first = 0
        for kind, share in PLANTED.items():
            count = max(1, int(events * share))
            self.kind[order[first : first + count]] = kind
            first += count
        self.decoy = random.integers(0, 5, events).astype(np.uint8)
        self.party = random.integers(0, PARTIES, events).astype(np.int32)
        self.document = _keys(random, events)
        self.number = _keys(random, events)
        self.at = np.sort(random.integers((START_DAY + 2) * DAY_US, (START_DAY + DAYS - 3) * DAY_US, events))
        self.shown = np.zeros((events, 2), np.uint64)
        self.shown[self.kind == FORGED] = _keys(random, int((self.kind == FORGED).sum()))

    def lay_events(self, db: psycopg.Connection[Any]) -> None:
        """Put the events into the database, as files of parties bring them."""
        form = [("realm", "i2"), ("party", "S7"), ("reference", "S10"), ("at", "i8"), ("business", "S15"), ("duty", "i4")]
        form += [("branch", "S4"), ("terminal", "S1"), ("document", "V16"), ("number", "V16"), ("epoch", "i2")]
        form += [("shown", "V16"), ("received", "i8")]
        names = (
            "realm, party, reference, happened_at_us, business, duty, branch, terminal, document_key, number_key, key_epoch, "
            "shown, received_at_us"
        )
        for first in range(0, self.events, PART):
            rows = slice(first, min(first + PART, self.events))
            count = rows.stop - rows.start
            _copy_in(
                db,
                f"COPY business_event ({names}) FROM STDIN (FORMAT BINARY)",
                form,
                count,
                party=_named("bank-%02d", self.party[rows], PARTIES),
                reference=np.char.mod("e%09d", np.arange(rows.start, rows.stop)).astype("S10"),
                at=self.at[rows],
                business=b"account-opening",
                duty=1,
                branch=_named("b%03d", self.random.integers(0, BRANCHES, count), BRANCHES),
                terminal=b"1",
                document=self.document[rows],
                number=self.number[rows],
                epoch=1,
                shown=self.shown[rows],
                received=NOW_US,
            )

    def lay_checks(self, db: psycopg.Connection[Any], home: Home) -> None:
        """Write the checks of all days as a night leaves them, and what the index counted of them."""
        home.conduct.mkdir(mode=0o700)
        parts = [self._meant(), *self._others()]
        day = np.concatenate([part["at"] for part in parts]) // DAY_US
        whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        del parts
        for each in range(START_DAY, START_DAY + DAYS):
            rows = np.flatnonzero(day == each)
            rows = rows[np.argsort(whole["party"][rows], kind="stable")]
            if not len(rows):
                continue
            _write(columns.file_of(home, 0, each), {name: column[rows] for name, column in whole.items()})
            db.execute(
                "INSERT INTO checks_by_day (day, realm, party, purpose, outcome, status, count) "
                "VALUES (%s, 0, 'all', 1, 1, 1, %s)",
                (each, len(rows)),
            )

    def _meant(self) -> dict[str, Any]:
        """Return one check an event: what makes it what it is, or a decoy that leaves it uncovered."""
        count = self.events
        at = self.at - self.random.integers(0, 20 * HOUR_US, count)
        at = np.where(self.kind == LATE, self.at + self.random.integers(1, DAY_US, count), at)
        outcome = np.where(self.kind == DEPARTED, 3, 1).astype(np.uint8)
        party, document, number = self.party.copy(), self.document.copy(), self.number
        lacking = self.kind == UNCHECKED
        party[lacking & (self.decoy == 0)] = (party[lacking & (self.decoy == 0)] + 1) % PARTIES
        other = lacking & (self.decoy == 1)
        document[other] = _keys(self.random, int(other.sum()))
        outcome[lacking & (self.decoy == 2)] = 4
        at = np.where(lacking & (self.decoy == 3), self.at - DAY_US - 1, at)
        at = np.where(lacking & (self.decoy == 4), self.at + 2 * DAY_US + 1, at)
        return _checks(self.random, party, document, number, at, outcome)

    def _others(self) -> list[dict[str, Any]]:
        """Return the checks that belong to no event."""
        count = max(0, self.accounts - self.events)
        made = []
        for first in range(0, count, 16 * PART):
            size = min(16 * PART, count - first)
            at = self.random.integers(START_DAY * DAY_US, (START_DAY + DAYS) * DAY_US, size)
            party = self.random.integers(0, PARTIES, size).astype(np.int32)
            keys = _keys(self.random, size), _keys(self.random, size)
            made.append(_checks(self.random, party, *keys, at, np.ones(size, np.uint8)))
        return made

    def compared(self, db: psycopg.Connection[Any]) -> dict[str, float]:
        """Compare what was found with what was planted, event by event."""
        rows = db.execute(
            "SELECT substr(reference, 2)::int8, array_position(ARRAY['late', 'unchecked', 'departed', 'forged'], kind) "
            "FROM conduct_verdict v JOIN business_event e ON e.id = v.event"
        ).fetchall()
        found = np.zeros(self.events, np.uint8)
        for reference, kind in rows:
            found[reference] = kind
        planted = self.kind > 0
        return {
            "uncovered_found": float((found[planted] == self.kind[planted]).mean()),
            "false_findings": int((found[~planted] > 0).sum()),
        }


def _peer(db: psycopg.Connection[Any], world: _World, home: Home, ours: dict[str, float]) -> dict[str, float]:
    """Let PostgreSQL join a tenth of the same events with a tenth of the same checks."""
    few = max(1, world.events // 10)
    db.execute("CREATE TEMPORARY TABLE peer_event AS SELECT * FROM business_event WHERE id <= %s", (few,))
    db.execute(
        "CREATE UNLOGGED TABLE peer_check (party text, document_key bytea, checked_at_us int8, outcome int2, check_id bytea)"
    )
    wanted = {world.document[row].tobytes() for row in range(few)}
    left = max(0, world.accounts // 10 - few)
    for path in sorted(home.conduct.glob("*.parquet")):
        table = pq.read_table(path, columns=["party", "document", "at_us", "outcome", "check"])
        share = max(1, left // DAYS)
        with db.cursor() as cursor, cursor.copy("COPY peer_check FROM STDIN") as copy:
            for place, row in enumerate(zip(*(column.to_pylist() for column in table.columns), strict=True)):
                if place < share or row[1] in wanted:
                    copy.write_row((row[0], row[1], row[2], row[3], row[4]))
    db.execute("CREATE INDEX ON peer_check (document_key, checked_at_us)")
    db.execute("ANALYZE peer_check")
    db.execute("ANALYZE peer_event")
    count = (db.execute("SELECT count(*) FROM peer_check").fetchone() or (1,))[0]
    began = time.perf_counter()
    db.execute(
        "SELECT e.id, max(c.checked_at_us) FILTER (WHERE c.checked_at_us <= e.happened_at_us) AS best, "
        "min(c.checked_at_us) FILTER (WHERE c.checked_at_us > e.happened_at_us) AS after, "
        "(array_agg(c.outcome ORDER BY c.checked_at_us DESC, c.outcome DESC) "
        "FILTER (WHERE c.checked_at_us <= e.happened_at_us))[1] AS outcome, bool_or(c.check_id = e.shown) AS genuine "
        "FROM peer_event e JOIN conduct_duty d ON d.party = e.party AND d.business = e.business AND d.version = e.duty "
        "LEFT JOIN peer_check c ON c.party = e.party AND c.document_key = e.document_key AND c.outcome <= 3 "
        "AND c.checked_at_us BETWEEN e.happened_at_us - d.before_us AND e.happened_at_us + d.late_us GROUP BY e.id"
    ).fetchall()
    sql_s = time.perf_counter() - began
    theirs, mine = (few + count) / sql_s, (ours["events"] + ours["accounts"]) / ours["seconds"]
    return {"sql_s": round(sql_s, 3), "sql_events": few, "sql_accounts": count, "vs_sql": round(mine / theirs, 2)}


def _keys(random: np.random.Generator, count: int) -> Words:
    return random.integers(1, 1 << 63, (count, 2), dtype=np.uint64)


def _checks(
    random: np.random.Generator,
    party: npt.NDArray[np.int32],
    document: Words,
    number: Words,
    at: npt.NDArray[np.int64],
    outcome: npt.NDArray[np.uint8],
) -> dict[str, Any]:
    made = {"party": party, "document": document, "number": number, "check": _keys(random, len(at)), "at": at}
    return made | {"outcome": outcome}


def _write(path: Path, rows: dict[str, Any]) -> None:
    """Write a day's file in the form of `columns`."""
    names = pa.array([f"bank-{number:02d}" for number in range(PARTIES)], pa.string())
    with pq.ParquetWriter(path, columns.SCHEMA, compression="NONE", use_dictionary=["party"], write_page_checksum=True) as into:
        for first in range(0, len(rows["at"]), PART):
            part = {name: column[first : first + PART] for name, column in rows.items()}
            count = len(part["at"])
            made = {name: _binary(part[name], 16) for name in ("document", "number", "check")}
            made |= {name: _binary(np.zeros((count, 1), np.uint64), 8) for name in ("branch", "clerk")}
            made |= {"party": names.take(pa.array(part["party"])), "at_us": pa.array(part["at"])}
            made |= {"epoch": pa.array(np.ones(count, np.int16)), "outcome": pa.array(part["outcome"])}
            ones = pa.array(np.ones(count, np.uint8))
            whole = [made.get(field.name, ones) for field in columns.SCHEMA]
            into.write_table(pa.Table.from_arrays(whole, schema=columns.SCHEMA), row_group_size=PART)


def _binary(values: npt.NDArray[Any], width: int) -> pa.Array:
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(values), [None, pa.py_buffer(values.tobytes())])


def _named(form: str, numbers: npt.NDArray[Any], count: int) -> npt.NDArray[np.bytes_]:
    made: npt.NDArray[np.bytes_] = np.array([(form % number).encode() for number in range(count)])[numbers]
    return made


def _copy_in(db: psycopg.Connection[Any], statement: str, form: list[tuple[str, str]], count: int, **values: Any) -> None:
    """Bring rows of fixed width in at once. Source: PostgreSQL, COPY, binary format."""
    parts: list[tuple[str, str]] = [("fields", ">i2")]
    for name, kind in form:
        parts += [(f"length {name}", ">i4"), (name, f">{kind}" if kind[0] == "i" else kind)]
    rows = np.zeros(count, np.dtype(parts))
    rows["fields"] = len(form)
    for name, _kind in form:
        rows[f"length {name}"] = rows.dtype[name].itemsize
        value = values.get(name, 0)
        if isinstance(value, np.ndarray) and value.ndim == 2:
            value = np.ascontiguousarray(value).view("V16").ravel()
        rows[name] = value
    with db.cursor() as cursor, cursor.copy(statement.encode()) as copy:
        copy.write(b"PGCOPY\n\xff\r\n\0" + bytes(8))
        copy.write(rows.tobytes())
        copy.write(b"\xff\xff")
