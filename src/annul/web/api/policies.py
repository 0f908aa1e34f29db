"""Answer programs of a relying party: its counter policy, departures from answers, urgent needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from annul.errors import BadInput, NotFound
from annul.records.policy import Difference, Policy
from annul.registry.counter.departures import (
    At,
    Confirmed,
    Decided,
    DecisionName,
    Departure,
    NeedState,
    ReasonName,
    UrgentNeed,
)
from annul.registry.parties.policies import PolicyBook, PolicyVersion, Trial, hold_officer
from annul.times import rfc3339
from annul.web.api.reports import act_of, settled
from annul.web.api.terms import Body, moment_or_none
from annul.web.door.call import Route

if TYPE_CHECKING:
    from annul.registry.parties.parties import Changed, Principal
    from annul.web.door.call import Call
    from annul.web.door.office import Office

RELYING: Final = frozenset({"relying_party"})
NEED_ID: Final = "u_[0-9a-f]{24}"
VERSION: Final = "[1-9][0-9]{0,4}"

Words = Annotated[str, Meta(max_length=500)]
CheckId = Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]
Tag = Annotated[str, Meta(max_length=64)]


class PolicyShown(msgspec.Struct):
    """One version of the counter policy. Version 1 is the register's default; `revision` counts the saves of a draft."""

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
    """A version that was put in force in the place of another."""

    version: int
    was: int
    changed_by: str
    changed_at: str
    reason: str
    position: int


class PoliciesShown(msgspec.Struct):
    """The policy of the caller's organisation: what is in force, every version, every change, newest first."""

    in_force: int
    two_persons: bool
    versions: list[PolicyShown]
    changes: list[PolicyPut]


class DraftWanted(Body):
    """The new content of the draft. Its version is given by the register; `revision` is that of the draft it was made from, 0
    to begin one."""

    policy: Policy
    revision: Annotated[int, Meta(ge=0)] = 0
    note: Words = ""


class TrialWanted(Body):
    """Try a version on the checks of the last days."""

    days: Annotated[int, Meta(ge=1, le=31)] = 31


class TrialShown(msgspec.Struct):
    """What past checks would have been answered: all of whole days (UTC) and of today, as far as they are indexed."""

    version: int
    checks: int
    since: str
    until: str
    outcomes: dict[str, dict[str, int]]
    changed_outcomes: int
    changed_advice: int
    shifts: list[dict[str, Any]]


class Release(Body):
    """Release the draft as it was read: `revision` is that of the draft."""

    revision: Annotated[int, Meta(ge=1)]
    reason: Words = ""


class RollBack(Body):
    """Put an older version in force again."""

    reason: Annotated[str, Meta(min_length=3, max_length=500)]


class Discard(Body):
    """Throw the draft away."""


class TwoPersons(Body):
    """Whether a draft must be released by somebody else than its last editor."""

    wanted: bool


class PolicyChanged(msgspec.Struct):
    """A change of the policy was recorded; workers decide by it from this position on."""

    in_force: int
    position: int


class DifferencesShown(msgspec.Struct):
    """Where two versions differ: JSON pointers with both values."""

    old: int
    new: int
    differences: list[Difference]


class Older(msgspec.Struct, forbid_unknown_fields=True):
    """Query: the version to compare with; the one in force when it is left out."""

    old: Annotated[int, Meta(ge=0, le=65535)] = 0


class DepartureWanted(Body):
    """A decision that is not the one advised. The check is named by its id or, at once after the answer, by its receipt."""

    decision: DecisionName
    reason: ReasonName
    check: CheckId = ""
    receipt: dict[str, Any] | None = None
    words: Words = ""
    branch: Tag = ""
    terminal: Tag = ""
    clerk: Tag = ""


class NeedWanted(Body):
    """Serve a holder in urgent need although the card is lost or replaced; `confirmed`: what the clerk has made sure of."""

    confirmed: Confirmed
    words: Annotated[str, Meta(min_length=3, max_length=500)]
    check: CheckId = ""
    receipt: dict[str, Any] | None = None
    reference: Tag = ""
    branch: Tag = ""
    terminal: Tag = ""
    clerk: Tag = ""


class DecidedShown(msgspec.Struct):
    """The decision was recorded; `need` and `due_at` when it opened a follow-up."""

    departure: str
    need: str | None
    due_at: str | None
    position: int


class DepartureShown(msgspec.Struct):
    """One departure; `status` is what the party may know of the reason."""

    id: str
    check: str
    checked_at: str
    decided_at: str
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
    need: str | None


class DeparturesShown(msgspec.Struct):
    """Departures of the caller's organisation, newest first."""

    departures: list[DepartureShown]


class NeedShown(msgspec.Struct):
    """One urgent need. Overdue: services other than at the counter stop until the new card is shown."""

    id: str
    state: str
    check: str
    departure: str
    reference: str
    words: str
    opened_at: str
    due_at: str
    branch: str
    terminal: str
    clerk: str
    shown_check: str | None
    shown_at: str | None


