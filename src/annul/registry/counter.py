"""What a counter leaves behind a check: the policy that advised it, departures from the advice, urgent needs that were served.

A relying party keeps its own counter policy as numbered versions; version 1 is the register's default. There is one draft at a
time: edited, tried on the party's own past checks, released. Its number stands in every receipt given under it, and the content
of a released number never changes; going back puts an older number in force again.

A departure is bound to its check by the receipt: it can be recorded only for an answer this register signed for this party. The
register log holds its digest, so that it cannot be changed or left out later. An urgent need is a departure with a due date: it
stays open until a check of the holder's new document.

What must never happen here: a policy milder than the register's floor; a departure without a check, or two for one; a refusal
that tells a party more than its agreement allows.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal

import msgspec
import psycopg

from annul.errors import BadInput, Conflict, Forbidden, NotFound
from annul.proof.checkpoint import Verifier
from annul.proof.receipt import FLAG_TEST_REALM, Leaf, Verified, verify
from annul.records.codes import (
    Advice,
    BindingCode,
    Channel,
    FreshnessCode,
    IdentityCode,
    Outcome,
    Purpose,
    StatusCode,
)
from annul.records.document import LONG_TERM_DAY
from annul.records.entry import Entry, EntryKind
from annul.records.policy import (
    DEFAULT_POLICY,
    Difference,
    Policy,
    decide_slowly,
    differences,
    hold_floor,
    policy_from_json,
    policy_to_json,
)
from annul.registry.accounts import Accounts
from annul.registry.act import Act, remember, replay
from annul.registry.answers import rfc3339
from annul.registry.parties import Changed, Parties, Principal
from annul.registry.store import REALM_CODES, Connections, Write, reading, writing

DEFAULT_VERSION: Final = DEFAULT_POLICY.version
VERSION_MAX: Final = 65_535
TRIAL_DAYS_MAX: Final = 31
"""Days of past checks a draft can be tried on: last month."""
TRIAL_CHECKS_MAX: Final = 2_000_000
"""Checks a trial looks at, the newest first; grouping them takes about a second."""
SAMPLES: Final = 3
"""Checks shown for each change of a trial."""
DECIDE_WITHIN_US: Final = 24 * 3600 * 1_000_000
"""A departure is recorded on the day of its check; later it would be a memory."""
DAY_US: Final = 86_400_000_000
PAGE_MAX: Final = 500
WORDS_MAX: Final = 500
"""Characters of a reason in the clerk's own words."""
REFERENCE_MAX: Final = 64
REFERENCE_DIGITS_MAX: Final = 12
"""Digits of a customer reference; a citizen number has 17 or 18."""
NUMBER_RUN: Final = re.compile(r"(?:\d[\s-]?){6,}")
"""Six digits in a row: a document's number, a birth date, a telephone. They have no place in a reason."""

DecisionName = Literal["proceeded", "refused"]
ReasonName = Literal[
    "second-document", "issuer-confirmed", "holder-known", "superior-decided", "urgent-need", "bearer-doubted",
    "document-doubted", "other",
]  # fmt: skip
REASONS: Final[dict[str, tuple[str, ...]]] = {
    "proceeded": ("second-document", "issuer-confirmed", "holder-known", "superior-decided", "other"),
    "refused": ("bearer-doubted", "document-doubted", "superior-decided", "other"),
}
"""Reasons a clerk can give for each decision; an urgent need is its own act. `other` needs words."""

NeedState = Literal["open", "overdue", "settled"]


class PolicyVersion(msgspec.Struct, frozen=True):
    """Describe one version of a party's policy. `state` is draft, released, discarded, or default for version 1."""

    party: str
    version: int
    state: str
    in_force: bool
    policy: Policy
    revision: int = 0
    based_on: int = DEFAULT_VERSION
    note: str = ""
    edited_by: str = ""
    edited_at_us: int = 0
    released_by: str | None = None
    released_at_us: int | None = None


class PolicyChange(msgspec.Struct, frozen=True):
    """Say when a version was put in force, in the place of which, by whom and why."""

    version: int
    was: int
    changed_by: str
    changed_at_us: int
    reason: str
    position: int


