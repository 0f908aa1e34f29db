"""`annul log` and `annul keys` on a home that stands still: what is proved offline, and how a log that was changed is told."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from annul import keys as key_file
from annul.cli import run
from annul.cli.frame import Exit
from annul.home import Home
from annul.proof.checkpoint import Signer
from tests.cli.test_doctor import sound  # noqa: F401  a fixture


@pytest.fixture
def home(sound: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:  # noqa: F811
    """A copy of a sound home, with its database in the environment."""
    for name in list(os.environ):
        if name.startswith("ANNUL_"):
            monkeypatch.delenv(name)
    copy = tmp_path / "home"
    shutil.copytree(sound[1], copy)
    monkeypatch.setenv("ANNUL_HOME", str(copy))
    monkeypatch.setenv("ANNUL_DATABASE_URL", sound[0])
    return copy


def test_a_sound_log_is_verified_and_counted(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both logs to the last entry, with the database and without; the steps are told on standard error."""
    assert run(["log", "verify", "--json"]) == Exit.DONE
    whole = capsys.readouterr()
    assert json.loads(whole.out)["verified"] is True
    assert "Verifying: " in whole.err
    assert run(["log", "verify", "--files-only"]) == Exit.DONE
    text = capsys.readouterr().out
    assert text.startswith("✔  VERIFIED  Every entry is in its sealed log.\n")
    assert run(["log", "verify"]) == Exit.DONE
    assert "and the database holds the same" in capsys.readouterr().out


def entries_of(home: Path, log: str) -> list[Path]:
    """Return the files of a sealed log that hold bytes of entries."""
    return [file for file in (home / "log" / log).rglob("*") if file.is_file() and "entries" in file.parts]


@pytest.mark.parametrize("log", ["register", "checks"])
def test_one_changed_bit_of_an_entry_is_found_and_named(log: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 1, the file is named, and the JSON does not call itself verified."""
    (file,) = entries_of(home, log)
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 1
    file.write_bytes(raw)
    assert run(["log", "verify", "--files-only"]) == Exit.REFUSED
    assert capsys.readouterr().out.startswith("✖  REFUSED  ")
    assert run(["log", "verify", "--files-only", "--json"]) == Exit.REFUSED
    told = json.loads(capsys.readouterr().out)
    assert told["verified"] is False
    assert log in told["where"]


def test_a_log_signed_by_somebody_else_is_refused(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Trusted keys are the caller's choice: with another register's there is nothing to believe."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    key_file.create(Home(elsewhere))
    trusted = ["--key", str(elsewhere / "keys" / "annul.pub")]
    assert run(["log", "verify", "--files-only", *trusted]) == Exit.REFUSED
    assert run(["log", "checkpoint", *trusted]) == Exit.REFUSED
    assert "BEGIN" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["register", "checks"])
def test_a_checkpoint_is_printed_as_it_was_signed(name: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Byte for byte, so that it can be given to somebody else; in JSON with size and root beside it."""
    note = (home / "log" / name / "checkpoint").read_text()
    assert run(["log", "checkpoint", name]) == Exit.DONE
    assert capsys.readouterr().out == note
    assert run(["log", "checkpoint", name, "--json"]) == Exit.DONE
    told = json.loads(capsys.readouterr().out)
    assert (told["log"], told["note"], told["size"]) == (name, note, int(note.splitlines()[1]))


def test_a_log_without_a_checkpoint_says_what_makes_one(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Not found, with the next step; an unknown log is wrong usage."""
    (home / "log" / "checks" / "checkpoint").unlink()
    assert run(["log", "checkpoint", "checks"]) == Exit.REFUSED
    assert "Start annul" in capsys.readouterr().err
    assert run(["log", "checkpoint", "rumours"]) == Exit.USAGE
    assert "Use register or checks." in capsys.readouterr().err
    assert run(["log", "prove", "0", "--log", "rumours", "--url", "http://127.0.0.1:1"]) == Exit.USAGE
    assert run(["log", "prove", "0", "--url", "http://127.0.0.1:1"]) == Exit.UNREACHABLE


@pytest.mark.parametrize("content", [None, "", "nonsense\n", "a+b+c\n"])
def test_trusted_keys_that_cannot_be_read_are_wrong_usage_or_refused(
    content: str | None, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Never verified with what was not read."""
    file = tmp_path / "keys.pub"
    if content is not None:
        file.write_text(content)
    for command in (["log", "verify", "--files-only"], ["log", "checkpoint"]):
        assert run([*command, "--key", str(file)]) in (Exit.REFUSED, Exit.USAGE)
        told = capsys.readouterr()
        assert "VERIFIED" not in told.out
        assert "on our side" not in told.err


def test_public_keys_are_shown_as_verifiers_take_them(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line each: receipts, register, checks; in JSON the same lines."""
    assert run(["keys", "show"]) == Exit.DONE
    lines = capsys.readouterr().out.splitlines()
    assert lines == key_file.load(Home(home)).public_lines()
    assert run(["keys", "show", "--json"]) == Exit.DONE
    assert json.loads(capsys.readouterr().out) == {"keys": lines}


def test_rotating_makes_a_new_epoch_of_document_keys_and_keeps_the_signing_keys(
    make_database: Callable[[], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Twice: epoch after epoch; receipts given before still verify by the same public keys; the backup is asked for."""
    home = tmp_path / "home"
    monkeypatch.setenv("ANNUL_HOME", str(home))
    monkeypatch.setenv("ANNUL_DATABASE_URL", make_database())
    assert run(["setup"]) == Exit.DONE
    before = key_file.load(Home(home))
    for _ in range(2):
        assert run(["keys", "rotate"]) == Exit.DONE
        assert "Back up keys/secret.json now." in capsys.readouterr().out
    after = key_file.load(Home(home))
    assert after.epoch == before.epoch + 2
    assert after.public_lines() == before.public_lines()
    assert run(["doctor"]) == Exit.DONE


def test_keys_are_not_rotated_under_a_running_annul(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is changed, and the next step is told."""
    (home / "run").mkdir(exist_ok=True)
    (home / "run" / "annul.json").write_text(json.dumps({"pid": os.getpid(), "url": "http://127.0.0.1:1", "roles": {}}))
    before = (home / "keys" / "secret.json").read_bytes()
    assert run(["keys", "rotate"]) == Exit.REFUSED
    assert "Stop it first." in capsys.readouterr().err
    assert (home / "keys" / "secret.json").read_bytes() == before


@pytest.mark.parametrize("key", ["missing.pub", "annul/receipts+nonsense", Signer("annul/receipts", bytes(32)).vkey])
def test_a_receipt_is_never_verified_by_a_key_that_does_not_fit(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that is not there, half a key, a receipt that is none: refused or wrong usage, never 0."""
    monkeypatch.chdir(tmp_path)
    for content in (b"", b"{}", b"[]", b"\xff", b'{"receipt": {}}'):
        (tmp_path / "receipt.json").write_bytes(content)
        assert run(["receipt", "verify", "receipt.json", "--key", key]) in (Exit.REFUSED, Exit.USAGE)
        assert run(["receipt", "show", "receipt.json"]) in (Exit.REFUSED, Exit.USAGE)
        told = capsys.readouterr()
        assert "VERIFIED" not in told.out
        assert "on our side" not in told.err, (content, told.err)
