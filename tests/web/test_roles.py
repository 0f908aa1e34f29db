"""Who may call what: the whole matrix of roles and routes, as the table declares it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from annul import web
from annul.registry.parties.officers import DUTIES
from annul.registry.parties.parties import ROLES as ALL_ROLES
from annul.registry.parties.parties import IssuedKey
from annul.registry.writing.act import Act
from annul.web.door.call import Route
from annul.web.door.session import Sitting
from annul.web.doors import Mounted
from annul.web.routes import ROUTES
from tests.waiting import WAIT_S
from tests.web.conftest import ROLES, House

PARTY_OF_ROLE = {role: name for name, role in reversed(ROLES.items())}


def _example(pattern: str) -> str:
    """Return a text that fits a pattern: the first choice of every alternative, the fewest repetitions."""

    def of(parsed: Any) -> str:
        made = ""
        for kind, value in parsed:
            name = str(kind)
            if name == "LITERAL":
                made += chr(value)
            elif name == "IN":
                what, first = value[0]
                made += chr(first[0]) if str(what) == "RANGE" else chr(first) if str(what) == "LITERAL" else "1"
            elif name in ("MAX_REPEAT", "MIN_REPEAT"):
                made += of(value[2]) * value[0]
            elif name == "SUBPATTERN":
                made += of(value[3])
            elif name == "BRANCH":
                made += of(value[1][0])
        return made

    made = of(re._parser.parse(pattern))  # type: ignore[attr-defined]
    assert re.fullmatch(pattern, made), pattern
    return made


def _address(route: Route) -> str:
    return re.sub(r"\{([^}]+)\}", lambda found: _example(route.patterns.get(found[1].partition(":")[0], "[a-z]+")), route.path)


CLOSED = [route for route in ROUTES if isinstance(route.who, frozenset) and not route.page]
PAGES = [route for route in ROUTES if isinstance(route.who, frozenset) and route.page]
PEOPLE = ("visitor", "clerk", "citizen", "police", "issuer", "supervisor", "bank")
OPEN = [route for route in ROUTES if not isinstance(route.who, frozenset)]


def _named(route: Route) -> str:
    return f"{route.method} {route.path}"


def _send(house: House, route: Route, who: str | None) -> int:
    more = {"content": b"{}", "headers": {"content-type": "application/json"}} if route.method == "POST" else {}
    if route.media == "text/event-stream":  # it goes on for ever
        with house.http.stream(route.method, _address(route)) as answer:
            return answer.status_code
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


@pytest.fixture(scope="module")
def counter_key(house: House) -> IssuedKey:
    """A key for counters of the bank."""
    made: IssuedKey = house.run(house.office.parties.issue_key(Act("setup"), "bank", use="counter"))
    assert house.run(house.office.listings.reached(made.position, WAIT_S))
    return made


@pytest.mark.parametrize("route", CLOSED, ids=_named)
def test_a_key_for_counters_gets_in_exactly_where_the_table_says(house: House, counter_key: IssuedKey, route: Route) -> None:
    """403 at every address whose line does not name its use, at the check path too; elsewhere as its party's full key."""
    more: dict[str, Any] = {"content": b"{}"} if route.method == "POST" else {}
    headers = {"authorization": f"Bearer {counter_key.token}", "content-type": "application/json"}
    status = house.http.request(route.method, _address(route), headers=headers, **more).status_code
    if "counter" in route.use and "relying_party" in route.who:
        assert status not in (401, 403, 405, 500)
    else:
        assert status == 403


def test_keys_for_counters_open_these_addresses_and_no_other() -> None:
    """A new line of the table takes full keys alone; whoever opens one to every branch says so here as well."""
    assert {_named(route) for route in CLOSED if "counter" in route.use} == {
        "POST /v1/checks",
        "POST /v1/checks/batch",
        "GET /v1/checks/{check}",
        "POST /v1/checks/{check}/photo",
        "POST /v1/verifications",
        "POST /v1/verifications/challenges",
        "POST /v1/departures",
        "POST /v1/urgent-needs",
        "GET /v1/urgent-needs",
        "POST /v1/urgent-needs/{id}/shown",
        "GET /v1/policies",
        "GET /v1/policies/{version}",
    }


