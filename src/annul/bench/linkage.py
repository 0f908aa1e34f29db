"""Measure the linkage on registers drawn by others, beside splink's own model trained in the same run on the same records.

Ours links at its one threshold, as a run does. splink's own model is that of its guide: its comparisons for names, birthdays
and places, u by random sampling, m by expectation maximisation; it is given the threshold that does best with the truth known,
at the least precision wanted. Households: our second generator, `households`.
"""

from __future__ import annotations

import contextlib
import io
import logging
import time
from collections.abc import Iterator, Sequence
from datetime import date
from types import SimpleNamespace
from typing import Any, Final

import pyarrow as pa

from annul.bench.households import Households
from annul.bench.outside import FEBRL, Outside, febrl, pseudopeople
from annul.records.person import Person
from annul.registry.review import population
from annul.registry.review.linkage import Linkage

PRECISION_MIN: Final = 0.99
RECALL_MIN: Final = {"febrl4": 0.88, "pseudopeople": 0.89}
KIND_MIN: Final = 0.8
FALSE_MAX: Final = 0.1
"""Suspicions among ordinary families, a thousand persons. Source of all four: the issue of the clean-up."""
_KEY: Final = b"bench" * 4


def measure_outside(seed: int) -> dict[str, Any]:
    """Link every set that is installed; returns the figures, or which package is missing."""
    sets: list[dict[str, Any]] = []
    missing: list[str] = []
    try:
        for name in FEBRL:
            sets.append(measure(febrl(name)))
    except ModuleNotFoundError as error:
        missing.append(str(error.name))
    try:
        with _quiet():
            people = pseudopeople(seed)
        sets.append(measure(people))
    except ModuleNotFoundError as error:
        missing.append(str(error.name))
    met = all(each["recall"] >= RECALL_MIN.get(each["name"], 0.0) and each["precision"] >= PRECISION_MIN for each in sets)
    return {"sets": sets, "missing": missing, "met": met}


def measure(outside: Outside) -> dict[str, Any]:
    """Link one set with ours and with splink's own model; returns recall and precision of both."""
    begun = time.perf_counter()
    found = [persons for persons, _ in linked(outside.persons)]
    took = time.perf_counter() - begun
    right = sum(outside.truth[one] == outside.truth[other] for one, other in found)
    begun = time.perf_counter()
    recall, precision = _splink(outside)
    own = right / outside.pairs
    return {
        "name": outside.name,
        "persons": len(outside.persons),
        "pairs": outside.pairs,
        "recall": own,
        "precision": right / max(1, len(found)),
        "took_s": took,
        "splink_recall": recall,
        "splink_precision": precision,
        "splink_s": time.perf_counter() - begun,
        "ratio": own / recall if recall else 0.0,
    }


def measure_households(count: int, second: int, seed: int, today: date) -> dict[str, Any]:
    """Link ordinary families alone, and with second entries of every kind among them."""
    families = Households(seed, today)
    alone = linked(list(families.persons(count)))
    drawn = Households(seed + 1, today, second=second)
    people = list(drawn.persons(min(count, 20_000)))
    places = {person.personal_number: at for at, person in enumerate(people)}
    found = {persons for persons, _ in linked(people)}
    kinds: dict[str, dict[str, float]] = {}
    for (kind, agrees), pairs in drawn.seconds.items():
        hits = sum(tuple(sorted((places[one], places[other]))) in found for one, other in pairs)
        kinds.setdefault(kind, {})[agrees] = hits / max(1, len(pairs))
    suspected = 1000 * len(alone) / count
    met = suspected <= FALSE_MAX and all(max(rates.values()) >= KIND_MIN for rates in kinds.values())
    return {"persons": count, "suspected": suspected, "hard": families.hard, "second": second, "kinds": kinds, "met": met}


def linked(people: Sequence[Person]) -> list[tuple[tuple[int, int], float]]:
    """Return ((place, place), probability) of all links among persons, made as a run makes them but without a register."""
    rows: Any = [(SimpleNamespace(id=at), person) for at, person in enumerate(people)]
    table, _ = population.columns(rows, _KEY, date(2026, 1, 1))
    held = population.open_engine()
    held.register("piece", table)
    held.execute("CREATE TABLE person AS SELECT * FROM piece")
    engine = Linkage(held)
    engine.prepare()
    found = [
        ((each.persons[0], each.persons[1]), each.score or 0.0) for part in range(engine.slices) for each in engine.links(part)
    ]
    held.close()
    return found


