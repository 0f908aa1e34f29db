"""What notices come from: entries of the register log, read by dense position, and stops in the check index, read by window.

Each step is one transaction: what was found and how far was read. A crash leaves both or neither; a step that is repeated
finds its keys taken and adds nothing. Windows are read up to the indexer's own cursor, which moves with its rows, so none is
skipped.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, Final

from annul.keys import Keys
from annul.records import meanings
from annul.records.codes import Outcome, Purpose, Realm, StatusCode
from annul.records.entry import Entry, EntryKind, UnlockBody, decode
from annul.records.person import CivilEvent, PersonBody
from annul.records.status import Event, State
from annul.registry.notices.outbox import held_until, queue
from annul.registry.writing.store import Connection
from annul.times import DAY_US, HOUR_US

NEWS_US: Final = 7 * DAY_US
"""What was recorded longer ago is history, not news: after a long stop nobody is flooded."""
ENTRIES_MAX: Final = 500
CHECKS_MAX: Final = 5_000
"""Attempts of one step; a step always ends with a whole window."""
WINDOWS_MAX: Final = 5_000
"""Windows looked through in one step; at full speed a worker makes some 200 a second."""
DISCLOSURE_DAYS: Final = 30
"""Default delay before a holder sees searches by officers and checks for law enforcement."""

ATTEMPTS: Final = frozenset(code for code, meaning in meanings.STATUS.items() if meaning.attempt)
"""Status codes that make a stopped check an attempt."""

HOLDER: Final = "(holder)"
PUBLIC: Final = "(public)"
"""Authors of entries that come from citizens: signed in, or not. No principal can have such an id."""

_KINDS: Final[Mapping[Event, str]] = {
    Event.confirm: "confirmed",
    Event.lapse: "lapsed",
    Event.withdraw: "withdrawn",
    Event.lift: "lifted",
    Event.supersede: "replaced",
    Event.cancel_nationality: "cancelled",
    Event.cancel_data: "cancelled",
    Event.revoke_error: "revoked",
    Event.revoke_fraud: "revoked",
    Event.revoke_misuse: "revoked",
    Event.compromise: "compromised",
    Event.surrender: "found",
    Event.return_to_holder: "returned",
    Event.destroy: "destroyed",
    Event.owner_lock: "locked",
    Event.owner_unlock: "unlocked",
    Event.dispute_open: "dispute_opened",
    Event.dispute_close: "dispute_closed",
    Event.correct: "corrected",
}
"""What each event of a document's life tells its holder; reports are judged by what stands after them."""

_PERSON_KINDS: Final[Mapping[CivilEvent, str]] = {
    CivilEvent.contact: "contacts_changed",
    CivilEvent.death_reported: "death_reported",
    CivilEvent.details: "record_corrected",
    CivilEvent.correction: "record_corrected",
    CivilEvent.number_correction: "record_corrected",
    CivilEvent.name_change: "record_corrected",
    CivilEvent.marriage: "record_corrected",
    CivilEvent.emigration: "record_corrected",
    CivilEvent.merged: "record_corrected",
    CivilEvent.revert: "record_corrected",
    CivilEvent.cancelled: "record_corrected",
}


