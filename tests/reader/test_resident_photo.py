"""The printed front of a resident card: what the check character and a second look agree on."""

from __future__ import annotations

import datetime
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annul.reader.ocr import TextLine, TextReader
from annul.reader.reading import Assurance, Means
from annul.reader.resident_photo import parse_lines, read_resident_photo
from annul.records.schemes.cn_resident import check_character

AT = datetime.datetime(2026, 6, 1, 12, tzinfo=datetime.UTC)
PHOTOS = Path(__file__).parent / "photos"
TRUTH = {name: text for name, text in json.loads((PHOTOS / "truth.json").read_text("utf-8")).items() if name[:2] == "re"}
NUMBER = "11010519491231002" + check_character("11010519491231002")


def seen(*texts: str) -> list[TextLine]:
    """Lines one below the other."""
    return [
        TextLine(np.array([[0, 40 * row], [400, 40 * row], [400, 40 * row + 30], [0, 40 * row + 30]], float), text)
        for row, text in enumerate(texts)
    ]


FRONT = ("姓名王芳", "性别女民族汉", "出生1949年12月31日", "住址北京市朝阳区", "公民身份号码" + NUMBER)


def test_all_fields_of_a_front() -> None:
    """Number, name, sex, group, birth."""
    card = parse_lines(seen(*FRONT))
    assert (card.number, card.name, card.sex, card.ethnicity, card.birth_date) == (NUMBER, "王芳", "F", "汉", "1949-12-31")


def test_letters_read_for_digits_are_mended_only_if_the_check_character_holds() -> None:
    """O for 0 and I for 1; then also a wrong digit."""
    assert parse_lines(seen("公民身份号码" + NUMBER.replace("0", "O", 1).replace("1", "I", 1))).number == NUMBER
    wrong = NUMBER[:7] + str((int(NUMBER[7]) + 1) % 10) + NUMBER[8:]
    assert parse_lines(seen("公民身份号码" + wrong)).number == ""


@given(st.integers(0, 16), st.integers(1, 9))
def test_no_single_wrong_digit_is_believed(place: int, shift: int) -> None:
    """MOD 11-2 finds every one of them."""
    wrong = NUMBER[:place] + str((int(NUMBER[place]) + shift) % 10) + NUMBER[place + 1 :]
    assert parse_lines(seen("公民身份号码" + wrong)).number == ""


@pytest.mark.parametrize("other", ["出生1949年12月30日", "性别男民族汉"])
def test_a_number_that_contradicts_the_print_is_not_believed(other: str) -> None:
    """Birth date and sex stand in the number too."""
    lines = [other if text[:2] == other[:2] else text for text in FRONT]
    assert parse_lines(seen(*lines)).number == ""


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("有效期限2016.08.12-2036.08.12", "2016-08-12", "2036-08-12"),
        ("有效期限2016.08.12-长期", "2016-08-12", "long-term"),
        ("有效期限2016.08.12-2006.08.12", "", ""),
        ("有效期限2016.13.12-2036.08.12", "", ""),
    ],
)
def test_the_back_gives_the_validity(text: str, start: str, end: str) -> None:
    """Both dates, or none."""
    card = parse_lines(seen("签发机关北京市公安局", text))
    assert (card.valid_from, card.valid_until) == (start, end)


def test_a_name_stands_beside_its_label() -> None:
    """Label and name found as two lines of text."""
    name = TextLine(np.array([[120, 0], [220, 0], [220, 30], [120, 30]], float), "欧阳建国")
    label = TextLine(np.array([[0, 0], [80, 0], [80, 30], [0, 30]], float), "姓名")
    assert parse_lines([label, name]).name == "欧阳建国"


@given(st.lists(st.text(max_size=40), max_size=6))
def test_no_text_crashes_the_parser(texts: list[str]) -> None:
    """Any lines of text give fields or empty ones."""
    parse_lines(seen(*texts))


@pytest.mark.skipif(importlib.util.find_spec("rapidocr") is None, reason="needs rapidocr")
def test_photos_of_fronts_are_read_right() -> None:
    """Photos made by `python -m annul.bench.reading photos`."""
    reader = TextReader()
    for name, (number, holder) in TRUTH.items():
        reading = read_resident_photo((PHOTOS / name).read_bytes(), reader, at=AT)
        assert (reading.document.number, reading.holder.name) == (number, holder)
        assert (reading.means, reading.assurance) == (Means.RESIDENT_PHOTO, Assurance.TYPING_AID)
        assert reading.notes == ("front_only",)
