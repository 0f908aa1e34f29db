"""`annul edition` and `annul edge` from the first key to an answer without a network."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from annul.cli import run
from annul.cli.frame import Exit
from annul.home import Home
from annul.records.status import State, mask
from tests.registry.editions.house import CARDS, House, card, state_of
from tests.registry.world import World


@pytest.fixture
def home(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder of a register with cards."""
    for name in list(os.environ):
        if name.startswith("ANNUL_"):
            monkeypatch.delenv(name)
    world = World(database, Home(tmp_path / "home"))
    House.filled(world, tmp_path)
    world.close()
    monkeypatch.setenv("ANNUL_DATABASE_URL", database)
    monkeypatch.setenv("ANNUL_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def told(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> Any:
    """Run a command with --json and return its value."""
    assert run([*words, "--json"]) == code, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def test_from_the_first_key_to_an_answer_without_a_network(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """init, admit, build, publish, sync from a folder, check; exit codes are those of `annul check`."""
    keys = told(capsys, "edition", "keys")["keys"]
    (home / "editions.pub").write_text("\n".join(keys))
    device = str(home / "stick")
    made = told(capsys, "edge", "init", "branch-0421", "--trust", "editions.pub", "--home", device)
    told(capsys, "edition", "admit", made["key"], "--party", "first-bank")
    built = told(capsys, "edition", "build")
    wanted = {"edition", "scheme", "position", "issued", "listed", "bytes", "entropy_bytes", "ratio", "asked_again", "wrong"}
    assert wanted <= built.keys()
    assert (built["issued"], built["asked_again"], built["wrong"]) == (CARDS, CARDS, 0)
    assert [row["state"] for row in told(capsys, "edition", "list")] == ["built"]
    published = told(capsys, "edition", "publish")
    assert published["edition"] == built["edition"]
    assert told(capsys, "edition", "show", built["edition"])["serial"] == 1
    assert told(capsys, "edition", "supplement")["supplement"] is None
    source = str(home / "home" / "editions" / "published")
    synced = told(capsys, "edge", "sync", "--from", source, "--home", device)
    assert synced["editions"] == {"cn-resident": built["edition"]}
    dead = next(number for number in range(CARDS) if state_of(number) == mask(State.current, State.reported_lost))
    free = next(number for number in range(CARDS) if state_of(number) == mask(State.current))
    for number, outcome, exit_code in ((dead, "STOP", Exit.STOP), (free, "PASS", Exit.DONE)):
        answer = told(capsys, "edge", "check", *named(number), "--home", device, code=exit_code)
        assert (answer["outcome"], answer["freshness"]) == (outcome, "fresh")
    later = told(
        capsys, "edge", "check", "--number", card(free).number, "--valid-from", "2026-11-01", "--home", device, code=Exit.REFER
    )
    assert (later["verdict"], later["why"]) == ("NOT_COVERED", "issued-later")
    lines = (home / "stick" / "journal" / "lines").read_text().splitlines()
    assert [json.loads(line)["verdict"] for line in lines] == ["LISTED", "NOT_LISTED", "NOT_COVERED"]
    assert card(dead).number not in "".join(lines)


def named(number: int) -> tuple[str, ...]:
    """Return the options that name a card."""
    import datetime

    document = card(number)
    day = datetime.date(1970, 1, 1) + datetime.timedelta(days=document.valid_from_day or 0)
    return ("--number", document.number, "--valid-from", day.isoformat())


def test_what_cannot_be_answered_is_no_answer(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No device; a device that holds nothing; a damaged copy: 12 or REFER, never a pass."""
    answer = told(capsys, "edge", "check", *named(1), "--home", str(home / "nobody"), code=Exit.NO_ANSWER)
    assert (answer["outcome"], answer["error"]["code"]) == ("NO_ANSWER", "not-found")
    (home / "editions.pub").write_text("\n".join(told(capsys, "edition", "keys")["keys"]))
    device = str(home / "stick")
    key = told(capsys, "edge", "init", "d1", "--trust", "editions.pub", "--home", device)["key"]
    assert told(capsys, "edge", "check", *named(1), "--home", device, code=Exit.REFER)["why"] == "no-edition"
    told(capsys, "edition", "build")
    told(capsys, "edition", "publish")
    source = str(home / "home" / "editions" / "published")
    refused = told(capsys, "edge", "sync", "--from", source, "--home", device, code=Exit.REFUSED)
    assert "admit" in refused["error"]["mend"]
    told(capsys, "edition", "admit", key, "--party", "first-bank", "--days", "3")
    told(capsys, "edge", "sync", "--from", source, "--home", device)
    file = next((home / "stick" / "editions").glob("*/edition.bin"))
    raw = bytearray(file.read_bytes())
    raw[70] ^= 1
    file.write_bytes(raw)
    assert told(capsys, "edge", "check", *named(1), "--home", device, code=Exit.NO_ANSWER)["error"]["code"] == "corrupt"
    told(capsys, "edition", "withdraw", "d1")
    assert run(["edge", "check", "--home", device, *named(1)]) == Exit.NO_ANSWER
    assert "Do not take this for a pass" in capsys.readouterr().out
