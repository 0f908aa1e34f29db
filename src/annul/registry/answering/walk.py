"""Detect a party that walks through numbers: someone with a good key who asks in order to learn which numbers exist.

Three signs are counted for each party, all forgotten with time:

- *misses*: answers that say a number is unknown or malformed, or that the name is another. Honest desks mistype one in fifty;
  who guesses misses most. Documents that this register does not cover say nothing about anybody, and do not count.
- *names*: different names asked with one number. An honest clerk tries a second spelling; who guesses the name tries many.
- *neighbours*: different numbers that share all but their last digits (one day and place of birth). Honest customers of a
  day are spread over places and birth dates; who walks along a street of numbers is not.

A party above a limit is slowed: its checks wait. Above a higher one it is stopped for an hour, and the supervisor is told.
Nothing here holds a number: neighbourhoods and numbers are kept as 64-bit keyed hashes (the interpreter's SipHash, whose key
is drawn at start and never stored), in a sketch of bounded size. Each worker counts for itself.

Source: the domain, section 6 (insiders selling look-ups); thresholds: docs/life-of-a-name-check.md.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path
from typing import Final

import msgspec

from annul import durable
from annul.errors import OverQuota
from annul.home import Home
from annul.times import DAY_US, SECOND_US

HALF_LIFE_US: Final = 600_000_000
"""Time after which a count is worth half: a busy hour passes, a night of guessing does not."""
MISSES_SLOW: Final = 40.0
"""Misses above which, with MISS_SHARE of the answers, a party is slowed."""
MISSES_STOP: Final = 200.0
MISS_SHARE: Final = 0.3
"""Share of misses among a party's answers that no honest desk reaches: about one in fifty numbers is mistyped."""
AGREED_PER_DAY: Final = 10_000_000
"""Checks a day of an agreement that says nothing else; the limits are those of a party that has agreed on so many or fewer."""
NEIGHBOURS_SLOW: Final = 12
"""Different numbers of one neighbourhood within a day; a place has some ten births a day, a branch serves a few of them."""
NEIGHBOURS_STOP: Final = 40
NEIGHBOURS_SCALE_MAX: Final = 5.0
"""A place has only so many births a day: however much a party has agreed on, it asks about no more than 200 of them."""
NEIGHBOURHOODS_MAX: Final = 4_096
"""Neighbourhoods remembered of one party, and numbers asked with a name; the longest unused is forgotten first."""
NAMES_SLOW: Final = 6
"""Different names asked with one number within a day; spellings that a clerk tries are three or four."""
NAMES_STOP: Final = 12
SLOW_S: Final = 0.5
"""How long a check of a slowed party waits: two a second from each of its connections."""
STOP_US: Final = 3_600_000_000
"""How long a pace lasts."""
TAIL: Final = 4
"""Last characters of a number that tell neighbours apart: a citizen number's order and check character."""


class Pace(IntEnum):
    """How a party is served."""

    free = 0
    slowed = 1
    stopped = 2


