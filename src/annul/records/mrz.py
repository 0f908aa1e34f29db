"""The machine-readable zone: read every field of every form, and check every digit.

The forms themselves are data (`annul.records.forms`). A zone is a proof of nothing but careful copying: a check digit tells
a typing error from a true number nine times of ten. Values that differ by 10 (G and 6, L and 1, Y and 4, Z and 5, S and 8)
look alike to every check digit.

Source: ICAO Doc 9303-3 (8th edition) section 4; each form names its own.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from annul.records.forms import FORMS, MRV_A, MRV_B, SHAPES, TD1, TD2, TD3, Form, FormUnknown, form_of
from annul.records.forms.dates import Birth, birth_of, expiry_of
from annul.records.forms.form import (
    ALPHABET,
    Century,
    Guard,
    Lines,
    Names,
    Number,
    Span,
    ZoneMalformed,
    at,
    broken,
    digit_of,
    must,
    values_of,
)
from annul.records.forms.names import groups
from annul.records.scheme import DocumentFields
from annul.records.states import OF_HOLDERS, is_state, is_wrong_but_known, state_of

__all__ = [
    "ALPHABET",
    "FORMS",
    "LONG_TERM",
    "MRV_A",
    "MRV_B",
    "TD1",
    "TD2",
    "TD3",
    "Form",
    "FormUnknown",
    "Mrz",
    "Span",
    "ZoneMalformed",
    "check_digit",
    "composite",
    "cut_lines",
    "field_checks",
    "parse",
    "read_typed",
    "split_lines",
]

TYPED_MAX_CHARS = 400
"""Longest text taken as a zone: three lines with generous blanks."""
LONG_TERM = "long-term"
"""Expiry of a document without end."""
_LOOKALIKES = str.maketrans({"«": "<<", "‹": "<", "＜": "<", "〈": "<", "《": "<<", "≪": "<<"})
_SEXES = {"F": "F", "M": "M", "X": "", "<": ""}
_SEXES_OF_CHINA = _SEXES | {"1": "M", "2": "F", "0": "", "9": ""}
_WHAT = {
    "number": "document number",
    "birth": "date of birth",
    "expiry": "date of expiry",
    "optional": "optional data",
    "count": "number of renewals",
    "holder": "holder's number",
    "zone": "whole zone",
}


def check_digit(field: str) -> str:
    """Return the check digit of a field: weights 7, 3, 1, modulus 10 (Doc 9303-3 section 4.9).

    Raises:
        ZoneMalformed: a character outside A-Z, 0-9 and the filler.
    """
    return str(digit_of(values_of(field)))


@dataclass(frozen=True, slots=True, repr=False)
class Mrz:
    """A zone with all its fields, each in the form it is used in.

    Attributes:
        form: the form it is of.
        lines: the zone itself.
        kind: document code, 1 or 2 characters ("P", "ID", "V", "C1").
        issuer: code of the issuing state or organisation, 1 to 3 letters, as the register writes it (ZIM is ZWE).
        number: document number without fillers; long TD1 numbers in full.
        nationality: code of the holder's state, 1 to 3 letters; "" where the form has none.
        birth: date of birth as far as it is known: "1974-08-12", "1974-08", "1974", "--08-12" or "".
        birth_other: the same date a century earlier where the holder may be that old (note `birth_century`); else "".
        sex: "F", "M" or "" (not stated).
        expiry: last day of validity as YYYY-MM-DD, LONG_TERM for none, or "" if the zone does not tell.
        issued: date of issue as YYYY-MM-DD where the form has it; else "".
        primary, secondary: the holder's names in letters A to Z, words separated by one blank; each may be "".
        native: the name in the document's own script, where the zone holds it; else "".
        names_cut: the names fill the whole field, so they may be cut.
        optional: optional data of the issuer, without trailing fillers, one string per field.
        number_field, birth_field, expiry_field: as printed, for the access key of a chip.
        remarks: codes of what is odd about this zone and no fault.
    """

    form: Form
    lines: Lines
    kind: str
    issuer: str
    number: str
    nationality: str
    birth: str
    birth_other: str
    sex: str
    expiry: str
    issued: str
    primary: str
    secondary: str
    native: str
    names_cut: bool
    optional: tuple[str, ...]
    number_field: str
    birth_field: str
    expiry_field: str
    remarks: tuple[str, ...]

    @property
    def layout(self) -> str:
        """Name of the form whose size and fields it has: TD1, TD2, TD3, MRV-A, MRV-B, or the form's own."""
        return self.form.family

    @property
    def is_visa(self) -> bool:
        """A visa says nothing about the travel document it stands in."""
        return self.form.is_visa

    @property
    def name(self) -> str:
        """Primary and secondary name in one string, "ERIKSSON, ANNA MARIA"."""
        return f"{self.primary}, {self.secondary}" if self.primary and self.secondary else self.primary or self.secondary

    def document(self) -> DocumentFields:
        """Return the document it names, in the fields of the document's own scheme.

        Raises:
            ZoneMalformed: the form's number cannot be one of its scheme.
        """
        return self.form.document(self)


