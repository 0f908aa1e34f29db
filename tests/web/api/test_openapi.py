"""The OpenAPI document is true: generated requests find no 5xx, no undocumented status, no answer outside its schema."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import hypothesis
import jsonschema_rs
import pytest
import requests
import schemathesis
from schemathesis.checks import CHECKS
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    missing_required_header,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from annul.web.api import openapi
from annul.web.door.problem import PROBLEMS
from annul.web.routes import ROUTES
from tests.waiting import WAIT_S
from tests.web.conftest import House

DOCUMENT = openapi.document(ROUTES, "http://127.0.0.1")
REFUSALS = ["400", "401", "403", "404", "405", "409", "413", "415", "422", "429"]
SLOW = {"include-path": "/v1/checks/batch", "phases": {"coverage": {"enabled": False}}}
"""Boundary values of a batch are bodies of 10,001 checks, by the dozen; test_checkpath has one."""
CONFIG = SchemathesisConfig.from_dict(
    {"checks": {"negative_data_rejection": {"expected-statuses": REFUSALS}}, "operations": [SLOW]}
)


@schemathesis.serializer("application/x-ndjson")
def _ndjson(_ctx: object, value: object) -> bytes:
    """Send what is generated as one line."""
    return str(value).encode()


SCHEMA = schemathesis.openapi.from_dict(DOCUMENT, config=CONFIG).exclude(path="/v1/feed")
"""Without the live feed, whose answer has no end (test_feed reads it)."""
CALLERS = {"relying_party": "bank", "issuer": "issuer", "police": "police", "supervisor": "supervisor"}
WHO = {(route.method, re.sub(":path}", "}", route.path)): route.who for route in ROUTES}
EXAMPLES = 6
HELD = [
    CHECKS.get_one("not_a_server_error"),
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
    missing_required_header,
    unsupported_method,
]
"""Not held here: that every body of the schema is accepted (a number with a wrong check digit fits the schema and is refused),
and that operations need a credential (test_roles walks the whole matrix)."""


@pytest.fixture(scope="module")
def connection() -> Iterator[requests.Session]:
    """One connection for all requests: a connection and a look at the machine's proxies for each cost more than the answer."""
    with requests.Session() as session:
        session.trust_env = False
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        yield session


@SCHEMA.parametrize()
@hypothesis.settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(hypothesis.HealthCheck))
def test_generated_requests_find_no_server_error_and_no_lie(
    case: schemathesis.Case, house: House, connection: requests.Session
) -> None:
    """Good and bad requests for every operation, as somebody who may call it."""
    who = WHO[case.operation.method.upper(), case.path]
    headers = {}
    if isinstance(who, frozenset):
        name = "bank" if "relying_party" in who else CALLERS[sorted(who)[0]]
        headers["authorization"] = f"Bearer {house.test_keys[name]}"
    checks = list(HELD)
    if case.path == "/v1/checks/batch":
        checks.remove(negative_data_rejection)  # a check that cannot be read is a NO_ANSWER in its place, not a refusal of all
    case.call_and_validate(base_url=house.url, session=connection, headers=headers, checks=checks, timeout=WAIT_S)


