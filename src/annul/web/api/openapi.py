"""Describe the doors as OpenAPI 3.1, from the route table and the very structs that decode and encode.

Nothing is described twice: who may call, body, query, answer and problems of an operation all come from its line in
`annul.web.routes.ROUTES`; schemas are those msgspec derives from the structs (JSON Schema 2020-12).

Source: OpenAPI 3.1.1; JSON Schema 2020-12; RFC 9457.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import msgspec

from annul import __version__
from annul.likeness.comparison import Result
from annul.records.codes import (
    Advice,
    BindingCode,
    Channel,
    Coverage,
    ErrorCode,
    FreshnessCode,
    IdentityCode,
    Outcome,
    Purpose,
    StatusClass,
    StatusCode,
)
from annul.registry.writing.act import KEY_CHARS_MAX
from annul.web.api import oauth
from annul.web.door.call import Route
from annul.web.door.problem import MEDIA_TYPE, PROBLEMS
from annul.web.door.reading import NDJSON

Described = Callable[[str], dict[str, Any]]
"""What returns the OpenAPI document of the route table for the address of a server."""

REF: Final = "#/components/schemas/{name}"
_TIMESTAMP: Final = {"type": "string", "format": "date-time"}

INTRODUCTION: Final = """\
Ask whether an identity document must not be relied on, report documents lost or stolen, and verify what was answered.

