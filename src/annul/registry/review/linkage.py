"""Link records that may be one person under several numbers: probabilistic linkage with splink on DuckDB.

Fellegi and Sunter's model: each comparison adds the logarithm of m/u, where m is how often it comes out so for one person and u
for two. The m's are fixed, from published error rates; the u's of equal values are measured on the register itself, rare names
weigh more than common ones. A link is a suspicion, never proof, and without some evidence of the name there is none: twins
share everything else.

Source: Fellegi, Sunter, "A theory for record linkage" (1969); Linacre et al., "Splink" (2022), IJPDS 7(3).
Decision: docs/decisions/0012-linkage-and-face-search.md.
"""

from __future__ import annotations

import contextlib
import io
import logging
from typing import Any, Final

from annul.registry.review.families import Pointed

MATCH_MIN: Final = 0.90
"""Least probability of a link."""
DUPLICATE_SHARE: Final = 0.003
"""Share of records expected to be a second one of somebody. Source: docs/review.md, "Rates"."""
MEMORY_MAX: Final = "3GB"
THREADS: Final = 2

_M_NAME: Final = (0.86, 0.08, 0.05, 0.0099)
_M_BIRTH: Final = (0.86, 0.11, 0.02, 0.01)
_M_PLACE: Final = (0.62, 0.18, 0.12, 0.08)
_M_PARENT: Final = (0.99, 0.01)
_M_PHONE: Final = (0.6, 0.4)
_M_DEATH: Final = (0.55, 0.05, 0.4)
_M_SEX: Final = (0.995, 0.005)
"""How often each level comes out for one person; highest first, docs/review.md gives their sources."""
_PARENT_RARE: Final = 2e-5
"""Two persons share a parent far more often than two people drawn by chance would: siblings live in one place."""
_COMMON_MAX: Final = 1e-3
"""In a small register a value looks more common than it is; no name and no birthday is."""

_NEAR_BIRTH: Final = (
    "(levenshtein(birth_l, birth_r) = 1 OR (birth_l[1:4] = birth_r[1:4] AND birth_l[6:7] = birth_r[9:10] "
    "AND birth_l[9:10] = birth_r[6:7]) OR (birth_l[6:10] = birth_r[6:10] AND abs(year_l - year_r) <= 3))"
)

BLOCKS: Final = (
    "l.main = r.main AND l.birth = r.birth",
    "l.latin = r.latin AND l.birth = r.birth",
    "l.birth = r.birth AND l.place = r.place AND l.sex = r.sex AND (list_has_any(l.forms, r.forms) "
    "OR (length(l.latin) >= 6 AND levenshtein(l.latin, r.latin) = 1 AND l.latin = l.main))",
    "l.main = r.main AND l.mother = r.mother",
    "l.main = r.main AND l.father = r.father",
    "l.latin = r.latin AND l.mother = r.mother",
    "l.latin = r.latin AND l.father = r.father",
    "l.main = r.main AND l.phone = r.phone",
    "l.main = r.main AND l.place = r.place AND l.sex = r.sex AND abs(l.year - r.year) <= 3",
    "l.latin = r.latin AND l.place = r.place AND l.sex = r.sex AND l.birth[1:7] = r.birth[1:7]",
)
"""Pairs that are compared at all: those that agree in a name and in something else."""


def link(db: Any) -> list[Pointed]:
    """Return the pairs of records that may be one person, best first; reads the table `person` of a DuckDB connection."""
    ((total,),) = db.execute("SELECT count(*) FROM person").fetchall()
    if total < 2:
        return []
    db.execute(
        """
        CREATE OR REPLACE TEMP TABLE linked AS
        SELECT id AS unique_id, number, nullif(main, '') AS main, nullif(latin, '') AS latin, forms, nullif(sex, '') AS sex,
               nullif(birth, '') AS birth, try_cast(birth[1:4] AS integer) AS year, nullif(region, '') AS place,
               nullif(mother, '') AS mother, nullif(father, '') AS father, nullif(phone, '') AS phone,
               nullif(death, '') AS death
        FROM person
        """
    )
    with _quiet():
        from splink import DuckDBAPI, Linker

        api = DuckDBAPI(db)
        linker = Linker(
            api.register(db.table("linked")), _settings(db, total), log_level=logging.ERROR, validate_settings=False
        )
        pairs = linker.inference.predict(threshold_match_probability=MATCH_MIN, warning_mode="never")
        rows = db.execute(
            f"SELECT unique_id_l, unique_id_r, match_probability FROM {pairs.physical_name} WHERE number_l <> number_r "
            "AND coalesce(death_l >= birth_r, true) AND coalesce(death_r >= birth_l, true) "  # a name was given again
            "ORDER BY match_probability DESC, 1, 2"
        ).fetchall()
    return [Pointed("same-person", (min(one, other), max(one, other)), float(score)) for one, other, score in rows]


