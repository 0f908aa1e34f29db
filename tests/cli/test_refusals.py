"""Refusals of the running register as the command line tells them: exit code, reason, next step; nothing changed."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Annul, demo_of
from tests.cli.test_walk import fresh_card
from tests.waiting import until


def code(annul: Annul, card: Path) -> str:
    """Ask about a card and return its status code."""
    return str(annul("check", "--document", card, "--json").json["status"]["code"])


# -- reports -----------------------------------------------------------------------------------------------------------------


def test_a_report_is_shown_lifted_and_not_lifted_twice(annul: Annul, demo_home: Path, tmp_path: Path) -> None:
    """By telephone it is not lifted; in person it is; what is lifted cannot be lifted again, and stays in the history."""
    card = fresh_card(annul, demo_home, tmp_path, "110101199003075138")
    report = annul("report", "lost", "--document", card, "--json").json["report"]
    shown = annul("report", "show", report)
    assert "张" not in shown.out
    assert report in shown.out
    weak = annul("report", "lift", report, "--proof", "phone")
    assert (weak.code, code(annul, card)) == (1, "S10")
    assert annul("report", "lift", report, "--proof", "in_person_fingerprint", "--json").json["state"] == "current"
    assert annul("report", "lift", report, "--proof", "in_person_fingerprint").code == 1
    events = [row["event"] for row in annul("document", "history", "--document", card, "--case", "T", "--json").json]
    assert events.count("lift") == 1
    assert "report_lost" in events


def test_a_card_that_others_had_is_not_lifted(annul: Annul, demo_home: Path, tmp_path: Path) -> None:
    """Custody was broken, or it was stolen: it stays dead, and the refusal says so in a sentence."""
    card = fresh_card(annul, demo_home, tmp_path, "110101199003075154")
    report = annul("report", "lost", "--document", card, "--json").json["report"]
    refused = annul("report", "lift", report, "--proof", "in_person_fingerprint", "--custody-broken")
    assert (refused.code, code(annul, card)) == (1, "S10")
    assert refused.err.startswith("annul: ")
    stolen = fresh_card(annul, demo_home, tmp_path, "110101199003075170")
    report = annul("report", "stolen", "--document", stolen, "--json").json["report"]
    assert annul("report", "lift", report, "--proof", "in_person_fingerprint").code == 1
    assert code(annul, stolen) == "S11"


def test_a_confirmed_report_cannot_be_withdrawn(annul: Annul, demo_home: Path, tmp_path: Path) -> None:
    """One step undoes what is provisional only."""
    card = fresh_card(annul, demo_home, tmp_path, "110101199003075197")
    report = annul("report", "lost", "--document", card, "--proof", "phone", "--json").json["report"]
    assert annul("report", "confirm", report).code == 0
    assert annul("report", "withdraw", report).code == 1
    assert code(annul, card) == "S10"


def test_a_report_repeated_with_its_key_is_one_report(annul: Annul, demo_home: Path, tmp_path: Path) -> None:
    """The same words with the same key are answered again; other words with that key are refused."""
    card = fresh_card(annul, demo_home, tmp_path, "110101199003075218")
    asked = ("report", "lost", "--document", card, "--evidence", "desk 4", "--idempotency-key", "cli-refusals-1", "--json")
    first, second = annul(*asked).json, annul(*asked).json
    assert (first["report"], first["position"]) == (second["report"], second["position"])
    other = annul("report", "stolen", "--document", card, "--idempotency-key", "cli-refusals-1", "--json")
    assert other.code == 1
    assert other.json["error"]["code"] == "idempotency-mismatch"


@pytest.mark.parametrize(
    ("arguments", "exit_code"),
    [
        (["report", "lost", "--sample", "V00", "--proof", "rumour"], 2),
        (["report", "lost", "--sample", "V00", "--happened-at", "2926-01-01T00:00:00Z"], 2),
        (["report", "lost", "--sample", "U33"], 1),
        (["report", "lost", "--sample", "V00", "--as", "bank"], 1),
        (["report", "show", "r_none"], 1),
        (["report", "confirm", "r_none"], 1),
        (["report", "erase", "r_none", "--evidence", "x"], 1),
        (["document", "cancel", "--sample", "V00", "--reason", "boredom"], 2),
        (["document", "revoke", "--sample", "V00", "--reason", "boredom"], 2),
        (["document", "issue", "--sample", "V00", "--as", "bank"], 1),
        (["document", "destroy", "--sample", "V00", "--as", "telecom"], 1),
        (["document", "replace", "--sample", "V00", "--old", "none.json"], 1),
        (["document", "unlock", "--sample", "S10"], 1),
        (["document", "status", "--sample", "V00"], 2),
        (["document", "status", "--sample", "V00", "--case", "T", "--at", "then"], 2),
        (["person", "show", "--number", "11010119900307"], 2),
        (["person", "past", "999999"], 1),
        (["person", "enrol", "--number", "1", "--consent", "x"], 2),
        (["person", "enrol", "--number", "1", "--consent", "x", "--finger", "thumb.fmr"], 2),
        (["person", "enrol", "--number", "1", "--consent", "x", "--finger", "2=none.fmr=60"], 2),
        (["person", "enrol", "--number", "1", "--consent", "x", "--face", "portrait.gif"], 2),
        (["person", "death-state", "d_none"], 1),
        (["person", "confirm", "i_none", "--evidence", "x"], 1),
        (["person", "undo", "i_none", "--evidence", "x"], 1),
        (["person", "discard", "i_none"], 1),
        (["person", "import", "none.csv"], 2),
        (["review", "show", "s_none", "--case", "x"], 1),
        (["review", "decide", "s_none", "in_order", "--grounds", "x"], 1),
        (["review", "confirm", "d_none"], 1),
        (["review", "undo", "d_none", "--grounds", "x"], 1),
        (["review", "list", "--limit", "501"], 2),
        (["review", "run", "--as", "bank"], 1),
        (["dispute", "show", "d_none"], 1),
        (["dispute", "raise", "--sample", "S10", "--ground", "boredom", "--case", "x"], 2),
        (["dispute", "raise", "--sample", "V00", "--ground", "not_lost", "--case", "x"], 1),
        (["dispute", "decide", "d_none", "--decision", "upheld", "--reason", "x"], 1),
        (["dispute", "list", "--state", "forgotten"], 2),
        (["found", "show", "f_none"], 1),
        (["found", "list", "--state", "lost"], 2),
        (["found", "point", "Market Square!", "--name", "x", "--address", "y"], 2),
        (["found", "accept", "--sample", "V00", "--point", "x", "--as", "bank"], 1),
        (["search", "document", "--sample", "V00", "--case", "K", "--purpose", "curiosity"], 2),
        (["search", "document", "--sample", "V00", "--case", "K", "--as", "bank"], 1),
        (["officer", "add", "T 1", "--name", "x"], 2),
        (["officer", "add", "T-9", "--name", "x", "--duties", "juggling"], 2),
        (["officer", "change", "police-desk/none", "--name", "x"], 1),
        (["recall", "acknowledge", "r_none"], 1),
        (["correction", "show", "c_none"], 1),
        (["correction", "propose", "--sample", "V00", "--fact", "reported_lost", "--reason", "x", "--case", "y"], 2),
        (["correction", "propose", "--sample", "S10", "--fact", "luck", "--reason", "x", "--case", "y"], 2),
        (["bulk", "show", "b_none"], 1),
        (["bulk", "undo", "b_none", "--evidence", "x"], 1),
        (["party", "add", "No Id", "--name", "x"], 2),
        (["party", "add", "hotel-1", "--name", "x", "--purpose", "curiosity"], 2),
        (["party", "add", "hotel-1", "--name", "x", "--role", "mayor"], 2),
        (["party", "list", "--as", "bank"], 1),
        (["party", "suspend", "nobody"], 1),
        (["party", "key", "issue", "nobody"], 1),
        (["party", "key", "revoke", "k_none"], 1),
        (["party", "key", "issue", "first-bank", "--expires-at", "then"], 2),
        (["webhook", "add", "http://plain.example", "--kind", "recall"], 2),
        (["webhook", "add", "https://hooks.example/a", "--kind", "weather"], 2),
        (["webhook", "end", "w_none"], 1),
        (["notices", "release", "h_none"], 1),
        (["notices", "hold", "--sample", "V00", "--case", "K", "--until", "never"], 2),
        (["notices", "denied", "--as", "bank"], 1),
        (["checks", "show", "0" * 32], 1),
        (["checks", "about", "--sample", "V00", "--case", "K", "--as", "bank"], 1),
        (["checks", "list", "--limit", "0"], 2),
        (["log", "prove", "99999999"], 1),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_cannot_be_is_refused_in_one_sentence(
    arguments: list[str], exit_code: int, annul: Annul, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1 by the register's rules, 2 when it was asked wrongly; never 0, never a traceback, and the same in JSON."""
    monkeypatch.chdir(tmp_path)
    Path("portrait.gif").write_bytes(b"GIF89a")
    refused = annul(*arguments, "--json")
    assert refused.code == exit_code, refused
    assert "on our side" not in refused.err
    if refused.out:
        assert refused.json["error"]["message"][0].isupper(), refused.out
        assert refused.json["error"]["message"].endswith(".")


