"""Scripts spelt with the letters of a zone: Russian names by a table of their own, Chinese ones by half bytes of GBK.

Source: order of the Federal Migration Service on the machine-readable record of the internal passport (2011; now order
851 of the Ministry of the Interior, 2017); GA/T 704.14-2015 and 704.16-2015 (names by GBK).
"""

from __future__ import annotations

import re
from typing import Final

from annul.records.gbk import PRIVATE

RUSSIAN: Final = dict(zip("ABVGDE2JZIQKLMNOPRSTUFHC34WXY9678", "АБВГДЕЁЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯ", strict=True))
"""Letter of the zone -> Russian letter, one to one."""
_DOC9303: Final = (
    ("SHCH", "Щ"), ("ZH", "Ж"), ("KH", "Х"), ("TS", "Ц"), ("CH", "Ч"), ("SH", "Ш"), ("IU", "Ю"), ("IA", "Я"),
)  # fmt: skip
_DOC9303_SIGNS: Final = re.compile("SHCH|ZH|KH|TS|CH|SH|IU|IA")
_SHORT_I: Final = re.compile("(?<=[AEIOUY])I(?![AEIOUY])")
_GBK_LETTERS: Final = re.compile("(?:[A-P]{4})+")


def russian(word: str) -> tuple[str, bool]:
    """Return a word of a zone in Cyrillic, and whether the spelling is certain.

    A word with letter pairs that only Doc 9303's transliteration makes, and no sign that only the table has, was written by
    Doc 9303: it is read that way, as well as that can be undone.
    """
    if _DOC9303_SIGNS.search(word) and not set(word) & set("234678W9XQJ"):
        text = _SHORT_I.sub("Й", word)
        for latin, letter in _DOC9303:
            text = text.replace(latin, letter)
        return "".join(RUSSIAN.get(sign, sign) for sign in text).title(), False
    return "".join(RUSSIAN.get(sign, "") for sign in word).title(), True


def chinese(field: str) -> str:
    """Return the Chinese name in a field of letters A to P, four a character, filled with `<`; "" when it holds none."""
    bare = field.rstrip("<")
    if not _GBK_LETTERS.fullmatch(bare):
        return ""
    halves = bytes(ord(letter) - 65 for letter in bare)
    data = bytes(high << 4 | low for high, low in zip(halves[::2], halves[1::2], strict=True))
    text = ""
    for start in range(0, len(data), 2):
        try:
            character = data[start : start + 2].decode("gb18030")
        except UnicodeDecodeError:
            return ""
        if len(character) != 1:
            return ""
        character = chr(PRIVATE.get(ord(character), ord(character)))
        if not (character in "〇·" or "\u3400" <= character <= "\u9fff" or character >= "\U00020000"):
            return ""
        text += character
    return text
