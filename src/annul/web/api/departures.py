"""Answer programs of a relying party about decisions that were not the ones advised, and urgent needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from msgspec import Meta

from annul.errors import BadInput
from annul.records.references import Tag, Words
from annul.registry.counter.departures import At, Confirmed, Decided, DecisionName, Departure, NeedState, ReasonName, UrgentNeed
from annul.times import rfc3339
from annul.web.api.terms import Body, act_of, moment_or_none
from annul.web.door.call import Call, Route, get, post, tagged
from annul.web.door.who import CHECK_ID, COUNTERS, NEED_ID, RELYING

if TYPE_CHECKING:
    from annul.web.door.office import Office

CheckId = Annotated[str, Meta(pattern=f"^{CHECK_ID}$")]


class DepartureWanted(Body):
    """A decision that is not the one advised. The check is named by its id or, at once after the answer, by its receipt.

    Args:
        decision: what the clerk did: `proceeded` or `refused`.
        reason: reason of the closed list.
        check: id of the check.
        receipt: the signed receipt, as it stands in the answer.
        words: the clerk's own words; no personal data.
        branch: branch of the relying party, in its own words; at most 64 characters.
        terminal: terminal of the relying party, in its own words; at most 64 characters.
        clerk: clerk of the relying party, in its own words; at most 64 characters.
    """

    decision: DecisionName
    reason: ReasonName
    check: CheckId = ""
    receipt: dict[str, Any] | None = None
    words: Words = ""
    branch: Tag = ""
    terminal: Tag = ""
    clerk: Tag = ""


class NeedWanted(Body):
    """Serve a holder in urgent need although the card is lost or replaced; `confirmed`: what the clerk has made sure of.

    Args:
        confirmed: what the clerk has made sure of.
        words: the clerk's own words; no personal data.
        check: id of the check.
        receipt: the signed receipt, as it stands in the answer.
        reference: the caller's own reference; at most 64 characters.
        branch: branch of the relying party, in its own words; at most 64 characters.
        terminal: terminal of the relying party, in its own words; at most 64 characters.
        clerk: clerk of the relying party, in its own words; at most 64 characters.
    """

    confirmed: Confirmed
    words: Annotated[Words, Meta(min_length=3)]
    check: CheckId = ""
    receipt: dict[str, Any] | None = None
    reference: Tag = ""
    branch: Tag = ""
    terminal: Tag = ""
    clerk: Tag = ""


class DepartureRecorded(msgspec.Struct):
    """The decision was recorded; `need` and `due_at` when it opened a follow-up.

    Args:
        departure: id of the departure.
        need: id of the urgent need; null when none was opened.
        due_at: when it is due (RFC 3339, UTC).
        position: position in the register log; 0-based and dense.
    """

    departure: str
    need: str | None
    due_at: str | None
    position: int


class DepartureShown(msgspec.Struct):
    """One departure; `status` is what the party may know of the reason.

    Args:
        id: its id.
        check: id of the check.
        checked_at: when the check was answered (RFC 3339, UTC).
        decided_at: when it was decided (RFC 3339, UTC); null before.
        outcome: what to do: PASS, REFER, STOP or NO_ANSWER.
        status: status code, or its class where reasons are withheld.
        purpose: why it is asked or done.
        channel: where the document is presented: `in_person` or `remote`.
        policy_version: version of the counter policy that advised.
        decision: what was decided.
        reason: reason of the closed list.
        words: the clerk's own words; no personal data.
        branch: branch of the relying party, in its own words; at most 64 characters.
        terminal: terminal of the relying party, in its own words; at most 64 characters.
        clerk: clerk of the relying party, in its own words; at most 64 characters.
        need: id of the urgent need; null when none was opened.
    """

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
    """Departures of the caller's organisation, newest first.

    Args:
        departures: the departures, newest first.
    """

    departures: list[DepartureShown]


class NeedShown(msgspec.Struct):
    """One urgent need. Overdue: services other than at the counter stop until the new card is shown.

    Args:
        id: its id.
        state: its present state.
        check: id of the check.
        departure: id of the departure.
        reference: the caller's own reference; at most 64 characters.
        words: the clerk's own words; no personal data.
        opened_at: when it was opened (RFC 3339, UTC).
        due_at: when it is due (RFC 3339, UTC).
        branch: branch of the relying party, in its own words; at most 64 characters.
        terminal: terminal of the relying party, in its own words; at most 64 characters.
        clerk: clerk of the relying party, in its own words; at most 64 characters.
        shown_check: check of the new document; null before.
        shown_at: when the new document was shown (RFC 3339, UTC); null before.
    """

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
    """Urgent needs of the caller's organisation, those due first at the top.

    Args:
        needs: the urgent needs, those due first at the top.
    """

    needs: list[NeedShown]


class NewDocumentShown(Body):
    """The check of the holder's new document.

    Args:
        check: id of the check.
        receipt: the signed receipt, as it stands in the answer.
    """

    check: CheckId = ""
    receipt: dict[str, Any] | None = None


class Rows(msgspec.Struct, forbid_unknown_fields=True):
    """Query of a list.

    Args:
        limit: most rows of the page.
    """

    limit: Annotated[int, Meta(ge=1, le=500)] = 100


class NeedRows(Rows, forbid_unknown_fields=True):
    """Query of the follow-ups.

    Args:
        state: its present state.
    """

    state: NeedState | None = None


async def _receipt(office: Office, call: Call) -> dict[str, Any]:
    body: DepartureWanted | NeedWanted | NewDocumentShown = call.body
    if (body.receipt is None) == (not body.check):
        raise BadInput("Name the check by `check` or by `receipt`.", where="/check", mend="Send one of them.")
    return body.receipt or await office.departures.receipt_of(call.principal, body.check)


def _decided(made: Decided) -> DepartureRecorded:
    return DepartureRecorded(made.departure, made.need, moment_or_none(made.due_at_us), made.position)


async def depart(office: Office, call: Call) -> DepartureRecorded:
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
        [_departure(each) for each in await office.departures.recorded(call.principal, limit=call.query.limit)]
    )


def _departure(each: Departure) -> DepartureShown:
    members = {name: getattr(each, name) for name in DepartureShown.__struct_fields__ if not name.endswith("_at")}
    return DepartureShown(**members, checked_at=rfc3339(each.checked_at_us), decided_at=rfc3339(each.decided_at_us))


async def serve_urgent_need(office: Office, call: Call) -> DepartureRecorded:
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


_DECIDES: Final = ("conflict", "not-found", "forbidden", "verification-failed")


ROUTES: Final[tuple[Route, ...]] = tagged(
    "counter",
    post(
        "/v1/departures",
        RELYING,
        depart,
        "Record a decision that is not the one advised",
        body=DepartureWanted,
        returns=DepartureRecorded,
        status=201,
        write=True,
        problems=_DECIDES,
        use=COUNTERS,
    ),
    get(
        "/v1/departures",
        RELYING,
        departures,
        "List decisions that were not the ones advised",
        returns=DeparturesShown,
        query=Rows,
        problems=("forbidden",),
    ),
    post(
        "/v1/urgent-needs",
        RELYING,
        serve_urgent_need,
        "Serve an urgent need; the new card is to be shown",
        body=NeedWanted,
        returns=DepartureRecorded,
        status=201,
        write=True,
        problems=_DECIDES,
        use=COUNTERS,
    ),
    get(
        "/v1/urgent-needs",
        RELYING,
        urgent_needs,
        "List urgent needs, those due first at the top",
        returns=NeedsShown,
        query=NeedRows,
        use=COUNTERS,
    ),
    post(
        "/v1/urgent-needs/{id}/shown",
        RELYING,
        new_document_shown,
        "Settle an urgent need: the new document was shown",
        body=NewDocumentShown,
        returns=NeedShown,
        write=True,
        problems=_DECIDES,
        patterns={"id": NEED_ID},
        use=COUNTERS,
    ),
)
