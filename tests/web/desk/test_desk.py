"""The desk in a real browser, by keyboard: sign in, search for a case, choose the right document, report, undo by the rules."""

from __future__ import annotations

import base64
import itertools
import re
from pathlib import Path
from typing import Any

import pytest

from annul.registry.parties.officers import DUTIES
from annul.registry.writing.act import Act
from tests.registry.people.test_enrolment import template
from tests.web.browser import WEIGHT_MAX, assert_accessible, assert_fits, chromium, open_page, seat, weights
from tests.web.conftest import House

__all__ = ["chromium"]
CASE = "K-2026-117"
_staff = itertools.count(1)


def officer(house: House, party: str = "police", duties: tuple[str, ...] = DUTIES) -> str:
    """Record an officer of a party; return her id."""
    staff = f"D-{next(_staff)}"
    house.run(house.office.officers.add(Act("setup"), party, staff, "Mei Lin", list(duties)))
    return f"{party}/{staff}"


def sit(page: Any, house: House, party: str = "police", **more: Any) -> str:
    """Sit down at a desk without the way in; return the officer's id."""
    mine = officer(house, party)
    seat(page, house, "officer", **({"officer": mine, "key_id": house.key_id(party)} | more))
    return mine


def search(page: Any, house: House, document: dict[str, str]) -> None:
    """Search for a Russian passport for the usual case."""
    page.goto("/desk")
    page.fill("#case", CASE)
    page.fill("#number", document["series"] + " " + document["number"])
    page.get_by_role("button", name=re.compile("^(Search|搜索|查询)$")).click()


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("script", [True, False])
def test_a_report_by_keyboard(chromium: Any, house: House, language: str, script: bool) -> None:
    """Sign in by key, search, report stolen: the screen says since when every check point refuses it; the bank is told STOP."""
    document = house.passport()
    staff = officer(house).partition("/")[2]
    page = open_page(chromium, house, language=language, script=script)
    page.goto("/desk")
    page.wait_for_url("**/desk/sign-in")
    page.focus("#key")
    page.keyboard.type(house.keys["police"])
    page.keyboard.press("Tab")
    page.keyboard.type(staff)
    page.keyboard.press("Enter")
    page.wait_for_url("**/desk")
    page.focus("#case")
    page.keyboard.type(CASE)
    page.focus("#number")
    page.keyboard.type(document["series"] + document["number"])
    page.keyboard.press("Enter")
    page.wait_for_url("**/desk/searches/*")
    assert document["number"] not in page.url
    page.keyboard.press("Tab")
    page.locator(".document a").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/0/report")
    page.locator("input[name=kind][value=stolen]").focus()
    page.keyboard.press("Space")
    page.locator("input[name=proof][value=in_person]").focus()
    page.keyboard.press("Space")
    page.locator("button.large").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("input[name=sure]", state="attached")
    page.locator("button.large").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(".seal")
    assert re.search(r"\d\d:\d\d:\d\d UTC", page.inner_text("h1"))
    assert re.search(r"\d\d:\d\d:\d\d\.\d{3} UTC", page.inner_text(".lead"))
    assert house.ask(document)["status"]["code"] == "S11"
    page.context.close()


def test_the_wrong_document_guard_stops_only_what_was_chosen(chromium: Any, house: House) -> None:
    """A holder with a card and a passport: both are shown with their kind; the report hits the passport alone."""
    number, booklet = person_with_two(house)
    page = open_page(chromium, house)
    sit(page, house)
    page.goto("/desk")
    page.fill("#case", CASE)
    page.fill("#number", number)
    page.click("button.large")
    page.wait_for_selector(".documents")
    assert page.locator(".document").count() == 2
    assert page.locator(".document.book").count() == 1
    assert_accessible(page)
    page.locator(".document.book a").click()
    page.wait_for_selector(".timeline")
    assert_accessible(page)
    page.locator("a.govuk-button").first.click()
    assert page.locator("form input:checked").count() == 0
    page.click("button.large")
    assert "Say whether it was lost or stolen." in page.inner_text(".govuk-error-summary")
    page.check("input[name=kind][value=lost]")
    page.click("button.large")
    assert "Choose the proof." in page.inner_text(".govuk-error-summary")
    page.check("input[name=proof][value=in_person]")
    assert page.locator("aside .document.card").count() == 1
    assert_accessible(page)
    page.click("button.large")
    page.wait_for_selector("input[name=sure]", state="attached")
    assert house.ask({"scheme": "icao-9303", "issuer": "UTO", "kind": "P", "number": booklet})["status"]["code"] == "V00"
    assert "Report lost: stop this document (Passport)" in page.inner_text("button.large")
    assert_accessible(page)
    page.click("button.large")
    page.wait_for_selector(".seal")
    assert_accessible(page)
    assert house.ask({"scheme": "icao-9303", "issuer": "UTO", "kind": "P", "number": booklet})["status"]["code"] == "S10"
    assert house.ask({"scheme": "cn-resident", "number": number, "valid_from": "2016-10-06"})["status"]["code"] == "V00"
    page.context.close()


