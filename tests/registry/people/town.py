"""A small register of persons for tests: the world of documents, People, imports and the check path's look-up by hand."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from annul.listings import Listings
from annul.records.document import DocumentFields, parse_document
from annul.records.names import asked_forms, holder_block, name_block
from annul.records.person import Contact, Name, Person
from annul.registry.people import PHOTO
from annul.registry.people.imports import PersonImports
from annul.registry.people.register import People
from annul.registry.people.vault import Vault
from annul.registry.writing.act import Act
from tests.registry.world import World

REGISTRAR = Act("registry-1", credential="key-1")
SECOND = Act("registry-2", credential="key-2")
WANG = "11010519491231002X"
LI = "440524198001010013"
BORN = "1949-12-31"


class Town(World):
    """A world whose people are registered."""

    def __init__(self, conninfo: str, home: Path) -> None:
        super().__init__(conninfo, home)
        self.vault = Vault(home)
        self.people = People(self.ground, self.register, self.vault)
        self.imports = PersonImports(self.ground, conninfo, self.vault)

    def follow(self) -> int:
        """Apply what is new, and imports to their end."""
        position = super().follow()
        while self.follower._names.take_imports(self.follower.following.db):
            pass
        return position

    def asked(self, number: str, name: str, *, realm: str = "live", **document: Any) -> str:
        """Return what the table of names says, as the check path would."""
        fields = DocumentFields(**({"scheme": "cn-resident", "number": number} | document))
        holder = holder_block(parse_document(fields))
        blocks = holder + b"".join(name_block(holder, form) for form in asked_forms(name))
        known, *names = Listings(self.home.people).lookup(self.keys.documents(realm).blind(blocks)).tolist()
        if not known:
            return "M3"
        return ("M0" if known & PHOTO else "M1") if any(names) else "M2"


def person(number: str = WANG, name: str = "王小明", **more: Any) -> Person:
    """Make a person; `latin` and `former` are further names."""
    names = [Name(name)]
    if "latin" in more:
        names.append(Name(more.pop("latin"), "latin"))
    names += [Name(text, "former") for text in more.pop("former", ())]
    return Person(personal_number=number, names=names, **({"birth_date": BORN, "sex": "M"} | more))


def phone(value: str) -> list[Contact]:
    """Make the contacts of a person with a telephone."""
    return [Contact("phone", value)]


def write_csv(path: Path, lines: Iterable[dict[str, str]], *, columns: tuple[str, ...] = ("personal_number", "name")) -> Path:
    """Write a list of persons."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(lines)
    return path
