"""`annul read` as a process of its own: a rendered photo, a reader box on a pseudo-terminal, a chip in a virtual reader."""

from __future__ import annotations

import datetime
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from annul.reader import specimen
from annul.reader.specimen import ActiveKey, ChipKey, SpecimenCountry
from tests.reader import test_virtual_reader as virtual
from tests.reader.test_chip import KEY, PORTRAIT, ZONE
from tests.reader.test_resident_card import NUMBER, Box, J, Terminal
from tests.reader.test_virtual_reader import Laid, port  # noqa: F401  a fixture

PHOTOS = Path(__file__).parents[1] / "reader" / "photos"


def annul_read(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command as a clerk's machine would."""
    return subprocess.run(
        [sys.executable, "-m", "annul", "read", *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False
    )


def read_json(*arguments: str | Path) -> dict[str, Any]:
    done = annul_read(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_zone_is_read_from_a_rendered_photo() -> None:
    """Every character as it was rendered; a typing aid, no more."""
    pytest.importorskip("rapidocr")
    found = read_json("zone", PHOTOS / "td3-level-2.jpg")
    assert found["document"]["mrz"] == json.loads((PHOTOS / "truth.json").read_text("utf-8"))["td3-level-2.jpg"]
    assert (found["means"], found["assurance"]) == ("zone_photo", "typing_aid")


def test_a_resident_card_is_read_in_the_emulated_box() -> None:
    """Over a serial line; pulled out in the middle it is told so and ends."""
    found = read_json("resident", "--port", Terminal(Box()).port)
    assert (found["document"]["number"], found["assurance"], found["valid_until"]) == (NUMBER, "card_data", "long-term")
    gone = annul_read("resident", "--port", Terminal(Box(hang_up_at=b"\x30\x01")).port)
    assert gone.returncode not in (0, 1)
    assert "went away" in gone.stderr or "taken" in gone.stderr or "reader" in gone.stderr
    assert NUMBER not in gone.stderr


def test_a_stored_record_is_read_from_a_file(tmp_path: Path) -> None:
    """256 bytes of any of the kinds; exactly one way of reading is given."""
    (tmp_path / "card.bin").write_bytes(J)
    found = read_json("resident", "--record", tmp_path / "card.bin")
    assert (found["form"], found["permit_number"], found["times_issued"]) == ("CHN-RESIDENT-HMT", "H12345678", 1)
    assert found["holder"]["address"] == "广东省深圳市福田区某路2号"
    shown = annul_read("resident", "--record", tmp_path / "card.bin")
    assert "H12345678" in shown.stdout
    assert annul_read("resident", "--record", tmp_path / "card.bin", "--port", "/dev/null").returncode != 0


@virtual.pytestmark
def test_a_chip_is_read_and_proved_through_pc_sc(port: int, tmp_path: Path) -> None:  # noqa: F811
    """PACE, portrait, passive, chip and active authentication; an unknown signer and a wrong zone are told apart."""
    country = SpecimenCountry(datetime.datetime.now(datetime.UTC))
    chip = specimen.personalise(country, ZONE, KEY, PORTRAIT, chip_key=ChipKey.new(), active_key=ActiveKey())
    zone, trust = tmp_path / "zone.txt", tmp_path / "trust.pem"
    zone.write_text("\n".join(ZONE))
    trust.write_bytes(country.country_certificate.public_bytes(serialization.Encoding.PEM))
    Laid(chip, port).connect().close()
    found = read_json("chip", "--zone", zone, "--trust", trust)
    proof = found["chip"]
    assert (found["assurance"], proof["access"], proof["passive"]["verdict"]) == ("signed_same_chip", "PACE", "genuine")
    assert (proof["chip_authentication"], proof["active_authentication"], proof["print_agrees"]) == ("passed", "passed", True)
    assert read_json("chip", "--zone", zone)["chip"]["passive"]["verdict"] == "unknown_signer"
    wrong = annul_read("chip", "--can", "123456")
    assert wrong.returncode != 0
    shown = annul_read("chip", "--zone", zone, "--trust", trust)
    assert "Active authentication" in shown.stdout
    assert list(tmp_path.iterdir()) == [zone, trust] or set(tmp_path.iterdir()) == {zone, trust}
