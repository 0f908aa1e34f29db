"""Link records that may be one person under several numbers: probabilistic linkage with splink on DuckDB, slice by slice.

What two records have in common is weighed by a model that is trained on the register at hand (`model`). Pairs are made by
agreement in something rare enough that their number grows with the register and not with its square; they are made and
weighed in slices that fit into memory, and each slice's links are handed out when it is done. A link is a suspicion, never
proof: what twins, brothers, parents and namesakes have in common by being a family is held against it (`KINSHIP`).

Source: Fellegi, Sunter, "A theory for record linkage" (1969); Linacre et al., "Splink" (2022), IJPDS 7(3).
Decision: docs/decisions/0012-linkage-and-face-search.md.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from annul.registry.review.families import Pointed
from annul.registry.review.model import COMPARISONS, held, settings, strangers

MATCH_MIN: Final = 0.95
"""Least probability of a link."""
DUPLICATE_SHARE: Final = 0.003
"""Share of records expected to be second ones, where the register says nothing. Source: docs/review.md, "Rates"."""
DUPLICATE_SHARE_MAX: Final = 0.02
"""Most that is expected where namesakes of one birthday are common, and the register cannot say."""
SLICE_PERSONS: Final = 250_000
"""Persons whose pairs with all others are made and weighed at once."""
SLICE_LEAST: Final = 2_000
"""Smallest slice that is tried where memory is short."""
PAIRS_A_PERSON: Final = 4
"""Pairs a person that one way of making them may bring; above it, it asks for more agreement."""
PAIRS_ALWAYS: Final = 300_000
"""Pairs that are always few enough."""
TRAINED_MIN: Final = 40
"""Second entries that a training needs to learn from."""
TRAINING_PAIRS: Final = 400_000
SAMPLED_PAIRS: Final = 300_000
"""Pairs drawn to measure how often strangers agree."""
FAMILIES_MIN: Final = 40
FAMILIES_MORE: Final = 2.0
"""Twins share a surname and not a given name: where they are recorded, pairs of that kind are many times those of the other."""
CHANCE: Final = 0.02
"""Share of exact namesakes of one birthday, by chance, up to which their number tells that of second entries."""


class Block(NamedTuple):
    """One way of making pairs: columns that agree; `finer` are asked for where these bring too many."""

    columns: tuple[str, ...]
    finer: tuple[tuple[str, ...], ...] = ()


BLOCKS: Final = (
    Block(("main", "birth")),
    Block(("letters", "birth")),
    Block(("birth",), (("birth", "head"), ("birth", "tail"), ("birth", "place"), ("birth", "mother"), ("birth", "father"))),
    Block(("main",), (("main", "year"), ("main", "place"), ("main", "day"), ("main", "mother"), ("main", "father"))),
    Block(("letters",), (("letters", "year"), ("letters", "place"), ("letters", "day"), ("letters", "mother"))),
    Block(("latin", "birth")),
    Block(("latin", "mother")),
    Block(("latin", "father")),
    Block(("mother",), (("mother", "tail"), ("mother", "letters"), ("mother", "year"))),
    Block(("father",), (("father", "tail"), ("father", "letters"), ("father", "year"))),
    Block(("phone",), (("phone", "letters"), ("phone", "year"))),
    Block(("address",), (("address", "year"), ("address", "tail"))),
    Block(
        ("place",), (("place", "year", "head"), ("place", "year", "tail"), ("place", "day", "head"), ("place", "day", "tail"))
    ),
    Block(("head", "year"), (("head", "day", "sex"),)),
    Block(("tail", "year"), (("tail", "day", "sex"),)),
    Block(("head", "day")),
    Block(("tail", "day")),
)
"""Ways of making pairs. Birthdays of the other calendar have their own, see `_ACROSS`."""
_ACROSS: Final = ("l.lunar = r.birth AND l.head = r.head", "r.lunar = l.birth AND l.head = r.head")

_TEXTS: Final = (
    "main",
    "head",
    "tail",
    "middle",
    "head_sound",
    "tail_sound",
    "tone",
    "letters",
    "latin",
    "signs",
    "sex",
    "birth",
    "place",
    "mother",
    "father",
    "phone",
    "address",
    "death",
)
_LINKED: Final = f"""
CREATE OR REPLACE TEMP TABLE linked AS
SELECT id AS unique_id, whole AS number, forms, dead, {", ".join(f"nullif({name}, '') AS {name}" for name in _TEXTS)},
       nullif(concat(head_sound, tail_sound), '') AS voice, try_cast(nullif(birth, '')[1:4] AS integer) AS year,
       nullif(birth, '')[6:10] AS day, calendar.days AS meant, calendar.days[1] AS lunar,
       coalesce(regexp_full_match(place, '[0-9]{{6}}'), false) AS coded,
       CASE WHEN place <> '' THEN list_filter(string_split(place, ' '), lambda w: length(w) > 2) END AS words,
       CASE WHEN length(reach) > 0 THEN reach END AS reach,
       CASE WHEN address <> '' THEN list_distinct(string_split(address, ' ')) END AS lines
