"""Answer programs about the officers of a party: who they are and which duties they have.

A party's key alone makes no officer: whoever holds it would be as many persons as she likes. Supervisors make the first
officers of a party; an officer with the duty `officers` makes the others, signed in at her desk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal, cast

from msgspec import Meta, Struct

from annul.records.references import REFERENCE
from annul.registry.parties.officers import Officer
from annul.web.api.terms import Body, act_of
from annul.web.door.call import Call, Route, get, tagged, write
from annul.web.door.who import ANY, PARTY_ID, STAFF_ID, SUPERVISOR

if TYPE_CHECKING:
    from annul.web.door.office import Office

Duty = Literal["desk", "found", "disputes", "bulk", "review", "policy", "officers"]


class NewOfficer(Body):
    """A new officer of `party`; of the caller's own when none is named.

    Args:
        staff: staff number within the organisation.
        name: its name.
        duties: what the officer may do.
        party: id of the organisation.
    """

    staff: Annotated[str, Meta(min_length=1, max_length=32, extra=REFERENCE)]
    name: Annotated[str, Meta(min_length=1, max_length=120)]
    duties: list[Duty]
    party: Annotated[str, Meta(max_length=24)] = ""


class OfficerChanged(Body):
    """What changes about an officer; what is left out stays. Who is made inactive loses her sessions at once.

    Args:
        name: its name.
        duties: what the officer may do.
        active: false ends her sessions at once.
    """

    name: Annotated[str, Meta(min_length=1, max_length=120)] | None = None
    duties: list[Duty] | None = None
    active: bool | None = None


class OfficerList(Struct):
    """Officers of a party, or of all for a supervisor.

    Args:
        officers: the officers.
    """

    officers: list[Officer]


async def officers(office: Office, call: Call) -> OfficerList:
    """List officers."""
    return OfficerList(await office.officers.list(None if call.principal.role == "supervisor" else call.principal.id))


async def add_officer(office: Office, call: Call) -> Officer:
    """Record an officer."""
    body: NewOfficer = call.body
    party = body.party or call.principal.id
    done = await office.officers.add(act_of(call), party, body.staff, body.name, cast("list[str]", body.duties))
    return await office.officers.officer(done.id)


async def change_officer(office: Office, call: Call) -> Officer:
    """Change an officer."""
    body: OfficerChanged = call.body
    party, staff = call.path["party"], call.path["staff"]
    duties = None if body.duties is None else cast("list[str]", body.duties)
    done = await office.officers.change(act_of(call), f"{party}/{staff}", name=body.name, duties=duties, active=body.active)
    return await office.officers.officer(done.id)


ROUTES: Final[tuple[Route, ...]] = tagged(
    "officers",
    get("/v1/officers", ANY, officers, "List officers", returns=OfficerList),
    write(
        "/v1/officers", SUPERVISOR, add_officer, "Record an officer", body=NewOfficer, returns=Officer, status=201, live=True
    ),
    write(
        "/v1/officers/{party}/{staff}",
        SUPERVISOR,
        change_officer,
        "Change an officer, or take her access away",
        body=OfficerChanged,
        returns=Officer,
        patterns={"party": PARTY_ID, "staff": STAFF_ID},
        live=True,
    ),
)
