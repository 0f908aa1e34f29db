"""Enter something about a document: which row is meant, what bulk events say about it, and one write around it.

The parts of the register (`reporting`, `issuing`) stand on this. A write returns when the listings table answers accordingly.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

from annul.errors import NotFound
from annul.records.document import Document
from annul.records.status import Event, State, state_of
from annul.registry.writing import documents
from annul.registry.writing.act import Act
from annul.registry.writing.documents import Known, Row, new_row, record
from annul.registry.writing.ground import Ground
from annul.registry.writing.pen import Done
from annul.registry.writing.segments import Listed
from annul.registry.writing.store import Write
from annul.times import HOUR_US

PROVISIONAL_US: Final = 72 * HOUR_US
"""Default life of a provisional report. Source: domain, section 3, rule 5."""

Also = Callable[[Write, Row, int], Awaitable[str]]
"""What else is written in the same transaction: gets the write, the row afterwards and the entry's position; returns an id."""


class Recorded(Done, frozen=True, kw_only=True):
    """Say what was recorded.

    Args:
        state: the document's state afterwards; for a death, the state its documents were brought to.
        id: id of the report, empty for other writes.
        changed: False when the entry was recorded without changing the state (a second report on a dead document).
        documents: how many documents were touched.
        lapses_at_us: when a provisional report lapses by itself.
        stopped_since_us: for a report, since when the document was stopped already; None when this report stopped it.
    """

    state: str
    id: str = ""
    changed: bool = True
    documents: int = 1
    lapses_at_us: int | None = None
    stopped_since_us: int | None = None


class Entering:
    """Hold what every entry about a document needs.

    Args:
        ground: what every part stands on.
        provisional_us: life of a provisional report.
    """

    def __init__(self, ground: Ground, *, provisional_us: int = PROVISIONAL_US) -> None:
        self._connections, self._keys, self._now_us = ground.connections, ground.keys, ground.now_us
        self._documents, self._segments, self._pen = ground.documents, ground.segments, ground.pen
        self._provisional_us = provisional_us

    async def _write(
        self, act: Act, happened_at_us: int | None, evidence: str, body: Callable[[Write], Awaitable[Recorded]]
    ) -> Recorded:
        return await self._pen.write(act, Recorded, body, happened_at_us=happened_at_us, evidence=evidence)

    async def _meant(
        self, write: Write, act: Act, document: Document | Known, *, new_ok: bool = True, blank: bool = False
    ) -> Row:
        """Return the row that is meant; a document known from its listing alone gets its row now.

        Raises:
            NotFound: the document is not known, and either its issuer provides whole lives or `new_ok` is False. A stolen
                blank (`blank`) was never issued, so it need not be known.
        """
        keys = self._documents[act.realm]
        row = await documents.find(write.db, document, keys, act.realm_code)
        if row is None and isinstance(document, Document):
            fresh = new_row(document, keys, act.realm_code)
            listed = await self._segments.listed(write.db, act.realm_code, fresh.document_key)
            if not listed:
                extent = await write.one("SELECT extent FROM coverage WHERE name = %s", document.coverage_name)
                if not new_ok or (extent is not None and extent[0] == "whole_life" and not blank):
                    raise NotFound(
                        "The register knows no such document.",
                        where="/document",
                        mend="Compare the number and the dates with the document.",
                    )
            if await died(write, fresh):
                fresh = replace(fresh, standing=State.cancelled.bit)
            return await self._merged(write, act, await documents.add(write, fresh), listed)
        assert row is not None
        return await self._merged(write, act, row)

    async def _known(self, write: Write, act: Act, document: Document | Known) -> Row:
        return await self._meant(write, act, document, new_ok=False)

    async def _merged(self, write: Write, act: Act, row: Row, listed: list[Listed] | None = None) -> Row:
        """Take what bulk events say about a document into its row, so that single events decide from everything."""
        if row.overrides_bulk:
            return row
        if listed is None:
            listed = await self._segments.listed(write.db, row.realm, row.document_key)
        if not listed:
            return row
        bits = 0
        for one in listed:
            bits |= one.bit
        merged = replace(row, standing=row.standing | bits, overrides_bulk=True, bulk_standing=bits & ~row.standing)
        await record(
            write,
            act,
            row,
            merged,
            Event.bulk_list,
            happened_at_us=listed[0].happened_at_us,
            evidence=f"bulk {listed[0].bulk_id}",
        )
        return merged


def state_word(row: Row) -> str:
    """Name the state a document is in."""
    return state_of(row.standing).name


async def died(write: Write, row: Row) -> bool:
    """Tell whether the holder of a document is recorded as dead."""
    return row.person_key is not None and None is not await write.one(
        "SELECT 1 FROM person WHERE realm = %s AND person_key = %s", row.realm, row.person_key
    )
