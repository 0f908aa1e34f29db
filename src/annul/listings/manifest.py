"""Keep the manifest: which segments are active, what the register covers, which snapshot of the parties is in force.

One JSON file, replaced by rename. Its first line is the SHA-256 of the rest, in hexadecimal.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from annul import durable
from annul.errors import Corrupt, UnknownVersion
from annul.records.codes import Coverage

MANIFEST_FILE = "manifest.json"
SEGMENTS_FOLDER = "segments"
VERSION = 1


class ActiveSegment(msgspec.Struct, frozen=True):
    """Name a segment in force: id of the bulk event, file in the segments folder, entries, digest of its slots."""

    id: str
    file: str
    count: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """Hold what the listings consist of beside the table."""

    version: int = VERSION
    generation: int = 0
    segments: tuple[ActiveSegment, ...] = ()
    coverage: dict[str, Coverage] = {}
    parties_generation: int = 0
    parties_sha256: str = ""
    key_epoch: int = 0
    """Epoch of the document keys that the table and the segments are of; 0 when it was not noted."""

    @property
    def parties_file(self) -> str:
        """Name the file of the parties' snapshot."""
        return f"parties-{self.parties_generation}.bin"


def read_manifest(folder: Path) -> Manifest:
    """Read and check the manifest of a folder.

    Raises:
        Corrupt: it is missing or damaged.
        UnknownVersion: it is of another version.
    """
    try:
        raw = (folder / MANIFEST_FILE).read_bytes()
    except OSError as error:
        raise Corrupt("The manifest cannot be read.", where=MANIFEST_FILE) from error
    digest, _, body = raw.partition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != digest:
        raise Corrupt("The manifest is damaged.", where=MANIFEST_FILE, mend="The follower rebuilds it from the register.")
    if msgspec.json.decode(body).get("version") != VERSION:
        raise UnknownVersion("The manifest is of an unknown version.", where=MANIFEST_FILE)
    return msgspec.json.decode(body, type=Manifest)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Replace the manifest, durably."""
    body = msgspec.json.format(msgspec.json.encode(manifest, order="sorted"), indent=1)
    durable.replace(folder / MANIFEST_FILE, hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
