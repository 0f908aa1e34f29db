"""Answer questions about what was written: checks made, a document's history, bulk events, the two sealed logs."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Final

import msgspec

from annul.errors import BadInput, Corrupt, NotFound
from annul.listings.bulk import Cause
from annul.proof.checkpoint import open_checkpoint
from annul.proof.tiles import CHECKPOINT, WIDTH, TileReader, folder_reader, parse_path
from annul.records.document import parse_document
from annul.registry.accounts.accounts import CheckRecord, CheckRow
from annul.registry.writing.bulk import BulkView, Sample
from annul.times import rfc3339
from annul.web.api import terms as wire
from annul.web.api.reports import act_of
from annul.web.api.terms import moment
from annul.web.door.call import Call, Reply

if TYPE_CHECKING:
    from annul.proof.checkpoint import Checkpoint, Signer
    from annul.web.door.office import Office

FULL_TILE_CACHE: Final = "public, max-age=31536000, immutable"
"""A full tile never changes. Source: C2SP tlog-tiles, which asks for long caching of tiles."""

PART_TILE_CACHE: Final = "public, max-age=60"
"""A partial tile may be taken away once the full one is there."""


class ChecksPage(msgspec.Struct):
    """A page of checks, newest first; `cursor` starts the next page and is "" after the last."""

    checks: list[CheckRow]
    cursor: str


CheckShown = CheckRecord


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


# -- checks ------------------------------------------------------------------------------------------------------------------


async def own_checks(office: Office, call: Call) -> ChecksPage:
    """List the caller's own checks."""
    query: wire.Page = call.query
    who = call.principal
    rows, cursor = await office.accounts.checks_of_party(who.id, who.realm, after=query.cursor, limit=query.limit)
    return ChecksPage(list(rows), cursor)


async def own_check(office: Office, call: Call) -> CheckRecord:
    """Look one check up; a supervisor sees every party's."""
    who = call.principal
    record = await office.accounts.check(None if who.role == "supervisor" else who.id, call.path["check"])
    if record.realm != who.realm:
        raise NotFound("There is no such check.", mend="Checks of test credentials are shown to test credentials alone.")
    return record


async def checks_of_document(office: Office, call: Call) -> ChecksPage:
    """List the checks of a document; the look-up is entered in the register before it is answered."""
    body: wire.ChecksQuestion = call.body
    rows, cursor = await office.accounts.checks_of_document(
        act_of(call), parse_document(body.document), case=body.case, after=body.cursor, limit=body.limit
    )
    return ChecksPage(list(rows), cursor)


# -- the sealed logs ---------------------------------------------------------------------------------------------------------


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


# -- a document's past -------------------------------------------------------------------------------------------------------


class Line(msgspec.Struct):
    """One entry about a document: when it was so, when it was known, who said so, and the state after it."""

    position: int
    recorded_at: str
    happened_at: str
    author: str
    event: str
    proof: str | None
    evidence: str
    state: str
    disputed: bool


class StatusAnswer(msgspec.Struct):
    """A document's state at a time as known at a time, and every entry about it that was known then.

    Args:
        facts: all standing facts, worst first; `state` is the first.
        position: position of the latest entry this rests on; 0 when a bulk event alone or nothing says it.
        known: something was recorded of it by then; otherwise `state` (current) says no more than that there was no listing.
    """

    state: str
    facts: list[str]
    disputed: bool
    position: int
    known: bool
    at: str
    known_at: str
    history: list[Line]


async def status(office: Office, call: Call) -> StatusAnswer:
    """Answer the bitemporal question; the look-up itself is entered in the register first."""
    body: wire.StatusQuestion = call.body
    now = office.now_us()
    at = moment(body.at, "/at") if body.at else now
    known_at = moment(body.known_at, "/known_at") if body.known_at else now
    act, document = act_of(call), parse_document(body.document)
    found = await office.register.status_at(act, document, at, known_at, case=body.case)
    try:
        lines = await office.register.history(act, document, case=body.case)
    except NotFound:
        lines = []  # nothing was ever said of it: there was no listing
    shown = [
        Line(line.position, rfc3339(line.recorded_at_us), rfc3339(line.happened_at_us), line.author, line.event, line.proof,
             line.evidence, line.state, line.disputed)
        for line in lines
        if line.recorded_at_us <= known_at
    ]  # fmt: skip
    return StatusAnswer(
        found.state, found.facts, found.disputed, found.position, found.known, rfc3339(at), rfc3339(known_at), shown
    )


# -- bulk events -------------------------------------------------------------------------------------------------------------


class BulkShown(wire.Staged, kw_only=True):
    """One bulk event: what the list says, what it would do or did, who staged, confirmed and undid it.

    Args:
        listed: the states the list gives.
        hits: documents of the register that are on the list, by their present state.
        samples: some listed documents, spread over the list, by the first bytes of their keys.
        bad: malformed lines by cause, with the numbers of the first few.
    """

    listed: list[str]
    document_count: int
    hits: dict[str, int]
    samples: list[Sample]
    lines: int
    bad: dict[str, Cause]
    happened_at: str
    confirmed_at: str | None


class BulkList(msgspec.Struct):
    """All bulk events, newest first."""

    bulk: list[BulkShown]


def _bulk(view: BulkView) -> BulkShown:
    return BulkShown.of(view, happened_at=rfc3339(view.happened_at_us), confirmed_at=wire.moment_or_none(view.confirmed_at_us))


async def bulk_events(office: Office, call: Call) -> BulkList:
    """List bulk events."""
    return BulkList([_bulk(view) for view in await office.bulk.list(act_of(call))])


async def bulk_event(office: Office, call: Call) -> BulkShown:
    """Show one bulk event."""
    return _bulk(await office.bulk.view(act_of(call), call.path["id"]))


async def bulk_confirm(office: Office, call: Call) -> BulkShown:
    """Put a staged bulk event in force; above the limit another officer than the one who staged it must."""
    return _bulk(await office.bulk.confirm(act_of(call), call.path["id"], evidence=call.body.evidence))


async def bulk_undo(office: Office, call: Call) -> BulkShown:
    """Take a bulk event back as one event."""
    return _bulk(await office.bulk.undo(act_of(call), call.path["id"], evidence=call.body.evidence))


async def bulk_discard(office: Office, call: Call) -> BulkShown:
    """Drop a staged bulk event that shall not come into force."""
    return _bulk(await office.bulk.discard(act_of(call), call.path["id"]))
