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
    """One supplement: positions of the register log it leads from and to, and its bytes.

    Args:
        since: position that the supplement leads from.
        position: position in the register log; 0-based and dense.
        bytes: size of the file, in bytes.
    """

    since: int
    position: int
    bytes: int


class Entry(msgspec.Struct, frozen=True):
    """One published edition.

    Args:
        edition: name of the edition, for its address.
        scheme: rules of the kind of document: `cn-resident`, `icao-9303`, `ru-internal`, `generic`.
        serial: number of the edition, counted up.
        position: position in the register log; 0-based and dense.
        issued: documents that the edition covers as issued.
        listed: documents that the edition lists.
        bytes: size of the file, in bytes.
        made_at_us: when the edition was made, microseconds since 1970-01-01 UTC.
        expires_at_us: when the edition is too old, microseconds since 1970-01-01 UTC.
        supplements: changes from earlier positions to this edition.
    """

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
    """What is published, newest first. Unsigned: everything it names is signed.

    Args:
        editions: the editions, newest first.
    """

    editions: tuple[Entry, ...] = ()
