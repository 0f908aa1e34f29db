"""What every part of the register stands on, made once for a process, a command or a round of a loop.

ground = Ground(connections, keys, home, now_us, listings=listings)
found = FoundCards(ground, register)                  # what differs between parts is what their constructors say
"""

from __future__ import annotations

from annul.home import Home
from annul.keys import Keys
from annul.records.document import DocumentKeys
from annul.registry.writing.effect import ACKNOWLEDGE_S, Effect, Effective
from annul.registry.writing.pen import Pen
from annul.registry.writing.segments import Segments
from annul.registry.writing.store import REALM_CODES, Connections
from annul.times import Clock


class Ground:
    """Hold what the parts of the register share.

    Args:
        connections: the register's database: a pool, or one connection at a time.
        keys: the key file.
        home: the data folder.
        now_us: clock, microseconds since the epoch.
        listings: what a write waits for until checks refuse; None waits for nothing (commands while annul is stopped).
        acknowledge_s: longest such wait, in seconds.

    Attributes:
        documents: document keys by realm.
        segments: lists in force, as files.
        effect: waits until the check path has an entry.
        pen: writes to the register.
    """

    def __init__(
        self,
        connections: Connections,
        keys: Keys,
        home: Home,
        now_us: Clock,
        *,
        listings: Effective | None = None,
        acknowledge_s: float = ACKNOWLEDGE_S,
    ) -> None:
        self.connections, self.keys, self.home, self.now_us = connections, keys, home, now_us
        self.documents: dict[str, DocumentKeys] = {realm: keys.documents(realm) for realm in REALM_CODES}
        self.segments = Segments(home)
        self.effect = Effect(home, listings, acknowledge_s)
        self.pen = Pen(connections, keys, self.effect, now_us)
