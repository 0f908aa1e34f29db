"""Random faults in the zones of the corpus: none yields another document in silence.

    python -m tests.corpus.mutations --count 1000000

A mutant is refused, or names the same document, or carries a remark that the zone had not or that asks for a comparison, or it
is *unseeable*: every check digit of its form fits it (by the table of guards in the corpus and this file's own arithmetic), so
that nothing in the zone shows the fault. Those are counted: 10 of 360 exchanges of one character are (0 and A, G and 6), by the
standard. Anything else that is taken for another document is a failure.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter
from typing import Any, Final

import msgspec

from annul.errors import AnnulError
from annul.records.document import Document, DocumentFields, parse_document
from annul.records.mrz import parse
from tests.corpus import CORPUS, TODAY, ZONES, digit

ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ<"
LOOKALIKES: Final = ("0OQD", "1IL", "2Z", "5S", "8B", "6G", "UV", "MN", "K<", "C<", "EF", "VY", "4A")
DAY: Final = TODAY.toordinal() - 719163
COMPARE: Final = frozenset({"nationality_differs", "code_unusual", "state_code", "no_check_digit"})
"""Remarks that ask to compare code, issuer or number with the print: no digit guards those."""
Identity = tuple[str, str, str, str]


def mutate(lines: list[str], rng: random.Random) -> list[str]:
    """Return lines with one to three faults, as hands and cameras make them."""
    rows = [list(line) for line in lines]
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3))):
        row = rng.choice(rows)
        at = rng.randrange(len(row))
        how = rng.random()
        if how < 0.5:
            row[at] = rng.choice(ALPHABET)
        elif how < 0.75:
            alike = [group for group in LOOKALIKES if row[at] in group]
            row[at] = rng.choice(rng.choice(alike)) if alike else rng.choice(ALPHABET)
        elif how < 0.9 and at + 1 < len(row):
            row[at], row[at + 1] = row[at + 1], row[at]
        else:  # one character doubled or lost, the rest moved along
            if rng.random() < 0.5:
                row.insert(at, row[at])
                row.pop()
            else:
                row.pop(at)
                row.append("<")
    return ["".join(row) for row in rows]


def identity(lines: list[str]) -> tuple[Identity | None, frozenset[str]]:
    """Return what document a zone names (None: it is refused) and its remarks."""
    try:
        zone = parse(lines, TODAY)
        document: Document = parse_document(DocumentFields(mrz=lines), DAY)
    except AnnulError:
        return None, frozenset()
    return (document.scheme, document.issuer, document.kind, document.number), frozenset(zone.remarks)


def unseeable(form: str, lines: list[str]) -> bool:
    """Tell whether every check digit of a form fits; a long number has its digit in the optional data."""
    for line, column, spans in CORPUS["guards"][form]:
        covered = "".join(lines[row][start:end] for row, start, end in spans)
        given = lines[line][column]
        if given == "<" and not covered.strip("<"):
            continue
        if given == "<" and form in ("TD1", "TD2", "USA-PRC") and [line, column] in ([0, 14], [1, 9]):
            rest = (lines[0][15:] if form != "TD2" else lines[1][28:35]).split("<")[0]
            if rest[-1:] in (digit(covered + rest[:-1]), digit(covered + "<" + rest[:-1])):
                continue
        if given != digit(covered):
            return False
    return True


def run(count: int, seed: int) -> tuple[Counter[str], list[tuple[str, list[str], Any]]]:
    """Try mutants of every zone in turn; return what became of them, and those taken in silence."""
    rng = random.Random(seed)
    known = [(entry, identity(entry["lines"])) for entry in ZONES if not entry.get("refused")]
    told: Counter[str] = Counter()
    silent = []
    for number in range(count):
        entry, (right, remarks) = known[number % len(known)]
        lines = mutate(entry["lines"], rng)
        if lines == entry["lines"]:
            told["unchanged"] += 1
            continue
        found, noted = identity(lines)
        if found is None:
            told["refused"] += 1
        elif found == right:
            told["same document"] += 1
        elif noted - remarks or noted & COMPARE:
            told["another, with a remark"] += 1
        elif found[:3] == right[:3] and unseeable(entry["form"], lines):
            told["another, no digit can tell"] += 1
        else:
            told["another, in silence"] += 1
            silent.append((entry["name"], lines, found))
    return told, silent


def main() -> int:
    """Run, print what became of the mutants, and fail if one was taken in silence."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=20261130)
    given = parser.parse_args()
    told, silent = run(given.count, given.seed)
    print(msgspec.json.encode(dict(told)).decode())
    for name, lines, found in silent[:20]:
        print(name, lines, found)
    return 1 if silent else 0


if __name__ == "__main__":
    sys.exit(main())
