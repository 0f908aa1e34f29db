"""Import lists of any length: chunks of blocks in, one sealed segment out; bad lines counted, interruptions survived.

The readers (`russian_list.py`, `interchange.py`) turn a file into chunks. Here blocks are blinded at once and spilled;
after each full memory the place in the file is noted, so that an import that was stopped or killed goes on from there.
Memory stays within a bound, whatever the length of the list.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from annul import durable
from annul.errors import Corrupt, UnknownVersion
from annul.listings.segment import MEMORY_BYTES, Extent, SegmentInfo, Spill, seal
from annul.listings.table import Words

BAD_LINES_NAMED = 5
"""Line numbers kept of each cause of bad lines."""
CAUSES_NAMED = 50
"""Causes that a report tells apart; a foreign list can have as many as lines."""
OTHER_CAUSES = "other causes"
CHECKPOINT_VERSION = 1

Blind = Callable[[bytes], bytes]
Progress = Callable[[int, int, int], None]
"""Called with (bytes of the file read, bytes of the file, lines read)."""


class Part(NamedTuple):
    """Hold documents of a chunk: blocks (16 bytes each), values, and for discriminated schemes number blocks."""

    blocks: bytes
    values: Words | int
    number_blocks: bytes = b""


class Chunk(NamedTuple):
    """Hold what a reader made of the next piece of a file.

    Attributes:
        parts: the documents listed.
        place: where the next chunk begins, in the reader's own measure; a reader can begin there again.
        lines: lines read (data lines for Parquet: rows) since the start of the file.
        bytes_done: bytes of the file read, for progress.
        bad: (cause, line number) of the malformed lines of this chunk, in order.
        passed_over: lines that are well formed and list nothing.
    """

    parts: tuple[Part, ...]
    place: int
    lines: int
    bytes_done: int
    bad: tuple[tuple[str, int], ...] = ()
    passed_over: int = 0


Reader = Callable[[int, int], Iterator[Chunk]]
"""Read a file from a place on; the second argument is the number of lines before that place."""


class Cause(msgspec.Struct):
    """Count the malformed lines of one cause, and name the first few.

    Args:
        count: how many.
        first_lines: numbers of the first lines refused for this cause.
    """

    count: int = 0
    first_lines: list[int] = []


class ReadReport(msgspec.Struct):
    """Say what was found while a list was read, of documents or of persons.

    Attributes:
        lines: lines read.
        good: lines that can be entered.
        bad: refused lines by cause, with the numbers (not the contents) of the first few.
    """

    lines: int = 0
    good: int = 0
    bad: dict[str, Cause] = {}

    @property
    def bad_count(self) -> int:
        """Count all refused lines."""
        return sum(cause.count for cause in self.bad.values())


class ImportReport(ReadReport):
    """Say what an import of documents found; see ReadReport.

    Attributes:
        passed_over: well-formed lines that list nothing (state `current`).
        listed: distinct keys in the segment (0 in a dry run).
        sha256: digest of the segment ("" in a dry run).
        byte_count: size of the segment.
    """

    passed_over: int = 0
    listed: int = 0
    sha256: str = ""
    byte_count: int = 0


class _Checkpoint(msgspec.Struct):
    version: int
    source: str
    place: int
    documents: list[tuple[int, list[int]]]
    numbers: list[tuple[int, list[int]]]
    report: ImportReport


def fingerprint(source: Path, *about: object) -> str:
    """Tell one file from another: size, time of change and first bytes, and what else decides the result."""
    status = source.stat()
    with source.open("rb") as file:
        head = file.read(1 << 16)
    digest = hashlib.sha256(head)
    digest.update(repr((status.st_size, status.st_mtime_ns, about)).encode())
    return digest.hexdigest()


def try_list(reader: Reader, *, total_bytes: int, progress: Progress | None = None) -> ImportReport:
    """Read a whole list without importing it (dry run): what is good, what is bad and why."""
    report = ImportReport()
    for chunk in reader(0, 0):
        _count(report, chunk)
        if progress is not None:
            progress(chunk.bytes_done, total_bytes, chunk.lines)
    return report


def import_list(
    reader: Reader,
    target: Path,
    *,
    blind: Blind,
    source: str,
    total_bytes: int,
    memory_bytes: int = MEMORY_BYTES,
    progress: Progress | None = None,
    sealing: Callable[[int, int], None] | None = None,
) -> ImportReport:
    """Import a list into a sealed segment; go on where an interrupted import of the same file stopped.

    Beside `target` lie, until the segment is complete, its spill files and a checkpoint.

    Args:
        reader: reads the file from a place on.
        target: segment file to be.
        blind: makes document keys of blocks (`DocumentKeys.blind`).
        source: what tells this file (and way of importing) from another; see `fingerprint`.
        total_bytes: size of the file, for progress.
        memory_bytes: memory for records.
        progress: called for every chunk read; before the first one, with 0 bytes, when an interrupted import goes on.
        sealing: called with (slots written, slots) while the segment is written.

    Raises:
        StorageFailed: disk full or failing; after mending, the same call goes on.
    """
    work = _Work(target, source, memory_bytes)
    if work.place and progress is not None:
        progress(0, total_bytes, work.report.lines)
    try:
        for chunk in reader(work.place, work.report.lines):
            work.take(chunk, blind)
            if progress is not None:
                progress(chunk.bytes_done, total_bytes, chunk.lines)
        info = work.finish(sealing)
    except BaseException:
        work.leave()
        raise
    report = work.report
    report.listed, report.sha256, report.byte_count = info.count, info.sha256, info.byte_count
    return report


def _count(report: ImportReport, chunk: Chunk) -> None:
    report.good += sum(len(part.blocks) // 16 for part in chunk.parts)
    report.lines = chunk.lines
    report.passed_over += chunk.passed_over
    for cause, line in chunk.bad:
        if cause not in report.bad and len(report.bad) >= CAUSES_NAMED:
            cause = OTHER_CAUSES
        found = report.bad.setdefault(cause, Cause())
        found.count += 1
        if len(found.first_lines) < BAD_LINES_NAMED:
            found.first_lines.append(line)


class _Work:
    """Hold an import under way: spill files, checkpoint, counts."""

    def __init__(self, target: Path, source: str, memory_bytes: int) -> None:
        self._target, self._source, self._memory_bytes = target, source, memory_bytes
        self._note = target.with_suffix(".import.json")
        held = self._read_note()
        self.place = held.place if held else 0
        self.report = held.report if held else ImportReport()
        documents = [Extent(*e) for e in held.documents] if held else []
        numbers = [Extent(*e) for e in held.numbers] if held else []
        self._documents = Spill(self._spill(".spill"), memory_bytes=memory_bytes * 2 // 3, extents=documents)
        self._numbers = self._number_spill(numbers) if numbers else None

    def _spill(self, suffix: str) -> Path:
        return self._target.with_suffix(suffix)

    def _number_spill(self, extents: Iterable[Extent] = ()) -> Spill:
        return Spill(self._spill(".numbers"), width=3, memory_bytes=self._memory_bytes // 3, extents=extents)

    def _read_note(self) -> _Checkpoint | None:
        """Read the checkpoint of an interrupted import of the same file; None to start over."""
        try:
            raw = self._note.read_bytes()
        except FileNotFoundError:
            return None
        try:
            if msgspec.json.decode(raw)["version"] != CHECKPOINT_VERSION:
                raise UnknownVersion("The checkpoint is of an unknown version.", where=self._note.name)
            note = msgspec.json.decode(raw, type=_Checkpoint)
        except (msgspec.DecodeError, KeyError, TypeError) as error:
            raise Corrupt(
                "The import's checkpoint is damaged.", where=self._note.name, mend="Remove it to start the import over."
            ) from error
        if note.source != self._source:
            return None
        for extents, suffix, width in ((note.documents, ".spill", 16), (note.numbers, ".numbers", 24)):
            path = self._spill(suffix)
            if extents and (not path.exists() or path.stat().st_size < sum(sum(e[1]) for e in extents) * width):
                return None
        return note

    def take(self, chunk: Chunk, blind: Blind) -> None:
        """Blind and keep the documents of a chunk; note the place when the memory is nearly full."""
        for part in chunk.parts:
            keys = blind(part.blocks)
            room = self._documents.room
            if part.number_blocks:
                if self._numbers is None:
                    self._numbers = self._number_spill()
                room = min(room, self._numbers.room)
            if room < len(keys) // 16:
                # Records of this chunk that are spilled twice after an interruption are dropped as duplicates.
                self._save()
            self._documents.add(keys, part.values)
            if part.number_blocks and self._numbers is not None:
                self._numbers.add(blind(part.number_blocks), part.values, keys)
        _count(self.report, chunk)
        self.place = chunk.place

    def _save(self) -> None:
        """Make everything up to `place` durable, then note it. A crash in between repeats a little, loses nothing."""
        self._documents.flush(durable=True)
        if self._numbers is not None:
            self._numbers.flush(durable=True)
        note = _Checkpoint(
            CHECKPOINT_VERSION,
            self._source,
            self.place,
            [(e.offset, e.counts) for e in self._documents.extents],
            [(e.offset, e.counts) for e in self._numbers.extents] if self._numbers is not None else [],
            self.report,
        )
        durable.replace(self._note, msgspec.json.encode(note))

    def finish(self, sealing: Callable[[int, int], None] | None) -> SegmentInfo:
        """Seal the segment and remove what the import needed."""
        info = seal(self._documents, self._target, numbers=self._numbers, progress=sealing)
        self._documents.close()
        if self._numbers is not None:
            self._numbers.close()
        self._note.unlink(missing_ok=True)
        return info

    def leave(self) -> None:
        """Close the files of an import that is interrupted, keeping them."""
        self._documents.close(remove=False)
        if self._numbers is not None:
            self._numbers.close(remove=False)
