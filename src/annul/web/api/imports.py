"""Answer programs about imports of persons: each is one event that is staged, confirmed and taken back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from annul.records.references import Given
from annul.registry.people.imports import PersonReport
from annul.web.api.terms import Body, Staged, act_of
from annul.web.door.call import Call, Route, get, post, tagged, write
from annul.web.door.who import BULK_ID, DECIDERS

if TYPE_CHECKING:
    from annul.web.door.office import Office


class ImportShown(Staged, kw_only=True):
    """One import of persons, without any of them; `applied`: the check path has taken all of it up, or back.

    Args:
        person_count: persons that the list names.
        report: what was found while the list was read.
        applied: the check path has taken all of it up, or back.
    """

    person_count: int
    report: PersonReport
    applied: bool


class ImportList(msgspec.Struct):
    """All imports of persons, newest first.

    Args:
        imports: the imports, newest first.
    """

    imports: list[ImportShown]


class ImportAct(Body):
    """Confirm or undo an import, with the reference of the decision.

    Args:
        evidence: reference of the evidence or the decision, not the evidence itself; at most 200 characters.
    """

    evidence: Given


async def imports(office: Office, call: Call) -> ImportList:
    """List imports of persons."""
    return ImportList([ImportShown.of(view) for view in await office.person_imports.list(act_of(call))])


async def one_import(office: Office, call: Call) -> ImportShown:
    """Look an import up."""
    return ImportShown.of(await office.person_imports.view(act_of(call), call.path["id"]))


async def confirm_import(office: Office, call: Call) -> ImportShown:
    """Put a staged import in force."""
    return ImportShown.of(await office.person_imports.confirm(act_of(call), call.path["id"], evidence=call.body.evidence))


async def undo_import(office: Office, call: Call) -> ImportShown:
    """Take an import back as one event."""
    return ImportShown.of(await office.person_imports.undo(act_of(call), call.path["id"], evidence=call.body.evidence))


async def discard_import(office: Office, call: Call) -> ImportShown:
    """Drop a staged import."""
    return ImportShown.of(await office.person_imports.discard(act_of(call), call.path["id"]))


ROUTES: Final[tuple[Route, ...]] = tagged(
    "persons",
    get("/v1/persons/imports", DECIDERS, imports, "List imports of persons", returns=ImportList),
    get(
        "/v1/persons/imports/{id}",
        DECIDERS,
        one_import,
        "Look an import of persons up",
        returns=ImportShown,
        patterns={"id": BULK_ID},
        problems=("not-found",),
    ),
    write(
        "/v1/persons/imports/{id}/confirm",
        DECIDERS,
        confirm_import,
        "Put an import in force, as the second officer",
        body=ImportAct,
        returns=ImportShown,
        patterns={"id": BULK_ID},
    ),
    write(
        "/v1/persons/imports/{id}/undo",
        DECIDERS,
        undo_import,
        "Take an import back as one event",
        body=ImportAct,
        returns=ImportShown,
        patterns={"id": BULK_ID},
    ),
    post(
        "/v1/persons/imports/{id}/discard",
        DECIDERS,
        discard_import,
        "Drop a staged import",
        returns=ImportShown,
        patterns={"id": BULK_ID},
        problems=("conflict", "not-found"),
    ),
)
