"""Names of other alphabets in letters A to Z, as travel documents write them.

Source: ICAO Doc 9303-3 (8th edition) section 6.B (Cyrillic, with its exceptions by language) and 6.C (Arabic); ELOT 743
(Greek), which Greek documents follow. Serbian Г is H in the table of 6.B and G on Serbian documents: both are given.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_CYRILLIC: Final = {
    "А": "A", "Б": "B", "В": "V", "Г": "G", "Д": "D", "Е": "E", "Ё": "E", "Ж": "ZH", "З": "Z", "И": "I", "І": "I", "Й": "I",
    "К": "K", "Л": "L", "М": "M", "Н": "N", "О": "O", "П": "P", "Р": "R", "С": "S", "Т": "T", "У": "U", "Ф": "F", "Х": "KH",
    "Ц": "TS", "Ч": "CH", "Ш": "SH", "Щ": "SHCH", "Ъ": "IE", "Ы": "Y", "Ь": "", "Э": "E", "Ю": "IU", "Я": "IA", "Ї": "I",
    "Є": "IE", "Ґ": "G", "Ў": "U", "Ј": "J", "Љ": "LJ", "Њ": "NJ", "Ћ": "C", "Ђ": "D", "Џ": "DZ", "Ѕ": "DZ", "Ќ": "K",
    "Ѓ": "G", "Ѣ": "IE", "Ѳ": "F", "Ѵ": "Y", "Ѫ": "U", "Ғ": "G", "Қ": "K", "Ң": "N", "Ү": "U", "Ұ": "U", "Ҳ": "KH", "Һ": "H",
    "Ә": "A", "Ө": "O", "Ӣ": "I", "Ӯ": "U", "Ҷ": "J", "Ѐ": "E", "Ѝ": "I",
}  # fmt: skip
"""The table's main column (Russian)."""


class Column(NamedTuple):
    """A language's exceptions.

    Attributes:
        letters: what differs from the main column.
        first: what differs at the start of a word.
        foreign: letters its alphabet does not have; a name with one is not of this language.
    """

    letters: dict[str, str]
    first: dict[str, str]
    foreign: frozenset[str]


_SLAVIC_SOUTH: Final = frozenset("ЁЙЩЪЫЬЭЮЯІЇЄҐЎ")
COLUMNS: Final = {
    "ukrainian": Column(
        {"Г": "H", "И": "Y"}, {"Є": "YE", "Ї": "YI", "Й": "Y", "Ю": "YU", "Я": "YA"}, frozenset("ЁЪЫЭЎЈЉЊЋЂЏЅЌЃ")
    ),
    "belarusian": Column({"Г": "H", "Ё": "IO"}, {}, frozenset("ИЩЪЇЄҐЈЉЊЋЂЏЅЌЃ")),
    "serbian": Column({"Ж": "Z", "Х": "H", "Ц": "C", "Ч": "C", "Ш": "S"}, {}, _SLAVIC_SOUTH | frozenset("ЅЌЃ")),
    "serbian by the table": Column(
        {"Г": "H", "Ж": "Z", "Х": "H", "Ц": "C", "Ч": "C", "Ш": "S"}, {}, _SLAVIC_SOUTH | frozenset("ЅЌЃ")
    ),
    "macedonian": Column(
        {"Ѓ": "GJ", "Ќ": "KJ", "Џ": "DJ", "Х": "H", "Ц": "C"}, {}, _SLAVIC_SOUTH | frozenset("ЋЂ")
    ),
    "bulgarian": Column({"Щ": "SHT"}, {}, frozenset("ЁЫЭІЇЄҐЎЈЉЊЋЂЏЅЌЃ")),
}  # fmt: skip


def cyrillic(words: list[str]) -> tuple[str, ...]:
    """Return the forms of a name in Cyrillic capitals: by the main column, then one for each language that writes otherwise."""
    whole = set("".join(words))
    forms = [_written(words, {}, {})]
    forms += [_written(words, each.letters, each.first) for each in COLUMNS.values() if not whole & each.foreign]
    return tuple(dict.fromkeys(form for form in forms if form))


def _written(words: list[str], letters: dict[str, str], first: dict[str, str]) -> str:
    out = []
    for word in words:
        start = first.get(word[0], "")
        rest = word[1:] if start else word
        out.append(start + "".join([letters.get(sign) or _CYRILLIC.get(sign, sign) for sign in rest]))
    return " ".join(sorted(word for word in out if word))


