"""Take a record apart for comparison: its name in parts and by sound, its address, what it is reached by, its papers.

A comparison needs more than a normal form: which part of a name differs, whether it sounds the same, and what else two records
have in common. All of it is made in memory, for the time of a run.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from annul.errors import BadInput, MalformedNumber
from annul.records.document import SCHEMES, DocumentFields, parse_document
from annul.records.names import holder_block, normal_forms
from annul.records.person import Person
from annul.registry.review.rules import normal, whole_number
from annul.registry.review.sounds import sound, surname_length

_HAN_NAME: Final = re.compile("[\u3400-\u4dbf\u4e00-\u9fff〇\U00020000-\U0003fffd]+")
_PARTED: Final = re.compile(r"[·•・･‧∙⋅.．，,\s]+")
_LV: Final = re.compile(r"\b([LN])V(?=E?\b|E?[BCDFGHJKLMNPQRSTWXYZ])")
_NO_SIGN: Final = re.compile(r"[\W_]+")
_PHONE_DIGITS: Final = 9
"""Digits of a telephone number that are compared, from its end: with or without the code of the country."""
_PHONE_LEAST: Final = 7


class Spelt(NamedTuple):
    """A name taken apart; texts are empty where there is no such part.

    Args:
        head, tail: surname and given name of a Chinese name; else the first and the last word as written.
        middle: what stands between them.
        head_sound, tail_sound: how they sound, in capital letters; of other names the words themselves.
        tone: how the given name sounds with its tones; empty for names in letters.
        letters: the letters of the whole name by its sound, sorted: the same for words in another order or joined.
        latin: the same of the Latin form on record; of the sound where there is none.
        signs: the characters of a Chinese name, sorted.
    """

    head: str
    tail: str
    middle: str
    head_sound: str
    tail_sound: str
    tone: str
    letters: str
    latin: str
    signs: str


def spell(person: Person, main: str) -> Spelt:
    """Take the main name of a person apart; `main` is its first normal form."""
    written = person.names[0].text
    latin = next((each.text for each in person.names[1:] if each.kind == "latin"), "")
    if not main or not _HAN_NAME.fullmatch(main):
        return _in_letters(written, latin)
    length = 0 if len(_PARTED.split(written.strip())[0]) > 2 and "·" in written else surname_length(main)
    head, tail = main[:length], main[length:]
    of_head, of_tail = sound(head, surname=True), sound(tail)
    letters = "".join(sorted(of_head.plain + of_tail.plain))
    return Spelt(
        head,
        tail,
        "",
        of_head.plain,
        of_tail.plain,
        of_tail.toned,
        letters,
        _sorted_letters(_words(latin)) or letters,
        "".join(sorted(main)),
    )


def _in_letters(written: str, latin: str) -> Spelt:
    words = _words(written)
    if not words:
        return Spelt("", "", "", "", "", "", "", "", "")
    letters = _sorted_letters(words)
    head = words[0] if len(words) > 1 else ""
    return Spelt(
        head,
        words[-1],
        " ".join(words[1:-1]),
        head,
        words[-1],
        "",
        letters,
        _sorted_letters(_words(latin)) or letters,
        "",
    )


def _words(name: str) -> list[str]:
    """Return the words of a name, folded, in their order; a surname before a comma comes last."""
    if "," in name:
        before, _, after = name.partition(",")
        name = f"{after} {before}"
    return [_LV.sub(r"\1YU", forms[0].replace(" ", "")) for word in name.split() if (forms := normal_forms(word))]


def _sorted_letters(words: list[str]) -> str:
    return "".join(sorted("".join(words)))


def address_of(person: Person) -> str:
    """Return the postal address, folded; empty where none is on record."""
    return next((folded(each.value) for each in person.contacts if each.kind == "post"), "")


def folded(text: str) -> str:
    """Return a text in capitals, its signs made blanks."""
    return _NO_SIGN.sub(" ", text.upper()).strip()


def reach_of(person: Person) -> list[str]:
    """Return by what a person is reached: the last digits of telephones, and e-mail addresses."""
    found: dict[str, None] = {}
    for each in person.contacts:
        if each.kind == "phone":
            digits = "".join(sign for sign in each.value if sign.isdigit())
            if len(digits) >= _PHONE_LEAST:
                found[digits[-_PHONE_DIGITS:]] = None
        elif each.kind == "email":
            found[each.value.strip().lower()] = None
    return list(found)


def papers_of(person: Person) -> list[str]:
    """Return what stands for the documents that name a person by a number of their own; of others there are none."""
    return list(dict.fromkeys(paper for fields in person.documents if (paper := paper_of(fields))))


def paper_of(fields: DocumentFields) -> str:
    """Return what stands for a document that names its holder by a number of its own; empty for any other."""
    try:
        document = parse_document(fields)
    except (MalformedNumber, BadInput):
        return ""
    return "" if SCHEMES[document.scheme].discriminated else holder_block(document).hex()


def numbers_of(person: Person) -> tuple[str, str]:
    """Return the personal number as written, and as it is compared: one of 15 digits with the 18 that were made of it."""
    number = normal(person.personal_number)
    return number, whole_number(number)
