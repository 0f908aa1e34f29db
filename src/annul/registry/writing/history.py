"""What the register knew, and when: the history of one document on its two time axes.

Every entry says when a thing was so (`happened_at`) and when it was known (`recorded_at`). The state at a time T as known
at a time U follows from what was recorded up to U: each entry's change of facts is put at the time it happened. A
correction or the undoing of a list says that a fact was never so: from then on it is not known for any time.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from annul.errors import NotFound
from annul.records.document import Document, DocumentKeys, block
from annul.records.entry import EntryKind, decode
from annul.records.status import Event, facts_of, standing_on, state_of
from annul.registry.writing import documents
from annul.registry.writing.references import BESIDE, spoken
from annul.registry.writing.segments import Listed, Segments
from annul.registry.writing.store import Connection
from annul.times import DAY_US


class StatusAt(msgspec.Struct, frozen=True):
    """Say what a document's state was.

    Args:
        known: something was recorded of it by then; otherwise `state` (current) says no more than that there was no listing.
        state: the worst standing fact.
        facts: all standing facts, worst first.
        disputed: the status was disputed.
        position: position of the latest entry this rests on; 0 when a bulk event alone or nothing says it.
        since_us: when this state was recorded to begin; None where another one stood at `known_at`.
    """

    state: str
    facts: list[str]
    disputed: bool
    position: int
    known: bool
    since_us: int | None = None


class Line(msgspec.Struct, frozen=True):
    """Tell one entry about a document; `state` is the state after it. A bulk event has no proof."""

    position: int
    recorded_at_us: int
    happened_at_us: int
    author: str
    event: str
    proof: str | None
    evidence: str
    state: str
    disputed: bool


class ReportView(msgspec.Struct, frozen=True):
    """Describe a report; `state` is provisional, in_force, recorded, lapsed, withdrawn or lifted."""

    id: str
    event: str
    proof: str
    author: str
    evidence: str
    happened_at_us: int
    recorded_at_us: int
    position: int
    state: str
    lapses_at_us: int | None
    has_details: bool


@dataclass(slots=True)
class _Change:
    """One change of facts: what came, what went, what was never so; when it was so and when it was known."""

    happened_at_us: int
    recorded_at_us: int
    position: int
    came: int
    went: int = 0
    never: int = 0
    disputed: bool = False


async def status_at(
    db: Connection, segments: Segments, keys: DocumentKeys, document: Document, realm: int, at_us: int, known_at_us: int
) -> StatusAt:
    """Return the state at `at_us` as known at `known_at_us` (microseconds since the epoch).

    A document that nothing is known of is `current`: there was no listing.

    Raises:
        AmbiguousDocument: several documents have this number.
    """
    row = await documents.find(db, document, keys, realm)
    changes: list[_Change] = []
    standing = 0
    if row is not None:
        for position, body in await (
            await db.execute("SELECT position, entry FROM register_log WHERE document_id = %s ORDER BY position", (row.id,))
        ).fetchall():
            entry = decode(bytes(body))
            if entry.kind is EntryKind.note:  # says who looked, nothing of the state
                continue
            gone = standing & ~entry.standing
            denied = entry.reason in (Event.correct, Event.bulk_undo)
            changes.append(
                _Change(
                    entry.happened_at_us,
                    entry.recorded_at_us,
                    position,
                    entry.standing & ~standing,
                    0 if denied else gone,
                    gone if denied else 0,
                    entry.disputed,
                )
            )
            standing = entry.standing
    for listed in await _listed(db, segments, keys, document, realm, row):
        if listed.undone_at_us is None or listed.undone_at_us > known_at_us:
            changes.append(_Change(listed.happened_at_us, listed.confirmed_at_us, 0, listed.bit))
    changes = sorted(
        (change for change in changes if change.recorded_at_us <= known_at_us),
        key=lambda change: (change.recorded_at_us, change.position),
    )
    for place, change in enumerate(changes):
        for earlier in changes[:place] if change.never else ():
            earlier.came &= ~change.never
    facts, disputed, position = 0, False, 0
    known = [change for change in changes if change.happened_at_us <= at_us]
    for change in sorted(known, key=lambda change: (change.happened_at_us, change.recorded_at_us, change.position)):
        facts = (facts | change.came) & ~change.went
        if change.position:
            disputed, position = change.disputed, max(position, change.position)
    if row is not None and known:
        facts = standing_on(facts, row.expiry_day, at_us // DAY_US)
    return StatusAt(state_of(facts).name, [fact.name for fact in facts_of(facts)], disputed, position, bool(known))


async def _listed(
    db: Connection,
    segments: Segments,
    keys: DocumentKeys,
    document: Document | documents.Known,
    realm: int,
    row: documents.Row | None,
) -> list[Listed]:
    """Return what all bulk events said about a document, undone ones included."""
    if row is not None:
        return await segments.listed(db, realm, row.document_key, undone=True)
    assert not isinstance(document, documents.Known)
    key = keys.blind(block(document))
    return await segments.listed(db, realm, key, undone=True)


async def lines(
    db: Connection, segments: Segments, keys: DocumentKeys, document: Document | documents.Known, realm: int
) -> list[Line]:
    """Return every entry about a document and the bulk events that list it, in the order of their recording.

    Raises:
        NotFound: the register knows nothing of it.
    """
    row = await documents.find(db, document, keys, realm)
    told: list[Line] = []
    standing = 0
    if row is not None:
        for position, body, salt, text in await (
            await db.execute(
                f"SELECT position, entry, salt, text FROM {BESIDE} WHERE document_id = %s ORDER BY position", (row.id,)
            )
        ).fetchall():
            entry = decode(bytes(body))
            standing = standing if entry.kind is EntryKind.note else entry.standing
            told.append(
                Line(
                    position,
                    entry.recorded_at_us,
                    entry.happened_at_us,
                    entry.author,
                    entry.reason.value if entry.reason else entry.kind.value,
                    entry.proof.value if entry.proof else None,
                    spoken(entry, salt, text),
                    state_of(standing).name,
                    entry.disputed,
                )
            )
    for listed in await _listed(db, segments, keys, document, realm, row):
        found = await (
            await db.execute(
                "SELECT position, confirmed_by, undone_position, undone_by, evidence FROM bulk WHERE id = %s", (listed.bulk_id,)
            )
        ).fetchone()
        if found is None:
            continue
        told.append(
            Line(
                found[0],
                listed.confirmed_at_us,
                listed.happened_at_us,
                found[1],
                Event.bulk_list.value,
                None,
                found[4],
                state_of(listed.bit).name,
                False,
            )
        )
        if listed.undone_at_us is not None:
            told.append(
                Line(
                    found[2],
                    listed.undone_at_us,
                    listed.undone_at_us,
                    found[3],
                    Event.bulk_undo.value,
                    None,
                    f"bulk {listed.bulk_id}",
                    state_of(0).name,
                    False,
                )
            )
    if not told:
        raise NotFound("The register knows nothing of this document.", where="/document")
    return sorted(told, key=lambda line: line.position)


async def report(db: Connection, report_id: str, realm: int) -> tuple[ReportView, int]:
    """Return a report and the id of its document; NotFound when there is none in this realm."""
    row = await (await db.execute(f"{_REPORTS} WHERE r.id = %s AND realm = %s", (report_id, realm))).fetchone()
    if row is None:
        raise NotFound("There is no such report.")
    return ReportView(*row[:-1]), row[-1]


_REPORTS = (
    "SELECT r.id, event, proof, author, evidence, happened_at_us, recorded_at_us, position, state, lapses_at_us, "
    "wrapped_key IS NOT NULL, document_id FROM report r LEFT JOIN sealed_detail d ON d.id = r.detail_id"
)


async def reports(db: Connection, keys: DocumentKeys, document: Document | documents.Known, realm: int) -> list[ReportView]:
    """Return the reports on a document, oldest first."""
    row = await documents.find(db, document, keys, realm)
    return [] if row is None else await reports_of(db, row.id)


async def reports_of(db: Connection, document_id: int) -> list[ReportView]:
    """Return the reports on the document of a row, oldest first."""
    rows = await db.execute(f"{_REPORTS} WHERE document_id = %s ORDER BY position", (document_id,))
    return [ReportView(*found[:-1]) for found in await rows.fetchall()]
