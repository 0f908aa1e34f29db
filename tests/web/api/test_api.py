"""What holds at every address: sizes, types, keys, queries, methods, addresses."""

from __future__ import annotations

import pytest

from tests.web.api.answers import problem
from tests.web.conftest import House


def test_a_body_that_is_too_large_is_cut_off(house: House) -> None:
    """A megabyte of JSON where 64 KiB are enough: 413."""
    body = b'{"document":{"scheme":"' + b"a" * 1_000_000 + b'"}}'
    answer = house.call("POST", "/v1/reports", "police", content=body, headers={"content-type": "application/json"})
    problem(answer, 413, "too-large")


def test_a_body_of_another_type_is_refused(house: House) -> None:
    """415 says what is read."""
    problem(house.call("POST", "/v1/reports", "police", data={"kind": "lost"}), 415, "unsupported-media-type")


@pytest.mark.parametrize("key", ["", "a b", "x" * 129])
def test_an_unusable_idempotency_key_is_refused(house: House, key: str) -> None:
    """Before anything is written."""
    body = {"document": house.passport(), "kind": "lost", "proof": "in_person"}
    answer = house.call("POST", "/v1/reports", "police", json=body, headers={"idempotency-key": key})
    assert problem(answer, 400, "bad-input")["where"] == "Idempotency-Key"


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "nope=1", "limit=1&limit=2", "cursor=%21", "cursor=" + "a" * 5000])
def test_a_bad_query_is_refused(house: House, query: str) -> None:
    """Unknown, doubled and malformed parameters."""
    assert problem(house.call("GET", f"/v1/checks?{query}", "bank"), 400, "bad-input")["where"].startswith("?")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("DELETE", "/v1/checks", "GET, HEAD, OPTIONS, POST"),
        ("GET", "/v1/checks/batch", "OPTIONS, POST"),
        ("PUT", "/v1/keys", "GET, HEAD, OPTIONS"),
        ("GET", f"/v1/reports/r_{'0' * 24}/lift", "OPTIONS, POST"),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(house: House, method: str, path: str, allow: str) -> None:
    """405 with Allow."""
    answer = house.call(method, path, "supervisor")
    problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == allow


@pytest.mark.parametrize("path", ["/nope", "/v1", "/v1/checks/zzz", "/v1/log/other/checkpoint", "/v1/log/register/tile/9/../x"])
def test_an_address_that_is_none_is_a_problem_too(house: House, path: str) -> None:
    """404 in the one form."""
    problem(house.call("GET", path, "bank"), 404, "not-found")


def test_head_answers_like_get_without_a_body(house: House) -> None:
    """RFC 9110: operators probe with HEAD."""
    answer = house.call("HEAD", "/healthz")
    assert (answer.status_code, answer.content) == (200, b"")
