"""A register of persons with a clean-up, for the tests of this room."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.registry.review.clinic import Clinic


@pytest.fixture
def clinic(database: str, memory_folder: Path, tmp_path: Path) -> Iterator[Clinic]:
    """A register without persons."""
    made = Clinic(database, tmp_path)
    yield made
    made.close()
