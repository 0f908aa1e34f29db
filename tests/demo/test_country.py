"""The fictional country: the same from the same seed, unique, correct, and with lives the rules allow."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annul.demo import numbers
from annul.demo.country import (
    BATCH_PERSONS,
    EVENTS,
    LONG_TERM_DAY,
    PROOFS,
    YEAR_DAYS,
    Country,
    Happening,
    SchemeNo,
)
from annul.demo.interchange import COLUMNS, batch_columns
from annul.demo.lives import standings
from annul.demo.seeding import documents_of
from annul.records.document import DocumentFields, block, parse_document
from annul.records.status import State, next_status

TODAY = 20_780
COUNTRY = Country(7, TODAY)


def test_the_same_seed_and_day_give_the_same_documents() -> None:
    """Two draws agree in every column and event; another seed does not."""
    (one,), (two,), (other,) = (list(Country(seed, TODAY).documents(2_000)) for seed in (7, 7, 8))
    for name in ("scheme", "kind", "number", "valid_from_day", "valid_until_day", "holder"):
        assert (getattr(one, name) == getattr(two, name)).all()
    assert (one.events.recorded_us == two.events.recorded_us).all()
    assert (one.number != other.number).any()


@pytest.mark.parametrize("count", [1, 999, 1_000, 30_000])
def test_exactly_as_many_documents_as_asked_for(count: int) -> None:
    """The stream ends at the count, and the events of a cut batch belong to its documents."""
    batches = list(COUNTRY.documents(count))
    assert sum(len(batch) for batch in batches) == count
    assert all(len(batch.events) == 0 or batch.events.row.max() < len(batch) for batch in batches)


def test_every_document_is_read_by_its_scheme_as_what_it_is() -> None:
    """Numbers pass all check digits; parsing the fields gives the normal form the loader uses."""
    _, batch = COUNTRY.part(0, 1_500)
    for document, row in zip(documents_of(batch), zip(*batch_columns(batch, TODAY), strict=True), strict=True):
        fields = {name: value for name, value in zip(COLUMNS[:7], row, strict=False) if value}
        assert parse_document(DocumentFields(**fields), TODAY) == document


def test_no_two_documents_are_the_same_even_far_apart() -> None:
    """Identities of parts hundreds of thousands of persons apart never meet."""
    parts = [COUNTRY.part(part, 3_000)[1] for part in (0, 1, 90, 4_000)]
    blocks = [block(document) for batch in parts for document in documents_of(batch)]
    assert len(set(blocks)) == len(blocks)


def test_personal_numbers_are_unique_among_a_hundred_million() -> None:
    """Persons whose division and sequence collide by construction differ in their birth dates."""
    seen: set[bytes] = set()
    always, _ = numbers.divisions()
    period = len(always) * (numbers.ORDER_MAX // 2) * 2 // BATCH_PERSONS
    for turn in range(4):
        persons, _ = COUNTRY.part(turn * period, 2_000)
        found = persons.personal_number[persons.resident].tolist()
        assert not seen & set(found)
        seen |= set(found)


def test_lives_follow_the_table_of_transitions() -> None:
    """Replaying each life through records.status gives the standing that the arrays give, after every event."""
    _, batch = COUNTRY.part(1, 12_000)
    events = batch.events
    after, last = standings(events, len(batch))
    standing = dict.fromkeys(range(len(batch)), 0)
    facts = {Happening.confirm_lost: State.reported_lost, Happening.confirm_stolen: State.reported_stolen}
    custody = set()
    replaced = set()
    kinds = set()
    columns = zip(events.row.tolist(), events.what.tolist(), events.proof.tolist(), after.tolist(), strict=True)
    for row, what, proof, expected in columns:
        kinds.add(what)
        standing[row] = next_status(
            standing[row],
            EVENTS[what],
            proof=PROOFS[proof],
            fact=facts.get(Happening(what)),
            custody_broken=row in custody,
            replaced=row in replaced,
        )
        if what in (Happening.report_stolen, Happening.surrender):
            custody.add(row)
        if what == Happening.replace:
            replaced.add(row)
        assert standing[row] == expected, Happening(what).name
    assert [standing[row] for row in range(len(batch))] == last.tolist()
    assert kinds >= {
        Happening.issue,
        Happening.report_lost,
        Happening.report_stolen,
        Happening.replace,
        Happening.cancel_death,
        Happening.surrender,
        Happening.lift,
    }


def test_events_are_in_order_and_nothing_lies_in_the_future() -> None:
    """Each document's entries are in the order of recording; nothing happened after it was recorded, or after today."""
    for batch in COUNTRY.documents(40_000):
        events = batch.events
        same = events.row[1:] == events.row[:-1]
        assert (events.row[1:] >= events.row[:-1]).all()
        assert (events.recorded_us[1:][same] >= events.recorded_us[:-1][same]).all()
        assert (events.happened_us <= events.recorded_us).all()
        assert (events.recorded_us < TODAY * 86_400_000_000).all()


