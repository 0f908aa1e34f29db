"""Decisions: who may, what they change, that two officers are two, and that everything can be taken back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from annul.errors import BadInput, Conflict, Forbidden, NotFound
from annul.records.document import person_block
from annul.records.status import State, state_of
from annul.registry.review.corrections import Correction
from annul.registry.review.queue import Decision
from annul.registry.review.views import Suspicion
from annul.registry.writing.act import Act, Idempotency
from tests.registry.people.town import REGISTRAR, SECOND
from tests.registry.review.clinic import Clinic, number

CHILD = number("110105", "19800101", 1)
OTHER = number("440106", "19800101", 5)
M, F = number("110105", "19550501", 2), number("110105", "19530303", 1)
PARENTS = {"mother": M, "father": F}


def doubled(clinic: Clinic) -> tuple[list[int], Suspicion]:
    """Register one person twice, with a card on each number, and suspect it."""
    town = [number("110105", f"19{50 + at % 40}0{1 + at % 9}1{at % 9}", 2 * at + 11) for at in range(300)]
    ids = clinic.enter(
        clinic.one(CHILD, "张伟", latin="Zhang Wei", **PARENTS),
        clinic.one(OTHER, "張偉", former=("张小伟",), **PARENTS),
        *(clinic.one(each, "赵" + chr(0x5C71 + at)) for at, each in enumerate(town)),
    )[:2]
    clinic.issue(CHILD)
    clinic.issue(OTHER)
    clinic.run()
    (found,) = clinic.open(cause="duplicate")
    return ids, found


def wrong(clinic: Clinic, **more: Any) -> tuple[int, Suspicion]:
    """Register somebody whose sex contradicts the number, and suspect it."""
    (person,) = clinic.enter(clinic.one(CHILD, "王明", sex="F", **more))
    clinic.run()
    (found,) = clinic.open()
    return person, found


def state_of_card(clinic: Clinic, of: str) -> str:
    """Return the state of the number's card."""
    with clinic.connect() as db:
        key = clinic.keys.documents("live").blind(person_block(of))
        ((standing,),) = db.execute("SELECT standing FROM document WHERE person_key = %s", (key,)).fetchall()
    return state_of(standing).name


def test_the_officer_sees_evidence_in_words_and_the_look_is_accounted_for(clinic: Clinic) -> None:
    """What contradicts, by which fields, side by side; a note entry names the case before anything is shown."""
    _, found = wrong(clinic)
    with clinic.connect() as db:
        before = db.execute("SELECT count(*) FROM register_log").fetchone()
        looked = clinic.look(found.id)
        assert db.execute("SELECT count(*) FROM register_log").fetchone() == (before[0] + 1,)
    (evidence,) = looked.evidence
    assert (evidence.says, evidence.fields) == ("The number and the record give different sexes.", ["personal_number", "sex"])
    assert [(told.label, told.value) for told in evidence.told] == [("Sex by the number", "M"), ("Sex by the record", "F")]
    with pytest.raises(BadInput):
        asyncio.run(clinic.review.view(REGISTRAR, found.id, case=""))


def test_a_correction_is_an_entry_and_is_taken_back(clinic: Clinic) -> None:
    """One officer corrects what cancels nothing; the record says so, its past too; undone, it says what it said."""
    person, found = wrong(clinic)
    clinic.issue(CHILD)
    done = clinic.decide(found.id, Decision.correct_entry, correction=Correction(sex="M"))
    assert (done.state, done.documents, clinic.find(CHILD)[0].sex) == ("in_force", 0, "M")
    assert (clinic.events(person), clinic.open()) == (["correction"], [])
    assert state_of_card(clinic, CHILD) == "current"
    assert clinic.run().suspicions == 0
    clinic.undo(done)
    assert (clinic.find(CHILD)[0].sex, clinic.events(person)) == ("F", ["correction", "revert"])
    assert [each.id for each in clinic.open()] == [found.id]
    with pytest.raises(Conflict, match="not in force"):
        clinic.undo(done)


