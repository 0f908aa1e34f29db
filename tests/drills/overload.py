"""Ask three times as much as annul can answer: reports go on, most of its strength stays useful, the rest is refused at once.

python -m tests.drills.overload --seconds 60

Peak first: as many checks as connections ask one after the other. Then requests leave at three times that rate, whatever comes
back, with batches among them; another process reports meanwhile and measures its own time. Then one client asks alone again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx
import uvloop

from annul.home import Home
from tests.drills.load import running_annul

HOLDERS = 100
CONNECTIONS = 256
BATCH = 1_000
BATCHERS = 4
REPORTS_S = 5
"""Reports a second while the machine is overloaded."""


@dataclass
class Seen:
    """Hold what came back: statuses, and how long good answers took."""

    statuses: Counter[int] = field(default_factory=Counter)
    took_s: list[float] = field(default_factory=list)
    checks: int = 0
    unsaid: int = 0  # refusals without Retry-After

    def percentile(self, share: float) -> float:
        """Return a percentile of the times in milliseconds, 0 when there are none."""
        times = sorted(self.took_s)
        return times[min(len(times) - 1, int(share * len(times)))] * 1e3 if times else 0.0


class Asker(asyncio.Protocol):
    """One connection that asks when told, if the answer before has come; it reads just enough of HTTP for our answers."""

    def __init__(self, request: bytes, seen: Seen, *, endless: bool) -> None:
        self.request, self.seen, self.endless = request, seen, endless
        self.raw, self.since = b"", 0.0
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self.transport = transport  # type: ignore[assignment]
        if self.endless:
            self.ask()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that it has to come again."""
        self.transport, self.since, self.raw = None, 0.0, b""

    def ask(self) -> bool:
        """Send the request unless one is under way; return whether it was sent."""
        if self.since or self.transport is None:
            return False
        self.since = time.monotonic()
        self.transport.write(self.request)
        return True

    def data_received(self, data: bytes) -> None:
        """Read an answer."""
        self.raw += data
        end = self.raw.find(b"\r\n\r\n") + 4
        if end < 4:
            return
        head = self.raw[:end].lower()
        size = int(head[head.index(b"content-length: ") + 16 :].split(b"\r\n", 1)[0])
        if len(self.raw) < end + size:
            return
        status = int(self.raw[9:12])
        self.seen.statuses[status] += 1
        if status == 200:
            self.seen.took_s.append(time.monotonic() - self.since)
            self.seen.checks += 1
        elif b"retry-after: " not in head:
            self.seen.unsaid += 1
        self.raw, self.since = b"", 0.0
        if b"connection: close" in head and self.transport is not None:
            self.transport.close()
        elif self.endless:
            self.ask()


def request(url: str, key: str, path: str, body: object) -> bytes:
    """Return a request as bytes."""
    raw = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\nAuthorization: Bearer {key}\r\n"
    return f"{head}Content-Type: application/json\r\nContent-Length: {len(raw)}\r\n\r\n".encode() + raw


async def hold(demo: dict[str, Any], seen: Seen, seconds: float, *, connections: int, rate: float = 0.0) -> None:
    """Ask for so long: without a rate one after the other on each connection, else at that rate over all of them."""
    address = urlsplit(demo["url"])
    sent = request(demo["url"], demo["credentials"]["bank"]["key"], "/v1/checks", question(demo))
    loop, end = asyncio.get_running_loop(), time.monotonic() + seconds
    askers = [Asker(sent, seen, endless=not rate) for _ in range(connections)]

    async def connect(asker: Asker) -> None:
        await loop.create_connection(lambda: asker, address.hostname, address.port)

    await asyncio.gather(*[connect(asker) for asker in askers])
    begun, asked, place = time.monotonic(), 0, 0
    while (now := time.monotonic()) < end:
        for asker in askers:
            if asker.transport is None:
                await connect(asker)
        due = int((now - begun) * rate) - asked if rate else 0
        for _ in range(min(due, connections)):
            asked += askers[place % connections].ask()
            place += 1
        asked += max(0, due - connections)  # what could not even be sent
        await asyncio.sleep(0.002 if rate else 0.1)
    for asker in askers:
        asker.endless = False
        if asker.transport is not None:
            asker.transport.abort()


def question(demo: dict[str, Any]) -> dict[str, Any]:
    """Return a question about a sample."""
    document = next(iter(demo["samples"].values()))["document"]
    return {"document": document, "purpose": "account-opening", "channel": "in_person", "branch": "drill"}


