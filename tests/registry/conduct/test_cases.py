"""Cases in a register: different hands, notice and wait before anything counts, an appeal elsewhere, an end without trace."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from annul.errors import AnnulError, BadInput, Conflict, Forbidden, NotFound, OverQuota, TransitionRefused
from annul.records.case import APPEAL_US, HEARING_US, WAITING_US
from annul.records.entry import decode
from annul.registry.conduct.cases import CASES_A_DAY, Cases, carry_out_due
from annul.registry.conduct.impostors import Impostors
from annul.registry.writing.act import Act
from annul.registry.writing.store import Fresh
from annul.times import DAY_US
from tests.registry.answering.desk import principal
from tests.registry.people.town import LI, REGISTRAR, WANG, Town, person
from tests.registry.world import card

BANK = Act("bank/07", credential="key-bank")
POLICE = Act("police/01", credential="key-police")
OFFICER = Act("police/02", credential="key-police-2")
JUDGE, SECOND, THIRD = (Act(f"supervisor/{number}", credential=f"key-judge-{number}") for number in (1, 2, 3))
APPEALS = Act("issuer/01", credential="key-issuer")
DIGESTS = [(hashlib.sha256(bytes([number])).hexdigest(), "photograph") for number in range(3)]


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine."""
    return asyncio.run(work)


class Court:
    """A town with cases."""

    def __init__(self, town: Town) -> None:
        self.town = town
        self.cases, self.list = Cases(town.ground), Impostors(town.ground)
        self.bank = principal("bank")
        for number, name in ((WANG, "王小明"), (LI, "李雷")):
            run(town.people.add(REGISTRAR, person(number, name), happened_at_us=town.clock.us))

    def open(self) -> str:
        """Report misuse as the bank."""
        return str(run(self.cases.open(BANK, misuse="another-persons-document", reference="file B")).case)

    def propose(self, case: str, act: Act = POLICE, number: str = LI, **more: Any) -> Any:
        """Say who it was."""
        told = {"identified_by": "fingerprint", "standard": "biometric", "grounds": "seen by the camera", "term_days": 365}
        return run(self.cases.propose(act, case, number, **(told | more)))

    def told(self) -> str:
        """Bring a case to where the person is told."""
        case = self.open()
        run(self.cases.add_evidence(BANK, case, DIGESTS, party="bank"))
        run(self.cases.take_up(POLICE, case))
        self.propose(case)
        run(self.cases.decide(JUDGE, case, "list", reason="proven"))
        assert run(self.cases.decide(SECOND, case, "list", reason="proven")).state == "told"
        return case

    def later(self, us: int) -> int:
        """Let time pass, and what is due happen."""
        self.town.clock.us += us
        return int(run(carry_out_due(Fresh(self.town.conninfo), self.town.clock.us)))

    def ask(self, number: str = LI, purpose: str = "account-opening") -> str:
        """Ask the list as the bank."""
        return str(run(self.list.ask(BANK, self.bank, number, purpose=purpose, reference="file K")).answer)

    def state(self, case: str) -> str:
        """Return the state of a case."""
        return str(run(self.cases.view(0, case)).state)


@pytest.fixture
def court(database: str, memory_folder: Path, tmp_path: Path) -> Iterator[Court]:
    """A court over two people."""
    town = Town(database, tmp_path)
    yield Court(town)
    town.close()


