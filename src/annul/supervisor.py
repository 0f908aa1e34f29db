"""Run all of annul on one machine: the database, and the processes of every role, in the order that loses nothing.

`serve` is the supervisor. It starts the database (unless a URL names one), the follower, the sealer, the notices and the
workers as processes of their own, forked from a template (see `roles`; what they do is in `annul.app`), starts again what dies,
and stops them in the order that loses nothing: workers first (they answer what they accepted), then the notices and the
follower, then the sealer (it seals the last windows), the database last.

The first worker does not wait for the database: it answers checks from the table of the last run as soon as it has the code of
the check path, if that table holds all that was acknowledged (see `registry.standing`). Everything else starts, and every other
door opens, when the register is held: the database is safe, migrated, not rolled back, and of this key file.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import selectors
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import msgspec

from annul import durable, logs
from annul.errors import Conflict, SourceDown, StorageFailed, UnsafeSettings
from annul.home import Home
from annul.roles import TEMPLATE, Role, Template, raise_file_limit, reap_orphans
from annul.settings import Settings

PORTS_TRIED_MAX = 50  # when the wanted port is busy and another will do
STOP_GRACE_S = 20  # a role that has not stopped by then is killed: what it owes is on disk
TURN_AWAY_S = 0.2  # for the request of a connection nobody serves any more
_STOPPED = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 10\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
CHECK_PATH_STAGE, FOLLOWER_STAGE = 1, 2
"""Stages of the template that roles wait for; all others need the whole code."""


@dataclass
class Supervisor:
    """Run all roles of one machine until told to stop.

    Args:
        settings: as loaded; `port` 0 or `any_port` picks a free one.
        any_port: take the next free port when the wanted one is busy.
        ready: called once with the address when the doors answer.
    """

    settings: Settings
    any_port: bool = False
    ready: Callable[[str], None] | None = None
    roles: list[Role] = field(default_factory=list)
    stopping: bool = False
    unwritten: bool = False

    def run(self) -> None:
        """Start everything, keep it running, stop on SIGTERM or SIGINT.

        Raises:
            UnsafeSettings: annul refuses to run like this.
            Conflict: another annul runs on this home.
        """
        log = logs.get("app")
        durable.close_to_others(self.settings.home)
        raise_file_limit()
        with (
            _only_one(self.settings.home),
            _listen(self.settings, any_port=self.any_port) as door,
            _signals() as (wake, held),
            _template(self.settings, [door.fileno(), held]) as template,
            contextlib.ExitStack() as stack,
        ):
            host, port = door.getsockname()[:2]
            db = Database(self.settings)
            settings = msgspec.structs.replace(self.settings, port=port, host=str(host), database_url=db.conninfo)
            environment = _environment(settings)
            url = settings.base_url
            first, *workers = [
                Role(f"worker-{n}", ["worker", str(n), str(door.fileno()), str(held)]) for n in range(settings.workers)
            ]

            def stop(_number: int, _frame: object) -> None:
                self.stopping = True
                os.eventfd_write(wake, 1)

            if db.embedded is None:
                from annul.registry.answering.standing import mark_behind

                mark_behind(self.settings.home)  # others may have written to that database
            old = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
            holding = _begin(lambda: stack.enter_context(_held_database(self.settings, db)), wake)
            try:
                self.roles = [first]
                self._write_state(template, url, db)
                first.start(template, environment, stage=CHECK_PATH_STAGE)
                self._write_state(template, url, db)
                self._watch(template, environment, url, db, wake, until=holding)
                if not self.stopping:
                    holding.result()
                    os.eventfd_write(held, 1)
                    follower = Role("follower", ["follower"])
                    follower.start(template, environment, stage=FOLLOWER_STAGE)
                    self.roles += [follower, Role("sealer", ["sealer"]), Role("notices", ["notices"]), *workers]
                    threading.Thread(target=self._announce, args=(url,), daemon=True).start()
                    log.info("started", url=url, port=port, count=settings.workers)
                    self._watch(template, environment, url, db, wake)
            finally:
                self._stop_all(log, door)
                db.give_up()
                with contextlib.suppress(Exception):  # said above, or nobody waits for it any more
                    holding.result()
                for number, handler in old.items():
                    signal.signal(number, handler)
                with contextlib.suppress(OSError):  # it names processes that are gone: `running` looks for itself
                    self.settings.home.state.unlink()

    def _announce(self, url: str) -> None:
        while not self.stopping:  # a crash recovery of the database may take minutes
            if is_ready(url):
                _tell_service("READY=1", f"STATUS=answers at {url}")
                if self.ready is not None:
                    self.ready(url)
                return
            time.sleep(0.05)

    def _watch(
        self,
        template: Template,
        environment: dict[str, str],
        url: str,
        db: Database,
        wake: int,
        *,
        until: Future[Any] | None = None,
    ) -> None:
        """Start again what dies, until told to stop, or until `until` is done."""
        log = logs.get("app")
        while not self.stopping and not (until is not None and until.done()):
            now = time.monotonic()
            changed = any((template.revive(), db.revive()))
            for role in self.roles:
                if role.process is None and now >= role.start_at:
                    try:
                        role.start(template, environment)
                    except SourceDown as error:  # no memory, no process: those that run go on
                        log.error("a role could not be started", role=role.name, code=error.code, where=error.where)
                        role.died(now)
                    changed = True
                elif role.process is not None and (code := role.process.poll()) is not None:
                    log.warning("role ended, starting it again", role=role.name, exit_code=code)
                    self._bury(role.process.pid)
                    role.died(now)
                    changed = True
            if changed or self.unwritten:
                self._write_state(template, url, db)
                if until is None:  # before, the database's own commands may not be known yet
                    processes = [role.process.pid for role in self.roles if role.process is not None]
                    reap_orphans([*processes, template.pid, *db.pids().values()])
            _tell_service("WATCHDOG=1")
            self._wait_for_an_end(0.25, wake)

    def _bury(self, pid: int) -> None:
        """Keep the counts of a process that ended with those of others; what cannot be written stays as it is."""
        from annul import metrics

        try:
            metrics.bury(self.settings.home.metrics, pid)
        except (OSError, StorageFailed) as error:
            logs.get("app").warning("the counts of a process that ended stay as they are", error=type(error).__name__)

    def _wait_for_an_end(self, longest_s: float, wake: int) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(wake, selectors.EVENT_READ)
            for role in self.roles:
                if role.process is None:
                    longest_s = min(longest_s, max(0.0, role.start_at - time.monotonic()))
                elif role.process.poll() is None:
                    selector.register(role.process.descriptor, selectors.EVENT_READ)
                else:
                    return
            selector.select(longest_s)
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(wake)

    def _stop_all(self, log: Any, door: socket.socket) -> None:
        self.stopping = True
        _tell_service("STOPPING=1")
        door.listen(0)  # workers still take who waits; others are not let in to wait for nobody
        for names in (("worker",), ("notices",), ("follower",), ("sealer",)):
            running = [role for role in self.roles if role.name.startswith(names) and role.process is not None]
            for role in running:
                assert role.process is not None
                role.process.terminate()
            for role in running:
                assert role.process is not None
                if not role.process.wait(STOP_GRACE_S):
                    log.warning("role did not stop in time, killed", role=role.name)
                    role.process.kill()
                    role.process.wait(STOP_GRACE_S)
            if names == ("worker",):
                _turn_away(door)

    def _write_state(self, template: Template, url: str, db: Database) -> None:
        """Note address and processes for commands. What cannot be written is said once, and tried again until it is."""
        pids = {role.name: role.process.pid for role in self.roles if role.process is not None}
        state = {"url": url, "pid": os.getpid(), "roles": pids | {TEMPLATE: template.pid} | db.pids()}
        failed = None
        try:
            durable.replace_lossy(self.settings.home.state, json.dumps(state).encode())
        except StorageFailed as error:
            failed = error
            if not self.unwritten:
                logs.get("app").error("the processes could not be noted", code=error.code, where=error.where)
        self.unwritten = failed is not None


def serve(settings: Settings, *, any_port: bool = False, ready: Callable[[str], None] | None = None) -> None:
    """Run annul in the foreground until SIGTERM or SIGINT; see `Supervisor`."""
    Supervisor(settings, any_port=any_port, ready=ready).run()


def running(home: Home) -> dict[str, Any] | None:
    """Return {"url", "pid", "roles"} of the annul that runs on `home`, None when none does."""
    try:
        state: dict[str, Any] = json.loads(home.state.read_text(encoding="utf-8"))
        os.kill(state["pid"], 0)
    except (OSError, ValueError, KeyError):
        return None
    return state


def is_ready(url: str) -> bool:
    """Tell whether the doors at `url` answer that everything they need is there."""
    import urllib.request

    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=2) as answer:  # noqa: S310 - our own address
            return bool(answer.status == 200)
    except OSError:
        return False


def _tell_service(*lines: str) -> None:
    """Tell the service manager how we are, where there is one (Type=notify); it hears one datagram.

    Source: sd_notify(3), section Notes: the protocol is stable and may be implemented without the library.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        channel.settimeout(1)
        channel.sendto("\n".join(lines).encode(), address.replace("@", "\0", 1) if address[0] == "@" else address)


