"""Who acts, in which realm, and under which Idempotency-Key.

The answer to a write is stored in the transaction of the write. Writers follow one another (registry.store), so of two
requests with one key the second waits for the first and then finds its answer.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from annul.errors import BadInput, IdempotencyMismatch
from annul.records.codes import Realm
from annul.registry.store import REALM_CODES, Write

KEY_CHARS_MAX = 255
"""Longest Idempotency-Key. Source: draft-ietf-httpapi-idempotency-key-header, section 2.1 leaves it to the resource."""

KEPT_S = 7 * 24 * 3600
"""How long an answer is kept for its key; a repetition after that is a new request."""

Answer = TypeVar("Answer", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Idempotency:
    """Name one request so that repeating it changes nothing.

    Args:
        principal: who chose the key; two principals may choose the same.
        key: the client's key, 1 to 255 characters.
        request_hash: SHA-256 of what was asked (route and body), see `of`.
    """

    principal: str
    key: str
    request_hash: bytes

    @classmethod
    def of(cls, principal: str, key: str, *request: bytes) -> Idempotency:
        """Make the name of a request from its parts (route, body …).

        Raises:
            BadInput: the key is empty or too long.
        """
        if not 1 <= len(key) <= KEY_CHARS_MAX:
            raise BadInput(f"the Idempotency-Key must have 1 to {KEY_CHARS_MAX} characters", where="Idempotency-Key")
        digest = hashlib.sha256()
        for part in request:
            digest.update(len(part).to_bytes(8, "big") + part)
        return cls(principal, key, digest.digest())


@dataclass(frozen=True, slots=True)
class Act:
    """Say who writes: the author of the entries (a principal's id), the realm, and the Idempotency-Key if there is one."""

    author: str
    realm: str = "live"
    idempotency: Idempotency | None = None

    def __post_init__(self) -> None:
        if self.realm not in REALM_CODES:
            raise BadInput("the realm is live or test")

    @property
    def realm_code(self) -> int:
        """0 live, 1 test."""
        return REALM_CODES[self.realm]

    @property
    def code(self) -> Realm:
        """The realm as entries hold it."""
        return Realm[self.realm]


def _whose(act: Act) -> str:
    """Return whose key it is: the same key in the other realm is another one."""
    return f"{act.realm}/{act.idempotency.principal}" if act.idempotency else ""


async def replay(write: Write, act: Act, kind: type[Answer]) -> Answer | None:
    """Return the stored answer when this request was carried out before, None when it is new.

    Raises:
        IdempotencyMismatch: the key was used for another request.
    """
    if act.idempotency is None:
        return None
    row = await write.one(
        "SELECT request_hash, response FROM idempotency WHERE principal = %s AND key = %s",
        _whose(act),
        act.idempotency.key,
    )
    if row is None:
        return None
    if bytes(row[0]) != act.idempotency.request_hash:
        raise IdempotencyMismatch(
            "this Idempotency-Key was used before with another request",
            where="Idempotency-Key",
            mend="Choose a new key for a new request.",
        )
    return msgspec.json.decode(row[1], type=kind)


async def remember(write: Write, act: Act, answer: msgspec.Struct) -> None:
    """Store the answer of this write under its key, in the same transaction."""
    if act.idempotency is not None:
        await write.run(
            "INSERT INTO idempotency (principal, key, request_hash, response, created_at_us) VALUES (%s, %s, %s, %s, %s)",
            _whose(act),
            act.idempotency.key,
            act.idempotency.request_hash,
            msgspec.json.encode(answer),
            write.recorded_at_us,
        )
