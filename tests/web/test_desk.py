"""The desk in a real browser, by keyboard: sign in, search for a case, choose the right document, report, undo by the rules."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest

from annul.registry.act import Act
from annul.registry.officers import DUTIES
from tests.web.browser import assert_accessible, assert_fits, chromium, open_page, seat
from tests.web.conftest import House

__all__ = ["chromium"]
CASE = "K-2026-117"
_staff = itertools.count(1)


def officer(house: House, party: str = "police", duties: tuple[str, ...] = DUTIES) -> str:
    """Record an officer of a party; return her id."""
    staff = f"D-{next(_staff)}"
    house.run(house.office.officers.add(Act("setup"), party, staff, "Mei Lin", list(duties)))
    return f"{party}/{staff}"


def sit(page: Any, house: House, party: str = "police", **more: Any) -> str:
    """Sit down at a desk without the way in; return the officer's id."""
    mine = officer(house, party)
    seat(page, house, "officer", officer=mine, key_id=house.key_id(party), **more)
    return mine


def search(page: Any, house: House, document: dict[str, str]) -> None:
    """Search for a Russian passport for the usual case."""
    page.goto("/desk")
    page.fill("#case", CASE)
    page.fill("#number", document["series"] + " " + document["number"])
    page.get_by_role("button", name=re.compile("^(Search|搜索|查询)$")).click()


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("script", [True, False])
def test_a_report_by_keyboard(chromium: Any, house: House, language: str, script: bool) -> None:
    """Sign in by key, search, report stolen: the screen says since when every check point refuses it; the bank is told STOP."""
    document = house.passport()
    staff = officer(house).partition("/")[2]
    page = open_page(chromium, house, language=language, script=script)
    page.goto("/desk")
    page.wait_for_url("**/desk/sign-in")
    page.focus("#key")
    page.keyboard.type(house.keys["police"])
    page.keyboard.press("Tab")
    page.keyboard.type(staff)
    page.keyboard.press("Enter")
    page.wait_for_url("**/desk")
    page.focus("#case")
    page.keyboard.type(CASE)
    page.focus("#number")
    page.keyboard.type(document["series"] + document["number"])
    page.keyboard.press("Enter")
    page.wait_for_url("**/desk/searches/*")
    assert document["number"] not in page.url
    page.keyboard.press("Tab")
    page.locator(".document a").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/0/report")
    page.locator("input[name=kind][value=stolen]").focus()
    page.keyboard.press("Space")
    page.locator("button.large").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(".seal")
    assert re.search(r"\d\d:\d\d:\d\d UTC", page.inner_text("h1"))
    assert re.search(r"\d\d:\d\d:\d\d\.\d{3} UTC", page.inner_text(".lead"))
    assert house.ask(document)["status"]["code"] == "S11"
    page.context.close()
