"""Since when a document is stopped: every surface reads it from one place, and the place agrees with a plain replay."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from annul.errors import Conflict, NotFound, TransitionRefused
from annul.records.document import DocumentFields
from annul.records.entry import EntryKind, decode
from annul.records.status import Event, Proof, State, state_of
from annul.registry.citizen.citizens import Citizens
from annul.registry.desk.searches import ByDocument, Searches
from annul.registry.notices.sources import PUBLIC
from annul.registry.writing.act import Act
from annul.registry.writing.documents import Known
from annul.registry.writing.present import stops
from annul.web.door.telling import told
from tests.registry.notices.street import Street
from tests.registry.world import HOUR_US, ISSUER, POLICE, card

CARD = DocumentFields("cn-resident", "11010519491231002X", valid_from="2016-10-06", valid_until="2036-10-06")
ACTS = st.sampled_from(
    (
        "weak",
        "strong",
        "stolen",
        "withdraw",
        "confirm",
        "lapse",
        "lift",
        "lock",
        "unlock",
        "dispute",
        "undispute",
        "note",
        "cancel",
    )
)


class Desk(Street):
    """A holder with a card, and everybody who is told of its state."""

    def __init__(self, conninfo: str, home: Path) -> None:
        super().__init__(conninfo, home)
        self.searches = Searches(self.ground, self.vault)
        self.citizens = Citizens(self.ground, self.register, self.people, self.vault)
        self.person: int = self.rows("SELECT id FROM person_record")[0][0]
        self.document: int = self.rows("SELECT id FROM document")[0][0]
        self.reports: list[str] = []

    def do(self, what: str) -> None:
        """Do one thing to the card; what a rule refuses changes nothing."""
        self.clock.us += HOUR_US
        register, at, it = self.register, self.clock(), Known(self.document)
        with contextlib.suppress(TransitionRefused, Conflict, NotFound):
            if what in ("weak", "strong", "stolen"):
                proof = Proof.online if what == "weak" else Proof.in_person
                act, kind = Act(PUBLIC) if what == "weak" else POLICE, "stolen" if what == "stolen" else "lost"
                self.reports.append(self.run(register.report(act, it, kind, happened_at_us=at, proof=proof)).id)
            elif what in ("withdraw", "confirm"):
                waiting = [one.id for one in self.run(register.reports(POLICE, it)) if one.state == "provisional"]
                if waiting:
                    step = register.withdraw if what == "withdraw" else register.confirm
                    self.run(step(POLICE, waiting[0], proof=Proof.in_person))
            elif what == "lapse":
                self.clock.us += 80 * HOUR_US
                self.run(register.lapse_due())
            elif what == "lift":
                self.run(register.lift(POLICE, it, happened_at_us=at, proof=Proof.in_person))
            elif what == "note":
                self.run(self.searches.look(POLICE, ByDocument(CARD), case="K-1", purpose="report"))
            else:
                event = {
                    "lock": Event.owner_lock,
                    "unlock": Event.owner_unlock,
                    "dispute": Event.dispute_open,
                    "undispute": Event.dispute_close,
                    "cancel": Event.cancel_data,
                }[what]
                proof = Proof.online_strong if "lock" in what else None
                self.run(register.change(ISSUER, it, event, happened_at_us=at, proof=proof))

    def replayed(self) -> tuple[str, int, int | None]:
        """Return state, since when, and stopped since when, from the log alone and by other means than the register's."""
        runs: list[tuple[State, int]] = []
        for (raw,) in self.rows("SELECT entry FROM register_log WHERE document_id IS NOT NULL ORDER BY position"):
            entry = decode(bytes(raw))
            if entry.kind is not EntryKind.note:
                runs.append((state_of(entry.standing), entry.recorded_at_us))
        state = runs[-1][0]
        begun = stopped = runs[-1][1]
        for earlier, at in reversed(runs):
            if earlier is not state:
                break
            begun = at
        for earlier, at in reversed(runs):
            if not stops(earlier):
                break
            stopped = at
        return state.name, begun, stopped if stops(state) else None