class PolicyBook(msgspec.Struct, frozen=True):
    """Everything about a party's policy: the version in force, all versions without drafts thrown away, all changes."""

    in_force: int
    two_persons: bool
    versions: list[PolicyVersion]
    changes: list[PolicyChange]

    @property
    def current(self) -> PolicyVersion:
        """The version in force."""
        return next(each for each in self.versions if each.version == self.in_force)

    @property
    def draft(self) -> PolicyVersion | None:
        """The draft, None when there is none."""
        return next((each for each in self.versions if each.state == "draft"), None)


class Shift(msgspec.Struct, frozen=True):
    """Past checks that a policy would have answered otherwise: from one outcome to another, or with other next steps.

    Args:
        old, new: outcomes; old_advice, new_advice: next steps.
        status, identity, binding, channel: the codes that lead there, as the party was told them.
        count: how many checks; samples: ids of some of them.
    """

    old: str
    new: str
    old_advice: list[str]
    new_advice: list[str]
    status: str
    identity: str
    binding: str
    channel: str
    count: int
    samples: list[str]


class Trial(msgspec.Struct, frozen=True):
    """What past checks would have been answered under another policy.

    Args:
        checks: checks looked at, of `since_us` until `until_us`; `all`: none of that time was left out.
        outcomes: counts by (outcome then, outcome under this policy), both as words; rows are complete.
        shifts: what differs, the most frequent first.
    """

    version: int
    checks: int
    all: bool
    since_us: int
    until_us: int
    outcomes: dict[str, dict[str, int]]
    changed_outcomes: int
    changed_advice: int
    shifts: list[Shift]


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
    """What the clerk confirms before an urgent need is served: each must be true."""

    name_and_number_match: bool
    genuine: bool
    unexpired: bool


class At(msgspec.Struct, frozen=True):
    """Who stands at which counter."""

    branch: str = ""
    terminal: str = ""
    clerk: str = ""


def person_of(act: Act, principal: Principal) -> str:
    """Return who acts for a party, as records name her: the officer, or the party and the credential; never a secret."""
    return act.author if "/" in act.author else f"{principal.id}/{principal.key_id}"


def hold_officer(principal: Principal) -> None:
    """Refuse a key that is for counters alone.

    Raises:
        Forbidden: policies, departures of others and follow-ups of the whole party are for other keys.
    """
    if principal.use != "all":
        raise Forbidden("A counter's key may not do this.", mend="Sign in with a key of your head office.")


# -- the policy --------------------------------------------------------------------------------------------------------------

_VERSIONS = (
    "SELECT party, version, state, policy, revision, based_on, note, edited_by, edited_at_us, released_by, released_at_us "
    "FROM counter_policy WHERE party = %s AND state <> 'discarded' ORDER BY version"
)


