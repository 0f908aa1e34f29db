"""The citizen's room over HTTP: login, own documents and acts, what is never shown, what comes back when sent twice."""

from __future__ import annotations

import asyncio
import datetime
import itertools
import json
import re
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from annul.app import doors
from annul.demo.numbers import ORDER_MAX, personal_numbers
from annul.errors import NotFound, UnsafeSettings
from annul.records.document import Document, DocumentFields, parse_document
from annul.records.person import Contact, Name, Person
from annul.registry.writing.act import Act
from annul.registry.writing.documents import Known
from annul.settings import Settings
from annul.web.citizen import account
from annul.web.door.oidc import BACK
from annul.web.door.session import LIMITS, Sessions
from tests.waiting import until
from tests.web.conftest import House

ISSUER = Act("issuer")
TODAY = datetime.datetime.now(datetime.UTC).date().isoformat()
_births = itertools.count(6000)
_addresses = itertools.count()


@dataclass
class Holder:
    """Somebody with a card, in both registers."""

    number: str
    name: str
    person: int
    document: int

    @property
    def fields(self) -> dict[str, str]:
        """The card as a check names it."""
        return {"scheme": "cn-resident", "number": self.number, "valid_from": "2020-01-02", "valid_until": "2040-01-02"}


def settle(house: House, name: str = "王小明", *, contacts: bool = True) -> Holder:
    """Register a new person with a card, and let the demo's provider offer the login."""
    import numpy as np

    number = bytes(personal_numbers(np.array([110101]), np.array([next(_births)]), np.array([ORDER_MAX]))[0]).decode()
    fields = DocumentFields("cn-resident", number, valid_from="2020-01-02", valid_until="2040-01-02")
    card: Document = parse_document(fields)
    now = house.office.now_us
    house.run(house.office.register.issue(ISSUER, card, happened_at_us=now(), person_number=number))
    reach = [Contact("email", f"holder{number[-4:-1]}@mail.test"), Contact("phone", "+86 10 5555 0199")] if contacts else []
    person = Person(personal_number=number, names=[Name(name), Name("Xiaoming Wang", "latin")], contacts=reach)
    made = house.run(house.office.people.add(ISSUER, person, happened_at_us=now()))
    owned = house.run(house.office.citizens.documents(made.person))
    file = house.settings.home / "demo.json"
    known = json.loads(file.read_text())
    known.setdefault("citizens", []).append({"name": name, "personal_number": number, "story": f"card {owned[0].id}"})
    file.write_text(json.dumps(known))
    return Holder(number, name, made.person, owned[0].id)


class Browser:
    """A browser without a script: keeps cookies, follows redirects, sends the forms that pages hold."""

    def __init__(self, house: House, language: str = "en") -> None:
        self.house = house
        address = f"203.0.113.{next(_addresses) % 250 + 1}"  # each browser at an address of its own
        headers = {"accept": "text/html", "accept-language": language, "x-forwarded-for": address}
        self.http = house.client(follow_redirects=True, headers=headers)
        self.page = self.http.get("/")

    @property
    def text(self) -> str:
        """What the page says, without its marks."""
        return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", self.page.text)))

    @property
    def path(self) -> str:
        """Where the browser is."""
        return self.page.url.path

    def go(self, path: str) -> Browser:
        """Open a page."""
        self.page = self.http.get(path)
        return self

    def form(self, action: str = "") -> dict[str, str]:
        """Return the hidden fields of the page's form."""
        main = self.page.text.partition('<main id="main">')[2]
        forms = re.findall(r'<form[^>]*method="post"[^>]*>(.*?)</form>', main, re.DOTALL)
        whole = forms[0] if forms else main
        fields = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', whole)
        return {name: unescape(value) for name, value in fields}

    def send(self, path: str = "", **fields: str) -> Browser:
        """Send the page's form."""
        self.page = self.http.post(path or self.path, data=self.form() | fields)
        return self

    def log_in(self, holder: Holder, how: str = "strong") -> Browser:
        """Log in at the demo's identity provider, by the real flow."""
        self.go("/my/sign-in/go")
        people = json.loads((self.house.settings.home / "demo.json").read_text())["citizens"]
        place = [one["personal_number"] for one in people].index(holder.number)
        self.page = self.http.post("/demo/idp/authorize", data=self.form() | {"place": str(place), "how": how})
        return self


@pytest.fixture
def browser(house: House) -> Browser:
    """A fresh browser."""
    return Browser(house)


