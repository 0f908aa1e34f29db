"""Answer programs about bulk events: a list of documents that is one event, staged, confirmed and taken back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from annul.listings.bulk import Cause
from annul.records.references import Given
from annul.registry.writing.bulk import BulkView
from annul.registry.writing.samples import Sample
from annul.times import rfc3339
from annul.web.api.terms import Body, Staged, act_of, moment_or_none
from annul.web.door.call import Call, Route, get, post, tagged, write
from annul.web.door.who import BULK_ID, DECIDERS

if TYPE_CHECKING:
    from annul.web.door.office import Office


class BulkAct(Body):
    """Confirm or undo a bulk event, with the reference of the decision.

    Args:
        evidence: reference of the evidence or the decision, not the evidence itself; at most 200 characters.
    """

    evidence: Given


class BulkShown(Staged, kw_only=True):
    """One bulk event: what the list says, what it would do or did, who staged, confirmed and undid it.

    Args:
        listed: the states the list gives.
        hits: documents of the register that are on the list, by their present state.
        samples: some listed documents, spread over the list, by the first bytes of their keys.
        bad: malformed lines by cause, with the numbers of the first few.
        document_count: distinct documents that the list names.
        lines: lines read.
        happened_at: when it happened, not when it was recorded (RFC 3339, UTC).
        confirmed_at: when it was confirmed (RFC 3339, UTC); null before.
    """

    listed: list[str]
    document_count: int
    hits: dict[str, int]
    samples: list[Sample]
    lines: int
    bad: dict[str, Cause]
    happened_at: str
    confirmed_at: str | None


class BulkList(msgspec.Struct):
    """All bulk events, newest first.

    Args:
        bulk: the events, newest first.
    """

    bulk: list[BulkShown]


def _bulk(view: BulkView) -> BulkShown:
    return BulkShown.of(view, happened_at=rfc3339(view.happened_at_us), confirmed_at=moment_or_none(view.confirmed_at_us))


async def bulk_events(office: Office, call: Call) -> BulkList:
    """List bulk events."""
    return BulkList([_bulk(view) for view in await office.bulk.list(act_of(call))])


async def bulk_event(office: Office, call: Call) -> BulkShown:
    """Show one bulk event."""
    return _bulk(await office.bulk.view(act_of(call), call.path["id"]))


async def bulk_confirm(office: Office, call: Call) -> BulkShown:
    """Put a staged bulk event in force; above the limit another officer than the one who staged it must."""
    return _bulk(await office.bulk.confirm(act_of(call), call.path["id"], evidence=call.body.evidence))


async def bulk_undo(office: Office, call: Call) -> BulkShown:
    """Take a bulk event back as one event."""
    return _bulk(await office.bulk.undo(act_of(call), call.path["id"], evidence=call.body.evidence))


async def bulk_discard(office: Office, call: Call) -> BulkShown:
    """Drop a staged bulk event that shall not come into force."""
    return _bulk(await office.bulk.discard(act_of(call), call.path["id"]))


ROUTES: Final[tuple[Route, ...]] = tagged(
    "bulk",
    get("/v1/bulk", DECIDERS, bulk_events, "List bulk events", returns=BulkList),
    get(
        "/v1/bulk/{id}",
        DECIDERS,
        bulk_event,
        "Look a bulk event up, with its samples",
        returns=BulkShown,
        patterns={"id": BULK_ID},
    ),
    write(
        "/v1/bulk/{id}/confirm",
        DECIDERS,
        bulk_confirm,
        "Put a staged bulk event in force, as the second officer",
        body=BulkAct,
        returns=BulkShown,
        patterns={"id": BULK_ID},
    ),
    write(
        "/v1/bulk/{id}/undo",
        DECIDERS,
        bulk_undo,
        "Take a bulk event back as one event",
        body=BulkAct,
        returns=BulkShown,
        patterns={"id": BULK_ID},
    ),
    post(
        "/v1/bulk/{id}/discard",
        DECIDERS,
        bulk_discard,
        "Drop a staged bulk event",
        returns=BulkShown,
        patterns={"id": BULK_ID},
        problems=("conflict", "not-found"),
    ),
)
