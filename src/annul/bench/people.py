"""Measure the register of persons: `annul bench people [--persons 100000] [--checks 100000] [--known 1000000] [--json]`.

What a name adds to a check: the real check path of one worker (window, tree, signature, write barrier), without HTTP in front,
so that the addition is not hidden behind it, over tables of a million persons; the same batch with and without names in turns,
processor time, the median of the pairs' ratios and their quartiles. How fast persons are imported: a list of the demo country
in CSV, staged into a real database, everything (reader, encryption, server) on one core.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import os
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final

import numpy as np

from annul import keys as key_file
from annul.demo.country import Country
from annul.demo.people import persons_of
from annul.errors import AnnulError
from annul.home import Home
from annul.listings import Listings, ListingsWriter, pack
from annul.listings.values import WHOLE_LIFE
from annul.proof.window import WindowSigner
from annul.records.check import Holder, Question
from annul.records.codes import Channel, Coverage, Purpose
from annul.records.document import DocumentFields, DocumentKeys, block, number_block, parse_document
from annul.records.names import holder_block, name_block, stored_forms
from annul.records.person import Person
from annul.records.status import State
from annul.registry.answering.checklog import CheckLog
from annul.registry.answering.checks import Checks
from annul.registry.answering.quota import Quota
from annul.registry.parties.parties import Agreement, Principal
from annul.registry.people import KNOWN, NAME
from annul.registry.people.imports import PersonImports
from annul.registry.people.reading import COLUMNS
from annul.registry.people.vault import Vault
from annul.registry.postgres import Embedded
from annul.registry.writing import store
from annul.registry.writing.act import Act
from annul.registry.writing.ground import Ground
from annul.registry.writing.store import Fresh
from annul.times import Clock

BATCH: Final = 2_000
PAIRS_MIN: Final = 40
WARM: Final = 4
"""Pairs of batches, with and without a name, that count at least; and that go before them and do not count."""
ASKED: Final = 50_000
"""Persons who are asked about: their slots, some 16 MB of lines, do not stay in a core's own cache between two batches."""
FILL: Final = 100_000
AS_OF_DAY: Final = 20_700
RATIO_MAX: Final = 1.5
RATE_MIN: Final = 20_000
"""Targets. Source: issue of the register of persons."""


def main(arguments: list[str]) -> int:
    """Measure and print; returns 0."""
    parser = argparse.ArgumentParser(prog="annul bench people", description=__doc__)
    parser.add_argument("--persons", type=int, default=100_000, help="persons in the list")
    parser.add_argument("--checks", type=int, default=100_000, help="checks with a name, and as many without")
    parser.add_argument("--known", type=int, default=1_000_000, help="persons in the tables that checks look into")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    figures = check_cost(options.checks, options.known) | import_rate(options.persons)
    if options.json:
        print(json.dumps(figures))
        return 0
    print(f"name check among {figures['known']:,} persons, one worker, windows of 2,000, no HTTP in front")
    print(f"  without a name  {figures['plain_us']:6.2f} us a check")
    print(f"  with a name     {figures['named_us']:6.2f} us a check")
    low, high = figures["ratio_quartiles"]
    print(
        f"  {figures['ratio']:.2f} x (at most {RATIO_MAX}); half of {figures['pairs']} pairs between {low:.2f} and {high:.2f}"
    )
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


def check_cost(count: int, known: int) -> dict[str, Any]:
    """Return microseconds a check without and with a name, and their ratio, over tables of `known` persons."""
    asked = people(min(ASKED, known))
    with tempfile.TemporaryDirectory(prefix="annul-bench-") as folder:
        return asyncio.run(_check_cost(Home(folder), asked, count, known))


