"""The short way of a check, through the connection itself: bytes and order of the long way, limits, no second reading."""

from __future__ import annotations

import asyncio
import hashlib
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest

from annul.listings.values import pack
from annul.proof.receipt import verify
from annul.proof.words import explain
from annul.records.check import Answer
from annul.records.status import State
from annul.web.door import protocol
from annul.web.door.checkpath import BODY_TIMEOUT_S, CHECK_BYTES_MAX
from annul.web.door.protocol import HEAD_BYTES_MAX, HEAD_TIMEOUT_S, KNOWN_HEADS_MAX, LINGER_S, check_protocol
from tests.registry.answering.desk import parsed, principal, question
from tests.registry.answering.test_checklog import Failing
from tests.waiting import WAIT_S
from tests.web.connection import BODY, Client, House, Reply, on_the_wire, request
from tests.web.door.test_checkpath import KEY


def test_a_check_is_answered_on_a_connection_that_stays(tmp_path: Path) -> None:
    """Many checks on one connection: each with its own receipt that verifies, and its fields of quota and security."""

    async def story(house: House) -> None:
        client = await house.client()
        checks = set()
        for n in range(5):
            reply = await client.ask(request())
            assert reply.status == 200
            verify(reply.body["receipt"], house.desk.verifier)
            checks.add(reply.body["check"])
            assert reply.fields["ratelimit"].startswith(f'"second";r={999 - n};t=1')
            assert reply.fields["x-content-type-options"] == "nosniff"
            assert reply.fields["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert len(checks) == 5
        assert house.answered() == 5

    on_the_wire(tmp_path, story)


def test_a_head_is_read_once_and_then_known(tmp_path: Path) -> None:
    """The second request with the same head is answered without the parser; another length is another head."""

    async def story(house: House) -> None:
        client = await house.client()
        first = await client.ask(request())
        assert next(iter(house.gate.known.values()))[1] == len(BODY)
        parser, house.connection().parser = house.connection().parser, None
        second = await client.ask(request())
        house.connection().parser = parser
        assert (first.status, second.status) == (200, 200)
        assert first.fields.keys() == second.fields.keys()
        assert (await client.ask(request(BODY + b" "))).status == 200
        assert len(house.gate.known) == 2
        assert house.answered() == 3

    on_the_wire(tmp_path, story)


def test_a_known_head_does_not_let_in_who_is_no_longer_known(tmp_path: Path) -> None:
    """A key that was revoked is refused although its head was answered a moment ago; the connection stays good."""

    async def story(house: House) -> None:
        client = await house.client()
        for _ in range(2):
            assert (await client.ask(request())).status == 200
        parties = house.door.office.parties
        known, parties.snapshot = parties.snapshot, type(parties.snapshot)(by_token={})
        refused = await client.ask(request())
        assert (refused.status, refused.body["error"]) == (401, "E92")
        parties.snapshot = known
        assert (await client.ask(request())).status == 200

    on_the_wire(tmp_path, story)


def test_known_heads_are_bounded(tmp_path: Path) -> None:
    """Clients with ever new heads do not fill the memory, and long heads are not remembered at all."""

    async def story(house: House) -> None:
        client = await house.client()
        assert (await client.ask(request(BODY, "X-Trace: " + "t" * 2_000))).status == 200
        assert not house.gate.known
        for n in range(KNOWN_HEADS_MAX + 1):
            house.gate.remember(b"%d" % n, [], n)
        assert len(house.gate.known) == 1

    on_the_wire(tmp_path, story)


@pytest.mark.parametrize("size", [1, 7, 40, 150])
def test_a_request_may_come_in_any_pieces(tmp_path: Path, size: int) -> None:
    """Heads and bodies cut anywhere are put together; what is left of a segment belongs to the next request."""

    async def story(house: House) -> None:
        client = await house.client()
        data = request() * 3
        for at in range(0, len(data), size):
            await client.send(data[at : at + size])
            await asyncio.sleep(0)
        assert [(await client.reply()).status for _ in range(3)] == [200] * 3
        assert house.answered() == 3

    on_the_wire(tmp_path, story)


def test_pipelined_requests_are_answered_in_order(tmp_path: Path) -> None:
    """Checks, other addresses and refusals in one segment: each answer in the place of its request."""

    async def story(house: House) -> None:
        client = await house.client()
        malformed = msgspec.json.encode({"document": {"scheme": "ru-internal", "series": "1", "number": "2"}} | _WAY)
        parts = [
            request(),
            request(malformed),
            request(b"", line="GET /v1/checks HTTP/1.1"),
            request(key="nobody"),
            request(b"abc", line="POST /v1/reports HTTP/1.1"),
            request(b"{"),
            request(),
        ]
        for order in (parts, parts[::-1]):
            await client.send(b"".join(order))
            replies = [await client.reply() for _ in order]
            expected = ["U30", "U33", "418", "401", "418", "400", "U30"]
            assert [said(reply) for reply in replies] == (expected if order is parts else expected[::-1])

    on_the_wire(tmp_path, story)


_WAY = {"purpose": "account-opening", "channel": "in_person"}


_PARTS: dict[str, bytes] = {}
"""Requests by what is said to them; filled below, where their writers are known."""


def said(reply: Reply) -> str:
    """Say what a reply said: status of the document, or of the answer."""
    body = reply.body
    return str(body["status"]["code"] if reply.status == 200 and "status" in body else reply.status)


def test_any_requests_cut_anywhere_are_answered_in_order(tmp_path: Path) -> None:
    """Whatever follows whatever on a connection, in whatever segments: as many answers, in order, each to its own request."""

    async def story(house: House) -> None:
        chance = random.Random(20261123)
        for _ in range(60):
            names = chance.choices(list(_PARTS), k=chance.randint(1, 9))
            data = b"".join(_PARTS[name] for name in names)
            cuts = sorted(chance.sample(range(1, len(data)), chance.choice((0, 0, 1, 3, 8))))
            client = await house.client()
            for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
                await client.send(data[start:end])
                for _ in range(chance.choice((0, 1, 5))):
                    await asyncio.sleep(0)
            replies = [await client.reply() for _ in names]
            assert [said(reply) for reply in replies] == [name.split(" ")[0] for name in names]
            client.writer.write_eof()
            assert await client.ended()

    on_the_wire(tmp_path, story)


def test_a_check_waits_its_turn_behind_a_slow_request(tmp_path: Path) -> None:
    """A check sent while another address of the connection works is answered after it, and others are not held up."""

    async def story(house: House) -> None:
        house.hold.clear()
        client, other = await house.client(), await house.client()
        await client.send(request(b"abc", line="POST /v1/slow HTTP/1.1"))
        await client.send(request())
        assert (await other.ask(request())).status == 200
        house.hold.set()
        assert (await client.reply()).body == ["POST", "/v1/slow", 3]
        assert (await client.reply()).status == 200
        assert (await client.ask(request())).status == 200

    on_the_wire(tmp_path, story)


def test_other_methods_and_addresses_go_behind(tmp_path: Path) -> None:
    """GET, PUT, HEAD, a query, a longer path, a batch: none of them is taken for a single check."""

    async def story(house: House) -> None:
        client = await house.client()
        for line in ("GET /v1/checks", "PUT /v1/checks", "POST /v1/checks/", "POST /v1/Checks", "POST /v1/check"):
            assert (await client.ask(request(b"", line=f"{line} HTTP/1.1"))).status == 418
        assert (await client.ask(request(line="POST /v1/checks?a=b HTTP/1.1"))).status == 200
        assert (await client.ask(request(b'{"checks":[%b]}' % BODY, line="POST /v1/checks/batch HTTP/1.1"))).status == 200
        await client.send(request(b"", line="HEAD /v1/checks HTTP/1.1"))
        assert b" 418 " in await client.reader.readuntil(b"\r\n\r\n")
        assert (await client.ask(request())).status == 200

    on_the_wire(tmp_path, story)


def chunked(*parts: bytes) -> bytes:
    """Write a chunked body."""
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (*parts, b""))


