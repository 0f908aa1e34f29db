"""What all commands share: how documents are named, where the server is, what is printed, and how errors look."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from annul import __version__
from annul.cli import run
from annul.cli.frame import (
    REFUSED_INPUT,
    Exit,
    Named,
    Show,
    Where,
    ask_secretly,
    exit_of,
    folder_of,
    print_columns,
    print_pairs,
    read_document,
    read_json,
    sample,
    say_error,
)
from annul.errors import AnnulError, BadInput, NotFound, OverQuota, SourceDown
from tests.cli.conftest import Terminal

CARD = {"scheme": "cn-resident", "number": "11010519491231002X", "valid_from": "2016-10-06"}
DEMO = {
    "url": "http://127.0.0.1:1",
    "credentials": {"bank": {"key": "live_bank"}, "police": {"key": "live_police"}},
    "samples": {"V00": {"document": CARD}},
    "try": {"document": CARD | {"number": "110101199003070097"}},
}


@pytest.fixture(autouse=True)
def away(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Run in an empty folder, without settings from the environment."""
    for name in list(os.environ):
        if name.startswith("ANNUL_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    """A home with a demo.json of nobody's register."""
    (tmp_path / "demo.json").write_text(json.dumps(DEMO), encoding="utf-8")
    return tmp_path


# -- naming a document -------------------------------------------------------------------------------------------------------


def test_only_what_was_given_is_sent(tmp_path: Path) -> None:
    """Fields that were left out are not in the question; the scheme has a default."""
    named = Named(number="11010519491231002X", valid_until="long-term")
    assert named.fields(tmp_path) == {
        "scheme": "cn-resident",
        "number": "11010519491231002X",
        "valid_until": "long-term",
    }


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_file_holds_the_fields_or_an_object_with_them(wrapped: bool, tmp_path: Path) -> None:
    """What a sample of demo.json, or `annul read --json`, looks like is taken as it is."""
    file = tmp_path / "card.json"
    file.write_text(json.dumps({"document": CARD, "means": "chip"} if wrapped else CARD))
    assert read_document(str(file)) == CARD
    assert Named(document=str(file)).fields(tmp_path) == CARD


def test_a_file_comes_from_standard_input_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """- is standard input."""
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(CARD)))
    assert read_document("-") == CARD


@pytest.mark.parametrize(
    ("content", "says"),
    [("[]", "JSON object"), ('"x"', "JSON object"), ("{", "not JSON"), ("", "not JSON"), ("\xff", "not JSON")],
)
def test_a_file_that_is_no_document_is_named(content: str, says: str, tmp_path: Path) -> None:
    """The error tells which file and what is wrong with it, and shows nothing of its content."""
    file = tmp_path / "card.json"
    file.write_text(content, encoding="latin-1")
    with pytest.raises(BadInput, match=says) as refused:
        read_document(str(file))
    assert refused.value.where == str(file)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    """The system's reason is told."""
    with pytest.raises(BadInput, match="directory"):
        read_json(str(tmp_path))


def test_a_document_is_named_in_one_way(demo: Path) -> None:
    """A sample beside a file is one too many; both options are named."""
    with pytest.raises(BadInput, match="twice") as refused:
        Named(sample="V00", document="card.json").fields(demo)
    assert refused.value.where == "--sample, --document, --zone"


@pytest.mark.parametrize("code", ["v00", "V00"])
def test_samples_are_known_by_their_code_in_any_case(code: str, demo: Path) -> None:
    """And the document of the commands to try by its own name."""
    assert sample(demo, code) == CARD
    assert Named(sample="try").fields(demo)["number"] == "110101199003070097"


def test_an_unknown_sample_names_those_there_are(demo: Path) -> None:
    """Also those of a demo whose document to try is not made yet."""
    with pytest.raises(NotFound, match="'X99'") as refused:
        sample(demo, "X99")
    assert refused.value.mend == "Use one of try, V00."
    (demo / "demo.json").write_text(json.dumps(DEMO | {"try": {}}))
    with pytest.raises(NotFound):
        sample(demo, "try")