class Policies:
    """Keep the counter policies of relying parties.

    Args:
        connections: the register's database.
        parties: a release is a change of parties: workers take it up with the snapshot.
        now_us: microseconds since the epoch.
    """

    def __init__(self, connections: Connections, parties: Parties, now_us: Callable[[], int]) -> None:
        self._connections = connections
        self._parties = parties
        self._now_us = now_us

    async def book(self, party: str) -> PolicyBook:
        """Return everything about a party's policy, versions and changes by number.

        Raises:
            NotFound: there is no such party.
        """
        async with reading(self._connections) as db:
            found = await (
                await db.execute("SELECT policy_version, policy_two_persons FROM principal WHERE id = %s", (party,))
            ).fetchone()
            if found is None:
                raise NotFound("There is no such party.")
            rows = await (await db.execute(_VERSIONS, (party,))).fetchall()
            changes = await (
                await db.execute(
                    "SELECT version, was, changed_by, changed_at_us, reason, position FROM policy_change WHERE party = %s "
                    "ORDER BY position DESC",
                    (party,),
                )
            ).fetchall()
        in_force = found[0]
        first = PolicyVersion(party, DEFAULT_VERSION, "default", in_force == DEFAULT_VERSION, DEFAULT_POLICY)
        versions = [first, *(_version(row, in_force) for row in rows)]
        return PolicyBook(in_force, found[1], versions, [PolicyChange(*row) for row in changes])

    async def save(self, act: Act, who: Principal, policy: Policy, *, note: str = "", revision: int = 0) -> PolicyVersion:
        """Save the draft; its version is given here, whatever `policy.version` says.

        Args:
            policy: the draft's new content.
            note: what is changed, for those who read the history.
            revision: of the draft this was made from; 0 begins a draft.

        Raises:
            BadInput: the policy is milder than the register's floor.
            Conflict: somebody else has changed the draft meanwhile, or there is one already.
        """
        _hold_words(note, "/note")
        party, person = who.id, person_of(act, who)
        async with writing(self._connections, self._now_us()) as write:
            known = await replay(write, act, PolicyVersion)
            if known is not None:
                return known
            in_force = await _in_force(write, party)
            row = await write.one("SELECT version, revision FROM counter_policy WHERE party = %s AND state = 'draft'", party)
            if (row[1] if row else 0) != revision:
                raise Conflict(
                    "The draft was changed meanwhile." if row else "The draft is gone: released or thrown away.",
                    where="/revision", mend="Open it again, and make your changes in what you find there.",
                )  # fmt: skip
            version = row[0] if row else await _next_version(write, party)
            made = msgspec.structs.replace(policy, version=version)
            hold_floor(made)
            at = write.recorded_at_us
            if row is None:
                await write.run(
                    "INSERT INTO counter_policy (party, version, state, policy, revision, based_on, note, edited_by, "
                    "edited_at_us) VALUES (%s, %s, 'draft', %s, 1, %s, %s, %s, %s)",
                    party, version, policy_to_json(made), in_force, note, person, at,
                )  # fmt: skip
            else:
                touched = await write.run(
                    "UPDATE counter_policy SET policy = %s, revision = revision + 1, note = %s, edited_by = %s, "
                    "edited_at_us = %s WHERE party = %s AND version = %s AND state = 'draft' AND revision = %s",
                    policy_to_json(made), note, person, at, party, version, revision,
                )  # fmt: skip
                if touched != 1:
                    raise Conflict("The draft was changed by somebody else meanwhile.", where="/revision")
            saved = PolicyVersion(party, version, "draft", False, made, revision + 1, in_force, note, person, at)
            await remember(write, act, saved)
        return saved

    async def discard(self, act: Act, who: Principal, version: int) -> None:
        """Throw the draft away; its number is not given again."""
        async with writing(self._connections, self._now_us()) as write:
            touched = await write.run(
                "UPDATE counter_policy SET state = 'discarded' WHERE party = %s AND version = %s AND state = 'draft'",
                who.id, version,
            )  # fmt: skip
            if touched != 1:
                raise NotFound("There is no such draft.")
            await remember(write, act, Changed(write.position))

    async def release(self, act: Act, who: Principal, version: int, *, revision: int, reason: str = "") -> Changed:
        """Put the draft in force: from this position on workers decide by it.

        Raises:
            NotFound: there is no such draft.
            Conflict: it was changed since it was read, or the party wants a second person and this is the editor.
            BadInput: the register's floor was raised meanwhile.
        """
        party, person = who.id, person_of(act, who)
        _hold_words(reason, "/reason")

        async def change(write: Write) -> str:
            row = await write.one(
                "SELECT policy, revision, edited_by, policy_two_persons FROM counter_policy JOIN principal ON id = party "
                "WHERE party = %s AND version = %s AND state = 'draft'",
                party, version,
            )  # fmt: skip
            if row is None:
                raise NotFound("There is no such draft.", where="/version")
            if row[1] != revision:
                raise Conflict("The draft was changed since you read it.", where="/revision", mend="Read it again first.")
            if row[3] and row[2] == person:
                raise Conflict(
                    "Your organisation wants a second person: the editor does not release.",
                    mend="Ask a colleague with another key to release it.",
                )
            hold_floor(policy_from_json(bytes(row[0])))
            await write.run(
                "UPDATE counter_policy SET state = 'released', released_by = %s, released_at_us = %s, position = %s "
                "WHERE party = %s AND version = %s",
                person, write.recorded_at_us, write.position + 1, party, version,
            )  # fmt: skip
            return await _put_in_force(write, party, version, person, reason)

        return await self._parties.change(act, change)

    async def roll_back(self, act: Act, who: Principal, version: int, *, reason: str) -> Changed:
        """Put an older released version, or the default (1), in force again.

        Raises:
            NotFound: no such version was ever released. Conflict: it is in force already.
        """
        party, person = who.id, person_of(act, who)
        _hold_words(reason, "/reason")

        async def change(write: Write) -> str:
            row = await write.one(
                "SELECT policy FROM counter_policy WHERE party = %s AND version = %s AND state = 'released'", party, version
            )
            if row is None and version != DEFAULT_VERSION:
                raise NotFound("No such version was ever released.", where="/version")
            if row is not None:
                hold_floor(policy_from_json(bytes(row[0])))
            if await _in_force(write, party) == version:
                raise Conflict("This version is in force already.", where="/version")
            return await _put_in_force(write, party, version, person, reason)

        return await self._parties.change(act, change)

    async def want_two_persons(self, act: Act, who: Principal, wanted: bool) -> Changed:
        """Say whether a draft must be released by somebody else than its editor; setting it back takes a second person too.

        Raises:
            Conflict: it is wanted, and there is a draft this person edited last.
        """
        party, person = who.id, person_of(act, who)

        async def change(write: Write) -> str:
            row = await write.one(
                "SELECT edited_by FROM counter_policy JOIN principal ON id = party "
                "WHERE party = %s AND state = 'draft' AND policy_two_persons",
                party,
            )
            if not wanted and row is not None and row[0] == person:
                raise Conflict("Whoever edited the draft does not do away with the second person.", mend="Ask a colleague.")
            await write.run("UPDATE principal SET policy_two_persons = %s WHERE id = %s", wanted, party)
            return f"policy-two-persons {party} {'yes' if wanted else 'no'}"

        return await self._parties.change(act, change)

    async def compare(self, party: str, old: int, new: int) -> list[Difference]:
        """Return in what two versions differ; NotFound when there is no such version."""
        versions = {each.version: each.policy for each in (await self.book(party)).versions}
        if old not in versions or new not in versions:
            raise NotFound("There is no such version.")
        return differences(versions[old], versions[new])

    async def try_on_past(self, who: Principal, version: int, *, days: int = TRIAL_DAYS_MAX) -> Trial:
        """Decide the party's own past checks anew: what would last month have looked like?

        Args:
            version: any version, also the draft.
            days: how far back, 1 to 31.
        """
        if not 1 <= days <= TRIAL_DAYS_MAX:
            raise BadInput(f"A trial looks 1 to {TRIAL_DAYS_MAX} days back.", where="/days")
        policy = next((each.policy for each in (await self.book(who.id)).versions if each.version == version), None)
        if policy is None:
            raise NotFound("There is no such version.", where="/version")
        until = self._now_us()
        since = until - days * DAY_US
        async with reading(self._connections) as db:
            rows = await (
                await db.execute(_PAST, (who.id, REALM_CODES[who.realm], since, until, TRIAL_CHECKS_MAX + 1))
            ).fetchall()
        return _trial(policy, rows, since, until)


