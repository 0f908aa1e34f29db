"""The register: every change to a document's life, each in one transaction with its log entry.

    register = Register(pool, keys, listings, now_us, home=home)
    recorded = await register.report(Act("police-1"), document, "lost", happened_at_us=t, proof=Proof.in_person)
    recorded.position, recorded.state, recorded.id

A write returns when the listings table answers accordingly; see docs/life-of-a-report.md. What must never happen here: a
state without its entry, an entry without its state, a terminal document that revives, a number in a row.
"""

from __future__ import annotations

import msgspec

from annul.records.document import Document, block, number_block
from annul.registry.writing import history as past
from annul.registry.writing.act import Act, require_case
from annul.registry.writing.documents import Known, find, new_row
from annul.registry.writing.entering import PROVISIONAL_US, Also, Recorded, state_word
from annul.registry.writing.issuing import UNLOCK_MAX_US, Issuing
from annul.registry.writing.present import Change, effect, present
from annul.registry.writing.references import forget
from annul.registry.writing.reporting import LAPSE_BATCH, Reporting, ReportKind
from annul.registry.writing.store import REALM_CODES, Write, reading, writing

__all__ = ["LAPSE_BATCH", "PROVISIONAL_US", "UNLOCK_MAX_US", "Also", "Recorded", "Register", "ReportKind"]


class Register(Reporting, Issuing):
    """Write to the register (reports, the issuer's feed) and ask about its history."""

    async def status_at(self, act: Act, document: Document, at_us: int, known_at_us: int, *, case: str) -> past.StatusAt:
        """Return the state a document had at a time, as it was known at another time; see `history.status_at`.

        Args:
            case: reference of the case this look-up belongs to; it is entered in the log first.
        """
        await self._account(act, document, case, b"the status of a document was looked up")
        async with reading(self._connections) as db:
            keys, realm = self._documents[act.realm], act.realm_code
            found = await past.status_at(db, self._segments, keys, document, realm, at_us, known_at_us)
            row = await find(db, document, keys, realm) or new_row(document, keys, realm)
            stood = (await present(db, self._segments, [row], known_at_us))[row.id]
            return msgspec.structs.replace(found, since_us=stood.since_us if stood.state == found.state else None)

    async def history(self, act: Act, document: Document, *, case: str) -> list[past.Line]:
        """Return every entry about a document, oldest first; NotFound when there is none. The look-up is entered first."""
        await self._account(act, document, case, b"the history of a document was looked up")
        async with reading(self._connections) as db:
            return await past.lines(db, self._segments, self._documents[act.realm], document, act.realm_code)

    async def view(self, report_id: str, realm: str) -> past.ReportView:
        """Return a report by its id; NotFound when there is none in this realm."""
        async with reading(self._connections) as db:
            return (await past.report(db, report_id, REALM_CODES[realm]))[0]

    async def effect(self, report_id: str, realm: str) -> Change:
        """Return what a report changed and what stands now; see `present.effect`."""
        async with reading(self._connections) as db:
            return await effect(db, self._segments, report_id, REALM_CODES[realm], self._now_us())

    async def note(self, act: Act, document: Document | Known, what: bytes, *, evidence: str, also: Also) -> Recorded:
        """Do something about a known document that leaves its state alone: one note, one transaction.

        The note has no key: nobody looked anything up, so no holder is told of a look-up.

        Args:
            what: the note, in words.
            also: writes what it is about; its id is the answer's.

        Raises:
            NotFound: the register knows no such document.
        """

        async def body(write: Write) -> Recorded:
            row = await self._known(write, act, document)
            position = write.note(act.author, evidence, what, realm=act.code)
            named = await also(write, row, position)
            return Recorded(position=position, state=state_word(row), id=named, changed=False)

        return await self._write(act, None, evidence, body)

    async def forget(self, act: Act, position: int, *, evidence: str) -> Recorded:
        """Erase what an entry of the log refers to by; see `references.forget`.

        Raises:
            NotFound, Conflict: there is no such text, or it cannot be erased.
        """

        async def body(write: Write) -> Recorded:
            erased = await forget(write, act, position, evidence=evidence)
            return Recorded(position=erased, state="erased", changed=False, documents=0)

        return await self._write(act, None, evidence, body)

    async def _account(self, act: Act, document: Document, case: str, what: bytes) -> None:
        """Enter a look-up into the log before it is answered: who, on which document, for which case."""
        require_case(case)
        keys = self._documents[act.realm]
        named = document.has_discriminator or not document.discriminated
        async with writing(self._connections, self._now_us()) as write:
            self._keys.require_epoch(write.key_epoch)
            write.note(
                act.author,
                case,
                what,
                realm=act.code,
                document_key=keys.blind(block(document)) if named else b"",
                number_key=keys.blind(number_block(document)) if document.discriminated else b"",
            )

    async def reports(self, act: Act, document: Document | Known) -> list[past.ReportView]:
        """Return the reports on a document, oldest first."""
        async with reading(self._connections) as db:
            return await past.reports(db, self._documents[act.realm], document, act.realm_code)
