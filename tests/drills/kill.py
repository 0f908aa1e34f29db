"""Kill annul's processes at random moments under load; nothing acknowledged may be missing, nothing may be doubled.

python -m tests.drills.kill --kills 200
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from annul.home import Home
from tests.drills.load import Acknowledged, load, roles_of, running_annul
from tests.world import check_everything, settled

KINDS = ("worker", "follower", "sealer", "notices", "database", "template")
"""What is killed, every kind as often as the others."""
REPORT_TAKES_S = 0.008
UNDER_WAY_WAIT_S = 2.0


async def drill(
    home: Path, demo: dict[str, object], kills: int, *, seed: int, pause_s: float
) -> tuple[Acknowledged, Counter[str]]:
    """Kill `kills` processes, chosen at random, one after the other, while the load goes on.

    Every second kill waits for a report that is under way and strikes within the few milliseconds it takes.
    """
    dice = random.Random(seed)
    stop, done = asyncio.Event(), Acknowledged()
    under_load = asyncio.create_task(load(demo, stop, done, seed=seed))
    killed: Counter[str] = Counter()
    while sum(killed.values()) < kills:
        await asyncio.sleep(dice.uniform(0.2, 2) * pause_s)
        roles = roles_of(home)["roles"]
        if dice.random() < 0.5:
            await _report_under_way(done)
            await asyncio.sleep(dice.uniform(0, REPORT_TAKES_S))
        kind = dice.choice(KINDS)
        name = dice.choice([name for name in roles if name.startswith(kind)] or ["follower"])
        with contextlib.suppress(ProcessLookupError, KeyError):
            os.kill(roles[name], signal.SIGKILL)
            killed[kind] += 1
            print(f"\r{sum(killed.values())}/{kills} killed", end="", file=sys.stderr, flush=True)
    await asyncio.sleep(2)
    stop.set()
    await under_load
    print(file=sys.stderr)
    return done, killed


async def _report_under_way(done: Acknowledged) -> None:
    for _ in range(int(UNDER_WAY_WAIT_S / 0.001)):
        if done.under_way:
            return
        await asyncio.sleep(0.001)


def main() -> int:
    """Run the drill and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--pause", type=float, default=1.5, help="mean seconds between two kills")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="annul-drill-") as folder:
        home = Home(folder)
        started = time.monotonic()
        with running_annul(home) as demo:
            done, killed = asyncio.run(drill(home, demo, given.kills, seed=given.seed, pause_s=given.pause))
            settled(home)
            findings = check_everything(home, reports=done.reports, documents=done.documents, answers=done.answers)
        print(f"killed: {dict(killed)} in {time.monotonic() - started:.0f} s")
        print(f"acknowledged: {len(done.reports)} reports, {len(done.answers)} checks; {done.failed_count} asked again")
        for wrong in [*done.wrong, *findings]:
            print(f"WRONG: {wrong}")
        print("nothing lost, nothing doubled" if not done.wrong and not findings else "the drill FAILED")
        return 1 if done.wrong or findings else 0


if __name__ == "__main__":
    sys.exit(main())
