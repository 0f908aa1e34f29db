"""Answer about documents from what the device holds.

    edge = Edge.open(Store(home), now_us)
    answer = edge.check(document)

The order of questions: is the state sound and how fresh; does a supplement say what the document became (the newest first);
does the edition cover it; is it listed. From a state that is not fresh NOT_LISTED becomes STALE; LISTED stays, because a
document that was dead is refused rather than let pass; from a tampered state nothing is said at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple, Self

from annul.edge.edition import SAID, Edition, Finding, Verdict
from annul.edge.grant import Pointer, open_grant
from annul.edge.store import Store
from annul.edge.trust import (
    CLOCK_SLACK_US,
    LADDERS,
    Frame,
    Freshness,
    Heartbeat,
    Ladder,
    Manifest,
    Supplement,
    Trust,
    changes_of,
    freshness,
    hold_digests,
    open_frame,
    open_heartbeat,
    open_manifest,
    open_supplement,
)
from annul.errors import AnnulError, BadInput, Corrupt, VerificationFailed
from annul.records.document import Document
from annul.times import DAY_US, Clock

SUPPLEMENT_NAME: Final = re.compile(r"supplement-(0|[1-9][0-9]{0,18})-([1-9][0-9]{0,18})\.manifest")


class Answer(NamedTuple):
    """What an edge says: the finding, the rung of the ladder, edition, position and time the state is complete up to."""

    finding: Finding
    freshness: Freshness
    edition: str
    position: int
    as_of_us: int


@dataclass(slots=True)
class Held:
    """One scheme's edition as held: manifest, file, supplements (oldest first), pointer; position reached, and when made.

    `live` is what frames of the feed told since (point -> code); `take` adds to it.
    """

    manifest: Manifest
    edition: Edition
    supplements: tuple[Edition, ...]
    pointer: Pointer
    position: int
    made_at_us: int
    live: dict[int, int] = field(default_factory=dict)

    @classmethod
    def open(cls, store: Store, edition: str, trust: Trust, now_us: int) -> Self:
        """Verify and map what the device holds of one edition.

        Raises:
            VerificationFailed: with the step of the recipe.
            Corrupt: a file is not what was signed.
        """
        folder = store.folder(edition)
        manifest = open_manifest(_bytes(folder / "manifest"), trust, now_us)
        if manifest.edition != edition:
            raise VerificationFailed("The manifest is of another edition.", step=3, where="edition")
        digests = _bytes(folder / "digests.bin")
        hold_digests(digests, manifest)
        mapped = Edition.open(folder / "edition.bin", digests)
        if mapped.id.hex() != edition or mapped.position != manifest.position or mapped.last_day != manifest.last_day:
            raise Corrupt("The edition's file is not the one of its manifest.", where="header", mend="Run: annul edge sync")
        pointer = open_grant(_bytes(folder / "grant"), store.device().secret, edition, manifest.key_check, now_us)
        supplements, position, made_at_us = [], manifest.position, manifest.made_at_us
        for since, until in chain_from(supplements_in(folder), position):
            told, changes = _supplement(folder, f"supplement-{since}-{until}", edition, trust, now_us)
            supplements.append(changes)
            position, made_at_us = until, told.made_at_us
        held = cls(manifest, mapped, tuple(supplements), pointer, position, made_at_us)
        for frame in store.frames(edition, position):
            held.take(open_frame(frame.note.encode(), trust, now_us))
        return held

    def take(self, frame: Frame) -> bool:
        """Take a verified frame when it leads on from what is held; tell whether it did.

        False is a gap, a frame that is known already, or one that does not tell of this edition.
        """
        if not frame.since <= self.position < frame.position:
            return False
        changes = changes_of(frame, self.manifest.edition)
        if changes is None:
            return False
        self.live.update(changes)
        self.position, self.made_at_us = frame.position, frame.at_us
        return True

    def look(self, document: Document) -> Finding:
        """Say what edition and supplements say of a document."""
        point, cohort = self.pointer.of(document)
        told = self.live.get(point)
        if told is not None:
            return SAID[told]
        covered = self.edition.covers(cohort, document.valid_from_day)
        for supplement in reversed(self.supplements):
            became = supplement.apart(point)
            if became is None and covered:
                became = supplement.changed(point, cohort)
            if became is not None:
                return SAID[became]
        return self.edition.look(point, cohort, document.valid_from_day)


def supplements_in(folder: Path) -> list[tuple[int, int]]:
    """Return positions (since, until) of the supplements in a folder, by position."""
    found = [SUPPLEMENT_NAME.fullmatch(path.name) for path in folder.glob("supplement-*.manifest")]
    return sorted(((int(name[1]), int(name[2])) for name in found if name), key=lambda pair: pair[1])


def chain_from(supplements: Iterable[tuple[int, int]], position: int) -> list[tuple[int, int]]:
    """Return the supplements (by position) that lead on from a position without a gap."""
    chain = []
    for since, until in supplements:
        if since <= position < until:
            chain.append((since, until))
            position = until
    return chain


def _supplement(folder: Path, name: str, edition: str, trust: Trust, now_us: int) -> tuple[Supplement, Edition]:
    manifest = open_supplement(_bytes(folder / f"{name}.manifest"), trust, now_us, edition)
    digests = _bytes(folder / f"{name}.digests")
    hold_digests(digests, manifest)
    mapped = Edition.open(folder / f"{name}.bin", digests)
    if mapped.id.hex() != edition or name != f"supplement-{manifest.since}-{mapped.position}":
        raise Corrupt("The supplement's file is not the one of its manifest.", where=name, mend="Run: annul edge sync")
    return manifest, mapped


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise Corrupt("A file of the edition is missing.", where=path.name, mend="Run: annul edge sync") from None


class Edge:
    """Answer offline.

    Args:
        held: editions by scheme.
        refused: why an edition that is held may not be used, by scheme.
        heartbeat: newest heartbeat, if any.
        seen_us: latest time this device saw.
        now_us: clock.
        ladders: by risk tier.
    """

    def __init__(
        self,
        held: Mapping[str, Held],
        refused: Mapping[str, AnnulError],
        heartbeat: Heartbeat | None,
        seen_us: int,
        now_us: Clock,
        ladders: Mapping[str, Ladder] = LADDERS,
    ) -> None:
        self._held, self._refused, self._heartbeat = held, refused, heartbeat
        self._seen_us, self._now_us, self._ladders = seen_us, now_us, ladders

    @classmethod
    def open(cls, store: Store, now_us: Clock, ladders: Mapping[str, Ladder] = LADDERS) -> Self:
        """Open what a device holds. An edition that may not be used is kept as refused: its documents get no answer."""
        now, trust, seen_us = now_us(), store.trust(), store.seen_us()
        note = store.read("heartbeat")
        heartbeat = None
        if note is not None and seen_us <= now + CLOCK_SLACK_US:
            heartbeat = open_heartbeat(note, trust, now)
        held: dict[str, Held] = {}
        refused: dict[str, AnnulError] = {}
        for scheme, edition in store.current().items():
            try:
                held[scheme] = Held.open(store, edition, trust, now)
            except AnnulError as error:
                refused[scheme] = error
        return cls(held, refused, heartbeat, seen_us, now_us, ladders)

    def schemes(self) -> Mapping[str, Held]:
        """Return what is held and may be used."""
        return self._held

    def take(self, frame: Frame) -> int:
        """Take a verified frame of the feed; return how many editions it led on."""
        return sum([held.take(frame) for held in self._held.values()])

    def hear(self, heartbeat: Heartbeat) -> None:
        """Take a verified heartbeat that is not older than the one before."""
        self._heartbeat = heartbeat

    @property
    def heartbeat(self) -> Heartbeat | None:
        """Return the newest heartbeat."""
        return self._heartbeat

    def as_of_us(self, held: Held) -> int:
        """Return the time up to which a state is complete: that of a heartbeat it has reached, else of its making."""
        if self._heartbeat is not None and held.position >= self._heartbeat.position:
            return self._heartbeat.at_us
        return held.made_at_us

    def check(self, document: Document, tier: str = "standard") -> Answer:
        """Say what is known of a document.

        Args:
            document: in normal form.
            tier: risk tier, which names a ladder.

        Raises:
            VerificationFailed, Corrupt: what is held of this scheme may not be used; the cause is named.
            BadInput: there is no such tier, or the start of validity is missing.
        """
        ladder = self._ladders.get(tier)
        if ladder is None:
            raise BadInput("There is no such risk tier.", where="tier", mend=f"Use one of {', '.join(self._ladders)}.")
        now_us = self._now_us()
        refused = self._refused.get(document.scheme)
        if refused is not None:
            raise refused
        held = self._held.get(document.scheme)
        if held is None:
            return Answer(Finding(Verdict.NOT_COVERED, why="no-edition"), Freshness.stopped, "", 0, 0)
        as_of_us = self.as_of_us(held)
        rung = freshness(as_of_us, self._seen_us, now_us, ladder)
        self._seen_us = max(self._seen_us, now_us)
        if rung is Freshness.tampered:
            finding = Finding(Verdict.STALE, why="clock-set-back")
        elif now_us > held.manifest.expires_at_us or now_us > held.pointer.until_us:
            finding = Finding(Verdict.STALE, why="expired")
        else:
            finding = _on(rung, self._dated(document, held, now_us))
        return Answer(finding, rung, held.manifest.edition, held.position, as_of_us)

    def _dated(self, document: Document, held: Held, now_us: int) -> Finding:
        finding = held.look(document)
        over = document.valid_until_day is not None and document.valid_until_day < now_us // DAY_US
        if over and finding.verdict is not Verdict.LISTED:
            return Finding(Verdict.LISTED, "not_in_force", "expired-by-date")
        return finding


def _on(rung: Freshness, finding: Finding) -> Finding:
    """Say no more than the rung allows: NOT_LISTED only from a fresh state."""
    if finding.verdict is Verdict.NOT_LISTED and rung is not Freshness.fresh:
        return Finding(Verdict.STALE, why=rung.value)
    return finding
