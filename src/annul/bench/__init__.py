"""Measurements against peers in the same run: `annul bench WHAT`. Ratios are what counts; no test asserts them.

Each measurement is a module of this package with `main(arguments: list[str]) -> int`; `--json` prints one JSON value.
"""

from __future__ import annotations

import importlib
from typing import Final

from annul.errors import BadInput

MEASUREMENTS: Final = {
    "check": "annul.bench.http",
    "receipts": "annul.bench.receipts",
    "report": "annul.bench.report",
    "listings": "annul.bench.listings",
    "import": "annul.bench.imports",
    "people": "annul.bench.people",
    "review": "annul.bench.review",
    "likeness": "annul.bench.likeness",
    "reader": "annul.bench.reader",
    "editions": "annul.bench.editions",
    "conduct": "annul.bench.conduct",
}
"""Name on the command line -> module."""


def run(what: str, arguments: list[str]) -> int:
    """Run one measurement, or all of them; returns the exit code.

    Raises:
        BadInput: there is no measurement of this name.
    """
    if what == "all":
        return max(run(name, arguments) for name in MEASUREMENTS)
    module = MEASUREMENTS.get(what)
    if module is None:
        raise BadInput(
            "There is no measurement of this name.", where=what, mend=f"Use all or one of {', '.join(MEASUREMENTS)}."
        )
    return int(importlib.import_module(module).main(arguments))
