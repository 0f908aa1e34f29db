"""Cases: misuse of a document is established with evidence, by different persons one after another, or it is not established.

A desk or a relying party reports; the police investigate and say who it was and how that is known; two supervisors decide; the
person is told before anything counts, and waits with it; an appeal is heard by another office. What may follow what, and whose
hands must differ, stands in `records.case`; here it is kept, each step in the log.

What must never happen here: an entry of the list without a case that went the whole way; one person's hand in two steps that
must be apart; a text about a person in a row (there is none: evidence is digests, grounds are words without numbers).
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec

from annul.errors import BadInput, Conflict, Forbidden, NotFound, OverQuota
from annul.records.case import (
    APART,
    APPEAL_US,
    HEARING_US,
    TERM_DAYS_MAX,
    WAITING_US,
    CaseEvent,
    CaseState,
    next_case_state,
)
from annul.records.document import person_block
from annul.registry.conduct import impostors
from annul.registry.notices.outbox import queue
from annul.registry.parties.policies import require_words
from annul.registry.people.rows import by_key
from annul.registry.writing.act import Act
from annul.registry.writing.ground import Ground
from annul.registry.writing.pen import remember, replay
from annul.registry.writing.second import Hand, require_second
from annul.registry.writing.store import Connections, Write, reading, writing
from annul.times import DAY_US

CASES_A_DAY: Final = 50
"""Cases one party opens within a day; whoever meets more has another problem than cases."""
EVIDENCE_MAX: Final = 200
PAGE_MAX: Final = 200
EVIDENCE_NEEDED: Final = {"confession": 1, "biometric": 2, "seized": 2, "witnessed": 3}
"""Standard of proof -> pieces of evidence it takes at least."""

Misuse = Literal["another-persons-document", "forged-document", "lent-document", "sold-document", "account-takeover"]
Standard = Literal["confession", "biometric", "seized", "witnessed"]
EvidenceKind = Literal["photograph", "recording", "document", "receipt", "statement", "report"]
Decision = Literal["list", "dismiss", "uphold", "overturn"]

_APART: Final = "Who did an earlier step of this case does not do this one."
_MEND: Final = "Another person does it, who signs in with a credential of her own."


class CaseMoved(msgspec.Struct, frozen=True):
    """Say what became of a case.

    Args:
        case: reference of the case for which this is done; it is on record with the look-up.
        state: its present state.
        position: position in the register log; 0-based and dense.
    """

    case: str
    state: CaseState
    position: int


class CaseView(msgspec.Struct, frozen=True, kw_only=True):
    """A case without the person: who that is stands in the register of persons alone.

    Args:
        identified: somebody said who it was (`identified_by`: by what).
        due_at_us: end of the clock that runs: waiting time, hearing, term of the entry; 0 when none runs.
    """

    id: str
    state: CaseState
    misuse: str
    reference: str
    reported_by: str
    opened_at_us: int
    investigator: str | None
    identified: bool
    identified_by: str
    standard: str
    grounds: str
    term_days: int
    evidence: int
    decided_at_us: int | None
    effective_at_us: int | None
    appeal_until_us: int | None
    appealed_at_us: int | None
    due_at_us: int


class _Row(msgspec.Struct, frozen=True, array_like=True):
    id: str
    realm: int
    state: CaseState
    reported: Hand
    investigator: Hand
    first: Hand
    second: Hand
    subject_key: bytes | None
    subject_person: int | None
    key_epoch: int
    term_us: int
    appeal_until_us: int | None
    effective_at_us: int | None

    def hand(self, name: str) -> Hand:
        """Return whose hand did an earlier step."""
        found: Hand = getattr(self, name)
        return found


class Cases:
    """Open cases, move them on, show them.

    Args:
        ground: what every part stands on.
    """

    def __init__(self, ground: Ground) -> None:
        self._connections, self._keys, self._now_us = ground.connections, ground.keys, ground.now_us

    async def open(self, act: Act, *, misuse: Misuse, reference: str) -> CaseMoved:
        """Report misuse.

        Args:
            reference: of the reporter's own file; no number of a person or document.

        Raises:
            OverQuota: the party opened CASES_A_DAY today.
        """
        require_words(reference, "/reference", needed=True)
        party = act.author.partition("/")[0]
        async with writing(self._connections, self._now_us()) as write:
            known = await replay(write, act, CaseMoved)
            if known is not None:
                return known
            opened = await write.one(
                "SELECT count(*) FROM misuse_case WHERE split_part(reported_by, '/', 1) = %s AND opened_at_us > %s",
                party,
                write.recorded_at_us - DAY_US,
            )
            if opened is not None and opened[0] >= CASES_A_DAY:
                raise OverQuota(f"A party opens at most {CASES_A_DAY} cases within a day.", mend="Tell the police at once.")
            case = "ca_" + secrets.token_hex(12)
            position = write.note(act.author, case, b"case reported", realm=act.code)
            await write.run(
                "INSERT INTO misuse_case (id, realm, state, misuse, reported_by, reported_with, reference, opened_at_us, "
                "position) "
                "VALUES (%s, %s, 'reported', %s, %s, %s, %s, %s, %s)",
                case,
                act.realm_code,
                misuse,
                act.author,
                act.credential,
                reference,
                write.recorded_at_us,
                position,
            )
            moved = CaseMoved(case, "reported", position)
            await remember(write, act, moved)
        return moved

    async def add_evidence(
        self, act: Act, case: str, pieces: Sequence[tuple[str, EvidenceKind]], *, party: str | None = None
    ) -> CaseMoved:
        """Add digests of evidence, before anything was decided.

        Args:
            pieces: SHA-256 in hexadecimal, and what it is of.
            party: only to a case this party reported; None: to any (the police).
        """
        if not 1 <= len(pieces) <= EVIDENCE_MAX:
            raise BadInput(f"Give 1 to {EVIDENCE_MAX} pieces of evidence.", where="/evidence")
        async with writing(self._connections, self._now_us()) as write:
            known = await replay(write, act, CaseMoved)
            if known is not None:
                return known
            row = await _locked(write, act, case, party)
            if row.state not in ("reported", "investigated"):
                raise Conflict("Evidence is added before a case is proposed for decision.")
            position = write.position
            for place, (digest, kind) in enumerate(pieces):
                raw = bytes.fromhex(digest)
                position = write.note(act.author, case, b"evidence v1\0" + raw, realm=act.code)
                added = await write.run(
                    "INSERT INTO case_evidence (case_id, sha256, kind, added_by, added_at_us, position) "
                    "VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
                    case,
                    raw,
                    kind,
                    act.author,
                    write.recorded_at_us,
                    position,
                )
                if not added:
                    raise Conflict("This piece is in the file already.", where=f"/evidence/{place}")
            count = await write.one("SELECT count(*) FROM case_evidence WHERE case_id = %s", case)
            if count is not None and count[0] > EVIDENCE_MAX:
                raise BadInput(f"A file holds at most {EVIDENCE_MAX} pieces of evidence.", where="/evidence")
            moved = CaseMoved(case, row.state, position)
            await remember(write, act, moved)
        return moved

    async def take_up(self, act: Act, case: str) -> CaseMoved:
        """Take a case up as its investigator, who did not report it."""
        return await self._move(act, case, "take_up", "investigator = %s, investigator_with = %s", act.author, act.credential)

    async def propose(
        self,
        act: Act,
        case: str,
        personal_number: str,
        *,
        identified_by: Literal["fingerprint", "face", "papers", "confession"],
        standard: Standard,
        grounds: str,
        term_days: int,
    ) -> CaseMoved:
        """Say who it was, how that is known, and for how long the person is to be listed; as the investigator alone.

        Args:
            personal_number: of the person; it must be in the register of persons, exactly once. It is kept keyed.
            grounds: in words, without numbers.

        Raises:
            Forbidden: another person investigates.
            NotFound: the register of persons does not hold this number.
            Conflict: the standard of proof takes more evidence than the file has.
        """
        require_words(grounds, "/grounds", needed=True)
        if not 1 <= term_days <= TERM_DAYS_MAX:
            raise BadInput(f"A term has 1 to {TERM_DAYS_MAX} days.", where="/term_days")
        key = self._keys.documents(act.realm).blind(person_block(personal_number))

        async def check(write: Write, row: _Row) -> None:
            if row.investigator != Hand(act.author, act.credential):
                raise Forbidden("The investigator of this case proposes, and nobody else.")
            count = await write.one("SELECT count(*) FROM case_evidence WHERE case_id = %s", case)
            if count is None or count[0] < EVIDENCE_NEEDED[standard]:
                needed = EVIDENCE_NEEDED[standard]
                raise Conflict(f"This standard of proof takes {needed} pieces of evidence.", where="/standard")

        async with reading(self._connections) as db:
            found = await by_key(db, act.realm_code, key)
        if len(found) != 1:
            raise NotFound("The register of persons does not hold this number, or not once.", where="/personal_number")
        return await self._move(
            act,
            case,
            "propose",
            "subject_key = %s, subject_person = %s, key_epoch = %s, identified_by = %s, standard = %s, grounds = %s, "
            "term_us = %s",
            key,
            found[0].id,
            self._keys.epoch,
            identified_by,
            standard,
            grounds,
            term_days * DAY_US,
            check=check,
        )

    async def decide(self, act: Act, case: str, decision: Decision, *, reason: str) -> CaseMoved:
        """Decide: `list` is signed by one and decided by another; `uphold` and `overturn` end an appeal; `dismiss` ends a case.

        Raises:
            Forbidden: this hand did an earlier step (`records.case.APART`), or the appeal is before the office that decided.
            TransitionRefused: the step does not follow.
        """
        require_words(reason, "/reason", needed=True)
        if decision == "dismiss":
            return await self._move(act, case, "dismiss", "closed_at_us = %s", self._now_us(), say=reason)
        if decision in ("uphold", "overturn"):
            return await self._hear(act, case, decision, reason)
        state = (await self.view(act.realm_code, case)).state
        if state != "signed":
            return await self._move(act, case, "sign", "first_by = %s, first_with = %s", act.author, act.credential, say=reason)
        now = self._now_us()
        values = (act.author, act.credential, now, now, now + WAITING_US, now + APPEAL_US)
        sets = (
            "second_by = %s, second_with = %s, decided_at_us = %s, told_at_us = %s, effective_at_us = %s, appeal_until_us = %s"
        )
        return await self._move(act, case, "decide", sets, *values, say=reason, tell="misuse_decided")

    async def appeal(self, act: Act, case: str, *, words: str) -> CaseMoved:
        """Enter the person's appeal; while it is heard, nothing of the case counts.

        Raises:
            Conflict: the term of the appeal is over.
        """
        require_words(words, "/words", needed=True)

        async def check(write: Write, row: _Row) -> None:
            if row.appeal_until_us is not None and row.appeal_until_us < write.recorded_at_us:
                raise Conflict("The term of the appeal is over.", mend="New facts reopen it at the office that decided.")

        now = self._now_us()
        sets = "appealed_by = %s, appealed_with = %s, appealed_at_us = %s, appeal_due_us = %s"
        values = (act.author, act.credential, now, now + HEARING_US)
        return await self._move(act, case, "appeal", sets, *values, check=check)

    async def _hear(self, act: Act, case: str, decision: CaseEvent, reason: str) -> CaseMoved:
        async def check(write: Write, row: _Row) -> None:
            office = act.author.partition("/")[0]
            if office in (hand.author.partition("/")[0] for hand in (row.first, row.second, row.investigator)):
                raise Forbidden("An appeal is heard by another office than the one that decided.", mend=_MEND)
            if decision == "uphold":
                await impostors.put(write, row.id, row.realm, row.subject_key, row.key_epoch, row.subject_person, row.term_us)

        sets, tell = ("appeal_by = %s", "misuse_upheld") if decision == "uphold" else ("appeal_by = %s", "misuse_ended")
        return await self._move(act, case, decision, sets, act.author, check=check, say=reason, tell=tell)

    async def _move(
        self,
        act: Act,
        case: str,
        event: CaseEvent,
        sets: str,
        *values: object,
        check: Any = None,
        say: str = "",
        tell: str = "",
    ) -> CaseMoved:
        """Carry out one step: what it needs, what it sets, its line and its entry, in one write."""
        async with writing(self._connections, self._now_us()) as write:
            known = await replay(write, act, CaseMoved)
            if known is not None:
                return known
            row = await _locked(write, act, case, None)
            after = next_case_state(row.state, event)
            for name in APART.get(event, ()):
                await require_second(write, act, row.hand(name), sentence=_APART, mend=_MEND)
            if check is not None:
                await check(write, row)
            position = await step(write, row.id, row.state, event, after, act.author, digest=say)
            await write.run(f"UPDATE misuse_case SET state = %s, {sets} WHERE id = %s", after, *values, case)
            if tell:
                await notify(write, row.id, row.realm, row.subject_person, tell, position)
            if after == "overturned":
                await impostors.purge(write, row.id)
            moved = CaseMoved(case, after, position)
            await remember(write, act, moved)
        return moved

    async def view(self, realm: int, case: str, *, party: str | None = None) -> CaseView:
        """Return a case; NotFound when there is none (that this party reported)."""
        async with reading(self._connections) as db:
            row = await (await db.execute(f"{_VIEW} WHERE c.id = %s AND c.realm = %s", (case, realm))).fetchone()
        if row is None or (party is not None and row[4].partition("/")[0] != party):
            raise NotFound("There is no such case.")
        return _view(row)

    async def list(self, realm: int, *, state: str = "", party: str | None = None, limit: int = 100) -> Sequence[CaseView]:
        """Return cases, newest first: of one state, those one party reported, or all."""
        if not 1 <= limit <= PAGE_MAX:
            raise BadInput(f"A page has 1 to {PAGE_MAX} cases.", where="?limit")
        async with reading(self._connections) as db:
            found = await db.execute(
                f"{_VIEW} WHERE c.realm = %(realm)s AND (%(state)s = '' OR c.state = %(state)s) AND (%(party)s::text IS NULL "
                "OR split_part(reported_by, '/', 1) = %(party)s) ORDER BY opened_at_us DESC, c.id LIMIT %(limit)s",
                {"realm": realm, "state": state, "party": party, "limit": limit},
            )
            return [_view(row) for row in await found.fetchall()]


async def step(write: Write, case: str, was: str, event: CaseEvent, became: str, author: str, *, digest: str = "") -> int:
    """Enter a step of a case in the log and in its file; return its position.

    Args:
        digest: words of which the log keeps the SHA-256.
    """
    said = b"\0" + hashlib.sha256(digest.encode()).digest() if digest else b""
    position = write.note(author, case, f"case {event}".encode() + said)
    await write.run(
        "INSERT INTO case_step (case_id, step, event, was, became, author, at_us, position) "
        "SELECT %s, count(*) + 1, %s, %s, %s, %s, %s, %s FROM case_step WHERE case_id = %s",
        case,
        event,
        was,
        became,
        author,
        write.recorded_at_us,
        position,
        case,
    )
    return position


async def notify(write: Write, case: str, realm: int, person: int | None, kind: str, position: int) -> None:
    """Tell the person concerned what became of a case."""
    await queue(
        write.db,
        kind,
        key=f"case:{case}:{kind}:{position}",
        now_us=write.recorded_at_us,
        realm=realm,
        person_id=person,
        values={
            "reference": case,
            "recorded_at_us": write.recorded_at_us,
            "until_us": write.recorded_at_us + WAITING_US,
            "appeal_us": write.recorded_at_us + APPEAL_US,
        },
    )


CASES_DUE: Final = (
    "SELECT EXISTS (SELECT 1 FROM misuse_case WHERE (state = 'told' AND effective_at_us <= %(now)s) "
    "OR (state = 'appealed' AND appeal_due_us <= %(now)s)) "
    "OR EXISTS (SELECT 1 FROM impostor WHERE subject_key IS NOT NULL AND ends_at_us <= %(now)s)"
)
"""Tells whether `carry_out_due` has anything to do."""


async def carry_out_due(connections: Connections, now_us: int) -> int:
    """Do what the clock asks: entries take effect, unheard appeals end in the person's favour, terms end; return how many."""
    done = 0
    async with writing(connections, now_us) as write:
        due = await write.all(
            f"SELECT {_ROW} FROM misuse_case c WHERE (state = 'told' AND effective_at_us <= %(now)s) "
            "OR (state = 'appealed' AND appeal_due_us <= %(now)s) OR (state = 'listed' AND EXISTS "
            "(SELECT 1 FROM impostor i WHERE i.case_id = c.id AND subject_key IS NOT NULL AND ends_at_us <= %(now)s)) "
            "ORDER BY c.id FOR UPDATE".replace("%(now)s", "%s"),
            *[write.recorded_at_us] * 3,
        )
        for raw in due:
            row = _row(raw)
            event: CaseEvent = {"told": "take_effect", "appealed": "overturn", "listed": "expire"}[row.state]  # type: ignore[assignment]
            after = next_case_state(row.state, event)
            position = await step(write, row.id, row.state, event, after, "annul")
            await write.run("UPDATE misuse_case SET state = %s WHERE id = %s", after, row.id)
            if event == "take_effect":
                await impostors.put(write, row.id, row.realm, row.subject_key, row.key_epoch, row.subject_person, row.term_us)
            else:
                await notify(write, row.id, row.realm, row.subject_person, "misuse_ended", position)
                await impostors.purge(write, row.id)
            done += 1
    return done


