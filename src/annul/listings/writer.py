"""Write the listings: the one process that follows the register puts entries, segments, coverage and parties here."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import msgspec
import numpy as np

from annul import durable
from annul.errors import Conflict, Corrupt, StorageFailed
from annul.listings.control import AS_OF, CLEAN, CONTROL_FILE, MANIFEST, PARTIES, POSITION, TABLE, VIEW, Control, boot_identity
from annul.listings.listings import open_segment, table_path
from annul.listings.manifest import SEGMENTS_FOLDER, ActiveSegment, Manifest, read_manifest, write_manifest
from annul.listings.segment import Segment, SegmentInfo
from annul.listings.table import GROWTH, LOAD_MAX, SLOTS_MIN, Table, Words
from annul.records.codes import Coverage


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
        segments: Mapping[str, Path] | None = None,
        coverage: Mapping[str, Coverage] | None = None,
        key_epoch: int = 0,
        boot: bytes | None = None,
    ) -> Self:
        """Make a new table from the register, in place of one that cannot be trusted.

        Readers see the old listings (or are refused, if these cannot be trusted) until everything new is in place.

        Args:
            batches: (keys, values) of everything listed.
            position: position of the register log that `batches` stand for.
            as_of_us: time that `batches` stand for.
            segments: bulk events in force, id -> file; None keeps those of the manifest.
            coverage: what the register knows of each kind of document; None keeps that of the manifest.
            key_epoch: epoch of the document keys that `batches` and `segments` are of.

        Raises:
            Corrupt: a segment in force is missing or damaged: it is named, and nothing is changed.
        """
        writer = cls.__new__(cls)
        writer._open(folder, boot or boot_identity(), fresh=True)
        try:
            for keys, values in batches:
                writer.put(keys, values)
            if segments is not None:
                writer._manifest = msgspec.structs.replace(writer._manifest, segments=())
                for segment_id, file in segments.items():
                    writer.activate_segment(segment_id, file)
            for active in writer._manifest.segments:
                open_segment(folder, active)
            if coverage is not None:
                writer.set_coverage(coverage)
            writer.set_key_epoch(key_epoch)
            writer._show(position, as_of_us)
        except BaseException:
            writer._table.path.unlink(missing_ok=True)
            os.close(writer._lock)
            raise
        return writer

    def _open(self, folder: Path, boot: bytes, *, fresh: bool) -> None:
        self._folder, self._boot = folder, boot
        try:
            durable.folder(folder / SEGMENTS_FOLDER)
            self._lock = os.open(folder / "writer.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageFailed(
                f"Cannot write: {error.strerror}.", where=str(folder), mend="Give this user the folder."
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise Conflict(
                "Another process writes the listings.", where=str(folder), mend="Stop the other follower first."
            ) from error
        try:
            self._take_over(fresh)
        except BaseException:
            os.close(self._lock)
            raise

    def _take_over(self, fresh: bool) -> None:
        folder = self._folder
        empty = not (folder / CONTROL_FILE).exists()
        try:
            self._control = Control.create(folder, self._boot) if empty else Control(folder, writable=True)
        except Corrupt:
            if not fresh:
                raise
            self._control = Control.create(folder, self._boot)
        self._hidden = fresh or not self._control[TABLE]
        if self._hidden:
            self._begin()
            if not fresh:  # an empty folder, or one whose first writer died before it had shown anything
                self._show(0, 0)
            return
        self._control.check_usable(self._boot)
        self._manifest = read_manifest(folder)
        self._table = Table(table_path(folder, self._control[TABLE]), writable=True)
        self._table.redo()
        if self._control.boot != self._boot:
            self._table.verify(0, self._table.block_count)
        self._control[CLEAN] = 0
        self._control.boot = self._boot
        self._publish()

    def _begin(self) -> None:
        """Start a table that nobody sees yet, with the manifest that is there if it is sound."""
        try:
            self._manifest = read_manifest(self._folder)
        except Corrupt:
            self._manifest = Manifest()
        self._table = self._new_table(SLOTS_MIN, self._control[TABLE] + 1)

    def _show(self, position: int, as_of_us: int) -> None:
        """Let readers see what was built unseen; what they read as position and time is never ahead of it."""
        self._hidden = False
        self._manifest = msgspec.structs.replace(self._manifest, generation=self._manifest.generation + 1)
        write_manifest(self._folder, self._manifest)
        self._control[AS_OF] = min(as_of_us, self._control[AS_OF])
        self._control[POSITION] = min(position, self._control[POSITION])
        self._control[CLEAN] = 0
        self._control.boot = self._boot
        self._publish()
        self.set_applied(position, as_of_us)

    def _new_table(self, slot_count: int, generation: int) -> Table:
        path = table_path(self._folder, generation)
        path.unlink(missing_ok=True)  # left by a writer that was killed before it published it
        return Table.create(path, slot_count, generation)

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
    def key_epoch(self) -> int:
        """Return the epoch of the document keys that the table is of; 0 when it was not noted."""
        return self._manifest.key_epoch

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

    def grow(self, slot_count: int = 0) -> None:
        """Move into a larger table file: copy, publish; only then further changes are taken.

        Args:
            slot_count: slots of the new table; by default a quarter more than now.
        """
        slot_count = max(slot_count, int(self._table.slot_count * GROWTH), int(self._table.used / LOAD_MAX) + 1)
        smaller, larger = self._table, self._new_table(slot_count, self._table.generation + 1)
        smaller.copy_to(larger)
        self._table = larger
        if self._hidden:
            smaller.path.unlink()
        else:
            self._publish()

    def set_applied(self, position: int, as_of_us: int) -> None:
        """Say that everything up to a position of the register log is in the table, as of a time.

        Raises:
            Conflict: the position is behind the one already said.
        """
        if position < self._control[POSITION]:
            raise Conflict("The position of the listings never goes back.", where="position")
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
            durable.move(file, home)
        info = Segment(home).info
        active = ActiveSegment(segment_id, home.name, info.count, info.sha256)
        for known in self._manifest.segments:
            if known.id == segment_id:
                if known != active:
                    raise Conflict("Another segment has this id.", where=segment_id)
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

    def set_key_epoch(self, epoch: int) -> None:
        """Note of which epoch of the document keys everything here is."""
        if epoch != self._manifest.key_epoch:
            self._change(key_epoch=epoch)

    def set_parties(self, snapshot: bytes, generation: int) -> None:
        """Publish a snapshot of the parties; the same generation and bytes again change nothing.

        Raises:
            Conflict: the generation is not greater than the one in force.
        """
        digest = hashlib.sha256(snapshot).hexdigest()
        if generation == self._manifest.parties_generation and digest == self._manifest.parties_sha256:
            return
        if generation <= self._manifest.parties_generation:
            raise Conflict("The generation of the parties' snapshot must grow.", where="generation")
        durable.replace(self._folder / f"parties-{generation}.bin", snapshot)
        self._change(parties_generation=generation, parties_sha256=digest)

    def _change(self, **members: Any) -> None:
        changed = msgspec.structs.replace(self._manifest, generation=self._manifest.generation + 1, **members)
        if not self._hidden:
            write_manifest(self._folder, changed)
        self._manifest = changed
        if not self._hidden:
            self._publish()

    def close(self) -> None:
        """Write everything to the disk and say so: the table survives a restart of the machine."""
        self._table.sync()
        self._control.sync()
        self._control[CLEAN] = 1
        self._control.sync()
        durable.sync_folder(self._folder)
        os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
