"""Blind, subscribe, read what was told, acknowledge. Every call is of one party, and within its limits."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from annul.errors import BadInput, Conflict, NotFound, OverQuota
from annul.registry.editions.saying import CLASS_OF_CODE
from annul.registry.linkage.blinding import TOKEN_BYTES, Blinding
from annul.registry.writing.ground import Ground
from annul.registry.writing.store import REALM_CODES, Connection, reading
from annul.times import DAY_US

BLIND_MAX: Final = 1_000
"""Points of one call: some 60 ms of a core, in a thread beside the loop."""
TOKENS_MAX: Final = 10_000
"""Tokens of one call."""
PAGE_MAX: Final = 10_000
LOCK: Final = 0x616E7375
"""Advisory lock under which tokens are counted and events are numbered ("ansu")."""


class Parameters(msgspec.Struct, frozen=True):
    """What a party needs to blind.

    Attributes:
        epoch: of the function and the keys; everything is of one epoch.
        public_key: 32 bytes.
        carried: secrets by which a document's carried key is made, oldest first (`docs/formats/edition.md`).
    """

    epoch: int
    public_key: bytes
    carried: tuple[bytes, ...]


class Evaluated(msgspec.Struct, frozen=True):
    """Evaluated points, in order, one proof for all, and the epoch."""

    epoch: int
    elements: list[bytes]
    proof: bytes


class Change(msgspec.Struct, frozen=True):
    """What became of a document: token, position of the entry, code (0 not listed, 1 reported, 2 not in force, 3 ask)."""

    token: bytes
    position: int
    code: int
    recorded_at_us: int

    @property
    def kind(self) -> str:
        """What became of the document, in one word."""
        return CLASS_OF_CODE[self.code]


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """An event of a subscription: dense `number` of the party; until when to act; when it was acknowledged."""

    number: int
    token: bytes
    position: int
    code: int
    told_at_us: int
    act_by_us: int
    acknowledged_at_us: int | None

    @property
    def kind(self) -> str:
        """What became of the document, in one word."""
        return CLASS_OF_CODE[self.code]


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How a party stands: tokens, events not acknowledged, and those of them whose time to act is over."""

    party: str
    tokens: int
    open: int
    overdue: int


