"""Measure single checks over HTTP: `annul bench check [--seconds 6] [--connections 64] [--json]`.

One real worker process (`annul.app worker`: true doors, true check log, durable before each answer) on core 0; the load
generator on core 1 (wrk where it is installed, else a small loader of our own); keep-alive; 10,000 different bodies. In the
same run, on the same core: (a) a straightforward FastAPI service with PostgreSQL, (b) uvicorn answering a constant of the same
size through ASGI, (c) for information, the same constant through annul's own protocol, without a question asked. Rounds
alternate, so that a noisy machine is noisy for all.
Beside what leaves per second stands the processor time an answer costs the server, which a busy machine disturbs less.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import psycopg

from annul import keys as key_file
from annul.bench import peer
from annul.home import Home
from annul.listings import ListingsWriter, pack
from annul.listings.values import NUMBER, WHOLE_LIFE
from annul.records.codes import Coverage
from annul.records.document import DocumentFields, block, number_block, parse_document
from annul.records.schemes.cn_resident import check_character
from annul.records.status import State
from annul.registry.answering.checklog import durable_windows, worker_folder
from annul.registry.parties import parties
from annul.registry.postgres import Embedded
from annul.registry.writing import store
from annul.registry.writing.act import Act
from annul.times import now_us

DOCUMENTS: Final = 100_000
BODIES: Final = 10_000
SERVER_CORE, LOAD_CORE = 0, 1
SERVERS: Final = ("annul", "peer", "constant", "short")
START_S: Final = 180
"""Longest start of a server: two seconds, half a minute on a machine that is busy tenfold."""


def main(arguments: list[str]) -> int:
    """Measure and print; returns 0."""
    parser = argparse.ArgumentParser(prog="annul bench check", description=__doc__)
    parser.add_argument("--seconds", type=float, default=6.0, help="length of one round of one server")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    figures = measure(options.seconds, options.connections, options.rounds)
    if options.json:
        print(json.dumps(figures))
        return 0
    print(f"single check over HTTP, {options.connections} connections, load by {figures['loader']}")
    for name in SERVERS:
        part = figures[name]
        print(
            f"  {name:9} {part['per_second']:>9,.0f}/s   p50 {part['p50_ms']:.2f} ms   p99 {part['p99_ms']:.2f} ms"
            f"   {part['cpu_us']:.1f} us of processor an answer"
        )
    print(f"  windows made durable: {figures['windows']:,} with {figures['answers_per_window']:.0f} answers on average")
    print(f"  {figures['times_peer']:.1f} x a straightforward service (target 8)")
    print(f"  {figures['share_of_constant']:.2f} x the same server answering a constant (target 0.5)")
    print(f"  {figures['cpu_share_of_constant']:.2f} x the constant by processor time")
    return 0


def measure(seconds: float, connections: int, rounds: int) -> dict[str, Any]:
    """Run all three servers in turns; returns the figures by name."""
    with tempfile.TemporaryDirectory(prefix="annul-bench-") as folder, contextlib.ExitStack() as stack:
        home = Home(folder)
        embedded = stack.enter_context(Embedded(home))
        store.migrate(embedded.conninfo)
        fields = documents()
        token = asyncio.run(prepare(home, embedded.conninfo, fields, stack))
        _prepare_peer(embedded.conninfo, fields)
        bodies = [question(fields[i * 7 % DOCUMENTS], i) for i in range(BODIES)]
        load = _loader(home, bodies, connections)
        annul = stack.enter_context(serve([sys.executable, "-m", "annul.app", "worker", "0"], [], home, embedded.conninfo))
        size = _answer_size(ask(annul.port, bodies[0], token))
        module = [sys.executable, "-m", "annul.bench.peer"]
        straightforward = stack.enter_context(serve([*module, "checks"], [embedded.conninfo], home, embedded.conninfo))
        constant = stack.enter_context(serve([*module, "constant"], [str(size)], home, embedded.conninfo))
        short = stack.enter_context(serve([*module, "short"], [str(size)], home, embedded.conninfo))
        for server, bearer in ((straightforward, peer.TOKEN), (constant, token), (short, token)):
            ask(server.port, bodies[0], bearer)
        before = durable_windows(worker_folder(home.checks, 0))
        found: dict[str, list[dict[str, float]]] = {name: [] for name in SERVERS}
        for turn in range(rounds + 1):
            length = 1.0 if turn == 0 else seconds  # the first round warms up
            servers = ((annul, token), (straightforward, peer.TOKEN), (constant, token), (short, token))
            for name, (server, bearer) in zip(SERVERS, servers, strict=True):
                before_s = server.cpu_s()
                result = load.run(server.port, bearer, length)
                cpu_us = (server.cpu_s() - before_s) / result["requests"] * 1e6
                found[name].append(result | {"cpu_us": cpu_us})
        windows = durable_windows(worker_folder(home.checks, 0)) - before
        figures: dict[str, Any] = {name: _middle(results[1:]) for name, results in found.items()}
        answered = sum(result["requests"] for result in found["annul"])
        return figures | {
            "loader": load.name,
            "connections": connections,
            "answer_bytes": size,
            "windows": windows,
            "answers_per_window": answered / max(1, windows),
            "times_peer": figures["annul"]["per_second"] / figures["peer"]["per_second"],
            "share_of_constant": figures["annul"]["per_second"] / figures["constant"]["per_second"],
            "cpu_share_of_constant": figures["constant"]["cpu_us"] / figures["annul"]["cpu_us"],
        }


def _middle(results: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(result[name] for result in results) for name in results[0]}


# -- what is asked ---------------------------------------------------------------------------------------------------------


def documents() -> list[DocumentFields]:
    """Make different resident cards of people who do not exist."""
    made = []
    for i in range(DOCUMENTS):
        body = f"110105{1950 + i % 50:04d}{1 + i // 50 % 12:02d}{1 + i // 600 % 28:02d}{i // 16800 % 1000:03d}"
        number = body + check_character(body)
        made.append(DocumentFields("cn-resident", number, valid_from="2016-10-06", valid_until="2036-10-06"))
    return made


def question(fields: DocumentFields, number: int) -> bytes:
    document = {
        "scheme": fields.scheme,
        "number": fields.number,
        "valid_from": fields.valid_from,
        "valid_until": fields.valid_until,
    }
    question = {
        "document": document,
        "purpose": "account-opening",
        "channel": "in_person",
        "branch": f"branch {number % 97}",
        "terminal": f"t{number % 13}",
        "clerk": f"c{number % 311}",
        "reference": f"case-{number:08d}",
    }
    return msgspec.json.encode(question)


async def prepare(home: Home, conninfo: str, fields: list[DocumentFields], stack: contextlib.ExitStack) -> str:
    """Make the key file, a bank with a key, and the listings; returns the bank's API key."""
    keys = key_file.create(home)
    documents = [parse_document(each) for each in fields]
    writer = ListingsWriter(home.listings)
    writer.grow(4 * DOCUMENTS)
    blind = keys.documents("live").blind
    states = np.where(np.arange(DOCUMENTS) % 50 == 0, int(State.reported_lost), int(State.current))
    until = documents[0].valid_until_day or 0
    flags = [
        (pack(State(int(state)), until, WHOLE_LIFE), pack(State(int(state)), until, WHOLE_LIFE | NUMBER)) for state in states
    ]
    writer.put(blind(b"".join(block(each) for each in documents)), np.array([a for a, _ in flags], np.uint64))
    writer.put(blind(b"".join(number_block(each) for each in documents)), np.array([b for _, b in flags], np.uint64))
    writer.set_coverage({"cn-resident": Coverage.whole_life})
    writer.set_key_epoch(keys.epoch)
    ListingsWriter(home.people).close()  # no register of persons
    pool = store.Fresh(conninfo)
    office = parties.Parties(pool, _NoSnapshot(), now_us)
    act = Act("bench")
    agreement = parties.Agreement(
        purposes=frozenset({"account-opening"}), per_second=1_000_000, per_day=10**12, reasons_allowed=True
    )
    await office.create(act, "bank", "Bank", "relying_party", agreement=agreement)
    issued = await office.issue_key(act, "bank")
    with store.connect(conninfo) as db:
        writer.set_parties(parties.read_snapshot(db, issued.position), 1)
    writer.set_applied(issued.position, now_us())
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(0.05):
            writer.heartbeat(now_us())

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    stack.callback(writer.close)
    stack.callback(thread.join)
    stack.callback(stop.set)
    return issued.token


