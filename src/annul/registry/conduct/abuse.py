"""Alarms about look-ups: made once for every day that is over, kept with their figures, decided by a person.

The day is read by columns (`columns`), beside the four weeks before it (`patterns`). An alarm changes nothing: it is shown to
supervisors, who ask, hear and decide. Clerks stand in it as their party names them, never the person or document that was asked
about.

What must never happen here: an alarm that acts; a day that is looked over before all its checks are indexed.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec
import numpy as np
import psycopg
import pyarrow.parquet as pq

from annul.errors import BadInput, Conflict, NotFound
from annul.home import Home
from annul.registry.conduct import columns
from annul.registry.conduct.patterns import DAYS, WEEK, Alarm, Looks, Pattern, Response, Usual, find
from annul.registry.parties.policies import require_words
from annul.registry.writing.act import Act
from annul.registry.writing.ground import Ground
from annul.registry.writing.pen import remember, replay
from annul.registry.writing.store import REALM_CODES, reading, writing
from annul.times import DAY_US, HOUR_US

LATE_US: Final = 2 * HOUR_US
"""How long after midnight a day is looked over: its last checks are indexed by then."""
PAGE_MAX: Final = 500
_READ: Final = ("party", "clerk", "branch", "document", "number", "at_us", "status", "identity", "referenced")

Judgement = Literal["explained", "misuse", "dismissed"]


class AlarmView(msgspec.Struct, frozen=True, kw_only=True):
    """One alarm as people see it.

    Args:
        day: days since 1970 (UTC).
        seen, usual: the figure that was seen, and what would have been usual.
        score: how far beyond the limit, 1 at the limit.
        response: what is asked for: watch, ask, hold.
        reason: of the decision.
    """

    id: str
    party: str
    branch: str
    clerk: str
    pattern: Pattern
    day: int
    score: float
    seen: float
    usual: float
    response: Response
    state: Literal["open", "explained", "misuse", "dismissed"]
    raised_at_us: int
    decided_by: str | None
    decided_at_us: int | None
    reason: str


class AlarmJudged(msgspec.Struct, frozen=True):
    """Say what was decided of an alarm.

    Args:
        alarm: id of the alarm.
        state: its present state.
        position: position in the register log; 0-based and dense.
    """

    alarm: str
    state: str
    position: int


class _Facts(msgspec.Struct):
    seen: float
    usual: float


class Abuse:
    """List alarms, and decide about them.

    Args:
        ground: what every part stands on.
    """

    def __init__(self, ground: Ground) -> None:
        self._connections, self._now_us = ground.connections, ground.now_us

    async def list(self, realm: str, *, state: str = "open", party: str | None = None, limit: int = 100) -> Sequence[AlarmView]:
        """Return alarms, the gravest first; `party`: of one alone."""
        if not 1 <= limit <= PAGE_MAX:
            raise BadInput(f"A page has 1 to {PAGE_MAX} alarms.", where="?limit")
        async with reading(self._connections) as db:
            found = await db.execute(
                "SELECT id, party, branch, clerk, pattern, day, score, facts, response, state, raised_at_us, decided_by, "
                "decided_at_us, reason FROM abuse_alarm WHERE realm = %(realm)s AND state = %(state)s "
                "AND (%(party)s::text IS NULL OR party = %(party)s) ORDER BY score DESC, id LIMIT %(limit)s",
                {"realm": REALM_CODES[realm], "state": state, "party": party, "limit": limit},
            )
            return [_view(row) for row in await found.fetchall()]

    async def judge(self, act: Act, alarm: str, judgement: Judgement, *, reason: str) -> AlarmJudged:
        """Decide about an alarm: it was explained, it was misuse, or there was nothing in it.

        Raises:
            Conflict: it was decided before.
        """
        require_words(reason, "/reason", needed=True)
        async with writing(self._connections, self._now_us()) as write:
            known = await replay(write, act, AlarmJudged)
            if known is not None:
                return known
            row = await write.one(
                "SELECT state FROM abuse_alarm WHERE id = %s AND realm = %s FOR UPDATE", alarm, act.realm_code
            )
            if row is None:
                raise NotFound("There is no such alarm.")
            if row[0] != "open":
                raise Conflict(f"This alarm was decided: {row[0]}.")
            position = write.note(act.author, alarm, f"alarm {judgement}".encode(), realm=act.code)
            await write.run(
                "UPDATE abuse_alarm SET state = %s, decided_by = %s, decided_at_us = %s, reason = %s WHERE id = %s",
                judgement,
                act.author,
                write.recorded_at_us,
                reason,
                alarm,
            )
            judged = AlarmJudged(alarm, judgement, position)
            await remember(write, act, judged)
        return judged


def look_over(db: psycopg.Connection[Any], home: Home, now_us: int, realm: int = 0) -> int:
    """Look over the oldest day that is over, all indexed, and was not yet; return how many alarms it raised.

    Args:
        db: connection in autocommit mode.
    """
    row = db.execute("SELECT day FROM abuse_cursor WHERE realm = %s", (realm,)).fetchone()
    last = (now_us - LATE_US) // DAY_US - 1
    first = db.execute("SELECT min(day) FROM checks_by_day WHERE realm = %s", (realm,)).fetchone()
    if first is None or first[0] is None:
        return 0
    day = max(row[0] + 1 if row else first[0], last - DAYS)
    if day > last or columns.behind(db, home.checks, (day + 1) * DAY_US) is not None:
        return 0
    numbers: dict[str, int] = {}
    usual, week = Usual(), list[Looks]()
    for each in range(day - DAYS, day):
        looks = _looks(db, home, realm, each, numbers)
        if looks is not None:
            usual.add(looks)
            week += [looks] if each >= day - WEEK else []
    today = _looks(db, home, realm, day, numbers)
    raised = 0
    with db.transaction():
        if today is not None and usual.checks:
            names = {number: name for name, number in numbers.items()}
            for alarm in find(today, _joined(week, today), usual):
                raised += _raise(db, realm, day, names[alarm.party], alarm, now_us)
        db.execute(
            "INSERT INTO abuse_cursor (realm, day) VALUES (%s, %s) ON CONFLICT (realm) DO UPDATE SET day = excluded.day",
            (realm, day),
        )
    return raised


def _joined(parts: Sequence[Looks], like: Looks) -> Looks:
    if not parts:
        return like.taken(np.zeros(0, np.int64))
    joined: list[Any] = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return Looks(*joined)


def _looks(db: psycopg.Connection[Any], home: Home, realm: int, day: int, numbers: dict[str, int]) -> Looks | None:
    path = columns.lay(db, home, realm, day)
    if path is None:
        return None
    table = pq.read_table(path, columns=list(_READ), use_threads=False, memory_map=True).combine_chunks()
    coded = table.column("party").combine_chunks().dictionary_encode()
    party = np.array([numbers.setdefault(name, len(numbers)) for name in coded.dictionary.to_pylist()], np.int32)
    document, number = columns.words(table.column("document")), columns.words(table.column("number"))
    whole = document.any(axis=1)
    small = {name: table.column(name).to_numpy() for name in ("at_us", "status", "identity", "referenced")}
    return Looks(
        party[coded.indices.to_numpy(zero_copy_only=False)],
        columns.eights(table.column("clerk")),
        columns.eights(table.column("branch")),
        np.where(whole, document[:, 0], number[:, 0]),
        small["at_us"],
        small["status"],
        small["identity"],
        small["referenced"],
    )


def _raise(db: psycopg.Connection[Any], realm: int, day: int, party: str, alarm: Alarm, now_us: int) -> int:
    """Keep an alarm with the names its party uses for branch and clerk; one that is kept already stays."""
    keys = [int(key).to_bytes(8, "little") for key in (alarm.clerk, alarm.branch)]
    found = db.execute(
        "SELECT branch, clerk FROM check_index WHERE party = %s AND realm = %s AND checked_at_us >= %s AND checked_at_us < %s "
        "AND (%s OR substring(sha256(convert_to(clerk, 'UTF8')) FOR 8) = %s) "
        "AND substring(sha256(convert_to(branch, 'UTF8')) FOR 8) = %s LIMIT 1",
        (party, realm, day * DAY_US, (day + 1) * DAY_US, alarm.clerk == 0, *keys),
    ).fetchone()
    branch, clerk = found or ("", "")
    facts = msgspec.json.encode(_Facts(alarm.seen, alarm.usual)).decode()
    return db.execute(
        "INSERT INTO abuse_alarm (id, realm, party, branch, clerk, pattern, day, score, facts, response, state, raised_at_us, "
        "position) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 'open', %s, 0) ON CONFLICT DO NOTHING",
        (
            "aa_" + secrets.token_hex(12),
            realm,
            party,
            branch,
            clerk if alarm.clerk else "",
            alarm.pattern,
            day,
            alarm.score,
            facts,
            alarm.response,
            now_us,
        ),
    ).rowcount


def _view(row: Sequence[Any]) -> AlarmView:
    facts = msgspec.json.decode(row[7], type=_Facts)
    names = ("id", "party", "branch", "clerk", "pattern", "day", "score")
    rest = ("response", "state", "raised_at_us", "decided_by", "decided_at_us", "reason")
    values = dict(zip(names, row[:7], strict=True)) | dict(zip(rest, row[8:], strict=True))
    return AlarmView(**values, seen=facts.seen, usual=facts.usual)
