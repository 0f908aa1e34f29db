"""Bring names into normal form, so that the same name written in two ways is the same bytes, and nothing else is.

A name has one normal form, or two where Doc 9303 allows two transliterations (ü is UE or U). Two names are the same when they
share a form. There is no degree of likeness: a near match is no match.

    >>> normal_forms("Müller-Lüdenscheidt, Jürgen")
    ('JUERGEN LUEDENSCHEIDT MUELLER', 'JURGEN LUDENSCHEIDT MULLER')
    >>> same("買買提‧吐爾遜", "买买提·吐尔逊")
    True

What is folded: compatibility forms and width (NFKC), case, traditional and simplified Chinese characters, private-use code
points of old GB 18030 data, middle dots and spacing of names in Chinese characters, diacritics, Latin and Cyrillic letters by
transliteration, order of parts, hyphens and apostrophes. What is not: letters of two alphabets in one name (look-alikes).

Source: ICAO Doc 9303-3 (8th edition), section 6; UTS #39, section 5.2 (highly restrictive); docs/life-of-a-name-check.md.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from typing import Final, NamedTuple

from annul.errors import BadInput, TooLarge
from annul.records.document import SCHEMES, Document, block, number_block
from annul.records.han_variants import PAIRS

NAME_VERSION: Final = 1
"""Version of the normal form. Stored tags depend on it: with another version they are made anew from the register."""
NAME_MAX: Final = 200
"""Characters of a name; ICAO Doc 9303 visual zone names are far shorter, national registers allow more."""

_ROLE_NAME: Final = 0x60
_HASHED: Final = 0x80

# GB 18030-2000 left these ideographs without a code point; data and fonts of that time hold them in the private-use area.
# Source: GB 18030-2022, annex D.
_GB_PRIVATE: Final = {
    0xE816: 0x20087, 0xE817: 0x20089, 0xE818: 0x200CC, 0xE831: 0x215D7, 0xE83B: 0x2298F, 0xE855: 0x241FE,
    0xE81E: 0x9FB4, 0xE826: 0x9FB5, 0xE82B: 0x9FB6, 0xE82C: 0x9FB7, 0xE832: 0x9FB8, 0xE843: 0x9FB9, 0xE854: 0x9FBA,
    0xE864: 0x9FBB,
}  # fmt: skip
_ZEROS: Final = "〇○◯"
"""The ideograph zero of a name (李〇), and circles drawn where it is meant."""
_DOTS: Final = "·•・･‧∙⋅⸱ᐧ᛫⸳.。﹒,，、;"
"""What stands between the parts of a name; a decimal or full stop where no middle dot was at hand."""
_APOSTROPHES: Final = "'’‘ʼʻ`´ʹʽ′＇"
_SEPARATORS: Final = _DOTS + " \u00a0\u3000-‐‑‒–—―_/<"

_VARIANTS: Final = {ord(PAIRS[at]): PAIRS[at + 1] for at in range(0, len(PAIRS), 2)}
_HAN: Final = _VARIANTS | {code: chr(to) for code, to in _GB_PRIVATE.items()} | dict.fromkeys(map(ord, _SEPARATORS))
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
_EXPANDED: Final = {"Ä": "AE", "Å": "AA", "Ö": "OE", "Ø": "OE", "Ü": "UE", "Ǿ": "OE", "Ǻ": "AA"}
"""Letters for which Doc 9303 recommends two letters and allows one."""

# Doc 9303-3, section 6.B (Russian column; letters of other Cyrillic alphabets by their own rows).
_CYRILLIC: Final = {
    "А": "A", "Б": "B", "В": "V", "Г": "G", "Д": "D", "Е": "E", "Ё": "E", "Ж": "ZH", "З": "Z", "И": "I", "І": "I", "Й": "I",
    "К": "K", "Л": "L", "М": "M", "Н": "N", "О": "O", "П": "P", "Р": "R", "С": "S", "Т": "T", "У": "U", "Ф": "F", "Х": "KH",
    "Ц": "TS", "Ч": "CH", "Ш": "SH", "Щ": "SHCH", "Ъ": "IE", "Ы": "Y", "Ь": "", "Э": "E", "Ю": "IU", "Я": "IA", "Ї": "I",
    "Є": "IE", "Ґ": "G", "Ў": "U", "Ј": "J", "Љ": "LJ", "Њ": "NJ", "Ћ": "C", "Ђ": "D", "Џ": "DZ", "Ѕ": "DZ", "Ќ": "K",
    "Ѓ": "G", "Ѣ": "IE", "Ѳ": "F", "Ѵ": "Y", "Ғ": "G", "Қ": "K", "Ң": "N", "Ү": "U", "Ұ": "U", "Ҳ": "KH", "Һ": "H", "Ә": "A",
    "Ө": "O", "Ӣ": "I", "Ӯ": "U", "Ҷ": "J",
}  # fmt: skip

_EAST: Final = frozenset({"CJK", "IDEOGRAPHIC", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "HANGUL", "BOPOMOFO"})
_TOGETHER: Final = (
    {"CJK", "IDEOGRAPHIC", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "LATIN"},
    {"CJK", "IDEOGRAPHIC", "HANGUL", "LATIN"},
    {"CJK", "IDEOGRAPHIC", "BOPOMOFO", "LATIN"},
)
"""Scripts that may meet in one name. Source: UTS #39, section 5.2, "highly restrictive"."""


