"""Compare in a process of its own: a hostile image can hang or crash the libraries, but not who answers checks.

The parent writes one `Task` to the child's standard input and reads one `Done` or `Refused` from its standard output, each
MessagePack behind its length. The child owns nothing: it may write no file, leaves no core dump and ends with its parent's
pipe. Samples travel through pipes and live in memory only.

    comparer = Comparer()
    done = await comparer.compare(Task(face=FacePair(photo, portrait), supervised=True))
    done.comparisons[0].binding, done.openings["face"]["live"]
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import struct
import sys
from typing import Any, Final

import msgspec

from annul import errors
from annul.errors import AnnulError, BadInput, SourceDown, TimedOut
from annul.likeness.attack import Action, Challenge
from annul.likeness.comparison import CapturePolicy, Comparison, exempt, unreferenced
from annul.likeness.evidence import SALT_BYTES, Line, commit, line

COMPARE_MAX_S: Final = 20.0
"""Longest comparison; a usual one takes under a second, the first loads libraries and weights."""
WAITING_MAX: Final = 8
"""Verifications that may wait for the process: samples in memory stay bounded."""
MEMORY_BYTES_MAX: Final = 4 << 30
"""Address space of the child; weights and a 25-megapixel picture need a quarter of it at most."""
_LENGTH: Final = struct.Struct(">I")
_INHERITED: Final = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG")
_SET: Final = {
    "ORT_DISABLE_TELEMETRY": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
}
"""Environment of the child: no settings and no secrets of the parent, one thread."""


class FacePair(msgspec.Struct, forbid_unknown_fields=True):
    """A photo of the bearer and the portrait on the chip or in the register; forms of `pictures.FORMS`.

    reference: empty when there is none. frames: photos that answer a challenge, one an action, in order.
    """

    live: bytes
    reference: bytes = b""
    frames: list[bytes] = []

    def __repr__(self) -> str:
        return "FacePair(…)"


class FingerSet(msgspec.Struct, forbid_unknown_fields=True):
    """A scan of the bearer's finger and the holder's enrolled prints: images (PNG, TIFF, BMP, JPEG 2000, WSQ) or records of
    ISO/IEC 19794-2. enrolled: empty when there are none."""

    live: bytes
    enrolled: list[bytes] = []

    def __repr__(self) -> str:
        return "FingerSet(…)"


class Task(msgspec.Struct):
    """What to compare; nothing makes the process load libraries and weights.

    finger_exempt: the person has no usable print, which the evidence says; supervised: the clerk watched the capture;
    policy: what the agreement demands of it; actions: of the challenge that `face.frames` answer, empty without one.
    """

    face: FacePair | None = None
    finger: FingerSet | None = None
    finger_exempt: bool = False
    supervised: bool = False
    policy: CapturePolicy = CapturePolicy()
    actions: tuple[Action, ...] = ()


class Done(msgspec.Struct, tag="done"):
    """Comparisons, their lines for the evidence, and the salts (hex) that open its commitments, by trait and sample."""

    comparisons: tuple[Comparison, ...]
    lines: tuple[Line, ...]
    openings: dict[str, dict[str, str]]


class Refused(msgspec.Struct, tag="refused"):
    """An error of the tree, by the name of its class."""

    kind: str
    message: str
    where: str | None
    mend: str | None


# -- in the child ------------------------------------------------------------------------------------------------------------


def compare_all(task: Task) -> Done:
    """Compare what the task holds.

    Raises:
        BadInput, TooLarge, UnknownVersion: a sample is not of its form; `where` is its place (`/face/live`).
        MissingPackage: a library is not installed.
    """
    done = Done((), (), {})
    if task.face is None and task.finger is None:
        from annul.likeness import face, finger

        face.load()
        finger.load()
    if task.face is not None:
        from annul.likeness import face

        pair = task.face
        with _below("/face"):
            found = (
                face.compare(
                    pair.live,
                    pair.reference,
                    supervised=task.supervised,
                    policy=task.policy,
                    challenge=Challenge(task.actions) if task.actions else None,
                    frames=pair.frames,
                )
                if pair.reference
                else unreferenced("face", supervised=task.supervised)
            )
        samples = {"live": pair.live} | ({"reference": pair.reference} if pair.reference else {})
        _add(done, found, samples | {f"frame-{n}": each for n, each in enumerate(pair.frames, 1)})
    if task.finger is not None:
        from annul.likeness import finger

        prints = task.finger
        with _below("/fingerprint"):
            found = (
                finger.compare(prints.live, prints.enrolled, supervised=task.supervised, policy=task.policy)
                if prints.enrolled
                else unreferenced("finger", supervised=task.supervised)
            )
        samples = {"live": prints.live} | {f"enrolled-{n}": each for n, each in enumerate(prints.enrolled, 1)}
        _add(done, found, samples)
    elif task.finger_exempt:
        _add(done, exempt("finger", supervised=task.supervised), {})
    return done


@contextlib.contextmanager
def _below(part: str) -> Any:
    try:
        yield
    except AnnulError as error:
        if isinstance(error, BadInput):
            error.where = part + (error.where or "")
        raise


def _add(done: Done, found: Comparison, samples: dict[str, bytes]) -> None:
    salts = {name: os.urandom(SALT_BYTES) for name in samples}
    done.comparisons += (found,)
    done.lines += (line(found, {name: commit(sample, salts[name]) for name, sample in samples.items()}),)
    if salts:
        done.openings[found.trait] = {name: salt.hex() for name, salt in salts.items()}


def main() -> None:
    """Answer tasks until standard input ends."""
    from annul.roles import forbid_core_dumps

    forbid_core_dumps()
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # whatever the libraries try, no sample reaches a file
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    source, sink = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not be taken for an answer
    decode = msgspec.msgpack.Decoder(Task).decode
    while len(head := source.read(_LENGTH.size)) == _LENGTH.size:
        answer: Done | Refused
        try:
            answer = compare_all(decode(source.read(_LENGTH.unpack(head)[0])))
        except AnnulError as error:
            answer = Refused(type(error).__name__, error.message, error.where, error.mend)
        except MemoryError:
            answer = Refused("TooLarge", "Comparing these samples takes too much memory.", None, "Send smaller images.")
        body = msgspec.msgpack.encode(answer)
        sink.write(_LENGTH.pack(len(body)) + body)
        sink.flush()


# -- in the parent -----------------------------------------------------------------------------------------------------------


class Comparer:
    """Keep one comparing process, started by `warm` or the first task and again after it died. Use within one event loop.

    Args:
        compare_max_s: a comparison that takes longer is ended with its process.
    """

    def __init__(self, *, compare_max_s: float = COMPARE_MAX_S) -> None:
        self._compare_max_s = compare_max_s
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._process: asyncio.subprocess.Process | None = None
        self._warming: asyncio.Task[None] | None = None

    @contextlib.asynccontextmanager
    async def turn(self) -> Any:
        """Wait for the process; inside, `compare` may be called, and nobody else compares.

        Raises:
            SourceDown: too many wait already.
        """
        if self._waiting >= WAITING_MAX:
            raise SourceDown("Too many comparisons wait here.", mend="Ask again shortly.", retry_after_s=1)
        self._waiting += 1
        try:
            async with self._turn:
                yield self
        finally:
            self._waiting -= 1

    async def compare(self, task: Task) -> Done:
        """Compare; call inside `turn`.

        Raises:
            BadInput, TooLarge, UnknownVersion, MissingPackage, Corrupt: as `compare_all`.
            TimedOut: it took too long. SourceDown: the process died; the next task gets a new one.
        """
        body = msgspec.msgpack.encode(task)
        try:
            async with asyncio.timeout(self._compare_max_s):
                raw = await self._exchange(_LENGTH.pack(len(body)) + body)
        except TimeoutError:
            await self.close()
            raise TimedOut("The comparison took too long.", mend="Take the samples again.") from None
        except (OSError, EOFError):
            await self.close()
            raise SourceDown("The comparison was broken off.", mend="Take the samples again.", retry_after_s=1) from None
        except BaseException:  # the caller has gone: an answer to nobody must not be taken for the next one's
            await self.close()
            raise
        answer: Done | Refused = msgspec.msgpack.decode(raw, type=Done | Refused)
        if isinstance(answer, Refused):
            kind = getattr(errors, answer.kind, SourceDown)
            raise kind(answer.message, where=answer.where, mend=answer.mend)
        return answer

    def warm(self) -> None:
        """Start the process and let it load libraries and weights, if it does not run yet: a comparison is soon to come."""
        if self._warming is None and (self._process is None or self._process.returncode is not None):
            self._warming = asyncio.get_running_loop().create_task(self._warm())

    async def _warm(self) -> None:
        try:
            with contextlib.suppress(AnnulError):  # the comparison will say what is missing
                async with self.turn():
                    await self.compare(Task())
        finally:
            self._warming = None

    async def _exchange(self, message: bytes) -> bytes:
        process = self._process
        if process is None or process.returncode is not None:
            process = self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "annul.likeness.process",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env={name: os.environ[name] for name in _INHERITED if name in os.environ} | _SET,
                start_new_session=True,
            )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(message)
        await process.stdin.drain()
        head = await process.stdout.readexactly(_LENGTH.size)
        return await process.stdout.readexactly(_LENGTH.unpack(head)[0])

    async def close(self) -> None:
        """End the process; the samples in its memory go with it."""
        if self._warming is not None and self._warming is not asyncio.current_task():
            self._warming.cancel()
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


if __name__ == "__main__":
    main()