class _NoSnapshot:
    """No snapshot is published before there is a party."""

    parties_generation = 0

    def parties(self) -> tuple[int, bytes]:
        """Return none."""
        return 0, b""


def _prepare_peer(conninfo: str, fields: list[DocumentFields]) -> None:
    with psycopg.connect(conninfo, autocommit=True) as db:
        db.execute(peer.SCHEMA)
        with db.cursor() as cursor, cursor.copy("COPY peer_document (key, status) FROM STDIN") as copy:
            for i, each in enumerate(fields):
                key = peer.key_of(each.scheme, each.number or "", each.valid_from or "")
                copy.write_row((key, "S10" if i % 50 == 0 else "V00"))
        db.execute("VACUUM ANALYZE peer_document")


# -- servers ---------------------------------------------------------------------------------------------------------------


class Server(NamedTuple):
    port: int
    pid: int

    def cpu_s(self) -> float:
        """Return the processor time it and its children have used (user and system); 0 where the system does not tell."""
        return _cpu_s(self.pid)


def _cpu_s(pid: int) -> float:
    of = Path(f"/proc/{pid}")
    try:
        fields = (of / "stat").read_text(encoding="ascii").rpartition(")")[2].split()
        children = [int(child) for task in (of / "task").iterdir() for child in (task / "children").read_text().split()]
    except FileNotFoundError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") + sum(map(_cpu_s, children))


