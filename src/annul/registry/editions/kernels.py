"""Write the inner loops of editions: make bumped ribbons and ask them in batches.

The reader on a device is `annul.edge.ribbon`, which this must agree with to the bit (a test holds them equal). Arrays are
flat: `words` is a whole file as 64-bit words, chains are given by the numbers of their layers in its directory of five words
a layer.

A hash keeps its stored bit (deciders, classifiers) in bit 0, which start, coefficients and fingerprint do not use.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types, uint64
from numba.extending import intrinsic

from annul.edge import ribbon as edge

CUTS = np.array([edge.CUTS[shift] for shift in edge.SHIFTS], np.uint64).ravel()
"""Cuts by shift and code: at 4 * (shift - 7) + code."""
SAME_BUCKET_MAX = 8192
"""Points of one bucket that can be taken back: one gets 264 on average, 500 is beyond any chance."""


def _count_ones(_typing: Any, _word: Any) -> Any:
    return types.uint64(types.uint64), lambda _context, builder, _signature, given: builder.ctpop(given[0])


def _count_zeros(_typing: Any, _word: Any) -> Any:
    flag = ir.Constant(ir.IntType(1), 0)
    return types.uint64(types.uint64), lambda _context, builder, _signature, given: builder.cttz(given[0], flag)


_ones: Any = intrinsic(_count_ones)
"""Counts the bits of a word that are set."""
_zeros: Any = intrinsic(_count_zeros)
"""Counts the zero bits below the lowest one."""


@njit(inline="always")
def _mix(x: Any) -> Any:
    x = (x ^ (x >> uint64(30))) * uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> uint64(27))) * uint64(0x94D049BB133111EB)
    return x ^ (x >> uint64(31))


@njit(inline="always")
def _start(hashed: Any, slots: Any, shift: Any) -> Any:
    """Return the start in a layer; the order of hashes is that of buckets, and within one from its last start down."""
    return (((hashed >> uint64(32)) * slots) >> uint64(32)) ^ ((uint64(1) << shift) - uint64(1))


@njit(inline="always")
def _coefficients(hashed: Any) -> Any:
    return _mix((hashed >> uint64(1)) * uint64(0x94D049BB133111EB) + uint64(0x9E3779B97F4A7C15)) | uint64(1)


@njit(inline="always")
def _print(hashed: Any) -> Any:
    return ((hashed >> uint64(1)) * uint64(0xD6E8FEB86659FD93)) >> uint64(48)


@njit(inline="always")
def _bumped(words: Any, cuts: Any, start: Any, shift: Any) -> Any:
    """Tell whether a layer bumped what starts here."""
    bucket = start >> shift
    place = cuts + (bucket >> uint64(2))
    code = (words[place >> uint64(3)] >> ((place & uint64(7)) * uint64(8) + (bucket & uint64(3)) * uint64(2))) & uint64(3)
    return start - (bucket << shift) < CUTS[(shift - uint64(7)) * uint64(4) + code]


@njit(inline="always")
def _shift(words: Any, layer: Any) -> Any:
    return (words[layer] >> uint64(16)) & uint64(0xFF)


@njit(cache=True)
def hash_all(points: Any, seed: Any, values: Any, out: Any) -> None:
    """Hash points for a first layer; where there are values, the hash carries them."""
    stored = values.shape[0] > 0
    for place in range(points.shape[0]):
        hashed = _mix(points[place] ^ seed)
        if stored:
            hashed = (hashed & ~uint64(1)) | uint64(values[place])
        out[place] = hashed


@njit(cache=True)
def hash_again(hashes: Any, seed: Any, stored: Any, out: Any) -> None:
    """Hash what a layer bumped for the next one."""
    for place in range(hashes.shape[0]):
        hashed = _mix((hashes[place] >> uint64(1)) ^ seed)
        out[place] = (hashed & ~uint64(1)) | (hashes[place] & uint64(1)) if stored else hashed


@njit(cache=True)
def band(hashes: Any, stored: Any, rank: Any, slots: Any, shift: Any, rows: Any, sides: Any, codes: Any, bumped: Any) -> Any:
    """Put sorted hashes into a banded system, bumping what finds no room; return how many were bumped.

    Args:
        hashes: sorted.
        stored: whether bit 0 is what is stored; else the fingerprint is.
        shift: of the buckets, an unsigned word.
        rows, sides: coefficients and right-hand sides, zeros, slots + 64 long.
        codes: code of each bucket, zeros.
        bumped: room for as many hashes.
    """
    mask, inner = (uint64(1) << uint64(rank)) - uint64(1), (uint64(1) << shift) - uint64(1)
    cuts = CUTS[4 * (np.int64(shift) - 7) :]
    bumped_count = 0
    bucket_now, cut_now = uint64(0xFFFFFFFFFFFFFFFF), uint64(0)
    place_of = np.empty(SAME_BUCKET_MAX, np.int64)
    start_of = np.empty(SAME_BUCKET_MAX, np.uint64)
    hash_of = np.empty(SAME_BUCKET_MAX, np.uint64)
    kept = 0
    for number in range(hashes.shape[0]):
        hashed = hashes[number]
        start = _start(hashed, slots, shift)
        bucket, inside = start >> shift, start & inner
        if bucket != bucket_now:
            bucket_now, cut_now, kept = bucket, uint64(0), 0
        elif inside < cut_now or kept == SAME_BUCKET_MAX:
            bumped[bumped_count] = hashed
            bumped_count += 1
            continue
        row, at = _coefficients(hashed), start
        side = (hashed & uint64(1)) if stored else _print(hashed) & mask
        placed = False
        while row != uint64(0):
            there = rows[at]
            if there == uint64(0):
                rows[at], sides[at] = row, side
                placed = True
                break
            row ^= there
            side ^= sides[at]
            if row != uint64(0):
                zeros = _zeros(row)
                at += zeros
                row >>= zeros
        if placed or side == uint64(0):
            place_of[kept] = np.int64(at) if placed else -1
            start_of[kept], hash_of[kept] = inside, hashed
            kept += 1
            continue
        code = 1
        while cuts[code] <= inside:
            code += 1
        cut_now = cuts[code]
        codes[bucket] = code
        bumped[bumped_count] = hashed
        bumped_count += 1
        while kept > 0 and start_of[kept - 1] < cut_now:
            kept -= 1
            if place_of[kept] >= 0:
                rows[place_of[kept]], sides[place_of[kept]] = uint64(0), 0
            bumped[bumped_count] = hash_of[kept]
            bumped_count += 1
    return bumped_count


@njit(cache=True)
def solve(rows: Any, sides: Any, rank: Any, out: Any) -> None:
    """Solve the band from its end; words of 64 rows, `rank` of them side by side."""
    state = np.zeros(rank, np.uint64)
    for at in range(rows.shape[0] - 1, -1, -1):
        row, side = rows[at], uint64(sides[at])
        for bit in range(rank):
            window = state[bit] << uint64(1)
            if row != uint64(0):
                window |= (_ones(window & row) ^ (side >> uint64(bit))) & uint64(1)
            state[bit] = window
        if at & 63 == 0:
            first = (at >> 6) * rank
            for bit in range(rank):
                out[first + bit] = state[bit]


@njit(inline="always")
def _window(words: Any, at: Any, rank: Any, offset: Any) -> Any:
    return (words[at] >> offset) | ((words[at + rank] << uint64(1)) << (uint64(63) - offset))


@njit
def _in_layer(words: Any, layer: Any, hashed: Any, start: Any, rank: Any, filters: Any) -> Any:
    """Return what a layer says of a hash: whether its fingerprint differs, or its stored bits."""
    row, offset = _coefficients(hashed), start & uint64(63)
    at = words[layer + 3] + (start >> uint64(6)) * uint64(rank)
    mark, told = _print(hashed), uint64(0)
    for bit in range(rank):
        one = _ones(_window(words, at + uint64(bit), uint64(rank), offset) & row) & uint64(1)
        if filters:
            told |= one ^ ((mark >> uint64(bit)) & uint64(1))
        else:
            told |= one << uint64(bit)
    return told


@njit
def _deeper(words: Any, first: Any, count: Any, hashed: Any, rank: Any, filters: Any) -> Any:
    """Ask the layers behind the first, where the point was bumped."""
    for number in range(1, count):
        layer = first + 5 * number
        hashed = _mix((hashed >> uint64(1)) ^ words[layer + 1])
        shift = _shift(words, layer)
        start = _start(hashed, words[layer + 2], shift)
        if not _bumped(words, words[layer + 4], start, shift):
            return _in_layer(words, layer, hashed, start, rank, filters)
    return uint64(1) if filters else uint64(0)


@njit(cache=True, nogil=True)
def passing(points: Any, words: Any, first: Any, count: Any, rank: Any, out: Any) -> Any:
    """Write the places of points that a filter lets through; return how many.

    Args:
        first, count: word of the chain's first layer in the directory, and number of layers.
        out: room for as many places.
    """
    seed, slots, cuts = words[first + 1], words[first + 2], words[first + 4]
    rows, shift = words[first + 3], _shift(words, first)
    found = 0
    for place in range(points.shape[0]):
        hashed = _mix(points[place] ^ seed)
        start = _start(hashed, slots, shift)
        row, offset = _coefficients(hashed), start & uint64(63)
        at, mark, told = rows + (start >> uint64(6)) * uint64(rank), _print(hashed), uint64(0)
        for bit in range(rank):
            window = _window(words, at + uint64(bit), uint64(rank), offset)
            told |= (_ones(window & row) ^ (mark >> uint64(bit))) & uint64(1)
        bumped = _bumped(words, cuts, start, shift)
        out[found] = place
        found += 1 if (bumped or told == uint64(0)) else 0
    kept = 0
    for number in range(found):
        place = out[number]
        hashed = _mix(points[place] ^ seed)
        start = _start(hashed, slots, shift)
        if _bumped(words, cuts, start, shift) and _deeper(words, first, count, hashed, rank, True) != uint64(0):
            continue
        out[kept] = place
        kept += 1
    return kept


@njit
def _stored(words: Any, first: Any, count: Any, point: Any) -> Any:
    """Return the bit a chain of rank 1 stores for a point."""
    hashed = _mix(point ^ words[first + 1])
    shift = _shift(words, first)
    start = _start(hashed, words[first + 2], shift)
    if _bumped(words, words[first + 4], start, shift):
        return _deeper(words, first, count, hashed, 1, False)
    return _in_layer(words, first, hashed, start, 1, False)


@njit(cache=True, nogil=True)
def stored(points: Any, places: Any, words: Any, first: Any, count: Any, out: Any) -> None:
    """Write the bit a chain of rank 1 stores for each of the points at `places`."""
    for number in range(places.shape[0]):
        out[number] = _stored(words, first, count, points[places[number]])


@njit(cache=True, nogil=True)
def one(words: Any, point: Any, rank: Any, filter_: Any, filters: Any, decider: Any, deciders: Any) -> Any:
    """Tell whether one point is listed: a filter of this rank (0 for none), then the decider."""
    if rank:
        hashed = _mix(point ^ words[filter_ + 1])
        shift = _shift(words, filter_)
        start = _start(hashed, words[filter_ + 2], shift)
        if _bumped(words, words[filter_ + 4], start, shift):
            told = _deeper(words, filter_, filters, hashed, rank, True)
        else:
            told = _in_layer(words, filter_, hashed, start, rank, True)
        if told != uint64(0):
            return uint64(0)
    return _stored(words, decider, deciders, point)
