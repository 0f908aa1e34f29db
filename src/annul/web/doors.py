"""Open the doors: mount the route table on the framework, and stand the check path in front of it.

One request passes: security headers and counting (`Doors`) -> route (Litestar) -> who may call, content type, size, strict
decoding (`_endpoint`) -> handler -> JSON. Every refusal on that way is a problem document (`door.problem`); people who
came with a browser to a page get the same words as a page.

Source: RFC 9110 (HEAD, 405 with Allow), OWASP Secure Headers.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import traceback
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

import msgspec
import multipart
from litestar import Litestar, Request, Response
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.response import Stream

from annul import logs, metrics
from annul.errors import AnnulError, BadInput, Forbidden, NotFound, TimedOut, TooLarge
from annul.registry.parties.parties import ROLES
from annul.web.door import pages, problem
from annul.web.door.auth import Credentials, SessionLost
from annul.web.door.call import PAGE_ROLES, Call, Reply, Route, idempotency_key
from annul.web.door.checkpath import HSTS, ASGIApp, CheckPath, Message, Receive, Scope, Send
from annul.web.door.session import BACK_MAX, SIGN_IN, Sitting, owner_of
from annul.web.routes import ROUTES

if TYPE_CHECKING:
    from annul.web.door.office import Office

BODY_TIMEOUT_S: Final = 30
"""Seconds a client may take to send its body; slower is cut off."""

FIELDS_MAX: Final = 400
"""Most fields of a form; the editor of the counter policy has some 330 when every box is ticked."""

QUERY_BYTES_MAX: Final = 4096
"""Longest query string; the longest true one is a cursor of some 200 bytes."""

SECURITY_HEADERS: Final = (
    (b"content-security-policy", pages.POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
)

_NUL: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
"""The escape of U+0000 in JSON: legal there, but no text of the register's database can hold it."""

_log = logs.get("web")


class Mounted:
    """Hold the framework with every route mounted; the office comes later.

    To mount takes a third of a second of a core, so it is done once, in the template of which workers are forked.

    Raises:
        AssertionError: a route does not declare who may call it.
    """

    office: Office
    credentials: Credentials

    def __init__(self) -> None:
        self.app: Any = Litestar(
            route_handlers=[_mount(route, self) for route in ROUTES if route.handler],
            exception_handlers={HTTPException: _failed, Exception: _failed},
            openapi_config=None,
            logging_config=None,
            debug=False,
        )
        _hold_declared(self.app)


def create_web(
    office: Office,
    *,
    beside: Mapping[str, ASGIApp] | None = None,
    mounted: Mounted | None = None,
    path: CheckPath | None = None,
) -> CheckPath:
    """Build the whole ASGI application of a worker: check path in front, every other route behind it.

    Args:
        office: the assembled parts; `checks` must be there.
        beside: applications of their own by the beginning of their addresses (the demo's identity provider).
        mounted: routes that wait for this office, for no other one; mounted now when not given.
        path: the check path, when it answers already; made now when not given.

    Raises:
        AssertionError: a route does not declare who may call it.
    """
    mounted = mounted or Mounted()
    mounted.office, mounted.credentials = office, Credentials(office)
    path = path or CheckPath(office)
    path.open(Doors(mounted.app, https=office.settings.https, beside=beside))
    return path


def _hold_declared(app: Any) -> None:
    """Refuse to start when a mounted address has not declared who may call it."""
    for mounted in app.routes:
        for handler in getattr(mounted, "route_handlers", ()):
            if handler.http_methods == {"OPTIONS"}:
                continue
            route = handler.opt.get("route")
            if not isinstance(route, Route) or not _is_declared(route):
                raise AssertionError(f"{mounted.path} does not declare who may call it")


def _is_declared(route: Route) -> bool:
    if route.who == "public":
        return True
    known = PAGE_ROLES if route.page else ROLES
    return isinstance(route.who, frozenset) and bool(route.who) and {who.partition("/")[0] for who in route.who} <= set(known)


