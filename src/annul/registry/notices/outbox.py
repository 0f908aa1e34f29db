"""The outbox: put a notice in, hold it back for a case, and look at what was and was not delivered."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from annul.errors import BadInput, NotFound
from annul.records.entry import EVIDENCE_MAX
from annul.registry.writing.store import Connection, Connections, reading
from annul.times import DAY_US

HOLD_DAYS_MAX: Final = 366
"""Longest hold; who needs longer decides again."""
PAGE_MAX: Final = 500

HOLDER_KINDS: Final = frozenset(
    {
        "reported",
        "suspended",
        "confirmed",
        "lapsed",
        "withdrawn",
        "lifted",
        "replaced",
        "revoked",
        "cancelled",
        "compromised",
        "found",
        "found_card_held",
        "found_card_handed_out",
        "found_card_destroyed",
        "returned",
        "destroyed",
        "locked",
        "unlocked",
        "unlocked_for",
        "dispute_opened",
        "dispute_received",
        "dispute_decided",
        "dispute_closed",
        "corrected",
        "searched",
        "attempt",
        "used_before_report",
        "death_reported",
        "contacts_changed",
        "record_corrected",
        "misuse_decided",
        "misuse_upheld",
        "misuse_ended",
    }
)
"""What a holder is told; each has a text in every language under `texts/`."""

PARTY_KINDS: Final = frozenset(
    {
        *("recall", "attempt_not_mine", "follow_up_due", "finding", "finding_decided"),
        *("subscription", "subscription_overdue", "subscription_renew"),
    }
)
"""What a party is told by webhook: an answer it was given is withdrawn, the holder denies an attempt, a follow-up is due,
business was found without its check, and what was decided of that; a document it has on file changed, it has not acted in
time, its tokens are to be made anew."""

KINDS: Final = HOLDER_KINDS | PARTY_KINDS
HELD_KINDS: Final = ("attempt", "used_before_report", "searched")
"""What waits while a case is open."""


async def queue(
    db: Connection,
    kind: str,
    *,
    key: str,
    now_us: int,
    realm: int = 0,
    document_id: int | None = None,
    person_id: int | None = None,
    party: str | None = None,
    values: Mapping[str, str | int] | None = None,
    not_before_us: int = 0,
) -> bool:
    """Put a notice into the outbox, inside the transaction of its cause.

    Args:
        db: connection inside the caller's transaction: the notice is there if and only if the cause is.
        kind: one of KINDS.
        key: what the notice is about; of two notices with one key the second is dropped.
        now_us: time of the cause.
        document_id, person_id: whose holder, or who, is told; a person wins.
        party: principal that is told by webhook; then nobody else is.
        values: what the text needs: codes, references, times as integers called `*_us`; never a number or a person's name.
        not_before_us: a lawful delay; until then the notice is neither sent nor shown.

    Returns:
        False when a notice of this key is there already.
    """
    if kind not in KINDS or (kind in PARTY_KINDS) != (party is not None):
        raise ValueError(f"no such notice: {kind}")
    hold_id = None
    if kind in HELD_KINDS and document_id is not None:
        held = await _held(db, document_id, now_us)
        if held is not None:
            hold_id, until_us = held
            not_before_us = max(not_before_us, until_us)
    done = await db.execute(
        "INSERT INTO notice (id, key, kind, realm, document_id, person_id, party, details, created_at_us, not_before_us, "
        "hold_id, state) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 'waiting') ON CONFLICT (key) DO NOTHING",
        (
            "n_" + secrets.token_hex(12),
            key,
            kind,
            realm,
            document_id,
            person_id,
            party,
            msgspec.json.encode(dict(values or {})),
            now_us,
            not_before_us,
            hold_id,
        ),
    )
    return done.rowcount == 1


async def hold(db: Connection, document_id: int, *, case: str, author: str, until_us: int, now_us: int) -> str:
    """Hold back what a document's holder would be told of attempts and searches, because a case is open; return the hold's id.

    What waits already, and was not yet told, waits as well.

    Raises:
        BadInput: no case, or the end is not within HOLD_DAYS_MAX days.
    """
    if not 1 <= len(case.encode()) <= EVIDENCE_MAX:
        raise BadInput(f"A hold names its case in 1 to {EVIDENCE_MAX} bytes.", where="/case")
    if not now_us < until_us <= now_us + HOLD_DAYS_MAX * DAY_US:
        raise BadInput(f"A hold ends within the next {HOLD_DAYS_MAX} days.", where="/until")
    hold_id = "h_" + secrets.token_hex(12)
    await db.execute(
        "INSERT INTO notice_hold (id, document_id, case_reference, author, created_at_us, until_us) "
        "VALUES (%s, %s, %s, %s, %s, %s)",
        (hold_id, document_id, case, author, now_us, until_us),
    )
    await db.execute(
        "UPDATE notice SET hold_id = %s, not_before_us = greatest(not_before_us, %s) "
        "WHERE document_id = %s AND state = 'waiting' AND kind = ANY(%s)",
        (hold_id, until_us, document_id, list(HELD_KINDS)),
    )
    await db.execute(
        "UPDATE attempt SET hold_id = %s, visible_from_us = greatest(visible_from_us, %s) "
        "WHERE document_id = %s AND visible_from_us > %s",
        (hold_id, until_us, document_id, now_us),
    )
    return hold_id


async def release(db: Connection, hold_id: str, *, now_us: int) -> int:
    """End a hold early: what waited for it alone is told now; return how many notices.

    Raises:
        NotFound: there is no such hold, or it has ended.
    """
    ended = await (
        await db.execute(
            "UPDATE notice_hold SET released_at_us = %s WHERE id = %s AND released_at_us IS NULL AND until_us > %s "
            "RETURNING document_id",
            (now_us, hold_id, now_us),
        )
    ).fetchone()
    if ended is None:
        raise NotFound("There is no such hold, or it has ended.")
    other, until_us = await held_until(db, ended[0], now_us)  # of another case
    until_us = max(until_us, now_us)
    await db.execute("UPDATE attempt SET visible_from_us = %s, hold_id = %s WHERE hold_id = %s", (until_us, other, hold_id))
    freed = await db.execute(
        "UPDATE notice SET not_before_us = %s, hold_id = %s WHERE hold_id = %s AND state = 'waiting'",
        (until_us, other, hold_id),
    )
    return freed.rowcount


async def _held(db: Connection, document_id: int, now_us: int) -> tuple[str, int] | None:
    """Return the hold on a document that ends last, None when there is none."""
    found = await (
        await db.execute(
            "SELECT id, until_us FROM notice_hold WHERE document_id = %s AND until_us > %s AND released_at_us IS NULL "
            "ORDER BY until_us DESC LIMIT 1",
            (document_id, now_us),
        )
    ).fetchone()
    return None if found is None else (found[0], found[1])


async def held_until(db: Connection, document_id: int, now_us: int) -> tuple[str | None, int]:
    """Return the hold on a document (None) and its end (0): what is told of attempts waits until then."""
    return await _held(db, document_id, now_us) or (None, 0)


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A notice as its holder finds it among the messages of the account; `values` are what its text needs."""

    id: str
    kind: str
    document_id: int | None
    created_at_us: int
    values: dict[str, Any]
    read: bool