class NeedsShown(msgspec.Struct):
    """Urgent needs of the caller's organisation, those due first at the top."""

    needs: list[NeedShown]


class NewDocumentShown(Body):
    """The check of the holder's new document."""

    check: CheckId = ""
    receipt: dict[str, Any] | None = None


class Rows(msgspec.Struct, forbid_unknown_fields=True):
    """Query of a list."""

    limit: Annotated[int, Meta(ge=1, le=500)] = 100


class NeedRows(Rows, forbid_unknown_fields=True):
    """Query of the follow-ups."""

    state: NeedState | None = None


# -- the policy --------------------------------------------------------------------------------------------------------------


def _shown(each: PolicyVersion) -> PolicyShown:
    return PolicyShown(
        each.version, each.state, each.in_force, each.revision, each.based_on, each.note, each.edited_by,  # type: ignore[arg-type]
        moment_or_none(each.edited_at_us), each.released_by, moment_or_none(each.released_at_us), each.policy,
    )  # fmt: skip


def _book(book: PolicyBook) -> PoliciesShown:
    changes = [
        PolicyPut(each.version, each.was, each.changed_by, rfc3339(each.changed_at_us), each.reason, each.position)
        for each in book.changes
    ]
    return PoliciesShown(book.in_force, book.two_persons, [_shown(each) for each in book.versions], changes)


def _officer(call: Call) -> Principal:
    hold_officer(call.principal)
    return call.principal


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
    return _shown(await office.policies.save(act_of(call), _officer(call), body.policy, note=body.note, revision=body.revision))


async def discard(office: Office, call: Call) -> PoliciesShown:
    """Throw the draft away."""
    await office.policies.discard(act_of(call), _officer(call), _version(call))
    return _book(await office.policies.book(call.principal.id))


async def trial(office: Office, call: Call) -> TrialShown:
    """Decide the caller's own past checks anew; nothing is changed."""
    return tried(await office.policies.try_on_past(_officer(call), _version(call), days=call.body.days))


def tried(found: Trial) -> TrialShown:
    """Return a trial for the wire."""
    shifts = [msgspec.to_builtins(each) for each in found.shifts]
    return TrialShown(
        found.version, found.checks, rfc3339(found.since_us), rfc3339(found.until_us), found.outcomes,
        found.changed_outcomes, found.changed_advice, shifts,
    )  # fmt: skip


async def _changed(office: Office, call: Call, changed: Changed) -> PolicyChanged:
    await settled(office, changed.position, "The change of the policy is recorded")
    return PolicyChanged((await office.policies.book(call.principal.id)).in_force, changed.position)


async def release(office: Office, call: Call) -> PolicyChanged:
    """Put the draft in force."""
    body: Release = call.body
    made = await office.policies.release(
        act_of(call), _officer(call), _version(call), revision=body.revision, reason=body.reason
    )
    return await _changed(office, call, made)


async def roll_back(office: Office, call: Call) -> PolicyChanged:
    """Put an older version in force again."""
    made = await office.policies.roll_back(act_of(call), _officer(call), _version(call), reason=call.body.reason)
    return await _changed(office, call, made)


async def two_persons(office: Office, call: Call) -> PolicyChanged:
    """Say whether a second person must release."""
    made = await office.policies.want_two_persons(act_of(call), _officer(call), call.body.wanted)
    return await _changed(office, call, made)


# -- departures and urgent needs ---------------------------------------------------------------------------------------------


async def _receipt(office: Office, call: Call) -> dict[str, Any]:
    body: DepartureWanted | NeedWanted | NewDocumentShown = call.body
    if (body.receipt is None) == (not body.check):
        raise BadInput("Name the check by `check` or by `receipt`.", where="/check", mend="Send one of them.")
    return body.receipt or await office.departures.receipt_of(call.principal, body.check)


def _decided(made: Decided) -> DecidedShown:
    return DecidedShown(made.departure, made.need, moment_or_none(made.due_at_us), made.position)


async def depart(office: Office, call: Call) -> DecidedShown:
    """Record a decision that is not the one the answer advised."""
    body: DepartureWanted = call.body
    receipt, at = await _receipt(office, call), At(body.branch, body.terminal, body.clerk)
    return _decided(
        await office.departures.depart(
            act_of(call), call.principal, receipt, at, decision=body.decision, reason=body.reason, words=body.words
        )
    )


async def departures(office: Office, call: Call) -> DeparturesShown:
    """List departures of the whole organisation."""
    return DeparturesShown(
        [_departure(each) for each in await office.departures.recorded(_officer(call), limit=call.query.limit)]
    )


