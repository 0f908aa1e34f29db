"""Draw the fictional country: persons, their documents and what happened to them, as a stream of batches.

Three populations share one seed:

- residents with second-generation resident cards (`cn-resident`): 5 years below 16, 10 to 25, 20 to 45, long-term after;
- citizens of the fictional state UTO with identity cards and passports (`icao-9303`);
- a foreign list of invalid internal passports (`ru-internal`), listing-only: numbers without persons.

The register is REGISTER_YEARS old. Documents that were in force when it began, or were issued since, are in it; their
events are those a register of that age has seen. Everything is drawn in whole batches with numpy: about 0.2 million
documents a second, a few megabytes of memory, whatever the size.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np
import numpy.typing as npt

from annul.demo import numbers
from annul.demo.names import chinese_names, utopian_names
from annul.records.status import Event, Proof
from annul.times import DAY_US, LONG_TERM_DAY

Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

YEAR_DAYS: Final = 365.2425
NEVER: Final = np.int64(1 << 60)
"""A time in microseconds, or a day, that does not come."""
REGISTER_YEARS: Final = 1.5
"""Age of the register: at this age it holds about 1.3 documents a person."""
BATCH_PERSONS: Final = 16_384
UTO_SHARE: Final = 0.15
FOREIGN_SHARE: Final = 0.055
"""Lines of the foreign list, per document of a person."""
BLANKS_PER_PART: Final = 8
"""Blank passports of UTO that were stolen before they were made out, per full part."""
LOSS_PER_YEAR: Final = 0.003
"""Documents lost or stolen in a year. Source: the domain's sizing figures (about 0.3 % of documents a year)."""
STOLEN_SHARE: Final = 0.2
SECOND_GENERATION_DAY: Final = 12_418  # 2004-01-01
AGE_WEIGHTS: Final = np.array([60, 68, 72, 60, 70, 82, 84, 76, 70, 54, 48, 48, 44, 32, 20, 14, 8, 3, 1], float)
"""Persons per five years of age, from 0-4 to 90-94; the shape of a nation that grows old."""


class SchemeNo(IntEnum):
    """Number the schemes as batches hold them."""

    CN_RESIDENT = 0
    ICAO_9303 = 1
    RU_INTERNAL = 2


SCHEME_NAMES: Final = ("cn-resident", "icao-9303", "ru-internal")
KINDS: Final = ("", "P", "ID")


class Happening(IntEnum):
    """Number the events of a life; EVENTS gives the event of `annul.records.status` for each."""

    issue = 0
    report_lost = 1
    report_stolen = 2
    confirm_lost = 3
    confirm_stolen = 4
    lapse = 5
    lift = 6
    surrender = 7
    replace = 8
    cancel_death = 9
    revoke_fraud = 10
    compromise = 11
    owner_lock = 12
    blank_stolen = 13


_EVENT_OF: Final = {event.value: event for event in Event}
EVENTS: Final = tuple(_EVENT_OF["confirm" if name.startswith("confirm") else name] for name in Happening.__members__)
PROOFS: Final = tuple(Proof)
"""Weakest first; a batch holds places in this list."""
_PROOF_SHARES: Final = np.cumsum([0.05, 0.10, 0.35, 0.25])


@dataclass(frozen=True, slots=True)
class Events:
    """Hold what happened to the documents of one batch, sorted by document, then by time of recording; all shape (e,).

    Args:
        row: document in the batch.
        what: `Happening`.
        happened_us: microseconds since the epoch.
        recorded_us: microseconds since the epoch, not before `happened_us`.
        proof: index into PROOFS; in_person where a desk acts on its own knowledge.
    """

    row: Int64s
    what: npt.NDArray[np.uint8]
    happened_us: Int64s
    recorded_us: Int64s
    proof: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.row)


