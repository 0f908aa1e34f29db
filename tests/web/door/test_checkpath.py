"""The door of checks: who is let in, what is read, and that every refusal is a problem document that leaks nothing."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from annul.errors import NotAuthorised
from annul.listings import pack
from annul.listings.values import WHOLE_LIFE
from annul.proof.receipt import verify
from annul.records.check import Answer
from annul.registry.parties.parties import Principal
from annul.web.door.checkpath import BATCH_BYTES_MAX, CHECK_BYTES_MAX, CheckPath
from tests.registry.answering.desk import NOW_US, NUMBER, Desk, State, card, parsed, principal, question
from tests.registry.answering.test_checklog import Failing

KEY = "live_0011223344556677_" + "ab" * 32
Reply = tuple[int, dict[str, str], Any]


class Door:
    """Hold the check path over a small real world; what goes behind it answers 418."""

    def __init__(self, desk: Desk, *, https: bool = False, **options: Any) -> None:
        self.desk = desk
        self.by_token = {hashlib.sha256(KEY.encode()).digest(): desk.bank}
        office: Any = SimpleNamespace(
            checks=desk.checks(**options),
            parties=SimpleNamespace(snapshot=SimpleNamespace(by_token=self.by_token), principal_of_client=self._client),
            now_us=lambda: desk.now,
            keys=SimpleNamespace(session=b"session key of a test, 32 bytes."),
            settings=SimpleNamespace(base_url="http://annul.test", https=https),
        )
        self.office = office
        self.path = CheckPath(office, self.behind)

    def _client(self, client_id: str) -> Principal:
        if client_id != "bank":
            raise NotAuthorised("The client is closed.")
        return self.desk.bank

    async def behind(self, _scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 418, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    async def post(
        self, path: str, body: bytes | list[bytes], key: str | None = f"Bearer {KEY}", method: str = "POST"
    ) -> Reply:
        """Send a request, in one or several parts."""
        parts = body if isinstance(body, list) else [body]
        messages = iter(
            [{"type": "http.request", "body": part, "more_body": n < len(parts)} for n, part in enumerate(parts, 1)]
        )
        sent: list[Any] = []

        async def receive() -> Any:
            return next(messages, {"type": "http.disconnect"})

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [(b"content-type", b"application/x-www-form-urlencoded")]
        if key is not None:
            headers.append((b"authorization", key.encode()))
        await self.path({"type": "http", "method": method, "path": path, "headers": headers}, receive, send)
        if not sent:
            return 0, {}, None
        names = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        raw = sent[1]["body"]
        if sent[0]["status"] != 418:
            assert int(names["content-length"]) == len(raw)
        return sent[0]["status"], names, msgspec.json.decode(raw)


def at_the_door(tmp_path: Path, story: Callable[[Door], Awaitable[None]], **options: Any) -> None:
    """Run a story at the door of a fresh world."""

    async def run() -> None:
        desk = Desk(tmp_path)
        try:
            await asyncio.wait_for(story(Door(desk, **options)), 30)
        finally:
            await desk.close()

    asyncio.run(run())


BODY = msgspec.json.encode(question())


def test_a_check_is_answered_with_receipt_and_rate_limit(tmp_path: Path) -> None:
    """POST /v1/checks answers 200 with all axes, a receipt that verifies, and the rate-limit fields."""

    async def story(door: Door) -> None:
        door.desk.put(parsed(), pack(State.reported_lost, 0, WHOLE_LIFE))
        status, headers, body = await door.post("/v1/checks", BODY)
        assert (status, body["outcome"], body["status"]["code"]) == (200, "STOP", "S10")
        verify(body["receipt"], door.desk.verifier)
        assert headers["ratelimit-policy"] == '"second";q=1000;w=1, "day";q=10000000;w=86400'
        assert headers["ratelimit"].startswith('"second";r=999;t=1, "day";r=9999999;t=')
        assert headers["cache-control"] == "no-store"

    at_the_door(tmp_path, story)


@pytest.mark.parametrize("https", [False, True])
def test_every_answer_has_the_security_fields(tmp_path: Path, https: bool) -> None:
    """Answers, batches and refusals: no sniffing, no content of any kind, nothing stored; HSTS behind TLS alone."""

    async def story(door: Door) -> None:
        for path, body, key in (
            ("/v1/checks", BODY, f"Bearer {KEY}"),
            ("/v1/checks/batch", b'{"checks":[]}', f"Bearer {KEY}"),
            ("/v1/checks", b"{", f"Bearer {KEY}"),
            ("/v1/checks", BODY, None),
        ):
            _, fields, _ = await door.post(path, body, key)
            assert fields["x-content-type-options"] == "nosniff"
            assert fields["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
            assert fields["cache-control"] == "no-store"
            assert ("strict-transport-security" in fields) is https

    at_the_door(tmp_path, story, https=https)


def test_checks_are_answered_while_everything_else_waits_for_its_doors(tmp_path: Path) -> None:
    """After a start the pages come later: who asks for one waits and is answered; at the end, is told to ask again."""

    async def story(door: Door) -> None:
        door.path = CheckPath(door.office)
        waiting = asyncio.create_task(door.post("/", b"", method="GET"))
        status, _, body = await door.post("/v1/checks", BODY)
        assert (status, body["outcome"]) == (200, "REFER")
        assert not waiting.done()
        door.path.open(door.behind)
        assert (await waiting)[0] == 418
        door.path = CheckPath(door.office)
        waiting = asyncio.create_task(door.post("/", b"", method="GET"))
        await asyncio.sleep(0)
        door.path.stay_closed()
        status, headers, _ = await waiting
        assert (status, headers["retry-after"]) == (503, "1")

    at_the_door(tmp_path, story)


def test_everything_else_goes_behind(tmp_path: Path) -> None:
    """Other methods, other paths and other protocols are not answered here."""

    async def story(door: Door) -> None:
        for method, path in (("GET", "/v1/checks"), ("POST", "/v1/reports"), ("POST", "/v1/checks/"), ("PUT", "/v1/checks")):
            assert (await door.post(path, b"", method=method))[0] == 418

    at_the_door(tmp_path, story)


@pytest.mark.parametrize(
    "key", [None, "", "Bearer", "Bearer ", f"Basic {KEY}", f"Bearer {KEY}x", "Bearer a.b.c", "Bearer \xff.x.y"]
)
def test_who_is_not_known_is_not_answered(tmp_path: Path, key: str | None) -> None:
    """No bearer, a wrong one, a made-up access token: 401 with a challenge, NO_ANSWER, E92, and no account."""

    async def story(door: Door) -> None:
        status, headers, body = await door.post("/v1/checks", BODY, key)
        assert (status, body["outcome"], body["error"]) == (401, "NO_ANSWER", "E92")
        assert headers["www-authenticate"].startswith("Bearer")
        assert headers["content-type"] == "application/problem+json"
        assert door.desk.open[0][1].next_window == 0

    at_the_door(tmp_path, story)


def test_an_expired_key_is_not_answered(tmp_path: Path) -> None:
    """A key counts until its time is over, by the clock of the answer."""

    async def story(door: Door) -> None:
        door.by_token[hashlib.sha256(KEY.encode()).digest()] = msgspec.structs.replace(
            door.desk.bank, expires_at_us=NOW_US + 1_000
        )
        assert (await door.post("/v1/checks", BODY))[0] == 200
        door.desk.now += 1_000
        assert (await door.post("/v1/checks", BODY))[0] == 401

    at_the_door(tmp_path, story)


def test_an_access_token_is_good_until_its_end(tmp_path: Path) -> None:
    """A signed token of ten minutes is accepted, remembered, and refused after its end."""

    async def story(door: Door) -> None:
        from annul.web.door.tokens import AccessTokens

        token = AccessTokens(door.office).issue("bank")
        for _ in range(2):
            assert (await door.post("/v1/checks", BODY, f"Bearer {token}"))[0] == 200
        door.desk.now += 601_000_000
        assert (await door.post("/v1/checks", BODY, f"Bearer {token}"))[0] == 401
        other = AccessTokens(door.office).issue("closed")
        assert (await door.post("/v1/checks", BODY, f"Bearer {other}"))[0] == 401

    at_the_door(tmp_path, story)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b"\xff\xfe",
        b'{"document": 1}',
        b"[" * 100_000,
        BODY.replace(b"in_person", b"by pigeon"),
        BODY.replace(b"account-opening", b"curiosity"),
        BODY.replace(b"cn-resident", b"none"),
        BODY.replace(b"cn-resident", b"x" * 500),
        BODY.replace(b"2016-10-06", b"yesterday"),
        BODY[:-1] + b',"more": 1}',
        BODY.replace(b'"min_position":0', b'"min_position":-1'),
        BODY.replace(b'"branch":""', b'"branch":"' + b"b" * 65 + b'"'),
    ],
)
def test_bad_input_is_a_problem_that_repeats_nothing(tmp_path: Path, body: bytes) -> None:
    """Each wrong body: 400, NO_ANSWER, E94, and the number is not in the text."""

    async def story(door: Door) -> None:
        status, headers, problem = await door.post("/v1/checks", body)
        assert (status, problem["outcome"], problem["error"]) == (400, "NO_ANSWER", "E94")
        assert headers["content-type"] == "application/problem+json"
        assert NUMBER not in str(problem)
        assert door.desk.open[0][1].next_window == 0

    at_the_door(tmp_path, story)


def test_a_body_may_come_in_parts_and_has_a_limit(tmp_path: Path) -> None:
    """A body in parts is put together; one byte more than the limit is 413; a client that goes away is let go."""

    async def story(door: Door) -> None:
        assert (await door.post("/v1/checks", [BODY[:10], b"", BODY[10:]]))[0] == 200
        padded = BODY + b" " * (CHECK_BYTES_MAX - len(BODY))
        assert (await door.post("/v1/checks", padded))[0] == 200
        assert (await door.post("/v1/checks", padded + b" "))[0] == 413
        assert (await door.post("/v1/checks", [padded, b" "]))[0] == 413
        assert (await door.post("/v1/checks/batch", b'{"checks":[]}'.ljust(BATCH_BYTES_MAX + 1)))[0] == 413

    at_the_door(tmp_path, story)


def test_a_batch_answers_each_in_its_place(tmp_path: Path) -> None:
    """Good, malformed, unreadable and forbidden questions of one batch each get their own answer, in order."""

    async def story(door: Door) -> None:
        door.desk.put(parsed(), pack(State.reported_lost, 0, WHOLE_LIFE))
        items = [
            BODY,
            msgspec.json.encode(question(card(number="1"))),
            b'{"document": 7}',
            msgspec.json.encode(question(purpose="travel")),
            b"12",
        ]
        status, _, body = await door.post("/v1/checks/batch", b'{"checks":[%b]}' % b",".join(items))
        assert status == 200
        answers = [msgspec.convert(item, Answer) for item in body["answers"]]
        assert [answer.status.code for answer in answers] == ["S10", "U33", None, None, None]
        assert [answer.error.code for answer in answers] == ["E00", "E00", "E94", "E93", "E94"]
        assert "/checks/2/document" in answers[2].detail
        assert (await door.post("/v1/checks/batch", b'{"checks":[]}'))[2] == {"answers": []}
        status, _, problem = await door.post("/v1/checks/batch", b'{"checks":[%b]}' % b",".join([b"1"] * 10_001))
        assert (status, problem["error"]) == (413, "E94")
        assert (await door.post("/v1/checks/batch", b'{"checks":7}'))[0] == 400

    at_the_door(tmp_path, story)


def test_over_quota_says_when_to_come_back(tmp_path: Path) -> None:
    """The check over the quota is 429 with Retry-After; the next second is answered."""

    async def story(door: Door) -> None:
        door.by_token[hashlib.sha256(KEY.encode()).digest()] = principal("small", per_second=1)
        assert (await door.post("/v1/checks", BODY))[0] == 200
        status, headers, problem = await door.post("/v1/checks", BODY)
        assert (status, headers["retry-after"], problem["error"]) == (429, "1", "E91")
        door.desk.now += 1_000_000
        assert (await door.post("/v1/checks", BODY))[0] == 200

    at_the_door(tmp_path, story)


def test_roles_without_an_agreement_are_forbidden(tmp_path: Path) -> None:
    """An officer's key is good, but not for checks."""

    async def story(door: Door) -> None:
        door.by_token[hashlib.sha256(KEY.encode()).digest()] = Principal("desk", "Desk", "police", "live")
        status, _, problem = await door.post("/v1/checks", BODY)
        assert (status, problem["error"]) == (403, "E92")

    at_the_door(tmp_path, story)


def test_a_full_disk_answers_nobody(tmp_path: Path) -> None:
    """When the account cannot be written: 503, NO_ANSWER, E90, Retry-After, no path of ours in the text; then it goes on."""
    steps: dict[str, int | str] = {}

    async def story(door: Door) -> None:
        assert (await door.post("/v1/checks", BODY))[0] == 200
        steps["write"] = 28
        status, headers, problem = await door.post("/v1/checks", BODY)
        assert (status, problem["outcome"], problem["error"]) == (503, "NO_ANSWER", "E90")
        assert "retry-after" in headers
        assert str(tmp_path) not in str(problem)
        assert (await door.post("/v1/checks/batch", b'{"checks":[%b]}' % BODY))[0] == 503
        steps.clear()
        assert (await door.post("/v1/checks", BODY))[0] == 200

    at_the_door(tmp_path, story, open_file=lambda path: Failing(path, steps))
