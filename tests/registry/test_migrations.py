"""What stood in a register before a migration, afterwards."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from importlib import resources

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, pool

from annul.records.entry import Entry, EntryKind, encode
from annul.records.status import Event, Proof
from annul.registry.postgres import Embedded
from annul.registry.writing.store import migrate
from tests.registry.world import START_US
from tests.world import said

CITIZEN = "11010519491231002X"


@pytest.fixture
def old(server: Embedded) -> Iterator[str]:
    """A database as it was before references had a type of their own."""
    conninfo = psycopg.conninfo.make_conninfo(server.conninfo, dbname="annul_old")
    with psycopg.connect(psycopg.conninfo.make_conninfo(server.conninfo, dbname="postgres"), autocommit=True) as db:
        db.execute("CREATE DATABASE annul_old")
        engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(conninfo), poolclass=pool.NullPool)
        config = Config()
        config.set_main_option("script_location", str(resources.files("annul.registry") / "migrations"))
        with engine.connect() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "0010")
        engine.dispose()
        yield conninfo
        db.execute("DROP DATABASE annul_old WITH (FORCE)")


def test_texts_lose_their_numbers_and_sealed_entries_stay_as_they_are(old: str) -> None:
    """What is kept for questions is cut; what was sealed is the same bytes; a key that was used still counts as used."""
    entry = encode(
        Entry(
            kind=EntryKind.document,
            recorded_at_us=START_US,
            happened_at_us=START_US,
            author="police-1",
            reason=Event.report_lost,
            proof=Proof.in_person,
            evidence=f"case {CITIZEN}",
            document_key=bytes(16),
            key_epoch=1,
        )
    )
    with psycopg.connect(old) as db:
        db.execute("INSERT INTO register_log (position, entry, document_id) VALUES (1, %s, 1)", (entry,))
        db.execute("UPDATE log_head SET next_position = 2")
        db.execute(
            "INSERT INTO document (id, realm, document_key, coverage, kind, standing) VALUES (1, 0, %s, 'generic', '', 1)",
            (bytes(16),),
        )
        for number, text in enumerate(
            (f"case {CITIZEN}", "case １１０１０５１９４９１２３１００２Ｘ!", "K-2026/117 of 2026-11-30")
        ):
            db.execute(
                "INSERT INTO report (id, realm, document_id, event, proof, author, evidence, happened_at_us, recorded_at_us, "
                "position, state) VALUES (%s, 0, 1, 'report_lost', 'in_person', 'police-1', %s, 1, 1, 1, 'in_force')",
                (f"r_{number}", text),
            )
        db.execute(
            "INSERT INTO verifier (realm, party, branch, terminal, seen_at_us, freshness, position) "
            "VALUES (0, 'bank', %s, 't', 1, 0, 1), (0, 'bank', '001', 't', 1, 0, 1)",
            (CITIZEN,),
        )
        db.execute(
            "INSERT INTO idempotency (principal, key, request_hash, response, created_at_us) VALUES ('live/p', %s, '', '', 1)",
            ("key-1",),
        )
    assert migrate(old)
    with psycopg.connect(old) as db:
        assert [bytes(row[0]) for row in db.execute("SELECT entry FROM register_log")] == [entry]
        assert [each.evidence for each in said(db)] == [f"case {CITIZEN}"]
        texts = [row[0] for row in db.execute("SELECT evidence FROM report ORDER BY id")]
        assert texts == ["case …", "case …!", "K-2026/117 of 2026-11-30"]
        assert [row[0] for row in db.execute("SELECT branch FROM verifier")] == ["001"]
        assert [row[0] for row in db.execute("SELECT key FROM idempotency")] == [hashlib.sha256(b"key-1").hexdigest()]
    assert not migrate(old)
