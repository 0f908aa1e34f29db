"""The verifier in a real browser: beside the server's verdict, and from a saved copy without a network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.web.browser import assert_accessible, chromium, open_page
from tests.web.conftest import House

__all__ = ["chromium"]
RECEIPT_MS_MAX = 50.0
TIME = """async ([address, receipt, keys]) => {
  const verifier = await import(address), trusted = await verifier.parseKeys(keys), took = [];
  for (let n = 0; n < 9; n++) {
    const begun = performance.now();
    await verifier.verifyReceipt(receipt, trusted);
    took.push(performance.now() - begun);
  }
  return took.sort((one, other) => one - other)[4];
}"""


def _receipt(house: House) -> str:
    return json.dumps(house.ask(house.passport())["receipt"])


def test_the_browser_checks_a_receipt_too(chromium: Any, house: House) -> None:
    """On the page of a proved receipt, under the strict policy; one receipt takes at most 50 ms."""
    receipt = _receipt(house)
    page = open_page(chromium, house)
    page.goto("/receipts/verify")
    page.fill("#receipt", receipt)
    page.click("#receipt-form button")
    page.wait_for_selector("#own-proved:visible")
    assert not page.is_visible("#own-refused")
    assert_accessible(page)
    own = page.locator("#own")
    given = [own.get_attribute(f"data-{name}") for name in ("verifier", "receipt", "keys")]
    assert page.evaluate(TIME, given) <= RECEIPT_MS_MAX
    page.context.close()


def test_without_scripts_the_server_answers_alone(chromium: Any, house: House) -> None:
    """The seal is there; nothing speaks of a check that was not made."""
    page = open_page(chromium, house, script=False)
    page.goto("/receipts/verify")
    page.fill("#receipt", _receipt(house))
    page.click("#receipt-form button")
    page.wait_for_selector(".seal")
    assert not page.is_visible("#own-proved")
    assert not page.is_visible("#own-refused")
    page.context.close()


def test_a_saved_copy_works_without_a_network(chromium: Any, house: House, tmp_path: Path) -> None:
    """From a file, offline: a genuine receipt is proved, a changed one refused with its step; other keys prove nothing."""
    receipt = _receipt(house)
    saved = tmp_path / "annul-verifier.html"
    saved.write_bytes(house.http.get("/receipts/verifier").content)
    page = open_page(chromium, house)
    page.context.set_offline(True)
    page.goto(saved.as_uri())
    for text, said in (
        (receipt, "This receipt is genuine."),
        (json.dumps(json.loads(receipt) | {"index": 4_000_000}), "Failing step of the recipe: 4."),
        ("nonsense", "Failing step of the recipe: 1."),
    ):
        page.fill("#receipt", text)
        page.click("button")
        page.wait_for_function("said => document.getElementById('said').textContent.includes(said)", arg=said)
    page.fill("#receipt", receipt)
    page.fill("#keys", "annul/receipts+00000000+AQ==")
    page.click("button")
    page.wait_for_function("() => document.getElementById('said').textContent.includes('recipe: 2.')")
    page.context.close()
