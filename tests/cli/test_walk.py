"""What a newcomer does, on a running demo, by commands alone."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from annul.demo.samples import MAKERS
from annul.keys import load
from annul.proof.checkpoint import sign_checkpoint
from annul.records.codes import StatusCode
from tests.cli.conftest import Annul, demo_of
from tests.waiting import until

EXITS = {"PASS": 0, "REFER": 10, "STOP": 11, "NO_ANSWER": 12}


def fresh_card(annul: Annul, home: Path, tmp_path: Path, number: str) -> Path:
    """Issue a new card and return the file that names it."""
    file = tmp_path / "card.json"
    file.write_text(
        json.dumps({"scheme": "cn-resident", "number": number, "valid_from": "2020-01-02", "valid_until": "2040-01-02"})
    )
    assert annul("document", "issue", "--document", file).code == 0
    return file


def test_a_card_reported_lost_is_refused_by_the_very_next_check(annul: Annul, demo_home: Path, tmp_path: Path) -> None:
    """PASS, report, STOP; both receipts verify offline, and the history shows who said what."""
    card = fresh_card(annul, demo_home, tmp_path, "110101199003070097")
    first = annul("check", "--document", card, "--receipt", tmp_path / "first.json")
    assert first.code == 0, first
    assert "PASS" in first.out
    assert "as of" in first.out
    report = annul("report", "lost", "--document", card, "--evidence", "desk 4", "--json").json
    assert report["state"] == "reported_lost"
    assert report["refused_after_ms"] >= 0
    second = annul(
        "check", "--document", card, "--min-position", report["position"], "--answer", tmp_path / "second.json", "--json"
    )
    assert second.code == 11
    assert (second.json["outcome"], second.json["status"]["code"]) == ("STOP", "S10")
    assert second.json["freshness"]["position"] >= report["position"]
    for name, outcome in (("first.json", "PASS"), ("second.json", "STOP")):
        proved = annul("receipt", "verify", tmp_path / name)
        assert proved.code == 0, proved
        assert "VERIFIED" in proved.out
        assert outcome in proved.out
        assert "first-bank" in proved.out
    assert annul("receipt", "show", tmp_path / "first.json", "--json").json["verified"] is False
    events = [line["event"] for line in annul("document", "history", "--document", card, "--case", "T-1", "--json").json]
    assert events[:2] == ["issue", "report_lost"]


def test_a_changed_receipt_is_refused_with_the_failing_step(annul: Annul, tmp_path: Path) -> None:
    """Exit code 1, and the step of the recipe is named; another register's key is step 2."""
    file = tmp_path / "receipt.json"
    annul("check", "--sample", "V00", "--receipt", file)
    receipt = json.loads(file.read_text())
    receipt["leaf"] = ("B" if receipt["leaf"][40] == "A" else "A").join((receipt["leaf"][:40], receipt["leaf"][41:]))
    file.write_text(json.dumps(receipt))
    refused = annul("receipt", "verify", file)
    assert refused.code == 1
    assert "Step 5" in refused.out
    other = "annul/receipts+"
    from annul.proof.checkpoint import Signer

    other = Signer("annul/receipts", bytes(32)).vkey
    assert annul("receipt", "verify", file, "--key", other, "--json").json["step"] == 2


