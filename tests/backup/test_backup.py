"""Copies and restoring, on a small register at rest: what is copied, what is refused, and what is said to be missing."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest

from annul import keys as key_file
from annul.backup import Opening, Restored, Sealing, Source, make_identity, restore, take
from annul.backup import contents as table
from annul.cli import run as annul
from annul.errors import AnnulError, BadInput, Conflict, Corrupt, NotFound, VerificationFailed
from annul.home import Home
from annul.proof.window import WindowSigner
from annul.records.status import Event
from annul.registry.loops.sealer import RegisterSealer
from annul.registry.people.vault import Vault
from annul.settings import Settings, load
from tests.registry.answering.desk import Desk, question
from tests.registry.loops.test_sealer import RU, Sealed
from tests.registry.world import ISSUER, World, passport

PASSPHRASE = "correct horse battery staple"
SEALING, OPENING = Sealing(passphrase=PASSPHRASE), Opening(passphrase=PASSPHRASE)


class Kept:
    """A register at rest with both logs sealed; `report` and `answer` let it grow."""

    def __init__(self, conninfo: str, home: Home) -> None:
        home.mkdir(mode=0o700)
        self.conninfo, self.home = conninfo, home
        self.desk = Sealed(home)
        self.world = World(conninfo, home)
        Vault(home).warm()
        home.settings_file.write_text(f"database_url = {json.dumps(conninfo)}\n")
        self.settings: Settings = load({}, home=home)
        self.numbers = 0

    def grow(self, *, windows: int = 3) -> None:
        """Enter one document, answer a few windows of checks, and seal both logs."""
        self.numbers += 1
        document = passport(f"L{self.numbers:07d}")
        asyncio.run(self.world.register.change(ISSUER, document, Event.compromise, happened_at_us=self.world.clock()))
        self.desk.answer(0, windows)
        self.desk.checks().step()
        with psycopg.connect(self.conninfo, autocommit=True) as db:
            RegisterSealer(self.home, key_file.load(self.home).register_signer()).step(db)

    def receipt(self) -> bytes:
        """Answer one check more and return its receipt as JSON."""

        async def run() -> bytes:
            desk = Desk(self.home)
            desk.signer = WindowSigner(self.desk.keys.receipts)
            told = await desk.checks(0).ask(desk.bank, question(RU))
            await desk.close()
            desk.writer.close()
            return msgspec.json.encode(told.answer.receipt)

        return asyncio.run(run())

    def checkpoint(self, log: str) -> bytes:
        """The checkpoint of a log."""
        return (self.home.log(log) / "checkpoint").read_bytes()


@pytest.fixture
def kept(database: str, tmp_path: Path) -> Kept:
    """A register that has grown once."""
    made = Kept(database, Home(tmp_path, "home"))
    made.grow()
    return made


Restoring = Callable[..., Restored]


@pytest.fixture
def restoring(make_database: Callable[[], str], tmp_path: Path) -> Restoring:
    """Restore the copies of `tmp_path/copies` into `tmp_path/restored`, with an empty database."""

    def into(**changes: Any) -> Restored:
        url = make_database()
        with psycopg.connect(url, autocommit=True) as db:
            db.execute("DROP SCHEMA public CASCADE")
            db.execute("CREATE SCHEMA public")
        accept = changes.pop("accept_loss", False)
        target = changes.pop("target", Home(tmp_path, "restored"))
        source = Source(tmp_path / "copies", **{"opening": OPENING} | changes)
        return restore(source, target, database_url=url, accept_loss=accept)

    return into


def test_what_comes_back_is_what_was_copied(kept: Kept, tmp_path: Path, restoring: Restoring) -> None:
    """Logs, keys and settings are the same bytes, everything was re-read, and only the owner may look."""
    contents = take(kept.settings, tmp_path / "copies", SEALING)
    restored = restoring()
    home = restored.home
    for log in ("register", "checks"):
        assert (home.log(log) / "checkpoint").read_bytes() == kept.checkpoint(log)
    for file in (kept.home.secret_keys, kept.home.person_keys, kept.home.settings_file):
        assert (home / file.relative_to(kept.home)).read_bytes() == file.read_bytes()
    assert restored.counts["register log"] == restored.counts["register rows"] == contents.database.head == 1
    assert restored.counts["windows"] == contents.check_windows == 3
    assert restored.missing == []
    assert all(stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 for path in home.rglob("*") if path.name != "annul.pub")


def test_a_second_copy_adds_what_is_new(kept: Kept, tmp_path: Path, restoring: Restoring) -> None:
    """The check log is copied from where the last copy ended; the older run stays as it was, and can still be restored."""
    first = take(kept.settings, tmp_path / "copies", SEALING)
    copied = tmp_path / "copies" / "grown" / "checks" / "00" / first.grown.checks["0"].file
    before = copied.read_bytes()
    os.utime(copied, ns=(1, 1))
    kept.grow(windows=5)
    added: list[int] = []
    second = take(
        kept.settings, tmp_path / "copies", SEALING, step=lambda what, size: added.append(size * (what == "check logs"))
    )
    assert copied.read_bytes().startswith(before)
    assert sum(added) == second.grown.checks["0"].offset - first.grown.checks["0"].offset
    assert [table.read(run).check_windows for run in table.runs(tmp_path / "copies")] == [3, 8]
    older = restoring(run=table.runs(tmp_path / "copies")[0].name, accept_loss=True)
    assert older.counts["windows"] == 3
    assert restoring(target=Home(tmp_path, "newest")).counts["windows"] == 8


def test_what_an_unfinished_copy_left_is_written_again(kept: Kept, tmp_path: Path, restoring: Restoring) -> None:
    """Bytes behind the noted place, a half tile and an unfinished folder do not reach the next copy."""
    contents = take(kept.settings, tmp_path / "copies", SEALING)
    grown = tmp_path / "copies" / "grown"
    with (grown / "checks" / "00" / contents.grown.checks["0"].file).open("ab") as file:
        file.write(bytes(1000))
    (tmp_path / "copies" / f"2026-01-01T000000.000000Z{table.UNFINISHED}").mkdir()
    kept.grow()
    for tile in (grown / "log").rglob("*.p/2"):
        tile.write_bytes(b"half")
    take(kept.settings, tmp_path / "copies", SEALING)
    assert not list((tmp_path / "copies").glob(f"*{table.UNFINISHED}"))
    assert restoring().counts["windows"] == 6


def test_lists_and_editions_that_did_not_change_are_linked(kept: Kept, tmp_path: Path) -> None:
    """A list of a gigabyte is copied once, however many runs there are."""
    kept.home.segments.mkdir(parents=True, exist_ok=True)
    (kept.home.segments / "a.seg").write_bytes(b"list")
    take(kept.settings, tmp_path / "copies", SEALING)
    take(kept.settings, tmp_path / "copies", SEALING)
    first, second = (run / "files" / "listings" / "segments" / "a.seg" for run in table.runs(tmp_path / "copies"))
    assert first.stat().st_ino == second.stat().st_ino


def test_a_copy_behind_what_was_given_out_is_refused(kept: Kept, tmp_path: Path, restoring: Restoring) -> None:
    """A newer checkpoint, the old home, a newer run: each is named with the entries that are missing; accepted, it says so."""
    take(kept.settings, tmp_path / "copies", SEALING)
    kept.grow()
    (tmp_path / "newest").write_bytes(kept.checkpoint("register"))
    with pytest.raises(Conflict, match=r"1 register entries are missing \(2 to 2\), says the checkpoint newest"):
        restoring(known=[tmp_path / "newest"])
    with pytest.raises(Conflict, match=r"3 sealed windows are missing \(4 to 6\)"):
        restoring(replaces=kept.home)
    assert not Home(tmp_path, "restored").exists()
    accepted = restoring(replaces=kept.home, accept_loss=True)
    assert {each.what for each in accepted.missing} == {"register entries", "sealed windows", "windows of worker 0"}
    take(kept.settings, tmp_path / "copies", SEALING)
    with pytest.raises(Conflict, match="says the run"):
        restoring(run=table.runs(tmp_path / "copies")[0].name, target=Home(tmp_path, "third"))


def test_a_receipt_that_was_given_out_is_asked(kept: Kept, tmp_path: Path, restoring: Restoring) -> None:
    """The receipt of a window behind the copy refuses it; one of another register is no evidence."""
    take(kept.settings, tmp_path / "copies", SEALING)
    (tmp_path / "receipt.json").write_bytes(kept.receipt())
    with pytest.raises(Conflict, match=r"1 windows of worker 0 are missing \(4 to 4\), says the receipt"):
        restoring(known=[tmp_path / "receipt.json"])
    (tmp_path / "other.json").write_bytes(b'{"receipt": {}}')
    with pytest.raises(BadInput, match="neither a checkpoint nor a receipt"):
        restoring(known=[tmp_path / "other.json"])


@pytest.mark.parametrize("part", ["database.dump", "contents.json", "keys.age", "grown/checks", "grown/log"])
def test_one_flipped_bit_is_found(part: str, kept: Kept, tmp_path: Path, restoring: Restoring) -> None:
    """Whatever part of a copy is damaged, nothing gets the name of the home."""
    take(kept.settings, tmp_path / "copies", SEALING)
    run = table.runs(tmp_path / "copies")[0]
    places = sorted(path for path in (tmp_path / "copies" / part).rglob("*") if path.is_file()) or [run / part]
    raw = bytearray(places[0].read_bytes())
    raw[len(raw) // 2] ^= 1
    places[0].write_bytes(bytes(raw))
    with pytest.raises(AnnulError) as refused:
        restoring()
    assert refused.type in (Corrupt, VerificationFailed)
    assert not Home(tmp_path, "restored").exists()


def test_a_file_that_is_gone_is_named(kept: Kept, tmp_path: Path, restoring: Restoring) -> None:
    """A copy without one of its tiles names the tile."""
    take(kept.settings, tmp_path / "copies", SEALING)
    tile = next((tmp_path / "copies" / "grown" / "log" / "register").rglob("entries/*.p/1"))
    tile.unlink()
    with pytest.raises(NotFound) as refused:
        restoring()
    assert "tile/entries/000.p/1" in str(refused.value)


def test_no_key_and_no_password_lies_open_in_a_copy(kept: Kept, tmp_path: Path) -> None:
    """Neither a secret of the key files nor the settings with the database's password are in any file but the sealed one."""
    kept.home.settings_file.write_text(kept.home.settings_file.read_text() + 'notices_mail = "smtp://u:hunter2-hunter2@h"\n')
    take(load({}, home=kept.home), tmp_path / "copies", SEALING)
    secrets = [value.encode() for value in json.loads(kept.home.secret_keys.read_text())["secrets"].values()]
    for path in (tmp_path / "copies").rglob("*"):
        if path.is_file():
            raw = path.read_bytes()
            assert not any(secret in raw for secret in [*secrets, b"hunter2", b"postgres"]), path
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 or path.name == "lock"


