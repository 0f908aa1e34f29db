"""The JSON API against a whole running register."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.waiting import until
from tests.web.conftest import House

CARD = {"scheme": "cn-resident", "number": "11010519491231002X"}


def _problem(answer: Any, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    members = answer.json()
    assert members["type"] == f"/problems/{code}"
    return members


def _report(house: House, document: dict[str, str], who: str = "police", **more: Any) -> Any:
    body = {"document": document, "kind": "lost", "proof": "in_person"} | more
    return house.call("POST", "/v1/reports", who, json=body)


def _feed(house: House, event: str, document: dict[str, str], **more: Any) -> Any:
    return house.call("POST", "/v1/documents", "issuer", json={"event": event, "document": document} | more)


# -- reports -----------------------------------------------------------------------------------------------------------------


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
    _problem(answer, 409, "idempotency-mismatch")
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
    _problem(refused, 409, "transition-refused")
    lifted = house.call("POST", f"/v1/reports/{report}/lift", "police", json={"proof": "in_person"})
    assert lifted.status_code == 200
    assert house.ask(document)["outcome"] == "PASS"


def test_found_by_its_holder_lifts_and_found_by_another_holds(house: House) -> None:
    """Two facts share the word found; the reporter's role tells them apart."""
    mine, handed_in = house.passport(), house.passport()
    house.report(mine)
    assert _report(house, mine, kind="found", reporter={"role": "holder"}).json()["state"] == "current"
    assert _report(house, handed_in, kind="found", reporter={"role": "finder"}).json()["state"] == "found_held"
    assert house.ask(mine)["outcome"] == "PASS"
    assert house.ask(handed_in)["outcome"] == "STOP"


def test_the_reporters_name_is_in_no_answer(house: House) -> None:
    """Personal details go in encrypted and do not come out at the doors."""
    reporter = {"role": "holder", "name": "Zhang San", "contact": "+86 10 5555"}
    accepted = _report(house, house.passport(), reporter=reporter)
    seen = house.call("GET", f"/v1/reports/{accepted.json()['report']}", "police")
    assert "Zhang" not in accepted.text + seen.text


def test_a_report_that_never_was_is_not_found(house: House) -> None:
    """404 for the right form, and for any other."""
    _problem(house.call("GET", f"/v1/reports/r_{'0' * 24}", "police"), 404, "not-found")
    _problem(house.call("GET", "/v1/reports/1%20OR%201", "police"), 404, "not-found")


# -- documents, persons, disputes --------------------------------------------------------------------------------------------


def test_a_replacement_supersedes_the_old_document_in_one_step(house: House) -> None:
    """Rule 2: the old one is dead with the issue of the new one."""
    old, new = house.passport(), house.passport()
    assert _feed(house, "issue", old).status_code == 201
    written = _feed(house, "replace", new, replaces=old)
    assert written.status_code == 201, written.text
    assert house.ask(old)["status"]["code"] == "I20"
    assert house.ask(new)["outcome"] == "PASS"


@pytest.mark.parametrize(
    ("event", "more", "code"),
    [
        ("cancel", {"reason": "data"}, "I22"), ("revoke", {"reason": "fraud"}, "I23"), ("compromise", {}, "V01"),
        ("blank_stolen", {}, "I24"), ("destroy", {}, "I25"), ("surrender", {}, "I25"),
        ("lock", {"proof": "online_strong"}, "S13"),
    ],
)  # fmt: skip
def test_each_event_of_the_feed_is_seen_by_the_next_check(house: House, event: str, more: dict[str, str], code: str) -> None:
    """The issuer's feed moves the document to the state of the event."""
    document = house.passport()
    if event != "blank_stolen":  # what was issued is no blank
        assert _feed(house, "issue", document).status_code == 201
    written = _feed(house, event, document, **more)
    assert written.status_code == 201, written.text
    assert house.ask(document)["status"]["code"] == code


