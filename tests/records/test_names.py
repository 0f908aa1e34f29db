"""Names in normal form: what is one name written in two ways, and what never is."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annul.errors import BadInput, TooLarge
from annul.records.document import DocumentFields, block, number_block, parse_document, person_block
from annul.records.han_variants import PAIRS
from annul.records.names import (
    NAME_MAX,
    asked_forms,
    check_name,
    holder_block,
    name_block,
    normal_forms,
    same,
    search_block,
    stored_forms,
    why_not,
)

SAME = [
    ("王小明", "王小明"),
    ("歐陽修", "欧阳修"),
    ("買買提·吐爾遜", "买买提•吐尔逊"),
    ("买买提·吐尔逊", "买买提吐尔逊"),
    ("买买提・吐尔逊", "买买提 . 吐尔逊"),
    ("王　小明", "王小明"),
    ("李○", "李〇"),
    ("\ue816龙", "𠂇龙"),
    ("﨑", "﨑"),
    ("李\U000e0100", "李"),
    ("Müller", "MUELLER"),
    ("Müller", "Muller"),
    ("Mu\u0308ller", "müller"),
    ("Ångström", "Angstrom"),
    ("Ångström", "AANGSTROEM"),
    ("Straße", "STRASSE"),
    ("Anna Maria Eriksson", "Eriksson, Anna Maria"),
    ("ERIKSSON<<ANNA<MARIA<<<<", "Anna-Maria Eriksson"),
    ("O’Connor", "OCONNOR"),
    ("Щукин Пётр", "SHCHUKIN PETR"),
    ("ＷＡＮＧ ｘｉａｏ", "Wang Xiao"),
    ("İpek", "IPEK"),
    ("김 민수", "김민수"),
    ("ﾊﾅｺ", "ハナコ"),
]
DIFFERENT = [
    ("王小明", "王小朋"),
    ("𠮷田", "吉田"),
    ("Müller", "Mueler"),
    ("Wang Xiaoming", "Wang Xiao Ming"),
    ("Anna Eriksson", "Anne Eriksson"),
    ("口", "ロ"),
    ("Сосо", "Coco"),
    ("नरेन्द्र", "नरन्द्र"),
]
NO_NAMES = [
    ("", "name-empty"),
    (" · - ", "name-empty"),
    ("Ь", "name-empty"),
    ("\u200b", "name-empty"),
    ("x" * (NAME_MAX + 1), "name-too-long"),
    ("Wang\x00", "name-control-character"),
    ("Wang\n", "name-control-character"),
    ("\ue123龙", "name-private-character"),
    ("J\ufffdrgen", "name-damaged"),
    ("\ud800", "name-damaged"),
    ("Wang 2", "name-not-letters"),
    ("Wang@home", "name-not-letters"),
    ("Iv\u0430nov", "name-mixed-scripts"),
    ("Ωmega", "name-mixed-scripts"),
    ("Иван Ivanov", "name-mixed-scripts"),
]
PAIRS_OF_NAMES = json.loads((Path(__file__).parents[1] / "vectors/names.json").read_text("utf-8"))["pairs"]
GOLDEN = [
    (
        {"scheme": "cn-resident", "number": "11010519491231002X", "valid_from": "2016-10-06"},
        "2100271e0257113d1a00000000000000",
        "e0aae10e6985e314a0abc9adf55d5178",
        "e0dfd10b1e4083b615ca1679cf367a61",
    ),
    (
        {"scheme": "icao-9303", "issuer": "UTO", "kind": "P", "number": "L898902C3"},
        "0201aa360000000000004714ef058f59",
        "e082e61bf9280759224d771f578057dd",
        "e002c910f7fe7fb05507be0a56814931",
    ),
    (
        {"scheme": "ru-internal", "series": "4505", "number": "700001"},
        "03000000010c8f86a100000000000000",
        "e0254ba3bf4955094ada43d1fb0b04ef",
        "e0e852a241a85f2711840c73df488eed",
    ),
]
"""Document; its holder's block; its blocks with 王小明 and ANNA ERIKSSON MARIA. Stored tags are made of these."""
ANY_NAME = st.text(max_size=40)
LETTERS = st.text(st.characters(categories=["Lu", "Ll", "Lo", "Mn", "Zs"]), min_size=1, max_size=20)


@pytest.mark.parametrize(("one", "other"), SAME)
def test_one_name_in_two_ways_of_writing(one: str, other: str) -> None:
    """Width, case, variants, dots, marks, transliteration and order do not make another name."""
    assert same(one, other)
    assert same(other, one)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_a_near_match_is_no_match(one: str, other: str) -> None:
    """One stroke, one letter or a look-alike makes another name."""
    assert not same(one, other)


@pytest.mark.parametrize(("text", "reason"), NO_NAMES)
def test_what_is_no_name_says_why(text: str, reason: str) -> None:
    """It has no form, so it matches nothing, not even itself; the refusal does not repeat it."""
    assert why_not(text) == reason
    assert normal_forms(text) == ()
    assert not same(text, text)
    with pytest.raises((BadInput, TooLarge)) as refused:
        check_name(text, "/name")
    assert not text.strip() or text.strip() not in str(refused.value)


def test_names_of_one_and_of_two_hundred_characters() -> None:
    """Both ends of the range are names, in every script."""
    for letter in ("A", "é", "王", "𠮷", "न", "Щ"):
        assert same(letter, letter)
        assert normal_forms(letter * NAME_MAX)


@given(ANY_NAME)
def test_any_text_has_forms_or_a_reason(text: str) -> None:
    """Never both, never neither, never an exception."""
    assert bool(normal_forms(text)) != bool(why_not(text))


