"""Forms of one state that only look like those of Doc 9303, and national uses of its optional data.

Sources stand beside each form. None was invented: what is not known of a form is not read.
"""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Final

from annul.records.forms.form import Form, Guard, Lines, Names, Number, Span, at, must
from annul.records.forms.icao import TD1, TD3, of_icao
from annul.records.forms.letters import RUSSIAN, chinese, russian
from annul.records.scheme import DocumentFields

if TYPE_CHECKING:
    from annul.records.mrz import Mrz

DRIVING_LICENCE: Final = "DRIVING-LICENCE"
"""Kind under which licences are known to the scheme `generic`."""

# -- Russia: internal passport -------------------------------------------------------------------------------------------------

_RU_NAMES, _RU_OPTIONAL = Span(0, 5, 44), Span(1, 28, 42)


def _ru_names(lines: Lines) -> Names:
    """Read names whose letters Ё Ч Ш Э Ю Я Ь are digits, and give them back in Cyrillic."""
    field = at(lines, _RU_NAMES)
    bare = field.rstrip("<")
    must(
        bool(bare) and set(bare) <= RUSSIAN.keys() | {"<"} and bare[0] != "<",
        "name",
        _RU_NAMES,
        "is of the letters of the table",
    )
    primary, _, rest = bare.partition("<<")
    words = [russian(word) for word in bare.split("<") if word]
    remarks = () if all(certain for _, certain in words) else ("names_respelt",)
    native = " ".join(word for word, _ in words)
    return Names(primary.replace("<", " "), " ".join(rest.replace("<", " ").split()), not field.endswith("<"), native, remarks)


def _ru_document(zone: Mrz) -> DocumentFields:
    """Return series and number: the last digit of the series stands in front of the optional data."""
    last = zone.lines[1][28]
    must(last.isdigit() and zone.number.isdigit(), "series", _RU_OPTIONAL, "has 4 digits")
    return DocumentFields("ru-internal", series=zone.number[:3] + last, number=zone.number[3:9], valid_from=zone.issued or None)


RU_INTERNAL = dataclasses.replace(
    TD3,
    name="RUS-PN", title="Internal passport of Russia",
    source="Order of the Federal Migration Service on the machine-readable record, 2011; order 851 of the Ministry of 2017",
    begins=((0, re.compile("PNRUS")),), body=(1, re.compile(r"\d{10}RUS\d{7}[MF<]<{7}\d{13}")),
    names=None, read_names=_ru_names, optional=(_RU_OPTIONAL,), issued=Span(1, 29, 35), document=_ru_document,
    own_script=True,
    letters=((_RU_NAMES, "".join(RUSSIAN) + "<"), (Span(1, 21, 28), "<"), (Span(0, 0, 1), "P"), (Span(0, 1, 2), "N")),
)  # fmt: skip

# -- France: identity card of 1995 to 2021 -------------------------------------------------------------------------------------

_FR_SURNAME, _FR_GIVEN, _FR_NUMBER, _FR_BIRTH = Span(0, 5, 30), Span(1, 13, 27), Span(1, 0, 12), Span(1, 27, 33)


def _fr_names(lines: Lines) -> Names:
    surname, given = at(lines, _FR_SURNAME), at(lines, _FR_GIVEN)
    for field, span in ((surname, _FR_SURNAME), (given, _FR_GIVEN)):
        must(field.replace("<", "").isalpha() and field[0] != "<", "name", span, "has letters only")
    cut = not (surname.endswith("<") and given.endswith("<"))
    return Names(surname.rstrip("<").replace("<", " "), " ".join(given.replace("<", " ").split()), cut)


FR_CARD = Form(
    name="FRA-ID-1995", title="Identity card of France, 1995 to 2021", family="FRA-ID-1995",
    source="npm package mrz 5.0.2, frenchNationalIdFields; the same in two other public readers",
    widths=(36, 36), begins=((0, re.compile("IDFRA")),), starts="I", document=of_icao,
    kind=Span(0, 0, 2), issuer=Span(0, 2, 5), nationality="FRA", number=_FR_NUMBER, read_names=_fr_names,
    birth=_FR_BIRTH, sex=Span(1, 34, 35), optional=(Span(0, 30, 36),), remarks=("expiry_not_in_zone",),
    guards=(
        Guard("number", 1, 12, (_FR_NUMBER,)), Guard("birth", 1, 33, (_FR_BIRTH,), blank=True),
        Guard("zone", 1, 35, (Span(0, 0, 36), Span(1, 0, 35))),
    ),
    letters=((_FR_SURNAME, "ABCDEFGHIJKLMNOPQRSTUVWXYZ<"), (_FR_GIVEN, "ABCDEFGHIJKLMNOPQRSTUVWXYZ<")),
)  # fmt: skip

