"""A form that is refused is shown by GET: Back, reload and a second tab never ask to send it again."""

from __future__ import annotations

import re

import httpx

from annul.web.door.session import Sitting
from tests.web.conftest import House

NAVIGATES = {"sec-fetch-mode": "navigate", "sec-fetch-site": "same-origin"}


def _officer(house: House) -> dict[str, str]:
    async def sit() -> dict[str, str]:
        sitting = Sitting(house.office, None)
        if "R-1" not in {one.staff for one in await house.office.officers.list("police")}:
            from annul.registry.writing.act import Act

            await house.office.officers.add(Act("setup"), "police", "R-1", "Ines Varga", ["desk", "officers"])
        await sitting.enter("officer", officer="police/R-1", key_id=house.key_id("police"))
        (cookie,) = sitting.cookies()
        return {cookie.key: str(cookie.value)}

    return house.run(sit())


def _token(page: httpx.Response) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', page.text)
    assert found
    return found[1]


def test_a_refused_form_comes_back_by_get_with_what_was_typed(house: House) -> None:
    """303 to the same page, which shows values and errors; opened again after another page it is empty."""
    with house.client(cookies=_officer(house), headers=NAVIGATES) as browser:
        token = _token(browser.get("/desk"))
        answer = browser.post("/desk", data={"csrf": token, "case": "", "purpose": "report", "number": "12345"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/desk")
        for _turn in range(2):  # reload
            shown = browser.get("/desk")
            assert shown.status_code == 200
            assert "A search needs the reference of its case." in shown.text
            assert 'value="12345"' in shown.text
            assert "<title>Error:" in shown.text
        browser.get("/desk/officers")
        assert 'value="12345"' not in browser.get("/desk").text


def test_ticks_come_back_as_well(house: House) -> None:
    """A field that is a list keeps all of its values."""
    with house.client(cookies=_officer(house), headers=NAVIGATES) as browser:
        token = _token(browser.get("/desk/officers"))
        once = re.search(r'name="once" value="([^"]+)"', browser.get("/desk/officers").text)
        assert once
        sent = {"csrf": token, "once": once[1], "staff": "", "name": "No Number", "duties": ["found", "disputes"]}
        assert browser.post("/desk/officers", data=sent).status_code == 303
        shown = browser.get("/desk/officers").text
    assert 'value="No Number"' in shown
    assert re.search(r'value="found"[^>]*checked', shown)
    assert re.search(r'value="disputes"[^>]*checked', shown)


def test_a_script_and_an_old_browser_get_the_page_itself(house: House) -> None:
    """Without the header that only browsers send when they navigate, the answer is the page with its status."""
    with house.client(cookies=_officer(house)) as browser:
        token = _token(browser.get("/desk"))
        answer = browser.post("/desk", data={"csrf": token, "case": "", "purpose": "report", "number": "12345"})
    assert answer.status_code == 400
    assert 'value="12345"' in answer.text
