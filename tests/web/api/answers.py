"""What the tests of several topics ask and expect of the API."""

from __future__ import annotations

from typing import Any

from tests.web.conftest import House


def problem(answer: Any, status: int, code: str) -> dict[str, Any]:
    """Hold an answer to be this problem, and return its members."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    members = answer.json()
    assert members["type"] == f"/problems/{code}"
    return members


def reported(house: House, document: dict[str, str], who: str = "police", **more: Any) -> Any:
    """Send a report: lost, in person, if `more` does not say otherwise."""
    body = {"document": document, "kind": "lost", "proof": "in_person"} | more
    return house.call("POST", "/v1/reports", who, json=body)


def fed(house: House, event: str, document: dict[str, str], **more: Any) -> Any:
    """Send an event of the issuer's feed."""
    return house.call("POST", "/v1/documents", "issuer", json={"event": event, "document": document} | more)
