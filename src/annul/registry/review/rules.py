"""What a record can contradict: the rules, and those of them that one record alone can break.

Source: GB 11643-1999 (form of the number); GB/T 2260 with its history of division codes, as python-stdnum carries it.
Decision: docs/decisions/0012-linkage-and-face-search.md; rates and limits: docs/review.md.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import date, timedelta
from functools import cache
from importlib import resources
from typing import Final, Literal, NamedTuple

from annul.records.divisions import years
from annul.records.person import Person
from annul.records.schemes.cn_resident import FOREIGNER_MARK, check_character

Cause = Literal["wrong", "duplicate", "false"]
CAUSES: Final[tuple[Cause, ...]] = ("wrong", "duplicate", "false")

AGE_MAX_YEARS: Final = 122
"""Oldest age ever proved. Source: International Database on Longevity (J. Calment, 1875-1997)."""
PARENT_MIN_YEARS: Final = 12
MOTHER_MAX_YEARS: Final = 60
FATHER_MAX_YEARS: Final = 95
"""Ages at a birth beyond which a family is suspected; births outside them are single cases in the medical literature."""
FATHER_DEAD_DAYS: Final = 300
"""Longest time from a father's death to the birth. Source: presumption of paternity, e.g. section 1593 BGB."""
BIRTHS_SAME_DAYS: Final = 3
BIRTHS_APART_DAYS: Final = 210
"""Two births of one mother are of one delivery, or at least a short pregnancy of 30 weeks apart."""
NUMBERED_SINCE: Final = 1984
"""Numbers were given out since then: a code abolished earlier is in no true number, however old its holder."""


NUMBER_LENGTHS: Final = (14, 20)
NUMBER_DIGITS_MIN: Final = 12
"""A number with a digit too few or too many, or letters for digits, is still seen to be meant for a citizen number."""


class Rule(NamedTuple):
    """One way in which entries contradict.

    Args:
        score: how sure it is that something is wrong, 0 to 1; linkage and face search give their own.
        says: the contradiction in words, for the officer.
    """

    cause: Cause
    score: float
    says: str


RULES: Final[dict[str, Rule]] = {
    "number-form": Rule("wrong", 0.95, "The personal number does not have the form of a citizen number."),
    "number-date": Rule("wrong", 1.0, "The digits of the birth date inside the number are no date."),
    "check-character": Rule("wrong", 1.0, "The check character does not fit the digits of the number."),
    "birth-date": Rule("wrong", 0.95, "The number and the record give different birth dates."),
    "sex": Rule("wrong", 0.95, "The number and the record give different sexes."),
    "division-unknown": Rule("wrong", 0.95, "The division code was never in force."),
    "division-abolished": Rule("wrong", 0.8, "The division code had been abolished before it could be given out."),
    "dates-impossible": Rule("wrong", 1.0, "The dates of this life cannot be true together."),
    "document-dates": Rule("wrong", 0.9, "A document's validity lies outside its holder's life."),
    "encoding-damage": Rule("wrong", 0.9, "The text was damaged when it was carried from one encoding into another."),
    "shared-number": Rule("duplicate", 1.0, "Several records have one number, of a person or of a document."),
    "same-person": Rule("duplicate", 0.9, "Two numbers seem to belong to one person."),
    "same-face": Rule("duplicate", 0.9, "The portraits of two persons look like one face."),
    "no-event": Rule("false", 0.8, "No civil event stands behind this entry."),
    "event-twice": Rule("false", 0.9, "One civil event stands behind several entries."),
    "dead-documents": Rule("false", 1.0, "The holder is dead, and documents are still in force."),
    "mother-age": Rule("false", 0.9, "The mother was too young or too old at this birth."),
    "father-age": Rule("false", 0.9, "The father was too young or too old at this birth."),
    "mother-dead": Rule("false", 1.0, "The mother had died before this birth."),
    "father-dead": Rule("false", 0.95, "The father had died long before this birth."),
    "parent-sex": Rule("false", 0.95, "The sex of a parent does not fit."),
    "births-near": Rule("false", 0.9, "Two births of one mother are too near each other."),
    "parent-cycle": Rule("false", 1.0, "A person is recorded as an ancestor of themselves."),
}
"""Code -> rule. Codes are stored with suspicions: they are never given another meaning."""

