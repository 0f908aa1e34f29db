"""Follow the feed live: a device that has a network refuses a dead document as soon as the register says so.

    for moment in Follower(store, Server(url), now_us).moments(): …

Each frame is verified, kept, and in use before it is acknowledged. A gap (a frame that begins behind what is held), an edition
the feed does not tell of any more, or a position that is not kept is mended by `sync`, which fetches the newest supplement or
edition; so is every minute what frames have told, to begin small again. Without a network the device stays as fresh as its
last heartbeat says.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import msgspec

from annul import durable
from annul.edge.edge import Edge
from annul.edge.store import Store
from annul.edge.sync import Server, sync
from annul.edge.trust import Acknowledgement, Told, open_frame, open_heartbeat
from annul.errors import AnnulError, Conflict, Corrupt, SourceDown, VerificationFailed
from annul.proof.checkpoint import sign_note
from annul.times import Clock

TIDY_S: Final = 60.0
"""Pause between two synchronisations beside the feed: frames since then lie in one file and are verified at each start."""
ACKNOWLEDGE_S: Final = 30.0
"""Longest pause between two acknowledgements while nothing changes."""
AGAIN_S: Final = 1.0
BEHIND_S: Final = 5.0
"""How long heartbeats may be ahead of what is held before the device fetches what it missed; the feed tells it sooner."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What just happened: `frame`, `heartbeat`, `synced` or `away`; the position reached; the fault when away."""

    what: str
    position: int
    fault: str = ""


class Follower:
    """Keep a device as fresh as its network allows.

    Args:
        store: of the device.
        server: whom to follow.
        now_us: clock.
        acknowledge: tell the register up to where the device refuses.

    Attributes:
        edge: answers from what is held now.
    """

    def __init__(self, store: Store, server: Server, now_us: Clock, *, acknowledge: bool = True) -> None:
        self._store, self._server, self._now_us = store, server, now_us
        self._trust = store.trust()
        self._device = store.device()
        self._acknowledges = acknowledge
        self._acknowledged = (-1, 0.0)
        self._tidied = self._behind = 0.0
        self.edge = Edge.open(store, now_us)

    def moments(self) -> Iterator[Moment]:
        """Follow for ever, and yield each moment; a network that is away is one of them."""
        while True:
            try:
                yield self._sync()
                yield from self._listen()
            except (SourceDown, Conflict) as error:
                yield Moment("away", self._position, error.code)
                time.sleep(AGAIN_S)
            except (Corrupt, VerificationFailed) as error:
                yield Moment("away", self._position, str(error))
                time.sleep(AGAIN_S)

    @property
    def _position(self) -> int:
        """The position every edition that is held has reached."""
        return min((held.position for held in self.edge.schemes().values()), default=0)

    def _sync(self) -> Moment:
        sync(self._store, self._server, self._now_us)
        self.edge = Edge.open(self._store, self._now_us)
        self._tidied, self._behind = time.monotonic(), 0.0
        self._acknowledge()
        return Moment("synced", self._position)

    def _listen(self) -> Iterator[Moment]:
        for name, data in self._server.listen(self._position):
            if name == "frame":
                if not self._take(data):
                    return  # a gap: sync, and listen again
                self._acknowledge()
                yield Moment("frame", self._position)
            elif name == "heartbeat":
                self._hear(data + b"\n" if not data.endswith(b"\n") else data)
                self._acknowledge()
                yield Moment("heartbeat", self._position)
                if self._is_missing():
                    return
            if time.monotonic() - self._tidied > TIDY_S:
                return

    def _is_missing(self) -> bool:
        """Tell whether heartbeats have been ahead of what is held for too long."""
        heartbeat = self.edge.heartbeat
        if heartbeat is None or heartbeat.position <= self._position:
            self._behind = 0.0
            return False
        self._behind = self._behind or time.monotonic()
        return time.monotonic() - self._behind > BEHIND_S

    def _take(self, data: bytes) -> bool:
        """Take a frame into use and keep it; False when it leaves a gap for an edition that is held."""
        try:
            told = msgspec.json.decode(data, type=Told)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Corrupt("The feed sent what is no frame.", where="feed") from error
        frame = open_frame(told.note.encode(), self._trust, self._now_us())
        told = Told(frame.since, frame.position, told.note)
        whole = True
        for held in self.edge.schemes().values():
            if frame.position <= held.position:
                continue
            if not held.take(frame):
                whole = False
                continue
            self._store.keep(held.manifest.edition, told)
        return whole

    def _hear(self, note: bytes) -> None:
        try:
            heartbeat = open_heartbeat(note, self._trust, self._now_us(), self.edge.heartbeat)
        except VerificationFailed as error:
            if error.step == 6:  # the one we have already, from the beginning of this connection
                return
            raise
        self.edge.hear(heartbeat)
        durable.replace_lossy(self._store.place / "heartbeat", note)
        self._store.saw(max(self._now_us(), heartbeat.at_us))

    def _acknowledge(self) -> None:
        """Tell the register; an acknowledgement that is lost is made up for by the next."""
        position, now = self._position, time.monotonic()
        last, at = self._acknowledged
        if not self._acknowledges or not position or (position == last and now - at < ACKNOWLEDGE_S):
            return
        self._acknowledged = (position, now)
        made = Acknowledgement(edge=self._device.name, position=position, at_us=self._now_us())
        note = sign_note(msgspec.json.encode(made, order="sorted") + b"\n", self._device.signer)
        try:
            self._server.acknowledge(self._device.name, note)
        except AnnulError:
            self._acknowledged = (-1, now)
