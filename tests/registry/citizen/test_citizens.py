"""What a person sees of the own documents, and what is held back until when."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from annul.errors import Conflict, Forbidden, NotFound
from annul.records.document import DocumentFields
from annul.records.status import Event, Proof
from annul.registry.citizen.citizens import Citizens
from annul.registry.desk.recalls import Recalls
from annul.registry.desk.searches import ByDocument, Searches
from annul.registry.notices import hold
from annul.registry.notices.sources import HOLDER
from annul.registry.writing.act import Act, Idempotency
from tests.registry.notices.street import MAIL, PHONE, Street
from tests.registry.people.town import LI, REGISTRAR, WANG, person
from tests.registry.world import DAY_US, ISSUER, POLICE, STRONG, card, passport

ISSUER_URL, HOLDS = "https://idp.test", Act(HOLDER)


class Hall(Street):
    """A street whose people ask about themselves."""

    def __init__(self, conninfo: str, home: Path) -> None:
        super().__init__(conninfo, home)
        self.citizens = Citizens(self.ground, self.register, self.people, self.vault)
        self.person: int = self.rows("SELECT id FROM person_record")[0][0]
        self.document: int = self.rows("SELECT id FROM document")[0][0]

    def lost(self) -> None:
        """Report the card lost at a desk."""
        self.run(self.register.report(POLICE, card(), "lost", happened_at_us=self.clock(), proof=STRONG))


@pytest.fixture
def hall(database: str, memory_folder: Path, tmp_path: Path) -> Hall:
    """A holder with a card."""
    return Hall(database, tmp_path)


def test_documents_are_told_with_what_may_be_done(hall: Hall) -> None:
    """A card in force may be reported and locked; a dead one may only be disputed; its number is not told whole."""
    (own,) = hall.run(hall.citizens.documents(hall.person))
    assert (own.state, own.may, own.ends_with) == ("current", ["report", "lock"], "002X")
    hall.lost()
    (own,) = hall.run(hall.citizens.documents(hall.person))
    assert (own.state, own.may) == ("reported_lost", ["dispute"])


def test_a_passport_issued_to_the_person_is_among_them(hall: Hall) -> None:
    """All kinds of documents of one person, those that count first."""
    hall.run(hall.register.issue(ISSUER, passport(), happened_at_us=hall.clock(), person_number=WANG))
    hall.lost()
    assert [own.kind for own in hall.run(hall.citizens.documents(hall.person))] == ["P", "resident"]


def test_a_strong_login_reports_for_good_and_a_weak_one_suspends(hall: Hall) -> None:
    """Graded proof, graded effect (rule 5), also from home."""
    happened = hall.clock()
    weak = hall.run(
        hall.citizens.report(HOLDS, hall.person, hall.document, "lost", happened_at_us=happened, proof=Proof.online)
    )
    assert weak.state == "suspended"
    strong = hall.run(hall.citizens.confirm(HOLDS, hall.person, hall.document, proof=Proof.online_strong))
    assert strong.state == "reported_lost"


def test_checks_are_shown_with_their_lawful_delay(hall: Hall) -> None:
    """A bank's check at once, by organisation and purpose; one of a party for law enforcement after thirty days."""
    hall.ask()
    hall.ask(purpose="medical")
    assert [seen.purpose for seen in hall.run(hall.citizens.checks(hall.person))] == ["medical", "account-opening"]
    hall.rows("UPDATE check_index SET purpose = 11 WHERE purpose = 9")
    assert [seen.purpose for seen in hall.run(hall.citizens.checks(hall.person))] == ["account-opening"]
    hall.clock.us += 31 * DAY_US
    held, open_ = hall.run(hall.citizens.checks(hall.person))
    assert held.held_until_us == held.checked_at_us + 30 * DAY_US < hall.clock()
    assert open_.held_until_us is None


