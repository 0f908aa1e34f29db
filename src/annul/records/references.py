"""Texts by which people refer to their own files: one type for all of them, and what none of them may hold.

A reference (of a case, a piece of evidence, a shelf, a branch, a terminal, a clerk, a customer, a key) is short and printable,
on one line, and holds no number of a document or a person: what refers is handed on, kept for years and read by people who have
no business with the number. Only a number that *checks out* by its scheme is refused, so that honest file numbers pass; one
without a check digit cannot be told from them. Reasons in words (`require_reason`) may have several lines; else the same holds.

    evidence: Reference = ""                        a member of a struct; `require_marked` holds all of them at a door
    require_reference(evidence, "/evidence")        where a change is made

In the sealed log a reference stands as a commitment (`commit`), with a salt of its own; the text lies beside it and can be
erased. Source: docs/formats/register-entry.md, docs/privacy.md.

What must never happen here: a text repeated in an error.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterator
from functools import cache
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from annul.errors import BadInput
from annul.records.schemes import SCHEMES
from annul.records.shown import is_shown

REFERENCE_MAX: Final = 200
"""Characters of a reference: the longest true ones name an office, a year and a number."""
TAG_MAX: Final = 64
"""Characters of branch, terminal, clerk, case and the asker's own reference."""
WORDS_MAX: Final = 500
"""Characters of a reason in words."""
SALT_BYTES: Final = 16
COMMITMENT_BYTES: Final = 32

_MARK: Final = "annul"
REFERENCE: Final = {_MARK: "reference"}
"""Marks a member as a reference: `Meta(extra=REFERENCE)`."""
WORDS: Final = {_MARK: "words"}
"""Marks a member as a reason in words."""
Reference = Annotated[str, Meta(max_length=REFERENCE_MAX, extra=REFERENCE)]
"""A reference; "" when there is none."""
Given = Annotated[Reference, Meta(min_length=1)]
"""A reference that must be there."""
Tag = Annotated[str, Meta(max_length=TAG_MAX, extra=REFERENCE)]
"""A short reference: branch, terminal, clerk, the asker's own."""
Words = Annotated[str, Meta(max_length=WORDS_MAX, extra=WORDS)]
"""A reason in words, on one line or several."""

NUMBER_MIN: Final = 15
"""Characters of the shortest number that can check out."""
_RUN: Final = b"0" * 14
_DATES: Final = b"0" * 7 + b"M" + b"0" * 7
_OUTLINE: Final = bytes(
    0x30 if 0x30 <= sign <= 0x39 else 0x4D if sign in b"FMXfmx" else 0x3C if sign > 0x7F else sign for sign in range(256)
)
"""Digits as 0, letters for a sex as M, what is not ASCII as `<`: what a number is like, seen at the speed of memory."""
_BETWEEN: Final = b" -_.,:/"
_JOINED: Final = frozenset("-._/·:,\u00ad")
"""Besides blanks and dashes of every kind, what people put between the groups of one number."""


def holds_number(text: str) -> bool:
    """Tell whether a text holds a number of a document or a person that its scheme's own check confirms."""
    if len(text) < NUMBER_MIN:
        return False
    outline = text.encode(errors="replace").translate(_OUTLINE, _BETWEEN)
    if _RUN not in outline and b"<" not in outline and _DATES not in outline:
        return False  # this is asked of every check, so the slow look comes last
    return next(_spots(text), None) is not None


def without_numbers(text: str) -> str:
    """Return a text with "…" for every number in it that checks out: for what was written before such were refused."""
    cut, kept = [], 0
    for begin, end in sorted(_spots(text)):
        if begin >= kept:
            cut.append(text[kept:begin])
            kept = end
    return "…".join([*cut, text[kept:]])


