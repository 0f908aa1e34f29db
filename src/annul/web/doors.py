"""Open the doors: mount the route table on the framework, and stand the check path in front of it.

One request passes: security headers and counting (`Doors`) -> route (Litestar) -> who may call, content type, size, strict
decoding (`_endpoint`) -> handler -> JSON. Every refusal on that way is a problem document from `annul.web.problem`; people who
came with a browser to a page get the same words as a page.

Source: RFC 9110 (HEAD, 405 with Allow), OWASP Secure Headers.
"""

from __future__ import annotations

import asyncio
import re
import traceback
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

import msgspec
from litestar import Litestar, Request, Response
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler

from annul import logs, metrics
from annul.errors import AnnulError, BadInput, Forbidden, NotFound, TimedOut, TooLarge
from annul.web import pages, problem
from annul.web.auth import Credentials
from annul.web.call import ROLES, Call, Reply, Route, idempotency_key
from annul.web.checkpath import ASGIApp, CheckPath, Message, Receive, Scope, Send
from annul.web.routes import ROUTES

if TYPE_CHECKING:
    from annul.web.office import Office

BODY_TIMEOUT_S: Final = 30
"""Seconds a client may take to send its body; slower is cut off."""

QUERY_BYTES_MAX: Final = 4096
"""Longest query string; the longest true one is a cursor of some 200 bytes."""

POLICY: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS: Final = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
)
HSTS: Final = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")

_NUL: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
"""The escape of U+0000 in JSON: legal there, but no text of the register's database can hold it."""

_log = logs.get("web")


def create_web(office: Office) -> ASGIApp:
    """Build the whole ASGI application of a worker: check path in front, every other route behind it.

    Args:
        office: the assembled parts; with `checks` None the check path is left out (tools that only administer).

    Raises:
        AssertionError: a route does not declare who may call it.
    """
    credentials = Credentials(office)
    app: Any = Litestar(
        route_handlers=[_mount(route, office, credentials) for route in ROUTES if route.handler],
        exception_handlers={HTTPException: _failed, Exception: _failed},
        openapi_config=None,
        logging_config=None,
        debug=False,
    )
    _hold_declared(app)
    doors = Doors(app, https=office.settings.https)
    if office.checks is None:
        return doors
    return CheckPath(office, doors)


def _hold_declared(app: Any) -> None:
    """Refuse to start when a mounted address has not declared who may call it."""
    for mounted in app.routes:
        for handler in getattr(mounted, "route_handlers", ()):
            if handler.http_methods == {"OPTIONS"}:
                continue
            route = handler.opt.get("route")
            named = isinstance(route, Route) and (
                route.who in ("public", "counter") or (bool(route.who) and set(route.who) <= set(ROLES))
            )
            if not named:
                raise AssertionError(f"{mounted.path} does not declare who may call it")


class Doors:
    """Wrap the framework: security headers on every answer, HEAD from GET, 405 of fixed addresses, one count per request."""

    def __init__(self, app: ASGIApp, *, https: bool) -> None:
        self.app = app
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


def _mount(route: Route, office: Office, credentials: Credentials) -> HTTPRouteHandler:
    """Turn one line of the table into a handler of the framework."""
    handler: Any = route.handler
    decoder = msgspec.json.Decoder(route.body) if route.body and not route.form else None
    patterns = {name: re.compile(pattern) for name, pattern in route.patterns.items()}

    async def endpoint(request: Request[Any, Any, Any]) -> Response[bytes]:
        who = credentials.admit(request, route)
        path = {name: str(value).removeprefix("/") for name, value in request.path_params.items()}
        for name, pattern in patterns.items():
            if not pattern.fullmatch(path[name]):
                raise NotFound("There is no such thing here.")
        query = _query(request, route)
        key = idempotency_key(request.headers.get("idempotency-key")) if route.write else ""
        body: Any = None
        if route.form:
            body = await _form(request, route)
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


def _response(answer: Any, route: Route) -> Response[bytes]:
    if isinstance(answer, Reply):
        return Response(
            answer.body,
            media_type=answer.media.removesuffix("; charset=utf-8") if answer.media.startswith("text/") else answer.media,
            status_code=answer.status,
            headers=answer.headers,
            cookies=list(answer.cookies),
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


async def _form(request: Request[Any, Any, Any], route: Route) -> Any:
    raw = await _body(request, "application/x-www-form-urlencoded")
    try:
        pairs = parse_qsl(raw.decode("utf-8"), keep_blank_values=True, max_num_fields=50, errors="strict")
    except ValueError:
        raise BadInput("The form cannot be read.", mend="Send application/x-www-form-urlencoded in UTF-8.") from None
    values = dict(pairs)
    if any("\0" in value for value in values.values()):
        raise BadInput("A field of the form holds the character U+0000.")
    if len(values) != len(pairs):
        raise BadInput("A field of the form is given twice.")
    return msgspec.convert(values, route.body, strict=False) if route.body else values


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
