"""Read an edition: one mapped file that says of every document issued until a day whether it is listed.

    edition = Edition.open(path, digests)
    edition.look(point, cohort, day)          # Finding(Verdict.LISTED, "reported")

Two stages answer. A filter lets every listed point through and about as many others; a second ribbon of one bit tells those
apart. Both are exact for the documents that the edition covers, the *universe*, and mean nothing for others: that is why a
document issued after the last day, or of a cohort that is not in the file, is NOT_COVERED before any stage is asked.

Nothing is parsed: the header and a cohort's word are read where they lie. Each chunk of 64 KiB is held against its digest the
first time it is touched, so that opening costs nothing and a bit that flips on a disk is an error, never an answer. Layout:
docs/formats/edition.md.
"""

from __future__ import annotations

import hashlib
import mmap
import struct
import sys
from bisect import bisect_left
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from annul.edge.ribbon import CHUNK_SHIFT, RANK_MAX, SHIFTS, Chain, Layer
from annul.errors import Corrupt, UnknownVersion

if TYPE_CHECKING:
    from annul.records.document import Document

VERSION: Final = 1
EXACT, FINGERPRINT, CHANGES = 1, 2, 3
"""Forms: `EXACT` over a known universe; `FINGERPRINT` without one, whose hit means "ask online"; `CHANGES`, a supplement: which
documents of an edition's universe changed since, and into what, exactly as well."""
CLASSES: Final = 1
"""Flag: a chain tells the two classes of listings apart."""
HEADER: Final = struct.Struct("<BBBBIIIQIIQ16sQ")
HEADER_BYTES: Final = 64
LAYER: Final = struct.Struct("<BBBBIQQQQ")
LAYER_WORDS: Final = 5
FILTER, DECIDER, CLASSIFIER, SECOND_CLASSIFIER = 1, 2, 3, 4
"""Stages of chains. In a supplement the two classifiers are the two bits of the new code."""
NONE_LISTED, ALL_LISTED = 254, 255
"""Codes of cohorts that need no stage; other codes are the rank of the cohort's filter, 0 for none."""
CHUNK_WORDS: Final = 1 << CHUNK_SHIFT
CHUNK_BYTES: Final = 8 * CHUNK_WORDS
FILE_BYTES_MAX: Final = 1 << 34
"""Largest file: 1.4 billion documents with 100 million listed take 70 MB; a phone has this much in all."""
LAYERS_MAX: Final = 1024
NO_QUARTER: Final = 0
REPORTED, NOT_IN_FORCE, ASK = 1, 2, 3
"""What an edition says of a document besides 0, not listed: reported by its holder, no longer in force, or to be asked online
(disputed; data exposed: the answer then depends on more than the document)."""


class Verdict(StrEnum):
    """What an edge answers. NOT_LISTED never means valid: no listing as of a position."""

    LISTED = "LISTED"
    NOT_LISTED = "NOT_LISTED"
    NOT_COVERED = "NOT_COVERED"
    STALE = "STALE"
    ASK_ONLINE = "ASK_ONLINE"


class Finding(NamedTuple):
    """One answer: verdict, class of the listing (`reported`, `not_in_force`, else empty), and why in one word."""

    verdict: Verdict
    class_: str = ""
    why: str = ""


SAID: Final = {
    0: Finding(Verdict.NOT_LISTED),
    REPORTED: Finding(Verdict.LISTED, "reported"),
    NOT_IN_FORCE: Finding(Verdict.LISTED, "not_in_force"),
    ASK: Finding(Verdict.ASK_ONLINE, why="ask-online"),
}
"""Code -> what an edge says."""


def quarter_of(day: int) -> int:
    """Return the quarter a day (days since 1970-01-01) falls in: 1 for the first of 1970, at least 1."""
    import datetime

    date = datetime.date(1970, 1, 1) + datetime.timedelta(days=max(day, 0))
    return (date.year - 1970) * 4 + (date.month - 1) // 3 + 1


def cohort_name(coverage: str, kind: str) -> int:
    """Return the 40 bits that stand for a kind of document: SHA-256("annul cohort v1" | 0 | coverage | 0 | kind)[:5]."""
    told = hashlib.sha256(b"annul cohort v1\0" + coverage.encode() + b"\0" + kind.encode())
    return int.from_bytes(told.digest()[:5], "big")


