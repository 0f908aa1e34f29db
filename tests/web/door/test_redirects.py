"""Where the language switch sends a browser: never to another site, whatever stands in the query."""

from __future__ import annotations

import pytest

from tests.web.conftest import House


@pytest.mark.parametrize(
    "back",
    [
        "/%09/evil.example",
        "/%0d%0aevil: 1",
        "/%0a/evil.example",
        "/%0b/x",
        "/%E2%82%AC",
        "//evil.example",
        "/%5Cevil.example",
        "/.%5C%5Cevil.example",
        "https://evil.example",
        "evil.example",
        "%20//evil.example",
        "/%20x",
        "/%7F",
    ],
)
def test_the_language_switch_stays_here(house: House, back: str) -> None:
    """Tabs, line breaks, other letters, two slashes, backslashes, schemes: back to the first page, with no header of theirs."""
    with house.client() as browser:
        answer = browser.get(f"/language?to=en&back={back}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert "evil" not in answer.headers


def test_the_language_switch_goes_back_to_the_page(house: House) -> None:
    """With its query."""
    with house.client() as browser:
        answer = browser.get("/language?to=en&back=/desk/disputes%3Fstate%3Dopen")
    assert answer.headers["location"] == "/desk/disputes?state=open"