Say "no listing as of", never "valid": a register of invalid documents cannot prove validity. Errors are RFC 9457 problem
documents; those with `"outcome": "NO_ANSWER"` leave a check without an answer, and no answer is never a pass. Every write takes
an `Idempotency-Key`: send the same key again and the write is done once. Document numbers belong in bodies only.
"""

ENUMS: Final[dict[tuple[str, str], list[str | None]]] = {
    ("Question", "purpose"): [item.value for item in Purpose],
    ("Question", "channel"): [item.value for item in Channel],
    ("Answer", "outcome"): [item.value for item in Outcome],
    ("Verification", "outcome"): [item.value for item in Outcome],
    ("StatusPart", "code"): [*(item.value for item in StatusCode), None],
    ("StatusPart", "class"): [*(item.value for item in StatusClass), None],
    ("StatusPart", "coverage"): [item.value for item in Coverage],
    ("IdentityPart", "code"): [item.value for item in IdentityCode],
    ("BindingPart", "code"): [item.value for item in BindingCode],
    ("BindingFound", "code"): [item.value for item in BindingCode],
    ("BindingFound", "result"): [item.value for item in Result],
    ("Compared", "result"): [item.value for item in Result],
    ("FreshnessPart", "code"): [item.value for item in FreshnessCode],
    ("ErrorPart", "code"): [item.value for item in ErrorCode],
}
"""Closed lists whose fields are plain strings in the structs: (schema, field) -> the values there are."""


def document(routes: tuple[Route, ...], base_url: str) -> dict[str, Any]:
    """Build the OpenAPI document of these routes.

    Args:
        routes: the table; pages for people are left out.
        base_url: address of the server.

    Returns:
        The document as JSON-ready values.
    """
    shown = [route for route in routes if not route.page]
    words = [word for route in shown for word in (route.body, route.lines, route.returns) if word is not None]
    words = list(dict.fromkeys([*words, oauth.TokenRefusal]))
    described, schemas = msgspec.json.schema_components(words, ref_template=REF)
    of_word = dict(zip(words, described, strict=True))
    _close_lists(schemas)
    schemas["Problem"] = _problem_schema()
    paths: dict[str, dict[str, Any]] = {}
    for route in shown:
        paths.setdefault(re.sub(":path}", "}", route.path), {})[route.method.lower()] = _operation(route, of_word)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "annul",
            "version": __version__,
            "summary": "The open register of identity documents that no longer count.",
            "description": INTRODUCTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": base_url}],
        "tags": [{"name": tag} for tag in dict.fromkeys(route.tag for route in shown)],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "An API key: `live_…` or `test_…`."},
                "oauth": {
                    "type": "oauth2",
                    "description": "Client credentials; the client proves itself with private_key_jwt (RFC 7523).",
                    "flows": {"clientCredentials": {"tokenUrl": f"{base_url}/v1/oauth/token", "scopes": {}}},
                },
            },
        },
    }


def _close_lists(schemas: dict[str, Any]) -> None:
    for (schema, name), values in ENUMS.items():
        field = schemas.get(schema, {}).get("properties", {}).get(name)
        if field is not None:
            kept = {key: value for key, value in field.items() if key in ("default", "description")}
            schemas[schema]["properties"][name] = {"enum": values, **kept}
    for answer in (schemas.get(name, {}).get("properties") for name in ("Answer", "Verification")):
        if answer:
            answer["advice"] = {"type": "array", "items": {"enum": [item.value for item in Advice]}, "uniqueItems": True}
    for schema in schemas.values():
        for field in schema.get("properties", {}).values():
            if field.get("uniqueItems") and field.get("default"):  # a set: its order would differ from process to process
                field["default"].sort()
    fresh = schemas.get("FreshnessPart", {}).get("properties", {})
    if fresh:
        fresh["as_of"] = _TIMESTAMP


def _problem_schema() -> dict[str, Any]:
    return {
        "title": "Problem",
        "description": "RFC 9457 problem document.",
        "type": "object",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": {"enum": [f"/problems/{code}" for code in PROBLEMS]},
            "title": {"type": "string"},
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "detail": {"type": "string"},
            "where": {"type": "string", "description": "JSON pointer into the body, `?name`, or the name of a header."},
            "mend": {"type": "string", "description": "The next step."},
            "outcome": {"const": "NO_ANSWER"},
            "error": {"enum": [item.value for item in ErrorCode if item.value != "E00"]},
        },
    }


def problem_codes(route: Route) -> list[str]:
    """Return every problem code a route can answer: those of its form, then those it names."""
    codes = ["internal", "source-down", "bad-input"]
    if route.who != "public":
        codes += ["not-authorised", "forbidden"]
    if route.body is not None or route.lines is not None:
        codes += ["too-large", "unsupported-media-type", "timed-out"]
    if "{" in route.path:
        codes.append("not-found")
    if route.write:
        codes.append("idempotency-mismatch")
    if route.method == "GET" and route.who != "public":
        codes.append("over-quota")
    return list(dict.fromkeys([*codes, *route.problems]))


def _operation(route: Route, of_word: dict[Any, Any]) -> dict[str, Any]:
    if route.returns is not None:
        content = {route.media: {"schema": of_word[route.returns]}}
    else:
        content = {route.media: {"schema": {"type": "object"} if route.media == "application/json" else {}}}
    responses: dict[str, Any] = {str(route.status): {"description": "Done.", "content": content}}
    if route.ranges:
        responses["206"] = {"description": "The range of bytes that was asked for.", "content": content}
        responses["416"] = {"description": "The range lies behind the end of the file.", "content": content}
    by_status: dict[int, list[str]] = {}
    for code in problem_codes(route):
        by_status.setdefault(PROBLEMS[code].status, []).append(code)
    for status, codes in sorted(by_status.items()):
        responses[str(status)] = {
            "description": "; ".join(PROBLEMS[code].title for code in codes) + ".",
            "content": {MEDIA_TYPE: {"schema": {"$ref": REF.format(name="Problem")}}},
        }
    for refusal in ("400", "401") if route.path == oauth.TOKEN_PATH else ():
        refused = responses.setdefault(refusal, {"description": "", "content": {}})
        refused["description"] = "The token is refused (RFC 6749 section 5.2), or the form cannot be read."
        refused["content"]["application/json"] = {"schema": {"$ref": REF.format(name="TokenRefusal")}}
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "tags": [route.tag],
        "security": [] if route.who == "public" else [{"key": []}, {"oauth": []}],
        "responses": responses,
    }
    if route.who != "public":
        keys = "Keys for counters may call it." if "counter" in route.use else "Keys for counters may not call it."
        operation["description"] = f"Who may call: {', '.join(sorted(route.who))}. {keys}"
    if parameters := _parameters(route):
        operation["parameters"] = parameters
    if route.body is not None:
        media = "application/x-www-form-urlencoded" if route.form else "application/json"
        operation["requestBody"] = {"required": True, "content": {media: {"schema": of_word[route.body]}}}
    if route.lines is not None:
        schema = {
            "type": "string",
            "description": "One JSON object a line, as in the schema of an item.",
            "x-item": of_word[route.lines],
        }
        operation["requestBody"] = {"required": True, "content": {NDJSON: {"schema": schema}}}
    return operation


def _parameters(route: Route) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for name in re.findall(r"\{(\w+)(?::path)?\}", route.path):
        schema: dict[str, Any] = {"type": "string"}
        if name in route.patterns:
            schema["pattern"] = f"^{route.patterns[name]}$"
        found.append({"name": name, "in": "path", "required": True, "schema": schema})
    if route.query is not None:
        _, components = msgspec.json.schema_components([route.query], ref_template=REF)
        struct = components[route.query.__name__]
        for name, schema in struct["properties"].items():
            required = name in struct.get("required", [])
            found.append({"name": name, "in": "query", "required": required, "schema": schema})
    if route.write:
        found.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "description": "Recommended. The same key and the same body are carried out once.",
                "schema": {"type": "string", "pattern": f"^[!#-~]{{1,{KEY_CHARS_MAX}}}$"},
            }
        )
    return found
