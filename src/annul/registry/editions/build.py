"""Build an edition from a universe, and ask it again about every document before anybody may sign it.

    made = build(cohorts, About(...), path)
    made.wrong            # 0, or `build` raised

The filter of a cohort has the rank that costs least: each bit more halves the documents that pass by chance, which the
decider must tell apart. Cohorts of one rank share a filter, all cohorts share the decider.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from annul import durable
from annul.edge.edition import (
    ALL_LISTED,
    ASK,
    CHANGES,
    CHUNK_BYTES,
    CLASSES,
    CLASSIFIER,
    DECIDER,
    EXACT,
    FILTER,
    FINGERPRINT,
    HEADER,
    HEADER_BYTES,
    LAYER,
    NONE_LISTED,
    NOT_IN_FORCE,
    REPORTED,
    SECOND_CLASSIFIER,
    VERSION,
)
from annul.edge.ribbon import MASK, RANK_MAX, SHIFTS, STEP, mix
from annul.errors import BadInput, Conflict, Corrupt
from annul.registry.editions import kernels

Words = npt.NDArray[np.uint64]
Codes = npt.NDArray[np.uint8]

LOADS: Final = {7: 1.12, 8: 1.03}
"""Points a slot, by shift of the buckets: more than one, since a layer keeps what fits and bumps the rest. Found by trying."""
LAST_POINTS: Final = 200
"""A layer of fewer points is the last: it gets room enough that nothing is bumped."""
LAST_ROOM: Final = 1.35
TRIES_MAX: Final = 20
WIDE_RANK: Final = 4
"""From this rank on buckets are small: the rows that stay empty cost more than the two bits of a bucket."""
FINGERPRINT_RANK: Final = 16
BLOCK_POINTS: Final = 1 << 16
"""Points asked at once: what passes stays in the nearest cache."""
_NO_CODES: Final = np.zeros(0, np.uint8)


class Unlucky(Conflict):
    """Two documents cannot be told apart under this key: take another and build again."""

    code = "conflict"


@dataclass(frozen=True, slots=True)
class Cohort:
    """Hold the documents of one cohort.

    Args:
        id: 56 bits (`annul.edge.edition.cohort_of`).
        points: one per document, all different.
        codes: what the register says of each: 0, REPORTED, NOT_IN_FORCE or ASK. In a supplement 0 for a document that did not
            change, else one more than what it became.
    """

    id: int
    points: Words
    codes: Codes


@dataclass(frozen=True, slots=True)
class About:
    """Say what an edition is of: its id (16 bytes), the position of the register log, the last day of issue it covers."""

    id: bytes
    position: int
    last_day: int
    form: int = EXACT
    classes: bool = True
    apart: tuple[tuple[int, int], ...] = ()
    """Points that stand apart, with their codes: in a supplement, documents outside the edition's universe."""


@dataclass(frozen=True, slots=True)
class Made:
    """What was built. `entropy_bytes` is what no exact coding of these answers can be smaller than on average."""

    path: Path
    issued: int
    listed: int
    size: int
    entropy_bytes: float
    asked_again: int
    wrong: int
    sha256: str
    digests: bytes

    @property
    def ratio(self) -> float:
        """Size over entropy; 0 when nothing had to be said."""
        return self.size / self.entropy_bytes if self.entropy_bytes else 0.0


@dataclass(frozen=True, slots=True)
class _Layer:
    stage: int
    rank: int
    shift: int
    seed: int
    slots: int
    rows: Words
    cuts: Words