LINKED: Final = frozenset({"same-person", "same-face"})
"""Rules that weigh likeness; all others state a contradiction."""

_NUMBER: Final = re.compile(r"\d{17}[\dX]", re.ASCII)
_OLD_NUMBER: Final = re.compile(r"\d{15}", re.ASCII)
_LONG: Final = timedelta(AGE_MAX_YEARS * 365.2425)


def normal(number: str) -> str:
    """Return a personal number as it is compared here: no spaces, capital X."""
    return number.replace(" ", "").upper()


def is_citizen_number(number: str) -> bool:
    """Tell whether a number has the form of a citizen number (its check character may be wrong)."""
    return _NUMBER.fullmatch(number) is not None


def whole_number(number: str) -> str:
    """Return a number of 15 digits as the 18 that were made of it, any other as it is.

    Source: GB 11643-1999, annex: the century 19 was put in, and the check character added.
    """
    if not _OLD_NUMBER.fullmatch(number):
        return number
    body = f"{number[:6]}19{number[6:]}"
    return body + check_character(body)


def region_of(person: Person) -> str:
    """Return the division code a record belongs to: of its place, else of its number; empty when neither has one."""
    if person.place in years():
        return person.place
    number = normal(person.personal_number)
    return number[:6] if is_citizen_number(number) and number[:6] in years() else ""


def faults(person: Person, today: date) -> list[str]:
    """Return the rules that a record breaks by itself, in the order of RULES.

    Args:
        today: the day of the run; births and deaths after it are impossible.
    """
    found = _of_number(person)
    place = person.place
    if place in years():
        if place in _ends() and "division-abolished" not in found:
            found.append("division-abolished")
    elif (
        _is_code(place) and is_citizen_number(whole_number(normal(person.personal_number))) and "division-unknown" not in found
    ):
        found.append("division-unknown")  # six digits beside another country's number are that country's
    if _impossible(person, today):
        found.append("dates-impossible")
    if any(is_damaged(name.text) for name in person.names) or is_damaged(person.place) or is_damaged(person.origin):
        found.append("encoding-damage")
    return found


def _of_number(person: Person) -> list[str]:
    """Return the rules that the number breaks, alone or against the record; 15 digits are held against it as 18 are."""
    found = []
    number = normal(person.personal_number)
    whole = whole_number(number)
    born = person.birth_date
    if not is_citizen_number(whole):
        return ["number-form"] if person.place in years() and _is_damaged_number(number) else []
    said = f"{whole[6:10]}-{whole[10:12]}-{whole[12:14]}"
    if not _is_day(said):
        found.append("number-date")
        said = ""
    if whole[17] != check_character(whole[:17]):
        found.append("check-character")
    if said and born and said != born and not (whole != number and said[2:] == born[2:]):  # 15 digits say no century
        found.append("birth-date")
    if person.sex in ("F", "M") and (whole[16] in "13579") != (person.sex == "M"):
        found.append("sex")
    code = whole[:6]
    if code not in years() and code[0] != FOREIGNER_MARK:
        found.append("division-unknown")
    elif (ended := _ends().get(code, 9999)) < NUMBERED_SINCE or (said and ended < int(said[:4])):
        found.append("division-abolished")
    return found


def _is_damaged_number(number: str) -> bool:
    """Tell whether a number was meant to be a citizen number: about as long, most of it digits. A passport's is neither."""
    digits = sum(sign.isdigit() for sign in number)
    return NUMBER_LENGTHS[0] <= len(number) <= NUMBER_LENGTHS[1] and digits >= NUMBER_DIGITS_MIN


