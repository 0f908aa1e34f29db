"""Join the parts: the only place that knows all rooms.

`open_front` assembles what answers checks, `open_office` everything else of a process, `work` is a worker. `main` runs a role,
or the template of which roles are forked (see `roles`, `supervisor`).
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from annul import durable, logs
from annul.errors import AnnulError, Corrupt, NotFound, SourceDown, UnsafeSettings
from annul.roles import TEMPLATE, forbid_core_dumps, stand_by
from annul.settings import Settings, load
from annul.times import DAY_US, now_us

if TYPE_CHECKING:
    import asyncio

    import uvicorn

    from annul.keys import Keys
    from annul.listings.listings import Listings
    from annul.registry.answering.checks import Checks
    from annul.registry.people.vault import Vault
    from annul.registry.writing.ground import Ground
    from annul.web.door.checkpath import CheckPath
    from annul.web.door.office import Front, Office
    from annul.web.doors import Mounted

TABLE_POLL_S = 0.02
STOP_LOOK_S = 0.1
TABLE_WAIT_WARN_S = 10.0  # a rebuild of a million rows takes about that long
GC_THRESHOLDS = (20_000, 20, 100)  # collections were 3 % of a worker's samples at the defaults
SWITCH_S = 0.001  # while a worker loads code beside its answers, they get their turn after so long

_CHECK_PATH = (
    "uvloop",
    "uvicorn",
    "uvicorn.protocols.http.httptools_impl",
    "annul.web.door.protocol",
    "annul.registry.answering.quota",
    "annul.registry.answering.standing",
    "annul.records.mrz",
)
_FOLLOWER = ("annul.registry.loops.follower",)
_REST = (
    "tink",
    "annul.web.doors",
    "annul.web.door.tokens",
    "annul.registry.loops.sealer",
    "annul.registry.loops.herald",
    "annul.registry.counter.verification",
    "fido2.server",
    "fido2.webauthn",
)


# -- one process's parts -----------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def open_front(settings: Settings, worker: int) -> AsyncIterator[Front]:
    """Assemble what answers checks: files alone, no database.

    Args:
        settings: as loaded.
        worker: number of the worker, whose check log this process then owns.

    Raises:
        UnsafeSettings: `demo` is set on a register that no demo made; the key file can be read by others.
    """
    import asyncio

    from annul import keys as key_file
    from annul.listings.listings import Listings
    from annul.proof.window import WindowSigner
    from annul.registry.answering.checklog import CheckLog
    from annul.registry.answering.checks import Checks
    from annul.registry.answering.principals import Principals
    from annul.registry.answering.quota import Quota
    from annul.registry.answering.standing import owed
    from annul.registry.answering.walk import raise_alarm
    from annul.web.door.office import Front

    home = settings.home
    _require_demo(settings)
    keys = key_file.load(home)
    async with contextlib.AsyncExitStack() as stack:
        listings = Listings(home.listings)
        quota = Quota(home.quota, worker)
        stack.callback(quota.close)
        log = CheckLog(home.checks, worker)
        stack.callback(log.close)
        while listings.position < owed(home, log.position):  # an older copy: the follower brings it up to date, or refuses it
            await asyncio.sleep(TABLE_POLL_S)
            listings = Listings(home.listings)
        checks = Checks(
            listings,
            {realm: keys.documents(realm) for realm in key_file.REALMS},
            log,
            WindowSigner(keys.receipts),
            quota,
            people=Listings(home.people),
            alarm=partial(raise_alarm, home),
            now_us=now_us,
            live_ms=settings.freshness_live_ms,
            window_ms_max=settings.window_ms_max,
        )
        stack.push_async_callback(checks.close)
        yield Front(settings, keys, listings, Principals(listings, now_us), checks, now_us)


def _require_demo(settings: Settings) -> None:
    if settings.demo and not settings.home.demo.exists():
        mend = "Leave ANNUL_DEMO out."
        raise UnsafeSettings("Anybody may log in as anybody in a demo, and this is none.", where="demo", mend=mend)


@contextlib.asynccontextmanager
async def open_office(
    settings: Settings, conninfo: str, *, worker: int | None = None, front: Front | None = None
) -> AsyncIterator[Office]:
    """Assemble the parts of one process.

    Args:
        settings: as loaded.
        conninfo: the register's database.
        worker: number of the worker, whose check log this process then owns; None for commands, which answer no checks.
        front: what answers checks in this worker already.
    """
    import asyncio

    from annul import keys as key_file
    from annul.listings.listings import Listings
    from annul.registry.conduct.parts import Conduct
    from annul.registry.people.vault import Vault
    from annul.registry.writing.ground import Ground
    from annul.registry.writing.store import open_pool

    home = settings.home
    async with contextlib.AsyncExitStack() as stack:
        if front is None and worker is not None:
            front = await stack.enter_async_context(open_front(settings, worker))
        keys = front.keys if front else key_file.load(home)
        listings = front.listings if front else Listings(home.listings)
        pool = await open_pool(conninfo, size_max=settings.database_pool_max)
        stack.push_async_callback(pool.close)
        ground = Ground(pool, keys, home, now_us, listings=listings, acknowledge_s=settings.acknowledge_ms_max / 1000)
        vault = Vault(home)
        if front is not None:  # reading the key set loads a large library: not while a check waits
            asyncio.get_running_loop().run_in_executor(None, vault.warm)
        office = _office(settings, ground, conninfo, vault, listings)
        office.conduct = Conduct(ground, office.accounts)
        if front is not None and front.checks is not None:
            _open_checks(office, front.checks, ground, stack)
        yield office


def _office(settings: Settings, ground: Ground, conninfo: str, vault: Vault, listings: Listings) -> Office:
    """Stand the parts on their ground; those of a worker come after (`_open_checks`)."""
    from annul.registry.accounts.accounts import Accounts
    from annul.registry.accounts.oversight import Oversight
    from annul.registry.citizen.citizens import Citizens
    from annul.registry.citizen.drafts import Drafts
    from annul.registry.citizen.provisional import ProvisionalReports
    from annul.registry.counter.departures import Departures
    from annul.registry.desk.disputes import Disputes
    from annul.registry.desk.found import FoundCards
    from annul.registry.desk.recalls import Recalls
    from annul.registry.desk.searches import Searches
    from annul.registry.loops.herald import channels_of
    from annul.registry.notices.delivery import Delivery
    from annul.registry.notices.outbox import Outbox
    from annul.registry.notices.undo import Undo
    from annul.registry.parties.officers import Officers
    from annul.registry.parties.parties import Parties
    from annul.registry.parties.policies import Policies
    from annul.registry.parties.sessions import SessionBook
    from annul.registry.people.enrolment import Enrolments
    from annul.registry.people.imports import PersonImports
    from annul.registry.people.register import People
    from annul.registry.review.queue import Review
    from annul.registry.writing.bulk import Bulk
    from annul.registry.writing.register import Register
    from annul.registry.writing.uploads import Uploads
    from annul.web.door.office import Office

    pool, keys, bulk = ground.connections, ground.keys, Bulk(ground, limit=settings.bulk_limit)
    register = Register(ground, provisional_us=settings.provisional_us)
    people = People(ground, register, vault, death_delay_us=settings.death_delay_days * DAY_US)
    enrolments = Enrolments(ground, people, vault)
    parties = Parties(pool, listings, now_us)
    accounts = Accounts(ground)
    return Office(
        settings=settings,
        keys=keys,
        listings=listings,
        pool=pool,
        register=register,
        people=people,
        enrolments=enrolments,
        review=Review(ground, register, people, enrolments, vault),
        person_imports=PersonImports(ground, conninfo, vault, limit=settings.bulk_limit),
        bulk=bulk,
        uploads=Uploads(ground, bulk),
        parties=parties,
        accounts=accounts,
        oversight=Oversight(pool, now_us),
        sessions=SessionBook(ground),
        checks=None,
        now_us=now_us,
        policies=Policies(pool, parties, now_us),
        departures=Departures(ground, accounts),
        officers=Officers(pool, parties, now_us, base_url=settings.base_url),
        searches=Searches(ground, vault),
        found=FoundCards(ground, register),
        disputes=Disputes(ground, register, term_us=settings.dispute_term_days * DAY_US),
        recalls=Recalls(ground),
        citizens=Citizens(ground, register, people, vault, disclosure_days=settings.disclosure_delay_days),
        provisional=ProvisionalReports(ground, register, vault),
        drafts=Drafts(pool),
        undo=Undo(keys),
        outbox=Outbox(pool),
        delivery=Delivery(ground, vault, channels_of(settings), settings),
        **_linkage(settings, ground),
    )


def _linkage(settings: Settings, ground: Ground) -> dict[str, Any]:
    """Return the parts by which others hear of what changes: devices, and parties with documents on file."""
    from annul.registry.editions.tail import Tail
    from annul.registry.editions.verifiers import Verifiers
    from annul.registry.linkage.book import Subscriptions
    from annul.registry.linkage.credentials import Credentials
    from annul.registry.linkage.misuse import Misuse
    from annul.registry.linkage.press import ListPress
    from annul.registry.notices.webhooks import WebhookBook

    limits = {"tokens_max": settings.subscriptions_max, "blindings_max": settings.blindings_per_day}
    return {
        "webhooks": WebhookBook(ground.connections, ground.keys.envelope, private=settings.webhooks_private),
        "feed": Tail(ground.home),
        "verifiers": Verifiers(ground.connections, ground.now_us),
        "subscriptions": Subscriptions(ground, **limits),
        "misuse": Misuse(ground),
        "credentials": Credentials(ground),
        "lists": ListPress(ground.connections, ground.keys, settings.base_url, ground.now_us),
    }


def _open_checks(office: Office, checks: Checks, ground: Ground, stack: contextlib.AsyncExitStack) -> None:
    """Give a worker's office what needs the check path: the checks, and the comparison of bearer and holder."""
    from annul.registry.counter.attempts import AttemptFile
    from annul.registry.counter.verification import Verifications

    attempts = AttemptFile(ground.home.attempts)
    stack.callback(attempts.close)
    office.checks = checks
    office.verifications = Verifications(
        checks,
        ground.keys.receipt_signer(),
        now_us,
        documents=ground.documents,
        attempts=attempts,
        secret=ground.keys.session,
        traits=office.enrolments,
    )
    stack.push_async_callback(office.verifications.close)


