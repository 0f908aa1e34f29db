"""One running annul for all stories of a test process, the people who use it, and the check of everything after each story."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from annul.cli import run
from annul.demo import numbers
from tests.cli.conftest import Result, demo_of, start_demo, stop_demo
from tests.world import check_everything, settled

Fields = dict[str, Any]
DIVISION = 110105  # Chaoyang, Beijing: the generator's samples use another
_people = itertools.count()


@dataclass
class Town:
    """A running annul and what its people did in one story.

    `bank`, `police`, `issuer`, `second_officer`, `supervisor` and `telecom` are names of credentials in demo.json.
    """

    home: Path
    demo: dict[str, Any]
    http: httpx.Client
    capture: Callable[[], tuple[str, str]]
    answers: list[dict[str, Any]] = field(default_factory=list)
    reports: dict[str, dict[str, Any]] = field(default_factory=dict)
    documents: dict[str, Fields] = field(default_factory=dict)
    numbers: list[str] = field(default_factory=list)
    error_log: Path = Path()

    # -- by HTTP -----------------------------------------------------------------------------------------------------------

    def headers(self, who: str, realm: str = "live") -> dict[str, str]:
        """Return the Authorization header of a credential."""
        return {"Authorization": f"Bearer {self.demo['credentials'][who]['key' if realm == 'live' else 'test_key']}"}

    def post(self, path: str, body: Any, who: str, *, realm: str = "live", **headers: str) -> httpx.Response:
        """Send JSON (or bytes as they are) with a credential; header names are written with `_`."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = self.headers(who, realm) | {"Content-Type": "application/json"} | named
        return self.http.post(path, content=content, headers=sent)

    def ask(self, document: Fields, who: str = "bank", *, realm: str = "live", **members: Any) -> dict[str, Any]:
        """Ask one check; the answer is remembered for the end of the story."""
        body = {"document": document, "purpose": "account-opening", "channel": "in_person"} | members
        answered = self.post("/v1/checks", body, who, realm=realm)
        assert answered.status_code == 200, answered.text
        answer: dict[str, Any] = answered.json()
        self.answers.append(answer)
        return answer

    def code(self, document: Fields, **members: Any) -> str:
        """Ask one check and return the code of its status."""
        return str(self.ask(document, **members)["status"]["code"])

    def report(self, document: Fields, kind: str = "lost", proof: str = "in_person", **members: Any) -> dict[str, Any]:
        """Report at the police desk; refused reports fail the story."""
        reported = self.post("/v1/reports", {"document": document, "kind": kind, "proof": proof} | members, "police")
        assert reported.status_code == 201, reported.text
        accepted: dict[str, Any] = reported.json()
        return accepted

    def feed(self, event: str, document: Fields, **members: Any) -> httpx.Response:
        """Send one event of the issuer's feed."""
        return self.post("/v1/documents", {"event": event, "document": document} | members, "issuer")

    def issue(self, number: str | None = None, since: str = "2016-10-06", until: str = "2036-10-06") -> Fields:
        """Issue a resident card, to a new person unless a number is given."""
        card = {"scheme": "cn-resident", "number": number or self.person(), "valid_from": since, "valid_until": until}
        issued = self.feed("issue", card)
        assert issued.status_code == 201, issued.text
        return card

    def person(self) -> str:
        """Return a personal number nobody has."""
        made = numbers.personal_numbers(np.array([DIVISION]), np.array([4000 + next(_people)]), np.array([777]))
        self.numbers.append(bytes(made[0]).decode())
        return self.numbers[-1]

    def passport(self) -> Fields:
        """Return an internal passport of a kind that is only ever listed, never issued here."""
        self.numbers.append(f"{next(_people) + 500_001}")
        return {"scheme": "ru-internal", "series": "7711", "number": self.numbers[-1]}

    @property
    def position(self) -> int:
        """Return the register's last position as the check path knows it."""
        return int(self.http.get("/readyz").json()["position"])

    # -- by commands -------------------------------------------------------------------------------------------------------

    def annul(self, *arguments: str | Path) -> Result:
        """Run one command of annul on this home."""
        self.capture()
        code = run([str(argument) for argument in arguments])
        return Result(code, *self.capture())

    def file_of(self, folder: Path, document: Fields, name: str = "document.json") -> Path:
        """Write a document to a file for the command line."""
        file = folder / name
        file.write_text(json.dumps(document))
        return file


@contextmanager
def clean_environment(home: Path) -> Iterator[None]:
    """Hide every setting of the caller's, and name this home."""
    before = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("ANNUL_")}
    os.environ["ANNUL_HOME"] = str(home)
    try:
        yield
    finally:
        del os.environ["ANNUL_HOME"]
        os.environ.update(before)


@pytest.fixture(scope="package")
def running(memory_folder: Path) -> Iterator[Path]:
    """Run one annul for all stories of this test process; its error output lies beside its home."""
    home = memory_folder / "town"
    process, _ = start_demo(home, "--holders", "300", ANNUL_LOG_LEVEL="debug")
    yield home
    assert stop_demo(process) == 0


@pytest.fixture
def town(running: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Town]:
    """Lend the running annul to one story; afterwards replay its log and compare everything with it."""

    def capture() -> tuple[str, str]:
        captured = capsys.readouterr()
        return captured.out, captured.err

    demo = demo_of(running)
    with clean_environment(running), httpx.Client(base_url=demo["url"], timeout=90) as http:
        told = Town(running, demo, http, capture, error_log=running.parent / f"{running.name}.err")
        yield told
        settled(running)
        live = [answer for answer in told.answers if answer["check"]]
        assert check_everything(running, reports=told.reports, documents=told.documents, answers=live) == []
