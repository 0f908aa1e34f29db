"""Draw families with births, deaths, places and numbers that agree, and plant errors of every kind that the clean-up looks for.

The same seed draws the same families and the same errors. Every error is written into `Planted` when it is made, so that a
measurement knows what there is to find. Between them stand hard cases that are no errors: twins, two people of one name and
birthday in one district, a widow who marries again, a name given again after a child's death, names in other letters.

Rates: docs/review.md, "Rates"; nobody here exists.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Final

import msgspec
import numpy as np

from annul.demo import numbers
from annul.demo.names import SURNAME_COUNT, chinese_names
from annul.records.han_variants import PAIRS
from annul.records.names import normal_forms
from annul.records.person import Contact, Name, Person
from annul.records.schemes.cn_resident import check_character

WEIGHTS: Final = {
    "check-character": 8,
    "birth-date": 14,
    "sex": 10,
    "number-date": 1,
    "number-form": 2,
    "division-unknown": 3,
    "division-abolished": 2,
    "dates-impossible": 4,
    "encoding-damage": 8,
    "document-dates": 4,
    "shared-number": 9,
    "same-person": 15,
    "no-event": 5,
    "event-twice": 2,
    "dead-documents": 6,
    "mother-age": 3,
    "father-age": 1,
    "mother-dead": 2,
    "father-dead": 1,
    "parent-sex": 2,
    "births-near": 2,
    "parent-cycle": 1,
}
"""How often each error is planted, against the others."""
TWINS: Final = 0.012
"""Share of deliveries. Source: Monden, Pison, Smits, "Twin Peaks", Human Reproduction 36(6), 2021."""
NAMESAKES: Final = 0.001
"""Share of families in which somebody has a namesake of one birthday in one district: twice what docs/review.md derives."""
PARENTS_KNOWN: Final = 0.85
"""Share of the eldest whose parents are recorded, though they have no entry of their own any more."""
_YEAR: Final = 365.2425


@dataclass(slots=True)
class Born:
    """One person while a family is drawn; days since the epoch."""

    number: str
    han: str
    latin: str
    man: bool
    born: int
    died: int | None
    place: str
    mother: str = ""
    father: str = ""
    phone: str = ""
    origin: str = ""
    draw: int = 0


@dataclass(slots=True)
class Planted:
    """What was planted: rule -> the personal numbers of the entries it concerns, and what is hard but right."""

    errors: dict[str, list[tuple[str, ...]]] = field(default_factory=dict)
    hard: dict[str, list[tuple[str, ...]]] = field(default_factory=dict)

    def note(self, rule: str, *entries: str) -> None:
        """Write down a planted error; an entry is named by its origin, which no two have, or by its number."""
        self.errors.setdefault(rule, []).append(entries)


@dataclass(slots=True)
class Card:
    """A resident card of a drawn person: days of its validity, and whether it is in force."""

    number: str
    since: int
    until: int
    current: bool


class Families:
    """Draw families of a nation as of a day.

    Args:
        seed: any number.
        today: nothing is recorded after it.
        error_share: planted errors per person.
    """

    def __init__(self, seed: int, today: date, *, error_share: float = 0.02) -> None:
        self._random = random.Random(seed)
        self._numpy = np.random.default_rng(seed)
        self._today = (today - date(1970, 1, 1)).days
        self._share = error_share
        always, since_1984 = numbers.divisions()
        self._always = [str(code) for code in always.tolist()]
        self._since_1984 = [str(code) for code in since_1984.tolist()]
        self._taken: set[str] = set()
        self._births = 0
        self.planted = Planted()
        self.cards: list[Card] = []

    def persons(self, count: int) -> Iterator[Person]:
        """Yield about `count` persons, their errors planted on the way."""
        made = 0
        rules, weights = list(WEIGHTS), list(WEIGHTS.values())
        while made < count:
            family = self._family()
            people = [self._person(each) for each in family]
            cards = [self._card(each) for each in family]
            if self._random.random() < len(family) * self._share:
                for rule in self._random.choices(rules, weights, k=4):
                    if self._plant(rule, family, people, cards):
                        break
            if self._random.random() < NAMESAKES:
                people += self._namesake(family)
            self.cards += [card for card in cards if card is not None]
            yield from people
            made += len(people)

    # -- families ------------------------------------------------------------------------------------------------------------

    def _family(self) -> list[Born]:
        """Draw parents and their children: 2 to 7 people of one place."""
        chance = self._random
        mother_born = self._today - round(chance.triangular(22, 88, 45) * _YEAR)
        father_born = mother_born - round(chance.gauss(2, 3) * _YEAR)
        place = chance.choice(self._always)
        mother = self._born(False, mother_born, place, chance.getrandbits(62))
        father = self._born(True, father_born, place, chance.getrandbits(62))
        for each in (mother, father):
            each.phone = self._phone()
            self._give_parents(each)
        children: list[Born] = []
        birth = mother_born + round(chance.uniform(20, 30) * _YEAR)
        again = None
        while birth < min(self._today - 20, mother_born + 41 * _YEAR) and len(children) < 5 and chance.random() < 0.72:
            for _ in range(1 + (chance.random() < TWINS)):
                taken = {each.latin for each in (mother, father, *children)}
                children.append(self._child(birth, mother, again or father, place, taken))
            if len(children) > 1 and children[-2].born == children[-1].born:
                self.planted.hard.setdefault("twins", []).append((children[-2].origin, children[-1].origin))
            birth += round(chance.uniform(1.1, 5) * _YEAR)
            if again is None and chance.random() < 0.02:  # a widow marries again
                father.died = max(children[-1].born - chance.randrange(0, 200), father.born + 20 * 365)
                again = self._born(True, father.born + 400, place, chance.getrandbits(62))
                again.phone = self._phone()
                self._give_parents(again)
                self.planted.hard.setdefault("remarriage", []).append((mother.origin, again.origin))
        self._deaths(mother, father, again, children)
        lost = children[0].died if children else None
        if lost is not None and lost + 900 < min(self._today, mother_born + 45 * _YEAR) and chance.random() < 0.3:
            children.append(self._named_again(children, mother, again or father, place))
        return [each for each in (mother, father, again, *children) if each is not None]

    def _named_again(self, children: list[Born], mother: Born, father: Born, place: str) -> Born:
        """Give the name of a child that died to the next one: as it was done, and no duplicate."""
        first = children[0]
        assert first.died is not None
        birth = max(children[-1].born + 500, first.died + 300)
        child = self._child(birth, mother, father, place)
        child.han, child.latin, child.man = children[0].han, children[0].latin, children[0].man
        child.number = self._number(place, child.born, child.man)
        if mother.died is not None and mother.died < child.born:
            mother.died = None
        if father.died is not None and father.died < child.born - 200:
            father.died = None
        self.planted.hard.setdefault("name given again", []).append((children[0].origin, child.origin))
        return child

    def _give_parents(self, each: Born) -> None:
        """Record parents who have no entry of their own: they died before the register began."""
        if self._random.random() < PARENTS_KNOWN:
            age = round(self._random.uniform(20, 38) * _YEAR)
            each.mother = self._number(each.place, each.born - age, False)
            each.father = self._number(each.place, each.born - age - 300, True)

    def _child(self, birth: int, mother: Born, father: Born, place: str, taken: AbstractSet[str] = frozenset()) -> Born:
        """Draw a child with its father's surname and a name that no brother or sister has."""
        while True:
            draw = self._random.getrandbits(62)
            draw += father.draw % SURNAME_COUNT - draw % SURNAME_COUNT
            child = self._born(self._random.random() < 0.52, birth, place, draw)
            if child.latin not in taken:
                break
        child.mother, child.father = mother.number, father.number
        grown = birth < self._today - round(16 * _YEAR)
        child.phone = self._phone() if grown else mother.phone
        return child

    def _born(self, man: bool, birth: int, place: str, draw: int) -> Born:
        birth = min(birth, self._today - 1)
        self._births += 1
        ((han, latin),) = chinese_names(np.array([draw], np.uint64), np.array([man]))
        return Born(
            self._number(place, birth, man),
            han,
            latin,
            man,
            birth,
            None,
            place,
            draw=draw,
            origin=f"district register {self._births:09d}",
        )

    def _number(self, place: str, birth: int, man: bool) -> str:
        day = (date(1970, 1, 1) + timedelta(birth)).strftime("%Y%m%d")
        while True:
            body = f"{place}{day}{self._random.randrange(0, 499) * 2 + 1 + (not man):03d}"
            number = body + check_character(body)
            if number not in self._taken:
                self._taken.add(number)
                return number

    def _phone(self) -> str:
        return f"1{self._random.randrange(3 * 10**9, 10**10)}" if self._random.random() < 0.7 else ""

    def _deaths(self, mother: Born, father: Born, again: Born | None, children: list[Born]) -> None:
        """Let people die by age, after what they still do in the family."""
        last = max((child.born for child in children), default=mother.born + 7000)
        for each in (mother, father, again):
            if each is None or each.died is not None:
                continue
            age = (self._today - each.born) / _YEAR
            if self._random.random() < min(0.95, 0.00004 * 2.718 ** (0.085 * age) * 10):
                day = each.born + round(self._random.uniform(0.7, 1.0) * age * _YEAR)
                each.died = min(max(day, last + 2), self._today - 1) if last + 2 < self._today else None
        for child in children:
            if self._random.random() < 0.01:
                child.died = min(child.born + self._random.randrange(0, 4000), self._today - 1)

    def _namesake(self, family: list[Born]) -> list[Person]:
        """Give somebody a namesake of the same birthday in the same district: other parents, other number, no duplicate."""
        model = self._random.choice(family)
        other = self._born(model.man, model.born, model.place, model.draw)
        other.phone = self._phone()
        self._give_parents(other)
        self.planted.hard.setdefault("namesakes", []).append((model.origin, other.origin))
        card = self._card(other)
        self.cards += [] if card is None else [card]
        return [self._person(other)]

    def _person(self, each: Born) -> Person:
        return Person(
            personal_number=each.number,
            names=[Name(each.han), Name(each.latin, "latin")],
            sex="M" if each.man else "F",
            birth_date=_iso(each.born),
            death_date="" if each.died is None else _iso(each.died),
            place=each.place,
            status="living" if each.died is None else "deceased",
            contacts=[Contact("phone", each.phone)] if each.phone else [],
            mother=each.mother,
            father=each.father,
            origin=each.origin,
        )

    def _card(self, each: Born) -> Card | None:
        since = max(each.born + round(16.2 * _YEAR), 12_500)
        if since >= self._today - 1 or (each.died is not None and each.died < since):
            return None
        return Card(
            each.number, since, 65535 if each.born < self._today - 46 * _YEAR else self._today + 3000, each.died is None
        )

    # -- errors --------------------------------------------------------------------------------------------------------------

    def _plant(self, rule: str, family: list[Born], people: list[Person], cards: list[Card | None]) -> bool:
        """Plant one error in a family; return whether it found a place."""
        place = self._random.randrange(len(people))
        planted = getattr(self, "_" + rule.replace("-", "_"))(place, family, people, cards)
        if planted:
            self.planted.note(rule, *planted)
        return bool(planted)

    def _swap(self, people: list[Person], place: int, **changed: Any) -> tuple[str]:
        people[place] = msgspec.structs.replace(people[place], **changed)
        return (people[place].origin,)

    def _renumber(self, family: list[Born], people: list[Person], place: int, number: str) -> tuple[str]:
        """Give an entry another number, where nobody else points at it by its number."""
        if any(family[place].number in (each.mother, each.father) for each in people):
            for at, each in enumerate(people):
                if each.mother == family[place].number:
                    people[at] = msgspec.structs.replace(each, mother=number)
                if people[at].father == family[place].number:
                    people[at] = msgspec.structs.replace(people[at], father=number)
        return self._swap(people, place, personal_number=number)

    def _check_character(self, place: int, family: list[Born], people: list[Person], cards: list[Card | None]) -> Any:
        number = people[place].personal_number
        wrong = self._random.choice([sign for sign in "0123456789X" if sign != number[17]])
        cards[place] = None
        return self._renumber(family, people, place, number[:17] + wrong)

    def _birth_date(self, place: int, _family: list[Born], people: list[Person], _cards: list[Card | None]) -> Any:
        born = date.fromisoformat(people[place].birth_date)
        moved = born + timedelta(self._random.choice((-1, 1, 9, -30, 31)))
        if moved.isoformat() > people[place].death_date != "" or (moved - date(1970, 1, 1)).days >= self._today:
            return None
        return self._swap(people, place, birth_date=moved.isoformat())

    def _sex(self, place: int, _family: list[Born], people: list[Person], _cards: list[Card | None]) -> Any:
        return self._swap(people, place, sex="F" if people[place].sex == "M" else "M")

    def _number_date(self, place: int, family: list[Born], people: list[Person], cards: list[Card | None]) -> Any:
        number = people[place].personal_number
        body = number[:10] + "0230" + number[14:17]
        cards[place] = None
        return self._renumber(family, people, place, body + check_character(body))

    def _number_form(self, place: int, family: list[Born], people: list[Person], cards: list[Card | None]) -> Any:
        number = people[place].personal_number
        cards[place] = None
        return self._renumber(family, people, place, number[:9] + self._random.choice("OIlB") + number[10:])

    def _division_unknown(self, place: int, family: list[Born], people: list[Person], cards: list[Card | None]) -> Any:
        number = people[place].personal_number
        body = self._random.choice(("199999", "780102", "000102", "669901")) + number[6:17]
        cards[place] = None
        return self._renumber(family, people, place, body + check_character(body))

    def _division_abolished(self, place: int, family: list[Born], people: list[Person], cards: list[Card | None]) -> Any:
        number = people[place].personal_number
        if number[6:10] < "1984":
            return None
        body = "110201" + number[6:17]  # a county of Beijing until 1982
        cards[place] = None
        return self._renumber(family, people, place, body + check_character(body))

    def _dates_impossible(self, place: int, _family: list[Born], people: list[Person], _cards: list[Card | None]) -> Any:
        before = _iso((date.fromisoformat(people[place].birth_date) - date(1970, 1, 1)).days - self._random.randrange(1, 900))
        return self._swap(people, place, death_date=before, status="deceased")

    def _encoding_damage(self, place: int, _family: list[Born], people: list[Person], _cards: list[Card | None]) -> Any:
        name = people[place].names[0].text
        hurt = self._random.choice((_gbk_as_latin, _utf8_as_gbk, _private))(name)
        if hurt is None or not normal_forms(hurt):  # what cannot be entered cannot be found
            hurt = _private(name)
        return self._swap(people, place, names=[Name(hurt), *people[place].names[1:]])

    def _document_dates(self, place: int, family: list[Born], _people: list[Person], cards: list[Card | None]) -> Any:
        card = cards[place]
        if card is None:
            return None
        dead = family[place].died
        card.since = family[place].born - self._random.randrange(1, 800) if dead is None else dead + 40
        if card.until != 65535:
            card.until = card.since + 7305
        card.current = dead is None
        return (family[place].origin,)

    def _shared_number(self, place: int, family: list[Born], people: list[Person], cards: list[Card | None]) -> Any:
        """Somebody else of the same division, birthday and sex got the same number."""
        model = family[place]
        if people[place].personal_number != model.number:
            return None
        other = self._born(model.man, model.born, model.place, self._random.getrandbits(62))
        if other.han == model.han:
            return None
        other.number = model.number
        people.append(self._person(other))
        family.append(other)
        cards.append(None)
        return (model.origin, other.origin)

    def _same_person(self, place: int, family: list[Born], people: list[Person], cards: list[Card | None]) -> Any:
        """Somebody is registered a second time under another number, more or less truly."""
        chance, model = self._random, family[place]
        born = model.born
        draw = chance.random()
        if draw < 0.12:
            born += chance.choice((1, -1, 10, -10, 30))
        elif draw < 0.22:
            born += chance.choice((365, -365, 730, -730, 366))
        born = min(born, self._today - 1)
        moved = chance.random() < 0.35
        place_of = (
            chance.choice(self._since_1984 if born >= numbers.YOUNGER_SINCE_DAY else self._always) if moved else model.place
        )
        second = msgspec.structs.replace(
            people[place],
            personal_number=self._number(place_of, born, model.man),
            birth_date=_iso(born),
            place=place_of,
            origin=f"late registration {model.origin[-9:]}",
            names=self._second_name(people[place].names),
        )
        draw = chance.random()
        if draw < 0.08:
            second = msgspec.structs.replace(second, father="")
        elif draw < 0.12:
            second = msgspec.structs.replace(second, mother="", father="")
        draw = chance.random()
        if draw < 0.25:
            second = msgspec.structs.replace(second, contacts=[])
        elif draw < 0.5:
            second = msgspec.structs.replace(second, contacts=[Contact("phone", self._phone() or "13000000000")])
        people.append(second)
        family.append(
            Born(second.personal_number, model.han, model.latin, model.man, born, model.died, place_of, origin=second.origin)
        )
        cards.append(None)
        return (model.origin, second.origin)

    def _second_name(self, names: list[Name]) -> list[Name]:
        draw = self._random.random()
        if draw < 0.8:
            return names
        if draw < 0.86:  # the same in traditional characters
            back = {PAIRS[at + 1]: PAIRS[at] for at in range(0, len(PAIRS), 2)}
            return [Name("".join(back.get(sign, sign) for sign in names[0].text)), *names[1:]]
        if draw < 0.94:  # another character of the same sound
            return [Name(names[0].text[:-1] + "鑫"), *names[1:]]
        if draw < 0.97:  # the Latin form stands where the Chinese one should
            return [Name(names[1].text if len(names) > 1 else names[0].text)]
        return [Name(names[0].text[0] + "志远"), *names[1:2], Name(names[0].text, "former")]

    def _no_event(self, place: int, family: list[Born], people: list[Person], _cards: list[Card | None]) -> Any:
        self._swap(people, place, origin="")
        return (family[place].number,)

    def _event_twice(self, place: int, family: list[Born], people: list[Person], cards: list[Card | None]) -> Any:
        """A ghost: an invented person on the birth of another."""
        model = family[place]
        ghost = self._born(self._random.random() < 0.5, model.born + 3, model.place, self._random.getrandbits(62))
        ghost.origin = model.origin
        people.append(self._person(ghost))
        family.append(ghost)
        cards.append(None)
        return (model.origin, ghost.number)

    def _dead_documents(self, place: int, family: list[Born], _people: list[Person], cards: list[Card | None]) -> Any:
        dead = [at for at, each in enumerate(family) if each.died is not None and cards[at] is not None]
        if not dead:
            alive = [at for at, each in enumerate(family[:2]) if cards[at] is not None]
            if not alive:
                return None
            place = alive[0]
            died = max((each.born for each in family), default=0) + 100
            card = cards[place]
            assert card is not None
            if not card.since < died < self._today:
                return None
            family[place].died = died
            self._swap(_people, place, death_date=_iso(died), status="deceased")
            return (family[place].origin,)
        place = self._random.choice(dead)
        card = cards[place]
        assert card is not None
        if 0 < card.until < self._today:
            card.until = 65535
        card.current = True
        return (family[place].origin,)

    def _of_child(self, family: list[Born]) -> Born | None:
        children = [each for each in family if each.mother and each.father]
        return self._random.choice(children) if children else None

    def _mother_age(self, _place: int, family: list[Born], people: list[Person], cards: list[Card | None]) -> Any:
        """A child entered on a mother who could not have it: its grandmother's age, or a child herself."""
        child = self._of_child(family)
        if child is None:
            return None
        born = child.born - round(self._random.choice((7.0, 9.5, 64.0, 69.0)) * _YEAR)
        mother = self._born(False, born, child.place, self._random.getrandbits(62))
        return self._other_parent(child, mother, "mother", family, people, cards)

    def _father_age(self, _place: int, family: list[Born], people: list[Person], cards: list[Card | None]) -> Any:
        child = self._of_child(family)
        if child is None:
            return None
        father = self._born(True, child.born - round(8.5 * _YEAR), child.place, self._random.getrandbits(62))
        return self._other_parent(child, father, "father", family, people, cards)

    def _mother_dead(self, _place: int, family: list[Born], people: list[Person], cards: list[Card | None]) -> Any:
        child = self._of_child(family)
        if child is None:
            return None
        mother = self._born(False, child.born - round(30 * _YEAR), child.place, self._random.getrandbits(62))
        mother.died = child.born - self._random.randrange(10, 1500)
        return self._other_parent(child, mother, "mother", family, people, cards)

    def _father_dead(self, _place: int, family: list[Born], people: list[Person], cards: list[Card | None]) -> Any:
        child = self._of_child(family)
        if child is None:
            return None
        father = self._born(True, child.born - round(30 * _YEAR), child.place, self._random.getrandbits(62))
        father.died = child.born - self._random.randrange(330, 2000)
        return self._other_parent(child, father, "father", family, people, cards)

    def _parent_sex(self, _place: int, family: list[Born], people: list[Person], cards: list[Card | None]) -> Any:
        child = self._of_child(family)
        if child is None:
            return None
        aunt = self._born(False, child.born - round(28 * _YEAR), child.place, self._random.getrandbits(62))
        return self._other_parent(child, aunt, "father", family, people, cards)

    def _other_parent(
        self, child: Born, parent: Born, side: str, family: list[Born], people: list[Person], cards: list[Card | None]
    ) -> Any:
        at = family.index(child)
        if people[at].personal_number != child.number or people[at].origin != child.origin:
            return None
        people[at] = msgspec.structs.replace(people[at], **{side: parent.number})
        setattr(child, side, parent.number)
        people.append(self._person(parent))
        family.append(parent)
        cards.append(None)
        return (child.origin, parent.origin)

    def _births_near(self, _place: int, family: list[Born], people: list[Person], cards: list[Card | None]) -> Any:
        child = self._of_child(family)
        if child is None or child.born + 150 >= self._today:
            return None
        mother = next((each for each in family if each.number == child.mother), None)
        father = next((each for each in family if each.number == child.father), None)
        if mother is None or father is None:
            return None
        near = self._child(child.born + self._random.randrange(20, 150), mother, father, child.place)
        people.append(self._person(near))
        family.append(near)
        cards.append(None)
        return (child.origin, near.origin)

    def _parent_cycle(self, _place: int, family: list[Born], people: list[Person], _cards: list[Card | None]) -> Any:
        child = self._of_child(family)
        if child is None or child.man:
            return None
        at = next((at for at, each in enumerate(family) if each.number == child.mother), None)
        if at is None or people[at].mother or people[at].personal_number != child.mother:
            return None
        people[at] = msgspec.structs.replace(people[at], mother=child.number)
        family[at].mother = child.number
        return (child.origin, family[at].origin)


def _iso(day: int) -> str:
    return (date(1970, 1, 1) + timedelta(day)).isoformat()


def _gbk_as_latin(name: str) -> str | None:
    hurt = name.encode("gbk").decode("latin-1")
    return hurt if hurt.isalpha() else None


def _utf8_as_gbk(name: str) -> str | None:
    try:
        hurt = name.encode().decode("gbk")
    except UnicodeDecodeError:
        return None
    return hurt if hurt.isalpha() else None


def _private(name: str) -> str:
    return name + "\ue816"