def _splink(outside: Outside) -> tuple[float, float]:
    """Return the best recall of splink's own model at the least precision wanted, and its precision there."""
    import duckdb
    import splink.comparison_library as compare
    from splink import DuckDBAPI, Linker, SettingsCreator, block_on

    born = pa.array([person.birth_date or None for person in outside.persons], pa.string())
    table = outside.columns.append_column("born", born).append_column("unique_id", pa.array(range(len(born))))
    known = table.column_names
    first, last = ("given_name", "surname") if "surname" in known else ("first_name", "last_name")
    comparisons: list[Any] = [
        compare.NameComparison(first),
        compare.NameComparison(last),
        compare.DateOfBirthComparison("born", input_is_string=True),
    ]
    rules: list[Any] = [
        block_on("born"),
        block_on(first, last),
        block_on(first, "substr(born, 1, 4)"),
        block_on(last, "substr(born, 1, 4)"),
    ]
    if "suburb" in known:
        comparisons += [
            compare.JaroWinklerAtThresholds("suburb", [0.9]).configure(term_frequency_adjustments=True),
            compare.ExactMatch("postcode"),
            compare.JaroWinklerAtThresholds("address_1", [0.9]),
        ]
        rules += [block_on("postcode", "suburb"), block_on("address_1")]
    else:
        comparisons += [compare.ExactMatch("sex"), compare.NameComparison("middle_name")]
    with _quiet():
        api = DuckDBAPI(duckdb.connect())
        linker = Linker(
            api.register(table.select(["unique_id", *(each for each in known if each in _COLUMNS)])),
            SettingsCreator(link_type="dedupe_only", comparisons=comparisons, blocking_rules_to_generate_predictions=rules),
            log_level=logging.ERROR,
        )
        linker.training.estimate_probability_two_random_records_match([block_on(first, last, "born")], recall=0.5)
        linker.training.estimate_u_using_random_sampling(max_pairs=1e6, seed=1)
        for rule in (block_on("born"), block_on(first, last)):
            linker.training.estimate_parameters_using_expectation_maximisation(rule)
        pairs = linker.inference.predict(threshold_match_probability=0.05).as_record_list()
    truth = outside.truth
    pairs.sort(key=lambda each: -each["match_probability"])
    best, right = (0.0, 1.0), 0
    for count, each in enumerate(pairs, 1):
        right += truth[each["unique_id_l"]] == truth[each["unique_id_r"]]
        if right / count >= PRECISION_MIN:
            best = right / outside.pairs, right / count
    return best


_COLUMNS: Final = frozenset(
    ("given_name", "surname", "first_name", "middle_name", "last_name", "born", "suburb", "postcode", "address_1", "sex")
)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep progress bars and hints from the terminal."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


def show(figures: dict[str, Any]) -> None:
    """Print what was measured, in lines."""
    if "outside" in figures:
        print("linkage on registers of others, beside splink's own model trained in this run")
        for each in figures["outside"]["sets"]:
            print(
                f"  {each['name']:14} {each['persons']:7,} records  recall {each['recall']:.3f} at precision "
                f"{each['precision']:.4f}   "
                f"splink {each['splink_recall']:.3f} at {each['splink_precision']:.4f}   ({each['ratio']:.2f} x)"
            )
        print(f"  at least: {', '.join(f'{name} {least}' for name, least in RECALL_MIN.items())}, at {PRECISION_MIN}")
        if figures["outside"]["missing"]:
            print(f"  not installed, not measured: {', '.join(figures['outside']['missing'])} (group `outside`)")
    if "households" in figures:
        told = figures["households"]
        print(
            f"ordinary families, {told['persons']:,} persons: {told['suspected']:.3f} suspected a thousand "
            f"(at most {FALSE_MAX})"
        )
        for kind, rates in told["kinds"].items():
            print(f"  {kind:18} " + "   ".join(f"{agrees} agree: {rate:.2f}" for agrees, rate in rates.items()))
