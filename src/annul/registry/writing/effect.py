"""From the commit to the refusal: wake the follower, and wait until the check path has the entry."""

from __future__ import annotations

import contextlib
import socket
import time
from typing import Final, Protocol

from annul.errors import NotYetEffective
from annul.home import Home
from annul.registry.postgres import run_folder

ACKNOWLEDGE_S: Final = 5.0
"""Longest wait for the listings table before a write answers that it is not yet effective."""

FOLLOWER_SOCKET: Final = "follower.sock"


class Effective(Protocol):
    """Tell when the check path has an entry: what annul.listings.Listings offers."""

    async def reached(self, position: int, timeout_s: float) -> bool:
        """Wait until the table has applied a position; False when it has not in time."""


class Effect:
    """Wake the follower after a commit and wait until the table has the entry.

    The datagram is a courtesy: the follower wakes by itself every 50 ms, so a lost one costs no more than that.
    """

    def __init__(self, home: Home, listings: Effective | None, timeout_s: float) -> None:
        self._listings = listings
        self._timeout_s = timeout_s
        self._home = home
        self._path = ""

    async def wait(self, position: int) -> int:
        """Return the microseconds until the table had the position; 0 without a table to wait for.

        Raises:
            NotYetEffective: it has not in time; the entry stands and takes effect when the follower is back.
        """
        begun = time.perf_counter_ns()
        self._ring()
        if self._listings is None:
            return 0
        if not await self._listings.reached(position, self._timeout_s):
            raise NotYetEffective(
                "The change is recorded, but the check points have not taken it up yet.",
                mend="Ask again with the same Idempotency-Key.",
                position=position,
            )
        return (time.perf_counter_ns() - begun) // 1000

    def _ring(self) -> None:
        """Wake the follower, if it listens."""
        self._path = self._path or str(run_folder(self._home) / FOLLOWER_SOCKET)
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bell:
            bell.setblocking(False)
            bell.sendto(b"\x01", self._path)
