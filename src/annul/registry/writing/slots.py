"""From what the register says to what the table holds: entries and rows become slots.

The same rule serves the follower (entry by entry) and a rebuild (all rows at once); a test holds them equal.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import psycopg
from psycopg.rows import TupleRow

from annul.listings.values import (
    COMPROMISED,
    DISPUTED,
    FLAGS_SHIFT,
    NUMBER,
    OVERRIDES_BULK,
    WHOLE_LIFE,
    pack,
    pack_many,
    pack_unlock,
)
from annul.records.codes import Purpose
from annul.records.document import unlock_key
from annul.records.entry import Entry, EntryKind, UnlockBody
from annul.records.status import Event, State, state_of
from annul.times import MINUTE_US

Words = npt.NDArray[np.uint64]

REBUILD_ROWS = 50_000
"""Rows taken from the database at a time while a table is rebuilt."""


@lru_cache(1 << 16)
def value_of(standing: int, *, disputed: bool, overrides_bulk: bool, expiry_day: int) -> int:
    """Return what a document's slot holds; 0 when there is nothing to say about it."""
    if not standing and not disputed and not overrides_bulk:
        return 0
    flags = (
        (WHOLE_LIFE if standing & State.current.bit else 0)
        | (OVERRIDES_BULK if overrides_bulk else 0)
        | (DISPUTED if disputed else 0)
        | (COMPROMISED if standing & State.compromised.bit else 0)
    )
    return pack(state_of(standing), expiry_day, flags)


@lru_cache(1 << 16)
def number_value(value: int, count: int, whole_life: bool) -> int:
    """Return what the slot of a number holds.

    Args:
        value: of the document it belongs to, or of one of them.
        count: documents that share the number.
        whole_life: one of them at least was issued to our knowledge.
    """
    if count > 1:
        return pack_many(WHOLE_LIFE if whole_life else 0)
    return value | NUMBER << FLAGS_SHIFT if value else 0


def slots_of(entry: Entry) -> list[tuple[bytes, int]]:
    """Return the keys and values an entry puts into the table, in order."""
    if entry.kind is EntryKind.unlock:
        unlock = UnlockBody.decode(entry.body)
        return [(unlock_key(entry.document_key, unlock.purpose.octet), pack_unlock(unlock.until_us // MINUTE_US))]
    if entry.kind is not EntryKind.document:
        return []
    value = value_of(
        entry.standing, disputed=entry.disputed, overrides_bulk=entry.overrides_bulk, expiry_day=entry.valid_until_day
    )
    slots = [(entry.document_key, value)]
    if entry.number_key:
        slots.append((entry.number_key, number_value(value, entry.number_count, entry.number_whole_life)))
    if entry.reason in (Event.owner_lock, Event.owner_unlock):  # a new lock is closed for every purpose
        slots += [(unlock_key(entry.document_key, purpose.octet), 0) for purpose in Purpose]
    return slots


def packed(slots: list[tuple[bytes, int]]) -> tuple[bytes, Words]:
    """Return slots as the table takes them."""
    return b"".join(key for key, _ in slots), np.array([value for _, value in slots], np.uint64)


_ROWS = """
SELECT document_key, number_key, standing, disputed, overrides_bulk, coalesce(valid_until_day, 0),
       CASE WHEN number_key IS NULL THEN 1 ELSE count(*) OVER (PARTITION BY realm, number_key) END,
       bit_or(standing) OVER (PARTITION BY realm, number_key)
FROM document
"""
_UNLOCKS = (
    "SELECT document_key, purpose, until_us FROM unlock JOIN document ON document.id = unlock.document_id WHERE until_us > %s"
)


def all_slots(db: psycopg.Connection[TupleRow], now_us: int) -> Iterator[tuple[bytes, Words]]:
    """Yield the slots of everything the register says, in batches; call it inside one snapshot of the database."""
    with db.cursor(name="all_slots") as cursor:
        cursor.itersize = REBUILD_ROWS
        cursor.execute(_ROWS, binary=True)
        while rows := cursor.fetchmany(REBUILD_ROWS):
            slots: list[tuple[bytes, int]] = []
            for key, number_key, standing, disputed, overrides_bulk, expiry_day, count, of_number in rows:
                value = value_of(standing, disputed=disputed, overrides_bulk=overrides_bulk, expiry_day=expiry_day)
                if value:
                    slots.append((key, value))
                if number_key is not None:
                    slot = number_value(value, count, bool(of_number & State.current.bit))
                    if slot:
                        slots.append((number_key, slot))
            yield packed(slots)
    unlocks = [
        (unlock_key(key, purpose), pack_unlock(until // MINUTE_US))
        for key, purpose, until in db.execute(_UNLOCKS, (now_us,)).fetchall()
    ]
    if unlocks:
        yield packed(unlocks)
