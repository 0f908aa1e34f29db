"""Both logs sealed: everything is in the tiles, a crash loses nothing, and what does not fit is named."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psycopg
import pytest

from annul import keys as key_file
from annul.errors import AnnulError, Corrupt, VerificationFailed
from annul.listings import pack
from annul.proof.checkpoint import Verifier, open_checkpoint
from annul.proof.tiles import CHECKPOINT
from annul.proof.window import WindowSigner
from annul.records.entry import Entry, EntryKind, encode
from annul.registry.answering.checklog import CheckLog, log_files, worker_folder
from annul.registry.loops.sealer import CheckSealer, Faults, Progress, RegisterSealer, Scrubber, log_folder, verify_logs
from tests.registry.answering.desk import Desk, DocumentFields, State, parsed, question

RU = DocumentFields(scheme="ru-internal", series="4509", number="123456")


class Sealed:
    """Hold a home with keys, a way to make windows in any worker's log, and both sealers."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.keys = key_file.create(home)
        self.verifiers = [Verifier.parse(line) for line in self.keys.public_lines()]

    def answer(self, worker: int, count: int) -> None:
        """Answer `count` checks in as many windows of a worker."""

        async def run() -> None:
            desk = Desk(self.home)
            desk.signer = WindowSigner(self.keys.receipts)
            checks = desk.checks(worker)
            for _ in range(count):
                await checks.ask(desk.bank, question(RU))
            await desk.close()
            desk.writer.close()

        asyncio.run(run())

    def checks(self) -> CheckSealer:
        """Open the check log's sealer, as after a start."""
        return CheckSealer(self.home, self.keys.check_signer(), self.keys.receipt_verifiers())

    def register(self) -> RegisterSealer:
        """Open the register log's sealer, as after a start."""
        return RegisterSealer(self.home, self.keys.register_signer())

    def verify(self, db: psycopg.Connection[object] | None = None) -> list[Progress]:
        """Re-read everything."""
        return list(verify_logs(self.home, self.verifiers, db))


def write_entries(database: str, count: int) -> None:
    """Record notes, as the register does."""
    with psycopg.connect(database, autocommit=True) as db:
        for _ in range(count):
            entry = encode(Entry(kind=EntryKind.note, recorded_at_us=1, happened_at_us=1, author="test", body=b"x"))
            db.execute(
                "WITH head AS (UPDATE log_head SET next_position = next_position + 1 RETURNING next_position - 1 AS at) "
                "INSERT INTO register_log (position, entry) SELECT at, %s FROM head",
                (entry,),
            )


def test_windows_of_all_workers_are_merged_once(tmp_path: Path) -> None:
    """Every window of every worker is in the sealed log exactly once, over several starts of the sealer."""
    sealed = Sealed(tmp_path)
    sealed.answer(0, 3)
    assert sealed.checks().step() == 3
    sealed.answer(1, 2)
    sealed.answer(0, 1)
    again = sealed.checks()
    assert again.step() == 3
    assert again.step() == 0
    (tmp_path / "log" / "checks.cursor").unlink()  # it may be lost in a crash
    sealed.answer(1, 1)
    assert sealed.checks().step() == 1
    assert sealed.checks().step(fresh=True) == 0
    assert sealed_size(sealed, "checks") == 7


def sealed_size(sealed: Sealed, log: str) -> int:
    """Return the size a signed checkpoint states."""
    note = (log_folder(sealed.home, log) / CHECKPOINT).read_bytes()
    return open_checkpoint(note, sealed.verifiers, f"{sealed.keys.origin}/{log}").size


def test_a_crash_between_tiles_and_checkpoint_merges_again(tmp_path: Path) -> None:
    """Tiles without a checkpoint do not count: after the crash the same windows are merged, once."""
    sealed = Sealed(tmp_path)
    sealed.answer(0, 2)
    crashed = sealed.checks()
    crashed._sealed.checkpoint = lambda: (_ for _ in ()).throw(RuntimeError("killed"))  # type: ignore[method-assign]
    with pytest.raises(RuntimeError):
        crashed.step()
    assert sealed.checks().step() == 2
    assert sealed_size(sealed, "checks") == 2
    assert [progress.part for progress in verify_checks(sealed)][-1] == "windows"


def verify_checks(sealed: Sealed) -> list[Progress]:
    """Re-read everything of a home whose register log is empty."""
    register = sealed.register()
    register._sealed.checkpoint()
    return sealed.verify()


def test_a_changed_window_is_named_with_its_place(tmp_path: Path) -> None:
    """A flipped byte in a worker's file stops the merge of that worker and is found by the verification."""
    sealed = Sealed(tmp_path)
    sealed.answer(0, 3)
    sealed.answer(1, 1)
    sealed.checks().step()
    verify_checks(sealed)
    file = log_files(worker_folder(tmp_path / "checks", 0))[0]
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 1
    file.write_bytes(raw)
    with pytest.raises(Corrupt) as caught:
        sealed.verify()
    assert file.name in str(caught.value.where)
    assert "at byte" in str(caught.value.where)


