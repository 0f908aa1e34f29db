"""The acceptance walk-through: ask, report, be refused, prove it; by commands and by plain HTTP with the contract's JSON."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import pytest

from tests.scenarios.conftest import Town

EXITS = {"PASS": 0, "REFER": 10, "STOP": 11, "NO_ANSWER": 12}


def test_a_lost_card_stops_counting_at_once_and_every_answer_can_be_proved(town: Town, tmp_path: Path) -> None:
    """By commands: PASS, report, STOP with code, advice and freshness; both receipts verify with the key file alone."""
    card = town.file_of(tmp_path, town.issue())
    first = town.annul("check", "--document", card, "--receipt", tmp_path / "first.json", "--json")
    assert (first.code, first.json["outcome"], first.json["status"]["code"]) == (0, "PASS", "V00")
    reported = town.annul("report", "lost", "--document", card, "--json")
    assert reported.code == 0
    assert reported.json["state"] == "reported_lost"
    second = town.annul("check", "--document", card, "--receipt", tmp_path / "second.json", "--json")
    assert (second.code, second.json["outcome"], second.json["status"]) == (
        11,
        "STOP",
        {"code": "S10", "class": "reported", "coverage": "whole_life"},
    )
    assert {"A6", "A8"} <= set(second.json["advice"])
    assert second.json["freshness"]["code"] == "F0"
    assert second.json["freshness"]["position"] >= reported.json["position"]
    public = tmp_path / "annul.pub"
    public.write_bytes((town.home / "keys" / "annul.pub").read_bytes())
    for name, outcome in (("first.json", "PASS"), ("second.json", "STOP")):
        proved = town.annul("receipt", "verify", tmp_path / name, "--key", public, "--json")
        assert proved.code == 0, proved
        says = proved.json
        assert says["verified"] is True
        told = json.dumps(says)
        for fact in (outcome, "first-bank", "account-opening"):
            assert fact in told
    verified = town.annul("log", "verify", "--json")
    assert (verified.code, verified.json["verified"]) == (0, True)
    town.answers += [first.json, second.json]


@pytest.mark.parametrize("member", ["leaf", "path", "statement", "signature"])
def test_any_changed_byte_of_a_receipt_is_refused_with_the_failing_step(town: Town, tmp_path: Path, member: str) -> None:
    """First, middle and last byte of every part; a batch gives the receipt a path."""
    batch = town.post(
        "/v1/checks/batch",
        {"checks": [{"document": town.passport(), "purpose": "payment", "channel": "remote"} for _ in range(3)]},
        "bank",
    )
    receipt = batch.json()["answers"][1]["receipt"]
    whole = base64.b64decode(receipt[member])
    file = tmp_path / "receipt.json"
    for at in (0, len(whole) // 2, len(whole) - 1):
        changed = whole[:at] + bytes((whole[at] ^ 1,)) + whole[at + 1 :]
        file.write_text(json.dumps(receipt | {member: base64.b64encode(changed).decode()}))
        refused = town.annul("receipt", "verify", file, "--json")
        assert refused.code == 1, (member, at, refused)
        assert refused.json["verified"] is False
        assert refused.json["step"] >= 1, (member, at)
    file.write_text(json.dumps(receipt))
    assert town.annul("receipt", "verify", file).code == 0


def test_the_contract_holds_word_by_word_over_http(town: Town) -> None:
    """POST /v1/checks and /v1/reports as the contract writes them, every member of it."""
    card = town.issue()
    question = {
        "document": card,
        "purpose": "account-opening",
        "channel": "remote",
        "holder": {"name": "王小明"},
        "branch": "0421",
        "terminal": "t-3",
        "clerk": "c-7",
        "reference": "case 1",
        "min_position": 0,
    }
    asked = town.post("/v1/checks", question, "bank")
    assert asked.status_code == 200
    answer = asked.json()
    town.answers.append(answer)
    assert answer["status"]["code"] == "V00"
    known = answer["identity"]["code"] in ("M0", "M1", "M9")  # this card's holder is not in the register of persons
    assert answer["outcome"] == ("PASS" if known else "REFER")
    assert {"code", "class"} <= answer["status"].keys()
    assert answer["binding"] == {"code": "B9"}
    assert {"code", "position", "as_of"} <= answer["freshness"].keys()
    assert answer["freshness"]["as_of"].endswith("Z")
    assert answer["advice"]
    assert answer["check"]
    assert isinstance(answer["receipt"], dict)
    assert {"ratelimit", "ratelimit-policy"} <= asked.headers.keys()
    report = {
        "document": card,
        "kind": "stolen",
        "happened_at": "2026-11-01T09:30:00Z",
        "proof": "in_person_fingerprint",
        "reporter": {"name": "王小明", "contact": "+86 10 0000"},
    }
    reported = town.post("/v1/reports", report, "police", Idempotency_Key="contract-1")
    assert reported.status_code == 201
    accepted = reported.json()
    assert {"report", "state", "position", "refused_after_ms"} <= accepted.keys()
    assert accepted["state"] == "reported_stolen"
    town.reports["contract-1"], town.documents["contract-1"] = accepted, card
    again = town.ask(card, min_position=accepted["position"])
    assert (again["outcome"], again["status"]["code"], again["status"]["class"]) == ("STOP", "S11", "reported")
    assert again["freshness"]["position"] >= accepted["position"]
    for log in ("register", "checks"):
        checkpoint = town.http.get(f"/v1/log/{log}/checkpoint").text.splitlines()
        assert re.fullmatch(rf"annul-[0-9a-f]{{12}}/{log}", checkpoint[0])
        tile = "000" if int(checkpoint[1]) >= 256 else f"000.p/{checkpoint[1]}"
        assert town.http.get(f"/v1/log/{log}/tile/0/{tile}").status_code == 200


def test_every_sample_gives_exactly_its_code_and_a_batch_is_the_map_of_singles(town: Town) -> None:
    """One document for every status code, asked alone, by the command, and all together."""
    singles, questions = [], []
    for code, sample in sorted(town.demo["samples"].items()):
        answer = town.ask(sample["document"])
        assert answer["status"]["code"] == code
        singles.append(answer)
        questions.append({"document": sample["document"], "purpose": "account-opening", "channel": "in_person"})
        told = town.annul("check", "--sample", code, "--json")
        assert told.code == EXITS[told.json["outcome"]]
        assert (told.json["outcome"], told.json["status"]["code"]) == (answer["outcome"], code)
    batch = town.post("/v1/checks/batch", {"checks": questions}, "bank").json()["answers"]
    town.answers += batch
    axes = ("outcome", "status", "identity", "binding", "advice", "detail", "error")
    for alone, together in zip(singles, batch, strict=True):
        assert {axis: alone[axis] for axis in axes} == {axis: together[axis] for axis in axes}
        assert together["freshness"]["code"] == alone["freshness"]["code"]
    assert len({answer["check"] for answer in batch}) == len(batch)


def test_an_exposed_document_counts_in_person_only(town: Town) -> None:
    """V01 passes at the counter and stops remotely."""
    document = town.demo["samples"]["V01"]["document"]
    assert (town.ask(document)["outcome"], town.ask(document, channel="remote")["outcome"]) == ("PASS", "STOP")


def test_a_second_annul_on_the_same_home_is_turned_away(town: Town) -> None:
    """The first goes on; the second says that another runs."""
    second = town.annul("serve", "--port", "0")
    assert second.code == 1, second
    assert "already runs" in second.err
    assert town.code(town.passport()) == "V00"
