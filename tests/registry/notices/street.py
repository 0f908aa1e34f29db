"""A town whose people are told things: notices by hand, real channels or recording ones."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psycopg

from annul.listings import Listings
from annul.proof.window import WindowSigner
from annul.records.document import DocumentFields
from annul.records.person import Contact
from annul.registry.accounts.accounts import Indexer
from annul.registry.answering.checklog import CheckLog
from annul.registry.answering.checks import Checks
from annul.registry.answering.quota import Quota
from annul.registry.loops.herald import Herald
from annul.registry.loops.timetable import Turns
from annul.registry.notices.channels import Undelivered, Webhooks
from annul.registry.notices.delivery import Channels
from annul.registry.writing.store import Connection, Fresh
from annul.settings import Settings
from tests.registry.answering.desk import principal, question
from tests.registry.people.town import REGISTRAR, WANG, Town, person
from tests.registry.world import ISSUER, card

Result = TypeVar("Result")
MAIL, PHONE = "ming.wang@mail.test", "+86 10 5555 0100"


@dataclass
class Recorder:
    """Channels that keep what they are given; `faults` are raised first, one a sending."""

    sent: list[tuple[str, ...]] = field(default_factory=list)
    faults: list[Undelivered] = field(default_factory=list)

    async def send(self, message_id: str, *parts: str) -> bool:
        """Keep one message."""
        if self.faults:
            raise self.faults.pop(0)
        self.sent.append((message_id, *parts))
        return True


class Street(Town):
    """A town with a holder (WANG), a card of 2016, and notices."""

    def __init__(self, conninfo: str, home: Path, **settings: Any) -> None:
        super().__init__(conninfo, home)
        self.settings = Settings(home=home, public_url="https://annul.test", **settings)
        self.mail, self.sms = Recorder(), Recorder()
        self.channels = Channels(self.mail, self.sms, Webhooks(private=True))
        self.herald = Herald(conninfo, self.keys, self.vault, self.settings, self.clock, channels=self.channels)
        self.run(self._settle())
        self.turn()
        self.mail.sent.clear()
        self.sms.sent.clear()

    def run(self, work: Awaitable[Result]) -> Result:
        """Run one coroutine to its end."""

        async def inner() -> Result:
            return await work

        return asyncio.run(inner())

    async def _settle(self) -> None:
        await self.register.issue(ISSUER, card(), happened_at_us=self.clock())
        contacts = [Contact("email", MAIL), Contact("phone", PHONE)]
        await self.people.add(REGISTRAR, person(WANG, contacts=contacts), happened_at_us=self.clock())

    def turn(self, *, again: int = 3) -> int:
        """Let the process do some rounds."""

        async def rounds() -> int:
            async with Fresh(self.conninfo).connection() as db:
                await db.set_autocommit(True)
                turns, done = Turns("notices", self.settings), 0
                for _ in range(again):
                    done += await self.herald.turn(db)
                    await turns.run(self.ground)
                return done

        return self.run(rounds())

    def on_db(self, work: Callable[[Connection], Awaitable[Result]]) -> Result:
        """Run something with a connection, in one transaction."""

        async def inner() -> Result:
            async with Fresh(self.conninfo).connection() as db:
                return await work(db)

        return self.run(inner())

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Ask the database."""
        with psycopg.connect(self.conninfo, autocommit=True) as db:
            cursor = db.execute(query, values)
            return cursor.fetchall() if cursor.description else []

    def ask(self, *, purpose: str = "account-opening", times: int = 1, number: str = WANG, party: str = "bank") -> None:
        """Ask about the card as a bank does, and let the sealer index it."""
        self.follow()

        async def asked() -> None:
            log, quota = CheckLog(self.home / "checks", 0), Quota(self.home / "quota", 0)
            keys = {realm: self.keys.documents(realm) for realm in ("live", "test")}
            listings, signer = Listings(self.home / "listings"), WindowSigner(self.keys.receipts)
            checks = Checks(listings, keys, log, signer, quota, now_us=self.clock)
            asker = principal(party)
            for _ in range(times):
                fields = DocumentFields(scheme="cn-resident", number=number, valid_from="2016-10-06", valid_until="2036-10-06")
                await checks.ask(asker, question(fields, purpose=purpose))
            await checks.close()
            log.close()
            quota.close()

        self.run(asked())
        with psycopg.connect(self.conninfo, autocommit=True) as db:
            Indexer(self.home / "checks").step(db)