def test_a_replaced_history_is_refused(tmp_path: Path) -> None:
    """Somebody who rewrites a worker's log with valid signatures does not continue the chain that was sealed."""
    sealed = Sealed(tmp_path)
    sealed.answer(0, 3)
    sealed.checks().step()
    for path in worker_folder(tmp_path / "checks", 0).iterdir():
        path.unlink()
    sealed.answer(0, 5)
    with pytest.raises(Corrupt):
        sealed.checks().step()
    with pytest.raises(AnnulError):
        verify_checks(sealed)


def test_one_broken_worker_does_not_stop_the_others(tmp_path: Path) -> None:
    """The fault is told once; windows of other workers are sealed all the same."""
    sealed = Sealed(tmp_path)
    sealed.answer(0, 2)
    file = log_files(worker_folder(tmp_path / "checks", 0))[0]
    raw = bytearray(file.read_bytes())
    raw[-3] ^= 1
    file.write_bytes(raw)
    sealed.answer(1, 2)
    sealer = sealed.checks()
    with pytest.raises(Corrupt):
        sealer.step()
    sealed.answer(1, 1)
    assert sealer.step() == 1
    assert sealed_size(sealed, "checks") == 4


def test_the_register_is_sealed_by_dense_position(tmp_path: Path, database: str) -> None:
    """Position n is entry n - 1; rows, tiles and checkpoint agree; a gap or a changed row is named."""
    sealed = Sealed(tmp_path)
    write_entries(database, 5)
    with psycopg.connect(database, autocommit=True) as db:
        sealer = sealed.register()
        assert sealer.step(db) == 5
        assert sealer.step(db) == 0
        write_entries(database, 300)
        assert sealed.register().step(db) == 300
        sealed.checks().step(fresh=True)
        assert sealed.verify(db)[-1] == Progress("register rows", 305, 305)
        db.execute("ALTER TABLE register_log DISABLE TRIGGER ALL")
        db.execute("UPDATE register_log SET entry = %s WHERE position = 17", (b"forged",))
        with pytest.raises(Corrupt, match="17"):
            sealed.verify(db)


def test_a_register_that_was_rolled_back_is_noticed(tmp_path: Path, database: str) -> None:
    """An old copy of the database behind a newer checkpoint is refused, not sealed over."""
    sealed = Sealed(tmp_path)
    write_entries(database, 3)
    with psycopg.connect(database, autocommit=True) as db:
        sealed.register().step(db)
        db.execute("ALTER TABLE register_log DISABLE TRIGGER ALL")
        db.execute("DELETE FROM register_log WHERE position = 3")
        db.execute("UPDATE log_head SET next_position = 3")
        with pytest.raises(Corrupt, match="rolled back"):
            sealed.register().step(db)


def test_a_flipped_bit_in_tiles_or_checkpoint_is_found(tmp_path: Path) -> None:
    """Each file of the sealed log, changed in one bit, makes the verification fail."""
    sealed = Sealed(tmp_path)
    sealed.answer(0, 4)
    sealed.checks().step()
    verify_checks(sealed)
    for path in sorted(log_folder(tmp_path, "checks").rglob("*")):
        if path.is_dir():
            continue
        whole = path.read_bytes()
        path.write_bytes(whole[:-5] + bytes([whole[-5] ^ 4]) + whole[-4:])
        with pytest.raises((Corrupt, VerificationFailed)):
            sealed.verify()
        path.write_bytes(whole)
    sealed.verify()


def test_windows_that_are_not_durable_yet_are_not_sealed(tmp_path: Path) -> None:
    """The sealer reads up to the durable mark: what may still be rolled back never gets into a tile."""
    sealed = Sealed(tmp_path)
    sealed.answer(0, 1)
    log = CheckLog(tmp_path / "checks", 0)
    log._mark.set(0)
    assert sealed.checks().step() == 0
    log._mark.set(1)
    log.close()
    assert sealed.checks().step() == 1


def read_through(scrubber: Scrubber) -> None:
    """Read all slices once."""
    while not scrubber.step():
        pass


def test_corrupt_listings_are_named_until_they_are_sound_again(tmp_path: Path) -> None:
    """A flipped bit in the table is found by reading through it, told in a file, and taken back when it is mended."""
    desk = Desk(tmp_path)
    document = parsed(RU)
    desk.put(document, pack(State.reported_lost))
    desk.writer.close()
    faults, scrubber, file = Faults(tmp_path), Scrubber(tmp_path), tmp_path / "run" / "corrupt.json"
    read_through(scrubber)
    table = next((tmp_path / "listings").glob("table-*.slots"))
    whole = table.read_bytes()
    at = next(n for n in range(len(whole) - 16, 0, -1) if whole[n])
    table.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    with pytest.raises(Corrupt) as caught:
        read_through(Scrubber(tmp_path))
    faults.found("listings", caught.value)
    assert "table" in file.read_text()
    table.write_bytes(whole)
    read_through(scrubber)
    faults.mended("listings")
    assert not file.exists()
