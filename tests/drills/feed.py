"""Fifty devices follow a register; from the report at the desk to the refusal at each of them.

python -m tests.drills.feed --devices 50 --reports 100

Devices are threads of one process with a folder and a connection each; each verifies every frame, keeps it and acknowledges.
The time counted begins before the report is sent and ends when the device's own check says LISTED.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx

from annul import keys, supervisor
from annul.edge.edition import Verdict
from annul.edge.follow import Follower
from annul.edge.store import Store
from annul.edge.sync import Server
from annul.home import Home
from annul.records.document import Document
from annul.registry.editions.press import Press
from annul.registry.writing.store import connect
from annul.settings import load as settings_of
from annul.times import now_us
from tests.drills.load import running_annul
from tests.registry.editions.house import card

WAIT_S = 30.0


class Device:
    """One device; `seen` is when it first refused each document it was told to watch."""

    def __init__(self, store: Store, url: str) -> None:
        self.follower = Follower(store, Server(url), now_us)
        self.watched: Document | None = None
        self.seen: list[float] = []
        self.heard = threading.Event()
        threading.Thread(target=self._follow, daemon=True).start()

    def _follow(self) -> None:
        for moment in self.follower.moments():
            if moment.what == "heartbeat":
                self.heard.set()
            document = self.watched
            if document is not None and self.follower.edge.check(document).finding.verdict is Verdict.LISTED:
                self.seen.append(time.perf_counter())
                self.watched = None


def published(home: Home, folder: Path, count: int) -> list[Store]:
    """Publish an edition for so many devices."""
    settings = settings_of({}, home=home)
    stores = [Store(folder / f"device-{number}") for number in range(count)]
    with supervisor.open_database(settings) as conninfo, connect(conninfo) as db:
        press = Press(home, keys.load(home), now_us)
        for store in stores:
            made = store.create(store.place.name, "\n".join(press.public_keys()))
            press.admit(db, made.name, "drill", made.signer.vkey, 1)
        press.publish(db, press.build(db, "cn-resident").manifest.edition)
    return stores


def fields(document: Document) -> dict[str, str]:
    """Return a card as it is sent."""
    start = date(1970, 1, 1) + timedelta(days=document.valid_from_day or 0)
    return {"scheme": "cn-resident", "number": document.number, "valid_from": start.isoformat()}


def measure(devices: list[Device], demo: dict[str, Any], reports: int) -> list[float]:
    """Issue and report cards; return seconds from each report to each refusal."""
    delays: list[float] = []
    told = demo["credentials"]
    with httpx.Client(base_url=demo["url"], timeout=WAIT_S) as client:

        def post(path: str, who: str, body: dict[str, Any]) -> None:
            answer = client.post(path, json=body, headers={"authorization": f"Bearer {told[who]}"})
            answer.raise_for_status()

        for number in range(reports):
            document = card(200_000 + number)
            post("/v1/documents", "issuer", {"event": "issue", "document": fields(document)})
            time.sleep(0.1)
            for device in devices:
                device.seen.clear()
                device.watched = document
            begun = time.perf_counter()
            post("/v1/reports", "police", {"document": fields(document), "kind": "lost", "proof": "in_person"})
            until = time.monotonic() + WAIT_S
            while any(device.watched is not None for device in devices) and time.monotonic() < until:
                time.sleep(0.002)
            delays += [device.seen[0] - begun if device.seen else WAIT_S for device in devices]
    return sorted(delays)


def main() -> int:
    """Run the drill and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=50)
    parser.add_argument("--reports", type=int, default=100)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="annul-drill-") as folder:
        home = Home(folder) / "home"
        home.mkdir()
        with running_annul(Home(home)) as demo:
            devices = [Device(store, demo["url"]) for store in published(Home(home), Path(folder), given.devices)]
            for device in devices:
                if not device.heard.wait(WAIT_S):
                    print("WRONG: a device hears no heartbeat")
                    return 1
            delays = measure(devices, demo, given.reports)
        lost = sum(delay >= WAIT_S for delay in delays)
        p50, p99 = (delays[min(int(len(delays) * share), len(delays) - 1)] * 1000 for share in (0.5, 0.99))
        figures = {"devices": given.devices, "reports": given.reports, "never_refused": lost}
        print(json.dumps(figures | {"refused_p50_ms": round(p50, 1), "refused_p99_ms": round(p99, 1)}))
        return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
