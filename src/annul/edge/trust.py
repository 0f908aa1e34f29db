"""Rules by which an edge believes what it was sent: bytes in, verdict out. No file, no clock, no socket.

A manifest is a signed note (C2SP) whose text is one line of JSON. The recipe for a manifest of an edition:

1. the note is no longer than MANIFEST_BYTES_MAX and opens; 2. of the keys of its role at least the threshold signed it, and
none of them wrongly; 3. the text is a manifest of this kind and version; 4. it has not expired, and was not made in the
future; 5. it is no fork of the edition held (same serial, other bytes; or the next serial, built on another); 6. it is no
rollback (older serial or position); 7. the sizes it states are within limits. Afterwards 8. the file has the size and the
digest stated.

Supplements, frames and heartbeats follow steps 1 to 4 and 7 with the keys of their own role. VerificationFailed names the step.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

import msgspec

from annul.edge.edition import ASK, CHUNK_BYTES, FILE_BYTES_MAX
from annul.errors import BadInput, VerificationFailed
from annul.proof.checkpoint import KEY_ID_BYTES, Verifier, split_note

MANIFEST_BYTES_MAX: Final = 16_384
EDITIONS_NAME: Final = "annul/editions"
RELEASE_NAME: Final = "annul/release"
"""Names of the two keys of editions: the one that builds, and the one that releases what was asked again."""
CLOCK_SLACK_US: Final = 120_000_000
"""Clocks of two machines may differ by so much; a longer way back is somebody setting the clock."""
SUPPLEMENTS_MAX: Final = 10_000
CODE_MAX: Final = ASK


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is signed of an edition.

    Attributes:
        serial: dense number of the scheme's published editions, from 1; `previous` is SHA-256 of the note before, or empty.
        position: of the register log; `last_day` the last day of issue covered (days since 1970-01-01).
        key_check: SHA-256 by which a grant's key is known to be this edition's.
        digests_sha256: SHA-256 of the file of the chunks' digests.
    """

    kind: str = "annul edition v1"
    edition: str
    scheme: str
    form: str
    serial: int
    previous: str
    position: int
    last_day: int
    made_at_us: int
    expires_at_us: int
    key_epoch: int
    key_check: str
    issued: int
    listed: int
    bytes: int
    entropy_bytes: int
    asked_again: int
    wrong: int
    sha256: str
    digests_sha256: str


