"""The desk by commands alone: found cards, disputes with a recall, searches, officers; on the data the demo shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.cli.conftest import Annul
from tests.waiting import until


def passport(folder: Path, number: int) -> Path:
    """Write a document nobody has reported."""
    file = folder / f"{number}.json"
    file.write_text(json.dumps({"scheme": "ru-internal", "series": "4610", "number": f"{number:06}"}))
    return file


def test_the_demo_shows_every_kind_of_desk_work(annul: Annul) -> None:
    """Found cards in each state, a dispute over its term, recalls of two organisations, officers, hand-in points."""
    states = ("held", "to_destroy", "handed_out", "destroyed")
    counts = [len(annul("found", "list", "--state", state, "--json").json["cards"]) for state in states]
    assert all(count >= 1 for count in counts)
    assert len(annul("dispute", "list", "--overdue", "--json").json["disputes"]) == 1
    assert len(annul("officer", "list", "--as", "supervisor", "--json").json["officers"]) == 5
    assert len(annul("found", "points", "--json").json["points"]) == 3


def test_a_found_card_by_commands(annul: Annul, tmp_path: Path) -> None:
    """Taken in, handed over, given back; a second one is destroyed; the text says what the JSON says."""
    card = annul(
        "found", "accept", "--document", passport(tmp_path, 1), "--point", "Market Square", "--place", "tram 9", "--json"
    ).json
    name = card["card"]
    annul("found", "hand-over", name, "--from", "Market Square", "--to", "Store", "--json")
    shown = annul("found", "show", name)
    assert shown.code == 0
    assert "HELD" in shown.out
    assert "finder → Market Square" in shown.out
    given = annul("found", "hand-out", name, "--evidence", "passport seen", "--json").json
    assert (given["state"], given["status"]) == ("handed_out", "current")
    refused = annul("found", "destroy", name, "--evidence", "minutes 1")
    assert refused.code == 1
    assert "not here any more" in refused.err


def test_a_dispute_ends_in_a_recall_by_commands(annul: Annul, tmp_path: Path) -> None:
    """Raised, heard, decided; the bank finds its recall and says that it knows."""
    document = passport(tmp_path, 2)
    annul("report", "lost", "--document", document, "--json")
    told = annul("check", "--document", document, "--json").json["check"]
    raised = annul("dispute", "raise", "--document", document, "--ground", "not_lost", "--case", "D-7", "--json").json
    annul("dispute", "note", raised["dispute"], "--text", "showed the document", "--json")
    decide = ("dispute", "decide", raised["dispute"], "--decision", "corrected", "--reason", "mistake")
    assert "PROPOSED  Nothing has changed yet" in annul(*decide).out
    assert annul(*decide).code == 1
    assert "CORRECTED" in annul(*decide, "--as", "supervisor").out

    def recalled() -> list[dict[str, Any]]:
        return [each for each in annul("recall", "list", "--json").json["recalls"] if told in each["note"]]

    found = until(recalled, "the recall")
    assert annul("recall", "acknowledge", found[0]["recall"]).code == 0
    reach = annul("dispute", "show", raised["dispute"], "--json").json["reach"]
    assert (reach["checks"], reach["acknowledged"]) == (1, 1)


def test_a_search_by_commands_names_its_case(annul: Annul, tmp_path: Path) -> None:
    """Without a case the command is wrong usage; with one the search is in the supervisor's list."""
    document = passport(tmp_path, 2)
    assert annul("search", "document", "--document", document).code == 2
    found = annul("search", "document", "--document", document, "--case", "K-1", "--json").json
    listed = annul("search", "list", "--case", "K-1", "--json").json["searches"]
    assert found["search"] in [each["search"] for each in listed]


def test_an_officer_by_commands(annul: Annul) -> None:
    """Added, changed, access removed by a supervisor; a party's own key alone makes nobody."""
    party = annul("officer", "list", "--as", "police", "--json").json["officers"][0]["party"]
    assert annul("officer", "add", "T-1", "--name", "Test Officer", "--as", "police").code == 1
    made = annul("officer", "add", "T-1", "--name", "Test Officer", "--party", party, "--duties", "desk,found", "--json").json
    changed = annul("officer", "change", made["id"], "--duties", "desk", "--remove", "--json").json
    assert (changed["duties"], changed["active"]) == (["desk"], False)
