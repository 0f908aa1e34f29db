"""Copy what only grows: the workers' check logs byte by byte, the sealed logs tile by tile. Each run adds what is new.

`<folder>/grown/place.json` says up to where the last finished run got. What lies behind it was left by a run that did not
finish, and is written again. What lies before it is never touched: every run of the folder stands on it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from annul import durable
from annul.backup.contents import GROWN, CheckPlace, Place
from annul.errors import Conflict, Corrupt, NotFound
from annul.home import Home
from annul.proof.tiles import HEIGHT, LEVEL_MAX, WIDTH, bundle_path, tile_path
from annul.registry.answering.checklog import read_windows, worker_folder, workers

Advance = Callable[[int], None]

PLACE: Final = "place.json"
COMPARED_BYTES: Final = 4096
"""End of what was copied before that is held against the source: another history differs in it (each record is signed)."""
COPY_BYTES: Final = 1 << 20


class Grown:
    """The part of a backup folder that only grows.

    Args:
        folder: the backup folder.

    Raises:
        Corrupt: the note of how far it is cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = durable.folder(folder / GROWN)
        file = self.folder / PLACE
        try:
            self.place = msgspec.json.decode(file.read_bytes(), type=Place) if file.exists() else Place()
        except msgspec.MsgspecError:
            raise Corrupt(
                "The note of what was copied is damaged.", where=f"{GROWN}/{PLACE}", mend="Name a new folder."
            ) from None

    def checks(self, home: Home, advance: Advance) -> dict[str, CheckPlace]:
        """Add the windows that are durable now; return up to where each worker's log is copied.

        Raises:
            Conflict: the folder holds the check log of another history.
            Corrupt: a window of the source is damaged.
        """
        found = dict(self.place.checks)
        for worker in workers(home.checks):
            source, known = worker_folder(home.checks, worker), found.get(str(worker), CheckPlace())
            target = durable.folder(self.folder / "checks" / source.name)
            _require_same(source / known.file, target / known.file, known)
            for file, start, end, windows in _spans(source, known):
                _append(source / file, target / file, start, end)
                found[str(worker)] = CheckPlace(windows, file, end)
                advance(end - start)
        for gone in self.place.checks:
            if not worker_folder(home.checks, int(gone)).is_dir():
                raise _another_history(f"checks/{int(gone):02d}")
        return found

    def tiles(self, log: str, source: Path, size: int, advance: Advance) -> None:
        """Add the tiles and bundles of a sealed log up to a checkpoint's size.

        Raises:
            Conflict: the folder holds a longer log. Corrupt: a file of the source is missing.
        """
        before = self.place.logs.get(log, 0)
        if size < before:
            raise _another_history(f"log/{log}")
        target = self.folder / "log" / log
        for path in _tiles_between(before, size):
            advance(_copy_tile(source, target, path))

    def finish(self, place: Place) -> None:
        """Note that everything up to here is copied and on stable storage."""
        durable.sync_all(self.folder)
        durable.replace(self.folder / PLACE, msgspec.json.encode(place))
        self.place = place


def bring_back(folder: Path, place: Place, home: Home, advance: Advance) -> None:
    """Write what had grown at one run into a home: check logs cut at its place, tiles as they are.

    Raises:
        Corrupt: the backup lacks bytes that it should have.
    """
    grown = folder / GROWN
    for worker, known in place.checks.items():
        source, target = worker_folder(grown / "checks", int(worker)), durable.folder(worker_folder(home.checks, int(worker)))
        for file in sorted(path.name for path in source.glob("*.log") if path.name <= known.file):
            end = known.offset if file == known.file else (source / file).stat().st_size
            if (source / file).stat().st_size < end:
                raise Corrupt("The backup's check log is cut short.", where=f"{source.name}/{file}")
            _append(source / file, target / file, 0, end)
            advance(end)
        durable.replace(target / "durable", known.windows.to_bytes(8, "little"))
    for log, size in place.logs.items():
        for path in _tiles_between(0, size):
            advance(_copy_tile(grown / "log" / log, home.log(log), path))


def _spans(source: Path, known: CheckPlace) -> Iterator[tuple[str, int, int, int]]:
    """Yield (file, first byte, byte behind the last, number of the next window) of what is durable and not copied yet."""
    file, start, end, windows = known.file, known.offset, known.offset, known.windows
    for record in read_windows(source, start=known.windows, file=known.file, offset=known.offset):
        if record.file.name != file:
            if end > start:
                yield file, start, end, windows
            file, start = record.file.name, record.offset
        end, windows = record.end, record.stated.window + 1
        if end - start >= COPY_BYTES * 8:
            yield file, start, end, windows
            start = end
    if end > start:
        yield file, start, end, windows


def _require_same(source: Path, target: Path, known: CheckPlace) -> None:
    if not known.file:
        return
    compared = min(COMPARED_BYTES, known.offset)
    ends = []
    for path in (source, target):
        try:
            with path.open("rb") as file:
                file.seek(known.offset - compared)
                ends.append(file.read(compared))
        except OSError:
            raise _another_history(f"checks/{source.parent.name}") from None
    if ends[0] != ends[1]:
        raise _another_history(f"checks/{source.parent.name}")


def _another_history(where: str) -> Conflict:
    return Conflict(
        "The folder holds copies of another history of this register than the one that runs.",
        where=where,
        mend="Name a new folder, and keep the old one: it may have what is missing here.",
    )


def _append(source: Path, target: Path, start: int, end: int) -> None:
    """Copy the bytes start..end-1 to the same place of the target, which ends there afterwards."""
    with durable.telling(target), source.open("rb") as read, target.open("r+b" if target.exists() else "x+b") as write:
        target.chmod(durable.PRIVATE)
        write.truncate(start)
        write.seek(start)
        read.seek(start)
        left = end - start
        while left:
            piece = read.read(min(left, COPY_BYTES))
            if not piece:
                raise Corrupt("A check log is shorter than it was.", where=f"checks/{source.parent.name}/{source.name}")
            write.write(piece)
            left -= len(piece)


def _tiles_between(before: int, size: int) -> Iterator[str]:
    """Yield the paths of a tree of this size that one of the size before does not have; partial ones as this size has them."""
    for level in (None, *range(LEVEL_MAX + 1)):
        had, has = (count >> (HEIGHT * (level or 0)) for count in (before, size))
        for index in range(had // WIDTH, -(-has // WIDTH)):
            width = min(WIDTH, has - index * WIDTH)
            yield bundle_path(index, width) if level is None else tile_path(level, index, width)


def _copy_tile(source: Path, target: Path, path: str) -> int:
    """Copy a tile or bundle; the full file serves where the partial one is gone. Return its length."""
    for name in dict.fromkeys((path, path.partition(".p/")[0])):
        to = target / name
        try:
            with (source / name).open("rb") as read:
                durable.folder(to.parent)
                with durable.telling(to):
                    aside = to.with_name(to.name + ".new")
                    with aside.open("wb") as write:
                        shutil.copyfileobj(read, write)
                        length = write.tell()
                    aside.chmod(durable.PRIVATE)
                    aside.replace(to)
            return length
        except (FileNotFoundError, IsADirectoryError):
            continue
    raise NotFound("A file of a sealed log is missing.", where=path, mend="Run `annul log verify`.")
