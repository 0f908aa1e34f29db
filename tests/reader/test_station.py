"""The station: who may use it, what it answers, and that it keeps nothing."""

from __future__ import annotations

import asyncio
import base64
import datetime
import json
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest
from tests.likeness.people import orl, packed, print_image
from tests.reader.test_chip import AT, KEY, PORTRAIT, ZONE
from tests.reader.test_resident_card import NUMBER, Box
from tests.waiting import WAIT_S

from annul.errors import UnsafeSettings
from annul.likeness import template
from annul.reader import faults, specimen, station
from annul.reader.capture import Program
from annul.reader.resident_card import Line
from annul.reader.specimen import ChipKey, SpecimenChip, SpecimenCountry
from annul.reader.station import STATUS, Devices, Station, application
from annul.reader.transport import Transport

PAGE = "https://counter.bank.example"
UTOPIA = SpecimenCountry(AT)


def chip_on_reader(name: str) -> Transport:
    """A document lies on the reader called "one", nothing on the others."""
    if name != "one":
        raise faults.NoCard("There is no card on the reader.")
    return specimen.personalise(UTOPIA, ZONE, KEY, PORTRAIT, chip_key=ChipKey.new())


class BoxLine:
    """A box in memory, as a line."""

    def __init__(self, _port: str) -> None:
        self._box, self._answers = Box(), b""

    def write(self, data: bytes) -> None:
        self._answers = self._box.reply(data[7:-1]) or b""

    def read(self, count: int, until_s: float) -> bytes:
        part, self._answers = self._answers[:count], self._answers[count:]
        return part

    def close(self) -> None:
        """Nothing to close."""


def the_station(connect: Callable[[str], Transport] = chip_on_reader) -> Station:
    """Return a station with one document and one box."""
    line: Callable[[str], Line] = BoxLine
    return Station(
        origins=(PAGE,),
        trust=UTOPIA.trust_list(),
        devices=Devices(lambda: ["one", "two"], connect, ("/dev/box",), line),
        now=lambda: AT,
    )


def ask(method: str, path: str, body: Any = None, *, at: Station | None = None, **headers: str | None) -> httpx.Response:
    """Ask a station as its page does; a header set to None is left out."""
    place = at or the_station()
    sent = {"Origin": PAGE, "Authorization": f"Bearer {place.token}", "Host": "127.0.0.1:8673"}
    for name, value in headers.items():
        sent[name.replace("_", "-")] = value  # type: ignore[assignment]
    content = body if isinstance(body, bytes) else msgspec.json.encode(body) if body is not None else None

    async def go() -> httpx.Response:
        transport = httpx.ASGITransport(app=application(place))  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8673") as client:
            return await client.request(
                method, path, content=content, headers={name: value for name, value in sent.items() if value is not None}
            )

    return asyncio.run(go())


def test_the_page_reads_a_chip() -> None:
    """Key from the zone; the answer carries document, holder, portrait and proofs."""
    answer = ask("POST", "/v1/card", {"key": {"mrz": "\n".join(ZONE)}, "reader": "one"})
    assert answer.status_code == 200
    found = answer.json()
    assert found["document"]["mrz"] == ZONE
    assert found["holder"]["name"] == "ERIKSSON, ANNA MARIA"
    assert base64.b64decode(found["portrait"]["data"]) == PORTRAIT
    assert (found["chip"]["genuine"], found["chip"]["same_chip"], found["chip"]["print_agrees"]) == (True, True, True)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["access-control-allow-origin"] == PAGE


def test_the_page_lists_the_readers() -> None:
    """Chip readers and boxes."""
    names = [(item["kind"], item["name"]) for item in ask("GET", "/v1/readers").json()["readers"]]
    assert names == [("chip", "one"), ("chip", "two"), ("resident", "/dev/box")]


def test_the_page_reads_a_resident_card() -> None:
    """Through the box at the only port."""
    found = ask("POST", "/v1/resident", {"wait_s": 0}).json()
    assert found["document"]["number"] == NUMBER
    assert found["assurance"] == "card_data"


def test_the_page_sends_a_typed_zone() -> None:
    """Right, and with one character wrong."""
    assert ask("POST", "/v1/zone", {"text": "\n".join(ZONE)}).json()["assurance"] == "typing_aid"
    wrong = ask("POST", "/v1/zone", {"text": "\n".join(ZONE).replace("D23145890", "D23145891")})
    assert wrong.status_code == 422
    assert wrong.headers["content-type"] == "application/problem+json"
    assert wrong.json()["type"] == "/problems/zone-malformed"
    assert "D2314589" not in wrong.text


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Authorization": None}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": "Basic x"}, 401),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": PAGE + ".evil.example"}, 403),
        ({"Host": "counter.bank.example"}, 403),
        ({"Host": "evil.example:8673"}, 403),
    ],
)
def test_nobody_else_may_use_it(headers: dict[str, str | None], status: int) -> None:
    """No token, a wrong token, another origin, another name for this machine."""
    answer = ask("GET", "/v1/readers", **headers)
    assert answer.status_code == status
    assert "one" not in answer.json().get("readers", [])
    if headers.get("Origin"):
        assert "access-control-allow-origin" not in answer.headers


