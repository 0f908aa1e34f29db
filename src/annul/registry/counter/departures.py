"""What a counter leaves behind a check: departures from the answer, and urgent needs until the new card is shown.

A departure is bound to its check by the receipt: it can be recorded only for an answer this register signed for this party. The
register log holds its digest, so that it cannot be changed or left out later. An urgent need is a departure with a due date: it
stays open until a check of the holder's new document.

What must never happen here: a departure without a check, or two for one; a refusal that tells a party more than its agreement
allows.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal

import msgspec
import psycopg

from annul.errors import BadInput, Conflict, Forbidden, NotFound
from annul.proof.leaf import FLAG_TEST_REALM, Leaf
from annul.proof.receipt import Verified, verify
from annul.records.codes import (
    BindingCode,
    Channel,
    IdentityCode,
    Outcome,
    Purpose,
    StatusCode,
)
from annul.records.policy import DEFAULT_POLICY
from annul.records.references import TAG_MAX, require_reference
from annul.registry.accounts import counts
from annul.registry.accounts.accounts import Accounts
from annul.registry.notices.outbox import queue
from annul.registry.parties.parties import Principal
from annul.registry.parties.policies import require_words
from annul.registry.writing.act import Act
from annul.registry.writing.ground import Ground
from annul.registry.writing.pen import remember, replay
from annul.registry.writing.store import REALM_CODES, Connections, Write, reading, writing
from annul.times import DAY_US, LONG_TERM_DAY

DECIDE_WITHIN_US: Final = DAY_US
"""A departure is recorded on the day of its check; later it would be a memory."""
PAGE_MAX: Final = 500

DecisionName = Literal["proceeded", "refused"]
ReasonName = Literal[
    "second-document",
    "issuer-confirmed",
    "holder-known",
    "superior-decided",
    "urgent-need",
    "bearer-doubted",
    "document-doubted",
    "other",
]
REASONS: Final[dict[str, tuple[str, ...]]] = {
    "proceeded": ("second-document", "issuer-confirmed", "holder-known", "superior-decided", "other"),
    "refused": ("bearer-doubted", "document-doubted", "superior-decided", "other"),
}
"""Reasons a clerk can give for each decision; an urgent need is its own act. `other` needs words."""

NeedState = Literal["open", "overdue", "settled"]


class Departure(msgspec.Struct, frozen=True, kw_only=True):
    """A decision that was not the one the answer advised; `need` names the urgent need it opened."""

    id: str
    check: str
    checked_at_us: int
    outcome: str
    status: str
    purpose: str
    channel: str
    policy_version: int
    decision: str
    reason: str
    words: str
    branch: str
    terminal: str
    clerk: str
    decided_at_us: int
    position: int
    need: str | None = None


class UrgentNeed(msgspec.Struct, frozen=True, kw_only=True):
    """A holder who was served although the card is lost or replaced; `state` is open, overdue or settled."""

    id: str
    check: str
    reference: str
    words: str
    branch: str
    terminal: str
    clerk: str
    opened_at_us: int
    due_at_us: int
    state: str
    shown_check: str | None = None
    shown_at_us: int | None = None
    departure: str


class Decided(msgspec.Struct, frozen=True):
    """Answer of a departure: its id, and the urgent need with its due date if it opened one."""

    departure: str
    need: str | None
    due_at_us: int | None
    position: int


class Confirmed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the clerk confirms before an urgent need is served: each must be true.

    Args:
        name_and_number_match: name and number are those of the card.
        genuine: the card is genuine.
        unexpired: the card is within its dates.
    """

    name_and_number_match: bool
    genuine: bool
    unexpired: bool


class At(msgspec.Struct, frozen=True):
    """Who stands at which counter."""

    branch: str = ""
    terminal: str = ""
    clerk: str = ""


