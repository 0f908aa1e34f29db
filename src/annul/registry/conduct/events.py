"""Business events: what a relying party did, by its own reference, so that it can be laid beside its checks.

A file is taken in whole or not at all: NDJSON, one event a line, in the order in which the business was done. What an event
names is the party's own reference, a time, a kind of business and the document's event key: no person and no number.

What must never happen here: an event that is counted twice; one of a time that is settled already, which would make a finding,
or undo one, behind everybody's back; half a file.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from annul.errors import BadInput, Conflict, TooLarge
from annul.records.document import BLOCK_BYTES, Document
from annul.registry.conduct.duties import Business, newest
from annul.registry.conduct.eventkey import NO_KEY, EventKeys, keys_of
from annul.registry.writing.act import HAPPENED_AHEAD_MAX_US, Act
from annul.registry.writing.ground import Ground
from annul.registry.writing.store import Connection, reading
from annul.times import DAY_US, SECOND_US

EVENTS_MAX: Final = 100_000
"""Events of one file."""
EVENT_BYTES_MAX: Final = 2_048
"""Longest line: an event with every member is under 600 bytes."""
FILE_BYTES_MAX: Final = EVENTS_MAX * 640
"""Largest file: 61 MiB."""
KEYS_MAX: Final = 1_000
"""Documents of one question for event keys."""
AGE_DAYS_MAX: Final = 400
"""Oldest business that is taken in: a year, and a month to send it."""
REFERENCE_DIGITS_MAX: Final = 12
"""Digits of a reference in a row; a citizen number has 17 or 18."""

_DIGITS: Final = re.compile(r"[0-9]+")
_COLUMNS: Final = (
    "realm, party, reference, happened_at_us, business, duty, branch, terminal, document_key, number_key, key_epoch, shown, "
    "received_at_us"
)
LOCK: Final = 0x636F6E
"""First half of the advisory lock of a party's events ("con"), plus the realm: files of one party follow each other."""