# -- checks and receipts -----------------------------------------------------------------------------------------------------


def test_an_answer_in_json_has_every_axis_and_its_receipt(annul: Annul) -> None:
    """Programs find outcome, status, identity, binding, freshness, advice, check and receipt, whatever the answer."""
    for code_, outcome in (("V00", "PASS"), ("S11", "STOP"), ("U31", "REFER"), ("I21", "STOP")):
        answer = annul("check", "--sample", code_, "--json").json
        axes = {"outcome", "status", "identity", "binding", "freshness", "advice", "check", "receipt", "detail"}
        assert axes <= answer.keys()
        assert (answer["outcome"], answer["status"]["code"]) == (outcome, code_)
        assert (answer["identity"]["code"], answer["binding"]["code"]) == ("M9", "B9")


def test_an_answer_in_words_has_icon_next_step_and_where_the_receipt_is(annul: Annul, tmp_path: Path) -> None:
    """No number is printed; the code has its meaning beside it."""
    stopped = annul("check", "--sample", "S10", "--receipt", tmp_path / "r.json").out
    assert stopped.startswith("⬣  STOP  ")
    assert "S10  reported lost" in stopped
    assert f"saved in {tmp_path / 'r.json'}" in stopped
    assert "Next: " in stopped
    passed = annul("check", "--sample", "V00").out
    assert passed.startswith("✔  PASS  ")
    assert "Next: Compare the face with the picture." in passed


