"""The counter in a real browser: by keyboard, with and without scripts, in two languages, offline, under stress."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Error

from tests.web.browser import assert_accessible, assert_fits, chromium, open_page, sign_in_clerk
from tests.web.conftest import House
from tests.web.counter.test_counter_acts import Bank

__all__ = ["chromium"]

KEY_MS = 40
"""The keyboard types 25 characters a second."""

WORDS = {
    "en": {"PASS": "PASS", "STOP": "STOP", "recorded": "The reason stands with the check.", "none": "NO ANSWER"},
    "zh": {"PASS": "通过", "STOP": "停止办理", "recorded": "理由", "none": "无答复"},
}
PAGES = (
    "/counter",
    "/counter/follow-ups",
    "/counter/departures",
    "/counter/policy",
    "/counter/policy/edit",
    "/counter/policy/trial",
)
MRZ = "P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<L898902C36UTO7408122F1204159ZE184226B<<<<<10"


@pytest.fixture
def bank(house: House) -> Bank:
    """A bank of its own."""
    return Bank(house)


@pytest.fixture
def lost(house: House) -> dict[str, str]:
    """A document that was reported lost."""
    document = house.passport()
    house.report(document)
    return document


def _type(page: Any, document: dict[str, str]) -> None:
    page.wait_for_selector("#number:focus")
    page.keyboard.type(f"{document['series']} {document['number']}", delay=KEY_MS)
    page.keyboard.press("Enter")


def _answered(page: Any, outcome: str) -> None:
    page.wait_for_selector(f".answer-{outcome}")
    page.wait_for_selector("#number:focus")


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("script", [True, False], ids=["script", "plain"])
def test_one_document_is_typed_asked_and_answered_by_keyboard(
    chromium: Any, house: House, bank: Bank, lost: dict[str, str], language: str, script: bool
) -> None:
    """Type with a space in the number, Enter, read, the next: colour, word, icon and next step, and the box has the focus."""
    page = open_page(chromium, house, language=language, script=script)
    sign_in_clerk(page, house, bank.counter)
    for document, outcome in ((house.passport(), "PASS"), (lost, "STOP")):
        asked: list[str] = []
        page.on("request", lambda request, asked=asked: asked.append(request.url) if request.method == "POST" else None)
        _type(page, document)
        _answered(page, outcome)
        assert len(asked) == 1, "one document is one question: no second page, no second press"
        assert page.inner_text(".answer .band") == WORDS[language][outcome]
        assert page.locator(".answer .band svg").count() == 1
        assert page.locator(".answer .next li").count() >= 1
    page.context.close()


@pytest.mark.parametrize("script", [True, False], ids=["script", "plain"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_departure_by_keyboard_alone(
    chromium: Any, house: House, bank: Bank, lost: dict[str, str], language: str, script: bool
) -> None:
    """From the answer to the recorded reason without a mouse."""
    page = open_page(chromium, house, language=language, script=script)
    sign_in_clerk(page, house, bank.counter)
    _type(page, lost)
    _answered(page, "STOP")
    summary = page.locator("details:has(form[action='/counter/departure']) > summary")
    summary.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector(".govuk-notification-banner")
    assert WORDS[language]["recorded"] in page.inner_text(".govuk-notification-banner")
    assert len(bank.call("GET", "/v1/departures").json()["departures"]) == 1
    page.context.close()


def test_a_whole_pasted_zone_is_taken_apart(chromium: Any, house: House, bank: Bank) -> None:
    """88 characters without a line break in the number's box: the passport is read, no error."""
    page = open_page(chromium, house)
    sign_in_clerk(page, house, bank.counter)
    page.wait_for_selector("#number:focus")
    page.keyboard.insert_text(f"{MRZ[:44]} {MRZ[44:]}")
    page.keyboard.press("Enter")
    _answered(page, "REFER")
    assert page.locator(".govuk-error-summary").count() == 0
    page.context.close()