class Subscriptions:
    """Keep what parties have on file.

    Args:
        ground: what every part stands on.
        tokens_max: tokens of one party in a realm.
        blindings_max: points of one party in a realm and day.
    """

    def __init__(self, ground: Ground, *, tokens_max: int, blindings_max: int) -> None:
        self._connections, self._keys, self._now_us = ground.connections, ground.keys, ground.now_us
        self._tokens_max, self._blindings_max = tokens_max, blindings_max
        self._blinding: dict[str, Blinding] = {}

    def _of(self, realm: str) -> Blinding:
        if realm not in self._blinding:
            self._blinding[realm] = Blinding(self._keys, realm)
        return self._blinding[realm]

    def parameters(self, realm: str) -> Parameters:
        """Return what a party needs to blind."""
        blinding = self._of(realm)
        return Parameters(blinding.epoch, blinding.public_key, self._keys.carried(realm))

    async def blind(self, party: str, realm: str, points: Sequence[bytes]) -> Evaluated:
        """Evaluate blinded points. They are counted when all of them are good, before any is evaluated.

        Raises:
            BadInput: none or too many points, or one that is no element of the group.
            OverQuota: the party used up the day's points.
        """
        if not 1 <= len(points) <= BLIND_MAX:
            raise BadInput(f"A call blinds 1 to {BLIND_MAX} points.", where="/points")
        blinding = self._of(realm)
        elements, proof = await asyncio.to_thread(blinding.evaluate, points)
        async with reading(self._connections) as db:
            row = await (
                await db.execute(
                    "INSERT INTO blinding (party, realm, day, count) VALUES (%s, %s, %s, %s) "
                    "ON CONFLICT (party, realm, day) DO UPDATE SET count = blinding.count + excluded.count "
                    "WHERE blinding.count + excluded.count <= %s RETURNING count",
                    (party, REALM_CODES[realm], self._now_us() // DAY_US, len(points), self._blindings_max),
                )
            ).fetchone()
        if row is None or row[0] > self._blindings_max:
            raise OverQuota(
                f"A party blinds at most {self._blindings_max} points a day.",
                mend="Keep the tokens you have: they hold until the keys are rotated. Go on tomorrow.",
                retry_after_s=3600,
            )
        return Evaluated(blinding.epoch, elements, proof)

    async def subscribe(self, party: str, realm: str, tokens: Sequence[bytes], epoch: int) -> tuple[int, int]:
        """Register tokens; those that are registered stay. Return how many the party has now, and how many events that made.

        What became of a document already is told at once, as an event.

        Raises:
            BadInput: too many tokens, or one of another length.
            Conflict: they are of another epoch, or the party would have too many; nothing is changed.
        """
        self._require(tokens)
        if epoch != self._of(realm).epoch:
            raise Conflict(
                "The tokens are of another epoch.", where="/epoch", mend="The keys were rotated: blind everything anew."
            )
        now_us = self._now_us()
        async with reading(self._connections) as db, db.transaction():
            await db.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
            await db.execute(
                "INSERT INTO subscription (party, realm, token, epoch, since_us) "
                "SELECT %s, %s, t, %s, %s FROM unnest(%s::bytea[]) t ON CONFLICT DO NOTHING",
                (party, REALM_CODES[realm], epoch, now_us, list(set(tokens))),
            )
            count = await self._count(db, party, realm)
            if count > self._tokens_max:
                raise Conflict(f"A party has at most {self._tokens_max} tokens.", where="/tokens", mend="End some first.")
            return count, len(await tell(db, now_us, party=party, tokens=tokens))

    async def end(self, party: str, realm: str, tokens: Sequence[bytes]) -> int:
        """End subscriptions: the documents are no longer on file. Return how many tokens the party has now."""
        self._require(tokens)
        async with reading(self._connections) as db, db.transaction():
            await db.execute(
                "DELETE FROM subscription WHERE party = %s AND realm = %s AND token = ANY(%s)",
                (party, REALM_CODES[realm], list(tokens)),
            )
            return await self._count(db, party, realm)

    @staticmethod
    def _require(tokens: Sequence[bytes]) -> None:
        if not 1 <= len(tokens) <= TOKENS_MAX:
            raise BadInput(f"A call names 1 to {TOKENS_MAX} tokens.", where="/tokens")
        for place, token in enumerate(tokens):
            if len(token) != TOKEN_BYTES:
                raise BadInput(f"A token has {TOKEN_BYTES} bytes.", where=f"/tokens/{place}")

    @staticmethod
    async def _count(db: Connection, party: str, realm: str) -> int:
        row = await (
            await db.execute("SELECT count(*) FROM subscription WHERE party = %s AND realm = %s", (party, REALM_CODES[realm]))
        ).fetchone()
        return int(row[0]) if row else 0

    async def events(self, party: str, realm: str, after: int, limit: int) -> list[Told]:
        """Return the party's events behind a number, oldest first."""
        async with reading(self._connections) as db:
            found = await db.execute(
                f"SELECT {_EVENT} FROM subscription_event "
                "WHERE party = %s AND realm = %s AND number > %s ORDER BY number LIMIT %s",
                (party, REALM_CODES[realm], after, min(limit, PAGE_MAX)),
            )
            names = Told.__struct_fields__
            return [Told(**dict(zip(names, row, strict=True))) for row in await found.fetchall()]

    async def acknowledge(self, party: str, realm: str, up_to: int) -> int:
        """Take the party's word that it acted on its events up to a number; return how many were open.

        Raises:
            NotFound: it has no event of this number.
        """
        async with reading(self._connections) as db:
            known = await db.execute(
                "SELECT FROM subscription_event WHERE party = %s AND realm = %s AND number = %s",
                (party, REALM_CODES[realm], up_to),
            )
            if await known.fetchone() is None:
                raise NotFound("There is no such event.", where="/up_to")
            done = await db.execute(
                "UPDATE subscription_event SET acknowledged_at_us = %s "
                "WHERE party = %s AND realm = %s AND number <= %s AND acknowledged_at_us IS NULL",
                (self._now_us(), party, REALM_CODES[realm], up_to),
            )
            return done.rowcount

    async def changes(self, realm: str, after: int, limit: int) -> tuple[list[Change], int]:
        """Return what became of documents behind a position, in order, and the position up to which this is all.

        Entries of one position are never torn: a page ends with a whole position.
        """
        async with reading(self._connections) as db:
            cursor = await (await db.execute("SELECT position FROM blinded_cursor")).fetchone()
            found = await db.execute(
                "SELECT token, position, code, recorded_at_us FROM blinded_change "
                "WHERE realm = %s AND epoch = %s AND position > %s ORDER BY position FETCH FIRST %s ROWS WITH TIES",
                (REALM_CODES[realm], self._of(realm).epoch, after, min(limit, PAGE_MAX)),
            )
            rows = [Change(bytes(token), *rest) for token, *rest in await found.fetchall()]
        reached = int(cursor[0]) if cursor else 0
        return rows, rows[-1].position if len(rows) >= min(limit, PAGE_MAX) else max(reached, after)

    async def listed(self, realm: str, after: bytes, limit: int) -> tuple[list[tuple[bytes, int, int]], int]:
        """Return what is listed now, by token behind `after`: token, code, since when; and the position this is told up to."""
        async with reading(self._connections) as db:
            cursor = await (await db.execute("SELECT position FROM blinded_cursor")).fetchone()
            found = await db.execute(
                "SELECT token, code, recorded_at_us FROM (SELECT DISTINCT ON (token) token, code, recorded_at_us "
                "FROM blinded_change WHERE realm = %s AND epoch = %s AND token > %s ORDER BY token, position DESC) newest "
                "WHERE code <> 0 ORDER BY token LIMIT %s",
                (REALM_CODES[realm], self._of(realm).epoch, after, limit),
            )
            rows = [(bytes(token), code, at_us) for token, code, at_us in await found.fetchall()]
        return rows, int(cursor[0]) if cursor else 0

    async def standing_of(self, party: str, realm: str) -> Standing:
        """Return how a party stands."""
        async with reading(self._connections) as db:
            found = await db.execute(
                "SELECT (SELECT count(*) FROM subscription WHERE party = %(p)s AND realm = %(r)s), count(*), "
                "count(*) FILTER (WHERE act_by_us < %(n)s) FROM subscription_event "
                "WHERE party = %(p)s AND realm = %(r)s AND acknowledged_at_us IS NULL",
                {"p": party, "r": REALM_CODES[realm], "n": self._now_us()},
            )
            row = await found.fetchone()
        tokens, waiting, overdue = row or (0, 0, 0)
        return Standing(party=party, tokens=tokens, open=waiting, overdue=overdue)

    async def open_events(self, party: str, realm: str, limit: int) -> list[Told]:
        """Return the party's events that are not acknowledged, oldest first."""
        async with reading(self._connections) as db:
            found = await db.execute(
                f"SELECT {_EVENT} FROM subscription_event WHERE party = %s AND realm = %s AND acknowledged_at_us IS NULL "
                "ORDER BY number LIMIT %s",
                (party, REALM_CODES[realm], limit),
            )
            return [Told(**dict(zip(Told.__struct_fields__, row, strict=True))) for row in await found.fetchall()]

    async def standing(self) -> list[Standing]:
        """Return how every party stands in the live realm, those with the most overdue first."""
        async with reading(self._connections) as db:
            found = await db.execute(_STANDING, (self._now_us(),))
            return [
                Standing(party=party, tokens=tokens, open=waiting, overdue=overdue)
                for party, tokens, waiting, overdue in await found.fetchall()
            ]


_EVENT: Final = "number, token, position, code, told_at_us, act_by_us, acknowledged_at_us"

_STANDING: Final = """
SELECT party, coalesce(s.tokens, 0), coalesce(e.open, 0), coalesce(e.overdue, 0)
FROM (SELECT party, count(*) AS tokens FROM subscription WHERE realm = 0 GROUP BY party) s
FULL JOIN (SELECT party, count(*) AS open, count(*) FILTER (WHERE act_by_us < %s) AS overdue FROM subscription_event
    WHERE realm = 0 AND acknowledged_at_us IS NULL GROUP BY party) e USING (party)
ORDER BY 4 DESC, 3 DESC, party
"""

GRACE_DAYS: Final = {0: 7, 1: 1, 2: 30, 3: 7}
"""Days a party has to act, by what became of the document: reported, one day, for it may be in a thief's hands; no longer in
force, the month in which the People's Bank lets a customer show the new card; to be asked about, or usable again, a week."""


async def tell(db: Connection, now_us: int, *, party: str | None = None, tokens: Sequence[bytes] = ()) -> list[Any]:
    """Make events of what became of subscribed documents and was not told.

    Called within a transaction that holds LOCK: the event is there if and only if its cause is. The newest change of a
    document is told; what nobody relied on yet (usable again before it was ever told) is not.

    Args:
        db: connection.
        now_us: time.
        party: to this party alone; to all that have them when not given.
        tokens: about these.

    Returns:
        party, realm, number, code, act_by_us and token of each event.
    """
    which = "AND s.party = %(party)s AND s.token = ANY(%(tokens)s)" if party is not None else "AND c.token = ANY(%(tokens)s)"
    found = await db.execute(
        f"""
        WITH newest AS (
            SELECT DISTINCT ON (s.party, s.realm, s.token) s.party, s.realm, s.token, s.epoch, c.position, c.code
            FROM subscription s JOIN blinded_change c ON c.token = s.token AND c.realm = s.realm AND c.epoch = s.epoch
            WHERE true {which} ORDER BY s.party, s.realm, s.token, c.position DESC
        ), due AS (
            SELECT n.* FROM newest n LEFT JOIN LATERAL (
                SELECT e.position, e.code FROM subscription_event e
                WHERE e.party = n.party AND e.realm = n.realm AND e.token = n.token ORDER BY e.position DESC LIMIT 1
            ) last ON true
            WHERE coalesce(last.position, -1) < n.position AND coalesce(last.code, 0) <> n.code
        ), numbered AS (
            SELECT d.*, row_number() OVER (PARTITION BY d.party, d.realm ORDER BY d.position, d.token) + coalesce(
                (SELECT max(e.number) FROM subscription_event e WHERE e.party = d.party AND e.realm = d.realm), 0) AS number
            FROM due d
        )
        INSERT INTO subscription_event (party, realm, number, token, epoch, position, code, told_at_us, act_by_us)
        SELECT party, realm, number, token, epoch, position, code, %(now)s,
            %(now)s + (CASE code WHEN 0 THEN {GRACE_DAYS[0]} WHEN 1 THEN {GRACE_DAYS[1]} WHEN 2 THEN {GRACE_DAYS[2]}
                ELSE {GRACE_DAYS[3]} END)::bigint * {DAY_US}
        FROM numbered RETURNING party, realm, number, code, act_by_us, token
        """.encode(),
        {"party": party, "tokens": list(tokens), "now": now_us},
    )
    return await found.fetchall()
