"""Answer programs about checks: the two addresses of the check path, and the checks a party has made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from msgspec import Meta

from annul.errors import NotFound
from annul.records.check import Answer, Question
from annul.registry.accounts.accounts import CheckRecord, CheckRow
from annul.registry.answering.checks import BATCH_MAX
from annul.web.api.terms import Body, Page
from annul.web.door.call import Call, Route, get, post, tagged
from annul.web.door.who import ANY, CHECK_ID, COUNTERS

if TYPE_CHECKING:
    from annul.web.door.office import Office


class Questions(Body):
    """Up to 10,000 checks in one request; the answers come in the same order.

    Args:
        checks: the checks, at most 10,000.
    """

    checks: Annotated[list[Question], Meta(max_length=BATCH_MAX)]


class Answers(msgspec.Struct):
    """Answers of a batch, in the order of its checks; one that could not be answered is a NO_ANSWER in its place.

    Args:
        answers: one answer for each check, in their order.
    """

    answers: list[Answer]


class ChecksPage(msgspec.Struct):
    """A page of checks, newest first; `cursor` starts the next page and is "" after the last.

    Args:
        checks: the checks, newest first.
        cursor: give it for the next page; "" after the last.
    """

    checks: list[CheckRow]
    cursor: str


CheckShown = CheckRecord


async def own_checks(office: Office, call: Call) -> ChecksPage:
    """List the caller's own checks."""
    query: Page = call.query
    who = call.principal
    rows, cursor = await office.accounts.checks_of_party(who.id, who.realm, after=query.cursor, limit=query.limit)
    return ChecksPage(list(rows), cursor)


async def own_check(office: Office, call: Call) -> CheckRecord:
    """Look one check up; a supervisor sees every party's."""
    who = call.principal
    record = await office.accounts.check(None if who.role == "supervisor" else who.id, call.path["check"])
    if record.realm != who.realm:
        raise NotFound("There is no such check.", mend="Checks of test credentials are shown to test credentials alone.")
    return record


ROUTES: Final[tuple[Route, ...]] = tagged(
    "checks",
    post(
        "/v1/checks",
        ANY,
        None,
        "Ask whether a document must not be relied on",
        body=Question,
        returns=Answer,
        problems=("purpose-not-allowed", "over-quota", "storage-failed", "timed-out"),
        use=COUNTERS,
    ),
    post(
        "/v1/checks/batch",
        ANY,
        None,
        "Ask up to 10,000 checks at once",
        body=Questions,
        returns=Answers,
        problems=("over-quota", "storage-failed", "timed-out"),
        use=COUNTERS,
    ),
    get("/v1/checks", ANY, own_checks, "List your own checks, newest first", returns=ChecksPage, query=Page),
    get(
        "/v1/checks/{check}",
        ANY,
        own_check,
        "Look one of your own checks up",
        returns=CheckShown,
        patterns={"check": CHECK_ID},
        use=COUNTERS,
    ),
)