class Departures:
    """Record decisions that differ from the answer, and urgent needs until the new card is shown.

    Args:
        ground: what every part stands on.
        accounts: finds the account of a check.
    """

    def __init__(self, ground: Ground, accounts: Accounts) -> None:
        self._connections, self._accounts, self._now_us = ground.connections, accounts, ground.now_us
        self._verifiers = ground.keys.receipt_verifiers()

    async def receipt_of(self, who: Principal, check: str) -> dict[str, Any]:
        """Return the receipt of one of the party's checks; NotFound until it is indexed, some seconds after its answer."""
        return (await self._accounts.check(who.id, check)).receipt

    async def depart(
        self,
        act: Act,
        who: Principal,
        receipt: Mapping[str, Any],
        at: At,
        *,
        decision: DecisionName,
        reason: ReasonName,
        words: str = "",
    ) -> Decided:
        """Record that a clerk decided otherwise than the answer advised.

        Raises:
            VerificationFailed: the receipt was not given by this register.
            Forbidden: it is another party's, or of the other realm.
            BadInput: the reason is not one of this decision, or its words are missing or hold a number.
            Conflict: the decision does not depart from the answer, it is too late, or another one was recorded.
        """
        leaf, check = self._of(who, receipt)
        outcome = Outcome.of_octet(leaf.outcome)
        if reason not in REASONS[decision]:
            raise BadInput(
                "This reason does not belong to this decision.", where="/reason", mend=f"Use {', '.join(REASONS[decision])}."
            )
        if (outcome is Outcome.PASS) == (decision == "proceeded"):
            raise Conflict("This is what the answer advised: there is nothing to record.", where="/decision")
        require_words(words, "/words", needed=reason == "other")
        return await self._record(act, who, leaf, check, at, decision, reason, words, None)

    async def serve_urgent_need(
        self,
        act: Act,
        who: Principal,
        receipt: Mapping[str, Any],
        at: At,
        confirmed: Confirmed,
        *,
        words: str,
        reference: str = "",
    ) -> Decided:
        """Record that a holder in urgent need is served although the card is lost or replaced; the new card is to be shown.

        Allowed only in person, with name and number matching and the card genuine and unexpired.

        Args:
            words: what the need is.
            reference: the party's own reference of the customer, by which it finds the follow-up again.

        Raises:
            as `depart`; Conflict also when the policy or the answer does not allow it, with the condition that is not met.
        """
        leaf, check = self._of(who, receipt)
        policy = (who.decisions.policy if who.decisions else DEFAULT_POLICY).urgent_need
        require_words(words, "/words", needed=True)
        reference = require_reference(reference, "/reference", most=TAG_MAX)
        channel, identity = Channel.of_octet(leaf.channel), IdentityCode.of_octet(leaf.identity)
        if channel not in policy.channels:
            raise Conflict("An urgent need can be served only in person.", where="/receipt")
        if StatusCode.of_octet(leaf.status) not in policy.statuses:
            raise Conflict(
                "This answer does not allow an urgent need to be served.",
                where="/receipt",
                mend="Ask for a second document, or call the issuer.",
            )
        if identity not in policy.identities or not confirmed.name_and_number_match:
            raise Conflict("Name and number must match.", where="/confirmed/name_and_number_match")
        if BindingCode.of_octet(leaf.binding) not in policy.bindings:
            raise Conflict("The bearer was not confirmed as the holder.", where="/receipt")
        if not confirmed.genuine:
            raise Conflict("The card must be genuine.", where="/confirmed/genuine")
        if not confirmed.unexpired:
            raise Conflict("The card must not have expired.", where="/confirmed/unexpired")
        return await self._record(
            act, who, leaf, check, at, "proceeded", "urgent-need", words, (receipt, policy.follow_up_days, reference)
        )

    def _of(self, who: Principal, receipt: Mapping[str, Any]) -> tuple[Leaf, bytes]:
        """Return the leaf and the check id of a receipt that is this party's, and of today."""
        verified: Verified = verify(dict(receipt), self._verifiers)
        leaf = verified.leaf
        theirs = leaf.party.rstrip(b"\0").decode("ascii") == who.id
        if not theirs or bool(leaf.flags & FLAG_TEST_REALM) != (who.realm == "test"):
            raise Forbidden("This check is not one of yours.", where="/receipt")
        if self._now_us() - leaf.checked_at_us > DECIDE_WITHIN_US:
            raise Conflict("The check is more than a day old.", where="/receipt", mend="Ask again, and decide on that answer.")
        return leaf, bytes.fromhex(verified.receipt.check)

    async def _record(
        self,
        act: Act,
        who: Principal,
        leaf: Leaf,
        check: bytes,
        at: At,
        decision: str,
        reason: str,
        words: str,
        need: tuple[Mapping[str, Any], int, str] | None,
    ) -> Decided:
        keys = await asyncio.to_thread(self._accounts.keys_of_receipt, need[0]) if need else None
        async with writing(self._connections, self._now_us()) as write:
            known = await replay(write, act, Decided)
            if known is not None:
                return known
            earlier = await write.one(
                "SELECT d.id, decision, reason, d.position, n.id, due_at_us FROM departure d LEFT JOIN urgent_need n "
                "ON n.departure_id = d.id WHERE d.realm = %s AND d.check_id = %s",
                REALM_CODES[who.realm],
                check,
            )
            if earlier is not None:
                if (earlier[1], earlier[2]) == (decision, reason):  # a second click, a second tab: the same decision
                    return Decided(earlier[0], earlier[4], earlier[5], earlier[3])
                raise Conflict("Another decision was recorded for this check.", mend="Check the document again to decide anew.")
            if keys is not None:
                await _require_unexpired(write, who, keys[0])
            made = await _insert(write, act, who, leaf, check, at, decision, reason, words)
            decided = Decided(made[0], None, None, made[1])
            if need is not None and keys is not None:
                need_id, due = "u_" + secrets.token_hex(12), write.now_us + need[1] * DAY_US
                await write.run(
                    "INSERT INTO urgent_need (id, departure_id, party, realm, check_id, document_key, number_key, reference, "
                    "opened_at_us, due_at_us, state) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 'open')",
                    need_id,
                    made[0],
                    who.id,
                    REALM_CODES[who.realm],
                    check,
                    keys[0],
                    keys[1] or None,
                    need[2],
                    write.recorded_at_us,
                    due,
                )
                decided = Decided(made[0], need_id, due, made[1])
            await remember(write, act, decided)
        return decided

    async def recorded(self, who: Principal, *, since_us: int = 0, limit: int = 100) -> list[Departure]:
        """Return departures of the party in this realm, newest first."""
        async with reading(self._connections) as db:
            rows = await (
                await db.execute(
                    "SELECT d.id, d.check_id, checked_at_us, outcome, answered_status, purpose, channel, policy_version, "
                    "decision, reason, words, branch, terminal, clerk, decided_at_us, d.position, n.id FROM departure d "
                    "LEFT JOIN urgent_need n ON n.departure_id = d.id WHERE d.party = %s AND d.realm = %s "
                    "AND decided_at_us >= %s ORDER BY decided_at_us DESC, d.id LIMIT %s",
                    (who.id, REALM_CODES[who.realm], since_us, _limit(limit)),
                )
            ).fetchall()
        return [
            Departure(
                id=row[0],
                check=bytes(row[1]).hex(),
                checked_at_us=row[2],
                outcome=Outcome.of_octet(row[3]).value,
                status=StatusCode.of_octet(row[4]).value,
                purpose=Purpose.of_octet(row[5]).value,
                channel=Channel.of_octet(row[6]).value,
                policy_version=row[7],
                decision=row[8],
                reason=row[9],
                words=row[10],
                branch=row[11],
                terminal=row[12],
                clerk=row[13],
                decided_at_us=row[14],
                position=row[15],
                need=row[16],
            )
            for row in rows
        ]

    async def needs(self, who: Principal, *, state: NeedState | None = None, limit: int = 200) -> list[UrgentNeed]:
        """Return urgent needs of the party in this realm, those due first at the top; `state` None is all."""
        return await self._needs(who, state, None, _limit(limit))

    async def _needs(
        self, who: Principal, state: NeedState | None, ids: Sequence[str] | None, limit: int | None
    ) -> list[UrgentNeed]:
        now = self._now_us()
        where = {
            None: "TRUE",
            "open": "n.state = 'open' AND due_at_us > %(now)s",
            "overdue": "n.state = 'open' AND due_at_us <= %(now)s",
            "settled": "n.state = 'settled'",
        }[state]
        async with reading(self._connections) as db:
            rows = await (
                await db.execute(
                    "SELECT n.id, n.check_id, reference, words, branch, terminal, clerk, opened_at_us, due_at_us, n.state, "
                    "shown_check, shown_at_us, departure_id FROM urgent_need n JOIN departure d ON d.id = departure_id "
                    f"WHERE n.party = %(party)s AND n.realm = %(realm)s AND {where} "
                    "AND (%(ids)s::text[] IS NULL OR n.id = ANY(%(ids)s)) "
                    "ORDER BY n.state = 'settled', due_at_us, n.id LIMIT %(limit)s",
                    {"party": who.id, "realm": REALM_CODES[who.realm], "now": now, "ids": ids, "limit": limit},
                )
            ).fetchall()
        return [_need(row, now) for row in rows]

    async def counts(self, who: Principal) -> tuple[int, int]:
        """Return how many urgent needs of the party are open, and how many of these are overdue."""
        async with reading(self._connections) as db:
            row = await (
                await db.execute(
                    "SELECT count(*), count(*) FILTER (WHERE due_at_us <= %s) FROM urgent_need WHERE party = %s AND realm = %s "
                    "AND state = 'open'",
                    (self._now_us(), who.id, REALM_CODES[who.realm]),
                )
            ).fetchone()
        return (row[0], row[1]) if row else (0, 0)

    async def show(self, who: Principal, need_id: str, receipt: Mapping[str, Any]) -> UrgentNeed:
        """Settle an urgent need with the receipt of a check of the holder's new document.

        Checks of a new card with the same personal number, or of a document the register knows as the holder's, settle by
        themselves (`settle`); this is for documents that only the clerk can tell to be the holder's.

        Raises:
            NotFound: there is no such open need.
            Conflict: the document did not pass, is the old one, or was checked before the need.
        """
        leaf, check = self._of(who, receipt)
        if Outcome.of_octet(leaf.outcome) is not Outcome.PASS:
            raise Conflict("The document that was shown did not pass.", where="/receipt")
        document_key, _ = await asyncio.to_thread(self._accounts.keys_of_receipt, receipt)
        async with writing(self._connections, self._now_us()) as write:
            row = await write.one(
                "SELECT document_key, opened_at_us, shown_check FROM urgent_need WHERE id = %s AND party = %s AND realm = %s "
                "AND (state = 'open' OR shown_check = %s) FOR UPDATE",
                need_id,
                who.id,
                REALM_CODES[who.realm],
                check,
            )
            if row is None:
                raise NotFound("There is no such open follow-up.")
            if document_key in (bytes(16), bytes(row[0])):
                raise Conflict("This is the old document, or it was not named in full.", where="/receipt")
            if leaf.checked_at_us <= row[1]:
                raise Conflict("This check was made before the urgent need.", where="/receipt")
            if row[2] is None:  # else this very check has settled it
                await write.run(
                    "UPDATE urgent_need SET state = 'settled', shown_check = %s, shown_at_us = %s WHERE id = %s",
                    check,
                    leaf.checked_at_us,
                    need_id,
                )
        return (await self._needs(who, None, [need_id], None))[0]

    async def concerning(self, who: Principal, receipt: Mapping[str, Any]) -> dict[str, list[UrgentNeed]]:
        """Return the follow-ups a check just made is about: those it settles, and overdue ones of the same document or number.

        What it settles is settled here at once; `settle_shown` would do it a moment later.
        """
        if not any(await self.counts(who)):
            return {"closed": [], "overdue": []}
        leaf, check = self._of(who, receipt)
        document_key, number_key = await asyncio.to_thread(self._accounts.keys_of_receipt, receipt)
        shown = (
            Outcome.of_octet(leaf.outcome) is Outcome.PASS
            and Channel.of_octet(leaf.channel) is Channel.in_person
            and document_key != bytes(16)
        )
        async with self._connections.connection() as db:
            rows = await (
                await db.execute(
                    "SELECT id, document_key FROM urgent_need WHERE party = %s AND realm = %s AND state = 'open' "
                    "AND opened_at_us < %s AND (document_key = %s OR number_key = %s)",
                    (who.id, REALM_CODES[who.realm], leaf.checked_at_us, document_key, number_key or None),
                )
            ).fetchall()
            settled = [need_id for need_id, old in rows if shown and bytes(old) != document_key]
            await db.execute(
                "UPDATE urgent_need SET state = 'settled', shown_check = %s, shown_at_us = %s WHERE id = ANY(%s) "
                "AND state = 'open'",
                (check, leaf.checked_at_us, settled),
            )
        found = await self._needs(who, None, [need_id for need_id, _ in rows], None)
        return {state: [each for each in found if each.state == name] for state, name in _CONCERNED}