def test_what_waits_offline_is_marked_unread_on_the_disk_and_asked_later(
    chromium: Any, house: House, bank: Bank, lost: dict[str, str]
) -> None:
    """No connection: the question waits, marked as not checked, sealed in IndexedDB; back: it is asked and answered."""
    page = open_page(chromium, house)
    sign_in_clerk(page, house, bank.counter)
    page.wait_for_selector("#station details")
    page.context.set_offline(True)
    _type(page, lost)
    page.wait_for_selector(".waiting li")
    said = page.inner_text(".waiting")
    assert "Not checked yet" in said
    assert said.count("PASS") == said.count("does not mean PASS") == 1
    assert page.locator(".answer").count() == 0
    stored = page.evaluate(
        """() => new Promise((done) => { const open = indexedDB.open("annul-counter", 1); open.onsuccess = () => {
        const all = open.result.transaction("waiting").objectStore("waiting").getAll();
        all.onsuccess = () => done(JSON.stringify(all.result) + JSON.stringify({...localStorage, ...sessionStorage})); }; })"""
    )
    assert '"sealed":"' in stored
    assert lost["number"] not in stored
    page.context.set_offline(False)
    page.wait_for_selector(".waiting .tone-STOP")
    said = page.inner_text(".waiting")
    assert "STOP" in said
    assert "Answered now" in said
    assert lost["number"][-4:] in said
    assert lost["number"] not in said
    assert page.locator(".waiting .next li").count() >= 1
    assert page.locator(".waiting form[action='/receipts/verify']").count() == 1
    with page.expect_navigation():
        page.click(".waiting form[action='/counter/receipt'] button")
    assert page.locator("svg.qr").count() == 1
    page.context.close()


def test_the_counter_opens_offline_and_says_so(chromium: Any, house: House, bank: Bank) -> None:
    """A reload without connection shows the kept page: nothing is checked, questions can be noted, no answer from before."""
    page = open_page(chromium, house)
    sign_in_clerk(page, house, bank.counter)
    _type(page, house.passport())
    _answered(page, "PASS")
    page.evaluate("() => navigator.serviceWorker.ready.then(() => true)")
    page.goto("/counter")  # the worker takes the page over
    page.context.set_offline(True)
    page.goto("/counter")
    assert page.inner_text("h1") == "The register cannot be reached"
    assert page.locator(".answer").count() == 0
    _type(page, house.passport())
    page.wait_for_selector(".waiting li")
    page.context.set_offline(False)
    page.goto("/counter")
    page.wait_for_selector(".waiting .tone-PASS")
    page.context.close()


def test_two_tabs_a_double_click_and_the_back_button_double_nothing(
    chromium: Any, house: House, bank: Bank, lost: dict[str, str]
) -> None:
    """An urgent need is served once, whatever the fingers do."""
    page = open_page(chromium, house, script=False)
    sign_in_clerk(page, house, bank.counter)
    page.fill("#number", f"{lost['series']} {lost['number']}")
    page.locator("summary", has_text="other purpose").click()
    page.select_option("#purpose", "medical")
    page.press("#number", "Enter")
    page.wait_for_selector(".answer-STOP")
    page.locator("summary", has_text="Urgent need").click()
    for name in ("match", "genuine", "unexpired"):
        page.check(f"#{name}")
    page.fill("#need", "in hospital")
    page.dblclick("text=Serve the urgent need", no_wait_after=True)
    page.wait_for_selector(".govuk-notification-banner")
    with contextlib.suppress(Error):  # the browser asks whether to send the check again: the answer was not kept
        page.go_back()
    assert len(bank.call("GET", "/v1/urgent-needs").json()["needs"]) == 1
    assert len(bank.call("GET", "/v1/departures").json()["departures"]) == 1
    page.context.close()


def test_a_lost_session_leads_to_the_sign_in_and_back(chromium: Any, house: House, bank: Bank) -> None:
    """The cookie is gone in the middle of the day: nothing looks like an answer, and after signing in the counter is there."""
    page = open_page(chromium, house)
    sign_in_clerk(page, house, bank.counter)
    page.wait_for_selector("#number:focus")
    page.context.clear_cookies()
    _type(page, house.passport())
    page.wait_for_url("**/counter/sign-in")
    assert page.locator(".answer").count() == 0
    page.context.close()