def test_a_terminal_document_never_revives(house: House) -> None:
    """Rule 1: revoked stays revoked."""
    document = house.passport()
    _feed(house, "issue", document)
    _feed(house, "revoke", document, reason="misuse")
    _problem(_feed(house, "return", document, proof="in_person"), 409, "transition-refused")
    assert house.ask(document)["status"]["code"] == "I23"


def test_a_locked_document_opens_for_one_purpose_until_a_time(house: House) -> None:
    """Rule 10: the timed unlock lets one purpose pass and no other."""
    document = house.passport()
    _feed(house, "issue", document)
    _feed(house, "lock", document, proof="online_strong")
    until = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    opened = _feed(house, "unlock", document, proof="online_strong", purpose="medical", until=until)
    assert opened.status_code == 201, opened.text
    position = opened.json()["position"]
    assert house.ask(document, purpose="medical", min_position=position)["outcome"] == "PASS"
    assert house.ask(document, purpose="credit")["status"]["code"] == "S13"
    _problem(_feed(house, "unlock", document, proof="online_strong", purpose="medical"), 400, "bad-input")
    assert _feed(house, "unlock", document, proof="online_strong").status_code == 201
    assert house.ask(document, purpose="credit")["outcome"] == "PASS"


def test_a_death_reaches_every_document_of_the_person(house: House) -> None:
    """Rule 3: one fact about the person, all the person's documents."""
    documents = [house.passport(), house.passport()]
    person = "person-of-the-death-test"
    for document in documents:
        assert _feed(house, "issue", document, person_number=person).status_code == 201
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
    _problem(house.call("POST", "/v1/disputes", "police", json=body), 403, "forbidden")
    assert house.call("POST", "/v1/disputes", "supervisor", json=body).status_code == 201
    assert house.ask(document)["status"]["code"] == "S10"


def test_the_past_is_asked_on_two_axes_of_time(house: House) -> None:
    """Lost in the morning, known in the evening: what we knew at noon stays what we knew."""
    document = house.passport()
    before = datetime.now(UTC)
    morning = before - timedelta(hours=8)
    _report(house, document, happened_at=morning.isoformat())
    body = {"document": document, "case": "case 8", "at": (before - timedelta(hours=1)).isoformat()}
    known_now = house.call("POST", "/v1/documents/status", "police", json=body).json()
    assert known_now["state"] == "reported_lost"
    assert [line["event"] for line in known_now["history"]] == ["report_lost"]
    body["known_at"] = (before - timedelta(minutes=1)).isoformat()
    known_then = house.call("POST", "/v1/documents/status", "police", json=body).json()
    assert (known_then["state"], known_then["history"]) == ("current", [])


# -- accounts ----------------------------------------------------------------------------------------------------------------


def _until(house: House, path: str, who: str, wanted: int, **more: Any) -> list[dict[str, Any]]:
    def enough() -> list[dict[str, Any]]:
        answer = house.call("POST" if more else "GET", path, who, **more)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["checks"]
        return found if len(found) >= wanted else []

    return until(enough, "the checks in the index")


def test_a_party_finds_its_own_checks_page_by_page(house: House) -> None:
    """Newest first; the cursor of one page starts the next; no check twice."""
    made = [house.ask(house.passport())["check"] for _ in range(5)]
    _until(house, "/v1/checks?limit=500", "bank", 5)

    def pages() -> list[str]:
        seen, cursor = [], ""
        while True:
            page = house.call("GET", f"/v1/checks?limit=2&cursor={cursor}", "bank").json()
            seen += [check["check"] for check in page["checks"]]
            cursor = page["cursor"]
            if not cursor or set(made) <= set(seen):
                return seen if set(made) <= set(seen) else []

    seen = until(pages, "the checks in the index")
    assert len(seen) == len(set(seen))
    assert [check for check in seen if check in made] == made[::-1]