class Sources:
    """Read both sources; each `follow_*` call is one transaction of the given connection.

    Args:
        keys: document keys, to find the document of an entry or check of an earlier key epoch.
        disclosure_days: lawful delay of searches and of checks for law enforcement.
    """

    def __init__(self, keys: Keys, *, disclosure_days: int = DISCLOSURE_DAYS) -> None:
        self._keys = keys
        self._delay_us = disclosure_days * DAY_US

    # -- the register log ----------------------------------------------------------------------------------------------------

    async def follow_register(self, db: Connection, now_us: int) -> int:
        """Make notices of the next entries; return how many entries were read."""
        ahead = (
            "SELECT 1 FROM log_head WHERE next_position - 1 > "
            "coalesce((SELECT position FROM notice_cursor WHERE source = %s), 0)"
        )
        if await _one(db, ahead, "register") is None:  # look first: to hold a cursor is a write
            return 0
        async with db.transaction():
            position = await _locked(db, "register")
            rows = await (
                await db.execute(
                    "SELECT position, entry, document_id FROM register_log WHERE position > %s ORDER BY position LIMIT %s",
                    (position, ENTRIES_MAX),
                )
            ).fetchall()
            for position, raw, document_id in rows:
                entry = decode(bytes(raw))
                if entry.recorded_at_us >= now_us - NEWS_US:
                    await self._of_entry(db, position, entry, document_id)
            if rows:
                await _moved(db, "register", position)
            return len(rows)

    async def _of_entry(self, db: Connection, position: int, entry: Entry, document_id: int | None) -> None:
        values: dict[str, str | int] = {"recorded_at_us": entry.recorded_at_us, "happened_at_us": entry.happened_at_us}
        key = f"entry:{position}"
        realm, now_us = entry.realm.octet, entry.recorded_at_us
        if entry.kind is EntryKind.person:
            body = PersonBody.decode(entry.body)
            kind = _PERSON_KINDS.get(body.event)
            if kind is not None:
                values |= {"event": body.event.value, "position": position, "author": entry.author}
                await queue(db, kind, key=key, now_us=now_us, realm=realm, person_id=body.person, values=values)
        elif entry.kind is EntryKind.note:
            await self._of_search(db, position, entry)
        elif document_id is not None and entry.reason is not None:
            if entry.kind is EntryKind.unlock:
                unlocked = UnlockBody.decode(entry.body)
                values |= {"purpose": unlocked.purpose.value, "until_us": unlocked.until_us}
                kind = "unlocked_for"
            else:
                kind = _kind_of(entry)
            if kind is None:
                return
            values |= {"event": entry.reason.value, "author": entry.author}
            if kind in ("suspended", "reported", "confirmed", "lapsed", "withdrawn", "lifted"):
                values |= await _report(db, document_id, position)
            await queue(db, kind, key=key, now_us=now_us, realm=realm, document_id=document_id, values=values)

    async def _of_search(self, db: Connection, position: int, entry: Entry) -> None:
        """Tell of a look-up: of a desk's search when its own delay ends, of any other after the lawful delay.

        A holder's own look-up is no news.
        """
        if not (entry.document_key or entry.number_key) or entry.author in (HOLDER, PUBLIC):
            return
        document_id = person_id = None
        realm = entry.realm.octet
        if entry.document_key:
            document_id = await _one(
                db,
                "SELECT id FROM document WHERE realm = %s AND document_key = %s",
                realm,
                self._current(entry, entry.document_key),
            )
        if document_id is None and entry.number_key:
            number_key = self._current(entry, entry.number_key)
            person_id = await _one(
                db, "SELECT max(id) FROM person_record WHERE realm = %s AND person_key = %s", realm, number_key
            )
            if person_id is None:
                document_id = await _one(
                    db, "SELECT max(id) FROM document WHERE realm = %s AND number_key = %s", realm, number_key
                )
        if document_id is None and person_id is None:
            return
        found = await db.execute(
            "SELECT coalesce(s.delayed_until_us, 0) FROM search_subject x JOIN search s ON s.id = x.search_id "
            "WHERE x.position = %s",
            (position,),
        )
        search = await found.fetchone()
        await queue(
            db,
            "searched",
            key=f"entry:{position}",
            now_us=entry.recorded_at_us,
            realm=realm,
            document_id=document_id,
            person_id=person_id,
            values={"recorded_at_us": entry.recorded_at_us, "author": entry.author},
            not_before_us=search[0] if search is not None else entry.recorded_at_us + self._delay_us,
        )

    def _current(self, entry: Entry, key: bytes) -> bytes:
        return self._advanced(key, entry.key_epoch, entry.realm)

    def _advanced(self, key: bytes, epoch: int, realm: Realm) -> bytes:
        if not 1 <= epoch < self._keys.epoch:
            return key
        return self._keys.documents(realm.value).advance(key, epoch)

    # -- the check index -----------------------------------------------------------------------------------------------------

    async def follow_checks(self, db: Connection, now_us: int) -> int:
        """Make attempts and their notices of the next windows of every worker; return how many attempts there were."""
        behind = await db.execute(
            "SELECT worker, next_window FROM check_cursor LEFT JOIN notice_cursor ON source = 'checks/' || worker "
            "WHERE next_window > coalesce(position, 0) ORDER BY worker"
        )
        workers = await behind.fetchall()
        return sum([await self._follow_worker(db, worker, indexed, now_us) for worker, indexed in workers])

    async def _follow_worker(self, db: Connection, worker: int, indexed: int, now_us: int) -> int:
        source = f"checks/{worker}"
        async with db.transaction():
            start = await _locked(db, source)
            if start >= indexed:
                return 0
            end = min(indexed, start + WINDOWS_MAX)
            rows = await self._stops(db, worker, start, end)
            if len(rows) > CHECKS_MAX:  # go on with whole windows only: the last one may be cut
                end = max(rows[-1][0], start + 1)
                rows = await self._stops(db, worker, start, end, limit=None)
            made = sum([await self._attempt(db, *row[1:]) for row in rows if row[-1] >= now_us - NEWS_US])
            await _moved(db, source, end)
            return made

    async def _stops(
        self, db: Connection, worker: int, start: int, end: int, *, limit: int | None = CHECKS_MAX + 1
    ) -> list[tuple[Any, ...]]:
        """Return the stops of listed documents in a range of windows; the partial index `check_index_stops` finds them."""
        found = await db.execute(
            "SELECT window_no, check_id, document_key, key_epoch, realm, party, branch, purpose, channel, status, "
            f"checked_at_us FROM check_index WHERE worker = %s AND window_no >= %s AND window_no < %s "
            f"AND outcome = {Outcome.STOP.octet} AND status = ANY(%s) ORDER BY window_no, leaf_index LIMIT %s",
            (worker, start, end, [code.octet for code in ATTEMPTS], limit),
        )
        return await found.fetchall()

    async def _attempt(
        self,
        db: Connection,
        check_id: bytes,
        document_key: bytes,
        key_epoch: int,
        realm: int,
        party: str,
        branch: str,
        purpose: int,
        channel: int,
        status: int,
        checked_at_us: int,
    ) -> int:
        key = self._advanced(bytes(document_key), key_epoch, Realm.of_octet(realm))
        document_id = await _one(db, "SELECT id FROM document WHERE realm = %s AND document_key = %s", realm, key)
        if document_id is None:  # listed by a bulk event alone: the register knows no holder
            return 0
        return await attempted(
            db,
            document_id,
            check_id,
            realm=realm,
            party=party,
            branch=branch,
            purpose=purpose,
            channel=channel,
            outcome=Outcome.STOP.octet,
            status=status,
            checked_at_us=checked_at_us,
            delay_us=self._delay_us,
        )