@pytest.mark.parametrize("route", PAGES, ids=_named)
def test_a_clerk_with_a_key_for_counters_sees_the_pages_of_counters_alone(
    house: House, counter_key: IssuedKey, route: Route
) -> None:
    """Policies and lists of the whole party stay closed, whoever sits at the terminal."""

    async def seat() -> dict[str, str]:
        sitting = Sitting(house.office, None)
        await sitting.enter("clerk", key_id=counter_key.id, clerk="C-1")
        (cookie,) = sitting.cookies()
        return {cookie.key: str(cookie.value)}

    headers = {"content-type": "application/x-www-form-urlencoded"} if route.method == "POST" else {}
    browser = house.client(cookies=house.run(seat()))
    with browser, browser.stream(route.method, _address(route), headers=headers) as answer:
        status, to = answer.status_code, answer.headers.get("location", "")
    if "clerk" in route.who and "counter" in route.use:
        assert not to.endswith("/sign-in") or route.method == "POST"
        assert status not in (401, 405, 500)
        assert status != 403 or route.method == "POST"
    else:
        assert status == 403 or (status == 303 and to.endswith("/sign-in"))


@pytest.mark.parametrize("party", ["police", "issuer", "supervisor"])
def test_who_has_no_counters_gets_no_key_for_them(house: House, party: str) -> None:
    """Such a key of an issuer would be believed to be harmless."""
    answer = house.call("POST", f"/v1/parties/{party}/keys", "supervisor", json={"use": "counter"})
    assert answer.status_code == 400
    assert answer.json()["where"] == "/use"


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
    headers = {"cookie": "; ".join(f"{name}={value}" for name, value in cookies[person].items())}
    if route.method == "POST":
        headers["content-type"] = "application/x-www-form-urlencoded"
    with house.client() as browser, browser.stream(route.method, _address(route), headers=headers) as answer:
        status, to = answer.status_code, answer.headers.get("location", "")
    if _of(person) in {who.partition("/")[0] for who in route.who}:
        assert not to.endswith("/sign-in") or route.method == "POST"
        assert status not in (401, 405, 500)
        assert status != 403 or route.method == "POST"
    else:
        assert status == 403 or (status == 303 and to.endswith("/sign-in"))


@pytest.mark.parametrize("party", ["police", "issuer", "supervisor", "bank"])
def test_a_duty_opens_the_pages_that_name_it(house: House, party: str) -> None:
    """Before every page of a duty: an officer who has it alone is let in, one who has every other duty is not."""
    role = f"officer:{ROLES[party]}"
    wrong = []
    for duty in DUTIES:
        shown = [route for route in PAGES if route.method == "GET" and f"{role}/{duty}" in route.who and role not in route.who]
        shown = [route for route in shown if not any(f"{role}/{other}" in route.who for other in DUTIES if other != duty)]
        for has in (True, False) if shown else ():
            staff, duties = f"D{has:d}-{duty}", [duty] if has else [other for other in DUTIES if other != duty]

            async def sit(staff: str = staff, duties: list[str] = duties) -> dict[str, str]:
                sitting = Sitting(house.office, None)
                await house.office.officers.add(Act(party), party, staff, "One Duty", duties)
                await sitting.enter("officer", officer=f"{party}/{staff}", key_id=house.key_id(party))
                (cookie,) = sitting.cookies()
                return {cookie.key: str(cookie.value)}

            with house.client(cookies=house.run(sit())) as browser:
                for route in shown:
                    status = browser.get(_address(route)).status_code
                    if (status == 403) is has:
                        wrong.append((duty, has, route.path, status))
    assert wrong == []


@pytest.mark.parametrize("who", [frozenset(), frozenset({"nobody"}), "everybody", None])
def test_a_route_that_does_not_say_who_may_call_it_stops_the_start(who: object) -> None:
    """An empty set, an unknown role or a made-up word is no declaration."""

    async def handler(_office: object, _call: object) -> None:
        """Answer nothing."""

    undeclared = Route(method="GET", path="/undeclared", who=who, handler=handler, summary="x")  # type: ignore[arg-type]
    with pytest.raises(AssertionError, match="/undeclared"):
        Mounted((*ROUTES, undeclared))


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


def test_roles_and_ids_are_spelled_in_one_place() -> None:
    """Every other room names the sets and patterns of `door.who`: a new role is entered once."""
    room = Path(web.__file__).parent
    spelled = re.compile(
        r'frozenset\(\{"(?:relying_party|police|issuer|supervisor|clerk|citizen|officer:)|"[a-z]{1,2}_\[0-9a-f\]'
    )
    found = {file.name for file in room.rglob("*.py") if spelled.search(file.read_text(encoding="utf-8"))}
    assert found == {"who.py"}
