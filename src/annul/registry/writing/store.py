"""The way to PostgreSQL: connections, migrations, and the one kind of transaction that writes to the register.

Every write takes the lock on the single row of `log_head` first. Writers therefore follow one another, positions are
dense and in commit order, and no two writers see the same state of a document. A write is a handful of statements on
a register that takes a few reports a second in a nation: simplicity is worth more here than parallel writers.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any, Protocol

import psycopg
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from annul.errors import BadInput, Corrupt, SourceDown, StorageFailed, UnsafeSettings
from annul.records.codes import Realm
from annul.records.entry import NO_DETAIL, Entry, EntryKind, encode
from annul.records.references import SALT_BYTES, commit, require_reference
from annul.registry.postgres import SERVER_LEAST
from annul.times import MINUTE_US, SECOND_US, rfc3339

Connection = psycopg.AsyncConnection[TupleRow]


class Pool(AsyncConnectionPool[Connection]):
    """Connections for reading, and a few beside them that only writes use: slow questions hold up no report.

    Attributes:
        writes: the connections of writes; they are opened and closed with the others.
    """

    writes: AsyncConnectionPool[Connection]

    async def close(self, timeout: float = 5) -> None:
        """Close all connections."""
        await self.writes.close(timeout)
        await super().close(timeout)


WRITES_MAX = 2
"""Connections of a worker that only writes use. Writes follow one another: one works, the next one waits for the lock."""
READ_TIMEOUT_S = 20
"""Longest time of one question to the database; one that takes longer is ended, and its asker hears 503."""
WRITE_TIMEOUT_S = 120
"""Longest time of one statement of a write, its wait for the log's head included."""
READ_LOCK_S, WRITE_LOCK_S = 5, 30
"""Longest wait for a lock: of a question, for a change of the schema; of a write, for the writes before it."""
LOOP_TIMEOUT_S = 60
"""Longest time of one statement of a process that runs by itself; what it did not end is begun anew."""
COMMAND_TIMEOUT_S = 6 * 3600
"""Longest time of one statement of a command: to re-key all documents, or to make an index of all checks, takes hours."""

MIGRATION_LOCK = 0x616E6E756C
"""Advisory lock held while migrating ("annul")."""

AHEAD_MAX_US = MINUTE_US
"""How far the newest entry may be ahead of the clock: clocks of machines differ a little, and jump when they are set."""

POOL_TIMEOUT_S = 5.0
"""Longest wait for a free connection; then the database counts as down."""

REALM_CODES = {"live": 0, "test": 1}

ADDRESS = "database_url"
SEE_ADDRESS = "See docs/install.md, The database: postgresql://user:password@host/name?sslmode=verify-full&sslrootcert=FILE."
_REFUSALS = (
    (
        ("authentication failed", "no password supplied"),
        "The database refuses this user or password.",
        "Set it in database_url (with @ and / percent-encoded), or in the password file that libpq reads.",
    ),
    (
        ("certificate verify failed", "root certificate file", "does not match host name", "SSL error", "does not support SSL"),
        "The certificate of the database is not believed.",
        "Name the file of its authority: ?sslmode=verify-full&sslrootcert=FILE, and the host as the certificate has it.",
    ),
    (("no pg_hba.conf entry",), "The database lets nobody in from this machine.", "Add a line to its pg_hba.conf."),
    (("does not exist",), "The database server has no such database or user.", "Make it: see docs/install.md, The database."),
    (("resolve host", "translate host name"), "The host of the database has no address.", SEE_ADDRESS),
)
"""What a refusal says (words of libpq or the server), what is wrong, and how to mend it; the first that fits counts."""


def session(statement_s: int, lock_s: int) -> str:
    """Return the options of a session in which no statement takes longer, and none waits longer for a lock, in seconds.

    Every connection that annul opens has them: what waits without end holds others up behind it, who know nothing of it.
    """
    return (
        "-c synchronous_commit=on -c idle_in_transaction_session_timeout=15s -c timezone=UTC "
        f"-c statement_timeout={statement_s}s -c lock_timeout={lock_s}s"
    )


_LOOPS = session(LOOP_TIMEOUT_S, 10)
_COMMANDS = session(COMMAND_TIMEOUT_S, 120)


class Connections(Protocol):
    """Give connections: a pool, or one connection at a time (`Fresh`)."""

    def connection(self) -> AbstractAsyncContextManager[Connection]:
        """Lend a connection; commit when the block ends well, roll back otherwise."""


