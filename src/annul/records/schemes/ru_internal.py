"""Internal passport of the Russian Federation: series of 4 digits, number of 6 digits.

Source: the public list of invalid passports (columns PASSP_SERIES, PASSP_NUMBER).
"""

# ruff: noqa: ARG002 - a scheme has every argument of its protocol
from __future__ import annotations

import re
from typing import TYPE_CHECKING

from annul.errors import BadInput
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

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SERIES_DIGITS = 4
NUMBER_DIGITS = 6
CODE = 3
TAG = CODE
"""First byte of every block of this scheme (role document, not hashed)."""
_REREAD = "Read the series (4 digits) and the number (6 digits) again."


class RuInternal(Scheme):
    """Scheme `ru-internal`: fields series and number; or number alone with all 10 digits."""

    name = "ru-internal"
    code = CODE
    discriminated = False
    kinds = (
        Kind("ru-internal", "Internal passport", "Internal passport (Russia)", "series of 4 and number of 6 digits", "book"),
    )

    def parse(self, fields: DocumentFields, today_day: int) -> Document:
        """See `Scheme.parse`."""
        refuse_fields(fields, "issuer", "kind", "mrz")
        number = plain(required(fields.number, "/document/number", "The number"), "/document/number")
        if fields.series is None:
            if len(number) == NUMBER_DIGITS:
                raise BadInput("The series is missing.", where="/document/series", mend="Give series.")
            series, number = number[:SERIES_DIGITS], number[SERIES_DIGITS:]
        else:
            series = plain(fields.series, "/document/series")
        if len(series) != SERIES_DIGITS or not (series.isascii() and series.isdigit()):
            raise malformed("A series has 4 digits.", _REREAD, "/document/series")
        if len(number) != NUMBER_DIGITS or not (number.isascii() and number.isdigit()):
            raise malformed("A number has 6 digits.", _REREAD)
        start, end = validity(fields)
        return Document("ru-internal", "RU", "internal", series + number, start, end)

    def coverage_name(self, document: Document) -> str:
        """See `Scheme.coverage_name`."""
        return "ru-internal"

    def pack(self, document: Document, *, discriminator: bool) -> bytes | None:
        """See `Scheme.pack`: the ten digits as u64, then 7 zeros."""
        return int(document.number).to_bytes(8, "big") + b"\0\0\0\0\0\0\0"

    def fits(self, number: str) -> bool:
        """See `Scheme.fits`: also a number with a digit too few or too many, which is then refused by its form."""
        return re.fullmatch(r"\d{9,11}", number) is not None

    def printed(self, number: str) -> str:
        """See `Scheme.printed`: series and number."""
        whole = len(number) == SERIES_DIGITS + NUMBER_DIGITS
        return f"{number[:SERIES_DIGITS]} {number[SERIES_DIGITS:]}" if whole else super().printed(number)

    def fields_of_typed(self, typed: Typed) -> DocumentFields:
        """See `Scheme.fields_of_typed`."""
        return self.fields_of_row(self.name, "", re.sub(r"\D", "", typed.number))

    def fields_of_row(self, coverage: str, kind: str, number: str) -> DocumentFields:
        """See `Scheme.fields_of_row`."""
        return DocumentFields(self.name, number[SERIES_DIGITS:], series=number[:SERIES_DIGITS])


def blocks_of_numbers(numbers: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Return the blocks of many documents at once, equal to `block` of each.

    Args:
        numbers: shape (n,), series * 1,000,000 + number, each below 10^10.
    Returns:
        shape (n, 16), C-contiguous: `.tobytes()` is what `DocumentKeys.blind` takes.
    """
    # Imported here, not above: verifying one receipt should not wait for numpy.
    import numpy as np

    blocks = np.zeros((len(numbers), 16), dtype=np.uint8)
    blocks[:, 0] = TAG
    blocks[:, 1:9] = numbers.astype(">u8").view(np.uint8).reshape(-1, 8)
    return blocks


RU_INTERNAL = SCHEME = RuInternal()