def test_a_merge_needs_two_officers_ends_the_second_number_and_comes_back(clinic: Clinic) -> None:
    """The kept record has all names; the other number is nobody's, its card cancelled; undone, both count, no card revives."""
    (kept, gone), found = doubled(clinic)
    clinic.follow()
    assert clinic.asked(OTHER, "张伟") == "M1"
    proposed = clinic.decide(found.id, Decision.same_person, person=kept)
    assert (proposed.state, len(clinic.find(OTHER))) == ("waiting", 1)
    one_key = Act("registry-2", credential=REGISTRAR.credential)
    for same in (REGISTRAR, Act(f"{REGISTRAR.author}/P-1", credential="key-7"), Act("registry-2"), one_key):
        with pytest.raises(Forbidden, match="second officer"):
            asyncio.run(clinic.review.confirm(same, proposed.decision))
    done = clinic.confirm(proposed)
    assert (done.state, done.documents) == ("in_force", 1)
    assert [(name.text, name.kind) for name in clinic.find(CHILD)[0].names] == [
        ("张伟", "main"),
        ("Zhang Wei", "latin"),
        ("张小伟", "former"),
    ]
    with pytest.raises(NotFound):
        clinic.find(OTHER)
    assert (state_of_card(clinic, CHILD), state_of_card(clinic, OTHER)) == ("current", "cancelled")
    clinic.follow()
    assert (clinic.asked(CHILD, "张小伟"), clinic.asked(OTHER, "张伟")) == ("M1", "M3")
    assert (clinic.events(kept), clinic.events(gone)) == (["merged"], ["merged"])
    assert clinic.run().suspicions == 0
    clinic.undo(done)
    clinic.follow()
    assert (clinic.asked(CHILD, "张小伟"), clinic.asked(OTHER, "张伟")) == ("M2", "M1")
    assert len(clinic.find(OTHER)) == 1
    assert state_of_card(clinic, OTHER) == "cancelled"
    assert [each.id for each in clinic.open(cause="duplicate")] == [found.id]


def test_two_people_with_one_number_are_told_apart_and_no_card_is_killed(clinic: Clinic) -> None:
    """The corrected record gets its own number; nobody knows whose the card is, so it stays; the other is found again."""
    first, second = clinic.enter(clinic.one(CHILD, "王明"), clinic.one(CHILD, "李强"))
    clinic.issue(CHILD)
    clinic.run()
    (found,) = clinic.open()
    assert found.persons == [first, second]
    fresh = number("110105", "19800101", 33)
    proposed = clinic.decide(found.id, Decision.correct_entry, person=second, correction=Correction(personal_number=fresh))
    assert proposed.state == "waiting"
    assert clinic.confirm(proposed).documents == 0
    assert ([each.names[0].text for each in clinic.find(CHILD)], clinic.find(fresh)[0].names[0].text) == (["王明"], "李强")
    assert state_of_card(clinic, CHILD) == "current"
    assert clinic.run().suspicions == 0


def test_a_false_entry_is_cancelled_by_two_and_its_documents_are_revoked(clinic: Clinic) -> None:
    """A ghost without a civil event: out of force, out of the name check, its card revoked; undone, the entry counts again."""
    (ghost, *_) = clinic.enter(
        clinic.one(CHILD, "鬼影", origin=""), clinic.one(M, "李梅"), clinic.one(F, "王刚"), clinic.one(OTHER, "赵云")
    )
    clinic.issue(CHILD)
    clinic.run()
    (found,) = clinic.open(cause="false")
    done = clinic.confirm(clinic.decide(found.id, Decision.cancel_entry))
    assert done.documents == 1
    assert state_of_card(clinic, CHILD) == State.revoked.name
    clinic.follow()
    assert clinic.asked(CHILD, "鬼影") == "M3"
    assert clinic.events(ghost) == ["cancelled"]
    clinic.undo(done)
    clinic.follow()
    assert clinic.asked(CHILD, "鬼影") == "M1"


def test_documents_of_the_dead_are_cancelled_by_two(clinic: Clinic) -> None:
    """The death is on record, the card was in force: nothing is corrected but the card."""
    clinic.enter(clinic.one(F, "王刚", status="deceased", death_date="2019-01-01"))
    clinic.issue(F)
    clinic.run()
    (found,) = clinic.open(rule="dead-documents")
    done = clinic.confirm(clinic.decide(found.id, Decision.correct_entry, cancel_documents=True))
    assert (done.documents, state_of_card(clinic, F)) == (1, "cancelled")
    assert clinic.run().suspicions == 0


def test_facts_that_changed_stop_a_decision(clinic: Clinic) -> None:
    """What the first officer saw is no more: neither her decision nor the confirmation of an older one is carried out."""
    (kept, gone), found = doubled(clinic)
    proposed = clinic.decide(found.id, Decision.same_person, person=kept)
    asyncio.run(clinic.people.rename(REGISTRAR, OTHER, "李四", happened_at_us=clinic.clock()))
    with pytest.raises(Conflict, match="facts have changed"):
        clinic.confirm(proposed)
    assert clinic.events(gone) == ["name_change"]
    asyncio.run(clinic.review.refuse(SECOND, proposed.decision, grounds="changed"))
    with pytest.raises(Conflict, match="facts have changed"):
        clinic.decide(found.id, Decision.different_persons)


