"""The five forms of ICAO Doc 9303: three sizes of documents, two of visas.

Source: ICAO Doc 9303-4 (TD3), 9303-5 (TD1), 9303-6 (TD2), 9303-7 (MRV-A, MRV-B), 8th edition.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from annul.records.forms.form import Form, Guard, Span
from annul.records.scheme import DocumentFields

if TYPE_CHECKING:
    from annul.records.mrz import Mrz


def of_icao(zone: Mrz) -> DocumentFields:
    """Return the document of a zone by issuer, kind and number."""
    return DocumentFields("icao-9303", issuer=zone.issuer, kind=zone.kind, number=zone.number)


_USUAL_CARDS = re.compile("I[^C]|A[CR]")
"""I with anything of the issuer's, AR (residence permits), AC (crew); IC is none (Doc 9303-5, section 4.2.2)."""
_BIRTH_1, _EXPIRY_1 = Span(1, 0, 6), Span(1, 8, 14)
_BIRTH_2, _EXPIRY_2 = Span(1, 13, 19), Span(1, 21, 27)
_NUMBER_1, _NUMBER_2 = Span(0, 5, 14), Span(1, 0, 9)

TD1 = Form(
    name="TD1", title="Card of three lines", source="ICAO Doc 9303-5, section 4.2", family="TD1", document=of_icao,
    widths=(30, 30, 30), begins=((0, re.compile("[ACI]")),), starts="ACI", usual=_USUAL_CARDS,
    kind=Span(0, 0, 2), issuer=Span(0, 2, 5), number=_NUMBER_1, names=Span(2, 0, 30), nationality=Span(1, 15, 18),
    birth=_BIRTH_1, sex=Span(1, 7, 8), expiry=_EXPIRY_1, optional=(Span(0, 15, 30), Span(1, 18, 29)), more=Span(0, 15, 30),
    guards=(
        Guard("number", 0, 14, (_NUMBER_1,)), Guard("birth", 1, 6, (_BIRTH_1,), blank=True),
        Guard("expiry", 1, 14, (_EXPIRY_1,), blank=True),
        Guard("zone", 1, 29, (Span(0, 5, 30), Span(1, 0, 7), Span(1, 8, 15), Span(1, 18, 29))),
    ),
)  # fmt: skip
TD2 = Form(
    name="TD2", title="Card of two lines", source="ICAO Doc 9303-6, section 4.2", family="TD2", document=of_icao,
    widths=(36, 36), begins=((0, re.compile("[ACIP]")),), starts="ACIP", usual=_USUAL_CARDS,
    kind=Span(0, 0, 2), issuer=Span(0, 2, 5), number=_NUMBER_2, names=Span(0, 5, 36), nationality=Span(1, 10, 13),
    birth=_BIRTH_2, sex=Span(1, 20, 21), expiry=_EXPIRY_2, optional=(Span(1, 28, 35),), more=Span(1, 28, 35),
    guards=(
        Guard("number", 1, 9, (_NUMBER_2,)), Guard("birth", 1, 19, (_BIRTH_2,), blank=True),
        Guard("expiry", 1, 27, (_EXPIRY_2,), blank=True),
        Guard("zone", 1, 35, (Span(1, 0, 10), Span(1, 13, 20), Span(1, 21, 35))),
    ),
)  # fmt: skip
TD3 = Form(
    name="TD3", title="Passport", source="ICAO Doc 9303-4, section 4.2", family="TD3", document=of_icao,
    widths=(44, 44), begins=((0, re.compile("P")),), starts="P",
    kind=Span(0, 0, 2), issuer=Span(0, 2, 5), number=_NUMBER_2, names=Span(0, 5, 44), nationality=Span(1, 10, 13),
    birth=_BIRTH_2, sex=Span(1, 20, 21), expiry=_EXPIRY_2, optional=(Span(1, 28, 42),),
    guards=(
        Guard("number", 1, 9, (_NUMBER_2,)), Guard("birth", 1, 19, (_BIRTH_2,), blank=True),
        Guard("expiry", 1, 27, (_EXPIRY_2,), blank=True), Guard("optional", 1, 42, (Span(1, 28, 42),), blank=True),
        Guard("zone", 1, 43, (Span(1, 0, 10), Span(1, 13, 20), Span(1, 21, 43))),
    ),
)  # fmt: skip
MRV_A = Form(
    name="MRV-A", title="Visa of a full page", source="ICAO Doc 9303-7, section 4.1", family="MRV-A", document=of_icao,
    widths=(44, 44), begins=((0, re.compile("V")),), starts="V", photo=False,
    kind=Span(0, 0, 2), issuer=Span(0, 2, 5), number=_NUMBER_2, names=Span(0, 5, 44), nationality=Span(1, 10, 13),
    birth=_BIRTH_2, sex=Span(1, 20, 21), expiry=_EXPIRY_2, optional=(Span(1, 28, 44),),
    guards=(
        Guard("number", 1, 9, (_NUMBER_2,)), Guard("birth", 1, 19, (_BIRTH_2,), blank=True),
        Guard("expiry", 1, 27, (_EXPIRY_2,), blank=True),
    ),
)  # fmt: skip
MRV_B = Form(
    name="MRV-B", title="Visa smaller than a page", source="ICAO Doc 9303-7, section 4.2", family="MRV-B", document=of_icao,
    widths=(36, 36), begins=((0, re.compile("V")),), starts="V", photo=False,
    kind=Span(0, 0, 2), issuer=Span(0, 2, 5), number=_NUMBER_2, names=Span(0, 5, 36), nationality=Span(1, 10, 13),
    birth=_BIRTH_2, sex=Span(1, 20, 21), expiry=_EXPIRY_2, optional=(Span(1, 28, 36),),
    guards=(
        Guard("number", 1, 9, (_NUMBER_2,)), Guard("birth", 1, 19, (_BIRTH_2,), blank=True),
        Guard("expiry", 1, 27, (_EXPIRY_2,), blank=True),
    ),
)  # fmt: skip
ICAO = (TD1, TD3, TD2, MRV_A, MRV_B)