async def attempted(
    db: Connection,
    document_id: int,
    check_id: bytes,
    *,
    realm: int,
    party: str,
    branch: str,
    purpose: int,
    channel: int,
    outcome: int,
    status: int,
    checked_at_us: int,
    delay_us: int,
    recorded_at_us: int = 0,
) -> int:
    """List a use of a document that must not be relied on, and tell its holder; return 0 when the check is listed already.

    Args:
        check_id … checked_at_us: of the check, codes as octets.
        delay_us: lawful delay of checks for law enforcement.
        recorded_at_us: when the loss was recorded, for a use that was not refused because it was before that.
    """
    lawful = checked_at_us + delay_us if purpose == Purpose.law_enforcement.octet else 0
    hold_id, held = await held_until(db, document_id, checked_at_us)
    attempt_id = "a_" + secrets.token_hex(12)
    done = await db.execute(
        "INSERT INTO attempt (id, check_id, realm, document_id, party, branch, purpose, channel, status, checked_at_us, "
        "visible_from_us, hold_id, outcome) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) "
        "ON CONFLICT (check_id) DO NOTHING",
        (
            attempt_id,
            check_id,
            realm,
            document_id,
            party,
            branch,
            purpose,
            channel,
            status,
            checked_at_us,
            max(lawful, held, checked_at_us),
            hold_id,
            outcome,
        ),
    )
    if done.rowcount != 1:
        return 0
    values: dict[str, str | int] = {
        "attempt": attempt_id,
        "checked_at_us": checked_at_us,
        "party": party,
        "purpose": Purpose.of_octet(purpose).value,
        "status": StatusCode.of_octet(status).value,
    }
    # The list shows every attempt; a clerk who tries a card five times is one message.
    kind, hour = "attempt", f"{document_id}:{party}:{checked_at_us // HOUR_US}"
    if recorded_at_us:
        kind, values["recorded_at_us"] = "used_before_report", recorded_at_us
    await queue(
        db,
        kind,
        key=f"{kind}:{hour}",
        now_us=recorded_at_us or checked_at_us,
        realm=realm,
        document_id=document_id,
        not_before_us=lawful,
        values=values,
    )
    return 1


def _kind_of(entry: Entry) -> str | None:
    """Return what an entry about a document tells its holder, None when it is no news to a person."""
    assert entry.reason is not None
    stands = entry.standing
    if entry.reason in (Event.report_lost, Event.report_stolen):
        strong = stands & (State.reported_lost.bit | State.reported_stolen.bit)
        return "suspended" if stands & State.suspended.bit and not strong else "reported"
    if entry.reason in (Event.report_found, Event.surrender):
        if stands & State.destroyed.bit:
            return "destroyed"
        return "found" if stands & State.found_held.bit else "suspended"
    return _KINDS.get(entry.reason)


async def _report(db: Connection, document_id: int, position: int) -> dict[str, str | int]:
    """Return the reference of the report an entry is about, and when it lapses."""
    found = await (
        await db.execute(
            "SELECT id, event, lapses_at_us FROM report WHERE document_id = %s AND position <= %s "
            "ORDER BY position DESC LIMIT 1",
            (document_id, position),
        )
    ).fetchone()
    if found is None:
        return {}
    told: dict[str, str | int] = {"reference": found[0], "what": found[1]}
    return told | ({"lapses_at_us": found[2]} if found[2] else {})


async def _one(db: Connection, query: str, *values: Any) -> int | None:
    found = await (await db.execute(query, values)).fetchone()
    return None if found is None else found[0]


async def _locked(db: Connection, source: str) -> int:
    """Return how far a source was read, and hold it: of two readers the second waits and goes on behind the first."""
    await db.execute("INSERT INTO notice_cursor (source, position) VALUES (%s, 0) ON CONFLICT DO NOTHING", (source,))
    found = await (await db.execute("SELECT position FROM notice_cursor WHERE source = %s FOR UPDATE", (source,))).fetchone()
    assert found is not None
    return int(found[0])


async def _moved(db: Connection, source: str, position: int) -> None:
    await db.execute("UPDATE notice_cursor SET position = %s WHERE source = %s", (position, source))
