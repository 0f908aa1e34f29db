"""Who acts, in which realm, and under which Idempotency-Key; and the one way to write to the register.

The answer to a write is stored in the transaction of the write. Writers follow one another (registry.store), so of two
requests with one key the second waits for the first and then finds its answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec

from annul.errors import BadInput, IdempotencyMismatch
from annul.records.codes import Realm
from annul.records.entry import EVIDENCE_MAX
from annul.registry.keys import Keys
from annul.registry.writing.effect import Effect
from annul.registry.writing.store import REALM_CODES, Connections, Write, writing
from annul.times import MINUTE_US, Clock

KEY_CHARS_MAX = 255
"""Longest Idempotency-Key. Source: draft-ietf-httpapi-idempotency-key-header, section 2.1 leaves it to the resource."""

KEPT_S = 7 * 24 * 3600
"""How long an answer is kept for its key; a repetition after that is a new request."""

HAPPENED_AHEAD_MAX_US: Final = 5 * MINUTE_US
"""How far ahead of our clock a reporter's clock may be."""

Answer = TypeVar("Answer", bound=msgspec.Struct)


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """Say that something was written.

    Args:
        position: position of the (last) entry in the register log.
        effective_after_us: microseconds from the commit until the table answered accordingly; 0 when not waited for.
        replayed: this is the stored answer of an earlier request with the same Idempotency-Key.
    """

    position: int
    effective_after_us: int = 0
    replayed: bool = False


Written = TypeVar("Written", bound=Done)


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


def same_person(first: str, second: str) -> bool:
    """Tell whether two authors may be one person: the same, or an officer and the party she acts for.

    An author is `PARTY` (its API key) or `PARTY/STAFF` (an officer). Who holds the party's key is not known, so an officer and
    her party's key are not two persons.
    """
    return first == second or first == second.partition("/")[0] or second == first.partition("/")[0]


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


def hold_past(happened_at_us: int, now_us: int) -> None:
    """Refuse what would happen in the future; a reporter's clock may be a little ahead."""
    if happened_at_us > now_us + HAPPENED_AHEAD_MAX_US:
        raise BadInput("this lies in the future", where="/happened_at", mend="Give the time when it happened.")


def hold_evidence(evidence: str) -> None:
    """Refuse a reference of evidence that no entry can hold."""
    if len(evidence.encode()) > EVIDENCE_MAX:
        raise BadInput(f"an evidence reference has at most {EVIDENCE_MAX} bytes", where="/evidence")


def hold_case(case: str) -> None:
    """Refuse a look-up that does not name its case."""
    if not 1 <= len(case.encode()) <= EVIDENCE_MAX:
        raise BadInput(f"a look-up names its case in 1 to {EVIDENCE_MAX} bytes", where="/case")


class Pen:
    """Write to the register: idempotent, in one transaction, and acknowledged when the check path has it.

    Args:
        connections: pool of the register's database.
        keys: the key file; a write under an older key epoch is refused.
        effect: what to wait for after the commit.
        now_us: clock, microseconds since the epoch.
    """

    def __init__(self, connections: Connections, keys: Keys, effect: Effect, now_us: Clock) -> None:
        self._connections, self._keys, self._effect, self._now_us = connections, keys, effect, now_us

    async def write(
        self,
        act: Act,
        kind: type[Written],
        body: Callable[[Write], Awaitable[Written]],
        *,
        happened_at_us: int | None = None,
        evidence: str = "",
    ) -> Written:
        """Run one write, or give the answer of the one that was run under the same Idempotency-Key.

        Args:
            kind: what `body` returns.
            body: writes rows and entries; whatever it raises leaves nothing behind.

        Raises:
            BadInput: it lies in the future, or its reference is too long.
            NotYetEffective: it is recorded, but the table has not taken it up in time.
        """
        now = self._now_us()
        if happened_at_us is not None:
            hold_past(happened_at_us, now)
        hold_evidence(evidence)
        async with writing(self._connections, now) as write:
            self._keys.hold_epoch(write.key_epoch)
            done = await replay(write, act, kind)
            if done is None:
                done = await body(write)
                await remember(write, act, done)
            else:
                done = msgspec.structs.replace(done, replayed=True)
        # A crash here loses the answer, not the entry: the same Idempotency-Key asks again.
        waited_us = await self._effect.wait(done.position)
        return msgspec.structs.replace(done, effective_after_us=waited_us)
