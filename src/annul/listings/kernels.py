"""Write the inner loops of table and segments: open addressing over 16-byte slots in mapped memory.

Only `native.py` imports this file, and only when no cache holds its machine code. Kernels see addresses and 64-bit
integers. A slot is two little-endian words: word 0 = key bits 0..63; word 1 = key bits 64..87 << 40 | value (40 bits).
Word 1 = 0 means empty; bit 39 of word 1 marks a slot whose value is 0 ("no entry any more"). The search for a key begins
at line floor(word 0 * lines / 2**64), a line being four slots (64 bytes, what memory delivers at once). Keys come out of
a keyed block cipher, so they are uniform, and homes keep the order of word 0: growing and sealing are sequential passes.

Loads and stores of shared slots are atomic with acquire and release order: a reader that sees word 1 sees word 0.
"""

from __future__ import annotations

from typing import Any

from numba import int64, njit, uint64

from annul.listings.words import fence, get, get_byte, high, load, prefetch, put_word, room, store

VALUE_MASK = (1 << 40) - 1
GONE = 1 << 39
CODE_MASK = 0xFF
EXPIRY_MASK = 0xFFFF << 8
FLAGS_MASK = 0xFF << 24
OVERRIDES_BULK = 1 << 25
NUMBER = 1 << 26
MANY = 240
SPECIAL = 240
BLOCK_SLOTS = 4096
"""Slots under one checksum (64 KiB). The constants above are those of values.py and table.py; a test keeps them the same."""


@njit(inline="always")
def _mix(x: Any) -> Any:
    x = (x ^ (x >> uint64(30))) * uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> uint64(27))) * uint64(0x94D049BB133111EB)
    return x ^ (x >> uint64(31))


@njit(inline="always")
def _home(word0: Any, count: Any) -> Any:
    """Return the slot where the search for a key begins: the first of a cache line of four."""
    return int64(high(word0, count >> uint64(2)) << uint64(2))


@njit(inline="always")
def _slot_sum(word0: Any, word1: Any) -> Any:
    if (word0 | word1) == uint64(0):
        return uint64(0)
    return _mix(word0 ^ _mix(word1 ^ uint64(0x9E3779B97F4A7C15)))


@njit(inline="always")
def _worse(left: Any, right: Any, severity: Any) -> Any:
    """Combine two values of one key: the worse code wins, flags add up, an expiry day is kept."""
    if left == uint64(0) or left == right:
        return right
    if right == uint64(0):
        return left
    a, b = left & uint64(CODE_MASK), right & uint64(CODE_MASK)
    if a > uint64(SPECIAL) or b > uint64(SPECIAL):
        return left
    flags = (left | right) & uint64(FLAGS_MASK)
    if get_byte(severity + int64(b)) > get_byte(severity + int64(a)):
        code, expiry, other = b, right & uint64(EXPIRY_MASK), left & uint64(EXPIRY_MASK)
    else:
        code, expiry, other = a, left & uint64(EXPIRY_MASK), right & uint64(EXPIRY_MASK)
    if expiry == uint64(0):
        expiry = other
    return code | expiry | flags


@njit(inline="always")
def _across(left: Any, right: Any, severity: Any) -> Any:
    """Combine the values of two lists: two number slots may mean two documents, so that nobody can tell."""
    if left != uint64(0) and right != uint64(0) and (left & right & uint64(NUMBER)) != uint64(0):
        return uint64(MANY) | ((left | right) & uint64(FLAGS_MASK))
    return _worse(left, right, severity)


@njit(inline="always")
def _if_key(found1: Any, found0: Any, word0: Any, bits: Any) -> Any:
    """Return word 1 of a slot if it is the slot of the key, else 0; without a branch, which nobody could predict."""
    different = (found0 ^ word0) | ((found1 >> uint64(40)) ^ bits)
    return found1 & (((different | (uint64(0) - different)) >> uint64(63)) - uint64(1))


@njit(inline="always")
def _line_of_table(at: Any, word0: Any, bits: Any) -> Any:
    """Look for a key in a line of the live table: word 1 of its slot or 0, and whether the search ends here.

    Lines fill from their first slot, so one with an empty last slot was never passed.
    """
    last = load(at + 56)
    found = (
        _if_key(load(at + 8), load(at), word0, bits)
        | _if_key(load(at + 24), load(at + 16), word0, bits)
        | _if_key(load(at + 40), load(at + 32), word0, bits)
        | _if_key(last, load(at + 48), word0, bits)
    )
    return found, (found != uint64(0)) | (last == uint64(0))