class Doors:
    """Wrap the framework: security headers on every answer, HEAD from GET, 405 of fixed addresses, one count per request."""

    def __init__(self, app: ASGIApp, *, https: bool, beside: Mapping[str, ASGIApp] | None = None) -> None:
        self.app = app
        self.beside = dict(beside or {})
        self.headers = SECURITY_HEADERS + ((HSTS,) if https else ())
        self.fixed: dict[str, set[str]] = {}
        for route in ROUTES:
            if "{" not in route.path:
                self.fixed.setdefault(route.path, set()).add(route.method)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        for prefix, other in self.beside.items():
            if scope["path"].startswith(prefix + "/"):
                await other(scope, receive, send)
                return
        method = scope["method"]
        inner = dict(scope, method="GET") if method == "HEAD" else scope
        status = 500

        async def leave(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = list(message.get("headers", []))
                present = {bytes(name).lower() for name, _ in headers}
                headers += [pair for pair in self.headers if pair[0] not in present]
                if b"cache-control" not in present:
                    headers.append((b"cache-control", b"no-store"))
                message = {**message, "headers": headers}
            elif method == "HEAD" and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        allowed = self.fixed.get(scope["path"])
        if allowed and inner["method"] not in allowed and inner["method"] != "OPTIONS":
            await _send_problem(problem.WrongMethod(_NO_METHOD, allow=_allow(allowed)), leave)
        else:
            await self.app(inner, receive, leave)
        handler = inner.get("route_handler")
        route = handler.opt.get("route") if handler is not None else None
        template = route.path if route else "(none)"
        known = method if method in ("GET", "POST", "HEAD", "OPTIONS") else "(other)"
        metrics.REQUESTS.labels(template, known, str(status)).inc()


_NO_METHOD: Final = "This address does not take this method."


def _allow(methods: set[str]) -> str:
    names = methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())
    return ", ".join(sorted(names))


async def _send_problem(exc: AnnulError, send: Any) -> None:
    made = problem.problem_of(exc)
    headers = [(name.encode(), value.encode()) for name, value in made.headers.items()]
    body = made.body
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": made.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _mount(route: Route, mounted: Mounted) -> HTTPRouteHandler:
    """Turn one line of the table into a handler of the framework."""
    handler: Any = route.handler
    decoder = msgspec.json.Decoder(route.body) if route.body and not route.form else None
    patterns = {name: re.compile(pattern) for name, pattern in route.patterns.items()}

    async def endpoint(request: Request[Any, Any, Any]) -> Response[Any]:
        office, credentials = mounted.office, mounted.credentials
        path = {name: str(value).removeprefix("/") for name, value in request.path_params.items()}
        if route.page:
            return _response(await _paged(office, credentials, route, patterns, request, path), route)
        who = credentials.admit(request, route)
        _hold_patterns(patterns, path)
        query = _query(request, route)
        key = idempotency_key(request.headers.get("idempotency-key")) if route.write else ""
        body: Any = None
        if route.form:
            values, _ = await _form(request, route)
            body = msgspec.convert(values, route.body, strict=False) if route.body else values
        elif decoder is not None:
            raw = await _body(request, "application/json")
            try:
                body = decoder.decode(raw)
            except UnicodeDecodeError:
                raise BadInput("The body is not JSON in UTF-8.", mend="Send one JSON object in UTF-8.") from None
            if _NUL.search(raw):
                raise BadInput("A text holds the character U+0000.", where="/", mend="Send texts without it.")
        answer = await handler(office, Call(request, who, path, query, body, key))
        return _response(answer, route)

    endpoint.__name__ = route.name
    framework_path = re.sub(r"\{(\w+)\}", r"{\1:str}", route.path)
    return HTTPRouteHandler(
        framework_path,
        http_method=route.method,
        opt={"route": route},
        status_code=route.status,
        request_max_body_size=route.body_bytes_max,
        include_in_schema=False,
    )(endpoint)


