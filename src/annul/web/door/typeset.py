"""Put on paper what a page shows: receipts and letters as tagged PDF, in every language the pages speak."""

from __future__ import annotations

from functools import cache
from importlib import resources, util
from typing import TYPE_CHECKING, Any

from annul.errors import MissingPackage
from annul.web.door.words import _

if TYPE_CHECKING:
    from collections.abc import Mapping

CJK_PACKAGE = "noto_cjk_sans_otc"
"""Package that carries Noto Sans CJK (OFL 1.1); without it a font of the system is taken, where there is one."""


def pdf(template: str, inputs: Mapping[str, str]) -> bytes:
    """Return a template under `templates/`, set with its inputs, as PDF/UA-1; of its fonts only the signs used are embedded.

    Args:
        template: its path, such as `counter/receipt.typ`.
        inputs: texts that it finds in `sys.inputs`.

    Raises:
        MissingPackage: no font of this machine has the signs of this language.

    Source: ISO 14289-1 (every sign of a tagged PDF is shown by a font that has it).
    """
    import typst  # a large library, only for paper

    text = (resources.files("annul.web") / "templates" / template).read_bytes()
    try:
        return bytes(typst.compile(text, sys_inputs=dict(inputs), format="pdf", pdf_standards=["ua-1"], font_paths=_fonts()))
    except typst.TypstError as error:
        if "could not be displayed with font" not in str(error):
            raise
        raise MissingPackage(
            _("This machine has no font for the PDF in this language."),
            mend=_("Print the page itself, or ask for it in English."),
        ) from error


@cache
def _fonts() -> Any:
    import typst

    found = util.find_spec(CJK_PACKAGE)
    folders = list(found.submodule_search_locations or ()) if found else []
    return typst.Fonts(font_paths=folders)