class Fresh:
    """Open a connection for each use: for commands and the follower's rare writes."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a new connection and close it afterwards."""
        async with await psycopg.AsyncConnection.connect(self._conninfo, options=_COMMANDS) as db:
            yield db


class Lasting:
    """Keep one connection open and lend it to one user after the other: for a loop that asks every second.

    Whoever has it must not ask for it again before it is given back.
    """

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._db: Connection | None = None
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend the connection in a transaction; a connection that broke is opened again for the next user."""
        async with self._lock:
            if self._db is None or self._db.closed:
                self._db = await psycopg.AsyncConnection.connect(self._conninfo, options=_LOOPS, autocommit=True)
            try:
                async with self._db.transaction():
                    yield self._db
            except (psycopg.OperationalError, psycopg.InterfaceError):
                await self._db.close()
                raise


def connect(conninfo: str, *, patient: bool = False) -> psycopg.Connection[TupleRow]:
    """Open one synchronous connection in autocommit mode.

    Args:
        patient: for a command, whose statements may take hours.

    Raises:
        SourceDown: the database cannot be reached; the sentence says whether it is away, or what of its address is wrong.
    """
    try:
        options = _COMMANDS if patient else _LOOPS
        return psycopg.connect(conninfo, autocommit=True, options=options, connect_timeout=5)
    except psycopg.OperationalError as error:
        raise refused(error) or down(error) from error
    except psycopg.ProgrammingError as error:
        raise SourceDown("The address of the database is not of its form.", where=ADDRESS, mend=SEE_ADDRESS) from error


async def open_pool(conninfo: str, *, size_max: int = 4) -> Pool:
    """Open a pool that reconnects by itself; a database that is down does not stop it from opening."""

    def options(size: int, limits: str) -> dict[str, Any]:
        return {
            "min_size": 1,
            "max_size": size,
            "open": False,
            "timeout": POOL_TIMEOUT_S,
            "reconnect_timeout": 60,
            "check": AsyncConnectionPool.check_connection,
            "kwargs": {"options": limits, "connect_timeout": 5},
        }

    pool = Pool(conninfo, **options(size_max, session(READ_TIMEOUT_S, READ_LOCK_S)))
    pool.writes = AsyncConnectionPool(conninfo, **options(WRITES_MAX, session(WRITE_TIMEOUT_S, WRITE_LOCK_S)))
    await pool.open(wait=False)
    await pool.writes.open(wait=False)
    return pool


def migrate(conninfo: str) -> bool:
    """Bring the database to the newest form; return whether anything had to be done.

    Alembic is imported only when a migration is due. An advisory lock keeps two starts from migrating at once.

    Raises:
        SourceDown: the database cannot be reached.
        UnsafeSettings: it does not keep what it acknowledged, or was written by a newer annul.
    """
    newest = _newest()
    with connect(conninfo, patient=True) as db:
        check_safe(db)
        if _version(db) == newest:
            return False
        db.execute("SELECT pg_advisory_lock(%s)", (MIGRATION_LOCK,))
        try:
            version = _version(db)
            if version == newest:
                return False
            if version is not None and version > newest:
                raise UnsafeSettings(
                    f"The database is of version {version}, this annul knows {newest}.", mend="Use the newer annul."
                )
            _upgrade(conninfo)
            return True
        finally:
            db.execute("SELECT pg_advisory_unlock(%s)", (MIGRATION_LOCK,))


def check_safe(db: psycopg.Connection[TupleRow]) -> None:
    """Refuse a server that may forget what it acknowledged, or is older than what annul was tried with.

    Raises:
        UnsafeSettings: fsync or full_page_writes is off, or it is too old.
    """
    found = db.info.server_version // 10_000
    if found < SERVER_LEAST:
        raise UnsafeSettings(
            f"The database is PostgreSQL {found}; annul needs {SERVER_LEAST} or later.",
            where=ADDRESS,
            mend="Name a newer server, or leave the setting out for an embedded one.",
        )
    for name in ("fsync", "full_page_writes"):
        row = db.execute("SELECT current_setting(%s)", (name,)).fetchone()
        if row is None or row[0] != "on":
            raise UnsafeSettings(
                f"The database runs with {name} = off: acknowledged reports would be lost in a crash.",
                where=name,
                mend=f"Set {name} = on in postgresql.conf and restart it.",
            )


def down(error: Exception) -> SourceDown | StorageFailed:
    """Turn a driver's error into ours; the driver's text may hold keys and is not passed on."""
    state = getattr(error, "sqlstate", None) or ""
    if (state.startswith("53") and state != "53300") or state.startswith("58"):
        return StorageFailed(f"The register's database could not write ({state}).", mend="Look at its disk and its log.")
    return SourceDown(
        "The register's database cannot be reached.", mend="Try again with the same Idempotency-Key; see annul doctor."
    )


def refused(error: Exception) -> SourceDown | None:
    """Return which part of the database's address is wrong, None when the database is merely away.

    A connection that never came about has no SQLSTATE: the words of libpq and of the server are all there is. They are looked
    at and not passed on.

    Source: libpq fe-connect.c and fe-secure-openssl.c; PostgreSQL src/backend/libpq/auth.c.
    """
    said = str(error)
    for words, message, mend in _REFUSALS:
        if any(word in said for word in words):
            return SourceDown(message, where=ADDRESS, mend=mend)
    return None


@asynccontextmanager
async def reading(connections: Connections) -> AsyncIterator[Connection]:
    """Lend a connection for reading.

    Raises:
        SourceDown: the database cannot be reached.
    """
    try:
        async with connections.connection() as db:
            yield db
    except (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout) as error:
        raise down(error) from error


class Write:
    """One write to the register: holds the head of the log and collects entries; see `writing`.

    Args:
        db: connection inside the transaction.
        position: position the next entry gets.
        now_us: the clock.
        latest_us: time of the entry before; entries of this write are recorded now, and never before that one.
        key_epoch: epoch of the document keys the register is at.

    Attributes:
        recorded_at_us: time of all entries of this write. What ends after a term is counted from `now_us`.
    """

    def __init__(self, db: Connection, position: int, now_us: int, latest_us: int, key_epoch: int) -> None:
        self.db = db
        self.now_us = now_us
        self.recorded_at_us = max(now_us, latest_us)
        self.key_epoch = key_epoch
        self._first = position
        self._rows: list[tuple[int, bytes, int | None]] = []
        self._references: list[tuple[int, bytes, str]] = []

    @property
    def position(self) -> int:
        """Position of the latest entry of this write (of the log when there is none yet)."""
        return self._first + len(self._rows) - 1

    def append(self, entry: Entry, document_id: int | None = None) -> int:
        """Add an entry and return its position. Its reference is committed to; the text lies beside the log, and can be erased.

        Raises:
            BadInput: what it refers to by is no reference (`annul.records.references`).
        """
        position = self._first + len(self._rows)
        if entry.evidence:
            require_reference(entry.evidence, "/evidence")
            salt = secrets.token_bytes(SALT_BYTES)
            self._references.append((position, salt, entry.evidence))
            entry = replace(entry, evidence="", commitment=commit(salt, entry.evidence))
        self._rows.append((position, encode(entry), document_id))
        return self.position

    def note(
        self,
        author: str,
        evidence: str,
        body: bytes,
        *,
        realm: Realm = Realm.live,
        happened_at_us: int | None = None,
        document_id: int | None = None,
        document_key: bytes = b"",
        number_key: bytes = b"",
        detail_hash: bytes = NO_DETAIL,
    ) -> int:
        """Enter what says nothing of a document's state (who looked, what was decided beside it); return its position.

        Args:
            evidence: the case, or the reference of what is noted; no personal data.
            body: what was done, in a few words or as a digest.
            happened_at_us: else the time of this write.
        """
        return self.append(
            Entry(
                kind=EntryKind.note,
                realm=realm,
                recorded_at_us=self.recorded_at_us,
                happened_at_us=self.recorded_at_us if happened_at_us is None else happened_at_us,
                author=author,
                evidence=evidence,
                document_key=document_key,
                number_key=number_key,
                key_epoch=self.key_epoch if document_key or number_key else 0,
                detail_hash=detail_hash,
                body=body,
            ),
            document_id,
        )

    async def one(self, sql: str, *values: Any) -> TupleRow | None:
        """Run a statement and return its first row."""
        return await (await self.db.execute(sql, values)).fetchone()

    async def all(self, sql: str, *values: Any) -> list[TupleRow]:
        """Run a statement and return its rows."""
        return await (await self.db.execute(sql, values)).fetchall()

    async def run(self, sql: str, *values: Any) -> int:
        """Run a statement and return how many rows it touched."""
        return (await self.db.execute(sql, values)).rowcount

    async def flush(self) -> None:
        """Give the collected entries to the log; called by `writing` as the last step before the commit."""
        if not self._rows:
            return
        positions, bodies, documents = (list(column) for column in zip(*self._rows, strict=True))
        appended = await self.run(_APPEND, len(self._rows), self.recorded_at_us, self._first, positions, bodies, documents)
        if appended != len(self._rows):
            raise Corrupt("The head of the register log moved under a lock.", where="log_head")
        if self._references:
            await self.run(_REFER, *(list(column) for column in zip(*self._references, strict=True)))


_REFER = "INSERT INTO entry_reference (position, salt, text) SELECT * FROM unnest(%s::bigint[], %s::bytea[], %s::text[])"
_APPEND = """
WITH head AS (
    UPDATE log_head SET next_position = next_position + %s, recorded_at_us = %s WHERE next_position = %s RETURNING true
)
INSERT INTO register_log (position, entry, document_id)
SELECT * FROM unnest(%s::bigint[], %s::bytea[], %s::bigint[]) WHERE EXISTS (SELECT FROM head)
"""


def require_clock(latest_us: int, now_us: int) -> None:
    """Refuse to write behind an entry of the future: either this clock is wrong, or the one it was written by was.

    Args:
        latest_us: time of the newest entry.
        now_us: the clock.

    Raises:
        SourceDown: the entry is more than AHEAD_MAX_US ahead of the clock.
    """
    if latest_us - now_us > AHEAD_MAX_US:
        raise SourceDown(
            f"The register's newest entry is of {rfc3339(latest_us)}, which is still to come.",
            where="clock",
            mend="Set the machine's clock. If it is right, the one of then was not: annul log believe-clock.",
        )


def believe_clock(conninfo: str, now_us: int) -> int:
    """Let the log go on from the clock, after entries that were recorded by one that ran ahead; return their lead in seconds.

    The entries stay as they are; an entry at the next position says that times go back there, and to when.
    """
    with connect(conninfo) as db, db.transaction():
        head = db.execute("SELECT next_position, recorded_at_us FROM log_head FOR UPDATE").fetchone()
        if head is None:
            raise Corrupt("The register log has no head.", where="log_head")
        position, latest_us = head
        if latest_us <= now_us:
            return 0
        entry = Entry(
            kind=EntryKind.note,
            recorded_at_us=now_us,
            happened_at_us=now_us,
            author="operator",
            body=f"times go on from here; the entry before was recorded {(latest_us - now_us) // SECOND_US} s ahead".encode(),
        )
        db.execute("INSERT INTO register_log (position, entry) VALUES (%s, %s)", (position, encode(entry)))
        db.execute("UPDATE log_head SET next_position = %s, recorded_at_us = %s", (position + 1, now_us))
        return int(latest_us - now_us) // SECOND_US


@asynccontextmanager
async def writing(connections: Connections, now_us: int) -> AsyncIterator[Write]:
    """Open the one kind of write transaction: lock the log's head, run the block, append its entries, commit.

    A crash before the commit leaves nothing; after it, everything. When the connection breaks during the commit the
    caller cannot know which: the same Idempotency-Key tells.

    Raises:
        SourceDown: the database cannot be reached, or the log's newest entry is of the future.
        StorageFailed: the database could not write.
        BadInput: a text holds U+0000.
    """
    try:
        source = connections.writes if isinstance(connections, Pool) else connections
        async with source.connection() as db, db.transaction():
            head = await (
                await db.execute("SELECT next_position, recorded_at_us, key_epoch FROM log_head FOR UPDATE")
            ).fetchone()
            if head is None:
                raise Corrupt("The register log has no head.", where="log_head")
            require_clock(head[1], now_us)
            write = Write(db, head[0], now_us, head[1], head[2])
            yield write
            await write.flush()
    except psycopg.DataError as error:
        raise BadInput("A text holds a character that cannot be stored.", mend="Leave control characters out.") from error
    except (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout) as error:
        raise down(error) from error


def _migrations() -> Path:
    return Path(str(resources.files("annul.registry") / "migrations"))


def _newest() -> str:
    return max(path.name.split("_")[0] for path in (_migrations() / "versions").glob("[0-9]*.py"))


def _version(db: psycopg.Connection[TupleRow]) -> str | None:
    row = db.execute("SELECT to_regclass('alembic_version')").fetchone()
    if row is None or row[0] is None:
        return None
    found = db.execute("SELECT version_num FROM alembic_version").fetchone()
    return None if found is None else str(found[0])


def _upgrade(conninfo: str) -> None:
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import create_engine, pool

    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(conninfo, options=_COMMANDS), poolclass=pool.NullPool
    )
    config = Config()
    config.set_main_option("script_location", str(_migrations()).replace("%", "%%"))
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    engine.dispose()
