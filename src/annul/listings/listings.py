"""Answer what is listed: look keys up over the table and the active segments of one folder."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from annul.errors import Corrupt, SourceDown
from annul.listings import native
from annul.listings.control import AS_OF, CONTROL_FILE, MANIFEST, PARTIES, POSITION, TABLE, VIEW, Control, boot_identity
from annul.listings.manifest import SEGMENTS_FOLDER, ActiveSegment, Manifest, read_manifest
from annul.listings.segment import Segment
from annul.listings.table import Table, Words, address_of
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

    def lookup_into(self, keys: bytes, address: int) -> None:
        """Look up as `lookup` does, into room of the caller.

        Args:
            keys: n keys of 16 bytes, one behind the other.
            address: where n words of 8 bytes are written.
        """
        view = self._view
        while self._lookup(view.address, keys, len(keys) // 16, address):
            view = self.refresh()

    def refresh(self) -> _View:
        """Take up a new table generation or manifest, if there is one; look-ups do so by themselves."""
        if self._view.number != self._control[VIEW]:
            self._view = self._map(self._view)
        return self._view

    def _map(self, before: _View | None) -> _View:
        for _ in range(1000):
            number = self._control[VIEW]
            generation = self._control[TABLE]
            if not generation:
                raise SourceDown("The first listings are being built.", where=CONTROL_FILE, mend="Ask again in a moment.")
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
            except Corrupt:
                if self._control[VIEW] == number and self._control[TABLE] == generation:
                    raise
                continue  # the writer published another generation meanwhile
            if self._control[VIEW] == number:
                return _View(self._control, number, table, manifest, segments)
        raise SourceDown("The listings change faster than they can be mapped.", where=str(self._folder))

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
                    raise Corrupt("The snapshot of the parties is missing.", where=path.name) from None
                continue
            if hashlib.sha256(raw).hexdigest() != manifest.parties_sha256:
                raise Corrupt("The snapshot of the parties is damaged.", where=path.name)
            return manifest.parties_generation, raw

    @property
    def key_epoch(self) -> int:
        """Return the epoch of the document keys that everything here is of; 0 when it was not noted."""
        return self.refresh().manifest.key_epoch

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
        raise Corrupt("The segment is not the one of the manifest.", where=active.file, mend="Restore the file.")
    return segment
