"""The counter policy, departures and urgent needs by commands alone: a version from draft to force and back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Annul
from tests.waiting import until


@pytest.fixture
def bare(annul: Annul) -> Iterator[dict[str, Any]]:
    """The policy book with no draft in the way; what a test drafted is thrown away after it."""

    def discard() -> dict[str, Any]:
        book: dict[str, Any] = annul("policy", "list", "--json").json
        for each in book["versions"]:
            if each["state"] == "draft":
                assert annul("policy", "discard", each["version"]).code == 0
        return book

    book = discard()
    yield book
    discard()


def found(annul: Annul, check: str) -> str:
    """Wait until a check is in the index, where acts on it look for it; return its id."""
    until(lambda: annul("checks", "show", check).code == 0, "the check in the index")
    return check


def draft(annul: Annul, tmp_path: Path, **changed: Any) -> int:
    """Save the policy in force with changes as the draft; return its version."""
    policy = json.loads(annul("policy", "show").out) | changed
    file = tmp_path / "policy.json"
    file.write_text(json.dumps(policy))
    saved = annul("policy", "draft", file, "--note", "a test", "--json")
    assert saved.code == 0, saved
    return int(saved.json["version"])


def test_what_is_shown_is_what_can_be_saved(annul: Annul, bare: dict[str, Any], tmp_path: Path) -> None:
    """`policy show` unchanged is a draft without a difference; a changed name is the one difference."""
    version = draft(annul, tmp_path)
    assert annul("policy", "diff", version).out == "No difference.\n"
    version = draft(annul, tmp_path, name="Stricter")
    (change,) = annul("policy", "diff", version, "--json").json
    assert (change["where"], change["new"]) == ("/name", "Stricter")
    assert "draft" in annul("policy", "list").out


def test_a_version_is_tried_released_and_rolled_back(annul: Annul, bare: dict[str, Any], tmp_path: Path) -> None:
    """Each step says what it did and at which position; what was in force before can be in force again."""
    before = bare["in_force"]
    version = draft(annul, tmp_path, name="For an hour")
    tried = annul("policy", "try", version, "--days", "1")
    assert "Nothing would have been different." in tried.out
    released = annul("policy", "release", version, "--reason", "a test", "--json").json
    assert released["in_force"] == version
    assert json.loads(annul("policy", "show").out)["name"] == "For an hour"
    back = annul("policy", "roll-back", before, "--reason", "the test is over", "--json").json
    assert (back["in_force"], back["position"] > released["position"]) == (before, True)
    states = {each["version"]: each["in_force"] for each in annul("policy", "list", "--json").json["versions"]}
    assert (states[before], states[version]) == (True, False)


def test_a_policy_below_the_floor_is_refused(annul: Annul, bare: dict[str, Any], tmp_path: Path) -> None:
    """A stolen card cannot be made to pass by a file: the place in it is named, and there is no draft."""
    policy = json.loads(annul("policy", "show").out)
    policy["status"]["S11"] |= {"in_person": "PASS", "remote": "PASS"}
    file = tmp_path / "policy.json"
    file.write_text(json.dumps(policy))
    refused = annul("policy", "draft", file)
    assert (refused.code, "S11" in refused.err) == (2, True), refused
    assert [each for each in annul("policy", "list", "--json").json["versions"] if each["state"] == "draft"] == []


@pytest.mark.parametrize("content", ["[]", "{", "{}", '{"name": 3}'])
def test_a_file_that_is_no_policy_is_wrong_usage(content: str, annul: Annul, bare: dict[str, Any], tmp_path: Path) -> None:
    """Not a server's fault, and nothing is saved."""
    file = tmp_path / "policy.json"
    file.write_text(content)
    refused = annul("policy", "draft", file)
    assert refused.code == 2, refused
    assert "on our side" not in refused.err


def another_key(annul: Annul) -> str:
    """A second key of the bank, issued by the supervisor: what a colleague has."""
    issued = annul("party", "key", "issue", "first-bank", "--json")
    return str(issued.json["token"])


def test_two_persons_may_be_wanted(annul: Annul, bare: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the editor's key neither releases the draft nor does away with the second person: that is asked for, and waits."""
    version = draft(annul, tmp_path, name="By two")
    assert annul("policy", "two-persons", "true").code == 0
    try:
        assert annul("policy", "release", version).code == 1
        asked = annul("policy", "two-persons", "false")
        assert "ASKED  Nothing has changed yet" in asked.out
        again = annul("policy", "two-persons", "false")
        assert again.code == 1
        assert "Ask a colleague with another key" in again.err
        assert annul("policy", "list", "--json").json["two_persons"] is True
    finally:
        annul("policy", "discard", version)
        monkeypatch.setenv("ANNUL_KEY", another_key(annul))
        assert "is not needed" in annul("policy", "two-persons", "false").out
        monkeypatch.delenv("ANNUL_KEY")
    assert version not in [each["version"] for each in annul("policy", "list", "--json").json["versions"] if each["in_force"]]


def test_versions_that_are_none_are_told(annul: Annul) -> None:
    """Out of range is wrong usage, unknown is refused; the police have no policy."""
    assert annul("policy", "show", "60000").code == 1
    assert annul("policy", "try", "0").code == 2
    assert annul("policy", "roll-back", "60000", "--reason", "a test").code == 1
    assert annul("policy", "list", "--as", "issuer").code == 1


def test_a_departure_is_recorded_once_and_listed(annul: Annul) -> None:
    """Only against the answer, with a reason; `other` needs words; the second time it is refused."""
    check = found(annul, annul("check", "--sample", "S10", "--json").json["check"])
    refused = annul("departure", "record", check, "--decision", "proceeded", "--reason", "other")
    assert refused.code == 2, refused
    done = annul("departure", "record", check, "--decision", "proceeded", "--reason", "issuer-confirmed", "--clerk", "C-9")
    assert "✔  RECORDED  Departure " in done.out, done
    assert check in annul("departure", "list").out
    assert annul("departure", "record", check, "--decision", "refused", "--reason", "issuer-confirmed").code != 0
    assert annul("departure", "record", "0" * 32, "--decision", "refused", "--reason", "issuer-confirmed").code == 1


def test_an_urgent_need_from_served_to_shown(annul: Annul, tmp_path: Path) -> None:
    """Only when all three are confirmed; due within a month; settled by a check of the holder's new document."""
    asked = annul("check", "--sample", "S10", "--purpose", "medical", "--urgent", "--json").json
    found(annul, asked["check"])
    words = ("--words", "medicine for a child", "--reference", "K-77")
    assert annul("urgent-need", "serve", asked["check"], *words, "--matches", "--genuine").code != 0
    served = annul("urgent-need", "serve", asked["check"], *words, "--matches", "--genuine", "--unexpired", "--json")
    assert served.code == 0, served
    need = served.json["need"]
    row = next(each for each in annul("urgent-need", "list", "--state", "open", "--json").json if each["id"] == need)
    assert row["reference"] == "K-77"
    again = found(annul, annul("check", "--sample", "S10", "--purpose", "medical", "--json").json["check"])
    assert annul("urgent-need", "shown", need, "--check", again).code != 0  # the dead card is not the new one
    assert annul("urgent-need", "shown", "n_none", "--check", again).code == 1
    assert annul("urgent-need", "list", "--state", "lost").code == 2
