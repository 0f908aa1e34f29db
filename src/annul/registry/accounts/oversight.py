"""Answer a supervisor's questions: how the register is, who checks and who does not, what is over its term.

Everything is read from counts and from the tables of the rooms; nothing here looks at a check or a person. All numbers are of
live data.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

import msgspec

from annul.records.codes import Outcome
from annul.registry.accounts.pulse import LATE_US, LIVE, Sample, Year
from annul.registry.writing.store import Connections, reading
from annul.times import DAY_US, HOUR_US, MINUTE_US, Clock

SAMPLES_SHOWN: Final = 60
STALE_AFTER_US: Final = DAY_US
"""A terminal that asked within this time counts as a verifier in use."""
LIST_MAX: Final = 200


class Vital(msgspec.Struct, frozen=True):
    """One number that matters: its value now (None: not known yet), and its last values, oldest first."""

    value: float | None
    past: list[float | None]


class Health(msgspec.Struct, frozen=True):
    """The five numbers. `at_us` is the newest sample's time, None when there is none yet."""

    at_us: int | None
    checks_per_second: Vital
    refused_p99_s: Vital
    stale: Vital
    overdue: Vital
    undelivered: Vital


class Minute(msgspec.Struct, frozen=True):
    """Checks of one step of time by outcome octet."""

    at_us: int
    counts: dict[int, int]


class Verifier(msgspec.Struct, frozen=True):
    """A terminal where documents are checked; `freshness` is the octet of its newest answer."""

    party: str
    branch: str
    terminal: str
    seen_at_us: int
    freshness: int
    position: int


class OpenDispute(msgspec.Struct, frozen=True):
    """A dispute that waits."""

    id: str
    party: str
    opened_at_us: int
    due_at_us: int
    marked: bool


class Lapsed(msgspec.Struct, frozen=True):
    """A provisional report that ended without a confirmation."""

    id: str
    author: str
    proof: str
    recorded_at_us: int
    lapsed_at_us: int | None


class Undelivered(msgspec.Struct, frozen=True):
    """A notice that did not reach a channel."""

    id: str
    kind: str
    channel: str
    state: str
    tries: int
    due_at_us: int


class Scorecard(msgspec.Struct, frozen=True):
    """How a relying party checks, over the last 30 days.

    Args:
        checks, stops, unanswered: counts.
        days: days with at least one check.
        last_day: the newest of them (days since the epoch), None when there is none.
        departures: decisions against the answer.
        urgent_overdue: urgent needs whose new card was not shown in time.
        recalls_open: wrong answers it was told of and has not acknowledged.
        stale: terminals whose newest answer was not live.
    """

    party: str
    name: str
    checks: int
    stops: int
    unanswered: int
    days: int
    last_day: int | None
    departures: int
    urgent_overdue: int
    recalls_open: int
    stale: int


