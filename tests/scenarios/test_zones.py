"""A document reported by its fields stops when its zone is asked about, whatever form the zone has."""

from __future__ import annotations

import json

import pytest

from tests.corpus import ZONES
from tests.scenarios.conftest import Town

ONE_OF_EACH = list({entry["form"]: entry for entry in ZONES if not entry.get("refused")}.values())


@pytest.mark.parametrize("entry", ONE_OF_EACH, ids=[entry["form"] for entry in ONE_OF_EACH])
def test_a_report_by_fields_stops_the_zone(town: Town, entry: dict[str, object]) -> None:
    """With the zone alone, and with the scheme of zones in front of it; the document is the one its form names."""
    document = entry["document"]
    assert isinstance(document, dict)
    position = town.report(document)["position"]
    for asked in ({"mrz": entry["lines"]}, {"scheme": "icao-9303", "mrz": entry["lines"]}):
        answer = town.ask(asked, min_position=position)
        assert (answer["outcome"], answer["status"]["code"]) == ("STOP", "S10")


def test_a_form_nobody_knows_is_told_so(town: Town) -> None:
    """U33 with a sentence of its own and the way on; a zone with a fault keeps the other sentence."""
    unknown = town.ask(
        {"mrz": ["X<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<", "L898902C36UTO7408122F1204159ZE184226B<<<<<10"]}
    )
    assert (unknown["outcome"], unknown["status"]["code"]) == ("REFER", "U33")
    assert "not known here" in unknown["detail"]
    assert "number and the issuing state" in unknown["detail"]
    wrong = town.ask({"mrz": ["P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<", "L898902C37UTO7408122F1204159ZE184226B<<<<<10"]})
    assert wrong["status"]["code"] == "U33"
    assert "not known" not in wrong["detail"]


def test_a_card_without_end_passes_by_its_zone(town: Town) -> None:
    """990101 is no end: the card that is on record as current and long-term is V00, neither expired nor of other dates."""
    card = {"scheme": "icao-9303", "issuer": "ESP", "kind": "ID", "number": "BAA000589", "valid_until": "long-term"}
    assert town.feed("issue", card).status_code == 201
    zone = ["IDESPBAA000589599999999R<<<<<<", "4401018F9901018ESP<<<<<<<<<<<7", "GARCIA<LOPEZ<<CARMEN<<<<<<<<<<"]
    assert town.code({"mrz": zone}) == "V00"


def test_the_command_reads_a_zone_as_the_contract_says(town: Town) -> None:
    """Form, document in its own scheme, holder, end, notes."""
    import subprocess
    import sys

    lines = "PNRUSKOTOVA<<ANNA<IVANOVNA<<<<<<<<<<<<<<<<<<\n4507000013RUS8505121F<<<<<<<5110915770045<94"
    read = subprocess.run(
        [sys.executable, "-m", "annul", "read", "zone", "-", "--json"], input=lines, capture_output=True, text=True, check=True
    )
    told = json.loads(read.stdout)
    assert told["form"] == "RUS-PN"
    assert told["document"] | {"scheme": "ru-internal", "series": "4505", "number": "700001"} == told["document"]
    assert told["holder"]["name"] == "Котова Анна Ивановна"
    assert told["valid_until"] == "long-term"
    assert told["notes"] == []
