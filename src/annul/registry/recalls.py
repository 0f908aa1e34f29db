"""Recalls: a listing was never true; everybody who was answered with it is told, and says that the message arrived.

Behind the register a step follows its entries: every `correct` and `bulk_undo` names what was never true, and since when it
was said. The index of checks tells who was answered with it; each relying party gets one signed note with its checks, at a
dense position of the log, so that a reader of `GET /v1/recalls` misses none.

What must never happen here: a wrong answer that is not recalled although its check is indexed; a note about another party's
checks; a reason in a note that its party's agreement withholds.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from annul.errors import BadInput, NotFound
from annul.proof.checkpoint import sign_note
from annul.records.codes import Outcome, Realm, StatusCode
from annul.records.entry import BulkBody, Entry, EntryKind, decode
from annul.records.status import Event, State, code_of, state_of
from annul.registry import documents, notices
from annul.registry.act import Act
from annul.registry.answers import rfc3339
from annul.registry.documents import Row
from annul.registry.keys import Keys
from annul.registry.segments import Segments
from annul.registry.store import REALM_CODES, Connection, Connections, reading, writing

ENTRIES_MAX: Final = 5_000
"""Entries of the log read in one step."""
SETTLE_US: Final = 120 * 1_000_000
"""How long after a correction its checks are looked for again: the index is some seconds behind the answers."""
LATE_US: Final = 600 * 1_000_000
"""How long after a correction an answer can still rest on the register before it: the longest a copy counts as live."""
CHECKS_MAX: Final = 1_000
"""Checks in one note; more make several."""
PAGE_MAX: Final = 500

_NO_KEY: Final = bytes(16)


class RecallView(msgspec.Struct, frozen=True, kw_only=True):
    """A recall as its relying party gets it.

    Args:
        position: place in the log, and cursor of the list.
        note: C2SP signed note by the register's key; it names the checks.
    """

    id: str
    party: str
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


class _Correction(msgspec.Struct, frozen=True):
    position: int
    realm: int
    gone: int
    from_us: int
    until_us: int


class Recalls:
    """Make recalls, list them, take acknowledgements.

    Args:
        connections: the register's database.
        keys: signs the notes, and brings keys of older epochs to the current one.
        now_us: clock, microseconds since the epoch.
        home: data folder, for the segments of lists that were taken back.
    """

    def __init__(self, connections: Connections, keys: Keys, now_us: Callable[[], int], home: Path) -> None:
        self._connections, self._keys, self._now_us = connections, keys, now_us
        self._segments = Segments(home)

    # -- behind the register -----------------------------------------------------------------------------------------------

    async def step(self) -> int:
        """Follow the log and make what recalls are due; return how much was done.

        A crash repeats a part of the step: corrections are named by their position, checks by their id, so nothing doubles.
        """
        done = await self._follow()
        async with reading(self._connections) as db:
            found = await db.execute(
                "SELECT position, realm, gone, from_us, until_us, document_id, bulk_id FROM correction "
                "WHERE swept_at_us IS NULL ORDER BY position"
            )
            due = [(_Correction(*line[:5]), *line[5:]) for line in await found.fetchall()]
        for correction, document_id, bulk_id in due:
            done += await self._sweep(correction, document_id, bulk_id)
        return done

    async def _follow(self) -> int:
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
                    continue
                if document_id is None or entry.kind is not EntryKind.document:
                    continue
                if entry.reason in (Event.correct, Event.bulk_undo):
                    gone, from_us = await _untrue(db, document_id, position)
                    if gone:
                        await db.execute(
                            "INSERT INTO correction (position, realm, document_id, gone, from_us, until_us) "
                            "VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
                            (position, entry.realm.octet, document_id, gone, from_us, entry.recorded_at_us),
                        )
            if rows:
                await db.execute("UPDATE recall_cursor SET position = %s", (rows[-1][0],))
        return len(rows)

    async def _sweep(self, told: _Correction, document_id: int | None, bulk_id: str | None) -> int:
        now = self._now_us()
        async with reading(self._connections) as db:
            if bulk_id is not None:
                found = await self._answered_by_list(db, told, bulk_id)
            else:
                assert document_id is not None
                found = await self._answered(db, told, await documents.by_id(db, document_id))
            wrong = [each for each in found if not await _known(db, told.position, each.check_id)]
        for party in sorted({each.party for each in wrong}):
            mine = [each for each in wrong if each.party == party]
            for first in range(0, len(mine), CHECKS_MAX):
                await self._make(told.position, told.realm, party, mine[first : first + CHECKS_MAX])
        if now > told.until_us + SETTLE_US:
            async with reading(self._connections) as db:
                await db.execute("UPDATE correction SET swept_at_us = %s WHERE position = %s", (now, told.position))
        return len(wrong)

    async def _answered(self, db: Connection, told: _Correction, row: Row) -> list[_Wrong]:
        """Return every indexed check of a document that was answered with a fact that was never true."""
        wrong = await _candidates(
            db, told, "AND key_epoch = %s AND (document_key = %s OR (number_key = %s AND document_key = %s))",
            self._keys.epoch, row.document_key, row.number_key or b"", _NO_KEY,
        )  # fmt: skip
        if self._keys.epoch > 1:  # checks under older keys: every candidate's key is advanced and compared
            older = await _candidates(db, told, "AND key_epoch < %s", self._keys.epoch)
            mine = (row.document_key, row.number_key)
            wrong += [each for each in older if self._current(told, each) in mine]
        return wrong

    async def _answered_by_list(self, db: Connection, told: _Correction, bulk_id: str) -> list[_Wrong]:
        """Return every indexed check that was answered with what a list said which was taken back since.

        Documents with a row that speaks for itself have entries of their own; what another list in force says stays said.
        """
        found = await (await db.execute("SELECT file, sha256 FROM bulk WHERE id = %s", (bulk_id,))).fetchone()
        if found is None:
            return []
        candidates = await _candidates(db, told, "")
        keys = [self._current(told, each) for each in candidates]
        bits = self._segments.bits(found[0], bytes(found[1]).hex(), keys)
        own = await db.execute(
            "SELECT document_key FROM document WHERE realm = %s AND document_key = ANY(%s) AND overrides_bulk",
            (told.realm, keys),
        )
        speaking = {bytes(key) for (key,) in await own.fetchall()}
        wrong = []
        for each, key, bit in zip(candidates, keys, bits, strict=True):
            if not bit or key in speaking or code_of(state_of(bit)).octet != each.status:
                continue
            if not any(other.bit == bit for other in await self._segments.listed(db, told.realm, key)):
                wrong.append(each)
        return wrong

    def _current(self, told: _Correction, each: _Wrong) -> bytes:
        """Return the key of what a check asked about (its document, else its number) under the current secrets."""
        key = each.document_key if each.document_key != _NO_KEY else each.number_key
        keys = self._keys.documents("test" if told.realm else "live")
        return keys.advance(key, each.key_epoch) if key else _NO_KEY

    async def _make(self, correction: int, realm: int, party: str, wrong: Sequence[_Wrong]) -> None:
        recall_id = "rc_" + secrets.token_hex(12)
        async with writing(self._connections, self._now_us()) as write:
            position = write.position + 1
            note = sign_note(
                _text(recall_id, party, position, correction, write.recorded_at_us, wrong), self._keys.register_signer()
            )
            write.append(
                Entry(
                    kind=EntryKind.note, realm=Realm.of_octet(realm), recorded_at_us=write.recorded_at_us,
                    happened_at_us=write.recorded_at_us, author="annul", evidence=recall_id,
                    body=b"recall v1\0" + hashlib.sha256(note).digest(),
                )
            )  # fmt: skip
            await write.run(
                "INSERT INTO recall (id, correction, realm, party, check_count, note, position, made_at_us) "
                "VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
                recall_id, correction, realm, party, len(wrong), note, position, write.recorded_at_us,
            )  # fmt: skip
            for each in wrong:
                await write.run(
                    "INSERT INTO recall_check (correction, check_id, recall_id, checked_at_us, answered, outcome, reference) "
                    "VALUES (%s, %s, %s, %s, %s, %s, %s)",
                    correction, each.check_id, recall_id, each.checked_at_us, each.answered, each.outcome, each.reference,
                )  # fmt: skip
            await notices.queue(
                write.db, "recall", key=f"recall:{recall_id}", now_us=write.recorded_at_us, realm=realm, party=party,
                values={"recall": recall_id, "checks": len(wrong), "position": position},
            )  # fmt: skip

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
                f"{_VIEW} WHERE party = %s AND realm = %s AND position > %s AND (acknowledged_at_us IS NULL OR NOT %s) "
                "ORDER BY position LIMIT %s",
                (party, REALM_CODES[realm], after, open_only, limit),
            )
            return [_view(row) for row in await found.fetchall()]

    async def list(self, realm: str, *, limit: int = 200) -> Sequence[RecallView]:
        """Return the newest recalls of all parties, for desks and supervisors."""
        async with reading(self._connections) as db:
            found = await db.execute(f"{_VIEW} WHERE realm = %s ORDER BY position DESC LIMIT %s", (REALM_CODES[realm], limit))
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
                await db.execute(f"{_VIEW} WHERE id = %s AND party = %s AND realm = %s", (recall_id, party, act.realm_code))
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


_VIEW: Final = "SELECT id, party, position, made_at_us, check_count, note, acknowledged_at_us, acknowledged_by FROM recall"


def _view(row: tuple[Any, ...]) -> RecallView:
    return RecallView(
        id=row[0], party=row[1], position=row[2], made_at_us=row[3], check_count=row[4], note=bytes(row[5]).decode(),
        acknowledged_at_us=row[6], acknowledged_by=row[7],
    )  # fmt: skip


def _text(recall_id: str, party: str, position: int, correction: int, made_at_us: int, wrong: Sequence[_Wrong]) -> bytes:
    """Return what a note says; layout: docs/desk.md. A check's line says what the party was told, never more."""
    lines = [
        "annul recall v1",
        recall_id,
        f"party {party}",
        f"position {position}",
        f"correction {correction}",
        f"made {rfc3339(made_at_us)}",
        f"checks {len(wrong)}",
    ]
    for each in wrong:
        status, outcome = StatusCode.of_octet(each.answered).value, Outcome.of_octet(each.outcome).value
        lines.append(f"check {each.check_id.hex()} {rfc3339(each.checked_at_us)} {status} {outcome}")
    return "".join(f"{line}\n" for line in lines).encode()