def report(browser: Browser, holder: Holder, **answers: str) -> Browser:
    """Go through the report without login, to its last page."""
    browser.go("/report").send()
    for step in (
        {"kind": "cn-resident"},
        {"number": answers.pop("number", holder.number)},
        {"name": answers.pop("name", holder.name)},
        {"what": "lost", "when": TODAY},
        {"contact": ""},
    ):
        browser.send(**step)
    return browser


def test_a_report_without_login_stops_the_card_and_ends_with_the_seal(house: House, browser: Browser) -> None:
    """Seven pages; the last one says since when check points refuse, and a check at once answers STOP."""
    holder = settle(house)
    assert house.ask(holder.fields)["outcome"] == "PASS"
    report(browser, holder)
    assert re.search(r"It can no longer be used, since \S*\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", browser.text)
    assert re.search(r"refused it from \S*\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d\d\d UTC", browser.text)
    assert "R-" in browser.text
    answer = house.ask(holder.fields)
    assert (answer["outcome"], answer["status"]["code"]) == ("STOP", "S12")
    assert holder.number not in browser.page.text
    assert holder.number not in str(browser.page.url)


def test_the_holder_is_told_at_once_and_undoes_it_in_one_step(house: House, browser: Browser) -> None:
    """The demo's outbox shows mail and short message; the address in them undoes the report with one button."""
    holder = settle(house)
    report(browser, holder)
    code = re.search(r"/undo/(r_[0-9a-f]{24}-[a-z2-7]{20})", until(lambda: _told_to(house, holder)))
    assert code is not None
    other = Browser(house).go(f"/undo/{code[1]}")
    assert "Undo this report?" in other.text
    other.send()
    assert "The report is undone" in other.text
    assert house.ask(holder.fields)["outcome"] == "PASS"
    other.page = other.http.post(f"/undo/{code[1]}", data={"csrf": ""})
    assert other.page.status_code in (200, 303, 403)


def _told_to(house: House, holder: Holder) -> str:
    rows = house.run(house.office.delivery.outbox(200))
    told = (text.body for due, _state, _address, text in rows if due.person_id == holder.person and due.kind == "suspended")
    return next(told, "")


def test_sent_twice_it_is_one_report(house: House, browser: Browser) -> None:
    """A double click on the last button, or the page sent again: one report, the same reference."""
    holder = settle(house)
    browser.go("/report").send()
    for step in ({"kind": "cn-resident"}, {"number": holder.number}, {"name": holder.name}, {"what": "lost", "when": TODAY}):
        browser.send(**step)
    last, form = browser.path, browser.form()
    first = browser.http.post(last, data=form | {"contact": ""})
    again = browser.http.post(last, data=form | {"contact": ""})
    reference = re.search(r"R-[0-9A-F-]{29}", first.text)
    assert reference is not None
    assert reference[0] in again.text
    assert len(house.run(house.office.register.reports(Act("x"), Known(holder.document)))) == 1


def test_the_back_button_finds_every_answer(house: House, browser: Browser) -> None:
    """Going back shows what was typed; changing it changes that alone."""
    holder = settle(house)
    browser.go("/report").send().send(kind="cn-resident")
    number_page = browser.path
    browser.send(number=holder.number).send(name=holder.name)
    browser.go(number_page)
    assert holder.number in browser.page.text
    browser.send(number=f"{holder.number[:6]} {holder.number[6:]}")
    assert browser.path.endswith("/name")
    assert holder.name in browser.page.text


def test_a_draft_of_another_browser_is_not_shown(house: House, browser: Browser) -> None:
    """Who has the address of a report but not its cookie sees nothing, and is told what to do."""
    holder = settle(house)
    browser.go("/report").send().send(kind="cn-resident").send(number=holder.number)
    stranger = Browser(house).go(browser.path)
    assert stranger.page.status_code == 404
    assert holder.number not in stranger.page.text
    assert "Begin again" in stranger.text


def test_a_wrong_name_and_an_unknown_number_are_told_alike(house: House, browser: Browser) -> None:
    """Nobody learns which numbers exist: both answers are the same sentence."""
    holder = settle(house)
    report(browser, holder, name="李雷")
    wrong_name = browser.text
    assert "No such document of a holder of this name" in wrong_name
    stranger = Browser(house)
    report(stranger, holder, number="110101199003077774")
    assert "No such document of a holder of this name" in stranger.text
    assert house.ask(holder.fields)["outcome"] == "PASS"


