"""The fictional country: the same from the same seed, unique, correct, and with lives the rules allow."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annul.demo import numbers
from annul.demo.country import BATCH_PERSONS, EVENTS, PROOFS, YEAR_DAYS, Country, Happening, SchemeNo
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
        Happening.issue, Happening.report_lost, Happening.report_stolen, Happening.replace, Happening.cancel_death,
        Happening.surrender, Happening.lift,
    }  # fmt: skip


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
