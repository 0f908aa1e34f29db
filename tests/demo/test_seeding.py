"""Filling a register with the fictional country: what is loaded is what single writes would have left."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from annul import keys as key_file
from annul.demo.country import Country
from annul.demo.record import DemoRecord
from annul.demo.seeding import COVERAGE, OFFICES, load_country, make_offices
from annul.errors import BadInput, Conflict
from annul.home import Home
from annul.keys import Keys
from annul.records.entry import decode
from annul.records.status import State
from annul.registry.parties.parties import Parties
from annul.registry.writing.loading import Loading
from annul.registry.writing.store import Fresh, connect

HOLDERS = 1_500
NOW_US = 20_790 * 86_400_000_000


class Unpublished:
    """A register whose follower has not published anything yet."""

    parties_generation = 0

    def parties(self) -> tuple[int, bytes]:
        """Return no snapshot."""
        return 0, b""


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    """Keys of a home of its own."""
    return key_file.create(Home(tmp_path))


def test_the_log_is_dense_and_in_order_and_agrees_with_the_rows(database: str, keys: Keys) -> None:
    """Positions have no gap, times never run back, and a document's last entry carries the state of its row."""
    count = load_country(database, keys, Country(5, 20_780), HOLDERS)
    with connect(database) as db:
        log = db.execute("SELECT position, entry, document_id FROM register_log ORDER BY position").fetchall()
        documents = db.execute("SELECT id, standing, document_key, valid_until_day FROM document ORDER BY id").fetchall()
        head = db.execute("SELECT next_position, recorded_at_us FROM log_head").fetchone()
        fresh = db.execute(
            "INSERT INTO document (realm, document_key, coverage, kind, standing) VALUES (0, %s, 'x', 'x', 0) RETURNING id",
            (bytes(16),),
        ).fetchone()
    assert len(documents) == count
    assert [row[0] for row in documents] == list(range(1, count + 1))
    assert [position for position, _, _ in log] == list(range(1, len(log) + 1))
    entries = [decode(bytes(entry)) for _, entry, _ in log]
    times = [entry.recorded_at_us for entry in entries]
    assert times == sorted(times)
    assert head == (len(log) + 1, times[-1])
    assert fresh == (count + 1,)
    last = {document_id: entry for entry, (_, _, document_id) in zip(entries, log, strict=True)}
    for document_id, standing, key, until in documents:
        assert (last[document_id].standing, last[document_id].document_key) == (standing, bytes(key))
        assert last[document_id].valid_until_day == (until or 0)


def test_reports_stand_behind_their_entries(database: str, keys: Keys) -> None:
    """Every report row points at the entry that says so; provisional ones know when they lapse."""
    load_country(database, keys, Country(5, 20_780), 12_000)
    with connect(database) as db:
        rows = db.execute(
            "SELECT r.event, r.proof, r.state, r.lapses_at_us, l.entry, d.standing "
            "FROM report r JOIN register_log l USING (position) JOIN document d ON d.id = r.document_id"
        ).fetchall()
    assert rows
    for event, proof, state, lapses_at_us, raw, standing in rows:
        entry = decode(bytes(raw))
        assert entry.reason is not None
        assert entry.proof is not None
        assert (entry.reason.value, entry.proof.value) == (event, proof)
        assert (state == "provisional") == bool(standing & State.suspended.bit) == (lapses_at_us is not None)


def test_loading_into_a_register_with_entries_is_refused(database: str, keys: Keys) -> None:
    """Loaded entries lie in the past, and times never run back along the log."""
    load_country(database, keys, Country(5, 20_780), 100)
    with pytest.raises(Conflict, match="entries already"):
        load_country(database, keys, Country(6, 20_780), 100)


def test_a_load_that_fails_leaves_nothing(database: str, keys: Keys) -> None:
    """An error in the middle rolls everything back; the next load works."""
    country = Country(5, 20_780)

    def interrupted(_count: int) -> None:
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        load_country(database, keys, country, 200, interrupted)
    with connect(database) as db:
        assert db.execute("SELECT (SELECT count(*) FROM document), (SELECT count(*) FROM register_log)").fetchone() == (0, 0)
    assert load_country(database, keys, country, 200) > 200


def test_a_document_loaded_twice_is_refused(database: str, keys: Keys) -> None:
    """Two persons cannot hold the same document."""
    from annul.demo.seeding import part_of

    country = Country(5, 20_780)
    rows, entries = part_of(*country.part(0, 50), keys.documents("live"))

    def load() -> None:
        with Loading(database) as loading:
            loading.add(rows, entries)
            loading.add(rows, entries)

    with pytest.raises(Conflict, match="twice"):
        load()


