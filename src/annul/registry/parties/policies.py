"""The counter policies of relying parties: numbered versions, drafts, trials on past checks, releases and ways back.

Version 1 is the register's default. A party has one draft at a time: edited, tried on its own past checks, released. The number
in force stands in every receipt given under it, and the content of a released number never changes; going back puts an older
number in force again. Workers take a release up with the snapshot of parties.

What must never happen here: a policy milder than the register's floor in force; two editors overwriting each other; a released
number with another content.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import msgspec

from annul.errors import BadInput, Conflict, NotFound
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
from annul.records.policy import (
    DEFAULT_POLICY,
    Difference,
    Policy,
    decide_slowly,
    differences,
    kept_policy,
    policy_to_json,
    require_floor,
)
from annul.records.references import require_reason
from annul.registry.parties.parties import Changed, Parties, Principal, Waiting
from annul.registry.writing.act import Act
from annul.registry.writing.pen import remember, replay
from annul.registry.writing.second import Hand, asked_twice, require_second
from annul.registry.writing.store import REALM_CODES, Connections, Write, reading, writing
from annul.times import DAY_US, Clock

DEFAULT_VERSION: Final = DEFAULT_POLICY.version
VERSION_MAX: Final = 65_535
TRIAL_DAYS_MAX: Final = 31
"""Days of past checks a draft can be tried on: last month."""
SAMPLES: Final = 3
"""Checks shown for each change of a trial."""
WORDS_MAX: Final = 500
"""Characters of a reason in the clerk's own words."""
NUMBER_RUN: Final = re.compile(r"(?:\d[\s-]?){6,}")
"""Six digits in a row: a document's number, a birth date, a telephone. They have no place in a reason."""


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
        old, new: outcome then, and by this policy.
        old_advice, new_advice: next steps then, and by this policy.
        status, identity, binding, channel: the codes that lead there, as the party was told them.
        count: how many checks.
        samples: ids of some of them.
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
        checks: all checks of `since_us` (a day's begin, UTC) until `until_us`, as far as they are indexed.
        outcomes: counts by (outcome then, outcome under this policy), both as words; rows are complete.
        shifts: what differs, the most frequent first.
    """

    version: int
    checks: int
    since_us: int
    until_us: int
    outcomes: dict[str, dict[str, int]]
    changed_outcomes: int
    changed_advice: int
    shifts: list[Shift]


def person_of(act: Act, principal: Principal) -> str:
    """Return who acts for a party, as records name her: the officer, or the party and the credential; never a secret."""
    return act.author if "/" in act.author else f"{principal.id}/{principal.key_id}"


def _as(act: Act, person: str) -> Act:
    """Return the act as this person's: two keys of one party are two persons here, as the party hands them out."""
    return replace(act, author=person)


async def _two_persons(write: Write, party: str) -> bool:
    row = await write.one("SELECT policy_two_persons FROM principal WHERE id = %s", party)
    return bool(row and row[0])


_SECOND: Final = "Your organisation wants a second person for this: it is asked for, and waits for a colleague."
_COLLEAGUE: Final = "Ask a colleague with another key to release it."
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

    def __init__(self, connections: Connections, parties: Parties, now_us: Clock) -> None:
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
        require_words(note, "/note")
        party, person = who.id, person_of(act, who)
        async with writing(self._connections, self._now_us()) as write:
            known = await replay(write, act, PolicyVersion)
            if known is not None:
                return known
            in_force = await _in_force(write, party)
            row = await write.one("SELECT version, revision FROM counter_policy WHERE party = %s AND state = 'draft'", party)
            if (row[1] if row else 0) != revision:
                raise Conflict(
                    "The draft was changed meanwhile." if row else "The draft is gone: released or discarded.",
                    where="/revision",
                    mend="Open it again, and make your changes in what you find there.",
                )
            version = row[0] if row else await _next_version(write, party)
            made = msgspec.structs.replace(policy, version=version)
            require_floor(made)
            at = write.recorded_at_us
            if row is None:
                await write.run(
                    "INSERT INTO counter_policy (party, version, state, policy, revision, based_on, note, edited_by, "
                    "edited_at_us, edited_with) VALUES (%s, %s, 'draft', %s, 1, %s, %s, %s, %s, %s)",
                    party,
                    version,
                    policy_to_json(made),
                    in_force,
                    note,
                    person,
                    at,
                    act.credential,
                )
            else:
                touched = await write.run(
                    "UPDATE counter_policy SET policy = %s, revision = revision + 1, note = %s, edited_by = %s, "
                    "edited_at_us = %s, edited_with = %s "
                    "WHERE party = %s AND version = %s AND state = 'draft' AND revision = %s",
                    policy_to_json(made),
                    note,
                    person,
                    at,
                    act.credential,
                    party,
                    version,
                    revision,
                )
                if touched != 1:
                    raise Conflict("The draft was changed by somebody else meanwhile.", where="/revision")
            saved = PolicyVersion(party, version, "draft", False, made, revision + 1, in_force, note, person, at)
            await remember(write, act, saved)
        return saved

    async def discard(self, act: Act, who: Principal, version: int) -> None:
        """Discard the draft; its number is not given again."""
        async with writing(self._connections, self._now_us()) as write:
            touched = await write.run(
                "UPDATE counter_policy SET state = 'discarded' WHERE party = %s AND version = %s AND state = 'draft'",
                who.id,
                version,
            )
            if touched != 1:
                raise NotFound("There is no such draft.")
            await remember(write, act, Changed(write.position))

    async def release(self, act: Act, who: Principal, version: int, *, revision: int, reason: str = "") -> Changed:
        """Put the draft in force: from this position on workers decide by it.

        Raises:
            NotFound: there is no such draft.
            Conflict: it was changed since it was read.
            Forbidden: the party wants a second person, and this may be the editor.
            BadInput: the register's floor was raised meanwhile.
        """
        party, person = who.id, person_of(act, who)
        require_words(reason, "/reason")

        async def change(write: Write) -> str:
            row = await write.one(
                "SELECT policy, revision, edited_by, edited_with, policy_two_persons "
                "FROM counter_policy JOIN principal ON id = party WHERE party = %s AND version = %s AND state = 'draft'",
                party,
                version,
            )
            if row is None:
                raise NotFound("There is no such draft.", where="/version")
            if row[1] != revision:
                raise Conflict("The draft was changed since you read it.", where="/revision", mend="Read it again first.")
            if row[4]:
                await require_second(
                    write,
                    _as(act, person),
                    Hand(row[2], row[3]),
                    sentence="Your organisation wants a second person: the editor does not release.",
                    mend=_COLLEAGUE,
                )
            require_floor(kept_policy(bytes(row[0])))
            await write.run(
                "UPDATE counter_policy SET state = 'released', released_by = %s, released_at_us = %s, position = %s "
                "WHERE party = %s AND version = %s",
                person,
                write.recorded_at_us,
                write.position + 1,
                party,
                version,
            )
            return await _put_in_force(write, party, version, person, reason)

        return await self._parties.change(act, change)

    async def roll_back(self, act: Act, who: Principal, version: int, *, reason: str) -> Changed:
        """Put an older released version, or the default (1), in force again.

        Where the party wants two persons, the first one asks for it, and it is done when another one asks for the same within
        a day: any older version may be milder than the one in force.

        Raises:
            NotFound: no such version was ever released. Conflict: it is in force already.
            Forbidden: it waits for another person than this one.
        """
        party, person = who.id, person_of(act, who)
        require_words(reason, "/reason")

        async def change(write: Write) -> str:
            row = await write.one(
                "SELECT policy FROM counter_policy WHERE party = %s AND version = %s AND state = 'released'", party, version
            )
            if row is None and version != DEFAULT_VERSION:
                raise NotFound("No such version was ever released.", where="/version")
            if row is not None:
                require_floor(kept_policy(bytes(row[0])))
            if await _in_force(write, party) == version:
                raise Conflict("This version is in force already.", where="/version")
            if await _two_persons(write, party) and not await asked_twice(
                write, _as(act, person), f"policy {party}: back to {version}", sentence=_SECOND, mend=_COLLEAGUE
            ):
                return Waiting(f"policy-asked {party} {version}")
            return await _put_in_force(write, party, version, person, reason)

        return await self._parties.change(act, change)

    async def want_two_persons(self, act: Act, who: Principal, wanted: bool) -> Changed:
        """Say whether a draft must be released by somebody else than its editor.

        To do away with it takes two persons as well: the first one asks for it, and it is done when another one asks for the
        same within a day. To ask for it takes one.

        Raises:
            Forbidden: doing away with it waits for another person than this one.
        """
        party, person = who.id, person_of(act, who)

        async def change(write: Write) -> str:
            if (
                not wanted
                and await _two_persons(write, party)
                and not await asked_twice(
                    write, _as(act, person), f"policy {party}: one person", sentence=_SECOND, mend=_COLLEAGUE
                )
            ):
                return Waiting(f"policy-asked {party} one-person")
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
            days: how far back, 1 to 31; days are whole (UTC), today is looked at as well.

        The checks were counted while they were indexed: a trial takes the same few milliseconds for ten checks and for a
        hundred million.
        """
        if not 1 <= days <= TRIAL_DAYS_MAX:
            raise BadInput(f"A trial looks 1 to {TRIAL_DAYS_MAX} days back.", where="/days")
        policy = next((each.policy for each in (await self.book(who.id)).versions if each.version == version), None)
        if policy is None:
            raise NotFound("There is no such version.", where="/version")
        until = self._now_us()
        first = until // DAY_US - days
        async with reading(self._connections) as db:
            rows = await (await db.execute(_PAST, (who.id, REALM_CODES[who.realm], first))).fetchall()
        return _trial(policy, rows, first * DAY_US, until)


_PAST = f"""
SELECT status, identity, binding, freshness, channel, purpose, outcome, advice, sum(count)::bigint,
       (array_agg(newest ORDER BY day DESC))[1:{SAMPLES}]
FROM answers_by_day WHERE party = %s AND realm = %s AND day >= %s GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
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
            old.value,
            new.outcome.value,
            [step.value for step in Advice if mask & step.bit],
            list(new.names),
            status.value,
            identity.value,
            binding.value,
            channel.value,
            count,
            samples,
        )
    ordered = sorted(shifts.values(), key=lambda shift: (shift.old == shift.new, -shift.count))
    return Trial(policy.version, total, since, until, outcomes, changed, advised, ordered)


def _version(row: tuple[Any, ...], in_force: int) -> PolicyVersion:
    party, version, state, policy, *rest = row
    return PolicyVersion(party, version, state, version == in_force, kept_policy(bytes(policy)), *rest)


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
        party,
        version,
        was,
        person,
        write.recorded_at_us,
        reason,
        write.position + 1,
    )
    return f"policy {party} {was} -> {version} by {person}"


def require_words(words: str, where: str, *, needed: bool = False) -> None:
    """Refuse words that are too long, or that hold what looks like a number of a person or a document."""
    if needed and len(words.strip()) < 3:
        raise BadInput("Say the reason in a few words.", where=where)
    require_reason(words, where, most=WORDS_MAX)
    if NUMBER_RUN.search(words):
        raise BadInput(
            "A reason must not hold the number of a document, a person or a telephone.",
            where=where,
            mend="Leave the number out: the check names the document.",
        )
