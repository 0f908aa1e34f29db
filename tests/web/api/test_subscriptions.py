"""Documents on file over HTTP: a party's own library, its webhook, and what a wrong request changes."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from annul.client.connection import Connection
from annul.client.subscriber import Screening, Subscriber
from annul.records.document import Document, DocumentFields, parse_document
from tests.waiting import until
from tests.web.conftest import House


def passport(house: House) -> tuple[dict[str, str], Document]:
    """Return a document nobody named before, as it is sent and as it is read."""
    fields = house.passport()
    return fields, parse_document(DocumentFields(**fields))


def subscriber(house: House, who: str = "bank") -> Subscriber:
    """Return a party's library."""
    return Subscriber(Connection(house.url, house.keys[who]))


def events(house: House) -> list[dict[str, Any]]:
    """Return the bank's events."""
    return list(house.call("GET", "/v1/subscriptions/events", "bank").json()["events"])


def told(house: House) -> dict[str, Any]:
    """Have a document of the bank's file reported, and return the event it is told."""
    fields, document = passport(house)
    library = subscriber(house)
    (token,) = library.tokens([document])
    library.subscribe([token])
    house.report(fields)
    wanted = base64.b64encode(token).decode()
    until(lambda: any(one["token"] == wanted for one in events(house)), "the event")
    return next(one for one in events(house) if one["token"] == wanted)


def test_a_party_hears_and_acknowledges(house: House) -> None:
    """The event, the same as a CloudEvent, the screening at home, and the supervisor's list until it is acknowledged."""
    event = told(house)
    assert event["status"] == "reported"
    accept = {"accept": "application/cloudevents-batch+json"}
    batch = house.call("GET", f"/v1/subscriptions/events?after={event['number'] - 1}", "bank", headers=accept)
    assert batch.headers["content-type"] == "application/cloudevents-batch+json"
    (cloud, *_) = batch.json()
    assert {"specversion", "id", "source", "type"} <= cloud.keys()
    assert (cloud["id"], cloud["data"]["token"]) == (f"bank/{event['number']}", event["token"])
    screening = Screening(subscriber(house))
    assert screening.catch_up() >= 1
    assert screening.status(base64.b64decode(event["token"])) == "reported"
    assert screening.status(bytes(32)) == ""

    def standing() -> dict[str, Any]:
        found = house.call("GET", "/v1/subscriptions/standing", "supervisor").json()["parties"]
        return next(one for one in found if one["party"] == "bank")

    assert standing()["open"] >= 1
    done = house.call("POST", "/v1/subscriptions/acknowledgements", "bank", json={"up_to": event["number"]})
    assert done.json()["acknowledged"] >= 1
    assert standing()["open"] == 0


def test_wrong_requests_are_problems(house: House) -> None:
    """Points that are none, tokens of another length, more than a call takes: what, where, and nothing kept."""

    def post(path: str, body: Any) -> tuple[int, str]:
        answer = house.call("POST", path, "bank", json=body)
        return answer.status_code, answer.json().get("where", "")

    bad, zero = base64.b64encode(b"\xff" * 32).decode(), base64.b64encode(bytes(32)).decode()
    assert post("/v1/subscriptions/blind", {"points": [bad]}) == (400, "/points/0")
    assert post("/v1/subscriptions/blind", {"points": [zero]}) == (400, "/points/0")
    assert post("/v1/subscriptions/blind", {"points": []})[0] == 400
    assert post("/v1/subscriptions/blind", {"points": ["%%%"]})[0] == 400
    assert post("/v1/subscriptions", {"tokens": ["AAAA"], "epoch": 1}) == (400, "/tokens/0")
    assert post("/v1/subscriptions", {"tokens": [zero], "epoch": 7}) == (409, "/epoch")
    assert post("/v1/subscriptions", {"tokens": [zero] * 1_000_000, "epoch": 1})[0] == 413
    assert post("/v1/misuse", {"kind": "guilty", "check": "0" * 32})[0] == 400
    assert post("/v1/misuse", {"kind": "forged"}) == (400, "/document")
    assert house.call("GET", "/v1/subscriptions/events?after=-1", "bank").status_code == 400


def test_a_statement_reaches_who_builds_cases(house: House) -> None:
    """Stated by the bank, seen by supervisor and police; the document goes on being what it was."""
    fields, _ = passport(house)
    before = house.ask(fields)["status"]
    made = house.call("POST", "/v1/misuse", "bank", json={"kind": "pledged", "document": fields, "evidence": "file 9"})
    assert made.status_code == 201
    found = house.call("GET", "/v1/misuse", "police").json()["statements"]
    (one,) = [each for each in found if each["misuse"] == made.json()["misuse"]]
    assert (one["party"], one["kind"], one["evidence"]) == ("bank", "pledged", "file 9")
    assert house.ask(fields)["status"] == before


def test_a_file_is_screened_by_a_command(house: House, tmp_path: Path) -> None:
    """`annul subscription screen` names the lines that are listed, and its exit code says that there are any."""
    from typer.testing import CliRunner

    from annul.cli import make_app

    dead, alive = passport(house)[0], passport(house)[0]
    file = tmp_path / "customers.jsonl"
    file.write_text("".join(json.dumps(each) + "\n" for each in (alive, dead)))
    place = ["--url", house.url, "--key", house.keys["bank"], "--json"]
    added = CliRunner().invoke(make_app(), ["subscription", "add", str(file), *place])
    assert added.exit_code == 0, added.output
    house.report(dead)
    until(lambda: events(house) and any(one["status"] == "reported" for one in events(house)[-1:]), "the event")

    def screened() -> Any:
        return CliRunner().invoke(make_app(), ["subscription", "screen", str(file), *place])

    until(lambda: screened().exit_code == 11, "the screening")
    assert json.loads(screened().output)["found"] == [{"line": 2, "status": "reported"}]
