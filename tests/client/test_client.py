"""The relying party's library: errors keep their kind, writes are done once, nothing becomes an answer that is none."""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx
import pytest

from annul import errors
from annul.client import BATCH_MAX, Client, Unreachable
from annul.client.connection import ATTEMPTS_MAX, Connection
from annul.web.door.problem import PROBLEMS, problem_of

ANSWER = {
    "outcome": "STOP",
    "status": {"code": "S10", "class": "reported", "coverage": "whole_life"},
    "identity": {"code": "M9"},
    "binding": {"code": "B9"},
    "freshness": {"code": "F0", "position": 12, "as_of": "2026-11-23T14:03:22.000Z"},
    "advice": ["A6", "A8"],
    "check": "ab",
    "receipt": {},
    "detail": "…",
    "something": "of a later version",
}
QUESTION = {
    "document": {"scheme": "ru-internal", "series": "4509", "number": "123456"},
    "purpose": "payment",
    "channel": "remote",
}

Handler = Callable[[httpx.Request], httpx.Response]


def connected(handler: Handler) -> Client:
    """Return a client whose server is `handler`, and which does not sleep."""
    client = Client("http://annul.example", "live_key", transport=httpx.MockTransport(handler))
    client.connection._sleep = lambda _seconds: None
    return client


def _kinds() -> list[type[errors.AnnulError]]:
    return [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.AnnulError)]


@pytest.mark.parametrize("kind", _kinds(), ids=lambda kind: kind.code)
def test_a_problem_comes_back_as_the_error_it_was(kind: type[errors.AnnulError]) -> None:
    """Every error of the tree survives the way over HTTP with its class, where and mend."""
    step = {"step": 4} if kind is errors.VerificationFailed else {}
    sent = problem_of(kind("Something is so.", where="/document", mend="Do this.", **step))
    assert sent.code in PROBLEMS
    with (
        connected(lambda _request: httpx.Response(sent.status, content=sent.body)) as client,
        pytest.raises(errors.AnnulError) as caught,
    ):
        client.ask_question(QUESTION)
    assert type(caught.value) is kind
    assert caught.value.mend


@pytest.mark.parametrize("failure", [httpx.ConnectError, httpx.ReadTimeout, httpx.RemoteProtocolError])
def test_unreachable_is_never_an_answer(failure: type[httpx.TransportError]) -> None:
    """A broken connection raises; there is no default answer."""

    def broken(request: httpx.Request) -> httpx.Response:
        raise failure("gone", request=request)

    with connected(broken) as client, pytest.raises(Unreachable):
        client.ask_question(QUESTION)


def test_something_that_is_no_annul_is_named_so() -> None:
    """A proxy's error page and an answer of another form are errors, not answers."""
    with (
        connected(lambda _request: httpx.Response(502, content=b"<html>")) as client,
        pytest.raises(errors.AnnulError, match="502"),
    ):
        client.ask_question(QUESTION)
    other = httpx.Response(200, json={"outcome": "PASS"})
    with connected(lambda _request: other) as client, pytest.raises(errors.UnknownVersion):
        client.ask_question(QUESTION)


def test_an_answer_keeps_its_axes_and_unknown_members_are_passed_over() -> None:
    """What a later version adds does not break today's client."""
    with connected(lambda _request: httpx.Response(200, json=ANSWER)) as client:
        answer = client.ask(QUESTION["document"], purpose="payment", branch="0421")
    assert (answer.outcome, answer.status.code, answer.status.class_, answer.freshness.position) == (
        "STOP",
        "S10",
        "reported",
        12,
    )


def test_a_report_is_sent_again_with_the_same_key_until_it_is_answered() -> None:
    """Connection lost, then not yet effective, then accepted: one Idempotency-Key throughout."""
    keys: list[str] = []

    def server(request: httpx.Request) -> httpx.Response:
        keys.append(request.headers["idempotency-key"])
        if len(keys) == 1:
            raise httpx.ReadError("lost", request=request)
        if len(keys) == 2:
            pending = problem_of(errors.NotYetEffective("Recorded."))
            return httpx.Response(pending.status, content=pending.body)
        return httpx.Response(201, json={"report": "r_1", "state": "reported_lost", "position": 7, "refused_after_ms": 1.5})

    with connected(server) as client:
        report = client.report(QUESTION["document"], "lost", proof="in_person")
    assert (report.position, report.refused_after_ms) == (7, 1.5)
    assert len(keys) == 3
    assert len(set(keys)) == 1


def test_a_write_gives_up_after_its_attempts_and_says_so() -> None:
    """The last error is raised; nothing pretends to be done."""
    count = 0

    def broken(request: httpx.Request) -> httpx.Response:
        nonlocal count
        count += 1
        raise httpx.ConnectError("down", request=request)

    with connected(broken) as client, pytest.raises(Unreachable):
        client.report(QUESTION["document"], "lost", proof="in_person")
    assert count == ATTEMPTS_MAX


def test_a_refusal_is_not_repeated() -> None:
    """A rule that says no says no once."""
    asked = 0

    def refusing(_request: httpx.Request) -> httpx.Response:
        nonlocal asked
        asked += 1
        refused = problem_of(errors.TransitionRefused("A rule forbids it."))
        return httpx.Response(refused.status, content=refused.body)

    with connected(refusing) as client, pytest.raises(errors.TransitionRefused):
        client.report(QUESTION["document"], "lost", proof="in_person")
    assert asked == 1


def test_many_questions_go_in_batches_and_come_back_in_order() -> None:
    """More than one batch of the contract's size; the answers keep the order."""
    sizes: list[int] = []

    def server(request: httpx.Request) -> httpx.Response:
        checks = json.loads(request.content)["checks"]
        sizes.append(len(checks))
        return httpx.Response(200, json={"answers": [ANSWER | {"check": check["reference"]} for check in checks]})

    with connected(server) as client:
        answers = list(client.ask_many(QUESTION | {"reference": str(n)} for n in range(BATCH_MAX + 3)))
    assert sizes == [BATCH_MAX, 3]
    assert [answer.check for answer in answers] == [str(n) for n in range(BATCH_MAX + 3)]


def test_numbers_never_stand_in_addresses() -> None:
    """The document travels in the body; the address is that of the route alone."""
    seen: list[httpx.Request] = []

    def server(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json=ANSWER)

    with connected(server) as client:
        client.ask_question(QUESTION)
    assert str(seen[0].url) == "http://annul.example/v1/checks"
    assert "123456" not in str(seen[0].headers)


@pytest.mark.parametrize("url", ["annul.example", "ftp://annul.example", "http://[::1"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    """The error says what an address looks like."""
    with pytest.raises(errors.BadInput, match="http"):
        Connection(url)
