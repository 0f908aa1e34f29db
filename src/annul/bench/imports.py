"""`annul bench import`: a generated list of invalid passports, from the file to the first answer of a new process."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import msgspec

from annul.listings.bench import measure_import


def main(arguments: list[str]) -> int:
    """Measure and print; `--json` prints one JSON value."""
    parser = argparse.ArgumentParser(prog="annul bench import", description=__doc__)
    parser.add_argument("--lines", type=int, default=132_000_000, help="lines of the list")
    parser.add_argument("--packed", action="store_true", help="give the list as .bz2 (packing it takes its time first)")
    parser.add_argument("--folder", type=Path, default=None, help="where the files are made (50 bytes a line)")
    parser.add_argument("--json", action="store_true", help="print one JSON value")
    told = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="annul-bench-", dir=told.folder) as folder:
        found = measure_import(Path(folder), lines=told.lines, packed=told.packed)
    if told.json:
        print(msgspec.json.encode(found._asdict()).decode())
        return 0
    print(f"import of {found.lines:,} lines")
    print(f"  from file to force       {found.seconds:10.1f} s ({found.lines / found.seconds / 1e6:.2f} million lines/s)")
    print(f"  most memory held         {found.resident_bytes / 1e9:10.2f} GB")
    print(f"  documents listed         {found.listed:10,} ({found.bad:,} lines malformed)")
    print(f"  bytes a document         {found.segment_bytes / max(1, found.listed):10.1f}")
    print(f"  restart to first answer  {found.restart_s:10.2f} s ({found.restart_cpu_s:.2f} s of one core)")
    return 0