_GREEK_PAIRS: Final = (("ΟΥ", "OU"), ("ΓΓ", "NG"), ("ΓΞ", "NX"), ("ΓΧ", "NCH"))
_GREEK: Final = dict(zip("ΑΒΓΔΕΖΗΙΚΛΜΝΞΟΠΡΣΤΥΦΩ", "AVGDEZIIKLMNXOPRSTYFO", strict=True)) | {"Θ": "TH", "Χ": "CH", "Ψ": "PS"}
_GREEK_MARKED: Final = str.maketrans("ΆΈΉΊΌΎΏ", "ΑΕΗΙΟΥΩ")
_VOICED: Final = re.compile("([ΑΕΗ])Υ(?=[ΑΕΗΙΟΥΩΒΓΔΖΛΜΝΡΪΫ])")
_VOICELESS: Final = re.compile("([ΑΕΗ])Υ")
_EDGE_B: Final = re.compile(r"\bΜΠ|ΜΠ\b")


def greek(words: list[str]) -> str:
    """Return a name in Greek capitals (accents may stand, a diaeresis does) by ELOT 743."""
    # An accent on the first of two vowels parts them (ΆΥ is AY), a diaeresis on the second too; without marks they are one.
    text = _EDGE_B.sub("B", " ".join(words).translate(_GREEK_MARKED))
    text = _VOICELESS.sub(r"\1F", _VOICED.sub(r"\1V", text))
    for pair, latin in _GREEK_PAIRS:
        text = text.replace(pair, latin)
    text = text.replace("Ϊ", "I").replace("Ϋ", "Y")
    return " ".join(sorted("".join([_GREEK.get(sign, sign) for sign in text]).split()))


_ARABIC: Final = {
    "ء": "XE", "آ": "XAA", "أ": "XAE", "ؤ": "U", "إ": "I", "ئ": "XI", "ا": "A", "ب": "B", "ت": "T", "ث": "XTH", "ج": "J",
    "ح": "XH", "خ": "XKH", "د": "D", "ذ": "XDH", "ر": "R", "ز": "Z", "س": "S", "ش": "XSH", "ص": "XSS", "ض": "XDZ", "ط": "XTT",
    "ظ": "XZZ", "ع": "E", "غ": "G", "ف": "F", "ق": "Q", "ك": "K", "ل": "L", "م": "M", "ن": "N", "ه": "H", "و": "W", "ى": "XAY",
    "ي": "Y", "ٱ": "XXA", "ٹ": "XXT", "ټ": "XRT", "پ": "P", "ځ": "XKE", "څ": "XXH", "چ": "XC", "ڈ": "XXD", "ډ": "XDR",
    "ڑ": "XXR", "ړ": "XRR", "ږ": "XRX", "ژ": "XJ", "ښ": "XXS", "ک": "XKK", "ګ": "XXK", "ڭ": "XNG", "گ": "XGG", "ں": "XNN",
    "ڼ": "XXN", "ھ": "XDO", "ۀ": "XYH", "ہ": "XXG", "ۂ": "XGE", "ۃ": "XTG", "ی": "XYA", "ۍ": "XXY", "ې": "Y", "ے": "XYB",
    "ۓ": "XBE",
}  # fmt: skip
_TEH_MARBUTA: Final = "ة"
_SHADDA: Final = "\u0651"
_TATWEEL: Final = "ـ"
_MARKS: Final = re.compile("[\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed" + _TATWEEL + "]")
_ONE_LETTER: Final = str.maketrans("أإآٱکی", "ااااكي")
"""An alef with or without its hamza, and the letters of Persian keyboards, are one letter to who writes a name."""


def arabic_bare(word: str) -> str:
    """Return a word without vowel marks, shadda and tatweel, alef without hamza."""
    return _MARKS.sub("", word).translate(_ONE_LETTER)


def arabic(words: list[str]) -> tuple[str, ...]:
    """Return the forms of a name in Arabic letters by the codes of section 6.C.

    As written, with a shadda as a letter twice; without it; and with every alef bare, as most people write.
    """
    ways = [[_coded(word, double=True) for word in words], [_coded(word, double=False) for word in words]]
    ways.append([_coded(arabic_bare(word), double=False) for word in words])
    return tuple(dict.fromkeys(" ".join(sorted(each for each in way if each)) for way in ways))


def _coded(word: str, *, double: bool) -> str:
    out: list[str] = []
    bare = [sign for sign in word if sign == _SHADDA or not _MARKS.match(sign)]
    last = max((at for at, sign in enumerate(bare) if sign != _SHADDA), default=-1)
    for at, sign in enumerate(bare):
        if sign == _SHADDA:
            if double and out:
                out.append(out[-1])
        elif sign == _TEH_MARBUTA:
            out.append("XAH" if at == last else "XTA")
        else:
            out.append(_ARABIC.get(sign, sign))
    return "".join(out)
