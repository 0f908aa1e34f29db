"""Tell people and parties what happened: each notice once in effect, on every channel there is.

Three steps, each in a transaction of its own, so that a crash between any two loses nothing and doubles nothing:

    sources   read the register log (by position) and the check index (by window); cursor and notices are one transaction
    routing   a waiting notice becomes one delivery per channel of its holder, or per webhook of its party
    sending   at least once, always under the same id (Message-ID, Idempotency-Key, webhook-id), so that receivers drop copies

Words: *notice* (what somebody is to be told, once, named by a key), *delivery* (one notice on one channel), *attempt* (a check
that stopped a document that must not be relied on), *hold* (a notice waits because a case is open; every hold ends).

What must never happen here: a notice without its cause, a number or a name in a notice, an address in the clear at rest.

    await queue(write.db, "dispute_decided", key=f"dispute:{id}:decided", now_us=write.recorded_at_us, document_id=7)
"""

from __future__ import annotations

from annul.registry.notices.outbox import HOLDER_KINDS, KINDS, PARTY_KINDS, hold, queue, release

__all__ = ["HOLDER_KINDS", "KINDS", "PARTY_KINDS", "hold", "queue", "release"]
