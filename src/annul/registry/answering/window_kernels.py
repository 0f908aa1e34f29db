"""Answer a whole window in machine code: which ready answer each question gets, the record, the tree, the bodies.

What codes mean is written nowhere here: leaves and JSON are put together from what `answers.Manner.tell` made. The
specification is `windows.Answerer`; a property test holds both to the same bytes. Only `native` imports this file.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import int64, njit, uint64

from annul.listings.sha256 import hash_one, hash_two, pad
from annul.listings.words import copy, get, get_byte, get_half, put_byte, put_half, put_quarter, put_word, room, swapped
from annul.registry.answering import frame as f

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_DIGITS = b"0123456789abcdef"
_SIX_BITS = np.array([_ALPHABET[i >> 6] | _ALPHABET[i & 63] << 8 for i in range(4096)], np.uint16)
"""Two characters of base64 for every 12 bits."""
_HEX = np.array([_DIGITS[i >> 4] | _DIGITS[i & 15] << 8 for i in range(256)], np.uint16)
_DOCUMENT = b"annul document v1\0".ljust(24, b"\0")
_CONTEXT = b"annul context v1\0".ljust(24, b"\0")
_D0, _D1, _D2 = (int.from_bytes(_DOCUMENT[i : i + 8], "little") for i in (0, 8, 16))
_C0, _C1, _C2 = (int.from_bytes(_CONTEXT[i : i + 8], "little") for i in (0, 8, 16))
_DOCUMENT_BYTES, _CONTEXT_BYTES = 18, 17
_SALT_BYTES = 16
_PATH_BYTES_MAX = 1024
_LEAF_MESSAGE, _NODE_MESSAGE = 1 + f.LEAF, 65
_FULL, _NUMBER_ONLY = 1, 2

_path_room = room(_PATH_BYTES_MAX // 8)


@njit(inline="always")
def _word(frame: Any, place: Any) -> Any:
    return int64(get(frame + place * 8))


@njit(inline="always")
def _mix(x: Any) -> Any:
    x = (x ^ (x >> uint64(30))) * uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> uint64(27))) * uint64(0x94D049BB133111EB)
    return x ^ (x >> uint64(31))


@njit(inline="always")
def _put_big(at: Any, value: Any) -> Any:
    put_word(at, swapped(uint64(value)))


@njit(inline="always")
def _put_big_half(at: Any, value: Any) -> Any:
    put_half(at, swapped(uint64(value)) >> uint64(32))


# -- decide ------------------------------------------------------------------------------------------------------------------


@njit(inline="always")
def _fact(row: Any, values: Any, fresh: Any) -> Any:
    """Return the four words that decide what is told: value | number | last day, naming, kind | manner, freshness, codes."""
    question, slot = int64(get(row + f.ROW_QUESTION)), int64(get(row + f.ROW_SLOT))
    naming = int64(get_byte(question + f.NAMING_AT))
    value = number = uint64(0)
    if naming == _NUMBER_ONLY:
        number = get(values + slot * 8)
    elif get_byte(question + f.BLOCKS_AT) != uint64(0):
        value = get(values + slot * 8)
        if naming == _FULL:
            number = get(values + slot * 8 + 8)
    manner = get_half(question)
    third = get_half(question + f.UNTIL_AT) << uint64(32) | get_half(question + f.KIND_AT)
    fourth = (
        get_byte(question + f.BINDING_AT) << uint64(56)
        | get_byte(question + f.IDENTITY_AT) << uint64(48)
        | get_byte(question + f.SCHEME_AT) << uint64(40)
        | get_byte(fresh + int64(manner)) << uint64(36)
        | uint64(naming) << uint64(32)
        | manner
    )
    return value, number, third, fourth


@njit(inline="always")
def _slot_of(memo: Any, mask: Any, generation: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    """Return the slot of a fact, or the empty one where it belongs: what is of another generation is empty."""
    j = int64(_mix(a ^ _mix(b ^ _mix(c ^ _mix(d)))) & uint64(mask))
    while True:
        slot = memo + j * f.MEMO_BYTES
        if get(slot + 32) >> uint64(32) != uint64(generation):
            return slot
        if get(slot) == a and get(slot + 8) == b and get(slot + 16) == c and get(slot + 24) == d:
            return slot
        j = (j + 1) & mask


def decide(frame: Any, question: Any) -> Any:
    """Give each question its slot and the number of its ready answer; returns how many only Python can tell (`MISSING`).

    question: the packed questions, which stay where they are until the record is made.
    """
    values, fresh, rows = _word(frame, f.VALUES), _word(frame, f.FRESH), _word(frame, f.ROWS)
    memo, mask, generation = _word(frame, f.MEMO), _word(frame, f.MEMO_MASK), _word(frame, f.GENERATION)
    missing = _word(frame, f.MISSING)
    live, test, lost = int64(0), _word(frame, f.TEST_SLOT), int64(0)
    for i in range(_word(frame, f.COUNT)):
        row = rows + i * f.ROW_BYTES
        blocks = int64(get_byte(question + f.BLOCKS_AT))
        put_word(row + f.ROW_QUESTION, uint64(question))
        if get_byte(question + f.TEST_AT) != uint64(0):
            put_word(row + f.ROW_SLOT, uint64(test))
            test += blocks
        else:
            put_word(row + f.ROW_SLOT, uint64(live))
            live += blocks
        a, b, c, d = _fact(row, values, fresh)
        slot = _slot_of(memo, mask, generation, a, b, c, d)
        found = get(slot + 32)
        if found >> uint64(32) != uint64(generation):
            put_word(missing + lost * 8, uint64(i))
            lost += 1
        put_word(row + f.ROW_TOLD, found & uint64(0xFFFFFFFF))
        question += f.HEAD_BYTES + int64(
            get_half(question + f.IDENTITY_BYTES_AT)
            + get_half(question + f.CONTEXT_BYTES_AT)
            + get_half(question + f.HOLDER_BYTES_AT)
        )
    return lost


def remember(frame: Any) -> Any:
    """Remember what is told of the fact of question `PLACE`: ready answer `TOLD`. 1 when it was not known before."""
    row = _word(frame, f.ROWS) + _word(frame, f.PLACE) * f.ROW_BYTES
    a, b, c, d = _fact(row, _word(frame, f.VALUES), _word(frame, f.FRESH))
    generation = _word(frame, f.GENERATION)
    slot = _slot_of(_word(frame, f.MEMO), _word(frame, f.MEMO_MASK), generation, a, b, c, d)
    new = int64(get(slot + 32) >> uint64(32) != uint64(generation))
    put_word(slot, a)
    put_word(slot + 8, b)
    put_word(slot + 16, c)
    put_word(slot + 24, d)
    put_word(slot + 32, uint64(generation) << uint64(32) | uint64(_word(frame, f.TOLD)))
    return new


# -- seal --------------------------------------------------------------------------------------------------------------------


@njit(inline="always")
def _commit(question: Any, salt: Any, leaf: Any, one: Any, two: Any) -> Any:
    """Write the two commitments of a leaf: of the document, of the context with the holder's name."""
    identity = int64(get_half(question + f.IDENTITY_BYTES_AT))
    context = int64(get_half(question + f.CONTEXT_BYTES_AT) + get_half(question + f.HOLDER_BYTES_AT))
    put_word(one, uint64(_D0))
    put_word(one + 8, uint64(_D1))
    put_word(one + 16, uint64(_D2))
    copy(one + _DOCUMENT_BYTES, salt, int64(_SALT_BYTES))
    copy(one + _DOCUMENT_BYTES + _SALT_BYTES, question + f.HEAD_BYTES, identity)
    put_word(two, uint64(_C0))
    put_word(two + 8, uint64(_C1))
    put_word(two + 16, uint64(_C2))
    copy(two + _CONTEXT_BYTES, salt, int64(_SALT_BYTES))
    copy(two + _CONTEXT_BYTES + _SALT_BYTES, question + f.HEAD_BYTES + identity, context)
    blocks = pad(one, _DOCUMENT_BYTES + _SALT_BYTES + identity)
    others = pad(two, _CONTEXT_BYTES + _SALT_BYTES + context)
    if blocks == others:
        hash_two(one, leaf + 64, two, leaf + 96, blocks)
    else:
        hash_one(one, blocks, leaf + 64)
        hash_one(two, others, leaf + 96)


