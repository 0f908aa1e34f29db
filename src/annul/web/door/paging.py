"""Answer pages: the session of the browser, the form's tokens, and what was typed when the session was lost in the middle.

A form that is refused is shown by GET, after a redirect: Back, reload and a second tab never ask to send it again.

A page passes: another site's form is refused -> session -> role and duty -> form with its tokens -> handler -> the cookie, if
the session changed. Who is not signed in goes to the sign-in page of those the page is for, and comes back to what was typed.

Source: W3C Fetch Metadata; RFC 9110 section 15.4.4 (303); OWASP Cross-Site Request Forgery Prevention (session's token).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import msgspec
from litestar import Request

from annul.errors import AnnulError, BadInput, Forbidden
from annul.web.door import clock, pages
from annul.web.door.auth import Credentials, SessionLost
from annul.web.door.call import Call, Reply, Route, idempotency_key
from annul.web.door.reading import form_of, query_of, require_patterns
from annul.web.door.session import BACK_MAX, SIGN_IN, Sitting, owner_of
from annul.web.door.words import _

if TYPE_CHECKING:
    from annul.web.door.office import Office

Asked = Request[Any, Any, Any]


_LOST: Final = _("You were signed out after a while without a click. Sign in again.")
_UNKEPT: Final = frozenset({"csrf", "once", "key", "password"})
"""Fields that are never kept: tokens and secrets."""
_DIRECT: Final = ("/counter", "/receipts/")
"""Pages that answer a refused form directly: they need no database, and a receipt's reader gets no cookie."""
_WITH_ERRORS: Final = "!"
"""Ends the name under which a refused form is kept, beside one whose session was lost."""


class _Refused(msgspec.Struct):
    typed: dict[str, Any]
    errors: dict[str, str]


