"""Bring an edge up to date: fetch what is missing, check it, rename it into place.

    report = sync(store, source, now_us, ("cn-resident",))

Of the ways to the newest position the one with the fewest bytes is taken: supplements of the edition held, or a new edition
with its own. Files are fetched in ranges; a chunk that is wrong is fetched again, alone; what was fetched before a break is
used. Nothing is put into use before every step of the recipe in `trust` has held.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import msgspec

from annul import durable
from annul.edge.edge import chain_from, supplements_in
from annul.edge.edition import CHUNK_BYTES
from annul.edge.grant import open_grant
from annul.edge.store import EDITION_ID, Store
from annul.edge.trust import (
    MANIFEST_BYTES_MAX,
    SUPPLEMENTS_MAX,
    Heartbeat,
    Manifest,
    Supplement,
    Trust,
    hold_digests,
    open_heartbeat,
    open_manifest,
    open_supplement,
)
from annul.errors import AnnulError, BadInput, Conflict, Corrupt, NotFound, SourceDown
from annul.times import DAY_US, Clock

RANGE_BYTES: Final = 4 << 20
"""Bytes asked for at once: 64 chunks."""
INDEX_BYTES_MAX: Final = 4 << 20
TRIES: Final = 3
TIMEOUT_S: Final = 30
LISTEN_S: Final = 10
"""Seconds without a byte after which a feed counts as broken: a heartbeat comes each second."""
EVENT_BYTES_MAX: Final = 64 * 1024
SUPPLEMENTED_US: Final = 7 * DAY_US
"""How much older than the newest an edition may be kept by supplements alone: documents issued later are not in it."""


class ListedSupplement(msgspec.Struct, frozen=True):
    """One supplement in an index."""

    since: int
    position: int
    bytes: int


class ListedEdition(msgspec.Struct, frozen=True):
    """What an edge reads of one edition in an index; other members are passed over."""

    edition: str
    scheme: str
    serial: int
    position: int
    bytes: int
    made_at_us: int = 0
    supplements: tuple[ListedSupplement, ...] = ()


class Listing(msgspec.Struct, frozen=True):
    """An index: unsigned, a hint where things are; everything it names is signed."""

    editions: tuple[ListedEdition, ...] = ()


class Source(Protocol):
    """Where editions come from."""

    def fetch(self, name: str, first: int, end: int) -> bytes:
        """Return the bytes `first` to `end` (exclusive; fewer at the end of the file) of a published file.

        Raises:
            NotFound: there is no such file.
            SourceDown: it cannot be reached.
        """


class Folder:
    """Take editions from a folder: a stick, a mirror.

    Args:
        path: a copy of `<home>/editions/published`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def fetch(self, name: str, first: int, end: int) -> bytes:
        """See `Source.fetch`."""
        try:
            with (self._path / name).open("rb") as file:
                file.seek(first)
                return file.read(end - first)
        except FileNotFoundError:
            raise NotFound("There is no such file of editions.", where=name) from None
        except OSError as error:
            raise SourceDown(f"The folder cannot be read: {error.strerror}.", where=name) from error


