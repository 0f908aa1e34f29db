"""A crash leaves nothing of a sample: no core dump, and a fault handler's text that holds none of it."""

from __future__ import annotations

import os
import resource
import signal
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from tests.likeness.people import minutiae_of, pressed_again, record_of

from annul.likeness import samples
from annul.likeness.process import FingerSet, Task

ROOT = Path(__file__).parents[2]
LIVE, ENROLLED = record_of(pressed_again(minutiae_of(11), 5)), record_of(minutiae_of(11))


def cores_allowed() -> None:
    """Let this process dump core without limit, as a careless service manager would, and ignore nothing a shell ignores."""
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)  # a shell's job in the background ignores it, and hands that on
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))


def ended(
    arguments: list[str], folder: Path, *, at: Callable[[subprocess.Popen[bytes]], None], **more: object
) -> tuple[int, bytes]:
    """Run a program that may dump core, let `at` crash it, and return its wait status and standard error."""
    process = subprocess.Popen(
        arguments,
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=cores_allowed,  # noqa: PLW1509  two system calls, no threads
        **more,  # type: ignore[call-overload]
    )
    at(process)
    _, status = os.waitpid(process.pid, 0)
    process.returncode = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
    assert process.stderr is not None
    return status, process.stderr.read()


@pytest.fixture
def dumps_here(tmp_path_factory: pytest.TempPathFactory) -> bool:
    """Whether a process that does not forbid it dumps core on this machine at all: where not, the test proves less."""
    folder = tmp_path_factory.mktemp("control")
    status, _ = ended([sys.executable, "-c", "import os; os.abort()"], folder, at=lambda _: None)
    for file in folder.iterdir():
        file.unlink()
    return os.WCOREDUMP(status)


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGQUIT])
def test_the_comparing_process_dumps_no_core_and_says_nothing_of_a_sample(
    tmp_path: Path, number: signal.Signals, dumps_here: bool
) -> None:
    """Killed by a fault with samples in memory, a fault handler on and core dumps allowed by its parent."""
    body = msgspec.msgpack.encode(Task(finger=FingerSet(LIVE, [ENROLLED]), supervised=True))

    def crash(process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(struct.pack(">I", len(body)) + body)
        process.stdin.flush()
        process.stdout.read(4)  # it has compared: the samples lie in its memory
        process.send_signal(number)

    environment = os.environ | {"PYTHONFAULTHANDLER": "1"}
    status, said = ended(
        [sys.executable, "-X", "faulthandler", "-m", "annul.likeness.process"], tmp_path, at=crash, env=environment
    )
    assert os.WTERMSIG(status) == number
    assert not os.WCOREDUMP(status), f"core dumps are possible here: {dumps_here}"
    assert list(tmp_path.iterdir()) == []
    for sample in (LIVE, ENROLLED):
        assert all(sample[at : at + 8] not in said for at in range(0, len(sample) - 8, 8))


def test_the_child_that_reads_wsq_dumps_no_core(tmp_path: Path) -> None:
    """NIST's decoder replaced by one that crashes with the sample in its hands: no core, nothing on standard error of it."""
    decoder = tmp_path / "decoder"
    decoder.mkdir()
    (decoder / "_wsq.py").write_text("import os\ndef decompress(data):\n    os.abort()\n")
    code = samples._CHILD.format(seconds=2, memory=samples.CHILD_MEMORY_BYTES, folder=str(decoder))
    sample = b"\xff\xa0" + LIVE

    def feed(process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        process.stdin.write(sample)
        process.stdin.close()

    work = tmp_path / "work"
    work.mkdir()
    status, said = ended([sys.executable, "-I", "-S", "-c", code], work, at=feed, env={})
    assert os.WTERMSIG(status) == signal.SIGABRT
    assert not os.WCOREDUMP(status)
    assert list(work.iterdir()) == []
    assert all(sample[at : at + 8] not in said for at in range(0, len(sample) - 8, 8))


@pytest.mark.parametrize("program", ["annul.app.work", "annul.reader.station.run"])
def test_worker_and_station_forbid_core_dumps_before_they_listen(program: str, tmp_path: Path) -> None:
    """Both hold samples of bearers: with dumps allowed by the parent, each is without them before the first request."""
    started = {
        "annul.app.work": (
            "import asyncio, resource, socket\n"
            "from pathlib import Path\n"
            "from annul import app\nfrom annul.settings import Settings\n"
            "async def stop(_): raise SystemExit(repr(resource.getrlimit(resource.RLIMIT_CORE)))\n"
            "app._until_standing = stop\n"
            "asyncio.run(app.work(Settings(home=Path('.')), 0, socket.socket()))\n"
        ),
        "annul.reader.station.run": (
            "import resource\n"
            "from annul.reader.trust import TrustList\nfrom annul.reader import station\n"
            "def stop(*_): raise SystemExit(repr(resource.getrlimit(resource.RLIMIT_CORE)))\n"
            "station.run(station.Station(('https://a.example',), TrustList([])), port=0, ready=stop)\n"
        ),
    }
    status, said = ended([sys.executable, "-c", started[program]], tmp_path, at=lambda _: None)
    assert os.WEXITSTATUS(status) == 1
    assert said.strip().endswith(b"(0, 0)"), said