@njit(inline="always")
def _private(at: Any, question: Any, keys: Any, salt: Any, epoch: Any, status: Any) -> Any:
    """Write a private record; where it ends."""
    for place in range(4):
        put_word(at + place * 8, uint64(0))
    if int64(get_byte(question + f.NAMING_AT)) == _NUMBER_ONLY:
        copy(at + 16, keys, int64(16))
    else:
        copy(at, keys, int64(get_byte(question + f.BLOCKS_AT)) * 16)
    copy(at + 32, salt, int64(_SALT_BYTES))
    put_byte(at + 48, epoch >> uint64(8))
    put_byte(at + 49, epoch)
    put_byte(at + 50, status)
    put_byte(at + 51, uint64(0))
    context = int64(get_half(question + f.CONTEXT_BYTES_AT))
    copy(at + f.PRIVATE, question + f.HEAD_BYTES + int64(get_half(question + f.IDENTITY_BYTES_AT)), context)
    return at + f.PRIVATE + context


@njit
def _tree(leaves: Any, count: Any, hashes: Any, one: Any, two: Any) -> Any:
    """Write the hashes of the leaves and of every level above, each level behind the other; where the root is."""
    for message in (one, two):
        put_byte(message, uint64(0))
        pad(message, int64(_LEAF_MESSAGE))
    i = int64(0)
    while i + 1 < count:
        copy(one + 1, leaves + i * f.LEAF, int64(f.LEAF))
        copy(two + 1, leaves + i * f.LEAF + f.LEAF, int64(f.LEAF))
        hash_two(one, hashes + i * 32, two, hashes + i * 32 + 32, int64(3))
        i += 2
    if i < count:
        copy(one + 1, leaves + i * f.LEAF, int64(f.LEAF))
        hash_one(one, int64(3), hashes + i * 32)
    for message in (one, two):
        put_byte(message, uint64(1))
        pad(message, int64(_NODE_MESSAGE))
    size, level = count, hashes
    while size > 1:
        above, half = level + size * 32, size >> 1
        i = int64(0)
        while i + 1 < half:
            copy(one + 1, level + i * 64, int64(64))
            copy(two + 1, level + i * 64 + 64, int64(64))
            hash_two(one, above + i * 32, two, above + i * 32 + 32, int64(2))
            i += 2
        if i < half:
            copy(one + 1, level + i * 64, int64(64))
            hash_one(one, int64(2), above + i * 32)
        if size & 1:
            copy(above + half * 32, level + size * 32 - 32, int64(32))
        level = above
        size = (size + 1) >> 1
    return level


