"""Find look-ups that do not look like business: pure, a day of checks in arrays beside what is usual.

Usual is what the clerk did on the days before, and what her organisation does: nobody is compared with a stranger. Each pattern
is a rule with its figures, so that an alarm can say its reason in words; what is rare by chance alone stays below all of them.
A person decides: an alarm changes nothing by itself.

    volume        many more checks than the clerk's own days
    misses        numbers that no document has: trying, not reading
    no_business   checks without a reference, where the organisation gives one
    curiosity     one document again and again within a week
    crowd         one document by many clerks of many branches in one day: somebody known
    travel        one clerk at two branches within minutes: two people, one account
    odd_hours     checks at hours when the organisation is closed
    pace          faster than a person reads cards, for long
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Literal, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from annul.records.codes import IdentityCode, StatusCode
from annul.times import HOUR_US, MINUTE_US, SECOND_US

Pattern = Literal["volume", "misses", "no_business", "curiosity", "crowd", "travel", "odd_hours", "pace"]
Response = Literal["watch", "ask", "hold"]

DAYS: Final = 28
"""Days a baseline looks back."""
DAYS_MIN: Final = 5
"""Days of her own a clerk needs before her volume is compared."""
WEEK: Final = 7
CHECKS_MIN: Final = 12
"""Checks of a day below which a share says nothing."""
SIGMAS: Final = 6.0
"""Standard deviations beyond chance: one clerk-day in a thousand million by chance alone."""
SAME_DOCUMENT: Final = 6
"""Times one clerk asks about one document within a week; customers who come back come two or three times."""
CROWD_CLERKS: Final = 8
CROWD_BRANCHES: Final = 4
TRAVEL_US: Final = 10 * MINUTE_US
TRAVELS: Final = 2
"""Changes of branch within TRAVEL_US in a day; one is a colleague's terminal."""
ODD_SHARE: Final = 0.002
"""Share of an organisation's checks below which an hour of the day is not its business hour."""
ODD_MIN: Final = 6
FAST_US: Final = 3 * SECOND_US
FAST_RUN: Final = 25
"""Checks in a row, each less than FAST_US after the one before."""
_MISSED: Final = np.array([StatusCode.U30.octet, StatusCode.U32.octet, StatusCode.U33.octet, StatusCode.I24.octet], np.uint8)
_UNKNOWN: Final = IdentityCode.M3.octet
_HOURS: Final = 24


class Looks(NamedTuple):
    """Checks of a day (or of several), one row each, in any order.

    Args:
        party: number of the organisation; clerk, branch, document: keyed words, equal for the same.
        at: microseconds; status, identity: octets; referenced: 1 when the check bore a reference.
    """

    party: npt.NDArray[np.int32]
    clerk: npt.NDArray[np.uint64]
    branch: npt.NDArray[np.uint64]
    document: npt.NDArray[np.uint64]
    at: npt.NDArray[np.int64]
    status: npt.NDArray[np.uint8]
    identity: npt.NDArray[np.uint8]
    referenced: npt.NDArray[np.uint8]

    def taken(self, rows: npt.NDArray[Any]) -> Looks:
        """Return some of the rows, or all in another order."""
        parts: list[Any] = [column[rows] for column in self]
        return Looks(*parts)


