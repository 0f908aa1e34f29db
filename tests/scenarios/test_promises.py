"""Promises to callers: repeating a write does it once, and test credentials live in a world of their own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from tests.scenarios.conftest import Town


def essence(answered: httpx.Response) -> Any:
    """Return what must be the same when a request is repeated: all but the time it took."""
    assert answered.status_code == 201, answered.text
    return {name: value for name, value in answered.json().items() if name != "refused_after_ms"}


def test_the_same_key_and_body_give_the_same_answer_and_one_entry(town: Town) -> None:
    """Repeated by the same desk: nothing is written the second time."""
    document = town.passport()
    body = {"document": document, "kind": "lost", "proof": "in_person"}
    first = town.post("/v1/reports", body, "police", Idempotency_Key="once-1")
    position = town.position
    again = town.post("/v1/reports", body, "police", Idempotency_Key="once-1")
    assert essence(first) == essence(again)
    assert town.position == position == first.json()["position"]
    town.reports["once-1"], town.documents["once-1"] = first.json(), document


def test_the_same_key_with_another_body_is_refused(town: Town) -> None:
    """409, and neither the register nor the first report changes; another desk's key is another key."""
    document = town.passport()
    body = {"document": document, "kind": "lost", "proof": "in_person"}
    essence(town.post("/v1/reports", body, "police", Idempotency_Key="once-2"))
    position = town.position
    refused = town.post("/v1/reports", body | {"kind": "stolen"}, "police", Idempotency_Key="once-2")
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/idempotency-mismatch")
    assert refused.headers["content-type"] == "application/problem+json"
    assert document["number"] not in refused.text
    assert town.position == position
    assert town.code(document) == "S10"
    other = town.post("/v1/reports", body | {"document": town.passport()}, "issuer", Idempotency_Key="once-2")
    assert other.status_code == 201


def test_a_report_sent_eight_times_at_once_is_one_report(town: Town) -> None:
    """Concurrent duplicates under one key: every answer that is a success is the same, and there is one entry."""
    document = town.passport()
    body = {"document": document, "kind": "stolen", "proof": "in_person"}
    position = town.position

    def send(_number: int) -> httpx.Response:
        return town.post("/v1/reports", body, "police", Idempotency_Key="at-once")

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(send, range(8)))
    assert {answer.status_code for answer in answers} <= {201, 409, 503}
    told = [essence(answer) for answer in answers if answer.status_code == 201]
    assert told
    assert all(one == told[0] for one in told)
    assert essence(send(0)) == told[0]
    assert town.position == position + 1
    town.reports["at-once"], town.documents["at-once"] = {**told[0]}, document


def test_a_refused_write_may_be_sent_again_under_its_key(town: Town) -> None:
    """A refusal is not remembered as the answer: with the reason gone, the same key succeeds."""
    card = {"scheme": "cn-resident", "number": town.person(), "valid_from": "2020-01-02", "valid_until": "2040-01-02"}
    body = {"document": card, "kind": "lost", "proof": "in_person"}
    assert town.post("/v1/reports", body, "police", Idempotency_Key="later").status_code == 404
    assert town.feed("issue", card).status_code == 201
    assert town.post("/v1/reports", body, "police", Idempotency_Key="later").status_code == 201
    assert town.code(card) == "S10"


def test_a_test_key_learns_nothing_of_live_documents_and_changes_none(town: Town) -> None:
    """A live-listed passport passes in the test realm; a report by a test key stops it there and nowhere else."""
    listed, untouched = town.passport(), town.passport()
    town.report(listed, "stolen")
    assert (town.code(listed), town.code(listed, realm="test")) == ("S11", "V00")
    body = {"document": untouched, "kind": "lost", "proof": "in_person"}
    tried = town.post("/v1/reports", body, "police", realm="test")
    assert tried.status_code == 201, tried.text
    assert (town.code(untouched, realm="test"), town.code(untouched)) == ("S10", "V00")
    card = town.issue()
    assert town.code(card, realm="test") != "V00"
    assert town.post("/v1/reports", body | {"document": card}, "police", realm="test").status_code == 404
    view = f"/v1/reports/{tried.json()['report']}"
    assert town.http.get(view, headers=town.headers("police", "test")).status_code == 200
    assert town.http.get(view, headers=town.headers("police")).status_code == 404


def test_lists_and_accounts_of_the_realms_are_apart(town: Town) -> None:
    """What a test key asked is not in the live list of the same party, and the other way round."""
    test = town.ask(town.passport(), realm="test", reference="realm")
    live = town.ask(town.passport(), reference="realm")
    for realm, own, other in (("live", live, test), ("test", test, live)):
        shown = town.http.get(f"/v1/checks/{other['check']}", headers=town.headers("bank", realm))
        assert shown.status_code == 404
        for _ in range(600):
            if town.http.get(f"/v1/checks/{own['check']}", headers=town.headers("bank", realm)).status_code == 200:
                break
        else:
            raise AssertionError(f"the check of the {realm} realm never reached the index")
    refused = town.http.get(f"/v1/checks/{live['check']}", headers=town.headers("telecom"))
    assert refused.status_code == 404


def test_a_test_credential_hands_out_no_live_key_and_takes_none_away(town: Town) -> None:
    """Parties and keys are of both realms: a supervisor's test key neither makes, nor lists, nor revokes any."""
    live = town.http.get("/v1/parties", headers=town.headers("supervisor"))
    assert live.status_code == 200
    (key,) = [
        key["id"]
        for party in live.json()["parties"]
        if party["id"] == "utopia-mobile"
        for key in party["keys"]
        if key["realm"] == "live"
    ]
    position = town.position
    for path, body in (
        ("/v1/parties", {"id": "intruder", "name": "Intruder", "role": "police"}),
        ("/v1/parties/police-desk/keys", {"realm": "live"}),
        ("/v1/parties/police-desk/keys", {"realm": "test"}),
        ("/v1/parties/police-desk/client-keys", {"keys": []}),
    ):
        assert town.post(path, body, "supervisor", realm="test").status_code == 403, path
    assert town.post(f"/v1/keys/{key}/revoke", b"", "supervisor", realm="test").status_code == 403
    assert town.http.get("/v1/parties", headers=town.headers("supervisor", "test")).status_code == 403
    assert town.position == position
    assert town.ask(town.passport(), "telecom", purpose="sim-registration")["outcome"] == "PASS"