@given(LETTERS)
def test_a_normal_form_is_its_own_normal_form(text: str) -> None:
    """Normalising again changes nothing; a name in Greek or Arabic letters keeps its Latin forms beside it."""
    for form in normal_forms(text):
        assert form in normal_forms(form)


@given(LETTERS)
def test_unicode_forms_case_and_width_do_not_matter(text: str) -> None:
    """Decomposed text is the same name as composed."""
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert normal_forms(unicodedata.normalize(form, text)) == normal_forms(text)


@given(
    st.lists(st.text(st.characters(codec="ascii", categories=["Lu", "Ll"]), min_size=1, max_size=8), min_size=1, max_size=5),
    st.randoms(),
)
def test_the_order_of_parts_does_not_matter(parts: list[str], random: object) -> None:
    """Family name first or last, hyphens or blanks: one name."""
    shuffled = list(parts)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert same(" ".join(parts), "-".join(shuffled))


def test_every_variant_is_the_same_name_as_its_simplified_character() -> None:
    """The whole table, characters outside the BMP included; and it is a fixed point."""
    pairs = dict(zip(PAIRS[::2], PAIRS[1::2], strict=True))
    assert any(ord(old) > 0xFFFF for old in pairs)
    assert not set(pairs) & set(pairs.values())
    assert all(same(old, new) for old, new in pairs.items())


def test_blocks_of_names_meet_no_other_blocks() -> None:
    """The first byte tells a name's block from a document's, a number's and a person's."""
    document = parse_document(DocumentFields(scheme="cn-resident", number="11010519491231002X", valid_from="2016-10-06"))
    holder = holder_block(document)
    assert holder == number_block(document)
    made = name_block(holder, "王小明")
    assert len(made) == 16
    assert made[0] not in {each[0] for each in (block(document), number_block(document), person_block("11010519491231002X"))}
    assert made != name_block(holder, "王小朋")


@given(st.binary(min_size=16, max_size=16), st.binary(min_size=16, max_size=16), LETTERS)
def test_the_same_name_under_two_numbers_has_two_blocks(one: bytes, other: bytes, text: str) -> None:
    """A tag tells nothing about who else has the name."""
    for form in normal_forms(text):
        assert (name_block(one, form) == name_block(other, form)) == (one == other)


@pytest.mark.parametrize(
    ("one", "other", "alike", "source"), PAIRS_OF_NAMES, ids=lambda value: None if value is True else str(value)[:20]
)
def test_pairs_of_names_are_told_as_their_sources_say(one: str, other: str, alike: bool, source: str) -> None:
    """Every letter of Doc 9303-3 section 6, names by the column of each language, marks, pinyin, GBK; and near misses."""
    assert same(one, other) is alike, source
    assert same(other, one) is alike, source


def test_the_table_of_pairs_is_large_enough_to_measure_by() -> None:
    """At least 500 pairs, a fifth of them different names, no pair twice."""
    assert len(PAIRS_OF_NAMES) >= 500
    assert len({(one, other) for one, other, *_ in PAIRS_OF_NAMES}) == len(PAIRS_OF_NAMES)
    assert sum(not alike for _, _, alike, _ in PAIRS_OF_NAMES) * 5 >= len(PAIRS_OF_NAMES)


@pytest.mark.parametrize(("fields", "holder", "han", "latin"), GOLDEN)
def test_blocks_of_names_are_what_they_were(fields: dict[str, str], holder: str, han: str, latin: str) -> None:
    """Golden bytes: with others, every stored tag would be that of another name."""
    document = parse_document(DocumentFields(**fields))
    assert holder_block(document).hex() == holder
    assert name_block(holder_block(document), "王小明").hex() == han
    assert name_block(holder_block(document), "ANNA ERIKSSON MARIA").hex() == latin


def test_blocks_of_searches_are_what_they_were() -> None:
    """Golden bytes of name and date of birth."""
    assert search_block("王小明", "1949-12-31").hex() == "e021025722d7193e81afbdb4dbe4f241"
    assert search_block("ANNA ERIKSSON MARIA", "1974-08-12").hex() == "e02302ac79862307b0c6483bcdf28628"


@pytest.mark.parametrize(
    ("name", "stored", "asked"),
    [
        ("王小明", ("王小明",), ("王小明",)),
        ("LV YAN", ("LYU YAN",), ("LYU YAN", "~LYU YAN")),
        ("Müller", ("MUELLER", "MULLER", "MUXXLLER"), ("MUELLER", "MULLER", "MUXXLLER", "~MUELLER", "~MULLER", "~MUXXLLER")),
        ("Пётр", ("ПЕТР", "~PETR", "~PIOTR"), ("ПЕТР", "PETR", "PIOTR")),
        ("Ά", ("Α", "~A"), ("Α", "A")),
        ("محمّد", ("محمد", "~MXHMMD", "~MXHMD"), ("محمد", "MXHMMD", "MXHMD")),
    ],
)
def test_names_of_other_alphabets_meet_latin_ones_under_a_mark(
    name: str, stored: tuple[str, ...], asked: tuple[str, ...]
) -> None:
    """What is kept and what is asked by: two names in Cyrillic never meet in Latin letters."""
    assert stored_forms(name) == stored
    assert asked_forms(name) == asked


@given(ANY_NAME)
def test_every_name_is_found_under_what_it_is_stored_as(text: str) -> None:
    """A name is itself, in every script."""
    assert same(text, text) == bool(normal_forms(text))


def test_positive_pairs_of_other_scripts_hold() -> None:
    """Composed and decomposed marks of Devanagari, Thai, Greek and Cyrillic are one name."""
    for one in ("नरेन्द्र क़ादिर", "สมชาย น้ำ", "Άννα Ευαγγελία", "Йосип Їжак"):
        for form in ("NFC", "NFD", "NFKC", "NFKD"):
            assert same(one, unicodedata.normalize(form, one))