class Paging:
    """Answer the pages of one worker.

    Args:
        office: the assembled parts.
        credentials: who may come in.
        shows_page: whether GET of an address shows a page, so that a sign-in may return there.
    """

    def __init__(self, office: Office, credentials: Credentials, shows_page: Callable[[str], bool]) -> None:
        self._office = office
        self._credentials = credentials
        self._shows_page = shows_page

    async def answer(self, route: Route, request: Asked, path: dict[str, str]) -> Reply:
        """Answer one page, or the form of one.

        Args:
            route: its line of the table.
            path: parameters of its address.

        Raises:
            AnnulError: whatever is wrong; the doors show it as a page.
        """
        handler: Any = route.handler
        if request.url.path.startswith("/static/"):
            require_patterns(route, path)
            static: Reply = await handler(self._office, Call(request, None, path, None, None, ""))
            return static
        _require_same_site(request, route)
        sitting = await self._credentials.sit(request)
        request.scope["state"]["sitting"] = sitting
        try:
            admitted = await self._credentials.admit_person(sitting, route)
        except SessionLost as lost:
            return await self._to_sign_in(route, request, sitting, lost.kind)
        require_patterns(route, path)
        query = query_of(request, route)
        body: Any = None
        key = ""
        if route.form:
            values, files = await form_of(request, route)
            csrf, key = values.pop("csrf", ""), idempotency_key(values.pop("once", None) or None)
            if not route.open and not sitting.sent(csrf):
                return await self._again(request, sitting, values)
            if route.write and not key:
                raise BadInput("The form has lost the token that keeps it from being sent twice.", mend="Open the page again.")
            body = msgspec.convert({**values, **files}, route.body, strict=False) if route.body else {**values, **files}
        kept = await self._kept(route, request, sitting)
        wrong: dict[str, str] = {}
        if not kept:
            kept, wrong = await self._refused(route, request, sitting)
        clock.with_zone(self._office.settings.time_zone)
        call = Call(request, admitted.who, path, query, body, key, sitting, admitted.officer, kept, wrong)
        reply: Reply = await handler(self._office, call)
        if route.method == "POST" and reply.refused is not None:
            reply = await self._after_redirect(request, sitting, reply)
        draft = sitting.session.draft if sitting.session is not None else ""
        if route.form and draft and reply.status < 400:
            await self._office.sessions.forget(draft, request.url.path)
        return replace(reply, cookies=(*reply.cookies, *sitting.cookies()))

    async def _to_sign_in(self, route: Route, request: Asked, sitting: Sitting, kind: str) -> Reply:
        """Send somebody to the sign-in page, and remember where to come back to and what was typed."""
        owner = self._credentials.lost_owner(request)
        back = request.url.path
        if route.method == "GET" and request.scope.get("query_string"):
            back += "?" + request.scope["query_string"].decode("ascii", "ignore")
        back = back if len(back) <= BACK_MAX and (route.method == "GET" or self._shows_page(request.url.path)) else ""
        sitting.change(back=back, back_for=kind)  # somebody signed in otherwise stays so until the new sign-in
        if route.method == "GET" and owner is not None and not owner.startswith("visitor:"):
            sitting.change(flash=pages.words(request).gettext(_LOST))
        if route.form and owner is not None and back:
            with contextlib.suppress(AnnulError):  # what is no form is not kept; the way to sign in stays
                values, _files = await form_of(request, route)
                await self._keep(sitting, back, owner, values)
        return Reply(b"", pages.HTML, 303, {"location": SIGN_IN[kind]}, sitting.cookies())

    async def _again(self, request: Asked, sitting: Sitting, values: dict[str, str]) -> Reply:
        """Show a form again whose session was renewed in between, with what was typed; refuse one that never had a session."""
        owner = self._credentials.lost_owner(request)
        if owner is None or not self._shows_page(request.url.path):
            raise Forbidden("The form is not of this session.", mend="Open the page again and send the form once more.")
        if sitting.session is None or owner_of(sitting.session) == owner:
            await self._keep(sitting, request.url.path, owner, values)
        return Reply(b"", pages.HTML, 303, {"location": request.url.path}, sitting.cookies())

    async def _after_redirect(self, request: Asked, sitting: Sitting, reply: Reply) -> Reply:
        """Show a refused form by GET of its page. A counter's does not wait for the database, and a script reads its answer."""
        form, path = reply.refused, request.url.path
        navigates = request.headers.get("sec-fetch-mode", "") == "navigate"
        if form is None or not navigates or path.startswith(_DIRECT) or not self._shows_page(path):
            return reply
        _ = sitting.csrf
        session = sitting.session
        assert session is not None
        typed = {name: value for name, value in form.values.items() if isinstance(value, str | list) and name not in _UNKEPT}
        kept = msgspec.json.encode(_Refused(typed, form.errors))
        try:
            await self._office.sessions.keep(session.id, path + _WITH_ERRORS, owner_of(session), kept, self._office.now_us())
        except AnnulError:  # the page itself says it all
            return reply
        sitting.change(refused=path)
        return Reply(b"", pages.HTML, 303, {"location": path})

    async def _refused(self, route: Route, request: Asked, sitting: Sitting) -> tuple[dict[str, Any], dict[str, str]]:
        """Return what was typed into this page and refused, and why; another page, or an act that goes through, ends it."""
        session, path = sitting.session, request.url.path
        if session is None or not session.refused or request.headers.get("sec-fetch-mode", "") != "navigate":
            return {}, {}
        if path != session.refused or route.method != "GET":
            sitting.change(refused="")
            return {}, {}
        kept = await self._office.sessions.kept(session.id, path + _WITH_ERRORS, owner_of(session), self._office.now_us())
        if kept is None:
            return {}, {}
        found = msgspec.json.decode(kept, type=_Refused)
        return found.typed, found.errors

    async def _keep(self, sitting: Sitting, path: str, owner: str, values: dict[str, str]) -> None:
        typed = {name: text for name, text in values.items() if name not in _UNKEPT}
        _ = sitting.csrf
        assert sitting.session is not None
        await self._office.sessions.keep(sitting.session.id, path, owner, msgspec.json.encode(typed), self._office.now_us())
        sitting.change(draft=sitting.session.id)

    async def _kept(self, route: Route, request: Asked, sitting: Sitting) -> dict[str, Any]:
        """Return what was typed into this page before its session was lost."""
        session = sitting.session
        if session is None or not session.draft or route.method != "GET":
            return {}
        kept = await self._office.sessions.kept(session.draft, request.url.path, owner_of(session), self._office.now_us())
        return {} if kept is None else msgspec.json.decode(kept, type=dict[str, str])


def _require_same_site(request: Asked, route: Route) -> None:
    """Refuse a form another site sends. Source: W3C Fetch Metadata; browsers before it are held by the form's token."""
    if route.method == "POST" and request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise Forbidden("The form was not sent by a page of this site.", mend="Open the page here, and send it from there.")
