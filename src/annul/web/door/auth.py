"""Say who may call: API keys and access tokens for programs, the session of their cookie for people.

Which roles may call a route, and with keys for what, stands in the route table alone; `Credentials` applies it. Programs are
looked up in the snapshot of parties that the follower publishes, so a revoked key is refused from its position on. People have
a session (`web.session`).

Source: RFC 6750 (Bearer).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from litestar import Request

from annul.errors import Forbidden, NotAuthorised, SourceDown
from annul.web.door.call import Route
from annul.web.door.session import Session, Sessions, Sitting, owner_of
from annul.web.door.tokens import AccessTokens

if TYPE_CHECKING:
    from annul.registry.parties.officers import Officer
    from annul.registry.parties.parties import Principal
    from annul.web.door.office import Office

TOKEN_MAX: Final = 4096
"""Longest bearer token that is looked at, in characters."""


class SessionLost(NotAuthorised):
    """Nobody (or somebody else) is signed in; `kind` says who is asked for, "visitor" for a form without its session."""

    def __init__(self, kind: str) -> None:
        super().__init__("Your session has ended, or you are not signed in.", mend="Sign in; what you typed is kept.")
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Admitted:
    """Hold who was let in: the principal a room acts for, and the officer of an officer's page."""

    who: Principal | None = None
    officer: Officer | None = None


class Credentials:
    """Turn a bearer or a session into somebody, and hold it against the roles of a route."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._parties = office.parties
        self._tokens = AccessTokens(office)
        self._sessions = Sessions(office)

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
        """Let a program in, or refuse.

        Returns:
            The principal; None where nobody is asked.

        Raises:
            NotAuthorised: no credential, or one that does not work.
            Forbidden: the role may not call this route, or not with a key for counters, or for test data.
        """
        if route.who == "public":
            return None
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise NotAuthorised("This address needs a credential.")
        principal = self.principal(bearer.strip())
        if principal.role not in route.who:
            raise Forbidden(f"The role {principal.role} may not do this.", mend=f"It is for: {', '.join(sorted(route.who))}.")
        _require_use(principal, route)
        if route.live and principal.realm != "live":
            mend = "Parties and their keys need a live credential."
            raise Forbidden("A credential for test data may not do this.", mend=mend)
        return principal

    async def sit(self, request: Request[Any, Any, Any]) -> Sitting:
        """Return the sitting of a page's request: the cookie's session if it holds."""
        session = self._sessions.read(request)
        if session is not None and session.kind != "visitor" and not await self._holds(session):
            session = None
        return Sitting(self._office, session)

    async def _holds(self, session: Session) -> bool:
        clerk = session.kind == "clerk"  # checks go on without the database, and so does the counter
        try:
            return await self._office.sessions.holds(session.id, self._office.now_us(), briefly=clerk)
        except SourceDown:
            if clerk:
                return True
            raise

    async def admit_person(self, sitting: Sitting, route: Route) -> Admitted:
        """Let a person in to a page, or refuse.

        Raises:
            SessionLost: nobody of the kind the page is for is signed in.
            Forbidden: the role, the duty or the key may not open this page.
        """
        session = sitting.session
        if route.who == "public":
            return Admitted()
        kinds = {role.partition(":")[0] for role in route.who}
        if session is None or session.kind not in kinds:
            raise SessionLost(min(kinds))
        if session.kind == "citizen":
            return Admitted()
        try:
            if session.kind == "clerk":
                clerk = self._parties.principal_of_key(session.key_id)
                sitting.change(role=clerk.role, duties=["policy"] if clerk.use == "all" else [])
                _require_use(clerk, route)
                return Admitted(clerk)
            if self._office.officers is None:
                raise SessionLost("officer")
            officer, principal = await self._office.officers.present(session.officer, session.key_id, session.realm)
        except NotAuthorised:
            raise SessionLost(session.kind) from None
        sitting.change(role=principal.role, duties=officer.duties)
        held = {f"officer:{principal.role}", *(f"officer:{principal.role}/{duty}" for duty in officer.duties)}
        if not held & set(route.who):
            raise Forbidden("This page is not for your role.", mend="Go back, or sign in as somebody whose duty it is.")
        return Admitted(principal, officer)

    def seen(self, request: Request[Any, Any, Any]) -> Sitting:
        """Return the sitting that the cookie alone says, for a page that shows nothing but its reader's way on."""
        return Sitting(self._office, self._sessions.read(request))

    def lost_owner(self, request: Request[Any, Any, Any]) -> str | None:
        """Return whose a genuine cookie was that holds no longer, None when there is none: its form may be kept."""
        session = self._sessions.written(request)
        return None if session is None else owner_of(session)


def _require_use(principal: Principal, route: Route) -> None:
    """Refuse a key that is for counters alone where the line of the route does not name its use."""
    if principal.use not in route.use:
        raise Forbidden("A counter's key may not do this.", mend="Sign in with a key of your head office.")
