"""Answer the two sealed logs: checkpoints, tiles, entry bundles, proofs. Source: C2SP tlog-tiles, RFC 9162."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from msgspec import Meta

from annul.errors import BadInput, Corrupt, NotFound
from annul.proof.checkpoint import open_checkpoint
from annul.proof.sealed import place_of
from annul.proof.tiles import CHECKPOINT, WIDTH, TileReader, folder_reader, parse_path
from annul.records.references import Given
from annul.web.api.terms import Body, act_of
from annul.web.door.call import Call, Reply, Route, get, tagged, write
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


POSITION: Final = "[1-9][0-9]{0,17}"


class EraseReference(Body):
    """Say which decision the erasure rests on.

    Args:
        evidence: reference of the evidence or the decision, not the evidence itself; at most 200 characters.
    """

    evidence: Given


class ReferenceErased(msgspec.Struct):
    """The position of the entry that says so.

    Args:
        position: position in the register log; 0-based and dense.
    """

    position: int


class SealQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Query of a checkpoint: the newest, or the newest that a witness cosigned.

    Args:
        witnessed: only checkpoints that witnesses have cosigned.
    """

    witnessed: bool = False


class LeafQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Query of a proof of inclusion.

    Args:
        index: which entry, from 0.
        worker, window: instead of it, for the log of checks: the window whose statement a receipt holds.
        witnessed: up to the newest checkpoint that a witness cosigned.
    """

    index: Annotated[int, Meta(ge=0, le=2**62)] | None = None
    worker: Annotated[int, Meta(ge=0, le=65535)] | None = None
    window: Annotated[int, Meta(ge=0, le=2**62)] | None = None
    witnessed: bool = False


class SizesQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Query of a proof of consistency: two sizes; without `new` that of the newest checkpoint (`witnessed`: cosigned).

    Args:
        old: size of the earlier log, in entries.
        new: size of the later log, in entries; left out: today's.
        witnessed: only checkpoints that witnesses have cosigned.
    """

    old: Annotated[int, Meta(ge=0, le=2**62)]
    new: Annotated[int, Meta(ge=0, le=2**62)] | None = None
    witnessed: bool = False


class InclusionProof(msgspec.Struct):
    """A proof that an entry is in a log, by RFC 9162: hash `leaf_hash` up along `path` and compare with the checkpoint's root.

    Args:
        leaf_hash, path: base64 of 32-byte hashes.
        checkpoint: the signed note the proof leads to.
        log: which log: `register` or `checks`.
        index: place of the entry in the log, from 0.
        size: size of the log, in entries.
    """

    log: str
    index: int
    size: int
    leaf_hash: str
    path: list[str]
    checkpoint: str


class ConsistencyProof(msgspec.Struct):
    """A proof that a log of size `old` is a beginning of the same log of size `new`, by RFC 9162 section 2.1.4.

    Args:
        proof: base64 of 32-byte hashes; none when the log has not grown, or was empty.
        checkpoint: the newest signed note of the log; its root is the one the proof leads to when it is of size `new`.
        log: which log: `register` or `checks`.
        old: size of the earlier log, in entries.
        new: size of the later log, in entries.
    """

    log: str
    old: int
    new: int
    proof: list[str]
    checkpoint: str


def _signer(office: Office, log: str) -> Signer:
    return office.keys.register_signer() if log == "register" else office.keys.check_signer()


async def _read(office: Office, log: str, path: str) -> bytes:
    return await asyncio.to_thread(folder_reader(office.settings.home.log(log)), path)


async def checkpoint(office: Office, call: Call) -> Reply:
    """Answer the newest signed checkpoint of a log."""
    note = await _newest(office, call.path["log"], call.query.witnessed)
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


async def _newest(office: Office, log: str, witnessed: bool) -> bytes:
    """Return the newest signed checkpoint of a log, or the newest that a witness cosigned."""
    if not witnessed:
        return await _read(office, log, CHECKPOINT)
    try:
        return await asyncio.to_thread(office.settings.home.witnessed(log).read_bytes)
    except FileNotFoundError:
        raise NotFound("No witness has cosigned this log yet.", where="?witnessed") from None