class BusinessEvent(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One line of the file.

    Args:
        reference: the party's own, keyed so that nobody else can tell whose business it is; unique for the party.
        happened_at: when the business was done, with its zone.
        business: kind of business, one the party has a duty for.
        document: event key of the document (POST /v1/conduct/keys).
        branch, terminal: as the party names them in its checks.
        check: id of the check the party relied on, when it keeps that; 32 hex digits.
    """

    reference: Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._:/+=-]+$")]
    happened_at: Annotated[datetime, Meta(tz=True)]
    business: Business
    document: Annotated[str, Meta(max_length=128)]
    branch: Annotated[str, Meta(max_length=32, pattern=r"^[A-Za-z0-9 ._:/-]*$")] = ""
    terminal: Annotated[str, Meta(max_length=32, pattern=r"^[A-Za-z0-9 ._:/-]*$")] = ""
    check: Annotated[str, Meta(pattern="^([0-9a-f]{32})?$")] = ""


class EventsTaken(msgspec.Struct, frozen=True):
    """Answer of a file.

    Args:
        events: how many it had; all were taken in.
        from_us, until_us: time of the first and of the last, microseconds since the epoch.
        sha256: of the file, in hexadecimal.
    """

    events: int
    from_us: int
    until_us: int
    sha256: str


class BusinessEvents:
    """Take in business events, and give out the keys by which they name documents.

    Args:
        ground: what every part stands on.
    """

    def __init__(self, ground: Ground) -> None:
        self._connections, self._keys, self._now_us = ground.connections, ground.keys, ground.now_us

    def keys_for(self, party: str, realm: str, documents: Sequence[Document]) -> list[str]:
        """Return the event keys of documents, for one party; nothing is looked up, so nothing is told of any document.

        Raises:
            BadInput: more than KEYS_MAX.
        """
        if len(documents) > KEYS_MAX:
            raise TooLarge(f"Ask for at most {KEYS_MAX:,} documents at once.", where="/documents")
        keys, maker = self._keys.documents(realm), self._of(party, realm)
        return [maker.make(*keys_of(document, keys)) for document in documents]

    def _of(self, party: str, realm: str) -> EventKeys:
        return EventKeys(self._keys.live if realm == "live" else self._keys.test, party)

    async def take(self, act: Act, party: str, raw: bytes) -> EventsTaken:
        """Take in a file.

        Raises:
            BadInput: a line is none, is not in order, lies in the future, has no duty, a reference twice, or a key of another
                party; `where` names the line, from 1. Nothing is taken in.
            Conflict: an event was sent before, or is of a time that is settled.
        """
        now = self._now_us()
        events, times, keys = await asyncio.to_thread(self._prepare, party, act.realm, raw, now)
        async with reading(self._connections) as db, db.transaction():  # not the log's head: no report waits for a file
            await db.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", (LOCK + act.realm_code, party))
            duties = await newest(db, party)
            owed = {business for business, (duty, _) in duties.items() if duty.in_force}
            line = next((line for line, event in enumerate(events, 1) if event.business not in owed), 0)
            if line:
                raise BadInput("There is no duty for this kind of business.", where=f"line {line}: business")
            await _require_open(db, act, party, times[0])
            await _require_new(db, act, party, events)
            versions = {business: version for business, (_, version) in duties.items()}
            rows = await asyncio.to_thread(_rows, act, party, events, times, versions, keys, now)
            async with db.cursor() as cursor, cursor.copy(f"COPY business_event ({_COLUMNS}) FROM STDIN") as copy:
                await copy.write(rows)
        return EventsTaken(len(events), times[0], times[-1], hashlib.sha256(raw).hexdigest())

    def _prepare(
        self, party: str, realm: str, raw: bytes, now: int
    ) -> tuple[list[BusinessEvent], list[int], tuple[list[int], bytes]]:
        """Read a file, beside the event loop: a full one takes a good part of a second."""
        events = _read(raw)
        times = [_time(event, line) for line, event in enumerate(events, 1)]
        _require_order(events, times, now)
        return events, times, self._open(party, realm, events)

    def _open(self, party: str, realm: str, events: Sequence[BusinessEvent]) -> tuple[list[int], bytes]:
        try:
            return self._of(party, realm).open([event.document for event in events])
        except BadInput as refused:
            line = int((refused.where or "/0/").split("/")[1]) + 1
            raise BadInput(refused.message, where=f"line {line}: document", mend=refused.mend) from None


def _read(raw: bytes) -> list[BusinessEvent]:
    if len(raw) > FILE_BYTES_MAX:
        raise TooLarge(f"A file of events has at most {FILE_BYTES_MAX:,} bytes.", mend="Send it in parts, in order.")
    lines = raw.split(b"\n")
    if lines and not lines[-1].strip():
        lines.pop()
    if not 1 <= len(lines) <= EVENTS_MAX:
        raise TooLarge(f"A file has 1 to {EVENTS_MAX:,} events.", mend="Send it in parts, in order.")
    decode = msgspec.json.Decoder(BusinessEvent).decode
    events = []
    for number, line in enumerate(lines, 1):
        if len(line) > EVENT_BYTES_MAX:
            raise TooLarge(f"A line has at most {EVENT_BYTES_MAX:,} bytes.", where=f"line {number}")
        try:
            events.append(decode(line))
        except (msgspec.DecodeError, UnicodeDecodeError) as refused:
            member = re.search(r"at `\$\.(\w+)`|field `(\w+)`", str(refused))
            where = f"line {number}" + (f": {member[1] or member[2]}" if member else "")
            raise BadInput(
                "This line is no event.", where=where, mend="Send events in the form that docs/conduct.md shows."
            ) from None
    return events


def _time(event: BusinessEvent, line: int) -> int:
    at = int(event.happened_at.timestamp()) * SECOND_US + event.happened_at.microsecond
    digits = max((len(run) for run in _DIGITS.findall(event.reference)), default=0)
    if digits > REFERENCE_DIGITS_MAX:
        raise BadInput(
            "The reference looks like the number of a document, a person or a telephone.",
            where=f"line {line}: reference",
            mend="Send a reference that nobody else can read, such as a keyed hash in base64.",
        )
    return at


def _require_order(events: Sequence[BusinessEvent], times: Sequence[int], now: int) -> None:
    seen: dict[str, int] = {}
    for line, (event, at) in enumerate(zip(events, times, strict=True), 1):
        if at > now + HAPPENED_AHEAD_MAX_US:
            raise BadInput("This lies in the future.", where=f"line {line}: happened_at")
        if at < now - AGE_DAYS_MAX * DAY_US:
            raise BadInput(f"This is more than {AGE_DAYS_MAX} days ago.", where=f"line {line}: happened_at")
        if line > 1 and at < times[line - 2]:
            mend = "Send events in the order in which the business was done."
            raise BadInput("This happened before the line above it.", where=f"line {line}: happened_at", mend=mend)
        if event.reference in seen:
            raise BadInput(f"This event stands in line {seen[event.reference]} already.", where=f"line {line}: reference")
        seen[event.reference] = line


async def _require_open(db: Connection, act: Act, party: str, first_us: int) -> None:
    found = await db.execute("SELECT closed_to_us FROM conduct_cursor WHERE realm = %s AND party = %s", (act.realm_code, party))
    row = await found.fetchone()
    if row is not None and first_us < row[0]:
        raise Conflict(
            "This time is settled: its events were laid beside your checks already.",
            where="line 1: happened_at",
            mend="Send what came late as an answer to the finding, with its receipt.",
        )


async def _require_new(db: Connection, act: Act, party: str, events: Sequence[BusinessEvent]) -> None:
    found = await db.execute(
        "SELECT reference FROM business_event WHERE realm = %s AND party = %s AND reference = ANY(%s) LIMIT 1",
        (act.realm_code, party, [event.reference for event in events]),
    )
    row = await found.fetchone()
    if row is not None:
        line = next(number for number, event in enumerate(events, 1) if event.reference == row[0])
        raise Conflict("This event was sent before.", where=f"line {line}: reference", mend="Leave out what was taken in.")


def _rows(
    act: Act,
    party: str,
    events: Sequence[BusinessEvent],
    times: Sequence[int],
    versions: Mapping[str, int],
    keys: tuple[list[int], bytes],
    now: int,
) -> bytes:
    """Return events as COPY reads them; none of their texts can hold a sign that means something there."""
    epochs, pairs = keys
    size = 2 * BLOCK_BYTES
    lines = []
    for place, event in enumerate(events):
        document, number = (
            pairs[place * size : place * size + BLOCK_BYTES].hex(),
            pairs[place * size + BLOCK_BYTES : (place + 1) * size].hex(),
        )
        lines.append(
            f"{act.realm_code}\t{party}\t{event.reference}\t{times[place]}\t{event.business}\t{versions[event.business]}\t"
            f"{event.branch}\t{event.terminal}\t\\\\x{document}\t\\\\x{number}\t{epochs[place]}\t"
            f"\\\\x{event.check or NO_KEY.hex()}\t{now}\n"
        )
    return "".join(lines).encode()
