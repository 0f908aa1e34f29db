"""`annul screen`: a file in, results and a receipt out; what cannot be screened leaves with a reason and nothing else."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from annul.cli import run
from annul.listings import ListingsWriter
from annul.proof.checkpoint import open_note
from tests.registry.answering.test_screening import World, results_of_file, write

ROWS = [
    {"scheme": "generic", "number": "LOST1", "issuer": "UTO", "kind": "ID", "reference": "a"},
    {"scheme": "generic", "number": "FOUND1", "issuer": "UTO", "kind": "ID", "reference": "b"},
    {"scheme": "none", "number": "1", "reference": "c"},
]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A register's folder; nothing runs on it."""
    for name in list(os.environ):
        if name.startswith("ANNUL_"):
            monkeypatch.delenv(name)
    made = World(tmp_path)
    ListingsWriter(made.home.people).close()
    monkeypatch.setenv("ANNUL_HOME", str(made.home))
    return made


def test_a_file_is_screened(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The counts as JSON, the results where they were wanted, and a note under the register's key."""
    out = tmp_path / "told.csv"
    assert run(["screen", str(write(tmp_path / "file.ndjson", ROWS)), "--out", str(out), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert {name: said[name] for name in ("documents", "bad", "listed", "position")} == {
        "documents": 2,
        "bad": 1,
        "listed": 1,
        "position": 41,
    }
    assert [(row["reference"], row["status"]) for row in results_of_file(out)] == [("a", "S10"), ("b", "V00"), ("c", "")]
    text = open_note(said["receipt"].encode(), [world.keys.receipt_signer().verifier]).decode()
    assert text.startswith("annul screening v1\n")
    assert "\nparty @operator live\n" in text


def test_for_people(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In words: how many, how many listed, where the results lie; the results stand beside the file by default."""
    assert run(["screen", str(write(tmp_path / "file.csv", ROWS))]) == 0
    said = capsys.readouterr().out
    assert "2 documents screened" in said
    assert "1 listed" in said
    assert str(tmp_path / "file.screened.csv") in said


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("file.csv", "scheme,passport\n", "columns are not those"),
        ("file.parquet", "no Parquet", "no whole Parquet file"),
        ("file.doc", "x", "cannot be told by its name"),
    ],
)
def test_what_cannot_be_screened_is_refused(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: str, words: str
) -> None:
    """Exit 2, what is wrong and how to mend it; no file is left."""
    (tmp_path / name).write_text(content, encoding="utf-8")
    assert run(["screen", str(tmp_path / name)]) == 2
    assert words in capsys.readouterr().err
    assert not list(tmp_path.glob("*screened*"))


def test_a_party_that_is_not_there(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Refused, as a key that nobody has."""
    assert run(["screen", str(write(tmp_path / "file.csv", ROWS)), "--party", "nobody"]) == 1
    assert capsys.readouterr().err