@pytest.mark.parametrize("script", [True, False])
def test_a_picture_of_200_mb_gets_a_sentence_in_a_browser(
    chromium: Any, house: House, bank: Bank, tmp_path: Path, script: bool
) -> None:
    """Refused before it is read, and said beside its field, not by a broken connection; the counter works on."""
    huge = tmp_path / "huge.jpg"
    with huge.open("wb") as file:
        file.truncate(200 << 20)
    page = open_page(chromium, house, script=script)
    sign_in_clerk(page, house, bank.counter)
    page.locator("summary", has_text="Photograph").click()
    page.set_input_files("#photo", huge)
    if not script:
        page.click("form[action='/counter/photo'] button")
    page.wait_for_selector("#photo-error")
    assert "at most 16 MB" in page.inner_text("#photo-error")
    page.goto("/counter")
    _type(page, house.passport())
    _answered(page, "PASS")
    page.context.close()


def test_training_is_marked_on_every_page(chromium: Any, house: House) -> None:
    """A test key: the banner stands on top, and answers come from test data."""
    page = open_page(chromium, house)
    sign_in_clerk(page, house, house.test_keys["bank"])
    for address in ("/counter", "/counter/follow-ups", "/counter/departures"):
        page.goto(address)
        assert page.is_visible(".training")
    page.context.close()


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_screen_is_accessible_and_fits(
    chromium: Any, house: House, bank: Bank, lost: dict[str, str], language: str
) -> None:
    """axe finds nothing serious on any page, with an answer and its acts open; 320 px is enough for each."""
    bank.call("POST", "/v1/departures", json=_departure(bank, lost))
    for width in (1280, 320):
        page = open_page(chromium, house, width=width, language=language)
        sign_in_clerk(page, house, bank.key)
        for address in PAGES:
            page.goto(address)
            assert_fits(page)
            assert_accessible(page)
        page.goto("/counter")
        _type(page, lost)
        _answered(page, "STOP")
        for summary in page.locator("summary").all():
            summary.click()
        assert_fits(page)
        assert_accessible(page)
        page.locator("form[action='/counter/receipt'] button").click()
        page.wait_for_selector(".qr")
        assert_fits(page)
        assert_accessible(page)
        page.goto("/counter/offline")
        assert_fits(page)
        assert_accessible(page)
        page.context.close()


def _departure(bank: Bank, document: dict[str, str]) -> dict[str, Any]:
    return {
        "receipt": bank.ask(document)["receipt"],
        "decision": "proceeded",
        "reason": "other",
        "words": "told by the manager",
    }


def test_the_comparison_is_guided_from_the_answer(chromium: Any, house: House, bank: Bank) -> None:
    """One step from the answer; without a picture it says what to do, and the answer is not lost."""
    page = open_page(chromium, house)
    sign_in_clerk(page, house, bank.counter)
    _type(page, house.passport())
    _answered(page, "PASS")
    page.click("form[action='/counter/compare'] button")
    page.wait_for_selector("#compare")
    assert_accessible(page)
    page.click("#compare button[type=submit]")
    page.wait_for_selector("#face-error")
    assert "Take a picture of the bearer" in page.inner_text("#face-error")
    page.context.close()


def test_no_page_of_the_counter_holds_the_number_after_an_answer(
    chromium: Any, house: House, bank: Bank, lost: dict[str, str]
) -> None:
    """Not in the page, not in an address, not in what the browser keeps."""
    page = open_page(chromium, house)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    sign_in_clerk(page, house, bank.counter)
    _type(page, lost)
    _answered(page, "STOP")
    assert lost["number"] not in page.content()
    assert not any(lost["number"] in url for url in asked)
    assert not re.search(lost["number"], page.evaluate("JSON.stringify({...localStorage, ...sessionStorage})"))
    page.context.close()
