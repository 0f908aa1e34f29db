"""Rows of persons: seal, open, find and move them. A row holds keys, tags and sealed bytes; never a number or a name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import psycopg
from psycopg.rows import TupleRow

from annul.errors import Conflict, NotFound
from annul.records.document import DocumentKeys
from annul.records.names import NAME_VERSION
from annul.records.person import CivilEvent, Person, PersonStatus, check_person
from annul.registry.people.vault import Vault, record_context, seal, unseal
from annul.registry.writing.act import Act
from annul.registry.writing.store import Connection, Write

COLUMNS: Final = (
    "id, realm, person_key, status, wrapped_key, ciphertext, holder_keys, name_tags, name_version, photo, import_id, position"
)
IN_FORCE: Final = (
    "(ended IS NULL AND (import_id IS NULL OR import_id IN (SELECT id FROM person_import WHERE state = 'in_force')))"
)
"""Which records count: those that came one by one, and those of imports in force; none that was merged or cancelled."""
READ_ROWS: Final = 5_000

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Person).decode


@dataclass(frozen=True, slots=True)
class PersonRow:
    """Hold one record as the register keeps it.

    Args:
        person_key: keyed form of the personal number.
        wrapped_key: the person's key under the master key; None when the person is erased.
        holder_keys: keys of all numbers by which a check can name the person, 16 bytes each.
        name_tags: keyed tags of number and name, 16 bytes each, in normal form `name_version`.
        photo: a portrait is on record.
        import_id: the import it came with and has not changed since.
        position: position of its latest entry; None while it is as imported.
    """

    id: int
    realm: int
    person_key: bytes
    status: int
    wrapped_key: bytes | None
    ciphertext: bytes
    holder_keys: bytes
    name_tags: bytes
    name_version: int
    photo: bool
    import_id: str | None
    position: int | None


def pack_person(person: Person) -> bytes:
    """Return a person as the bytes that are sealed."""
    return _encode(person)


def open_row(row: PersonRow, vault: Vault) -> Person:
    """Return a record's person.

    Raises:
        NotFound: the person is erased.
        Corrupt: the record does not open.
    """
    return _decode(unseal(vault.unwrap(row.wrapped_key, row.id), row.ciphertext, record_context(row.id)))


def open_version(row: PersonRow, ciphertext: bytes, vault: Vault) -> Person:
    """Return the person as an earlier version of the record said."""
    return _decode(unseal(vault.unwrap(row.wrapped_key, row.id), ciphertext, record_context(row.id)))


def row_of(
    person: Person, person_id: int, realm: int, keys: DocumentKeys, vault: Vault, *, wrapped: bytes | None = None
) -> PersonRow:
    """Seal a person into a row; under its own key when there is one already (`wrapped`), else under a new one."""
    number, holders, names = check_person(person)
    blinded = keys.blind(number + holders + names)
    if wrapped is None:
        key, wrapped = vault.new_key(person_id)
    else:
        key = vault.unwrap(wrapped, person_id)
    names_at = 16 + len(holders)
    return PersonRow(
        id=person_id,
        realm=realm,
        person_key=blinded[:16],
        status=PersonStatus[person.status].octet,
        wrapped_key=wrapped,
        ciphertext=seal(key, pack_person(person), record_context(person_id)),
        holder_keys=blinded[16:names_at],
        name_tags=blinded[names_at:],
        name_version=NAME_VERSION,
        photo=False,
        import_id=None,
        position=None,
    )


async def new_id(db: Connection) -> int:
    """Take the next id."""
    found = await (await db.execute("SELECT nextval('person_record_id_seq')")).fetchone()
    assert found is not None
    return int(found[0])


async def by_key(db: Connection, realm: int, person_key: bytes) -> list[PersonRow]:
    """Return every record in force with this personal number, oldest first; erased ones are left out."""
    rows = await db.execute(
        f"SELECT {COLUMNS} FROM person_record WHERE realm = %s AND person_key = %s AND wrapped_key IS NOT NULL AND {IN_FORCE} "
        "ORDER BY id",
        (realm, person_key),
    )
    return [PersonRow(*row) for row in await rows.fetchall()]


async def by_id(db: Connection, realm: int, person_id: int) -> PersonRow:
    """Return the record with this id; NotFound when there is none in force in this realm."""
    found = await (
        await db.execute(f"SELECT {COLUMNS} FROM person_record WHERE id = %s AND realm = %s AND {IN_FORCE}", (person_id, realm))
    ).fetchone()
    if found is None or found[4] is None:
        raise NotFound("There is no such person.", where="/person")
    return PersonRow(*found)


async def insert(write: Write, row: PersonRow) -> None:
    """Insert a record."""
    marks = ", ".join(["%s"] * len(COLUMNS.split(",")))
    await write.run(
        f"INSERT INTO person_record ({COLUMNS}) VALUES ({marks})",
        row.id,
        row.realm,
        row.person_key,
        row.status,
        row.wrapped_key,
        row.ciphertext,
        row.holder_keys,
        row.name_tags,
        row.name_version,
        row.photo,
        row.import_id,
        row.position,
    )


async def move(write: Write, old: PersonRow, new: PersonRow) -> None:
    """Keep what a record was as a version, and store what it is now.

    Raises:
        Conflict: it changed meanwhile.
    """
    assert new.position is not None
    await write.run(
        "INSERT INTO person_version (person_id, position, person_key, status, ciphertext, holder_keys, name_tags) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s)",
        old.id,
        new.position,
        old.person_key,
        old.status,
        old.ciphertext,
        old.holder_keys,
        old.name_tags,
    )
    moved = await write.run(
        "UPDATE person_record SET person_key = %s, status = %s, ciphertext = %s, holder_keys = %s, name_tags = %s, "
        "name_version = %s, import_id = NULL, position = %s WHERE id = %s AND ciphertext = %s",
        new.person_key,
        new.status,
        new.ciphertext,
        new.holder_keys,
        new.name_tags,
        new.name_version,
        new.position,
        old.id,
        old.ciphertext,
    )
    if moved != 1:
        raise Conflict("The person's record changed meanwhile.", mend="Look at it and try again.")


def read_all(
    db: psycopg.Connection[TupleRow],
    vault: Vault,
    realm: int,
    *,
    span: tuple[int, int] | None = None,
    rows: int = READ_ROWS,
) -> Iterator[Sequence[tuple[PersonRow, Person]]]:
    """Yield every person in force with its row, in batches by id: for the clean-up and for making tags anew. Read only.

    Args:
        span: only records with ids above the first and up to the second number.
    """
    low, high = span or (0, 2**62)
    with db.transaction(), db.cursor(name="read_all_persons", binary=True) as cursor:
        cursor.itersize = rows
        cursor.execute(
            f"SELECT {COLUMNS} FROM person_record WHERE realm = %s AND id > %s AND id <= %s AND wrapped_key IS NOT NULL "
            f"AND {IN_FORCE} ORDER BY id",
            (realm, low, high),
        )
        while found := cursor.fetchmany(rows):
            batch = [PersonRow(*values) for values in found]
            yield [(row, open_row(row, vault)) for row in batch]


def rekey(db: psycopg.Connection[TupleRow], following: DocumentKeys, epoch: int, realm: int) -> None:
    """Take the keys and tags of all records and versions of a realm to the next key epoch, inside a transaction.

    Args:
        following: document keys with the next epoch's secret as their last.
        epoch: the epoch that the stored keys are of.
    """
    for table, same_row, source in (
        (
            "person_record",
            "t.id = k.id",
            "SELECT id, 0, person_key, holder_keys, name_tags FROM person_record WHERE realm = %s",
        ),
        (
            "person_version",
            "t.person_id = k.id AND t.position = k.position",
            "SELECT v.person_id, v.position, v.person_key, v.holder_keys, v.name_tags FROM person_version v "
            "JOIN person_record r ON r.id = v.person_id WHERE r.realm = %s",
        ),
    ):
        db.execute(
            "CREATE TEMP TABLE rekeyed_person "
            "(id bigint, position bigint, person_key bytea, holder_keys bytea, name_tags bytea)"
        )
        with db.cursor(name=f"rekey_{table}_{realm}") as cursor:
            cursor.itersize = READ_ROWS
            cursor.execute(source, (realm,))
            while found := cursor.fetchmany(READ_ROWS):
                fresh = following.advance(b"".join(row[2] + row[3] + row[4] for row in found), epoch)
                at = 0
                with db.cursor().copy("COPY rekeyed_person FROM STDIN") as copy:
                    for person_id, position, *parts in found:
                        advanced = []
                        for part in parts:
                            advanced.append(fresh[at : at + len(part)])
                            at += len(part)
                        copy.write_row((person_id, position, *advanced))
        db.execute(
            f"UPDATE {table} t SET person_key = k.person_key, holder_keys = k.holder_keys, name_tags = k.name_tags "
            f"FROM rekeyed_person k WHERE {same_row}"
        )
        db.execute("DROP TABLE rekeyed_person")


def rewrap(db: psycopg.Connection[TupleRow], vault: Vault) -> int:
    """Wrap every person's key under the primary master key; return how many were wrapped anew. It can be broken off."""
    done = after = 0
    while found := db.execute(
        "SELECT id, wrapped_key FROM person_record WHERE id > %s AND wrapped_key IS NOT NULL ORDER BY id LIMIT %s",
        (after, READ_ROWS),
    ).fetchall():
        after = found[-1][0]
        old = [(person_id, wrapped) for person_id, wrapped in found if not vault.is_current(wrapped)]
        with db.transaction(), db.cursor() as cursor:
            cursor.executemany(
                "UPDATE person_record SET wrapped_key = %s WHERE id = %s AND wrapped_key = %s",
                [(vault.wrap(vault.unwrap(wrapped, number), number), number, wrapped) for number, wrapped in old],
            )
        done += len(old)
    return done