class Usual(msgspec.Struct):
    """What is usual: of each organisation its shares and hours, of each clerk the checks of her days.

    Args:
        checks, missed, bare, worked: sums by organisation (worked: days on which it asked); hours: checks by hour.
        days: (organisation, clerk) -> checks of each day on which she asked.
    """

    checks: dict[int, int] = {}
    missed: dict[int, int] = {}
    bare: dict[int, int] = {}
    worked: dict[int, int] = {}
    hours: dict[int, list[int]] = {}
    days: dict[tuple[int, int], list[int]] = {}

    def add(self, looks: Looks) -> None:
        """Add a day that is over."""
        for party in np.unique(looks.party).tolist():
            mine = looks.taken(np.flatnonzero(looks.party == party))
            self.checks[party] = self.checks.get(party, 0) + len(mine.at)
            self.missed[party] = self.missed.get(party, 0) + int(_missed(mine).sum())
            self.bare[party] = self.bare.get(party, 0) + int((mine.referenced == 0).sum())
            self.worked[party] = self.worked.get(party, 0) + 1
            counted = np.bincount(mine.at // HOUR_US % _HOURS, minlength=_HOURS)
            self.hours[party] = (np.array(self.hours.get(party, [0] * _HOURS)) + counted).tolist()
            clerks, counts = np.unique(mine.clerk, return_counts=True)
            for clerk, count in zip(clerks.tolist(), counts.tolist(), strict=True):
                self.days.setdefault((party, clerk), []).append(count)


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """One alarm.

    Args:
        party, clerk, branch: as in `Looks`; of a crowd the clerk is 0.
        score: how far beyond the limit, 1 at the limit.
        seen, usual: the figure that was seen, and what would have been usual.
        response: watch (look again), ask (the organisation explains), hold (its supervisor decides today).
    """

    pattern: Pattern
    party: int
    clerk: int
    branch: int
    score: float
    seen: float
    usual: float
    response: Response


def find(today: Looks, week: Looks, usual: Usual) -> list[Alarm]:
    """Return the alarms of a day.

    Args:
        today: its checks; week: those of the WEEK days before it.
        usual: made of the days before it.
    """
    made: list[Alarm] = []
    for party in np.unique(today.party).tolist():
        if not usual.checks.get(party):
            continue
        mine = today.taken(np.flatnonzero(today.party == party))
        before = week.taken(np.flatnonzero(week.party == party))
        busy = max(1.0, len(mine.at) * usual.worked[party] / usual.checks[party])
        closed = np.array(usual.hours[party]) < ODD_SHARE * usual.checks[party]
        order = np.lexsort((mine.at, mine.clerk))
        mine = mine.taken(order)
        starts = np.flatnonzero(np.append(True, mine.clerk[1:] != mine.clerk[:-1]))
        often = _often(mine, before)
        for first, last in zip(starts.tolist(), [*starts[1:].tolist(), len(mine.at)], strict=True):
            hers = mine.taken(np.arange(first, last))
            made += _of_clerk(party, hers, usual, closed, often.get(int(hers.clerk[0]), 0), busy)
        made += _crowds(party, mine)
    return made


def _of_clerk(party: int, hers: Looks, usual: Usual, closed: npt.NDArray[np.bool_], often: int, busy: float) -> Iterator[Alarm]:
    """Yield the alarms of one clerk's day; her rows are in order of time.

    Args:
        closed: hours that are none of the organisation's; often: the most she asked about one document within a week.
        busy: how much more than usual the whole organisation asked today, at least 1.
    """
    count, all_ = len(hers.at), usual.checks[party]

    def alarm(pattern: Pattern, seen: float, limit: float, normal: float) -> Alarm:
        score = seen / max(limit, 1e-9)
        response: Response = "hold" if score >= 3 else "ask" if score >= 1.5 else "watch"
        return Alarm(
            pattern=pattern,
            party=party,
            clerk=int(hers.clerk[0]),
            branch=int(hers.branch[0]),
            score=round(score, 3),
            seen=round(float(seen), 3),
            usual=round(float(normal), 3),
            response=response,
        )

    days = usual.days.get((party, int(hers.clerk[0])), [])
    if len(days) >= DAYS_MIN:
        middle = float(np.median(days)) * busy
        spread = max(1.4826 * float(np.median(np.abs(np.array(days) * busy - middle))), middle**0.5, 0.35 * middle, 3.0)
        if count > (limit := middle + SIGMAS * spread):
            yield alarm("volume", count, limit, middle)
    for pattern, seen, sums in (
        ("misses", int(_missed(hers).sum()), usual.missed[party]),
        ("no_business", int((hers.referenced == 0).sum()), usual.bare[party]),
    ):
        share = (sums + 1) / (all_ + 2)
        limit = count * share + SIGMAS * (count * share * (1 - share)) ** 0.5 + 2
        if share < 0.5 and seen > limit and (count >= CHECKS_MIN or pattern == "misses"):
            yield alarm(pattern, seen, limit, count * share)  # type: ignore[arg-type]
    if often >= SAME_DOCUMENT:
        yield alarm("curiosity", often, SAME_DOCUMENT, 1)
    moved = (hers.branch[1:] != hers.branch[:-1]) & (np.diff(hers.at) < TRAVEL_US)
    if (travels := int(moved.sum())) >= TRAVELS:
        yield alarm("travel", travels, TRAVELS, 0)
    if (odd := int(closed[hers.at // HOUR_US % _HOURS].sum())) >= ODD_MIN:
        yield alarm("odd_hours", odd, ODD_MIN, 0)
    if (run := _longest(np.diff(hers.at) < FAST_US)) >= FAST_RUN:
        yield alarm("pace", run, FAST_RUN, 1)


def _missed(looks: Looks) -> npt.NDArray[np.bool_]:
    missed: npt.NDArray[np.bool_] = np.isin(looks.status, _MISSED) | (looks.identity == _UNKNOWN)
    return missed


def _often(today: Looks, before: Looks) -> dict[int, int]:
    """Return how often the clerks of today asked about one document within a week: clerk -> the most of any."""
    clerk = np.concatenate([today.clerk, before.clerk])
    document = np.concatenate([today.document, before.document])
    pairs, counts = np.unique(np.column_stack([clerk, document]), axis=0, return_counts=True)
    asked = set(zip(today.clerk.tolist(), today.document.tolist(), strict=True))
    most: dict[int, int] = {}
    for row in np.flatnonzero(counts >= SAME_DOCUMENT).tolist():
        who, what = pairs[row].tolist()
        if (who, what) in asked:
            most[who] = max(most.get(who, 0), int(counts[row]))
    return most


def _crowds(party: int, mine: Looks) -> Iterator[Alarm]:
    documents, counts = np.unique(mine.document, return_counts=True)
    for document in documents[counts >= CROWD_CLERKS].tolist():
        rows = mine.document == document
        clerks, branches = np.unique(mine.clerk[rows]), np.unique(mine.branch[rows])
        if len(clerks) >= CROWD_CLERKS and len(branches) >= CROWD_BRANCHES:
            score = len(clerks) / CROWD_CLERKS
            response: Response = "hold" if score >= 3 else "ask"
            yield Alarm(
                pattern="crowd",
                party=party,
                clerk=0,
                branch=int(mine.branch[rows][0]),
                score=round(score, 3),
                seen=len(clerks),
                usual=1,
                response=response,
            )


def _longest(fast: npt.NDArray[np.bool_]) -> int:
    """Return the length of the longest run."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], fast.astype(np.int8), [0]])))
    return int((edges[1::2] - edges[::2]).max(initial=0))
