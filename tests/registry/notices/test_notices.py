"""Notices: each cause is told once in effect, whatever crashes, and nothing in them is a number."""

from __future__ import annotations

import string
from functools import partial

import pytest

from annul.errors import BadInput, NotFound
from annul.records.person import Contact
from annul.records.status import Event, Proof
from annul.registry.notices import HOLDER_KINDS, hold, queue, release, texts
from annul.registry.notices.channels import Undelivered
from annul.registry.notices.delivery import BACKOFF_S, LEASE_US
from annul.registry.notices.outbox import Outbox
from annul.registry.notices.sources import HOLDER
from annul.registry.notices.sources import PUBLIC as PUBLIC_AUTHOR
from annul.registry.notices.undo import Undo
from annul.registry.writing.act import Act
from annul.registry.writing.store import Connection, Fresh
from tests.registry.notices.street import MAIL, PHONE, Street
from tests.registry.people.town import REGISTRAR, WANG
from tests.registry.world import DAY_US, ISSUER, POLICE, card

PUBLIC = Act(PUBLIC_AUTHOR)


def lost(street: Street, proof: Proof = Proof.phone) -> str:
    """Report the card lost and return the report's id."""
    recorded = street.run(street.register.report(PUBLIC, card(), "lost", happened_at_us=street.clock(), proof=proof))
    return recorded.id


def test_a_suspension_is_told_on_every_channel_at_once(street: Street) -> None:
    """Mail and short message leave in the first round; both carry the one step that undoes it, none the number."""
    report = lost(street)
    street.turn(again=1)
    (mail,), (sms,) = street.mail.sent, street.sms.sent
    undo = Undo(street.keys).address("https://annul.test", report)
    assert mail[1] == MAIL
    assert sms[1] == PHONE
    assert undo in mail[3]
    assert undo in sms[2]
    assert "2023-11-17" in mail[3]  # when it lapses, three days later
    assert WANG not in "".join(mail + sms)
    assert "resident identity card" in mail[2]


def test_every_kind_has_a_text_in_every_language_with_known_names() -> None:
    """No kind lacks words, and no text names a value that the others do not have."""

    def names(text: str) -> set[str]:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name}

    english = texts.catalogue("en")
    for language in texts.LANGUAGES:
        words = texts.catalogue(language)
        assert set(words["kinds"]) == HOLDER_KINDS
        for table in ("documents", "what", "authors", "purposes", "decisions"):
            assert set(words[table]) == set(english[table])
        for kind, text in words["kinds"].items():
            for part in ("title", "body"):
                assert names(text[part]) == names(english["kinds"][kind][part]), (language, kind, part)
            assert ("sms" in text) == ("sms" in english["kinds"][kind])


def test_an_entry_is_told_once_however_often_it_is_read(street: Street) -> None:
    """The cursor set back, as if a crash had lost it: keys are taken, nothing is told again."""
    lost(street)
    street.turn()
    street.rows("UPDATE notice_cursor SET position = 0 WHERE source = 'register'")
    street.turn()
    assert len(street.mail.sent) == 1


def test_a_crash_while_notices_are_made_leaves_neither_notice_nor_cursor(street: Street) -> None:
    """The transaction of the source is rolled back as one; the next round makes both."""
    lost(street)
    before = street.rows("SELECT position FROM notice_cursor WHERE source = 'register'")

    async def crash(db: Connection) -> None:
        async with db.transaction():
            await street.herald._sources.follow_register(db, street.clock())
            raise ConnectionError

    with pytest.raises(ConnectionError):
        street.on_db(crash)
    assert street.rows("SELECT position FROM notice_cursor WHERE source = 'register'") == before
    assert street.rows("SELECT count(*) FROM notice WHERE kind = 'suspended'") == [(0,)]
    street.turn()
    assert len(street.mail.sent) == 1


def test_a_sender_that_dies_is_followed_by_one_with_the_same_id(street: Street) -> None:
    """Crash after sending, before it is noted: once the lease is over the same Message-ID goes out again, no other."""
    lost(street)

    async def take_and_die() -> None:
        async with Fresh(street.conninfo).connection() as db:
            await db.set_autocommit(True)
            await street.herald._sources.follow_register(db, street.clock())
            delivery = street.herald.delivery(Fresh(street.conninfo))
            await delivery.route()
            for due in await delivery._take():
                await delivery._send(due)

    street.run(take_and_die())
    street.turn()
    assert len(street.mail.sent) == 1  # the lease holds
    street.clock.us += LEASE_US
    street.turn()
    first, second = street.mail.sent
    assert first == second
    street.clock.us += LEASE_US
    street.turn()
    assert len(street.mail.sent) == 2


