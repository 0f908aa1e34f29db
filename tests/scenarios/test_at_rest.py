"""A small office set up by an operator, stopped: flipped bits are named, and unsafe or foreign data is not started on."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from annul.cli import run
from annul.registry.postgres import Embedded
from tests.cli.conftest import Result
from tests.scenarios.conftest import clean_environment
from tests.world import check_everything, settled

LISTED = {"scheme": "ru-internal", "series": "7901", "number": "000007"}
STOP_WAIT_S = 240


@dataclass
class Office:
    """A home that is set up and stopped, the copy of its database from before its last run, and how the database ran then."""

    home: Path
    older: Path
    safety: dict[str, str]


def command(home: Path, *arguments: str | Path) -> Result:
    """Run one command of annul in a process of its own, with nothing but this home in its environment."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANNUL_")}
    done = subprocess.run(
        [sys.executable, "-m", "annul", *map(str, arguments)],
        env=environment | {"ANNUL_HOME": str(home), "ANNUL_PORT": "0"},
        capture_output=True,
        text=True,
        check=False,
        timeout=STOP_WAIT_S,
    )
    return Result(done.returncode, done.stdout, done.stderr)


@contextmanager
def serving(home: Path) -> Iterator[str]:
    """Run `annul serve` and lend its address."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANNUL_")}
    with (home.parent / "serve.err").open("a") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "annul", "serve", "--json"],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=environment | {"ANNUL_HOME": str(home), "ANNUL_PORT": "0", "ANNUL_WORKERS": "1"},
        )
        assert process.stdout is not None
        told = ""
        while not told.rstrip().endswith("}"):
            line = process.stdout.readline()
            assert line, (home.parent / "serve.err").read_text()[-2000:]
            told += line
        yield json.loads(told)["url"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOP_WAIT_S) == 0
        process.stdout.close()


@pytest.fixture(scope="module")
def office(memory_folder: Path) -> Office:
    """Set an office up as docs/operate.md says, list a thousand passports, ask some checks, stop it twice."""
    home = memory_folder / "office"
    made = command(home, "setup", "--json")
    assert made.code == 0, made
    supervisor = json.loads(made.out)["supervisor_key"]
    lists = memory_folder / "office.csv"
    lists.write_bytes(b"PASSP_SERIES,PASSP_NUMBER\n" + b"".join(b"7901,%06d\n" % number for number in range(1000)))
    with serving(home) as url, httpx.Client(base_url=url, timeout=90) as http:
        post = poster(http, supervisor)
        agreement = {
            "purposes": ["payment"],
            "channels": ["remote"],
            "per_second": 1000,
            "per_day": 100_000,
            "reasons_allowed": True,
        }
        assert post("/v1/parties", {"id": "bank", "name": "Bank", "role": "relying_party", "agreement": agreement})
        assert post("/v1/parties", {"id": "registry", "name": "Registry", "role": "issuer"})
        bank = post("/v1/parties/bank/keys", {})["token"]
        issue = poster(http, post("/v1/parties/registry/keys", {})["token"])
        for number in range(20):
            passport = {"scheme": "icao-9303", "issuer": "UTO", "kind": "P", "number": f"X{number:08d}"}
            issue("/v1/documents", {"event": "issue", "document": passport})
        imported = command(home, "import", lists, "--json")
        assert imported.code == 0, imported
        ask = poster(http, bank)
        asked = ask("/v1/checks", {"document": LISTED, "purpose": "payment", "channel": "remote"})
        assert asked["status"]["code"] == "I23"
        for number in range(40):
            ask("/v1/checks", {"document": LISTED | {"number": f"{number:06d}"}, "purpose": "payment", "channel": "remote"})
    older = memory_folder / "office-older"
    shutil.copytree(home / "postgres", older, symlinks=True)
    (postgres,) = (home / "postgres").rglob("postgresql.auto.conf")
    content = postgres.read_bytes()
    postgres.write_bytes(content + b"\nfsync = off\nfull_page_writes = off\n")
    with serving(home) as url, httpx.Client(base_url=url, timeout=90) as http:
        assert poster(http, supervisor)("/v1/parties", {"id": "hotel", "name": "Hotel", "role": "relying_party"})
        with psycopg.connect(Embedded(home).conninfo) as db:
            safety = {name: str((db.execute(f"SHOW {name}").fetchone() or "?")[0]) for name in ("fsync", "full_page_writes")}
        settled(home)
        assert check_everything(home, answers=[asked]) == []
    postgres.write_bytes(content)
    return Office(home, older, safety)


def poster(http: httpx.Client, token: str) -> Any:
    """Return a function that posts JSON with this key and returns the JSON of a success."""

    def post(path: str, body: Any) -> Any:
        answered = http.post(path, json=body, headers={"Authorization": f"Bearer {token}"})
        assert answered.status_code in (200, 201), answered.text
        return answered.json()

    return post


@contextmanager
def flipped(file: Path, at: int) -> Iterator[None]:
    """Flip one bit of a file, and flip it back."""

    def flip() -> None:
        with file.open("r+b") as opened:
            opened.seek(at)
            (byte,) = opened.read(1)
            opened.seek(at)
            opened.write(bytes((byte ^ 4,)))

    flip()
    try:
        yield
    finally:
        flip()


@pytest.fixture
def annul(office: Office, capsys: pytest.CaptureFixture[str]) -> Iterator[Any]:
    """Run a command on the stopped office in this process."""

    def call(*arguments: str) -> Result:
        capsys.readouterr()
        code = run(list(arguments))
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    with clean_environment(office.home):
        yield call


def wrongs(result: Result) -> str:
    """Return all the doctor calls wrong, as text."""
    assert result.code == 1, result
    return "; ".join(f"{each['what']}: {each['message']}" for each in result.json if each["verdict"] == "wrong")


def test_a_healthy_office_is_found_well(annul: Any) -> None:
    """Nothing is called wrong, and both logs verify, before any bit is flipped."""
    doctor = annul("doctor", "--json")
    assert doctor.code == 0, doctor
    assert annul("log", "verify", "--json").json["verified"] is True


@pytest.mark.parametrize("log", ["register", "checks"])
def test_a_flipped_bit_in_a_tile_or_bundle_is_named_by_log_verify(office: Office, annul: Any, log: str) -> None:
    """In the newest tile of hashes and in the newest bundle of entries."""
    folder = office.home / "log" / log / "tile"
    for kind in ("0", "entries"):
        tile = max((path for path in (folder / kind).rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
        with flipped(tile, tile.stat().st_size // 2):
            refused = annul("log", "verify", "--json")
        assert refused.code == 1, (kind, refused)
        assert refused.json["verified"] is False
        assert "tile" in refused.json["where"] or "entry" in refused.json["message"] or log in refused.json["where"], refused


def test_a_flipped_bit_in_a_check_log_is_named_by_log_verify(office: Office, annul: Any) -> None:
    """Near its start, in the middle and near its end."""
    (file,) = (office.home / "checks").rglob("*.log")
    size = file.stat().st_size
    for at in (40, size // 3, size - 30):
        with flipped(file, at):
            refused = annul("log", "verify", "--json")
        assert refused.code == 1, (at, refused)
        assert file.name in refused.json["where"] or "checks/" in refused.json["where"], (at, refused)


def test_a_flipped_bit_in_the_listings_is_named_by_the_doctor(office: Office, annul: Any) -> None:
    """In the table of single documents and in a sealed segment of a list."""
    listings = office.home / "listings"
    (table,) = listings.glob("table-*.slots")
    (segment,) = (listings / "segments").glob("*.seg")
    for file, at in ((segment, segment.stat().st_size // 2), (segment, segment.stat().st_size - 5), (table, first_byte(table))):
        with flipped(file, at):
            assert file.name in wrongs(annul("doctor", "--json")), (file.name, at)
    assert annul("doctor").code == 0


def first_byte(table: Path) -> int:
    """Return the place of a byte in use behind the header of the table."""
    content = table.read_bytes()
    return next(at for at in range(4096, len(content)) if content[at])


def test_a_flipped_bit_in_the_key_file_is_named_and_nothing_starts(office: Office, annul: Any) -> None:
    """Every secret carries its own checksum; the doctor and the refused start say which."""
    file = office.home / "keys" / "secret.json"
    named = json.loads(file.read_text())["secrets"]
    content = file.read_text()
    for name in named:
        at = content.index(named[name]) + 9
        with flipped(file, at):
            told = wrongs(annul("doctor", "--json"))
        assert name in told or "keys/secret.json" in told  # a flip that spoils the JSON spoils the whole file
    with flipped(file, content.index(named["receipts"]) + 9):
        refused = command(office.home, "serve")
    assert refused.code == 1
    assert "secret.json" in refused.err


def test_a_key_file_that_others_may_read_is_not_started_on(office: Office) -> None:
    """Exit code 1, and the mend is named; the same for the demo."""
    file = office.home / "keys" / "secret.json"
    for mode in (0o644, 0o640, 0o604):
        file.chmod(mode)
        try:
            refused = command(office.home, "serve")
        finally:
            file.chmod(0o600)
        assert refused.code in (1, 2), refused
        assert "chmod 600" in refused.err


def test_a_lost_or_foreign_key_file_is_not_replaced_by_a_new_one(office: Office, memory_folder: Path) -> None:
    """A register that has entries is never served with other keys: no document of it would be found."""
    file = office.home / "keys" / "secret.json"
    kept = memory_folder / "secret.kept"
    file.rename(kept)
    try:
        for start in ("serve", "setup"):
            refused = command(office.home, start)
            assert refused.code == 1, refused
            assert "key file" in refused.err
            assert not file.exists()
        other = memory_folder / "other"
        from annul import keys as key_file

        key_file.create(other)
        shutil.copy2(other / "keys" / "secret.json", file)
        refused = command(office.home, "serve")
        assert refused.code == 1, refused
    finally:
        kept.replace(file)


def test_a_register_set_back_behind_its_checkpoint_is_not_started_on(office: Office, annul: Any, memory_folder: Path) -> None:
    """An older copy of the database in place of the newest: serve and the doctor say so; put back, all is well."""
    newest = office.home / "postgres"
    aside = memory_folder / "office-newest"
    newest.rename(aside)
    try:
        shutil.copytree(office.older, newest, symlinks=True)
        refused = command(office.home, "serve")
        assert refused.code == 1, refused
        assert "rolled back" in refused.err
        assert "rolled back" in wrongs(annul("doctor", "--json"))
    finally:
        shutil.rmtree(newest)
        aside.rename(newest)
    assert annul("doctor").code == 0


def test_a_database_told_to_forget_still_keeps_what_it_acknowledged(office: Office) -> None:
    """fsync switched off in the embedded server's own file: annul runs it with fsync on all the same."""
    assert office.safety == {"fsync": "on", "full_page_writes": "on"}
