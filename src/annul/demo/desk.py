"""Make the desks look used: officers at three parties, found cards in every state, disputes of several ages, a recall.

Made through the API itself, once; a later start finds it and does nothing. Only the age of disputes is set in the database: a
day in the past cannot be had through the doors.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Final

from annul.client import Client
from annul.demo.samples import Desks, Maker
from annul.demo.seeding import OFFICES
from annul.registry.writing.store import connect
from annul.times import DAY_US
from annul.web.door.navigation import duties_of

OFFICERS: Final = (
    ("police", "0417", "Mei Lin", duties_of("police")),
    ("police", "0533", "Tomás Rey", ("desk", "found")),
    ("issuer", "12", "Ada Okafor", duties_of("issuer")),
    ("issuer", "27", "Wen Jie", duties_of("issuer")),
    ("supervisor", "3", "Noor Haddad", duties_of("supervisor")),
)
"""Desk, staff number, name, duties."""
POINTS: Final = (
    ("market-square", "Police desk, Market Square", "1 Market Square", "day and night"),
    ("harbour", "Police desk, Harbour", "22 Quay Road", "07:00–22:00"),
    ("tram-office", "Tram office, lost property", "5 Depot Lane", "Mon–Fri 09:00–17:00"),
)
AGES: Final = ((33, "not_lost", "holder"), (21, "malice", "holder"), (4, "wrong_document", "self"))
"""Disputes: days since they were opened (the term is 30), ground, for whom."""

RECALL_WAIT_S: Final = 10.0
"""Longest wait for the recalls of the demo; without them it starts all the same."""


@dataclass(frozen=True, slots=True)
class _Offices:
    desks: Desks
    telecom: Client
    supervisor: Client


def keep(desks: Desks, telecom: Client, supervisor: Client, birth: int, conninfo: str) -> int:
    """Bring the desks' data about, once; return where the maker of documents goes on.

    Args:
        desks: clients of the live realm.
        telecom: another relying party, to be told of the recall.
        supervisor: decides disputes.
        birth: where the maker of documents goes on.
        conninfo: the register's database.
    """
    if desks.police.connection.get("/v1/officers")["officers"]:
        return birth
    offices = _Offices(desks, telecom, supervisor)
    maker = Maker(desks, birth)
    _found_cards(offices, maker)
    _recall(offices, maker)
    _disputes(offices, maker, conninfo)
    for place, name, address, hours in POINTS:
        desks.police.connection.write("/v1/found/points", {"id": place, "name": name, "address": address, "hours": hours})
    of = {office.credential: office.id for office in OFFICES}
    for desk, staff, name, duties in OFFICERS:  # last: their presence says that all of this was done
        body = {"party": of[desk], "staff": staff, "name": name, "duties": list(duties)}
        supervisor.connection.write("/v1/officers", body)
    _wait_for_recalls(desks.bank, telecom)
    return maker.birth


def _wait_for_recalls(*told: Client) -> None:
    """Wait until the follower has written the recalls, so that whoever starts the demo finds a register at rest."""
    deadline = time.monotonic() + RECALL_WAIT_S
    while not all(client.connection.get("/v1/recalls")["recalls"] for client in told) and time.monotonic() < deadline:
        time.sleep(0.1)


def _found_cards(offices: _Offices, maker: Maker) -> None:
    """One found card in every state, one that matches a report, one with a gap in its chain."""
    desks = offices.desks
    call = desks.police.connection

    def take(document: dict[str, Any], shelf: str, **more: Any) -> str:
        body = {"document": document, "point": "Police desk, Market Square", "shelf": shelf} | more
        return str(call.write("/v1/found", body)["card"])

    take(maker.card(), "A-03", finder={"place": "tram 9, near the door"})
    take(maker.report(maker.utopian("P"), "lost", "in_person"), "A-07")
    gap = take(maker.card(), "B-12")
    call.write(f"/v1/found/{gap}/hand-over", {"given_by": "Police desk, Market Square", "taken_by": "Van 3"})
    call.write(f"/v1/found/{gap}/hand-over", {"given_by": "Van 9", "taken_by": "Central store"})
    old = maker.card("2006-03-01", "2026-03-01")
    maker.card("2025-12-15", "2045-12-15", number=old["number"])
    take(old, "D-01")
    returned = take(maker.card(), "A-04")
    call.write(f"/v1/found/{returned}/hand-out", {"proof": "in_person_fingerprint", "evidence": "passport and finger"})
    gone = take(maker.report(maker.card(), "lost", "in_person"), "D-02")
    call.write(f"/v1/found/{gone}/destroy", {"evidence": "minutes 2026-41"})


def _recall(offices: _Offices, maker: Maker) -> None:
    """A card that was never lost: two organisations were told it was, the dispute ends with a correction, one knows by now."""
    desks = offices.desks
    card = maker.report(maker.card(), "lost", "in_person")
    for _ in range(3):
        desks.bank.ask(card, purpose="account-opening", channel="in_person", branch="0421")
    offices.telecom.ask(card, purpose="sim-registration", channel="in_person")
    raised = desks.police.connection.write(
        "/v1/disputes/raise",
        {"document": card, "ground": "not_lost", "case": "D-2026-031", "statement": "The card never left my pocket."},
    )
    decided = {
        "decision": "corrected",
        "reason": "A neighbour reported it; the holder showed the card.",
        "evidence": "D-2026-031",
    }
    for officer in (offices.desks.issuer, offices.supervisor):  # one proposes, another decides
        officer.connection.write(f"/v1/disputes/{raised['dispute']}/decide", decided)


def _disputes(offices: _Offices, maker: Maker, conninfo: str) -> None:
    """Disputes of several ages, one over its term, one by a relying party that is not marked, one upheld."""
    desks = offices.desks
    call = desks.issuer.connection

    def open_one(ground: str, case: str, by: str = "holder", statement: str = "") -> str:
        card = maker.report(maker.card(), "lost", "in_person")
        body = {"document": card, "ground": ground, "case": case, "by": by, "statement": statement}
        return str(call.write("/v1/disputes/raise", body)["dispute"])

    aged = []
    for place, (days, ground, by) in enumerate(AGES):
        words = "Somebody who wishes me ill reported my card." if ground == "malice" else "I have had this card all the time."
        aged.append((open_one(ground, f"D-2026-{20 + place:03}", by, words if by == "holder" else ""), days))
    note = {"kind": "hearing", "text": "The holder came with the card. Compared with the file: the same."}
    call.write(f"/v1/disputes/{aged[0][0]}/notes", note)
    upheld = open_one("not_lost", "D-2026-027", statement="I found it again.")
    offices.supervisor.connection.write(
        f"/v1/disputes/{upheld}/decide", {"decision": "upheld", "reason": "It was lost; a found card is lifted at a desk."}
    )
    listed = maker.report(maker.utopian("ID"), "stolen", "in_person")
    desks.bank.connection.write(
        "/v1/disputes/raise", {"document": listed, "ground": "wrong_data", "case": "FB-99", "by": "self"}
    )
    with connect(conninfo, patient=True) as db:
        for dispute, days in aged:
            db.execute(
                "UPDATE dispute SET opened_at_us = opened_at_us - %s, due_at_us = due_at_us - %s WHERE id = %s",
                (days * DAY_US, days * DAY_US, dispute),
            )
