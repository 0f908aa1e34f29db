"""Bring names into normal form, so that the same name written in two ways is the same bytes, and nothing else is.

A name has one normal form, or a handful where documents write it in several ways (ü is UE, U, UXX or YU). Two names of one
alphabet are the same when they share a form. Names in Cyrillic, Greek or Arabic letters have Latin forms too, one for each
language that writes them otherwise: those meet Latin names only, so that Жарко is ZARKO and ZHARKO and never Зарко. There is no
degree of likeness: a near match is no match.

    >>> normal_forms("Müller-Lüdenscheidt, Jürgen")
    ('JUERGEN LUEDENSCHEIDT MUELLER', 'JURGEN LUDENSCHEIDT MULLER')
    >>> same("買買提‧吐爾遜", "买买提·吐尔逊")
    True

What is folded: compatibility forms and width (NFKC), case, traditional and simplified Chinese characters, private-use code
points of old GBK data, middle dots and spacing of names in Chinese characters, diacritics, ё and hamza, marks of vowels, ü as V
in pinyin, order of parts, hyphens and apostrophes. What is not: letters of two alphabets in one name (look-alikes).

Source: ICAO Doc 9303-3 (8th edition), section 6; UTS #39, section 5.2 (highly restrictive); docs/life-of-a-name-check.md.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from annul.errors import BadInput, TooLarge
from annul.records import transliteration
from annul.records.document import SCHEMES, Document, block, number_block
from annul.records.gbk import PRIVATE
from annul.records.han_variants import PAIRS

NAME_VERSION: Final = 2
"""Version of the normal form. Stored tags depend on it: with another version they are made anew from the register."""
NAME_MAX: Final = 200
"""Characters of a name; ICAO Doc 9303 visual zone names are far shorter, national registers allow more."""

_ROLE_NAME: Final = 0x60
_HASHED: Final = 0x80

_ZEROS: Final = "〇○◯"
"""The ideograph zero of a name (李〇), and circles drawn where it is meant."""
_DOTS: Final = "·•・･‧∙⋅⸱ᐧ᛫⸳.。﹒,，、;"
"""What stands between the parts of a name; a decimal or full stop where no middle dot was at hand."""
_APOSTROPHES: Final = "'’‘ʼʻ`´ʹʽ′＇"
_SEPARATORS: Final = _DOTS + " \u00a0\u3000-‐‑‒–—―_/<"

_VARIANTS: Final = {ord(PAIRS[at]): PAIRS[at + 1] for at in range(0, len(PAIRS), 2)}
_HAN: Final = (
    _VARIANTS | {code: _VARIANTS.get(to, chr(to)) for code, to in PRIVATE.items()} | dict.fromkeys(map(ord, _SEPARATORS))
)
_ALL_HAN: Final = re.compile("[\u3400-\u4dbf\u4e00-\u9fff〇々\U00020000-\U0002f7ff\U0002fa20-\U0003fffd]+")

_ASCII: Final = (
    {ord(letter): letter.upper() for letter in "abcdefghijklmnopqrstuvwxyz"}
    | {ord(sign): " " for sign in _SEPARATORS if sign.isascii()}
    | {ord(sign): None for sign in _APOSTROPHES if sign.isascii()}
)
_ASCII_LETTERS: Final = re.compile("[A-Z ]*[A-Z][A-Z ]*")

# Doc 9303-3, section 6.A: letters whose transliteration is not the letter without its marks. Upper case, NFC.
_LATIN: Final = {
    "Æ": "AE", "Ǽ": "AE", "Œ": "OE", "Þ": "TH", "Ð": "D", "Đ": "D", "Ħ": "H", "ı": "I", "Ĳ": "IJ", "Ł": "L", "Ŋ": "N", "Ŧ": "T",
    "ẞ": "SS", "ß": "SS", "Ɖ": "D", "Ŀ": "L", "Ɓ": "B", "Ɗ": "D", "Ƙ": "K", "Ƴ": "Y", "Ə": "E", "Ɛ": "E", "Ɔ": "O", "Ɩ": "I",
    "Ʋ": "V", "Ø": "O", "Ɨ": "I", "Ʉ": "U",
}  # fmt: skip
_EXPANDED: Final = {"Ä": "AE", "Å": "AA", "Ö": "OE", "Ø": "OE", "Ü": "UE", "Ǿ": "OE", "Ǻ": "AA"} | dict.fromkeys("ǕǗǙǛ", "UE")
"""Letters for which Doc 9303 recommends two letters and allows one."""
_XX: Final = str.maketrans({"Ñ": "NXX", "Ü": "UXX"})
"""Letters for which it allows a third way. Source: section 6.A."""
_TONED: Final = str.maketrans("ǕǗǙǛ", "ÜÜÜÜ")
_PINYIN: Final = re.compile("(?<=[LN])Ü")
"""GB/T 28039-2011: ü behind l and n is YU in passports (LYU, NYU); older papers write V."""
_PINYIN_V: Final = re.compile(r"\b([LN])V(?=E?\b)")
_GEMINATE: Final = re.compile("(?<=[Ll])[·‧∙⋅](?=[Ll])")
"""The dot of Catalan l·l (also written ŀl, whose compatibility form it is) is no separator."""
_CROSS: Final = "~"
"""In front of a form by which a name of another alphabet is found under its Latin letters."""

_EAST: Final = frozenset({"CJK", "IDEOGRAPHIC", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "HANGUL", "BOPOMOFO"})
_TOGETHER: Final = (
    {"CJK", "IDEOGRAPHIC", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "LATIN"},
    {"CJK", "IDEOGRAPHIC", "HANGUL", "LATIN"},
    {"CJK", "IDEOGRAPHIC", "BOPOMOFO", "LATIN"},
)
"""Scripts that may meet in one name. Source: UTS #39, section 5.2, "highly restrictive"."""


