"""The citizen's journeys in a real Chromium: by keyboard, with and without scripts, in three languages, at 320 px."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.web.browser import assert_accessible, assert_fits, chromium, open_page, seat
from tests.web.citizen.test_citizen import TODAY, Holder, settle
from tests.web.conftest import House

__all__ = ["chromium"]
PAGES_MAX = 9
"""Most pages a report may take."""
QUESTION_WORDS = {"en": "can no longer be used", "zh": "停用", "ar": "لم يعد استعمالها ممكنًا"}


def _page(chromium: Any, house: House, number: int, **more: Any) -> Any:
    return open_page(chromium, house, extra_http_headers={"x-forwarded-for": f"198.51.100.{number}"}, **more)


def _report_by_keyboard(page: Any, holder: Holder) -> int:
    """Report a loss without signing in by keyboard alone; return how many pages it took."""
    pages = 1
    page.goto("/report")
    page.focus("main form button")
    for field, text in (
        ("", ""),
        ("input[name=kind]", " "),
        ("#number", f"{holder.number[:6]} {holder.number[6:]}"),
        ("#name", holder.name),
        ("input[name=what]", " "),
        ("#contact", ""),
    ):
        if field:
            page.focus(field)
        page.keyboard.type(text)
        assert_fits(page)
        before = page.url
        page.focus("main form button[type=submit]")
        page.keyboard.press("Enter")
        page.wait_for_url(lambda url, before=before: url != before)
        pages += 1
    return pages


@pytest.mark.parametrize(("language", "script"), [("en", True), ("zh", False), ("ar", False)])
def test_a_loss_is_reported_by_keyboard_on_a_phone(chromium: Any, house: House, language: str, script: bool) -> None:
    """At most nine pages, 320 px, one question a page; the last page has the seal and the measured times."""
    holder = settle(house)
    page = _page(chromium, house, 10 + len(language) + script, width=320, language=language, script=script)
    assert _report_by_keyboard(page, holder) <= PAGES_MAX
    assert QUESTION_WORDS[language] in page.inner_text("main")
    assert page.locator("svg.seal").count() == 1
    assert re.search(r"\d\d:\d\d:\d\d\.\d\d\d", page.inner_text("main"))
    assert page.get_attribute("html", "dir") == ("rtl" if language == "ar" else "ltr")
    assert_fits(page)
    assert house.ask(holder.fields)["outcome"] == "STOP"
    page.context.close()


def test_back_and_two_tabs_lose_and_mix_nothing(chromium: Any, house: House) -> None:
    """The back button shows what was typed; a second tab has a report of its own."""
    one, two = settle(house), settle(house, "李雷")
    page = _page(chromium, house, 30)
    for holder, tab in ((one, page), (two, page.context.new_page())):
        tab.goto("/report")
        tab.click("main form button")
        tab.check("input[value=cn-resident]")
        tab.click("main form button")
        tab.fill("#number", holder.number)
        tab.click("main form button")
        tab.wait_for_selector("#name")
    page.go_back()
    assert page.input_value("#number") == one.number
    page.click("main form button")
    page.fill("#name", one.name)
    page.click("main form button")
    page.check("input[value=lost]")
    page.click("main form button")
    assert one.number[-4:] in page.inner_text("main")
    page.dblclick("main form button")
    page.wait_for_selector("svg.seal")
    assert house.ask(one.fields)["outcome"] == "STOP"
    assert house.ask(two.fields)["outcome"] == "PASS"
    page.context.close()


def test_a_login_that_is_asked_for_in_the_middle_comes_back(chromium: Any, house: House) -> None:
    """Somebody opens a document's page without a session: login, choose a person, and that page is there."""
    holder = settle(house)
    page = _page(chromium, house, 31)
    page.goto(f"/my/documents/{holder.document}")
    page.click("main a[role=button]")
    form = page.locator("form", has_text=f"card {holder.document}").last
    form.locator("button[value=strong]").click()
    page.wait_for_url(f"**/my/documents/{holder.document}")
    assert "Resident identity card" in page.inner_text("main")
    page.context.close()


@pytest.mark.parametrize("language", ["en", "zh", "ar"])
def test_every_page_is_accessible_and_fits_a_phone(chromium: Any, house: House, language: str) -> None:
    """axe: no serious or critical finding; nothing scrolls sideways at 320 px; errors are named at the top."""
    holder = settle(house)
    house.report(holder.fields)
    house.ask(holder.fields)
    page = _page(chromium, house, 40 + len(language), width=320, language=language)
    for path in ("/report", "/report/state", "/found", "/my/sign-in", "/demo/outbox"):
        page.goto(path)
        assert_accessible(page)
        assert_fits(page)
    page.goto("/report")
    page.click("main form button")
    for _ in range(2):  # the question, and the question with its error
        assert_accessible(page)
        page.click("main form button[type=submit]")
        page.wait_for_load_state()
    assert page.locator(".govuk-error-summary").count() == 1
    seat(page, house, "citizen", person=holder.person, strength="strong")
    base = f"/my/documents/{holder.document}"
    for path in ("/my", base, f"{base}/dispute", "/my/checks", "/my/attempts", "/my/messages", "/my/contacts", "/my/data"):
        page.goto(path)
        assert_accessible(page)
        assert_fits(page)
    fresh = settle(house)
    seat(page, house, "citizen", person=fresh.person, strength="strong")
    base = f"/my/documents/{fresh.document}"
    for path in (f"{base}/report", f"{base}/lock"):
        page.goto(path)
        assert page.url.endswith(path)
        assert_accessible(page)
        assert_fits(page)
    page.click("main form button")
    for path in (base, f"{base}/unlock"):
        page.goto(path)
        assert page.url.endswith(path)
        assert_accessible(page)
        assert_fits(page)
    page.context.close()


def test_a_form_that_lay_too_long_says_what_to_do(chromium: Any, house: House) -> None:
    """A draft that is over: a sentence that helps, and nothing was reported."""
    holder = settle(house)
    page = _page(chromium, house, 50)
    page.goto("/report")
    page.click("main form button")
    page.check("input[value=cn-resident]")
    page.click("main form button")
    draft = page.url.split("/")[-2]
    page.context.clear_cookies(name="annul-report")
    page.goto(f"/report/{draft}/number")
    assert "Begin again" in page.inner_text("main")
    assert house.ask(holder.fields)["outcome"] == "PASS"
    page.context.close()


def test_a_strong_report_takes_few_pages(chromium: Any, house: House) -> None:
    """From my documents to the seal: four pages, without a script."""
    holder = settle(house)
    page = _page(chromium, house, 51, width=320, script=False)
    seat(page, house, "citizen", person=holder.person, strength="strong")
    page.goto("/my")
    page.click("article.document a")
    page.click("a[href$='/report']")
    page.check("input[value=stolen]")
    page.fill("#when", TODAY)
    page.click("main form button[type=submit]")
    page.wait_for_url("**/reported")
    assert page.locator("svg.seal").count() == 1
    assert house.ask(holder.fields)["status"]["code"] == "S11"
    page.context.close()
