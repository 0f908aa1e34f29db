"""Counts of processes that ended: kept, in one place, whatever the number of starts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from annul import metrics

COUNTING = """
import sys
from annul import metrics
metrics.reserve()
metrics.CHECKS.labels("PASS").inc(int(sys.argv[1]))
metrics.WINDOW_SECONDS.observe(0.003)
metrics.POSITION.set(int(sys.argv[2]))
metrics.CORRUPT.set(int(sys.argv[3]))
"""
READING = "from annul import metrics; print(metrics.exposition().decode())"


def run(folder: Path, code: str, *arguments: int) -> tuple[int, str]:
    """Run a process that counts or reads; return its id and what it printed."""
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(folder)}
    made = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], env=environment, stdout=subprocess.PIPE, text=True
    )
    out, _ = made.communicate()
    assert made.returncode == 0
    return made.pid, out


def read(folder: Path) -> list[str]:
    """Return the lines of a scrape, without leaving the reader's own files."""
    pid, said = run(folder, READING)
    metrics.bury(folder, pid)
    return sorted(said.splitlines())


def test_the_counts_of_ended_processes_are_kept_in_one_place(tmp_path: Path) -> None:
    """Sums go on, the highest position stays, the newest value counts; no file is left of any of them."""
    said: list[str] = []
    for turn in range(1, 4):
        pid, _ = run(tmp_path, COUNTING, 10 * turn, 100 - turn, turn)
        before = read(tmp_path)
        metrics.bury(tmp_path, pid)
        metrics.bury(tmp_path, pid)  # a second time there is nothing
        said = read(tmp_path)
        assert said == before
    files = sorted(path.name for path in tmp_path.glob("*.db"))
    assert files == [f"{kind}_0.db" for kind in ("counter", "gauge_max", "gauge_mostrecent", "histogram")]
    assert 'annul_checks_total{outcome="PASS"} 60.0' in said
    assert "annul_window_seconds_count 3.0" in said
    assert "annul_position 99.0" in said
    assert "annul_corrupt 3.0" in said
