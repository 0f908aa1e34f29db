"""Persons one by one: enter, look up, change, take a change back, erase; civil events and what follows for documents.

Every write is one transaction with its log entry, like those of the register of documents (`registry.register`), and returns
when the check path answers accordingly. Every look-up of details is entered in the log before it is answered.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, Final

import msgspec

from annul.errors import Conflict, NotFound, TransitionRefused
from annul.records.document import Document, person_block
from annul.records.entry import NO_DETAIL, Entry, EntryKind
from annul.records.names import check_name, same
from annul.records.person import CivilEvent, Contact, Name, Person, PersonBody, check_person
from annul.records.status import Event, Proof, contact_change_allowed
from annul.registry.people import rows
from annul.registry.people.rows import PersonRow, row_of
from annul.registry.people.vault import Vault, digest
from annul.registry.people.views import CivilLine, PendingDeath, PersonRecorded, PersonView
from annul.registry.writing import documents
from annul.registry.writing.act import Act, require_case
from annul.registry.writing.ground import Ground
from annul.registry.writing.references import erase
from annul.registry.writing.register import Register
from annul.registry.writing.store import Connection, Write, reading, writing
from annul.times import DAY_US, rfc3339

DEATH_DELAY_US: Final = 14 * DAY_US
"""Default time between the report of a death and the cancellation of documents: time for a wrong report to be noticed."""
CARRIED_OUT_BATCH: Final = 100

_NOTHING: Final = bytes(32)


class People:
    """Write to the register of persons and read from it.

    Args:
        ground: what every part stands on.
        register: documents, for what a fact about a person means for them.
        vault: persons' keys.
        death_delay_us: time between the report of a death and its consequences.
    """

    def __init__(self, ground: Ground, register: Register, vault: Vault, *, death_delay_us: int = DEATH_DELAY_US) -> None:
        self._connections, self._keys, self._now_us = ground.connections, ground.keys, ground.now_us
        self._documents, self._pen = ground.documents, ground.pen
        self._register, self._vault, self._death_delay_us = register, vault, death_delay_us

    # Enter and look up -------------------------------------------------------------------------------------------

    async def add(
        self,
        act: Act,
        person: Person,
        *,
        happened_at_us: int,
        event: CivilEvent = CivilEvent.birth,
        evidence: str = "",
    ) -> PersonRecorded:
        """Enter a person: a birth, an immigration, or one that was missing.

        Raises:
            BadInput: the person cannot be entered; the cause is named.
            Conflict: the personal number is in the register.
        """
        check_person(person)

        async def body(write: Write) -> PersonRecorded:
            person_id = await rows.new_id(write.db)
            row = row_of(person, person_id, act.realm_code, self._documents[act.realm], self._vault)
            if await rows.by_key(write.db, act.realm_code, row.person_key):
                raise Conflict("The personal number is in the register.", where="/person/personal_number")
            position = write.append(self.entry(write, act, event, person_id, happened_at_us, evidence, after=row.ciphertext))
            await rows.insert(write, replace(row, position=position))
            await rows.note(write, act, person_id, event, happened_at_us, evidence, position)
            return PersonRecorded(person=person_id, position=position)

        return await self.write(act, happened_at_us, evidence, body)

    async def find(self, act: Act, number: str, *, case: str) -> list[PersonView]:
        """Return the persons who have a personal number (there should be one); the look-up is entered in the log first.

        Args:
            case: reference of the case this look-up belongs to.

        Raises:
            NotFound: there is none.
        """
        key = self._key(act, number)
        await self.account(act, key, case)
        async with reading(self._connections) as db:
            found = await rows.by_key(db, act.realm_code, key)
        if not found:
            raise NotFound("There is no such person.", where="/personal_number")
        return [self._view(row) for row in found]

    async def view(self, act: Act, person_id: int, *, case: str) -> PersonView:
        """Return a person by the record's id; the look-up is entered in the log first."""
        async with reading(self._connections) as db:
            row = await rows.by_id(db, act.realm_code, person_id)
        await self.account(act, row.person_key, case)
        return self._view(row)

    async def past(self, act: Act, person_id: int) -> list[CivilLine]:
        """Return what happened to a record, oldest first; no details."""
        async with reading(self._connections) as db:
            await rows.by_id(db, act.realm_code, person_id)
            found = await db.execute(
                "SELECT position, event, happened_at_us, recorded_at_us, author, evidence FROM civil_event "
                "WHERE person_id = %s ORDER BY position",
                (person_id,),
            )
            lines = await found.fetchall()
        return [
            CivilLine(
                position=position,
                event=CivilEvent.of_octet(event).value,
                happened_at_us=happened,
                recorded_at_us=recorded,
                author=author,
                evidence=evidence,
            )
            for position, event, happened, recorded, author, evidence in lines
        ]

    # Changes -----------------------------------------------------------------------------------------------------

    async def change(
        self,
        act: Act,
        person_id: int,
        edit: Callable[[Person], Person],
        event: CivilEvent,
        *,
        happened_at_us: int,
        evidence: str = "",
        proof: Proof = Proof.in_person,
        consequence: Event | None = None,
    ) -> PersonRecorded:
        """Change a person's record; what it was stays as a version.

        Args:
            edit: from what the record says to what it shall say; called inside the transaction.
            proof: on what proof; decides whether contacts may change while a document is suspended (rule 9).
            consequence: a fact that holds for all the person's documents from now on (rule 3).

        Raises:
            NotFound: there is no such person.
            BadInput: the changed person cannot be entered.
            TransitionRefused: contacts are frozen (rule 9).
        """

        async def body(write: Write) -> PersonRecorded:
            row = await rows.by_id(write.db, act.realm_code, person_id)
            return await self.changed(
                write,
                act,
                row,
                edit,
                event,
                happened_at_us=happened_at_us,
                evidence=evidence,
                proof=proof,
                consequence=consequence,
            )

        return await self.write(act, happened_at_us, evidence, body)

    async def rename(
        self,
        act: Act,
        number: str,
        name: str,
        *,
        happened_at_us: int,
        latin: str = "",
        event: CivilEvent = CivilEvent.name_change,
        cancel_documents: bool = False,
        evidence: str = "",
    ) -> PersonRecorded:
        """Record a change of name (also by marriage); the names so far become former names, which still match.

        Args:
            cancel_documents: documents that show the former name no longer count (data changed); otherwise they do until
                they are replaced.
        """
        check_name(name, "/name")
        if latin:
            check_name(latin, "/latin_name")

        def edit(person: Person) -> Person:
            kept = [Name(old.text, "former") for old in person.names if not same(old.text, name)]
            names = [Name(name), *([Name(latin, "latin")] if latin else []), *kept]
            return msgspec.structs.replace(person, names=list(dict.fromkeys(names))[:20])

        return await self._of_number(
            act,
            number,
            edit,
            event,
            happened_at_us=happened_at_us,
            evidence=evidence,
            consequence=Event.cancel_data if cancel_documents else None,
        )

    async def emigrate(
        self, act: Act, number: str, *, happened_at_us: int, loss_of_nationality: bool = False, evidence: str = ""
    ) -> PersonRecorded:
        """Record an emigration; with the loss of nationality all documents are cancelled."""
        return await self._of_number(
            act,
            number,
            lambda person: msgspec.structs.replace(person, status="emigrated"),
            CivilEvent.emigration,
            happened_at_us=happened_at_us,
            evidence=evidence,
            consequence=Event.cancel_nationality if loss_of_nationality else None,
        )

    async def correct_number(
        self, act: Act, number: str, corrected: str, *, happened_at_us: int, evidence: str = ""
    ) -> PersonRecorded:
        """Record that a personal number was wrong: the documents that bear it no longer count (data changed).

        Raises:
            Conflict: the corrected number is another person's.
        """

        async def body(write: Write) -> PersonRecorded:
            if await rows.by_key(write.db, act.realm_code, self._key(act, corrected)):
                raise Conflict("The corrected number is in the register.", where="/corrected_number")
            row = await self.one_of(write.db, act, number)
            return await self.changed(
                write,
                act,
                row,
                lambda person: msgspec.structs.replace(person, personal_number=corrected),
                CivilEvent.number_correction,
                happened_at_us=happened_at_us,
                evidence=evidence,
                consequence=Event.cancel_data,
            )

        return await self.write(act, happened_at_us, evidence, body)

    async def set_contacts(
        self, act: Act, number: str, contacts: Sequence[Contact], *, proof: Proof, happened_at_us: int, evidence: str = ""
    ) -> PersonRecorded:
        """Set how a person is told of things; refused remotely while a document of the person is suspended (rule 9)."""
        return await self._of_number(
            act,
            number,
            lambda person: msgspec.structs.replace(person, contacts=list(contacts)),
            CivilEvent.contact,
            happened_at_us=happened_at_us,
            evidence=evidence,
            proof=proof,
        )

    async def revert(self, act: Act, person_id: int, position: int, *, happened_at_us: int, evidence: str) -> PersonRecorded:
        """Take a change back: the record says again what it said before the entry at `position`. Documents stay as they are.

        Raises:
            NotFound: no entry at this position changed the record.
        """

        async def body(write: Write) -> PersonRecorded:
            row = await rows.by_id(write.db, act.realm_code, person_id)
            found = await write.one(
                "SELECT ciphertext FROM person_version WHERE person_id = %s AND position = %s", person_id, position
            )
            if found is None:
                raise NotFound("No entry at this position changed the record.", where="/position")
            earlier = rows.open_version(row, bytes(found[0]), self._vault)
            return await self.changed(
                write, act, row, lambda _: earlier, CivilEvent.revert, happened_at_us=happened_at_us, evidence=evidence
            )

        return await self.write(act, happened_at_us, evidence, body)

    async def erase(self, act: Act, person_id: int, *, evidence: str) -> PersonRecorded:
        """Destroy the person's key, so all versions, portraits, templates; erase her references; the log still verifies."""

        async def body(write: Write) -> PersonRecorded:
            row = await rows.by_id(write.db, act.realm_code, person_id)
            now = write.recorded_at_us
            position = write.append(self.entry(write, act, CivilEvent.erased, person_id, now, evidence, before=row.ciphertext))
            await write.run(
                "UPDATE person_record SET wrapped_key = NULL, ciphertext = '', photo = false, position = %s WHERE id = %s",
                position,
                person_id,
            )
            await write.run("UPDATE person_version SET ciphertext = '' WHERE person_id = %s", person_id)
            await write.run("DELETE FROM face_vector WHERE person_id = %s", person_id)
            told = await write.all("SELECT position FROM civil_event WHERE person_id = %s", person_id)
            await erase(write, [place for (place,) in told])
            await write.run(
                "UPDATE enrolment SET ciphertext = NULL, ended_at_us = coalesce(ended_at_us, %s), "
                "ended = coalesce(ended, 'erased') WHERE person_id = %s",
                now,
                person_id,
            )
            await rows.note(write, act, person_id, CivilEvent.erased, now, evidence, position)
            return PersonRecorded(person=person_id, position=position)

        return await self.write(act, None, evidence, body)

    # Deaths ------------------------------------------------------------------------------------------------------

    async def report_death(
        self, act: Act, number: str, name: str, birth_date: str, *, happened_at_us: int, evidence: str = ""
    ) -> PersonRecorded:
        """Record that a person is said to have died; when the delay is over without an appeal, documents are cancelled.

        Raises:
            Conflict: number, name and birth date do not point to exactly one living person, or a death waits already. What
                did not fit is not told.
        """

        async def body(write: Write) -> PersonRecorded:
            found = []
            for row in await rows.by_key(write.db, act.realm_code, self._key(act, number)):
                person = rows.open_row(row, self._vault)
                fits = person.birth_date == birth_date and any(same(known.text, name) for known in person.names)
                if fits and birth_date and person.status != "deceased":
                    found.append(row)
            if len(found) != 1:
                raise Conflict(
                    "Number, name and birth date do not point to one living person.",
                    where="/",
                    mend="Compare all three with the record of the death; nothing was recorded.",
                )
            row = found[0]
            if await write.one("SELECT 1 FROM pending_death WHERE person_id = %s AND state = 'pending'", row.id):
                raise Conflict("A death of this person was reported already and waits.")
            death_id = "d_" + secrets.token_hex(12)
            due_at_us = write.now_us + self._death_delay_us
            position = write.append(
                self.entry(
                    write,
                    act,
                    CivilEvent.death_reported,
                    row.id,
                    happened_at_us,
                    evidence,
                    before=row.ciphertext,
                    after=row.ciphertext,
                )
            )
            await write.run(
                "INSERT INTO pending_death (id, realm, person_id, happened_at_us, reported_at_us, due_at_us, author, evidence, "
                "state) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, 'pending')",
                death_id,
                act.realm_code,
                row.id,
                happened_at_us,
                write.recorded_at_us,
                due_at_us,
                act.author,
                evidence,
            )
            await rows.note(write, act, row.id, CivilEvent.death_reported, happened_at_us, evidence, position)
            return PersonRecorded(person=row.id, position=position, death=death_id, due_at_us=due_at_us)

        return await self.write(act, happened_at_us, evidence, body)

    async def appeal_death(self, act: Act, death_id: str, *, grounds: str) -> PersonRecorded:
        """Stop a reported death: somebody objects, usually the person. It has no consequences unless it is reported anew.

        Raises:
            Conflict: it does not wait any more.
        """

        async def body(write: Write) -> PersonRecorded:
            found = await write.one(
                "UPDATE pending_death SET state = 'appealed', decided_by = %s, decided_at_us = %s, grounds = %s "
                "WHERE id = %s AND realm = %s AND state = 'pending' RETURNING person_id",
                act.author,
                write.recorded_at_us,
                grounds,
                death_id,
                act.realm_code,
            )
            if found is None:
                death = await self._death(write.db, act, death_id)
                raise Conflict(
                    f"This report of a death does not wait any more: it was {death.state}.",
                    mend="A cancelled document is never revived: correct the listing of each, and revert the record.",
                )
            now = write.recorded_at_us
            row = await rows.by_id(write.db, act.realm_code, found[0])
            position = write.append(
                self.entry(
                    write, act, CivilEvent.death_appealed, row.id, now, grounds, before=row.ciphertext, after=row.ciphertext
                )
            )
            await rows.note(write, act, row.id, CivilEvent.death_appealed, now, grounds, position)
            return PersonRecorded(person=row.id, position=position, death=death_id)

        return await self.write(act, None, grounds, body)

    async def death(self, act: Act, death_id: str) -> PendingDeath:
        """Return a reported death; NotFound when there is none in this realm."""
        async with reading(self._connections) as db:
            return await self._death(db, act, death_id)

    async def carry_out_due(self) -> int:
        """Carry out the deaths whose time has come; return how many. The follower calls this."""
        async with reading(self._connections) as db:
            due = await (
                await db.execute(
                    "SELECT id, realm FROM pending_death WHERE state = 'pending' AND due_at_us <= %s "
                    "ORDER BY due_at_us LIMIT %s",
                    (self._now_us(), CARRIED_OUT_BATCH),
                )
            ).fetchall()
        count = 0
        for death_id, realm in due:
            act = Act("annul", "test" if realm else "live")
            count += await self._carry_out(act, death_id)
        return count

    async def _carry_out(self, act: Act, death_id: str) -> bool:
        async with writing(self._connections, self._now_us()) as write:
            self._keys.require_epoch(write.key_epoch)
            found = await write.one(
                "UPDATE pending_death SET state = 'carried_out', decided_by = %s, decided_at_us = %s "
                "WHERE id = %s AND state = 'pending' RETURNING person_id, happened_at_us",
                act.author,
                write.recorded_at_us,
                death_id,
            )
            if found is None:
                return False
            row = await rows.by_id(write.db, act.realm_code, found[0])
            died = rfc3339(found[1])[:10]
            await self.changed(
                write,
                act,
                row,
                lambda person: msgspec.structs.replace(person, status="deceased", death_date=died),
                CivilEvent.death,
                happened_at_us=found[1],
                evidence=f"death {death_id}",
                consequence=Event.cancel_death,
            )
            return True

    async def _death(self, db: Connection, act: Act, death_id: str) -> PendingDeath:
        row = await (
            await db.execute(
                "SELECT id, person_id, state, happened_at_us, reported_at_us, due_at_us, author, evidence, decided_by, grounds "
                "FROM pending_death WHERE id = %s AND realm = %s",
                (death_id, act.realm_code),
            )
        ).fetchone()
        if row is None:
            raise NotFound("There is no such report of a death.")
        return PendingDeath(**dict(zip(PendingDeath.__struct_fields__, row, strict=True)))

    # Inner parts, also used by enrolment ---------------------------------------------------------------------------

    async def write(
        self, act: Act, happened_at_us: int | None, evidence: str, body: Callable[[Write], Awaitable[PersonRecorded]]
    ) -> PersonRecorded:
        """Run one write: idempotent, in one transaction, and wait until the check path has it."""
        return await self._pen.write(act, PersonRecorded, body, happened_at_us=happened_at_us, evidence=evidence)

    async def one_of(self, db: Connection, act: Act, number: str) -> PersonRow:
        """Return the one record of a personal number.

        Raises:
            NotFound: there is none.
            Conflict: several persons have it; the clean-up has to tell them apart first.
        """
        found = await rows.by_key(db, act.realm_code, self._key(act, number))
        if not found:
            raise NotFound("There is no such person.", where="/personal_number")
        if len(found) > 1:
            raise Conflict(
                "Several persons have this number.",
                where="/personal_number",
                mend="Let the clean-up decide which of them it belongs to.",
            )
        return found[0]

    async def _of_number(
        self, act: Act, number: str, edit: Callable[[Person], Person], event: CivilEvent, *, happened_at_us: int, **more: Any
    ) -> PersonRecorded:
        async def body(write: Write) -> PersonRecorded:
            row = await self.one_of(write.db, act, number)
            return await self.changed(write, act, row, edit, event, happened_at_us=happened_at_us, **more)

        return await self.write(act, happened_at_us, more.get("evidence", ""), body)

    async def changed(
        self,
        write: Write,
        act: Act,
        row: PersonRow,
        edit: Callable[[Person], Person],
        event: CivilEvent,
        *,
        happened_at_us: int,
        evidence: str = "",
        proof: Proof = Proof.in_person,
        consequence: Event | None = None,
    ) -> PersonRecorded:
        """Change a record inside a write; see `change`."""
        before = rows.open_row(row, self._vault)
        after = edit(before)
        if after.contacts != before.contacts:
            await self._require_contacts(write.db, act, row, proof)
        keys = self._documents[act.realm]
        new = row_of(after, row.id, row.realm, keys, self._vault, wrapped=row.wrapped_key)
        position = write.append(
            self.entry(
                write, act, event, row.id, happened_at_us, evidence, before=row.ciphertext, after=new.ciphertext, proof=proof
            )
        )
        await rows.move(write, row, replace(new, photo=row.photo, position=position))
        await rows.note(write, act, row.id, event, happened_at_us, evidence, position)
        count = 0
        if consequence is not None:
            position, count = await self._register.fan_out(
                write, act, row.person_key, consequence, happened_at_us=happened_at_us, evidence=evidence
            )
        return PersonRecorded(person=row.id, position=position, documents=count)

    async def _require_contacts(self, db: Connection, act: Act, row: PersonRow, proof: Proof) -> None:
        for document in await documents.by_person(db, act.realm_code, row.person_key):
            if not contact_change_allowed(document.standing, proof):
                raise TransitionRefused(
                    "Contacts cannot be changed remotely while a document of the person is suspended.",
                    rule=9,
                    where="/contacts",
                    mend="Change them in person, or wait until the report is confirmed or lapses.",
                )

    def entry(
        self,
        write: Write,
        act: Act,
        event: CivilEvent,
        person_id: int,
        happened_at_us: int,
        evidence: str,
        *,
        before: bytes = b"",
        after: bytes = b"",
        proof: Proof | None = None,
    ) -> Entry:
        """Return the entry of an event: `before` and `after` are the sealed records, empty where there is none."""
        hash_after = digest(after) if after else NO_DETAIL
        return Entry(
            kind=EntryKind.person,
            realm=act.code,
            recorded_at_us=write.recorded_at_us,
            happened_at_us=happened_at_us,
            author=act.author,
            proof=proof,
            evidence=evidence,
            key_epoch=write.key_epoch,
            detail_hash=hash_after,
            body=PersonBody(event, person_id, digest(before) if before else _NOTHING, hash_after).encode(),
        )

    async def account(self, act: Act, person_key: bytes, case: str) -> int:
        """Enter a look-up into the log before it is answered: who, about which person, for which case; at which position."""
        require_case(case)
        async with writing(self._connections, self._now_us()) as write:
            self._keys.require_epoch(write.key_epoch)
            return write.note(act.author, case, b"a person was looked up", realm=act.code, number_key=person_key)

    def _view(self, row: PersonRow) -> PersonView:
        person = rows.open_row(row, self._vault)
        return PersonView(id=row.id, person=person, photo=row.photo, imported=row.import_id is not None, position=row.position)

    async def key_of(self, db: Connection, act: Act, document: Document) -> bytes | None:
        """Return the key of a document's holder: by its number where that is the personal number, else as issued."""
        if document.bears_personal_number:
            return self._key(act, document.number)
        row = await documents.find(db, document, self._documents[act.realm], act.realm_code)
        return None if row is None else row.person_key

    def _key(self, act: Act, number: str) -> bytes:
        return self._documents[act.realm].blind(person_block(number))
