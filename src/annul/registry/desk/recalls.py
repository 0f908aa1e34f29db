"""Recalls: answers that do not hold any more; everybody who was given one is told, and says that the message arrived.

Behind the register a step follows its entries, and finds two causes:

    corrected      every `correct` and `bulk_undo` names what was never true, and since when it was said
    reported_late  a strong report, a cancellation … names a moment before it was recorded: who was told between the two that
                   there is no listing has relied on a document that was lost or dead already; its holder sees these checks

The index of checks tells who was answered; each relying party gets one signed note with its checks, at a dense position of the
log, so that a reader of `GET /v1/recalls` misses none. A provisional report tells nobody before it is confirmed (rule 5).

What must never happen here: a wrong answer that is not recalled although its check is indexed; a note about another party's
checks; a reason in a note that its party's agreement withholds.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final, Literal

import msgspec

from annul.errors import BadInput, NotFound
from annul.proof.checkpoint import sign_note
from annul.records.codes import Outcome, Realm, StatusCode
from annul.records.document import BLOCK_BYTES
from annul.records.entry import BulkBody, Entry, EntryKind, decode
from annul.records.former import PAIR_BYTES
from annul.records.status import DEAD_MASK, Event, State, code_of, state_of
from annul.registry import notices
from annul.registry.notices.sources import DISCLOSURE_DAYS, attempted
from annul.registry.writing import documents
from annul.registry.writing.act import Act
from annul.registry.writing.documents import Row
from annul.registry.writing.ground import Ground
from annul.registry.writing.references import BESIDE, spoken
from annul.registry.writing.store import REALM_CODES, Connection, reading, writing
from annul.times import DAY_US, SECOND_US, rfc3339

ENTRIES_MAX: Final = 5_000
"""Entries of the log read in one step."""
SETTLE_US: Final = 120 * SECOND_US
"""How long after a correction its checks are looked for again: the index is some seconds behind the answers."""
AGAIN_US: Final = 2 * SECOND_US
"""Shortest pause between two looks; it grows to half of the time that has passed."""
SWEEPS_MAX: Final = 200
"""Corrections looked after in one step."""
COMPARED_MAX: Final = 5_000
"""Checks that are compared at once where no key finds them."""
OLDER_SLICE_US: Final = 600 * SECOND_US
"""Stretch of time that is looked through at once for checks under older keys."""
STEP_S: Final = 2.0
"""About the longest time of a step; what is left is taken up by the next one."""
LATE_US: Final = 600 * SECOND_US
"""How long after a correction an answer can still rest on the register before it: the longest a copy counts as live."""
CHECKS_MAX: Final = 1_000
"""Checks in one note; more make several."""
PAGE_MAX: Final = 500

Cause = Literal["corrected", "reported_late"]
_TOLD_NONE: Final = (StatusCode.V00.octet, StatusCode.V01.octet)
_REPORTED: Final = State.reported_lost.bit | State.reported_stolen.bit
_OUT: Final = _REPORTED | DEAD_MASK & ~State.destroyed.bit
"""Facts that are owed to those who were told of no listing since the moment they became true."""
_NO_KEY: Final = bytes(16)


class RecallView(msgspec.Struct, frozen=True, kw_only=True):
    """A recall as its relying party gets it.

    Args:
        cause: corrected (a listing was never true), or reported_late (it was true already).
        position: place in the log, and cursor of the list.
        note: C2SP signed note by the register's key; it names the checks.
    """

    id: str
    party: str
    cause: Cause
    position: int
    made_at_us: int
    check_count: int
    note: str
    acknowledged_at_us: int | None
    acknowledged_by: str | None


class RecallCount(msgspec.Struct, frozen=True, kw_only=True):
    """How far a correction has reached: parties and checks that were wrong, parties that said they know.

    `settled`: the index has been read to its end, so these counts are final.
    """

    parties: int
    checks: int
    acknowledged: int
    settled: bool


class _Wrong(msgspec.Struct, frozen=True):
    check_id: bytes
    party: str
    checked_at_us: int
    answered: int
    outcome: int
    reference: str
    status: int
    document_key: bytes
    number_key: bytes
    key_epoch: int
    branch: str
    purpose: int
    channel: int


class _Correction(msgspec.Struct, frozen=True):
    """`facts`: what was never true, or what was true already; told from `from_us` on, until `until_us`."""

    position: int
    realm: int
    cause: Cause
    facts: int
    from_us: int
    until_us: int
    document_id: int | None
    bulk_id: str | None
    older_after_us: int


class Recalls:
    """Make recalls, list them, take acknowledgements.

    Args:
        ground: what every part stands on.
        disclosure_days: lawful delay until holders see checks for law enforcement.
    """

    def __init__(self, ground: Ground, *, disclosure_days: int = DISCLOSURE_DAYS) -> None:
        self._connections, self._keys, self._now_us = ground.connections, ground.keys, ground.now_us
        self._segments, self._delay_us = ground.segments, disclosure_days * DAY_US

    # -- behind the register -----------------------------------------------------------------------------------------------

    async def step(self) -> int:
        """Follow the log and make what recalls are due; return how much was done.

        A crash repeats a part of the step: corrections are named by their position, checks by their id, so nothing doubles.
        """
        end = time.monotonic() + STEP_S
        done = await self._follow()
        async with reading(self._connections) as db:
            found = await db.execute(
                "SELECT position, realm, cause, gone, from_us, until_us, document_id, bulk_id, older_after_us "
                "FROM correction "
                "WHERE swept_at_us IS NULL AND next_sweep_us <= %s ORDER BY next_sweep_us, position LIMIT %s",
                (self._now_us(), SWEEPS_MAX),
            )
            due = [_Correction(*line) for line in await found.fetchall()]
        for told in due:
            done += await self._sweep(told, end)
            if time.monotonic() > end:
                break
        return done

    async def _follow(self) -> int:
        async with reading(self._connections) as db:  # look first: a lock is a write, four times a second for nothing
            ahead = await db.execute("SELECT 1 FROM recall_cursor c JOIN log_head h ON h.next_position - 1 > c.position")
            if await ahead.fetchone() is None:
                return 0
        async with reading(self._connections) as db, db.transaction():
            cursor = await (await db.execute("SELECT position FROM recall_cursor FOR UPDATE")).fetchone()
            assert cursor is not None
            found = await db.execute(
                "SELECT position, entry, document_id FROM register_log WHERE position > %s ORDER BY position LIMIT %s",
                (cursor[0], ENTRIES_MAX),
            )
            rows = await found.fetchall()
            for position, raw, document_id in rows:
                entry = decode(bytes(raw))
                if entry.kind is EntryKind.bulk_undo:
                    body = BulkBody.decode(entry.body)
                    await db.execute(
                        "INSERT INTO correction (position, realm, bulk_id, gone, from_us, until_us) "
                        "SELECT %s, realm, id, %s, confirmed_at_us, %s FROM bulk WHERE id = %s ON CONFLICT DO NOTHING",
                        (position, body.listed, entry.recorded_at_us, body.event_id.hex()),
                    )
                elif entry.kind is EntryKind.rotation:
                    await db.execute("UPDATE recall_cursor SET rotated_at_us = %s", (entry.recorded_at_us,))
                elif document_id is not None and entry.kind is EntryKind.document:
                    await _follow_document(db, position, entry, document_id)
            if rows:
                await db.execute("UPDATE recall_cursor SET position = %s", (rows[-1][0],))
        return len(rows)

    async def _sweep(self, told: _Correction, end: float) -> int:
        """Look through the index for a correction, until the monotonic time `end` where no key finds what is looked for."""
        now = self._now_us()
        last = settled = now > told.until_us + SETTLE_US
        older_after_us = told.older_after_us
        async with reading(self._connections) as db:
            if told.bulk_id is not None:
                found = await self._answered_by_list(db, told, told.bulk_id)
            else:
                assert told.document_id is not None
                row = await documents.by_id(db, told.document_id)
                found = await self._answered(db, told, row)
                if last:  # nothing under older keys comes into the index any more
                    older, older_after_us = await self._under_older_keys(db, told, row, end)
                    found += older
                    settled = older_after_us > told.until_us + LATE_US
            wrong = [each for each in found if not await _known(db, told.position, each.check_id)]
        for party in sorted({each.party for each in wrong}):
            mine = [each for each in wrong if each.party == party]
            for first in range(0, len(mine), CHECKS_MAX):
                await self._make(told, party, mine[first : first + CHECKS_MAX])
        again = max(now, min(now + max(AGAIN_US, (now - told.until_us) // 2), told.until_us + SETTLE_US + 1))
        async with reading(self._connections) as db:
            await db.execute(
                "UPDATE correction SET swept_at_us = %s, next_sweep_us = %s, older_after_us = %s WHERE position = %s",
                (now if settled else None, again, older_after_us, told.position),
            )
        return len(wrong)

    async def _answered(self, db: Connection, told: _Correction, row: Row) -> list[_Wrong]:
        """Return every indexed check of a document that was answered with a fact that was never true, or without one that was.

        Checks from before a rotation are found by the keys the document had then.
        """
        older, numbers = self._keys.former("test" if told.realm else "live").opened(row.former_keys or b"")
        wrong = await _candidates(
            db,
            told,
            "AND (document_key = ANY(%s) OR (number_key = ANY(%s) AND number_key <> '' AND document_key = %s))",
            [row.document_key, *older],
            [*([row.number_key] if row.number_key else []), *numbers],
            _NO_KEY,
        )
        if told.cause == "corrected":  # a report that was never true had been told to those who accepted the document before it
            found = await db.execute(
                f"SELECT {_CHECK.format(status='x.answered')} FROM correction c "
                "JOIN recall_check x ON x.correction = c.position "
                "JOIN check_index i ON i.check_id = x.check_id AND i.checked_at_us = x.checked_at_us "
                "WHERE c.document_id = %s AND c.cause = 'reported_late' AND c.position < %s AND c.gone & %s <> 0",
                (row.id, told.position, told.facts),
            )
            wrong += [_Wrong(*line) for line in await found.fetchall()]
        return list({each.check_id: each for each in wrong}.values())

    async def _under_older_keys(self, db: Connection, told: _Correction, row: Row, end: float) -> tuple[list[_Wrong], int]:
        """Compare checks under keys older than those the document kept, a stretch of time after the other, until `end`.

        Only documents from before annul kept them come here: every key of the time is advanced to the current epoch.

        Returns:
            What was found, and the moment up to which the time was looked through.
        """
        first = self._keys.epoch - len(row.former_keys or b"") // PAIR_BYTES
        found = await (await db.execute("SELECT rotated_at_us FROM recall_cursor")).fetchone()
        until_us = told.until_us + LATE_US
        if first == 1 or found is None or told.from_us > found[0] + LATE_US:
            return [], until_us + 1
        mine = (row.document_key, row.number_key)
        wrong: list[_Wrong] = []
        at_us, end_us = max(told.from_us, told.older_after_us), min(until_us, found[0] + LATE_US)
        while at_us <= end_us:
            following = at_us + OLDER_SLICE_US
            more = "AND key_epoch < %s AND checked_at_us >= %s AND checked_at_us < %s"
            async for some in _in_parts(db, told, more, first, at_us, following):
                keys = await asyncio.to_thread(self._all_current, told, some)
                wrong += [each for each, key in zip(some, keys, strict=True) if key in mine]
            at_us = following
            if time.monotonic() > end:
                break
        return wrong, at_us if at_us <= end_us else until_us + 1

    async def _answered_by_list(self, db: Connection, told: _Correction, bulk_id: str) -> list[_Wrong]:
        """Return every indexed check that was answered with what a list said which was taken back since.

        Documents with a row that speaks for itself have entries of their own; what another list in force says stays said.
        """
        found = await (await db.execute("SELECT file, sha256 FROM bulk WHERE id = %s", (bulk_id,))).fetchone()
        if found is None:
            return []
        wrong = []
        async for some in _in_parts(db, told, ""):
            keys = await asyncio.to_thread(self._all_current, told, some)
            bits = self._segments.bits(found[0], bytes(found[1]).hex(), keys)
            own = await db.execute(
                "SELECT document_key FROM document WHERE realm = %s AND document_key = ANY(%s) AND overrides_bulk",
                (told.realm, keys),
            )
            speaking = {bytes(key) for (key,) in await own.fetchall()}
            for each, key, bit in zip(some, keys, bits, strict=True):
                if not bit or key in speaking or code_of(state_of(bit)).octet != each.status:
                    continue
                if not any(other.bit == bit for other in await self._segments.listed(db, told.realm, key)):
                    wrong.append(each)
        return wrong

    def _all_current(self, told: _Correction, some: Sequence[_Wrong]) -> list[bytes]:
        """Return the keys of what checks asked about (the document, else its number) under the current secrets."""
        documents = self._keys.documents("test" if told.realm else "live")
        keys = [each.document_key if each.document_key != _NO_KEY else each.number_key for each in some]
        advanced = [_NO_KEY] * len(some)
        for epoch in {each.key_epoch for each in some}:
            places = [place for place, each in enumerate(some) if each.key_epoch == epoch and keys[place]]
            fresh = documents.advance(b"".join(keys[place] for place in places), epoch)
            for number, place in enumerate(places):
                advanced[place] = fresh[number * BLOCK_BYTES : (number + 1) * BLOCK_BYTES]
        return advanced

    async def _make(self, told: _Correction, party: str, wrong: Sequence[_Wrong]) -> None:
        recall_id, correction, realm = "rc_" + secrets.token_hex(12), told.position, told.realm
        async with writing(self._connections, self._now_us()) as write:
            position = write.position + 1
            note = sign_note(_text(recall_id, party, position, told, write.recorded_at_us, wrong), self._keys.register_signer())
            write.note("annul", recall_id, b"recall v1\0" + hashlib.sha256(note).digest(), realm=Realm.of_octet(realm))
            await write.run(
                "INSERT INTO recall (id, correction, realm, party, check_count, note, position, made_at_us) "
                "VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
                recall_id,
                correction,
                realm,
                party,
                len(wrong),
                note,
                position,
                write.recorded_at_us,
            )
            for each in wrong:
                await write.run(
                    "INSERT INTO recall_check (correction, check_id, recall_id, checked_at_us, answered, outcome, reference) "
                    "VALUES (%s, %s, %s, %s, %s, %s, %s)",
                    correction,
                    each.check_id,
                    recall_id,
                    each.checked_at_us,
                    each.answered,
                    each.outcome,
                    each.reference,
                )
                if told.cause == "reported_late" and told.facts & _REPORTED and told.document_id is not None:
                    await attempted(
                        write.db,
                        told.document_id,
                        each.check_id,
                        realm=realm,
                        party=party,
                        branch=each.branch,
                        purpose=each.purpose,
                        channel=each.channel,
                        outcome=each.outcome,
                        status=each.status,
                        checked_at_us=each.checked_at_us,
                        delay_us=self._delay_us,
                        recorded_at_us=told.until_us,
                    )
            await notices.queue(
                write.db,
                "recall",
                key=f"recall:{recall_id}",
                now_us=write.recorded_at_us,
                realm=realm,
                party=party,
                values={"recall": recall_id, "cause": told.cause, "checks": len(wrong), "position": position},
            )

    # -- questions ---------------------------------------------------------------------------------------------------------

    async def of_party(
        self, party: str, realm: str, *, after: int = 0, limit: int = 100, open_only: bool = False
    ) -> list[RecallView]:
        """Return the recalls of a party behind a position, oldest first.

        Raises:
            BadInput: the limit is outside of its range.
        """
        if not 1 <= limit <= PAGE_MAX:
            raise BadInput(f"A page has 1 to {PAGE_MAX} recalls.", where="?limit")
        async with reading(self._connections) as db:
            found = await db.execute(
                f"{_VIEW} WHERE party = %s AND r.realm = %s AND r.position > %s AND (acknowledged_at_us IS NULL OR NOT %s) "
                "ORDER BY r.position LIMIT %s",
                (party, REALM_CODES[realm], after, open_only, limit),
            )
            return [_view(row) for row in await found.fetchall()]

    async def list(self, realm: str, *, limit: int = 200) -> Sequence[RecallView]:
        """Return the newest recalls of all parties, for desks and supervisors."""
        async with reading(self._connections) as db:
            found = await db.execute(
                f"{_VIEW} WHERE r.realm = %s ORDER BY r.position DESC LIMIT %s", (REALM_CODES[realm], limit)
            )
            return [_view(row) for row in await found.fetchall()]

    async def acknowledge(self, act: Act, party: str, recall_id: str) -> RecallView:
        """Note that a party knows of a recall; a second time changes nothing.

        Raises:
            NotFound: the party has no such recall.
        """
        async with reading(self._connections) as db:
            await db.execute(
                "UPDATE recall SET acknowledged_at_us = %s, acknowledged_by = %s WHERE id = %s AND party = %s AND realm = %s "
                "AND acknowledged_at_us IS NULL",
                (self._now_us(), act.author, recall_id, party, act.realm_code),
            )
            row = await (
                await db.execute(f"{_VIEW} WHERE id = %s AND party = %s AND r.realm = %s", (recall_id, party, act.realm_code))
            ).fetchone()
        if row is None:
            raise NotFound("There is no such recall.")
        return _view(row)

    async def count(self, *, document_id: int | None = None, correction: int | None = None) -> RecallCount:
        """Count how far the correction at a position (or all corrections of a document) has reached."""
        async with reading(self._connections) as db:
            row = await (
                await db.execute(
                    "SELECT count(DISTINCT r.party), coalesce(sum(r.check_count), 0), "
                    "count(DISTINCT r.party) FILTER (WHERE NOT EXISTS (SELECT FROM recall o WHERE o.correction = r.correction "
                    "AND o.party = r.party AND o.acknowledged_at_us IS NULL)), count(*) FILTER (WHERE c.swept_at_us IS NULL) "
                    "FROM correction c LEFT JOIN recall r ON r.correction = c.position "
                    "WHERE c.document_id = %s OR c.position = %s",
                    (document_id, correction),
                )
            ).fetchone()
        assert row is not None
        return RecallCount(parties=row[0], checks=int(row[1]), acknowledged=row[2] if row[0] else 0, settled=row[3] == 0)


_VIEW: Final = (
    "SELECT id, party, cause, r.position, made_at_us, check_count, note, acknowledged_at_us, acknowledged_by FROM recall r "
    "JOIN correction c ON c.position = r.correction"
)


def _view(row: tuple[Any, ...]) -> RecallView:
    return RecallView(
        id=row[0],
        party=row[1],
        cause=row[2],
        position=row[3],
        made_at_us=row[4],
        check_count=row[5],
        note=bytes(row[6]).decode(),
        acknowledged_at_us=row[7],
        acknowledged_by=row[8],
    )


def _text(recall_id: str, party: str, position: int, told: _Correction, made_at_us: int, wrong: Sequence[_Wrong]) -> bytes:
    """Return what a note says; layout: docs/desk.md. A check's line says what the party was told, never more."""
    lines = [
        "annul recall v1",
        recall_id,
        f"party {party}",
        f"position {position}",
        f"{'correction' if told.cause == 'corrected' else 'late'} {told.position}",
        f"made {rfc3339(made_at_us)}",
        f"checks {len(wrong)}",
    ]
    for each in wrong:
        status, outcome = StatusCode.of_octet(each.answered).value, Outcome.of_octet(each.outcome).value
        lines.append(f"check {each.check_id.hex()} {rfc3339(each.checked_at_us)} {status} {outcome}")
    return "".join(f"{line}\n" for line in lines).encode()


