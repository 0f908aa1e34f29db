"""Rows of documents: find, add and move them inside one write. Only keys are stored, never a number."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from annul.errors import AmbiguousDocument, Conflict
from annul.records.document import Document, DocumentKeys, block, number_block, person_block
from annul.records.entry import NO_DETAIL, Entry, EntryKind
from annul.records.status import Event, Proof, State
from annul.registry.writing.act import Act
from annul.registry.writing.store import Connection, Write
from annul.times import LONG_TERM_DAY

COLUMNS = (
    "id, realm, document_key, number_key, person_key, coverage, kind, valid_from_day, valid_until_day, standing, disputed, "
    "overrides_bulk, custody_broken, replaced_by, bulk_standing, carried_key, former_keys"
)
"""Columns of a row, in the order of `Row`."""


@dataclass(frozen=True, slots=True)
class Row:
    """Hold one document as the register knows it.

    Args:
        standing: the set of its standing facts (records.status); `bulk_standing` is the part that only bulk events say.
        overrides_bulk: the row says all there is to say; segments are not asked about it any more.
        custody_broken: somebody else may have had the document since it was reported (rule 6).
        replaced_by: id of the document that was issued in its place.
        carried_key: sealed form of the key that verifiers carry; None for a document recorded before there was one.
        former_keys: sealed keys it had before rotations, oldest first (records.former); None: those were not kept.
    """

    id: int
    realm: int
    document_key: bytes
    number_key: bytes | None
    person_key: bytes | None
    coverage: str
    kind: str
    valid_from_day: int | None
    valid_until_day: int | None
    standing: int
    disputed: bool = False
    overrides_bulk: bool = False
    custody_broken: bool = False
    replaced_by: int | None = None
    bulk_standing: int = 0
    carried_key: bytes | None = None
    former_keys: bytes | None = None

    @property
    def expiry_day(self) -> int:
        """Last day of validity as entries and slots hold it: 0 not given, 65535 long-term."""
        return self.valid_until_day or 0


@dataclass(frozen=True, slots=True)
class Known:
    """Name a document by the id of its row, where its number is not at hand: an officer chose it from what a search found."""

    id: int


def new_row(document: Document, keys: DocumentKeys, realm: int, person_number: str | None = None) -> Row:
    """Return the row of a document that the register does not know yet; `id` is 0.

    The number of a resident card is its holder's personal number; for other documents it must be given.
    """
    discriminated = document.discriminated
    if person_number is None and document.bears_personal_number:
        person_number = document.number
    return Row(
        id=0,
        realm=realm,
        document_key=keys.blind(block(document)),
        number_key=keys.blind(number_block(document)) if discriminated else None,
        person_key=keys.blind(person_block(person_number)) if person_number else None,
        coverage=document.coverage_name,
        kind=document.kind,
        valid_from_day=document.valid_from_day,
        valid_until_day=document.valid_until_day,
        standing=0,
        carried_key=keys.seal(block(document)) if keys.seal else None,
        former_keys=keys.former(block(document), number_block(document) if discriminated else None) if keys.former else None,
    )


def number_key(document: Document, keys: DocumentKeys) -> bytes:
    """Return the key of a document's number, without what tells the documents of one number apart."""
    return keys.blind(number_block(document))


def _row(values: tuple[Any, ...]) -> Row:
    return Row(*values)


async def find(db: Connection, document: Document | Known, keys: DocumentKeys, realm: int) -> Row | None:
    """Return the row a document means; None when the register does not know it.

    Raises:
        AmbiguousDocument: only the number was given and several documents have it. The candidates are told by kind and
            start of validity.
        BadInput: only the number was given and no document of it is known.
    """
    if isinstance(document, Known):
        return await by_id(db, document.id)
    if document.discriminated and not document.has_discriminator:
        rows = await by_number(db, realm, keys.blind(number_block(document)))
        if len(rows) > 1:
            raise AmbiguousDocument(
                "Several documents have this number; stopping the wrong one harms its holder.",
                where="/document/valid_from",
                mend="Say which one is meant by the start of its validity.",
                candidates=[{"kind": row.kind, "valid_from": _date(row.valid_from_day)} for row in rows],
            )
        if rows:
            return rows[0]
    key = keys.blind(block(document))
    found = await (
        await db.execute(f"SELECT {COLUMNS} FROM document WHERE realm = %s AND document_key = %s", (realm, key))
    ).fetchone()
    return None if found is None else _row(found)


async def by_number(db: Connection, realm: int, number_key: bytes) -> list[Row]:
    """Return all documents of one number, oldest first."""
    rows = await db.execute(
        f"SELECT {COLUMNS} FROM document WHERE realm = %s AND number_key = %s ORDER BY valid_from_day NULLS FIRST, id",
        (realm, number_key),
    )
    return [_row(row) for row in await rows.fetchall()]


