"""Be a witness: remember the largest checkpoint of every log one watches, and cosign only what continues it.

    <folder>/lock           held while a state is read and replaced
    <folder>/<hash>.json    one log: origin, trusted keys, size and root of the checkpoint cosigned last

The state is durable before the cosignature leaves: after a crash the witness has at most seen more than anybody heard of.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import fcntl
import hashlib
import os
import re
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from annul import durable
from annul.errors import BadInput, Conflict, Corrupt, NotFound, VerificationFailed
from annul.proof.checkpoint import Checkpoint, Verifier, open_note, parse_checkpoint, split_note
from annul.proof.cosignature import Cosigner
from annul.proof.merkle import EMPTY_ROOT, HASH_BYTES, verify_consistency

BODY_BYTES_MAX: Final = 64 * 1024
"""Longest request: 63 hashes and a checkpoint with some dozen cosignatures."""
PROOF_MAX: Final = 63
"""Hashes in a proof. Source: C2SP tlog-witness."""
SEED_BYTES: Final = 32
_OLD: Final = re.compile(rb"old (0|[1-9][0-9]{0,18})")


class _Log(msgspec.Struct):
    origin: str
    keys: list[str]
    size: int = 0
    root: bytes = EMPTY_ROOT
    version: int = 1


class _Secret(msgspec.Struct, forbid_unknown_fields=True):
    version: int
    name: str
    ed25519: bytes
    ml_dsa: bytes


class Watched(NamedTuple):
    """A log that is watched: its origin, the number of its keys, and the size cosigned last."""

    origin: str
    key_count: int
    size: int


class Answered(NamedTuple):
    """The answer to a request: HTTP status, media type, body."""

    status: int
    media: str
    body: bytes


class _Asked(NamedTuple):
    old: int
    proof: list[bytes]
    note: bytes
    checkpoint: Checkpoint


TEXT: Final = "text/plain; charset=utf-8"


def load_or_create(file: Path, name: str = "") -> Cosigner:
    """Read the keys of this witness, or make them when there are none and a name is given.

    Raises:
        NotFound: there are none; Corrupt: they are damaged; BadInput: another name than theirs.
    """
    try:
        raw = file.read_bytes()
    except FileNotFoundError:
        if not name:
            raise NotFound("This is no witness yet.", where=file.name, mend="Run: annul witness serve --name NAME") from None
        made = _Secret(1, name, secrets.token_bytes(SEED_BYTES), secrets.token_bytes(SEED_BYTES))
        cosigner = Cosigner(name, made.ed25519, made.ml_dsa)
        durable.folder(file.parent)
        durable.replace(file, msgspec.json.encode(made))
        return cosigner
    try:
        kept = msgspec.json.decode(raw, type=_Secret)
        cosigner = Cosigner(kept.name, kept.ed25519, kept.ml_dsa)
    except (msgspec.MsgspecError, ValueError, BadInput):
        raise Corrupt("The keys of the witness are damaged.", where=file.name, mend="Restore the file from a copy.") from None
    if name not in ("", kept.name):
        raise BadInput(f"This witness is called {kept.name}.", where="--name", mend="Leave the name out.")
    return cosigner


class Witness:
    """Keep the state of one witness.

    Args:
        folder: made when it is not there.
        cosigner: its keys.
        now_s: seconds, POSIX.
    """

    def __init__(self, folder: Path, cosigner: Cosigner, now_s: Callable[[], int]) -> None:
        self._folder = durable.folder(folder)
        self._cosigner = cosigner
        self._now_s = now_s

    def add_checkpoint(self, body: bytes) -> Answered:
        """Answer a request of a log: cosignatures, or why there are none.

        Source: C2SP tlog-witness, add-checkpoint.
        """
        try:
            asked = _read(body)
        except (BadInput, VerificationFailed) as error:
            return Answered(400, TEXT, f"{error.message}\n".encode())
        with _locked(self._folder):
            try:
                log = _load(self._folder, asked.checkpoint.origin)
            except NotFound as error:
                return Answered(404, TEXT, f"{error.message}\n".encode())
            try:
                open_note(asked.note, [Verifier.parse(key) for key in log.keys])
            except VerificationFailed as error:
                return Answered(403, TEXT, f"{error.message}\n".encode())
            return self._cosign(log, asked)

    def _cosign(self, log: _Log, asked: _Asked) -> Answered:
        new = asked.checkpoint
        if asked.old > new.size:
            return Answered(400, TEXT, b"The old size is larger than the checkpoint.\n")
        forked = asked.old == new.size and new.root != log.root
        if asked.old != log.size or forked:
            return Answered(409, "text/x.tlog.size", b"%d\n" % log.size)
        try:
            verify_consistency(log.root, log.size, new.root, new.size, asked.proof)
        except VerificationFailed as error:
            return Answered(422, TEXT, f"{error.message}\n".encode())
        log.size, log.root = new.size, new.root
        _save(self._folder, log)
        return Answered(200, TEXT, self._cosigner.cosign(split_note(asked.note)[0], self._now_s()))


def _read(body: bytes) -> _Asked:
    """Read a request.

    Raises:
        BadInput, VerificationFailed: it is none.
    """
    head, empty, note = body.partition(b"\n\n")
    first, *lines = head.split(b"\n")
    old = _OLD.fullmatch(first)
    if old is None or not empty or len(lines) > PROOF_MAX:
        raise BadInput("The request is not of an old size, a proof, an empty line and a checkpoint.")
    proof = []
    for line in lines:
        try:
            value = base64.b64decode(line, validate=True)
        except binascii.Error:
            value = b""
        if len(value) != HASH_BYTES or base64.b64encode(value) != line:
            raise BadInput("A line of the proof is no hash in base64.")
        proof.append(value)
    return _Asked(int(old[1]), proof, note, parse_checkpoint(split_note(note)[0]))


# -- the logs that are watched -----------------------------------------------------------------------------------------------


def watch(folder: Path, key: Verifier) -> bool:
    """Watch the log whose origin is the name of this key, or trust one more key of it; False when it is known already.

    Raises:
        Conflict: the log has sixteen keys already.
    """
    durable.folder(folder)
    with _locked(folder):
        try:
            log = _load(folder, key.name)
        except NotFound:
            log = _Log(key.name, [])
        if key.vkey in log.keys:
            return False
        if len(log.keys) >= 16:
            raise Conflict("This log has sixteen keys already.", where=key.name)
        log.keys.append(key.vkey)
        _save(folder, log)
    return True


def watched(folder: Path) -> list[Watched]:
    """Return the logs that are watched, by origin."""
    found = []
    for file in folder.glob("*.json") if folder.is_dir() else ():
        log = _decode(file)
        found.append(Watched(log.origin, len(log.keys), log.size))
    return sorted(found)


def _file(folder: Path, origin: str) -> Path:
    return folder / f"{hashlib.sha256(origin.encode()).hexdigest()[:32]}.json"


def _load(folder: Path, origin: str) -> _Log:
    try:
        return _decode(_file(folder, origin))
    except FileNotFoundError:
        raise NotFound("This witness does not watch a log of this origin.") from None


def _decode(file: Path) -> _Log:
    try:
        log = msgspec.json.decode(file.read_bytes(), type=_Log)
    except msgspec.MsgspecError:
        log = _Log("", [], version=0)
    if log.version != 1 or len(log.root) != HASH_BYTES:
        raise Corrupt("The state of a watched log is damaged.", where=file.name, mend="Restore it; never delete it.")
    return log


def _save(folder: Path, log: _Log) -> None:
    durable.replace(_file(folder, log.origin), msgspec.json.encode(log))


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of all states: threads and processes take turns."""
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
