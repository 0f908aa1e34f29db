"""The other rooms of the desk in a real browser: found cards, disputes with their clock, lists with two officers, officers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tests.waiting import until
from tests.web.browser import assert_accessible, assert_fits, chromium, open_page
from tests.web.conftest import House
from tests.web.desk.test_desk import CASE, officer, search, sit

__all__ = ["chromium"]


def test_a_found_card_goes_back_to_its_holder(chromium: Any, house: House) -> None:
    """Taken in without an account of the finder: refused everywhere; given back on proof of identity: it works again."""
    document = house.passport()
    page = open_page(chromium, house, script=False)
    sit(page, house)
    page.goto("/desk/found/accept")
    page.fill("#number", document["series"] + document["number"])
    page.fill("#point", "Market Square")
    page.fill("#shelf", "B-12")
    page.click("details summary")
    page.fill("#where", "tram 9")
    page.click("button.large")
    page.wait_for_url(re.compile(r"/desk/found/f_[0-9a-f]{24}$"))
    assert "tram 9" in page.inner_text("dl")
    assert house.ask(document)["status"]["code"] == "I25"
    page.get_by_role("button", name="Return it to its holder").click()
    page.click("button.large")
    page.wait_for_selector("#evidence-error")
    page.fill("#evidence", "passport seen")
    page.click("button.large")
    page.wait_for_selector(".govuk-notification-banner")
    assert "can be used again" in page.inner_text(".govuk-notification-banner")
    assert page.locator(".timeline li").count() == 2
    assert house.ask(document)["status"]["code"] == "V00"
    page.context.close()


def test_a_gap_in_custody_leaves_destruction_alone(chromium: Any, house: House) -> None:
    """Handed over by somebody who had it not: the gap is shown, nothing but destruction is offered, and it is final."""
    document = house.passport()
    page = open_page(chromium, house)
    sit(page, house)
    search(page, house, document)
    page.goto("/desk/found/accept")
    page.fill("#number", document["series"] + document["number"])
    page.fill("#point", "Market Square")
    page.click("button.large")
    page.get_by_role("button", name="Hand it over").click()
    assert page.input_value("#given_by") == "Market Square"
    page.fill("#given_by", "Van 9")
    page.fill("#taken_by", "Store")
    page.get_by_role("button", name="Record the hand-over").click()
    page.wait_for_selector(".timeline .tone-STOP")
    assert page.get_by_role("button", name="Return it to its holder").count() == 0
    assert_accessible(page)
    page.get_by_role("button", name="Destroy it").click()
    assert_accessible(page)
    page.fill("#evidence", "minutes 12")
    page.click("button.large")
    page.wait_for_selector(".govuk-notification-banner")
    assert house.ask(document)["status"]["code"] == "I25"
    page.goto("/desk/found?state=destroyed")
    assert page.locator(".document").count() >= 1
    page.context.close()


def test_a_dispute_ends_with_a_correction_and_a_recall(chromium: Any, house: House) -> None:
    """Reported, checked by a bank, disputed (U34), decided: corrected; the desk shows how many answers are recalled."""
    document = house.passport()
    house.report(document)
    told = house.ask(document)
    assert told["status"]["code"] == "S10"
    page = open_page(chromium, house)
    sit(page, house, "issuer")
    search(page, house, document)
    page.get_by_role("link", name="Open a dispute").click()
    page.check("input[name=kind][value=holder]")
    page.select_option("#ground", "not_lost")
    page.fill("#statement", "It never left my pocket.")
    page.click("button.large")
    page.get_by_role("button", name="To the dispute").click()
    page.wait_for_url("**/desk/disputes/x_*")
    assert house.ask(document)["status"]["code"] == "U34"
    page.fill("#text", "She showed the card.")
    page.get_by_role("button", name="Add the note").click()
    page.wait_for_selector(".govuk-notification-banner")
    assert "She showed the card." in page.inner_text("main")
    assert_accessible(page)
    page.get_by_role("button", name="Decide it").click()
    page.check("input[name=decision][value=corrected]")
    page.click("button.large")
    page.wait_for_selector("#reason-error")
    page.fill("#reason", "Reported by a neighbour.")
    page.click("button.large")
    page.wait_for_selector(".govuk-notification-banner")
    assert house.ask(document)["status"]["code"] == "U34"  # proposed
    address = page.url
    for key_id, code in (house.key_id("issuer"), "U34"), (house.own_key("issuer"), "V00"):
        colleague = open_page(chromium, house)
        sit(colleague, house, "issuer", key_id=key_id)  # another name with the same key is the same person
        colleague.goto(f"{address}/decide")
        colleague.check("input[name=decision][value=corrected]")
        colleague.fill("#reason", "Reported by a neighbour.")
        colleague.click("button.large")
        colleague.wait_for_selector(".govuk-error-summary" if code == "U34" else ".govuk-notification-banner")
        assert house.ask(document)["status"]["code"] == code
        colleague.context.close()

    def recalled_here() -> bool:
        house.run(house.office.recalls.step())
        page.goto(address)
        return "answers to" in page.inner_text("main")

    until(recalled_here, "the recall")
    recalled = house.call("GET", "/v1/recalls", "bank").json()["recalls"]
    mine = next(each for each in recalled if told["check"] in each["note"])
    known = house.call("POST", f"/v1/recalls/{mine['recall']}/acknowledge", "bank")
    assert known.status_code == 200
    assert known.json()["acknowledged_at"]
    page.goto(address)
    assert "1 of 1" in page.inner_text("main")
    page.context.close()


def test_a_police_desk_does_not_decide(chromium: Any, house: House) -> None:
    """It raises and hears disputes; the way to the decision is closed."""
    document = house.passport()
    house.report(document)
    body = {"document": document, "ground": "malice", "case": "D-1"}
    raised = house.call("POST", "/v1/disputes/raise", "police", json=body).json()["dispute"]
    page = open_page(chromium, house)
    sit(page, house, "police")
    page.goto(f"/desk/disputes/{raised}")
    assert page.get_by_role("button", name="Decide it").count() == 0
    assert page.goto(f"/desk/disputes/{raised}/decide").status == 403
    assert house.call("POST", f"/v1/disputes/{raised}/decide", "police", json={}).status_code == 403
    page.context.close()


def test_a_list_comes_in_with_two_officers(chromium: Any, house: House, tmp_path: Path) -> None:
    """Sent in, read behind the page, its bad lines told by cause; another officer confirms; one step takes it back."""
    passports = [house.passport() for _ in range(1200)]
    file = tmp_path / "list.csv"
    lines = [f"{each['series']},{each['number']}" for each in passports]
    file.write_text("PASSP_SERIES,PASSP_NUMBER\n" + "\n".join([*lines, "45O9,12345"]) + "\n", encoding="ascii")
    page = open_page(chromium, house)
    sit(page, house, "issuer")
    page.goto("/desk/bulk")
    page.check("input[name=format][value=russian]")
    page.set_input_files("#file", file)
    page.get_by_role("button", name="Send it in").click()
    page.wait_for_selector("#evidence-error")  # no reference yet: the file is kept, and not asked for again
    assert "list.csv is kept here" in page.inner_text("main")
    page.check("input[name=format][value=russian]")
    page.check("#show_lines")
    page.fill("#evidence", "decree 7")
    page.get_by_role("button", name="Send it in").click()
    page.wait_for_url(re.compile(r"/desk/bulk/[0-9a-f]{32}$"))
    assert "1" in page.locator("table").last.inner_text()
    assert "list.csv" in page.inner_text("main")
    assert page.inner_text("pre.lines").splitlines()[1] == lines[0]
    assert "Another officer confirms" in page.inner_text("main")
    assert house.ask(passports[0])["status"]["code"] == "V00"
    assert_accessible(page)
    assert_fits(page)
    second = open_page(chromium, house, width=320, script=False)
    sit(second, house, "issuer")  # another name with the same key is the same person
    second.goto(page.url)
    second.fill("#evidence", "decree 7")
    second.get_by_role("button", name="Put it in force").click()
    second.wait_for_selector(".govuk-error-summary")
    assert house.ask(passports[0])["status"]["code"] == "V00"
    sit(second, house, "issuer", key_id=house.own_key("issuer"))
    second.goto(page.url)
    second.fill("#evidence", "decree 7")
    second.get_by_role("button", name="Put it in force").click()
    second.wait_for_selector(".govuk-notification-banner")
    assert house.ask(passports[0])["status"]["code"] == "I23"
    page.goto(page.url)
    page.fill("#evidence", "decree 8")
    page.get_by_role("button", name="Withdraw the whole list").click()
    page.wait_for_selector(".govuk-notification-banner")
    assert house.ask(passports[0])["status"]["code"] == "V00"
    assert list((house.settings.home / "listings" / "uploads").glob("*.csv")) == []
    for each in (page, second):
        each.context.close()


def test_a_file_of_200_mb_is_refused_with_a_sentence(chromium: Any, house: House, tmp_path: Path) -> None:
    """It says how large a list may be here and how a larger one comes in; nothing of it is kept."""
    file = tmp_path / "large.csv"
    with file.open("wb") as opened:
        opened.truncate(200 * 1024 * 1024)
    page = open_page(chromium, house)
    sit(page, house, "issuer")
    page.goto("/desk/bulk")
    page.fill("#evidence", "decree 9")
    page.set_input_files("#file", file)
    page.get_by_role("button", name="Send it in").click()
    page.wait_for_selector(".govuk-error-summary")
    assert "annul import" in page.inner_text(".govuk-error-summary")
    assert [path for path in (house.settings.home / "listings" / "uploads").glob("*.csv") if path.stat().st_size] == []
    page.context.close()


def test_officers_are_added_and_lose_access_at_once(chromium: Any, house: House) -> None:
    """A chief adds an officer, takes her access away: her open page asks her to sign in."""
    page, other = open_page(chromium, house), open_page(chromium, house)
    sit(page, house, "police")
    page.goto("/desk/officers")
    page.fill("#staff", "N-1")
    page.fill("#name", "Noa New")
    page.get_by_role("button", name="Add this officer").click()
    page.wait_for_selector(".govuk-notification-banner")
    other.goto("/desk/sign-in")
    other.fill("#key", house.keys["police"])
    other.fill("#staff", "N-1")
    other.get_by_role("button", name="Sign in", exact=True).click()
    other.wait_for_url("**/desk")
    page.get_by_role("link", name="Noa New").click()
    page.get_by_role("button", name="Remove access").click()
    page.wait_for_selector(".govuk-notification-banner")
    other.goto("/desk")
    other.wait_for_url("**/desk/sign-in")
    for each in (page, other):
        each.context.close()


def test_a_room_opens_for_its_duty_alone(chromium: Any, house: House) -> None:
    """An officer without the duty is told so, and the room is not shown to her."""
    from tests.web.browser import seat

    page = open_page(chromium, house)
    mine = officer(house, "police", ("desk",))
    seat(page, house, "officer", officer=mine, key_id=house.key_id("police"))
    page.goto("/desk")
    assert page.locator(".rooms a").all_inner_texts() == ["Search", "Denied uses"]
    for address in ("/desk/found", "/desk/disputes", "/desk/officers", "/desk/bulk"):
        assert page.goto(address).status == 403
    page.context.close()


def test_the_api_searches_for_a_case_and_lists_searches(house: House) -> None:
    """Refused without a case; with one it answers, and the supervisor sees who searched."""
    document = house.passport()
    house.report(document)
    wanted = {"document": document, "purpose": "investigation"}
    assert house.call("POST", "/v1/searches", "police", json=wanted).status_code == 400
    found = house.call("POST", "/v1/searches", "police", json=wanted | {"case": CASE})
    assert [each["state"] for each in found.json()["documents"]] == ["reported_lost"]
    listed = house.call("GET", "/v1/searches", "supervisor", params={"case": CASE}).json()["searches"]
    assert found.json()["search"] in [each["search"] for each in listed]
    two = wanted | {"case": CASE, "personal_number": "1"}
    assert house.call("POST", "/v1/searches", "police", json=two).status_code == 400
    delayed = wanted | {"case": CASE, "delayed_until": "2027-01-01T00:00:00Z", "delay_ground": "court_order"}
    assert house.call("POST", "/v1/searches", "issuer", json=delayed).status_code == 403
