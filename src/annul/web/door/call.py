"""Define what a route is: who may call it, what it reads, what it answers. The table itself is `annul.web.routes.ROUTES`.

A handler is `async (office, call) -> Struct | Reply`. It gets the principal, the decoded body and the decoded query; it calls
one function of a room and returns a struct (sent as JSON) or a `Reply` (anything else). It never sees raw bytes and never
decides who may call it.

Programs are admitted by a credential and its role, people by the session of their cookie (`door.who`). A form
carries the session's token against other sites' forms and, where it changes something, one that may be used once: it arrives as
`Call.idempotency_key`, so that a double click, the back button and a second tab change nothing twice.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from litestar import Request
from litestar.datastructures import Cookie

from annul.errors import BadInput
from annul.registry.writing.act import KEY_CHARS_MAX
from annul.web.door.who import COUNTERS, FULL, Who

if TYPE_CHECKING:
    from annul.registry.answering.principals import KeyUse
    from annul.registry.parties.officers import Officer
    from annul.registry.parties.parties import Principal
    from annul.web.door.forms import Form
    from annul.web.door.office import Office
    from annul.web.door.session import Session, Sitting

BODY_BYTES_MAX: Final = 64 * 1024
"""Largest body of a route that does not say otherwise; a report with all its fields is under 8 KiB."""

WRITE_PROBLEMS: Final = ("conflict", "transition-refused", "not-yet-effective", "not-found")
"""What a route that changes a document's life can answer besides."""


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer with something else than a JSON struct.

    Args:
        body: bytes that leave, or an iterator of them (server-sent events).
        media: content type.
        status: HTTP status.
        headers: further headers, lower-case names.
        cookies: cookies to set.
        refused: the form that this page shows with its errors; the door may show it after a redirect instead.
    """

    body: bytes | AsyncIterator[bytes]
    media: str
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cookies: tuple[Cookie, ...] = ()
    refused: Form | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """Hold one request that has passed the door.

    Args:
        request: the framework's request (pages read cookies and languages from it).
        who: the authenticated caller, or None on public routes.
        path: path parameters by name.
        query: decoded query struct of the route, or None.
        body: decoded body struct of the route, or None.
        idempotency_key: the header's value, or the form's token that may be used once; "" when not sent.
        sitting: the session of a page's caller, which a page may begin, change and end; None for programs.
        officer: the officer of an officer's page, None elsewhere.
        kept: what was typed into this page's form and came back, by field: its session was lost, or it was refused.
        refused: what is wrong with it, by field, when it was refused.
    """

    request: Request[Any, Any, Any]
    who: Principal | None
    path: dict[str, str]
    query: Any
    body: Any
    idempotency_key: str
    sitting: Sitting | None = None
    officer: Officer | None = None
    kept: dict[str, Any] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)

    @property
    def seat(self) -> Sitting:
        """Return the sitting of a page."""
        if self.sitting is None:
            raise AssertionError("a program asked for its session")
        return self.sitting

    @property
    def session(self) -> Session:
        """Return the session of a page that is not public."""
        if self.seat.session is None:
            raise AssertionError("a public page asked for its session")
        return self.seat.session

    @property
    def principal(self) -> Principal:
        """Return the caller of a route that is not public."""
        if self.who is None:
            raise AssertionError("a public route asked for its caller")
        return self.who


Handler = Callable[["Office", Call], Awaitable[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Declare one route: one line of the table.

    Args:
        method: GET or POST.
        path: address with `{name}` parameters; `{name:path}` takes the rest.
        who: who may call it.
        handler: what answers; None when the check path in front of everything does.
        summary: one line for the API document.
        body: struct the JSON body must be; None when there is none.
        query: struct the query must be; None when there is none.
        returns: struct of the answer; None when it is not JSON (then `media` says what).
        status: status of success.
        media: content type of success.
        form: the body is a form (`application/x-www-form-urlencoded`, or `multipart/form-data` with `files`) instead of JSON.
        files: names of the form's fields that are files; each arrives as bytes.
        lines: struct of each line of an NDJSON body; the body arrives as it came, for a room that names the line it refuses.
        stream: the body is not read: the handler reads `call.request.stream()` and holds its own limit.
        write: the route changes something: it takes an Idempotency-Key, a page's form its token that may be used once.
        open: the page's form changes nothing and needs no session: it carries no tokens.
        ranges: a range of bytes may be asked for (RFC 9110, 14): 206, or 416 behind the end.
        problems: further problem codes it can answer, besides those its form implies.
        body_bytes_max: largest body.
        tag: heading in the API document.
        patterns: regular expression of each path parameter.
        page: the route is for people: errors are pages, and it is not in the API document.
        live: credentials for test data may not call: what it shows or changes belongs to live data too.
        use: what a key must be for; full keys alone when nothing is said. A page asks the key its clerk signed in with.
    """

    method: Literal["GET", "POST"]
    path: str
    who: Who
    handler: Handler | None
    summary: str
    body: Any = None
    query: type | None = None
    returns: Any = None
    status: int = 200
    media: str = "application/json"
    form: bool = False
    files: tuple[str, ...] = ()
    lines: type | None = None
    stream: bool = False
    open: bool = False
    write: bool = False
    ranges: bool = False
    problems: tuple[str, ...] = ()
    body_bytes_max: int = BODY_BYTES_MAX
    tag: str = ""
    patterns: dict[str, str] = field(default_factory=dict)
    page: bool = False
    live: bool = False
    use: frozenset[KeyUse] = FULL

    @property
    def name(self) -> str:
        """Return the operation's name: `post_v1_reports_id_confirm`."""
        words = self.path.replace("{", "").replace("}", "").replace(":path", "").replace(".", "_").replace("-", "_")
        return f"{self.method.lower()}{words.rstrip('/').replace('/', '_') or '_start'}"


