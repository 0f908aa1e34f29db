"""Measure the register of persons: `annul bench people [--persons 100000] [--checks 40000] [--json]`.

What a name adds to a check: the real check path of one worker (window, tree, signature, write barrier), without HTTP in front,
so that the addition is not hidden behind it; batches with and without names in turns, the best of each counts. How fast
persons are imported: a list of the demo country in CSV, staged into a real database, everything (reader, encryption, server)
on one core.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from annul.demo.country import Country
from annul.demo.people import persons_of
from annul.listings import Listings, ListingsWriter, pack
from annul.listings.values import WHOLE_LIFE
from annul.proof.receipt import WindowSigner
from annul.records.check import Holder, Question
from annul.records.codes import Channel, Coverage, Purpose
from annul.records.document import DocumentFields, DocumentKeys, block, number_block, parse_document
from annul.records.names import holder_block, name_block, normal_forms
from annul.records.person import Person
from annul.records.status import State
from annul.registry import keys as key_file
from annul.registry import store
from annul.registry.act import Act
from annul.registry.checklog import CheckLog
from annul.registry.checks import Checks
from annul.registry.parties import Agreement, Principal
from annul.registry.people.imports import PersonImports
from annul.registry.people.reading import COLUMNS
from annul.registry.people.tags import KNOWN, NAME
from annul.registry.people.vault import Vault
from annul.registry.postgres import Embedded
from annul.registry.quota import Quota
from annul.registry.store import Fresh

BATCH: Final = 2_000
ROUNDS: Final = 5
AS_OF_DAY: Final = 20_700
RATIO_MAX: Final = 1.5
RATE_MIN: Final = 20_000
"""Targets. Source: issue of the register of persons."""


def main(arguments: list[str]) -> int:
    """Measure and print; returns 0."""
    parser = argparse.ArgumentParser(prog="annul bench people", description=__doc__)
    parser.add_argument("--persons", type=int, default=100_000, help="persons in the list")
    parser.add_argument("--checks", type=int, default=40_000, help="checks a round")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    figures = check_cost(options.checks) | import_rate(options.persons)
    if options.json:
        print(json.dumps(figures))
        return 0
    print("name check, one worker, windows of 2,000, no HTTP in front")
    print(f"  without a name  {figures['plain_us']:6.2f} us a check")
    print(f"  with a name     {figures['named_us']:6.2f} us a check")
    print(f"  {figures['ratio']:.2f} x (at most {RATIO_MAX})")
    print(f"import of persons, {figures['cores']} core(s), CSV, encryption and database included")
    print(f"  {figures['persons_per_s']:,.0f} persons/s (target {RATE_MIN:,})")
    return 0


def people(count: int) -> list[Person]:
    """Return the first residents of a fictional country."""
    found: list[Person] = []
    for persons, batch in Country(1, AS_OF_DAY).holders(count * 2):
        found += (person for person in persons_of(persons, batch, AS_OF_DAY) if person.place and person.birth_date < "2016")
        if len(found) >= count:
            break
    return found[:count]


# -- what a name adds --------------------------------------------------------------------------------------------------------


def check_cost(count: int) -> dict[str, Any]:
    """Return microseconds a check without and with a name, and their ratio."""
    known = people(BATCH * 5)
    with tempfile.TemporaryDirectory(prefix="annul-bench-") as folder:
        return asyncio.run(_check_cost(Path(folder), known, count))


async def _check_cost(home: Path, known: list[Person], count: int) -> dict[str, Any]:
    keys = DocumentKeys([os.urandom(32)])
    documents = [
        DocumentFields(scheme="cn-resident", number=person.personal_number, valid_from="2016-10-06") for person in known
    ]
    now = time.time_ns() // 1000
    _list(home, keys, documents, known, now)
    quota, log = Quota(home / "quota", 0), CheckLog(home / "checks", 0)
    checks = Checks(
        Listings(home / "listings"), {"live": keys, "test": keys}, log, WindowSigner(os.urandom(32)), quota,
        people=Listings(home / "people"), now_us=lambda: time.time_ns() // 1000, live_ms=10**9,
    )  # fmt: skip
    rights = Agreement(
        purposes=frozenset({Purpose.account_opening.value}), per_second=10**6, per_day=10**12, identity_allowed=True,
    )  # fmt: skip
    bank = Principal("bank", "Bank", "relying_party", "live", rights)
    best = {False: float("inf"), True: float("inf")}
    wrong = 0
    for _ in range(ROUNDS):
        for named in (False, True):
            begun = time.process_time()
            for at in range(0, count, BATCH):
                part = [(at + place) % len(known) for place in range(min(BATCH, count - at))]
                questions = [
                    Question(
                        document=documents[place], purpose=Purpose.account_opening.value, channel=Channel.in_person.value,
                        holder=Holder(known[place].names[0].text) if named else None,
                    )
                    for place in part
                ]  # fmt: skip
                answers = await checks.ask_many(bank, questions)
                wrong += sum((b'"M1"' if named else b'"M9"') not in answer.body for answer in answers)
            best[named] = min(best[named], (time.process_time() - begun) / count * 1e6)
    await checks.close()
    log.close()
    quota.close()
    if wrong:
        raise AssertionError(f"{wrong} measured answers are not those expected")
    return {"plain_us": best[False], "named_us": best[True], "ratio": best[True] / best[False]}


def _list(home: Path, keys: DocumentKeys, documents: list[DocumentFields], known: list[Person], now_us: int) -> None:
    """Fill both tables."""
    parsed = [parse_document(fields) for fields in documents]
    listings = ListingsWriter(home / "listings")
    listings.set_coverage({"cn-resident": Coverage.whole_life})
    blocks = b"".join(block(document) + number_block(document) for document in parsed)
    listings.put(keys.blind(blocks), np.full(len(blocks) // 16, pack(State.current, 0, WHOLE_LIFE), np.uint64))
    listings.set_applied(1, now_us)
    names = ListingsWriter(home / "people")
    for document, person in zip(parsed, known, strict=True):
        holder = holder_block(document)
        tags = [name_block(holder, form) for name in person.names for form in normal_forms(name.text)]
        names.put(keys.blind(holder + b"".join(tags)), np.array([KNOWN] + [NAME] * len(tags), np.uint64))
    listings.close()
    names.close()


# -- how fast persons are imported -------------------------------------------------------------------------------------------


def import_rate(count: int) -> dict[str, Any]:
    """Return persons a second from a CSV file into the staged rows of a real database, all on one core."""
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})  # the server inherits it
        with tempfile.TemporaryDirectory(prefix="annul-bench-") as folder:
            return _import_rate(Path(folder), count)
    finally:
        os.sched_setaffinity(0, allowed)


def _import_rate(home: Path, count: int) -> dict[str, Any]:
    file = _write_list(home / "persons.csv", count)
    with Embedded(home / "database") as server:
        store.migrate(server.conninfo)
        vault = Vault(home)
        vault.warm()
        clock: Callable[[], int] = lambda: time.time_ns() // 1000  # noqa: E731
        imports = PersonImports(server.conninfo, Fresh(server.conninfo), key_file.create(home), vault, home, clock)
        begun = time.perf_counter()
        made = imports.stage(Act("bench"), file)
        took = time.perf_counter() - begun
    if made.person_count != count:
        raise AssertionError("not all measured persons were imported")
    return {"persons": count, "cores": 1, "persons_per_s": count / took}


def _write_list(path: Path, count: int) -> Path:
    with path.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.DictWriter(opened, COLUMNS)
        writer.writeheader()
        for person in people(count):
            writer.writerow(
                {
                    "personal_number": person.personal_number, "name": person.names[0].text,
                    "latin_name": person.names[1].text, "sex": person.sex, "birth_date": person.birth_date,
                    "place": person.place, "status": person.status, "death_date": person.death_date,
                    "origin": person.origin,
                }
            )  # fmt: skip
    return path
