"""The queue of suspicions: look, decide, let a second officer confirm, take back, count.

    review = Review(connections, keys, people, register, vault, now_us, home=home)

A suspicion's row holds ids and codes. What an officer sees of a person is opened when she looks, for a case, and entered in the
log first. A decision holds against the facts it was made on: when they have changed, it is refused.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from annul.errors import BadInput, Conflict, NotFound
from annul.records.codes import Coded
from annul.records.person import check_person
from annul.records.references import require_reason
from annul.registry.people import rows
from annul.registry.people.enrolment import Enrolments
from annul.registry.people.register import People
from annul.registry.people.rows import PersonRow
from annul.registry.people.vault import Vault, seal, unseal
from annul.registry.review.corrections import Correction, Corrections, Done
from annul.registry.review.evidence import evidence_of
from annul.registry.review.facts import combine, facts_key, facts_of
from annul.registry.review.rules import CAUSES, RULES
from annul.registry.review.views import (
    Decided,
    DecisionView,
    DocumentSeen,
    Figure,
    Figures,
    Looked,
    PersonSeen,
    Queue,
    RunView,
    Suspicion,
)
from annul.registry.writing import documents
from annul.registry.writing.act import Act
from annul.registry.writing.ground import Ground
from annul.registry.writing.pen import remember, replay
from annul.registry.writing.register import Register
from annul.registry.writing.second import Hand, require_second
from annul.registry.writing.store import Connection, Write, reading, writing

PAGE: Final = 50
PAGE_MAX: Final = 500
RUNS: Final = 20
STATES: Final = ("open", "proposed", "visit", "decided", "gone")


class Decision(Coded):
    """What an officer can decide."""

    same_person = "same_person", 1
    different_persons = "different_persons", 2
    correct_entry = "correct_entry", 3
    needs_visit = "needs_visit", 4
    cancel_entry = "cancel_entry", 5
    in_order = "in_order", 6


ALLOWED: Final = {
    "wrong": (Decision.correct_entry, Decision.cancel_entry, Decision.needs_visit, Decision.in_order),
    "duplicate": (
        Decision.same_person,
        Decision.different_persons,
        Decision.correct_entry,
        Decision.cancel_entry,
        Decision.needs_visit,
    ),
    "false": (Decision.correct_entry, Decision.cancel_entry, Decision.needs_visit, Decision.in_order),
}
"""Decisions that answer the question each cause puts."""


class Review:
    """Work on the queue of the clean-up.

    Args:
        ground: what every part stands on.
        people, enrolments, register, vault: the registers that are corrected.
    """

    def __init__(self, ground: Ground, register: Register, people: People, enrolments: Enrolments, vault: Vault) -> None:
        self._connections, self._keys, self._now_us = ground.connections, ground.keys, ground.now_us
        self._effect, self._people, self._enrolments, self._vault = ground.effect, people, enrolments, vault
        self._corrections = Corrections(people, register, vault)

    # Look ----------------------------------------------------------------------------------------------------------

    async def queue(
        self,
        act: Act,
        *,
        cause: str = "",
        rule: str = "",
        region: str = "",
        state: str = "open",
        after: str = "",
        limit: int = PAGE,
    ) -> Queue:
        """Return suspicions, the surest first.

        Args:
            region: a division code or its first digits.
            after: id of the last suspicion of the page before.
        """
        if cause and cause not in CAUSES:
            raise BadInput(f"A cause is {', '.join(CAUSES)}.", where="/cause")
        if rule and rule not in RULES:
            raise BadInput("There is no such rule.", where="/rule")
        if state not in STATES:
            raise BadInput(f"A state is {', '.join(STATES)}.", where="/state")
        if region and not (region.isascii() and region.isdigit() and len(region) <= 6):
            raise BadInput("A region is a division code of six digits, or its first ones.", where="/region")
        wanted = "realm = %s AND state = %s AND (%s = '' OR cause = %s) AND (%s = '' OR %s = ANY(rules)) AND region LIKE %s"
        values = (act.realm_code, state, cause, cause, rule, rule, region + "%")
        limit = max(1, min(limit, PAGE_MAX))
        async with reading(self._connections) as db:
            ((total,),) = await (await db.execute(f"SELECT count(*) FROM suspicion WHERE {wanted}", values)).fetchall()
            found = await (
                await db.execute(
                    f"SELECT {_SUSPICION} FROM suspicion WHERE {wanted} AND (%s = '' OR (-score, id) > "
                    "(SELECT -score, id FROM suspicion WHERE id = %s)) ORDER BY -score, id LIMIT %s",
                    (*values, after, after, limit + 1),
                )
            ).fetchall()
        lines = [_suspicion(row) for row in found[:limit]]
        return Queue(suspicions=lines, total=total, after=lines[-1].id if len(found) > limit else "")

    async def view(self, act: Act, suspicion_id: str, *, case: str) -> Looked:
        """Open a suspicion with its records and evidence, for a case; that each record was opened is entered in the log first.

        Raises:
            NotFound: there is no such suspicion in this realm.
            BadInput: no case was named.
        """
        async with reading(self._connections) as db:
            suspicion = await _one(db, act, suspicion_id)
            opened = await self._rows(db, suspicion)
        for key in dict.fromkeys(row.person_key for row, _ in opened):
            await self._people.account(act, key, case)
        async with reading(self._connections) as db:
            papers = [
                (row.id, document)
                for row, _ in opened
                for document in await documents.by_person(db, act.realm_code, row.person_key)
            ]
            decisions = await _decisions(db, "suspicion_id = %s", suspicion_id)
        seen = [
            PersonSeen(id=row.id, person=rows.open_row(row, self._vault), photo=row.photo, ended=ended) for row, ended in opened
        ]
        shown = [
            DocumentSeen(
                id=document.id,
                person=person,
                kind=document.kind,
                valid_from_day=document.valid_from_day,
                valid_until_day=document.valid_until_day,
                state=documents_state(document),
            )
            for person, document in papers
        ]
        told = evidence_of(suspicion.rules, [(each.id, each.person) for each in seen], suspicion.score)
        return Looked(suspicion=suspicion, persons=seen, documents=shown, evidence=told, decisions=decisions)

    async def portrait(self, act: Act, suspicion_id: str, place: int, *, case: str) -> bytes:
        """Return the portrait of one of a suspicion's persons as JPEG, marked with the suspicion; accounted for."""
        async with reading(self._connections) as db:
            suspicion = await _one(db, act, suspicion_id)
            opened = await self._rows(db, suspicion)
        if not 0 <= place < len(opened):
            raise NotFound("There is no such portrait.")
        row = opened[place][0]
        await self._people.account(act, row.person_key, case)
        return await self._enrolments.portrait_of_row(row, mark=suspicion_id)

    async def suspicion(self, act: Act, suspicion_id: str) -> Suspicion:
        """Return a suspicion without details."""
        async with reading(self._connections) as db:
            return await _one(db, act, suspicion_id)

    async def waiting(self, act: Act) -> list[DecisionView]:
        """Return the decisions that wait for a second officer, oldest first."""
        async with reading(self._connections) as db:
            return await _decisions(
                db, "state = 'waiting' AND suspicion_id IN (SELECT id FROM suspicion WHERE realm = %s)", act.realm_code
            )

    async def figures(self, act: Act) -> Figures:
        """Count suspicions and decisions; no details."""
        async with reading(self._connections) as db:
            regions = await (
                await db.execute(
                    "SELECT cause, left(region, 2), state, count(*) FROM suspicion WHERE realm = %s AND state <> 'gone' "
                    "GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
                    (act.realm_code,),
                )
            ).fetchall()
            by_rule = await (
                await db.execute(
                    "SELECT rule, count(*) FROM suspicion, unnest(rules) AS rule WHERE realm = %s AND state <> 'gone' "
                    "GROUP BY 1 ORDER BY 2 DESC, 1",
                    (act.realm_code,),
                )
            ).fetchall()
            by_decision = await (
                await db.execute(
                    "SELECT decision, count(*) FROM review_decision d JOIN suspicion s ON s.id = d.suspicion_id "
                    "WHERE s.realm = %s AND d.state = 'in_force' GROUP BY 1 ORDER BY 2 DESC, 1",
                    (act.realm_code,),
                )
            ).fetchall()
            runs = await (
                await db.execute(
                    "SELECT id, state, started_by, started_at_us, ended_at_us, summary FROM review_run WHERE realm = %s "
                    "ORDER BY started_at_us DESC LIMIT %s",
                    (act.realm_code, RUNS),
                )
            ).fetchall()
        return Figures(
            by_region=[Figure(*row) for row in regions],
            by_rule=dict(by_rule),
            by_decision=dict(by_decision),
            runs=[_run_view(row) for row in runs],
        )

    # Decide --------------------------------------------------------------------------------------------------------

    async def decide(
        self,
        act: Act,
        suspicion_id: str,
        decision: Decision,
        *,
        grounds: str,
        person: int | None = None,
        correction: Correction | None = None,
        cancel_documents: bool = False,
    ) -> Decided:
        """Decide a suspicion. Merges, cancellations and what cancels documents wait for a second officer.

        Args:
            grounds: why; no personal data.
            person: the record that is kept (same_person), corrected or cancelled; the first one if None.
            correction: what the record shall say (correct_entry).
            cancel_documents: the documents show what was wrong, and no longer count; always so for a corrected number.

        Raises:
            BadInput: the decision does not answer this suspicion.
            Conflict: it is decided, waits for a second officer, or the facts have changed.
        """
        require_reason(grounds, "/grounds", least=1)
        correction = correction or Correction()

        async def body(write: Write) -> Decided:
            suspicion = await _locked(write, act, suspicion_id, ("open", "visit"))
            chosen = self._require(suspicion, decision, person, correction, cancel_documents=cancel_documents)
            opened = await self._same_facts(write.db, suspicion)
            if decision is Decision.correct_entry:
                row = next(row for row in opened if row.id == chosen)
                check_person(correction.applied(rows.open_row(row, self._vault)))
            cancels = decision is Decision.correct_entry and (cancel_documents or correction.personal_number is not None)
            two = cancels or decision in (Decision.same_person, Decision.cancel_entry)
            decision_id = "j_" + secrets.token_hex(12)
            sealed = None if correction.empty else self._sealed(correction, decision_id, opened, chosen)
            await write.run(
                "INSERT INTO review_decision (id, suspicion_id, decision, grounds, person_id, cancels, correction, state, "
                "decided_by, decided_at_us, decided_with) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                decision_id,
                suspicion_id,
                decision.value,
                grounds,
                chosen,
                cancels,
                sealed,
                "waiting" if two else "in_force",
                act.author,
                write.recorded_at_us,
                act.credential,
            )
            if two:
                await _set_state(write, suspicion_id, "proposed")
                return Decided(decision=decision_id, suspicion=suspicion_id, state="waiting")
            if decision is Decision.correct_entry:
                done = await self._corrections.correct(
                    write, act, chosen, correction, cancels=False, evidence=f"review {suspicion_id}"
                )
            else:
                done = Done([])
            await _carried_out(write, decision_id, done)
            await _set_state(write, suspicion_id, "visit" if decision is Decision.needs_visit else "decided")
            positions, count = done.positions, done.documents
            return Decided(decision=decision_id, suspicion=suspicion_id, state="in_force", positions=positions, documents=count)

        return await self._write(act, body)

    def _sealed(self, correction: Correction, decision_id: str, opened: list[PersonRow], chosen: int | None) -> bytes:
        """Encrypt a correction that waits under the key of the person it is about."""
        row = next(row for row in opened if row.id == chosen)
        key = self._vault.unwrap(row.wrapped_key, row.id)
        return seal(key, msgspec.msgpack.encode(correction), _context(decision_id))

    async def confirm(self, act: Act, decision_id: str) -> Decided:
        """Confirm a decision as the second officer; it is carried out.

        Raises:
            Conflict: it does not wait, or the facts have changed.
            Forbidden: this may be the person who decided it.
        """

        async def body(write: Write) -> Decided:
            decision = await _waiting(write, act, decision_id)
            first = await write.one("SELECT decided_by, decided_with FROM review_decision WHERE id = %s", decision_id)
            await require_second(
                write,
                act,
                Hand(*(first or ("", ""))),
                sentence="A second officer confirms.",
                mend="Let another officer look at it.",
            )
            suspicion = await _locked(write, act, decision.suspicion, ("proposed",))
            opened = await self._same_facts(write.db, suspicion)
            evidence = f"review {suspicion.id}"
            chosen = decision.person if decision.person is not None else suspicion.persons[0]
            if decision.decision == Decision.same_person.value:
                others = [each for each in suspicion.persons if each != chosen]
                done = await self._corrections.merge(write, act, chosen, others, evidence=evidence)
            elif decision.decision == Decision.cancel_entry.value:
                done = await self._corrections.cancel(write, act, chosen, evidence=evidence)
            else:
                row = next(row for row in opened if row.id == chosen)
                correction = await self._proposed(write, row, decision_id)
                done = await self._corrections.correct(
                    write, act, chosen, correction, cancels=decision.cancels, evidence=evidence
                )
            await write.run(
                "UPDATE review_decision SET state = 'in_force', second_by = %s, second_at_us = %s WHERE id = %s",
                act.author,
                write.recorded_at_us,
                decision_id,
            )
            await _carried_out(write, decision_id, done)
            await _set_state(write, suspicion.id, "decided")
            return Decided(
                decision=decision_id,
                suspicion=suspicion.id,
                state="in_force",
                positions=done.positions,
                documents=done.documents,
            )

        return await self._write(act, body)

    async def refuse(self, act: Act, decision_id: str, *, grounds: str) -> Decided:
        """Refuse a decision as the second officer, or take one's own proposal back; the suspicion is open again."""

        async def body(write: Write) -> Decided:
            decision = await _waiting(write, act, decision_id)
            await write.run(
                "UPDATE review_decision SET state = 'refused', second_by = %s, second_at_us = %s, undone_grounds = %s, "
                "correction = NULL WHERE id = %s",
                act.author,
                write.recorded_at_us,
                grounds,
                decision_id,
            )
            await _set_state(write, decision.suspicion, "open")
            return Decided(decision=decision_id, suspicion=decision.suspicion, state="refused")

        return await self._write(act, body)

    async def undo(self, act: Act, decision_id: str, *, grounds: str) -> Decided:
        """Take a decision back: records are as they were, the suspicion is open again. Documents stay as they are (rule 1).

        Raises:
            Conflict: it is not in force, or a record has changed since.
        """
        require_reason(grounds, "/grounds", least=1)

        async def body(write: Write) -> Decided:
            found = await _decisions(write.db, "id = %s", decision_id)
            if not found:
                raise NotFound("There is no such decision.")
            decision = found[0]
            await _one(write.db, act, decision.suspicion)
            if decision.state != "in_force":
                raise Conflict(f"The decision is not in force: it is {decision.state}.")
            done = await self._corrections.take_back(write, act, decision.positions, evidence=f"review {decision.suspicion}")
            await write.run(
                "UPDATE review_decision SET state = 'undone', undone_by = %s, undone_at_us = %s, undone_grounds = %s "
                "WHERE id = %s",
                act.author,
                write.recorded_at_us,
                grounds,
                decision_id,
            )
            await write.run(
                "UPDATE suspicion SET state = 'open' WHERE id = %s AND state IN ('decided', 'visit')", decision.suspicion
            )
            return Decided(decision=decision_id, suspicion=decision.suspicion, state="undone", positions=done.positions)

        return await self._write(act, body)

    # Inner parts -----------------------------------------------------------------------------------------------------

    def _require(
        self, suspicion: Suspicion, decision: Decision, person: int | None, correction: Correction, *, cancel_documents: bool
    ) -> int:
        """Return the record a decision is about, or refuse what does not answer the suspicion."""
        if decision not in ALLOWED[suspicion.cause]:
            known = ", ".join(each.value for each in ALLOWED[suspicion.cause])
            raise BadInput("This decision does not answer the suspicion.", where="/decision", mend=f"Decide one of {known}.")
        if person is not None and person not in suspicion.persons:
            raise BadInput("The record is not one of this suspicion.", where="/person")
        if decision is Decision.correct_entry and correction.empty and not cancel_documents:
            raise BadInput("Nothing is corrected.", where="/correction", mend="Say what the record shall say.")
        if decision is not Decision.correct_entry and not (correction.empty and not cancel_documents):
            raise BadInput("Only a correction says what the record shall say.", where="/correction")
        return suspicion.persons[0] if person is None else person

    async def _rows(self, db: Connection, suspicion: Suspicion) -> list[tuple[PersonRow, str | None]]:
        """Return the records of a suspicion in its order, ended ones too; erased ones are left out."""
        found = await (
            await db.execute(
                f"SELECT ended, {rows.COLUMNS} FROM person_record WHERE id = ANY(%s) AND wrapped_key IS NOT NULL",
                (suspicion.persons,),
            )
        ).fetchall()
        by_id = {row[1]: (PersonRow(*row[1:]), row[0]) for row in found}
        return [by_id[person] for person in suspicion.persons if person in by_id]

    async def _same_facts(self, db: Connection, suspicion: Suspicion) -> list[PersonRow]:
        """Return the records of a suspicion when they are what it rests on.

        Raises:
            Conflict: they have changed, or count no more.
        """
        changed = Conflict(
            "The facts have changed since this was found.", mend="Run the clean-up again: it asks anew if need be."
        )
        opened = await self._rows(db, suspicion)
        if len(opened) != len(suspicion.persons) or any(ended is not None for _, ended in opened):
            raise changed
        key = facts_key(self._keys.envelope)
        facts = combine(
            suspicion.rules,
            (facts_of(rows.open_row(row, self._vault), key) for row, _ in opened),
            suspicion.documents,
            key,
        )
        stored = await (await db.execute("SELECT facts FROM suspicion WHERE id = %s", (suspicion.id,))).fetchone()
        if stored is None or bytes(stored[0]) != facts:
            raise changed
        return [row for row, _ in opened]

    async def _proposed(self, write: Write, row: PersonRow, decision_id: str) -> Correction:
        found = await write.one("SELECT correction FROM review_decision WHERE id = %s", decision_id)
        if found is None or found[0] is None:
            return Correction()
        raw = unseal(self._vault.unwrap(row.wrapped_key, row.id), bytes(found[0]), _context(decision_id))
        return msgspec.msgpack.decode(raw, type=Correction)

    async def proposal(self, act: Act, decision_id: str) -> Correction:
        """Return what a waiting decision would correct, for the second officer, who has opened the suspicion for a case."""
        async with reading(self._connections) as db:
            found = await _decisions(db, "id = %s", decision_id)
            if not found or found[0].person is None:
                raise NotFound("There is no such decision.")
            await _one(db, act, found[0].suspicion)
            row = await rows.by_id(db, act.realm_code, found[0].person)
            raw = await (await db.execute("SELECT correction FROM review_decision WHERE id = %s", (decision_id,))).fetchone()
        if raw is None or raw[0] is None:
            return Correction()
        key = self._vault.unwrap(row.wrapped_key, row.id)
        return msgspec.msgpack.decode(unseal(key, bytes(raw[0]), _context(decision_id)), type=Correction)

    async def _write(self, act: Act, body: Callable[[Write], Awaitable[Decided]]) -> Decided:
        async with writing(self._connections, self._now_us()) as write:
            self._keys.require_epoch(write.key_epoch)
            decided = await replay(write, act, Decided)
            if decided is None:
                decided = await body(write)
                await remember(write, act, decided)
                position = write.position
            else:
                decided, position = msgspec.structs.replace(decided, replayed=True), max(decided.positions, default=0)
        if not decided.positions:
            return decided
        return msgspec.structs.replace(decided, effective_after_us=await self._effect.wait(position))