def test_every_route_for_programs_is_described() -> None:
    """No operation is missing, and none is described that does not exist."""
    described = {(method.upper(), path) for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert described == {(route.method, re.sub(":path}", "}", route.path)) for route in ROUTES if not route.page}


def test_every_operation_says_who_may_call() -> None:
    """Public operations have empty security, all others a bearer."""
    for route in ROUTES:
        if not route.page:
            operation = DOCUMENT["paths"][re.sub(":path}", "}", route.path)][route.method.lower()]
            assert operation["security"] == ([] if route.who == "public" else [{"key": []}, {"oauth": []}])
            assert operation["summary"]
            assert operation["tags"] != [""]


def test_schemas_have_names_of_their_own_and_sets_one_order() -> None:
    """No schema bears the name of a module of ours, as two of one name would; every process says the same bytes."""
    schemas = DOCUMENT["components"]["schemas"]
    assert [name for name in schemas if not re.fullmatch("[A-Z][A-Za-z0-9]*", name)] == []
    sets = [
        re.findall("`([^`]+)`", field["description"].partition("Left out: ")[2])
        for schema in schemas.values()
        for field in schema.get("properties", {}).values()
        if field.get("uniqueItems") and "Left out: " in field["description"]
    ]
    assert any(sets)
    assert all(each == sorted(each) for each in sets)


def _valid(schema: dict[str, Any], example: Any) -> list[str]:
    whole = {**schema, "components": DOCUMENT["components"], "$schema": "https://json-schema.org/draft/2020-12/schema"}
    return [str(error).splitlines()[0] for error in jsonschema_rs.validator_for(whole).iter_errors(example)]


def test_every_operation_has_words_and_examples_that_are_true() -> None:
    """A description, a request where there is a body, an answer for every status: each of its schema."""
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            place = f"{method} {path}"
            assert operation["description"], place
            assert all(parameter["description"] for parameter in operation.get("parameters", ())), place
            bodies = [*operation.get("requestBody", {}).get("content", {}).values()]
            bodies += [content for answer in operation["responses"].values() for content in answer["content"].values()]
            assert bodies, place
            for content in bodies:
                assert content["example"] not in (None, ""), place
                assert _valid(content["schema"], content["example"]) == [], place


def test_every_field_has_words() -> None:
    """From the docstring of its struct; none has a default that a generator takes for "always there"."""
    fields = {
        (name, field): told
        for name, schema in DOCUMENT["components"]["schemas"].items()
        for field, told in schema.get("properties", {}).items()
    }
    assert len(fields) > 900
    assert [place for place, told in fields.items() if len(told.get("description", "")) < 4] == []
    assert [place for place, told in fields.items() if "default" in told] == []


def test_every_object_says_what_is_in_it() -> None:
    """The receipt above all: no schema is a bare object, and every schema is used."""
    bare: list[str] = []

    def walk(told: Any, place: str) -> None:
        if isinstance(told, dict):
            if told.get("type") == "object" and not {"properties", "additionalProperties", "maxProperties"} & set(told):
                bare.append(place)
            for name, inner in told.items():
                walk(inner, f"{place}/{name}")

    schemas = DOCUMENT["components"]["schemas"]
    walk(schemas, "")
    assert bare == []
    assert schemas["Answer"]["properties"]["receipt"]["anyOf"][0] == {"$ref": "#/components/schemas/ReceiptShown"}
    assert set(schemas["ReceiptShown"]["required"]) == {"version", "leaf", "index", "path", "statement", "signature", "key"}
    text = json.dumps(DOCUMENT)
    assert [name for name in schemas if f'"#/components/schemas/{name}"' not in text] == []


def test_a_real_answer_and_the_codes_are_of_their_schemas(house: House) -> None:
    """What is served fits what is described, receipt included; every code of the answer is in the tables."""
    answer = house.ask({"scheme": "ru-internal", "series": "4509", "number": "700001"})
    assert _valid({"$ref": "#/components/schemas/Answer"}, answer) == []
    tables = house.call("GET", "/v1/codes").json()
    assert _valid({"$ref": "#/components/schemas/CodeTables"}, tables) == []
    axes = {axis: {row["code"]: row for row in rows} for axis, rows in tables["axes"].items()}
    assert axes["status"][answer["status"]["code"]]["meaning"]
    assert set(answer["advice"]) <= set(axes["advice"])
    assert axes["scheme"]["ru-internal"]["number"] == 3


def test_the_document_served_is_this_one(house: House) -> None:
    """`/openapi.json` is what is tested here, but for the address."""
    served = house.call("GET", "/openapi.json").json()
    assert served["servers"] == [{"url": house.url}]
    assert served["paths"] == DOCUMENT["paths"]


@pytest.mark.parametrize("code", PROBLEMS)
def test_every_problem_has_a_page_that_explains_it(house: House, code: str) -> None:
    """The `type` of a problem leads somewhere."""
    page = house.call("GET", f"/problems/{code}")
    assert page.status_code == 200
    assert PROBLEMS[code].title.replace("'", "&#39;") in page.text
