"""Travel documents and identity cards after ICAO Doc 9303, from the zone or field by field; and zones of every form.

A zone names its document by its form (`annul.records.forms`). Where that belongs to another scheme (an internal passport of
Russia to `ru-internal`), the document is that scheme's: so a report by fields meets a check by zone.

A document is its issuing state, its class and its number. The class is what the first letter of the document code says
(`P` passport, `ID` for codes with I, `A`, `C`, and `AC` crew member certificate): the second letter is at the discretion
of the issuer and does not tell two documents of one number apart.

Source: ICAO Doc 9303-3 section 4, 9303-4, 9303-5, 9303-6.
"""

# ruff: noqa: ARG002 - a scheme has every argument of its protocol
from __future__ import annotations

import datetime
import re
from collections.abc import Iterator

from annul.errors import BadInput
from annul.records.scheme import (
    SCHEMES,
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
from annul.records.states import is_state, state_of
from annul.times import LONG_TERM_DAY

KINDS = ("P", "ID", "A", "C", "AC")
"""Classes of documents; the place in this list, from 1, stands in the block."""
NUMBER_MAX = 22
"""Longest document number: 9 characters, and 13 in the optional data of a TD1 card (Doc 9303-5, note j)."""
PACKED_MAX = 18
"""Longest number that fits into a block: 18 digits of base 37 are less than 2^96."""

_EPOCH = datetime.date(1970, 1, 1).toordinal()
_fromisoformat = datetime.date.fromisoformat
_BASE37 = {character: value for value, character in enumerate("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", 1)}
_REREAD = "Read it again from the document, character by character."
_SPOT = re.compile(
    r"(?=(?P<book>(?P<a>[A-Z0-9<]{9})(?P<da>\d)[A-Z<]{3}(?P<b>\d{6})(?P<db>\d)[MFX<](?P<c>\d{6})(?P<dc>\d)))"
    r"|(?=(?P<card>[ACI][A-Z<](?P<state>[A-Z<]{3})(?P<d>[A-Z0-9<]{9})(?P<dd>\d)))"
    r"|(?=(?P<dates>(?P<e>\d{6})(?P<de>\d)[MFX<](?P<f>\d{6})(?P<df>\d)[A-Z<]{3}))"
)
"""Lines of zones as far as check digits guard them: the second of passports and cards of two lines, two of cards of three."""


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
        return self._of_zone(fields, start, end, today_day)

    def _of_zone(self, fields: DocumentFields, start: int | None, end: int | None, today_day: int) -> Document:
        """Return the document a zone names, which may be of another scheme; other fields must agree with it."""
        from annul.records.mrz import LONG_TERM, ZoneMalformed, parse, split_lines  # nothing but a zone needs its forms

        zone = parse(split_lines("\n".join(fields.mrz or ())), datetime.date.fromordinal(today_day + _EPOCH))
        if zone.is_visa:
            raise ZoneMalformed(
                "This is the zone of a visa.", where="/document/mrz", mend="Read the zone of the passport or card itself."
            )
        named = zone.document()
        if named.scheme != self.name:
            for name in ("issuer", "kind", "number", "valid_until"):
                given, printed = getattr(fields, name), getattr(named, name) or getattr(zone, name, None)
                if given is not None and given != printed:
                    raise _differs(name)
            return SCHEMES[named.scheme].parse(named, today_day)
        issuer, kind, number = zone.issuer, kind_of(zone.kind), zone.number
        if fields.issuer is not None and issuer_of(fields.issuer) != issuer:
            raise _differs("issuer")
        if fields.kind is not None and kind_of(fields.kind) != kind:
            raise _differs("kind")
        if fields.number is not None and _number(fields.number) != number:
            raise _differs("number")
        if zone.expiry:
            printed_end = LONG_TERM_DAY if zone.expiry == LONG_TERM else _fromisoformat(zone.expiry).toordinal() - _EPOCH
            if end is not None and end != printed_end:
                raise BadInput(
                    "The zone and the field valid_until say different dates.",
                    where="/document/valid_until",
                    mend="Leave valid_until out: the zone carries it.",
                )
            end = printed_end
        return Document("icao-9303", issuer, kind, number, start, end)

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

    def spots(self, text: str) -> Iterator[tuple[int, int]]:
        """See `Scheme.spots`: lines of a zone. A number alone has no check digit."""
        from annul.records.mrz import check_digit

        for found in _SPOT.finditer(text):
            said = found.groupdict()
            guarded = [name for name in "abcdef" if said[name] is not None]
            if any(check_digit(said[name]) != said[f"d{name}"] for name in guarded):
                continue
            if said["card"] is not None and not is_state(said["state"].rstrip("<")):
                continue
            begin = found.start()
            yield begin, begin + len(said["book"] or said["card"] or said["dates"])

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


def _differs(name: str) -> BadInput:
    return BadInput(
        f"The zone and the field {name} name different documents.",
        where=f"/document/{name}",
        mend="Send the zone alone, or the fields alone.",
    )


def issuer_of(text: str) -> str:
    """Return the normal form of an issuing state's code: one to three letters, fillers removed, D for DEU."""
    issuer = plain(text, "/document/issuer").rstrip("<")
    if not is_state(issuer):
        raise BadInput(
            "This is not the code of an issuing state.",
            where="/document/issuer",
            mend="Use the code of three letters from the document (D for Germany).",
        )
    return state_of(issuer)


def kind_of(text: str) -> str:
    """Return the class of a document code: one of KINDS."""
    code = plain(text, "/document/kind").rstrip("<")
    if code == "AC":
        return "AC"
    if 1 <= len(code) <= 2 and code.isascii() and code.isalnum():  # the second character is the issuer's: C1 and C2 are USA's
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
