"""What stands against documents now, and since when: the one place that every surface tells it from.

    told = await present(db, segments, rows, now_us)
    told[row.id].state, told[row.id].since_us, told[row.id].stopped_since_us
    did = await effect(db, segments, "r_…", realm, now_us)         # what one report changed, and what stands today

"Since" is when the *present state* began, as it was recorded: neither the last entry of any kind (a note, a dispute, a second
report) nor the time the holder remembers. What bulk events say, and being past the last day of validity, count like entries.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from annul.records.codes import StatusClass, code_of
from annul.records.entry import Entry, EntryKind, decode
from annul.records.status import State, facts_of, state_of
from annul.registry.writing import documents, history
from annul.registry.writing.documents import Row
from annul.registry.writing.segments import Segments
from annul.registry.writing.store import Connection
from annul.times import DAY_US, LONG_TERM_DAY

LOG_END: Final = 2**63 - 1
"""Above every position of the log."""
_STATES: Final = frozenset({EntryKind.document, EntryKind.unlock})
"""Entries that say something of a state; a note says who looked."""


class Present(msgspec.Struct, frozen=True, kw_only=True):
    """What stands against a document.

    Args:
        state: worst standing fact, expiry included; `current` when nothing stands.
        facts: all standing facts, worst first, expiry included.
        listed: those that the register entered: without `current` and without being past the last day.
        since_us: when this state began (microseconds, UTC); None when nothing was ever recorded.
        stopped_since_us: from when on it could not be relied on without a break; None while it can.
    """

    state: str
    facts: list[str]
    listed: list[str]
    since_us: int | None
    stopped_since_us: int | None


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What a report changed, and what stands now.

    Args:
        report: the report as it is now.
        before: what stood against the document just before it was entered.
        now: what stands now.
        others: other reports on the document that are provisional or in force, oldest first.
    """

    report: history.ReportView
    before: Present
    now: Present
    others: list[history.ReportView]


def stops(state: State) -> bool:
    """Tell whether a document in this state must not be relied on in person."""
    return code_of(state).status_class is not StatusClass.no_listing


async def present(
    db: Connection, segments: Segments, rows: Sequence[Row], now_us: int, *, below: int = LOG_END
) -> dict[int, Present]:
    """Return what stands against documents at a time, by row.

    Args:
        now_us: what was recorded later is left out.
        below: so are entries from this position of the log on.
    """
    found = await db.execute(
        "SELECT document_id, entry FROM register_log WHERE document_id = ANY(%s) AND position < %s ORDER BY position",
        ([row.id for row in rows], below),
    )
    entries: dict[int, list[Entry]] = {row.id: [] for row in rows}
    for document_id, raw in await found.fetchall():
        entry = decode(bytes(raw))
        if entry.kind in _STATES and entry.recorded_at_us <= now_us:
            entries[document_id].append(entry)
    return {row.id: await _of(db, segments, row, entries[row.id], now_us) for row in rows}


async def _of(db: Connection, segments: Segments, row: Row, entries: list[Entry], now_us: int) -> Present:
    """Put entries, bulk events and the end of validity in one order of time, and read the state off it."""
    merged = next((entry.recorded_at_us for entry in entries if entry.overrides_bulk), None)
    spans: list[tuple[int, int | None, int]] = []
    for listed in await segments.listed(db, row.realm, row.document_key, undone=True):
        ends = [end for end in (listed.undone_at_us, merged) if end is not None]
        spans.append((listed.confirmed_at_us, min(ends, default=None), listed.bit))
    if 0 < row.expiry_day < LONG_TERM_DAY:
        spans.append(((row.expiry_day + 1) * DAY_US, None, State.expired.bit))
    times = [entry.recorded_at_us for entry in entries]
    times += [at for begin, end, _bit in spans for at in (begin, end) if at is not None and at <= now_us]
    state, since_us, stopped_us, standing, place = State.current, None, None, 0, 0
    single = 0
    for at in sorted(set(times)):
        while place < len(entries) and entries[place].recorded_at_us <= at:
            single, place = entries[place].standing, place + 1
        standing = single
        for begin, end, bit in spans:
            standing |= bit if begin <= at and (end is None or at < end) else 0
        then = state_of(standing)
        if since_us is None or then is not state:
            state, since_us = then, at
        stopped_us = (stopped_us or at) if stops(then) else None
    past = 0 < row.expiry_day < LONG_TERM_DAY and now_us // DAY_US > row.expiry_day and not single & State.expired.bit
    listed_facts = facts_of(standing & ~(State.expired.bit if past else 0) & ~State.current.bit)
    return Present(
        state=state.name,
        facts=[fact.name for fact in facts_of(standing)],
        listed=[fact.name for fact in listed_facts],
        since_us=since_us,
        stopped_since_us=stopped_us,
    )


async def effect(db: Connection, segments: Segments, report_id: str, realm: int, now_us: int) -> Change:
    """Return what a report did, and what stands now; NotFound when there is no such report in this realm."""
    view, document_id = await history.report(db, report_id, realm)
    row = await documents.by_id(db, document_id)
    before = await present(db, segments, [row], view.recorded_at_us, below=view.position)
    now = await present(db, segments, [row], now_us)
    found = await history.reports_of(db, document_id)
    others = [one for one in found if one.id != report_id and one.state in ("provisional", "in_force")]
    return Change(report=view, before=before[row.id], now=now[row.id], others=others)