def _spots(text: str) -> Iterator[tuple[int, int]]:
    """Yield where numbers stand in a text, as (begin, end) of the text itself."""
    folded: list[str] = []
    places: list[int] = []
    for place, character in enumerate(text):
        for sign in unicodedata.normalize("NFKC", character):
            category = unicodedata.category(sign)
            if category in ("Zs", "Pd", "Cf", "Mn") or sign in _JOINED:
                continue
            folded.append(str(unicodedata.decimal(sign)) if category == "Nd" else sign.upper()[:1])
            places.append(place)
    whole = "".join(folded)
    for scheme in SCHEMES.values():
        for begin, end in scheme.spots(whole):
            yield places[begin], places[end - 1] + 1


def require_reference(text: str, where: str, *, least: int = 0, most: int = REFERENCE_MAX) -> str:
    """Return a reference without blanks around it.

    Args:
        where: names the member, for the one who is refused.
        least, most: characters it may have.

    Raises:
        BadInput: it is too short or too long, has signs that are not shown, or holds a number that checks out.
    """
    if not is_shown(text):
        raise BadInput(
            "A reference is one line of signs that are shown.",
            where=where,
            mend="Leave out line breaks and invisible signs.",
        )
    text = text.strip()
    if not least <= len(text) <= most:
        raise BadInput(f"This has {least} to {most} characters.", where=where)
    _refuse_number(text, where)
    return text


def require_reason(text: str, where: str, *, least: int = 0, most: int = WORDS_MAX) -> str:
    """Return a reason in words without blanks around it; it may have several lines.

    Raises:
        BadInput: as `require_reference`.
    """
    text = text.strip()
    if not least <= len(text) <= most:
        raise BadInput(f"This has {least} to {most} characters.", where=where)
    if not all(is_shown(line) for line in text.splitlines()):
        raise BadInput("These words have signs that are not shown.", where=where, mend="Leave out invisible signs.")
    _refuse_number(text, where)
    return text


def _refuse_number(text: str, where: str) -> None:
    if holds_number(text):
        raise BadInput(
            "A number of a document or a person has no place here.",
            where=where,
            mend="Refer to your own file; the number stands there.",
        )


_REQUIRE: Final = {"reference": require_reference, "words": require_reason}


def require_marked(held: Any) -> None:
    """Hold every reference and every reason of a decoded body or query, at whatever depth.

    Raises:
        BadInput: one of them is not what it should be; `where` is its JSON pointer.
    """
    if isinstance(held, msgspec.Struct):
        _require_members(held, "")


def _require_members(held: Any, at: str) -> None:
    if isinstance(held, msgspec.Struct):
        marks = _marks(type(held))
        for field in held.__struct_fields__:
            value = getattr(held, field)
            if isinstance(value, str):
                if value and field in marks:
                    _REQUIRE[marks[field]](value, f"{at}/{field}")
            elif isinstance(value, msgspec.Struct | list | tuple):
                _require_members(value, f"{at}/{field}")
    elif isinstance(held, list | tuple) and held and isinstance(held[0], msgspec.Struct):
        for place, one in enumerate(held):
            _require_members(one, f"{at}/{place}")


@cache
def _marks(kind: type[msgspec.Struct]) -> dict[str, str]:
    """Return which members of a struct are references ("reference") and which are reasons ("words")."""
    told = msgspec.inspect.type_info(kind)
    assert isinstance(told, msgspec.inspect.StructType)
    return {field.name: mark for field in told.fields if (mark := _mark_of(field.type))}


def _mark_of(told: msgspec.inspect.Type) -> str:
    if isinstance(told, msgspec.inspect.Metadata):
        return str((told.extra or {}).get(_MARK, "")) or _mark_of(told.type)
    if isinstance(told, msgspec.inspect.UnionType):
        return next((mark for each in told.types if (mark := _mark_of(each))), "")
    return ""


def commit(salt: bytes, text: str) -> bytes:
    """Return what stands for a text in the sealed log, COMMITMENT_BYTES: who has text and salt can prove that it was meant.

    Args:
        salt: SALT_BYTES at random, so that nobody finds the text by trying texts.
    """
    return hashlib.sha256(b"annul reference v1\0" + salt + text.encode()).digest()
