"""Know which sessions of people still hold, and keep the form somebody was typing when a session was lost.

A session's cookie says who sits there; this book says whether it was ended: by signing out, or because an officer's right or
a passkey was taken away. A cookie that was copied ends with it. The row is looked up by its key once per page.

Kept forms hold what people typed. They are sealed (AES-256-GCM, bound to session, page and owner), live an hour, and are given
back to nobody but who typed them.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import time

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from annul.errors import SourceDown
from annul.registry.writing.ground import Ground
from annul.registry.writing.store import REALM_CODES, reading
from annul.times import HOUR_US

LOOK_UP_S = 5.0
"""Longest wait for the database before it counts as down for a page that cannot do without it."""

BRIEF_S = 0.5
"""The same for a page that goes on without it: a counter's queue does not wait."""

DOWN_PAUSE_S = 2.0
"""How long such a page then does not ask again, so that the queue does not wait for the database at every page."""

KEPT_US = HOUR_US
"""How long a lost form is kept."""

_NONCE_BYTES = 12


def row_of(session: str) -> bytes:
    """Return the key of a session's row: the database cannot be used to make cookies."""
    return hashlib.sha256(session.encode()).digest()


class SessionBook:
    """Begin, look up and end sessions of people.

    Args:
        ground: what every part stands on.
    """

    def __init__(self, ground: Ground) -> None:
        self._connections = ground.connections
        self._seal = AESGCM(hmac.digest(ground.keys.session, b"annul kept forms", "sha256"))
        self._down_until = 0.0

    async def begin(self, session: str, kind: str, subject: str, *, realm: str, began_at_us: int, until_us: int) -> None:
        """Write a session down; ended ones are dropped when their time is over.

        Args:
            session: its secret id, as in the cookie.
            kind: clerk, officer or citizen.
            subject: who it is, so that all sessions of one can be ended.

        Raises:
            SourceDown: the database cannot be reached.
        """
        async with reading(self._connections) as db:
            await db.execute("DELETE FROM session WHERE until_us < %s", (began_at_us,))
            await db.execute(
                "INSERT INTO session (id, kind, subject, realm, began_at_us, until_us) VALUES (%s, %s, %s, %s, %s, %s)",
                (row_of(session), kind, subject, REALM_CODES[realm], began_at_us, until_us),
            )

    async def holds(self, session: str, now_us: int, *, briefly: bool = False) -> bool:
        """Tell whether a session was begun and not ended.

        Args:
            session: its secret id, as in the cookie.
            now_us: the time.
            briefly: wait for the database no longer than a page may that goes on without it.

        Raises:
            SourceDown: the database does not answer in time.
        """
        if briefly and time.monotonic() < self._down_until:
            raise SourceDown("The register's database cannot be reached.")
        try:
            async with asyncio.timeout(BRIEF_S if briefly else LOOK_UP_S), reading(self._connections) as db:
                found = await db.execute(
                    "SELECT 1 FROM session WHERE id = %s AND ended_at_us IS NULL AND until_us > %s", (row_of(session), now_us)
                )
                return await found.fetchone() is not None
        except (TimeoutError, SourceDown):
            self._down_until = time.monotonic() + DOWN_PAUSE_S
            raise SourceDown("The register's database cannot be reached.") from None

    async def end(self, session: str, now_us: int, by: str = "holder") -> None:
        """End a session for every copy of its cookie."""
        async with reading(self._connections) as db:
            await db.execute(
                "UPDATE session SET ended_at_us = %s, ended_by = %s WHERE id = %s AND ended_at_us IS NULL",
                (now_us, by, row_of(session)),
            )

    async def end_all(self, kind: str, subject: str, now_us: int, by: str = "holder") -> int:
        """End every session of one person; return how many there were."""
        async with reading(self._connections) as db:
            done = await db.execute(
                "UPDATE session SET ended_at_us = %s, ended_by = %s WHERE kind = %s AND subject = %s AND ended_at_us IS NULL",
                (now_us, by, kind, subject),
            )
            return done.rowcount

    async def keep(self, session: str, path: str, owner: str, form: bytes, now_us: int) -> None:
        """Keep a form for its owner, for an hour; one per page."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + self._seal.encrypt(nonce, form, _bound(session, path, owner))
        async with reading(self._connections) as db:
            await db.execute("DELETE FROM kept_form WHERE until_us < %s", (now_us,))
            await db.execute(
                "INSERT INTO kept_form (session, path, owner, sealed, until_us) VALUES (%s, %s, %s, %s, %s) "
                "ON CONFLICT (session, path) DO UPDATE SET owner = EXCLUDED.owner, sealed = EXCLUDED.sealed, "
                "until_us = EXCLUDED.until_us",
                (row_of(session), path, owner, sealed, now_us + KEPT_US),
            )

    async def kept(self, session: str, path: str, owner: str, now_us: int) -> bytes | None:
        """Return the form that was kept for its owner, None when there is none."""
        async with reading(self._connections) as db:
            found = await db.execute(
                "SELECT sealed FROM kept_form WHERE session = %s AND path = %s AND owner = %s AND until_us > %s",
                (row_of(session), path, owner, now_us),
            )
            row = await found.fetchone()
        if row is None:
            return None
        sealed = bytes(row[0])
        try:
            return self._seal.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _bound(session, path, owner))
        except InvalidTag:
            return None

    async def forget(self, session: str, path: str) -> None:
        """Drop a kept form."""
        async with reading(self._connections) as db:
            await db.execute("DELETE FROM kept_form WHERE session = %s AND path = %s", (row_of(session), path))


def _bound(session: str, path: str, owner: str) -> bytes:
    return b"\0".join(text.encode() for text in ("annul kept form v1", session, path, owner))
