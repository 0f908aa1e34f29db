"""A bank that is watched: it asks, its checks are indexed, its business is reconciled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from annul.records.document import Document
from annul.registry.accounts.accounts import Accounts
from annul.registry.conduct.duties import Duties, Duty
from annul.registry.conduct.events import BusinessEvents, EventsTaken
from annul.registry.conduct.findings import Findings
from annul.registry.conduct.reconcile import Reconciled, Reconciler
from annul.registry.conduct.scorecard import Scorecards
from annul.registry.writing.act import Act
from annul.registry.writing.ground import Ground
from annul.registry.writing.store import Fresh
from annul.times import DAY_US, rfc3339
from tests.registry.answering.desk import parsed
from tests.registry.counter.test_departures import Branch

SUPERVISOR = Act("supervisor", credential="key-supervisor")
SECOND = Act("supervisor-2", credential="key-supervisor-2")
DUTY = Duty(business="account-opening", before_hours=24, late_days=2)


class Watch(Branch):
    """A bank with a duty, and those who watch it."""

    def __init__(self, home: Path, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(home, database, monkeypatch)
        self.ground = Ground(Fresh(database), self.keys, home, lambda: self.now)  # type: ignore[arg-type]
        self.duties, self.events = Duties(self.ground), BusinessEvents(self.ground)
        self.reconciler = Reconciler(self.ground, database)
        self.findings = Findings(self.ground, Accounts(self.ground))
        self.scorecards = Scorecards(Fresh(database), lambda: self.now)
        self.run(self.duties.put(SUPERVISOR, "bank", [DUTY]))
        self.count = 0

    def key(self, document: Document | None = None, party: str = "bank") -> str:
        """Return the event key of a document, the usual card's when none is given."""
        return self.events.keys_for(party, "live", [document or parsed()])[0]

    def event(self, **more: Any) -> dict[str, Any]:
        """Return one event of now, a second later than the last."""
        self.count += 1
        self.now += 1_000_000
        told = {"reference": f"r{self.count}", "happened_at": rfc3339(self.now), "business": "account-opening"}
        return told | {"document": self.key(), "branch": "0421", "terminal": "3"} | more

    def send(self, *events: dict[str, Any], party: str = "bank") -> EventsTaken:
        """Send a file of events."""
        raw = "".join(json.dumps(event) + "\n" for event in events).encode()
        taken: EventsTaken = self.run(self.events.take(Act(party), party, raw))
        return taken

    def reconcile(self, *, days: int = 3) -> Reconciled:
        """Let time pass until all is due, and reconcile."""
        self.now += days * DAY_US
        made: Reconciled = self.run(self.reconciler.run())
        return made