@contextlib.contextmanager
def _only_one(home: Home) -> Iterator[None]:
    durable.folder(home.run)
    with contextlib.ExitStack() as stack:
        with durable.telling(home.lock):
            lock = stack.enter_context(home.lock.open("w"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(
                "Another annul already runs on this data folder.", where="ANNUL_HOME", mend="Stop it, or name another folder."
            ) from None
        yield


@contextlib.contextmanager
def _listen(settings: Settings, *, any_port: bool) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    wanted = [settings.port, *(settings.port + n for n in range(1, PORTS_TRIED_MAX) if any_port and settings.port), 0]
    with socket.socket(family, socket.SOCK_STREAM) as door:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for port in wanted if any_port else wanted[:1]:
            try:
                door.bind((settings.host, port))
                break
            except OverflowError:
                continue
            except OSError as error:
                if not any_port:
                    raise UnsafeSettings(
                        f"The address cannot be listened on: {error.strerror}.",
                        where=f"{settings.host}:{port}",
                        mend="Choose another with ANNUL_PORT or ANNUL_HOST, or 0 for any free port.",
                    ) from None
        door.listen(2048)
        door.set_inheritable(True)
        yield door


def _turn_away(door: socket.socket) -> None:
    """Answer those that came when no worker took them any more, and let nobody else in."""
    door.setblocking(False)
    with contextlib.suppress(OSError):
        while True:
            late, _ = door.accept()
            with late, contextlib.suppress(OSError):
                late.settimeout(TURN_AWAY_S)
                late.recv(1 << 16)
                late.sendall(_STOPPED)
                late.shutdown(socket.SHUT_WR)
                late.recv(1 << 16)
    with contextlib.suppress(OSError):
        door.shutdown(socket.SHUT_RDWR)  # for all who inherited it


@contextlib.contextmanager
def _signals() -> Iterator[tuple[int, int]]:
    """Lend two descriptors: one wakes the supervisor; the other becomes readable, and stays so, when the register is held."""
    wake, held = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK), os.eventfd(0, os.EFD_NONBLOCK)
    try:
        yield wake, held
    finally:
        os.close(wake)
        os.close(held)


def _begin(work: Callable[[], Any], wake: int) -> Future[Any]:
    """Run `work` in a thread, and wake the supervisor when it is done."""
    thread = ThreadPoolExecutor(1, "register")
    begun = thread.submit(work)
    begun.add_done_callback(lambda _: os.eventfd_write(wake, 1))
    thread.shutdown(wait=False)
    return begun


@contextlib.contextmanager
def _template(settings: Settings, descriptors: list[int]) -> Iterator[Template]:
    metrics = durable.folder(settings.home.metrics)
    for old in metrics.glob("*.db"):
        old.unlink()
    environment = os.environ | _environment(settings) | {"PROMETHEUS_MULTIPROC_DIR": str(metrics)}
    template = Template([sys.executable, "-m", "annul.app"], environment, descriptors)
    try:
        yield template
    finally:
        template.close()


def _environment(settings: Settings) -> dict[str, str]:
    return {f"ANNUL_{name.upper()}": _text(getattr(settings, name)) for name in settings.__struct_fields__}


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


# -- the database ------------------------------------------------------------------------------------------------------------


class Database:
    """Give the connection string of the register's database, and run the embedded server when no URL names another."""

    def __init__(self, settings: Settings) -> None:
        from annul.registry.postgres import Embedded

        self.embedded = None if settings.database_url else Embedded(settings.home)
        self.conninfo = self.embedded.conninfo if self.embedded else settings.database_url
        self._restarts = 0

    def give_up(self) -> None:
        """Let a start that is under way in another thread end soon, without a server."""
        if self.embedded is not None:
            self.embedded.give_up()

    def revive(self) -> bool:
        """Return whether the embedded server was started again since the last call (its own watcher does that)."""
        if self.embedded is None or self.embedded.restarts == self._restarts:
            return False
        self._restarts = self.embedded.restarts
        return True

    def pids(self) -> dict[str, int]:
        """Return the process id of the embedded server by its role, nothing for a database elsewhere."""
        pid = self.embedded.pid if self.embedded else None
        return {} if pid is None else {"database": pid}


@contextlib.contextmanager
def _held_database(settings: Settings, database: Database) -> Iterator[None]:
    """Run the database as long as needed: safe, migrated, with the register that belongs to this home."""
    from annul.registry.loops.rotation import settle
    from annul.registry.writing.store import migrate

    if database.embedded is not None:
        _require_no_other(settings.home)
    with contextlib.ExitStack() as stack:
        if database.embedded is not None:
            stack.enter_context(database.embedded)
        migrate(database.conninfo)
        _hold_the_register(settings.home, database.conninfo)
        settle(database.conninfo, settings.home)
        yield


def _require_no_other(home: Home) -> None:
    """Refuse to make a new database where there was one: keys are made after the database.

    Raises:
        UnsafeSettings: the address was forgotten, or the folder is gone.
    """
    if home.secret_keys.exists() and not home.postgres.is_dir():
        raise UnsafeSettings(
            "There are keys, but no database: its address is not set, or its folder is gone.",
            where="database_url",
            mend=f"Set database_url in {home.settings_file.name}. If the folder postgres/ was lost: annul restore.",
        )


def _hold_the_register(home: Home, conninfo: str) -> None:
    """Refuse a register that is not the one this home has sealed; make the key file of a new one.

    Raises:
        NotFound: the register has entries, but their key file is gone: new keys would find none of its documents.
        Corrupt: it ends before its last checkpoint: an old copy of the database was put in place.
        UnsafeSettings: it lacks what was acknowledged.
        VerificationFailed: the checkpoint was signed with the key of another key file.
    """
    from annul import keys as key_file
    from annul.registry.answering.standing import require_acknowledged, sealed_size
    from annul.registry.loops.sealer import require_not_rolled_back
    from annul.registry.writing.store import connect

    with connect(conninfo) as db:
        head = db.execute("SELECT next_position - 1 FROM log_head").fetchone()
        keys = key_file.load(home) if head and head[0] else key_file.load_or_create(home)
        key_file.publish(home, keys)
        require_not_rolled_back(db, sealed_size(home, keys))
        require_acknowledged(home, head[0] if head else 0)


@contextlib.contextmanager
def open_database(settings: Settings) -> Iterator[str]:
    """Lend the connection string of a migrated database: the running one, or one started for as long as it is needed."""
    from annul.registry.answering.standing import mark_behind

    database = Database(settings)
    if database.embedded is not None and running(settings.home) is not None:
        yield database.conninfo
        return
    with _held_database(settings, database):
        mark_behind(settings.home)
        yield database.conninfo
