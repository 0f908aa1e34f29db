"""What the navigation shows opens; what is offered as a duty opens something; names stand where people read."""

from __future__ import annotations

import pytest

from annul.registry.answering.principals import ROLES
from annul.registry.parties.officers import DUTIES
from annul.registry.writing.act import Act
from annul.web.door.navigation import COUNTER, MY, OFFICES, Room, duties_of
from annul.web.door.session import Sitting
from annul.web.routes import ROUTES
from tests.web.conftest import House

WHO = {route.path: route.who for route in ROUTES if route.page and route.method == "GET"}


def enter(house: House, party: str, staff: str, duties: list[str]) -> dict[str, str]:
    """Return the cookie of an officer of a party who has these duties alone."""

    async def sit() -> dict[str, str]:
        sitting = Sitting(house.office, None)
        await house.office.officers.add(Act(party), party, staff, "Ines Varga", duties)
        await sitting.enter("officer", officer=f"{party}/{staff}", key_id=house.key_id(party))
        (cookie,) = sitting.cookies()
        return {cookie.key: str(cookie.value)}

    return house.run(sit())


@pytest.mark.parametrize("room", OFFICES, ids=lambda room: f"{room.address} {room.duty}")
def test_a_room_of_the_navigation_opens_to_whom_it_is_shown(room: Room) -> None:
    """Each line of the navigation names roles and duty that the route table lets in."""
    for role in room.roles:
        who = WHO[room.address]
        assert who == "public" or {f"officer:{role}", f"officer:{role}/{room.duty}"} & who


def test_rooms_of_clerks_and_holders_open_to_them() -> None:
    """The same of the two short tables."""
    assert all("clerk" in WHO[address] for address, _ in COUNTER)
    assert all("citizen" in WHO[address] for address, _ in MY)
    assert all("clerk" in WHO[room.address] for room in OFFICES if room.duty == "policy")


def test_a_duty_is_offered_only_where_it_opens_a_room() -> None:
    """A police desk is offered neither lists nor the clean-up; every duty is offered to somebody."""
    assert duties_of("police") == ("desk", "found", "disputes", "officers")
    assert duties_of("relying_party") == ("policy", "officers")
    assert {duty for role in ROLES for duty in duties_of(role)} == set(DUTIES)


def test_the_form_of_officers_offers_the_duties_of_the_role(house: House) -> None:
    """What a chief at a police desk can tick is what a police desk can do."""
    with house.client(cookies=enter(house, "police", "N-1", ["officers"])) as browser:
        page = browser.get("/desk/officers").text
    assert 'value="found"' in page
    assert 'value="bulk"' not in page
    assert 'value="review"' not in page


@pytest.mark.parametrize("address", ["/desk/bulk", "/desk/nowhere", "/oversight"])
def test_a_page_that_says_no_keeps_the_way_on(house: House, address: str) -> None:
    """403 and 404 show the officer's own rooms, and speak of pages, not of credentials or checks."""
    with house.client(cookies=enter(house, "police", "N" + address.replace("/", "-"), ["desk", "found"])) as browser:
        assert browser.get("/desk").status_code == 200
        answer = browser.get(address, headers={"accept": "text/html"})
    assert answer.status_code in (403, 404)
    assert 'href="/desk/found"' in answer.text
    assert 'href="/desk/bulk"' not in answer.text
    assert "credential" not in answer.text
    assert "A check that ends like this" not in answer.text


def test_a_visitor_who_is_lost_is_shown_the_first_page(house: House) -> None:
    """Without a session there is no navigation, and the way on is the first page."""
    with house.client() as browser:
        answer = browser.get("/nowhere", headers={"accept": "text/html"})
    assert answer.status_code == 404
    assert "There is no such page" in answer.text
    assert 'class="rooms"' not in answer.text
