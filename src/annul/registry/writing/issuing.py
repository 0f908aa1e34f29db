"""Record what issuers tell: documents issued, replaced, cancelled, revoked, locked; persons who died.

A part of the register (`register`). What must never happen here: a document that lives on beside its successor
(rule 2), a fact about one document that touches another (rule 3), a terminal document that revives (rule 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from annul.errors import BadInput, NotFound, TransitionRefused
from annul.records.codes import Purpose
from annul.records.document import Document, person_block
from annul.records.entry import EntryKind, UnlockBody
from annul.records.status import Event, Proof, State
from annul.registry.writing import documents
from annul.registry.writing.act import Act
from annul.registry.writing.documents import Known, new_row, record
from annul.registry.writing.entering import Also, Entering, Recorded, died, state_word
from annul.registry.writing.steps import CHANGES, LISTING, step
from annul.registry.writing.store import Connections, Write, reading
from annul.times import DAY_US, MINUTE_US

UNLOCK_MAX_US: Final = DAY_US
"""Longest timed unlock: who needs longer unlocks and locks again."""


class Issuing(Entering):
    """Write the issuer's feed."""

    async def issue(
        self,
        act: Act,
        document: Document,
        *,
        happened_at_us: int,
        person_number: str | None = None,
        replaces: Sequence[Document | Known] = (),
        evidence: str = "",
    ) -> Recorded:
        """Record the issue of a document; what it replaces is superseded in the same transaction.

        Documents that share a number (resident cards) supersede the earlier ones of the number by themselves (rule 2);
        of other kinds `replaces` must name them, because a holder may have several.

        Args:
            person_number: the holder's personal number, for a later death; a resident card carries it itself.

        Raises:
            TransitionRefused: the document was issued before, its blank was stolen, or its holder is dead.
        """

        async def body(write: Write) -> Recorded:
            fresh = new_row(document, self._documents[act.realm], act.realm_code, person_number)
            if fresh.number_key is not None and document.valid_from_day is None:
                raise BadInput("An issue must say when the document's validity starts.", where="/document/valid_from")
            if await died(write, fresh):
                raise TransitionRefused(
                    "The holder is recorded as dead, so nothing is issued.",
                    rule=3,
                    mend="Make sure that this is the right person.",
                )
            elders = [await self._known(write, act, elder) for elder in replaces]
            row = await documents.find(write.db, document, self._documents[act.realm], act.realm_code)
            row = await self._merged(write, act, row or await documents.add(write, fresh))
            after = replace(
                step(row, Event.issue),
                person_key=fresh.person_key or row.person_key,
                valid_until_day=fresh.valid_until_day or row.valid_until_day,
            )
            if fresh.number_key is not None:
                day = fresh.valid_from_day or 0
                siblings = [
                    sibling
                    for sibling in await documents.by_number(write.db, act.realm_code, fresh.number_key)
                    if sibling.id != row.id
                ]
                elders += [sibling for sibling in siblings if (sibling.valid_from_day or 0) < day]
                younger = [
                    sibling
                    for sibling in siblings
                    if (sibling.valid_from_day or 0) > day and sibling.standing & State.current.bit
                ]
                if younger:  # an issue that is told late: its successor is known already
                    after = replace(step(after, Event.supersede), replaced_by=younger[0].id)
            position = await record(write, act, row, after, Event.issue, happened_at_us=happened_at_us, evidence=evidence)
            touched = 0
            for elder in {elder.id: elder for elder in elders if elder.id != row.id and elder.replaced_by is None}.values():
                old = await self._merged(write, act, elder)
                new = replace(step(old, Event.supersede), replaced_by=row.id)
                position = await record(write, act, old, new, Event.supersede, happened_at_us=happened_at_us, evidence=evidence)
                touched += 1
            return Recorded(position=position, state=state_word(after), documents=1 + touched)

        return await self._write(act, happened_at_us, evidence, body)

    async def replace(
        self,
        act: Act,
        old: Document | Known,
        new: Document,
        *,
        happened_at_us: int,
        person_number: str | None = None,
        evidence: str = "",
    ) -> Recorded:
        """Record that a new document was issued in place of an old one; one transaction."""
        return await self.issue(
            act, new, happened_at_us=happened_at_us, person_number=person_number, replaces=(old,), evidence=evidence
        )

    async def change(
        self,
        act: Act,
        document: Document | Known,
        event: Event,
        *,
        happened_at_us: int,
        proof: Proof | None = None,
        evidence: str = "",
        also: Also | None = None,
    ) -> Recorded:
        """Record another event of one document's life: one of `CHANGES`.

        Raises:
            TransitionRefused: a rule forbids it; it is named.
            BadInput: the event has a method of its own.
            NotFound: the document is not known, and the event does not list it.
        """
        if event not in CHANGES:
            raise BadInput(
                "This event is recorded in another way.",
                where="/event",
                mend=f"Use one of {', '.join(sorted(change.value for change in CHANGES))}.",
            )

        async def body(write: Write) -> Recorded:
            row = await self._meant(write, act, document, new_ok=event in LISTING, blank=event is Event.blank_stolen)
            after = step(row, event, proof=proof)
            if event in (Event.dispute_open, Event.dispute_close):
                after = replace(after, disputed=event is Event.dispute_open)
            if event is Event.surrender:  # a finder had it
                after = replace(after, custody_broken=True)
            position = await record(
                write, act, row, after, event, proof=proof, happened_at_us=happened_at_us, evidence=evidence
            )
            if event in (Event.owner_lock, Event.owner_unlock):
                await write.run("DELETE FROM unlock WHERE document_id = %s", row.id)
            if event is Event.revoke_error:  # a replacement issued in error is none
                await write.run("UPDATE document SET replaced_by = NULL WHERE replaced_by = %s", row.id)
            named = await also(write, after, position) if also else ""
            return Recorded(position=position, state=state_word(after), id=named, changed=after != row)

        return await self._write(act, happened_at_us, evidence, body)

    async def unlock_for(
        self,
        act: Act,
        document: Document | Known,
        purpose: Purpose,
        until_us: int,
        *,
        proof: Proof | None = None,
        evidence: str = "",
    ) -> Recorded:
        """Open the owner's lock for one purpose until a time; other purposes stay locked.

        Args:
            until_us: within the next 24 hours.
        """
        now = self._now_us()
        if not now < until_us <= now + UNLOCK_MAX_US:
            raise BadInput("A timed unlock ends within the next 24 hours.", where="/until")

        until_us = -(-until_us // MINUTE_US) * MINUTE_US  # the table knows full minutes

        async def body(write: Write) -> Recorded:
            row = await self._known(write, act, document)
            step(row, Event.owner_unlock, proof=proof)  # the same rule says who may open the lock
            position = await record(
                write,
                act,
                row,
                row,
                Event.owner_unlock,
                kind=EntryKind.unlock,
                proof=proof,
                happened_at_us=write.recorded_at_us,
                evidence=evidence,
                body=UnlockBody(purpose, until_us).encode(),
            )
            await write.run(
                "INSERT INTO unlock (document_id, purpose, until_us, position) VALUES (%s, %s, %s, %s) "
                "ON CONFLICT (document_id, purpose) DO UPDATE SET until_us = excluded.until_us, "
                "position = excluded.position",
                row.id,
                purpose.octet,
                until_us,
                position,
            )
            return Recorded(position=position, state=state_word(row), changed=False)

        return await self._write(act, None, evidence, body)

    async def death(self, act: Act, person_number: str, *, happened_at_us: int, evidence: str = "") -> Recorded:
        """Record a holder's death: all documents of the person, of all schemes, are cancelled in one transaction.

        Raises:
            NotFound: the register knows no document of this person.
        """

        async def body(write: Write) -> Recorded:
            person_key = self._documents[act.realm].blind(person_block(person_number))
            position, count = await self.fan_out(
                write, act, person_key, Event.cancel_death, happened_at_us=happened_at_us, evidence=evidence
            )
            if not count:
                raise NotFound("No document of this person is known.", where="/personal_number")
            return Recorded(position=position, state=State.cancelled.name, documents=count)

        return await self._write(act, happened_at_us, evidence, body)

    async def fan_out(
        self, write: Write, act: Act, person_key: bytes, event: Event, *, happened_at_us: int, evidence: str = ""
    ) -> tuple[int, int]:
        """Record a fact about a person on all the person's documents, inside a write (rule 3).

        Args:
            event: cancel_death, cancel_nationality or cancel_data.
        Returns:
            Position of the last entry, and how many documents there are.
        """
        rows = await documents.by_person(write.db, act.realm_code, person_key)
        position = write.position
        for row in rows:
            merged = await self._merged(write, act, row)
            after = step(merged, event)
            position = await record(write, act, merged, after, event, happened_at_us=happened_at_us, evidence=evidence)
        if event is Event.cancel_death:
            await write.run(
                "INSERT INTO person (realm, person_key, died_at_us, position) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
                act.realm_code,
                person_key,
                happened_at_us,
                position,
            )
        return position, len(rows)


async def forget_unlocks(connections: Connections, now_us: int) -> int:
    """Forget unlocks whose time is over; return how many."""
    async with reading(connections) as db:
        return (await db.execute("DELETE FROM unlock WHERE until_us < %s", (now_us,))).rowcount
