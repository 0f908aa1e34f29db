"""Know how far every device has come: what it acknowledged, and how long reports took to be refused there.

A device signs up to which position it refuses. The delay counted is from the recording of the oldest entry it had not to the
arrival of what it says, by this machine's clock: a device that was away for a night has one of a night. Delays are counted by
powers of two of a millisecond, a row a device, so that a hundred thousand devices cost no more than their rows.
"""

from __future__ import annotations

from typing import Final

import msgspec

from annul.edge.trust import CLOCK_SLACK_US, Acknowledgement, Role, open_signed
from annul.errors import BadInput, NotAuthorised, VerificationFailed
from annul.proof.checkpoint import Verifier
from annul.records.entry import decode
from annul.registry.writing.store import Connections, reading
from annul.times import Clock

CONNECTED_US: Final = 90_000_000
"""A device that follows the feed acknowledges each 30 seconds; one that was silent for three times as long is away."""
DELAYS: Final = 32
"""Counts of delays: up to 1 ms, 2 ms, 4 ms … 24 days and more."""
DEVICES_SHOWN: Final = 500


class Heard(msgspec.Struct, frozen=True):
    """What the register understood.

    Args:
        position: position in the register log; 0-based and dense.
    """

    position: int


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """A device that carries editions.

    Attributes:
        position: up to which it refuses; 0 when it never said.
        behind: entries it has not.
        heard_at_us: when it said so last; None when it never did.
        connected: it follows the feed now.
        p50_ms, p99_ms: delay from report to refusal, the upper edge of the count it lies in; None when nothing was counted.
    """

    name: str
    party: str
    position: int
    behind: int
    heard_at_us: int | None
    connected: bool
    p50_ms: float | None
    p99_ms: float | None


class Reached(msgspec.Struct, frozen=True):
    """How many devices refuse what stands at a position: of all that are admitted, of those that are connected.

    Attributes:
        since_us: since when at the latest all connected devices refuse; None as long as one does not.
    """

    devices: int
    connected: int
    refusing: int
    since_us: int | None


class Verifiers:
    """Hear devices, and say how far they are.

    Args:
        connections: the register's database.
        now_us: microseconds since the epoch.
    """

    def __init__(self, connections: Connections, now_us: Clock) -> None:
        self._connections, self._now_us = connections, now_us

    async def hear(self, edge: str, note: bytes) -> Heard:
        """Take what a device acknowledges.

        Raises:
            NotAuthorised: no such device, or it is admitted no more.
            VerificationFailed: step 2 another's signature, 4 another time than now, 6 a replay or a step back.
            BadInput: the register is not so far.
        """
        now_us = self._now_us()
        async with reading(self._connections) as db, db.transaction():
            row = await (
                await db.execute(
                    "SELECT vkey, acknowledged_position, acknowledged_at_us, delays FROM edge "
                    "WHERE name = %s AND withdrawn_at_us IS NULL AND until_us > %s FOR UPDATE",
                    (edge, now_us),
                )
            ).fetchone()
            if row is None:
                raise NotAuthorised("This device is not admitted.", mend="Have it admitted: annul edition admit")
            vkey, position, at_us, delays = row
            told = open_signed(note, Role((Verifier.parse(vkey),), 1), Acknowledgement)
            _require_now(told, edge, now_us)
            if told.at_us <= at_us or told.position < position:
                raise VerificationFailed("This was acknowledged before: a replay, or a device set back.", step=6, where="at_us")
            following = await (
                await db.execute(
                    "SELECT next_position - 1, (SELECT entry FROM register_log WHERE position = %s) FROM log_head",
                    (position + 1,),
                )
            ).fetchone()
            if following is None or told.position > following[0]:
                raise BadInput("The register has no such position yet.", where="position")
            if position and told.position > position and following[1] is not None:
                delays = counted(delays, now_us - decode(bytes(following[1])).recorded_at_us)
            await db.execute(
                "UPDATE edge SET acknowledged_position = %s, acknowledged_at_us = %s, heard_at_us = %s, delays = %s "
                "WHERE name = %s",
                (told.position, told.at_us, now_us, delays, edge),
            )
            return Heard(told.position)

    async def devices(self) -> list[Device]:
        """Return the devices that are admitted, those farthest behind first."""
        now_us = self._now_us()
        async with reading(self._connections) as db:
            found = await db.execute(
                "SELECT name, party, acknowledged_position, next_position - 1 - acknowledged_position, heard_at_us, delays "
                "FROM edge, log_head WHERE withdrawn_at_us IS NULL AND until_us > %s ORDER BY 4 DESC, name LIMIT %s",
                (now_us, DEVICES_SHOWN),
            )
            return [
                Device(
                    name=name,
                    party=party,
                    position=position,
                    behind=behind,
                    heard_at_us=heard_at_us or None,
                    connected=heard_at_us > now_us - CONNECTED_US,
                    p50_ms=percentile_ms(delays, 0.5),
                    p99_ms=percentile_ms(delays, 0.99),
                )
                for name, party, position, behind, heard_at_us, delays in await found.fetchall()
            ]

    async def refusing(self, position: int) -> Reached:
        """Say how many devices refuse what stands at a position."""
        now_us = self._now_us()
        async with reading(self._connections) as db:
            row = await (
                await db.execute(
                    "SELECT count(*), count(*) FILTER (WHERE heard_at_us > %(c)s), "
                    "count(*) FILTER (WHERE acknowledged_position >= %(p)s), "
                    "count(*) FILTER (WHERE heard_at_us > %(c)s AND acknowledged_position < %(p)s), "
                    "max(heard_at_us) FILTER (WHERE acknowledged_position >= %(p)s) "
                    "FROM edge WHERE withdrawn_at_us IS NULL AND until_us > %(n)s",
                    {"c": now_us - CONNECTED_US, "p": position, "n": now_us},
                )
            ).fetchone()
        devices, connected, refusing, waiting, since_us = row or (0, 0, 0, 0, None)
        return Reached(devices, connected, refusing, None if waiting else since_us)


def _require_now(told: Acknowledgement, edge: str, now_us: int) -> None:
    if told.edge != edge:
        raise VerificationFailed("This was signed by another device.", step=2, where="edge")
    if abs(told.at_us - now_us) > CLOCK_SLACK_US:
        raise VerificationFailed("This was signed at another time.", step=4, where="at_us", mend="Set the device's clock.")


def counted(delays: list[int], delay_us: int) -> list[int]:
    """Return the counts of delays with one more."""
    counts = [*delays, *[0] * (DELAYS - len(delays))]
    counts[min(max(delay_us // 1000, 0).bit_length(), DELAYS - 1)] += 1
    return counts


def percentile_ms(delays: list[int], share: float) -> float | None:
    """Return the upper edge, in milliseconds, of the count in which a share of the delays lies; None without any."""
    wanted = sum(delays) * share
    below = 0
    for place, count in enumerate(delays):
        below += count
        if count and below >= wanted:
            return float(1 << place)
    return None
