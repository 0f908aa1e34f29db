"""Answer programs of a relying party about recalls: answers to it that do not hold any more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

from msgspec import Meta, Struct

from annul.registry.desk.recalls import PAGE_MAX as RECALLS_MAX
from annul.registry.desk.recalls import RecallView
from annul.times import rfc3339
from annul.web.api.terms import act_of, moment_or_none
from annul.web.door.call import Call, Route, get, tagged, write
from annul.web.door.who import RECALL_ID, RELYING

if TYPE_CHECKING:
    from annul.web.door.office import Office


class RecallShown(Struct):
    """A recall: answers to this party that do not hold any more. Ask again about these customers.

    Args:
        cause: corrected (they rested on a listing which was never true), or reported_late (they told of no listing although the
            document was lost, replaced, cancelled or revoked already: it was recorded later).
        position: cursor of the list: give it as `after` to get what is newer.
        note: signed note (C2SP) by the register's key that names the checks.
        recall: id of the recall.
        made_at: when it was made (RFC 3339, UTC).
        check_count: checks of this party that the recall names.
        acknowledged_at: when the party said it knows; null before.
    """

    recall: str
    cause: Literal["corrected", "reported_late"]
    position: int
    made_at: str
    check_count: int
    note: str
    acknowledged_at: str | None


class RecallList(Struct):
    """Recalls of the caller, oldest first; `cursor` is the `after` of the next page.

    Args:
        recalls: the recalls, oldest first.
        cursor: give it as `after` for the next page.
    """

    recalls: list[RecallShown]
    cursor: int


class RecallQuery(Struct, forbid_unknown_fields=True):
    """Query of the list of recalls: behind a position, at most `limit`; `open` leaves acknowledged ones out.

    Args:
        after: cursor of the last page; recalls behind it are shown.
        limit: most rows of the page.
        open: only recalls that are not acknowledged.
    """

    after: Annotated[int, Meta(ge=0, le=2**62)] = 0
    limit: Annotated[int, Meta(ge=1, le=RECALLS_MAX)] = 100
    open: bool = False


def _recall(view: RecallView) -> RecallShown:
    return RecallShown(
        view.id,
        view.cause,
        view.position,
        rfc3339(view.made_at_us),
        view.check_count,
        view.note,
        moment_or_none(view.acknowledged_at_us),
    )


async def recalls(office: Office, call: Call) -> RecallList:
    """List the caller's recalls."""
    query: RecallQuery = call.query
    who = call.principal
    found = await office.recalls.of_party(who.id, who.realm, after=query.after, limit=query.limit, open_only=query.open)
    return RecallList([_recall(view) for view in found], found[-1].position if found else query.after)


async def acknowledge(office: Office, call: Call) -> RecallShown:
    """Note that the caller knows of a recall."""
    return _recall(await office.recalls.acknowledge(act_of(call), call.principal.id, call.path["recall"]))


ROUTES: Final[tuple[Route, ...]] = tagged(
    "recalls",
    get(
        "/v1/recalls",
        RELYING,
        recalls,
        "List answers to you that do not hold any more, by cursor",
        returns=RecallList,
        query=RecallQuery,
    ),
    write(
        "/v1/recalls/{recall}/acknowledge",
        RELYING,
        acknowledge,
        "Say that you know of a recall",
        returns=RecallShown,
        patterns={"recall": RECALL_ID},
    ),
)
