"""`annul bench editions`: sizes against the entropy bound and against peers built in the same run, speed of building and
asking.

Documents are made up: points are random, so are those listed (a share of each cohort). Peers are built here from the same
sets: a Bloom cascade (Larisch et al., CRLite, 2017: the first level at the rate that makes it smallest), a fuse filter of 16
bits (Graf and Lemire 2022: built, 3-wise, with its false hits counted), and a list of one bit a document, deflated (as status
lists are). Times are processor time of one core. `build_per_s` includes asking again about every document, not reading them
from a database.
"""

from __future__ import annotations

import argparse
import gc
import math
import os
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from annul.bench import digital
from annul.edge.edition import CHANGES, Edition, cohort_name
from annul.registry.editions.build import About, Asker, Cohort, Made, build

Words = npt.NDArray[np.uint64]
SINGLE: Final = 20_000
CHANGED: Final = 20_000
QUARTERS: Final = 80
COHORT: Final = cohort_name("cn-resident", "resident") << 16 | 1


def main(arguments: list[str]) -> int:
    """Measure and print; `--json` prints one JSON value. Returns 1 when an answer was wrong."""
    parser = argparse.ArgumentParser(prog="annul bench editions", description=__doc__)
    parser.add_argument("--issued", type=float, default=1e7, help="documents of the universe")
    parser.add_argument("--json", action="store_true", help="print one JSON value")
    told = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="annul-bench-") as folder:
        figures = measure(Path(folder), int(told.issued))
    if told.json:
        print(msgspec.json.encode(figures).decode())
    else:
        for name, value in figures.items():
            print(f"  {name:24} {value:>14,.4g}")
    return 1 if figures["wrong"] else 0


def measure(folder: Path, issued: int) -> dict[str, float]:
    """Build, ask and compare at this size; returns figures by name."""
    path = folder / "edition.bin"
    random = np.random.default_rng(14)
    points = random.integers(0, 1 << 64, issued, dtype=np.uint64)
    _build([_cohort(random, points[:20_000], 0.02)], path)  # compile
    two, seven = (_cohort(random, points, share) for share in (0.02, 0.07))
    made_seven = _build([seven], path)
    began = time.process_time()
    made = _build([two], path)
    build_s = time.process_time() - began
    figures: dict[str, float] = {
        "issued": issued,
        "ratio_2pct": round(made.ratio, 4),
        "ratio_7pct": round(made_seven.ratio, 4),
        "bytes_2pct": made.size,
        "build_per_s": round(issued / build_s),
        "wrong": made.wrong + made_seven.wrong,
    }
    figures |= _asked(path, made, two)
    figures |= _peers(two, points, made.size)
    cohorts = _quarters(random, points)
    parted = _build(cohorts, folder / "cohorts.bin")
    listed = parted.listed / issued
    bound = issued * _entropy(listed) / 8
    figures["ratio_cohorts"] = round(parted.size / bound, 4)
    figures["wrong"] += parted.wrong
    figures |= _supplement(random, points, folder / "supplement.bin")
    return figures | digital.measure()


def _build(cohorts: list[Cohort], path: Path) -> Made:
    return build(cohorts, About(os.urandom(16), 1, 20_000, classes=False), path)


def _cohort(random: np.random.Generator, points: Words, share: float) -> Cohort:
    return Cohort(COHORT, points, (random.random(len(points)) < share).astype(np.uint8))


def _quarters(random: np.random.Generator, points: Words) -> list[Cohort]:
    """Return cohorts of twenty years of issue: cards are superseded with age, two in three of the oldest; 7 % in all or so."""
    made = []
    for number, part in enumerate(np.array_split(points, QUARTERS)):
        age = (QUARTERS - number) / QUARTERS
        share = 0.004 + 0.35 * age**5
        made.append(Cohort(COHORT & ~0xFFFF | number + 1, part, (random.random(len(part)) < share).astype(np.uint8)))
    return made


def _entropy(share: float) -> float:
    return -(share * math.log2(share) + (1 - share) * math.log2(1 - share))


def _cpu(what: Callable[[], object], times: int = 1) -> float:
    """Return seconds of processor time of one call, the best of three rounds."""
    best = math.inf
    gc.disable()
    for _ in range(3):
        began = time.process_time()
        for _ in range(times):
            what()
        best = min(best, (time.process_time() - began) / times)
    gc.enable()
    return best


def _asked(path: Path, made: Made, cohort: Cohort) -> dict[str, float]:
    words = np.fromfile(path, np.uint64)
    asker = Asker(words)
    block = cohort.points[: 1 << 16]
    batch = _cpu(lambda: asker.codes(COHORT, block), 10)
    some = [int(point) for point in cohort.points[:SINGLE]]
    one = asker.single(COHORT)
    single = _cpu(lambda: [one(point) for point in some]) / len(some)
    edition = Edition.open(path, made.digests)
    edition.verify()
    plain = _cpu(lambda: [edition.look(point, COHORT, 1) for point in some]) / len(some)
    wrong = sum(
        (edition.look(point, COHORT, 1).verdict.value == "LISTED") != bool(code)
        for point, code in zip(some, cohort.codes, strict=False)
    )
    return {
        "lookup_ns": round(batch / len(block) * 1e9, 1),
        "lookup_single_us": round(single * 1e6, 2),
        "lookup_python_us": round(plain * 1e6, 2),
        **_start(path, made),
        "wrong_python": wrong,
    }


