"""The world a test leaves behind, checked as a whole: `check_everything` after every scenario and drill.

It replays the register log from its first entry with rules of its own (a dictionary, no table, no SQL rows) and compares:
rows of documents, slots of the listings table, records of persons and the table of names, both sealed logs, the check log, the
index of checks, every receipt handed out, every report acknowledged.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import psycopg

from annul import keys as key_file
from annul.errors import AnnulError
from annul.listings import Listings
from annul.listings.values import FLAGS_SHIFT, NUMBER, WHOLE_LIFE, pack_many
from annul.proof import receipt as receipts
from annul.proof.leaf import check_id
from annul.records.codes import Realm
from annul.records.document import DocumentFields, block, parse_document
from annul.records.entry import Entry, EntryKind, decode
from annul.records.person import PersonBody
from annul.records.status import State, state_of
from annul.registry.answering.checklog import read_windows, worker_folder, workers
from annul.registry.loops.sealer import verify_logs
from annul.registry.people import KNOWN, NAME
from annul.registry.people.rows import IN_FORCE
from annul.registry.postgres import Embedded
from annul.registry.writing.references import BESIDE, spoken
from annul.registry.writing.slots import value_of
from tests.waiting import until

ROUNDS_MAX = 5
"""Looks at a running annul before a contradiction counts although the log went on meanwhile."""


def settled(home: Path, conninfo: str | None = None) -> None:
    """Wait until table, seals and index have caught up with what was acknowledged; the followers do it within a second."""
    behind = ["everything"]

    def level() -> bool:
        try:
            behind[:] = _behind(home, conninfo or Embedded(home).conninfo)
        except (psycopg.Error, AnnulError, OSError) as error:
            behind[:] = [type(error).__name__]
        return not behind

    try:
        until(level, pause_s=0.1)
    except AssertionError as late:
        raise AssertionError(f"not caught up: {', '.join(behind)}") from late


def _behind(home: Path, conninfo: str) -> list[str]:
    with psycopg.connect(conninfo) as db:
        length = _one(db, "SELECT next_position - 1 FROM log_head")
        indexed: dict[int, int] = dict(db.execute("SELECT worker, next_window FROM check_cursor").fetchall())
    behind = [] if Listings(home / "listings").position == length else ["listings"]
    for worker in workers(home / "checks"):
        count = sum(1 for _ in read_windows(worker_folder(home / "checks", worker)))
        if indexed.get(worker, 0) != count:
            behind.append(f"index of worker {worker}")
    for log, size in (("register", length), ("checks", sum(indexed.values()))):
        checkpoint = (home / "log" / log / "checkpoint").read_text().splitlines()
        if int(checkpoint[1]) != size:
            behind.append(f"{log} log")
    return behind


def check_everything(
    home: Path,
    *,
    conninfo: str | None = None,
    reports: Mapping[str, Mapping[str, Any]] | None = None,
    documents: Mapping[str, Mapping[str, Any]] | None = None,
    answers: Sequence[Mapping[str, Any]] = (),
) -> list[str]:
    """Return every contradiction found; none is the only good answer.

    Args:
        home: data folder, at rest or running and settled.
        conninfo: the register's database; the embedded one of `home` otherwise.
        reports: Idempotency-Key -> acknowledged answer of POST /v1/reports.
        documents: Idempotency-Key -> document fields of that report.
        answers: whole answers of checks as they were received.
    """
    where = conninfo or Embedded(home).conninfo
    for _ in range(ROUNDS_MAX):
        with psycopg.connect(where) as db:
            before = _one(db, "SELECT next_position FROM log_head")
        findings = _findings(home, where, reports or {}, documents or {}, answers)
        with psycopg.connect(where) as db:
            if not findings or before == _one(db, "SELECT next_position FROM log_head"):
                return findings
        settled(home, where)  # a follower entered something meanwhile (a recall, a lapse): look again at one state
    return findings


def said(db: psycopg.Connection[Any]) -> list[Entry]:
    """Return every entry of the register log, with the text it commits to in the place of the commitment."""
    rows = db.execute(f"SELECT entry, salt, text FROM {BESIDE} ORDER BY position").fetchall()
    entries = [(decode(bytes(raw)), salt, text) for raw, salt, text in rows]
    return [replace(entry, evidence=spoken(entry, salt, text), commitment=b"") for entry, salt, text in entries]


def _findings(
    home: Path,
    conninfo: str,
    reports: Mapping[str, Mapping[str, Any]],
    documents: Mapping[str, Mapping[str, Any]],
    answers: Sequence[Mapping[str, Any]],
) -> list[str]:
    keys = key_file.load(home)
    listings = Listings(home / "listings")
    with psycopg.connect(conninfo) as db:
        rows = db.execute("SELECT position, entry FROM register_log ORDER BY position")
        entries = [(position, decode(bytes(raw))) for position, raw in rows]
        said(db)  # raises when a text is not the one that was committed to
        findings = _positions(db, [position for position, _ in entries])
        standing = _replay(entries)
        findings += _rows(db, standing)
        findings += _slots(listings, entries, standing)
        findings += _persons(db, entries)
        findings += _names(db, home, len(entries))
        findings += _accounts(db, home)
        findings += _reports(db, keys, listings, reports, documents)
        findings += _seals(home, keys, db)
    findings += _receipts(home, keys, answers)
    return findings


def _one(db: psycopg.Connection[Any], sql: str) -> int:
    row = db.execute(sql).fetchone()
    assert row is not None
    return int(row[0])


def _positions(db: psycopg.Connection[Any], positions: list[int]) -> list[str]:
    length = _one(db, "SELECT next_position - 1 FROM log_head")
    dense = positions == list(range(1, length + 1))
    return [] if dense else [f"positions are not dense: {len(positions)} entries, head says {length}"]


def _replay(entries: list[tuple[int, Entry]]) -> dict[tuple[Realm, bytes], Entry]:
    """Return the last entry of each document."""
    return {(entry.realm, entry.document_key): entry for _, entry in entries if entry.kind is EntryKind.document}


def _rows(db: psycopg.Connection[Any], standing: dict[tuple[Realm, bytes], Entry]) -> list[str]:
    findings = []
    rows = db.execute("SELECT realm, document_key, standing, disputed, overrides_bulk FROM document").fetchall()
    seen = set()
    for realm, key, stands, disputed, overrides in rows:
        name = (Realm.test if realm else Realm.live, bytes(key))
        seen.add(name)
        entry = standing.get(name)
        if entry is None:
            findings.append("a document's row has no entry in the log")
        elif (entry.standing, entry.disputed, entry.overrides_bulk) != (stands, disputed, overrides):
            findings.append(f"row says {state_of(stands).name}, log says {state_of(entry.standing).name}")
    if missing := len(standing.keys() - seen):
        findings.append(f"{missing} documents of the log have no row")
    return findings


def _slots(listings: Listings, entries: list[tuple[int, Entry]], standing: dict[tuple[Realm, bytes], Entry]) -> list[str]:
    if listings.position != len(entries):
        return [f"the table is at position {listings.position}, the register at {len(entries)}"]
    expected = {
        key: value_of(
            entry.standing, disputed=entry.disputed, overrides_bulk=entry.overrides_bulk, expiry_day=entry.valid_until_day
        )
        for (_, key), entry in standing.items()
    }
    numbers: dict[bytes, set[bytes]] = {}
    for (_, key), entry in standing.items():
        if entry.number_key:
            numbers.setdefault(entry.number_key, set()).add(key)
    found = listings.lookup(b"".join(expected))
    wrong = sum(int(got) != want for got, want in zip(found, expected.values(), strict=True))
    findings = [f"{wrong} slots of documents differ from the log"] if wrong else []
    issued = {key for (_, key), entry in standing.items() if entry.standing & State.current.bit}
    found = listings.lookup(b"".join(numbers))
    wrong = 0
    for got, sharing in zip(found, numbers.values(), strict=True):
        if len(sharing) > 1:
            wrong += int(got) != pack_many(WHOLE_LIFE if any(key in issued for key in sharing) else 0)
        else:
            (key,) = sharing
            wrong += int(got) != (expected[key] | NUMBER << FLAGS_SHIFT if expected[key] else 0)
    return findings + ([f"{wrong} slots of numbers differ from the log"] if wrong else [])


def _persons(db: psycopg.Connection[Any], entries: list[tuple[int, Entry]]) -> list[str]:
    """Compare every person that has entries with the last of them: the digest of the encrypted record."""
    last = {
        body.person: (position, body.after)
        for position, entry in entries
        if entry.kind is EntryKind.person
        for body in [PersonBody.decode(entry.body)]
    }
    rows = db.execute("SELECT id, position, ciphertext, wrapped_key IS NULL FROM person_record").fetchall()
    findings = []
    for person, position, ciphertext, erased in rows:
        expected, digest = last.pop(person, (None, b""))
        if position != expected:
            findings.append(f"a person's row was last changed at position {position}, the log says {expected}")
        elif expected is not None and not erased and hashlib.sha256(ciphertext).digest() != digest:
            findings.append(f"the record of a person is not the one entered at position {expected}")
    if last:
        findings.append(f"{len(last)} persons of the log have no row")
    return findings


def _names(db: psycopg.Connection[Any], home: Path, length: int) -> list[str]:
    """Ask the table of names for every number and name on record."""
    table = Listings(home.people)
    if table.position != length:
        return [f"the table of names is at position {table.position}, the register at {length}"]
    rows = db.execute(
        f"SELECT holder_keys, name_tags FROM person_record WHERE wrapped_key IS NOT NULL AND {IN_FORCE}"
    ).fetchall()
    known = table.lookup(b"".join(row[0] for row in rows)) & np.uint64(0xFF)
    named = table.lookup(b"".join(row[1] for row in rows)) & np.uint64(0xFF)
    findings = []
    if wrong := int((known != KNOWN).sum()):
        findings.append(f"{wrong} numbers of persons are not known to the table of names")
    if wrong := int((named != NAME).sum()):
        findings.append(f"{wrong} names of persons are not known to the table of names")
    return findings


def _accounts(db: psycopg.Connection[Any], home: Path) -> list[str]:
    findings = []
    indexed = {bytes(row[0]).hex() for row in db.execute("SELECT check_id FROM check_index")}
    count = _one(db, "SELECT count(*) FROM check_index")
    logged = [
        check_id(leaf)
        for worker in workers(home / "checks")
        for window in read_windows(worker_folder(home / "checks", worker))
        for leaf in window.leaves
    ]
    if len(logged) != len(set(logged)):
        findings.append("a check stands twice in the check log")
    if count != len(logged) or indexed != set(logged):
        findings.append(f"the index has {count} checks, the check log {len(logged)}")
    return findings


def _reports(
    db: psycopg.Connection[Any],
    keys: key_file.Keys,
    listings: Listings,
    reports: Mapping[str, Mapping[str, Any]],
    documents: Mapping[str, Mapping[str, Any]],
) -> list[str]:
    found = {row[0]: row[1] for row in db.execute("SELECT id, position FROM report")}
    findings = []
    for key, answer in reports.items():
        if found.get(answer["report"]) != answer["position"]:
            findings.append(f"acknowledged report {answer['report']} at position {answer['position']} is not in the register")
        document = parse_document(msgspec.convert(documents[key], DocumentFields))
        value = int(listings.lookup(keys.documents("live").blind(block(document)))[0])
        if value & 0xFF not in {state.value + 1 for state in (State.reported_lost, State.reported_stolen)}:
            findings.append(f"acknowledged report {answer['report']}: the table does not refuse")
    identities = [answer["report"] for answer in reports.values()]
    if len(identities) != len(set(identities)):
        findings.append("two Idempotency-Keys share a report")
    return findings


def _seals(home: Path, keys: key_file.Keys, db: psycopg.Connection[Any]) -> list[str]:
    verifiers = [signer.verifier for signer in (keys.receipt_signer(), keys.register_signer(), keys.check_signer())]
    try:
        for _ in verify_logs(home, verifiers, db):
            pass
    except AnnulError as error:
        return [f"logs do not verify: {error}"]
    return []


def _receipts(home: Path, keys: key_file.Keys, answers: Sequence[Mapping[str, Any]]) -> list[str]:
    logged = {
        check_id(leaf)
        for worker in workers(home / "checks")
        for window in read_windows(worker_folder(home / "checks", worker))
        for leaf in window.leaves
    }
    findings = []
    verifier = keys.receipt_signer().verifier
    for answer in answers:
        try:
            verified = receipts.verify(answer["receipt"], verifier)
        except AnnulError as error:
            findings.append(f"receipt of check {answer['check']} does not verify: {error}")
            continue
        if verified.receipt.check != answer["check"]:
            findings.append(f"check {answer['check']} has the receipt of another")
        if answer["check"] not in logged:
            findings.append(f"answered check {answer['check']} is not in the check log")
    return findings
