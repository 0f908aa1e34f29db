"""The review desk in a real browser, and the clean-up over the API: look, decide, confirm, take back, count."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from annul.demo.portraits import portrait
from annul.registry.people.enrolment import Consent, Face
from annul.registry.people.reading import read_one
from annul.registry.review.run import run
from annul.registry.writing.act import Act
from tests.registry.people.town import person
from tests.registry.review.clinic import number
from tests.web.browser import assert_accessible, assert_fits, chromium, open_page, seat
from tests.web.conftest import House
from tests.web.desk.test_desk import officer

__all__ = ["chromium"]
_orders = itertools.count(100)


def enter(house: House, *people: Any) -> None:
    """Import persons as an old register has them, put them in force, and run the clean-up."""
    office = house.office
    made = office.person_imports.stage_lines(
        Act("issuer"), [[(at, read_one(each)) for at, each in enumerate(people)]], shared_numbers=True
    )
    assert made.report.bad == {}
    house.run(office.person_imports.confirm(Act("issuer"), made.id))
    run(house.settings.database_url, house.settings.home, office.keys, Act("issuer"), office.now_us, processes=1)


def somebody(name: str, *, sex: str = "M", **more: Any) -> Any:
    """Make a resident of Beijing born in 1980, with a number nobody had before."""
    order = 2 * next(_orders) + 1
    said = {"birth_date": "1980-01-01", "sex": sex, "place": "110105", "origin": f"birth register {order}"} | more
    return person(said.pop("number", "") or number("110105", "19800101", order), name, **said)


def newest(house: House, **wanted: str) -> dict[str, Any]:
    """Return the suspicion of this kind that was found last."""
    found = house.call("GET", "/v1/review/suspicions", "issuer", params={"limit": "500", **wanted}).json()["suspicions"]
    return max(found, key=lambda each: max(each["persons"]))  # type: ignore[no-any-return]


def test_the_queue_is_worked_by_program(house: House) -> None:
    """Listed without details, opened for a case, corrected, taken back; wrong bodies and roles are refused."""
    enter(house, somebody("王明", sex="F"))
    found = newest(house, rule="sex")
    assert "王明" not in json.dumps(found, ensure_ascii=False)
    path = f"/v1/review/suspicions/{found['id']}"
    assert house.call("POST", f"{path}/look", "issuer", json={}).status_code == 400
    assert house.call("POST", f"{path}/look", "police", json={"case": "c"}).status_code == 403
    looked = house.call("POST", f"{path}/look", "issuer", json={"case": "visit 1"}).json()
    assert looked["records"][0]["person"]["names"][0]["text"] == "王明"
    assert looked["evidence"][0]["says"] == "The number and the record give different sexes."
    assert house.call("POST", f"{path}/decide", "issuer", json={"decision": "same_person", "grounds": "x"}).status_code == 400
    made = house.call(
        "POST", f"{path}/decide", "issuer", json={"decision": "correct_entry", "grounds": "file 7", "correction": {"sex": "M"}}
    ).json()
    assert made["state"] == "in_force"
    undone = house.call(
        "POST", f"/v1/review/decisions/{made['decision']}/undo", "issuer", json={"grounds": "wrong file"}
    ).json()
    assert undone["state"] == "undone"
    assert house.call("GET", "/v1/review/figures", "supervisor").json()["by_rule"]["sex"] >= 1


def test_a_merge_is_confirmed_by_another_officer_on_her_page(chromium: Any, house: House) -> None:
    """One number, two records: proposed on the desk, shown to the proposer without the button, confirmed by a colleague."""
    shared = number("110105", "19800101", 2 * next(_orders) + 1)
    enter(house, somebody("李雷", number=shared), somebody("李蕾蕾", number=shared))
    found = newest(house, rule="shared-number")
    page = open_page(chromium, house)
    mine = officer(house, "issuer")
    seat(page, house, "officer", officer=mine, key_id=house.key_id("issuer"))
    page.goto(f"/desk/review/{found['id']}")
    assert page.locator("tr.marked").count() == 1
    page.get_by_label("Same person").check()
    page.get_by_label("Record 2", exact=True).check()
    page.get_by_role("button", name="Decide", exact=True).click()
    assert page.locator(".govuk-error-summary").count() == 1
    page.get_by_label("Why", exact=True).fill("file 12")
    page.get_by_role("button", name="Decide", exact=True).click()
    page.wait_for_url("**/desk/review")
    assert "second officer" in page.locator(".govuk-notification-banner").inner_text()
    page.goto(f"/desk/review/{found['id']}")
    assert page.get_by_role("button", name="Confirm and carry out").count() == 0
    other = open_page(chromium, house)
    seat(other, house, "officer", officer=officer(house, "issuer"), key_id=house.own_key("issuer"))
    other.goto("/desk/review/waiting")
    other.locator(f'a[href="/desk/review/{found["id"]}"]').click()
    other.get_by_role("button", name="Confirm and carry out").click()
    assert "carried out" in other.locator(".govuk-notification-banner").inner_text()
    assert (
        len(house.call("POST", "/v1/persons/find", "issuer", json={"personal_number": shared, "case": "c"}).json()["persons"])
        == 1
    )
    other.get_by_label("Why it is taken back").fill("wrong record")
    other.get_by_role("button", name="Take this decision back").click()
    assert (
        len(house.call("POST", "/v1/persons/find", "issuer", json={"personal_number": shared, "case": "c"}).json()["persons"])
        == 2
    )


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("width", [320, 1280])
def test_every_page_fits_and_can_be_read_by_all(chromium: Any, house: House, language: str, width: int) -> None:
    """Queue, suspicion, second officer's list, figures: at 320 and 1280 pixels, in English and Chinese, nothing is cut off."""
    enter(house, somebody("王明", sex="F", mother=number("110105", "19750101", 2)), somebody("赵云", birth_date="1980-01-02"))
    found = newest(house, cause="wrong")
    page = open_page(chromium, house, width=width, language=language)
    seat(page, house, "officer", officer=officer(house, "issuer"), key_id=house.key_id("issuer"))
    for address in ("/desk/review", f"/desk/review/{found['id']}", "/desk/review/waiting", "/desk/review/figures"):
        page.goto(address)
        assert page.locator("h1").count() == 1
        assert_fits(page)
        assert_accessible(page)


