"""The corpus: synthetic documents of every form, with what is right (`zones.json`). A new form is one entry."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any, Final

CORPUS: Final[dict[str, Any]] = json.loads((Path(__file__).parent / "zones.json").read_text("utf-8"))
ZONES: Final[list[dict[str, Any]]] = CORPUS["zones"]
TODAY: Final = datetime.date.fromisoformat(CORPUS["today"])
AT: Final = datetime.datetime.combine(TODAY, datetime.time(12), datetime.UTC)


def digit(text: str) -> str:
    """Return a check digit as Doc 9303-3 section 4.9 says it, character by character: the tests' own arithmetic."""
    total = 0
    for index, character in enumerate(text):
        total += (0 if character == "<" else int(character, 36)) * (7, 3, 1)[index % 3]
    return str(total % 10)