def test_a_number_is_asked_for_at_the_terminal_on_standard_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The question never mixes with results; without a terminal nothing is asked, the line is just read."""
    monkeypatch.setattr("sys.stdin", Terminal("  123 456 \n"))
    assert ask_secretly("Number as printed") == "123 456"
    asked = capsys.readouterr()
    assert (asked.out, asked.err) == ("", "Number as printed: ")
    monkeypatch.setattr("sys.stdin", io.StringIO("7\n"))
    assert ask_secretly("Number") == "7"
    assert capsys.readouterr().err == ""


# -- where the server is -----------------------------------------------------------------------------------------------------


def test_address_and_key_of_ones_own_need_no_demo(tmp_path: Path) -> None:
    """Nothing is read from the home; the address is tidied."""
    with Where(home=tmp_path, url="https://register.example/", key="live_x").client("bank") as annul:
        assert annul.connection.url == "https://register.example"


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({}, "live_bank"),
        ({"as_name": "police"}, "live_police"),
        ({"key": "live_mine"}, "live_mine"),
        ({"key": "live_mine", "as_name": "police"}, "live_police"),
        ({"url": "http://127.0.0.1:2", "key": "live_mine", "as_name": "police"}, "live_police"),
    ],
    ids=str,
)
def test_the_credential_that_was_named_last_wins(options: dict[str, Any], key: str, demo: Path) -> None:
    """--as names one of demo.json, whatever key lies in the environment; without either the command's own role is taken."""
    with Where(home=demo, **options).client("bank") as annul:
        assert annul.connection._http.headers["authorization"] == f"Bearer {key}"
        assert annul.connection.url == options.get("url", DEMO["url"])


