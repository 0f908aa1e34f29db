"""Copy the database by PostgreSQL's own tools, in one snapshot, while it is written to; and fill an empty one from a copy.

`pg_dump`, not `pg_basebackup` (decision 0017): it needs no more than the register's own role, wherever the server stands; the
copy goes into any later version of PostgreSQL; and it is of exactly one state, whose head is read in the same snapshot.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict

from annul import durable, supervisor
from annul.backup.contents import DatabaseCopy, digest
from annul.errors import Conflict, MissingPackage, NotFound, SourceDown, StorageFailed
from annul.registry.postgres import Embedded, servers
from annul.registry.writing.store import connect
from annul.settings import Settings

COMPRESSION: Final = "1"
"""Of pg_dump: gzip at level 1 halves the time of the default. A bare level is what PostgreSQL 15 takes, too."""
NICE: Final = 15
"""Courtesy of the tools: a check comes before a copy."""
JOBS: Final = 2
"""Tables and indexes that are filled at once."""
_VERSION: Final = re.compile(r"\(PostgreSQL\) (\d+)")
_VARIABLES: Final = {
    "host": "PGHOST",
    "hostaddr": "PGHOSTADDR",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "passfile": "PGPASSFILE",
    "dbname": "PGDATABASE",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
    "connect_timeout": "PGCONNECT_TIMEOUT",
}
"""Words of a connection string that the tools are told by the environment: a command line can be read by others."""


@contextlib.contextmanager
def at_rest_or_running(settings: Settings) -> Iterator[str]:
    """Lend the connection string of the database as it is: one that runs, or the embedded one, started and not migrated.

    Raises:
        NotFound: there is no database yet.
    """
    if settings.database_url:
        yield settings.database_url
        return
    embedded = Embedded(settings.home)
    if not settings.home.postgres.is_dir():
        raise NotFound("There is no database yet.", where=str(settings.home), mend="Run: annul setup")
    with contextlib.nullcontext() if supervisor.running(settings.home) else embedded:
        yield embedded.conninfo


def dump(conninfo: str, file: Path) -> DatabaseCopy:
    """Copy the whole database into a file, of one state; others go on writing.

    Raises:
        SourceDown: the database cannot be reached, or ended meanwhile. MissingPackage: there is no pg_dump that is new enough.
    """
    with connect(conninfo, patient=True) as db, db.transaction():
        db.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        db.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        snapshot, migration, head, epoch, server = _one(
            db,
            "SELECT pg_export_snapshot(), (SELECT version_num FROM alembic_version), next_position - 1, key_epoch,"
            " current_setting('server_version_num')::int / 10000 FROM log_head",
        )
        asked = ["--format=custom", f"--compress={COMPRESSION}", "--no-owner", "--no-privileges", "--lock-wait-timeout=20s"]
        _run("pg_dump", server, conninfo, [*asked, f"--snapshot={snapshot}", f"--file={file}"])
    file.chmod(durable.PRIVATE)
    return DatabaseCopy(digest(file), head, epoch, migration, server)


def load(conninfo: str, file: Path) -> None:
    """Fill an empty database from a copy.

    Raises:
        Conflict: it is not empty. SourceDown: it cannot be reached, or refuses the copy.
    """
    with connect(conninfo) as db:
        tables, server = _one(
            db,
            "SELECT (SELECT count(*) FROM pg_tables WHERE schemaname = 'public'),"
            " current_setting('server_version_num')::int / 10000",
        )
    if tables:
        raise Conflict("The database is not empty.", where="database_url", mend="Make a new one (CREATE DATABASE) and name it.")
    dbname = conninfo_to_dict(conninfo).get("dbname") or "annul"
    asked = ["--exit-on-error", "--no-owner", "--no-privileges", f"--jobs={JOBS}", f"--dbname={dbname}", str(file)]
    _run("pg_restore", server, conninfo, asked)


def _one(db: psycopg.Connection[Any], sql: str) -> tuple[Any, ...]:
    row: Any
    try:
        row = db.execute(sql).fetchone()
    except psycopg.errors.UndefinedTable:
        row = None
    if row is None:
        raise NotFound("The database holds no register.", where="database", mend="Run: annul setup")
    return tuple(row)


def _run(tool: str, server: int, conninfo: str, arguments: list[str]) -> None:
    """Run a tool of PostgreSQL, politely."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    told = {_VARIABLES[word]: str(value) for word, value in conninfo_to_dict(conninfo).items() if word in _VARIABLES}
    done = subprocess.run(
        ["nice", f"-n{NICE}", _tool(tool, server), "--no-password", *arguments],
        env=kept | told | {"LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = next((line for line in done.stderr.splitlines() if "error" in line), "no reason given")
        if "No space left" in done.stderr:
            raise StorageFailed("The disk is full.", where=arguments[-1], mend="Free space, and run it again.")
        raise SourceDown(f"{tool} ended with {done.returncode}: {said[:200]}.", where=tool, mend="Look at the database's log.")


def _tool(name: str, server: int) -> str:
    """Return the tool of a version that knows this server: of the wheel, of the path, or of Debian's folders."""
    for place in filter(None, [*(shutil.which(name, path=str(folder)) for folder in servers()), shutil.which(name)]):
        version = subprocess.run([place, "--version"], capture_output=True, text=True, check=False).stdout
        found = _VERSION.search(version)
        if found and int(found[1]) >= server:
            return place
    raise MissingPackage(
        f"There is no {name} of PostgreSQL {server} or later on this machine.",
        where=name,
        mend=f"Run: apt install postgresql-client-{server} (or pip install 'annul[postgres]').",
    )