def test_a_case_goes_its_way_and_leaves_no_trace(court: Court) -> None:
    """Told first, listed after the waiting time, each look noted; at the end of the term the key is gone, provenly."""
    case = court.told()
    assert court.ask() == "not_listed"
    with psycopg.connect(court.town.conninfo) as db:
        assert db.execute("SELECT count(*) FROM notice WHERE kind = 'misuse_decided' AND person_id IS NOT NULL").fetchone() == (
            1,
        )
    assert court.later(WAITING_US - DAY_US) == 0
    assert court.later(2 * DAY_US) == 1
    assert court.state(case) == "listed"
    assert (court.ask(), court.ask(WANG)) == ("listed", "not_listed")
    (use,) = run(court.list.uses("live"))
    assert (use.case, use.party, use.purpose) == (case, "bank", "account-opening")
    assert court.later(366 * DAY_US) == 1
    assert (court.state(case), court.ask()) == ("expired", "not_listed")
    with psycopg.connect(court.town.conninfo) as db:
        kept = db.execute("SELECT subject_key, salt, person_id, commitment FROM impostor").fetchone()
        assert kept is not None
        assert kept[:3] == (None, None, None)
        assert len(kept[3]) == 32
        assert db.execute("SELECT count(*) FROM misuse_case WHERE subject_key IS NOT NULL OR grounds <> ''").fetchone() == (0,)
        bodies = [decode(bytes(raw)).body for (raw,) in db.execute("SELECT entry FROM register_log ORDER BY position")]
    assert b"purged; rows that hold the key: 0" in bodies


def test_no_hand_does_two_steps_that_are_apart(court: Court) -> None:
    """The reporter does not investigate, the investigator alone proposes and does not decide, one judge is not two."""
    case = court.open()
    run(court.cases.add_evidence(BANK, case, DIGESTS, party="bank"))
    with pytest.raises(Forbidden):
        run(court.cases.take_up(BANK, case))
    with pytest.raises(Forbidden):
        run(court.cases.take_up(Act("bank", credential="key-x"), case))
    run(court.cases.take_up(POLICE, case))
    with pytest.raises(Forbidden):
        court.propose(case, OFFICER)
    court.propose(case)
    for hand in (BANK, POLICE, Act("supervisor/9", credential="key-police"), Act("supervisor/9")):
        with pytest.raises(Forbidden):
            run(court.cases.decide(hand, case, "list", reason="proven"))
    run(court.cases.decide(JUDGE, case, "list", reason="proven"))
    for hand in (JUDGE, Act("supervisor", credential="key-y"), Act("supervisor/8", credential="key-judge-1")):
        with pytest.raises(Forbidden):
            run(court.cases.decide(hand, case, "list", reason="proven"))
    assert court.state(case) == "signed"


def test_an_appeal_stops_the_entry_and_is_heard_elsewhere(court: Court) -> None:
    """While it is heard nobody is listed; the deciding office does not hear it; unheard in time, the person has won."""
    case = court.told()
    court.later(WAITING_US)
    assert court.ask() == "listed"
    run(court.cases.appeal(APPEALS, case, words="I was abroad"))
    assert court.ask() == "not_listed"
    for hand in (JUDGE, SECOND, THIRD, POLICE, OFFICER):
        with pytest.raises(Forbidden):
            run(court.cases.decide(hand, case, "uphold", reason="proven"))
    assert run(court.cases.decide(APPEALS, case, "uphold", reason="proven")).state == "listed"
    assert court.ask() == "listed"
    run(court.cases.appeal(APPEALS, case, words="here is the stamp"))
    assert court.later(HEARING_US + DAY_US) == 1
    assert (court.state(case), court.ask()) == ("overturned", "not_listed")
    other = court.told()
    court.later(APPEAL_US + DAY_US)
    with pytest.raises(Conflict, match="over"):
        run(court.cases.appeal(APPEALS, other, words="too late"))


def test_bad_input_is_refused_with_its_reason(court: Court) -> None:
    """No evidence, nobody of that number, numbers in words, steps out of order, ten thousand cases by one desk."""
    case = court.open()
    with pytest.raises(TransitionRefused):
        run(court.cases.decide(JUDGE, case, "list", reason="proven"))
    run(court.cases.take_up(POLICE, case))
    with pytest.raises(Conflict, match="evidence"):
        court.propose(case)
    run(court.cases.add_evidence(POLICE, case, DIGESTS))
    with pytest.raises(Conflict, match="already"):
        run(court.cases.add_evidence(POLICE, case, DIGESTS[:1]))
    with pytest.raises(NotFound):
        court.propose(case, number="110105194912310038")
    with pytest.raises(BadInput):
        court.propose(case, grounds=f"it was {LI}")
    with pytest.raises(BadInput):
        court.propose(case, term_days=10_000)
    with pytest.raises(NotFound):
        run(court.cases.add_evidence(BANK, case, DIGESTS, party="hotel"))
    for _ in range(CASES_A_DAY - 1):
        court.open()
    with pytest.raises(OverQuota):
        court.open()
    assert court.state(case) == "investigated"


