"""Names of people who do not exist, in Chinese and Latin script, from lists of our own.

A name is a pure function of a person's 64-bit draw and sex, so a batch holds no names until somebody asks for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

UInt64s = npt.NDArray[np.uint64]

# Characters are written with their syllable, so that both scripts of a name agree.
_SURNAMES: Final = (
    "王 Wang,李 Li,张 Zhang,刘 Liu,陈 Chen,杨 Yang,赵 Zhao,黄 Huang,周 Zhou,吴 Wu,徐 Xu,孙 Sun,胡 Hu,朱 Zhu,高 Gao,林 Lin,"
    "何 He,郭 Guo,马 Ma,罗 Luo,梁 Liang,宋 Song,郑 Zheng,谢 Xie,韩 Han,唐 Tang,冯 Feng,于 Yu,董 Dong,萧 Xiao,程 Cheng,曹 Cao,"
    "袁 Yuan,邓 Deng,许 Xu,傅 Fu,沈 Shen,曾 Zeng,彭 Peng,吕 Lyu,苏 Su,卢 Lu,蒋 Jiang,蔡 Cai,贾 Jia,丁 Ding,魏 Wei,薛 Xue,"
    "叶 Ye,阎 Yan,余 Yu,潘 Pan,杜 Du,戴 Dai,夏 Xia,钟 Zhong,汪 Wang,田 Tian,任 Ren,姜 Jiang,范 Fan,方 Fang,石 Shi,姚 Yao,"
    "谭 Tan,廖 Liao,邹 Zou,熊 Xiong,金 Jin,陆 Lu,郝 Hao,孔 Kong,白 Bai,崔 Cui,康 Kang,毛 Mao,邱 Qiu,秦 Qin,江 Jiang,史 Shi,"
    "顾 Gu,侯 Hou,邵 Shao,孟 Meng,龙 Long,万 Wan,段 Duan,雷 Lei,钱 Qian,汤 Tang,尹 Yin,黎 Li,易 Yi,常 Chang,武 Wu,乔 Qiao,"
    "欧阳 Ouyang,司马 Sima,上官 Shangguan,诸葛 Zhuge,慕容 Murong,令狐 Linghu"
)
_GIVEN_SHARED: Final = (
    "安 An,晨 Chen,成 Cheng,春 Chun,德 De,方 Fang,光 Guang,海 Hai,和 He,华 Hua,嘉 Jia,景 Jing,静 Jing,乐 Le,黎 Li,林 Lin,"
    "明 Ming,宁 Ning,平 Ping,清 Qing,秋 Qiu,然 Ran,瑞 Rui,书 Shu,思 Si,天 Tian,文 Wen,希 Xi,晓 Xiao,新 Xin,雨 Yu,玉 Yu,"
    "远 Yuan,云 Yun,泽 Ze,之 Zhi,知 Zhi,子 Zi,一 Yi,以 Yi,言 Yan,若 Ruo,可 Ke,忆 Yi,彤 Tong,喆 Zhe,翀 Chong,珺 Jun"
)
_GIVEN_MEN: Final = (
    "斌 Bin,博 Bo,超 Chao,大 Da,刚 Gang,国 Guo,浩 Hao,宏 Hong,建 Jian,杰 Jie,军 Jun,凯 Kai,磊 Lei,亮 Liang,龙 Long,鹏 Peng,"
    "强 Qiang,山 Shan,涛 Tao,伟 Wei,雄 Xiong,勇 Yong,宇 Yu,振 Zhen,志 Zhi,忠 Zhong,峰 Feng,昊 Hao,淼 Miao,垚 Yao"
)
_GIVEN_WOMEN: Final = (
    "蓓 Bei,春 Chun,丹 Dan,芳 Fang,芬 Fen,桂 Gui,红 Hong,慧 Hui,佳 Jia,娟 Juan,兰 Lan,丽 Li,莉 Li,莲 Lian,玲 Ling,梅 Mei,"
    "美 Mei,娜 Na,妮 Ni,萍 Ping,琴 Qin,蓉 Rong,淑 Shu,婷 Ting,霞 Xia,香 Xiang,雪 Xue,燕 Yan,艳 Yan,莹 Ying,媛 Yuan,珍 Zhen"
)
_UTO_FIRST: Final = [
    "A",
    "Be",
    "Ca",
    "Da",
    "E",
    "Fe",
    "Ga",
    "Ha",
    "I",
    "Jo",
    "Ka",
    "Le",
    "Ma",
    "Na",
    "O",
    "Pe",
    "Ra",
    "Sa",
    "Te",
    "U",
    "Va",
    "We",
    "Xe",
    "Yo",
    "Ze",
]
_UTO_MIDDLE: Final = [
    "bel",
    "cor",
    "den",
    "fin",
    "gar",
    "hal",
    "jan",
    "kel",
    "lin",
    "mar",
    "nor",
    "pel",
    "ris",
    "sel",
    "tan",
    "ven",
    "wil",
    "zor",
]
_UTO_MEN: Final = ["o", "us", "in", "ar", "ek", "on"]
_UTO_WOMEN: Final = ["a", "ia", "e", "ine", "is", "ya"]
_UTO_SURNAME_END: Final = ["berg", "dale", "er", "ford", "holm", "ius", "lund", "mann", "ovic", "son", "stad", "wick"]


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    return tuple((han, latin) for han, latin in (entry.split() for entry in text.split(",")))


_SURNAME_PAIRS: Final = _pairs(_SURNAMES)
SURNAME_COUNT: Final = len(_SURNAME_PAIRS)
"""Draws that agree modulo this number have one surname."""
_GIVEN_PAIRS: Final = (_pairs(_GIVEN_SHARED + "," + _GIVEN_WOMEN), _pairs(_GIVEN_SHARED + "," + _GIVEN_MEN))


def chinese_names(draws: UInt64s, men: npt.NDArray[np.bool_]) -> Iterator[tuple[str, str]]:
    """Yield (name in Chinese script, name in Latin script "SURNAME GIVEN") for each person.

    Args:
        draws: one random 64-bit word a person, shape (n,).
        men: True for men, shape (n,).
    """
    for draw, man in zip(draws.tolist(), men.tolist(), strict=True):
        surname_han, surname = _SURNAME_PAIRS[draw % len(_SURNAME_PAIRS)]
        given = _GIVEN_PAIRS[man]
        first_han, first = given[(draw >> 10) % len(given)]
        if (draw >> 62) == 0:  # a quarter have a given name of one character
            yield surname_han + first_han, f"{surname} {first}"
            continue
        second_han, second = given[(draw >> 24) % len(given)]
        yield surname_han + first_han + second_han, f"{surname} {first}{second.lower()}"


def utopian_names(draws: UInt64s, men: npt.NDArray[np.bool_]) -> Iterator[tuple[str, str]]:
    """Yield (surname, given names) in Latin script for each citizen of the fictional state UTO.

    Args:
        draws: one random 64-bit word a person, shape (n,).
        men: True for men, shape (n,).
    """
    for draw, man in zip(draws.tolist(), men.tolist(), strict=True):
        endings = _UTO_MEN if man else _UTO_WOMEN
        surname = (
            _UTO_FIRST[draw % len(_UTO_FIRST)]
            + _UTO_MIDDLE[(draw >> 8) % len(_UTO_MIDDLE)]
            + _UTO_SURNAME_END[(draw >> 16) % len(_UTO_SURNAME_END)]
        )
        given = (
            _UTO_FIRST[(draw >> 24) % len(_UTO_FIRST)]
            + _UTO_MIDDLE[(draw >> 32) % len(_UTO_MIDDLE)]
            + endings[(draw >> 40) % len(endings)]
        )
        yield surname, given
