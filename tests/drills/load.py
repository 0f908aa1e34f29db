"""Put a running annul under load and remember everything it acknowledged; used by the drills.

Reporters report invented passports of a listing-only scheme, each under an Idempotency-Key of its own, and repeat the request
until it is acknowledged. Checkers ask about them and about samples. What was acknowledged is what must be there afterwards.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

START_WAIT_S = 600


@dataclass
class Acknowledged:
    """Hold what annul has promised: nothing of it may be missing afterwards."""

    reports: dict[str, dict[str, Any]] = field(default_factory=dict)  # Idempotency-Key -> answer
    documents: dict[str, dict[str, str]] = field(default_factory=dict)  # Idempotency-Key -> document
    answers: list[dict[str, Any]] = field(default_factory=list)  # whole answers of checks
    failed_count: int = 0  # requests that got no answer or a problem
    wrong: list[str] = field(default_factory=list)  # broken promises seen on the way
    under_way: int = 0  # reports sent and not answered yet


@contextlib.contextmanager
def running_annul(home: Path, *, holders: int = 1000) -> Iterator[dict[str, Any]]:
    """Run `annul demo` on `home`; yield demo.json; stop it afterwards."""
    environment = os.environ | {"ANNUL_HOME": str(home), "ANNUL_PORT": "0", "ANNUL_LOG_LEVEL": "error"}
    with (home / "annul.out").open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "annul", "demo", "--holders", str(holders)], env=environment, stdout=out, stderr=out
        )
        try:
            yield _wait_until_ready(home, process)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def _wait_until_ready(home: Path, process: subprocess.Popen[bytes]) -> dict[str, Any]:
    deadline = time.monotonic() + START_WAIT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"annul ended:\n{(home / 'annul.out').read_text()[-3000:]}")
        with contextlib.suppress(OSError, ValueError, KeyError, httpx.HTTPError):
            url = roles_of(home)["url"]
            demo: dict[str, Any] = json.loads((home / "demo.json").read_text())
            if demo["samples"] and httpx.get(f"{url}/readyz", timeout=2).status_code == 200:
                return demo | {"url": url}
        time.sleep(0.1)
    raise RuntimeError(f"annul is not ready:\n{(home / 'annul.out').read_text()[-3000:]}")


def roles_of(home: Path) -> dict[str, Any]:
    """Return {"url", "pid", "roles": {name: pid}} of the running annul."""
    state: dict[str, Any] = json.loads((home / "run" / "annul.json").read_text())
    return state


async def load(
    demo: dict[str, Any],
    stop: asyncio.Event,
    done: Acknowledged | None = None,
    *,
    reporters: int = 2,
    checkers: int = 6,
    seed: int = 1,
) -> Acknowledged:
    """Report and check until `stop`, then let requests under way end; return what was acknowledged (collected in `done`)."""
    done = done or Acknowledged()
    limits = httpx.Limits(max_connections=reporters + checkers + 2)
    async with httpx.AsyncClient(base_url=demo["url"], timeout=15, limits=limits) as client:
        police = {"Authorization": f"Bearer {demo['credentials']['police']['key']}"}
        bank = {"Authorization": f"Bearer {demo['credentials']['bank']['key']}"}
        await asyncio.gather(
            *(_report(client, police, bank, done, stop, n, random.Random(seed * 1000 + n)) for n in range(reporters)),
            *(_check(client, bank, demo, done, stop, random.Random(seed * 2000 + n)) for n in range(checkers)),
        )
    return done


async def _report(
    client: httpx.AsyncClient,
    police: dict[str, str],
    bank: dict[str, str],
    done: Acknowledged,
    stop: asyncio.Event,
    lane: int,
    dice: random.Random,
) -> None:
    count = 0
    while not stop.is_set():
        count += 1
        document = {"scheme": "ru-internal", "series": f"{9000 + lane}", "number": f"{count:06d}"}
        key = str(uuid.UUID(int=dice.getrandbits(128)))
        body = {"document": document, "kind": dice.choice(["lost", "stolen"]), "proof": "in_person"}
        answer = await _until_acknowledged(client, body, police | {"Idempotency-Key": key}, done)
        done.reports[key], done.documents[key] = answer, document
        refused = await _ask(client, bank, document, done)
        if refused is not None and refused["outcome"] != "STOP":
            done.wrong.append(f"report {answer['report']} was acknowledged and the next check said {refused['outcome']}")
        if dice.random() < 0.2:
            again = await _until_acknowledged(client, body, police | {"Idempotency-Key": key}, done)
            if (again["report"], again["position"]) != (answer["report"], answer["position"]):
                done.wrong.append(f"report {answer['report']} was doubled under the same Idempotency-Key")


async def _until_acknowledged(
    client: httpx.AsyncClient, body: dict[str, Any], headers: dict[str, str], done: Acknowledged
) -> dict[str, Any]:
    while True:
        done.under_way += 1
        try:
            answer = await client.post("/v1/reports", json=body, headers=headers)
            if answer.status_code == 201:
                found: dict[str, Any] = answer.json()
                return found
            if answer.status_code not in (429, 503):
                done.wrong.append(f"a report was answered {answer.status_code}: {answer.text[:300]}")
        except httpx.HTTPError:
            pass
        finally:
            done.under_way -= 1
        done.failed_count += 1
        await asyncio.sleep(0.05)


async def _check(
    client: httpx.AsyncClient,
    bank: dict[str, str],
    demo: dict[str, Any],
    done: Acknowledged,
    stop: asyncio.Event,
    dice: random.Random,
) -> None:
    samples = [sample["document"] for sample in demo["samples"].values()]
    while not stop.is_set():
        known = list(done.documents.values())[-50:]
        document = dice.choice(known) if known and dice.random() < 0.5 else dice.choice(samples)
        await _ask(client, bank, document, done, name="张伟" if dice.random() < 0.3 else "")


async def _ask(
    client: httpx.AsyncClient, bank: dict[str, str], document: dict[str, str], done: Acknowledged, *, name: str = ""
) -> dict[str, Any] | None:
    body: dict[str, Any] = {"document": document, "purpose": "account-opening", "channel": "in_person", "branch": "drill"}
    if name:  # the name is compared with the register of persons
        body["holder"] = {"name": name}
    try:
        answer = await client.post("/v1/checks", json=body, headers=bank)
    except httpx.HTTPError:
        done.failed_count += 1
        await asyncio.sleep(0.02)
        return None
    if answer.status_code != 200:
        done.failed_count += 1
        if answer.status_code not in (429, 503, 504):
            done.wrong.append(f"a check was answered {answer.status_code}: {answer.text[:300]}")
        await asyncio.sleep(0.02)
        return None
    found: dict[str, Any] = answer.json()
    done.answers.append(found)
    return found
