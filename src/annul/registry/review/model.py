"""What is compared when two records are held against each other, and how much each outcome says.

Fellegi and Sunter's model: each comparison has levels from most to least alike, and adds the logarithm of m/u, where m is how
often a level comes out for one person and u for two. u is measured on the register at hand; m is trained on it where it has
enough second entries to learn from, and held between bounds: twins and brothers agree in nearly everything, and a training that
is left alone takes them for one person. Where there is little to learn from, the values here stand.

Source: Fellegi, Sunter, "A theory for record linkage" (1969). Decision: docs/decisions/0012-linkage-and-face-search.md.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple


class Level(NamedTuple):
    """One outcome of a comparison.

    Args:
        when: condition in SQL over the columns of both records.
        m: how often it comes out for one person, before training.
        least, most: what training may make of it.
    """

    when: str
    m: float
    least: float
    most: float


class Comparison(NamedTuple):
    """One thing that is compared; the last level is everything else.

    Args:
        frequency: column whose rare values weigh more in the first level.
    """

    name: str
    missing: str
    levels: tuple[Level, ...]
    frequency: str = ""


_SAME_LETTERS: Final = "letters_l = letters_r OR latin_l = latin_r"
_LIKE: Final = (
    "(tone_l IS NULL AND tone_r IS NULL AND (jaro_winkler_similarity({0}_l, {0}_r) >= {1} "
    "OR (least(length({0}_l), length({0}_r)) >= 4 AND damerau_levenshtein({0}_l, {0}_r) <= {2})))"
)
_SHORT: Final = (
    "(tone_l IS NULL AND tone_r IS NULL AND (starts_with({0}_l, {0}_r) OR starts_with({0}_r, {0}_l)) AND "
    "(length({0}_l) = 1 OR length({0}_r) = 1 OR least(length({0}_l), length({0}_r)) >= 3))"
)
_CUT: Final = (
    "(least(length(main_l), length(main_r)) >= 2 AND greatest(length(main_l), length(main_r)) >= 4 AND tone_l IS NOT NULL "
    "AND tone_r IS NOT NULL AND (starts_with(main_l, main_r) OR starts_with(main_r, main_l)))"
)
"""A long name in Chinese characters, of another people mostly, of which one record has only the beginning."""
_RESPELT: Final = (
    "((head_l IS NULL OR head_r IS NULL) AND least(length(voice_l), length(voice_r)) >= 9 "
    "AND jaro_winkler_similarity(voice_l, voice_r) >= 0.92)"
)
_SOME_SIGNS: Final = (
    "(tone_l IS NOT NULL AND tone_r IS NOT NULL AND (contains(tail_l, tail_r) OR contains(tail_r, tail_l) "
    "OR (length(tail_l) = 2 AND length(tail_r) = 2 AND (tail_l[1] = tail_r[1] OR tail_l[2] = tail_r[2]))))"
)
_CODES: Final = "coded_l AND coded_r"
_COMMON: Final = "length(list_intersect({0}_l, {0}_r))"

COMPARISONS: Final = (
    Comparison(
        "head",
        "head_l IS NULL OR head_r IS NULL",
        (
            Level("head_l = head_r", 0.88, 0.50, 0.99),
            Level("head_l = tail_r OR tail_l = head_r", 0.01, 0.002, 0.10),
            Level(f"head_sound_l = head_sound_r OR {_SAME_LETTERS}", 0.03, 0.01, 0.15),
            Level(_LIKE.format("head", 0.9, 1), 0.04, 0.01, 0.30),
            Level(f"{_LIKE.format('head', 0.8, 2)} OR {_SHORT.format('head')}", 0.015, 0.005, 0.15),
            Level("", 0.025, 0.01, 0.06),
        ),
        "head",
    ),
    Comparison(
        "tail",
        "tail_l IS NULL OR tail_r IS NULL",
        (
            Level("tail_l = tail_r", 0.84, 0.50, 0.99),
            Level("head_l = tail_r OR tail_l = head_r", 0.01, 0.002, 0.10),
            Level(f"tone_l = tone_r OR signs_l = signs_r OR {_SAME_LETTERS}", 0.06, 0.01, 0.15),
            Level(f"(tail_sound_l = tail_sound_r) OR {_LIKE.format('tail', 0.9, 1)} OR {_RESPELT} OR {_CUT}", 0.04, 0.02, 0.30),
            Level(f"{_LIKE.format('tail', 0.8, 2)} OR {_SHORT.format('tail')} OR {_SOME_SIGNS}", 0.03, 0.01, 0.15),
            Level("", 0.02, 0.01, 0.06),
        ),
        "tail",
    ),
    Comparison(
        "middle",
        "middle_l IS NULL OR middle_r IS NULL",
        (
            Level("middle_l = middle_r", 0.6, 0.01, 0.98),
            Level("(length(middle_l) = 1 OR length(middle_r) = 1) AND middle_l[1] = middle_r[1]", 0.25, 0.01, 0.98),
            Level("jaro_winkler_similarity(middle_l, middle_r) >= 0.85", 0.1, 0.01, 0.30),
            Level("", 0.05, 0.01, 0.20),
        ),
        "middle",
    ),
    Comparison(
        "birth",
        "birth_l IS NULL OR birth_r IS NULL",
        (
            Level("birth_l = birth_r", 0.78, 0.50, 0.99),
            Level("list_contains(meant_l, birth_r) OR list_contains(meant_r, birth_l)", 0.02, 0.004, 0.10),
            Level("year_l = year_r AND birth_l[6:7] = birth_r[9:10] AND birth_l[9:10] = birth_r[6:7]", 0.02, 0.004, 0.10),
            Level("damerau_levenshtein(birth_l, birth_r) = 1", 0.08, 0.02, 0.25),
            Level("day_l = day_r AND abs(year_l - year_r) IN (1, 2, 3, 10, 100)", 0.03, 0.005, 0.10),
            Level("year_l = year_r AND (day_l = '01-01' OR day_r = '01-01' OR birth_l[6:7] = birth_r[6:7])", 0.03, 0.005, 0.10),
            Level("year_l = year_r OR damerau_levenshtein(birth_l, birth_r) = 2", 0.02, 0.005, 0.12),
            Level("", 0.01, 0.004, 0.04),
        ),
    ),
    Comparison(
        "place",
        "place_l IS NULL OR place_r IS NULL",
        (
            Level("place_l = place_r", 0.62, 0.30, 0.98),
            Level(
                f"CASE WHEN {_CODES} THEN place_l[1:4] = place_r[1:4] ELSE jaro_winkler_similarity(place_l, place_r) >= 0.88 "
                f"OR {_COMMON.format('words')} * 2 > greatest(length(words_l), length(words_r)) END",
                0.15,
                0.02,
                0.35,
            ),
            Level(
                f"CASE WHEN {_CODES} THEN place_l[1:2] = place_r[1:2] ELSE {_COMMON.format('words')} >= 1 END", 0.10, 0.02, 0.35
            ),
            Level("", 0.13, 0.02, 0.35),
        ),
        "place",
    ),
    Comparison(
        "address",
        "address_l IS NULL OR address_r IS NULL",
        (
            Level("address_l = address_r", 0.40, 0.05, 0.95),
            Level(f"{_COMMON.format('lines')} * 2 >= greatest(length(lines_l), length(lines_r))", 0.25, 0.05, 0.80),
            Level(f"{_COMMON.format('lines')} >= 2", 0.10, 0.02, 0.30),
            Level("", 0.25, 0.02, 0.60),
        ),
    ),
    Comparison(
        "sex",
        "sex_l IS NULL OR sex_r IS NULL",
        (Level("sex_l = sex_r", 0.985, 0.95, 0.999), Level("", 0.015, 0.001, 0.05)),
    ),
    Comparison(
        "death",
        "death_l IS NULL AND death_r IS NULL",
        (
            Level("death_l = death_r", 0.55, 0.30, 0.90),
            Level("death_l IS NOT NULL AND death_r IS NOT NULL", 0.05, 0.02, 0.20),
            Level("", 0.40, 0.05, 0.60),
        ),
    ),
    Comparison(
        "mother",
        "mother_l IS NULL OR mother_r IS NULL",
        (Level("mother_l = mother_r", 0.985, 0.90, 0.995), Level("", 0.015, 0.005, 0.10)),
    ),
    Comparison(
        "father",
        "father_l IS NULL OR father_r IS NULL",
        (Level("father_l = father_r", 0.985, 0.90, 0.995), Level("", 0.015, 0.005, 0.10)),
    ),
    Comparison(
        "reach",
        "reach_l IS NULL OR reach_r IS NULL",
        (Level("list_has_any(reach_l, reach_r)", 0.6, 0.30, 0.98), Level("", 0.4, 0.02, 0.70)),
    ),
)
"""What is compared; docs/review.md, "Rates", has the sources of the first m's."""

