"""The session cookie: only what the register signed is a session, and it ends when its time is over."""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import httpx
import msgspec
import pytest
from joserfc.util import urlsafe_b64decode, urlsafe_b64encode
from litestar import Request

from annul.registry.writing.pen import KEPT_S
from annul.web.door.session import Session, Sessions
from tests.web.conftest import House

NOW_S = 1_800_000_000


class Front:
    """What sessions need of an office: a key, a clock, whether the address is https."""

    def __init__(self, key: bytes = b"session key of a test, 32 bytes.", *, https: bool = False) -> None:
        self.now_s = NOW_S
        self.keys = SimpleNamespace(session=key)
        self.settings = SimpleNamespace(https=https)

    def now_us(self) -> int:
        """Return the time."""
        return self.now_s * 1_000_000


def sessions_of(front: Front) -> Sessions:
    """Return the reader and writer of cookies."""
    office: Any = front
    return Sessions(office)


def request(sessions: Sessions, value: str) -> Request[Any, Any, Any]:
    """Return a request with a cookie, as it comes from a browser."""
    cookie = f"{sessions.name}={value}".encode()
    return Request({"type": "http", "method": "GET", "path": "/", "headers": [(b"cookie", cookie)], "query_string": b""})  # type: ignore[arg-type]


def session(**more: Any) -> Session:
    """Return an officer's session."""
    said: dict[str, Any] = {"kind": "officer", "officer": "police/0417", "began_s": NOW_S, "seen_s": NOW_S}
    return Session(**{"id": "an id", "csrf": "a token"} | said | more)


def value_of(sessions: Sessions, held: Session) -> str:
    """Return what the browser keeps."""
    value = sessions.cookie(held).value
    assert value
    return value


CHANGES: list[dict[str, Any]] = [
    {"officer": "police/0001"},
    {"officer": "supervisor/3"},
    {"kind": "citizen", "person": 7},
    {"kind": "clerk", "key_id": "k", "clerk": "C-1"},
    {"realm": "test"},
    {"person": 9},
    {"strength": "strong"},
    {"seen_s": NOW_S + 60},
    {"csrf": "another"},
]
"""What a thief would like to be."""


@pytest.mark.parametrize("changed", CHANGES, ids=str)
@pytest.mark.parametrize("mac", ["of another session", "of another register", "short", "zeros", "none", "of the changed text"])
def test_a_well_formed_session_with_a_wrong_signature_is_none(changed: dict[str, Any], mac: str) -> None:
    """The text is a good session in every member; only the register's key over this very text makes it one."""
    ours, theirs = sessions_of(Front()), sessions_of(Front(b"another session key of 32 bytes."))
    genuine = value_of(ours, session())
    body, _, signature = genuine.partition(".")
    wanted = urlsafe_b64encode(msgspec.json.encode(session(**changed))).decode()
    assert wanted != body
    forged = {
        "of another session": signature,
        "of another register": value_of(theirs, session(**changed)).partition(".")[2],
        "short": value_of(ours, session(**changed)).partition(".")[2][:-4],
        "zeros": urlsafe_b64encode(bytes(32)).decode(),
        "none": "",
        "of the changed text": urlsafe_b64encode(hmac.digest(b"", wanted.encode(), "sha256")).decode(),
    }[mac]
    for value in (f"{wanted}.{forged}", f"{wanted}.{forged}."):
        assert ours.read(request(ours, value)) is None
        assert ours.written(request(ours, value)) is None
    assert ours.read(request(ours, genuine)) == session()


@pytest.mark.parametrize("value", ["", ".", "a.b", "e30.", "é", "." * 40])
def test_rubbish_is_no_session(value: str) -> None:
    """Nor an error: the visitor begins anew."""
    sessions = sessions_of(Front())
    assert sessions.read(request(sessions, value)) is None


def test_what_is_signed_and_no_session_is_none() -> None:
    """A signature of ours over something else, from an older version say, is not taken for a session."""
    sessions = sessions_of(Front())
    for text in (b"[]", b"{}", b'{"id": 3}', b"\xff"):
        body = urlsafe_b64encode(text).decode()
        value = f"{body}.{urlsafe_b64encode(sessions._mac(body)).decode()}"
        assert sessions.read(request(sessions, value)) is None


TIMES: list[tuple[str, int, int]] = [
    ("visitor", 7_200, 28_800),
    ("clerk", 14_400, 43_200),
    ("officer", 1_800, 36_000),
    ("citizen", 900, 7_200),
]
"""Kind, seconds without a click, seconds in any case: as the guide tells them, not as the program holds them."""


