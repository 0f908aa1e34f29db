"""Look-ups that are no business: found in a register's own checks, with names and figures; honest days raise nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psycopg
import pytest

from annul.bench.abuse import measure_abuse
from annul.errors import Conflict, NotFound
from annul.registry.conduct.abuse import Abuse, look_over
from annul.times import DAY_US
from tests.registry.answering.desk import card, question
from tests.registry.conduct.watch import SUPERVISOR, Watch
from tests.registry.counter.test_departures import NEW


@pytest.fixture
def watch(tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch) -> Watch:
    """A bank that is watched."""
    return Watch(tmp_path, database, monkeypatch)


def test_a_curious_clerk_is_named_with_her_figures_and_a_person_decides(watch: Watch) -> None:
    """Two honest days, then eight looks at one card: one alarm, in words; decided once."""
    honest = [question(NEW, branch="0421", clerk=f"C-{clerk}", reference="K") for clerk in range(4)]
    for _ in range(2):
        watch.ask(watch.bank, *honest)
        watch.now += DAY_US
    watch.ask(watch.bank, *honest, *[question(card(), branch="0421", clerk="C-9", reference="K")] * 8)
    watch.now += DAY_US
    with psycopg.connect(watch.database, autocommit=True) as db:
        raised = [look_over(db, watch.ground.home, watch.now) for _ in range(5)]
    assert sum(raised) == 1
    abuse = Abuse(watch.ground)
    (alarm,) = asyncio.run(abuse.list("live"))
    assert (alarm.party, alarm.branch, alarm.clerk, alarm.pattern, alarm.seen) == ("bank", "0421", "C-9", "curiosity", 8)
    assert asyncio.run(abuse.list("test")) == []
    assert asyncio.run(abuse.list("live", party="hotel")) == []
    assert asyncio.run(abuse.judge(SUPERVISOR, alarm.id, "misuse", reason="a neighbour")).state == "misuse"
    with pytest.raises(Conflict):
        asyncio.run(abuse.judge(SUPERVISOR, alarm.id, "dismissed", reason="a neighbour"))
    with pytest.raises(NotFound):
        asyncio.run(abuse.judge(SUPERVISOR, "aa_" + "0" * 24, "dismissed", reason="a neighbour"))


def test_what_is_planted_is_alarmed_and_honest_work_is_not() -> None:
    """Fifty kinds of abuse among a month of three organisations."""
    found = measure_abuse(seed=2)
    assert found["abuse_recall"] >= 0.9
    assert found["abuse_precision"] >= 0.5
    assert found["abuse_false_a_month"] <= 1
