"""Bulk events: a whole list as one entry of the log and one sealed segment of the table.

    staged = await bulk.stage(act, path, format="russian", state=State.revoked, happened_at_us=t, evidence="list 2026-11")
    staged.hits, staged.samples                        # what it would do to documents the register knows
    await bulk.confirm(Act("officer-2"), staged.id)    # above the limit somebody else must confirm
    await bulk.undo(act, staged.id)                    # one entry takes all of it back

A crash leaves at worst a segment that no event names; the follower maps exactly the segments of events in force, at every
start. What must never happen here: a list in force that one officer alone could bring in; an undo that leaves traces.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import numpy as np

from annul import durable
from annul.errors import BadInput, Conflict, NotFound
from annul.listings.apart import BROUGHT, Limits, Source, read_apart
from annul.listings.bulk import Cause, ImportReport, Reader, fingerprint, import_list, try_list
from annul.listings.segment import MEMORY_BYTES, Segment
from annul.listings.values import pack, unpack
from annul.records.entry import BulkBody, Entry, EntryKind
from annul.records.references import require_reference
from annul.records.status import Event, State, state_of
from annul.registry.writing.act import Act, require_past
from annul.registry.writing.documents import COLUMNS, Row, record
from annul.registry.writing.ground import Ground
from annul.registry.writing.origin import Origin, lines_of, origin_of
from annul.registry.writing.pen import Done
from annul.registry.writing.samples import Sample, samples_of, states_listed
from annul.registry.writing.second import Hand, of_this_day, require_second
from annul.registry.writing.store import Connection, Write, reading, writing
from annul.times import rfc3339

LIMIT: Final = 1000
"""Documents above which a bulk event needs two officers. Source: domain, section 3, rule 11."""

ROWS_AT_ONCE: Final = 20_000

Format = Literal["russian", "interchange"]
Progress = Callable[[int, int, int], None]


class BulkView(msgspec.Struct, frozen=True, kw_only=True):
    """Describe a bulk event; `state` is staged, in_force, discarded or undone.

    Args:
        listed: the states the list gives.
        document_count: distinct documents listed.
        two_officers: somebody else than `staged_by` must confirm.
        hits: documents the register has rows of and that are on the list, by their present state. Many `current` ones mean
            that the list is wrong.
        samples: some of the listed documents, spread over the list.
        lines, bad: lines read, and malformed ones by cause with the numbers of the first few.
        position, undone_position: entries in the log, once there are.
        origin: the file it came in as.
        replayed: this is the stored answer of an earlier request with the same Idempotency-Key.
    """

    id: str
    state: str
    listed: list[str]
    document_count: int
    two_officers: bool
    hits: dict[str, int]
    samples: list[Sample]
    lines: int
    bad: dict[str, Cause]
    happened_at_us: int
    evidence: str
    staged_by: str
    staged_at_us: int
    confirmed_by: str | None = None
    confirmed_at_us: int | None = None
    position: int | None = None
    undone_by: str | None = None
    undone_position: int | None = None
    replayed: bool = False
    origin: Origin = Origin()


class _Summary(msgspec.Struct):
    two_officers: bool
    hits: dict[str, int]
    samples: list[Sample]
    lines: int
    bad: dict[str, Cause]
    origin: Origin = Origin()


_VIEW: Final = (
    "SELECT id, state, listed, document_count, summary, happened_at_us, evidence, staged_by, staged_at_us, confirmed_by, "
    "confirmed_at_us, position, undone_by, undone_position FROM bulk"
)


class Bulk:
    """Stage, confirm and undo bulk events.

    Args:
        ground: what every part stands on.
        limit: documents above which two officers are needed, over all lists of one person in a day.
    """

    def __init__(self, ground: Ground, *, limit: int = LIMIT) -> None:
        self._connections, self._keys, self._home, self._now_us = ground.connections, ground.keys, ground.home, ground.now_us
        self._segments, self._pen, self._limit = ground.segments, ground.pen, limit

    async def try_run(
        self,
        _act: Act,
        file: Path,
        *,
        format: Format,
        state: State | None = None,
        leave_out: tuple[str, ...] = (),
        progress: Progress | None = None,
    ) -> ImportReport:
        """Read a list and say what is good and what is bad in it; nothing is kept."""
        reader = await self._reader(file, format, state, leave_out=leave_out)
        return await asyncio.to_thread(try_list, reader, total_bytes=file.stat().st_size, progress=progress)

    async def stage(
        self,
        act: Act,
        file: Path,
        *,
        format: Format,
        happened_at_us: int,
        state: State | None = None,
        evidence: str = "",
        leave_out: tuple[str, ...] = (),
        progress: Progress | None = None,
        sealing: Callable[[int, int], None] | None = None,
        memory_bytes: int = MEMORY_BYTES,
        limits: Limits = BROUGHT,
        stopped: Callable[[], bool] | None = None,
        name: str = "",
        show_lines: bool = False,
    ) -> BulkView:
        """Import a list into a sealed segment and say what it would do. Nothing is listed before `confirm`.

        An interrupted import of the same file goes on where it stopped.

        Args:
            format: `russian` (PASSP_SERIES,PASSP_NUMBER) needs `state`; `interchange` (CSV, NDJSON, Parquet) says it line by
                line. How a list is packed is told by its first bytes.
            leave_out: columns of an interchange list that are none of a list's and are passed over.
            progress: called with (bytes done, bytes, lines); sealing: with (slots done, slots).
            limits: of the process that reads it.
            stopped: asked several times a second whether to end.
            name: what its sender calls the file; show_lines: the second officer may read its first lines in clear.

        Raises:
            BadInput: the file is not of the format, or lists nothing. TooLarge, TimedOut: it passes a limit. Conflict: stopped,
                or a list of exactly these documents is staged or in force.
        """
        require_reference(evidence, "/evidence")
        require_past(happened_at_us, self._now_us())
        reader = await self._reader(file, format, state, leave_out=leave_out, limits=limits, stopped=stopped)
        source = fingerprint(file, self._keys.epoch, act.realm, format, state, leave_out)
        target = durable.folder(self._home.staging) / f"{source}.seg"
        report = await asyncio.to_thread(
            import_list,
            reader,
            target,
            blind=self._keys.documents(act.realm).blind,
            source=source,
            total_bytes=file.stat().st_size,
            memory_bytes=memory_bytes,
            progress=progress,
            sealing=sealing,
        )
        if not report.listed:
            target.unlink(missing_ok=True)
            raise _nothing(file, report)
        await self._refuse_twice(act, target, report)
        bulk_id, said = secrets.token_hex(16), name or file.name
        sealed_file, master = f"{bulk_id}.seg", self._keys.envelope
        origin = await asyncio.to_thread(origin_of, file, name=said, show=show_lines, bulk_id=bulk_id, master=master)
        await asyncio.to_thread(durable.move, target, self._home.segments / sealed_file)
        # A crash here leaves a segment that no event names: nothing is listed, and the next import starts over.
        segment = self._segments.segment(sealed_file, report.sha256)
        listed, count = await asyncio.to_thread(states_listed, segment)
        async with reading(self._connections) as db:
            hits = await self._hits(db, act.realm_code, segment)
            samples = await samples_of(db, act.realm_code, segment)
        segment_row = (bulk_id, act.realm_code, listed, count, bytes.fromhex(report.sha256), sealed_file)
        summary = _Summary(False, hits, samples, report.lines, report.bad, origin)
        await self._enter_staged(act, segment_row, happened_at_us, evidence, summary)
        return await self.view(act, bulk_id)

    async def _refuse_twice(self, act: Act, target: Path, report: ImportReport) -> None:
        """Refuse a list whose documents, with what it says of them, are those of one that is staged or in force."""
        async with reading(self._connections) as db:
            found = await db.execute(
                "SELECT id, state, staged_by, staged_at_us FROM bulk WHERE realm = %s AND sha256 = %s "
                "AND (state = 'in_force' OR state = 'staged' AND key_epoch = %s) ORDER BY staged_at_us LIMIT 1",
                (act.realm_code, bytes.fromhex(report.sha256), self._keys.epoch),
            )
            row = await found.fetchone()
        if row is None:
            return
        target.unlink(missing_ok=True)
        bulk_id, state, staged_by, staged_at_us = row
        raise Conflict(
            f"This list was imported before: bulk event {bulk_id} of {rfc3339(staged_at_us)} by {staged_by} says the same of "
            f"the same {report.listed:,} documents and is {'in force' if state == 'in_force' else 'staged'}.",
            where="list",
            mend="Nothing is left to do." if state == "in_force" else "Confirm or discard that event.",
        )

    async def _enter_staged(
        self, act: Act, segment_row: tuple[Any, ...], happened_at_us: int, evidence: str, summary: _Summary
    ) -> None:
        """Enter a staged event: what its segment is, what it would do, and whether it needs a second officer."""
        async with writing(self._connections, self._now_us()) as write:
            self._keys.require_epoch(write.key_epoch)
            two = await self._too_many(write, act, Hand(act.author, act.credential), segment_row[3])
            summary = msgspec.structs.replace(summary, two_officers=two)
            await write.run(
                "INSERT INTO bulk (state, id, realm, listed, document_count, sha256, file, key_epoch, happened_at_us, "
                "evidence, summary, staged_by, staged_at_us, staged_with) "
                "VALUES ('staged', %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                *segment_row,
                write.key_epoch,
                happened_at_us,
                evidence,
                msgspec.json.encode(summary),
                act.author,
                write.recorded_at_us,
                act.credential,
            )

    async def confirm(self, act: Act, bulk_id: str, *, evidence: str = "") -> BulkView:
        """Put a staged event in force: one log entry, one segment.

        Raises:
            Forbidden: with the party's other lists of this day it is above the limit, and this may be who staged it.
            Conflict: it is not staged. Corrupt: its segment is not what was staged.
        """
        async with reading(self._connections) as db:
            file, sha256 = await _file(db, act, bulk_id)
        segment = self._segments.segment(file, sha256)
        await asyncio.to_thread(segment.check_digest)

        async def body(write: Write) -> Done:
            row = await write.one(
                "SELECT staged_by, staged_with, document_count, listed, happened_at_us, evidence, key_epoch FROM bulk "
                "WHERE id = %s AND realm = %s AND state = 'staged'",
                bulk_id,
                act.realm_code,
            )
            if row is None:
                raise Conflict("The bulk event is not staged: it was confirmed or discarded before.")
            staged_by, staged_with, count, listed, happened, reference, epoch = row
            if epoch != write.key_epoch:
                raise Conflict("The list was staged under older document keys.", mend="Import it again.")
            first = Hand(staged_by, staged_with)
            by_two = await self._too_many(write, act, first, count)
            if by_two:
                await require_second(
                    write,
                    act,
                    first,
                    sentence="A list of this size needs a second officer.",
                    mend="Another officer than the one who staged it confirms.",
                )
            position = write.append(
                self._entry(
                    write,
                    act,
                    EntryKind.bulk,
                    Event.bulk_list,
                    happened,
                    evidence or reference,
                    BulkBody(bytes.fromhex(bulk_id), bytes.fromhex(sha256), count, listed),
                )
            )
            await write.run(
                "UPDATE bulk SET state = 'in_force', confirmed_by = %s, confirmed_at_us = %s, confirmed_with = %s, "
                "by_two = %s, position = %s WHERE id = %s AND state = 'staged'",
                act.author,
                write.recorded_at_us,
                act.credential,
                by_two,
                position,
                bulk_id,
            )
            await _erase_lines(write, bulk_id)
            # Documents with a row that speaks for itself do not ask segments any more: tell them what this one says.
            async for row_, bit in self._overriding(write.db, act.realm_code, segment):
                after = replace(row_, standing=row_.standing | bit, bulk_standing=row_.bulk_standing | (bit & ~row_.standing))
                if after != row_:
                    await record(write, act, row_, after, Event.bulk_list, happened_at_us=happened, evidence=f"bulk {bulk_id}")
            return Done(position=write.position)

        return await self._write(act, bulk_id, evidence, body)

    async def undo(self, act: Act, bulk_id: str, *, evidence: str = "") -> BulkView:
        """Take a bulk event back: one entry; its segment is no longer asked, facts that stand for another reason stay.

        One officer suffices: an error that hits many must be mended at once.

        Raises:
            Conflict: it is not in force.
        """
        async with reading(self._connections) as db:
            file, sha256 = await _file(db, act, bulk_id)
        segment = self._segments.segment(file, sha256)

        async def body(write: Write) -> Done:
            row = await write.one(
                "SELECT document_count, listed FROM bulk WHERE id = %s AND realm = %s AND state = 'in_force'",
                bulk_id,
                act.realm_code,
            )
            if row is None:
                raise Conflict("The bulk event is not in force.")
            position = write.append(
                self._entry(
                    write,
                    act,
                    EntryKind.bulk_undo,
                    Event.bulk_undo,
                    write.recorded_at_us,
                    evidence,
                    BulkBody(bytes.fromhex(bulk_id), bytes.fromhex(sha256), row[0], row[1]),
                )
            )
            await write.run(
                "UPDATE bulk SET state = 'undone', undone_by = %s, undone_at_us = %s, undone_position = %s WHERE id = %s "
                "AND state = 'in_force'",
                act.author,
                write.recorded_at_us,
                position,
                bulk_id,
            )
            async for row_, bit in self._overriding(write.db, act.realm_code, segment):
                for other in await self._segments.listed(write.db, row_.realm, row_.document_key):
                    bit &= ~other.bit
                gone = bit & row_.bulk_standing
                if gone:
                    after = replace(row_, standing=row_.standing & ~gone, bulk_standing=row_.bulk_standing & ~gone)
                    await record(
                        write,
                        act,
                        row_,
                        after,
                        Event.bulk_undo,
                        happened_at_us=write.recorded_at_us,
                        evidence=f"bulk {bulk_id}",
                    )
            return Done(position=write.position)

        return await self._write(act, bulk_id, evidence, body)

    async def discard(self, act: Act, bulk_id: str) -> BulkView:
        """Drop a staged event that shall not come into force, with its segment."""
        async with writing(self._connections, self._now_us()) as write:
            row = await write.one(
                "UPDATE bulk SET state = 'discarded' WHERE id = %s AND realm = %s AND state = 'staged' RETURNING file",
                bulk_id,
                act.realm_code,
            )
            if row is None:
                raise Conflict("The bulk event is not staged.")
            await _erase_lines(write, bulk_id)
        (self._home.segments / row[0]).unlink(missing_ok=True)
        return await self.view(act, bulk_id)

    async def list(self, act: Act) -> list[BulkView]:
        """Return all bulk events of the realm, newest first."""
        async with reading(self._connections) as db:
            rows = await db.execute(f"{_VIEW} WHERE realm = %s ORDER BY staged_at_us DESC, id", (act.realm_code,))
            return [_view(row) for row in await rows.fetchall()]

    async def view(self, act: Act, bulk_id: str) -> BulkView:
        """Return one bulk event; NotFound when there is none in this realm."""
        async with reading(self._connections) as db:
            row = await (await db.execute(f"{_VIEW} WHERE id = %s AND realm = %s", (bulk_id, act.realm_code))).fetchone()
        if row is None:
            raise NotFound("There is no such bulk event.")
        return _view(row)

    async def same_file(self, act: Act, bulk_id: str) -> Sequence[str]:
        """Return the other events, staged or in force, that came in as the very same file: their ids, newest first."""
        known = {one.id: one for one in await self.list(act)}
        mine = known[bulk_id].origin.sha256
        return [
            one.id
            for one in known.values()
            if mine and one.id != bulk_id and one.origin.sha256 == mine and one.state in ("staged", "in_force")
        ]

    async def lines(self, act: Act, bulk_id: str) -> Sequence[str]:
        """Return the lines in clear of a list that waits, as its sender allowed; none once it is decided."""
        return lines_of((await self.view(act, bulk_id)).origin, bulk_id, self._keys.envelope)

    async def _write(self, act: Act, bulk_id: str, evidence: str, body: Callable[[Write], Awaitable[Done]]) -> BulkView:
        done = await self._pen.write(act, Done, body, evidence=evidence)
        return msgspec.structs.replace(await self.view(act, bulk_id), replayed=done.replayed)

    def _entry(
        self, write: Write, act: Act, kind: EntryKind, event: Event, happened_at_us: int, evidence: str, body: BulkBody
    ) -> Entry:
        return Entry(
            kind=kind,
            realm=act.code,
            recorded_at_us=write.recorded_at_us,
            happened_at_us=happened_at_us,
            author=act.author,
            reason=event,
            evidence=evidence,
            key_epoch=write.key_epoch,
            body=body.encode(),
        )

    async def _too_many(self, write: Write, act: Act, first: Hand, count: int) -> bool:
        """Tell whether a list is above the limit, with what the same person brought in this day."""
        return count + await of_this_day(write, act, first, table="bulk", counted="document_count") > self._limit

    async def _reader(
        self,
        file: Path,
        format: Format,
        state: State | None,
        *,
        leave_out: tuple[str, ...] = (),
        limits: Limits = BROUGHT,
        stopped: Callable[[], bool] | None = None,
    ) -> Reader:
        if not file.is_file():
            raise BadInput("There is no such file.", where=file.name)
        if format == "russian":
            if state is None or state is State.current:
                raise BadInput(
                    "This format does not say what it lists.", where="/state", mend="Name the state, such as revoked."
                )
            return read_apart(Source(str(file), "russian", pack(state)), limits, stopped)
        if format != "interchange":
            raise BadInput("The format is russian or interchange.", where="/format")
        async with reading(self._connections) as db:
            rows = await (await db.execute("SELECT name FROM coverage WHERE extent = 'whole_life'")).fetchall()
        whole = tuple(name for (name,) in rows)
        return read_apart(Source(str(file), "interchange", whole=whole, leave_out=leave_out), limits, stopped)

    async def _hits(self, db: Connection, realm: int, segment: Segment) -> dict[str, int]:
        """Count the register's documents that the segment lists, by their present state."""
        hits: dict[str, int] = {}
        async with db.cursor(name="bulk_hits") as cursor:
            await cursor.execute("SELECT document_key, standing FROM document WHERE realm = %s", (realm,))
            while rows := await cursor.fetchmany(ROWS_AT_ONCE):
                found = segment.lookup(b"".join(key for key, _ in rows))
                for place in np.flatnonzero(found):
                    word = state_of(rows[place][1]).name
                    hits[word] = hits.get(word, 0) + 1
        return hits

    async def _overriding(self, db: Connection, realm: int, segment: Segment) -> AsyncIterator[tuple[Row, int]]:
        """Yield the rows that override segments and are in this one, with what it lists them as."""
        last = 0
        while True:
            found = await db.execute(
                f"SELECT {COLUMNS} FROM document WHERE realm = %s AND overrides_bulk AND id > %s ORDER BY id LIMIT %s",
                (realm, last, ROWS_AT_ONCE),
            )
            rows = [Row(*row) for row in await found.fetchall()]
            if not rows:
                return
            last = rows[-1].id
            for row, value in zip(rows, segment.lookup(b"".join(row.document_key for row in rows)).tolist(), strict=True):
                state = unpack(value).state
                if state is not None:
                    yield row, state.bit


