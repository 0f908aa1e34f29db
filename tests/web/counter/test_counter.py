"""The clerk's page without a browser: sessions, forms, and every outcome in words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import SimpleNamespace

import httpx
import msgspec
import pytest

from annul.records.check import SENTENCES
from annul.records.codes import Advice, Outcome, Purpose
from annul.web.counter.counter import CheckForm, fields_of
from annul.web.door import words
from annul.web.door.session import LIMITS, Sessions
from tests.web.conftest import House


@pytest.fixture
def browser(house: House) -> Iterator[httpx.Client]:
    """A browser without a session."""
    with house.client(headers={"accept": "text/html"}) as made:
        yield made


def _csrf(page: httpx.Response) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', page.text)
    assert found, page.text
    return found[1]


def _sign_in(browser: httpx.Client, key: str, **form: str) -> httpx.Response:
    csrf = _csrf(browser.get("/counter/sign-in"))
    data = {"csrf": csrf, "key": key, "clerk": "C-17", "branch": "0421", "terminal": "3"} | form
    return browser.post("/counter/sign-in", data=data)


def _check(browser: httpx.Client, **form: str) -> httpx.Response:
    return browser.post("/counter", data={"csrf": _csrf(browser.get("/counter"))} | form)


def _typed(document: dict[str, str]) -> str:
    return f"{document['series']} {document['number']}"


def test_nobody_sees_the_counter_without_signing_in(browser: httpx.Client) -> None:
    """The page sends to the sign-in form."""
    answer = browser.get("/counter")
    assert (answer.status_code, answer.headers["location"]) == (303, "/counter/sign-in")


def test_a_clerk_signs_in_checks_and_signs_out(house: House, browser: httpx.Client) -> None:
    """The whole day in one test: PASS, STOP, the last checks, the end."""
    good, bad = house.passport(), house.passport()
    house.report(bad)
    assert _sign_in(browser, house.keys["bank"]).headers["location"] == "/counter"
    passed = _check(browser, number=_typed(good))
    assert 'class="answer answer-PASS"' in passed.text
    stopped = _check(browser, number=_typed(bad))
    assert 'class="answer answer-STOP"' in stopped.text
    assert "Reported or locked" in stopped.text
    assert bad["number"] not in stopped.text
    last = stopped.text[stopped.text.index("Last checks") :]
    assert last.index("<span>STOP</span>") < last.index("<span>PASS</span>")
    assert browser.post("/sign-out", data={"csrf": _csrf(browser.get("/counter"))}).status_code == 303
    assert browser.get("/counter").headers["location"] == "/counter/sign-in"


def test_the_session_cookie_is_closed_to_scripts_and_other_sites(house: House, browser: httpx.Client) -> None:
    """HttpOnly, SameSite=Lax (a login provider sends people back); the key is not in it."""
    answer = _sign_in(browser, house.keys["bank"])
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=lax" in cookie.lower()
    assert house.keys["bank"] not in cookie


def test_a_form_of_another_site_is_refused(house: House, browser: httpx.Client) -> None:
    """Without the session's token nothing is checked and nobody is signed in or out."""
    assert browser.post("/counter/sign-in", data={"csrf": "x", "key": house.keys["bank"], "clerk": "1"}).status_code == 403
    _sign_in(browser, house.keys["bank"])
    for path, form in (("/counter", {"number": "4509 123456"}), ("/sign-out", {})):
        asked = {"sec-fetch-site": "cross-site"}
        assert browser.post(path, data={"csrf": "x"} | form, headers=asked).status_code == 403
    answer = browser.post("/counter", data={"csrf": "x", "number": "4509 123456"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/counter")
    assert "answer-" not in browser.get("/counter").text


def test_a_changed_cookie_is_no_session(house: House, browser: httpx.Client) -> None:
    """The cookie is signed."""
    _sign_in(browser, house.keys["bank"])
    value = browser.cookies["annul"]
    browser.cookies.set("annul", ("A" if value[0] != "A" else "B") + value[1:], domain="127.0.0.1")
    jar = httpx.Cookies({"annul": "A" + value[1:-4] + "AAAA"})
    with house.client(cookies=jar) as thief:
        assert thief.get("/counter").headers["location"] == "/counter/sign-in"


def test_a_session_ends_with_its_key(house: House, browser: httpx.Client) -> None:
    """A revoked key is refused at the next click, not at the end of the day."""
    issued = house.call("POST", "/v1/parties/bank/keys", "supervisor", json={}).json()
    _sign_in(browser, issued["token"])
    assert browser.get("/counter").status_code == 200
    house.call("POST", f"/v1/keys/{issued['id']}/revoke", "supervisor")
    assert browser.get("/counter").headers["location"] == "/counter/sign-in"


def test_a_session_ends_with_the_day(house: House) -> None:
    """An old cookie is no session although it is signed."""
    sessions = Sessions(house.office)
    now_s = house.office.now_us() // 1_000_000
    for began_s, seen_s in ((now_s - LIMITS["clerk"].whole_s, now_s), (now_s, now_s - LIMITS["clerk"].idle_s)):
        old = msgspec.structs.replace(sessions.fresh(), kind="clerk", began_s=began_s, seen_s=seen_s)
        with house.client(cookies={"annul": str(sessions.cookie(old).value)}) as browser:
            assert browser.get("/counter").headers["location"] == "/counter/sign-in"


def test_a_form_that_lay_over_the_pause_comes_back_after_signing_in(house: House, browser: httpx.Client) -> None:
    """The session ended by itself while the clerk typed: nothing is asked, nothing typed is lost, and a sentence says so."""
    _sign_in(browser, house.keys["bank"])
    csrf = _csrf(browser.get("/counter"))
    sessions = Sessions(house.office)
    now = sessions.written(SimpleNamespace(cookies=dict(browser.cookies)))  # type: ignore[arg-type]
    assert now is not None
    old = msgspec.structs.replace(now, seen_s=now.seen_s - LIMITS["clerk"].idle_s)
    (cookie,) = (one for one in browser.cookies.jar if one.name == sessions.name)
    cookie.value = str(sessions.cookie(old).value)
    lost = browser.post("/counter", data={"csrf": csrf, "number": "45 09 111222", "name": "张三"})
    assert lost.headers["location"] == "/counter/sign-in"
    assert "what you typed is kept for you" in browser.get("/counter/sign-in").text
    _sign_in(browser, house.keys["bank"])
    page = browser.get("/counter").text
    assert "What you typed is here again" in page
    assert 'value="45 09 111222"' in page
    assert 'value="张三"' in page
    assert "answer-" not in page


@pytest.mark.parametrize("key", ["", "live_00_00", "x" * 5000])
def test_a_wrong_key_is_told_beside_the_form(browser: httpx.Client, key: str) -> None:
    """The page comes back with the branch still filled in, and without the key."""
    answer = _sign_in(browser, key)
    assert answer.status_code == 400
    assert "There is a problem" in answer.text
    assert 'value="0421"' in answer.text


def test_a_test_key_shows_that_this_is_training(house: House, browser: httpx.Client) -> None:
    """Nobody takes a training screen for the real one."""
    _sign_in(browser, house.test_keys["bank"])
    assert "Training: test documents only" in browser.get("/counter").text


def test_a_typing_error_is_told_beside_its_field_and_kept(house: House, browser: httpx.Client) -> None:
    """The typed text stays in the form; the field is marked."""
    _sign_in(browser, house.keys["bank"])
    answer = _check(browser, number="hello")
    assert answer.status_code == 400
    assert "Choose the kind of document." in answer.text
    assert 'value="hello"' in answer.text


def test_a_malformed_number_is_an_answer_and_not_a_pass(house: House, browser: httpx.Client) -> None:
    """U33: read it again."""
    _sign_in(browser, house.keys["bank"])
    assert 'class="answer answer-REFER"' in _check(browser, number="110105194912310021").text


def test_no_answer_never_looks_like_a_pass(house: House, browser: httpx.Client) -> None:
    """A purpose outside the agreement: NO ANSWER, and the codes for the telephone."""
    _sign_in(browser, house.keys["bank"])
    answer = _check(browser, number=_typed(house.passport()), purpose="account-opening")
    assert "answer-PASS" in answer.text
    body = {"id": "no-quota", "name": "N", "role": "relying_party", "agreement": {"purposes": ["payment"], "per_day": 1}}
    house.call("POST", "/v1/parties", "supervisor", json=body)
    key = house.call("POST", "/v1/parties/no-quota/keys", "supervisor", json={}).json()["token"]
    _sign_in(browser, key)
    _check(browser, number=_typed(house.passport()))
    answer = _check(browser, number=_typed(house.passport()))
    assert 'class="answer answer-NO_ANSWER"' in answer.text
    assert "E91" in answer.text
    assert "answer-PASS" not in answer.text


def test_every_check_names_branch_terminal_and_clerk(house: House, browser: httpx.Client) -> None:
    """The account of a check says who stood there."""
    _sign_in(browser, house.keys["bank"], clerk="C-99")
    page = _check(browser, number=_typed(house.passport()), reference="counter-7")
    receipt = re.search(r'name="receipt" value="([^"]+)"', page.text)
    assert receipt
    proved = browser.post("/receipts/verify", data={"receipt": receipt[1].replace("&#34;", '"')})
    assert proved.status_code == 200
    assert 'class="seal"' in proved.text


@pytest.mark.parametrize(
    ("form", "fields"),
    [
        ({"number": "11010519491231002x", "valid_from": "2016-10-06"}, {"scheme": "cn-resident", "valid_from": "2016-10-06"}),
        ({"number": "4509 123456"}, {"scheme": "ru-internal", "series": "4509", "number": "123456"}),
        ({"number": "l898902c3", "kind": "icao-9303/P", "issuer": "uto"}, {"issuer": "UTO", "kind": "P"}),
        (
            {"mrz": "I<UTOD231458907<<<<<<<<<<<<<<<\n7408122F1204159UTO<<<<<<<<<<<6\nERIKSSON<<ANNA<MARIA<<<<<<<<<<"},
            {"scheme": "icao-9303"},
        ),
    ],
)
def test_the_kind_of_document_is_told_by_what_was_typed(form: dict[str, str], fields: dict[str, str]) -> None:
    """One box is enough for the usual documents."""
    read = fields_of(CheckForm(**form))
    assert {name: getattr(read, name) for name in fields} == fields


def test_every_code_has_its_words() -> None:
    """No outcome, advice or purpose reaches a screen without words."""
    assert set(words.WORDS) == {item.value for item in Outcome}
    assert set(words.NEXT) == {item.value for item in Advice}
    assert set(words.PURPOSES) == {item.value for item in Purpose}
    assert len(SENTENCES) >= len(Outcome)
