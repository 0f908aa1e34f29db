"""Bulk events at the doors."""

from __future__ import annotations

from tests.web.api.answers import problem
from tests.web.conftest import House


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
    problem(house.call("POST", f"/v1/bulk/{staged}/discard", "issuer", json={}), 409, "conflict")
