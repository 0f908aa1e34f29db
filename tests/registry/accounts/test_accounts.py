"""Who asked what: the index is complete, is asked page by page, and gives every receipt back."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import psycopg
import pytest

from annul import keys as key_file
from annul.errors import BadInput, Corrupt, NotFound
from annul.listings import pack
from annul.listings.values import WHOLE_LIFE
from annul.proof.receipt import verify
from annul.proof.window import WindowSigner
from annul.records.check import Answer
from annul.records.entry import EntryKind
from annul.registry.accounts.accounts import Accounts, Indexer
from annul.registry.answering.checklog import log_files, worker_folder
from annul.registry.writing.act import Act
from annul.registry.writing.ground import Ground
from annul.registry.writing.store import Fresh
from tests.registry.answering import desk as small
from tests.registry.answering.desk import Desk, DocumentFields, State, card, parsed, principal, question
from tests.world import said

RU = DocumentFields(scheme="ru-internal", series="4509", number="123456")


class Office:
    """Hold a home with keys, its check log, its index and the accounts."""

    def __init__(self, home: Path, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home, self.database = home, database
        self.keys = key_file.create(home)
        monkeypatch.setattr(small, "LIVE", self.keys.documents("live"))
        self.accounts = Accounts(Ground(Fresh(database), self.keys, home, lambda: small.NOW_US))

    def ask(self, *asks: Any, worker: int = 0) -> list[Answer]:
        """Answer (principal, question) pairs, each in a window of its own."""

        async def run() -> list[Answer]:
            desk = Desk(self.home)
            desk.signer = WindowSigner(self.keys.receipts)
            desk.put(parsed(), pack(State.reported_stolen, 0, WHOLE_LIFE), keys=self.keys.documents("live"))
            checks = desk.checks(worker)
            answers = []
            for number, (who, asked) in enumerate(asks):
                desk.now = small.NOW_US + number * 1_000_000
                answers.append((await checks.ask(who, asked)).answer)
            await desk.close()
            desk.writer.close()
            return answers

        return asyncio.run(run())

    def index(self) -> int:
        """Index what is durable, by an indexer as after a start."""
        with psycopg.connect(self.database, autocommit=True) as db:
            return Indexer(self.home / "checks").step(db)


@pytest.fixture
def office(tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch) -> Office:
    """A fresh office."""
    return Office(tmp_path, database, monkeypatch)


BANK, HOTEL = principal("bank"), principal("hotel", reasons=False)


def test_every_check_is_indexed_once(office: Office) -> None:
    """Over several starts and workers, each answered check has one row; the cursor moves with its rows."""
    office.ask(*[(BANK, question())] * 3)
    assert office.index() == 3
    assert office.index() == 0
    office.ask((BANK, question()), worker=1)
    office.ask((BANK, question(RU)), worker=0)
    assert office.index() == 2
    with psycopg.connect(office.database) as db:
        rows = db.execute("SELECT count(*), count(DISTINCT check_id) FROM check_index").fetchone()
    assert rows == (5, 5)


def test_a_party_sees_its_own_checks_page_by_page(office: Office) -> None:
    """Newest first, nobody else's, every one once; the status is what the party was told."""
    asks = [(BANK if n % 2 else HOTEL, question(reference=f"r{n}")) for n in range(21)]
    answers = office.ask(*asks)
    office.index()

    async def read() -> list[Any]:
        found, after = [], ""
        while True:
            rows, after = await office.accounts.checks_of_party("hotel", "live", after=after, limit=4)
            found += rows
            if not after:
                return found

    rows = asyncio.run(read())
    assert [row.check for row in rows] == [answer.check for answer in answers[::2]][::-1]
    assert {row.status for row in rows} == {"S00"}
    assert rows[0].reference == "r20"


@pytest.mark.parametrize("cursor", ["x", "!!!!", "AAAA", "_" * 32, "é"])
def test_a_foreign_cursor_is_bad_input(office: Office, cursor: str) -> None:
    """A cursor that this register did not give is refused; so is a page of no rows."""
    with pytest.raises(BadInput):
        asyncio.run(office.accounts.checks_of_party("bank", "live", after=cursor))
    with pytest.raises(BadInput):
        asyncio.run(office.accounts.checks_of_party("bank", "live", limit=0))


def test_checks_of_a_document_are_found_and_the_look_up_is_entered(office: Office) -> None:
    """Those that named the card and those that named its number alone, not another card's; with the exact status."""
    office.ask((BANK, question()), (HOTEL, question(card(None))), (BANK, question(card("2019-01-01"))), (HOTEL, question()))
    office.index()
    act = Act("supervisor")
    rows, after = asyncio.run(office.accounts.checks_of_document(act, parsed(), case="case 12"))
    assert ([row.party for row in rows], after) == (["hotel", "hotel", "bank"], "")
    assert [row.status for row in rows] == ["S11", "U30", "S11"]
    with psycopg.connect(office.database) as db:
        entry = said(db)[0]
    assert (entry.kind, entry.author, entry.evidence) == (EntryKind.note, "supervisor", "case 12")
    by_number, _ = asyncio.run(office.accounts.checks_of_document(act, parsed(card(None)), case="case 12"))
    assert len(by_number) == 4


def test_a_receipt_comes_back_from_the_account(office: Office) -> None:
    """The receipt rebuilt from the check log is the one that left, byte for byte, with its opening."""
    answers = office.ask(*[(BANK, question(RU))] * 5)
    office.index()
    for answer in answers:
        record = asyncio.run(office.accounts.check("bank", answer.check))
        assert (record.receipt, record.opening) == (answer.receipt, answer.opening)
        verify(record.receipt, office.keys.receipt_signer().verifier)
    with pytest.raises(NotFound):
        asyncio.run(office.accounts.check("hotel", answers[0].check))
    with pytest.raises(NotFound):
        asyncio.run(office.accounts.check(None, "00" * 16))
    with pytest.raises(BadInput):
        asyncio.run(office.accounts.check(None, "no hex"))


def test_a_damaged_window_is_not_indexed(office: Office) -> None:
    """A changed byte stops the index of that worker with the place; nothing wrong is ever written."""
    office.ask(*[(BANK, question())] * 2)
    file = log_files(worker_folder(office.home / "checks", 0))[0]
    raw = bytearray(file.read_bytes())
    raw[-20] ^= 1
    file.write_bytes(raw)
    with pytest.raises(Corrupt):
        office.index()
    with psycopg.connect(office.database) as db:
        assert db.execute("SELECT count(*) FROM check_index").fetchone() == (0,)


def test_a_year_of_checks_finds_its_partitions(office: Office) -> None:
    """Rows of any month go into the partition of that month, made when it is needed."""
    clock = iter([small.NOW_US, small.NOW_US + 200 * 86_400_000_000])
    for at in clock:
        small_now, small.NOW_US = small.NOW_US, at
        office.ask((BANK, question()))
        small.NOW_US = small_now
    assert office.index() == 2
    with psycopg.connect(office.database) as db:
        names = [row[0] for row in db.execute("SELECT relname FROM pg_class WHERE relname ~ '^check_index_y.*[0-9]$'")]
    assert {"check_index_y2026m09", "check_index_y2027m04"} <= set(names)