def doors(office: Office, mounted: Mounted | None = None, path: CheckPath | None = None) -> CheckPath:
    """Open the doors of a worker; those of a demo have its identity provider beside them.

    Args:
        mounted: the routes, mounted before (see `annul.web.doors.Mounted`); mounted now when not given.
        path: the check path, when it answers already.

    Raises:
        UnsafeSettings: `demo` is set on a register that no demo made.
    """
    from annul.web.doors import create_web

    mounted = mounted or _mount()
    if not office.settings.demo:
        return create_web(office, mounted, path=path)
    from annul.demo.identity_provider import PATH, IdentityProvider

    _require_demo(office.settings)
    provider: Any = IdentityProvider(office.settings.home, office.keys, office.settings.base_url)
    return create_web(office, mounted, beside={PATH: provider}, path=path)


async def work(
    settings: Settings, worker: int, door: socket.socket, held: int | None = None, mounted: Mounted | None = None
) -> None:
    """Answer requests on `door` until SIGTERM; what was accepted is answered first.

    Checks are answered as soon as the table stands; the other doors open when the register is held.

    Args:
        held: descriptor that becomes readable when the register is held; None: somebody else holds it.
        mounted: the routes, mounted before; loaded beside the first answers when not given.
    """
    import asyncio

    import uvicorn

    from annul.web.door.checkpath import CheckPath
    from annul.web.door.draining import DrainingServer
    from annul.web.door.entrance import Shares
    from annul.web.door.protocol import check_protocol

    forbid_core_dumps()  # samples of bearers and every secret lie in this process
    await _until_standing(settings)
    async with contextlib.AsyncExitStack() as stack:
        front = await stack.enter_async_context(open_front(settings, worker))
        path = CheckPath(front)
        shares = Shares(settings.home.connections, worker)
        stack.callback(shares.close)
        server = DrainingServer(
            uvicorn.Config(
                path,
                loop="uvloop",
                http=check_protocol(path),
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
            ),
            shares,
        )
        opening = asyncio.create_task(_open_doors(front, path, held, mounted, stack))
        watching = asyncio.create_task(_watch_opening(opening, path, server))
        await server.serve(sockets=[door])
        await watching