_CONCERNED: Final = (("closed", "settled"), ("overdue", "overdue"))

_SETTLE: Final = """
WITH shown AS (
    SELECT * FROM unnest(%s::bytea[], %s::bigint[], %s::text[], %s::smallint[], %s::bytea[], %s::bytea[])
        AS row (check_id, checked_at_us, party, realm, document_key, number_key)
), found AS (
    SELECT n.id, s.check_id, s.checked_at_us FROM shown s
    JOIN urgent_need n ON n.number_key = s.number_key AND n.party = s.party AND n.realm = s.realm
    WHERE n.state = 'open' AND n.document_key <> s.document_key AND n.opened_at_us < s.checked_at_us
    UNION ALL
    SELECT n.id, s.check_id, s.checked_at_us FROM shown s
    JOIN document new ON new.realm = s.realm AND new.document_key = s.document_key
    JOIN document old ON old.realm = new.realm AND old.person_key = new.person_key AND old.id <> new.id
        AND old.kind = new.kind AND old.coverage = new.coverage
    JOIN urgent_need n ON n.document_key = old.document_key AND n.party = s.party AND n.realm = s.realm
    WHERE n.state = 'open' AND n.opened_at_us < s.checked_at_us
)
UPDATE urgent_need n SET state = 'settled', shown_check = first.check_id, shown_at_us = first.checked_at_us
FROM (SELECT DISTINCT ON (id) * FROM found ORDER BY id, checked_at_us) first WHERE n.id = first.id AND n.state = 'open'
"""
_WAITING: Final = """
SELECT party, realm FROM (SELECT DISTINCT * FROM unnest(%s::text[], %s::smallint[]) AS row (party, realm)) asked
WHERE EXISTS (SELECT FROM urgent_need n WHERE n.party = asked.party AND n.realm = asked.realm AND n.state = 'open')
"""


