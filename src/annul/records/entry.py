"""Entries of the register log and their canonical bytes.

One entry has exactly one form in bytes: `decode` refuses everything `encode` would not have written. The position is not
part of the entry: it is the entry's place in the log. Layout: docs/formats/register-entry.md.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from annul.errors import BadInput, Corrupt, UnknownVersion
from annul.records.codes import Coded, Purpose, Realm
from annul.records.references import COMMITMENT_BYTES
from annul.records.status import STANDING_MASK, Event, Proof

ENTRY_VERSION = 2
"""Version of entries that refer to something; those that do not are of version 1, in which both are one form."""
PLAIN_VERSION = 1
"""Version in which the reference stood in plain."""
AUTHOR_MAX = 64
"""Bytes of an author's name: party, officer (UTF-8)."""
EVIDENCE_MAX = 256
"""Bytes of an evidence reference of version 1 (UTF-8). A reference, never the evidence itself."""
BODY_MAX = 32_768
"""Bytes of a body; with all other fields an entry stays below the 65,535 bytes of a tlog-tiles bundle."""
KEY_BYTES = 16
NO_DETAIL = bytes(32)

FLAG_DISPUTED = 1
FLAG_OVERRIDES_BULK = 2
FLAG_NUMBER_WHOLE_LIFE = 4
_FLAGS = FLAG_DISPUTED | FLAG_OVERRIDES_BULK | FLAG_NUMBER_WHOLE_LIFE

_HEAD = struct.Struct(">BBBqqBBHIBHI32s")
_TIME_MAX = 1 << 62


