"""Oversight's figures against the checks and rows they stand for, counted another way."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any

import psycopg
import pytest

from annul.records.codes import Outcome
from annul.registry.accounts.counts import count_checks
from annul.registry.accounts.oversight import LIST_MAX, Oversight
from annul.registry.accounts.pulse import Year, count_years
from annul.registry.parties.policies import Policies
from annul.registry.writing.store import Fresh
from annul.times import DAY_US, MINUTE_US

NOW_US = 1_790_000_000_000_000
PARTIES = ("bank", "hotel", "idle")


class Office:
    """Two parties that check, one that does not; `rows` are all checks as they were indexed."""

    def __init__(self, conninfo: str) -> None:
        self.conninfo = conninfo
        self.oversight = Oversight(Fresh(conninfo), lambda: NOW_US)
        chance = random.Random(7)
        self.rows = [self._check(chance, number) for number in range(3_000)]
        with psycopg.connect(conninfo) as db:
            for party in PARTIES:
                db.execute(
                    "INSERT INTO principal (id, name, role, organisation, agreement, position) "
                    "VALUES (%s, %s, 'relying_party', '', '{}', 1)",
                    (party, party.title()),
                )
            for first in range(0, len(self.rows), 700):  # as an indexer does: part by part
                count_checks(db, self.rows[first : first + 700])

    def _check(self, chance: random.Random, number: int) -> tuple[Any, ...]:
        at_us = NOW_US - chance.randrange(40 * DAY_US if chance.random() < 0.5 else DAY_US)
        outcome = chance.choice([1, 1, 1, 2, 3, 4])
        return (
            at_us,
            chance.choice(PARTIES[:2]),
            int(chance.random() < 0.1),
            0,
            number,
            0,
            number.to_bytes(16),
            bytes(16),
            b"",
            1,
            chance.choice([1, 2]),
            chance.choice([1, 2]),
            1,
            outcome,
            17 if outcome == 3 else 1,
            17 if outcome == 3 else 1,
            chance.choice([1, 1, 1, 2]),
            256,
            number,
            f"b{number % 3}",
            f"t{number % 5}",
            "c",
            "",
            9,
            9,
            1,
        )

    def live(self, party: str = "", *, since_us: int = 0) -> list[tuple[Any, ...]]:
        """Return live checks, of one party or all, since a time."""
        return [row for row in self.rows if row[2] == 0 and row[0] >= since_us and party in ("", row[1])]

    def run(self, work: Any) -> Any:
        """Run one coroutine."""
        return asyncio.run(work)


@pytest.fixture
def office(database: str) -> Office:
    """A register with 3,000 checks of 40 days."""
    return Office(database)


def test_outcomes_over_a_day_are_those_of_its_checks(office: Office) -> None:
    """Each half hour by outcome, test data left out; steps without checks are there and empty."""
    step_us = 30 * MINUTE_US
    steps = office.run(office.oversight.outcomes())
    first = steps[0].at_us
    counted: dict[int, Counter[int]] = {}
    for row in office.live(since_us=first):
        counted.setdefault(row[0] // step_us * step_us, Counter())[row[13]] += 1
    assert {step.at_us: step.counts for step in steps} == {step.at_us: dict(counted.get(step.at_us, {})) for step in steps}
    assert sum(sum(step.counts.values()) for step in steps) == len(office.live(since_us=first)) > 500


def test_a_scorecard_is_counted_from_the_partys_own_checks(office: Office) -> None:
    """Checks, stops, unanswered, days and stale terminals of 30 days; who did not check at all stands first."""
    cards = {card.party: card for card in office.run(office.oversight.scorecards())}
    assert next(iter(cards)) == "idle"
    assert (cards["idle"].checks, cards["idle"].last_day) == (0, None)
    for party in PARTIES[:2]:
        mine = [row for row in office.live(party) if row[0] // DAY_US > NOW_US // DAY_US - 30]
        outcomes = Counter(row[13] for row in mine)
        newest: dict[tuple[str, str], tuple[Any, ...]] = {}
        for row in sorted(office.live(party)):
            newest[row[19], row[20]] = row
        card = cards[party]
        assert (card.checks, card.stops) == (len(mine), outcomes[Outcome.STOP.octet])
        assert card.unanswered == outcomes[Outcome.NO_ANSWER.octet]
        assert card.days == len({row[0] // DAY_US for row in mine})
        assert card.stale == sum(row[16] != 1 and row[0] > NOW_US - DAY_US for row in newest.values())
    stale = office.run(office.oversight.verifiers(stale=True))
    assert len(stale) == sum(card.stale for card in cards.values()) > 0


def test_a_trial_of_a_policy_counts_the_same_checks(office: Office) -> None:
    """Of 31 days and today, by outcome."""
    bank: Any = type("Bank", (), {"id": "bank", "realm": "live"})
    parties: Any = None
    trial = office.run(Policies(Fresh(office.conninfo), parties, lambda: NOW_US).try_on_past(bank, 1))
    counted = Counter(row[13] for row in office.live("bank") if row[0] // DAY_US >= NOW_US // DAY_US - 31)
    assert trial.checks == counted.total()
    assert {name: sum(row.values()) for name, row in trial.outcomes.items()} == {
        Outcome.of_octet(octet).value: count for octet, count in counted.items()
    }


def test_counts_are_whole_where_lists_end(office: Office) -> None:
    """More disputes and dead letters than a list shows: the numbers and the ages know all of them."""
    count = LIST_MAX + 50
    with psycopg.connect(office.conninfo) as db:
        db.execute(
            "INSERT INTO document (realm, document_key, coverage, kind, standing) "
            "SELECT 0, decode(md5(g::text), 'hex'), 'x', 'P', 1 FROM generate_series(1, %s) g",
            (count,),
        )
        db.execute(
            "INSERT INTO dispute (id, realm, document_id, raised_by, party, author, fact, ground, case_reference, marked, "
            "opened_at_us, due_at_us, position, state) "
            "SELECT 'x' || id, 0, id, 'holder', 'police', 'police', 9, 'other', 'C', true, "
            "%s - id * %s, %s - id * %s, 1, 'open' FROM document",
            (NOW_US, DAY_US // 4, NOW_US + 30 * DAY_US, DAY_US // 4),
        )
        db.execute(
            "INSERT INTO notice (id, key, kind, realm, document_id, details, created_at_us, not_before_us, state) "
            "SELECT 'n' || id, id, 'reported', 0, id, '{}', 0, 0, 'routed' FROM document"
        )
        db.execute(
            "INSERT INTO delivery (id, notice_id, channel, address, language, state, due_at_us) "
            "SELECT 'd' || id, id, 'email', '', 'en', 'dead', 0 FROM notice"
        )
    health = office.run(office.oversight.health())
    assert health.undelivered.value == count
    assert health.overdue.value == sum(30 * DAY_US - number * (DAY_US // 4) < 0 for number in range(1, count + 1))
    ages = [number * (DAY_US // 4) // DAY_US for number in range(1, count + 1)]
    wanted = [sum(low <= age < high for age in ages) for low, high in ((0, 1), (1, 7), (7, 30), (30, 10**6))]
    assert office.run(office.oversight.disputes_by_age([1, 7, 30])) == wanted
    assert len(office.run(office.oversight.disputes())) == LIST_MAX


def test_yearly_figures_are_those_of_the_checks_and_of_true_corrections(office: Office) -> None:
    """Live checks by outcome; a recall because of a late report is no wrong answer of the register."""
    with psycopg.connect(office.conninfo) as db:
        for position, cause in ((1, "corrected"), (2, "reported_late")):
            db.execute(
                "INSERT INTO document (id, realm, document_key, coverage, kind, standing) VALUES (%s, 0, %s, 'x', 'P', 1)",
                (position, position.to_bytes(16)),
            )
            db.execute(
                "INSERT INTO correction (position, realm, document_id, cause, gone, from_us, until_us) "
                "VALUES (%s, 0, %s, %s, 1, 0, 0)",
                (position, position, cause),
            )
            db.execute(
                "INSERT INTO recall (id, correction, realm, party, check_count, note, position, made_at_us) "
                "VALUES (%s, %s, 0, 'bank', 5, '', %s, %s)",
                (f"r{position}", position, position + 10, NOW_US),
            )
        count_years(db, NOW_US)
    made_at_us, years = office.run(office.oversight.years())
    outcomes = Counter(row[13] for row in office.live())
    year: Year = years[-1]
    assert made_at_us == NOW_US
    assert sum(each.checks for each in years) == outcomes.total()
    assert sum(each.stops for each in years) == outcomes[Outcome.STOP.octet]
    assert sum(each.referred for each in years) == outcomes[Outcome.REFER.octet]
    assert sum(each.unanswered for each in years) == outcomes[Outcome.NO_ANSWER.octet]
    assert year.recalled == 5
