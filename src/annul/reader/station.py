"""The station: a small program beside the counter's browser, which lets the counter page use the reader.

It listens on the loopback address only, answers pages of the listed origins only, and only with the token that it
shows at its start. It keeps nothing: what was read goes into the answer and out of memory; there is no log of requests.

    GET  /v1/readers   what can be read with
    POST /v1/zone      {"text": …}                                    a typed or scanned zone
    POST /v1/card      {"reader": …, "key": {…}, "portrait": true}    a chip by PC/SC
    POST /v1/resident  {"port": …, "wait_s": 5}                       a resident card by its reader box
    POST /v1/photo?of=zone|resident                                   a photo; the body is the image file
    POST /v1/sample?of=face|finger    a photo or print of the bearer: the body, or taken now by the station's own device

See docs/reader.md for every member and error.
"""

from __future__ import annotations

import asyncio
import datetime
import hmac
import os
import secrets
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from annul import errors
from annul.likeness.comparison import REASONS
from annul.likeness.samples import SAMPLE_BYTES_MAX
from annul.reader import faults, reading
from annul.reader.access import AccessKey
from annul.reader.capture import Program
from annul.reader.ocr import IMAGE_MAX_BYTES, TextReader
from annul.reader.reading import Means, Reading
from annul.reader.resident_card import Line, SamReader, SerialLine, read_resident_card
from annul.reader.transport import PcscTransport, Transport, pcsc_readers
from annul.reader.trust import TrustList
from annul.records.mrz import read_typed
from annul.roles import forbid_core_dumps

DEFAULT_PORT = 8673
JSON_MAX_BYTES = 16 * 1024
WAIT_MAX_S = 30.0
TOKEN_BYTES = 24

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

STATUS: Mapping[str, int] = {
    "bad-input": 400,
    "zone-malformed": 422,
    "form-unknown": 422,
    "malformed-number": 422,
    "unreadable": 422,
    "too-large": 413,
    "not-authorised": 401,
    "forbidden": 403,
    "not-found": 404,
    "no-reader": 404,
    "no-card": 409,
    "conflict": 409,
    "access-refused": 422,
    "card-refused": 502,
    "card-malformed": 502,
    "card-unknown": 502,
    "reader-gone": 503,
    "timed-out": 504,
    "missing-package": 501,
}
"""Error code -> HTTP status."""


class KeyFields(msgspec.Struct, forbid_unknown_fields=True):
    """What opens a chip: the zone, or three fields of it, or the card access number."""

    mrz: str | None = None
    number: str | None = None
    birth: str | None = None
    expiry: str | None = None
    can: str | None = None

    def __repr__(self) -> str:
        return "KeyFields(…)"


class ZoneRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Body of POST /v1/zone."""

    text: str

    def __repr__(self) -> str:
        return "ZoneRequest(…)"


class CardRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Body of POST /v1/card."""

    key: KeyFields
    reader: str | None = None
    portrait: bool = True


class ResidentRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Body of POST /v1/resident."""

    port: str | None = None
    wait_s: float = 5.0


@dataclass(frozen=True, slots=True)
class Devices:
    """How the station reaches its devices; tests and other drivers give their own.

    Attributes:
        readers: names of the PC/SC readers.
        connect: opens the card on a reader.
        serial_ports: ports of resident card readers.
        open_line: opens one of them.
        camera, scanner: take a photo of the bearer, a fingerprint; None where there is none.
    """

    readers: Callable[[], Sequence[str]] = pcsc_readers
    connect: Callable[[str], Transport] = PcscTransport.connect
    serial_ports: Sequence[str] = ()
    open_line: Callable[[str], Line] = SerialLine
    camera: Program | None = None
    scanner: Program | None = None


@dataclass(frozen=True, slots=True)
class Station:
    """What a station is started with.

    Attributes:
        origins: origins of the counter pages, "https://counter.bank.example"; compared exactly.
        trust: certificates to believe.
        token: what the page must show; drawn anew at each start.
        devices: the readers.
        now: time, UTC.
        texts: the text reader for photos.
    """

    origins: Sequence[str]
    trust: TrustList
    token: str = field(default_factory=lambda: secrets.token_urlsafe(TOKEN_BYTES), repr=False)
    devices: Devices = field(default_factory=Devices)
    now: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC)
    texts: TextReader = field(default_factory=TextReader)


def application(station: Station) -> Application:
    """Return the ASGI application of a station."""
    return _Station(station)


class _Station:
    def __init__(self, station: Station) -> None:
        self._station = station
        self._busy = threading.Lock()
        self._routes: dict[tuple[str, str], Callable[[bytes, str], Any]] = {
            ("GET", "/v1/readers"): self._readers,
            ("POST", "/v1/zone"): self._zone,
            ("POST", "/v1/card"): self._card,
            ("POST", "/v1/resident"): self._resident,
            ("POST", "/v1/photo"): self._photo,
            ("POST", "/v1/sample"): self._sample,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        shared = self._shared_headers(headers)
        try:
            if not self._may_ask(headers):
                raise errors.Forbidden(
                    "This page may not use the station.", mend="Start the station with --origin and the page's origin."
                )
            if scope["method"] == "OPTIONS":
                await _answer(send, 204, b"", {**shared, **_preflight(headers)})
                return
            self._authenticate(headers)
            handler = self._routes.get((scope["method"], scope["path"]))
            if handler is None:
                raise errors.NotFound("The station has no such address or method.", where=scope["path"][:40])
            limit = {"/v1/photo": IMAGE_MAX_BYTES, "/v1/sample": SAMPLE_BYTES_MAX}.get(scope["path"], JSON_MAX_BYTES)
            body = await _body(receive, limit)
            result = await asyncio.to_thread(handler, body, scope["query_string"].decode("latin-1"))
        except errors.AnnulError as error:
            status = STATUS.get(error.code, 500)
            await _answer(send, status, _problem(error, status), {**shared, "content-type": "application/problem+json"})
            return
        await _answer(send, 200, result, {**shared, "content-type": "application/json"})

    def _shared_headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        shared = {"cache-control": "no-store", "vary": "Origin", "x-content-type-options": "nosniff"}
        origin = headers.get("origin", "")
        if origin in self._station.origins:
            shared["access-control-allow-origin"] = origin
        return shared

    def _may_ask(self, headers: Mapping[str, str]) -> bool:
        """Let in listed origins only, and only under a loopback name (a page cannot rebind a foreign name to us)."""
        host = headers.get("host", "").rsplit(":", 1)[0].strip("[]")
        if host not in ("127.0.0.1", "localhost", "::1"):
            return False
        origin = headers.get("origin")
        return origin is None or origin in self._station.origins

    def _authenticate(self, headers: Mapping[str, str]) -> None:
        kind, _, token = headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not hmac.compare_digest(token.encode(), self._station.token.encode()):
            raise errors.NotAuthorised(
                "The token is missing or not that of this start.", mend="Enter the token the station shows at its start."
            )

    def _readers(self, _body: bytes, _query: str) -> bytes:
        found: list[dict[str, str]] = []
        notes: list[str] = []
        try:
            found += [{"kind": "chip", "name": name} for name in self._station.devices.readers()]
        except (errors.MissingPackage, faults.NoReader) as error:
            notes.append(str(error))
        found += [{"kind": "resident", "name": port} for port in self._station.devices.serial_ports]
        programs = (self._station.devices.camera, self._station.devices.scanner)
        found += [{"kind": each.kind, "name": each.name} for each in programs if each is not None]
        return msgspec.json.encode({"readers": found, "notes": notes})

    def _zone(self, body: bytes, _query: str) -> bytes:
        request = _decode(body, ZoneRequest)
        now = self._station.now()
        return encode(reading.of_zone(read_typed(request.text, now.date()), Means.ZONE_TYPED, now))

    def _card(self, body: bytes, _query: str) -> bytes:
        from annul.reader.chip import read_document

        request = _decode(body, CardRequest)
        now = self._station.now()
        key, printed = _key(request.key, now.date())
        with _Turn(self._busy):
            name = request.reader
            if name is None:
                names = self._station.devices.readers()
                if not names:
                    raise faults.NoReader("No chip reader is connected.", mend="Connect one and try again.")
                name = names[0]
            card = self._station.devices.connect(name)
            try:
                found = read_document(card, key, self._station.trust, at=now, printed=printed, portrait=request.portrait)
            finally:
                card.close()
        return encode(found)

    def _resident(self, body: bytes, _query: str) -> bytes:
        request = _decode(body, ResidentRequest)
        ports = self._station.devices.serial_ports
        port = request.port if request.port is not None else (ports[0] if ports else None)
        # Only ports named at the start: a page must not make the station open any device file it likes.
        if port is None or port not in ports:
            raise faults.NoReader(
                "The station knows no such port.", mend="Start the station with --serial and the reader's port."
            )
        if not 0 <= request.wait_s <= WAIT_MAX_S:
            raise errors.BadInput(f"Wait_s must be 0 to {WAIT_MAX_S:.0f}.", where="/wait_s")
        with _Turn(self._busy):
            line = self._station.devices.open_line(port)
            try:
                found = read_resident_card(SamReader(line), at=self._station.now(), wait_s=request.wait_s)
            finally:
                line.close()
        return encode(found)

    def _photo(self, body: bytes, query: str) -> bytes:
        from annul.reader.resident_photo import read_resident_photo
        from annul.reader.zone_photo import read_zone_photo

        now = self._station.now()
        with _Turn(self._busy):
            if query == "of=resident":
                return encode(read_resident_photo(body, self._station.texts, at=now))
            if query == "of=zone":
                zone = read_zone_photo(body, self._station.texts, today=now.date())
                return encode(reading.of_zone(zone, Means.ZONE_PHOTO, now))
        raise errors.BadInput("Say what the photo shows.", where="?of", mend="Use ?of=zone or ?of=resident.")

    def _sample(self, body: bytes, query: str) -> bytes:
        devices = self._station.devices
        device, prepare = {"of=face": (devices.camera, _photo_of), "of=finger": (devices.scanner, _print_of)}.get(
            query, (None, None)
        )
        if prepare is None:
            raise errors.BadInput("Say what the sample is of.", where="?of", mend="Use ?of=face or ?of=finger.")
        with _Turn(self._busy):
            if not body:
                if device is None:
                    mend = "Send an image, or start the station with --camera or --scanner."
                    raise faults.NoReader("The station has no device for this.", where="?of", mend=mend)
                body = device.take()
            return msgspec.json.encode(prepare(body))


class Sample(msgspec.Struct, frozen=True):
    """A sample of the bearer as POST /v1/verifications takes it, and whether it is worth sending.

    problems: codes of what is wrong with it; steps: the same in sentences for the clerk; quality: measured values.
    """

    trait: str
    media_type: str
    sample: bytes
    usable: bool
    problems: tuple[str, ...]
    steps: tuple[str, ...]
    quality: dict[str, float]


def _photo_of(image: bytes) -> Sample:
    from annul.likeness import face

    found = face.portrait_quality(image)
    steps = tuple(REASONS[code] for code in found.problems)
    return Sample("face", _media_type(image), image, not found.problems, found.problems, steps, found.as_floats())


def _print_of(image: bytes) -> Sample:
    """Make the minutiae record here: no image of the finger leaves the counter."""
    from annul.likeness import finger
    from annul.likeness.calibration import packaged

    made = finger.extract(image)
    problems = ("few-minutiae",) if made.quality.minutiae < packaged("finger").gate("minutiae_min") else ()
    steps = tuple(REASONS[code] for code in problems)
    quality = made.quality.as_floats()
    return Sample("finger", "application/iso19794-2", made.record, not problems, problems, steps, quality)


def _media_type(image: bytes) -> str:
    """Name the format of an image that was decoded; these are the formats of a face photo."""
    starts = {b"\xff\xd8": "image/jpeg", b"\x89P": "image/png", b"BM": "image/bmp", b"\xff\x4f": "image/j2c"}
    return starts.get(image[:2], "image/jp2")


class _Turn:
    """Let one reading happen at a time; a second one is told so at once."""

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            raise errors.Conflict("The station is reading already.", mend="Wait until that reading has ended.")

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def encode(found: Reading) -> bytes:
    """Return a reading as JSON; the portrait is base64. Nothing is left out and nothing derived but the three proofs."""
    members = msgspec.to_builtins(found)
    if found.chip is not None:
        members["chip"] |= {
            "genuine": found.chip.genuine,
            "unaltered": found.chip.unaltered,
            "same_chip": found.chip.same_chip,
        }
    return msgspec.json.encode(members)


def _key(fields: KeyFields, today: datetime.date) -> tuple[AccessKey, tuple[str, ...] | None]:
    if fields.mrz is not None:
        zone = read_typed(fields.mrz, today)
        return AccessKey.of_zone(zone), zone.lines
    if fields.can is not None:
        if not (fields.can.isascii() and fields.can.isdigit() and len(fields.can) == 6):
            raise errors.BadInput("The card access number has 6 digits.", where="/key/can")
        return AccessKey(can=fields.can), None
    if fields.number and fields.birth and fields.expiry:
        for name, value in (("birth", fields.birth), ("expiry", fields.expiry)):
            if not (value.isascii() and value.isdigit() and len(value) == 6):
                raise errors.BadInput("Dates of the key are six digits YYMMDD.", where=f"/key/{name}")
        number = fields.number.upper()
        if not (number.isascii() and number.replace("<", "").isalnum() and len(number) <= 22):
            raise errors.BadInput("A document number is letters and digits.", where="/key/number")
        return AccessKey.of_fields(number, fields.birth, fields.expiry), None
    raise errors.BadInput(
        "The chip needs a key from the print.", where="/key", mend="Give mrz; or number, birth and expiry; or can."
    )


def _decode(body: bytes, kind: type[Any]) -> Any:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError) as error:
        # msgspec's text may quote what was sent: only its place is handed on.
        path = str(error).rpartition("`$")[2].rstrip("`").replace(".", "/") if "`$" in str(error) else ""
        raise errors.BadInput("The body is not of the form asked for.", where=path or "/", mend="See docs/reader.md.") from None


async def _body(receive: Receive, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise errors.BadInput("The page hung up.")
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise errors.TooLarge(f"The body is larger than {limit} bytes.", mend="Send less.")
        parts.append(part)
        if not message.get("more_body"):
            return b"".join(parts)


def _preflight(headers: Mapping[str, str]) -> dict[str, str]:
    allowed = {
        "access-control-allow-methods": "GET, POST",
        "access-control-allow-headers": "authorization, content-type",
        "access-control-max-age": "600",
    }
    if headers.get("access-control-request-private-network") == "true":
        allowed["access-control-allow-private-network"] = "true"
    return allowed


def _problem(error: errors.AnnulError, status: int) -> bytes:
    """Return an RFC 9457 problem document."""
    members: dict[str, Any] = {"type": f"/problems/{error.code}", "status": status, "detail": error.message}
    for name, value in (("where", error.where), ("mend", error.mend)):
        if value:
            members[name] = value
    return msgspec.json.encode(members | {name: value for name, value in error.extra.items() if name not in members})


async def _answer(send: Send, status: int, body: bytes, headers: Mapping[str, str]) -> None:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    raw.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


def run(station: Station, *, port: int = DEFAULT_PORT, ready: Callable[[str, str], None] | None = None) -> None:
    """Serve a station on the loopback address until it is interrupted.

    Args:
        station: what it is started with.
        port: TCP port; 0 takes a free one.
        ready: called once with (address, token).
    Raises:
        PortIsTaken: another program uses the port. UnsafeSettings: an origin is not one, or is "*".
    """
    import socket

    import uvicorn

    for origin in station.origins:
        scheme, _, rest = origin.partition("://")
        if scheme not in ("http", "https") or not rest or any(mark in rest for mark in "/*?#@ "):
            raise errors.UnsafeSettings(
                "An origin is scheme, host and port only, never a pattern.", where="--origin", mend="https://counter.example"
            )
    forbid_core_dumps()
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if os.name == "posix":
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        listener.close()
        raise faults.PortIsTaken(
            "The station's port is used by another program.", where=f"port {port}", mend="Give another --port."
        ) from error
    listener.listen()  # from here on the first request waits instead of being refused
    if ready is not None:
        ready(f"http://127.0.0.1:{listener.getsockname()[1]}", station.token)
    config = uvicorn.Config(application(station), access_log=False, log_level="warning", timeout_graceful_shutdown=2)
    with listener:
        uvicorn.Server(config).run(sockets=[listener])
