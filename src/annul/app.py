"""Join the parts: the only place that knows all rooms.

`serve` is the supervisor of one machine. It starts the database (unless a URL names one), the follower, the sealer, the
notices and the workers as processes of their own, forked from a template (see `roles`), starts again what dies, and stops
them in the order that loses nothing: workers first (they answer what they accepted), then the notices and the follower,
then the sealer (it seals the last windows), the database last.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import gc
import hmac
import json
import os
import selectors
import signal
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from annul import logs
from annul.errors import AnnulError, Conflict, Corrupt, SourceDown, UnsafeSettings
from annul.roles import TEMPLATE, Role, Template, reap_orphans, stand_by
from annul.settings import Settings, load

if TYPE_CHECKING:
    from annul.web.checkpath import ASGIApp
    from annul.web.doors import Mounted
    from annul.web.office import Office

PORTS_TRIED_MAX = 50  # when the wanted port is busy and another will do
STOP_GRACE_S = 20  # a role that has not stopped by then is killed: what it owes is on disk
READY_WAIT_S = 120
TABLE_POLL_S = 0.02
TABLE_WAIT_WARN_S = 10.0  # a rebuild of a million rows takes about that long
GC_THRESHOLDS = (20_000, 20, 100)  # collections were 3 % of a worker's samples at the defaults
HOUR_US = 3_600_000_000
_CODE = (
    "uvloop", "uvicorn", "uvicorn.protocols.http.httptools_impl", "tink", "annul.web.doors", "annul.web.protocol",
    "annul.registry.follower", "annul.registry.sealer", "annul.registry.notices.process", "annul.registry.checks",
    "annul.registry.verification",
)  # fmt: skip


def now_us() -> int:
    """Return the time in microseconds since the epoch, UTC."""
    return time.time_ns() // 1000


# -- the supervisor ----------------------------------------------------------------------------------------------------------


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

    def run(self) -> None:
        """Start everything, keep it running, stop on SIGTERM or SIGINT.

        Raises:
            UnsafeSettings: annul refuses to run like this.
            Conflict: another annul runs on this home.
        """
        log = logs.get("app")
        any_port = self.any_port
        with (
            _only_one(self.settings.home),
            _listen(self.settings, any_port=any_port) as door,
            _template(self.settings, door) as template,  # loads the code while the database starts
            _database(self.settings) as db,
        ):
            host, port = door.getsockname()[:2]
            settings = msgspec.structs.replace(self.settings, port=port, host=str(host), database_url=db.conninfo)
            environment = _environment(settings)
            url = settings.base_url
            workers = [Role(f"worker-{n}", ["worker", str(n), str(door.fileno())]) for n in range(settings.workers)]
            self.roles = [Role("follower", ["follower"]), Role("sealer", ["sealer"]), Role("notices", ["notices"]), *workers]
            self._write_state(template, url, db)
            old = {number: signal.signal(number, self._on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
            try:
                for role in self.roles:
                    role.start(template, environment)
                self._write_state(template, url, db)
                announcer = threading.Thread(target=self._announce, args=(url,), daemon=True)
                announcer.start()
                log.info("started", url=url, port=port, count=len(workers))
                self._watch(template, environment, url, db)
            finally:
                self._stop_all(log)
                for number, handler in old.items():
                    signal.signal(number, handler)
                _state_file(self.settings.home).unlink(missing_ok=True)

    def _on_signal(self, _number: int, _frame: object) -> None:
        self.stopping = True

    def _announce(self, url: str) -> None:
        deadline = time.monotonic() + READY_WAIT_S
        while time.monotonic() < deadline and not self.stopping:
            if is_ready(url):
                if self.ready is not None:
                    self.ready(url)
                return
            time.sleep(0.05)

    def _watch(self, template: Template, environment: dict[str, str], url: str, db: Database) -> None:
        log = logs.get("app")
        while not self.stopping:
            now = time.monotonic()
            changed = any((template.revive(), db.revive()))
            for role in self.roles:
                if role.process is None and now >= role.start_at:
                    role.start(template, environment)
                    changed = True
                elif role.process is not None and (code := role.process.poll()) is not None:
                    log.warning("role ended, starting it again", role=role.name, exit_code=code)
                    role.died(now)
                    changed = True
            if changed:
                self._write_state(template, url, db)
                processes = [role.process.pid for role in self.roles if role.process is not None]
                reap_orphans([*processes, template.pid, *db.pids().values()])
            self._wait_for_an_end(0.25)

    def _wait_for_an_end(self, longest_s: float) -> None:
        with selectors.DefaultSelector() as selector:
            for role in self.roles:
                if role.process is None:
                    longest_s = min(longest_s, max(0.0, role.start_at - time.monotonic()))
                elif role.process.poll() is None:
                    selector.register(role.process.descriptor, selectors.EVENT_READ)
                else:
                    return
            selector.select(longest_s)

    def _stop_all(self, log: Any) -> None:
        self.stopping = True
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

    def _write_state(self, template: Template, url: str, db: Database) -> None:
        pids = {role.name: role.process.pid for role in self.roles if role.process is not None}
        state = {"url": url, "pid": os.getpid(), "roles": pids | {TEMPLATE: template.pid} | db.pids()}
        file = _state_file(self.settings.home)
        temporary = file.with_suffix(".new")
        temporary.write_text(json.dumps(state), encoding="utf-8")
        temporary.replace(file)


def serve(settings: Settings, *, any_port: bool = False, ready: Callable[[str], None] | None = None) -> None:
    """Run annul in the foreground until SIGTERM or SIGINT; see `Supervisor`."""
    Supervisor(settings, any_port=any_port, ready=ready).run()


def running(home: Path) -> dict[str, Any] | None:
    """Return {"url", "pid", "roles"} of the annul that runs on `home`, None when none does."""
    try:
        state: dict[str, Any] = json.loads(_state_file(home).read_text(encoding="utf-8"))
        os.kill(state["pid"], 0)
    except (OSError, ValueError, KeyError):
        return None
    return state


def is_ready(url: str) -> bool:
    """Tell whether the doors at `url` answer that everything they need is there."""
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=2) as answer:  # noqa: S310 - our own address
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _state_file(home: Path) -> Path:
    return home / "run" / "annul.json"


@contextlib.contextmanager
def _only_one(home: Path) -> Iterator[None]:
    folder = home / "run"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / "annul.lock").open("w") as lock:
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


@contextlib.contextmanager
def _template(settings: Settings, door: socket.socket) -> Iterator[Template]:
    metrics = settings.home / "run" / "metrics"
    metrics.mkdir(parents=True, exist_ok=True)
    for old in metrics.glob("*.db"):
        old.unlink()
    environment = os.environ | _environment(settings) | {"PROMETHEUS_MULTIPROC_DIR": str(metrics)}
    template = Template([sys.executable, "-m", "annul.app"], environment, [door.fileno()])
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
def _database(settings: Settings) -> Iterator[Database]:
    from annul.registry.rotation import settle
    from annul.registry.store import migrate

    with contextlib.ExitStack() as stack:
        database = Database(settings)
        if database.embedded is not None:
            stack.enter_context(database.embedded)
            database.conninfo = database.embedded.conninfo
        migrate(database.conninfo)
        _hold_the_register(settings.home, database.conninfo)
        settle(database.conninfo, settings.home)
        yield database


def _hold_the_register(home: Path, conninfo: str) -> None:
    """Refuse a register that is not the one this home has sealed; make the key file of a new one.

    Raises:
        NotFound: the register has entries, but their key file is gone: new keys would find none of its documents.
        Corrupt: it ends before its last checkpoint: an old copy of the database was put in place.
        VerificationFailed: the checkpoint was signed with the key of another key file.
    """
    from annul.proof.checkpoint import open_checkpoint
    from annul.registry import keys as key_file
    from annul.registry.sealer import hold_not_rolled_back
    from annul.registry.store import connect

    with connect(conninfo) as db:
        head = db.execute("SELECT next_position - 1 FROM log_head").fetchone()
        keys = key_file.load(home) if head and head[0] else key_file.load_or_create(home)
        checkpoint = home / "log" / "register" / "checkpoint"
        if checkpoint.exists():
            signer = keys.register_signer()
            hold_not_rolled_back(db, open_checkpoint(checkpoint.read_bytes(), [signer.verifier], signer.name).size)


@contextlib.contextmanager
def open_database(settings: Settings) -> Iterator[str]:
    """Lend the connection string of a migrated database: the running one, or one started for as long as it is needed."""
    from annul.registry.postgres import Embedded

    if not settings.database_url and running(settings.home) is not None:
        yield Embedded(settings.home).conninfo
        return
    with _database(settings) as database:
        yield database.conninfo


# -- one process's parts -----------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def open_office(settings: Settings, conninfo: str, *, worker: int | None = None) -> AsyncIterator[Office]:
    """Assemble the parts of one process.

    Args:
        settings: as loaded.
        conninfo: the register's database.
        worker: number of the worker, whose check log this process then owns; None for commands, which answer no checks.
    """
    from annul.listings.listings import Listings
    from annul.proof.receipt import WindowSigner
    from annul.registry import keys as key_file
    from annul.registry.accounts import Accounts
    from annul.registry.attempts import AttemptFile
    from annul.registry.bulk import Bulk
    from annul.registry.checklog import CheckLog
    from annul.registry.checks import Checks
    from annul.registry.citizen import Citizens
    from annul.registry.counter import Departures
    from annul.registry.disputes import Disputes
    from annul.registry.drafts import Drafts
    from annul.registry.found import FoundCards
    from annul.registry.notices.delivery import Delivery
    from annul.registry.notices.outbox import Outbox
    from annul.registry.notices.process import channels_of
    from annul.registry.notices.undo import Undo
    from annul.registry.notices.webhooks import WebhookBook
    from annul.registry.officers import Officers
    from annul.registry.oversight import Oversight
    from annul.registry.parties import Parties
    from annul.registry.people.enrolment import Enrolments
    from annul.registry.people.imports import PersonImports
    from annul.registry.people.people import People
    from annul.registry.people import PEOPLE_FOLDER
    from annul.registry.people.vault import Vault
    from annul.registry.policies import Policies
    from annul.registry.provisional import ProvisionalReports
    from annul.registry.quota import Quota
    from annul.registry.recalls import Recalls
    from annul.registry.register import Register
    from annul.registry.review.review import Review
    from annul.registry.searches import Searches
    from annul.registry.sessions import SessionBook
    from annul.registry.store import open_pool
    from annul.registry.uploads import Uploads
    from annul.registry.verification import Verifications
    from annul.registry.walk import raise_alarm
    from annul.web.office import Office

    home = settings.home
    keys = key_file.load(home)
    async with contextlib.AsyncExitStack() as stack:
        listings = Listings(home / "listings")
        pool = await open_pool(conninfo, size_max=settings.database_pool_max)
        stack.push_async_callback(pool.close)
        checks = verifications = None
        if worker is not None:
            quota = Quota(home / "run" / "quota", worker)
            stack.callback(quota.close)
            log = CheckLog(home / "checks", worker)
            stack.callback(log.close)
            documents = {realm: keys.documents(realm) for realm in key_file.REALMS}
            checks = Checks(
                listings,
                documents,
                log,
                WindowSigner(keys.receipts),
                quota,
                people=Listings(home / PEOPLE_FOLDER),
                alarm=partial(raise_alarm, home),
                now_us=now_us,
                live_ms=settings.freshness_live_ms,
                window_ms_max=settings.window_ms_max,
            )
            stack.push_async_callback(checks.close)
        acknowledge_s = settings.acknowledge_ms_max / 1000
        register = Register(
            pool, keys, listings, now_us, home=home, provisional_us=settings.provisional_hours * HOUR_US,
            acknowledge_s=acknowledge_s,
        )  # fmt: skip
        vault = Vault(home)
        if worker is not None:  # reading the key set loads a large library: not while a check waits
            asyncio.get_running_loop().run_in_executor(None, vault.warm)
        people = People(
            pool, keys, register, vault, listings, now_us, home=home, death_delay_us=settings.death_delay_days * 24 * HOUR_US,
            acknowledge_s=acknowledge_s,
        )  # fmt: skip
        enrolments = Enrolments(people, pool, vault)
        if checks is not None:
            attempts = AttemptFile(home / "run" / "attempts")
            stack.callback(attempts.close)
            verifications = Verifications(
                checks, keys.receipt_signer(), now_us, documents={realm: keys.documents(realm) for realm in key_file.REALMS},
                attempts=attempts, secret=keys.session, traits=enrolments,
            )  # fmt: skip
            stack.push_async_callback(verifications.close)
        parties = Parties(pool, listings, now_us)
        accounts = Accounts(pool, home, keys, now_us)
        bulk = Bulk(pool, keys, home, now_us, limit=settings.bulk_limit, listings=listings, acknowledge_s=acknowledge_s)
        yield Office(
            settings=settings,
            keys=keys,
            listings=listings,
            pool=pool,
            register=register,
            people=people,
            enrolments=enrolments,
            review=Review(
                pool, keys, people, enrolments, register, vault, listings, now_us, home=home, acknowledge_s=acknowledge_s
            ),
            person_imports=PersonImports(
                conninfo,
                pool,
                keys,
                vault,
                home,
                now_us,
                limit=settings.bulk_limit,
                listings=listings,
                acknowledge_s=acknowledge_s,
            ),
            bulk=bulk,
            uploads=Uploads(bulk, home, now_us),
            parties=parties,
            accounts=accounts,
            oversight=Oversight(pool, now_us),
            sessions=SessionBook(pool, hmac.digest(keys.session, b"annul kept forms", "sha256")),
            checks=checks,
            now_us=now_us,
            verifications=verifications,
            policies=Policies(pool, parties, now_us),
            departures=Departures(pool, accounts, keys.receipt_signer().verifier, now_us),
            officers=Officers(pool, parties, now_us, base_url=settings.base_url),
            searches=Searches(pool, keys, vault, home, now_us),
            found=FoundCards(pool, keys, register, now_us),
            disputes=Disputes(pool, keys, register, now_us, term_us=settings.dispute_term_days * 24 * HOUR_US),
            recalls=Recalls(pool, keys, now_us, home),
            citizens=Citizens(pool, keys, register, people, vault, now_us, disclosure_days=settings.disclosure_delay_days),
            provisional=ProvisionalReports(pool, keys, register, vault, now_us),
            drafts=Drafts(pool),
            undo=Undo(keys),
            outbox=Outbox(pool),
            delivery=Delivery(pool, keys, vault, channels_of(settings), settings, now_us),
            webhooks=WebhookBook(pool, keys.envelope, private=settings.webhooks_private),
        )


def doors(office: Office, mounted: Mounted | None = None) -> ASGIApp:
    """Open the doors of a worker; those of a demo have its identity provider beside them.

    Args:
        mounted: the routes, mounted before (see `annul.web.doors.Mounted`).

    Raises:
        UnsafeSettings: `demo` is set on a register that no demo made.
    """
    from annul.web.doors import create_web

    if not office.settings.demo:
        return create_web(office, mounted=mounted)
    from annul.demo.identity_provider import PATH, IdentityProvider
    from annul.demo.record import FILE

    if not (office.settings.home / FILE).exists():
        mend = "Leave ANNUL_DEMO out."
        raise UnsafeSettings("anybody may log in as anybody in a demo, and this is none", where="demo", mend=mend)
    provider: Any = IdentityProvider(office.settings.home, office.keys, office.settings.base_url)
    return create_web(office, beside={PATH: provider}, mounted=mounted)


async def work(settings: Settings, worker: int, door: socket.socket, mounted: Mounted | None = None) -> None:
    """Answer requests on `door` until SIGTERM; what was accepted is answered first."""
    import uvicorn

    from annul.likeness.samples import forbid_core_dumps
    from annul.registry import sandbox
    from annul.web import pages
    from annul.web.protocol import check_protocol

    forbid_core_dumps()  # samples of bearers and every secret lie in this process
    await _tables_there(settings)
    async with open_office(settings, settings.database_url, worker=worker) as office:
        gc.collect()
        gc.freeze()  # what is loaded stays: the collector need not look at it again
        gc.set_threshold(*GC_THRESHOLDS)
        web = doors(office, mounted)
        asyncio.get_running_loop().run_in_executor(None, pages.warm)
        furnishing = None
        if worker == 0:
            test_keys = office.keys.documents("test")
            furnishing = asyncio.create_task(sandbox.keep(office.register, office.parties, office.listings, test_keys, now_us))
        server = uvicorn.Server(
            uvicorn.Config(
                web,
                loop="uvloop",
                http=check_protocol(web),
                ws="none",
                lifespan="off",
                access_log=False,
                log_config=None,
                server_header=False,
                date_header=True,
                proxy_headers=False,
                timeout_keep_alive=75,
                timeout_graceful_shutdown=10,
                backlog=2048,
            )
        )
        await server.serve(sockets=[door])
        if furnishing is not None:
            furnishing.cancel()


async def _tables_there(settings: Settings) -> None:
    """Wait until the follower has made the tables and caught up once: at a first start, after a restart of the machine."""
    from annul.listings.listings import Listings
    from annul.registry.people import PEOPLE_FOLDER

    waited_s = 0.0
    for folder in ("listings", PEOPLE_FOLDER):
        while True:
            try:
                table = Listings(settings.home / folder)
                table.refresh()
                if table.as_of_us or folder == PEOPLE_FOLDER:  # the follower says how current the listings are, not the names
                    break
            except (SourceDown, Corrupt) as error:
                if waited_s >= TABLE_WAIT_WARN_S:
                    logs.get("worker").warning("waiting for the follower's tables", code=error.code, where=error.where)
                    waited_s = 0.0
            await asyncio.sleep(TABLE_POLL_S)
            waited_s += TABLE_POLL_S


def _load_code() -> Mounted:
    """Load what the roles need; only code: no file of the data folder, no thread, no loop."""
    from importlib import import_module

    from annul.listings import native
    from annul.web.doors import Mounted

    for name in _CODE:
        import_module(name)
    native.load()
    return Mounted()


def main(arguments: list[str]) -> int:
    """Run a role: `follower`, `sealer`, `notices`, `worker N DESCRIPTOR`; or `template CHANNEL`, of which roles are forked."""
    mounted: list[Mounted] = []
    if arguments[0] == TEMPLATE:
        forked = stand_by(socket.socket(fileno=int(arguments[1])), lambda: mounted.append(_load_code()))
        if forked is None:
            return 0
        arguments = forked
    settings = load()
    logs.configure(settings.log_level)
    role = arguments[0]
    log = logs.get(role)
    try:
        if role == "worker":
            import uvloop

            door = socket.socket(fileno=int(arguments[2]))
            uvloop.run(work(settings, int(arguments[1]), door, *mounted))
            return 0
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        if role == "follower":
            from annul.registry import follower

            follower.run(settings, stop)
        elif role == "notices":
            from annul.registry.notices import process

            process.run(settings, stop)
        else:
            from annul.registry import sealer

            sealer.run(settings, stop)
    except AnnulError as error:
        log.error("stopped", code=error.code, where=error.where, error=error.message)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
