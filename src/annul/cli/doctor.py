"""Examine one home: what is wrong, and how to mend it. Nothing is changed; a stopped database is started to look at it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from annul.errors import AnnulError, Corrupt, NotFound, SourceDown
from annul.home import Home
from annul.times import now_us

if TYPE_CHECKING:
    from annul.settings import Settings

DISK_WRONG_BYTES: Final = 512 << 20
"""Below this, logs of a busy day no longer fit."""
DISK_WARNING_SHARE: Final = 0.1
BARRIER_WARNING_MS: Final = 20.0
"""A write barrier above this makes every answer slow; an ordinary SSD takes below 2 ms."""
BARRIERS: Final = 8
FILES_WARNING: Final = 4_096
"""Below this, a worker with many quiet connections cannot open its files any more."""
WITNESS_ROUNDS: Final = 3
"""A log that does not grow is cosigned anew every ten minutes; after three missed turns something is wrong."""
BACKUP_WARNING_H: Final = 26
"""A day of runs that did not come, and two hours."""
CLOCK_ERROR: Final = 5  # TIME_ERROR of adjtimex(2): the clock is not synchronised
_TIMEX_BYTES: Final = 256  # struct timex has 208 bytes on 64-bit Linux

Verdict = Literal["well", "warning", "wrong"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Say about one thing whether it is well, and how to mend it if not."""

    what: str
    verdict: Verdict
    message: str
    mend: str = ""

    def as_dict(self) -> dict[str, str]:
        """Return the members that hold something."""
        members = {"what": self.what, "verdict": self.verdict, "message": self.message, "mend": self.mend}
        return {name: value for name, value in members.items() if value}


def examine(home: Home) -> Iterator[Finding]:
    """Look at everything a running annul relies on; later steps are left out when an earlier one makes them pointless."""
    from annul.settings import load

    try:
        settings = load(home=home)
    except AnnulError as error:
        yield _wrong("settings", error)
        return
    yield Finding("settings", "well", f"read; home {settings.home}")
    if not settings.home.is_dir():
        yield Finding("home", "wrong", f"{settings.home} does not exist", "Run: annul setup, or annul demo")
        return
    yield _home(settings.home)
    readable = True
    for what, look in (
        ("key file", _keys),
        ("keys of persons", _person_keys),
        ("disk", _disk),
        ("write barrier", _barrier),
        ("open files", _files),
        ("clock", _clock),
        ("processes", _processes),
        ("proxies", _proxies),
        ("backup", _backup),
        ("database", _database),
        ("register", _rolled_back),
        ("listings", _listings),
        ("names", _names),
        ("sealed logs", _logs),
        ("witnesses", _witnesses),
    ):
        if look in (_rolled_back, _logs) and not readable:
            continue  # seals are verified with the key file: what is wrong with it was said
        for finding in _guarded(what, look, settings):
            readable = readable and (finding.what, finding.verdict) != ("key file", "wrong")
            yield finding


def _guarded(what: str, look: Callable[[Settings], Iterator[Finding]], settings: Settings) -> Iterator[Finding]:
    try:
        yield from look(settings)
    except AnnulError as error:
        yield _wrong(what, error)
    except OSError as error:
        yield Finding(what, "wrong", f"{error.strerror or error}", "Look at the folder's disk and its permissions.")


def _wrong(what: str, error: AnnulError) -> Finding:
    place = f" ({error.where})" if error.where else ""
    return Finding(what, "wrong", f"{error.message}{place}", error.mend or "")


def _home(home: Home) -> Finding:
    mode = stat.S_IMODE(home.stat().st_mode)
    if mode & 0o022:
        return Finding("home", "wrong", "others may write into the data folder", f"Run: chmod go-w {home}")
    if mode & 0o077:
        return Finding("home", "warning", "others may look into the data folder", f"Run: chmod go-rwx {home}")
    return Finding("home", "well", f"mode {mode:04o}")


def _keys(settings: Settings) -> Iterator[Finding]:
    from annul import keys as key_file

    keys = key_file.load(settings.home)
    yield Finding("key file", "well", f"whole and private; document keys at epoch {keys.epoch}")
    public = settings.home.public_keys
    written = public.read_text("ascii").splitlines() if public.exists() else []
    if written == keys.public_lines():
        yield Finding("public keys", "well", "belong to the key file")
    else:
        yield Finding(
            "public keys",
            "wrong",
            "keys/annul.pub does not belong to the key file",
            "Receipts would be verified with the wrong keys: restore it, or let `annul serve` write it anew.",
        )


def _person_keys(settings: Settings) -> Iterator[Finding]:
    from annul.registry.people.vault import Vault

    if settings.home.person_keys.exists():
        Vault(settings.home).require_whole()
        yield Finding("keys of persons", "well", "whole and private")
    else:
        yield Finding("keys of persons", "warning", "there are none yet", "They are made with the first start.")


