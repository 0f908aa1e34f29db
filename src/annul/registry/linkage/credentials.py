"""Attach digital credentials to documents, and let them follow what becomes of these."""

from __future__ import annotations

import secrets
from typing import Final

import msgspec

from annul.errors import BadInput, Conflict, NotFound
from annul.records.document import Document
from annul.records.entry import EntryKind, decode
from annul.registry.linkage.rules import INVALID, RULES, VALID, state_by, worse
from annul.registry.writing import documents
from annul.registry.writing.ground import Ground
from annul.registry.writing.store import REALM_CODES, Connection, reading

LIST_SIZE: Final = 1 << 20
"""Entries of a list: verifiers unpack it in a third of a second, and nobody stands out among a million."""
FULL: Final = 0.9
"""Share of a list that is given out: beyond it a random place is rarely free, and the next list begins."""
CREDENTIALS_MAX: Final = 100
"""Credentials of one document."""
ENTRIES_MAX: Final = 1_000
_LOCK: Final = 0x616E636C
"""Advisory lock under which places are given out and states told ("ancl")."""


class Attached(msgspec.Struct, frozen=True):
    """A credential: its id, its list, its place there, and what is told of it."""

    id: str
    list_id: int
    place: int
    rule: str
    told: int


class Credentials:
    """Attach, state, follow.

    Args:
        ground: what every part stands on.
        size: entries of a new list.
    """

    def __init__(self, ground: Ground, *, size: int = LIST_SIZE) -> None:
        self._ground, self._size = ground, size

    async def attach(self, party: str, realm: str, document: Document, rule: str) -> Attached:
        """Give a credential of a document a place at random; its issuer writes list and place into it.

        Raises:
            NotFound: the register does not know the document.
            BadInput: there is no such rule.
            Conflict: the document has CREDENTIALS_MAX already, or is such that the credential would be dead.
        """
        if rule not in RULES:
            raise BadInput("There is no such rule.", where="/rule", mend=f"Use one of {', '.join(RULES)}.")
        now_us, code = self._ground.now_us(), REALM_CODES[realm]
        async with reading(self._ground.connections) as db, db.transaction():
            await db.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            row = await documents.find(db, document, self._ground.documents[realm], code)
            if row is None:
                raise NotFound("The register does not know this document.", where="/document")
            told = state_by(rule, row.standing)
            if told == INVALID:
                raise Conflict("The document is not in force: a credential of it would be dead.", where="/document")
            count = await (await db.execute("SELECT count(*) FROM credential WHERE document_id = %s", (row.id,))).fetchone()
            if count is not None and count[0] >= CREDENTIALS_MAX:
                raise Conflict(f"A document has at most {CREDENTIALS_MAX} credentials.", where="/document")
            list_id, size = await self._list(db, code, now_us)
            made = "c_" + secrets.token_hex(12)
            while True:
                place = secrets.randbelow(size)
                done = await db.execute(
                    "INSERT INTO credential (id, document_id, party, list_id, place, rule, told, made_at_us) "
                    "VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (list_id, place) DO NOTHING",
                    (made, row.id, party, list_id, place, rule, told, now_us),
                )
                if done.rowcount == 1:
                    break
            await db.execute("UPDATE status_list SET given = given + 1 WHERE id = %s", (list_id,))
            await _remember(db, list_id, place, told, now_us)
            return Attached(made, list_id, place, rule, told)

    async def _list(self, db: Connection, realm: int, now_us: int) -> tuple[int, int]:
        """Return the list that gives out places, a new one when the last is full."""
        found = await db.execute(
            "SELECT id, size FROM status_list WHERE realm = %s AND given < size * %s ORDER BY id LIMIT 1", (realm, FULL)
        )
        row = await found.fetchone()
        if row is None:
            made = await db.execute(
                "INSERT INTO status_list (realm, size, made_at_us) VALUES (%s, %s, %s) RETURNING id, size",
                (realm, self._size, now_us),
            )
            row = await made.fetchone()
            assert row is not None
        return row[0], row[1]

    async def state(self, party: str, realm: str, credential: str, own: int) -> Attached:
        """Say of a credential itself what its issuer knows: valid, suspended, or invalid for ever.

        Raises:
            NotFound: the party attached no such credential.
            Conflict: it is invalid: that does not end.
        """
        now_us = self._ground.now_us()
        async with reading(self._ground.connections) as db, db.transaction():
            await db.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            row = await (
                await db.execute(
                    "SELECT c.list_id, c.place, c.rule, c.own, c.told, d.standing FROM credential c "
                    "JOIN document d ON d.id = c.document_id WHERE c.id = %s AND c.party = %s AND d.realm = %s",
                    (credential, party, REALM_CODES[realm]),
                )
            ).fetchone()
            if row is None:
                raise NotFound("There is no such credential.")
            list_id, place, rule, before, told, standing = row
            if INVALID in (before, told) and own != INVALID:
                raise Conflict("The credential is invalid, and stays so.", mend="Issue another one.")
            becomes = worse(own, INVALID if told == INVALID else state_by(rule, standing))
            await db.execute("UPDATE credential SET own = %s WHERE id = %s", (own, credential))
            await _tell(db, credential, (list_id, place), told, becomes, now_us)
            return Attached(credential, list_id, place, rule, becomes)

    async def follow(self) -> int:
        """Let credentials follow the entries of the register log; return how many entries were read.

        One step is one transaction; it is repeated until the end of the log is reached.
        """
        read = 0
        while step := await self._step():
            read += step
        return read

    async def _step(self) -> int:
        async with reading(self._ground.connections) as db, db.transaction():
            behind = await db.execute(
                "SELECT c.position, EXISTS (SELECT FROM credential) FROM credential_cursor c, log_head h "
                "WHERE c.position < h.next_position - 1"
            )
            row = await behind.fetchone()
            if row is None:
                return 0
            if not row[1]:  # nobody has any: what is attached later begins with the document's state of then
                await db.execute(
                    "UPDATE credential_cursor SET position = (SELECT next_position - 1 FROM log_head) "
                    "WHERE NOT EXISTS (SELECT FROM credential)"
                )
                return 0
            await db.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            cursor = await (await db.execute("SELECT position FROM credential_cursor FOR UPDATE")).fetchone()
            assert cursor is not None  # the migration made it
            found = await db.execute(
                "SELECT position, entry, document_id FROM register_log WHERE position > %s ORDER BY position LIMIT %s",
                (cursor[0], ENTRIES_MAX),
            )
            entries = await found.fetchall()
            for _, raw, document_id in entries:
                entry = decode(bytes(raw))
                if document_id is not None and entry.kind is EntryKind.document:
                    await self._of_document(db, document_id, entry.recorded_at_us)
            if entries:
                await db.execute("UPDATE credential_cursor SET position = %s", (entries[-1][0],))
            return len(entries)

    @staticmethod
    async def _of_document(db: Connection, document_id: int, at_us: int) -> None:
        """Tell what its standing now makes of a document's credentials. An entry before the attachment is in it."""
        found = await db.execute(
            "SELECT c.id, list_id, place, rule, own, told, made_at_us, standing FROM credential c "
            "JOIN document d ON d.id = c.document_id WHERE document_id = %s",
            (document_id,),
        )
        for credential, list_id, place, rule, own, told, made_at_us, standing in await found.fetchall():
            if told != INVALID and at_us >= made_at_us:
                await _tell(db, credential, (list_id, place), told, worse(own, state_by(rule, standing)), at_us)

    async def of_document(self, realm: str, document: Document) -> list[Attached]:
        """Return the credentials of a document, oldest first."""
        async with reading(self._ground.connections) as db:
            row = await documents.find(db, document, self._ground.documents[realm], REALM_CODES[realm])
            if row is None:
                raise NotFound("The register does not know this document.", where="/document")
            found = await db.execute(
                "SELECT id, list_id, place, rule, told FROM credential WHERE document_id = %s ORDER BY made_at_us, id",
                (row.id,),
            )
            return [Attached(*each) for each in await found.fetchall()]


async def _tell(db: Connection, credential: str, where: tuple[int, int], told: int, becomes: int, at_us: int) -> None:
    """Change what is told of a credential, and remember since when."""
    if told == becomes:
        return
    await db.execute("UPDATE credential SET told = %s WHERE id = %s", (becomes, credential))
    await _remember(db, *where, becomes, at_us)


async def _remember(db: Connection, list_id: int, place: int, told: int, at_us: int) -> None:
    if told == VALID and not await _is_known(db, list_id, place):
        return  # VALID is what a list says of a place anyway
    await db.execute(
        "INSERT INTO credential_told (list_id, place, since_us, told) VALUES (%s, %s, %s, %s) "
        "ON CONFLICT (list_id, place, since_us) DO UPDATE SET told = excluded.told",
        (list_id, place, at_us, told),
    )
    await db.execute("UPDATE status_list SET version = version + 1 WHERE id = %s", (list_id,))


async def _is_known(db: Connection, list_id: int, place: int) -> bool:
    found = await db.execute("SELECT FROM credential_told WHERE list_id = %s AND place = %s LIMIT 1", (list_id, place))
    return await found.fetchone() is not None
