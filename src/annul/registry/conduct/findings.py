"""Findings: what a party is told of business without its check, and everything it may say to that before anything counts.

    noticed -> answered -> upheld -> appealed -> final        the party answers within its term; an appeal has its own
                        -> dismissed                          and is decided by another person
            -> cleared                                        every event was answered with a receipt

A receipt is the defence: an event whose check the party can show is covered, whatever the reconciliation found, and nobody has
to decide that. What must never happen here: a decision before the term of the answer is over, unless the party has answered; an
appeal decided by who decided before; a receipt of another party, document or time that clears an event.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from annul.errors import BadInput, Conflict, Forbidden, NotFound
from annul.proof.leaf import FLAG_TEST_REALM
from annul.proof.receipt import verify
from annul.records.codes import BindingCode, Outcome, Purpose
from annul.records.references import Tag
from annul.registry.accounts.accounts import Accounts
from annul.registry.conduct.eventkey import NO_KEY
from annul.registry.notices.outbox import queue
from annul.registry.parties.policies import require_words
from annul.registry.writing.act import Act
from annul.registry.writing.ground import Ground
from annul.registry.writing.pen import remember, replay
from annul.registry.writing.second import Hand, require_second
from annul.registry.writing.store import REALM_CODES, Connection, Connections, Write, reading, writing
from annul.times import DAY_US

APPEAL_DAYS: Final = 30
"""Term in which a party appeals, and in which the appeal is to be decided."""
PAGE_MAX: Final = 500
RECEIPTS_MAX: Final = 500
"""Receipts of one answer; more make several answers."""

FindingKind = Literal["late", "unchecked", "departed", "forged"]
FindingState = Literal["noticed", "answered", "upheld", "appealed", "final", "dismissed", "cleared"]
Verdict = Literal["upheld", "dismissed"]

_OTHER: Final = "An appeal is decided by another person than the decision."


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One finding: a place, a kind of fault, the events, and what was said and decided.

    Args:
        event_count, open_count: events it was opened with, and those no receipt has covered since.
        from_us, until_us: first and last of them.
        due_at_us: end of the term that runs: of the answer, of an appeal, of the appeal's decision.
        evidence: SHA-256 of the events, as the log holds it since `noticed_at_us`.
    """

    id: str
    party: str
    branch: str
    kind: FindingKind
    event_count: int
    open_count: int
    from_us: int
    until_us: int
    state: FindingState
    noticed_at_us: int
    due_at_us: int
    evidence: str
    answer: str
    decided_by: str | None
    decided_at_us: int | None
    reason: str
    appeal: str
    position: int


class FoundEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event of a finding: what the party called it, and what was found instead of its check.

    Args:
        check, checked_at_us: the check that was found (late, or the one that said STOP); "" and 0 when there is none.
        cleared_by: id of the check whose receipt covers it since.
    """

    reference: str
    happened_at_us: int
    business: str
    terminal: str
    check: str
    checked_at_us: int
    cleared_by: str


class Defence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A receipt for one event, by the party's own reference.

    Args:
        reference: the caller's own reference; at most 64 characters.
        receipt: the signed receipt, as it stands in the answer.
    """

    reference: Tag
    receipt: dict[str, Any]


class FindingMoved(msgspec.Struct, frozen=True):
    """Say what became of a finding.

    Args:
        finding: id of the finding.
        state: its present state.
        open_count: events that no receipt has covered since.
        position: position in the register log; 0-based and dense.
    """

    finding: str
    state: str
    open_count: int
    position: int


class _Due(msgspec.Struct, frozen=True, array_like=True):
    """What a receipt has to meet: an open event with its duty."""

    id: int
    reference: str
    happened_at_us: int
    business: str
    branch: str
    terminal: str
    document_key: bytes
    number_key: bytes
    key_epoch: int
    kind: str
    before_us: int
    purposes: list[str]
    comparison: bool


