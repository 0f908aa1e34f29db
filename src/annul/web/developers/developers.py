"""Show developers how to ask, documents to try with, and the reference, made on the server from the route table."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

import msgspec
from markupsafe import Markup

from annul.errors import NotFound
from annul.registry import sandbox
from annul.web import openapi, pages
from annul.web.call import Call, Reply
from annul.web.developers.snippets import snippets
from annul.web.problem import PROBLEMS
from annul.web.words import _

if TYPE_CHECKING:
    from annul.web.office import Office

MEANINGS: Final = {
    "V00": _("no listing"), "V01": _("data known to others"), "S10": _("reported lost"), "S11": _("reported stolen"),
    "S12": _("reported, not yet confirmed"), "S13": _("locked by its holder"), "I20": _("replaced by a newer one"),
    "I21": _("expired"), "I22": _("cancelled"), "I23": _("revoked"), "I24": _("blank stolen or never issued"),
    "I25": _("handed in or destroyed"), "U30": _("not covered by this register"),
    "U31": _("several documents, none named"), "U32": _("fits no document of this number"),
    "U33": _("malformed number or check digit"), "U34": _("status disputed"), "E90": _("a source is down"),
    "E91": _("quota used up"), "E92": _("not authorised"), "E93": _("purpose not allowed"), "E94": _("bad request"),
    "E95": _("time-out"),
}  # fmt: skip
"""What a code means, shortly, for the table of test documents."""

LIMITS: Final = (("minLength", "from"), ("maxLength", "to"), ("minimum", "≥"), ("maximum", "≤"))
TAGS: Final = {
    "checks": _("Checks"), "reports": _("Reports"), "documents": _("Documents"), "persons": _("Persons"),
    "bulk": _("Bulk events"),
    "logs": _("Sealed logs"), "receipts": _("Receipts"), "credentials": _("Credentials"), "parties": _("Parties"),
    "operation": _("Operation"),
}  # fmt: skip


async def start(office: Office, call: Call) -> Reply:
    """Show the first check in three languages."""
    return pages.page(call, "developers/start.html", snippets=snippets(office.settings.base_url), url=office.settings.base_url)


async def sandbox_page(_office: Office, call: Call) -> Reply:
    """Show every test document with what it answers."""
    translate = pages.translator(call)

    def row(shown: sandbox.Shown) -> list[str | Markup]:
        meaning = MEANINGS.get(shown.code)
        return [shown.code, translate(meaning) if meaning else "", _json(shown.document)]

    problems = {kind.error: str(kind.status) for kind in reversed(PROBLEMS.values()) if kind.error}
    statuses = [row(shown) for shown in sandbox.DOCUMENTS]
    errors = [
        [*row(shown)[:2], problems[shown.code], row(shown)[2]] for shown in sandbox.PLAYED if shown.code in sandbox.ERRORS
    ]
    delays = [[shown.code, row(shown)[2]] for shown in sandbox.PLAYED if shown.code not in sandbox.ERRORS]
    return pages.page(call, "developers/sandbox.html", statuses=statuses, errors=errors, delays=delays)


def _json(document: dict[str, str]) -> Markup:
    return Markup('<code dir="ltr">{}</code>').format(msgspec.json.encode(document).decode())


@cache
def _described(base_url: str) -> dict[str, Any]:
    from annul.web.routes import ROUTES

    return openapi.document(ROUTES, base_url)


async def reference(office: Office, call: Call) -> Reply:
    """List every operation by what it is about."""
    translate = pages.translator(call)
    groups: dict[str, list[dict[str, str]]] = {}
    for address, methods in _described(office.settings.base_url)["paths"].items():
        for method, described in methods.items():
            groups.setdefault((described.get("tags") or [""])[0], []).append(
                {"method": method.upper(), "path": address, "summary": described["summary"], "id": described["operationId"]}
            )
    named = [(translate(TAGS[tag]) if tag in TAGS else tag or translate(_("More")), rows) for tag, rows in groups.items()]
    return pages.page(call, "developers/reference.html", groups=named)


async def operation(office: Office, call: Call) -> Reply:
    """Show one operation: who may call it, what it reads, what it answers, what can go wrong."""
    described = _described(office.settings.base_url)
    for address, methods in described["paths"].items():
        for method, one in methods.items():
            if one["operationId"] == call.path["operation"]:
                shown = {"method": method.upper(), "path": address, **one}
                body = _schema_of(one.get("requestBody"))
                answers = [
                    (status, answer.get("description", ""), _schema_of(answer)) for status, answer in one["responses"].items()
                ]
                needed = [schema for schema in (body, *(each[2] for each in answers)) if schema]
                return pages.page(
                    call, "developers/operation.html", shown=shown, body=body, answers=answers,
                    schemas=_with_inner(described, needed),
                )  # fmt: skip
    raise NotFound("There is no such operation.")


def _schema_of(part: Any) -> str:
    """Return the name of the schema a body has, "" when it has none of its own."""
    for content in (part or {}).get("content", {}).values():
        reference = content.get("schema", {}).get("$ref", "")
        if reference:
            return str(reference.rpartition("/")[2])
    return ""


def _with_inner(described: dict[str, Any], names: list[str]) -> list[tuple[str, str, list[tuple[str, str, bool, str]]]]:
    """Return the schemas named and those inside them: (name, description, [(field, type, required, description)])."""
    known: dict[str, Any] = described["components"]["schemas"]
    shown: dict[str, tuple[str, str, list[tuple[str, str, bool, str]]]] = {}
    wanted = list(dict.fromkeys(names))
    while wanted:
        name = wanted.pop(0)
        schema = known.get(name)
        if schema is None or name in shown:
            continue
        inner: list[str] = []
        fields = [
            (field, _type(kind, inner), field in schema.get("required", ()), str(kind.get("description", "")))
            for field, kind in schema.get("properties", {}).items()
        ]
        shown[name] = (name, str(schema.get("description", "")).partition("\n")[0], fields)
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
