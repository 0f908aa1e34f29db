"""What annul counts, for Prometheus. Labels are codes and roles, never parties' clerks, documents or people.

Worker processes share their counts through files in `<home>/run/metrics` (prometheus-client's multiprocess mode); the
supervisor sets PROMETHEUS_MULTIPROC_DIR before they start, so import this module only inside a process that counts.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess
from prometheus_client.metrics_core import Metric
from prometheus_client.mmap_dict import MmapedDict

from annul import durable
from annul.errors import StorageFailed

CHECKS = Counter("annul_checks", "Checks answered, by outcome.", ["outcome"])
REFUSED = Counter("annul_checks_refused", "Checks not answered, by error code E90-E95.", ["error"])
WALKERS = Counter("annul_walkers", "Parties slowed or stopped because they walk through numbers.", ["pace"])
WINDOWS = Counter("annul_windows", "Windows of answers made durable and signed.")
WINDOW_SECONDS = Histogram(
    "annul_window_seconds",
    "Time from the first check of a window to its answers.",
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1),
)
REPORTS = Counter("annul_reports", "Reports accepted, by kind.", ["kind"])
REFUSED_AFTER_SECONDS = Histogram(
    "annul_refused_after_seconds",
    "Time from the acceptance of a report until every check point refuses.",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5),
)
REQUESTS = Counter("annul_requests", "Requests by route template, method and status.", ["route", "method", "status"])
POSITION = Gauge("annul_position", "Register position the listings table has applied.", multiprocess_mode="max")
TABLE_AGE_SECONDS = Gauge(
    "annul_table_age_seconds", "Seconds since the follower last caught up with the register.", multiprocess_mode="mostrecent"
)
CORRUPT = Gauge("annul_corrupt", "Parts found corrupt: see run/corrupt.json.", multiprocess_mode="mostrecent")
SEALED = Gauge("annul_sealed_entries", "Entries under the last checkpoint, by log.", ["log"], multiprocess_mode="max")
AHEAD_SECONDS = Gauge(
    "annul_register_ahead_seconds",
    "Seconds by which the register's newest entry is ahead of the clock; beyond 60 nothing can be written.",
    multiprocess_mode="mostrecent",
)
INDEX_LAG_SECONDS = Gauge(
    "annul_index_lag_seconds", "Age of the oldest check that is not in the index of checks yet.", multiprocess_mode="mostrecent"
)
STALE_VERIFIERS = Gauge(
    "annul_stale_verifiers", "Terminals whose newest answer of a day was not live.", multiprocess_mode="mostrecent"
)
DISPUTES_OVERDUE = Gauge("annul_disputes_overdue", "Open disputes over their term.", multiprocess_mode="mostrecent")
NOTICES = Counter("annul_notices", "Notices by what became of them on a channel: sent, kept, again, dead.", ["channel", "end"])
NOTICES_UNDELIVERED = Gauge(
    "annul_notices_undelivered",
    "Deliveries of notices: due, late (due for long), dead.",
    ["state"],
    multiprocess_mode="mostrecent",
)


ROOM_BYTES: Final = 1 << 17
"""Room of a process for each kind of counts: some 700 of them. Beyond it the library makes more without asking for the disk."""


def reserve() -> None:
    """Take the room this process's counts need: to count on a full disk would kill it (SIGBUS).

    Raises:
        StorageFailed: there is no room.
    """
    folder = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
    for kind in ("counter", "histogram", "gauge_max", "gauge_mostrecent"):
        path = folder / f"{kind}_{os.getpid()}.db"
        with durable.telling(path):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, durable.PRIVATE)
        try:
            durable.reserve(descriptor, ROOM_BYTES, path)
        except StorageFailed:
            path.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)


DEAD: Final = 0
"""Stands for the process id of all processes that ended."""


def bury(folder: Path, pid: int) -> None:
    """Add the counts of a process that ended to those of all that ended before, and remove its files.

    Otherwise each start leaves four files, which every scrape reads. A crash in between counts the process twice, once.

    Args:
        folder: `<home>/run/metrics`.
        pid: the process; it must not be alive.
    """
    with _locked(folder, fcntl.LOCK_EX):
        for path in sorted(folder.glob(f"*_{pid}.db")):
            kind = path.name.removesuffix(f"_{pid}.db")
            into = MmapedDict(str(folder / f"{kind}_{DEAD}.db"))  # type: ignore[no-untyped-call]
            try:
                for key, value, at, _ in MmapedDict.read_all_values_from_file(str(path)):  # type: ignore[no-untyped-call]
                    there, there_at = into.read_value(key)  # type: ignore[no-untyped-call]
                    if kind == "gauge_max":
                        value, at = max(value, there), 0.0
                    elif kind.startswith("gauge"):
                        value, at = (value, at) if at >= there_at else (there, there_at)
                    else:
                        value, at = value + there, 0.0
                    into.write_value(key, value, at)  # type: ignore[no-untyped-call]
            finally:
                into.close()  # type: ignore[no-untyped-call]
            path.unlink()


@contextlib.contextmanager
def _locked(folder: Path, how: int) -> Iterator[None]:
    """Keep a scrape and a burial apart: neither sees a process twice or not at all."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)


def exposition() -> bytes:
    """Return all counts in the Prometheus text format, summed over the processes of this machine."""
    with _read() as registry:
        return generate_latest(registry)


def families() -> list[Metric]:
    """Return all counts as values, summed over the processes of this machine."""
    with _read() as registry:
        return list(registry.collect())


@contextlib.contextmanager
def _read() -> Iterator[CollectorRegistry]:
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if not folder or not Path(folder).is_dir():
        yield REGISTRY
        return
    with _locked(Path(folder), fcntl.LOCK_SH):
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        yield registry