class DeliveryView(msgspec.Struct, frozen=True, kw_only=True):
    """One delivery as an operator sees it: no address, no text. `state` is due, paused, sent, kept or dead."""

    id: str
    notice: str
    kind: str
    channel: str
    language: str
    state: str
    tries: int
    due_at_us: int
    fault: str
    created_at_us: int
    done_at_us: int | None


class Outbox:
    """Look at the outbox and send dead letters again.

    Args:
        connections: the register's database.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def messages(
        self, person_id: int, document_ids: Sequence[int], now_us: int, *, realm: int, limit: int = 100
    ) -> list[Message]:
        """Return what a person was told, newest first; what a lawful delay holds back is left out."""
        async with reading(self._connections) as db:
            rows = await (
                await db.execute(
                    "SELECT id, kind, document_id, created_at_us, details, read_at_us IS NOT NULL FROM notice "
                    "WHERE realm = %s AND party IS NULL AND not_before_us <= %s AND (person_id = %s OR "
                    "(person_id IS NULL AND document_id = ANY(%s))) ORDER BY created_at_us DESC, id LIMIT %s",
                    (realm, now_us, person_id, list(document_ids), min(limit, PAGE_MAX)),
                )
            ).fetchall()
        return [
            Message(
                id=row[0],
                kind=row[1],
                document_id=row[2],
                created_at_us=row[3],
                values=msgspec.json.decode(row[4]),
                read=row[5],
            )
            for row in rows
        ]

    async def mark_read(self, ids: Sequence[str], now_us: int) -> None:
        """Note that messages were shown to their reader."""
        async with reading(self._connections) as db:
            await db.execute("UPDATE notice SET read_at_us = %s WHERE id = ANY(%s) AND read_at_us IS NULL", (now_us, list(ids)))

    async def deliveries(self, *, state: str = "", limit: int = 100) -> list[DeliveryView]:
        """Return deliveries, newest first; of one state (due, paused, sent, kept, dead) or of all."""
        if state not in ("", "due", "paused", "sent", "kept", "dead"):
            raise BadInput("A delivery is due, paused, sent, kept or dead.", where="?state")
        if not 1 <= limit <= PAGE_MAX:
            raise BadInput(f"A page has 1 to {PAGE_MAX} deliveries.", where="?limit")
        async with reading(self._connections) as db:
            rows = await (
                await db.execute(
                    "SELECT d.id, d.notice_id, n.kind, d.channel, d.language, d.state, d.tries, d.due_at_us, d.fault, "
                    "n.created_at_us, d.done_at_us FROM delivery d JOIN notice n ON n.id = d.notice_id "
                    "WHERE %s = '' OR d.state = %s ORDER BY n.created_at_us DESC, d.id LIMIT %s",
                    (state, state, limit),
                )
            ).fetchall()
        return [DeliveryView(**dict(zip(DeliveryView.__struct_fields__, row, strict=True))) for row in rows]

    async def retry(self, ids: Sequence[str], now_us: int) -> int:
        """Send dead letters again, those named or all of them (no id); return how many. Their ids stay the same."""
        async with reading(self._connections) as db:
            done = await db.execute(
                "UPDATE delivery SET state = 'due', tries = 0, due_at_us = %s, done_at_us = NULL WHERE state = 'dead' "
                "AND (%s OR id = ANY(%s))",
                (now_us, not ids, list(ids)),
            )
            return done.rowcount

    async def undelivered(self, now_us: int) -> dict[str, int]:
        """Count what is not delivered: `due` (being tried), `late` (tried before, or due for a minute), `dead` (given up)."""
        async with reading(self._connections) as db:
            row = await (
                await db.execute(
                    "SELECT count(*) FILTER (WHERE state = 'due'), count(*) FILTER (WHERE state = 'due' AND (tries > 0 OR "
                    "due_at_us < %s)), count(*) FILTER (WHERE state = 'dead') FROM delivery WHERE state IN ('due', 'dead')",
                    (now_us - 60_000_000,),
                )
            ).fetchone()
        assert row is not None
        return {"due": row[0], "late": row[1], "dead": row[2]}


NOTICE_DAYS_KEPT: Final = 3653
"""How long it can be shown that a holder or a party was told, and how often a dead card was tried: ten years."""
FORGOTTEN_MAX: Final = 10_000
"""Rows of each kind that are forgotten in one turn."""


async def forget(connections: Connections, now_us: int) -> int:
    """Forget attempts, notices and the checks of recalls after NOTICE_DAYS_KEPT, deliveries with their notice; return how many.

    What is still to be sent stays, and the signed note of a recall, which names its checks, stays too.
    """
    before, done = now_us - NOTICE_DAYS_KEPT * DAY_US, 0
    async with reading(connections) as db, db.transaction():
        gone = await db.execute(
            "SELECT id FROM notice n WHERE created_at_us < %s AND state = 'routed' AND NOT EXISTS (SELECT FROM delivery d "
            "WHERE d.notice_id = n.id AND d.state IN ('due', 'paused')) ORDER BY created_at_us LIMIT %s",
            (before, FORGOTTEN_MAX),
        )
        notices = [notice_id for (notice_id,) in await gone.fetchall()]
        if notices:
            await db.execute("DELETE FROM delivery WHERE notice_id = ANY(%s)", (notices,))
            await db.execute("DELETE FROM notice WHERE id = ANY(%s)", (notices,))
        for table in ("attempt", "recall_check"):
            deleted = await db.execute(
                f"DELETE FROM {table} WHERE ctid = ANY(ARRAY(SELECT ctid FROM {table} WHERE checked_at_us < %s LIMIT %s))",
                (before, FORGOTTEN_MAX),
            )
            done += deleted.rowcount
    return done + len(notices)