def test_losses_are_as_frequent_as_in_the_world() -> None:
    """About 0.3 % of documents a year are reported lost or stolen, one in five of them stolen."""
    documents = reports = stolen = 0
    for _, batch in COUNTRY.holders(60_000):
        kept = batch.scheme[batch.events.row] != SchemeNo.RU_INTERNAL
        what = batch.events.what[kept]
        documents += int((batch.scheme != SchemeNo.RU_INTERNAL).sum())
        stolen += int((what == Happening.report_stolen).sum())
        reports += int((what == Happening.report_lost).sum()) + int((what == Happening.report_stolen).sum())
    yearly = reports / documents / ((TODAY - COUNTRY.register_day) / YEAR_DAYS)
    assert 0.0018 < yearly < 0.0042
    assert 0.12 < stolen / reports < 0.3


def test_names_have_both_scripts() -> None:
    """Residents have names in Chinese and Latin script, citizens of UTO in Latin script."""
    persons, _ = COUNTRY.part(0, 500)
    for resident, (name, latin) in zip(persons.resident.tolist(), persons.names(), strict=True):
        assert latin.isascii()
        assert name.isascii() != resident


def test_a_personal_number_says_birth_date_and_sex() -> None:
    """Seventeenth digit odd for men; digits 7 to 14 the birth day; citizens of UTO have none."""
    persons, _ = COUNTRY.part(2, 3_000)
    columns = zip(persons.personal_number.tolist(), persons.birth_day.tolist(), persons.man.tolist(), strict=True)
    for (number, born, man), resident in zip(columns, persons.resident.tolist(), strict=True):
        assert bool(number) == resident
        if resident:
            assert int(number[6:14]) == int(numbers.day_digits(np.array([born]))[0])
            assert (number[16] - ord("0")) % 2 == man


def test_a_resident_card_is_valid_as_long_as_its_holders_age_allows() -> None:
    """5 years below 16, 10 from 16 to 25, 20 from 26 to 45, long-term after: the law of 2011 on resident identity cards."""
    persons, batch = COUNTRY.part(3, 6_000)
    cards = batch.scheme == SchemeNo.CN_RESIDENT
    born = persons.birth_day[batch.holder[cards] - persons.holder[0]]
    age = (batch.valid_from_day[cards] - born) / YEAR_DAYS
    years = np.select([age < 16, age < 26, age < 46], [5, 10, 20], 0)
    until = np.where(years > 0, numbers.add_years(batch.valid_from_day[cards], years), LONG_TERM_DAY)
    assert (batch.valid_until_day[cards] == until).all()
    assert {0, 5, 10, 20} == set(years.tolist())


def test_documents_belong_to_people_of_their_own_nation_and_are_issued_in_their_lives() -> None:
    """Resident cards to residents, the rest to citizens of UTO; nothing before birth, nothing from the day of death on."""
    persons, batch = COUNTRY.part(4, 6_000)
    held = batch.holder >= 0
    place = batch.holder[held] - persons.holder[0]
    assert (persons.resident[place] == (batch.scheme[held] == SchemeNo.CN_RESIDENT)).all()
    assert (batch.valid_from_day[held] > persons.birth_day[place]).all()
    assert (batch.valid_from_day[held] < persons.death_day[place]).all()
    assert (batch.valid_from_day[held] < TODAY).all()
    assert (batch.valid_from_day[~held] == -1).all()  # stolen blanks and the foreign list


