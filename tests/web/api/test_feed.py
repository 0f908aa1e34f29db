"""The feed over HTTP: a device that follows refuses what is reported, and the register knows it."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import msgspec

from annul.edge.edition import Verdict
from annul.edge.follow import Follower, Moment
from annul.edge.store import Store
from annul.edge.sync import Server
from annul.edge.trust import Acknowledgement, Told
from annul.proof.checkpoint import sign_note
from annul.records.document import DocumentFields, parse_document
from annul.registry.editions.feed import FeedFiles, frames_in
from annul.times import now_us
from tests.waiting import until
from tests.web.api.test_editions import publish
from tests.web.conftest import House

CARD = {"scheme": "cn-resident", "number": "110105194912310249", "valid_from": "2015-03-01"}


def fed(house: House) -> FeedFiles:
    """Wait until the feed has begun, and return its files."""
    files = FeedFiles(house.settings.home.feed)
    until(lambda: files.begins() and files.newest() >= house.office.listings.position, "the feed")
    return files


def test_a_device_follows_and_refuses(house: House, tmp_path: Path) -> None:
    """Report at the desk, refusal at the device, acknowledged: seen by the supervisor, by name."""
    store = Store(tmp_path / "edge-live")
    publish(house, store)
    fed(house)
    follower = Follower(store, Server(house.url), now_us)
    seen: list[Moment] = []
    over = threading.Event()

    def follow() -> None:
        for moment in follower.moments():
            seen.append(moment)
            if over.is_set():
                return

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    until(lambda: any(moment.what == "heartbeat" for moment in seen), "a heartbeat")
    document = parse_document(DocumentFields(**CARD))
    house.report(CARD)
    until(lambda: follower.edge.check(document).finding.verdict is Verdict.LISTED, "the refusal offline")
    position = house.office.listings.position

    def device() -> dict[str, object]:
        found = house.call("GET", "/v1/verifiers", "supervisor").json()["devices"]
        return next(one for one in found if one["name"] == "edge-live")

    until(lambda: device()["position"] >= position, "the acknowledgement")
    assert device()["connected"] is True
    over.set()
    thread.join()
    page = house.call("GET", "/v1/verifiers", "bank")
    assert page.status_code == 403


def acknowledged(store: Store, position: int) -> str:
    """Return what a device acknowledges, as it is sent."""
    device = store.device()
    made = Acknowledgement(edge=device.name, position=position, at_us=now_us())
    note = sign_note(msgspec.json.encode(made, order="sorted") + b"\n", device.signer)
    return json.dumps({"edge": device.name, "note": note.decode()})


def test_a_range_of_the_feed(house: House, tmp_path: Path) -> None:
    """Frames lead on from any position that is kept; what is not kept, and what is not yet, is a problem that says so."""
    publish(house, Store(tmp_path / "edge-range"))
    files = fed(house)
    begin = files.newest()
    house.report(house.passport())
    until(lambda: files.newest() > begin, "a frame")
    answer = house.call("GET", f"/v1/feed/{begin}")
    assert answer.headers["content-type"] == "application/jsonl"
    told = list(frames_in(answer.content))
    assert told[0].since == begin
    assert [one.since for one in told[1:]] == [one.position for one in told[:-1]]
    early = house.call("GET", f"/v1/feed/{files.begins()[0] - 1}")
    assert (early.status_code, early.json()["snapshot"]) == (410, "/v1/editions")
    assert house.call("GET", "/v1/feed/999999999").status_code == 400
    for wrong in ("x", "-1", "1" * 30):
        assert house.call("GET", "/v1/feed", headers={"last-event-id": wrong}).status_code == 400
    with house.http.stream("GET", "/v1/feed", headers={"last-event-id": str(begin)}) as live:
        assert live.headers["content-type"].startswith("text/event-stream")
        named = ""
        for line in live.iter_lines():
            named = line if line.startswith("event: ") else named
            if line.startswith("data: ") and named == "event: frame":
                assert msgspec.json.decode(line[6:], type=Told) == told[0]
                break