async def _candidates(db: Connection, told: _Correction, more: str, *values: Any) -> list[_Wrong]:
    """Return the indexed checks of a correction's time that were answered with one of its facts, before it."""
    codes = [code_of(state).octet for state in State if told.gone & state.bit]
    found = await db.execute(
        "SELECT check_id, party, checked_at_us, answered_status, outcome, reference, status, document_key, number_key, "
        "key_epoch FROM check_index WHERE checked_at_us >= %s AND checked_at_us <= %s AND position < %s AND realm = %s "
        f"AND status = ANY(%s) {more} ORDER BY checked_at_us",
        (told.from_us, told.until_us + LATE_US, told.position, told.realm, codes, *values),
    )
    return [_Wrong(**dict(zip(_Wrong.__struct_fields__, line, strict=True))) for line in await found.fetchall()]


async def _known(db: Connection, correction: int, check_id: bytes) -> bool:
    row = await db.execute("SELECT 1 FROM recall_check WHERE correction = %s AND check_id = %s", (correction, check_id))
    return await row.fetchone() is not None


async def _untrue(db: Connection, document_id: int, position: int) -> tuple[int, int]:
    """Return the facts that the entry at a position took away as never true, and since when they were said."""
    found = await db.execute(
        "SELECT position, entry FROM register_log WHERE document_id = %s AND position <= %s ORDER BY position",
        (document_id, position),
    )
    standing = gone = 0
    came: dict[int, tuple[int, str]] = {}
    for _, entry in _entries(await found.fetchall()):
        if entry.kind not in (EntryKind.document, EntryKind.unlock):  # a note says nothing of the state
            continue
        gone = standing & ~entry.standing
        for state in State:
            if entry.standing & ~standing & state.bit:
                came[state.bit] = entry.recorded_at_us, entry.evidence if entry.reason is Event.bulk_list else ""
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


def _entries(rows: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, Entry]]:
    for position, raw in rows:
        yield position, decode(bytes(raw))