def _departure(each: Departure) -> DepartureShown:
    members = {name: getattr(each, name) for name in DepartureShown.__struct_fields__ if not name.endswith("_at")}
    return DepartureShown(**members, checked_at=rfc3339(each.checked_at_us), decided_at=rfc3339(each.decided_at_us))


async def serve_urgent_need(office: Office, call: Call) -> DecidedShown:
    """Record that a holder in urgent need is served, with the day by which the new card is to be shown."""
    body: NeedWanted = call.body
    receipt, at = await _receipt(office, call), At(body.branch, body.terminal, body.clerk)
    return _decided(
        await office.departures.serve_urgent_need(
            act_of(call), call.principal, receipt, at, body.confirmed, words=body.words, reference=body.reference
        )
    )


async def urgent_needs(office: Office, call: Call) -> NeedsShown:
    """List urgent needs."""
    query: NeedRows = call.query
    return NeedsShown(
        [_need(each) for each in await office.departures.needs(call.principal, state=query.state, limit=query.limit)]
    )


def _need(each: UrgentNeed) -> NeedShown:
    members = {name: getattr(each, name) for name in NeedShown.__struct_fields__ if not name.endswith("_at")}
    opened_at, due_at = rfc3339(each.opened_at_us), rfc3339(each.due_at_us)
    return NeedShown(**members, opened_at=opened_at, due_at=due_at, shown_at=moment_or_none(each.shown_at_us))


async def new_document_shown(office: Office, call: Call) -> NeedShown:
    """Settle an urgent need with the check of the holder's new document."""
    return _need(await office.departures.show(call.principal, call.path["id"], await _receipt(office, call)))


# -- routes ------------------------------------------------------------------------------------------------------------------


def _get(path: str, handler: Any, summary: str, returns: Any, **more: Any) -> Route:
    return Route(method="GET", path=path, who=RELYING, handler=handler, summary=summary, returns=returns, tag="counter", **more)


def _post(path: str, handler: Any, summary: str, body: Any, returns: Any, **more: Any) -> Route:
    return Route(
        method="POST", path=path, who=RELYING, handler=handler, summary=summary, body=body, returns=returns, tag="counter",
        **more,
    )  # fmt: skip


_NUMBERED: Final = {"patterns": {"version": VERSION}}
_WRITES: Final = ("conflict", "not-found", "forbidden")
_PUTS: Final = (*_WRITES, "not-yet-effective")
_DECIDES: Final = ("conflict", "not-found", "forbidden", "verification-failed")

ROUTES: Final[tuple[Route, ...]] = (
    _get("/v1/policies", policies, "Read your counter policy with all its versions", PoliciesShown),
    _post("/v1/policies/draft", draft, "Save the draft of your counter policy", DraftWanted, PolicyShown, write=True, live=True,
          problems=_WRITES),
    _post("/v1/policies/two-persons", two_persons, "Ask for a second person to release", TwoPersons, PolicyChanged, write=True,
          live=True, problems=_PUTS),
    _get("/v1/policies/{version}", policy, "Read one version of your counter policy", PolicyShown, problems=("not-found",),
         **_NUMBERED),
    _get("/v1/policies/{version}/differences", compare, "Compare a version with another", DifferencesShown, query=Older,
         problems=("not-found",), **_NUMBERED),
    _post("/v1/policies/{version}/trial", trial, "Try a version on your checks of last month", TrialWanted, TrialShown,
          problems=("not-found", "forbidden"), **_NUMBERED),
    _post("/v1/policies/{version}/discard", discard, "Throw the draft away", Discard, PoliciesShown, write=True, live=True,
          problems=_WRITES, **_NUMBERED),
    _post("/v1/policies/{version}/release", release, "Put the draft in force", Release, PolicyChanged, write=True, live=True,
          problems=_PUTS, **_NUMBERED),
    _post("/v1/policies/{version}/roll-back", roll_back, "Put an older version in force again", RollBack, PolicyChanged,
          write=True, live=True, problems=_PUTS, **_NUMBERED),
    _post("/v1/departures", depart, "Record a decision that is not the one advised", DepartureWanted, DecidedShown, status=201,
          write=True, problems=_DECIDES),
    _get("/v1/departures", departures, "List decisions that were not the ones advised", DeparturesShown, query=Rows,
         problems=("forbidden",)),
    _post("/v1/urgent-needs", serve_urgent_need, "Serve an urgent need; the new card is to be shown", NeedWanted, DecidedShown,
          status=201, write=True, problems=_DECIDES),
    _get("/v1/urgent-needs", urgent_needs, "List urgent needs, those due first at the top", NeedsShown, query=NeedRows),
    _post("/v1/urgent-needs/{id}/shown", new_document_shown, "Settle an urgent need: the new document was shown",
          NewDocumentShown, NeedShown, write=True, problems=_DECIDES, patterns={"id": NEED_ID}),
)  # fmt: skip
