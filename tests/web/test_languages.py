"""The catalogues are complete: every text of a page, a sentence and a problem has its translation, with the same gaps."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from tests.web.conftest import House


def _load(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


WORDS = _load(Path(__file__).parents[2] / "scripts" / "words.py")
TEXTS = WORDS.texts()
CATALOGUES = [(language, room) for language in WORDS.LANGUAGES for room in sorted(TEXTS)]


@pytest.mark.parametrize(("language", "room"), CATALOGUES)
def test_every_text_is_translated_with_its_gaps(language: str, room: str) -> None:
    """A new text without a translation fails here: `python scripts/words.py ROOM` lists it."""
    assert WORDS.missing(language, room, TEXTS[room], WORDS.known(language)) == []


@pytest.mark.parametrize(("language", "room"), CATALOGUES)
def test_the_compiled_catalogue_is_that_of_the_source(language: str, room: str) -> None:
    """Run `python scripts/words.py` after a change."""
    file = WORDS.LOCALE / language / f"{room}.po"
    assert file.with_suffix(".mo").read_bytes() == WORDS.compiled(WORDS.read(file))


@pytest.mark.parametrize(
    ("wish", "language"),
    [
        ("zh-CN,zh;q=0.9,en;q=0.5", "zh-CN"), ("fr, zh;q=0.3", "zh-CN"), ("en, zh;q=0.9", "en"), ("zh;q=0, de", "en"),
        ("q=x;;,", "en"),
    ],
)  # fmt: skip
def test_the_page_speaks_the_best_language_of_the_browser(house: House, wish: str, language: str) -> None:
    """Content-Language, the page's own lang and its words agree."""
    page = house.call("GET", "/", headers={"accept-language": wish})
    assert page.headers["content-language"] == language
    assert f'<html lang="{language}" dir="ltr">' in page.text
    assert ("我的证件丢了" in page.text) == (language == "zh-CN")
    assert page.headers["vary"] == "Accept-Language, Cookie"
