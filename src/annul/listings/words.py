"""Give the kernels what numba lacks: raw words of memory with an order, prefetch, and wide multiplication.

Only `native.py` imports this file, through the kernels, and only when no cache holds their machine code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import cfunc, types
from numba.core import cgutils
from numba.extending import intrinsic

_I8, _I16, _I32, _I64, _I128 = (ir.IntType(bits) for bits in (8, 16, 32, 64, 128))

Emit = Callable[[Any, Any], Any]


def instruction(result: Any, *taken: Any) -> Callable[[Emit], Any]:
    """Make a numba function of one that emits LLVM instructions: (builder, up to four arguments) -> result or None."""

    def decorate(emit: Emit) -> Any:
        def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            value = emit(builder, arguments)
            return context.get_dummy_value() if value is None else value

        kind = result(*taken)
        typed: tuple[Callable[..., Any], ...] = (
            lambda _typing: (kind, generate),
            lambda _typing, _first: (kind, generate),
            lambda _typing, _first, _second: (kind, generate),
            lambda _typing, _first, _second, _third: (kind, generate),
            lambda _typing, _first, _second, _third, _fourth: (kind, generate),
        )
        return intrinsic(typed[len(taken)])

    return decorate


def at(builder: Any, address: Any, kind: Any) -> Any:
    """Emit the pointer to a value of a kind at an address."""
    return builder.inttoptr(address, kind.as_pointer())


@instruction(types.uint64, types.int64)
def load(builder: Any, arguments: Any) -> Any:
    """Read a shared, aligned 64-bit word with acquire order."""
    return builder.load_atomic(at(builder, arguments[0], _I64), "acquire", 8)


@instruction(types.void, types.int64, types.uint64)
def store(builder: Any, arguments: Any) -> None:
    """Write a shared, aligned 64-bit word with release order: all that was written before is seen before."""
    builder.store_atomic(arguments[1], at(builder, arguments[0], _I64), "release", 8)


@instruction(types.uint64, types.int64)
def get(builder: Any, arguments: Any) -> Any:
    """Read a private 64-bit word, any alignment."""
    return builder.load(at(builder, arguments[0], _I64), align=1)


@instruction(types.void, types.int64, types.uint64)
def put_word(builder: Any, arguments: Any) -> None:
    """Write a private 64-bit word, any alignment."""
    builder.store(arguments[1], at(builder, arguments[0], _I64), align=1)


@instruction(types.uint64, types.int64)
def get_byte(builder: Any, arguments: Any) -> Any:
    """Read one byte."""
    return builder.zext(builder.load(at(builder, arguments[0], _I8)), _I64)


@instruction(types.void, types.int64, types.uint64)
def put_byte(builder: Any, arguments: Any) -> None:
    """Write one byte."""
    builder.store(builder.trunc(arguments[1], _I8), at(builder, arguments[0], _I8))


@instruction(types.uint64, types.int64)
def get_half(builder: Any, arguments: Any) -> Any:
    """Read 32 bits, any alignment."""
    return builder.zext(builder.load(at(builder, arguments[0], _I32), align=1), _I64)


@instruction(types.void, types.int64, types.uint64)
def put_half(builder: Any, arguments: Any) -> None:
    """Write the lower 32 bits, any alignment."""
    builder.store(builder.trunc(arguments[1], _I32), at(builder, arguments[0], _I32), align=1)


@instruction(types.void, types.int64, types.uint64)
def put_quarter(builder: Any, arguments: Any) -> None:
    """Write the lower 16 bits, any alignment."""
    builder.store(builder.trunc(arguments[1], _I16), at(builder, arguments[0], _I16), align=1)


@instruction(types.uint64, types.uint64)
def swapped(builder: Any, arguments: Any) -> Any:
    """Turn the order of a word's bytes round: big-endian is written so."""
    return builder.call(builder.module.declare_intrinsic("llvm.bswap", (_I64,)), [arguments[0]])


@instruction(types.void, types.int64, types.int64, types.int64)
def copy(builder: Any, arguments: Any) -> None:
    """Copy bytes: to, from, how many."""
    to, source, count = arguments
    copying: Any = cgutils.raw_memcpy
    copying(builder, at(builder, to, _I8), at(builder, source, _I8), count, 1)


@instruction(types.void)
def fence(builder: Any, _arguments: Any) -> None:
    """Keep what follows behind every read before."""
    builder.fence("acquire")


@instruction(types.void, types.int64)
def prefetch(builder: Any, arguments: Any) -> None:
    """Ask the processor to fetch a cache line soon."""
    pointer = _I8.as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [pointer, _I32, _I32, _I32])
    function = builder.module.declare_intrinsic("llvm.prefetch", (pointer,), kind)
    builder.call(function, [at(builder, arguments[0], _I8), _I32(0), _I32(3), _I32(1)])


@instruction(types.uint64, types.uint64, types.uint64)
def high(builder: Any, arguments: Any) -> Any:
    """Multiply two 64-bit words and keep the upper half of the product."""
    product = builder.mul(builder.zext(arguments[0], _I128), builder.zext(arguments[1], _I128))
    return builder.trunc(builder.lshr(product, _I128(64)), _I64)


def room(words: int) -> Any:
    """Return a numba function that gives the address of so many words on the stack, for as long as the kernel runs."""

    @instruction(types.int64)
    def reserved(builder: Any, _arguments: Any) -> Any:
        taken: Any = cgutils.alloca_once  # once a call, not once a turn of a loop; numba gives it no types
        return builder.ptrtoint(taken(builder, ir.ArrayType(_I64, words)), _I64)

    return reserved


def compiled(function: Callable[..., Any]) -> Any:
    """Compile a kernel: 64-bit integers in, one out."""
    arity = function.__code__.co_argcount
    return cfunc(types.int64(*([types.int64] * arity)), error_model="numpy")(function)
