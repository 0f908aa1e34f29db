"""Editions over HTTP: static files in ranges, and a device that brings itself up to date."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from annul.edge.edge import Edge
from annul.edge.edition import Verdict
from annul.edge.journal import Journal
from annul.edge.store import Store
from annul.edge.sync import Server, sync
from annul.errors import NotFound, SourceDown
from annul.records.document import DocumentFields, parse_document
from annul.registry.editions.press import Press
from annul.registry.writing.store import connect
from annul.times import now_us
from tests.web.conftest import House


def publish(house: House, *devices: Store) -> str:
    """Build and publish an edition of resident cards, with grants for these devices; return its id."""
    press = Press(house.settings.home, house.office.keys, now_us)
    with connect(house.settings.database_url) as db:
        for device in devices:
            made = device.create(device.place.name, "\n".join(press.public_keys()))
            press.admit(db, made.name, "first-bank", made.signer.vkey, 30)
        return press.publish(db, press.build(db, "cn-resident").manifest.edition).edition


def journal(house: House, folder: Path, name: str) -> str:
    """Return the window of a device that gave one answer, as it is uploaded."""
    store = Store(folder / name)
    publish(house, store)
    sync(store, Server(house.url), now_us, ["cn-resident"])
    document = parse_document(DocumentFields(scheme="cn-resident", number="11010519491231002X", valid_from="1950-01-01"))
    Journal(store).append(Edge.open(store, now_us).check(document), document, now_us())
    closed = Journal(store).close_window(now_us())
    assert closed is not None
    return json.dumps({"edge": name, "window": closed[0].decode(), "lines": closed[1].decode()})


def test_a_journal_is_taken_by_the_door(house: House, tmp_path: Path) -> None:
    """By the device's signature alone; another name is not admitted, another's window not verified."""
    sent = json.loads(journal(house, tmp_path, "edge-door"))
    assert house.call("POST", "/v1/editions/journals", json=sent | {"edge": "edge-none"}).status_code == 401
    answer = house.call("POST", "/v1/editions/journals", json=sent)
    assert (answer.status_code, answer.json()) == (200, {"next": 2, "rechecked": 1, "differing": []})
    changed = sent | {"lines": sent["lines"].replace("NOT_COVERED", "LISTED")}
    assert house.call("POST", "/v1/editions/journals", json=changed).json()["type"].endswith("verification-failed")


def test_a_device_syncs_over_http_and_answers(house: House, tmp_path: Path) -> None:
    """Manifest, file, digests, grant, heartbeat: all from the doors; the answer is the register's."""
    store = Store(tmp_path / "edge-http")
    edition = publish(house, store)
    report = sync(store, Server(house.url), now_us, ["cn-resident"])
    assert report.editions == {"cn-resident": edition}
    fields = DocumentFields(scheme="cn-resident", number="11010519491231002X", valid_from="1950-01-01")
    answer = Edge.open(store, now_us).check(parse_document(fields))
    assert answer.finding.verdict is Verdict.NOT_COVERED
    assert answer.freshness == "fresh"
    again = sync(store, Server(house.url), now_us, ["cn-resident"])
    assert again.editions == {}
    assert again.fetched_bytes < 20_000
    with pytest.raises(NotFound):
        sync(store, Server(house.url), now_us, ["icao-9303"])
    with pytest.raises(SourceDown):
        sync(store, Server("http://127.0.0.1:9"), now_us)


def test_ranges(house: House) -> None:
    """A range, an open one, one behind the end, several: 206, 206, 416, the whole file."""
    edition = publish(house)
    path = f"/v1/editions/{edition}/edition.bin"
    whole = house.call("GET", path)
    assert whole.headers["accept-ranges"] == "bytes"
    assert "immutable" in whole.headers["cache-control"]
    size = len(whole.content)

    def part(text: str):
        return house.call("GET", path, headers={"range": text})

    some = part("bytes=8-31")
    assert (some.status_code, some.content) == (206, whole.content[8:32])
    assert some.headers["content-range"] == f"bytes 8-31/{size}"
    assert part(f"bytes={size - 5}-").content == whole.content[-5:]
    assert part(f"bytes=0-{size + 99}").content == whole.content
    behind = part(f"bytes={size}-{size + 5}")
    assert (behind.status_code, behind.headers["content-range"]) == (416, f"bytes */{size}")
    assert part("bytes=0-1,4-5").content == whole.content


@pytest.mark.parametrize("name", ["../../keys/secret.json", "%2e%2e%2fkeys", "edition.bin.new", ".edition.bin", "grant-", "x"])
def test_nothing_but_published_files_is_given_out(house: House, name: str) -> None:
    """A name that is not exactly one of an edition's is not found."""
    edition = publish(house)
    assert house.call("GET", f"/v1/editions/{edition}/{name}").status_code == 404
    assert house.call("GET", f"/v1/editions/{'0' * 32}/edition.bin").status_code == 404
