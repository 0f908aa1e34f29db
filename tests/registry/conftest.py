"""A fresh register for each test of this room."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.registry.world import World


@pytest.fixture
def world(database: str, tmp_path: Path) -> Iterator[World]:
    """A register without entries."""
    made = World(database, tmp_path)
    yield made
    made.close()
