"""Recalls: everybody who was answered with a listing that was never true is told, once, and nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from annul.errors import NotFound, VerificationFailed
from annul.listings import Listings
from annul.proof.checkpoint import open_note
from annul.proof.window import WindowSigner
from annul.records.check import Answer, Question
from annul.records.codes import Coverage
from annul.records.document import DocumentFields, parse_document
from annul.records.status import Proof, State
from annul.registry.accounts.accounts import Indexer
from annul.registry.answering.checklog import CheckLog
from annul.registry.answering.checks import Checks
from annul.registry.answering.quota import Quota
from annul.registry.desk import recalls
from annul.registry.desk.recalls import AGAIN_US, SETTLE_US, Recalls
from annul.registry.loops.rotation import rotate
from annul.registry.parties.parties import Agreement, Parties, Principal
from annul.registry.writing.act import Act
from annul.registry.writing.bulk import Bulk
from annul.registry.writing.store import Fresh
from tests.registry.world import ISSUER, POLICE, START_US, STRONG, TODAY, World, card

CARD = DocumentFields(scheme="cn-resident", number="11010519491231002X", valid_from="2016-10-06", valid_until="2036-10-06")
NUMBER = DocumentFields(scheme="cn-resident", number="11010519491231002X")


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine."""
    return asyncio.run(work)


class Country(World):
    """A register, its follower, and two relying parties that ask; `bank` sees reasons, `shop` classes alone."""

    def __init__(self, conninfo: str, home: Path) -> None:
        super().__init__(conninfo, home)
        self.recalls = Recalls(self.ground)
        parties = Parties(Fresh(conninfo), _NoSnapshot(), self.clock)
        run(parties.set_coverage(Act("setup"), "cn-resident", Coverage.whole_life))
        run(self.register.issue(ISSUER, card(), happened_at_us=START_US))

    def ask(self, party: str, fields: DocumentFields = CARD) -> Answer:
        """Ask a check after the follower, and index it."""
        self.follow()

        async def asked() -> Answer:
            log = CheckLog(self.home / "checks", 0)
            quota = Quota(self.home / "quota", 0)
            documents = {realm: self.keys.documents(realm) for realm in ("live", "test")}
            listings = Listings(self.home / "listings")
            checks = Checks(listings, documents, log, WindowSigner(self.keys.receipts), quota, now_us=self.clock)
            agreement = Agreement(purposes=frozenset({"credit"}), reasons_allowed=party == "bank")
            who = Principal(party, party, "relying_party", "live", agreement, f"key-{party}")
            answer = (await checks.ask(who, Question(document=fields, purpose="credit", channel="in_person"))).answer
            await checks.close()
            log.close()
            quota.close()
            return answer

        answer = run(asked())
        self.index()
        return answer

    def rotate(self) -> None:
        """Rotate the document keys while the register is stopped."""
        self.close()
        self.keys = rotate(self.conninfo, self.home, self.clock)
        self.register = type(self.register)(self.ground)
        self.recalls = Recalls(self.ground)

    def index(self) -> None:
        """Index what is durable."""
        with psycopg.connect(self.conninfo, autocommit=True) as db:
            Indexer(self.home / "checks").step(db)

    def step(self) -> None:
        """Make the recalls that are due."""
        while run(self.recalls.step()):
            pass

    def lose(self, *, at_us: int | None = None, proof: Proof = STRONG) -> str:
        """Report the card lost, now or at a time before; return the report."""
        at_us = self.clock.us if at_us is None else at_us
        return str(run(self.register.report(POLICE, card(), "lost", happened_at_us=at_us, proof=proof)).id)

    def correct(self) -> int:
        """State that it was never lost; return the entry's position."""
        done = run(
            self.register.correct(ISSUER, card(), State.reported_lost, happened_at_us=self.clock.us, proof=Proof.in_person)
        )
        return int(done.position)


class _NoSnapshot:
    """Publishes nothing."""

    parties_generation = 0

    def parties(self) -> tuple[int, bytes]:
        """Return an empty snapshot."""
        return 0, b""


@pytest.fixture
def country(database: str, tmp_path: Path) -> Iterator[Country]:
    """A register with one card."""
    made = Country(database, tmp_path)
    yield made
    made.close()


