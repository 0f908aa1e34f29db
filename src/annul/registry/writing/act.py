"""Who acts, in which realm, and under which Idempotency-Key; what an act may say."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from annul.errors import BadInput
from annul.records.codes import Realm
from annul.records.references import require_reference
from annul.registry.writing.store import REALM_CODES
from annul.times import MINUTE_US

KEY_CHARS_MAX: Final = 128
"""Longest Idempotency-Key, in characters: two UUIDs and a prefix. The only limit there is; the doors hold it too.
Source: draft-ietf-httpapi-idempotency-key-header, section 2.1 leaves it to the resource."""


HAPPENED_AHEAD_MAX_US: Final = 5 * MINUTE_US
"""How far ahead of our clock a reporter's clock may be."""


@dataclass(frozen=True, slots=True)
class Idempotency:
    """Name one request so that repeating it changes nothing.

    Args:
        principal: who chose the key; two principals may choose the same.
        key: the client's key, 1 to KEY_CHARS_MAX characters.
        request_hash: SHA-256 of what was asked (route and body), see `of`.
    """

    principal: str
    key: str
    request_hash: bytes

    @classmethod
    def of(cls, principal: str, key: str, *request: bytes) -> Idempotency:
        """Make the name of a request from its parts (route, body …).

        Raises:
            BadInput: the key is empty or too long, or holds a number (`annul.records.references`).
        """
        require_reference(key, "Idempotency-Key", least=1, most=KEY_CHARS_MAX)
        digest = hashlib.sha256()
        for part in request:
            digest.update(len(part).to_bytes(8, "big") + part)
        return cls(principal, key, digest.digest())

    @property
    def digest(self) -> str:
        """SHA-256 of the key, in hexadecimal: what is kept of it."""
        return hashlib.sha256(self.key.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Act:
    """Say who writes.

    Args:
        author: of the entries: a principal's id, or an officer's.
        realm: live or test.
        idempotency: the request's Idempotency-Key, if there is one.
        credential: the key or passkey its author signed in with, by id; "" on the register's own machine. An act without one is
            nobody's second (`writing.second`).
    """

    author: str
    realm: str = "live"
    idempotency: Idempotency | None = None
    credential: str = ""

    def __post_init__(self) -> None:
        if self.realm not in REALM_CODES:
            raise BadInput("The realm is live or test.")

    @property
    def realm_code(self) -> int:
        """0 live, 1 test."""
        return REALM_CODES[self.realm]

    @property
    def code(self) -> Realm:
        """The realm as entries hold it."""
        return Realm[self.realm]


def same_person(first: str, second: str) -> bool:
    """Tell whether two authors may be one person: the same, or an officer and the party she acts for.

    An author is `PARTY` (its API key) or `PARTY/STAFF` (an officer). Who holds the party's key is not known, so an officer and
    her party's key are not two persons.
    """
    return first == second or first == second.partition("/")[0] or second == first.partition("/")[0]


def require_past(happened_at_us: int, now_us: int) -> None:
    """Refuse what would happen in the future; a reporter's clock may be a little ahead."""
    if happened_at_us > now_us + HAPPENED_AHEAD_MAX_US:
        raise BadInput("This lies in the future.", where="/happened_at", mend="Give the time when it happened.")


def require_case(case: str) -> None:
    """Refuse a look-up that does not name its case."""
    require_reference(case, "/case", least=1)