def normal_forms(name: str) -> tuple[str, ...]:
    """Return the normal forms of a name, the recommended transliteration first.

    Args:
        name: as written, in any script.
    Returns:
        An empty tuple when it cannot be compared with any name; `why_not` says why.
    """
    quick = _quick(name)
    return _read(name).forms if quick is None else quick


def _quick(name: str) -> tuple[str, ...] | None:
    """Return the forms of a name in ASCII or in Chinese characters, the two usual ones: this runs on the check path."""
    if len(name) > NAME_MAX:
        return ()
    if name.isascii():
        text = name.translate(_ASCII)
        if not _ASCII_LETTERS.fullmatch(text):
            return ()
        if "V" in text:
            text = _PINYIN_V.sub(r"\1YU", text)
        return (" ".join(sorted(text.split())),)
    text = name.translate(_HAN)
    if _ALL_HAN.fullmatch(text):
        return (text,)
    return None


def stored_forms(name: str) -> tuple[str, ...]:
    """Return the forms under which a name on record is found.

    A name in Cyrillic, Greek or Arabic letters is found as it is written, and by its Latin forms under a mark of their own.
    """
    quick = _quick(name)
    if quick is not None:
        return quick
    found = _read(name)
    return found.forms if not found.exact else (found.exact, *(_CROSS + form for form in found.latin))


def asked_forms(name: str) -> tuple[str, ...]:
    """Return the forms by which a name that is asked for is looked up: the name on record has one of them, or it differs."""
    quick = _quick(name)
    if quick is not None:
        return (quick[0], _CROSS + quick[0]) if quick and name.isascii() else quick
    found = _read(name)
    if found.exact:
        return (found.exact, *found.latin)
    return (*found.forms, *(_CROSS + form for form in found.forms if form.isascii()))


def same(one: str, other: str) -> bool:
    """Tell whether two ways of writing are the same name."""
    return not set(asked_forms(one)).isdisjoint(stored_forms(other))


def check_name(name: str, where: str) -> None:
    """Refuse a text that cannot be a name on record.

    Raises:
        TooLarge: more than NAME_MAX characters.
        BadInput: `why_not` says why; `where` is handed on. The text itself is not repeated.
    """
    if len(name) > NAME_MAX:
        raise TooLarge(f"A name has at most {NAME_MAX} characters.", where=where)
    reason = why_not(name)
    if reason:
        raise BadInput(_SENTENCES[reason], where=where, mend="Write the name as the document shows it.")


