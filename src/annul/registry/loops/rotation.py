"""Rotate the document keys: every stored key becomes one of the next epoch, in one transaction, without any number.

Keys are layered (records.document.DocumentKeys): key of epoch e = F_e(key of epoch e-1), so what is stored can be re-keyed
and an old secret alone opens nothing stored today. It is done while annul is stopped:

1. new secrets go into the key file as pending. A crash here: the next rotation takes them up.
2. every segment is written anew beside the old one, under a name of the new epoch. A crash: files nobody names.
3. one transaction re-keys documents and persons, names the new segments, appends a `rotation` entry (and a note with the
   new digest of each segment) and moves the epoch. A crash: all or nothing.
4. the pending secrets become current. A crash before this is mended by `settle`.

The follower finds the entry, rebuilds the table and maps the new segments.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, Final

import psycopg

from annul import durable
from annul import keys as key_file
from annul.errors import Conflict, UnsafeSettings
from annul.home import Home
from annul.keys import SECRET_BYTES, Keys
from annul.listings.segment import SegmentInfo, rekey
from annul.records.carried import SealedKeys
from annul.records.codes import Realm
from annul.records.document import DocumentKeys
from annul.records.entry import BulkBody, Entry, EntryKind, RotationBody, encode
from annul.records.former import FormerKeys
from annul.registry.people.rows import rekey as rekey_people
from annul.registry.writing.store import REALM_CODES, connect, down, require_clock
from annul.times import Clock

CHUNK: Final = 100_000
_KEYS: Final = "document_key, number_key, person_key, carried_key, former_keys"
Progress = Callable[[int, int], None]


def settle(conninfo: str, home: Home) -> Keys:
    """Finish a rotation that was interrupted after its transaction; return the keys in force.

    Raises:
        UnsafeSettings: the key file does not fit the register's epoch.
    """
    keys = key_file.load(home)
    with connect(conninfo, patient=True) as db:
        epoch = _epoch(db)
    if epoch == keys.epoch + 1 and keys.pending:
        keys = replace(keys, live=(*keys.live, keys.pending[0]), test=(*keys.test, keys.pending[1]), pending=())
        key_file.save(home, keys)
    if epoch != keys.epoch:
        raise UnsafeSettings(
            f"The register's document keys are of epoch {epoch}, the key file's of {keys.epoch}.",
            where=key_file.SECRET_FILE,
            mend="Restore the newest key file.",
        )
    return keys


def rotate(conninfo: str, home: Home, now_us: Clock, *, author: str = "operator", progress: Progress | None = None) -> Keys:
    """Rotate the document keys of both realms; return the new keys.

    Args:
        now_us: clock, microseconds since the epoch.
        author: who orders it.
        progress: called with (documents re-keyed, documents).

    Raises:
        Conflict: annul is running.
        Corrupt: a segment is not what was sealed.
    """
    with _stopped(home):
        keys = settle(conninfo, home)
        if not keys.pending:
            keys = replace(keys, pending=(secrets.token_bytes(SECRET_BYTES), secrets.token_bytes(SECRET_BYTES)))
            key_file.save(home, keys)
        try:
            with connect(conninfo, patient=True) as db:
                renewed = _renew_segments(db, home, keys)
                with db.transaction():
                    _rekey(db, keys, renewed, author, now_us(), progress)
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            raise down(error) from error
        return settle(conninfo, home)


def _epoch(db: psycopg.Connection[Any]) -> int:
    row = db.execute("SELECT key_epoch FROM log_head").fetchone()
    return int(row[0]) if row else 0


def _following(keys: Keys, realm: int) -> DocumentKeys:
    """Return the document keys of a realm with the pending secret as their last."""
    return DocumentKeys((*(keys.test if realm else keys.live), keys.pending[realm]))


def _resealing(keys: Keys, realm: int) -> Callable[[bytes], bytes]:
    """Return what brings sealed keys of a realm to the next epoch."""
    following = SealedKeys((*(keys.test if realm else keys.live), keys.pending[realm]))
    return partial(following.resealed, keys.sealed("test" if realm else "live"), from_epoch=keys.epoch)


def _keeping(keys: Keys, realm: int) -> Callable[[list[tuple[bytes, bytes, bytes | None]]], list[bytes]]:
    """Return what adds the keys that rows of a realm have now to those they had before."""
    following = FormerKeys((*(keys.test if realm else keys.live), keys.pending[realm]))
    return partial(following.renewed, keys.former("test" if realm else "live"))


def _renew_segments(db: psycopg.Connection[Any], home: Home, keys: Keys) -> dict[str, SegmentInfo]:
    """Write the segments of all bulk events under keys of the next epoch; return them by event."""
    renewed = {}
    rows = db.execute("SELECT id, realm, file FROM bulk WHERE state <> 'discarded' ORDER BY id").fetchall()
    for bulk_id, realm, file in rows:
        following = _following(keys, realm)
        target = home.segments / f"{bulk_id}-{following.epoch}.seg"
        renewed[bulk_id] = rekey(home.segments / file, target, partial(following.advance, from_epoch=keys.epoch))
    return renewed


def _rekey(
    db: psycopg.Connection[Any],
    keys: Keys,
    renewed: dict[str, SegmentInfo],
    author: str,
    now_us: int,
    progress: Progress | None,
) -> None:
    head = db.execute("SELECT next_position, recorded_at_us, key_epoch FROM log_head FOR UPDATE").fetchone()
    if head is None or head[2] != keys.epoch:
        raise Conflict("The keys were rotated meanwhile.")
    require_clock(head[1], now_us)
    position, recorded_at_us, epoch = head[0], max(now_us, head[1]), head[2]
    total = db.execute("SELECT count(*) FROM document").fetchone()
    db.execute(
        "CREATE TEMP TABLE rekeyed (id bigint, document_key bytea, number_key bytea, person_key bytea, carried_key bytea, "
        "former_keys bytea) ON COMMIT DROP"
    )
    done = 0
    for realm in REALM_CODES.values():
        following = _following(keys, realm)
        with db.cursor(name=f"rekey_{realm}") as cursor:
            cursor.itersize = CHUNK
            cursor.execute(f"SELECT id, {_KEYS} FROM document WHERE realm = %s", (realm,))
            while rows := cursor.fetchmany(CHUNK):
                with db.cursor().copy("COPY rekeyed FROM STDIN") as copy:
                    for row in _advanced(following, epoch, rows, _resealing(keys, realm), _keeping(keys, realm)):
                        copy.write_row(row)
                done += len(rows)
                if progress is not None:
                    progress(done, total[0] if total else done)
        _rekey_rows(db, following, epoch, realm)
    db.execute(
        "UPDATE document d SET document_key = r.document_key, number_key = r.number_key, person_key = r.person_key, "
        "carried_key = r.carried_key, former_keys = r.former_keys FROM rekeyed r WHERE r.id = d.id"
    )
    entries = _entries(db, renewed, author, recorded_at_us, epoch)
    for place, entry in enumerate(entries, position):
        db.execute("INSERT INTO register_log (position, entry) VALUES (%s, %s)", (place, encode(entry)))
    db.execute(
        "UPDATE log_head SET next_position = %s, recorded_at_us = %s, key_epoch = %s",
        (position + len(entries), recorded_at_us, epoch + 1),
    )


def _rekey_rows(db: psycopg.Connection[Any], following: DocumentKeys, epoch: int, realm: int) -> None:
    """Advance the keys of what is not a document: persons, their names, urgent needs."""
    for (person_key,) in db.execute("SELECT person_key FROM person WHERE realm = %s", (realm,)).fetchall():
        db.execute(
            "UPDATE person SET person_key = %s WHERE realm = %s AND person_key = %s",
            (following.advance(person_key, epoch), realm, person_key),
        )
    rekey_people(db, following, epoch, realm)
    needs = db.execute("SELECT id, document_key, number_key FROM urgent_need WHERE realm = %s", (realm,)).fetchall()
    for need_id, document_key, number_key in needs:
        db.execute(
            "UPDATE urgent_need SET document_key = %s, number_key = %s WHERE id = %s",
            (following.advance(document_key, epoch), number_key and following.advance(number_key, epoch), need_id),
        )


def _entries(
    db: psycopg.Connection[Any], renewed: dict[str, SegmentInfo], author: str, recorded_at_us: int, epoch: int
) -> list[Entry]:
    """Put the renewed segments in place of the old ones; return the entries that say so, the rotation first."""
    entries = [
        Entry(
            kind=EntryKind.rotation,
            recorded_at_us=recorded_at_us,
            happened_at_us=recorded_at_us,
            author=author,
            key_epoch=epoch + 1,
            body=RotationBody(epoch, epoch + 1).encode(),
        )
    ]
    lists = db.execute("SELECT id, realm, document_count, listed FROM bulk WHERE state <> 'discarded' ORDER BY id").fetchall()
    for bulk_id, realm, count, listed in lists:
        info = renewed[bulk_id]
        digest = bytes.fromhex(info.sha256)
        db.execute(
            "UPDATE bulk SET file = %s, sha256 = %s, key_epoch = %s WHERE id = %s",
            (info.path.name, digest, epoch + 1, bulk_id),
        )
        entries.append(
            Entry(
                kind=EntryKind.note,
                realm=Realm.of_octet(realm),
                recorded_at_us=recorded_at_us,
                happened_at_us=recorded_at_us,
                author=author,
                evidence=f"segment of bulk {bulk_id} re-keyed",
                key_epoch=epoch + 1,
                body=BulkBody(bytes.fromhex(bulk_id), digest, count, listed).encode(),
            )
        )
    return entries


def _advanced(
    keys: DocumentKeys,
    epoch: int,
    rows: list[tuple[Any, ...]],
    reseal: Callable[[bytes], bytes],
    keep: Callable[[list[tuple[bytes, bytes, bytes | None]]], list[bytes]],
) -> Iterator[tuple[Any, ...]]:
    """Yield rows with their keys advanced; each column is advanced at once."""
    columns = []
    advance = partial(keys.advance, from_epoch=epoch)
    for place, renew in ((1, advance), (2, advance), (3, advance), (4, reseal)):
        known = [row[place] for row in rows if row[place] is not None]
        fresh = renew(b"".join(known))
        parts = iter(fresh[at : at + 16] for at in range(0, len(fresh), 16))
        columns.append([None if row[place] is None else next(parts) for row in rows])
    former = keep([(row[5] or b"", row[1], row[2]) for row in rows])
    yield from zip((row[0] for row in rows), *columns, former, strict=True)


@contextmanager
def _stopped(home: Home) -> Iterator[None]:
    """Hold the lock of the listings' writer: while the follower runs, keys are not rotated."""
    durable.folder(home.listings)
    lock = os.open(home.writer_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise Conflict("annul is running.", mend="Stop it first: keys are rotated while no check is answered.") from None
    finally:
        os.close(lock)
