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
from annul.records.codes import ErrorCode
from annul.registry.writing.act import KEY_CHARS_MAX
from annul.web.api import oauth
from annul.web.api.examples import Examples
from annul.web.api.schemas import REF, field_words, schemas_of
from annul.web.door.call import Route
from annul.web.door.problem import MEDIA_TYPE, PROBLEMS
from annul.web.door.reading import NDJSON

Described = Callable[[str], dict[str, Any]]
"""What returns the OpenAPI document of the route table for the address of a server."""


_REFERENCE: Final = re.compile(re.escape(REF.format(name="")) + r"([\w.]+)")

TAGS: Final = {
    "bulk": "Whole lists as one event: staged, confirmed by a second officer, taken back.",
    "cases": "Misuse of documents: statements, cases, the list of impostors, passes for victims.",
    "checks": "Ask about a document, singly or in batches, and look up what was asked.",
    "clean-up": "Suspicions about entries of the register of persons, and what officers decide of them.",
    "conduct": "Whether checks that were owed were made: findings, scorecards, alarms.",
    "counter": "What a counter needs beyond the check: comparison of bearer and holder, departures, urgent needs, policies.",
    "credentials": "API keys and access tokens.",
    "disputes": "A listing that is said to be wrong, and corrections.",
    "documents": "The life of documents: issue, replacement, cancellation, status at a time.",
    "editions": "Signed copies of the listings for those who are offline.",
    "found cards": "Cards that were handed in, and their custody.",
    "logs": "The sealed logs: checkpoints, tiles, proofs.",
    "notices": "Webhooks, holds, what could not be delivered.",
    "officers": "Who signs in at the desk, and what she may do.",
    "operation": "Is it up, is it ready, what does it count.",
    "parties": "Organisations, their agreements and their keys.",
    "peers": "The same questions in the words of systems that were there before.",
    "persons": "The register of persons.",
    "recalls": "Answers that do not hold any more.",
    "receipts": "Public keys, and receipts that are verified.",
    "reports": "Loss reports: made, confirmed, withdrawn, lifted.",
    "status lists": "Status of digital credentials.",
    "subscriptions": "Documents on file, blinded, and what becomes of them.",
    "searches": "Searches for a case, on record before they are answered.",
}
"""What each heading is about."""

INTRODUCTION: Final = """\
Ask whether an identity document must not be relied on, report documents lost or stolen, and verify what was answered.

Say "no listing as of", never "valid": a register of invalid documents cannot prove validity. Errors are RFC 9457 problem
documents; those with `"outcome": "NO_ANSWER"` leave a check without an answer, and no answer is never a pass. Every write takes
an `Idempotency-Key`: send the same key again and the write is done once. Document numbers belong in bodies only.
"""

PATH_WORDS: Final = {
    "id": "Its id, as the answer that made it said.",
    "check": "Id of the check: 32 hexadecimal digits.",
    "log": "Which log: `register` or `checks`.",
    "path": "Path of the tile, as C2SP tlog-tiles writes it.",
    "file": "Name of the file.",
    "staff": "Staff number of the officer.",
    "party": "Id of the organisation.",
    "version": "Number of the version.",
}
PLAIN_EXAMPLES: Final = {
    "metrics": 'annul_checks_total{outcome="PASS"} 1024\n',
    "checkpoint": "annul-1a2b3c4d/register\n1024\nq83v…=\n\n— annul-1a2b3c4d/register HCM…\n",
}
"""How answers begin that are plain text."""


