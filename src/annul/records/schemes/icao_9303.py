"""Travel documents and identity cards after ICAO Doc 9303: TD1, TD2 and TD3, from the zone or field by field.

A document is its issuing state, its class and its number. The class is what the first letter of the document code says
(`P` passport, `ID` for codes with I, `A`, `C`, and `AC` crew member certificate): the second letter is at the discretion
of the issuer and does not tell two documents of one number apart.

Source: ICAO Doc 9303-3 section 4, 9303-4, 9303-5, 9303-6.
"""

# ruff: noqa: ARG002 - a scheme has every argument of its protocol
from __future__ import annotations

import datetime

from annul.errors import BadInput
from annul.records.mrz import Mrz, ZoneMalformed, parse, split_lines
from annul.records.scheme import (
    Document,
    DocumentFields,
    Kind,
    Scheme,
    Typed,
    malformed,
    plain,
    refuse_fields,
    required,
    validity,
)
from annul.records.states import is_state

KINDS = ("P", "ID", "A", "C", "AC")
"""Classes of documents; the place in this list, from 1, stands in the block."""
NUMBER_MAX = 22
"""Longest document number: 9 characters, and 13 in the optional data of a TD1 card (Doc 9303-5, note j)."""
PACKED_MAX = 18
"""Longest number that fits into a block: 18 digits of base 37 are less than 2^96."""

_EPOCH = datetime.date(1970, 1, 1).toordinal()
_BASE37 = {character: value for value, character in enumerate("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", 1)}
_REREAD = "Read it again from the document, character by character."


class Icao9303(Scheme):
    """Scheme `icao-9303`: fields mrz; or issuer, kind and number."""

    name = "icao-9303"
    code = 2
    discriminated = False
    kinds = (
        Kind("icao-9303/P", "Passport", "Passport", "the number on the page with your picture", "book"),
        Kind("icao-9303/V", "Visa", shape="sheet"),
        Kind(
            "icao-9303/ID", "Identity card", "Identity card with lines at its foot", "with three lines of letters on its back"
        ),
    )

    def parse(self, fields: DocumentFields, today_day: int) -> Document:
        """See `Scheme.parse`. With both forms given, they must name the same document."""
        refuse_fields(fields, "series")
        start, end = validity(fields)
        if fields.mrz is None:
            issuer = issuer_of(required(fields.issuer, "/document/issuer", "The issuing state"))
            kind = kind_of(required(fields.kind, "/document/kind", "The kind"))
            number = _number(required(fields.number, "/document/number", "The number"))
            return Document("icao-9303", issuer, kind, number, start, end)
        document, zone = document_of_zone(fields.mrz, today_day)
        for name, given, printed in (
            ("issuer", None if fields.issuer is None else issuer_of(fields.issuer), document.issuer),
            ("kind", None if fields.kind is None else kind_of(fields.kind), document.kind),
            ("number", None if fields.number is None else _number(fields.number), document.number),
        ):
            if given is not None and given != printed:
                raise BadInput(
                    f"The zone and the field {name} name different documents.",
                    where=f"/document/{name}",
                    mend="Send the zone alone, or the fields alone.",
                )
        if zone.expiry:
            printed_end = datetime.date.fromisoformat(zone.expiry).toordinal() - _EPOCH
            if end is not None and end != printed_end:
                raise BadInput(
                    "The zone and the field valid_until say different dates.",
                    where="/document/valid_until",
                    mend="Leave valid_until out: the zone carries it.",
                )
            end = printed_end
        return Document("icao-9303", document.issuer, document.kind, document.number, start, end)

    def coverage_name(self, document: Document) -> str:
        """See `Scheme.coverage_name`."""
        return f"icao-9303/{document.issuer}/{document.kind}"

    def pack(self, document: Document, *, discriminator: bool) -> bytes | None:
        """See `Scheme.pack`: class u8, issuer in base 37 as u16, number in base 37 as u96."""
        number = document.number
        if len(number) > PACKED_MAX:
            return None
        issuer = packed = 0
        for character in document.issuer:
            issuer = issuer * 37 + _BASE37[character]
        for character in number:
            packed = packed * 37 + _BASE37[character]
        return ((KINDS.index(document.kind) + 1) << 112 | issuer << 96 | packed).to_bytes(15, "big")

    def printed(self, number: str) -> str:
        """See `Scheme.printed`: in one piece."""
        return number

    def fields_of_typed(self, typed: Typed) -> DocumentFields:
        """See `Scheme.fields_of_typed`."""
        issuer = typed.issuer.strip().upper()
        if not issuer:
            raise BadInput("Say who issued the document: three letters.", where="/document/issuer")
        return DocumentFields(self.name, typed.bare, issuer=issuer, kind=typed.kind.rpartition("/")[2])

    def fields_of_row(self, coverage: str, kind: str, number: str) -> DocumentFields:
        """See `Scheme.fields_of_row`."""
        return DocumentFields(self.name, number, issuer=coverage.split("/")[1], kind=kind)


def document_of_zone(lines: list[str], today_day: int) -> tuple[Document, Mrz]:
    """Return the document a zone names, with the whole zone.

    Raises:
        ZoneMalformed: the zone breaks a rule of Doc 9303, or is of a visa.
    """
    zone = parse(split_lines("\n".join(lines)), datetime.date.fromordinal(today_day + _EPOCH))
    if zone.is_visa:
        raise ZoneMalformed(
            "This is the zone of a visa.", where="/document/mrz", mend="Read the zone of the passport or card itself."
        )
    return Document("icao-9303", zone.issuer, kind_of(zone.kind), zone.number), zone


def issuer_of(text: str) -> str:
    """Return the normal form of an issuing state's code: one to three letters, fillers removed."""
    issuer = plain(text, "/document/issuer").rstrip("<")
    if not is_state(issuer):
        raise BadInput(
            "This is not the code of an issuing state.",
            where="/document/issuer",
            mend="Use the code of three letters from the document (D for Germany).",
        )
    return issuer


def kind_of(text: str) -> str:
    """Return the class of a document code: one of KINDS."""
    code = plain(text, "/document/kind").rstrip("<")
    if code == "AC":
        return "AC"
    if 1 <= len(code) <= 2 and code.isascii() and code.isalpha():
        if code[0] == "I":
            return "ID"
        if code[0] in "PAC":
            return code[0]
    raise BadInput(
        "This is not a kind of travel document or card.",
        where="/document/kind",
        mend=f"Use the document code of the zone, or one of {', '.join(KINDS)}.",
    )


def _number(text: str) -> str:
    number = plain(text, "/document/number").replace("<", "")
    if not (1 <= len(number) <= NUMBER_MAX and number.isascii() and number.isalnum()):
        raise malformed(f"A document number has 1 to {NUMBER_MAX} characters of A to Z and 0 to 9.", _REREAD)
    return number


ICAO_9303 = SCHEME = Icao9303()