USUAL: Final[dict[str, tuple[float, ...]]] = {
    "head": (0.02, 0.005, 0.005, 0.003, 0.01),
    "tail": (0.005, 0.005, 0.005, 0.003, 0.03),
    "middle": (0.02, 0.06, 0.01),
    "birth": (0.0001, 0.0001, 0.0001, 0.002, 0.0002, 0.002, 0.03),
    "place": (0.02, 0.05, 0.1),
    "address": (0.0002, 0.001, 0.05),
    "sex": (0.5,),
    "death": (0.0001, 0.05),
    "mother": (0.0001,),
    "father": (0.0001,),
    "reach": (0.0001,),
}
"""How often each level but the last comes out for strangers in a nation: what a small register is taken for."""
USUAL_PAIRS: Final = 2_000
"""Pairs that these stand for beside those that are drawn."""
SHARED_LEAST: Final = {"birth": 2.5e-5, "mother": 2e-5, "father": 2e-5, "reach": 2e-5, "address": 2e-5}
"""Least that is taken for two strangers. They share a parent, a telephone or a house far more often than two drawn by chance:
families live in one place; and no register spreads its birthdays over more than a century."""


def settings(prior: float, blocks: list[str], m: dict[str, list[float]], u: dict[str, list[float]]) -> dict[str, Any]:
    """Return splink's settings with every probability in place.

    Args:
        prior: chance that two records, drawn from all, are one person.
        m, u: for each comparison one probability a level.
    """
    return {
        "link_type": "dedupe_only",
        "unique_id_column_name": "unique_id",
        "probability_two_random_records_match": prior,
        "blocking_rules_to_generate_predictions": [{"blocking_rule": rule, "sql_dialect": "duckdb"} for rule in blocks],
        "comparisons": [_comparison(each, m[each.name], u[each.name]) for each in COMPARISONS],
        "retain_matching_columns": False,
        "retain_intermediate_calculation_columns": False,
        "max_iterations": 12,
        "em_convergence": 0.002,
    }


