"""Read a foreign list in a process of its own: it has limits of memory and time, gives way to checks, and can be stopped.

    reader = read_apart(Source(str(path), "russian", pack(State.revoked)), UPLOADED, stopped=lambda: marker.exists())
    stage(reader …)

What unpacks can be made to unpack to anything: 785 bytes of bzip2 are a thousand million lines, 134 kB of Parquet four million
rows. So there are limits on what comes out for each byte that goes in, on lines, on memory and on seconds; each is a refusal in
words. The process that answers checks only takes blocks of 16 bytes from a pipe.
"""

from __future__ import annotations

import contextlib
import os
import resource
import selectors
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Final, Literal, NamedTuple

import msgspec
import numpy as np

from annul.errors import AnnulError, BadInput, Conflict, TimedOut, TooLarge
from annul.listings.bulk import Chunk, Part, Reader
from annul.listings.interchange import BOMB, RATIO_MAX, SLACK_BYTES, interchange_list
from annul.listings.packing import packing_of
from annul.listings.russian_list import russian_list
from annul.listings.values import WHOLE_LIFE

LOOK_S: Final = 0.25
"""Pause between two looks whether the reading is to stop."""
FRAME_BYTES_MAX: Final = 1 << 30

_length: Final = struct.Struct("<I")


class Limits(NamedTuple):
    """Bound the reading of one list.

    Attributes:
        memory_bytes: memory the reading process may use.
        lines: lines or rows.
        seconds: processor time, and four times that by the clock.
    """

    memory_bytes: int
    lines: int
    seconds: int


UPLOADED: Final = Limits(512 << 20, 20_000_000, 300)
"""Of lists that come through a browser."""
BROUGHT: Final = Limits(2 << 30, 2_000_000_000, 24 * 3600)
"""Of lists that the operator brings in on the machine."""


class Source(msgspec.Struct, frozen=True):
    """Say what is read and how.

    Args:
        path: the file.
        format: as in `annul.registry.writing.bulk`.
        value: of every document of a russian list.
        whole: coverage names whose issuers provide whole lives, of an interchange list.
        leave_out: columns that an interchange list may have and that are passed over.
    """

    path: str
    format: Literal["russian", "interchange"]
    value: int = 0
    whole: tuple[str, ...] = ()
    leave_out: tuple[str, ...] = ()

    def reader(self) -> Reader:
        """Return the reader that reads it in this process."""
        path = Path(self.path)
        if self.format == "russian":
            return russian_list(path, self.value)
        whole = frozenset(self.whole)
        return interchange_list(path, lambda name: WHOLE_LIFE if name in whole else 0, leave_out=frozenset(self.leave_out))


class _Part(msgspec.Struct, array_like=True):
    blocks: bytes
    values: bytes | int
    number_blocks: bytes


class _Frame(msgspec.Struct, array_like=True):
    """A chunk, or the error that ended the reading (`code` is not empty)."""

    parts: list[_Part] = []
    place: int = 0
    lines: int = 0
    bytes_done: int = 0
    bad: list[tuple[str, int]] = []
    passed_over: int = 0
    code: str = ""
    message: str = ""
    where: str = ""
    mend: str = ""


class _Wanted(msgspec.Struct):
    source: Source
    limits: Limits
    place: int
    lines: int


def read_apart(source: Source, limits: Limits, stopped: Callable[[], bool] | None = None) -> Reader:
    """Return a reader of a list that reads it in a process of its own.

    Args:
        stopped: asked several times a second whether the reading is to end.

    Raises:
        BadInput: the list is not of its form. TooLarge, TimedOut: it passes a limit. Conflict: it was stopped.
    """

    def read(place: int, lines: int) -> Iterator[Chunk]:
        wanted = msgspec.json.encode(_Wanted(source, limits, place, lines)).decode()
        environment = os.environ | {"ARROW_DEFAULT_MEMORY_POOL": "system", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "annul.listings.apart", wanted]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=environment) as process:
            assert process.stdout is not None
            try:
                yield from _chunks(process, process.stdout, limits, stopped)
            finally:
                process.kill()

    return read