def test_the_browser_may_ask_first() -> None:
    """Preflight, with the header for addresses of the private network; only for the listed origin."""
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Private-Network": "true", "Authorization": None}
    answer = ask("OPTIONS", "/v1/card", **asked)
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-private-network"] == "true"
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert "Origin" in answer.headers["vary"]
    assert ask("OPTIONS", "/v1/card", **asked, Origin="https://evil.example").status_code == 403


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/v1/card", b"{", 400, "bad-input"),
        ("/v1/card", {"key": {}}, 400, "bad-input"),
        ("/v1/card", {"key": {"can": "12345"}}, 400, "bad-input"),
        ("/v1/card", {"key": {"number": "D1", "birth": "7408", "expiry": "320415"}}, 400, "bad-input"),
        ("/v1/card", {"key": {"number": "Dé", "birth": "740812", "expiry": "320415"}}, 400, "bad-input"),
        ("/v1/card", {"key": {"can": "123456"}, "extra": 1}, 400, "bad-input"),
        ("/v1/card", {"key": {"number": "D23145890", "birth": "740813", "expiry": "320415"}}, 422, "access-refused"),
        ("/v1/card", {"key": {"mrz": "\n".join(ZONE)}, "reader": "two"}, 409, "no-card"),
        ("/v1/resident", {"port": "/etc/passwd"}, 404, "no-reader"),
        ("/v1/resident", {"wait_s": 1e9}, 400, "bad-input"),
        ("/v1/photo", b"x", 400, "bad-input"),
        ("/v1/photo?of=zone", b"no image", 422, "unreadable"),
        ("/v1/photo?of=resident", b"\x89PNG\r\n\x1a\n" + bytes(40), 422, "unreadable"),
        ("/v1/zone", b" " * 20_000, 413, "too-large"),
        ("/v1/nothing", b"", 404, "not-found"),
    ],
)
def test_every_mistake_has_its_answer(path: str, body: Any, status: int, code: str) -> None:
    """Status and code; nothing of what was sent comes back."""
    answer = ask("POST", path, body)
    assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{code}")
    assert "740813" not in answer.text


def test_every_error_of_the_room_has_a_status() -> None:
    """No error of the reader falls to 500."""
    for kind in vars(faults).values():
        if isinstance(kind, type) and issubclass(kind, faults.AnnulError) and kind.__module__ == faults.__name__:
            assert kind is faults.PortIsTaken or kind.code in STATUS


def test_one_reading_at_a_time() -> None:
    """A second request while a card is read is told to wait, at once."""
    inside, leave = threading.Event(), threading.Event()

    def slow(name: str) -> Transport:
        inside.set()
        leave.wait(WAIT_S)
        return chip_on_reader(name)

    place = the_station(slow)
    app = application(place)
    request = {"key": {"mrz": "\n".join(ZONE)}, "reader": "one"}

    async def both() -> tuple[httpx.Response, httpx.Response]:
        headers = {"Origin": PAGE, "Authorization": f"Bearer {place.token}"}
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app),  # type: ignore[arg-type]
            base_url="http://127.0.0.1",
            headers=headers,
        ) as client:
            first = asyncio.create_task(client.post("/v1/card", json=request))
            await asyncio.to_thread(inside.wait, WAIT_S)
            second = await client.post("/v1/card", json=request)
            leave.set()
            return await first, second

    first, second = asyncio.run(both())
    assert (first.status_code, second.status_code) == (200, 409)


def test_each_start_has_its_own_token() -> None:
    """And a station does not show it by accident."""
    one, two = the_station(), the_station()
    assert one.token != two.token
    assert one.token not in repr(one)


def test_it_listens_on_the_loopback_address_only() -> None:
    """A real server at a free port answers; the port is taken for a second one."""
    place = the_station()
    started: list[str] = []
    up = threading.Event()

    def ready(address: str, token: str) -> None:
        assert token == place.token
        started.append(address)
        up.set()

    def serve() -> None:
        station.run(place, port=0, ready=ready)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    assert up.wait(WAIT_S)
    address = started[0]
    assert address.startswith("http://127.0.0.1:")
    number = int(address.rsplit(":", 1)[1])
    answer = httpx.get(
        address + "/v1/readers", headers={"Origin": PAGE, "Authorization": f"Bearer {place.token}"}, timeout=WAIT_S
    )
    assert answer.status_code == 200
    outward = socket.socket()
    with outward, pytest.raises(ConnectionRefusedError):
        outward.connect(("127.0.0.2", number))
    with pytest.raises(faults.PortIsTaken):
        station.run(place, port=number)


@pytest.mark.parametrize("origin", ["*", "https://*.bank.example", "counter.bank.example", "https://a/b", "file://"])
def test_a_pattern_is_no_origin(origin: str) -> None:
    """Origins are compared exactly, so a pattern would never match, or match all."""
    with pytest.raises(UnsafeSettings):
        station.run(Station(origins=(origin,), trust=UTOPIA.trust_list()), port=0)


