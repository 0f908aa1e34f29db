"""A party's own checks at the doors: page by page, and with their receipts."""

from __future__ import annotations

from typing import Any

from tests.waiting import until
from tests.web.api.answers import problem
from tests.web.conftest import House


def checks_of(house: House, path: str, who: str, wanted: int, **more: Any) -> list[dict[str, Any]]:
    """Return the checks an address lists, once there are as many as wanted: the index follows the answers."""

    def enough() -> list[dict[str, Any]]:
        answer = house.call("POST" if more else "GET", path, who, **more)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["checks"]
        return found if len(found) >= wanted else []

    return until(enough, "the checks in the index")


def test_a_party_finds_its_own_checks_page_by_page(house: House) -> None:
    """Newest first; the cursor of one page starts the next; no check twice."""
    made = [house.ask(house.passport())["check"] for _ in range(5)]
    checks_of(house, "/v1/checks?limit=500", "bank", 5)

    def pages() -> list[str]:
        seen, cursor = [], ""
        while True:
            page = house.call("GET", f"/v1/checks?limit=2&cursor={cursor}", "bank").json()
            seen += [check["check"] for check in page["checks"]]
            cursor = page["cursor"]
            if not cursor or set(made) <= set(seen):
                return seen if set(made) <= set(seen) else []

    seen = until(pages, "the checks in the index")
    assert len(seen) == len(set(seen))
    assert [check for check in seen if check in made] == made[::-1]


def test_a_check_is_found_again_with_its_receipt_by_its_party_alone(house: House) -> None:
    """Another party's check is not found; a supervisor finds every one."""
    check = house.ask(house.passport())["check"]
    until(lambda: house.call("GET", f"/v1/checks/{check}", "bank").status_code == 200, "the check in the index")
    found = house.call("GET", f"/v1/checks/{check}", "bank")
    verified = house.call("POST", "/v1/receipts/verify", json={"receipt": found.json()["receipt"]})
    assert verified.json()["says"]["check"] == check
    problem(house.call("GET", f"/v1/checks/{check}", "police"), 404, "not-found")
    assert house.call("GET", f"/v1/checks/{check}", "supervisor").status_code == 200
