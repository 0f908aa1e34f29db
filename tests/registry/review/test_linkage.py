"""What the linkage finds in records made elsewhere, and what it leaves alone: second entries, and families as they are."""

from __future__ import annotations

from datetime import date
from types import SimpleNamespace
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from annul.bench.households import HARD, Households
from annul.records.person import Contact, Name, Person
from annul.registry.review import linkage as linkages
from annul.registry.review import population
from annul.registry.review.families import Pointed
from annul.registry.review.linkage import Linkage
from annul.registry.review.lunar import is_other_calendar, meant_by
from annul.registry.review.sounds import sound, surname_length
from annul.registry.review.spelling import address_of, reach_of, spell
from tests.registry.review.clinic import number

TODAY = date(2026, 11, 1)
M, F = number("110105", "19550501", 2), number("110105", "19530303", 1)
OTHER_M, OTHER_F = number("440106", "19560501", 2), number("440106", "19530304", 1)


def engine(people: list[Person]) -> Any:
    """Hold persons in a DuckDB connection as a run does."""
    rows = [(SimpleNamespace(id=at), person) for at, person in enumerate(people)]
    table, _ = population.columns(rows, b"k" * 32, TODAY)  # type: ignore[arg-type]
    held = population.open_engine()
    held.register("piece", table)
    held.execute("CREATE TABLE person AS SELECT * FROM piece")
    return held


def links(people: list[Person]) -> list[tuple[int, ...]]:
    """Return the places of those linked."""
    linkage = Linkage(engine(people))
    linkage.prepare()
    return [each.persons for part in range(linkage.slices) for each in linkage.links(part)]


def one(of: str, name: str, **more: Any) -> Person:
    """Make a person as the number says; `more` changes that."""
    said = {
        "birth_date": f"{of[6:10]}-{of[10:12]}-{of[12:14]}",
        "sex": "M" if of[16] in "13579" else "F",
        "place": of[:6],
    } | more
    return Person(personal_number=of, names=[Name(name)], **said)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def town() -> list[Person]:
    """Six hundred people of ordinary families."""
    return list(Households(3, TODAY).persons(600))


def test_each_kind_of_second_entry_is_found_and_families_are_left_alone() -> None:
    """A register by another hand: of each kind at least four in five where parents or place agree; nobody else is suspected."""
    drawn = Households(11, TODAY, second=10)
    people = list(drawn.persons(4000))
    places = {person.personal_number: at for at, person in enumerate(people)}
    found = set(links(people))
    planted = {
        kind: [tuple(sorted((places[one], places[other]))) for one, other in pairs] for kind, pairs in drawn.seconds.items()
    }
    for (kind, agrees), pairs in planted.items():
        least = 0.3 if (kind, agrees) == ("look-alike", "place") else 0.8  # half of them bear a number of the same office
        assert sum(pair in found for pair in pairs) >= least * len(pairs), (kind, agrees)
    wrong = found - {pair for pairs in planted.values() for pair in pairs}
    assert len(wrong) <= 1
    assert all(drawn.hard[kind] for kind in HARD if kind not in ("sound-alike twins",))


@pytest.mark.parametrize(
    ("name", "changed", "linked"),
    [
        ("陈玮", {}, True),  # the same sound, another character
        ("陈伟", {"birth_date": "1964-03-15"}, True),  # 2 February by the Chinese calendar
        ("陈伟", {"mother": "", "father": "", "birth_date": "1964-01-01"}, True),
        ("陈伟", {"mother": OTHER_M, "father": OTHER_F}, False),  # a namesake of one birthday
        ("陈莉", {}, False),  # a twin
        ("陈伟", {"status": "deceased", "birth_date": "1961-08-09"}, False),  # a name given again
    ],
)
def test_a_second_entry_is_told_from_a_relative(town: list[Person], name: str, changed: dict[str, str], linked: bool) -> None:
    """Parents, birthday and place agree in all of these: only the name, the calendar, or a death tells."""
    first = one(number("110105", "19640202", 11), "陈伟", mother=M, father=F)
    of = number("110105", (changed.get("birth_date") or first.birth_date).replace("-", ""), 37)
    other = one(of, name, **({"mother": M, "father": F} | changed))
    assert (((0, 1) in links([first, other, *town])), linked) == (linked, linked)


def test_names_in_letters_are_found_written_otherwise(town: list[Person]) -> None:
    """One letter off, two turned, parts turned or joined, a middle name as an initial, one left out."""
    pairs = [
        ("Mitchell Greene", "Mitchell Green"),
        ("Michaela Neumann", "Micheala Neumann"),
        ("Courtney Painter", "Painter Courtney"),
        ("Xiaoming Wang", "Xiao Ming Wang"),
        ("Evelyn Rose Sorrell", "Evelyn R Sorrell"),
        ("George Robert Kelly", "George Kelly"),
    ]
    people: list[Person] = []
    for at, pair in enumerate(pairs):
        for side, name in enumerate(pair):
            people.append(
                Person(
                    personal_number=f"UTO{at:04d}{side}",
                    names=[Name(name)],
                    birth_date=f"19{50 + at}-0{at + 1}-17",
                    sex="F",
                    place=f"Winston Hills {at}",
                )
            )
    assert {(2 * at, 2 * at + 1) for at in range(len(pairs))} <= set(links([*people, *town]))