def test_a_visit_keeps_the_suspicion_and_a_later_decision_ends_it(clinic: Clinic) -> None:
    """A visit is asked for, then the entry turns out to be in order; neither changes the record."""
    person, found = wrong(clinic)
    assert clinic.decide(found.id, Decision.needs_visit).state == "in_force"
    assert [each.id for each in clinic.open(state="visit")] == [found.id]
    assert clinic.run().known == 1
    clinic.decide(found.id, Decision.in_order)
    assert (clinic.open(), clinic.events(person)) == ([], [])
    with pytest.raises(Conflict, match="decided"):
        clinic.decide(found.id, Decision.in_order)
    assert [each.decision for each in clinic.look(found.id).decisions] == ["needs_visit", "in_order"]


@pytest.mark.parametrize(
    ("decision", "more"),
    [
        (Decision.same_person, {}),
        (Decision.different_persons, {}),
        (Decision.correct_entry, {}),
        (Decision.in_order, {"correction": Correction(sex="M")}),
        (Decision.correct_entry, {"person": 999, "correction": Correction(sex="M")}),
        (Decision.correct_entry, {"correction": Correction(name="王\ufffd")}),
        (Decision.correct_entry, {"correction": Correction(birth_date="1980-02-30")}),
        (Decision.correct_entry, {"correction": Correction(name="王" * 201)}),
    ],
)
def test_a_decision_that_does_not_answer_changes_nothing(clinic: Clinic, decision: Decision, more: dict[str, Any]) -> None:
    """The wrong question, nothing to correct, another record, a text that is no name or date: refused, still open."""
    person, found = wrong(clinic)
    with pytest.raises(BadInput):
        clinic.decide(found.id, decision, **more)
    assert ([each.id for each in clinic.open()], clinic.events(person)) == ([found.id], [])


def test_one_key_decides_once(clinic: Clinic) -> None:
    """The same Idempotency-Key again gives the stored answer and makes no second decision."""
    _, found = wrong(clinic)
    act = Act(REGISTRAR.author, "live", Idempotency.of(REGISTRAR.author, "k-1", b"decide"))
    made = [asyncio.run(clinic.review.decide(act, found.id, Decision.in_order, grounds="seen")) for _ in range(2)]
    assert (made[0].decision == made[1].decision, made[1].replayed) == (True, True)
    assert len(clinic.look(found.id).decisions) == 1


def test_the_other_realm_sees_nothing(clinic: Clinic) -> None:
    """A suspicion of live data is not there for test data."""
    _, found = wrong(clinic)
    with pytest.raises(NotFound):
        asyncio.run(clinic.review.view(Act(REGISTRAR.author, "test"), found.id, case="c"))
    assert asyncio.run(clinic.review.queue(Act(REGISTRAR.author, "test"))).total == 0


def test_the_queue_is_filtered_and_paged(clinic: Clinic) -> None:
    """By cause, rule and region; the surest first; every suspicion once over the pages; figures count the same."""
    people = [
        clinic.one(number("110105", f"19800{1 + at % 9}01", at * 2 + 1), "王" + chr(0x5C71 + at), sex="F") for at in range(20)
    ]
    people += [
        clinic.one(number("440106", "19900101", at * 2 + 1), "李" + chr(0x5C71 + at), birth_date="1990-01-02")
        for at in range(5)
    ]
    clinic.enter(*people)
    clinic.run()
    assert (len(clinic.open()), len(clinic.open(region="44")), len(clinic.open(rule="birth-date"))) == (25, 5, 5)
    assert clinic.open(cause="false") == []
    seen: list[str] = []
    after = ""
    while True:
        page = asyncio.run(clinic.review.queue(REGISTRAR, after=after, limit=7))
        seen += [each.id for each in page.suspicions]
        after = page.after
        if not after:
            break
    assert len(seen) == len(set(seen)) == page.total == 25
    figures = asyncio.run(clinic.review.figures(REGISTRAR))
    assert figures.by_rule == {"sex": 20, "birth-date": 5}
    assert {(each.region, each.count) for each in figures.by_region} == {("11", 20), ("44", 5)}
    assert [each.state for each in figures.runs] == ["done"]
