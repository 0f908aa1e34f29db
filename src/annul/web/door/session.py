"""Keep who sits at a page: one session cookie for people, and the sitting of one request.

The cookie, which is signed, says who sits there; the register's book of sessions says whether it still holds: signing out ends
every copy. A session ends after an idle and an absolute time. When that happens in the middle of a form, what was typed is
kept, sealed, and given back to the same person after signing in again (`registry.sessions`).

Source: OWASP Session Management and CSRF Prevention (synchroniser token, SameSite, Fetch Metadata).
"""

from __future__ import annotations

import hmac
import secrets
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import msgspec
from joserfc.util import urlsafe_b64decode, urlsafe_b64encode
from litestar import Request
from litestar.datastructures import Cookie

from annul.times import SECOND_US
from annul.web.door.tokens import derived_key

if TYPE_CHECKING:
    from annul.web.door.office import Office

LAST_MAX: Final = 5
"""Outcomes the counter page remembers (in the cookie: time and outcome, nothing of the document)."""

SEEN_EVERY_S: Final = 60
"""How often the cookie notes that its holder is still there."""

BACK_MAX: Final = 300
"""Longest address a sign-in returns to."""

Kind = Literal["visitor", "clerk", "officer", "citizen"]


class Limits(NamedTuple):
    """Seconds after which a session ends: without a click, and in any case."""

    idle_s: int
    whole_s: int


LIMITS: Final[dict[str, Limits]] = {
    "visitor": Limits(2 * 3600, 8 * 3600),
    "clerk": Limits(4 * 3600, 12 * 3600),
    "officer": Limits(30 * 60, 10 * 3600),
    "citizen": Limits(15 * 60, 2 * 3600),
}
"""A clerk's working day with its pauses; a desk that is left alone for half an hour; a citizen at a borrowed computer.
Source: OWASP Session Management Cheat Sheet, session expiration."""

SIGN_IN: Final = {"clerk": "/counter/sign-in", "officer": "/desk/sign-in", "citizen": "/my/sign-in"}
HOMES: Final = {"visitor": "/", "clerk": "/counter", "officer": "/desk", "citizen": "/my"}


