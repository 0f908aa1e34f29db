"""Answer what is listed: the table and the active segments of one folder, for readers and for the one writer."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from annul.errors import Conflict, Corrupt, SourceDown, StorageFailed
from annul.listings import native
from annul.listings.control import AS_OF, CLEAN, MANIFEST, PARTIES, POSITION, TABLE, VIEW, Control, boot_identity
from annul.listings.manifest import (
    SEGMENTS_FOLDER,
    ActiveSegment,
    Manifest,
    read_manifest,
    replace_file,
    write_manifest,
)
from annul.listings.segment import Segment, SegmentInfo
from annul.listings.table import GROWTH, LOAD_MAX, SLOTS_MIN, Table, Words, address_of, sync_folder
from annul.listings.values import severity_table
from annul.records.codes import Coverage

POLL_MIN_S = 0.0002
POLL_MAX_S = 0.005
SHORT_KEYS = 128
"""Up to so many keys a look-up uses room that is kept."""
SCRUB_BLOCKS = 64
"""Blocks (4 MiB) read between two looks at the clock."""


def table_path(folder: Path, generation: int) -> Path:
    """Name the table file of a generation."""
    return folder / f"table-{generation}.slots"


class _View:
    """Hold one consistent set of mappings; it lives as long as a look-up uses it."""

    def __init__(self, control: Control, number: int, table: Table, manifest: Manifest, segments: dict[str, Segment]) -> None:
        self.number, self.table, self.manifest, self.segments = number, table, manifest, segments
        self._severity = np.frombuffer(severity_table(), np.uint8)
        words = [control.address + VIEW * 8, number, table.address, table.slot_count, address_of(self._severity), len(segments)]
        for segment in segments.values():
            words += [segment.address, segment.home_count, segment.slot_count]
        self._words: Words = np.array(words, np.uint64)
        self.address = address_of(self._words)


class _Short:
    """Hold room for the values of a short look-up."""

    __slots__ = ("address", "words")

    def __init__(self) -> None:
        self.words: Words = np.empty(SHORT_KEYS, np.uint64)
        self.address = address_of(self.words)


class ScrubSlice(NamedTuple):
    """Say how far the verification is: blocks read and blocks in all; `done` when everything was read once."""

    blocks_done: int
    blocks: int
    done: bool


class Listings:
    """Look documents up; for any number of reading processes.

    A look-up made after `position` was read sees at least every entry up to that position.

    Args:
        folder: where the writer keeps the listings.
        boot: identity of the machine's boot, for tests.

    Raises:
        SourceDown: there are no listings yet.
        Corrupt: they cannot be trusted; `where` names the file.
    """

    def __init__(self, folder: Path, *, boot: bytes | None = None) -> None:
        self._folder = folder
        self._lookup = native.load().taking_bytes("lookup", 1)
        self._short = [_Short()]
        self._control = Control(folder)
        self._control.check_usable(boot or boot_identity())
        self._view = self._map(None)
        self._scrubbing: Iterator[ScrubSlice] | None = None

    def lookup(self, keys: bytes) -> Words:
        """Look up keys over the table and all active segments.

        Args:
            keys: n keys of 16 bytes, one behind the other.

        Returns:
            n values (see values.py), 0 where nothing is listed. Of several values of one key the worst counts; a
            table entry with OVERRIDES_BULK silences the segments.
        """
        n = len(keys) // 16
        view = self._view
        if n > SHORT_KEYS:
            out: Words = np.empty(n, np.uint64)
            address = address_of(out)
            while self._lookup(view.address, keys, n, address):
                view = self.refresh()
            return out
        # To ask an array for its address takes longer than a short look-up: keep some whose address is known.
        short = self._short.pop() if self._short else _Short()
        while self._lookup(view.address, keys, n, short.address):
            view = self.refresh()
        found = short.words[:n].copy()
        self._short.append(short)
        return found

    def refresh(self) -> _View:
        """Take up a new table generation or manifest, if there is one; look-ups do so by themselves."""
        if self._view.number != self._control[VIEW]:
            self._view = self._map(self._view)
        return self._view

    def _map(self, before: _View | None) -> _View:
        for _ in range(1000):
            number = self._control[VIEW]
            generation = self._control[TABLE]
            try:
                if before is not None and before.table.generation == generation:
                    table = before.table
                else:
                    table = Table(table_path(self._folder, generation))
                if before is not None and before.manifest.generation == self._control[MANIFEST]:
                    manifest = before.manifest
                else:
                    manifest = read_manifest(self._folder)
                known = before.segments if before is not None else {}
                segments = {s.id: known.get(s.id) or open_segment(self._folder, s) for s in manifest.segments}
            except (FileNotFoundError, Corrupt):
                if self._control[VIEW] == number and self._control[TABLE] == generation:
                    raise
                continue  # the writer published another generation meanwhile
            if self._control[VIEW] == number:
                return _View(self._control, number, table, manifest, segments)
        raise SourceDown("the listings change faster than they can be mapped", where=str(self._folder))

    @property
    def position(self) -> int:
        """Return the position of the register log up to which everything is applied."""
        return self._control[POSITION]

    @property
    def as_of_us(self) -> int:
        """Return when the writer last knew that it was not behind; read it before `position` and `lookup`."""
        return self._control[AS_OF]

    @property
    def generation(self) -> int:
        """Return a number that changes with every change of table file, segments, coverage or parties."""
        return self._control[VIEW]

    @property
    def parties_generation(self) -> int:
        """Return the generation of the snapshot of the parties."""
        return self._control[PARTIES]

    def parties(self) -> tuple[int, bytes]:
        """Return the snapshot of the parties: its generation and its bytes (b"" before the first).

        Raises:
            Corrupt: the file is not what was published.
        """
        while True:
            manifest = self.refresh().manifest
            if not manifest.parties_generation:
                return 0, b""
            path = self._folder / manifest.parties_file
            try:
                raw = path.read_bytes()
            except FileNotFoundError:
                if self.refresh().manifest is manifest:
                    raise Corrupt("the snapshot of the parties is missing", where=path.name) from None
                continue
            if hashlib.sha256(raw).hexdigest() != manifest.parties_sha256:
                raise Corrupt("the snapshot of the parties is damaged", where=path.name)
            return manifest.parties_generation, raw

    def coverage(self, name: str) -> Coverage:
        """Say what the register knows of a kind of document, such as `icao-9303/UTO/P`."""
        return self.refresh().manifest.coverage.get(name, Coverage.none)

    def segments(self) -> tuple[ActiveSegment, ...]:
        """Return the active segments."""
        return self.refresh().manifest.segments

    def sizes(self) -> dict[str, int]:
        """Count slots in use and bytes, of the table and of all active segments."""
        view = self.refresh()
        return {
            "table_used": view.table.used,
            "table_bytes": view.table.byte_count,
            "segment_entries": sum(s.count for s in view.segments.values()),
            "segment_bytes": sum(s.info.byte_count for s in view.segments.values()),
        }

    async def reached(self, position: int, timeout_s: float) -> bool:
        """Wait until everything up to a position is applied; False when the time is over."""
        deadline, pause = time.monotonic() + timeout_s, POLL_MIN_S
        while self._control[POSITION] < position:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            await asyncio.sleep(min(pause, left))
            pause = min(pause * 1.5, POLL_MAX_S)
        return True

    def scrub(self, budget_s: float = 0.05) -> ScrubSlice:
        """Verify the next slice of everything that look-ups read; start over when everything was read.

        Args:
            budget_s: time for this call; at least 4 MiB are read.

        Raises:
            Corrupt: stored bytes are not what was written; `where` names file and block.
        """
        deadline = time.monotonic() + budget_s
        if self._scrubbing is None:
            self._scrubbing = self._scrub_all()
        try:
            for state in self._scrubbing:
                if state.done:
                    self._scrubbing = None
                    return state
                if time.monotonic() >= deadline:
                    return state
        except Corrupt:
            self._scrubbing = None
            raise
        raise AssertionError("a verification ends with a slice that is done")

    def _scrub_all(self) -> Iterator[ScrubSlice]:
        view = self.refresh()
        read_manifest(self._folder)
        self.parties()
        blocks = view.table.block_count + sum(s.block_count for s in view.segments.values())
        done = 0
        for first in range(0, view.table.block_count, SCRUB_BLOCKS):
            last = min(first + SCRUB_BLOCKS, view.table.block_count)
            view.table.verify(first, last)
            done += last - first
            yield ScrubSlice(done, blocks, False)
        for segment in view.segments.values():
            segment.check_sums()
            for first in range(0, segment.block_count, SCRUB_BLOCKS):
                last = min(first + SCRUB_BLOCKS, segment.block_count)
                segment.verify(first, last)
                done += last - first
                yield ScrubSlice(done, blocks, False)
        yield ScrubSlice(done, blocks, True)


def open_segment(folder: Path, active: ActiveSegment) -> Segment:
    """Map an active segment and compare it with the manifest.

    Raises:
        Corrupt: the file is missing, damaged, or another one.
    """
    segment = Segment(folder / SEGMENTS_FOLDER / active.file)
    if segment.sha256 != active.sha256 or segment.count != active.count:
        raise Corrupt("the segment is not the one of the manifest", where=active.file, mend="Restore the file.")
    return segment


class ListingsWriter:
    """Write the listings: one process at a time.

    Makes an empty folder ready. After `kill -9` it goes on where the last change was finished: apply the entries
    behind `position` again (putting the same value twice changes nothing).

    Args:
        folder: where the listings live; made when missing.
        boot: identity of the machine's boot, for tests.

    Raises:
        Conflict: another process writes.
        Corrupt: the table cannot be trusted (the machine was started again without a clean close, or a checksum
            fails): call `rebuild`.
        StorageFailed: the folder cannot be written or the disk is full.
    """

    def __init__(self, folder: Path, *, boot: bytes | None = None) -> None:
        self._open(folder, boot or boot_identity(), fresh=False)

    @classmethod
    def rebuild(
        cls,
        folder: Path,
        batches: Iterable[tuple[bytes, Words]] = (),
        *,
        position: int = 0,
        as_of_us: int = 0,
        boot: bytes | None = None,
    ) -> Self:
        """Make a new table from the register, in place of one that cannot be trusted; segments stay if sound.

        Args:
            batches: (keys, values) of everything listed; empty when the register log is replayed from the start.
            position: position of the register log that `batches` stand for.
            as_of_us: time that `batches` stand for.
        """
        writer = cls.__new__(cls)
        writer._open(folder, boot or boot_identity(), fresh=True)
        for keys, values in batches:
            writer.put(keys, values)
        writer._control[CLEAN] = 0
        writer._control.boot = writer._boot
        writer.set_applied(position, as_of_us)
        writer._publish()
        return writer

    def _open(self, folder: Path, boot: bytes, *, fresh: bool) -> None:
        self._folder, self._boot = folder, boot
        try:
            (folder / SEGMENTS_FOLDER).mkdir(parents=True, exist_ok=True)
            self._lock = os.open(folder / "writer.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageFailed(
                f"cannot write: {error.strerror}", where=str(folder), mend="Give this user the folder."
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise Conflict(
                "another process writes the listings", where=str(folder), mend="Stop the other follower first."
            ) from error
        try:
            self._take_over(fresh)
        except BaseException:
            os.close(self._lock)
            raise

    def _take_over(self, fresh: bool) -> None:
        folder = self._folder
        try:
            self._control = Control(folder, writable=True)
        except SourceDown:
            fresh = True
            self._control = Control.create(folder)
        except Corrupt:
            if not fresh:
                raise
            self._control = Control.create(folder)
        if fresh:
            self._begin()
            return
        self._control.check_usable(self._boot)
        self._manifest = read_manifest(folder)
        path = table_path(folder, self._control[TABLE])
        if not path.exists():
            raise Corrupt("the table file is missing", where=path.name, mend="The follower rebuilds it from the register.")
        self._table = Table(path, writable=True)
        self._table.redo()
        if self._control.boot != self._boot:
            self._table.verify(0, self._table.block_count)
        self._control[CLEAN] = 0
        self._control.boot = self._boot
        self._publish()

    def _begin(self) -> None:
        """Start with an empty table; of a folder that cannot be trusted keep the manifest if it is sound."""
        try:
            manifest = read_manifest(self._folder)
            for segment in manifest.segments:
                open_segment(self._folder, segment)
        except Corrupt:
            manifest = Manifest()
            write_manifest(self._folder, manifest)
        self._manifest = manifest
        self._control[POSITION] = 0
        self._control[AS_OF] = 0
        self._table = Table.create(self._next_table(), SLOTS_MIN, self._control[TABLE] + 1)
        self._control[CLEAN] = 0
        self._control.boot = self._boot
        self._publish()

    def _next_table(self) -> Path:
        path = table_path(self._folder, self._control[TABLE] + 1)
        path.unlink(missing_ok=True)
        return path

    def _publish(self) -> None:
        """Show readers the present table and manifest, then remove what no reader opens any more."""
        self._control[TABLE] = self._table.generation
        self._control[MANIFEST] = self._manifest.generation
        self._control[PARTIES] = self._manifest.parties_generation
        self._control[VIEW] = self._control[VIEW] + 1
        keep = {self._table.path.name, self._manifest.parties_file}
        for pattern in ("table-*.slots", "parties-*.bin", "*.part"):
            for path in self._folder.glob(pattern):
                if path.name not in keep:
                    path.unlink(missing_ok=True)

    @property
    def position(self) -> int:
        """Return the position up to which everything is applied."""
        return self._control[POSITION]

    @property
    def as_of_us(self) -> int:
        """Return the time the table stands for."""
        return self._control[AS_OF]

    @property
    def used(self) -> int:
        """Count the slots in use in the table."""
        return self._table.used

    def put(self, keys: bytes, values: Words) -> None:
        """Write values of keys, in order; the last of a key counts. 0 takes an entry away.

        Args:
            keys: n keys of 16 bytes; uniformly distributed, as blinded keys are.
            values: n values of 40 bits.

        Raises:
            StorageFailed: the table must grow and the disk is full; what was written so far counts.
        """
        values = np.ascontiguousarray(values, np.uint64)
        if len(keys) != 16 * len(values):
            raise ValueError("each key of 16 bytes needs one value")
        done = 0
        while (done := self._table.put(keys, values, done)) < len(values):
            self.grow()

    def put_one(self, key: bytes, value: int) -> None:
        """Write the value of one key."""
        self.put(key, np.array([value], np.uint64))

    def grow(self, slot_count: int = 0) -> None:
        """Move into a larger table file: copy, publish; only then further changes are taken.

        Args:
            slot_count: slots of the new table; by default a quarter more than now.
        """
        slot_count = max(slot_count, int(self._table.slot_count * GROWTH), int(self._table.used / LOAD_MAX) + 1)
        larger = Table.create(self._next_table(), slot_count, self._table.generation + 1)
        self._table.copy_to(larger)
        self._table = larger
        self._publish()

    def set_applied(self, position: int, as_of_us: int) -> None:
        """Say that everything up to a position of the register log is in the table, as of a time.

        Raises:
            Conflict: the position is behind the one already said.
        """
        if position < self._control[POSITION]:
            raise Conflict("the position of the listings never goes back", where="position")
        self._control[POSITION] = position
        self._control[AS_OF] = as_of_us

    def heartbeat(self, as_of_us: int) -> None:
        """Say that at this time nothing was waiting to be applied."""
        self._control[AS_OF] = as_of_us

    def activate_segment(self, segment_id: str, file: Path) -> SegmentInfo:
        """Put a sealed segment in force; again with the same id and file changes nothing.

        Args:
            segment_id: id of the bulk event (letters, digits, dashes).
            file: sealed segment; a file outside the segments folder is moved into it.

        Raises:
            Corrupt: the file is missing or not a sound segment.
            Conflict: another segment has this id.
        """
        home = self._folder / SEGMENTS_FOLDER / f"{segment_id}.seg"
        if not home.exists() and file != home:
            Segment(file)
            try:
                file.rename(home)
            except OSError as error:
                raise StorageFailed(
                    f"cannot move the segment: {error.strerror}", where=str(file), mend="Build it on the same file system."
                ) from error
            sync_folder(home.parent)
        info = Segment(home).info
        active = ActiveSegment(segment_id, home.name, info.count, info.sha256)
        for known in self._manifest.segments:
            if known.id == segment_id:
                if known != active:
                    raise Conflict("another segment has this id", where=segment_id)
                return info
        self._change(segments=(*self._manifest.segments, active))
        return info

    def drop_segment(self, segment_id: str, *, remove: bool = False) -> None:
        """Take a segment out of force (one that is not in force changes nothing); the file stays unless `remove`."""
        left = tuple(s for s in self._manifest.segments if s.id != segment_id)
        if len(left) != len(self._manifest.segments):
            self._change(segments=left)
        if remove:
            (self._folder / SEGMENTS_FOLDER / f"{segment_id}.seg").unlink(missing_ok=True)

    @property
    def segments(self) -> tuple[ActiveSegment, ...]:
        """Return the active segments."""
        return self._manifest.segments

    @property
    def coverage(self) -> dict[str, Coverage]:
        """Return what the register declares to cover."""
        return dict(self._manifest.coverage)

    def set_coverage(self, coverage: Mapping[str, Coverage]) -> None:
        """Declare what the register knows of each kind of document; replaces the whole declaration."""
        if dict(coverage) != self._manifest.coverage:
            self._change(coverage=dict(coverage))

    def set_parties(self, snapshot: bytes, generation: int) -> None:
        """Publish a snapshot of the parties; the same generation and bytes again change nothing.

        Raises:
            Conflict: the generation is not greater than the one in force.
        """
        digest = hashlib.sha256(snapshot).hexdigest()
        if generation == self._manifest.parties_generation and digest == self._manifest.parties_sha256:
            return
        if generation <= self._manifest.parties_generation:
            raise Conflict("the generation of the parties' snapshot must grow", where="generation")
        replace_file(self._folder / f"parties-{generation}.bin", snapshot)
        self._change(parties_generation=generation, parties_sha256=digest)

    def _change(self, **members: object) -> None:
        held = {name: getattr(self._manifest, name) for name in self._manifest.__struct_fields__}
        changed = Manifest(**{**held, **members, "generation": self._manifest.generation + 1})
        write_manifest(self._folder, changed)
        self._manifest = changed
        self._publish()

    def close(self) -> None:
        """Write everything to the disk and say so: the table survives a restart of the machine."""
        self._table.sync()
        self._control.sync()
        self._control[CLEAN] = 1
        self._control.sync()
        sync_folder(self._folder)
        os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
