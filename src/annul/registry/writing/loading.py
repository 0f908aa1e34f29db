"""Load a whole population into a register at once: rows, log entries and reports by COPY, in one transaction.

For the first filling of a register (an issuer's stock, the demo), where a write per document would take hours. The result is
what the same writes one by one would have left: dense positions in the order of recording, entries that carry the state
after them, reports that can be confirmed, lifted or lapse. A crash leaves nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from operator import attrgetter
from types import TracebackType
from typing import Any, Final, Self

import psycopg

from annul.errors import Conflict
from annul.registry.writing.documents import COLUMNS, Row
from annul.registry.writing.store import connect, down

_STAGE: Final = """
CREATE TEMP TABLE staged_entry (seq bigint, recorded_at_us bigint, document_id bigint, entry bytea) ON COMMIT DROP;
CREATE TEMP TABLE staged_report (seq bigint, id text, realm smallint, document_id bigint, event text, proof text, author text,
    evidence text, happened_at_us bigint, recorded_at_us bigint, state text, lapses_at_us bigint) ON COMMIT DROP;
"""
_PLACE: Final = """
CREATE TEMP TABLE placed ON COMMIT DROP AS
    SELECT seq, row_number() OVER (ORDER BY recorded_at_us, seq) AS position FROM staged_entry
"""
_ENTRIES: Final = """
INSERT INTO register_log (position, entry, document_id)
    SELECT position, entry, document_id FROM staged_entry JOIN placed USING (seq) ORDER BY position
"""
_REPORTS: Final = """
INSERT INTO report (id, realm, document_id, event, proof, author, evidence, happened_at_us, recorded_at_us, position, state,
    lapses_at_us)
    SELECT id, realm, document_id, event, proof, author, evidence, happened_at_us, recorded_at_us, position, state, lapses_at_us
    FROM staged_report JOIN placed USING (seq)
"""


_values = attrgetter(*COLUMNS.split(", ")[1:])
"""The columns of a row but its id, in the order of the table."""


@dataclass(frozen=True, slots=True)
class LoadedReport:
    """One report behind a loaded entry; `state` and times as in the table of reports."""

    id: str
    event: str
    proof: str
    author: str
    evidence: str
    happened_at_us: int
    recorded_at_us: int
    state: str
    lapses_at_us: int | None = None


_reported = attrgetter("event", "proof", "author", "evidence", "happened_at_us", "recorded_at_us", "state", "lapses_at_us")


@dataclass(frozen=True, slots=True)
class LoadedEntry:
    """One log entry to load.

    Args:
        row: place of the document among the rows of the same `add`.
        recorded_at_us: its time of recording; positions follow it.
        entry: canonical bytes (records.entry.encode).
        report: the report this entry is, if it is one.
    """

    row: int
    recorded_at_us: int
    entry: bytes
    report: LoadedReport | None = None


class Loading:
    """Load documents part by part; everything becomes visible when the block ends well.

        with Loading(conninfo) as loading:
            loading.add(rows, entries)
        loading.position

    Attributes:
        next_id: id that the next document gets; `Row.replaced_by` may name ids to come.
        position: position of the last entry, once the block has ended.

    Raises:
        Conflict: the register has entries already, or a document comes twice.
        SourceDown, StorageFailed: the database cannot be reached or cannot write.
    """

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self.next_id = 1
        self._seq = 0
        self._latest_us = 0
        self.position = 0

    def __enter__(self) -> Self:
        self._db: psycopg.Connection[Any] = connect(self._conninfo, patient=True)
        self._db.execute("BEGIN")
        head = self._db.execute("SELECT next_position FROM log_head FOR UPDATE").fetchone()
        if head is None or head[0] != 1:  # loaded entries lie in the past, and times never run back along the log
            self._db.close()
            raise Conflict("The register has entries already.", mend="Load into an empty register, before anything else.")
        self._db.execute(_STAGE)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None) -> None:
        try:
            if kind is None:
                self._finish()
        except psycopg.errors.UniqueViolation as twice:
            raise Conflict("A document was loaded twice.") from twice
        except psycopg.OperationalError as broken:
            raise down(broken) from broken
        finally:
            self._db.close()  # rolls back what was not committed

    def add(self, rows: list[Row], entries: Iterable[LoadedEntry]) -> None:
        """Add documents and their entries; the ids of the rows are given here.

        Args:
            rows: documents as they are after their last entry; `id` is ignored, the first gets `next_id` and so on.
            entries: entries of these documents, each document's in order.
        """
        try:
            first = self.next_id
            with self._db.cursor().copy(f"COPY document ({COLUMNS}) FROM STDIN") as copy:
                for number, row in enumerate(rows, start=first):
                    copy.write_row((number, *_values(row)))
            self.next_id += len(rows)
            reports: list[tuple[Any, ...]] = []
            with self._db.cursor().copy("COPY staged_entry FROM STDIN") as copy:
                for entry in entries:
                    self._seq += 1
                    document_id = first + entry.row
                    copy.write_row((self._seq, entry.recorded_at_us, document_id, entry.entry))
                    self._latest_us = max(self._latest_us, entry.recorded_at_us)
                    if entry.report is not None:
                        where = (self._seq, entry.report.id, rows[entry.row].realm, document_id)
                        reports.append((*where, *_reported(entry.report)))
            with self._db.cursor().copy("COPY staged_report FROM STDIN") as copy:
                for report in reports:
                    copy.write_row(report)
        except psycopg.errors.UniqueViolation as twice:
            raise Conflict("A document was loaded twice.") from twice
        except psycopg.OperationalError as broken:
            raise down(broken) from broken

    def _finish(self) -> None:
        self._db.execute("ANALYZE staged_entry")
        self._db.execute(_PLACE)
        self._db.execute(_ENTRIES)
        self._db.execute(_REPORTS)
        self.position = self._seq
        self._db.execute(
            "UPDATE log_head SET next_position = %s, recorded_at_us = greatest(recorded_at_us, %s)",
            (self._seq + 1, self._latest_us),
        )
        # what is loaded as stock is nobody's news
        self._db.execute("UPDATE notice_cursor SET position = %s WHERE source = 'register'", (self._seq,))
        self._db.execute("UPDATE recall_cursor SET position = %s", (self._seq,))
        self._db.execute("SELECT setval(pg_get_serial_sequence('document', 'id'), %s, false)", (self.next_id,))
        self._db.execute("COMMIT")
        self._db.execute("ANALYZE document, register_log, report")
