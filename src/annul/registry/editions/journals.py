"""Take the journals of edges: verify a window, ask the register about each line again, tell the device what was wrong.

A window is taken once, in order, in one transaction with the note in the register log that says so. An answer that differs
from what the register knew when it was given is a recall: the device shows it to its clerk. Windows of another device, of one
that was withdrawn, out of order or with changed lines are refused and change nothing.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Any, Final

import msgspec
import nacl.exceptions
import nacl.public
import nacl.signing

from annul.edge.edition import ASK
from annul.edge.journal import Line, open_window
from annul.errors import BadInput, NotAuthorised
from annul.keys import Keys
from annul.proof.checkpoint import Verifier
from annul.records.entry import EntryKind, decode
from annul.registry.editions.saying import code_of_standing
from annul.registry.writing.store import Connections, Write, writing
from annul.times import Clock

LINES_MAX: Final = 1_000
"""Lines of one window: some hundred bytes each, within a body of 1 MiB."""
_ANSWERED: Final = {"LISTED": True, "NOT_LISTED": False}


class Recheck(msgspec.Struct, frozen=True):
    """One answer that differs from what the register says.

    Attributes:
        number: of the line.
        answered: verdict the device gave.
        now: `listed`, `not_listed`, `ask_online`, or `unknown` for a document that was never recorded.
        wrong: it differed already when it was given (so the device's copy was behind); else the document changed since.
        reference: the party's own.
    """

    number: int
    answered: str
    now: str
    wrong: bool
    reference: str


class Taken(msgspec.Struct, frozen=True):
    """What became of a window: the next line that is expected, lines asked again, and those that differ.

    Args:
        next: number of the next line that is expected.
        rechecked: lines that were asked again.
        differing: lines whose answer is another one now.
    """

    next: int
    rechecked: int
    differing: list[Recheck]


class Journals:
    """Take journals of edges.

    Args:
        connections: to the register's database.
        keys: the key file.
        now_us: clock.
    """

    def __init__(self, connections: Connections, keys: Keys, now_us: Clock) -> None:
        self._connections, self._keys, self._now_us = connections, keys, now_us

    async def take(self, edge: str, note: bytes, raw: bytes) -> Taken:
        """Take a window of an edge's journal. The same window again is answered alike and changes nothing.

        Raises:
            NotAuthorised: no such edge, or it was withdrawn.
            VerificationFailed: another device's journal, not the next window, or lines that were not signed.
            BadInput: too many lines, or a line's document is not sealed to this register.
        """
        if raw.count(b"\n") > LINES_MAX:
            raise BadInput("A window has too many lines.", where="lines", mend=f"Close a window after {LINES_MAX} answers.")
        async with writing(self._connections, self._now_us()) as write:
            row = await write.one(
                "SELECT vkey, journal_next, journal_chain, journal_before, journal_first FROM edge "
                "WHERE name = %s AND withdrawn_at_us IS NULL FOR UPDATE",
                edge,
            )
            if row is None:
                raise NotAuthorised("This device is not admitted.", mend="Have it admitted: annul edition admit")
            vkey, following, chain, before, first = row
            device = Verifier.parse(vkey)
            again = first is not None and f'"first":{first},'.encode() in note
            expected = (first, bytes(before)) if again else (following, bytes(chain))
            window, lines = open_window(note, raw, device, expected)
            differing = [found for line in lines if (found := await self._again(write, line)) is not None]
            if not again:
                await write.run(
                    "UPDATE edge SET journal_next = %s, journal_chain = %s, journal_before = %s, journal_first = %s "
                    "WHERE name = %s",
                    window.last + 1,
                    bytes.fromhex(window.chain),
                    bytes(chain),
                    following,
                    edge,
                )
                wrong = sum(each.wrong for each in differing)
                told = f"journal {window.first} to {window.last}: {len(differing)} differ, {wrong} were wrong"
                write.note(f"edge/{edge}"[:64], f"journal of {edge}", told.encode(), detail_hash=hashlib.sha256(note).digest())
            return Taken(window.last + 1, len(lines), differing)

    async def _again(self, write: Write, line: Line) -> Recheck | None:
        """Return how a line differs from what the register says; None when it does not, or nothing was answered."""
        answered = _ANSWERED.get(line.verdict)
        if answered is None or not line.document or line.why == "expired-by-date":
            return None
        sealed = self._keys.sealed("live").seal_carried(self._opened(line.document))
        row = await write.one("SELECT id, standing, disputed FROM document WHERE realm = 0 AND carried_key = %s", sealed)
        if row is None:
            return Recheck(line.number, line.verdict, "unknown", True, line.reference)
        code = code_of_standing(row[1], disputed=row[2])
        if code != ASK and bool(code) == answered:
            return None
        now = {0: "not_listed", ASK: "ask_online"}.get(code, "listed")
        return Recheck(line.number, line.verdict, now, await _since_us(write, row[0]) <= line.at_us, line.reference)

    def _opened(self, sealed: str) -> bytes:
        box = nacl.public.SealedBox(nacl.signing.SigningKey(self._keys.edition_seed()).to_curve25519_private_key())
        try:
            carried = bytes(box.decrypt(base64.b64decode(sealed, validate=True)))
        except (nacl.exceptions.CryptoError, binascii.Error, ValueError) as error:
            raise BadInput("A line's document is not sealed to this register.", where="document") from error
        if len(carried) != 16:
            raise BadInput("A line's document is not a key.", where="document")
        return carried


async def _since_us(write: Write, document_id: int) -> int:
    """Return since when (time of recording) the register says of a document what it says now."""
    rows: list[Any] = await write.all(
        "SELECT entry FROM register_log WHERE document_id = %s ORDER BY position DESC", document_id
    )
    entries = [decode(bytes(entry)) for (entry,) in rows]
    said = [
        (code_of_standing(entry.standing, disputed=entry.disputed), entry.recorded_at_us)
        for entry in entries
        if entry.kind is EntryKind.document
    ]
    since = said[0][1] if said else 0
    for code, recorded_at_us in said:
        if code != said[0][0]:
            break
        since = recorded_at_us
    return since
