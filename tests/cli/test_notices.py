"""`annul notices`: what an operator sees of deliveries, and dead letters sent again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from annul.cli import run
from annul.registry.notices.channels import Undelivered
from tests.registry.notices.street import MAIL, Street


@pytest.fixture
def street(database: str, memory_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Street:
    """A register with one notice whose letter was refused for good."""
    made = Street(database, tmp_path)
    monkeypatch.setenv("ANNUL_HOME", str(tmp_path))
    monkeypatch.setenv("ANNUL_DATABASE_URL", database)
    made.mail.faults = [Undelivered("smtp-550", for_good=True)]
    from annul.records.status import Event
    from tests.registry.world import ISSUER, card

    made.run(made.register.change(ISSUER, card(), Event.compromise, happened_at_us=made.clock()))
    made.turn()
    return made


def test_dead_letters_are_listed_counted_and_sent_again(street: Street, capsys: pytest.CaptureFixture[str]) -> None:
    """The list names kind, channel and fault; no address. After a retry the letter leaves under its id."""
    assert run(["notices", "list", "--state", "dead", "--json"]) == 0
    (dead,) = json.loads(capsys.readouterr().out)
    assert (dead["kind"], dead["channel"], dead["fault"]) == ("compromised", "email", "smtp-550")
    assert MAIL not in json.dumps(dead)
    assert run(["notices", "count"]) == 0
    assert "given up 1" in capsys.readouterr().out
    assert run(["notices", "retry"]) == 0
    assert "1 dead letters are sent again" in capsys.readouterr().out
    street.clock.us = 1_900_000_000_000_000
    street.turn()
    assert street.mail.sent[-1][0] == dead["id"]


def test_a_state_that_does_not_exist_is_wrong_usage(street: Street, capsys: pytest.CaptureFixture[str]) -> None:
    """The error names the states."""
    assert street
    assert run(["notices", "list", "--state", "lost"]) != 0
    assert "due, paused, sent, kept or dead" in capsys.readouterr().err
