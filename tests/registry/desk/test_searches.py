"""Searches: never without a case, on record before the answer, shown to the holder, and open to their officer alone."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from annul.errors import AnnulError, BadInput, Forbidden, NotFound
from annul.records.document import DocumentFields
from annul.records.entry import EntryKind
from annul.records.person import CivilEvent
from annul.records.status import Proof
from annul.registry.desk.searches import DELAY_MAX_US, OPEN_US, ByDocument, ByName, ByNumber, Question, Searches
from annul.registry.loops.rotation import rotate
from annul.registry.writing.act import Act
from annul.registry.writing.ground import Ground
from annul.registry.writing.store import Fresh
from tests.registry.people.town import BORN, LI, REGISTRAR, WANG, Town, person
from tests.registry.world import DAY_US, ISSUER, POLICE, START_US, card, passport
from tests.world import said

OFFICER = Act("police-1/0417")
OTHER = Act("police-1/0418")
CASE = "K-2026-117"


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine."""
    return asyncio.run(work)


@pytest.fixture
def town(database: str, tmp_path: Path) -> Iterator[Town]:
    """Wang with two cards and a passport, Li without a record of documents."""
    made = Town(database, tmp_path)
    booklet = DocumentFields(scheme="icao-9303", issuer="UTO", kind="P", number="L898902C3")
    run(made.people.add(REGISTRAR, person(latin="WANG XIAOMING", documents=[booklet]), happened_at_us=START_US))
    run(made.people.add(REGISTRAR, person(LI, "李雷", birth_date="1980-01-01"), happened_at_us=START_US))
    run(made.register.issue(ISSUER, card("2006-10-06", "2016-10-06"), happened_at_us=START_US))
    run(made.register.issue(ISSUER, card(), happened_at_us=START_US))
    run(made.register.issue(ISSUER, passport(), happened_at_us=START_US, person_number=WANG))
    yield made
    made.close()


@pytest.fixture
def searches(town: Town) -> Searches:
    """Searches in the town."""
    return Searches(town.ground, town.vault)


def look(searches: Searches, question: Question, act: Act = OFFICER, **more: Any) -> str:
    """Search for the usual case."""
    return run(searches.look(act, question, **({"case": CASE, "purpose": "report"} | more)))


QUESTIONS: list[Question] = [
    ByNumber(WANG),
    ByDocument(DocumentFields(scheme="cn-resident", number=WANG)),
    ByDocument(DocumentFields(scheme="cn-resident", number=WANG, valid_from="2016-10-06", valid_until="2036-10-06")),
    ByDocument(DocumentFields(scheme="icao-9303", issuer="UTO", kind="P", number="L898902C3")),
    ByName("王小明", BORN),
    ByName("Wang Xiaoming", BORN),
]


@pytest.mark.parametrize("question", QUESTIONS)
def test_any_way_in_shows_the_holder_with_all_documents(town: Town, searches: Searches, question: Question) -> None:
    """By number, card, passport or name: the person, both cards and the passport, with numbers as printed."""
    shown = run(searches.view(OFFICER, look(searches, question)))
    assert [found.person.personal_number for found in shown.persons] == [WANG]
    told = sorted((each.coverage, each.state, each.number) for each in shown.documents)
    assert told == [
        ("cn-resident", "current", WANG),
        ("cn-resident", "superseded", WANG),
        ("icao-9303/UTO/P", "current", "L898902C3"),
    ]
    assert all(each.since_us and each.person == shown.persons[0].place for each in shown.documents)
    assert shown.unknown is None


def test_the_typed_document_is_marked(town: Town, searches: Searches) -> None:
    """The one that was typed is told apart from the holder's others; without its date, none of one number is."""
    one = run(searches.view(OFFICER, look(searches, QUESTIONS[2])))
    assert [each.valid_until_day for each in one.documents if each.asked] == [24385]
    number = run(searches.view(OFFICER, look(searches, QUESTIONS[1])))
    assert [each.coverage for each in number.documents if each.asked] == ["cn-resident", "cn-resident"]


@pytest.mark.parametrize("case", ["", "   ", "x" * 65, "a\nb"])
def test_a_search_without_a_case_is_refused(town: Town, searches: Searches, case: str) -> None:
    """Nothing is searched, nothing is recorded."""
    with pytest.raises(BadInput) as refused:
        look(searches, ByNumber(WANG), case=case)
    assert refused.value.where == "case"
    with psycopg.connect(town.conninfo) as db:
        assert db.execute("SELECT count(*) FROM search").fetchone() == (0,)


def test_every_search_is_in_the_log_and_in_the_holders_account(town: Town, searches: Searches) -> None:
    """One entry for each person shown, with officer and case; the holder sees office, time, case, purpose."""
    look(searches, ByNumber(WANG))
    with psycopg.connect(town.conninfo) as db:
        entries = said(db)
        kept = db.execute("SELECT person_id, document_id, position FROM search_subject ORDER BY place").fetchall()
    entry = entries[-1]
    assert (entry.kind, entry.author, entry.evidence) == (EntryKind.note, OFFICER.author, CASE)
    assert {line[2] for line in kept} == {len(entries)}
    person_id = next(line[0] for line in kept if line[0])
    documents = [line[1] for line in kept if line[1]]
    for who in ((person_id, []), (None, documents[:1])):
        (seen,) = run(searches.seen_by_holder(*who, town.clock.us))
        assert (seen.party, seen.case, seen.purpose, seen.kind) == ("police-1", CASE, "report", "number")
    assert run(searches.seen_by_holder(None, [], town.clock.us)) == []


