"""Make schemas of the structs that decode and encode: words for every field, lists closed, no lie by default.

The words stand in ONE place: the `Args:` (or `Attributes:`) of a struct's docstring, or of one that it extends. A default is
told in words and not as `default`: generators take that for "always there", and a request would need every member.
Source: JSON Schema 2020-12, validation, section 9.2 (default is an annotation).
"""

from __future__ import annotations

import re
import typing
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from annul.likeness.comparison import Result
from annul.proof.receipt import ReceiptShown
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

REF: Final = "#/components/schemas/{name}"
_TIMESTAMP: Final = {"type": "string", "format": "date-time"}
_RECEIPT: Final = {"$ref": REF.format(name="ReceiptShown")}
_SECTION: Final = re.compile(r"\s*(?:Args|Attributes):\s*")
_FIELD: Final = re.compile(r"\s*((?:\w+, )*\w+): (.+)")

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

JWK: Final = {
    "type": "object",
    "description": "A public key as JWK (RFC 7517): Ed25519 (`OKP`), P-256 or P-384 (`EC`), or `RSA` of at least 2,048 bits.",
    "required": ["kty"],
    "properties": {
        "kty": {"enum": ["OKP", "EC", "RSA"], "description": "Kind of key."},
        "crv": {"enum": ["Ed25519", "P-256", "P-384"], "description": "Curve, for OKP and EC."},
        "x": {"type": "string", "description": "The key, or its first coordinate, base64url."},
        "y": {"type": "string", "description": "Second coordinate, for EC, base64url."},
        "n": {"type": "string", "description": "Modulus, for RSA, base64url."},
        "e": {"type": "string", "description": "Exponent, for RSA, base64url."},
        "kid": {"type": "string", "description": "Name of the key; left out: its thumbprint (RFC 7638)."},
        "alg": {"type": "string", "description": "The one algorithm that the key signs with; left out: any that fits it."},
        "use": {"type": "string", "description": "`sig`."},
    },
}


def schemas_of(words: Iterable[Any]) -> tuple[dict[Any, Any], dict[str, dict[str, Any]]]:
    """Return the schema of each struct, and all schemas there are by their names.

    Args:
        words: structs, or what is made of structs.
    """
    listed = list(words)
    described, schemas = msgspec.json.schema_components([*listed, ReceiptShown], ref_template=REF)
    structs = {struct.__name__: struct for struct in structs_in(listed)} | {"ReceiptShown": ReceiptShown}
    _close_lists(schemas)
    for name, schema in schemas.items():
        struct = structs.get(name)
        if struct is not None:
            schema["description"] = _prose(struct.__doc__ or "")
            tag_field = struct.__struct_config__.tag_field
            tag = {tag_field: "Tells which of these it is."} if tag_field else {}
            _describe(schema, tag | field_words(struct))
        elif "description" in schema:
            schema["description"] = _prose(schema["description"])
    return dict(zip(listed, described, strict=False)), schemas


def structs_in(words: Iterable[Any]) -> Iterator[type[msgspec.Struct]]:
    """Yield every struct that these are made of, each once."""
    seen: set[type] = set()
    waiting = list(words)
    while waiting:
        word = waiting.pop()
        if isinstance(word, type) and issubclass(word, msgspec.Struct):
            if word not in seen:
                seen.add(word)
                yield word
                waiting += typing.get_type_hints(word).values()
        else:
            waiting += getattr(word, "__args__", ()) or ()


def field_words(struct: type[msgspec.Struct]) -> dict[str, str]:
    """Return what the docstrings of a struct, and of those it extends, say of its fields, by the names they have in JSON."""
    names = {field.name: field.encode_name for field in msgspec.structs.fields(struct)}
    told: dict[str, str] = {}
    for each in reversed(struct.__mro__):
        if isinstance(each, type) and issubclass(each, msgspec.Struct):
            told |= {names[name]: words for name, words in _told(each.__doc__ or "").items() if name in names}
    return told


def _told(doc: str) -> dict[str, str]:
    told: dict[str, str] = {}
    names: list[str] = []
    indent = -1
    for line in doc.splitlines():
        if _SECTION.fullmatch(line):
            indent = len(line) - len(line.lstrip()) + 4
        elif indent >= 0 and line.strip():
            depth = len(line) - len(line.lstrip())
            if depth < indent:
                indent = -1
            elif depth == indent and (found := _FIELD.fullmatch(line)):
                names = found[1].split(", ")
                told |= dict.fromkeys(names, found[2].strip())
            else:
                told |= {name: f"{told[name]} {line.strip()}" for name in names}
    return {name: words[:1].upper() + words[1:] for name, words in told.items()}


def _prose(doc: str) -> str:
    """Return a docstring without the words of its fields, paragraphs as single lines."""
    kept: list[str] = []
    indent = -1
    for line in doc.splitlines():
        depth = len(line) - len(line.lstrip())
        if _SECTION.fullmatch(line):
            indent = depth
        elif indent < 0 or (line.strip() and depth <= indent):
            indent = -1
            kept.append(line.strip())
    paragraphs = "\n".join(kept).strip().split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _describe(schema: dict[str, Any], told: dict[str, str]) -> None:
    for name, field in schema.get("properties", {}).items():
        words = told.get(name, "")
        if "default" in field:
            default = field.pop("default")
            if default not in (None, "", [], {}) and "eft out" not in words:
                words = f"{words} Left out: {_said(default)}.".strip()
        if words:
            if "$ref" in field:  # siblings of a reference are read by 3.1, and not by every generator
                schema["properties"][name] = {"allOf": [field], "description": words}
            else:
                field["description"] = words


def _said(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(f"`{item}`" for item in value)
    if isinstance(value, dict):
        return "its own defaults"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _close_lists(schemas: dict[str, Any]) -> None:
    for (schema, name), values in ENUMS.items():
        field = schemas.get(schema, {}).get("properties", {}).get(name)
        if field is not None:
            kept = {key: value for key, value in field.items() if key in ("default", "description")}
            schemas[schema]["properties"][name] = {"enum": values, **kept}
    for answer in (schemas.get(name, {}).get("properties") for name in ("Answer", "Verification")):
        if answer:
            answer["advice"] = {"type": "array", "items": {"enum": [item.value for item in Advice]}, "uniqueItems": True}
    for name, schema in schemas.items():
        for member, field in schema.get("properties", {}).items():
            if field.get("uniqueItems") and field.get("default"):  # a set: its order would differ from process to process
                field["default"].sort()
            if member == "receipt":
                _receipt(schema, nullable="anyOf" in field, empty=name in ("Answer", "Verification"))
    for name, member in (("ClientKeys", "keys"), ("ClientKeysShown", "keys"), ("ClientKeyAdded", "key")):
        field = schemas.get(name, {}).get("properties", {}).get(member)
        if field is not None:
            schemas[name]["properties"][member] = {**field, "items": JWK} if field.get("type") == "array" else dict(JWK)
    fresh = schemas.get("FreshnessPart", {}).get("properties", {})
    if fresh:
        fresh["as_of"] = dict(_TIMESTAMP)


def _receipt(schema: dict[str, Any], *, nullable: bool, empty: bool) -> None:
    """Give a receipt its schema: it may be null where it may be left out, and is empty beside a NO_ANSWER of a batch."""
    kinds: list[dict[str, Any]] = [dict(_RECEIPT)]
    if empty:
        kinds.append({"type": "object", "maxProperties": 0, "description": "No answer, so no receipt."})
    if nullable:
        kinds.append({"type": "null"})
    schema["properties"]["receipt"] = {"anyOf": kinds} if len(kinds) > 1 else kinds[0]
