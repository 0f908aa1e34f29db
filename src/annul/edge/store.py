"""The folder of an edge: what it is, whom it trusts, what it holds. Everything is written aside and renamed into place.

    device.json            name and key of the device (readable by its owner alone)
    trusted.pub            verifier keys of editions
    current.json           scheme -> edition in use
    editions/<id>/         manifest, edition.bin, digests.bin, grant, supplement-<since>-<position>.{bin,digests,manifest},
                           live (frames of the feed since the last supplement)
    heartbeat, seen        newest signed heartbeat; latest time this device saw on its clock
    journal/               what was answered

May be lost: all but device.json and journal/; `sync` fetches the rest again.
"""

from __future__ import annotations

import base64
import re
import shutil
from pathlib import Path
from typing import Final, Literal

import msgspec

from annul import durable
from annul.edge.trust import Told, Trust
from annul.errors import BadInput, Conflict, Corrupt, NotFound, UnsafeSettings
from annul.proof.checkpoint import Signer

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,63}")
LIVE: Final = "live"
EDITION_ID: Final = re.compile(r"[0-9a-f]{32}")


class Device(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Name and Ed25519 seed of a device."""

    version: Literal[1]
    name: str
    seed: str

    def __repr__(self) -> str:
        return f"Device({self.name})"

    @property
    def secret(self) -> bytes:
        """Seed of the device's key, 32 bytes."""
        return base64.b64decode(self.seed)

    @property
    def signer(self) -> Signer:
        """Signer of the device's windows."""
        return Signer(self.name, self.secret)


class Store:
    """Read and write the folder of one edge.

    Args:
        place: the folder.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        self.editions = place / "editions"

    def create(self, name: str, trusted: str) -> Device:
        """Make a device: its key, and whom it trusts.

        Args:
            name: letters, digits, dots and hyphens, at most 64.
            trusted: text of the verifier keys, one a line.

        Raises:
            Conflict: there is a device already.
            BadInput: not a name, or not the two keys of editions.
        """
        if not NAME.fullmatch(name):
            raise BadInput("A device's name has letters, digits, dots and hyphens, at most 64.", where="name")
        Trust.of_lines(trusted.splitlines())
        path = self.place / "device.json"
        if path.exists():
            raise Conflict("There is a device in this folder already.", where=str(self.place))
        durable.folder(self.place)
        import secrets  # it loads what a start need not wait for

        device = Device(1, name, base64.b64encode(secrets.token_bytes(32)).decode())
        durable.replace(self.place / "trusted.pub", trusted.encode())
        durable.replace(path, msgspec.json.encode(device) + b"\n")
        return device

    def device(self) -> Device:
        """Return the device. NotFound when there is none; UnsafeSettings when others may read its key."""
        path = self.place / "device.json"
        try:
            if path.stat().st_mode & 0o077:
                raise UnsafeSettings(
                    "The device's key can be read by others.", where="device.json", mend="Run: chmod 600 on it."
                )
            return msgspec.json.decode(path.read_bytes(), type=Device)
        except FileNotFoundError:
            raise NotFound("This folder holds no device.", where=str(self.place), mend="Run: annul edge init") from None
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Corrupt("The device's file is damaged.", where="device.json") from error

    def trust(self) -> Trust:
        """Return whom the device trusts."""
        try:
            return Trust.of_lines((self.place / "trusted.pub").read_text(encoding="ascii").splitlines())
        except FileNotFoundError:
            raise NotFound("This device trusts nobody yet.", where="trusted.pub", mend="Run: annul edge init") from None

    def current(self) -> dict[str, str]:
        """Return the editions in use: scheme -> id."""
        try:
            held = msgspec.json.decode((self.place / "current.json").read_bytes(), type=dict[str, str])
        except FileNotFoundError:
            return {}
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Corrupt(
                "The list of editions in use is damaged.", where="current.json", mend="Run: annul edge sync"
            ) from error
        if not all(EDITION_ID.fullmatch(edition) for edition in held.values()):
            raise Corrupt("The list of editions in use is damaged.", where="current.json", mend="Run: annul edge sync")
        return held

    def use(self, scheme: str, edition: str) -> None:
        """Put an edition into use; the one before goes."""
        held = self._current_or_none()
        before = held.get(scheme)
        durable.folder(self.place)
        durable.replace(self.place / "current.json", msgspec.json.encode(held | {scheme: edition}))
        if before not in (None, edition):
            shutil.rmtree(self.editions / str(before), ignore_errors=True)

    def _current_or_none(self) -> dict[str, str]:
        try:
            return self.current()
        except Corrupt:
            return {}

    def folder(self, edition: str) -> Path:
        """Return the folder of an edition in use."""
        return self.editions / edition

    def frames(self, edition: str, after: int) -> list[Told]:
        """Return the frames kept of an edition that lead behind a position; a torn last one was never used and is left out."""
        raw = self.read(f"editions/{edition}/{LIVE}") or b""
        try:
            kept = [msgspec.json.decode(each, type=Told) for each in raw.split(b"\n")[:-1]]
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Corrupt("The frames kept of the feed are damaged.", where=LIVE, mend="Run: annul edge sync") from error
        return [each for each in kept if each.position > after]

    def keep(self, edition: str, frame: Told) -> None:
        """Keep a frame: after it is used, and not synced, for the feed tells it again."""
        path = self.folder(edition) / LIVE
        with durable.telling(path), path.open("ab") as file:
            file.write(msgspec.json.encode(frame) + b"\n")

    def forget_frames(self, edition: str, until: int) -> None:
        """Drop the frames of an edition that a supplement tells as well: those up to a position."""
        try:
            kept = self.frames(edition, until)
        except Corrupt:
            kept = []
        if kept or self.read(f"editions/{edition}/{LIVE}"):
            durable.replace_lossy(self.folder(edition) / LIVE, b"".join(msgspec.json.encode(each) + b"\n" for each in kept))

    def read(self, name: str) -> bytes | None:
        """Return a small file of the folder, None when there is none."""
        try:
            return (self.place / name).read_bytes()
        except FileNotFoundError:
            return None

    def seen_us(self) -> int:
        """Return the latest time this device saw on its clock; 0 when it never looked."""
        raw = self.read("seen")
        return int(raw) if raw and raw.strip().isdigit() else 0

    def saw(self, now_us: int) -> None:
        """Remember a time, if it is the latest."""
        if now_us > self.seen_us():
            durable.replace(self.place / "seen", b"%d\n" % now_us)