_CHECK: Final = (
    "i.check_id, i.party, i.checked_at_us, i.answered_status, i.outcome, i.reference, {status}, i.document_key, i.number_key, "
    "i.key_epoch, i.branch, i.purpose, i.channel"
)
"""The columns of a check in the order of `_Wrong`."""


def _query(told: _Correction, more: str, *values: Any) -> tuple[str, tuple[Any, ...]]:
    """Return the question for the checks of a correction's time that were answered as it says, before it."""
    if told.cause == "corrected":
        codes, outcomes = [code_of(state).octet for state in State if told.facts & state.bit], [each.octet for each in Outcome]
    else:  # a STOP for another reason was relied on by nobody
        codes, outcomes = list(_TOLD_NONE), [Outcome.PASS.octet, Outcome.REFER.octet]
    query = (
        f"SELECT {_CHECK.format(status='i.status')} FROM check_index i WHERE checked_at_us >= %s AND checked_at_us <= %s "
        f"AND position < %s AND realm = %s AND status = ANY(%s) AND outcome = ANY(%s) {more} ORDER BY checked_at_us"
    )
    return query, (told.from_us, told.until_us + LATE_US, told.position, told.realm, codes, outcomes, *values)


async def _candidates(db: Connection, told: _Correction, more: str, *values: Any) -> list[_Wrong]:
    query, all_values = _query(told, more, *values)
    return [_Wrong(*line) for line in await (await db.execute(query.encode(), all_values)).fetchall()]


