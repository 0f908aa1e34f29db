"""What annul counts, for Prometheus. Labels are codes and roles, never parties' clerks, documents or people.

Worker processes share their counts through files in `<home>/run/metrics` (prometheus-client's multiprocess mode); the
supervisor sets PROMETHEUS_MULTIPROC_DIR before they start, so import this module only inside a process that counts.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess
from prometheus_client.metrics_core import Metric

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


def exposition() -> bytes:
    """Return all counts in the Prometheus text format, summed over the processes of this machine."""
    return generate_latest(_registry())


def families() -> list[Metric]:
    """Return all counts as values, summed over the processes of this machine."""
    return list(_registry().collect())


def _registry() -> CollectorRegistry:
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if folder and Path(folder).is_dir():
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return registry
    return REGISTRY