@njit(inline="always")
def _line_of_segment(at: Any, word0: Any, bits: Any) -> Any:
    """Look for a key in a line of a sealed segment, where slots are in the order of word 0: a greater one ends the search."""
    last0, last = get(at + 48), get(at + 56)
    found = (
        _if_key(get(at + 8), get(at), word0, bits)
        | _if_key(get(at + 24), get(at + 16), word0, bits)
        | _if_key(get(at + 40), get(at + 32), word0, bits)
        | _if_key(last, last0, word0, bits)
    )
    return found, (found != uint64(0)) | (last == uint64(0)) | (last0 > word0)


@njit(inline="always")
def _settle_table(out: Any, word1: Any, _severity: Any) -> Any:
    """Write what the table says of a key, or that it says nothing (yet)."""
    gone = (word1 >> uint64(39)) & uint64(1)
    put_word(out, word1 & uint64(VALUE_MASK) & (gone - uint64(1)))


@njit(inline="always")
def _settle_segment(out: Any, word1: Any, severity: Any) -> Any:
    """Add what a segment says of a key to what is known of it; an entry of the table may silence segments."""
    before, more = get(out), word1 & uint64(VALUE_MASK)
    if (before != uint64(0)) & (more != uint64(0)):
        if (before & uint64(OVERRIDES_BULK)) == uint64(0):
            put_word(out, _across(before, more, severity))
    else:
        put_word(out, before | more)


BLOCK_KEYS = 64
"""Keys whose homes are fetched ahead: memory answers many requests at once, each after some 100 ns."""
PENDING_MAX = 512
"""Keys that go on to a next line, at one time."""
CHUNK_KEYS = 4096
"""Keys looked up in one list before the next list: their values stay in the nearest cache."""

_room_for_pending = room(PENDING_MAX)


