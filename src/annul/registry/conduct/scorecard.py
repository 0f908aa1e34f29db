"""Scorecards: how many events of a place were covered, beside what chance allows for so many, and what to do about it.

A party sees its own places and the limits, never another party's; a supervisor sees all. What must never happen here: a
ranking.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec

from annul.registry.conduct.funnel import Funnel, Limits, funnel
from annul.registry.conduct.matching import KINDS
from annul.registry.writing.store import REALM_CODES, Connections, reading
from annul.times import DAY_US, Clock

DAYS_MAX: Final = 400
SCORES_MAX: Final = 5_000
"""Places on one card."""

Level = Literal["organisation", "branch", "terminal"]
Judged = Literal["usual", "below", "far_below", "above", "far_above"]
"""Where a share lies: inside the 95 % limits, outside of them, outside of the 99.8 % limits."""
_LEVELS: Final[dict[str, str]] = {
    "organisation": "party, '', ''",
    "branch": "party, branch, ''",
    "terminal": "party, branch, terminal",
}


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """One place.

    Args:
        events: of the time asked for, by what was found: covered, late, unchecked, departed, forged.
        share: covered events of all, 0 to 1.
        low_outer, low, high, high_outer: limits for so many events.
        judged: where the share lies between them.
        steps: what helps, most useful first, by name; empty when nothing is to be done.
        party: id of the organisation.
        branch: branch of the relying party, in its own words; at most 64 characters.
        terminal: terminal of the relying party, in its own words; at most 64 characters.
        covered: events that a check covers.
        late: deliveries that are late.
        unchecked: events without a check.
        departed: events whose answer was departed from.
        forged: events with a check that is none.
    """

    party: str
    branch: str
    terminal: str
    events: int
    covered: int
    late: int
    unchecked: int
    departed: int
    forged: int
    share: float
    low_outer: float
    low: float
    high: float
    high_outer: float
    judged: Judged
    steps: list[str]


class Scorecard(msgspec.Struct, frozen=True, kw_only=True):
    """Places side by side, by party, branch and terminal; never by their share.

    Args:
        target: share of all events that were covered, of every party of the register.
        dispersion: by how much places vary more than chance, as a factor of variance; 1: not more.
        from_day, until_day: days of the events (UTC, since 1970), both included.
        level: what is compared: party, branch or terminal.
        places: the places, never by their share.
    """

    level: Level
    target: float
    dispersion: float
    from_day: int
    until_day: int
    places: list[Score]


class Scorecards:
    """Make scorecards.

    Args:
        connections: the register's database.
        now_us: clock, microseconds since the epoch.
    """

    def __init__(self, connections: Connections, now_us: Clock) -> None:
        self._connections, self._now_us = connections, now_us

    async def make(
        self, realm: str, level: Level, *, party: str | None = None, branch: str | None = None, days: int = 30
    ) -> Scorecard:
        """Return the card of one party, or of all; limits are made of all parties' places in either case.

        Args:
            branch: of one branch alone.
            days: how far back, 1 to DAYS_MAX.
        """
        until = self._now_us() // DAY_US
        first = until - max(1, min(days, DAYS_MAX)) + 1
        sums = ", ".join(f"coalesce(sum(count) FILTER (WHERE kind = '{kind}'), 0)::bigint" for kind in KINDS)
        query = (
            f"SELECT {_LEVELS[level]}, {sums} FROM conduct_count WHERE realm = %s AND day BETWEEN %s AND %s "
            "GROUP BY 1, 2, 3 HAVING sum(count) > 0 ORDER BY 1, 2, 3"
        )
        async with reading(self._connections) as db:
            rows = await (await db.execute(query.encode(), (REALM_CODES[realm], first, until))).fetchall()
        made = funnel([row[3] for row in rows], [sum(row[3:]) for row in rows])
        places = [
            _score(row, made) for row in rows if (party is None or row[0] == party) and (branch is None or row[1] == branch)
        ]
        return Scorecard(
            level=level,
            target=round(made.target, 6),
            dispersion=round(made.dispersion, 4),
            from_day=first,
            until_day=until,
            places=places[:SCORES_MAX],
        )


def _score(row: Sequence[Any], made: Funnel) -> Score:
    covered, late, unchecked, departed, forged = (int(count) for count in row[3:])
    events = covered + late + unchecked + departed + forged
    limits, share = made.limits(events), covered / events
    return Score(
        party=row[0],
        branch=row[1],
        terminal=row[2],
        events=events,
        covered=covered,
        late=late,
        unchecked=unchecked,
        departed=departed,
        forged=forged,
        share=round(share, 6),
        low_outer=round(limits.low_outer, 6),
        low=round(limits.low, 6),
        high=round(limits.high, 6),
        high_outer=round(limits.high_outer, 6),
        judged=_judged(share, limits),
        steps=_steps(late, unchecked, departed, forged),
    )


def _judged(share: float, limits: Limits) -> Judged:
    if share < limits.low:
        return "far_below" if share < limits.low_outer else "below"
    if share > limits.high:
        return "far_above" if share > limits.high_outer else "above"
    return "usual"


def _steps(late: int, unchecked: int, departed: int, forged: int) -> list[str]:
    """Return what helps, by name: the fault that is most frequent first, and what is grave at any count."""
    counted = {
        "look-into-forged-receipts": forged * 1_000_000,
        "ask-superior-before-departing": departed * 1_000,
        "check-before-business": late,
        "send-receipts-or-check": unchecked,
    }
    return [step for step, count in sorted(counted.items(), key=lambda each: -each[1]) if count]
