"""The head office sees what became of its customers' documents, and says that it acted."""

from __future__ import annotations

import re

import httpx

from tests.web.api.test_subscriptions import told
from tests.web.conftest import House


def _csrf(page: httpx.Response) -> str:
    found = re.findall(r'name="csrf" value="([^"]*)"', page.text)
    assert found, page.text
    return str(found[-1])


def test_events_stay_until_somebody_acted(house: House) -> None:
    """Listed with their deadline in both languages, acknowledged by one button, gone; a number that is none is told."""
    event = told(house)
    with house.client() as browser:
        sign_in = {"key": house.keys["bank"], "clerk": "head", "branch": "", "terminal": ""}
        begun = browser.post("/counter/sign-in", data=sign_in | {"csrf": _csrf(browser.get("/counter/sign-in"))})
        assert begun.status_code == 303
        page = browser.get("/counter/file")
        assert "reported by its holder" in page.text
        assert event["token"][:12] in page.text.replace("&#43;", "+")
        chinese = browser.get("/counter/file", headers={"accept-language": "zh"})
        assert "持证人已挂失" in chinese.text
        wrong = browser.post("/counter/file", data={"csrf": _csrf(page), "up_to": "999999"})
        assert wrong.status_code == 400
        assert "There is no such event." in wrong.text
        done = browser.post("/counter/file", data={"csrf": _csrf(page), "up_to": str(event["number"])})
        assert done.status_code == 303
        after = browser.get("/counter/file")
        assert event["token"][:12] not in after.text
    shown = house.call("GET", f"/v1/subscriptions/events?after={event['number'] - 1}", "bank").json()["events"]
    assert shown[0]["acknowledged_at"]