@contextlib.contextmanager
def serve(command: list[str], arguments: list[str], home: Home, conninfo: str) -> Iterator[Server]:
    """Run one server process on its core."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        door.listen(2048)
        door.set_inheritable(True)
        port = int(door.getsockname()[1])
        environment = os.environ | {
            "ANNUL_HOME": str(home),
            "ANNUL_DATABASE_URL": conninfo,
            "ANNUL_PORT": str(port),
            "ANNUL_WORKERS": "1",
        }
        whole = _pinned(SERVER_CORE, [*command, str(door.fileno()), *arguments])
        process = subprocess.Popen(whole, pass_fds=(door.fileno(),), env=environment)
    try:
        yield Server(port, process.pid)
    finally:
        process.terminate()
        process.wait(30)


def _pinned(core: int, command: list[str]) -> list[str]:
    """Return the command pinned to a core, where the system can do that."""
    usable = shutil.which("taskset") and core < (os.cpu_count() or 1)
    return ["taskset", "-c", str(core), *command] if usable else command


def _run_load(command: list[str], token: str) -> str:
    """Run a loader on its core and return what it printed."""
    environment = os.environ | {"BENCH_TOKEN": token}
    whole = _pinned(LOAD_CORE, command)
    return subprocess.run(whole, env=environment, capture_output=True, text=True, check=True).stdout


def ask(port: int, body: bytes, token: str, path: str = "/v1/checks") -> bytes:
    """Ask once, waiting for the server to start."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, headers)
    with urllib.request.urlopen(request, timeout=START_S) as answer:  # noqa: S310
        raw: bytes = answer.read()
    return raw


def _answer_size(raw: bytes) -> int:
    """Hold that it is a real answer, and return the size it has under load."""
    if json.loads(raw)["status"]["code"] not in ("V00", "S10"):
        raise AssertionError("the worker did not answer from the table")
    return len(raw) + 5 * 44  # windows under load are larger: a path of some five hashes more


# -- load ------------------------------------------------------------------------------------------------------------------


class _Wrk:
    """Load by wrk: one thread, keep-alive, bodies in turn."""

    name = "wrk"

    def __init__(self, home: Home, bodies: list[bytes], connections: int) -> None:
        self._script, self._connections = home / "load.lua", connections
        (home / "bodies").write_bytes(b"\n".join(bodies))
        self._script.write_text(_LUA.replace("BODIES", str(home / "bodies")))

    def run(self, port: int, token: str, seconds: float) -> dict[str, float]:
        """Load one server."""
        command = [
            "wrk",
            "-t1",
            f"-c{self._connections}",
            f"-d{max(1, round(seconds))}s",
            "--latency",
            "--timeout",
            "30s",
            "-s",
            str(self._script),
            f"http://127.0.0.1:{port}/v1/checks",
        ]
        out = _run_load(command, token)
        found = re.search(r"^RESULT (\d+) (\d+) (\d+) (\d+) (\d+)$", out, re.M)
        if found is None:
            raise AssertionError(f"wrk said nothing: {out}")
        requests, duration_us, p50_us, p99_us, bad = map(int, found.groups())
        if bad:
            raise AssertionError(f"{bad} requests were not answered:\n{out}")
        return {
            "requests": requests,
            "per_second": requests / (duration_us / 1e6),
            "p50_ms": p50_us / 1e3,
            "p99_ms": p99_us / 1e3,
        }


