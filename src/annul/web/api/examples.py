"""Make an example of every body from its schema: what a field looks like is told once, by its name.

The country, its people and its documents do not exist. A test holds every example to its schema.
"""

from __future__ import annotations

from typing import Any, Final

AT: Final = "2026-11-30T08:15:00.000Z"
ID: Final = "5f0c1d2e3a4b5c6d7e8f901234567890"

SAMPLES: Final[dict[str, Any]] = {
    "DocumentFields": {"scheme": "generic", "issuer": "SANDBOX", "kind": "CARD", "number": "S10"},
    "ReceiptShown": {
        "version": 1,
        "leaf": "AQAABkWl4fJ5AAAAAAAAAAB7…",
        "index": 0,
        "path": "",
        "statement": "AQABAAAAAAAAACoAAAAB…",
        "signature": "cJ3yq0s8…",
        "key": "1c2d3e4f",
    },
    "JWK": {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
    "Policy.status": {"S10": {"in_person": "STOP", "remote": "STOP", "advice": ["A1"]}},
    "Policy.identity": {"M2": {"in_person": "REFER", "remote": "REFER", "advice": ["A1"]}},
    "Policy.binding": {"B1": {"in_person": "STOP", "remote": "STOP", "advice": ["A8"]}},
    "Policy.freshness": {"F2": {"in_person": "REFER", "remote": "REFER", "advice": ["A5"]}},
    "Answer.detail": "This document was reported lost. Do not rely on it.",
    "Answer.check": "a1b2c3d4e5f60718293a4b5c6d7e8f90",
    "Problem.type": "/problems/bad-input",
    "Problem.title": "The request cannot be read",
    "Problem.status": 400,
    "Problem.detail": "The purpose is not on the list.",
    "Problem.where": "/purpose",
    "Problem.mend": "Use one of account-opening, credit, medical …",
    "StatusPart.code": "S10",
    "StatusPart.class": "reported",
    "StatusPart.coverage": "listing_only",
    "IdentityPart.code": "M9",
    "BindingPart.code": "B9",
    "FreshnessPart.code": "F0",
    "ErrorPart.code": "E00",
    "Answer.outcome": "STOP",
    "Question.purpose": "account-opening",
    "Question.channel": "in_person",
    "TokenRequest.grant_type": "client_credentials",
    "TokenRequest.client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    "TokenRequest.client_assertion": "eyJhbGciOiJFZDI1NTE5In0.…",
    "TokenAnswer.token_type": "Bearer",
    "access_token": "live_0a1b2c3d4e5f6071_…",
    "action": "open",
    "actions": ["turn_left", "blink"],
    "address": "1 Market Square",
    "author": "registry/0417",
    "NewParty.id": "bank-one",
    "PartyShown.id": "bank-one",
    "birth_date": "1980-01-01",
    "branch": "north-04",
    "PassWanted.case": "ca_0a1b2c3d4e5f60718293a4b5",
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "case": "K-2026-117",
    "channel": "in_person",
    "check": "a1b2c3d4e5f60718293a4b5c6d7e8f90",
    "checkpoint": "annul-1a2b3c4d/register\n1024\nq83v…=\n\n— annul-1a2b3c4d/register HCM…\n",
    "clerk": "0417",
    "contact": "+86 139 0000 0000",
    "cursor": "",
    "death_date": "",
    "detail": "This document was reported lost. Do not rely on it.",
    "duties": ["desk", "found"],
    "events": [],
    "evidence": "letter 2026-7",
    "expires_in": 600,
    "frames": ["/9j/4AAQSkZJRg…"],
    "grounds": "both records name one person",
    "image": "/9j/4AAQSkZJRg…",
    "hours": "day and night",
    "kinds": ["recall"],
    "label": "front desk",
    "latin_name": "LI LEI",
    "leaf_hash": "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=",
    "name": "李雷",
    "note": "stricter at a distance",
    "number": "S10",
    "officer": "desk-east/0417",
    "opening": "00112233445566778899aabbccddeeff",
    "organisation": "bank-one",
    "party": "bank-one",
    "party_name": "Bank One",
    "personal_number": "11010519491231002X",
    "corrected_number": "11010519491231002X",
    "person_number": "11010519491231002X",
    "place": "tram 9",
    "point": "market-square",
    "position": 1024,
    "min_position": 0,
    "purpose": "account-opening",
    "realm": "live",
    "reason": "the holder came in person",
    "region": "110105",
    "reference": "customer 88-1",
    "scheme": "generic",
    "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "shelf": "A-03",
    "signer_country": "CN",
    "staff": "0417",
    "state": "reported_lost",
    "steps": ["Ask the bearer for a second document."],
    "terminal": "T-7",
    "text": "李雷",
    "token": "test_0a1b2c3d4e5f6071_…",
    "url": "https://bank.example/annul",
    "valid_from": "2016-10-06",
    "valid_until": "2036-10-06",
    "vkey": "annul/receipts+1c2d3e4f+AcJ3yq0s8…",
    "words": "known at this branch for years",
}
"""What a field (or a field of one struct, or a struct as a whole) looks like."""

OPTIONAL_SHOWN: Final = frozenset(
    {"evidence", "case", "reason", "happened_at", "reporter", "branch", "terminal", "clerk", "consent"}
)
"""Members of a request that may be left out and are shown all the same."""
_DEPTH_MAX: Final = 8


class Examples:
    """Make examples of schemas.

    Args:
        schemas: all schemas by name, as in the document.
    """

    def __init__(self, schemas: dict[str, dict[str, Any]]) -> None:
        self._schemas = schemas

    def of(self, schema: dict[str, Any], *, request: bool) -> Any:
        """Return an example of a schema; of a request without what may be left out and says little."""
        return self._of(schema, "", "", request=request, depth=0)

    def _of(self, schema: dict[str, Any], owner: str, name: str, *, request: bool, depth: int) -> Any:
        for key in (f"{owner}.{name}", name):
            if key in SAMPLES and _fits(SAMPLES[key], schema, self._schemas):
                return SAMPLES[key]
        if "allOf" in schema:
            return self._of(schema["allOf"][0], owner, name, request=request, depth=depth)
        if "$ref" in schema:
            struct = schema["$ref"].rpartition("/")[2]
            if struct in SAMPLES:
                return SAMPLES[struct]
            return self._of(
                self._schemas[struct], struct, name if "enum" in self._schemas[struct] else "", request=request, depth=depth + 1
            )
        if "anyOf" in schema:
            real = [each for each in schema["anyOf"] if each.get("type") != "null"]
            return self._of(real[0], owner, name, request=request, depth=depth) if depth < _DEPTH_MAX else None
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return next(value for value in schema["enum"] if value)
        return self._typed(schema, owner, name, request=request, depth=depth)

    def _typed(self, schema: dict[str, Any], owner: str, name: str, *, request: bool, depth: int) -> Any:
        kind = schema.get("type", "object")
        if kind == "object":
            if schema.get("required") == ["kty"]:
                return SAMPLES["JWK"]
            needed = schema.get("required", ())
            shown = {
                member: self._of(field, owner, member, request=request, depth=depth + 1)
                for member, field in schema.get("properties", {}).items()
                if not request or member in needed or member in OPTIONAL_SHOWN
            }
            inner = schema.get("additionalProperties")
            if not shown and isinstance(inner, dict):
                return {name[:-1] or "one": self._of(inner, owner, "", request=request, depth=depth + 1)}
            return shown
        if kind == "array":
            if depth >= _DEPTH_MAX:
                return []
            return [self._of(schema["items"], owner, "", request=request, depth=depth + 1)]
        if kind in ("integer", "number"):
            return max(schema.get("minimum", 0), min(3, schema.get("maximum", 3)))
        if kind == "boolean":
            return True
        return _text(schema, name)


def _text(schema: dict[str, Any], name: str) -> str:
    if schema.get("format") == "date-time" or name.endswith("_at") or name in ("since", "until", "at", "as_of"):
        return AT
    pattern = schema.get("pattern", "")
    if "[0-9a-f]" in pattern or name == "id":
        return ID
    return f"{name or 'text'}"[: schema.get("maxLength", 64)].ljust(schema.get("minLength", 0), "x")


def _fits(sample: Any, schema: dict[str, Any], schemas: dict[str, dict[str, Any]]) -> bool:
    """Tell whether a sample may stand for a field: its type, and its list where it is closed."""
    if "allOf" in schema:
        return _fits(sample, schema["allOf"][0], schemas)
    if "$ref" in schema:
        return _fits(sample, schemas[schema["$ref"].rpartition("/")[2]], schemas)
    if "anyOf" in schema:
        return any(_fits(sample, each, schemas) for each in schema["anyOf"])
    if "enum" in schema:
        return sample in schema["enum"]
    if isinstance(sample, list):
        return schema.get("type") == "array" and all(_fits(each, schema["items"], schemas) for each in sample)
    types = {str: "string", int: "integer", bool: "boolean", dict: "object"}
    return schema.get("type") == types[type(sample)]
