"""A real browser for the tests of the pages: Chromium of the system, with or without scripts, and the rules of accessibility.

Needs Chromium (Debian: `apt-get install chromium-headless-shell`). Without it these tests are skipped; in CI (`CI=true`) they
fail.

    from tests.web.browser import assert_accessible, chromium, open_page, sign_in_clerk  # chromium is a fixture

    def test_a_clerk_checks(chromium, house):
        page = open_page(chromium, house, width=320, language="zh", script=False)
        sign_in_clerk(page, house)
        assert_accessible(page)
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.waiting import WAIT_S

if TYPE_CHECKING:
    from tests.web.conftest import House

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium-headless-shell") or shutil.which("chromium") or shutil.which("google-chrome")
"""The browser of the system; the shell without a window comes first: the same engine for a third less processor time."""
WEIGHT_MAX = 100 * 1024
"""Heaviest first visit of a page, in bytes over the wire with everything it fetches."""

LANGUAGES = {"en": "en-GB", "zh": "zh-CN", "ar": "ar"}
AXE = (Path(str(resources.files("axe_playwright_python"))) / "axe.min.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")  # not longer: while it runs, no other test of this process can run a loop of its own
def chromium() -> Iterator[Any]:
    """A running Chromium of the system."""
    if CHROMIUM is None:
        reason = "Chromium is not installed: apt-get install chromium-headless-shell"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def open_page(
    chromium: Any,
    house: House,
    *,
    width: int = 1280,
    language: str = "en",
    scheme: str = "light",
    script: bool = True,
    **more: Any,
) -> Any:
    """Return a page of a fresh browser context; nothing is loaded yet.

    Args:
        width: of the window in CSS pixels.
        language: en, zh or ar, as the browser asks for it.
        scheme: light or dark.
        script: whether scripts run.
        more: further options of Playwright's `new_context`.
    """
    context = chromium.new_context(
        base_url=house.url,
        viewport={"width": width, "height": 900},
        locale=LANGUAGES[language],
        color_scheme=scheme,
        java_script_enabled=script,
        bypass_csp=False,
        **more,
    )
    context.set_default_timeout(WAIT_S * 1000)
    return context.new_page()


def assert_accessible(page: Any, *, rules_off: tuple[str, ...] = ()) -> None:
    """Hold WCAG 2.2 A and AA on the page as it stands: no serious or critical finding. Source: axe-core."""
    options = {
        "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]},
        "rules": {rule: {"enabled": False} for rule in rules_off},
        "resultTypes": ["violations"],
    }
    world = page.context.new_cdp_session(page)
    world.send("Runtime.evaluate", {"expression": AXE})  # past the page's own policy, which forbids foreign scripts
    found = page.evaluate("options => axe.run(document, options)", options)
    grave = [
        f"{one['id']}: {one['help']} at {', '.join(str(node['target']) for node in one['nodes'])}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
    ]
    assert grave == [], f"{page.url}: " + "; ".join(grave)


def assert_fits(page: Any) -> None:
    """Hold that nothing is scrolled sideways."""
    width = page.viewport_size["width"]
    assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{page.url} is wider than {width} px"


def weights(page: Any, addresses: Iterable[str]) -> dict[str, int]:
    """Return the bytes over the wire of a first visit to each address, with everything the page fetches and nothing kept.

    The page's context blocks service workers: what they fetch is not seen here.
    """
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.send("Network.setCacheDisabled", {"cacheDisabled": True})
    sizes: list[float] = []
    session.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    found = {}
    for address in addresses:
        sizes.clear()
        page.goto(address)
        page.wait_for_load_state("networkidle")
        found[address] = int(sum(sizes))
    return found


def sign_in_clerk(
    page: Any, house: House, key: str = "", *, branch: str = "0421", terminal: str = "3", clerk: str = "C-17"
) -> None:
    """Sign a clerk of the bank in, by keyboard."""
    page.goto("/counter/sign-in")
    page.wait_for_selector("#key:focus")
    for text in (key or house.keys["bank"], branch, terminal, clerk):
        page.keyboard.type(text)
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**/counter")


def seat(page: Any, house: House, kind: str, **fields: Any) -> None:
    """Give the page's browser a session without the way in: a clerk, an officer or a citizen, as `Session` has the fields."""
    from annul.web.door.session import Sessions, Sitting

    sitting = Sitting(house.office, None)
    house.run(sitting.enter(kind, **fields))  # type: ignore[arg-type]
    (cookie,) = sitting.cookies()
    name = Sessions(house.office).name
    page.context.add_cookies(
        [{"name": name, "value": str(cookie.value), "url": house.url, "httpOnly": True, "sameSite": "Lax"}]
    )