def build(cohorts: Sequence[Cohort], about: About, path: Path) -> Made:
    """Write the file of an edition and ask it again about its whole universe.

    Raises:
        Unlucky: two documents share a hash; build again under another key.
        Corrupt: the file answered wrongly about a document of its universe; it must not be signed.
        BadInput: a cohort comes twice, or a code is none.
    """
    cohorts = sorted(cohorts, key=lambda cohort: cohort.id)
    _check(cohorts)
    seed = int.from_bytes(hashlib.sha256(b"annul edition seed v1\0" + about.id).digest()[:8], "little")
    codes = [_code(cohort, about.form) for cohort in cohorts]
    layers = _stages(cohorts, codes, about, seed)
    words = _laid_out(cohorts, codes, layers, about)
    raw = words.tobytes()
    durable.replace(path, raw)
    wrong = ask_again(cohorts, words)
    issued = sum(len(cohort.points) for cohort in cohorts)
    if wrong:
        path.unlink()
        raise Corrupt(f"The edition answers wrongly about {wrong} of {issued} documents: it is not kept.", where=path.name)
    chunks = (raw[at : at + CHUNK_BYTES] for at in range(0, len(raw), CHUNK_BYTES))
    return Made(
        path=path,
        issued=issued,
        listed=sum(int(np.count_nonzero(cohort.codes)) for cohort in cohorts),
        size=len(raw),
        entropy_bytes=entropy_bytes(cohorts, classes=about.classes),
        asked_again=issued,
        wrong=wrong,
        sha256=hashlib.sha256(raw).hexdigest(),
        digests=b"".join(hashlib.sha256(chunk).digest() for chunk in chunks),
    )


def entropy_bytes(cohorts: Sequence[Cohort], *, classes: bool) -> float:
    """Return the bytes that a coding needs on average which knows how many of each cohort are listed (and of each class)."""
    bits = 0.0
    told = [0, 0, 0, 0, 0]
    for cohort in cohorts:
        issued, listed = len(cohort.points), int(np.count_nonzero(cohort.codes))
        bits += issued * _entropy(listed, issued)
        if classes:
            counts = np.bincount(cohort.codes, minlength=5)
            told = [before + int(more) for before, more in zip(told, counts, strict=True)]
    kinds = sum(told[1:])
    if kinds:
        bits += sum(count * math.log2(kinds / count) for count in told[1:] if count)
    return bits / 8


def _entropy(part: int, whole: int) -> float:
    if not 0 < part < whole:
        return 0.0
    share = part / whole
    return -(share * math.log2(share) + (1 - share) * math.log2(1 - share))


def _check(cohorts: Sequence[Cohort]) -> None:
    if len({cohort.id for cohort in cohorts}) != len(cohorts):
        raise BadInput("A cohort comes twice.", where="cohorts")
    for cohort in cohorts:
        if len(cohort.points) != len(cohort.codes) or (len(cohort.codes) and int(cohort.codes.max()) > ASK + 1):
            raise BadInput("A cohort's codes are not those of its documents.", where="cohorts")


def _code(cohort: Cohort, form: int) -> int:
    """Return the rank of the cohort's filter, or the code of a cohort that needs none."""
    if form == FINGERPRINT:
        return FINGERPRINT_RANK
    listed = _decided(cohort.codes, form)
    count, whole = int(np.count_nonzero(listed)), len(listed)
    if count in (0, whole):
        return ALL_LISTED if count else NONE_LISTED
    others = (whole - count) / count
    return min(range(RANK_MAX + 1), key=lambda rank: rank + 1 + others * 2.0**-rank)


def _decided(codes: Codes, form: int) -> npt.NDArray[np.bool_]:
    """Tell which documents the stages say yes to; in an edition those to be asked online stand apart."""
    if form == CHANGES:
        return codes > 0
    found: npt.NDArray[np.bool_] = (codes == REPORTED) | (codes == NOT_IN_FORCE)
    return found


def _stages(cohorts: Sequence[Cohort], codes: Sequence[int], about: About, seed: int) -> list[_Layer]:
    layers: list[_Layer] = []
    if about.form == FINGERPRINT:
        told = [cohort.points[cohort.codes > 0] for cohort in cohorts]
        return _chain(FILTER, FINGERPRINT_RANK, np.concatenate(told), _NO_CODES, seed) if told else []
    for rank in sorted({code for code in codes if 1 <= code <= RANK_MAX}):
        members = [
            cohort.points[_decided(cohort.codes, about.form)]
            for cohort, code in zip(cohorts, codes, strict=True)
            if code == rank
        ]
        layers += _chain(FILTER, rank, np.concatenate(members), _NO_CODES, seed + rank)
    points, values = _undecided(cohorts, codes, layers, about.form)
    if len(points):
        layers += _chain(DECIDER, 1, points, values, seed + 101)
    return layers + _classifiers(cohorts, about, seed)


