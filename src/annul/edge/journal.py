"""Account for what was answered offline: lines chained by hash, in windows the device signs.

A line holds when, by which state, what was answered, and the document as its carried key, sealed to the register: who steals
the device cannot read whom it asked about. The chain is SHA-256(chain before | line); a window is a signed note over the
lines since the last one. A line that is taken out, changed or put in breaks the chain; what was cut off at the end shows when
the register sees a later window. The register looks every document up again and recalls what was wrong.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import nacl.public
import nacl.signing

from annul import durable
from annul.edge.edge import Answer
from annul.edge.grant import open_grant
from annul.edge.store import Store
from annul.edge.trust import open_manifest
from annul.errors import Corrupt, VerificationFailed
from annul.proof.checkpoint import Verifier, open_note, sign_note
from annul.records.document import Document

LINE_BYTES_MAX: Final = 4096
START: Final = bytes(32)
"""Chain before the first line."""


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One answer given offline; `document` is the carried key sealed to the register (base64), empty without an edition."""

    number: int
    at_us: int
    verdict: str
    class_: str = msgspec.field(name="class")
    why: str
    freshness: str
    edition: str
    position: int
    as_of_us: int
    scheme: str
    document: str
    reference: str


class Window(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a device signs: its lines `first` to `last`, the chain before and after them."""

    kind: str = "annul journal window v1"
    edge: str
    first: int
    last: int
    before: str
    chain: str
    closed_at_us: int


class Journal:
    """Write a device's journal.

    Args:
        store: of the device.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._folder = store.place / "journal"

    def append(self, answer: Answer, document: Document, at_us: int, *, reference: str = "") -> int:
        """Write one line, durably, before the answer is shown; return its number."""
        with self._locked() as file:
            number, _ = _state(file)
            line = Line(
                number=number + 1,
                at_us=at_us,
                verdict=answer.finding.verdict.value,
                class_=answer.finding.class_,
                why=answer.finding.why,
                freshness=answer.freshness.value,
                edition=answer.edition,
                position=answer.position,
                as_of_us=answer.as_of_us,
                scheme=document.scheme,
                document=self._sealed(answer.edition, document, at_us),
                reference=reference[:64],
            )
            file.write(msgspec.json.encode(line) + b"\n")
            file.flush()
            os.fsync(file.fileno())
            return number + 1

    def _sealed(self, edition: str, document: Document, now_us: int) -> str:
        if not edition:
            return ""
        trust, folder = self._store.trust(), self._store.folder(edition)
        manifest = open_manifest((folder / "manifest").read_bytes(), trust, now_us)
        grant = (folder / "grant").read_bytes()
        pointer = open_grant(grant, self._store.device().secret, edition, manifest.key_check, now_us)
        register = nacl.signing.VerifyKey(trust.live.verifiers[0].public_key).to_curve25519_public_key()
        return base64.b64encode(nacl.public.SealedBox(register).encrypt(pointer.carried(document))).decode()

    def close_window(self, now_us: int) -> tuple[bytes, bytes] | None:
        """Sign the lines since the last window; return the signed note and the lines, None when there are none."""
        device = self._store.device()
        with self._locked() as file:
            before = self._store.read("journal/closed")
            first, chain = (1, START) if before is None else _closed(before)
            lines = [raw for number, raw in _lines(file) if number >= first]
            if not lines:
                return None
            after = chained(chain, lines)
            window = Window(
                edge=device.name,
                first=first,
                last=first + len(lines) - 1,
                before=chain.hex(),
                chain=after.hex(),
                closed_at_us=now_us,
            )
            note = sign_note(msgspec.json.encode(window, order="sorted") + b"\n", device.signer)
            durable.replace(self._folder / f"window-{window.first}-{window.last}", note)
            durable.replace(self._folder / "closed", msgspec.json.encode([window.last + 1, after.hex()]))
            return note, b"".join(lines)

    def waiting(self) -> list[tuple[Path, bytes, bytes]]:
        """Return the windows that no register has acknowledged, oldest first: file, note, lines."""
        found = []
        with self._locked() as file:
            lines = dict(_lines(file))
        for path in self._folder.glob("window-*"):
            first, last = (int(part) for part in path.name.split("-")[1:])
            found.append((first, path, path.read_bytes(), b"".join(lines[number] for number in range(first, last + 1))))
        return [(path, note, raw) for _, path, note, raw in sorted(found)]

    @contextmanager
    def _locked(self) -> Iterator[Any]:
        durable.folder(self._folder)
        descriptor = os.open(self._folder / "lines", os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file


def _lines(file: Any) -> Iterator[tuple[int, bytes]]:
    """Yield number and bytes of each line; a torn last line, left by a crash, was never answered and is cut off."""
    file.seek(0)
    good = 0
    for number, raw in enumerate(file, 1):
        if not raw.endswith(b"\n"):
            file.truncate(good)
            return
        good += len(raw)
        yield number, raw


def _state(file: Any) -> tuple[int, bytes]:
    return max(_lines(file), default=(0, b""))


def _closed(raw: bytes) -> tuple[int, bytes]:
    try:
        first, chain = msgspec.json.decode(raw, type=tuple[int, str])
        return first, bytes.fromhex(chain)
    except (msgspec.MsgspecError, ValueError) as error:
        raise Corrupt("The journal's last window is damaged.", where="journal/closed") from error


def chained(chain: bytes, lines: list[bytes]) -> bytes:
    """Return the chain after these lines."""
    for line in lines:
        chain = hashlib.sha256(chain + line).digest()
    return chain


def open_window(note: bytes, raw: bytes, device: Verifier, expected: tuple[int, bytes]) -> tuple[Window, list[Line]]:
    """Verify a window as the register receives it.

    Args:
        note: signed window.
        raw: its lines.
        device: key of the device that is admitted under the name of the uploader.
        expected: number of the next line and the chain so far, as the register remembers them.

    Raises:
        VerificationFailed: step 1 to 3 the signature (another device's journal), step 4 not the next window, 5 the lines.
    """
    text = open_note(note, [device])
    try:
        window = msgspec.json.decode(text, type=Window)
        lines = [msgspec.json.decode(each, type=Line) for each in raw.splitlines()]
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise VerificationFailed("This is no window of a journal.", step=4, where="window") from error
    if window.edge != device.name or (window.first, window.before) != (expected[0], expected[1].hex()):
        raise VerificationFailed("This is not the next window of this device's journal.", step=4, where="first")
    numbers = [line.number for line in lines]
    whole = chained(expected[1], raw.splitlines(keepends=True)).hex() == window.chain
    if not whole or numbers != list(range(window.first, window.last + 1)):
        raise VerificationFailed("The lines are not those that were signed.", step=5, where="chain")
    return window, lines
