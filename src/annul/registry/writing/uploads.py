"""Lists that come in through a browser: kept aside, staged behind the page, watched by whoever opens it again.

    upload = uploads.open(act, name="list.csv"); upload.write(chunk) …
    uploads.complete(act, upload.id, format="russian", state="revoked", evidence="…")
    uploads.begin(act, upload.id)                                  # goes on when the page is closed
    uploads.view(act, upload.id)                                   # from any worker: progress lies in a file

The file holds document numbers, so it is readable by its owner alone, and is destroyed as soon as it is staged or refused. A
worker that dies leaves its job `stopped`; `begin` goes on where the import stopped. National lists come in by `annul import`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import time
from pathlib import Path
from typing import Final, Literal

import msgspec

from annul import durable
from annul.errors import AnnulError, BadInput, Conflict, NotFound, TooLarge
from annul.home import Home
from annul.listings.apart import UPLOADED
from annul.records.references import require_reference
from annul.records.status import State
from annul.registry.writing.act import Act
from annul.registry.writing.bulk import Bulk, Format
from annul.registry.writing.ground import Ground
from annul.registry.writing.origin import NAME_CHARS_MAX
from annul.times import SECOND_US

UPLOAD_BYTES_MAX: Final = 64 * 1024 * 1024
"""Largest list by browser: some five million lines. A larger one would make a worker's checks wait while it is read."""
STOPPED_S: Final = 20.0
"""After so long without progress a job's worker is taken to be dead."""
KEPT_S: Final = 24 * 3600.0
"""How long a job that ended is shown, and a stopped one can go on."""

Phase = Literal["parked", "receiving", "reading", "staged", "refused"]
_ID: Final = re.compile(r"u_[0-9a-f]{24}")
PACKED: Final = (".gz", ".zst", ".xz", ".bz2", ".zip")
_SUFFIXES: Final = {
    "russian": (".csv", ".txt", *PACKED),
    "interchange": (".csv", ".tsv", ".txt", ".ndjson", ".jsonl", ".parquet", *PACKED),
}


class UploadView(msgspec.Struct, kw_only=True):
    """A list on its way; while it is `parked` its form still has to be completed.

    `done` of `whole` bytes are read; `bulk` is the event it became; `error` why it did not.
    """

    id: str
    author: str
    realm: str
    format: Format | Literal[""]
    state: str
    happened_at_us: int
    evidence: str
    phase: Phase
    begun_at_us: int
    name: str = ""
    show_lines: bool = False
    done: int = 0
    whole: int = 0
    lines: int = 0
    bulk: str = ""
    error: str = ""
    mend: str = ""
    stopped: bool = False


class Upload:
    """One file that is being received."""

    def __init__(self, path: Path, view: UploadView) -> None:
        self.id, self._path = view.id, path
        self._file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb")
        self._size = 0

    def write(self, chunk: bytes) -> None:
        """Take a part of the file.

        Raises:
            TooLarge: it is larger than UPLOAD_BYTES_MAX.
        """
        self._size += len(chunk)
        if self._size > UPLOAD_BYTES_MAX:
            raise too_large()
        self._file.write(chunk)

    def close(self) -> int:
        """End the file; return its size in bytes."""
        self._file.close()
        return self._size

    def drop(self) -> None:
        """Destroy what was received."""
        self._file.close()
        self._path.unlink(missing_ok=True)


