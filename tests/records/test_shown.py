"""Texts that people are shown: nothing in them hides or turns others, and no script loses what it needs."""

from __future__ import annotations

import unicodedata

import pytest

from annul.errors import BadInput
from annul.records.person import Name, Person, blocks_of
from annul.records.shown import MARKS_MAX, is_shown, require_shown

WHOLE = (
    "Ann O'Neil-Şahin",
    "张三　丰",  # an ideographic space
    "\U00020bb7野家",
    unicodedata.normalize("NFD", "Nguyễn Thị Ẩm"),
    "محمد بن علي",
    "نیک\u200cبخت",  # Persian: a non-joiner inside the word
    "क्\u200dष",  # Devanagari: a joiner behind the virama
    "നന്\u200d",  # Malayalam: a joiner at the end
    "שָׁלוֹם",
    "བསྒྲུབས",
    "ကြွေ",
)
HIDING = (
    "a\u202eb",
    "a\u2066b",
    "a\u200bb",
    "a\ufeffb",
    "a\u00adb",
    "a\u200db",
    "\u200cا",
    "a\x00",
    "a\nb",
    "a\u2028b",
    "\ud800",
)


@pytest.mark.parametrize("text", WHOLE)
def test_names_of_every_script_are_shown_as_they_are(text: str) -> None:
    """Composed or not; a joiner stands where its script needs it."""
    assert is_shown(text)
    require_shown(f"{text}\n{text}", "/statement")


@pytest.mark.parametrize("text", [*HIDING, "a" + "\u0301" * (MARKS_MAX + 1)])
def test_what_hides_or_turns_others_is_refused(text: str) -> None:
    """Also in a person's record: such a name is no entry."""
    assert not is_shown(text)
    assert blocks_of(Person(personal_number="110105194912310021", names=[Name(text)])) in (
        "name-control-character",
        "name-too-long",
    )


def test_a_refused_text_is_not_repeated() -> None:
    """The error says where it stands."""
    with pytest.raises(BadInput) as refused:
        require_shown("secret\u202etxt", "/note")
    assert refused.value.where == "/note"
    assert "secret" not in str(refused.value)