def _classifiers(cohorts: Sequence[Cohort], about: About, seed: int) -> list[_Layer]:
    """Return what tells the classes of listings apart, or the two bits of what changed documents became."""
    chosen = [_decided(cohort.codes, about.form) for cohort in cohorts]
    listed = [cohort.points[which] for cohort, which in zip(cohorts, chosen, strict=True)]
    codes = [cohort.codes[which] for cohort, which in zip(cohorts, chosen, strict=True)]
    if not about.classes or not sum(map(len, listed)):
        return []
    points, told = np.concatenate(listed), np.concatenate(codes)
    if about.form == EXACT:
        return _chain(CLASSIFIER, 1, points, (told == NOT_IN_FORCE).view(np.uint8), seed + 102)
    became: Codes = (told - 1).astype(np.uint8)
    return [
        *_chain(CLASSIFIER, 1, points, (became & 1).astype(np.uint8), seed + 102),
        *_chain(SECOND_CLASSIFIER, 1, points, (became >> 1).astype(np.uint8), seed + 103),
    ]


def _undecided(cohorts: Sequence[Cohort], codes: Sequence[int], layers: list[_Layer], form: int) -> tuple[Words, Codes]:
    """Return what the filters let through, with whether it is listed."""
    words, directory = _bare(layers)
    points: list[Words] = [np.zeros(0, np.uint64)]
    values: list[Codes] = [_NO_CODES]
    for cohort, code in zip(cohorts, codes, strict=True):
        if code > RANK_MAX:
            continue
        listed = _decided(cohort.codes, form).view(np.uint8)
        if code == 0:
            points.append(cohort.points)
            values.append(listed)
            continue
        first, count = directory[FILTER, code]
        room = np.empty(BLOCK_POINTS, np.int64)
        for at in range(0, len(listed), BLOCK_POINTS):
            block = cohort.points[at : at + BLOCK_POINTS]
            places = room[: kernels.passing(block, words, first, count, code, room)]
            points.append(block[places])
            values.append(listed[at : at + BLOCK_POINTS][places])
    return np.concatenate(points), np.concatenate(values)


def _chain(stage: int, rank: int, points: Words, values: Codes, seed: int) -> list[_Layer]:
    """Make the layers of one chain; filters store fingerprints, the others their value.

    Raises:
        Unlucky: what is left cannot be solved: two hashes are equal and their values are not.
    """
    for attempt in range(TRIES_MAX):
        made = _layers(stage, rank, points, values, mix((seed + attempt * STEP) & MASK))
        if made is not None:
            return made
    raise Unlucky("Two documents cannot be told apart under this edition's key.", mend="Build the edition again.")


