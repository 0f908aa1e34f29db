"""What a person is shown of the own documents: their state, who asked, who tried."""

from __future__ import annotations

import msgspec


class Unlocked(msgspec.Struct, frozen=True, kw_only=True):
    """A lock that is open for one purpose until a time."""

    purpose: str
    until_us: int


class OwnDocument(msgspec.Struct, frozen=True, kw_only=True):
    """One of a person's own documents.

    Args:
        id: of its row.
        kind: resident, P, ID, internal …
        state: worst standing fact, today's expiry included.
        since_us: when its present state began (`writing.present`); 0 when nothing was ever recorded.
        ends_with: last signs of its number, "" when the register does not know it.
        report: reference of the report in force, and until when it is provisional.
        may: what its holder may do: report, confirm, withdraw, lock, unlock, unlock_for, dispute.
    """

    id: int
    kind: str
    coverage: str
    state: str
    facts: list[str]
    disputed: bool
    since_us: int
    valid_from_day: int | None
    valid_until_day: int | None
    ends_with: str
    report: str
    lapses_at_us: int | None
    unlocked: list[Unlocked]
    may: list[str]


class CheckSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A check of one's own document, as its holder may see it: which organisation, not which clerk.

    `held_until_us`: until when it was held back by law, None when it was not.
    """

    check: str
    checked_at_us: int
    document: int
    party: str
    purpose: str
    channel: str
    outcome: str
    status: str
    held_until_us: int | None


class AttemptSeen(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt to use a dead card, and what its holder said: nothing yet, me, or not_me.

    `refused` is false for a use between the loss and its late report.
    """

    id: str
    document: int
    checked_at_us: int
    party: str
    purpose: str
    channel: str
    said: str
    refused: bool
