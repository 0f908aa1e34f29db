"""Parties, their keys and their realm at the doors."""

from __future__ import annotations

from tests.web.api.answers import problem
from tests.web.conftest import House


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
    assert problem(refused, 403, "purpose-not-allowed")["error"] == "E93"
    parties = house.call("GET", "/v1/parties", "supervisor")
    assert issued["token"] not in parties.text
    shown = next(party for party in parties.json()["parties"] if party["id"] == "shop")
    assert [key["label"] for key in shown["keys"]] == ["till 1"]
    assert house.call("POST", f"/v1/keys/{issued['id']}/revoke", "supervisor").status_code == 200
    problem(house.call("POST", "/v1/checks", "shop", json=question), 401, "not-authorised")


def test_a_suspended_party_is_answered_nothing_until_it_is_restored(house: House) -> None:
    """All its keys stop at once and are good again afterwards; nobody can suspend themselves, or whom there is not."""
    agreement = {"purposes": ["payment"], "channels": ["remote"]}
    body = {"id": "kiosk-5", "name": "Kiosk", "role": "relying_party", "agreement": agreement}
    assert house.call("POST", "/v1/parties", "supervisor", json=body).status_code == 201
    house.keys["kiosk-5"] = house.call("POST", "/v1/parties/kiosk-5/keys", "supervisor", json={}).json()["token"]
    question = {"document": house.passport(), "purpose": "payment", "channel": "remote"}
    assert house.call("POST", "/v1/checks", "kiosk-5", json=question).json()["outcome"] == "PASS"
    assert house.call("POST", "/v1/parties/kiosk-5/suspend", "supervisor").status_code == 200
    problem(house.call("POST", "/v1/checks", "kiosk-5", json=question), 401, "not-authorised")
    parties = house.call("GET", "/v1/parties", "supervisor").json()["parties"]
    assert [party["active"] for party in parties if party["id"] == "kiosk-5"] == [False]
    assert house.call("POST", "/v1/parties/kiosk-5/restore", "supervisor").status_code == 200
    assert house.call("POST", "/v1/checks", "kiosk-5", json=question).json()["outcome"] == "PASS"
    problem(house.call("POST", "/v1/parties/supervisor/suspend", "supervisor"), 403, "forbidden")
    problem(house.call("POST", "/v1/parties/nobody/suspend", "supervisor"), 404, "not-found")


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