def _nothing(file: Path, report: ImportReport) -> BadInput:
    return BadInput(
        "The list names no document.",
        where=file.name,
        mend="See the causes of its bad lines.",
        bad={cause: found.count for cause, found in report.bad.items()},
    )


def _view(row: tuple[Any, ...]) -> BulkView:
    (
        bulk_id,
        state,
        listed,
        count,
        raw,
        happened,
        evidence,
        staged_by,
        staged_at,
        confirmed_by,
        confirmed_at,
        position,
        undone_by,
        undone_position,
    ) = row
    summary = msgspec.json.decode(raw, type=_Summary)
    return BulkView(
        id=bulk_id,
        state=state,
        listed=[state.name for state in State if listed & state.bit],
        document_count=count,
        two_officers=summary.two_officers,
        hits=summary.hits,
        samples=summary.samples,
        lines=summary.lines,
        bad=summary.bad,
        origin=summary.origin,
        happened_at_us=happened,
        evidence=evidence,
        staged_by=staged_by,
        staged_at_us=staged_at,
        confirmed_by=confirmed_by,
        confirmed_at_us=confirmed_at,
        position=position,
        undone_by=undone_by,
        undone_position=undone_position,
    )


async def _erase_lines(write: Write, bulk_id: str) -> None:
    """Take the lines in clear out of an event that is decided."""
    row = await write.one("SELECT summary FROM bulk WHERE id = %s", bulk_id)
    assert row is not None
    summary = msgspec.json.decode(row[0], type=_Summary)
    if summary.origin.sealed:
        kept = msgspec.structs.replace(summary.origin, sealed="", wrapped="")
        summary = msgspec.structs.replace(summary, origin=kept)
        await write.run("UPDATE bulk SET summary = %s WHERE id = %s", msgspec.json.encode(summary), bulk_id)


async def _file(db: Connection, act: Act, bulk_id: str) -> tuple[str, str]:
    row = await (
        await db.execute("SELECT file, sha256, state FROM bulk WHERE id = %s AND realm = %s", (bulk_id, act.realm_code))
    ).fetchone()
    if row is None:
        raise NotFound("There is no such bulk event.")
    if row[2] == "discarded":
        raise Conflict("The bulk event was discarded.")
    return row[0], bytes(row[1]).hex()
