"""The comparing process: apart, bounded, replaced when it dies, and owning nothing."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
from PIL import Image as Pillow
from tests.likeness.people import minutiae_of, pressed_again, record_of
from tests.waiting import WAIT_S

from annul.errors import BadInput, MissingPackage, SourceDown, TimedOut
from annul.likeness.process import WAITING_MAX, Comparer, Done, FacePair, FingerSet, Refused, Task

LIVE, ENROLLED = record_of(pressed_again(minutiae_of(11), 5)), record_of(minutiae_of(11))
TASK = Task(finger=FingerSet(LIVE, [ENROLLED]), supervised=True)


def with_comparer(work: Callable[[Comparer], Awaitable[None]], compare_max_s: float = WAIT_S) -> None:
    """Run `work` with a comparer that is closed afterwards."""

    async def run() -> None:
        comparer = Comparer(compare_max_s=compare_max_s)
        try:
            await work(comparer)
        finally:
            await comparer.close()

    asyncio.run(run())


async def compare(comparer: Comparer, task: Task = TASK) -> Done:
    async with comparer.turn():
        return await comparer.compare(task)


def test_a_task_comes_back_compared_and_a_bad_one_leaves_the_process_alive() -> None:
    """Match, refusal with the sample's place, match again, all by one process."""

    async def work(comparer: Comparer) -> None:
        done = await compare(comparer)
        assert [each.binding for each in done.comparisons] == ["B0"]
        assert set(done.openings["finger"]) == {"live", "enrolled-1"}
        first = comparer._process
        with pytest.raises(BadInput) as refused:
            await compare(comparer, Task(finger=FingerSet(LIVE, [b"FMR\0 broken"])))
        assert refused.value.where == "/fingerprint/enrolled/0"
        await compare(comparer)
        assert comparer._process is first

    with_comparer(work)


def test_a_warmed_process_is_the_one_that_compares_and_closing_ends_it() -> None:
    """`warm` starts one process however often it is called; a comparison waits; closed while it loads, nothing is left."""

    async def work(comparer: Comparer) -> None:
        comparer.warm()
        comparer.warm()
        warming = comparer._warming
        assert (await compare(comparer)).comparisons[0].binding == "B0"
        assert warming is not None
        await warming
        first = comparer._process
        comparer.warm()
        assert (comparer._process, comparer._warming) == (first, None)
        await comparer.close()
        comparer.warm()
        await asyncio.sleep(0)
        await comparer.close()
        assert comparer._process is None

    with_comparer(work)


def test_a_process_that_dies_is_replaced_at_the_next_task() -> None:
    """Killed between tasks: the next one works. Killed in a task: that one is an error, the next one works."""

    async def work(comparer: Comparer) -> None:
        await compare(comparer)
        assert comparer._process is not None
        comparer._process.kill()
        await comparer._process.wait()
        assert (await compare(comparer)).comparisons[0].binding == "B0"
        os.kill(comparer._process.pid, signal.SIGSTOP)
        running = asyncio.create_task(compare(comparer))
        await asyncio.sleep(0)
        os.kill(comparer._process.pid, signal.SIGKILL)
        with pytest.raises(SourceDown):
            await running
        assert (await compare(comparer)).comparisons[0].binding == "B0"

    with_comparer(work)


def test_a_comparison_that_hangs_is_ended_with_its_process() -> None:
    """TimedOut, and the process is gone: an answer that comes late cannot be taken for the next one's."""

    async def work(comparer: Comparer) -> None:
        with pytest.raises(TimedOut):
            await compare(comparer)
        assert comparer._process is None

    with_comparer(work, compare_max_s=0.001)


def test_more_than_a_few_do_not_wait() -> None:
    """Samples in memory stay bounded: the next one is refused at once and told when to come back."""

    async def work(comparer: Comparer) -> None:
        waiting = [asyncio.create_task(compare(comparer)) for _ in range(WAITING_MAX)]
        await asyncio.sleep(0)
        with pytest.raises(SourceDown) as refused:
            await compare(comparer)
        assert refused.value.extra["retry_after_s"] == 1
        assert all(done.comparisons for done in await asyncio.gather(*waiting))

    with_comparer(work)


def test_the_child_gets_no_secrets_leaves_no_core_and_ends_with_its_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the parent in its environment; limits of zero on files and core dumps; closing its input ends it."""
    monkeypatch.setenv("ANNUL_DATABASE_URL", "postgresql://secret")

    async def work(comparer: Comparer) -> None:
        await compare(comparer)
        process = comparer._process
        assert process is not None
        assert process.stdin is not None
        folder = Path(f"/proc/{process.pid}")
        limits = (folder / "limits").read_text()
        assert [line.split()[-3:-1] for line in limits.splitlines() if line.startswith("Max file size")] == [["0", "0"]]
        assert [line.split()[-3:-1] for line in limits.splitlines() if line.startswith("Max core file")] == [["0", "0"]]
        try:  # the environment of a process that cannot be dumped is for root alone
            assert b"secret" not in (folder / "environ").read_bytes()
        except PermissionError:
            assert os.geteuid() != 0
        process.stdin.close()
        assert await asyncio.wait_for(process.wait(), WAIT_S) == 0

    with_comparer(work)


def test_what_a_library_prints_is_not_taken_for_an_answer_and_a_cut_task_is_no_task() -> None:
    """Standard output holds exactly one answer a task; input that ends in the middle ends the child without one."""
    body = msgspec.msgpack.encode(Task(face=FacePair(b"x", b"y")))
    whole = struct.pack(">I", len(body)) + body
    done = subprocess.run(
        [sys.executable, "-m", "annul.likeness.process"],
        input=whole + whole[:3],
        capture_output=True,
        timeout=WAIT_S,
        check=True,
    )
    (length,) = struct.unpack_from(">I", done.stdout)
    assert len(done.stdout) == 4 + length
    assert isinstance(msgspec.msgpack.decode(done.stdout[4:], type=Done | Refused), Refused)


def test_where_a_library_is_missing_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that cannot import OpenCV answers with MissingPackage and the command; prints as records still work."""
    (tmp_path / "cv2.py").write_text("raise ImportError")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    black = io.BytesIO()
    Pillow.new("RGB", (100, 100)).save(black, "PNG")

    async def work(comparer: Comparer) -> None:
        with pytest.raises(MissingPackage) as refused:
            await compare(comparer, Task(face=FacePair(black.getvalue(), black.getvalue())))
        assert "annul[likeness]" in str(refused.value.mend)
        assert (await compare(comparer)).comparisons[0].binding == "B0"

    with_comparer(work)