def test_a_hold_hides_refused_checks_and_attempts_until_its_end(hall: Hall) -> None:
    """While a case is open neither list shows the try; afterwards both do."""
    hall.lost()
    end = hall.clock() + 5 * DAY_US
    hall.on_db(partial(hold, document_id=hall.document, case="case 1", author="police-1", until_us=end, now_us=hall.clock()))
    hall.ask()
    hall.turn()
    assert hall.run(hall.citizens.checks(hall.person)) == []
    assert hall.run(hall.citizens.attempts(hall.person)) == []
    hall.clock.us = end
    assert len(hall.run(hall.citizens.checks(hall.person))) == 1
    assert len(hall.run(hall.citizens.attempts(hall.person))) == 1


def test_the_same_hold_asked_for_twice_is_one(hall: Hall) -> None:
    """A double click, a second tab, an answer that got lost: one hold and one entry; released twice under one key is once."""
    until_us = hall.clock() + 5 * DAY_US
    police, other = Act("police-1/0417"), Act("police-2")

    def key(name: str) -> Act:
        return Act("police-1/0417", idempotency=Idempotency.of("police-1/0417", name, b"/hold", b"{}"))

    ask = partial(hall.citizens.hold, document=card(), case="case 1", until_us=until_us)
    held = hall.run(ask(key("a")))
    assert [hall.run(ask(act)) for act in (key("a"), police, key("b"))] == [held] * 3
    hall.clock.us += 1_000_000
    assert hall.run(hall.citizens.hold(key("a"), card(), case="case 1", until_us=until_us + 1)) == held
    assert hall.run(ask(other)) != held
    assert hall.rows("SELECT count(*) FROM notice_hold") == [(2,)]
    assert [hall.run(hall.citizens.release(key("c"), held)) for _ in range(2)] == [0, 0]
    with pytest.raises(NotFound):
        hall.run(hall.citizens.release(police, held))
    assert hall.run(ask(police)) != held


def test_not_me_reaches_party_and_police_once(hall: Hall) -> None:
    """Said twice it is one notice and one entry; it cannot be taken back here."""
    hall.lost()
    hall.ask()
    hall.turn()
    (attempt,) = hall.run(hall.citizens.attempts(hall.person))
    for _ in range(2):
        assert hall.run(hall.citizens.say(HOLDS, hall.person, attempt.id, "not_me")).said == "not_me"
    assert hall.rows("SELECT count(*) FROM notice WHERE kind = 'attempt_not_mine' AND party = 'bank'") == [(1,)]
    assert [one["id"] for one in hall.run(hall.citizens.denied())] == [attempt.id]
    with pytest.raises(Conflict):
        hall.run(hall.citizens.say(HOLDS, hall.person, attempt.id, "me"))


def test_uses_between_the_loss_and_its_report_are_shown_to_the_holder_and_can_be_denied(hall: Hall) -> None:
    """They were not refused: the holder is told once for each organisation and hour, and says whether it was her."""
    lost_at = hall.clock.us = hall.clock.us + 1_000_000
    hall.clock.us += 1_000_000
    hall.ask(times=2)
    hall.clock.us += 1_000_000
    hall.run(hall.register.report(POLICE, card(), "stolen", happened_at_us=lost_at, proof=STRONG))
    hall.ask()
    recalls = Recalls(hall.ground)
    for _ in range(2):
        hall.run(recalls.step())
    hall.turn()
    seen = hall.run(hall.citizens.attempts(hall.person))
    assert sorted(one.refused for one in seen) == [False, False, True]
    (letter,) = [sent for sent in hall.mail.sent if "used before it was reported" in sent[2]]
    assert "It was not refused" in letter[3]
    early = next(one for one in seen if not one.refused)
    hall.run(hall.citizens.say(HOLDS, hall.person, early.id, "not_me"))
    (denied,) = hall.run(hall.citizens.denied())
    assert denied["accepted"] is True


