"""The process that makes and sends notices: one loop over both sources, routing and sending.

Its lines of the timetable (recalls, reminders, the index of names …) run in a thread of their own: notices never wait for them.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

import msgspec
import psycopg

from annul import keys as key_file
from annul import logs
from annul.errors import Corrupt, SourceDown
from annul.keys import Keys
from annul.registry.loops.timetable import errands
from annul.registry.notices.channels import KEPT, Gateway, Kept, Smtp, Webhooks
from annul.registry.notices.delivery import Channels, Delivery
from annul.registry.notices.sources import Sources
from annul.registry.people.vault import Vault
from annul.registry.postgres import Embedded
from annul.registry.writing.ground import Ground
from annul.registry.writing.store import Connection, Connections, Fresh
from annul.settings import Settings
from annul.times import Clock, now_us

PAUSE_S: Final = 0.25
"""Pause between two turns with nothing to do: a notice leaves well within a second of its cause."""
RECONNECT_MAX_S: Final = 5.0


_DUE: Final = """
SELECT EXISTS (SELECT FROM log_head WHERE next_position - 1 >
        coalesce((SELECT position FROM notice_cursor WHERE source = 'register'), 0))
    OR EXISTS (SELECT FROM check_cursor LEFT JOIN notice_cursor ON source = 'checks/' || worker
        WHERE next_window > coalesce(position, 0))
    OR EXISTS (SELECT FROM notice WHERE state = 'waiting' AND not_before_us <= %(now)s)
    OR EXISTS (SELECT FROM delivery WHERE state = 'due' AND due_at_us <= %(now)s)
"""
"""Whether a round finds anything to do."""


def channels_of(settings: Settings) -> Channels:
    """Return the channels an operator has set up.

    Raises:
        UnsafeSettings: one is not usable; the setting is named.
    """
    mail = sms = None
    way = settings.outgoing
    if settings.notices_mail:
        mail = Kept() if settings.notices_mail == KEPT else Smtp(settings.notices_mail, settings.notices_sender, way)
    if settings.notices_sms:
        sms = Kept() if settings.notices_sms == KEPT else Gateway(settings.notices_sms, way)
    return Channels(mail, sms, Webhooks(private=settings.webhooks_private, outgoing=way))


def run(settings: Settings, stop: threading.Event) -> None:
    """Make and send notices until `stop` is set; survive restarts of the database.

    Raises:
        UnsafeSettings: a channel or the key file is not usable.
    """
    conninfo = settings.database_url or Embedded(settings.home).conninfo
    keys = key_file.load(settings.home)
    herald = Herald(conninfo, keys, Vault(settings.home), settings, now_us)
    errands("notices", msgspec.structs.replace(settings, database_url=conninfo), keys, stop)
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
        self,
        conninfo: str,
        keys: Keys,
        vault: Vault,
        settings: Settings,
        now_us: Clock,
        *,
        channels: Channels | None = None,
    ) -> None:
        self._conninfo, self._keys, self._vault, self._settings, self._now_us = conninfo, keys, vault, settings, now_us
        self._channels = channels or channels_of(settings)
        self._sources = Sources(keys, disclosure_days=settings.disclosure_delay_days)

    async def run(self, stop: threading.Event) -> None:
        """Run until `stop` is set."""
        log = logs.get("notices")
        pause = PAUSE_S
        while not stop.is_set():
            try:
                async with Fresh(self._conninfo).connection() as db:
                    await db.set_autocommit(True)
                    await self._require_epoch(db)
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
        found = await (await db.execute(_DUE, {"now": self._now_us()})).fetchone()
        if found is None or not found[0]:  # one question instead of a dozen, four times a second
            return 0
        lent = _Lent(db, asyncio.Lock())
        delivery = self.delivery(lent)
        done = await self._sources.follow_register(db, self._now_us())
        done += await self._sources.follow_checks(db, self._now_us())
        done += await delivery.route()
        done += await delivery.send()
        return done

    def delivery(self, connections: Connections) -> Delivery:
        """Return what routes and sends over these connections."""
        return Delivery(self._ground(connections), self._vault, self._channels, self._settings)

    def _ground(self, connections: Connections) -> Ground:
        return Ground(connections, self._keys, self._settings.home, self._now_us)

    async def _require_epoch(self, db: Connection) -> None:
        found = await (await db.execute("SELECT key_epoch FROM log_head")).fetchone()
        if found is None:
            raise Corrupt("The register log has no head.", where="log_head")
        self._keys.require_epoch(found[0])