async def by_person(db: Connection, realm: int, person_key: bytes) -> list[Row]:
    """Return all documents of one person, of all schemes."""
    rows = await db.execute(
        f"SELECT {COLUMNS} FROM document WHERE realm = %s AND person_key = %s ORDER BY id", (realm, person_key)
    )
    return [_row(row) for row in await rows.fetchall()]


async def by_id(db: Connection, document_id: int) -> Row:
    """Return the row with this id, which must exist."""
    found = await (await db.execute(f"SELECT {COLUMNS} FROM document WHERE id = %s", (document_id,))).fetchone()
    if found is None:
        raise Conflict("The document's row is gone.", where="document")
    return _row(found)


async def of_number(db: Connection, row: Row) -> tuple[int, bool]:
    """Return how many documents have this document's number, and whether one of them was issued to our knowledge.

    One document in schemes that do not share numbers.
    """
    if row.number_key is None:
        return 1, bool(row.standing & State.current.bit)
    found = await (
        await db.execute(
            "SELECT count(*), coalesce(bit_or(standing), 0) FROM document WHERE realm = %s AND number_key = %s",
            (row.realm, row.number_key),
        )
    ).fetchone()
    return (int(found[0]), bool(found[1] & State.current.bit)) if found else (0, False)


async def add(write: Write, row: Row) -> Row:
    """Insert a row and return it with its id.

    Raises:
        Conflict: the document is there already.
    """
    found = await write.one(
        "INSERT INTO document (realm, document_key, number_key, person_key, coverage, kind, valid_from_day, valid_until_day, "
        "standing, disputed, overrides_bulk, custody_broken, replaced_by, bulk_standing, carried_key, former_keys) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING RETURNING id",
        row.realm,
        row.document_key,
        row.number_key,
        row.person_key,
        row.coverage,
        row.kind,
        row.valid_from_day,
        row.valid_until_day,
        row.standing,
        row.disputed,
        row.overrides_bulk,
        row.custody_broken,
        row.replaced_by,
        row.bulk_standing,
        row.carried_key,
        row.former_keys,
    )
    if found is None:
        raise Conflict("The document is in the register already.")
    return replace(row, id=found[0])


async def move(write: Write, old: Row, new: Row) -> None:
    """Store a document's new state, guarded by the state it was decided from.

    Raises:
        Conflict: the document is no longer in the old state.
    """
    if old == new:
        return
    moved = await write.run(
        "UPDATE document SET person_key = %s, valid_until_day = %s, standing = %s, disputed = %s, overrides_bulk = %s, "
        "custody_broken = %s, replaced_by = %s, bulk_standing = %s WHERE id = %s AND standing = %s AND disputed = %s "
        "AND custody_broken = %s AND bulk_standing = %s AND replaced_by IS NOT DISTINCT FROM %s",
        new.person_key,
        new.valid_until_day,
        new.standing,
        new.disputed,
        new.overrides_bulk,
        new.custody_broken,
        new.replaced_by,
        new.bulk_standing,
        old.id,
        old.standing,
        old.disputed,
        old.custody_broken,
        old.bulk_standing,
        old.replaced_by,
    )
    if moved != 1:
        raise Conflict("The document changed meanwhile.", mend="Look at its state and try again.")


async def record(
    write: Write,
    act: Act,
    before: Row,
    after: Row,
    event: Event,
    *,
    happened_at_us: int,
    evidence: str = "",
    proof: Proof | None = None,
    kind: EntryKind = EntryKind.document,
    detail_hash: bytes = NO_DETAIL,
    body: bytes = b"",
) -> int:
    """Move a document, guarded by what it was, and append the entry that says so; return the entry's position."""
    await move(write, before, after)
    number_count, number_whole_life = await of_number(write.db, after)
    return write.append(
        Entry(
            kind=kind,
            realm=act.code,
            recorded_at_us=write.recorded_at_us,
            happened_at_us=happened_at_us,
            author=act.author,
            reason=event,
            proof=proof,
            evidence=evidence,
            document_key=after.document_key,
            number_key=after.number_key or b"",
            key_epoch=write.key_epoch,
            standing=after.standing,
            disputed=after.disputed,
            overrides_bulk=after.overrides_bulk,
            valid_until_day=after.expiry_day,
            number_count=number_count,
            number_whole_life=number_whole_life,
            detail_hash=detail_hash,
            body=body,
        ),
        after.id,
    )


def _date(day: int | None) -> str | None:
    if day is None:
        return None
    if day == LONG_TERM_DAY:
        return "long-term"
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=day)).date().isoformat()