@dataclass(frozen=True, slots=True)
class Batch:
    """Hold some thousand documents and their lives; arrays of shape (n,).

    Args:
        scheme: `SchemeNo`.
        kind: index into KINDS.
        number: normal form without the discriminator; ru-internal: series and number, ten digits. dtype S18.
        valid_from_day: days since the epoch; -1 when the scheme has none (ru-internal).
        valid_until_day: days since the epoch; LONG_TERM_DAY; -1 when there is none.
        holder: running number of the person in the country; -1 for documents without a known holder.
        events: what happened.
    """

    scheme: npt.NDArray[np.uint8]
    kind: npt.NDArray[np.uint8]
    number: npt.NDArray[np.bytes_]
    valid_from_day: Int64s
    valid_until_day: Int64s
    holder: Int64s
    events: Events

    def __len__(self) -> int:
        return len(self.number)

    def head(self, count: int) -> Batch:
        """Return the first `count` documents."""
        kept = self.events.row < count
        events = Events(*(getattr(self.events, name)[kept] for name in Events.__slots__))
        return Batch(
            self.scheme[:count],
            self.kind[:count],
            self.number[:count],
            self.valid_from_day[:count],
            self.valid_until_day[:count],
            self.holder[:count],
            events,
        )


@dataclass(frozen=True, slots=True)
class Persons:
    """Hold the persons of one batch; arrays of shape (p,).

    Args:
        holder: running number in the country.
        resident: has a personal number and a resident card; otherwise a citizen of UTO.
        man: recorded sex.
        birth_day: days since the epoch.
        death_day: days since the epoch, NEVER while alive.
        personal_number: 18 characters, b"" for citizens of UTO.
        draw: 64 random bits, the source of the name.
    """

    holder: Int64s
    resident: Bools
    man: Bools
    birth_day: Int64s
    death_day: Int64s
    personal_number: npt.NDArray[np.bytes_]
    draw: npt.NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.holder)

    def names(self) -> Iterator[tuple[str, str]]:
        """Yield (name in the script of the document, name in Latin script) for each person."""
        chinese = chinese_names(self.draw, self.man)
        for resident, han, (surname, given) in zip(
            self.resident.tolist(), chinese, utopian_names(self.draw, self.man), strict=True
        ):
            yield han if resident else (f"{surname} {given}", f"{surname} {given}")