class Uploads:
    """Receive lists and stage them in the background.

    Args:
        ground: what every part stands on.
        bulk: stages.
    """

    def __init__(self, ground: Ground, bulk: Bulk) -> None:
        self._bulk, self._folder, self._now_us = bulk, ground.home.uploads, ground.now_us
        self._tasks: set[asyncio.Task[None]] = set()

    def open(self, act: Act, *, name: str) -> Upload:
        """Begin to receive a list. It is parked until `complete` says what it is: an error in a field costs nobody the file.

        Raises:
            BadInput: no list is in files of this name.
        """
        suffix = Path(name).suffix.lower()
        if not any(suffix in known for known in _SUFFIXES.values()):
            known = sorted({one for each in _SUFFIXES.values() for one in each})
            raise BadInput("No list comes in such a file.", where="file", mend=f"Send one of {', '.join(known)}.")
        durable.folder(self._folder)
        view = UploadView(
            id="u_" + secrets.token_hex(12),
            author=act.author,
            realm=act.realm,
            format="",
            state="",
            happened_at_us=self._now_us(),
            evidence="",
            phase="parked",
            begun_at_us=self._now_us(),
            name=Path(name.replace("\\", "/")).name[:NAME_CHARS_MAX],
        )
        self._write(view)
        return Upload(self._folder / f"{view.id}{suffix}", view)

    def complete(self, act: Act, upload_id: str, *, format: str, state: str, evidence: str, show_lines: bool = False) -> None:
        """Say what a parked list is; `begin` may read it then.

        Args:
            format, state: as of `Bulk.stage`.
            evidence: reference of the decision behind it.
            show_lines: the second officer may read its first lines in clear.

        Raises:
            BadInput: a field is not of its form; the file stays parked.
            Conflict: it is not parked any more.
        """
        view = self.view(act, upload_id)
        if view.phase != "parked":
            raise Conflict("This list is not waiting to be read.")
        if format not in _SUFFIXES:
            raise BadInput("Choose the format of the list.", where="format")
        if Path(view.name).suffix.lower() not in _SUFFIXES[format]:
            raise BadInput("This format has other files.", where="file", mend=f"Send one of {', '.join(_SUFFIXES[format])}.")
        if format == "russian" and (state not in State.__members__ or State[state] is State.current):
            raise BadInput("Choose what the list says.", where="state")
        evidence = require_reference(evidence, "evidence")
        view.format = format  # type: ignore[assignment]
        view.state = state if format == "russian" else ""
        view.evidence, view.show_lines, view.phase = evidence, show_lines, "receiving"
        self._write(view)

    def begin(self, act: Act, upload_id: str) -> None:
        """Stage a received list in the background, or go on with one that stopped.

        Raises:
            Conflict: it is being read, or was staged or refused.
        """
        view = self.view(act, upload_id)
        if view.phase not in ("receiving", "reading") or (view.phase == "reading" and not view.stopped):
            raise Conflict("This list is not waiting to be read.")
        task = asyncio.create_task(self._stage(act, view))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def view(self, act: Act, upload_id: str) -> UploadView:
        """Return a list on its way, of the caller's party; NotFound when there is none."""
        path = self._folder / f"{upload_id}.json"
        try:
            if not _ID.fullmatch(upload_id):
                raise FileNotFoundError
            view = msgspec.json.decode(path.read_bytes(), type=UploadView)
            age_s = time.time() - path.stat().st_mtime
        except FileNotFoundError:
            raise NotFound("There is no such list.") from None
        if view.realm != act.realm or view.author.partition("/")[0] != act.author.partition("/")[0]:
            raise NotFound("There is no such list.")
        view.stopped = view.phase in ("receiving", "reading") and age_s > STOPPED_S
        return view

    def list(self, act: Act) -> list[UploadView]:
        """Return the lists of the caller's party that are on their way, newest first."""
        found = []
        for path in sorted(self._folder.glob("u_*.json")):
            try:
                found.append(self.view(act, path.stem))
            except NotFound:
                continue
        return sorted(found, key=lambda view: -view.begun_at_us)

    def discard(self, act: Act, upload_id: str) -> None:
        """Destroy a list that is not staged, with its file; one that is being read is stopped."""
        view = self.view(act, upload_id)
        if view.phase == "reading" and not view.stopped:
            durable.replace_lossy(self._stop(view.id), b"")  # whoever reads it looks for this
        else:
            self._destroy(view.id)
        (self._folder / f"{view.id}.json").unlink(missing_ok=True)

    def _stop(self, upload_id: str) -> Path:
        return self._folder / f"{upload_id}.stop"

    async def _stage(self, act: Act, view: UploadView) -> None:
        files = [path for path in self._folder.glob(f"{view.id}.*") if path.suffix not in (".json", ".new", ".stop")]
        view.phase, view.stopped = "reading", False
        stop = self._stop(view.id)

        def progress(done: int, whole: int, lines: int) -> None:
            view.done, view.whole, view.lines = done, whole, lines
            if stop.exists():
                raise Conflict("The reading of the list was stopped.")
            self._write(view)

        try:
            assert view.format  # it was completed
            if not files:
                raise NotFound("The file is not there any more.", mend="Send it again.")
            view.whole = files[0].stat().st_size
            self._write(view)
            staged = await self._bulk.stage(
                Act(act.author, act.realm, credential=act.credential),
                files[0],
                format=view.format,
                happened_at_us=view.happened_at_us,
                state=State[view.state] if view.state else None,
                evidence=view.evidence,
                progress=progress,
                sealing=lambda _done, _whole: progress(view.done, view.whole, view.lines),
                limits=UPLOADED,
                stopped=stop.exists,
                name=view.name,
                show_lines=view.show_lines,
            )
            view.phase, view.bulk = "staged", staged.id
        except AnnulError as error:
            view.phase, view.error, view.mend = "refused", error.message, error.mend or ""
        if not stop.exists():
            self._write(view)
        else:
            (self._folder / f"{view.id}.json").unlink(missing_ok=True)  # the last progress may have written it again
        if stop.exists() and view.bulk:  # it was discarded when its reading had just ended
            await self._bulk.discard(Act(act.author, act.realm), view.bulk)
        self._destroy(view.id)

    def _destroy(self, upload_id: str) -> None:
        for path in self._folder.glob(f"{upload_id}.*"):
            if path.suffix not in (".json", ".new"):
                path.unlink(missing_ok=True)

    def _write(self, view: UploadView) -> None:
        durable.replace_lossy(self._folder / f"{view.id}.json", msgspec.json.encode(view))


def forget(home: Home, now_us: int) -> int:
    """Remove jobs, and files of jobs, that nobody has touched for KEPT_S; return how many files went. The timetable calls this.

    A crash leaves the others for the next time.
    """
    gone = 0
    for path in home.uploads.iterdir() if home.uploads.is_dir() else ():
        with contextlib.suppress(FileNotFoundError):  # its reading has just ended
            if now_us / SECOND_US - path.stat().st_mtime > KEPT_S:
                path.unlink()
                gone += 1
    return gone


def too_large() -> TooLarge:
    """Return the refusal of a list that is too large for a browser."""
    return TooLarge(
        "The list is too large for this page: at most 64 MB.",
        where="file",
        mend="Bring it in on the register's machine with `annul import`.",
    )
