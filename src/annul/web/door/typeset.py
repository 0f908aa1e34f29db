"""Put on paper what a page shows: receipts and letters as tagged PDF, in every language the pages speak."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from importlib import resources, util
from typing import TYPE_CHECKING, Any, Final

from annul.errors import MissingPackage
from annul.web.door.words import _

if TYPE_CHECKING:
    from collections.abc import Mapping

CJK_PACKAGE = "noto_cjk_sans_otc"
"""Package that carries Noto Sans CJK (OFL 1.1); without it a font of the system is taken, where there is one."""

REPLACED: Final = "\u25a1"
"""Stands for a sign that cannot be set: a white square, which every font here has."""
REPLACED_SHARE_MAX: Final = 0.1
"""Share of signs beyond which a paper is not worth having: its own words are in a script that no font here has."""
_REFUSED: Final = re.compile(r'(?:codepoint|the text) `"(.*?)"`', re.DOTALL)
_ESCAPE: Final = re.compile(r"\\u\{([0-9a-fA-F]+)\}")


def pdf(template: str, inputs: Mapping[str, str]) -> bytes:
    """Return a template under `templates/`, set with its inputs, as PDF/UA-1; of its fonts only the signs used are embedded.

    A sign that no font here has, or that no such paper may have, is set as REPLACED with all of its script: a right of access
    does not end at a rare name.

    Args:
        template: its path, such as `counter/receipt.typ`.
        inputs: texts that it finds in `sys.inputs`.

    Raises:
        MissingPackage: no font of this machine has the signs of this language: too much would be replaced.

    Source: ISO 14289-1 (every sign of a tagged PDF is shown by a font that has it).
    """
    import typst  # a large library, only for paper

    text = (resources.files("annul.web") / "templates" / template).read_bytes()
    given = dict(inputs)
    while True:
        try:
            return bytes(typst.compile(text, sys_inputs=given, format="pdf", pdf_standards=["ua-1"], font_paths=_fonts()))
        except typst.TypstError as error:
            refused = _REFUSED.search(str(error))
            left = given if refused is None else _without(given, _unescaped(refused[1]))
            if left == given:
                raise
            if any(value.count(REPLACED) > REPLACED_SHARE_MAX * len(value) for value in left.values()):
                raise MissingPackage(
                    _("This machine has no font for the PDF in this language."),
                    mend=_("Print the page itself, or ask for it in English."),
                ) from error
            given = left


def _unescaped(text: str) -> str:
    """Return a text as it was before Typst wrote its signs as escapes."""
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)


def _without(inputs: Mapping[str, str], refused: str) -> dict[str, str]:
    """Return the inputs with REPLACED for every sign of a text that was refused, and for others of the same scripts."""
    scripts = {_script(sign) for sign in refused if not sign.isascii()}
    return {
        name: "".join(REPLACED if not sign.isascii() and _script(sign) in scripts else sign for sign in value)
        for name, value in inputs.items()
    }


def _script(sign: str) -> str:
    """Return what a letter is a letter of, by the first word of its name; a sign that is no letter stands for itself."""
    return unicodedata.name(sign, sign).partition(" ")[0] if unicodedata.category(sign)[0] in "LM" else sign


@cache
def _fonts() -> Any:
    import typst

    found = util.find_spec(CJK_PACKAGE)
    folders = list(found.submodule_search_locations or ()) if found else []
    return typst.Fonts(font_paths=folders)