def _chunks(
    process: subprocess.Popen[bytes], pipe: IO[bytes], limits: Limits, stopped: Callable[[], bool] | None
) -> Iterator[Chunk]:
    deadline = time.monotonic() + 4 * limits.seconds

    def take(count: int) -> bytes:
        """Return so many bytes, fewer at the end."""
        raw = bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_READ)
            while len(raw) < count:
                if stopped is not None and stopped():
                    raise Conflict("The reading of the list was stopped.")
                if time.monotonic() > deadline:
                    raise _too_slow()
                if selector.select(LOOK_S):
                    more = os.read(pipe.fileno(), count - len(raw))
                    if not more:
                        break
                    raw += more
        return bytes(raw)

    while True:
        head = take(_length.size)
        body = take(_length.unpack(head)[0]) if len(head) == _length.size else b""
        if not body:
            code = process.wait()
            if code:
                raise _too_slow() if -code in (24, 9) else _too_much()  # SIGXCPU, and SIGKILL some seconds later
            return
        frame = msgspec.msgpack.decode(body, type=_Frame)
        if frame.code:
            kind = TooLarge if frame.code == TooLarge.code else BadInput
            raise kind(frame.message, where=frame.where or None, mend=frame.mend or None)
        parts = tuple(
            Part(p.blocks, p.values if isinstance(p.values, int) else np.frombuffer(p.values, np.uint64), p.number_blocks)
            for p in frame.parts
        )
        yield Chunk(parts, frame.place, frame.lines, frame.bytes_done, tuple(frame.bad), frame.passed_over)


def _too_slow() -> TimedOut:
    return TimedOut("The list takes longer to read than a list may.", mend="Split it, or bring it in as plain CSV.")


def _too_much() -> TooLarge:
    return TooLarge("The list takes more memory to read than a list may.", mend="Split it, or bring it in as plain CSV.")


# -- the process that reads --------------------------------------------------------------------------------------------------


def require_ratio(out_bytes: int, in_bytes: int, where: str) -> None:
    """Refuse what unpacks to far more than it is.

    Raises:
        TooLarge: more than RATIO_MAX bytes came out for each that went in.
    """
    if out_bytes > SLACK_BYTES + RATIO_MAX * in_bytes:
        raise TooLarge(BOMB, where=where, mend="Send it less packed, or as plain CSV.")


def _held(chunks: Iterator[Chunk], source: Source, limits: Limits) -> Iterator[Chunk]:
    path = Path(source.path)
    packed = packing_of(path)
    for chunk in chunks:
        if packed:
            require_ratio(chunk.place, chunk.bytes_done, path.name)
        if chunk.lines > limits.lines:
            raise TooLarge("The list has more lines than a list may.", where=path.name, mend="Split it.")
        yield chunk


def _frame(chunk: Chunk) -> _Frame:
    parts = [
        _Part(p.blocks, p.values if isinstance(p.values, int) else p.values.tobytes(), p.number_blocks) for p in chunk.parts
    ]
    return _Frame(parts, chunk.place, chunk.lines, chunk.bytes_done, list(chunk.bad), chunk.passed_over)


def _send(pipe: IO[bytes], frame: _Frame) -> None:
    body = msgspec.msgpack.encode(frame)
    pipe.write(_length.pack(len(body)))
    pipe.write(body)
    pipe.flush()


def main(arguments: list[str]) -> int:
    """Read a list and write its chunks to standard output; 1 when there was not enough memory."""
    wanted = msgspec.json.decode(arguments[0], type=_Wanted)
    limits = wanted.limits
    with contextlib.suppress(OSError):
        os.nice(19)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (limits.seconds, limits.seconds + 5))
    resource.setrlimit(resource.RLIMIT_DATA, (limits.memory_bytes, limits.memory_bytes))
    pipe: Any = sys.stdout.buffer
    try:
        for chunk in _held(wanted.source.reader()(wanted.place, wanted.lines), wanted.source, limits):
            _send(pipe, _frame(chunk))
    except AnnulError as error:
        _send(pipe, _Frame(code=error.code, message=error.message, where=error.where or "", mend=error.mend or ""))
    except BrokenPipeError:
        return 0
    except MemoryError:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
