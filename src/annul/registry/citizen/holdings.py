"""What the tables hold about a person beside entry, documents and checks: for the download of everything held.

Each section is one question. Every table that names a person or a document is in a section, or is left out for a reason; a test
holds this to the tables there are. Left out are: what a lawful delay or an open case holds back, until that ends; what is about
other people (finders, reporters, notes of hearings, suspicions that nobody decided); what cannot be told to be somebody's
(counts against guessing, drafts); and what is only another form of what is told (keyed tags, vectors, cursors).
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from annul.registry.writing import personal
from annul.registry.writing.store import Connection

_MINE: Final = "(n.person_id = %(person)s OR (n.person_id IS NULL AND n.document_id = ANY(%(documents)s)))"

SECTIONS: Final[dict[str, str]] = {
    "past": "SELECT event, happened_at_us, recorded_at_us, author, evidence FROM civil_event WHERE person_id = %(person)s "
    "ORDER BY position",
    "deaths": "SELECT happened_at_us, reported_at_us, due_at_us, author, evidence, state, decided_at_us FROM pending_death "
    "WHERE person_id = %(person)s ORDER BY reported_at_us",
    "clean_up": "SELECT decision, state, decided_at_us, undone_at_us FROM review_decision WHERE person_id = %(person)s "
    "AND state IN ('in_force', 'undone') ORDER BY decided_at_us",
    "traits": "SELECT trait, finger, quality, enrolled_at_us, ended_at_us, ended, v.algorithm AS vector FROM enrolment e "
    "LEFT JOIN face_vector v ON v.enrolment_id = e.id WHERE e.person_id = %(person)s ORDER BY enrolled_at_us",
    "consents": "SELECT scope, basis, evidence, author, given_at_us, withdrawn_at_us FROM consent WHERE person_id = %(person)s "
    "ORDER BY given_at_us",
    "reports": "SELECT id AS reference, document_id AS document, event, proof, state, author, evidence, happened_at_us, "
    "recorded_at_us, lapses_at_us FROM report WHERE document_id = ANY(%(documents)s) ORDER BY position",
    "found_cards": "SELECT id AS reference, document_id AS document, state, point, found_at_us, accepted_at_us, ended_at_us, "
    "proof FROM found_card WHERE document_id = ANY(%(documents)s) ORDER BY accepted_at_us",
    "custody": "SELECT card_id AS reference, step, place, handed_at_us, recorded_at_us FROM custody WHERE card_id IN "
    "(SELECT id FROM found_card WHERE document_id = ANY(%(documents)s)) ORDER BY card_id, step",
    "disputes": "SELECT id AS reference, document_id AS document, raised_by, ground, case_reference, opened_at_us, due_at_us, "
    "state, reason, decided_at_us, CASE raised_by WHEN 'holder' THEN statement_id END AS statement "
    "FROM dispute WHERE document_id = ANY(%(documents)s) ORDER BY opened_at_us",
    "recalls": "SELECT encode(x.check_id, 'hex') AS check, r.party, c.cause, r.made_at_us, r.acknowledged_at_us "
    "FROM recall_check x JOIN recall r ON r.id = x.recall_id JOIN correction c ON c.position = x.correction "
    "WHERE x.check_id = ANY(%(checks)s) ORDER BY r.made_at_us",
    "departures": "SELECT encode(check_id, 'hex') AS check, party, decision, reason, words, decided_at_us FROM departure "
    "WHERE check_id = ANY(%(checks)s) ORDER BY decided_at_us",
    "urgent_needs": "SELECT encode(check_id, 'hex') AS check, party, state, opened_at_us, due_at_us, shown_at_us "
    "FROM urgent_need WHERE check_id = ANY(%(checks)s) ORDER BY opened_at_us",
    "searches": "SELECT searched_at_us, party, case_reference, purpose, delayed_until_us FROM search WHERE id IN "
    "(SELECT search_id FROM search_subject WHERE person_id = %(person)s OR document_id = ANY(%(documents)s)) "
    "AND coalesce(delayed_until_us, 0) <= %(now)s ORDER BY searched_at_us",
    "holds": "SELECT document_id AS document, split_part(author, '/', 1) AS party, case_reference, created_at_us, "
    "coalesce(released_at_us, until_us) AS ended_at_us FROM notice_hold WHERE document_id = ANY(%(documents)s) "
    "AND coalesce(released_at_us, until_us) <= %(now)s ORDER BY created_at_us",
    "notices": f"SELECT kind, created_at_us, channel_count, read_at_us FROM notice n WHERE {_MINE} AND party IS NULL "
    "AND not_before_us <= %(now)s ORDER BY created_at_us",
    "deliveries": "SELECT n.kind, d.channel, d.language, d.state, d.tries, d.done_at_us FROM delivery d "
    f"JOIN notice n ON n.id = d.notice_id WHERE {_MINE} AND n.party IS NULL AND n.not_before_us <= %(now)s "
    "ORDER BY n.created_at_us",
    "logins": "SELECT linked_at_us FROM citizen_subject WHERE person_id = %(person)s ORDER BY linked_at_us",
    "sessions": "SELECT began_at_us, until_us, ended_at_us, ended_by FROM session WHERE kind = 'citizen' "
    "AND subject = %(person)s::text ORDER BY began_at_us",
}
"""Name of a section of the download -> its question."""


async def of_person(
    db: Connection, envelope: bytes, person_id: int, document_ids: list[int], checks: list[bytes], now_us: int
) -> dict[str, list[dict[str, Any]]]:
    """Return every section: rows by the names of their columns; times are still integers called `*_us`.

    Args:
        envelope: master key; opens what the person said in a dispute.
        checks: ids of the checks that the person may see today; what hangs on another check is left out with it.
    """
    values = {"person": person_id, "documents": document_ids, "checks": checks, "now": now_us}
    told: dict[str, list[dict[str, Any]]] = {}
    for name, question in SECTIONS.items():
        found = await db.execute(question.encode(), values)
        columns = [column.name for column in found.description or ()]
        told[name] = [dict(zip(columns, line, strict=True)) for line in await found.fetchall()]
    for dispute in told["disputes"]:
        dispute["statement"] = await _statement(db, envelope, dispute["statement"])
    return told


class _Said(msgspec.Struct):
    text: str


async def _statement(db: Connection, envelope: bytes, detail_id: str | None) -> str | None:
    """Return what the person said; None when it was erased, or somebody else said it."""
    found = await (await db.execute("SELECT ciphertext, wrapped_key FROM sealed_detail WHERE id = %s", (detail_id,))).fetchone()
    if detail_id is None or found is None or found[1] is None:
        return None
    return personal.unseal_as(_Said, bytes(found[0]), bytes(found[1]), detail_id, envelope).text