def test_somebody_else_is_not_there(hall: Hall) -> None:
    """Documents and attempts of others answer as if they did not exist."""
    other = hall.run(
        hall.people.add(REGISTRAR, person(LI, "李雷", birth_date="1980-01-01"), happened_at_us=hall.clock())
    ).person
    hall.lost()
    hall.ask()
    hall.turn()
    (attempt,) = hall.run(hall.citizens.attempts(hall.person))
    assert hall.run(hall.citizens.documents(other)) == []
    with pytest.raises(NotFound):
        hall.run(hall.citizens.say(HOLDS, other, attempt.id, "me"))
    with pytest.raises(NotFound):
        hall.run(hall.citizens.lock(HOLDS, other, hall.document, proof=Proof.online_strong, locked=True))


def test_a_login_finds_its_person_and_stays_with_it(hall: Hall) -> None:
    """By the number first, then as the subject; the same subject with another number is refused; an unknown one is told so."""
    assert hall.run(hall.citizens.log_in(ISSUER_URL, "s1", WANG)) == hall.person
    assert hall.run(hall.citizens.log_in(ISSUER_URL, "s1", "")) == hall.person
    hall.run(hall.people.add(REGISTRAR, person(LI, "李雷", birth_date="1980-01-01"), happened_at_us=hall.clock()))
    with pytest.raises(Forbidden):
        hall.run(hall.citizens.log_in(ISSUER_URL, "s1", LI))
    with pytest.raises(NotFound):
        hall.run(hall.citizens.log_in(ISSUER_URL, "s2", ""))
    with pytest.raises(NotFound):
        hall.run(hall.citizens.log_in("https://other.test", "s1", ""))


def test_everything_held_is_told_and_names_no_other(hall: Hall) -> None:
    """The download has the entry, the history, checks and notices."""
    hall.run(hall.register.change(ISSUER, card(), Event.compromise, happened_at_us=hall.clock()))
    hall.ask()
    hall.turn()
    held = hall.run(hall.citizens.everything(hall.person))
    assert held["person"]["personal_number"] == WANG
    assert [line["event"] for line in held["documents"][0]["history"]] == ["issue", "compromise"]
    assert len(held["checks"]) == 1
    assert "compromised" in [line["kind"] for line in held["notices"]]


HELD = {
    "abuse_alarm": "of people at work, decided by a person",
    "abuse_cursor": "no persons",
    "answers_by_day": "counts without keys",
    "api_key": "of parties",
    "asked": "of parties",
    "attempt": "attempts",
    "blinded_change": "blinded, of nobody known",
    "blinded_cursor": "no persons",
    "blinding": "no persons",
    "bulk": "lists, no persons",
    "business_event": "of parties, keyed for one",
    "case_evidence": "digests alone",
    "case_step": "told by notices of the case",
    "check_cursor": "no persons",
    "check_index": "checks",
    "checks_by_day": "counts without keys",
    "checks_by_minute": "counts without keys",
    "citizen_language": "language",
    "citizen_subject": "logins",
    "civil_event": "past",
    "conduct_count": "counts alone",
    "conduct_cursor": "no persons",
    "conduct_duty": "of parties",
    "conduct_run": "no persons",
    "conduct_staged": "of parties, keyed for one",
    "conduct_verdict": "of parties",
    "consent": "consents",
    "correction": "the history of the document says it",
    "counter_policy": "of parties",
    "coverage": "no persons",
    "credential": "of issuers, by document",
    "credential_cursor": "no persons",
    "credential_made": "of parties and officers",
    "credential_told": "no persons",
    "custody": "custody",
    "delivery": "deliveries",
    "departure": "departures",
    "dispute": "disputes",
    "dispute_note": "hearings of others; opened at a desk",
    "document": "documents",
    "edge": "of parties",
    "enrolment": "traits",
    "entry_reference": "references beside the log, of officers' files",
    "face_vector": "traits",
    "figure": "counts alone",
    "finding": "of parties",
    "found_card": "found_cards",
    "hand_in_point": "no persons",
    "idempotency": "answers, for some days",
    "impostor": "told by notices of the case",
    "impostor_use": "asked for by the person through the office of the case",
    "kept_form": "sealed, given back to its writer alone",
    "log_head": "no persons",
    "misuse": "told when a case is opened",
    "misuse_case": "told by notices, and heard by who investigates",
    "notice": "notices",
    "notice_cursor": "no persons",
    "notice_hold": "holds",
    "officer": "of parties",
    "passkey": "of officers",
    "passkey_challenge": "of officers",
    "pending_death": "deaths",
    "person": "past",
    "person_import": "lists, no persons",
    "person_record": "person",
    "person_search": "keyed tags of what person tells",
    "person_search_cursor": "no persons",
    "person_version": "former",
    "policy_change": "of parties",
    "principal": "of parties",
    "pulse": "counts alone",
    "recall": "recalls",
    "recall_check": "recalls",
    "recall_cursor": "no persons",
    "register_log": "documents",
    "report": "reports",
    "report_draft": "sealed under a key in its writer's browser",
    "review_decision": "clean_up",
    "review_run": "no persons",
    "sealed_detail": "disputes",
    "search": "searches",
    "search_subject": "searches",
    "session": "sessions",
    "status_list": "no persons",
    "subscription": "of parties, blinded",
    "subscription_event": "of parties, blinded",
    "suspicion": "names others as well; what was decided is told",
    "tally": "keyed, of nobody known",
    "unlock": "documents",
    "urgent_need": "urgent_needs",
    "used_assertion": "of parties",
    "verifier": "no persons",
    "victim_pass": "made at the person's wish, who holds it",
    "webhook": "of parties",
}
"""Every table -> the part of the download that tells it, or why none does."""


