"""Let the questions of one party to the register's database follow one another, so that its hurry is not everybody's wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from annul.errors import OverQuota

AT_ONCE_MAX: Final = 2
"""Questions of one party that a worker puts to the database at once; it has four connections for reading."""
WAITING_MAX: Final = 16
"""Questions of one party that wait for those; more are refused at once."""
WAIT_MAX_S: Final = 1.0
"""Longest such wait."""


class Readers:
    """Count who reads in this worker."""

    def __init__(self) -> None:
        self._turns: dict[str, asyncio.Semaphore] = {}
        self._held: dict[str, int] = {}

    @asynccontextmanager
    async def turn(self, party: str) -> AsyncIterator[None]:
        """Wait for a party's turn, and hold it while its question is answered.

        Raises:
            OverQuota: too many questions of this party wait, or its turn did not come in time.
        """
        held = self._held.get(party, 0)
        if held >= AT_ONCE_MAX + WAITING_MAX:
            raise _too_many()
        turns = self._turns.setdefault(party, asyncio.Semaphore(AT_ONCE_MAX))
        self._held[party] = held + 1
        try:
            try:
                await asyncio.wait_for(turns.acquire(), WAIT_MAX_S)
            except TimeoutError:
                raise _too_many() from None
            try:
                yield
            finally:
                turns.release()
        finally:
            self._held[party] -= 1
            if not self._held[party]:
                del self._held[party], self._turns[party]


def _too_many() -> OverQuota:
    return OverQuota(
        "Too many lists and look-ups of yours wait here.", mend="Ask one after the other, in pages.", retry_after_s=1
    )
