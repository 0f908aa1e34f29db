"""Follow the register log for subscribers: what became of documents, who is told, who has not acknowledged in time.

One step is one transaction: the changes, the events they make, the notices, and how far was read. A crash leaves all or none.
Nothing is done as long as no party ever blinded anything; then the log is read from its beginning, some hundred entries a step.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from annul.records.codes import Realm
from annul.records.entry import BulkBody, Entry, EntryKind, decode
from annul.records.status import Event
from annul.registry import notices
from annul.registry.editions.saying import CLASS_OF_CODE, code_of_standing
from annul.registry.linkage.blinding import Blinding
from annul.registry.linkage.book import LOCK, tell
from annul.registry.writing.ground import Ground
from annul.registry.writing.store import Connection, reading
from annul.times import DAY_US

ENTRIES_MAX: Final = 500
"""Entries of one step; of each document that is listed the function costs some 60 us."""
ROWS: Final = 5_000
"""Documents looked through at once for those of a list."""


class _Found(NamedTuple):
    """A document with what an entry says of it: position, realm, carried key (sealed), code, time."""

    position: int
    realm: int
    sealed: bytes
    code: int
    recorded_at_us: int


class Watch:
    """Do one step after the other.

    Args:
        ground: what every part stands on.
    """

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._blinding: dict[str, Blinding] = {}

    async def step(self) -> int:
        """Read on; return how many entries were read."""
        async with reading(self._ground.connections) as db, db.transaction():
            due = await db.execute(
                "SELECT c.position, c.epoch FROM blinded_cursor c, log_head h "
                "WHERE (c.position < h.next_position - 1 OR c.epoch <> h.key_epoch) AND EXISTS (SELECT FROM blinding)"
            )
            if await due.fetchone() is None:
                return 0
            await db.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
            row = await (await db.execute("SELECT epoch, position FROM blinded_cursor FOR UPDATE")).fetchone()
            assert row is not None  # the migration made it
            epoch, position = row
            if epoch != self._ground.keys.epoch:
                await self._begin_anew(db)
                position = 0
            found = await db.execute(
                "SELECT position, entry, document_id FROM register_log WHERE position > %s ORDER BY position LIMIT %s",
                (position, ENTRIES_MAX),
            )
            rows = await found.fetchall()
            told: list[_Found] = []
            for position, raw, document_id in rows:
                told += await self._of_entry(db, position, decode(bytes(raw)), document_id)
            tokens = await self._enter(db, told)
            if tokens:
                await self._tell(db, tokens)
            await db.execute("UPDATE blinded_cursor SET position = %s", (position,))
            return len(rows)

    async def remind(self) -> int:
        """Tell parties that have not acknowledged in time, once a day; return how many parties."""
        now_us = self._ground.now_us()
        async with reading(self._ground.connections) as db, db.transaction():
            found = await db.execute(
                "SELECT party, realm, count(*) FROM subscription_event WHERE acknowledged_at_us IS NULL AND act_by_us < %s "
                "GROUP BY party, realm",
                (now_us,),
            )
            late = await found.fetchall()
            for party, realm, count in late:
                key = f"subscription_overdue:{party}:{realm}:{now_us // DAY_US}"
                await notices.queue(
                    db, "subscription_overdue", key=key, now_us=now_us, realm=realm, party=party, values={"open": count}
                )
            return len(late)

    async def _begin_anew(self, db: Connection) -> None:
        """Forget what stood under older keys; tell its parties that they must register anew."""
        epoch, now_us = self._ground.keys.epoch, self._ground.now_us()
        self._blinding.clear()
        gone = await db.execute("DELETE FROM subscription WHERE epoch <> %s RETURNING party, realm", (epoch,))
        for party, realm in set(await gone.fetchall()):
            key = f"subscription_renew:{party}:{realm}:{epoch}"
            await notices.queue(
                db, "subscription_renew", key=key, now_us=now_us, realm=realm, party=party, values={"epoch": epoch}
            )
        await db.execute("DELETE FROM blinded_change WHERE epoch <> %s", (epoch,))
        await db.execute("UPDATE blinded_cursor SET epoch = %s, position = 0", (epoch,))

    async def _of_entry(self, db: Connection, position: int, entry: Entry, document_id: int | None) -> list[_Found]:
        if entry.kind in (EntryKind.bulk, EntryKind.bulk_undo):
            return await self._of_list(db, position, entry)
        if entry.kind is not EntryKind.document or document_id is None:
            return []
        code = code_of_standing(entry.standing, disputed=entry.disputed)
        if not code and entry.reason is Event.issue:
            return []
        row = await (
            await db.execute("SELECT carried_key FROM document WHERE id = %s AND carried_key IS NOT NULL", (document_id,))
        ).fetchone()
        return [] if row is None else [_Found(position, entry.realm.octet, bytes(row[0]), code, entry.recorded_at_us)]

    async def _of_list(self, db: Connection, position: int, entry: Entry) -> list[_Found]:
        """Return the documents a list names, with what stands of them now."""
        event = await (
            await db.execute(
                "SELECT file, sha256, realm, state FROM bulk WHERE id = %s", (BulkBody.decode(entry.body).event_id.hex(),)
            )
        ).fetchone()
        if event is None:
            return []
        file, sha256, realm, state = event
        found: list[_Found] = []
        last = 0
        while True:
            rows = await (
                await db.execute(
                    "SELECT id, document_key, carried_key, standing, disputed, overrides_bulk FROM document "
                    "WHERE realm = %s AND id > %s AND carried_key IS NOT NULL ORDER BY id LIMIT %s",
                    (realm, last, ROWS),
                )
            ).fetchall()
            if not rows:
                return found
            last = rows[-1][0]
            bits = await asyncio.to_thread(
                self._ground.segments.bits, file, bytes(sha256).hex(), [bytes(row[1]) for row in rows]
            )
            for (_, _, sealed, standing, disputed, overrides), facts in zip(rows, bits, strict=True):
                if facts:
                    stands = standing if overrides or state != "in_force" else standing | facts
                    code = code_of_standing(stands, disputed=disputed)
                    found.append(_Found(position, realm, bytes(sealed), code, entry.recorded_at_us))

    async def _enter(self, db: Connection, found: Sequence[_Found]) -> list[bytes]:
        """Enter what is another than before; return the tokens of that."""
        if not found:
            return []
        tokens = await asyncio.to_thread(lambda: [self._token(each) for each in found])
        known = await db.execute(
            "SELECT DISTINCT ON (token) token, code FROM blinded_change WHERE token = ANY(%s) ORDER BY token, position DESC",
            (list(set(tokens)),),
        )
        last: dict[bytes, int] = {bytes(token): code for token, code in await known.fetchall()}
        rows: list[tuple[Any, ...]] = []
        for token, each in zip(tokens, found, strict=True):
            if last.get(token, 0) != each.code:
                last[token] = each.code
                rows.append((each.position, token, each.realm, self._ground.keys.epoch, each.code, each.recorded_at_us))
        if rows:
            await db.cursor().executemany(
                "INSERT INTO blinded_change (position, token, realm, epoch, code, recorded_at_us) "
                "VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
                rows,
            )
        return [row[1] for row in rows]

    def _token(self, found: _Found) -> bytes:
        realm = Realm.of_octet(found.realm).value
        if realm not in self._blinding:
            self._blinding[realm] = Blinding(self._ground.keys, realm)
        return self._blinding[realm].token(self._ground.keys.sealed(realm).opened(found.sealed))

    async def _tell(self, db: Connection, tokens: Sequence[bytes]) -> None:
        now_us = self._ground.now_us()
        for party, realm, number, code, act_by_us, token in await tell(db, now_us, tokens=tokens):
            await notices.queue(
                db,
                "subscription",
                key=f"subscription:{party}:{realm}:{number}",
                now_us=now_us,
                realm=realm,
                party=party,
                values={
                    "number": number,
                    "status": CLASS_OF_CODE[code],
                    "act_by_us": act_by_us,
                    "token": base64.b64encode(token).decode(),
                },
            )