def test_a_check_waits_for_a_position_and_not_for_ever(annul: Annul) -> None:
    """A position the log has is answered; one it will not have for years is no answer."""
    position = annul("check", "--sample", "V00", "--json").json["freshness"]["position"]
    assert annul("check", "--sample", "V00", "--min-position", position).code == 0
    assert annul("check", "--sample", "V00", "--min-position", position + 1_000_000).code == 12


def test_a_saved_answer_is_verified_as_its_receipt_is(annul: Annul, tmp_path: Path) -> None:
    """Receipt and whole answer, from a file and from standard input; the words name party, purpose and outcome."""
    receipt, whole = tmp_path / "receipt.json", tmp_path / "answer.json"
    annul("check", "--sample", "S10", "--purpose", "payment", "--receipt", receipt, "--answer", whole)
    told = [annul("receipt", "verify", file, "--json").json for file in (receipt, whole)]
    assert told[0] == told[1]
    assert (told[0]["verified"], told[0]["outcome"], told[0]["status"]) == (True, "STOP", "S10")
    assert (told[0]["party"], told[0]["purpose"]) == ("first-bank", "payment")
    refused = annul("receipt", "verify", receipt, "--proves", "face/live=x")
    assert (refused.code, "--openings" in refused.err) == (2, True)


def test_a_portrait_is_given_for_a_check_that_matched_alone(annul: Annul, demo_home: Path, tmp_path: Path) -> None:
    """With the whole answer of the check; not with a receipt alone, nor for a name that differs."""
    person = demo_of(demo_home)["person"]
    card, whole, photo = tmp_path / "card.json", tmp_path / "whole.json", tmp_path / "photo.jpg"
    card.write_text(json.dumps(person["document"]))
    asked = annul("check", "--document", card, "--name", person["name"], "--answer", whole, "--json")
    assert asked.json["identity"]["code"] == "M0"
    done = annul("checks", "photo", "--document", card, "--answer", whole, "-o", photo)
    assert (done.code, photo.read_bytes()[:2]) == (0, b"\xff\xd8"), done
    annul("check", "--document", card, "--name", "谁", "--answer", whole)
    assert annul("checks", "photo", "--document", card, "--answer", whole, "-o", photo).code == 1
    whole.write_text("{}")
    refused = annul("checks", "photo", "--document", card, "--answer", whole, "-o", photo)
    assert (refused.code, "annul check --answer" in refused.err) == (2, True)


# -- parties, keys, webhooks, points -----------------------------------------------------------------------------------------