MOSIP: Final = "/v1/peers/mosip/"
"""What begins with it answers errors in MOSIP's own form, as its callers read them."""


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
    of_word, schemas = schemas_of(dict.fromkeys([*words, oauth.TokenRefusal]))
    schemas["Problem"] = _problem_schema()
    examples = Examples(schemas)
    paths: dict[str, dict[str, Any]] = {}
    for route in shown:
        paths.setdefault(re.sub(":path}", "}", route.path), {})[route.method.lower()] = _operation(route, of_word, examples)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "annul",
            "version": __version__,
            "summary": "The open register of identity documents that no longer count.",
            "description": INTRODUCTION,
            "contact": {"name": "annul", "url": f"{base_url}/developers"},
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": base_url}],
        "tags": [{"name": tag, "description": TAGS.get(tag, "")} for tag in dict.fromkeys(route.tag for route in shown)],
        "paths": paths,
        "components": {
            "schemas": _used(dict(sorted(schemas.items())), paths),
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


def _used(schemas: dict[str, Any], paths: dict[str, Any]) -> dict[str, Any]:
    """Return the schemas that something refers to: the names of a dictionary's keys are none that anybody meets."""
    kept: set[str] = set()
    waiting = set(_REFERENCE.findall(msgspec.json.encode(paths).decode()))
    while waiting:
        name = waiting.pop()
        kept.add(name)
        waiting |= set(_REFERENCE.findall(msgspec.json.encode(schemas[name]).decode())) - kept
    return {name: schema for name, schema in schemas.items() if name in kept}


def _problem_schema() -> dict[str, Any]:
    codes = [item.value for item in ErrorCode if item.value != "E00"]
    return {
        "title": "Problem",
        "description": "RFC 9457 problem document.",
        "type": "object",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": {
                "enum": [f"/problems/{code}" for code in PROBLEMS],
                "description": "Which problem: the address of a page that explains it.",
            },
            "title": {
                "type": "string",
                "description": "What is wrong, in a few words, the same for every problem of this type.",
            },
            "status": {"type": "integer", "minimum": 400, "maximum": 599, "description": "HTTP status."},
            "detail": {"type": "string", "description": "What is wrong with this request, in one sentence."},
            "where": {"type": "string", "description": "JSON pointer into the body, `?name`, or the name of a header."},
            "mend": {"type": "string", "description": "The next step."},
            "outcome": {"const": "NO_ANSWER", "description": "Only when a check got no answer, which is never a pass."},
            "error": {"enum": codes, "description": "Error code of a check that got no answer."},
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


def _operation(route: Route, of_word: dict[Any, Any], examples: Examples) -> dict[str, Any]:
    if route.returns is not None:
        schema = of_word[route.returns]
        content = {route.media: {"schema": schema, "example": examples.of(schema, request=False)}}
    elif route.media == "application/json":
        content = {route.media: {"schema": {"type": "object"}, "example": {"openapi": "3.1.0"}}}
    else:
        content = {route.media: _plain(route)}
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
            "content": {
                MEDIA_TYPE: {"schema": {"$ref": REF.format(name="Problem")}, "example": _problem_example(codes[0], route)}
            },
        }
    for refusal in ("400",) if route.path == oauth.TOKEN_PATH else ():
        refused = responses.setdefault(refusal, {"description": "", "content": {}})
        refused["description"] = "The token is refused (RFC 6749 section 5.2), or the form cannot be read."
        schema = {"$ref": REF.format(name="TokenRefusal")}
        refused["content"]["application/json"] = {"schema": schema, "example": examples.of(schema, request=False)}
    if route.path.startswith(MOSIP):
        for status in by_status:
            responses[str(status)]["content"] |= content
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
    else:
        operation["description"] = "Anybody may call it, without a credential."
    if parameters := _parameters(route):
        operation["parameters"] = parameters
    if route.body is not None:
        media = "application/x-www-form-urlencoded" if route.form else "application/json"
        schema = of_word[route.body]
        example = examples.of(schema, request=True)
        operation["requestBody"] = {"required": True, "content": {media: {"schema": schema, "example": example}}}
    if route.lines is not None:
        item = of_word[route.lines]
        schema = {"type": "string", "description": "One JSON object a line.", "contentMediaType": NDJSON, "contentSchema": item}
        line = msgspec.json.encode(examples.of(item, request=True)).decode()
        operation["requestBody"] = {"required": True, "content": {NDJSON: {"schema": schema, "example": f"{line}\n"}}}
    return operation


def _plain(route: Route) -> dict[str, Any]:
    """Describe an answer that is no JSON: text, or bytes."""
    if route.media.startswith("text/"):
        return {"schema": {"type": "string"}, "example": PLAIN_EXAMPLES.get(route.path.rpartition("/")[2], "…")}
    return {"schema": {"type": "string", "format": "binary"}, "example": "(bytes)"}


def _problem_example(code: str, route: Route) -> dict[str, Any]:
    problem = PROBLEMS[code]
    shown = {"type": f"/problems/{code}", "title": problem.title, "status": problem.status, "detail": f"{problem.title}."}
    if "/v1/checks" in route.path and route.method == "POST" and problem.error:
        shown |= {"outcome": "NO_ANSWER", "error": problem.error}
    return shown


def _parameters(route: Route) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for name in re.findall(r"\{(\w+)(?::path)?\}", route.path):
        schema: dict[str, Any] = {"type": "string"}
        if name in route.patterns:
            schema["pattern"] = f"^{route.patterns[name]}$"
        words = PATH_WORDS.get(name, f"Id of the {name}.")
        found.append({"name": name, "in": "path", "required": True, "description": words, "schema": schema})
    if route.query is not None:
        _, components = msgspec.json.schema_components([route.query], ref_template=REF)
        struct = components[route.query.__name__]
        told = field_words(route.query)
        for name, schema in struct["properties"].items():
            required = name in struct.get("required", [])
            words = told.get(name, "")
            default = schema.pop("default", None)
            if default not in (None, "") and "eft out" not in words:
                words = f"{words} Left out: `{str(default).lower() if isinstance(default, bool) else default}`."
            found.append({"name": name, "in": "query", "required": required, "description": words, "schema": schema})
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