async def _open_doors(
    front: Front, path: CheckPath, held: int | None, mounted: Mounted | None, stack: contextlib.AsyncExitStack
) -> None:
    """Open what is behind the check path, when the register is held."""
    import asyncio

    from annul.registry.parties import sandbox

    if mounted is None:
        sys.setswitchinterval(SWITCH_S)
        gc.disable()  # as in the template
        mounted = await asyncio.to_thread(_load_rest)
        gc.enable()
        sys.setswitchinterval(0.005)
    if held is not None:
        is_held = asyncio.Event()
        asyncio.get_running_loop().add_reader(held, is_held.set)
        await is_held.wait()
        asyncio.get_running_loop().remove_reader(held)
    settings = front.settings
    office = await stack.enter_async_context(open_office(settings, settings.database_url, front=front))
    gc.freeze()  # what is loaded stays: the collector need not look at it again
    gc.set_threshold(*GC_THRESHOLDS)
    doors(office, mounted, path)
    if front.checks is not None and front.checks.worker == 0:
        test_keys = office.keys.documents("test")
        furnishing = asyncio.create_task(sandbox.keep(office.register, office.parties, office.listings, test_keys, now_us))
        stack.callback(furnishing.cancel)


async def _watch_opening(opening: asyncio.Task[None], path: CheckPath, server: uvicorn.Server) -> None:
    """Stop the worker when its doors cannot be opened; let nobody wait at them when it stops before.

    Raises:
        Exception: why the doors cannot be opened.
    """
    import asyncio

    while not opening.done() and not server.should_exit:
        await asyncio.wait({opening}, timeout=STOP_LOOK_S)
    if opening.done():
        server.should_exit = server.should_exit or opening.exception() is not None
    else:
        opening.cancel()
    path.stay_closed()
    with contextlib.suppress(asyncio.CancelledError):
        await opening


