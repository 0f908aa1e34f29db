"""docs/dependencies.md is true: every declared package has its row, and the licence there is the one its metadata names."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
FAMILIES = {
    "apache": "Apache",
    "bsd": "BSD",
    "mit-cmu": "MIT-CMU",
    "mit": "MIT",
    "lgpl": "LGPL",
    "lesser general public": "LGPL",
    "mpl": "MPL",
    "mozilla": "MPL",
    "ofl": "OFL",
    "open font": "OFL",
    "cc0": "CC0",
    "cecill": "CeCILL",
    "boost": "Boost",
    "postgresql": "PostgreSQL",
    "permission is hereby granted, free of charge": "MIT",
}
"""A word in a licence's name, or text -> its family."""
REFUSED = ("AGPL", "GPL-2", "GPL-3", "GPLV2", "GPLV3")


def declared() -> dict[str, str]:
    """Return every package of the product with the extra it stands in ("" for the register's own)."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = {Requirement(each).name: "" for each in project["dependencies"]}
    for extra, wanted in project["optional-dependencies"].items():
        for each in wanted:
            found.setdefault(Requirement(each).name, extra)
    return {name: extra for name, extra in found.items() if name != "annul"}


def rows() -> dict[str, str]:
    """Return package -> licence column."""
    page = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8").partition("## What tests")[0]
    found = {}
    for names, licence in re.findall(r"^\| ([a-z0-9 ,_-]+) \| ([^|]+) \| [^|]+ \|$", page, re.M):
        found |= {name.strip(): licence for name in names.split(",") if name.strip() != "package"}
    return found


def families(text: str) -> set[str]:
    """Return the families of licences that a text names."""
    found = {family for word, family in FAMILIES.items() if word in text.lower()}
    return found - {"MIT"} if "MIT-CMU" in found and not re.search(r"\bmit\b(?!-cmu)", text.lower()) else found


def metadata_of(name: str) -> str:
    """Return what a package says of its licence: expression, field, classifiers; its licence file when all are silent."""
    data = importlib.metadata.metadata(name)
    said = [data.get("License-Expression") or "", (data.get("License") or "")[:60]]
    said += [each for each in data.get_all("Classifier") or [] if each.startswith("License")]
    if families(" ".join(said)):
        return " ".join(said)
    files = importlib.metadata.files(name) or []
    return " ".join(Path(str(each.locate())).read_text(errors="replace") for each in files if "LICENSE" in each.name.upper())


def test_every_package_has_its_row_and_no_other_has() -> None:
    """What is declared is explained; what is explained is declared (some rows name two)."""
    names = set(declared())
    assert names - set(rows()) == set()
    assert set(rows()) - names == set()


@pytest.mark.parametrize("name", [name for name, extra in declared().items() if extra != "chip"])
def test_the_licence_is_that_of_the_metadata(name: str) -> None:
    """The families of the page are among those that the package names, and none is one we may not use."""
    said = metadata_of(name)
    told = families(rows()[name])
    assert told, rows()[name]
    assert told <= families(said), (told, said[:200])
    strong = re.sub(r"L(ESSER )?GPL", "", said.upper())
    assert not any(word in strong.replace(" ", "") for word in REFUSED), said[:200]
