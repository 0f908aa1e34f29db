"""One reading of what comes in on a connection: the answers are those a strict reader would give, and no more.

The strict reader is h11, which shares no code with the parser under test.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from pathlib import Path

import h11
import pytest

from tests.web.connection import BODY, Client, House, Reply, on_the_wire, request
from tests.web.door.test_protocol import chunked

SMUGGLED = request(b"", line="GET /v1/smuggled HTTP/1.1")
OTHER = "POST /v1/reports HTTP/1.1"
PARTS = [
    request(),
    request(BODY, "Connection: close"),
    request(chunked(BODY[:9], BODY[9:]), "Transfer-Encoding: chunked", length=-1),
    request(chunked(SMUGGLED), "Transfer-Encoding: chunked", length=-1, line=OTHER),
    request(b"", line="GET /v1/checks HTTP/1.1", length=-1),
    request(SMUGGLED, line=OTHER),
    request(b"{"),
    request(b"", "Connection: Upgrade", "Upgrade: x", line="GET /v1/checks HTTP/1.1"),
    request(b"", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", line="GET /v1/checks HTTP/1.1", length=-1),
    request(SMUGGLED, "Connection: Upgrade", "Upgrade: x", line=OTHER),
    request(SMUGGLED, "Connection: keep-alive, Upgrade", "Upgrade: websocket", line=OTHER),
    request(chunked(SMUGGLED), "Connection: Upgrade", "Upgrade: x", "Transfer-Encoding: chunked", length=-1),
    request(BODY, "Connection: Upgrade", "Upgrade: x"),
    request(SMUGGLED, "Connection: Upgrade", line=OTHER),
    request(b"", line="CONNECT annul.test:443 HTTP/1.1", length=-1),
    request(SMUGGLED, line="CONNECT annul.test:443 HTTP/1.1"),
    request(BODY, "Host: other.test"),
    request(BODY).replace(b"Host: annul.test\r\n", b""),
    request(SMUGGLED, line="POST /v1/reports HTTP/1.0"),
]


def strictly(data: bytes) -> list[tuple[str, str, int]]:
    """Read all requests in `data` as a strict reader does: method, path and length of the body of each whole one.

    Empty lines before a request are passed over (RFC 9112, 2.2).
    """
    found: list[tuple[str, str, int]] = []
    while data := data.lstrip(b"\r\n"):
        reader = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
        reader.receive_data(data)
        head, size = None, 0
        try:
            while not isinstance(event := reader.next_event(), h11.EndOfMessage):
                if isinstance(event, h11.Request):
                    head = event
                elif isinstance(event, h11.Data):
                    size += len(event.data)
                else:  # it waits for more
                    return found
        except h11.RemoteProtocolError:
            return found
        assert head is not None
        found.append((head.method.decode(), head.target.decode().split("?")[0], size))
        if reader.their_state is h11.MUST_CLOSE or head.method == b"CONNECT":
            return found
        data = reader.trailing_data[0]
    return found


async def answers(client: Client, data: bytes, chance: random.Random, *, wait_s: float | None = None) -> list[Reply]:
    """Send `data` in segments cut by chance, and read all answers until the server closes.

    Args:
        wait_s: our side is closed after so long; None: the last request closes.
    """
    came = bytearray()

    async def listen() -> None:
        with contextlib.suppress(ConnectionError):  # closed while we still wrote
            while more := await client.reader.read(1 << 16):
                came.extend(more)

    listening = asyncio.ensure_future(listen())
    cuts = sorted(chance.sample(range(1, len(data)), chance.choice((0, 0, 1, 2, 5, 12))))
    for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        if listening.done() or client.writer.is_closing():
            break
        client.writer.write(data[start:end])
        for _ in range(chance.choice((0, 1, 5))):
            await asyncio.sleep(0)
    if (
        wait_s is not None
        and not listening.done()
        and not client.writer.is_closing()
        and not (await asyncio.wait({listening}, timeout=wait_s))[0]
    ):
        client.writer.write_eof()
    await listening
    return parsed(bytes(came))


def parsed(came: bytes) -> list[Reply]:
    """Read the answers on a connection."""
    replies = []
    while came:
        head, _, rest = came.partition(b"\r\n\r\n")
        reply = Reply(head, b"")
        size = int(reply.fields["content-length"])
        assert len(rest) >= size, came
        reply.raw, came = rest[:size], rest[size:]
        replies.append(reply)
    return replies


def hold(data: bytes, replies: list[Reply], *, whole: bool) -> None:
    """Hold that each answer is to its request as a strict reader sees it, and that at most one refusal ends them.

    Args:
        whole: the data is well-formed to its end, so that every request is owed an answer, if only the refusal.
    """
    asked = strictly(data)
    for place, reply in enumerate(replies):
        if reply.status == 400 and reply.fields.get("connection") == "close" and place == len(replies) - 1:
            break
        assert place < len(asked), (data, reply.head, reply.raw)
        method, path, size = asked[place]
        if reply.status == 418:
            assert reply.body == [method, path, size], (data, place)
        else:
            assert (method, path) == ("POST", "/v1/checks"), (data, place, reply.head)
            assert reply.status in {200, 400, 401, 403, 404, 413, 415}, (data, reply.head)
    if whole:
        assert replies, data
        assert replies[-1].fields["connection"] == "close", data


END = request(b"", "Connection: close", line="GET /v1/last HTTP/1.1")


def test_whatever_is_asked_in_any_segments_gets_a_strict_readers_answers(tmp_path: Path) -> None:
    """Upgrades with and without bodies, tunnels, two hosts and none among good requests: bodies are never read as requests."""

    async def story(house: House) -> None:
        chance = random.Random(1)
        for _ in range(60):
            parts = chance.choices(PARTS, k=chance.randint(1, 6))
            data = b"".join([*parts, END])
            hold(data, await answers(await house.client(), data, chance), whole=True)

    on_the_wire(tmp_path, story)


def test_a_flipped_byte_never_makes_a_request_that_was_not_asked(tmp_path: Path) -> None:
    """One byte of a pipeline changed, doubled or left out: still no answer but to what a strict reader reads."""

    async def story(house: House) -> None:
        chance = random.Random(2)
        signs = b"\r\n\t :,;0123456789aAxX\0\x80\xff-+/"
        for _ in range(60):
            data = bytearray(b"".join([*chance.choices(PARTS[:12], k=chance.randint(1, 3)), END]))
            at = chance.randrange(len(data))
            match chance.randrange(3):
                case 0:
                    data[at] = chance.choice(signs)
                case 1:
                    data.insert(at, chance.choice(signs))
                case _:
                    del data[at]
            replies = await answers(await house.client(), bytes(data), chance, wait_s=0.1)
            hold(bytes(data), replies, whole=False)

    on_the_wire(tmp_path, story)


@pytest.mark.parametrize("line", ["POST /v1/reports HTTP/1.1", "GET /healthz HTTP/1.1", "POST /v1/checks HTTP/1.1"])
def test_the_body_of_an_upgrade_is_no_request(tmp_path: Path, line: str) -> None:
    """Head in one segment, body in the next: one refusal, the end, and the body is not read."""

    async def story(house: House) -> None:
        client = await house.client()
        whole = request(SMUGGLED, "Connection: Upgrade", "Upgrade: x", line=line)
        await client.send(whole[: -len(SMUGGLED)])
        reply = await client.reply()
        assert (reply.status, reply.fields["connection"]) == (400, "close")
        await client.send(SMUGGLED)
        assert await client.ended()

    on_the_wire(tmp_path, story)


def test_an_offer_of_another_protocol_is_passed_over(tmp_path: Path) -> None:
    """Clients that offer h2c with a GET hear their answer in HTTP/1.1, and then the end."""

    async def story(house: House) -> None:
        client = await house.client()
        offer = request(b"", "Connection: Upgrade", "Upgrade: h2c", line="GET /v1/checks HTTP/1.1", length=-1)
        reply = await client.ask(offer + SMUGGLED)
        assert (reply.status, reply.fields["connection"], reply.body) == (418, "close", ["GET", "/v1/checks", 0])
        assert await client.ended()

    on_the_wire(tmp_path, story)
