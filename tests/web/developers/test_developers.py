"""The developers' pages: snippets that run as they stand, test documents that answer what the table says, a true reference."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from markupsafe import escape
from playwright._impl._driver import compute_driver_executable

from annul.records.codes import Coverage
from annul.records.meanings import meaning_of
from annul.registry.parties import sandbox
from annul.registry.writing.act import Act
from annul.web.door import pages
from annul.web.routes import ROUTES
from tests.waiting import WAIT_S
from tests.web.browser import assert_accessible, assert_fits, chromium, open_page
from tests.web.conftest import House

__all__ = ["chromium"]


@pytest.fixture(scope="module")
def furnished(house: House) -> House:
    """A register with its sandbox."""

    async def work() -> int:
        office = house.office
        await office.parties.set_coverage(Act("setup"), "cn-resident", Coverage.whole_life)
        made = await sandbox.furnish(
            office.register, office.parties, office.listings, office.keys.documents("test"), office.now_us()
        )
        again = await sandbox.furnish(
            office.register, office.parties, office.listings, office.keys.documents("test"), office.now_us()
        )
        assert again == 0, "what stands is not made again"
        return made

    assert house.run(work()) > 0
    return house


def _ask(house: House, document: dict[str, str], *, key: str | None = None) -> Any:
    question = {"document": document, "purpose": "account-opening", "channel": "in_person"}
    headers = {"authorization": f"Bearer {key or house.test_keys['bank']}"}
    return house.http.post("/v1/checks", json=question, headers=headers)


@pytest.mark.parametrize("shown", sandbox.DOCUMENTS, ids=lambda shown: shown.code)
def test_a_test_document_answers_the_status_of_its_line(furnished: House, shown: sandbox.Shown) -> None:
    """Every status code of the table, asked with a test key."""
    answer = _ask(furnished, shown.document)
    assert answer.status_code == 200, answer.text
    assert answer.json()["status"]["code"] == shown.code
    line = re.search(rf">{shown.code}</th>.*?</tr>", furnished.http.get("/developers/sandbox").text, re.DOTALL)
    assert line is not None
    assert f">{answer.json()['outcome']}" in line[0], "the outcome of the line is the one in person"


@pytest.mark.parametrize("code", sandbox.ERRORS)
def test_a_test_document_fails_with_the_error_of_its_line(furnished: House, code: str) -> None:
    """Every error, as a problem document that leaves the check without an answer."""
    shown = next(shown for shown in sandbox.PLAYED if shown.code == code)
    answer = _ask(furnished, shown.document)
    assert answer.status_code >= 400
    assert (answer.json()["outcome"], answer.json()["error"]) == ("NO_ANSWER", code)
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_test_document_waits_as_long_as_it_says(furnished: House) -> None:
    """And then answers."""
    begun = time.monotonic()
    answer = _ask(furnished, {"scheme": "generic", "issuer": "SANDBOX", "kind": "DELAY", "number": "100"})
    assert answer.status_code == 200
    assert time.monotonic() - begun >= 0.1


def test_a_live_key_never_meets_the_sandbox(furnished: House) -> None:
    """Neither its errors nor its documents: a live check of them is not covered, or unknown, at once."""
    for shown in (*sandbox.PLAYED, *sandbox.DOCUMENTS[:3]):
        answer = _ask(furnished, shown.document, key=furnished.keys["bank"])
        assert answer.status_code == 200
        assert answer.json()["outcome"] != "NO_ANSWER"
        assert answer.json()["status"]["code"] not in ("S10", "S11", "S12", "V01")


def _snippet(house: House, name: str) -> str:
    page = house.http.get("/developers").text
    found = re.search(rf'aria-labelledby="{name}"><code>(.*?)</code>', page, re.DOTALL)
    assert found
    return html.unescape(found[1])


@pytest.mark.parametrize(("name", "command"), [("curl", "bash"), ("python", sys.executable), ("javascript", "node")])
def test_a_snippet_runs_as_it_stands_on_the_page(furnished: House, tmp_path: Path, name: str, command: str) -> None:
    """Copied from the page, with a test key in the environment: STOP."""
    tool = shutil.which(command) or (str(compute_driver_executable()[0]) if command == "node" else None)
    if tool is None or (name == "curl" and shutil.which("curl") is None):
        pytest.skip(f"{command} is not installed")
    file = tmp_path / ("snippet.mjs" if name == "javascript" else "snippet.txt")
    file.write_text(_snippet(furnished, name), encoding="utf-8")
    environment = os.environ | {"ANNUL_KEY": furnished.test_keys["bank"]}
    ran = subprocess.run([tool, str(file)], env=environment, capture_output=True, text=True, timeout=WAIT_S, check=True)
    said = json.loads(ran.stdout)["outcome"] if name == "curl" else ran.stdout.strip()
    assert said == "STOP"


def test_every_test_document_stands_on_the_page(house: House) -> None:
    """The published table is the table that is played and made."""
    page = html.unescape(house.http.get("/developers/sandbox").text)
    for shown in (*sandbox.DOCUMENTS, *sandbox.PLAYED):
        assert json.dumps(shown.document, separators=(", ", ":")) in page, shown.code


def test_every_operation_has_its_page(house: House) -> None:
    """The reference has exactly the operations of the route table, and none of its links is dead."""
    page = house.http.get("/developers/reference").text
    links = set(re.findall(r'href="/developers/reference/([a-z0-9_]+)"', page))
    assert len(links) == len({(route.method, route.path) for route in ROUTES if not route.page})
    for link in sorted(links):
        shown = house.http.get(f"/developers/reference/{link}")
        assert shown.status_code == 200, link
        for anchor in set(re.findall(r'href="#([^"]+)"', shown.text)) - {"main"}:
            assert f'id="{anchor}"' in shown.text, (link, anchor)


@pytest.mark.parametrize("language", ["en", "ar"])
def test_the_developers_pages_are_for_everybody(chromium: Any, house: House, language: str) -> None:
    """Accessible and whole at 320 px."""
    page = open_page(chromium, house, width=320, language=language)
    for address in (
        "/developers",
        "/developers/sandbox",
        "/developers/codes",
        "/developers/reference",
        "/developers/reference/post_v1_checks",
    ):
        page.goto(address)
        assert_fits(page)
        assert_accessible(page)
    page.context.close()


def test_an_operation_is_tried_out_and_found_on_its_page(chromium: Any, furnished: House) -> None:
    """Search by words, open, send the example with a test key: the answer stands below; without a key the refusal does."""
    page = open_page(chromium, furnished, width=1280)
    page.goto("/developers/reference")
    page.get_by_label("Search the operations").fill("checks/batch")
    assert page.locator("tbody tr:visible").count() == 1
    page.goto("/developers/reference/post_v1_checks")
    page.get_by_role("button", name="Send").click()
    page.locator("output", has_text="401").wait_for()
    page.get_by_label("Test key").fill(furnished.test_keys["bank"])
    page.get_by_role("button", name="Send").click()
    page.locator("output", has_text='"outcome": "STOP"').wait_for()
    assert_accessible(page)
    page.context.close()


def test_every_operation_shows_a_request_and_an_answer(house: House) -> None:
    """The command to copy names the address, the answer is the one of the document."""
    page = html.unescape(house.http.get("/developers/reference/post_v1_checks").text)
    assert f"curl -sS -X POST {house.url}/v1/checks" in page
    assert '"number": "S10"' in page
    assert '"outcome": "STOP"' in page
    codes = html.unescape(house.http.get("/developers/codes").text)
    for code in ("S10", "M3", "B2", "F1", "E91", "A7", "account-opening", "ru-internal", "whole_life"):
        assert f">{code}<" in codes, code


def test_the_developers_page_shows_every_code_with_its_words(house: House) -> None:
    """Every status that a document can have, and every error that is played, in English and in Chinese."""
    shown_codes = {shown.code for shown in sandbox.DOCUMENTS} | set(sandbox.ERRORS)
    for language in ("en", "zh"):
        page = house.call("GET", "/developers/sandbox", headers={"accept-language": language}).text
        for code in shown_codes:
            meaning = meaning_of(code)
            assert meaning is not None
            assert code in page
            assert str(escape(pages.catalogue(language).gettext(meaning.short))) in page
