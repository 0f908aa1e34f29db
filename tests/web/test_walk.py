"""A relying party with a good key walks along numbers over HTTP: slowed, stopped, reported; the bank beside it is served."""

from __future__ import annotations

import pytest

from annul.records.entry import Entry, EntryKind
from annul.registry.answering import walk
from annul.registry.answering.walk import NEIGHBOURS_STOP
from annul.registry.parties.parties import Agreement
from annul.registry.writing.act import Act
from annul.registry.writing.store import connect
from tests.registry.answering.test_walk import street
from tests.waiting import WAIT_S, until
from tests.web.conftest import House
from tests.world import said


def test_a_walk_is_stopped_and_reported_and_nobody_else_notices(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last of a street get no answer (429 for the next single check); the alarm is in the log; no number in any of it."""
    monkeypatch.setattr(walk, "SLOW_S", 0.0)
    rights = Agreement(purposes=frozenset({"account-opening"}), identity_allowed=True)
    house.run(house.office.parties.create(Act("supervisor"), "thief", "Thief", "relying_party", agreement=rights))
    issued = house.run(house.office.parties.issue_key(Act("supervisor"), "thief", realm="live"))
    house.keys["thief"] = issued.token
    assert house.run(house.office.listings.reached(issued.position, WAIT_S))
    numbers = street(NEIGHBOURS_STOP + 20)

    def ask(number: str) -> dict[str, object]:
        document = {"scheme": "cn-resident", "number": number, "valid_from": "2016-10-06"}
        return {"document": document, "purpose": "account-opening", "channel": "in_person", "holder": {"name": "王明"}}

    answered = house.call("POST", "/v1/checks/batch", "thief", json={"checks": [ask(number) for number in numbers]})
    answers = answered.json()["answers"]
    assert [answer["error"]["code"] for answer in answers[-20:]] == ["E91"] * 20
    assert all(answer["outcome"] == "NO_ANSWER" for answer in answers[-20:])
    stopped = house.call("POST", "/v1/checks", "thief", json=ask(numbers[0]))
    assert stopped.status_code == 429, stopped.text
    assert stopped.json()["type"].endswith("over-quota"), stopped.text
    assert int(stopped.headers["retry-after"]) > 0
    assert not any(number in stopped.text for number in numbers)
    served = house.call("POST", "/v1/checks", "bank", json=ask(numbers[0]))
    assert (served.status_code, served.json()["error"]["code"]) == (200, "E00")
    with connect(house.settings.database_url) as db:

        def notes() -> list[Entry]:
            return [each for each in said(db) if each.kind is EntryKind.note and each.evidence.startswith("thief was stopped")]

        told = until(notes, "the alarm")
    assert told[0].evidence == "thief was stopped: neighbours"
