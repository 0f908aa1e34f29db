"""The register: every change to a document's life, each in one transaction with its log entry.

    register = Register(pool, keys, listings, now_us, home=home)
    recorded = await register.report(Act("police-1"), document, "lost", happened_at_us=t, proof=Proof.in_person)
    recorded.position, recorded.state, recorded.id

A write returns when the listings table answers accordingly; see docs/life-of-a-report.md. What must never happen here: a
state without its entry, an entry without its state, a terminal document that revives, a number in a row.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, Literal

import msgspec

from annul.errors import BadInput, Conflict, NotFound, TransitionRefused
from annul.records.codes import Purpose
from annul.records.document import Document, DocumentKeys, block, number_block, person_block
from annul.records.entry import EVIDENCE_MAX, NO_DETAIL, Entry, EntryKind, UnlockBody
from annul.records.status import Event, Proof, State, state_of
from annul.registry import documents, personal, reports
from annul.registry import history as past
from annul.registry.act import Act, remember, replay
from annul.registry.documents import Row, new_row, record
from annul.registry.effect import ACKNOWLEDGE_S, Effect, Effective
from annul.registry.history import ReportView
from annul.registry.keys import Keys
from annul.registry.personal import Reporter
from annul.registry.segments import Listed, Segments
from annul.registry.slots import MINUTE_US
from annul.registry.steps import CHANGES, LISTING, is_strong, reported, step, takes_no_more
from annul.registry.store import REALM_CODES, Connections, Write, reading, writing

PROVISIONAL_US: Final = 72 * 3600 * 1_000_000
"""Default life of a provisional report. Source: domain, section 3, rule 5."""

HAPPENED_AHEAD_MAX_US: Final = 5 * 60 * 1_000_000
"""How far ahead of our clock a reporter's clock may be."""

UNLOCK_MAX_US: Final = 24 * 3600 * 1_000_000
"""Longest timed unlock: who needs longer unlocks and locks again."""

LAPSE_BATCH: Final = 200

ReportKind = Literal["lost", "stolen", "found"]
_FACTS: Final = {Event.report_lost: State.reported_lost, Event.report_stolen: State.reported_stolen}
_REPORTS: Final = {"lost": Event.report_lost, "stolen": Event.report_stolen, "found": Event.report_found}


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """Say what was recorded.

    Args:
        position: position of the (last) entry in the register log.
        state: the document's state afterwards; for a death, the state its documents were brought to.
        id: id of the report, empty for other writes.
        changed: False when the entry was recorded without changing the state (a second report on a dead document).
        documents: how many documents were touched.
        lapses_at_us: when a provisional report lapses by itself.
        effective_after_us: microseconds from the commit until the table answered accordingly; 0 when not waited for.
        replayed: this is the stored answer of an earlier request with the same Idempotency-Key.
    """

    position: int
    state: str
    id: str = ""
    changed: bool = True
    documents: int = 1
    lapses_at_us: int | None = None
    effective_after_us: int = 0
    replayed: bool = False