def test_a_provisional_report_is_confirmed_and_a_full_one_lifted(chromium: Any, house: House) -> None:
    """By telephone: suspended, with its end; confirmed in person: lost; found again by its holder: lifted."""
    document = house.passport()
    page = open_page(chromium, house)
    sit(page, house)
    search(page, house, document)
    page.locator(".document a").click()
    page.check("input[name=kind][value=lost]")
    page.check("input[name=proof][value=phone]")
    page.click("button.large")
    page.click("button.large")
    page.wait_for_selector(".seal")
    assert house.ask(document)["status"]["code"] == "S12"
    search(page, house, document)
    page.get_by_role("button", name="Confirm the report").click()
    page.check("input[name=proof][value=in_person]")
    page.click("button.large")
    page.get_by_role("button", name="Confirm the report (").click()
    page.wait_for_selector(".seal")
    assert house.ask(document)["status"]["code"] == "S10"
    page.get_by_role("button", name="Back to the document").click()
    page.get_by_role("button", name="Lift the report").click()
    page.check("input[name=proof][value=in_person]")
    page.click("button.large")
    page.wait_for_selector("input[name=sure]", state="attached")
    assert house.ask(document)["status"]["code"] == "S10"  # looked at, not done
    page.get_by_role("button", name="Lift the report (").click()
    page.wait_for_selector("h1:has-text('Lifted'), h1:has-text('lifted')")
    assert house.ask(document)["status"]["code"] == "V00"
    page.context.close()


def test_a_search_without_a_case_is_refused(chromium: Any, house: House) -> None:
    """The sentence stands at the top and beside the field; what was typed is still there; nothing was searched."""
    page = open_page(chromium, house)
    mine = sit(page, house)
    page.goto("/desk")
    page.fill("#number", "4509 123456")
    page.click("button.large")
    page.wait_for_selector(".govuk-error-summary")
    assert "case" in page.inner_text("#case-error").lower()
    assert page.input_value("#number") == "4509 123456"
    assert page.evaluate("document.title").startswith("Error: ")
    assert_accessible(page)
    assert house.run(house.office.searches.of_officer(Act(mine))) == []
    page.context.close()


def test_a_search_is_visible_to_the_holder(chromium: Any, house: House) -> None:
    """Who searched and for which case stands in the holder's own list; a search that the police delay lawfully does not yet."""
    number, _booklet = person_with_two(house)
    asked = {"personal_number": number, "case": CASE}
    holder = house.call("POST", "/v1/persons/find", "issuer", json=asked).json()["persons"][0]["id"]
    page, mine = open_page(chromium, house), open_page(chromium, house)
    sit(page, house)
    for case, days in (("K-SEEN-1", ""), ("K-LATER-2", "30")):
        page.goto("/desk")
        page.fill("#case", case)
        page.fill("#number", number)
        if days:
            page.locator("details").last.locator("summary").click()
            page.fill("#delay_days", days)
            page.select_option("#delay_ground", "court_order")
        page.click("button.large")
        page.wait_for_selector(".documents")
    seat(mine, house, "citizen", person=holder, strength="strong")
    mine.goto("/my/checks")
    told = mine.inner_text("main")
    assert "K-SEEN-1" in told
    assert "K-LATER-2" not in told
    for each in (page, mine):
        each.context.close()


def test_nobody_opens_anothers_search(chromium: Any, house: House) -> None:
    """Somebody else's reference: there is no such search, and a sentence that helps."""
    page, other = open_page(chromium, house), open_page(chromium, house)
    sit(page, house)
    search(page, house, house.passport())
    address = page.url
    sit(other, house)
    for path in (address, f"{address}/0/report", address.replace("/s_", "/s_f")[:-1]):
        assert other.goto(path).status == 404
    assert "Search again" in other.goto(address).text()
    for each in (page, other):
        each.context.close()


def test_a_double_click_and_the_back_button_report_once(chromium: Any, house: House) -> None:
    """The same form sent twice, from one tab or from two: one report, one answer."""
    document = house.passport()
    page = open_page(chromium, house, script=False)
    mine = sit(page, house)
    search(page, house, document)
    page.locator(".document a").click()
    twice = page.context.new_page()
    twice.goto(page.url)
    form = {name: page.input_value(f"input[name={name}] >> nth=-1") for name in ("csrf", "once")}
    fields = form | {"kind": "lost", "proof": "in_person", "evidence": CASE, "sure": "yes"}
    answers = [page.request.post(page.url, multipart=fields) for _ in range(2)]
    assert [answer.status for answer in answers] == [200, 200]
    references = {re.search(r"r_[0-9a-f]{24}", answer.text())[0] for answer in answers}  # type: ignore[index]
    assert len(references) == 1
    twice.click("button.large")  # the second tab, with a token of its own: the document has a row now
    assert twice.locator(".govuk-error-summary, h1").first.is_visible()
    del mine
    page.context.close()


