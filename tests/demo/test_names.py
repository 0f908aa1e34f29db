"""Names of people who do not exist: the same for the same draw, in two scripts that say the same."""

from __future__ import annotations

import numpy as np
import pytest

from annul.demo.names import SURNAME_COUNT, chinese_names, utopian_names
from annul.records.names import normal_forms

DRAWS = np.random.default_rng(5).integers(0, 1 << 64, 2_000, np.uint64)
MEN = np.arange(len(DRAWS)) % 2 == 0
DOUBLE = {"欧阳": "Ouyang", "司马": "Sima", "上官": "Shangguan", "诸葛": "Zhuge", "慕容": "Murong", "令狐": "Linghu"}


def test_a_name_is_a_function_of_the_draw_and_the_sex() -> None:
    """Drawn again they are the same; another sex has other given names."""
    assert list(chinese_names(DRAWS, MEN)) == list(chinese_names(DRAWS, MEN))
    assert list(utopian_names(DRAWS, MEN)) == list(utopian_names(DRAWS, MEN))
    assert list(chinese_names(DRAWS, MEN)) != list(chinese_names(DRAWS, ~MEN))


def test_both_scripts_of_a_chinese_name_agree_in_length() -> None:
    """A surname of one or two characters, one or two given ones; in Latin letters two words, each with one capital."""
    short = 0
    for han, latin in chinese_names(DRAWS, MEN):
        surname, given = latin.split(" ")
        characters = len(han) - (2 if han[:2] in DOUBLE else 1)
        assert characters in (1, 2)
        assert [word[1:].islower() and word[0].isupper() for word in (surname, given)] == [True, True]
        assert han[:2] not in DOUBLE or DOUBLE[han[:2]] == surname
        short += characters == 1
    assert 0.2 < short / len(DRAWS) < 0.3  # a quarter


def test_every_name_can_be_entered_in_the_register() -> None:
    """The normal form, by which names are compared, is not empty."""
    for han, latin in chinese_names(DRAWS[:300], MEN[:300]):
        assert normal_forms(han)
        assert normal_forms(latin)
    for surname, given in utopian_names(DRAWS[:300], MEN[:300]):
        assert normal_forms(f"{surname} {given}")


def test_a_surname_follows_the_draw_alone() -> None:
    """Children take their father's surname by taking his place in the list: draws that agree there have one surname."""
    model = int(DRAWS[0])
    others = np.array([model % SURNAME_COUNT + SURNAME_COUNT * place for place in (3, 77, 4_096)], np.uint64)
    (_, wanted), *_ = chinese_names(DRAWS[:1], MEN[:1])
    assert {latin.split()[0] for _, latin in chinese_names(others, np.array([True, False, True]))} == {wanted.split()[0]}


@pytest.mark.parametrize("man", [True, False])
def test_citizens_of_utopia_have_endings_of_their_sex(man: bool) -> None:
    """Given names of men and women end differently; all are letters of ASCII with one capital."""
    mine = {given[-2:] for _, given in utopian_names(DRAWS, np.full(len(DRAWS), man))}
    others = {given[-2:] for _, given in utopian_names(DRAWS, np.full(len(DRAWS), not man))}
    assert not mine & others
    for surname, given in utopian_names(DRAWS[:200], MEN[:200]):
        assert surname.isascii()
        assert (surname.istitle(), given.istitle()) == (True, True)
