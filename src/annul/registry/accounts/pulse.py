"""Take the register's pulse: every few seconds a sample of its counters, now and then the yearly figures.

Counters start at zero when processes start; what happened between two samples is their difference, and a difference below zero
is a start. Samples live two days. One thread of the sealer's process takes them, on a connection of its own: a slow count never
keeps a log from being sealed.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
import psycopg

from annul import metrics
from annul.times import DAY_US, MINUTE_US, SECOND_US

STEP_S: Final = 5.0
FIGURES_S: Final = 60.0
KEPT_US: Final = 2 * DAY_US
LATE_US: Final = 15 * MINUTE_US
"""A notice that is due for longer than this counts as undelivered."""
LIVE: Final = 1
"""Octet of freshness F0."""


class Sample(msgspec.Struct, array_like=True):
    """Counters at one moment.

    Args:
        checks: outcome -> checks since the processes started.
        refused: error code -> checks without an answer.
        reports: reports accepted.
        after: upper limit of a class in seconds -> reports that were refused everywhere within it (cumulative).
        stale: terminals that asked within a day and whose newest answer was not live.
        undelivered: notices given up, or late.
    """

    checks: dict[str, float]
    refused: dict[str, float]
    reports: float
    after: dict[float, float]
    stale: int = 0
    undelivered: int = 0


class Year(msgspec.Struct, array_like=True):
    """Counts of one calendar year (UTC), live data alone.

    Args:
        checks, stops, referred, unanswered: checks by outcome.
        reports: kind of report (report_lost …) -> count.
        disputes, corrected: disputes opened, and decided for the holder.
        recalled: answers told to have been wrong.
        found: cards handed in.
    """

    year: int
    checks: int = 0
    stops: int = 0
    referred: int = 0
    unanswered: int = 0
    reports: dict[str, int] = {}
    disputes: int = 0
    corrected: int = 0
    recalled: int = 0
    found: int = 0


def sample_now() -> Sample:
    """Read the counters of all processes of this machine."""
    made = Sample({}, {}, 0.0, {})
    for family in metrics.families():
        for point in family.samples:
            if point.name == "annul_checks_total":
                made.checks[point.labels["outcome"]] = point.value
            elif point.name == "annul_checks_refused_total":
                made.refused[point.labels["error"]] = point.value
            elif point.name == "annul_reports_total":
                made.reports += point.value
            elif point.name == "annul_refused_after_seconds_bucket":
                made.after[float(point.labels["le"])] = point.value
    return made


def take(db: psycopg.Connection[Any], now_us: int) -> int:
    """Store one sample, and drop those of more than two days ago; return how many were stored.

    A sample that says what the one before says is stored once a minute: where nothing happens nothing is written.
    """
    made = sample_now()
    for name, query, values in (
        ("stale", _STALE, (now_us - DAY_US, LIVE)),
        ("undelivered", _UNDELIVERED, (now_us - LATE_US,)),
    ):
        row = db.execute(query, values).fetchone()
        setattr(made, name, row[0] if row else 0)
    overdue = db.execute("SELECT count(*) FROM dispute WHERE realm = 0 AND state = 'open' AND due_at_us < %s", (now_us,))
    metrics.STALE_VERIFIERS.set(made.stale)
    head = db.execute("SELECT recorded_at_us FROM log_head").fetchone()
    metrics.AHEAD_SECONDS.set(max(0, (head[0] if head else 0) - now_us) / SECOND_US)
    metrics.DISPUTES_OVERDUE.set((overdue.fetchone() or (0,))[0])
    packed = msgspec.msgpack.encode(made)
    before = db.execute("SELECT at_us, sample FROM pulse ORDER BY at_us DESC LIMIT 1").fetchone()
    if before is not None and 0 <= now_us - before[0] < MINUTE_US - STEP_S * SECOND_US and bytes(before[1]) == packed:
        return 0
    db.execute("INSERT INTO pulse (at_us, sample) VALUES (%s, %s) ON CONFLICT DO NOTHING", (now_us, packed))
    if now_us // SECOND_US % 60 < STEP_S:
        db.execute("DELETE FROM pulse WHERE at_us < %s", (now_us - KEPT_US,))
    return 1


_STALE: Final = "SELECT count(*) FROM verifier WHERE realm = 0 AND seen_at_us > %s AND freshness <> %s"
_UNDELIVERED: Final = (
    "SELECT count(*) FROM delivery d JOIN notice n ON n.id = d.notice_id WHERE n.realm = 0 "
    "AND (d.state = 'dead' OR (d.state = 'due' AND d.due_at_us < %s))"
)
_YEAR: Final = "extract(year FROM to_timestamp({}) AT TIME ZONE 'UTC')::int"
_COUNTS: Final = {
    "reports": (f"SELECT {_YEAR.format('recorded_at_us / 1e6')}, event, count(*) FROM report WHERE realm = 0 GROUP BY 1, 2"),
    "checks": (
        f"SELECT {_YEAR.format('day::bigint * 86400')}, outcome, sum(count)::bigint "
        "FROM checks_by_day WHERE realm = 0 GROUP BY 1, 2"
    ),
    "disputes": (f"SELECT {_YEAR.format('opened_at_us / 1e6')}, state, count(*) FROM dispute WHERE realm = 0 GROUP BY 1, 2"),
    "recalled": (
        f"SELECT {_YEAR.format('made_at_us / 1e6')}, 'recalled', sum(check_count)::bigint "
        "FROM recall r JOIN correction c ON c.position = r.correction WHERE r.realm = 0 AND cause = 'corrected' GROUP BY 1"
    ),
    "found": (f"SELECT {_YEAR.format('accepted_at_us / 1e6')}, 'found', count(*) FROM found_card WHERE realm = 0 GROUP BY 1"),
}
_OUTCOMES: Final = {2: "referred", 3: "stops", 4: "unanswered"}


def count_years(db: psycopg.Connection[Any], now_us: int) -> int:
    """Count every year anew, store the figures, and return how many years there are; the page shows when they were made."""
    years: dict[int, Year] = {}
    for name, query in _COUNTS.items():
        for year, kind, count in db.execute(query).fetchall():
            into = years.setdefault(year, Year(year, reports={}))
            if name == "reports":
                into.reports[kind] = count
            elif name == "checks":
                into.checks += count
                if kind in _OUTCOMES:
                    setattr(into, _OUTCOMES[kind], count)
            elif name == "disputes":
                into.disputes += count
                into.corrected += count if kind == "corrected" else 0
            else:
                setattr(into, name, count)
    content = msgspec.msgpack.encode([years[year] for year in sorted(years)])
    db.execute(
        "INSERT INTO figure (name, made_at_us, content) VALUES ('years', %s, %s) "
        "ON CONFLICT (name) DO UPDATE SET made_at_us = excluded.made_at_us, content = excluded.content",
        (now_us, content),
    )
    return len(years)