class Walker:
    """What is known of one party; `pace` is all that the check path reads while it is free.

    Limits grow with the agreement: a party that may ask a hundred times as much mistypes a hundred times as often.

    Attributes:
        party: its id.
        seen, missed: answers and misses of the window under way; `settle` takes them up.
        why: the sign that raised the pace: misses, names or neighbours.
    """

    __slots__ = (
        "_answers",
        "_day",
        "_misses",
        "_named_before",
        "_names",
        "_near_slow",
        "_near_stop",
        "_places",
        "_settled_us",
        "_told",
        "missed",
        "pace",
        "party",
        "scale",
        "seen",
        "until_us",
        "why",
    )

    def __init__(self, party: str, per_day: int = AGREED_PER_DAY) -> None:
        self.party = party
        self.scale = max(1.0, per_day / AGREED_PER_DAY)
        self.seen = self.missed = 0
        self.pace = Pace.free
        self.until_us = 0
        self.why = ""
        self._told = Pace.free
        self._answers = self._misses = 0.0
        self._settled_us = self._day = 0
        near = min(self.scale, NEIGHBOURS_SCALE_MAX)
        self._near_slow, self._near_stop = NEIGHBOURS_SLOW * near, NEIGHBOURS_STOP * near
        self._places: OrderedDict[int, set[int]] = OrderedDict()
        # Most numbers are asked with one name: a set is made for the second. Two generations, the older one is forgotten whole.
        self._names: dict[int, int | set[int]] = {}
        self._named_before: dict[int, int | set[int]] = {}

    def asked(self, number: str, now_us: int) -> None:
        """Note that a citizen number was asked about."""
        if now_us // DAY_US != self._day:
            self._new_day(now_us)
        place = hash(number[:-TAIL])
        numbers = self._places.get(place)
        if numbers is None:
            self._places[place] = {hash(number)}
            if len(self._places) > NEIGHBOURHOODS_MAX:
                self._places.popitem(last=False)
            return
        if len(numbers) < self._near_stop:
            numbers.add(hash(number))
        if len(numbers) >= self._near_slow:
            self._places.move_to_end(place)
            self._raise(Pace.stopped if len(numbers) >= self._near_stop else Pace.slowed, "neighbours", now_us)

    def named(self, number: str, name: str, now_us: int) -> None:
        """Note that a name was asked with a number."""
        if now_us // DAY_US != self._day:
            self._new_day(now_us)
        key, said = hash(number), hash(name)
        known = self._names.get(key)
        if known is None:
            if len(self._names) >= NEIGHBOURHOODS_MAX:
                self._named_before, self._names = self._names, {}
            known = self._names[key] = self._named_before.get(key, said)
        if known == said:
            return
        if isinstance(known, int):
            known = self._names[key] = {known}
        if len(known) < NAMES_STOP:
            known.add(said)
        if len(known) >= NAMES_SLOW:
            self._raise(Pace.stopped if len(known) >= NAMES_STOP else Pace.slowed, "names", now_us)

    def _new_day(self, now_us: int) -> None:
        self._day = now_us // DAY_US
        self._forget()

    def _forget(self) -> None:
        self._places.clear()
        self._names, self._named_before = {}, {}

    def settle(self, now_us: int) -> bool:
        """Take up the answers of a window; return whether the supervisor has to be told of a new pace."""
        worth = 0.5 ** (max(0, now_us - self._settled_us) / HALF_LIFE_US) if self._settled_us else 1.0
        self._settled_us = now_us
        self._answers = self._answers * worth + self.seen
        self._misses = self._misses * worth + self.missed
        self.seen = self.missed = 0
        misses = self._misses / self.scale
        if misses >= MISSES_SLOW and self._misses >= MISS_SHARE * self._answers:
            self._raise(Pace.stopped if misses >= MISSES_STOP else Pace.slowed, "misses", now_us)
        new = self.pace > self._told
        self._told = max(self._told, self.pace)
        return new

    def hold(self, now_us: int) -> float:
        """Return how long a check of a party that is not free has to wait, in seconds.

        Raises:
            OverQuota: the party is stopped.
        """
        if now_us >= self.until_us:
            self.pace = self._told = Pace.free
            self._answers = self._misses = 0.0
            self._forget()
            return 0.0
        if self.pace is Pace.stopped:
            raise OverQuota(
                "Checks of this party are stopped: too many numbers were asked about that look guessed.",
                retry_after_s=max(1, (self.until_us - now_us) // SECOND_US),
                mend="The supervisor was told. Agree with the register before asking such questions.",
            )
        return SLOW_S

    def _raise(self, pace: Pace, why: str, now_us: int) -> None:
        if pace > self.pace:
            self.pace, self.why = pace, why
            self.until_us = now_us + STOP_US


class Alarm(msgspec.Struct, frozen=True):
    """Tell that a party was slowed or stopped."""

    party: str
    pace: str
    why: str
    at_us: int


def raise_alarm(home: Home, walker: Walker, now_us: int) -> None:
    """Leave an alarm for the follower, which enters it in the register log; the check path has no database."""
    file = durable.folder(home.alarms) / f"{now_us}-{secrets.token_hex(4)}.json"
    durable.replace_lossy(file, msgspec.json.encode(Alarm(walker.party, walker.pace.name, walker.why, now_us)))


def alarms(home: Home) -> Iterator[tuple[Path, Alarm]]:
    """Yield the alarms that wait, oldest first; the caller removes each once it is entered."""
    for path in sorted(home.alarms.glob("*.json")):
        try:
            yield path, msgspec.json.decode(path.read_bytes(), type=Alarm)
        except msgspec.DecodeError:  # the machine was stopped while it was written
            path.unlink(missing_ok=True)
