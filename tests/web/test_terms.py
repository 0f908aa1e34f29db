"""One thing, one word: the term table holds over every text that Chinese readers meet."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest

from annul.web.door.pages import read_catalogue

TABLE = Path(__file__).parent / "terms.tsv"
"""English term, its Chinese word, and the words that are never said for it."""
TERMS = list(csv.DictReader(TABLE.read_text(encoding="utf-8").splitlines(), delimiter="\t"))
CLAIMS = re.compile(r"\b(works again|counts again|stopped working|comes back to life|stays dead)\b|\bIt works\b")


def said() -> Iterator[tuple[str, str, str]]:
    """Yield every Chinese text with where it stands and its English."""
    folder = resources.files("annul.web") / "locale" / "zh_CN"
    for file in folder.iterdir():
        if file.name.endswith(".po"):
            for english, chinese in read_catalogue(file.read_text(encoding="utf-8")).items():
                yield file.name, english, chinese
    notices = (resources.files("annul.registry.notices") / "texts" / "zh_CN.toml").read_text(encoding="utf-8")
    yield "notices", "", notices


@pytest.mark.parametrize("term", TERMS, ids=[term["english"] for term in TERMS])
def test_a_term_has_one_word(term: dict[str, str]) -> None:
    """No text uses a word that the table rules out; the word itself is in use."""
    wrong = [(where, chinese) for where, _, chinese in said() for word in term["never"].split() if word in chinese]
    assert not wrong
    assert any(term["chinese"] in chinese for _, _, chinese in said())


def test_no_sentence_to_a_holder_claims_that_a_document_is_valid() -> None:
    """The register knows what stands against a document, never that it is good."""
    claims = [english for where, english, _ in said() if where in ("citizen.po", "codes.po") and CLAIMS.search(english)]
    assert not claims
