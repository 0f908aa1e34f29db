"""The shell of all pages: sessions that end everywhere, forms sent once and never lost, languages, access for all."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from annul.web.routes import ROUTES
from tests.web.browser import WEIGHT_MAX, assert_accessible, assert_fits, chromium, open_page, seat, sign_in_clerk, weights
from tests.web.citizen.test_citizen import settle
from tests.web.conftest import House

__all__ = ["chromium"]
PUBLIC = ["/", "/found", "/figures", "/status", "/receipts/verify", "/counter/sign-in", "/problems/over-quota"]
DEVELOPERS = ["/developers", "/developers/sandbox", "/developers/reference", "/developers/reference/post_v1_checks"]
SIGNED_IN = {
    "clerk": [f"/counter{page}" for page in ("", "/follow-ups", "/departures", "/policy", "/policy/edit", "/policy/trial")],
    "citizen": [f"/my{page}" for page in ("", "/checks", "/attempts", "/messages", "/contacts", "/data")],
}


@pytest.fixture
def browser(house: House) -> Iterator[httpx.Client]:
    """A browser without a session."""
    with house.client(headers={"accept": "text/html"}) as made:
        yield made


def _tokens(page: httpx.Response) -> dict[str, str]:
    found = re.search(r'name="csrf" value="([^"]+)"><input type="hidden" name="once" value="([^"]+)"', page.text)
    assert found, page.text
    return {"csrf": found[1], "once": found[2]}


def _sign_in(browser: httpx.Client, house: House, clerk: str = "C-17") -> str:
    data = _tokens(browser.get("/counter/sign-in")) | {"key": house.keys["bank"], "clerk": clerk, "branch": "0421"}
    return browser.post("/counter/sign-in", data=data).headers["location"]


def test_signing_out_ends_a_copied_cookie_too(house: House, browser: httpx.Client) -> None:
    """Who copied the cookie is out as well: the register's book says so, not the browser."""
    _sign_in(browser, house)
    with house.client(cookies={"annul": browser.cookies["annul"]}) as thief:
        assert thief.get("/counter").status_code == 200
        assert browser.post("/sign-out", data=_tokens(browser.get("/counter"))).status_code == 303
        assert thief.get("/counter").headers["location"] == "/counter/sign-in"


def test_a_session_lost_in_the_middle_of_a_form_loses_nothing_typed(house: House, browser: httpx.Client) -> None:
    """Signed out meanwhile: the same clerk signs in and finds what was typed; the number is in no address."""
    _sign_in(browser, house)
    data = _tokens(browser.get("/counter")) | {"number": "45 09 123456", "reference": "R-7", "kind": "icao-9303/P"}
    other = house.client(cookies={"annul": browser.cookies["annul"]})
    other.post("/sign-out", data=_tokens(other.get("/counter")))
    lost = browser.post("/counter", data=data)
    assert (lost.status_code, lost.headers["location"]) == (303, "/counter/sign-in")
    assert "what you typed is kept for you" in browser.get("/counter/sign-in").text
    assert _sign_in(browser, house) == "/counter"
    page = browser.get("/counter").text
    assert "What you typed is here again" in page
    assert 'value="45 09 123456"' in page
    assert 'value="R-7"' in page


def test_a_kept_form_is_given_to_nobody_else(house: House, browser: httpx.Client) -> None:
    """Another clerk who signs in at the same browser does not see it."""
    _sign_in(browser, house)
    data = _tokens(browser.get("/counter")) | {"number": "45 09 123456"}
    other = house.client(cookies={"annul": browser.cookies["annul"]})
    other.post("/sign-out", data=_tokens(other.get("/counter")))
    browser.post("/counter", data=data)
    _sign_in(browser, house, clerk="C-18")
    assert "45 09 123456" not in browser.get("/counter").text


def test_a_form_of_a_session_before_this_one_comes_back_filled(house: House, browser: httpx.Client) -> None:
    """Two tabs, signed in again in one: the form of the other is shown again, not lost and not sent."""
    _sign_in(browser, house)
    data = _tokens(browser.get("/counter")) | {"number": "45 09 654321"}
    _sign_in(browser, house)
    again = browser.post("/counter", data=data)
    assert (again.status_code, again.headers["location"]) == (303, "/counter")
    page = browser.get("/counter").text
    assert 'value="45 09 654321"' in page
    assert "What you typed is here again" in page
    assert "answer-" not in page
    browser.post("/counter", data=_tokens(browser.get("/counter")) | {"number": "45 09 654321"})
    assert "What you typed is here again" not in browser.get("/counter").text, "sent: there is nothing to bring back"