async def _in_parts(db: Connection, told: _Correction, more: str, *values: Any) -> AsyncIterator[list[_Wrong]]:
    """Yield the checks `_query` asks for, COMPARED_MAX at a time: there may be more than memory holds."""
    query, all_values = _query(told, more, *values)
    async with db.transaction(), db.cursor(name="parts") as cursor:
        await cursor.execute(query.encode(), all_values)
        while lines := await cursor.fetchmany(COMPARED_MAX):
            yield [_Wrong(*line) for line in lines]


async def _known(db: Connection, correction: int, check_id: bytes) -> bool:
    row = await db.execute("SELECT 1 FROM recall_check WHERE correction = %s AND check_id = %s", (correction, check_id))
    return await row.fetchone() is not None


async def _follow_document(db: Connection, position: int, entry: Entry, document_id: int) -> None:
    """Note what an entry took away as never true, or what it says was true before it was recorded."""
    if entry.reason in (Event.correct, Event.bulk_undo):
        cause: Cause = "corrected"
        facts, from_us = await _untrue(db, await _past(db, document_id, position))
    elif entry.reason is not Event.bulk_list and entry.standing & _OUT and entry.happened_at_us < entry.recorded_at_us:
        cause, from_us = "reported_late", entry.happened_at_us
        past = await _past(db, document_id, position)
        facts = entry.standing & ~(past[-2][0].standing if len(past) > 1 else 0) & _OUT
    else:
        return
    if facts:
        await db.execute(
            "INSERT INTO correction (position, realm, document_id, cause, gone, from_us, until_us) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            (position, entry.realm.octet, document_id, cause, facts, from_us, entry.recorded_at_us),
        )


