"""The embedded server: made from nothing, killed, orphaned, stale, unsafe."""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from annul.errors import SourceDown, UnsafeSettings
from annul.home import Home
from annul.registry.postgres import Embedded, run_folder
from annul.registry.writing import store
from tests.waiting import WAIT_S, until


@pytest.fixture(scope="module")
def home(memory_folder: Path) -> Path:
    """A home whose server is made once for this module."""
    folder = memory_folder / "supervised"
    Embedded(folder).start().stop()
    return folder


@pytest.fixture
def running(home: Path) -> Iterator[Embedded]:
    """The server, running."""
    with Embedded(home) as embedded:
        yield embedded


def test_a_user_without_a_name_is_told_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL would not start under a bare number: nothing is made, and two ways out are named."""
    monkeypatch.setattr(os, "geteuid", lambda: 4_242_424)
    with pytest.raises(UnsafeSettings, match=r"4242424.* has no name") as caught:
        Embedded(Home(tmp_path / "home")).start()
    assert "useradd" in (caught.value.mend or "")
    assert "ANNUL_DATABASE_URL" in (caught.value.mend or "")
    assert not (tmp_path / "home" / "postgres" / "data").exists()


def asks(embedded: Embedded) -> object:
    """Ask the server something."""
    with psycopg.connect(embedded.conninfo) as db:
        return db.execute("SELECT 1").fetchone()


def until_answer(embedded: Embedded) -> None:
    """Wait until the server answers."""

    def answers() -> bool:
        try:
            return asks(embedded) is not None
        except psycopg.OperationalError:
            return False

    until(answers, "the server")


def test_it_has_checksums_a_password_and_no_port(running: Embedded) -> None:
    """Checksums on, SCRAM by a pass file of mode 0600, no TCP, barriers on, nothing of statements in its log."""
    with psycopg.connect(running.conninfo) as db:
        shown = {
            name: db.execute("SELECT current_setting(%s)", (name,)).fetchone()[0]  # type: ignore[index]
            for name in ("data_checksums", "listen_addresses", "fsync", "full_page_writes", "log_min_error_statement")
        }
        assert shown == {
            "data_checksums": "on",
            "listen_addresses": "",
            "fsync": "on",
            "full_page_writes": "on",
            "log_min_error_statement": "panic",
        }
        assert db.info.get_parameters()["user"] == "annul"
    assert stat.S_IMODE((running.folder / "passfile").stat().st_mode) == 0o600
    assert "password" not in running.conninfo
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(running.conninfo.replace("passfile=", "passfile='/nonexistent' application_name="))


def test_a_killed_server_comes_back_by_itself(running: Embedded) -> None:
    """kill -9 of the postmaster: the watcher starts it again and nothing committed is gone."""
    with psycopg.connect(running.conninfo, autocommit=True) as db:
        db.execute("CREATE TABLE IF NOT EXISTS kept (n int)")
        db.execute("INSERT INTO kept VALUES (1)")
    assert running.pid is not None
    os.kill(running.pid, signal.SIGKILL)
    until_answer(running)
    with psycopg.connect(running.conninfo, autocommit=True) as db:
        assert db.execute("SELECT count(*) FROM kept").fetchone() == (1,)
        db.execute("DROP TABLE kept")
    assert running.restarts >= 1


def test_a_stale_pid_file_is_not_trusted(home: Path) -> None:
    """The pid in the file is alive but is this test, not a server: it is not signalled, and the server starts."""
    pid_file = home / "postgres" / "data" / "postmaster.pid"
    pid_file.write_text(f"{os.getpid()}\n{home}\n")
    with Embedded(home) as embedded:
        assert asks(embedded) == (1,)


def test_an_orphaned_server_is_stopped_first(home: Path) -> None:
    """The supervisor was killed and its server lives on: the next supervisor replaces it, by its folder."""
    first = Embedded(home).start()
    orphan = first.pid
    first._stopping.set()  # as if the supervisor had died: nobody watches, nobody stops the server
    os.close(first._lock_file)  # type: ignore[arg-type]
    with Embedded(home) as second:
        assert asks(second) == (1,)
        assert second.pid != orphan
    first._server.wait(WAIT_S)  # type: ignore[union-attr]


def test_two_supervisors_of_one_folder_are_one_too_many(running: Embedded) -> None:
    """The second one is refused and touches nothing."""
    with pytest.raises(SourceDown, match="already"):
        Embedded(running.home).start()
    assert asks(running) == (1,)


@pytest.mark.parametrize("name", ["fsync", "full_page_writes", "synchronous_commit"])
def test_a_server_that_may_forget_is_refused(tmp_path: Path, name: str) -> None:
    """Turning a barrier off is refused before anything starts."""
    with pytest.raises(UnsafeSettings):
        Embedded(tmp_path, settings={name: "off"})


def test_an_external_server_without_barriers_is_refused(memory_folder: Path) -> None:
    """Whatever started it: `migrate` looks at what the server says of itself."""
    embedded = Embedded(memory_folder / "unsafe")
    embedded._settings["fsync"] = "off"  # behind the supervisor's back
    with embedded, pytest.raises(UnsafeSettings, match="fsync"):
        store.migrate(embedded.conninfo)


def test_an_interrupted_first_start_is_made_anew(memory_folder: Path) -> None:
    """A half-made data folder never looks finished."""
    home = memory_folder / "half"
    (home / "postgres" / "data.new").mkdir(parents=True)
    (home / "postgres" / "data.new" / "PG_VERSION").write_text("18\n")
    with Embedded(home) as embedded:
        assert asks(embedded) == (1,)


def test_a_long_path_gets_a_short_folder_for_its_socket(memory_folder: Path) -> None:
    """The socket fits its address, the folder belongs to us alone, and the same home finds it again."""
    home = memory_folder / ("long-" * 24)
    folder = run_folder(home)
    assert len(str(folder)) < 60
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert run_folder(home) == folder
    folder.rmdir()


def test_migrating_twice_changes_nothing(database: str) -> None:
    """The second call finds nothing to do; a newer database is refused."""
    assert store.migrate(database) is False
    with psycopg.connect(database, autocommit=True) as db:
        db.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(UnsafeSettings, match="9999"):
        store.migrate(database)
