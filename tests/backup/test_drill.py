"""The drill in short: a copy is taken under load, restored elsewhere, and holds everything that was acknowledged before it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from annul.home import Home
from tests.drills.backup import proved, under_load
from tests.drills.load import running_annul


def test_a_copy_taken_under_load_comes_back_whole(memory_folder: Home, tmp_path: Path) -> None:
    """Two copies beside checks and reports; the newest, restored in another place, proves itself, starts and refuses."""
    home, folder, target = Home(memory_folder, "copied"), tmp_path / "copies", Home(memory_folder, "restored")
    home.mkdir()
    with running_annul(home, holders=100) as demo:
        known = asyncio.run(under_load(demo, folder, home, rate=50, quiet_s=1))
        assert known.reports
    assert known.wrong == []
    assert proved(home, folder, target, known) == []
