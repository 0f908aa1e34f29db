"""Pages for everybody: who does not know the number, how a card is kept safe, languages where they are complete, CSV."""

from __future__ import annotations

import csv
import io
from urllib.parse import unquote

import pytest
from markupsafe import Markup

from annul.languages import LANGUAGES
from annul.web.door.pages import csv_address, languages_at
from tests.web.conftest import House


def test_who_does_not_know_the_number_has_three_ways(house: House) -> None:
    """Sign in, a desk with its hours, and where the number may stand; nobody is asked for the card that is gone."""
    with house.client() as browser:
        assert 'href="/report/no-number"' in browser.get("/report").text
        page = browser.get("/report/no-number")
    assert page.status_code == 200
    assert "by your name and date of birth" in page.text
    assert "on a copy or a photograph" in page.text


def test_the_telephone_is_shown_where_there_is_one(house: House) -> None:
    """Without a number no page speaks of one."""
    with house.client() as browser:
        assert all("By telephone:" not in browser.get(address).text for address in ("/", "/report", "/report/no-number"))


@pytest.mark.parametrize("language", list(LANGUAGES))
def test_a_page_says_how_a_card_is_kept_safe(house: House, language: str) -> None:
    """In every language: the card, the number, what a check may ask, what to do after a misuse."""
    with house.client(cookies={"language": language}) as browser:
        page = browser.get("/safety")
        assert page.status_code == 200
        assert page.text.count("<h2>") == 4
        assert 'href="/safety"' in browser.get("/").text


@pytest.mark.parametrize(
    ("address", "offered"),
    [("/", True), ("/report", True), ("/my", True), ("/counter", False), ("/desk/found", False), ("/developers", False)],
)
def test_a_language_is_offered_where_it_is_complete(house: House, address: str, offered: bool) -> None:
    """Arabic for visitors and citizens; elsewhere neither its link nor, with its cookie, half a page of it."""
    assert ("ar" in languages_at(address)) is offered
    with house.client(cookies={"language": "ar"}, follow_redirects=True) as browser:
        page = browser.get(address)
    assert ('dir="rtl"' in page.text.split(">", 2)[1]) is offered
    assert ("العربية" in page.text) is offered


def test_a_table_is_saved_as_csv() -> None:
    """Markup becomes text, thin spaces and marks of direction go, and no cell is a formula."""
    address = csv_address(
        [[Markup("<b>1&#8239;234</b>"), "=SUM(A1)", "\u2066a, b\u2069"]], ["Checks", ("Stops", "number"), "By"]
    )
    head, _, body = address.partition(",")
    assert head == "data:text/csv;charset=utf-8"
    rows = list(csv.reader(io.StringIO(unquote(body).lstrip("\ufeff"))))
    assert rows == [["Checks", "Stops", "By"], ["1234", "'=SUM(A1)", "a, b"]]


def test_search_engines_stay_out_of_what_is_not_for_everybody(house: House) -> None:
    """robots.txt is there."""
    with house.client() as browser:
        told = browser.get("/robots.txt")
    assert told.status_code == 200
    assert "Disallow: /my" in told.text
