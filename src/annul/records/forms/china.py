"""Travel permits between the parts of China: four forms, none of them Doc 9303's.

Source: GA/T 704.14-2015 and GA/T 704.16-2015, as two unrelated public card readers implement them; places that neither of
them reads are not read here. Check digits that only one of them knows are not asked for.
"""

from __future__ import annotations

import re
from typing import Final

from annul.records.forms.form import Century, Form, Guard, Lines, Names, Span, must
from annul.records.forms.icao import of_icao
from annul.records.forms.letters import chinese

_CENTURIES: Final = {"A": 1800, "B": 1900, "C": 2000}
_CENTURY_DIGITS: Final = {"0": 1800, "1": 1900, "2": 2000}
_LATIN: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ<"


def _latin(field: str, span: Span) -> Names:
    """Read "SURNAME<GIVEN" or "SURNAME<<GIVEN", with any number of fillers between and around."""
    must(not field.replace("<", "") or field.replace("<", "").isalpha(), "name", span, "has letters only")
    primary, _, rest = field.strip("<").partition("<<")
    if not rest:
        primary, _, rest = field.strip("<").partition("<")
    return Names(primary.replace("<", " "), " ".join(rest.replace("<", " ").split()), not field.endswith("<"))


# -- Permits of mainland residents: to Hong Kong and Macao (CS), to Taiwan (CD) ------------------------------------------------

_NUMBER, _EXPIRY, _BIRTH = Span(0, 2, 11), Span(0, 13, 19), Span(0, 21, 27)
_GUARDS = (
    Guard("number", 0, 11, (_NUMBER,)), Guard("birth", 0, 27, (_BIRTH,), blank=True), Guard("expiry", 0, 19, (_EXPIRY,)),
    Guard("zone", 0, 29, (Span(0, 2, 12), Span(0, 13, 20), Span(0, 21, 28))),
)  # fmt: skip
_SOURCE: Final = "GA/T 704.16-2015; overall check digit as two public readers agree (fillers left out)"
_FILLERS: Final = ((Span(0, 12, 13), "<"), (Span(0, 20, 21), "<"), (Span(0, 28, 29), "<"), (Span(0, 0, 1), "C"))


def _no_names(lines: Lines) -> Names:
    for place in (12, 20, 28):
        must(lines[0][place] == "<", "filler", Span(0, place, place + 1), "is <")
    return Names("", "", cut=False)


def _chip_names(lines: Lines) -> Names:
    _no_names(lines)
    names = _latin(lines[1][12:], Span(1, 12, 30))
    # Three characters fill the Chinese name's field: it may have had a fourth.
    return names._replace(cut=names.cut or lines[1][11] != "<")


PERMIT_PRINT = Form(
    name="CHN-PERMIT", title="Permit of mainland residents for Hong Kong and Macao or for Taiwan, printed", family="CHN-PERMIT",
    source=_SOURCE, widths=(30,), begins=((0, re.compile("C[SD][A-Z]")),), starts="C", document=of_icao,
    kind=Span(0, 0, 2), issuer="CHN", nationality="CHN", number=_NUMBER, expiry=_EXPIRY, birth=_BIRTH, read_names=_no_names,
    guards=_GUARDS, letters=((Span(0, 1, 2), "SD"), *_FILLERS),
)  # fmt: skip
PERMIT_CHIP = Form(
    name="CHN-PERMIT-CHIP", title="Permit of mainland residents for Hong Kong and Macao or for Taiwan, DG1 of the chip",
    family="CHN-PERMIT-CHIP", source=_SOURCE, widths=(30, 30, 30), photo=False,
    begins=((0, re.compile("C[SD](?![A-Z<]{3})[A-Z]")),), starts="C", document=of_icao,
    kind=Span(0, 0, 2), issuer="CHN", nationality="CHN", number=_NUMBER, expiry=_EXPIRY, birth=_BIRTH, sex=Span(2, 0, 1),
    read_names=_chip_names, own_script=True, native=lambda lines: chinese(lines[1][:12]), guards=_GUARDS,
)  # fmt: skip

# -- Permits of residents of Hong Kong, Macao and Taiwan, since 2012 and 2015 --------------------------------------------------