def _is_code(place: str) -> bool:
    return len(place) == 6 and place.isascii() and place.isdigit()


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _impossible(person: Person, today: date) -> bool:
    born, died, now = person.birth_date, person.death_date, today.isoformat()
    if born > now or died > now:  # dates of this form sort as text; an empty one sorts first
        return True
    if died and ((born and died < born) or person.status == "living"):
        return True
    if not born:
        return False
    last = date.fromisoformat(died) if died else today
    return last - date.fromisoformat(born) > _LONG and (bool(died) or person.status == "living")


# -- damaged text ------------------------------------------------------------------------------------------------------------

_LATIN_1: Final = re.compile("[\u0080-\u00ff]")
_PLAIN: Final = re.compile("[A-Za-z \u4e00-\u9fa50-9'.·-]*")
_ENTITY: Final = re.compile(r"&(?:#\d+|#x[0-9a-fA-F]+|[a-z]{2,8});|\?\?|\\u[0-9a-fA-F]{4}|%[0-9A-F]{2}%|=[0-9A-F]{2}=")
_INVISIBLE: Final = frozenset("\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff")
_HAN: Final = re.compile("[\u4e00-\u9fff]+")
_CYRILLIC: Final = re.compile("[\u0400-\u04ff]")


def is_damaged(text: str) -> bool:
    """Tell whether a text bears the marks of a wrong encoding: replaced, private, control or invisible characters, or letters
    that become a text of another script when the known mistake is undone."""
    if text.isascii() or _PLAIN.fullmatch(text):
        return _ENTITY.search(text) is not None or _read_as_gbk(text)
    if any(sign in _INVISIBLE or unicodedata.category(sign) in ("Cc", "Co", "Cs", "Cn") or sign == "\ufffd" for sign in text):
        return True
    return _ENTITY.search(text) is not None or _read_as_latin(text) or _read_as_gbk(text)


def _read_as_latin(text: str) -> bool:
    """UTF-8, GBK or Windows-1251 that was read as Latin-1 or Windows-1252."""
    high = _LATIN_1.findall(text)
    if len(high) < 2:
        return False
    for encoding in ("latin-1", "cp1252"):
        try:
            raw = text.encode(encoding)
        except UnicodeEncodeError:
            continue
        for told, script, share in (("utf-8", None, 0.0), ("gbk", _HAN, 0.8), ("cp1251", _CYRILLIC, 0.8)):
            try:
                meant = raw.decode(told)
            except UnicodeDecodeError:
                continue
            if script is None:
                return True
            letters = [sign for sign in meant if sign.isalpha()]
            enough = len(high) >= 3 and len(high) / len(text.replace(" ", "")) >= share
            if enough and letters and all(map(script.match, letters)):
                return True
    return False


def _read_as_gbk(text: str) -> bool:
    """UTF-8 that was read as GBK: three bytes an ideograph became pairs of rare ones."""
    if not text or not _HAN.search(text):
        return False
    try:
        meant = text.encode("gbk").decode("utf-8")
    except (UnicodeEncodeError, UnicodeDecodeError):
        return False
    return _HAN.fullmatch(meant) is not None


# -- division codes ----------------------------------------------------------------------------------------------------------


@cache
def _ends() -> dict[str, int]:
    """Return the codes that are in force no more, with the last year of their last period.

    Source: `stdnum/cn/loc.dat`; a name without a period was always in force, `[1982-1999]` is a period.
    """
    ends: dict[str, int] = {}
    province = ""
    for line in resources.files("stdnum").joinpath("cn/loc.dat").read_text("utf-8").splitlines():
        if line.startswith("#") or not line.strip():
            continue
        code = line.split(maxsplit=1)[0]
        if not line.startswith(" "):
            province = code
            continue
        names = line.split('county="', 1)[1].rstrip('"').split(",")
        periods = [_PERIOD.match(name) for name in names]
        if all(period is not None and period[1] for period in periods):
            ends[province + code] = max(int(period[1]) for period in periods if period is not None)
    return ends


_PERIOD: Final = re.compile(r"\[\d*-(\d*)\]")
