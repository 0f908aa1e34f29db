"""`annul bench import`: a generated list of invalid passports into a running annul, by its own command, then restarts on it.

Measured are the command `annul import` from its start until the event is in force (the table every worker reads refuses its
documents), the most memory it held, and how long after a `kill -9` of all workers, and after a stop and start of everything,
the first check of a listed document is answered.
"""

from __future__ import annotations

import argparse
import bz2
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from annul.home import Home
from annul.listings.russian_list import made_list

START_WAIT_S: Final = 60.0
RESTARTS: Final = 5
POLL_S: Final = 0.002
STEADY_S: Final = 6.0
"""Between two kills: a role that died young is started again after a pause, which is not what is measured."""


class ImportFigures(NamedTuple):
    """Say how an import went.

    Attributes:
        lines, listed, bad: lines of the list, distinct passports listed, malformed lines.
        seconds: from the start of the command until the list was in force.
        resident_bytes: the most memory the importing process ever held.
        segment_bytes: size of the segment.
        workers_back_s: all workers killed until the first answer; the median of five.
        workers_back_max_s: the longest of them.
        restart_s: `annul` started anew on this data folder until the first answer.
    """

    lines: int
    listed: int
    bad: int
    seconds: float
    resident_bytes: int
    segment_bytes: int
    workers_back_s: float
    workers_back_max_s: float
    restart_s: float


def main(arguments: list[str]) -> int:
    """Measure and print; `--json` prints one JSON value."""
    parser = argparse.ArgumentParser(prog="annul bench import", description=__doc__)
    parser.add_argument("--lines", type=int, default=132_000_000, help="lines of the list")
    parser.add_argument("--packed", action="store_true", help="give the list as .bz2 (packing it takes its time first)")
    parser.add_argument("--folder", type=Path, default=None, help="where the files are made (50 bytes a line)")
    parser.add_argument("--json", action="store_true", help="print one JSON value")
    told = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="annul-bench-", dir=told.folder) as folder:
        found = measure(Path(folder), told.lines, packed=told.packed)
    if told.json:
        print(msgspec.json.encode(found._asdict()).decode())
        return 0
    print(f"import of {found.lines:,} lines")
    print(f"  from command to force    {found.seconds:10.1f} s ({found.lines / found.seconds / 1e6:.2f} million lines/s)")
    print(f"  most memory held         {found.resident_bytes / 1e9:10.2f} GB")
    print(f"  documents listed         {found.listed:10,} ({found.bad:,} lines malformed)")
    print(f"  bytes a document         {found.segment_bytes / max(1, found.listed):10.1f}")
    print("first answer about a listed document")
    longest = f"median of {RESTARTS}; longest {found.workers_back_max_s:.2f} s"
    print(f"  after all workers died   {found.workers_back_s:10.2f} s ({longest})")
    print(f"  after a start of annul   {found.restart_s:10.2f} s (stopped and started as a whole)")
    return 0


def measure(folder: Path, lines: int, *, packed: bool = False) -> ImportFigures:
    """Make a list of so many lines, import it into a running demo, and restart that.

    Args:
        folder: empty folder with room for 12 bytes a line (the list) and 35 (the import).
        packed: give the import the list as `.bz2`.
    """
    source = folder / ("list.csv.bz2" if packed else "list.csv")
    passport = _write_list(source, lines, packed)
    home = Home(folder / "home")
    home.mkdir(mode=0o700)
    with _annul(home, passport) as (_, ask):
        event, seconds, resident = _import(source, home)
        if ask() != "STOP":
            raise RuntimeError("a listed passport was not refused")
        source.unlink()
        back = [_kill_workers(home, ask) for _ in range(RESTARTS)]
    with _annul(home, passport) as (restart_s, ask):
        if ask() != "STOP":
            raise RuntimeError("a listed passport was not refused after a start")
    bad = sum(cause["count"] for cause in event["bad"].values())
    segment = (home.segments / f"{event['id']}.seg").stat().st_size
    return ImportFigures(
        event["lines"], event["document_count"], bad, seconds, resident, segment, statistics.median(back), max(back), restart_s
    )


