"""Reports at the doors: acknowledged means refused; confirmed, withdrawn, lifted; who reported."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.web.api.answers import fed, problem, reported
from tests.web.conftest import House

CARD = {"scheme": "cn-resident", "number": "11010519491231002X"}


def test_a_reported_document_is_refused_by_the_very_next_check(house: House) -> None:
    """The promise of the system: acknowledged means refused."""
    document = house.passport()
    assert house.ask(document)["outcome"] == "PASS"
    accepted = house.report(document)
    assert accepted["state"] == "reported_lost"
    assert accepted["refused_after_ms"] > 0
    answer = house.ask(document, min_position=accepted["position"])
    assert (answer["outcome"], answer["status"]["code"]) == ("STOP", "S10")


def test_repeating_a_report_with_its_key_reports_once(house: House) -> None:
    """The same Idempotency-Key and body give the same report."""
    headers = {"idempotency-key": "first-report"}
    body = {"document": house.passport(), "kind": "stolen", "proof": "in_person"}
    first = house.call("POST", "/v1/reports", "police", json=body, headers=headers)
    again = house.call("POST", "/v1/reports", "police", json=body, headers=headers)
    assert first.status_code == again.status_code == 201
    assert (first.json()["report"], first.json()["position"]) == (again.json()["report"], again.json()["position"])


def test_a_key_does_not_pass_for_another_request(house: House) -> None:
    """409 when the body differs; nothing is written."""
    headers = {"idempotency-key": "second-report"}
    document, other = house.passport(), house.passport()
    for body, status in ((document, 201), (other, 409)):
        asked = {"document": body, "kind": "lost", "proof": "in_person"}
        answer = house.call("POST", "/v1/reports", "police", json=asked, headers=headers)
        assert answer.status_code == status
    problem(answer, 409, "idempotency-mismatch")
    assert house.ask(other)["outcome"] == "PASS"


def test_a_weak_report_suspends_and_can_be_confirmed(house: House) -> None:
    """By phone: S12 and a time at which it lapses; confirmed in person: S10."""
    document = house.passport()
    accepted = house.report(document, proof="phone")
    assert accepted["state"] == "suspended"
    assert datetime.fromisoformat(accepted["lapses_at"]) > datetime.now(UTC) + timedelta(hours=71)
    assert house.ask(document)["status"]["code"] == "S12"
    seen = house.call("GET", f"/v1/reports/{accepted['report']}", "supervisor").json()
    assert (seen["state"], seen["proof"], seen["author"]) == ("provisional", "phone", "police")
    confirmed = house.call("POST", f"/v1/reports/{accepted['report']}/confirm", "police", json={"proof": "in_person"})
    assert confirmed.json()["state"] == "reported_lost"
    assert house.ask(document)["status"]["code"] == "S10"


def test_a_weak_report_can_be_withdrawn_in_one_step(house: House) -> None:
    """Withdrawn: the document passes again."""
    document = house.passport()
    report = house.report(document, proof="online")["report"]
    gone = house.call("POST", f"/v1/reports/{report}/withdraw", "police", json={"proof": "online_strong"})
    assert gone.status_code == 200
    assert house.ask(document)["outcome"] == "PASS"


def test_a_report_is_lifted_in_person_and_not_by_phone(house: House) -> None:
    """Rule 6: weak proof does not revive a document."""
    document = house.passport()
    report = house.report(document)["report"]
    refused = house.call("POST", f"/v1/reports/{report}/lift", "police", json={"proof": "phone"})
    problem(refused, 409, "transition-refused")
    lifted = house.call("POST", f"/v1/reports/{report}/lift", "police", json={"proof": "in_person"})
    assert lifted.status_code == 200
    assert house.ask(document)["outcome"] == "PASS"


def test_found_by_its_holder_lifts_and_found_by_another_holds(house: House) -> None:
    """Two facts share the word found; the reporter's role tells them apart."""
    mine, handed_in = house.passport(), house.passport()
    house.report(mine)
    assert reported(house, mine, kind="found", reporter={"role": "holder"}).json()["state"] == "current"
    assert reported(house, handed_in, kind="found", reporter={"role": "finder"}).json()["state"] == "found_held"
    assert house.ask(mine)["outcome"] == "PASS"
    assert house.ask(handed_in)["outcome"] == "STOP"


def test_the_reporters_name_is_in_no_answer(house: House) -> None:
    """Personal details go in encrypted and do not come out at the doors."""
    reporter = {"role": "holder", "name": "Zhang San", "contact": "+86 10 5555"}
    accepted = reported(house, house.passport(), reporter=reporter)
    seen = house.call("GET", f"/v1/reports/{accepted.json()['report']}", "police")
    assert "Zhang" not in accepted.text + seen.text


def test_a_report_that_never_was_is_not_found(house: House) -> None:
    """404 for the right form, and for any other."""
    problem(house.call("GET", f"/v1/reports/r_{'0' * 24}", "police"), 404, "not-found")
    problem(house.call("GET", "/v1/reports/1%20OR%201", "police"), 404, "not-found")


@pytest.mark.parametrize(
    ("body", "status", "code", "where"),
    [
        (b"{", 400, "bad-input", None),
        (b"\xff", 400, "bad-input", None),
        (b"[]", 400, "bad-input", "/"),
        (b'{"document":{"scheme":"ru-internal"},"kind":"eaten","proof":"phone"}', 400, "bad-input", "/kind"),
        (
            b'{"document":{"scheme":"ru-internal","number":7},"kind":"lost","proof":"phone"}',
            400,
            "bad-input",
            "/document/number",
        ),
        (b'{"document":{"scheme":"moon","number":"7"},"kind":"lost","proof":"phone"}', 400, "bad-input", "/document/scheme"),
        (
            b'{"document":{"scheme":"cn-resident","number":"110105194912310021"},"kind":"lost","proof":"phone"}',
            422,
            "malformed-number",
            "/document/number",
        ),
        (
            b'{"document":{"scheme":"ru-internal","series":"4509","number":"123456"},"kind":"lost","proof":"phone","evidence":"a\\u0000"}',
            400,
            "bad-input",
            "/",
        ),
        (
            b'{"document":{"scheme":"ru-internal","series":"4509","number":"123456"},"kind":"lost","proof":"phone",'
            b'"happened_at":"2150-01-01T00:00:00Z"}',
            400,
            "bad-input",
            "/happened_at",
        ),
        (
            b'{"document":{"scheme":"ru-internal","series":"4509","number":"123456"},"kind":"lost","proof":"phone",'
            b'"happened_at":"2026-01-01T00:00:00"}',
            400,
            "bad-input",
            "/happened_at",
        ),
    ],
)
def test_a_bad_report_is_refused_with_what_and_where(
    house: House, body: bytes, status: int, code: str, where: str | None
) -> None:
    """Nothing is written, nothing of the body comes back."""
    answer = house.call("POST", "/v1/reports", "police", content=body, headers={"content-type": "application/json"})
    members = problem(answer, status, code)
    assert members.get("where") == where
    assert "110105" not in answer.text


def test_a_number_with_several_cards_is_not_killed_by_guess(house: House) -> None:
    """The wrong-document guard: 409 names the candidates by their dates, not by their number."""
    for start in ("2010-10-06", "2020-10-06"):
        card = CARD | {"valid_from": start}
        assert fed(house, "issue", card, happened_at=f"{start}T00:00:00Z").status_code == 201
    members = problem(reported(house, CARD), 409, "ambiguous-document")
    assert [each["valid_from"] for each in members["candidates"]] == ["2010-10-06", "2020-10-06"]
