"""Connections are spread over the workers, and none is left waiting because a worker is full, busy or dead."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import uvloop

from annul.web.door.entrance import AHEAD_MAX, Entrance, Shares
from annul.web.door.protocol import SHED_SECONDS
from tests.web.connection import House, on_the_wire, request


class Guest(asyncio.Protocol):
    """A connection that counts for its worker."""

    def __init__(self, shares: Shares) -> None:
        self.shares = shares

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count it, and say which worker took it."""
        self.shares.own += 1
        self.transport = transport
        transport.write(  # type: ignore[attr-defined]
            b"%d" % self.shares._worker
        )

    def connection_lost(self, exc: Exception | None) -> None:
        """Count it no more."""
        self.shares.own -= 1


@contextlib.contextmanager
def listening() -> Iterator[socket.socket]:
    """Listen on a free port."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as door:
        yield door


async def come(door: socket.socket, count: int) -> list[tuple[int, asyncio.StreamWriter]]:
    """Connect so many clients at once; return which worker took each."""

    async def one() -> tuple[int, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(*door.getsockname())
        return int(await reader.readexactly(1)), writer

    return await asyncio.gather(*[one() for _ in range(count)])


def run(story: Callable[[], Awaitable[None]]) -> None:
    """Run a story in the loop workers have."""

    async def limited() -> None:
        await asyncio.wait_for(story(), 60)

    uvloop.run(limited())


def test_connections_are_spread_over_the_workers(tmp_path: Path) -> None:
    """Two workers, sixty-four clients at once: each has its half, whoever woke first."""

    async def story() -> None:
        shares = [Shares(tmp_path / "connections", worker) for worker in (0, 1)]
        with listening() as door:
            doors = [door.dup() for _ in shares]
            entrances = [
                Entrance(own, lambda share=share: Guest(share), share)  # type: ignore[misc]
                for own, share in zip(doors, shares, strict=True)
            ]
            taken = await come(door, 64)
            counts = [sum(worker == each for each, _ in taken) for worker in (0, 1)]
            assert abs(counts[0] - counts[1]) <= 2 * AHEAD_MAX
            for entrance in entrances:
                entrance.close()
            for _, writer in taken:
                writer.close()
            for own in doors:
                own.close()

    run(story)


def test_a_connection_that_nobody_else_takes_is_taken(tmp_path: Path) -> None:
    """The other worker lives and does not come: after a moment the fuller one takes them all."""

    async def story() -> None:
        busy, own = Shares(tmp_path / "connections", 1), Shares(tmp_path / "connections", 0)
        assert own.others() == [busy.own] == [0]
        with listening() as door:
            entrance = Entrance(door, lambda: Guest(own), own)
            taken = await come(door, 12)
            assert [worker for worker, _ in taken] == [0] * 12
            entrance.close()
            for _, writer in taken:
                writer.close()

    run(story)


def test_a_dead_worker_counts_for_nothing(tmp_path: Path) -> None:
    """Its number stays in the memory that is shared; nobody waits for it."""
    own = Shares(tmp_path / "connections", 0)
    code = "import sys, pathlib; from annul.web.door.entrance import Shares; Shares(pathlib.Path(sys.argv[1]), 1)"
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "connections")], check=True, env=os.environ)
    assert own._cells[2] != 0
    assert own.others() == []


def test_a_worker_that_stops_is_taken_out(tmp_path: Path) -> None:
    """The others do not wait for it either; a number outside of the table is refused."""
    own, other = Shares(tmp_path / "connections", 0), Shares(tmp_path / "connections", 1)
    other.own = 7
    assert own.others() == [7]
    other.close()
    assert own.others() == []
    with pytest.raises(ValueError, match="worker"):
        Shares(tmp_path / "connections", 64)


def test_the_fullest_worker_asks_clients_to_come_again(tmp_path: Path) -> None:
    """After the other one was started anew: some answers of every second close their connections, after the answer."""

    async def story(house: House) -> None:
        clients = [await house.client() for _ in range(20)]
        for client in clients:
            assert (await client.ask(request())).status == 200
        assert house.shares.own == 20
        other = Shares(house.desk.home / "run" / "connections", 1)
        house.gate._look(house.server.server_state.connections)
        assert house.gate.shed == -(-10 // SHED_SECONDS)
        closed = [(await client.ask(request())).fields.get("connection") for client in clients]
        assert closed.count("close") == -(-10 // SHED_SECONDS)
        other.own = 18
        house.gate._look(house.server.server_state.connections)
        assert house.gate.shed == 0
        other.close()

    on_the_wire(tmp_path, story)