def _write_list(path: Path, lines: int, packed: bool) -> dict[str, str]:
    """Write the list; return one of its passports."""
    compressor = bz2.BZ2Compressor() if packed else None
    passport: dict[str, str] = {}
    with path.open("wb") as file:
        for piece in made_list(lines):
            file.write(compressor.compress(piece) if compressor else piece)
            for line in piece.split(b"\n", 200) if not passport else []:
                series, _, number = line.decode("utf-8", "replace").strip().partition(",")
                if len(series) == 4 and len(number) == 6 and (series + number).isdecimal():
                    passport = {"scheme": "ru-internal", "series": series, "number": number}
        if compressor:
            file.write(compressor.flush())
    return passport


class _Ask:
    """Ask about one passport; the outcome, or "" when nobody answers."""

    def __init__(self, url: str, key: str, passport: dict[str, str]) -> None:
        body = {"document": passport, "purpose": "account-opening", "channel": "in_person"}
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self._request = urllib.request.Request(f"{url}/v1/checks", json.dumps(body).encode(), headers)  # noqa: S310 - our own

    def __call__(self) -> str:
        try:
            with urllib.request.urlopen(self._request, timeout=10) as answer:  # noqa: S310
                return str(json.load(answer)["outcome"])
        except OSError:
            return ""

    def wait(self) -> None:
        """Ask until somebody answers."""
        deadline = time.monotonic() + START_WAIT_S
        while not self():
            if time.monotonic() > deadline:
                raise RuntimeError("annul does not answer")
            time.sleep(POLL_S)


@contextlib.contextmanager
def _annul(home: Home, passport: dict[str, str]) -> Iterator[tuple[float, _Ask]]:
    """Run a demo of few people on `home`; lend the seconds until its first answer, and who asks."""
    started = time.perf_counter()
    state = home.state
    with (home / "annul.out").open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "annul", "demo", "--holders", "100"], env=_environment(home), stdout=out, stderr=out
        )
        try:
            while not state.exists():
                if process.poll() is not None or time.perf_counter() - started > START_WAIT_S:
                    raise RuntimeError((home / "annul.out").read_text(encoding="utf-8")[-2000:])
                time.sleep(POLL_S)
            key = json.loads((home / "demo.json").read_bytes())["credentials"]["bank"]["key"]
            ask = _Ask(json.loads(state.read_bytes())["url"], key, passport)
            ask.wait()
            yield time.perf_counter() - started, ask
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(START_WAIT_S)


def _environment(home: Home) -> dict[str, str]:
    return os.environ | {"ANNUL_HOME": str(home), "ANNUL_PORT": "0", "ANNUL_LOG_LEVEL": "error"}


def _import(source: Path, home: Home) -> tuple[dict[str, Any], float, int]:
    """Run `annul import`; the event, seconds, and the most bytes the command held."""
    started = time.perf_counter()
    command = ["import", str(source), "--format", "ru-passports", "--as", "issuer", "--second", "supervisor", "--json"]
    process = subprocess.Popen([sys.executable, "-m", "annul", *command], env=_environment(home), stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout as stdout:
        said = stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"annul import ended with {process.returncode}")
    return json.loads(said), time.perf_counter() - started, used.ru_maxrss * 1024


def _kill_workers(home: Home, ask: _Ask) -> float:
    """Kill all workers at once; seconds until the first answer."""
    time.sleep(STEADY_S)
    roles = json.loads(home.state.read_bytes())["roles"]
    started = time.perf_counter()
    for name, pid in roles.items():
        if name.startswith("worker-"):
            os.kill(pid, signal.SIGKILL)
    ask.wait()
    return time.perf_counter() - started