class EntryKind(Coded):
    """What an entry is about."""

    document = "document", 1
    unlock = "unlock", 2
    bulk = "bulk", 3
    bulk_undo = "bulk_undo", 4
    party = "party", 5
    coverage = "coverage", 6
    erasure = "erasure", 7
    rotation = "rotation", 8
    note = "note", 9
    person = "person", 10
    person_import = "person_import", 11
    person_undo = "person_undo", 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the register log.

    Attributes:
        recorded_at_us, happened_at_us: when it was known, when it was so (microseconds, UTC).
        author: who recorded it (party and officer); no name of a holder.
        reason, proof: why and on what proof; None where the kind has none.
        evidence: reference to the evidence in plain: in entries of version 1 alone, and in what is still to be written.
        commitment: 32 bytes that stand for the reference (`annul.records.references.commit`); empty when there is none.
        document_key, number_key: 16 bytes, or empty where there is none.
        key_epoch: epoch of the keys; 0 without keys.
        standing: facts that stand after this entry (bit mask of `State`).
        disputed, overrides_bulk: flags of the listing after this entry.
        valid_until_day: last day of validity; 0 not given; 65535 without end.
        number_count: documents of this number after this entry.
        number_whole_life: one of them at least was issued to our knowledge, so the number's documents are known.
        detail_hash: SHA-256 of the encrypted personal details, or 32 zeros.
        body: what the kind adds (`BulkBody`, `UnlockBody`, …).
    """

    kind: EntryKind
    realm: Realm = Realm.live
    recorded_at_us: int
    happened_at_us: int
    author: str
    reason: Event | None = None
    proof: Proof | None = None
    evidence: str = ""
    commitment: bytes = b""
    document_key: bytes = b""
    number_key: bytes = b""
    key_epoch: int = 0
    standing: int = 0
    disputed: bool = False
    overrides_bulk: bool = False
    valid_until_day: int = 0
    number_count: int = 0
    number_whole_life: bool = False
    detail_hash: bytes = NO_DETAIL
    body: bytes = b""


def encode(entry: Entry) -> bytes:
    """Return the canonical bytes of an entry.

    Raises:
        BadInput: a field is outside its range; `where` names it.
    """
    author, evidence = entry.author.encode(), entry.evidence.encode()
    for where, holds in (
        ("author", 1 <= len(author) <= AUTHOR_MAX),
        ("evidence", len(evidence) <= EVIDENCE_MAX),
        ("commitment", len(entry.commitment) in ((0,) if evidence else (0, COMMITMENT_BYTES))),
        ("document_key", len(entry.document_key) in (0, KEY_BYTES)),
        ("number_key", len(entry.number_key) in (0, KEY_BYTES)),
        ("key_epoch", 0 <= entry.key_epoch <= 0xFFFF),
        ("standing", not entry.standing & ~STANDING_MASK and entry.standing >= 0),
        ("valid_until_day", 0 <= entry.valid_until_day <= 0xFFFF),
        ("number_count", 0 <= entry.number_count <= 0xFFFFFFFF),
        ("detail_hash", len(entry.detail_hash) == 32),
        ("body", len(entry.body) <= BODY_MAX),
        ("recorded_at_us", 0 <= entry.recorded_at_us < _TIME_MAX),
        ("happened_at_us", -_TIME_MAX < entry.happened_at_us < _TIME_MAX),
    ):
        if not holds:
            raise BadInput("A field of the log entry is outside its range.", where=where)
    head = _HEAD.pack(
        ENTRY_VERSION if entry.commitment else PLAIN_VERSION,
        entry.kind.octet,
        entry.realm.octet,
        entry.recorded_at_us,
        entry.happened_at_us,
        entry.reason.octet if entry.reason is not None else 0,
        entry.proof.octet if entry.proof is not None else 0,
        entry.key_epoch,
        entry.standing,
        (FLAG_DISPUTED if entry.disputed else 0)
        | (FLAG_OVERRIDES_BULK if entry.overrides_bulk else 0)
        | (FLAG_NUMBER_WHOLE_LIFE if entry.number_whole_life else 0),
        entry.valid_until_day,
        entry.number_count,
        entry.detail_hash,
    )
    parts = [head]
    for value in (author, entry.commitment or evidence, entry.document_key, entry.number_key, entry.body):
        parts.append(len(value).to_bytes(2, "big"))
        parts.append(value)
    return b"".join(parts)


_KINDS = {member.octet: member for member in EntryKind}
_REALMS = {member.octet: member for member in Realm}
_REASONS: dict[int, Event | None] = {member.octet: member for member in Event} | {0: None}
_PROOFS: dict[int, Proof | None] = {member.octet: member for member in Proof} | {0: None}


def decode(data: bytes) -> Entry:
    """Read an entry.

    Raises:
        UnknownVersion: written by a later program.
        Corrupt: not the canonical bytes of any entry; `where` names the field.
    """
    if not data:
        raise Corrupt("A log entry is empty.", where="version")
    if data[0] not in (PLAIN_VERSION, ENTRY_VERSION):
        raise UnknownVersion(
            f"A log entry has version {data[0]}; this program reads versions up to {ENTRY_VERSION}.", mend="Use a newer annul."
        )
    if len(data) < _HEAD.size:
        raise Corrupt("A log entry is cut short.", where="head")
    (version, kind, realm, recorded, happened, reason, proof, epoch, standing, flags, until, count, detail) = _HEAD.unpack_from(
        data
    )
    values, at = [], _HEAD.size
    for name in ("author", "evidence", "document_key", "number_key", "body"):
        size = int.from_bytes(data[at : at + 2], "big")
        value = data[at + 2 : at + 2 + size]
        if len(data) < at + 2 or len(value) != size:
            raise Corrupt("A log entry is cut short.", where=name)
        values.append(value)
        at += 2 + size
    if at != len(data):
        raise Corrupt("A log entry has bytes behind its end.", where="end")
    author, reference, document_key, number_key, body = values
    if version == ENTRY_VERSION and len(reference) != COMMITMENT_BYTES:
        raise Corrupt("A log entry of version 2 refers to nothing.", where="commitment")
    if flags & ~_FLAGS:
        raise Corrupt("A log entry has a flag that means nothing.", where="flags")
    try:
        entry = Entry(
            kind=_KINDS[kind],
            realm=_REALMS[realm],
            recorded_at_us=recorded,
            happened_at_us=happened,
            author=author.decode(),
            reason=_REASONS[reason],
            proof=_PROOFS[proof],
            evidence="" if version == ENTRY_VERSION else reference.decode(),
            commitment=reference if version == ENTRY_VERSION else b"",
            document_key=document_key,
            number_key=number_key,
            key_epoch=epoch,
            standing=standing,
            disputed=bool(flags & FLAG_DISPUTED),
            overrides_bulk=bool(flags & FLAG_OVERRIDES_BULK),
            valid_until_day=until,
            number_count=count,
            number_whole_life=bool(flags & FLAG_NUMBER_WHOLE_LIFE),
            detail_hash=detail,
            body=body,
        )
        encode(entry)
    except (KeyError, UnicodeDecodeError) as error:
        raise Corrupt("A log entry has a code or text that means nothing.", where="codes") from error
    except BadInput as error:
        raise Corrupt(error.message, where=error.where) from error
    return entry


_BULK = struct.Struct(">B16s32sQI")
_UNLOCK = struct.Struct(">BBq")
_ROTATION = struct.Struct(">BHH")
_BODY_VERSION = 1


@dataclass(frozen=True, slots=True)
class BulkBody:
    """Body of `bulk` and `bulk_undo`: which sealed segment is listed or withdrawn.

    Attributes:
        event_id: 16 bytes that name the bulk event.
        sha256: digest of the segment's body.
        count: listed documents.
        listed: every fact the segment lists (bit mask of `State`).
    """

    event_id: bytes
    sha256: bytes
    count: int
    listed: int

    def encode(self) -> bytes:
        """Return the body's bytes."""
        if len(self.event_id) != 16 or len(self.sha256) != 32:
            raise BadInput("A bulk event is named by 16 bytes and its segment by 32.", where="body")
        return _BULK.pack(_BODY_VERSION, self.event_id, self.sha256, self.count, self.listed)

    @classmethod
    def decode(cls, body: bytes) -> BulkBody:
        """Read the body; Corrupt or UnknownVersion when it is none."""
        event_id, sha256, count, listed = _body(_BULK, body)
        return cls(event_id, sha256, count, listed)


