"""A receipt on paper: the code is read by a reader that is not ours, and its text is the receipt."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
import typst
from hypothesis import given
from hypothesis import strategies as st

from annul.errors import MissingPackage, VerificationFailed
from annul.proof.leaf import Leaf, pack_leaf, party_bytes
from annul.proof.receipt import from_compact, receipt_of, to_compact, to_json, verify
from annul.proof.window import NO_STATEMENT, WindowSigner
from annul.web.counter import paper
from annul.web.door import typeset

BASE = "https://annul.example"
SIGNER = WindowSigner(bytes(range(32)))
NOW_US = 1_790_000_000_000_000


def receipt(count: int = 1, index: int = 0) -> dict[str, Any]:
    """Make a receipt of a window of `count` answers."""
    leaves = [
        pack_leaf(
            Leaf(
                0, NOW_US, 18, NOW_US, party_bytes("bank"), 9, 1, 1, 3, 17, 9, 9, 1, 0, 2, 1, 2, bytes(32), number.to_bytes(32)
            )
        )
        for number in range(count)
    ]
    return receipt_of(SIGNER.close(leaves, 0, 1, NO_STATEMENT, NOW_US), leaves, index)


@given(st.integers(1, 40), st.data())
def test_the_compact_text_is_the_receipt(count: int, data: st.DataObject) -> None:
    """There and back, with or without an address in front; it verifies with the key alone."""
    made = receipt(count, data.draw(st.integers(0, count - 1)))
    text = to_compact(made)
    for form in (text, f"{BASE}/receipts/verify#{text}", f" {text}\n"):
        assert to_json(from_compact(form)) == made
    verify(from_compact(text), SIGNER.verifier)


@given(st.text(max_size=40) | st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", max_size=60).map(lambda text: "R1." + text))
def test_what_is_no_receipt_is_told_so(text: str) -> None:
    """Any text, and base32 of anything: one clear refusal."""
    with pytest.raises(VerificationFailed):
        from_compact(text)


def test_one_receipt_has_one_compact_text() -> None:
    """Lower case, padding, a changed last bit: refused, so that a receipt has no second spelling."""
    text = to_compact(receipt())
    for other in (text.lower(), text + "=", text[:-1], text + "A"):
        with pytest.raises(VerificationFailed):
            from_compact(other)


@pytest.mark.parametrize("count", [1, 2048])
def test_a_reader_of_another_house_reads_the_code(count: int) -> None:
    """OpenCV's reader gives the address back, for a lone answer and for one of the largest window."""
    cv2 = pytest.importorskip("cv2", reason="opencv is not installed")
    import numpy as np

    made = receipt(count, count - 1)
    drawn = io.BytesIO()
    paper._qr(made, BASE).save(drawn, kind="png", scale=6, border=paper.QR_MODULE)
    picture = cv2.imdecode(np.frombuffer(drawn.getvalue(), np.uint8), 0)
    text, _, _ = cv2.QRCodeDetector().detectAndDecode(picture)
    assert text == paper.address_of(made, BASE)
    assert to_json(from_compact(text)) == made


CHINESE = {
    "title": "核查回执",
    "lang": "zh",
    "outcome": "STOP",
    "word": "拒绝",
    "means": "此证件不可凭信。",
    "next": ["请出示第二份证件。"],
    "facts": [["用途", "开立账户"]],
    "hint": "任何人都可扫码验证此回执。",
    "alt": "二维码",
    "foot": "失效证件登记簿。",
}


def test_a_chinese_receipt_brings_its_font_along() -> None:
    """A subset of a font that has the signs is embedded: some kilobytes, not the font's twenty megabytes."""
    try:
        made = paper.pdf(receipt(), BASE, CHINESE)
    except MissingPackage as error:
        pytest.skip(str(error))
    assert made.startswith(b"%PDF-")
    assert b"CJK" in made
    assert len(made) < 200_000


def test_a_machine_without_such_a_font_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """No boxes instead of words on a receipt, and no failure of ours: a sentence that helps."""
    monkeypatch.setattr(typeset, "_fonts", lambda: typst.Fonts(include_system_fonts=False))
    with pytest.raises(MissingPackage, match="no font"):
        paper.pdf(receipt(), BASE, CHINESE)


@pytest.mark.parametrize(
    "name", ["a\ufeffb", "Rune \u16a0\u16a2", "\u078b\u07a8\u0788\u07ac\u0780\u07a8", "\ue000", "\U0001f600", "a\u202eb"]
)
def test_a_pdf_does_not_fail_for_a_sign(name: str) -> None:
    """Whatever stands in a register already: what no font has, or no tagged PDF may have, is set as a white square."""
    content = {
        "title": "All that is held",
        "lang": "en",
        "rtl": False,
        "made": "2026-11-30",
        "sections": [
            {"title": "Names", "head": ["Name"], "rows": [[name]] + [["written out in words that every font has"]] * 5}
        ],
    }
    assert typeset.pdf("citizen/data.typ", {"content": json.dumps(content, ensure_ascii=False)}).startswith(b"%PDF")
