"""The languages that annul speaks: one table for pages, notices, catalogues and the language a citizen chooses.

To add a language: one row here, a folder `web/locale/<catalogue>/` (made by `scripts/words.py`, which lists what is to be
translated), and the notices' texts `registry/notices/texts/<catalogue>.toml`.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Language(NamedTuple):
    """One language.

    Attributes:
        catalogue: name of its catalogues and of its texts of notices: a folder under `web/locale/`, a file under `texts/`.
            English has no catalogue of pages: it is the source text itself.
        tag: BCP 47 tag in `lang` and Content-Language.
        name: what its speakers call it.
        direction: ltr or rtl.
        rooms: rooms of pages that are complete in it; None for all of them. Elsewhere its pages fall back to English.
    """

    catalogue: str
    tag: str
    name: str
    direction: str = "ltr"
    rooms: frozenset[str] | None = None


SOURCE: Final = "en"
"""The language in which texts are written."""

LANGUAGES: Final = {
    SOURCE: Language("en", "en", "English"),
    "zh": Language("zh_CN", "zh-CN", "简体中文"),
    "ar": Language("ar", "ar", "العربية", "rtl", frozenset({"codes", "schemes", "shell", "public", "citizen", "errors"})),
}
"""Language of a browser or a citizen -> what it is. Arabic is complete for visitors and citizens, and offered there alone."""

TRANSLATED: Final = {language.catalogue: language for key, language in LANGUAGES.items() if key != SOURCE}
"""Catalogue -> language, for every language that is translated into."""
