"""What is written beside the service (who runs, how far, what is wrong) never ends it, and nobody else reads it."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from annul.home import Home
from annul.supervisor import is_ready
from tests.waiting import WAIT_S, until

BESIDE = ("notices", "sealer", "follower")
"""Roles that come up after the first check is answered (decision 0014)."""

BOOKS = ("run/annul.json", "run/corrupt.json", "log/checks.cursor", "listings/behind")
"""Files that are written beside the service."""


@pytest.fixture
def served(database: str, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Home, Path]]:
    """A served register on a home that was open to others: its process, its home, its log."""
    home, log = Home(tmp_path / "home"), tmp_path / "log"
    home.mkdir(mode=0o755)
    home.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANNUL_")}
    environment |= {"ANNUL_HOME": str(home), "ANNUL_DATABASE_URL": database, "ANNUL_PORT": "0", "ANNUL_WORKERS": "1"}
    command = [sys.executable, "-m", "annul"]
    subprocess.run([*command, "setup"], env=environment, check=True, capture_output=True)
    with log.open("wb") as written:
        process = subprocess.Popen([*command, "serve"], env=environment, stderr=written, stdout=written, umask=0)
    until(lambda: home.state.exists() and set(BESIDE) <= state(home)["roles"].keys(), "every role")
    until(lambda: is_ready(state(home)["url"]), "the service")
    yield process, home, log
    process.terminate()
    process.wait(WAIT_S)


def state(home: Home) -> dict[str, Any]:
    """Read who runs."""
    found: dict[str, Any] = json.loads(home.state.read_bytes())
    return found


def lines(log: Path, event: str) -> list[dict[str, Any]]:
    """Return the lines of the log about one event."""
    found = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return [line for line in found if line["event"] == event]


def test_books_that_cannot_be_written_end_nothing(served: tuple[subprocess.Popen[bytes], Home, Path]) -> None:
    """Every book blocked, processes killed: checks are answered all the time, it is said once, and then all is as before."""
    process, home, log = served
    url, roles = state(home)["url"], state(home)["roles"]
    blocks = [home / f"{book}.new" for book in BOOKS]
    for block in blocks:
        block.mkdir(parents=True)
    for role in BESIDE:
        os.kill(roles[role], signal.SIGKILL)
    until(lambda: len(lines(log, "role ended, starting it again")) == 3, "the roles' ends")
    until(lambda: lines(log, "the processes could not be noted"), "the word about it")
    with urllib.request.urlopen(f"{url}/readyz", timeout=WAIT_S) as answer:
        assert answer.status == 200
    assert process.poll() is None
    assert state(home)["roles"] == roles, "nothing was written"
    for block in blocks:
        block.rmdir()
    until(
        lambda: all(state(home)["roles"].get(role, roles[role]) != roles[role] for role in BESIDE),
        "the note",
    )
    assert len(lines(log, "the processes could not be noted")) == 1
    assert is_ready(url)
    for pid in state(home)["roles"].values():
        os.kill(pid, 0)


def test_a_served_home_is_closed_to_others(served: tuple[subprocess.Popen[bytes], Home, Path]) -> None:
    """Nobody else enters the home or reads a file of it, whatever the umask it was started with; public keys are public."""
    _, home, _ = served
    until((home.log("register") / "checkpoint").exists, "the seal")
    found = {path.relative_to(home): path.lstat() for path in (home, *home.rglob("*"))}
    open_ = {str(place) for place, seen in found.items() if seen.st_mode & 0o077 and not stat.S_ISSOCK(seen.st_mode)}
    assert open_ == {"keys/annul.pub"}
    assert len(found) > 20