@njit
def _tally(rows: Any, count: Any, tolds: Any, used: Any) -> Any:
    """Count the answers by what was told; the number of different ones."""
    different = int64(0)
    for i in range(count):
        at = tolds + int64(get(rows + i * f.ROW_BYTES + f.ROW_TOLD)) * f.TOLD_BYTES + f.TOLD_COUNT
        before = get(at)
        if before == uint64(0):
            put_word(used + different * 16, get(rows + i * f.ROW_BYTES + f.ROW_TOLD))
            different += 1
        put_word(at, before + uint64(1))
    for i in range(different):
        at = tolds + int64(get(used + i * 16)) * f.TOLD_BYTES + f.TOLD_COUNT
        put_word(used + i * 16 + 8, get(at))
        put_word(at, uint64(0))
    return different


def tally(frame: Any) -> Any:
    """Count the answers of a window by what was told (`USED`); the number of different ones."""
    return _tally(_word(frame, f.ROWS), _word(frame, f.COUNT), _word(frame, f.TOLDS), _word(frame, f.USED))


def seal(frame: Any, keys: Any, salts: Any, previous: Any) -> Any:
    """Write leaves, private records and statement into the record, and the tree; the bytes of it without the checksum.

    The place of the signature is left as it is. previous: 32 bytes, hash of the statement before.
    """
    count, record, rows = _word(frame, f.COUNT), _word(frame, f.RECORD), _word(frame, f.ROWS)
    tolds = _word(frame, f.TOLDS)
    one = _word(frame, f.ROOM)
    two = one + _word(frame, f.ROOM_HALF)
    leaves = record + f.LEAVES_AT
    privates = leaves + count * f.LEAF + 4
    at = privates
    for i in range(count):
        row, leaf, salt = rows + i * f.ROW_BYTES, leaves + i * f.LEAF, salts + i * _SALT_BYTES
        question = int64(get(row + f.ROW_QUESTION))
        told = tolds + int64(get(row + f.ROW_TOLD)) * f.TOLD_BYTES
        test = get_byte(question + f.TEST_AT)
        put_byte(leaf, uint64(1))
        put_byte(leaf + 1, test)
        _put_big(leaf + 2, _word(frame, f.CHECKED_AT))
        _put_big(leaf + 10, _word(frame, f.POSITION))
        _put_big(leaf + 18, _word(frame, f.AS_OF))
        copy(leaf + 26, told, int64(f.MIDDLE_BYTES))
        _commit(question, salt, leaf, one, two)
        epoch = get(frame + (f.EPOCH_LIVE + int64(test)) * 8)
        key = keys + int64(get(row + f.ROW_SLOT)) * 16
        at = _private(at, question, key, salt, epoch, get(told + f.TOLD_STATUS))
    root = _tree(leaves, count, _word(frame, f.HASHES), one, two)
    statement = record + f.STATEMENT_AT
    put_byte(statement - 1, uint64(1))
    put_byte(statement, uint64(1))
    worker = get(frame + f.WORKER * 8)
    put_byte(statement + 1, worker >> uint64(8))
    put_byte(statement + 2, worker)
    _put_big(statement + 3, _word(frame, f.WINDOW))
    _put_big_half(statement + 11, count)
    _put_big(statement + 15, _word(frame, f.CHECKED_AT))
    copy(statement + 23, previous, int64(32))
    copy(statement + 55, root, int64(32))
    _put_big_half(privates - 4, at - privates)
    _put_big_half(record, at - record)
    return at - record