async def batches(demo: dict[str, Any], seen: Seen, seconds: float) -> None:
    """Send batches one after the other for so long; a refused one is sent again when it said so."""
    end = time.monotonic() + seconds
    headers = {"Authorization": f"Bearer {demo['credentials']['bank']['key']}"}
    body = {"checks": [question(demo)] * BATCH}
    async with httpx.AsyncClient(base_url=demo["url"], headers=headers, timeout=30) as client:
        while time.monotonic() < end:
            begun = time.monotonic()
            answer = await client.post("/v1/checks/batch", json=body)
            seen.statuses[answer.status_code] += 1
            if answer.status_code == 200:
                seen.took_s.append(time.monotonic() - begun)
                seen.checks += BATCH
            else:
                seen.unsaid += "retry-after" not in answer.headers
                await asyncio.sleep(float(answer.headers.get("retry-after", "1")))


async def reports(url: str, key: str, seconds: float) -> list[float]:
    """Report documents at REPORTS_S a second; return how long each took, in milliseconds, -1 for one that was refused."""
    headers = {"Authorization": f"Bearer {key}"}
    took: list[float] = []

    async def one(client: httpx.AsyncClient, number: int) -> None:
        document = {"scheme": "ru-internal", "series": "9990", "number": f"{number:06d}"}
        begun = time.monotonic()
        answer = await client.post(
            "/v1/reports",
            json={"document": document, "kind": "lost", "proof": "in_person"},
            headers=headers | {"Idempotency-Key": str(uuid.uuid4())},
        )
        took.append((time.monotonic() - begun) * 1e3 if answer.status_code == 201 else -1)

    async with httpx.AsyncClient(base_url=url, timeout=60) as client, asyncio.TaskGroup() as tasks:
        for number in range(int(seconds * REPORTS_S)):
            tasks.create_task(one(client, int(time.time()) % 1_000 * 1_000 + number))
            await asyncio.sleep(1 / REPORTS_S)
    return took


async def drill(demo: dict[str, Any], seconds: float) -> dict[str, float]:
    """Run the three parts; return the figures."""
    peak, singles, many, calm = Seen(), Seen(), Seen(), Seen()
    await hold(demo, Seen(), 2, connections=32)  # warm
    await hold(demo, peak, max(5.0, seconds / 6), connections=64)
    peak_s = peak.checks / max(5.0, seconds / 6)
    reporting = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "tests.drills.overload",
            "--report",
            demo["url"],
            "--key",
            demo["credentials"]["police"]["key"],
            "--seconds",
            str(seconds),
        ],
        stdout=subprocess.PIPE,
    )
    await asyncio.gather(
        hold(demo, singles, seconds, connections=CONNECTIONS, rate=3 * peak_s),
        *[batches(demo, many, seconds) for _ in range(BATCHERS)],
    )
    ended = time.monotonic()
    while True:  # recovery: a client that asks alone is answered as fast as before
        alone = Seen()
        await hold(demo, alone, 0.5, connections=1)
        if (alone.statuses.keys() <= {200} and alone.percentile(0.9) < 50) or time.monotonic() - ended > 30:
            break
    recovered_s = time.monotonic() - ended
    await hold(demo, calm, 3, connections=4)
    took = json.loads((await asyncio.to_thread(reporting.communicate))[0])
    good = sorted(each for each in took if each >= 0)
    return {
        "peak, checks/s (64 connections)": peak_s,
        "asked, checks/s": 3 * peak_s,
        "goodput, checks/s": (singles.checks + many.checks) / seconds,
        "of peak": (singles.checks + many.checks) / seconds / peak_s,
        "single checks answered": singles.statuses[200],
        "single checks refused (503)": singles.statuses[503],
        "batches answered": many.statuses[200],
        "batches refused (503)": many.statuses[503],
        "refusals without Retry-After": singles.unsaid + many.unsaid,
        "single checks p50, ms": singles.percentile(0.5),
        "single checks p99, ms": singles.percentile(0.99),
        "reports": len(took),
        "reports refused": sum(each < 0 for each in took),
        "reports p50, ms": good[len(good) // 2] if good else -1,
        "reports p99, ms": good[min(len(good) - 1, int(0.99 * len(good)))] if good else -1,
        "recovered after, s": recovered_s,
        "afterwards p99, ms": calm.percentile(0.99),
    }


def main() -> int:
    """Run the drill and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--report", help=argparse.SUPPRESS)
    parser.add_argument("--key", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.report:
        print(json.dumps(asyncio.run(reports(given.report, given.key, given.seconds))))
        return 0
    with tempfile.TemporaryDirectory(prefix="annul-drill-") as folder:
        home = Home(folder)
        with running_annul(home, holders=HOLDERS) as demo:
            found = uvloop.run(drill(demo, given.seconds))
    for name, value in found.items():
        print(f"{name:36} {value:10.2f}")
    wrong = found["refusals without Retry-After"] > 0 or found["reports refused"] > 0
    print("the drill FAILED" if wrong else "reports went on, what was refused was told when to come again")
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
