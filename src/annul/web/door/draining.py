"""uvicorn's server with an entrance of ours: it takes a worker's share of the connections, and stops without a reset."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from uvicorn import Server

from annul.web.door.entrance import Entrance, Shares
from annul.web.door.protocol import CheckProtocol

if TYPE_CHECKING:
    import socket

    from uvicorn.config import Config

DRAIN_S: Final = 0.5
"""Seconds a stopping worker goes on to take connections and requests: what was sent before the stop is answered."""
LAST_S: Final = 0.1
"""Seconds the last connections that were taken have for their request."""


class DrainingServer(Server):
    """uvicorn's server, which closes the door behind those who came before it was told to stop.

    Args:
        shares: how many connections each worker has; the server takes its own share of those that come.
    """

    def __init__(self, config: Config, shares: Shares) -> None:
        super().__init__(config)
        self._shares = shares

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to take connections."""
        gate = getattr(self.config.http_protocol_class, "gate", None)
        if gate is not None:
            gate.shares = self._shares

        def protocol() -> asyncio.Protocol:
            made: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
                config=self.config, server_state=self.server_state, app_state={}
            )
            return made

        self.servers = [Entrance(door, protocol, self._shares) for door in sockets or []]  # type: ignore[misc]
        self.started = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer for `DRAIN_S` what still comes, then close the door, answer what is owed, and end."""
        gate = getattr(self.config.http_protocol_class, "gate", None)
        if gate is not None:
            gate.stopping = True
            for leave in gate.path.leaving:
                leave()
            for connection in list(self.server_state.connections):
                if isinstance(connection, CheckProtocol):
                    connection.drain()
            await asyncio.sleep(DRAIN_S)
            for server in self.servers:
                server.close()
            await asyncio.sleep(LAST_S)
        await super().shutdown(sockets)