class Oversight:
    """Read the register's health.

    Args:
        connections: the register's database.
        now_us: microseconds since the epoch.
    """

    def __init__(self, connections: Connections, now_us: Clock) -> None:
        self._connections = connections
        self._now_us = now_us

    async def health(self) -> Health:
        """Return the five numbers with their last values."""
        now = self._now_us()
        samples = await self._samples(SAMPLES_SHOWN + 1)
        rates: list[float | None] = [_rate(before, after) for before, after in pairwise(samples)]
        whole = _difference(samples[0][1].after, samples[-1][1].after) if len(samples) > 1 else {}
        p99 = percentile(whole, 0.99) if whole and max(whole.values()) else None
        if p99 is None and samples:
            p99 = percentile(samples[-1][1].after, 0.99)
        slow = [percentile(_difference(before[1].after, after[1].after), 0.99) for before, after in pairwise(samples)]
        ((stale, overdue, undelivered),) = await self._all(_NOW, now - STALE_AFTER_US, LIVE, now, now - LATE_US)
        newest = samples[-1] if samples else None
        return Health(
            at_us=newest[0] if newest else None,
            checks_per_second=Vital(rates[-1] if rates else None, rates),
            refused_p99_s=Vital(p99, slow),
            stale=Vital(stale, [float(sample.stale) for _at, sample in samples]),
            overdue=Vital(overdue, await self._overdue_past(now)),
            undelivered=Vital(undelivered, [float(sample.undelivered) for _at, sample in samples]),
        )

    async def percentiles(self, shares: Sequence[float]) -> dict[float, float | None]:
        """Return from acceptance of a report to refusal everywhere, in seconds, for each share; over the last two days."""
        rows = await self._all(
            "(SELECT sample FROM pulse ORDER BY at_us LIMIT 1) UNION ALL (SELECT sample FROM pulse ORDER BY at_us DESC LIMIT 1)"
        )
        if not rows:
            return dict.fromkeys(shares)
        first, last = (msgspec.msgpack.decode(bytes(row[0]), type=Sample, strict=False).after for row in (rows[0], rows[-1]))
        whole = _difference(first, last)
        after = whole if whole and max(whole.values()) else last
        return {share: percentile(after, share) for share in shares}

    async def outcomes(self, *, hours: int = 24, step_minutes: int = 30) -> list[Minute]:
        """Return checks by outcome over time, oldest first; steps without checks are there with no counts."""
        now = self._now_us()
        step_us = step_minutes * MINUTE_US
        first = (now - hours * HOUR_US) // step_us + 1
        rows = await self._all(
            "SELECT minute::bigint * 60000000 / %s, outcome, sum(count)::bigint FROM checks_by_minute "
            "WHERE realm = 0 AND minute >= %s GROUP BY 1, 2",
            step_us,
            first * step_us // MINUTE_US,
        )
        counts: dict[int, dict[int, int]] = {}
        for at, outcome, count in rows:
            counts.setdefault(at, {})[outcome] = count
        return [Minute(at * step_us, counts.get(at, {})) for at in range(first, now // step_us + 1)]

    async def days(self, count: int = 90) -> list[tuple[int, int, int]]:
        """Return (day, checks, checks without an answer) of the last days, oldest first; days without checks are there."""
        today = self._now_us() // DAY_US
        rows = await self._all(
            "SELECT day, sum(count)::bigint, coalesce(sum(count) FILTER (WHERE outcome = %s), 0)::bigint FROM checks_by_day "
            "WHERE realm = 0 AND day > %s GROUP BY day",
            Outcome.NO_ANSWER.octet,
            today - count,
        )
        known = {day: (checks, unanswered) for day, checks, unanswered in rows}
        return [(day, *known.get(day, (0, 0))) for day in range(today - count + 1, today + 1)]

    async def verifiers(self, *, stale: bool = False) -> list[Verifier]:
        """Return the terminals that asked within a day, those with old answers first; `stale`: those alone."""
        rows = await self._all(
            "SELECT coalesce(nullif(p.organisation, ''), p.name, v.party), branch, terminal, seen_at_us, freshness, v.position "
            "FROM verifier v "
            "LEFT JOIN principal p ON p.id = v.party WHERE realm = 0 AND seen_at_us > %s "
            "AND (NOT %s OR freshness <> %s) ORDER BY freshness DESC, seen_at_us LIMIT %s",
            self._now_us() - STALE_AFTER_US,
            stale,
            LIVE,
            LIST_MAX,
        )
        return [Verifier(*row) for row in rows]

    async def disputes_by_age(self, limits_days: Sequence[int]) -> list[int]:
        """Return how many open disputes are younger than the first limit, then than the second …, and last all others.

        Args:
            limits_days: ascending, in days since the dispute was opened.
        """
        rows = await self._all(
            "SELECT width_bucket(%s - opened_at_us, %s::bigint[]), count(*) FROM dispute WHERE realm = 0 AND state = 'open' "
            "GROUP BY 1",
            self._now_us(),
            [days * DAY_US for days in limits_days],
        )
        counts = dict(rows)
        return [counts.get(place, 0) for place in range(len(limits_days) + 1)]

    async def disputes(self) -> list[OpenDispute]:
        """Return the open disputes, the one due first at the top."""
        rows = await self._all(
            "SELECT d.id, coalesce(nullif(p.organisation, ''), p.name, d.party), opened_at_us, due_at_us, marked "
            "FROM dispute d "
            "LEFT JOIN principal p ON p.id = d.party WHERE realm = 0 AND d.state = 'open' "
            "ORDER BY due_at_us LIMIT %s",
            LIST_MAX,
        )
        return [OpenDispute(*row) for row in rows]

    async def lapsed(self) -> list[Lapsed]:
        """Return provisional reports that lapsed within 30 days, newest first."""
        rows = await self._all(
            "SELECT id, author, proof, recorded_at_us, lapses_at_us FROM report WHERE realm = 0 AND state = 'lapsed' "
            "AND recorded_at_us > %s ORDER BY position DESC LIMIT %s",
            self._now_us() - 33 * DAY_US,
            LIST_MAX,
        )
        return [Lapsed(*row) for row in rows]

    async def undelivered(self) -> list[Undelivered]:
        """Return notices that are given up, or late, oldest first."""
        rows = await self._all(
            "SELECT d.id, n.kind, d.channel, d.state, d.tries, d.due_at_us FROM delivery d JOIN notice n ON n.id = d.notice_id "
            "WHERE n.realm = 0 AND (d.state = 'dead' OR (d.state = 'due' AND d.due_at_us < %s)) ORDER BY d.due_at_us LIMIT %s",
            self._now_us() - LATE_US,
            LIST_MAX,
        )
        return [Undelivered(*row) for row in rows]

    async def scorecards(self) -> list[Scorecard]:
        """Return every relying party with an agreement, those that check least first."""
        now = self._now_us()
        rows = await self._all(_SCORECARDS, now - 30 * DAY_US, now, now - STALE_AFTER_US, LIVE, now // DAY_US - 30)
        return [Scorecard(*row) for row in rows]

    async def years(self) -> tuple[int | None, list[Year]]:
        """Return when the yearly figures were made (None: not yet) and the figures, oldest year first."""
        rows = await self._all("SELECT made_at_us, content FROM figure WHERE name = 'years'")
        if not rows:
            return None, []
        return rows[0][0], msgspec.msgpack.decode(bytes(rows[0][1]), type=list[Year])

    async def _samples(self, count: int) -> list[tuple[int, Sample]]:
        rows = await self._all("SELECT at_us, sample FROM pulse ORDER BY at_us DESC LIMIT %s", count)
        return [(at, msgspec.msgpack.decode(bytes(raw), type=Sample, strict=False)) for at, raw in reversed(rows)]

    async def _overdue_past(self, now: int) -> list[float | None]:
        rows = await self._all(
            "SELECT at, (SELECT count(*) FROM dispute WHERE realm = 0 AND due_at_us < at AND opened_at_us < at "
            "AND (decided_at_us IS NULL OR decided_at_us > at)) FROM generate_series(%s::bigint, %s::bigint, %s::bigint) AS at",
            now - 13 * DAY_US,
            now,
            DAY_US,
        )
        return [float(row[1]) for row in rows]

    async def _all(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        async with reading(self._connections) as db:
            return await (await db.execute(query, values)).fetchall()


_NOW: Final = """
SELECT (SELECT count(*) FROM verifier WHERE realm = 0 AND seen_at_us > %s AND freshness <> %s),
    (SELECT count(*) FROM dispute WHERE realm = 0 AND state = 'open' AND due_at_us < %s),
    (SELECT count(*) FROM delivery d JOIN notice n ON n.id = d.notice_id
     WHERE n.realm = 0 AND (d.state = 'dead' OR (d.state = 'due' AND d.due_at_us < %s)))
"""
_SCORECARDS: Final = """
SELECT p.id, p.name, coalesce(c.checks, 0)::bigint, coalesce(c.stops, 0)::bigint, coalesce(c.unanswered, 0)::bigint,
    coalesce(c.days, 0)::int, c.last_day,
    (SELECT count(*) FROM departure d WHERE d.party = p.id AND d.realm = 0 AND d.decided_at_us > %s)::int,
    (SELECT count(*) FROM urgent_need u WHERE u.party = p.id AND u.realm = 0 AND u.state = 'open' AND u.due_at_us < %s)::int,
    (SELECT count(*) FROM recall r WHERE r.party = p.id AND r.realm = 0 AND r.acknowledged_at_us IS NULL)::int,
    (SELECT count(*) FROM verifier v WHERE v.party = p.id AND v.realm = 0 AND v.seen_at_us > %s AND v.freshness <> %s)::int
FROM principal p LEFT JOIN (
    SELECT party, sum(count) AS checks, sum(count) FILTER (WHERE outcome = 3) AS stops,
        sum(count) FILTER (WHERE outcome = 4) AS unanswered, count(DISTINCT day) AS days, max(day) AS last_day
    FROM checks_by_day WHERE realm = 0 AND day > %s GROUP BY party
) c ON c.party = p.id
WHERE p.role = 'relying_party' AND p.active AND p.agreement IS NOT NULL
ORDER BY coalesce(c.checks, 0), p.id
"""


def percentile(after: dict[float, float], share: float) -> float | None:
    """Return the value below which a share of a cumulative histogram lies, in the unit of its limits; None when it is empty.

    Args:
        after: upper limit of a class -> how many lie at or below it; the last limit is infinite.
        share: 0 to 1.

    Within a class values are taken as evenly spread; beyond the last finite limit, that limit is returned.
    """
    limits = sorted(after)
    if not limits or after[limits[-1]] <= 0:
        return None
    wanted = share * after[limits[-1]]
    below, start = 0.0, 0.0
    for limit in limits:
        if after[limit] >= wanted and after[limit] > below:
            if math.isinf(limit):
                return start
            return start + (limit - start) * (wanted - below) / (after[limit] - below)
        below, start = after[limit], limit
    return start


def _rate(before: tuple[int, Sample], after: tuple[int, Sample]) -> float:
    more = sum(after[1].checks.values()) - sum(before[1].checks.values())
    if more < 0:  # the processes were started in between
        more = sum(after[1].checks.values())
    return more / max((after[0] - before[0]) / 1e6, 1e-6)


def _difference(before: dict[float, float], after: dict[float, float]) -> dict[float, float]:
    made = {limit: count - before.get(limit, 0.0) for limit, count in after.items()}
    return after if any(count < 0 for count in made.values()) else made
