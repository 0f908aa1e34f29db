"""`annul doctor` on a home that stands still, damaged in one place after the other: it names the place and how to mend it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from annul import keys as key_file
from annul.cli import run
from annul.cli.doctor import DISK_WRONG_BYTES
from annul.home import Home
from annul.records.status import Event
from annul.registry.loops.sealer import RegisterSealer
from annul.registry.people.vault import Vault
from tests.registry.loops.test_sealer import Sealed
from tests.registry.world import ISSUER, World, card

Findings = dict[str, dict[str, str]]


@pytest.fixture(scope="module")
def sound(make_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A register with an entry, a table, two sealed logs and nothing running; tests work on copies of its home."""
    conninfo, home = make_database(), Home(tmp_path_factory.mktemp("sound") / "home")
    home.mkdir(mode=0o700)
    sealed = Sealed(home)
    sealed.answer(0, 2)
    sealed.checks().step()
    shutil.rmtree(home / "listings", ignore_errors=True)  # of that desk; this register's own is built below
    world = World(conninfo, home)
    asyncio.run(world.register.change(ISSUER, card(), Event.compromise, happened_at_us=world.clock()))
    world.follow()
    world.close()
    Vault(home).warm()
    with psycopg.connect(conninfo, autocommit=True) as db:
        RegisterSealer(home, key_file.load(home).register_signer()).step(db)
    return conninfo, home