def held(desk: Desk) -> None:
    """Hold every surface's source to what the log says."""
    state, since, stopped = desk.replayed()
    (own,) = desk.run(desk.citizens.documents(desk.person))
    search = desk.run(desk.searches.look(POLICE, ByDocument(CARD), case="K-1", purpose="report"))
    (found,) = desk.run(desk.searches.view(POLICE, search)).documents
    now = desk.clock()
    asked = desk.run(desk.register.status_at(POLICE, card(), now, now, case="K-1"))
    data: Any = desk.run(desk.citizens.everything(desk.person))["documents"][0]
    said = {(own.state, own.since_us), (found.state, found.since_us), (asked.state, asked.since_us)}
    assert said == {(state, since)}
    assert data["state"] == state
    for report in desk.reports:
        effect = desk.run(desk.register.effect(report, "live"))
        assert (effect.now.state, effect.now.since_us, effect.now.stopped_since_us) == (state, since, stopped)
        sentence = told(effect, str, str)
        assert not (sentence.stopped_by_it and stopped is None)
        assert sentence.undoable == (effect.report.state == "provisional")
        if sentence.over:
            assert sentence.lines[0] == ("The document can be used again." if stopped is None else sentence.lines[0])
            assert ("still stopped" in sentence.lines[0]) == (stopped is not None)
        if sentence.stopped_by_it:
            assert effect.before.stopped_since_us is None
            assert str(stopped) in sentence.title


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(acts=st.lists(ACTS, max_size=7))
def test_every_surface_says_the_same_state_since_the_same_time(make_desk: Any, acts: list[str]) -> None:
    """Random lives: holder, officer, program, command line, data and report pages never disagree with the log."""
    desk = make_desk()
    for what in acts:
        desk.do(what)
    held(desk)


@pytest.fixture
def make_desk(make_database: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Give a function that makes a fresh desk."""

    def make() -> Desk:
        from annul.home import Home

        return Desk(make_database(), Home(tmp_path_factory.mktemp("desk")))

    return make


@pytest.fixture
def desk(make_desk: Any) -> Desk:
    """One fresh desk."""
    made: Desk = make_desk()
    return made


def test_a_dispute_a_search_and_a_second_report_leave_since_alone(desk: Desk) -> None:
    """The time liability hangs on is that of the first report, whatever is entered afterwards."""
    desk.do("strong")
    _, since, _ = desk.replayed()
    for what in ("dispute", "note", "strong", "undispute"):
        desk.do(what)
    (own,) = desk.run(desk.citizens.documents(desk.person))
    assert (own.state, own.since_us) == ("reported_lost", since)
    held(desk)


def test_one_of_two_reports_undone_is_told_so(desk: Desk) -> None:
    """The card stays stopped since the first report, and the page of the undone one names the other."""
    desk.do("weak")
    desk.do("weak")
    first, second = desk.reports
    _, since, stopped = desk.replayed()
    effect = desk.run(desk.register.effect(second, "live"))
    sentence = told(effect, str, str)
    assert sentence.title == f"It was stopped already, since {stopped}"
    assert sentence.lines == ["Your report is recorded as well."]
    desk.run(desk.register.withdraw(POLICE, second, proof=Proof.in_person))
    sentence = told(desk.run(desk.register.effect(second, "live")), str, str)
    assert sentence.lines[0] == f"The document is still stopped, since {since}: Stopped for now."
    assert "Another report stands" in sentence.lines[1]
    desk.run(desk.register.withdraw(POLICE, first, proof=Proof.in_person))
    assert told(desk.run(desk.register.effect(first, "live")), str, str).lines == ["The document can be used again."]


def test_a_report_on_a_dead_card_changes_nothing_and_says_since_when(desk: Desk) -> None:
    """Cancelled at noon and reported at one: it was stopped since noon."""
    desk.do("cancel")
    _, since, _ = desk.replayed()
    recorded = desk.run(
        desk.register.report(Act(PUBLIC), Known(desk.document), "lost", happened_at_us=desk.clock(), proof=Proof.online)
    )
    assert recorded.stopped_since_us == since
    sentence = told(desk.run(desk.register.effect(recorded.id, "live")), str, str)
    assert sentence.title == f"It was stopped already, since {since}"
    assert not sentence.stopped_by_it


def test_a_card_past_its_last_day_is_expired_since_the_day_after(desk: Desk) -> None:
    """Nobody entered it: the state began with the first second after the last day of validity."""
    (row,) = desk.rows("SELECT valid_until_day FROM document")
    end = (row[0] + 1) * 24 * HOUR_US
    desk.clock.us = end + HOUR_US
    (own,) = desk.run(desk.citizens.documents(desk.person))
    assert (own.state, own.since_us) == ("expired", end)
