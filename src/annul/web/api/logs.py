"""Answer the two sealed logs: checkpoints, tiles, entry bundles, proofs of inclusion. Source: C2SP tlog-tiles, RFC 9162."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from msgspec import Meta

from annul.errors import BadInput, Corrupt, NotFound
from annul.proof.checkpoint import open_checkpoint
from annul.proof.tiles import CHECKPOINT, WIDTH, TileReader, folder_reader, parse_path
from annul.web.door.call import Call, Reply, Route, get, tagged
from annul.web.door.who import SUPERVISOR

if TYPE_CHECKING:
    from annul.proof.checkpoint import Checkpoint, Signer
    from annul.web.door.office import Office

FULL_TILE_CACHE: Final = "public, max-age=31536000, immutable"
"""A full tile never changes. Source: C2SP tlog-tiles, which asks for long caching of tiles."""
PART_TILE_CACHE: Final = "public, max-age=60"
"""A partial tile may be taken away once the full one is there."""
LOG: Final = "register|checks"
TILE: Final = r"[0-7]/(?:x[0-9]{3}/)*[0-9]{3}(?:\.p/[1-9][0-9]{0,2})?"
BUNDLE: Final = r"(?:x[0-9]{3}/)*[0-9]{3}(?:\.p/[1-9][0-9]{0,2})?"


class LeafQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Query of a proof of inclusion: which entry, from 0."""

    index: Annotated[int, Meta(ge=0, le=2**62)]


class InclusionProof(msgspec.Struct):
    """A proof that an entry is in a log, by RFC 9162: hash `leaf_hash` up along `path` and compare with the checkpoint's root.

    Args:
        leaf_hash, path: base64 of 32-byte hashes.
        checkpoint: the signed note the proof leads to.
    """

    log: str
    index: int
    size: int
    leaf_hash: str
    path: list[str]
    checkpoint: str


def _signer(office: Office, log: str) -> Signer:
    return office.keys.register_signer() if log == "register" else office.keys.check_signer()


async def _read(office: Office, log: str, path: str) -> bytes:
    return await asyncio.to_thread(folder_reader(office.settings.home.log(log)), path)


async def checkpoint(office: Office, call: Call) -> Reply:
    """Answer the newest signed checkpoint of a log."""
    note = await _read(office, call.path["log"], CHECKPOINT)
    return Reply(note, "text/plain; charset=utf-8", headers={"cache-control": "no-cache"})


async def tile(office: Office, call: Call) -> Reply:
    """Answer a hash tile: anybody may follow the tree, the hashes say nothing of the entries."""
    return await _tile(office, call.path["log"], f"tile/{call.path['path']}")


async def bundle(office: Office, call: Call) -> Reply:
    """Answer an entry bundle; entries hold keys and references, so they are for supervisors."""
    reply = await _tile(office, call.path["log"], f"tile/entries/{call.path['path']}")
    return Reply(reply.body, reply.media, headers={"cache-control": "private, no-store"})


async def _tile(office: Office, log: str, path: str) -> Reply:
    try:
        _, _, width = parse_path(path)
    except BadInput:
        raise NotFound("There is no such tile.") from None
    data = await _read(office, log, path)
    kept = FULL_TILE_CACHE if width == WIDTH else PART_TILE_CACHE
    return Reply(data, "application/octet-stream", headers={"cache-control": kept})


async def proof(office: Office, call: Call) -> InclusionProof:
    """Prove that an entry is in a log, up to the newest checkpoint."""
    log = call.path["log"]
    index = call.query.index
    note = await _read(office, log, CHECKPOINT)
    return await asyncio.to_thread(_prove, office, log, index, note)


def _prove(office: Office, log: str, index: int, note: bytes) -> InclusionProof:
    signer = _signer(office, log)
    sealed: Checkpoint = open_checkpoint(note, [signer.verifier], signer.name)
    if index >= sealed.size:
        raise NotFound("The log has no such entry under its checkpoint.", where="?index", mend="Ask again in a second.")
    reader = TileReader(folder_reader(office.settings.home.log(log)), sealed.size)
    try:
        path = reader.inclusion_path(index)
        entry_hash = reader.tile(0, index // WIDTH)[index % WIDTH * 32 :][:32]
    except NotFound as missing:
        raise Corrupt("A tile of the log is missing.", where=missing.where) from None
    encode = base64.b64encode
    return InclusionProof(
        log, index, sealed.size, encode(entry_hash).decode(), [encode(step).decode() for step in path], note.decode()
    )


ROUTES: Final[tuple[Route, ...]] = tagged(
    "logs",
    get(
        "/v1/log/{log}/checkpoint",
        "public",
        checkpoint,
        "Read the signed checkpoint of a log (C2SP tlog-checkpoint)",
        media="text/plain; charset=utf-8",
        patterns={"log": LOG},
        problems=("not-found",),
    ),
    get(
        "/v1/log/{log}/tile/entries/{path:path}",
        SUPERVISOR,
        bundle,
        "Read an entry bundle (C2SP tlog-tiles)",
        media="application/octet-stream",
        patterns={"log": LOG, "path": BUNDLE},
    ),
    get(
        "/v1/log/{log}/tile/{path:path}",
        "public",
        tile,
        "Read a hash tile (C2SP tlog-tiles)",
        media="application/octet-stream",
        patterns={"log": LOG, "path": TILE},
    ),
    get(
        "/v1/log/{log}/proof",
        "public",
        proof,
        "Prove that an entry is in a log",
        returns=InclusionProof,
        query=LeafQuery,
        patterns={"log": LOG},
    ),
)
