"""Let annul run under a steady load and print what grew: memory, threads and files of every process, every folder, every table.

python -m tests.drills.soak --seconds 86400 --rate 200

What grows with the checks that were asked (check log, sealed log, index) is said a check; what grows otherwise is the thing to
look at. The last line says what idles cost: processor time and write-ahead log in a minute without load.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg
import uvloop

from annul.home import Home
from annul.registry.postgres import Embedded
from tests.drills.load import roles_of, running_annul
from tests.drills.overload import Seen, hold

CONNECTIONS = 16
IDLE_S = 60.0
TABLES = (
    "SELECT relname, pg_total_relation_size(oid) FROM pg_class WHERE relkind IN ('r', 'p') "
    "AND relnamespace = 'public'::regnamespace"
)


def processes(home: Home) -> dict[str, dict[str, float]]:
    """Return memory (MB), threads, open files and processor time (s) of every role; the database with its backends."""
    found = {}
    for role, pid in roles_of(home)["roles"].items():
        pids = [pid, *(_children(pid) if role == "database" else [])]
        figures = {"MB": 0.0, "threads": 0.0, "files": 0.0, "cpu": 0.0}
        for each in pids:
            try:
                status = Path(f"/proc/{each}/status").read_text()
                stat = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
                figures["files"] += len(os.listdir(f"/proc/{each}/fd"))
            except OSError:
                continue
            lines = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
            own = "RssAnon" if role == "database" else "VmRSS"  # shared buffers would be counted for every backend
            figures["MB"] += int(lines[own].split()[0]) / 1024
            figures["threads"] += int(lines["Threads"])
            figures["cpu"] += (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")
        found[role] = figures
    return found


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def folders(home: Home) -> dict[str, dict[str, float]]:
    """Return size (MB on disk) and number of files of every folder of the home."""
    found = {}
    for folder in sorted(path for path in home.iterdir() if path.is_dir()):
        size = files = 0.0
        for path in folder.rglob("*"):
            try:
                size += path.stat().st_blocks / 2048
            except OSError:
                continue
            files += path.is_file()
        found[folder.name] = {"MB": size, "files": files}
    return found


def tables(home: Home) -> tuple[dict[str, dict[str, float]], int]:
    """Return the size (MB) of every table with its indexes, and the place of the write-ahead log."""
    with psycopg.connect(Embedded(home).conninfo, autocommit=True) as db:
        sizes = {name: {"MB": size / 2**20} for name, size in db.execute(TABLES).fetchall()}
        row = db.execute("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn").fetchone()
        assert row is not None
        return sizes, int(row[0])


def grown(title: str, before: dict[str, dict[str, float]], after: dict[str, dict[str, float]], hours: float) -> None:
    """Print what is there and what grew, the most first."""
    print(f"\n{title:28}" + "".join(f"{name:>12} {'/h':>10}" for name in next(iter(after.values()))))
    for name, figures in sorted(after.items(), key=lambda item: -next(iter(item[1].values()))):
        old = before.get(name, {})
        if any(abs(figures[each] - old.get(each, 0.0)) > 0.004 or figures[each] > 1 for each in figures):
            cells = [f"{value:12.2f} {(value - old.get(each, 0.0)) / hours:+10.2f}" for each, value in figures.items()]
            print(f"{name:28}" + "".join(cells))


def main() -> int:
    """Run the soak and print what grew."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=86_400)
    parser.add_argument("--rate", type=float, default=200, help="checks a second")
    parser.add_argument("--holders", type=int, default=1_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="annul-soak-") as folder:
        home = Home(folder)
        with running_annul(home, holders=given.holders) as demo:
            return _soak(home, demo, given.seconds, given.rate)


def _soak(home: Home, demo: dict[str, Any], seconds: float, rate: float) -> int:
    seen = Seen()
    uvloop.run(hold(demo, Seen(), min(30.0, seconds / 6), connections=CONNECTIONS, rate=rate))  # first caches are no growth
    before, before_folders, (before_tables, before_wal) = processes(home), folders(home), tables(home)
    begun = time.monotonic()
    uvloop.run(hold(demo, seen, seconds, connections=CONNECTIONS, rate=rate))
    hours = (time.monotonic() - begun) / 3600
    after, after_folders, (after_tables, after_wal) = processes(home), folders(home), tables(home)
    print(f"{seen.checks} checks in {hours * 3600:.0f} s, {dict(seen.statuses)}; p99 {seen.percentile(0.99):.1f} ms")
    grown("process", before, after, hours)
    grown("folder", before_folders, after_folders, hours)
    grown("table", before_tables, after_tables, hours)
    if seen.checks:
        print(f"\nwrite-ahead log {(after_wal - before_wal) / seen.checks:.0f} B a check")
    asyncio.run(asyncio.sleep(10))  # what follows the last checks ends
    idle, (_, idle_wal) = processes(home), tables(home)
    time.sleep(IDLE_S)
    later, (_, later_wal) = processes(home), tables(home)
    spent = {role: (figures["cpu"] - idle.get(role, figures)["cpu"]) / IDLE_S for role, figures in later.items()}
    most = sorted(spent.items(), key=lambda item: -item[1])
    said = ", ".join(f"{role} {share:.2%}" for role, share in most if share > 0.0005)
    wal = (later_wal - idle_wal) / IDLE_S * 86_400 / 2**20
    print(f"idle: {sum(spent.values()):.2%} of a core ({said}); {wal:.1f} MB of write-ahead log a day")
    return 0


if __name__ == "__main__":
    sys.exit(main())