def test_every_table_is_in_the_download_or_left_out_for_a_reason(hall: Hall) -> None:
    """A new table fails here until somebody decides; every part that is named is there."""
    tables = hall.rows(
        "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition "
        "AND relnamespace = 'public'::regnamespace AND relname <> 'alembic_version'"
    )
    assert {name for (name,) in tables} == set(HELD)
    held = hall.run(hall.citizens.everything(hall.person))
    parts = {part for part in HELD.values() if " " not in part}
    assert {*parts, "made_at"} == set(held)


def test_the_download_tells_what_happened_whole(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    """More checks than a page shows, reports, what the entry said before, messages sent, a search once its delay is over."""
    monkeypatch.setattr("annul.registry.citizen.citizens.CHECKS_MAX", 3)
    monkeypatch.setattr("annul.registry.citizen.citizens.ATTEMPTS_MAX", 1)
    hall.ask(times=5)
    hall.lost()
    hall.ask(times=2)
    hall.run(hall.people.set_contacts(REGISTRAR, WANG, [], proof=Proof.in_person, happened_at_us=hall.clock()))
    hall.turn()
    searches = Searches(hall.ground, hall.vault)
    until_us = hall.clock() + 2 * DAY_US
    typed = DocumentFields(scheme="cn-resident", number=WANG, valid_from="2016-10-06", valid_until="2036-10-06")
    delay: dict[str, Any] = {"delayed_until_us": until_us, "delay_ground": "ongoing_investigation", "police": True}
    hall.run(searches.look(Act("police/0417"), ByDocument(typed), case="C-1", purpose="investigation", **delay))
    held = hall.run(hall.citizens.everything(hall.person))
    assert (len(held["checks"]), len(hall.run(hall.citizens.checks(hall.person)))) == (7, 3)
    assert (len(held["attempts"]), len(hall.run(hall.citizens.attempts(hall.person)))) == (2, 1)
    assert [one["event"] for one in held["reports"]] == ["report_lost"]
    assert [one["value"] for one in held["former"][-1]["contacts"]] == [MAIL, PHONE]
    assert {one["channel"] for one in held["deliveries"]} == {"email", "sms"}
    assert held["searches"] == []
    assert "note" not in [line["event"] for line in held["documents"][0]["history"]]
    hall.clock.us = until_us + 1
    (search,) = hall.run(hall.citizens.everything(hall.person))["searches"]
    assert search["case_reference"] == "C-1"
