"""Ask a bumped ribbon: plain Python, no arrays but the mapped words.

A chain is one or more layers. A layer has `slots` rows of `rank` bits; a point owns a start and 64 coefficients, and what it
stores is the parity of the rows its coefficients choose, bit by bit. Points that found no room in a layer were bumped to the
next: two bits for each bucket of starts say below which start. Asked about a point that was not stored, a chain says
anything.

Source: docs/formats/edition.md; P. Dillinger, L. Hübschle-Schneider, P. Sanders, S. Walzer, "Fast Succinct Retrieval and
Approximate Membership Using Ribbon", SEA 2022; M. Hamburg (2-stage "clubcard" of Mozilla's CRLite is of this kind).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from annul.errors import Corrupt

MASK: Final = (1 << 64) - 1
MIX_1: Final = 0xBF58476D1CE4E5B9
MIX_2: Final = 0x94D049BB133111EB
STEP: Final = 0x9E3779B97F4A7C15
PRINT: Final = 0xD6E8FEB86659FD93
SHIFTS: Final = (7, 8)
"""Buckets have 2^7 starts (chains of rank 4 and more) or 2^8, which costs less in bits that say what was bumped."""
CUTS: Final = {7: (0, 16, 40, 128), 8: (0, 16, 48, 256)}
"""Starts below which a bucket's points were bumped, by shift and its two bits: buckets fill from their last start down."""
RANK_MAX: Final = 16
CHUNK_SHIFT: Final = 13
"""A chunk that has a digest of its own holds 2^13 words."""

Touch = Callable[[int, int], None]


def mix(x: int) -> int:
    """Return the finalizer of SplitMix64, a bijection of 64 bits."""
    x = (x ^ (x >> 30)) * MIX_1 & MASK
    x = (x ^ (x >> 27)) * MIX_2 & MASK
    return x ^ (x >> 31)


@dataclass(frozen=True, slots=True)
class Layer:
    """Place one layer: shift of its buckets, seed, slots, first word of its rows and first byte of its cuts in the file."""

    shift: int
    seed: int
    slots: int
    rows: int
    cuts: int


class Chain:
    """Ask one chain of layers.

    Args:
        layers: first to last.
        rank: bits stored for each point, 1 to 16.
        words: the whole file as 64-bit words.
        sure: one byte for each chunk of the file, 0 as long as nobody looked whether it is what was signed.
        touch: called with (first word, last word + 1) before words of such a chunk are read; raises when they are not.
    """

    __slots__ = ("_layers", "_sure", "_touch", "_words", "rank")

    def __init__(self, layers: Sequence[Layer], rank: int, words: memoryview, sure: bytearray, touch: Touch) -> None:
        self._layers = tuple(layers)
        self._words = words
        self._sure = sure
        self._touch = touch
        self.rank = rank

    def value(self, point: int) -> int:
        """Return the `rank` bits stored for a point."""
        _, at, coefficients, offset = self._find(point)
        rank, words, value = self.rank, self._words, 0
        for bit in range(rank):
            window = words[at + bit] >> offset | words[at + rank + bit] << (64 - offset) & MASK
            value |= ((window & coefficients).bit_count() & 1) << bit
        return value

    def passes(self, point: int) -> bool:
        """Tell whether a point's bits are its fingerprint: always for a member, else with probability 2^-rank."""
        hashed, at, coefficients, offset = self._find(point)
        rank, words = self.rank, self._words
        print_ = (hashed >> 1) * PRINT & MASK
        for bit in range(rank):
            window = words[at + bit] >> offset | words[at + rank + bit] << (64 - offset) & MASK
            if ((window & coefficients).bit_count() ^ (print_ >> (48 + bit))) & 1:
                return False
        return True

    def _find(self, point: int) -> tuple[int, int, int, int]:
        """Return hash, first word, coefficients and offset of a point's rows."""
        hashed, first, sure = point, True, self._sure
        for layer in self._layers:
            hashed = mix((hashed if first else hashed >> 1) ^ layer.seed)
            first = False
            shift = layer.shift
            inside = (1 << shift) - 1
            start = ((hashed >> 32) * layer.slots >> 32) ^ inside
            place = layer.cuts + (start >> shift + 2)
            word = place >> 3
            if not sure[word >> CHUNK_SHIFT]:
                self._touch(word, word + 1)
            cut = self._words[word] >> ((place & 7) * 8 + ((start >> shift) & 3) * 2) & 3
            if start & inside < CUTS[shift][cut]:
                continue
            at = layer.rows + (start >> 6) * self.rank
            last = at + 2 * self.rank - 1
            if not (sure[at >> CHUNK_SHIFT] and sure[last >> CHUNK_SHIFT]):
                self._touch(at, last + 1)
            return hashed, at, mix((hashed >> 1) * MIX_2 + STEP & MASK) | 1, start & 63
        raise Corrupt("The last layer of an edition bumps a point.", where="layers")