def test_a_strong_login_shows_the_documents_and_reports_for_good(house: House, browser: Browser) -> None:
    """The real OpenID Connect flow; the report stands, and ends with the seal."""
    holder = settle(house)
    browser.log_in(holder)
    assert browser.path == "/my"
    assert "Resident identity card" in browser.text
    assert holder.number not in browser.page.text
    browser.go(f"/my/documents/{holder.document}/report").send(what="stolen", when=TODAY)
    assert "It can no longer be used, since" in browser.text
    assert house.ask(holder.fields)["status"]["code"] == "S11"
    browser.go(f"/my/documents/{holder.document}/report")  # the link of an older page
    assert browser.path == f"/my/documents/{holder.document}"
    assert "cannot be done with this document now" in browser.text


def test_a_weak_login_only_suspends(house: House, browser: Browser) -> None:
    """With a password alone the card stops for a while, and confirming needs a strong login."""
    holder = settle(house)
    browser.log_in(holder, "weak").go(f"/my/documents/{holder.document}/report").send(what="lost", when=TODAY)
    assert house.ask(holder.fields)["status"]["code"] == "S12"
    browser.go(f"/my/documents/{holder.document}/confirm").send()
    assert "needs a login with your card" in browser.text
    browser.go(f"/my/documents/{holder.document}/undo").send()
    assert house.ask(holder.fields)["outcome"] == "PASS"


def test_lock_timed_unlock_and_unlock(house: House, browser: Browser) -> None:
    """Locked: STOP. Open for one purpose: that purpose passes, others do not. Unlocked: PASS."""
    holder = settle(house)
    browser.log_in(holder).go(f"/my/documents/{holder.document}/lock").send()
    assert "It is locked" in browser.text
    assert house.ask(holder.fields)["status"]["code"] == "S13"
    browser.go(f"/my/documents/{holder.document}/unlock").send(how="purpose", purpose="medical", minutes="10")
    assert "Open for Medical care until" in browser.text
    assert house.ask(holder.fields, purpose="medical")["outcome"] == "PASS"
    assert house.ask(holder.fields)["outcome"] == "STOP"
    browser.go(f"/my/documents/{holder.document}/unlock").send(how="all", purpose="", minutes="10")
    assert house.ask(holder.fields)["outcome"] == "PASS"


def test_who_checked_and_an_attempt_that_was_not_me(house: House, browser: Browser) -> None:
    """The list names the organisation and the purpose; an attempt is denied with one button and reaches the police list."""
    holder = settle(house)
    house.report(holder.fields)
    house.ask(holder.fields)
    browser.log_in(holder)
    until(lambda: "Bank" in browser.go("/my/checks").text)
    assert "Open an account" in browser.text
    until(lambda: "Was it you?" in browser.go("/my/attempts").text)
    browser.send("/my/attempts", said="not_me")
    assert "The police desk and the organisation are told" in browser.text
    assert "This was not me" in browser.text
    denied = house.run(house.office.citizens.denied())
    assert denied[0]["party"] == "bank"


def test_documents_and_attempts_of_others_are_not_there(house: House, browser: Browser) -> None:
    """A citizen who writes somebody else's id into the address gets the sentence for what does not exist."""
    mine, other = settle(house), settle(house, "李雷")
    browser.log_in(mine)
    for what in ("", "/report", "/lock", "/unlock", "/dispute", "/confirm", "/undo"):
        assert browser.go(f"/my/documents/{other.document}{what}").page.status_code == 404
    browser.go(f"/my/documents/{mine.document}/lock")
    form = browser.form()
    assert browser.http.post(f"/my/documents/{other.document}/lock", data=form).status_code == 404
    assert house.ask(other.fields)["outcome"] == "PASS"


def test_contacts_are_frozen_while_suspended(house: House, browser: Browser) -> None:
    """Rule 9: the page says so and shows masked contacts; a form that was open before is refused."""
    holder = settle(house)
    browser.log_in(holder).go("/my/contacts")
    form = browser.form()
    report(Browser(house), holder)
    refused = browser.http.post("/my/contacts", data=form | {"email": "thief@mail.test", "phone": "", "language": "en"})
    assert refused.status_code == 400
    assert "cannot be changed remotely" in refused.text
    browser.go("/my/contacts")
    assert "in person alone" in browser.text
    assert "+86 10 5555 0199" not in browser.page.text