class Server:
    """Take editions from the doors of an annul.

    Args:
        url: its address, http or https.
    """

    _PATHS: Final = {"index.json": "/v1/editions", "heartbeat": "/v1/feed/heartbeat"}

    def __init__(self, url: str) -> None:
        if urlsplit(url).scheme not in ("http", "https"):
            raise BadInput("The address is none of http or https.", where="--from")
        self._url = url.rstrip("/")

    def fetch(self, name: str, first: int, end: int) -> bytes:
        """See `Source.fetch`."""
        url = self._url + self._PATHS.get(name, f"/v1/editions/{name}")
        request = urllib.request.Request(url, headers={"Range": f"bytes={first}-{end - 1}"})  # noqa: S310 - http or https
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
                whole = answer.status == 200
                raw: bytes = answer.read(end if whole else end - first)
                return raw[first:end] if whole else raw
        except urllib.error.HTTPError as error:
            if error.code == 416:
                return b""
            if error.code in (404, 410):
                raise NotFound("There is no such file of editions.", where=name) from None
            raise SourceDown(f"The server answered {error.code}.", where=name) from error
        except (OSError, ValueError) as error:
            raise SourceDown(
                "The server cannot be reached.", where=self._url, mend="Try again when there is a network."
            ) from error

    def upload(self, edge: str, window: bytes, lines: bytes) -> dict[str, Any]:
        """Account for a window of the journal; return what the register says of it.

        Raises:
            SourceDown: the server cannot be reached.
            Conflict: it refuses the window; its reason is told.
        """
        return self._post(
            "/v1/editions/journals", {"edge": edge, "window": window.decode(), "lines": lines.decode()}, "journal"
        )

    def _post(self, path: str, body: dict[str, str], what: str) -> dict[str, Any]:
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self._url + path, msgspec.json.encode(body), headers)  # noqa: S310 - http or https
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
                told: dict[str, Any] = msgspec.json.decode(answer.read())
                return told
        except urllib.error.HTTPError as error:
            if error.code >= 500:
                raise SourceDown(f"The server answered {error.code}.", where=self._url) from error
            raise Conflict(f"The register refuses the {what}: {_detail(error.read())}", where=what) from error
        except (OSError, ValueError) as error:
            raise SourceDown(
                "The server cannot be reached.", where=self._url, mend="Try again when there is a network."
            ) from error

    def acknowledge(self, edge: str, note: bytes) -> None:
        """Tell up to where a device refuses; errors as `upload`."""
        self._post("/v1/feed/acknowledgements", {"edge": edge, "note": note.decode()}, "acknowledgement")

    def listen(self, after: int) -> Iterator[tuple[str, bytes]]:
        """Yield the events of the feed behind a position: name and data. It ends when the connection does.

        Raises:
            Conflict: the feed is not kept so far back: sync first.
            SourceDown: the server cannot be reached, or is silent for LISTEN_S.
        """
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
        request = urllib.request.Request(self._url + "/v1/feed", headers=headers)  # noqa: S310 - http or https
        try:
            with urllib.request.urlopen(request, timeout=LISTEN_S) as answer:  # noqa: S310
                yield from events_in(answer)
        except urllib.error.HTTPError as error:
            if error.code in (400, 410):
                raise Conflict(f"The feed cannot be followed from here: {_detail(error.read())}", where="feed") from error
            raise SourceDown(f"The server answered {error.code}.", where=self._url) from error
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise SourceDown("The feed broke off.", where=self._url, mend="Try again when there is a network.") from error


def events_in(lines: Iterable[bytes]) -> Iterator[tuple[str, bytes]]:
    """Yield name and data of server-sent events (WHATWG HTML, 9.2); what a break leaves half is dropped.

    Raises:
        Corrupt: an event is longer than any of the feed.
    """
    name, size = "", 0
    data: list[bytes] = []
    for raw in lines:
        text = raw.rstrip(b"\r\n")
        if not text:
            if data:
                yield name, b"\n".join(data)
            name, size = "", 0
            data = []
            continue
        size += len(text)
        if size > EVENT_BYTES_MAX:
            raise Corrupt("An event of the feed is longer than it may be.", where="feed")
        field_name, _, value = text.partition(b":")
        value = value.removeprefix(b" ")
        if field_name == b"event":
            name = value.decode("ascii", "replace")
        elif field_name == b"data":
            data.append(value)


def _detail(body: bytes) -> str:
    try:
        return str(msgspec.json.decode(body, type=dict[str, Any]).get("detail"))
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return "it does not say why."


def source_of(text: str) -> Source:
    """Return where editions come from: an address, or a folder."""
    return Server(text) if urlsplit(text).scheme in ("http", "https") else Folder(Path(text))


@dataclass(slots=True)
class Report:
    """What a synchronisation did: bytes fetched, editions put into use, and the position reached, by scheme."""

    fetched_bytes: int = 0
    editions: dict[str, str] = field(default_factory=dict)
    positions: dict[str, int] = field(default_factory=dict)


def sync(store: Store, source: Source, now_us: Clock, schemes: Sequence[str] | None = None) -> Report:
    """Fetch what is newer than what the device holds.

    Args:
        store: of the device.
        source: where from.
        now_us: clock.
        schemes: which; by default all that are published.

    Raises:
        VerificationFailed: something received breaks a rule; nothing of it is used, and the step is named.
        Corrupt: a file is not what was signed, also when fetched again.
        SourceDown, NotFound: see `Source`.
    """
    return _Sync(store, source, now_us).run(schemes)


