"""A register with cards for each test of this room."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from annul.home import Home
from tests.registry.editions.house import House
from tests.registry.world import World


@pytest.fixture
def house(database: str, tmp_path: Path) -> Iterator[House]:
    """A register with some thousand cards."""
    world = World(database, Home(tmp_path / "home"))
    yield House.filled(world, tmp_path / "edges")
    world.close()