def test_contacts_and_language_are_changed(house: House, browser: Browser) -> None:
    """New contacts are kept; a wrong one is refused beside its field."""
    holder = settle(house)
    browser.log_in(holder).go("/my/contacts").send(email="nowhere", phone="", language="zh")
    assert "Type the address with its @" in browser.text
    browser.send("/my/contacts", email="new@mail.test", phone="", language="zh")
    assert "Your contacts are changed" in browser.text
    person = house.run(house.office.citizens.person(holder.person))
    assert [one.value for one in person.contacts] == ["new@mail.test"]
    assert house.run(house.office.citizens.language(holder.person)) == "zh"


def test_a_dispute_marks_the_document_and_is_answered_with_a_reference(house: House, browser: Browser) -> None:
    """Objecting from home: checks say disputed, the page shows the dispute with its term."""
    holder = settle(house)
    house.report(holder.fields)
    browser.log_in(holder).go(f"/my/documents/{holder.document}/dispute").send(ground="malice", statement="I have it here.")
    assert "was received" in browser.text
    assert "Decided at the latest" in browser.text
    assert house.ask(holder.fields)["status"]["code"] == "U34"


def test_everything_held_is_downloaded(house: House, browser: Browser) -> None:
    """JSON and PDF hold the entry, the documents and their history."""
    holder = settle(house)
    browser.log_in(holder)
    held = browser.http.get("/my/data.json").json()
    assert held["person"]["personal_number"] == holder.number
    assert held["documents"][0]["history"][0]["event"] == "issue"
    made = browser.http.get("/my/data.pdf")
    assert made.content.startswith(b"%PDF-")
    assert holder.number in browser.go("/my/data").text


def test_messages_are_shown_in_the_language_of_the_page(house: House) -> None:
    """The same notice in Chinese and Arabic."""
    holder = settle(house)
    report(Browser(house), holder)
    for language, words in (("zh", "暂停使用"), ("ar", "موقوفة")):
        browser = Browser(house, language).log_in(holder)
        assert until(lambda browser=browser, words=words: words in browser.go("/my/messages").text)


def test_a_reference_tells_nothing_of_the_document(house: House, browser: Browser) -> None:
    """Somebody else's reference shows a state; a wrong one says what to compare."""
    holder = settle(house)
    report(browser, holder)
    reference = re.search(r"R-[0-9A-F-]{29}", browser.text)
    assert reference is not None
    stranger = Browser(house).go("/report/state")
    stranger.page = stranger.http.post("/report/state", data={"reference": reference[0]})
    assert "waits to be confirmed" in stranger.text
    assert holder.number not in stranger.page.text
    assert holder.name not in stranger.page.text
    stranger.page = stranger.http.post("/report/state", data={"reference": "R-0000-0000-0000-0000-0000-0000"})
    assert "no report with this reference" in stranger.text


def _age(browser: Browser, seconds: int) -> None:
    """Make the browser's session as old as if nobody had clicked for some seconds."""
    sessions = Sessions(browser.house.office)
    now = sessions.written(SimpleNamespace(cookies=dict(browser.http.cookies)))  # type: ignore[arg-type]
    assert now is not None
    old = msgspec.structs.replace(now, seen_s=now.seen_s - seconds)
    (cookie,) = (one for one in browser.http.cookies.jar if one.name == sessions.name)
    cookie.value = str(sessions.cookie(old).value)


def test_a_question_that_lay_too_long_comes_back_filled_and_goes_on(house: House, browser: Browser) -> None:
    """The visitor's session ended in the middle of a report: the same question, what was typed, a sentence; then the seal."""
    holder = settle(house)
    browser.go("/report").send().send(kind="cn-resident")
    asked = browser.path
    _age(browser, LIMITS["visitor"].idle_s)
    browser.send(number=holder.number)
    assert browser.path == asked
    assert "What you typed is here again" in browser.text
    assert f'value="{holder.number}"' in browser.page.text
    browser.send(number=holder.number).send(name=holder.name).send(what="lost", when=TODAY).send(contact="")
    assert "It can no longer be used" in browser.text
    assert house.ask(holder.fields)["outcome"] == "STOP"


def test_a_holders_form_that_lay_too_long_comes_back_after_login(house: House, browser: Browser) -> None:
    """The citizen's session ended over a statement: after the login it stands there again, and nothing was sent."""
    holder = settle(house)
    house.report(holder.fields)
    address = f"/my/documents/{holder.document}/dispute"
    browser.log_in(holder).go(address)
    _age(browser, LIMITS["citizen"].idle_s)
    browser.send(ground="not_lost", statement="It lies on my table.")
    assert browser.path == "/my/sign-in"
    assert "what you typed is kept for you" in browser.text
    browser.log_in(holder)
    assert browser.path == address
    assert "What you typed is here again" in browser.text
    assert "It lies on my table." in browser.text
    assert house.ask(holder.fields)["status"]["code"] == "S10"


