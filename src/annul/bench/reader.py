"""`annul bench reader`: zones and printed fronts from rendered, damaged photos; the whole walk through an emulated chip."""

from __future__ import annotations

import argparse
import sys
from typing import Any

import msgspec


def main(arguments: list[str]) -> int:
    """Measure and print; `--json` prints one JSON value."""
    parser = argparse.ArgumentParser(prog="annul bench reader", description=__doc__)
    parser.add_argument("--count", type=int, default=20, help="photos of each form and level")
    parser.add_argument("--walks", type=int, default=10, help="walks through each kind of chip")
    parser.add_argument("--seed", type=int, default=1, help="seed of the rendered documents")
    parser.add_argument("--only", choices=("zones", "residents", "chip"), help="measure one part")
    parser.add_argument("--json", action="store_true", help="print one JSON value")
    told = parser.parse_args(arguments)
    from annul.bench.reading import bench_chip, bench_resident_photos, bench_zone_photos

    def say(what: str) -> None:
        if sys.stderr.isatty():
            print(f"\r{what:<40}", end="", file=sys.stderr, flush=True)

    parts: list[dict[str, Any]] = []
    if told.only in (None, "chip"):
        parts.append(bench_chip(told.walks))
    if told.only in (None, "zones"):
        parts.append(bench_zone_photos(told.count, told.seed, progress=say))
    if told.only in (None, "residents"):
        parts.append(bench_resident_photos(max(1, told.count // 4), told.seed))
    if told.json:
        print(msgspec.json.encode(parts).decode())
        return 0
    for part in parts:
        print(part["bench"])
        for row in part["rows"]:
            print("  " + ", ".join(f"{name} {_told(value)}" for name, value in row.items() if value not in ([], "")))
    return 0


def _told(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_told(item) for item in value) + "]"
    return str(value)
