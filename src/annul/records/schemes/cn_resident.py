"""Resident identity card of the People's Republic of China, second generation.

The citizen number (GB 11643-1999) is for life: division code of 6 digits, date of birth, sequence of 3 digits, check
character by ISO 7064 MOD 11-2. The card is the number with the start of its validity, so one number has several cards.
Also covered: residence permits of residents from Hong Kong, Macao and Taiwan (810000, 820000, 830000) and the permanent
residence card of foreigners since 2023 (9, place of issue, nationality), which use the same form.

A number whose province exists but whose county is in no list known here is a number like any other: lists lag behind, and a
check, a report or an enrolment must not stop for that. `remarks_of` tells it.

Source: GB 11643-1999; GB/T 2260 by years (`divisions`); ISO 7064.
"""

# ruff: noqa: ARG002 - a scheme has every argument of its protocol
from __future__ import annotations

import datetime
import re
import struct
from collections.abc import Iterator

from annul.errors import BadInput, MalformedNumber
from annul.records.divisions import PROVINCES, years
from annul.records.scheme import (
    Document,
    DocumentFields,
    Kind,
    Scheme,
    Typed,
    day_of,
    malformed,
    plain,
    refuse_fields,
    validity,
)
from annul.times import DAY_US, now_us

AGE_MAX_YEARS = 130
"""No holder is older; the oldest human known reached 122 years."""
FOREIGNER_MARK = "9"
"""First digit of the number of a foreigner's permanent residence card."""

_PACK = struct.Struct(">QI3x")
_DAY_BIAS = 1 << 24
"""Added to a start of validity, so that it is positive and 0 stands for "not included"."""
_EPOCH = datetime.date(1970, 1, 1).toordinal()
_AGE_MAX_DAYS = AGE_MAX_YEARS * 365.25
_CHECK = "10X98765432"
_REREAD = "Read all 18 characters again from the card."
_SPOT = re.compile(r"(?=([1-9][0-9]{16}[0-9X]))|(?<![0-9])([1-9][0-9]{14})(?![0-9])")
"""What may be a number, wherever in a run of digits it begins; or an old one, which has no check character."""
_fromisoformat = datetime.date.fromisoformat


def remarks_of(number: str) -> tuple[str, ...]:
    """Return what is odd about a citizen number and no fault: `division_unknown` when no list has its first six digits."""
    return () if number[:6] in years() or number[0] == FOREIGNER_MARK else ("division_unknown",)


def check_character(body: str) -> str:
    """Return the check character of the first 17 digits (ISO 7064 MOD 11-2)."""
    from stdnum.cn import ric  # its package loads sockets and TLS: an edge that starts should not wait for them

    return ric.calc_check_digit(body + "0")