def test_a_search_that_finds_nothing_is_on_record_too(town: Town, searches: Searches) -> None:
    """Looking for somebody who is not there is a search."""
    search = look(searches, ByNumber("UTO000000000001"))
    assert run(searches.view(OFFICER, search)).persons == []
    assert [line.found for line in run(searches.of_party("police-1", "live"))] == [0]


def test_a_lawful_delay_ends(town: Town, searches: Searches) -> None:
    """Police may keep a search from its holder until a day, with a ground; then it is shown."""
    until = town.clock.us + 10 * DAY_US
    look(searches, ByNumber(WANG), delayed_until_us=until, delay_ground="ongoing_investigation", police=True)
    assert run(searches.seen_by_holder(1, [], town.clock.us)) == []
    (seen,) = run(searches.seen_by_holder(1, [], until))
    assert seen.delayed_until_us == until


DELAYS: list[tuple[dict[str, Any], type[AnnulError]]] = [
    ({"delay_ground": "court_order"}, Forbidden),
    ({"police": True}, BadInput),
    ({"police": True, "delay_ground": "court_order", "delayed_until_us": START_US + DELAY_MAX_US + DAY_US}, BadInput),
    ({"police": True, "delay_ground": "court_order", "delayed_until_us": START_US - DAY_US}, BadInput),
]


@pytest.mark.parametrize(("more", "error"), DELAYS)
def test_a_delay_that_is_not_lawful_is_refused(
    town: Town, searches: Searches, more: dict[str, Any], error: type[AnnulError]
) -> None:
    """By others than police, without a ground, too long, or over already."""
    with pytest.raises(error):
        look(searches, ByNumber(WANG), **({"delayed_until_us": town.clock.us + DAY_US} | more))


def test_a_result_opens_for_its_officer_alone(town: Town, searches: Searches) -> None:
    """Another officer, another realm, a made-up id, the next day: there is no such search."""
    search = look(searches, ByNumber(WANG))
    run(searches.view(OFFICER, search))
    for act, name in ((OTHER, search), (Act(OFFICER.author, "test"), search), (OFFICER, "s_" + "0" * 24)):
        with pytest.raises(NotFound):
            run(searches.view(act, name))
        with pytest.raises(NotFound):
            run(searches.chosen(act, name, 2))
    town.clock.us += OPEN_US
    with pytest.raises(NotFound):
        run(searches.view(OFFICER, search))


def test_a_chosen_document_can_be_acted_on(town: Town, searches: Searches) -> None:
    """The report hits the document that was chosen and no other; its timeline tells it."""
    search = look(searches, ByName("王小明", BORN))
    shown = run(searches.view(OFFICER, search))
    chosen = next(each for each in shown.documents if each.kind == "P")
    document = run(searches.chosen(OFFICER, search, chosen.place))
    run(town.register.report(POLICE, document, "stolen", happened_at_us=START_US, proof=Proof.in_person, evidence=CASE))
    states = {each.coverage + each.state for each in run(searches.view(OFFICER, search)).documents}
    assert states == {"cn-residentcurrent", "cn-residentsuperseded", "icao-9303/UTO/Preported_stolen"}
    assert [line.event for line in run(searches.timeline(OFFICER, document))] == ["issue", "report_stolen"]
    assert [line.state for line in run(searches.reports(OFFICER, document))] == ["in_force"]
    person_place = shown.persons[0].place
    with pytest.raises(NotFound):
        run(searches.chosen(OFFICER, search, person_place))


def test_a_document_nobody_knows_is_kept_for_a_report(town: Town, searches: Searches) -> None:
    """What was typed comes back to be reported; in the database it is not readable."""
    fields = DocumentFields(scheme="ru-internal", series="4509", number="123456")
    shown = run(searches.view(OFFICER, look(searches, ByDocument(fields))))
    assert (shown.documents, shown.unknown) == ([], fields)
    with psycopg.connect(town.conninfo) as db:
        stored = b"".join(bytes(row[0]) for row in db.execute("SELECT ciphertext FROM sealed_detail"))
    assert b"123456" not in stored


def test_names_follow_the_register(town: Town, searches: Searches) -> None:
    """A new name is found, the former one still; an erased person is not; key rotation changes nothing."""
    run(town.people.rename(REGISTRAR, LI, "李娜", happened_at_us=START_US, event=CivilEvent.marriage))
    for name in ("李娜", "李雷"):
        assert len(run(searches.view(OFFICER, look(searches, ByName(name, "1980-01-01")))).persons) == 1
    assert run(searches.view(OFFICER, look(searches, ByName("李娜", "1981-01-01")))).persons == []
    town.close()
    keys = rotate(town.conninfo, town.home, town.clock)
    fresh = Searches(Ground(Fresh(town.conninfo), keys, town.home, town.clock), town.vault)
    (found,) = run(fresh.view(OFFICER, look(fresh, ByName("李娜", "1980-01-01")))).persons
    assert found.person.personal_number == LI


def test_an_erased_person_is_not_found_by_name(town: Town, searches: Searches) -> None:
    """Erasing takes the tags of the name away."""
    (found,) = run(searches.view(OFFICER, look(searches, ByName("李雷", "1980-01-01")))).persons
    run(town.people.erase(REGISTRAR, found.id, evidence="decision 7"))
    assert run(searches.view(OFFICER, look(searches, ByName("李雷", "1980-01-01")))).persons == []
    with psycopg.connect(town.conninfo) as db:
        assert db.execute("SELECT count(*) FROM person_search WHERE person_id = %s", (found.id,)).fetchone() == (0,)


def test_a_name_needs_the_date_of_birth(town: Town, searches: Searches) -> None:
    """A name alone would let an officer leaf through the population."""
    for born in ("", "1949", "31.12.1949 "):
        with pytest.raises(BadInput):
            look(searches, ByName("王小明", born))
