"""Households drawn by a second hand: Chinese names in characters alone, families as they are, second entries of given kinds.

`demo.families` was written together with the rules; this generator was not, and measures two things: how many of the second
entries of each kind are found where parents or place agree, and how many ordinary families are suspected. Its hard cases are
twins and brothers whose names sound alike, a name given again where the death has no day, father and son of one name and
telephone, adopted children born within 200 days, and foundlings of one home. Nobody here exists.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import Final

import msgspec

from annul.demo import numbers
from annul.records.person import Contact, Name, Person
from annul.records.schemes.cn_resident import check_character
from annul.registry.review.lunar import meant_by
from annul.registry.review.sounds import sound

_SURNAMES: Final = (
    "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕苏卢蒋蔡贾丁魏薛叶阎余潘杜戴夏钟汪田任姜"
)
_GIVEN: Final = (
    "伟玮炜芳方静晶敬敏闵民丽利莉强磊雷蕾军君钧洋扬阳勇永咏艳燕杰洁捷娟涓涛桃明鸣铭超朝秀绣霞遐平萍屏刚钢桂贵辉晖慧惠建健剑文雯"
    "玲铃龄华骅英瑛颖玉宇雨兰岚红宏洪虹志智致云芸春椿海梅媚飞菲霏佳嘉家欣新馨鑫浩昊皓博伯昱煜旻岷翀冲远渊媛哲喆子梓紫涵晗轩萱诗思"
)
_MINORITY: Final = (
    "买买提·吐尔逊",
    "阿不都拉·肉孜",
    "古丽娜尔·艾力",
    "努尔买买提·卡德尔",
    "热依汗古丽·玉素甫",
    "艾尔肯·达吾提",
)
_RESPELT: Final = (
    ("买买提", "麦麦提"),
    ("吐尔逊", "图尔荪"),
    ("肉孜", "热孜"),
    ("艾力", "阿力"),
    ("卡德尔", "喀迪尔"),
    ("达吾提", "达伍提"),
)
_LOOK: Final = {
    "旻": "昱",
    "昱": "旻",
    "民": "氏",
    "子": "孑",
    "轩": "轼",
    "诗": "持",
    "哲": "晢",
    "浩": "洁",
    "明": "朋",
    "芳": "芬",
}

KINDS: Final = (
    "same sound",
    "other order",
    "one missing",
    "look-alike",
    "cut",
    "respelt",
    "other calendar",
    "no birthday",
    "first of January",
    "sex wrong",
    "changed surname",
)
HARD: Final = ("twins", "sound-alike twins", "sound-alike brothers", "named again", "father and son", "adopted", "foundlings")


class Households:
    """Draw a register of households; the same seed draws the same.

    Args:
        today: nothing is recorded after it.
        second: second entries of each kind and way.
    """

    def __init__(self, seed: int, today: date, *, second: int = 0) -> None:
        self._chance = random.Random(seed)
        self._today = today
        always, _ = numbers.divisions()
        self._places = [str(code) for code in always.tolist()]
        self._second = second
        self._taken: set[str] = set()
        self.seconds: dict[tuple[str, str], list[tuple[str, str]]] = {}
        """(kind, what agrees) -> the two numbers of each."""
        self.hard: dict[str, int] = dict.fromkeys(HARD, 0)

    def persons(self, count: int) -> Iterator[Person]:
        """Yield about `count` persons of ordinary families, then the second entries."""
        made: list[Person] = []
        while len(made) < count:
            made += self._family()
        yield from made
        grown = [each for each in made if each.mother and each.birth_date[:4] < "2000"]
        for kind in KINDS:
            for way in ("parents", "place"):
                pairs = self.seconds.setdefault((kind, way), [])
                tries = 0
                while len(pairs) < self._second and tries < 200 * self._second:
                    tries += 1
                    model = self._chance.choice(grown)
                    found = self._entered_again(kind, way, model)
                    if found:
                        pairs.append((found[0].personal_number, found[1].personal_number))
                        yield from found

    # -- people --------------------------------------------------------------------------------------------------------------

    def _number(self, place: str, born: str, man: bool) -> str:
        while True:
            body = f"{place}{born.replace('-', '')}{self._chance.randrange(0, 499) * 2 + 1 + (not man):03d}"
            number = body + check_character(body)
            if number not in self._taken:
                self._taken.add(number)
                return number

    def _given(self) -> str:
        length = 1 if self._chance.random() < 0.15 else 2
        return "".join(_GIVEN[min(int(self._chance.expovariate(1 / 35)), len(_GIVEN) - 1)] for _ in range(length))

    def _one(self, surname: str, given: str, man: bool, born: date, place: str, **more: str) -> Person:
        said = born.isoformat()
        return Person(
            personal_number=self._number(place, said, man),
            names=[Name(surname + given)],
            sex="M" if man else "F",
            birth_date=said,
            place=place,
            origin=f"household {self._chance.getrandbits(48):012x}",
            **more,  # type: ignore[arg-type]
        )

    def _phone(self) -> Contact:
        return Contact("phone", f"1{self._chance.randrange(3 * 10**9, 10**10)}")

    def _family(self) -> list[Person]:
        chance = self._chance
        place = chance.choice(self._places[:400])
        mother_born = date(1950, 1, 1) + timedelta(chance.randrange(0, 365 * 45))
        father_born = mother_born - timedelta(chance.randrange(-700, 2500))
        surname = chance.choice(_SURNAMES)
        mother = self._one(chance.choice(_SURNAMES), self._given(), False, mother_born, place)
        father = self._one(surname, self._given(), True, father_born, place)
        phone = self._phone()
        for each in (mother, father):
            each.contacts = [phone] if chance.random() < 0.5 else [self._phone()]
            if chance.random() < 0.7:
                each.mother = self._number(place, (mother_born - timedelta(9000)).isoformat(), False)
                each.father = self._number(place, (mother_born - timedelta(9900)).isoformat(), True)
        shared = chance.choice(_GIVEN) if chance.random() < 0.35 else ""
        people = [mother, father]
        born = mother_born + timedelta(chance.randrange(7600, 11000))
        known = {"mother": mother.personal_number, "father": father.personal_number}
        while born < self._today and len(people) < 5 and chance.random() < 0.65:
            taken = {sound(each.names[0].text[1:]).toned for each in people}
            given = shared + chance.choice(_GIVEN) if shared else self._given()
            if sound(given).toned in taken:
                continue
            child = self._one(surname, given, chance.random() < 0.52, born, place, **known)
            child.contacts = [phone] if chance.random() < 0.6 else []
            people.append(child)
            people += self._hard(child, surname, place, known, father)
            born += timedelta(chance.randrange(420, 1800))
        return people

    def _hard(self, child: Person, surname: str, place: str, known: dict[str, str], father: Person) -> list[Person]:
        """Add a brother, a twin or a namesake of a child, who is somebody else."""
        chance, born, given = self._chance, date.fromisoformat(child.birth_date), child.names[0].text[1:]
        man = child.sex == "M"
        draw = chance.random()
        kind, more = "", []
        if draw < 0.012:
            other = given[0] + chance.choice(_GIVEN) if len(given) == 2 and chance.random() < 0.6 else self._given()
            if sound(other).toned == sound(given).toned:
                return []
            kind, more = "twins", [self._one(surname, other, chance.random() < 0.5, born, place, **known)]
        elif draw < 0.013 and (heard := _heard(given, toned=False)):
            kind, more = "sound-alike twins", [self._one(surname, heard, man, born, place, **known)]
        elif draw < 0.016 and (heard := _heard(given, toned=False)):
            later = born + timedelta(chance.randrange(400, 1500))
            kind, more = "sound-alike brothers", [self._one(surname, heard, man, later, place, **known)]
        elif draw < 0.018:
            child.status = "deceased"
            later = born + timedelta(chance.randrange(600, 2000))
            kind, more = "named again", [self._one(surname, given, man, later, place, **known)]
        elif draw < 0.020:
            son = self._one(surname, father.names[0].text[1:], True, born + timedelta(500), place, **known)
            son.contacts = list(father.contacts)
            kind, more = "father and son", [son]
        elif draw < 0.022:
            other_day = born + timedelta(chance.randrange(4, 200))
            kind, more = "adopted", [self._one(surname, self._given(), not man, other_day, place, **known)]
            more[0].origin = f"adoption {chance.getrandbits(32):08x}"
        elif draw < 0.024:
            home = self._phone()
            more = [self._one("党", self._given(), chance.random() < 0.5, date(born.year, 1, 1), place) for _ in range(3)]
            for each in more:
                each.contacts = [home]
            kind = "foundlings"
        if kind:
            self.hard[kind] += 1
        return [each for each in more if each.birth_date <= self._today.isoformat()]

    # -- second entries ------------------------------------------------------------------------------------------------------

    def _entered_again(self, kind: str, way: str, model: Person) -> list[Person]:
        """Return somebody like a model and their second entry, or nothing where the kind does not fit."""
        chance = self._chance
        born, man = date.fromisoformat(model.birth_date) + timedelta(chance.randrange(-900, 900)), model.sex == "M"
        surname, given = model.names[0].text[0], self._given()
        if kind in ("cut", "respelt"):
            surname, given = "", chance.choice(_MINORITY)
        elif kind in ("other order", "one missing", "look-alike"):
            given = "".join(chance.sample(_GIVEN, 2))
        written = _OTHERS.get(kind)
        other = written(chance, surname + given) if written else surname + given
        if other is None:
            return []
        birth, sex = born.isoformat(), model.sex
        if kind == "other calendar":
            meant = meant_by().get(birth)
            if meant is None:
                return []
            birth = meant[0]
        elif kind == "no birthday":
            birth = ""
        elif kind == "first of January":
            birth = f"{born.year}-01-01"
        elif kind == "sex wrong":
            sex = "F" if man else "M"
        eldest = born - timedelta(chance.randrange(7600, 11000))
        mother, father = (self._number(model.place, eldest.isoformat(), side) for side in (False, True))
        first = self._one(surname, given, man, born, model.place, mother=mother, father=father)
        first.contacts = [self._phone()]
        place = model.place if way == "place" else chance.choice(self._places[:400])
        of = chance.choice((place, chance.choice(self._places[:400])))
        second = msgspec.structs.replace(
            first,
            personal_number=self._number(of, birth or first.birth_date, sex == "M"),
            names=[Name(other)],
            birth_date=birth,
            sex=sex,
            place=place,
            origin=f"late registration {chance.getrandbits(32):08x}",
            contacts=first.contacts if chance.random() < 0.4 else [],
        )
        if way == "place":
            second.mother = second.father = ""
        return [first, second]


def _heard(given: str, *, toned: bool) -> str:
    """Return a given name that sounds the same; with `toned` the tones are the same too, else they are not. "" if none."""
    last = sound(given[-1])
    for sign in _GIVEN:
        other = sound(sign)
        if sign != given[-1] and other.plain == last.plain and (other.toned == last.toned) == toned:
            return given[:-1] + sign
    return ""


def _same_sound(_chance: random.Random, name: str) -> str | None:
    return name[0] + heard if (heard := _heard(name[1:], toned=True)) else None


def _other_order(_chance: random.Random, name: str) -> str | None:
    return name[0] + name[2] + name[1] if len(name) == 3 and name[1] != name[2] else None


def _one_missing(chance: random.Random, name: str) -> str | None:
    return name[0] + chance.choice(name[1:])


def _look_alike(_chance: random.Random, name: str) -> str | None:
    return next((name.replace(sign, _LOOK[sign]) for sign in name[1:] if sign in _LOOK), None)


def _cut(_chance: random.Random, name: str) -> str | None:
    return name.partition("·")[0]


def _respelt(_chance: random.Random, name: str) -> str | None:
    for one, other in _RESPELT:
        if one in name:
            return name.replace(one, other)
    return None


def _changed_surname(chance: random.Random, name: str) -> str | None:
    return chance.choice(_SURNAMES.replace(name[0], "")) + name[1:]


_OTHERS: Final[dict[str, Callable[[random.Random, str], str | None]]] = {
    "same sound": _same_sound,
    "other order": _other_order,
    "one missing": _one_missing,
    "look-alike": _look_alike,
    "cut": _cut,
    "respelt": _respelt,
    "changed surname": _changed_surname,
}