def settle_shown(db: psycopg.Connection[Any], rows: Sequence[tuple[Any, ...]]) -> int:
    """Settle urgent needs by the checks that are being indexed, in their transaction; return how many.

    A check settles that passed in person at the same party: of another document of the same number, or of the same person's
    other document of the same kind. What it costs grows with the new checks, not with the needs that are open.

    Args:
        db: connection inside a transaction.
        rows: checks as `registry.accounts` indexes them.
    """
    passed = [
        row
        for row in rows
        if row[counts.OUTCOME] == Outcome.PASS.octet
        and row[counts.CHANNEL] == Channel.in_person.octet
        and row[counts.DOCUMENT] != bytes(16)
    ]
    if not passed:
        return 0
    parties = {(row[counts.PARTY], row[counts.REALM]) for row in passed}
    waiting = set(db.execute(_WAITING, [list(column) for column in zip(*sorted(parties), strict=True)]).fetchall())
    shown = [row for row in passed if (row[counts.PARTY], row[counts.REALM]) in waiting]
    if not shown:
        return 0
    columns = (counts.CHECK, counts.AT, counts.PARTY, counts.REALM, counts.DOCUMENT, counts.NUMBER)
    return db.execute(_SETTLE, [[row[column] for row in shown] for column in columns]).rowcount


