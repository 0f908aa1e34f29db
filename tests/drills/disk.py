"""Fill the disk under load, again and again, a little more each time; free it: answers come back, nothing acknowledged is lost.

python -m tests.drills.disk --rounds 20

The home lies on a file system in memory (as root, or in a user namespace of its own). Each round leaves another few kilobytes
free, so that another write is the first to fail: check log, tiles, database, table, counts, notes.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

from annul.home import Home
from tests.drills.load import Acknowledged, load, roles_of, running_annul
from tests.world import check_everything, settled

SIZE = "1g"
FULL_S = 6.0
"""How long the disk stays full in a round."""
BACK_MAX_S = 5.0
"""Answers are to be back so soon after there is room."""
STEP_BYTES = 12 << 10
"""So much more is left free each round."""


async def drill(home: Home, demo: dict[str, object], rounds: int) -> tuple[Acknowledged, list[float]]:
    """Fill and free the disk under load; return what was acknowledged, and how long answers took to come back."""
    stop, done, back = asyncio.Event(), Acknowledged(), []
    under_load = asyncio.create_task(load(demo, stop, done, seed=11))
    first = roles_of(home)["pid"]
    for number in range(rounds):
        await asyncio.sleep(2)
        ballast = home / "ballast"
        left = (number * STEP_BYTES) % (STEP_BYTES * 10)
        _fill(ballast, shutil.disk_usage(home).free - left)
        await asyncio.sleep(FULL_S)
        ballast.unlink()
        back.append(await _back(str(demo["url"]), demo))
        if roles_of(home)["pid"] != first:
            done.wrong.append(f"the service ended in round {number}")
        print(f"\r{number + 1}/{rounds} rounds, answers back after {back[-1]:.2f} s", end="", file=sys.stderr, flush=True)
    stop.set()
    await under_load
    print(file=sys.stderr)
    return done, back


def _fill(ballast: Path, size: int) -> None:
    """Take so many bytes, or all there are."""
    descriptor = os.open(ballast, os.O_RDWR | os.O_CREAT)
    try:
        while size > 0:
            try:
                os.posix_fallocate(descriptor, os.fstat(descriptor).st_size, min(size, 1 << 20))
            except OSError:
                size //= 2
                continue
            size -= 1 << 20
    finally:
        os.close(descriptor)


async def _back(url: str, demo: dict[str, object]) -> float:
    """Return how long it took until a check and a page of readiness were answered again."""
    begun = time.monotonic()
    key = demo["credentials"]["bank"]["key"]  # type: ignore[index]
    document = next(iter(demo["samples"].values()))["document"]  # type: ignore[attr-defined]
    body = {"document": document, "purpose": "account-opening", "channel": "in_person"}
    async with httpx.AsyncClient(base_url=url, timeout=5, headers={"Authorization": f"Bearer {key}"}) as client:
        while time.monotonic() - begun < 60:
            try:
                answers = [await client.post("/v1/checks", json=body), await client.get("/readyz")]
                if all(answer.status_code == 200 for answer in answers):
                    break
            except httpx.HTTPError:
                pass
            await asyncio.sleep(0.1)
    return time.monotonic() - begun


def main() -> int:
    """Run the drill and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    given = parser.parse_args()
    if os.geteuid() != 0:
        return subprocess.call(
            ["unshare", "--map-root-user", "--mount", sys.executable, "-m", "tests.drills.disk", *sys.argv[1:]]
        )
    with tempfile.TemporaryDirectory(prefix="annul-disk-") as folder:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=0711", "tmpfs", folder], check=True)
        try:
            home = Home(Path(folder) / "home")
            home.mkdir()
            with running_annul(home, holders=100) as demo:
                done, back = asyncio.run(drill(home, demo, given.rounds))
                settled(home)
                findings = check_everything(home, reports=done.reports, documents=done.documents, answers=done.answers)
        finally:
            subprocess.run(["umount", "-l", folder], check=False)
    late = [each for each in back if each > BACK_MAX_S]
    print(f"{len(done.reports)} reports and {len(done.answers)} checks acknowledged, {done.failed_count} asked again")
    print(f"answers back after {sorted(back)[len(back) // 2]:.2f} s (median), {max(back):.2f} s (longest of {len(back)})")
    for wrong in [*done.wrong, *findings]:
        print(f"WRONG: {wrong}")
    print("nothing lost" if not done.wrong and not findings and not late else "the drill FAILED")
    return int(bool(done.wrong or findings or late))


if __name__ == "__main__":
    sys.exit(main())