_SENTENCES: Final = {
    "name-empty": "The name has no letter.",
    "name-too-long": f"A name has at most {NAME_MAX} characters.",
    "name-control-character": "The name holds a control character.",
    "name-private-character": "The name holds a private-use character, which means nothing outside the system it comes from.",
    "name-damaged": "The name holds a character that is none: its encoding was damaged.",
    "name-not-letters": "The name holds digits or signs that are no letters.",
    "name-mixed-scripts": "The name mixes alphabets whose letters look alike.",
}


def why_not(name: str) -> str:
    """Return why a text is no name that can be compared, as a short code; "" when it is one."""
    return "name-too-long" if len(name) > NAME_MAX else _read(name).reason


class _Read(NamedTuple):
    """What a text is as a name: why it is none, or its forms; for alphabets that have Latin forms, those apart."""

    reason: str = ""
    forms: tuple[str, ...] = ()
    exact: str = ""
    latin: tuple[str, ...] = ()


class _Sign(NamedTuple):
    """What one character (after NFKC) means in a name; `bad` is a reason, `script` empty for what is no letter."""

    bad: str = ""
    script: str = ""
    mark: bool = False
    long: str = ""
    short: str = ""
    kept: str = ""


_SIGNS: Final[dict[str, _Sign]] = {}
"""Signs met so far; there are no more of them than characters."""
_EUROPEAN: Final = frozenset({"LATIN", "GREEK", "CYRILLIC"})


def _read(name: str) -> _Read:
    if len(name) > NAME_MAX:
        return _Read("name-too-long")
    text = name if unicodedata.is_normalized("NFKC", name) else unicodedata.normalize("NFKC", name)
    text = _GEMINATE.sub("", text)
    signs: list[_Sign] = []
    scripts: set[str] = set()
    bare = False
    for character in text:
        sign = _SIGNS.get(character)
        if sign is None:
            sign = _SIGNS[character] = _study(character)
        if sign.bad:
            return _Read(sign.bad)
        if sign.mark:
            if bare:  # a mark that has no letter of its own in Unicode, such as the tilde of q
                continue
        elif sign.script:
            scripts.add(sign.script)
            bare = sign.script in _EUROPEAN
        signs.append(sign)
    scripts.discard("MODIFIER")
    if len(scripts) > 1 and not any(scripts <= together for together in _TOGETHER):
        return _Read("name-mixed-scripts")
    parts = "".join([sign.long for sign in signs]).split(), "".join([sign.short for sign in signs]).split()
    if not scripts or not parts[1]:
        return _Read("name-empty")
    if scripts & _EAST:
        return _Read("", tuple(dict.fromkeys("".join(each) for each in parts)))
    kept = "".join([sign.kept for sign in signs]).split()
    (script, *more) = scripts
    if not more and script in _LATIN_FORMS:
        return _LATIN_FORMS[script](kept, parts[1])
    ways = [*parts, *(_by_latin(kept) if scripts == {"LATIN"} else ())]
    return _Read("", tuple(dict.fromkeys(_PINYIN_V.sub(r"\1YU", " ".join(sorted(each))) for each in ways)))


def _by_latin(kept: list[str]) -> Iterator[list[str]]:
    """Yield the further ways of writing Ñ and Ü: with XX (Doc 9303), and as YU behind L and N (pinyin)."""
    text = " ".join(kept).translate(_TONED)
    if "Ñ" in text or "Ü" in text:
        yield "".join(map(_letter, text.translate(_XX))).split()
        if _PINYIN.search(text):
            yield "".join(map(_letter, _PINYIN.sub("YU", text))).split()


def _cyrillic(kept: list[str], _bare: list[str]) -> _Read:
    words = [word.replace("Ё", "Е") for word in kept]
    latin = tuple(_PINYIN_V.sub(r"\1YU", form) for form in transliteration.cyrillic(kept))
    return _Read("", latin, " ".join(sorted(words)), latin) if latin else _Read("name-empty")


