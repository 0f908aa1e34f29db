"""Who may call what: the whole matrix of roles and routes, as the table declares it."""

from __future__ import annotations

import pytest

from annul.web import doors
from annul.web.call import ROLES as ALL_ROLES
from annul.web.call import Route
from annul.web.routes import ROUTES
from tests.web.conftest import ROLES, House

PARTY_OF_ROLE = {role: name for name, role in reversed(ROLES.items())}
EXAMPLES = {
    "{check}": "0" * 32, "{log}": "register", "{path:path}": "000", "{name}": "annul.css", "{code}": "over-quota",
    "{key}": "0" * 16,
}  # fmt: skip


def _address(route: Route) -> str:
    address = route.path
    for name, value in EXAMPLES.items():
        address = address.replace(name, value)
    sample = {"/v1/reports/{id}": "r_" + "0" * 24, "/v1/bulk/{id}": "0" * 32, "/v1/parties/{id}": "nobody"}
    for start, value in sample.items():
        if address.startswith(start):
            address = address.replace("{id}", value)
    return address.replace("/tile/000", "/tile/0/000")


CLOSED = [route for route in ROUTES if isinstance(route.who, frozenset)]
OPEN = [route for route in ROUTES if not isinstance(route.who, frozenset)]


def _named(route: Route) -> str:
    return f"{route.method} {route.path}"


def _send(house: House, route: Route, who: str | None) -> int:
    more = {"content": b"{}", "headers": {"content-type": "application/json"}} if route.method == "POST" else {}
    return house.call(route.method, _address(route), who, **more).status_code


@pytest.mark.parametrize("role", ALL_ROLES)
@pytest.mark.parametrize("route", CLOSED, ids=_named)
def test_a_role_gets_in_exactly_where_the_table_says(house: House, route: Route, role: str) -> None:
    """403 for every role that is not named, never 401 or 403 for one that is (an empty body is refused otherwise)."""
    status = _send(house, route, PARTY_OF_ROLE[role])
    if role in route.who:
        assert status not in (401, 403, 404 if "{" not in route.path else 401, 405, 500)
    else:
        assert status == 403


@pytest.mark.parametrize("route", CLOSED, ids=_named)
def test_nobody_gets_in_without_a_credential(house: House, route: Route) -> None:
    """No header, and a made-up key: 401 both times."""
    assert _send(house, route, None) == 401
    headers = {"authorization": f"Bearer live_{'0' * 16}_{'0' * 64}", "content-type": "application/json"}
    content = b"{}" if route.method == "POST" else None
    assert house.http.request(route.method, _address(route), headers=headers, content=content).status_code == 401


@pytest.mark.parametrize("route", OPEN, ids=_named)
def test_public_routes_ask_nobody(house: House, route: Route) -> None:
    """Anonymous callers are not told to authenticate (the counter sends them to its sign-in page)."""
    assert _send(house, route, None) not in (401, 405, 500)


@pytest.mark.parametrize("who", [frozenset(), frozenset({"nobody"}), "everybody", None])
def test_a_route_that_does_not_say_who_may_call_it_stops_the_start(
    house: House, who: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty set, an unknown role or a made-up word is no declaration."""

    async def handler(_office: object, _call: object) -> None:
        """Answer nothing."""

    undeclared = Route(method="GET", path="/undeclared", who=who, handler=handler, summary="x")  # type: ignore[arg-type]
    monkeypatch.setattr(doors, "ROUTES", (*ROUTES, undeclared))
    with pytest.raises(AssertionError, match="/undeclared"):
        doors.create_web(house.office)


def test_a_police_desk_does_not_record_what_is_the_issuers(house: House) -> None:
    """The feed is the issuer's; a desk only takes in, gives back and destroys."""
    body = {"event": "revoke", "reason": "fraud", "document": house.passport()}
    answer = house.call("POST", "/v1/documents", "police", json=body)
    assert answer.status_code == 403
    body = {"event": "surrender", "document": house.passport()}
    assert house.call("POST", "/v1/documents", "police", json=body).status_code == 201


def test_a_role_without_an_agreement_gets_no_answer(house: House) -> None:
    """A supervisor's key is good, but nothing allows it to ask."""
    question = {"document": house.passport(), "purpose": "account-opening", "channel": "in_person"}
    answer = house.call("POST", "/v1/checks", "supervisor", json=question)
    assert answer.status_code == 403
    assert (answer.json()["outcome"], answer.json()["error"]) == ("NO_ANSWER", "E92")
