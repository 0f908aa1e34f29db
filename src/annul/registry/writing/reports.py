"""Rows of reports and of the sealed details of who made them, inside one write."""

from __future__ import annotations

from annul.errors import Conflict, NotFound
from annul.records.shown import require_shown
from annul.records.status import Event
from annul.registry.writing import documents, personal
from annul.registry.writing.act import Act
from annul.registry.writing.documents import Row
from annul.registry.writing.history import ReportView
from annul.registry.writing.personal import Reporter
from annul.registry.writing.store import Write


async def add(write: Write, row: Row, report: ReportView) -> None:
    """Insert a report on a document."""
    await write.run(
        "INSERT INTO report (id, realm, document_id, event, proof, author, evidence, happened_at_us, recorded_at_us, "
        "position, state, lapses_at_us, detail_id) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        report.id,
        row.realm,
        row.id,
        report.event,
        report.proof,
        report.author,
        report.evidence,
        report.happened_at_us,
        report.recorded_at_us,
        report.position,
        report.state,
        report.lapses_at_us,
        report.id if report.has_details else None,
    )


async def provisional(write: Write, act: Act, report_id: str) -> tuple[Row, Event, int]:
    """Return the document, event and time of a provisional report.

    Raises:
        NotFound: there is no such report in this realm.
        Conflict: it is not provisional any more.
    """
    found = await write.one(
        "SELECT document_id, event, happened_at_us, state FROM report WHERE id = %s AND realm = %s", report_id, act.realm_code
    )
    if found is None:
        raise NotFound("There is no such report.")
    if found[3] != "provisional":
        raise Conflict(f"The report is not provisional: it is {found[3]}.")
    return await documents.by_id(write.db, found[0]), Event[found[1]], found[2]


async def settle(write: Write, state: str, ids: list[int]) -> None:
    """End the provisional reports of documents whose suspension has ended by something stronger."""
    await write.run(
        "UPDATE report SET state = %s, lapses_at_us = NULL WHERE document_id = ANY(%s) AND state = 'provisional'", state, ids
    )


async def lift(write: Write, document_id: int) -> None:
    """Mark every report in force on a document as lifted."""
    await write.run(
        "UPDATE report SET state = 'lifted', lapses_at_us = NULL "
        "WHERE document_id = %s AND state IN ('provisional', 'in_force')",
        document_id,
    )


async def seal(write: Write, reporter: Reporter | None, report_id: str, master: bytes) -> bytes | None:
    """Seal who reported and return the hash for the log; None when nobody is named."""
    if reporter is None:
        return None
    require_shown(reporter.name, "/reporter/name")
    require_shown(reporter.contact, "/reporter/contact")
    sealed = personal.seal(reporter, report_id, master)
    await write.run(
        "INSERT INTO sealed_detail (id, ciphertext, hash, wrapped_key) VALUES (%s, %s, %s, %s)",
        report_id,
        sealed.ciphertext,
        sealed.hash,
        sealed.wrapped_key,
    )
    return sealed.hash