def test_a_check_is_found_again_with_its_receipt_by_its_party_alone(house: House) -> None:
    """Another party's check is not found; a supervisor finds every one."""
    check = house.ask(house.passport())["check"]
    until(lambda: house.call("GET", f"/v1/checks/{check}", "bank").status_code == 200, "the check in the index")
    found = house.call("GET", f"/v1/checks/{check}", "bank")
    verified = house.call("POST", "/v1/receipts/verify", json={"receipt": found.json()["receipt"]})
    assert verified.json()["says"]["check"] == check
    _problem(house.call("GET", f"/v1/checks/{check}", "police"), 404, "not-found")
    assert house.call("GET", f"/v1/checks/{check}", "supervisor").status_code == 200


def test_who_asked_about_a_document_is_told_for_a_case_only(house: House) -> None:
    """The case reference is required, and the look-up is itself an entry."""
    document = house.passport()
    check = house.ask(document)["check"]
    found = _until(house, "/v1/documents/checks", "police", 1, json={"document": document, "case": "case 9"})
    assert [(row["check"], row["party"]) for row in found] == [(check, "bank")]
    refused = house.call("POST", "/v1/documents/checks", "police", json={"document": document})
    assert _problem(refused, 400, "bad-input")["detail"] == "The field `case` is missing."


# -- bulk and parties --------------------------------------------------------------------------------------------------------


def test_a_bulk_event_is_confirmed_and_undone_through_the_doors(house: House) -> None:
    """Staged by the operator's import; in force and back again by officers."""
    documents = [house.passport() for _ in range(3)]
    file = house.settings.home / "list.csv"
    lines = [f"{each['series']},{each['number']}" for each in documents]
    file.write_text("PASSP_SERIES,PASSP_NUMBER\n" + "\n".join(lines) + "\n45x9,12\n")
    staged = house.run(house.stage(file))
    shown = house.call("GET", f"/v1/bulk/{staged}", "supervisor").json()
    assert (shown["state"], shown["document_count"], shown["lines"]) == ("staged", 3, 5)
    assert sum(cause["count"] for cause in shown["bad"].values()) == 1
    assert house.ask(documents[0])["outcome"] == "PASS"
    confirmed = house.call("POST", f"/v1/bulk/{staged}/confirm", "supervisor", json={"evidence": "decision 1"})
    assert (confirmed.status_code, confirmed.json()["state"]) == (200, "in_force")
    assert {house.ask(document)["status"]["code"] for document in documents} == {"I23"}
    undone = house.call("POST", f"/v1/bulk/{staged}/undo", "second", json={"evidence": "decision 2"})
    assert undone.json()["undone_by"] == "second"
    assert {house.ask(document)["outcome"] for document in documents} == {"PASS"}
    listed = house.call("GET", "/v1/bulk", "issuer").json()["bulk"]
    assert staged in [event["id"] for event in listed]
    _problem(house.call("POST", f"/v1/bulk/{staged}/discard", "issuer", json={}), 409, "conflict")


def test_a_new_partys_key_works_at_once_and_a_revoked_one_no_longer(house: House) -> None:
    """Acknowledged means every worker knows."""
    agreement = {"purposes": ["payment"], "channels": ["remote"]}
    body = {"id": "shop", "name": "Shop", "role": "relying_party", "agreement": agreement}
    assert house.call("POST", "/v1/parties", "supervisor", json=body).status_code == 201
    issued = house.call("POST", "/v1/parties/shop/keys", "supervisor", json={"label": "till 1"}).json()
    house.keys["shop"] = issued["token"]
    question = {"document": house.passport(), "purpose": "payment", "channel": "remote"}
    assert house.call("POST", "/v1/checks", "shop", json=question).json()["outcome"] == "PASS"
    refused = house.call("POST", "/v1/checks", "shop", json=question | {"channel": "in_person"})
    assert _problem(refused, 403, "purpose-not-allowed")["error"] == "E93"
    parties = house.call("GET", "/v1/parties", "supervisor")
    assert issued["token"] not in parties.text
    shown = next(party for party in parties.json()["parties"] if party["id"] == "shop")
    assert [key["label"] for key in shown["keys"]] == ["till 1"]
    assert house.call("POST", f"/v1/keys/{issued['id']}/revoke", "supervisor").status_code == 200
    _problem(house.call("POST", "/v1/checks", "shop", json=question), 401, "not-authorised")