async def _until_standing(settings: Settings) -> None:
    """Wait until the table may answer: at once after most starts, else when the follower has caught up.

    Raises:
        UnsafeSettings, Corrupt: the key file can be read by others, or is damaged.
    """
    import asyncio

    from annul import keys as key_file
    from annul.registry.answering.standing import stands

    waited_s = 0.0
    while True:
        keys: Keys | None = None
        with contextlib.suppress(NotFound):  # it is made with a new register
            keys = key_file.load(settings.home)
        try:
            if keys is not None and stands(settings.home, keys):
                return
        except (SourceDown, Corrupt) as error:
            if waited_s >= TABLE_WAIT_WARN_S:
                logs.get("worker").warning("waiting for the follower's tables", code=error.code, where=error.where)
                waited_s = 0.0
        await asyncio.sleep(TABLE_POLL_S)
        waited_s += TABLE_POLL_S


# -- the template ------------------------------------------------------------------------------------------------------------


def _load(names: tuple[str, ...]) -> None:
    for name in names:
        import_module(name)


def _load_check_path() -> None:
    """Load what answers checks; only code: no file of the data folder, no thread, no loop."""
    from annul.listings import native
    from annul.registry.answering import machine

    _load(_CHECK_PATH)
    native.load()
    machine.warm()


def _load_rest() -> Mounted:
    """Load everything else, and prepare the pages."""
    _load(_FOLLOWER + _REST)
    from annul.web.door import pages

    pages.warm()
    return _mount()


def _mount() -> Mounted:
    """Mount the route table on the framework; it waits for its office."""
    from annul.web.doors import Mounted
    from annul.web.routes import ROUTES

    return Mounted(ROUTES)


def _reserve_metrics() -> None:
    """Take the room of this process's counts.

    Raises:
        StorageFailed: the disk is full; the supervisor starts the process again, until there is room.
    """
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        from annul.metrics import reserve

        reserve()


def main(arguments: list[str]) -> int:
    """Run a role: `follower`, `sealer`, `notices`, `worker N DOOR [HELD]`; or `template CHANNEL`, of which roles are forked."""
    mounted: list[Mounted] = []
    logs.configure()  # loading may warn
    if arguments[0] == TEMPLATE:
        stages = (_load_check_path, lambda: _load(_FOLLOWER), lambda: mounted.append(_load_rest()))
        forked = stand_by(socket.socket(fileno=int(arguments[1])), stages)
        if forked is None:
            return 0
        arguments = forked
    settings = load()
    logs.configure(settings.log_level)
    os.umask(durable.UMASK)
    role = arguments[0]
    log = logs.get(role)
    try:
        _reserve_metrics()
        if role == "worker":
            import uvloop

            door = socket.socket(fileno=int(arguments[2]))
            held = int(arguments[3]) if len(arguments) > 3 else None
            if held is None:  # without a supervisor: nobody waits for the first answer
                mounted = [_load_rest()]
            uvloop.run(work(settings, int(arguments[1]), door, held, *mounted))
            return 0
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        if role == "follower":
            from annul.registry.loops import follower

            follower.run(settings, stop)
        elif role == "notices":
            from annul.registry.loops import herald as process

            process.run(settings, stop)
        else:
            from annul.registry.loops import sealer

            sealer.run(settings, stop)
    except AnnulError as error:
        log.error("stopped", code=error.code, where=error.where, error=error.message)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
