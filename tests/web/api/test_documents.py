"""A document's life at the doors: the feed, a death, a dispute, its past, who asked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.web.api.answers import fed, problem, reported
from tests.web.api.test_checks import checks_of
from tests.web.conftest import House


def test_a_replacement_supersedes_the_old_document_in_one_step(house: House) -> None:
    """Rule 2: the old one is dead with the issue of the new one."""
    old, new = house.passport(), house.passport()
    assert fed(house, "issue", old).status_code == 201
    written = fed(house, "replace", new, replaces=old)
    assert written.status_code == 201, written.text
    assert house.ask(old)["status"]["code"] == "I20"
    assert house.ask(new)["outcome"] == "PASS"


@pytest.mark.parametrize(
    ("event", "more", "code"),
    [
        ("cancel", {"reason": "data"}, "I22"),
        ("revoke", {"reason": "fraud"}, "I23"),
        ("compromise", {}, "V01"),
        ("blank_stolen", {}, "I24"),
        ("destroy", {}, "I25"),
        ("surrender", {}, "I25"),
        ("lock", {"proof": "online_strong"}, "S13"),
    ],
)
def test_each_event_of_the_feed_is_seen_by_the_next_check(house: House, event: str, more: dict[str, str], code: str) -> None:
    """The issuer's feed moves the document to the state of the event."""
    document = house.passport()
    if event != "blank_stolen":  # what was issued is no blank
        assert fed(house, "issue", document).status_code == 201
    written = fed(house, event, document, **more)
    assert written.status_code == 201, written.text
    assert house.ask(document)["status"]["code"] == code


def test_a_terminal_document_never_revives(house: House) -> None:
    """Rule 1: revoked stays revoked."""
    document = house.passport()
    fed(house, "issue", document)
    fed(house, "revoke", document, reason="misuse")
    problem(fed(house, "return", document, proof="in_person"), 409, "transition-refused")
    assert house.ask(document)["status"]["code"] == "I23"


def test_a_locked_document_opens_for_one_purpose_until_a_time(house: House) -> None:
    """Rule 10: the timed unlock lets one purpose pass and no other."""
    document = house.passport()
    fed(house, "issue", document)
    fed(house, "lock", document, proof="online_strong")
    until = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    opened = fed(house, "unlock", document, proof="online_strong", purpose="medical", until=until)
    assert opened.status_code == 201, opened.text
    position = opened.json()["position"]
    assert house.ask(document, purpose="medical", min_position=position)["outcome"] == "PASS"
    assert house.ask(document, purpose="credit")["status"]["code"] == "S13"
    problem(fed(house, "unlock", document, proof="online_strong", purpose="medical"), 400, "bad-input")
    assert fed(house, "unlock", document, proof="online_strong").status_code == 201
    assert house.ask(document, purpose="credit")["outcome"] == "PASS"


def test_a_death_reaches_every_document_of_the_person(house: House) -> None:
    """Rule 3: one fact about the person, all the person's documents."""
    documents = [house.passport(), house.passport()]
    person = "person-of-the-death-test"
    for document in documents:
        assert fed(house, "issue", document, person_number=person).status_code == 201
    body = {"personal_number": person, "happened_at": "2026-01-02T03:04:05Z", "evidence": "registry 1"}
    written = house.call("POST", "/v1/persons/death", "issuer", json=body)
    assert written.json()["documents"] == 2
    assert {house.ask(document)["status"]["code"] for document in documents} == {"I22"}


def test_a_dispute_makes_the_status_a_question_until_it_is_closed(house: House) -> None:
    """U34 while it is open; a desk opens it, the supervisor closes it."""
    document = house.passport()
    house.report(document)
    body = {"action": "open", "document": document, "evidence": "case 7"}
    assert house.call("POST", "/v1/disputes", "police", json=body).status_code == 201
    assert house.ask(document)["status"]["code"] == "U34"
    body["action"] = "close"
    problem(house.call("POST", "/v1/disputes", "police", json=body), 403, "forbidden")
    assert house.call("POST", "/v1/disputes", "supervisor", json=body).status_code == 201
    assert house.ask(document)["status"]["code"] == "S10"


def test_the_past_is_asked_on_two_axes_of_time(house: House) -> None:
    """Lost in the morning, known in the evening: what we knew at noon stays what we knew."""
    document = house.passport()
    before = datetime.now(UTC)
    morning = before - timedelta(hours=8)
    reported(house, document, happened_at=morning.isoformat())
    body = {"document": document, "case": "case 8", "at": (before - timedelta(hours=1)).isoformat()}
    known_now = house.call("POST", "/v1/documents/status", "police", json=body).json()
    assert known_now["state"] == "reported_lost"
    assert [line["event"] for line in known_now["history"]] == ["report_lost"]
    body["known_at"] = (before - timedelta(minutes=1)).isoformat()
    known_then = house.call("POST", "/v1/documents/status", "police", json=body).json()
    assert (known_then["state"], known_then["history"]) == ("current", [])


def test_who_asked_about_a_document_is_told_for_a_case_only(house: House) -> None:
    """The case reference is required, and the look-up is itself an entry."""
    document = house.passport()
    check = house.ask(document)["check"]
    found = checks_of(house, "/v1/documents/checks", "police", 1, json={"document": document, "case": "case 9"})
    assert [(row["check"], row["party"]) for row in found] == [(check, "bank")]
    refused = house.call("POST", "/v1/documents/checks", "police", json={"document": document})
    assert problem(refused, 400, "bad-input")["detail"] == "The field `case` is missing."
