"""Count checks while they are indexed: by day for figures, by all that policies decide on for trials, by minute for oversight,
and the newest of every terminal.

The counts are written in the transaction that indexes the checks, so that they are complete exactly when the index is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from operator import itemgetter
from typing import Any, Final

import psycopg

from annul.times import DAY_US, MINUTE_US

MINUTES_KEPT: Final = 7 * 24 * 60
"""How long counts by minute are kept; those by day stay."""
ANSWERS_DAYS_KEPT: Final = 32
"""How long counts for trials are kept: a trial looks a month back."""
TERMINAL_DAYS_KEPT: Final = 90
"""How long a terminal that asks no more is known: clients send what they like in its place."""

# columns of a row as registry.accounts indexes it
AT, PARTY, REALM, CHECK, DOCUMENT, NUMBER = 0, 1, 2, 6, 7, 8
PURPOSE, CHANNEL, OUTCOME, STATUS, ANSWERED = 10, 11, 13, 14, 15
FRESHNESS, ADVICE, POSITION, BRANCH, TERMINAL, IDENTITY, BINDING = 16, 17, 18, 19, 20, 23, 24
_answer = itemgetter(ANSWERED, IDENTITY, BINDING, FRESHNESS, CHANNEL, PURPOSE, OUTCOME, ADVICE)

_DAY: Final = (
    "INSERT INTO checks_by_day (day, realm, party, purpose, outcome, status, count) VALUES (%s, %s, %s, %s, %s, %s, %s) "
    "ON CONFLICT (day, realm, party, purpose, outcome, status) DO UPDATE SET count = checks_by_day.count + excluded.count"
)
_MINUTE: Final = (
    "INSERT INTO checks_by_minute (minute, realm, party, outcome, freshness, count) VALUES (%s, %s, %s, %s, %s, %s) "
    "ON CONFLICT (minute, realm, party, outcome, freshness) DO UPDATE SET count = checks_by_minute.count + excluded.count"
)
_ANSWER: Final = (
    "INSERT INTO answers_by_day (party, realm, day, status, identity, binding, freshness, channel, purpose, outcome, advice, "
    "count, newest) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) "
    "ON CONFLICT (party, realm, day, status, identity, binding, freshness, channel, purpose, outcome, advice) "
    "DO UPDATE SET count = answers_by_day.count + excluded.count, newest = excluded.newest"
)
_VERIFIER: Final = (
    "INSERT INTO verifier (realm, party, branch, terminal, seen_at_us, freshness, position) "
    "VALUES (%s, %s, %s, %s, %s, %s, %s) "
    "ON CONFLICT (realm, party, branch, terminal) DO UPDATE SET seen_at_us = excluded.seen_at_us, "
    "freshness = excluded.freshness, position = excluded.position WHERE verifier.seen_at_us <= excluded.seen_at_us"
)


def count_checks(db: psycopg.Connection[Any], rows: Sequence[tuple[Any, ...]]) -> None:
    """Add checks to the counts, inside the caller's transaction.

    Args:
        db: connection inside a transaction.
        rows: checks as `registry.accounts` indexes them.
    """
    days = Counter((row[AT] // DAY_US, row[REALM], row[PARTY], row[PURPOSE], row[OUTCOME], row[STATUS]) for row in rows)
    minutes = Counter((row[AT] // MINUTE_US, row[REALM], row[PARTY], row[OUTCOME], row[FRESHNESS]) for row in rows)
    answers: dict[tuple[Any, ...], list[Any]] = {}
    newest: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    for row in rows:
        seen = answers.setdefault((row[PARTY], row[REALM], row[AT] // DAY_US, *_answer(row)), [0, b""])
        seen[0] += 1
        seen[1] = row[CHECK]
        place = (row[REALM], row[PARTY], row[BRANCH], row[TERMINAL])
        if place not in newest or newest[place][0] <= row[AT]:
            newest[place] = (row[AT], row[FRESHNESS], row[POSITION])
    with db.cursor() as cursor:  # sorted: two indexers would take the same locks in the same order
        cursor.executemany(_DAY, [(*key, count) for key, count in sorted(days.items())])
        cursor.executemany(_MINUTE, [(*key, count) for key, count in sorted(minutes.items())])
        cursor.executemany(_ANSWER, [(*key, *seen) for key, seen in sorted(answers.items())])
        cursor.executemany(_VERIFIER, [(*place, *seen) for place, seen in sorted(newest.items())])


def forget(db: psycopg.Connection[Any], now_us: int) -> int:
    """Forget counts by minute after a week, for trials after a month, terminals after 90 days; return how many rows."""
    minutes = db.execute("DELETE FROM checks_by_minute WHERE minute < %s", (now_us // MINUTE_US - MINUTES_KEPT,))
    days = db.execute("DELETE FROM answers_by_day WHERE day < %s", (now_us // DAY_US - ANSWERS_DAYS_KEPT,))
    terminals = db.execute("DELETE FROM verifier WHERE seen_at_us < %s", (now_us - TERMINAL_DAYS_KEPT * DAY_US,))
    return minutes.rowcount + days.rowcount + terminals.rowcount
