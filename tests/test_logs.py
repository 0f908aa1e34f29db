"""Logs: only fields of the allow-list leave the process."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from annul import logs


def test_field_outside_the_allow_list_is_dropped(capsys):
    """A careless call cannot leak: the value is dropped, the field's name is kept."""
    logs.configure("info")
    logs.get("checks").info("window closed", count=3, number="110105194912310021")
    line = capsys.readouterr().err
    assert "110105194912310021" not in line
    fields = json.loads(line)
    assert fields["dropped"] == ["number"]
    assert fields["count"] == 3


def test_a_line_that_cannot_be_written_ends_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Standard error on a full disk: the line is lost, who spoke goes on, and the next line is there when there is room."""
    logs.configure("info")
    full = Path("/dev/full").open("w", encoding="utf-8", buffering=1)  # noqa: SIM115 - closing it fails, too
    monkeypatch.setattr("sys.stderr", full)
    logs.get("app").info("started", count=1)
    monkeypatch.undo()
    logs.get("app").info("there is room", count=2)
    assert json.loads(capsys.readouterr().err)["event"] == "there is room"
    with contextlib.suppress(OSError):
        full.close()


SPEAKERS = """
import asyncio, gc, sys, threading, time, warnings
from annul import logs
NUMBER = sys.argv[1]
logs.configure("info")

warnings.warn(f"the number {NUMBER}", UserWarning)

def fail():
    raise ValueError(NUMBER)

thread = threading.Thread(target=fail)
thread.start()
thread.join()

class Bad:
    def __del__(self):
        fail()
Bad()

async def served():
    import uvicorn
    async def app(scope, receive, send):
        fail()
    server = uvicorn.Server(uvicorn.Config(app, port=0, lifespan="off", log_config=None, ws="none"))
    running = asyncio.ensure_future(server._serve())
    while not server.started:
        await asyncio.sleep(0.01)
    reader, writer = await asyncio.open_connection(*server.servers[0].sockets[0].getsockname()[:2])
    writer.write(f"GET /{NUMBER} HTTP/1.1\\r\\nHost: a\\r\\nConnection: Upgrade\\r\\nUpgrade: x\\r\\n\\r\\n".encode())
    await reader.read(100)
    writer.close()
    server.should_exit = True
    await running

async def nobody_asks():
    async def lost():
        fail()
    asyncio.ensure_future(lost())
    await asyncio.sleep(0.01)
    gc.collect()

async def pooled():
    from annul.registry.writing.store import open_pool
    pool = await open_pool(f"host=/nowhere dbname=a{NUMBER}")
    await asyncio.sleep(1.5)
    await pool.close()

asyncio.run(served())
asyncio.run(nobody_asks())
asyncio.run(pooled())
logs.get("app").info("done")
fail()
"""


def test_whatever_speaks_in_the_process_speaks_json_and_no_values(tmp_path: Path) -> None:
    """A warning, a thread, a finaliser, uvicorn, asyncio, the pool, the end of the process: lines of JSON without values."""
    number = "110105194912310021"
    script = tmp_path / "speakers.py"
    script.write_text(SPEAKERS, encoding="utf-8")
    ended = subprocess.run([sys.executable, str(script), number], capture_output=True, text=True, check=False)
    told = [json.loads(line) for line in ended.stderr.splitlines()]
    assert ended.stdout == ""
    assert number not in ended.stderr
    events = [line["event"] for line in told]
    for event in ("a warning", "an error that nobody caught ended a thread", "an error that nobody could catch", "done"):
        assert event in events
    assert events[-1] == "an error that nobody caught ended the process"
    assert told[-1]["stack"].endswith("fail speakers.py:10")
    assert {line.get("library") for line in told} - {None} == {"uvicorn.error", "asyncio", "psycopg.pool"}
    assert {line["error"] for line in told if line.get("library") in {"uvicorn.error", "asyncio"}} == {"ValueError"}


def test_every_allowed_field_says_what_it_holds():
    """The allow-list is documentation too."""
    assert all(len(text) >= 4 for text in logs.FIELDS.values())


def test_a_stack_in_a_line_tells_functions_and_lines_and_no_values():
    """What failed and where, outermost first; the message of the error may hold a number and stays out."""

    def inner(number: str) -> None:
        raise ValueError(number)

    with pytest.raises(ValueError, match="1101") as caught:
        inner("110105194912310021")
    stack = logs.stack_of(caught.value)
    outer, last = stack.split(" > ")
    assert outer.startswith("test_a_stack_in_a_line")
    assert last.startswith("inner test_logs.py:")
    assert "110105194912310021" not in stack
