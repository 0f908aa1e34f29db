"""The table of contents of one backup: what is in it, up to where, and the signature that says who took it.

<stamp>/contents.json      msgspec JSON of `Contents`
<stamp>/contents.note      signed note: origin, version, SHA-256 of contents.json (C2SP signed-note, key <origin>/backup)
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from annul import durable
from annul.errors import AnnulError, Corrupt, NotFound, UnknownVersion
from annul.keys import Keys
from annul.proof.checkpoint import Signer, open_note, sign_note
from annul.times import SECOND_US

VERSION: Final = 1
CONTENTS: Final = "contents.json"
NOTE: Final = "contents.note"
UNFINISHED: Final = ".unfinished"
"""Behind the name of a run that is not whole: it is removed by the next run."""
GROWN: Final = "grown"
DATABASE: Final = "database.dump"
KEYS: Final = "keys.age"
FILES: Final = "files"


class CheckPlace(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Say up to where a worker's check log is copied.

    Args:
        windows: all windows before this number are in it.
        file: name of the file the last of them lies in; "" when there is none.
        offset: byte of that file at which it ends.
    """

    windows: int = 0
    file: str = ""
    offset: int = 0


class Place(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Say up to where what only grows is copied: the check log of each worker, the entries of each sealed log."""

    checks: dict[str, CheckPlace] = {}
    logs: dict[str, int] = {}


class FileCopy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Say of one copied file how long it is and what its SHA-256 is (hexadecimal)."""

    size: int
    sha256: str


class DatabaseCopy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Say of which state of the database the copy is.

    Args:
        file: the copy, as `pg_restore` reads it.
        head: last position of the register log in it.
        key_epoch: epoch of the document keys it needs.
        migration: its version.
        server: major version of the server it came from.
    """

    file: FileCopy
    head: int
    key_epoch: int
    migration: str
    server: int


class Contents(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Hold the table of contents.

    Args:
        origin: name of the register (`Keys.origin`).
        annul: version of annul that took it.
        taken_at_us: when it was begun.
        keys: file of the sealed keys and settings; "" when they are kept elsewhere.
        files: path below `files/` -> what it is.
    """

    version: int
    origin: str
    annul: str
    taken_at_us: int
    database: DatabaseCopy
    grown: Place
    keys: str
    files: dict[str, FileCopy]

    @property
    def check_windows(self) -> int:
        """Return how many windows of answers are in it."""
        return sum(place.windows for place in self.grown.checks.values())


def stamp(at_us: int) -> str:
    """Return the name of a run's folder: its time, in an order that sorts."""
    return datetime.fromtimestamp(at_us // SECOND_US, UTC).strftime("%Y-%m-%dT%H%M%S") + f".{at_us % SECOND_US:06d}Z"


def runs(folder: Path) -> list[Path]:
    """Return the finished runs in a backup folder, oldest first."""
    if not folder.is_dir():
        return []
    return sorted(each for each in folder.iterdir() if (each / NOTE).is_file() and not each.name.endswith(UNFINISHED))


def write(run: Path, contents: Contents, keys: Keys) -> None:
    """Put the table of contents and its signature into a run's folder, durably; the signature last."""
    raw = msgspec.json.format(msgspec.json.encode(contents), indent=1) + b"\n"
    durable.replace(run / CONTENTS, raw)
    durable.replace(run / NOTE, sign_note(_text(contents.origin, raw), _signer(keys)))


def read(run: Path) -> Contents:
    """Read the table of contents of a run, unverified.

    Raises:
        NotFound: there is none. UnknownVersion: a newer annul took it. Corrupt: it is damaged.
    """
    try:
        raw = (run / CONTENTS).read_bytes()
        version = msgspec.json.decode(raw, type=dict[str, object]).get("version")
        if version != VERSION:
            raise UnknownVersion("The backup was taken by another version of annul.", where=run.name, mend="Use that one.")
        return msgspec.json.decode(raw, type=Contents)
    except OSError:
        raise NotFound("This is no backup: it has no table of contents.", where=str(run)) from None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise Corrupt("The backup's table of contents is damaged.", where=f"{run.name}/{CONTENTS}") from None


def require_signed(run: Path, keys: Keys) -> None:
    """Hold that a run was taken with these keys, and that its table of contents is as it was.

    Raises:
        Corrupt: it was taken of another register, or changed since.
    """
    raw = (run / CONTENTS).read_bytes()
    try:
        text = open_note((run / NOTE).read_bytes(), [_signer(keys).verifier])
    except (AnnulError, OSError) as error:
        raise Corrupt(
            "The backup was not taken with these keys.", where=run.name, mend="Give the keys of this very register."
        ) from error
    if text != _text(keys.origin, raw):
        raise Corrupt("The backup's table of contents was changed.", where=f"{run.name}/{CONTENTS}", mend="Take another run.")


def digest(path: Path) -> FileCopy:
    """Return length and SHA-256 of a file."""
    with path.open("rb") as file:
        return FileCopy(path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())


def _signer(keys: Keys) -> Signer:
    return Signer(f"{keys.origin}/backup", keys.register)


def _text(origin: str, raw: bytes) -> bytes:
    return f"{origin}/backup\n{VERSION}\n{hashlib.sha256(raw).hexdigest()}\n".encode()
