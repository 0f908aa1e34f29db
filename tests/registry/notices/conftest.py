"""A register of persons and documents with the process of notices run by hand, turn by turn."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.registry.notices.street import Street


@pytest.fixture
def street(database: str, memory_folder: Path, tmp_path: Path) -> Iterator[Street]:
    """A town with one holder who can be reached by mail and telephone."""
    made = Street(database, tmp_path)
    yield made
    made.close()
