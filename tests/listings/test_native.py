"""Machine code comes from caches that nobody else can write to, and from nowhere else."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from annul import compiled


def planted(folder: Path, code: bytes, digest: bytes | None = None) -> str:
    """Put an object file with a good (or the given) digest into a cache folder."""
    folder.mkdir(exist_ok=True)
    (folder / "annul-x.o").write_bytes((digest or hashlib.sha256(code).digest()) + code)
    return "annul-x.o"


def test_an_object_file_is_read_from_the_users_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NUMBA_CACHE_DIR comes first."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "own"))
    assert compiled.read(planted(tmp_path / "own", b"code")) == b"code"


def test_a_folder_that_others_may_write_to_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted code in a world-writable folder, or behind a link, is never loaded."""
    shared = tmp_path / "shared"
    name = planted(shared, b"evil")
    shared.chmod(0o777)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(shared))
    assert compiled.read(name) is None
    shared.chmod(0o755)
    (tmp_path / "link").symlink_to(shared)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "link"))
    assert compiled.read(name) is None


def test_a_damaged_object_file_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A torn or flipped cache file costs a compilation, nothing else."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "own"))
    assert compiled.read(planted(tmp_path / "own", b"code", bytes(32))) is None


def test_written_code_is_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache folder is made when it is missing; where it cannot be made, the next one serves."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "a" / "b"))
    compiled.keep("annul-y.o", b"some code")
    assert compiled.read("annul-y.o") == b"some code"
    assert sorted(os.listdir(tmp_path / "a" / "b")) == ["annul-y.o"]


def test_a_worker_starts_without_the_compiler() -> None:
    """Importing the room and looking up does not import numba."""
    code = "import sys, annul.listings.listings as l; l.native.load(); print('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
