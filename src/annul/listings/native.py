"""Load the kernels: compiled once by numba, afterwards plain machine code read from a cache file.

numba writes the kernels (see `kernels.py`) but takes about half a second to import, and a worker must answer within a
second of its start. So numba only translates: its LLVM code is turned into an object file, kept in a cache folder,
and every later start loads that object with llvmlite alone (a few milliseconds). A kernel takes and returns 64-bit
integers; addresses are integers too. Calls release the interpreter lock.

When no cache folder will do (see `annul.compiled`), the code stays in memory and is compiled at every start.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib
import importlib.util
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final

import llvmlite
import llvmlite.binding as llvm

from annul import compiled

Kernel = Callable[..., int]
"""A loaded kernel: integers (addresses, counts) in, one integer out."""

KERNELS: Final = "annul.listings.kernels"
BULK_KERNELS: Final = "annul.listings.bulk_kernels"
_WORDS: Final = "annul.listings.words"
_ALLOWED_EXTERNALS = ("llvm.", "memset", "memcpy", "memmove")


class Kernels:
    """Hold the loaded kernels of one source module as attributes."""

    def __init__(self, engine: Any, names: dict[str, tuple[str, int]]) -> None:
        self._engine = engine  # owns the machine code: must live as long as the functions
        self._names = names
        for name in names:
            setattr(self, name, self.taking_bytes(name))

    def taking_bytes(self, name: str, *places: int) -> Kernel:
        """Return a kernel that takes a bytes object for its address at these places of its arguments."""
        return self._bound(ctypes.CFUNCTYPE, name, places)

    def at_once(self, name: str, *places: int) -> Kernel:
        """Return a kernel that keeps the interpreter lock: of a few microseconds, less than a change of threads costs.

        It takes a bytes object for its address at these places of its arguments.
        """
        return self._bound(ctypes.PYFUNCTYPE, name, places)

    def _bound(self, binding: Any, name: str, places: tuple[int, ...]) -> Kernel:
        symbol, arity = self._names[name]
        kinds = [ctypes.c_char_p if place in places else ctypes.c_int64 for place in range(arity)]
        kernel: Kernel = binding(ctypes.c_int64, *kinds)(self._engine.get_function_address(symbol))
        return kernel

    def __getattr__(self, name: str) -> Kernel:
        raise AttributeError(f"no kernel is called {name}")


@cache
def load(module: str = KERNELS, *built_on: str) -> Kernels:
    """Load the kernels of a source module, compiling them when no cache has them.

    Args:
        module: `KERNELS` (table and segments), `BULK_KERNELS` (reading and making lists), or one of another room.
        built_on: further modules of ours that its code is made of, beside `words`.
    """
    sources = [_source(name) for name in (_WORDS, *built_on, module)]
    machine = _machine()
    about = [llvmlite.__version__, machine.triple, _cpu(), _features()]
    tag = hashlib.sha256(b"\0".join([*sources, *(text.encode() for text in about)])).hexdigest()[:32]
    name = f"annul-{module.rpartition('.')[2]}-{tag}.o"
    stored = compiled.read(name)
    if stored is None:
        stored = _compile(module, machine)
        compiled.keep(name, stored)
    return _link(stored, machine)


def warm() -> None:
    """Compile whatever no cache has yet, so that the first start is as quick as any other."""
    for module in (KERNELS, BULK_KERNELS):
        load(module)


def has_sha256() -> bool:
    """Tell whether this processor has the instructions that kernels hash with (`annul.listings.sha256`)."""
    features = llvm.get_host_cpu_features()
    return bool(features.get("sha")) and bool(features.get("ssse3"))


def _source(module: str) -> bytes:
    """Read the text of a module without running it: what it imports takes half a second."""
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None:
        raise RuntimeError(f"there is no module {module}")
    return Path(found.origin).read_bytes()


def _cpu() -> str:
    return str(llvm.get_host_cpu_name())


def _features() -> str:
    return str(llvm.get_host_cpu_features().flatten())


def _machine() -> Any:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(cpu=_cpu(), features=_features(), opt=3, jit=True)


def _compile(module: str, machine: Any) -> bytes:
    """Translate with numba: a first line of names, a zero byte, the object file."""
    translated = importlib.import_module(_WORDS).compiled
    functions: tuple[Any, ...] = importlib.import_module(module).EXPORTED
    whole = llvm.parse_assembly("")
    whole.triple = machine.triple
    whole.data_layout = str(machine.target_data)
    index: list[str] = []
    for function in functions:
        name, arity = function.__name__, function.__code__.co_argcount
        kernel = translated(function)
        inner = kernel.native_name.removeprefix("cfunc.")
        whole.link_in(llvm.parse_assembly(kernel.inspect_llvm()))
        whole.link_in(llvm.parse_assembly(_entry(name, inner, arity)))
        index.append(f"{name}:annul_{name}:{arity}")
    for function in whole.functions:
        if not function.is_declaration and not function.name.startswith("annul_"):
            function.linkage = "internal"
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=3))
    builder.getModulePassManager().run(whole, builder)
    for function in whole.functions:
        if function.is_declaration and not function.name.startswith(_ALLOWED_EXTERNALS):
            raise RuntimeError(f"the kernels need {function.name}, which a bare object file cannot have")
    return " ".join(index).encode() + b"\0" + bytes(machine.emit_object(whole))


def _entry(name: str, inner: str, arity: int) -> str:
    """Write the C entry of a kernel: numba's own function returns through a pointer and a status that is always 0."""
    taken = ", ".join(f"i64 %a{i}" for i in range(arity))
    given = "".join(f", i64 %a{i}" for i in range(arity))
    kinds = ", i64" * arity
    return f"""
declare i32 @"{inner}"(ptr, ptr{kinds})
define i64 @annul_{name}({taken}) {{
  %result = alloca i64
  %status = call i32 @"{inner}"(ptr %result, ptr null{given})
  %value = load i64, ptr %result
  ret i64 %value
}}
"""


def _link(stored: bytes, machine: Any) -> Kernels:
    head, _, code = stored.partition(b"\0")
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    names = {}
    for item in head.decode().split(" "):
        name, symbol, arity = item.rsplit(":", 2)
        names[name] = (symbol, int(arity))
    return Kernels(engine, names)