def test_a_suspended_party_gets_no_answer_until_it_is_restored(
    annul: Annul, demo_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All its keys at once, with the way back told; restored, the same key asks again. An agreement can end, too."""
    annul("party", "add", "ferry-1", "--name", "Ferry", "--purpose", "hotel-check-in", "--per-second", "5")
    key = annul("party", "key", "issue", "ferry-1", "--json").json["token"]
    url = demo_of(demo_home)["url"]
    asked = ("check", "--sample", "V00", "--purpose", "hotel-check-in", "--url", url, "--key", key)
    until(lambda: annul(*asked).code == 0, "the key")
    suspended = annul("party", "suspend", "ferry-1")
    assert "To undo: annul party restore ferry-1" in suspended.out
    until(lambda: annul(*asked).code == 12, "the suspension")
    assert annul("party", "restore", "ferry-1").code == 0
    until(lambda: annul(*asked).code == 0, "the restoration")
    listed = next(each for each in annul("party", "list", "--json").json if each["id"] == "ferry-1")
    agreement = tmp_path / "agreement.json"
    agreement.write_text(json.dumps(listed["agreement"] | {"channels": ["remote"]}))
    assert annul("party", "agree", "ferry-1", agreement).code == 0
    until(lambda: annul(*asked).code != 0 and annul(*asked, "--channel", "remote").code == 0, "the agreement")
    agreement.write_text("null")
    assert annul("party", "agree", "ferry-1", agreement).code == 0
    until(lambda: annul(*asked, "--channel", "remote").code == 12, "the end of the agreement")
    agreement.write_text('{"purposes": ["curiosity"]}')
    assert annul("party", "agree", "ferry-1", agreement).code == 2


@pytest.mark.parametrize("content", ["{}", "3", '{"keys": {}}', "{"])
def test_a_client_has_a_key_set_or_nothing(content: str, annul: Annul, tmp_path: Path) -> None:
    """What is no JSON Web Key Set is told before it is sent; an empty one closes the client."""
    file = tmp_path / "keys.json"
    file.write_text(content)
    refused = annul("party", "key", "client", "first-bank", file)
    assert refused.code == 2, refused
    file.write_text("[]")
    assert "0 public keys of first-bank" in annul("party", "key", "client", "first-bank", file).out


def test_a_webhook_from_secret_to_end(annul: Annul) -> None:
    """The secret is told once; paused and resumed; ended it is listed no more."""
    made = annul("webhook", "add", "https://hooks.example/cli", "--kind", "recall", "--kind", "follow_up_due")
    assert "Secret, told this once: whsec_" in made.out
    rows: list[dict[str, Any]] = annul("webhook", "list", "--json").json
    (hook,) = [each["webhook"] for each in rows if each["url"] == "https://hooks.example/cli"]
    assert "whsec_" not in annul("webhook", "list").out
    for turn in ("pause", "resume", "end"):
        assert annul("webhook", turn, hook).code == 0
    assert hook not in annul("webhook", "list").out


def test_a_hold_keeps_notices_back_until_it_is_released(annul: Annul) -> None:
    """For a case, with an end; the way to end it early is told."""
    until_at = (datetime.now(UTC) + timedelta(days=2)).isoformat()
    held = annul("notices", "hold", "--sample", "V01", "--case", "K-9", "--until", until_at)
    assert held.out.startswith("✔  HELD  until ")
    hold = held.out.split()[-1]
    assert annul("notices", "release", hold).code == 0
    assert annul("notices", "release", hold).code == 1
    assert annul("notices", "hold", "--sample", "V01", "--case", "K-9", "--until", "2020-01-01T00:00:00Z").code == 2


def test_no_step_speaks_of_keeping_a_card_that_the_law_forbids_to_keep(annul: Annul) -> None:
    """For a resident card of China A6 stands in the answer, for programs, and not among the steps."""
    card = annul("check", "--sample", "S10")
    assert card.code == 11
    assert "Report this to the police" in card.out
    assert "keep the document" not in card.out
    assert "A6" in annul("check", "--sample", "S10", "--json").json["advice"]


def test_a_hand_in_point_is_recorded_and_changed(annul: Annul) -> None:
    """The same id again is the same place with another text."""
    for hours in ("09:00–17:00", "closed"):
        done = annul("found", "point", "cli-desk", "--name", "Test desk", "--address", "1 Test Lane", "--hours", hours)
        assert done.code == 0
    lines = [line for line in annul("found", "points").out.splitlines() if "Test desk" in line]
    assert [re.split(r" {2,}", line)[-3:] for line in lines] == [["Test desk", "1 Test Lane", "closed"]]