async def note(
    write: Write, act: Act, person_id: int, event: CivilEvent, happened_at_us: int, evidence: str, position: int
) -> None:
    """Note what happened to a record, inside a write; from now on the record stands without its import."""
    await write.run("UPDATE person_record SET import_id = NULL, position = %s WHERE id = %s", position, person_id)
    await write.run(
        "INSERT INTO civil_event (position, person_id, event, happened_at_us, recorded_at_us, author, evidence) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s)",
        position,
        person_id,
        event.octet,
        happened_at_us,
        write.recorded_at_us,
        act.author,
        evidence,
    )


def retag(db: psycopg.Connection[TupleRow], vault: Vault, keys: Mapping[int, DocumentKeys]) -> int:
    """Make the tags of names anew that are in an older normal form; return how many records had them. It can be broken off.

    The index of the searches by name begins anew with it; the table of names is made anew by who deletes its folder.

    Args:
        keys: document keys by realm.
    """
    done = 0
    while found := db.execute(
        f"SELECT {COLUMNS} FROM person_record WHERE name_version <> %s AND wrapped_key IS NOT NULL ORDER BY id LIMIT %s",
        (NAME_VERSION, READ_ROWS),
    ).fetchall():
        batch = [PersonRow(*values) for values in found]
        fresh = [(keys[row.realm].blind(check_person(open_row(row, vault)).names), row) for row in batch]
        with db.transaction(), db.cursor() as cursor:
            cursor.executemany(
                "UPDATE person_record SET name_tags = %s, name_version = %s WHERE id = %s AND ciphertext = %s",
                [(tags, NAME_VERSION, row.id, row.ciphertext) for tags, row in fresh],
            )
        done += len(batch)
    if done:
        db.execute("UPDATE person_search_cursor SET key_epoch = 0")
    return done
