"""Seal bulk lists: immutable files of slots in the order of their keys, searched like the table.

Layout of a segment file (all words little-endian, 64 bits):

    0      header page of 4096 bytes: magic and version, entries, home slots, slots, SHA-256 of the slots, checksums' CRC
    4096   slots of 16 bytes: each entry at its home or behind it, in the order of word 0; the last slot is empty
    ...    one checksum word for each block of 4096 slots

A segment is built with bounded memory: records are grouped by their top byte into one spill file, each group is
sorted, duplicates are dropped (the worst value wins), and the groups are written one behind the other. It appears
under its name only when it is complete and durable.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from annul import durable
from annul.errors import Corrupt, StorageFailed, UnknownVersion
from annul.listings import native
from annul.listings.table import BLOCK_SLOTS, PAGE, SLOT_BYTES, Words, address_of, map_file, words_of
from annul.listings.values import VALUE_BITS, severity_table

LOAD = 0.85
"""Entries for each home slot: 16 / 0.85 = 18.8 bytes for a listed document."""
LOAD_MIN = 0.70
"""A segment emptier than this (many duplicates) is written once more."""
BUCKETS = 256
_PART_SLOTS = 1 << 20
MEMORY_BYTES = 512 << 20
"""Memory for building, unless told otherwise."""

_MAGIC = b"annulSG\x01"
_HEADER = struct.Struct("<8sQQQ32sI")
_CHECK = struct.Struct("<I")

Progress = Callable[[int, int], None]


class Batch(NamedTuple):
    """Hold a part of a list.

    Attributes:
        keys: document keys, 16 bytes each.
        values: one value for each key, or one for all.
        number_keys: keys of the numbers without discriminator, in the same order, or b"".
    """

    keys: bytes
    values: Words | int
    number_keys: bytes = b""


@dataclass(frozen=True, slots=True)
class SegmentInfo:
    """Say what a segment is.

    Attributes:
        path: the file.
        count: distinct keys in it (documents, and numbers of discriminated schemes).
        sha256: digest of the slots, lower-case hexadecimal.
        byte_count: size of the file.
    """

    path: Path
    count: int
    sha256: str
    byte_count: int


class Segment:
    """Map a sealed segment for looking up.

    Raises:
        Corrupt: size or header are not those of a segment.
        UnknownVersion: the file is of another version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._kernels = native.load()
        try:
            self._map = map_file(path)
        except (OSError, ValueError) as error:
            raise Corrupt("The segment cannot be read.", where=path.name, mend="Restore the file.") from error
        if len(self._map) < PAGE:
            raise Corrupt("The segment is shorter than its header.", where=path.name)
        magic, count, homes, slots, digest, sums_crc = _HEADER.unpack_from(self._map)
        self.count, self.home_count, self.slot_count = int(count), int(homes), int(slots)
        if magic[:7] == _MAGIC[:7] and magic != _MAGIC:
            raise UnknownVersion("The segment is of an unknown version.", where=path.name)
        (check,) = _CHECK.unpack_from(self._map, _HEADER.size)
        if magic != _MAGIC or check != zlib.crc32(self._map[: _HEADER.size]):
            raise Corrupt("The segment's header is damaged.", where=path.name)
        body = PAGE + self.slot_count * SLOT_BYTES
        self.block_count = -(-self.slot_count // BLOCK_SLOTS)
        size = body + self.block_count * 8
        if len(self._map) != size:
            raise Corrupt(f"The segment has {len(self._map):,} bytes instead of {size:,}.", where=path.name)
        self.sha256 = digest.hex()
        self._sums_crc = sums_crc
        self._words = words_of(self._map)
        self.address = address_of(self._words) + PAGE
        self._sums = self.address + self.slot_count * SLOT_BYTES
        self._map.madvise(mmap.MADV_RANDOM)

    def lookup(self, keys: bytes) -> Words:
        """Look up n keys of 16 bytes in this segment alone; n values, 0 where it has no entry."""
        out: Words = np.zeros(len(keys) // 16, np.uint64)
        source = np.frombuffer(keys, np.uint8)
        self._kernels.lookup_segment(
            self.address, self.home_count, self.slot_count, address_of(source), len(out), address_of(out)
        )
        return out

    def batches(self) -> Iterator[Batch]:
        """Give all entries back: keys with the 40 bits that a slot does not keep as zeros, values as they are."""
        for first in range(0, self.slot_count, _PART_SLOTS):
            slots = self._words[PAGE // 8 + first * 2 : PAGE // 8 + min(first + _PART_SLOTS, self.slot_count) * 2]
            used = slots.reshape(-1, 2)[slots[1::2] != 0]
            keys = np.empty_like(used)
            keys[:, 0] = used[:, 0]
            keys[:, 1] = used[:, 1] >> np.uint64(VALUE_BITS)
            yield Batch(keys.tobytes(), used[:, 1] & np.uint64((1 << VALUE_BITS) - 1))

    @property
    def info(self) -> SegmentInfo:
        """Say what this segment is."""
        return SegmentInfo(self.path, self.count, self.sha256, len(self._map))

    def bad_block(self, first: int, last: int) -> int:
        """Compare blocks first..last-1 with their checksums; the first bad one, or -1."""
        return self._kernels.first_bad_block(self.address, self.slot_count, self._sums, first, last)

    def verify(self, first: int, last: int) -> None:
        """Verify blocks first..last-1.

        Raises:
            Corrupt: a slot is not what was sealed; `where` names file and block.
        """
        bad = self.bad_block(first, last)
        if bad >= 0:
            raise Corrupt(
                "A slot is not what was sealed.",
                where=f"{self.path.name}, block {bad}",
                mend="Restore the file, or import the list again.",
            )

    def check_sums(self) -> None:
        """Check the checksums themselves against the header.

        Raises:
            Corrupt: they are damaged.
        """
        if zlib.crc32(self._map[PAGE + self.slot_count * SLOT_BYTES :]) != self._sums_crc:
            raise Corrupt("The segment's checksums are damaged.", where=self.path.name, mend="Import the list again.")

    def check_digest(self) -> None:
        """Read the whole file and compare it with its digest.

        Raises:
            Corrupt: the slots are not those that were sealed.
        """
        with memoryview(self._map) as view, view[PAGE : PAGE + self.slot_count * SLOT_BYTES] as body:
            if hashlib.sha256(body).hexdigest() != self.sha256:
                raise Corrupt("The segment is not what was sealed.", where=self.path.name, mend="Import the list again.")


class Extent(NamedTuple):
    """Say where a group of records lies in the spill file."""

    offset: int
    counts: list[int]


class Spill:
    """Collect records in memory, group them by their top byte, and keep the groups in one file.

    Args:
        path: spill file; an existing one is cut at the end of the last of `extents` and continued.
        width: words of a record: 2 (slots) or 3 (numbers with the document they belong to).
        memory_bytes: memory for records (half collects, half groups).
        extents: what an interrupted build had spilled.
    """

    def __init__(self, path: Path, *, width: int = 2, memory_bytes: int = MEMORY_BYTES, extents: Iterable[Extent] = ()) -> None:
        self.path, self.width = path, width
        self._kernels = native.load()
        self._capacity = max(1024, memory_bytes // (width * 8 * 2))
        self._records: Words = np.empty(self._capacity * width, np.uint64)
        self._grouped: Words = np.empty(self._capacity * width, np.uint64)
        self._pending = 0
        self.extents: list[Extent] = list(extents)
        self._end = sum(sum(e.counts) for e in self.extents) * width * 8
        try:
            self._file: BinaryIO = path.open("r+b" if self.extents else "w+b", buffering=0)
            self._file.truncate(self._end)
        except OSError as error:
            raise _storage(path, error) from error

    @property
    def count(self) -> int:
        """Count the records taken."""
        return self._end // (self.width * 8) + self._pending

    @property
    def room(self) -> int:
        """Count the records that fit into memory before the next flush."""
        return self._capacity - self._pending

    def add(self, keys: bytes, values: Words | int, documents: bytes = b"") -> None:
        """Take records; for width 3 `documents` are the keys of the documents, in the same order."""
        total, first = len(keys) // 16, 0
        if not isinstance(values, int):
            values = np.ascontiguousarray(values, np.uint64)  # its address stands for all of it
        source = address_of(np.frombuffer(keys, np.uint8)) if total else 0
        others = address_of(np.frombuffer(documents, np.uint8)) if documents else 0
        while first < total:
            n = min(total - first, self._capacity - self._pending)
            out = address_of(self._records) + self._pending * self.width * 8
            if isinstance(values, int):
                if self.width == 3:
                    values = np.full(total, values, np.uint64)
                    continue
                self._kernels.pack_all(source + first * 16, values, n, out)
            elif self.width == 2:
                self._kernels.pack(source + first * 16, address_of(values) + first * 8, n, out)
            else:
                at = address_of(values) + first * 8
                self._kernels.pack_numbers(source + first * 16, others + first * 16, at, n, out)
            self._pending += n
            first += n
            if self._pending == self._capacity:
                self.flush()

    def flush(self, *, durable: bool = False) -> None:
        """Group what is in memory and append it to the file.

        Raises:
            StorageFailed: the disk is full or fails.
        """
        if self._pending:
            counts: Words = np.zeros(BUCKETS, np.uint64)
            self._kernels.scatter(
                address_of(self._records), self._pending, self.width, address_of(self._grouped), address_of(counts)
            )
            raw = self._grouped[: self._pending * self.width].view(np.uint8).data
            try:
                self._file.seek(self._end)
                write_all(self._file, raw, self.path)
                if durable:
                    os.fsync(self._file.fileno())
            except OSError as error:
                raise _storage(self.path, error) from error
            self.extents.append(Extent(self._end, [int(c) for c in counts]))
            self._end += len(raw)
            self._pending = 0

    def release(self) -> None:
        """Flush, and give the memory for records back: only `bucket` follows."""
        self.flush()
        self._records = self._grouped = np.empty(0, np.uint64)

    def bucket(self, number: int) -> Words:
        """Read all records with this top byte, in no order."""
        step = self.width * 8
        size = sum(e.counts[number] for e in self.extents)
        out: Words = np.empty(size * self.width, np.uint64)
        raw, at = out.view(np.uint8).data, 0
        for extent in self.extents:
            length = extent.counts[number] * step
            offset = extent.offset + sum(extent.counts[:number]) * step
            while length:
                got = os.preadv(self._file.fileno(), [raw[at : at + length]], offset)
                if got <= 0:
                    raise StorageFailed("The spill file ended early.", where=str(self.path), mend="Start the import again.")
                at, offset, length = at + got, offset + got, length - got
        return out

    def close(self, *, remove: bool = True) -> None:
        """Close the spill file, and remove it unless the build is to be continued."""
        self._file.close()
        if remove:
            self.path.unlink(missing_ok=True)


def write_all(file: BinaryIO, raw: memoryview, path: Path) -> None:
    """Write every byte; a short write is followed up, one of nothing is a failure."""
    while raw:
        written = file.write(raw)
        if not written:
            raise StorageFailed("The disk took no more bytes.", where=str(path), mend="Free space and start again.")
        raw = raw[written:]


def _storage(path: Path, error: OSError) -> StorageFailed:
    return StorageFailed(
        f"Cannot write: {error.strerror}.", where=str(path), mend="Free space, check the disk, and start again."
    )


def build(
    batches: Iterable[Batch], path: Path, *, memory_bytes: int = MEMORY_BYTES, progress: Progress | None = None
) -> SegmentInfo:
    """Build a segment of batches with bounded memory.

    Args:
        batches: keys with values; see `Batch`.
        path: the file to be; exists only when complete.
        memory_bytes: memory for records.
        progress: called with (slots written, slots to write) while the file is written.

    Raises:
        StorageFailed: disk full or failing; nothing is left under `path`.
    """
    share = memory_bytes // 2
    with contextlib.ExitStack() as stack:
        documents = Spill(path.with_suffix(".spill"), memory_bytes=share)
        stack.callback(documents.close)
        numbers: Spill | None = None
        for batch in batches:
            documents.add(batch.keys, batch.values)
            if batch.number_keys:
                if numbers is None:
                    numbers = Spill(path.with_suffix(".numbers"), width=3, memory_bytes=share)
                    stack.callback(numbers.close)
                numbers.add(batch.number_keys, batch.values, batch.keys)
        return seal(documents, path, numbers=numbers, progress=progress)


def rekey(
    source: Path,
    target: Path,
    advance: Callable[[bytes], bytes],
    *,
    memory_bytes: int = MEMORY_BYTES,
    progress: Progress | None = None,
) -> SegmentInfo:
    """Build a segment of the next key epoch from one of this epoch.

    Args:
        advance: makes new keys of old ones; gets keys of 16 bytes whose last 5 are zero (a slot keeps 11).

    Raises:
        Corrupt: the source is not what was sealed.
        StorageFailed: disk full or failing; nothing is left under `target`.
    """
    old = Segment(source)
    old.check_digest()
    renewed = (Batch(advance(batch.keys), batch.values) for batch in old.batches() if batch.keys)
    return build(renewed, target, memory_bytes=memory_bytes, progress=progress)


def seal(documents: Spill, path: Path, *, numbers: Spill | None = None, progress: Progress | None = None) -> SegmentInfo:
    """Sort what was spilled into a segment file, durable before it gets its name."""
    documents.release()
    if numbers is not None:
        numbers.release()
    expected = documents.count + (numbers.count if numbers is not None else 0)
    with ThreadPoolExecutor(2) as pool:
        buckets = _ahead(pool, lambda b: _sorted_bucket(documents, numbers, b))
        info = _write(buckets, max(1, expected), path, progress)
        if info.count < expected * LOAD_MIN / LOAD:
            info = _write_again(info, progress)
    return info


def _ahead(pool: ThreadPoolExecutor, make: Callable[[int], Words]) -> Iterable[Words]:
    """Make buckets in order, two ahead of their use."""
    waiting = [pool.submit(make, b) for b in range(2)]
    for b in range(BUCKETS):
        done = waiting.pop(0).result()
        if b + 2 < BUCKETS:
            waiting.append(pool.submit(make, b + 2))
        yield done


def _sorted_bucket(documents: Spill, numbers: Spill | None, bucket: int) -> Words:
    """Return the distinct slots of a bucket, sorted."""
    kernels = native.load()
    severity = np.frombuffer(severity_table(), np.uint8)
    slots = _sort(documents.bucket(bucket), 2)
    if numbers is not None:
        records = _sort(numbers.bucket(bucket), 3)
        reduced: Words = np.empty(len(records) // 3 * 2, np.uint64)
        count = kernels.unite_numbers(address_of(records), len(records) // 3, address_of(severity), address_of(reduced))
        slots = _sort(np.concatenate([slots, reduced[: count * 2]]), 2)
    count = kernels.unite(address_of(slots), len(slots) // 2, address_of(severity))
    return slots[: count * 2]


def _sort(records: Words, width: int) -> Words:
    count = len(records) // width
    if count < 2:
        return records
    bits = max(4, min(24, count.bit_length() - 1))
    bins: Words = np.empty((1 << bits) + 1, np.uint64)
    out = np.empty_like(records)
    native.load().sort(address_of(records), count, width, address_of(out), address_of(bins), bits)
    return out


def _write(buckets: Iterable[Words], expected: int, path: Path, progress: Progress | None) -> SegmentInfo:
    """Write sorted buckets as a segment with room for `expected` entries; rename it into place."""
    kernels = native.load()
    homes = -(-int(expected / LOAD) // BLOCK_SLOTS) * BLOCK_SLOTS
    temporary = path.with_suffix(".part")
    digest, sums = hashlib.sha256(), bytearray()
    count = base = following = 0
    carry: Words = np.zeros(0, np.uint64)
    try:
        with temporary.open("w+b", buffering=0) as file, ThreadPoolExecutor(1) as writer:
            file.seek(PAGE)
            waiting: Any = None
            for number, slots in enumerate(buckets):
                n = len(slots) // 2
                count += n
                end = max((number + 1) * homes // BUCKETS, following)
                out: Words = np.zeros((end - base + n + 1) * 2, np.uint64)
                out[: len(carry)] = carry
                following = kernels.place(address_of(slots), n, homes, address_of(out), base, following)
                last = number == BUCKETS - 1
                upto = max(end, following)
                if last:
                    upto = -(-(upto + 1) // BLOCK_SLOTS) * BLOCK_SLOTS
                    out = np.concatenate([out, np.zeros(max(0, (upto - base) * 2 - len(out)), np.uint64)])
                whole = upto // BLOCK_SLOTS * BLOCK_SLOTS - base
                ready, carry = out[: whole * 2], out[whole * 2 : (upto - base) * 2].copy()
                part: Words = np.empty(whole // BLOCK_SLOTS, np.uint64)
                kernels.block_sums(address_of(ready), whole, address_of(part))
                sums += part.tobytes()
                base += whole
                if waiting is not None:
                    waiting.result()
                waiting = writer.submit(_put_out, file, ready, digest, temporary)
                if progress is not None:
                    progress(base, homes)
            if waiting is not None:
                waiting.result()
            write_all(file, memoryview(sums), temporary)
            head = _HEADER.pack(_MAGIC, count, homes, base, digest.digest(), zlib.crc32(sums))
            file.seek(0)
            write_all(file, memoryview((head + _CHECK.pack(zlib.crc32(head))).ljust(PAGE, b"\0")), temporary)
            os.fsync(file.fileno())
        durable.move(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise _storage(path, error) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return SegmentInfo(path, count, digest.hexdigest(), PAGE + base * SLOT_BYTES + len(sums))


def _put_out(file: BinaryIO, slots: npt.NDArray[np.uint64], digest: Any, path: Path) -> None:
    raw = slots.view(np.uint8).data
    digest.update(raw)
    write_all(file, raw, path)


def _write_again(info: SegmentInfo, progress: Progress | None) -> SegmentInfo:
    """Write a segment that came out too empty once more, without its gaps."""
    loose = Segment(info.path)

    def tight() -> Iterable[Words]:
        kernels = native.load()
        step = max(BLOCK_SLOTS, loose.home_count // BUCKETS)
        rest: Words = np.zeros(0, np.uint64)
        at = 0
        for bucket in range(BUCKETS):
            while at < loose.slot_count and (not len(rest) or int(rest[-2]) >> 56 <= bucket):
                n = min(step, loose.slot_count - at)
                out: Words = np.empty(n * 2, np.uint64)
                used = kernels.squeeze(loose.address + at * SLOT_BYTES, n, address_of(out))
                rest = np.concatenate([rest, out[: used * 2]])
                at += n
            here = int(np.searchsorted(rest[0::2] >> np.uint64(56), bucket, side="right"))
            yield rest[: here * 2]
            rest = rest[here * 2 :]

    return _write(tight(), max(1, info.count), info.path, progress)
