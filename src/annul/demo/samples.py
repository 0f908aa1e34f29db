"""Hand-picked documents, one for every status code, made and kept right through the API itself.

Every sample belongs to a person of its own with order number 999, which the generator never gives. Nothing here knows what
the register will answer: after it was made a sample is asked, and only an answer with its code makes it a sample.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from annul.client import Client
from annul.demo import numbers
from annul.errors import AnnulError
from annul.records.codes import StatusCode
from annul.records.meanings import STATUS, Sample
from annul.records.status import Event, Proof

DIVISION: Final = 110101
"""Dongcheng, Beijing: in force for every birth year."""
PURPOSE: Final = "account-opening"
TRY: Final = "try"
"""The document of the commands to try: current until somebody reports it."""

Fields = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Desks:
    """Who makes the samples and who asks about them, all in one realm."""

    bank: Client
    issuer: Client
    police: Client


class Maker:
    """Make new documents; `birth` counts days from 1980-01-01 and gives each sample a person of its own."""

    def __init__(self, desks: Desks, birth: int) -> None:
        self.desks = desks
        self.birth = birth

    def number(self) -> str:
        """Return a personal number nobody has."""
        day = 3652 + self.birth
        self.birth += 1
        made = numbers.personal_numbers(np.array([DIVISION]), np.array([day]), np.array([numbers.ORDER_MAX]))
        return bytes(made[0]).decode()

    def booklet_number(self) -> str:
        """Return a document number of UTO that nobody has: Q and eight digits."""
        self.birth += 1
        return f"Q{self.birth:08d}"

    def card(self, since: str = "2016-10-06", until: str = "2036-10-06", number: str | None = None) -> Fields:
        """Issue a resident card."""
        fields = {"scheme": "cn-resident", "number": number or self.number(), "valid_from": since, "valid_until": until}
        self.feed("issue", fields)
        return fields

    def utopian(self, kind: str) -> Fields:
        """Issue a passport (P) or identity card (ID) of UTO."""
        fields = {"scheme": "icao-9303", "issuer": "UTO", "kind": kind, "number": self.booklet_number()}
        self.feed("issue", fields)
        return fields

    def feed(self, event: str, document: Fields, **more: Any) -> None:
        """Send one event of the issuer's feed."""
        self.desks.issuer.connection.write("/v1/documents", {"event": event, "document": document} | more)

    def report(self, document: Fields, kind: str, proof: str) -> Fields:
        """Report a document at the police desk."""
        self.desks.police.report(document, kind, proof=proof)
        return document


def _by_events(sample: Sample) -> Callable[[Maker], Fields]:
    """Return what makes a resident card to which the events of a sample happen."""

    def make(maker: Maker) -> Fields:
        card = maker.card()
        for event in sample.events:
            if event in (Event.report_lost, Event.report_stolen):
                proof = (sample.proof or Proof.in_person).value
                maker.report(card, event.value.removeprefix("report_"), proof)
            else:
                word = _FEED_WORDS.get(event, event.value)
                name, _bar, reason = word.partition("_") if word.startswith(("cancel_", "revoke_")) else (word, "", "")
                more = ({"reason": reason} if reason else {}) | ({"proof": sample.proof.value} if sample.proof else {})
                maker.feed(name, card, evidence=sample.evidence, **more)
        return card

    return make


_FEED_WORDS: Final = {Event.owner_lock: "lock", Event.owner_unlock: "unlock"}
"""Events that the issuer's feed calls otherwise than the log."""


def _evidence(code: str) -> str:
    sample = STATUS[StatusCode[code]].sample
    return "" if sample is None else sample.evidence


def _superseded(maker: Maker) -> Fields:
    old = maker.card("2006-03-01", "2026-03-01")
    maker.card("2025-12-15", "2045-12-15", number=old["number"])
    return old


def _number_of_two(maker: Maker) -> Fields:
    old = _superseded(maker)
    return {"scheme": old["scheme"], "number": old["number"]}


def _of_a_dead_holder(maker: Maker) -> Fields:
    card = maker.card()
    died = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=2)
    maker.desks.issuer.connection.write(
        "/v1/persons/death", {"personal_number": card["number"], "happened_at": died.isoformat(), "evidence": "civil event"}
    )
    return card


def _revoked(maker: Maker) -> Fields:
    document = maker.utopian("ID")
    maker.feed("revoke", document, reason="fraud", evidence=_evidence("I23"))
    return document


def _stolen_blank(maker: Maker) -> Fields:
    document = {"scheme": "icao-9303", "issuer": "UTO", "kind": "P", "number": maker.booklet_number()}
    maker.feed("blank_stolen", document, evidence=_evidence("I24"))
    return document


def _wrong_date(maker: Maker) -> Fields:
    return maker.card() | {"valid_from": "2016-10-07", "valid_until": "2036-10-07"}


def _wrong_check_character(maker: Maker) -> Fields:
    card = maker.card()
    wrong = "0" if card["number"][-1] != "0" else "1"
    return card | {"number": card["number"][:-1] + wrong}


def _disputed(maker: Maker) -> Fields:
    card = maker.report(maker.card(), "lost", "in_person")
    maker.desks.issuer.connection.write("/v1/disputes", {"action": "open", "document": card, "evidence": _evidence("U34")})
    return card


MAKERS: Final[dict[str, Callable[[Maker], Fields]]] = {
    code.value: _by_events(meaning.sample) for code, meaning in STATUS.items() if meaning.sample is not None
} | {
    "S11": lambda maker: maker.report(maker.utopian("P"), "stolen", "in_person_fingerprint"),
    "I20": _superseded,
    "I21": lambda maker: maker.card("2010-06-01", "2020-06-01"),
    "I22": _of_a_dead_holder,
    "I23": _revoked,
    "I24": _stolen_blank,
    "U30": lambda _maker: {"scheme": "generic", "issuer": "UTO-LAKES", "kind": "fishing-licence", "number": "LF20417"},
    "U31": _number_of_two,
    "U32": _wrong_date,
    "U33": _wrong_check_character,
    "U34": _disputed,
}
"""How a document comes to answer each status code: by its sample, or as this country does it."""


COUNT: Final = len(MAKERS) + 1
"""Samples of one realm, the document to try included."""


def keep(
    desks: Desks, samples: dict[str, Fields], birth: int, progress: Callable[[int], None] = lambda _count: None
) -> tuple[dict[str, Fields], int]:
    """Ask about every sample, and make anew what is missing or answers otherwise (a provisional report lapses, say).

    Args:
        desks: clients of one realm.
        samples: code (or TRY) -> fields, as kept so far.
        birth: where `Maker` goes on.
        progress: called with 1 for every sample that is right.

    Returns:
        The samples, each of which has just answered its code, and the next `birth`.

    Raises:
        AnnulError: a sample does not answer its code: the register and this room disagree.
    """
    maker = Maker(desks, birth)
    kept: dict[str, Fields] = {}
    for name in (*MAKERS, TRY):
        wanted = "V00" if name == TRY else name
        fields = samples.get(name)
        if fields is None or _code(desks.bank, fields) != wanted:
            fields = MAKERS[wanted](maker)
            found = _code(desks.bank, fields)
            if found != wanted:
                raise AnnulError(f"The sample for {wanted} answers {found}.", where="samples", mend="Run `annul doctor`.")
        kept[name] = fields
        progress(1)
    return kept, maker.birth


def _code(bank: Client, fields: Fields) -> str | None:
    return bank.ask(fields, purpose=PURPOSE, channel="in_person", reference="demo").status.code