class Register:
    """Write to the register and ask about its history.

    Args:
        connections: pool of the register's database.
        keys: the key file.
        listings: the table to wait for; None does not wait (offline tools, loading).
        now_us: clock, microseconds since the epoch.
        home: data folder, for bulk segments and the follower's socket.
        provisional_us: life of a provisional report.
        acknowledge_s: longest wait for the table.
    """

    def __init__(
        self,
        connections: Connections,
        keys: Keys,
        listings: Effective | None,
        now_us: Callable[[], int],
        *,
        home: Path,
        provisional_us: int = PROVISIONAL_US,
        acknowledge_s: float = ACKNOWLEDGE_S,
    ) -> None:
        self._connections = connections
        self._keys = keys
        self._now_us = now_us
        self._provisional_us = provisional_us
        self._segments = Segments(home)
        self._documents: dict[str, DocumentKeys] = {realm: keys.documents(realm) for realm in REALM_CODES}
        self._effect = Effect(home, listings, acknowledge_s)

    # Reports -----------------------------------------------------------------------------------------------------

    async def report(
        self,
        act: Act,
        document: Document,
        kind: ReportKind,
        *,
        happened_at_us: int,
        proof: Proof,
        evidence: str = "",
        reporter: Reporter | None = None,
        by_holder: bool = False,
    ) -> Recorded:
        """Record that a document was lost, stolen or found.

        Weak proof (phone, online) suspends until confirmed or lapsed. A report that adds nothing, because the document is
        dead already, is recorded and changes nothing.

        Args:
            by_holder: with `found`: its holder has the document again (that is `lift`, rule 6). Otherwise a finder hands it
                in (rule 7): it is held, or destroyed when it was replaced; from then on others have had it.

        Raises:
            AmbiguousDocument: several documents have this number.
            NotFound: the issuer provides whole lives and has not issued this document.
            TransitionRefused: a found document may not be lifted; the rule is named.
        """
        if kind == "found" and by_holder:
            return await self.lift(act, document, happened_at_us=happened_at_us, proof=proof, evidence=evidence)
        event = _REPORTS.get(kind)
        if event is None:
            raise BadInput("the kind of a report is lost, stolen or found", where="/kind")

        async def body(write: Write) -> Recorded:
            row = await self._meant(write, act, document)
            dead = takes_no_more(row)
            after = row if dead else reported(row, event, proof)
            provisional = not dead and not is_strong(event, proof) and bool(after.standing & State.suspended.bit)
            in_force = not dead and is_strong(event, proof)
            state = "provisional" if provisional else "in_force" if in_force else "recorded"
            report_id = "r_" + secrets.token_hex(12)
            sealed = await reports.seal(write, reporter, report_id, self._keys.envelope)
            position = await record(
                write,
                act,
                row,
                after,
                event,
                proof=proof,
                happened_at_us=happened_at_us,
                evidence=evidence,
                detail_hash=sealed or NO_DETAIL,
            )
            if in_force:
                await reports.settle(write, "recorded", [row.id])
            lapses_at_us = write.recorded_at_us + self._provisional_us if provisional else None
            await reports.add(
                write,
                row,
                ReportView(
                    report_id, event.value, proof.value, act.author, evidence, happened_at_us, write.recorded_at_us, position,
                    state, lapses_at_us, sealed is not None,
                ),
            )  # fmt: skip
            return Recorded(
                position=position,
                state=_word(after),
                id=report_id,
                changed=after.standing != row.standing,
                lapses_at_us=lapses_at_us,
            )

        return await self._write(act, happened_at_us, evidence, body)

    async def confirm(
        self, act: Act, report_id: str, *, proof: Proof, happened_at_us: int | None = None, evidence: str = ""
    ) -> Recorded:
        """Turn a provisional report into a full one on strong proof."""

        async def body(write: Write) -> Recorded:
            row, event, happened = await reports.provisional(write, act, report_id)
            if event is Event.report_found:
                if not is_strong(event, proof):
                    raise TransitionRefused(
                        "the proof is too weak to confirm that a found document is held",
                        rule=5,
                        mend="Confirm it when the document was handed in.",
                    )
                after = reported(row, event, proof)
            else:
                after = step(row, Event.confirm, proof=proof, fact=_FACTS[event])
            position = await record(
                write,
                act,
                row,
                after,
                Event.confirm,
                proof=proof,
                happened_at_us=happened if happened_at_us is None else happened_at_us,
                evidence=evidence,
            )
            await write.run("UPDATE report SET state = 'in_force', lapses_at_us = NULL WHERE id = %s", report_id)
            await reports.settle(write, "recorded", [row.id])
            return Recorded(position=position, state=_word(after), id=report_id)

        return await self._write(act, happened_at_us, evidence, body)

    async def withdraw(self, act: Act, report_id: str, *, proof: Proof, evidence: str = "") -> Recorded:
        """Undo a provisional report in one step; other provisional reports on the document stay in force."""
        return await self._end_provisional(act, report_id, Event.withdraw, "withdrawn", proof=proof, evidence=evidence)

    async def lapse_due(self) -> int:
        """Let provisional reports lapse whose time is over; return how many did. The follower calls this."""
        count = 0
        while True:
            async with reading(self._connections) as db:
                due = await (
                    await db.execute(
                        "SELECT id, realm FROM report WHERE state = 'provisional' AND lapses_at_us <= %s "
                        "ORDER BY lapses_at_us LIMIT %s",
                        (self._now_us(), LAPSE_BATCH),
                    )
                ).fetchall()
            lapsed = 0
            for report_id, realm in due:
                with contextlib.suppress(Conflict, NotFound):  # confirmed or withdrawn meanwhile
                    await self._end_provisional(Act("annul", "test" if realm else "live"), report_id, Event.lapse, "lapsed")
                    lapsed += 1
            count += lapsed
            if len(due) < LAPSE_BATCH or not lapsed:
                return count

    async def _end_provisional(
        self, act: Act, report_id: str, event: Event, state: str, *, proof: Proof | None = None, evidence: str = ""
    ) -> Recorded:
        async def body(write: Write) -> Recorded:
            row, _, _ = await reports.provisional(write, act, report_id)
            others = await write.one(
                "SELECT 1 FROM report WHERE document_id = %s AND state = 'provisional' AND id <> %s LIMIT 1", row.id, report_id
            )
            after = step(row, event, proof=proof)
            if others:
                after = row
            position = await record(
                write, act, row, after, event, proof=proof, happened_at_us=write.recorded_at_us, evidence=evidence
            )
            await write.run("UPDATE report SET state = %s, lapses_at_us = NULL WHERE id = %s", state, report_id)
            return Recorded(position=position, state=_word(after), id=report_id, changed=after != row)

        return await self._write(act, None, evidence, body)

    async def lift(
        self,
        act: Act,
        document: Document,
        *,
        happened_at_us: int,
        proof: Proof,
        evidence: str = "",
        custody_broken: bool = False,
    ) -> Recorded:
        """Lift a report: the holder has the document again.

        Args:
            custody_broken: the holder says that others had it.

        Raises:
            TransitionRefused: weak proof, custody was broken, a replacement exists, or the document is dead (rule 6).
        """

        async def body(write: Write) -> Recorded:
            row = await self._known(write, act, document)
            return await _lift(write, act, row, happened_at_us, proof, evidence, custody_broken)

        return await self._write(act, happened_at_us, evidence, body)

    async def lift_report(
        self, act: Act, report_id: str, *, happened_at_us: int, proof: Proof, evidence: str = "", custody_broken: bool = False
    ) -> Recorded:
        """Lift the report with this id, and with it all reports on its document; see `lift`.

        Raises:
            NotFound: there is no such report in this realm.
            Conflict: it is over already.
        """

        async def body(write: Write) -> Recorded:
            view, document_id = await past.report(write.db, report_id, act.realm_code)
            if view.state not in ("provisional", "in_force"):
                raise Conflict(f"the report is not in force: it is {view.state}")
            row = await self._merged(write, act, await documents.by_id(write.db, document_id))
            return await _lift(write, act, row, happened_at_us, proof, evidence, custody_broken, report_id)

        return await self._write(act, happened_at_us, evidence, body)

    async def correct(
        self,
        act: Act,
        document: Document,
        fact: State,
        *,
        happened_at_us: int,
        proof: Proof = Proof.in_person,
        second_officer: str = "",
        evidence: str = "",
    ) -> Recorded:
        """State that a listing was never true: take away exactly the one fact it had brought.

        Args:
            fact: the fact that was wrong.
            second_officer: id of the officer who agrees; needed for terminal facts.

        Raises:
            TransitionRefused: the fact does not stand, or the rule asks for more.
        """
        if second_officer and second_officer == act.author:
            raise BadInput("the second officer must be another person", where="/second_officer")

        async def body(write: Write) -> Recorded:
            row = await self._known(write, act, document)
            after = replace(
                step(row, Event.correct, proof=proof, fact=fact, second_officer=bool(second_officer)), disputed=False
            )
            if fact in (State.reported_lost, State.reported_stolen):
                after = replace(after, custody_broken=row.custody_broken and bool(after.standing & _CUSTODY))
            position = await record(
                write,
                act,
                row,
                after,
                Event.correct,
                proof=proof,
                happened_at_us=happened_at_us,
                evidence=evidence,
                body=second_officer.encode(),
            )
            events = [event.value for event, stands in _FACTS.items() if not after.standing & stands.bit]
            await write.run(
                "UPDATE report SET state = 'lifted' WHERE document_id = %s AND state = 'in_force' AND event = ANY(%s)",
                row.id,
                events,
            )
            if not after.standing & State.suspended.bit:
                await reports.settle(write, "lifted", [row.id])
            return Recorded(position=position, state=_word(after))

        return await self._write(act, happened_at_us, evidence, body)

    # The issuer's feed -------------------------------------------------------------------------------------------

    async def issue(
        self,
        act: Act,
        document: Document,
        *,
        happened_at_us: int,
        person_number: str | None = None,
        replaces: Sequence[Document] = (),
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
                raise BadInput("an issue must say when the document's validity starts", where="/document/valid_from")
            if await _died(write, fresh):
                raise TransitionRefused(
                    "the holder is recorded as dead, so nothing is issued",
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
            return Recorded(position=position, state=_word(after), documents=1 + touched)

        return await self._write(act, happened_at_us, evidence, body)

    async def replace(
        self,
        act: Act,
        old: Document,
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
        document: Document,
        event: Event,
        *,
        happened_at_us: int,
        proof: Proof | None = None,
        evidence: str = "",
    ) -> Recorded:
        """Record another event of one document's life: one of `CHANGES`.

        Raises:
            TransitionRefused: a rule forbids it; it is named.
            BadInput: the event has a method of its own.
            NotFound: the document is not known, and the event does not list it.
        """
        if event not in CHANGES:
            raise BadInput(
                "this event is recorded in another way",
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
            return Recorded(position=position, state=_word(after), changed=after != row)

        return await self._write(act, happened_at_us, evidence, body)

    async def unlock_for(
        self, act: Act, document: Document, purpose: Purpose, until_us: int, *, proof: Proof | None = None, evidence: str = ""
    ) -> Recorded:
        """Open the owner's lock for one purpose until a time; other purposes stay locked.

        Args:
            until_us: within the next 24 hours.
        """
        now = self._now_us()
        if not now < until_us <= now + UNLOCK_MAX_US:
            raise BadInput("a timed unlock ends within the next 24 hours", where="/until")

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
            return Recorded(position=position, state=_word(row), changed=False)

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
                raise NotFound("no document of this person is known", where="/personal_number")
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

    # Personal details --------------------------------------------------------------------------------------------

    async def reporter(self, report_id: str) -> Reporter:
        """Return who made a report.

        Raises:
            NotFound: no details were given, or they were erased.
        """
        async with reading(self._connections) as db:
            found = await (
                await db.execute("SELECT ciphertext, wrapped_key FROM sealed_detail WHERE id = %s", (report_id,))
            ).fetchone()
        if found is None or found[1] is None:
            raise NotFound("there are no personal details, or they were erased")
        return personal.unseal(bytes(found[0]), bytes(found[1]), report_id, self._keys.envelope)

    async def erase(self, act: Act, report_id: str, *, evidence: str = "") -> Recorded:
        """Destroy the key of a report's personal details and append an erasure entry; the log stays verifiable."""

        async def body(write: Write) -> Recorded:
            found = await write.one(
                "UPDATE sealed_detail SET wrapped_key = NULL, erased_position = %s "
                "WHERE id = %s AND wrapped_key IS NOT NULL RETURNING hash",
                write.position + 1,
                report_id,
            )
            if found is None:
                raise NotFound("there are no personal details, or they were erased before")
            position = write.append(
                Entry(
                    kind=EntryKind.erasure,
                    realm=act.code,
                    recorded_at_us=write.recorded_at_us,
                    happened_at_us=write.recorded_at_us,
                    author=act.author,
                    evidence=evidence,
                    detail_hash=bytes(found[0]),
                )
            )
            return Recorded(position=position, state="erased", id=report_id, changed=False, documents=0)

        return await self._write(act, None, evidence, body)

    # History -----------------------------------------------------------------------------------------------------

    async def status_at(self, act: Act, document: Document, at_us: int, known_at_us: int, *, case: str) -> past.StatusAt:
        """Return the state a document had at a time, as it was known at another time; see `history.status_at`.

        Args:
            case: reference of the case this look-up belongs to; it is entered in the log first.
        """
        await self._account(act, document, case, b"the status of a document was looked up")
        async with reading(self._connections) as db:
            return await past.status_at(
                db, self._segments, self._documents[act.realm], document, act.realm_code, at_us, known_at_us
            )

    async def history(self, act: Act, document: Document, *, case: str) -> list[past.Line]:
        """Return every entry about a document, oldest first; NotFound when there is none. The look-up is entered first."""
        await self._account(act, document, case, b"the history of a document was looked up")
        async with reading(self._connections) as db:
            return await past.lines(db, self._segments, self._documents[act.realm], document, act.realm_code)

    async def view(self, report_id: str, realm: str) -> past.ReportView:
        """Return a report by its id; NotFound when there is none in this realm."""
        async with reading(self._connections) as db:
            return (await past.report(db, report_id, REALM_CODES[realm]))[0]

    async def _account(self, act: Act, document: Document, case: str, what: bytes) -> None:
        """Enter a look-up into the log before it is answered: who, on which document, for which case."""
        if not 1 <= len(case.encode()) <= EVIDENCE_MAX:
            raise BadInput(f"a look-up names its case in 1 to {EVIDENCE_MAX} bytes", where="/case")
        keys = self._documents[act.realm]
        named = document.has_discriminator or not document.discriminated
        async with writing(self._connections, self._now_us()) as write:
            self._keys.hold_epoch(write.key_epoch)
            write.append(
                Entry(
                    kind=EntryKind.note,
                    realm=act.code,
                    recorded_at_us=write.recorded_at_us,
                    happened_at_us=write.recorded_at_us,
                    author=act.author,
                    evidence=case,
                    key_epoch=write.key_epoch,
                    body=what,
                    document_key=keys.blind(block(document)) if named else b"",
                    number_key=keys.blind(number_block(document)) if document.discriminated else b"",
                )
            )

    async def reports(self, act: Act, document: Document) -> list[past.ReportView]:
        """Return the reports on a document, oldest first."""
        async with reading(self._connections) as db:
            return await past.reports(db, self._documents[act.realm], document, act.realm_code)

    # Inner parts -------------------------------------------------------------------------------------------------

    async def _write(
        self, act: Act, happened_at_us: int | None, evidence: str, body: Callable[[Write], Awaitable[Recorded]]
    ) -> Recorded:
        now = self._now_us()
        if happened_at_us is not None and happened_at_us > now + HAPPENED_AHEAD_MAX_US:
            raise BadInput("this lies in the future", where="/happened_at", mend="Give the time when it happened.")
        if len(evidence.encode()) > EVIDENCE_MAX:
            raise BadInput(f"an evidence reference has at most {EVIDENCE_MAX} bytes", where="/evidence")
        async with writing(self._connections, now) as write:
            self._keys.hold_epoch(write.key_epoch)
            recorded = await replay(write, act, Recorded)
            if recorded is None:
                recorded = await body(write)
                await remember(write, act, recorded)
            else:
                recorded = msgspec.structs.replace(recorded, replayed=True)
        # A crash here loses the answer, not the entry: the same Idempotency-Key asks again.
        waited_us = await self._effect.wait(recorded.position)
        return msgspec.structs.replace(recorded, effective_after_us=waited_us)

    async def _meant(self, write: Write, act: Act, document: Document, *, new_ok: bool = True, blank: bool = False) -> Row:
        """Return the row that is meant; a document known from its listing alone gets its row now.

        Raises:
            NotFound: the document is not known, and either its issuer provides whole lives or `new_ok` is False. A stolen
                blank (`blank`) was never issued, so it need not be known.
        """
        keys = self._documents[act.realm]
        row = await documents.find(write.db, document, keys, act.realm_code)
        if row is None:
            fresh = new_row(document, keys, act.realm_code)
            listed = await self._segments.listed(write.db, act.realm_code, fresh.document_key)
            if not listed:
                extent = await write.one("SELECT extent FROM coverage WHERE name = %s", document.coverage_name)
                if not new_ok or (extent is not None and extent[0] == "whole_life" and not blank):
                    raise NotFound(
                        "the register knows no such document",
                        where="/document",
                        mend="Compare the number and the dates with the document.",
                    )
            if await _died(write, fresh):
                fresh = replace(fresh, standing=State.cancelled.bit)
            return await self._merged(write, act, await documents.add(write, fresh), listed)
        return await self._merged(write, act, row)

    async def _known(self, write: Write, act: Act, document: Document) -> Row:
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


_CUSTODY: Final = State.reported_stolen.bit | State.found_held.bit


def _word(row: Row) -> str:
    return state_of(row.standing).name


async def _died(write: Write, row: Row) -> bool:
    """Tell whether the holder of a document is recorded as dead."""
    return row.person_key is not None and None is not await write.one(
        "SELECT 1 FROM person WHERE realm = %s AND person_key = %s", row.realm, row.person_key
    )


async def _lift(
    write: Write,
    act: Act,
    row: Row,
    happened_at_us: int,
    proof: Proof,
    evidence: str,
    custody_broken: bool,
    report_id: str = "",
) -> Recorded:
    broken = replace(row, custody_broken=row.custody_broken or custody_broken)
    after = step(broken, Event.lift, proof=proof)
    position = await record(write, act, row, after, Event.lift, proof=proof, happened_at_us=happened_at_us, evidence=evidence)
    await reports.lift(write, row.id)
    return Recorded(position=position, state=_word(after), id=report_id)