# -- Driving licences ----------------------------------------------------------------------------------------------------------


def _licence(zone: Mrz) -> DocumentFields:
    return DocumentFields("generic", issuer=zone.issuer, kind=DRIVING_LICENCE, number=zone.number)


def _fr_licence_names(lines: Lines) -> Names:
    field = lines[0][21:29]
    must(field.replace("<", "").isalpha() and field[0] != "<", "name", Span(0, 21, 29), "has letters only")
    return Names(field.rstrip("<").replace("<", " "), "", not field.endswith("<"))


FR_LICENCE = Form(
    name="FRA-DL", title="Driving licence of France", family="FRA-DL",
    source="npm package mrz 5.0.2, frenchDrivingLicenceFields",
    widths=(30,), begins=((0, re.compile("D1FRA")),), starts="D", document=_licence,
    kind=Span(0, 0, 2), issuer=Span(0, 2, 5), number=Span(0, 5, 14), expiry=Span(0, 15, 21), read_names=_fr_licence_names,
    guards=(Guard("number", 0, 14, (Span(0, 0, 14),)), Guard("zone", 0, 29, (Span(0, 0, 29),))),
)  # fmt: skip
NL_LICENCE = Form(
    name="NLD-DL", title="Driving licence of the Netherlands", family="NLD-DL",
    source="Specimen line of the issuer in public readers: code, state, version, number of 10 digits, random part, check digit",
    widths=(30,), begins=((0, re.compile("D[1-9]NLD")),), starts="D", document=_licence,
    kind=Span(0, 0, 2), issuer=Span(0, 2, 5), number=Span(0, 6, 16), guards=(Guard("zone", 0, 29, (Span(0, 0, 29),)),),
    photo=False,
)  # fmt: skip


def _ch_number(lines: Lines) -> Number:
    field = lines[0]
    must(re.fullmatch("[A-Z0-9]{3}[0-9]{3}[DFIR]<<", field) is not None, "document number", Span(0, 0, 9), "is of its form")
    must(lines[1][5:17].isdigit() and not lines[1][17:19].strip("<"), "holder's number", Span(1, 5, 17), "has 12 digits")
    return Number(field[:7], field)


CH_LICENCE = Form(
    name="CHE-DL", title="Driving licence of Switzerland or Liechtenstein", family="CHE-DL",
    source="npm package mrz 5.0.2, swissDrivingLicenseFields",
    widths=(9, 30, 30), begins=((1, re.compile("FA(CHE|LIE)")),), starts="F", document=_licence, photo=False,
    kind=Span(1, 0, 2), issuer=Span(1, 2, 5), birth=Span(1, 19, 25), optional=(Span(1, 5, 14), Span(1, 14, 17)),
    read_number=_ch_number, names=Span(2, 0, 30), remarks=("no_check_digit",),
)  # fmt: skip

# -- Doc 9303 with something of the issuer's own -------------------------------------------------------------------------------

US_RESIDENT = dataclasses.replace(
    TD1, name="USA-PRC", title="Permanent resident card of the United States",
    source="USCIS form I-551, codes C1 and C2; Doc 9303-5, section 4.2.2", begins=((0, re.compile("C[12]USA")),), usual=None,
)  # fmt: skip
CN_PASSPORT = dataclasses.replace(
    TD3, name="CHN-PASSPORT", title="Passport of China",
    source="GA/T 704.16-2015: places 29 to 40 hold the first three characters of the name as letters of GBK",
    begins=((0, re.compile("P[A-Z<]CHN")),), photo=False, native=lambda lines: chinese(lines[1][28:40]),
)  # fmt: skip
NATIONAL = (RU_INTERNAL, FR_CARD, FR_LICENCE, NL_LICENCE, CH_LICENCE, US_RESIDENT, CN_PASSPORT)