class Findings:
    """List findings, take answers and appeals, decide.

    Args:
        ground: what every part stands on.
        accounts: finds the check of a receipt.
    """

    def __init__(self, ground: Ground, accounts: Accounts) -> None:
        self._connections, self._keys, self._now_us = ground.connections, ground.keys, ground.now_us
        self._accounts = accounts
        self._verifier = ground.keys.receipt_signer().verifier

    async def list(
        self,
        realm: str,
        *,
        party: str | None = None,
        branch: str | None = None,
        state: str = "",
        after: str = "",
        limit: int = 100,
    ) -> Sequence[Finding]:
        """Return findings, those whose term ends first at the top.

        Args:
            party, branch: those of one alone; None: of all.
            state: one state; "": all that are not closed.
            after: id of the last finding of the page before.

        Raises:
            BadInput: the limit is outside of its range.
        """
        if not 1 <= limit <= PAGE_MAX:
            raise BadInput(f"A page has 1 to {PAGE_MAX} findings.", where="?limit")
        states = [state] if state else ["noticed", "answered", "upheld", "appealed"]
        async with reading(self._connections) as db:
            found = await db.execute(
                f"{_VIEW} WHERE realm = %(realm)s AND state = ANY(%(states)s) AND (%(party)s::text IS NULL "
                "OR party = %(party)s) AND (%(branch)s::text IS NULL OR branch = %(branch)s) "
                "AND (%(after)s = '' OR (due_at_us, id) > "
                "(SELECT due_at_us, id FROM finding WHERE id = %(after)s)) ORDER BY due_at_us, id LIMIT %(limit)s",
                {
                    "realm": REALM_CODES[realm],
                    "states": states,
                    "party": party,
                    "branch": branch,
                    "after": after,
                    "limit": limit,
                },
            )
            return [_view(row) for row in await found.fetchall()]

    async def view(self, realm: str, finding: str, *, party: str | None = None) -> tuple[Finding, Sequence[FoundEvent]]:
        """Return a finding and its first PAGE_MAX events, open ones first; NotFound when there is none (of this party)."""
        async with reading(self._connections) as db:
            shown = await _find(db, REALM_CODES[realm], finding, party)
            found = await db.execute(
                "SELECT reference, happened_at_us, business, terminal, encode(check_id, 'hex'), checked_at_us, cleared_by "
                "FROM conduct_verdict v JOIN business_event e ON e.id = v.event WHERE finding = %s "
                "ORDER BY cleared_by <> '', happened_at_us, e.id LIMIT %s",
                (finding, PAGE_MAX),
            )
            rows = await found.fetchall()
        names = FoundEvent.__struct_fields__
        return shown, [FoundEvent(**dict(zip(names, row, strict=True))) for row in rows]

    async def answer(self, act: Act, party: str, finding: str, *, words: str, receipts: Sequence[Defence] = ()) -> FindingMoved:
        """Take a party's answer; each receipt that is its check of that document in time covers its event at once.

        Raises:
            VerificationFailed: a receipt is not one of this register; nothing of the answer is kept.
            Forbidden: a receipt is of another party, document, time, or lacks what the duty asks; `where` names it.
            Conflict: the finding was decided, or the term of the answer is over.
        """
        require_words(words, "/words", needed=not receipts)
        if len(receipts) > RECEIPTS_MAX:
            raise BadInput(f"An answer has at most {RECEIPTS_MAX} receipts; send another one.", where="/receipts")
        async with reading(self._connections) as db:
            await _find(db, act.realm_code, finding, party)
            due = {each.reference: each for each in await _due_events(db, finding, [each.reference for each in receipts])}
        cleared: dict[int, tuple[_Due, str]] = {}
        for place, shown in enumerate(receipts):
            where = f"/receipts/{place}"
            event = due.get(shown.reference)
            if event is None:
                raise NotFound("This finding has no open event of this reference.", where=f"{where}/reference")
            cleared[event.id] = event, await asyncio.to_thread(self._covers, act, party, event, shown.receipt, where)
        async with writing(self._connections, self._now_us()) as write:
            known = await replay(write, act, FindingMoved)
            if known is not None:
                return known
            row = await _locked(write, act, finding, ("noticed", "answered"), party)
            if row.due_at_us < write.recorded_at_us:
                raise Conflict("The term of the answer is over.", mend="Appeal when it is decided.")
            left = row.open_count - await _clear(write, act.realm_code, party, finding, cleared)
            state = "answered" if left else "cleared"
            position = write.note(act.author, finding, b"answered; open " + str(left).encode(), realm=act.code)
            await write.run(
                "UPDATE finding SET state = %s, open_count = %s, answer = CASE WHEN %s = '' THEN answer ELSE %s END, "
                "answered_by = %s, answered_at_us = %s WHERE id = %s",
                state,
                left,
                words,
                words,
                act.author,
                write.recorded_at_us,
                finding,
            )
            moved = FindingMoved(finding, state, left, position)
            await remember(write, act, moved)
        return moved

    def _covers(self, act: Act, party: str, event: _Due, receipt: Mapping[str, Any], where: str) -> str:
        """Return the id of the check a receipt proves, when it covers the event."""
        verified = verify(dict(receipt), self._verifier)
        leaf = verified.leaf
        theirs = leaf.party.rstrip(b"\0").decode("ascii") == party
        if not theirs or bool(leaf.flags & FLAG_TEST_REALM) != (act.realm == "test"):
            raise Forbidden("This receipt is not one of yours.", where=where)
        document, number = self._accounts.keys_of_receipt(receipt)
        keys = self._keys.documents(act.realm)
        wanted, by_number = (
            key if key == NO_KEY else keys.advance(key, event.key_epoch) for key in (event.document_key, event.number_key)
        )
        same = wanted == document if NO_KEY not in (wanted, document) else by_number == number
        if not same or (wanted == NO_KEY and by_number == NO_KEY):
            raise Forbidden("This receipt is about another document.", where=where)
        if not event.happened_at_us - event.before_us <= leaf.checked_at_us <= event.happened_at_us:
            raise Forbidden("This check was not made in the time the duty gives before the business.", where=where)
        if leaf.outcome >= Outcome.STOP.octet:
            raise Forbidden("This check did not say that the document may be relied on.", where=where)
        if event.purposes and Purpose.of_octet(leaf.purpose).value not in event.purposes:
            raise Forbidden("This check was made for another purpose than the duty names.", where=where)
        if event.comparison and leaf.binding != BindingCode.B0.octet:
            raise Forbidden("Bearer and holder were not compared in this check, as the duty asks.", where=where)
        return verified.receipt.check

    async def decide(self, act: Act, finding: str, verdict: Verdict, *, reason: str) -> FindingMoved:
        """Decide a finding, or the appeal against its decision, which another person does.

        Raises:
            Conflict: the party may still answer, or it was decided for good.
            Forbidden: the decision is appealed, and this may be the person who made it (`writing.second`).
        """
        require_words(reason, "/reason", needed=True)
        async with writing(self._connections, self._now_us()) as write:
            known = await replay(write, act, FindingMoved)
            if known is not None:
                return known
            row = await _locked(write, act, finding, ("noticed", "answered", "appealed"), None)
            if row.state == "noticed" and row.due_at_us >= write.recorded_at_us:
                raise Conflict("The party may still answer: nothing is decided before its term is over.")
            state = verdict if row.state != "appealed" else "final" if verdict == "upheld" else "dismissed"
            position = write.note(act.author, finding, b"decided " + state.encode(), realm=act.code)
            if row.state == "appealed":
                by = await write.one("SELECT decided_by, decided_with FROM finding WHERE id = %s", finding)
                assert by is not None
                await require_second(write, act, Hand(*by), sentence=_OTHER)
                await write.run(
                    "UPDATE finding SET state = %s, appeal_decided_by = %s, appeal_decided_at_us = %s, reason = %s "
                    "WHERE id = %s",
                    state,
                    act.author,
                    write.recorded_at_us,
                    reason,
                    finding,
                )
            else:
                await write.run(
                    "UPDATE finding SET state = %s, decided_by = %s, decided_with = %s, decided_at_us = %s, reason = %s, "
                    "due_at_us = %s WHERE id = %s",
                    state,
                    act.author,
                    act.credential,
                    write.recorded_at_us,
                    reason,
                    write.recorded_at_us + APPEAL_DAYS * DAY_US,
                    finding,
                )
            await queue(
                write.db,
                "finding_decided",
                key=f"finding:{finding}:{state}:{position}",
                now_us=write.recorded_at_us,
                realm=act.realm_code,
                party=row.party,
                values={"finding": finding, "state": state, "position": position},
            )
            moved = FindingMoved(finding, state, row.open_count, position)
            await remember(write, act, moved)
        return moved

    async def appeal(self, act: Act, party: str, finding: str, *, words: str) -> FindingMoved:
        """Appeal against a decision that upheld a finding, within its term.

        Raises:
            Conflict: it was not upheld, or the term is over.
        """
        require_words(words, "/words", needed=True)
        async with writing(self._connections, self._now_us()) as write:
            known = await replay(write, act, FindingMoved)
            if known is not None:
                return known
            row = await _locked(write, act, finding, ("upheld",), party)
            if row.due_at_us < write.recorded_at_us:
                raise Conflict("The term of the appeal is over.")
            position = write.note(act.author, finding, b"appealed", realm=act.code)
            await write.run(
                "UPDATE finding SET state = 'appealed', appeal = %s, appealed_by = %s, appealed_at_us = %s, due_at_us = %s "
                "WHERE id = %s",
                words,
                act.author,
                write.recorded_at_us,
                write.recorded_at_us + APPEAL_DAYS * DAY_US,
                finding,
            )
            moved = FindingMoved(finding, "appealed", row.open_count, position)
            await remember(write, act, moved)
        return moved