@pytest.mark.parametrize("realm", ["samples", "test_samples"])
def test_every_sample_answers_its_code(realm: str, annul: Annul, demo_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One document for every status code there is, in the live and the test realm, asked through the real path."""
    demo = demo_of(demo_home)
    assert set(demo["samples"]) == {code.value for code in StatusCode} - {"S00", "I00"} == set(MAKERS)
    if realm == "test_samples":
        monkeypatch.setenv("ANNUL_KEY", demo["credentials"]["bank"]["test_key"])
        monkeypatch.setenv("ANNUL_URL", demo["url"])
    for code, sample in demo[realm].items():
        monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(sample)))
        answered = annul("check", "--document", "-", "--json")
        assert answered.json["status"]["code"] == code
        assert answered.code == EXITS[answered.json["outcome"]]


def test_a_party_without_the_right_to_reasons_sees_classes(annul: Annul) -> None:
    """The telecom company learns S00 where the bank learns S10; a purpose outside its agreement is no answer."""
    told = annul("check", "--sample", "S10", "--as", "telecom", "--purpose", "sim-registration", "--json")
    assert (told.code, told.json["status"]["code"]) == (11, "S00")
    refused = annul("check", "--sample", "V00", "--as", "telecom", "--purpose", "payment", "--json")
    assert refused.code == 12
    assert refused.json["outcome"] == "NO_ANSWER"
    assert refused.json["error"]["code"] == "purpose-not-allowed"


def test_weak_proof_suspends_and_one_step_undoes_it(annul: Annul, demo_home: Path, tmp_path: Path) -> None:
    """A telephone call makes S12; withdrawing it makes V00 again; confirming another makes S10."""
    card = fresh_card(annul, demo_home, tmp_path, "110101199003072076")
    report = annul("report", "lost", "--document", card, "--proof", "phone", "--json").json
    assert report["lapses_at"]
    assert annul("check", "--document", card, "--json").json["status"]["code"] == "S12"
    assert annul("report", "withdraw", report["report"]).code == 0
    assert annul("check", "--document", card).code == 0
    again = annul("report", "lost", "--document", card, "--proof", "phone", "--json").json
    assert "CONFIRM" not in annul("report", "show", again["report"]).out
    assert annul("report", "confirm", again["report"], "--json").json["state"] == "reported_lost"
    assert annul("check", "--document", card, "--json").json["status"]["code"] == "S10"


def test_owner_lock_with_a_timed_unlock(annul: Annul, demo_home: Path, tmp_path: Path) -> None:
    """Locked: S13; opened for payments: payments pass, everything else stays locked."""
    import datetime

    card = fresh_card(annul, demo_home, tmp_path, "11010119900307109X")
    assert annul("document", "lock", "--document", card).code == 0
    until = (datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)).isoformat()
    assert annul("document", "unlock", "--document", card, "--purpose", "payment").code == 2
    assert annul("document", "unlock", "--document", card, "--purpose", "payment", "--until", until).code == 0
    assert annul("check", "--document", card, "--purpose", "payment").code == 0
    assert annul("check", "--document", card, "--json").json["status"]["code"] == "S13"


def test_the_issuers_feed_moves_documents_through_their_lives(annul: Annul, demo_home: Path, tmp_path: Path) -> None:
    """Dispute, surrender, return, replacement, death: each is refused or answered by its rule."""

    def code(card: Path) -> str:
        return str(annul("check", "--document", card, "--json").json["status"]["code"])

    number = "110101199003071110"
    card = fresh_card(annul, demo_home, tmp_path, number)
    assert annul("dispute", "open", "--document", card, "--evidence", "f").code == 1  # nothing to dispute
    assert annul("report", "found", "--document", card, "--by", "finder").code == 0
    assert code(card) == "I25"
    assert annul("dispute", "open", "--document", card, "--evidence", "file 3").code == 0
    assert code(card) == "U34"
    assert annul("dispute", "close", "--document", card, "--evidence", "file 3").code == 0
    assert annul("document", "return", "--document", card, "--proof", "phone").code == 1
    assert annul("document", "return", "--document", card, "--proof", "in_person").code == 0
    assert code(card) == "V00"
    after = tmp_path / "after.json"
    after.write_text(
        json.dumps({"scheme": "cn-resident", "number": number, "valid_from": "2026-02-03", "valid_until": "2046-02-03"})
    )
    assert annul("document", "replace", "--document", after, "--old", card).code == 0
    assert (code(card), code(after)) == ("I20", "V00")
    died = annul("person", "death", "--number", number, "--happened-at", "2026-03-01T08:00:00Z", "--json").json
    assert died["documents"] == 2
    assert code(after) == "I22"
    state = annul("document", "status", "--document", after, "--case", "T-3", "--at", "2026-02-20T00:00:00Z", "--json").json
    assert state["state"] == "current"


def test_a_list_is_imported_by_two_officers_and_undone_as_one(annul: Annul, tmp_path: Path) -> None:
    """Generate, dry run, import, refuse; undo, pass again. Bad lines are reported by cause."""
    listed = tmp_path / "list.csv"
    assert annul("generate", "--documents", "30000", "--format", "ru-passports", "--seed", "77", "--output", listed).code == 0
    dry = annul("import", listed, "--dry-run", "--json").json
    assert dry["lines"] >= 30_000
    assert dry["good"] > 29_900
    one = tmp_path / "one.json"
    series, number = listed.read_text().splitlines()[2].split(",")
    one.write_text(json.dumps({"scheme": "ru-internal", "series": series, "number": number}))
    assert annul("check", "--document", one).code == 0
    staged = annul("import", listed, "--json").json
    assert staged["state"] == "staged"
    assert annul("check", "--document", one).code == 0
    assert annul("bulk", "confirm", staged["id"], "--evidence", "e", "--as", "issuer").code == 1
    assert annul("bulk", "confirm", staged["id"], "--evidence", "minutes 7", "--json").json["state"] == "in_force"
    assert annul("check", "--document", one, "--json").json["status"]["code"] == "I23"
    assert annul("bulk", "undo", staged["id"], "--evidence", "wrong list", "--json").json["state"] == "undone"
    assert annul("check", "--document", one).code == 0
    assert staged["id"] in annul("bulk", "list").out


def test_both_logs_verify_completely_and_prove_single_entries(annul: Annul, demo_home: Path, tmp_path: Path) -> None:
    """Every entry is sealed; one path is proved against the signed checkpoint; a log that did not only grow is told."""
    whole = annul("log", "verify", "--json")
    assert whole.code == 0, whole
    assert whole.json["verified"] is True
    assert annul("log", "prove", "3", "--json").json["proved"] is True
    receipt = tmp_path / "receipt.json"
    assert annul("check", "--sample", "V00", "--receipt", receipt).code in (0, 10)
    until(lambda: annul("log", "prove", "--receipt", receipt).code == 0, "the seal of the receipt's window")
    assert annul("log", "prove").code == annul("log", "prove", "1", "--receipt", receipt).code == 2
    assert annul("log", "checkpoint", "checks", "--json").json["size"] > 0
    kept = tmp_path / "kept"
    kept.write_text(annul("log", "checkpoint", "checks").out)
    assert annul("check", "--sample", "V00").code in (0, 10)
    newer = tmp_path / "newer"
    until(
        lambda: newer.write_text(annul("log", "checkpoint", "checks").out) and newer.read_text() != kept.read_text(), "a seal"
    )
    grown = annul("log", "compare", kept, "--json")
    assert (grown.code, grown.json["consistent"], grown.json["log"]) == (0, True, "checks")
    assert "CONSISTENT" in annul("log", "consistency", kept, newer).out
    assert annul("log", "consistency", newer, kept).code == 1
    signer = load(demo_home).check_signer()
    kept.write_bytes(sign_checkpoint(signer.name, grown.json["old"], bytes(32), signer))
    forged = annul("log", "compare", kept)
    assert (forged.code, "REFUSED" in forged.out) == (1, True)
    kept.write_text(kept.read_text().replace("checks", "checkz"))
    assert annul("log", "compare", kept).code == 1
    assert annul("keys", "show").out == (demo_home / "keys" / "annul.pub").read_text()


def test_who_asked_can_be_asked(annul: Annul) -> None:
    """A check appears in the asker's list with its receipt, and in the document's, which needs a case."""
    asked = annul("check", "--sample", "S11", "--reference", "who-asked", "--json").json
    until(
        lambda: asked["check"] in [row["check"] for row in annul("checks", "list", "--limit", "50", "--json").json],
        "the check in the index",
    )
    assert annul("checks", "show", asked["check"], "--json").json["receipt"] == asked["receipt"]
    about = annul("checks", "about", "--sample", "S11", "--case", "T-2", "--json").json
    assert asked["check"] in [row["check"] for row in about]
    assert annul("checks", "about", "--sample", "S11").code == 2


def test_a_new_party_gets_a_key_that_can_be_revoked(annul: Annul, demo_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Add, issue, ask, revoke: then there is no answer."""
    assert annul("party", "add", "hotel-9", "--name", "Hotel", "--purpose", "hotel-check-in").code == 0
    assert annul("party", "add", "hotel-9", "--name", "Hotel").code == 1
    issued = annul("party", "key", "issue", "hotel-9", "--label", "front desk", "--json").json
    monkeypatch.setenv("ANNUL_KEY", issued["token"])
    monkeypatch.setenv("ANNUL_URL", demo_of(demo_home)["url"])
    asked = ("check", "--sample", "S10", "--purpose", "hotel-check-in")
    until(lambda: annul(*asked).code == 11, "the key")
    monkeypatch.delenv("ANNUL_KEY")
    monkeypatch.delenv("ANNUL_URL")
    assert "hotel-9" in annul("party", "list").out
    assert annul("party", "key", "revoke", issued["id"]).code == 0
    monkeypatch.setenv("ANNUL_KEY", issued["token"])
    until(lambda: annul(*asked).code == 12, "the end of the key")


def test_the_doctor_finds_a_running_demo_well(annul: Annul, demo_home: Path) -> None:
    """Nothing is wrong; a key file others may read is, and the mend is named."""
    assert annul("doctor").code == 0
    secret = demo_home / "keys" / "secret.json"
    secret.chmod(0o644)
    try:
        sick = annul("doctor", "--json")
    finally:
        secret.chmod(0o600)
    assert sick.code == 1
    wrong = [finding for finding in sick.json if finding["verdict"] == "wrong"]
    assert [finding["what"] for finding in wrong] == ["key file"]
    assert "chmod 600" in wrong[0]["mend"]


def test_a_second_demo_on_the_same_folder_says_where_the_first_is(annul: Annul, demo_home: Path) -> None:
    """It does not start twice."""
    assert annul("demo", "--json").json == {"url": demo_of(demo_home)["url"], "running": True}


def test_a_demo_starts_again_with_everything_it_had(
    annul: Annul, restarted: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    """The same credentials and samples; a card to try that was reported is replaced by one that passes."""
    home, before = restarted
    after = demo_of(home)
    assert (home / "demo.json").stat().st_mode & 0o777 == 0o600
    assert after["credentials"] == before["credentials"]
    assert after["samples"] == before["samples"]
    tried = tmp_path / "tried.json"
    tried.write_text(json.dumps(before["try"]))
    assert annul("check", "--document", tried, "--json").json["status"]["code"] == "S11"
    assert annul("check", "--sample", "try").code == 0


def test_a_listing_that_was_never_true_is_corrected_by_two_officers(annul: Annul, demo_home: Path, tmp_path: Path) -> None:
    """Reported with a name, read for a case, proposed by the desk, refused to the desk, confirmed by the supervisor."""
    card = fresh_card(annul, demo_home, tmp_path, "110101199003070118")
    report = annul("report", "lost", "--document", card, "--reporter", "张伟", "--json").json["report"]
    assert annul("report", "reporter", report, "--case", "K-1", "--json").json["name"] == "张伟"
    assert annul("report", "reporter", report, "--case", "K-1", "--as", "issuer").code == 1
    wanted = ("--fact", "reported_lost", "--reason", "the wrong number was written down", "--case", "K-1")
    proposed = annul("correction", "propose", "--document", card, *wanted, "--json").json
    assert proposed["state"] == "proposed"
    assert annul("check", "--document", card).code == EXITS["STOP"]
    decided = ("correction", "confirm", proposed["correction"], "--reason", "the file shows it")
    assert annul(*decided, "--as", "police").code == 1
    confirmed = annul(*decided)
    assert confirmed.code == 0, confirmed
    assert "CONFIRMED" in confirmed.out
    assert annul("check", "--document", card).code == EXITS["PASS"]
    assert annul("correction", "show", proposed["correction"], "--json").json["status"] == "current"


def test_many_checks_are_asked_from_a_file_and_the_worst_answer_is_the_exit_code(
    annul: Annul, demo_home: Path, tmp_path: Path
) -> None:
    """Answers come in the order of the questions, each with a receipt that verifies."""
    samples = demo_of(demo_home)["samples"]
    codes = ["V00", "U31", "S11"]
    questions = [
        {"document": samples[code]["document"], "purpose": "account-opening", "channel": "in_person"} for code in codes
    ]
    file, answers = tmp_path / "questions.ndjson", tmp_path / "answers.ndjson"
    file.write_text("\n".join(json.dumps(question) for question in questions))
    asked = annul("checks", "ask", file, "--answers", answers, "--json")
    assert asked.code == 11
    assert [answer["status"]["code"] for answer in asked.json] == codes
    (tmp_path / "one.json").write_text(answers.read_text().splitlines()[2])
    assert annul("receipt", "verify", tmp_path / "one.json").code == 0
    file.write_text(json.dumps(questions[0]))
    assert annul("checks", "ask", file).code == 0
    file.write_text("no question")
    refused = annul("checks", "ask", file)
    assert (refused.code, "line 1" in refused.err) == (2, True)


def test_a_staged_list_can_be_dropped(annul: Annul, tmp_path: Path) -> None:
    """It was never in force, and cannot come into force any more."""
    list_file = tmp_path / "list.csv"
    annul("generate", "--documents", 1200, "--format", "ru-passports", "--seed", 78, "-o", list_file)
    staged = annul("import", list_file, "--json").json
    assert annul("bulk", "discard", staged["id"], "--json").json["state"] == "discarded"
    assert annul("bulk", "confirm", staged["id"], "--evidence", "none").code == 1


def test_before_anything_was_recorded_nothing_is_known(annul: Annul, demo_home: Path, tmp_path: Path) -> None:
    """No state is invented for a time of which nothing was recorded by then."""
    card = fresh_card(annul, demo_home, tmp_path, "110101199003073933")
    asked = ("document", "status", "--document", card, "--case", "T-9", "--known-at", "2020-01-01T00:00:00Z")
    assert annul(*asked, "--json").json["known"] is False
    assert "Nothing was recorded" in annul(*asked).out
