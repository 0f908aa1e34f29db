"""Reports without login: they only suspend, and guessing, flooding and malice run into limits."""

from __future__ import annotations

from pathlib import Path

import pytest

from annul.errors import AnnulError, Forbidden, NotFound, OverQuota, TransitionRefused
from annul.records.document import Document
from annul.records.status import Proof
from annul.registry.citizen.citizens import Citizens
from annul.registry.citizen.provisional import ADDRESS_TRIES_MAX, DOCUMENT_TRIES_MAX, ProvisionalReports
from annul.registry.notices.sources import HOLDER, PUBLIC
from annul.registry.writing.act import Act
from annul.registry.writing.register import Recorded
from tests.registry.notices.street import Street
from tests.registry.people.town import WANG
from tests.registry.world import DAY_US, ISSUER, card, passport

BY_NUMBER = card(None, None)
NAME = "王小明"


@pytest.fixture
def street(database: str, memory_folder: Path, tmp_path: Path) -> Street:
    """A holder with a card."""
    return Street(database, tmp_path)


def report(
    street: Street, document: Document = BY_NUMBER, name: str = NAME, *, address: str = "192.0.2.1", act: Act | None = None
) -> Recorded:
    """Report a document lost, as anybody can."""
    doors = ProvisionalReports(street.ground, street.register, street.vault)
    happened = street.clock()
    return street.run(doors.report(act or Act(PUBLIC), document, name, "lost", happened_at_us=happened, address=address))


def test_number_and_name_suspend_until_it_lapses(street: Street) -> None:
    """The card in force is meant; the suspension has an end."""
    recorded = report(street)
    assert recorded.state == "suspended"
    assert recorded.lapses_at_us is not None
    assert 71 * 3_600_000_000 < recorded.lapses_at_us - street.clock() <= 72 * 3_600_000_000


def test_of_several_cards_the_one_in_force_is_meant(street: Street) -> None:
    """The older card was replaced: the report stops the new one."""
    newer = card("2026-01-02", "2046-01-02")
    street.run(street.register.issue(ISSUER, newer, happened_at_us=street.clock()))
    report(street)
    found = street.rows("SELECT valid_from_day, standing FROM document ORDER BY valid_from_day")
    assert [bool(standing & 1 << 4) for _, standing in found] == [False, True]


@pytest.mark.parametrize(("document", "name"), [(BY_NUMBER, "李雷"), (passport("X12345678"), NAME)])
def test_what_does_not_fit_is_told_alike(street: Street, document: Document, name: str) -> None:
    """A wrong name and an unknown document are the same sentence, without a number in it."""
    with pytest.raises(NotFound) as caught:
        report(street, document, name)
    assert caught.value.message == "No such document of a holder of this name was found."
    assert WANG not in str(caught.value)


def test_tries_on_one_number_end_from_whichever_address(street: Street) -> None:
    """Names cannot be guessed: the day's tries are few, and the right name is then refused as well."""
    for place in range(DOCUMENT_TRIES_MAX):
        with pytest.raises(NotFound):
            report(street, name="李雷", address=f"192.0.2.{place}")
    with pytest.raises(OverQuota):
        report(street, address="198.51.100.1")
    street.clock.us += DAY_US + 1
    assert report(street, address="198.51.100.1").state == "suspended"


def test_one_address_tries_a_few_numbers_an_hour(street: Street) -> None:
    """Numbers cannot be walked through; an IPv6 household counts as one."""
    for place in range(ADDRESS_TRIES_MAX):
        with pytest.raises(NotFound):
            report(street, passport(f"X{place:08d}"), address=f"2001:db8::{place + 1:x}")
    with pytest.raises(OverQuota) as caught:
        report(street, address="2001:db8::ffff")
    assert 0 < int(str(caught.value.extra["retry_after_s"])) <= 3600


def test_malice_that_was_undone_twice_needs_a_login(street: Street) -> None:
    """Reported and undone, reported and undone: the third time only a login or a desk can."""
    for _ in range(2):
        recorded = report(street)
        street.run(street.register.withdraw(Act(PUBLIC), recorded.id, proof=Proof.online))
    with pytest.raises(Forbidden, match="without signing in before"):
        report(street)
    street.clock.us += 31 * DAY_US
    assert report(street).state == "suspended"


def test_no_address_and_no_number_is_stored(street: Street) -> None:
    """What is counted are keyed hashes."""
    report(street, address="192.0.2.77")
    stored = b"".join(bytes(row[0]) for row in street.rows("SELECT subject FROM tally"))
    assert b"192.0.2.77" not in stored
    assert WANG.encode() not in stored
    assert len(stored) == 64


def test_at_the_end_of_its_time_a_suspension_ends_by_itself_and_all_that_hung_on_it(street: Street) -> None:
    """A second before 72 hours it stands and contacts are frozen; then the card works, and its holder is told, once."""
    citizens = Citizens(street.ground, street.register, street.people, street.vault)
    ((person,),) = street.rows("SELECT id FROM person_record")
    recorded = report(street)
    assert recorded.lapses_at_us is not None
    assert recorded.id is not None
    street.clock.us = recorded.lapses_at_us - 1_000_000
    assert street.run(street.register.lapse_due()) == 0
    assert street.run(citizens.contacts_frozen(person))
    with pytest.raises(TransitionRefused):
        street.run(citizens.set_contacts(Act(HOLDER), person, [], proof=Proof.online_strong))
    street.clock.us = recorded.lapses_at_us
    assert [street.run(street.register.lapse_due()) for _ in range(2)] == [1, 0]
    assert not street.run(citizens.contacts_frozen(person))
    (own,) = [one for one in street.run(citizens.documents(person)) if one.report == "" and one.state == "current"]
    assert "report" in own.may
    street.turn()
    street.turn()
    assert street.rows("SELECT count(*) FROM notice WHERE kind = 'lapsed'") == [(1,)]
    with pytest.raises(AnnulError, match="report"):  # too late to undo, or to confirm: a sentence that says so
        street.run(citizens.undo(Act(PUBLIC), recorded.id))
    with pytest.raises(TransitionRefused):
        street.run(citizens.confirm(Act(HOLDER), person, own.id, proof=Proof.online_strong))
