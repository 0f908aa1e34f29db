"""Reconcile: lay business events beside checks, keep what is not covered, and open a finding for each place and kind.

A run takes the events whose time for a late check is over and that no run has settled, lets the checks of their days pass
(`columns`, `matching`), and writes what it found. Covered events leave no row: what is settled and has no verdict is covered.
So a run over ten million events writes as much as was wrong, not as much as was right.

    covered    a check that counts lies before the business, within the term of the duty
    late       the first one that counts lies after it
    unchecked  there is none
    departed   the newest one before it said STOP, and no urgent need was recorded with it
    forged     the event names a check that this register did not make for this party and document

A crash before the end leaves a run without an end; the next one throws its rows away. What must never happen here: a finding
while the index is behind the check log of its time; an event that is settled by two runs.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import psycopg

from annul.errors import Conflict, NotFound
from annul.records.codes import Purpose, Realm
from annul.registry.conduct import columns
from annul.registry.conduct.events import LOCK as FILES_LOCK
from annul.registry.conduct.matching import ANY_BINDING, COVERED, DEPARTED, KINDS, EventColumns, Found, Matcher
from annul.registry.notices.outbox import queue
from annul.registry.writing.ground import Ground
from annul.registry.writing.store import REALM_CODES, Write, connect, writing
from annul.times import DAY_US, HOUR_US

SETTLE_US: Final = HOUR_US
"""How long after the last late check an event waits: the index is seconds behind the answers, an hour after a bad day."""
ANSWER_DAYS: Final = 30
"""Term in which a party answers a finding."""
RECORDED_AT_ONCE: Final = 50_000
LOCK: Final = 0x636F6E64
"""Advisory lock of a run ("cond"): two do not settle the same events."""
_B0: Final = 1
_ANY: Final = 2**64 - 1

_EVENTS: Final = r"""
COPY (SELECT e.id, c.number, e.document_key, e.number_key, e.key_epoch, e.shown, e.happened_at_us, d.before_us, d.late_us,
    d.mask, d.comparison, p.number
FROM business_event e JOIN wanted_party c ON c.party = e.party JOIN duty_mask d ON d.party = e.party AND d.business = e.business
    AND d.version = e.duty JOIN event_place p ON p.party = e.party AND p.branch = e.branch AND p.terminal = e.terminal
    AND p.business = e.business
WHERE e.realm = {realm} AND e.happened_at_us >= c.from_us AND e.happened_at_us < c.until_us) TO STDOUT (FORMAT BINARY)
"""
_FIELDS: Final = (
    ("id", ">i8"),
    ("party", ">i4"),
    ("document", "V16"),
    ("number", "V16"),
    ("epoch", ">i2"),
    ("shown", "V16"),
    ("at", ">i8"),
    ("before", ">i8"),
    ("late", ">i8"),
    ("purposes", ">i8"),
    ("comparison", "?"),
    ("place", ">i4"),
)
_FORM: Final = np.dtype(
    [("fields", ">i2"), *(part for place, field in enumerate(_FIELDS) for part in ((f"length{place}", ">i4"), field))]
)


class Reconciled(msgspec.Struct, frozen=True, kw_only=True):
    """What a run found: events by kind, checks that passed, findings that were opened.

    Args:
        seconds: how long it took.
        run: its id; "" when there was nothing to settle.
    """

    events: int
    covered: int
    late: int
    unchecked: int
    departed: int
    forged: int
    seconds: float
    accounts: int
    findings: int
    run: str


class _Events(msgspec.Struct):
    rows: npt.NDArray[Any]
    columns: EventColumns
    places: list[tuple[str, str, str, str]]


class Reconciler:
    """Reconcile, on the register's own machine.

    Args:
        ground: what every part stands on.
        conninfo: the register's database: rows pass in bulk over a connection of their own.
    """

    def __init__(self, ground: Ground, conninfo: str) -> None:
        self._ground, self._conninfo, self._keys = ground, conninfo, ground.keys

    async def run(self, realm: str = "live", *, party: str | None = None) -> Reconciled:
        """Settle what is due, of one party or of all.

        Raises:
            Conflict: another run is at work, or the index is behind the check log.
            NotFound: there is no such party.
        """
        began, code = time.monotonic(), REALM_CODES[realm]
        with connect(self._conninfo) as db:
            if not (db.execute("SELECT pg_try_advisory_lock(%s, %s)", (LOCK, code)).fetchone() or (False,))[0]:
                raise Conflict("Another run is at work.", mend="Wait until it is done.")
            _throw_away(db, code)
            parties = self._wanted(db, code, party)
            if not parties:
                return Reconciled(
                    events=0,
                    covered=0,
                    late=0,
                    unchecked=0,
                    departed=0,
                    forged=0,
                    seconds=time.monotonic() - began,
                    accounts=0,
                    findings=0,
                    run="",
                )
            events = self._events(db, code)
            found, accounts = self._match(db, code, events, parties)
            _allow_urgent(db, code, found)
            run = "cr_" + secrets.token_hex(12)
            _record(db, code, run, events, found, self._ground.now_us(), accounts)
            db.execute("ANALYZE conduct_verdict")
            findings = await self._finish(db, realm, run, events, found)
        counts = dict(zip(KINDS, np.bincount(found.kind, minlength=len(KINDS)).tolist(), strict=True))
        return Reconciled(
            events=len(found.kind),
            seconds=round(time.monotonic() - began, 3),
            accounts=accounts,
            findings=findings,
            run=run,
            **counts,
        )

    def _wanted(self, db: psycopg.Connection[Any], realm: int, party: str | None) -> dict[str, int]:
        """Make temporary tables of what is due: parties with their times, duties with their masks; return parties by number."""
        if party is not None and db.execute("SELECT 1 FROM principal WHERE id = %s", (party,)).fetchone() is None:
            raise NotFound("There is no such party.", where="--party")
        now = self._ground.now_us() - SETTLE_US
        db.execute(_WANTED, {"realm": realm, "now": now, "party": party})
        for (name,) in db.execute("SELECT party FROM wanted_party").fetchall():
            with db.transaction():  # files of this party that are coming in are waited for; later ones find this time closed
                db.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", (FILES_LOCK + realm, name))
                db.execute(_CLOSE, {"realm": realm, "party": name})
        found = db.execute("SELECT party, number FROM wanted_party").fetchall()
        bits = ", ".join(f"('{purpose.value}', {1 << purpose.octet})" for purpose in Purpose)
        db.execute(_MASKS.format(bits=bits).encode())
        db.execute(_PLACES, (realm,))
        for table in ("wanted_party", "duty_mask", "event_place"):
            db.execute(f"ANALYZE {table}".encode())
        return dict(found)

    def _events(self, db: psycopg.Connection[Any], realm: int) -> _Events:
        raw = bytearray()
        with db.cursor() as cursor, cursor.copy(_EVENTS.format(realm=realm).encode()) as copy:
            for chunk in copy:
                raw += chunk
        rows = np.frombuffer(raw, _FORM, (len(raw) - 21) // _FORM.itemsize, 19)
        document, number = (_words(rows[name]) for name in ("document", "number"))
        for older in np.unique(rows["epoch"][rows["epoch"] != self._keys.epoch]).tolist():
            old = rows["epoch"] == older
            for keys in (document, number):
                keys[old] = columns.advanced(keys[old], self._keys, realm, older)
        told = EventColumns(
            party=rows["party"].astype(np.int32),
            document=document,
            number=number,
            shown=_words(rows["shown"]),
            at=rows["at"].astype(np.int64),
            before=rows["before"].astype(np.int64),
            late=rows["late"].astype(np.int64),
            purposes=np.where(rows["purposes"] == 0, np.uint64(_ANY), rows["purposes"].astype(np.int64).view(np.uint64)),
            binding=np.where(rows["comparison"], _B0, ANY_BINDING).astype(np.uint8),
        )
        places = db.execute("SELECT party, branch, terminal, business FROM event_place ORDER BY number").fetchall()
        return _Events(rows, told, places)

    def _match(self, db: psycopg.Connection[Any], realm: int, events: _Events, parties: dict[str, int]) -> tuple[Found, int]:
        """Let the checks of all days that can matter pass; return what was found, and how many passed."""
        matcher, passed = Matcher(events.columns), 0
        told = events.columns
        first = int((told.at - told.before).min()) // DAY_US
        last = int((told.at + told.late).max()) // DAY_US
        _require_indexed(db, self._ground.home.checks, (last + 1) * DAY_US)
        for day in range(first, last + 1):
            path = columns.lay(db, self._ground.home, realm, day)
            if path is None:
                continue
            for part in columns.read(path, parties, self._keys, realm):
                matcher.take(part)
                passed += len(part.at)
        return matcher.found(), passed

    async def _finish(self, db: psycopg.Connection[Any], realm: str, run: str, events: _Events, found: Found) -> int:
        """Open the findings, move the cursors and end the run, in one write."""
        groups = db.execute(_GROUPS, (run,)).fetchall()
        upto = db.execute("SELECT party, until_us FROM wanted_party").fetchall()
        async with writing(self._ground.connections, self._ground.now_us()) as write:
            await _open_findings(write, realm, run, groups)
            digest = hashlib.sha256(found.kind.tobytes() + np.ascontiguousarray(events.rows["id"]).tobytes()).digest()
            position = write.note("annul", run, b"reconciled v1\0" + digest, realm=Realm[realm])
            for party, until_us in upto:
                await write.run(
                    "UPDATE conduct_cursor SET settled_to_us = %s WHERE realm = %s AND party = %s",
                    until_us,
                    REALM_CODES[realm],
                    party,
                )
            await write.run(_COUNTS_IN, run)
            await write.run(
                "UPDATE conduct_run SET ended_at_us = %s, position = %s WHERE id = %s", write.recorded_at_us, position, run
            )
        return len(groups)


def _words(column: npt.NDArray[Any]) -> npt.NDArray[np.uint64]:
    return np.ascontiguousarray(column).view(np.uint64).reshape(-1, 2)


def _throw_away(db: psycopg.Connection[Any], realm: int) -> None:
    """Delete what a run left that did not come to its end."""
    with db.transaction():
        unended = "SELECT id FROM conduct_run WHERE ended_at_us IS NULL AND realm = %s"
        db.execute(f"DELETE FROM conduct_verdict WHERE run IN ({unended})", (realm,))
        db.execute(f"DELETE FROM conduct_staged WHERE run IN ({unended})", (realm,))
        db.execute("DELETE FROM conduct_run WHERE ended_at_us IS NULL AND realm = %s", (realm,))


def _require_indexed(db: psycopg.Connection[Any], checks: Path, until_us: int) -> None:
    """Refuse while a window that may lie in this time is not indexed yet."""
    behind = columns.behind(db, checks, until_us)
    if behind is not None:
        raise Conflict(
            "The index of checks is behind the check log: nobody is told that a check is missing before all are read.",
            where=f"checks/{behind:02d}",
            mend="Let annul run until `annul doctor` says that the index is up to date.",
        )


def _allow_urgent(db: psycopg.Connection[Any], realm: int, found: Found) -> None:
    """Count a departure as covered where the policy's own exception was recorded: an urgent need."""
    rows = np.flatnonzero(found.kind == DEPARTED)
    for part in np.array_split(rows, -(-len(rows) // RECORDED_AT_ONCE) or 1):
        ids = [found.check[row].tobytes() for row in part.tolist()]
        allowed = db.execute("SELECT check_id FROM urgent_need WHERE realm = %s AND check_id = ANY(%s)", (realm, ids))
        known = {bytes(check) for (check,) in allowed.fetchall()}
        for row, check in zip(part.tolist(), ids, strict=True):
            if check in known:
                found.kind[row] = COVERED


def _record(
    db: psycopg.Connection[Any], realm: int, run: str, events: _Events, found: Found, now_us: int, accounts: int
) -> None:
    """Write what is not covered, and the counts, under a run that has not ended: nobody sees them yet."""
    wrong = np.flatnonzero(found.kind != COVERED)
    days = events.columns.at // DAY_US
    cells, counts = np.unique(
        np.column_stack([events.rows["place"].astype(np.int64), days, found.kind.astype(np.int64)]), axis=0, return_counts=True
    )
    with db.transaction():
        db.execute(
            "INSERT INTO conduct_run (id, realm, begun_at_us, events, accounts) VALUES (%s, %s, %s, %s, %s)",
            (run, realm, now_us, len(found.kind), accounts),
        )
        with db.cursor() as cursor:
            with cursor.copy("COPY conduct_verdict (event, run, kind, check_id, checked_at_us) FROM STDIN") as copy:
                for row in wrong.tolist():
                    check = found.check[row].tobytes() if found.checked_at[row] else b""
                    copy.write_row(
                        (int(events.rows["id"][row]), run, KINDS[found.kind[row]], check, int(found.checked_at[row]))
                    )
            with cursor.copy(
                "COPY conduct_staged (run, realm, party, branch, terminal, business, day, kind, count) FROM STDIN"
            ) as copy:
                for (place, day, kind), count in zip(cells.tolist(), counts.tolist(), strict=True):
                    copy.write_row((run, realm, *events.places[place], day, KINDS[kind], count))


async def _open_findings(write: Write, realm: str, run: str, groups: Sequence[Sequence[Any]]) -> None:
    """Open findings: each with a digest of its events in the log, and a term; and tell every party once."""
    due = write.recorded_at_us + ANSWER_DAYS * DAY_US
    code, rows, told = REALM_CODES[realm], [], dict[str, list[int]]()
    for party, branch, kind, count, first, last, lines in groups:
        finding, evidence = "cf_" + secrets.token_hex(12), hashlib.sha256(lines.encode()).digest()
        position = write.note("annul", finding, b"finding v1\0" + evidence, realm=Realm[realm])
        rows.append(
            (finding, code, run, party, branch, kind, count, first, last, evidence, write.recorded_at_us, due, position)
        )
        sums = told.setdefault(party, [0, 0, position])
        sums[0], sums[1] = sums[0] + 1, sums[1] + count
    async with write.db.cursor() as cursor:
        await cursor.executemany(_FINDING, [(*row[:7], *row[6:]) for row in rows])
    await write.run(
        "UPDATE conduct_verdict v SET finding = f.id FROM business_event e, finding f WHERE e.id = v.event AND v.run = %s "
        "AND f.run = v.run AND f.party = e.party AND f.branch = e.branch AND f.kind = v.kind",
        run,
    )
    for party, (findings, events, position) in told.items():
        await queue(
            write.db,
            "finding",
            key=f"findings:{run}:{party}",
            now_us=write.recorded_at_us,
            realm=code,
            party=party,
            values={"run": run, "findings": findings, "events": events, "due_us": due, "position": position},
        )


_FINDING: Final = (
    "INSERT INTO finding (id, realm, run, party, branch, kind, event_count, open_count, from_us, until_us, evidence, state, "
    "noticed_at_us, due_at_us, position) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 'noticed', %s, %s, %s)"
)
_WANTED: Final = """
CREATE TEMPORARY TABLE wanted_party AS
SELECT party, row_number() OVER (ORDER BY party)::int4 - 1 AS number, from_us, until_us FROM (
    SELECT e.party, coalesce(max(c.settled_to_us), 0) AS from_us,
        %(now)s - coalesce((SELECT max(late_us) FROM conduct_duty d WHERE d.party = e.party), 0) AS until_us
    FROM (SELECT DISTINCT party FROM business_event WHERE realm = %(realm)s AND (%(party)s::text IS NULL OR party = %(party)s))
    e LEFT JOIN conduct_cursor c ON c.party = e.party AND c.realm = %(realm)s GROUP BY e.party) due
WHERE EXISTS (SELECT FROM business_event b WHERE b.realm = %(realm)s AND b.party = due.party
    AND b.happened_at_us >= from_us AND b.happened_at_us < until_us)
"""
_CLOSE: Final = """
INSERT INTO conduct_cursor (realm, party, closed_to_us)
SELECT %(realm)s, party, until_us FROM wanted_party WHERE party = %(party)s
ON CONFLICT (realm, party) DO UPDATE SET closed_to_us = greatest(conduct_cursor.closed_to_us, excluded.closed_to_us)
"""
_MASKS: Final = """
CREATE TEMPORARY TABLE duty_mask AS
SELECT d.party, business, version, before_us, late_us, comparison,
    coalesce((SELECT sum(bit) FROM (VALUES {bits}) AS known (name, bit) WHERE name = ANY(purposes)), 0)::bigint AS mask
FROM conduct_duty d JOIN wanted_party USING (party)
"""
_PLACES: Final = """
CREATE TEMPORARY TABLE event_place AS
SELECT party, branch, terminal, business, row_number() OVER (ORDER BY party, branch, terminal, business)::int4 - 1 AS number
FROM (SELECT DISTINCT e.party, branch, terminal, business FROM business_event e JOIN wanted_party c ON c.party = e.party
    WHERE e.realm = %s AND e.happened_at_us >= c.from_us AND e.happened_at_us < c.until_us) places
"""
_GROUPS: Final = """
SELECT e.party, e.branch, v.kind, count(*)::int, min(e.happened_at_us), max(e.happened_at_us),
    string_agg(concat_ws(' ', e.reference, e.happened_at_us, e.business, e.terminal, encode(v.check_id, 'hex')), E'\\n'
        ORDER BY e.happened_at_us, e.id)
FROM conduct_verdict v JOIN business_event e ON e.id = v.event WHERE v.run = %s GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""
_COUNTS_IN: Final = """
WITH moved AS (DELETE FROM conduct_staged WHERE run = %s RETURNING realm, party, branch, terminal, business, day, kind, count)
INSERT INTO conduct_count (realm, party, branch, terminal, business, day, kind, count) SELECT * FROM moved
ON CONFLICT (realm, party, branch, terminal, business, day, kind) DO UPDATE SET count = conduct_count.count + excluded.count
"""
