"""Systems built for others dock: their words in, their words out, the same register behind."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from annul.records.check import Answer, BindingPart, FreshnessPart, IdentityPart, StatusPart
from annul.records.codes import IdentityCode, StatusCode
from annul.web.api.peers import dvs_code
from tests.web.conftest import House


def hotlist(house: House, verb: str, number: str, who: str, **more: Any) -> tuple[int, dict[str, Any]]:
    """Call the hotlist as MOSIP's clients do."""
    body = {"id": f"mosip.{verb}", "version": "v1", "requesttime": "2026-11-30T08:00:00.000Z"}
    answer = house.call(
        "POST", f"/v1/peers/mosip/{verb}", who, json=body | {"request": {"id": number, "idType": "ru-internal"} | more}
    )
    return answer.status_code, answer.json()


def test_a_hotlist_blocks_and_unblocks(house: House) -> None:
    """Blocked by the police, seen at once by the bank's check too, unblocked; provisional with an expiry."""
    fields = house.passport()
    number = fields["series"] + fields["number"]
    assert hotlist(house, "status", number, "bank")[1]["response"]["status"] == "UNBLOCKED"
    code, told = hotlist(house, "block", number, "police")
    assert (code, told["response"]["status"], told["errors"]) == (200, "BLOCKED", None)
    assert house.ask(fields)["status"]["code"] == "S10"
    assert hotlist(house, "status", number, "bank")[1]["response"]["status"] == "BLOCKED"
    assert hotlist(house, "unblock", number, "police")[1]["response"]["status"] == "UNBLOCKED"
    assert hotlist(house, "status", number, "bank")[1]["response"]["status"] == "UNBLOCKED"
    other = house.passport()
    until_then = hotlist(house, "block", other["series"] + other["number"], "police", expiryTimestamp="2027-01-01T00:00:00Z")[1]
    assert until_then["response"]["expiryTimestamp"]
    assert house.ask(other)["status"]["code"] == "S12"


def test_a_hotlist_says_what_is_wrong(house: House) -> None:
    """Unknown types, numbers that are none, an unblock of what is not blocked: in its wrapper, nothing is changed."""
    fields = house.passport()
    number = fields["series"] + fields["number"]
    code, told = hotlist(house, "block", "12", "police")
    assert (code, told["response"]) == (400, None)
    assert told["errors"][0]["errorCode"] == "bad-input"
    assert hotlist(house, "block", number, "police", idType="UIN")[0] == 400
    assert hotlist(house, "block", number, "police", expiryTimestamp="soon")[0] == 400
    assert hotlist(house, "unblock", number, "police")[0] in (404, 409)
    assert house.ask(fields)["status"]["code"] == "V00"
    assert hotlist(house, "block", number, "bank")[0] == 403


def test_dvs_has_four_answers(house: House) -> None:
    """Y for no listing, N for a dead document, D for a number that cannot be one or is not covered."""

    def asked(document: dict[str, Any]) -> str:
        body = {"document": document, "purpose": "account-opening"}
        return str(house.call("POST", "/v1/peers/dvs", "bank", json=body).json()["verificationResultCode"])

    fields = house.passport()
    assert asked(fields) == "Y"
    house.report(fields)
    assert asked(fields) == "N"
    assert asked(fields | {"number": "x"}) == "D"
    assert asked({"scheme": "icao-9303", "issuer": "UTO", "kind": "P", "number": "L898902C3"}) == "D"
    refused = house.call("POST", "/v1/peers/dvs", "bank", json={"document": fields, "purpose": "no-such"})
    assert refused.status_code in (200, 403)


@pytest.mark.parametrize(("status", "identity"), list(itertools.product(StatusCode, IdentityCode)))
def test_dvs_says_y_of_nothing_that_is_listed(status: StatusCode, identity: IdentityCode) -> None:
    """For every status and identity, whatever the policy made of them: Y only for V, and only for the right person."""
    from annul.records.policy import DEFAULT_POLICY

    verdicts = DEFAULT_POLICY.status[status], DEFAULT_POLICY.identity[identity]
    outcome = max((verdict.in_person for verdict in verdicts), key=lambda one: one.octet)
    answer = Answer(
        outcome=outcome,
        status=StatusPart(status.value, None),
        identity=IdentityPart(identity.value),
        binding=BindingPart(),
        freshness=FreshnessPart("F0", 1, ""),
        advice=[],
        detail="",
        check="",
        receipt={},
    )
    if dvs_code(answer) == "Y":
        assert status.value.startswith("V")
        assert identity not in (IdentityCode.M2, IdentityCode.M3)


def test_a_plain_list_is_read_in_pages(house: House) -> None:
    """Every line is token, time and reason; the pages together are the whole list, each token once."""
    from tests.web.api.test_subscriptions import told

    event = told(house)
    import base64

    wanted = base64.b64decode(event["token"]).hex()

    def page(after: str, limit: int) -> tuple[str, list[str]]:
        head, *lines = house.call("GET", f"/v1/peers/crl?after={after}&limit={limit}", "bank").text.splitlines()
        return head, lines

    whole = page("", 100_000)[1]
    assert any(line.startswith(f"{wanted} ") and line.endswith(" keyCompromise") for line in whole)
    after, seen = "", []
    while True:
        head, lines = page(after, 2)
        seen += lines
        if "; end" in head:
            break
        after = lines[-1].split()[0]
    assert {line.split()[0] for line in whole} <= {line.split()[0] for line in seen}
    assert len({line.split()[0] for line in seen}) == len(seen)