async def _past(db: Connection, document_id: int, position: int) -> list[tuple[Entry, str]]:
    """Return a document's entries up to a position, with what they refer to; notes are left out: they change no state."""
    found = await db.execute(
        f"SELECT entry, salt, text FROM {BESIDE} WHERE document_id = %s AND position <= %s ORDER BY position",
        (document_id, position),
    )
    entries = [(decode(bytes(raw)), salt, text) for raw, salt, text in await found.fetchall()]
    return [
        (entry, spoken(entry, salt, text))
        for entry, salt, text in entries
        if entry.kind in (EntryKind.document, EntryKind.unlock)
    ]


async def _untrue(db: Connection, past: Sequence[tuple[Entry, str]]) -> tuple[int, int]:
    """Return the facts that the last entry took away as never true, and since when they were said."""
    standing = gone = 0
    came: dict[int, tuple[int, str]] = {}
    for entry, reference in past:
        gone = standing & ~entry.standing
        for state in State:
            if entry.standing & ~standing & state.bit:
                came[state.bit] = entry.recorded_at_us, reference if entry.reason is Event.bulk_list else ""
        standing = entry.standing
    first = 0
    for bit, (since, evidence) in came.items():
        if gone & bit:
            if evidence.startswith("bulk "):  # the row was made later than the list came into force
                row = await (
                    await db.execute("SELECT confirmed_at_us FROM bulk WHERE id = %s", (evidence.removeprefix("bulk "),))
                ).fetchone()
                since = min(since, row[0]) if row and row[0] else since
            first = min(first or since, since)
    return gone, first
