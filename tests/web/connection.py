"""The check path behind a listening socket, and clients that see raw bytes: for tests of what happens on a connection."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import uvicorn
import uvloop

from annul.registry.answering.checklog import read_windows, worker_folder
from annul.web.door import protocol
from annul.web.door.draining import DrainingServer
from annul.web.door.entrance import Shares
from annul.web.door.protocol import check_protocol
from tests.registry.answering.desk import Desk, question
from tests.web.door.test_checkpath import KEY, Door

BODY = msgspec.json.encode(question())


def request(
    body: bytes = BODY, *fields: str, line: str = "POST /v1/checks HTTP/1.1", key: str = KEY, length: int | None = None
) -> bytes:
    """Write a request as clients do."""
    size = len(body) if length is None else length
    head = [line, "Host: annul.test", f"Authorization: Bearer {key}", "Content-Type: application/json"]
    if size >= 0:
        head.append(f"Content-Length: {size}")
    return "\r\n".join([*head, *fields, "", ""]).encode() + body


class Reply:
    """One answer as it came."""

    def __init__(self, head: bytes, body: bytes) -> None:
        self.head, self.raw = head, body
        line, *fields = head.decode().split("\r\n")
        self.status = int(line.split(" ")[1])
        self.fields = dict(field.split(": ", 1) for field in fields)

    @property
    def body(self) -> Any:
        """The JSON."""
        return msgspec.json.decode(self.raw)


class Client:
    """One connection that sees raw bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        """Send bytes."""
        self.writer.write(data)
        await self.writer.drain()

    async def reply(self) -> Reply:
        """Read one answer."""
        head = (await self.reader.readuntil(b"\r\n\r\n"))[:-4]
        size = int(re.search(rb"content-length: (\d+)", head)[1])  # type: ignore[index]
        return Reply(head, await self.reader.readexactly(size))

    async def ask(self, data: bytes) -> Reply:
        """Send a request and read its answer."""
        await self.send(data)
        return await self.reply()

    async def ended(self) -> bool:
        """Tell whether the server closed the connection and sent nothing more."""
        return await self.reader.read() == b""


class House:
    """The check path behind a listening socket; what goes behind it answers its path, after `gate` when that is set."""

    def __init__(self, desk: Desk, *, long_way: bool = False, **options: Any) -> None:
        self.desk = desk
        self.door = Door(desk, **options)
        self.door.path._behind = self._behind
        self.hold = asyncio.Event()
        self.hold.set()
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        kind = "httptools" if long_way else check_protocol(self.door.path)
        config = uvicorn.Config(
            self.door.path,
            http=kind,
            loop="asyncio",
            lifespan="off",
            log_config=None,
            server_header=False,
            date_header=False,
            timeout_graceful_shutdown=5,
            ws="none",
        )
        self.shares = Shares(desk.home / "run" / "connections", 0)
        self.server = DrainingServer(config, self.shares)
        self.clients: list[Client] = []

    async def _behind(self, scope: Any, receive: Any, send: Any) -> None:
        raw = b""
        while True:
            message = await receive()
            raw += message.get("body", b"")
            if not message.get("more_body"):
                break
        await self.hold.wait()
        body = msgspec.json.encode([scope["method"], scope["path"], len(raw)])
        fields = [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 418, "headers": fields})
        await send({"type": "http.response.body", "body": body})

    @property
    def gate(self) -> protocol.Gate:
        """What the connections share."""
        found: protocol.Gate = self.server.config.http_protocol_class.gate  # type: ignore[attr-defined]
        return found

    async def client(self) -> Client:
        """Open a connection."""
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 22))
        self.clients.append(client)
        return client

    def connection(self) -> Any:
        """The server's side of the only connection."""
        (found,) = self.server.server_state.connections
        return found

    def answered(self) -> int:
        """How many answers are accounted for."""
        return sum(len(record.leaves) for record in read_windows(worker_folder(self.desk.home / "checks", 0)))


@contextlib.asynccontextmanager
async def serving(tmp_path: Path, **options: Any) -> AsyncIterator[House]:
    """Serve a fresh world."""
    desk = Desk(tmp_path)
    house = House(desk, **options)
    # `serve` would take the signals of the test process.
    running = asyncio.ensure_future(house.server._serve([house.socket]))
    try:
        while not house.server.started:
            await asyncio.sleep(0)
        yield house
    finally:
        house.hold.set()
        for client in house.clients:
            client.writer.close()
        house.server.should_exit = True
        await running
        await desk.close()


def on_the_wire(tmp_path: Path, story: Callable[[House], Awaitable[None]], **options: Any) -> None:
    """Run a story against a served world."""

    async def run() -> None:
        async with serving(tmp_path, **options) as house:
            await asyncio.wait_for(story(house), 20)

    uvloop.run(run())  # as a worker does
