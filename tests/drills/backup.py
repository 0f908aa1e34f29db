"""Back a register up under load, end it, restore it elsewhere: roots agree, what was acknowledged before the copy stands.

python -m tests.drills.backup --holders 771000 --checks 2000      (make drill-backup: 1 million documents, 2,000 checks/s)

Prints how long the copies and the restoring took, and the latency of checks beside the copy against that before it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx

from annul import supervisor
from annul.home import Home
from tests.drills.load import Acknowledged, load, roles_of, running_annul
from tests.waiting import until
from tests.world import check_everything, settled

PASSPHRASE = {"ANNUL_BACKUP_PASSPHRASE": "a drill that nobody sleeps through"}
CONNECTIONS = 32


def annul(*arguments: str | Path, **settings: str) -> dict[str, Any]:
    """Run a command and return its JSON; AssertionError with what it said when it fails."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANNUL_")} | PASSPHRASE | settings
    command = [sys.executable, "-m", "annul", *map(str, arguments), "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def proved(home: Home, folder: Path, target: Home, known: Acknowledged) -> list[str]:
    """Restore into `target`, start it, and return what is wrong with it, by everything acknowledged before the copy."""
    found: list[str] = []
    restored = annul("restore", folder, "--home", target)
    sealed = json.loads((folder / restored_run(folder) / "contents.json").read_text())["grown"]["logs"]
    for log, size in sealed.items():
        if restored["counts"][f"{log} log"] != size:
            found.append(f"{log} log: {restored['counts']} instead of {size}")
    serve = subprocess.Popen(
        [sys.executable, "-m", "annul", "serve", "--home", str(target), "--port", "0", "--json"],
        env={name: value for name, value in os.environ.items() if not name.startswith("ANNUL_")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: (state := supervisor.running(target)) and supervisor.is_ready(state["url"]), "the restored annul")
        url = roles_of(target)["url"]
        settled(target)
        found += check_everything(target, reports=known.reports, documents=known.documents, answers=known.answers)
        bank = json.loads((home / "demo.json").read_text())["credentials"]["bank"]["key"]
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {bank}"}, timeout=30) as client:
            for document in list(known.documents.values())[-20:]:
                asked = {"document": document, "purpose": "account-opening", "channel": "in_person"}
                answer = client.post("/v1/checks", json=asked).json()
                if answer.get("outcome") != "STOP":
                    found.append(f"a reported document is {answer.get('outcome')} after restoring")
    finally:
        serve.terminate()
        serve.wait(60)
    return found


def restored_run(folder: Path) -> str:
    """Return the name of the newest run."""
    return max(path.name for path in folder.iterdir() if (path / "contents.note").exists())


class _Paced:
    """Ask checks at a fixed rate and keep how long each took, in milliseconds; "" is the phase before the first."""

    def __init__(self, demo: dict[str, Any], rate: float) -> None:
        self._demo, self._rate = demo, rate
        self.took_ms: dict[str, list[float]] = {}
        self.phase = "before"

    async def run(self, stop: asyncio.Event) -> None:
        """Ask until told to stop."""
        bank = {"Authorization": f"Bearer {self._demo['credentials']['bank']['key']}"}
        limits = httpx.Limits(max_connections=CONNECTIONS)
        async with httpx.AsyncClient(base_url=self._demo["url"], headers=bank, limits=limits, timeout=30) as client:
            await asyncio.gather(*(self._lane(client, stop) for _ in range(CONNECTIONS)))

    async def _lane(self, client: httpx.AsyncClient, stop: asyncio.Event) -> None:
        body = {"document": self._demo["try"]["document"], "purpose": "account-opening", "channel": "in_person"}
        pause_s = CONNECTIONS / self._rate
        due = time.monotonic()
        while not stop.is_set():
            due = max(due + pause_s, time.monotonic() - 1)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            phase, started = self.phase, time.perf_counter()
            with suppress(httpx.HTTPError):
                await client.post("/v1/checks", json=body)
            self.took_ms.setdefault(phase, []).append((time.perf_counter() - started) * 1000)

    def line(self, phase: str, seconds: float) -> str:
        """Return rate, median and 99th percentile of a phase."""
        took = sorted(self.took_ms[phase])
        p99 = took[int(len(took) * 0.99)]
        return f"{phase}: {len(took) / seconds:,.0f} checks/s, p50 {statistics.median(took):.1f} ms, p99 {p99:.1f} ms"


async def under_load(demo: dict[str, Any], folder: Path, home: Home, rate: float, quiet_s: float) -> Acknowledged:
    """Take a first copy, and a second one beside checks and reports; return what was acknowledged before the second."""
    stop, paced, done = asyncio.Event(), _Paced(demo, rate), Acknowledged()
    work = [asyncio.create_task(paced.run(stop)), asyncio.create_task(load(demo, stop, done, reporters=1, checkers=1))]
    await asyncio.sleep(quiet_s)
    before_s, paced.phase = quiet_s, "beside the copy"
    known = Acknowledged(dict(done.reports), dict(done.documents), list(done.answers))
    took = []
    for turn in ("first", "second"):
        started = time.monotonic()
        await asyncio.to_thread(annul, "backup", folder, "--home", home)
        took.append(time.monotonic() - started)
        print(f"{turn} copy: {took[-1]:.1f} s", flush=True)
    paced.phase = "after"
    stop.set()
    await asyncio.gather(*work)
    print(paced.line("before", before_s))
    print(paced.line("beside the copy", sum(took)))
    known.wrong = done.wrong
    return known


def main() -> int:
    """Run the drill and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--holders", type=int, default=771_000)
    parser.add_argument("--checks", type=float, default=2000, help="checks a second")
    parser.add_argument("--quiet", type=float, default=20, help="seconds of load before the copy")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="annul-drill-") as name:
        home, folder, target = Home(name, "home"), Path(name, "copies"), Home(name, "restored")
        home.mkdir()
        with running_annul(home, holders=given.holders) as demo:
            print(f"{demo['documents']:,} documents", flush=True)
            known = asyncio.run(under_load(demo, folder, home, given.checks, given.quiet))
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        print(f"{size / 1e6:,.0f} MB of copies; {len(known.reports)} reports, {len(known.answers)} answers to be found again")
        started = time.monotonic()
        findings = [*known.wrong, *proved(home, folder, target, known)]
        print(f"restored and proved in {time.monotonic() - started:.1f} s")
        for wrong in findings:
            print(f"WRONG: {wrong}")
        print("the drill FAILED" if findings else "everything acknowledged before the copy is there")
        return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
