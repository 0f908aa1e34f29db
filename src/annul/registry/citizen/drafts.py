"""Reports that are being written, answer by answer: a lost connection, two tabs or the back button lose nothing.

A draft is sealed under a key that only the writer's browser holds (in a cookie): who reads the table finds noise, and who
knows a draft's address without the cookie finds nothing. It lives two hours.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from typing import Any, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from annul.errors import NotFound
from annul.registry.writing.store import Connections, reading
from annul.times import HOUR_US

KEPT_US: Final = 2 * HOUR_US
SECRET_BYTES: Final = 32
_NONCE: Final = 12
_LOST: Final = "Nothing was reported. Begin again, or go on in the browser where you began."


class Drafts:
    """Keep drafts.

    Args:
        connections: the register's database.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def begin(self, secret: bytes, answers: dict[str, Any], now_us: int) -> str:
        """Begin a draft; return its id.

        Args:
            secret: 32 bytes that only the browser keeps.
        """
        draft = "f" + secrets.token_hex(10)
        await self._put(
            draft, secret, answers, now_us, "INSERT INTO report_draft (ciphertext, until_us, id) VALUES (%s, %s, %s)"
        )
        return draft

    async def answers(self, draft: str, secret: bytes, now_us: int) -> dict[str, Any]:
        """Return the answers of a draft.

        Raises:
            NotFound: it is over, or another browser's.
        """
        async with reading(self._connections) as db:
            found = await (
                await db.execute("SELECT ciphertext FROM report_draft WHERE id = %s AND until_us > %s", (draft, now_us))
            ).fetchone()
        if found is None:
            raise NotFound("This report is not here any more.", mend=_LOST)
        sealed = bytes(found[0])
        try:
            plain = AESGCM(_key(secret)).decrypt(sealed[:_NONCE], sealed[_NONCE:], draft.encode())
        except InvalidTag:
            raise NotFound("This report was begun in another browser.", mend=_LOST) from None
        answers: dict[str, Any] = msgspec.json.decode(plain)
        return answers

    async def keep(self, draft: str, secret: bytes, answers: dict[str, Any], now_us: int) -> None:
        """Store the answers of a draft."""
        await self._put(draft, secret, answers, now_us, "UPDATE report_draft SET ciphertext = %s, until_us = %s WHERE id = %s")

    async def _put(self, draft: str, secret: bytes, answers: dict[str, Any], now_us: int, statement: str) -> None:
        nonce = os.urandom(_NONCE)
        sealed = nonce + AESGCM(_key(secret)).encrypt(nonce, msgspec.json.encode(answers), draft.encode())
        async with reading(self._connections) as db:
            await db.execute(statement, (sealed, now_us + KEPT_US, draft))


def _key(secret: bytes) -> bytes:
    return hashlib.sha256(b"annul report draft v1\0" + secret).digest()


async def forget(connections: Connections, now_us: int) -> int:
    """Forget drafts that are over; return how many."""
    async with reading(connections) as db:
        return (await db.execute("DELETE FROM report_draft WHERE until_us < %s", (now_us,))).rowcount
