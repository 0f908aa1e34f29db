"""What every kind of document has in common: the fields it is given in, its normal form, and how a scheme is written.

To add a scheme: write one file in `schemes/` with a class that fulfils `Scheme` and its one instance `SCHEME`, and give it a
code nobody has (1 to 31): receipts, forms, the command line and the words of pages take it up from there. Its `pack` must be
injective: two documents never give the same bytes. `scripts/words.py` asks for the translations of its words.
"""

# ruff: noqa: ARG002 - a scheme has every argument of its protocol
from __future__ import annotations

import datetime
import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Annotated, Literal, NamedTuple, Protocol

import msgspec

from annul.errors import BadInput, MalformedNumber, TooLarge
from annul.times import LONG_TERM_DAY

FIELD_MAX = 100
"""Characters in one field; the longest number of a known scheme has 22."""
FROM_YEAR_MIN = 1900
"""Earliest year of a start of validity: no document older than this is in use."""

ZONE_SCHEME = "icao-9303"
"""Scheme that reads zones; the document a zone names may be of another."""

Short = Annotated[str, msgspec.Meta(max_length=FIELD_MAX)]
Lines = Annotated[list[Short], msgspec.Meta(max_length=3)]


class DocumentFields(msgspec.Struct, forbid_unknown_fields=True):
    """A document as it comes over the wire. Which fields are needed depends on the scheme.

    Dates are YYYY-MM-DD; also 20161006 and, as printed on Chinese cards, 2016.10.06. `valid_until` may be "long-term".
    A zone alone (`mrz`) is enough, whatever scheme its document belongs to.

    Args:
        scheme: rules of the kind of document: `cn-resident`, `icao-9303`, `ru-internal`, `generic`.
        number: number of the document; needed unless `mrz` is given.
        issuer: who issued the document: a state of three letters, or the short name agreed with the register.
        kind: kind of document, as the scheme names it.
        series: series of the document, where the scheme has one.
        mrz: lines of the machine-readable zone, in place of the other fields.
        valid_from: first day of validity, YYYY-MM-DD.
        valid_until: last day of validity, YYYY-MM-DD, or `long-term`.
    """

    scheme: Short = ""
    number: Short | None = None
    issuer: Short | None = None
    kind: Short | None = None
    series: Short | None = None
    mrz: Lines | None = None
    valid_from: Short | None = None
    valid_until: Short | None = None

    def __post_init__(self) -> None:
        if not self.scheme and self.mrz is not None:
            self.scheme = ZONE_SCHEME

    def __repr__(self) -> str:
        return f"DocumentFields(scheme={self.scheme!r}, …)"


class Document(msgspec.Struct, frozen=True):
    """The identity of one document in its normal form. Made by `parse_document` only.

    Attributes:
        scheme: name of the scheme.
        issuer, kind: who issued it and what it is, as the scheme writes them.
        number: normal form of the number, without blanks and fillers.
        valid_from_day: start of validity, days since 1970-01-01; None when not given.
        valid_until_day: last day of validity; None when not given, LONG_TERM_DAY when there is none.
    """

    scheme: str
    issuer: str
    kind: str
    number: str
    valid_from_day: int | None = None
    valid_until_day: int | None = None

    @property
    def coverage_name(self) -> str:
        """Name under which the register says what it covers, for instance "icao-9303/UTO/ID"."""
        return SCHEMES[self.scheme].coverage_name(self)

    @property
    def discriminated(self) -> bool:
        """True when documents of one number are told apart by a discriminator (the start of validity)."""
        return SCHEMES[self.scheme].discriminated

    @property
    def bears_personal_number(self) -> bool:
        """True when the number of such a document is its holder's personal number."""
        return SCHEMES[self.scheme].bears_personal_number

    @property
    def has_discriminator(self) -> bool:
        """True when the discriminator was given. Without meaning for schemes that have none."""
        return self.valid_from_day is not None

    def __repr__(self) -> str:
        return f"Document({self.coverage_name}, …)"


class Kind(NamedTuple):
    """One kind of document as people know it.

    Attributes:
        name: the scheme, and where it has several kinds a slash and the kind: "icao-9303/P".
        words: what it is called.
        choice: what it is called in a list of all kinds to choose from; "" when it is none to choose.
        hint: where its number stands and what it is like, in its holder's words; "" when its loss cannot be reported without
            login.
        shape: how it is drawn.
    """

    name: str
    words: str
    choice: str = ""
    hint: str = ""
    shape: Literal["book", "card", "sheet"] = "card"


