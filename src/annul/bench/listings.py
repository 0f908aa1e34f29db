"""`annul bench listings`: look-ups over the table and one large segment, on one core, and memory per listed document."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import msgspec

from annul.bench.lookups import measure_lookups


def main(arguments: list[str]) -> int:
    """Measure and print; `--json` prints one JSON value."""
    parser = argparse.ArgumentParser(prog="annul bench listings", description=__doc__)
    parser.add_argument("--table", type=int, default=5_000_000, help="entries of the table")
    parser.add_argument("--segment", type=int, default=20_000_000, help="entries of the segment")
    parser.add_argument("--json", action="store_true", help="print one JSON value")
    told = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="annul-bench-") as folder:
        found = measure_lookups(Path(folder), table_entries=told.table, segment_entries=told.segment)
    if told.json:
        print(msgspec.json.encode(found._asdict()).decode())
        return 0
    print(f"look-ups over {found.table_entries:,} table and {found.segment_entries:,} segment entries, one core")
    print(f"  batches, listed          {found.hits_per_s / 1e6:10.1f} million/s")
    print(f"  batches, not listed      {found.misses_per_s / 1e6:10.1f} million/s")
    print(f"  one call with 64 keys    {found.window_us:10.2f} µs")
    print(f"  one call with 1 key      {found.single_us:10.2f} µs")
    print(f"  entries written          {found.puts_per_s / 1e6:10.1f} million/s")
    print(f"  table, a document        {found.table_bytes_per_entry:10.1f} bytes (at most 24)")
    print(f"  segment, a document      {found.segment_bytes_per_entry:10.1f} bytes (at most 24)")
    return 0