def test_offices_are_made_once_however_often_the_start_is_interrupted(database: str) -> None:
    """A second run keeps the principals and issues fresh keys; coverage is declared."""
    parties = Parties(Fresh(database), Unpublished(), lambda: NOW_US)
    first = asyncio.run(make_offices(parties))
    second = asyncio.run(make_offices(parties))
    assert set(first) == set(second) == {office.credential for office in OFFICES}
    assert {"bank", "police", "issuer", "supervisor", "second_officer"} <= set(first)
    assert all(first[name]["key"].startswith("live_") and first[name]["test_key"].startswith("test_") for name in first)
    assert len(asyncio.run(parties.list())) == len(OFFICES)
    with connect(database) as db:
        declared = db.execute("SELECT name, extent FROM coverage ORDER BY name").fetchall()
    assert dict(declared) == {name: extent.value for name, extent in COVERAGE}


def test_demo_json_is_for_its_owner_only_and_reads_back(tmp_path: Path) -> None:
    """Mode 0600, the same content again; a damaged file is named."""
    record = DemoRecord("http://127.0.0.1:1", {"bank": {"key": "live_x"}}, {"V00": {"document": {"scheme": "generic"}}}, seed=3)
    record.attempt = {"document": {"scheme": "cn-resident"}}
    record.write(tmp_path)
    assert (tmp_path / "demo.json").stat().st_mode & 0o777 == 0o600
    assert DemoRecord.read(tmp_path) == record
    assert DemoRecord.read(tmp_path / "nowhere") is None
    (tmp_path / "demo.json").write_text("{", encoding="utf-8")
    with pytest.raises(BadInput, match=r"demo\.json"):
        DemoRecord.read(tmp_path)


def test_rows_and_entries_name_nobody(database: str, keys: Keys) -> None:
    """What is loaded is blinded: no personal or document number of the country stands in any column of the register."""
    country = Country(5, 20_780)
    persons, batch = country.part(0, 200)
    load_country(database, keys, country, 200)
    numbers = {each for each in (*persons.personal_number.tolist(), *batch.number.tolist()) if each}
    with connect(database) as db:
        dump = b"".join(
            str(row).encode()
            for table in ("document", "register_log", "report", "person")
            for row in db.execute(f"SELECT t::text FROM {table} t").fetchall()
        )
    assert len(numbers) > 200
    assert [number for number in numbers if number in dump] == []


def test_another_key_file_is_another_register(tmp_path_factory: pytest.TempPathFactory, keys: Keys) -> None:
    """The same country under other keys has the same states and no document key in common."""
    from annul.demo.seeding import part_of

    other = key_file.create(Home(tmp_path_factory.mktemp("other")))
    country = Country(5, 20_780)
    ours, theirs = (part_of(*country.part(0, 100), each.documents("live"))[0] for each in (keys, other))
    assert [row.standing for row in ours] == [row.standing for row in theirs]
    assert not {row.document_key for row in ours} & {row.document_key for row in theirs}


def test_a_replacement_points_at_the_document_that_came_after(keys: Keys) -> None:
    """Every superseded document with a holder names a later one of the same holder, by its row."""
    from annul.demo.seeding import part_of

    _, batch = (part := Country(5, 20_780).part(1, 6_000))
    rows, _ = part_of(*part, keys.documents("live"), first_id=1_000)
    followed = [(place, row.replaced_by - 1_000) for place, row in enumerate(rows) if row.replaced_by is not None]
    assert len(followed) > 50
    for before, after in followed:
        assert batch.holder[before] == batch.holder[after] >= 0
        assert batch.valid_from_day[before] < batch.valid_from_day[after]


def test_progress_counts_every_document_once(database: str, keys: Keys) -> None:
    """What is told on the way adds up to what is there."""
    told: list[int] = []
    assert load_country(database, keys, Country(5, 20_780), 300, told.append) == sum(told) > 300


def test_every_office_has_its_own_role_and_two_parties_alone_may_ask_as_relying_parties() -> None:
    """One credential name each; issuers and the supervisor have no agreement; no office may ask for what it does not do."""
    assert len({office.id for office in OFFICES}) == len({office.credential for office in OFFICES}) == len(OFFICES)
    asking = {office.credential: office.agreement for office in OFFICES if office.agreement is not None}
    assert set(asking) == {"bank", "telecom", "police"}
    assert [name for name, agreement in asking.items() if agreement.identity_allowed] == ["bank"]
    assert {name for name, agreement in asking.items() if agreement.reasons_allowed} == {"bank", "police"}
