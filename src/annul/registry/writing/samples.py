"""Look into a sealed list: which states it gives, how many documents, and what the register says of some of them."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import numpy as np

from annul.listings.segment import Segment
from annul.listings.table import PAGE, SLOT_BYTES
from annul.listings.values import CODE_MASK, FLAGS_SHIFT, NUMBER, unpack
from annul.records.status import state_of
from annul.registry.writing.store import Connection

SAMPLES: Final = 20
_NUMBER: Final = np.uint64(NUMBER << FLAGS_SHIFT)
"""Mark, in the second word of a slot, of a number whose cards are told apart by their dates."""


class Sample(msgspec.Struct, frozen=True):
    """Show one listed document: the first bytes of its key, what the list says, what the register says (None: nothing).

    Args:
        key: first bytes of the document's key, hexadecimal.
        listed: state by the list.
        known: state by this register; null: nothing is known.
    """

    key: str
    listed: str
    known: str | None


def _slots(segment: Segment) -> Any:
    """Return the slots of a sealed segment as n × 2 words."""
    return np.memmap(segment.path, "<u8", "r", offset=PAGE, shape=(segment.slot_count * SLOT_BYTES // 16, 2))


def states_listed(segment: Segment) -> tuple[int, int]:
    """Return every state a segment lists, as a mask, and how many documents it has (numbers of cards are no documents)."""
    listed, count, slots = 0, 0, _slots(segment)
    for first in range(0, len(slots), 1 << 22):
        values = slots[first : first + (1 << 22), 1]
        count += int(np.count_nonzero(values & np.uint64(CODE_MASK))) - int(np.count_nonzero(values & _NUMBER))
        for code in np.unique(values & np.uint64(CODE_MASK)).tolist():
            state = unpack(code).state
            listed |= state.bit if state is not None else 0
    return listed, count


async def samples_of(db: Connection, realm: int, segment: Segment) -> list[Sample]:
    """Pick documents spread over a segment and say what the register knows of them."""
    slots = _slots(segment)
    found = []
    for first in np.linspace(0, len(slots) - 1, SAMPLES * 4).astype(int).tolist():
        word0, word1 = (int(word) for word in slots[first])
        state = unpack(word1 & ((1 << 40) - 1)).state
        if not word0 or state is None or word1 & int(_NUMBER):
            continue
        key = word0.to_bytes(8, "little") + (word1 >> 40).to_bytes(3, "little")
        row = await (
            await db.execute(
                "SELECT standing FROM document WHERE realm = %s AND document_key >= %s AND document_key <= %s",
                (realm, key.ljust(16, b"\0"), key.ljust(16, b"\xff")),
            )
        ).fetchone()
        sample = Sample(key[:4].hex(), state.name, state_of(row[0]).name if row else None)
        if sample not in found:
            found.append(sample)
        if len(found) == SAMPLES:
            break
    return found
