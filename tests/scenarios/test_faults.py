"""Processes die and the database stands still under load: nothing acknowledged is lost, nothing is done twice."""

from __future__ import annotations

import asyncio

from tests.drills import database, kill
from tests.scenarios.conftest import Town


def test_kill_nine_of_any_process_loses_nothing(town: Town) -> None:
    """Six kills of workers, follower, sealer and database under load; the long form is `make drill-kill`."""
    done, killed = asyncio.run(kill.drill(town.home, town.demo, 6, seed=5, pause_s=0.6))
    assert sum(killed.values()) == 6
    assert done.wrong == []
    assert len(done.reports) > 0
    assert len(done.answers) > 0
    town.reports, town.documents, town.answers = done.reports, done.documents, done.answers


def test_checks_go_on_while_the_database_stands_still(town: Town) -> None:
    """Frozen for three seconds: answers go on, reports wait or are refused clearly, accounts are complete afterwards."""
    done, before, during = asyncio.run(database.drill(town.home, town.demo, 3))
    assert done.wrong == []
    assert before > 0
    assert during > 0
    town.reports, town.documents, town.answers = done.reports, done.documents, done.answers