FROM person LEFT JOIN calendar ON calendar.read = birth
"""

_LETTERS: Final = "l.tone IS NULL AND r.tone IS NULL"
_CHARACTERS: Final = "l.tone IS NOT NULL AND r.tone IS NOT NULL"
_ALIKE: Final = (
    "list_has_any(l.forms, r.forms)",
    f"{_LETTERS} AND l.letters = r.letters",
    f"{_LETTERS} AND (l.head IS NULL AND l.tail IN (r.head, r.tail) OR r.head IS NULL AND r.tail IN (l.head, l.tail))",
    f"{_LETTERS} AND length(l.voice) >= 6 AND damerau_levenshtein(l.voice, r.voice) <= 1",
    f"{_LETTERS} AND jaro_winkler_similarity(l.head, r.head) >= 0.9 AND jaro_winkler_similarity(l.tail, r.tail) >= 0.9",
    f"{_LETTERS} AND l.tail = r.tail AND (starts_with(l.head, r.head) OR starts_with(r.head, l.head))",
    f"{_LETTERS} AND (l.head = r.head OR l.tail = r.tail) AND length(l.middle) > 1 AND l.middle = r.middle",
    f"{_LETTERS} AND l.head = r.head AND l.middle IS NULL AND (starts_with(l.tail, r.middle) OR l.tail = r.middle)",
    f"{_LETTERS} AND l.head = r.head AND r.middle IS NULL AND (starts_with(r.tail, l.middle) OR r.tail = l.middle)",
    "l.latin = r.latin AND (l.tone IS NULL OR r.tone IS NULL)",
    f"{_CHARACTERS} AND l.head = r.head AND (l.signs = r.signs OR l.tone = r.tone)",
    f"{_CHARACTERS} AND l.head = r.head AND (contains(l.tail, r.tail) OR contains(r.tail, l.tail))",
    f"{_CHARACTERS} AND (l.head IS NULL OR r.head IS NULL) AND least(length(l.voice), length(r.voice)) >= 9 "
    "AND jaro_winkler_similarity(l.voice, r.voice) >= 0.92",
    f"{_CHARACTERS} AND greatest(length(l.main), length(r.main)) >= 4 AND least(length(l.main), length(r.main)) >= 2 "
    "AND (starts_with(l.main, r.main) OR starts_with(r.main, l.main))",
)
"""Names that one person may bear and two of a family do not: one written otherwise, cut, in another order, or by its sound."""
_NAMED_ALIKE: Final = "(" + " OR ".join(f"({each})" for each in _ALIKE) + ")"
_ONE_HOUSE: Final = (
    "coalesce(l.birth = r.birth OR l.place = r.place OR l.address = r.address OR list_has_any(l.reach, r.reach), false)"
)
_FAMILY: Final = (
    "(coalesce(l.mother = r.mother, false) OR coalesce(l.father = r.father, false) OR (l.mother IS NULL OR r.mother IS NULL) "
    f"AND (l.father IS NULL OR r.father IS NULL) AND coalesce({{families}}, false) AND {_ONE_HOUSE})"
)
_ONE_DAY: Final = (
    "(l.birth = r.birth OR coalesce(list_contains(l.meant, r.birth) OR list_contains(r.meant, l.birth), false) "
    "OR damerau_levenshtein(l.birth, r.birth) = 1 OR l.year = r.year AND (l.day = '01-01' OR r.day = '01-01' "
    "OR l.birth[6:7] = r.birth[9:10] AND l.birth[9:10] = r.birth[6:7]))"
)
"""Birthdays that may be one: the same, of the other calendar, a digit off or two turned, month and day turned, unknown."""
_OTHER_CALENDAR: Final = "coalesce(list_contains(l.meant, r.birth), false) OR coalesce(list_contains(r.meant, l.birth), false)"
_ONE_OFFICE: Final = (
    "(l.number[1:6] = r.number[1:6] OR NOT regexp_full_match(l.number, '[0-9]{{17}}[0-9X]') "
    "OR NOT regexp_full_match(r.number, '[0-9]{{17}}[0-9X]'))"
)
KINSHIP: Final = (
    ("of one number", "l.number = r.number"),
    (
        "parent and child",
        "coalesce(l.number IN (r.mother, r.father), false) OR coalesce(r.number IN (l.mother, l.father), false)",
    ),
    ("one died before the other's birth", "coalesce(l.death < r.birth, false) OR coalesce(r.death < l.birth, false)"),
    (
        "a name given again, the day of death unknown",
        "l.dead <> r.dead AND l.death IS NULL AND r.death IS NULL AND coalesce(abs(l.year - r.year) BETWEEN 1 AND 25, false)",
    ),
    (
        "two of one family whose names differ",
        f"NOT coalesce({_NAMED_ALIKE}, false) AND {_FAMILY} "
        f"AND NOT ({_OTHER_CALENDAR}) AND ({_ONE_OFFICE} OR l.birth <> r.birth)",
    ),
    (
        "two of one surname and place, and not a character more",
        f"NOT coalesce({_NAMED_ALIKE}, false) AND {_CHARACTERS} AND l.head = r.head "
        "AND NOT list_has_any(string_split(l.tail, ''), string_split(r.tail, '')) "
        "AND NOT coalesce(l.mother = r.mother OR l.father = r.father, false)",
    ),
    (
        "one of whom has another entry that is nearer",
        f"NOT coalesce({_NAMED_ALIKE}, false) AND EXISTS (SELECT 1 FROM linked n WHERE n.birth = l.birth AND n.birth = r.birth "
        "AND n.mother = l.mother AND n.mother = r.mother AND n.main IN (l.main, r.main) "
        "AND n.unique_id NOT IN (l.unique_id, r.unique_id))",
    ),
    (
        "two with other parents",
        "l.mother <> r.mother AND l.father <> r.father AND NOT coalesce(list_has_any(l.reach, r.reach), false)",
    ),
    (
        "two of one family whose names only sound alike, on days that have nothing in common, or with telephones of their own",
        f"NOT list_has_any(l.forms, r.forms) AND {_CHARACTERS} AND {_FAMILY} "
        f"AND (NOT coalesce({_ONE_DAY}, true) OR NOT coalesce(list_has_any(l.reach, r.reach), true) AND {_ONE_OFFICE})",
    ),
)
"""Pairs that are no link, however alike: (what they are, condition). A number given out elsewhere is a sign of a second entry:
twins and brothers are entered at one office."""


class Linkage:
    """The links of one register: prepare once, then slice by slice.

    Args:
        db: DuckDB connection with the table `person` (population.SCHEMA).
    """

    def __init__(self, db: Any) -> None:
        self._db = db
        ((total,),) = db.execute("SELECT count(*) FROM person").fetchall()
        self.total = int(total)
        self.slices = max(1, -(-self.total // SLICE_PERSONS))
        self.m: dict[str, list[float]] = {each.name: held(each, [None] * len(each.levels)) for each in COMPARISONS}
        self.u: dict[str, list[float]] = {}
        self.prior = 0.0
        self.trained = False
        self.blocks: list[str] = []
        self.surnames: tuple[str, ...] = ("head", "tail")

    def prepare(self) -> None:
        """Make the table that is compared, choose how pairs are made, measure strangers, train."""
        if self.total < 2:
            return
        from annul.registry.review.lunar import meant_by

        db = self._db
        db.execute("CREATE OR REPLACE TEMP TABLE calendar (read text, days text[])")
        births = {birth for (birth,) in db.execute("SELECT DISTINCT birth FROM person").fetchall()}
        table = meant_by()
        rows = [(read, list(table[read])) for read in births if read in table]
        if rows:
            held_rows = pa.table({"read": [read for read, _ in rows], "days": [days for _, days in rows]})
            db.register("calendar_rows", held_rows)
            db.execute("INSERT INTO calendar SELECT * FROM calendar_rows")
            db.unregister("calendar_rows")
        db.execute(_LINKED)
        db.execute("DROP TABLE IF EXISTS calendar")
        self.u = _strangers(db, self.total)
        self.blocks = _blocks(db, self.total)
        self.surnames = _surnames(db)
        exact, chance = self._namesakes()
        self._expect(exact, chance)
        if exact - chance >= TRAINED_MIN:
            self._train()
            self._expect(exact, chance)

    def links(self, part: int) -> list[Pointed]:
        """Return the links of one slice, best first.

        What does not fit into memory is done in halves: of the ways to make pairs, then of the slice, to SLICE_LEAST persons.

        Args:
            part: 0 to `slices` - 1.

        Raises:
            duckdb.OutOfMemoryException: not even the least of these fits.
        """
        if self.total < 2:
            return []
        found = {each.persons: each for each in self._fitting(part + 1, self.slices, self.blocks)}
        return sorted(found.values(), key=lambda each: (-(each.score or 0.0), each.persons))

    def _fitting(self, number: int, of: int, blocks: list[str]) -> Iterator[Pointed]:
        import duckdb

        try:
            yield from self._links(number, of, blocks)
            return
        except duckdb.OutOfMemoryException:
            _forget(self._db)
            if len(blocks) == 1 and self.total < 2 * SLICE_LEAST * of:
                raise
        if len(blocks) > 1:
            half = len(blocks) // 2
            for some in (blocks[:half], blocks[half:]):
                yield from self._fitting(number, of, some)
        else:
            for piece in (number, number + of):
                yield from self._fitting(piece, 2 * of, blocks)

    def _links(self, number: int, of: int, blocks: list[str]) -> list[Pointed]:
        """Return the links of one piece. Records fall into pieces by a hash of their id: halves of a piece make it up."""
        db = self._db
        with _quiet():
            linker = _linker(db, settings(self.prior, blocks, self.m, self.u))
            pairs = linker.inference.predict_chunk(
                left_chunk=(number, of), right_chunk=(1, 1), threshold_match_probability=MATCH_MIN, warning_mode="never"
            )
        families = " OR ".join(f"l.{part} = r.{part}" for part in self.surnames) or "false"
        against = " OR ".join(f"({condition.format(families=families)})" for _, condition in KINSHIP)
        rows = db.execute(
            f"SELECT l.unique_id, r.unique_id, match_probability FROM {pairs.physical_name} p "
            "JOIN linked l ON l.unique_id = p.unique_id_l JOIN linked r ON r.unique_id = p.unique_id_r "
            f"WHERE NOT coalesce({against}, false) ORDER BY match_probability DESC, 1, 2"
        ).fetchall()
        _forget(db)
        return [Pointed("same-person", (min(one, other), max(one, other)), float(score)) for one, other, score in rows]

    def _namesakes(self) -> tuple[float, float]:
        """Return how many pairs agree in whole name and birthday under two numbers, and how many do by chance."""
        ((exact,),) = self._db.execute(
            "SELECT coalesce(sum(n * (n - 1) / 2), 0) FROM (SELECT count(DISTINCT number)::double AS n FROM linked "
            "WHERE head IS NOT NULL AND birth IS NOT NULL GROUP BY head, tail, birth HAVING count(*) BETWEEN 2 AND 20)"
        ).fetchall()
        chance = self.u["head"][0] * self.u["tail"][0] * self.u["birth"][0] * self._pairs
        return float(exact), chance

    @property
    def _pairs(self) -> float:
        return float(self.total * (self.total - 1) / 2)

    def _expect(self, exact: float, chance: float) -> None:
        """Say how likely two records are one person, by those that agree in all and the model's share of such."""
        share = self.m["head"][0] * self.m["tail"][0] * self.m["birth"][0]
        most = 1.0 if chance < exact * CHANCE else DUPLICATE_SHARE_MAX
        told = min(most * self.total, max(0.0, exact - chance) / share)
        self.prior = min(0.5, max(told, DUPLICATE_SHARE * self.total) / self._pairs)

    def _train(self) -> None:
        """Let splink estimate m on pairs of one name, and on pairs of one birthday; hold the outcome between bounds."""
        with _quiet():
            linker = _linker(self._db, settings(self.prior, self.blocks, self.m, self.u))
            for rule in ("l.head = r.head AND l.tail = r.tail", "l.birth = r.birth"):
                linker.training.estimate_parameters_using_expectation_maximisation(rule, max_pairs=TRAINING_PAIRS)
            learnt = linker.misc.save_model_to_json()["comparisons"]
        _forget(self._db)
        for comparison, told in zip(COMPARISONS, learnt, strict=True):
            levels = [level for level in told["comparison_levels"] if not level.get("is_null_level")]
            self.m[comparison.name] = held(comparison, [level.get("m_probability") for level in levels])
        self.trained = True


