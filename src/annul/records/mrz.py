"""The machine-readable zone: three forms of documents, two of visas, every field and check digit.

A zone is a proof of nothing but careful copying: a check digit tells a typing error from a true number nine times of
ten. Values that differ by 10 (G and 6, L and 1, Y and 4, Z and 5, S and 8) look alike to every check digit.

Source: ICAO Doc 9303-3 (8th edition) section 4, 9303-4 (TD3), 9303-5 (TD1), 9303-6 (TD2), 9303-7 (MRV-A, MRV-B).
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from annul.errors import MalformedNumber
from annul.records.states import is_state

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ<"
TYPED_MAX_CHARS = 400
"""Longest text taken as a zone: three lines with generous blanks."""
_VALUE = {character: index if character != "<" else 0 for index, character in enumerate(ALPHABET)}
_WEIGHTS = (7, 3, 1)
_LOOKALIKES = str.maketrans({"«": "<<", "‹": "<", "＜": "<", "〈": "<", "《": "<<", "≪": "<<"})


class ZoneMalformed(MalformedNumber):
    """The machine-readable zone breaks a rule of Doc 9303 (answer code U33)."""

    code: ClassVar[str] = "zone-malformed"


def check_digit(field: str) -> str:
    """Return the check digit of a field: weights 7, 3, 1, modulus 10 (Doc 9303-3 section 4.9).

    Raises:
        ZoneMalformed: a character outside A-Z, 0-9 and the filler.
    """
    try:
        return str(sum(_VALUE[character] * _WEIGHTS[index % 3] for index, character in enumerate(field)) % 10)
    except KeyError:
        raise ZoneMalformed(
            "The zone has a character that no zone can have.", mend="Only A to Z, 0 to 9 and < are allowed."
        ) from None


class Span(NamedTuple):
    """Where a field stands: line, first column, column behind the last (all from 0)."""

    line: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Layout:
    """One form of zone: size, place of every field, and what its composite check digit covers."""

    name: str
    lines: int
    columns: int
    kind: Span
    issuer: Span
    names: Span
    number: Span
    nationality: Span
    birth: Span
    sex: Span
    expiry: Span
    optional: tuple[Span, ...]
    optional_checked: bool
    composite: tuple[Span, ...]


TD1 = Layout(
    "TD1", 3, 30, Span(0, 0, 2), Span(0, 2, 5), Span(2, 0, 30), Span(0, 5, 14), Span(1, 15, 18), Span(1, 0, 6),
    Span(1, 7, 8), Span(1, 8, 14), (Span(0, 15, 30), Span(1, 18, 29)), False,
    (Span(0, 5, 30), Span(1, 0, 7), Span(1, 8, 15), Span(1, 18, 29)),
)  # fmt: skip
TD2 = Layout(
    "TD2", 2, 36, Span(0, 0, 2), Span(0, 2, 5), Span(0, 5, 36), Span(1, 0, 9), Span(1, 10, 13), Span(1, 13, 19),
    Span(1, 20, 21), Span(1, 21, 27), (Span(1, 28, 35),), False, (Span(1, 0, 10), Span(1, 13, 20), Span(1, 21, 35)),
)  # fmt: skip
TD3 = Layout(
    "TD3", 2, 44, Span(0, 0, 2), Span(0, 2, 5), Span(0, 5, 44), Span(1, 0, 9), Span(1, 10, 13), Span(1, 13, 19),
    Span(1, 20, 21), Span(1, 21, 27), (Span(1, 28, 42),), True, (Span(1, 0, 10), Span(1, 13, 20), Span(1, 21, 43)),
)  # fmt: skip
MRV_A = Layout(
    "MRV-A", 2, 44, Span(0, 0, 2), Span(0, 2, 5), Span(0, 5, 44), Span(1, 0, 9), Span(1, 10, 13), Span(1, 13, 19),
    Span(1, 20, 21), Span(1, 21, 27), (Span(1, 28, 44),), False, (),
)  # fmt: skip
MRV_B = Layout(
    "MRV-B", 2, 36, Span(0, 0, 2), Span(0, 2, 5), Span(0, 5, 36), Span(1, 0, 9), Span(1, 10, 13), Span(1, 13, 19),
    Span(1, 20, 21), Span(1, 21, 27), (Span(1, 28, 36),), False, (),
)  # fmt: skip


@dataclass(frozen=True, slots=True, repr=False)
class Mrz:
    """A zone with all its fields, each in the form it is used in.

    Attributes:
        layout: name of the form: TD1, TD2, TD3, MRV-A, MRV-B.
        lines: the zone itself.
        kind: document code, 1 or 2 characters ("P", "ID", "V").
        issuer: code of the issuing state or organisation, 1 to 3 letters.
        number: document number without fillers; long TD1 numbers in full.
        nationality: code of the holder's state, 1 to 3 letters.
        birth: date of birth as far as it is known: "1974-08-12", "1974-08", "1974" or "".
        sex: "F", "M" or "" (not stated).
        expiry: last day of validity as YYYY-MM-DD, or "" if not stated.
        primary, secondary: the holder's names, words separated by one blank; secondary may be "".
        names_cut: the names fill the whole field, so they may be cut.
        optional: optional data of the issuer, without trailing fillers, one string per field.
        number_field, birth_field, expiry_field: as printed, for the access key of a chip.
    """

    layout: str
    lines: tuple[str, ...]
    kind: str
    issuer: str
    number: str
    nationality: str
    birth: str
    sex: str
    expiry: str
    primary: str
    secondary: str
    names_cut: bool
    optional: tuple[str, ...]
    number_field: str
    birth_field: str
    expiry_field: str

    @property
    def is_visa(self) -> bool:
        """A visa says nothing about the travel document it stands in."""
        return self.layout.startswith("MRV")

    @property
    def name(self) -> str:
        """Primary and secondary name in one string, "ERIKSSON, ANNA MARIA"."""
        return f"{self.primary}, {self.secondary}" if self.secondary else self.primary


def layout_of(lines: Sequence[str]) -> Layout:
    """Tell the form of a zone by its lines.

    Raises:
        ZoneMalformed: number or length of lines fits no form.
    """
    visa = bool(lines) and lines[0].startswith("V")
    for layout in (TD1, MRV_A, TD3, MRV_B, TD2):
        fits = len(lines) == layout.lines and all(len(line) == layout.columns for line in lines)
        if fits and (layout is TD1 or layout.name.startswith("MRV") == visa):
            return layout
    raise ZoneMalformed(
        "The zone is neither 3 lines of 30 characters, nor 2 of 36, nor 2 of 44.",
        where="/mrz",
        mend="Type every line completely, with all fillers <.",
    )


def split_lines(text: str) -> list[str]:
    """Bring typed or scanned text into lines of capital letters, digits and fillers.

    Blanks go, look-alikes of the filler become fillers, a zone typed without line breaks is cut.

    Raises:
        ZoneMalformed: too long, or characters that no zone has.
    """
    if len(text) > TYPED_MAX_CHARS:
        raise ZoneMalformed("The text is longer than any zone.", where="/mrz", mend="Send the zone's lines only.")
    lines = [line for line in ("".join(row.split()).upper() for row in text.translate(_LOOKALIKES).splitlines()) if line]
    joined = "".join(lines)
    columns = {90: 30, 88: 44, 72: 36}.get(len(joined))
    if len(lines) == 1 and columns:
        lines = [joined[start : start + columns] for start in range(0, len(joined), columns)]
    for index, line in enumerate(lines):
        for column, character in enumerate(line):
            if character not in _VALUE:
                raise ZoneMalformed(
                    f"Line {index + 1} of the zone has a character at place {column + 1} that no zone can have.",
                    where=f"/mrz/{index}",
                    mend="Only A to Z, 0 to 9 and < are allowed.",
                )
    return lines


def parse(lines: Sequence[str], today: datetime.date) -> Mrz:
    """Read every field of a zone and check every rule it must keep.

    Args:
        lines: as `split_lines` gives them.
        today: decides the century of two-digit years: no birth in the future, expiry within 50 years.
    Raises:
        ZoneMalformed: form, check digit, date, state or name is wrong; the message names the field, never its value.
    """
    layout = layout_of(lines)

    def at(span: Span) -> str:
        return lines[span.line][span.start : span.end]

    for line in lines:
        check_digit(line)
    kind = at(layout.kind)
    _must(kind[0].isalpha() and not kind[1].isdigit(), "document code", layout.kind, "starts with a letter")
    _must(layout is not TD3 or kind[0] == "P", "document code", layout.kind, "is P on a passport")
    _must(layout is not TD1 or kind[0] in "ACI", "document code", layout.kind, "is A, C or I on a card")
    for what, span in (("issuing state", layout.issuer), ("nationality", layout.nationality)):
        _must(is_state(at(span).rstrip("<")), what, span, "is a code of Doc 9303-3 section 5")
    number, number_field = _number(layout, lines)
    birth = _birth(at(layout.birth), today)
    _must(birth is not None, "date of birth", layout.birth, "is a date YYMMDD that has been")
    expiry = _expiry(at(layout.expiry), today)
    _must(expiry is not None, "date of expiry", layout.expiry, "is a date YYMMDD")
    sex = at(layout.sex)
    _must(sex in "FMX<", "sex", layout.sex, "is F, M or <")
    fits = field_checks(lines)
    for name, what, span in (
        ("birth", "date of birth", layout.birth),
        ("expiry", "date of expiry", layout.expiry),
        ("optional", "optional data", layout.optional[0]),
        ("zone", "whole zone", Span(layout.composite[-1].line if layout.composite else 0, 0, 0)),
    ):
        _must(fits.get(name, True), what, span, "fits its check digit")
    primary, secondary = _names(at(layout.names), layout)
    return Mrz(
        layout=layout.name,
        lines=tuple(lines),
        kind=kind.rstrip("<"),
        issuer=at(layout.issuer).rstrip("<"),
        number=number,
        nationality=at(layout.nationality).rstrip("<"),
        birth=birth or "",
        sex=sex if sex in "FM" else "",
        expiry=expiry or "",
        primary=primary,
        secondary=secondary,
        names_cut=not at(layout.names).endswith("<"),
        optional=tuple(at(span).rstrip("<") for span in layout.optional),
        number_field=number_field,
        birth_field=at(layout.birth),
        expiry_field=at(layout.expiry),
    )


def read_typed(text: str, today: datetime.date) -> Mrz:
    """Read a zone that was typed, or that a swipe reader or keyboard wedge sent.

    Raises:
        ZoneMalformed: see `split_lines` and `parse`.
    """
    return parse(split_lines(text), today)


def field_checks(lines: Sequence[str]) -> dict[str, bool]:
    """Tell for every check digit of a zone whether it fits, without refusing the zone.

    Args:
        lines: as `split_lines` gives them.
    Returns:
        "number", "birth", "expiry"; "optional" on TD3; "zone" for the composite digit where the form has one.
    Raises:
        ZoneMalformed: number or length of lines fits no form, or a character that no zone has.
    """
    layout = layout_of(lines)
    for line in lines:
        check_digit(line)
    found = {}
    try:
        _number(layout, lines)
        found["number"] = True
    except ZoneMalformed:
        found["number"] = False
    for name, span in (("birth", layout.birth), ("expiry", layout.expiry)):
        field, given = lines[span.line][span.start : span.end], lines[span.line][span.end]
        found[name] = given == check_digit(field) or (given == "<" and field == "<<<<<<")
    if layout.optional_checked:
        span = layout.optional[0]
        field, given = lines[span.line][span.start : span.end], lines[span.line][span.end]
        found["optional"] = given == check_digit(field) or (given == "<" and not field.strip("<"))
    if layout.composite:
        found["zone"] = lines[-1 if layout is not TD1 else 1][-1] == composite(layout, lines)
    return found


def composite(layout: Layout, lines: Sequence[str]) -> str:
    """Return the composite check digit of a zone."""
    return check_digit("".join(lines[span.line][span.start : span.end] for span in layout.composite))


def _must(holds: bool, what: str, span: Span, rule: str) -> None:
    if not holds:
        raise ZoneMalformed(
            f"The zone's {what} is wrong: a right one {rule}.",
            where=f"/mrz/{span.line}",
            mend=f"Compare line {span.line + 1} with the document, character by character.",
        )


def _check(lines: Sequence[str], what: str, span: Span) -> None:
    field = lines[span.line][span.start : span.end]
    _must(lines[span.line][span.end] == check_digit(field), what, span, "fits its check digit")


def _number(layout: Layout, lines: Sequence[str]) -> tuple[str, str]:
    span = layout.number
    line = lines[span.line]
    field = line[span.start : span.end]
    _must(field[0] != "<", "document number", span, "is not empty")
    if layout in (TD1, TD2) and line[span.end] == "<" and field[-1] != "<":
        # Doc 9303-5 and 9303-6, note j: a longer number goes on in the optional data, its check digit last.
        more = layout.optional[0]
        rest = lines[more.line][more.start : more.end].split("<", 1)[0]
        _must(len(rest) >= 2, "document number", span, "goes on in the optional data")
        field += rest[:-1]
        _must(rest[-1] == check_digit(field), "document number", span, "fits its check digit")
    else:
        _check(lines, "document number", span)
    bare = field.rstrip("<")
    return bare.replace("<", ""), field


def _birth(field: str, today: datetime.date) -> str | None:
    year, month, day = field[:2], field[2:4], field[4:]
    if field == "<<<<<<":
        return ""
    if not year.isdigit():
        return None
    century = today.year // 100 * 100
    full = century + int(year)
    if month == "<<" and day == "<<":
        return f"{full if full <= today.year else full - 100:04d}"
    if not month.isdigit() or not 1 <= int(month) <= 12:
        return None
    if day == "<<":
        return f"{full if (full, int(month)) <= (today.year, today.month) else full - 100:04d}-{month}"
    date = _date(full, month, day)
    # 29 February names its century by itself.
    if date is None or date > today:
        date = _date(full - 100, month, day)
    return date.isoformat() if date is not None else None


def _expiry(field: str, today: datetime.date) -> str | None:
    if field == "<<<<<<":
        return ""
    if not field.isdigit():
        return None
    century = today.year // 100 * 100
    years = [century + shift + int(field[:2]) for shift in (-100, 0, 100)]
    full = min(years, key=lambda year: abs(year - today.year))
    date = _date(full, field[2:4], field[4:])
    return date.isoformat() if date is not None else None


def _date(year: int, month: str, day: str) -> datetime.date | None:
    try:
        return datetime.date(year, int(month), int(day))
    except ValueError:
        return None


def _names(field: str, layout: Layout) -> tuple[str, str]:
    bare = field.rstrip("<")
    _must(bool(bare) and bare[0] != "<" and bare.replace("<", "").isalpha(), "name", layout.names, "has letters only")
    parts = bare.split("<<")
    _must(len(parts) <= 2 and all(parts), "name", layout.names, "has two parts")
    primary, secondary = (*parts, "")[:2]
    _must("<<" not in secondary, "name", layout.names, "has two parts")
    return primary.replace("<", " "), secondary.replace("<", " ")
