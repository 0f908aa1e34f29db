"""Import lists of persons as one event: read, seal, stage; a second officer puts it in force; one step takes it back.

What is staged lies in the table of records but counts for nobody: its import's row says whether it is in force. So an import
of any size comes into force, and goes, in one short transaction, and no report waits behind it. A crash while reading leaves
rows that no import in force names; the follower removes them.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import os
import secrets
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import psycopg
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from annul.errors import BadInput, Conflict, NotFound
from annul.listings.bulk import Cause, ReadReport
from annul.records.document import DocumentKeys
from annul.records.entry import BulkBody, Entry, EntryKind
from annul.records.names import NAME_VERSION
from annul.records.person import PersonStatus
from annul.records.references import require_reference
from annul.registry.people.reading import Batches, Format, Read, format_of, read_persons
from annul.registry.people.rows import IN_FORCE, pack_person
from annul.registry.people.vault import KEY_BYTES, NONCE_BYTES, WRAPPED_BYTES, Vault, digest, record_context
from annul.registry.writing.act import Act
from annul.registry.writing.ground import Ground
from annul.registry.writing.second import Hand, of_this_day, require_second
from annul.registry.writing.store import Write, connect, down, reading, writing
from annul.times import DAY_US

LIMIT: Final = 1_000
"""Persons above which an import needs two officers. Source: domain, section 3, rule 11."""
FIRST_LINES: Final = 10
"""Line numbers that are named for each cause of refusal."""
SAMPLES: Final = 5
LEFT_OVER_US: Final = DAY_US
"""Age after which an import that was cut off counts as left over."""

KNOWN: Final = "number-known"
"""Cause of a line whose personal number is in the register already, or stood in the list before."""

Progress = Callable[[int], None]

_COLUMNS: Final = (
    "id, realm, person_key, status, wrapped_key, ciphertext, holder_keys, name_tags, name_version, photo, import_id"
)
_COPY_HEAD: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_END: Final = b"\xff\xff"
_HEAD: Final = struct.Struct(f">hiqihi16sihi{WRAPPED_BYTES}si")
"""Of a row: 11 fields; length and value of id, realm, person key, status and wrapped key; length of the ciphertext."""
_KEY_AND_NONCE: Final = struct.Struct(f"{KEY_BYTES}s{NONCE_BYTES}s")
_STATUS: Final = {status.name: status.octet for status in PersonStatus}
_length: Final = struct.Struct(">i").pack


class PersonReport(ReadReport):
    """Say what a list of persons holds; see ReadReport."""

    def refuse(self, cause: str, line: int) -> None:
        """Count a refused line."""
        known = self.bad.setdefault(cause, Cause(0, []))
        known.count += 1
        if len(known.first_lines) < FIRST_LINES:
            known.first_lines.append(line)


class ImportView(msgspec.Struct, frozen=True, kw_only=True):
    """Describe an import without any of its persons.

    Args:
        state: loading, staged, in_force, discarded or undone.
        person_count: persons it brings.
        two_officers: another officer than `staged_by` must confirm it.
        applied: the check path has taken all of it up (or back).
    """

    id: str
    state: str
    person_count: int
    two_officers: bool
    evidence: str
    report: PersonReport
    staged_by: str
    staged_at_us: int
    confirmed_by: str | None
    position: int | None
    undone_by: str | None
    undone_position: int | None
    applied: bool


@dataclass(frozen=True, slots=True)
class _Sealed:
    """One batch ready for COPY."""

    count: int
    buffer: bytes
    digest: bytes


class PersonImports:
    """Stage, confirm and undo imports of persons, on the register's own machine.

    Args:
        ground: what every part stands on.
        conninfo: the register's database, for reading in by COPY.
        vault: persons' keys.
        limit: persons above which two officers are needed.
    """

    def __init__(self, ground: Ground, conninfo: str, vault: Vault, *, limit: int = LIMIT) -> None:
        self._connections, self._keys, self._now_us = ground.connections, ground.keys, ground.now_us
        self._effect, self._conninfo, self._vault, self._limit = ground.effect, conninfo, vault, limit

    def try_run(
        self,
        act: Act,
        file: Path,
        *,
        format: Format | None = None,
        shared_numbers: bool = False,
        progress: Progress = lambda _bytes: None,
    ) -> PersonReport:
        """Read a list and say what would be refused and why; nothing is kept."""
        with connect(self._conninfo, patient=True) as db, _fewer_collections():
            lines = read_persons(file, format or format_of(file), progress)
            return self._read(db, act, lines, None, shared_numbers=shared_numbers)[0]

    def stage(
        self,
        act: Act,
        file: Path,
        *,
        format: Format | None = None,
        evidence: str = "",
        shared_numbers: bool = False,
        progress: Progress = lambda _bytes: None,
    ) -> ImportView:
        """Read a list into the register without putting it in force.

        Args:
            shared_numbers: also take persons of another name under a number that is known: how an old register with such
                errors comes in, for the clean-up to find them. Otherwise their lines are refused.

        Raises:
            BadInput: it cannot be read as a whole, or holds no person that can be entered.
        """
        require_reference(evidence, "/evidence")
        lines = read_persons(file, format or format_of(file), progress)
        return self.stage_lines(act, lines, evidence=evidence, shared_numbers=shared_numbers)

    def stage_lines(self, act: Act, batches: Batches, *, evidence: str = "", shared_numbers: bool = False) -> ImportView:
        """Stage persons that come in batches of numbered lines; see `stage`."""
        import_id = secrets.token_hex(16)
        try:
            with connect(self._conninfo, patient=True) as db:
                self._discard_left_over(db)
                db.execute(
                    "INSERT INTO person_import (id, realm, state, evidence, staged_by, staged_at_us, staged_with) "
                    "VALUES (%s, %s, 'loading', %s, %s, %s, %s)",
                    (import_id, act.realm_code, evidence, act.author, self._now_us(), act.credential),
                )
                try:
                    with _fewer_collections():
                        report, first, last, total = self._read(db, act, batches, import_id, shared_numbers=shared_numbers)
                    if not report.good:
                        raise BadInput(
                            "The list holds no person that can be entered.",
                            where="list",
                            mend="See the causes; `--dry-run` shows them with their lines.",
                            causes={cause: found.count for cause, found in report.bad.items()},
                        )
                except BaseException:
                    _remove(db, import_id)
                    raise
                db.execute("RESET synchronous_commit")
                db.execute(
                    "UPDATE person_import SET state = 'staged', person_count = %s, first_id = %s, last_id = %s, digest = %s, "
                    "summary = %s WHERE id = %s",
                    (report.good, first, last, total, msgspec.json.encode(report), import_id),
                )
                row = db.execute(f"SELECT {_VIEW} FROM person_import WHERE id = %s", (import_id,)).fetchone()
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            raise down(error) from error
        return self._view(row)

    async def confirm(self, act: Act, import_id: str, *, evidence: str = "") -> ImportView:
        """Put a staged import in force, as the second officer when it is above the limit.

        Raises:
            NotFound: there is no such import in this realm.
            Conflict: it is not staged.
            Forbidden: with the party's other imports of this day it is above the limit, and this may be who staged it.
        """

        async def body(write: Write) -> int:
            row = await self._locked(write, act, import_id, "staged")
            first = Hand(row[3], row[4])
            brought = await of_this_day(write, act, first, table="person_import", counted="person_count")
            by_two = row[1] + brought > self._limit
            if by_two:
                await require_second(
                    write,
                    act,
                    first,
                    sentence=f"An import of more than {self._limit:,} persons needs a second officer.",
                    mend="Let another officer confirm it.",
                )
            position = write.append(_entry(write, act, EntryKind.person_import, import_id, row, evidence))
            await write.run(
                "UPDATE person_import SET state = 'in_force', confirmed_by = %s, confirmed_at_us = %s, position = %s, "
                "confirmed_with = %s, by_two = %s, applied = false WHERE id = %s",
                act.author,
                write.recorded_at_us,
                position,
                act.credential,
                by_two,
                import_id,
            )
            return position

        return await self._write(act, import_id, body)

    async def undo(self, act: Act, import_id: str, *, evidence: str = "") -> ImportView:
        """Take an import back as one event; persons that were changed since stay, because their entries stand on their own."""

        async def body(write: Write) -> int:
            row = await self._locked(write, act, import_id, "in_force")
            position = write.append(_entry(write, act, EntryKind.person_undo, import_id, row, evidence))
            await write.run(
                "UPDATE person_import SET state = 'undone', undone_by = %s, undone_at_us = %s, undone_position = %s, "
                "applied = false WHERE id = %s",
                act.author,
                write.recorded_at_us,
                position,
                import_id,
            )
            return position

        return await self._write(act, import_id, body)

    async def discard(self, act: Act, import_id: str) -> ImportView:
        """Drop a staged import with everything it brought."""
        async with writing(self._connections, self._now_us()) as write:
            await self._locked(write, act, import_id, "staged")
            await write.run("UPDATE person_import SET state = 'discarded', applied = true WHERE id = %s", import_id)
        async with reading(self._connections) as db:
            await db.execute(
                "DELETE FROM person_record p USING person_import i "
                "WHERE i.id = %s AND p.import_id = i.id AND p.id BETWEEN i.first_id AND i.last_id",
                (import_id,),
            )
        return await self.view(act, import_id)

    async def list(self, act: Act) -> list[ImportView]:
        """Return all imports of this realm, newest first."""
        async with reading(self._connections) as db:
            rows = await db.execute(
                f"SELECT {_VIEW} FROM person_import WHERE realm = %s ORDER BY staged_at_us DESC", (act.realm_code,)
            )
            return [self._view(row) for row in await rows.fetchall()]

    async def view(self, act: Act, import_id: str) -> ImportView:
        """Return one import; NotFound when there is none in this realm."""
        async with reading(self._connections) as db:
            row = await (
                await db.execute(f"SELECT {_VIEW} FROM person_import WHERE id = %s AND realm = %s", (import_id, act.realm_code))
            ).fetchone()
        return self._view(row)

    # Inner parts -------------------------------------------------------------------------------------------------

    def _view(self, row: tuple[Any, ...] | None) -> ImportView:
        if row is None:
            raise NotFound("There is no such import.")
        (
            import_id,
            state,
            count,
            evidence,
            summary,
            staged_by,
            staged_at,
            confirmed_by,
            position,
            undone_by,
            undone,
            applied,
        ) = row
        return ImportView(
            id=import_id,
            state=state,
            person_count=count,
            two_officers=count > self._limit,
            evidence=evidence,
            report=msgspec.json.decode(summary, type=PersonReport) if summary else PersonReport(),
            staged_by=staged_by,
            staged_at_us=staged_at,
            confirmed_by=confirmed_by,
            position=position,
            undone_by=undone_by,
            undone_position=undone,
            applied=applied,
        )

    async def _write(self, act: Act, import_id: str, body: Callable[[Write], Any]) -> ImportView:
        async with writing(self._connections, self._now_us()) as write:
            self._keys.require_epoch(write.key_epoch)
            position = await body(write)
        await self._effect.wait(position)
        return await self.view(act, import_id)

    async def _locked(self, write: Write, act: Act, import_id: str, state: str) -> tuple[Any, ...]:
        row = await write.one(
            "SELECT state, person_count, digest, staged_by, staged_with FROM person_import "
            "WHERE id = %s AND realm = %s FOR UPDATE",
            import_id,
            act.realm_code,
        )
        if row is None:
            raise NotFound("There is no such import.")
        if row[0] != state:
            raise Conflict(f"The import is {row[0]}, not {state}.")
        return row

    def _read(
        self, db: psycopg.Connection[Any], act: Act, batches: Batches, import_id: str | None, *, shared_numbers: bool
    ) -> tuple[PersonReport, int, int, bytes]:
        """Read all lines; seal and copy them when there is an import. Returns (report, first id, last id, digest)."""
        report, running = PersonReport(), hashlib.sha256()
        # The table grows faster than its statistics: without this the planner would read all of it for each batch.
        db.execute("SET enable_seqscan = off")
        # Batches need no write barrier each: what stages the import is written after them, with one (the log of the
        # database keeps its order). A crash before leaves rows that no import in force names.
        db.execute("SET synchronous_commit = off")
        first = last = 0
        blind = self._keys.documents(act.realm)
        seen: dict[bytes, set[bytes]] = {}  # of a dry run only: what is staged is seen in the table
        for lines in batches:
            report.lines += len(lines)
            persons = []
            for line, found in lines:
                if isinstance(found, str):
                    report.refuse(found, line)
                else:
                    persons.append((line, found))
            if not persons:
                continue
            fresh = _Fresh(persons, blind, act.realm_code)
            known = fresh.known(db, import_id)
            if import_id is None:
                for key in seen.keys() & set(fresh.keys):
                    known.setdefault(key, set()).update(seen[key])
            kept = fresh.keep(known, report, shared_numbers=shared_numbers)
            if import_id is None:
                seen |= {key: known[key] for key in fresh.keys}
            report.good += len(kept)
            if import_id is None or not kept:
                continue
            ids = _ids(db, len(kept))
            first, last = first or ids[0], ids[-1]
            sealed = fresh.seal(kept, ids, import_id, self._vault)
            with db.cursor().copy(f"COPY person_record ({_COLUMNS}) FROM STDIN (FORMAT binary)") as copy:
                copy.write(sealed.buffer)
            running.update(sealed.digest)
        return report, first, last, running.digest()

    def _discard_left_over(self, db: psycopg.Connection[Any]) -> None:
        """Remove imports that were cut off while they were read, a day ago or longer."""
        rows = db.execute(
            "SELECT id FROM person_import WHERE state = 'loading' AND staged_at_us < %s", (self._now_us() - LEFT_OVER_US,)
        ).fetchall()
        for (import_id,) in rows:
            _remove(db, import_id)


_VIEW: Final = (
    "id, state, person_count, evidence, summary, staged_by, staged_at_us, confirmed_by, position, undone_by, "
    "undone_position, applied"
)


@contextlib.contextmanager
def _fewer_collections() -> Iterator[None]:
    """Look for cycles among millions of short-lived objects, which have none, less often: it took a third of the time."""
    before = gc.get_threshold()
    gc.set_threshold(500_000, 50, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)


class _Fresh:
    """One batch of persons on its way into the table."""

    def __init__(self, persons: list[tuple[int, Read]], blind: DocumentKeys, realm: int) -> None:
        self._persons, self._realm = persons, realm
        blinded = blind.blind(b"".join([part for _, (_, blocks) in persons for part in blocks]))
        self.keys: list[bytes] = []
        self._at: list[int] = []
        at = 0
        for _, (_, (_, holders, names)) in persons:
            self.keys.append(blinded[at : at + 16])
            self._at.append(at)
            at += 16 + len(holders) + len(names)
        self._blinded = blinded

    def known(self, db: psycopg.Connection[Any], import_id: str | None) -> dict[bytes, set[bytes]]:
        """Return the personal numbers' keys that are in force, or came with an earlier batch of this import, with the tags of
        the names that they have."""
        rows = db.execute(
            "SELECT person_key, name_tags FROM person_record "
            f"WHERE realm = %s AND person_key = ANY(%s::bytea[]) AND ({IN_FORCE} OR import_id = %s)",
            (self._realm, '{"\\\\x' + '","\\\\x'.join([key.hex() for key in self.keys]) + '"}', import_id),
            binary=True,
        )
        known: dict[bytes, set[bytes]] = {}
        for key, tags in rows.fetchall():
            known.setdefault(bytes(key), set()).add(bytes(tags))
        return known

    def keep(self, known: dict[bytes, set[bytes]], report: PersonReport, *, shared_numbers: bool) -> list[int]:
        """Return the places of persons that are new; refuse the others."""
        kept = []
        for place, ((line, _), key) in enumerate(zip(self._persons, self.keys, strict=True)):
            others = known.get(key)
            if others is None:
                known[key] = {self._tags(place)} if shared_numbers else set()
            elif shared_numbers and (tags := self._tags(place)) and tags not in others:
                others.add(tags)
            else:
                report.refuse(KNOWN, line)
                continue
            kept.append(place)
        return kept

    def _tags(self, place: int) -> bytes:
        _, holders, names = self._persons[place][1][1]
        at = self._at[place] + 16 + len(holders)
        return self._blinded[at : at + len(names)]

    def seal(self, kept: list[int], ids: Sequence[int], import_id: str, vault: Vault) -> _Sealed:
        """Encrypt the kept persons, each under a key of its own, as the bytes of one COPY."""
        parts = [_COPY_HEAD]
        digests = []
        version = b"\0\0\0\2" + NAME_VERSION.to_bytes(2, "big")
        tail = version + b"\0\0\0\1\0" + len(import_id).to_bytes(4, "big") + import_id.encode()
        secret = os.urandom(_KEY_AND_NONCE.size * len(kept))
        persons, ats, keys, realm, blinded = self._persons, self._at, self.keys, self._realm, self._blinded
        wrap = vault.wrap
        for place, person_id, (key, nonce) in zip(kept, ids, _KEY_AND_NONCE.iter_unpack(secret), strict=True):
            person, (_, holders, names) = persons[place][1]
            sealed = b"\x01" + nonce + AESGCM(key).encrypt(nonce, pack_person(person), record_context(person_id))
            digests.append(digest(sealed))
            at = ats[place] + 16
            names_at = at + len(holders)
            parts += (
                _HEAD.pack(
                    11,
                    8,
                    person_id,
                    2,
                    realm,
                    16,
                    keys[place],
                    2,
                    _STATUS[person.status],
                    WRAPPED_BYTES,
                    wrap(key, person_id),
                    len(sealed),
                ),
                sealed,
                _length(len(holders)),
                blinded[at:names_at],
                _length(len(names)),
                blinded[names_at : names_at + len(names)],
                tail,
            )
        parts.append(_COPY_END)
        return _Sealed(len(kept), b"".join(parts), b"".join(digests))


def _ids(db: psycopg.Connection[Any], count: int) -> Sequence[int]:
    """Take ids, ascending: one range, unless somebody else took some meanwhile."""
    found = db.execute(
        "SELECT min(id), CASE WHEN max(id) - min(id) + 1 > count(*) THEN array_agg(id ORDER BY id) END "
        "FROM (SELECT nextval('person_record_id_seq') AS id FROM generate_series(1, %s)) AS numbered",
        (count,),
    ).fetchone()
    assert found is not None
    first, scattered = found
    return scattered or range(first, first + count)


def _remove(db: psycopg.Connection[Any], import_id: str) -> None:
    db.execute("DELETE FROM person_record WHERE import_id = %s", (import_id,))
    db.execute("DELETE FROM person_import WHERE id = %s", (import_id,))


def _entry(write: Write, act: Act, kind: EntryKind, import_id: str, row: tuple[Any, ...], evidence: str) -> Entry:
    return Entry(
        kind=kind,
        realm=act.code,
        recorded_at_us=write.recorded_at_us,
        happened_at_us=write.recorded_at_us,
        author=act.author,
        evidence=evidence,
        key_epoch=write.key_epoch,
        body=BulkBody(bytes.fromhex(import_id), bytes(row[2]), row[1], 0).encode(),
    )