@dataclass(frozen=True, slots=True)
class Country:
    """Draw the same country from the same seed and date.

    Args:
        seed: any number from 0 to 2^63 - 1.
        as_of_day: the country's today, in days since the epoch; nothing is recorded after its first moment.
    """

    seed: int
    as_of_day: int

    @property
    def register_day(self) -> int:
        """Return the day on which the register began."""
        return self.as_of_day - round(REGISTER_YEARS * YEAR_DAYS)

    def documents(self, count: int) -> Iterator[Batch]:
        """Yield batches until exactly `count` documents have been drawn."""
        left = count
        part = 0
        while left > 0:
            _, batch = self.part(part, min(BATCH_PERSONS, left))
            yield batch.head(left) if len(batch) > left else batch
            left -= len(batch)
            part += 1

    def holders(self, count: int) -> Iterator[tuple[Persons, Batch]]:
        """Yield the first `count` persons with all their documents (about 1.3 each, the foreign list included)."""
        for part, start in enumerate(range(0, count, BATCH_PERSONS)):
            yield self.part(part, min(BATCH_PERSONS, count - start))

    def part(self, part: int, person_count: int = BATCH_PERSONS) -> tuple[Persons, Batch]:
        """Draw one part of the country: `person_count` persons from number part * BATCH_PERSONS on."""
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([self.seed, part])))
        persons = self._persons(rng, np.arange(part * BATCH_PERSONS, part * BATCH_PERSONS + person_count, dtype=np.int64))
        lives = _Lives(self.as_of_day, self.register_day, rng)
        residents = np.flatnonzero(persons.resident)
        citizens = np.flatnonzero(~persons.resident)
        lives.resident_cards(persons, residents)
        has_card = rng.random(len(citizens)) < 0.8
        lives.utopian(persons, citizens[has_card], kind=2, salt=self.seed)
        lives.utopian(persons, citizens[~has_card | (rng.random(len(citizens)) < 0.45)], kind=1, salt=self.seed)
        lives.stolen_blanks(persons.holder[:: BATCH_PERSONS // BLANKS_PER_PART], salt=self.seed)
        lives.foreign_list(part, self.seed)
        return persons, lives.batch()

    def _persons(self, rng: np.random.Generator, holder: Int64s) -> Persons:
        count = len(holder)
        resident = rng.random(count) >= UTO_SHARE
        younger = (holder & 1) == 1
        birth_day = self._birth_days(rng, younger)
        man = rng.random(count) < 0.512
        always, since_1984 = numbers.divisions()
        division = np.empty(count, np.int64)
        order = np.empty(count, np.int64)
        for group, codes in ((~younger, always), (younger, since_1984)):
            combinations = len(codes) * (numbers.ORDER_MAX // 2)
            index = holder[group] >> 1
            combination = numbers.spread(index, combinations, self.seed & 0xFFFF)
            division[group] = codes[combination % len(codes)]
            order[group] = combination // len(codes) * 2 + 1 + ~man[group]
            stratum = (index // combinations + combination * 37) % numbers.STRATA
            birth_day[group] = self._on_stratum(birth_day[group], stratum, younger=codes is since_1984)
        numbers_text = numbers.personal_numbers(division, birth_day, order)
        numbers_text[~resident] = b""
        return Persons(
            holder,
            resident,
            man,
            birth_day,
            self._death_days(rng, birth_day),
            numbers_text,
            rng.integers(0, 1 << 64, count, np.uint64),
        )

    def _birth_days(self, rng: np.random.Generator, younger: Bools) -> Int64s:
        """Draw birth days by age, one group born before 1984 and one since."""
        age = rng.choice(len(AGE_WEIGHTS), len(younger), p=AGE_WEIGHTS / AGE_WEIGHTS.sum()) * 5.0
        age += rng.random(len(younger)) * 5.0
        border = (self.as_of_day - numbers.YOUNGER_SINCE_DAY) / YEAR_DAYS
        other = rng.random(len(younger))
        age = np.where(younger & (age > border), 1.5 + other * (border - 1.5), age)
        age = np.where(~younger & (age <= border), border + 0.1 + other**1.3 * 45.0, age)
        days: Int64s = self.as_of_day - (np.clip(age, 1.5, 98.0) * YEAR_DAYS).astype(np.int64)
        return days

    def _on_stratum(self, birth_day: Int64s, stratum: Int64s, *, younger: bool) -> Int64s:
        """Move birth days back (or on, at the border of the group) to the residue that makes the number unique."""
        moved = birth_day - (birth_day - stratum) % numbers.STRATA
        if younger:
            moved = np.where(moved < numbers.YOUNGER_SINCE_DAY, moved + numbers.STRATA, moved)
        else:
            moved = np.where(moved >= numbers.YOUNGER_SINCE_DAY, moved - numbers.STRATA, moved)
        return moved

    def _death_days(self, rng: np.random.Generator, birth_day: Int64s) -> Int64s:
        """Draw deaths since the register began, by a Gompertz law of age."""
        age = (self.as_of_day - birth_day) / YEAR_DAYS
        yearly = np.minimum(np.exp(-9.9 + 0.088 * age), 0.4)
        years = rng.exponential(1.0, len(birth_day)) / yearly
        day = self.register_day + (years * YEAR_DAYS).astype(np.int64)
        days: Int64s = np.where(day < self.as_of_day - 1, day, NEVER)
        return days


class _Lives:
    """Collect the documents and events of one part while they are drawn."""

    def __init__(self, as_of_day: int, register_day: int, rng: np.random.Generator) -> None:
        self.as_of_day = as_of_day
        self.now_us = as_of_day * DAY_US
        self.start_us = register_day * DAY_US
        self.register_day = register_day
        self.rng = rng
        self.count = 0
        self.columns: list[tuple[npt.NDArray[np.generic], ...]] = []
        self.happened: list[tuple[Int64s, npt.NDArray[np.uint8], Int64s, Int64s, npt.NDArray[np.uint8]]] = []

    def resident_cards(self, persons: Persons, who: Int64s) -> None:
        """Draw the resident cards of the persons at positions `who`, one after the other through their lives."""
        birth = persons.birth_day[who]
        first = np.maximum(
            birth + (16 * YEAR_DAYS + self.rng.integers(0, 200, len(who))).astype(np.int64), SECOND_GENERATION_DAY
        )
        first += np.where(first == SECOND_GENERATION_DAY, self.rng.integers(0, 4 * 365, len(who)), 0)
        as_child = (birth > SECOND_GENERATION_DAY) & ((self.rng.random(len(who)) < 0.5) | (first >= self.as_of_day - 3))
        first = np.where(as_child, birth + self.rng.integers(30, 400, len(who)), first)
        self._line(persons, who, first, SchemeNo.CN_RESIDENT, 0, None)

    def utopian(self, persons: Persons, who: Int64s, *, kind: int, salt: int) -> None:
        """Draw the passports (kind 1) or identity cards (kind 2) of citizens of UTO."""
        birth = persons.birth_day[who]
        since = np.maximum(birth + 60, self.as_of_day - round(18 * YEAR_DAYS))
        span = np.maximum(self.as_of_day - 10 - since, 1)
        first = since + (self.rng.random(len(who)) * np.minimum(span, 4000)).astype(np.int64)
        self._line(persons, who, np.minimum(first, self.as_of_day - 3), SchemeNo.ICAO_9303, kind, salt * 4 + kind)

    def foreign_list(self, part: int, salt: int) -> None:
        """Draw the lines of the foreign list: invalid internal passports without a holder."""
        count = max(1, round(self.count * FOREIGN_SHARE))
        index = np.arange(count, dtype=np.int64) + part * (BATCH_PERSONS // 4)
        row = np.arange(self.count, self.count + count)
        none = np.full(count, -1, np.int64)
        self._add(SchemeNo.RU_INTERNAL, 0, numbers.russian_numbers(index, salt & 0xFFFF), none, none, none)
        happened = self.start_us + (self.rng.random(count) * (self.now_us - self.start_us)).astype(np.int64)
        what = self.rng.choice(
            np.array([Happening.report_lost, Happening.report_stolen, Happening.replace, Happening.cancel_death], np.uint8),
            count,
            p=[0.45, 0.05, 0.4, 0.1],
        )
        self._event(row, what, happened, happened, self._proofs(count, strong=True))

    def stolen_blanks(self, places: Int64s, *, salt: int) -> None:
        """Draw blank passports of UTO that were stolen: numbers that no document with a holder has."""
        count = len(places)
        row = np.arange(self.count, self.count + count)
        none = np.full(count, -1, np.int64)
        self._add(SchemeNo.ICAO_9303, 1, numbers.utopian_numbers(places * 16 + 15, (salt * 4 + 1) & 0xFFFF), none, none, none)
        happened = self.start_us + (self.rng.random(count) * (self.now_us - self.start_us - DAY_US)).astype(np.int64)
        desk = np.full(count, 3, np.uint8)
        self._event(row, _all(count, Happening.blank_stolen), happened, happened + 3_600_000_000, desk)

    def batch(self) -> Batch:
        """Join what was drawn."""
        scheme, kind, number, valid_from, valid_until, holder = (np.concatenate(c) for c in zip(*self.columns, strict=True))
        row, what, happened, recorded, proof = (np.concatenate(c) for c in zip(*self.happened, strict=True))
        order = np.lexsort((recorded, row))
        events = Events(row[order], what[order], happened[order], recorded[order], proof[order])
        return Batch(scheme, kind, number, valid_from, valid_until, holder, events)

    # -- one line of documents, each replacing the one before ---------------------------------------------------------------

    def _line(self, persons: Persons, who: Int64s, first: Int64s, scheme: SchemeNo, kind: int, salt: int | None) -> None:
        issued = first
        for step in range(15):
            alive = (issued < self.as_of_day) & (issued < persons.death_day[who])
            who, issued = who[alive], issued[alive]
            if not len(who):
                return
            who, issued = self._step(persons, who, issued, scheme, kind, salt, step)

    def _step(
        self, persons: Persons, who: Int64s, issued: Int64s, scheme: SchemeNo, kind: int, salt: int | None, step: int
    ) -> tuple[Int64s, Int64s]:
        """Draw one document for each of `who`; return who gets a next one, and when."""
        rng, count = self.rng, len(who)
        age = (issued - persons.birth_day[who]) / YEAR_DAYS
        if scheme is SchemeNo.CN_RESIDENT:
            years = np.select([age < 16, age < 26, age < 46], [5, 10, 20], 0)
        else:
            years = np.where(age < 16, 5, 10)
        until = np.where(years > 0, numbers.add_years(issued, years), NEVER)
        renewed = until + np.where(rng.random(count) < 0.95, rng.integers(-60, 15, count), rng.integers(200, 1500, count))
        lost = issued + 1 + (rng.exponential(YEAR_DAYS / LOSS_PER_YEAR, count)).astype(np.int64)
        death = persons.death_day[who]
        is_lost = (lost < renewed) & (lost < np.minimum(death, self.as_of_day) - 1)
        ended = np.where(is_lost, lost, np.minimum(renewed, death))
        kept = ended >= self.register_day
        row = np.full(count, -1, np.int64)
        row[kept] = np.arange(self.count, self.count + int(kept.sum()))
        self._add(
            scheme,
            kind,
            (
                persons.personal_number[who[kept]]
                if salt is None
                else numbers.utopian_numbers(persons.holder[who[kept]] * 16 + step, salt & 0xFFFF)
            ),
            issued[kept],
            np.where(years > 0, until, LONG_TERM_DAY)[kept],
            persons.holder[who[kept]],
        )
        issued_us = self._desk_time(issued)
        desk = np.full(count, 3, np.uint8)
        self._event(row, _all(count, Happening.issue), issued_us, np.maximum(issued_us, self.start_us), desk, kept)
        following = np.where(is_lost, NEVER, renewed)
        known = kept & is_lost
        following[known] = self._losses(row[known], lost[known])
        before = is_lost & ~kept  # lost before there was a register: only the next document is in it
        following[before] = lost[before] + rng.integers(1, 40, int(before.sum()))
        replaced = kept & (following < self.as_of_day) & (following < death)
        replaced_us = self._desk_time(following)
        self._event(row, _all(count, Happening.replace), replaced_us, replaced_us, desk, replaced)
        dead = kept & (death < self.as_of_day - 40) & ~replaced & (~is_lost | (lost < death - 60))
        death_us = death * DAY_US + 9 * 3_600_000_000
        self._event(
            row, _all(count, Happening.cancel_death), death_us, death_us + rng.integers(1, 30, count) * DAY_US, desk, dead
        )
        self._rarities(row, kept & ~is_lost & ~replaced & ~dead & (until > self.as_of_day), issued_us)
        going_on = following < NEVER
        return who[going_on], np.maximum(following, issued + 1)[going_on]

    def _losses(self, row: Int64s, lost: Int64s) -> Int64s:
        """Draw report, proof and what came of it; return the day of the replacement, NEVER when there is none."""
        rng, count = self.rng, len(row)
        stolen = rng.random(count) < STOLEN_SHARE
        happened = lost * DAY_US + (rng.random(count) * DAY_US * 0.99).astype(np.int64)
        reported = happened + np.minimum(rng.lognormal(1.0, 1.4, count) * 3.6e9, 20.0 * DAY_US).astype(np.int64)
        proof = self._proofs(count)
        weak = proof < 2
        what = np.where(stolen, Happening.report_stolen, Happening.report_lost).astype(np.uint8)
        self._event(row, what, happened, reported, proof)
        confirmed = weak & (rng.random(count) < 0.7)
        confirmed_us = reported + (rng.random(count) * 2.5 * DAY_US).astype(np.int64)
        what = np.where(stolen, Happening.confirm_stolen, Happening.confirm_lost).astype(np.uint8)
        self._event(row, what, happened, confirmed_us, self._proofs(count, strong=True), confirmed)
        lapsed_us = reported + 3 * DAY_US
        self._event(row, _all(count, Happening.lapse), lapsed_us, lapsed_us, proof, weak & ~confirmed)
        standing = ~weak | confirmed
        known_us = np.where(confirmed, confirmed_us, reported)
        fate = rng.random(count)
        lifted = standing & ~stolen & (fate < 0.06)
        lifted_us = known_us + (rng.random(count) * 2 * DAY_US).astype(np.int64) + 3_600_000_000
        fingerprint = np.full(count, 4, np.uint8)
        self._event(row, _all(count, Happening.lift), lifted_us, lifted_us, fingerprint, lifted)
        replaced = standing & ~lifted & (fate < 0.92)
        replaced_day = np.where(replaced, known_us // DAY_US + rng.integers(1, 45, count), NEVER)
        found = standing & ~lifted & (rng.random(count) < 0.08)
        found_us = known_us + (rng.random(count) * 60 * DAY_US).astype(np.int64)
        self._event(row, _all(count, Happening.surrender), found_us, found_us, np.full(count, 3, np.uint8), found)
        days: Int64s = replaced_day
        return days

    def _rarities(self, row: Int64s, quiet: Bools, issued_us: Int64s) -> None:
        """Give a few documents in force what is rare: fraud found, data leaked, the owner's lock."""
        draw = self.rng.random(len(row))
        since = np.maximum(issued_us, self.start_us)
        at = since + (self.rng.random(len(row)) * (self.now_us - since) * 0.98).astype(np.int64)
        proof = np.full(len(row), 2, np.uint8)
        for what, low, high in (
            (Happening.revoke_fraud, 0.0, 0.0003),
            (Happening.compromise, 0.0003, 0.0007),
            (Happening.owner_lock, 0.0007, 0.0015),
        ):
            self._event(row, _all(len(row), what), at, at, proof, quiet & (draw >= low) & (draw < high))

    # -- columns -------------------------------------------------------------------------------------------------------------

    def _add(
        self,
        scheme: SchemeNo,
        kind: int,
        number: npt.NDArray[np.bytes_],
        valid_from: Int64s,
        valid_until: Int64s,
        holder: Int64s,
    ) -> None:
        count = len(number)
        self.columns.append((_all(count, scheme), _all(count, kind), number.astype("S18"), valid_from, valid_until, holder))
        self.count += count

    def _event(
        self,
        row: Int64s,
        what: npt.NDArray[np.uint8],
        happened: Int64s,
        recorded: Int64s,
        proof: npt.NDArray[np.uint8],
        where: Bools | None = None,
    ) -> None:
        kept = (recorded < self.now_us) & (row >= 0)
        if where is not None:
            kept &= where
        self.happened.append((row[kept], what[kept], happened[kept], recorded[kept], proof[kept]))

    def _desk_time(self, days: Int64s) -> Int64s:
        """Draw a moment of office hours, 08:30 to 17:00."""
        minutes = self.rng.integers(510, 1020, len(days))
        times: Int64s = np.minimum(days, 1 << 20) * DAY_US + minutes * 60_000_000
        return times

    def _proofs(self, count: int, *, strong: bool = False) -> npt.NDArray[np.uint8]:
        low = float(_PROOF_SHARES[1]) if strong else 0.0
        draws = low + self.rng.random(count) * (1.0 - low)
        return np.searchsorted(_PROOF_SHARES, draws, side="right").astype(np.uint8)


def _all(count: int, value: int) -> npt.NDArray[np.uint8]:
    return np.full(count, value, np.uint8)