def test_an_officer_without_the_duty_and_a_supervisor_see_no_records(chromium: Any, house: House) -> None:
    """The duty opens the queue; a supervisor counts and opens nothing."""
    page = open_page(chromium, house, script=False)
    seat(page, house, "officer", officer=officer(house, "issuer", ("desk",)), key_id=house.key_id("issuer"))
    assert page.goto("/desk/review").status == 403
    page = open_page(chromium, house, script=False)
    seat(page, house, "officer", officer=officer(house, "supervisor"), key_id=house.key_id("supervisor"))
    assert page.goto("/desk/review/figures").status == 200
    assert page.goto("/desk/review").status == 403


def test_a_filter_that_is_none_is_said_beside_its_field(chromium: Any, house: House) -> None:
    """Letters where a division code should stand: what is wrong, and the filters stay as typed."""
    page = open_page(chromium, house, script=False)
    seat(page, house, "officer", officer=officer(house, "issuer"), key_id=house.key_id("issuer"))
    page.goto("/desk/review?region=abc")
    assert "division code" in page.locator(".govuk-error-message").first.inner_text()
    assert page.locator("#region").input_value() == "abc"


def test_a_portrait_is_shown_to_the_officer_marked_and_accounted_for(chromium: Any, house: House) -> None:
    """Beside the record it belongs to: a JPEG that is not kept; another place has none; each look is an entry."""
    person = somebody("韩梅", sex="F")
    enter(house, person)
    face = Face(portrait(3), "image/jpeg", 80)
    house.run(
        house.office.enrolments.enrol(Act("issuer"), person.personal_number, Consent("law", "card law", "face"), face=face)
    )
    found = newest(house, rule="sex")
    page = open_page(chromium, house)
    seat(page, house, "officer", officer=officer(house, "issuer"), key_id=house.key_id("issuer"))
    page.goto(f"/desk/review/{found['id']}")
    page.wait_for_load_state("networkidle")
    assert page.locator("img.portrait").evaluate("image => image.complete && image.naturalWidth > 100")
    shown = page.request.get(f"{house.url}/desk/review/{found['id']}/portrait/0")
    assert (shown.status, shown.headers["content-type"], shown.headers["cache-control"]) == (200, "image/jpeg", "no-store")
    assert shown.body()[:2] == b"\xff\xd8"
    assert shown.body() != face.image
    assert page.request.get(f"{house.url}/desk/review/{found['id']}/portrait/7").status == 404
