"""Read what came: the query, a JSON body, a form with its files; each within its size and time, nothing of it repeated.

A picture of a card or a face stays in memory and never reaches the disk.
"""

from __future__ import annotations

import asyncio
import re
from functools import cache
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
import multipart
from litestar import Request

from annul.errors import BadInput, NotFound, TimedOut
from annul.web.door import problem
from annul.web.door.call import Route
from annul.web.door.checkpath import BODY_TIMEOUT_S
from annul.web.door.once import require_once

NDJSON: Final = "application/x-ndjson"
FIELDS_MAX: Final = 400
"""Most fields of a form; the editor of the counter policy has some 330 when every box is ticked."""

QUERY_BYTES_MAX: Final = 4096
"""Longest query string; the longest true one is a cursor of some 200 bytes."""

_NUL: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
"""The escape of U+0000 in JSON: legal there, but no text of the register's database can hold it."""

_pattern = cache(re.compile)


def require_patterns(route: Route, path: dict[str, str]) -> None:
    """Refuse parameters of an address that cannot be what they stand for.

    Raises:
        NotFound: one of them does not fit the pattern of the route.
    """
    for name, pattern in route.patterns.items():
        if not _pattern(pattern).fullmatch(path[name]):
            raise NotFound("There is no such thing here.")


def query_of(request: Request[Any, Any, Any], route: Route) -> Any:
    """Return the decoded query of a route, None when it has none.

    Raises:
        BadInput: too long, a parameter twice, or not of the form asked for.
    """
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


async def json_of(request: Request[Any, Any, Any], decoder: msgspec.json.Decoder[Any]) -> Any:
    """Return the decoded JSON body.

    Raises:
        BadInput: not JSON in UTF-8, a member is given twice, or a text holds U+0000.
        WrongMediaType, TooLarge, TimedOut: see `_body`.
    """
    raw = await _body(request, "application/json")
    try:
        body = decoder.decode(raw)
    except UnicodeDecodeError:
        raise BadInput("The body is not JSON in UTF-8.", mend="Send one JSON object in UTF-8.") from None
    require_once(raw)
    if _NUL.search(raw):
        raise BadInput("A text holds the character U+0000.", where="/", mend="Send texts without it.")
    return body


async def lines_of(request: Request[Any, Any, Any]) -> bytes:
    """Return an NDJSON body as it came.

    Raises:
        WrongMediaType, TooLarge, TimedOut: see `_body`.
    """
    return await _body(request, NDJSON)


def _media(request: Request[Any, Any, Any]) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _body(request: Request[Any, Any, Any], media: str) -> bytes:
    """Read the body of the one media type the route reads, within its size and time."""
    if _media(request) != media:
        raise problem.WrongMediaType(f"The body must be {media}.", where="Content-Type", mend=f"Send {media}.")
    return await _whole(request)


async def _whole(request: Request[Any, Any, Any]) -> bytes:
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await request.body()
    except TimeoutError:
        raise TimedOut("The body did not arrive in time.") from None


async def form_of(request: Request[Any, Any, Any], route: Route) -> tuple[dict[str, str], dict[str, bytes]]:
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
    if _media(request) != "multipart/form-data":
        mend = "Send multipart/form-data."
        raise problem.WrongMediaType("The form must be multipart/form-data.", where="Content-Type", mend=mend)
    raw = await _whole(request)
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