def test_a_parent_is_not_their_child(town: list[Person]) -> None:
    """Father and son of one name, one telephone, one place, one day of birth written the same: they are two."""
    phone = [Contact("phone", "13900001111")]
    father = one(number("110105", "19600505", 11), "陈伟", contacts=phone)
    son = one(number("110105", "19900505", 13), "陈伟", father=father.personal_number, contacts=phone)
    assert (0, 1) not in links([father, son, *town])


def test_slices_give_what_the_whole_gives(town: list[Person], monkeypatch: pytest.MonkeyPatch) -> None:
    """One slice or five, and a slice cut in halves: the same links."""
    second = [
        one(
            number("440106", person.birth_date.replace("-", ""), 31),
            person.names[0].text,
            mother=person.mother,
            father=person.father,
        )
        for person in town[:40]
        if person.mother
    ]
    linkage = Linkage(engine([*town, *second]))
    linkage.prepare()
    whole = set(linkage.links(0))
    assert len(whole) >= len(second) * 0.8
    linkage.slices = 5
    assert {link for part in range(5) for link in linkage.links(part)} == whole
    linkage.slices = 2
    links = Linkage._links

    def short(self: Linkage, number: int, of: int, blocks: list[str]) -> list[Pointed]:
        if of < 4 or len(blocks) > 12:
            raise duckdb.OutOfMemoryException("no more")
        return links(self, number, of, blocks)

    monkeypatch.setattr(Linkage, "_links", short)
    monkeypatch.setattr(linkages, "SLICE_LEAST", 10)
    linkage.blocks = linkage.blocks[:2]
    few = set(linkage.links(0) + linkage.links(1))
    monkeypatch.setattr(Linkage, "_links", links)
    assert few == set(linkage.links(0) + linkage.links(1)) != set()


def test_what_fits_in_no_memory_is_said(town: list[Person], monkeypatch: pytest.MonkeyPatch) -> None:
    """Splink wraps the engine's error into its own, with the whole statement; ours says memory."""
    linkage = Linkage(engine(town))
    linkage.prepare()

    def short(_self: Any, *_arguments: Any, **_named: Any) -> None:
        raise RuntimeError("Error executing SQL …\n\nError was: Out of Memory Error: could not allocate block")

    monkeypatch.setattr("splink.internals.linker_components.inference.LinkerInference.predict_chunk", short)
    with pytest.raises(duckdb.OutOfMemoryException, match="needs more memory"):
        linkage.links(0)


def test_characters_sound_as_passports_write_them() -> None:
    """ü is YU after l and n; surnames with a reading of their own; compound surnames; names of other peoples have none."""
    assert (sound("吕", surname=True).plain, sound("女").plain, sound("巨").plain) == ("LYU", "NYU", "JU")
    assert (sound("曾", surname=True).plain, sound("单", surname=True).plain, sound("尉迟", surname=True).plain) == (
        "ZENG",
        "SHAN",
        "YUCHI",
    )
    assert sound("伟") == sound("玮")
    assert sound("静").toned != sound("晶").toned
    assert [surname_length(name) for name in ("陈伟", "欧阳娜", "欧阳娜娜", "买买提吐尔逊")] == [1, 2, 2, 0]


def test_a_day_of_the_other_calendar_is_the_same_day() -> None:
    """Both ways; a leap month gives two; a day the calendar does not have gives none."""
    assert is_other_calendar("1964-02-02", "1964-03-15")
    assert is_other_calendar("1964-03-15", "1964-02-02")
    assert meant_by()["2020-04-01"] == ("2020-04-23", "2020-05-23")
    assert "1990-03-31" not in meant_by()
    assert not is_other_calendar("1964-02-02", "1964-02-02")


def test_a_record_is_taken_apart() -> None:
    """Names, addresses, telephones with and without the code of the country."""
    person = Person(
        personal_number="1",
        names=[Name("GREENE, Mitchell J.")],
        contacts=[Contact("phone", "+86 139 0000 1111"), Contact("email", "M@x.example"), Contact("post", "8, Stanley St.")],
    )
    spelt = spell(person, "GREENE J MITCHELL")
    assert (spelt.head, spelt.middle, spelt.tail) == ("MITCHELL", "J", "GREENE")
    assert spelt.letters == spell(Person(personal_number="1", names=[Name("Mitchell J Greene")]), "GREENE J MITCHELL").letters
    assert (address_of(person), reach_of(person)) == ("8 STANLEY ST", ["900001111", "m@x.example"])
    chinese = spell(Person(personal_number="1", names=[Name("買買提·吐爾遜")]), "买买提吐尔逊")
    assert (chinese.head, chinese.tail) == ("", "买买提吐尔逊")


def test_an_empty_register_and_one_person_give_no_links() -> None:
    """Nothing to compare is no error."""
    assert (links([]), links([one(number("110105", "19640202", 11), "陈伟")])) == ([], [])
    assert isinstance(population.SCHEMA, pa.Schema)