_PARTS |= {
    "U30 check": request(),
    "U30 another length": request(BODY + b" "),
    "U30 chunked": request(chunked(BODY[:9], BODY[9:]), "Transfer-Encoding: chunked", length=-1),
    "U30 query": request(line="POST /v1/checks?a=b HTTP/1.1"),
    "U33 malformed": request(msgspec.json.encode({"document": {"scheme": "ru-internal", "series": "1", "number": "2"}} | _WAY)),
    "400 no JSON": request(b"{"),
    "400 empty": request(b""),
    "401 nobody": request(key="nobody"),
    "413 large": request(BODY.ljust(CHECK_BYTES_MAX + 1)),
    "418 get": request(b"", line="GET /v1/checks HTTP/1.1", length=-1),
    "418 other": request(BODY, line="POST /v1/reports HTTP/1.1"),
    "200 batch": request(b'{"checks":[%b]}' % BODY, line="POST /v1/checks/batch HTTP/1.1"),
}


def test_a_chunked_body_is_read(tmp_path: Path) -> None:
    """A body in chunks is a body; such a head is not remembered."""

    async def story(house: House) -> None:
        client = await house.client()
        for parts in ((BODY,), (BODY[:5], BODY[5:])):
            reply = await client.ask(request(chunked(*parts), "Transfer-Encoding: chunked", length=-1))
            assert reply.status == 200
        assert not house.gate.known
        assert house.answered() == 2

    on_the_wire(tmp_path, story)


