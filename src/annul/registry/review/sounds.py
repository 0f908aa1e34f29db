"""How a name in Chinese characters sounds: a function of its characters, so that no register needs a Latin column to be heard.

Each character has its commonest reading; surnames that are read otherwise have theirs. Names are compared by it in memory, for
the time of a run; no reading is stored or shown.

Source: the readings of `pypinyin` (Unihan's kMandarin, kXHC1983 and others); surnames: GB/T 28039-2011 and common usage.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import Final, NamedTuple

_OF_TWO: Final = (
    "欧阳 司马 上官 诸葛 慕容 令狐 夏侯 东方 皇甫 尉迟 公孙 长孙 宇文 司徒 司空 端木 轩辕 南宫 独孤 百里 呼延 澹台 公冶 "
    "太叔 申屠 钟离 闻人 濮阳 淳于 单于 赫连 万俟 第五 西门 东郭 鲜于 闾丘 拓跋 纳兰 完颜"
)
SURNAMES_OF_TWO: Final = frozenset(_OF_TWO.split())
_AS_SURNAME: Final = {
    "单": "shàn",
    "曾": "zēng",
    "解": "xiè",
    "仇": "qiú",
    "查": "zhā",
    "任": "rén",
    "朴": "piáo",
    "盖": "gě",
    "区": "ōu",
    "缪": "miào",
    "乐": "yuè",
    "翟": "zhái",
    "冼": "xiǎn",
    "华": "huà",
    "宁": "nìng",
    "尹": "yǐn",
    "覃": "qín",
    "员": "yùn",
    "折": "shé",
    "种": "chóng",
    "秘": "bì",
    "牟": "mù",
    "燕": "yān",
    "纪": "jǐ",
    "洗": "xiǎn",
    "黑": "hè",
    "能": "nài",
}
_TWO_AS_SURNAME: Final = {"尉迟": "yùchí", "万俟": "mòqí", "长孙": "zhǎngsūn", "单于": "chányú", "澹台": "tántái"}
_TONES: Final = {"\u0304": "1", "\u0301": "2", "\u030c": "3", "\u0300": "4"}


class Sound(NamedTuple):
    """A reading: `plain` in capital letters without tones (ü is YU after l and n, as in passports), `toned` with them."""

    plain: str
    toned: str


def surname_length(name: str) -> int:
    """Return how many characters of a Chinese name are the surname: 1 or 2; 0 where it has none (a name of another people)."""
    if not 2 <= len(name) <= 4:
        return 0
    return 2 if len(name) > 2 and name[:2] in SURNAMES_OF_TWO else 1


def sound(characters: str, *, surname: bool = False) -> Sound:
    """Return how Chinese characters are read, in simplified or traditional form; unread signs stand for themselves."""
    if surname and characters in _TWO_AS_SURNAME:
        return _plain(_TWO_AS_SURNAME[characters])
    readings = [_read(_AS_SURNAME.get(sign, "") if surname else "", sign) for sign in characters]
    return Sound("".join(each.plain for each in readings), " ".join(each.toned for each in readings))


@cache
def _read(known: str, sign: str) -> Sound:
    if not known:
        from pypinyin.pinyin_dict import pinyin_dict

        known = str(pinyin_dict.get(ord(sign), "")).partition(",")[0]
    return _plain(known) if known else Sound(sign, sign)


def _plain(reading: str) -> Sound:
    letters = tone = ""
    for sign in unicodedata.normalize("NFD", reading):
        if sign in _TONES:
            tone += _TONES[sign]
        elif sign == "\u0308":  # ü: YU after l and n, U after j, q, x and y, where no other u is possible
            letters = letters[:-1] + "YU"
        else:
            letters += sign.upper()
    return Sound(letters, letters + tone)
