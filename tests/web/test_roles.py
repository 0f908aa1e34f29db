"""Who may call what: the whole matrix of roles and routes, as the table declares it."""

from __future__ import annotations

import re

import httpx
import pytest

from annul.registry.act import Act
from annul.registry.officers import DUTIES
from annul.web import doors
from annul.web.auth import Sitting
from annul.web.call import ROLES as ALL_ROLES
from annul.web.call import Route
from annul.web.routes import ROUTES
from tests.web.conftest import ROLES, House

PARTY_OF_ROLE = {role: name for name, role in reversed(ROLES.items())}
EXAMPLES = (
    "r_" + "0" * 24, "0" * 32, "0" * 16, "d_" + "0" * 24, "register", "000", "0/000", "annul.css", "over-quota", "nobody", "1",
    "f_" + "0" * 24, "u_" + "0" * 24, "x_" + "0" * 24, "0" * 24, "2026", "2026-11", "police/P-1",
    "w_" + "0" * 24, "h_" + "0" * 24, "f" + "0" * 20, "r_" + "0" * 24 + "-" + "a" * 20,
)  # fmt: skip
"""Values that fit the patterns of path parameters; the first that fits is taken."""


def _address(route: Route) -> str:
    def example(found: re.Match[str]) -> str:
        pattern = route.patterns.get(found[1].partition(":")[0], ".*")
        return next(value for value in EXAMPLES if re.fullmatch(pattern, value))

    return re.sub(r"\{([^}]+)\}", example, route.path)


CLOSED = [route for route in ROUTES if isinstance(route.who, frozenset) and not route.page]
PAGES = [route for route in ROUTES if isinstance(route.who, frozenset) and route.page]
PEOPLE = ("visitor", "clerk", "citizen", "police", "issuer", "supervisor", "bank")
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


@pytest.fixture(scope="module")
def cookies(house: House) -> dict[str, dict[str, str]]:
    """A session of everybody who can be signed in; officers have every duty."""

    async def seat(person: str) -> dict[str, str]:
        sitting = Sitting(house.office, None)
        if person == "visitor":
            return {}
        if person == "clerk":
            await sitting.enter("clerk", key_id=house.key_id("bank"), clerk="C-1")
        elif person == "citizen":
            await sitting.enter("citizen", person=1, strength="strong")
        else:
            act = Act(person)
            await house.office.officers.add(act, person, "M-1", "Matrix", list(DUTIES))
            await sitting.enter("officer", officer=f"{person}/M-1", key_id=house.key_id(person))
        (cookie,) = sitting.cookies()
        return {cookie.key: str(cookie.value)}

    return {person: house.run(seat(person)) for person in PEOPLE}


def _of(person: str) -> str:
    if person in ("visitor", "clerk", "citizen"):
        return person
    return f"officer:{ROLES[person]}"


@pytest.mark.parametrize("person", PEOPLE)
@pytest.mark.parametrize("route", PAGES, ids=_named)
def test_a_person_sees_exactly_the_pages_the_table_says(
    house: House, cookies: dict[str, dict[str, str]], route: Route, person: str
) -> None:
    """Everybody else is sent to a sign-in page, or told that the page is not for them; nothing is shown or changed."""
    assert isinstance(route.who, frozenset)
    more = {"headers": {"content-type": "application/x-www-form-urlencoded"}} if route.method == "POST" else {}
    browser = httpx.Client(base_url=house.url, cookies=cookies[person])
    with browser, browser.stream(route.method, _address(route), **more) as answer:
        status, to = answer.status_code, answer.headers.get("location", "")
    if _of(person) in {who.partition("/")[0] for who in route.who}:
        assert not to.endswith("/sign-in") or route.method == "POST"
        assert status not in (401, 405, 500)
        assert status != 403 or route.method == "POST"
    else:
        assert status == 403 or (status == 303 and to.endswith("/sign-in"))


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