def _probing(line: Any, settle: Any, *, wraps: bool) -> Any:
    """Make the search in one list (table or segment).

    No key waits for memory: every line is fetched while other keys are looked at. Keys that a line did not settle are kept
    with their next line, go one line on with every block of keys, and leave when they are settled.
    """

    @njit(inline="always")
    def probe(slots: Any, count: Any, total: Any, keys: Any, n: Any, out: Any, severity: Any) -> Any:
        lines, end = uint64(count) >> uint64(2), slots + total * 16
        places, waiting = _room_for_pending(), _room_for_pending()
        pending = int64(0)
        for k in range(min(n, int64(BLOCK_KEYS))):
            prefetch(slots + int64(high(get(keys + k * 16), lines)) * 64)
        first = int64(0)
        rounds = (n // BLOCK_KEYS + 2) * (int64(total >> 2) + 1)  # no sound list needs so many; a damaged one may have no end
        while (first < n or pending > 0) and rounds > 0:
            for k in range(min(n, first + BLOCK_KEYS), min(n, first + 2 * BLOCK_KEYS)):
                prefetch(slots + int64(high(get(keys + k * 16), lines)) * 64)
            while True:
                rounds -= 1
                left = int64(0)
                for p in range(pending):
                    k, at = int64(get(waiting + p * 8)), int64(get(places + p * 8))
                    found, over = line(at, get(keys + k * 16), get(keys + k * 16 + 8) & uint64(0xFFFFFF))
                    settle(out + k * 8, found, severity)
                    at += 64
                    if at == end:
                        if wraps:
                            at = slots
                        else:
                            over = True
                    put_word(waiting + left * 8, uint64(k))
                    put_word(places + left * 8, uint64(at))
                    left += int64(not over)
                pending = left
                if pending <= PENDING_MAX - BLOCK_KEYS or rounds <= 0:
                    break
            for k in range(first, min(n, first + BLOCK_KEYS)):
                word0 = get(keys + k * 16)
                at = slots + int64(high(word0, lines)) * 64
                found, over = line(at, word0, get(keys + k * 16 + 8) & uint64(0xFFFFFF))
                settle(out + k * 8, found, severity)
                at += 64
                if at == end:
                    if wraps:
                        at = slots
                    else:
                        over = True
                put_word(waiting + pending * 8, uint64(k))
                put_word(places + pending * 8, uint64(at))
                pending += int64(not over)
            for p in range(pending):
                prefetch(int64(get(places + p * 8)))
            first += BLOCK_KEYS
        return pending

    return probe


_probe_table = _probing(_line_of_table, _settle_table, wraps=True)
_probe_segment = _probing(_line_of_segment, _settle_segment, wraps=False)


def lookup(view: Any, keys: Any, n: Any, out: Any) -> Any:
    """Look up n keys; 1 when the view is stale (nothing written), else 0.

    view: words [address of the control file's change counter, its value when mapped, table slots, table count,
    severity table, segment count, then per segment: slots, count, total].
    """
    if load(int64(get(view))) != get(view + 8):
        return int64(1)
    fence()
    table, count = int64(get(view + 16)), int64(get(view + 24))
    severity, segments = int64(get(view + 32)), int64(get(view + 40))
    for first in range(0, n, CHUNK_KEYS):
        size = min(n - first, int64(CHUNK_KEYS))
        _probe_table(table, count, count, keys + first * 16, size, out + first * 8, severity)
        for s in range(segments):
            at = view + 48 + s * 24
            slots, homes, total = int64(get(at)), int64(get(at + 8)), int64(get(at + 16))
            _probe_segment(slots, homes, total, keys + first * 16, size, out + first * 8, severity)
    return int64(0)


def lookup_segment(slots: Any, count: Any, total: Any, keys: Any, n: Any, out: Any) -> Any:
    """Look up n keys in one segment; `out` holds zeros."""
    for first in range(0, n, CHUNK_KEYS):
        size = min(n - first, int64(CHUNK_KEYS))
        _probe_segment(slots, count, total, keys + first * 16, size, out + first * 8, int64(0))
    return int64(0)


# The table's header words (byte offsets): used slots and the redo record of the one change that may be half done.
USED = 32
REDO_PENDING = 64
REDO_SLOT = 72
REDO_WORD0 = 80
REDO_WORD1 = 88
REDO_SUM = 96
REDO_USED = 104


@njit(inline="always")
def _apply(header: Any, sums: Any, slots: Any) -> Any:
    j = int64(get(header + REDO_SLOT))
    store(slots + j * 16, get(header + REDO_WORD0))
    store(slots + j * 16 + 8, get(header + REDO_WORD1))
    store(sums + j // BLOCK_SLOTS * 8, get(header + REDO_SUM))
    store(header + USED, get(header + REDO_USED))
    store(header + REDO_PENDING, uint64(0))


def redo(header: Any, sums: Any, slots: Any) -> Any:
    """Finish the change a killed writer had begun; 1 if there was one."""
    if get(header + REDO_PENDING) == uint64(0):
        return int64(0)
    _apply(header, sums, slots)
    return int64(1)


def put(header: Any, sums: Any, slots: Any, count: Any, keys: Any, values: Any, n: Any, used_max: Any) -> Any:
    """Write n keys in order; the number written (less than n: a new key would pass used_max, so grow first)."""
    for i in range(n):
        word0 = get(keys + i * 16)
        bits = get(keys + i * 16 + 8) & uint64(0xFFFFFF)
        value = get(values + i * 8) & uint64(VALUE_MASK)
        word1 = (bits << uint64(40)) | (uint64(GONE) if value == uint64(0) else value)
        j = _home(word0, uint64(count))
        while True:
            old = get(slots + j * 16 + 8)
            if old == uint64(0) or ((old >> uint64(40)) == bits and get(slots + j * 16) == word0):
                break
            j = 0 if j == count - 1 else j + 1
        if old == word1 or (old == uint64(0) and value == uint64(0)):
            continue
        used = get(header + USED)
        if old == uint64(0):
            if int64(used) >= used_max:
                return int64(i)
            used += uint64(1)
        sums_at = sums + j // BLOCK_SLOTS * 8
        fresh = get(sums_at) + _slot_sum(word0, word1)
        if old != uint64(0):
            fresh -= _slot_sum(word0, old)
        store(header + REDO_SLOT, uint64(j))
        store(header + REDO_WORD0, word0)
        store(header + REDO_WORD1, word1)
        store(header + REDO_SUM, fresh)
        store(header + REDO_USED, used)
        store(header + REDO_PENDING, uint64(1))
        _apply(header, sums, slots)
    return int64(n)


def grow(old: Any, old_count: Any, new: Any, new_count: Any, sums: Any) -> Any:
    """Copy the slots of a table into a larger, empty one; the number of slots in use."""
    used = int64(0)
    start = int64(0)
    while get(old + start * 16 + 8) != uint64(0):  # begin behind an empty slot: a run over the end stays in order
        start += 1
    for i in range(old_count):
        at = start + i
        if at >= old_count:
            at -= old_count
        word1 = get(old + at * 16 + 8)
        if word1 == uint64(0) or (word1 & uint64(GONE)) != uint64(0):
            continue
        word0 = get(old + at * 16)
        j = _home(word0, uint64(new_count))
        while get(new + j * 16 + 8) != uint64(0):
            j = 0 if j == new_count - 1 else j + 1
        put_word(new + j * 16, word0)
        put_word(new + j * 16 + 8, word1)
        sums_at = sums + j // BLOCK_SLOTS * 8
        put_word(sums_at, get(sums_at) + _slot_sum(word0, word1))
        used += 1
    return used


def first_bad_block(slots: Any, total: Any, sums: Any, first: Any, last: Any) -> Any:
    """Compare blocks first..last-1 with their checksums; the first that differs, or -1."""
    for block in range(first, last):
        end = min((block + 1) * BLOCK_SLOTS, total)
        value = uint64(0)
        for i in range(block * BLOCK_SLOTS, end):
            value += _slot_sum(load(slots + i * 16), load(slots + i * 16 + 8))
        if value != load(sums + block * 8):
            return int64(block)
    return int64(-1)


def block_sums(slots: Any, n: Any, out: Any) -> Any:
    """Write the checksums of n slots (a multiple of a block, or the last part of a file); the number of blocks."""
    blocks = (n + BLOCK_SLOTS - 1) // BLOCK_SLOTS
    for block in range(blocks):
        value = uint64(0)
        for i in range(block * BLOCK_SLOTS, min((block + 1) * BLOCK_SLOTS, n)):
            value += _slot_sum(get(slots + i * 16), get(slots + i * 16 + 8))
        put_word(out + block * 8, value)
    return int64(blocks)


def pack(keys: Any, values: Any, n: Any, out: Any) -> Any:
    """Make n slots of keys and values."""
    for i in range(n):
        bits = get(keys + i * 16 + 8) & uint64(0xFFFFFF)
        put_word(out + i * 16, get(keys + i * 16))
        put_word(out + i * 16 + 8, (bits << uint64(40)) | (get(values + i * 8) & uint64(VALUE_MASK)))
    return int64(n)


def pack_all(keys: Any, value: Any, n: Any, out: Any) -> Any:
    """Make n slots of keys and one value."""
    for i in range(n):
        bits = get(keys + i * 16 + 8) & uint64(0xFFFFFF)
        put_word(out + i * 16, get(keys + i * 16))
        put_word(out + i * 16 + 8, (bits << uint64(40)) | uint64(value))
    return int64(n)


def pack_numbers(numbers: Any, documents: Any, values: Any, n: Any, out: Any) -> Any:
    """Make n number records of three words: slot, and the document's word 0 to tell documents of a number apart."""
    for i in range(n):
        bits = get(numbers + i * 16 + 8) & uint64(0xFFFFFF)
        put_word(out + i * 24, get(numbers + i * 16))
        put_word(out + i * 24 + 8, (bits << uint64(40)) | (get(values + i * 8) & uint64(VALUE_MASK)) | uint64(NUMBER))
        put_word(out + i * 24 + 16, get(documents + i * 16))
    return int64(n)


def scatter(source: Any, n: Any, width: Any, out: Any, counts: Any) -> Any:
    """Group n records of `width` words by the top byte of word 0; counts (256 words) gets the sizes of the groups."""
    step = width * 8
    for b in range(256):
        put_word(counts + b * 8, uint64(0))
    for i in range(n):
        at = counts + int64(get(source + i * step) >> uint64(56)) * 8
        put_word(at, get(at) + uint64(1))
    total = uint64(0)
    for b in range(256):
        size = get(counts + b * 8)
        put_word(counts + b * 8, total)
        total += size
    for i in range(n):
        at = counts + int64(get(source + i * step) >> uint64(56)) * 8
        to = get(at)
        put_word(at, to + uint64(1))
        for w in range(width):
            put_word(out + int64(to) * step + w * 8, get(source + i * step + w * 8))
    previous = uint64(0)
    for b in range(256):
        end = get(counts + b * 8)
        put_word(counts + b * 8, end - previous)
        previous = end
    return int64(n)


@njit(inline="always")
def _after(left: Any, right: Any, width: Any) -> Any:
    """Tell whether record `left` comes after record `right`: by word 0, key bits, document."""
    a, b = get(left), get(right)
    if a != b:
        return a > b
    a, b = get(left + 8) >> uint64(40), get(right + 8) >> uint64(40)
    if a != b or width == 2:
        return a > b
    return get(left + 16) > get(right + 16)


def sort(source: Any, n: Any, width: Any, out: Any, bins: Any, bin_bits: Any) -> Any:
    """Sort the n records of one bucket (same top byte): scatter into 2**bin_bits bins, then mend by insertion."""
    step = width * 8
    size = int64(1) << bin_bits
    shift = uint64(64 - bin_bits)
    for b in range(size + 1):
        put_word(bins + b * 8, uint64(0))
    for i in range(n):
        at = bins + int64((get(source + i * step) << uint64(8)) >> shift) * 8 + 8
        put_word(at, get(at) + uint64(1))
    for b in range(size):
        put_word(bins + b * 8 + 8, get(bins + b * 8 + 8) + get(bins + b * 8))
    for i in range(n):
        at = bins + int64((get(source + i * step) << uint64(8)) >> shift) * 8
        to = get(at)
        put_word(at, to + uint64(1))
        for w in range(width):
            put_word(out + int64(to) * step + w * 8, get(source + i * step + w * 8))
    for i in range(1, n):
        j = i
        if not _after(out + (j - 1) * step, out + j * step, width):
            continue
        a, b = get(out + i * step), get(out + i * step + 8)
        c = get(out + i * step + 16) if width == 3 else uint64(0)
        while j > 0:
            left = out + (j - 1) * step
            later = get(left) > a
            if get(left) == a:
                later = (get(left + 8) >> uint64(40)) > (b >> uint64(40))
                if (get(left + 8) >> uint64(40)) == (b >> uint64(40)) and width == 3:
                    later = get(left + 16) > c
            if not later:
                break
            for w in range(width):
                put_word(out + j * step + w * 8, get(left + w * 8))
            j -= 1
        put_word(out + j * step, a)
        put_word(out + j * step + 8, b)
        if width == 3:
            put_word(out + j * step + 16, c)
    return int64(n)


def unite(slots: Any, n: Any, severity: Any) -> Any:
    """Drop duplicates of n sorted slots in place, the worst value wins; the number left."""
    m = int64(0)
    for i in range(n):
        word0, word1 = get(slots + i * 16), get(slots + i * 16 + 8)
        if m > 0:
            at = slots + (m - 1) * 16
            before = get(at + 8)
            if get(at) == word0 and (before >> uint64(40)) == (word1 >> uint64(40)):
                value = _worse(before & uint64(VALUE_MASK), word1 & uint64(VALUE_MASK), severity)
                put_word(at + 8, (word1 >> uint64(40) << uint64(40)) | value)
                continue
        put_word(slots + m * 16, word0)
        put_word(slots + m * 16 + 8, word1)
        m += 1
    return m


def unite_numbers(records: Any, n: Any, severity: Any, out: Any) -> Any:
    """Make slots of n sorted number records: one document gives its value, several give MANY; the number of slots."""
    m = int64(0)
    document = uint64(0)
    for i in range(n):
        word0, word1 = get(records + i * 24), get(records + i * 24 + 8)
        now = get(records + i * 24 + 16)
        if m > 0:
            at = out + (m - 1) * 16
            before = get(at + 8)
            if get(at) == word0 and (before >> uint64(40)) == (word1 >> uint64(40)):
                left, right = before & uint64(VALUE_MASK), word1 & uint64(VALUE_MASK)
                if now == document and (left & uint64(CODE_MASK)) != uint64(MANY):
                    value = _worse(left, right, severity)
                else:
                    value = uint64(MANY) | ((left | right) & uint64(FLAGS_MASK))
                put_word(at + 8, (word1 >> uint64(40) << uint64(40)) | value)
                document = now
                continue
        put_word(out + m * 16, word0)
        put_word(out + m * 16 + 8, word1)
        document = now
        m += 1
    return m


def place(slots: Any, n: Any, count: Any, out: Any, base: Any, following: Any) -> Any:
    """Put n sorted slots at their homes or behind (out begins at slot `base`); the slot after the last one."""
    for i in range(n):
        word0 = get(slots + i * 16)
        j = max(_home(word0, uint64(count)), following)
        put_word(out + (j - base) * 16, word0)
        put_word(out + (j - base) * 16 + 8, get(slots + i * 16 + 8))
        following = j + 1
    return following


def squeeze(slots: Any, n: Any, out: Any) -> Any:
    """Copy the slots in use, in order; their number."""
    m = int64(0)
    for i in range(n):
        word1 = get(slots + i * 16 + 8)
        if word1 != uint64(0):
            put_word(out + m * 16, get(slots + i * 16))
            put_word(out + m * 16 + 8, word1)
            m += 1
    return m


def load_word(address: Any) -> Any:
    """Read one shared word with acquire order."""
    return int64(load(address))


def store_word(address: Any, value: Any) -> Any:
    """Write one shared word with release order."""
    store(address, uint64(value))
    return int64(0)


EXPORTED = (
    lookup,
    lookup_segment,
    redo,
    put,
    grow,
    first_bad_block,
    block_sums,
    pack,
    pack_all,
    pack_numbers,
    scatter,
    sort,
    unite,
    unite_numbers,
    place,
    squeeze,
    load_word,
    store_word,
)