_PAST = f"""
SELECT answered_status, identity, binding, freshness, channel, purpose, outcome, advice, count(*),
       (array_agg(check_id ORDER BY checked_at_us DESC))[1:{SAMPLES}]
FROM (SELECT * FROM check_index WHERE party = %s AND realm = %s AND checked_at_us >= %s AND checked_at_us < %s
      ORDER BY checked_at_us DESC LIMIT %s) past
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
"""


def _trial(policy: Policy, rows: Sequence[tuple[Any, ...]], since: int, until: int) -> Trial:
    outcomes: dict[str, dict[str, int]] = {}
    shifts: dict[tuple[object, ...], Shift] = {}
    total = changed = advised = 0
    urgent_purposes = set(policy.urgent_need.purposes)
    for status_no, identity_no, binding_no, freshness_no, channel_no, purpose_no, outcome_no, mask, count, checks in rows:
        status, identity = StatusCode.of_octet(status_no), IdentityCode.of_octet(identity_no)
        binding, channel = BindingCode.of_octet(binding_no), Channel.of_octet(channel_no)
        # Whether the clerk marked the need as urgent is not logged; the advice that followed from it is.
        urgent = bool(mask & Advice.A7.bit) or Purpose.of_octet(purpose_no) in urgent_purposes
        old = Outcome.of_octet(outcome_no)
        new = decide_slowly(policy, status, identity, binding, FreshnessCode.of_octet(freshness_no), channel, urgent=urgent)
        total += count
        row = outcomes.setdefault(old.value, {})
        row[new.outcome.value] = row.get(new.outcome.value, 0) + count
        if new.outcome is old and new.mask == mask:
            continue
        changed += count if new.outcome is not old else 0
        advised += count if new.outcome is old else 0
        then = mask if new.outcome is old else 0  # where the outcome differs, steps of the past do not tell cases apart
        case = old, new.outcome, then, new.mask, status, identity, binding, channel
        found = shifts.get(case)
        samples = [bytes(each).hex() for each in checks]
        if found is not None:
            count, samples = found.count + count, (found.samples + samples)[:SAMPLES]
        shifts[case] = Shift(
            old.value, new.outcome.value, [step.value for step in Advice if mask & step.bit], list(new.names), status.value,
            identity.value, binding.value, channel.value, count, samples,
        )  # fmt: skip
    ordered = sorted(shifts.values(), key=lambda shift: (shift.old == shift.new, -shift.count))
    whole = total <= TRIAL_CHECKS_MAX
    return Trial(policy.version, total, whole, since, until, outcomes, changed, advised, ordered)


