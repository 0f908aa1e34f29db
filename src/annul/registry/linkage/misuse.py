"""What a party suspects: a statement for a case. Nothing follows from it by itself: no listing, no verdict, no score.

The statement is a row of `misuse` and a note in the register log. Who builds cases reads the rows that no case has yet
(`waiting`), and sets `case_id`. The document is known by its key alone.
"""

from __future__ import annotations

import secrets
from typing import Final, Literal

import msgspec

from annul.errors import BadInput, NotFound
from annul.records.codes import Realm
from annul.records.document import Document, block
from annul.records.references import require_reference
from annul.registry.writing.ground import Ground
from annul.registry.writing.store import REALM_CODES, Write, reading, writing

Kind = Literal["used_by_another", "forged", "account_opened", "pledged", "other"]
KINDS: Final = ("used_by_another", "forged", "account_opened", "pledged", "other")
"""What a party suspects: somebody else's document used, a forgery, an account opened with it, taken in pawn, something else."""
LIST_MAX: Final = 500


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """What a party stated; `case_id` is None as long as no case took it."""

    id: str
    party: str
    realm: int
    kind: str
    document_id: int | None
    check_id: str
    branch: str
    evidence: str
    happened_at_us: int
    recorded_at_us: int
    position: int
    case_id: str | None


class Misuse:
    """Take statements, and give them to who builds cases.

    Args:
        ground: what every part stands on.
    """

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    async def state(
        self,
        party: str,
        realm: str,
        kind: Kind,
        document: Document | None,
        *,
        check_id: str = "",
        branch: str = "",
        evidence: str = "",
        happened_at_us: int,
    ) -> tuple[str, int]:
        """Take a statement; return its id and its position in the register log.

        Args:
            document: the document, when it was named.
            check_id: the party's own check, when there was one; one of the two must be there.
            evidence: reference of the party's own file; no personal data.

        Raises:
            BadInput: neither document nor check, it happened in the future, or a reference holds a number.
            NotFound: the party made no such check.
        """
        now_us = self._ground.now_us()
        if document is None and not check_id:
            raise BadInput("A statement names the document or the check.", where="/document")
        require_reference(evidence, "/evidence")
        require_reference(branch, "/branch")
        if happened_at_us > now_us:
            raise BadInput("It cannot have happened in the future.", where="/happened_at")
        statement = "ms_" + secrets.token_hex(12)
        key = b"" if document is None else self._ground.documents[realm].blind(block(document))
        async with writing(self._ground.connections, now_us) as write:
            document_id = None
            if key:
                row = await write.one("SELECT id FROM document WHERE realm = %s AND document_key = %s", REALM_CODES[realm], key)
                document_id = row[0] if row else None
            if check_id:
                await self._require_own(write, party, realm, check_id)
            position = write.note(
                party,
                f"misuse {statement}",
                kind.encode(),
                realm=Realm.of_octet(REALM_CODES[realm]),
                happened_at_us=happened_at_us,
                document_id=document_id,
            )
            await write.run(
                "INSERT INTO misuse (id, party, realm, kind, document_id, document_key, check_id, branch, evidence, "
                "happened_at_us, recorded_at_us, position) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                statement,
                party,
                REALM_CODES[realm],
                kind,
                document_id,
                key or None,
                check_id,
                branch,
                evidence,
                happened_at_us,
                write.recorded_at_us,
                position,
            )
        return statement, position

    @staticmethod
    async def _require_own(write: Write, party: str, realm: str, check_id: str) -> None:
        row = await write.one(
            "SELECT FROM check_index WHERE check_id = %s AND party = %s AND realm = %s",
            bytes.fromhex(check_id),
            party,
            REALM_CODES[realm],
        )
        if row is None:
            raise NotFound("There is no such check of yours, or it is not in the index yet.", where="/check")

    async def waiting(self, realm: str, limit: int = LIST_MAX) -> list[Statement]:
        """Return the statements that no case has yet, oldest first."""
        async with reading(self._ground.connections) as db:
            found = await db.execute(
                f"SELECT {', '.join(Statement.__struct_fields__)} FROM misuse WHERE case_id IS NULL AND realm = %s "
                "ORDER BY recorded_at_us, id LIMIT %s",
                (REALM_CODES[realm], limit),
            )
            names = Statement.__struct_fields__
            return [Statement(**dict(zip(names, row, strict=True))) for row in await found.fetchall()]