def _hold_patterns(patterns: dict[str, re.Pattern[str]], path: dict[str, str]) -> None:
    for name, pattern in patterns.items():
        if not pattern.fullmatch(path[name]):
            raise NotFound("There is no such thing here.")


async def _paged(
    office: Office, credentials: Credentials, route: Route, patterns: dict[str, re.Pattern[str]],
    request: Request[Any, Any, Any], path: dict[str, str],
) -> Reply:  # fmt: skip
    """Answer a page: session, role, form with its tokens, handler; then the cookie, if the session changed."""
    handler: Any = route.handler
    if request.url.path.startswith("/static/"):
        _hold_patterns(patterns, path)
        static: Reply = await handler(office, Call(request, None, path, None, None, ""))
        return static
    _hold_same_site(request, route)
    sitting = await credentials.sit(request)
    request.scope["state"]["sitting"] = sitting
    try:
        admitted = await credentials.admit_person(sitting, route)
    except SessionLost as lost:
        return await _to_sign_in(office, credentials, route, request, sitting, lost.kind)
    _hold_patterns(patterns, path)
    query = _query(request, route)
    body: Any = None
    key = ""
    if route.form:
        values, files = await _form(request, route)
        csrf, key = values.pop("csrf", ""), idempotency_key(values.pop("once", None) or None)
        if not route.open and not sitting.sent(csrf):
            return await _again(office, credentials, request, sitting, values)
        if route.write and not key:
            raise BadInput("The form has lost the token that keeps it from being sent twice.", mend="Open the page again.")
        body = msgspec.convert({**values, **files}, route.body, strict=False) if route.body else {**values, **files}
    kept = await _kept(office, route, request, sitting)
    call = Call(request, admitted.who, path, query, body, key, sitting, admitted.officer, kept)
    reply: Reply = await handler(office, call)
    draft = sitting.session.draft if sitting.session is not None else ""
    if route.form and draft and reply.status < 400:
        await office.sessions.forget(draft, request.url.path)
    return replace(reply, cookies=(*reply.cookies, *sitting.cookies()))


def _hold_same_site(request: Request[Any, Any, Any], route: Route) -> None:
    """Refuse a form another site sends. Source: W3C Fetch Metadata; browsers before it are held by the form's token."""
    if route.method == "POST" and request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise Forbidden("The form was not sent by a page of this site.", mend="Open the page here, and send it from there.")


async def _to_sign_in(
    office: Office, credentials: Credentials, route: Route, request: Request[Any, Any, Any], sitting: Sitting, kind: str
) -> Reply:
    """Send somebody to the sign-in page, and remember where to come back to and what was typed."""
    owner = credentials.lost_owner(request)
    back = request.url.path
    if route.method == "GET" and request.scope.get("query_string"):
        back += "?" + request.scope["query_string"].decode("ascii", "ignore")
    back = back if len(back) <= BACK_MAX and (route.method == "GET" or _is_page(request.url.path)) else ""
    sitting.change(back=back, back_for=kind)  # somebody signed in otherwise stays so until the new sign-in
    if route.form and owner is not None and back:
        with contextlib.suppress(AnnulError):  # what is no form is not kept; the way to sign in stays
            values, _ = await _form(request, route)
            await _keep(office, sitting, back, owner, values)
    return Reply(b"", pages.HTML, 303, {"location": SIGN_IN[kind]}, sitting.cookies())


async def _again(
    office: Office, credentials: Credentials, request: Request[Any, Any, Any], sitting: Sitting, values: dict[str, str]
) -> Reply:
    """Show a form again whose session was renewed in between, with what was typed; refuse one that never had a session."""
    owner = credentials.lost_owner(request)
    if owner is None or not _is_page(request.url.path):
        raise Forbidden("The form is not of this session.", mend="Open the page again and send the form once more.")
    if sitting.session is None or owner_of(sitting.session) == owner:
        await _keep(office, sitting, request.url.path, owner, values)
    return Reply(b"", pages.HTML, 303, {"location": request.url.path}, sitting.cookies())


