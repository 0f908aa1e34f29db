"""The command line without a server: usage, errors, exit codes, documentation."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from annul import __version__
from annul.cli import COMMANDS, run
from annul.cli.frame import Exit, exit_of, text_of
from annul.cli.manual import ROUTE_COMMANDS, ROUTES_WITHOUT, manual
from annul.client import Unreachable
from annul.errors import BadInput, Forbidden, OverQuota, SourceDown, TransitionRefused

DOCS = Path(__file__).parents[2] / "docs" / "cli.md"


@pytest.fixture(autouse=True)
def away(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Run in an empty folder, without settings from the environment."""
    for name in list(os.environ):
        if name.startswith("ANNUL_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_the_manual_is_what_the_commands_say() -> None:
    """docs/cli.md is current; make it anew with `python -m annul.cli.manual > docs/cli.md`."""
    assert DOCS.read_text(encoding="utf-8") == manual()


def test_every_command_takes_json() -> None:
    """No command's help lacks --json."""
    for block in manual().split("\n## annul ")[1:]:
        if "\nCommands:\n" not in block:
            assert "--json" in block, block.splitlines()[0]


def test_every_route_has_a_command_or_a_reason() -> None:
    """The command line can do everything the API can do; what it leaves out, it leaves out on purpose."""
    from annul.web.routes import ROUTES

    routes = {f"{route.method} {route.path}" for route in ROUTES if not route.page}
    assert routes == ROUTE_COMMANDS.keys() | ROUTES_WITHOUT.keys()
    commands = set(re.findall(r"^## annul (.+)$", manual(), re.MULTILINE))
    assert {name for names in ROUTE_COMMANDS.values() for name in names.split(", ")} <= commands


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """--help works for each and exits 0."""
    assert run([name, "--help"]) == 0
    assert f"annul {name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [[], ["nonsense"], ["check", "--nonsense"], ["report"], ["check", "--min-position", "-1"]]
)
def test_wrong_usage_exits_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown command or option, or a value out of range, is wrong usage."""
    assert run(arguments) == 2
    capsys.readouterr()


def test_without_server_and_demo_the_next_step_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """Two lines on standard error, nothing on standard output, no traceback."""
    assert run(["check", "--scheme", "ru-internal", "--series", "4509", "--number", "123456"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 2
    assert "annul demo" in captured.err
    assert "123456" not in captured.err


def test_an_unreachable_server_exits_3(capsys: pytest.CaptureFixture[str]) -> None:
    """Port 1 of this machine listens to nobody; with --json the error is JSON."""
    asked = [
        "check",
        "--scheme",
        "ru-internal",
        "--series",
        "4509",
        "--number",
        "123456",
        "--url",
        "http://127.0.0.1:1",
        "--key",
        "k",
    ]
    assert run([*asked, "--json"]) == 3
    captured = capsys.readouterr()
    assert json.loads(captured.out)["error"]["code"] == "source-down"
    assert "PASS" not in captured.out


def test_exit_codes_tell_refusals_from_no_answers() -> None:
    """A check without an answer exits 12, unreachable 3, a refusal by rule 1, wrong input 2."""
    assert exit_of(OverQuota("x"), checking=True) == exit_of(Forbidden("x"), checking=True) == Exit.NO_ANSWER
    assert exit_of(SourceDown("x"), checking=True) == Exit.NO_ANSWER
    assert exit_of(Unreachable("x"), checking=True) == exit_of(Unreachable("x"), checking=False) == Exit.UNREACHABLE
    assert exit_of(TransitionRefused("x"), checking=False) == exit_of(Forbidden("x"), checking=False) == Exit.REFUSED
    assert exit_of(BadInput("x"), checking=True) == Exit.USAGE


@pytest.mark.parametrize("number", [[], ["--number", "-"]])
def test_a_number_can_be_kept_off_the_command_line(
    number: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Left out or written as -, it is read from standard input; an empty line is an error that says what to do."""
    monkeypatch.setattr("sys.stdin", io.StringIO("123456\n"))
    asked = ["check", "--scheme", "ru-internal", "--series", "4509", *number, "--url", "http://127.0.0.1:1", "--key", "k"]
    assert run(asked) == 3
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    assert run(asked) == 2
    assert "--document" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "--document", "missing.json"],
        ["check", "--document", "bad.json"],
        ["check", "--document", "list.json"],
        ["check", "--sample", "V00", "--document", "bad.json"],
        ["receipt", "verify", "missing.json", "--key", "x.pub"],
        ["import", "missing.csv", "--dry-run"],
        ["import", "list.json", "--format", "nonsense"],
        ["generate", "--format", "nonsense"],
        ["generate", "--as-of", "yesterday"],
        ["log", "checkpoint", "nonsense"],
        ["report", "found", "--by", "nobody", "--number", "1"],
    ],
    ids=" ".join,
)
def test_bad_input_is_two_lines_and_never_a_traceback(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """What, where, next step; exit 1 or 2."""
    Path("bad.json").write_text("{", encoding="utf-8")
    Path("list.json").write_text("[]", encoding="utf-8")
    assert run(arguments) in (1, 2)
    error = capsys.readouterr().err
    assert error.startswith("annul: ")
    assert "Traceback" not in error


def test_an_unexpected_error_shows_no_stack_and_says_how_to_see_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The door catches it; ANNUL_DEBUG shows it."""

    def broken() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("annul.cli.running.version", broken)
    assert run(["version"]) == 1
    assert "ANNUL_DEBUG=1" in capsys.readouterr().err
    monkeypatch.setenv("ANNUL_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        run(["version"])


def test_generated_lists_are_the_same_for_the_same_seed(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """To standard output, without a word of ours between the lines."""
    outputs = []
    for _ in range(2):
        assert run(["generate", "--documents", "50", "--seed", "4", "--as-of", "2026-11-23"]) == 0
        outputs.append(capsysbinary.readouterr().out)
    assert outputs[0] == outputs[1]
    assert outputs[0].count(b"\n") == 51


def test_setup_prepares_a_home_and_shows_the_first_key_once(memory_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Keys, database, supervisor; a second run keeps them and shows no key."""
    home = memory_folder / "setup"
    assert run(["setup", "--home", str(home), "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["supervisor_key"].startswith("live_")
    assert (home / "keys" / "secret.json").stat().st_mode & 0o777 == 0o600
    assert run(["setup", "--home", str(home), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["supervisor_key"] is None
    assert run(["doctor", "--home", str(home)]) == 0


def test_the_program_is_installed_and_light() -> None:
    """`python -m annul version` answers; a check loads neither numpy nor a database driver."""
    done = subprocess.run([sys.executable, "-m", "annul", "version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"annul {__version__}\n"
    heavy = "import sys, annul.cli; annul.cli.run(['check', '--url', 'http://127.0.0.1:1', '--key', 'k', '--number', '1']); "
    heavy += "print([name for name in ('numpy', 'psycopg', 'rich', 'numba', 'litestar', 'pyarrow') if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True, cwd="/")
    assert loaded.stdout.strip().splitlines()[-1] == "[]"


def test_values_are_written_for_people() -> None:
    """Lists, yes and no, nothing."""
    assert [text_of(value) for value in (None, True, False, ["a", "b"], {"x": 1}, 3)] == ["", "yes", "no", "a, b", "x 1", "3"]
