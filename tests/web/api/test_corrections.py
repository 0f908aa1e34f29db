"""Corrections and reporters through the doors: two officers, one realm, every look-up entered."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from annul.records.status import State
from annul.web.api.corrections import FactName
from tests.web.conftest import House

WANTED = {"fact": "reported_lost", "reason": "the desk took the wrong number", "case": "K-2026-9"}


def _propose(house: House, document: dict[str, str], who: str = "police", **more: object) -> dict[str, Any]:
    answer = house.call("POST", "/v1/corrections", who, json={"document": document} | WANTED | more)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_every_state_but_current_can_be_named() -> None:
    """The list of facts on the wire is the list of states."""
    assert set(get_args(FactName)) == {state.name for state in State if state is not State.current}


def test_a_listing_that_was_never_true_goes_when_a_second_officer_confirms(house: House) -> None:
    """Until then checks go on refusing; afterwards the document is as it was, and the entry names both officers."""
    document = house.passport()
    house.report(document)
    proposed = _propose(house, document)
    assert (proposed["state"], proposed["status"]) == ("proposed", "reported_lost")
    assert house.ask(document)["outcome"] == "STOP"
    address = f"/v1/corrections/{proposed['correction']}"
    assert house.call("GET", address, "police").json() == proposed | {"effective_after_ms": 0.0}
    confirmed = house.call("POST", f"{address}/confirm", "supervisor", json={"reason": "the file shows it", "evidence": "K-9"})
    assert confirmed.status_code == 200, confirmed.text
    told = confirmed.json()
    assert (told["state"], told["status"]) == ("confirmed", "current")
    assert told["proposed_by"] != told["decided_by"]
    assert house.ask(document)["status"]["code"] not in ("S10", "U34")
    again = house.call("POST", f"{address}/confirm", "supervisor", json={"reason": "once more"})
    assert again.status_code == 409
    assert again.json()["type"].endswith("conflict")


def test_no_officer_confirms_what_she_proposed_and_no_police_desk_confirms(house: House) -> None:
    """One officer alone weakens nothing."""
    document = house.passport()
    house.report(document)
    proposed = _propose(house, document, "supervisor")
    address = f"/v1/corrections/{proposed['correction']}/confirm"
    for who in ("supervisor", "police"):
        assert house.call("POST", address, who, json={"reason": "I say so"}).status_code == 403
    assert house.ask(document)["outcome"] == "STOP"
    assert house.call("POST", address, "issuer", json={"reason": "the file shows it"}).status_code == 200


def test_a_refused_correction_changes_nothing_and_is_over(house: House) -> None:
    """The listing stands; it can be proposed anew."""
    document = house.passport()
    house.report(document)
    proposed = _propose(house, document, marked=True)
    assert house.ask(document)["status"]["code"] == "U34"
    refused = house.call("POST", f"/v1/corrections/{proposed['correction']}/refuse", "issuer", json={"reason": "it was lost"})
    assert refused.json()["state"] == "refused"
    assert house.ask(document)["status"]["code"] == "S10"
    assert _propose(house, document)["correction"] != proposed["correction"]


def test_a_repeated_proposal_opens_one_file(house: House) -> None:
    """The same Idempotency-Key gives the same correction."""
    document = house.passport()
    house.report(document)
    headers = {"idempotency-key": "correct-once"}
    body = {"document": document} | WANTED
    first = house.call("POST", "/v1/corrections", "police", json=body, headers=headers).json()
    again = house.call("POST", "/v1/corrections", "police", json=body, headers=headers).json()
    assert first["correction"] == again["correction"]


@pytest.mark.parametrize(
    ("more", "status"),
    [({"fact": "current"}, 400), ({"fact": "revoked"}, 400), ({"reason": ""}, 400), ({"case": ""}, 400), ({"extra": 1}, 400)],
    ids=["no fact", "a fact that does not stand", "no reason", "no case", "unknown field"],
)
def test_a_correction_that_makes_no_sense_is_refused(house: House, more: dict[str, object], status: int) -> None:
    """A problem, and the listing stands."""
    document = house.passport()
    house.report(document)
    answer = house.call("POST", "/v1/corrections", "police", json={"document": document} | WANTED | more)
    assert answer.status_code == status, answer.text
    assert house.ask(document)["status"]["code"] == "S10"


def test_who_reported_is_told_for_a_case_to_the_desk_that_took_the_report_and_to_the_supervisor(house: House) -> None:
    """Name and contact come back; another desk, another realm and a look-up without a case get nothing."""
    body = {"document": house.passport(), "kind": "lost", "proof": "in_person"}
    body["reporter"] = {"name": "张伟", "contact": "zhang@example.org"}
    report = house.call("POST", "/v1/reports", "police", json=body).json()["report"]
    address = f"/v1/reports/{report}/reporter"
    for who in ("police", "supervisor"):
        told = house.call("POST", address, who, json={"case": "K-1"})
        assert told.json() == {"report": report, "name": "张伟", "contact": "zhang@example.org"}
    assert house.call("POST", address, "issuer", json={"case": "K-1"}).status_code == 403
    assert house.call("POST", address, "police", json={"case": ""}).status_code == 400
    assert house.call("POST", f"/v1/reports/r_{'0' * 24}/reporter", "police", json={"case": "K-1"}).status_code == 404
