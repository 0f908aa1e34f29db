"""Disputes about a status: opened, marked (U34), heard, and decided before their clock runs out.

    opened = await disputes.open(act, document, by="holder", ground="not_lost", statement="…", case="K-2026-9", marked=True)
    await disputes.propose(act, opened.id, reason="…")           # a second officer agrees by `decide`
    await disputes.decide(act, opened.id, "corrected", reason="…", evidence="…")

Decisions: *corrected*, the listing was never true and is taken away, and everybody who was told it gets a recall; *upheld*, it
stands; *refused*, the dispute was not examined (not the holder, decided before). One officer alone turns STOP into REFER
by opening one, never into PASS; to take a listing away takes two (docs/desk.md). What must never happen here: a status that
changes without its entry; a correction by one officer; a statement readable in the database.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, get_args

import msgspec
from msgspec import Meta

from annul.errors import BadInput, Conflict, Forbidden, NotFound
from annul.records.document import Document
from annul.records.entry import Entry, EntryKind
from annul.records.references import require_reason, require_reference
from annul.records.shown import require_shown
from annul.records.status import Event, Proof, State, state_of
from annul.registry import notices
from annul.registry.writing import documents, personal
from annul.registry.writing.act import Act
from annul.registry.writing.documents import Known, Row
from annul.registry.writing.ground import Ground
from annul.registry.writing.pen import remember, replay
from annul.registry.writing.register import Recorded, Register
from annul.registry.writing.second import Hand, require_second
from annul.registry.writing.store import REALM_CODES, Connection, Write, reading, writing
from annul.times import DAY_US

TERM_US: Final = 30 * DAY_US
"""Default term of a dispute. Source: setting `dispute_term_days`; Regulation (EU) 2016/679, article 12(3): one month."""
STATEMENT_MAX: Final = 4_000
REASON_MAX: Final = 500
CASE_MAX: Final = 200

By = Literal["holder", "officer", "relying_party"]
DisputeGround = Literal[
    "not_lost", "wrong_document", "wrong_person", "not_replaced", "not_dead", "malice", "wrong_data", "other"
]
Decision = Literal["corrected", "upheld", "refused", "withdrawn"]
NoteKind = Literal["hearing", "evidence", "remark"]
GROUNDS: Final[tuple[DisputeGround, ...]] = get_args(DisputeGround)
DECISIONS: Final[tuple[str, ...]] = ("corrected", "upheld", "refused", "withdrawn")


_SECOND: Final = "This correction needs a second officer."
_TWO_STEPS: Final = "One officer proposes it, another one decides."


class _Statement(msgspec.Struct):
    text: Annotated[str, Meta(max_length=STATEMENT_MAX)]


class DisputeView(msgspec.Struct, frozen=True, kw_only=True):
    """A dispute.

    Args:
        fact: the listing that is disputed.
        status, after: state of the document now, and without the disputed listing.
        marked: checks answer U34 (disputed) while it is open.
        overdue: it is open and its term is over.
        two_officers: its correction takes a second officer; so it is with every fact.
        proposed_by: who proposed the correction, until a second officer decides.
    """

    id: str
    raised_by: By
    party: str
    author: str
    coverage: str
    kind: str
    valid_from_day: int | None
    status: str
    after: str
    fact: str
    ground: str
    case: str
    marked: bool
    opened_at_us: int
    due_at_us: int
    overdue: bool
    state: str
    two_officers: bool
    reason: str
    decided_by: str | None
    second_officer: str | None
    decided_at_us: int | None
    decided_position: int | None
    proposed_by: str | None


class NoteView(msgspec.Struct, frozen=True, kw_only=True):
    """A note of the file; `text` is None once it was erased."""

    step: int
    kind: str
    author: str
    written_at_us: int
    text: str | None


class DisputeShown(msgspec.Struct, frozen=True, kw_only=True):
    """A dispute with its statement and notes."""

    dispute: DisputeView
    statement: str | None
    notes: list[NoteView]


_VIEW: Final = (
    "SELECT x.id, x.raised_by, x.party, x.author, d.coverage, d.kind, d.valid_from_day, d.standing, x.fact, x.ground, "
    "x.case_reference, x.marked, x.opened_at_us, x.due_at_us, x.state, x.reason, x.decided_by, x.second_officer, "
    "x.decided_at_us, x.decided_position, x.proposed_by, x.document_id, x.statement_id "
    "FROM dispute x JOIN document d ON d.id = x.document_id"
)


class Disputes:
    """Keep disputes.

    Args:
        ground: what every part stands on.
        register: moves the documents.
        term_us: how long a dispute may take.
    """

    def __init__(self, ground: Ground, register: Register, *, term_us: int = TERM_US) -> None:
        self._connections, self._keys, self._now_us = ground.connections, ground.keys, ground.now_us
        self._register, self._term_us = register, term_us

    async def open(
        self,
        act: Act,
        document: Document | Known,
        *,
        by: By,
        ground: DisputeGround,
        case: str,
        statement: str = "",
        fact: State | None = None,
        marked: bool = True,
    ) -> Recorded:
        """Open a dispute; with `marked`, checks answer "disputed" (U34) from now on.

        A relying party's dispute is never marked: who wants a listing away must not be able to weaken it. An officer marks it
        (`mark`) when she takes it up.

        Args:
            fact: the listing that is disputed; by default the worst that stands.
            case: reference of the file.

        Returns:
            `id` is the dispute's.

        Raises:
            TransitionRefused: nothing is listed that could be disputed.
            Conflict: a dispute about this document is open.
        """
        marked = marked and by != "relying_party"
        case = require_reference(case, "case", least=1, most=CASE_MAX)
        if ground not in GROUNDS:
            raise BadInput("The ground is not known.", where="ground", mend=f"Use one of {', '.join(GROUNDS)}.")
        require_shown(statement, "statement")
        if len(statement) > STATEMENT_MAX:
            raise BadInput(f"A statement has at most {STATEMENT_MAX} characters.", where="statement")
        dispute_id = "x_" + secrets.token_hex(12)

        async def also(write: Write, row: Row, position: int) -> str:
            return await self._insert(
                write,
                act,
                row,
                position,
                dispute_id,
                by=by,
                ground=ground,
                case=case,
                statement=statement,
                fact=fact,
                marked=marked,
            )

        if marked:
            return await self._register.change(
                act, document, Event.dispute_open, happened_at_us=self._now_us(), evidence=case, also=also
            )
        return await self._register.note(act, document, b"dispute opened", evidence=case, also=also)

    async def mark(self, act: Act, dispute_id: str) -> Recorded:
        """Mark the document of an open dispute that is not marked: checks answer U34 until it is decided."""
        view, document = await self._find(act, dispute_id)
        _require_open(view)

        async def also(write: Write, _row: Row, _position: int) -> str:
            await _guard(write, dispute_id, "UPDATE dispute SET marked = true WHERE id = %s AND state = 'open'")
            return dispute_id

        return await self._register.change(
            act, document, Event.dispute_open, happened_at_us=self._now_us(), evidence=view.case, also=also
        )

    async def add_note(self, act: Act, dispute_id: str, kind: NoteKind, text: str) -> int:
        """Add a note to the file, sealed; returns its step."""
        text = text.strip()
        require_shown(text, "text")
        if not 1 <= len(text) <= STATEMENT_MAX:
            raise BadInput(f"A note has 1 to {STATEMENT_MAX} characters.", where="text")
        view, _ = await self._find(act, dispute_id)
        _require_open(view)
        async with writing(self._connections, self._now_us()) as write:
            known = await replay(write, act, _Step)
            if known is not None:
                return known.step
            last = await write.one("SELECT coalesce(max(step), 0) FROM dispute_note WHERE dispute_id = %s", dispute_id)
            step = (last[0] if last else 0) + 1
            detail_id = f"{dispute_id}.{step}"
            await self._seal(write, text, detail_id)
            await write.run(
                "INSERT INTO dispute_note (dispute_id, step, kind, author, written_at_us, detail_id) "
                "VALUES (%s, %s, %s, %s, %s, %s)",
                dispute_id,
                step,
                kind,
                act.author,
                write.recorded_at_us,
                detail_id,
            )
            await remember(write, act, _Step(step))
        return step

    async def propose(self, act: Act, dispute_id: str, *, reason: str) -> None:
        """Propose to correct the fact; another officer decides."""
        reason = require_reason(reason, "reason", least=1, most=REASON_MAX)
        await self._find(act, dispute_id)
        async with writing(self._connections, self._now_us()) as write:
            await _guard(
                write,
                dispute_id,
                "UPDATE dispute SET proposal = 'corrected', proposed_by = %s, proposed_with = %s, reason = %s "
                "WHERE id = %s AND state = 'open'",
                act.author,
                act.credential,
                reason,
            )

    async def decide(self, act: Act, dispute_id: str, decision: Decision, *, reason: str, evidence: str = "") -> Recorded:
        """Decide a dispute. The mark goes in every case; with `corrected` the listing goes as well, as never true.

        Recalls to everybody who was answered with it follow behind the register (registry.recalls).

        Raises:
            Forbidden: a correction was not proposed, or not by another person than this one (`writing.second`).
            TransitionRefused: the fact does not stand any more, or a rule forbids its correction.
            Conflict: it was decided before.
        """
        if decision not in DECISIONS:
            raise BadInput("The decision is not known.", where="decision", mend=f"Use one of {', '.join(DECISIONS)}.")
        reason = require_reason(reason, "reason", least=1, most=REASON_MAX)
        view, document = await self._find(act, dispute_id)
        if not (act.idempotency and view.state == decision):  # a repetition finds its stored answer below
            _require_open(view)
        proposed_by = view.proposed_by if decision == "corrected" else None
        if decision == "corrected" and proposed_by is None:
            raise Forbidden(_SECOND, mend=_TWO_STEPS)

        async def also(write: Write, row: Row, position: int) -> str:
            if decision == "corrected":
                await require_second(write, act, await _proposer(write, dispute_id), sentence=_SECOND, mend=_TWO_STEPS)
            await _guard(
                write,
                dispute_id,
                "UPDATE dispute SET state = %s, reason = %s, decided_by = %s, second_officer = %s, decided_at_us = %s, "
                "decided_position = %s WHERE id = %s AND state = 'open'",
                decision,
                reason,
                act.author,
                proposed_by,
                write.recorded_at_us,
                position,
            )
            await notices.queue(
                write.db,
                "dispute_decided",
                key=f"dispute:{dispute_id}:decided",
                now_us=write.recorded_at_us,
                realm=row.realm,
                document_id=row.id,
                values={"reference": dispute_id, "decision": decision},
            )
            return dispute_id

        evidence = evidence or view.case
        if decision == "corrected":
            return await self._register.correct(
                act,
                document,
                State[view.fact],
                happened_at_us=self._now_us(),
                proof=Proof.in_person,
                second_officer=proposed_by or "",
                evidence=evidence,
                also=also,
            )
        if view.marked:
            return await self._register.change(
                act, document, Event.dispute_close, happened_at_us=self._now_us(), evidence=evidence, also=also
            )
        return await self._register.note(act, document, b"dispute " + decision.encode(), evidence=evidence, also=also)

    async def close(self, act: Act, document: Document, *, evidence: str) -> Recorded:
        """Close the dispute about a document without a correction: the listing is upheld, the mark goes.

        Raises:
            NotFound: the register knows no such document.
        """
        async with reading(self._connections) as db:
            row = await documents.find(db, document, self._keys.documents(act.realm), act.realm_code)
            row_id = None if row is None else row.id
            opened = await db.execute("SELECT id FROM dispute WHERE document_id = %s AND state = 'open'", (row_id,))
            found = await opened.fetchone()
        if found is not None:
            return await self.decide(act, found[0], "upheld", reason="closed without a correction", evidence=evidence)
        return await self._register.change(act, document, Event.dispute_close, happened_at_us=self._now_us(), evidence=evidence)

    # -- questions ---------------------------------------------------------------------------------------------------------

    async def list(
        self, realm: str, *, state: str = "open", party: str | None = None, overdue: bool = False, limit: int = 200
    ) -> list[DisputeView]:
        """Return disputes, the most urgent first; decided ones newest first.

        Args:
            party: only those this party opened.
            overdue: only open ones whose term is over.
        """
        now = self._now_us()
        order = "x.due_at_us" if state == "open" else "x.decided_at_us DESC"
        async with reading(self._connections) as db:
            found = await db.execute(
                f"{_VIEW} WHERE x.realm = %s AND x.state = %s AND (x.party = %s OR %s) AND (NOT %s OR x.due_at_us < %s) "
                f"ORDER BY {order}, x.id LIMIT %s",
                (REALM_CODES[realm], state, party, party is None, overdue, now, limit),
            )
            return [_view(row, now) for row in await found.fetchall()]

    async def view(self, act: Act, dispute_id: str, *, party: str | None = None) -> DisputeShown:
        """Return a dispute with statement and notes; NotFound when there is none (of this party)."""
        now = self._now_us()
        async with reading(self._connections) as db:
            row = await self._row(db, act, dispute_id)
            if party is not None and row[2] != party:
                raise NotFound("There is no such dispute.")
            statement = await self._open_text(db, row[22])
            found = await db.execute(
                "SELECT step, kind, author, written_at_us, detail_id FROM dispute_note WHERE dispute_id = %s ORDER BY step",
                (dispute_id,),
            )
            notes = [
                NoteView(step=step, kind=kind, author=author, written_at_us=at, text=await self._open_text(db, detail_id))
                for step, kind, author, at, detail_id in await found.fetchall()
            ]
        return DisputeShown(dispute=_view(row, now), statement=statement, notes=notes)

    async def of_documents(self, document_ids: Sequence[int]) -> dict[int, Sequence[DisputeView]]:
        """Return the disputes about each of these documents, newest first."""
        now = self._now_us()
        async with reading(self._connections) as db:
            found = await db.execute(
                f"{_VIEW} WHERE x.document_id = ANY(%s) ORDER BY x.opened_at_us DESC", (list(document_ids),)
            )
            told: dict[int, Any] = {}
            for row in await found.fetchall():
                told.setdefault(row[21], []).append(_view(row, now))
        return told

    async def ages(self, realm: str) -> dict[str, int]:
        """Count open disputes by how far their clock has run: `fresh` (first half), `due` (second half), `overdue`."""
        now = self._now_us()
        async with reading(self._connections) as db:
            found = await db.execute(
                "SELECT CASE WHEN due_at_us < %(now)s THEN 'overdue' WHEN due_at_us + opened_at_us < 2 * %(now)s THEN 'due' "
                "ELSE 'fresh' END, count(*) FROM dispute WHERE state = 'open' AND realm = %(realm)s GROUP BY 1",
                {"now": now, "realm": REALM_CODES[realm]},
            )
            return {"fresh": 0, "due": 0, "overdue": 0} | {age: int(count) for age, count in await found.fetchall()}

    async def erase(self, act: Act, dispute_id: str, *, evidence: str) -> int:
        """Destroy the keys of what was said in a decided dispute; the decision stays. Returns how many texts went."""
        view, _ = await self._find(act, dispute_id)
        if view.state == "open":
            raise Conflict("The dispute is open: what was said is still needed.")
        async with writing(self._connections, self._now_us()) as write:
            found = await write.all(
                "UPDATE sealed_detail SET wrapped_key = NULL, erased_position = %s WHERE wrapped_key IS NOT NULL AND "
                "(id = (SELECT statement_id FROM dispute WHERE id = %s) "
                "OR id IN (SELECT detail_id FROM dispute_note WHERE dispute_id = %s)) RETURNING hash",
                write.position + 1,
                dispute_id,
                dispute_id,
            )
            for (digest,) in found:
                write.append(
                    Entry(
                        kind=EntryKind.erasure,
                        realm=act.code,
                        recorded_at_us=write.recorded_at_us,
                        happened_at_us=write.recorded_at_us,
                        author=act.author,
                        evidence=evidence,
                        detail_hash=bytes(digest),
                    )
                )
        return len(found)

    # -- inner parts -------------------------------------------------------------------------------------------------------

    async def _insert(
        self,
        write: Write,
        act: Act,
        row: Row,
        position: int,
        dispute_id: str,
        *,
        by: By,
        ground: str,
        case: str,
        statement: str,
        fact: State | None,
        marked: bool,
    ) -> str:
        disputed = fact or state_of(row.standing)
        if disputed is State.current or not row.standing & disputed.bit:
            raise BadInput("This listing does not stand, so it cannot be disputed.", where="fact")
        statement_id = await self._seal(write, statement, dispute_id) if statement.strip() else None
        due_at_us = write.now_us + self._term_us
        made = await write.run(
            "INSERT INTO dispute (id, realm, document_id, raised_by, party, author, fact, ground, case_reference, marked, "
            "statement_id, opened_at_us, due_at_us, position, state) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 'open') ON CONFLICT DO NOTHING",
            dispute_id,
            row.realm,
            row.id,
            by,
            act.author.partition("/")[0],
            act.author,
            disputed.value,
            ground,
            case,
            marked,
            statement_id,
            write.recorded_at_us,
            due_at_us,
            position,
        )
        if made != 1:
            raise Conflict("A dispute about this document is open already.")
        await notices.queue(
            write.db,
            "dispute_received",
            key=f"dispute:{dispute_id}:received",
            now_us=write.recorded_at_us,
            realm=row.realm,
            document_id=row.id,
            values={"reference": dispute_id, "due_us": due_at_us},
        )
        return dispute_id

    async def _find(self, act: Act, dispute_id: str) -> tuple[DisputeView, Known]:
        async with reading(self._connections) as db:
            row = await self._row(db, act, dispute_id)
        return _view(row, self._now_us()), Known(row[21])

    async def _row(self, db: Connection, act: Act, dispute_id: str) -> tuple[Any, ...]:
        row = await (await db.execute(f"{_VIEW} WHERE x.id = %s AND x.realm = %s", (dispute_id, act.realm_code))).fetchone()
        if row is None:
            raise NotFound("There is no such dispute.")
        return row

    async def _seal(self, write: Write, text: str, detail_id: str) -> str:
        sealed = personal.seal(_Statement(text), detail_id, self._keys.envelope)
        await write.run(
            "INSERT INTO sealed_detail (id, ciphertext, hash, wrapped_key) VALUES (%s, %s, %s, %s)",
            detail_id,
            sealed.ciphertext,
            sealed.hash,
            sealed.wrapped_key,
        )
        return detail_id

    async def _open_text(self, db: Connection, detail_id: str | None) -> str | None:
        row = await (
            await db.execute("SELECT ciphertext, wrapped_key FROM sealed_detail WHERE id = %s", (detail_id,))
        ).fetchone()
        if row is None or row[1] is None or detail_id is None:
            return None
        return personal.unseal_as(_Statement, bytes(row[0]), bytes(row[1]), detail_id, self._keys.envelope).text


class _Step(msgspec.Struct):
    step: int


def _view(row: tuple[Any, ...], now_us: int) -> DisputeView:
    fact = State(row[8])
    return DisputeView(
        id=row[0],
        raised_by=row[1],
        party=row[2],
        author=row[3],
        coverage=row[4],
        kind=row[5],
        valid_from_day=row[6],
        status=state_of(row[7]).name,
        after=state_of(row[7] & ~fact.bit).name,
        fact=fact.name,
        ground=row[9],
        case=row[10],
        marked=row[11],
        opened_at_us=row[12],
        due_at_us=row[13],
        overdue=row[14] == "open" and row[13] < now_us,
        state=row[14],
        two_officers=True,
        reason=row[15],
        decided_by=row[16],
        second_officer=row[17],
        decided_at_us=row[18],
        decided_position=row[19],
        proposed_by=row[20],
    )


def _require_open(view: DisputeView) -> None:
    if view.state != "open":
        raise Conflict(f"The dispute was decided: {view.state}.")


async def _proposer(write: Write, dispute_id: str) -> Hand:
    """Return who proposed the correction, as it stands in this transaction."""
    row = await write.one("SELECT proposed_by, proposed_with FROM dispute WHERE id = %s FOR UPDATE", dispute_id)
    if row is None or row[0] is None:
        raise Forbidden(_SECOND, mend=_TWO_STEPS)
    return Hand(row[0], row[1])


async def _guard(write: Write, dispute_id: str, sql: str, *values: object) -> None:
    """Run an update of an open dispute; the id is its last value."""
    if await write.run(sql, *values, dispute_id) != 1:
        raise Conflict("The dispute was decided meanwhile.")
