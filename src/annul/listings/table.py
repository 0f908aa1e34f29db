"""Keep the live table: one memory-mapped file of slots, one writer, any number of reading processes.

Layout of a table file (all words little-endian, 64 bits):

    0      header page of 4096 bytes: magic and version, slots, generation, checksum of these; used slots; redo record
    4096   one checksum word for each block of 4096 slots, filled up to a page
    ...    slots of 16 bytes

Every change is one redo record and then one or two aligned stores, so that a writer killed anywhere leaves a table
that the next one mends (`redo`). A table never gives a slot of a key to another key; it grows into a new file.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from annul.errors import Corrupt, StorageFailed, UnknownVersion
from annul.listings import native

Words = npt.NDArray[np.uint64]

PAGE = 4096
BLOCK_SLOTS = 4096
SLOT_BYTES = 16
LINE_SLOTS = 4
"""Slots of a cache line of 64 bytes; a search begins at the first of one."""
SLOTS_MIN = 4096
LOAD_MAX = 0.85
"""A table grows above this load ..."""
GROWTH = 1.25
"""... by this factor, so that it never takes more than 16 / 0.85 * 1.25 = 23.5 bytes for a slot in use."""

_MAGIC = b"annulTB\x01"
_HEADER = struct.Struct("<8sQQI")
_USED_WORD = 4
_PENDING_WORD = 8
_LOOKS = 200
_PAUSE_S = 0.0002


def map_file(path: Path, *, writable: bool = False) -> mmap.mmap:
    """Map a whole file, shared between processes."""
    with path.open("r+b" if writable else "rb") as file:
        access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
        return mmap.mmap(file.fileno(), 0, access=access)


def words_of(mapped: mmap.mmap) -> Words:
    """See mapped bytes as 64-bit words; keeps the mapping alive."""
    return np.frombuffer(mapped, dtype="<u8")


def address_of(array: npt.NDArray[Any]) -> int:
    """Return the address of an array's first byte."""
    return int(array.__array_interface__["data"][0])


def reserve(descriptor: int, size: int, path: Path) -> None:
    """Give a file its size on the disk now: a store into a mapped page must never find the disk full."""
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        raise StorageFailed(
            f"Cannot reserve {size:,} bytes: {error.strerror}.", where=str(path), mend="Free space and start again."
        ) from error


class Table:
    """Map one generation of the table.

    Args:
        path: table file.
        writable: True for the one writer.

    Raises:
        Corrupt: size or header are not those of a table.
        UnknownVersion: the file is of another version.
    """

    def __init__(self, path: Path, *, writable: bool = False) -> None:
        self.path = path
        self._kernels = native.load()
        try:
            self._map = map_file(path, writable=writable)
        except (OSError, ValueError) as error:
            raise Corrupt("The table file cannot be read.", where=path.name) from error
        if len(self._map) < PAGE:
            raise Corrupt("The table is shorter than its header.", where=path.name)
        magic, slot_count, generation, check = _HEADER.unpack_from(self._map)
        self.slot_count, self.generation = int(slot_count), int(generation)
        if magic[:7] == _MAGIC[:7] and magic != _MAGIC:
            raise UnknownVersion("The table is of an unknown version.", where=path.name)
        if magic != _MAGIC or check != zlib.crc32(self._map[: _HEADER.size - 4]):
            raise Corrupt("The table's header is damaged.", where=path.name)
        sums, slots, size = _layout(self.slot_count)
        if len(self._map) != size:
            raise Corrupt(f"The table has {len(self._map):,} bytes instead of {size:,}.", where=path.name)
        self._words = words_of(self._map)
        self._header = address_of(self._words)
        self._sums = self._header + sums
        self.address = self._header + slots
        if not writable:
            self._map.madvise(mmap.MADV_RANDOM)

    @classmethod
    def create(cls, path: Path, slot_count: int, generation: int) -> Table:
        """Make an empty table, reserved on the disk.

        Raises:
            StorageFailed: there is no room for it.
        """
        slot_count = -(-max(SLOTS_MIN, slot_count) // LINE_SLOTS) * LINE_SLOTS
        _, _, size = _layout(slot_count)
        head = struct.pack("<8sQQ", _MAGIC, slot_count, generation)
        try:
            with path.open("w+b") as file:
                reserve(file.fileno(), size, path)
                file.write(head + struct.pack("<I", zlib.crc32(head)))
        except OSError as error:
            path.unlink(missing_ok=True)
            raise StorageFailed(
                f"Cannot make a table file: {error.strerror}.", where=str(path), mend="See that the folder can be written."
            ) from error
        except StorageFailed:
            path.unlink(missing_ok=True)
            raise
        return cls(path, writable=True)

    @property
    def used(self) -> int:
        """Count the slots in use."""
        return int(self._words[_USED_WORD])

    @property
    def byte_count(self) -> int:
        """Return the size of the file in bytes."""
        return len(self._map)

    @property
    def block_count(self) -> int:
        """Count the blocks under a checksum of their own."""
        return -(-self.slot_count // BLOCK_SLOTS)

    def redo(self) -> bool:
        """Finish the change that a killed writer had begun; True if there was one."""
        return bool(self._kernels.redo(self._header, self._sums, self.address))

    def put(self, keys: bytes, values: Words, first: int = 0) -> int:
        """Write keys from number `first` on; the number done (fewer than given: the table must grow)."""
        source = np.frombuffer(keys, dtype=np.uint8)
        done = self._kernels.put(
            self._header,
            self._sums,
            self.address,
            self.slot_count,
            address_of(source) + 16 * first,
            address_of(values) + 8 * first,
            len(values) - first,
            int(self.slot_count * LOAD_MAX),
        )
        return first + int(done)

    def copy_to(self, larger: Table) -> None:
        """Copy every entry into an empty, larger table."""
        used = self._kernels.grow(self.address, self.slot_count, larger.address, larger.slot_count, larger._sums)
        larger._words[_USED_WORD] = used

    def bad_block(self, first: int, last: int) -> int:
        """Compare blocks first..last-1 with their checksums; the first bad one, or -1.

        A change under way makes its block look bad for a moment: look again before believing it.
        """
        return int(self._kernels.first_bad_block(self.address, self.slot_count, self._sums, first, last))

    def verify(self, first: int, last: int) -> None:
        """Verify blocks first..last-1, also while the writer writes.

        Raises:
            Corrupt: a slot is not what was written; `where` names file and block.
        """
        while (bad := self.bad_block(first, last)) >= 0:
            for _ in range(_LOOKS):
                before = self._words[PAGE // 8 + bad]
                if self.bad_block(bad, bad + 1) < 0:
                    break
                # A change sets the redo record, then the slot, then the checksum: look in the opposite order.
                changing = bool(self._words[_PENDING_WORD])
                if not changing and self._words[PAGE // 8 + bad] == before:
                    raise Corrupt(
                        "A slot is not what was written.",
                        where=f"{self.path.name}, block {bad}",
                        mend="The follower rebuilds the table from the register.",
                    )
                time.sleep(_PAUSE_S)
            first = bad + 1  # sound, or written to all the time, or left by a dead writer to be redone

    def sync(self) -> None:
        """Write everything to the disk."""
        self._map.flush()


def _layout(slot_count: int) -> tuple[int, int, int]:
    """Return offsets of checksums and slots, and the size of the file."""
    blocks = -(-slot_count // BLOCK_SLOTS)
    slots = PAGE + -(-blocks * 8 // PAGE) * PAGE
    return PAGE, slots, slots + slot_count * SLOT_BYTES
