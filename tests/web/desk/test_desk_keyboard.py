"""Every journey of the officers by keyboard alone, in real Chromium: no pointer, no page opened by its address.

Each journey runs twice: in English without scripts, in Chinese with them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from annul.registry.parties.officers import DUTIES
from annul.registry.writing.store import connect
from tests.waiting import until
from tests.web.browser import assert_accessible, assert_fits, chromium, open_page, seat
from tests.web.conftest import House
from tests.web.desk.test_desk import CASE, officer, sit
from tests.web.review.test_review import enter, newest, somebody

__all__ = ["chromium"]
TABS_MAX = 120
WAYS = pytest.mark.parametrize(("language", "script"), [("en", False), ("zh", True)], ids=["en-plain", "zh-script"])


class Keys:
    """Somebody at a desk who has no mouse."""

    def __init__(self, page: Any) -> None:
        self.page = page

    def to(self, selector: str) -> None:
        """Press Tab until something that the selector names has the focus."""
        focused = self.page.locator(f":is({selector}):focus")
        for _ in range(TABS_MAX):
            if focused.count():
                return
            self.page.keyboard.press("Tab")
        raise AssertionError(f"{self.page.url}: Tab never reaches {selector}")

    def type(self, selector: str, text: str) -> None:
        """Replace what stands in a field."""
        self.to(selector)
        self.page.keyboard.press("Control+a")
        self.page.keyboard.insert_text(text)

    def choose(self, name: str, value: str) -> None:
        """Choose one of a few, or of a list, by arrows."""
        radio, chosen = f"input[type=radio][name={name}]", f"input[name={name}][value={value}]:checked"
        if self.page.locator(radio).count():
            self.to(radio)
            self.page.keyboard.press("Space")
            picked = lambda: bool(self.page.locator(chosen).count())  # noqa: E731 - what is waited for
        else:
            self.to(f"select[name={name}]")
            self.page.keyboard.press("Home")
            picked = lambda: self.page.locator(f"select[name={name}]").input_value() == value  # noqa: E731
        for _ in range(30):
            if picked():
                return
            self.page.keyboard.press("ArrowDown")
        raise AssertionError(f"{self.page.url}: {name} has no {value}")

    def press(self, selector: str, key: str = "Enter") -> None:
        """Go to a link or a button and press it; wait for the page that follows."""
        self.to(selector)
        with self.page.expect_navigation():
            self.page.keyboard.press(key)

    def send(self) -> None:
        """Press the one large button of the page."""
        self.press("main button.large")

    def search(self, text: str) -> None:
        """Search for the usual case from wherever she is."""
        if not self.page.url.endswith("/desk"):
            self.press("nav.rooms a[href='/desk']")
        self.type("#case", CASE)
        self.type("#number", text)
        self.send()


@pytest.fixture
def desk(chromium: Any, house: House, language: str, script: bool) -> Any:
    """Open desks: `desk("issuer")` is an officer of the issuer at hers."""
    opened = []

    def sit_down(party: str = "police", home: str = "/desk") -> Keys:
        page = open_page(chromium, house, language=language, script=script)
        opened.append(page)
        sit(page, house, party, key_id=house.own_key(party))
        page.goto(home)
        return Keys(page)

    yield sit_down
    for page in opened:
        page.context.close()


def typed(document: dict[str, str]) -> str:
    """Return what is typed of a Russian passport."""
    return document["series"] + document["number"]


@WAYS
def test_a_provisional_report_is_confirmed_lifted_and_made_again(desk: Any, house: House) -> None:
    """By telephone: stopped for now; confirmed; lifted by its holder; stolen later: the bank hears each of it."""
    document, keys = house.passport(), desk()
    keys.search(typed(document))
    keys.press(".document a")
    keys.choose("kind", "lost")
    keys.choose("proof", "phone")
    keys.send()
    keys.send()
    assert house.ask(document)["status"]["code"] == "S12"
    keys.search(typed(document))
    keys.press("main a[href$='/confirm']")
    keys.choose("proof", "in_person")
    keys.send()
    keys.send()
    assert house.ask(document)["status"]["code"] == "S10"
    keys.press(".govuk-button-group a")
    keys.press("main a[href$='/lift']")
    keys.choose("proof", "in_person")
    keys.send()
    keys.send()
    assert house.ask(document)["status"]["code"] == "V00"
    keys.press(".govuk-button-group a")
    keys.press("main a[href$='/report']")
    keys.choose("kind", "stolen")
    keys.choose("proof", "in_person")
    keys.send()
    keys.send()
    assert house.ask(document)["status"]["code"] == "S11"


@WAYS
def test_an_issuer_replaces_one_document_and_revokes_the_next(desk: Any, house: House) -> None:
    """Recorded in one step: the old one is replaced and never counts again, the new one counts until it is revoked."""
    document, new, keys = house.passport(), house.passport(), desk("issuer")
    assert house.call("POST", "/v1/documents", "issuer", json={"event": "issue", "document": document}).status_code == 201
    keys.search(typed(document))
    keys.press("main a[href$='/replace']")
    keys.type("#number", typed(new))
    keys.type("#valid_from", "2026-01-02")
    keys.send()
    keys.send()
    assert house.ask(document)["status"]["code"] == "I20"
    assert house.ask(new)["status"]["code"] == "V00"
    keys.search(typed(new))
    keys.press("main a[href$='/revoke']")
    keys.choose("reason", "fraud")
    keys.send()
    keys.send()
    assert house.ask(new)["status"]["code"] == "I23"


@WAYS
def test_a_listing_that_was_never_true_is_corrected_by_two(desk: Any, house: House) -> None:
    """Proposed; not confirmed by herself; confirmed by another; and if that was wrong the document is listed again."""
    document, first, second = house.passport(), desk("issuer"), desk("issuer")
    house.report(document)
    first.search(typed(document))
    first.press("main a[href$='/correct']")
    first.type("#grounds", "")
    first.choose("ground", "wrong_document")
    first.send()
    assert first.page.locator("#grounds-error").is_visible()
    first.type("#grounds", "the desk took the wrong number")
    first.send()
    assert "/desk/disputes/x_" in first.page.url
    file = first.page.url
    assert first.page.locator(f"a[href$='{file.rpartition('/')[2]}/decide']").count() == 0
    first.page.goto(f"{file}/decide")  # past the page: the door is closed as well
    first.choose("decision", "corrected")
    first.type("#reason", "I say so")
    first.send()
    assert first.page.locator(".govuk-error-summary").is_visible()
    assert house.ask(document)["status"]["code"] == "S10"
    second.press(".waits a[href$='show=proposed']")
    second.press(f"table a[href$='{file.rpartition('/')[2]}']")
    second.press("main a[href$='/decide']")
    second.choose("decision", "corrected")
    second.type("#reason", "the file shows it")
    second.send()
    assert house.ask(document)["status"]["code"] == "V00"
    second.search(typed(document))
    second.press("main a[href$='/report']")
    second.choose("kind", "lost")
    second.choose("proof", "in_person")
    second.send()
    second.send()
    assert house.ask(document)["status"]["code"] == "S10"


@WAYS
def test_a_found_card_is_taken_in_handed_over_and_given_back(desk: Any, house: House) -> None:
    """Each pair of hands is in the chain; given back on proof of identity it works again."""
    document, keys = house.passport(), desk()
    keys.press("nav.rooms a[href='/desk/found']")
    keys.press("main a[href='/desk/found/accept']")
    keys.type("#number", typed(document))
    keys.type("#shelf", "B-12")
    keys.send()
    assert house.ask(document)["status"]["code"] == "I25"
    keys.press("main a[href$='/hand-over']")
    keys.type("#taken_by", "Central store")
    keys.press("main form button")
    assert keys.page.locator(".timeline li").count() == 2
    keys.press("main a[href$='/hand-out']")
    keys.type("#evidence", "passport seen")
    keys.send()
    assert house.ask(document)["status"]["code"] == "V00"


@WAYS
def test_a_dispute_is_opened_heard_and_decided(desk: Any, house: House) -> None:
    """Its clock runs and checks say so; a note of the hearing; upheld: the listing stands again."""
    document, keys = house.passport(), desk("issuer")
    house.report(document)
    keys.search(typed(document))
    keys.press("main a[href$='/dispute']")
    keys.choose("kind", "holder")
    keys.choose("ground", "not_lost")
    keys.type("#statement", "It never left my pocket.")
    keys.send()
    assert house.ask(document)["status"]["code"] == "U34"
    keys.press("main a[href*='/desk/disputes/x_']")
    keys.choose("kind", "evidence")
    keys.type("#text", "The card was not shown.")
    keys.press("form button.govuk-button--secondary")
    assert keys.page.locator(".plain-list li").count() == 1
    keys.press("main a[href$='/decide']")
    keys.choose("decision", "upheld")
    keys.type("#reason", "The report was true.")
    keys.send()
    assert house.ask(document)["status"]["code"] == "S10"


@WAYS
def test_a_list_is_sent_in_confirmed_by_another_and_taken_back(desk: Any, house: House, tmp_path: Path) -> None:
    """Above the limit it needs two officers; one step takes it back as a whole."""
    passports = [house.passport() for _ in range(1001)]
    file = tmp_path / "list.csv"
    file.write_text(
        "PASSP_SERIES,PASSP_NUMBER\n" + "".join(f"{each['series']},{each['number']}\n" for each in passports), "ascii"
    )
    first, second = desk("issuer"), desk("issuer")
    first.press("nav.rooms a[href='/desk/bulk']")
    first.choose("format", "russian")
    first.type("#evidence", "decree 17")
    first.page.set_input_files("#file", file)  # the window of the system in which a file is chosen is not the page's
    first.press("main form button")
    first.page.wait_for_url(re.compile(r"/desk/bulk/[0-9a-f]{32}$"), timeout=60_000)
    assert first.page.locator("button[value=confirm]").count() == 0
    second.press("nav.rooms a[href='/desk/bulk']")
    second.press(f"a[href$='{first.page.url.rpartition('/')[2]}']")
    second.type("#evidence", "decree 17")
    second.press("button[value=confirm]")
    assert house.ask(passports[0])["status"]["code"] == "I23"
    second.type("#evidence", "decree 18")
    second.press("button[value=undo]")
    assert house.ask(passports[0])["status"]["code"] == "V00"


@WAYS
def test_a_merge_is_decided_by_two(desk: Any, house: House) -> None:
    """The queue, the records side by side, the decision; a colleague confirms it and takes it back."""
    one = somebody("李雷")
    enter(house, one, somebody("李蕾蕾", number=one.personal_number))
    found = newest(house, rule="shared-number")["id"]
    first, second = desk("issuer"), desk("issuer")
    first.press("nav.rooms a[href='/desk/review']")
    first.choose("rule", "shared-number")
    first.press("form.filters button")
    first.press(f"a[href$='{found}']")
    first.choose("decision", "same_person")
    first.to("input[name=person]")
    first.page.keyboard.press("Space")
    first.type("#grounds", "file 12")
    first.press("main form button.govuk-button")
    second.press("nav.rooms a[href='/desk/review']")
    second.press("a[href='/desk/review/waiting']")
    second.press(f"a[href$='{found}']")
    second.press("button[value=confirm]")
    assert second.page.locator(".timeline li").count() == 1
    second.type("input[name=grounds]", "wrong record")
    second.press(".timeline button")
    assert second.page.locator(".timeline button").count() == 0


@WAYS
def test_a_use_that_its_holder_denies_is_opened_for_a_case(desk: Any, house: House) -> None:
    """The list of the police names who asked and when; the document behind it opens as a search, on record."""
    document = house.passport()
    house.report(document)
    before_us = house.office.now_us()
    house.ask(document)
    with connect(house.settings.database_url) as db:

        def denied() -> bool:
            query = "UPDATE attempt SET said = 'not_me', said_at_us = checked_at_us WHERE checked_at_us >= %s RETURNING id"
            return db.execute(query, (before_us,)).fetchone() is not None

        until(denied, "the attempt")
    keys = desk()
    keys.press("nav.rooms a[href='/desk/attempts']")
    keys.type("#case", CASE)
    keys.press("button[name=attempt]")
    assert "/desk/searches/s_" in keys.page.url
    assert keys.page.locator(".case strong").inner_text() == CASE


@WAYS
def test_a_chief_adds_an_officer_and_takes_her_access_away(desk: Any, house: House, chromium: Any, language: str) -> None:
    """The new officer signs in with the key of the office; afterwards she is asked to sign in again and is refused."""
    chief = desk()
    staff = f"K-{language}"
    chief.press("nav.rooms a[href='/desk/officers']")
    chief.type("#staff", staff)
    chief.type("#name", "Noa New")
    chief.press("main form button")
    other = Keys(open_page(chromium, house, language=language))
    other.page.goto("/desk")
    for expected in ("/desk", "/desk/sign-in"):
        other.type("#key", house.keys["police"])
        other.type("#staff", staff)
        other.press("form:has(#key) button")
        assert other.page.url.endswith(expected)
        if expected == "/desk":
            chief.press(f"a[href$='/{staff}']")
            chief.press("button[value=remove]")
            other.press("nav.rooms a[href='/desk/attempts']")
            assert other.page.url.endswith("/desk/sign-in")
    other.page.context.close()


@WAYS
def test_a_supervisor_goes_from_a_number_to_the_file_behind_it(desk: Any, house: House) -> None:
    """The overview, the open disputes, the file of one; and back to the desk."""
    document = house.passport()
    house.report(document)
    body = {"document": document, "ground": "malice", "case": "D-1"}
    raised = house.call("POST", "/v1/disputes/raise", "police", json=body).json()["dispute"]
    keys = desk("supervisor", "/oversight")
    keys.press("#n-overdue a")
    keys.press(f"a[href$='{raised}']")
    assert keys.page.url.endswith(raised)
    keys.press("nav.rooms a[href='/oversight']")
    keys.press("nav.rooms a[href='/desk']")
    assert keys.page.locator("#case").count() == 1


@WAYS
def test_every_page_on_the_way_fits_and_is_for_everybody(
    desk: Any, house: House, language: str, script: bool, chromium: Any
) -> None:
    """At 320 pixels, with forms, results, errors and files open: nothing is cut off; with scripts the rules are asked too."""
    document, page = house.passport(), open_page(chromium, house, width=320, language=language, script=script)
    house.report(document)
    seat(page, house, "officer", officer=officer(house, "issuer", DUTIES), key_id=house.key_id("issuer"))
    page.goto("/desk")
    keys = Keys(page)
    keys.search(typed(document))
    base = page.url
    for act in ("lift", "report", "replace", "cancel", "revoke", "dispute", "correct", ""):
        assert page.goto(f"{base}/{act}".rstrip("/")).status == 200
        if script:
            assert_fits(page)
            assert_accessible(page)
    page.context.close()
