"""Logs as tiles: C2SP tlog-tiles, written crash-safe into a folder and read through any `read(path)`.

A tile holds 256 hashes of one level; level-0 hashes are leaf hashes, and every hash of level n+1 is the root over one full
tile of level n. Entries lie in bundles of 256, each entry with its length in front (u16, big-endian). A tile or bundle
that is not full has `.p/<width>` behind its path. `checkpoint` is the signed note.

Order of writing, and what a crash leaves:
1. bundles, 2. tiles of level 0, 1, … (each a new file, made durable, then renamed into place; up to 128 at once), 3. the
folders they are in, 4. `checkpoint`. Until step 4 the old checkpoint stands, and everything it speaks of is untouched; a
crash before it leaves files that nothing refers to, which the next run writes again with the same or longer content. After
step 4 everything the new checkpoint speaks of is on the disk. Partial files are removed only when a durable checkpoint
covers the full file.

Source: https://c2sp.org/tlog-tiles.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from annul import durable
from annul.errors import BadInput, Corrupt, NotFound, TooLarge, VerificationFailed
from annul.proof.checkpoint import parse_checkpoint, split_note
from annul.proof.merkle import (
    EMPTY_ROOT,
    HASH_BYTES,
    Node,
    consistency_ranges,
    inclusion_ranges,
    leaf_hash,
    node_hash,
    range_hash,
    root,
)

HEIGHT = 8
WIDTH = 1 << HEIGHT
"""Hashes in a full tile, entries in a full bundle (tlog-tiles fixes the height at 8)."""
ENTRY_BYTES_MAX = 0xFFFF
"""A bundle gives each entry a length of 16 bits."""
LEVEL_MAX = 7
"""Tiles of level 7 cover 2^64 entries."""
CHECKPOINT = "checkpoint"
_PATH = re.compile(r"tile/(?:(entries|[0-7])/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?)")

Read = Callable[[str], bytes]
"""read(path) -> bytes of a tile, bundle or checkpoint; NotFound when it is not there."""


def _number(index: int) -> str:
    groups = [f"{index % 1000:03d}"]
    while index >= 1000:
        index //= 1000
        groups.append(f"x{index % 1000:03d}")
    return "/".join(reversed(groups))


def tile_path(level: int, index: int, width: int = WIDTH) -> str:
    """Return the path of a tile, for instance `tile/0/x001/234.p/17`."""
    partial = "" if width == WIDTH else f".p/{width}"
    return f"tile/{level}/{_number(index)}{partial}"


def bundle_path(index: int, width: int = WIDTH) -> str:
    """Return the path of an entry bundle, for instance `tile/entries/x001/234`."""
    partial = "" if width == WIDTH else f".p/{width}"
    return f"tile/entries/{_number(index)}{partial}"


def parse_path(path: str) -> tuple[int | None, int, int]:
    """Return level (None for a bundle), index and width a tile path names.

    Raises:
        BadInput: it is no such path, or not in its one spelling.
    """
    match = _PATH.fullmatch(path)
    if match is not None:
        level = None if match[1] == "entries" else int(match[1])
        index = int(match[2].replace("x", "").replace("/", ""))
        width = int(match[3]) if match[3] else WIDTH
        spelt = bundle_path(index, width) if level is None else tile_path(level, index, width)
        if index < 1 << 56 and width <= WIDTH and spelt == path:
            return level, index, width
    raise BadInput("This is not the path of a tile.", where="/path", mend="See https://c2sp.org/tlog-tiles.")


def pack_bundle(entries: Sequence[bytes]) -> bytes:
    """Return entries as a bundle.

    Raises:
        TooLarge: an entry is longer than 65,535 bytes.
    """
    parts = []
    for entry in entries:
        if len(entry) > ENTRY_BYTES_MAX:
            raise TooLarge(f"A log entry has {len(entry)} bytes; at most {ENTRY_BYTES_MAX} fit.")
        parts.append(len(entry).to_bytes(2, "big"))
        parts.append(entry)
    return b"".join(parts)


def unpack_bundle(data: bytes, where: str = "") -> list[bytes]:
    """Return the entries of a bundle.

    Raises:
        Corrupt: it is cut short.
    """
    entries, at, end = [], 0, len(data)
    while at < end:
        size = int.from_bytes(data[at : at + 2], "big")
        at += 2 + size
        if at > end:
            raise Corrupt("An entry bundle is cut short.", where=where)
        entries.append(data[at - size : at])
    return entries


class TileReader:
    """Read a tree of one size from its tiles.

    Args:
        read: gives the bytes of a path. Tiles are kept in memory while this reader lives.
        size: number of entries, from a verified checkpoint.
    """

    def __init__(self, read: Read, size: int) -> None:
        self._read = read
        self.size = size
        self._tiles: dict[tuple[int, int], bytes] = {}

    def path_of(self, level: int | None, index: int) -> str:
        """Return the path of a tile, or of a bundle (level None), in the width this size gives it."""
        width = min(WIDTH, (self.size >> (HEIGHT * (level or 0))) - index * WIDTH)
        return bundle_path(index, width) if level is None else tile_path(level, index, width)

    def _whole(self, level: int | None, index: int) -> tuple[bytes, str]:
        """Read a tile or bundle; the full file serves where the partial one is gone."""
        path = self.path_of(level, index)
        full = path.partition(".p/")[0]
        try:
            return self._read(path), path
        except NotFound:
            if path == full:
                raise
            try:
                return self._read(full), full
            except NotFound:
                raise NotFound("The log has no such file.", where=path) from None

    def tile(self, level: int, index: int) -> bytes:
        """Return the hashes of a tile, put together, as many as the tree of this size has.

        Raises:
            Corrupt: the file has another length.
        """
        data = self._tiles.get((level, index))
        if data is None:
            data, path = self._whole(level, index)
            if len(data) != parse_path(path)[2] * HASH_BYTES:
                raise Corrupt("A tile does not have the length its path states.", where=path)
            width = parse_path(self.path_of(level, index))[2]
            data = self._tiles[level, index] = data[: width * HASH_BYTES]
        return data

    def node(self, level: int, index: int) -> bytes:
        """Return the hash of the full subtree of 2^level leaves at this index."""
        tile_level, inside = divmod(level, HEIGHT)
        first = index << inside
        tile = self.tile(tile_level, first // WIDTH)
        at = first % WIDTH * HASH_BYTES
        hashes = [tile[at + n * HASH_BYTES : at + (n + 1) * HASH_BYTES] for n in range(1 << inside)]
        return root(hashes)

    def root(self) -> bytes:
        """Return the root of the tree."""
        return range_hash(0, self.size, self.node)

    def inclusion_path(self, index: int) -> list[bytes]:
        """Return the inclusion path of an entry. ValueError when the tree has no such entry."""
        return [range_hash(start, end, self.node) for start, end in inclusion_ranges(index, self.size)]

    def consistency_proof(self, old: int, new: int | None = None) -> list[bytes]:
        """Return the proof that the tree of size `old` is a beginning of the tree of size `new`, by default this one.

        Raises:
            ValueError: not 0 < old <= new <= size.
        """
        new = self.size if new is None else new
        if new > self.size:
            raise ValueError("the tree is not as large")
        return [range_hash(start, end, self.node) for start, end in consistency_ranges(old, new)]

    def bundle(self, index: int) -> list[bytes]:
        """Return the entries of a bundle, as many as the tree of this size has.

        Raises:
            Corrupt: too few entries, or too many for its path.
        """
        data, path = self._whole(None, index)
        entries = unpack_bundle(data, path)
        if len(entries) != parse_path(path)[2]:
            raise Corrupt("An entry bundle does not have the number of entries its path states.", where=path)
        return entries[: self.size - index * WIDTH]

    def entries(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Yield the entries start..end-1."""
        end = self.size if end is None else min(end, self.size)
        for index in range(start // WIDTH, -(-end // WIDTH)):
            first = index * WIDTH
            yield from self.bundle(index)[max(0, start - first) : end - first]


def verify_tree(read: Read, size: int, expected_root: bytes, progress: Callable[[int], None] | None = None) -> None:
    """Re-read every entry and every tile of a log and compare them with each other and with the root.

    Args:
        read: gives the bytes of a path.
        size, expected_root: from a verified checkpoint.
        progress: called with the number of entries read since the last call.
    Raises:
        Corrupt: `where` names the first file that does not fit.
        NotFound: a file is missing.
        VerificationFailed: step 5, all files fit each other but not the checkpoint.
    """
    reader = TileReader(read, size)

    def fresh(level: int, index: int) -> bytes:
        # A reader keeps its tiles; a whole log would not fit into memory.
        return TileReader(read, size).tile(level, index)

    below: list[bytes] = []
    for index in range(-(-size // WIDTH)):
        hashes = [leaf_hash(entry) for entry in reader.bundle(index)]
        if b"".join(hashes) != fresh(0, index):
            raise Corrupt(
                "The entries do not fit the hashes of their tile.",
                where=f"{reader.path_of(None, index)} or {reader.path_of(0, index)}",
                mend="Restore these files from a copy.",
            )
        if len(hashes) == WIDTH:
            below.append(root(hashes))
        if progress is not None:
            progress(len(hashes))
    level = 1
    while below:
        above: list[bytes] = []
        for index in range(-(-len(below) // WIDTH)):
            hashes = below[index * WIDTH : (index + 1) * WIDTH]
            if b"".join(hashes) != fresh(level, index):
                raise Corrupt(
                    "A tile does not fit the tiles below it.",
                    where=reader.path_of(level, index),
                    mend="Restore this file from a copy.",
                )
            if len(hashes) == WIDTH:
                above.append(root(hashes))
        below, level = above, level + 1
    if reader.root() != expected_root:
        raise VerificationFailed("The log does not lead to the root of its checkpoint.", step=5, where=CHECKPOINT)


def folder_reader(folder: Path) -> Read:
    """Return a `read` over a folder; it accepts tile paths and `checkpoint` only."""

    def read(path: str) -> bytes:
        if path != CHECKPOINT:
            parse_path(path)
        try:
            return (folder / path).read_bytes()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotFound("The log has no such file.", where=path) from error

    return read


class TileWriter:
    """Append entries to a log of tiles in a folder. One writer at a time.

    Opening reads the size from the folder's checkpoint and recomputes the right edge of the tree from the tiles; what a
    crash left behind the checkpoint is written again.

    Args:
        folder: made when it is not there.
    Raises:
        Corrupt: the tiles do not lead to the root of the checkpoint.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        durable.sync_folder(durable.folder(folder).parent)
        self._read = folder_reader(folder)
        self.sealed_size = 0
        """Number of entries of the checkpoint on the disk."""
        expected = EMPTY_ROOT
        try:
            note = self._read(CHECKPOINT)
        except NotFound:
            pass
        else:
            checkpoint = _checkpoint_of(note)
            self.sealed_size, expected = checkpoint
        self.size = self.sealed_size
        """Number of entries written."""
        self._edge: list[list[bytes]] = []
        self._entries: list[bytes] = []
        self._load(expected)

    def _load(self, expected: bytes) -> None:
        reader = TileReader(self._read, self.size)
        try:
            if reader.root() != expected:
                raise Corrupt("The tiles do not lead to the root of the checkpoint.", where=str(CHECKPOINT))
            for level in range(LEVEL_MAX + 1):
                count = self.size >> (HEIGHT * level)
                if not count:
                    break
                tile = reader.tile(level, count // WIDTH) if count % WIDTH else b""
                self._edge.append([tile[at : at + HASH_BYTES] for at in range(0, len(tile), HASH_BYTES)])
            if self.size % WIDTH:
                self._entries = reader.bundle(self.size // WIDTH)
                if [leaf_hash(entry) for entry in self._entries] != self._edge[0]:
                    raise Corrupt(
                        "The last entries do not fit the hashes of their tile.",
                        where=reader.path_of(None, self.size // WIDTH),
                        mend="Restore this file from a copy.",
                    )
        except NotFound as error:
            raise Corrupt("A file of the log is missing.", where=error.where, mend="Restore it from a copy.") from error

    def append(self, entries: Sequence[bytes]) -> None:
        """Write entries and make them durable. They count from `write_checkpoint` on.

        Raises:
            TooLarge: an entry does not fit a bundle; nothing was written.
            StorageFailed: the disk refused; open the writer again before going on.
        """
        pack_bundle(entries)
        files: dict[str, bytes] = {}
        pending, edge = list(self._entries), [list(level) for level in self._edge]
        for start in range(0, len(entries), WIDTH):
            self._take(entries[start : start + WIDTH], pending, edge, self.size + start, files)
        size = self.size + len(entries)
        if pending and entries:
            files[bundle_path(size // WIDTH, len(pending))] = pack_bundle(pending)
        for level, hashes in enumerate(edge):
            if hashes and hashes != (self._edge[level] if level < len(self._edge) else []):
                index = (size >> (HEIGHT * level)) // WIDTH
                files[tile_path(level, index, len(hashes))] = b"".join(hashes)
        self._store(files)
        self.size, self._entries, self._edge = size, pending, edge

    def _take(
        self, entries: Sequence[bytes], pending: list[bytes], edge: list[list[bytes]], at: int, files: dict[str, bytes]
    ) -> None:
        """Move entries through the right edge, collecting every bundle and tile that gets full."""
        for number, entry in enumerate(entries, at + 1):
            pending.append(entry)
            value, level = leaf_hash(entry), 0
            while True:
                if level == len(edge):
                    edge.append([])
                edge[level].append(value)
                if len(edge[level]) < WIDTH:
                    break
                index = (number >> (HEIGHT * (level + 1))) - 1
                files[tile_path(level, index)] = b"".join(edge[level])
                value = root(edge[level])
                edge[level] = []
                level += 1
            if len(pending) == WIDTH:
                files[bundle_path(number // WIDTH - 1)] = pack_bundle(pending)
                pending.clear()

    def _store(self, files: dict[str, bytes]) -> None:
        # Bundles before tiles, lower levels first: nothing on the disk speaks of what is not there yet.
        order = sorted(files, key=lambda path: (-1 if path.startswith("tile/entries") else int(path[5]), path))
        touched: set[Path] = set()
        for path in order:
            folder = durable.folder((self.folder / path).parent)
            while folder not in touched:
                touched.add(folder)
                if folder == self.folder:
                    break
                folder = folder.parent
        for start in range(0, len(order), _FILES_AT_ONCE):
            durable.replace_all({self.folder / path: files[path] for path in order[start : start + _FILES_AT_ONCE]})
        for folder in sorted(touched, reverse=True):
            durable.sync_folder(folder)

    def root(self) -> bytes:
        """Return the root over all entries written."""
        hashes = []
        for level, count in enumerate(len(level) for level in self._edge):
            for bit in range(HEIGHT):
                if count >> bit & 1:
                    start = count >> (bit + 1) << (bit + 1)
                    hashes.append(root(self._edge[level][start : start + (1 << bit)]))
        if not hashes:
            return EMPTY_ROOT
        value = hashes[0]
        for left in hashes[1:]:
            value = node_hash(left, value)
        return value

    def write_checkpoint(self, note: bytes) -> None:
        """Put a signed checkpoint over everything written into place, and remove partial files it makes superfluous.

        Raises:
            BadInput: it is of another size or root.
            StorageFailed: the disk refused.
        """
        if _checkpoint_of(note) != (self.size, self.root()):
            raise BadInput("The checkpoint is not about what was written.", where=CHECKPOINT)
        durable.replace(self.folder / CHECKPOINT, note)
        old, self.sealed_size = self.sealed_size, self.size
        for level in range(LEVEL_MAX + 1):
            before, now = (old >> (HEIGHT * level)) // WIDTH, (self.size >> (HEIGHT * level)) // WIDTH
            if before == now:
                break
            for index in range(before, now):
                shutil.rmtree(self.folder / f"{tile_path(level, index)}.p", ignore_errors=True)
                if level == 0:
                    shutil.rmtree(self.folder / f"{bundle_path(index)}.p", ignore_errors=True)


_FILES_AT_ONCE = 128
"""Files that are written together and then made durable together: later barriers find their work done by earlier ones."""


def _checkpoint_of(note: bytes) -> tuple[int, bytes]:
    try:
        checkpoint = parse_checkpoint(split_note(note)[0])
    except VerificationFailed as error:
        raise Corrupt("The checkpoint of the log cannot be read.", where=CHECKPOINT) from error
    return checkpoint.size, checkpoint.root


__all__ = [
    "CHECKPOINT",
    "ENTRY_BYTES_MAX",
    "HEIGHT",
    "WIDTH",
    "Node",
    "Read",
    "TileReader",
    "TileWriter",
    "bundle_path",
    "folder_reader",
    "pack_bundle",
    "parse_path",
    "tile_path",
    "unpack_bundle",
    "verify_tree",
]
