"""Duties: what a relying party owes. Which business needs which check of the document, and by when.

    Duty(business="account-opening", before_hours=24, late_days=7, comparison=True)

A change is a new version: events keep the version that was in force when they were taken in. What must never happen here: a
duty that reaches back to business of before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from annul.errors import BadInput, NotFound
from annul.records.codes import Purpose
from annul.registry.writing.act import Act
from annul.registry.writing.ground import Ground
from annul.registry.writing.pen import remember, replay
from annul.registry.writing.store import Connection, reading, writing
from annul.times import DAY_US, HOUR_US

DUTIES_MAX: Final = 64
"""Kinds of business of one party."""
BEFORE_HOURS_MAX: Final = 31 * 24
LATE_DAYS_MAX: Final = 31

Business = Annotated[str, Meta(pattern="^[a-z][a-z0-9-]{1,39}$")]
"""A kind of business, such as account-opening, sim-registration, check-in."""


class Duty(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Say what one kind of business owes.

    Args:
        business: the kind of business.
        purposes: purposes of a check that counts for it; empty: any.
        before_hours: the check is at most so many hours older than the business.
        late_days: a check up to so many days after the business makes it late instead of unchecked.
        comparison: the check counts only when bearer and holder were compared and match.
        in_force: false ends the duty for business from now on.
    """

    business: Business
    purposes: frozenset[str] = frozenset()
    before_hours: Annotated[int, Meta(ge=1, le=BEFORE_HOURS_MAX)] = 24
    late_days: Annotated[int, Meta(ge=0, le=LATE_DAYS_MAX)] = 7
    comparison: bool = False
    in_force: bool = True


class DutySet(msgspec.Struct, frozen=True):
    """Answer of a change: the duties that hold now, and the position of the entry.

    Args:
        duties: what the officer may do.
        position: position in the register log; 0-based and dense.
    """

    duties: list[Duty]
    position: int


class Duties:
    """Keep what relying parties owe.

    Args:
        ground: what every part stands on.
    """

    def __init__(self, ground: Ground) -> None:
        self._connections, self._now_us = ground.connections, ground.now_us

    async def put(self, act: Act, party: str, duties: Sequence[Duty]) -> DutySet:
        """Set duties of a party by kind of business; kinds that are not named stay as they are.

        Raises:
            BadInput: none, too many, one kind twice, or a purpose that does not exist.
            NotFound: there is no such relying party.
        """
        _require(duties)
        async with writing(self._connections, self._now_us()) as write:
            known = await replay(write, act, DutySet)
            if known is not None:
                return known
            if await write.one("SELECT 1 FROM principal WHERE id = %s AND role = 'relying_party'", party) is None:
                raise NotFound("There is no such relying party.", where="/party")
            position = write.position
            for duty in sorted(duties, key=lambda each: each.business):
                position = write.note(act.author, f"duty {party} {duty.business}", b"duty v1\0" + msgspec.json.encode(duty))
                await write.run(
                    "INSERT INTO conduct_duty (party, business, version, purposes, before_us, late_us, comparison, in_force, "
                    "author, since_us, position) SELECT %s, %s, coalesce(max(version), 0) + 1, %s, %s, %s, %s, %s, %s, %s, %s "
                    "FROM conduct_duty WHERE party = %s AND business = %s",
                    party,
                    duty.business,
                    sorted(duty.purposes),
                    duty.before_hours * HOUR_US,
                    duty.late_days * DAY_US,
                    duty.comparison,
                    duty.in_force,
                    act.author,
                    write.recorded_at_us,
                    position,
                    party,
                    duty.business,
                )
            made = DutySet([duty for duty, _ in (await newest(write.db, party)).values() if duty.in_force], position)
            await remember(write, act, made)
        return made

    async def of(self, party: str) -> list[Duty]:
        """Return the duties of a party that are in force, by kind of business."""
        async with reading(self._connections) as db:
            return [duty for duty, _ in (await newest(db, party)).values() if duty.in_force]


async def newest(db: Connection, party: str) -> dict[str, tuple[Duty, int]]:
    """Return a party's duties and their versions by kind of business, ended ones among them."""
    found = await db.execute(
        "SELECT DISTINCT ON (business) business, purposes, before_us, late_us, comparison, in_force, version "
        "FROM conduct_duty WHERE party = %s ORDER BY business, version DESC",
        (party,),
    )
    return {
        row[0]: (
            Duty(
                business=row[0],
                purposes=frozenset(row[1]),
                before_hours=row[2] // HOUR_US,
                late_days=row[3] // DAY_US,
                comparison=row[4],
                in_force=row[5],
            ),
            row[6],
        )
        for row in await found.fetchall()
    }


def _require(duties: Sequence[Duty]) -> None:
    if not 1 <= len(duties) <= DUTIES_MAX:
        raise BadInput(f"Give 1 to {DUTIES_MAX} duties.", where="/duties")
    names = [duty.business for duty in duties]
    purposes = {purpose.value for purpose in Purpose}
    for place, duty in enumerate(duties):
        if names.index(duty.business) != place:
            raise BadInput("A kind of business stands here twice.", where=f"/duties/{place}/business")
        if not duty.purposes <= purposes:
            raise BadInput(
                "A purpose is not known.", where=f"/duties/{place}/purposes", mend=f"Use {', '.join(sorted(purposes))}."
            )