def test_a_suspended_party_is_answered_nothing_until_it_is_restored(house: House) -> None:
    """All its keys stop at once and are good again afterwards; nobody can suspend themselves, or whom there is not."""
    agreement = {"purposes": ["payment"], "channels": ["remote"]}
    body = {"id": "kiosk-5", "name": "Kiosk", "role": "relying_party", "agreement": agreement}
    assert house.call("POST", "/v1/parties", "supervisor", json=body).status_code == 201
    house.keys["kiosk-5"] = house.call("POST", "/v1/parties/kiosk-5/keys", "supervisor", json={}).json()["token"]
    question = {"document": house.passport(), "purpose": "payment", "channel": "remote"}
    assert house.call("POST", "/v1/checks", "kiosk-5", json=question).json()["outcome"] == "PASS"
    assert house.call("POST", "/v1/parties/kiosk-5/suspend", "supervisor").status_code == 200
    _problem(house.call("POST", "/v1/checks", "kiosk-5", json=question), 401, "not-authorised")
    parties = house.call("GET", "/v1/parties", "supervisor").json()["parties"]
    assert [party["active"] for party in parties if party["id"] == "kiosk-5"] == [False]
    assert house.call("POST", "/v1/parties/kiosk-5/restore", "supervisor").status_code == 200
    assert house.call("POST", "/v1/checks", "kiosk-5", json=question).json()["outcome"] == "PASS"
    _problem(house.call("POST", "/v1/parties/supervisor/suspend", "supervisor"), 403, "forbidden")
    _problem(house.call("POST", "/v1/parties/nobody/suspend", "supervisor"), 404, "not-found")


def test_a_test_key_never_touches_live_data(house: House) -> None:
    """A report in the test realm does not stop the live document."""
    document = house.passport()
    body = {"document": document, "kind": "lost", "proof": "in_person"}
    headers = {"authorization": f"Bearer {house.test_keys['police']}"}
    assert house.http.post("/v1/reports", json=body, headers=headers).status_code == 201
    assert house.ask(document)["outcome"] == "PASS"
    question = {"document": document, "purpose": "credit", "channel": "in_person"}
    headers = {"authorization": f"Bearer {house.test_keys['bank']}"}
    assert house.http.post("/v1/checks", json=question, headers=headers).json()["outcome"] == "STOP"


# -- bad input ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status", "code", "where"),
    [
        (b"{", 400, "bad-input", None),
        (b"\xff", 400, "bad-input", None),
        (b"[]", 400, "bad-input", "/"),
        (b'{"document":{"scheme":"ru-internal"},"kind":"eaten","proof":"phone"}', 400, "bad-input", "/kind"),
        (b'{"document":{"scheme":"ru-internal","number":7},"kind":"lost","proof":"phone"}', 400, "bad-input",
         "/document/number"),
        (b'{"document":{"scheme":"moon","number":"7"},"kind":"lost","proof":"phone"}', 400, "bad-input", "/document/scheme"),
        (b'{"document":{"scheme":"cn-resident","number":"110105194912310021"},"kind":"lost","proof":"phone"}', 422,
         "malformed-number", "/document/number"),
        (b'{"document":{"scheme":"ru-internal","series":"4509","number":"123456"},"kind":"lost","proof":"phone","evidence":"a\\u0000"}',
         400, "bad-input", "/"),
        (b'{"document":{"scheme":"ru-internal","series":"4509","number":"123456"},"kind":"lost","proof":"phone",'
         b'"happened_at":"2150-01-01T00:00:00Z"}', 400, "bad-input", "/happened_at"),
        (b'{"document":{"scheme":"ru-internal","series":"4509","number":"123456"},"kind":"lost","proof":"phone",'
         b'"happened_at":"2026-01-01T00:00:00"}', 400, "bad-input", "/happened_at"),
    ],
)  # fmt: skip
def test_a_bad_report_is_refused_with_what_and_where(
    house: House, body: bytes, status: int, code: str, where: str | None
) -> None:
    """Nothing is written, nothing of the body comes back."""
    answer = house.call("POST", "/v1/reports", "police", content=body, headers={"content-type": "application/json"})
    members = _problem(answer, status, code)
    assert members.get("where") == where
    assert "110105" not in answer.text


