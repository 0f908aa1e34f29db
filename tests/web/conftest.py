"""A whole register behind real doors: database, follower, sealer, one worker on a free port of this machine."""

from __future__ import annotations

import asyncio
import itertools
import socket
import ssl
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from annul import keys as key_file
from annul import logs
from annul.app import doors as open_doors
from annul.app import open_office
from annul.errors import AnnulError
from annul.home import Home
from annul.listings import Listings
from annul.records.codes import Coverage, Purpose
from annul.records.status import State
from annul.registry.answering.principals import ROLES as ALL_ROLES
from annul.registry.loops import follower, sealer
from annul.registry.loops import herald as notices
from annul.registry.parties.parties import Agreement
from annul.registry.writing.act import Act
from annul.settings import Settings
from annul.web.door.office import Office
from annul.web.door.protocol import CheckProtocol, check_protocol
from tests.waiting import WAIT_S, until

OFFICE = Act("setup")
NAMED = {"bank": "relying_party", "issuer": "issuer", "police": "police", "supervisor": "supervisor", "second": "supervisor"}
ROLES = NAMED | {role: role for role in ALL_ROLES if role not in NAMED.values()}
"""Party of the house -> its role: one at least for each role there is."""
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Doors of a test are plain HTTP: one empty context instead of all authorities of the world read for every client."""


class House:
    """One running register; `keys` has a live credential of each party, `test_keys` one of the test realm."""

    def __init__(self, conninfo: str, home: Path) -> None:
        key_file.create(home)
        self.door = socket.create_server(("127.0.0.1", 0))
        self.door.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as uvloop sets it; asyncio not on given sockets
        self.settings = Settings(
            home=home,
            database_url=conninfo,
            port=self.door.getsockname()[1],
            workers=1,
            demo=True,
            notices_mail="outbox:",
            notices_sms="outbox:",
            proxies=1,
            acknowledge_ms_max=int(WAIT_S * 1000),
        )
        (home / "demo.json").write_text("{}")
        self.url = self.settings.base_url
        self.keys: dict[str, str] = {}
        self.test_keys: dict[str, str] = {}
        self.stop = threading.Event()
        self.office: Office
        self.loop = asyncio.new_event_loop()
        self.started = threading.Event()
        self.failed: BaseException | None = None
        self._numbers = itertools.count(100_000)
        self.threads = [
            threading.Thread(target=follower.run, args=(self.settings, self.stop), daemon=True),
            threading.Thread(target=sealer.run, args=(self.settings, self.stop), daemon=True),
            threading.Thread(target=notices.run, args=(self.settings, self.stop), daemon=True),
            threading.Thread(target=self._serve, daemon=True),
        ]

    def start(self) -> None:
        """Start everything and make the parties."""
        self.threads[0].start()
        until(lambda: all(_opens(self.settings.home / folder) for folder in ("listings", "people")), "the tables")
        for thread in self.threads[1:]:
            thread.start()
        assert self.started.wait(WAIT_S)
        if self.failed:
            raise self.failed
        self.run(self._parties())
        self.http = self.client()
        until(lambda: self.http.get("/readyz").status_code == 200, "the house")

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(self._work())

    async def _work(self) -> None:
        try:
            async with open_office(self.settings, self.settings.database_url, worker=0) as office:
                self.office = office
                doors = open_doors(office)
                short_way = check_protocol(doors)
                assert issubclass(short_way, CheckProtocol), "something stands in front of the check path"
                config = uvicorn.Config(doors, http=short_way, lifespan="off", log_config=None, server_header=False)
                self.server = uvicorn.Server(config)
                self.started.set()
                await self.server.serve(sockets=[self.door])
        except BaseException as error:
            self.failed = error
            self.started.set()
            raise

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine in the worker's loop and return its result."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(WAIT_S)

    async def _parties(self) -> None:
        parties = self.office.parties
        everything = Agreement(
            purposes=frozenset(item.value for item in Purpose), reasons_allowed=True, identity_allowed=True, photo_allowed=True
        )
        position = 0
        for name, role in ROLES.items():
            agreement = everything if role == "relying_party" else None
            await parties.create(OFFICE, name, name.title(), role, agreement=agreement)  # type: ignore[arg-type]
            live = await parties.issue_key(OFFICE, name, realm="live")
            test = await parties.issue_key(OFFICE, name, realm="test")
            self.keys[name], self.test_keys[name], position = live.token, test.token, test.position
        for name, extent in (("ru-internal", Coverage.listing_only), ("cn-resident", Coverage.listing_only)):
            position = (await parties.set_coverage(OFFICE, name, extent)).position
        assert await self.office.listings.reached(position, WAIT_S)

    def client(self, **more: Any) -> httpx.Client:
        """Return a client of this house, with cookies of its own."""
        return httpx.Client(base_url=self.url, timeout=WAIT_S, verify=NO_TLS, **more)

    def key_id(self, party: str, realm: str = "live") -> str:
        """Return the id of a party's key, as sessions hold it."""
        keys = self.keys if realm == "live" else self.test_keys
        return self.office.parties.principal(keys[party]).key_id

    def own_key(self, party: str) -> str:
        """Return the id of a new key of a party, for an officer who is a person of her own."""
        made = self.run(self.office.parties.issue_key(OFFICE, party))
        assert self.run(self.office.listings.reached(made.position, WAIT_S))
        return str(made.id)

    def passport(self) -> dict[str, str]:
        """Name a Russian internal passport nobody has named before."""
        return {"scheme": "ru-internal", "series": "4509", "number": str(next(self._numbers))}

    def call(self, method: str, path: str, who: str | None = None, **more: Any) -> httpx.Response:
        """Send a request as one of the parties."""
        headers = {"authorization": f"Bearer {self.keys[who]}"} if who else {}
        return self.http.request(method, path, headers=headers | more.pop("headers", {}), **more)

    def ask(self, document: dict[str, Any], who: str = "bank", **more: Any) -> dict[str, Any]:
        """Ask a check and return the answer."""
        question = {"document": document, "purpose": "account-opening", "channel": "in_person"} | more
        answer = self.call("POST", "/v1/checks", who, json=question)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def report(self, document: dict[str, Any], *, proof: str = "in_person", kind: str = "lost") -> dict[str, Any]:
        """Report a document and return the acknowledgement."""
        answer = self.call("POST", "/v1/reports", "police", json={"document": document, "kind": kind, "proof": proof})
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def stage(self, file: Path) -> str:
        """Stage a list of revoked Russian passports and return the event's id."""
        return await self.stage_as(file, Act("issuer"))

    async def stage_as(self, file: Path, act: Act) -> str:
        """Stage such a list as somebody."""
        happened = self.office.now_us()
        view = await self.office.bulk.stage(act, file, format="russian", state=State.revoked, happened_at_us=happened)
        return view.id

    def close(self) -> None:
        """Stop everything."""
        self.http.close()
        self.server.should_exit = True
        self.threads[-1].join(WAIT_S)
        self.stop.set()
        for thread in self.threads[:-1]:
            thread.join(WAIT_S)


def _opens(folder: Path) -> bool:
    try:
        Listings(folder)
    except AnnulError:
        return False
    return True


@pytest.fixture(scope="session")
def house(make_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One running register for all tests of the doors; each test uses documents of its own."""
    logs.configure("error")
    made = House(make_database(), Home(tmp_path_factory.mktemp("house")))
    made.start()
    yield made
    made.close()