def test_every_wrong_answer_is_recalled_and_no_other(country: Country) -> None:
    """Before the report: right. While it stood: recalled, also when only the number was asked. After: right."""
    before = country.ask("bank")
    country.lose()
    wrong = [country.ask("bank"), country.ask("bank", NUMBER)]
    shop = country.ask("shop")
    position = country.correct()
    after = country.ask("bank")
    assert [answer.status.code for answer in (before, *wrong, shop, after)] == ["V00", "S10", "S10", "S00", "V00"]
    country.step()
    (bank,) = run(country.recalls.of_party("bank", "live"))
    (other,) = run(country.recalls.of_party("shop", "live"))
    assert (bank.check_count, other.check_count) == (2, 1)
    for answer in wrong:
        assert answer.check in bank.note
    for answer in (before, shop, after):
        assert answer.check not in bank.note
    assert run(country.recalls.count(correction=position)).checks == 3


def test_a_note_is_signed_and_tells_no_more_than_the_answer_did(country: Country) -> None:
    """It opens with the register's public key; a shop without reasons reads the class it was told."""
    country.lose()
    answers = [country.ask("bank"), country.ask("shop")]
    country.correct()
    country.step()
    for party, answer, status in (("bank", answers[0], "S10"), ("shop", answers[1], "S00")):
        (recall,) = run(country.recalls.of_party(party, "live"))
        text = open_note(recall.note.encode(), [country.keys.register_signer().verifier]).decode()
        assert f"party {party}\n" in text
        assert f"check {answer.check} " in text
        assert f" {status} STOP\n" in text
        with pytest.raises(VerificationFailed):
            open_note(recall.note.replace(f"party {party}", "party me").encode(), [country.keys.register_signer().verifier])


def test_repeating_a_step_recalls_nothing_twice(country: Country) -> None:
    """Also a step that broke off after its notes and begins again."""
    country.lose()
    country.ask("bank")
    country.correct()
    country.step()
    with psycopg.connect(country.conninfo) as db:
        db.execute("UPDATE recall_cursor SET position = 0")
        db.execute("UPDATE correction SET swept_at_us = NULL, next_sweep_us = 0")
    country.step()
    assert len(run(country.recalls.of_party("bank", "live"))) == 1


def test_a_check_that_is_indexed_late_is_recalled_late(country: Country) -> None:
    """The index is behind the answers: they are looked for until it has surely passed."""
    country.lose()
    country.ask("bank")
    position = country.correct()
    country.step()
    assert not run(country.recalls.count(correction=position)).settled
    with psycopg.connect(country.conninfo) as db:  # a second check of that time comes into the index only now
        db.execute(
            "INSERT INTO check_index SELECT checked_at_us, 'shop', realm, worker, window_no, 99, %s, document_key, number_key, "
            "key_epoch, purpose, channel, scheme, outcome, status, answered_status, freshness, advice, position, branch, "
            "terminal, clerk, reference, identity, binding, policy_version FROM check_index LIMIT 1",
            (b"late" * 4,),
        )
    country.clock.us += AGAIN_US
    country.step()
    assert len(run(country.recalls.of_party("shop", "live"))) == 1
    country.clock.us += SETTLE_US + 1
    country.step()
    assert run(country.recalls.count(correction=position)).settled


def test_parties_acknowledge_their_own_recalls(country: Country) -> None:
    """Each its own, once; the count shows who knows."""
    country.lose()
    country.ask("bank")
    country.ask("shop")
    position = country.correct()
    country.step()
    (recall,) = run(country.recalls.of_party("bank", "live"))
    for party, realm in (("shop", "live"), ("bank", "test")):
        with pytest.raises(NotFound):
            run(country.recalls.acknowledge(Act(party, realm), party, recall.id))
    done = run(country.recalls.acknowledge(Act("bank"), "bank", recall.id))
    country.clock.us += 1_000_000
    assert run(country.recalls.acknowledge(Act("bank"), "bank", recall.id)) == done
    assert run(country.recalls.of_party("bank", "live", open_only=True)) == []
    assert run(country.recalls.of_party("bank", "live", after=recall.position)) == []
    count = run(country.recalls.count(correction=position))
    assert (count.parties, count.checks, count.acknowledged) == (2, 2, 1)


