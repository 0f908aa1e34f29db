"""Screen one file: read, answer in windows, make their accounts durable, write the results, sign one receipt.

Windows of screenings stand in a check log of their own (worker SCREENING_WORKER), which the sealer seals and the index reads as
any other; so holders see who asked, and every line has its own receipt by the ID of its check. The receipt of the file is a
signed note that names the file, the results and the last of its windows, whose statement binds all before it.

    <home>/screenings/<ID>/state.json     how far it is; gone when it is done
    <home>/screenings/<ID>/receipt.note   the receipt

What a crash leaves: accounts without results, whose lines the next run of the same file asks again; never a result without an
account.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from annul import durable
from annul.errors import AnnulError, BadInput, Conflict, TooLarge
from annul.home import Home
from annul.keys import Keys
from annul.listings.listings import Listings
from annul.proof.checkpoint import sign_note
from annul.proof.leaf import LEAF_BYTES
from annul.proof.merkle import leaf_hash
from annul.proof.window import WindowSigner
from annul.records.check import DECISIONS
from annul.records.codes import StatusClass
from annul.records.document import DocumentKeys
from annul.registry.answering.answers import Told
from annul.registry.answering.checklog import CheckLog
from annul.registry.answering.frame import LEAVES_AT
from annul.registry.answering.machine import answerer_here
from annul.registry.answering.principals import Principal
from annul.registry.answering.questions import Asked, Reader
from annul.registry.answering.quota import WORKERS_MAX, Quota
from annul.registry.answering.screening.files import FileLine, pieces, question_of
from annul.registry.answering.windows import Closed, Place
from annul.times import Clock, rfc3339

SCREENING_WORKER: Final = 900
"""Number under which screenings are accounted; workers that answer requests are far below."""
WINDOW_LINES: Final = 2_048
RESULT_COLUMNS: Final = ("line", "reference", "outcome", "status", "class", "advice", "detail", "check")
RECEIPT_TITLE: Final = "annul screening v1"
_READ_BYTES: Final = 1 << 20
_LISTED: Final = (StatusClass.reported.value, StatusClass.not_in_force.value)


class State(msgspec.Struct):
    """How far a screening is: what the results hold, and where the file is read on."""

    place: int = 0
    lines: int = 0
    result_bytes: int = 0
    documents: int = 0
    bad: int = 0
    listed: int = 0
    position: int = -1
    first_window: int = -1


class Screened(msgspec.Struct, frozen=True):
    """What became of a file; `position`: the lowest of the register log that an answer stands on."""

    documents: int
    bad: int
    listed: int
    position: int
    seconds: float
    receipt: str
    results: str


@dataclass(frozen=True)
class Office:
    """What a screening needs of the register.

    Args:
        home: data folder.
        keys: secrets; listings, people: the tables (people may be missing).
        now_us: clock.
    """

    home: Home
    keys: Keys
    listings: Listings
    people: Listings | None
    now_us: Clock


class _Sink:
    """Nobody waits for a line: what it was told is read from its window."""

    def tell(self, place: int, body: bytes) -> None:
        pass

    def fail(self, error: Exception) -> None:
        pass


class Screening:
    """Screen a file for one party.

    Args:
        office: the register.
        principal: for whom; its agreement and policy hold.
        file: what is screened, see `files.pieces`.
        out: where the results go, a CSV file; made when everything is done.
        purpose, channel: of every check.

    Raises:
        Forbidden: the party has no agreement. PurposeNotAllowed, BadInput: the purpose or channel cannot be.
        Conflict: another screening runs on this machine.
    """

    def __init__(self, office: Office, principal: Principal, file: Path, out: Path, *, purpose: str, channel: str) -> None:
        if out.suffix.lower() != ".csv":
            raise BadInput("Results are written as CSV.", where=out.name, mend="Name the results .csv.")
        if file.resolve() == out.resolve():
            raise BadInput("The results would take the place of the file.", where=out.name, mend="Name another file.")
        self._office, self._principal, self._file, self._out = office, principal, file, out
        self._purpose, self._channel = purpose, channel
        self._texts: dict[int, tuple[Told, bytes, bool]] = {}
        self._signer = WindowSigner(office.keys.receipt_signer())
        self._checks_keys = {realm: office.keys.documents(realm) for realm in ("live", "test")}
        office.keys.require_epoch(office.listings.key_epoch)

    def run(self, progress: Callable[[float, int], None]) -> Screened:
        """Screen the file, from where an interrupted run of the same file stopped.

        Args:
            progress: hears after each piece how much of the file is read (0 to 1) and how many lines.

        Raises:
            BadInput, TooLarge: the file is none that can be screened; StorageFailed: accounts or results cannot be kept.
        """
        begun_us = self._office.now_us()
        next(pieces(self._file, 0), None)  # another form is refused before a large file is read for its digest
        digest = _sha256(self._file)
        with (
            _Asking(self._office, self._principal, self._purpose, self._channel) as asking,
            _Accounts(self._office, self._signer, self._checks_keys) as accounts,
        ):
            folder = durable.folder(self._office.home.screenings / self._name(digest))
            kept, part = folder / "state.json", self._out.with_name(self._out.name + ".part")
            state = _read_state(kept)
            if not part.is_file() or part.stat().st_size < state.result_bytes:
                state = State()
            if state.first_window < 0:
                state.first_window = accounts.next_window
            try:
                with _opened(part, state) as results:
                    self._go_on(state, asking, accounts, results, kept, progress)
            except (BadInput, TooLarge):  # it will never be read to its end
                part.unlink(missing_ok=True)
                kept.unlink(missing_ok=True)
                raise
            last_window, last_hash = accounts.next_window - 1, accounts.previous
        receipt = self._receipt(state, digest, _sha256(part), last_window, last_hash)
        durable.replace(folder / "receipt.note", receipt)
        durable.move(part, self._out)
        kept.unlink(missing_ok=True)
        seconds = (self._office.now_us() - begun_us) / 1e6
        return Screened(state.documents, state.bad, state.listed, state.position, seconds, receipt.decode(), str(self._out))

    def _go_on(
        self,
        state: State,
        asking: _Asking,
        accounts: _Accounts,
        results: BinaryIO,
        kept: Path,
        progress: Callable[[float, int], None],
    ) -> None:
        """Read, answer, keep and write what is left of the file, a piece at a time."""
        for piece in pieces(self._file, state.place):
            written = self._answer(piece.lines, asking, accounts, state)
            with durable.telling(self._out):
                results.write(written)
                results.flush()
                os.fsync(results.fileno())
            state.place = piece.end
            state.result_bytes += len(written)
            durable.replace(kept, msgspec.json.encode(state))
            progress(piece.share, state.lines)

    def _name(self, digest: bytes) -> str:
        about = (self._principal.id, self._principal.realm, self._purpose, self._channel, str(self._out.resolve()))
        return hashlib.sha256(digest + "\0".join(about).encode()).hexdigest()[:32]

    def _answer(self, lines: list[FileLine], asking: _Asking, accounts: _Accounts, state: State) -> bytes:
        """Answer the lines of a piece, make their accounts durable, and return their results."""
        read: list[tuple[Asked | None, str]] = [asking.read(line) for line in lines]
        asked = [each for each, _ in read if each is not None]
        told: list[tuple[Told, bytes]] = []
        for first in range(0, len(asked), WINDOW_LINES):
            closed, tellings = accounts.close(asked[first : first + WINDOW_LINES])
            state.position = closed.position if state.position < 0 else min(state.position, closed.position)
            leaves = closed.record[LEAVES_AT : LEAVES_AT + LEAF_BYTES * len(tellings)]
            told += zip(tellings, (leaves[at : at + LEAF_BYTES] for at in range(0, len(leaves), LEAF_BYTES)), strict=True)
        accounts.keep()
        answers, out = iter(told), []
        for line, (each, cause) in zip(lines, read, strict=True):
            state.lines += 1
            reference = _cell(line.fields.get("reference") or "")
            if each is None:
                state.bad += 1
                out.append(b"%d,%b,NO_ANSWER,,,,%b,\n" % (state.lines, reference, _cell(cause)))
                continue
            one, leaf = next(answers)
            text, listed = self._text(one)
            state.documents += 1
            state.listed += listed
            out.append(b"%d,%b,%b,%b\n" % (state.lines, reference, text, leaf_hash(leaf)[:16].hex().encode()))
        return b"".join(out)

    def _text(self, told: Told) -> tuple[bytes, bool]:
        """Return the columns from outcome to detail of everything that is told so, and whether it is a listing."""
        known = self._texts.get(id(told))
        if known is None:
            answer = msgspec.json.decode(told.head + b'0,"as_of":""}' + told.tail + b'"}')
            status = answer["status"]
            cells = (answer["outcome"], status["code"], status["class"], " ".join(answer["advice"]), answer["detail"])
            known = self._texts[id(told)] = told, b",".join(map(_cell, cells)), status["class"] in _LISTED
        return known[1], known[2]

    def _receipt(self, state: State, digest: bytes, results: bytes, last_window: int, last_hash: bytes) -> bytes:
        text = base64.b64encode
        lines = (
            RECEIPT_TITLE,
            f"register {self._office.keys.origin}",
            f"party {self._principal.id} {self._principal.realm}",
            f"asked {self._purpose} {self._channel}",
            f"documents {state.documents}",
            f"bad {state.bad}",
            f"listed {state.listed}",
            f"position {state.position}",
            f"screened-at {rfc3339(self._office.now_us())}",
            f"windows {SCREENING_WORKER} {state.first_window} {last_window} {text(last_hash).decode()}",
            f"file sha256 {text(digest).decode()}",
            f"results sha256 {text(results).decode()}",
        )
        return sign_note("".join(f"{line}\n" for line in lines).encode(), self._signer.signer)


class _Asking:
    """Make questions of lines, as a single check makes them of its body."""

    def __init__(self, office: Office, principal: Principal, purpose: str, channel: str) -> None:
        self._purpose, self._channel = purpose, channel
        self._quota = Quota(office.home.quota, WORKERS_MAX - 1)
        self._reader = Reader(self._quota, DECISIONS, office.now_us, named=office.people is not None, watched=False)
        try:
            self._caller = self._reader.caller(principal)
            sample = question_of({"scheme": "generic", "number": "1"}, purpose, channel)
            self._reader.manner(self._caller, sample)
        except BaseException:
            self._quota.close()
            raise

    def read(self, line: FileLine) -> tuple[Asked | None, str]:
        """Return the question of a line, or why it is none."""
        if line.cause:
            return None, line.cause
        try:
            return self._reader.read(self._caller, question_of(line.fields, self._purpose, self._channel), _Sink(), -1), ""
        except msgspec.ValidationError:
            return None, "A field is longer than a check's may be, or is no text of a line."
        except AnnulError as error:
            return None, error.message

    def __enter__(self) -> _Asking:
        return self

    def __exit__(self, *_: object) -> None:
        self._quota.close()


class _Accounts:
    """Answer windows and keep them in the check log of screenings."""

    def __init__(self, office: Office, signer: WindowSigner, keys: Mapping[str, DocumentKeys]) -> None:
        self._now_us = office.now_us
        try:
            self._log = CheckLog(office.home.checks, SCREENING_WORKER)
        except Conflict:
            raise Conflict(
                "Another screening runs on this machine.", where="screenings", mend="Wait for its end, or stop it with Ctrl-C."
            ) from None
        self._answerer = answerer_here()(
            office.listings,
            keys,
            signer,
            people=office.people,
            alarm=None,
            live_us=2_000_000,
        )
        self._waiting: list[Closed] = []
        self.next_window, self.previous = self._log.next_window, self._log.previous

    def close(self, asked: list[Asked]) -> tuple[Closed, list[Told]]:
        """Answer a window; `keep` makes it durable."""
        closed = self._answerer.answer(asked, self._now_us(), Place(SCREENING_WORKER, self.next_window, self.previous))
        told = closed.told()
        self._waiting.append(closed)
        self.next_window, self.previous = self.next_window + 1, closed.statement_hash
        return closed, told

    def keep(self) -> None:
        """Return when everything that was answered is on stable storage."""
        if self._waiting:
            self._log.append([each.record for each in self._waiting], self._waiting[-1].statement)
            self._waiting = []

    def __enter__(self) -> _Accounts:
        return self

    def __exit__(self, *_: object) -> None:
        self._log.close()


def _cell(text: str) -> bytes:
    """Write one field of CSV."""
    if not any(mark in text for mark in ',"\r\n'):
        return text.encode()
    written = io.StringIO()
    csv.writer(written, lineterminator="").writerow([text])
    return written.getvalue().encode()


def _sha256(path: Path) -> bytes:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(_READ_BYTES):
                digest.update(block)
    except OSError as error:
        raise BadInput(f"The file cannot be read: {error.strerror}.", where=path.name, mend="Name another file.") from error
    return digest.digest()


def _read_state(kept: Path) -> State:
    try:
        return msgspec.json.decode(kept.read_bytes(), type=State)
    except (FileNotFoundError, msgspec.DecodeError):
        return State()


def _opened(part: Path, state: State) -> BinaryIO:
    """Open the results where the last durable piece of them ends."""
    with durable.telling(part):
        file = part.open("r+b" if state.result_bytes else "w+b")
        file.truncate(state.result_bytes)
        file.seek(state.result_bytes)
        if not state.result_bytes:
            head = (",".join(RESULT_COLUMNS) + "\n").encode()
            file.write(head)
            state.result_bytes = len(head)
    return file
