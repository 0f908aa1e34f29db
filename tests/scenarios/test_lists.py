"""A real list comes in: dry run, bad lines by cause, two officers, undo as one event, and going on after kill -9."""

from __future__ import annotations

import bz2
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.scenarios.conftest import Fields, Town
from tests.waiting import until

BAD = (
    b"45O9,123456",
    b"4509,12345",
    b"450,123456",
    b"4509",
    b"",
    b"4509,1234567",
    b"\xd0\xa2\xd0\xa2\xd0\xa209,123456",
    b"4509,12 456",
)
"""Lines as the real list has them: letters for digits, short and long numbers, fields missing, Cyrillic."""


def passports(series: int, count: int) -> bytes:
    """Return lines of a list of invalid passports, without the header."""
    return b"".join(b"%04d,%06d\n" % (series, number) for number in range(count))


def one_of(series: int, number: int) -> Fields:
    """Return one document of such a list."""
    return {"scheme": "ru-internal", "series": f"{series:04d}", "number": f"{number:06d}"}


def test_a_list_is_tried_staged_confirmed_by_another_officer_and_taken_back(town: Town, tmp_path: Path) -> None:
    """Nothing counts before the second officer; every bad line is in the report; the undo is one entry of the log."""
    file = tmp_path / "list.csv.bz2"
    bad = b"\n".join(line for line in BAD if line) + b"\n"
    file.write_bytes(bz2.compress(b"PASSP_SERIES,PASSP_NUMBER\n" + passports(7201, 1500) + bad + passports(7202, 100)))
    position = town.position
    tried = town.annul("import", file, "--dry-run", "--json").json
    assert tried["dry_run"] is True
    assert tried["good"] == 1600
    assert tried["bad_count"] == len(BAD) - 1
    assert sum(cause["count"] for cause in tried["bad"].values()) == tried["bad_count"]
    assert all(1502 <= line <= 1520 for cause in tried["bad"].values() for line in cause["first_lines"])
    assert len(tried["bad"]) > 1
    assert town.position == position
    staged = town.annul("import", file, "--json", "--evidence", "list of 2026-11").json
    assert (staged["state"], staged["document_count"], staged["two_officers"]) == ("staged", 1600, True)
    assert town.code(one_of(7201, 7)) == "V00"
    for same in ("--as", "issuer"), ("--as", "police"):
        assert town.annul("bulk", "confirm", staged["id"], "--evidence", "e", *same).code == 1
    assert town.code(one_of(7201, 7)) == "V00"
    confirmed = town.annul("bulk", "confirm", staged["id"], "--evidence", "minutes 3", "--as", "supervisor", "--json").json
    assert confirmed["state"] == "in_force"
    assert [town.code(one_of(*one)) for one in ((7201, 7), (7201, 1499), (7202, 99))] == ["I23"] * 3
    assert town.code(one_of(7202, 100)) == "V00"
    worse = one_of(7201, 8)
    town.report(worse, "stolen")
    assert town.code(worse) == "S11"
    before = town.position
    undone = town.annul("bulk", "undo", staged["id"], "--evidence", "a database was merged", "--json").json
    assert undone["state"] == "undone"
    assert town.position == before + 2  # the undo, and the one document that has a life of its own
    assert [town.code(one_of(*one)) for one in ((7201, 7), (7201, 1499), (7202, 99))] == ["V00"] * 3
    assert town.code(worse) == "S11"
    assert town.annul("bulk", "confirm", staged["id"], "--evidence", "again", "--as", "supervisor").code == 1


def test_a_short_list_needs_one_officer(town: Town, tmp_path: Path) -> None:
    """Up to the limit of 1,000 documents it is in force at once."""
    file = tmp_path / "short.csv"
    file.write_bytes(b"PASSP_SERIES,PASSP_NUMBER\n" + passports(7203, 1000))
    made = town.annul("import", file, "--json").json
    assert (made["state"], made["document_count"]) == ("in_force", 1000)
    assert town.code(one_of(7203, 999)) == "I23"
    assert town.annul("bulk", "undo", made["id"], "--evidence", "e").code == 0


def test_an_interchange_list_carries_states_of_every_scheme(town: Town, tmp_path: Path) -> None:
    """Resident cards, passports and others with their own states, as NDJSON; bad lines are named by cause."""
    card = {"scheme": "cn-resident", "number": town.person(), "valid_from": "2014-05-06", "valid_until": "2034-05-06"}
    passport = {"scheme": "icao-9303", "issuer": "UTO", "kind": "P", "number": "W0099887"}
    lines: list[Fields] = [
        card | {"state": "reported_lost", "reason": "report_lost", "happened_at": "2026-10-01T00:00:00Z"},
        passport | {"state": "reported_stolen", "reason": "report_stolen", "happened_at": "2026-10-01T00:00:00Z"},
        one_of(7204, 1) | {"state": "superseded"},
        one_of(7204, 2) | {"state": "eaten"},
        card | {"number": card["number"][:-1] + ("1" if card["number"][-1] != "1" else "2"), "state": "revoked"},
        {"scheme": "morse", "number": "1", "state": "revoked"},
    ]
    file = tmp_path / "list.ndjson"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines) + "{not json\n")
    made = town.annul("import", file, "--json")
    assert made.code == 0, made
    assert made.json["document_count"] == 3
    assert sum(cause["count"] for cause in made.json["bad"].values()) == 4
    assert [town.code(document) for document in (card, passport, one_of(7204, 1))] == ["S10", "S11", "I20"]
    assert town.code(one_of(7204, 2)) == "V00"
    assert town.annul("bulk", "undo", made.json["id"], "--evidence", "e").code == 0
    assert town.code(passport) != "S11"


def test_an_import_killed_in_the_middle_goes_on_and_loses_nothing(town: Town, tmp_path: Path) -> None:
    """kill -9 while the list is read; nothing counts then; the same command finishes, and every line is there."""
    file = tmp_path / "long.csv"
    series_count, each = 24, 40_000
    file.write_bytes(b"PASSP_SERIES,PASSP_NUMBER\n" + b"".join(passports(7300 + n, each) for n in range(series_count)))
    staging = town.home / "listings" / "staging"
    command = [sys.executable, "-m", "annul", "import", str(file), "--json"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: process.poll() is not None or any(staging.rglob("*")), "the import", pause_s=0.002)
    assert process.poll() is None, "the import was over before it could be killed"
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert town.code(one_of(7300, 5)) == "V00"
    events = town.annul("bulk", "list", "--json").json
    assert not [event for event in events if event["document_count"] == series_count * each]
    staged = town.annul("import", file, "--json").json
    assert (staged["state"], staged["document_count"], staged["bad"]) == ("staged", series_count * each, {})
    assert town.annul("bulk", "confirm", staged["id"], "--evidence", "e", "--as", "supervisor").code == 0
    questions = [
        {"document": one_of(7300 + n, number), "purpose": "payment", "channel": "remote"}
        for n in range(series_count)
        for number in (0, 1, each // 2, each - 1)
    ]
    answers = town.post("/v1/checks/batch", {"checks": questions}, "bank").json()["answers"]
    town.answers += answers
    assert {answer["status"]["code"] for answer in answers} == {"I23"}
    assert town.code(one_of(7300, each)) == "V00"
    assert town.annul("bulk", "undo", staged["id"], "--evidence", "e").code == 0
