"""The process that makes and sends notices: one loop over both sources, routing and sending."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

import psycopg

from annul import logs, metrics
from annul.errors import Corrupt, SourceDown
from annul.registry import keys as key_file
from annul.registry.counter.departures import tell_due
from annul.registry.desk.recalls import Recalls
from annul.registry.desk.searches import Searches
from annul.registry.keys import Keys
from annul.registry.notices.channels import KEPT, Gateway, Kept, Smtp, Webhooks
from annul.registry.notices.delivery import Channels, Delivery
from annul.registry.notices.outbox import Outbox
from annul.registry.notices.sources import Sources
from annul.registry.people.vault import Vault
from annul.registry.postgres import Embedded
from annul.registry.writing.ground import Ground
from annul.registry.writing.store import Connection, Connections, Fresh
from annul.settings import Settings
from annul.times import Clock

PAUSE_S: Final = 0.25
"""Pause between two turns with nothing to do: a notice leaves well within a second of its cause."""
RECONNECT_MAX_S: Final = 5.0
COUNT_EVERY_S: Final = 5.0
DESK_EVERY_S: Final = 1.0
SWEEP_EVERY_S: Final = 3600.0
TALLY_KEPT_US: Final = 2 * 86_400_000_000


def channels_of(settings: Settings) -> Channels:
    """Return the channels an operator has set up.

    Raises:
        UnsafeSettings: one is not usable; the setting is named.
    """
    mail = sms = None
    if settings.notices_mail:
        mail = Kept() if settings.notices_mail == KEPT else Smtp(settings.notices_mail, settings.notices_sender)
    if settings.notices_sms:
        sms = Kept() if settings.notices_sms == KEPT else Gateway(settings.notices_sms)
    return Channels(mail, sms, Webhooks(private=settings.webhooks_private))


def run(settings: Settings, stop: threading.Event) -> None:
    """Make and send notices until `stop` is set; survive restarts of the database.

    Raises:
        UnsafeSettings: a channel or the key file is not usable.
    """
    conninfo = settings.database_url or Embedded(settings.home).conninfo
    keys = key_file.load(settings.home)
    herald = Herald(conninfo, keys, Vault(settings.home), settings, lambda: time.time_ns() // 1000)
    asyncio.run(herald.run(stop))


@dataclass(slots=True)
class _Lent:
    """Lend one connection over and over: sendings note their ends one after the other."""

    db: Connection
    lock: asyncio.Lock

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend the connection."""
        async with self.lock, self.db.transaction():
            yield self.db


class Herald:
    """Follow, route and send; `turn` is one round of all.

    Args:
        conninfo: the register's database.
        keys: the key file.
        vault: persons' keys.
        now_us: clock, microseconds since the epoch.
        channels: instead of those of the settings.
    """

    def __init__(
        self, conninfo: str, keys: Keys, vault: Vault, settings: Settings, now_us: Clock, *,
        channels: Channels | None = None,
    ) -> None:  # fmt: skip
        self._conninfo, self._keys, self._vault, self._settings, self._now_us = conninfo, keys, vault, settings, now_us
        self._channels = channels or channels_of(settings)
        self._sources = Sources(keys, disclosure_days=settings.disclosure_delay_days)
        self._count_at = self._sweep_at = self._desk_at = 0.0

    async def run(self, stop: threading.Event) -> None:
        """Run until `stop` is set."""
        log = logs.get("notices")
        pause = PAUSE_S
        while not stop.is_set():
            try:
                async with Fresh(self._conninfo).connection() as db:
                    await db.set_autocommit(True)
                    await self._hold_epoch(db)
                    pause = PAUSE_S
                    while not stop.is_set():
                        if not await self.turn(db):
                            await asyncio.sleep(PAUSE_S)
            except (psycopg.OperationalError, psycopg.InterfaceError, SourceDown) as error:
                log.warning("the database is away", error=type(error).__name__)
                await asyncio.sleep(pause)
                pause = min(pause * 2, RECONNECT_MAX_S)

    async def turn(self, db: Connection) -> int:
        """Do one round over a connection in autocommit mode; return how much there was to do."""
        lent = _Lent(db, asyncio.Lock())
        delivery = self.delivery(lent)
        done = await self._sources.follow_register(db, self._now_us())
        done += await self._sources.follow_checks(db, self._now_us())
        done += await delivery.route()
        done += await delivery.send()
        done += await self._desk(lent)
        await self._errands(db, lent)
        return done

    def delivery(self, connections: Connections) -> Delivery:
        """Return what routes and sends over these connections."""
        return Delivery(self._ground(connections), self._vault, self._channels, self._settings)

    def _ground(self, connections: Connections) -> Ground:
        return Ground(connections, self._keys, self._settings.home, self._now_us)

    async def _hold_epoch(self, db: Connection) -> None:
        found = await (await db.execute("SELECT key_epoch FROM log_head")).fetchone()
        if found is None:
            raise Corrupt("the register log has no head", where="log_head")
        self._keys.hold_epoch(found[0])

    async def _desk(self, lent: _Lent) -> int:
        """Follow the log for the desk, about once a second: answers to be recalled, persons to be found by name."""
        if time.monotonic() < self._desk_at:
            return 0
        self._desk_at = time.monotonic() + DESK_EVERY_S
        delay_days = self._settings.disclosure_delay_days
        ground = self._ground(lent)
        await Recalls(ground, disclosure_days=delay_days).step()
        await tell_due(lent, self._now_us())
        await Searches(ground, self._vault).catch_up(steps_max=1)
        return 0

    async def _errands(self, db: Connection, lent: _Lent) -> None:
        """Count what is undelivered, and forget drafts and tallies that are over."""
        now = time.monotonic()
        if now >= self._count_at:
            self._count_at = now + COUNT_EVERY_S
            for state, count in (await Outbox(lent).undelivered(self._now_us())).items():
                metrics.NOTICES_UNDELIVERED.labels(state).set(count)
        if now >= self._sweep_at:
            self._sweep_at = now + SWEEP_EVERY_S
            await db.execute("DELETE FROM report_draft WHERE until_us < %s", (self._now_us(),))
            await db.execute("DELETE FROM tally WHERE began_at_us < %s", (self._now_us() - TALLY_KEPT_US,))
