"""Hold records against each other: shared numbers, civil events used twice, families that cannot be.

Each function reads the table `person` (population.SCHEMA) of a DuckDB connection and yields what it suspects. All joins are on
values that few records share, so that a register of any size is done in a few passes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from annul.registry.review.rules import (
    BIRTHS_APART_DAYS,
    BIRTHS_SAME_DAYS,
    FATHER_DEAD_DAYS,
    FATHER_MAX_YEARS,
    MOTHER_MAX_YEARS,
    PARENT_MIN_YEARS,
)

Int64s = npt.NDArray[np.int64]

ORIGIN_SHARE_MIN: Final = 0.5
"""An entry without a civil event is suspicious only where most entries name theirs."""
SHARED_MAX: Final = 50
"""Records that one suspicion names; a value that more records share is no number and no event, but a default of the source."""


ADOPTED: Final = "adopt|收养|領養|领养|送养|усынов|удочер"
"""What the reference of an adoption says: adopted children are not born to the mother on record."""


class Pointed(NamedTuple):
    """Records that one rule points at, the one to look at first in front."""

    rule: str
    persons: tuple[int, ...]
    score: float | None = None


def prepare(db: Any) -> None:
    """Make the table `kin`: a child with a parent who is in the register, one row a parent; births as dates."""
    db.execute(
        """
        CREATE OR REPLACE TEMP TABLE known AS
        SELECT id, whole AS number, sex, try_cast(nullif(birth, '') AS date) AS born,
               try_cast(nullif(death, '') AS date) AS died,
               coalesce(regexp_full_match(whole, '[0-9]{17}[0-9X]') AND sex IN ('F', 'M')
                        AND (whole[17] IN ('1', '3', '5', '7', '9')) <> (sex = 'M'), false) AS contradicted
        FROM person QUALIFY count(*) OVER (PARTITION BY whole) = 1
        """
    )
    db.execute(
        "CREATE OR REPLACE TEMP VIEW entered AS SELECT id, birth, mother, father, "
        f"regexp_matches(lower(origin), '{ADOPTED}') AS adopted FROM person"
    )
    db.execute(
        """
        CREATE OR REPLACE TEMP TABLE kin AS
        SELECT c.id AS child, c.adopted, try_cast(nullif(c.birth, '') AS date) AS birth, p.id AS parent, p.born, p.died, p.sex,
               p.contradicted, side,
               date_diff('day', p.born, try_cast(nullif(c.birth, '') AS date)) / 365.2425 AS age
        FROM (SELECT id, birth, mother AS number, 'mother' AS side, adopted FROM entered WHERE mother <> ''
              UNION ALL SELECT id, birth, father, 'father', adopted FROM entered WHERE father <> '') c
        JOIN known p USING (number)
        """
    )


def forget(db: Any) -> None:
    """Drop the tables of `prepare`: the linkage needs their memory."""
    db.execute("DROP TABLE IF EXISTS kin")
    db.execute("DROP VIEW IF EXISTS entered")
    db.execute("DROP TABLE IF EXISTS known")


def shared(db: Any) -> Iterator[Pointed]:
    """Yield records that have one personal number or one document, and those that name one civil event."""
    for rule, column in (("shared-number", "whole"), ("event-twice", "origin")):
        rows = db.execute(
            f"SELECT list(id ORDER BY id) FROM person WHERE {column} <> '' GROUP BY {column} "
            f"HAVING count(*) BETWEEN 2 AND {SHARED_MAX}"
        ).fetchall()
        for (ids,) in rows:
            yield Pointed(rule, tuple(ids))
    rows = db.execute(
        "SELECT DISTINCT list(id ORDER BY id) FROM (SELECT DISTINCT id, whole, unnest(papers) AS paper FROM person) "
        f"GROUP BY paper HAVING count(DISTINCT whole) > 1 AND count(*) <= {SHARED_MAX} ORDER BY 1"
    ).fetchall()
    for (ids,) in rows:
        yield Pointed("shared-number", tuple(ids))


def without_event(db: Any, known_by_event: Int64s) -> Iterator[Pointed]:
    """Yield records with no civil event behind them, where most records have one.

    Args:
        known_by_event: ids of records that were entered by a civil event, shape (n,).
    """
    ((total, named),) = db.execute("SELECT count(*), count(*) FILTER (origin <> '') FROM person").fetchall()
    if not total or named / total < ORIGIN_SHARE_MIN:
        return
    entered = set(known_by_event.tolist())
    for (person,) in db.execute("SELECT id FROM person WHERE origin = ''").fetchall():
        if person not in entered:
            yield Pointed("no-event", (person,))


def impossible(db: Any) -> Iterator[Pointed]:
    """Yield families that cannot be; needs `prepare`."""
    for rule, condition in _KIN:
        for child, parent in db.execute(f"SELECT child, parent FROM kin WHERE {condition}").fetchall():
            if child != parent:
                yield Pointed(rule, (child, parent))
    near = db.execute(
        f"""
        SELECT child, earlier, parent FROM (
            SELECT child, parent, birth, lag(child) OVER one AS earlier, lag(birth) OVER one AS before
            FROM kin WHERE side = 'mother' AND birth IS NOT NULL AND NOT adopted
            WINDOW one AS (PARTITION BY parent ORDER BY birth, child))
        WHERE birth - before > {BIRTHS_SAME_DAYS} AND birth - before < {BIRTHS_APART_DAYS}
        """
    )
    for child, earlier, mother in near.fetchall():
        yield Pointed("births-near", (child, earlier, mother))
    edges = db.execute("SELECT child, parent FROM kin").fetchnumpy()
    for circle in cycles(np.asarray(edges["child"], np.int64), np.asarray(edges["parent"], np.int64)):
        yield Pointed("parent-cycle", circle)


_KIN: Final = (
    ("mother-age", f"side = 'mother' AND NOT adopted AND (age < {PARENT_MIN_YEARS} OR age > {MOTHER_MAX_YEARS})"),
    ("father-age", f"side = 'father' AND (age < {PARENT_MIN_YEARS} OR age > {FATHER_MAX_YEARS})"),
    ("mother-dead", "side = 'mother' AND NOT adopted AND died < birth"),
    ("father-dead", f"side = 'father' AND birth - died > {FATHER_DEAD_DAYS}"),
    # A parent whose own number says another sex is one suspicion (`sex`), not one more for each child.
    ("parent-sex", "NOT contradicted AND ((side = 'mother' AND sex = 'M') OR (side = 'father' AND sex = 'F'))"),
)


def cycles(child: Int64s, parent: Int64s) -> list[tuple[int, ...]]:
    """Return each circle of a graph of (child, parent) edges once, as the ids along it.

    Records without parents, then records without children are taken away until none is left: what stays lies on a circle, or
    between two of them.
    """
    while len(child):
        inner = np.isin(parent, child) & np.isin(child, parent)
        if inner.all():
            break
        child, parent = child[inner], parent[inner]
    up: dict[int, list[int]] = {}
    for one, other in zip(child.tolist(), parent.tolist(), strict=True):
        up.setdefault(one, []).append(other)
    found: dict[frozenset[int], tuple[int, ...]] = {}
    done: set[int] = set()
    for start, parents in up.items():
        path: list[int] = []
        places: dict[int, int] = {}
        stack = [(start, iter(parents))] if start not in done else []
        if stack:
            places[start] = 0
            path.append(start)
        while stack:
            node, above = stack[-1]
            following = next(above, None)
            if following is None:
                stack.pop()
                path.pop()
                del places[node]
                done.add(node)
            elif following in places:
                circle = tuple(path[places[following] :])
                found.setdefault(frozenset(circle), circle)
            elif following not in done:
                places[following] = len(path)
                path.append(following)
                stack.append((following, iter(up.get(following, ()))))
    return list(found.values())