def _strangers(db: Any, total: int) -> dict[str, list[float]]:
    """Draw pairs of records that agree in next to nothing; return how often each level comes out."""
    cases = ", ".join(_case(each.name, each.missing, [level.when for level in each.levels]) for each in COMPARISONS)
    agree = " + ".join(
        f"coalesce(({column}_l = {column}_r)::int, 0)" for column in ("head", "tail", "birth", "place", "address")
    )
    columns = ", ".join(
        f"{side}.{name} AS {name}_{side}" for side in "lr" for (name, *_) in db.execute("DESCRIBE linked").fetchall()
    )
    ids = np.asarray(db.execute("SELECT unique_id FROM linked ORDER BY hash(unique_id)").fetchnumpy()["unique_id"])
    draw = np.random.default_rng(1)
    places = draw.integers(0, total, (2, min(SAMPLED_PAIRS, total * (total - 1) // 2)))
    drawn = pa.table({"one": ids[places[0]], "other": ids[places[1]]})
    db.register("drawn", drawn)
    db.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE levels AS SELECT {cases} FROM (
            SELECT {columns} FROM drawn JOIN linked l ON l.unique_id = one JOIN linked r ON r.unique_id = other
            WHERE one < other)
        WHERE {agree} < 2 AND coalesce(number_l <> number_r, true)
        """
    )
    found = {
        each.name: strangers(each, dict(db.execute(f"SELECT {each.name}, count(*) FROM levels GROUP BY 1").fetchall()))
        for each in COMPARISONS
    }
    db.unregister("drawn")
    db.execute("DROP TABLE levels")
    return found


def _surnames(db: Any) -> tuple[str, ...]:
    """Return the parts of a name that families share here: pairs of one birthday and place that agree in it alone are far more
    than those that agree in the other part alone. Both where there are too few to tell, none where both are as many."""
    counts = {}
    for part, other in (("head", "tail"), ("tail", "head")):
        ((counts[part],),) = db.execute(
            f"SELECT coalesce(sum(n * n - k), 0) / 2 FROM (SELECT sum(c)::double AS n, sum(c * c)::double AS k FROM "
            f"(SELECT birth, place, {part}, {other}, count(*) AS c FROM linked WHERE birth IS NOT NULL AND {part} IS NOT NULL "
            f"GROUP BY ALL) GROUP BY birth, place, {part})"
        ).fetchall()
    if sum(counts.values()) < FAMILIES_MIN:
        return "head", "tail"
    return tuple(part for part, other in (("head", "tail"), ("tail", "head")) if counts[part] > FAMILIES_MORE * counts[other])


def _case(name: str, missing: str, conditions: list[str]) -> str:
    lines = [f"WHEN {missing} THEN -1"] + [f"WHEN {when} THEN {at}" for at, when in enumerate(conditions[:-1])]
    return f"CASE {' '.join(lines)} ELSE {len(conditions) - 1} END AS {name}"


def _blocks(db: Any, total: int) -> list[str]:
    """Choose for each way of making pairs the coarsest that does not bring too many."""
    most = max(PAIRS_ALWAYS, PAIRS_A_PERSON * total)
    chosen: list[tuple[str, ...]] = []
    for block in BLOCKS:
        for columns in [block.columns] if _pairs(db, block.columns) <= most else block.finer:
            if columns not in chosen and (columns == block.columns or _pairs(db, columns) <= most):
                chosen.append(columns)
    return [" AND ".join(f"l.{column} = r.{column}" for column in columns) for columns in chosen] + list(_ACROSS)


def _pairs(db: Any, columns: tuple[str, ...]) -> float:
    known = " AND ".join(f"{column} IS NOT NULL" for column in columns)
    ((pairs,),) = db.execute(
        f"SELECT coalesce(sum(n * (n - 1) / 2), 0) FROM (SELECT count(*)::double AS n FROM linked WHERE {known} "
        f"GROUP BY {', '.join(columns)} HAVING count(*) > 1)"
    ).fetchall()
    return float(pairs)


def link(db: Any) -> Iterator[Pointed]:
    """Yield the pairs of records that may be one person, slice by slice; reads the table `person` of a DuckDB connection."""
    linkage = Linkage(db)
    linkage.prepare()
    for part in range(linkage.slices):
        yield from linkage.links(part)


def _linker(db: Any, model: dict[str, Any]) -> Any:
    from splink import DuckDBAPI, Linker

    api = DuckDBAPI(db)
    return Linker(api.register(db.table("linked")), model, log_level=logging.ERROR, validate_settings=False)


def _forget(db: Any) -> None:
    """Drop what splink leaves: pairs and comparisons of a slice are many times what is kept of it."""
    for kind, name in db.execute(
        "SELECT table_type, table_name FROM information_schema.tables WHERE starts_with(table_name, '__splink__')"
    ).fetchall():
        db.execute(f'DROP {"VIEW" if kind == "VIEW" else "TABLE"} IF EXISTS "{name}"')


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep splink's hints and progress bars from the terminal; what fails still raises.

    Raises:
        duckdb.OutOfMemoryException: as such, where splink wraps it into an exception of its own.
    """
    import duckdb

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            yield
        except Exception as error:
            cause: BaseException | None = error
            while cause is not None:
                if isinstance(cause, duckdb.OutOfMemoryException) or _NO_MEMORY in str(cause):
                    raise duckdb.OutOfMemoryException(
                        "The linkage needs more memory."
                    ) from None  # its text holds the statement
                cause = cause.__cause__ or cause.__context__
            raise


_NO_MEMORY: Final = "Out of Memory Error"
