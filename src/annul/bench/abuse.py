"""Plant abuse of look-ups among honest traffic and count what is alarmed: a part of `annul bench conduct`.

Three organisations of 20 branches and 80 clerks, a month of days, customers who come back, clerks who stand in elsewhere, busy
days before holidays, a tenth of the checks without a reference. Fifty kinds of abuse are planted, each from a seed: seven
strengths of eight patterns, less those that cannot be told from work.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from annul.records.codes import IdentityCode, StatusCode
from annul.registry.conduct.patterns import DAYS, WEEK, Looks, Usual, find
from annul.times import DAY_US, HOUR_US, MINUTE_US, SECOND_US

ORGANISATIONS: Final = 3
BRANCHES: Final = 20
CLERKS: Final = 80
A_DAY: Final = 25
"""Checks of a clerk on a usual day."""
MONTH: Final = 30
KINDS: Final = 50
STRENGTHS: Final = 7
PATTERNS: Final = ("volume", "misses", "no_business", "curiosity", "crowd", "travel", "odd_hours", "pace")


def measure_abuse(seed: int = 13) -> dict[str, float]:
    """Simulate, find, compare; returns recall, precision and honest alarms by organisation and month."""
    random = np.random.default_rng(seed)
    usual, past = Usual(), list[Looks]()
    planted = _plan(random)
    met = set[int]()
    right = wrong = 0
    for day in range(DAYS + MONTH):
        looks = _honest(random, day)
        mine = {number: kind for number, kind in planted.items() if kind["day"] == day}
        for kind in mine.values():
            looks = _with(random, looks, kind, day)
        if day >= DAYS:
            week = _joined(past[-WEEK:])
            for alarm in find(looks, week, usual):
                hit = [number for number, kind in mine.items() if _is(alarm, kind)]
                met.update(hit)
                right, wrong = right + bool(hit), wrong + (not hit)
        usual.add(looks)
        past.append(looks)
    return {
        "abuse_kinds": KINDS,
        "abuse_recall": len(met) / KINDS,
        "abuse_precision": right / max(1, right + wrong),
        "abuse_false_a_month": wrong / ORGANISATIONS,
    }


def _plan(random: np.random.Generator) -> dict[int, dict[str, Any]]:
    """Choose for each kind its day, its clerk and its strength; no clerk twice."""
    clerks = random.permutation(ORGANISATIONS * CLERKS)[:KINDS]
    return {
        number: {
            "pattern": PATTERNS[number % len(PATTERNS)],
            "strength": 1 + number // len(PATTERNS),
            "party": int(clerk // CLERKS),
            "clerk": int(clerk),
            "day": DAYS + int(random.integers(0, MONTH)),
        }
        for number, clerk in enumerate(clerks.tolist())
    }


def _honest(random: np.random.Generator, day: int) -> Looks:
    """Return a day of work: by clerk a draw around her own mean, in opening hours, customers who come back."""
    busy = 1.4 if day % 30 > 27 else 0.6 if day % 7 == 6 else 1.0
    everybody = np.arange(ORGANISATIONS * CLERKS)
    mean = A_DAY * (0.5 + (everybody * 7919 % 100) / 100) * busy
    counts = random.poisson(random.gamma(12, mean / 12))
    clerk = np.repeat(everybody, counts)
    total = len(clerk)
    branch = clerk % BRANCHES + clerk // CLERKS * BRANCHES
    lent = random.random(len(everybody)) < 0.03  # stands in at another branch for the day
    branch = np.where(lent[clerk], (branch + 1) % BRANCHES + clerk // CLERKS * BRANCHES, branch)
    document = random.integers(1, 1 << 60, total)
    regular = random.random(total) < 0.05
    document[regular] = clerk[regular] * 1_000 + random.integers(0, 40, int(regular.sum()))
    at = day * DAY_US + (8 * HOUR_US + random.beta(2, 2, total) * 10 * HOUR_US).astype(np.int64)
    missed = random.random(total) < 0.01
    return Looks(
        party=(clerk // CLERKS).astype(np.int32),
        clerk=(clerk + 1).astype(np.uint64),
        branch=(branch + 1).astype(np.uint64),
        document=document.astype(np.uint64),
        at=at,
        status=np.where(missed, StatusCode.U32.octet, StatusCode.V00.octet).astype(np.uint8),
        identity=np.full(total, IdentityCode.M1.octet, np.uint8),
        referenced=(random.random(total) > 0.1).astype(np.uint8),
    )


def _with(random: np.random.Generator, looks: Looks, kind: dict[str, Any], day: int) -> Looks:
    """Return a day with one kind of abuse in it."""
    pattern, strength, clerk = kind["pattern"], kind["strength"], kind["clerk"]
    count = {
        "volume": 60 + 40 * strength,
        "misses": 8 + 6 * strength,
        "no_business": 20 + 10 * strength,
        "curiosity": 5 + strength,
        "crowd": 6 + 2 * strength,
        "travel": 2 + 2 * strength,
        "odd_hours": 5 + 3 * strength,
        "pace": 25 + 10 * strength,
    }[pattern]
    start = day * DAY_US + 9 * HOUR_US + int(random.integers(0, 6 * HOUR_US))
    at = start + np.sort(random.integers(0, 3 * HOUR_US, count))
    document = random.integers(1, 1 << 60, count)
    who = np.full(count, clerk)
    branch = who % BRANCHES + who // CLERKS * BRANCHES
    status, referenced = np.full(count, StatusCode.V00.octet), np.ones(count)
    if pattern == "misses":
        status[:] = StatusCode.U32.octet
    elif pattern == "no_business":
        referenced[:] = 0
    elif pattern == "curiosity":
        document[:] = document[0]
    elif pattern == "crowd":
        document[:] = document[0]
        who = kind["party"] * CLERKS + random.permutation(CLERKS)[:count]
        branch = who % BRANCHES + who // CLERKS * BRANCHES
    elif pattern == "travel":
        at = start + np.arange(count) * 4 * MINUTE_US
        branch = np.where(np.arange(count) % 2, branch, (branch + 3) % BRANCHES + who // CLERKS * BRANCHES)
    elif pattern == "odd_hours":
        at = day * DAY_US + 2 * HOUR_US + np.sort(random.integers(0, HOUR_US, count))
    elif pattern == "pace":
        at = start + np.arange(count) * 2 * SECOND_US
    if pattern == "travel":  # two people, one account: her own work is gone into by the other's
        keep = (looks.clerk != clerk + 1) | (looks.at < at[0]) | (looks.at > at[-1])
        looks = looks.taken(np.flatnonzero(keep))
    more = Looks(
        party=(who // CLERKS).astype(np.int32),
        clerk=(who + 1).astype(np.uint64),
        branch=(branch + 1).astype(np.uint64),
        document=document.astype(np.uint64),
        at=at,
        status=status.astype(np.uint8),
        identity=np.full(count, IdentityCode.M1.octet, np.uint8),
        referenced=referenced.astype(np.uint8),
    )
    return _joined([looks, more])


def _joined(parts: list[Looks]) -> Looks:
    columns: list[Any] = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return Looks(*columns)


def _is(alarm: Any, kind: dict[str, Any]) -> bool:
    """Tell whether an alarm is about what was planted: that clerk, or that crowd."""
    if kind["pattern"] == "crowd":
        return bool(alarm.pattern == "crowd" and alarm.party == kind["party"])
    return bool(alarm.clerk == kind["clerk"] + 1)
