"""The embedded server: made from nothing, killed, orphaned, stale, unsafe."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from annul.errors import MissingPackage, SourceDown, UnsafeSettings
from annul.home import Home
from annul.records.status import Event
from annul.registry.postgres import SERVER_LEAST, Embedded, binaries, major_of, run_folder, servers
from annul.registry.writing import store
from tests.registry.world import ISSUER, World, card
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


# -- every server that is found ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=servers(), ids=lambda folder: f"{major_of(folder)}-{folder.parts[-3]}")
def each(request: pytest.FixtureRequest, memory_folder: Path) -> Iterator[Embedded]:
    """A server of each kind that is installed: the wheel's, Debian's."""
    home = Home(memory_folder / f"server-{servers().index(request.param)}")
    with Embedded(home, tools=request.param) as embedded:
        store.migrate(embedded.conninfo)
        yield embedded


def test_every_server_found_holds_a_register(each: Embedded, tmp_path: Path) -> None:
    """Migrated, written to by the one kind of transaction, read by imports; texts are in order of their code points."""
    world = World(each.conninfo, tmp_path)
    asyncio.run(world.register.change(ISSUER, card(), Event.compromise, happened_at_us=world.clock()))
    with store.connect(each.conninfo) as db:
        store.check_safe(db)
        assert db.execute("SELECT next_position FROM log_head").fetchone() == (2,)
        ids = "SELECT id FROM (SELECT nextval('person_record_id_seq') AS id FROM generate_series(1, 3)) AS numbered"
        assert len(db.execute(ids).fetchall()) == 3
        assert db.execute("SELECT 'Z' < 'a', 'z' < 'ä'").fetchone() == (True, True)


def test_a_data_folder_is_run_by_the_version_that_made_it(each: Embedded) -> None:
    """Whatever is installed beside it later; a version that is gone is named with its command."""
    made_by = int((each.data / "PG_VERSION").read_text())
    assert major_of(Embedded(each.home).tools) == made_by
    with pytest.raises(MissingPackage, match="PostgreSQL 9") as caught:
        binaries(9)
    assert "apt install postgresql-9" in (caught.value.mend or "")


WRONG = [
    ({"passfile": "{wrong}"}, "refuses this user or password"),
    ({"passfile": "/nowhere"}, "refuses this user or password"),
    ({"dbname": "nobody"}, "no such database or user"),
    ({"host": "nowhere.invalid"}, "host of the database has no address"),
    ({"host": "127.0.0.1", "port": "1"}, "cannot be reached"),
]


@pytest.mark.parametrize(("change", "sentence"), WRONG)
def test_what_is_wrong_with_an_address_is_told(change: dict[str, str], sentence: str, each: Embedded, tmp_path: Path) -> None:
    """Password, database, host, and a database that is merely away: each has a sentence and a next step of its own."""
    (tmp_path / "wrong").write_text("*:*:*:annul:another\n")
    (tmp_path / "wrong").chmod(0o600)
    changed = {name: value.format(wrong=tmp_path / "wrong") for name, value in change.items()}
    with pytest.raises(SourceDown, match=sentence) as caught:
        store.connect(psycopg.conninfo.make_conninfo(each.conninfo, **changed))
    assert caught.value.mend
    assert "annul'" not in str(caught.value)


@pytest.mark.parametrize(
    "said",
    [
        "connection to server failed: SSL error: certificate verify failed",
        'root certificate file "/x" does not exist',
        'server certificate for "db" does not match host name "10.0.0.1"',
    ],
)
def test_a_certificate_is_told_apart_from_a_password(said: str) -> None:
    """What libpq says of certificates has a sentence that names the option. Source: libpq fe-secure-openssl.c."""
    error = store.refused(psycopg.OperationalError(said))
    assert error is not None
    assert "certificate of the database" in error.message
    assert "sslrootcert" in (error.mend or "")


def test_an_old_server_is_refused_by_its_version() -> None:
    """The lowest version is asked at the start, before anything is migrated."""

    class Old:
        class info:
            server_version = 140_012

    with pytest.raises(UnsafeSettings, match=f"PostgreSQL 14; annul needs {SERVER_LEAST}"):
        store.check_safe(Old())  # type: ignore[arg-type]


def test_the_server_does_not_speak_to_the_service_manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Debian's server says READY=1 to the socket it finds in its environment: annul alone says when annul is ready."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        for place, tools in enumerate(servers()):
            with Embedded(Home(tmp_path / f"home-{place}"), tools=tools) as embedded:
                assert embedded.pid
        with pytest.raises(BlockingIOError):
            manager.recv(100)
