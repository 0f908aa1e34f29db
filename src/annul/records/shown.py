"""What a text may be made of that people are shown: signs that stand where they stand, and nothing that hides or turns others.

A text that is compared is folded first (`annul.records.names`); a text that is shown is shown as it was given, so what could
deceive whoever reads it is refused when it comes. Marks that turn the direction (U+202E), signs without width (U+200B, U+FEFF),
controls and line breaks are refused; a joiner or non-joiner stands behind a letter of a script that needs it; marks
above and below letters come in runs as long as writing has them.

Source: Unicode UAX #9 (explicit formatting), UAX #31 section 2.3 (joiners in identifiers), UTS #39.
"""

from __future__ import annotations

import unicodedata
from typing import Final

from annul.errors import BadInput

MARKS_MAX: Final = 6
"""Marks on one letter; Tibetan, Hebrew and Burmese writing have up to five."""
_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Cn", "Zl", "Zp"})
_JOINERS: Final = "\u200c\u200d"
_JOINED: Final = ((0x0590, 0x08FF), (0x0900, 0x0DFF), (0x0E00, 0x109F), (0x1780, 0x18AF), (0xA840, 0xABFF), (0x10A00, 0x11FFF))
"""Blocks of scripts in which letters join or stack: Hebrew and Arabic, of India, of Southeast Asia, Mongolian."""


def is_shown(text: str) -> bool:
    """Tell whether a text of one line holds only signs that are shown, each where it stands."""
    if text.isascii():
        return text.isprintable()
    marks, before = 0, ""
    for character in text:
        category = unicodedata.category(character)
        if category in _HIDDEN and not (character in _JOINERS and _joins(before)):
            return False
        marks = marks + 1 if category[0] == "M" else 0
        if marks > MARKS_MAX:
            return False
        before = character
    return True


def require_shown(text: str, where: str) -> None:
    """Refuse a text of one or several lines that holds signs which hide or turn others.

    Args:
        where: names the member, for the one who is refused.

    Raises:
        BadInput: it does.
    """
    if not all(map(is_shown, text.splitlines())):
        raise BadInput("This text has signs that are not shown.", where=where, mend="Type it anew, without invisible signs.")


def _joins(letter: str) -> bool:
    """Tell whether a letter or mark is of a script that needs joiners."""
    return bool(letter) and unicodedata.category(letter)[0] in "LM" and any(low <= ord(letter) <= high for low, high in _JOINED)