async def _check_cost(home: Home, asked: list[Person], count: int, known: int) -> dict[str, Any]:
    keys = DocumentKeys([os.urandom(32)])
    documents = [
        DocumentFields(scheme="cn-resident", number=person.personal_number, valid_from="2016-10-06") for person in asked
    ]
    now = time.time_ns() // 1000
    _list(home, keys, documents, asked, known, now)
    quota, log = Quota(home / "quota", 0), CheckLog(home.checks, 0)
    walked: list[str] = []
    checks = Checks(
        Listings(home.listings),
        {"live": keys, "test": keys},
        log,
        WindowSigner(os.urandom(32)),
        quota,
        people=Listings(home.people),
        now_us=lambda: time.time_ns() // 1000,
        live_ms=10**9,
        alarm=lambda walker, _now_us: walked.append(walker.why),
    )
    rights = Agreement(
        purposes=frozenset({Purpose.account_opening.value}),
        per_second=10**6,
        per_day=10**12,
        identity_allowed=True,
    )
    bank = Principal("bank", "Bank", "relying_party", "live", rights)
    took: dict[bool, list[float]] = {False: [], True: []}
    wrong = 0
    for pair in range(-WARM, max(PAIRS_MIN, -(-count // BATCH))):
        # Each batch asks other persons than the ones before it, so that no cache holds their slots.
        places = [(pair * BATCH + place) % len(asked) for place in range(BATCH)]
        for named in (False, True) if pair % 2 else (True, False):
            questions: list[Question | AnnulError] = [
                Question(
                    document=documents[place],
                    purpose=Purpose.account_opening.value,
                    channel=Channel.in_person.value,
                    holder=Holder(asked[place].names[0].text) if named else None,
                )
                for place in places
            ]
            begun = time.process_time()
            answers = await checks.ask_many(bank, questions)
            spent = (time.process_time() - begun) / BATCH * 1e6
            wrong += sum((b'"M1"' if named else b'"M9"') not in answer.body for answer in answers)
            if pair >= 0:
                took[named].append(spent)
    await checks.close()
    log.close()
    quota.close()
    if wrong or walked:
        raise AssertionError(f"{wrong} measured answers are not those expected, {len(walked)} alarms were raised")
    ratios = [with_name / without for without, with_name in zip(took[False], took[True], strict=True)]
    low, middle, high = quantiles(ratios, n=4)
    return {
        "known": known,
        "pairs": len(ratios),
        "plain_us": median(took[False]),
        "named_us": median(took[True]),
        "ratio": middle,
        "ratio_quartiles": [low, high],
    }


def _list(
    home: Home, keys: DocumentKeys, documents: list[DocumentFields], asked: list[Person], known: int, now_us: int
) -> None:
    """Fill both tables: with those who are asked about, and with as many others as it takes."""
    parsed = [parse_document(fields) for fields in documents]
    blocks = [block(document) + number_block(document) for document in parsed]
    current = pack(State.current, 0, WHOLE_LIFE)
    listings, names = ListingsWriter(home.listings), ListingsWriter(home.people)
    listings.set_coverage({"cn-resident": Coverage.whole_life})
    for start in range(0, known, FILL):
        # Keys of others are as random as blinded ones: two slots of a card, three of a person with two names.
        part = min(FILL, known - start)
        own = slice(start, min(start + part, len(asked)))
        others = part - len(asked[own])
        keyed = keys.blind(b"".join(blocks[own])) + os.urandom(32 * others)
        listings.put(keyed, np.full(len(keyed) // 16, current, np.uint64))
        tags: list[bytes] = []
        values: list[int] = []
        for document, person in zip(parsed[own], asked[own], strict=True):
            holder = holder_block(document)
            forms = [name_block(holder, form) for name in person.names for form in stored_forms(name.text)]
            tags += [holder, *forms]
            values += [KNOWN] + [NAME] * len(forms)
        keyed = keys.blind(b"".join(tags)) + os.urandom(48 * others)
        names.put(keyed, np.array(values + [KNOWN, NAME, NAME] * others, np.uint64))
    listings.set_applied(1, now_us)
    listings.close()
    names.close()


# -- how fast persons are imported -------------------------------------------------------------------------------------------


def import_rate(count: int) -> dict[str, Any]:
    """Return persons a second from a CSV file into the staged rows of a real database, all on one core."""
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})  # the server inherits it
        with tempfile.TemporaryDirectory(prefix="annul-bench-") as folder:
            return _import_rate(Home(folder), count)
    finally:
        os.sched_setaffinity(0, allowed)


def _import_rate(home: Home, count: int) -> dict[str, Any]:
    file = _write_list(home / "persons.csv", count)
    with Embedded(home / "database") as server:
        store.migrate(server.conninfo)
        vault = Vault(home)
        vault.warm()
        clock: Clock = lambda: time.time_ns() // 1000  # noqa: E731
        imports = PersonImports(Ground(Fresh(server.conninfo), key_file.create(home), home, clock), server.conninfo, vault)
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
                    "personal_number": person.personal_number,
                    "name": person.names[0].text,
                    "latin_name": person.names[1].text,
                    "sex": person.sex,
                    "birth_date": person.birth_date,
                    "place": person.place,
                    "status": person.status,
                    "death_date": person.death_date,
                    "origin": person.origin,
                }
            )
    return path
