"""Give account of who asked what: the check log, indexed into PostgreSQL behind the path, and questions to that index.

The index holds keys and codes, no numbers and no names of holders. It may lag behind the check log (the database was down)
and is complete again once the indexer has caught up: the cursor of each worker moves in the transaction of its rows. A
receipt is not stored here; it is rebuilt from the check log, which is the account itself.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import psycopg
from psycopg import sql

from annul.errors import BadInput, Corrupt, NotFound
from annul.proof.leaf import FLAG_TEST_REALM, parse_leaf
from annul.proof.merkle import inclusion_path, leaf_hash
from annul.proof.receipt import from_json, receipt_json
from annul.proof.window import SIGNED_PREFIX, parse_statement
from annul.records.codes import (
    Advice,
    Channel,
    FreshnessCode,
    Outcome,
    Purpose,
    Realm,
    StatusCode,
    advice_of_mask,
)
from annul.records.document import SCHEME_OF_CODE, Document, DocumentKeys, block, number_block
from annul.registry.accounts.counts import count_checks
from annul.registry.answering.checklog import WindowRecord, durable_windows, read_windows, worker_folder, workers
from annul.registry.answering.places import Places
from annul.registry.writing.act import Act
from annul.registry.writing.ground import Ground
from annul.registry.writing.store import REALM_CODES, reading, writing
from annul.times import DAY_US, SECOND_US, rfc3339

PAGE_MAX: Final = 1_000
"""Checks on one page."""
INDEX_ROWS_MAX: Final = 20_000
"""Checks indexed in one transaction (some 5 MB); a worker at full speed makes as many in a second."""
MONTHS_AHEAD: Final = 2
"""Partitions made ahead of the current month."""
LOCK_MS: Final = 500
"""Longest wait for a lock when the schema of the index changes, in milliseconds: whoever asks waits behind it."""

_CURSOR: Final = struct.Struct(">qIQI")
_COLUMNS: Final = (
    "checked_at_us, party, realm, worker, window_no, leaf_index, check_id, document_key, number_key, key_epoch, purpose, "
    "channel, scheme, outcome, status, answered_status, freshness, advice, position, branch, terminal, clerk, reference, "
    "identity, binding, policy_version, window_at"
)
_TYPES: Final = (
    ["int8", "text", "int2", "int4", "int8", "int4", "bytea", "bytea", "bytea"]
    + ["int2"] * 8
    + ["int4", "int8"]
    + ["text"] * 4
    + ["int2", "int2", "int4", "int8"]
)


class CheckRow(msgspec.Struct, frozen=True, kw_only=True):
    """Describe one check. `status` is what the asker may know: the exact code, or its class where reasons are withheld.

    Args:
        check: id of the check.
        checked_at: when the check was answered (RFC 3339, UTC).
        party: id of the organisation.
        realm: `live` or `test`; test credentials never touch live data.
        purpose: why it is asked or done.
        channel: where the document is presented: `in_person` or `remote`.
        scheme: rules of the kind of document: `cn-resident`, `icao-9303`, `ru-internal`, `generic`.
        outcome: what to do: PASS, REFER, STOP or NO_ANSWER.
        status: status code, or its class where reasons are withheld.
        freshness: F0 live, F1 from a copy within its age limit, F2 older.
        position: position in the register log; 0-based and dense.
        advice: next steps, as codes A1 to A9, the most important first.
        branch: branch of the relying party, in its own words; at most 64 characters.
        terminal: terminal of the relying party, in its own words; at most 64 characters.
        clerk: clerk of the relying party, in its own words; at most 64 characters.
        reference: the caller's own reference; at most 64 characters.
    """

    check: str
    checked_at: str
    party: str
    realm: str
    purpose: str
    channel: str
    scheme: str
    outcome: str
    status: str
    freshness: str
    position: int
    advice: list[str]
    branch: str
    terminal: str
    clerk: str
    reference: str


class CheckRecord(CheckRow, frozen=True, kw_only=True):
    """Describe one check with its receipt, and the salt (hex) that opens the receipt's commitments.

    Args:
        receipt: the signed receipt, as it stands in the answer.
        opening: salt (hexadecimal) that opens the receipt's commitment to the document; "" when there is none.
    """

    receipt: dict[str, Any]
    opening: str


# -- behind the path: from the check log into the index ------------------------------------------------------------------------


class Indexer:
    """Move windows from the check logs of this machine into the index.

    Args:
        checks: `<home>/checks`.
        also: what else is done with new rows, in their transaction.
    """

    def __init__(
        self, checks: Path, also: Callable[[psycopg.Connection[Any], Sequence[tuple[Any, ...]]], object] | None = None
    ) -> None:
        self._checks = checks
        self._also = also
        self._months: set[tuple[int, int]] = set()
        self._indexed: dict[int, int] = {}  # worker -> its next window, as this process left it

    def step(self, db: psycopg.Connection[Any]) -> int:
        """Index what is durable and not yet indexed, at most INDEX_ROWS_MAX rows a worker; return the number of rows.

        Args:
            db: connection in autocommit mode. One transaction per worker holds the rows and the cursor.

        Raises:
            Corrupt: a window is damaged or missing; nothing behind it of that worker is indexed.
        """
        return sum(self._worker(db, worker) for worker in workers(self._checks))

    def _worker(self, db: psycopg.Connection[Any], worker: int) -> int:
        folder = worker_folder(self._checks, worker)
        if durable_windows(folder) == self._indexed.get(worker):  # nothing new: the database is not asked, let alone locked
            return 0
        with db.transaction():
            found = db.execute(
                "SELECT next_window, file, file_offset FROM check_cursor WHERE worker = %s FOR UPDATE",
                (worker,),
            ).fetchone()
            start, file, offset = found or (0, "", 0)
            rows: list[tuple[Any, ...]] = []
            last: WindowRecord | None = None
            for window in read_windows(folder, start=start, file=file, offset=offset):
                rows.extend(_rows(window))
                last = window
                if len(rows) >= INDEX_ROWS_MAX:
                    break
            if last is None:
                self._indexed[worker] = start
                return 0
            self._make_partitions(db, rows)
            with (
                db.cursor() as cursor,
                cursor.copy(f"COPY check_index ({_COLUMNS}) FROM STDIN (FORMAT BINARY)") as copy,
            ):
                copy.set_types(_TYPES)
                for row in rows:
                    copy.write_row(row)
            count_checks(db, rows)
            if self._also is not None:
                self._also(db, rows)
            db.execute(
                "INSERT INTO check_cursor (worker, next_window, file, file_offset) VALUES (%s, %s, %s, %s) "
                "ON CONFLICT (worker) DO UPDATE SET next_window = excluded.next_window, file = excluded.file, "
                "file_offset = excluded.file_offset",
                (worker, last.stated.window + 1, last.file.name, last.end),
            )
        self._indexed[worker] = last.stated.window + 1
        return len(rows)

    def _make_partitions(self, db: psycopg.Connection[Any], rows: list[tuple[Any, ...]]) -> None:
        """Make the months of these rows that the timetable has not made ahead."""
        first, last = _month(min(row[0] for row in rows)), _month(max(row[0] for row in rows))
        while first <= last:
            if first not in self._months:
                _make_month(db, first)
                self._months.add(first)
            first = _later(first, 1)


def lag_us(db: psycopg.Connection[Any], checks: Path, now_us: int) -> int:
    """Return the age of the oldest check that is answered and not in the index, in microseconds; 0 when there is none."""
    places = {
        row[0]: row[1:] for row in db.execute("SELECT worker, next_window, file, file_offset FROM check_cursor").fetchall()
    }
    oldest_us = now_us
    for worker in workers(checks):
        start, file, offset = places.get(worker, (0, "", 0))
        first = next(read_windows(worker_folder(checks, worker), start=start, file=file, offset=offset), None)
        if first is not None:
            oldest_us = min(oldest_us, first.stated.closed_at_us)
    return now_us - oldest_us


def make_months(db: psycopg.Connection[Any], now_us: int) -> int:
    """Make this month of the index and the next two; return how many were missing.

    Days before a month begins: nothing that reads the index in that moment can keep its rows from being written.
    """
    months = [_later(_month(now_us), ahead) for ahead in range(MONTHS_AHEAD + 1)]
    return sum(_make_month(db, month) for month in months)


def forget_months(db: psycopg.Connection[Any], now_us: int, *, days: int) -> int:
    """Drop the months of the index that ended more than `days` ago; return how many.

    The check log itself and its seal stay as they are: what goes is who asked what, by party and by document.
    """
    table = db.execute(
        "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'check_index'::regclass"
    ).fetchall()
    dropped = 0
    for (name,) in table:
        year, month = int(name[-7:-3]), int(name[-2:])
        if _start_us(_later((year, month), 1)) <= now_us - days * DAY_US:
            dropped += _soon(db, sql.SQL("DROP TABLE {}").format(sql.Identifier(name)))
    return dropped


def _make_month(db: psycopg.Connection[Any], month: tuple[int, int]) -> int:
    """Make a month of the index if it is not there: made beside it and attached, which waits for no reader."""
    name = f"check_index_y{month[0]:04d}m{month[1]:02d}"
    if db.execute("SELECT to_regclass(%s)", (name,)).fetchone() != (None,):
        return 0
    table = sql.Identifier(name)
    made = sql.SQL("CREATE TABLE {} (LIKE check_index INCLUDING DEFAULTS INCLUDING CONSTRAINTS)").format(table)
    attached = sql.SQL("ALTER TABLE check_index ATTACH PARTITION {} FOR VALUES FROM ({}) TO ({})").format(
        table, sql.Literal(_start_us(month)), sql.Literal(_start_us(_later(month, 1)))
    )
    return _soon(db, made, attached)


def _soon(db: psycopg.Connection[Any], *statements: sql.Composed) -> int:
    """Change the schema if no lock is in the way for long, else leave it for the next turn; return 1 if it was done, else 0."""
    try:
        with db.transaction():
            db.execute(f"SET LOCAL lock_timeout = {LOCK_MS}")
            for statement in statements:
                db.execute(statement)
    except psycopg.errors.LockNotAvailable:
        return 0
    return 1


def _month(at_us: int) -> tuple[int, int]:
    moment = datetime.fromtimestamp(at_us / 1e6, UTC)
    return moment.year, moment.month


def _later(month: tuple[int, int], months: int) -> tuple[int, int]:
    count = month[0] * 12 + month[1] - 1 + months
    return count // 12, count % 12 + 1


def _start_us(month: tuple[int, int]) -> int:
    return int(datetime(*month, 1, tzinfo=UTC).timestamp()) * SECOND_US


def _rows(window: WindowRecord) -> Iterator[tuple[Any, ...]]:
    stated = window.stated
    for index, (raw, private) in enumerate(zip(window.leaves, window.privates, strict=True)):
        leaf = parse_leaf(raw)
        yield (
            leaf.checked_at_us,
            leaf.party.rstrip(b"\0").decode("ascii"),
            int(leaf.flags & FLAG_TEST_REALM != 0),
            stated.worker,
            stated.window,
            index,
            leaf_hash(raw)[:16],
            private.document_key,
            private.number_key,
            private.key_epoch,
            leaf.purpose,
            leaf.channel,
            leaf.scheme,
            leaf.outcome,
            private.status,
            leaf.status,
            leaf.freshness,
            leaf.advice,
            leaf.position,
            private.branch,
            private.terminal,
            private.clerk,
            private.reference,
            leaf.identity,
            leaf.binding,
            leaf.policy_version,
            window.offset,
        )


# -- questions ---------------------------------------------------------------------------------------------------------------


class Accounts:
    """Answer questions about past checks.

    Args:
        ground: what every part stands on.
    """

    def __init__(self, ground: Ground) -> None:
        self._connections, self._keys, self._now_us = ground.connections, ground.keys, ground.now_us
        self._checks = ground.home.checks
        self._places = Places(ground.home.checks)

    async def checks_of_party(self, party: str, realm: str, *, after: str = "", limit: int = 100) -> tuple[list[CheckRow], str]:
        """Return a page of a party's own checks, newest first, and the cursor of the next page ("" after the last).

        Raises:
            BadInput: the cursor or the limit is not of its form.
            SourceDown: the database cannot be reached.
        """
        return await self._page("party = %s AND realm = %s", (party, REALM_CODES[realm]), after, limit, exact=False)

    async def checks_of_document(
        self, act: Act, document: Document, *, case: str, after: str = "", limit: int = 100
    ) -> tuple[list[CheckRow], str]:
        """Return a page of the checks of one document, newest first; the look-up itself is entered in the register first.

        Args:
            act: who looks, in which realm.
            document: the document; without its discriminator, all checks of its number.
            case: reference of the case the look-up belongs to; it is the evidence of the entry.
        """
        secrets = self._keys.live if act.realm == "live" else self._keys.test
        epochs = [DocumentKeys(secrets[: count + 1]) for count in range(len(secrets))]
        number_keys = [keys.blind(number_block(document)) for keys in epochs] if document.discriminated else []
        document_keys: list[bytes] = []
        if document.has_discriminator or not document.discriminated:
            document_keys = [keys.blind(block(document)) for keys in epochs]
        async with writing(self._connections, self._now_us()) as write:
            self._keys.require_epoch(write.key_epoch)
            write.note(
                act.author,
                case,
                b"checks of a document were looked up",
                realm=act.code,
                document_key=document_keys[-1] if document_keys else b"",
                number_key=number_keys[-1] if number_keys else b"",
            )
        if document_keys and number_keys:  # those of the document, and those that named the number alone
            where = "(document_key = ANY(%s) OR (number_key = ANY(%s) AND document_key = %s))"
            values: tuple[Any, ...] = (document_keys, number_keys, bytes(16))
        elif document_keys:
            where, values = "document_key = ANY(%s)", (document_keys,)
        else:
            where, values = "number_key = ANY(%s)", (number_keys,)
        return await self._page(f"{where} AND realm = %s", (*values, act.realm_code), after, limit, exact=True)

    async def check(self, party: str | None, check_id: str) -> CheckRecord:
        """Return one check with its receipt.

        Args:
            party: only a check of this party; None for any (supervisors, who also see the exact status).
            check_id: as the answer named it, 32 hex digits.

        Raises:
            NotFound: there is none that the asker may see, or it is not indexed yet.
            Corrupt: its window is damaged or missing in the check log.
        """
        try:
            wanted = bytes.fromhex(check_id)
        except ValueError:
            wanted = b""
        if len(wanted) != 16:
            raise BadInput("A check id has 32 hex digits.", where="/check")
        async with reading(self._connections) as db:
            found = await (await db.execute(f"SELECT {_COLUMNS} FROM check_index WHERE check_id = %s", (wanted,))).fetchone()
        if found is None or (party is not None and found[1] != party):
            raise NotFound("There is no such check.", mend="A new check is found here some seconds after its answer.")
        receipt, opening = await asyncio.to_thread(self._receipt, *(*found[3:6], found[-1]))
        return CheckRecord(**_named(found, exact=party is None), receipt=receipt, opening=opening)

    def keys_of_receipt(self, receipt: Mapping[str, Any]) -> tuple[bytes, bytes]:
        """Return the document key and the number key of a check by its receipt, from the check log, at the present key epoch.

        Args:
            receipt: a receipt that was verified. Its check is found at once, before it is indexed.

        Raises:
            NotFound: the check log of this machine does not hold it.
        """
        parts = from_json(receipt)
        statement = parse_statement(parts.statement)
        record = self._places.window(statement.worker, statement.window)
        if record is None or parts.index >= len(record.leaves) or record.leaves[parts.index] != parts.leaf:
            raise NotFound("There is no such check in the log of this machine.", where="/receipt")
        private = record.privates[parts.index]
        keys = self._keys.documents("test" if parse_leaf(parts.leaf).flags & FLAG_TEST_REALM else "live")
        return tuple(  # type: ignore[return-value]
            key if key in (b"", bytes(16)) else keys.advance(key, private.key_epoch)
            for key in (private.document_key, private.number_key)
        )

    def _receipt(self, worker: int, window: int, index: int, at: int) -> tuple[dict[str, Any], str]:
        """Rebuild a receipt from the check log."""
        record = self._places.window(worker, window, at)
        if record is None or index >= len(record.leaves):
            raise Corrupt(f"Window {window} is missing.", where=f"checks/{worker_folder(self._checks, worker).name}")
        path = b"".join(inclusion_path([leaf_hash(leaf) for leaf in record.leaves], index))
        signed = SIGNED_PREFIX + record.statement, record.signature
        keys = self._keys.receipt_verifiers()
        key = next((each for each in keys if each.verify(*signed)), keys[0]).key_id.hex()
        receipt = receipt_json(record.leaves[index], index, path, record.statement, record.signature, key)
        return receipt, record.privates[index].salt.hex()

    async def _page(
        self, where: str, values: tuple[Any, ...], after: str, limit: int, *, exact: bool
    ) -> tuple[list[CheckRow], str]:
        if not 1 <= limit <= PAGE_MAX:
            raise BadInput(f"A page has 1 to {PAGE_MAX} checks.", where="?limit")
        order = "checked_at_us, worker, window_no, leaf_index"
        if after:
            where += f" AND ({order}) < (%s, %s, %s, %s)"
            values += _open_cursor(after)
        descending = order.replace(",", " DESC,") + " DESC"
        query = f"SELECT {_COLUMNS} FROM check_index WHERE {where} ORDER BY {descending} LIMIT %s"
        async with reading(self._connections) as db:
            rows: Sequence[tuple[Any, ...]] = await (await db.execute(query, (*values, limit + 1))).fetchall()
        more = len(rows) > limit
        page = rows[:limit]
        cursor = _close_cursor(page[-1]) if more else ""
        return [CheckRow(**_named(row, exact=exact)) for row in page], cursor


def _close_cursor(row: tuple[Any, ...]) -> str:
    return base64.urlsafe_b64encode(_CURSOR.pack(row[0], row[3], row[4], row[5])).decode()


def _open_cursor(cursor: str) -> tuple[int, int, int, int]:
    try:
        raw = base64.urlsafe_b64decode(cursor.encode("ascii"))
        at, worker, window, index = _CURSOR.unpack(raw)
    except (binascii.Error, ValueError, struct.error):
        raise BadInput("The cursor is none of this register.", where="?after", mend="Begin without a cursor.") from None
    if window >= 1 << 63 or index >= 1 << 31 or worker >= 1 << 31:
        raise BadInput("The cursor is none of this register.", where="?after", mend="Begin without a cursor.")
    return at, worker, window, index


def _named(row: tuple[Any, ...], *, exact: bool) -> dict[str, Any]:
    scheme = SCHEME_OF_CODE.get(row[12])
    advice: tuple[Advice, ...] = advice_of_mask(row[17])
    return {
        "check": bytes(row[6]).hex(),
        "checked_at": rfc3339(row[0]),
        "party": row[1],
        "realm": Realm.of_octet(row[2]).value,
        "purpose": Purpose.of_octet(row[10]).value,
        "channel": Channel.of_octet(row[11]).value,
        "scheme": "" if scheme is None else scheme.name,
        "outcome": Outcome.of_octet(row[13]).value,
        "status": StatusCode.of_octet(row[14] if exact else row[15]).value,
        "freshness": FreshnessCode.of_octet(row[16]).value,
        "advice": [step.value for step in advice],
        "position": row[18],
        "branch": row[19],
        "terminal": row[20],
        "clerk": row[21],
        "reference": row[22],
    }