def split_lines(text: str) -> list[str]:
    """Bring typed or scanned text into lines of capital letters, digits and fillers.

    Blanks go, look-alikes of the filler become fillers, a zone typed without line breaks is cut.

    Raises:
        ZoneMalformed: too long, or characters that no zone has.
    """
    if len(text) > TYPED_MAX_CHARS:
        raise ZoneMalformed("The text is longer than any zone.", where="/mrz", mend="Send the zone's lines only.")
    lines = [line for line in ("".join(row.split()).upper() for row in text.translate(_LOOKALIKES).splitlines()) if line]
    if len(lines) == 1:
        lines = cut_lines(lines[0]) or lines
    for index, line in enumerate(lines):
        for column, character in enumerate(line):
            if character not in ALPHABET:
                raise ZoneMalformed(
                    f"Line {index + 1} of the zone has a character at place {column + 1} that no zone can have.",
                    where=f"/mrz/{index}",
                    mend="Only A to Z, 0 to 9 and < are allowed.",
                )
    return lines


def cut_lines(text: str) -> list[str]:
    """Return the lines of a zone written in one piece; [] when no form is of its length."""
    lines = []
    for width in SHAPES.get(len(text), ()):
        lines.append(text[:width])
        text = text[width:]
    return lines


def parse(lines: Sequence[str], today: datetime.date) -> Mrz:
    """Read every field of a zone and check every rule it must keep.

    Args:
        lines: as `split_lines` gives them.
        today: decides the century of two-digit years: no birth in the future, expiry within 50 years.
    Raises:
        FormUnknown: no form known here is shaped or begins like this.
        ZoneMalformed: check digit, date, state or name is wrong; the message names the field, never its value.
    """
    lines = tuple(lines)
    form = form_of(lines)
    values = [values_of(line) for line in lines]
    kind = at(lines, form.kind) if form.kind else ""
    if form.kind:
        must(kind[0] in form.starts, "document code", form.kind, f"begins with {' or '.join(form.starts)}")
    issuer, nationality, remarks = _states(form, lines)
    if form.usual is not None and (not form.usual.match(kind) or (kind == "AR" and issuer == nationality)):
        remarks = (*remarks, "code_unusual")
    number = _number(form, lines, values)
    birth = _birth(form, lines, today)
    expiry = _expiry(form, lines, today)
    sex = _sex(form, lines)
    for guard in form.guards:
        if not _holds(guard, lines, values, form):
            raise broken(_WHAT[guard.name], Span(guard.line, 0, 0), "fits its check digit")
    names = _names(form, lines)
    issued = birth_of(at(lines, form.issued), today) if form.issued else None
    return Mrz(
        form,
        lines,
        kind.rstrip("<"),
        issuer,
        number.plain,
        nationality,
        birth.date,
        birth.other,
        sex,
        expiry,
        issued.date if issued and len(issued.date) == 10 else "",
        names.primary,
        names.secondary,
        names.native or (form.native(lines) if form.native else ""),
        names.cut,
        tuple([at(lines, span).rstrip("<") for span in form.optional]),
        number.field,
        at(lines, form.birth) if form.birth else "",
        at(lines, form.expiry) if form.expiry else "",
        (*form.remarks, *remarks, *birth.remarks, *names.remarks),
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
        Name of each guard of the form ("number", "birth", "expiry", "optional", "zone", …): whether it fits.
    Raises:
        FormUnknown: no form known here. ZoneMalformed: a character that no zone has.
    """
    lines = tuple(lines)
    form = form_of(lines)
    values = [values_of(line) for line in lines]
    found = {guard.name: _holds(guard, lines, values, form) for guard in form.guards}
    if form.number is not None and _goes_on(form, lines):
        found["number"] = _long_number(form, lines, values) is not None
    return found


def composite(form: Form, lines: Sequence[str]) -> str:
    """Return the check digit over the whole zone of a form that has one."""
    guard = next(guard for guard in form.guards if guard.name == "zone")
    return check_digit("".join(lines[span.line][span.start : span.end] for span in guard.spans))


def _holds(guard: Guard, lines: Lines, values: Sequence[bytes], form: Form) -> bool:
    """Tell whether a check digit fits. That of a number which goes on elsewhere is looked at by `_number`."""
    spans = guard.spans
    if len(spans) == 1:
        line, start, end = spans[0]
        covered = values[line][start:end]
    else:
        covered = b"".join([values[line][start:end] for line, start, end in spans])
    given = lines[guard.line][guard.column]
    if given == "<":
        if guard.name == "number":
            return form.more is not None and _goes_on(form, lines)
        return guard.blank and not any(at(lines, span).strip("<") for span in spans)
    return given.isdigit() and int(given) == digit_of(covered)


def _goes_on(form: Form, lines: Lines) -> bool:
    """Tell whether a number goes on in the optional data (Doc 9303-5 and 9303-6, note j)."""
    span = form.number
    return form.more is not None and span is not None and lines[span.line][span.end] == "<" != lines[span.line][span.end - 1]


def _long_number(form: Form, lines: Lines, values: Sequence[bytes]) -> str | None:
    """Return a number that goes on in the optional data; None when its check digit, last of all, does not fit.

    Two rules are in circulation: the filler in the check digit's place is left out, or counted as 0. The standard's own
    example gives the same digit by both.
    """
    span, more = form.number, form.more
    if span is None or more is None:
        return None
    rest = at(lines, more).split("<", 1)[0]
    if len(rest) < 2 or not rest[-1].isdigit():
        return None
    first = values[span.line][span.start : span.end]
    tail = values[more.line][more.start : more.start + len(rest) - 1]
    if int(rest[-1]) not in (digit_of(first + tail), digit_of(first + b"\0" + tail)):
        return None
    return at(lines, span) + rest[:-1]


def _number(form: Form, lines: Lines, values: Sequence[bytes]) -> Number:
    if form.read_number is not None:
        return form.read_number(lines)
    span = form.number
    if span is None:
        raise AssertionError("a form has a number or reads it itself")
    field = lines[span.line][span.start : span.end]
    must(field[0] != "<", "document number", span, "is not empty")
    if _goes_on(form, lines):
        long = _long_number(form, lines, values)
        if long is None:
            raise broken("document number", span, "goes on in the optional data and fits its check digit")
        field = long
    return Number(field.replace("<", ""), field)


def _states(form: Form, lines: Lines) -> tuple[str, str, tuple[str, ...]]:
    """Return the codes of issuer and nationality, and what is odd about them."""
    codes, remarks = [], []
    for what, place in (("issuing state", form.issuer), ("nationality", form.nationality)):
        if isinstance(place, str):
            codes.append(place)
            continue
        code = lines[place.line][place.start : place.end].rstrip("<")
        must(is_state(code), what, place, "is a code of Doc 9303-3 section 5")
        if is_wrong_but_known(code) or (what == "issuing state" and code in OF_HOLDERS):
            remarks.append("state_code")
        codes.append(state_of(code))
    if form.family in ("TD1", "TD2", "TD3") and codes[0] != codes[1] and (codes[0], codes[1][:2]) != ("GBR", "GB"):
        remarks.append("nationality_differs")
    return codes[0], codes[1], tuple(dict.fromkeys(remarks))


def _century(mark: Century | None, lines: Lines) -> int | None:
    if mark is None:
        return None
    century = mark.years.get(at(lines, mark.span))
    must(century is not None, "mark of the century", mark.span, f"is one of {', '.join(mark.years)}")
    return century


def _birth(form: Form, lines: Lines, today: datetime.date) -> Birth:
    if form.birth is None:
        return Birth("")
    birth = birth_of(at(lines, form.birth), today, _century(form.century, lines))
    if birth is None:
        raise broken("date of birth", form.birth, "is a date YYMMDD that has been")
    return birth


def _expiry(form: Form, lines: Lines, today: datetime.date) -> str:
    if form.expiry is None:
        return ""
    expiry = expiry_of(at(lines, form.expiry), today, _century(form.expiry_century, lines))
    if expiry is None:
        raise broken("date of expiry", form.expiry, "is a date YYMMDD")
    return expiry


def _sex(form: Form, lines: Lines) -> str:
    if form.sex is None:
        return ""
    sex = (_SEXES_OF_CHINA if form.family.startswith("CHN") else _SEXES).get(at(lines, form.sex))
    if sex is None:
        raise broken("sex", form.sex, "is F, M or <")
    return sex


def _names(form: Form, lines: Lines) -> Names:
    if form.read_names is not None:
        return form.read_names(lines)
    return Names("", "", cut=False) if form.names is None else groups(at(lines, form.names), form.names)