def test_a_lost_session_loses_no_half_report(chromium: Any, house: House) -> None:
    """The session ends in the middle: after signing in again the page comes back with what was typed."""
    document = house.passport()
    page = open_page(chromium, house)
    mine = sit(page, house)
    search(page, house, document)
    page.locator(".document a").click()
    page.wait_for_url("**/0/report")
    page.check("input[name=kind][value=stolen]")
    page.click("details summary")
    page.fill("#reporter", "Ana Half")
    house.run(house.office.sessions.end_all("officer", mine, house.office.now_us(), "test"))
    page.click("button.large")
    page.wait_for_url("**/desk/sign-in")
    page.fill("#key", house.keys["police"])
    page.fill("#staff", mine.partition("/")[2])
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url("**/0/report")
    assert page.is_checked("input[name=kind][value=stolen]")
    assert page.input_value("#reporter") == "Ana Half"
    page.context.close()


def test_a_passkey_is_made_and_signs_in(chromium: Any, house: House) -> None:
    """With a virtual authenticator: made while signed in by key, then it is the way in, and the key is not any more."""
    mine = officer(house)
    url = house.url.replace("127.0.0.1", "localhost")
    context = chromium.new_context(base_url=url)
    page = context.new_page()
    tools = context.new_cdp_session(page)
    tools.send("WebAuthn.enable")
    tools.send(
        "WebAuthn.addVirtualAuthenticator",
        {
            "options": {
                "protocol": "ctap2",
                "transport": "internal",
                "hasResidentKey": True,
                "hasUserVerification": True,
                "isUserVerified": True,
                "automaticPresenceSimulation": True,
            }
        },
    )

    def by_key() -> None:
        page.goto("/desk/sign-in")
        page.fill("#key", house.keys["police"])
        page.fill("#staff", mine.partition("/")[2])
        page.get_by_role("button", name="Sign in", exact=True).click()

    by_key()
    page.wait_for_url("**/desk")
    page.goto("/desk/passkeys")
    page.fill("#label", "blue token")
    page.get_by_role("button", name="Make a passkey").click()
    page.wait_for_selector(".govuk-notification-banner")
    assert "blue token" in page.inner_text(".plain-list")
    page.get_by_role("button", name="Sign out").click()
    by_key()
    page.wait_for_selector(".govuk-error-summary")
    assert "passkey" in page.inner_text(".govuk-error-summary")
    page.get_by_role("button", name="Sign in with a passkey").click()
    page.wait_for_url("**/desk")
    context.close()


def test_a_fingerprint_is_compared_with_the_enrolled_ones(chromium: Any, house: House, tmp_path: Path) -> None:
    """Nothing enrolled: refused. Another finger: refused, nothing reported. The enrolled one: reported on this proof."""
    number, booklet = person_with_two(house)
    passport = {"scheme": "icao-9303", "issuer": "UTO", "kind": "P", "number": booklet}
    mine, other = tmp_path / "mine.fmr", tmp_path / "other.fmr"
    mine.write_bytes(template(2))
    other.write_bytes(template(7))
    page = open_page(chromium, house)
    sit(page, house)

    def report(finger: Path | None) -> None:
        page.goto("/desk")
        page.fill("#case", CASE)
        page.fill("#number", number)
        page.click("button.large")
        page.locator(".document.book a").click()
        page.locator("a.govuk-button").first.click()
        page.check("input[name=kind][value=lost]")
        page.check("input[name=proof][value=in_person_fingerprint]")
        page.click("button.large")
        if finger is not None:
            page.set_input_files("#finger", finger)
        page.click("button.large")

    report(mine)
    assert "No fingerprint of this holder is enrolled." in page.inner_text(".govuk-error-summary")
    consent = {"basis": "law", "evidence": "enrolment with the card", "scope": "fingers"}
    finger = {"finger": 2, "template": base64.b64encode(template(2)).decode(), "quality": 70}
    enrolled = {"personal_number": number, "consent": consent, "fingers": [finger]}
    assert house.call("POST", "/v1/persons/enrolments", "issuer", json=enrolled).status_code == 201
    report(None)
    assert "Take the fingerprint now." in page.inner_text(".govuk-error-summary")
    report(other)
    page.wait_for_selector(".govuk-error-summary")
    assert house.ask(passport)["status"]["code"] == "V00"
    report(mine)
    page.wait_for_selector(".seal")
    assert house.ask(passport)["status"]["code"] == "S10"
    page.context.close()


