"""Every document of the corpus is read right, from print and from DG1, and answers for the document it names."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

from annul.errors import MalformedNumber
from annul.reader import tlv
from annul.reader.datagroups import zone_of_dg1
from annul.reader.reading import Means, Reading, of_zone
from annul.records.document import DocumentFields, block, parse_document
from annul.records.forms import FORMS
from annul.records.mrz import field_checks, parse, read_typed
from tests.corpus import AT, TODAY, ZONES

DAY = TODAY.toordinal() - 719163
ROOT = Path(__file__).parents[2]
EACH = pytest.mark.parametrize("entry", ZONES, ids=[entry["name"].replace(" ", "-") for entry in ZONES])


def check(found: Reading, entry: dict[str, Any]) -> None:
    """Compare a reading with what is right."""
    document = {name: value for name, value in msgspec.to_builtins(found.document).items() if value is not None}
    lines = document.pop("mrz", None)
    assert document == entry["document"]
    assert lines == (entry["lines"] if found.document.scheme == "icao-9303" else None)
    assert found.form == entry["form"]
    assert found.valid_until == entry["valid_until"]
    assert sorted(found.notes) == sorted(entry["notes"])
    holder = msgspec.to_builtins(found.holder)
    assert {name: holder[name] for name in entry["holder"]} == entry["holder"]


@EACH
def test_a_printed_zone_is_read(entry: dict[str, Any]) -> None:
    """Form, document in its own scheme, holder, end, remarks; with and without line breaks."""
    for text in ("\n".join(entry["lines"]), "".join(entry["lines"]), " ".join("\n".join(entry["lines"]).lower())):
        check(of_zone(read_typed(text, TODAY), Means.ZONE_TYPED, AT), entry)
    assert all(field_checks(entry["lines"]).values())


@pytest.mark.parametrize("entry", [entry for entry in ZONES if "chip" in entry["carriers"]], ids=lambda entry: entry["name"])
def test_a_zone_in_a_chip_is_read(entry: dict[str, Any]) -> None:
    """The same characters as DG1."""
    data = tlv.write(0x61, tlv.write(0x5F1F, "".join(entry["lines"]).encode()))
    check(of_zone(parse(zone_of_dg1(data), TODAY), Means.CHIP, AT), entry)


@EACH
def test_a_zone_and_the_fields_of_its_document_are_one_document(entry: dict[str, Any]) -> None:
    """A report by fields stops the zone: same block, whether the zone is sent alone, with the scheme, or with its fields."""
    fields = entry["document"]
    ways = [{"mrz": entry["lines"]}, {"scheme": "icao-9303", "mrz": entry["lines"]}]
    if fields["scheme"] == "icao-9303":
        ways.append(fields | {"mrz": entry["lines"]})
    for way in ways:
        asked = msgspec.convert(way, DocumentFields)
        if entry.get("refused"):
            with pytest.raises(MalformedNumber):
                parse_document(asked, DAY)
        else:
            assert block(parse_document(asked, DAY)) == block(parse_document(msgspec.convert(fields, DocumentFields), DAY))


def test_every_form_has_an_entry_and_every_entry_a_form() -> None:
    """A form without a document that proves it is not known."""
    assert {entry["form"] for entry in ZONES} == {form.name for form in FORMS}
    assert not [name for name, count in Counter(entry["name"] for entry in ZONES).items() if count > 1]
    assert all(form.source and form.title for form in FORMS)


def test_the_readme_says_how_many_forms_are_read() -> None:
    """Forms, carriers and documents, counted."""
    carriers = {(entry["form"], carrier) for entry in ZONES for carrier in entry["carriers"]}
    told = re.search(r"(\d+) forms of zone, (\d+) with their carriers \(print, chip, photo\), (\d+) documents", readme())
    assert told is not None
    assert tuple(map(int, told.groups())) == (len(FORMS), len(carriers), len(ZONES))


def readme() -> str:
    """Return the README in one line."""
    return " ".join((ROOT / "README.md").read_text("utf-8").split())