def cohort_of(document: Document) -> int:
    """Return the cohort of a document, 56 bits: its kind and, where the date is part of its identity, the quarter of issue.

    The date of other documents is not in their key, so a misread one must not lead to another cohort.
    """
    name = cohort_name(document.coverage_name, document.kind)
    day = document.valid_from_day if document.discriminated else None
    return name << 16 | (NO_QUARTER if day is None else quarter_of(day))


class Edition:
    """Answer from one mapped file.

    Args:
        raw: the file's bytes; a map or bytes, a multiple of 8 long.
        digests: SHA-256 of each chunk of 64 KiB, one after another; empty when somebody else vouches for the bytes.

    Raises:
        UnknownVersion: another version or form.
        Corrupt: not the bytes that were signed, or no edition.
    """

    def __init__(self, raw: mmap.mmap | bytes, digests: bytes = b"") -> None:
        if sys.byteorder != "little":
            raise Corrupt("Editions are read on little-endian machines only.", where="machine")
        size = len(raw)
        if size < HEADER_BYTES or size % 8 or size > FILE_BYTES_MAX:
            raise Corrupt("The file is too short, too long or cut off: it is no edition.", where="size")
        chunks = -(-size // CHUNK_BYTES)
        if digests and len(digests) != 32 * chunks:
            raise Corrupt("The file has another size than its digests.", where="size")
        self._raw = raw
        self._view = memoryview(raw)
        self._words = self._view.cast("Q")
        self._digests = digests
        self._sure = bytearray(chunks) if digests else bytearray(b"\1" * chunks)
        self._touch(0, HEADER_BYTES // 8)
        if raw[0] != VERSION:
            raise UnknownVersion(f"The edition has version {raw[0]}; this program reads version {VERSION}.", where="version")
        self._read_header()
        self._read_layers()

    @classmethod
    def open(cls, path: Path, digests: bytes = b"") -> Self:
        """Map a file. Corrupt when it is missing or no edition."""
        try:
            with path.open("rb") as file:
                return cls(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), digests)
        except (OSError, ValueError) as error:
            raise Corrupt("The edition's file cannot be read.", where=path.name, mend="Run: annul edge sync") from error

    def _read_header(self) -> None:
        head = HEADER.unpack_from(self._raw)
        (
            _,
            self.form,
            self.flags,
            zero,
            self._cohort_count,
            layers,
            exceptions,
            self.position,
            self.last_day,
            zero_2,
            size,
            self.id,
            zero_3,
        ) = head
        if self.form not in (EXACT, FINGERPRINT, CHANGES) or self.flags & ~CLASSES:
            raise UnknownVersion("The edition has a form this program does not know.", where="form", mend="Use a newer annul.")
        self._cohorts = HEADER_BYTES // 8
        self._layers = self._cohorts + self._cohort_count
        self._exceptions = self._layers + layers * LAYER_WORDS
        self._exception_count, self._layer_count = exceptions, layers
        end = self._exceptions + 2 * exceptions
        if zero or zero_2 or zero_3 or size != len(self._raw) or layers > LAYERS_MAX or end > len(self._words):
            raise Corrupt("The header of the edition does not fit its file.", where="header")

    def _read_layers(self) -> None:
        """Make the chains; every place a look-up may read lies inside the file."""
        self._touch(self._layers, self._exceptions)
        chains: dict[tuple[int, int], list[Layer]] = {}
        for number in range(self._layer_count):
            stage, rank, shift, _, _, seed, slots, rows, cuts = LAYER.unpack_from(
                self._raw, 8 * (self._layers + number * LAYER_WORDS)
            )
            last_row = rows + (slots // 64 + 1) * rank - 1
            last_cut = (cuts + (slots - 1 >> shift + 2)) // 8
            fits = (
                shift in SHIFTS
                and 0 < slots < 1 << 32
                and not slots % (1 << shift)
                and max(last_row, last_cut) < len(self._words)
            )
            if stage not in (FILTER, DECIDER, CLASSIFIER, SECOND_CLASSIFIER) or not 1 <= rank <= RANK_MAX or not fits:
                raise Corrupt("A layer of the edition lies outside its file.", where="layers")
            chains.setdefault((stage, rank), []).append(Layer(shift, seed, slots, rows, cuts))
        made = {key: Chain(layers, key[1], self._words, self._sure, self._touch) for key, layers in chains.items()}
        self._filters = {rank: chain for (stage, rank), chain in made.items() if stage == FILTER}
        self._decider = made.get((DECIDER, 1))
        self._classifier = made.get((CLASSIFIER, 1))
        self._second = made.get((SECOND_CLASSIFIER, 1))

    def _touch(self, first: int, end: int) -> None:
        """Hold the chunks of these words against their digests, once."""
        sure = self._sure
        for chunk in range(first // CHUNK_WORDS, (end - 1) // CHUNK_WORDS + 1):
            if not sure[chunk]:
                part = self._view[chunk * CHUNK_BYTES : (chunk + 1) * CHUNK_BYTES]
                if hashlib.sha256(part).digest() != self._digests[32 * chunk : 32 * chunk + 32]:
                    raise Corrupt(
                        "The edition's file is not what was signed.", where=f"chunk {chunk}", mend="Run: annul edge sync"
                    )
                sure[chunk] = 1

    def verify(self) -> None:
        """Hold the whole file against its digests. Corrupt names the first chunk that differs."""
        self._touch(0, len(self._words))

    def covers(self, cohort: int, day: int | None) -> bool:
        """Tell whether a document of this cohort, issued on this day, lies in the universe."""
        return self._code(cohort) is not None and (self.form == FINGERPRINT or (day is not None and day <= self.last_day))

    def look(self, point: int, cohort: int, day: int | None) -> Finding:
        """Say what the edition says of a document.

        Args:
            point: of the document under the edition's key.
            cohort: `cohort_of` the document.
            day: issued on this day (days since 1970-01-01); None when nobody knows.

        Raises:
            Corrupt: the file is not what was signed.
        """
        code = self._code(cohort)
        if self.form == FINGERPRINT and code is not None:
            return SAID[ASK] if self._passes(point, code) else SAID[0]
        if day is not None and day > self.last_day:
            return Finding(Verdict.NOT_COVERED, why="issued-later")
        if code is None:
            return Finding(Verdict.NOT_COVERED, why="unknown-cohort")
        if day is None:
            return Finding(Verdict.NOT_COVERED, why="no-issue-date")
        told = self.code(point, code)
        return SAID[told] if self.flags & CLASSES or told not in (REPORTED, NOT_IN_FORCE) else Finding(Verdict.LISTED)

    def code(self, point: int, cohort_code: int) -> int:
        """Return 0, REPORTED, NOT_IN_FORCE or ASK for a point of the universe whose cohort has this code.

        Without the flag CLASSES every listing is REPORTED here.
        """
        told = self._exception(point) if self._exception_count else 0
        if told:
            return told
        if not self._chosen(point, cohort_code):
            return 0
        return NOT_IN_FORCE if self._classifier is not None and self._classifier.value(point) else REPORTED

    def apart(self, point: int) -> int | None:
        """Return what a document became that stands apart in this supplement; None when it does not."""
        told = self._exception(point) if self._exception_count else 0
        return told - 1 if told else None

    def changed(self, point: int, cohort: int) -> int | None:
        """Return what a document of the edition's universe became by this supplement; None when it did not change.

        Args:
            point, cohort: as of `look`.

        Returns:
            0, REPORTED, NOT_IN_FORCE or ASK.
        """
        code = self._code(cohort)
        if code is None or not self._chosen(point, code):
            return None
        low = self._classifier.value(point) if self._classifier else 0
        return low | (self._second.value(point) << 1 if self._second else 0)

    def _chosen(self, point: int, cohort_code: int) -> bool:
        """Tell whether the two stages say yes to a point of the universe."""
        if cohort_code in (NONE_LISTED, ALL_LISTED):
            return cohort_code == ALL_LISTED
        if cohort_code and not self._passes(point, cohort_code):
            return False
        return self._decider is not None and bool(self._decider.value(point))

    def _passes(self, point: int, rank: int) -> bool:
        chain = self._filters.get(rank)
        if chain is None:
            raise Corrupt("A cohort of the edition names a filter that is not there.", where="cohorts")
        return chain.passes(point)

    def _code(self, cohort: int) -> int | None:
        """Return the code of a cohort by bisection; None when the edition does not have it."""
        words, low, high = self._words, self._cohorts, self._cohorts + self._cohort_count
        self._touch(low, high) if high > low else None
        place = bisect_left(words, cohort << 8, low, high)
        return words[place] & 0xFF if place < high and words[place] >> 8 == cohort else None

    def _exception(self, point: int) -> int:
        """Return the code of a document that stands apart, or 0."""
        words, low, high = self._words, 0, self._exception_count
        while low < high:
            middle = (low + high) // 2
            at = self._exceptions + 2 * middle
            self._touch(at, at + 2)
            if words[at] < point:
                low = middle + 1
            else:
                high = middle
        at = self._exceptions + 2 * low
        return words[at + 1] & 0xFF if low < self._exception_count and words[at] == point else 0