def recalled(country: Country) -> str:
    """Return all notes of the bank."""
    return "".join(recall.note for recall in run(country.recalls.of_party("bank", "live")))


def test_checks_under_older_keys_are_recalled(country: Country) -> None:
    """After rotations the index still holds the old keys; the document knows them, so its checks are found at once."""
    country.lose()
    answers = [country.ask("bank"), country.ask("bank", NUMBER)]
    country.rotate()
    answers.append(country.ask("bank"))
    country.rotate()
    answers.append(country.ask("bank", NUMBER))
    country.correct()
    country.step()
    assert all(answer.check in recalled(country) for answer in answers)


def test_a_document_recorded_after_a_rotation_knows_its_keys_of_before(country: Country) -> None:
    """It was accepted before the register knew it; the keys were rotated; then it is reported, as lost before that."""
    parties = Parties(Fresh(country.conninfo), _NoSnapshot(), country.clock)
    run(parties.set_coverage(Act("setup"), "ru-internal", Coverage.listing_only))
    lost_at = country.clock.us
    fields = DocumentFields(scheme="ru-internal", series="4509", number="123456")
    relied = country.ask("bank", fields)
    assert relied.status.code == "V00"
    country.rotate()
    run(country.register.report(POLICE, parse_document(fields, TODAY), "lost", happened_at_us=lost_at, proof=STRONG))
    country.step()
    assert relied.check in recalled(country)


