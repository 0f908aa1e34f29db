"""Read the columns of a list as text: what separates those of a CSV, which are none of a list's, which types lose something.

A number that a program has taken for a number is another number: `012345678` becomes 12345678, `4509123456` 4.5e+09. So a
column of a type that loses something is refused by its name; nothing is guessed. What is exact is taken as it comes: text of
every kind, days, and moments that are whole days.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from annul.errors import BadInput
from annul.times import rfc3339

if TYPE_CHECKING:
    import pyarrow as pa

SEPARATORS: Final = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
NAME_SHOWN_MAX: Final = 40
"""Characters of a foreign column's name that a refusal repeats."""
UTF16: Final = (b"\xff\xfe", b"\xfe\xff")

_ROUNDED: Final = re.compile(r"\d+\.0+|\d+[.,]\d+[eE][+-]?\d+|\d+[eE]\+\d+", re.ASCII)
_TOLD: Final = re.compile(r"[^\W\d][^\W\d]*(?:[ _.-][^\W\d]+)*")


class Header(NamedTuple):
    """Hold the header of a CSV list: the separator, the names in lower case, the lines before the first row (1 or 2)."""

    separator: str
    names: list[str]
    lines: int

    @property
    def word(self) -> str:
        """Name the separator."""
        return SEPARATORS[self.separator]


def read_header(first: bytes, second: bytes, known: Collection[str], where: str) -> Header:
    """Read the header of a CSV list, whatever separates its columns.

    Args:
        first, second: the first two lines; spreadsheets write `sep=;` above the header.
        known: the columns there are.
        where: name of the file, for errors.

    Raises:
        BadInput: it is not UTF-8.
    """
    if first.startswith(UTF16):
        raise BadInput("The list is in UTF-16.", where=f"{where}, line 1", mend="Save it as CSV in UTF-8.")
    try:
        text = first.decode("utf-8-sig").rstrip("\r\n")
        stated = text[4:5] if text[:4].lower() == "sep=" else ""
        if stated:
            text = second.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise BadInput("The header line cannot be read.", where=f"{where}, line 1", mend="Save it as UTF-8.") from error
    known_by = {each: len(set(_split(text, each)) & set(known)) for each in SEPARATORS}
    separator = stated if stated in SEPARATORS else max(SEPARATORS, key=known_by.__getitem__)
    return Header(separator, _split(text, separator), 2 if stated else 1)


def _split(text: str, separator: str) -> list[str]:
    return [name.strip().lower() for name in next(csv.reader([text], delimiter=separator), [])]


def split_line(text: str, separator: str) -> list[str]:
    """Return the fields of one line of CSV; csv.Error when it is not well formed."""
    return next(csv.reader([text], delimiter=separator, strict=True)) if '"' in text else text.split(separator)


def require_columns(
    names: list[str], known: Collection[str], needed: Collection[str], where: str, *, left_out: Collection[str] = ()
) -> None:
    """Refuse columns that are not those of a list, by their names.

    Args:
        names: the columns of the list.
        known, needed: the columns there are, and those that must be there.
        left_out: columns that the caller has said may be passed over.

    Raises:
        BadInput: one is unknown, stands there twice, or is missing. A name with digits is not repeated: it may be a row.
    """
    mend = f"Use {', '.join(known)}; {', '.join(needed)} are needed."
    unknown = [name for name in names if name not in known and name not in left_out]
    if unknown and all(_TOLD.fullmatch(name) for name in unknown):
        told = ", ".join(f"“{name[:NAME_SHOWN_MAX]}”" for name in unknown)
        raise BadInput(f"The list has columns that no list has: {told}.", where=where, mend=f"Leave them out. {mend}")
    if unknown:
        raise BadInput("The first line does not name the columns of a list.", where=where, mend=mend)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadInput(f"A column stands there twice: {twice[0]}.", where=where, mend=mend)
    missing = [name for name in needed if name not in names]
    if missing:
        raise BadInput(f"The list has no column {missing[0]}.", where=where, mend=mend)


def rounded(text: str) -> bool:
    """Tell whether a number was written by a program that took it for a quantity: 12345678.0, 4.5E+09."""
    return _ROUNDED.fullmatch(text) is not None


def column_text(
    name: str, column: pa.Array, where: str, *, days: Collection[str], moments: Collection[str]
) -> list[str | None]:
    """Return a column of a Parquet file as text, or refuse it by its name.

    Args:
        days, moments: the columns that are days (YYYY-MM-DD), and those that are moments (RFC 3339).
        where: name of the file, for errors.

    Raises:
        BadInput: its type loses something: a number, a day with a time of day, a moment without a zone.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    kind: Any = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    if text or pa.types.is_null(kind):
        return pc.cast(column, pa.string()).to_pylist()  # type: ignore[no-any-return]
    place = f"{where}, column {name}"
    if name in days and pa.types.is_date(kind):
        return pc.cast(pc.cast(column, pa.date32()), pa.string()).to_pylist()  # type: ignore[no-any-return]
    if name in days and pa.types.is_timestamp(kind) and kind.tz is None:
        whole = pc.all(pc.equal(pc.floor_temporal(column, unit="day"), column)).as_py()
        if whole is False:
            raise BadInput(f"The column {name} has a time of day.", where=place, mend="Write days alone: YYYY-MM-DD.")
        return pc.cast(pc.cast(column, pa.date32()), pa.string()).to_pylist()  # type: ignore[no-any-return]
    if name in moments and pa.types.is_timestamp(kind) and kind.tz is not None:
        at_us = pc.cast(pc.cast(column, pa.timestamp("us", "UTC"), safe=False), pa.int64()).to_pylist()
        return [None if at is None else rfc3339(at) for at in at_us]
    if pa.types.is_timestamp(kind):
        lacks = "has a zone, and a day has none" if kind.tz else "has no zone"
        told = lacks if name in moments or name in days else "holds moments, not text"
        raise BadInput(f"The column {name} {told}.", where=place, mend="Write it as text.")
    raise BadInput(
        f"The column {name} is of the type {column.type}, not text: leading zeros are lost in it, and other documents meant.",
        where=place,
        mend="Read the column as text where the list is made, and write it as text.",
    )
