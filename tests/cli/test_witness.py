"""`annul witness`: logs to watch, witnesses to ask, and what is known of both."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from annul import cli
from annul.cli.doctor import _witnesses
from annul.home import Home
from annul.proof.checkpoint import Signer, sign_checkpoint, split_note
from annul.proof.cosignature import Cosigner
from annul.settings import Settings
from annul.witness.asking import add
from annul.witness.witness import load_or_create

LOG = Signer("annul-0123456789ab/register", bytes(range(32)))
OTHER = Cosigner("w2.example", bytes(range(1, 33)), bytes(range(2, 34)))


def run(capsys: pytest.CaptureFixture[str], home: Path, *arguments: str) -> tuple[int, str]:
    """Run a command of the group; returns exit code and what it said."""
    code = cli.run(["witness", *arguments, "--home", str(home)])
    said = capsys.readouterr()
    return code, said.out + said.err


def listed(capsys: pytest.CaptureFixture[str], home: Path) -> Any:
    """Return what `witness list --json` says."""
    code, text = run(capsys, home, "list", "--json")
    assert code == 0
    return json.loads(text)


def test_keys_say_what_is_added(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A log's key is watched, a witness's key is asked at its address; twice changes nothing; the rest is refused."""
    assert listed(capsys, tmp_path) == {"keys": [], "watched": [], "asked": []}
    assert "WATCHED" in run(capsys, tmp_path, "add", LOG.vkey)[1]
    assert "KNOWN" in run(capsys, tmp_path, "add", LOG.vkey)[1]
    for key in OTHER.keys:
        assert "ASKED" in run(capsys, tmp_path, "add", key.vkey, "--url", "https://w2.example")[1]
    for arguments in ((OTHER.keys[0].vkey,), (LOG.vkey, "--url", "https://w2.example"), ("nonsense",), (LOG.vkey[:-3],)):
        assert run(capsys, tmp_path, "add", *arguments)[0] == 2
    keys = load_or_create(tmp_path / "keys" / "witness.json", "w1.example").keys
    found = listed(capsys, tmp_path)
    assert found["keys"] == [key.vkey for key in keys]
    assert found["watched"] == [{"origin": LOG.name, "key_count": 1, "size": 0}]
    never = {"name": "w2.example", "url": "https://w2.example", "size": 0, "at": None}
    assert found["asked"] == [never | {"log": "register"}, never | {"log": "checks"}]
    text = run(capsys, tmp_path, "list")[1]
    assert LOG.name in text
    assert "never" in text


def test_a_witness_needs_a_name_the_first_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing listens without one."""
    code, said = run(capsys, tmp_path, "serve", "--port", "0")
    assert code == 1
    assert "--name" in said


def test_the_doctor_tells_a_witness_that_does_not_answer(tmp_path: Path) -> None:
    """A warning for each log until it cosigns; then well, and again a warning when it is long ago."""
    home = Home(tmp_path)
    add(home.witnesses, "https://w2.example", OTHER.keys[0])
    home.logs.mkdir()

    def verdicts() -> list[str]:
        return [found.verdict for found in _witnesses(Settings(home=home))]

    assert verdicts() == ["warning", "warning"]
    note = sign_checkpoint(LOG.name, 3, bytes(32), LOG)
    for ago_s, said in ((60, "well"), (7200, "warning")):
        cosigned = OTHER.cosign(split_note(note)[0], int(time.time()) - ago_s)
        home.witnessed("register").write_bytes(note + cosigned)
        assert verdicts() == [said, "warning"]
