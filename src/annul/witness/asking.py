"""Ask witnesses to cosign the checkpoints of both logs, without ever making the sealer wait.

A round reads the newest checkpoint of a log, asks every witness at once, verifies what they answer, and keeps the checkpoint
with its cosignatures beside the newest one: `<home>/log/<log>.witnessed`. Rounds run in a thread of their own; a witness that
is down or slow costs its own cosignature alone. Nothing is remembered: a witness tells which size it knows (409).
"""

from __future__ import annotations

import base64
import re
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

import httpx

from annul import durable, logs
from annul.errors import AnnulError, BadInput, Conflict, NotFound, VerificationFailed
from annul.home import Home
from annul.outgoing import Outgoing
from annul.proof.checkpoint import parse_checkpoint, split_note
from annul.proof.cosignature import WitnessKey, cosignatures, known_lines
from annul.proof.tiles import CHECKPOINT, TileReader, folder_reader

LOGS: Final = ("register", "checks")
ROUND_S: Final = 5.0
"""Pause between two rounds."""
FRESH_S: Final = 600.0
"""A log that does not grow is cosigned anew after so long: the time of a cosignature says how fresh a view is."""
TIMEOUT_S: Final = 10.0
ANSWER_BYTES_MAX: Final = 64 * 1024
WITNESSES_MAX: Final = 16

_log = logs.get("witness")


class Asked(NamedTuple):
    """A witness this register asks: its address (the submission prefix, without a slash at the end) and its keys."""

    url: str
    keys: tuple[WitnessKey, ...]