_COUNT, _EXPIRY_3, _BIRTH_3 = Span(0, 12, 14), Span(0, 15, 21), Span(0, 23, 29)
_GUARDS_3 = (
    Guard("number", 0, 11, (_NUMBER,)), Guard("count", 0, 14, (_COUNT,)), Guard("expiry", 0, 21, (_EXPIRY_3,)),
    Guard("birth", 0, 29, (_BIRTH_3,), blank=True),
)  # fmt: skip
_ZONE_3 = Guard("zone", 1, 29, (Span(0, 2, 22), Span(0, 23, 30), Span(1, 19, 29)))
_BORN = Century(Span(1, 18, 19), _CENTURIES)
_DIGITS_3 = ((_COUNT, "0123456789"), (Span(0, 0, 1), "C"), (Span(1, 18, 19), "ABC"))


def _home_names(lines: Lines) -> Names:
    return _latin(lines[2], Span(2, 0, 30))


def _taiwan_names(lines: Lines) -> Names:
    return _latin(lines[2][:26], Span(2, 0, 26))


HOME_RETURN = Form(
    name="CHN-HOME-RETURN", title="Permit of residents of Hong Kong and Macao for the mainland, since 2012",
    family="CHN-HOME-RETURN", source="GA/T 704.14-2015, form of 2012", widths=(30, 30, 30),
    begins=((0, re.compile(r"C[^SD][HM]\d")),), starts="C", document=of_icao,
    kind=Span(0, 0, 2), issuer="CHN", nationality="CHN", number=_NUMBER, expiry=_EXPIRY_3, birth=_BIRTH_3, sex=Span(0, 22, 23),
    optional=(_COUNT, Span(1, 19, 28)), century=_BORN, read_names=_home_names,
    own_script=True, native=lambda lines: chinese(lines[1][:18]),
    guards=(*_GUARDS_3, Guard("holder", 1, 28, (Span(1, 19, 28),), blank=True), _ZONE_3),
    letters=(*_DIGITS_3, (Span(2, 0, 30), _LATIN)),
)  # fmt: skip
TAIWAN_COMPATRIOT = Form(
    name="CHN-TAIWAN", title="Permit of residents of Taiwan for the mainland, since 2015",
    family="CHN-TAIWAN", source="GA/T 704.16-2015", widths=(30, 30, 30),
    begins=((0, re.compile(r"C[A-Z<]\d\d")),), starts="C", document=of_icao,
    kind=Span(0, 0, 2), issuer="CHN", nationality="CHN", number=_NUMBER, expiry=_EXPIRY_3, birth=_BIRTH_3, sex=Span(0, 22, 23),
    optional=(_COUNT, Span(1, 19, 29), Span(2, 26, 30)), century=_BORN, read_names=_taiwan_names,
    own_script=True, native=lambda lines: chinese(lines[1][:18]), guards=(*_GUARDS_3, _ZONE_3),
    letters=(*_DIGITS_3, (Span(2, 0, 26), _LATIN)),
)  # fmt: skip

# -- Permit of residents of Hong Kong and Macao of 1999 ------------------------------------------------------------------------

_NUMBER_99, _BIRTH_99, _EXPIRY_99 = Span(1, 15, 26), Span(1, 0, 6), Span(1, 8, 14)
HOME_RETURN_1999 = Form(
    name="CHN-HOME-RETURN-1999", title="Permit of residents of Hong Kong and Macao for the mainland, of 1999",
    family="CHN-HOME-RETURN-1999", source="GA/T 704.14-2015, form of 1999", widths=(30, 30, 30),
    begins=((0, re.compile("C<CHN")), (1, re.compile(r".{16}\d"))), starts="C", document=of_icao,
    kind=Span(0, 0, 2), issuer=Span(0, 2, 5), nationality="CHN", number=_NUMBER_99, birth=_BIRTH_99, expiry=_EXPIRY_99,
    sex=Span(1, 7, 8), century=Century(Span(1, 27, 28), _CENTURY_DIGITS),
    expiry_century=Century(Span(1, 28, 29), _CENTURY_DIGITS), read_names=_home_names,
    own_script=True, native=lambda lines: chinese(lines[0][5:26]),
    guards=(
        Guard("number", 1, 26, (_NUMBER_99,)), Guard("birth", 1, 6, (_BIRTH_99,), blank=True),
        Guard("expiry", 1, 14, (_EXPIRY_99,)),
    ),
    letters=(
        (Span(0, 26, 27), "0123456789"), (Span(0, 29, 30), "0123456789"), (Span(1, 27, 29), "012"),
        (Span(1, 29, 30), "0123456789"), (Span(1, 15, 16), "HM"), (Span(1, 16, 26), "0123456789"), (Span(2, 0, 30), _LATIN),
    ),
)  # fmt: skip
CHINA = (PERMIT_PRINT, PERMIT_CHIP, HOME_RETURN, TAIWAN_COMPATRIOT, HOME_RETURN_1999)
