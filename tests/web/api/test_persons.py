"""The doors of the register of persons: who sees what, portraits for receipts alone, nothing told by a refusal."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import numpy as np
import pytest

from annul.demo import numbers
from annul.demo.portraits import portrait
from annul.records.codes import Purpose
from annul.registry.parties.parties import Agreement
from annul.registry.writing.act import Act
from tests.waiting import WAIT_S
from tests.web.conftest import House

_orders = iter(range(1, 400))


def fresh_number() -> str:
    """Return a citizen number nobody has used before."""
    made = numbers.personal_numbers(np.array([310101]), np.array([9_000]), np.array([next(_orders)]))
    return made[0].decode()


def card(number: str) -> dict[str, str]:
    """Name a resident card."""
    return {"scheme": "cn-resident", "number": number, "valid_from": "2016-10-06"}


def enter(house: House, number: str, name: str = "李雷", **more: Any) -> httpx.Response:
    """Enter a person."""
    person = {"personal_number": number, "names": [{"text": name}], "birth_date": "1994-08-23"} | more
    return house.call("POST", "/v1/persons", "issuer", json={"person": person})


def enrol(house: House, number: str) -> None:
    """Enrol a drawn portrait."""
    face = {"image": base64.b64encode(portrait(2)).decode(), "media": "image/jpeg", "quality": 90}
    body = {"personal_number": number, "consent": {"basis": "holder", "evidence": "form", "scope": "face"}, "face": face}
    assert house.call("POST", "/v1/persons/enrolments", "issuer", json=body).status_code == 201


def photo(house: House, answer: dict[str, Any], document: dict[str, str], who: str = "bank", **change: Any) -> httpx.Response:
    """Ask for the portrait of a check."""
    body = {"document": document, "receipt": answer["receipt"], "opening": answer["opening"]} | change
    return house.call("POST", f"/v1/checks/{answer['check']}/photo", who, json=body)


def test_an_entered_name_is_matched_at_once(house: House) -> None:
    """The acknowledgement comes when the check path answers accordingly: no waiting, no sleeping."""
    number = fresh_number()
    assert house.ask(card(number), holder={"name": "李雷"})["identity"]["code"] == "M3"
    assert enter(house, number).status_code == 201
    assert house.ask(card(number), holder={"name": "李雷"})["identity"]["code"] == "M1"
    assert house.ask(card(number), holder={"name": "李蕾"})["identity"]["code"] == "M2"
    renamed = {"event": "name_change", "personal_number": number, "name": "李大雷"}
    assert house.call("POST", "/v1/persons/events", "issuer", json=renamed).status_code == 201
    assert house.ask(card(number), holder={"name": "李大雷"})["identity"]["code"] == "M1"


def test_a_portrait_is_given_for_a_matched_check_alone(house: House) -> None:
    """Not for M2, not for another's check, not for another document, not with a changed receipt; refusals are all alike."""
    number = fresh_number()
    enter(house, number)
    enrol(house, number)
    answer = house.ask(card(number), holder={"name": "李雷"})
    assert answer["identity"]["code"] == "M0"
    given = photo(house, answer, card(number))
    assert (given.status_code, given.headers["content-type"]) == (200, "image/jpeg")
    assert answer["check"].encode() in given.content
    assert given.headers["cache-control"] == "no-store"
    wrong = house.ask(card(number), holder={"name": "李四"})
    plain = house.ask(card(number))
    refused = [photo(house, wrong, card(number)), photo(house, plain, card(number))]
    body = {"document": card(number), "receipt": answer["receipt"], "opening": answer["opening"]}
    refused.append(house.call("POST", f"/v1/checks/{'0' * 32}/photo", "bank", json=body))
    assert [each.status_code for each in refused] == [404] * 3
    assert len({each.content for each in refused}) == 1
    changed = dict(answer["receipt"]) | {"signature": answer["receipt"]["signature"][::-1]}
    for forged in (
        photo(house, answer, card(fresh_number())),
        photo(house, answer, card(number), opening="0" * 32),
        photo(house, answer, card(number), receipt=changed),
    ):
        assert forged.json()["type"] == "/problems/verification-failed"


def test_a_party_without_the_right_gets_no_portrait_and_no_identity(house: House) -> None:
    """M9 and 403, whether the number is known or not."""
    number = fresh_number()
    enter(house, number)
    enrol(house, number)
    answer = house.ask(card(number), holder={"name": "李雷"})

    async def kiosk() -> str:
        purposes = frozenset({Purpose.account_opening.value})
        await house.office.parties.create(
            Act("setup"), "lobby", "Lobby", "relying_party", agreement=Agreement(purposes=purposes)
        )
        issued = await house.office.parties.issue_key(Act("setup"), "lobby", realm="live")
        assert await house.office.listings.reached(issued.position, WAIT_S)
        return issued.token

    house.keys["lobby"] = house.run(kiosk())
    codes = {house.ask(card(each), "lobby", holder={"name": "李雷"})["identity"]["code"] for each in (number, fresh_number())}
    assert codes == {"M9"}
    assert photo(house, answer, card(number), "lobby").status_code == 403


@pytest.mark.parametrize("name", ["Iv\u0430nov", "王2", "\ue123", " ", "x" * 201])
def test_a_name_that_is_none_is_refused_without_repeating_it(house: House, name: str) -> None:
    """400 with a cause and the next step."""
    answer = enter(house, fresh_number(), name)
    assert answer.status_code == 400
    assert answer.json()["mend"] or answer.json()["where"]
    assert name.strip() == "" or name not in answer.text


def test_a_number_is_entered_once(house: House) -> None:
    """409, and the number is not repeated."""
    number = fresh_number()
    assert enter(house, number).status_code == 201
    again = enter(house, number, "韩梅")
    assert again.status_code == 409
    assert number not in again.text