def _disk(settings: Settings) -> Iterator[Finding]:
    usage = shutil.disk_usage(settings.home)
    free = f"{usage.free / (1 << 30):,.1f} GiB free of {usage.total / (1 << 30):,.1f}"
    if usage.free < DISK_WRONG_BYTES:
        yield Finding("disk", "wrong", free, "Free space now: a full disk stops answers (none is given that is not on disk).")
    elif usage.free < usage.total * DISK_WARNING_SHARE:
        yield Finding("disk", "warning", free, "Plan for more space; check logs grow by about 0.4 KB a check.")
    else:
        yield Finding("disk", "well", free)


def _barrier(settings: Settings) -> Iterator[Finding]:
    probe = settings.home / f"doctor-{os.getpid()}.probe"
    took: list[float] = []
    try:
        with probe.open("wb", buffering=0) as file:
            for _ in range(BARRIERS):
                file.write(bytes(4096))
                started = time.perf_counter()
                os.fdatasync(file.fileno())
                took.append((time.perf_counter() - started) * 1000)
    finally:
        probe.unlink(missing_ok=True)
    median = sorted(took)[len(took) // 2]
    message = f"{median:.2f} ms for 4 KB made durable (median of {BARRIERS})"
    if median > BARRIER_WARNING_MS:
        yield Finding("write barrier", "warning", message, "Every answer waits for one: move the home to a faster disk.")
    else:
        yield Finding("write barrier", "well", message)


def _files(_settings: Settings) -> Iterator[Finding]:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    message = f"a process may have {most:,} files and connections open"
    if most < FILES_WARNING:
        yield Finding("open files", "warning", message, "Raise it: LimitNOFILE of the service, or ulimit -Hn.")
    else:
        yield Finding("open files", "well", message)


def _clock(settings: Settings) -> Iterator[Finding]:
    newest = max((path.stat().st_mtime for path in settings.home.logs.glob("*/checkpoint")), default=0.0)
    ahead = newest - time.time()
    if ahead > 1.0:
        yield Finding("clock", "wrong", f"the clock is {ahead:.0f} s behind the newest checkpoint", "Set the clock; use NTP.")
        return
    state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    if state == CLOCK_ERROR:
        yield Finding("clock", "warning", "the kernel does not call the clock synchronised", "Use NTP: receipts state times.")
    else:
        yield Finding("clock", "well", "synchronised" if state >= 0 else "not behind the logs")


def _processes(settings: Settings) -> Iterator[Finding]:
    from annul import supervisor

    found = supervisor.running(settings.home)
    if found is None:
        yield Finding("processes", "warning", "annul does not run on this home", "Start it: annul serve, or annul demo")
        return
    roles = ", ".join(f"{role} {pid}" for role, pid in found["roles"].items())
    gone = [role for role, pid in found["roles"].items() if not Path(f"/proc/{pid}").exists()]
    if gone:
        yield Finding(
            "processes", "wrong", f"{', '.join(gone)} died", "It is started again at once: look at the log why it dies."
        )
    elif not supervisor.is_ready(found["url"]):
        yield Finding("processes", "wrong", f"{found['url']} is not ready", f"Ask {found['url']}/readyz what is missing.")
    else:
        yield Finding("processes", "well", f"{found['url']} is ready ({roles})")


def _proxies(settings: Settings) -> Iterator[Finding]:
    """annul speaks no TLS itself: an address with https has a proxy in front, and the caller's address is what it says."""
    behind = settings.https or settings.public_url.startswith("https://")
    if behind and not settings.proxies:
        yield Finding(
            "proxies",
            "wrong",
            "clients come by https, so through a proxy, but `proxies` is 0: all of them count as one address",
            "Set proxies = 1 (how many add to X-Forwarded-For); see docs/install.md, The proxy.",
        )
    elif settings.public_url.startswith("https://") and not settings.https:
        mend = "Set https = true."
        yield Finding("proxies", "warning", "the public address is https, but cookies are not marked Secure", mend)
    else:
        yield Finding("proxies", "well", f"{settings.proxies} in front")


def _backup(settings: Settings) -> Iterator[Finding]:
    from annul.backup.taking import last_of

    try:
        folder, taken_at_us = last_of(settings.home)
    except NotFound as error:
        yield Finding("backup", "warning", "none was taken yet", error.mend or "")
        return
    age_h = (time.time() - taken_at_us / 1e6) / 3600
    if age_h > BACKUP_WARNING_H:
        yield Finding(
            "backup", "warning", f"the last one is {age_h:.0f} hours old ({folder})", "Look at its timer: annul backup"
        )
    else:
        yield Finding("backup", "well", f"taken {age_h:.1f} hours ago ({folder})")


@contextlib.contextmanager
def _connected(settings: Settings) -> Iterator[Any]:
    """Connect to the register's database, starting the embedded one when nothing runs; nothing is migrated."""
    from annul import supervisor
    from annul.registry.postgres import Embedded
    from annul.registry.writing.store import connect

    with contextlib.ExitStack() as stack:
        conninfo = settings.database_url
        if not conninfo:
            embedded = Embedded(settings.home)
            if not settings.home.postgres.is_dir():
                raise NotFound("There is no database yet.", mend="Run: annul setup, or annul demo")
            if supervisor.running(settings.home) is None:
                stack.enter_context(embedded)
            conninfo = embedded.conninfo
        yield stack.enter_context(connect(conninfo))


def _database(settings: Settings) -> Iterator[Finding]:
    from annul.registry.writing.store import check_safe

    with _connected(settings) as db:
        check_safe(db)
        yield from _head_time(db)
        row = db.execute("SELECT version_num, (SELECT next_position - 1 FROM log_head) FROM alembic_version").fetchone()
        staged = db.execute("SELECT count(*) FROM bulk WHERE state = 'staged'").fetchone()
        yield Finding("database", "well", f"durable, version {row[0]}, register log at position {row[1]:,}")
        if staged and staged[0]:
            yield Finding(
                "bulk events",
                "warning",
                f"{staged[0]} staged and not in force",
                "See `annul bulk list`: confirm or discard them.",
            )


def _head_time(db: Any) -> Iterator[Finding]:
    from annul.registry.writing.store import require_clock

    head = db.execute("SELECT recorded_at_us FROM log_head").fetchone()
    try:
        require_clock(head[0] if head else 0, now_us())
    except SourceDown as error:
        yield Finding("clock", "wrong", f"{error.message} Nothing can be written.", error.mend or "")


def _rolled_back(settings: Settings) -> Iterator[Finding]:
    from annul import keys as key_file
    from annul.registry.answering.standing import acknowledged, require_acknowledged, sealed_size
    from annul.registry.loops.sealer import require_not_rolled_back

    acknowledged(settings.home)  # a start that finds it damaged waits for the database
    sealed = sealed_size(settings.home, key_file.load(settings.home))
    with _connected(settings) as db:
        require_not_rolled_back(db, sealed)
        head = db.execute("SELECT next_position - 1 FROM log_head").fetchone()
        require_acknowledged(settings.home, head[0] if head else 0)
    yield Finding("register", "well", f"not behind its seal ({sealed:,} entries sealed)")


def _listings(settings: Settings) -> Iterator[Finding]:
    yield from _table("listings", settings.home.listings)


def _names(settings: Settings) -> Iterator[Finding]:
    yield from _table("names", settings.home.people)


def _table(what: str, folder: Path) -> Iterator[Finding]:
    from annul.listings.listings import Listings

    if not (folder / "control").exists():
        yield Finding(what, "warning", "there are none yet", "Start annul: the follower builds them.")
        return
    listings = Listings(folder)
    state = listings.scrub(1.0)
    while not state.done:
        state = listings.scrub(1.0)
    sizes = ", ".join(f"{name} {value:,}" for name, value in listings.sizes().items())
    yield Finding(what, "well", f"every block re-read; position {listings.position:,}, {sizes}")


def _checkpoint(home: Home, log: str) -> Any:
    from annul import keys as key_file
    from annul.client import TrustedKeys
    from annul.client.logs import open_sealed

    keys = TrustedKeys.parse("\n".join(key_file.load(home).public_lines()))
    file = home.log(log) / "checkpoint"
    try:
        return open_sealed(file.read_bytes(), keys.register if log == "register" else keys.checks)
    except AnnulError as error:
        raise Corrupt(
            f"The checkpoint is damaged: {error.message}.",
            where=str(file.relative_to(home)),
            mend="Restore it from its copy; never delete it: it says how far the register was.",
        ) from error


def _logs(settings: Settings) -> Iterator[Finding]:
    for log in ("register", "checks"):
        if not (settings.home.log(log) / "checkpoint").exists():
            yield Finding(f"{log} log", "warning", "not sealed yet", "Start annul: the sealer seals within a second.")
            continue
        sealed = _checkpoint(settings.home, log)
        yield Finding(f"{log} log", "well", f"checkpoint signed, {sealed.size:,} entries; `annul log verify` re-reads all")


def _witnesses(settings: Settings) -> Iterator[Finding]:
    from annul.witness.asking import FRESH_S, LOGS, asked, last_cosigned

    for witness in asked(settings.home.witnesses):
        name = witness.keys[0].name
        for log in LOGS:
            _, at_s = last_cosigned(settings.home, log, witness)
            age_s = time.time() - at_s
            if age_s < WITNESS_ROUNDS * FRESH_S:
                yield Finding(f"witness {name}", "well", f"cosigned the {log} log {age_s:.0f} s ago")
                continue
            when = f"for {age_s / 3600:.1f} hours" if at_s else "yet"
            mend = "The sealer's log says why: is it reached, and does it watch this log (annul witness add, over there)?"
            yield Finding(f"witness {name}", "warning", f"has not cosigned the {log} log {when}", mend)
