"""Measure the clean-up: `annul bench review [--persons 100000] [--faces 200000] [--households 20000] [--seed 1] [--json]`.

Families are drawn (`demo.families`), with errors of every kind planted in 2 % of them and hard cases that are none; they are
imported into a real, encrypted register, and `annul review run` runs over it in a process of its own. What it finds is held
against what was planted: recall and precision of every rule and cause, time, memory. A suspicion is right when a planted error
explains it: it names one of its records (a link: both). Faces: unit vectors drawn at random, one in a thousand a second time
with noise; time of one exact search against a flat index, of many at once, and how many were missed. By a second hand: the
linkage on febrl1 to febrl4 and pseudopeople (development dependencies) beside splink's own model, and on `bench.households`.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, date, datetime
from functools import partial
from typing import Any, Final

import numpy as np

from annul import keys as key_file
from annul.bench import linkage
from annul.demo.families import Card, Families, Planted
from annul.home import Home
from annul.keys import Keys
from annul.records.document import person_block
from annul.records.status import State
from annul.registry.people.imports import PersonImports
from annul.registry.people.reading import BATCH, Line, read_one
from annul.registry.people.vault import Vault
from annul.registry.postgres import Embedded
from annul.registry.review import faces
from annul.registry.review.rules import CAUSES, LINKED, RULES
from annul.registry.writing import store
from annul.registry.writing.act import Act
from annul.registry.writing.ground import Ground
from annul.registry.writing.store import Fresh, connect

TARGET_S: Final = 300
TARGET_BYTES: Final = 6 * 1024**3
TARGETS: Final = {"rules": (0.97, 0.95), "linkage": (0.90, 0.90)}
"""Least recall and precision; time and memory are for a million persons on two cores. Source: the issue of the clean-up."""
AS_OF: Final = date(2026, 11, 1)
QUERIES: Final = 64
SINGLE_MS: Final = 50.0
MEMORY_MB: Final = 1024.0


def main(arguments: list[str]) -> int:
    """Measure and print; returns 0, or 1 when a target is missed."""
    parser = argparse.ArgumentParser(prog="annul bench review", description=__doc__)
    parser.add_argument("--persons", type=int, default=100_000, help="persons in the register")
    parser.add_argument("--faces", type=int, default=200_000, help="enrolled portraits; 0 leaves faces out")
    parser.add_argument(
        "--households", type=int, default=20_000, help="persons of the second hand's families; 0 leaves them out"
    )
    parser.add_argument("--no-outside", action="store_true", help="leave registers of others out")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    figures: dict[str, Any] = {}
    if options.persons:
        figures["register"] = measure_run(options.persons, options.seed)
    if options.faces:
        figures["faces"] = measure_faces(options.faces, options.seed)
    if not options.no_outside:
        figures["outside"] = linkage.measure_outside(options.seed)
    if options.households:
        figures["households"] = linkage.measure_households(options.households, 40, options.seed, AS_OF)
    if options.json:
        print(json.dumps(figures))
    else:
        _print(figures)
        linkage.show(figures)
    return 0 if all(each["met"] for each in figures.values()) else 1


def _print(figures: dict[str, Any]) -> None:
    if "register" in figures:
        told = figures["register"]
        print(f"clean-up of {told['persons']:,} persons, {told['planted']:,} planted errors ({told['planted_share']:.1%})")
        print(f"  {'rule':20} planted  found  recall  precision")
        for name, line in told["rules"].items():
            print(f"  {name:20} {line['planted']:7,} {line['suspicions']:6,}  {line['recall']:6.3f}  {line['precision']:9.3f}")
        for name, line in told["causes"].items():
            least = TARGETS["linkage" if name == "linkage" else "rules"]
            print(
                f"  {name.upper():20} {line['planted']:7,} {line['suspicions']:6,}  {line['recall']:6.3f}  "
                f"{line['precision']:9.3f}   (at least {least[0]:.2f} and {least[1]:.2f})"
            )
        print(f"  hard cases that are no errors: {told['hard']}; suspected as one person: {told['hard_linked']}")
        stages = ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in told["took_s"].items())
        print(f"  {told['seconds']:.1f} s ({stages}); {told['bytes'] / 1e9:.2f} GB in {told['processes']} processes")
        print(f"  {told['cpu_s']:.1f} s of processor time, the database's not counted")
        print(f"  for a million: at most {TARGET_S} s and {TARGET_BYTES / 1e9:.1f} GB")
    if "faces" in figures:
        told = figures["faces"]
        print(f"one face among {told['portraits']:,}, exact")
        print(f"  one query      {told['single_ms']:7.2f} ms   flat index {told['flat_ms']:7.2f} ms   ({told['ratio']:.2f} x)")
        print(f"  many at once   {told['many_ms']:7.2f} ms a query   ({told['single_ms'] / told['many_ms']:.1f} x as fast)")
        print(f"  memory         {told['megabytes']:7.0f} MB; {told['missed']} of {told['twice']} second portraits missed")
        print(f"  for a million: at most {SINGLE_MS:.0f} ms and {MEMORY_MB:.0f} MB, many at once at least twice as fast")


# -- the register ------------------------------------------------------------------------------------------------------------


def measure_run(count: int, seed: int) -> dict[str, Any]:
    """Draw, import, run, compare; returns the figures."""
    with tempfile.TemporaryDirectory(prefix="annul-bench-") as folder, Embedded(Home(folder) / "database") as server:
        home, conninfo = Home(folder), server.conninfo
        store.migrate(conninfo)
        keys = key_file.create(home)
        families = Families(seed, AS_OF)
        named: dict[str, list[int]] = {}
        begun = time.perf_counter()
        first, total = import_families(conninfo, home, keys, families, count, named)
        imported_s = time.perf_counter() - begun
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as apart:
            view, seconds, size = apart.submit(_run_apart, conninfo, home).result()
        with connect(conninfo) as db:
            rows = db.execute("SELECT rules, persons FROM suspicion WHERE state = 'open'").fetchall()
    figures = compare(families.planted, [(tuple(rules), frozenset(persons)) for rules, persons in rows], named, first)
    met = all(
        line["recall"] >= TARGETS[kind][0] and line["precision"] >= TARGETS[kind][1]
        for name, line in figures["causes"].items()
        for kind in ["linkage" if name == "linkage" else "rules"]
    )
    scale = max(1.0, 1_000_000 / total)
    return figures | {
        "persons": total,
        "seconds": seconds,
        "took_s": view["took_s"],
        "cpu_s": view["cpu_s"],
        "bytes": size,
        "processes": 3,
        "import_per_s": total / imported_s,
        "planted_share": figures["planted"] / total,
        "met": met and seconds * scale <= TARGET_S * (1 if scale == 1 else 2) and size <= TARGET_BYTES,
    }


def import_families(
    conninfo: str, home: Home, keys: Keys, families: Families, count: int, named: dict[str, list[int]]
) -> tuple[int, int]:
    """Import drawn families with their cards; returns (first id, how many). `named` gets origin or number -> places."""
    vault, connections = Vault(home), Fresh(conninfo)
    clock = lambda: time.time_ns() // 1000  # noqa: E731
    imports = PersonImports(Ground(connections, keys, home, clock), conninfo, vault)
    made = imports.stage_lines(Act("bench"), _lines(families, count, named), evidence="drawn", shared_numbers=True)
    with connect(conninfo) as db:
        db.execute("UPDATE person_import SET state = 'in_force', applied = true WHERE id = %s", (made.id,))
        ((first,),) = db.execute("SELECT first_id FROM person_import WHERE id = %s", (made.id,)).fetchall()
        _copy_cards(db, keys, families.cards)
        db.execute("ANALYZE person_record")
        db.execute("ANALYZE document")
    if made.report.bad_count:
        raise AssertionError(f"{made.report.bad_count} drawn persons were refused")
    return first, made.person_count


def _lines(families: Families, count: int, named: dict[str, list[int]]) -> Iterator[list[Line]]:
    lines: list[Line] = []
    for place, person in enumerate(families.persons(count)):
        for name in (person.origin, person.personal_number):
            if name:
                named.setdefault(name, []).append(place)
        lines.append((place + 1, read_one(person)))
        if len(lines) == BATCH:
            yield lines
            lines = []
    yield lines


def _copy_cards(db: Any, keys: Keys, cards: list[Card]) -> None:
    """Put resident cards into the register of documents, in force or cancelled; their own keys are drawn."""
    blind = keys.documents("live")
    for start in range(0, len(cards), BATCH):
        part = cards[start : start + BATCH]
        blinded = blind.blind(b"".join(person_block(card.number) for card in part))
        with db.cursor().copy(
            "COPY document (realm, document_key, person_key, coverage, kind, valid_from_day, valid_until_day, standing) "
            "FROM STDIN"
        ) as copy:
            for place, card in enumerate(part):
                standing = State.current.bit | (0 if card.current else State.cancelled.bit)
                key = blinded[16 * place : 16 * place + 16]
                copy.write_row((0, os.urandom(16), key, "cn-resident", "resident", card.since, card.until, standing))


def _run_apart(conninfo: str, home: Home) -> tuple[dict[str, Any], float, int]:
    """Run in a process of its own; returns the run, its seconds, and the bytes that it and its readers held at most."""
    from annul.registry.review.run import run

    moment = int(datetime(AS_OF.year, AS_OF.month, AS_OF.day, tzinfo=UTC).timestamp() * 1e6)
    begun = time.perf_counter()
    view = run(conninfo, home, key_file.load(home), Act("bench"), lambda: moment)
    seconds = time.perf_counter() - begun
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    reader = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    busy = sum(
        used.ru_utime + used.ru_stime for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )
    return {"took_s": view.took_s, "cpu_s": busy}, seconds, (own + 2 * reader) * 1024


def compare(
    planted: Planted, suspicions: list[tuple[tuple[str, ...], frozenset[int]]], named: dict[str, list[int]], first: int
) -> dict[str, Any]:
    """Hold what was found against what was planted; returns recall and precision of rules and causes."""
    ids = {
        rule: [frozenset(first + place for name in entry for place in named.get(name, ())) for entry in entries]
        for rule, entries in planted.errors.items()
    }
    touched = {person for entries in ids.values() for entry in entries for person in entry}
    pairs = set(ids.get("same-person", ()))
    by_rule: dict[str, list[frozenset[int]]] = {}
    for rules, persons in suspicions:
        for rule in rules:
            by_rule.setdefault(rule, []).append(persons)
    lines: dict[str, dict[str, Any]] = {}
    for rule in RULES:
        entries, found = ids.get(rule, []), by_rule.get(rule, [])
        if not entries and not found:
            continue
        if rule == "same-person":
            hits, right = sum(entry in set(found) for entry in entries), sum(persons in pairs for persons in found)
        else:
            reached = {person for persons in found for person in persons}
            hits = sum(not entry.isdisjoint(reached) for entry in entries)
            right = sum(not persons.isdisjoint(touched) for persons in found)
        lines[rule] = {"planted": len(entries), "hits": hits, "suspicions": len(found), "right": right} | _rates(
            hits, len(entries), right, len(found)
        )
    causes = {}
    for cause in (*CAUSES, "linkage"):
        of = [line for rule, line in lines.items() if (cause == "linkage" if rule in LINKED else RULES[rule].cause == cause)]
        totals = [sum(line[name] for line in of) for name in ("hits", "planted", "right", "suspicions")]
        causes[cause] = {"planted": totals[1], "suspicions": totals[3]} | _rates(*totals)
    hard = {kind: len(entries) for kind, entries in planted.hard.items()}
    linked = set(by_rule.get("same-person", ()))
    hard_linked = {
        kind: sum(frozenset(first + named[name][0] for name in entry if name in named) in linked for entry in entries)
        for kind, entries in planted.hard.items()
    }
    total = sum(map(len, ids.values()))
    return {"planted": total, "rules": lines, "causes": causes, "hard": hard, "hard_linked": hard_linked}


def _rates(hits: int, planted: int, right: int, found: int) -> dict[str, float]:
    return {"recall": hits / planted if planted else 1.0, "precision": right / found if found else 1.0}


# -- faces -------------------------------------------------------------------------------------------------------------------


def measure_faces(count: int, seed: int) -> dict[str, Any]:
    """Time the exact search against faiss's flat index over the same vectors; returns the figures."""
    import faiss

    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((count, faces.SIZE), dtype=np.float32)
    twice = max(1, count // 1000)
    noise = rng.standard_normal((twice, faces.SIZE), dtype=np.float32) * np.float32(0.9)
    vectors[-twice:] = vectors[:twice] + noise
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    index = faces.FaceIndex(vectors)
    held = vectors.nbytes * 1.25  # float32 in full, and one byte an element beside it
    queries = vectors[:QUERIES]
    flat = faiss.IndexFlatIP(faces.SIZE)
    flat.add(vectors)
    single = [_milliseconds(partial(index.alike, query, faces.ALIKE_MIN)) for query in queries[:20]]
    by_flat = [_milliseconds(partial(flat.search, query[None], 64)) for query in queries[:20]]
    del flat
    begun = time.perf_counter()
    index.alike_many(queries, faces.ALIKE_MIN)
    many = (time.perf_counter() - begun) * 1e3 / len(queries)
    missed = 0
    for start in range(0, twice, 256):
        part = vectors[start : min(start + 256, twice)]
        exact = [set(np.flatnonzero(vectors @ query >= faces.ALIKE_MIN).tolist()) for query in part[:8]]
        found = index.alike_many(part, faces.ALIKE_MIN)
        missed += sum(
            float(vectors[count - twice + start + at] @ part[at]) >= faces.ALIKE_MIN
            and count - twice + start + at not in {place for place, _ in each}
            for at, each in enumerate(found)
        )
        for query, truth in zip(part[:8], exact, strict=False):
            missed += len(truth - {place for place, _ in index.alike(query, faces.ALIKE_MIN)})
    one = float(np.median(single))
    million = max(1.0, 1_000_000 / count)
    return {
        "portraits": count,
        "single_ms": one,
        "flat_ms": float(np.median(by_flat)),
        "ratio": one / float(np.median(by_flat)),
        "many_ms": many,
        "megabytes": held / 1e6,
        "twice": twice,
        "missed": missed,
        "met": one * million <= SINGLE_MS and many * 2 <= one and missed == 0 and held * million <= MEMORY_MB * 1e6,
    }


def _milliseconds(search: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    search()
    return (time.perf_counter() - begun) * 1e3
