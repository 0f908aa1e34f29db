"""Tell Prometheus which annul this is, and what each of its processes takes: read from the system when somebody asks.

The client's own process metrics speak of one process; annul is many. Names and meanings are those of Prometheus, with the role.

Source: https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics; proc(5).
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from annul import __version__
from annul.home import Home

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def exposition(home: Home) -> bytes:
    """Return build and processes in the Prometheus text format."""
    registry = CollectorRegistry()
    registry.register(_Processes(home))
    return generate_latest(registry)


class _Processes(Collector):
    """Look at the processes that the supervisor noted."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def collect(self) -> Iterator[Metric]:
        """Give the counts of this moment; a process that is gone is left out."""
        build = GaugeMetricFamily("annul_build_info", "Version of annul and of Python; always 1.", labels=["version", "python"])
        build.add_metric([__version__, platform.python_version()], 1)
        yield build
        seconds = CounterMetricFamily("annul_process_cpu_seconds", "User and system time of a process.", labels=["role"])
        resident = GaugeMetricFamily("annul_process_resident_memory_bytes", "Resident memory of a process.", labels=["role"])
        begun = GaugeMetricFamily("annul_process_start_time_seconds", "Start, since the epoch.", labels=["role"])
        opened = GaugeMetricFamily("annul_process_open_fds", "Open files and connections of a process.", labels=["role"])
        most = GaugeMetricFamily("annul_process_max_fds", "Most files and connections it may open.", labels=["role"])
        boot_s = _boot_s()
        for role, pid in _roles(self._home):
            with contextlib.suppress(OSError, ValueError, StopIteration):
                process = Path("/proc", str(pid))
                fields = (process / "stat").read_text().rpartition(")")[2].split()
                seconds.add_metric([role], (int(fields[11]) + int(fields[12])) / _TICKS)
                resident.add_metric([role], int(fields[21]) * _PAGE_BYTES)
                begun.add_metric([role], boot_s + int(fields[19]) / _TICKS)
                limits = (process / "limits").read_text().splitlines()
                most.add_metric([role], float(next(line.split()[3] for line in limits if line.startswith("Max open files"))))
                opened.add_metric([role], len(os.listdir(process / "fd")))  # noqa: PTH208 - names alone
        yield from (seconds, resident, begun, opened, most)


def _roles(home: Home) -> list[tuple[str, int]]:
    try:
        state = json.loads(home.state.read_text(encoding="utf-8"))
        return [("supervisor", int(state["pid"])), *((role, int(pid)) for role, pid in state["roles"].items())]
    except (OSError, ValueError, KeyError):
        return []


def _boot_s() -> int:
    lines = Path("/proc/stat").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("btime"))