def tagged(tag: str, *routes: Route) -> tuple[Route, ...]:
    """Return the routes of a topic under their heading in the API document."""
    return tuple(replace(route, tag=tag) for route in routes)


def at_counters(*routes: Route) -> tuple[Route, ...]:
    """Return these routes as what the keys of counters may call as well."""
    return tuple(replace(route, use=COUNTERS) for route in routes)


def get(path: str, who: Who, handler: Handler, summary: str, **more: Any) -> Route:
    """Declare what a program reads (GET)."""
    return Route(method="GET", path=path, who=who, handler=handler, summary=summary, **more)


def post(path: str, who: Who, handler: Handler | None, summary: str, **more: Any) -> Route:
    """Declare what a program sends (POST). `write=True`: it takes an Idempotency-Key."""
    return Route(method="POST", path=path, who=who, handler=handler, summary=summary, **more)


def write(path: str, who: Who, handler: Handler, summary: str, **more: Any) -> Route:
    """Declare what changes a document's life (POST): it takes an Idempotency-Key and can refuse by rule."""
    problems = (*WRITE_PROBLEMS, *more.pop("problems", ()))
    return post(path, who, handler, summary, write=True, problems=problems, **more)


def page(path: str, who: Who, handler: Handler, summary: str, **more: Any) -> Route:
    """Declare a page that is shown (GET)."""
    return Route(method="GET", path=path, who=who, handler=handler, summary=summary, page=True, media="text/html", **more)


def sent(path: str, who: Who, handler: Handler, summary: str, body: Any = None, **more: Any) -> Route:
    """Declare where a page's form is sent (POST). `write=True`: its token may be used once (`Call.idempotency_key`)."""
    return post(path, who, handler, summary, body=body, page=True, form=True, media="text/html", **more)


def idempotency_key(value: str | None) -> str:
    """Check the Idempotency-Key header; "" when it was not sent.

    Raises:
        BadInput: empty, too long, or not visible ASCII.

    Source: draft-ietf-httpapi-idempotency-key-header (quotes around the value are taken off).
    """
    if value is None:
        return ""
    key = value.strip()
    if len(key) >= 2 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if not 1 <= len(key) <= KEY_CHARS_MAX or not all("!" <= sign <= "~" for sign in key):
        raise BadInput(
            "The Idempotency-Key is not usable.",
            where="Idempotency-Key",
            mend=f"Send 1 to {KEY_CHARS_MAX} visible ASCII characters, such as a UUID.",
        )
    return key
