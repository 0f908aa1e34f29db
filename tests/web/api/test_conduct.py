"""Conduct over HTTP: what a bank sends and sees, what another one does not, and how a bad file is refused."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from annul.registry.conduct.reconcile import Reconciler
from annul.registry.parties.parties import Agreement
from annul.registry.writing.act import Act
from annul.registry.writing.ground import Ground
from annul.times import DAY_US, now_us, rfc3339
from tests.waiting import WAIT_S
from tests.web.conftest import House

DUTY = {"business": "check-in", "before_hours": 24, "late_days": 1}


@pytest.fixture(scope="module")
def inn(house: House) -> str:
    """A second relying party."""
    agreement = Agreement(purposes=frozenset({"hotel-check-in"}))
    house.run(house.office.parties.create(Act("supervisor"), "inn", "Inn", "relying_party", agreement=agreement))
    issued = house.run(house.office.parties.issue_key(Act("supervisor"), "inn", realm="live"))
    house.keys["inn"] = issued.token
    assert house.run(house.office.listings.reached(issued.position, WAIT_S))
    for party in ("inn", "bank"):
        set_ = house.call("POST", "/v1/conduct/duties", "supervisor", json={"party": party, "duties": [DUTY]})
        assert set_.status_code == 200, set_.text
    return "inn"


def send(house: House, party: str, *events: dict[str, Any], media: str = "application/x-ndjson") -> httpx.Response:
    """Send events as a party."""
    raw = "".join(json.dumps(event) + "\n" for event in events).encode()
    headers = {"content-type": media, "authorization": f"Bearer {house.keys[party]}"}
    return house.http.post("/v1/conduct/events", content=raw, headers=headers)


def event(house: House, party: str, reference: str, *, days: int = 10) -> dict[str, Any]:
    """Return a business event of so many days ago, about a passport nobody has named."""
    keys = house.call("POST", "/v1/conduct/keys", party, json={"documents": [house.passport()]}).json()["keys"]
    at = rfc3339(now_us() - days * DAY_US)
    return {"reference": reference, "happened_at": at, "business": "check-in", "document": keys[0], "branch": "Harbour"}


def test_a_party_sees_its_own_findings_and_scores_alone(house: House, inn: str) -> None:
    """From the event to the finding: 404 and no line for everybody else but the supervisor."""
    sent = send(house, inn, event(house, inn, "a-1"), event(house, inn, "a-2"))
    assert (sent.status_code, sent.json()["events"]) == (201, 2), sent.text
    again = send(house, inn, event(house, inn, "a-2"))
    assert (again.status_code, again.json()["where"]) == (409, "line 1: reference")
    ground = Ground(house.office.pool, house.office.keys, house.settings.home, now_us)
    found = house.run(Reconciler(ground, house.settings.database_url).run(party=inn))
    assert (found.events, found.unchecked) == (2, 2)
    (one,) = house.call("GET", "/v1/conduct/findings", inn).json()["findings"]
    assert (one["kind"], one["event_count"], one["branch"]) == ("unchecked", 2, "Harbour")
    shown = house.call("GET", f"/v1/conduct/findings/{one['finding']}", inn).json()
    assert [each["reference"] for each in shown["events"]] == ["a-1", "a-2"]
    assert house.call("GET", f"/v1/conduct/findings/{one['finding']}", "bank").status_code == 404
    assert house.call("GET", "/v1/conduct/findings", "bank").json()["findings"] == []
    assert house.call("GET", "/v1/conduct/findings?party=inn", "bank").status_code == 400
    assert len(house.call("GET", "/v1/conduct/findings?party=inn", "supervisor").json()["findings"]) == 1
    answered = house.call("POST", f"/v1/conduct/findings/{one['finding']}/answer", "bank", json={"words": "not ours"})
    assert answered.status_code == 404
    card = house.call("GET", "/v1/conduct/scorecard?level=branch", inn).json()
    assert [(place["branch"], place["events"], place["unchecked"]) for place in card["places"]] == [("Harbour", 2, 2)]
    assert card["places"][0]["steps"] == ["send-receipts-or-check"]
    assert house.call("GET", "/v1/conduct/scorecard", "bank").json()["places"] == []


def test_a_bad_file_says_its_line(house: House, inn: str) -> None:
    """The other media type, an empty file, a torn line, another party's key: a problem with the line, nothing taken in."""
    good = event(house, inn, "b-1")
    assert send(house, inn, good, media="application/json").status_code == 415
    headers = {"content-type": "application/x-ndjson", "authorization": f"Bearer {house.keys[inn]}"}
    for raw, where in ((b"", None), (b'{"reference": "b', "line 1"), (b"\xff\n", "line 1"), (b"[" * 3000 + b"\n", "line 1")):
        refused = house.http.post("/v1/conduct/events", content=raw, headers=headers)
        assert refused.status_code in (400, 413)
        assert refused.json().get("where") == where
    theirs = event(house, "bank", "b-2")
    refused = send(house, inn, good, theirs)
    assert (refused.status_code, refused.json()["where"]) == (400, "line 2: document")
    refused = send(house, inn, good | {"reference": "11010519491231002X"})
    assert refused.status_code == 400
    assert "110105" not in refused.text