class Session(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Hold what the cookie says: signed, not secret, without personal data.

    Args:
        id: names the session; secret, the database knows its hash.
        csrf: token every form of this session carries.
        began_s, seen_s: seconds since the epoch.
        kind: who it is.
        key_id: the credential of a clerk or an officer: the key, or the officer's passkey.
        branch, terminal, clerk: who stands at the counter; part of every check.
        purpose: last purpose chosen at the counter.
        last: (time of day, outcome) of the last checks, newest first.
        officer: an officer's id, `PARTY/STAFF`; realm: of her credential.
        role, duties: as the gate last saw them; for the navigation alone, which shows and never admits.
        case, case_purpose: the case she works on: on top of every page, part of every search.
        person: a citizen's id in the register of persons.
        strength: how strongly a citizen has proved who it is: weak or strong.
        flash: a line that is shown once.
        refused: page whose form was sent and refused, and is shown with its errors.
        back: page to return to after signing in; back_for: as whom.
        draft: session under which a form was kept.
    """

    id: str
    csrf: str
    began_s: int
    seen_s: int
    kind: Kind = "visitor"
    key_id: str = ""
    branch: str = ""
    terminal: str = ""
    clerk: str = ""
    purpose: str = ""
    last: list[tuple[str, str]] = []
    officer: str = ""
    realm: str = "live"
    role: str = ""
    duties: list[str] = []
    case: str = ""
    case_purpose: str = ""
    person: int = 0
    strength: str = ""
    flash: str = ""
    refused: str = ""
    back: str = ""
    back_for: str = ""
    draft: str = ""

    @property
    def subject(self) -> str:
        """Return who this is, as the book of sessions has it."""
        return {"clerk": f"{self.key_id}/{self.clerk}", "officer": self.officer, "citizen": str(self.person)}.get(self.kind, "")

    @property
    def until_s(self) -> int:
        """Return when the session ends unless its holder clicks."""
        limits = LIMITS[self.kind]
        return min(self.seen_s + limits.idle_s, self.began_s + limits.whole_s)


class Sitting:
    """Begin, change and end the session of one request; what changed leaves as a cookie with the answer.

    Args:
        office: the assembled parts.
        session: what the cookie said and the book confirmed; None for a visitor without one.
    """

    def __init__(self, office: Office, session: Session | None) -> None:
        self._office = office
        self._sessions = Sessions(office)
        self._was = session
        self.session = session
        self.gone = False

    @property
    def csrf(self) -> str:
        """Return the token of this session's forms, beginning a visitor's session if there is none."""
        if self.session is None:
            self.session = self._sessions.fresh()
        return self.session.csrf

    def sent(self, csrf: str) -> bool:
        """Tell whether a form carries the token of this session."""
        return self.session is not None and hmac.compare_digest(self.session.csrf.encode(), csrf.encode())

    def change(self, **fields: Any) -> None:
        """Change fields of the session, beginning a visitor's session if there is none."""
        _ = self.csrf
        assert self.session is not None
        self.session = msgspec.structs.replace(self.session, **fields)

    async def enter(self, kind: Kind, **fields: Any) -> str:
        """Begin the session of somebody who has proved who it is, under a new id, and end the old one.

        Args:
            kind: clerk, officer or citizen.
            fields: of `Session`.

        Returns:
            The address to go on to: where the session was lost, else the kind's first page.
        """
        old, now_us = self.session, self._office.now_us()
        new = msgspec.structs.replace(self._sessions.fresh(), kind=kind, **fields)
        back = old.back if old is not None and old.back_for == kind else ""
        if old is not None and old.draft and back:
            owner = f"{kind}:{new.subject}"
            if await self._office.sessions.kept(old.draft, back.partition("?")[0], owner, now_us) is not None:
                new = msgspec.structs.replace(new, draft=old.draft)
        if old is not None and old.kind != "visitor":
            await self._office.sessions.end(old.id, now_us, "renewed")
        await self._office.sessions.begin(
            new.id, kind, new.subject, realm=new.realm, began_at_us=now_us, until_us=now_us + LIMITS[kind].whole_s * SECOND_US
        )
        self.session = new
        return back if back and back != SIGN_IN.get(kind) else HOMES[kind]

    async def leave(self, *, everywhere: bool = False) -> None:
        """End the session for every copy of its cookie; `everywhere` also all others of the same person."""
        if self.session is not None and self.session.kind != "visitor":
            sessions, now_us = self._office.sessions, self._office.now_us()
            if everywhere:
                await sessions.end_all(self.session.kind, self.session.subject, now_us)
            else:
                await sessions.end(self.session.id, now_us)
        self.session, self.gone = None, True

    def cookies(self) -> tuple[Cookie, ...]:
        """Return the cookie to set, if the session began, changed, ended, or has not noted its holder for a minute."""
        if self.session is None:
            return (self._sessions.gone(),) if self.gone else ()
        now_s = self._office.now_us() // SECOND_US
        if self.session == self._was and now_s - self.session.seen_s < SEEN_EVERY_S:
            return ()
        return (self._sessions.cookie(msgspec.structs.replace(self.session, seen_s=now_s)),)


class Sessions:
    """Write and read session cookies. A cookie that was changed or is too old is no session."""

    def __init__(self, office: Office) -> None:
        self._key = derived_key(office, b"sessions of people")
        self._now_us = office.now_us
        self._https = office.settings.https
        self.name = "__Host-annul" if office.settings.https else "annul"

    def fresh(self) -> Session:
        """Return a visitor's new session."""
        now_s = self._now_us() // SECOND_US
        return Session(id=secrets.token_urlsafe(24), csrf=secrets.token_urlsafe(24), began_s=now_s, seen_s=now_s)

    def written(self, request: Request[Any, Any, Any]) -> Session | None:
        """Return what a genuine cookie says, also when its time is over."""
        body, _, mac = request.cookies.get(self.name, "").partition(".")
        try:
            if not mac or not hmac.compare_digest(self._mac(body), urlsafe_b64decode(mac.encode())):
                return None
            return msgspec.json.decode(urlsafe_b64decode(body.encode()), type=Session)
        except (ValueError, msgspec.MsgspecError):
            return None

    def read(self, request: Request[Any, Any, Any]) -> Session | None:
        """Return the session of a request, None when there is none or its time is over."""
        session = self.written(request)
        return session if session is not None and session.until_s > self._now_us() // SECOND_US else None

    def cookie(self, session: Session) -> Cookie:
        """Return the cookie that carries a session."""
        body = urlsafe_b64encode(msgspec.json.encode(session)).decode()
        return self._cookie(f"{body}.{urlsafe_b64encode(self._mac(body)).decode()}", LIMITS[session.kind].whole_s)

    def gone(self) -> Cookie:
        """Return the cookie that ends a session."""
        return self._cookie("", 0)

    def _cookie(self, value: str, seconds: int) -> Cookie:
        # Lax, not Strict: the way back from a login provider and a link in a notice come from elsewhere; forms carry a token
        return Cookie(self.name, value=value, path="/", max_age=seconds, httponly=True, samesite="lax", secure=self._https)

    def _mac(self, body: str) -> bytes:
        return hmac.digest(self._key, body.encode(), "sha256")


def owner_of(session: Session) -> str:
    """Return who a kept form belongs to."""
    return f"{session.kind}:{session.subject}"
