"""What Prometheus hears of annul itself: its version, and what each process takes."""

from __future__ import annotations

import json
import os
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from annul import __version__, processes
from annul.home import Home


def told(home: Home) -> dict[str, dict[str, float]]:
    """Return name -> role (or version) -> value."""
    found: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(processes.exposition(home).decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[sample.labels.get("role") or sample.labels["version"]] = sample.value
    return found


def test_the_version_is_always_told(tmp_path: Path) -> None:
    """A home where nothing runs has the build alone."""
    assert told(Home(tmp_path)) == {"annul_build_info": {__version__: 1.0}}


def test_each_process_is_told_by_its_role(tmp_path: Path) -> None:
    """Time, memory, start and files of living processes; one that is gone is left out."""
    home = Home(tmp_path)
    home.run.mkdir()
    home.state.write_text(json.dumps({"url": "", "pid": os.getpid(), "roles": {"worker-0": os.getpid(), "gone": 2**22 + 1}}))
    found = told(home)
    assert set(found["annul_process_resident_memory_bytes"]) == {"supervisor", "worker-0"}
    assert found["annul_process_resident_memory_bytes"]["worker-0"] > 1 << 20
    assert found["annul_process_cpu_seconds_total"]["worker-0"] > 0
    assert 0 < found["annul_process_open_fds"]["worker-0"] <= found["annul_process_max_fds"]["worker-0"]
    newer = (tmp_path / "run").stat().st_mtime
    assert newer - 86_400 < found["annul_process_start_time_seconds"]["worker-0"] <= newer + 1