def test_a_sign_in_returns_to_the_page_that_asked_for_it(house: House, browser: httpx.Client) -> None:
    """And never to another site."""
    assert browser.get("/counter").headers["location"] == "/counter/sign-in"
    assert _sign_in(browser, house) == "/counter"
    for back in ("//evil.example", "/\\evil.example", "https://evil.example"):
        assert browser.get("/language", params={"to": "zh", "back": back}).headers["location"] == "/"


def test_a_page_for_somebody_else_does_not_end_a_session(house: House, browser: httpx.Client) -> None:
    """A clerk who follows a link for holders is asked to log in, and is still a clerk when she goes back."""
    _sign_in(browser, house)
    assert browser.get("/my").headers["location"] == "/my/sign-in"
    assert browser.get("/counter").status_code == 200


def test_a_visible_switch_chooses_the_language(browser: httpx.Client) -> None:
    """The cookie wins over the browser's wish; Arabic reads from right to left."""
    assert browser.get("/language", params={"to": "ar", "back": "/receipts/verify"}).headers["location"] == "/receipts/verify"
    page = browser.get("/", headers={"accept-language": "zh"})
    assert '<html lang="ar" dir="rtl">' in page.text


def test_every_page_of_the_table_declares_people(house: House) -> None:
    """A page never asks for a program's role, a program's address never for a person."""
    for route in ROUTES:
        if isinstance(route.who, frozenset):
            people = {who for who in route.who if who.startswith(("officer:", "clerk", "citizen"))}
            assert (people == route.who) if route.page else not people, route.path


@pytest.mark.parametrize("language", ["en", "zh", "ar"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_public_page_is_for_everybody(chromium: Any, house: House, language: str, scheme: str) -> None:
    """Accessible, and 320 px are enough, in every language and both schemes."""
    page = open_page(chromium, house, width=320, language=language, scheme=scheme)
    for address in PUBLIC:
        page.goto(address)
        assert_fits(page)
        assert_accessible(page)
    page.context.close()


def test_pages_work_without_a_script(chromium: Any, house: House) -> None:
    """Language, sign-in, check and sign-out by links and forms alone."""
    page = open_page(chromium, house, script=False)
    page.goto("/")
    page.click("text=简体中文")
    assert page.get_attribute("html", "lang") == "zh-CN"
    page.click("text=English")
    sign_in_clerk(page, house)
    page.fill("#number", "4509 123457")
    page.keyboard.press("Enter")
    page.wait_for_selector(".answer")
    page.click(".sign-out button")
    page.wait_for_url(f"{house.url}/counter/sign-in")
    page.goto("/counter")
    assert page.url.endswith("/counter/sign-in")
    page.context.close()


def test_the_pages_are_light(chromium: Any, house: House) -> None:
    """A first visit with an empty cache stays under 100 KB."""
    everybody = [*PUBLIC, "/report", "/report/state", "/my/sign-in", "/demo/outbox", *DEVELOPERS]
    stranger = open_page(chromium, house, service_workers="block")
    found = weights(stranger, everybody)
    stranger.context.close()
    for kind, addresses in SIGNED_IN.items():
        fields = {"key_id": house.key_id("bank"), "clerk": "C-17"} if kind == "clerk" else {"person": settle(house).person}
        seated = open_page(chromium, house, service_workers="block")
        seat(seated, house, kind, **fields)
        found |= weights(seated, addresses)
        seated.context.close()
    assert {address: bytes_ for address, bytes_ in found.items() if not 0 < bytes_ <= WEIGHT_MAX} == {}


def test_the_counter_is_for_everybody(chromium: Any, house: House) -> None:
    """Empty, with an answer, and with an error."""
    page = open_page(chromium, house, width=320)
    sign_in_clerk(page, house)
    assert_accessible(page)
    page.fill("#number", "4509 123456")
    page.keyboard.press("Enter")
    page.wait_for_selector(".answer")
    assert_accessible(page)
    page.fill("#number", "hello")
    page.keyboard.press("Enter")
    page.wait_for_selector(".govuk-error-summary:focus")
    assert_accessible(page)
    page.context.close()
