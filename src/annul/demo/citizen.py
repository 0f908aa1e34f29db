"""People to log in as: a few holders with documents, checks on them, a report to confirm, attempts to answer.

Made through the API itself, once; a later start finds them in demo.json.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from annul.client import Client
from annul.demo.samples import Desks, Maker

Fields = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Made:
    name: str
    latin: str
    mail: str
    phone: str
    story: str


PEOPLE: Final = (
    _Made(
        "林小雨",
        "Lin Xiaoyu",
        "xiaoyu.lin@mail.example",
        "+86 10 5555 0101",
        "Her passport was stolen; somebody tried it since.",
    ),
    _Made("陈伟", "Chen Wei", "wei.chen@mail.example", "+86 10 5555 0102", "Somebody reported his card without login."),
    _Made("ليلى حداد", "Leila Haddad", "leila.haddad@mail.example", "+961 1 555 103", "She keeps her card locked."),
)


def keep(desks: Desks, telecom: Client, birth: int, known: list[dict[str, str]]) -> tuple[list[dict[str, str]], int]:
    """Make the people to log in as, unless they are there; return them for demo.json, and where the makers go on.

    Args:
        desks: clients of the live realm.
        telecom: another relying party.
        birth: where the maker of documents goes on.
        known: people of an earlier start.
    """
    if known:
        return known, birth
    maker = Maker(desks, birth)
    made = []
    for place, person in enumerate(PEOPLE):
        card = maker.card("2021-05-04", "2041-05-04")
        passport = {"scheme": "icao-9303", "issuer": "UTO", "kind": "P", "number": maker.booklet_number()}
        desks.issuer.connection.write(
            "/v1/documents", {"event": "issue", "document": passport, "person_number": card["number"]}
        )
        _register(desks, person, card["number"], passport)
        for _ in range(2):
            desks.bank.ask(card, purpose="account-servicing", branch="0421", clerk="C-17")
        telecom.ask(card, purpose="sim-registration", channel="remote")
        (_stolen, _doubted, _locked)[place](maker, telecom, card, passport)
        made.append({"name": f"{person.name} ({person.latin})", "personal_number": card["number"], "story": person.story})
    return made, maker.birth


def _register(desks: Desks, person: _Made, number: str, passport: Fields) -> None:
    record = {
        "personal_number": number,
        "names": [{"text": person.name}, {"text": person.latin, "kind": "latin"}],
        "documents": [passport],
        "contacts": [{"kind": "email", "value": person.mail}, {"kind": "phone", "value": person.phone}],
        "place": "110101",
    }
    desks.issuer.connection.write(
        "/v1/persons", {"person": record, "event": "details", "evidence": "demo: somebody to log in as"}
    )


def _stolen(maker: Maker, telecom: Client, _card: Fields, passport: Fields) -> None:
    maker.report(passport, "stolen", "in_person")
    for _ in range(2):
        telecom.ask(passport, purpose="sim-registration", channel="remote", branch="shop 7")
    maker.desks.bank.ask(passport, purpose="account-opening", branch="0421", clerk="C-17")


def _doubted(maker: Maker, _telecom: Client, card: Fields, _passport: Fields) -> None:
    maker.report(card, "lost", "phone")
    maker.desks.bank.ask(card, purpose="payment", branch="0421", clerk="C-17")


def _locked(maker: Maker, _telecom: Client, card: Fields, _passport: Fields) -> None:
    maker.feed("lock", card, proof="online_strong")