async def close_due(connections: Connections, now_us: int) -> int:
    """Make final what was upheld and not appealed in its term; return how many."""
    async with writing(connections, now_us) as write:
        due = await write.all(
            "UPDATE finding SET state = 'final' WHERE state = 'upheld' AND due_at_us < %s RETURNING id", write.recorded_at_us
        )
        for (finding,) in due:
            write.note("annul", finding, b"final: not appealed in its term")
    return len(due)


CLOSE_DUE: Final = "SELECT EXISTS (SELECT 1 FROM finding WHERE state = 'upheld' AND due_at_us < %(now)s)"
"""Tells whether `close_due` has anything to do."""

_VIEW: Final = (
    "SELECT id, party, branch, kind, event_count, open_count, from_us, until_us, state, noticed_at_us, due_at_us, "
    "encode(evidence, 'hex'), answer, decided_by, decided_at_us, reason, appeal, position FROM finding"
)


def _view(row: Sequence[Any]) -> Finding:
    return Finding(**dict(zip(Finding.__struct_fields__, row, strict=True)))


async def _find(db: Connection, realm: int, finding: str, party: str | None) -> Finding:
    row = await (await db.execute(f"{_VIEW} WHERE id = %s AND realm = %s", (finding, realm))).fetchone()
    if row is None or (party is not None and row[1] != party):
        raise NotFound("There is no such finding.")
    return _view(row)


