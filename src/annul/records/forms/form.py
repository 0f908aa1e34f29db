"""What a form of machine-readable zone is: how it is recognised, where its fields stand, which check digits guard them.

A form is data. `annul.records.mrz` reads every zone by these entries and knows no form itself.

Source: ICAO Doc 9303-3 (8th edition) section 4.9 for check digits; each form names its own source.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple

from annul.errors import MalformedNumber
from annul.records.scheme import DocumentFields

if TYPE_CHECKING:
    from annul.records.mrz import Mrz

ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ<"
"""All characters of a zone; the place of a character is its value, except for the filler, which is 0."""
DIGITS: Final = ALPHABET[:10]
LETTERS: Final = ALPHABET[10:36]


class ZoneMalformed(MalformedNumber):
    """The machine-readable zone breaks a rule of its form (answer code U33)."""

    code: ClassVar[str] = "zone-malformed"


class FormUnknown(ZoneMalformed):
    """No form known here begins or is shaped like this zone (answer code U33). It may be a genuine document."""

    code: ClassVar[str] = "form-unknown"


_VALUES: Final = bytes(ALPHABET.index(chr(code)) % 36 if chr(code) in ALPHABET else 0 for code in range(256))
_FOREIGN: Final = re.compile(f"[^{ALPHABET}]")


def values_of(text: str) -> bytes:
    """Return the value of each character, 0 to 35.

    Raises:
        ZoneMalformed: a character outside A-Z, 0-9 and the filler.
    """
    if _FOREIGN.search(text):
        raise ZoneMalformed(
            "The zone has a character that no zone can have.", where="/mrz", mend="Only A to Z, 0 to 9 and < are allowed."
        )
    return text.encode("ascii").translate(_VALUES)


def digit_of(values: bytes) -> int:
    """Return the check digit over values: weights 7, 3, 1, modulus 10 (Doc 9303-3 section 4.9)."""
    return (7 * sum(values[::3]) + 3 * sum(values[1::3]) + sum(values[2::3])) % 10


class Span(NamedTuple):
    """Where a field stands: line, first column, column behind the last (all from 0)."""

    line: int
    start: int
    end: int


class Guard(NamedTuple):
    """One check digit.

    Attributes:
        name: what it guards: "number", "birth", "expiry", "optional", "count", "holder", "code", "zone".
        line, column: where the digit stands.
        spans: what it covers, in order.
        blank: a filler may stand for the digit when all it covers is empty.
    """

    name: str
    line: int
    column: int
    spans: tuple[Span, ...]
    blank: bool = False


class Names(NamedTuple):
    """The holder's names as a form gives them.

    Attributes:
        primary, secondary: as letters A to Z, words separated by one blank.
        cut: the names fill their field, so they may be cut.
        native: the name in the script of the document, where these letters spell it; else "".
        remarks: what the clerk should know about them.
    """

    primary: str
    secondary: str
    cut: bool
    native: str = ""
    remarks: tuple[str, ...] = ()


class Number(NamedTuple):
    """The document number: without fillers, and as it opens a chip."""

    plain: str
    field: str


class Century(NamedTuple):
    """A mark that says the century of a date: where it stands, and what its characters mean."""

    span: Span
    years: Mapping[str, int]


Lines = tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False, repr=False, kw_only=True)
class Form:
    """One form of machine-readable zone.

    Attributes:
        name: short name, as `annul read zone --json` prints it.
        title: what it is, in words.
        source: where the layout was taken from.
        widths: characters of each line.
        begins: what the lines must look like for the zone to be of this form: (line, pattern from the line's start).
        document: makes the fields of the document's own scheme.
        family: the form of Doc 9303 whose size and fields it has ("TD1" … "MRV-B"); its own name where it has no other's.
        body: (line, pattern) that only zones of this form have; where that fits and `begins` does not, the code is wrong.
        kind, number, names, birth, expiry, sex: places of the fields; None where the form has none, or not in one piece.
        issuer, nationality: place of the code, or the code itself where the form is of one issuer.
        optional: optional data of the issuer.
        more: where a number too long for its field goes on (Doc 9303-5 and -6, note j).
        guards: every check digit.
        starts: first letters of the document code.
        usual: codes that documents in circulation bear; another one is told as a remark, for no check digit guards it.
        read_number, read_names: for forms whose number or names do not stand in one field.
        century, expiry_century: marks that say the century of birth, of expiry.
        issued: place of the date of issue.
        native: reads the name in the document's own script; "" when it is not there or not whole.
        own_script: registers of such documents have the name in the document's own script, not in Latin letters.
        remarks: what the clerk should know of every zone of this form.
        letters: alphabets of further places, for reading a photo: (span, characters).
        photo: zones of this form are looked for in photos.
    """

    name: str
    title: str
    source: str
    widths: tuple[int, ...]
    begins: tuple[tuple[int, re.Pattern[str]], ...]
    document: Callable[[Mrz], DocumentFields]
    family: str
    body: tuple[int, re.Pattern[str]] | None = None
    kind: Span | None = None
    number: Span | None = None
    names: Span | None = None
    birth: Span | None = None
    expiry: Span | None = None
    sex: Span | None = None
    issuer: Span | str = ""
    nationality: Span | str = ""
    optional: tuple[Span, ...] = ()
    more: Span | None = None
    guards: tuple[Guard, ...] = ()
    starts: str = ""
    usual: re.Pattern[str] | None = None
    read_number: Callable[[Lines], Number] | None = None
    read_names: Callable[[Lines], Names] | None = None
    century: Century | None = None
    expiry_century: Century | None = None
    issued: Span | None = None
    native: Callable[[Lines], str] | None = None
    own_script: bool = False
    remarks: tuple[str, ...] = ()
    letters: tuple[tuple[Span, str], ...] = ()
    photo: bool = True

    def __repr__(self) -> str:
        return f"Form({self.name})"

    @property
    def lines(self) -> int:
        """Number of lines."""
        return len(self.widths)

    @property
    def columns(self) -> int:
        """Characters of its longest line."""
        return max(self.widths)

    @property
    def is_visa(self) -> bool:
        """A visa says nothing about the travel document it stands in."""
        return self.family.startswith("MRV")

    def recognises(self, lines: Lines) -> bool:
        """Tell whether lines of this form's size begin as its zones do."""
        return all(pattern.match(lines[line]) for line, pattern in self.begins)


def must(holds: bool, what: str, span: Span, rule: str) -> None:
    """Refuse a zone whose field breaks a rule.

    Raises:
        ZoneMalformed: `holds` is false; the message names the field and the rule, never the value.
    """
    if not holds:
        raise broken(what, span, rule)


def broken(what: str, span: Span, rule: str) -> ZoneMalformed:
    """Return the error for a field that breaks a rule."""
    return ZoneMalformed(
        f"The zone's {what} is wrong: a right one {rule}.",
        where=f"/mrz/{span.line}",
        mend=f"Compare line {span.line + 1} with the document, character by character.",
    )


def at(lines: Lines, span: Span) -> str:
    """Return the field at a place."""
    return lines[span.line][span.start : span.end]
