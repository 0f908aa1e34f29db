"""Where parties want to be told: webhooks with a secret of their own, sealed at rest."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Sequence
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from annul.errors import BadInput, Conflict, Corrupt, NotFound
from annul.registry.notices.channels import require_outside, require_url
from annul.registry.notices.outbox import PARTY_KINDS
from annul.registry.writing.store import REALM_CODES, Connections, reading

WEBHOOKS_MAX: Final = 10
"""Webhooks of one party in one realm."""
_AAD: Final = b"annul webhook v1\0"
_VERSION: Final = b"\x01"


class WebhookView(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook without its secret."""

    id: str
    url: str
    kinds: list[str]
    created_at_us: int
    paused_at_us: int | None = None


class WebhookBook:
    """Add, list, pause and end webhooks.

    Args:
        connections: the register's database.
        envelope: master key of the key file, 32 bytes.
        private: addresses of closed networks are taken.
    """

    def __init__(self, connections: Connections, envelope: bytes, *, private: bool = False) -> None:
        self._connections, self._envelope, self._private = connections, envelope, private

    async def add(self, party: str, realm: str, url: str, kinds: Sequence[str], now_us: int) -> tuple[WebhookView, str]:
        """Add a webhook; return it and its secret (`whsec_…`), which is told this once.

        Raises:
            BadInput: the address or a kind is not usable.
            Conflict: there are WEBHOOKS_MAX already.
        """
        require_url(url, private=self._private)
        if not self._private:
            require_outside(url)
        unknown = sorted(set(kinds) - PARTY_KINDS)
        if unknown or not kinds:
            raise BadInput(
                "A webhook names what it is to be told.", where="/kinds", mend=f"Choose of: {', '.join(sorted(PARTY_KINDS))}."
            )
        webhook_id = "w_" + secrets.token_hex(12)
        raw, nonce = secrets.token_bytes(32), secrets.token_bytes(12)
        sealed = _VERSION + nonce + AESGCM(self._envelope).encrypt(nonce, raw, _AAD + webhook_id.encode())
        async with reading(self._connections) as db:
            done = await db.execute(
                "INSERT INTO webhook (id, party, realm, url, kinds, secret, created_at_us) SELECT %s, %s, %s, %s, %s, %s, %s "
                "WHERE (SELECT count(*) FROM webhook WHERE party = %s AND realm = %s AND ended_at_us IS NULL) < %s",
                (
                    webhook_id,
                    party,
                    REALM_CODES[realm],
                    url,
                    sorted(set(kinds)),
                    sealed,
                    now_us,
                    party,
                    REALM_CODES[realm],
                    WEBHOOKS_MAX,
                ),
            )
        if done.rowcount != 1:
            raise Conflict(f"A party has at most {WEBHOOKS_MAX} webhooks.", mend="End one first.")
        view = WebhookView(id=webhook_id, url=url, kinds=sorted(set(kinds)), created_at_us=now_us)
        return view, "whsec_" + base64.b64encode(raw).decode()

    async def of_party(self, party: str, realm: str) -> list[WebhookView]:
        """Return a party's webhooks, oldest first."""
        async with reading(self._connections) as db:
            found = await db.execute(
                "SELECT id, url, kinds, created_at_us, paused_at_us FROM webhook WHERE party = %s AND realm = %s "
                "AND ended_at_us IS NULL ORDER BY created_at_us, id",
                (party, REALM_CODES[realm]),
            )
            names = WebhookView.__struct_fields__
            return [WebhookView(**dict(zip(names, row, strict=True))) for row in await found.fetchall()]

    async def pause(self, party: str, realm: str, webhook_id: str, now_us: int) -> None:
        """Hold back what a webhook is to be told, until it resumes; a second time changes nothing.

        Raises:
            NotFound: the party has no such webhook.
        """
        await self._turn(party, realm, webhook_id, "paused_at_us = coalesce(paused_at_us, %s)", now_us, "due", "paused", now_us)

    async def resume(self, party: str, realm: str, webhook_id: str, now_us: int) -> None:
        """Tell a webhook what waited, and what comes from now on; NotFound as `pause`."""
        await self._turn(party, realm, webhook_id, "paused_at_us = %s", None, "paused", "due", now_us)

    async def _turn(
        self, party: str, realm: str, webhook_id: str, change: str, value: int | None, was: str, becomes: str, now_us: int
    ) -> None:
        async with reading(self._connections) as db, db.transaction():
            done = await db.execute(
                f"UPDATE webhook SET {change} WHERE id = %s AND party = %s AND realm = %s AND ended_at_us IS NULL".encode(),
                (value, webhook_id, party, REALM_CODES[realm]),
            )
            if done.rowcount != 1:
                raise NotFound("There is no such webhook.")
            await db.execute(
                "UPDATE delivery SET state = %s, due_at_us = %s, tries = 0 WHERE address = %s AND channel = 'webhook' "
                "AND state = %s",
                (becomes, now_us, webhook_id.encode(), was),
            )

    async def end(self, party: str, realm: str, webhook_id: str, now_us: int) -> None:
        """End a webhook: nothing is sent to it any more, what was due included.

        Raises:
            NotFound: the party has no such webhook.
        """
        await self._turn(party, realm, webhook_id, "ended_at_us = %s", now_us, "paused", "dead", now_us)


def open_secret(sealed: bytes, webhook_id: str, envelope: bytes) -> str:
    """Return a webhook's secret.

    Raises:
        Corrupt: it does not open.
    """
    try:
        if sealed[:1] != _VERSION:
            raise ValueError("unknown version")
        raw = AESGCM(envelope).decrypt(sealed[1:13], sealed[13:], _AAD + webhook_id.encode())
    except (InvalidTag, ValueError):
        raise Corrupt("A webhook's secret does not open.", where=f"webhook {webhook_id}") from None
    return "whsec_" + base64.b64encode(raw).decode()