@dataclass(frozen=True, slots=True)
class UnlockBody:
    """Body of `unlock`: the holder opens an owner lock for one purpose until a time (microseconds, UTC)."""

    purpose: Purpose
    until_us: int

    def encode(self) -> bytes:
        """Return the body's bytes."""
        return _UNLOCK.pack(_BODY_VERSION, self.purpose.octet, self.until_us)

    @classmethod
    def decode(cls, body: bytes) -> UnlockBody:
        """Read the body; Corrupt or UnknownVersion when it is none."""
        purpose, until_us = _body(_UNLOCK, body)
        try:
            return cls(Purpose.of_octet(purpose), until_us)
        except ValueError as error:
            raise Corrupt("An unlock names a purpose that is not known.", where="body") from error


@dataclass(frozen=True, slots=True)
class RotationBody:
    """Body of `rotation`: document keys of one epoch become keys of the next."""

    from_epoch: int
    to_epoch: int

    def encode(self) -> bytes:
        """Return the body's bytes."""
        return _ROTATION.pack(_BODY_VERSION, self.from_epoch, self.to_epoch)

    @classmethod
    def decode(cls, body: bytes) -> RotationBody:
        """Read the body; Corrupt or UnknownVersion when it is none."""
        from_epoch, to_epoch = _body(_ROTATION, body)
        return cls(from_epoch, to_epoch)


def _body(form: struct.Struct, body: bytes) -> tuple[Any, ...]:
    if len(body) != form.size:
        raise Corrupt("The body of a log entry has the wrong length.", where="body")
    version, *values = form.unpack(body)
    if version != _BODY_VERSION:
        raise UnknownVersion(f"The body of a log entry has version {version}.", where="body", mend="Use a newer annul.")
    return tuple(values)
