"""Stop the database under load: checks go on, reports are refused clearly, accounts are complete afterwards.

python -m tests.drills.database --seconds 60
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from annul.home import Home
from tests.drills.load import Acknowledged, load, roles_of, running_annul
from tests.world import check_everything, settled


async def drill(home: Path, demo: dict[str, object], seconds: float) -> tuple[Acknowledged, int, int]:
    """Freeze the database for `seconds`; return what was acknowledged, and the checks answered before and during."""
    stop = asyncio.Event()
    under_load = asyncio.create_task(load(demo, stop, seed=7))
    await asyncio.sleep(3)
    database = roles_of(home)["roles"]["database"]
    seen = _answered(home)
    os.kill(database, signal.SIGSTOP)
    try:
        await asyncio.sleep(seconds)
        during = _answered(home) - seen
    finally:
        os.kill(database, signal.SIGCONT)
    await asyncio.sleep(3)
    stop.set()
    return await under_load, seen, during


def _answered(home: Path) -> int:
    from annul.registry.answering.checklog import read_windows, worker_folder, workers

    checks = home / "checks"
    return sum(window.stated.count for worker in workers(checks) for window in read_windows(worker_folder(checks, worker)))


def main() -> int:
    """Run the drill and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="annul-drill-") as folder:
        home = Home(folder)
        started = time.monotonic()
        with running_annul(home) as demo:
            done, before, during = asyncio.run(drill(home, demo, given.seconds))
            settled(home)
            findings = check_everything(home, reports=done.reports, documents=done.documents, answers=done.answers)
        took_s = time.monotonic() - started
        print(f"{before} checks before, {during} during {given.seconds:.0f} s without the database; {took_s:.0f} s in all")
        if during == 0:
            findings.append("no check was answered while the database was stopped")
        for wrong in [*done.wrong, *findings]:
            print(f"WRONG: {wrong}")
        print("checks went on, accounts are complete" if not done.wrong and not findings else "the drill FAILED")
        return 1 if done.wrong or findings else 0


if __name__ == "__main__":
    sys.exit(main())