def test_a_channel_that_is_down_is_tried_again_and_then_given_up(street: Street) -> None:
    """Each pause is waited for; after the last a dead letter stays, is counted, and leaves when an operator says so."""
    street.mail.faults = [Undelivered("smtp-451") for _ in range(len(BACKOFF_S) + 1)]
    lost(street)
    street.turn()
    assert street.mail.sent == []
    for pause in BACKOFF_S:
        street.clock.us += pause * 1_000_000 + 1_000_000
        street.turn()
    outbox = Outbox(Fresh(street.conninfo))
    (dead,) = street.run(outbox.deliveries(state="dead"))
    assert (dead.channel, dead.fault, dead.tries) == ("email", "smtp-451", len(BACKOFF_S) + 1)
    assert street.run(outbox.undelivered(street.clock())) == {"due": 0, "late": 0, "dead": 1}
    assert street.run(outbox.retry([], street.clock())) == 1
    street.turn()
    assert street.mail.sent[0][0] == dead.id
    assert len(street.sms.sent) == 1  # the other channel never waited


def test_an_address_that_will_never_take_it_is_given_up_at_once(street: Street) -> None:
    """A refusal for good is not tried again."""
    street.sms.faults = [Undelivered("http-404", for_good=True)]
    lost(street)
    street.turn()
    assert [row.state for row in street.run(Outbox(Fresh(street.conninfo)).deliveries()) if row.channel == "sms"] == ["dead"]


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (Event.owner_lock, "locked"),
        (Event.compromise, "compromised"),
        (Event.revoke_error, "revoked"),
        (Event.surrender, "found"),
        (Event.destroy, "destroyed"),
        (Event.cancel_data, "cancelled"),
    ],
)
def test_what_happens_to_a_document_is_told(street: Street, event: Event, kind: str) -> None:
    """Each event of a life has its notice."""
    street.run(street.register.change(ISSUER, card(), event, happened_at_us=street.clock(), proof=Proof.in_person))
    street.turn()
    assert [row[0] for row in street.rows("SELECT kind FROM notice ORDER BY created_at_us")][-1] == kind
    assert len(street.mail.sent) == 1


def test_lapse_withdrawal_and_confirmation_name_the_report(street: Street) -> None:
    """Who undoes, confirms or waits hears of it, with the reference of the report."""
    street.run(street.register.withdraw(PUBLIC, lost(street), proof=Proof.online))
    street.run(street.register.confirm(Act(HOLDER), lost(street), proof=Proof.online_strong))
    street.turn()
    kinds = [row[0] for row in street.rows("SELECT kind FROM notice WHERE kind IN ('withdrawn', 'confirmed', 'suspended')")]
    assert sorted(kinds) == ["confirmed", "suspended", "suspended", "withdrawn"]
    assert all("R-" in mail[3] for mail in street.mail.sent)


def test_changed_contacts_are_told_to_the_old_ones_as_well(street: Street) -> None:
    """Who takes over an account cannot keep its holder from hearing of it."""
    fresh = [Contact("email", "thief@mail.test")]
    street.run(street.people.set_contacts(REGISTRAR, WANG, fresh, proof=Proof.in_person, happened_at_us=street.clock()))
    street.turn()
    assert {mail[1] for mail in street.mail.sent} == {MAIL, "thief@mail.test"}
    assert [sms[1] for sms in street.sms.sent] == [PHONE]


def test_a_search_is_told_after_the_lawful_delay(street: Street) -> None:
    """An officer's look-up waits thirty days, and is then told."""
    street.run(street.people.find(POLICE, WANG, case="case 7"))
    street.turn()
    assert street.mail.sent == []
    street.clock.us += 31 * DAY_US
    street.turn()
    assert "looked up" in street.mail.sent[0][2]


def test_an_attempt_is_told_once_an_hour_and_listed_every_time(street: Street) -> None:
    """Three tries at one bank are three attempts and one message; the message names the bank's purpose."""
    lost(street, Proof.in_person)
    street.turn()
    street.mail.sent.clear()
    street.ask(times=3)
    street.turn()
    assert street.rows("SELECT count(*) FROM attempt") == [(3,)]
    (mail,) = street.mail.sent
    assert "opening an account" in mail[3]
    street.rows("UPDATE notice_cursor SET position = 0 WHERE source LIKE 'checks/%%'")
    street.turn()
    assert street.rows("SELECT count(*) FROM attempt") == [(3,)]


