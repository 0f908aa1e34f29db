"""Say who calls: API keys and access tokens for programs, a signed session cookie for clerks at the counter page.

Which roles may call a route stands in the route table alone; `Credentials.admit` applies it. Nothing here does I/O: credentials
are looked up in the snapshot of parties that the follower publishes, so a revoked key is refused from its position on.

Source: RFC 6750 (Bearer); OWASP Session Management and CSRF Prevention (synchroniser token, SameSite=Strict).
"""

from __future__ import annotations

import hmac
import secrets
from typing import TYPE_CHECKING, Any, Final

import msgspec
from joserfc.util import urlsafe_b64decode, urlsafe_b64encode
from litestar import Request
from litestar.datastructures import Cookie

from annul.errors import AnnulError, Forbidden, NotAuthorised
from annul.web.call import Route
from annul.web.oauth import AccessTokens, derived_key

if TYPE_CHECKING:
    from annul.registry.parties import Principal
    from annul.web.office import Office

TOKEN_MAX: Final = 4096
"""Longest bearer token that is looked at, in characters."""

SESSION_SECONDS: Final = 12 * 3600
"""Longest working day at a counter; after it the clerk signs in again."""

LAST_MAX: Final = 5
"""Outcomes the counter page remembers (in the cookie: time and outcome, nothing of the document)."""


class Credentials:
    """Turn a bearer into a principal and hold it against the roles of a route."""

    def __init__(self, office: Office) -> None:
        self._parties = office.parties
        self._tokens = AccessTokens(office)

    def principal(self, bearer: str) -> Principal:
        """Return who an API key or an access token stands for.

        Raises:
            NotAuthorised: unknown, revoked, expired or changed; which of these is not told.
        """
        if not bearer or len(bearer) > TOKEN_MAX or not bearer.isascii():
            raise NotAuthorised("The credential is not valid.")
        if bearer.count(".") == 2:
            return self._tokens.principal(bearer)
        return self._parties.principal(bearer)

    def admit(self, request: Request[Any, Any, Any], route: Route) -> Principal | None:
        """Let the caller in, or refuse.

        Returns:
            The principal; None where nobody is asked (public) or the page asks itself (counter).

        Raises:
            NotAuthorised: no credential, or one that does not work.
            Forbidden: the role may not call this route, or not with a credential for test data.
        """
        if route.who in ("public", "counter"):
            return None
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise NotAuthorised("This address needs a credential.")
        principal = self.principal(bearer.strip())
        if principal.role not in route.who:
            raise Forbidden(f"The role {principal.role} may not do this.", mend=f"It is for: {', '.join(sorted(route.who))}.")
        if route.live and principal.realm != "live":
            mend = "Parties and their keys need a live credential."
            raise Forbidden("A credential for test data may not do this.", mend=mend)
        return principal


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """Hold what the cookie of a counter says; it is signed, not secret, and names the key by its id only.

    Args:
        csrf: token every form of this session carries.
        until_s: end of the session, seconds since the epoch.
        key_id: the credential; "" before signing in.
        branch, terminal, clerk: who stands at the counter; part of every check.
        purpose: last purpose chosen.
        last: (time of day, outcome) of the last checks, newest first.
    """

    csrf: str
    until_s: int
    key_id: str = ""
    branch: str = ""
    terminal: str = ""
    clerk: str = ""
    purpose: str = ""
    last: list[tuple[str, str]] = []


class Sessions:
    """Write and read session cookies. A cookie that was changed or is too old is no session."""

    def __init__(self, office: Office) -> None:
        self._key = derived_key(office, b"counter sessions")
        self._now_us = office.now_us
        self._https = office.settings.https
        self.name = "__Host-annul" if office.settings.https else "annul"

    def fresh(self) -> Session:
        """Return an empty session with a token of its own."""
        return Session(csrf=secrets.token_urlsafe(32), until_s=self._now_us() // 1_000_000 + SESSION_SECONDS)

    def read(self, request: Request[Any, Any, Any]) -> Session | None:
        """Return the session of a request, None when there is none that holds."""
        body, _, mac = request.cookies.get(self.name, "").partition(".")
        try:
            if not mac or not hmac.compare_digest(self._mac(body), urlsafe_b64decode(mac.encode())):
                return None
            session = msgspec.json.decode(urlsafe_b64decode(body.encode()), type=Session)
        except (ValueError, msgspec.MsgspecError):
            return None
        return session if session.until_s > self._now_us() // 1_000_000 else None

    def cookie(self, session: Session) -> Cookie:
        """Return the cookie that carries a session."""
        body = urlsafe_b64encode(msgspec.json.encode(session)).decode()
        return self._cookie(f"{body}.{urlsafe_b64encode(self._mac(body)).decode()}", SESSION_SECONDS)

    def gone(self) -> Cookie:
        """Return the cookie that ends a session."""
        return self._cookie("", 0)

    def _cookie(self, value: str, seconds: int) -> Cookie:
        return Cookie(self.name, value=value, path="/", max_age=seconds, httponly=True, samesite="strict", secure=self._https)

    def _mac(self, body: str) -> bytes:
        return hmac.digest(self._key, body.encode(), "sha256")

    def hold(self, session: Session | None, csrf: str) -> Session:
        """Refuse a form that was not made by a page of this session.

        Raises:
            Forbidden: another site sent it, or the session has ended.
        """
        if session is None or not hmac.compare_digest(session.csrf.encode(), csrf.encode()):
            raise Forbidden("The form is not of this session.", mend="Open the page again and send the form once more.")
        return session


def signed_in(office: Office, session: Session | None) -> Principal | None:
    """Return the principal of a session, None when nobody is signed in or the key works no longer."""
    if session is None or not session.key_id:
        return None
    try:
        return office.parties.principal_of_key(session.key_id)
    except AnnulError:
        return None
