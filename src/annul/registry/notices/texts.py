"""The texts of notices in every language: read from `texts/*.toml`, filled with words for codes and times with their zone.

A text never holds a document number: it names the kind of document, what happened, and a reference.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import Any, Final
from zoneinfo import ZoneInfo

from annul.languages import LANGUAGES, SOURCE

Names = Mapping[str, str]


UTC_NAME: Final = "UTC"


@dataclass(frozen=True, slots=True)
class Text:
    """A notice in words: subject and body of a letter, and one line for a telephone."""

    title: str
    body: str
    sms: str


@dataclass(frozen=True, slots=True)
class Subject:
    """Say what a notice is about, as the register knows it.

    Args:
        document_kind: kind of the document's row (resident, P, ID, internal), "" without a document.
        url: address of the doors.
        undo: address that ends a suspension in one step, "" where there is none.
        parties: names of the principals the values name, by id.
    """

    document_kind: str
    url: str
    undo: str
    parties: Names
    zone: str = UTC_NAME


@cache
def catalogue(language: str) -> dict[str, Any]:
    """Return the texts of a language, English when there is none in it."""
    name = LANGUAGES.get(language, LANGUAGES[SOURCE]).catalogue
    return tomllib.loads((resources.files(__package__) / "texts" / f"{name}.toml").read_text(encoding="utf-8"))


def render(kind: str, values: Mapping[str, Any], subject: Subject, language: str) -> Text:
    """Write a notice.

    Args:
        kind: one of HOLDER_KINDS.
        values: what `queue` was given.
    """
    words = catalogue(language)
    shown = _shown(values, subject, words)
    text = words["kinds"][kind]
    title = text["title"].format_map(shown)
    shown["title"], shown["at"] = title, shown["recorded_at"] or shown["checked_at"]
    short = text.get("sms", words["sms"]).format_map(shown)
    return Text(title, text["body"].format_map(shown), " ".join(short.split()).replace(". . ", ". "))


def letter(text: Text, language: str, url: str) -> str:
    """Return the whole text of an e-mail."""
    words = catalogue(language)
    return f"{words['greeting']}\n\n{text.body}\n\n-- \n{words['footer'].format_map({'url': url})}\n"


def clock(at_us: int, zone: str = UTC_NAME) -> str:
    """Write a time with seconds and zone: the register's first, and UTC beside when that is another one.

    Args:
        zone: IANA name; programs and the log get UTC.
    """
    there = datetime.fromtimestamp(at_us / 1e6, UTC)
    if zone == UTC_NAME:
        return there.strftime("%Y-%m-%d %H:%M:%S UTC")
    here = there.astimezone(ZoneInfo(zone))
    beside = "%H:%M:%S" if here.date() == there.date() else "%Y-%m-%d %H:%M:%S"
    return f"{here:%Y-%m-%d %H:%M:%S} {zone} ({there.strftime(beside)} UTC)"


def grouped(reference: str) -> str:
    """Write a reference in groups of four, as it is read out on the telephone: `R-7F3A-19C2-…`."""
    letter_, _, digits = reference.partition("_")
    if not digits:
        return reference
    return "-".join([letter_.upper(), *(digits[at : at + 4].upper() for at in range(0, len(digits), 4))])


def _isolated(text: str, words: dict[str, Any]) -> str:
    """Keep a time or reference in one piece where the text around it runs from right to left. Source: Unicode UAX 9."""
    return f"\u2066{text}\u2069" if words.get("direction") == "rtl" else text


class _Shown(dict[str, str]):
    """What a text may name; what is not known is left empty."""

    def __missing__(self, name: str) -> str:
        return ""


def _shown(values: Mapping[str, Any], subject: Subject, words: dict[str, Any]) -> _Shown:
    shown = _Shown(
        url=subject.url, undo=subject.undo, document=words["documents"].get(subject.document_kind, words["documents"]["other"])
    )
    for name, value in values.items():
        if name.endswith("_us"):
            shown[name.removesuffix("_us")] = _isolated(clock(int(value), subject.zone), words)
        elif name in ("author", "party"):
            shown[name] = words["authors"].get(value) or subject.parties.get(
                str(value).partition("/")[0], str(value).partition("/")[0]
            )
        elif name == "reference":
            shown[name] = _isolated(grouped(str(value)), words)
        elif name in ("purpose", "decision", "what"):
            table = words[{"purpose": "purposes", "decision": "decisions", "what": "what"}[name]]
            shown[name] = table.get(value, str(value))
        else:
            shown[name] = str(value)
    return shown
