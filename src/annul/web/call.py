"""Define what a route is: who may call it, what it reads, what it answers. The table itself is `annul.web.routes.ROUTES`.

A handler is `async (office, call) -> Struct | Reply`. It gets the principal, the decoded body and the decoded query; it calls
one function of a room and returns a struct (sent as JSON) or a `Reply` (anything else). It never sees raw bytes and never
decides who may call it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from litestar import Request
from litestar.datastructures import Cookie

from annul.errors import BadInput

if TYPE_CHECKING:
    from annul.registry.parties import Principal
    from annul.web.office import Office

ROLES: Final = ("relying_party", "issuer", "police", "supervisor")
"""Every role a credential can have."""

BODY_BYTES_MAX: Final = 64 * 1024
"""Largest body of a route that does not say otherwise; a report with all its fields is under 8 KiB."""

IDEMPOTENCY_KEY_MAX: Final = 128
"""Longest Idempotency-Key, in characters. Source: enough for two UUIDs and a prefix."""

Who = frozenset[str] | Literal["public", "counter"]
"""Roles that may call, or `public` (nobody is asked), or `counter` (the session cookie of a clerk is asked by the page)."""


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer with something else than a JSON struct.

    Args:
        body: bytes that leave.
        media: content type.
        status: HTTP status.
        headers: further headers, lower-case names.
        cookies: cookies to set.
    """

    body: bytes
    media: str
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cookies: tuple[Cookie, ...] = ()


@dataclass(frozen=True, slots=True)
class Call:
    """Hold one request that has passed the door.

    Args:
        request: the framework's request (pages read cookies and languages from it).
        who: the authenticated caller, or None on public routes.
        path: path parameters by name.
        query: decoded query struct of the route, or None.
        body: decoded body struct of the route, or None.
        idempotency_key: the header's value, "" when not sent.
    """

    request: Request[Any, Any, Any]
    who: Principal | None
    path: dict[str, str]
    query: Any
    body: Any
    idempotency_key: str

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
        form: the body is `application/x-www-form-urlencoded` instead of JSON.
        write: the route changes something: it takes an Idempotency-Key.
        problems: further problem codes it can answer, besides those its form implies.
        body_bytes_max: largest body.
        tag: heading in the API document.
        patterns: regular expression of each path parameter.
        page: the route is for people: errors are pages, and it is not in the API document.
        live: credentials for test data may not call: what it shows or changes belongs to live data too.
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
    write: bool = False
    problems: tuple[str, ...] = ()
    body_bytes_max: int = BODY_BYTES_MAX
    tag: str = ""
    patterns: dict[str, str] = field(default_factory=dict)
    page: bool = False
    live: bool = False

    @property
    def name(self) -> str:
        """Return the operation's name: `post_v1_reports_id_confirm`."""
        words = self.path.replace("{", "").replace("}", "").replace(":path", "").replace(".", "_").replace("-", "_")
        return f"{self.method.lower()}{words.rstrip('/').replace('/', '_') or '_start'}"


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
    if not 1 <= len(key) <= IDEMPOTENCY_KEY_MAX or not all("!" <= sign <= "~" for sign in key):
        raise BadInput(
            "The Idempotency-Key is not usable.",
            where="Idempotency-Key",
            mend=f"Send 1 to {IDEMPOTENCY_KEY_MAX} visible ASCII characters, such as a UUID.",
        )
    return key
