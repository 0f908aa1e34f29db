"""One credential tries every way to an effect that takes two persons, at every door that leads there."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from annul.registry.parties.officers import DUTIES
from annul.registry.writing.act import Act
from annul.web.door.session import Sitting
from tests.web.conftest import House

_staff = itertools.count(1)


class Desk:
    """An officer's browser: another name, signed in with the credential that is given."""

    def __init__(self, house: House, party: str, key_id: str) -> None:
        staff = f"T-{next(_staff)}"

        async def seat() -> tuple[dict[str, str], str]:
            sitting = Sitting(house.office, None)
            await house.office.officers.add(Act("setup"), party, staff, "Two Persons", list(DUTIES))
            await sitting.enter("officer", officer=f"{party}/{staff}", key_id=key_id)
            (cookie,) = sitting.cookies()
            return {cookie.key: str(cookie.value)}, sitting.csrf

        cookies, self.csrf = house.run(seat())
        self.http = house.client(cookies=cookies)

    def send(self, path: str, **form: str) -> httpx.Response:
        """Fill the form of a page in and send it, with the tokens the page gave."""
        page = self.http.get(path).text
        once = page.partition('name="once" value="')[2].partition('"')[0]
        return self.http.post(path, data={"csrf": self.csrf, "once": once} | form)


def _listed(house: House) -> dict[str, str]:
    document = house.passport()
    house.report(document)
    return document


def _raised(house: House, document: dict[str, str]) -> str:
    wanted = {"document": document, "fact": "reported_lost", "reason": "wrong number", "case": "2026-7"}
    made = house.call("POST", "/v1/corrections", "issuer", json=wanted)
    assert made.status_code == 201, made.text
    return str(made.json()["correction"])


DECIDED = {"decision": "corrected", "reason": "wrong number"}
WAYS: dict[str, Callable[[House, str], Any]] = {
    "confirm": lambda house, one: house.call(
        "POST", f"/v1/corrections/{one}/confirm", "issuer", json={"reason": "wrong number"}
    ),
    "decide": lambda house, one: house.call("POST", f"/v1/disputes/{one}/decide", "issuer", json=DECIDED),
    "desk": lambda house, one: Desk(house, "issuer", house.key_id("issuer")).send(f"/desk/disputes/{one}/decide", **DECIDED),
}


@pytest.mark.parametrize("way", WAYS)
def test_one_credential_takes_no_listing_away(house: House, way: str) -> None:
    """Proposed and decided with one key, by API and at the desk as whoever: it goes on stopping; another key takes it away."""
    document = _listed(house)
    correction = _raised(house, document)
    refused = WAYS[way](house, correction)
    assert refused.status_code in (400, 403), refused.text
    assert house.ask(document)["outcome"] == "STOP"
    done = house.call("POST", f"/v1/disputes/{correction}/decide", "supervisor", json=DECIDED)
    assert (done.status_code, done.json()["state"]) == (200, "corrected")
    assert house.ask(document)["status"]["code"] == "V00"


def test_one_credential_brings_no_large_list_in(house: House, tmp_path: Path) -> None:
    """Staged with the issuer's key; confirmed by API with it, and at the desk as somebody else with it: staged it stays."""
    file = tmp_path / "list.csv"
    passports = [house.passport() for _ in range(1100)]
    file.write_text("PASSP_SERIES,PASSP_NUMBER\n" + "".join(f"{each['series']},{each['number']}\n" for each in passports))
    staged = house.run(house.stage_as(file, Act("issuer", credential=house.key_id("issuer"))))
    assert house.call("POST", f"/v1/bulk/{staged}/confirm", "issuer", json={"evidence": "x"}).status_code == 403
    answer = Desk(house, "issuer", house.key_id("issuer")).send(f"/desk/bulk/{staged}", evidence="x", do="confirm")
    assert answer.status_code != 303
    assert house.ask(passports[0])["status"]["code"] == "V00"


@pytest.mark.parametrize("party", ["bank", "police", "issuer"])
def test_a_partys_key_makes_no_officer(house: House, party: str) -> None:
    """Whoever holds it would be as many persons as she likes; nor does it give an officer more to do."""
    officer = {"staff": "X-1", "name": "Second Name", "duties": ["bulk"]}
    assert house.call("POST", "/v1/officers", party, json=officer).status_code == 403
    assert house.call("POST", f"/v1/officers/{party}/X-1", party, json={"duties": ["bulk"]}).status_code == 403


def test_whoever_made_a_key_is_not_second_with_it(house: House) -> None:
    """A supervisor who gives herself a key of an issuer is still one person."""
    document = _listed(house)
    wanted = {"document": document, "fact": "reported_lost", "reason": "wrong number", "case": "2026-8"}
    key = house.call("POST", "/v1/parties/issuer/keys", "supervisor", json={}).json()["token"]
    made = house.http.post("/v1/corrections", json=wanted, headers={"authorization": f"Bearer {key}"})
    assert made.status_code == 201, made.text
    path = f"/v1/corrections/{made.json()['correction']}/confirm"
    assert house.call("POST", path, "supervisor", json={"reason": "wrong number"}).status_code == 403
    assert house.ask(document)["outcome"] == "STOP"