DESK_PAGES = (
    "/desk",
    "/desk/photo",
    "/desk/found",
    "/desk/found/accept",
    "/desk/disputes",
    "/desk/recalls",
    "/desk/bulk",
    "/desk/officers",
    "/desk/passkeys",
    "/desk/sign-in",
)


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("width", [320, 1280])
def test_every_page_fits_and_is_accessible(chromium: Any, house: House, language: str, width: int) -> None:
    """Nothing is scrolled sideways, and no serious finding, on the pages that are always there."""
    page = open_page(chromium, house, width=width, language=language)
    sit(page, house, "issuer")
    for address in DESK_PAGES:
        assert page.goto(address).status == 200
        assert_fits(page)
        if language == "en":
            assert_accessible(page)
    page.context.close()


def test_the_pages_of_officers_are_light(chromium: Any, house: House) -> None:
    """A first visit with an empty cache stays under 100 KB, on the pages that are always there."""
    found = {}
    for party, addresses in (
        ("issuer", (*DESK_PAGES, "/desk/review", "/desk/review/figures")),
        ("supervisor", ("/oversight",)),
    ):
        page = open_page(chromium, house, service_workers="block")
        sit(page, house, party)
        found |= weights(page, addresses)
        page.context.close()
    assert {address: bytes_ for address, bytes_ in found.items() if not 0 < bytes_ <= WEIGHT_MAX} == {}


def person_with_two(house: House) -> tuple[str, str]:
    """Enter a person with a resident card and a passport; return the personal number and the booklet's number."""
    import numpy as np

    from annul.demo.numbers import personal_numbers

    day = 3652 + next(_staff)
    number = bytes(personal_numbers(np.array([110101]), np.array([day]), np.array([998]))[0]).decode()
    booklet = f"D{next(_staff):08d}"
    card = {"scheme": "cn-resident", "number": number, "valid_from": "2016-10-06", "valid_until": "2036-10-06"}
    passport = {"scheme": "icao-9303", "issuer": "UTO", "kind": "P", "number": booklet}
    for document, more in ((card, {}), (passport, {"person_number": number})):
        answer = house.call("POST", "/v1/documents", "issuer", json={"event": "issue", "document": document, **more})
        assert answer.status_code == 201, answer.text
    person = {"personal_number": number, "names": [{"text": "王小明"}], "documents": [passport], "birth_date": "1990-01-01"}
    answer = house.call("POST", "/v1/persons", "issuer", json={"person": person, "event": "details", "evidence": "test"})
    assert answer.status_code == 201, answer.text
    return number, booklet


def test_the_police_hold_notices_back_for_a_case(chromium: Any, house: House) -> None:
    """With an end and on record; without a number of days nothing is held."""
    document = house.passport()
    house.report(document)
    page = open_page(chromium, house)
    sit(page, house)
    search(page, house, document)
    page.get_by_role("link", name="Do not tell the holder yet").click()
    page.click("button.large")
    page.wait_for_selector("#days-error")
    page.fill("#days", "30")
    page.click("button.large")
    page.wait_for_selector("dl")
    assert re.search(r"h_[0-9a-f]{24}", page.inner_text("dl"))
    page.get_by_role("button", name="Back to the document").click()
    assert page.inner_text(".document .state") == "Reported lost"
    assert page.goto("/desk/attempts").status == 200
    assert_accessible(page)
    page.context.close()


def test_a_search_by_name_needs_the_date_of_birth(chromium: Any, house: House) -> None:
    """Name and date find the person; a name alone is refused beside its field."""
    number, _booklet = person_with_two(house)
    page = open_page(chromium, house, width=320)
    sit(page, house)
    page.goto("/desk")
    page.fill("#case", CASE)
    page.locator("summary", has_text="By name").click()
    page.fill("#name", "王小明")
    page.click("button.large")
    page.wait_for_selector("#birth_date-error")
    page.fill("#birth_date", "1990-01-01")
    page.click("button.large")
    page.wait_for_selector(".person")
    assert number in page.inner_text("main").replace(" ", "")
    assert_fits(page)
    page.context.close()


def test_a_photograph_that_cannot_be_read_is_refused_beside_its_field(chromium: Any, house: House, tmp_path: Path) -> None:
    """No file, and a file that is no picture: a sentence at the field, the search is not touched."""
    page = open_page(chromium, house, script=False)
    sit(page, house)
    page.goto("/desk/photo")
    page.get_by_role("button", name="Read it").click()
    page.wait_for_selector("#photo-error")
    nothing = tmp_path / "x.png"
    nothing.write_bytes(b"no picture")
    page.set_input_files("#photo", nothing)
    page.get_by_role("button", name="Read it").click()
    page.wait_for_selector("#photo-error")
    page.context.close()