# -- rows ----------------------------------------------------------------------------------------------------------------------

_SUSPICION: Final = "id, cause, rules, persons, documents, score, region, state, found_at_us, earlier"
_DECISION: Final = (
    "id, suspicion_id, decision, grounds, person_id, cancels, state, decided_by, decided_at_us, second_by, second_at_us, "
    "positions, documents, undone_by, undone_at_us, undone_grounds"
)


def _suspicion(row: tuple[Any, ...]) -> Suspicion:
    return Suspicion(**dict(zip(Suspicion.__struct_fields__, row, strict=True)))


def _run_view(row: tuple[Any, ...]) -> RunView:
    run_id, state, author, started, ended, summary = row
    if summary and state == "done":  # of a run under way, or one that failed, the summary says how far it came
        return msgspec.json.decode(summary, type=RunView)
    return RunView(id=run_id, state=state, started_by=author, started_at_us=started, ended_at_us=ended)


async def _one(db: Connection, act: Act, suspicion_id: str) -> Suspicion:
    row = await (
        await db.execute(f"SELECT {_SUSPICION} FROM suspicion WHERE id = %s AND realm = %s", (suspicion_id, act.realm_code))
    ).fetchone()
    if row is None:
        raise NotFound("There is no such suspicion.")
    return _suspicion(row)


