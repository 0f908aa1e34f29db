"""Keep code that takes long to make: machine code of the kernels, templates of the pages.

What is kept is code, so a folder is used only when it belongs to this user (or root) and nobody else may write to it. Each file
begins with the SHA-256 of the rest: a torn or flipped one costs a compilation, nothing else.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_DIGEST_BYTES: Final = 32


def read(name: str) -> bytes | None:
    """Return what was kept under a name; None when it is not there, damaged, or where others could have put it."""
    for folder in _folders():
        if not _trusted(folder):
            continue
        try:
            raw = (folder / name).read_bytes()
        except OSError:
            continue
        if hashlib.sha256(raw[_DIGEST_BYTES:]).digest() == raw[:_DIGEST_BYTES]:
            return raw[_DIGEST_BYTES:]
    return None


def keep(name: str, code: bytes) -> None:
    """Keep code for later starts, in the best folder that can be written; when there is none it is not kept."""
    for folder in _folders():
        try:
            folder.mkdir(mode=0o755, parents=True, exist_ok=True)
            if not _trusted(folder):
                continue
            with tempfile.TemporaryDirectory(dir=folder, prefix=".annul-") as private:
                made = Path(private) / name
                made.write_bytes(hashlib.sha256(code).digest() + code)
                made.chmod(0o644)
                made.replace(folder / name)
        except OSError:
            continue
        return


def _folders() -> Iterator[Path]:
    """Name the folders, best first: told by the operator, beside the code, the user's own."""
    told = os.environ.get("NUMBA_CACHE_DIR")
    if told:
        yield Path(told)
    yield Path(__file__).parent / "__pycache__"
    base = os.environ.get("XDG_CACHE_HOME")
    home = os.environ.get("HOME")
    if base or home:
        yield (Path(base) if base else Path(str(home)) / ".cache") / "annul"
    annul_home = os.environ.get("ANNUL_HOME")
    if annul_home:
        yield Path(annul_home) / "cache"
    yield Path(tempfile.gettempdir()) / f"annul-cache-{os.getuid()}"


def _trusted(folder: Path) -> bool:
    try:
        status = folder.lstat()
    except OSError:
        return False
    return folder.is_dir() and status.st_uid in (0, os.getuid()) and not status.st_mode & 0o022