def asked(file: Path) -> list[Asked]:
    """Read which witnesses are asked: a line each, address and verifier key.

    Raises:
        BadInput: a line is none.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    found: dict[str, list[WitnessKey]] = {}
    for line in filter(None, lines):
        url, _, vkey = line.partition(" ")
        found.setdefault(url, []).append(WitnessKey.parse(vkey))
    return [Asked(url, tuple(keys)) for url, keys in found.items()]


def add(file: Path, url: str, key: WitnessKey) -> bool:
    """Ask one more witness, or know one more key of one; False when it is known already.

    Raises:
        BadInput: the address is none; Conflict: sixteen are asked already.
    """
    url = url.rstrip("/")
    if not re.fullmatch(r"https?://[^\s]{1,400}", url):
        raise BadInput("The address of a witness begins with https:// or http://.", where="--url")
    known = asked(file)
    if any(each.url == url and key.vkey in {known.vkey for known in each.keys} for each in known):
        return False
    if len(known) >= WITNESSES_MAX and url not in {each.url for each in known}:
        raise Conflict("Sixteen witnesses are asked already.", where=file.name)
    before = file.read_text(encoding="utf-8") if file.exists() else ""
    durable.folder(file.parent)
    durable.replace(file, f"{before}{url} {key.vkey}\n".encode())
    return True


def last_cosigned(home: Home, log: str, witness: Asked) -> tuple[int, int]:
    """Return the size of the newest cosigned checkpoint and when this witness cosigned it (seconds, POSIX); zeros: never."""
    try:
        note = home.witnessed(log).read_bytes()
    except FileNotFoundError:
        return 0, 0
    at_s = max((each.at_s for each in cosignatures(note, witness.keys)), default=0)
    return (parse_checkpoint(split_note(note)[0]).size, at_s) if at_s else (0, 0)


def ask(http: httpx.Client, witness: Asked, note: bytes, folder: Path) -> bytes:
    """Ask one witness to cosign a checkpoint; returns its verified signature lines.

    Args:
        note: signed checkpoint of the log.
        folder: tiles of the log, for the proof.

    Raises:
        VerificationFailed: the witness knows another past of this log, or answers with no cosignature of its own.
        httpx.HTTPError, NotFound: it cannot be reached, or refuses.
    """
    checkpoint = parse_checkpoint(split_note(note)[0])
    reader = TileReader(folder_reader(folder), checkpoint.size)
    old = 0
    for _ in range(3):  # another log's process may have asked in between
        proof = reader.consistency_proof(old) if 0 < old < checkpoint.size else []
        lines = [f"old {old}", *(base64.b64encode(each).decode() for each in proof), "", ""]
        answer = http.post(f"{witness.url}/add-checkpoint", content="\n".join(lines).encode() + note)
        body = answer.content[:ANSWER_BYTES_MAX]
        if answer.status_code == 200:
            return known_lines(body, note, witness.keys)
        if answer.status_code == 422:
            changed = "The witness finds that what it saw of this log is no beginning of it: its past was changed."
            raise VerificationFailed(changed, step=6, where=witness.url)
        size = re.fullmatch(rb"(0|[1-9][0-9]{0,18})\n", body)
        if answer.status_code != 409 or size is None:
            raise NotFound(f"The witness answered {answer.status_code}.", where=witness.url)
        if int(size[1]) > checkpoint.size:
            raise VerificationFailed("The witness has seen a larger log: this one was rolled back.", step=6, where=witness.url)
        if int(size[1]) == old == checkpoint.size:
            forked = "The witness has seen another root of this size: the log was forked."
            raise VerificationFailed(forked, step=6, where=witness.url)
        old = int(size[1])
    raise NotFound("The witness changes its mind about the size.", where=witness.url)


class Rounds:
    """Ask all witnesses about one log, and keep what they cosigned.

    Args:
        home: data folder.
        log: "register" or "checks".
    """

    def __init__(self, home: Home, log: str, http: httpx.Client) -> None:
        self._home = home
        self._log = log
        self._http = http
        self._done = b""
        self._done_at = 0.0
        self._told: dict[str, str] = {}

    def step(self, witnesses: Sequence[Asked]) -> int:
        """Ask about the newest checkpoint unless it is cosigned already; returns how many witnesses cosigned."""
        folder = self._home.log(self._log)
        try:
            note = folder_reader(folder)(CHECKPOINT)
        except NotFound:
            return 0
        text = split_note(note)[0]
        if text == self._done and time.monotonic() - self._done_at < FRESH_S:
            return 0
        with ThreadPoolExecutor(len(witnesses)) as pool:
            answers = list(pool.map(lambda witness: self._try(witness, note, folder), witnesses))
        lines = [answer for answer in answers if answer]
        if lines:
            durable.replace(self._home.witnessed(self._log), note + b"".join(lines), mode=0o644)
        if len(lines) == len(witnesses):
            self._done, self._done_at = text, time.monotonic()
        return len(lines)

    def _try(self, witness: Asked, note: bytes, folder: Path) -> bytes:
        """Ask one; what is wrong is said once, in words."""
        try:
            lines = ask(self._http, witness, note, folder)
        except (AnnulError, httpx.HTTPError, httpx.InvalidURL) as error:
            said = str(error)
            if self._told.get(witness.url) != said:
                self._told[witness.url] = said
                self._tell(witness, error)
            return b""
        self._told.pop(witness.url, None)
        return lines

    def _tell(self, witness: Asked, error: Exception) -> None:
        where, name = f"log/{self._log}", type(error).__name__
        if isinstance(error, VerificationFailed) and error.step == 6:
            _log.error("a witness knows another past of this log", where=where, url=witness.url, step=error.step)
        else:
            _log.warning("a witness did not cosign", where=where, url=witness.url, error=name)


def rounds(home: Home, stop: threading.Event, outgoing: Outgoing, *, pause_s: float = ROUND_S) -> None:
    """Ask the witnesses of this register about both logs until `stop` is set. The list is read again for every round."""
    with outgoing.client(timeout=TIMEOUT_S, headers={"user-agent": "annul"}) as http:
        logs_asked = [Rounds(home, log, http) for log in LOGS]
        told = ""
        while not stop.wait(pause_s):
            try:
                witnesses = asked(home.witnesses)
                for one in logs_asked if witnesses else ():
                    one.step(witnesses)
                told = ""
            except AnnulError as error:
                if told != error.message:
                    told = error.message
                    _log.error("witnesses cannot be asked", code=error.code, where=error.where)
