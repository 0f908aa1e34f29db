"""The pen: the one way to write to the register, idempotent, and acknowledged when the check path has it.

The answer to a write is stored in the transaction of the write. Writers follow one another (`store`), so of two requests with
one key the second waits for the first and then finds its answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from annul.errors import IdempotencyMismatch
from annul.keys import Keys
from annul.records.references import require_reference
from annul.registry.writing.act import Act, require_past
from annul.registry.writing.effect import Effect
from annul.registry.writing.store import Connections, Write, reading, writing
from annul.times import SECOND_US, Clock

KEPT_S = 7 * 24 * 3600
"""How long an answer is kept for its key; a repetition after that is a new request."""

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
        act.idempotency.digest,
    )
    if row is None:
        return None
    if bytes(row[0]) != act.idempotency.request_hash:
        raise IdempotencyMismatch(
            "This Idempotency-Key was used before with another request.",
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
            act.idempotency.digest,
            act.idempotency.request_hash,
            msgspec.json.encode(answer),
            write.recorded_at_us,
        )


async def forget_answers(connections: Connections, now_us: int) -> int:
    """Forget answers that were kept for their Idempotency-Keys long enough; return how many."""
    async with reading(connections) as db:
        return (await db.execute("DELETE FROM idempotency WHERE created_at_us < %s", (now_us - KEPT_S * SECOND_US,))).rowcount


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
            BadInput: it lies in the future, or its reference is none (`annul.records.references`).
            NotYetEffective: it is recorded, but the table has not taken it up in time.
        """
        now = self._now_us()
        if happened_at_us is not None:
            require_past(happened_at_us, now)
        require_reference(evidence, "/evidence")
        async with writing(self._connections, now) as write:
            self._keys.require_epoch(write.key_epoch)
            done = await replay(write, act, kind)
            if done is None:
                done = await body(write)
                await remember(write, act, done)
            else:
                done = msgspec.structs.replace(done, replayed=True)
        # A crash here loses the answer, not the entry: the same Idempotency-Key asks again.
        waited_us = await self._effect.wait(done.position)
        return msgspec.structs.replace(done, effective_after_us=waited_us)