async def tell_due(connections: Connections, now_us: int) -> int:
    """Tell relying parties, by the webhook they asked for, of follow-ups whose day is over; return how many were queued.

    Called by the process of notices now and then; each follow-up is told once.
    """
    async with connections.connection() as db, db.transaction():
        due = await (
            await db.execute(
                "UPDATE urgent_need SET due_told = true WHERE id IN (SELECT id FROM urgent_need WHERE state = 'open' "
                "AND NOT due_told AND due_at_us <= %s ORDER BY due_at_us LIMIT 100) "
                "RETURNING id, party, realm, reference, due_at_us",
                (now_us,),
            )
        ).fetchall()
        for need_id, party, realm, reference, due_at_us in due:
            values: dict[str, str | int] = {"reference": reference, "due_us": due_at_us, "follow_up": need_id}
            key = f"follow-up:{need_id}:due"
            await queue(db, "follow_up_due", key=key, now_us=now_us, realm=realm, party=party, values=values)
    return len(due)


async def _insert(
    write: Write, act: Act, who: Principal, leaf: Leaf, check: bytes, at: At, decision: str, reason: str, words: str
) -> tuple[str, int]:
    """Write the departure and the entry with its digest; return its id and position."""
    departure_id = "p_" + secrets.token_hex(12)
    row = (
        departure_id,
        who.id,
        REALM_CODES[who.realm],
        check,
        leaf.checked_at_us,
        leaf.outcome,
        leaf.status,
        leaf.purpose,
        leaf.channel,
        leaf.policy_version,
        decision,
        reason,
        words.strip(),
        at.branch,
        at.terminal,
        at.clerk,
        write.recorded_at_us,
    )
    # The id is random and stays with the record: without it nobody can try which words the digest stands for.
    digest = hashlib.sha256(b"annul departure v1\0" + msgspec.msgpack.encode(row)).digest()
    position = write.note(act.author, f"check {check.hex()}", b"departure v1 " + digest, realm=act.code)
    await write.run(
        "INSERT INTO departure (id, party, realm, check_id, checked_at_us, outcome, answered_status, purpose, channel, "
        "policy_version, decision, reason, words, branch, terminal, clerk, decided_at_us, position) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        *row,
        position,
    )
    return departure_id, position


