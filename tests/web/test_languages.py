"""The catalogues are complete: every text of a page, a sentence and a problem has its translation, with the same gaps."""

from __future__ import annotations

import io
import re
from importlib import resources
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from annul.records.check import SENTENCES
from annul.web import pages
from annul.web.problem import PROBLEMS
from tests.web.conftest import House

WEB = Path(str(resources.files("annul.web")))
TRANSLATED = [name for language, name in pages.LANGUAGES.items() if language != "en"]
GAP = re.compile(r"%(?:\(\w+\))?[.\d]*[sdf]")


def _texts() -> set[str]:
    methods = [("**.py", "python"), ("templates/**.html", "jinja2")]
    found = {message for _, _, message, _, _ in extract_from_dir(WEB, method_map=methods) if isinstance(message, str)}
    return found | set(SENTENCES.values()) | {kind.title for kind in PROBLEMS.values()}


def _catalogue(name: str) -> Catalog:
    with (WEB / "locale" / name / "LC_MESSAGES" / "annul.po").open("rb") as file:
        return read_po(file)


@pytest.mark.parametrize("name", TRANSLATED)
def test_every_text_is_translated_with_its_gaps(name: str) -> None:
    """A new text without a translation fails here, and so does one that nobody shows any more."""
    catalogue = _catalogue(name)
    texts = _texts()
    assert texts == {message.id for message in catalogue if message.id}
    for message in catalogue:
        if message.id:
            assert message.string
            assert GAP.findall(str(message.id)) == GAP.findall(str(message.string))


@pytest.mark.parametrize("name", TRANSLATED)
def test_the_compiled_catalogue_is_that_of_the_source(name: str) -> None:
    """Run `pybabel compile -d src/annul/web/locale -D annul` after a change."""
    compiled = io.BytesIO()
    write_mo(compiled, _catalogue(name))
    assert compiled.getvalue() == (WEB / "locale" / name / "LC_MESSAGES" / "annul.mo").read_bytes()


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
    assert f'<html lang="{language}">' in page.text
    assert ("我的证件丢了" in page.text) == (language == "zh-CN")
    assert page.headers["vary"] == "Accept-Language"
