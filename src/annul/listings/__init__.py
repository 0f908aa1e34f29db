"""The table every check looks into.

Promise: a look-up touches memory only, takes well under a microsecond in batches, and sees every entry up to the
position that was acknowledged before it began. Only exact matches are hits: a slot keeps 88 bits of a document key.

Words: *slot* (16 bytes: key and value), *table* (what changes one by one), *segment* (a bulk list, sealed), *generation*
(a table file; growing makes the next), *view* (one consistent set of table and segments).

Never in this room: document numbers. Keys arrive blinded; the readers of lists see numbers, blind them at once and
report bad lines by their line numbers.

Example:
    >>> writer = ListingsWriter(folder)
    >>> writer.put(key, np.array([pack(State.reported_lost)], np.uint64))
    >>> writer.set_applied(1, now_us)
    >>> unpack(Listings(folder).lookup(key)[0]).state
    <State.reported_lost: 9>
"""

from annul.listings.listings import Listings, ScrubSlice
from annul.listings.segment import Batch, SegmentInfo, build
from annul.listings.values import Value, pack, pack_many, pack_unlock, unpack
from annul.listings.writer import ListingsWriter

__all__ = [
    "Batch",
    "Listings",
    "ListingsWriter",
    "ScrubSlice",
    "SegmentInfo",
    "Value",
    "build",
    "pack",
    "pack_many",
    "pack_unlock",
    "unpack",
]