class CnResident(Scheme):
    """Scheme `cn-resident`: fields number, valid_from (the discriminator), valid_until."""

    name = "cn-resident"
    code = 1
    discriminated = True
    bears_personal_number = True
    keeping_is_forbidden = True  # Source: Resident Identity Card Law of China, article 15
    kinds = (
        Kind("cn-resident", "Resident identity card", "Resident identity card (China)", "18 characters, the citizen number"),
    )

    def parse(self, fields: DocumentFields, today_day: int) -> Document:
        """See `Scheme.parse`."""
        text = fields.number
        if text is None:
            raise BadInput("The citizen number is missing.", where="/document/number", mend="Give number.")
        if fields.series is not None or fields.mrz is not None or fields.issuer is not None or fields.kind is not None:
            refuse_fields(fields, "series", "mrz", "issuer", "kind")
        text, born = self.read_number(text, today_day)
        start: int | None
        end: int | None
        if fields.valid_until is None:
            start = None if fields.valid_from is None else day_of(fields.valid_from, "/document/valid_from")
            end = None
        else:
            start, end = validity(fields)
        if start is not None and start < born:
            raise BadInput(
                "The card would be valid from before its holder's birth.",
                where="/document/valid_from",
                mend="Compare the start of validity with the back of the card.",
            )
        return Document("cn-resident", "CN", "resident", text, start, end)

    def read_number(self, text: str, today_day: int) -> tuple[str, int]:
        """Return a citizen number in normal form, and its date of birth as days since 1970-01-01.

        Raises:
            MalformedNumber: it cannot be one.
        """
        body = text[:17]
        # 2 is 13 modulo 11, so the weights 2^17 … 2 of MOD 11-2 are the digits' places in base 13 (as in python-stdnum).
        if not (
            len(text) == 18
            and body.isascii()
            and body.isdigit()
            and text[17] == _CHECK[2 * int(body, 13) % 11]
            and (text[:2] in PROVINCES or text[0] == FOREIGNER_MARK)
        ):
            text = self._normal(text)
        try:
            born = _fromisoformat(text[6:14]).toordinal() - _EPOCH
        except ValueError:
            raise malformed("The date of birth inside the number is no date.", _REREAD) from None
        if born > today_day:
            raise malformed("The date of birth inside the number lies in the future.", _REREAD)
        if today_day - born > _AGE_MAX_DAYS:
            raise malformed(f"By its number the holder would be over {AGE_MAX_YEARS} years old.", _REREAD)
        return text, born

    def _normal(self, text: str) -> str:
        """Return the normal form of a number that is not in it yet, or say precisely what is wrong."""
        number = plain(text, "/document/number")
        if len(number) == 15 and number.isdigit():
            raise malformed(
                "This is the old number of 15 digits.", "Enter the number of 18 characters from the second-generation card."
            )
        if len(number) != 18:
            raise malformed("A citizen number has 18 characters.", _REREAD)
        if not (number.isascii() and number[:17].isdigit() and number[17] in _CHECK):
            raise malformed("A citizen number has 17 digits and then a digit or X.", _REREAD)
        if number[17] != _CHECK[2 * int(number[:17], 13) % 11]:
            raise malformed("The check character does not fit: at least one character was misread.", _REREAD)
        if number[:2] not in PROVINCES and number[0] != FOREIGNER_MARK:
            raise malformed("The number does not begin with the code of a province.", _REREAD)
        return number

    def coverage_name(self, document: Document) -> str:
        """See `Scheme.coverage_name`."""
        return "cn-resident"

    def pack(self, document: Document, *, discriminator: bool) -> bytes | None:
        """See `Scheme.pack`: 17 digits as u64, start of validity biased as u32, 3 zeros. The check follows from the digits."""
        start = document.valid_from_day
        return _PACK.pack(int(document.number[:17]), start + _DAY_BIAS if discriminator and start is not None else 0)

    def pack_number(self, number: str) -> bytes:
        """Return `pack` of a number alone, without what tells its cards apart."""
        return _PACK.pack(int(number[:17]), 0)

    def fits(self, number: str) -> bool:
        """See `Scheme.fits`: also a number with a character too few or too many, which is then refused by its form."""
        return re.fullmatch(r"\d{14,19}[Xx]?", number) is not None

    def spots(self, text: str) -> Iterator[tuple[int, int]]:
        """See `Scheme.spots`: also old numbers of 15 digits, whose division and date of birth are such."""
        for found in _SPOT.finditer(text):
            number, old = found.groups()
            if number is not None:
                try:
                    self.read_number(number, now_us() // DAY_US + 1)
                except MalformedNumber:
                    continue
            elif old[:6] not in years() or not _is_date(f"19{old[6:12]}"):
                continue
            begin = found.start()
            yield begin, begin + len(number or old)

    def printed(self, number: str) -> str:
        """See `Scheme.printed`: place, birth, sequence and check character."""
        return f"{number[:6]} {number[6:14]} {number[14:]}" if len(number) == 18 else super().printed(number)

    def fields_of_typed(self, typed: Typed) -> DocumentFields:
        """See `Scheme.fields_of_typed`."""
        return DocumentFields(self.name, typed.bare, valid_from=typed.valid_from or None, valid_until=typed.valid_until or None)

    def of_holder(self, personal_number: str, valid_from_day: int | None, valid_until_day: int | None) -> Document:
        """See `Scheme.of_holder`."""
        return Document(self.name, "CN", "resident", personal_number, valid_from_day, valid_until_day)


def _is_date(text: str) -> bool:
    try:
        _fromisoformat(text)
    except ValueError:
        return False
    return True


CN_RESIDENT = SCHEME = CnResident()