def test_keys_are_sealed_to_an_identity_or_kept_elsewhere(kept: Kept, tmp_path: Path, restoring: Restoring) -> None:
    """The identity opens them, another does not; without keys in it a copy asks for their folder."""
    mine, other = (make_identity(tmp_path / name) for name in ("mine", "other"))
    take(kept.settings, tmp_path / "copies", Sealing((mine,)))
    with pytest.raises(VerificationFailed, match="do not open"):
        restoring(opening=Opening((tmp_path / "other").read_text()))
    assert restoring(opening=Opening((tmp_path / "mine").read_text())).counts
    assert mine != other
    with pytest.raises(Conflict):
        make_identity(tmp_path / "mine")
    shutil.rmtree(tmp_path / "copies")
    take(kept.settings, tmp_path / "copies", None)
    with pytest.raises(NotFound, match="keys are not in this backup"):
        restoring(target=Home(tmp_path, "second"))
    assert restoring(target=Home(tmp_path, "second"), opening=None, keys=kept.home.keys).counts


def test_a_folder_belongs_to_one_register_and_one_history(
    kept: Kept, make_database: Callable[[], str], tmp_path: Path, restoring: Restoring
) -> None:
    """Another register is refused, and so is one that went on from an older copy."""
    take(kept.settings, tmp_path / "copies", SEALING)
    other = Kept(make_database(), Home(tmp_path, "other"))
    other.grow()
    with pytest.raises(Conflict, match="another register"):
        take(other.settings, tmp_path / "copies", SEALING)
    kept.grow()
    take(kept.settings, tmp_path / "copies", SEALING)
    shutil.rmtree(kept.home.checks / "00")
    kept.desk.answer(0, 6)
    with pytest.raises((Conflict, Corrupt)):
        take(kept.settings, tmp_path / "copies", SEALING)


