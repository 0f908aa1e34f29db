"""Build status lists, sign them, and give them out of memory.

A list that was asked for is kept signed for LOOK_S; then its version is looked up, and it is made anew when that changed, or
when half of its time to live is over. Questions about the past (`?time=`) are answered from what was told when.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from annul.errors import BadInput, NotFound
from annul.keys import Keys
from annul.registry.linkage.rules import INVALID, SUSPENDED
from annul.registry.linkage.signing import CWT, JWT, TTL_S, VC, About, ListSigner
from annul.registry.writing.store import Connections, reading
from annul.times import Clock

LOOK_S: Final = 1.0
"""Seconds a list is given out without a look whether it changed."""
LISTS_MAX: Final = 10_000
KEPT_MAX: Final = 64
"""Signed lists kept by one worker: some 300 KB each at 2 % set."""
PURPOSES: Final = {"revocation": INVALID, "suspension": SUSPENDED}
"""Lists of one bit -> the state that sets it."""


@dataclass(slots=True)
class _Kept:
    body: bytes
    version: int
    made: float
    looked: float


class ListPress:
    """Give out status lists.

    Args:
        connections: the register's database.
        keys: the key file.
        base_url: address of this register, as verifiers know it.
        now_us: microseconds since the epoch.
    """

    def __init__(self, connections: Connections, keys: Keys, base_url: str, now_us: Clock) -> None:
        self._connections, self._base_url, self._now_us = connections, base_url, now_us
        self.signer = ListSigner(keys)
        self._kept: dict[tuple[str, str], _Kept] = {}

    @property
    def aggregation(self) -> str:
        """Address of the list of lists."""
        return f"{self._base_url}/v1/statuslists"

    def uri(self, list_id: int, purpose: str = "") -> str:
        """Return a list's address, to the character as it stands in credentials."""
        return f"{self.aggregation}/{list_id}{purpose and '-'}{purpose}"

    async def uris(self) -> list[str]:
        """Return the addresses of all lists of live credentials."""
        async with reading(self._connections) as db:
            found = await db.execute("SELECT id FROM status_list WHERE realm = 0 ORDER BY id LIMIT %s", (LISTS_MAX,))
            rows = await found.fetchall()
        return [self.uri(list_id, purpose) for (list_id,) in rows for purpose in ("", *PURPOSES)]

    async def give(self, name: str, media: str, at_s: int | None = None) -> bytes:
        """Return a signed list.

        Args:
            name: number of the list, and its purpose when it has one bit: `7`, `7-revocation`, `7-suspension`.
            media: JWT, CWT or VC.
            at_s: as it was at this time, in seconds since the epoch.

        Raises:
            NotFound: there is no such list, or there was none at that time.
            BadInput: a Bitstring list has one bit: it is asked for by purpose; or the time is to come.
        """
        if media == VC and "-" not in name:
            raise BadInput("A Bitstring list tells one purpose.", where="Accept", mend=f"Ask for {name}-revocation.")
        if at_s is not None:
            if at_s * 1_000_000 > self._now_us():
                raise BadInput("The time is to come.", where="time")
            return (await self._made(name, media, at_s)).body
        kept, now = self._kept.get((name, media)), time.monotonic()
        if kept is not None and now - kept.looked < LOOK_S:
            return kept.body
        if kept is not None and now - kept.made < TTL_S / 2 and kept.version == await self._version(name):
            kept.looked = now
            return kept.body
        made = await self._made(name, media, None)
        if len(self._kept) >= KEPT_MAX:
            self._kept.clear()
        self._kept[name, media] = made
        return made.body

    async def _version(self, name: str) -> int:
        async with reading(self._connections) as db:
            found = await db.execute("SELECT version FROM status_list WHERE id = %s", (int(name.partition("-")[0]),))
            row = await found.fetchone()
        return -1 if row is None else int(row[0])

    async def _made(self, name: str, media: str, at_s: int | None) -> _Kept:
        number, _, purpose = name.partition("-")
        now = time.monotonic()
        at_us = self._now_us() if at_s is None else at_s * 1_000_000
        states, version = await self._states(int(number), None if at_s is None else at_us)
        about = About(self.uri(int(number), purpose), at_us, self.aggregation, self._base_url)
        body = await asyncio.to_thread(self._signed, states, purpose, media, about)
        return _Kept(body, version, now, now)

    async def _states(self, list_id: int, at_us: int | None) -> tuple[Any, int]:
        async with reading(self._connections) as db, db.transaction():
            row = await (
                await db.execute("SELECT size, version, made_at_us FROM status_list WHERE id = %s", (list_id,))
            ).fetchone()
            if row is None or (at_us is not None and at_us < row[2]):
                raise NotFound("There is no such status list.")
            if at_us is None:
                told = await db.execute("SELECT place, told FROM credential WHERE list_id = %s AND told <> 0", (list_id,))
            else:
                told = await db.execute(
                    "SELECT DISTINCT ON (place) place, told FROM credential_told WHERE list_id = %s AND since_us <= %s "
                    "ORDER BY place, since_us DESC",
                    (list_id, at_us),
                )
            found = await told.fetchall()
        states = np.zeros(row[0], np.uint8)
        if found:
            places, values = zip(*found, strict=True)
            states[list(places)] = values
        return states, row[1]

    def _signed(self, states: Any, purpose: str, media: str, about: About) -> bytes:
        bits = 2
        if purpose:
            states, bits = (states == PURPOSES[purpose]).astype(np.uint8), 1
        if media == VC:
            return self.signer.bitstring(states, purpose, about)
        return self.signer.token_cwt(states, bits, about) if media == CWT else self.signer.token_jwt(states, bits, about)


MEDIA: Final = (JWT, CWT, VC)
"""What lists are given out as; the first where nobody says."""
