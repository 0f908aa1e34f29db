"""Put a receipt on paper: a QR code that anybody verifies on the public page, and a tagged PDF. Neither holds a number.

The QR code is the address of the public page; the receipt stands behind its "#", which no server sees until it is sent.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final

import msgspec
from markupsafe import Markup

from annul.proof.receipt import COMPACT_PREFIX, to_compact
from annul.web.door import typeset

if TYPE_CHECKING:
    from collections.abc import Mapping

VERIFY_PATH: Final = "/receipts/verify"
QR_MODULE: Final = 4
"""Border and scale of a QR code. Source: ISO/IEC 18004, quiet zone of 4 modules."""


def address_of(receipt: Mapping[str, Any], base_url: str) -> str:
    """Return the address that shows and proves a receipt."""
    return f"{base_url}{VERIFY_PATH}#{to_compact(receipt)}"


def _qr(receipt: Mapping[str, Any], base_url: str) -> Any:
    import segno

    start, prefix, body = address_of(receipt, base_url).partition(COMPACT_PREFIX)
    # Two segments: the base32 part takes 5.5 bits a character instead of 8. Source: ISO/IEC 18004, alphanumeric mode.
    return segno.make([start + prefix, body], error="l", boost_error=False, micro=False)  # type: ignore[arg-type]


def qr_inline(receipt: Mapping[str, Any], base_url: str, label: str) -> Markup:
    """Return the QR code as SVG to stand in a page, with words for those who do not see it."""
    drawn = _qr(receipt, base_url).svg_inline(
        scale=1, light="#fff", dark="#000", omitsize=True, border=QR_MODULE, svgclass="qr", title=label
    )
    return Markup(drawn)  # noqa: S704 - drawn by segno; the title is escaped by it


def pdf(receipt: Mapping[str, Any], base_url: str, words: Mapping[str, Any]) -> bytes:
    """Return the receipt as tagged PDF (PDF/UA-1).

    Args:
        words: what stands on it, translated: title, lang, outcome, word, means, next (list), facts (list of pairs), hint,
            alt, foot.
    """
    drawn = io.BytesIO()
    _qr(receipt, base_url).save(drawn, kind="svg", scale=4, border=QR_MODULE, light="#fff", xmldecl=False)
    inputs = {"words": msgspec.json.encode(words).decode(), "qr": drawn.getvalue().decode()}
    return typeset.pdf("counter/receipt.typ", inputs)
