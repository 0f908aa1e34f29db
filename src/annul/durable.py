"""Write files that survive a power cut, in one place, so that a reader can tell intent from omission.

    durable.replace(path, b"...")           # whole and on stable storage when it returns, or as it was before
    durable.replace_lossy(path, b"...")     # whole; after a power cut it may be the older one: cursors, notes, views

Each step says what a crash leaves. Everything is made for its owner alone (0600, folders 0700) unless asked otherwise.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from annul.errors import StorageFailed

PRIVATE = 0o600
UMASK = 0o077
"""Nobody else of the machine reads what no mode was said for."""


def folder(path: Path) -> Path:
    """Make a folder for its owner alone, with its parents, where it is missing; return it.

    Raises:
        StorageFailed: it cannot be made.
    """
    with telling(path):
        missing = [each for each in (path, *path.parents) if not each.exists()]
        for each in reversed(missing):  # `parents=True` would make the parents open to others
            each.mkdir(mode=0o700, exist_ok=True)
        if not path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
    return path


def close_to_others(path: Path) -> None:
    """Make what this process writes its owner's alone from now on, and a folder that others may enter, too.

    Raises:
        StorageFailed: the folder belongs to somebody else.
    """
    os.umask(UMASK)
    folder(path)
    if path.stat().st_mode & UMASK:
        with telling(path):
            path.chmod(0o700)


def sync_folder(path: Path) -> None:
    """Return when what was created, renamed and removed in a folder is on stable storage.

    Raises:
        StorageFailed: the barrier failed.
    """
    with telling(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sync_all(path: Path) -> None:
    """Return when everything on the file system of `path` is on stable storage (syncfs(2)): cheaper than thousands of barriers.

    Raises:
        StorageFailed: the barrier failed.
    """
    with telling(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if ctypes.CDLL(None, use_errno=True).syncfs(descriptor):
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number), str(path))
        finally:
            os.close(descriptor)


def replace(path: Path, content: bytes, *, mode: int = PRIVATE) -> None:
    """Put a whole file in place, durably. A crash leaves the old file, or the new one; beside it at most one `.new`.

    Raises:
        StorageFailed: disk full or failing; the old file is as it was.
    """
    replace_all({path: content}, mode=mode)
    sync_folder(path.parent)


def replace_all(files: Mapping[Path, bytes], *, mode: int = PRIVATE) -> None:
    """Write files beside their places, make them durable together (later barriers find their work done), and rename in order.

    A crash leaves the first few in place and the rest as they were. The renames are durable after `sync_folder`.

    Raises:
        StorageFailed: nothing was renamed, or the first few.
    """
    for path, content in files.items():
        _write(path, content, mode)
    for path in files:
        with telling(path):
            descriptor = os.open(_beside(path), os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
    for path in files:
        with telling(path):
            _beside(path).replace(path)


def replace_lossy(path: Path, content: bytes, *, mode: int = PRIVATE) -> None:
    """Put a whole file in place without waiting for the disk: no reader sees half of it, a power cut may bring the old one.

    For what can be made anew from durable files: cursors that may be behind, lists of faults, the address of who runs.

    Raises:
        StorageFailed: disk full or failing; the old file is as it was.
    """
    _write(path, content, mode)
    with telling(path):
        _beside(path).replace(path)


def create(path: Path, content: bytes, *, mode: int = PRIVATE) -> bool:
    """Put a file in place durably if there is none; another process's, if there is one by now, stays. Tell whether ours did.

    Raises:
        StorageFailed: disk full or failing; there is no file.
    """
    aside = path.with_name(f"{path.name}.{os.getpid()}.new")
    made = False
    with telling(path):
        try:
            _put(aside, content, mode, sync=True)
            with contextlib.suppress(FileExistsError):
                os.link(aside, path)
                made = True
        finally:
            aside.unlink(missing_ok=True)
    sync_folder(path.parent)
    return made


def reserve(descriptor: int, size_bytes: int, path: Path) -> None:
    """Take the room of an open file now. To touch a mapped page for which a full disk has no room kills the process.

    Raises:
        StorageFailed: there is not that much room.
    """
    with telling(path):
        os.posix_fallocate(descriptor, 0, size_bytes)


def move(source: Path, target: Path) -> None:
    """Rename a file that is already on stable storage, durably, making the target's folder where it is missing.

    A crash leaves it in one place or the other.

    Raises:
        StorageFailed: it stands where it stood.
    """
    folder(target.parent)
    with telling(target):
        source.replace(target)
    sync_folder(target.parent)
    if source.parent != target.parent:
        sync_folder(source.parent)


def _write(path: Path, content: bytes, mode: int) -> None:
    with telling(path):
        try:
            _put(_beside(path), content, mode, sync=False)
        except OSError:
            _beside(path).unlink(missing_ok=True)
            raise


def _put(path: Path, content: bytes, mode: int, *, sync: bool) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        os.fchmod(descriptor, mode)
        left = memoryview(content)
        while left:  # a write may take fewer bytes than it is given
            left = left[os.write(descriptor, left) :]
        if sync:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _beside(path: Path) -> Path:
    return path.with_name(path.name + ".new")


@contextlib.contextmanager
def telling(path: Path) -> Iterator[None]:
    """Turn the machine's error into ours, with its cause in words and the next step."""
    try:
        yield
    except OSError as error:
        raise StorageFailed(
            f"{path.name} cannot be written: {error.strerror or type(error).__name__}.",
            where=f"{path.parent.name}/{path.name}",
            mend="Free space, check the disk and who may write to the folder, and start again.",
        ) from error
