"""Answer programs of a relying party about its counter policy: versions, draft, trial, release."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec
from msgspec import Meta

from annul.errors import NotFound
from annul.records.policy import Difference, Policy
from annul.records.references import Words
from annul.registry.parties.policies import PolicyBook, PolicyVersion, Shift, Trial
from annul.times import rfc3339
from annul.web.api.terms import Body, act_of, moment_or_none, settled
from annul.web.door.call import Call, Route, get, post, tagged
from annul.web.door.who import COUNTERS, RELYING

if TYPE_CHECKING:
    from annul.registry.parties.parties import Changed
    from annul.web.door.office import Office

VERSION: Final = "[1-9][0-9]{0,4}"


class PolicyShown(msgspec.Struct):
    """One version of the counter policy. Version 1 is the register's default; `revision` counts the saves of a draft.

    Args:
        version: version, counted up.
        state: its present state.
        in_force: counters work by this version.
        revision: counts the saves of a draft.
        based_on: version that this one was made from.
        note: what it is about, in words.
        edited_by: who saved it last.
        edited_at: when it was last saved (RFC 3339, UTC); null for the default.
        released_by: who released it; null for a draft.
        released_at: when it was released (RFC 3339, UTC); null for a draft.
        policy: the whole content of the version.
    """

    version: int
    state: Literal["default", "draft", "released"]
    in_force: bool
    revision: int
    based_on: int
    note: str
    edited_by: str
    edited_at: str | None
    released_by: str | None
    released_at: str | None
    policy: Policy


class PolicyPut(msgspec.Struct):
    """A version that was put in force in the place of another.

    Args:
        version: version, counted up.
        was: version that was in force before.
        changed_by: who put it in force.
        changed_at: when it was put in force (RFC 3339, UTC).
        reason: why, in words.
        position: position in the register log; 0-based and dense.
    """

    version: int
    was: int
    changed_by: str
    changed_at: str
    reason: str
    position: int


class PoliciesShown(msgspec.Struct):
    """The policy of the caller's organisation: what is in force, every version, every change, newest first.

    Args:
        in_force: the version that counters work by.
        two_persons: a draft must be released by somebody else than its last editor.
        versions: every version, newest first.
        changes: every change of the version in force, newest first.
    """

    in_force: int
    two_persons: bool
    versions: list[PolicyShown]
    changes: list[PolicyPut]


class DraftWanted(Body):
    """The new content of the draft. Its version is given by the register; `revision` is that of the draft it was made from, 0
    to begin one.

    Args:
        policy: the whole content of the version.
        revision: counts the saves of a draft.
        note: what it is about, in words.
    """

    policy: Policy
    revision: Annotated[int, Meta(ge=0)] = 0
    note: Words = ""


class TrialWanted(Body):
    """Try a version on the checks of the last days.

    Args:
        days: days back from now.
    """

    days: Annotated[int, Meta(ge=1, le=31)] = 31


class TrialShown(msgspec.Struct):
    """What past checks would have been answered: all of whole days (UTC) and of today, as far as they are indexed.

    Args:
        version: version, counted up.
        checks: past checks that were tried.
        since: first day of the checks tried, YYYY-MM-DD.
        until: last day of the checks tried, YYYY-MM-DD.
        outcomes: past checks by outcome, then and by the tried version.
        changed_outcomes: checks that would have got another outcome.
        changed_advice: checks that would have got other advice.
        shifts: how many checks go from which outcome to which.
    """

    version: int
    checks: int
    since: str
    until: str
    outcomes: dict[str, dict[str, int]]
    changed_outcomes: int
    changed_advice: int
    shifts: list[Shift]


class Release(Body):
    """Release the draft as it was read: `revision` is that of the draft.

    Args:
        revision: counts the saves of a draft.
        reason: why, in words.
    """

    revision: Annotated[int, Meta(ge=1)]
    reason: Words = ""


class RollBack(Body):
    """Put an older version in force again.

    Args:
        reason: why, in words.
    """

    reason: Annotated[Words, Meta(min_length=3)]


class Discard(Body):
    """Discard the draft."""


class TwoPersons(Body):
    """Whether a draft must be released by somebody else than its last editor.

    Args:
        wanted: true: two persons.
    """

    wanted: bool


class PolicyChanged(msgspec.Struct):
    """A change of the policy was recorded; workers decide by it from this position on.

    Args:
        in_force: the version that counters work by.
        position: of the entry.
        waits: it was only asked for: nothing changes until another person, with another key, asks for the same within a day.
    """

    in_force: int
    position: int
    waits: bool = False


class DifferencesShown(msgspec.Struct):
    """Where two versions differ: JSON pointers with both values.

    Args:
        old: the older version.
        new: the newer version.
        differences: the members that differ.
    """

    old: int
    new: int
    differences: list[Difference]


class Older(msgspec.Struct, forbid_unknown_fields=True):
    """Query: the version to compare with; the one in force when it is left out.

    Args:
        old: the version to compare with; left out: the one in force.
    """

    old: Annotated[int, Meta(ge=0, le=65535)] = 0


def _shown(each: PolicyVersion) -> PolicyShown:
    return PolicyShown(
        each.version,
        each.state,  # type: ignore[arg-type]
        each.in_force,
        each.revision,
        each.based_on,
        each.note,
        each.edited_by,
        moment_or_none(each.edited_at_us),
        each.released_by,
        moment_or_none(each.released_at_us),
        each.policy,
    )


def _book(book: PolicyBook) -> PoliciesShown:
    changes = [
        PolicyPut(each.version, each.was, each.changed_by, rfc3339(each.changed_at_us), each.reason, each.position)
        for each in book.changes
    ]
    return PoliciesShown(book.in_force, book.two_persons, [_shown(each) for each in book.versions], changes)


def _version(call: Call) -> int:
    return int(call.path["version"])


async def policies(office: Office, call: Call) -> PoliciesShown:
    """Show the caller's policy with all versions and changes."""
    return _book(await office.policies.book(call.principal.id))