_LUA = """
local bodies = {}
for line in io.lines("BODIES") do bodies[#bodies + 1] = line end
local requests, next = {}, 0
init = function()
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  wrk.headers["Authorization"] = "Bearer " .. os.getenv("BENCH_TOKEN")
  for i = 1, #bodies do requests[i] = wrk.format(nil, nil, nil, bodies[i]) end
end
request = function()
  next = next % #requests + 1
  return requests[next]
end
done = function(summary, latency)
  local e = summary.errors
  local bad = e.connect + e.read + e.write + e.status + e.timeout
  print(string.format("RESULT %d %d %d %d %d", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), bad))
end
"""


class _Own:
    """Load by a child process of our own: asyncio on uvloop, answers cut by httptools, bodies in turn."""

    name = "annul's own loader"

    def __init__(self, home: Home, bodies: list[bytes], connections: int) -> None:
        self._connections = connections
        self._bodies = home / "bodies"
        self._bodies.write_bytes(b"\n".join(bodies))

    def run(self, port: int, token: str, seconds: float) -> dict[str, float]:
        """Load one server."""
        numbers = [str(port), str(self._connections), str(seconds)]
        command = [sys.executable, "-m", "annul.bench.http", str(self._bodies), *numbers]
        out = _run_load(command, token)
        found: dict[str, float] = json.loads(out)
        return found


def _loader(home: Home, bodies: list[bytes], connections: int) -> _Wrk | _Own:
    return (_Wrk if shutil.which("wrk") else _Own)(home, bodies, connections)


class _Client(asyncio.Protocol):
    """One connection: the next request leaves when the answer is whole."""

    def __init__(self, requests: list[bytes], first: int, took: list[float]) -> None:
        import httptools

        self._requests, self._next, self._took = requests, first, took
        self._parser = httptools.HttpResponseParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask the first time."""
        self._transport: Any = transport
        self._ask()

    def _ask(self) -> None:
        self._next = (self._next + 1) % len(self._requests)
        self._at = time.perf_counter()
        self._transport.write(self._requests[self._next])

    def data_received(self, data: bytes) -> None:
        """Give the parser what came."""
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        """Count and ask again."""
        if self._parser.get_status_code() != 200:
            raise AssertionError(f"status {self._parser.get_status_code()}")
        self._took.append(time.perf_counter() - self._at)
        self._ask()


async def _load(requests: list[bytes], port: int, connections: int, seconds: float) -> dict[str, float]:
    took: list[float] = []
    loop = asyncio.get_running_loop()
    for n in range(connections):
        first = n * len(requests) // connections
        await loop.create_connection(lambda first=first: _Client(requests, first, took), "127.0.0.1", port)  # type: ignore[misc]
    begin = time.perf_counter()
    await asyncio.sleep(seconds)
    elapsed, count = time.perf_counter() - begin, len(took)
    took.sort()
    return {
        "requests": count,
        "per_second": count / elapsed,
        "p50_ms": took[count // 2] * 1e3,
        "p99_ms": took[count * 99 // 100] * 1e3,
    }


def _load_process(arguments: list[str]) -> None:
    import uvloop

    file, port, connections, seconds = arguments
    head = (
        f"POST /v1/checks HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {os.environ['BENCH_TOKEN']}\r\n"
        "Content-Type: application/json\r\nContent-Length: "
    )
    requests = [f"{head}{len(body)}\r\n\r\n".encode() + body for body in Path(file).read_bytes().split(b"\n")]
    print(json.dumps(uvloop.run(_load(requests, int(port), int(connections), float(seconds)))))


if __name__ == "__main__":
    _load_process(sys.argv[1:])
