"""Report documents lost, stolen or found; confirm, withdraw, lift and correct what was reported; who reported.

A part of the register (`register`). What must never happen here: a report acknowledged that the check path does
not refuse; a lifted report of a document that others had; a reporter's name read without an entry that says by whom.
"""

from __future__ import annotations

import contextlib
import secrets
from dataclasses import replace
from typing import Final, Literal

from annul.errors import BadInput, Conflict, Forbidden, NotFound, TransitionRefused
from annul.records.document import Document
from annul.records.entry import NO_DETAIL, Entry, EntryKind
from annul.records.status import Event, Proof, State
from annul.registry.writing import documents, personal, reports
from annul.registry.writing import history as past
from annul.registry.writing.act import Act, require_case, same_person
from annul.registry.writing.documents import Known, Row, record
from annul.registry.writing.entering import Also, Entering, Recorded, state_word
from annul.registry.writing.history import ReportView
from annul.registry.writing.personal import Reporter
from annul.registry.writing.present import present
from annul.registry.writing.steps import is_strong, reported, step, takes_no_more
from annul.registry.writing.store import Write, reading

LAPSE_BATCH: Final = 200

ReportKind = Literal["lost", "stolen", "found"]
_FACTS: Final = {Event.report_lost: State.reported_lost, Event.report_stolen: State.reported_stolen}
_REPORTS: Final = {"lost": Event.report_lost, "stolen": Event.report_stolen, "found": Event.report_found}
_CUSTODY: Final = State.reported_stolen.bit | State.found_held.bit


class Reporting(Entering):
    """Write reports."""

    async def report(
        self,
        act: Act,
        document: Document | Known,
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
            raise BadInput("The kind of a report is lost, stolen or found.", where="/kind")

        async def body(write: Write) -> Recorded:
            row = await self._meant(write, act, document)
            before = (await present(write.db, self._segments, [row], write.recorded_at_us))[row.id]
            dead = takes_no_more(row)
            after = row if dead else reported(row, event, proof)
            provisional = not dead and not is_strong(event, proof) and bool(after.standing & State.suspended.bit)
            in_force = not dead and is_strong(event, proof)
            state = "provisional" if provisional else "in_force" if in_force else "recorded"
            report_id = "r_" + secrets.token_hex(12)
            sealed = await reports.seal(write, reporter, report_id, self._keys.envelope)
            detail = sealed or NO_DETAIL
            position = await record(
                write, act, row, after, event, proof=proof, happened_at_us=happened_at_us, evidence=evidence, detail_hash=detail
            )
            if in_force:
                await reports.settle(write, "recorded", [row.id])
            lapses_at_us = write.now_us + self._provisional_us if provisional else None
            made = (happened_at_us, write.recorded_at_us, position, state, lapses_at_us, sealed is not None)
            await reports.add(write, row, ReportView(report_id, event.value, proof.value, act.author, evidence, *made))
            return Recorded(
                position=position,
                state=state_word(after),
                id=report_id,
                changed=after.standing != row.standing,
                lapses_at_us=lapses_at_us,
                stopped_since_us=before.stopped_since_us,
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
                        "The proof is too weak to confirm that a found document is held.",
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
            return Recorded(position=position, state=state_word(after), id=report_id)

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
            return Recorded(position=position, state=state_word(after), id=report_id, changed=after != row)

        return await self._write(act, None, evidence, body)

    async def lift(
        self,
        act: Act,
        document: Document | Known,
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
                raise Conflict(f"The report is not in force: it is {view.state}.")
            row = await self._merged(write, act, await documents.by_id(write.db, document_id))
            return await _lift(write, act, row, happened_at_us, proof, evidence, custody_broken, report_id)

        return await self._write(act, happened_at_us, evidence, body)

    async def correct(
        self,
        act: Act,
        document: Document | Known,
        fact: State,
        *,
        happened_at_us: int,
        proof: Proof = Proof.in_person,
        second_officer: str = "",
        evidence: str = "",
        also: Also | None = None,
    ) -> Recorded:
        """State that a listing was never true: take away exactly the one fact it had brought.

        Args:
            fact: the fact that was wrong.
            second_officer: id of the officer who agrees; needed for terminal facts.

        Raises:
            TransitionRefused: the fact does not stand, or the rule asks for more.
            Forbidden: the second officer is the same person (what she signed in with is looked at by `writing.second`).
        """
        if second_officer and same_person(second_officer, act.author):
            raise Forbidden("This correction needs a second officer.", mend="One officer proposes it, another one decides.")

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
            named = await also(write, after, position) if also else ""
            return Recorded(position=position, state=state_word(after), id=named)

        return await self._write(act, happened_at_us, evidence, body)

    # Who reported ------------------------------------------------------------------------------------------------

    async def reporter(self, act: Act, report_id: str, *, case: str) -> Reporter:
        """Return who made a report; the look-up is entered in the log first.

        Args:
            act: who looks it up; a report of the other realm is not there.
            case: reference of the case this look-up belongs to.

        Raises:
            NotFound: there is no such report, no details were given, or they were erased.
        """
        require_case(case)

        async def body(write: Write) -> Recorded:
            view, _ = await past.report(write.db, report_id, act.realm_code)
            found = await write.one("SELECT hash FROM sealed_detail WHERE id = %s AND wrapped_key IS NOT NULL", report_id)
            if found is None:
                raise NotFound("There are no personal details, or they were erased.")
            looked_up = b"who made a report was looked up"
            position = write.note(act.author, case, looked_up, realm=act.code, detail_hash=bytes(found[0]))
            return Recorded(position=position, state=view.state, id=report_id, changed=False, documents=0)

        await self._write(act, None, case, body)
        async with reading(self._connections) as db:
            details = await (
                await db.execute("SELECT ciphertext, wrapped_key FROM sealed_detail WHERE id = %s", (report_id,))
            ).fetchone()
        if details is None or details[1] is None:
            raise NotFound("There are no personal details, or they were erased.")
        return personal.unseal(bytes(details[0]), bytes(details[1]), report_id, self._keys.envelope)

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
                raise NotFound("There are no personal details, or they were erased before.")
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
    return Recorded(position=position, state=state_word(after), id=report_id)