def test_expect_is_answered_before_the_body(tmp_path: Path) -> None:
    """A client that asks whether to continue is told so, then answered."""

    async def story(house: House) -> None:
        client = await house.client()
        whole = request(BODY, "Expect: 100-continue")
        head, body = whole[: -len(BODY)], whole[-len(BODY) :]
        await client.send(head)
        assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert (await client.ask(body)).status == 200
        assert not house.gate.known

    on_the_wire(tmp_path, story)


@pytest.mark.parametrize(
    "data",
    [
        request(chunked(BODY), "Transfer-Encoding: chunked"),
        request(BODY, "Transfer-Encoding: chunked"),
        request(BODY, f"Content-Length: {len(BODY) + 5}"),
        request(chunked(BODY), "Transfer-Encoding: xchunked", length=-1),
        request(chunked(BODY), "Transfer-Encoding: chunked, identity", length=-1),
        request(BODY).replace(b"Content-Length: ", b"Content-Length: +"),
        request(BODY).replace(b"Content-Length: ", b"Content-Length : "),
        request(BODY).replace(b"Host: annul.test\r\n", b"Host: annul.test\r\n folded: yes\r\n", 1).replace(b"POST", b"P\0ST"),
        request(BODY).replace(b"HTTP/1.1", b"HTTP/1.1\r\n", 1).replace(b"\r\n\r\n", b"\r\n: x\r\n", 1),
        request(b"zz\r\n" + BODY, "Transfer-Encoding: chunked", length=-1),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
    ids=[
        "both lengths",
        "chunks announced",
        "two lengths",
        "unknown coding",
        "coding after chunks",
        "signed length",
        "space before colon",
        "bad method",
        "no name",
        "bad chunk",
        "http 2",
        "tls",
    ],
)
def test_a_request_that_can_be_read_in_two_ways_is_refused(tmp_path: Path, data: bytes) -> None:
    """What proxies and servers could cut in different places is a problem document and the end of the connection.

    Source: RFC 9112 sections 6.3, 11.2.
    """

    async def story(house: House) -> None:
        for before in (b"", request()):
            client = await house.client()
            if before:
                assert (await client.ask(before)).status == 200
            smuggled = request(b"", line="GET /v1/smuggled HTTP/1.1")
            reply = await client.ask(data + smuggled)
            assert (reply.status, reply.fields["connection"]) == (400, "close")
            assert reply.body["type"] == "/problems/bad-input"
            assert reply.fields["x-content-type-options"] == "nosniff"
            assert await client.ended()
        assert house.answered() == 1

    on_the_wire(tmp_path, story)


def test_rubbish_behind_a_check_does_not_take_its_place(tmp_path: Path) -> None:
    """The answer to the whole check leaves first and closes the connection; no answer to the rubbish could be taken for it."""

    async def story(house: House) -> None:
        for rubbish in (b"\0\0\0", request(chunked(BODY), "Transfer-Encoding: chunked"), b"POST /v1/reports HTTP/1.1\r\n:\r\n"):
            client = await house.client()
            reply = await client.ask(request() + rubbish)
            assert (reply.status, reply.fields["connection"]) == (200, "close")
            assert await client.ended()
        broken = request(b"zz\r\n", "Transfer-Encoding: chunked", line="POST /v1/reports HTTP/1.1", length=-1)
        client = await house.client()
        reply = await client.ask(request() + broken)
        assert (reply.status, reply.fields["connection"]) == (200, "close")
        assert await client.ended()
        assert await _let_go(house)
        house.hold.clear()
        client = await house.client()
        await client.send(request(b"", line="GET /v1/slow HTTP/1.1") + broken)
        assert await client.ended()

    on_the_wire(tmp_path, story)


async def _let_go(house: House) -> bool:
    """Tell whether the server lets go of every connection in the end, although no client closes its side."""
    connections = house.server.server_state.connections
    for _ in range(LINGER_S + 2):
        house.gate.tick += 1
        for each in list(connections):
            each.look()  # type: ignore[union-attr]
        await asyncio.sleep(0.01)
    return not connections


def test_too_large_a_head_is_refused(tmp_path: Path) -> None:
    """A head over the limit is 431 in one segment or many, with or without an end; one below it is answered."""

    async def story(house: House) -> None:
        pad = "p" * 1_000
        fits = [f"X-{n}: {pad}" for n in range(60)]
        assert (await (await house.client()).ask(request(BODY, *fits))).status == 200
        large = request(BODY, *[f"X-{n}: {pad}" for n in range(70)])
        endless = request(b"")[:-2] + b"X-Endless: " + b"e" * (5 * HEAD_BYTES_MAX)
        for data, size in ((large, len(large)), (large, 1_500), (endless, 10_000), (b"GET /" + b"u" * 400_000, 4_000)):
            client = await house.client()
            for at in range(0, len(data), size):
                await client.send(data[at : at + size])
                await asyncio.sleep(0)
            reply = await client.reply()
            assert (reply.status, reply.body["status"], reply.body["type"]) == (431, 431, "/problems/too-large")
            assert await client.ended()
        assert house.answered() == 1

    on_the_wire(tmp_path, story)


def test_too_large_a_body_is_refused_and_the_rest_of_it_is_no_request(tmp_path: Path) -> None:
    """413 as soon as the limit is passed; what follows of that body is skipped; the next request is answered."""

    async def story(house: House) -> None:
        client = await house.client()
        smuggled = request(b"", line="GET /v1/smuggled HTTP/1.1")
        body = smuggled * (CHECK_BYTES_MAX // len(smuggled) + 1)
        reply = await client.ask(request(body))
        assert (reply.status, reply.body["error"]) == (413, "E94")
        assert (await client.ask(request())).status == 200
        assert (await client.ask(request(BODY.ljust(CHECK_BYTES_MAX)))).status == 200
        assert house.answered() == 2

    on_the_wire(tmp_path, story)


def test_a_refused_caller_is_refused_before_the_body(tmp_path: Path) -> None:
    """Who is not known hears so by the head alone; the body is not kept."""

    async def story(house: House) -> None:
        client = await house.client()
        whole = request(key="nobody")
        await client.send(whole[: -len(BODY)])
        assert (await client.reply()).status == 401
        await client.send(BODY)
        assert (await client.ask(request())).status == 200

    on_the_wire(tmp_path, story)


def test_slow_clients_are_cut_off(tmp_path: Path) -> None:
    """A head or a body that does not arrive in time is answered with its problem, and the connection ends."""

    async def story(house: House) -> None:
        whole = request()
        for cut, limit, status in ((20, HEAD_TIMEOUT_S, 408), (len(whole) - 5, BODY_TIMEOUT_S, 504)):
            client = await house.client()
            await client.send(whole[:cut])
            while house.connection()._between:
                await asyncio.sleep(0)
            house.gate.tick += limit
            house.connection().look()
            await client.send(whole[cut : cut + 1])
            house.gate.tick += 1
            house.connection().look()
            reply = await client.reply()
            assert (reply.status, reply.fields["connection"], reply.body["error"]) == (status, "close", "E95")
            assert await client.ended()
            client.writer.close()
            while house.server.server_state.connections:
                await asyncio.sleep(0)
        assert house.answered() == 0

    on_the_wire(tmp_path, story)


def test_quiet_connections_are_closed_in_the_end(tmp_path: Path) -> None:
    """A connection that never asks, or asks no more, or does not end a refused body, is closed after its time."""

    async def story(house: House) -> None:
        async def over(client: Client, limit_s: int) -> None:
            house.gate.tick += limit_s
            house.connection().look()
            assert not house.connection().transport.is_closing()
            house.gate.tick += 1
            house.connection().look()
            assert await client.ended()
            while house.server.server_state.connections:
                await asyncio.sleep(0)

        keep_alive_s = house.server.config.timeout_keep_alive
        client = await house.client()
        while not house.server.server_state.connections:
            await asyncio.sleep(0)
        await over(client, keep_alive_s)
        client = await house.client()
        assert (await client.ask(request())).status == 200
        await over(client, keep_alive_s)
        client = await house.client()
        assert (await client.ask(b"\0" + request())).status == 400
        await over(client, LINGER_S)
        client = await house.client()
        await client.send(request(key="nobody")[:-3])
        assert (await client.reply()).status == 401
        await over(client, BODY_TIMEOUT_S)

    on_the_wire(tmp_path, story)


def test_the_look_at_connections_goes_on_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limits of time are held without anybody calling, and the looking ends with the last connection."""
    monkeypatch.setattr(protocol, "LOOK_EVERY_S", 0.001)

    async def story(house: House) -> None:
        client = await house.client()
        await client.send(b"POST /v1/checks HTTP/1.1\r\nHost: a")
        assert (await client.reply()).status == 408
        assert await client.ended()
        while house.gate._looking:
            await asyncio.sleep(0.001)

    on_the_wire(tmp_path, story)


def test_a_client_that_closes_its_side_hears_its_answer(tmp_path: Path) -> None:
    """After the last request a client may close its way out: the answer comes, then the end."""

    async def story(house: House) -> None:
        client = await house.client()
        await client.send(request())
        client.writer.write_eof()
        reply = await client.reply()
        assert (reply.status, reply.fields["connection"]) == (200, "close")
        assert await client.ended()
        client = await house.client()
        await client.send(request()[:-1])
        client.writer.write_eof()
        assert await client.ended()

    on_the_wire(tmp_path, story)


def test_a_client_that_asks_to_close_is_closed(tmp_path: Path) -> None:
    """`Connection: close` and HTTP/1.0 get their answer and the end."""

    async def story(house: House) -> None:
        for data in (request(BODY, "Connection: close"), request(line="POST /v1/checks HTTP/1.0")):
            client = await house.client()
            reply = await client.ask(data)
            assert (reply.status, reply.fields["connection"]) == (200, "close")
            assert await client.ended()
        assert not house.gate.known

    on_the_wire(tmp_path, story)


def test_a_client_that_is_gone_disturbs_nobody(tmp_path: Path) -> None:
    """The answer for a lost connection is dropped, its account stays, others of the window are answered."""

    async def story(house: House) -> None:
        gone, there = await house.client(), await house.client()
        await gone.send(request())
        gone.writer.transport.abort()
        assert (await there.ask(request())).status == 200
        while house.answered() < 2:
            await there.ask(request(key="nobody"))

    on_the_wire(tmp_path, story)


def test_who_does_not_read_is_not_asked_for_more(tmp_path: Path) -> None:
    """While the transport says that answers pile up unread, one more is worked out at most; afterwards all come in order."""

    async def story(house: House) -> None:
        client = await house.client()
        assert (await client.ask(request())).status == 200
        connection = house.connection()
        connection.pause_writing()
        malformed = msgspec.json.encode({"document": {"scheme": "ru-internal", "series": "1", "number": "2"}} | _WAY)
        for n in range(40):
            await client.send(request((BODY, malformed)[n % 2]))
            await asyncio.sleep(0)
        while not connection.flow.read_paused or house.answered() < 2:
            await asyncio.sleep(0)
        await asyncio.sleep(0.01)
        assert house.answered() == 2
        connection.resume_writing()
        assert [(await client.reply()).body["status"]["code"] for _ in range(40)] == ["U30", "U33"] * 20
        assert (await client.ask(request())).status == 200

    on_the_wire(tmp_path, story)


def test_both_ways_give_the_same_bytes(tmp_path: Path) -> None:
    """A list of requests, good and bad, gets from the short way what the long way through ASGI answers, byte for byte.

    Receipts hold random salts: of good answers everything else is compared.
    """
    bodies = [
        BODY,
        b"",
        b"{",
        b"[]",
        b"\xff",
        b"{}",
        BODY.replace(b"in_person", b"by pigeon"),
        BODY.replace(b"cn-resident", b"none"),
        BODY.replace(b"account-opening", b"travel"),
        BODY[:-1] + b',"more":1}',
        BODY.replace(b'"min_position":0', b'"min_position":5'),
        BODY.ljust(CHECK_BYTES_MAX + 1),
        BODY,
    ]
    requests = [request(body) for body in bodies]
    requests += [request(key="nobody"), request(key="a.b.c"), request().replace(b"Authorization", b"X-Nothing")]
    requests += [request(BODY, "Connection: close")]

    def answers(house: Path, *, long_way: bool) -> list[tuple[bytes, Any]]:
        found: list[tuple[bytes, Any]] = []

        async def story(house: House) -> None:
            client = await house.client()
            for each in requests:
                reply = await client.ask(each)
                body: Any = reply.raw
                if reply.status == 200:
                    body = msgspec.json.decode(body, type=Answer)
                    body.check, body.receipt, body.opening = "", dict.fromkeys(body.receipt), len(body.opening)
                found.append((reply.head, body))

        on_the_wire(house, story, long_way=long_way)
        return found

    short_way, long_way = answers(tmp_path / "short", long_way=False), answers(tmp_path / "long", long_way=True)
    assert short_way == long_way
    assert {head[9:12] for head, _ in short_way} == {b"200", b"400", b"401", b"403", b"413"}


class _Held:
    """A file of the check log that reaches the disk when it is let."""

    def __init__(self, path: Path, steps: dict[str, Any]) -> None:
        self._file = Failing(path, {})
        self._steps = steps

    def write(self, data: bytes) -> int:
        self._steps["reached"].set()
        assert self._steps["let"].wait(WAIT_S)
        return self._file.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def test_a_stop_in_the_middle_of_a_window_answers_it_first(tmp_path: Path) -> None:
    """The window that is on its way to the disk when the worker is told to stop, and what it accepted before, is answered."""
    import threading

    steps = {"reached": threading.Event(), "let": threading.Event()}

    async def story(house: House) -> None:
        clients = [await house.client() for _ in range(4)]
        quiet = await house.client()
        for client in clients[:2]:
            await client.send(request())
        while not steps["reached"].is_set():
            await asyncio.sleep(0)
        for client in clients[2:]:
            await client.send(request())
        waiting: Any = house.server.server_state.connections
        while sum(not each._check.response_complete for each in waiting) < 4:
            await asyncio.sleep(0)
        house.server.should_exit = True
        assert await quiet.ended()
        steps["let"].set()
        for client in clients:
            reply = await client.reply()
            assert (reply.status, reply.fields["connection"]) == (200, "close")
            verify(reply.body["receipt"], house.desk.verifier)
            assert await client.ended()
        with pytest.raises(ConnectionError):
            await house.client()

    on_the_wire(tmp_path, story, open_file=lambda path: _Held(path, steps))


def test_a_stop_answers_what_is_on_its_way(tmp_path: Path) -> None:
    """Half a head, half a body, a quiet connection and one not made yet when the worker is told to stop: all answered."""

    async def story(house: House) -> None:
        whole = request()
        report = request(b"abc", line="POST /v1/reports HTTP/1.1")
        cuts = {20: whole, len(whole) - 5: whole, len(report) - 2: report}
        halves = [(await house.client(), data, cut) for cut, data in cuts.items()]
        for client, data, cut in halves:
            await client.send(data[:cut])
        quiet = await house.client()
        assert (await quiet.ask(request())).status == 200
        house.server.should_exit = True
        while not house.gate.stopping:
            await asyncio.sleep(0)
        late = await house.client()
        for client, data, cut in [*halves, (quiet, whole, 0), (late, report, 0)]:
            reply = await client.ask(data[cut:])
            assert (reply.status, reply.fields["connection"]) == (418 if data is report else 200, "close")
            assert await client.ended()

    on_the_wire(tmp_path, story)


def test_half_a_request_does_not_hold_up_a_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that never sends the rest is cut off soon after the stop."""
    monkeypatch.setattr(protocol, "LOOK_EVERY_S", 0.01)

    async def story(house: House) -> None:
        client = await house.client()
        await client.send(request()[:30])
        house.server.should_exit = True
        assert (await client.reply()).status == 408
        assert await client.ended()

    on_the_wire(tmp_path, story)


def test_a_full_disk_is_said_to_all_who_wait(tmp_path: Path) -> None:
    """When the account cannot be written, every connection of the window hears 503 and stays; then checks go on."""
    steps: dict[str, int | str] = {}

    async def story(house: House) -> None:
        clients = [await house.client() for _ in range(5)]
        assert (await clients[0].ask(request())).status == 200
        steps["write"] = 28
        for reply in await asyncio.gather(*(client.ask(request()) for client in clients)):
            assert (reply.status, reply.body["outcome"], reply.body["error"]) == (503, "NO_ANSWER", "E90")
        steps.clear()
        assert [(await client.ask(request())).status for client in clients] == [200] * 5

    on_the_wire(tmp_path, story, open_file=lambda path: Failing(path, steps))


def test_a_question_that_waits_for_a_position_does_not_hold_up_others(tmp_path: Path) -> None:
    """`min_position` ahead of the table waits on its own connection, is answered when it is reached, and stops the stop."""

    async def story(house: House) -> None:
        waiting, other = await house.client(), await house.client()
        await waiting.send(request(msgspec.json.encode(question(min_position=8))))
        assert (await other.ask(request())).status == 200
        assert house.server.server_state.tasks
        house.desk.writer.set_applied(8, house.desk.now)
        reply = await waiting.reply()
        assert (reply.status, reply.body["freshness"]["position"]) == (200, 8)

    on_the_wire(tmp_path, story)


def test_an_application_without_checks_is_served_by_uvicorn_alone() -> None:
    """Tools that only administer have no short way."""

    async def behind(_scope: Any, _receive: Any, _send: Any) -> None: ...

    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    assert check_protocol(behind) is HttpToolsProtocol


def test_two_callers_on_one_connection_are_two_callers(tmp_path: Path) -> None:
    """A proxy sends both over one line, one after the other and pipelined: each has its own answer, receipt and quota.

    The one with a right to reasons learns S10, the other its class; receipts name who asked; the quota is each one's own.
    """

    async def story(house: House) -> None:
        other = "live_8899aabbccddeeff_" + "cd" * 32
        hotel = principal("hotel", per_second=20, reasons=False)
        house.door.by_token[hashlib.sha256(other.encode()).digest()] = hotel
        house.desk.put(parsed(), pack(State.reported_lost))
        client = await house.client()
        replies = [await client.ask(request(key=key)) for key in (KEY, other) * 3]
        await client.send(b"".join(request(key=key) for key in (other, KEY, other, KEY)))
        turned = [await client.reply() for _ in range(4)]
        bank, guest = replies[::2] + turned[1::2], replies[1::2] + turned[::2]
        for told, party, code, most in ((bank, "bank", "S10", 1_000), (guest, "hotel", "S00", 20)):
            for place, reply in enumerate(told, start=1):
                assert (reply.status, reply.body["status"]["code"]) == (200, code)
                words = explain(verify(reply.body["receipt"], house.desk.verifier))
                assert (words["party"], words["status"], words["check"]) == (party, code, reply.body["check"])
                assert reply.fields["ratelimit"].startswith(f'"second";r={most - place};t=1'), place
        assert len({reply.body["check"] for reply in bank + guest}) == 10
        assert house.answered() == 10

    on_the_wire(tmp_path, story)


def test_a_caller_beside_another_uses_up_its_own_quota_alone(tmp_path: Path) -> None:
    """Two a second for one: its third check has no answer, the other's next one has, on the same line."""

    async def story(house: House) -> None:
        other = "live_8899aabbccddeeff_" + "cd" * 32
        house.door.by_token[hashlib.sha256(other.encode()).digest()] = principal("hotel", per_second=2)
        client = await house.client()
        told = [(await client.ask(request(key=key))).status for key in (other, KEY, other, KEY, other, KEY)]
        assert told == [200, 200, 200, 200, 429, 200]

    on_the_wire(tmp_path, story)
