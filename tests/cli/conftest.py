"""A running demo for the tests of the command line, and a way to run commands against it."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from annul.cli import run

START_WAIT_S = 240


@dataclass(frozen=True)
class Result:
    """What a command left: exit code and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as one JSON value."""
        return json.loads(self.out)


Annul = Callable[..., Result]


def start_demo(home: Path, *options: str, **settings: str) -> tuple[subprocess.Popen[str], dict[str, Any]]:
    """Start `annul demo` on a home, with ANNUL_* settings, and return the process and the line it prints when it is ready."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANNUL_")} | settings
    process = subprocess.Popen(
        [sys.executable, "-m", "annul", "demo", "--home", str(home), "--port", "0", "--workers", "1", "--json", *options],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=(home.parent / f"{home.name}.err").open("a"),
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    try:
        return process, json.loads(line)
    except ValueError:
        stop_demo(process)
        raise AssertionError((home.parent / f"{home.name}.err").read_text()) from None


def stop_demo(process: subprocess.Popen[str]) -> int:
    """Stop a demo as Ctrl-C does and return its exit code."""
    process.send_signal(signal.SIGINT)
    code = process.wait(START_WAIT_S)
    assert process.stdout is not None
    process.stdout.close()
    return code


def demo_of(home: Path) -> dict[str, Any]:
    """Read demo.json."""
    read: dict[str, Any] = json.loads((home / "demo.json").read_text(encoding="utf-8"))
    return read


@pytest.fixture(scope="package")
def restarted(memory_folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """A demo that was started, used, stopped and started again: its folder, and demo.json as the first start left it."""
    from annul.client import Client

    home = memory_folder / "demo"
    process, _ = start_demo(home, "--holders", "300")
    before = demo_of(home)
    with Client(before["url"], before["credentials"]["police"]["key"]) as police:
        police.report(before["try"]["document"], "stolen", proof="in_person")
    assert stop_demo(process) == 0
    process, _ = start_demo(home)
    yield home, before
    assert stop_demo(process) == 0


@pytest.fixture
def demo_home(restarted: tuple[Path, dict[str, Any]]) -> Path:
    """The data folder of the running demo."""
    return restarted[0]


@pytest.fixture
def annul(demo_home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Annul:
    """Run one command in this process against the running demo."""
    for name in list(os.environ):
        if name.startswith("ANNUL_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("ANNUL_HOME", str(demo_home))

    def command(*arguments: str | Path) -> Result:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return command


class Terminal(io.StringIO):
    """A stream that calls itself a terminal."""

    def isatty(self) -> bool:
        """Say yes."""
        return True


class _Refusing(BaseHTTPRequestHandler):
    """Answer every request with one problem document."""

    status, code = 500, "internal"

    def do_POST(self) -> None:
        """Refuse."""
        self.rfile.read(int(self.headers["content-length"] or 0))
        body = {"type": f"https://annul.example/problems/{self.code}", "title": "Refused"}
        sent = json.dumps(body | {"detail": "As the server says.", "mend": "Do as it says."}).encode()
        self.send_response(self.status)
        self.send_header("content-type", "application/problem+json")
        self.send_header("content-length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def make_refusing() -> Iterator[Callable[[int, str], str]]:
    """Give a function that starts a server which refuses everything with a status and a problem's code."""
    servers: list[ThreadingHTTPServer] = []

    def make(status: int, code: str) -> str:
        handler = type("Refusing", (_Refusing,), {"status": status, "code": code})
        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), handler))
        threading.Thread(target=servers[-1].serve_forever, args=(0.02,), daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_address[1]}"

    yield make
    for server in servers:
        server.shutdown()
        server.server_close()