async def _require_unexpired(write: Write, who: Principal, document_key: bytes) -> None:
    """Refuse a card whose end of validity, as the register knows it, is over: that day stands on the card itself."""
    row = await write.one(
        "SELECT valid_until_day FROM document WHERE realm = %s AND document_key = %s", REALM_CODES[who.realm], document_key
    )
    if row is not None and row[0] is not None and row[0] < LONG_TERM_DAY and row[0] < write.recorded_at_us // DAY_US:
        raise Conflict("The card has expired.", where="/confirmed/unexpired")


def _need(row: tuple[Any, ...], now: int) -> UrgentNeed:
    return UrgentNeed(
        id=row[0],
        check=bytes(row[1]).hex(),
        reference=row[2],
        words=row[3],
        branch=row[4],
        terminal=row[5],
        clerk=row[6],
        opened_at_us=row[7],
        due_at_us=row[8],
        state="overdue" if row[9] == "open" and row[8] <= now else row[9],
        shown_check=bytes(row[10]).hex() if row[10] is not None else None,
        shown_at_us=row[11],
        departure=row[12],
    )


def _limit(limit: int) -> int:
    if not 1 <= limit <= PAGE_MAX:
        raise BadInput(f"A page has 1 to {PAGE_MAX} rows.", where="?limit")
    return limit


def day_of(at_us: int) -> str:
    """Return the day of a time (UTC) as YYYY-MM-DD."""
    return datetime.fromtimestamp(at_us / 1e6, UTC).date().isoformat()