async def proof(office: Office, call: Call) -> InclusionProof:
    """Prove that an entry is in a log, up to the newest checkpoint."""
    log, query = call.path["log"], call.query
    by_window = log == "checks" and query.worker is not None and query.window is not None
    if (query.index is None) != by_window:
        raise BadInput("Name the entry by its index, or a window of the log checks by worker and window.", where="?index")
    note = await _newest(office, log, query.witnessed)
    return await asyncio.to_thread(_prove, office, log, query, note)


def _sealed(office: Office, log: str, note: bytes) -> tuple[Checkpoint, TileReader]:
    signer = _signer(office, log)
    sealed = open_checkpoint(note, [signer.verifier], signer.name)
    return sealed, TileReader(folder_reader(office.settings.home.log(log)), sealed.size)


def _base64(hashes: list[bytes]) -> list[str]:
    return [base64.b64encode(each).decode() for each in hashes]


def _prove(office: Office, log: str, query: LeafQuery, note: bytes) -> InclusionProof:
    sealed, reader = _sealed(office, log, note)
    index = query.index if query.index is not None else place_of(reader, query.worker or 0, query.window or 0)
    if index >= sealed.size:
        raise NotFound("The log has no such entry under its checkpoint.", where="?index", mend="Ask again in a second.")
    try:
        path = reader.inclusion_path(index)
        entry_hash = reader.tile(0, index // WIDTH)[index % WIDTH * 32 :][:32]
    except NotFound as missing:
        raise Corrupt("A tile of the log is missing.", where=missing.where) from None
    return InclusionProof(log, index, sealed.size, _base64([entry_hash])[0], _base64(path), note.decode())


async def consistency(office: Office, call: Call) -> ConsistencyProof:
    """Prove that the log of one size is a beginning of the log of another."""
    log, query = call.path["log"], call.query
    note = await _newest(office, log, query.witnessed)
    return await asyncio.to_thread(_compare, office, log, query, note)


def _compare(office: Office, log: str, query: SizesQuery, note: bytes) -> ConsistencyProof:
    sealed, reader = _sealed(office, log, note)
    old, new = query.old, sealed.size if query.new is None else query.new
    if new > sealed.size or (query.new is None and old > new):
        raise NotFound("The log has not as many entries under its checkpoint.", where="?new", mend="Ask again in a second.")
    if old > new:
        raise BadInput("The old size is larger than the new one.", where="?old", mend="Exchange them.")
    try:
        proof = reader.consistency_proof(old, new) if 0 < old < new else []
    except NotFound as missing:
        raise Corrupt("A tile of the log is missing.", where=missing.where) from None
    return ConsistencyProof(log, old, new, _base64(proof), note.decode())


async def erase(office: Office, call: Call) -> ReferenceErased:
    """Erase what an entry of the register log refers to by; the entry stays, and the log verifies."""
    done = await office.register.forget(act_of(call), int(call.path["position"]), evidence=call.body.evidence)
    return ReferenceErased(done.position)


ROUTES: Final[tuple[Route, ...]] = tagged(
    "logs",
    get(
        "/v1/log/{log}/checkpoint",
        "public",
        checkpoint,
        "Read the signed checkpoint of a log (C2SP tlog-checkpoint)",
        query=SealQuery,
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
    get(
        "/v1/log/{log}/consistency",
        "public",
        consistency,
        "Prove that a log only grew",
        returns=ConsistencyProof,
        query=SizesQuery,
        patterns={"log": LOG},
    ),
    write(
        "/v1/entries/{position}/erase",
        SUPERVISOR,
        erase,
        "Erase what an entry refers to by: the text beside the log; the log stays verifiable",
        body=EraseReference,
        returns=ReferenceErased,
        patterns={"position": POSITION},
    ),
)
