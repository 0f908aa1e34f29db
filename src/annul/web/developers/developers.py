"""Show developers how to ask, documents to try with, and the reference, made on the server from the route table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from markupsafe import Markup, escape

from annul.errors import NotFound
from annul.records.codes import Channel, StatusCode
from annul.records.meanings import meaning_of
from annul.records.policy import DEFAULT_POLICY
from annul.registry.parties import sandbox
from annul.web.api import receipts
from annul.web.api.openapi import Described
from annul.web.developers.snippets import snippets
from annul.web.door import pages
from annul.web.door.call import Call, Reply
from annul.web.door.problem import PROBLEMS
from annul.web.door.words import _

if TYPE_CHECKING:
    from annul.web.door.office import Office

"""Gives the OpenAPI document for a base address."""

LIMITS: Final = (("minLength", "from"), ("maxLength", "to"), ("minimum", "≥"), ("maximum", "≤"))
TAGS: Final = {
    "checks": _("Checks"),
    "reports": _("Reports"),
    "documents": _("Documents"),
    "persons": _("Persons"),
    "bulk": _("Bulk events"),
    "logs": _("Sealed logs"),
    "receipts": _("Receipts"),
    "credentials": _("Credentials"),
    "parties": _("Parties"),
    "operation": _("Operation"),
    "counter": _("Counter"),
    "clean-up": _("Clean-up"),
    "disputes": _("Disputes"),
    "editions": _("Editions"),
    "found cards": _("Found cards"),
    "notices": _("Notices"),
    "officers": _("Officers"),
    "recalls": _("Recalls"),
    "searches": _("Searches"),
}
PLACES: Final = {"check": "a1b2c3d4e5f60718293a4b5c6d7e8f90", "log": "register", "party": "bank-one", "staff": "0417"}
"""What stands in an example's address for a path parameter."""


async def start(office: Office, call: Call) -> Reply:
    """Show the first check in three languages."""
    return pages.page(call, "developers/start.html", snippets=snippets(office.settings.base_url), url=office.settings.base_url)


async def sandbox_page(_office: Office, call: Call) -> Reply:
    """Show every test document with what it answers."""
    translate = pages.translator(call)

    def row(shown: sandbox.Shown) -> list[str | Markup]:
        meaning = meaning_of(shown.code)
        return [shown.code, translate(meaning.short) if meaning else "", _json(shown.document)]

    problems = {kind.error: str(kind.status) for kind in reversed(PROBLEMS.values()) if kind.error}
    statuses = [[*row(shown)[:2], _outcomes(shown.code), row(shown)[2]] for shown in sandbox.DOCUMENTS]
    errors = [
        [*row(shown)[:2], problems[shown.code], row(shown)[2]] for shown in sandbox.PLAYED if shown.code in sandbox.ERRORS
    ]
    delays = [[shown.code, row(shown)[2]] for shown in sandbox.PLAYED if shown.code not in sandbox.ERRORS]
    return pages.page(call, "developers/sandbox.html", statuses=statuses, errors=errors, delays=delays)


def _json(document: dict[str, str]) -> Markup:
    return Markup('<code dir="ltr">{}</code>').format(msgspec.json.encode(document).decode().replace('","', '", "'))


def _outcomes(code: str) -> str:
    """Return what a status leads to by the default policy: one outcome, or the one in person and the one at a distance."""
    verdict = DEFAULT_POLICY.status[StatusCode[code]]
    return " / ".join(dict.fromkeys(verdict.outcome(channel).value for channel in Channel))


def _broken(path: str) -> Markup:
    """Let a long address break at its slashes, and its words nowhere else."""
    return Markup("<wbr>/").join(path.split("/"))


def _said(text: str) -> Markup:
    """Show a docstring's `names` as code."""
    parts = text.split("`")
    shown = [Markup("<code>{}</code>").format(part) if place % 2 else escape(part) for place, part in enumerate(parts)]
    return Markup("").join(shown)


async def reference(described: Described, office: Office, call: Call) -> Reply:
    """List every operation by what it is about."""
    translate = pages.translator(call)
    groups: dict[str, list[dict[str, Any]]] = {}
    for address, methods in described(office.settings.base_url)["paths"].items():
        for method, one in methods.items():
            groups.setdefault((one.get("tags") or [""])[0], []).append(
                {"method": method.upper(), "path": _broken(address), "summary": one["summary"], "id": one["operationId"]}
            )
    named = [(translate(TAGS[tag]) if tag in TAGS else tag or translate(_("More")), rows) for tag, rows in groups.items()]
    return pages.page(call, "developers/reference.html", groups=named)


async def codes(office: Office, call: Call) -> Reply:
    """Show every code with its number and its meaning."""
    translate = pages.translator(call)
    told = await receipts.codes(office, call)
    axes = [
        (axis, [[str(one.number), one.code or "–", translate(one.meaning) if one.meaning else ""] for one in rows])
        for axis, rows in told.axes.items()
    ]
    return pages.page(call, "developers/codes.html", axes=axes)