_ROW: Final = (
    "c.id, c.realm, c.state, c.reported_by, c.reported_with, c.investigator, c.investigator_with, c.first_by, c.first_with, "
    "c.second_by, c.second_with, c.subject_key, c.subject_person, c.key_epoch, c.term_us, c.appeal_until_us, c.effective_at_us"
)
_VIEW: Final = (
    "SELECT c.id, c.state, misuse, reference, reported_by, opened_at_us, investigator, subject_key IS NOT NULL, identified_by, "
    "standard, grounds, term_us, (SELECT count(*) FROM case_evidence e WHERE e.case_id = c.id), decided_at_us, "
    "effective_at_us, "
    "appeal_until_us, appealed_at_us, coalesce(CASE c.state WHEN 'told' THEN effective_at_us WHEN 'appealed' THEN "
    "appeal_due_us "
    "WHEN 'listed' THEN (SELECT ends_at_us FROM impostor i WHERE i.case_id = c.id) END, 0) FROM misuse_case c"
)


def _row(raw: Sequence[Any]) -> _Row:
    hands = [Hand(raw[place] or "", raw[place + 1]) for place in (3, 5, 7, 9)]
    return _Row(*raw[:3], *hands, *raw[11:])


def _view(row: Sequence[Any]) -> CaseView:
    values = dict(zip(CaseView.__struct_fields__, row, strict=True))
    return CaseView(**values | {"term_days": values["term_days"] // DAY_US})


async def _locked(write: Write, act: Act, case: str, party: str | None) -> _Row:
    raw = await write.one(f"SELECT {_ROW} FROM misuse_case c WHERE c.id = %s AND c.realm = %s FOR UPDATE", case, act.realm_code)
    if raw is None or (party is not None and raw[3].partition("/")[0] != party):
        raise NotFound("There is no such case.")
    return _row(raw)
