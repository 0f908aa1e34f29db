"""The clerk's page in a real browser: keyboard only, without a script, at 320 px, in the dark, on paper.

Needs Chromium (Debian: `apt-get install chromium-headless-shell`). Without it these tests are skipped; in CI (`CI=true`) they
fail.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.web.browser import chromium
from tests.web.conftest import House

__all__ = ["chromium"]
LARGE_TEXT_RATIO = 4.5
TEXT_RATIO = 7.0
"""Contrast: 7:1 for text, 4.5:1 for text of 24 px and more. Source: WCAG 2.2, success criterion 1.4.6."""

CONTRAST = """
() => {
  const canvas = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
  const rgb = colour => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data]; };
  const light = colour => { const [r, g, b] = rgb(colour).slice(0, 3).map(v => { v /= 255;
    return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const ground = node => { for (let at = node; at; at = at.parentElement) {
    const colour = getComputedStyle(at).backgroundColor; if (rgb(colour)[3] > 0) return colour; } return 'white'; };
  const found = [];
  for (const node of document.querySelectorAll('body *')) {
    const text = [...node.childNodes].filter(n => n.nodeType === 3).map(n => n.textContent.trim()).join('');
    if (!text || !node.checkVisibility() || node.closest('svg, .skip, option')) continue;
    const style = getComputedStyle(node);
    const [a, b] = [light(style.color), light(ground(node))].sort((x, y) => y - x);
    found.push([text.slice(0, 30), parseFloat(style.fontSize), (a + 0.05) / (b + 0.05)]);
  }
  return found;
}
"""


def _counter(chromium: Any, house: House, **options: Any) -> Any:
    """Sign in with the keyboard alone and return the page."""
    page = chromium.new_context(base_url=house.url, **options).new_page()
    page.goto("/counter")
    page.wait_for_selector("#key:focus")
    for text in (house.keys["bank"], "0421", "3", "C-17"):
        page.keyboard.type(text)
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**/counter")
    return page


def _check(page: Any, document: dict[str, str], outcome: str) -> None:
    page.wait_for_selector("#number:focus")
    page.keyboard.type(f"{document['series']} {document['number']}")
    page.keyboard.press("Enter")
    page.wait_for_selector(f".answer-{outcome}")


@pytest.fixture
def lost(house: House) -> dict[str, str]:
    """A document that was reported lost."""
    document = house.passport()
    house.report(document)
    return document


def test_a_clerk_works_by_keyboard_alone_and_without_a_script(chromium: Any, house: House, lost: dict[str, str]) -> None:
    """Type, Enter, read, type, Enter: the box has the focus after every answer."""
    page = _counter(chromium, house, java_script_enabled=False)
    _check(page, house.passport(), "PASS")
    _check(page, lost, "STOP")
    assert page.inner_text(".answer .band") == "STOP"
    assert page.inner_text(".answer .means") == "Do not rely on this document: it was reported, or its holder has locked it."
    assert "Report this to the police, as your rules say." in page.inner_text(".next")
    assert page.locator(".answer .band svg").count() == 1
    _check(page, house.passport(), "PASS")
    page.context.close()


def test_the_receipt_of_an_answer_gets_the_seal(chromium: Any, house: House, lost: dict[str, str]) -> None:
    """From the counter to the proof in one click."""
    page = _counter(chromium, house)
    _check(page, lost, "STOP")
    page.click('form[action="/receipts/verify"] button')
    page.wait_for_selector(".seal")
    assert "This receipt is genuine." in page.inner_text("h1")
    assert "STOP" in page.inner_text("main")
    page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_fits_320_pixels_and_can_be_read(chromium: Any, house: House, lost: dict[str, str], scheme: str) -> None:
    """No sideways scrolling; contrast of every text by WCAG's enhanced level, in both schemes."""
    page = _counter(chromium, house, viewport={"width": 320, "height": 640}, color_scheme=scheme)
    _check(page, lost, "STOP")
    addresses = [None, "/", "/receipts/verify", "/problems/over-quota", "/counter/sign-in"]
    for address in addresses:
        if address:
            page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") <= 320, address
        for text, size, ratio in page.evaluate(CONTRAST):
            assert ratio >= (LARGE_TEXT_RATIO if size >= 24 else TEXT_RATIO), (address, text, size, ratio)
    page.context.close()


@pytest.mark.parametrize("outcome", ["PASS", "REFER", "STOP", "NO_ANSWER"])
def test_each_outcome_has_its_own_outline(outcome: str) -> None:
    """Told apart without colour: four icons, four shapes."""
    from importlib import resources

    icons = resources.files("annul.web") / "templates" / "icons"
    drawn = {name: (icons / f"{name}.svg").read_text() for name in ("PASS", "REFER", "STOP", "NO_ANSWER")}
    assert len(set(drawn.values())) == 4
    assert "currentColor" in drawn[outcome]


def test_the_answer_prints_without_the_form(chromium: Any, house: House, lost: dict[str, str]) -> None:
    """On paper: the answer, its words and the receipt's number, nothing to click."""
    page = _counter(chromium, house)
    _check(page, lost, "STOP")
    page.emulate_media(media="print")
    assert page.is_visible(".answer")
    assert not page.is_visible("button >> nth=0")
    assert not page.is_visible("#number")
    page.context.close()


def test_nothing_is_fetched_from_elsewhere_and_the_policy_is_never_broken(chromium: Any, house: House) -> None:
    """Every request goes to the register; the browser reports no violation of the content security policy."""
    asked: list[str] = []
    said: list[str] = []
    page = chromium.new_context(base_url=house.url).new_page()
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    for address in ("/", "/receipts/verify", "/counter/sign-in", "/problems/over-quota"):
        page.goto(address)
    assert all(url.startswith(house.url) for url in asked)
    assert said == []
    page.context.close()