async def _keep(office: Office, sitting: Sitting, path: str, owner: str, values: dict[str, str]) -> None:
    typed = {name: text for name, text in values.items() if name not in ("csrf", "once", "key", "password")}
    _ = sitting.csrf
    assert sitting.session is not None
    await office.sessions.keep(sitting.session.id, path, owner, msgspec.json.encode(typed), office.now_us())
    sitting.change(draft=sitting.session.id)


async def _kept(office: Office, route: Route, request: Request[Any, Any, Any], sitting: Sitting) -> dict[str, str]:
    """Return what was typed into this page before its session was lost."""
    session = sitting.session
    if session is None or not session.draft or route.method != "GET":
        return {}
    kept = await office.sessions.kept(session.draft, request.url.path, owner_of(session), office.now_us())
    return {} if kept is None else msgspec.json.decode(kept, type=dict[str, str])


@cache
def _page_addresses() -> list[re.Pattern[str]]:
    pages_shown = [route for route in ROUTES if route.page and route.method == "GET"]
    return [re.compile("".join(_pattern(part, route) for part in _PARTS.split(route.path))) for route in pages_shown]


_PARTS: Final = re.compile(r"(\{\w+\})")


def _pattern(part: str, route: Route) -> str:
    return f"(?:{route.patterns.get(part[1:-1], '[^/]+')})" if part.startswith("{") else re.escape(part)


def _is_page(path: str) -> bool:
    """Tell whether GET of this address shows a page: then a sign-in may return there."""
    return any(pattern.fullmatch(path) for pattern in _page_addresses())


def _response(answer: Any, route: Route) -> Response[Any]:
    if isinstance(answer, Reply):
        media = answer.media.removesuffix("; charset=utf-8") if answer.media.startswith("text/") else answer.media
        if not isinstance(answer.body, bytes):
            return Stream(
                answer.body, media_type=media, status_code=answer.status, headers=answer.headers, cookies=list(answer.cookies)
            )
        return Response(
            answer.body, media_type=media, status_code=answer.status, headers=answer.headers, cookies=list(answer.cookies)
        )
    return Response(msgspec.json.encode(answer), media_type="application/json", status_code=route.status)


def _query(request: Request[Any, Any, Any], route: Route) -> Any:
    raw = request.scope.get("query_string", b"")
    if len(raw) > QUERY_BYTES_MAX:
        raise BadInput("The query is too long.", where="?", mend=f"Send at most {QUERY_BYTES_MAX} bytes.")
    if route.query is None:
        return None
    values: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name in values:
            raise BadInput("A parameter is given twice.", where="?")
        values[name] = value
    try:
        return msgspec.convert(values, route.query, strict=False)
    except msgspec.ValidationError as refused:
        made = problem.bad_input(refused)
        raise BadInput(made.message, where=f"?{(made.where or '').strip('/')}") from None


async def _body(request: Request[Any, Any, Any], media: str) -> bytes:
    """Read the body of the one media type the route reads, within its size and time."""
    sent = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if sent != media:
        raise problem.WrongMediaType(f"The body must be {media}.", where="Content-Type", mend=f"Send {media}.")
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await request.body()
    except TimeoutError:
        raise TimedOut("The body did not arrive in time.") from None