def test_a_refusal_is_the_same_for_everybody(court: Court) -> None:
    """A purpose the law does not name is refused before anything is looked up: same sentence, no use noted, no entry."""
    court.told()
    court.later(WAITING_US)
    texts = set()
    for number in (LI, WANG):
        with pytest.raises(Forbidden) as refused:
            court.ask(number, "medical")
        texts.add(str(refused.value))
    assert len(texts) == 1
    assert run(court.list.uses("live")) == []


def test_a_victims_pass_says_one_sentence_until_it_is_revoked(court: Court) -> None:
    """Given with consent; another document, a made-up token and a revoked pass are not told apart."""
    case = court.open()
    document = card()
    with pytest.raises(Forbidden):
        run(court.list.give_pass(POLICE, case, document, consented=False))
    given = run(court.list.give_pass(POLICE, case, document, consented=True))
    assert run(court.list.show_pass("live", given.token, document)).stands
    other = card(number=LI)
    nothing = run(court.list.show_pass("live", "vp_x", document))
    assert (nothing.stands, nothing.sentence) == (False, "")
    assert run(court.list.show_pass("live", given.token, other)) == nothing
    assert run(court.list.revoke_pass(POLICE, given.token))
    assert not run(court.list.revoke_pass(POLICE, given.token))
    assert run(court.list.show_pass("live", given.token, document)) == nothing
    with psycopg.connect(court.town.conninfo) as db:
        assert given.token.encode() not in b"".join(bytes(row[0]) for row in db.execute("SELECT secret_hash FROM victim_pass"))


def test_whatever_is_tried_nobody_is_listed_by_less_than_five_hands(court: Court) -> None:
    """Steps by random hands at random times: an entry in force has five different hands behind it, and its person was told."""
    luck = random.Random(5)
    hands = [BANK, POLICE, OFFICER, JUDGE, SECOND, THIRD, APPEALS]
    case = court.open()
    for _ in range(150):
        act = luck.choice(hands)
        tries = [
            lambda act=act, case=case: court.cases.take_up(act, case),
            lambda act=act, case=case: court.cases.add_evidence(
                act, case, [(hashlib.sha256(luck.randbytes(8)).hexdigest(), "report")]
            ),
            lambda act=act, case=case: court.cases.decide(
                act, case, luck.choice(("list", "list", "uphold", "overturn")), reason="tried"
            ),
            lambda act=act, case=case: court.cases.appeal(act, case, words="tried"),
        ]
        try:
            if luck.random() < 0.3:
                court.propose(case, act)
            elif luck.random() < 0.1:
                court.later(luck.choice((DAY_US, WAITING_US)))
            else:
                run(luck.choice(tries)())
        except AnnulError:
            pass
        with psycopg.connect(court.town.conninfo) as db:
            row = db.execute(
                "SELECT reported_by, investigator, first_by, second_by, told_at_us, effective_at_us, "
                "(SELECT count(*) FROM impostor WHERE subject_key IS NOT NULL) FROM misuse_case WHERE id = %s",
                (case,),
            ).fetchone()
        assert row is not None
        if row[6]:
            assert len({*row[:4]}) == 4
            assert row[4] is not None
            assert court.town.clock.us >= row[5] or court.state(case) in ("listed", "appealed")
        if court.state(case) in ("overturned", "dismissed", "expired"):
            assert row[6] == 0
            court.town.clock.us += DAY_US
            case = court.open()
