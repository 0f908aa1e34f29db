"""`annul import` and `annul generate` on a machine of their own: what is read, what is refused, who may, and what is kept."""

from __future__ import annotations

import asyncio
import bz2
import gzip
import json
import os
from pathlib import Path

import pytest

from annul.cli import run
from annul.registry.parties.parties import Parties
from annul.registry.writing.act import Act
from annul.registry.writing.store import Fresh, connect
from annul.times import now_us
from tests.cli.conftest import Annul, Result, Terminal
from tests.demo.test_seeding import Unpublished

PASSPORTS = "PASSP_SERIES,PASSP_NUMBER\n"
OFFICER, SECOND = ("--as", "registry"), ("--second", "registry-2")


@pytest.fixture
def alone(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Annul:
    """Run commands on a home of its own with three issuers; nothing else runs on it."""
    for name in list(os.environ):
        if name.startswith("ANNUL_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("ANNUL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ANNUL_DATABASE_URL", database)
    monkeypatch.chdir(tmp_path)
    assert run(["setup"]) == 0

    keys: list[str] = []

    async def issuers() -> None:
        parties = Parties(Fresh(database), Unpublished(), now_us)
        for name in ("registry", "registry-2", "retired"):
            await parties.create(Act("operator"), name, name.title(), "issuer")
            keys.append((await parties.issue_key(Act("operator"), name)).token)
        await parties.create(Act("operator"), "bank", "Bank", "relying_party")
        await parties.set_active(Act("operator"), "retired", False)

    asyncio.run(issuers())
    monkeypatch.setenv("ANNUL_KEY", keys[0])
    monkeypatch.setenv("ANNUL_SECOND_KEY", keys[1])

    def command(*arguments: str | Path) -> Result:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return command


def listed(name: str, *lines: str, head: str = PASSPORTS) -> Path:
    """Write a list into the working folder."""
    file = Path(name)
    file.write_text(head + "".join(f"{line}\n" for line in lines), encoding="utf-8")
    return file


def bulks(database: str) -> list[tuple[str, int]]:
    """Return state and number of documents of every bulk event."""
    with connect(database) as db:
        return db.execute("SELECT state, document_count FROM bulk ORDER BY staged_at_us").fetchall()  # type: ignore[return-value]


def test_bad_lines_are_left_out_and_told_by_cause_with_their_places(alone: Annul, database: str) -> None:
    """The good ones are listed all the same; the numbers of bad lines are told, their contents are not."""
    lines = ("4509,123456", "4509,12345", "4509,", "45O9,123456", "4509;123456", "4509,1234567", "4510,654321", "")
    told = alone("import", listed("list.csv", *lines), *OFFICER, "--json")
    assert told.code == 0, told
    assert (told.json["state"], told.json["document_count"]) == ("in_force", 2)
    places = sorted(line for cause in told.json["bad"].values() for line in cause["first_lines"])
    assert places == [3, 4, 5, 6, 7, 9], told.out
    assert "12345" not in json.dumps(told.json["bad"]) + told.err
    assert bulks(database) == [("in_force", 2)]


def test_the_text_says_what_the_json_says(alone: Annul) -> None:
    """State, count, what it means, how to undo it; causes in a table."""
    told = alone("import", listed("list.csv", "4509,123456", "45,1"), *OFFICER, "--evidence", "letter 7")
    assert "✔  IN FORCE  1 documents, listed as revoked." in told.out
    assert "Undo: annul bulk undo " in told.out
    assert "letter 7" in told.out
    assert "bad lines" in told.out
    assert "Reading list.csv" in told.err


def test_a_dry_run_keeps_nothing(alone: Annul, database: str, tmp_path: Path) -> None:
    """Counts and causes as the import would have, no event, no file in the home."""
    before = sorted((tmp_path / "home").rglob("*.seg"))
    file = listed("list.csv", "4509,123456", "4509,12", "4509,123456")
    told = alone("import", file, "--dry-run", *OFFICER, "--json").json
    assert (told["dry_run"], told["good"], told["bad_count"]) == (True, 2, 1)
    assert "Nothing was kept (dry run)." in alone("import", file, "--dry-run", *OFFICER).out
    assert bulks(database) == []
    assert sorted((tmp_path / "home").rglob("*.seg")) == before


def test_a_list_of_nothing_but_bad_lines_is_no_tick(alone: Annul) -> None:
    """A dry run of it ends as wrong input, and says so; one bad line among good ones is marked, and is none."""
    told = alone("import", listed("list.csv", "4509,12", "45O9,123456"), "--dry-run", *OFFICER)
    assert told.code == 2
    assert "✘  NOTHING GOOD  3 lines, 0 good, 2 bad." in told.out
    assert "✔" not in told.out
    some = alone("import", listed("list.csv", "4509,12", "4509,123456"), "--dry-run", *OFFICER)
    assert (some.code, some.out[:7]) == (0, "!  READ")


def test_a_list_from_another_program_comes_in_as_it_is(alone: Annul) -> None:
    """Semicolons, `sep=`, a column more that is left out by name, packed: the command needs no other word."""
    text = "sep=;\nscheme;number;state;branch\nru-internal;4509123456;I23;north\n"
    Path("list.csv.gz").write_bytes(gzip.compress(text.encode()))
    refused = alone("import", "list.csv.gz", *OFFICER)
    assert refused.code == 2
    assert "“branch”" in refused.err
    assert "separator semicolon" in refused.err
    told = alone("import", "list.csv.gz", *OFFICER, "--leave-out", "Branch", "--json")
    assert (told.code, told.json["document_count"], told.json["listed"]) == (0, 1, ["revoked"])
    again = alone("import", "list.csv.gz", *OFFICER, "--leave-out", "branch")
    assert again.code == 1
    assert f"bulk event {told.json['id']}" in again.err


@pytest.mark.parametrize(
    ("file", "options", "says"),
    [
        ("none.csv", [], "cannot be read"),
        ("list.csv", ["--format", "xlsx"], "Use one of ru-passports, interchange."),
        ("list.csv", ["--state", "lost"], "reported_lost"),
        ("list.csv", ["--happened-at", "yesterday"], "2026-11-23T14:03:22Z"),
        ("list.csv", ["--happened-at", "2026-11-23T14:03:22"], "offset such as +03:00"),
        ("list.csv", ["--happened-at", "2926-11-23T14:03:22Z"], "future"),
        ("list.txt", ["--format", "interchange"], "“passp_series”"),
        ("bad.csv", [], "names no document"),
        ("empty.csv", [], "valid_until"),
        ("columns.csv", [], "valid_until"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_what_cannot_be_imported_is_wrong_usage_with_the_next_step(
    file: str, options: list[str], says: str, alone: Annul, database: str
) -> None:
    """Two lines, exit 2, and the register is as it was."""
    listed("list.csv", "4509,123456")
    listed("list.txt", "x")
    listed("bad.csv", "x", "y")
    Path("empty.csv").write_text("")
    listed("columns.csv", "generic,1,red", head="scheme,number,colour\n")
    refused = alone("import", file, *OFFICER, *options)
    assert refused.code == 2, refused
    assert says in refused.err
    assert "on our side" not in refused.err
    assert bulks(database) == []


@pytest.mark.parametrize("name", ["nobody", "bank", "retired"])
def test_only_an_active_officer_imports(name: str, alone: Annul, database: str) -> None:
    """A relying party, somebody suspended and nobody are told alike; as the second officer, too."""
    file = listed("list.csv", "4509,123456")
    refused = alone("import", file, "--as", name)
    assert (refused.code, "annul party list" in refused.err) == (1, True)
    assert bulks(database) == []
    assert alone("import", file, *OFFICER, "--second", name).code == 1


def test_a_name_is_written_with_its_key_alone(alone: Annul, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another's key, a second name with the first one's key, no key: refused; without a name it is the operator, alone."""
    monkeypatch.setenv("ANNUL_BULK_LIMIT", "2")
    large = listed("list.csv", "4509,100001", "4509,100002", "4509,100003")
    stolen = alone("import", large, "--as", "registry-2")
    assert (stolen.code, "not a working key" in stolen.err) == (2, True), stolen
    monkeypatch.setenv("ANNUL_SECOND_KEY", os.environ["ANNUL_KEY"])
    twice = alone("import", large, *OFFICER, *SECOND)
    assert (twice.code, "not a working key" in twice.err) == (2, True), twice
    monkeypatch.delenv("ANNUL_SECOND_KEY")
    assert alone("import", large, *OFFICER, *SECOND).code == 2
    monkeypatch.delenv("ANNUL_KEY")
    assert alone("import", large, *OFFICER).code == 2
    assert {state for state, _ in bulks(database)} <= {"staged"}
    operator = alone("import", listed("small.csv", "4509,200001"), "--json").json
    assert (operator["state"], operator["staged_by"], operator["confirmed_by"]) == ("in_force", "operator", "operator")
    assert alone("import", listed("other.csv", "4509,300001", "4509,300002"), "--json").json["state"] == "staged"  # the sum


def test_above_the_limit_a_second_officer_is_needed(alone: Annul, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Staged by one, it is not in force, and the next step is told; the same person twice is refused; two put it in force."""
    monkeypatch.setenv("ANNUL_BULK_LIMIT", "2")
    told = alone("import", listed("list.csv", "4509,100001", "4509,100002", "4509,100003"), *OFFICER)
    assert "✔  STAGED  3 documents" in told.out
    assert "then another officer: annul bulk confirm" in told.out
    with monkeypatch.context() as patch:
        patch.setenv("ANNUL_SECOND_KEY", os.environ["ANNUL_KEY"])
        other = listed("other.csv", "4509,200001", "4509,200002", "4509,200003")
        same = alone("import", other, *OFFICER, "--second", "registry")
    assert (same.code, "second officer" in same.err) == (1, True), same
    both = alone("import", listed("third.csv", "4509,300001", "4509,300002", "4509,300003"), *OFFICER, *SECOND, "--json")
    assert (both.json["state"], both.json["staged_by"], both.json["confirmed_by"]) == ("in_force", "registry", "registry-2")
    assert [state for state, _ in bulks(database)] == ["staged", "staged", "in_force"]


def test_exactly_the_limit_is_one_officers(alone: Annul, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is what one officer may do, not the first that needs two; what is listed twice counts once."""
    monkeypatch.setenv("ANNUL_BULK_LIMIT", "2")
    told = alone("import", listed("list.csv", "4509,100001", "4509,100002", "4509,100001"), *OFFICER, "--json").json
    assert (told["state"], told["document_count"], told["two_officers"]) == ("in_force", 2, False)


def test_a_list_is_told_by_its_head_its_name_or_the_option(alone: Annul) -> None:
    """A packed list is Russian by its ending; a head with a byte order mark is still a head."""
    Path("list.csv.bz2").write_bytes(bz2.compress(f"{PASSPORTS}4509,123456\n".encode()))
    assert alone("import", "list.csv.bz2", "--dry-run", *OFFICER, "--json").json["good"] == 1
    file = listed("mark.csv", "4509,123456", head="\ufeffpassp_series,PASSP_NUMBER\n")
    assert alone("import", file, "--dry-run", *OFFICER, "--json").json["good"] >= 1
    rows = listed("rows.csv", "ru-internal,4509,123456,revoked", head="scheme,series,number,state\n")
    assert alone("import", rows, "--dry-run", *OFFICER, "--json").json["good"] == 1


@pytest.mark.parametrize("state", ["superseded", "cancelled", "reported_stolen"])
def test_what_a_list_says_of_its_documents_is_chosen(state: str, alone: Annul) -> None:
    """A list of numbers alone says no state: the officer does."""
    told = alone("import", listed("list.csv", "4509,123456"), *OFFICER, "--state", state, "--json").json
    assert told["listed"] == [state]


def test_a_list_for_the_test_data_is_apart(alone: Annul, database: str) -> None:
    """--test lists into the other realm: its entry says so."""
    alone("import", listed("list.csv", "4509,123456"), "--test")
    with connect(database) as db:
        assert db.execute("SELECT realm FROM bulk").fetchall() == [(1,)]


@pytest.mark.parametrize("form", ["interchange-csv", "interchange-ndjson", "interchange-parquet", "ru-passports"])
def test_what_is_generated_is_imported_without_a_bad_line(form: str, alone: Annul, tmp_path: Path) -> None:
    """One command's output is the other's input, whatever the form."""
    ending = {"interchange-parquet": ".parquet", "interchange-ndjson": ".ndjson"}.get(form, ".csv")
    file = tmp_path / f"made{ending}"
    made = alone("generate", "--documents", "400", "--format", form, "-o", file, "--seed", "6", "--json").json
    assert made == {"file": str(file), "documents": 400}
    read = alone("import", file, "--dry-run", *OFFICER, "--json").json
    assert (read["bad_count"], read["good"] + read["passed_over"]) == (0, 400)


def test_a_list_generated_into_a_pipe_has_nothing_else_in_it(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """Progress goes to standard error; the day decides with the seed."""
    outputs = []
    for day in ("2026-11-23", "2026-11-23", "2016-11-23"):
        assert run(["generate", "--documents", "5", "--as-of", day]) == 0
        told = capfdbinary.readouterr()
        outputs.append(told.out)
        assert b"Generating" in told.err
    assert outputs[0] == outputs[1] != outputs[2]
    assert outputs[0].splitlines()[0].startswith(b"scheme,issuer,kind,")


def test_parquet_is_not_for_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody's screen is filled with bytes: name a file."""
    monkeypatch.setattr("sys.stdout", Terminal())
    assert run(["generate", "--documents", "1", "--format", "interchange-parquet"]) == 2
    assert "Name a file." in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [["--documents", "0"], ["--seed", "-1"], ["--as-of", "2026-13-01"], ["--format", "xlsx"]])
def test_a_country_that_cannot_be_is_wrong_usage(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Out of range, no date, no format."""
    assert run(["generate", *wrong]) == 2
    capsys.readouterr()