def _version(row: tuple[Any, ...], in_force: int) -> PolicyVersion:
    party, version, state, policy, *rest = row
    return PolicyVersion(party, version, state, version == in_force, policy_from_json(bytes(policy)), *rest)


async def _in_force(write: Write, party: str) -> int:
    row = await write.one("SELECT policy_version FROM principal WHERE id = %s", party)
    if row is None:
        raise NotFound("There is no such party.")
    return int(row[0])


async def _next_version(write: Write, party: str) -> int:
    row = await write.one("SELECT coalesce(max(version), %s) + 1 FROM counter_policy WHERE party = %s", DEFAULT_VERSION, party)
    version = int(row[0]) if row else DEFAULT_VERSION + 1
    if version > VERSION_MAX:
        raise Conflict("All version numbers of this party are used up.")
    return version


async def _put_in_force(write: Write, party: str, version: int, person: str, reason: str) -> str:
    was = await _in_force(write, party)
    await write.run("UPDATE principal SET policy_version = %s, position = %s WHERE id = %s", version, write.position + 1, party)
    await write.run(
        "INSERT INTO policy_change (party, version, was, changed_by, changed_at_us, reason, position) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s)",
        party, version, was, person, write.recorded_at_us, reason, write.position + 1,
    )  # fmt: skip
    return f"policy {party} {was} -> {version} by {person}"


def _hold_words(words: str, where: str, *, needed: bool = False) -> None:
    """Refuse words that are too long, or that hold what looks like a number of a person or a document."""
    if needed and len(words.strip()) < 3:
        raise BadInput("Say the reason in a few words.", where=where)
    if len(words) > WORDS_MAX:
        raise BadInput(f"A reason has at most {WORDS_MAX} characters.", where=where)
    if NUMBER_RUN.search(words):
        raise BadInput(
            "A reason must not hold the number of a document, a person or a telephone.", where=where,
            mend="Leave the number out: the check names the document.",
        )  # fmt: skip


# -- departures and urgent needs ---------------------------------------------------------------------------------------------


