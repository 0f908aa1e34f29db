"""The byte layouts printed in docs/formats are those of the code: the pages are read and added up."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from annul.proof.leaf import CODES, LEAF_BYTES
from annul.proof.window import STATEMENT_BYTES
from annul.records.codes import Coded
from annul.records.document import SCHEME_OF_CODE
from annul.records.entry import EntryKind
from annul.records.status import State

FORMATS = Path(__file__).parents[2] / "docs" / "formats"
ROW = re.compile(r"^\| (\d+) \| (\d+) \| ", re.MULTILINE)


def tables(page: str) -> list[list[tuple[int, int]]]:
    """Return the (offset, size) rows of every layout table of a page; a table begins at offset 0."""
    found: list[list[tuple[int, int]]] = []
    for offset, size in ((int(row[1]), int(row[2])) for row in ROW.finditer((FORMATS / page).read_text(encoding="utf-8"))):
        if offset == 0:
            found.append([])
        found[-1].append((offset, size))
    return found


@pytest.mark.parametrize(
    ("page", "lengths"),
    [("receipt.md", [LEAF_BYTES, STATEMENT_BYTES, 289]), ("register-entry.md", [66])],
)
def test_offsets_follow_from_sizes_and_end_at_the_length(page: str, lengths: list[int]) -> None:
    """No gap, no overlap, and the total is the constant in the code."""
    for table, length in zip(tables(page), lengths, strict=True):
        at = 0
        for offset, size in table:
            assert offset == at
            at += size
        assert at == length


def test_printed_numbers_are_those_of_the_code() -> None:
    """Kinds of entries and states."""
    page = (FORMATS / "register-entry.md").read_text(encoding="utf-8").replace("\n", " ")
    kinds: type[Coded] = EntryKind
    assert ", ".join(f"{kind.octet} {kind.value}" for kind in kinds) in page
    assert ", ".join(f"{state.value} {state.name}" for state in State) in page


def test_codes_of_receipts_are_those_of_the_code() -> None:
    """Every table of receipt.md, row by row: who has the page alone reads every answer."""
    page = (FORMATS / "receipt.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (\w+) \| ([^|]*?\d \S+(?:, \d+ \S+)+) \|$", page, re.MULTILINE))
    assert rows.pop("scheme") == ", ".join(["0 –", *(f"{code} {SCHEME_OF_CODE[code].name}" for code in sorted(SCHEME_OF_CODE))])
    assert rows == {axis: ", ".join(f"{code} {name or '–'}" for code, name in CODES[axis].items()) for axis in CODES}
