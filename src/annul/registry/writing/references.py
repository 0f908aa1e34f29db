"""The texts that entries of the log refer by: they lie beside the log, where they can be erased; the log holds commitments.

    spoken(entry, salt, text)                 what an entry refers to, held against its commitment
    await forget(write, act, position)        erase the text of one entry, and every copy of it

An entry of version 1 has its text in plain; it was sealed so and stays so (docs/formats/register-entry.md).

What must never happen here: a text that is not the one that was committed to; a copy that outlives an erasure.
"""

from __future__ import annotations

from typing import Any, Final

from annul.errors import Conflict, Corrupt, NotFound
from annul.records.codes import Realm
from annul.records.entry import Entry, EntryKind, decode
from annul.records.references import commit
from annul.records.status import Event
from annul.registry.writing.act import Act
from annul.registry.writing.store import Write

BESIDE: Final = "register_log LEFT JOIN entry_reference USING (position)"
"""The log with what lies beside it: columns position, entry, document_id, salt, text."""

_COPIES: Final = (
    "UPDATE report r SET evidence = '' FROM register_log l WHERE l.position = %s AND r.document_id = l.document_id "
    "AND r.position = l.position",
    "UPDATE civil_event SET evidence = '' WHERE position = %s",
    "UPDATE pending_death SET evidence = '' WHERE (person_id, happened_at_us) IN "
    "(SELECT person_id, happened_at_us FROM civil_event WHERE position = %s)",
    "UPDATE consent SET evidence = '' WHERE position = %s",
    "UPDATE bulk SET evidence = '' WHERE position = %s",
    "UPDATE person_import SET evidence = '' WHERE position = %s",
    "UPDATE dispute SET case_reference = '' WHERE position = %s",
    "UPDATE search SET case_reference = '(erased)' WHERE id IN (SELECT search_id FROM search_subject WHERE position = %s)",
    "UPDATE found_card SET shelf = '' WHERE position = %s",
)
"""Where the text of an entry is kept once more, for questions."""


def spoken(entry: Entry, salt: Any, text: str | None) -> str:
    """Return what an entry refers to; "" when it refers to nothing, or the text was erased.

    Args:
        salt, text: what lies beside it, None when nothing does.

    Raises:
        Corrupt: the text is not the one the entry commits to.
    """
    if not entry.commitment or text is None:
        return entry.evidence
    if commit(bytes(salt), text) != entry.commitment:
        raise Corrupt("The text beside an entry is not the one it commits to.", where="entry_reference")
    return text


async def forget(write: Write, act: Act, position: int, *, evidence: str) -> int:
    """Erase what an entry refers to, and enter that; the entry and the log stay verifiable. Returns the erasure's position.

    Args:
        evidence: reference of the decision to erase.

    Raises:
        NotFound: there is no such entry in this realm, or it refers to nothing that is still there.
        Conflict: it is of version 1: what it refers to was sealed in plain.
    """
    row = await write.one(f"SELECT entry, text FROM {BESIDE} WHERE position = %s", position)
    entry = decode(bytes(row[0])) if row else None
    if entry is None or entry.realm is not Realm[act.realm]:
        raise NotFound("The register has no such entry.")
    if entry.evidence:
        raise Conflict(
            "This entry was written when references stood in the log itself; it cannot be changed.",
            mend="Its copies for questions can: erase the report or the person.",
        )
    if entry.kind is EntryKind.document and entry.reason is Event.bulk_list:
        raise Conflict("This entry refers to a list of the register itself, which is no text of anybody's.")
    if row is None or row[1] is None:
        raise NotFound("This entry refers to nothing, or that was erased before.")
    await erase(write, [position])
    return write.append(
        Entry(
            kind=EntryKind.erasure,
            realm=act.code,
            recorded_at_us=write.recorded_at_us,
            happened_at_us=write.recorded_at_us,
            author=act.author,
            evidence=evidence,
            detail_hash=entry.commitment,
        )
    )


async def erase(write: Write, positions: list[int]) -> None:
    """Erase the texts of entries and every copy; whoever calls this enters it in the log."""
    await write.run("DELETE FROM entry_reference WHERE position = ANY(%s)", positions)
    for copy in _COPIES:
        for position in positions:
            await write.run(copy, position)