# -- bodies ------------------------------------------------------------------------------------------------------------------


@njit
def _base64(out: Any, at: Any, count: Any) -> Any:
    """Write base64 of so many bytes (eight readable ones are behind them); where it ends."""
    i = int64(0)
    while i + 6 <= count:
        v = swapped(get(at + i))
        put_word(
            out,
            uint64(_SIX_BITS[int64(v >> uint64(52))])
            | uint64(_SIX_BITS[int64((v >> uint64(40)) & uint64(4095))]) << uint64(16)
            | uint64(_SIX_BITS[int64((v >> uint64(28)) & uint64(4095))]) << uint64(32)
            | uint64(_SIX_BITS[int64((v >> uint64(16)) & uint64(4095))]) << uint64(48),
        )
        i += 6
        out += 8
    while i < count:
        left = count - i
        v = get_byte(at + i) << uint64(16)
        if left > 1:
            v |= get_byte(at + i + 1) << uint64(8)
        if left > 2:
            v |= get_byte(at + i + 2)
        put_quarter(out, uint64(_SIX_BITS[int64(v >> uint64(12))]))
        put_quarter(out + 2, uint64(_SIX_BITS[int64(v & uint64(4095))]))
        if left < 3:
            put_byte(out + 3, uint64(61))
        if left < 2:
            put_byte(out + 2, uint64(61))
        i += 3
        out += 4
    return out


@njit
def _hexadecimal(out: Any, at: Any, count: Any) -> Any:
    for i in range(count):
        put_quarter(out + 2 * i, uint64(_HEX[int64(get_byte(at + i))]))
    return out + 2 * count


@njit
def _decimal(out: Any, value: Any) -> Any:
    digits, rest = int64(1), value
    while rest >= 10:
        rest //= 10
        digits += 1
    rest = value
    for i in range(digits - 1, -1, -1):
        put_byte(out + i, uint64(48 + rest % 10))
        rest //= 10
    return out + digits


@njit(inline="always")
def _text(out: Any, text: Any, count: Any) -> Any:
    copy(out, text, count)
    return out + count


@njit
def _path(hashes: Any, index: Any, count: Any, out: Any) -> Any:
    """Write the siblings of a leaf upwards (a last node without one rises unchanged); where they end."""
    size, level, at = count, hashes, index
    while size > 1:
        sibling = at ^ 1
        if sibling < size:
            copy(out, level + sibling * 32, int64(32))
            out += 32
        level += size * 32
        at >>= 1
        size = (size + 1) >> 1
    return out


def bodies(frame: Any, stood: Any, salts: Any) -> Any:
    """Write the JSON of every answer, one behind the other, and where each ends (`ENDS`); the bytes of all.

    stood: six texts, one behind the other; their lengths are in the frame.
    """
    count, rows, tolds = _word(frame, f.COUNT), _word(frame, f.ROWS), _word(frame, f.TOLDS)
    leaves, hashes = _word(frame, f.RECORD) + f.LEAVES_AT, _word(frame, f.HASHES)
    begin, ends = _word(frame, f.OUT), _word(frame, f.ENDS)
    n1, n2, n3 = _word(frame, f.TEXT_1), _word(frame, f.TEXT_2), _word(frame, f.TEXT_3)
    n4, n5, n6 = _word(frame, f.TEXT_4), _word(frame, f.TEXT_5), _word(frame, f.TEXT_6)
    before_leaf = stood + n1
    before_index = before_leaf + n2
    before_path = before_index + n3
    before_opening = before_path + n4
    last = before_opening + n5
    path = _path_room()
    out = begin
    for i in range(count):
        told = tolds + int64(get(rows + i * f.ROW_BYTES + f.ROW_TOLD)) * f.TOLD_BYTES
        out = _text(out, _word(told, f.TOLD_HEAD // 8), _word(told, f.TOLD_HEAD_BYTES // 8))
        out = _text(out, stood, n1)
        out = _text(out, _word(told, f.TOLD_TAIL // 8), _word(told, f.TOLD_TAIL_BYTES // 8))
        out = _hexadecimal(out, hashes + i * 32, int64(16))
        out = _text(out, before_leaf, n2)
        out = _base64(out, leaves + i * f.LEAF, int64(f.LEAF))
        out = _text(out, before_index, n3)
        out = _decimal(out, int64(i))
        out = _text(out, before_path, n4)
        out = _base64(out, path, _path(hashes, int64(i), count, path) - path)
        out = _text(out, before_opening, n5)
        out = _hexadecimal(out, salts + i * _SALT_BYTES, int64(_SALT_BYTES))
        out = _text(out, last, n6)
        put_word(ends + i * 8, uint64(out - begin))
    return out - begin


EXPORTED = (decide, remember, seal, tally, bodies)
