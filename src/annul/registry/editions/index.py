"""Say what is published: the words of the index, and the names of its files. It needs nothing that builds."""

from __future__ import annotations

from typing import Final

import msgspec

EDITION_FILE: Final = "edition.bin"
DIGESTS_FILE: Final = "digests.bin"
MANIFEST_FILE: Final = "manifest"
INDEX_FILE: Final = "index.json"
HEARTBEAT_FILE: Final = "heartbeat"


class Listed(msgspec.Struct, frozen=True):
    """One supplement: positions of the register log it leads from and to, and its bytes."""

    since: int
    position: int
    bytes: int


class Entry(msgspec.Struct, frozen=True):
    """One published edition."""

    edition: str
    scheme: str
    serial: int
    position: int
    issued: int
    listed: int
    bytes: int
    made_at_us: int
    expires_at_us: int
    supplements: tuple[Listed, ...] = ()


class Index(msgspec.Struct, frozen=True):
    """What is published, newest first. Unsigned: everything it names is signed."""

    editions: tuple[Entry, ...] = ()
