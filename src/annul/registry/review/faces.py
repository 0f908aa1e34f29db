"""Find one face under two persons: an exact search of one among all enrolled portraits, for the clean-up alone.

Vectors are biometric data: at rest each is sealed under its person's key, the index lives in memory for the time of a run.
The search is exact, because a missed duplicate is the failure that matters. One query is screened on vectors of 8 bits an
element (128 MB for a million) and what passes is weighed again in full; the screen's threshold is lowered by the largest error
of the coarse vectors, so that nothing can be lost by it:

    q·x = q·c + q·(x - c) <= q·c + |x - c|      for |q| = 1, so   q·x >= t   implies   q·c >= t - max |x - c|

Many queries at once are multiplied in full, block by block. Both give the same set.

Decision: docs/decisions/0012-linkage-and-face-search.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import psycopg
from psycopg.rows import TupleRow

from annul.errors import AnnulError
from annul.registry.people.vault import Vault, seal, trait_context, unseal
from annul.registry.review.families import Pointed

Vectors = npt.NDArray[np.float32]
Database = psycopg.Connection[TupleRow]
Progress = Callable[[int], None]

SIZE: Final = 128
ALGORITHM: Final = "sface-1"
"""What a stored vector was made by; vectors of another are made anew from the portraits."""
ALIKE_MIN: Final = 0.45
"""Cosine from which two portraits are suspected. SFace at 0.45: 0.012 % of pairs of strangers, 0.33 % of pairs of one person
are on the wrong side (docs/review.md)."""
PER_PORTRAIT_MAX: Final = 20
"""Most alike others that one portrait brings to the officers: a longer list is a bad portrait, not a person."""

_BLOCK: Final = 65_536
_SCREENED: Final = 64
_ROUNDING: Final = np.float32(1e-4)
"""More than all rounding of 128 products in float32."""
_BATCH: Final = 64


class FaceIndex:
    """Search among unit vectors, exactly.

    Args:
        vectors: shape (n, 128), unit length, kept and not copied.
    """

    def __init__(self, vectors: Vectors) -> None:
        # Imported here: only the clean-up needs it.
        import faiss

        self._vectors = np.ascontiguousarray(vectors, np.float32)
        self._coarse: Any = faiss.IndexScalarQuantizer(SIZE, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT)
        self._lost = np.float32(0.0)
        if not len(self._vectors):
            return
        low, high = self._vectors.min(axis=0), self._vectors.max(axis=0)
        self._coarse.train(np.stack((low, high)))  # the range of every element: nothing is cut off
        self._coarse.add(self._vectors)
        for start in range(0, len(self._vectors), _BLOCK):
            part = self._vectors[start : start + _BLOCK]
            errors = np.linalg.norm(self._coarse.reconstruct_n(start, len(part)) - part, axis=1)
            self._lost = max(self._lost, np.float32(errors.max()))

    def __len__(self) -> int:
        return len(self._vectors)

    @property
    def lost(self) -> float:
        """The largest distance between a vector and its coarse form: what the screen's threshold is lowered by."""
        return float(self._lost)

    def alike(self, query: Vectors, least: float) -> list[tuple[int, float]]:
        """Return (place, cosine) of every vector with a cosine of at least `least`, most alike first.

        Args:
            query: shape (128,), unit length.
        """
        count = min(_SCREENED, len(self))
        screen = np.float32(least) - self._lost - _ROUNDING
        while count:
            scores, places = self._coarse.search(query[None, :].astype(np.float32), count)
            if scores[0, -1] < screen or count == len(self):
                passed = places[0][scores[0] >= screen]
                break
            count = min(count * 4, len(self))
        else:
            return []
        exact = self._vectors[passed] @ query.astype(np.float32)
        found = [(int(place), float(score)) for place, score in zip(passed, exact, strict=True) if score >= least]
        return sorted(found, key=lambda each: (-each[1], each[0]))

    def alike_many(self, queries: Vectors, least: float) -> list[list[tuple[int, float]]]:
        """Return what `alike` returns, for each of many queries: shape (m, 128)."""
        found: list[list[tuple[int, float]]] = [[] for _ in queries]
        queries = np.ascontiguousarray(queries, np.float32)
        for start in range(0, len(self), _BLOCK):
            scores = queries @ self._vectors[start : start + _BLOCK].T
            at = np.flatnonzero(scores.ravel() >= least)
            width = scores.shape[1]
            for flat, score in zip(at.tolist(), scores.ravel()[at].tolist(), strict=True):
                found[flat // width].append((start + flat % width, score))
        return [sorted(each, key=lambda one: (-one[1], one[0])) for each in found]


def make_vectors(db: Database, vault: Vault, realm: int, progress: Progress) -> int:
    """Make and seal the vectors of portraits that have none yet; return how many portraits were read.

    Each is stored as soon as it is made: a run that is cut off goes on where it was.
    """
    missing = db.execute(
        "SELECT e.id, e.person_id, e.ciphertext, p.wrapped_key FROM enrolment e JOIN person_record p ON p.id = e.person_id "
        "LEFT JOIN face_vector v ON v.enrolment_id = e.id AND v.algorithm = %s "
        "WHERE p.realm = %s AND e.trait = 'face' AND e.ended IS NULL AND e.ciphertext IS NOT NULL "
        "AND p.wrapped_key IS NOT NULL AND v.enrolment_id IS NULL ORDER BY e.id",
        (ALGORITHM, realm),
    ).fetchall()
    if not missing:
        return 0
    from annul.likeness.face import describe

    for enrolment, person, sealed, wrapped in missing:
        key = vault.unwrap(wrapped, person)
        try:
            vector = describe(unseal(key, bytes(sealed), trait_context(person, enrolment)))
        except AnnulError as error:
            if error.code == "missing-package":
                raise
            vector = None  # the picture is no portrait: it has no face to search for
        ciphertext = None if vector is None else seal(key, vector.tobytes(), _context(person, enrolment))
        db.execute(
            "INSERT INTO face_vector (enrolment_id, person_id, algorithm, ciphertext) VALUES (%s, %s, %s, %s) "
            "ON CONFLICT (enrolment_id) DO UPDATE SET algorithm = excluded.algorithm, ciphertext = excluded.ciphertext, "
            "searched = false",
            (enrolment, person, ALGORITHM, ciphertext),
        )
        progress(1)
    return len(missing)


def search_new(
    db: Database, vault: Vault, realm: int, progress: Progress, *, least: float = ALIKE_MIN
) -> tuple[list[Pointed], list[str]]:
    """Search the portraits that were not searched yet among all; return what is alike, and the enrolments searched."""
    people: list[int] = []
    fresh: list[tuple[int, str]] = []
    vectors: list[Vectors] = []
    for enrolment, person, searched, vector in _stored(db, vault, realm):
        if not searched:
            fresh.append((len(vectors), enrolment))
        people.append(person)
        vectors.append(vector)
    if not fresh:
        return [], []
    index = FaceIndex(np.stack(vectors))
    best: dict[tuple[int, ...], float] = {}
    for start in range(0, len(fresh), _BATCH):
        part = fresh[start : start + _BATCH]
        queries = np.stack([vectors[place] for place, _ in part])
        for (place, _), found in zip(part, index.alike_many(queries, least), strict=True):
            others = [(people[other], score) for other, score in found if people[other] != people[place]]
            for other, score in others[:PER_PORTRAIT_MAX]:
                pair = tuple(sorted((people[place], other)))
                best[pair] = max(score, best.get(pair, 0.0))
        progress(len(part))
    return [Pointed("same-face", pair, min(1.0, score)) for pair, score in best.items()], [enrolment for _, enrolment in fresh]


def _stored(db: Database, vault: Vault, realm: int) -> Iterator[tuple[str, int, bool, Vectors]]:
    with db.transaction(), db.cursor(name="face_vectors", binary=True) as cursor:
        cursor.execute(
            "SELECT v.enrolment_id, v.person_id, v.searched, v.ciphertext, p.wrapped_key FROM face_vector v "
            "JOIN enrolment e ON e.id = v.enrolment_id JOIN person_record p ON p.id = v.person_id "
            "WHERE p.realm = %s AND v.algorithm = %s AND v.ciphertext IS NOT NULL AND e.ended IS NULL "
            "AND p.wrapped_key IS NOT NULL AND p.ended IS NULL ORDER BY v.enrolment_id",
            (realm, ALGORITHM),
        )
        while rows := cursor.fetchmany(5_000):
            for enrolment, person, searched, sealed, wrapped in rows:
                raw = unseal(vault.unwrap(wrapped, person), bytes(sealed), _context(person, enrolment))
                yield enrolment, person, searched, np.frombuffer(raw, np.float32)


def _context(person: int, enrolment: str) -> bytes:
    """Return what a vector is bound to; never that of its portrait."""
    return trait_context(person, enrolment) + b"\0vector"
