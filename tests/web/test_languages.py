"""The catalogues are complete: every text of a page, a sentence and a problem has its translation, with the same gaps."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from annul.languages import LANGUAGES, SOURCE
from annul.web.door import pages
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


@pytest.mark.parametrize("language", sorted(key for key in LANGUAGES if key != SOURCE))
def test_pages_read_a_catalogue_as_babel_does(language: str) -> None:
    """The small reader of pages and the tool that writes the files agree on every text, escapes and long lines included."""
    name = LANGUAGES[language].catalogue
    assert (said := WORDS.known(name))
    assert {text: pages.catalogue(language).gettext(text) for text in said} == said


def test_pages_read_escapes_and_broken_lines() -> None:
    """A text in several lines, with quotes, backslashes and line ends; a comment and an empty translation beside it."""
    head = 'msgid ""\nmsgstr ""\n"Language: xx\\n"\n\n'
    source = head + '#, c-format\nmsgid ""\n"a \\"b\\" "\n"c\\n"\nmsgstr "d\\\\e"\n\nmsgid "f"\nmsgstr ""\n'
    assert pages.read_catalogue(source) == {'a "b" c\n': "d\\e"}


@pytest.mark.parametrize(
    ("wish", "language"),
    [
        ("zh-CN,zh;q=0.9,en;q=0.5", "zh-CN"),
        ("fr, zh;q=0.3", "zh-CN"),
        ("en, zh;q=0.9", "en"),
        ("zh;q=0, de", "en"),
        ("q=x;;,", "en"),
    ],
)
def test_the_page_speaks_the_best_language_of_the_browser(house: House, wish: str, language: str) -> None:
    """Content-Language, the page's own lang and its words agree."""
    with house.client() as browser:
        page = browser.get("/", headers={"accept-language": wish})
    assert page.headers["content-language"] == language
    assert f'<html lang="{language}" dir="ltr">' in page.text
    assert ("我的证件丢了" in page.text) == (language == "zh-CN")
    assert page.headers["vary"] == "Accept-Language, Cookie"
