"""The JSON API against a whole running register."""

from __future__ import annotations

from tests.web.conftest import House


def test_a_reported_document_is_refused_by_the_very_next_check(house: House) -> None:
    """The promise of the system: acknowledged means refused."""
    document = house.passport()
    assert house.ask(document)["outcome"] == "PASS"
    accepted = house.report(document)
    assert accepted["state"] == "reported_lost"
    assert accepted["refused_after_ms"] > 0
    answer = house.ask(document, min_position=accepted["position"])
    assert (answer["outcome"], answer["status"]["code"]) == ("STOP", "S10")
