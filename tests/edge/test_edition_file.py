"""The file of an edition, asked by plain Python: exact, and never wrong after damage."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annul.edge.edition import ASK, CHANGES, FINGERPRINT, Edition, Finding, Verdict, cohort_name, quarter_of
from annul.errors import AnnulError, Corrupt, UnknownVersion
from annul.registry.editions.build import About, Asker, Cohort, Made, build

NAME = cohort_name("cn-resident", "resident") << 16
SAID = {0: ("NOT_LISTED", ""), 1: ("LISTED", "reported"), 2: ("LISTED", "not_in_force"), 3: ("ASK_ONLINE", "")}


def cohorts(seed: int, sizes: list[int], shares: list[float]) -> list[Cohort]:
    """Return cohorts of random points, listed at these shares."""
    chance = np.random.default_rng(seed)
    made = []
    for number, (size, share) in enumerate(zip(sizes, shares, strict=True)):
        codes = np.where(chance.random(size) < share, chance.integers(1, 4, size), 0).astype(np.uint8)
        made.append(Cohort(NAME | number + 1, chance.integers(0, 1 << 64, size, dtype=np.uint64), codes))
    return made


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Cohort], Made]:
    """An edition of six cohorts: none, few, many, most and all listed, and an empty one."""
    parts = cohorts(3, [4_000, 20_000, 6_000, 3_000, 500, 0], [0.0, 0.02, 0.3, 0.9, 1.0, 0.5])
    return parts, build(parts, About(bytes(range(16)), 77, 20_000), tmp_path_factory.mktemp("e") / "edition.bin")


def test_every_document_of_the_universe_is_answered_exactly(printed: tuple[list[Cohort], Made]) -> None:
    """By plain Python and by the kernels alike."""
    parts, made = printed
    edition, asker = Edition.open(made.path, made.digests), Asker(np.fromfile(made.path, np.uint64))
    assert made.wrong == 0
    assert made.asked_again == made.issued == sum(len(part.points) for part in parts)
    for part in parts:
        for point, code in zip(part.points.tolist(), part.codes.tolist(), strict=True):
            found = edition.look(point, part.id, 19_000)
            assert (found.verdict.value, found.class_) == SAID[code]
        if len(part.points):
            assert (asker.codes(part.id, part.points[:65_536]) == part.codes[:65_536]).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.tuples(st.integers(0, 400), st.floats(0, 1)), min_size=1, max_size=5))
def test_any_universe_is_exact(seed: int, shape: list[tuple[int, float]]) -> None:
    """Sizes from nothing on, any share listed."""
    parts = cohorts(seed, [size for size, _ in shape], [share for _, share in shape])
    with tempfile.TemporaryDirectory() as folder:
        made = build(parts, About(seed.to_bytes(16, "big"), 1, 20_000), Path(folder) / "e")
        edition = Edition(made.path.read_bytes(), made.digests)
        for part in parts:
            for point, code in zip(part.points.tolist(), part.codes.tolist(), strict=True):
                found = edition.look(point, part.id, 0)
                assert (found.verdict.value, found.class_) == SAID[code]


def test_outside_the_universe_nothing_is_said(printed: tuple[list[Cohort], Made]) -> None:
    """A later day, an unknown quarter, an unknown kind, no day at all: NOT_COVERED, whatever the stages would say."""
    edition = Edition.open(printed[1].path, printed[1].digests)
    chance = random.Random(5)
    for _ in range(500):
        point = chance.getrandbits(64)
        assert edition.look(point, NAME | 2, 20_001) == Finding(Verdict.NOT_COVERED, why="issued-later")
        assert edition.look(point, NAME | 2, None) == Finding(Verdict.NOT_COVERED, why="no-issue-date")
        assert edition.look(point, NAME | 99, 100) == Finding(Verdict.NOT_COVERED, why="unknown-cohort")
        assert edition.look(point, cohort_name("icao-9303/UTO/P", "P") << 16 | 2, 100).verdict is Verdict.NOT_COVERED


def test_ten_thousand_flipped_bits_are_refused_or_change_no_answer(printed: tuple[list[Cohort], Made]) -> None:
    """Wherever a bit flips, a look-up that touches it is an error that names the chunk; others are as before."""
    parts, made = printed
    raw = bytearray(made.path.read_bytes())
    chance = random.Random(7)
    refused = wrong = 0
    for _ in range(10_000):
        place, bit = chance.randrange(len(raw)), 1 << chance.randrange(8)
        raw[place] ^= bit
        part = parts[chance.randrange(len(parts) - 1)]
        which = chance.randrange(len(part.points))
        try:
            found = Edition(bytes(raw), made.digests).look(int(part.points[which]), part.id, 10)
        except Corrupt as error:
            refused += str(error.where).startswith("chunk")
        else:
            wrong += (found.verdict.value, found.class_) != SAID[int(part.codes[which])]
        raw[place] ^= bit
    assert wrong == 0
    assert refused > 1_000


def test_without_digests_a_broken_file_is_an_error_or_an_answer_never_a_crash(printed: tuple[list[Cohort], Made]) -> None:
    """Random bytes in header and directory: the reader refuses them or answers; it reads nothing outside the file."""
    parts, made = printed
    raw = made.path.read_bytes()
    chance = random.Random(11)
    for _ in range(3_000):
        broken = bytearray(raw)
        for _ in range(chance.randrange(1, 6)):
            broken[chance.randrange(600)] = chance.randrange(256)
        with contextlib.suppress(AnnulError):
            Edition(bytes(broken)).look(int(parts[1].points[0]), parts[1].id, 10)


@pytest.mark.parametrize("size", [0, 7, 63, 64, 1000, -8, -64, -65_536])
def test_a_file_that_was_cut_off_is_refused(printed: tuple[list[Cohort], Made], size: int) -> None:
    """At any place, with and without digests."""
    raw = printed[1].path.read_bytes()
    with pytest.raises(Corrupt):
        Edition(raw[:size], printed[1].digests)
    with pytest.raises(Corrupt):
        Edition(raw[:size])
    with pytest.raises(Corrupt):
        Edition(raw + bytes(8), printed[1].digests)


def test_another_version_or_form_is_refused(printed: tuple[list[Cohort], Made]) -> None:
    """Every format starts with its version."""
    raw = printed[1].path.read_bytes()
    with pytest.raises(UnknownVersion):
        Edition(b"\2" + raw[1:])
    with pytest.raises(UnknownVersion):
        Edition(raw[:1] + b"\x09" + raw[2:])


def test_a_supplement_tells_what_changed_and_into_what(tmp_path: Path) -> None:
    """Exact over the universe; documents that stand apart are found without it."""
    chance = np.random.default_rng(9)
    points = chance.integers(0, 1 << 64, 30_000, dtype=np.uint64)
    codes = np.where(chance.random(30_000) < 0.01, chance.integers(1, 5, 30_000), 0).astype(np.uint8)
    about = About(bytes(16), 90, 20_000, CHANGES, apart=((5, 1), (6, 2), (7, ASK + 1)))
    made = build([Cohort(NAME | 1, points, codes)], about, tmp_path / "s.bin")
    supplement = Edition.open(made.path, made.digests)
    for point, code in zip(points.tolist(), codes.tolist(), strict=True):
        assert supplement.changed(point, NAME | 1) == (code - 1 if code else None)
    assert [supplement.apart(point) for point in (4, 5, 6, 7, 8)] == [None, 0, 1, ASK, None]
    assert supplement.changed(5, NAME | 9) is None


def test_without_a_universe_a_hit_is_a_question(tmp_path: Path) -> None:
    """Every listed document is asked online; of a million others some fifteen are, none is called listed."""
    chance = np.random.default_rng(2)
    points = chance.integers(0, 1 << 64, 5_000, dtype=np.uint64)
    part = Cohort(NAME, points, np.ones(5_000, np.uint8))
    made = build([part], About(bytes(16), 1, 20_000, FINGERPRINT), tmp_path / "f.bin")
    edition = Edition.open(made.path, made.digests)
    assert {edition.look(point, NAME, None).verdict for point in points[:500].tolist()} == {Verdict.ASK_ONLINE}
    asker = Asker(np.fromfile(made.path, np.uint64))
    others = chance.integers(0, 1 << 64, 1_000_000, dtype=np.uint64)
    hits = sum(int((asker.codes(NAME, others[at : at + 65_536]) > 0).sum()) for at in range(0, 1_000_000, 65_536))
    assert hits < 60
    assert made.size < 2.2 * 5_000


def test_an_edge_loads_neither_server_nor_compiler() -> None:
    """numba, numpy, the database driver and the framework stay out of a device's process."""
    code = (
        "import sys, annul.edge.edge, annul.edge.sync, annul.edge.journal; "
        "print([name for name in ('numba', 'numpy', 'psycopg', 'litestar', 'httpx', 'llvmlite') if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert shown.stdout.strip() == "[]"


def test_quarters_follow_the_calendar() -> None:
    """The first quarter of 1970 is 1; a quarter ends where the next begins."""
    assert [quarter_of(day) for day in (0, 89, 90, 364, 365, 20_000)] == [1, 1, 2, 4, 5, 220]
