"""A register of persons beside the register of documents, for the tests of this room."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.registry.people.town import Town


@pytest.fixture
def town(database: str, memory_folder: Path, tmp_path: Path) -> Iterator[Town]:
    """A register without persons."""
    made = Town(database, tmp_path)
    yield made
    made.close()
