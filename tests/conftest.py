"""What all tests share: one embedded PostgreSQL per test session and a fresh database per test.

The database of a test is a copy of a migrated template, made in some ten milliseconds.
"""

from __future__ import annotations

import atexit
import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from xdist.scheduler import LoadScopeScheduling

from annul.home import Home
from annul.registry.postgres import DATABASE, Embedded, binaries
from annul.registry.writing import store

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
_numbers = itertools.count(1)

PCSC_SOCKET = Path(tempfile.mkdtemp(prefix="annul-pcsc-")) / "socket"
"""Where this process looks for a PC/SC service: never the machine's own. The library reads the name once, at its first use."""
os.environ["PCSCLITE_CSOCK_NAME"] = str(PCSC_SOCKET)
atexit.register(shutil.rmtree, PCSC_SOCKET.parent, ignore_errors=True)

TOGETHER = ("tests/cli", "tests/scenarios")
"""Folders whose files share a running demo: one process runs all of a folder, so that the demo is started once."""

LONGEST = (
    "tests/scenarios",
    "tests/cli",
    "tests/web/counter/test_counter_journeys.py",
    "tests/web/desk/test_desk.py",
    "tests/web/citizen/test_citizen_browser.py",
    "tests/web/door/test_shell.py",
    "tests/reader/test_chip.py",
    "tests/reader/test_zone_photo.py",
    "tests/web/desk/test_desk_rooms.py",
    "tests/web/review/test_review.py",
    "tests/web/oversight/test_oversight.py",
    "tests/web/test_roles.py",
)
"""What is begun first, by processor time: whoever is ready early then finds something short, and all end together."""


@pytest.fixture
def tmp_path(tmp_path: Path) -> Home:
    """The folder of a test can be a data folder."""
    return Home(tmp_path)


@pytest.fixture(scope="session")
def memory_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A folder in memory where there is one: the database keeps its safe settings, and its barriers cost nothing."""
    if not os.access(SHARED_MEMORY, os.W_OK):
        yield Home(tmp_path_factory.mktemp("memory"))
        return
    with tempfile.TemporaryDirectory(prefix="annul-test-", dir=SHARED_MEMORY, ignore_cleanup_errors=True) as folder:
        yield Home(folder)


@pytest.fixture(scope="session")
def server(memory_folder: Path) -> Iterator[Embedded]:
    """One embedded server with a migrated template database called annul, of the version ANNUL_TEST_SERVER if set."""
    wanted = os.environ.get("ANNUL_TEST_SERVER")
    with Embedded(memory_folder / "server", tools=binaries(int(wanted)) if wanted else None) as embedded:
        store.migrate(embedded.conninfo)
        yield embedded


@pytest.fixture(scope="session")
def make_database(server: Embedded) -> Callable[[], str]:
    """Give a function that makes a fresh migrated database and returns its conninfo."""

    def make() -> str:
        name = f"test_{next(_numbers)}"
        with psycopg.connect(_named(server.conninfo, "postgres"), autocommit=True) as db:
            db.execute(f"CREATE DATABASE {name} TEMPLATE {DATABASE} STRATEGY file_copy")
        return _named(server.conninfo, name)

    return make


@pytest.fixture
def database(make_database: Callable[[], str], server: Embedded) -> Iterator[str]:
    """Conninfo of a fresh migrated database for one test."""
    conninfo = make_database()
    yield conninfo
    name = psycopg.conninfo.conninfo_to_dict(conninfo)["dbname"]
    with psycopg.connect(_named(server.conninfo, "postgres"), autocommit=True) as db:
        db.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def _named(conninfo: str, name: str) -> str:
    return psycopg.conninfo.make_conninfo(conninfo, dbname=name)


def _share(nodeid: str) -> str:
    """Return what a test is run together with: its file, or its folder."""
    file = nodeid.partition("::")[0]
    return next((folder for folder in TOGETHER if file.startswith(f"{folder}/")), file)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest first; what is run together stays together, in its order."""
    place = {share: number for number, share in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(_share(item.nodeid), len(LONGEST)))


class Shares(LoadScopeScheduling):
    """Hand files out to the processes whole, and some folders; in the order of collection."""

    def _split_scope(self, nodeid: str) -> str:
        return _share(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Shares:
    """Share the tests out over the processes."""
    return Shares(config, log)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run of CI that left a test out: there everything is installed."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") == "true" and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