def _greek(kept: list[str], bare: list[str]) -> _Read:
    exact, latin = " ".join(sorted(bare)), transliteration.greek(kept)
    return _Read("", (exact, latin), exact, (latin,))


def _arabic(kept: list[str], _bare: list[str]) -> _Read:
    exact = " ".join(sorted(filter(None, map(transliteration.arabic_bare, kept))))
    latin = transliteration.arabic(kept)
    return _Read("", (exact, *latin), exact, latin) if exact else _Read("name-empty")


_LATIN_FORMS: Final[dict[str, Callable[[list[str], list[str]], _Read]]] = {
    "CYRILLIC": _cyrillic, "GREEK": _greek, "ARABIC": _arabic,
}  # fmt: skip
"""Alphabets whose names have Latin forms."""


def _study(character: str) -> _Sign:
    code = ord(character)
    if code in PRIVATE:
        return _study(chr(PRIVATE[code]))
    if character in _SEPARATORS:
        return _Sign(long=" ", short=" ", kept=" ")
    kind = unicodedata.category(character)
    if character in _APOSTROPHES or kind == "Cf" or _is_selector(code):
        return _Sign()  # joiners, direction marks and variation selectors are not seen
    if character in _ZEROS or kind == "Nl":
        return _Sign(script="CJK", long="〇", short="〇") if character in _ZEROS else _Sign("name-not-letters")
    if 0x20000 <= code <= 0x3FFFD:  # ideographs, also those younger than this Python's tables
        folded = _VARIANTS.get(code, character)
        return _Sign(script="CJK", long=folded, short=folded)
    if kind[0] == "M":
        return _Sign(mark=True, long=character, short=character, kept=character)
    if kind[0] != "L":
        return _Sign(_BAD.get(kind, "name-damaged" if character == "\ufffd" else "name-not-letters"))
    script = unicodedata.name(character, "UNNAMED").partition(" ")[0]
    upper = unicodedata.normalize("NFKC", character.upper())
    short = "".join(_letter(part) for part in upper)
    return _Sign(script=script, long=_EXPANDED.get(upper, short), short=short, kept=upper)


_BAD: Final = {
    "Cc": "name-control-character",
    "Co": "name-private-character",
    "Cn": "name-damaged",
    "Cs": "name-damaged",
}


def _is_selector(code: int) -> bool:
    return 0xFE00 <= code <= 0xFE0F or 0xE0100 <= code <= 0xE01EF or 0x180B <= code <= 0x180D


def _letter(sign: str) -> str:
    """Return a capital letter as A to Z where it is Latin, without marks where it is Greek or Cyrillic, else as it is."""
    if sign in _LATIN:
        return _LATIN[sign]
    if not unicodedata.name(sign, "").startswith(("LATIN ", "GREEK ", "CYRILLIC ")):
        return _VARIANTS.get(ord(sign), "" if sign in _APOSTROPHES else sign)
    bare = "".join(part for part in unicodedata.normalize("NFD", sign) if unicodedata.category(part) != "Mn")
    return "".join(_LATIN.get(part, part) for part in bare)


def holder_block(document: Document) -> bytes:
    """Return the 16 bytes under which a document names its holder: its number, without what tells cards of one number apart."""
    return number_block(document) if SCHEMES[document.scheme].discriminated else block(document)


def name_block(holder: bytes, form: str) -> bytes:
    """Return the 16 bytes that stand for "this number belongs to this name"; never equal to a block of another kind.

    Args:
        holder: `holder_block` of a document.
        form: one normal form of a name.
    """
    digest = hashlib.sha256(b"annul name v1\0" + holder + form.encode("utf-8", "surrogatepass")).digest()
    return _TAG + digest[:15]


def search_block(form: str, birth_date: str) -> bytes:
    """Return the 16 bytes by which a person is found without a number: one normal form of a name with the date of birth.

    Name and date together, because the tag of a name alone would tell how often it occurs, and so which name it is.
    """
    digest = hashlib.sha256(b"annul search v1\0" + birth_date.encode() + b"\0" + form.encode("utf-8", "surrogatepass")).digest()
    return _TAG + digest[:15]


_TAG: Final = bytes((_ROLE_NAME | _HASHED,))