class _Sync:
    def __init__(self, store: Store, source: Source, now_us: Clock) -> None:
        self._store, self._source, self._now_us = store, source, now_us
        self._trust: Trust = store.trust()
        self._report = Report()

    def run(self, schemes: Sequence[str] | None) -> Report:
        listing = self._listing()
        heartbeat_note, heartbeat = self._heartbeat()
        newest: dict[str, ListedEdition] = {}
        for each in listing.editions:
            if schemes is None or each.scheme in schemes:
                best = newest.get(each.scheme)
                newest[each.scheme] = each if best is None or each.serial > best.serial else best
        for scheme in schemes or ():
            if scheme not in newest:
                raise NotFound("No edition of this scheme is published.", where=scheme)
        for scheme, edition in newest.items():
            self._bring(scheme, edition, listing)
        durable.replace(self._store.place / "heartbeat", heartbeat_note)
        self._store.saw(max(self._now_us(), heartbeat.at_us))
        return self._report

    # -- what there is -----------------------------------------------------------------------------------------------------

    def _fetch(self, name: str, first: int, end: int) -> bytes:
        raw = self._source.fetch(name, first, end)
        self._report.fetched_bytes += len(raw)
        return raw

    def _small(self, name: str, limit: int) -> bytes:
        raw = self._fetch(name, 0, limit + 1)
        if len(raw) > limit:
            raise Corrupt("A file is longer than it may be.", where=name)
        return raw

    def _listing(self) -> Listing:
        try:
            listing = msgspec.json.decode(self._small("index.json", INDEX_BYTES_MAX), type=Listing)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Corrupt("The index of editions is not in its form.", where="index.json") from error
        sound = all(
            EDITION_ID.fullmatch(each.edition) and len(each.supplements) <= SUPPLEMENTS_MAX for each in listing.editions
        )
        if not sound:
            raise Corrupt("The index of editions names what cannot be one.", where="index.json")
        return listing

    def _heartbeat(self) -> tuple[bytes, Heartbeat]:
        held_note = self._store.read("heartbeat")
        held = None
        if held_note is not None:
            try:
                held = open_heartbeat(held_note, self._trust, self._now_us())
            except AnnulError:  # what is held is damaged or of the future: the new one is judged by itself
                held = None
        note = self._small("heartbeat", MANIFEST_BYTES_MAX)
        return note, open_heartbeat(note, self._trust, self._now_us(), held)

    # -- one scheme --------------------------------------------------------------------------------------------------------

    def _bring(self, scheme: str, newest: ListedEdition, listing: Listing) -> None:
        held = self._store.current().get(scheme)
        known = next((each for each in listing.editions if each.edition == held), None)
        if known is not None and held is not None:
            chain = chain_from(supplements_in(self._store.folder(held)), known.position)
            position = chain[-1][1] if chain else known.position
            if known.edition == newest.edition:
                self._supplement(known, position)
                return
            way, reached = way_to(known.supplements, position)
            fresh_way, fresh = way_to(newest.supplements, newest.position)
            cheaper = sum(each.bytes for each in way) < newest.bytes + sum(each.bytes for each in fresh_way)
            young = newest.made_at_us - known.made_at_us < SUPPLEMENTED_US
            if reached >= fresh and cheaper and young:
                self._supplement(known, position)
                return
        self._replace(scheme, newest, held)

    def _replace(self, scheme: str, newest: ListedEdition, held: str | None) -> None:
        """Fetch a whole edition aside and put it into use."""
        note = self._small(f"{newest.edition}/manifest", MANIFEST_BYTES_MAX)
        before = self._store.read(f"editions/{held}/manifest") if held else None
        manifest = open_manifest(note, self._trust, self._now_us(), before)
        if manifest.edition != newest.edition or manifest.scheme != scheme:
            raise Corrupt("The manifest is of another edition than the index says.", where=newest.edition)
        aside = self._store.editions / f".{newest.edition}"
        durable.folder(aside)
        self._file(newest.edition, "edition.bin", "digests.bin", aside, manifest)
        device = self._store.device()
        grant = self._grant(newest.edition, device.name)
        open_grant(grant, device.secret, manifest.edition, manifest.key_check, self._now_us())
        durable.replace(aside / "grant", grant)
        durable.replace(aside / "manifest", note)
        place = self._store.folder(newest.edition)
        if place.exists():
            shutil.rmtree(place)
        durable.move(aside, place)
        self._store.use(scheme, newest.edition)
        for left in self._store.editions.glob(".*"):  # begun and never ended
            shutil.rmtree(left, ignore_errors=True)
        self._report.editions[scheme] = newest.edition
        self._supplement(newest, newest.position)

    def _grant(self, edition: str, name: str) -> bytes:
        try:
            return self._small(f"{edition}/grant-{name}", MANIFEST_BYTES_MAX)
        except NotFound:
            raise NotFound(
                "This device may not read the edition.", where=name, mend="Ask the register to admit it: annul edition admit"
            ) from None

    def _supplement(self, edition: ListedEdition, position: int) -> None:
        """Fetch the supplements that lead from a position on."""
        folder = self._store.folder(edition.edition)
        held = set(supplements_in(folder))
        way, reached = way_to(edition.supplements, position)
        for each in way:
            if (each.since, each.position) not in held:
                name = f"supplement-{each.since}-{each.position}"
                note = self._small(f"{edition.edition}/{name}.manifest", MANIFEST_BYTES_MAX)
                manifest = open_supplement(note, self._trust, self._now_us(), edition.edition)
                if (manifest.since, manifest.position) != (each.since, each.position):
                    raise Corrupt("The supplement is another than the index says.", where=name)
                self._file(edition.edition, f"{name}.bin", f"{name}.digests", folder, manifest)
                durable.replace(folder / f"{name}.manifest", note)
        for since, until in held:
            if way and until < way[-1].position and since >= way[-1].since:  # told again, and more, by what was just fetched
                for end in ("manifest", "bin", "digests"):
                    (folder / f"supplement-{since}-{until}.{end}").unlink(missing_ok=True)
        self._store.forget_frames(edition.edition, reached)
        self._report.positions[edition.scheme] = reached

    def _file(self, edition: str, name: str, digests_name: str, folder: Path, manifest: Manifest | Supplement) -> None:
        """Fetch a file and its digests into a folder, chunk by chunk; go on where an earlier try ended."""
        digests = self._small(f"{edition}/{digests_name}", 32 * (manifest.bytes // CHUNK_BYTES + 1))
        hold_digests(digests, manifest)
        path = folder / name
        with open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b") as file:  # noqa: PTH123 - a descriptor
            file.truncate(manifest.bytes)
            at = 0
            while at < manifest.bytes:
                end = min(at + RANGE_BYTES, manifest.bytes)
                file.seek(at)
                if not _good(file.read(end - at), digests, at):
                    file.seek(at)
                    file.write(self._range(f"{edition}/{name}", at, end, digests))
                at = end
            file.flush()
            os.fsync(file.fileno())
        durable.replace(folder / digests_name, digests)

    def _range(self, name: str, first: int, end: int, digests: bytes) -> bytes:
        for _ in range(TRIES):
            raw = self._fetch(name, first, end)
            if len(raw) == end - first and _good(raw, digests, first):
                return raw
        raise Corrupt("A file is not what was signed, also when fetched again.", where=f"{name}, byte {first}")


def _good(raw: bytes, digests: bytes, first: int) -> bool:
    """Tell whether these bytes, from `first` on, are those of the digests."""
    view = memoryview(raw)
    for at in range(0, len(raw), CHUNK_BYTES):
        number = (first + at) // CHUNK_BYTES
        if hashlib.sha256(view[at : at + CHUNK_BYTES]).digest() != digests[32 * number : 32 * number + 32]:
            return False
    return True


def way_to(supplements: Sequence[ListedSupplement], position: int) -> tuple[list[ListedSupplement], int]:
    """Return the supplements that lead farthest from a position with the fewest bytes, and where they lead.

    A supplement may be taken from any position between where it begins and where it ends.
    """
    best: dict[int, tuple[int, list[ListedSupplement]]] = {position: (0, [])}
    for each in sorted(supplements, key=lambda one: one.position):
        ways = [(bytes_ + each.bytes, [*way, each]) for at, (bytes_, way) in best.items() if each.since <= at < each.position]
        if ways:
            cheapest = min(ways, key=lambda way: way[0])
            if each.position not in best or cheapest[0] < best[each.position][0]:
                best[each.position] = cheapest
    reached = max(best)
    return best[reached][1], reached
