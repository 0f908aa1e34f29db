"""Give the kernels SHA-256 by the processor's own instructions: a commitment in some 75 ns, where a call of hashlib takes 335.

LLVM knows the instructions as intrinsics like any other, so a numba kernel can emit them; they become machine code, no symbol
that an object file would have to look for. Only for processors that have them: `native.has_sha256` tells.

A state is 32 bytes of memory in the order that the instructions want: words f, e, b, a and then h, g, d, c.
Source: FIPS 180-4; Intel, "Intel SHA Extensions" (2013).
"""

from __future__ import annotations

import struct
from typing import Any

from llvmlite import ir
from numba import int64, njit, types, uint64

from annul.listings.words import at, instruction, put_byte, put_word, room, swapped

BLOCK_BYTES = 64
_I8, _I32, _I64 = (ir.IntType(bits) for bits in (8, 32, 64))
_FOUR, _BYTES = ir.VectorType(_I32, 4), ir.VectorType(_I8, 16)
_ROUNDS = struct.unpack(
    ">64I",
    bytes.fromhex(
        "428a2f98 71374491 b5c0fbcf e9b5dba5 3956c25b 59f111f1 923f82a4 ab1c5ed5 d807aa98 12835b01 243185be 550c7dc3 "
        "72be5d74 80deb1fe 9bdc06a7 c19bf174 e49b69c1 efbe4786 0fc19dc6 240ca1cc 2de92c6f 4a7484aa 5cb0a9dc 76f988da "
        "983e5152 a831c66d b00327c8 bf597fc7 c6e00bf3 d5a79147 06ca6351 14292967 27b70a85 2e1b2138 4d2c6dfc 53380d13 "
        "650a7354 766a0abb 81c2c92e 92722c85 a2bfe8a1 a81a664b c24b8b70 c76c51a3 d192e819 d6990624 f40e3585 106aa070 "
        "19a4c116 1e376c08 2748774c 34b0bcb5 391c0cb3 4ed8aa4a 5b9cca4f 682e6ff3 748f82ee 78a5636f 84c87814 8cc70208 "
        "90befffa a4506ceb bef9a3f7 c67178f2 "
    ),
)
_BEGIN = (0x9B05688C, 0x510E527F, 0xBB67AE85, 0x6A09E667), (0x5BE0CD19, 0x1F83D9AB, 0xA54FF53A, 0x3C6EF372)
_BIG_ENDIAN = [3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12]


def _words(*values: int) -> Any:
    return ir.Constant(ir.VectorType(_I32, len(values)), list(values))


def _turned(builder: Any, value: Any) -> Any:
    """Emit four 32-bit words with their bytes in the other order; takes and gives 16 bytes."""
    return builder.shuffle_vector(value, value, ir.Constant(ir.VectorType(_I32, 16), _BIG_ENDIAN))


def _vector(builder: Any, address: Any, offset: int, kind: Any) -> Any:
    return at(builder, builder.add(address, _I64(offset)), kind)


@instruction(types.void, types.int64)
def _begin(builder: Any, arguments: Any) -> None:
    """Write the first state."""
    for half, values in enumerate(_BEGIN):
        builder.store(_words(*values), _vector(builder, arguments[0], 16 * half, _FOUR), align=1)


@instruction(types.void, types.int64, types.int64)
def _end(builder: Any, arguments: Any) -> None:
    """Write the 32 bytes of the hash that a state is: to where, state."""
    out, state = arguments
    low, high = (builder.load(_vector(builder, state, place, _FOUR), align=1) for place in (0, 16))
    for place, lanes in ((0, (3, 2, 7, 6)), (16, (1, 0, 5, 4))):
        four = builder.bitcast(builder.shuffle_vector(low, high, _words(*lanes)), _BYTES)
        builder.store(_turned(builder, four), _vector(builder, out, place, _BYTES), align=1)


def _compressing(streams: int) -> Any:
    """Make the step over one block of each of so many messages: (state, block) of each. Two hide what one waits for itself."""

    def emit(builder: Any, arguments: Any) -> None:
        def intrinsic(name: str, *taken: Any) -> Any:
            return builder.module.declare_intrinsic(f"llvm.x86.sha256{name}", (), ir.FunctionType(_FOUR, list(taken)))

        rounds, first, second = (
            intrinsic("rnds2", _FOUR, _FOUR, _FOUR),
            intrinsic("msg1", _FOUR, _FOUR),
            intrinsic("msg2", _FOUR, _FOUR),
        )
        states, blocks = arguments[::2], arguments[1::2]
        before = [[builder.load(_vector(builder, state, place, _FOUR), align=1) for place in (0, 16)] for state in states]
        now = [list(state) for state in before]
        schedule: list[list[Any]] = [[] for _ in range(streams)]
        for turn in range(16):
            for stream, words in enumerate(schedule):
                if turn < 4:
                    raw = builder.load(_vector(builder, blocks[stream], 16 * turn, _BYTES), align=1)
                    words.append(builder.bitcast(_turned(builder, raw), _FOUR))
                else:
                    seven = builder.shuffle_vector(words[turn - 2], words[turn - 1], _words(1, 2, 3, 4))
                    more = builder.add(builder.call(first, [words[turn - 4], words[turn - 3]]), seven)
                    words.append(builder.call(second, [more, words[turn - 1]]))
                added = builder.add(words[turn], _words(*_ROUNDS[4 * turn : 4 * turn + 4]))
                upper = builder.shuffle_vector(added, added, _words(2, 3, 0, 0))
                state = now[stream]
                state[1] = builder.call(rounds, [state[1], state[0], added])
                state[0] = builder.call(rounds, [state[0], state[1], upper])
        for state, values, earlier in zip(states, now, before, strict=True):
            for place, value, was in zip((0, 16), values, earlier, strict=True):
                builder.store(builder.add(value, was), _vector(builder, state, place, _FOUR), align=1)

    return instruction(types.void, *([types.int64] * (2 * streams)))(emit)


_step, _step_two = _compressing(1), _compressing(2)
_one_state, _two_states = room(4), room(8)


@njit
def pad(message: Any, count: Any) -> Any:
    """Pad a message of so many bytes where it lies (room for 72 more is behind it); the number of its blocks."""
    blocks = (count + 8) // BLOCK_BYTES + 1
    end = message + blocks * BLOCK_BYTES - 8
    put_byte(message + count, uint64(0x80))
    zero = message + count + 1
    while zero < end:
        put_word(zero, uint64(0))
        zero += 8
    put_word(end, swapped(uint64(count * 8)))
    return blocks


@njit
def hash_one(message: Any, blocks: Any, out: Any) -> None:
    """Write SHA-256 of a padded message of so many blocks."""
    state = _one_state()
    _begin(state)
    for block in range(blocks):
        _step(state, message + block * BLOCK_BYTES)
    _end(out, state)


@njit
def hash_two(message: Any, out: Any, other: Any, other_out: Any, blocks: Any) -> None:
    """Write SHA-256 of two padded messages of as many blocks each, in little more time than of one."""
    state = _two_states()
    _begin(state)
    _begin(state + int64(32))
    for block in range(blocks):
        _step_two(state, message + block * BLOCK_BYTES, state + int64(32), other + block * BLOCK_BYTES)
    _end(out, state)
    _end(other_out, state + int64(32))