class Supplement(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is signed of a supplement: the changes of an edition from one position of the register log to another."""

    kind: str = "annul supplement v1"
    edition: str
    since: int
    position: int
    changes: int
    made_at_us: int
    expires_at_us: int
    bytes: int
    sha256: str
    digests_sha256: str


class Heartbeat(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Say where the register log stands at a time, and which editions are the newest (scheme -> serial)."""

    kind: str = "annul heartbeat v1"
    position: int
    at_us: int
    editions: dict[str, int]


class Frame(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What changed between two positions of the register log, told live.

    Attributes:
        since, position: the frame says everything behind `since` up to `position`; frames follow one another without a gap.
        at_us: when it was made.
        changes: edition -> its changes, base64 of nine bytes each: point (little-endian), what the document became plus one.
            An edition that is not named is not told of: its devices need a supplement.
    """

    kind: str = "annul frame v1"
    since: int
    position: int
    at_us: int
    changes: dict[str, str]


class Told(msgspec.Struct, frozen=True):
    """A frame as it is stored and sent: what its note says of itself, unsigned, and the note."""

    since: int
    position: int
    note: str


class Acknowledgement(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a device signs: up to which position of the register log it refuses, at a time of its clock."""

    kind: str = "annul acknowledgement v1"
    edge: str
    position: int
    at_us: int


Signed = TypeVar("Signed", Manifest, Supplement, Heartbeat, Frame, Acknowledgement)
CHANGE: Final = struct.Struct("<QB")
"""One change of a frame."""


@dataclass(frozen=True, slots=True)
class Role:
    """Keys of which a threshold must sign one kind of thing."""

    verifiers: tuple[Verifier, ...]
    threshold: int

    def __post_init__(self) -> None:
        if not 1 <= self.threshold <= len({verifier.public_key for verifier in self.verifiers}):
            raise BadInput("A threshold needs as many different keys.", where="keys")


@dataclass(frozen=True, slots=True)
class Trust:
    """What an edge was given to believe by: who signs editions, and who signs supplements and heartbeats."""

    editions: Role
    live: Role

    @classmethod
    def of_lines(cls, lines: Sequence[str]) -> Trust:
        """Read verifier keys, one a line: editions need both the key that builds and the key that releases."""
        keys = {verifier.name: verifier for verifier in map(Verifier.parse, filter(None, map(str.strip, lines)))}
        try:
            building, releasing = keys[EDITIONS_NAME], keys[RELEASE_NAME]
        except KeyError as missing:
            raise BadInput("A key of editions is missing.", where=missing.args[0], mend="Give keys/editions.pub.") from None
        return cls(Role((building, releasing), 2), Role((building,), 1))


def open_signed(note: bytes, role: Role, kind: type[Signed]) -> Signed:
    """Return what a threshold of a role's keys signed (steps 1 to 3).

    Raises:
        VerificationFailed: step 1 the form or length, 2 the signatures, 3 the text.
    """
    if len(note) > MANIFEST_BYTES_MAX:
        raise VerificationFailed("The manifest is longer than any manifest.", step=1, where="size")
    text, signatures = split_note(note)
    known = {(verifier.name, verifier.key_id): verifier for verifier in role.verifiers}
    signed = set()
    for name, blob in signatures:
        verifier = known.get((name, blob[:KEY_ID_BYTES]))
        if verifier is None:
            continue
        if not verifier.verify(text, blob[KEY_ID_BYTES:]):
            raise VerificationFailed("A signature of the manifest is wrong.", step=2, where=name)
        signed.add(verifier.public_key)
    if len(signed) < role.threshold:
        raise VerificationFailed(
            f"The manifest has {len(signed)} of the {role.threshold} signatures it needs.",
            step=2,
            where="signatures",
            mend="Wait for it to be released, or renew the trusted keys.",
        )
    try:
        made = msgspec.json.decode(text, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise VerificationFailed("What was signed is not of this kind.", step=3, where="text") from error
    if made.kind != _kind_of(kind):
        raise VerificationFailed("What was signed is of another kind or version.", step=3, where="kind", mend="Update annul.")
    return made


def _kind_of(kind: type[Signed]) -> str:
    return str(next(field.default for field in msgspec.structs.fields(kind) if field.name == "kind"))


def open_manifest(note: bytes, trust: Trust, now_us: int, held: bytes | None = None) -> Manifest:
    """Return the manifest of an edition that may take the place of the one held (steps 1 to 7).

    Args:
        note: as received.
        now_us: this device's clock.
        held: note of the edition of the same scheme that the device has, if any; the same note again is fine.
    """
    made = open_signed(note, trust.editions, Manifest)
    _in_time(made.made_at_us, made.expires_at_us, now_us)
    if held is not None and held != note:
        had = open_signed(held, trust.editions, Manifest)
        if had.scheme != made.scheme:
            raise VerificationFailed("The manifest is of another scheme.", step=3, where="scheme")
        told = hashlib.sha256(held).hexdigest()
        if made.serial == had.serial or (made.serial == had.serial + 1 and made.previous != told):
            raise VerificationFailed("There are two editions where there can be one: a fork.", step=5, where="serial")
        if made.serial < had.serial or made.position < had.position:
            raise VerificationFailed("The edition is older than the one held: a rollback.", step=6, where="serial")
    _within_limits(made)
    if made.wrong or made.asked_again != made.issued:
        raise VerificationFailed("The edition was not asked again about every document.", step=7, where="asked_again")
    return made


def open_supplement(note: bytes, trust: Trust, now_us: int, edition: str) -> Supplement:
    """Return the manifest of a supplement to an edition (steps 1 to 4 and 7)."""
    made = open_signed(note, trust.live, Supplement)
    _in_time(made.made_at_us, made.expires_at_us, now_us)
    if made.edition != edition:
        raise VerificationFailed("The supplement is of another edition.", step=3, where="edition")
    if made.position <= made.since:
        raise VerificationFailed("The supplement leads nowhere.", step=3, where="position")
    _within_limits(made)
    return made


def open_heartbeat(note: bytes, trust: Trust, now_us: int, held: Heartbeat | None = None) -> Heartbeat:
    """Return a heartbeat that is not older than the one held (steps 1 to 4 and 6)."""
    made = open_signed(note, trust.live, Heartbeat)
    if made.at_us > now_us + CLOCK_SLACK_US:
        raise VerificationFailed("The heartbeat is of the future: this device's clock is behind.", step=4, where="at_us")
    if held is not None and (made.at_us < held.at_us or made.position < held.position):
        raise VerificationFailed("The heartbeat is older than one that was seen: a replay.", step=6, where="at_us")
    return made


def open_frame(note: bytes, trust: Trust, now_us: int) -> Frame:
    """Return a frame of the feed (steps 1 to 4); whether it follows what is held is for its reader to see."""
    made = open_signed(note, trust.live, Frame)
    if made.at_us > now_us + CLOCK_SLACK_US:
        raise VerificationFailed("The frame is of the future: this device's clock is behind.", step=4, where="at_us")
    if not 0 <= made.since < made.position:
        raise VerificationFailed("The frame leads nowhere.", step=3, where="position")
    return made


def changes_of(frame: Frame, edition: str) -> dict[int, int] | None:
    """Return point -> code of what a frame changes in an edition; None when the frame does not tell of it.

    Raises:
        VerificationFailed: step 3, the changes are not in their form.
    """
    packed = frame.changes.get(edition)
    if packed is None:
        return None
    try:
        changes = {point: code - 1 for point, code in CHANGE.iter_unpack(base64.b64decode(packed, validate=True))}
    except (binascii.Error, ValueError, struct.error) as error:
        raise VerificationFailed("A frame's changes are not in their form.", step=3, where="changes") from error
    if not all(0 <= code <= CODE_MAX for code in changes.values()):
        raise VerificationFailed("A frame says what no edition says.", step=3, where="changes")
    return changes


def _in_time(made_at_us: int, expires_at_us: int, now_us: int) -> None:
    if made_at_us > now_us + CLOCK_SLACK_US:
        raise VerificationFailed(
            "The manifest is of the future: this device's clock is behind.", step=4, where="made_at_us", mend="Set the clock."
        )
    if now_us > expires_at_us:
        raise VerificationFailed(
            "The manifest has expired, or this device's clock is ahead.",
            step=4,
            where="expires_at_us",
            mend="Fetch a newer one.",
        )


def _within_limits(made: Manifest | Supplement) -> None:
    if not 0 < made.bytes <= FILE_BYTES_MAX or made.bytes % 8 or made.position < 0:
        raise VerificationFailed("The sizes stated are outside the limits.", step=7, where="bytes")


def hold_digests(digests: bytes, made: Manifest | Supplement) -> None:
    """Hold the digests of a file's chunks against its manifest (step 8)."""
    count = -(-made.bytes // CHUNK_BYTES)
    if len(digests) != 32 * count or hashlib.sha256(digests).hexdigest() != made.digests_sha256:
        raise VerificationFailed("The digests are not those that were signed.", step=8, where="digests")


# -- how old may it be -------------------------------------------------------------------------------------------------------


class Freshness(StrEnum):
    """Rungs of the ladder. Only from `fresh` may an edge say NOT_LISTED; from `fresh` and `stale`, LISTED."""

    fresh = "fresh"
    stale = "stale"
    stopped = "stopped"
    tampered = "tampered"


@dataclass(frozen=True, slots=True)
class Ladder:
    """Ages up to which a state is fresh and stale, in seconds."""

    fresh_s: int
    stale_s: int

    def __post_init__(self) -> None:
        if not 0 < self.fresh_s <= self.stale_s:
            raise BadInput("A ladder has two ages above zero, the second not below the first.", where="ladder")


LADDERS: Final = {"high": Ladder(60, 3_600), "standard": Ladder(300, 14_400), "low": Ladder(14_400, 86_400)}
"""Ladders by risk tier, where an edge was not told others: standard is fresh up to 5 minutes and stale up to 4 hours."""


def freshness(as_of_us: int, seen_us: int, now_us: int, ladder: Ladder) -> Freshness:
    """Return the rung a state stands on.

    Args:
        as_of_us: time up to which the state is complete (the newest heartbeat whose position it has reached); 0 for none.
        seen_us: the latest time this device ever saw on its own clock.
        now_us: its clock now.
    """
    if now_us + CLOCK_SLACK_US < max(as_of_us, seen_us):
        return Freshness.tampered
    age_us = max(now_us, seen_us) - as_of_us
    if not as_of_us or age_us > ladder.stale_s * 1_000_000:
        return Freshness.stopped
    return Freshness.fresh if age_us <= ladder.fresh_s * 1_000_000 else Freshness.stale