def test_only_the_dead_have_documents_cancelled_by_death() -> None:
    """And every entry of a death happened on the holder's last day."""
    persons, batch = COUNTRY.part(5, 12_000)
    events = batch.events
    deaths = (events.what == Happening.cancel_death) & (batch.holder[events.row] >= 0)
    died = persons.death_day[batch.holder[events.row[deaths]] - persons.holder[0]]
    assert int(deaths.sum()) > 20
    assert (events.happened_us[deaths] // 86_400_000_000 == died).all()


def test_nobody_holds_two_documents_of_a_kind_in_force_at_once() -> None:
    """Recording the next supersedes the one before, unless that was reported, cancelled or expired by then."""
    _, batch = COUNTRY.part(6, 12_000)
    _, last = standings(batch.events, len(batch))
    quiet = (last == State.current.bit) & (batch.holder >= 0)
    valid = quiet & ((batch.valid_until_day >= TODAY) | (batch.valid_until_day == LONG_TERM_DAY))
    held = list(zip(batch.holder[valid].tolist(), batch.scheme[valid].tolist(), batch.kind[valid].tolist(), strict=True))
    assert len(set(held)) == len(held)


@pytest.mark.parametrize("count", [0, 1, 70])
def test_the_head_of_a_batch_has_its_own_events_only(count: int) -> None:
    """The first documents of a batch keep all of theirs, in order; nothing else comes along."""
    _, batch = COUNTRY.part(0, 100)
    head = batch.head(count)
    assert len(head) == count
    assert head.number.tolist() == batch.number[:count].tolist()
    kept = batch.events.row < count
    assert (len(head.events), head.events.row.tolist()) == (int(kept.sum()), batch.events.row[kept].tolist())


def test_a_larger_country_begins_as_a_smaller_one() -> None:
    """Whole parts do not depend on what follows: the first part of two parts is the part by itself."""
    (first, _), *more = list(COUNTRY.holders(BATCH_PERSONS + 10))
    alone, _ = COUNTRY.part(0)
    assert (first.personal_number == alone.personal_number).all()
    assert [len(persons) for persons, _ in more] == [10]


def test_another_day_is_another_country() -> None:
    """The register is a year and a half old whatever the day, and no event is older than it but what happened before."""
    for today in (20_000, TODAY):
        country = Country(7, today)
        assert today - country.register_day == round(1.5 * YEAR_DAYS)
        (batch,) = country.documents(3_000)
        assert (batch.events.recorded_us >= country.register_day * 86_400_000_000).all()


@settings(max_examples=50, deadline=None)
@given(st.integers(2, (1 << 31) - 1), st.integers(0, 0xFFFF), st.lists(st.integers(0, 1 << 40), min_size=2, max_size=50))
def test_spreading_is_a_bijection(modulus: int, salt: int, indices: list[int]) -> None:
    """Different indices below the modulus stay different, and stay below it."""
    places = np.unique(np.array(indices, np.int64) % modulus)
    spread = numbers.spread(places, modulus, salt)
    assert len(np.unique(spread)) == len(places)
    assert ((spread >= 0) & (spread < modulus)).all()


@settings(max_examples=50, deadline=None)
@given(st.integers(-20_000, 40_000), st.integers(1, 30))
def test_years_are_added_by_the_calendar(day: int, years: int) -> None:
    """The same day of the year, except that 29 February becomes 28 February."""
    import datetime

    start = datetime.date(1970, 1, 1) + datetime.timedelta(days=day)
    try:
        expected = start.replace(year=start.year + years)
    except ValueError:
        expected = datetime.date(start.year + years, 2, 28)
    moved = int(numbers.add_years(np.array([day]), np.array([years]))[0])
    assert datetime.date(1970, 1, 1) + datetime.timedelta(days=moved) == expected