def test_a_number_with_several_cards_is_not_killed_by_guess(house: House) -> None:
    """The wrong-document guard: 409 names the candidates by their dates, not by their number."""
    for start in ("2010-10-06", "2020-10-06"):
        card = CARD | {"valid_from": start}
        assert _feed(house, "issue", card, happened_at=f"{start}T00:00:00Z").status_code == 201
    members = _problem(_report(house, CARD), 409, "ambiguous-document")
    assert [each["valid_from"] for each in members["candidates"]] == ["2010-10-06", "2020-10-06"]


def test_a_body_that_is_too_large_is_cut_off(house: House) -> None:
    """A megabyte of JSON where 64 KiB are enough: 413."""
    body = b'{"document":{"scheme":"' + b"a" * 1_000_000 + b'"}}'
    answer = house.call("POST", "/v1/reports", "police", content=body, headers={"content-type": "application/json"})
    _problem(answer, 413, "too-large")


def test_a_body_of_another_type_is_refused(house: House) -> None:
    """415 says what is read."""
    _problem(house.call("POST", "/v1/reports", "police", data={"kind": "lost"}), 415, "unsupported-media-type")


@pytest.mark.parametrize("key", ["", "a b", "x" * 129])
def test_an_unusable_idempotency_key_is_refused(house: House, key: str) -> None:
    """Before anything is written."""
    body = {"document": house.passport(), "kind": "lost", "proof": "in_person"}
    answer = house.call("POST", "/v1/reports", "police", json=body, headers={"idempotency-key": key})
    assert _problem(answer, 400, "bad-input")["where"] == "Idempotency-Key"


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "nope=1", "limit=1&limit=2", "cursor=%21", "cursor=" + "a" * 5000])
def test_a_bad_query_is_refused(house: House, query: str) -> None:
    """Unknown, doubled and malformed parameters."""
    assert _problem(house.call("GET", f"/v1/checks?{query}", "bank"), 400, "bad-input")["where"].startswith("?")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("DELETE", "/v1/checks", "GET, HEAD, OPTIONS, POST"), ("GET", "/v1/checks/batch", "OPTIONS, POST"),
        ("PUT", "/v1/keys", "GET, HEAD, OPTIONS"), ("GET", f"/v1/reports/r_{'0' * 24}/lift", "OPTIONS, POST"),
    ],
)  # fmt: skip
def test_a_wrong_method_is_told_the_right_ones(house: House, method: str, path: str, allow: str) -> None:
    """405 with Allow."""
    answer = house.call(method, path, "supervisor")
    _problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == allow


@pytest.mark.parametrize("path", ["/nope", "/v1", "/v1/checks/zzz", "/v1/log/other/checkpoint", "/v1/log/register/tile/9/../x"])
def test_an_address_that_is_none_is_a_problem_too(house: House, path: str) -> None:
    """404 in the one form."""
    _problem(house.call("GET", path, "bank"), 404, "not-found")


def test_head_answers_like_get_without_a_body(house: House) -> None:
    """RFC 9110: operators probe with HEAD."""
    answer = house.call("HEAD", "/healthz")
    assert (answer.status_code, answer.content) == (200, b"")