def normal_forms(name: str) -> tuple[str, ...]:
    """Return the one or two normal forms of a name, the recommended transliteration first.

    Args:
        name: as written, in any script.
    Returns:
        An empty tuple when it cannot be compared with any name; `why_not` says why.
    """
    # Three ways, the two usual ones first: this runs on the check path.
    if len(name) > NAME_MAX:
        return ()
    if name.isascii():
        text = name.translate(_ASCII)
        return (" ".join(sorted(text.split())),) if _ASCII_LETTERS.fullmatch(text) else ()
    text = name.translate(_HAN)
    if _ALL_HAN.fullmatch(text):
        return (text,)
    return _read(name)[1]


def same(one: str, other: str) -> bool:
    """Tell whether two ways of writing are the same name."""
    return not set(normal_forms(one)).isdisjoint(normal_forms(other))


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
    return "name-too-long" if len(name) > NAME_MAX else _read(name)[0]


class _Sign(NamedTuple):
    """What one character (after NFKC) means in a name; `bad` is a reason, `script` empty for what is no letter."""

    bad: str = ""
    script: str = ""
    mark: bool = False
    long: str = ""
    short: str = ""


_SIGNS: Final[dict[str, _Sign]] = {}
"""Signs met so far; there are no more of them than characters."""
_EUROPEAN: Final = frozenset({"LATIN", "GREEK", "CYRILLIC"})


def _read(name: str) -> tuple[str, tuple[str, ...]]:
    """Return (why it is no name, its normal forms); one of them is empty."""
    text = name if unicodedata.is_normalized("NFKC", name) else unicodedata.normalize("NFKC", name)
    long, short = [], []
    scripts: set[str] = set()
    bare = False
    for character in text:
        sign = _SIGNS.get(character)
        if sign is None:
            sign = _SIGNS[character] = _study(character)
        if sign.bad:
            return sign.bad, ()
        if sign.mark:
            if bare:  # a mark that has no letter of its own in Unicode, such as the tilde of q
                continue
        elif sign.script:
            scripts.add(sign.script)
            bare = sign.script in _EUROPEAN
        long.append(sign.long)
        short.append(sign.short)
    scripts.discard("MODIFIER")
    if len(scripts) > 1 and not any(scripts <= together for together in _TOGETHER):
        return "name-mixed-scripts", ()
    parts = "".join(long).split(), "".join(short).split()
    if not scripts or not parts[0]:
        return "name-empty", ()
    if scripts & _EAST:
        return "", tuple(dict.fromkeys("".join(each) for each in parts))
    return "", tuple(dict.fromkeys(" ".join(sorted(each)) for each in parts))


def _study(character: str) -> _Sign:
    code = ord(character)
    if code in _GB_PRIVATE:
        return _study(chr(_GB_PRIVATE[code]))
    if character in _SEPARATORS:
        return _Sign(long=" ", short=" ")
    kind = unicodedata.category(character)
    if character in _APOSTROPHES or kind == "Cf" or _is_selector(code):
        return _Sign()  # joiners, direction marks and variation selectors are not seen
    if character in _ZEROS or kind == "Nl":
        return _Sign(script="CJK", long="〇", short="〇") if character in _ZEROS else _Sign("name-not-letters")
    if 0x20000 <= code <= 0x3FFFD:  # ideographs, also those younger than this Python's tables
        folded = _VARIANTS.get(code, character)
        return _Sign(script="CJK", long=folded, short=folded)
    if kind[0] == "M":
        return _Sign(mark=True, long=character, short=character)
    if kind[0] != "L":
        return _Sign(_BAD.get(kind, "name-damaged" if character == "\ufffd" else "name-not-letters"))
    script = unicodedata.name(character, "UNNAMED").partition(" ")[0]
    upper = unicodedata.normalize("NFKC", character.upper())
    short = "".join(_letter(part) for part in upper)
    return _Sign(script=script, long=_EXPANDED.get(upper, short), short=short)


_BAD: Final = {
    "Cc": "name-control-character",
    "Co": "name-private-character",
    "Cn": "name-damaged",
    "Cs": "name-damaged",
}


def _is_selector(code: int) -> bool:
    return 0xFE00 <= code <= 0xFE0F or 0xE0100 <= code <= 0xE01EF or 0x180B <= code <= 0x180D


def _letter(sign: str) -> str:
    """Return a capital letter as A to Z where it is Latin or Cyrillic, without marks where it is Greek, else as it is."""
    if sign in _LATIN:
        return _LATIN[sign]
    if sign in _CYRILLIC:
        return _CYRILLIC[sign]
    if not unicodedata.name(sign, "").startswith(("LATIN ", "GREEK ", "CYRILLIC ")):
        return _VARIANTS.get(ord(sign), "" if sign in _APOSTROPHES else sign)
    bare = "".join(part for part in unicodedata.normalize("NFD", sign) if unicodedata.category(part) != "Mn")
    return "".join(_LATIN.get(part, _CYRILLIC.get(part, part)) for part in bare)


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