async def _locked(write: Write, act: Act, suspicion_id: str, states: tuple[str, ...]) -> Suspicion:
    found = await _one(write.db, act, suspicion_id)  # writers follow one another: nobody decides it meanwhile
    if found.state not in states:
        raise Conflict(f"The suspicion is {found.state}.", mend="Look at it again.")
    return found


async def _decisions(db: Connection, where: str, value: Any) -> list[DecisionView]:
    rows_ = await (
        await db.execute(f"SELECT {_DECISION} FROM review_decision WHERE {where} ORDER BY decided_at_us, id", (value,))
    ).fetchall()
    return [DecisionView(**dict(zip(DecisionView.__struct_fields__, row, strict=True))) for row in rows_]


async def _waiting(write: Write, act: Act, decision_id: str) -> DecisionView:
    found = await _decisions(write.db, "id = %s", decision_id)
    if not found:
        raise NotFound("There is no such decision.")
    await _one(write.db, act, found[0].suspicion)
    if found[0].state != "waiting":
        raise Conflict(f"The decision does not wait: it is {found[0].state}.")
    return found[0]


async def _set_state(write: Write, suspicion_id: str, state: str) -> None:
    await write.run("UPDATE suspicion SET state = %s WHERE id = %s", state, suspicion_id)


async def _carried_out(write: Write, decision_id: str, done: Done) -> None:
    await write.run(
        "UPDATE review_decision SET positions = %s, documents = %s WHERE id = %s", done.positions, done.documents, decision_id
    )


def documents_state(row: documents.Row) -> str:
    """Return a document's state in a word."""
    from annul.records.status import state_of

    return state_of(row.standing).name


def _context(decision_id: str) -> bytes:
    return b"annul review correction v1\0" + decision_id.encode()
