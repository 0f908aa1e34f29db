"""Open the doors: mount the route table on the framework, and stand the check path in front of it.

One request passes: security headers and counting (`Doors`) -> route (Litestar) -> who may call, content type, size, strict
decoding (`_mount`, for people `door.paging`) -> handler -> JSON. Every refusal on that way is a problem document
(`door.problem`); people who came with a browser to a page get the same words as a page.

Source: RFC 9110 (HEAD, 405 with Allow), OWASP Secure Headers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import msgspec
from litestar import Litestar, Request, Response
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.response import Stream

from annul import logs, metrics
from annul.errors import AnnulError, BadInput, Forbidden, NotFound, TooLarge
from annul.records.references import require_marked
from annul.web.door import pages, problem
from annul.web.door.auth import Credentials
from annul.web.door.call import Call, Reply, Route, idempotency_key
from annul.web.door.checkpath import HSTS, ASGIApp, CheckPath, Message, Receive, Scope, Send
from annul.web.door.paging import Paging
from annul.web.door.readers import Readers
from annul.web.door.reading import form_of, json_of, lines_of, query_of, require_patterns
from annul.web.door.who import ANY, PAGE_ROLES

if TYPE_CHECKING:
    from annul.registry.answering.principals import Principal
    from annul.web.door.office import Office

SECURITY_HEADERS: Final = (
    (b"content-security-policy", pages.POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
)

_PARAMETER: Final = re.compile(r"(\{\w+\})")
CHECK_PAGES: Final = frozenset({"/counter", "/counter/queued"})
"""Pages whose form asks a check."""
NOT_HERE: Final = "There is no such thing here."
_NO_METHOD: Final = "This address does not take this method."

_log = logs.get("web")


class Mounted:
    """Hold the framework with every route mounted; the office comes later (`create_web`).

    To mount takes a third of a second of a core, so it is done once, in the template of which workers are forked.

    Args:
        routes: the table (`annul.web.routes.ROUTES`).

    Attributes:
        readers: lets a party's questions to the database follow one another.
        office, credentials, paging: the parts behind the routes, once there is an office.

    Raises:
        AssertionError: a route does not declare who may call it.
    """

    office: Office
    credentials: Credentials
    paging: Paging

    def __init__(self, routes: tuple[Route, ...]) -> None:
        self.routes = routes
        self.readers = Readers()
        self.app: Any = Litestar(
            route_handlers=[_mount(route, self) for route in routes if route.handler],
            exception_handlers={HTTPException: self._failed, Exception: self._failed},
            openapi_config=None,
            logging_config=None,
            debug=False,
        )
        _require_declared(self.app)

    def enter(self, office: Office) -> None:
        """Stand the parts of an office behind the routes; requests come only after that."""
        self.office, self.credentials = office, Credentials(office)
        self.paging = Paging(office, self.credentials, self.shows_page)

    def _failed(self, request: Request[Any, Any, Any], exc: Exception) -> Response[bytes]:
        """Turn any exception behind the doors into a problem document, or into a page for people."""
        made = problem.problem_of(_translated(exc))
        handler = request.scope.get("route_handler")
        route = handler.opt.get("route") if handler is not None else None
        if made.status >= 500:
            address = route.path if route else ""
            _log.error("request failed", error=type(exc).__name__, code=made.code, route=address, stack=logs.stack_of(exc))
        wants_page = "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/v1/")
        if (route.page if route else wants_page) and made.status != 406:
            sitting = request.scope.get("state", {}).get("sitting") or self.credentials.seen(request)
            is_check = route is not None and route.method == "POST" and route.path in CHECK_PAGES
            return _reply(pages.problem_page(request, made, sitting, is_check=is_check))
        return Response(made.body, media_type=problem.MEDIA_TYPE, status_code=made.status, headers=made.headers)

    def shows_page(self, path: str) -> bool:
        """Tell whether GET of this address shows a page: then a sign-in may return there."""
        return any(address.fullmatch(path) for address in self._pages)

    @cached_property
    def _pages(self) -> list[re.Pattern[str]]:
        shown = [route for route in self.routes if route.page and route.method == "GET"]
        return [re.compile("".join(_address(part, route) for part in _PARAMETER.split(route.path))) for route in shown]


def _address(part: str, route: Route) -> str:
    return f"(?:{route.patterns.get(part[1:-1], '[^/]+')})" if part.startswith("{") else re.escape(part)


def create_web(
    office: Office, mounted: Mounted, *, beside: Mapping[str, ASGIApp] | None = None, path: CheckPath | None = None
) -> CheckPath:
    """Build the whole ASGI application of a worker: check path in front, every other route behind it.

    Args:
        office: the assembled parts; `checks` must be there.
        mounted: the routes, which wait for this office and for no other one.
        beside: applications of their own by the beginning of their addresses (the demo's identity provider).
        path: the check path, when it answers already; made now when not given.
    """
    mounted.enter(office)
    path = path or CheckPath(office)
    path.leaving.append(office.feed.close)
    path.open(Doors(mounted, https=office.settings.https, beside=beside))
    return path


def _require_declared(app: Any) -> None:
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
    known = set(PAGE_ROLES) if route.page else ANY
    return isinstance(route.who, frozenset) and bool(route.who) and {who.partition("/")[0] for who in route.who} <= known


class Doors:
    """Wrap the framework: security headers on every answer, HEAD from GET, 405 of fixed addresses, one count per request."""

    def __init__(self, mounted: Mounted, *, https: bool, beside: Mapping[str, ASGIApp] | None = None) -> None:
        self.app: ASGIApp = mounted.app
        self.beside = dict(beside or {})
        self.headers = SECURITY_HEADERS + ((HSTS,) if https else ())
        self.fixed: dict[str, set[str]] = {}
        for route in mounted.routes:
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


def _allow(methods: set[str]) -> str:
    names = methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())
    return ", ".join(sorted(names))


async def _send_problem(exc: AnnulError, send: Any) -> None:
    made = problem.problem_of(exc)
    body = made.body
    headers = [*made.fields, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": made.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _mount(route: Route, mounted: Mounted) -> HTTPRouteHandler:
    """Turn one line of the table into a handler of the framework."""
    handler: Any = route.handler
    decoder = msgspec.json.Decoder(route.body) if route.body and not route.form else None

    async def endpoint(request: Request[Any, Any, Any]) -> Response[Any]:
        path = {name: str(value).removeprefix("/") for name, value in request.path_params.items()}
        if route.page:
            return _reply(await mounted.paging.answer(route, request, path))
        who = mounted.credentials.admit(request, route)
        if who is not None and route.method == "GET":
            async with mounted.readers.turn(who.id):
                return await answered(request, path, who)
        return await answered(request, path, who)

    async def answered(request: Request[Any, Any, Any], path: dict[str, str], who: Principal | None) -> Response[Any]:
        require_patterns(route, path)
        query = query_of(request, route)
        key = idempotency_key(request.headers.get("idempotency-key")) if route.write else ""
        body: Any = None
        if route.form:
            values, _ = await form_of(request, route)
            body = msgspec.convert(values, route.body, strict=False) if route.body else values
        elif route.lines is not None:
            body = await lines_of(request)
        elif decoder is not None:
            body = await json_of(request, decoder)
        require_marked(query)
        require_marked(body)
        answer = await handler(mounted.office, Call(request, who, path, query, body, key))
        if isinstance(answer, Reply):
            return _reply(answer)
        return Response(msgspec.json.encode(answer), media_type="application/json", status_code=route.status)

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


def _reply(answer: Reply) -> Response[Any]:
    media = answer.media.removesuffix("; charset=utf-8") if answer.media.startswith("text/") else answer.media
    more: Any = {"media_type": media, "status_code": answer.status, "headers": answer.headers, "cookies": list(answer.cookies)}
    return Response(answer.body, **more) if isinstance(answer.body, bytes) else Stream(answer.body, **more)


def _translated(exc: Exception) -> Exception:
    if not isinstance(exc, HTTPException):
        return exc
    if exc.status_code == 404:
        return NotFound(NOT_HERE)
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