@pytest.mark.parametrize(("kind", "idle_s", "whole_s"), TIMES)
def test_a_session_ends_without_a_click_and_in_any_case(kind: str, idle_s: int, whole_s: int) -> None:
    """To the second; its genuine cookie still tells whose form was lost. The cookie itself lives as long."""
    front = Front()
    sessions = sessions_of(front)
    idle = session(kind=kind)
    assert sessions.cookie(idle).max_age == whole_s
    for held, ends in ((idle, idle_s), (session(kind=kind, seen_s=NOW_S + whole_s), whole_s)):
        value = value_of(sessions, held)
        for at, alive in ((ends - 1, True), (ends, False), (ends + 1, False)):
            front.now_s = NOW_S + at
            assert (sessions.read(request(sessions, value)) is not None) is alive, at
        assert sessions.written(request(sessions, value)) == held


def test_the_cookie_is_kept_from_scripts_and_other_sites() -> None:
    """Under https it is bound to the host and never sent in clear. Source: RFC 6265bis, section 4.1.3.2."""
    plain, secure = (sessions_of(Front(https=https)).cookie(session()) for https in (False, True))
    assert (plain.key, secure.key) == ("annul", "__Host-annul")
    assert (bool(plain.secure), secure.secure) == (False, True)
    for cookie in (plain, secure):
        assert (cookie.httponly, cookie.samesite, cookie.path, cookie.domain) == (True, "lax", "/", None)
        assert "HttpOnly" in cookie.to_header()
    assert "Secure" in secure.to_header()


def test_a_cookie_of_the_other_name_is_no_session() -> None:
    """Under https the unbound name, which any page of the host's neighbours could set, is not read."""
    secure = sessions_of(Front(https=True))
    value = value_of(secure, session())
    asked = request(secure, value)
    asked.scope["headers"] = [(b"cookie", f"annul={value}".encode())]
    assert secure.read(Request(asked.scope)) is None


def test_the_end_of_a_session_clears_the_cookie() -> None:
    """Empty, at once, under the same name and path."""
    gone = sessions_of(Front(https=True)).gone()
    assert (gone.key, gone.value, gone.max_age, gone.path) == ("__Host-annul", "", 0, "/")


def test_answers_are_kept_seven_days_for_their_key() -> None:
    """As docs/api.md promises."""
    assert KEPT_S == 604_800


# -- at the doors ------------------------------------------------------------------------------------------------------------


def tokens(page: httpx.Response) -> dict[str, str]:
    """Return the hidden tokens of the first form."""
    found = re.search(r'name="csrf" value="([^"]+)"><input type="hidden" name="once" value="([^"]+)"', page.text)
    assert found, page.text
    return {"csrf": found[1], "once": found[2]}


def sign_in(browser: httpx.Client, house: House, clerk: str = "C-17") -> str:
    """Sign a clerk in and return the cookie."""
    data = tokens(browser.get("/counter/sign-in")) | {"key": house.keys["bank"], "clerk": clerk, "branch": "0421"}
    assert browser.post("/counter/sign-in", data=data).status_code == 303
    return browser.cookies["annul"]


@pytest.mark.parametrize(
    "change",
    [
        lambda held: msgspec.structs.replace(held, clerk="C-99"),
        lambda held: msgspec.structs.replace(held, kind="officer", officer="police/0417"),
        lambda held: msgspec.structs.replace(held, kind="citizen", person=1, strength="strong"),
        lambda held: msgspec.structs.replace(held, id=held.id + "x"),
    ],
    ids=["another clerk", "an officer", "a citizen", "another session"],
)
def test_a_clerks_cookie_made_into_another_opens_no_page(change: Callable[[Session], Session], house: House) -> None:
    """Well formed, with the signature of the clerk's own: every door asks to sign in."""
    with house.client(headers={"accept": "text/html"}) as browser:
        body, _, signature = sign_in(browser, house).partition(".")
    held = msgspec.json.decode(urlsafe_b64decode(body.encode()), type=Session)
    forged = f"{urlsafe_b64encode(msgspec.json.encode(change(held))).decode()}.{signature}"
    with house.client(headers={"accept": "text/html"}, cookies={"annul": forged}) as thief:
        for page in ("/counter", "/desk", "/my"):
            answer = thief.get(page)
            assert (answer.status_code, answer.headers["location"]) == (303, f"{page}/sign-in")


def test_signing_in_anew_ends_the_session_before(house: House) -> None:
    """The cookie of before, copied or kept in another window, opens nothing any more."""
    with house.client(headers={"accept": "text/html"}) as browser:
        before = sign_in(browser, house)
        after = sign_in(browser, house, clerk="C-18")
        assert browser.get("/counter").status_code == 200
    assert before != after
    with house.client(headers={"accept": "text/html"}, cookies={"annul": before}) as old:
        assert old.get("/counter").headers["location"] == "/counter/sign-in"