async def policy(office: Office, call: Call) -> PolicyShown:
    """Show one version."""
    book = await office.policies.book(call.principal.id)
    found = next((each for each in book.versions if each.version == _version(call)), None)
    if found is None:
        raise NotFound("There is no such version.")
    return _shown(found)


async def compare(office: Office, call: Call) -> DifferencesShown:
    """Say in what a version differs from another."""
    old = call.query.old or (await office.policies.book(call.principal.id)).in_force
    return DifferencesShown(old, _version(call), await office.policies.compare(call.principal.id, old, _version(call)))


async def draft(office: Office, call: Call) -> PolicyShown:
    """Save the draft."""
    body: DraftWanted = call.body
    return _shown(await office.policies.save(act_of(call), call.principal, body.policy, note=body.note, revision=body.revision))


async def discard(office: Office, call: Call) -> PoliciesShown:
    """Discard the draft."""
    await office.policies.discard(act_of(call), call.principal, _version(call))
    return _book(await office.policies.book(call.principal.id))


async def trial(office: Office, call: Call) -> TrialShown:
    """Decide the caller's own past checks anew; nothing is changed."""
    return tried(await office.policies.try_on_past(call.principal, _version(call), days=call.body.days))


def tried(found: Trial) -> TrialShown:
    """Return a trial for the"""
    return TrialShown(
        found.version,
        found.checks,
        rfc3339(found.since_us),
        rfc3339(found.until_us),
        found.outcomes,
        found.changed_outcomes,
        found.changed_advice,
        found.shifts,
    )


async def _changed(office: Office, call: Call, changed: Changed) -> PolicyChanged:
    await settled(office, changed.position, "The change of the policy is recorded")
    return PolicyChanged((await office.policies.book(call.principal.id)).in_force, changed.position, changed.waits)


async def release(office: Office, call: Call) -> PolicyChanged:
    """Put the draft in force."""
    body: Release = call.body
    made = await office.policies.release(
        act_of(call), call.principal, _version(call), revision=body.revision, reason=body.reason
    )
    return await _changed(office, call, made)


async def roll_back(office: Office, call: Call) -> PolicyChanged:
    """Put an older version in force again."""
    made = await office.policies.roll_back(act_of(call), call.principal, _version(call), reason=call.body.reason)
    return await _changed(office, call, made)


async def two_persons(office: Office, call: Call) -> PolicyChanged:
    """Say whether a second person must release."""
    made = await office.policies.want_two_persons(act_of(call), call.principal, call.body.wanted)
    return await _changed(office, call, made)


_NUMBERED: Final = {"version": VERSION}
_WRITES: Final = ("conflict", "not-found", "forbidden")
_PUTS: Final = (*_WRITES, "not-yet-effective")


ROUTES: Final[tuple[Route, ...]] = tagged(
    "counter",
    get(
        "/v1/policies", RELYING, policies, "Read your counter policy with all its versions", returns=PoliciesShown, use=COUNTERS
    ),
    post(
        "/v1/policies/draft",
        RELYING,
        draft,
        "Save the draft of your counter policy",
        body=DraftWanted,
        returns=PolicyShown,
        write=True,
        live=True,
        problems=_WRITES,
    ),
    post(
        "/v1/policies/two-persons",
        RELYING,
        two_persons,
        "Ask for a second person to release",
        body=TwoPersons,
        returns=PolicyChanged,
        write=True,
        live=True,
        problems=_PUTS,
    ),
    get(
        "/v1/policies/{version}",
        RELYING,
        policy,
        "Read one version of your counter policy",
        returns=PolicyShown,
        problems=("not-found",),
        patterns=_NUMBERED,
        use=COUNTERS,
    ),
    get(
        "/v1/policies/{version}/differences",
        RELYING,
        compare,
        "Compare a version with another",
        returns=DifferencesShown,
        query=Older,
        problems=("not-found",),
        patterns=_NUMBERED,
    ),
    post(
        "/v1/policies/{version}/trial",
        RELYING,
        trial,
        "Try a version on your checks of last month",
        body=TrialWanted,
        returns=TrialShown,
        problems=("not-found", "forbidden"),
        patterns=_NUMBERED,
    ),
    post(
        "/v1/policies/{version}/discard",
        RELYING,
        discard,
        "Discard the draft",
        body=Discard,
        returns=PoliciesShown,
        write=True,
        live=True,
        problems=_WRITES,
        patterns=_NUMBERED,
    ),
    post(
        "/v1/policies/{version}/release",
        RELYING,
        release,
        "Put the draft in force",
        body=Release,
        returns=PolicyChanged,
        write=True,
        live=True,
        problems=_PUTS,
        patterns=_NUMBERED,
    ),
    post(
        "/v1/policies/{version}/roll-back",
        RELYING,
        roll_back,
        "Put an older version in force again",
        body=RollBack,
        returns=PolicyChanged,
        write=True,
        live=True,
        problems=_PUTS,
        patterns=_NUMBERED,
    ),
)