class Departures:
    """Record decisions that differ from the answer, and urgent needs until the new card is shown.

    Args:
        connections: the register's database.
        accounts: finds the account of a check.
        verifier: the key of receipts.
        now_us: microseconds since the epoch.
    """

    def __init__(self, connections: Connections, accounts: Accounts, verifier: Verifier, now_us: Callable[[], int]) -> None:
        self._connections = connections
        self._accounts = accounts
        self._verifier = verifier
        self._now_us = now_us

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
        _hold_words(words, "/words", needed=reason == "other")
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
        _hold_words(words, "/words", needed=True)
        if len(reference) > REFERENCE_MAX or len(re.sub(r"\D", "", reference)) > REFERENCE_DIGITS_MAX:
            raise BadInput("The reference is too long, or looks like the number of a document.", where="/reference")
        channel, identity = Channel.of_octet(leaf.channel), IdentityCode.of_octet(leaf.identity)
        if channel not in policy.channels:
            raise Conflict("An urgent need can be served only in person.", where="/receipt")
        if StatusCode.of_octet(leaf.status) not in policy.statuses:
            raise Conflict(
                "This answer does not allow an urgent need to be served.", where="/receipt",
                mend="Ask for a second document, or call the issuer.",
            )  # fmt: skip
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
        verified: Verified = verify(dict(receipt), self._verifier)
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
                REALM_CODES[who.realm], check,
            )  # fmt: skip
            if earlier is not None:
                if (earlier[1], earlier[2]) == (decision, reason):  # a second click, a second tab: the same decision
                    return Decided(earlier[0], earlier[4], earlier[5], earlier[3])
                raise Conflict("Another decision was recorded for this check.", mend="Check the document again to decide anew.")
            if keys is not None:
                await _hold_unexpired(write, who, keys[0])
            made = await _insert(write, act, who, leaf, check, at, decision, reason, words)
            decided = Decided(made[0], None, None, made[1])
            if need is not None and keys is not None:
                need_id, due = "u_" + secrets.token_hex(12), write.recorded_at_us + need[1] * DAY_US
                await write.run(
                    "INSERT INTO urgent_need (id, departure_id, party, realm, check_id, document_key, number_key, reference, "
                    "opened_at_us, due_at_us, state) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 'open')",
                    need_id, made[0], who.id, REALM_CODES[who.realm], check, keys[0], keys[1] or None, need[2],
                    write.recorded_at_us, due,
                )  # fmt: skip
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
                id=row[0], check=bytes(row[1]).hex(), checked_at_us=row[2], outcome=Outcome.of_octet(row[3]).value,
                status=StatusCode.of_octet(row[4]).value, purpose=Purpose.of_octet(row[5]).value,
                channel=Channel.of_octet(row[6]).value, policy_version=row[7], decision=row[8], reason=row[9], words=row[10],
                branch=row[11], terminal=row[12], clerk=row[13], decided_at_us=row[14], position=row[15], need=row[16],
            )
            for row in rows
        ]  # fmt: skip

    async def needs(self, who: Principal, *, state: NeedState | None = None, limit: int = 200) -> list[UrgentNeed]:
        """Return urgent needs of the party in this realm, those due first at the top; `state` None is all."""
        now = self._now_us()
        where = {
            None: "TRUE", "open": "n.state = 'open' AND due_at_us > %(now)s",
            "overdue": "n.state = 'open' AND due_at_us <= %(now)s", "settled": "n.state = 'settled'",
        }[state]  # fmt: skip
        async with reading(self._connections) as db:
            rows = await (
                await db.execute(
                    "SELECT n.id, n.check_id, reference, words, branch, terminal, clerk, opened_at_us, due_at_us, n.state, "
                    "shown_check, shown_at_us, departure_id FROM urgent_need n JOIN departure d ON d.id = departure_id "
                    f"WHERE n.party = %(party)s AND n.realm = %(realm)s AND {where} "
                    "ORDER BY n.state = 'settled', due_at_us, n.id LIMIT %(limit)s",
                    {"party": who.id, "realm": REALM_CODES[who.realm], "now": now, "limit": _limit(limit)},
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
                "SELECT document_key, opened_at_us FROM urgent_need WHERE id = %s AND party = %s AND realm = %s "
                "AND state = 'open' FOR UPDATE",
                need_id, who.id, REALM_CODES[who.realm],
            )  # fmt: skip
            if row is None:
                raise NotFound("There is no such open follow-up.")
            if document_key in (bytes(16), bytes(row[0])):
                raise Conflict("This is the old document, or it was not named in full.", where="/receipt")
            if leaf.checked_at_us <= row[1]:
                raise Conflict("This check was made before the urgent need.", where="/receipt")
            await write.run(
                "UPDATE urgent_need SET state = 'settled', shown_check = %s, shown_at_us = %s WHERE id = %s",
                check, leaf.checked_at_us, need_id,
            )  # fmt: skip
        return next(each for each in await self.needs(who) if each.id == need_id)

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
        named = {need_id for need_id, _ in rows}
        found = [each for each in await self.needs(who) if each.id in named]
        return {state: [each for each in found if each.state == name] for state, name in _CONCERNED}


_CONCERNED: Final = (("closed", "settled"), ("overdue", "overdue"))

SETTLE: Final = f"""
UPDATE urgent_need n SET state = 'settled', shown_check = shown.check_id, shown_at_us = shown.checked_at_us
FROM urgent_need open CROSS JOIN LATERAL (
    SELECT check_id, checked_at_us FROM (
        SELECT c.check_id, c.checked_at_us FROM check_index c
        WHERE c.number_key = open.number_key AND c.number_key <> '' AND c.document_key NOT IN (open.document_key, decode(repeat('00', 16), 'hex'))
          AND c.party = open.party AND c.realm = open.realm AND c.checked_at_us > open.opened_at_us
          AND c.outcome = {Outcome.PASS.octet} AND c.channel = {Channel.in_person.octet}
        UNION ALL
        SELECT c.check_id, c.checked_at_us FROM document old
        JOIN document new ON new.realm = old.realm AND new.person_key = old.person_key AND new.id <> old.id
             AND new.kind = old.kind AND new.coverage = old.coverage
        JOIN check_index c ON c.document_key = new.document_key
        WHERE old.realm = open.realm AND old.document_key = open.document_key
          AND c.party = open.party AND c.realm = open.realm AND c.checked_at_us > open.opened_at_us
          AND c.outcome = {Outcome.PASS.octet} AND c.channel = {Channel.in_person.octet}
    ) found ORDER BY checked_at_us LIMIT 1
) shown
WHERE open.state = 'open' AND n.id = open.id AND n.state = 'open'
"""  # noqa: E501
"""Settle open needs by checks that passed in person at the same party: another document of the same number, or the same
person's other document of the same kind."""


def settle_shown(db: psycopg.Connection[Any]) -> int:
    """Settle urgent needs behind the path: called by the sealer after it has indexed new checks."""
    return db.execute(SETTLE.encode()).rowcount


async def _insert(
    write: Write, act: Act, who: Principal, leaf: Leaf, check: bytes, at: At, decision: str, reason: str, words: str
) -> tuple[str, int]:
    """Write the departure and the entry with its digest; return its id and position."""
    departure_id = "p_" + secrets.token_hex(12)
    row = (
        departure_id, who.id, REALM_CODES[who.realm], check, leaf.checked_at_us, leaf.outcome, leaf.status, leaf.purpose,
        leaf.channel, leaf.policy_version, decision, reason, words.strip(), at.branch, at.terminal, at.clerk,
        write.recorded_at_us,
    )  # fmt: skip
    # The id is random and stays with the record: without it nobody can try which words the digest stands for.
    digest = hashlib.sha256(b"annul departure v1\0" + msgspec.msgpack.encode(row)).digest()
    position = write.append(
        Entry(
            kind=EntryKind.note,
            realm=act.code,
            recorded_at_us=write.recorded_at_us,
            happened_at_us=write.recorded_at_us,
            author=act.author,
            evidence=f"check {check.hex()}",
            body=b"departure v1 " + digest,
        )
    )
    await write.run(
        "INSERT INTO departure (id, party, realm, check_id, checked_at_us, outcome, answered_status, purpose, channel, "
        "policy_version, decision, reason, words, branch, terminal, clerk, decided_at_us, position) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        *row, position,
    )  # fmt: skip
    return departure_id, position


async def _hold_unexpired(write: Write, who: Principal, document_key: bytes) -> None:
    """Refuse a card whose end of validity, as the register knows it, is over: that day stands on the card itself."""
    row = await write.one(
        "SELECT valid_until_day FROM document WHERE realm = %s AND document_key = %s", REALM_CODES[who.realm], document_key
    )
    if row is not None and row[0] is not None and row[0] < LONG_TERM_DAY and row[0] < write.recorded_at_us // DAY_US:
        raise Conflict("The card has expired.", where="/confirmed/unexpired")


def _need(row: tuple[Any, ...], now: int) -> UrgentNeed:
    return UrgentNeed(
        id=row[0], check=bytes(row[1]).hex(), reference=row[2], words=row[3], branch=row[4], terminal=row[5], clerk=row[6],
        opened_at_us=row[7], due_at_us=row[8], state="overdue" if row[9] == "open" and row[8] <= now else row[9],
        shown_check=bytes(row[10]).hex() if row[10] is not None else None, shown_at_us=row[11], departure=row[12],
    )  # fmt: skip


def _limit(limit: int) -> int:
    if not 1 <= limit <= PAGE_MAX:
        raise BadInput(f"A page has 1 to {PAGE_MAX} rows.", where="?limit")
    return limit


def day_of(at_us: int) -> str:
    """Return the day of a time (UTC) as YYYY-MM-DD."""
    return datetime.fromtimestamp(at_us / 1e6, UTC).date().isoformat()


__all__ = [
    "REASONS", "At", "Confirmed", "Decided", "Departure", "Departures", "Policies", "PolicyBook", "PolicyChange",
    "PolicyVersion", "Shift", "Trial", "UrgentNeed", "day_of", "hold_officer", "person_of", "rfc3339", "settle_shown",
]  # fmt: skip