def test_a_card_that_works_makes_no_attempt(street: Street) -> None:
    """A passed check is nobody's alarm."""
    street.ask()
    street.turn()
    assert street.rows("SELECT count(*) FROM attempt") == [(0,)]


def test_a_case_holds_attempts_back_until_its_end(street: Street) -> None:
    """While the police hold, the holder hears nothing; when the hold ends the notice leaves by itself."""
    lost(street, Proof.in_person)
    street.turn()
    street.mail.sent.clear()
    (document,) = street.rows("SELECT id FROM document LIMIT 1")[0]
    until = street.clock() + 10 * DAY_US
    street.on_db(lambda db: hold(db, document, case="case 9", author="police-1", until_us=until, now_us=street.clock()))
    street.ask()
    street.turn()
    assert street.mail.sent == []
    assert street.rows("SELECT visible_from_us FROM attempt") == [(until,)]
    street.clock.us = until
    street.turn()
    assert len(street.mail.sent) == 1


def test_a_hold_that_is_released_lets_go_and_has_an_end(street: Street) -> None:
    """Released early the notice leaves; a hold without an end within a year, or without a case, is refused."""
    lost(street, Proof.in_person)
    (document,) = street.rows("SELECT id FROM document LIMIT 1")[0]
    until = street.clock() + 10 * DAY_US
    held = street.on_db(lambda db: hold(db, document, case="case 9", author="police-1", until_us=until, now_us=street.clock()))
    street.ask()
    street.turn()
    street.mail.sent.clear()
    assert street.on_db(lambda db: release(db, held, now_us=street.clock())) == 1
    street.turn()
    assert len(street.mail.sent) == 1
    with pytest.raises(NotFound):
        street.on_db(lambda db: release(db, held, now_us=street.clock()))
    for case, end in (("", until), ("case", street.clock() + 400 * DAY_US)):
        with pytest.raises(BadInput):
            street.on_db(partial(hold, document_id=document, case=case, author="p", until_us=end, now_us=street.clock()))


def test_a_person_without_channels_finds_it_in_the_account(street: Street) -> None:
    """No mail, no telephone: nothing is lost, the message waits in the account."""
    street.run(street.people.set_contacts(REGISTRAR, WANG, [], proof=Proof.in_person, happened_at_us=street.clock()))
    street.turn()
    street.mail.sent.clear()
    lost(street)
    street.turn()
    assert street.mail.sent == []
    (person,) = street.rows("SELECT id FROM person_record")[0]
    messages = street.run(Outbox(Fresh(street.conninfo)).messages(person, [], street.clock(), realm=0))
    assert messages[0].kind == "suspended"


def test_queue_takes_a_key_once_and_refuses_unknown_kinds(street: Street) -> None:
    """Two rooms that tell the same thing tell it once; a programming fault is loud."""

    async def twice(db: Connection) -> list[bool]:
        said = {"decision": "upheld"}
        return [await queue(db, "dispute_decided", key="x:1", now_us=1, document_id=1, values=said) for _ in range(2)]

    assert street.on_db(twice) == [True, False]
    with pytest.raises(ValueError, match="no such notice"):
        street.on_db(lambda db: queue(db, "gossip", key="x", now_us=1, document_id=1))


def test_addresses_are_sealed_at_rest(street: Street) -> None:
    """Who reads the tables finds no address; who erases the person leaves nothing to send to."""
    street.mail.faults = [Undelivered("smtp-451")]
    lost(street)
    street.turn()
    stored = street.rows("SELECT address FROM delivery WHERE channel = 'email'")
    assert MAIL.encode() not in bytes(stored[0][0])
    (person,) = street.rows("SELECT id FROM person_record")[0]
    street.run(street.people.erase(REGISTRAR, person, evidence="order 1"))
    street.clock.us += 60_000_000
    street.turn()
    assert street.mail.sent == []


def test_old_history_is_no_news(street: Street) -> None:
    """After a stop of weeks nobody is flooded with what was."""
    lost(street)
    street.clock.us += 8 * DAY_US
    street.turn()
    assert street.mail.sent == []


def test_an_undo_code_of_another_report_is_none(street: Street) -> None:
    """A code fits its own report; a changed one fits nothing."""
    undo = Undo(street.keys)
    code = undo.code("r_" + "0" * 24)
    assert undo.report(code.upper()) == "r_" + "0" * 24
    for wrong in ("r_" + "1" * 24 + code[26:], code[:-1] + ("a" if code[-1] != "a" else "b"), "", "r_"):
        with pytest.raises(NotFound):
            undo.report(wrong)