async def _form(request: Request[Any, Any, Any], route: Route) -> tuple[dict[str, str], dict[str, bytes]]:
    """Read a form: its texts, and its files when the route takes any.

    Raises:
        BadInput: not a form, a field twice, or a NUL in a text.
    """
    files: dict[str, bytes] = {}
    if route.files:
        pairs = await _multipart(request, route, files)
    else:
        raw = await _body(request, "application/x-www-form-urlencoded")
        try:
            pairs = parse_qsl(raw.decode("utf-8"), keep_blank_values=True, max_num_fields=FIELDS_MAX, errors="strict")
        except ValueError:
            raise BadInput("The form cannot be read.", mend="Send application/x-www-form-urlencoded in UTF-8.") from None
    values: dict[str, Any] = {}
    lists = _lists(route.body)
    for name, text in pairs:
        if "\0" in text:
            raise BadInput("A field of the form holds the character U+0000.")
        if name in lists:
            values.setdefault(name, []).append(text)
        elif name in values:
            raise BadInput("A field of the form is given twice.")
        else:
            values[name] = text
    return values, files


@cache
def _lists(body: Any) -> frozenset[str]:
    """Return the fields of a form that may be sent several times: ticked boxes."""
    if body is None:
        return frozenset()
    fields = msgspec.structs.fields(body)
    return frozenset(field.name for field in fields if getattr(field.type, "__origin__", None) in (list, tuple))


async def _multipart(request: Request[Any, Any, Any], route: Route, files: dict[str, bytes]) -> list[tuple[str, str]]:
    """Read a form with files in memory: a picture of a card or a face never reaches the disk."""
    sent = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if sent != "multipart/form-data":
        raise problem.WrongMediaType(
            "The form must be multipart/form-data.", where="Content-Type", mend="Send multipart/form-data."
        )
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            raw = await request.body()
    except TimeoutError:
        raise TimedOut("The body did not arrive in time.") from None
    _, options = multipart.parse_options_header(request.headers.get("content-type", ""))
    pairs: list[tuple[str, str]] = []
    parts: list[tuple[multipart.MultipartSegment, bytearray]] = []
    try:
        with multipart.PushMultipartParser(options.get("boundary", ""), max_segment_count=FIELDS_MAX) as parser:
            for read in parser.parse(raw):
                if isinstance(read, multipart.MultipartSegment):
                    parts.append((read, bytearray()))
                elif read:
                    parts[-1][1].extend(read)
        for segment, content in parts:
            if segment.filename is None:
                pairs.append((segment.name, content.decode("utf-8")))
            elif segment.name in route.files and content:
                files[segment.name] = bytes(content)
    except (multipart.MultipartError, ValueError):
        raise BadInput("The form cannot be read.", mend="Send multipart/form-data in UTF-8.") from None
    return pairs


def _failed(request: Request[Any, Any, Any], exc: Exception) -> Response[bytes]:
    """Turn any exception behind the doors into a problem document, or into a page for people."""
    error = _translated(exc)
    made = problem.problem_of(error)
    handler = request.scope.get("route_handler")
    route = handler.opt.get("route") if handler is not None else None
    if made.status >= 500:
        frames = traceback.extract_tb(exc.__traceback__)
        stack = ", ".join(f"{frame.name} {frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in frames)
        address = route.path if route else ""
        _log.error("request failed", error=type(exc).__name__, code=made.code, route=address, stack=stack)
    wants_page = "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/v1/")
    if (route.page if route else wants_page) and made.status != 406:
        return _response(pages.problem_page(request, made), route or ROUTES[0])
    return Response(made.body, media_type=problem.MEDIA_TYPE, status_code=made.status, headers=made.headers)


def _translated(exc: Exception) -> Exception:
    if not isinstance(exc, HTTPException):
        return exc
    if exc.status_code == 404:
        return NotFound("There is no such thing here.")
    if exc.status_code == 405:
        methods = {name.strip() for name in (exc.headers or {}).get("allow", "").split(",")} - {""}
        return problem.WrongMethod(_NO_METHOD, allow=_allow(methods))
    if exc.status_code == 413:
        return TooLarge("The body is too large for this address.", mend="Send less in one request.")
    if exc.status_code == 403:
        return Forbidden("The request was not made from this page.")
    if exc.status_code < 500:
        return BadInput("The request cannot be read.")
    return exc