def _layers(stage: int, rank: int, points: Words, values: Codes, seed: int) -> list[_Layer] | None:
    hashes = np.empty(len(points), np.uint64)
    kernels.hash_all(points, np.uint64(seed), values, hashes)
    layers: list[_Layer] = []
    shift = SHIFTS[rank < WIDE_RANK]
    while True:
        last = len(hashes) < LAST_POINTS
        room = int(len(hashes) * LAST_ROOM + 64) if last else int(len(hashes) / LOADS[shift])
        slots = -(-room >> shift) << shift
        hashes.sort()
        rows, sides = np.zeros(slots + 64, np.uint64), np.zeros(slots + 64, np.uint16)
        codes, bumped = np.zeros(slots >> shift, np.uint8), np.empty(len(hashes), np.uint64)
        count = kernels.band(hashes, len(values) > 0, rank, np.uint64(slots), np.uint64(shift), rows, sides, codes, bumped)
        if last and count:
            return None
        solution = np.zeros((slots // 64 + 1) * rank, np.uint64)
        kernels.solve(rows, sides, rank, solution)
        layers.append(_Layer(stage, rank, shift, seed, slots, solution, _packed(codes)))
        if not count:
            return layers
        seed = mix((seed + STEP) & MASK)
        hashes = np.empty(count, np.uint64)
        kernels.hash_again(bumped[:count], np.uint64(seed), len(values) > 0, hashes)


def _packed(codes: Codes) -> Words:
    """Pack two bits a bucket, four to a byte, into whole words."""
    padded = np.zeros(-(-len(codes) // 32) * 32, np.uint8)
    padded[: len(codes)] = codes
    fours = padded.reshape(-1, 4)
    packed = fours[:, 0] | fours[:, 1] << 2 | fours[:, 2] << 4 | fours[:, 3] << 6
    return packed.astype(np.uint8).view(np.uint64)


def _bare(layers: Sequence[_Layer]) -> tuple[Words, dict[tuple[int, int], tuple[int, int]]]:
    """Lay layers out behind a directory alone; return words and the chains' places in the directory."""
    directory: dict[tuple[int, int], tuple[int, int]] = {}
    parts = _placed(layers, 0, directory)
    return np.concatenate([*parts, np.zeros(1, np.uint64)]), directory


def _placed(
    layers: Sequence[_Layer], first: int, directory: dict[tuple[int, int], tuple[int, int]], gap: int = 0
) -> list[Words]:
    """Return directory and data of layers as words.

    Args:
        first: word at which the directory begins.
        directory: filled with (stage, rank) -> first word and number of layers.
        gap: words between directory and data.
    """
    head = bytearray()
    at = first + 5 * len(layers) + gap
    data: list[Words] = []
    for number, layer in enumerate(layers):
        rows, cuts = at, 8 * (at + len(layer.rows))
        head += LAYER.pack(layer.stage, layer.rank, layer.shift, 0, 0, layer.seed, layer.slots, rows, cuts)
        data += [layer.rows, layer.cuts]
        at += len(layer.rows) + len(layer.cuts)
        place, count = directory.get((layer.stage, layer.rank), (first + 5 * number, 0))
        directory[layer.stage, layer.rank] = (place, count + 1)
    return [np.frombuffer(bytes(head), np.uint64), *data]


def _laid_out(cohorts: Sequence[Cohort], codes: Sequence[int], layers: Sequence[_Layer], about: About) -> Words:
    """Return the whole file as words."""
    apart = list(about.apart)
    if about.form == EXACT:
        apart += [(int(point), ASK) for cohort in cohorts for point in cohort.points[cohort.codes == ASK]]
    exceptions = np.array(sorted(apart), np.uint64).reshape(-1)
    named = np.array([cohort.id << 8 | code for cohort, code in zip(cohorts, codes, strict=True)], np.uint64)
    first = HEADER_BYTES // 8 + len(named)
    head, *data = _placed(layers, first, {}, gap=len(exceptions))
    size = 8 * (first + len(head) + len(exceptions) + sum(map(len, data)))
    flags = CLASSES if about.classes and about.form != FINGERPRINT else 0
    header = HEADER.pack(
        VERSION, about.form, flags, 0, len(named), len(layers), len(apart), about.position, about.last_day, 0, size, about.id, 0
    )
    return np.concatenate([np.frombuffer(header, np.uint64), named, head, exceptions, *data])


def ask_again(cohorts: Sequence[Cohort], words: Words) -> int:
    """Return how many documents of the universe a file answers wrongly about; it is read by its own directory alone."""
    asker = Asker(words)
    wrong = 0
    for cohort in cohorts:
        for at in range(0, len(cohort.points), BLOCK_POINTS):
            told = asker.codes(cohort.id, cohort.points[at : at + BLOCK_POINTS])
            truth = cohort.codes[at : at + BLOCK_POINTS]
            if asker.form == FINGERPRINT:  # a hit is a question; only a miss can be wrong
                wrong += int(np.count_nonzero((truth > 0) & (told == 0)))
            elif asker.classes:
                wrong += int(np.count_nonzero(told != truth))
            else:
                wrong += int(np.count_nonzero((told > 0) != (truth > 0)))
    return wrong


class Asker:
    """Ask a file in batches, at native speed.

    Args:
        words: the whole file as 64-bit words.
    """

    def __init__(self, words: Words) -> None:
        self._words = words
        head = HEADER.unpack_from(words[: HEADER_BYTES // 8].tobytes())
        self.form, flags, count, layers, exceptions = head[1], head[2], head[4], head[5], head[6]
        self.classes = bool(flags & CLASSES)
        first = HEADER_BYTES // 8
        self._cohorts = words[first : first + count]
        self._chains: dict[tuple[int, int], tuple[int, int]] = {}
        for number in range(layers):
            at = first + count + 5 * number
            key = (int(words[at]) & 0xFF, int(words[at]) >> 8 & 0xFF)
            place, known = self._chains.get(key, (at, 0))
            self._chains[key] = (place, known + 1)
        at = first + count + 5 * layers
        self._apart = words[at : at + 2 * exceptions : 2]
        self._said = words[at + 1 : at + 2 * exceptions : 2].astype(np.uint8)
        self._room = np.empty(BLOCK_POINTS, np.int64)
        self._bits = np.empty(BLOCK_POINTS, np.uint8)

    def code_of(self, cohort: int) -> int:
        """Return the code of a cohort. Corrupt when the file does not have it."""
        place = int(np.searchsorted(self._cohorts, np.uint64(cohort << 8)))
        if place == len(self._cohorts) or int(self._cohorts[place]) >> 8 != cohort:
            raise Corrupt("The edition lacks a cohort it was built from.", where="cohorts")
        return int(self._cohorts[place]) & 0xFF

    def codes(self, cohort: int, points: Words) -> Codes:
        """Return what the file says of at most BLOCK_POINTS points of a cohort: codes as a `Cohort` has them."""
        code, told = self.code_of(cohort), np.zeros(len(points), np.uint8)
        places = self._listed(code, points)
        if self.form == FINGERPRINT:
            told[places] = ASK
            return told
        told[places] = REPORTED
        for stage, worth in ((CLASSIFIER, 1), (SECOND_CLASSIFIER, 2)):
            if (stage, 1) in self._chains and len(places):
                bits = np.empty(len(places), np.uint8)
                kernels.stored(points, places, self._words, *self._chains[stage, 1], bits)
                told[places] += bits * worth
        if len(self._apart):
            at = np.minimum(np.searchsorted(self._apart, points), len(self._apart) - 1)
            apart = self._apart[at] == points
            told[apart] = self._said[at[apart]]
        return told

    def _listed(self, code: int, points: Words) -> npt.NDArray[np.int64]:
        if code in (NONE_LISTED, ALL_LISTED) or not len(points):
            return np.arange(len(points) if code == ALL_LISTED else 0, dtype=np.int64)
        places = self._room[: len(points)]
        if code:
            count = kernels.passing(points, self._words, *self._chains[FILTER, code], code, self._room)
            places = self._room[:count]
        else:
            places[:] = np.arange(len(points))
        if self.form == FINGERPRINT or not len(places):
            return places
        bits = self._bits[: len(places)]
        kernels.stored(points, places, self._words, *self._chains[DECIDER, 1], bits)
        chosen: npt.NDArray[np.int64] = places[bits == 1]
        return chosen

    def single(self, cohort: int) -> Callable[[int], bool]:
        """Return a question about one point of a cohort that has both stages: whether it is listed."""
        code = self.code_of(cohort)
        places = (*self._chains.get((FILTER, code), (0, 0)), *self._chains[DECIDER, 1])
        words, ask, word = self._words, kernels.one, np.uint64

        def one(point: int) -> bool:
            return bool(ask(words, word(point), code, *places))

        return one