def _settings(db: Any, total: int) -> dict[str, Any]:
    """Return splink's settings with every probability in place: nothing is trained, a run gives the same on the same data."""
    names = min(_share(db, "main"), _COMMON_MAX)
    latin = max(min(_share(db, "latin"), _COMMON_MAX), names)
    birth = min(_share(db, "birth"), _COMMON_MAX)
    place, place4, place2 = (_share(db, column) for column in ("place", "place[1:4]", "place[1:2]"))
    phone, death = _share(db, "phone"), _share(db, "death")
    parent = min(max(_PARENT_RARE, _share(db, "mother")), _COMMON_MAX)
    near = min(0.1, birth * 40)
    comparisons = [
        _comparison(
            "name",
            ("main_l = main_r", "list_has_any(forms_l, forms_r)", "latin_l = latin_r OR levenshtein(main_l, main_r) <= 1 "
             "AND length(main_l) >= 6"),
            _M_NAME, (names, names, latin), missing="main_l IS NULL OR main_r IS NULL", frequency="main",
        ),
        _comparison(
            "birth", ("birth_l = birth_r", _NEAR_BIRTH, "year_l = year_r"), _M_BIRTH, (birth, near, 0.015),
            missing="birth_l IS NULL OR birth_r IS NULL",
        ),
        _comparison(
            "place", ("place_l = place_r", "place_l[1:4] = place_r[1:4]", "place_l[1:2] = place_r[1:2]"), _M_PLACE,
            (place, max(place4 - place, 1e-6), max(place2 - place4, 1e-6)), missing="place_l IS NULL OR place_r IS NULL",
        ),
        _comparison("sex", ("sex_l = sex_r",), _M_SEX, (0.5,), missing="sex_l IS NULL OR sex_r IS NULL"),
        _comparison(
            "death", ("death_l = death_r", "death_l IS NOT NULL AND death_r IS NOT NULL"), _M_DEATH, (death, 0.01),
            missing="death_l IS NULL AND death_r IS NULL",
        ),
        _comparison("mother", ("mother_l = mother_r",), _M_PARENT, (parent,), missing="mother_l IS NULL OR mother_r IS NULL"),
        _comparison("father", ("father_l = father_r",), _M_PARENT, (parent,), missing="father_l IS NULL OR father_r IS NULL"),
        _comparison(
            "phone", ("phone_l = phone_r",), _M_PHONE, (max(phone, 1e-6),), missing="phone_l IS NULL OR phone_r IS NULL"
        ),
    ]  # fmt: skip
    return {
        "link_type": "dedupe_only",
        "unique_id_column_name": "unique_id",
        "probability_two_random_records_match": min(0.5, DUPLICATE_SHARE * 2 / total),
        "blocking_rules_to_generate_predictions": [{"blocking_rule": rule, "sql_dialect": "duckdb"} for rule in BLOCKS],
        "comparisons": comparisons,
        "additional_columns_to_retain": ["number", "birth", "death"],
        "retain_matching_columns": False,
        "retain_intermediate_calculation_columns": False,
    }


def _share(db: Any, column: str) -> float:
    """Return how often two records, drawn by chance, have the same value."""
    ((share,),) = db.execute(
        f"SELECT sum(n * (n - 1)) / nullif(sum(n)::double * (sum(n) - 1), 0) FROM "
        f"(SELECT count(*)::double AS n FROM linked WHERE {column} IS NOT NULL GROUP BY {column})"
    ).fetchall()
    return max(float(share or 0.0), 1e-9)


def _comparison(
    name: str, conditions: tuple[str, ...], m: tuple[float, ...], u: tuple[float, ...], *, missing: str, frequency: str = ""
) -> dict[str, Any]:
    """Return one comparison: its levels from most to least alike, then everything else."""
    rest = max(1e-6, 1.0 - sum(u))
    levels: list[dict[str, Any]] = [{"sql_condition": missing, "label_for_charts": "not recorded", "is_null_level": True}]
    for place, condition in enumerate((*conditions, "ELSE")):
        level: dict[str, Any] = {
            "sql_condition": condition, "label_for_charts": condition[:20], "m_probability": m[place],
            "u_probability": u[place] if place < len(u) else rest,
        }  # fmt: skip
        if frequency and place == 0:
            level |= {"tf_adjustment_column": frequency, "tf_adjustment_weight": 1.0}
        levels.append(level)
    return {"output_column_name": name, "comparison_levels": levels}


@contextlib.contextmanager
def _quiet() -> Any:
    """Keep splink's hints and progress bars from the terminal; what fails still raises."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield
