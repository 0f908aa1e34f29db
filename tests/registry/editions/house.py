"""A register with some thousand resident cards, a press, and devices that carry its editions."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg

from annul.edge.edge import Edge
from annul.edge.store import Store
from annul.edge.sync import Folder, Report, sync
from annul.records.codes import Coverage
from annul.records.document import Document
from annul.records.entry import Entry, EntryKind, encode
from annul.records.schemes.cn_resident import check_character
from annul.records.status import Event, State, mask
from annul.registry.editions.changes import Supplements
from annul.registry.editions.press import Press
from annul.registry.parties.parties import Parties
from annul.registry.writing.act import Act
from annul.registry.writing.documents import new_row
from annul.registry.writing.loading import LoadedEntry, Loading
from annul.registry.writing.store import Fresh, connect
from tests.registry.world import DAY_US, START_US, World

CARDS = 3_000
TODAY = START_US // DAY_US
"""Day on which the register's clock starts."""


def card(number: int, *, issued: int | None = None) -> Document:
    """Return the resident card of a made-up person.

    Args:
        number: 0 to some hundred thousand; all different.
        issued: day of issue; else spread over eight years before today, none in the last month.
    """
    body = f"110105{1950 + number // 336 % 50:04d}{1 + number // 28 % 12:02d}{1 + number % 28:02d}{number // 16_800:03d}"
    day = TODAY - 30 - number * 37 % 2_900 if issued is None else issued
    return Document("cn-resident", "CN", "resident", body + check_character(body), day, day + 20_000)


def state_of(number: int) -> int:
    """Return the facts that stand of a card: one in 25 reported, one in 50 superseded."""
    told = number * 7919 % 100
    if told < 4:
        return mask(State.current, State.reported_lost)
    return mask(State.current, State.superseded) if told < 6 else mask(State.current)


class _Unpublished:
    def wait_until(self, *_: Any, **__: Any) -> None:
        """Nobody answers checks here."""


@dataclass
class House:
    """One register, its press, and the folder its devices live in."""

    world: World
    press: Press
    folder: Path

    @classmethod
    def filled(cls, world: World, folder: Path) -> House:
        """Fill a register with cards."""
        keys = world.keys.documents("live")
        rows, entries = [], []
        for number in range(CARDS):
            row = replace(new_row(card(number), keys, 0), standing=state_of(number))
            at = START_US - 40 * DAY_US
            entry = Entry(
                kind=EntryKind.document,
                recorded_at_us=at,
                happened_at_us=at,
                author="registry",
                reason=Event.issue,
                document_key=row.document_key,
                number_key=row.number_key or b"",
                key_epoch=1,
                standing=row.standing,
                number_count=1,
                number_whole_life=True,
            )
            rows.append(row)
            entries.append(LoadedEntry(number, at, encode(entry)))
        with Loading(world.conninfo) as loading:
            loading.add(rows, entries)
        made = cls(world, Press(world.home, world.keys, world.clock), folder)
        parties = Parties(Fresh(world.conninfo), _Unpublished(), world.clock)  # type: ignore[arg-type]
        asyncio.run(parties.set_coverage(Act("setup"), "cn-resident", Coverage.whole_life))
        return made

    @contextmanager
    def database(self) -> Iterator[psycopg.Connection[Any]]:
        """Lend a connection as commands have it."""
        with connect(self.world.conninfo) as db:
            yield db

    def print(self) -> str:
        """Build and publish an edition; return its id."""
        with self.database() as db:
            built = self.press.build(db, "cn-resident")
            return self.press.publish(db, built.manifest.edition).edition

    def supplement(self, *, exact_from: int = 2_000, segment: bool = False) -> Any:
        """Print what changed, and a heartbeat."""
        with self.database() as db:
            made = Supplements(self.press, exact_from=exact_from).print(db, "cn-resident", segment=segment)
            self.press.beat(db)
            return made

    def beat(self) -> None:
        """Print a heartbeat."""
        with self.database() as db:
            self.press.beat(db)

    def device(self, name: str = "edge-1") -> Store:
        """Make a device and have it admitted."""
        store = Store(self.folder / name)
        device = store.create(name, "\n".join(self.press.public_keys()))
        with self.database() as db:
            self.press.admit(db, name, "first-bank", device.signer.vkey, 30)
        return store

    def sync(self, store: Store) -> Report:
        """Bring a device up to date."""
        return sync(store, Folder(self.press.published), self.world.clock)

    def edge(self, store: Store) -> Edge:
        """Open what a device holds."""
        return Edge.open(store, self.world.clock)

    def report(self, document: Document, kind: str = "lost") -> None:
        """Report a card with strong proof."""
        from tests.registry.world import POLICE, STRONG

        asyncio.run(
            self.world.register.report(POLICE, document, kind, happened_at_us=self.world.clock.us, proof=STRONG)  # type: ignore[arg-type]
        )

    def issue(self, document: Document) -> None:
        """Record the issue of a card."""
        from tests.registry.world import ISSUER

        asyncio.run(self.world.register.issue(ISSUER, document, happened_at_us=self.world.clock.us))
