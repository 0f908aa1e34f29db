"""Starting and setting up: what refuses to start, what a set-up home holds, and what the demo tells whoever started it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from annul.cli import run
from annul.cli.frame import Exit
from annul.cli.running import _command, _screen
from annul.demo.record import DemoRecord
from annul.home import Home
from annul.settings import Settings


@pytest.fixture(autouse=True)
def away(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Run in an empty folder, without settings from the environment."""
    for name in list(os.environ):
        if name.startswith("ANNUL_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def database_home(database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty home whose database is the tests' own."""
    monkeypatch.setenv("ANNUL_DATABASE_URL", database)
    monkeypatch.setenv("ANNUL_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


# -- setup -------------------------------------------------------------------------------------------------------------------


def test_setup_says_what_to_keep_and_what_comes_next(database_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The folder is its owner's alone; the key works and is stored nowhere; the second time there is none."""
    before = os.umask(0)
    try:
        assert run(["setup"]) == Exit.DONE
    finally:
        os.umask(before)
    told = capsys.readouterr().out
    assert "Keep these apart from everything else, now: annul.toml, keys/secret.json, keys/people.json, keys/annul.pub." in told
    assert "Next: annul serve" in told
    assert database_home.stat().st_mode & 0o077 == 0
    (token,) = [word for word in told.split() if word.startswith("live_")]
    secret = token.rsplit("_", 1)[1].encode()
    assert not any(secret in file.read_bytes() for file in database_home.rglob("*") if file.is_file())
    assert run(["setup"]) == Exit.DONE
    assert "There is a supervisor already." in capsys.readouterr().out


def test_setup_that_fails_gives_no_key_away(database_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file names another database: refused before there is a supervisor, so that the next one still shows the key."""
    database_home.mkdir(mode=0o700)
    file = database_home / "annul.toml"
    file.write_text('database_url = "postgresql://elsewhere.test/annul"\n')
    assert run(["setup"]) != Exit.DONE
    told = capsys.readouterr()
    assert "names another database_url" in told.err
    assert "live_" not in told.out + told.err
    file.unlink()
    assert run(["setup"]) == Exit.DONE
    assert "live_" in capsys.readouterr().out


def test_setup_takes_the_supervisors_id_and_name(database_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both are recorded; an id that is none is refused, and then there is no half supervisor."""
    assert run(["setup", "--supervisor", "No Id!", "--name", "x"]) == Exit.USAGE
    capsys.readouterr()
    assert run(["setup", "--supervisor", "ombudsman", "--name", "The Ombudsman", "--json"]) == Exit.DONE
    made = json.loads(capsys.readouterr().out)
    assert made["home"] == str(database_home)
    assert Path(made["public_keys"]).read_text().count("\n") == 3
    assert made["supervisor_key"].startswith("live_")


def test_setup_on_a_home_whose_keys_are_gone_makes_no_new_ones(database_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """New keys would find no document of this register: that is refused, not mended in silence."""
    assert run(["setup"]) == Exit.DONE
    (database_home / "keys" / "secret.json").unlink()
    assert run(["setup"]) == Exit.REFUSED
    assert not (database_home / "keys" / "secret.json").exists()
    assert "on our side" not in capsys.readouterr().err


# -- serve -------------------------------------------------------------------------------------------------------------------


def test_serve_without_a_key_file_starts_nothing(database_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A home that was never set up: refused before anything runs, with the next step."""
    assert run(["serve"]) == Exit.REFUSED
    told = capsys.readouterr()
    assert "annul setup" in told.err
    assert told.out == ""


def test_serve_refuses_a_port_that_is_taken(database_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It does not look for another: who named one means it. The setting to change is told."""
    assert run(["setup"]) == Exit.DONE
    capsys.readouterr()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert run(["serve", "--port", str(taken.getsockname()[1])]) == Exit.USAGE
    assert "ANNUL_PORT" in capsys.readouterr().err


def test_a_home_that_cannot_be_written_is_said_in_words(database_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be written, why, and what to look at; no class of an error and no stack."""
    assert run(["setup"]) == Exit.DONE
    capsys.readouterr()
    (database_home / "run" / "annul.lock").mkdir(parents=True)
    assert run(["serve"]) == Exit.REFUSED
    told = capsys.readouterr().err
    assert "annul.lock cannot be written: Is a directory. (run/annul.lock)" in told
    assert "who may write to the folder" in told
    assert "Error" not in told


@pytest.mark.parametrize("port", ["-1", "65536", "http"])
def test_serve_refuses_a_port_that_is_none(port: str, database_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong usage, before any process is started."""
    assert run(["setup"]) == Exit.DONE
    assert run(["serve", "--port", port]) == Exit.USAGE
    assert "on our side" not in capsys.readouterr().err


def test_serve_refuses_settings_it_does_not_know(database_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A misspelt setting would be a setting without effect."""
    assert run(["setup"]) == Exit.DONE
    (database_home / "annul.toml").write_text("worker = 3\n")
    assert run(["serve"]) == Exit.USAGE
    assert "docs/operate.md" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["serve", "demo"])
def test_a_second_annul_on_one_home_is_refused(command: str, database_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The running one is not a demo: `annul demo` says so; `annul serve` says that one runs."""
    assert run(["setup"]) == Exit.DONE
    (database_home / "run").mkdir(exist_ok=True)
    state = {"pid": os.getpid(), "url": "http://127.0.0.1:1", "roles": {}}
    (database_home / "run" / "annul.json").write_text(json.dumps(state))
    import fcntl

    with (database_home / "run" / "annul.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert run([command, "--port", "0"]) == Exit.REFUSED
    assert ("Another annul already runs" if command == "serve" else "that is no demo") in capsys.readouterr().err


# -- demo --------------------------------------------------------------------------------------------------------------------


def test_a_demo_never_fills_somebodys_register(database_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A home that was set up by hand is not a demo's: nothing is written into it, no demo.json, no country."""
    assert run(["setup"]) == Exit.DONE
    capsys.readouterr()
    assert run(["demo", "--holders", "100", "--port", "0"]) == Exit.REFUSED
    assert "Name another --home." in capsys.readouterr().err
    assert not (database_home / "demo.json").exists()


@pytest.mark.parametrize("wrong", [["--holders", "99"], ["--seed", "-1"], ["--workers", "0"], ["--holders", "10000001"]])
def test_a_demo_of_an_impossible_size_is_wrong_usage(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Told before a folder is made."""
    assert run(["demo", *wrong]) == Exit.USAGE
    assert capsys.readouterr().out == ""
    assert not Path(".annul").exists()


def test_a_damaged_demo_file_stops_the_demo(database_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is not overwritten: the keys in it may be somebody's."""
    database_home.mkdir(mode=0o700)
    (database_home / "demo.json").write_text("{")
    assert run(["demo", "--port", "0"]) == Exit.USAGE
    assert "Move the data folder away" in capsys.readouterr().err
    assert (database_home / "demo.json").read_text() == "{"


@pytest.fixture
def record() -> DemoRecord:
    """A record with what the screen needs."""
    names = ("bank", "police", "issuer", "supervisor", "telecom")
    return DemoRecord(
        "",
        {name: {"key": f"live_{name}"} for name in names},
        attempt={"document": {"scheme": "cn-resident", "number": "11010519491231002X"}},
        holders=100_000,
        documents=129_700,
        seed=4,
    )


def test_the_screen_tells_everything_a_newcomer_types(record: DemoRecord, tmp_path: Path) -> None:
    """Address, credentials of four desks, the country, the four commands; each command is one of ours."""
    from annul.cli import COMMANDS

    text = _screen(record, Settings(home=Home(tmp_path / ".annul"), demo=True), "http://127.0.0.1:8480")
    for told in ("http://127.0.0.1:8480/counter", "live_bank", "live_supervisor", "100,000 holders", "129,700", "seed 4"):
        assert told in text
    assert "live_telecom" not in text
    named = [line.split()[1] for line in text.splitlines() if line.strip().startswith("annul ") and "is ready" not in line]
    assert named == ["check", "report", "check", "receipt"]
    assert set(named) <= COMMANDS.keys()


def test_the_curl_on_the_screen_is_a_question_the_api_takes(record: DemoRecord, tmp_path: Path) -> None:
    """The body between the quotes is JSON with document, purpose and channel."""
    text = _screen(record, Settings(home=Home(tmp_path / ".annul"), demo=True), "http://127.0.0.1:8480")
    (body,) = [line.split("-d '", 1)[1].rstrip("'") for line in text.splitlines() if "-d '" in line]
    assert json.loads(body) == {
        "document": record.attempt["document"],
        "purpose": "account-opening",
        "channel": "in_person",
    }


@pytest.mark.parametrize(
    ("called", "home", "expected"),
    [
        ("/usr/bin/annul", ".annul", "/usr/bin/annul"),
        ("annul", ".annul", "annul"),
        ("/usr/lib/python3/site-packages/annul/__main__.py", ".annul", "annul"),
        ("annul", "my home", "ANNUL_HOME='{tmp}/my home' annul"),
        ("{tmp}/.venv/bin/annul", ".annul", ".venv/bin/annul"),
    ],
)
def test_commands_are_told_as_they_can_be_typed(
    called: str, home: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As annul was called, with the home in front where it is not the default; quoted for a shell."""
    monkeypatch.setattr("sys.argv", [called.format(tmp=tmp_path), "demo"])
    assert _command(Home(tmp_path / home)) == expected.format(tmp=tmp_path)


# -- openapi, version, bench -------------------------------------------------------------------------------------------------


def test_the_api_is_described_for_the_address_that_is_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """To standard output or a file: the same document; it names the server."""
    assert run(["openapi", "--url", "https://register.example"]) == Exit.DONE
    printed = json.loads(capsys.readouterr().out)
    assert run(["openapi", "--url", "https://register.example", "--output", "api.json", "--json"]) == Exit.DONE
    assert json.loads(capsys.readouterr().out) == {"file": "api.json"}
    assert json.loads((tmp_path / "api.json").read_text()) == printed
    assert printed["openapi"].startswith("3.1")
    assert printed["servers"][0]["url"] == "https://register.example"


def test_an_unknown_measurement_names_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is measured."""
    assert run(["bench", "luck"]) == Exit.USAGE
    assert "listings" in capsys.readouterr().err


def test_a_command_that_fails_leaves_its_code_to_the_shell(make_refusing: Callable[[int, str], str], tmp_path: Path) -> None:
    """As a process: a refused check ends with 12 and prints no traceback; a pipe that closes early is no traceback either."""
    url = make_refusing(429, "over-quota")
    asked = [sys.executable, "-m", "annul", "check", "--number", "11010519491231002X", "--url", url, "--key", "k"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, "Traceback" in done.stderr) == (Exit.NO_ANSWER, False)