ZONE = "P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<L898902C36UTO7408122F1204159ZE184226B<<<<<10"


@pytest.mark.parametrize("pasted", [ZONE, f"{ZONE[:44]} {ZONE[44:]}".lower(), ZONE[:44] + "\r\n" + ZONE[44:]])
def test_a_pasted_zone_is_the_number(browser: Browser, pasted: str) -> None:
    """A whole machine-readable zone instead of the number, in one line or two: kind and number are read from it."""
    browser.go("/report").send().send(kind="cn-resident").send(number=pasted).send(name="Anna Eriksson")
    browser.send(what="lost", when=TODAY)
    assert "Is this right?" in browser.text
    assert re.search(r"Document Passport .* Number L898902C3 ", browser.text)
    assert "<<" not in browser.text


def test_a_damaged_zone_is_told_beside_the_number(browser: Browser) -> None:
    """Half of it: a sentence, and what was pasted stays."""
    browser.go("/report").send().send(kind="icao-9303/P").send(number=ZONE[:44])
    assert browser.page.request.method == "GET"  # after the error too: Back and reload send nothing again
    assert browser.path.endswith("/number")
    assert 'id="number-error"' in browser.page.text
    assert ZONE[:44] in unescape(browser.page.text)


@pytest.mark.parametrize("query", ["", "?code=x", "?code=x&state=y", "?error=access_denied&state=z"])
def test_a_way_back_that_was_not_begun_here_logs_nobody_in(house: House, browser: Browser, query: str) -> None:
    """Login forgery: without the cookie's state there is no session."""
    browser.go(BACK + query)
    assert browser.page.status_code == 400
    assert "not begun here" in browser.text
    assert browser.go("/my").path == "/my/sign-in"


def test_a_code_is_bound_to_the_browser_that_asked(house: House, browser: Browser) -> None:
    """A stolen code is worth nothing in another browser: state and PKCE verifier are not there."""
    holder = settle(house)
    browser.http.follow_redirects = False
    address = browser.http.get("/my/sign-in/go").headers["location"]
    browser.page = browser.http.get(address)
    people = json.loads((house.settings.home / "demo.json").read_text())["citizens"]
    place = [one["personal_number"] for one in people].index(holder.number)
    form = browser.form() | {"place": str(place), "how": "strong"}
    back = browser.http.post("/demo/idp/authorize", data=form).headers["location"]
    thief = Browser(house)
    thief.page = thief.http.get(back)
    assert thief.page.status_code == 400
    mixed = back.replace("iss=", "iss=https%3A%2F%2Fother.test%2F&x=")
    assert "does not hold" in browser.http.get(mixed).text


def test_too_many_tries_are_stopped_and_say_what_to_do(house: House) -> None:
    """Guessing names on one number ends after a few tries, from whichever browser."""
    holder = settle(house)
    browser = Browser(house)
    for _ in range(7):
        report(browser, holder, name="李雷")
    assert "too many tries" in browser.text
    assert "Wait a while" in browser.text


def test_without_a_demo_there_is_neither_outbox_nor_provider(tmp_path: Path) -> None:
    """The demo's open doors exist in a demo alone; a register that no demo made refuses to be one."""
    plain: Any = SimpleNamespace(settings=Settings(home=tmp_path))
    with pytest.raises(NotFound):
        asyncio.run(account.outbox(plain, None))  # type: ignore[arg-type]
    with pytest.raises(UnsafeSettings, match="demo"):
        doors(SimpleNamespace(settings=Settings(home=tmp_path, demo=True)))  # type: ignore[arg-type]


def test_every_sign_in_of_one_person_ends_at_once(house: House, browser: Browser) -> None:
    """A device that is gone is signed out from another one; nobody else is."""
    holder, neighbour = settle(house), settle(house)
    gone, here, beside = Browser(house).log_in(holder), browser.log_in(holder), Browser(house).log_in(neighbour)
    for one in (gone, here, beside):
        assert one.go("/my/contacts").path == "/my/contacts"
    here.send("/sign-out", everywhere="yes")
    assert gone.go("/my/contacts").path == "/my/sign-in"
    assert here.go("/my/contacts").path == "/my/sign-in"
    assert beside.go("/my/contacts").path == "/my/contacts"