_START: Final = """
import sys, time
first = time.process_time()
from pathlib import Path
from annul.edge.edition import Edition
import annul.edge.edge
import annul.records.document
began = time.process_time()
edition = Edition.open(Path(sys.argv[1]), Path(sys.argv[2]).read_bytes())
edition.look(int(sys.argv[3]), int(sys.argv[4]), 1)
ended = time.process_time()
print(ended * 1e3, (began - first) * 1e3)
assert "numba" not in sys.modules and "numpy" not in sys.modules and "psycopg" not in sys.modules
"""


def _start(path: Path, made: Made) -> dict[str, float]:
    """Return the processor time of a fresh process until its first answer, and what of it loads the edge's code.

    The best of five, after a first one that compiles: an edge is installed once.
    """
    digests = path.with_suffix(".digests")
    digests.write_bytes(made.digests)
    command = [sys.executable, "-c", _START, str(path), str(digests), "77", str(COHORT)]
    compiled = {"PYTHONPYCACHEPREFIX": str(path.parent / "compiled"), "PYTHONDONTWRITEBYTECODE": ""}
    environment = os.environ | compiled
    told = [subprocess.run(command, capture_output=True, check=True, env=environment).stdout.split() for _ in range(6)][1:]
    return {
        "edge_start_ms": round(min(float(start) for start, _ in told), 2),
        "edge_code_ms": round(min(float(code) for _, code in told), 1),
    }


# -- peers -------------------------------------------------------------------------------------------------------------------


def _peers(cohort: Cohort, points: Words, size: int) -> dict[str, float]:
    listed, rest = points[cohort.codes > 0], points[cohort.codes == 0]
    cascade, fuse, status = bloom_cascade(listed, rest), fuse16(listed), status_list(cohort.codes)
    return {
        "vs_bloom_cascade": round(size / cascade, 4),
        "vs_fuse16": round(size / fuse, 4),
        "vs_status_list": round(size / status, 4),
    }


def _hashed(points: Words, salt: int) -> Words:
    with np.errstate(over="ignore"):
        x = points ^ np.uint64(salt * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


def bloom_cascade(listed: Words, rest: Words) -> int:
    """Return the bytes of a Bloom cascade that tells `listed` from `rest`: each level holds the false hits of the one before.

    The first level's rate is sqrt(0.5) * listed / rest, that of the others 0.5 (Larisch et al., "CRLite", section IV).
    """
    inside, outside, level, bits = listed, rest, 0, 0
    while len(inside):
        rate = min(0.5, math.sqrt(0.5) * len(inside) / max(1, len(outside))) if level == 0 else 0.5
        slots = max(64, math.ceil(len(inside) * -math.log(rate) / math.log(2) ** 2))
        hashes = max(1, round(slots / len(inside) * math.log(2)))
        held = np.zeros(slots, np.bool_)
        for number in range(hashes):
            held[_hashed(inside, level * 64 + number + 1) % np.uint64(slots)] = True
        through = outside
        for number in range(hashes):
            through = through[held[_hashed(through, level * 64 + number + 1) % np.uint64(slots)]]
        bits += slots
        inside, outside, level = through, inside, level + 1
    return -(-bits // 8)


def fuse16(listed: Words) -> int:
    """Return the bytes of a 3-wise binary fuse filter of 16 bits over `listed`: its array, as Graf and Lemire size it.

    Peeled here to see that the size suffices; ValueError when it does not.
    """
    count = len(listed)
    segment = 1 << min(18, math.floor(math.log(count) / math.log(3.33) + 2.25))
    factor = max(1.125, 0.875 + 0.25 * math.log(1e6) / math.log(count))
    segments = max(1, -(-round(count * factor) // segment) - 2)
    slots = (segments + 2) * segment
    for salt in range(1, 20):
        if _peels(listed, salt, segments, segment, slots):
            return 2 * slots
    raise ValueError("a fuse filter of this size cannot be built")


def _peels(listed: Words, salt: int, segments: int, segment: int, slots: int) -> bool:
    """Tell whether every key can be taken off: in rounds, all slots with one key at once."""
    hashed = _hashed(listed, salt)
    first = ((hashed >> np.uint64(32)) * np.uint64(segments) >> np.uint64(32)).astype(np.int64)
    at = [
        (first + number) * segment + (_hashed(listed, salt * 100 + number + 1) % np.uint64(segment)).astype(np.int64)
        for number in range(3)
    ]
    alive = np.arange(len(listed))
    while len(alive):
        degree = np.zeros(slots, np.int32)
        for each in at:
            degree += np.bincount(each[alive], minlength=slots).astype(np.int32)
        lonely = (degree[at[0][alive]] == 1) | (degree[at[1][alive]] == 1) | (degree[at[2][alive]] == 1)
        if not lonely.any():
            return False
        alive = alive[~lonely]
    return True


def status_list(codes: npt.NDArray[np.uint8]) -> int:
    """Return the bytes of one bit a document, deflated at the best level (as a Token Status List is)."""
    return len(zlib.compress(np.packbits(codes > 0, bitorder="little").tobytes(), 9))


def _supplement(random: np.random.Generator, points: Words, path: Path) -> dict[str, Any]:
    """Return the size of a supplement of 20,000 changes (or a thousandth of the documents) against their raw keys."""
    count = min(CHANGED, len(points) // 50)
    codes = np.zeros(len(points), np.uint8)
    codes[random.choice(len(points), count, replace=False)] = random.integers(1, 4, count)
    made = build([Cohort(COHORT, points, codes)], About(os.urandom(16), 2, 20_000, CHANGES), path)
    return {"supplement_ratio": round(made.size / (8 * count), 4), "supplement_changes": count}