async def _locked(write: Write, act: Act, finding: str, states: Sequence[str], party: str | None) -> Finding:
    """Return a finding that is in one of these states, held until the end of this write."""
    row = await write.one(f"{_VIEW} WHERE id = %s AND realm = %s FOR UPDATE", finding, act.realm_code)
    if row is None or (party is not None and row[1] != party):
        raise NotFound("There is no such finding.")
    view = _view(row)
    if view.state not in states:
        raise Conflict(f"This finding is {view.state}: this step does not follow.")
    return view


async def _due_events(db: Connection, finding: str, references: Sequence[str]) -> list[_Due]:
    found = await db.execute(
        "SELECT e.id, reference, happened_at_us, e.business, branch, terminal, document_key, number_key, key_epoch, kind, "
        "before_us, purposes, comparison FROM conduct_verdict v JOIN business_event e ON e.id = v.event "
        "JOIN conduct_duty d ON d.party = e.party AND d.business = e.business AND d.version = e.duty "
        "WHERE finding = %s AND reference = ANY(%s) AND cleared_by = ''",
        (finding, list(references)),
    )
    return [_Due(*row) for row in await found.fetchall()]


async def _clear(write: Write, realm: int, party: str, finding: str, cleared: Mapping[int, tuple[_Due, str]]) -> int:
    """Note which check covers which event, move the counts, and return how many were open until now."""
    done = 0
    for event, check in cleared.values():
        changed = await write.run(
            "UPDATE conduct_verdict SET cleared_by = %s WHERE event = %s AND finding = %s AND cleared_by = ''",
            check,
            event.id,
            finding,
        )
        done += changed
        for kind, more in ((event.kind, -changed), ("covered", changed)):
            await write.run(
                "INSERT INTO conduct_count (realm, party, branch, terminal, business, day, kind, count) "
                "VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (realm, party, branch, terminal, business, day, kind) "
                "DO UPDATE SET count = conduct_count.count + excluded.count",
                realm,
                party,
                event.branch,
                event.terminal,
                event.business,
                event.happened_at_us // DAY_US,
                kind,
                more,
            )
    return done