def test_documents_that_kept_no_older_keys_are_found_by_comparing(country: Country, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rotated by an annul that did not keep them: the time is looked through in stretches, step by step, to its end."""
    country.lose()
    answers = [country.ask("bank")]
    country.clock.us += 3 * recalls.OLDER_SLICE_US
    answers.append(country.ask("bank", NUMBER))
    country.rotate()
    with psycopg.connect(country.conninfo) as db:
        db.execute("UPDATE document SET former_keys = NULL")
    position = country.correct()
    country.clock.us += SETTLE_US + 1
    monkeypatch.setattr(recalls, "STEP_S", -1.0)  # a step ends after its first stretch
    found = []
    for _ in range(12):
        run(country.recalls.step())
        found.append([answer.check in recalled(country) for answer in answers])
    assert [True, False] in found
    assert found[-1] == [True, True]
    assert run(country.recalls.count(correction=position)).settled


def test_a_list_that_was_taken_back_is_recalled(country: Country, tmp_path: Path) -> None:
    """Documents nobody has a row of: who was told the list's word gets a note; what another list says stays said."""
    bulk = Bulk(country.ground)
    parties = Parties(Fresh(country.conninfo), _NoSnapshot(), country.clock)
    run(parties.set_coverage(Act("setup"), "ru-internal", Coverage.listing_only))

    def put(*numbers: str) -> str:
        file = tmp_path / f"{'-'.join(numbers)}.csv"
        file.write_text("PASSP_SERIES,PASSP_NUMBER\n" + "".join(f"4509,{number}\n" for number in numbers), encoding="ascii")
        at_us = country.clock.us
        staged = run(bulk.stage(ISSUER, file, format="russian", state=State.revoked, happened_at_us=at_us, evidence="list"))
        run(bulk.confirm(Act("registry-2", credential="key-2"), staged.id))
        return str(staged.id)

    faulty, other = put("123456", "123457"), put("123457", "123459")
    wrong, right, free = (
        country.ask("bank", DocumentFields(scheme="ru-internal", series="4509", number=number))
        for number in ("123456", "123457", "123458")
    )
    assert [answer.status.code for answer in (wrong, right, free)] == ["I23", "I23", "V00"]
    run(bulk.undo(ISSUER, faulty, evidence="decree 8"))
    country.step()
    (recall,) = run(country.recalls.of_party("bank", "live"))
    assert wrong.check in recall.note
    assert right.check not in recall.note
    assert recall.check_count == 1
    assert other


def test_a_lifted_report_recalls_nothing(country: Country) -> None:
    """It was true while it stood."""
    country.lose()
    country.ask("bank")
    run(country.register.lift(POLICE, card(), happened_at_us=country.clock.us, proof=STRONG))
    country.step()
    assert run(country.recalls.of_party("bank", "live")) == []


def test_the_worst_fact_decides_what_was_wrong(country: Country) -> None:
    """A stolen report corrected under a true loss report: answers said stolen, so they are recalled."""
    country.lose()
    lost = country.ask("bank")
    run(country.register.report(POLICE, card(), "stolen", happened_at_us=country.clock.us, proof=STRONG))
    stolen = country.ask("bank")
    run(country.register.correct(ISSUER, card(), State.reported_stolen, happened_at_us=country.clock.us))
    country.step()
    (recall,) = run(country.recalls.of_party("bank", "live"))
    assert stolen.check in recall.note
    assert lost.check not in recall.note


def test_who_accepted_a_card_between_its_loss_and_the_report_is_told(country: Country) -> None:
    """Before the loss: right. From the loss to the report: told, also of the number alone. Refused since: right."""
    before = country.ask("bank")
    lost_at = country.clock.us = country.clock.us + 1_000_000
    country.clock.us += 1_000_000
    relied = [country.ask("bank"), country.ask("bank", NUMBER)]
    shop = country.ask("shop")
    country.clock.us += 1_000_000
    country.lose(at_us=lost_at)
    after = country.ask("bank")
    assert [answer.status.code for answer in (before, *relied, shop, after)] == ["V00", "V00", "V00", "V00", "S10"]
    country.step()
    (bank,) = run(country.recalls.of_party("bank", "live"))
    (other,) = run(country.recalls.of_party("shop", "live"))
    assert (bank.cause, bank.check_count, other.check_count) == ("reported_late", 2, 1)
    text = open_note(bank.note.encode(), [country.keys.register_signer().verifier]).decode()
    assert "\nlate " in text
    for answer in relied:
        assert f"check {answer.check} " in text
    assert " V00 PASS\n" in text
    for answer in (before, shop, after):
        assert answer.check not in text
    country.clock.us += SETTLE_US + 1
    country.step()
    assert len(run(country.recalls.of_party("bank", "live"))) == 1


def test_a_provisional_report_alarms_no_bank_before_it_is_confirmed(country: Country) -> None:
    """Weak proof suspends and tells nobody what was; confirmed, it stands since the day of the loss."""
    country.clock.us += 5_000_000
    relied = country.ask("bank")
    report = country.lose(at_us=country.clock.us - 4_000_000, proof=Proof.phone)
    country.step()
    assert run(country.recalls.of_party("bank", "live")) == []
    country.clock.us += 5_000_000
    run(country.register.confirm(POLICE, report, proof=STRONG))
    country.step()
    (recall,) = run(country.recalls.of_party("bank", "live"))
    assert recall.cause == "reported_late"
    assert relied.check in recall.note


def test_a_late_report_that_was_never_true_is_taken_back_where_it_was_told(country: Country) -> None:
    """The bank was alarmed by it, so the correction reaches the bank for the same check."""
    country.clock.us += 5_000_000
    relied = country.ask("bank")
    country.lose(at_us=country.clock.us - 4_000_000)
    country.step()
    country.correct()
    country.step()
    late, taken_back = run(country.recalls.of_party("bank", "live"))
    assert (late.cause, taken_back.cause) == ("reported_late", "corrected")
    assert f"check {relied.check} " in taken_back.note
    assert " V00 PASS\n" in taken_back.note


def test_a_replacement_recorded_late_is_told_as_well(country: Country) -> None:
    """The new card was handed out yesterday and recorded today; the old one passed in between."""
    handed_out = country.clock.us = country.clock.us + 1_000_000
    country.clock.us += 1_000_000
    relied = country.ask("bank")
    run(country.register.issue(ISSUER, card("2026-01-02"), happened_at_us=handed_out))
    country.step()
    (recall,) = run(country.recalls.of_party("bank", "live"))
    assert recall.cause == "reported_late"
    assert relied.check in recall.note
    with psycopg.connect(country.conninfo) as db:  # its holder may well have used it: no attempt
        assert db.execute("SELECT count(*) FROM attempt").fetchone() == (0,)