def _comparison(comparison: Comparison, m: list[float], u: list[float]) -> dict[str, Any]:
    levels: list[dict[str, Any]] = [
        {"sql_condition": comparison.missing, "label_for_charts": "not recorded", "is_null_level": True}
    ]
    for place, each in enumerate(comparison.levels):
        level: dict[str, Any] = {
            "sql_condition": each.when or "ELSE",
            "label_for_charts": str(place),
            "m_probability": m[place],
            "u_probability": u[place],
        }
        if comparison.frequency and place == 0:
            level |= {"tf_adjustment_column": comparison.frequency, "tf_adjustment_weight": 1.0, "tf_minimum_u_value": 1e-5}
        levels.append(level)
    return {"output_column_name": comparison.name, "comparison_levels": levels}


def strangers(comparison: Comparison, counts: dict[int, int]) -> list[float]:
    """Return how often each level comes out for two strangers.

    Args:
        counts: level (-1: not recorded) -> pairs drawn.
    """
    usual = USUAL[comparison.name]
    usual = (*usual, 1.0 - sum(usual))
    pairs = sum(count for level, count in counts.items() if level >= 0)
    shares = [
        max(SHARED_LEAST.get(comparison.name, 0.0), (counts.get(level, 0) + each * USUAL_PAIRS) / (pairs + USUAL_PAIRS))
        for level, each in enumerate(usual)
    ]
    if comparison.name in ("head", "tail"):  # a name turned round is as common as the name itself
        shares[1] = max(shares[1], shares[0])
    return [share / sum(shares) for share in shares]


def held(comparison: Comparison, trained: list[float | None]) -> list[float]:
    """Return trained probabilities held between their bounds, with a sum of one; a level that was not trained keeps its own."""
    kept = [
        each.m if value is None else min(max(value, each.least), each.most)
        for each, value in zip(comparison.levels, trained, strict=True)
    ]
    total = sum(kept)
    return [value / total for value in kept]
