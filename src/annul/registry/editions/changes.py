"""Print supplements: what changed between an edition and a position of the register log.

Few changes stand apart, 16 bytes each. Many (from `EXACT_FROM`) are coded as exactly as the edition: two stages over its
universe and two bits for what each document became, some 2 bytes a change; that asks for a look at the whole universe and is
done once a day. These start at their edition, so that a device which was away needs one, the newest. Between them segments
are printed, each minute, which start where the one before ended; a device that misses one sees it by the position.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

import msgspec
import numpy as np
import psycopg

from annul import durable
from annul import keys as key_file
from annul.edge.edition import CHANGES
from annul.edge.trust import Manifest, Supplement
from annul.errors import Conflict, NotFound
from annul.home import Home
from annul.proof.checkpoint import sign_note
from annul.registry.editions.build import About, Cohort, Words, build
from annul.registry.editions.index import Index, Listed
from annul.registry.editions.press import Press, line
from annul.registry.editions.universe import Change, changed_since, read_universe, snapshot
from annul.times import Clock

EXACT_FROM: Final = 2_000
"""Changes from which two stages are smaller than 16 bytes each: 2 to 3 bytes each, and some hundred for both."""


def print_due(db: psycopg.Connection[Any], home: Home, now_us: Clock) -> int:
    """Print a segment for each scheme that has an edition, and a heartbeat; return how many segments.

    A scheme that needs a new edition first is passed over: its devices become stale and say so.
    """
    press = Press(home, key_file.load(home), now_us)
    printed = 0
    for scheme in {entry.scheme for entry in press.index().editions}:
        with suppress(Conflict):
            printed += Supplements(press).print(db, scheme, segment=True) is not None
    press.beat(db)
    return printed


class Supplements:
    """Print supplements of what a press published.

    Args:
        press: what published the editions.
        exact_from: changes from which they are coded over the whole universe.
    """

    def __init__(self, press: Press, *, exact_from: int = EXACT_FROM) -> None:
        self._press, self._exact_from = press, exact_from

    def print(self, db: psycopg.Connection[Any], scheme: str, *, segment: bool = False) -> Supplement | None:
        """Print what changed since the newest edition of a scheme; None when it is printed already.

        Args:
            db: connection in autocommit mode.
            scheme: kind of documents.
            segment: begin where the last supplement ended, not at the edition; the universe is not looked at.

        Raises:
            NotFound: no edition of the scheme is published.
            Conflict: a new edition is due instead: a list came, or the keys were rotated.
        """
        entry = self._press.newest(scheme)
        if entry is None:
            raise NotFound("There is no edition of this scheme.", where=scheme, mend="Run: annul edition build")
        manifest = self._press.show(entry.edition)
        if manifest.key_epoch != self._press.keys.epoch:
            raise Conflict("The document keys were rotated since this edition.", mend="Build a new edition.")
        last = entry.supplements[-1] if entry.supplements else None
        since = last.position if segment and last else entry.position
        with snapshot(db) as (position, _, _):
            if (last and position == last.position and (segment or last.since == since)) or position == since:
                return None
            changes = changed_since(db, self._press.home, scheme, since)
        cohorts, apart = self._coded(db, manifest, changes, few=segment or len(changes) < self._exact_from)
        made = self._written(manifest, (since, position), cohorts, apart)
        kept = entry.supplements if segment else ()  # what begins at the edition says all that those before it said
        listed = Listed(made.since, made.position, made.bytes)
        self._press.write_index(
            Index(
                tuple(
                    msgspec.structs.replace(each, supplements=(*kept, listed)) if each.edition == entry.edition else each
                    for each in self._press.index().editions
                )
            )
        )
        return made

    def _coded(
        self, db: psycopg.Connection[Any], manifest: Manifest, changes: Sequence[Change], *, few: bool
    ) -> tuple[list[Cohort], tuple[tuple[int, int], ...]]:
        """Return changes as cohorts of the universe, and those that stand apart: few, or outside the universe."""
        pointing = self._press.pointing(manifest.edition, manifest.key_epoch)
        points = pointing(b"".join(change.sealed_key for change in changes))
        apart = tuple((int(point), change.code + 1) for point, change in zip(points, changes, strict=True) if few or change.new)
        if few:
            return [], apart
        universe = read_universe(db, self._press.home, manifest.scheme, pointing, manifest.last_day)
        known = np.array([not change.new for change in changes])
        became = np.array([change.code + 1 for change in changes], np.uint8)
        new = np.sort(points[~known])
        order = np.argsort(points[known])
        return [_marked(cohort, points[known][order], became[known][order], new) for cohort in universe.cohorts], apart

    def _written(
        self, manifest: Manifest, way: tuple[int, int], cohorts: Sequence[Cohort], apart: tuple[tuple[int, int], ...]
    ) -> Supplement:
        """Write file, digests and signed manifest of a supplement; the manifest last, since it makes the rest count."""
        since, position = way
        about = About(bytes.fromhex(manifest.edition), position, manifest.last_day, CHANGES, apart=apart)
        path = self._press.published / manifest.edition / f"supplement-{since}-{position}.bin"
        made = build(cohorts, about, path)
        durable.replace(path.with_suffix(".digests"), made.digests)
        supplement = Supplement(
            edition=manifest.edition,
            since=since,
            position=position,
            changes=made.listed + len(apart),
            made_at_us=self._press.now_us(),
            expires_at_us=manifest.expires_at_us,
            bytes=made.size,
            sha256=made.sha256,
            digests_sha256=hashlib.sha256(made.digests).hexdigest(),
        )
        durable.replace(path.with_suffix(".manifest"), sign_note(line(supplement), self._press.signer))
        return supplement


def _marked(cohort: Cohort, points: Words, became: Any, new: Words) -> Cohort:
    """Return a cohort with what its documents became, 0 where nothing changed, without documents that are new."""
    inside = cohort.points if not len(new) else cohort.points[~_among(cohort.points, new)]
    codes = np.zeros(len(inside), np.uint8)
    if len(points):
        at = np.minimum(np.searchsorted(points, inside), len(points) - 1)
        found = points[at] == inside
        codes[found] = became[at[found]]
    return Cohort(cohort.id, inside, codes)


def _among(points: Words, some: Words) -> Any:
    return some[np.minimum(np.searchsorted(some, points), len(some) - 1)] == points
