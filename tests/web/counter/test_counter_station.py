"""The counter's page and the station beside the browser: a card on the reader becomes an answer, over real loopback HTTP."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from annul.reader.station import application
from tests.reader.test_chip import ZONE
from tests.reader.test_station import the_station
from tests.web.browser import chromium, open_page, sign_in_clerk
from tests.web.conftest import House
from tests.web.counter.test_counter_acts import Bank

__all__ = ["chromium"]


@contextlib.contextmanager
def running(house: House) -> Iterator[tuple[str, str]]:
    """Run a station with a document on its chip reader and a resident card on its box; yield address and token."""
    place = dataclasses.replace(the_station(), origins=(house.url,))
    door = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(application(place), log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [door]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{door.getsockname()[1]}", place.token
    finally:
        server.should_exit = True
        thread.join(10)


def _connect(page: Any, address: str, token: str) -> None:
    page.wait_for_selector("#station details")
    page.locator("#station summary").click()
    page.fill("#station-address", address)
    page.fill("#station-token", token)


def test_a_resident_card_on_the_reader_becomes_an_answer(chromium: Any, house: House) -> None:
    """One press: read, filled, asked; the answer stands there and the number does not."""
    with running(house) as (address, token):
        page = open_page(chromium, house)
        sign_in_clerk(page, house)
        _connect(page, address, token)
        page.keyboard.press("Enter")
        page.wait_for_selector(".answer")
        page.wait_for_selector("#number:focus")
        assert page.input_value("#number") == ""
        assert page.evaluate("sessionStorage.getItem('station-token')") == token
        page.context.close()


def test_a_passports_chip_gives_its_portrait_to_the_comparison(chromium: Any, house: House) -> None:
    """The zone opens the chip; on the way to the comparison the portrait stays in the page's memory and fills the field."""
    bank = Bank(house)
    policy = bank.call("GET", "/v1/policies/1").json()["policy"]
    for code in ("U30", "V00"):  # compare faces, whether or not the register covers the document
        policy["status"][code]["advice"] = ["A3"]
    assert bank.call("POST", "/v1/policies/draft", json={"policy": policy}).status_code == 200
    assert bank.call("POST", "/v1/policies/2/release", json={"revision": 1}).status_code == 200
    with running(house) as (address, token):
        page = open_page(chromium, house)
        sign_in_clerk(page, house, bank.counter)
        page.wait_for_selector("#number:focus")
        page.keyboard.insert_text("".join(ZONE))
        _connect(page, address, token)
        page.click("#station button")
        page.wait_for_selector(".answer")
        page.click("form[action='/counter/compare'] button")
        page.wait_for_selector("#compare")
        assert page.evaluate("document.getElementById('portrait').files.length") == 1
        proved = json.loads(page.input_value("input[name=chip]"))
        assert (proved["genuine"], proved["unaltered"], proved["same_chip"]) == (True, True, True)
        page.set_input_files("#portrait", {"name": "other.jpg", "mimeType": "image/jpeg", "buffer": b"x"})
        assert page.input_value("input[name=chip]") == ""
        kept = page.evaluate("JSON.stringify({...localStorage, ...sessionStorage})")
        assert len(kept) < 1000
        page.context.close()


@pytest.mark.parametrize("wrong", ["token", "address"])
def test_a_station_that_does_not_answer_is_said_and_typing_goes_on(chromium: Any, house: House, wrong: str) -> None:
    """A wrong token and a dead address each get their sentence; nothing is asked, the form is still there."""
    with running(house) as (address, token):
        page = open_page(chromium, house)
        sign_in_clerk(page, house)
        _connect(page, "http://127.0.0.1:9" if wrong == "address" else address, "x" if wrong == "token" else token)
        page.click("#station button")
        said = page.locator("#station p[role=status]")
        said.filter(has_text="oken" if wrong == "token" else "does not answer").wait_for()
        assert page.locator(".answer").count() == 0
        assert page.is_visible("#number")
        page.context.close()
