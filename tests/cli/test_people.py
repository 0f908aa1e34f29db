"""The register of persons by commands alone: the demo's people, a list, a change of name, a death, an appeal, an undo."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Annul, demo_of
from tests.registry.people.test_enrolment import template as finger_template
from tests.registry.review.clinic import number as citizen_number
from tests.waiting import until

NUMBER = "440524198001010013"


def named(annul: Annul, file: Path, name: str) -> str:
    """Ask with a name and return the identity code."""
    return str(annul("check", "--document", file, "--name", name, "--json").json["identity"]["code"])


def test_somebody_of_the_demo_is_known_with_a_portrait(annul: Annul, demo_home: Path, tmp_path: Path) -> None:
    """demo.json names somebody to try: M0 by both names, M2 by another."""
    person = demo_of(demo_home)["person"]
    file = tmp_path / "card.json"
    file.write_text(json.dumps(person["document"]))
    assert [named(annul, file, name) for name in (person["name"], person["latin_name"], "谁")] == ["M0", "M0", "M2"]


def test_a_list_of_persons_from_dry_run_to_undo(annul: Annul, tmp_path: Path) -> None:
    """Bad lines by cause, in force, matched by the next checks, changed, and taken back as one event."""
    lists = tmp_path / "list.csv"
    lists.write_text(
        f"personal_number,name,birth_date\n{NUMBER},李雷,1980-01-01\nN-2,W2,\nN-3,韩梅,1981-01-01\n", encoding="utf-8"
    )
    card = tmp_path / "card.json"
    card.write_text(json.dumps({"scheme": "cn-resident", "number": NUMBER}))
    dry = annul("person", "import", lists, "--dry-run", "--json").json
    assert (dry["good"], dry["bad"]) == (2, {"name-not-letters": {"count": 1, "first_lines": [3]}})
    made = annul("person", "import", lists, "--evidence", "list 1", "--json").json
    assert made["state"] == "in_force"
    until(
        lambda: next(each for each in annul("person", "imports", "--json").json if each["id"] == made["id"])["applied"],
        "the imported persons",
    )
    assert named(annul, card, "李雷") == "M1"
    renamed = annul("person", "rename", "--number", NUMBER, "--name", "李大雷", "--json").json
    assert [named(annul, card, name) for name in ("李大雷", "李雷", "韩梅")] == ["M1", "M1", "M2"]
    assert annul("person", "past", renamed["person"], "--json").json[0]["event"] == "name_change"
    died = annul(
        "person",
        "report-death",
        "--number",
        NUMBER,
        "--name",
        "李大雷",
        "--born",
        "1980-01-01",
        "--happened-at",
        "2026-02-01T00:00:00Z",
        "--json",
    ).json
    assert died["due_at"]
    assert annul("person", "appeal", died["death"], "--grounds", "came in person").code == 0
    shown = annul("person", "show", "--number", NUMBER, "--case", "visit 1")
    assert "李大雷 (main), 李雷 (former)" in shown.out
    assert annul("person", "undo", made["id"], "--evidence", "wrong list").code == 0
    assert annul("person", "show", "--number", "N-3", "--case", "visit 2").code == 1


def test_a_wrong_list_is_refused_with_the_next_step(annul: Annul, tmp_path: Path) -> None:
    """Wrong columns, none at all, no such file: usage errors, said in one line with how to mend them."""
    (tmp_path / "a.csv").write_text("number,name\n1,a\n")
    (tmp_path / "a.txt").write_text("110105194912310021;x\n")
    for name, says in (("a.csv", "“number”"), ("a.txt", "does not name the columns"), ("none.csv", "cannot be read")):
        refused = annul("person", "import", tmp_path / name)
        assert refused.code == 2
        assert says in refused.err


def test_enrolment_and_events_of_one_person(annul: Annul, tmp_path: Path) -> None:
    """Entered, contacts set, fingers enrolled with consent and withdrawn, married, number corrected, taken back, erased."""
    number, corrected = citizen_number("110105", "19850101", 1), citizen_number("110105", "19850101", 3)
    file = tmp_path / "person.json"
    file.write_text(
        json.dumps({"personal_number": number, "names": [{"text": "赵云"}], "sex": "M", "birth_date": "1985-01-01"})
    )
    made = annul("person", "add", file, "--evidence", "register 4", "--json").json
    contacts = annul("person", "contacts", "--number", number, "--contact", "phone=+8613900000000", "--json")
    assert contacts.json["person"] == made["person"]
    assert annul("person", "contacts", "--number", number, "--contact", "nonsense").code == 2
    template = tmp_path / "index.fmr"
    template.write_bytes(finger_template())
    enrolled = annul("person", "enrol", "--number", number, "--consent", "form 9", "--finger", f"2={template}=60")
    assert enrolled.code == 0, enrolled.err
    assert annul("person", "enrolled", "--number", number, "--json").json[0]["trait"] == "finger"
    assert annul("person", "withdraw", "--number", number, "--evidence", "letter 3").code == 0
    assert annul("person", "enrolled", "--number", number, "--json").json[0]["ended"] == "withdrawn"
    married = annul("person", "marry", "--number", number, "--name", "赵云飞", "--json").json
    assert annul("person", "revert", str(made["person"]), str(married["position"]), "--evidence", "mistake").code == 0
    assert annul("person", "correct-number", "--number", number, "--corrected", corrected).code == 0
    assert annul("person", "emigrate", "--number", corrected).code == 0
    past = annul("person", "past", str(made["person"]), "--json").json
    assert [line["event"] for line in past] == [
        "birth",
        "contact",
        "enrolment",
        "withdrawal",
        "marriage",
        "revert",
        "number_correction",
        "emigration",
    ]
    assert annul("person", "erase", str(made["person"]), "--evidence", "court 1", "--yes").code == 0
    assert annul("person", "show", "--number", corrected, "--case", "visit 3").code == 1


def test_a_list_with_shared_numbers_comes_in_only_when_asked_for(annul: Annul, tmp_path: Path) -> None:
    """Two people with one number: the second line is refused, or taken for the clean-up; a staged list is discarded."""
    number = citizen_number("110105", "19700101", 1)
    lists = tmp_path / "list.csv"
    lists.write_text(f"personal_number,name\n{number},李一\n{number},李二\n{number},李一\n", encoding="utf-8")
    assert annul("person", "import", lists, "--dry-run", "--json").json["bad"]["number-known"]["first_lines"] == [3, 4]
    assert annul("person", "import", lists, "--dry-run", "--shared-numbers", "--json").json["bad"]["number-known"][
        "first_lines"
    ] == [4]