def test_the_home_and_the_database_must_be_empty(kept: Kept, tmp_path: Path) -> None:
    """Nothing is ever restored over something."""
    take(kept.settings, tmp_path / "copies", SEALING)
    with pytest.raises(Conflict, match="something in the data folder"):
        restore(Source(tmp_path / "copies", opening=OPENING), kept.home)
    with pytest.raises(Conflict, match="not empty"):
        restore(Source(tmp_path / "copies", opening=OPENING), Home(tmp_path, "restored"), database_url=kept.conninfo)


def test_the_command_asks_who_may_open_the_keys(
    kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without an answer nothing is copied; with one the run is named, and doctor knows of it."""
    for name in [name for name in os.environ if name.startswith("ANNUL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr("sys.stdin", open(os.devnull))  # noqa: SIM115 - pytest closes it
    asked = ["backup", str(tmp_path / "copies"), "--home", str(kept.home), "--json"]
    assert annul(asked) == 2
    assert "Nothing says who may open the keys." in capsys.readouterr().err
    monkeypatch.setenv("ANNUL_BACKUP_PASSPHRASE", "too short")
    assert annul(asked) == 2
    monkeypatch.setenv("ANNUL_BACKUP_PASSPHRASE", PASSPHRASE)
    capsys.readouterr()
    assert annul(asked) == 0
    told = json.loads(capsys.readouterr().out)
    assert (tmp_path / "copies" / told["run"] / "contents.note").exists()
    assert (told["register_entries"], told["check_windows"], told["keys"]) == (1, 3, True)