@pytest.fixture
def home(sound: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the sound home, with its database in the environment."""
    for name in list(os.environ):
        if name.startswith("ANNUL_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("ANNUL_DATABASE_URL", sound[0])
    copy = tmp_path / "home"
    shutil.copytree(sound[1], copy)
    monkeypatch.setenv("ANNUL_HOME", str(copy))
    return copy


def examine(capsys: pytest.CaptureFixture[str]) -> tuple[int, Findings]:
    """Run the command; return its exit code and what it found by name."""
    capsys.readouterr()
    code = run(["doctor", "--json"])
    found: list[dict[str, str]] = json.loads(capsys.readouterr().out)
    return code, {each["what"]: each for each in found}


def wrong(found: Findings) -> set[str]:
    """Name what is wrong."""
    return {what for what, each in found.items() if each["verdict"] == "wrong"}


def test_a_sound_home_is_well_and_looked_at_from_end_to_end(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 0; everything a start relies on has a line; that nothing runs is a warning with the command that starts it."""
    code, found = examine(capsys)
    assert (code, wrong(found)) == (0, set())
    assert list(found) == [
        "settings",
        "home",
        "key file",
        "public keys",
        "keys of persons",
        "disk",
        "write barrier",
        "open files",
        "clock",
        "processes",
        "proxies",
        "backup",
        "database",
        "register",
        "listings",
        "names",
        "register log",
        "checks log",
    ]
    assert (found["processes"]["verdict"], found["processes"]["mend"]) == (
        "warning",
        "Start it: annul serve, or annul demo",
    )


def test_looking_changes_nothing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Not one file is added, taken away or written, the probe of the disk included."""

    def files() -> dict[Path, tuple[int, bytes]]:
        return {file: (file.stat().st_mtime_ns, file.read_bytes()) for file in home.rglob("*") if file.is_file()}

    before = files()
    examine(capsys)
    assert files() == before


def _chmod(home: Path) -> None:
    (home / "keys" / "secret.json").chmod(0o640)


def _no_keys(home: Path) -> None:
    (home / "keys" / "secret.json").unlink()


def _cut_keys(home: Path) -> None:
    file = home / "keys" / "secret.json"
    file.write_bytes(file.read_bytes()[:-40])


def _other_public_keys(home: Path) -> None:
    file = home / "keys" / "annul.pub"
    lines = file.read_text().splitlines()
    file.write_text("\n".join(reversed(lines)) + "\n")


def _open_home(home: Path) -> None:
    home.chmod(0o777)


def _bent_checkpoint(home: Path) -> None:
    file = home / "log" / "register" / "checkpoint"
    raw = bytearray(file.read_bytes())
    raw[-10] ^= 1
    file.write_bytes(raw)


def _other_logs_checkpoint(home: Path) -> None:
    shutil.copy(home / "log" / "checks" / "checkpoint", home / "log" / "register" / "checkpoint")


def _empty_checkpoint(home: Path) -> None:
    (home / "log" / "checks" / "checkpoint").write_bytes(b"")


def _clock_behind(home: Path) -> None:
    ahead = time.time() + 3_600
    os.utime(home / "log" / "register" / "checkpoint", (ahead, ahead))


def _cut_control(home: Path) -> None:
    (home / "listings" / "control").write_bytes(b"x")


def _bad_settings(home: Path) -> None:
    (home / "annul.toml").write_text("workers = 'many'\n")


def _no_toml(home: Path) -> None:
    (home / "annul.toml").write_text("= =")


@pytest.mark.parametrize(
    ("damage", "what", "mend"),
    [
        (_chmod, {"key file"}, "chmod 600"),
        (_no_keys, {"key file"}, ""),
        (_cut_keys, {"key file"}, ""),
        (_other_public_keys, {"public keys"}, "restore it"),
        (_open_home, {"home"}, "chmod go-w"),
        (_bent_checkpoint, {"register", "sealed logs"}, "Restore it from its copy"),
        (_other_logs_checkpoint, {"register", "sealed logs"}, "Restore it from its copy"),
        (_empty_checkpoint, {"sealed logs"}, "Restore it from its copy"),
        (_clock_behind, {"clock"}, "Set the clock"),
        (_cut_control, {"listings"}, ""),
        (_bad_settings, {"settings"}, "docs/operate.md"),
        (_no_toml, {"settings"}, ""),
    ],
    ids=lambda value: value.__name__.strip("_") if callable(value) else None,
)
def test_one_damage_is_one_finding_with_its_mend(
    damage: Callable[[Path], None], what: set[str], mend: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 1; what else is looked at stays well, and no traceback is shown whatever the damage."""
    damage(home)
    code, found = examine(capsys)
    assert (code, wrong(found)) == (1, what), found
    assert mend in "".join(found[each].get("mend", "") for each in what)
    assert "Traceback" not in json.dumps(found)


LOADED = ("keys/*", "listings/**/*", "people/**/*", "log/*/checkpoint")
"""Files a start reads and believes. Of check logs, tiles and entries every byte is read by `annul log verify`."""


def test_a_flipped_bit_in_any_file_that_is_loaded_is_found(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each file in turn, a bit at the beginning, in the middle, at the end: something is wrong; afterwards all is well again.

    Of the control page only form and version are held: its counters are written anew twenty times a second.
    """
    files = {file for pattern in LOADED for file in home.glob(pattern) if file.is_file() and file.stat().st_size}
    names = {str(file.relative_to(home)) for file in files}
    assert {"keys/secret.json", "keys/people.json", "keys/annul.pub", "listings/control", "people/control"} <= names
    assert {name.rpartition("/")[2].partition("-")[0] for name in names} >= {"manifest.json", "table", "checkpoint"}
    unseen = []
    for file in sorted(files):
        raw = file.read_bytes()
        used = raw.rstrip(b"\0")  # room behind what is used is read by nobody
        for place in (0,) if file.name == "control" else (0, len(used) // 2, len(used) - 1):
            bent = bytearray(raw)
            bent[place] ^= 4
            file.write_bytes(bent)
            _, found = examine(capsys)
            if not wrong(found):
                unseen.append(f"{file.relative_to(home)}, byte {place} of {len(used)}")
        file.write_bytes(raw)
    assert unseen == []
    assert wrong(examine(capsys)[1]) == set()


def test_what_was_not_sealed_or_built_yet_is_no_fault(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A register that was never started warns, and says what will make it."""
    shutil.rmtree(home / "listings")
    shutil.rmtree(home / "people")
    shutil.rmtree(home / "log")
    code, found = examine(capsys)
    assert code == 0
    for name in ("listings", "names", "register log", "checks log"):
        assert found[name]["verdict"] == "warning"
        assert found[name]["mend"].startswith("Start annul")


def test_an_old_copy_of_the_database_is_told_as_rolled_back(
    home: Path, make_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The seal knows more entries than the register has: that is wrong, and nothing else is."""
    monkeypatch.setenv("ANNUL_DATABASE_URL", make_database())
    code, found = examine(capsys)
    assert (code, wrong(found)) == (1, {"register"})


def test_a_database_that_is_away_is_told_once_by_each_that_needs_it(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The files are looked at all the same; no password is shown."""
    monkeypatch.setenv("ANNUL_DATABASE_URL", "postgresql://annul:sesame@127.0.0.1:1/annul?connect_timeout=2")
    code, found = examine(capsys)
    assert (code, wrong(found)) == (1, {"database", "register"})
    assert found["listings"]["verdict"] == "well"
    assert "sesame" not in json.dumps(found)


def test_lists_that_wait_for_a_second_officer_are_pointed_out(
    home: Path, sound: tuple[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """A staged list is easily forgotten."""
    with psycopg.connect(sound[0], autocommit=True) as db:
        db.execute(
            "INSERT INTO bulk (id, realm, state, listed, document_count, sha256, file, key_epoch, happened_at_us, evidence, "
            "summary, staged_by, staged_at_us) VALUES ('b', 0, 'staged', 0, 5, %s, 'f', 0, 1, '', '{}', 'x', 1)",
            (bytes(32),),
        )
        try:
            _, found = examine(capsys)
        finally:
            db.execute("DELETE FROM bulk")
    assert (found["bulk events"]["verdict"], "annul bulk list" in found["bulk events"]["mend"]) == ("warning", True)


def test_a_home_that_is_not_there_names_the_commands_that_make_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And nothing is made by looking."""
    monkeypatch.setenv("ANNUL_HOME", str(tmp_path / "nowhere"))
    code, found = examine(capsys)
    assert (code, found["home"]["mend"]) == (1, "Run: annul setup, or annul demo")
    assert not (tmp_path / "nowhere").exists()


def test_the_text_marks_what_is_wrong_and_says_the_mend_below_it(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A tick, an exclamation mark, a cross."""
    _open_home(home)
    assert run(["doctor"]) == 1
    lines = capsys.readouterr().out.splitlines()
    place = lines.index("✖  home: others may write into the data folder")
    assert lines[place + 1] == f"     Run: chmod go-w {home}"
    assert any(line.startswith("!  processes: ") for line in lines)
    assert any(line.startswith("✔  settings: ") for line in lines)


@pytest.mark.parametrize(
    ("free", "verdict"), [(DISK_WRONG_BYTES - 1, "wrong"), (DISK_WRONG_BYTES, "warning"), (1 << 40, "well")]
)
def test_a_disk_is_judged_by_what_is_left(
    free: int, verdict: str, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Below half a gigabyte answers will stop; below a tenth it is time to plan."""
    usage: Any = shutil.disk_usage(home)
    monkeypatch.setattr("annul.cli.doctor.shutil.disk_usage", lambda _home: usage._replace(total=1 << 41, free=free))
    assert examine(capsys)[1]["disk"]["verdict"] == verdict