class Typed(NamedTuple):
    """What somebody typed into a form of pages. Texts are "" where nothing was typed.

    Attributes:
        number: as typed, with any blanks and dashes.
        kind: the kind chosen, by its name.
        issuer: three letters of who issued it.
        valid_from, valid_until: YYYY-MM-DD.
    """

    number: str
    kind: str
    issuer: str = ""
    valid_from: str = ""
    valid_until: str = ""

    @property
    def bare(self) -> str:
        """The number without blanks and dashes."""
        return re.sub(r"[\s-]", "", self.number)


class Scheme(Protocol):
    """The rules of one kind of document. What has a body here is what most schemes do; a scheme may do otherwise."""

    bears_personal_number: bool = False
    """Whether the number of such a document is its holder's personal number."""
    keeping_is_forbidden: bool = False
    """Whether the law of its issuer forbids everybody to keep another's document: then no step speaks of it (A6)."""
    kinds: tuple[Kind, ...] = ()
    """The kinds of document it has, with their words; the last one stands for every kind that is not named."""

    @property
    def name(self) -> str:
        """The scheme's name on the wire."""

    @property
    def code(self) -> int:
        """Number of the scheme in blocks and receipts, 1 to 31, never reused."""

    @property
    def discriminated(self) -> bool:
        """Whether one number may have several documents that are told apart by their start of validity."""

    def parse(self, fields: DocumentFields, today_day: int) -> Document:
        """Bring the fields into normal form and check everything that can be checked without a register.

        Raises:
            MalformedNumber: the number cannot be one of this scheme.
            BadInput: a field is missing, superfluous or no date.
        """

    def coverage_name(self, document: Document) -> str:
        """Return the name under which coverage is stated."""

    def pack(self, document: Document, *, discriminator: bool) -> bytes | None:
        """Return the identity in exactly 15 bytes, injectively, or None when it does not fit and is to be hashed.

        Args:
            discriminator: include the start of validity (given, when the scheme is discriminated).
        """

    def kind_of(self, kind: str) -> Kind:
        """Return the words for a kind as documents of this scheme write it ("P")."""
        return next((known for known in self.kinds if known.name == f"{self.name}/{kind}"), self.kinds[-1])

    def fits(self, number: str) -> bool:
        """Tell whether a number, typed without saying of what kind, looks like one of this scheme."""
        return False

    def spots(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield where numbers of this scheme stand in a text, as (begin, end), where their own check says so.

        A number without a check digit cannot be told from a file number, and is not found.

        Args:
            text: as `annul.records.references` folds it: capitals, ASCII digits and `<` without blanks and dashes between them.
        """
        return iter(())

    def printed(self, number: str) -> str:
        """Return a number grouped as it is printed: by four, when it is long."""
        return number if len(number) <= 9 else " ".join(number[at : at + 4] for at in range(0, len(number), 4))

    def fields_of_typed(self, typed: Typed) -> DocumentFields:
        """Return the fields of what was typed into a form.

        Raises:
            BadInput: something that this scheme needs was not typed.
        """
        return DocumentFields(self.name, typed.bare)

    def fields_of_row(self, coverage: str, kind: str, number: str) -> DocumentFields:
        """Return the fields that name a document again.

        Args:
            coverage: its `coverage_name`.
            kind: its kind, as its `Document` has it.
            number: its number in normal form, or that of its like.
        """
        return DocumentFields(self.name, number)

    def of_holder(self, personal_number: str, valid_from_day: int | None, valid_until_day: int | None) -> Document | None:
        """Return the document of a person of which only the validity is known; None where a number of its own is needed."""
        return None


SCHEMES: dict[str, Scheme] = {}
"""All schemes by name; filled by `annul.records.schemes`."""
SCHEME_OF_CODE: dict[int, Scheme] = {}


def register_scheme(scheme: Scheme) -> None:
    """Make a scheme known. ValueError when its name or code is taken."""
    if scheme.name in SCHEMES or scheme.code in SCHEME_OF_CODE or not 1 <= scheme.code <= 31:
        raise ValueError(f"the name or code of scheme {scheme.name} is taken or out of range")
    SCHEMES[scheme.name] = scheme
    SCHEME_OF_CODE[scheme.code] = scheme


_DASHES = frozenset("-‐‑‒–—―−﹘﹣-_­·.")


def plain(text: str, where: str) -> str:
    """Return text with ASCII digits, capital letters, and without blanks, dashes, dots and invisible characters.

    Full-width and other compatibility forms are folded (NFKC); decimal digits of every script become 0 to 9.

    Raises:
        TooLarge: longer than FIELD_MAX.
    """
    if len(text) > FIELD_MAX:
        raise TooLarge(f"The field is longer than {FIELD_MAX} characters.", where=where, mend="Enter the number only.")
    if text.isascii() and text.isalnum():
        return text.upper()
    out = []
    for character in unicodedata.normalize("NFKC", text):
        if character in _DASHES or character.isspace():
            continue
        category = unicodedata.category(character)
        if category == "Cf":
            continue
        out.append(str(unicodedata.decimal(character)) if category == "Nd" else character.upper())
    return "".join(out)


def required(value: str | None, where: str, what: str) -> str:
    """Return a field that must be there and not empty; BadInput says what is missing."""
    if value is None or not value.strip():
        raise BadInput(f"{what} is missing.", where=where, mend=f"Give {where.rsplit('/', 1)[-1]}.")
    return value


def refuse_fields(fields: DocumentFields, *names: str) -> None:
    """Refuse fields that this scheme does not have, so that no part of a question is silently ignored."""
    for name in names:
        if getattr(fields, name) is not None:
            raise BadInput(
                f"Documents of scheme {fields.scheme} have no {name}.", where=f"/document/{name}", mend="Leave it out."
            )


_EPOCH = datetime.date(1970, 1, 1).toordinal()
_LONG_TERM_WORDS = frozenset({"LONGTERM", "长期", "99991231"})
_fromisoformat = datetime.date.fromisoformat

DAYS_REMEMBERED = 32_768
"""Dates whose day is remembered: some ninety years of them, about 4 MB."""


@lru_cache(maxsize=DAYS_REMEMBERED)
def _iso_day(text: str) -> int:
    return _fromisoformat(text).toordinal() - _EPOCH


def day_of(text: str, where: str) -> int:
    """Return the day (days since 1970-01-01) of a date in one of the accepted forms.

    Raises:
        BadInput: it is no date, or before FROM_YEAR_MIN or after 2149-06-05.
    """
    try:
        if len(text) == 10 and text[4] == "-" and text[7] == "-" and text.isascii():
            day = _iso_day(text)
        else:
            digits = plain(text, where)
            if len(digits) != 8 or not digits.isdigit():
                raise ValueError
            day = _fromisoformat(digits).toordinal() - _EPOCH
    except ValueError:
        raise BadInput("This is not a date.", where=where, mend="Write dates as YYYY-MM-DD.") from None
    if not _FIRST_DAY <= day < LONG_TERM_DAY:
        raise BadInput(
            "The date is outside the years a document can have.", where=where, mend="Compare the year with the document."
        )
    return day


_FIRST_DAY = datetime.date(FROM_YEAR_MIN, 1, 1).toordinal() - _EPOCH


def validity(fields: DocumentFields) -> tuple[int | None, int | None]:
    """Return start and end of validity as days; LONG_TERM_DAY for an end that is not there.

    Raises:
        BadInput: no dates, or the end is not after the start.
    """
    start = end = None
    if fields.valid_from is not None:
        start = day_of(fields.valid_from, "/document/valid_from")
    if fields.valid_until is not None:
        text = fields.valid_until
        dated = len(text) == 10 and text[4] == "-" and text[:4] != "9999"
        if not dated and plain(text, "/document/valid_until") in _LONG_TERM_WORDS:
            end = LONG_TERM_DAY
        else:
            end = day_of(text, "/document/valid_until")
            if end < 1:
                raise BadInput(
                    "The document ended before 1970.", where="/document/valid_until", mend="Compare it with the document."
                )
        if start is not None and end <= start:
            raise BadInput(
                "The end of validity is not after its start.",
                where="/document/valid_until",
                mend="Compare both dates with the document.",
            )
    return start, end


def malformed(message: str, mend: str, where: str = "/document/number") -> MalformedNumber:
    """Return the error for a number that cannot be one of its scheme. The texts never hold its digits."""
    return MalformedNumber(message, where=where, mend=mend)
