"""A small register for tests: database, keys, clock, follower run by hand."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

from annul import keys as key_file
from annul.keys import Keys
from annul.records.document import Document, DocumentFields, parse_document
from annul.records.status import Proof
from annul.registry.loops.follower import Follower
from annul.registry.writing.act import Act
from annul.registry.writing.ground import Ground
from annul.registry.writing.register import Register
from annul.registry.writing.store import Fresh

START_US = 1_700_000_000_000_000
HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
POLICE = Act("police-1")
ISSUER = Act("registry-1")
STRONG, WEAK = Proof.in_person_fingerprint, Proof.phone


@dataclass
class Clock:
    """A clock that is set by hand."""

    us: int = START_US

    def __call__(self) -> int:
        """Return the time, which moves a little at each look."""
        self.us += 1000
        return self.us


class World:
    """One register with its home folder; `follow` brings the table up to date."""

    def __init__(self, conninfo: str, home: Path) -> None:
        self.conninfo, self.home = conninfo, home
        self.clock = Clock()
        self.keys: Keys = key_file.load_or_create(home)
        self.register = Register(self.ground)
        self._follower: Follower | None = None

    @property
    def ground(self) -> Ground:
        """What every part stands on, with the keys as they are now."""
        return Ground(Fresh(self.conninfo), self.keys, self.home, self.clock)

    @property
    def follower(self) -> Follower:
        """The follower, opened when first used."""
        if self._follower is None:
            self._follower = Follower(self.conninfo, self.home, self.keys, self.clock)
            self._follower.open()
        return self._follower

    def follow(self) -> int:
        """Apply what is new to the table; return the position."""
        self.follower.turn()
        return self.follower.position

    def close(self) -> None:
        """Stop the follower."""
        if self._follower is not None:
            self._follower.close()
            self._follower = None


def card(start: str | None = "2016-10-06", end: str | None = "2036-10-06", number: str = "11010519491231002X") -> Document:
    """Return a Chinese resident card (the specimen number of GB 11643)."""
    return parse_document(DocumentFields(scheme="cn-resident", number=number, valid_from=start, valid_until=end), TODAY)


def passport(number: str = "L898902C3", kind: str = "P") -> Document:
    """Return a travel document of Utopia (Doc 9303's specimen)."""
    return parse_document(DocumentFields(scheme="icao-9303", issuer="UTO", kind=kind, number=number), TODAY)


TODAY = (datetime.date(2026, 1, 1) - datetime.date(1970, 1, 1)).days