def test_an_unknown_credential_names_those_there_are(demo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 2, with the names and without any key."""
    assert run(["check", "--sample", "V00", "--home", str(demo), "--as", "mayor"]) == Exit.USAGE
    told = capsys.readouterr().err
    assert "Use one of bank, police." in told
    assert "live_" not in told


@pytest.mark.parametrize(
    "address",
    ["register.example", "ftp://register.example", "http://[", "http://", "http:///v1", "http://a b", "http://x:port"],
)
def test_an_address_that_is_none_is_wrong_usage(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Not unreachable: it could never be reached."""
    assert run(["check", "--number", "1", "--url", address, "--key", "k"]) == Exit.USAGE
    assert "http://HOST:PORT" in capsys.readouterr().err


def test_a_damaged_demo_file_is_named_with_the_next_step(demo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No traceback, no stack; move it away."""
    (demo / "demo.json").write_text("{")
    assert run(["keys", "show", "--home", str(demo), "--url", ""]) in (Exit.REFUSED, Exit.USAGE)
    assert run(["check", "--sample", "V00", "--home", str(demo)]) == Exit.USAGE
    assert "annul demo" in capsys.readouterr().err


@pytest.mark.parametrize("given", [None, Path(), Path(".annul")])
def test_an_empty_home_is_the_default_one(given: Path | None) -> None:
    """ANNUL_HOME set to nothing is as if it were not set; the folder is told as an absolute path."""
    assert folder_of(given) == Path.cwd() / ".annul"


# -- printing ----------------------------------------------------------------------------------------------------------------


def test_columns_are_never_cut_and_line_up(capsys: pytest.CaptureFixture[str]) -> None:
    """Ids can be copied from a table; there is no trailing space and no colour when it is not a terminal."""
    long = "d_" + "0123456789abcdef" * 4
    print_columns([[long, "x"], ["short", "y"]], ["id", "state"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == f"{long}  x"
    assert {line.index(sign) for line, sign in zip(lines, ("state", "x", "y"), strict=True)} == {len(long) + 2}
    assert not any(line != line.rstrip() or "\033" in line for line in lines)


def test_headings_are_bold_on_a_terminal_that_can(monkeypatch: pytest.MonkeyPatch) -> None:
    """And plain where NO_COLOR is set or the terminal is dumb. Source: no-color.org."""
    for name, value, bold in (("TERM", "xterm", True), ("NO_COLOR", "", False), ("TERM", "dumb", False)):
        screen = Terminal()
        monkeypatch.delenv("NO_COLOR", raising=False)
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv(name, value)
        monkeypatch.setattr("sys.stdout", screen)
        print_columns([["1"]], ["id"])
        assert ("\033[1m" in screen.getvalue()) == bold, (name, value)


def test_pairs_without_a_value_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing, an empty text and an empty list say nothing; no and 0 do."""
    print_pairs([("None", None), ("Empty", ""), ("List", []), ("Zero", 0), ("Flag", False), ("Longer name", "x")])
    assert capsys.readouterr().out == "Zero         0\nFlag         no\nLonger name  x\n"
    print_pairs([])
    assert capsys.readouterr().out == ""


def test_a_table_is_rows_for_people_and_whole_objects_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    """JSON keeps members that have no column; an empty table says how it would fill."""
    rows = [{"id": "a", "kinds": ["x", "y"], "secret": 1}]
    Show().table(rows, {"id": "id", "kinds": "told of"}, empty="None.")
    assert capsys.readouterr().out == "id  told of\na   x, y\n"
    Show(json_wanted=True).table(rows, {"id": "id"}, empty="None.")
    assert json.loads(capsys.readouterr().out) == rows
    Show().table([], {"id": "id"}, empty="None. Add one.")
    assert capsys.readouterr().out == "None. Add one.\n"
    Show(json_wanted=True).table([], {"id": "id"}, empty="None.")
    assert json.loads(capsys.readouterr().out) == []


# -- errors ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("as_json", [False, True])
def test_an_error_is_what_and_where_and_then_the_next_step(as_json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """On standard error in two lines; with --json also as a value on standard output, without members that say nothing."""
    say_error(BadInput("The date cannot be read.", where="--as-of", mend="Write it like 2026-11-23."), as_json=as_json)
    told = capsys.readouterr()
    assert told.err == "annul: The date cannot be read. (--as-of)\n  Write it like 2026-11-23.\n"
    if as_json:
        assert json.loads(told.out) == {
            "error": {
                "code": "bad-input",
                "message": "The date cannot be read.",
                "where": "--as-of",
                "mend": "Write it like 2026-11-23.",
            }
        }
    else:
        assert told.out == ""


def test_an_error_without_place_or_step_has_neither(capsys: pytest.CaptureFixture[str]) -> None:
    """And a check that got no answer says so in its JSON, so that no program takes it for a pass."""
    say_error(OverQuota("Too many."), as_json=True, no_answer=True)
    told = capsys.readouterr()
    assert told.err == "annul: Too many.\n"
    assert json.loads(told.out) == {"outcome": "NO_ANSWER", "error": {"code": "over-quota", "message": "Too many."}}


def test_an_error_is_red_only_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The words are the same."""
    for terminal, colour in ((True, "\033[1;31mannul:\033[0m Stop."), (False, "annul: Stop.")):
        screen = Terminal() if terminal else io.StringIO()
        monkeypatch.delenv("NO_COLOR", raising=False)
        monkeypatch.setattr("sys.stderr", screen)
        say_error(BadInput("Stop."), as_json=False)
        assert screen.getvalue() == colour + "\n"


def test_every_error_of_ours_has_an_exit_code_and_none_passes() -> None:
    """Whatever its class, a command never ends with 0; a check never ends with a code that means an answer."""
    waiting: list[type[AnnulError]] = [AnnulError]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        error = kind.__new__(kind)
        for checking in (True, False):
            code = exit_of(error, checking=checking)
            assert code in (Exit.REFUSED, Exit.USAGE, Exit.UNREACHABLE, Exit.NO_ANSWER), kind
            assert checking or code != Exit.NO_ANSWER
            assert (code == Exit.USAGE) == (kind.code in REFUSED_INPUT), kind


def test_a_source_that_is_down_is_no_answer_to_a_check_and_unreachable_to_others() -> None:
    """The server answered, but without its database: a check has no answer, a report was not delivered."""
    assert exit_of(SourceDown("x"), checking=True) == Exit.NO_ANSWER
    assert exit_of(SourceDown("x"), checking=False) == Exit.UNREACHABLE


def test_ctrl_c_ends_with_130_and_one_word(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """As shells expect of what was interrupted."""

    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("annul.cli.running.version", interrupted)
    assert run(["version"]) == 130
    assert capsys.readouterr().err == "Stopped.\n"


@pytest.mark.parametrize("name", ["check", "verify-person"])
def test_both_commands_that_ask_end_without_an_answer_alike(
    name: str, make_refusing: Callable[[int, str], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Over quota at the door: 12, never 0, in words and in JSON."""
    url = make_refusing(429, "over-quota")
    finger = tmp_path / "finger"
    finger.write_bytes(b"x")
    asked = [name, "--number", "11010519491231002X", "--url", url, "--key", "k"]
    asked += ["--finger", str(finger), "--enrolled", str(finger)] if name == "verify-person" else []
    assert run(asked) == Exit.NO_ANSWER
    assert "Do not take this for a pass." in capsys.readouterr().out
    assert run([*asked, "--json"]) == Exit.NO_ANSWER
    assert json.loads(capsys.readouterr().out)["outcome"] == "NO_ANSWER"


@pytest.mark.parametrize(
    ("status", "code", "exit_code"),
    [
        (401, "not-authorised", Exit.NO_ANSWER),
        (403, "purpose-not-allowed", Exit.NO_ANSWER),
        (504, "timed-out", Exit.NO_ANSWER),
        (503, "source-down", Exit.NO_ANSWER),
        (400, "bad-input", Exit.USAGE),
        (413, "too-large", Exit.USAGE),
        (500, "internal", Exit.REFUSED),
    ],
)
def test_what_the_server_answers_decides_the_exit_code(
    status: int, code: str, exit_code: Exit, make_refusing: Callable[[int, str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    """No answer is 12, what was asked wrongly 2; the server's own words and next step are shown."""
    asked = ["check", "--number", "11010519491231002X", "--url", make_refusing(status, code), "--key", "k"]
    assert run(asked) == exit_code
    told = capsys.readouterr()
    assert "As the server says." in told.err
    assert "Do as it says." in told.err
    assert ("NO ANSWER" in told.out) == (exit_code == Exit.NO_ANSWER)


def test_a_file_that_cannot_be_written_is_said_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong usage, with the system's reason; no half file is left."""
    folder = tmp_path / "locked"
    folder.mkdir()
    assert run(["openapi", "--output", str(folder)]) != 0
    assert "cannot be written" in capsys.readouterr().err
    assert run(["generate", "--documents", "1", "-o", str(folder)]) == Exit.USAGE
    assert "cannot be written" in capsys.readouterr().err


def test_no_option_is_a_secret_in_disguise() -> None:
    """Every command that takes a number says that it stays in the shell's history."""
    from typer.main import get_command

    from annul.cli import make_app

    waiting = [get_command(make_app())]
    seen = 0
    while waiting:
        command: Any = waiting.pop()
        waiting += getattr(command, "commands", {}).values()
        for option in command.params:
            if option.name == "number" and "personal" in (option.help or "").lower() + (option.metavar or "").lower():
                seen += 1
                assert "history" in option.help, command.name
    assert seen > 5


# -- help, version, completion -----------------------------------------------------------------------------------------------


def test_no_summary_is_cut(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """However narrow the terminal, a list of commands tells each summary to its end."""
    monkeypatch.setenv("COLUMNS", "60")
    for group in ([], ["dispute"], ["party"], ["party", "key"]):
        assert run([*group, "--help"]) == 0
        told = capsys.readouterr().out
        assert "..." not in told.partition("Commands:")[2], group
        assert max(map(len, told.splitlines())) <= 60


def test_the_version_is_told_where_everybody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    """--version, -V and the command say the same."""
    for asked in (["--version"], ["-V"], ["version"]):
        assert run(asked) == 0
        assert capsys.readouterr().out == f"annul {__version__}\n"


ASKED = [
    ("bash", {"COMP_WORDS": "annul keys r", "COMP_CWORD": "2"}, "rotate"),
    ("bash", {"COMP_WORDS": "annul doc", "COMP_CWORD": "1"}, "doctor"),
    ("zsh", {"_TYPER_COMPLETE_ARGS": "annul backup --rec"}, "--recipient"),
    ("fish", {"_TYPER_COMPLETE_ARGS": "annul keys r", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}, "rotate"),
]


@pytest.mark.parametrize(("shell", "words", "expected"), ASKED)
def test_a_shell_is_told_what_may_come_next(
    shell: str, words: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The script names the variable that the program answers to; commands and options are completed."""
    assert run(["completion", shell]) == 0
    assert "_ANNUL_COMPLETE" in capsys.readouterr().out
    for name, value in ({"_ANNUL_COMPLETE": f"complete_{shell}"} | words).items():
        monkeypatch.setenv(name, value)
    assert run([]) == 0
    assert expected in capsys.readouterr().out