def test_a_day_on_the_wire() -> None:
    """Times are RFC 3339 in UTC."""
    found = ask("POST", "/v1/zone", {"text": "\n".join(ZONE)}).json()
    assert datetime.datetime.fromisoformat(found["read_at"]) == AT


def test_the_specimen_chip_is_a_transport() -> None:
    """The same interface as PC/SC."""
    chip: Transport = SpecimenChip({}, KEY)
    assert chip.transmit(b"\x00\xa4\x04\x0c\x00") == b"\x6a\x82"


# -- samples of the bearer ---------------------------------------------------------------------------------------------------


def program(tmp_path: Path, kind: str, script: str, **more: float) -> Program:
    """A device's program: a Python script, run as any other program would be."""
    file = tmp_path / f"{kind}.py"
    file.write_text(script)
    return Program(kind, (sys.executable, str(file)), **more)


def with_devices(camera: Program | None = None, scanner: Program | None = None) -> Station:
    return Station(
        origins=(PAGE,), trust=UTOPIA.trust_list(), devices=Devices(lambda: [], camera=camera, scanner=scanner), now=lambda: AT
    )


def test_a_print_leaves_the_station_as_minutiae_only(tmp_path: Path) -> None:
    """Sent by the page or taken by the scanner: a record of the standard that matches the finger, and no image."""
    image = packed(print_image(1))
    (tmp_path / "scan.png").write_bytes(image)
    scanner = program(
        tmp_path, "scanner", f"import sys; sys.stdout.buffer.write(open({str(tmp_path / 'scan.png')!r}, 'rb').read())"
    )
    place = with_devices(scanner=scanner)
    listed = ask("GET", "/v1/readers", at=place).json()["readers"]
    assert {"kind": "scanner", "name": Path(sys.executable).name} in listed
    for body in (image, b""):
        found = ask("POST", "/v1/sample?of=finger", body, at=place).json()
        assert (found["trait"], found["media_type"], found["usable"]) == ("finger", "application/iso19794-2", True)
        record = base64.b64decode(found["sample"])
        assert len(template.decode(record)[0].minutiae) == found["quality"]["minutiae"]
        assert base64.b64encode(image[100:130]).decode()[:36] not in json.dumps(found)


def test_a_photo_is_judged_before_it_is_sent() -> None:
    """A usable photo comes back as it is; a poor one with codes and sentences for the clerk."""
    place = with_devices()
    good = ask("POST", "/v1/sample?of=face", orl(7, 1), at=place).json()
    assert (good["usable"], good["media_type"], good["problems"]) == (True, "image/png", [])
    assert base64.b64decode(good["sample"]) == orl(7, 1)
    poor = ask("POST", "/v1/sample?of=face", packed(np.full((200, 200, 3), 128, np.uint8)), at=place).json()
    assert (poor["usable"], poor["problems"]) == (False, ["no-face"])
    assert poor["steps"][0].startswith("No face")


@pytest.mark.parametrize(
    ("script", "status", "code"),
    [
        ("raise SystemExit(3)", 404, "no-reader"),
        ("pass", 404, "no-reader"),
        ("import time; time.sleep(60)", 504, "timed-out"),
        (
            "import sys, time; sys.stdout.buffer.write(b'x'); sys.stdout.flush(); sys.stdout.close(); time.sleep(60)",
            504,
            "timed-out",
        ),
        ("import sys\nwhile True: sys.stdout.buffer.write(bytes(1 << 20))", 413, "too-large"),
        ("import sys; sys.stdout.buffer.write(b'no image at all')", 400, "bad-input"),
    ],
)
def test_a_camera_that_fails_is_told_apart_and_ends(tmp_path: Path, script: str, status: int, code: str) -> None:
    """Error, nothing, silence, a flood, nonsense: a specific answer in bounded time, and no process stays."""
    place = with_devices(program(tmp_path, "camera", script, timeout_s=1.5 if code == "timed-out" else WAIT_S))
    answer = ask("POST", "/v1/sample?of=face", b"", at=place)
    assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{code}")
    assert ask("GET", "/v1/readers", at=place).status_code == 200


def test_a_station_without_devices_takes_what_the_page_sends_only() -> None:
    """No camera: the page is told what to do; no such program and no such kind likewise."""
    place = with_devices(Program("camera", ("/nonexistent/camera",)))
    assert ask("POST", "/v1/sample?of=finger", b"", at=place).json()["type"] == "/problems/no-reader"
    assert ask("POST", "/v1/sample?of=face", b"", at=place).json()["type"] == "/problems/no-reader"
    assert ask("POST", "/v1/sample?of=voice", b"x", at=place).status_code == 400
    with pytest.raises(UnsafeSettings):
        Program.parse("camera", "fswebcam 'unclosed")
    assert Program.parse("camera", "fswebcam -q --png 9 -").command == ("fswebcam", "-q", "--png", "9", "-")