async def operation(described: Described, office: Office, call: Call) -> Reply:
    """Show one operation: who may call it, what it reads, what it answers, what can go wrong."""
    document = described(office.settings.base_url)
    for address, methods in document["paths"].items():
        for method, one in methods.items():
            if one["operationId"] == call.path["operation"]:
                shown = {**one, "method": method.upper(), "path": _broken(address)}
                body = _schema_of(one.get("requestBody"))
                answers = [
                    (status, answer.get("description", ""), _schema_of(answer)) for status, answer in one["responses"].items()
                ]
                media, request = _request_of(one)
                needed = [schema for schema in (body, *(each[2] for each in answers)) if schema]
                return pages.page(
                    call,
                    "developers/operation.html",
                    shown=shown,
                    body=body,
                    sent_as=media,
                    asked=request,
                    address=_address(address, one),
                    curl=_curl(office.settings.base_url, method.upper(), _address(address, one), one),
                    answer=_answer_of(one),
                    answers=answers,
                    schemas=_with_inner(document, needed),
                )
    raise NotFound("There is no such operation.")


def _pretty(value: Any) -> str:
    if isinstance(value, str):
        return value
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def _request_of(one: dict[str, Any]) -> tuple[str, str]:
    """Return the content type and the example of a request; ("", "") where it has no body."""
    for media, content in one.get("requestBody", {}).get("content", {}).items():
        return media, _pretty(content["example"])
    return "", ""


def _answer_of(one: dict[str, Any]) -> str:
    """Return the example of the answer when all went well."""
    content = next(iter(one["responses"].values()))["content"]
    return _pretty(next(iter(content.values()))["example"])


def _address(path: str, one: dict[str, Any]) -> str:
    """Return an address to try: path parameters filled in, needed queries after it."""
    asked = []
    for parameter in one.get("parameters", ()):
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", PLACES.get(parameter["name"], "1"))
        elif parameter["in"] == "query" and parameter["required"]:
            asked.append(f"{parameter['name']}=0")
    return path + ("?" + "&".join(asked) if asked else "")


def _curl(url: str, method: str, address: str, one: dict[str, Any]) -> str:
    """Return the request as a command to copy."""
    lines = [f"curl -sS {url}{address}" if method == "GET" else f"curl -sS -X {method} {url}{address}"]
    if one["security"]:
        lines.append('-H "Authorization: Bearer $ANNUL_KEY"')
    media, request = _request_of(one)
    if media == "application/json":
        lines += ['-H "Content-Type: application/json"', f"-d '{request}'"]
    elif request:
        lines += [f"--data-urlencode '{name}={value}'" for name, value in msgspec.json.decode(request).items()]
    return " \\\n  ".join(lines)


def _schema_of(part: Any) -> str:
    """Return the name of the schema a body has, "" when it has none of its own."""
    for content in (part or {}).get("content", {}).values():
        reference = content.get("schema", {}).get("$ref", "")
        if reference:
            return str(reference.rpartition("/")[2])
    return ""


def _with_inner(described: dict[str, Any], names: list[str]) -> list[tuple[str, Markup, list[tuple[str, str, bool, Markup]]]]:
    """Return the schemas named and those inside them: (name, description, [(field, type, required, description)])."""
    known: dict[str, Any] = described["components"]["schemas"]
    shown: dict[str, tuple[str, Markup, list[tuple[str, str, bool, Markup]]]] = {}
    wanted = list(dict.fromkeys(names))
    while wanted:
        name = wanted.pop(0)
        schema = known.get(name)
        if schema is None or name in shown:
            continue
        inner: list[str] = []
        fields = [
            (field, _type(kind, inner), field in schema.get("required", ()), _said(kind.get("description", "")))
            for field, kind in schema.get("properties", {}).items()
        ]
        shown[name] = (name, _said(schema.get("description", "").partition("\n")[0]), fields)
        wanted += inner
    return list(shown.values())


def _type(kind: dict[str, Any], inner: list[str]) -> str:
    """Say the type of a field in words, noting the schemas it names."""
    if "$ref" in kind:
        inner.append(kind["$ref"].rpartition("/")[2])
        return inner[-1]
    if "anyOf" in kind:
        return " | ".join(_type(one, inner) for one in kind["anyOf"])
    if "enum" in kind:
        return " | ".join(str(value) for value in kind["enum"])
    if kind.get("type") == "array":
        return f"[{_type(kind.get('items', {}), inner)}]"
    limits = [f"{name} {kind[key]}" for key, name in LIMITS if key in kind]
    return " ".join([str(kind.get("type", "any")), *([f"({kind['format']})"] if "format" in kind else []), *limits])
